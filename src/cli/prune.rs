//! `payrun prune`

use std::collections::BTreeMap;

use clap::Args;

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{count, say, say_json};
use crate::app::Project;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::report::stored_reports;

/// Arguments of `payrun prune`.
#[derive(Debug, Args)]
pub(super) struct PruneArgs {
    /// Count only
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is told of files.
const UPLOADS: &str = "uploaded files";
const REPORTS: &str = "files of reports";

pub(super) async fn run(context: &Context, args: &PruneArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    let engine = project.engine(ledger, Clock::of_machine()).await?;
    let counts = if args.dry_run {
        old(&engine).await?
    } else {
        prune(&engine).await?
    };
    if args.json {
        say_json(&counts.into());
        return Ok(Exit::Success);
    }
    let verb = if args.dry_run {
        "would be pruned"
    } else {
        "pruned"
    };
    for (what, gone) in &counts {
        say(format!(
            "{what:<20} {:>10} {verb}",
            count(gone.as_u64().unwrap_or(0))
        ));
    }
    if engine.config.retention.evidence.is_none() {
        say("evidence is kept for ever; retention.evidence in payrun.yaml says otherwise");
    }
    if engine.config.retention.reports.is_none() {
        say("reports are kept for ever; retention.reports in payrun.yaml says otherwise");
    }
    Ok(Exit::Success)
}

type RowCounts = serde_json::Map<String, serde_json::Value>;

async fn old(engine: &Engine) -> Result<RowCounts, Failure> {
    let rows = engine.prunable().await?;
    let files = engine
        .old_uploads()
        .await
        .map_err(|error| Failure::internal(&error))?;
    let reports = stored_reports::count_old(engine)
        .await
        .map_err(|error| Failure::internal(&error))?;
    Ok(rows
        .into_iter()
        .chain([(UPLOADS, files), (REPORTS, reports)])
        .map(|(what, old)| (what.to_owned(), old.into()))
        .collect())
}

async fn prune(engine: &Engine) -> Result<RowCounts, Failure> {
    let mut sums: BTreeMap<&'static str, u64> = BTreeMap::new();
    loop {
        let pruned = engine.prune().await?;
        let files = engine
            .prune_uploads()
            .await
            .map_err(|error| Failure::internal(&error))?;
        let reports = stored_reports::prune(engine)
            .await
            .map_err(|error| Failure::internal(&error))?;
        let of_files = [(UPLOADS, files), (REPORTS, reports)];
        for (what, gone) in pruned.rows.into_iter().chain(of_files) {
            *sums.entry(what).or_default() += gone;
        }
        if !pruned.more && files + reports == 0 {
            return Ok(sums
                .into_iter()
                .map(|(what, gone)| (what.to_owned(), gone.into()))
                .collect());
        }
    }
}
