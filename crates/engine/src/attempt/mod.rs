//! One attempt: a claimed item, one call, the judgement of what came back, and the settlement that
//! follows.
//!
//! Only the settlement changes the item. What else a reply says is written before it: what was
//! fetched (`persist.rs`), payments and the refunds reserved on them (`payment.rs`), the state of
//! the lane (`lane_effects.rs`), an answer that no page attests (`judge.rs`), and the end of a
//! contract. A reconciliation writes what it finds (`local_operations.rs`).
//!
//! A call is made only while its lease holds for longer than the call may take; otherwise the item
//! is given back unsent.

pub(crate) mod account_watch;
mod call;
pub(crate) mod call_pace;
mod context;
mod decide;
mod declared_payment;
pub mod explain;
mod judge;
pub(crate) mod lane_effects;
mod local_operations;
mod payer_check;
pub(crate) mod payment;
mod persist;
pub(crate) mod refiling;
pub mod trial_calls;

use call::call;
pub(crate) use call::{call_at_rate, in_time, is_too_late};
pub use context::JobContext;
pub(crate) use context::{AttemptContext, LONG_LEASE};
use decide::decide;
pub(crate) use decide::{SUB_CODE, advised, apply_query_interval, attempt_of, merged, numbers_of};
use judge::{act_on, judge_reply};
pub(crate) use judge::{day_end, day_over, expected, note_unattested};
use std::time::Duration;

use crate::{Account, Engine};
use payrun_domain::item::{Event, IllegalMove, apply};
use payrun_domain::time::Timestamp;
use payrun_gateway::{Call, Observation};
use payrun_ledger::{ClaimKind, Claimed, LedgerError, Settlement};
use payrun_project::job_kinds::OutcomeRow;

/// Makes the call a claim is for, and says what follows from the answer: it is called, judged, and
/// decided about. Whoever asked has it written down ([`settle`]).
///
/// `called` is run when the call has ended, before anything is written: the lane may go on to the
/// next.
///
/// # Errors
/// [`IllegalMove`] if the state machine does not know the move: a defect of payrun. The lease then
/// runs out and the item is asked about.
pub async fn execute(
    engine: &Engine,
    account: &Account,
    work: &JobContext,
    claimed: &Claimed,
    called: impl FnOnce() + Send,
) -> Result<Settlement, IllegalMove> {
    let ended = call(engine, account, work, claimed).await;
    called();
    match ended? {
        CallOutcome::Settled(settlement) => Ok(*settlement),
        CallOutcome::Called(mut exchange) => {
            let judged = judge_reply(&mut exchange).await;
            act_on(&exchange, &judged).await;
            decide(*exchange, judged).await
        }
    }
}

/// How the call of a claim ended.
enum CallOutcome<'a> {
    /// Nothing of the item's own was sent, and this follows.
    Settled(Box<Settlement>),
    /// It was sent, and this came back.
    Called(Box<Exchange<'a>>),
}

impl CallOutcome<'_> {
    fn settled(settlement: Settlement) -> Self {
        Self::Settled(Box::new(settlement))
    }
}

/// A call and what came back.
struct Exchange<'a> {
    context: AttemptContext<'a>,
    /// What each answer means.
    outcomes: &'a [OutcomeRow],
    call: Call,
    observed: Observation,
    started_at: Timestamp,
    ended_at: Timestamp,
}

impl Exchange<'_> {
    fn is_query(&self) -> bool {
        self.context.claimed.claim_kind == ClaimKind::Query
    }
}

/// A claim that is given back because nothing was sent.
///
/// # Errors
/// [`IllegalMove`] if the item is not claimed: a defect of payrun.
pub fn give_back(
    claimed: &Claimed,
    work: &JobContext,
    now: Timestamp,
) -> Result<Settlement, IllegalMove> {
    let moved = apply(&claimed.item, &Event::Unsent, &work.policy, now)?;
    Ok(Settlement::unsent(claimed, moved, now))
}

/// Writes a settlement down, again and again while the ledger cannot be written: an answer is worth
/// some patience.
///
/// # Errors
/// The database's last word: a minute after its first where it may pass by itself, else after 20
/// seconds. The item is then left claimed, and asked about when its lease has run out.
pub async fn settle(engine: &Engine, settlement: Settlement) -> Result<(), LedgerError> {
    const PATIENCE: Duration = Duration::from_secs(20);
    const PATIENCE_WITH_SERVERS: Duration = Duration::from_secs(60);
    let mut failing_since = None;
    loop {
        let error = match engine.ledger.settle(settlement.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        // What took long to fail may go well at once on a new connection.
        let began = failing_since.get_or_insert_with(tokio::time::Instant::now);
        let patience = if error.is_transient() {
            PATIENCE_WITH_SERVERS
        } else {
            PATIENCE
        };
        if matches!(error, LedgerError::Stopped) || began.elapsed() >= patience {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
