//! What is to be run: the one way in which a run begins, by a person, a caller of the API, a
//! schedule, or a job whose items come from another.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::{NaiveDate, NaiveTime, TimeZone};
use payrun_domain::actor::Actor;
use payrun_domain::subscription::RunDays;
use payrun_domain::time::Timestamp;
use payrun_ledger::{ChosenColumns, DependentJob, LedgerError};
use payrun_project::config::Config;
use payrun_project::workflow::Workflow;
use payrun_project::workflow::params::bind_params;
use payrun_project::workflow::source::{ReadCancellation, StagedFile, TextEncoding};
use thiserror::Error;

use super::SHOWN;
use crate::contracts::day_of;

/// How long a run may wait before it is sent, at most.
pub const SEND_AFTER_MAX: Duration = Duration::from_secs(7 * 86_400);

/// A run cannot wait so long before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a run is sent from one second to seven days after it is planned, such as 15m")]
pub struct SendAfterError;

/// A run to be planned. It is made by [`RunRequest::manual`], [`RunRequest::scheduled`] or
/// [`RunRequest::dependent`], and nowhere else.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RunRequest {
    /// The workflow.
    pub workflow: Arc<Workflow>,
    /// Its parameters, bound.
    pub params: BTreeMap<String, String>,
    /// What the run is for: a workflow has one run for each.
    pub occurrence: String,
    /// The instant it is for: `run.date` and `run.month` are this one's.
    pub at: Timestamp,
    /// The wall clock of `at`.
    pub timezone: chrono_tz::Tz,
    /// Whether that may be after today.
    pub allow_future: bool,
    /// Who starts it, and can never approve it.
    pub author: Actor,
    /// Other item files than the workflow's, by job.
    pub inputs: BTreeMap<String, Input>,
    /// Which headings of those a person has said are which columns, by job.
    pub columns: BTreeMap<String, ChosenColumns>,
    /// The encoding of those that are not UTF-8; as the workflow says, if none is given.
    pub encoding: Option<TextEncoding>,
    /// The SHA-256, in hex, of item files that somebody has looked at, by job: nothing is planned of
    /// another one.
    pub files_seen: BTreeMap<String, String>,
    /// Who names the workflow's item files.
    pub named_by: FileNamer,
    /// How long nothing of it is sent once it is planned, so that it can be withdrawn.
    pub send_after: Option<Duration>,
    /// Whether to keep the plan.
    pub commit: bool,
    /// Said when nobody waits for the plan any more; none of what goes on without anybody.
    pub cancellation: Option<ReadCancellation>,
    /// How many items, rejected rows and skipped rows of each job are kept to be shown.
    pub shown: usize,
}

/// An item file in place of the workflow's.
#[derive(Debug, Clone)]
pub enum Input {
    /// That a person names.
    Path(PathBuf),
    /// That was sent to the service.
    Sent(Arc<StagedFile>),
}

/// Who names the item files of a workflow, by its parameters: that decides where they may lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileNamer {
    /// Whoever types the command: anywhere.
    Person,
    /// A schedule: in the project.
    Schedule,
    /// A caller of the API: nowhere; the workflow's own files in the project.
    Caller,
}

impl RunRequest {
    /// A run that somebody starts now, called by this instant. `given`: parameters of the workflow.
    ///
    /// # Errors
    /// A sentence for each parameter that is unknown, given twice, of the wrong type, or missing.
    pub fn manual(
        workflow: Arc<Workflow>,
        config: &Config,
        given: &[(String, String)],
        author: Actor,
        now: Timestamp,
    ) -> Result<Self, Vec<String>> {
        Ok(Self {
            params: bind_params(&workflow, given)?,
            occurrence: by_hand(now),
            at: now,
            timezone: workflow.timezone(config.timezone),
            allow_future: false,
            author,
            inputs: BTreeMap::new(),
            columns: BTreeMap::new(),
            encoding: None,
            files_seen: BTreeMap::new(),
            named_by: FileNamer::Person,
            send_after: None,
            commit: true,
            cancellation: None,
            shown: SHOWN,
            workflow,
        })
    }

