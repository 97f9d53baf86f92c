//! Planning the runs of occurrences that are due, oldest first.

use std::sync::Arc;

use super::Engine;
use crate::planning::{PlanError, RunRequest};
use payrun_domain::actor::Actor;
use payrun_domain::occurrence::{EACH_MAX, MissedPolicy, OccurrenceState, Overlap};
use payrun_domain::reason::FailureCode;
use payrun_domain::time::Timestamp;
use payrun_domain::timetable::NominalTime;
use payrun_ledger::{LedgerError, OccurrenceRow};
use payrun_project::workflow::{Workflow, WorkflowSchedule};
use payrun_system::errors::chain;
use payrun_system::failpoint;

/// How many occurrences of a workflow are looked at in one go.
const LOOK: u32 = 2000;

/// How many occurrences may wait for an earlier run.
const QUEUE_MAX: usize = 100;

/// The longest reason that is kept, in characters.
const REASON_MAX: usize = 500;

impl Engine {
    /// Fires what a workflow has due; says what became of each. `newer`: what is wrong with a newer
    /// version of its file, which is not the one in force.
    ///
    /// # Errors
    /// Whatever the ledger says; what is left is fired the next time.
    pub(super) async fn fire_due(
        &self,
        workflow: &Arc<Workflow>,
        newer: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<OccurrenceRow>, LedgerError> {
        let Some(scheduling) = &workflow.schedule else {
            return Ok(Vec::new());
        };
        let open = self
            .ledger
            .open_occurrences(&workflow.name, now, LOOK)
            .await?;
        let (planned, open): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|row| row.run_id.is_some());
        let mut decided = Vec::new();
        for row in planned {
            decided.push(self.fired(row, None, newer, now).await?);
        }
        let resumed = if open.is_empty() {
            None
        } else {
            self.ledger.resumed_at(&workflow.name).await?
        };
        let (late, open) = split_late(scheduling.missed, open, resumed, now);
        decided.extend(
            self.give_up_late(workflow, scheduling.missed, late, resumed, now)
                .await?,
        );
        for (place, row) in open.into_iter().enumerate() {
            decided.push(
                self.fire_or_wait((workflow, newer), scheduling, row, place, now)
                    .await?,
            );
        }
        Ok(decided)
    }

