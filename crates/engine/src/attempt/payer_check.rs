//! Whether the buyer that a declaration names is its payer: asked once the gateway shows the
//! declaration, since before that it knows no such order. The answer is kept as a fact and decides
//! nothing: the filing goes on whatever it is.
//!
//! What is answered instead is read by the outcome table of the job kind that asks the same by
//! itself. A declaration is not done before the question has been answered, was refused
//! [`REFUSALS_MAX`] times, or the declaration has been asked about for its whole horizon: then it
//! ends without, and a person hears of that.

use serde_json::{Map, Value};

use crate::attempt::lane_effects;
use crate::attempt::{AttemptContext, call_at_rate, is_too_late, note_unattested};
use payrun_domain::answer::Answer;
use payrun_domain::item::{Alarm, Move};
use payrun_domain::message::Message;
use payrun_gateway::{Call, Delivery, Observation};
use payrun_ledger::{ClaimKind, LedgerError};
use payrun_project::job_kinds::judge::{ExpectedReply, Judgement, judge};
use payrun_project::job_kinds::{JobKind, PayerCheck};

/// The fact that holds the answer.
const RESULT: &str = "cert_check_result";
/// The answer that a person has to hear of: the buyer of the merchant's own order is not the payer.
const DIFFERENT: &str = "DIFFERENT";
/// payrun's own word where no answer could be had.
const UNANSWERED: &str = "UNANSWERED";
/// The fact that says how often the question was refused, and the one that says what came instead
/// of an answer.
const REFUSALS: &str = "cert_check_refusals";
const ERROR: &str = "cert_check_error";
/// Why a declaration stays open that the customs have accepted.
const HELD: &str = "waits: the customs have accepted it, and the gateway has not said yet whether the buyer is the payer";
/// How often the question is asked again after it was refused for good. "Not declared yet" and the
/// like are no refusals.
const REFUSALS_MAX: u64 = 8;

/// Asks about the payer, where that is due, and keeps the answer with what was seen.
pub(crate) async fn checked(
    context: &AttemptContext<'_>,
    call: &Call,
    seen: &mut Observation,
    judged: Judgement,
) -> Judgement {
    let Some(check) = context
        .operations
        .payer_check
        .as_ref()
        .filter(|check| is_due(context, check, call))
    else {
        return judged;
    };
    let shows = seen.delivery == Delivery::Replied && seen.state.is_some();
    match &judged.answer {
        // Nothing is declared before a query has shown it.
        Answer::Done(_) if context.claimed.claim_kind == ClaimKind::Submit => Judgement {
            answer: Answer::Accepted,
            ..judged
        },
        _ if context.claimed.claim_kind == ClaimKind::Submit => judged,
        Answer::Done(_) if is_too_late(context) => Judgement {
            answer: Answer::Accepted,
            ..judged
        },
        Answer::Done(_) | Answer::Accepted | Answer::Declined(_)
            if shows && !is_too_late(context) =>
        {
            let Some(refused) = refusals(context.claimed.facts()) else {
                // How often it was refused nobody could say: it is asked no more, and told.
                let unread = LedgerError::corrupt("items", context.claimed.id(), "result");
                let unread = format!("{unread} ({REFUSALS})");
                seen.result.insert(ERROR.to_owned(), unread.into());
                seen.result.insert(RESULT.to_owned(), UNANSWERED.into());
                return judged;
            };
            let question = Call {
                operation: check.operation.clone(),
                amount: None,
                ..call.clone()
            };
            let told = call_at_rate(context.engine, context.account, &question).await;
            if told.result.contains_key(RESULT) {
                seen.result
                    .extend(told.result.into_iter().filter(|(name, _)| name == RESULT));
                seen.result.insert(ERROR.to_owned(), Value::Null);
                return judged;
            }
            seen.result.insert(ERROR.to_owned(), instead(&told).into());
            let refusals = refused + u64::from(is_refused(context, check, &told).await);
            seen.result.insert(REFUSALS.to_owned(), refusals.into());
            if !matches!(judged.answer, Answer::Done(_)) {
                judged
            } else if refusals < REFUSALS_MAX && !is_past_horizon(context) {
                Judgement {
                    answer: Answer::Accepted,
                    held_by: Some(HELD),
                    ..judged
                }
            } else {
                seen.result.insert(RESULT.to_owned(), UNANSWERED.into());
                judged
            }
        }
        Answer::Done(_)
        | Answer::Accepted
        | Answer::Declined(_)
        | Answer::NotProcessed { .. }
        | Answer::Absent
        | Answer::Unknown { .. } => judged,
    }
}

