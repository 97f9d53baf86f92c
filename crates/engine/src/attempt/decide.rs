//! What becomes of the item: the move of the state machine, with what people want to read.
//!
//! The machine alone says the state. Added here are words, an alarm where there is none, and a
//! later time for the next query.

use serde_json::{Map, Value};

use super::call::cannot_reach;
use super::{Exchange, payer_check};
use crate::Account;
use crate::attempt::explain::explained;
use crate::contracts::CONTRACT_IS;
use payrun_domain::answer::{Answer, Cause};
use payrun_domain::history::AttemptKind;
use payrun_domain::item::{Event, IllegalMove, Move, QueryPurpose, State, apply};
use payrun_domain::message::Message;
use payrun_domain::subscription::ContractSignal;
use payrun_domain::time::Timestamp;
use payrun_gateway::NUMBERS;
use payrun_gateway::redaction::TOLD;
use payrun_gateway::{Delivery, NoConnection, Observation};
use payrun_ledger::{Attempt, ClaimKind, Claimed, GatewayNumber, RECEIPT, Settlement};
use payrun_project::job_kinds::judge::Judgement;

/// What becomes of the item: the move of the state machine, with what people want to read.
pub(crate) async fn decide(
    exchange: Exchange<'_>,
    judged: Judgement,
) -> Result<Settlement, IllegalMove> {
    let is_query = exchange.is_query();
    let Exchange {
        context,
        call,
        mut observed,
        started_at,
        ended_at,
        ..
    } = exchange;
    let claimed = context.claimed;
    let moved = apply(
        &claimed.item,
        &Event::Answered(answer_to(claimed, &judged.answer)),
        &context.work.policy,
        ended_at,
    )?;
    let moved = apply_query_interval(context.account, is_query, moved, ended_at);
    let moved = quoted(moved, &judged, &observed.result);
    let moved = unmapped(moved, &judged, claimed, &mut observed.result);
    let (moved, word) = explained(&context, &judged, &call, moved).await;
    let moved = payer_check::with_payer_reason(moved, claimed.facts(), &observed.result);
    let moved = match judged.held_by.filter(|_| moved.item.state.is_open()) {
        Some(held_by) => moved.worded(Some(held_by.to_owned().into())),
        None => moved,
    };
    let moved = advised(moved, judged.advice.as_deref());
    let moved = advised(
        moved,
        mismatch(&judged.answer, &observed, claimed).as_deref(),
    );
    let moved = moved.warned(payer_check::warning(claimed.facts(), &observed.result));
    let moved = unsent(moved, &observed.delivery, is_query);
    note_contract_signal(&mut observed.result, claimed, word);
    note_exists(&mut observed.result, claimed, judged.exists);
    let result = merged(claimed.facts(), observed.result.clone());
    let attempt = attempt_of(
        &call.operation,
        started_at,
        ended_at,
        &judged.answer,
        observed,
    );
    Ok(Settlement::answered(
        claimed, moved, attempt, result, ended_at,
    ))
}

/// Where nothing was sent, the reason says why.
pub(crate) fn unsent(moved: Move, delivery: &Delivery, is_query: bool) -> Move {
    match delivery {
        Delivery::Unsendable(why) => {
            let cannot = Message::new("cannot-be-sent", "cannot be sent: {why}");
            moved.because(Some(cannot.with("why", why)))
        }
        Delivery::Unreachable(how, _) => unreached(*how, moved),
        Delivery::NotSent(why) => {
            let what = if is_query {
                Message::new("could-not-be-queried", "it could not be queried: {why}")
            } else {
                Message::new("nothing-was-sent-since", "nothing was sent: {why}")
            };
            moved.because(Some(what.with("why", why)))
        }
        Delivery::Refused(_)
        | Delivery::TimedOut
        | Delivery::Lost(_)
        | Delivery::Unreadable(_)
        | Delivery::Unverified(_)
        | Delivery::NoKeys(_)
        | Delivery::Replied => moved,
    }
}

