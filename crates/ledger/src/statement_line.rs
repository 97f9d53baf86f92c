//! A statement line as evidence: what it shows is put to the state machine like any other answer.
//!
//! Move, event, attempt and totals go down in one commit. Nothing is believed of an item that is
//! being sent at this moment: its own call will tell.

use sqlx::Row;

use super::Ledger;
use super::claim::decide;
use super::error::LedgerError;
use super::pauses::wake_contract;
use super::rows::{ItemChange, ItemRecord, policy_of, write_one};
use super::settle::{Attempt, AttemptLine};
use super::write_tx::WriteTx;
use payrun_domain::answer::{Answer, Receipt};
use payrun_domain::ids::OrderNumber;
use payrun_domain::item::{Alarm, Event, Move, State};
use payrun_domain::money::Amount;
use payrun_domain::time::Timestamp;

/// A line that shows that something happened.
#[derive(Debug, Clone)]
pub struct StatementEvidence {
    /// The day of the statement.
    pub day: String,
    /// The line of the file.
    pub line: u64,
    /// Our number, as the line has it.
    pub order_no: OrderNumber,
    /// The gateway's number for what it did.
    pub receipt: Receipt,
    /// How much.
    pub amount: Amount,
    /// When it is believed.
    pub now: Timestamp,
}

/// What became of the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvidenceOutcome {
    /// It was not known what happened; now the item has succeeded.
    Closed,
    /// It contradicts what was known: the alarm is written down, and what had not been sent again
    /// will not be.
    Contradicted,
    /// It changes nothing; the item is in this state.
    Unchanged(State),
}

impl Ledger {
    /// Puts a line's evidence to an item's state machine.
    ///
    /// # Errors
    /// Whatever the database says; then nothing has changed.
    pub async fn believe_line(
        &self,
        item_id: i64,
        shown: &StatementEvidence,
    ) -> Result<EvidenceOutcome, LedgerError> {
        let mut turn = self.turn("believing a statement").await?;
        let believed = believe(&mut turn, item_id, shown).await;
        match believed? {
            EvidenceOutcome::Unchanged(state) => {
                turn.rollback().await?;
                Ok(EvidenceOutcome::Unchanged(state))
            }
            believed @ (EvidenceOutcome::Closed | EvidenceOutcome::Contradicted) => {
                turn.commit_and_tell().await?;
                self.woken.notify_waiters();
                Ok(believed)
            }
        }
    }
}

async fn believe(
    turn: &mut WriteTx,
    item_id: i64,
    shown: &StatementEvidence,
) -> Result<EvidenceOutcome, LedgerError> {
    let failed = |source| LedgerError::of("believing a statement", source);
    let query = "select i.*, j.policy, (select count(*) from attempts as a where a.item_id = i.id \
                   and a.operation = 'statement') as told from items as i join jobs as j on j.id = i.job_id where i.id = $1";
    let row = sqlx::query(query)
        .bind(item_id)
        .fetch_one(turn.connection())
        .await
        .map_err(failed)?;
    let stored = ItemRecord::read(&row)?;
    let told = row.try_get::<i64, _>("told").map_err(failed)? > 0;
    if stored.amount != Some(shown.amount) || !counts(&stored, shown, told) {
        return Ok(EvidenceOutcome::Unchanged(stored.item.state));
    }
    if stored.item.state.is_in_flight() && stored.order_no != shown.order_no {
        let due = row
            .try_get::<Option<i64>, _>("due_at")
            .map_err(failed)?
            .map(Timestamp::from_millis);
        let (item, alarm) = (stored.item.clone(), Some(Alarm::MoneyMoved));
        write(
            turn,
            &stored,
            &Move {
                item,
                due,
                reason: Some(reason(shown)),
                alarm,
            },
            shown,
        )
        .await?;
        return Ok(EvidenceOutcome::Contradicted);
    }
    let done = Event::Answered(Answer::Done(shown.receipt.clone()));
    let moved = decide(&stored, &done, &policy_of(&row, stored.id)?, shown.now)?;
    let contradicts = moved.alarm.is_some();
    let moved = if contradicts {
        Move {
            reason: Some(reason(shown)),
            ..moved
        }
    } else {
        moved
    };
    write(turn, &stored, &moved, shown).await?;
    Ok(if contradicts {
        EvidenceOutcome::Contradicted
    } else {
        EvidenceOutcome::Closed
    })
}

/// Whether there is anything to believe: an open question about this very number, or money that
/// moved against what is known or under another number.
fn counts(stored: &ItemRecord, shown: &StatementEvidence, told: bool) -> bool {
    match stored.item.state {
        State::Unknown | State::Pending | State::Parked => {
            stored.order_no == shown.order_no || !told
        }
        // It would be sent, and charge twice.
        State::Planned | State::Held => true,
        // Once is enough: a statement may be reconciled any number of times.
        State::Failed | State::Cancelled => !told,
        State::Sending | State::Succeeded | State::Rejected | State::Skipped => false,
    }
}

async fn write(
    turn: &mut WriteTx,
    stored: &ItemRecord,
    moved: &Move,
    shown: &StatementEvidence,
) -> Result<(), LedgerError> {
    let attempt = Attempt {
        operation: "statement".to_owned(),
        started_at: shown.now,
        ended_at: shown.now,
        answer: Answer::Done(shown.receipt.clone()).as_str(),
        code: String::new(),
        http: None,
        evidence: format!(
            "the statement of {}, line {}: {}, {}",
            shown.day, shown.line, shown.amount, shown.receipt.0
        ),
    };
    let written = ItemChange {
        stored,
        event: "statement",
        moved,
        node: None,
        result: None,
        at: shown.now,
    };
    let attempts = [attempt.line(stored.id, stored.version, &shown.order_no, false)];
    write_told(turn, written, &attempts).await
}

/// Writes what was told of an item that nobody had asked about; what waits for the contract of one
/// that was parked looks again.
pub(super) async fn write_told(
    turn: &mut WriteTx,
    written: ItemChange<'_>,
    attempts: &[AttemptLine<'_>],
) -> Result<(), LedgerError> {
    let (stored, now) = (written.stored, written.at);
    write_one(turn, written, attempts).await?;
    match stored
        .serial
        .as_ref()
        .filter(|_| stored.item.state == State::Parked)
    {
        Some(serial) => wake_contract(turn, serial, now).await,
        None => Ok(()),
    }
}

fn reason(shown: &StatementEvidence) -> String {
    format!(
        "money moved: the statement of {}, line {}, has {} under {}",
        shown.day, shown.line, shown.amount, shown.order_no
    )
}
