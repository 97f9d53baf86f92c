//! The call of a claim: what is looked at before, whether it may still be sent, and the sending.

use std::time::Duration;

use serde_json::{Map, Value};

use super::context::{AttemptContext, JobContext};
use super::decide::attempt_of;
use super::refiling::{self, Filing};
use super::{CallOutcome, Exchange, give_back, lane_effects, local_operations, payment};
use crate::vault::open_input;
use crate::{Account, Engine};
use payrun_domain::answer::{Answer, Cause};
use payrun_domain::item::{Event, IllegalMove, State, apply};
use payrun_domain::message::Message;
use payrun_domain::own_code::OwnCode;
use payrun_domain::time::Timestamp;
use payrun_gateway::{Call, Delivery, NoConnection, Observation};
use payrun_ledger::{ClaimKind, Claimed, Settlement};
use payrun_project::job_kinds::{Operations, OutcomeRow};
use payrun_system::failpoint;

/// Calls the gateway, unless something that is looked at before says that nothing may be sent now.
pub(crate) async fn call<'a>(
    engine: &'a Engine,
    account: &'a Account,
    work: &'a JobContext,
    claimed: &'a Claimed,
) -> Result<CallOutcome<'a>, IllegalMove> {
    let started_at = engine.clock.now();
    let goes = !outlives(engine, account, claimed)
        && account.watch.paused_for().is_none()
        && !lane_effects::is_closed_since_the_claim(account, &work.kind, claimed);
    let filing = Filing::of(claimed);
    let Some(operations) = filing
        .operations(engine, &work.kind, account)
        .filter(|_| goes)
    else {
        return give_back(claimed, work, started_at).map(CallOutcome::settled);
    };
    let (operation, outcomes) = operation(operations, claimed.claim_kind);
    let mut call = match call_of(engine, account, work, claimed, operation) {
        Ok(call) => call,
        Err(why) => {
            return unsendable(claimed, work, operation, why, started_at).map(CallOutcome::settled);
        }
    };
    filing.set_refiling_method(&mut call);
    let context = AttemptContext {
        engine,
        account,
        work,
        claimed,
        operations,
    };
    if let Some(settlement) = precheck(&context, filing, &mut call).await? {
        return Ok(CallOutcome::settled(settlement));
    }
    let ready = if work.kind.local {
        Ok(())
    } else {
        wait_for_rate(engine, account).await
    };
    if !may_still_be_sent(&context).await {
        return give_back(claimed, work, engine.clock.now()).map(CallOutcome::settled);
    }
    failpoint::hit("before_send");
    let observed = match ready {
        Err(unprepared) => unprepared,
        Ok(()) if work.kind.local => local_operations::work(&context, &call).await,
        Ok(()) => noted(engine, account, &call).await,
    };
    failpoint::hit("after_send");
    let ended_at = engine.clock.now();
    let exchange = Exchange {
        context,
        outcomes,
        call,
        observed,
        started_at,
        ended_at,
    };
    Ok(CallOutcome::Called(Box::new(exchange)))
}

/// What is looked at before anything of the item's own is sent; what follows if it is not sent now.
pub(crate) async fn precheck(
    context: &AttemptContext<'_>,
    filing: Filing,
    call: &mut Call,
) -> Result<Option<Settlement>, IllegalMove> {
    let AttemptContext {
        engine,
        account,
        work,
        claimed,
        operations,
    } = *context;
    let is_query = claimed.claim_kind == ClaimKind::Query;
    // Nothing of the item's own was tried yet: that uses up none of its attempts.
    if !is_query
        && !work.kind.local
        && let Err(unprepared) = prepare_account(engine, account).await
        && let Some(why) = not_begun(&unprepared.delivery)
    {
        let (item, now) = (&claimed.item, engine.clock.now());
        let until = now.plus(work.policy.retry.wait(item.submit_count, item.jitter));
        return payment::give_back_until(context, until, why, now).map(Some);
    }
    if filing == Filing::Ask {
        return refiling::ask(context, call).await.map(Some);
    }
    if is_query {
        return Ok(None);
    }
    if let Some(settlement) = payment::too_young(context, call).await? {
        return Ok(Some(settlement));
    }
    if let Some(lookup) = &operations.lookup
        && let payment::PaymentCheck::Not(settlement) =
            payment::prepare(context, lookup, call).await?
    {
        return Ok(Some(*settlement));
    }
    Ok(None)
}

/// How old a claim may be that is sent without another look at whether a person has withdrawn it.
pub(crate) const FRESH: Duration = Duration::from_millis(100);

/// Whether what was claimed may be sent now: the claim holds for longer than the call, and nobody
/// has withdrawn the item. That is read again where something was asked since the claim, or the
/// claim is no longer fresh. A question may always be asked.
pub(crate) async fn may_still_be_sent(context: &AttemptContext<'_>) -> bool {
    if is_too_late(context) {
        return false;
    }
    let (claimed, now) = (context.claimed, context.engine.clock.now());
    let fresh = claimed
        .item
        .sent_at
        .is_some_and(|claimed_at| now.since(claimed_at) < FRESH);
    if claimed.claim_kind == ClaimKind::Query
        || !context.work.kind.effect
        || (fresh && context.operations.lookup.is_none())
    {
        return true;
    }
    match context.engine.ledger.is_withdrawn(claimed.id()).await {
        Ok(withdrawn) => {
            #[cfg(feature = "mutation")]
            let withdrawn = crate::mutation::withdrawn(withdrawn);
            !withdrawn
        }
        Err(error) => {
            tracing::warn!(item.id = claimed.id(), %error, "the ledger could not be asked; nothing is sent");
            false
        }
    }
}

