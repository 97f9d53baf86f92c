//! `payrun journal`

use clap::Args;

use super::Context;
use super::exit::{Exit, Failure};
use super::output::say_json_line;
use crate::app::Project;
use crate::engine::journal::{Journal, totals};
use crate::ledger::ItemFilter;

/// Arguments of `payrun journal`.
#[derive(Debug, Args)]
pub(super) struct JournalArgs {
    /// Only this run's items
    #[arg(long, value_name = "RUN")]
    run: Option<i64>,
    /// The sums that the ledger keeps of runs, instead of items
    #[arg(long)]
    totals: bool,
}

pub(super) async fn run(context: &Context, args: JournalArgs) -> Result<Exit, Failure> {
    let ledger = Project::open(&context.config)?.ledger().await?;
    if args.totals {
        let mut before = None;
        loop {
            let runs = ledger.runs(before, 100).await?;
            let Some(last) = runs.last() else {
                return Ok(Exit::Success);
            };
            before = Some(last.id);
            for run in runs
                .iter()
                .filter(|run| args.run.is_none_or(|wanted| wanted == run.id))
            {
                totals(&ledger, run.id)
                    .await?
                    .iter()
                    .for_each(say_json_line);
            }
        }
    }
    let mut journal = Journal::of(
        &ledger,
        ItemFilter {
            run_id: args.run,
            ..ItemFilter::default()
        },
    );
    loop {
        let page = journal.page().await?;
        if page.is_empty() {
            return Ok(Exit::Success);
        }
        page.iter().for_each(say_json_line);
    }
}
