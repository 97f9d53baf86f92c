//! What a notification says of an item, put to the state machine.
//!
//! The only move that a notification makes is to `succeeded`: money that moved has moved. Whatever
//! else it says is reason to ask the gateway at once, or an alarm; so one that is repeated, late or
//! out of order can undo nothing. Nothing is believed of an item that is being sent at this moment:
//! the notification waits. Move, event, attempt, totals and what became of the notification go down
//! in one commit.

use std::time::Duration;

use serde_json::{Map, Value};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::Ledger;
use super::approvals::void_of_job;
use super::claim::decide;
use super::error::LedgerError;
use super::notifications::{Ending, NotificationOutcome, end};
use super::rows::{ItemChange, ItemRecord, policy_of};
use super::settle::Attempt;
use super::statement_line::write_told;
use super::write_tx::WriteTx;
use payrun_domain::answer::{Answer, Cause, Receipt};
use payrun_domain::ids::OrderNumber;
use payrun_domain::item::{Alarm, Event, Move, State};
use payrun_domain::planted::{Mutation, is};
use payrun_domain::policy::Policy;
use payrun_domain::time::Timestamp;

/// How long a notification waits whose item is being sent or asked about at this moment.
const CALL_UNDER_WAY: Duration = Duration::from_secs(1);

/// What a notification says of an item.
#[derive(Debug, Clone)]
pub struct NotificationClaim {
    /// The notification.
    pub notification: i64,
    /// The item, one that has or had the number.
    pub item_id: i64,
    /// Our number, as the notification has it.
    pub order_no: OrderNumber,
    /// What it means.
    pub answer: Answer,
    /// What differs from ours, where the answer is a mismatch; else empty.
    pub differs: String,
    /// Facts worth keeping as the item's result.
    pub facts: Map<String, Value>,
    /// What was received, sensitive fields masked.
    pub evidence: String,
    /// How long one order is left alone between two questions.
    pub query_interval: Duration,
    /// When it is believed.
    pub now: Timestamp,
}

impl Ledger {
    /// Puts notifications to the state machine, all in one commit; what became of each.
    ///
    /// # Errors
    /// Whatever the database says; then nothing has changed.
    pub async fn believe_notifications(
        &self,
        all: &[NotificationClaim],
    ) -> Result<Vec<NotificationOutcome>, LedgerError> {
        let mut turn = self.turn(DOING).await?;
        let mut outcomes = Vec::with_capacity(all.len());
        for said in all {
            outcomes.push(believe(&mut turn, said).await?);
        }
        let makes_work = |outcome: &NotificationOutcome| {
            !matches!(
                outcome,
                NotificationOutcome::Open | NotificationOutcome::NothingNew
            )
        };
        if outcomes.iter().any(makes_work) {
            turn.commit_and_tell().await?;
            self.woken.notify_waiters();
        } else {
            turn.commit().await?;
        }
        Ok(outcomes)
    }
}

const DOING: &str = "applying notifications";

fn failed(source: sqlx::Error) -> LedgerError {
    LedgerError::of(DOING, source)
}

/// What follows from a notification, before the state machine has its say.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Follows {
    /// The state machine decides.
    Believe,
    /// A person must hear of it; the state stays.
    Alarm(Alarm, String),
    /// The gateway is asked at once.
    Ask,
    Nothing,
    /// A call is under way, which may tell.
    Wait,
}

/// An item's row, with what is needed beside the item.
struct Found {
    stored: ItemRecord,
    policy: Policy,
    due: Option<Timestamp>,
    claimed: bool,
    last_call: Option<Timestamp>,
}

