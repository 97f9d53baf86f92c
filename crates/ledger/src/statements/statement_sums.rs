//! What the lines of statements add up to. The database groups them; no line comes here.

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::db::stored_values;
use crate::error::LedgerError;
use crate::statements::statement_files::LineKind;
use payrun_domain::money::Currency;

const OPERATION: &str = "adding up statements";

/// The most sums of a lane: states and currencies are few.
const SUMS: i64 = 10_000;

const QUERY: &str = include_str!("statement_sums.sql");

/// Lines of one kind, state and currency. Sums are in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementSum {
    /// Payment or refund.
    pub kind: LineKind,
    /// The gateway's word for their state.
    pub state: String,
    /// What was paid or given back: how many lines, and how much.
    pub amounts: Option<(u64, i64, Currency)>,
    /// The gateway's fees.
    pub fees: Option<(u64, i64, Currency)>,
    /// What they do to what the gateway owes us.
    pub settled: Option<(u64, i64, Currency)>,
}

impl Ledger {
    /// What the payments and refunds of a lane's statements add up to, from one day to another, both
    /// included, as the gateway counts days: `YYYY-MM-DD`.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn statement_sums(
        &self,
        lane: &str,
        from: &str,
        to: &str,
    ) -> Result<Vec<StatementSum>, LedgerError> {
        let query = sqlx::query(QUERY).bind(lane).bind(from).bind(to).bind(SUMS);
        let rows = query.fetch_all(&self.read).await.map_err(failed)?;
        let read = |row: &AnyRow| {
            let word: &str = row.try_get(0).map_err(failed)?;
            let kind = LineKind::parse(word);
            Ok(StatementSum {
                kind: kind.ok_or_else(|| LedgerError::corrupt("statement_lines", lane, "kind"))?,
                state: row.try_get(1).map_err(failed)?,
                amounts: sum(row, lane, (2, 5))?,
                fees: sum(row, lane, (3, 7))?,
                settled: sum(row, lane, (4, 9))?,
            })
        };
        rows.iter().map(read).collect()
    }
}

fn failed(source: sqlx::Error) -> LedgerError {
    LedgerError::of(OPERATION, source)
}

/// A count and the sum behind it, in the currency of a column.
fn sum(
    row: &AnyRow,
    lane: &str,
    (currency, count): (usize, usize),
) -> Result<Option<(u64, i64, Currency)>, LedgerError> {
    let Some(code) = row.try_get::<Option<&str>, _>(currency).map_err(failed)? else {
        return Ok(None);
    };
    let known = Currency::parse(code)
        .map_err(|_| LedgerError::corrupt("statement_lines", lane, "currency"))?;
    let lines = stored_values::count(row.try_get(count).map_err(failed)?, OPERATION)?;
    Ok(Some((
        lines,
        row.try_get(count + 1).map_err(failed)?,
        known,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{place, steps};

    #[tokio::test]
    async fn statements_are_found_by_their_lane_and_day_and_lines_by_their_statement() {
        let steps = steps(QUERY).await;
        place(
            &steps,
            "SEARCH s USING INDEX sqlite_autoindex_statements_1 (lane=? AND day>? AND day<?)",
        );
        place(&steps, "SEARCH l USING PRIMARY KEY (statement_id=?)");
    }
}
