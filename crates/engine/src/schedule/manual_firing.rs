//! Firing an occurrence at a person's request: one that was missed, skipped or failed, under its own
//! name, so that it is still the one run of its time.

use std::sync::Arc;

use thiserror::Error;

use super::Engine;
use super::record::occurrence;
use payrun_domain::actor::Actor;
use payrun_domain::occurrence::OccurrenceState;
use payrun_domain::time::Timestamp;
use payrun_domain::timetable::NominalTime;
use payrun_ledger::{LedgerError, NewOccurrence, OccurrenceRow};
use payrun_project::workflow::Workflow;

/// What became of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManualFiring {
    /// It has a run now.
    Fired(OccurrenceRow),
    /// It had one before.
    HasRun(OccurrenceRow),
    /// Its run could not be planned.
    Failed(OccurrenceRow),
}

/// Why there is nothing to fire.
#[derive(Debug, Error)]
pub enum ManualFiringError {
    /// The workflow fires by itself at no time.
    #[error("{workflow} has no schedule")]
    NoSchedule {
        /// Which workflow.
        workflow: String,
    },
    /// No clock shows it, and another time of its date fires for it.
    #[error(
        "{nominal} of {workflow} does not fire by itself: the clock skips it, and {instead} fires for it"
    )]
    OtherFires {
        /// Which workflow.
        workflow: String,
        /// Which time.
        nominal: NominalTime,
        /// Which one fires.
        instead: NominalTime,
    },
    /// It has no such time.
    #[error("the schedule of {workflow} names no time {nominal}")]
    NoSuchTime {
        /// Which workflow.
        workflow: String,
        /// Which time.
        nominal: NominalTime,
    },
    /// It will fire by itself.
    #[error("{nominal} of {workflow} is not due before {at}")]
    NotYet {
        /// Which workflow.
        workflow: String,
        /// Which time.
        nominal: NominalTime,
        /// When it is due.
        at: Timestamp,
    },
    /// The ledger.
    #[error("nothing was fired")]
    Ledger(#[from] LedgerError),
}

impl Engine {
    /// Fires an occurrence, whatever became of it before. What has a run keeps that one; of a new
    /// one `author` is who began it.
    ///
    /// # Errors
    /// [`ManualFiringError`]; then nothing was planned.
    pub async fn fire_manually(
        &self,
        workflow: &Arc<Workflow>,
        nominal: NominalTime,
        author: &Actor,
        now: Timestamp,
    ) -> Result<ManualFiring, ManualFiringError> {
        let known = self
            .ledger
            .occurrence(&workflow.name, &nominal.to_string())
            .await?;
        if let Some(row) = known
            .as_ref()
            .filter(|row| row.state == OccurrenceState::Fired)
        {
            return Ok(ManualFiring::HasRun(row.clone()));
        }
        let requested = NewOccurrence {
            state: OccurrenceState::Due,
            reason: Some("fired by hand".to_owned()),
            ..of(workflow, nominal, known.as_ref())?
        };
        if requested.at > now {
            return Err(ManualFiringError::NotYet {
                workflow: workflow.name.clone(),
                nominal,
                at: requested.at,
            });
        }
        // Nothing is noted before the run is planned: what is due would be fired by the schedule,
        // as if nobody had begun it.
        let row = OccurrenceRow {
            workflow: workflow.name.clone(),
            nominal: requested.nominal,
            at: requested.at,
            timezone: requested.timezone,
            state: requested.state,
            run_id: None,
            reason: requested.reason,
            failure_code: None,
            changed_at: now,
        };
        let had_run = self
            .ledger
            .run_of(&row.workflow, &row.nominal)
            .await?
            .is_some();
        let row = self.fire((workflow, None), row, author, now).await?;
        Ok(match row.state {
            OccurrenceState::Fired if had_run => ManualFiring::HasRun(row),
            OccurrenceState::Fired => ManualFiring::Fired(row),
            OccurrenceState::Due
            | OccurrenceState::Queued
            | OccurrenceState::Skipped
            | OccurrenceState::Missed
            | OccurrenceState::Failed => ManualFiring::Failed(row),
        })
    }
}

/// The occurrence as it was noted, or as the schedule has it now.
fn of(
    workflow: &Workflow,
    nominal: NominalTime,
    known: Option<&OccurrenceRow>,
) -> Result<NewOccurrence, ManualFiringError> {
    if let Some(row) = known {
        return Ok(NewOccurrence {
            nominal: row.nominal.clone(),
            at: row.at,
            timezone: row.timezone.clone(),
            state: row.state,
            reason: None,
        });
    }
    let name = || workflow.name.clone();
    let scheduling = workflow
        .schedule
        .as_ref()
        .ok_or_else(|| ManualFiringError::NoSchedule { workflow: name() })?;
    let timetable = &scheduling.timetable;
    let firing =
        timetable
            .at(nominal)
            .ok_or_else(|| match timetable.fires_instead_of(nominal) {
                Some(instead) => ManualFiringError::OtherFires {
                    workflow: name(),
                    nominal,
                    instead,
                },
                None => ManualFiringError::NoSuchTime {
                    workflow: name(),
                    nominal,
                },
            })?;
    Ok(occurrence(&scheduling.timetable, &firing))
}
