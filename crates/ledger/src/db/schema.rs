//! Opening a ledger: its schema is brought up to date, its writer started.

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, Connection as _, Row, SqlSafeStr as _};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::Ledger;
use crate::admin::backup;
use crate::db::location::{DatabaseLocation, DbKind, sibling_file};
use crate::db::write_tx::WriteConnection;
use crate::db::{listen, writer};
use crate::error::LedgerError;
use payrun_system::private_files::take_from_others;

/// The files of `migrations/` as they are in this build. sqlx's own macro for this takes both
/// drivers, and a second tokio, into the building of every build.
macro_rules! migrations {
    ($engine:literal) => {
        migrations!($engine:
            "0001_ledger"
            "0002_statements"
            "0003_notifications"
            "0004_schedules"
            "0005_contracts"
            "0006_operators"
            "0007_alerts"
            "0008_reports"
            "0009_gateway_numbers"
            "0010_dashboard"
            "0011_bulk_actions"
        )
    };
    ($engine:literal: $($file:literal)+) => {
        LazyLock::new(|| {
            Migrator::with_migrations(vec![$(migration(
                $file,
                include_str!(concat!("../../../../migrations/", $engine, "/", $file, ".sql")),
            )),+])
        })
    };
}

static SQLITE: LazyLock<Migrator> = migrations!("sqlite");
static POSTGRES: LazyLock<Migrator> = migrations!("postgres");

/// How long a connection waits for another process's write before it gives up.
const BUSY: Duration = Duration::from_secs(20);

/// How often migrating is tried while another process is at it, and the wait between.
const MIGRATION_TRIES: u32 = 20;
const MIGRATION_WAIT: Duration = Duration::from_millis(100);

impl Ledger {
    /// Opens the SQLite ledger at `path`, makes it if it is not there, and brings its schema up to
    /// date.
    ///
    /// # Errors
    /// [`LedgerError::Newer`] if a newer payrun wrote it, and whatever keeps it from being opened
    /// or written.
    pub async fn open(path: &Path) -> Result<Self, LedgerError> {
        Self::open_waiting(path, BUSY).await
    }

    /// As [`Ledger::open`], with another bound on waiting for other processes.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub async fn open_waiting(path: &Path, busy: Duration) -> Result<Self, LedgerError> {
        Self::at(DatabaseLocation::file(path, busy)?, false).await
    }

    /// As [`Ledger::open`], also where the ledger was moved to another database.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub async fn open_fenced(path: &Path) -> Result<Self, LedgerError> {
        Self::at(DatabaseLocation::file(path, BUSY)?, true).await
    }

    /// Opens the ledger in a PostgreSQL database (`postgres://…`) and brings its schema up to date.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub async fn connect(address: &str) -> Result<Self, LedgerError> {
        Self::at(DatabaseLocation::server(address, BUSY)?, false).await
    }

    async fn at(location: DatabaseLocation, fenced: bool) -> Result<Self, LedgerError> {
        if let Some(file) = &location.file {
            // What SQLite makes beside it has the mode of the file.
            ["", "-wal", "-shm", "-nodes"]
                .iter()
                .for_each(|ending| take_from_others(&sibling_file(file, ending)));
        }
        let mut connection = location.connect().await?;
        migrate(&location, &mut connection).await?;
        if location.db_kind == DbKind::Sqlite
            && !fenced
            && let Some(to) = Self::moved_to(&mut connection).await?
        {
            return Err(LedgerError::Moved {
                place: location.name().to_owned(),
                to,
            });
        }
        let read = location.readers().await?;
        let write = WriteConnection::new(location.clone(), Some(connection));
        let woken = Arc::new(Notify::new());
        let (write_requests, inbox) = mpsc::channel(writer::BACKLOG);
        tokio::spawn(writer::run(Arc::clone(&write), inbox, Arc::clone(&woken)));
        let listening = listen::listen(&location, &woken);
        Ok(Self {
            location,
            read,
            write,
            write_requests,
            woken,
            held: Arc::default(),
            _listening: listening,
        })
    }

    /// Waits until everything given to the writer is on disk or refused, then closes the
    /// connections.
    pub async fn close(self) {
        let (done, finished) = oneshot::channel();
        if self
            .write_requests
            .send(writer::WriteRequest::Flush(done))
            .await
            .is_ok()
        {
            finished.await.ok();
        }
        self.read.close().await;
        self.write.lock().await.close().await;
    }
}