/// Whether the question was refused, rather than to be asked again later. What the refusal does to
/// the lane, and that no page attests it, is as with any other call.
async fn is_refused(context: &AttemptContext<'_>, check: &PayerCheck, told: &Observation) -> bool {
    let asks = |kind: &&JobKind| {
        kind.gateways
            .get(context.account.kind)
            .is_some_and(|operations| operations.submit == check.operation)
    };
    let Some(kind) = context
        .engine
        .job_kinds
        .by_name
        .values()
        .map(AsRef::as_ref)
        .find(asks)
    else {
        return true;
    };
    let outcomes = &kind.gateways[context.account.kind].submit_outcomes;
    let judged = judge(outcomes, false, false, told, &ExpectedReply::default());
    let now = context.engine.clock.now();
    note_unattested(context, kind, &judged, now).await;
    lane_effects::close(context, &judged, told, now).await;
    matches!(judged.answer, Answer::Declined(_))
}

fn is_past_horizon(context: &AttemptContext<'_>) -> bool {
    let horizon = context.work.policy.query.horizon;
    context
        .claimed
        .item
        .unresolved_since
        .is_some_and(|since| context.engine.clock.now().since(since) >= horizon)
}

/// What a person has to hear of, if this reply is the first that says it: that the buyer is not the
/// payer, or that nobody could find out.
pub(crate) fn warning(known: &Map<String, Value>, seen: &Map<String, Value>) -> Option<Alarm> {
    let says =
        |facts: &Map<String, Value>, word| facts.get(RESULT).and_then(Value::as_str) == Some(word);
    [
        (DIFFERENT, Alarm::PayerDiffers),
        (UNANSWERED, Alarm::PayerUnknown),
    ]
    .into_iter()
    .find(|(word, _)| says(seen, word) && !says(known, word))
    .map(|(_, alarm)| alarm)
}

/// A reason that says so where the buyer is not the payer: of what ended, and of what the customs
/// refuse.
pub(crate) fn with_payer_reason(
    moved: Move,
    known: &Map<String, Value>,
    seen: &Map<String, Value>,
) -> Move {
    let says_so =
        |facts: &Map<String, Value>| facts.get(RESULT).and_then(Value::as_str) == Some(DIFFERENT);
    let differs = if seen.contains_key(RESULT) {
        says_so(seen)
    } else {
        says_so(known)
    };
    if moved.item.state.is_open() || !differs {
        return moved;
    }
    let what = Message::new(
        "buyer-is-not-payer",
        "the buyer is not the payer: name and cert_id are not those of the person who paid",
    );
    let all = moved.reason.clone().into_iter().chain([what]).collect();
    moved.worded(Some(Message::all(all)))
}

fn is_due(context: &AttemptContext<'_>, check: &PayerCheck, call: &Call) -> bool {
    let given = call
        .input
        .get(&check.given)
        .and_then(Value::as_str)
        .is_some_and(|text| !text.is_empty());
    let text = |name: &str| call.input.get(name).and_then(Value::as_str);
    // The gateway compares identity cards only.
    let is_card = context
        .work
        .kind
        .identity_card
        .as_ref()
        .is_none_or(|card| card.is_card(text));
    given && is_card && !context.claimed.facts().contains_key(RESULT)
}

/// How often the question was refused; none if what says so cannot be read.
fn refusals(known: &Map<String, Value>) -> Option<u64> {
    known.get(REFUSALS).map_or(Some(0), Value::as_u64)
}

/// What came in place of an answer: the gateway's codes, or how far the question came.
fn instead(told: &Observation) -> String {
    let sub_code = told
        .result
        .get("sub_code")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match (told.http, &told.code) {
        (Some(http), Some(code)) => format!("HTTP {http} {code} {sub_code}")
            .trim_end()
            .to_owned(),
        (Some(http), None) => format!("HTTP {http}"),
        (None, _) => format!("no answer {}", told.delivery.why())
            .trim_end()
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_count_of_refusals_that_cannot_be_read_is_not_none_at_all() {
        let known = |count: Value| Map::from_iter([(REFUSALS.to_owned(), count)]);
        assert_eq!(refusals(&Map::new()), Some(0));
        assert_eq!(refusals(&known(json!(7))), Some(7));
        for count in [json!("7"), json!(-1), json!(null), json!({})] {
            assert_eq!(refusals(&known(count.clone())), None, "{count}");
        }
    }
}
