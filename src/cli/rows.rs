//! `payrun rows`: the rejected rows of a run, as a file like the one they came from.

use std::path::PathBuf;

use clap::Args;

use super::Context;
use super::exit::{Exit, Failure};
use super::export_file::{self, FormatArgs, OutputArgs};
use super::output::note;
use crate::app::Project;
use crate::clock::Clock;
use crate::errors::chain;
use crate::export::ExportQuery;
use crate::export::rejected_rows::{FileAsked, RejectedRows, RejectedRowsError};
use crate::workflow::source::REASON;

/// Arguments of `payrun rows`.
#[derive(Debug, Args)]
pub(super) struct RowsArgs {
    /// The run
    #[arg(value_name = "RUN")]
    run: i64,
    /// The rows that were rejected
    #[arg(long, required = true)]
    rejected: bool,
    /// Which job, if several took rows from a file
    #[arg(long)]
    job: Option<String>,
    /// The file that the run read, if it lies elsewhere by now
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    format: FormatArgs,
}

impl From<RejectedRowsError> for Failure {
    fn from(error: RejectedRowsError) -> Self {
        let help = match &error {
            RejectedRowsError::Ledger(_) | RejectedRowsError::Upload(_) => None,
            RejectedRowsError::NoSuchRun(_) => Some("`payrun runs` lists them"),
            RejectedRowsError::NoFile => {
                Some("`payrun items RUN --state rejected` lists what was rejected")
            }
            RejectedRowsError::NothingRejected => Some(
                "what failed at the gateway: `payrun items RUN --state failed`; mend those rows in your own file and give it again",
            ),
            RejectedRowsError::WhichJob(_) => Some("--job NAME"),
            RejectedRowsError::OtherFile(_) => Some("--input names the file of that run"),
        };
        if let RejectedRowsError::Ledger(error) = error {
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
    let asked = FileAsked::Person(args.input.as_deref());
    let rows = RejectedRows::find(&engine, args.run, args.job.as_deref(), asked).await?;
    let target = args.output.target(args.format.table_format())?;
    let target = target.ok_or_else(|| {
        Failure::invalid("where to? -o FILE").help("a .csv or .xlsx can be mended and given again")
    })?;
    let query = ExportQuery::RejectedRows(rows);
    let is_csv = target.is_csv();
    let target = target.for_excel();
    export_file::write(&project, &engine.ledger, query, &target, "rejected row").await?;
    note(format!(
        "the reasons stand in the column {REASON}; mend the rows and give the file again"
    ));
    if is_csv {
        note(
            "a spreadsheet takes digits off long numbers in a CSV: to mend it in Excel, write -o FILE.xlsx",
        );
    }
    Ok(Exit::Success)
}
