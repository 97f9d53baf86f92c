//! Due rows, sorted by what is to be done with them, and written in one batch: claimed, unknown
//! after a lease that ran out, asked about before they are sent, withdrawn, left to a person, or put
//! off. It does not decide which of these it is: `items/claim.rs` does.

use std::time::Duration;

use serde_json::json;

use crate::contracts::stop_reasons::StopReason;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::claim::{ClaimRequest, JobQuota};
use crate::items::claimed_item::ClaimKind;
use crate::items::item_rows::{ChangeBatch, ItemChange, ItemRecord, Lease, list};
use crate::items::settle::Attempt;
use crate::items::state_machine::decide;
use crate::planning::rejected_rows::message_text;
use payrun_domain::answer::{Answer, Cause};
use payrun_domain::history::EventKind;
use payrun_domain::item::{Event, Move, State};
use payrun_domain::message::Message;
use payrun_domain::reason::ReasonCode;
use payrun_domain::time::Timestamp;

/// Due rows, by what is to be done with them.
#[derive(Debug, Default)]
pub(super) struct DueItems {
    pub(super) claims: Vec<(ItemRecord, Move, ClaimKind)>,
    abandoned: Vec<(ItemRecord, Move)>,
    /// Items that may have been sent by a ledger of which this is a backup.
    recalled: Vec<(ItemRecord, Move)>,
    /// Items of which money moved under an earlier number.
    to_review: Vec<(ItemRecord, Move)>,
    /// Items that a person withdrew while they were under way.
    withdrawn: Vec<(ItemRecord, Move)>,
    /// Items that must wait.
    pub(super) blocked: Vec<(i64, WaitReason)>,
}

/// What keeps an item from being sent, and for how long it is put off: a person's action ends the
/// longer waits at once.
#[derive(Debug, Clone, Copy)]
pub(super) enum WaitReason {
    /// Another item of its contract is in flight.
    Busy,
    /// Another item of its contract needs review.
    NeedsReview,
    /// A person has paused its contract.
    Paused,
    /// The end of its contract is to be sent.
    Ending,
}

/// The number of this generation has been asked about before it was sent.
pub(crate) const RECALLED: &str = "\
    update items set recalled = generation from json_each($1) as r where items.id = cast(r.atom as bigint)";

pub(crate) const BUMP: &str = "\
    update items set next_at = cast(b.value ->> 'next_at' as bigint), reason = b.value ->> 'reason', \
      reason_message = b.value ->> 'message', \
      reason_code = b.value ->> 'reason_code' \
    from json_each($1) as b where items.id = cast(b.value ->> 'id' as bigint)";

impl DueItems {
    /// It is sent, or asked about.
    pub(super) fn claim(
        &mut self,
        stored: ItemRecord,
        quota: &JobQuota,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let claim_kind = if stored.item.state == State::Planned {
            ClaimKind::Submit
        } else {
            ClaimKind::Query
        };
        let moved = decide(&stored, &Event::Claim, &quota.policy, now)?;
        self.claims.push((stored, moved, claim_kind));
        Ok(())
    }

    /// Its lease has run out: nobody knows whether it was sent.
    pub(super) fn abandon(
        &mut self,
        stored: ItemRecord,
        quota: &JobQuota,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let moved = decide(
            &stored,
            &Event::Answered(Answer::from(Cause::Abandoned)),
            &quota.policy,
            now,
        )?;
        self.abandoned.push((stored, moved));
        Ok(())
    }

    /// It is asked about before it is sent.
    pub(super) fn recall(
        &mut self,
        stored: ItemRecord,
        quota: &JobQuota,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let moved = decide(&stored, &Event::Recall, &quota.policy, now)?;
        self.recalled.push((stored, moved));
        Ok(())
    }

    /// Nothing more of it is sent: a person has withdrawn it, or what `stopped` says does.
    pub(super) fn cancel(
        &mut self,
        stored: ItemRecord,
        stopped: Option<&StopReason>,
        quota: &JobQuota,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let moved = decide(&stored, &Event::Cancel, &quota.policy, now)?;
        let by_person = stored.withdrawn.as_ref().map(|withdrawal| {
            Message::new(
                "withdrawn-nothing-more",
                "withdrawn by {who}; nothing more was sent",
            )
            .with("who", withdrawal)
        });
        let reason = by_person.or_else(|| {
            let withdrawn = Message::new("withdrawn-since", "withdrawn: {why}");
            stopped.map(|stopped| withdrawn.with("why", stopped.message()))
        });
        self.withdrawn.push((stored, moved.because(reason)));
        Ok(())
    }

