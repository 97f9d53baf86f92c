//! Schedules: which times have come, and their runs.
//!
//! A time is noted as a row before anybody acts on it (`record.rs`), and its run is planned under
//! the time's own name, which is unique (`fire.rs`). So any process may do either at any time, and
//! die at any point: nothing fires twice and nothing is lost.

mod fire;
mod manual_firing;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;

use super::Engine;
use payrun_domain::occurrence::OccurrenceState;
use payrun_domain::time::Timestamp;
use payrun_ledger::{LedgerError, OccurrenceRow, ScheduleRow};
use payrun_project::workflow::Workflow;

pub use manual_firing::{ManualFiring, ManualFiringError};
use record::CommitOutcome;
pub use record::occurrence;

/// How many workflows plan their runs at once, so that a large one delays no other.
const AT_ONCE: usize = 8;

/// How many schedules are read at a time.
const PAGE: u32 = 1000;

/// When to look again for what waits for a run to end.
const AGAIN: Duration = Duration::from_secs(1);

/// What was done about schedules.
#[derive(Debug, Clone, Default)]
pub struct ScheduleRound {
    /// What was decided about occurrences, by workflow in their order; and what waits in a queue,
    /// each time anew.
    pub decided: Vec<OccurrenceRow>,
    /// When something is due next; none if nothing ever is. Earlier if a workflow changes or its
    /// pause ends.
    pub next: Option<Timestamp>,
    /// Workflows of which another process has another schedule, which is in force; nothing of them
    /// is noted here.
    pub elsewhere: Vec<String>,
}

/// The versions of workflows whose schedules a process has seen in force.
#[derive(Debug, Default)]
pub struct SeenSchedules {
    versions: Mutex<BTreeMap<String, Arc<Workflow>>>,
    newer: Mutex<BTreeMap<String, String>>,
}

impl SeenSchedules {
    /// Whether this very version's was in force before.
    fn in_force(&self, workflow: &Arc<Workflow>) -> bool {
        self.versions()
            .get(&workflow.name)
            .is_some_and(|seen| Arc::ptr_eq(seen, workflow))
    }

    fn note(&self, workflow: &Arc<Workflow>) {
        self.versions()
            .insert(workflow.name.clone(), Arc::clone(workflow));
    }

    fn versions(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Workflow>>> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of the workflows of which a newer version was saved with these mistakes, by name:
    /// what fires says that it is of an older one.
    pub fn set_newer_with_mistakes(&self, newer: BTreeMap<String, String>) {
        *self.newer.lock().unwrap_or_else(PoisonError::into_inner) = newer;
    }

    fn newer_with_mistakes(&self, workflow: &str) -> Option<String> {
        let newer = self.newer.lock().unwrap_or_else(PoisonError::into_inner);
        newer.get(workflow).cloned()
    }
}

impl ScheduleRound {
    /// What was decided in this way.
    pub fn that(&self, state: OccurrenceState) -> impl Iterator<Item = &OccurrenceRow> {
        self.decided.iter().filter(move |row| row.state == state)
    }
}

impl Engine {
    /// Fires what is due, tells what was missed, and says when to do so again.
    ///
    /// `workflows`: all that are loaded, each name once. `paused`: those that a person has paused;
    /// what comes due meanwhile is missed when they go on. Several processes may do this at once,
    /// each with what it has `seen`.
    ///
    /// # Errors
    /// Whatever the ledger says; what was not done then is done the next time.
    pub async fn keep_schedules(
        &self,
        workflows: &[Arc<Workflow>],
        paused: &BTreeSet<String>,
        seen: &SeenSchedules,
        now: Timestamp,
    ) -> Result<ScheduleRound, LedgerError> {
        let active: Vec<Arc<Workflow>> = workflows
            .iter()
            .filter(|workflow| !paused.contains(&workflow.name))
            .cloned()
            .collect();
        let known = self.known_schedules().await?;
        let (mut all_noted, mut elsewhere) = (true, Vec::new());
        for workflow in &active {
            match record::note(&self.ledger, workflow, known.get(&workflow.name), seen, now).await?
            {
                CommitOutcome::All => {}
                CommitOutcome::Perhaps => all_noted = false,
                CommitOutcome::Elsewhere => elsewhere.push(workflow.name.clone()),
            }
        }
        let ours: Vec<Arc<Workflow>> = active
            .into_iter()
            .filter(|workflow| !elsewhere.contains(&workflow.name))
            .collect();
        let decided = self.fire_all(&ours, seen, now).await?;
        let next = ours
            .iter()
            .filter_map(|workflow| next(workflow, &known, now))
            .min();
        let mut kept = ScheduleRound {
            decided,
            next,
            elsewhere,
        };
        if !all_noted || kept.that(OccurrenceState::Queued).next().is_some() {
            let again = now.plus(AGAIN);
            kept.next = Some(kept.next.map_or(again, |next| next.min(again)));
        }
        Ok(kept)
    }

    /// Fires what these workflows have due, several at a time. A failure of one does not keep the
    /// others from theirs.
    async fn fire_all(
        &self,
        active: &[Arc<Workflow>],
        seen: &SeenSchedules,
        now: Timestamp,
    ) -> Result<Vec<OccurrenceRow>, LedgerError> {
        let due: BTreeSet<String> = self.ledger.workflows_due(now).await?.into_iter().collect();
        let firing: Vec<Arc<Workflow>> = active
            .iter()
            .filter(|workflow| due.contains(&workflow.name))
            .cloned()
            .collect();
        let firing = stream::iter(firing).map(|workflow| async move {
            let newer = seen.newer_with_mistakes(&workflow.name);
            self.fire_due(&workflow, newer.as_deref(), now).await
        });
        let outcomes: Vec<_> = firing.buffered(AT_ONCE).collect().await;
        let decided: Vec<Vec<OccurrenceRow>> = outcomes.into_iter().collect::<Result<_, _>>()?;
        Ok(decided.into_iter().flatten().collect())
    }

    async fn known_schedules(&self) -> Result<BTreeMap<String, ScheduleRow>, LedgerError> {
        let mut known = BTreeMap::new();
        let mut last = String::new();
        loop {
            let page = self.ledger.schedules(&last, PAGE).await?;
            let Some(end) = page.last() else {
                return Ok(known);
            };
            last = end.workflow.clone();
            known.extend(page.into_iter().map(|row| (row.workflow.clone(), row)));
        }
    }
}

/// When a workflow fires next.
fn next(
    workflow: &Workflow,
    known: &BTreeMap<String, ScheduleRow>,
    now: Timestamp,
) -> Option<Timestamp> {
    let scheduling = workflow
        .schedule
        .as_ref()
        .filter(|scheduling| !scheduling.paused)?;
    let since = known
        .get(&workflow.name)
        .filter(|row| row.rule == scheduling.timetable.rule())
        .map(|row| row.since);
    let after = since.map_or(now, |since| since.max(now));
    scheduling
        .timetable
        .firings(after)
        .next()
        .map(|firing| firing.at)
}
