//! Health of the duties: when each was last done, and the error of one that failed.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::errors::chain;
use crate::ledger::{Ledger, LedgerError};

/// A duty that was not done for this long after its time is told of by readiness.
const LATE: Duration = Duration::from_secs(60);

/// How long a write may wait in a process that is ready.
const WRITTEN: Duration = Duration::from_secs(2);

/// For how long it is taken for granted that it can write, or cannot.
const FRESH: Duration = Duration::from_secs(1);

/// What is known of the duties. It is of this process, not of the ledger.
#[derive(Debug, Default)]
pub struct Health {
    duties: Mutex<BTreeMap<&'static str, PeriodicTask>>,
    write: tokio::sync::Mutex<WriteCheck>,
}

/// Whether the ledger can be written.
#[derive(Debug, Default)]
struct WriteCheck {
    /// A try that has not come back.
    under_way: Option<tokio::task::JoinHandle<bool>>,
    last: Option<(tokio::time::Instant, bool)>,
}

#[derive(Debug)]
struct PeriodicTask {
    done: Option<tokio::time::Instant>,
    begun: tokio::time::Instant,
    /// How long it meant to sleep then.
    sleeps: Duration,
    failure: Option<String>,
}

/// What is wrong with a duty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailingTask {
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
        let fresh = PeriodicTask {
            done: None,
            begun: tokio::time::Instant::now(),
            sleeps: Duration::ZERO,
            failure: None,
        };
        self.duties().entry(name).or_insert(fresh);
    }

    /// It was done, and is done again after so long.
    pub fn done(&self, name: &'static str, sleeps: Duration) {
        self.begun(name);
        if let Some(duty) = self.duties().get_mut(name) {
            (duty.done, duty.sleeps) = (Some(tokio::time::Instant::now()), sleeps);
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

    /// Whether the ledger lets this process write, within a short time. Who asks often is told what
    /// was found a moment ago.
    pub async fn can_write(&self, ledger: &Ledger) -> bool {
        let mut write = self.write.lock().await;
        if let Some((at, well)) = write.last
            && at.elapsed() < FRESH
        {
            return well;
        }
        let ledger = ledger.clone();
        let mut trying = write
            .under_way
            .take()
            .unwrap_or_else(|| tokio::spawn(async move { ledger.try_begin_write().await.is_ok() }));
        let well = match tokio::time::timeout(WRITTEN, &mut trying).await {
            Ok(tried) => tried.unwrap_or(false),
            Err(_) => {
                write.under_way = Some(trying);
                false
            }
        };
        write.last = Some((tokio::time::Instant::now(), well));
        well
    }

    /// Duties that have not been done for a while, or whose last word was a failure.
    pub fn unwell(&self) -> Vec<FailingTask> {
        self.unwell_at(tokio::time::Instant::now())
    }

    fn unwell_at(&self, now: tokio::time::Instant) -> Vec<FailingTask> {
        let duties = self.duties();
        let since =
            |duty: &PeriodicTask| now.saturating_duration_since(duty.done.unwrap_or(duty.begun));
        let unwell = duties
            .iter()
            .filter(|(_, duty)| duty.failure.is_some() || since(duty) > duty.sleeps + LATE);
        let told = |(name, duty): (&&'static str, &PeriodicTask)| FailingTask {
            duty: name,
            failure: duty.failure.clone(),
            since: since(duty),
        };
        unwell.map(told).collect()
    }

    fn duties(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, PeriodicTask>> {
        self.duties.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duty_that_sleeps_for_an_hour_is_late_only_after_that() {
        let health = Health::default();
        health.done("housekeeping", Duration::from_secs(3_600));
        health.done("runs", Duration::ZERO);
        let now = tokio::time::Instant::now();
        let unwell = |seconds| {
            let unwell = health.unwell_at(now + Duration::from_secs(seconds));
            unwell.iter().map(|duty| duty.duty).collect::<Vec<_>>()
        };
        assert_eq!(unwell(50), Vec::<&str>::new());
        assert_eq!(unwell(70), ["runs"]);
        assert_eq!(unwell(3_670), ["housekeeping", "runs"]);
    }
}
