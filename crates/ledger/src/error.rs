//! What can go wrong with the ledger, by what was being done.

use std::path::PathBuf;

use sqlx::migrate::MigrateError;
use sqlx::postgres::PgDatabaseError;
use thiserror::Error;

/// A failure of the ledger.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// This is no place for a ledger.
    #[error("the ledger {place} cannot be opened: this is no address of a database")]
    Address {
        /// The place, without what is secret in it.
        place: String,
    },
    /// The file cannot be opened or made, or the server lets nobody in.
    #[error("the ledger {place} cannot be opened")]
    Open {
        /// The database file, or the server.
        place: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The file's schema is newer than this program.
    #[error(
        "the ledger {place} was written by a newer payrun (schema {found}, this one knows {known}): use that version"
    )]
    Newer {
        /// The database file, or the server.
        place: String,
        /// The newest migration in the file.
        found: i64,
        /// The newest migration known here.
        known: i64,
    },
    /// It was moved to another database.
    #[error("the ledger {place} was moved to {to}: use that one")]
    Moved {
        /// The database file.
        place: String,
        /// Where it is now.
        to: String,
    },
    /// The migrations failed.
    #[error("the ledger {place} cannot be brought to this version's schema")]
    Migrate {
        /// The database file, or the server.
        place: String,
        /// Why.
        #[source]
        source: MigrateError,
    },
    /// A connection is not as safe as it must be.
    #[error("the ledger refuses to work with {setting} = {found}")]
    Unsafe {
        /// The setting.
        setting: &'static str,
        /// What it is.
        found: String,
    },
    /// Another process held the database for too long.
    #[error(
        "the ledger is locked by another process: {operation}; wait for it to finish or stop it, then run again"
    )]
    Busy {
        /// What was being done.
        operation: &'static str,
    },
    /// The server does not answer, is going down, or takes no writes at present.
    #[error(
        "the ledger's server cannot be reached: {operation}; nothing more is sent until it can"
    )]
    Unreachable {
        /// What was being done.
        operation: &'static str,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// No room to write.
    #[error(
        "the disk of the ledger is full: {operation}; nothing more is sent until there is room"
    )]
    Full {
        /// What was being done.
        operation: &'static str,
    },
    /// Anything else of the database's.
    #[error("the ledger failed: {operation}")]
    Database {
        /// What was being done.
        operation: &'static str,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// A value that no version of payrun writes: nothing is made up in its place.
    #[error(
        "the ledger holds what it never wrote: {column} of row {id} in {table} cannot be read; restore it from a backup"
    )]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The row's id, or what else names it.
        id: String,
        /// The column.
        column: String,
    },
    /// A sealed value whose key this process does not have: somebody puts it back.
    #[error(
        "{column} of row {id} in {table} cannot be opened: encryption_key in payrun.yaml lacks the key {key}, under which it \
         is kept; put that key behind the first one"
    )]
    MissingKey {
        /// The table.
        table: &'static str,
        /// The row's id.
        id: i64,
        /// The column.
        column: &'static str,
        /// The key's id, or what else is known of it.
        key: String,
    },
    /// Rows that contradict each other, or the state machine.
    #[error("the ledger holds what it never wrote: {what}")]
    Inconsistent {
        /// What and where.
        what: String,
    },
    /// The lock of this process cannot be taken.
    #[error("the lock file {path} cannot be used")]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The occurrence has been planned before.
    #[error("the run {workflow} / {occurrence} exists already")]
    RunExists {
        /// The workflow's name.
        workflow: String,
        /// The occurrence.
        occurrence: String,
    },
    /// The writer has stopped after a failure it told of before.
    #[error("the ledger's writer has stopped")]
    Stopped,
}

/// Which row a column that cannot be read is of.
#[derive(Debug, Error)]
#[error("row {id} of {table}")]
struct UnreadableRowId {
    table: &'static str,
    id: String,
}