    /// Only a person can say what becomes of it.
    pub(super) fn require_review(
        &mut self,
        stored: ItemRecord,
        quota: &JobQuota,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let moved = decide(&stored, &Event::RequireReview, &quota.policy, now)?;
        self.to_review.push((stored, moved));
        Ok(())
    }

    /// Writes everything, within the transaction that claims.
    pub(super) async fn write(
        &self,
        tx: &mut WriteTx,
        request: &ClaimRequest,
        lease_until: Timestamp,
    ) -> Result<(), LedgerError> {
        #[cfg(feature = "mutation")]
        if crate::mutation::claim_is_lost() {
            return Ok(());
        }
        let lease = Lease {
            node: request.node.0,
            until: lease_until,
        };
        let claims = self
            .claims
            .iter()
            .map(|(stored, moved, _)| (stored, moved, EventKind::Claim, Some(lease)));
        let abandoned = self
            .abandoned
            .iter()
            .map(|(stored, moved)| (stored, moved, EventKind::Abandoned, None));
        let recalled = self
            .recalled
            .iter()
            .map(|(stored, moved)| (stored, moved, EventKind::Recall, None));
        let to_review = self
            .to_review
            .iter()
            .map(|(stored, moved)| (stored, moved, EventKind::RequireReview, None));
        let withdrawn = self
            .withdrawn
            .iter()
            .map(|(stored, moved)| (stored, moved, EventKind::Cancel, None));
        let moves: Vec<ItemChange<'_>> = claims
            .chain(abandoned)
            .chain(recalled)
            .chain(to_review)
            .chain(withdrawn)
            .map(|(stored, moved, event, lease)| ItemChange {
                stored,
                event,
                moved,
                lease,
                result: None,
                at: request.now,
            })
            .collect();
        let ends: Vec<_> = self
            .abandoned
            .iter()
            .map(|(stored, _)| (stored, Attempt::abandoned(stored, request.now)))
            .collect();
        let attempts: Vec<_> = ends
            .iter()
            .map(|(s, attempt)| attempt.line(s.id, s.version, &s.order_no, false))
            .collect();
        if !moves.is_empty() && !ChangeBatch::of(&moves, &attempts)?.execute(tx).await? {
            return Err(LedgerError::Inconsistent {
                what: "an item changed within the transaction that claims it".to_owned(),
            });
        }
        self.note_recalled(tx).await?;
        self.postpone_overdue(tx, request.now).await
    }

    async fn note_recalled(&self, tx: &mut WriteTx) -> Result<(), LedgerError> {
        if self.recalled.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = self.recalled.iter().map(|(stored, _)| stored.id).collect();
        let noted = sqlx::query(RECALLED)
            .bind(list(&ids))
            .execute(tx.connection())
            .await;
        noted
            .map(|_| ())
            .map_err(|source| LedgerError::of("asking about what may have been sent", source))
    }

    async fn postpone_overdue(&self, tx: &mut WriteTx, now: Timestamp) -> Result<(), LedgerError> {
        if self.blocked.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = self
            .blocked
            .iter()
            .map(|(id, waits)| {
                json!({
                    "id": id,
                    "next_at": now.plus(waits.time()).millis(),
                    "reason": waits.message().to_string(),
                    "message": message_text(&waits.message()),
                    "reason_code": waits.code().as_str(),
                })
            })
            .collect();
        sqlx::query(BUMP)
            .bind(list(&rows))
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of("putting off what waits for its contract", source))?;
        Ok(())
    }
}

impl WaitReason {
    const fn time(self) -> Duration {
        match self {
            Self::Busy | Self::Ending => Duration::from_secs(1),
            Self::NeedsReview | Self::Paused => Duration::from_secs(3600),
        }
    }

    const fn code(self) -> ReasonCode {
        match self {
            Self::Busy => ReasonCode::ContractBusy,
            Self::NeedsReview => ReasonCode::ContractNeedsReview,
            Self::Paused => ReasonCode::ContractPaused,
            Self::Ending => ReasonCode::ContractEnding,
        }
    }

    const fn message(self) -> Message {
        match self {
            Self::Busy => Message::new(
                "waits-contract-busy",
                "waits: an earlier item of the same contract has not ended",
            ),
            Self::NeedsReview => Message::new(
                "waits-contract-needs-review",
                "waits: an earlier item of the same contract needs review",
            ),
            Self::Paused => Message::new("waits-contract-paused", "waits: its contract is paused"),
            Self::Ending => Message::new(
                "waits-contract-ending",
                "waits: its contract is to be terminated",
            ),
        }
    }
}
