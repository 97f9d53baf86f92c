//! Opening a ledger: durability is set on every connection and asserted, the schema is brought up to date.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Row, SqliteConnection};
use tokio::sync::{Mutex, Notify, mpsc, oneshot};

use super::error::LedgerError;
use super::{Ledger, writer};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a connection waits for another process's write before it gives up.
const BUSY: Duration = Duration::from_secs(20);

/// How often migrating is tried while another process is at it, and the wait between.
const MIGRATION_TRIES: u32 = 20;
const MIGRATION_WAIT: Duration = Duration::from_millis(100);

/// Readers beside the one writer.
const READERS: u32 = 2;

impl Ledger {
    /// Opens the SQLite ledger at `path`, makes it if it is not there, and brings its schema up to date.
    ///
    /// # Errors
    /// [`LedgerError::Newer`] if a newer payrun wrote it, and whatever keeps it from being opened or written.
    pub async fn open(path: &Path) -> Result<Self, LedgerError> {
        Self::open_waiting(path, BUSY).await
    }

    /// As [`Ledger::open`], with another bound on waiting for other processes.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub async fn open_waiting(path: &Path, busy: Duration) -> Result<Self, LedgerError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(busy)
            .foreign_keys(false)
            .pragma("cache_size", "-8192")
            .pragma("temp_store", "memory")
            .pragma("wal_autocheckpoint", "8000")
            .pragma("journal_size_limit", "67108864")
            .disable_statement_logging();
        let failed = |source| opening(path, source);
        let mut write = options.connect().await.map_err(failed)?;
        migrate(path, &mut write).await?;
        assert_durable(&mut write).await?;
        let read = SqlitePoolOptions::new()
            .max_connections(READERS)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    assert_durable(connection).await.map_err(|error| sqlx::Error::Configuration(Box::new(error)))
                })
            })
            .connect_with(options.pragma("cache_size", "-2048"))
            .await
            .map_err(failed)?;
        let write = Arc::new(Mutex::new(write));
        let woken = Arc::new(Notify::new());
        let (deeds, inbox) = mpsc::channel(writer::BACKLOG);
        tokio::spawn(writer::run(Arc::clone(&write), inbox, Arc::clone(&woken)));
        Ok(Self { path: path.to_owned(), read, write, deeds, woken })
    }

    /// Waits until everything given to the writer is on disk or refused, then closes the connections.
    pub async fn close(self) {
        let (done, finished) = oneshot::channel();
        if self.deeds.send(writer::Deed::Flush(done)).await.is_ok() {
            finished.await.ok();
        }
        self.read.close().await;
    }
}

async fn migrate(path: &Path, connection: &mut SqliteConnection) -> Result<(), LedgerError> {
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    let found = newest_migration(connection).await;
    if found > known {
        return Err(LedgerError::Newer { path: path.to_owned(), found, known });
    }
    if found == known {
        return Ok(());
    }
    let mut tries = 0;
    loop {
        tries += 1;
        match MIGRATIONS.run(&mut *connection).await {
            Ok(()) => return Ok(()),
            // Another process may have done it meanwhile, or be at it: of several migrations it may have done some.
            Err(_) if newest_migration(connection).await == known => return Ok(()),
            Err(_) if tries < MIGRATION_TRIES => tokio::time::sleep(MIGRATION_WAIT).await,
            Err(source) => return Err(LedgerError::Migrate { path: path.to_owned(), source }),
        }
    }
}

/// Zero for a file that has none yet.
async fn newest_migration(connection: &mut SqliteConnection) -> i64 {
    let applied = sqlx::query("select max(version) from _sqlx_migrations where success").fetch_one(connection).await;
    applied.ok().and_then(|row| row.try_get::<Option<i64>, _>(0).ok().flatten()).unwrap_or(0)
}

async fn assert_durable(connection: &mut SqliteConnection) -> Result<(), LedgerError> {
    for (setting, statement, wanted) in
        [("journal_mode", "pragma journal_mode", "wal"), ("synchronous", "pragma synchronous", "2")]
    {
        let row = sqlx::query(statement)
            .fetch_one(&mut *connection)
            .await
            .map_err(|source| LedgerError::of("reading its settings", source))?;
        let found = row
            .try_get::<String, _>(0)
            .or_else(|_| row.try_get::<i64, _>(0).map(|number| number.to_string()))
            .unwrap_or_default();
        if found != wanted {
            return Err(LedgerError::Unsafe { setting, found });
        }
    }
    Ok(())
}

fn opening(path: &Path, source: sqlx::Error) -> LedgerError {
    let sorted = LedgerError::of("opening it", source);
    if let LedgerError::Database { source, .. } = sorted {
        return LedgerError::Open { path: path.to_owned(), source };
    }
    sorted
}
