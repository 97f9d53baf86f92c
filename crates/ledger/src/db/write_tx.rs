//! A write transaction: one that no other write of any process comes between.
//!
//! SQLite has one writer at a time anyway (`begin immediate`). On PostgreSQL a lock that ends with
//! the transaction does the same, so that what was thought through once holds on both: what it
//! reads stays true until it commits. It is short; only a plan is long, and it takes the write lock
//! no earlier than with its commit, on a connection of its own.
//!
//! A connection that failed is never trusted again: the next transaction makes a new one. Neither is one
//! that is silent: a server that vanished without a word would otherwise be waited for as long as
//! the operating system does, or for ever.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AnyConnection, Connection};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::db::location::{DatabaseLocation, DbKind};
use crate::error::LedgerError;

/// Waits until no other transaction of this ledger (a schema of a database) has the write lock.
const LINE_UP: &str = "select pg_advisory_xact_lock(1885434485, hashtext(current_schema()))";

/// A standby refuses to begin this, so that it is never taken for the ledger. Each statement sees
/// what was committed before it, whatever the server is set to: what was waited for is seen.
const BEGIN: &str = "begin isolation level read committed read write";

/// [`BEGIN`] and [`LINE_UP`], in one round trip.
const BEGIN_IN_TURN: &str = "begin isolation level read committed read write; \
                             select pg_advisory_xact_lock(1885434485, hashtext(current_schema()))";

/// A server that has not answered for so long has gone: longer than it lets anybody wait for a
/// lock.
pub(crate) const SILENT: Duration = Duration::from_secs(30);

/// Tells the other nodes that there is work.
const TELL: &str = "select pg_notify('payrun', '')";

/// The connection that writes, if there is one.
#[derive(Debug)]
pub(crate) struct WriteConnection {
    location: DatabaseLocation,
    connection: Option<AnyConnection>,
    fault: Option<CommitFault>,
}

/// What a play does with a commit. Whoever made it hears in each case that it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitFault {
    /// The connection broke before it arrived.
    Lost,
    /// It arrived, and the connection broke before the answer.
    Untold,
    /// The database would not take it.
    Refused,
}

impl WriteConnection {
    /// Nothing is connected before the first transaction.
    pub fn new(location: DatabaseLocation, connection: Option<AnyConnection>) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            location,
            connection,
            fault: None,
        }))
    }

    /// What is to become of the next commit.
    pub const fn plan_fault(&mut self, fault: Option<CommitFault>) {
        self.fault = fault;
    }

    /// Lets the connection go, and waits until it is gone; a later transaction would make another.
    pub async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close().await.ok();
        }
    }

    async fn begin(
        &mut self,
        statement: &'static str,
        operation: &'static str,
    ) -> Result<(), LedgerError> {
        let engine = self.location.db_kind;
        if let Some(mut kept) = self.connection.take() {
            match run(engine, &mut kept, statement, operation).await {
                Ok(()) => {
                    self.connection = Some(kept);
                    return Ok(());
                }
                Err(busy @ (LedgerError::Busy { .. } | LedgerError::Full { .. })) => {
                    // SQLite has not begun anything then; a server may have, and the connection is
                    // let go of.
                    self.connection =
                        Some(kept).filter(|_| self.location.db_kind == DbKind::Sqlite);
                    return Err(busy);
                }
                // It may have been lost while nobody looked; nothing was done on it yet.
                Err(_) => drop(kept),
            }
        }
        let mut fresh = unless_silent(engine, SILENT, operation, self.location.connect()).await?;
        run(engine, &mut fresh, statement, operation)
            .await
            .map_err(LedgerError::of_standby)?;
        self.connection = Some(fresh);
        Ok(())
    }
}

/// A transaction under way. Dropped without an end, it is rolled back.
#[derive(Debug)]
pub(crate) struct WriteTx {
    /// There until the transaction has ended.
    writing: Option<OwnedMutexGuard<WriteConnection>>,
    operation: &'static str,
}

impl WriteTx {
    /// Waits for the write lock and begins.
    pub async fn begin(
        writing: &Arc<Mutex<WriteConnection>>,
        operation: &'static str,
    ) -> Result<Self, LedgerError> {
        let mut writing = Arc::clone(writing).lock_owned().await;
        let statement = match writing.location.db_kind {
            DbKind::Sqlite => "begin immediate",
            DbKind::Postgres => BEGIN_IN_TURN,
        };
        writing.begin(statement, operation).await?;
        Ok(Self {
            writing: Some(writing),
            operation,
        })
    }

