//! Where a ledger lives, and how its connections are made: a SQLite file, or a PostgreSQL database
//! that many machines share.
//!
//! Durability is set on every connection and asserted. The statements of the ledger are the same
//! for both engines; what differs is asked for here ([`DbKind`]), so that the two can be held
//! beside each other.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions, Connection, Row};
use url::Url;

use crate::error::LedgerError;

/// Readers beside the one writer.
const READERS: u32 = 2;
const READERS_OF_SERVER: u32 = 4;

/// How long a connection may leave its transaction idle on a server: a process that was stopped in
/// the middle of one must not hold up all others.
const IDLE: Duration = Duration::from_secs(30);

/// What runs the SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DbKind {
    /// A file, embedded.
    Sqlite,
    /// A server.
    Postgres,
}

/// Where a ledger lives.
#[derive(Clone)]
pub(crate) struct DatabaseLocation {
    pub db_kind: DbKind,
    /// For people: the file, or the server without user and password.
    name: String,
    /// The file; none on a server.
    pub file: Option<PathBuf>,
    options: AnyConnectOptions,
    busy: Duration,
}

impl DatabaseLocation {
    /// A SQLite file. `busy`: how long a connection waits for another process's write.
    pub fn file(path: &Path, busy: Duration) -> Result<Self, LedgerError> {
        let unusable = |_| LedgerError::Address {
            place: path.display().to_string(),
        };
        let absolute = std::path::absolute(path).map_err(|_| unusable(()))?;
        let encoded = Url::from_file_path(absolute).map_err(unusable)?;
        let url = format!("sqlite://{}?mode=rwc", encoded.path());
        let (name, file) = (path.display().to_string(), Some(path.to_owned()));
        Ok(Self {
            db_kind: DbKind::Sqlite,
            options: options(&url, &name)?,
            name,
            file,
            busy,
        })
    }

    /// A PostgreSQL database.
    pub fn server(address: &str, busy: Duration) -> Result<Self, LedgerError> {
        let name = named(address);
        Ok(Self {
            db_kind: DbKind::Postgres,
            options: options(address, &name)?,
            name,
            file: None,
            busy,
        })
    }

    /// The name of the place, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address for a listener.
    pub fn address(&self) -> &str {
        self.options.database_url.as_str()
    }

    /// One more connection, set up and found safe.
    pub async fn connect(&self) -> Result<AnyConnection, LedgerError> {
        if let Some(file) = &self.file {
            make_private(file);
        }
        let mut connection = AnyConnection::connect_with(&self.options)
            .await
            .map_err(|error| self.failed(error))?;
        self.set_up(&mut connection).await?;
        Ok(connection)
    }

    /// Connections that read.
    pub async fn readers(&self) -> Result<AnyPool, LedgerError> {
        let location = self.clone();
        let readers = if self.db_kind == DbKind::Sqlite {
            READERS
        } else {
            READERS_OF_SERVER
        };
        AnyPoolOptions::new()
            .max_connections(readers)
            .after_connect(move |connection, _| {
                let location = location.clone();
                Box::pin(async move {
                    let set_up = location.set_up(connection).await;
                    set_up.map_err(|error| sqlx::Error::Configuration(Box::new(error)))?;
                    location.set_up_reader(connection).await
                })
            })
            .connect_with(self.options.clone())
            .await
            .map_err(|error| self.failed(error))
    }

    async fn set_up(&self, connection: &mut AnyConnection) -> Result<(), LedgerError> {
        sqlx::raw_sql(AssertSqlSafe(self.settings()))
            .execute(&mut *connection)
            .await
            .map_err(|e| self.failed(e))?;
        let wanted: &[(&str, &str, &[&str])] = match self.db_kind {
            DbKind::Sqlite => &[
                ("journal_mode", "pragma journal_mode", &["wal"]),
                ("synchronous", "pragma synchronous", &["2"]),
            ],
            DbKind::Postgres => &[
                ("fsync", "show fsync", &["on"]),
                ("full_page_writes", "show full_page_writes", &["on"]),
                (
                    "synchronous_commit",
                    "show synchronous_commit",
                    &["on", "remote_apply"],
                ),
            ],
        };
        for (setting, statement, safe) in wanted {
            let row = sqlx::query(*statement)
                .fetch_one(&mut *connection)
                .await
                .map_err(|e| self.failed(e))?;
            let text = row.try_get::<String, _>(0);
            let found = text
                .or_else(|_| row.try_get::<i64, _>(0).map(|number| number.to_string()))
                .unwrap_or_default();
            if !safe.contains(&found.as_str()) {
                return Err(LedgerError::Unsafe { setting, found });
            }
        }
        Ok(())
    }

