//! `payrun work`

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::sync::watch;

use super::Context;
use super::exit::{Exit, Failure, chain};
use super::output::{count, counted};
use super::project::Project;
use super::signals::stop_switch;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::ledger::{LedgerError, Node};
use crate::worker::{self, RunError};

/// How often what has ended is looked for.
const TICK: Duration = Duration::from_millis(250);

/// How often leases of dead processes are looked for.
const TAKE_OVER_TICKS: u32 = 8;

/// How often is told how things stand, at most.
const TELL_TICKS: u32 = 40;

/// The wait before the workers are started again after the ledger could not be reached.
const AGAIN: Duration = Duration::from_secs(1);

/// Arguments of `payrun work`.
#[derive(Debug, Args)]
pub(super) struct WorkArgs {
    /// End when nothing is open, instead of waiting for more
    #[arg(long)]
    drain: bool,
    /// Tell nothing but mistakes
    #[arg(long, short)]
    quiet: bool,
}

pub(super) async fn run(context: &Context, args: WorkArgs) -> Result<Exit, Failure> {
    let stopped = stop_switch();
    let project = Project::load(context)?;
    let engine = Arc::new(project.engine(project.ledger().await?, Clock::System).await?);
    if engine.accounts.is_empty() {
        return Err(Failure::invalid("no gateway is configured, so there is nothing to work on"));
    }
    let node = engine.ledger.join(rand::random(), engine.clock.now()).await?;
    if !args.quiet {
        let lanes: Vec<&str> = engine.accounts.keys().map(String::as_str).collect();
        eprintln!("working on {} for {}; Ctrl-C stops", engine.ledger.name(), lanes.join(", "));
    }
    loop {
        match work(&engine, &node, &args, stopped.clone()).await {
            Ok(()) => break,
            Err(error) if error.is_transient() && !*stopped.borrow() => {
                eprintln!("{}; trying again", chain(&error));
                tokio::time::sleep(AGAIN).await;
            }
            Err(error) => return Err(Failure::from(error)),
        }
    }
    let left = open_items(&engine).await?;
    engine.ledger.clone().close().await;
    Ok(if left == 0 { Exit::Success } else { Exit::Open })
}

/// Works until told to stop, or, to be drained, until nothing is open.
async fn work(
    engine: &Arc<Engine>,
    node: &Node,
    args: &WorkArgs,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), LedgerError> {
    let (stop, told) = watch::channel(false);
    let mut workers = tokio::spawn(worker::run(Arc::clone(engine), node.id(), told));
    let mut teller = Teller { quiet: args.quiet, last: None };
    let mut ticks: u32 = 0;
    let ended = loop {
        tokio::select! {
            ended = &mut workers => return failure_of(ended),
            _ = stopped.wait_for(|stopped| *stopped) => break Ok(()),
            () = tokio::time::sleep(TICK) => {}
        }
        match look(engine, ticks, &mut teller).await {
            Ok(0) if args.drain => break Ok(()),
            Ok(_) => {}
            Err(error) if error.is_transient() => tracing::debug!(%error, "looked in vain"),
            Err(error) => break Err(error),
        }
        ticks = ticks.wrapping_add(1);
    };
    stop.send_replace(true);
    failure_of(workers.await).and(ended)
}

/// Ends what has ended, and takes over what dead processes left; says how many runs are open.
async fn look(engine: &Engine, ticks: u32, teller: &mut Teller) -> Result<usize, LedgerError> {
    let now = engine.clock.now();
    if ticks.is_multiple_of(TAKE_OVER_TICKS) {
        engine.take_over(now).await?;
    }
    engine.go_on(now).await?;
    let open = engine.ledger.unfinished_runs().await?.len();
    if ticks.is_multiple_of(TELL_TICKS) && !teller.quiet {
        teller.tell(open, open_items(engine).await?);
    }
    Ok(open)
}

/// How many items of all runs have not come to rest.
async fn open_items(engine: &Engine) -> Result<u64, LedgerError> {
    let mut open = 0;
    for run in engine.ledger.unfinished_runs().await? {
        open += engine.ledger.work(run.id, &BTreeSet::new(), &BTreeSet::new()).await?.open;
    }
    Ok(open)
}

/// Tells how things stand, when it is another way than before.
struct Teller {
    quiet: bool,
    last: Option<(usize, u64)>,
}

impl Teller {
    fn tell(&mut self, runs: usize, items: u64) {
        if self.last != Some((runs, items)) {
            self.last = Some((runs, items));
            let runs = counted(u64::try_from(runs).unwrap_or(u64::MAX), "run");
            eprintln!("open: {} items of {runs}", count(items));
        }
    }
}

fn failure_of(ended: Result<Result<(), RunError>, tokio::task::JoinError>) -> Result<(), LedgerError> {
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(RunError::Ledger(error))) => Err(error),
        // A worker that broke is a defect of payrun; what was under way is asked about.
        Ok(Err(RunError::Worker(what))) => Err(LedgerError::Corrupt { what: format!("a worker ended: {what}") }),
        Err(error) => Err(LedgerError::Corrupt { what: format!("a worker ended: {error}") }),
    }
}
