//! The payment that a refund takes from, a cancellation withdraws or a declaration is of: it is looked up before anything is sent.
//!
//! A claim makes one call: the first of such an item is the look-up, and it is given back; the next finds the payment in the
//! ledger. All refunds of a payment together never exceed what was paid, two of them are never under way at once, and there is
//! an interval between them, whatever number the payment was named by.

use std::time::Duration;

use serde_json::Value;

use super::attempt::{SUB_CODE, Scene, attempt_of, close_lane, merged, note_unattested, within};
use crate::catalog::PaymentLookup;
use crate::catalog::judge::{Expected, Judged, judge};
use crate::domain::answer::{Answer, Decline, DeclineClass, NumberRule, Receipt};
use crate::domain::ids::KeyHash;
use crate::domain::item::{Event, Illegal, Move, apply};
use crate::domain::time::Timestamp;
use crate::gateway::{Call, Observation, Reached};
use crate::ledger::{LedgerError, Payment, Room, Settlement, Taking};

/// How long a refund waits that finds another of its payment under way.
const BUSY: Duration = Duration::from_secs(1);

/// Whether the call may be made.
pub(super) enum Ready {
    /// The payment is there, and what is taken from it is noted.
    Send,
    /// Not now, or never: this is what became of the claim.
    Not(Box<Settlement>),
}

/// Finds the payment, notes what is taken from it, and completes the call with its numbers.
pub(super) async fn prepare(scene: &Scene<'_>, lookup: &PaymentLookup, call: &mut Call) -> Result<Ready, Illegal> {
    if !lookup.takes {
        return may_act(scene, lookup, call).await;
    }
    let now = scene.engine.clock.now();
    let account = account(scene);
    let known = match known(scene, call).await {
        Ok(known) => known,
        Err(error) => return not_now(scene, &error, now),
    };
    let Some(payment) = known else { return look_up(scene, lookup, call, account).await };
    if let Some(code) = contradiction(&payment, call) {
        return refuse(scene, code, now);
    }
    let taking = Taking { payment: &payment, account, interval: scene.account.refund_interval, now };
    match scene.engine.ledger.take_from(scene.claimed, taking).await {
        Ok(Room::Taken) => {}
        Ok(Room::Exceeded) => return refuse(scene, "EXCEEDS_PAYMENT", now),
        Ok(Room::Busy) => {
            // Apart from each other, so that those that wait together do not meet again.
            let until = now.plus(BUSY + BUSY / 256 * u32::from(scene.claimed.item.spread));
            return wait(scene, until, "waits: another refund of the same payment is under way", now);
        }
        Ok(Room::Unknown(asked_at)) => {
            let soon = now.plus(scene.account.query_interval.max(BUSY));
            let until = asked_at.map_or(soon, |asked_at| asked_at.max(soon));
            return wait(scene, until, "waits: it is not known what became of another refund of the same payment", now);
        }
        Ok(Room::TooSoon(until)) => {
            return wait(scene, until, "waits: an interval after the last refund of the same payment", now);
        }
        Err(error) => return not_now(scene, &error, now),
    }
    let numbers = [("out_trade_no", &payment.order_no), ("transaction_id", &payment.transaction_id)];
    for (name, number) in numbers.into_iter().filter(|(_, number)| !number.is_empty()) {
        call.input.insert(name.to_owned(), Value::String(number.clone()));
    }
    call.input.insert("paid".to_owned(), Value::String(payment.amount.decimal()));
    Ok(Ready::Send)
}

/// The payment as it was looked up before, if it was.
pub(super) async fn known(scene: &Scene<'_>, call: &Call) -> Result<Option<Payment>, LedgerError> {
    let (order_no, transaction_id) = (text(call, "out_trade_no"), text(call, "transaction_id"));
    scene.engine.ledger.payment(account(scene), order_no, transaction_id).await
}

/// Whose payments are meant: the account's, as the gateway tells accounts apart.
fn account(scene: &Scene<'_>) -> KeyHash {
    KeyHash::of(&scene.account.identity, "payment", "")
}

/// Whether a payment may be acted on as it is now: asked right before, since that changes, and nothing of it is remembered.
async fn may_act(scene: &Scene<'_>, lookup: &PaymentLookup, call: &Call) -> Result<Ready, Illegal> {
    if lookup.given.as_ref().is_some_and(|field| text(call, field).is_none()) {
        return Ok(Ready::Send);
    }
    let question = Call { operation: lookup.operation.clone(), amount: None, ..call.clone() };
    let started_at = scene.engine.clock.now();
    let observed = within(scene.account, &question).await;
    let now = scene.engine.clock.now();
    let judged = judge(&lookup.outcomes, false, false, &observed, &Expected::default());
    note_unattested(scene, &scene.work.kind, &judged, now).await;
    if matches!(judged.answer, Answer::Done(_)) {
        return Ok(Ready::Send);
    }
    ended(scene, &question, judged, observed, started_at, now).await
}

/// What the row says of the payment must be so.
fn contradiction(payment: &Payment, call: &Call) -> Option<&'static str> {
    let differs = |name, number: &str| text(call, name).is_some_and(|given| given != number);
    if differs("out_trade_no", &payment.order_no) || differs("transaction_id", &payment.transaction_id) {
        return Some("OTHER_PAYMENT");
    }
    if call.amount.is_some_and(|amount| amount.currency() != payment.amount.currency()) {
        return Some("OTHER_CURRENCY");
    }
    differs("paid", &payment.amount.decimal()).then_some("OTHER_AMOUNT_PAID")
}

