//! The workers, started again whenever the ledger was away.

use std::time::Duration;

use tokio::sync::watch;

use super::Service;
use crate::ledger::LedgerError;
use crate::worker::{self, RunError};

/// The wait before workers that ended are started again.
const AGAIN: Duration = Duration::from_secs(1);

/// Where no gateway is configured nobody works.
const NOBODY: Duration = Duration::from_secs(3_600);

pub(super) async fn run(service: Service, stop: watch::Receiver<bool>) {
    let health = std::sync::Arc::clone(&service.health);
    super::periodic::run_periodically(&health, "workers", stop.clone(), || {
        work(&service, stop.clone())
    })
    .await;
}

/// Works until told to stop or until the ledger fails.
async fn work(service: &Service, stop: watch::Receiver<bool>) -> Result<Duration, LedgerError> {
    if service.engine.accounts.is_empty() {
        return Ok(NOBODY);
    }
    let mut workers = tokio::spawn(worker::run(
        std::sync::Arc::clone(&service.engine),
        service.node,
        stop.clone(),
    ));
    loop {
        tokio::select! {
            ended = &mut workers => return ended_as(ended, *stop.borrow()),
            // They are well as long as they have not ended.
            () = tokio::time::sleep(AGAIN) => service.health.done("workers", AGAIN),
        }
    }
}

fn ended_as(
    ended: Result<Result<(), RunError>, tokio::task::JoinError>,
    stopped: bool,
) -> Result<Duration, LedgerError> {
    match ended {
        Ok(Ok(())) if stopped => Ok(Duration::ZERO),
        Ok(Ok(())) => Ok(AGAIN),
        Ok(Err(RunError::Ledger(error))) => Err(error),
        // A worker that broke is a defect of payrun; what was under way is asked about.
        Ok(Err(RunError::Worker(what))) => Err(LedgerError::Inconsistent {
            what: format!("a worker ended: {what}"),
        }),
        Err(error) => Err(LedgerError::Inconsistent {
            what: format!("a worker ended: {error}"),
        }),
    }
}
