//! `payrun rows`: the rejected or failed rows of a run, as a file like the one they came from.

use std::path::PathBuf;

use clap::Args;

use super::Context;
use super::exit::{Exit, Failure};
use super::export_file::{self, FormatArgs, OutputArgs};
use super::output::note;
use crate::app::Project;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::errors::chain;
use crate::export::ExportQuery;
use crate::export::rows_to_mend::{FileRequester, RowsToMend, RowsToMendError, RowsWanted};
use crate::reader_language::ReaderLanguage;
use crate::workflow::source::REASON;

/// Arguments of `payrun rows`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["rejected", "failed"]))]
pub(super) struct RowsArgs {
    /// The run
    #[arg(value_name = "RUN")]
    run: i64,
    /// The rows that were rejected
    #[arg(long)]
    rejected: bool,
    /// The rows that failed at the gateway, with its code in plain words; never one of which it is not
    /// known what became of it
    #[arg(long)]
    failed: bool,
    /// Which job, if several took rows from a file
    #[arg(long)]
    job: Option<String>,
    /// The file that the run read, if it lies elsewhere by now
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// In which language the reasons are
    #[arg(long, value_enum, default_value_t)]
    lang: ReaderLanguage,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    format: FormatArgs,
}

impl From<RowsToMendError> for Failure {
    fn from(error: RowsToMendError) -> Self {
        let help = match &error {
            RowsToMendError::Ledger(_) | RowsToMendError::Upload(_) => None,
            RowsToMendError::NoSuchRun(_) => Some("`payrun runs` lists them"),
            RowsToMendError::NoFile => {
                Some("`payrun items RUN --state rejected` lists what was rejected")
            }
            RowsToMendError::NothingRejected => {
                Some("what failed at the gateway: `payrun rows RUN --failed -o FILE`")
            }
            RowsToMendError::NothingFailed(_) => Some(
                "what was rejected before anything was sent: `payrun rows RUN --rejected -o FILE`",
            ),
            RowsToMendError::WhichJob(_) => Some("--job NAME"),
            RowsToMendError::OtherFile(_) => Some("--input names the file of that run"),
        };
        if let RowsToMendError::Ledger(error) = error {
            return error.into();
        }
        Self {
            help: help.map(str::to_owned),
            ..Self::invalid(chain(&error))
        }
    }
}

pub(super) async fn run(context: &Context, args: &RowsArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    let engine = project.engine(ledger, Clock::System).await?;
    let asked = FileRequester::Person(args.input.as_deref());
    let wanted = if args.failed {
        RowsWanted::Failed
    } else {
        RowsWanted::Rejected
    };
    let job = (args.run, args.job.as_deref());
    let mut rows = RowsToMend::find(&engine, job, wanted, asked).await?;
    rows.language = args.lang;
    let target = args.output.target(args.format.table_format())?;
    let target = target.ok_or_else(|| {
        Failure::invalid("where to? -o FILE").help("a .csv or .xlsx can be mended and given again")
    })?;
    let left_out = rows.left_out.sentences();
    let advice = advice(&engine, args.run, wanted, rows.job_kind());
    let query = ExportQuery::RowsToMend(Box::new(rows));
    let is_csv = target.is_csv();
    let row = format!("{} row", wanted.as_str());
    let target = target.for_excel();
    export_file::write(&project, &engine.ledger, query, &target, &row).await?;
    left_out.iter().for_each(note);
    note(format!(
        "the reasons stand in the column {REASON}; {advice}"
    ));
    if is_csv {
        note(
            "a spreadsheet takes digits off long numbers in a CSV: to mend it in Excel, write -o FILE.xlsx",
        );
    }
    Ok(Exit::Success)
}

/// What may be done with the rows.
fn advice(engine: &Engine, run: i64, wanted: RowsWanted, job_kind: &str) -> String {
    let kind = engine.job_kinds.by_name.get(job_kind);
    match wanted {
        RowsWanted::Rejected => "mend the rows and give the file again".to_owned(),
        RowsWanted::Failed if kind.is_some_and(|kind| kind.redo_with.is_some()) => format!(
            "mend the rows and give the file again: the gateway is asked what it has before they are filed with the new content. As they \
             were: {}",
            again(run)
        ),
        RowsWanted::Failed => format!(
            "as they were they are tried again by {}. A row that is given again under the key that it had makes nothing new: a mended \
             row needs a new key",
            again(run)
        ),
    }
}

/// How what failed is tried again as it was.
fn again(run: i64) -> String {
    format!(
        "`payrun retry --run {run} --state failed`, which counts them, and then the same with --yes --expect SET --reason \"WHY\""
    )
}
