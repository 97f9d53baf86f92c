//! Applies what a notification says of an item, as the table of evidence decides
//! ([`payrun_domain::evidence`]). Move, event, attempt, totals and what became of the notification
//! go down in one commit.

use std::time::Duration;

use serde_json::{Map, Value, json};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::approvals::votes::void_stale_approval;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::gateway_numbers::GatewayNumber;
use crate::items::item_rows::{ItemChange, ItemRecord, policy_of};
use crate::items::settle::Attempt;
use crate::items::state_machine::follow;
use crate::items::statement_line::write_evidence;
use crate::notifications::notification_queue::{NotificationEnd, NotificationOutcome, end};
use payrun_domain::answer::{Answer, Cause, Receipt};
use payrun_domain::evidence::{Consequence, Evidence, EvidenceSource};
use payrun_domain::history::{AttemptKind, EventKind};
use payrun_domain::ids::{KeyHash, OrderNumber};
use payrun_domain::item::{Move, State};
use payrun_domain::money::Amount;
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
    /// The amount that it names; none if it names none that can be read.
    pub amount: Option<Amount>,
    /// What differs from ours, where the answer is a mismatch; else empty. For people.
    pub differs: String,
    /// Facts worth keeping as the item's result.
    pub facts: Map<String, Value>,
    /// What was received, sensitive fields masked.
    pub evidence: String,
    /// The gateway's numbers that it tells.
    pub numbers: Vec<GatewayNumber>,
    /// How long one order is left alone between two questions.
    pub query_interval: Duration,
    /// When it is applied.
    pub now: Timestamp,
}

impl Ledger {
    /// Puts notifications to the state machine, all in one commit; what became of each.
    ///
    /// # Errors
    /// Whatever the database says; then nothing has changed.
    pub async fn apply_notifications(
        &self,
        all: &[NotificationClaim],
    ) -> Result<Vec<NotificationOutcome>, LedgerError> {
        let mut tx = self.begin_write(OPERATION).await?;
        let mut outcomes = Vec::with_capacity(all.len());
        for said in all {
            outcomes.push(apply_one(&mut tx, said).await?);
        }
        let makes_work = |outcome: &NotificationOutcome| {
            !matches!(
                outcome,
                NotificationOutcome::Open | NotificationOutcome::NoChange
            )
        };
        if outcomes.iter().any(makes_work) {
            tx.commit_and_tell().await?;
            self.woken.notify_waiters();
        } else {
            tx.commit().await?;
        }
        Ok(outcomes)
    }
}

const OPERATION: &str = "applying notifications";

fn failed(source: sqlx::Error) -> LedgerError {
    LedgerError::of(OPERATION, source)
}

/// An item's row, with what is needed beside the item.
struct NotifiedItem {
    stored: ItemRecord,
    policy: Policy,
    next_at: Option<Timestamp>,
    claimed: bool,
    last_call: Option<Timestamp>,
}

async fn apply_one(
    tx: &mut WriteTx,
    said: &NotificationClaim,
) -> Result<NotificationOutcome, LedgerError> {
    let found = find(tx, said.item_id).await?;
    let is_mismatch = matches!(
        said.answer,
        Answer::Unknown {
            cause: Cause::Mismatch,
            ..
        }
    );
    let news = Evidence {
        source: EvidenceSource::Notification,
        answer: &said.answer,
        is_in_use: said.order_no == found.stored.order_no,
        known: false,
        is_claimed: found.claimed,
        next_at: found.next_at,
        query_at: asked_at(&found, said),
        words: words(&found, said),
    };
    let (outcome, detail, next_at) = match follow(&found.stored, &news, &found.policy, said.now)? {
        Consequence::Ignore => (NotificationOutcome::NoChange, None, None),
        Consequence::Wait => {
            let waits = "waits for a call that is under way".to_owned();
            let again = said.now.plus(CALL_UNDER_WAY);
            (NotificationOutcome::Open, Some(waits), Some(again))
        }
        Consequence::QueryNow => {
            ask(tx, &found, said).await?;
            let says = said.answer.as_str().to_owned();
            (NotificationOutcome::Queried, Some(says), None)
        }
        Consequence::Move(moved) => {
            let stays = moved.item.state == found.stored.item.state;
            let told = tell_once(tx, &found, &moved, said).await?;
            let outcome = match (stays, told) {
                (true, true) if is_mismatch => NotificationOutcome::Mismatch,
                (true, true) => NotificationOutcome::Contradicts,
                (true, false) => NotificationOutcome::NoChange,
                (false, _) => NotificationOutcome::Applied,
            };
            (outcome, moved.reason.map(|reason| reason.to_string()), None)
        }
    };
    let ending = NotificationEnd {
        outcome,
        detail: detail.as_deref(),
        item_id: Some(said.item_id),
        next_at,
    };
    end(tx, said.notification, &ending).await?;
    Ok(outcome)
}

async fn find(tx: &mut WriteTx, item_id: i64) -> Result<NotifiedItem, LedgerError> {
    let query = "select i.*, j.policy, (select max(a.ended_at) from attempts as a where a.item_id = i.id) as last_call \
                   from items as i join jobs as j on j.id = i.job_id where i.id = $1";
    let row = sqlx::query(query)
        .bind(item_id)
        .fetch_one(tx.connection())
        .await
        .map_err(failed)?;
    let instant = |row: &AnyRow, name: &str| {
        row.try_get::<Option<i64>, _>(name)
            .map_err(failed)
            .map(|at| at.map(Timestamp::from_millis))
    };
    Ok(NotifiedItem {
        stored: ItemRecord::read(&row)?,
        policy: policy_of(&row)?,
        next_at: instant(&row, "next_at")?.or(instant(&row, "lease_until")?),
        claimed: row
            .try_get::<Option<i64>, _>("node")
            .map_err(failed)?
            .is_some(),
        last_call: instant(&row, "last_call")?,
    })
}