/// The look-up: one call, after which the item is given back, or ends.
async fn look_up(scene: &Scene<'_>, lookup: &PaymentLookup, call: &Call, account: KeyHash) -> Result<Ready, Illegal> {
    let question = Call { operation: lookup.operation.clone(), amount: None, ..call.clone() };
    let started_at = scene.engine.clock.now();
    let observed = within(scene.account, &question).await;
    let now = scene.engine.clock.now();
    let judged = judge(&lookup.outcomes, false, false, &observed, &Expected::default());
    note_unattested(scene, &scene.work.kind, &judged, now).await;
    let answer = match judged.answer.clone() {
        Answer::Done(receipt) => match found(&observed, &receipt, call) {
            Err(code) => declined(code),
            Ok(payment) => match scene.engine.ledger.record_payment(account, &payment, now).await {
                Err(error) => return not_now(scene, &error, now),
                Ok(()) if scene.knows(&payment, account).await => {
                    let moved = apply(&scene.claimed.item, &Event::Unsent, &scene.work.policy, now)?;
                    let attempt = attempt_of(&question.operation, started_at, now, &Answer::Done(receipt), observed);
                    return Ok(Ready::Not(Box::new(Settlement::looked_up(scene.claimed, moved, attempt, now))));
                }
                Ok(()) => declined("OTHER_PAYMENT"),
            },
        },
        answer @ (Answer::Accepted
        | Answer::Declined(_)
        | Answer::NotProcessed { .. }
        | Answer::Absent
        | Answer::Unknown { .. }) => answer,
    };
    ended(scene, &question, Judged { answer, ..judged }, observed, started_at, now).await
}

/// The look-up says that nothing can be sent, or not now.
async fn ended(
    scene: &Scene<'_>,
    question: &Call,
    judged: Judged,
    mut observed: Observation,
    started_at: Timestamp,
    now: Timestamp,
) -> Result<Ready, Illegal> {
    let answer = judged.answer;
    close_lane(scene, judged.lane, answer.code(), now).await;
    // Of what the look-up shows, only the gateway's finer code is about this item.
    observed.result.retain(|name, _| name == SUB_CODE);
    let result = merged(scene.claimed.result(), std::mem::take(&mut observed.result));
    let moved = apply(&scene.claimed.item, &Event::Answered(answer.clone()), &scene.work.policy, now)?;
    let attempt = attempt_of(&question.operation, started_at, now, &answer, observed);
    Ok(Ready::Not(Box::new(Settlement::answered(scene.claimed, moved, attempt, result, now))))
}

/// The payment as the reply shows it, if it is the one that was asked for.
fn found(seen: &Observation, receipt: &Receipt, call: &Call) -> Result<Payment, &'static str> {
    let Some(Ok(amount)) = seen.amount else { return Err("NO_AMOUNT_PAID") };
    let order_no = seen.order_no.clone().filter(|number| !number.is_empty()).ok_or("NO_ORDER_NUMBER")?;
    let payment = Payment { order_no, transaction_id: receipt.0.clone(), amount };
    let differs = |name, number: &str| text(call, name).is_some_and(|given| given != number);
    if differs("out_trade_no", &payment.order_no) || differs("transaction_id", &payment.transaction_id) {
        return Err("OTHER_PAYMENT");
    }
    Ok(payment)
}

impl Scene<'_> {
    /// Whether the payment can be found again as it was looked up: if not, the ledger holds another of the same number.
    async fn knows(&self, payment: &Payment, account: KeyHash) -> bool {
        let known = self.engine.ledger.payment(account, None, Some(&payment.transaction_id)).await;
        known.is_ok_and(|known| known.is_some_and(|known| known.order_no == payment.order_no))
    }
}

fn declined(code: &str) -> Answer {
    Answer::Declined(Decline { code: code.to_owned(), class: DeclineClass::Hard, number: NumberRule::Ask })
}

/// It ends without anything being sent.
fn refuse(scene: &Scene<'_>, code: &str, now: Timestamp) -> Result<Ready, Illegal> {
    let answer = declined(code);
    let moved = apply(&scene.claimed.item, &Event::Answered(answer.clone()), &scene.work.policy, now)?;
    let why = Reached::NotSent("nothing was sent".to_owned());
    let attempt = attempt_of("check", now, now, &answer, Observation::of(why));
    Ok(Ready::Not(Box::new(Settlement::answered(scene.claimed, moved, attempt, None, now))))
}

/// It is given back until an instant.
fn wait(scene: &Scene<'_>, until: Timestamp, why: &str, now: Timestamp) -> Result<Ready, Illegal> {
    let moved = apply(&scene.claimed.item, &Event::Unsent, &scene.work.policy, now)?;
    let moved = Move { due: Some(until), reason: Some(why.to_owned()), ..moved };
    Ok(Ready::Not(Box::new(Settlement::unsent(scene.claimed, moved, now))))
}

/// The ledger could not be asked: nothing is sent without it.
fn not_now(scene: &Scene<'_>, error: &LedgerError, now: Timestamp) -> Result<Ready, Illegal> {
    tracing::warn!(item.id = scene.claimed.id(), error = %error, "the payment could not be checked; nothing is sent");
    wait(scene, now.plus(BUSY), "waits: the ledger could not be asked", now)
}

fn text<'a>(call: &'a Call, field: &str) -> Option<&'a str> {
    call.input.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
}
