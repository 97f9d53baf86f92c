//! The rows of a job's file that failed, by line, for a person who mends them; beside them those of
//! which it is not known yet what becomes of them, which nobody may give again.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::db::stored_values;
use crate::error::LedgerError;
use crate::planning::replacement::filed_again_as;
use payrun_domain::item::State;

/// An item of a row that failed, or has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsuccessfulLine {
    /// Its line in the file.
    pub line: u64,
    /// The id of the item.
    pub item: i64,
    /// Where it stands.
    pub state: State,
    /// Why, where the state alone does not say.
    pub reason: String,
    /// The gateway's code; empty where it gave none.
    pub code: String,
    /// The item that files it again with other content.
    pub filed_again_as: Option<i64>,
}

const LISTING: &str = "listing the failed rows of a job";
const COUNTING: &str = "counting the open rows of a job";

impl Ledger {
    /// The lines of a job's file whose items failed or have not ended, by line from behind a line and
    /// an item on: at most so many.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn unsuccessful_lines(
        &self,
        job_id: i64,
        after: (u64, i64),
        limit: u32,
    ) -> Result<Vec<UnsuccessfulLine>, LedgerError> {
        let query = sqlx::query(include_str!("unsuccessful_lines.sql"))
            .bind(job_id)
            .bind(i64::try_from(after.0).unwrap_or(i64::MAX))
            .bind(after.1)
            .bind(i64::from(limit));
        self.rows(LISTING, query).await?.iter().map(line).collect()
    }

    /// How many rows of a job have items that have not ended, by their state.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn open_lines(&self, job_id: i64) -> Result<BTreeMap<State, u64>, LedgerError> {
        let query = sqlx::query(include_str!("open_lines.sql")).bind(job_id);
        let failed = |source| LedgerError::of(COUNTING, source);
        let count = |row: &AnyRow| {
            let word: &str = row.try_get(0).map_err(failed)?;
            let rows = stored_values::count(row.try_get(1).map_err(failed)?, COUNTING)?;
            Ok((state(word, job_id)?, rows))
        };
        self.rows(COUNTING, query)
            .await?
            .iter()
            .map(count)
            .collect()
    }
}

fn line(row: &AnyRow) -> Result<UnsuccessfulLine, LedgerError> {
    let failed = |source| LedgerError::of(LISTING, source);
    let item: i64 = row.try_get("id").map_err(failed)?;
    let reason: Option<String> = row.try_get("reason").map_err(failed)?;
    let result: Option<&str> = row.try_get("result").map_err(failed)?;
    Ok(UnsuccessfulLine {
        line: stored_values::unsigned(
            row.try_get("line").map_err(failed)?,
            ("items", &item, "line"),
        )?,
        item,
        state: state(row.try_get("state").map_err(failed)?, item)?,
        reason: reason.unwrap_or_default(),
        code: row.try_get("code").map_err(failed)?,
        filed_again_as: filed_again_as(item, result)?,
    })
}

fn state(word: &str, id: i64) -> Result<State, LedgerError> {
    State::parse(word).ok_or_else(|| LedgerError::corrupt("items", id, "state"))
}
