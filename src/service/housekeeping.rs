//! Housekeeping: what is older than `retention:` says is pruned, by whichever process looks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Service;
use crate::ledger::LedgerError;
use crate::report::stored_reports;

/// How often is looked, and the wait where there is more.
const TICK: Duration = Duration::from_secs(3_600);
const MORE: Duration = Duration::from_secs(1);

pub(super) async fn run(service: Service, stop: watch::Receiver<bool>) {
    let health = Arc::clone(&service.health);
    super::periodic::run_periodically(&health, "housekeeping", stop, || prune(&service)).await;
}

async fn prune(service: &Service) -> Result<Duration, LedgerError> {
    let pruned = service.engine.prune().await?;
    let files = service
        .engine
        .prune_uploads()
        .await
        .unwrap_or_else(|error| {
            tracing::warn!(
                error = crate::errors::chain(&error),
                "old uploads cannot be deleted"
            );
            0
        });
    let reports = stored_reports::prune(&service.engine)
        .await
        .unwrap_or_else(|error| {
            tracing::warn!(
                error = crate::errors::chain(&error),
                "old reports cannot be deleted"
            );
            0
        });
    let files = files + reports;
    let rows: u64 = pruned.rows.iter().map(|(_, gone)| gone).sum();
    if rows + files > 0 {
        tracing::info!(rows, files, "pruned what is older than retention says");
    }
    Ok(if pruned.more || files > 0 { MORE } else { TICK })
}
