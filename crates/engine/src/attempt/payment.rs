//! The payment that a refund takes from, a cancellation withdraws or a declaration is of: it is
//! looked up before anything is sent.
//!
//! A claim makes one call: the first of such an item is the lookup, and it is given back; the next
//! finds the payment in the ledger. The payment is looked up again before the row is refused for
//! what was said of it, when the gateway refuses the refund, and after a person had the item tried
//! again. Where the gateway says two things of one payment, its refunds need review. All refunds of
//! a payment together never exceed what was paid, two of them are never under way at once, and
//! there is an interval between them, whatever number the payment was named by.

use std::time::Duration;

use serde_json::Value;

use crate::attempt::lane_effects;
use crate::attempt::{
    AttemptContext, SUB_CODE, advised, attempt_of, call_at_rate, is_too_late, merged,
    note_unattested,
};
use payrun_domain::answer::{Answer, Decline, DeclineClass, NumberRule, Receipt};
use payrun_domain::ids::KeyHash;
use payrun_domain::item::{Event, IllegalMove, apply};
use payrun_domain::message::Message;
use payrun_domain::own_code::OwnCode;
use payrun_domain::time::Timestamp;
use payrun_gateway::{Call, Delivery, Observation};
use payrun_ledger::{
    Attempt, ClaimKind, LedgerError, Payment, RefundCapacity, RefundReservation, Settlement,
};
use payrun_project::job_kinds::judge::{ExpectedReply, Judgement, judge};
use payrun_project::job_kinds::{OutcomeRow, PaymentLookup, StatementRole};

/// How long a refund waits that finds another of its payment under way.
const BUSY: Duration = Duration::from_secs(1);

/// Whether the call may be made.
pub(crate) enum PaymentCheck {
    /// The payment is there, and what is taken from it is noted.
    Send,
    /// Not now, or never: this is what became of the claim.
    Not(Box<Settlement>),
}

/// Finds the payment, notes what is taken from it, and completes the call with its numbers.
pub(crate) async fn prepare(
    context: &AttemptContext<'_>,
    lookup: &PaymentLookup,
    call: &mut Call,
) -> Result<PaymentCheck, IllegalMove> {
    if !lookup.reserves_amount {
        return may_act(context, lookup, call).await;
    }
    let now = context.engine.clock.now();
    let account = account(context);
    let known = match known(context, call).await {
        Ok(known) => known,
        Err(error) => return not_now(context, &error, now),
    };
    let Some(payment) = known else {
        return look_up(context, lookup, call, account, LookUpPurpose::First).await;
    };
    match context
        .engine
        .ledger
        .is_to_look_up_again(context.claimed.id())
        .await
    {
        Ok(false) => {}
        Ok(true) => return look_up(context, lookup, call, account, LookUpPurpose::ForPerson).await,
        Err(error) => return not_now(context, &error, now),
    }
    if let Some(refusal) = two_answers(&payment) {
        return refuse(context, refusal, now);
    }
    if let Some(refusal) = contradiction(&payment, call) {
        return look_up(
            context,
            lookup,
            call,
            account,
            LookUpPurpose::Before(refusal),
        )
        .await;
    }
    let taking = RefundReservation {
        payment: &payment,
        account,
        interval: context.account.refund_interval,
        now,
    };
    match context
        .engine
        .ledger
        .reserve_refund(context.claimed, taking)
        .await
    {
        Ok(RefundCapacity::Taken) => {}
        Ok(RefundCapacity::Exceeded) => {
            let ours = call
                .amount
                .map_or_else(String::new, |amount| format!(" {amount} more"));
            let words = format!(
                "with{ours} the refunds of the payment would be above the {} that was paid",
                payment.amount
            );
            let refusal = PaymentRefusal::of(OwnCode::ExceedsPayment, words);
            return look_up(
                context,
                lookup,
                call,
                account,
                LookUpPurpose::Before(refusal),
            )
            .await;
        }
        Ok(RefundCapacity::Busy) => {
            // Apart from each other, so that those that wait together do not meet again.
            let until = now.plus(BUSY + BUSY / 256 * u32::from(context.claimed.item.jitter));
            return wait(
                context,
                until,
                Message::new(
                    "waits-refund-under-way",
                    "waits: another refund of the same payment is under way",
                ),
                now,
            );
        }
        Ok(RefundCapacity::Unknown(asked_at)) => {
            let soon = now.plus(context.account.query_interval.max(BUSY));
            let until = asked_at.map_or(soon, |asked_at| asked_at.max(soon));
            return wait(
                context,
                until,
                Message::new(
                    "waits-refund-unknown",
                    "waits: it is not known what became of another refund of the same payment",
                ),
                now,
            );
        }
        Ok(RefundCapacity::TooSoon(until)) => {
            return wait(
                context,
                until,
                Message::new(
                    "waits-refund-interval",
                    "waits: an interval after the last refund of the same payment",
                ),
                now,
            );
        }
        Err(error) => return not_now(context, &error, now),
    }
    let numbers = [
        ("out_trade_no", &payment.order_no),
        ("transaction_id", &payment.transaction_id),
    ];
    for (name, number) in numbers.into_iter().filter(|(_, number)| !number.is_empty()) {
        call.input
            .insert(name.to_owned(), Value::String(number.clone()));
    }
    call.input
        .insert("paid".to_owned(), Value::String(payment.amount.decimal()));
    Ok(PaymentCheck::Send)
}

