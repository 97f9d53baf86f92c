//! How a command ends.

use std::process::ExitCode;

use crate::app::ProjectError;
pub use crate::errors::chain;
use crate::ledger::LedgerError;

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All succeeded.
    Success = 0,
    /// payrun or the machine failed.
    Internal = 1,
    /// Invalid input or usage; nothing was sent.
    Invalid = 2,
    /// Finished with items that failed, were rejected or need review, with differences, or withdrawn.
    Incomplete = 3,
    /// Interrupted, or waiting, with items open.
    Open = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not do what it was asked to.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What is wrong and where; may have several lines.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Failure {
    /// Invalid input or usage.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Invalid,
            message: message.into(),
            help: None,
        }
    }

    /// payrun or the machine failed.
    pub fn internal(error: &(dyn std::error::Error + 'static)) -> Self {
        Self {
            exit: Exit::Internal,
            message: chain(error),
            help: None,
        }
    }

    /// With advice.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }
}

impl From<ProjectError> for Failure {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::Ledger(error) => error.into(),
            ProjectError::NoConfig { .. } => Self::invalid(error.to_string())
                .help("`payrun init NAME` makes a project; or name the file with --config"),
            ProjectError::Unverified { .. } => Self::invalid(error.to_string()).help(VERIFY),
            ProjectError::MissingKeys(_) => Self::invalid(error.to_string()).help(PUT_BACK),
            ProjectError::Files(_) | ProjectError::Workflows { .. } | ProjectError::Key(_) => {
                Self::invalid(error.to_string())
            }
            ProjectError::Place(_) | ProjectError::Transport(_) | ProjectError::Client { .. } => {
                Self::internal(&error)
            }
        }
    }
}

/// What to do about a server that is not verified.
const VERIFY: &str = "write sslmode=verify-full into the address (and sslrootcert=FILE for an authority of your own); or, where nobody else is \
    on the way, database_tls: unverified";

/// What to do about a key that is still needed.
pub(super) const PUT_BACK: &str = "put that key back behind the first one, encryption_key: [{ file: new.key }, { file: old.key }]; then \
    `payrun reseal` moves the values to the first key, and the old one can be taken away";

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        let exit = match error {
            LedgerError::Address { .. }
            | LedgerError::Newer { .. }
            | LedgerError::Moved { .. }
            | LedgerError::MissingKey { .. }
            | LedgerError::RunExists { .. } => Exit::Invalid,
            LedgerError::Open { .. }
            | LedgerError::Migrate { .. }
            | LedgerError::Unsafe { .. }
            | LedgerError::Busy { .. }
            | LedgerError::Unreachable { .. }
            | LedgerError::Full { .. }
            | LedgerError::Database { .. }
            | LedgerError::Corrupt { .. }
            | LedgerError::Inconsistent { .. }
            | LedgerError::Lock { .. }
            | LedgerError::Stopped => Exit::Internal,
        };
        Self {
            exit,
            message: chain(&error),
            help: None,
        }
    }
}