/// When the order may be asked about: at once, but not sooner after a call than the gateway wants.
fn asked_at(found: &NotifiedItem, said: &NotificationClaim) -> Timestamp {
    found.last_call.map_or(said.now, |last| {
        last.plus(said.query_interval).max(said.now)
    })
}

/// Has the item asked about. Not a move, so no event.
async fn ask(
    tx: &mut WriteTx,
    found: &NotifiedItem,
    said: &NotificationClaim,
) -> Result<(), LedgerError> {
    let sooner = "update items set next_at = $2 where id = $1 and node is null and (next_at is null or next_at > $2)";
    let sooner = sqlx::query(sooner)
        .bind(said.item_id)
        .bind(asked_at(found, said).millis());
    sooner.execute(tx.connection()).await.map_err(failed)?;
    Ok(())
}

/// What an alarm is about: the number, the receipt, the amount and what it says. The sentence beside
/// it is for people, and may change.
fn about(said: &NotificationClaim) -> KeyHash {
    let receipt = match &said.answer {
        Answer::Done(Receipt(receipt)) => Some(receipt),
        Answer::Accepted
        | Answer::Declined(_)
        | Answer::NotProcessed { .. }
        | Answer::Absent
        | Answer::Unknown { .. } => None,
    };
    let amount = said
        .amount
        .map(|amount| (amount.minor(), amount.currency().code()));
    let content = json!([said.answer.as_str(), said.answer.code(), receipt, amount]);
    KeyHash::of(said.order_no.as_str(), "alarm", &content.to_string())
}

/// Writes a move; one that only raises an alarm is written once. Says whether it was written.
async fn tell_once(
    tx: &mut WriteTx,
    found: &NotifiedItem,
    moved: &Move,
    said: &NotificationClaim,
) -> Result<bool, LedgerError> {
    let stored = &found.stored;
    if moved.item.state == stored.item.state {
        let Some(alarm) = moved.alarm else {
            return Ok(false);
        };
        let about = about(said).as_bytes().to_vec();
        let before = "select count(*) from events where item_id = $1 and event = 'notification' and alarm = $2 and alarm_about = $3";
        let before = sqlx::query_scalar::<_, i64>(before)
            .bind(stored.id)
            .bind(alarm.as_str())
            .bind(about.clone());
        if before.fetch_one(tx.connection()).await.map_err(failed)? > 0 {
            return Ok(false);
        }
        write(tx, stored, moved, said).await?;
        let note = "update events set alarm_about = $3 where item_id = $1 and version = $2";
        let note = sqlx::query(note)
            .bind(stored.id)
            .bind(stored.version + 1)
            .bind(about);
        note.execute(tx.connection()).await.map_err(failed)?;
        return Ok(true);
    }
    write(tx, stored, moved, said).await?;
    Ok(true)
}

async fn write(
    tx: &mut WriteTx,
    stored: &ItemRecord,
    moved: &Move,
    said: &NotificationClaim,
) -> Result<(), LedgerError> {
    let attempt = Attempt {
        kind: AttemptKind::Notification,
        operation: AttemptKind::Notification.as_str().to_owned(),
        started_at: said.now,
        ended_at: said.now,
        answer: said.answer.kind(),
        code: said.answer.code().to_owned(),
        http: None,
        evidence: said.evidence.clone(),
        numbers: said.numbers.clone(),
    };
    let succeeds = moved.item.state == State::Succeeded && stored.item.state != State::Succeeded;
    let result = succeeds
        .then(|| merged(stored, &said.facts))
        .transpose()?
        .flatten();
    let written = ItemChange {
        stored,
        event: EventKind::Notification,
        moved,
        lease: None,
        result: result.as_deref(),
        at: said.now,
    };
    let attempts = [attempt.line(stored.id, stored.version, &said.order_no, false)];
    write_evidence(tx, written, &attempts).await?;
    if stored.item.state == State::AwaitingApproval {
        void_stale_approval(tx, stored.job_id).await?;
    }
    Ok(())
}

/// What was known of the result, and what the notification adds.
fn merged(stored: &ItemRecord, facts: &Map<String, Value>) -> Result<Option<String>, LedgerError> {
    if facts.is_empty() {
        return Ok(None);
    }
    let mut result = stored.facts.clone();
    result.extend(facts.clone());
    Ok(Some(Value::Object(result).to_string()))
}

/// What it says, where that contradicts what was known.
fn words(found: &NotifiedItem, said: &NotificationClaim) -> String {
    let number = &said.order_no;
    match &said.answer {
        Answer::Unknown {
            cause: Cause::Mismatch,
            ..
        } => format!("a notification of {number}: {}", said.differs),
        Answer::Done(Receipt(receipt)) => {
            let is_in_use = *number == found.stored.order_no;
            let is_open = found.stored.item.state.is_in_flight();
            let earlier = if is_open && !is_in_use {
                ", an earlier order number of the item"
            } else {
                ""
            };
            format!("money moved: a notification has {receipt} under {number}{earlier}")
        }
        Answer::Accepted
        | Answer::Declined(_)
        | Answer::NotProcessed { .. }
        | Answer::Absent
        | Answer::Unknown { .. } => {
            let (answer, code) = (said.answer.as_str(), said.answer.code());
            format!("a notification of {number} says: {answer} {code}")
        }
    }
}