/// The payment as it was looked up before, if it was.
pub(crate) async fn known(
    context: &AttemptContext<'_>,
    call: &Call,
) -> Result<Option<Payment>, LedgerError> {
    let (order_no, transaction_id) = (text(call, "out_trade_no"), text(call, "transaction_id"));
    context
        .engine
        .ledger
        .payment(account(context), order_no, transaction_id)
        .await
}

/// Whose payments are meant: the account's, as the gateway tells accounts apart.
fn account(context: &AttemptContext<'_>) -> KeyHash {
    KeyHash::of(&context.account.identity, "payment", "")
}

/// Whether a payment may be acted on as it is now: asked right before, since that changes, and
/// nothing of it is remembered.
async fn may_act(
    context: &AttemptContext<'_>,
    lookup: &PaymentLookup,
    call: &Call,
) -> Result<PaymentCheck, IllegalMove> {
    if lookup
        .given
        .as_ref()
        .is_some_and(|field| text(call, field).is_none())
    {
        return Ok(PaymentCheck::Send);
    }
    let question = question(lookup, call);
    let started_at = context.engine.clock.now();
    let observed = call_at_rate(context.engine, context.account, &question).await;
    let now = context.engine.clock.now();
    let judged = judge(
        &lookup.outcomes,
        false,
        false,
        &observed,
        &ExpectedReply::default(),
    );
    note_unattested(context, &context.work.kind, &judged, now).await;
    if matches!(judged.answer, Answer::Done(_)) {
        return Ok(PaymentCheck::Send);
    }
    ended(context, &question, judged, observed, started_at, now).await
}

/// Why nothing is sent.
struct PaymentRefusal {
    code: OwnCode,
    class: DeclineClass,
    /// In words, with what was compared.
    words: String,
}

impl PaymentRefusal {
    const fn of(code: OwnCode, words: String) -> Self {
        Self {
            code,
            class: DeclineClass::Hard,
            words,
        }
    }

    fn answer(&self) -> Answer {
        Answer::Declined(Decline {
            code: self.code.to_string(),
            class: self.class,
            number: NumberRule::Ask,
        })
    }
}

/// The gateway has said two things of what was paid.
fn two_answers(payment: &Payment) -> Option<PaymentRefusal> {
    let other = payment.other?;
    let words = format!(
        "the gateway said that {} was paid and later that {other} was: find out which is so, then `payrun retry` asks it again",
        payment.amount
    );
    Some(PaymentRefusal {
        code: OwnCode::TwoAmountsPaid,
        class: DeclineClass::Person,
        words,
    })
}

/// What the row says of the payment must be so.
fn contradiction(payment: &Payment, call: &Call) -> Option<PaymentRefusal> {
    if let Some(refusal) = other_payment(payment, call) {
        return Some(refusal);
    }
    if let Some(amount) = call
        .amount
        .filter(|amount| amount.currency() != payment.amount.currency())
    {
        let words = format!(
            "the row is about {amount}, the payment was {}",
            payment.amount
        );
        return Some(PaymentRefusal::of(OwnCode::OtherCurrency, words));
    }
    let given = text(call, "paid").filter(|given| *given != payment.amount.decimal())?;
    let words = format!(
        "the row says that {given} was paid, the gateway says {}",
        payment.amount
    );
    Some(PaymentRefusal::of(OwnCode::OtherAmountPaid, words))
}

