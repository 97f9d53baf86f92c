//! `payrun runs`

use clap::Args;
use serde_json::json;

use super::Context;
use super::exit::{Exit, Failure};
use super::export_file::{self, FormatArgs, OutputArgs};
use super::output::{count, print_table, say, say_json, table};
use super::run_report::Report;
use super::wall_clock::WallClock;
use crate::app::Project;
use crate::export::ExportQuery;

/// Arguments of `payrun runs`.
#[derive(Debug, Args)]
pub(super) struct RunsArgs {
    /// Only runs before this one
    #[arg(long, value_name = "RUN")]
    before: Option<i64>,
    /// How many at most. 20 if nothing is said, and all of them with -o
    #[arg(long, short = 'n', value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: Option<u32>,
    /// Print JSON
    #[arg(long, conflicts_with = "output")]
    json: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    format: FormatArgs,
}

/// How many are listed if nothing is said.
const LISTED: u32 = 20;

pub(super) async fn run(context: &Context, args: &RunsArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    if let Some(target) = args.output.target(args.format.table_format())? {
        let query = ExportQuery::Runs {
            before: args.before,
            limit: args.limit.map_or(u64::MAX, u64::from),
        };
        return export_file::write(&project, &ledger, query, &target, "row").await;
    }
    let mut reports = Vec::new();
    for run in ledger
        .runs(args.before, args.limit.unwrap_or(LISTED))
        .await?
    {
        reports.push(Report::of_run(&ledger, run).await?);
    }
    if args.json {
        let reports = reports.iter().map(Report::json);
        say_json(&json!(reports.collect::<Result<Vec<_>, _>>()?));
        return Ok(Exit::Success);
    }
    if reports.is_empty() {
        say("no runs yet; `payrun run WORKFLOW` makes one");
        return Ok(Exit::Success);
    }
    let clock = WallClock::of(&project);
    let planned = clock.heading("planned at");
    let mut rows = table(&[
        ">run",
        "workflow",
        "occurrence",
        &planned,
        "state",
        ">items",
        ">succeeded",
        ">open",
    ]);
    for report in &reports {
        rows.add_row([
            report.run.id.to_string(),
            report.run.workflow.clone(),
            clock.occurrence(&report.run.occurrence),
            clock.cell(report.run.started_at),
            report.state().to_owned(),
            count(report.items()),
            count(report.in_state(crate::domain::item::State::Succeeded)),
            count(report.open()),
        ]);
    }
    print_table(&rows);
    Ok(Exit::Success)
}
