//! Forgetting what is older than `retention:` says, a little at a time.

use std::time::Duration;

use crate::Engine;
use payrun_domain::time::Timestamp;
use payrun_ledger::{Forgettable, LedgerError};

/// About how many rows a commit changes, how many commits of each a round has (a service that stops
/// waits for a round), and what is left to others between two of them.
const ROWS: u32 = 500;
const COMMITS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// What must stay known for at least so long: news that could be found again, times that a new
/// calendar could move.
const KNOWN_FOR: Duration = Duration::from_secs(60 * 86_400);

/// What a round has forgotten, by its words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// How much of each.
    pub rows: Vec<(&'static str, u64)>,
    /// Whether there may be more.
    pub more: bool,
}

impl Engine {
    /// Forgets some of what is old in the ledger; say it again while there is more.
    ///
    /// # Errors
    /// Whatever the ledger says; what was forgotten before stays forgotten.
    pub async fn forget(&self) -> Result<Forgotten, LedgerError> {
        let now = self.clock.now();
        // What failed items say of their contracts is heard before it goes.
        self.keep_contracts(now).await?;
        let mut forgotten = Forgotten::default();
        for what in Forgettable::ALL {
            let Some(before) = self.kept_since(what, now) else {
                continue;
            };
            let (gone, more) = self.forget_some(what, before, now).await?;
            forgotten.rows.push((what.words(), gone));
            forgotten.more |= more;
        }
        Ok(forgotten)
    }

    /// How much of what is in the ledger is old.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn forgettable(&self) -> Result<Vec<(&'static str, u64)>, LedgerError> {
        let now = self.clock.now();
        let mut counts = Vec::new();
        for what in Forgettable::ALL {
            if let Some(before) = self.kept_since(what, now) {
                counts.push((what.words(), self.ledger.forgettable(what, before).await?));
            }
        }
        Ok(counts)
    }

    async fn forget_some(
        &self,
        what: Forgettable,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<(u64, bool), LedgerError> {
        let mut gone = 0;
        for _ in 0..COMMITS {
            match self.ledger.forget(what, before, ROWS, now).await? {
                0 => return Ok((gone, false)),
                some => gone += some,
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok((gone, true))
    }

    /// From when on it is kept; none if it is kept for ever.
    fn kept_since(&self, what: Forgettable, now: Timestamp) -> Option<Timestamp> {
        let operational = self.config.retention.operational;
        let kept = match what {
            Forgettable::Alerts | Forgettable::Occurrences => operational.max(KNOWN_FOR),
            Forgettable::Notifications | Forgettable::Buckets => operational,
            Forgettable::Evidence | Forgettable::StatementLines => self.config.retention.evidence?,
        };
        Some(now.minus(kept))
    }
}