    /// Begins what may take long: on a server it holds nobody up until [`WriteTx::acquire_write_lock`].
    pub async fn take_long(
        writing: &Arc<Mutex<WriteConnection>>,
        operation: &'static str,
    ) -> Result<Self, LedgerError> {
        let location = writing.lock().await.location.clone();
        match location.db_kind {
            DbKind::Sqlite => Self::begin(writing, operation).await,
            DbKind::Postgres => {
                let mut own = WriteConnection::new(location, None).lock_owned().await;
                own.begin(BEGIN, operation).await?;
                Ok(Self {
                    writing: Some(own),
                    operation,
                })
            }
        }
    }

    /// Makes a long transaction the one that has the write lock.
    pub async fn acquire_write_lock(&mut self) -> Result<(), LedgerError> {
        match self.db_kind() {
            DbKind::Sqlite => Ok(()),
            DbKind::Postgres => {
                let operation = self.operation;
                run(DbKind::Postgres, self.connection(), LINE_UP, operation).await
            }
        }
    }

    /// Which SQL is spoken.
    pub fn db_kind(&self) -> DbKind {
        self.writing
            .as_ref()
            .expect("a transaction that has not ended")
            .location
            .db_kind
    }

    /// The connection, within the transaction.
    pub fn connection(&mut self) -> &mut AnyConnection {
        let writing = self
            .writing
            .as_mut()
            .expect("a transaction that has not ended holds its connection");
        writing
            .connection
            .as_mut()
            .expect("a transaction begins with a connection")
    }

    /// Makes it real. On an error it is not known whether it is: the connection is given up.
    pub async fn commit(self) -> Result<(), LedgerError> {
        self.end("commit").await
    }

    /// As [`WriteTx::commit`], and tells the nodes on other machines that there is work.
    pub async fn commit_and_tell(mut self) -> Result<(), LedgerError> {
        if self.db_kind() == DbKind::Postgres {
            let operation = self.operation;
            run(DbKind::Postgres, self.connection(), TELL, operation).await?;
        }
        self.end("commit").await
    }

    /// Leaves everything as it was.
    pub async fn rollback(self) -> Result<(), LedgerError> {
        self.end("rollback").await
    }

    async fn end(mut self, statement: &'static str) -> Result<(), LedgerError> {
        let operation = self.operation;
        let mut writing = self.writing.take().expect("a transaction ends once");
        let mut connection = writing
            .connection
            .take()
            .expect("a transaction begins with a connection");
        let engine = writing.location.db_kind;
        let fault = if statement == "commit" {
            writing.fault.take()
        } else {
            None
        };
        let happens = matches!(fault, None | Some(CommitFault::Untold));
        run(
            engine,
            &mut connection,
            if happens { statement } else { "rollback" },
            operation,
        )
        .await?;
        writing.connection = Some(connection);
        let broken =
            || sqlx::Error::Protocol("the connection broke in the middle of a commit".to_owned());
        match fault {
            None => Ok(()),
            Some(CommitFault::Lost | CommitFault::Untold) => Err(LedgerError::Unreachable {
                operation,
                source: broken(),
            }),
            Some(CommitFault::Refused) => Err(LedgerError::Database {
                operation,
                source: broken(),
            }),
        }
    }
}

impl Drop for WriteTx {
    fn drop(&mut self) {
        let Some(mut writing) = self.writing.take() else {
            return;
        };
        let Some(mut connection) = writing.connection.take() else {
            return;
        };
        // The next transaction waits until that is done, so that nobody writes into this transaction.
        if let Ok(runtime) = Handle::try_current() {
            let engine = writing.location.db_kind;
            runtime.spawn(async move {
                // One that failed is dropped, not closed: that would wait for the server once more.
                if run(engine, &mut connection, "rollback", "rolling back")
                    .await
                    .is_ok()
                {
                    writing.connection = Some(connection);
                }
            });
        }
    }
}

async fn run(
    engine: DbKind,
    connection: &mut AnyConnection,
    statement: &'static str,
    operation: &'static str,
) -> Result<(), LedgerError> {
    let done = async {
        let done = sqlx::raw_sql(statement).execute(connection).await;
        done.map(|_| ())
            .map_err(|source| LedgerError::of(operation, source))
    };
    unless_silent(engine, SILENT, operation, done).await
}

/// Waits so long for a server; a file answers always.
pub(crate) async fn unless_silent<T>(
    engine: DbKind,
    time: Duration,
    operation: &'static str,
    answer: impl Future<Output = Result<T, LedgerError>>,
) -> Result<T, LedgerError> {
    match engine {
        DbKind::Sqlite => answer.await,
        DbKind::Postgres => tokio::time::timeout(time, answer)
            .await
            .unwrap_or_else(|_| {
                let source = sqlx::Error::Protocol(format!(
                    "the server has not answered for {} s",
                    time.as_secs()
                ));
                Err(LedgerError::Unreachable { operation, source })
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_turn_and_a_long_one_wait_for_the_same_lock() {
        assert_eq!(BEGIN_IN_TURN, format!("{BEGIN}; {LINE_UP}"));
    }
}
