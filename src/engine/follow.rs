//! Following runs until they are at rest: ending jobs, starting their dependents, burying dead processes' leases.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Engine;
use crate::domain::time::Timestamp;
use crate::ledger::{LedgerError, Work};

/// How runs stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Something is under way or due soon.
    Working(Work),
    /// Nothing is due within the patience; the next at this instant, if at any.
    Waiting(Work),
    /// Nothing is open.
    AtRest,
}

impl Engine {
    /// Ends what has ended, and tells how these runs stand.
    ///
    /// `lanes`: those that can work; what waits for another is not waited for. `held`:
    /// `LANE/KIND` of which nothing is sent at present. `patience`: how far ahead something may be due
    /// to be waited for.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn follow(
        &self,
        runs: &[i64],
        lanes: &BTreeSet<String>,
        held: &BTreeSet<String>,
        patience: Duration,
    ) -> Result<Standing, LedgerError> {
        let now = self.clock.now();
        self.ledger.advance(now).await?;
        while self.plan_late_jobs(now).await? > 0 {
            self.ledger.advance(now).await?;
        }
        let mut all = Work::default();
        for run in runs {
            let work = self.ledger.work(*run, lanes, held).await?;
            all.open += work.open;
            all.claimed += work.claimed;
            all.next_due = match (all.next_due, work.next_due) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        let soon = all.next_due.is_some_and(|due| due <= now.plus(patience));
        Ok(match all {
            Work { open: 0, .. } => Standing::AtRest,
            _ if soon || all.claimed > 0 => Standing::Working(all),
            _ => Standing::Waiting(all),
        })
    }

    /// Expires the leases of processes that are dead; says how many items are asked about because of it.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn take_over(&self, now: Timestamp) -> Result<u64, LedgerError> {
        let freed = self.ledger.bury_dead_nodes(now).await?;
        if freed > 0 {
            tracing::warn!(
                items = freed,
                "a process died with calls under way; they are asked about before anything is sent"
            );
        }
        Ok(freed)
    }
}
