//! How far the times of schedules have been noted. A time gets its row before anybody acts on it;
//! the row and the mark behind it go down in one commit, by compare-and-set, so that many processes
//! may note at once.

use serde_json::json;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use payrun_domain::occurrence::{LATE, OccurrenceState};
use payrun_domain::time::Timestamp;

/// A workflow's schedule as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRow {
    /// The workflow's name.
    pub workflow: String,
    /// The rule and its time zone, or the word of a [`ScheduleOff`].
    pub rule: String,
    /// Fingerprint of the calendars.
    pub calendar_hash: String,
    /// Times up to this instant are none of its.
    pub since: Timestamp,
    /// Times up to this instant have their rows.
    pub recorded_until: Timestamp,
}

/// Why a workflow has no times, as its row keeps it in place of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleOff {
    /// Its file has no schedule any more.
    NoSchedule,
    /// Its file says that the schedule is paused.
    Paused,
}

impl ScheduleOff {
    /// Every word.
    pub const ALL: [Self; 2] = [Self::NoSchedule, Self::Paused];

    /// As the ledger spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "none",
            Self::Paused => "paused",
        }
    }

    /// Of a row's rule; none where that is a rule.
    pub fn parse(rule: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|off| off.as_str() == rule)
    }
}

/// A time that gets its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOccurrence {
    /// The wall-clock time that the rule names.
    pub nominal: String,
    /// When it is due.
    pub at: Timestamp,
    /// The time zone of the wall clock.
    pub timezone: String,
    /// How it begins: due, or already decided.
    pub state: OccurrenceState,
    /// Why.
    pub reason: Option<String>,
}

/// What is noted of a schedule in one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleUpdate {
    /// The schedule as it was read; none if it has never been seen.
    pub before: Option<ScheduleRow>,
    /// The schedule as it is from now on.
    pub after: ScheduleRow,
    /// The times that get their rows.
    pub occurrences: Vec<NewOccurrence>,
    /// When.
    pub now: Timestamp,
}

const OPERATION: &str = "noting the times of a schedule";

impl Ledger {
    /// All schedules that have been seen, by workflow, from behind one on.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn schedules(
        &self,
        after: &str,
        limit: u32,
    ) -> Result<Vec<ScheduleRow>, LedgerError> {
        let failed = |source| LedgerError::of("reading schedules", source);
        let query = "select workflow, rule, calendar_hash, since, recorded_until from schedules where workflow > $1 \
                     order by workflow limit $2";
        let rows = sqlx::query(query)
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        rows.iter()
            .map(schedule_row)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    /// A workflow's schedule, if it has been seen.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn schedule(&self, workflow: &str) -> Result<Option<ScheduleRow>, LedgerError> {
        let failed = |source| LedgerError::of("reading a schedule", source);
        let query = "select workflow, rule, calendar_hash, since, recorded_until from schedules where workflow = $1";
        let row = sqlx::query(query)
            .bind(workflow)
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?;
        row.as_ref().map(schedule_row).transpose().map_err(failed)
    }

    /// When a workflow that has a schedule was last resumed by a person.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn resumed_at(&self, workflow: &str) -> Result<Option<Timestamp>, LedgerError> {
        let query = sqlx::query_scalar("select resumed_at from schedules where workflow = $1")
            .bind(workflow);
        let at: Option<Option<i64>> = query
            .fetch_optional(&self.read)
            .await
            .map_err(|source| LedgerError::of("reading a schedule", source))?;
        Ok(at.flatten().map(Timestamp::from_millis))
    }

    /// Notes times; false, and nothing is changed, if the schedule is no longer what was read.
    ///
    /// A time that has its row keeps it. Only where it was given up by a clock that was ahead of
    /// this one, it is due again.
    ///
    /// # Errors
    /// Whatever the database says; then nothing was noted.
    pub async fn note(&self, noting: &ScheduleUpdate) -> Result<bool, LedgerError> {
        let mut tx = self.begin_write(OPERATION).await?;
        if !mark(&mut tx, noting).await? {
            tx.rollback().await?;
            return Ok(false);
        }
        write(&mut tx, noting).await?;
        tx.commit().await?;
        Ok(true)
    }
}

async fn mark(tx: &mut WriteTx, noting: &ScheduleUpdate) -> Result<bool, LedgerError> {
    let after = &noting.after;
    let query = match &noting.before {
        None => sqlx::query(
            "insert into schedules (workflow, rule, calendar_hash, since, recorded_until) values ($1, $2, $3, $4, $5) \
             on conflict do nothing",
        ),
        Some(_) => sqlx::query(
            "update schedules set rule = $2, calendar_hash = $3, since = $4, recorded_until = $5 \
             where workflow = $1 and rule = $6 and calendar_hash = $7 and since = $8 and recorded_until = $9",
        ),
    };
    let query = query
        .bind(&after.workflow)
        .bind(&after.rule)
        .bind(&after.calendar_hash)
        .bind(after.since.millis())
        .bind(after.recorded_until.millis());
    let query = match &noting.before {
        None => query,
        Some(before) => query
            .bind(&before.rule)
            .bind(&before.calendar_hash)
            .bind(before.since.millis())
            .bind(before.recorded_until.millis()),
    };
    let done = query
        .execute(tx.connection())
        .await
        .map_err(|source| LedgerError::of(OPERATION, source))?;
    Ok(done.rows_affected() == 1)
}

async fn write(tx: &mut WriteTx, noting: &ScheduleUpdate) -> Result<(), LedgerError> {
    let row = |one: &NewOccurrence| {
        json!({
            "nominal": one.nominal,
            "at": one.at.millis(),
            "timezone": one.timezone,
            "state": one.state.as_str(),
            "reason": one.reason,
        })
    };
    let rows: Vec<_> = noting.occurrences.iter().map(row).collect();
    sqlx::query(include_str!("note_occurrences.sql"))
        .bind(&noting.after.workflow)
        .bind(list(&rows))
        .bind(noting.now.millis())
        .bind(i64::try_from(LATE.as_millis()).unwrap_or(i64::MAX))
        .execute(tx.connection())
        .await
        .map_err(|source| LedgerError::of(OPERATION, source))?;
    Ok(())
}

fn schedule_row(row: &AnyRow) -> Result<ScheduleRow, sqlx::Error> {
    Ok(ScheduleRow {
        workflow: row.try_get("workflow")?,
        rule: row.try_get("rule")?,
        calendar_hash: row.try_get("calendar_hash")?,
        since: Timestamp::from_millis(row.try_get("since")?),
        recorded_until: Timestamp::from_millis(row.try_get("recorded_until")?),
    })
}
