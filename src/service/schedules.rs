//! Schedules: what is due is fired, by whichever process looks first.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Service;
use crate::ledger::LedgerError;

/// How often it is looked at the latest: a workflow that changed may be due sooner than the others.
const TICK: Duration = Duration::from_secs(1);

pub(super) async fn run(service: Service, stop: watch::Receiver<bool>) {
    let health = Arc::clone(&service.health);
    super::periodic::run_periodically(&health, "schedules", stop, || look(&service)).await;
}

/// Fires what is due; says how long to sleep until more is.
async fn look(service: &Service) -> Result<Duration, LedgerError> {
    let clock = &service.engine.clock;
    let paused: BTreeSet<String> = service
        .engine
        .ledger
        .paused_workflows()
        .await?
        .into_iter()
        .collect();
    let (workflows, seen) = (service.workflows.all(), &service.seen);
    let newer = workflows.iter().filter_map(|workflow| {
        let newer = service.workflows.newer_with_mistakes(&workflow.name)?;
        Some((workflow.name.clone(), newer.mistakes))
    });
    seen.set_newer_with_mistakes(newer.collect());
    let kept = service
        .engine
        .keep_schedules(&workflows, &paused, seen, clock.now())
        .await?;
    service.workflows.is_elsewhere(kept.elsewhere);
    Ok(kept
        .next
        .map_or(TICK, |next| next.since(clock.now()).min(TICK)))
}
