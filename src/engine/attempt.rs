//! One attempt: a claimed item, one call, the judgement of what came back, and the settlement that follows.
//!
//! Nothing here writes, except that a lane is closed whose account refuses us. A call is made only while its lease holds for
//! longer than the call may take; otherwise the item is given back unsent.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::{Account, Engine};
use crate::catalog::judge::{Judged, judge};
use crate::catalog::{JobKind, Operations};
use crate::domain::answer::{Answer, LaneEffect};
use crate::domain::ids::OrderNumber;
use crate::domain::item::{Event, Illegal, Move, State, apply};
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;
use crate::failpoint;
use crate::gateway::{Call, Observation};
use crate::ledger::{Attempt, Claimed, Doing, LaneState, LedgerError, Settlement};

/// How long a lane is held when our balance is too small.
const HOLD: Duration = Duration::from_secs(600);

/// What an attempt needs to know of its job.
#[derive(Debug, Clone)]
pub struct Work {
    /// The job's kind.
    pub kind: Arc<JobKind>,
    /// The job's policies as they were planned.
    pub policy: Arc<Policy>,
}

/// Makes the call a claim is for, and says what follows from the answer.
///
/// `called` is run when the call has ended, before anything is written: the lane may go on to the next.
///
/// # Errors
/// [`Illegal`] if the state machine does not know the move: a defect of payrun. The lease then runs out and the item is asked about.
pub async fn perform(
    engine: &Engine,
    account: &Account,
    work: &Work,
    claimed: &Claimed,
    called: impl FnOnce() + Send,
) -> Result<Settlement, Illegal> {
    let started_at = engine.clock.now();
    let operations = work.kind.gateways.get(account.kind);
    let operation = operations.and_then(|operations| operation(operations, claimed.doing));
    let too_late = started_at.plus(account.timeout) >= claimed.lease_until;
    let (Some(operations), Some(operation), false) = (operations, operation, too_late) else {
        called();
        return give_back(claimed, work, started_at);
    };
    let call = Call {
        operation: operation.to_owned(),
        order_no: claimed.order_no().clone(),
        input: input(claimed),
        amount: claimed.amount(),
        timeout: account.timeout,
    };
    failpoint::hit("before_send");
    let observed = within(account, &call).await;
    failpoint::hit("after_send");
    called();
    let ended_at = engine.clock.now();
    let is_query = claimed.doing == Doing::Query;
    let outcomes = if is_query { &operations.query_outcomes } else { &operations.submit_outcomes };
    // A look-up may be of somebody else's number; an effect never is.
    let ours = work.kind.effect.then(|| claimed.order_no());
    let judged = judge(outcomes, is_query, work.kind.effect, &observed, ours, claimed.amount());
    tell(account, claimed, &judged);
    close_lane(engine, account, &judged, ended_at).await;
    let moved = apply(&claimed.item, &Event::Answered(judged.answer.clone()), &work.policy, ended_at)?;
    let moved = explained(account, operations, &judged, &call, spaced(account, is_query, moved, ended_at)).await;
    let result = (!observed.result.is_empty()).then(|| Value::Object(observed.result).to_string());
    let attempt = Attempt {
        operation: call.operation,
        started_at,
        ended_at,
        answer: judged.answer.word(),
        code: judged.answer.code().to_owned(),
        http: observed.http,
        evidence: if observed.evidence.is_empty() { observed.reached.why() } else { observed.evidence },
    };
    Ok(Settlement::answered(claimed, moved, attempt, result, ended_at))
}

/// A claim that is given back because nothing was sent.
///
/// # Errors
/// [`Illegal`] if the item is not claimed: a defect of payrun.
pub fn give_back(claimed: &Claimed, work: &Work, now: Timestamp) -> Result<Settlement, Illegal> {
    let moved = apply(&claimed.item, &Event::Unsent, &work.policy, now)?;
    Ok(Settlement::unsent(claimed, moved, now))
}

fn operation(operations: &Operations, doing: Doing) -> Option<&str> {
    match doing {
        Doing::Submit => Some(&operations.submit),
        Doing::Query => operations.query.as_deref(),
    }
}

fn input(claimed: &Claimed) -> Map<String, Value> {
    // Written by the planner, from checked fields.
    serde_json::from_str(claimed.input()).unwrap_or_default()
}

/// The call, aborted at its deadline whatever the gateway's client does.
async fn within(account: &Account, call: &Call) -> Observation {
    let grace = Duration::from_millis(250);
    match tokio::time::timeout(call.timeout + grace, account.gateway.call(call)).await {
        Ok(observed) => observed,
        Err(_) => Observation::of(crate::gateway::Reached::TimedOut),
    }
}