    /// Readers keep less in memory than the writer.
    async fn set_up_reader(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        if self.db_kind == DbKind::Sqlite {
            sqlx::raw_sql("pragma cache_size = -2048")
                .execute(connection)
                .await?;
        }
        Ok(())
    }

    fn settings(&self) -> String {
        match self.db_kind {
            DbKind::Sqlite => format!(
                "pragma busy_timeout = {}; pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = off; \
                 pragma cache_size = -8192; pragma temp_store = memory; pragma wal_autocheckpoint = 8000; \
                 pragma journal_size_limit = 67108864",
                self.busy.as_millis()
            ),
            // Only what makes it safer than it may be set up: a server that waits for its standbys
            // to apply stays as it is. Its compiler takes tens of milliseconds for a statement that
            // reads a dozen rows by their indexes, and there are no others.
            DbKind::Postgres => format!(
                "set lock_timeout = {}; set idle_in_transaction_session_timeout = {}; set jit = off; \
                 set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3; \
                 do $$ begin \
                   if current_setting('synchronous_commit') <> 'remote_apply' then set synchronous_commit = on; end if; \
                   if current_setting('application_name') = '' then set application_name = 'payrun'; end if; \
                 end $$",
                self.busy.as_millis(),
                IDLE.as_millis()
            ),
        }
    }

    fn failed(&self, source: sqlx::Error) -> LedgerError {
        let sorted = LedgerError::of("opening it", source);
        if let LedgerError::Database { source, .. } = sorted {
            return LedgerError::Open {
                place: self.name.clone(),
                source,
            };
        }
        sorted
    }
}

/// Makes a file that only its owner may read, if there is none; whatever is wrong with the place
/// SQLite tells.
pub(crate) fn make_private(file: &Path) {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .ok();
}

/// What lies beside a file, with a name that goes on so.
pub(crate) fn sibling_file(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// The host of a PostgreSQL server on another machine whose certificate would not be verified by
/// this address, what the environment adds to it (`PGSSLMODE`, `PGHOST`) included; none where it
/// would, or where nobody is in between.
pub fn unverified_server(address: &str) -> Option<String> {
    let options = address.parse::<PgConnectOptions>().ok()?;
    let host = options
        .get_host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let is_here = options.get_socket().is_some()
        || host.starts_with('/')
        || host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    let is_verified = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull);
    (!is_here && !is_verified).then(|| host.to_owned())
}

/// Without user and password.
impl fmt::Debug for DatabaseLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home")
            .field("db_kind", &self.db_kind)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn options(url: &str, name: &str) -> Result<AnyConnectOptions, LedgerError> {
    sqlx::any::install_default_drivers();
    let parsed = url.parse::<AnyConnectOptions>();
    parsed
        .map(|options| options.disable_statement_logging())
        .map_err(|_| LedgerError::Address {
            place: name.to_owned(),
        })
}

/// The address without what is secret in it.
fn named(address: &str) -> String {
    let Ok(url) = Url::parse(address) else {
        return "postgres://…".to_owned();
    };
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!(
        "postgres://{}{port}{}",
        url.host_str().unwrap_or(""),
        url.path()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_without_user_and_password() {
        let location = DatabaseLocation::server(
            "postgres://ann:s3cret@db.example:6432/pay?password=other",
            Duration::ZERO,
        )
        .unwrap();
        assert_eq!(location.name(), "postgres://db.example:6432/pay");
        assert!(!format!("{location:?}").contains("s3cret"));
    }
}
