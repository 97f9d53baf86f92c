//! What a reply means, by the outcome tables, and what it means beyond its item.

use std::time::Duration;

use chrono::{NaiveDate, NaiveTime};
use serde_json::{Map, Value};

use super::context::AttemptContext;
use super::decide::number_exists;
use super::{Exchange, declared_payment, lane_effects, payer_check, payment, persist};
use crate::Account;
use crate::contracts::{self};
use payrun_domain::answer::Answer;
use payrun_domain::ids::OrderNumber;
use payrun_domain::item::{QueryPurpose, State};
use payrun_domain::subscription::ContractSignal;
use payrun_domain::time::Timestamp;
use payrun_gateway::Call;
use payrun_ledger::Claimed;
use payrun_project::job_kinds::judge::{ExpectedReply, Judgement, judge};
use payrun_project::job_kinds::{JobKind, OutcomeRow};

/// What the reply means, by the outcome table and by what else is asked or kept of it.
pub(crate) async fn judge_reply(exchange: &mut Exchange<'_>) -> Judgement {
    let is_query = exchange.is_query();
    let Exchange {
        context,
        outcomes,
        call,
        observed,
        ..
    } = exchange;
    let kind = &context.work.kind;
    let expected = ExpectedReply {
        refunded: payment::is_refunded(context, outcomes, call, observed).await,
        ..expected(context, outcomes, call)
    };
    let judged = judge(
        outcomes,
        is_query && kind.effect,
        kind.effect,
        observed,
        &expected,
    );
    let judged = persist::persist(context, call, observed, judged).await;
    let judged = payer_check::checked(context, call, observed, judged).await;
    let judged = payment::doubted(context, call, judged).await;
    declared_payment::offer_to_modify(context, call, observed, &judged).await;
    judged
}

/// What the answer means beyond its item: for the metrics, the log, the lane and the contract.
pub(crate) async fn act_on(exchange: &Exchange<'_>, judged: &Judgement) {
    let Exchange {
        context,
        call,
        observed,
        started_at,
        ended_at,
        ..
    } = exchange;
    let (account, claimed, ended_at) = (context.account, context.claimed, *ended_at);
    context.engine.metrics.answered(
        &account.name,
        &call.operation,
        judged.answer.as_str(),
        judged.answer.code(),
        ended_at.since(*started_at),
    );
    log_answer(account, claimed, judged);
    note_unattested(context, &context.work.kind, judged, ended_at).await;
    lane_effects::close(context, judged, observed, ended_at).await;
    lane_effects::note_refusal(context, judged, ended_at).await;
    if claimed.tries_funds && matches!(judged.answer, Answer::Done(_) | Answer::Accepted) {
        lane_effects::end_trial(context, ended_at).await;
    }
    if matches!(judged.answer, Answer::Done(_)) && judged.contract == Some(ContractSignal::Ended) {
        contracts::is_ended(context, call, ended_at).await;
    }
}

/// What a reply is held against.
pub(crate) fn expected(
    context: &AttemptContext<'_>,
    outcomes: &[OutcomeRow],
    call: &Call,
) -> ExpectedReply {
    let asks_for_fields = outcomes.iter().any(|row| row.when.is_some());
    ExpectedReply {
        input: if asks_for_fields {
            call.input.clone()
        } else {
            Map::new()
        },
        refunded: false,
        order_no: expected_number(context, call),
        amount: context.claimed.amount(),
        amount_may_lack: context.operations.names_no_amount,
        // An item is pending too while a refusal is asked about: that the gateway had accepted.
        accepted: context.claimed.item.state == State::Pending
            && matches!(
                context.claimed.item.query_purpose,
                QueryPurpose::Outcome | QueryPurpose::Unmapped(_)
            ),
        exists: number_exists(context.claimed),
        named: !context.operations.named_by.is_empty(),
        day_over: day_over(call, context.engine.clock.now()),
    }
}

/// How long the day has been over that a call asks for; days are Beijing's, as both gateways with
/// statements count them.
pub(crate) fn day_over(call: &Call, now: Timestamp) -> Option<Duration> {
    Some(now.since(day_end(call.input.get("date").and_then(Value::as_str)?)?))
}

/// When a day of Beijing's is over.
pub(crate) fn day_end(day: &str) -> Option<Timestamp> {
    let day = NaiveDate::parse_from_str(day, "%Y-%m-%d")
        .ok()?
        .succ_opt()?;
    let end = day
        .and_time(NaiveTime::MIN)
        .and_local_timezone(chrono_tz::Asia::Shanghai)
        .earliest()?;
    Some(Timestamp::from_millis(end.timestamp_millis()))
}

/// The number that a reply must name. A lookup may be of somebody else's; an effect never is.
pub(crate) fn expected_number(context: &AttemptContext<'_>, call: &Call) -> Option<OrderNumber> {
    if !context.work.kind.effect {
        return None;
    }
    let names = &context.operations.named_by;
    if names.is_empty() {
        return Some(call.order_no.clone());
    }
    let given = |field: &String| {
        call.input
            .get(field)
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
    };
    OrderNumber::parse(names.iter().find_map(given)?).ok()
}

/// Keeps the code of an answer that nobody has listed, or whose meaning payrun only assumes, for
/// people to hear of. What a sandbox on this machine answers says nothing about the gateway.
pub(crate) async fn note_unattested(
    context: &AttemptContext<'_>,
    kind: &JobKind,
    judged: &Judgement,
    now: Timestamp,
) {
    let assumed = judged
        .assumed
        .as_deref()
        .filter(|_| context.account.is_remote);
    let code = if judged.code.is_empty() {
        judged.answer.code()
    } else {
        &judged.code
    };
    if (judged.listed && assumed.is_none()) || code.is_empty() {
        return;
    }
    let (lane, id) = (&context.account.name, context.claimed.id());
    let noted = context
        .engine
        .ledger
        .note_unattested(lane, &kind.name, code, assumed, id, now)
        .await;
    if let Err(error) = noted {
        tracing::warn!(lane.name = lane, %error, "an answer that no page attests could not be noted");
    }
}

pub(crate) fn log_answer(account: &Account, claimed: &Claimed, judged: &Judgement) {
    let (lane, item, order) = (
        account.name.as_str(),
        claimed.id(),
        claimed.order_no().as_str(),
    );
    if !judged.listed {
        let code = judged.answer.code();
        tracing::warn!(
            lane.name = lane,
            item.id = item,
            order.no = order,
            code,
            "no outcome table lists this answer"
        );
    }
    match &judged.answer {
        Answer::Unknown { .. } => {
            tracing::info!(
                lane.name = lane,
                item.id = item,
                order.no = order,
                answer = judged.answer.as_str(),
                code = judged.answer.code()
            );
        }
        Answer::Done(_)
        | Answer::Accepted
        | Answer::Declined(_)
        | Answer::NotProcessed { .. }
        | Answer::Absent => {
            tracing::debug!(
                lane.name = lane,
                item.id = item,
                order.no = order,
                answer = judged.answer.as_str(),
                code = judged.answer.code()
            );
        }
    }
}
