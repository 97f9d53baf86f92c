//! Following runs until they are at rest: ending jobs, starting their dependents, taking over the
//! leases of dead processes.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Engine;
use crate::attempt::LONG_LEASE;
use payrun_domain::time::Timestamp;
use payrun_ledger::{LedgerError, RunProgress};

/// How runs stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// Something is under way or due soon.
    Working(RunProgress),
    /// Nothing is due within the patience; the next at this instant, if at any.
    Waiting(RunProgress),
    /// Nothing is open.
    AtRest,
}

impl Engine {
    /// Ends what has ended, and tells how these runs stand.
    ///
    /// `lanes`: those that can work; what waits for another is not waited for. `only_ask`: lanes,
    /// kinds of job and jobs of which nothing is sent at present. `patience`: how far ahead
    /// something may be due to be waited for.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn follow(
        &self,
        runs: &[i64],
        lanes: &BTreeSet<String>,
        only_ask: &BTreeSet<String>,
        patience: Duration,
    ) -> Result<RunStatus, LedgerError> {
        let now = self.clock.now();
        let all = loop {
            self.advance_runs(now).await?;
            let all = self.work(runs, lanes, only_ask).await?;
            if all.open > 0 {
                break all;
            }
            // An item that ended after the jobs were looked at may have been the last that a later
            // job waits for.
            if self.advance_runs(now).await? == 0 {
                return Ok(RunStatus::AtRest);
            }
        };
        let soon = all.next_due.is_some_and(|due| due <= now.plus(patience));
        if soon || all.claimed > 0 || self.asks(runs, now, patience).await? {
            return Ok(RunStatus::Working(all));
        }
        // What ended between the two looks has left something else to be done, or was what another
        // job waits for.
        self.advance_runs(now).await?;
        let again = self.work(runs, lanes, only_ask).await?;
        Ok(if again == all {
            RunStatus::Waiting(all)
        } else {
            RunStatus::Working(again)
        })
    }

    /// Withdraws what nobody approved in time, and what is left of withdrawn runs, ends what has
    /// ended and plans the jobs that waited for it, and tells contracts what became of their items;
    /// says how many jobs were planned.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn advance_runs(&self, now: Timestamp) -> Result<usize, LedgerError> {
        let mut planned = 0;
        self.expire_approvals(now).await?;
        self.finish_withdrawals(now).await?;
        self.keep_contracts(now).await?;
        loop {
            self.ledger.advance(now).await?;
            match self.plan_dependent_jobs(now).await? {
                0 => return Ok(planned),
                some => planned += some,
            }
        }
    }

    /// What there is to do for these runs together.
    async fn work(
        &self,
        runs: &[i64],
        lanes: &BTreeSet<String>,
        only_ask: &BTreeSet<String>,
    ) -> Result<RunProgress, LedgerError> {
        let mut all = RunProgress::default();
        for run in runs {
            let work = self.ledger.work(*run, lanes, only_ask).await?;
            all.open += work.open;
            all.claimed += work.claimed;
            all.next_due = match (all.next_due, work.next_due) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        Ok(all)
    }

    /// Whether a question is under way that nothing else of these runs tells of: its item is due
    /// when its lease ends, which may be later than anybody waits.
    async fn asks(
        &self,
        runs: &[i64],
        now: Timestamp,
        patience: Duration,
    ) -> Result<bool, LedgerError> {
        let longest = self
            .accounts
            .values()
            .map(|account| account.lease())
            .max()
            .unwrap_or_default()
            .max(LONG_LEASE);
        for run in runs {
            // Twice: a lease may have begun after `now`.
            if self
                .ledger
                .is_under_way(*run, now.plus(patience), now.plus(longest * 2))
                .await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Expires the leases of processes that are dead; says how many items are asked about because
    /// of it.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn reap_dead_nodes(&self, now: Timestamp) -> Result<u64, LedgerError> {
        let freed = self.ledger.reap_dead_nodes(now).await?;
        if freed > 0 {
            tracing::warn!(
                items = freed,
                "a process died with calls under way; they are queried before anything is sent"
            );
        }
        Ok(freed)
    }
}
