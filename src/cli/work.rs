//! `payrun work`

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::watch;

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{count, counted, note};
use super::signals::stop_switch;
use crate::app::Project;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::ledger::LedgerError;
use crate::service::Service;
use crate::service::workflows::Workflows;

/// How often is looked whether anything is open.
const TICK: Duration = Duration::from_millis(250);

/// How often is told how things stand, at most.
const TELL_TICKS: u32 = 40;

/// Arguments of `payrun work`.
#[derive(Debug, Args)]
pub(super) struct WorkArgs {
    /// End when nothing is open, instead of waiting for more
    #[arg(long)]
    drain: bool,
    /// Print nothing but errors
    #[arg(long, short)]
    quiet: bool,
}

pub(super) async fn run(context: &Context, args: WorkArgs) -> Result<Exit, Failure> {
    let stopped = stop_switch();
    let project = Project::open(&context.config)?;
    let engine = Arc::new(
        project
            .engine(project.ledger().await?, Clock::of_machine())
            .await?,
    );
    if engine.accounts.is_empty() {
        return Err(Failure::invalid(
            "no gateway is configured, so there is nothing to work on",
        ));
    }
    let node = engine
        .ledger
        .join(rand::random(), engine.clock.now())
        .await?;
    if !args.quiet {
        let lanes: Vec<&str> = engine.accounts.keys().map(String::as_str).collect();
        note(format!(
            "working on {} for {}; Ctrl-C stops",
            engine.ledger.name(),
            lanes.join(", ")
        ));
    }
    let workflows = Arc::new(Workflows::none(&project.config, &project.job_kinds));
    let missing = engine.pause_missing().await?;
    if !args.quiet {
        missing.values().for_each(|file| {
            note(format!(
                "{} is gone, and its workflow is paused",
                file.display()
            ))
        });
    }
    workflows.were_removed(missing);
    let service = Service::new(Arc::clone(&engine), node.id(), workflows);
    let (stop, told) = watch::channel(false);
    let working = tokio::spawn(async move { service.work(told).await });
    let looked = look(&engine, &args, stopped).await;
    stop.send_replace(true);
    working.await.map_err(|error| Failure::internal(&error))?;
    looked?;
    let left = open_items(&engine).await?;
    engine.ledger.clone().close().await;
    Ok(if left == 0 { Exit::Success } else { Exit::Open })
}

/// Until told to stop, or, to be drained, until nothing is open; tells meanwhile how things stand.
async fn look(
    engine: &Engine,
    args: &WorkArgs,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), LedgerError> {
    let mut printer = StatusPrinter {
        quiet: args.quiet,
        last: None,
    };
    for ticks in 0_u32.. {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break,
            () = tokio::time::sleep(TICK) => {}
        }
        match open(engine, ticks, &mut printer).await {
            Ok(0) if args.drain => break,
            Ok(_) => {}
            Err(error) if error.is_transient() => {
                tracing::debug!(%error, "the ledger could not be read; tried again")
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How many runs are open.
async fn open(
    engine: &Engine,
    ticks: u32,
    printer: &mut StatusPrinter,
) -> Result<usize, LedgerError> {
    let open = engine.ledger.unfinished_runs().await?.len();
    if ticks.is_multiple_of(TELL_TICKS) && !printer.quiet {
        printer.tell(open, open_items(engine).await?);
    }
    Ok(open)
}

/// How many items of all runs have not come to rest.
async fn open_items(engine: &Engine) -> Result<u64, LedgerError> {
    let mut open = 0;
    for run in engine.ledger.unfinished_runs().await? {
        open += engine
            .ledger
            .work(run.id, &BTreeSet::new(), &BTreeSet::new())
            .await?
            .open;
    }
    Ok(open)
}

/// Tells how things stand, when it is another way than before.
struct StatusPrinter {
    quiet: bool,
    last: Option<(usize, u64)>,
}

impl StatusPrinter {
    fn tell(&mut self, runs: usize, items: u64) {
        if self.last != Some((runs, items)) {
            self.last = Some((runs, items));
            let runs = counted(u64::try_from(runs).unwrap_or(u64::MAX), "run");
            note(format!("open: {} items of {runs}", count(items)));
        }
    }
}
