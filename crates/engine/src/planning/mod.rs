//! Planning a run: rows are read, rendered and checked on one thread and written by another, and
//! nothing of it is seen before all is there.
//!
//! A bad row is kept as `rejected` with its line and reason and never costs the good ones. Over a
//! limit nothing is planned at all. A dry plan goes the same way and is rolled back at the end.
//! Memory stays flat however long the file is.

mod check_files;
mod dependent_jobs;
pub(crate) mod item_builder;
pub(crate) mod plan_permits;
mod request;
pub(crate) mod row_source;

pub use check_files::{FileFindings, check_files};
pub use request::{FileNamer, Input, RunRequest, SEND_AFTER_MAX, SendAfterError};

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::NaiveDate;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::Engine;
use crate::attempt::refiling;
use crate::contracts::{self, ContractRows};
use crate::operator::path_within;
use crate::planning::item_builder::ItemBuilder;
use crate::planning::row_source::{JobItems, RowReadError, RowStream, UsedColumns};
use crate::references::ReferenceKeyError;
use crate::vault::VaultError;
use payrun_domain::ids::{KeyHash, OrderNumber};
use payrun_domain::item::State;
use payrun_domain::message::Message;
use payrun_domain::money::{Amount, Currency, decimal_text};
use payrun_domain::reason::FailureCode;
use payrun_domain::subscription::RunDays;
use payrun_ledger::{
    LedgerError, NewApproval, NewItem, NewJob, NewRun, PlanWriter, PlannedContract, RejectedRow,
    WhoseJob,
};
use payrun_project::config::Config;
use payrun_project::job_kinds::StatementRole;
use payrun_project::workflow::params::RunValues;
use payrun_project::workflow::render::{Renderer, RowNotices, render_constant, with_id_columns};
use payrun_project::workflow::source::{
    self, FileReach, FileReading, FileRow, ReadCancellation, RowError, SourceError, StagedFile,
};
use payrun_project::workflow::{ItemSource, Job, Limits, Template, Workflow, unused_columns};
use payrun_yaml::diagnostics::Diagnostics;

/// How many rows are written at a time.
const CHUNK: usize = 2000;

/// How many items and refused rows of a job are kept to be shown where nobody asks for more.
pub const SHOWN: usize = 20;

/// The most items of a batch that waits for approval: they are released in one transaction.
pub(super) const APPROVED_AT_ONCE: u64 = 200_000;

/// The most minor units of all rows of a job: a ledger sums a hundred such jobs.
const SUM_MAX: i128 = i64::MAX as i128 / 100;

/// How far back the runs of another workflow begin whose items are taken.
const PAST: Duration = Duration::from_secs(30 * 24 * 3_600);

/// What was planned.
#[derive(Debug, Clone)]
pub struct PlannedRun {
    /// The run.
    pub run_id: i64,
    /// Its jobs.
    pub jobs: Vec<PlannedJob>,
}

/// What was planned of a job.
#[derive(Debug, Clone, Default)]
pub struct PlannedJob {
    /// Its name in the workflow.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The gateway account.
    pub gateway: String,
    /// Items to be sent.
    pub items: u64,
    /// Their money: minor units by currency.
    pub totals: BTreeMap<&'static str, (i64, Currency)>,
    /// The amounts of all rows, whatever becomes of them: minor units by currency.
    sums: BTreeMap<&'static str, i128>,
    /// What the job's condition leaves out, and what was taken off around names.
    pub noted: RowNotices,
    /// Rows that were skipped.
    pub skipped: u64,
    /// Of those, rows whose key an earlier run has.
    pub planned_before: u64,
    /// Of those, rows that say something else than what was planned, such as another buyer, and are
    /// not filed.
    pub changed: u64,
    /// The first of these.
    pub first_changed: Vec<RejectedRow>,
    /// Rows that were refused.
    pub rejected: u64,
    /// Items that file again what has failed, with other content.
    pub filed_again: u64,
    /// How its file was understood, where its items come from one.
    pub reading: Option<FileReading>,
    /// Whether its items are planned later, when the job they come from has ended.
    pub late: bool,
    /// What its items wait for, if they need approval.
    pub approval: Option<NewApproval>,
    /// How many of each are kept to be shown.
    shown: usize,
    /// The first items.
    pub first: Vec<NewItem>,
    /// The first rows that were skipped or refused.
    pub refusals: Vec<RejectedRow>,
}

