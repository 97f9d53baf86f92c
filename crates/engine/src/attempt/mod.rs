//! One attempt: a claimed item, one call, the judgement of what came back, and the settlement that
//! follows.
//!
//! Nothing here writes, except what a call says of its lane (`lane.rs`), and that a code is noted
//! which nobody has listed. A call is made only while its lease holds for longer than the call may
//! take; otherwise the item is given back unsent.

mod declared;
pub mod explain;
pub(crate) mod filed_again;
pub(crate) mod lane;
mod local;
pub(crate) mod pace;
mod payer_check;
pub(crate) mod payment;
mod persist;
pub mod trial;
pub(crate) mod watch;

use std::sync::Arc;
use std::time::Duration;

use chrono::{NaiveDate, NaiveTime};
use serde_json::{Map, Value};

use crate::attempt::explain::explained;
use crate::attempt::filed_again::Filing;
use crate::contracts::{self, CONTRACT_IS};
use crate::vault::open_input;
use crate::{Account, Engine};
use payrun_domain::answer::{Answer, Cause};
use payrun_domain::ids::OrderNumber;
use payrun_domain::item::{Asking, Event, Illegal, Move, State, apply};
use payrun_domain::money::Amount;
use payrun_domain::planted;
use payrun_domain::policy::Policy;
use payrun_domain::subscription::ContractSignal;
use payrun_domain::time::Timestamp;
use payrun_gateway::redaction::TOLD;
use payrun_gateway::{Call, NoConnection, Observation, Reached};
use payrun_ledger::{Attempt, ClaimKind, Claimed, LedgerError, Settlement};
use payrun_project::catalog::judge::{Expected, Judged, judge};
use payrun_project::catalog::{JobKind, Operations, Outcome};
use payrun_system::failpoint;

/// What an attempt needs to know of its job.
#[derive(Debug, Clone)]
pub struct Work {
    /// The job's kind.
    pub kind: Arc<JobKind>,
    /// The job's policies as they were planned.
    pub policy: Arc<Policy>,
}

/// How long a claim holds where more is to be done than a call: a file to be read into the ledger,
/// a report to be made.
pub(super) const LONG_LEASE: Duration = Duration::from_secs(1_800);

impl Work {
    /// Whether this account can be asked what became of an effect.
    pub fn can_ask(&self, account: &Account) -> bool {
        self.kind.effect
            && self
                .kind
                .gateways
                .get(account.kind)
                .is_some_and(|operations| operations.query.is_some())
    }

    /// A longer lease than the account's, where one is needed.
    pub fn lease(&self, account: &Account) -> Option<Duration> {
        let keeps = self
            .kind
            .gateways
            .get(account.kind)
            .is_some_and(|operations| operations.keeps.is_some());
        (self.kind.here || keeps).then_some(LONG_LEASE.max(account.lease()))
    }
}

