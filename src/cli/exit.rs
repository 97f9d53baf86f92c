//! How a command ends.

use std::process::ExitCode;

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
    /// Finished with failed, rejected or parked items, or with differences.
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

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        let exit = match error {
            LedgerError::Address { .. }
            | LedgerError::Newer { .. }
            | LedgerError::Moved { .. }
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