/// Why nothing was planned.
#[derive(Debug, Error)]
pub enum PlanError {
    /// The run is for a day after today, and nobody has said that this is meant.
    Future {
        /// The day the run is for.
        date: NaiveDate,
        /// The day it is.
        today: NaiveDate,
        /// On which wall clock.
        timezone: chrono_tz::Tz,
        /// What would be sent.
        would: String,
    },
    /// An item file cannot be read.
    Source {
        /// Which job.
        job: String,
        /// Why.
        #[source]
        source: Box<SourceError>,
    },
    /// An item file becomes unreadable in the middle.
    Rows {
        /// Which job.
        job: String,
        /// Where and why.
        error: RowError,
    },
    /// Another item file is there than the one that was looked at.
    FileChanged {
        /// Which job.
        job: String,
        /// The file, as people know it.
        file: String,
    },
    /// The workflow does not fit the item file.
    Workflow(Diagnostics),
    /// A file was given to a job that reads none.
    NoFile {
        /// Which job.
        job: String,
    },
    /// A job takes its items from one that does not exist.
    NoSuchJob {
        /// Which job.
        job: String,
        /// From which.
        from: String,
    },
    /// A job that takes its items from another of its run.
    Late {
        /// Which job.
        job: String,
        /// Why.
        reason: String,
    },
    /// A job of a run that was withdrawn before it was planned.
    Withdrawn {
        /// Which job.
        job: String,
        /// By whom, and why.
        by: String,
    },
    /// What was filed before cannot be compared with the rows.
    Sealed {
        /// Which job.
        job: String,
        /// Why.
        #[source]
        source: VaultError,
    },
    /// What may be personal of the rows cannot be hashed.
    References(#[source] VaultError),
    /// Over a limit of the workflow's.
    Limit {
        /// Which job.
        job: String,
        /// Which limit, and by how much.
        what: Message,
    },
    /// The ledger.
    Ledger(#[from] LedgerError),
    /// The process is about to end, or nobody waits for the plan.
    Stopped {
        /// Which job.
        job: String,
    },
    /// The reading thread died.
    Broken {
        /// Which job.
        job: String,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

impl PlanError {
    /// Why, without the cause of what could not be read.
    pub fn message(&self) -> Message {
        let of_job = |job: &String, message: Message| message.with("job", job);
        match self {
            Self::Future {
                date,
                today,
                timezone,
                would,
            } => Message::new(
                "plan-future",
                "{date} is after today, {today} in {timezone}; a run for that day would send: {would}; nothing was planned and nothing is \
                 sent",
            )
            .with("date", date.to_string())
            .with("today", today.to_string())
            .with("timezone", timezone.name())
            .with("would", would),
            Self::Source { job, source: _ } => {
                of_job(job, Message::new("plan-source", "job {job}: nothing was planned"))
            }
            Self::Rows { job, error } => of_job(
                job,
                Message::new("plan-rows", "job {job}: line {line}: {reason}; nothing was planned"),
            )
            .with("line", error.line)
            .with("reason", error.reason.clone()),
            Self::Workflow(found) => Message::plain(found.to_string()),
            Self::NoFile { job } => of_job(
                job,
                Message::new(
                    "plan-no-file",
                    "job {job} does not take its items from a file, so none can be given to it",
                ),
            ),
            Self::FileChanged { job, file } => of_job(
                job,
                Message::new(
                    "plan-file-changed",
                    "job {job}: {file} is another file by now than the one that was looked at; nothing was planned",
                ),
            )
            .with("file", file.clone()),
            Self::NoSuchJob { job, from } => of_job(
                job,
                Message::new(
                    "plan-no-such-job",
                    "job {job}: there is no job {from} to take items from; it has never run",
                ),
            )
            .with("from", from),
            Self::Late { job, reason } => of_job(
                job,
                Message::new("plan-late", "job {job} could not be planned: {reason}"),
            )
            .with("reason", reason),
            Self::Withdrawn { job, by } => of_job(
                job,
                Message::new(
                    "plan-withdrawn",
                    "job {job} is not planned: its run was withdrawn by {by}",
                ),
            )
            .with("by", by),
            Self::Sealed { job, source: _ } => of_job(
                job,
                Message::new(
                    "plan-sealed",
                    "job {job}: what was filed before cannot be read; nothing was planned",
                ),
            ),
            Self::References(_) => Message::new(
                "plan-references",
                "searchable columns cannot be hashed; nothing was planned",
            ),
            Self::Limit { job, what } => of_job(
                job,
                Message::new(
                    "plan-limit",
                    "job {job} is over its limit: {what}; nothing was planned and nothing is sent",
                ),
            )
            .with("what", what.clone()),
            Self::Ledger(_) => Message::new("plan-nothing", "nothing was planned"),
            Self::Stopped { job } => of_job(
                job,
                Message::new(
                    "plan-stopped",
                    "the process ends before job {job} was planned; nothing was planned",
                ),
            ),
            Self::Broken { job } => of_job(
                job,
                Message::new(
                    "plan-broken",
                    "the reading of job {job} broke off; nothing was planned",
                ),
            ),
        }
    }

    /// Why, with the cause.
    pub fn whole_message(&self) -> Message {
        let cause = match self {
            Self::Source { source, .. } => {
                let causes =
                    std::error::Error::source(source.as_ref()).map(payrun_system::errors::chain);
                let causes = causes.map(|causes| Message::plain(format!(": {causes}")));
                Message::new("plan-cause", "{cause}{causes}")
                    .with("cause", source.message())
                    .with("causes", causes)
            }
            Self::Sealed { source, .. } | Self::References(source) => source.message(),
            Self::Future { .. }
            | Self::Rows { .. }
            | Self::Workflow(_)
            | Self::NoFile { .. }
            | Self::FileChanged { .. }
            | Self::NoSuchJob { .. }
            | Self::Late { .. }
            | Self::Withdrawn { .. }
            | Self::Limit { .. }
            | Self::Ledger(_)
            | Self::Stopped { .. }
            | Self::Broken { .. } => return self.message(),
        };
        Message::new("plan-because", "{what}: {cause}")
            .with("what", self.message())
            .with("cause", cause)
    }

    /// The same for programs.
    pub const fn code(&self) -> FailureCode {
        match self {
            Self::Limit { .. } => FailureCode::OverLimit,
            Self::Source { .. } | Self::Rows { .. } | Self::FileChanged { .. } => {
                FailureCode::UnreadableItems
            }
            Self::Workflow(_) | Self::NoFile { .. } | Self::Late { .. } => {
                FailureCode::InvalidWorkflow
            }
            Self::Future { .. } => FailureCode::FutureDate,
            Self::Withdrawn { .. } => FailureCode::Withdrawn,
            Self::NoSuchJob { .. } => FailureCode::NoSuchJob,
            Self::Sealed { .. } | Self::References(_) => FailureCode::UnreadableHistory,
            Self::Ledger(_) | Self::Stopped { .. } | Self::Broken { .. } => {
                FailureCode::Interrupted
            }
        }
    }
}

impl Engine {
    /// Plans a run. `rows` counts the rows that have been read, for a progress bar.
    ///
    /// # Errors
    /// [`PlanError`]; then nothing at all was planned.
    #[tracing::instrument(name = "plan", skip_all, fields(workflow.name = request.workflow.name, run.occurrence = request.occurrence))]
    pub async fn plan(
        &self,
        request: &RunRequest,
        rows: &Arc<AtomicU64>,
    ) -> Result<PlannedRun, PlanError> {
        for job in &request.workflow.jobs {
            if request.inputs.contains_key(&job.name)
                && !matches!(job.items.source, ItemSource::File { .. })
            {
                return Err(PlanError::NoFile {
                    job: job.name.clone(),
                });
            }
        }
        let run = NewRun {
            workflow: request.workflow.name.clone(),
            occurrence: request.occurrence.clone(),
            source: request.workflow.source.clone(),
            file: path_within(&self.config.workflows, &request.workflow.path),
            params: serde_json::to_string(&request.params).unwrap_or_default(),
            at: request.at,
            timezone: request.timezone.name().to_owned(),
            author: request.author.clone(),
            now: self.clock.now(),
        };
        let hashing = self.reference_key_for(&request.workflow).await;
        hashing.map_err(|error| match error {
            ReferenceKeyError::Ledger(error) => PlanError::Ledger(error),
            ReferenceKeyError::Vault(error) => PlanError::References(error),
        })?;
        // Whatever a file does, nobody waits for the ledger because of it.
        let mut staged = self.stage(request).await?;
        let mut planning = match self.only_adds(&request.workflow) {
            true => {
                self.ledger
                    .plan_in_steps(run, request.workflow.jobs.len())
                    .await?
            }
            false => self.ledger.plan(run).await?,
        };
        if request.workflow.report {
            planning.report_at_end();
        }
        if let Some(delay) = request.send_after {
            planning.send_at(planning.now().plus(delay));
        }
        let run_id = planning.run_id();
        let mut jobs = Vec::with_capacity(request.workflow.jobs.len());
        for place in 0..request.workflow.jobs.len() {
            let file = staged.remove(&request.workflow.jobs[place].name);
            match self
                .plan_job(&mut planning, request, (place, file), rows)
                .await
            {
                Ok(job) => jobs.push(job),
                Err(error) => {
                    planning.abandon().await?;
                    return Err(error);
                }
            }
        }
        let days = request.days(self.clock.now());
        let meant = days.on <= days.today || request.allow_future;
        if request.commit && meant {
            // However long the planning took, the time to withdraw begins where it ends.
            if let Some(delay) = request.send_after {
                planning.send_at(self.clock.now().plus(delay));
            }
            planning.commit().await?;
        } else {
            planning.abandon().await?;
        }
        if request.commit && !meant {
            let RunDays { on: date, today } = days;
            return Err(PlanError::Future {
                date,
                today,
                timezone: request.timezone,
                would: would_send(&jobs),
            });
        }
        Ok(PlannedRun { run_id, jobs })
    }

    async fn plan_job(
        &self,
        planning: &mut PlanWriter,
        request: &RunRequest,
        (place, file): (usize, Option<source::FileRows>),
        rows: &Arc<AtomicU64>,
    ) -> Result<PlannedJob, PlanError> {
        let job = &request.workflow.jobs[place];
        let late = matches!(job.items.source, ItemSource::Job { workflow: None, .. });
        let new = NewJob {
            name: job.name.clone(),
            kind: job.kind.name.clone(),
            lane: job.gateway.clone(),
            account: self
                .accounts
                .get(&job.gateway)
                .map(|account| account.identity.clone())
                .unwrap_or_default(),
            needs: job.needs.clone(),
            policy: job.policy.clone(),
            rate: job.rate,
            concurrency: job.concurrency,
            planned_with_run: !late,
            file: file.as_ref().and_then(|rows| {
                let reading = with_id_columns(rows.reading(), job, rows.columns());
                serde_json::to_string(&reading).ok()
            }),
        };
        let job_id = planning.job(new).await?;
        if late {
            return Ok(PlannedJob {
                late: true,
                ..PlannedJob::of(job)
            });
        }
        self.plan_items(planning, job_id, request, (place, file), rows)
            .await
    }

    /// Plans the items of a job. Nothing is kept until the plan is committed.
    pub(super) async fn plan_items(
        &self,
        planning: &mut PlanWriter,
        job_id: i64,
        request: &RunRequest,
        (place, file): (usize, Option<source::FileRows>),
        rows: &Arc<AtomicU64>,
    ) -> Result<PlannedJob, PlanError> {
        let job = &request.workflow.jobs[place];
        let before = planning.newest_item().await?;
        let reading = file.as_ref().map(|rows| rows.reading().clone());
        let (chunks, mut inbox) = mpsc::channel(2);
        let reader = {
            let (request, rows, engine, run_id) = (
                request.clone(),
                Arc::clone(rows),
                self.clone(),
                planning.run_id(),
            );
            let runtime = tokio::runtime::Handle::current();
            tokio::task::spawn_blocking(move || {
                let reader = PlanReader {
                    engine: &engine,
                    runtime,
                    request: &request,
                    run_id,
                };
                reader.read_rows((place, file), &rows, &chunks)
            })
        };
        let mut planned = PlannedJob {
            shown: request.shown,
            reading,
            ..PlannedJob::of(job)
        };
        let (again, personal) = (
            self.files_again(job),
            job.kind.fields.iter().any(|field| field.sensitive),
        );
        let compared =
            (again || personal).then(|| (ItemBuilder::of(job, planning.run_id(), self), again));
        let mut written = Ok(());
        let stopped = ContractColumn::of(self, planning, job).await?;
        planning.step().await?;
        while let Some(chunk) = inbox.recv().await {
            written = self
                .write_chunk(
                    planning,
                    job_id,
                    chunk,
                    (job, &stopped),
                    &self.ending_of(request),
                    (&mut planned, compared.as_ref()),
                )
                .await;
            if written.is_err() {
                break;
            }
        }
        drop(inbox);
        let read = reader.await.map_err(|_| PlanError::Broken {
            job: job.name.clone(),
        })?;
        written?;
        if read.is_err() && self.ending_of(request).is_said() {
            return Err(PlanError::Stopped {
                job: job.name.clone(),
            });
        }
        read?;
        planning.job_planned(job_id, before, None).await?;
        planned.approval = self.approval_of(job, &planned);
        if planned.approval.is_some() && planned.items > APPROVED_AT_ONCE {
            let what = Message::new(
                "limit-approval",
                "more than {most} items that wait for one approval; cut the file into several",
            );
            let what = what.with("most", APPROVED_AT_ONCE);
            return Err(PlanError::Limit {
                job: job.name.clone(),
                what,
            });
        }
        if let Some(approval) = &planned.approval {
            planning.hold(job_id, approval).await?;
        }
        Ok(planned)
    }
}

impl Engine {
    async fn write_chunk(
        &self,
        planning: &mut PlanWriter,
        job_id: i64,
        mut chunk: RowChunk,
        (job, stopped): (&Job, &Option<ContractColumn>),
        ending: &ReadCancellation,
        (planned, compared): (&mut PlannedJob, Option<&(ItemBuilder, bool)>),
    ) -> Result<(), PlanError> {
        loop {
            // What is under way is settled then, and waits for this turn.
            if ending.is_said() {
                return Err(PlanError::Stopped {
                    job: job.name.clone(),
                });
            }
            let waits = planning.waits_for_parts(&chunk.items).await?
                || (planning.is_in_steps() && planning.waits_for_another(&chunk.items).await?);
            if !waits {
                break;
            }
        }
        if let Some(stopped) = stopped {
            stopped.refuse(planning, &mut chunk).await?;
        }
        write(planning, job_id, chunk, (&mut *planned, compared)).await?;
        within_limits(&job.limits, planned)?;
        planning.step_after_turn().await?;
        Ok(())
    }

    /// What ends a plan: its own cancellation, or the end of the process.
    fn ending_of(&self, request: &RunRequest) -> ReadCancellation {
        let own = request.cancellation.clone();
        own.unwrap_or_else(|| self.places.ending())
    }

    /// Copies the item files of a run and opens the copies, by job.
    async fn stage(
        &self,
        request: &RunRequest,
    ) -> Result<BTreeMap<String, source::FileRows>, PlanError> {
        let mut staged = BTreeMap::new();
        for job in &request.workflow.jobs {
            let ItemSource::File { file, options } = &job.items.source else {
                continue;
            };
            let failed = |source| PlanError::Source {
                job: job.name.clone(),
                source: Box::new(source),
            };
            let from = request.file_of(job, file, &self.config)?;
            let mut options = options.clone();
            if request.inputs.contains_key(&job.name) {
                options.encoding = request.encoding.or(options.encoding);
                let chosen = request.columns.get(&job.name);
                options.chosen = chosen.cloned().unwrap_or_default();
            }
            let (max, ending) = (self.config.input_mib, self.ending_of(request));
            let opening = tokio::task::spawn_blocking(move || match from {
                ItemFileOrigin::Copy(staged) => staged.rows(&options, &ending),
                ItemFileOrigin::Path(path, reach) => {
                    StagedFile::of(&path, &reach, max, &ending)?.rows(&options, &ending)
                }
            });
            let opened = opening.await.map_err(|_| PlanError::Broken {
                job: job.name.clone(),
            })?;
            if opened.is_err() && self.ending_of(request).is_said() {
                return Err(PlanError::Stopped {
                    job: job.name.clone(),
                });
            }
            let mut opened = opened.map_err(failed)?;
            let reading = opened.reading();
            if let Some(seen) = request.files_seen.get(&job.name)
                && reading.sha256.as_ref() != Some(seen)
            {
                return Err(PlanError::FileChanged {
                    job: job.name.clone(),
                    file: reading.shown_name().to_owned(),
                });
            }
            let unused = unused_columns(job, opened.columns(), opened.reading());
            opened.tell_unused(unused);
            staged.insert(job.name.clone(), opened);
        }
        Ok(staged)
    }
}

/// From where a job's item file comes.
enum ItemFileOrigin {
    Copy(Arc<StagedFile>),
    Path(PathBuf, FileReach),
}

impl RunRequest {
    /// The item file of a job.
    fn file_of(
        &self,
        job: &Job,
        file: &Template,
        config: &Config,
    ) -> Result<ItemFileOrigin, PlanError> {
        match self.inputs.get(&job.name) {
            Some(Input::Sent(sent)) => Ok(ItemFileOrigin::Copy(Arc::clone(sent))),
            Some(Input::Path(path)) => Ok(ItemFileOrigin::Path(path.clone(), FileReach::Person)),
            None => {
                let path = self.path_of(file, &self.params)?;
                let reach = self.reach(file, &path, config);
                let reach = reach.map_err(|source| PlanError::Source {
                    job: job.name.clone(),
                    source: Box::new(source),
                })?;
                Ok(ItemFileOrigin::Path(path, reach))
            }
        }
    }

    /// Where the workflow says that an item file lies.
    fn path_of(
        &self,
        file: &Template,
        params: &BTreeMap<String, String>,
    ) -> Result<PathBuf, PlanError> {
        // A run has no number before it is planned.
        let run = RunValues::new(
            &self.workflow.name,
            &self.occurrence,
            "",
            self.at,
            self.timezone,
        );
        let name = render_constant(file, &run, params).map_err(|what| {
            PlanError::Workflow(Diagnostics::from(file.diagnostic(what.to_string())))
        })?;
        Ok(self.workflow.folder.join(name))
    }

    /// From where a file of the workflow may come.
    fn reach(
        &self,
        file: &Template,
        path: &Path,
        config: &Config,
    ) -> Result<FileReach, SourceError> {
        let folders = || {
            let project = [&config.folder, &self.workflow.folder];
            project.into_iter().chain(&config.inputs).cloned().collect()
        };
        match self.named_by {
            FileNamer::Person => Ok(FileReach::Person),
            FileNamer::Schedule => Ok(FileReach::Schedule(folders())),
            FileNamer::Caller if !self.is_own(file, path) => Err(SourceError::Outside {
                path: path.to_owned(),
            }),
            FileNamer::Caller => Ok(FileReach::Caller(folders())),
        }
    }

    /// Whether a file is the one of the workflow itself, which no parameter that was given has a
    /// part in.
    fn is_own(&self, file: &Template, path: &Path) -> bool {
        let defaults = self.workflow.params.iter();
        let defaults = defaults
            .filter_map(|param| Some((param.name.clone(), param.default.clone()?)))
            .collect();
        self.path_of(file, &defaults).is_ok_and(|own| own == path)
    }
}

/// What would be sent, by job.
fn would_send(jobs: &[PlannedJob]) -> String {
    let one = |job: &PlannedJob| {
        let money = if job.totals.is_empty() {
            String::new()
        } else {
            format!(" ({})", money_text(&job.totals))
        };
        format!("job {} {}{money}", job.name, job.items)
    };
    jobs.iter()
        .filter(|job| !job.late)
        .map(one)
        .collect::<Vec<_>>()
        .join(", ")
}

impl Engine {
    /// Whether a plan changes nothing that was there before, and nothing of before decides on more
    /// than a key: no period of a contract is accounted for, nothing is filed again, nothing is for a
    /// whole or its parts, and nothing names a payment by two numbers.
    fn only_adds(&self, workflow: &Workflow) -> bool {
        let changes = |job: &Job| {
            matches!(job.items.source, ItemSource::Contracts)
                || self.files_again(job)
                || job.kind.whole_or_parts.is_some()
                || job.kind.payment_names.is_some()
        };
        !workflow.jobs.iter().any(changes)
    }

    /// Whether a job's rows do again what has failed under their keys, on its gateway.
    fn files_again(&self, job: &Job) -> bool {
        let again = job
            .kind
            .redo_with
            .as_ref()
            .and_then(|kind| self.job_kinds.by_name.get(kind));
        let account = self.accounts.get(&job.gateway);
        again
            .zip(account)
            .is_some_and(|(kind, account)| kind.gateways.contains_key(account.kind))
    }

    /// What the items of a job wait for, if they have to be approved.
    fn approval_of(&self, job: &Job, planned: &PlannedJob) -> Option<NewApproval> {
        let sums = planned
            .totals
            .iter()
            .map(|(code, (minor, _))| (*code, *minor));
        let approval = job
            .approval
            .as_ref()
            .filter(|approval| planned.items > 0 && approval.is_needed(sums))?;
        Some(NewApproval {
            needed: approval.by,
            expires_at: self.clock.now().plus(approval.expires),
        })
    }
}

impl PlannedJob {
    /// The SHA-256 of its item file, in hex; none where it reads none.
    pub fn file_version(&self) -> Option<String> {
        self.reading.as_ref()?.sha256.clone()
    }

    fn of(job: &Job) -> Self {
        Self {
            name: job.name.clone(),
            kind: job.kind.name.clone(),
            gateway: job.gateway.clone(),
            ..Self::default()
        }
    }
}

/// Rows on their way from the reading thread.
#[derive(Debug, Default)]
struct RowChunk {
    items: Vec<NewItem>,
    refusals: Vec<RejectedRow>,
    /// The keys of rows that were refused, where they can be told, with the lines.
    refused_keys: Vec<(KeyHash, u64)>,
    noted: RowNotices,
    /// The contracts that the rows are of, where they are of contracts.
    contracts: Vec<PlannedContract>,
}

/// Where a job's file may name contracts that are no longer charged.
struct ContractColumn {
    account: String,
    field: String,
}

impl ContractColumn {
    /// None where no row can name one.
    async fn of(
        engine: &Engine,
        planning: &mut PlanWriter,
        job: &Job,
    ) -> Result<Option<Self>, PlanError> {
        // Of contracts that live in payrun, only active ones make rows; to terminate a stopped one
        // takes no money.
        let charges = job.kind.in_statement == Some(StatementRole::Payment);
        let of_file = charges && !matches!(job.items.source, ItemSource::Contracts);
        let Some(field) = job.kind.one_at_a_time.clone().filter(|_| of_file) else {
            return Ok(None);
        };
        let account = engine
            .accounts
            .get(&job.gateway)
            .map_or(&job.gateway, |account| &account.identity)
            .clone();
        Ok(planning
            .has_stopped_contracts(&account)
            .await?
            .then_some(Self { account, field }))
    }

    /// Refuses the rows of contracts that a person or the gateway has stopped.
    async fn refuse(
        &self,
        planning: &mut PlanWriter,
        chunk: &mut RowChunk,
    ) -> Result<(), PlanError> {
        let named = |item: &NewItem| {
            let input: serde_json::Value = serde_json::from_str(&item.input).ok()?;
            Some(input.get(&self.field)?.as_str()?.to_owned())
        };
        let names: Vec<Option<String>> = chunk.items.iter().map(named).collect();
        let asked: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
        let stopped = planning.stopped_contracts(&self.account, &asked).await?;
        if stopped.is_empty() {
            return Ok(());
        }
        let mut kept = Vec::with_capacity(chunk.items.len());
        for (item, name) in std::mem::take(&mut chunk.items).into_iter().zip(names) {
            match name.as_ref().and_then(|name| Some((name, stopped.get(name)?))) {
                None => kept.push(item),
                Some((name, why)) => chunk.refusals.push(RejectedRow::of_item(
                    &item,
                    Message::new(
                        "row-contract-stopped",
                        "the contract {name} {why}; nothing is charged against it until it is active again",
                    )
                    .with("name", name)
                    .with("why", why.clone()),
                )),
            }
        }
        chunk.items = kept;
        Ok(())
    }
}

async fn write(
    planning: &mut PlanWriter,
    job_id: i64,
    mut chunk: RowChunk,
    (planned, compared): (&mut PlannedJob, Option<&(ItemBuilder, bool)>),
) -> Result<(), PlanError> {
    if let Some((scope, again)) = compared {
        let every: Vec<usize> = (0..chunk.items.len()).collect();
        let prepared = match again {
            true => refiling::prepare(planning, scope, &mut chunk.items).await,
            false => refiling::contradictions(planning, scope, &mut chunk.items, &every).await,
        };
        prepared.map_err(|error| match error {
            refiling::FiledComparisonError::Ledger(error) => PlanError::Ledger(error),
            refiling::FiledComparisonError::Sealed(source) => PlanError::Sealed {
                job: planned.name.clone(),
                source,
            },
        })?;
    }
    contracts::claim_contracts(
        planning,
        &mut chunk.contracts,
        &mut chunk.items,
        &mut chunk.refusals,
    )
    .await?;
    let mut refused = planning.unreadable(job_id, &chunk.refused_keys).await?;
    refused.extend(planning.items(job_id, &chunk.items).await?);
    planning.refuse(job_id, &chunk.refusals).await?;
    contracts::note(planning, &chunk.contracts, &chunk.items, &refused).await?;
    planned.noted.add(chunk.noted);
    // A row of an earlier chunk may be refused only now, since one of this chunk contradicts it.
    planned.items = (planned.items + chunk.items.len() as u64).saturating_sub(refused.len() as u64);
    for was in refused.iter().filter(|refusal| refusal.was_planned) {
        planned
            .first
            .retain(|item| item.line != was.line || item.key != was.key);
        if let Some(amount) = was.amount
            && let Some(sum) = planned.totals.get_mut(amount.currency().code())
        {
            sum.0 = sum.0.saturating_sub(amount.minor());
        }
    }
    let amounts = chunk
        .items
        .iter()
        .map(|item| item.amount)
        .chain(chunk.refusals.iter().map(|refusal| refusal.amount));
    for amount in amounts.flatten() {
        *planned.sums.entry(amount.currency().code()).or_default() += i128::from(amount.minor());
    }
    let refused_lines: std::collections::HashSet<u64> =
        refused.iter().map(|refusal| refusal.line).collect();
    for item in chunk
        .items
        .iter()
        .filter(|item| !refused_lines.contains(&item.line))
    {
        if let Some(amount) = item.amount {
            let sum = planned
                .totals
                .entry(amount.currency().code())
                .or_insert((0, amount.currency()));
            sum.0 = sum.0.saturating_add(amount.minor());
        }
        planned.filed_again += u64::from(item.again.replaces().is_some());
        if planned.first.len() < planned.shown {
            planned.first.push(item.clone());
        }
    }
    let mut refusals: Vec<&RejectedRow> = refused.iter().chain(&chunk.refusals).collect();
    refusals.sort_by_key(|refusal| refusal.line);
    for refusal in refusals {
        if refusal.alarming {
            tracing::warn!(
                line = refusal.line,
                reason = %refusal.reason,
                "a key was given again with other content"
            );
        }
        match refusal.state {
            State::Skipped => {
                planned.skipped += 1;
                planned.planned_before += u64::from(refusal.duplicate_of.is_some());
            }
            State::Rejected
            | State::AwaitingApproval
            | State::Planned
            | State::Sending
            | State::Pending
            | State::Unknown
            | State::Succeeded
            | State::Failed
            | State::Cancelled
            | State::NeedsReview => planned.rejected += 1,
        }
        if refusal.is_changed {
            planned.changed += 1;
            if planned.first_changed.len() < planned.shown {
                planned.first_changed.push(refusal.clone());
            }
        }
        // The one that was just counted is among them.
        let alike = if refusal.state == State::Skipped {
            planned.skipped
        } else {
            planned.rejected
        };
        if alike <= planned.shown as u64 {
            planned.refusals.push(refusal.clone());
        }
    }
    Ok(())
}

fn within_limits(limits: &Limits, planned: &PlannedJob) -> Result<(), PlanError> {
    let over = |what| {
        Err(PlanError::Limit {
            job: planned.name.clone(),
            what,
        })
    };
    if let Some(most) = limits.items
        && planned.items > most
    {
        return over(Message::new("limit-items", "more than {most} items").with("most", most));
    }
    if let Some((code, _)) = planned.sums.iter().find(|(_, sum)| **sum > SUM_MAX) {
        let sum = Message::new(
            "limit-sum",
            "its rows add up to more {code} than a ledger can sum",
        );
        return over(sum.with("code", *code));
    }
    // Rows in a currency without a limit were refused, if there are limits at all.
    for (code, (minor, currency)) in &planned.totals {
        if let Some(most) = limits.total.get(*code).filter(|most| minor > most) {
            let most = decimal_text(i128::from(*most), *currency);
            return over(
                Message::new("limit-total", "more than {most} {code}")
                    .with("most", most)
                    .with("code", *code),
            );
        }
    }
    Ok(())
}

/// What the reading thread needs.
struct PlanReader<'a> {
    engine: &'a Engine,
    runtime: tokio::runtime::Handle,
    request: &'a RunRequest,
    run_id: i64,
}

impl PlanReader<'_> {
    /// Reads and checks all rows of a job. Ends early, without an error, when nobody wants them any
    /// more.
    fn read_rows(
        &self,
        (place, file): (usize, Option<source::FileRows>),
        count: &AtomicU64,
        chunks: &mpsc::Sender<RowChunk>,
    ) -> Result<(), PlanError> {
        let request = self.request;
        let job = &request.workflow.jobs[place];
        let scope = ItemBuilder::of(job, self.run_id, self.engine);
        let id = self.run_id.to_string();
        let run = RunValues::new(
            &request.workflow.name,
            &request.occurrence,
            &id,
            request.at,
            request.timezone,
        );
        let mut rows = self.open(job, file, &run)?;
        let renderer = Renderer::new(job, &rows.columns(), rows.reading(), &run, &request.params)
            .map_err(PlanError::Workflow)?;
        let mut row = FileRow::default();
        let mut chunk = RowChunk::default();
        let mut in_chunk = 0;
        while let Some(read) = rows.read(&mut row) {
            match read {
                Ok(()) => chunk.add(&scope, &row, &renderer),
                Err(RowReadError::Row(error)) if error.fatal => {
                    return Err(PlanError::Rows {
                        job: job.name.clone(),
                        error,
                    });
                }
                Err(RowReadError::Row(error)) => {
                    let rejected = RejectedRow::of_line(error.line, error.reason);
                    chunk.refusals.push(rejected)
                }
                Err(RowReadError::Ledger(error)) => return Err(error.into()),
                Err(RowReadError::Refused(refusal)) => chunk.refusals.push(*refusal),
            }
            in_chunk += 1;
            if in_chunk >= CHUNK && rows.is_between() {
                count.fetch_add(in_chunk as u64, Ordering::Relaxed);
                in_chunk = 0;
                chunk.contracts = rows.taken();
                chunk.noted = renderer.noted();
                if chunks.blocking_send(std::mem::take(&mut chunk)).is_err() {
                    return Ok(());
                }
            }
        }
        count.fetch_add(in_chunk as u64, Ordering::Relaxed);
        chunk.contracts = rows.taken();
        chunk.noted = renderer.noted();
        chunks.blocking_send(chunk).ok();
        Ok(())
    }

    fn open(
        &self,
        job: &Job,
        file: Option<source::FileRows>,
        run: &RunValues,
    ) -> Result<RowStream, PlanError> {
        let request = self.request;
        match &job.items.source {
            ItemSource::File { .. } => {
                file.map(Box::new)
                    .map(RowStream::File)
                    .ok_or_else(|| PlanError::Broken {
                        job: job.name.clone(),
                    })
            }
            ItemSource::Days(span) => Ok(RowStream::days(*span, &run.date)),
            ItemSource::Window(span) => Ok(RowStream::window(*span, &run.date)),
            ItemSource::Contracts => {
                let account = self
                    .engine
                    .accounts
                    .get(&job.gateway)
                    .map(|account| account.identity.clone());
                let (ledger, runtime) = (self.engine.ledger.clone(), self.runtime.clone());
                let days = request.days(self.engine.clock.now());
                Ok(RowStream::Contracts(Box::new(ContractRows::new(
                    ledger,
                    runtime,
                    account.unwrap_or_default(),
                    days,
                ))))
            }
            ItemSource::Job {
                workflow,
                job: name,
                states,
            } => {
                let since = self.engine.clock.now().minus(PAST);
                let whose = match workflow {
                    None => WhoseJob::Run(self.run_id),
                    Some(workflow) => WhoseJob::RunsOf(workflow, since),
                };
                let jobs = self
                    .runtime
                    .block_on(self.engine.ledger.jobs_named(whose, name))?;
                if jobs.is_empty() {
                    let from = workflow
                        .as_ref()
                        .map_or_else(|| name.clone(), |workflow| format!("{workflow}/{name}"));
                    return Err(PlanError::NoSuchJob {
                        job: job.name.clone(),
                        from,
                    });
                }
                let kind_of = |kind: &str| self.engine.job_kinds.by_name.get(kind).cloned();
                let jobs = jobs
                    .into_iter()
                    .map(|(id, kind)| (id, kind_of(&kind)))
                    .collect();
                let items = JobItems {
                    ledger: self.engine.ledger.clone(),
                    runtime: self.runtime.clone(),
                    jobs,
                };
                Ok(RowStream::items(
                    items,
                    states.clone(),
                    UsedColumns::of(job),
                    self.engine.vault.clone(),
                ))
            }
        }
    }
}

impl RowChunk {
    fn add(&mut self, scope: &ItemBuilder, row: &FileRow, renderer: &Renderer<'_>) {
        match renderer.row(row) {
            Ok(rendered) => {
                for one in rendered {
                    match scope.item(row.line, one) {
                        Ok(item) => self.items.push(item),
                        Err(reason) => self.refusals.push(scope.rejected(
                            row.line,
                            reason,
                            renderer.names_of(row),
                        )),
                    }
                }
            }
            Err(reasons) => {
                let names = renderer.names_of(row);
                let key = names.key.as_deref().and_then(|key| scope.refused_key(key));
                self.refused_keys.extend(key.map(|key| (key, row.line)));
                let rejected = scope.rejected(row.line, Message::all(reasons), names);
                self.refusals.push(rejected);
            }
        }
    }
}

/// The order number an item will have.
pub fn first_number(item: &NewItem) -> OrderNumber {
    item.custom_order_no
        .clone()
        .unwrap_or_else(|| OrderNumber::derive(item.key_hash, 1))
}

/// The money of a plan, as text by currency.
pub fn money_text(totals: &BTreeMap<&'static str, (i64, Currency)>) -> String {
    let sums = totals.values().map(|(minor, currency)| {
        format!("{} {currency}", decimal_text(i128::from(*minor), *currency))
    });
    sums.collect::<Vec<_>>().join(", ")
}

/// An amount as two columns: decimal text and currency code.
pub fn amount_columns(amount: Option<Amount>) -> (Option<String>, Option<&'static str>) {
    (
        amount.map(Amount::decimal),
        amount.map(|amount| amount.currency().code()),
    )
}
