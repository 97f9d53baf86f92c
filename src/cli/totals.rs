//! `payrun totals`

use chrono::{Datelike, NaiveDate};
use clap::Args;

use super::Context;
use super::exit::{Exit, Failure};
use super::export_file::{self, FormatArgs, OutputArgs};
use super::output::{print_table, say, table};
use crate::app::Project;
use crate::clock::Clock;
use crate::engine::contracts::day_of;
use crate::export::totals::{TotalsDimension, TotalsQuery, TotalsSpan, parse_month};
use crate::export::{ExportContext, ExportQuery, summary};

/// By what sums are told apart if nothing is said.
const USUAL: &str = "account,kind";

/// Arguments of `payrun totals`.
#[derive(Debug, Args)]
pub(super) struct TotalsArgs {
    /// The run
    #[arg(value_name = "RUN")]
    run: Option<i64>,
    /// The runs that were planned in this month, such as 2026-03, on the clock of payrun.yaml; this
    /// month if neither is given
    #[arg(long, value_name = "YYYY-MM", value_parser = month, conflicts_with = "run")]
    month: Option<NaiveDate>,
    /// By what to tell sums apart, separated by commas: day, run, workflow, account, kind, state. The
    /// currency always is
    #[arg(long, value_delimiter = ',', value_parser = dimension, default_value = USUAL, value_name = "WHAT")]
    by: Vec<TotalsDimension>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    format: FormatArgs,
}

fn month(text: &str) -> Result<NaiveDate, String> {
    parse_month(text).ok_or_else(|| "a month is written like 2026-03".to_owned())
}

fn dimension(word: &str) -> Result<TotalsDimension, String> {
    TotalsDimension::parse(word).ok_or_else(|| {
        let words: Vec<&str> = TotalsDimension::ALL
            .into_iter()
            .map(TotalsDimension::as_str)
            .collect();
        format!("sums are told apart by {}", words.join(", "))
    })
}

pub(super) async fn run(context: &Context, args: &TotalsArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    let now = Clock::System.now();
    let today = day_of(now, project.config.timezone);
    let span = match args.run {
        Some(run) => TotalsSpan::Run(run),
        None => TotalsSpan::Month(args.month.or(today.with_day(1)).unwrap_or(today)),
    };
    if let TotalsSpan::Run(run) = span
        && ledger.run(run).await?.is_none()
    {
        return Err(Failure::invalid("there is no such run").help("`payrun runs` lists them"));
    }
    let query = TotalsQuery {
        span,
        by: args.by.clone(),
    };
    if let Some(target) = args.output.target(args.format.table_format())? {
        let query = ExportQuery::Totals(query);
        return export_file::write(&project, &ledger, query, &target, "row").await;
    }
    let sums = ExportContext {
        config: project.config.clone(),
        job_kinds: project.job_kinds.clone(),
        ledger,
        now,
    };
    print(&summary(&sums, &query).await?, span);
    Ok(Exit::Success)
}

/// Prints headings and rows, where there are any.
fn print((headings, rows): &(Vec<String>, Vec<Vec<String>>), span: TotalsSpan) {
    match span {
        TotalsSpan::Run(run) => say(format!("run {run}")),
        TotalsSpan::Month(first) => {
            say(format!("runs planned in {}", first.format("%Y-%m")));
        }
    }
    if rows.is_empty() {
        say("nothing was planned");
        return;
    }
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    let mut shown = table(&headings);
    for row in rows {
        shown.add_row(row);
    }
    print_table(&shown);
}