/// A column of a row that cannot be read, for readers of rows that fail as sqlx does;
/// [`LedgerError::of`] makes [`LedgerError::Corrupt`] of it.
pub(super) fn undecodable(table: &'static str, id: impl ToString, column: &str) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: Box::new(UnreadableRowId {
            table,
            id: id.to_string(),
        }),
    }
}

impl LedgerError {
    /// Whether the same request may well succeed a moment later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Unreachable { .. })
    }

    /// Whether it may be the fault of what was to be written, and not of the database's condition.
    pub(super) const fn may_be_of_one_request(&self) -> bool {
        matches!(
            self,
            Self::Database { .. } | Self::Corrupt { .. } | Self::Inconsistent { .. }
        )
    }

    /// A column of a row that cannot be read.
    pub fn corrupt(table: &'static str, id: impl ToString, column: &str) -> Self {
        Self::Corrupt {
            table,
            id: id.to_string(),
            column: column.to_owned(),
        }
    }

    /// Sorts a database error into what can be done about it.
    pub(super) fn of(operation: &'static str, source: sqlx::Error) -> Self {
        // What a reader of rows could not make sense of (`undecodable`).
        if let sqlx::Error::ColumnDecode { index, source } = &source
            && let Some(unread) = source.downcast_ref::<UnreadableRowId>()
        {
            return Self::corrupt(unread.table, &unread.id, index);
        }
        // A proxy that has no server at the moment answers with what is no reply of a server.
        if matches!(
            source,
            sqlx::Error::Io(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
        ) {
            return Self::Unreachable { operation, source };
        }
        let error = source.as_database_error();
        let is_server =
            error.is_some_and(|error| error.try_downcast_ref::<PgDatabaseError>().is_some());
        let code = error
            .and_then(|error| error.code())
            .map(|code| code.into_owned())
            .unwrap_or_default();
        if is_server {
            Self::of_server(operation, &code, source)
        } else {
            Self::of_file(operation, &code, source)
        }
    }

    /// What came of migrations that failed.
    pub(super) fn of_migration(place: String, source: MigrateError) -> Self {
        let is_full = |cause: &sqlx::Error| {
            let code = cause.as_database_error().and_then(|cause| cause.code());
            matches!(code.as_deref(), Some("13" | "53100"))
        };
        if let MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _) = &source
            && is_full(cause)
        {
            return Self::Full {
                operation: "making its tables",
            };
        }
        Self::Migrate { place, source }
    }

    /// What a standby says to who begins to write: feature not supported. It may take over in a
    /// moment.
    pub(super) fn of_standby(self) -> Self {
        let Self::Database { operation, source } = self else {
            return self;
        };
        if source
            .as_database_error()
            .is_some_and(|error| error.code().as_deref() == Some("0A000"))
        {
            return Self::Unreachable { operation, source };
        }
        Self::Database { operation, source }
    }

    /// SQLite's primary result codes: 5 busy, 6 locked, 13 full.
    fn of_file(operation: &'static str, code: &str, source: sqlx::Error) -> Self {
        match code.parse::<i64>().map(|code| code & 0xff) {
            Ok(5 | 6) => Self::Busy { operation },
            Ok(13) => Self::Full { operation },
            Ok(_) | Err(_) => Self::Database { operation, source },
        }
    }

    /// PostgreSQL's SQLSTATE codes (its manual, appendix A).
    fn of_server(operation: &'static str, code: &str, source: sqlx::Error) -> Self {
        match code {
            // Serialization failure, deadlock, a lock that was not to be had in time, a statement
            // cancelled.
            "40001" | "40P01" | "55P03" | "57014" => Self::Busy { operation },
            "53100" => Self::Full { operation },
            // Going down, crashed, starting, too many connections, a standby, a transaction that
            // was idle for too long.
            "57P01" | "57P02" | "57P03" | "53300" | "25006" | "25P03" => {
                Self::Unreachable { operation, source }
            }
            code if code.starts_with("08") => Self::Unreachable { operation, source },
            _ => Self::Database { operation, source },
        }
    }
}