/// Makes the call a claim is for, and says what follows from the answer.
///
/// `called` is run when the call has ended, before anything is written: the lane may go on to the
/// next.
///
/// # Errors
/// [`Illegal`] if the state machine does not know the move: a defect of payrun. The lease then runs
/// out and the item is asked about.
pub async fn perform(
    engine: &Engine,
    account: &Account,
    work: &Work,
    claimed: &Claimed,
    called: impl FnOnce() + Send,
) -> Result<Settlement, Illegal> {
    let started_at = engine.clock.now();
    let goes = !outlives(engine, account, claimed)
        && account.watch.rests().is_none()
        && !lane::is_closed_since_the_claim(account, &work.kind, claimed);
    let filing = Filing::of(claimed);
    let Some(operations) = filing
        .operations(engine, &work.kind, account)
        .filter(|_| goes)
    else {
        called();
        return give_back(claimed, work, started_at);
    };
    let is_query = claimed.doing == ClaimKind::Query;
    let (operation, outcomes) = operation(operations, claimed.doing);
    let mut call = match self::call(engine, account, work, claimed, operation) {
        Ok(call) => call,
        Err(why) => {
            called();
            return unsendable(claimed, work, operation, why, started_at);
        }
    };
    filing.note_way(&mut call);
    let scene = AttemptContext {
        engine,
        account,
        work,
        claimed,
        operations,
    };
    // Nothing of the item's own was tried yet: that uses up none of its attempts.
    if !is_query
        && !work.kind.here
        && let Err(unprepared) = prepared(engine, account).await
        && let Some(why) = not_begun(&unprepared.reached)
    {
        called();
        let (item, now) = (&claimed.item, engine.clock.now());
        let until = now.plus(work.policy.retry.wait(item.sends, item.spread));
        return payment::given_back(&scene, until, &why, now);
    }
    if filing == Filing::Ask {
        let asked = filed_again::ask(&scene, &call).await;
        called();
        return asked;
    }
    if !is_query && let Some(settlement) = payment::too_young(&scene, &call).await? {
        called();
        return Ok(settlement);
    }
    if let Some(lookup) = operations.payment.as_ref().filter(|_| !is_query)
        && let payment::Ready::Not(settlement) = payment::prepare(&scene, lookup, &mut call).await?
    {
        called();
        return Ok(*settlement);
    }
    let ready = if work.kind.here {
        Ok(())
    } else {
        turn(engine, account).await
    };
    if !may_still_be_sent(&scene).await {
        called();
        return give_back(claimed, work, engine.clock.now());
    }
    failpoint::hit("before_send");
    let mut observed = match ready {
        Err(unprepared) => unprepared,
        Ok(()) if work.kind.here => local::work(&scene, &call).await,
        Ok(()) => noted(engine, account, &call).await,
    };
    failpoint::hit("after_send");
    called();
    let ended_at = engine.clock.now();
    let expected = Expected {
        refunded: payment::is_refunded(&scene, outcomes, &call, &observed).await,
        ..expected(&scene, outcomes, &call)
    };
    let judged = judge(
        outcomes,
        is_query && work.kind.effect,
        work.kind.effect,
        &observed,
        &expected,
    );
    let judged = persist::kept(&scene, &call, &mut observed, judged).await;
    let judged = payer_check::checked(&scene, &call, &mut observed, judged).await;
    let judged = payment::doubted(&scene, &call, judged).await;
    declared::offer_to_modify(&scene, &call, &mut observed, &judged).await;
    let (word, code) = (judged.answer.as_str(), judged.answer.code());
    engine.meter.answered(
        &account.name,
        &call.operation,
        word,
        code,
        ended_at.since(started_at),
    );
    tell(account, claimed, &judged);
    note_unattested(&scene, &work.kind, &judged, ended_at).await;
    lane::close(&scene, &judged, &observed, ended_at).await;
    lane::note_refusal(&scene, &judged, ended_at).await;
    if claimed.tries_funds && matches!(judged.answer, Answer::Done(_) | Answer::Accepted) {
        lane::end_trial(&scene, ended_at).await;
    }
    if matches!(judged.answer, Answer::Done(_)) && judged.contract == Some(ContractSignal::Ended) {
        contracts::is_ended(&scene, &call, ended_at).await;
    }
    let answer = answer_to(claimed, &judged.answer);
    let moved = apply(
        &claimed.item,
        &Event::Answered(answer),
        &work.policy,
        ended_at,
    )?;
    let moved = spaced(account, is_query, moved, ended_at);
    let moved = quoted(moved, &judged, &observed.result);
    let moved = unlisted(moved, &judged, claimed, &mut observed.result);
    let (moved, word) = explained(&scene, &judged, &call, moved).await;
    let moved = payer_check::told(moved, claimed.result(), &observed.result);
    let moved = advised(moved, judged.advice.as_deref());
    let moved = advised(
        moved,
        mismatch(&judged.answer, &observed, claimed).as_deref(),
    );
    let alarm = moved
        .alarm
        .or_else(|| payer_check::warning(claimed.result(), &observed.result));
    let moved = Move { alarm, ..moved };
    note_word(&mut observed.result, claimed, word);
    note_exists(&mut observed.result, claimed, judged.exists);
    let moved = match &observed.reached {
        Reached::Unsendable(why) => Move {
            reason: Some(format!("cannot be sent: {why}")),
            ..moved
        },
        Reached::Unreachable(how, _) => unreached(*how, moved),
        Reached::NotSent(why) => {
            let what = if is_query {
                "it could not be asked about"
            } else {
                "nothing was sent"
            };
            Move {
                reason: Some(format!("{what}: {why}")),
                ..moved
            }
        }
        Reached::Refused(_)
        | Reached::TimedOut
        | Reached::Lost(_)
        | Reached::Unreadable(_)
        | Reached::Unverified(_)
        | Reached::NoKeys(_)
        | Reached::Replied => moved,
    };
    let result = merged(claimed.result(), std::mem::take(&mut observed.result));
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

/// Keeps what a refusal says of the contract; what an earlier one said does not outlive the next
/// submission.
fn note_word(result: &mut Map<String, Value>, claimed: &Claimed, word: Option<ContractSignal>) {
    let said_before = || {
        claimed
            .result()
            .is_some_and(|known| known.contains(CONTRACT_IS))
    };
    if let Some(word) = word {
        result.insert(CONTRACT_IS.to_owned(), word.as_str().into());
    } else if claimed.doing == ClaimKind::Submit && said_before() {
        result.insert(CONTRACT_IS.to_owned(), Value::Null);
    }
}

/// The fact that keeps that a submission was answered so: the number exists already.
const NUMBER_EXISTS: &str = "number_exists";

/// Keeps that the number in use exists at the gateway; what was said of it does not outlive the
/// next submission.
fn note_exists(result: &mut Map<String, Value>, claimed: &Claimed, exists: bool) {
    if exists {
        result.insert(NUMBER_EXISTS.to_owned(), true.into());
    } else if claimed.doing == ClaimKind::Submit && number_exists(claimed) {
        result.insert(NUMBER_EXISTS.to_owned(), false.into());
    }
}

fn number_exists(claimed: &Claimed) -> bool {
    let known = claimed
        .result()
        .filter(|known| known.contains(NUMBER_EXISTS));
    let known: Option<Value> = known.and_then(|known| serde_json::from_str(known).ok());
    known.is_some_and(|known| known[NUMBER_EXISTS] == true)
}

/// How old a claim may be that is sent without another look at whether a person has withdrawn it.
const FRESH: Duration = Duration::from_millis(100);

/// Whether what was claimed may be sent now: the claim holds for longer than the call, and nobody
/// has withdrawn the item. That is read again where something was asked since the claim, or the
/// claim is no longer fresh. A question may always be asked.
async fn may_still_be_sent(scene: &AttemptContext<'_>) -> bool {
    if is_too_late(scene) {
        return false;
    }
    let (claimed, now) = (scene.claimed, scene.engine.clock.now());
    let fresh = claimed
        .item
        .sent_at
        .is_some_and(|claimed_at| now.since(claimed_at) < FRESH);
    if claimed.doing == ClaimKind::Query
        || !scene.work.kind.effect
        || (fresh && scene.operations.payment.is_none())
    {
        return true;
    }
    match scene.engine.ledger.is_withdrawn(claimed.id()).await {
        Ok(withdrawn) => !withdrawn || planted::is(planted::Mutation::WithdrawalNotReadAgain),
        Err(error) => {
            tracing::warn!(item.id = claimed.id(), %error, "the ledger could not be asked; nothing is sent");
            false
        }
    }
}

/// Whether a call that begins now could outlive the claim.
pub(super) fn is_too_late(scene: &AttemptContext<'_>) -> bool {
    outlives(scene.engine, scene.account, scene.claimed)
}

fn outlives(engine: &Engine, account: &Account, claimed: &Claimed) -> bool {
    engine.clock.now().plus(account.timeout) >= claimed.lease_until
        && !planted::is(planted::Mutation::LeaseNotChecked)
}

/// A reason with the gateway's own words, where it refuses: its message, or what the customs say of
/// a declaration.
fn quoted(moved: Move, judged: &Judged, seen: &Map<String, Value>) -> Move {
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
    match moved.reason {
        Some(reason) if !words.is_empty() => Move {
            reason: Some(format!("{reason} ({words})")),
            ..moved
        },
        reason => Move { reason, ..moved },
    }
}

/// The fact that keeps what the gateway said beside a code that no table lists.
const UNLISTED: &str = "unlisted_message";

/// Keeps the gateway's own words beside a code that no table lists, and says them again where a
/// person gets the item for that code.
fn unlisted(
    moved: Move,
    judged: &Judged,
    claimed: &Claimed,
    seen: &mut Map<String, Value>,
) -> Move {
    let is_unlisted = matches!(
        &judged.answer,
        Answer::Unknown {
            cause: Cause::Unlisted,
            ..
        }
    );
    let message = judged
        .message
        .as_deref()
        .map(|message| message.replace(char::is_control, ""));
    if let Some(message) = message.filter(|message| is_unlisted && !message.is_empty()) {
        seen.insert(UNLISTED.to_owned(), message.into());
        return moved;
    }
    let is_parked =
        moved.item.state == State::Parked && matches!(claimed.item.asking, Asking::Unlisted(_));
    let known = claimed
        .result()
        .filter(|known| is_parked && known.contains(UNLISTED));
    let known: Option<Value> = known.and_then(|known| serde_json::from_str(known).ok());
    if claimed.doing == ClaimKind::Submit
        && claimed
            .result()
            .is_some_and(|known| known.contains(UNLISTED))
    {
        seen.insert(UNLISTED.to_owned(), Value::Null);
    }
    match (
        moved.reason,
        known.as_ref().and_then(|known| known[UNLISTED].as_str()),
    ) {
        (Some(reason), Some(message)) => Move {
            reason: Some(format!("{reason}; its words were: {message}")),
            ..moved
        },
        (reason, _) => Move { reason, ..moved },
    }
}

/// What a reply that contradicts the order names, and what is ours.
fn mismatch(answer: &Answer, seen: &Observation, claimed: &Claimed) -> Option<String> {
    let is_mismatch = match answer {
        Answer::Unknown { cause, .. } => *cause == Cause::Mismatch,
        Answer::Declined(decline) => decline.code == Cause::Mismatch.as_str(),
        Answer::Done(_) | Answer::Accepted | Answer::NotProcessed { .. } | Answer::Absent => false,
    };
    is_mismatch.then(|| seen.differs(claimed.order_no().as_str(), claimed.amount()))
}

/// A reason with what a person may do about it.
pub(super) fn advised(moved: Move, advice: Option<&str>) -> Move {
    match (moved.reason, advice) {
        (Some(reason), Some(advice)) => Move {
            reason: Some(format!("{reason}; {advice}")),
            ..moved
        },
        (reason, _) => Move { reason, ..moved },
    }
}

/// The fact that is true of one reply only.
pub(super) const SUB_CODE: &str = "sub_code";

/// What was known of the result, and what is known now: an action to be taken stays when a later
/// reply no longer names it. The code of an earlier refusal does not.
pub(super) fn merged(known: Option<&str>, seen: Map<String, Value>) -> Option<String> {
    let mut result: Map<String, Value> = known
        .and_then(|known| serde_json::from_str(known).ok())
        .unwrap_or_default();
    let stale = result.remove(SUB_CODE).is_some();
    if seen.is_empty() && !stale {
        return None;
    }
    result.extend(seen);
    Some(Value::Object(result).to_string())
}

/// What an attempt happens between.
#[derive(Clone, Copy)]
pub(super) struct AttemptContext<'a> {
    pub engine: &'a Engine,
    pub account: &'a Account,
    pub work: &'a Work,
    pub claimed: &'a Claimed,
    pub operations: &'a Operations,
}

