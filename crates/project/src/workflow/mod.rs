//! Workflow files: from YAML to a typed [`Workflow`], with every mistake at its place; and from
//! rows to rendered items.
//!
//! Knows the job kinds and the domain. It knows no ledger and no network, and sends nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Rate;
use crate::job_kinds::JobKind;
use payrun_domain::alert::AlertRule;
use payrun_domain::item::State;
use payrun_domain::occurrence::{MissedPolicy, Overlap};
use payrun_domain::policy::Policy;
use payrun_domain::timetable::Timetable;
use sha2::{Digest, Sha256};
use source::FileOptions;

pub mod blank_file;
mod comparison;
mod compile;
mod contracts;
pub mod excluded_rows;
pub mod expression;
mod jobs;
pub mod load;
pub mod params;
pub mod render;
mod schedule;
pub mod schema;
mod searchable;
pub mod source;
mod spec;
pub mod template;
mod unused_columns;

pub use template::{Condition, FilePlace, Template};
pub use unused_columns::unused_columns;

/// A workflow file that may be planned.
#[derive(Debug)]
pub struct Workflow {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// When it fires by itself.
    pub schedule: Option<WorkflowSchedule>,
    /// What a run may be given.
    pub params: Vec<Param>,
    /// Its jobs, each after those it needs.
    pub jobs: Vec<Job>,
    /// Who hears of what.
    pub alerts: Vec<AlertRule>,
    /// Whether a report is made when a run ends.
    pub report: bool,
    /// The file as it was read.
    pub source: String,
    /// The file.
    pub path: PathBuf,
    /// Its folder: relative item files start here.
    pub folder: PathBuf,
}

impl Workflow {
    /// Which version of the workflow it is.
    pub fn version(&self) -> String {
        version_of(&self.source)
    }

    /// Whose clock says what day and month a run is of: the same whether a schedule or a person
    /// begins it, or one period would have two keys.
    pub fn timezone(&self, project: chrono_tz::Tz) -> chrono_tz::Tz {
        self.schedule
            .as_ref()
            .map_or(project, |schedule| schedule.timetable.schedule().zone())
    }
}

/// Which version of a workflow this file is: how its SHA-256 begins, in hex.
pub fn version_of(source: &str) -> String {
    let digest = Sha256::digest(source.as_bytes());
    let beginning = digest.iter().take(6);
    beginning.map(|byte| format!("{byte:02x}")).collect()
}

/// When a workflow fires by itself, and what is done when it cannot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkflowSchedule {
    /// The times.
    pub timetable: Timetable,
    /// What is done about times at which nobody looked.
    pub missed: MissedPolicy,
    /// What is done while an earlier run has not ended.
    pub overlap: Overlap,
    /// Whether it is switched off in the file: nothing fires, and nothing is missed.
    pub paused: bool,
}

/// A parameter of a workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// What it may hold.
    pub kind: ParamKind,
    /// What it holds if nothing is given; none makes it required.
    pub default: Option<String>,
    /// One line for people.
    pub description: String,
}

/// What a parameter may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// `YYYY-MM-DD`.
    Date,
}

/// One job of a workflow.
#[derive(Debug)]
pub struct Job {
    /// Its name in the workflow.
    pub name: String,
    /// What it does.
    pub kind: Arc<JobKind>,
    /// The gateway account it does it on.
    pub gateway: String,
    /// The jobs that must have ended before it starts.
    pub needs: Vec<String>,
    /// Where its items come from.
    pub items: ItemsSpec,
    /// What may happen at most once; none where the job kind makes it of its fields.
    pub key: Option<Template>,
    /// The order number, where it is not to be derived from the key.
    pub order_number: Option<Template>,
    /// Whether a row whose order number comes out empty has one derived from its key.
    pub derives_empty_number: bool,
    /// The input fields.
    pub with: BTreeMap<String, Template>,
    /// What a run of this job must not exceed.
    pub limits: Limits,
    /// When its items wait for somebody's approval; none: never.
    pub approval: Option<Approval>,
    /// A slower rate than the gateway account's.
    pub rate: Option<Rate>,
    /// A smaller concurrency than the gateway account's.
    pub concurrency: Option<u32>,
    /// Retry, query and dunning, the job kind's where the workflow gives none.
    pub policy: Policy,
}