/// Whether a call that begins now could outlive the claim.
pub(crate) fn is_too_late(context: &AttemptContext<'_>) -> bool {
    outlives(context.engine, context.account, context.claimed)
}

pub(crate) fn outlives(engine: &Engine, account: &Account, claimed: &Claimed) -> bool {
    let outlives = engine.clock.now().plus(account.timeout) >= claimed.lease_until;
    #[cfg(feature = "mutation")]
    let outlives = crate::mutation::outlives(outlives);
    outlives
}

pub(crate) fn call_of(
    engine: &Engine,
    account: &Account,
    work: &JobContext,
    claimed: &Claimed,
    operation: &str,
) -> Result<Call, String> {
    let call = Call {
        operation: operation.to_owned(),
        order_no: claimed.order_no().clone(),
        input: input(engine, work, claimed)?,
        amount: claimed.amount(),
        timeout: account.timeout,
    };
    #[cfg(feature = "mutation")]
    let call = crate::mutation::call(call, claimed);
    Ok(call)
}

/// Nothing can be sent, and why: it is tried again for a while, since somebody may mend it.
pub(crate) fn unsendable(
    claimed: &Claimed,
    work: &JobContext,
    operation: &str,
    why: String,
    now: Timestamp,
) -> Result<Settlement, IllegalMove> {
    let answer = if claimed.item.state == State::Sending {
        Answer::NotProcessed {
            code: OwnCode::NotSent.to_string(),
            after: None,
        }
    } else {
        Answer::Unknown {
            cause: Cause::NotAsked,
            code: String::new(),
        }
    };
    let moved = apply(
        &claimed.item,
        &Event::Answered(answer.clone()),
        &work.policy,
        now,
    )?;
    let observed = Observation::of(Delivery::NotSent(why));
    Ok(Settlement::answered(
        claimed,
        moved,
        attempt_of(operation, now, now, &answer, observed),
        None,
        now,
    ))
}

/// What changes nothing has no query: it is done again.
pub(crate) fn operation(operations: &Operations, claim_kind: ClaimKind) -> (&str, &[OutcomeRow]) {
    match (claim_kind, &operations.query) {
        (ClaimKind::Query, Some(query)) => (query, &operations.query_outcomes),
        (ClaimKind::Submit, _) | (ClaimKind::Query, None) => {
            (&operations.submit, &operations.submit_outcomes)
        }
    }
}

/// The item's checked fields, personal data opened.
pub(crate) fn input(
    engine: &Engine,
    work: &JobContext,
    claimed: &Claimed,
) -> Result<Map<String, Value>, String> {
    let opened = open_input(
        engine.vault.as_deref(),
        claimed.fields().clone(),
        &work.kind.fields,
        claimed.key(),
    );
    opened.map_err(|error| error.to_string())
}

/// The call, aborted at its deadline whatever the gateway's client does.
pub(crate) async fn in_time(account: &Account, call: &Call) -> Observation {
    let grace = Duration::from_millis(250);
    match tokio::time::timeout(call.timeout + grace, account.gateway.call(call)).await {
        Ok(observed) => observed,
        Err(_) => Observation::of(Delivery::TimedOut),
    }
}

/// The same when its turn has come by the account's rate; what it says of the lane is remembered.
pub(crate) async fn call_at_rate(engine: &Engine, account: &Account, call: &Call) -> Observation {
    match wait_for_rate(engine, account).await {
        Ok(()) => noted(engine, account, call).await,
        Err(unprepared) => unprepared,
    }
}

/// Waits until a call may be made by the account's rate. What is needed beforehand is got before,
/// so that calls do not gather there; where it cannot be had, this is what came of the call.
pub(crate) async fn wait_for_rate(engine: &Engine, account: &Account) -> Result<(), Observation> {
    prepare_account(engine, account).await?;
    if let Some(pace) = &account.pace {
        pace.wait().await;
    }
    Ok(())
}

/// Gets what every call of the account needs beforehand.
pub(crate) async fn prepare_account(engine: &Engine, account: &Account) -> Result<(), Observation> {
    if account.pace.is_none() {
        return Ok(());
    }
    account.watch.note_preparing();
    let prepared = account.gateway.prepare(account.timeout).await;
    account.watch.note_prepared(prepared.is_ok());
    if let Err(unprepared) = prepared {
        lane_effects::note_reached(engine, account, &unprepared).await;
        return Err(unprepared);
    }
    Ok(())
}

/// Why a call could not be begun, where that may pass by itself.
pub(crate) fn not_begun(delivery: &Delivery) -> Option<Message> {
    match delivery {
        Delivery::NotSent(why) => {
            let unsent = Message::new("nothing-was-sent-since", "nothing was sent: {why}");
            Some(unsent.with("why", why))
        }
        Delivery::Unreachable(how, _) => Some(cannot_reach(*how, None)),
        Delivery::Refused(_)
        | Delivery::Unsendable(_)
        | Delivery::TimedOut
        | Delivery::Lost(_)
        | Delivery::Unreadable(_)
        | Delivery::Unverified(_)
        | Delivery::NoKeys(_)
        | Delivery::Replied => None,
    }
}

/// That there is no connection; and how often it was tried, where that is the end of it.
pub(crate) fn cannot_reach(how: NoConnection, attempts: Option<Message>) -> Message {
    Message::new("unreached", "cannot reach the gateway: {how}{attempts}")
        .with("how", how.words())
        .with("attempts", attempts)
}

pub(crate) async fn noted(engine: &Engine, account: &Account, call: &Call) -> Observation {
    let observed = in_time(account, call).await;
    lane_effects::note_reached(engine, account, &observed).await;
    observed
}