/// One order is not asked about more often than the account allows.
fn spaced(account: &Account, is_query: bool, moved: Move, now: Timestamp) -> Move {
    let asks_again = matches!(moved.item.state, State::Pending | State::Unknown);
    if !(is_query && asks_again) {
        return moved;
    }
    let due = moved.due.map(|due| due.max(now.plus(account.query_interval)));
    Move { due, ..moved }
}

async fn close_lane(engine: &Engine, account: &Account, judged: &Judged, now: Timestamp) {
    let (state, until) = match judged.lane {
        LaneEffect::None => return,
        LaneEffect::Stop => (LaneState::Stopped, None),
        LaneEffect::Hold => (LaneState::Held, Some(now.plus(HOLD))),
    };
    let reason = format!("the gateway answers {}", judged.answer.code());
    match engine.ledger.close_lane(&account.name, state, &reason, until).await {
        Ok(true) => {
            tracing::error!(
                lane.name = account.name,
                lane.state = state.word(),
                reason,
                "a lane is closed; a person should look"
            );
        }
        Ok(false) => {}
        Err(error) => tracing::error!(lane.name = account.name, error = %error, "the lane could not be closed"),
    }
}

/// A refusal in words, where the gateway can say more than its code.
async fn explained(account: &Account, operations: &Operations, judged: &Judged, call: &Call, moved: Move) -> Move {
    let Some(operation) = operations.explain.as_ref().filter(|_| judged.explain) else { return moved };
    let question = Call { operation: operation.clone(), amount: None, ..call.clone() };
    let told = within(account, &question).await;
    if told.result.is_empty() {
        return moved;
    }
    let reason = format!("{} ({operation}: {})", moved.reason.as_deref().unwrap_or("declined"), facts(&told));
    Move { reason: Some(reason), ..moved }
}

/// Asks the gateway what it knows of an item beside its order: the state of its contract. None if it knows nothing of the kind;
/// an error if the facts say that it cannot be charged, or cannot be had.
pub async fn explain(
    account: &Account,
    kind: &JobKind,
    order_no: &OrderNumber,
    input: &str,
) -> Option<Result<String, String>> {
    let operation = kind.gateways.get(account.kind)?.explain.clone()?;
    let input: Map<String, Value> = serde_json::from_str(input).unwrap_or_default();
    let subject = kind.one_at_a_time.as_ref().and_then(|field| input.get(field)).and_then(Value::as_str);
    let subject = subject.unwrap_or_default().to_owned();
    let call = Call { operation, order_no: order_no.clone(), input, amount: None, timeout: account.timeout };
    let told = within(account, &call).await;
    let facts = facts(&told);
    Some(match told.http {
        // Anything but SIGNED is not chargeable (gateways.md 4.2).
        Some(200) if told.result.get("state").and_then(Value::as_str) == Some("SIGNED") => {
            Ok(format!("{subject}: {facts}"))
        }
        Some(200) => Err(format!("{subject}: {facts}; it cannot be charged")),
        Some(http) => Err(format!("{subject}: HTTP {http} {}", told.code.unwrap_or_default())),
        None => Err(format!("{subject}: no answer")),
    })
}

fn facts(told: &Observation) -> String {
    let shown = told.result.iter();
    let texts =
        shown.map(|(name, fact)| format!("{name} {}", fact.as_str().map_or_else(|| fact.to_string(), str::to_owned)));
    texts.collect::<Vec<_>>().join(", ")
}

fn tell(account: &Account, claimed: &Claimed, judged: &Judged) {
    let (lane, item, order) = (account.name.as_str(), claimed.id(), claimed.order_no().as_str());
    if !judged.listed {
        let code = judged.answer.code();
        tracing::warn!(lane.name = lane, item.id = item, order.no = order, code, "no outcome table lists this answer");
    }
    match &judged.answer {
        Answer::Unknown { .. } => {
            tracing::info!(
                lane.name = lane,
                item.id = item,
                order.no = order,
                answer = judged.answer.word(),
                code = judged.answer.code()
            );
        }
        Answer::Done(_) | Answer::Accepted | Answer::Declined(_) | Answer::NotProcessed { .. } | Answer::Absent => {
            tracing::debug!(
                lane.name = lane,
                item.id = item,
                order.no = order,
                answer = judged.answer.word(),
                code = judged.answer.code()
            );
        }
    }
}

/// Writes a settlement down, again and again while the ledger cannot be written: an answer is worth some patience.
///
/// # Errors
/// The database's last word after 20 seconds. The item is then left claimed, and asked about when its lease has run out.
pub async fn settle(engine: &Engine, settlement: Settlement) -> Result<(), LedgerError> {
    const PATIENCE: Duration = Duration::from_secs(20);
    let deadline = tokio::time::sleep(PATIENCE);
    tokio::pin!(deadline);
    loop {
        let error = match engine.ledger.settle(settlement.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        if matches!(error, LedgerError::Stopped) || deadline.is_elapsed() {
            return Err(error);
        }
        tokio::select! {
            () = &mut deadline => {}
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
    }
}