/// Where a job's items come from.
#[derive(Debug)]
pub struct ItemsSpec {
    /// What the rows are.
    pub source: ItemSource,
    /// Which rows are meant.
    pub condition: Option<Condition>,
    /// By which columns an item is found, besides its key and its numbers.
    pub searchable: Vec<SearchableColumn>,
}

/// A column by which items are found.
#[derive(Debug)]
pub struct SearchableColumn {
    /// Its name.
    pub name: String,
    /// Whether a keyed hash of it is kept. What stands in the clear in the ledger all the same (in
    /// the key, the order number or an open field) is kept as text; anything else may be personal.
    pub hashed: bool,
    place: FilePlace,
}

/// What the rows of a job are.
#[derive(Debug)]
pub enum ItemSource {
    /// The rows of a file.
    File {
        /// The file, as the workflow names it; may use `params` and `run`.
        file: Template,
        /// How it is read.
        options: FileOptions,
    },
    /// The items of another job.
    Job {
        /// Whose runs of the last 30 days are meant; none: this run.
        workflow: Option<String>,
        /// Its name.
        job: String,
        /// Items in these states.
        states: Vec<State>,
    },
    /// One row for each day, with the column `date`.
    Days(DaySpan),
    /// One row for all days together, with the columns `from` and `to`.
    Window(DaySpan),
    /// One row for each period that is due on the run's day, of the active contracts that are kept
    /// in payrun.
    Contracts,
}

/// The columns of [`ItemSource::Contracts`].
pub const CONTRACT_COLUMNS: [&str; 8] = [
    "contract_id",
    "amount",
    "currency",
    "period",
    "due_date",
    "pay_by",
    "every",
    "description",
];

/// Some days up to the run's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DaySpan {
    /// How many.
    pub days: u32,
    /// Whether the run's own day is the last of them, else the day before it.
    pub today: bool,
}

/// A format of item files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemFileFormat {
    /// Comma-separated values with a header line.
    Csv,
    /// One JSON object a line.
    JsonLines,
    /// An Excel workbook.
    Xlsx {
        /// The sheet; the first that is not hidden if not given.
        sheet: Option<String>,
    },
}

/// What a run of a job must not exceed; over it nothing at all is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// Most items.
    pub items: Option<u64>,
    /// Most minor units by currency code.
    pub total: BTreeMap<String, i64>,
    /// Most minor units of one item by currency code;
    /// [`payrun_domain::money::Currency::usual_limit`] for others.
    pub item: BTreeMap<String, i64>,
}

/// When a job's items wait for approval, whose, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Minor units by currency code that need none; empty: every batch needs one, as does money in
    /// another currency.
    pub above: BTreeMap<String, i64>,
    /// How many persons must approve, none of them who started the run.
    pub by: u32,
    /// How long it waits until it is withdrawn.
    pub expires: Duration,
}

impl Default for Approval {
    /// Every batch, by one person, within a week.
    fn default() -> Self {
        Self {
            above: BTreeMap::new(),
            by: 1,
            expires: Duration::from_secs(7 * 86_400),
        }
    }
}

impl Approval {
    /// Whether a batch of these sums (minor units by currency code) has to wait.
    pub fn is_needed<'a>(&self, sums: impl IntoIterator<Item = (&'a str, i64)>) -> bool {
        self.above.is_empty()
            || sums
                .into_iter()
                .any(|(code, minor)| self.above.get(code).is_none_or(|most| minor > *most))
    }
}