async fn believe(
    turn: &mut WriteTx,
    said: &NotificationClaim,
) -> Result<NotificationOutcome, LedgerError> {
    let found = find(turn, said.item_id).await?;
    let follows = follows(&found, said);
    let (outcome, detail, due) = match follows {
        Follows::Nothing => (NotificationOutcome::NothingNew, None, None),
        Follows::Wait => {
            let waits = "waits for a call that is under way".to_owned();
            (
                NotificationOutcome::Open,
                Some(waits),
                Some(said.now.plus(CALL_UNDER_WAY)),
            )
        }
        Follows::Ask => {
            ask(turn, &found, said).await?;
            (
                NotificationOutcome::Asked,
                Some(said.answer.as_str().to_owned()),
                None,
            )
        }
        Follows::Alarm(alarm, reason) => {
            let outcome = if alarm == Alarm::AmountDiffers {
                NotificationOutcome::Mismatch
            } else {
                NotificationOutcome::Contradicts
            };
            let moved = Move {
                item: found.stored.item.clone(),
                due: due_after_alarm(&found, said),
                reason: Some(reason.clone()),
                alarm: Some(alarm),
            };
            let told = tell_once(turn, &found, &moved, said).await?;
            (
                if told {
                    outcome
                } else {
                    NotificationOutcome::NothingNew
                },
                Some(reason),
                None,
            )
        }
        Follows::Believe => {
            let moved = decide(
                &found.stored,
                &Event::Answered(said.answer.clone()),
                &found.policy,
                said.now,
            )?;
            #[cfg(feature = "planted")]
            let moved = lowered(moved, said);
            let stays = moved.item.state == found.stored.item.state;
            let moved = if moved.alarm.is_some() {
                Move {
                    reason: Some(reason(said)),
                    ..moved
                }
            } else {
                moved
            };
            let told = tell_once(turn, &found, &moved, said).await?;
            let outcome = match (stays, told) {
                (false, _) => NotificationOutcome::Applied,
                (true, true) => NotificationOutcome::Contradicts,
                (true, false) => NotificationOutcome::NothingNew,
            };
            (outcome, moved.reason, None)
        }
    };
    let ending = Ending {
        outcome,
        detail: detail.as_deref(),
        item_id: Some(said.item_id),
        due,
    };
    end(turn, said.notification, &ending).await?;
    Ok(outcome)
}

/// Pure: the rules of the file's head.
fn follows(found: &Found, said: &NotificationClaim) -> Follows {
    let stored = &found.stored;
    let in_use = said.order_no == stored.order_no;
    let state = stored.item.state;
    if is(Mutation::NotificationLowersState)
        && matches!(said.answer, Answer::Accepted | Answer::Declined(_))
    {
        return Follows::Believe;
    }
    match (&said.answer, state) {
        (_, State::Rejected | State::Skipped) => Follows::Nothing,
        (_, State::Sending) => Follows::Wait,
        (
            Answer::Unknown {
                cause: Cause::Mismatch,
                ..
            },
            _,
        ) => Follows::Alarm(
            Alarm::AmountDiffers,
            format!("a notification of {}: {}", said.order_no, said.differs),
        ),
        (Answer::Done(receipt), State::Succeeded)
            if stored.item.receipt.as_ref() == Some(receipt) =>
        {
            Follows::Nothing
        }
        (
            Answer::Done(_),
            State::Held | State::Planned | State::Succeeded | State::Failed | State::Cancelled,
        ) => Follows::Believe,
        (Answer::Done(_), State::Pending | State::Unknown | State::Parked) if in_use => {
            Follows::Believe
        }
        (Answer::Done(_), State::Pending | State::Unknown | State::Parked) => Follows::Alarm(
            Alarm::MoneyMoved,
            format!("{}, an earlier order number of the item", reason(said)),
        ),
        (Answer::Declined(_), State::Succeeded) if in_use => Follows::Believe,
        (_, State::Pending | State::Unknown) if in_use && found.claimed => Follows::Wait,
        (_, State::Pending | State::Unknown) if in_use => Follows::Ask,
        (
            Answer::Accepted
            | Answer::Declined(_)
            | Answer::NotProcessed { .. }
            | Answer::Absent
            | Answer::Unknown { .. },
            State::Held
            | State::Planned
            | State::Pending
            | State::Unknown
            | State::Succeeded
            | State::Failed
            | State::Cancelled
            | State::Parked,
        ) => Follows::Nothing,
    }
}

async fn find(turn: &mut WriteTx, item_id: i64) -> Result<Found, LedgerError> {
    let query = "select i.*, j.policy, (select max(a.ended_at) from attempts as a where a.item_id = i.id) as last_call \
                   from items as i join jobs as j on j.id = i.job_id where i.id = $1";
    let row = sqlx::query(query)
        .bind(item_id)
        .fetch_one(turn.connection())
        .await
        .map_err(failed)?;
    let instant = |row: &AnyRow, name: &str| {
        row.try_get::<Option<i64>, _>(name)
            .map_err(failed)
            .map(|at| at.map(Timestamp::from_millis))
    };
    Ok(Found {
        stored: ItemRecord::read(&row)?,
        policy: policy_of(&row, item_id)?,
        due: instant(&row, "due_at")?,
        claimed: row
            .try_get::<Option<i64>, _>("node")
            .map_err(failed)?
            .is_some(),
        last_call: instant(&row, "last_call")?,
    })
}

/// When the order may be asked about: at once, but not sooner after a call than the gateway wants.
fn asked_at(found: &Found, said: &NotificationClaim) -> Timestamp {
    found.last_call.map_or(said.now, |last| {
        last.plus(said.query_interval).max(said.now)
    })
}

