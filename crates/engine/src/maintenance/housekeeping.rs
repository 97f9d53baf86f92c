//! Pruning what is older than `retention:` says, a little at a time.

use std::time::Duration;

use crate::Engine;
use payrun_domain::time::Timestamp;
use payrun_ledger::{LedgerError, Prunable};

/// About how many rows a commit changes, how many commits of each a round has (a service that stops
/// waits for a round), and what is left to others between two of them.
const ROWS: u32 = 500;
const COMMITS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// What must stay known for at least so long: news that could be found again, times that a new
/// calendar could move.
const KNOWN_FOR: Duration = Duration::from_secs(60 * 86_400);

/// What a round has pruned, by its words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How much of each.
    pub rows: Vec<(&'static str, u64)>,
    /// Whether there may be more.
    pub more: bool,
}

impl Engine {
    /// Prunes some of what is old in the ledger; say it again while there is more.
    ///
    /// # Errors
    /// Whatever the ledger says; what was pruned before stays pruned.
    pub async fn prune(&self) -> Result<Pruned, LedgerError> {
        let now = self.clock.now();
        // What failed items say of their contracts is heard before it goes.
        self.keep_contracts(now).await?;
        let mut pruned = Pruned::default();
        for what in Prunable::ALL {
            let Some(before) = self.kept_since(what, now) else {
                continue;
            };
            let (gone, more) = self.prune_some(what, before, now).await?;
            pruned.rows.push((what.words(), gone));
            pruned.more |= more;
        }
        Ok(pruned)
    }

    /// How much of what is in the ledger is old.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn prunable(&self) -> Result<Vec<(&'static str, u64)>, LedgerError> {
        let now = self.clock.now();
        let mut counts = Vec::new();
        for what in Prunable::ALL {
            if let Some(before) = self.kept_since(what, now) {
                counts.push((what.words(), self.ledger.prunable(what, before).await?));
            }
        }
        Ok(counts)
    }

    async fn prune_some(
        &self,
        what: Prunable,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<(u64, bool), LedgerError> {
        let mut gone = 0;
        for _ in 0..COMMITS {
            match self.ledger.prune(what, before, ROWS, now).await? {
                0 => return Ok((gone, false)),
                some => gone += some,
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok((gone, true))
    }

    /// From when on it is kept; none if it is kept for ever.
    fn kept_since(&self, what: Prunable, now: Timestamp) -> Option<Timestamp> {
        let operational = self.config.retention.operational;
        let kept = match what {
            Prunable::Alerts | Prunable::Occurrences => operational.max(KNOWN_FOR),
            Prunable::Notifications | Prunable::Buckets => operational,
            Prunable::Evidence | Prunable::StatementLines => self.config.retention.evidence?,
        };
        Some(now.minus(kept))
    }
}
