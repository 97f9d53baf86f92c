//! Something done again and again until the service stops.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;

use super::health::Health;
use crate::ledger::LedgerError;

/// The wait after the first failure, and the longest: each failure doubles it.
const AGAIN: Duration = Duration::from_millis(500);
const AGAIN_AT_MOST: Duration = Duration::from_secs(30);

/// Does it, sleeps as long as it says, and does it again; after a failure a little later.
pub(super) async fn run_periodically<Work, Done>(
    health: &Health,
    name: &'static str,
    mut stop: watch::Receiver<bool>,
    mut work: Work,
) where
    Work: FnMut() -> Done,
    Done: Future<Output = Result<Duration, LedgerError>>,
{
    let mut failures: u32 = 0;
    while !*stop.borrow() {
        let wait = match work().await {
            Ok(wait) => {
                failures = 0;
                health.done(name, wait);
                wait
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                health.failed(name, &error);
                AGAIN
                    .saturating_mul(2_u32.saturating_pow(failures.min(10) - 1))
                    .min(AGAIN_AT_MOST)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
    }
}