fn call(
    engine: &Engine,
    account: &Account,
    work: &Work,
    claimed: &Claimed,
    operation: &str,
) -> Result<Call, String> {
    let mut order_no = claimed.order_no().clone();
    if planted::is(planted::Mutation::NumberOfItsOwn) {
        order_no = OrderNumber::derive(claimed.key(), 90);
    }
    let mut amount = claimed.amount();
    if planted::is(planted::Mutation::AmountPlusOne) {
        amount = amount
            .and_then(|amount| Amount::from_minor(amount.minor() + 1, amount.currency()).ok());
    }
    Ok(Call {
        operation: operation.to_owned(),
        order_no,
        input: input(engine, work, claimed)?,
        amount,
        timeout: account.timeout,
    })
}

/// Nothing can be sent, and why: it is tried again for a while, since somebody may mend it.
fn unsendable(
    claimed: &Claimed,
    work: &Work,
    operation: &str,
    why: String,
    now: Timestamp,
) -> Result<Settlement, Illegal> {
    let answer = if claimed.item.state == State::Sending {
        Answer::NotProcessed {
            code: "not_sent".to_owned(),
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
    let observed = Observation::of(Reached::NotSent(why));
    Ok(Settlement::answered(
        claimed,
        moved,
        attempt_of(operation, now, now, &answer, observed),
        None,
        now,
    ))
}

pub(super) fn attempt_of(
    operation: &str,
    started_at: Timestamp,
    ended_at: Timestamp,
    answer: &Answer,
    observed: Observation,
) -> Attempt {
    Attempt {
        operation: operation.to_owned(),
        started_at,
        ended_at,
        answer: answer.as_str(),
        code: answer.code().to_owned(),
        http: observed.http,
        evidence: if observed.evidence.is_empty() {
            observed.reached.why()
        } else {
            observed.evidence
        },
    }
}

/// What a reply is held against.
pub(super) fn expected(scene: &AttemptContext<'_>, outcomes: &[Outcome], call: &Call) -> Expected {
    let asks_for_fields = outcomes.iter().any(|row| row.when.is_some());
    Expected {
        input: if asks_for_fields {
            call.input.clone()
        } else {
            Map::new()
        },
        refunded: false,
        order_no: expected_number(scene, call),
        amount: scene.claimed.amount(),
        amount_may_lack: scene.operations.names_no_amount,
        // An item is pending too while a refusal is asked about: that the gateway had accepted.
        accepted: scene.claimed.item.state == State::Pending
            && matches!(
                scene.claimed.item.asking,
                Asking::Outcome | Asking::Unlisted(_)
            ),
        exists: number_exists(scene.claimed),
        named: !scene.operations.named_by.is_empty(),
        day_over: day_over(call, scene.engine.clock.now()),
    }
}

/// How long the day has been over that a call asks for; days are Beijing's, as both gateways with
/// statements count them.
pub(super) fn day_over(call: &Call, now: Timestamp) -> Option<Duration> {
    Some(now.since(day_end(call.input.get("date").and_then(Value::as_str)?)?))
}

/// When a day of Beijing's is over.
pub(super) fn day_end(day: &str) -> Option<Timestamp> {
    let day = NaiveDate::parse_from_str(day, "%Y-%m-%d")
        .ok()?
        .succ_opt()?;
    let end = day
        .and_time(NaiveTime::MIN)
        .and_local_timezone(chrono_tz::Asia::Shanghai)
        .earliest()?;
    Some(Timestamp::from_millis(end.timestamp_millis()))
}

/// The number that a reply must name. A look-up may be of somebody else's; an effect never is.
fn expected_number(scene: &AttemptContext<'_>, call: &Call) -> Option<OrderNumber> {
    if !scene.work.kind.effect {
        return None;
    }
    let names = &scene.operations.named_by;
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

/// What was pending stays so when a question about it did not get through.
fn answer_to(claimed: &Claimed, answer: &Answer) -> Answer {
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

/// A claim that is given back because nothing was sent.
///
/// # Errors
/// [`Illegal`] if the item is not claimed: a defect of payrun.
pub fn give_back(claimed: &Claimed, work: &Work, now: Timestamp) -> Result<Settlement, Illegal> {
    let moved = apply(&claimed.item, &Event::Unsent, &work.policy, now)?;
    Ok(Settlement::unsent(claimed, moved, now))
}

/// What changes nothing has no query: it is done again.
fn operation(operations: &Operations, doing: ClaimKind) -> (&str, &[Outcome]) {
    match (doing, &operations.query) {
        (ClaimKind::Query, Some(query)) => (query, &operations.query_outcomes),
        (ClaimKind::Submit, _) | (ClaimKind::Query, None) => {
            (&operations.submit, &operations.submit_outcomes)
        }
    }
}

/// The item's checked fields, personal data opened.
fn input(engine: &Engine, work: &Work, claimed: &Claimed) -> Result<Map<String, Value>, String> {
    // Written by the planner, from checked fields.
    let input: Map<String, Value> = serde_json::from_str(claimed.input()).unwrap_or_default();
    let opened = open_input(
        engine.vault.as_deref(),
        input,
        &work.kind.fields,
        claimed.key(),
    );
    opened.map_err(|error| error.to_string())
}

/// The call, aborted at its deadline whatever the gateway's client does.
pub(super) async fn in_time(account: &Account, call: &Call) -> Observation {
    let grace = Duration::from_millis(250);
    match tokio::time::timeout(call.timeout + grace, account.gateway.call(call)).await {
        Ok(observed) => observed,
        Err(_) => Observation::of(Reached::TimedOut),
    }
}

/// The same when its turn has come by the account's rate; what it says of the lane is remembered.
pub(super) async fn within(engine: &Engine, account: &Account, call: &Call) -> Observation {
    match turn(engine, account).await {
        Ok(()) => noted(engine, account, call).await,
        Err(unprepared) => unprepared,
    }
}

/// Waits until a call may be made by the account's rate. What is needed beforehand is got before,
/// so that calls do not gather there; where it cannot be had, this is what came of the call.
async fn turn(engine: &Engine, account: &Account) -> Result<(), Observation> {
    prepared(engine, account).await?;
    if let Some(pace) = &account.pace {
        pace.turn().await;
    }
    Ok(())
}

/// Gets what every call of the account needs beforehand.
async fn prepared(engine: &Engine, account: &Account) -> Result<(), Observation> {
    if account.pace.is_none() {
        return Ok(());
    }
    account.watch.note_preparing();
    let prepared = account.gateway.prepare(account.timeout).await;
    account.watch.note_prepared(prepared.is_ok());
    if let Err(unprepared) = prepared {
        lane::note_reached(engine, account, &unprepared).await;
        return Err(unprepared);
    }
    Ok(())
}

/// Why a call could not be begun, where that may pass by itself.
fn not_begun(reached: &Reached) -> Option<String> {
    match reached {
        Reached::NotSent(why) => Some(format!("nothing was sent: {why}")),
        Reached::Unreachable(how, _) => Some(cannot_reach(*how)),
        Reached::Refused(_)
        | Reached::Unsendable(_)
        | Reached::TimedOut
        | Reached::Lost(_)
        | Reached::Unreadable(_)
        | Reached::Unverified(_)
        | Reached::NoKeys(_)
        | Reached::Replied => None,
    }
}

fn cannot_reach(how: NoConnection) -> String {
    format!("cannot reach the gateway: {}", how.words())
}

async fn noted(engine: &Engine, account: &Account, call: &Call) -> Observation {
    let observed = in_time(account, call).await;
    lane::note_reached(engine, account, &observed).await;
    observed
}

/// An item of which nothing could be sent or asked, for want of a connection.
fn unreached(how: NoConnection, moved: Move) -> Move {
    let attempts = match moved.item.state {
        State::Failed => format!(", in {} attempts", moved.item.sends),
        State::Held
        | State::Planned
        | State::Sending
        | State::Pending
        | State::Unknown
        | State::Succeeded
        | State::Cancelled
        | State::Parked
        | State::Rejected
        | State::Skipped => String::new(),
    };
    Move {
        reason: Some(format!("{}{attempts}", cannot_reach(how))),
        ..moved
    }
}

/// One order is not asked about more often than the account allows.
pub(super) fn spaced(account: &Account, is_query: bool, moved: Move, now: Timestamp) -> Move {
    let asks_again = matches!(moved.item.state, State::Pending | State::Unknown);
    if !(is_query && asks_again) {
        return moved;
    }
    let due = moved
        .due
        .map(|due| due.max(now.plus(account.query_interval)));
    Move { due, ..moved }
}

/// Keeps the code of an answer that nobody has listed, or whose meaning payrun only assumes, for
/// people to hear of. What a sandbox on this machine answers says nothing about the gateway.
pub(super) async fn note_unattested(
    scene: &AttemptContext<'_>,
    kind: &JobKind,
    judged: &Judged,
    now: Timestamp,
) {
    let assumed = judged
        .assumed
        .as_deref()
        .filter(|_| scene.account.is_remote);
    let code = if judged.code.is_empty() {
        judged.answer.code()
    } else {
        &judged.code
    };
    if (judged.listed && assumed.is_none()) || code.is_empty() {
        return;
    }
    let (lane, id) = (&scene.account.name, scene.claimed.id());
    let noted = scene
        .engine
        .ledger
        .note_unattested(lane, &kind.name, code, assumed, id, now)
        .await;
    if let Err(error) = noted {
        tracing::warn!(lane.name = lane, %error, "an answer that no page attests could not be noted");
    }
}

fn tell(account: &Account, claimed: &Claimed, judged: &Judged) {
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