/// `0001_ledger` is version 1, "ledger".
fn migration(file: &'static str, sql: &'static str) -> Migration {
    let (version, name) = file.split_once('_').unwrap_or((file, ""));
    Migration::new(
        version.parse().unwrap_or_default(),
        name.replace('_', " ").into(),
        MigrationType::Simple,
        sql.into_sql_str(),
        false,
    )
}

async fn migrate(
    location: &DatabaseLocation,
    connection: &mut AnyConnection,
) -> Result<(), LedgerError> {
    let migrations = match location.db_kind {
        DbKind::Sqlite => &SQLITE,
        DbKind::Postgres => &POSTGRES,
    };
    let known = migrations
        .iter()
        .map(|migration| migration.version)
        .max()
        .unwrap_or(0);
    let found = newest_migration(connection).await?;
    let place = || location.name().to_owned();
    if found > known {
        return Err(LedgerError::Newer {
            place: place(),
            found,
            known,
        });
    }
    if found == known {
        return Ok(());
    }
    if found > 0 {
        backup::before_migration(location, connection, found).await?;
    }
    let mut tries = 0;
    loop {
        tries += 1;
        let Err(source) = migrations.run(&mut *connection).await else {
            return Ok(());
        };
        // It may have left a transaction open, and what is done within that is not there for
        // anybody else.
        let failed = std::mem::replace(connection, location.connect().await?);
        failed.close().await.ok();
        // Another process may have done it meanwhile, or be at it: of several migrations it may
        // have done some.
        if matches!(newest_migration(connection).await, Ok(found) if found == known) {
            return Ok(());
        }
        let error = LedgerError::of_migration(place(), source);
        if tries >= MIGRATION_TRIES || !matches!(error, LedgerError::Migrate { .. }) {
            return Err(error);
        }
        tokio::time::sleep(MIGRATION_WAIT).await;
    }
}

/// Zero where there is none yet. What cannot be read is no empty database: nothing may be laid over
/// it.
pub(crate) async fn newest_migration(connection: &mut AnyConnection) -> Result<i64, LedgerError> {
    let applied = sqlx::query("select max(version) from _sqlx_migrations where success")
        .fetch_one(connection)
        .await
        .and_then(|row| row.try_get::<Option<i64>, _>(0));
    match applied {
        Ok(newest) => Ok(newest.unwrap_or(0)),
        Err(error) if is_no_such_table(&error) => Ok(0),
        Err(error) => Err(LedgerError::of("reading the version of its schema", error)),
    }
}

/// SQLite has no code of its own for it.
fn is_no_such_table(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.code().as_deref() == Some("42P01") || error.message().starts_with("no such table")
    })
}

#[cfg(test)]
mod tests {
    use super::{POSTGRES, SQLITE};

    #[test]
    fn each_file_of_migrations_is_in_the_build() {
        for (engine, built) in [("sqlite", &SQLITE), ("postgres", &POSTGRES)] {
            let folder = format!("{}/../../migrations/{engine}", env!("CARGO_MANIFEST_DIR"));
            let mut files: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            let built: Vec<String> = built
                .iter()
                .map(|one| {
                    format!(
                        "{:04}_{}.sql",
                        one.version,
                        one.description.replace(' ', "_")
                    )
                })
                .collect();
            assert_eq!(built, files);
        }
    }
}