/// Keeps what a refusal says of the contract; what an earlier one said does not outlive the next
/// submission.
pub(crate) fn note_contract_signal(
    result: &mut Map<String, Value>,
    claimed: &Claimed,
    word: Option<ContractSignal>,
) {
    let said_before = || claimed.facts().contains_key(CONTRACT_IS);
    if let Some(word) = word {
        result.insert(CONTRACT_IS.to_owned(), word.as_str().into());
    } else if claimed.claim_kind == ClaimKind::Submit && said_before() {
        result.insert(CONTRACT_IS.to_owned(), Value::Null);
    }
}

/// The fact that keeps that a submission was answered so: the number exists already.
pub(crate) const NUMBER_EXISTS: &str = "number_exists";

/// Keeps that the number in use exists at the gateway; what was said of it does not outlive the
/// next submission.
pub(crate) fn note_exists(result: &mut Map<String, Value>, claimed: &Claimed, exists: bool) {
    if exists {
        result.insert(NUMBER_EXISTS.to_owned(), true.into());
    } else if claimed.claim_kind == ClaimKind::Submit && number_exists(claimed) {
        result.insert(NUMBER_EXISTS.to_owned(), false.into());
    }
}

pub(crate) fn number_exists(claimed: &Claimed) -> bool {
    claimed.facts().get(NUMBER_EXISTS) == Some(&Value::Bool(true))
}

/// A reason with the gateway's own words, where it refuses: its message, or what the customs say of
/// a declaration.
pub(crate) fn quoted(moved: Move, judged: &Judgement, seen: &Map<String, Value>) -> Move {
    let told = || {
        TOLD.into_iter()
            .find_map(|name| seen.get(name)?.as_str())
            .map(str::trim)
    };
    let words = match &judged.answer {
        Answer::Declined(_) => judged.message.as_deref().or_else(told),
        Answer::NotProcessed { .. } | Answer::Unknown { .. } => judged.message.as_deref(),
        Answer::Done(_) | Answer::Accepted | Answer::Absent => None,
    };
    let words: String = words
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .collect();
    if words.is_empty() {
        moved
    } else {
        moved.with_words(|reason| {
            Message::new("reason-in-words", "{reason} ({words})")
                .with("reason", reason)
                .with("words", words)
        })
    }
}

/// The fact that keeps what the gateway said beside a code that no table lists.
pub(crate) const UNMAPPED: &str = "unmapped_message";

/// Keeps the gateway's own words beside a code that no table lists, and says them again where a
/// person gets the item for that code.
pub(crate) fn unmapped(
    moved: Move,
    judged: &Judgement,
    claimed: &Claimed,
    seen: &mut Map<String, Value>,
) -> Move {
    let is_unmapped = matches!(
        &judged.answer,
        Answer::Unknown {
            cause: Cause::Unmapped,
            ..
        }
    );
    let message = judged
        .message
        .as_deref()
        .map(|message| message.replace(char::is_control, ""));
    if let Some(message) = message.filter(|message| is_unmapped && !message.is_empty()) {
        seen.insert(UNMAPPED.to_owned(), message.into());
        return moved;
    }
    let needs_review = moved.item.state == State::NeedsReview
        && matches!(claimed.item.query_purpose, QueryPurpose::Unmapped(_));
    let known = claimed.facts().get(UNMAPPED);
    if claimed.claim_kind == ClaimKind::Submit && known.is_some() {
        seen.insert(UNMAPPED.to_owned(), Value::Null);
    }
    let known = known.and_then(Value::as_str).filter(|_| needs_review);
    match known {
        Some(message) => moved.with_words(|reason| {
            Message::new("reason-its-words", "{reason}; its words were: {words}")
                .with("reason", reason)
                .with("words", message)
        }),
        None => moved,
    }
}

/// What a reply that contradicts the order names, and what is ours.
pub(crate) fn mismatch(answer: &Answer, seen: &Observation, claimed: &Claimed) -> Option<String> {
    let is_mismatch = match answer {
        Answer::Unknown { cause, .. } => *cause == Cause::Mismatch,
        Answer::Declined(decline) => decline.code == Cause::Mismatch.as_str(),
        Answer::Done(_) | Answer::Accepted | Answer::NotProcessed { .. } | Answer::Absent => false,
    };
    is_mismatch.then(|| seen.differs(claimed.order_no().as_str(), claimed.amount()))
}

