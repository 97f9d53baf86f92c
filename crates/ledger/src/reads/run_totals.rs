//! What a run adds up to: its totals, answers and moves, and what went wrong before with the keys
//! that it met again.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::unsigned;
use crate::Ledger;
use crate::db::stored_values::{self, total_currency};
use crate::error::LedgerError;
use crate::items::item_rows::list;
use payrun_domain::history::EventKind;
use payrun_domain::item::State;
use payrun_domain::money::Currency;

/// How many items of a state there are, and how much money they are, in one currency.
#[derive(Debug, Clone)]
pub struct Total {
    /// The job.
    pub job_id: i64,
    /// The state.
    pub state: State,
    /// The currency; none where items have no amount.
    pub currency: Option<Currency>,
    /// How many.
    pub items: u64,
    /// How much, in minor units.
    pub minor: i64,
}

impl Total {
    /// Its money, where it is any: what was never taken is counted, and in no sum.
    pub fn money(&self) -> Option<(Currency, i64)> {
        let is_taken = !State::NOT_TAKEN.contains(&self.state);
        let currency = self.currency.filter(|_| is_taken)?;
        Some((currency, self.minor))
    }
}

/// Items that failed or need review, and have keys that another run met again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierProblems {
    /// Their run.
    pub run_id: i64,
    /// Of which kind of job.
    pub kind: String,
    /// `failed` or `needs_review`.
    pub state: State,
    /// How many.
    pub items: u64,
}

impl Ledger {
    /// The totals of a run's jobs, as every commit keeps them.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn totals(&self, run_id: i64) -> Result<Vec<Total>, LedgerError> {
        // `cross join`: the run's jobs first, then the totals of each.
        let query = "select t.job_id, t.state, t.currency, t.items, t.minor from jobs as j \
                     cross join totals as t where t.job_id = j.id and j.run_id = $1 and t.items <> 0 limit 100000";
        self.rows("reading totals", sqlx::query(query).bind(run_id))
            .await?
            .iter()
            .map(total_row)
            .collect()
    }

    /// The totals of several runs at once, by their jobs.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn totals_of_runs(&self, runs: &[i64]) -> Result<Vec<Total>, LedgerError> {
        // `cross join`: the list first, then the jobs of each, then their totals.
        let query = "select t.job_id, t.state, t.currency, t.items, t.minor from json_each($1) as r cross join jobs as j \
                     cross join totals as t where j.run_id = cast(r.atom as bigint) and t.job_id = j.id and t.items <> 0 limit 1000000";
        self.rows("reading totals", sqlx::query(query).bind(list(runs)))
            .await?
            .iter()
            .map(total_row)
            .collect()
    }

    /// What did not go well of the items that have the keys of a run's skipped rows: in which run,
    /// and how many of them failed or need review. Of many skipped rows only the first 100,000 are
    /// looked at.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn problems_before(&self, run_id: i64) -> Result<Vec<EarlierProblems>, LedgerError> {
        const OPERATION: &str = "looking for items that have the keys of skipped rows";
        let failed = |source| LedgerError::of(OPERATION, source);
        let query = include_str!("earlier_problems.sql");
        let rows = self.rows(OPERATION, sqlx::query(query).bind(run_id));
        let read = |row: &AnyRow| {
            let state: &str = row.try_get(1).map_err(failed)?;
            let state = stored_values::state(state, ("items", &state, "state"))?;
            let items = stored_values::count(row.try_get(2).map_err(failed)?, OPERATION)?;
            let kind = row.try_get(3).map_err(failed)?;
            Ok(EarlierProblems {
                run_id: row.try_get(0).map_err(failed)?,
                kind,
                state,
                items,
            })
        };
        rows.await?.iter().map(read).collect()
    }

    /// How often each answer was given in a run, by word and code.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn answers(&self, run_id: i64) -> Result<Vec<(String, String, u64)>, LedgerError> {
        let operation = "counting answers";
        // `cross join`: the run's jobs first, then the items of each, then the attempts of each item.
        let query = "select a.answer, a.code, count(*) from jobs as j cross join items as i \
                     cross join attempts as a where i.job_id = j.id and a.item_id = i.id and j.run_id = $1 group by 1, 2 order by 3 desc limit 1000";
        let rows = self
            .rows(operation, sqlx::query(query).bind(run_id))
            .await?;
        let failed = |source| LedgerError::of(operation, source);
        rows.iter()
            .map(|row| {
                Ok((
                    row.try_get(0).map_err(failed)?,
                    row.try_get(1).map_err(failed)?,
                    unsigned(row, 2, operation)?,
                ))
            })
            .collect()
    }

    /// How many moves led from one state to another by one event in a run: `(event, from, to,
    /// moves)`.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn moves(
        &self,
        run_id: i64,
    ) -> Result<Vec<(EventKind, State, State, u64)>, LedgerError> {
        let operation = "counting moves";
        // `cross join`: the run's jobs first, then the items of each, then the events of each item.
        let query = "select e.event, e.from_state, e.to_state, count(*) from jobs as j cross join items as i \
                     cross join events as e where i.job_id = j.id and e.item_id = i.id and j.run_id = $1 group by 1, 2, 3 limit 1000";
        let rows = self
            .rows(operation, sqlx::query(query).bind(run_id))
            .await?;
        let event = |row: &AnyRow| {
            let word: &str = row
                .try_get(0)
                .map_err(|source| LedgerError::of(operation, source))?;
            EventKind::parse(word).ok_or_else(|| LedgerError::corrupt("events", word, "event"))
        };
        let state = |row: &AnyRow, column: usize, name: &'static str| {
            let word: &str = row
                .try_get(column)
                .map_err(|source| LedgerError::of(operation, source))?;
            stored_values::state(word, ("events", &word, name))
        };
        rows.iter()
            .map(|row| {
                Ok((
                    event(row)?,
                    state(row, 1, "from_state")?,
                    state(row, 2, "to_state")?,
                    unsigned(row, 3, operation)?,
                ))
            })
            .collect()
    }
}

fn total_row(row: &AnyRow) -> Result<Total, LedgerError> {
    let operation = "reading totals";
    let failed = |source| LedgerError::of(operation, source);
    let (word, code): (&str, &str) = (
        row.try_get("state").map_err(failed)?,
        row.try_get("currency").map_err(failed)?,
    );
    let job_id: i64 = row.try_get("job_id").map_err(failed)?;
    Ok(Total {
        job_id,
        state: stored_values::state(word, ("totals", &job_id, "state"))?,
        currency: total_currency(code, &job_id)?,
        items: unsigned(row, 3, operation)?,
        minor: row.try_get("minor").map_err(failed)?,
    })
}
