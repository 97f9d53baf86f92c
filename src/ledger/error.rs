//! What can go wrong with the ledger, by what was being done.

use std::path::PathBuf;

use thiserror::Error;

/// A failure of the ledger.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The file cannot be opened or made.
    #[error("the ledger {path} cannot be opened")]
    Open {
        /// The database file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The file's schema is newer than this program.
    #[error(
        "the ledger {path} was written by a newer payrun (schema {found}, this one knows {known}): use that version"
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// The newest migration in the file.
        found: i64,
        /// The newest migration known here.
        known: i64,
    },
    /// The migrations failed.
    #[error("the ledger {path} cannot be brought to this version's schema")]
    Migrate {
        /// The database file.
        path: PathBuf,
        /// Why.
        #[source]
        source: sqlx::migrate::MigrateError,
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
    #[error("the ledger is locked by another process: {doing}; wait for it to finish or stop it, then run again")]
    Busy {
        /// What was being done.
        doing: &'static str,
    },
    /// No room to write.
    #[error("the disk of the ledger is full: {doing}; nothing more is sent until there is room")]
    Full {
        /// What was being done.
        doing: &'static str,
    },
    /// Anything else of the database's.
    #[error("the ledger failed: {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// A row that no version of payrun writes.
    #[error("the ledger holds what it never wrote: {what}")]
    Corrupt {
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

impl LedgerError {
    /// Whether the same deed may well succeed a moment later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }

    /// Sorts a database error into what can be done about it.
    pub(super) fn of(doing: &'static str, source: sqlx::Error) -> Self {
        // SQLite's primary result codes: 5 busy, 6 locked, 13 full.
        let code = source
            .as_database_error()
            .and_then(|error| error.code().and_then(|code| code.parse::<i64>().ok()))
            .map(|code| code & 0xff);
        match code {
            Some(5 | 6) => Self::Busy { doing },
            Some(13) => Self::Full { doing },
            Some(_) | None => Self::Database { doing, source },
        }
    }
}