/// A reason with what a person may do about it.
pub(crate) fn advised(moved: Move, advice: Option<&str>) -> Move {
    match advice {
        Some(advice) => {
            moved.with_words(|reason| Message::all(vec![reason, Message::plain(advice.to_owned())]))
        }
        None => moved,
    }
}

/// The fact that is true of one reply only.
pub(crate) const SUB_CODE: &str = "sub_code";

/// What was known of the result, and what is known now: an action to be taken stays when a later
/// reply no longer names it. The code of an earlier refusal does not.
pub(crate) fn merged(known: &Map<String, Value>, seen: Map<String, Value>) -> Option<String> {
    let mut result = known.clone();
    let stale = result.remove(SUB_CODE).is_some();
    if seen.is_empty() && !stale {
        return None;
    }
    result.extend(seen);
    Some(Value::Object(result).to_string())
}

/// The gateway's numbers that it tells of what it is about.
pub(crate) fn numbers_of(seen: &Observation) -> Vec<GatewayNumber> {
    let number = |name: &str, number: &str| GatewayNumber {
        name: name.to_owned(),
        number: number.to_owned(),
    };
    let receipt = seen.receipt.iter().map(|receipt| number(RECEIPT, receipt));
    let of_fact = |name: &&str| Some(number(name, seen.result.get(*name)?.as_str()?));
    let mut told: Vec<GatewayNumber> = receipt.chain(NUMBERS.iter().filter_map(of_fact)).collect();
    told.retain(|one| !one.number.is_empty());
    // What is told twice is the fact that has a name.
    let named: Vec<String> = told
        .iter()
        .filter(|one| one.name != RECEIPT)
        .map(|one| one.number.clone())
        .collect();
    told.retain(|one| one.name != RECEIPT || !named.contains(&one.number));
    told
}

pub(crate) fn attempt_of(
    operation: &str,
    started_at: Timestamp,
    ended_at: Timestamp,
    answer: &Answer,
    observed: Observation,
) -> Attempt {
    Attempt {
        kind: AttemptKind::Call,
        operation: operation.to_owned(),
        started_at,
        ended_at,
        answer: answer.kind(),
        code: answer.code().to_owned(),
        http: observed.http,
        numbers: numbers_of(&observed),
        evidence: if observed.evidence.is_empty() {
            observed.delivery.why()
        } else {
            observed.evidence
        },
    }
}

/// What was pending stays so when a question about it did not get through.
pub(crate) fn answer_to(claimed: &Claimed, answer: &Answer) -> Answer {
    match answer {
        Answer::NotProcessed { code, .. } if claimed.item.state == State::Pending => {
            Answer::Unknown {
                cause: Cause::NotAsked,
                code: code.clone(),
            }
        }
        Answer::Done(_)
        | Answer::Accepted
        | Answer::Declined(_)
        | Answer::NotProcessed { .. }
        | Answer::Absent
        | Answer::Unknown { .. } => answer.clone(),
    }
}

/// An item of which nothing could be sent or asked, for want of a connection.
pub(crate) fn unreached(how: NoConnection, moved: Move) -> Move {
    let attempts = match moved.item.state {
        State::Failed => Some(
            Message::new("unreached-attempts", ", in {count} attempts")
                .with("count", u64::from(moved.item.submit_count)),
        ),
        State::AwaitingApproval
        | State::Planned
        | State::Sending
        | State::Pending
        | State::Unknown
        | State::Succeeded
        | State::Cancelled
        | State::NeedsReview
        | State::Rejected
        | State::Skipped => None,
    };
    moved.worded(Some(cannot_reach(how, attempts)))
}

/// One order is not asked about more often than the account allows.
pub(crate) fn apply_query_interval(
    account: &Account,
    is_query: bool,
    moved: Move,
    now: Timestamp,
) -> Move {
    let asks_again = matches!(moved.item.state, State::Pending | State::Unknown);
    if is_query && asks_again {
        moved.not_before(now.plus(account.query_interval))
    } else {
        moved
    }
}
