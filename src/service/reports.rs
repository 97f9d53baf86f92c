//! Reports: those of runs that have ended and of months that are over are made, each by one
//! process. What cannot be written is tried again, and keeps nothing else from going on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Service;
use crate::report::automatic_reports;

/// How often is looked for reports that are due, and for months that are over.
const TICK: Duration = Duration::from_secs(1);
const MONTHS: Duration = Duration::from_secs(60);

pub(super) async fn make(service: Service, stop: watch::Receiver<bool>) {
    let health = Arc::clone(&service.health);
    let engine = Arc::clone(&service.engine);
    super::periodic::run_periodically(&health, "reports", stop, || async {
        automatic_reports::make_due(&engine).await?;
        Ok(TICK)
    })
    .await;
}

pub(super) async fn want_months(service: Service, stop: watch::Receiver<bool>) {
    let health = Arc::clone(&service.health);
    let engine = Arc::clone(&service.engine);
    super::periodic::run_periodically(&health, "reports of months", stop, || async {
        automatic_reports::want_months(&engine).await?;
        Ok(MONTHS)
    })
    .await;
}