/// The row may name a payment by both its numbers.
fn other_payment(payment: &Payment, call: &Call) -> Option<PaymentRefusal> {
    let numbers = [
        ("out_trade_no", &payment.order_no),
        ("transaction_id", &payment.transaction_id),
    ];
    let differs = |(name, number): &(&str, &String)| {
        text(call, name).is_some_and(|given| given != number.as_str())
    };
    let (name, number) = numbers.into_iter().find(differs)?;
    let words = format!(
        "the row names the {name} {}, the gateway {number}",
        text(call, name).unwrap_or_default()
    );
    Some(PaymentRefusal::of(OwnCode::OtherPayment, words))
}

/// Why a payment is looked up.
enum LookUpPurpose {
    /// Nothing is known of it.
    First,
    /// A person has had the item tried again.
    ForPerson,
    /// By what is known of it the row would be refused.
    Before(PaymentRefusal),
}

/// The lookup: one call, after which the item is given back, or ends.
async fn look_up(
    context: &AttemptContext<'_>,
    lookup: &PaymentLookup,
    call: &Call,
    account: KeyHash,
    why: LookUpPurpose,
) -> Result<PaymentCheck, IllegalMove> {
    let question = question(lookup, call);
    let started_at = context.engine.clock.now();
    let observed = call_at_rate(context.engine, context.account, &question).await;
    let now = context.engine.clock.now();
    let judged = judge(
        &lookup.outcomes,
        false,
        false,
        &observed,
        &ExpectedReply::default(),
    );
    note_unattested(context, &context.work.kind, &judged, now).await;
    let Answer::Done(receipt) = &judged.answer else {
        return ended(context, &question, judged, observed, started_at, now).await;
    };
    let for_person = matches!(why, LookUpPurpose::ForPerson);
    let known = match found(&observed, receipt, call) {
        Ok(payment) => context
            .engine
            .ledger
            .record_payment(account, &payment, for_person, now)
            .await
            .map(|known| {
                known.ok_or_else(|| {
                    let words = format!(
                        "the ledger has another payment as {} or {}",
                        payment.order_no, payment.transaction_id
                    );
                    PaymentRefusal {
                        class: DeclineClass::Person,
                        ..PaymentRefusal::of(OwnCode::OtherPayment, words)
                    }
                })
            }),
        Err(refusal) => Ok(Err(refusal)),
    };
    let refusal = match (known, why) {
        (Err(error), _) => return not_now(context, &error, now),
        (Ok(Err(refusal)), _) => Some(refusal),
        // What the row says of it is compared by the next claim, which asks once more before it
        // refuses.
        (Ok(Ok(_)), LookUpPurpose::First) => None,
        (Ok(Ok(payment)), LookUpPurpose::ForPerson) => {
            two_answers(&payment).or_else(|| contradiction(&payment, call))
        }
        (Ok(Ok(payment)), LookUpPurpose::Before(refusal)) => {
            two_answers(&payment).or(Some(refusal))
        }
    };
    if let Some(refusal) = refusal {
        let judged = Judgement {
            answer: refusal.answer(),
            advice: Some(refusal.words),
            ..judged
        };
        return ended(context, &question, judged, observed, started_at, now).await;
    }
    let shown = observed
        .amount
        .clone()
        .and_then(Result::ok)
        .filter(|_| for_person);
    let looked_up = shown.map(|amount| {
        Message::new(
            "payment-looked-up",
            "its payment was looked up again: {amount} was paid",
        )
        .with("amount", amount.to_string())
    });
    let moved = apply(
        &context.claimed.item,
        &Event::Unsent,
        &context.work.policy,
        now,
    )?;
    let moved = moved.worded(looked_up);
    let told = attempt_of(
        &question.operation,
        started_at,
        now,
        &judged.answer,
        observed,
    );
    // They are the payment's, not the item's.
    let attempt = Attempt {
        numbers: Vec::new(),
        ..told
    };
    Ok(PaymentCheck::Not(Box::new(Settlement::looked_up(
        context.claimed,
        moved,
        attempt,
        None,
        now,
    ))))
}

fn question(lookup: &PaymentLookup, call: &Call) -> Call {
    Call {
        operation: lookup.operation.clone(),
        amount: None,
        ..call.clone()
    }
}

