//! What the items of a run add up to beyond its totals: by the code that they failed with, and by
//! the time at which they were sent. The database groups them; no item comes here.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::unsigned;
use crate::Ledger;
use crate::db::stored_values::{self, total_currency};
use crate::error::LedgerError;
use payrun_domain::item::State;
use payrun_domain::money::Currency;
use payrun_domain::time::Timestamp;

/// The most codes of a run.
const CODES: i64 = 1_000;

/// In which steps the times of items are grouped. Every wall clock is a multiple of it from UTC, so
/// no step has two days.
const STEP: i64 = 15 * 60 * 1_000;

/// The most sums by time.
const SUMS: i64 = 200_000;

const FAILURES: &str = include_str!("failure_codes.sql");
const PACE: &str = include_str!("run_pace.sql");
const BY_TIME: &str = include_str!("time_sums.sql");

/// Failed items of one job with the same code and currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureSum {
    /// The job.
    pub job_id: i64,
    /// The code of the last answer that has one; empty where none has, or it is no longer kept.
    pub code: String,
    /// The currency; none where items have no amount.
    pub currency: Option<Currency>,
    /// How many.
    pub items: u64,
    /// How much, in minor units.
    pub minor: i64,
}

/// Items of one job, state and currency that were last sent within a quarter of an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeSum {
    /// The job.
    pub job_id: i64,
    /// The state.
    pub state: State,
    /// The currency; none where items have no amount.
    pub currency: Option<Currency>,
    /// The beginning of the quarter of an hour.
    pub at: Timestamp,
    /// How many.
    pub items: u64,
    /// How much, in minor units.
    pub minor: i64,
}

/// Steps of time of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSteps {
    /// When the first begins.
    pub from: Timestamp,
    /// How long each is, in milliseconds.
    pub millis: i64,
    /// How many there are.
    pub count: i64,
}

impl Ledger {
    /// How many items of a run were last sent in each step of time, by the step's place from 0;
    /// steps without any are left out.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn run_pace(
        &self,
        run_id: i64,
        steps: TimeSteps,
    ) -> Result<Vec<(u64, u64)>, LedgerError> {
        let operation = "counting what was sent by time";
        let query = sqlx::query(PACE)
            .bind(run_id)
            .bind(steps.from.millis())
            .bind(steps.millis.max(1))
            .bind(steps.count);
        let rows = self.rows(operation, query).await?;
        let step = |row: &AnyRow| Ok((unsigned(row, 0, operation)?, unsigned(row, 1, operation)?));
        rows.iter().map(step).collect()
    }

    /// The failed items of a run by the code that they failed with, the most frequent first; of very
    /// many codes the first thousand.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn failure_sums(&self, run_id: i64) -> Result<Vec<FailureSum>, LedgerError> {
        let operation = "counting failures";
        let failed = |source| LedgerError::of(operation, source);
        let query = sqlx::query(FAILURES).bind(run_id).bind(CODES);
        let read = |row: &AnyRow| {
            let job_id = row.try_get(0).map_err(failed)?;
            Ok(FailureSum {
                job_id,
                currency: total_currency(row.try_get(1).map_err(failed)?, &job_id)?,
                code: row.try_get(2).map_err(failed)?,
                items: unsigned(row, 3, operation)?,
                minor: row.try_get(4).map_err(failed)?,
            })
        };
        self.rows(operation, query)
            .await?
            .iter()
            .map(read)
            .collect()
    }

    /// The items of a run by the time at which they were last sent, oldest first. What was never
    /// sent counts when the run was planned.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn time_sums(&self, run_id: i64) -> Result<Vec<TimeSum>, LedgerError> {
        let operation = "adding up items by time";
        let failed = |source| LedgerError::of(operation, source);
        let query = sqlx::query(BY_TIME).bind(run_id).bind(STEP).bind(SUMS);
        let read = |row: &AnyRow| {
            let job_id = row.try_get(0).map_err(failed)?;
            let (state, code): (&str, &str) = (
                row.try_get(1).map_err(failed)?,
                row.try_get(2).map_err(failed)?,
            );
            let step: i64 = row.try_get(3).map_err(failed)?;
            Ok(TimeSum {
                job_id,
                state: stored_values::state(state, ("items", &job_id, "state"))?,
                currency: total_currency(code, &job_id)?,
                at: Timestamp::from_millis(step.saturating_mul(STEP)),
                items: unsigned(row, 4, operation)?,
                minor: row.try_get(5).map_err(failed)?,
            })
        };
        self.rows(operation, query)
            .await?
            .iter()
            .map(read)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{place, steps};

    #[tokio::test]
    async fn the_items_of_a_run_are_read_by_their_ids() {
        let failures = steps(FAILURES).await;
        place(
            &failures,
            "SEARCH i USING INDEX items_in_state (state=? AND id>? AND id<?)",
        );
        place(
            &failures,
            "SEARCH a USING INDEX sqlite_autoindex_attempts_1 (item_id=?)",
        );
        place(
            &steps(PACE).await,
            "SEARCH i USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        );
        let by_time = steps(BY_TIME).await;
        place(
            &by_time,
            "SEARCH i USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        );
    }
}
