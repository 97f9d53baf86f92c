//! What an answer does to its lane: it is closed where the account refuses us or cannot prove
//! itself, a job is stopped whose requests are at fault, and it is noted that a gateway is not
//! reached.
//!
//! A lane that payrun closed sends nothing; what was sent is still asked about. Nothing here
//! changes an item.

use crate::attempt::AttemptContext;
use crate::attempt::account_watch::ReachChange;
use crate::{Account, Engine};
use payrun_domain::answer::{Answer, LaneEffect};
use payrun_domain::time::Timestamp;
use payrun_gateway::{Delivery, Observation};
use payrun_ledger::{ClaimKind, Claimed, LaneState};
use payrun_project::job_kinds::JobKind;
use payrun_project::job_kinds::judge::Judgement;

/// What is to be closed, and why.
struct LaneClosure {
    name: String,
    state: LaneState,
    reason: String,
    until: Option<Timestamp>,
    /// Where it is one job that is stopped.
    job_id: Option<i64>,
}

/// Closes the lane, if that is what an answer does to it, or if too many replies in a row could not
/// be verified.
pub(crate) async fn close(
    context: &AttemptContext<'_>,
    judged: &Judgement,
    observed: &Observation,
    now: Timestamp,
) {
    let (account, kind) = (context.account, &context.work.kind.name);
    let stop = |reason: String| LaneClosure {
        name: account.name.clone(),
        state: LaneState::Stopped,
        reason: format!(
            "{reason}; check {} of {} in payrun.yaml",
            account.gateway.credentials(),
            account.name
        ),
        until: None,
        job_id: None,
    };
    let code = judged.answer.code();
    let closing = match (judged.lane, &observed.delivery) {
        (LaneEffect::Stop, Delivery::Refused(why)) => stop(why.clone()),
        (LaneEffect::Stop, _) => stop(format!("the gateway answers {code}")),
        // Our balance: what takes from it waits, what adds to it goes on.
        (LaneEffect::Suspend, _) => LaneClosure {
            name: format!("{}/{kind}", account.name),
            state: LaneState::Suspended,
            reason: format!("the gateway answers {code}"),
            until: Some(now.plus(account.funds_interval)),
            job_id: None,
        },
        (LaneEffect::None, Delivery::Unverified(why)) => {
            match account.watch.too_many_unverified() {
                Some(times) => stop(format!(
                    "{times} replies in a row cannot be verified ({why})"
                )),
                None => return,
            }
        }
        (LaneEffect::None, _) => return,
    };
    closed(context.engine, account, &closing, now).await;
}

/// Stops the job whose items are refused for the same fault of the request, one after the other,
/// before any went well.
pub(crate) async fn note_refusal(context: &AttemptContext<'_>, judged: &Judgement, now: Timestamp) {
    if context.claimed.claim_kind == ClaimKind::Query {
        return;
    }
    let (account, job_id) = (context.account, context.claimed.job_id());
    let said = match &judged.answer {
        Answer::Declined(decline) if judged.request_fault => Some(decline.code.as_str()),
        // What is not known, or was not processed, ends no row.
        Answer::Unknown { .. } | Answer::NotProcessed { .. } => return,
        Answer::Done(_) | Answer::Accepted | Answer::Declined(_) | Answer::Absent => None,
    };
    let Some((code, times)) = said.zip(account.watch.note_refusal(job_id, said)) else {
        return;
    };
    // What was claimed ahead waits while the ledger is asked.
    let name = name_of_job(account, &context.work.kind, job_id);
    account
        .watch
        .close(&name, Some(job_id), now, account.lease());
    let job = match context.engine.ledger.job_without_success(job_id).await {
        Ok(Some(job)) => job,
        Ok(None) => return,
        Err(error) => {
            return tracing::error!(job.id = job_id, %error, "the job could not be stopped");
        }
    };
    let message = judged
        .message
        .as_deref()
        .map(|message| format!(" ({message})"))
        .unwrap_or_default();
    let closing = LaneClosure {
        name,
        state: LaneState::Stopped,
        reason: format!(
            "run {}, job {}: its first {times} items are declined for the same fault of the request: {code}{message}",
            job.run_id, job.name
        ),
        until: None,
        job_id: Some(job_id),
    };
    closed(context.engine, account, &closing, now).await;
}

/// What one job of a lane is closed as.
fn name_of_job(account: &Account, kind: &JobKind, job_id: i64) -> String {
    format!("{}/{}/{job_id}", account.name, kind.name)
}

async fn closed(engine: &Engine, account: &Account, closing: &LaneClosure, now: Timestamp) {
    let LaneClosure {
        name,
        state,
        reason,
        until,
        job_id,
    } = closing;
    account.watch.close(name, *job_id, now, account.lease());
    match engine
        .ledger
        .close_lane(name, *state, reason, *until, now)
        .await
    {
        Ok(true) => {
            tracing::error!(
                lane.name = name,
                lane.state = state.as_str(),
                reason,
                "a lane is closed; a person should look"
            );
        }
        Ok(false) => {}
        Err(error) => {
            tracing::error!(lane.name = name, error = %error, "the lane could not be closed")
        }
    }
    // What was claimed until the commit did not see it.
    account
        .watch
        .close(name, *job_id, engine.clock.now(), account.lease());
}

/// Whether the lane, or the item's kind or job on it, was closed after the item was claimed to be
/// sent.
pub(crate) fn is_closed_since_the_claim(
    account: &Account,
    kind: &JobKind,
    claimed: &Claimed,
) -> bool {
    let sends = claimed.claim_kind == ClaimKind::Submit;
    let names = [
        account.name.clone(),
        format!("{}/{}", account.name, kind.name),
        name_of_job(account, kind, claimed.job_id()),
    ];
    let claimed_at = claimed.item.sent_at.filter(|_| sends);
    claimed_at.is_some_and(|at| account.watch.is_closed_since(&names, at, account.lease()))
}

/// Notes that a gateway is no longer reached, or is again.
pub(crate) async fn note_reached(engine: &Engine, account: &Account, observed: &Observation) {
    let lane = account.name.as_str();
    let noted = match account.watch.note(observed) {
        None => return,
        Some(ReachChange::Lost(how)) => {
            tracing::warn!(lane.name = lane, how, "the gateway cannot be reached");
            engine
                .ledger
                .note_unreachable(lane, how, engine.clock.now())
                .await
        }
        Some(ReachChange::Reached) => engine.ledger.note_reached(lane).await,
    };
    if let Err(error) = noted {
        tracing::warn!(lane.name = lane, %error, "whether the gateway is reached could not be noted");
    }
}

/// Our balance was large enough for the one that tried: the others of its kind follow.
pub(crate) async fn end_trial(context: &AttemptContext<'_>, now: Timestamp) {
    let name = format!("{}/{}", context.account.name, context.work.kind.name);
    match context.engine.ledger.end_trial(&name, now).await {
        Ok(()) => tracing::info!(
            lane.name = name,
            "our balance is large enough again; the lane is open"
        ),
        Err(error) => {
            tracing::error!(lane.name = name, %error, "the lane could not be opened; the next item tries again");
        }
    }
}
