//! Notifications that were kept: applied to the items they are about, by whichever process looks
//! first.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Service;

/// How often it is looked for notifications that are due.
const TICK: Duration = Duration::from_millis(250);

pub(super) async fn run(service: Service, stop: watch::Receiver<bool>) {
    let health = Arc::clone(&service.health);
    super::periodic::run_periodically(&health, "notifications", stop, || async {
        let looked_at = service.engine.process_notifications().await?;
        // There may be more.
        Ok(if looked_at == 0 { TICK } else { Duration::ZERO })
    })
    .await;
}
