//! Approvals of a run's batches: counted, refused, or let expire. Who may approve is decided in the
//! ledger, in the commit that counts it, so that no path leads around it.

use crate::Engine;
use crate::operator::bulk::BulkError;
use payrun_domain::actor::{Actor, Authorization, Reason};
use payrun_domain::item::State;
use payrun_domain::time::Timestamp;
use payrun_ledger::{
    ApprovalRow, ApprovalState, BulkVerb, DecisionOutcome, ItemFilter, LedgerError,
};

/// What became of a job's batch.
#[derive(Debug, Clone)]
pub struct BatchDecision {
    /// The approval as it was before.
    pub approval: ApprovalRow,
    /// What became of it.
    pub decided: DecisionOutcome,
}

impl Engine {
    /// Approves what waits of a run: all its batches, or one job's. `shown`: the hash of the batch
    /// that was looked at; what is approved is nothing else then.
    ///
    /// The author of a run cannot, whoever asks for it; a person counts once. Empty if nothing
    /// waits.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn approve_run(
        &self,
        run_id: i64,
        job: Option<&str>,
        shown: Option<&str>,
        by: &Authorization,
    ) -> Result<Vec<BatchDecision>, LedgerError> {
        let mut outcome = Vec::new();
        for approval in self.open_approvals(run_id, job).await? {
            let decided = self
                .ledger
                .approve(approval.id, shown, by, self.clock.now())
                .await?;
            outcome.push(BatchDecision { approval, decided });
        }
        Ok(outcome)
    }

    /// Withdraws the batches of a run, or one job's. Its author may do so too. Of one that was
    /// released already, what is open is withdrawn, and nothing is sent again. Empty if there is
    /// none to withdraw.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn reject_run(
        &self,
        run_id: i64,
        job: Option<&str>,
        by: &Authorization,
    ) -> Result<Vec<BatchDecision>, BulkError> {
        let mut outcome = Vec::new();
        for approval in self.ledger.approvals_of_run(run_id).await? {
            let over = matches!(
                approval.state,
                ApprovalState::Rejected | ApprovalState::Expired
            );
            if over || job.is_some_and(|job| approval.job != job) {
                continue;
            }
            let mut decided = self
                .ledger
                .reject(approval.id, by, self.clock.now())
                .await?;
            if matches!(
                decided,
                DecisionOutcome::NotWaiting(ApprovalState::Approved | ApprovalState::Revoked)
            ) {
                decided = self.revoke(&approval, by).await?;
            }
            outcome.push(BatchDecision { approval, decided });
        }
        Ok(outcome)
    }

    /// Withdraws what is open of a batch that was released. Given again, it goes on where it was
    /// broken off.
    async fn revoke(
        &self,
        approval: &ApprovalRow,
        by: &Authorization,
    ) -> Result<DecisionOutcome, BulkError> {
        let filter = ItemFilter {
            run_id: Some(approval.run_id),
            job: Some(approval.job.clone()),
            states: State::ALL
                .into_iter()
                .filter(|state| state.is_open() || *state == State::NeedsReview)
                .collect(),
            ..ItemFilter::default()
        };
        if self.is_all_succeeded(approval).await? {
            return Ok(DecisionOutcome::NotWaiting(ApprovalState::Approved));
        }
        // First, so that nothing of it is claimed while its items are withdrawn one by one.
        let first = self
            .ledger
            .revoke_approval(approval.id, by, self.clock.now())
            .await?;
        let chosen = self.choose(&filter, BulkVerb::Cancel).await?;
        if chosen.counted.items == 0 && !first {
            return Ok(DecisionOutcome::NotWaiting(ApprovalState::Revoked));
        }
        let words = format!(
            "run {} job {}, a batch rejected after its release",
            approval.run_id, approval.job
        );
        let done = self.act_on_chosen(&chosen, &words, by).await?;
        Ok(DecisionOutcome::Revoked {
            cancelled: done.moved.values().sum(),
            under_way: done.withdrawn.values().sum(),
        })
    }

    /// Whether there is nothing of a batch that could be sent, now or when it is retried.
    async fn is_all_succeeded(&self, approval: &ApprovalRow) -> Result<bool, LedgerError> {
        let others = ItemFilter {
            run_id: Some(approval.run_id),
            job: Some(approval.job.clone()),
            states: State::ALL
                .into_iter()
                .filter(|state| {
                    !matches!(state, State::Succeeded | State::Rejected | State::Skipped)
                })
                .collect(),
            ..ItemFilter::default()
        };
        Ok(self.ledger.items(&others, 0, 1).await?.is_empty())
    }

    pub(super) async fn open_approvals(
        &self,
        run_id: i64,
        job: Option<&str>,
    ) -> Result<Vec<ApprovalRow>, LedgerError> {
        let mut open = self.ledger.approvals_of_run(run_id).await?;
        open.retain(|approval| {
            approval.state.is_open() && job.is_none_or(|job| approval.job == job)
        });
        Ok(open)
    }

    /// Withdraws what nobody approved in time.
    pub(crate) async fn expire_approvals(&self, now: Timestamp) -> Result<(), LedgerError> {
        let Ok(reason) = Reason::parse("nobody approved it in time") else {
            return Ok(());
        };
        let by = Authorization {
            actor: Actor::payrun(),
            reason,
        };
        let expired = self.ledger.expire_approvals(&by, now).await?;
        if expired > 0 {
            tracing::warn!(
                batches = expired,
                "nobody approved a batch in time; it is withdrawn"
            );
        }
        Ok(())
    }
}