/// What was about to be done is done at its time; what is open is asked about.
fn due_after_alarm(found: &Found, said: &NotificationClaim) -> Option<Timestamp> {
    match found.stored.item.state {
        State::Pending | State::Unknown => Some(asked_at(found, said)),
        State::Held
        | State::Planned
        | State::Sending
        | State::Succeeded
        | State::Failed
        | State::Cancelled
        | State::Parked
        | State::Rejected
        | State::Skipped => found.due,
    }
}

/// Has the item asked about. Not a move, so no event.
async fn ask(
    turn: &mut WriteTx,
    found: &Found,
    said: &NotificationClaim,
) -> Result<(), LedgerError> {
    let sooner = "update items set due_at = $2 where id = $1 and node is null and (due_at is null or due_at > $2)";
    let sooner = sqlx::query(sooner)
        .bind(said.item_id)
        .bind(asked_at(found, said).millis());
    sooner.execute(turn.connection()).await.map_err(failed)?;
    Ok(())
}

/// Writes a move; one that only raises an alarm is written once. Says whether it was written.
async fn tell_once(
    turn: &mut WriteTx,
    found: &Found,
    moved: &Move,
    said: &NotificationClaim,
) -> Result<bool, LedgerError> {
    let stored = &found.stored;
    if moved.item.state == stored.item.state {
        let Some(alarm) = moved.alarm else {
            return Ok(false);
        };
        let before = "select count(*) from events where item_id = $1 and event = 'notification' and alarm = $2 and detail = $3";
        let before = sqlx::query_scalar::<_, i64>(before)
            .bind(stored.id)
            .bind(alarm.as_str())
            .bind(moved.reason.clone());
        if before.fetch_one(turn.connection()).await.map_err(failed)? > 0 {
            return Ok(false);
        }
    }
    write(turn, stored, moved, said).await?;
    Ok(true)
}

async fn write(
    turn: &mut WriteTx,
    stored: &ItemRecord,
    moved: &Move,
    said: &NotificationClaim,
) -> Result<(), LedgerError> {
    let attempt = Attempt {
        operation: "notification".to_owned(),
        started_at: said.now,
        ended_at: said.now,
        answer: said.answer.as_str(),
        code: said.answer.code().to_owned(),
        http: None,
        evidence: said.evidence.clone(),
    };
    let succeeds = moved.item.state == State::Succeeded && stored.item.state != State::Succeeded;
    let result = succeeds
        .then(|| merged(stored.result.as_deref(), &said.facts))
        .flatten();
    let written = ItemChange {
        stored,
        event: "notification",
        moved,
        node: None,
        result: result.as_deref(),
        at: said.now,
    };
    let attempts = [attempt.line(stored.id, stored.version, &said.order_no, false)];
    write_told(turn, written, &attempts).await?;
    if stored.item.state == State::Held {
        void_of_job(turn, stored.job_id).await?;
    }
    Ok(())
}

/// What was known of the result, and what the notification adds.
fn merged(known: Option<&str>, facts: &Map<String, Value>) -> Option<String> {
    if facts.is_empty() {
        return None;
    }
    let mut result: Map<String, Value> = known
        .and_then(|known| serde_json::from_str(known).ok())
        .unwrap_or_default();
    result.extend(facts.clone());
    Some(Value::Object(result).to_string())
}

fn reason(said: &NotificationClaim) -> String {
    match &said.answer {
        Answer::Done(Receipt(receipt)) => format!(
            "money moved: a notification has {receipt} under {}",
            said.order_no
        ),
        Answer::Accepted
        | Answer::Declined(_)
        | Answer::NotProcessed { .. }
        | Answer::Absent
        | Answer::Unknown { .. } => {
            format!(
                "a notification of {} says: {} {}",
                said.order_no,
                said.answer.as_str(),
                said.answer.code()
            )
        }
    }
}

/// The fault: whatever a notification says is the state then.
#[cfg(feature = "planted")]
fn lowered(moved: Move, said: &NotificationClaim) -> Move {
    if !is(Mutation::NotificationLowersState) || moved.item.state != State::Succeeded {
        return moved;
    }
    match said.answer {
        Answer::Accepted | Answer::Declined(_) => {
            let item = payrun_domain::item::Item {
                state: State::Failed,
                ..moved.item.clone()
            };
            Move { item, ..moved }
        }
        Answer::Done(_) | Answer::NotProcessed { .. } | Answer::Absent | Answer::Unknown { .. } => {
            moved
        }
    }
}
