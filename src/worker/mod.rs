//! apalis runs the workers, one a lane; the ledger is their queue.
//!
//! Nothing here retries, backs off or remembers: all of that is in the ledger's rows. A handler
//! never returns an error.

mod backend;
mod handler;
mod lane;

use std::sync::Arc;

use apalis::prelude::{WorkerBuilder, WorkerError};
use tokio::sync::watch;

use crate::engine::Engine;
use crate::ledger::{LedgerError, NodeId};
use backend::LaneBackend;
use lane::Lane;

/// Runs one worker for each account until told to stop, or until the ledger fails for good.
///
/// When `stop` turns true nothing new is sent: what is under way is settled, what was claimed and
/// not sent is given back.
///
/// # Errors
/// The first failure of the ledger that did not pass.
pub async fn run(
    engine: Arc<Engine>,
    node: NodeId,
    stop: watch::Receiver<bool>,
) -> Result<(), RunError> {
    let mut workers = tokio::task::JoinSet::new();
    for account in engine.accounts.values() {
        let lane = Arc::new(Lane::new(Arc::clone(&engine), Arc::clone(account), node));
        workers.spawn(run_lane(lane, stop.clone()));
    }
    while let Some(ended) = workers.join_next().await {
        ended.map_err(|error| RunError::Worker(error.to_string()))??;
    }
    Ok(())
}

async fn run_lane(lane: Arc<Lane>, mut stop: watch::Receiver<bool>) -> Result<(), RunError> {
    let backend = LaneBackend::new(Arc::clone(&lane));
    let failed = lane.failure();
    let worker = WorkerBuilder::new(format!("lane-{}", lane.account.name).as_str())
        .backend(backend)
        .data(Arc::clone(&lane))
        .build(handler::handle);
    let stopped = async move {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = failed.cancelled_by_failure() => {}
        }
        Ok::<(), WorkerError>(())
    };
    worker
        .run_until(stopped)
        .await
        .map_err(|error| RunError::Worker(error.to_string()))?;
    lane.take_failure()
        .map_or(Ok(()), |error| Err(RunError::Ledger(error)))
}

/// Why the workers ended before they were told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The ledger failed.
    #[error("the ledger failed while work was under way")]
    Ledger(#[source] LedgerError),
    /// apalis gave up.
    #[error("a worker ended: {0}")]
    Worker(String),
}