    async fn give_up_late(
        &self,
        workflow: &Workflow,
        missed: MissedPolicy,
        late: Vec<OccurrenceRow>,
        resumed: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Vec<OccurrenceRow>, LedgerError> {
        let reason = |why: &str| match missed {
            MissedPolicy::None => why.to_owned(),
            MissedPolicy::Latest => format!("{why}; a later one fires in its place"),
            MissedPolicy::Each => format!("{why}; only the latest {EACH_MAX} fire"),
        };
        let in_pause = late
            .iter()
            .rev()
            .find(|row| resumed.is_some_and(|resumed| row.at <= resumed));
        let pause = match in_pause {
            Some(row) => self.ledger.paused_at(&workflow.name, row.at).await?,
            None => None,
        };
        let (paused, unseen): (Vec<_>, Vec<_>) = late.into_iter().partition(|row| {
            let resumed = resumed.filter(|resumed| row.at <= *resumed);
            pause
                .as_ref()
                .is_some_and(|(since, ..)| *since <= row.at && resumed.is_some())
        });
        let why = pause
            .map(|(_, actor, why)| format!("it was paused by {actor}: {why}"))
            .unwrap_or_default();
        let mut told = Vec::new();
        for (rows, reason) in [
            (unseen, reason("nobody looked when it was due")),
            (paused, reason(&why)),
        ] {
            if rows.is_empty() {
                continue;
            }
            let nominals: Vec<&str> = rows.iter().map(|row| row.nominal.as_str()).collect();
            self.ledger
                .give_up(&workflow.name, &nominals, &reason, now)
                .await?;
            tracing::warn!(
                workflow = workflow.name,
                missed = rows.len(),
                reason,
                "times of a schedule were missed"
            );
            told.extend(
                rows.into_iter()
                    .map(|row| decided(row, OccurrenceState::Missed, &reason, now)),
            );
        }
        Ok(told)
    }

    async fn fire_or_wait(
        &self,
        (workflow, newer): (&Arc<Workflow>, Option<&str>),
        scheduling: &WorkflowSchedule,
        row: OccurrenceRow,
        place: usize,
        now: Timestamp,
    ) -> Result<OccurrenceRow, LedgerError> {
        let earlier = match scheduling.overlap {
            Overlap::Allow => None,
            Overlap::Skip | Overlap::Queue => self.ledger.unfinished_run_of(&workflow.name).await?,
        };
        match (scheduling.overlap, earlier) {
            (_, None) | (Overlap::Allow, _) => {
                self.fire((workflow, newer), row, &Actor::schedule(), now)
                    .await
            }
            (Overlap::Queue, Some(run)) if place < QUEUE_MAX => {
                if row.state == OccurrenceState::Queued {
                    return Ok(row);
                }
                self.decide(
                    row,
                    OccurrenceState::Queued,
                    &format!("waits until run {run} has ended"),
                    now,
                )
                .await
            }
            (Overlap::Queue, Some(_)) => {
                self.decide(
                    row,
                    OccurrenceState::Skipped,
                    &format!("{QUEUE_MAX} wait already"),
                    now,
                )
                .await
            }
            (Overlap::Skip, Some(run)) => {
                self.decide(
                    row,
                    OccurrenceState::Skipped,
                    &format!("run {run} had not ended"),
                    now,
                )
                .await
            }
        }
    }

    /// Plans the run of an occurrence, unless it has one.
    ///
    /// # Errors
    /// Whatever the ledger says; then it is due as before.
    pub(super) async fn fire(
        &self,
        (workflow, newer): (&Arc<Workflow>, Option<&str>),
        row: OccurrenceRow,
        author: &Actor,
        now: Timestamp,
    ) -> Result<OccurrenceRow, LedgerError> {
        let request = match request(workflow, &row, author) {
            Ok(request) => request,
            Err(reason) => {
                return self
                    .failed(row, (FailureCode::InvalidWorkflow, &reason), now)
                    .await;
            }
        };
        // A process that ends leaves it due: another one, or the next, fires it.
        let Some(place) = self.places.wait().await else {
            return Ok(row);
        };
        let planned = self.plan(&request, &Arc::default()).await;
        drop(place);
        match planned {
            Ok(planned) => {
                failpoint::hit("after_plan");
                self.fired(row, Some(planned.run_id), newer, now).await
            }
            Err(PlanError::Ledger(LedgerError::RunExists { .. })) => {
                self.fired(row, None, newer, now).await
            }
            Err(PlanError::Ledger(error)) => Err(error),
            Err(PlanError::Stopped { .. }) => Ok(row),
            Err(
                error @ (PlanError::Source { .. }
                | PlanError::Rows { .. }
                | PlanError::FileChanged { .. }
                | PlanError::Workflow(_)
                | PlanError::Future { .. }
                | PlanError::NoFile { .. }
                | PlanError::NoSuchJob { .. }
                | PlanError::Late { .. }
                | PlanError::Withdrawn { .. }
                | PlanError::Sealed { .. }
                | PlanError::References(_)
                | PlanError::Limit { .. }
                | PlanError::Broken { .. }),
            ) => self.failed(row, (error.code(), &chain(&error)), now).await,
        }
    }

    /// Tells an occurrence of its run, which it may have from before.
    async fn fired(
        &self,
        row: OccurrenceRow,
        run_id: Option<i64>,
        newer: Option<&str>,
        now: Timestamp,
    ) -> Result<OccurrenceRow, LedgerError> {
        let known = match run_id.or(row.run_id) {
            Some(run_id) => Some(run_id),
            None => self
                .ledger
                .run_of(&row.workflow, &row.nominal)
                .await?
                .map(|run| run.id),
        };
        let Some(run_id) = known else { return Ok(row) };
        let reason = row
            .reason
            .clone()
            .filter(|_| row.state == OccurrenceState::Due);
        let newer = newer.map(|mistakes| {
            let said = format!("with the last valid version of its file, which was saved since with mistakes: {mistakes}");
            said.chars().take(REASON_MAX).collect::<String>()
        });
        let reason = match (reason, newer) {
            (Some(reason), Some(newer)) => Some(format!("{reason}; {newer}")),
            (reason, newer) => reason.or(newer),
        };
        let row = OccurrenceRow {
            state: OccurrenceState::Fired,
            run_id: Some(run_id),
            reason,
            failure_code: None,
            changed_at: now,
            ..row
        };
        self.ledger.occurrence_fired(&row, run_id, now).await?;
        tracing::info!(
            workflow = row.workflow,
            occurrence = row.nominal,
            run.id = run_id,
            "a schedule fired"
        );
        Ok(row)
    }

    async fn failed(
        &self,
        row: OccurrenceRow,
        (code, reason): (FailureCode, &str),
        now: Timestamp,
    ) -> Result<OccurrenceRow, LedgerError> {
        let reason: String = reason.chars().take(REASON_MAX).collect();
        tracing::error!(
            workflow = row.workflow,
            occurrence = row.nominal,
            reason,
            "a schedule could not fire"
        );
        let state = OccurrenceState::Failed;
        self.ledger
            .occurrence_is(&row, (state, Some(code)), &reason, now)
            .await?;
        Ok(OccurrenceRow {
            failure_code: Some(code),
            ..decided(row, state, &reason, now)
        })
    }

    async fn decide(
        &self,
        row: OccurrenceRow,
        state: OccurrenceState,
        reason: &str,
        now: Timestamp,
    ) -> Result<OccurrenceRow, LedgerError> {
        self.ledger
            .occurrence_is(&row, (state, None), reason, now)
            .await?;
        Ok(decided(row, state, reason, now))
    }
}

fn decided(
    row: OccurrenceRow,
    state: OccurrenceState,
    reason: &str,
    now: Timestamp,
) -> OccurrenceRow {
    OccurrenceRow {
        state,
        reason: Some(reason.to_owned()),
        changed_at: now,
        ..row
    }
}

/// Those that are given up, and the others. What waits in the queue is not late.
fn split_late(
    missed: MissedPolicy,
    open: Vec<OccurrenceRow>,
    resumed: Option<Timestamp>,
    now: Timestamp,
) -> (Vec<OccurrenceRow>, Vec<OccurrenceRow>) {
    let due: Vec<Timestamp> = open
        .iter()
        .filter(|row| row.state == OccurrenceState::Due)
        .map(|row| row.at)
        .collect();
    let mut given_up = missed.given_up(&due, resumed, now);
    open.into_iter().partition(|row| {
        let late = given_up > 0 && row.state == OccurrenceState::Due;
        given_up -= usize::from(late);
        late
    })
}

/// What an occurrence's run is: of the nominal date, wherever a calendar moved it.
fn request(
    workflow: &Arc<Workflow>,
    row: &OccurrenceRow,
    author: &Actor,
) -> Result<RunRequest, String> {
    let timezone: chrono_tz::Tz = row
        .timezone
        .parse()
        .map_err(|_| format!("there is no time zone {}", row.timezone))?;
    let nominal = NominalTime::parse(&row.nominal).and_then(|nominal| nominal.instant(timezone));
    let at = nominal.ok_or_else(|| format!("{} is no time", row.nominal))?;
    RunRequest::scheduled(
        Arc::clone(workflow),
        row.nominal.clone(),
        (at, timezone),
        author.clone(),
    )
    .map_err(|wrong| wrong.join("; "))
}