/// A refund that the gateway refused: what it was told of the payment may have been wrong. The
/// payment is looked up once more, and where the gateway now says another amount, a person has to
/// find out which is so.
pub(crate) async fn doubted(
    context: &AttemptContext<'_>,
    call: &Call,
    judged: Judgement,
) -> Judgement {
    let lookup =
        context.operations.lookup.as_ref().filter(|lookup| {
            lookup.reserves_amount && context.claimed.claim_kind == ClaimKind::Submit
        });
    let refused =
        matches!(&judged.answer, Answer::Declined(decline) if decline.class == DeclineClass::Hard);
    let Some(lookup) = lookup.filter(|_| refused && !is_too_late(context)) else {
        return judged;
    };
    let question = question(lookup, call);
    let observed = call_at_rate(context.engine, context.account, &question).await;
    let shown = judge(
        &lookup.outcomes,
        false,
        false,
        &observed,
        &ExpectedReply::default(),
    );
    let Answer::Done(receipt) = &shown.answer else {
        return judged;
    };
    let Ok(payment) = found(&observed, receipt, call) else {
        return judged;
    };
    let now = context.engine.clock.now();
    match context
        .engine
        .ledger
        .record_payment(account(context), &payment, false, now)
        .await
    {
        Ok(known) => match known.as_ref().and_then(two_answers) {
            Some(refusal) => Judgement {
                answer: refusal.answer(),
                advice: Some(refusal.words),
                ..judged
            },
            None => judged,
        },
        Err(error) => {
            tracing::warn!(item.id = context.claimed.id(), %error, "what was paid could not be compared");
            judged
        }
    }
}

/// The lookup says that nothing can be sent, or not now.
async fn ended(
    context: &AttemptContext<'_>,
    question: &Call,
    judged: Judgement,
    mut observed: Observation,
    started_at: Timestamp,
    now: Timestamp,
) -> Result<PaymentCheck, IllegalMove> {
    lane_effects::close(context, &judged, &observed, now).await;
    let answer = judged.answer;
    // Of what the lookup shows, only the gateway's finer code is about this item.
    observed.result.retain(|name, _| name == SUB_CODE);
    let result = merged(
        context.claimed.facts(),
        std::mem::take(&mut observed.result),
    );
    let moved = apply(
        &context.claimed.item,
        &Event::Answered(answer.clone()),
        &context.work.policy,
        now,
    )?;
    let moved = advised(moved, judged.advice.as_deref());
    // They are the payment's, not the item's.
    let attempt = Attempt {
        numbers: Vec::new(),
        ..attempt_of(&question.operation, started_at, now, &answer, observed)
    };
    Ok(PaymentCheck::Not(Box::new(Settlement::answered(
        context.claimed,
        moved,
        attempt,
        result,
        now,
    ))))
}

/// The payment as the reply shows it, if it is the one that was asked for.
fn found(seen: &Observation, receipt: &Receipt, call: &Call) -> Result<Payment, PaymentRefusal> {
    let lacks = |code, what| {
        PaymentRefusal::of(
            code,
            format!("the gateway's answer about the payment names no {what}"),
        )
    };
    let Some(Ok(amount)) = seen.amount else {
        return Err(lacks(OwnCode::NoAmountPaid, "amount"));
    };
    let order_no = seen.order_no.clone().filter(|number| !number.is_empty());
    let order_no = order_no.ok_or_else(|| lacks(OwnCode::NoOrderNumber, "order number"))?;
    let payment = Payment {
        order_no,
        transaction_id: receipt.0.clone(),
        amount,
        other: None,
    };
    other_payment(&payment, call).map_or(Ok(payment), Err)
}

/// It ends without anything being sent.
fn refuse(
    context: &AttemptContext<'_>,
    refusal: PaymentRefusal,
    now: Timestamp,
) -> Result<PaymentCheck, IllegalMove> {
    let answer = refusal.answer();
    let moved = apply(
        &context.claimed.item,
        &Event::Answered(answer.clone()),
        &context.work.policy,
        now,
    )?;
    let moved = advised(moved, Some(&refusal.words));
    let why = Delivery::NotSent("nothing was sent".to_owned());
    let attempt = attempt_of("check", now, now, &answer, Observation::of(why));
    Ok(PaymentCheck::Not(Box::new(Settlement::answered(
        context.claimed,
        moved,
        attempt,
        None,
        now,
    ))))
}

