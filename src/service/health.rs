//! How the duties fare: when each was last done, and what it said when it failed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::errors::chain;
use crate::ledger::LedgerError;

/// A duty that was not done for this long is told of by readiness.
const LATE: Duration = Duration::from_secs(60);

/// What is known of the duties. It is of this process, not of the ledger.
#[derive(Debug, Default)]
pub struct Health {
    duties: Mutex<BTreeMap<&'static str, Duty>>,
}

#[derive(Debug)]
struct Duty {
    done: Option<tokio::time::Instant>,
    begun: tokio::time::Instant,
    failure: Option<String>,
}

/// What is wrong with a duty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwell {
    /// Which one.
    pub duty: &'static str,
    /// What it said last.
    pub failure: Option<String>,
    /// How long ago it was last done, or begun if it never was.
    pub since: Duration,
}

impl Health {
    /// A duty begins.
    pub fn begun(&self, name: &'static str) {
        let fresh = Duty { done: None, begun: tokio::time::Instant::now(), failure: None };
        self.duties().entry(name).or_insert(fresh);
    }

    /// It was done.
    pub fn done(&self, name: &'static str) {
        self.begun(name);
        if let Some(duty) = self.duties().get_mut(name) {
            duty.done = Some(tokio::time::Instant::now());
            if duty.failure.take().is_some() {
                tracing::info!(duty = name, "goes on");
            }
        }
    }

    /// It failed: told once, until it is done again.
    pub fn failed(&self, name: &'static str, error: &LedgerError) {
        self.begun(name);
        if let Some(duty) = self.duties().get_mut(name) {
            let told = chain(error);
            if duty.failure.is_none() {
                tracing::error!(duty = name, error = told, "failed; it is tried again");
            }
            duty.failure = Some(told);
        }
    }

    /// Duties that have not been done for a while, or whose last word was a failure.
    pub fn unwell(&self) -> Vec<Unwell> {
        let now = tokio::time::Instant::now();
        let duties = self.duties();
        let told = duties.iter().map(|(name, duty)| Unwell {
            duty: name,
            failure: duty.failure.clone(),
            since: now.saturating_duration_since(duty.done.unwrap_or(duty.begun)),
        });
        told.filter(|duty| duty.failure.is_some() || duty.since > LATE).collect()
    }

    fn duties(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, Duty>> {
        self.duties.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
