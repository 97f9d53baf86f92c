//! Applies what a statement line shows of an item, as the table of evidence decides
//! ([`payrun_domain::evidence`]). Move, event, attempt and totals go down in one commit.

use sqlx::Row;

use crate::Ledger;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::gateway_numbers::{GatewayNumber, RECEIPT};
use crate::items::item_rows::{ItemChange, ItemRecord, policy_of, write_change};
use crate::items::settle::{Attempt, AttemptLine};
use crate::items::state_machine::follow;
use crate::lanes::pauses::wake_contract;
use payrun_domain::answer::{Answer, AnswerKind, Cause, Receipt};
use payrun_domain::evidence::{Consequence, Evidence, EvidenceSource};
use payrun_domain::history::{AttemptKind, EventKind};
use payrun_domain::ids::OrderNumber;
use payrun_domain::item::{Move, State};
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
    /// When it is applied.
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

const OPERATION: &str = "applying a statement line";

impl Ledger {
    /// Applies what a line shows of an item.
    ///
    /// # Errors
    /// Whatever the database says; then nothing has changed.
    pub async fn apply_statement_line(
        &self,
        item_id: i64,
        shown: &StatementEvidence,
    ) -> Result<EvidenceOutcome, LedgerError> {
        let mut tx = self.begin_write(OPERATION).await?;
        match apply_line(&mut tx, item_id, shown).await? {
            EvidenceOutcome::Unchanged(state) => {
                tx.rollback().await?;
                Ok(EvidenceOutcome::Unchanged(state))
            }
            applied @ (EvidenceOutcome::Closed | EvidenceOutcome::Contradicted) => {
                tx.commit_and_tell().await?;
                self.woken.notify_waiters();
                Ok(applied)
            }
        }
    }
}

async fn apply_line(
    tx: &mut WriteTx,
    item_id: i64,
    shown: &StatementEvidence,
) -> Result<EvidenceOutcome, LedgerError> {
    let failed = |source| LedgerError::of(OPERATION, source);
    let query = "select i.*, j.policy, (select count(*) from attempts as a where a.item_id = i.id \
                   and a.kind = 'statement') as earlier from items as i join jobs as j on j.id = i.job_id where i.id = $1";
    let row = sqlx::query(query)
        .bind(item_id)
        .fetch_one(tx.connection())
        .await
        .map_err(failed)?;
    let stored = ItemRecord::read(&row)?;
    let answer = if stored.amount == Some(shown.amount) {
        Answer::Done(shown.receipt.clone())
    } else {
        Answer::from(Cause::Mismatch)
    };
    let instant = |column| row.try_get::<Option<i64>, _>(column).map_err(failed);
    let next_at = instant("next_at")?.or(instant("lease_until")?);
    let news = Evidence {
        source: EvidenceSource::StatementLine,
        answer: &answer,
        is_in_use: stored.order_no == shown.order_no,
        known: row.try_get::<i64, _>("earlier").map_err(failed)? > 0,
        is_claimed: false,
        next_at: next_at.map(Timestamp::from_millis),
        query_at: shown.now,
        words: words(shown),
    };
    match follow(&stored, &news, &policy_of(&row)?, shown.now)? {
        Consequence::Move(moved) => {
            write(tx, &stored, &moved, shown).await?;
            Ok(if moved.alarm.is_some() {
                EvidenceOutcome::Contradicted
            } else {
                EvidenceOutcome::Closed
            })
        }
        Consequence::QueryNow | Consequence::Wait | Consequence::Ignore => {
            Ok(EvidenceOutcome::Unchanged(stored.item.state))
        }
    }
}

async fn write(
    tx: &mut WriteTx,
    stored: &ItemRecord,
    moved: &Move,
    shown: &StatementEvidence,
) -> Result<(), LedgerError> {
    let attempt = Attempt {
        kind: AttemptKind::Statement,
        operation: AttemptKind::Statement.as_str().to_owned(),
        started_at: shown.now,
        ended_at: shown.now,
        answer: AnswerKind::Done,
        code: String::new(),
        http: None,
        evidence: format!(
            "the statement of {}, line {}: {}, {}",
            shown.day, shown.line, shown.amount, shown.receipt.0
        ),
        numbers: vec![GatewayNumber {
            name: RECEIPT.to_owned(),
            number: shown.receipt.0.clone(),
        }],
    };
    let written = ItemChange {
        stored,
        event: EventKind::Statement,
        moved,
        lease: None,
        result: None,
        at: shown.now,
    };
    let attempts = [attempt.line(stored.id, stored.version, &shown.order_no, false)];
    write_evidence(tx, written, &attempts).await
}

/// Writes what was told of an item that nobody had asked about; what waits for the contract of one
/// that needed review looks again.
pub(crate) async fn write_evidence(
    tx: &mut WriteTx,
    written: ItemChange<'_>,
    attempts: &[AttemptLine<'_>],
) -> Result<(), LedgerError> {
    let (stored, now) = (written.stored, written.at);
    write_change(tx, written, attempts).await?;
    match stored
        .exclusive_key
        .as_ref()
        .filter(|_| stored.item.state == State::NeedsReview)
    {
        Some(exclusive_key) => wake_contract(tx, exclusive_key, now).await,
        None => Ok(()),
    }
}

fn words(shown: &StatementEvidence) -> String {
    format!(
        "money moved: the statement of {}, line {}, has {} under {}",
        shown.day, shown.line, shown.amount, shown.order_no
    )
}