/// A withdrawal of a payment that payrun made, where the gateway would refuse it as too early: it
/// is given back until it may be sent.
///
/// When the gateway had the payment is known no better than by the longest call that made it.
pub(crate) async fn too_young(
    context: &AttemptContext<'_>,
    call: &Call,
) -> Result<Option<Settlement>, IllegalMove> {
    let Some(not_before) = context
        .operations
        .not_before
        .as_ref()
        .filter(|_| !context.account.withdraw_at_once)
    else {
        return Ok(None);
    };
    let way = text(call, &not_before.field).unwrap_or(&not_before.if_not_given);
    let (Some(age), Some(order_no)) = (not_before.ages.get(way), text(call, "out_trade_no")) else {
        return Ok(None);
    };
    let now = context.engine.clock.now();
    let kinds: Vec<&str> = context
        .engine
        .job_kinds
        .by_name
        .values()
        .filter(|kind| kind.in_statement == Some(StatementRole::Payment))
        .map(|kind| kind.name.as_str())
        .collect();
    let made = match context
        .engine
        .ledger
        .items_by_order_no(&context.account.name, &kinds, &[order_no])
        .await
    {
        Ok(items) => items
            .iter()
            .find(|item| item.has_used(order_no))
            .and_then(|item| item.sent_at),
        Err(error) => return not_known(context, &error, now).map(Some),
    };
    let until = made
        .map(|made| made.plus(context.account.timeout + *age))
        .filter(|until| *until > now);
    let why = || {
        Message::new(
            "waits-too-young",
            "waits: the gateway lets an order be withdrawn this way {seconds} s after it was made",
        )
        .with("seconds", age.as_secs())
    };
    until
        .map(|until| give_back_until(context, until, why(), now))
        .transpose()
}

/// Whether payrun knows of a refund of the payment that was asked about, or cannot tell; asked only
/// where the answer depends on it.
pub(crate) async fn is_refunded(
    context: &AttemptContext<'_>,
    outcomes: &[OutcomeRow],
    call: &Call,
    seen: &Observation,
) -> bool {
    let depends = outcomes
        .iter()
        .any(|row| row.unless_refunded && row.state == seen.state);
    let Some(order_no) =
        text(call, "out_trade_no").filter(|_| depends && seen.delivery == Delivery::Replied)
    else {
        return false;
    };
    let known = context
        .engine
        .ledger
        .is_refunded(account(context), order_no)
        .await;
    known.unwrap_or_else(|error| {
        tracing::warn!(item.id = context.claimed.id(), %error, "refunds of the payment could not be looked for");
        true
    })
}

/// It is given back until an instant.
fn wait(
    context: &AttemptContext<'_>,
    until: Timestamp,
    why: Message,
    now: Timestamp,
) -> Result<PaymentCheck, IllegalMove> {
    Ok(PaymentCheck::Not(Box::new(give_back_until(
        context, until, why, now,
    )?)))
}

pub(crate) fn give_back_until(
    context: &AttemptContext<'_>,
    until: Timestamp,
    why: Message,
    now: Timestamp,
) -> Result<Settlement, IllegalMove> {
    let moved = apply(
        &context.claimed.item,
        &Event::Unsent,
        &context.work.policy,
        now,
    )?;
    let moved = moved.with_next_at(until).worded(Some(why));
    Ok(Settlement::unsent(context.claimed, moved, now))
}

/// The ledger could not be asked: nothing is sent without it.
fn not_now(
    context: &AttemptContext<'_>,
    error: &LedgerError,
    now: Timestamp,
) -> Result<PaymentCheck, IllegalMove> {
    Ok(PaymentCheck::Not(Box::new(not_known(context, error, now)?)))
}

fn not_known(
    context: &AttemptContext<'_>,
    error: &LedgerError,
    now: Timestamp,
) -> Result<Settlement, IllegalMove> {
    tracing::warn!(item.id = context.claimed.id(), error = %error, "the payment could not be checked; nothing is sent");
    give_back_until(
        context,
        now.plus(BUSY),
        Message::new("waits-ledger", "waits: the ledger could not be asked"),
        now,
    )
}

fn text<'a>(call: &'a Call, field: &str) -> Option<&'a str> {
    call.input
        .get(field)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}
