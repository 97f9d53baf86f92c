//! Runs that somebody watches: each is looked at twice a second at most, however many watch it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::App;
use crate::domain::item::State;
use crate::domain::time::Timestamp;
use crate::errors::chain;
use crate::ledger::{FailureSum, JobRow, Ledger, LedgerError, RunRow, Total};
use crate::view::RunView;
use crate::workflow::version_of;

/// How often a run is looked at that somebody watches.
const TICK: Duration = Duration::from_millis(500);

/// How often it is looked at whether somebody who follows a run still may, where nothing happens.
pub(super) const STILL_GOOD: Duration = Duration::from_millis(500);
/// How often at most the failures of a run are added up that goes on: each is looked at.
const FAILURES: Duration = Duration::from_secs(3);

/// A run as it was at an instant.
#[derive(Debug, Clone)]
pub(super) struct RunSnapshot {
    pub run: RunRow,
    /// Of its workflow.
    pub version: Option<String>,
    pub jobs: Vec<JobRow>,
    pub totals: Vec<Total>,
    pub failures: FailuresSeen,
    pub at: Timestamp,
}

/// What failed of a run, when it was last added up.
#[derive(Debug, Clone)]
pub(super) struct FailuresSeen {
    pub sums: Arc<Vec<FailureSum>>,
    /// How many items had failed then.
    items: u64,
    at: Timestamp,
}

impl FailuresSeen {
    async fn read(
        ledger: &Ledger,
        run: &RunRow,
        items: u64,
        at: Timestamp,
    ) -> Result<Self, LedgerError> {
        let sums = match items {
            0 => Vec::new(),
            _ => ledger.failure_sums(run.id).await?,
        };
        Ok(Self {
            sums: Arc::new(sums),
            items,
            at,
        })
    }

    /// Whether they would be the same, or were added up a moment ago; at a run's end they are added
    /// up once more.
    fn will_do(&self, run: &RunRow, items: u64, at: Timestamp) -> bool {
        let age = at.since(self.at);
        let is_same = items == self.items && age < 10 * FAILURES;
        run.finished_at.is_none() && (is_same || age < FAILURES)
    }
}

impl RunSnapshot {
    /// A run as it is; none if there is no such run.
    pub async fn read(
        ledger: &Ledger,
        id: i64,
        at: Timestamp,
    ) -> Result<Option<Self>, LedgerError> {
        let source = ledger.workflow_of_run(id).await?;
        Self::read_with(ledger, id, (source.as_deref().map(version_of), None), at).await
    }

    /// The same run later.
    async fn again(&self, ledger: &Ledger, at: Timestamp) -> Result<Option<Self>, LedgerError> {
        let before = (self.version.clone(), Some(&self.failures));
        Self::read_with(ledger, self.run.id, before, at).await
    }

    async fn read_with(
        ledger: &Ledger,
        id: i64,
        (version, before): (Option<String>, Option<&FailuresSeen>),
        at: Timestamp,
    ) -> Result<Option<Self>, LedgerError> {
        let Some(run) = ledger.run(id).await? else {
            return Ok(None);
        };
        let totals = ledger.totals(id).await?;
        let failed = totals.iter().filter(|total| total.state == State::Failed);
        let failed = failed.map(|total| total.items).sum();
        let failures = match before {
            Some(before) if before.will_do(&run, failed, at) => before.clone(),
            Some(_) | None => FailuresSeen::read(ledger, &run, failed, at).await?,
        };
        Ok(Some(Self {
            version,
            jobs: ledger.jobs(id).await?,
            totals,
            failures,
            run,
            at,
        }))
    }

    /// As programs see it.
    pub fn view(&self) -> Result<RunView, LedgerError> {
        RunView::of(&self.run, self.version.clone(), &self.jobs, &self.totals)
    }

    /// Whether it has finished.
    pub const fn is_finished(&self) -> bool {
        self.run.finished_at.is_some()
    }
}

/// The runs that are watched.
#[derive(Debug, Default)]
pub(super) struct RunWatches(Mutex<HashMap<i64, watch::Receiver<Arc<RunSnapshot>>>>);

impl RunWatches {
    /// Begins to watch a run; none if there is no such run. What is received changes whenever the
    /// run does, and ends with it.
    pub async fn watch(
        &self,
        app: &App,
        id: i64,
    ) -> Result<Option<watch::Receiver<Arc<RunSnapshot>>>, LedgerError> {
        if let Some(watched) = self.watched(id) {
            return Ok(Some(watched));
        }
        let now = app.engine().clock.now();
        let Some(first) = RunSnapshot::read(&app.engine().ledger, id, now).await? else {
            return Ok(None);
        };
        let (sender, receiver) = watch::channel(Arc::new(first));
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|_, watched| watched.has_changed().is_ok());
        // Somebody may have been quicker: then this one ends by itself.
        let watched = watches
            .entry(id)
            .or_insert_with(|| receiver.clone())
            .clone();
        drop(watches);
        tokio::spawn(look(app.clone(), id, sender));
        Ok(Some(watched))
    }

    fn watched(&self, id: i64) -> Option<watch::Receiver<Arc<RunSnapshot>>> {
        let watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let watched = watches.get(&id)?;
        watched.has_changed().is_ok().then(|| watched.clone())
    }

    fn forget(&self, id: i64) {
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.remove(&id);
    }
}

/// Looks at a run as long as somebody watches it and it goes on.
async fn look(app: App, id: i64, sender: watch::Sender<Arc<RunSnapshot>>) {
    let mut stop = app.stop.clone();
    // One receiver is the list's own.
    while sender.receiver_count() > 1 && !sender.borrow().is_finished() {
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
        let now = app.engine().clock.now();
        let last = Arc::clone(&sender.borrow());
        match last.again(&app.engine().ledger, now).await {
            Ok(Some(seen)) => {
                sender.send_if_modified(|last| {
                    let is_new = !is_same(last, &seen);
                    if is_new {
                        *last = Arc::new(seen);
                    }
                    is_new
                });
            }
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(error = chain(&error), "a run cannot be watched");
                break;
            }
        }
    }
    app.watches.forget(id);
}

fn is_same(one: &RunSnapshot, other: &RunSnapshot) -> bool {
    let views = (one.view(), other.view());
    one.failures.sums == other.failures.sums
        && matches!(views, (Ok(one), Ok(other)) if one == other)
}
