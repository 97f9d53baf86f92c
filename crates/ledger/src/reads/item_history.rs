//! The history of an item: the calls made for it, and its moves.

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::LedgerError;
use crate::reads::item::told;
use payrun_domain::answer::AnswerKind;
use payrun_domain::history::{AttemptKind, EventKind};
use payrun_domain::message::Message;
use payrun_domain::time::Timestamp;

/// One call and its answer.
#[derive(Debug, Clone)]
pub struct AttemptRow {
    /// The item's version when it was claimed for this.
    pub version: i64,
    /// A call, or what was told without one.
    pub kind: AttemptKind,
    /// The gateway's operation; where there was no call, the kind.
    pub operation: String,
    /// The number it was about.
    pub order_no: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// The answer.
    pub answer: AnswerKind,
    /// The gateway's code, or the cause.
    pub code: String,
    /// The HTTP status.
    pub http: Option<u16>,
    /// Whether it came after the lease had run out, and changed nothing.
    pub late: bool,
    /// What was received.
    pub evidence: String,
}

/// One move.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// The item's version from then on.
    pub version: i64,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub event: EventKind,
    /// From which state.
    pub from: String,
    /// To which state.
    pub to: String,
    /// Why.
    pub detail: Option<Message>,
    /// What a person should hear of.
    pub alarm: Option<String>,
}

impl Ledger {
    /// The calls made for an item, oldest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn attempts(&self, item_id: i64) -> Result<Vec<AttemptRow>, LedgerError> {
        let query = "select * from attempts where item_id = $1 order by version, late limit 10000";
        self.rows("reading attempts", sqlx::query(query).bind(item_id))
            .await?
            .iter()
            .map(attempt_row)
            .collect()
    }

    /// The moves of an item, oldest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn events(&self, item_id: i64) -> Result<Vec<EventRow>, LedgerError> {
        let query = "select * from events where item_id = $1 order by version limit 10000";
        self.rows("reading events", sqlx::query(query).bind(item_id))
            .await?
            .iter()
            .map(event_row)
            .collect()
    }
}

fn attempt_row(row: &AnyRow) -> Result<AttemptRow, LedgerError> {
    let failed = |source| LedgerError::of("reading an attempt", source);
    let item_id: i64 = row.try_get("item_id").map_err(failed)?;
    let corrupt = |column| LedgerError::corrupt("attempts", item_id, column);
    let (kind, answer): (&str, &str) = (
        row.try_get("kind").map_err(failed)?,
        row.try_get("answer").map_err(failed)?,
    );
    Ok(AttemptRow {
        kind: AttemptKind::parse(kind).ok_or_else(|| corrupt("kind"))?,
        version: row.try_get("version").map_err(failed)?,
        operation: row.try_get("operation").map_err(failed)?,
        order_no: row.try_get("order_no").map_err(failed)?,
        started_at: row
            .try_get("started_at")
            .map(Timestamp::from_millis)
            .map_err(failed)?,
        ended_at: row
            .try_get("ended_at")
            .map(Timestamp::from_millis)
            .map_err(failed)?,
        answer: AnswerKind::parse(answer).ok_or_else(|| corrupt("answer"))?,
        code: row.try_get("code").map_err(failed)?,
        http: row
            .try_get::<Option<i64>, _>("http")
            .map_err(failed)?
            .map(|http| u16::try_from(http).map_err(|_| corrupt("http")))
            .transpose()?,
        late: row.try_get::<i64, _>("late").map_err(failed)? != 0,
        evidence: row.try_get("evidence").map_err(failed)?,
    })
}

fn event_row(row: &AnyRow) -> Result<EventRow, LedgerError> {
    let failed = |source| LedgerError::of("reading an event", source);
    let item_id: i64 = row.try_get("item_id").map_err(failed)?;
    let event: &str = row.try_get("event").map_err(failed)?;
    Ok(EventRow {
        version: row.try_get("version").map_err(failed)?,
        at: row
            .try_get("at")
            .map(Timestamp::from_millis)
            .map_err(failed)?,
        event: EventKind::parse(event)
            .ok_or_else(|| LedgerError::corrupt("events", item_id, "event"))?,
        from: row.try_get("from_state").map_err(failed)?,
        to: row.try_get("to_state").map_err(failed)?,
        detail: told(row, ["detail", "message"]).map_err(failed)?,
        alarm: row.try_get("alarm").map_err(failed)?,
    })
}
