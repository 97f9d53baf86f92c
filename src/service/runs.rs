//! Runs on their way: jobs end, the jobs that waited for them are planned, and what dead processes
//! left is taken over.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Service;
use crate::ledger::LedgerError;

/// How often what has ended is looked for.
const TICK: Duration = Duration::from_millis(250);

/// How often leases of dead processes are looked for.
const TAKE_OVER: Duration = Duration::from_secs(2);

pub(super) async fn run(service: Service, stop: watch::Receiver<bool>) {
    let health = Arc::clone(&service.health);
    let engine = Arc::clone(&service.engine);
    let ending = super::periodic::run_periodically(&health, "runs", stop.clone(), || async {
        engine.advance_runs(engine.clock.now()).await?;
        Ok::<_, LedgerError>(TICK)
    });
    let taking_over =
        super::periodic::run_periodically(&health, "dead processes", stop, || async {
            engine.reap_dead_nodes(engine.clock.now()).await?;
            Ok(TAKE_OVER)
        });
    tokio::join!(ending, taking_over);
}