    /// The run of a schedule's time, which is its occurrence. `at`: the nominal time, wherever a
    /// calendar moved it; so it may be after today.
    ///
    /// # Errors
    /// A sentence for each parameter that has no default.
    pub fn scheduled(
        workflow: Arc<Workflow>,
        occurrence: String,
        (at, timezone): (Timestamp, chrono_tz::Tz),
        author: Actor,
    ) -> Result<Self, Vec<String>> {
        Ok(Self {
            params: bind_params(&workflow, &[])?,
            occurrence,
            at,
            timezone,
            allow_future: true,
            author,
            inputs: BTreeMap::new(),
            columns: BTreeMap::new(),
            encoding: None,
            files_seen: BTreeMap::new(),
            named_by: FileNamer::Schedule,
            send_after: None,
            commit: true,
            cancellation: None,
            shown: SHOWN,
            workflow,
        })
    }

    /// The part of a run that is planned when the job it takes its items from has ended: what the
    /// run was begun with. `workflow` is the file as it was then.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] if the run's parameters, instant or time zone cannot be read.
    pub fn dependent(job: &DependentJob, workflow: Arc<Workflow>) -> Result<Self, LedgerError> {
        let corrupt = |column| LedgerError::corrupt("runs", job.run_id, column);
        Ok(Self {
            params: serde_json::from_str(&job.params).map_err(|_| corrupt("params"))?,
            occurrence: job.occurrence.clone(),
            at: job.at.in_calendar().ok_or_else(|| corrupt("at"))?,
            timezone: job.timezone.parse().map_err(|_| corrupt("timezone"))?,
            // Whoever began the run has said so.
            allow_future: true,
            // The ledger has who began it.
            author: Actor::payrun(),
            inputs: BTreeMap::new(),
            columns: BTreeMap::new(),
            encoding: None,
            files_seen: BTreeMap::new(),
            named_by: FileNamer::Schedule,
            send_after: None,
            commit: true,
            cancellation: None,
            shown: SHOWN,
            workflow,
        })
    }

    /// Sent no sooner than so long after it is planned: from a second to [`SEND_AFTER_MAX`].
    ///
    /// # Errors
    /// If it is none of those.
    pub fn sent_after(self, delay: Duration) -> Result<Self, SendAfterError> {
        if !(Duration::from_secs(1)..=SEND_AFTER_MAX).contains(&delay) {
            return Err(SendAfterError);
        }
        Ok(Self {
            send_after: Some(delay),
            ..self
        })
    }

    /// Only shown: nothing of it is kept.
    #[must_use]
    pub fn preview(self) -> Self {
        Self {
            commit: false,
            ..self
        }
    }

    /// As a caller of the API begins it, under the caller's own name for it.
    #[must_use]
    pub fn of_caller(self, occurrence: String) -> Self {
        Self {
            occurrence,
            named_by: FileNamer::Caller,
            ..self
        }
    }

    /// Under the name of a later instant.
    #[must_use]
    pub fn renamed(self, now: Timestamp) -> Self {
        Self {
            occurrence: by_hand(now),
            ..self
        }
    }

    /// For a day: its noon on the workflow's wall clock; none where that clock has no such day.
    #[must_use]
    pub fn on(self, date: NaiveDate) -> Option<Self> {
        let noon = date.and_time(NaiveTime::from_hms_opt(12, 0, 0)?);
        let instant = self.timezone.from_local_datetime(&noon).earliest()?;
        let at = Timestamp::from_millis(instant.timestamp_millis());
        Some(Self { at, ..self })
    }

    /// The day it is for, and the day it is.
    pub fn days(&self, now: Timestamp) -> RunDays {
        RunDays {
            on: day_of(self.at, self.timezone),
            today: day_of(now, self.timezone),
        }
    }
}

/// What a run by hand is called: by its instant.
fn by_hand(now: Timestamp) -> String {
    let now = chrono::DateTime::from_timestamp_millis(now.millis()).unwrap_or_default();
    format!("manual {}", now.format("%Y-%m-%dT%H:%M:%S%.3fZ"))
}
