//! What differences of earlier days are looked at again by: their lines, and their items.

use std::collections::HashMap;

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Row};

use super::DifferenceRow;
use crate::Ledger;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use crate::statements::reconcile::{BookedItem, COLUMNS, booked};
use crate::statements::statement_files::{StatementLine, line_row};
use payrun_domain::difference::DifferenceReason;

const OPERATION: &str = "looking at differences again";

fn failed(source: sqlx::Error) -> LedgerError {
    LedgerError::of(OPERATION, source)
}

impl Ledger {
    /// The statement lines of differences, by their numbers, where they are still as they were: a line
    /// whose statement has gone or was replaced is left out.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn lines_of_differences(
        &self,
        rows: &[&DifferenceRow],
    ) -> Result<HashMap<i64, StatementLine>, LedgerError> {
        let wanted: Vec<Value> = rows
            .iter()
            .filter_map(|row| {
                let line = row.difference.line?;
                let (id, lane, day) = (row.id, &row.lane, &row.difference.day);
                Some(json!({ "difference": id, "lane": lane, "day": day, "line": line }))
            })
            .collect();
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let query = include_str!("lines_of_differences.sql");
        let found = sqlx::query(query)
            .bind(list(&wanted))
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        let mut lines = HashMap::new();
        for line in &found {
            let id: i64 = line.try_get("difference_id").map_err(failed)?;
            lines.insert(
                id,
                line_row(line, line.try_get("statement_id").map_err(failed)?)?,
            );
        }
        lines.retain(|id, line| {
            let row = rows.iter().find(|row| row.id == *id);
            row.is_some_and(|row| is_same(row, line))
        });
        Ok(lines)
    }

    /// Items by their ids, as far as they are held against statement lines.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn booked_items(&self, ids: &[i64]) -> Result<Vec<BookedItem>, LedgerError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        // `cross join`: the list first, then what it names by an index.
        let query = format!(
            "select {COLUMNS} from json_each($1) as n cross join items as i cross join jobs as j \
             where i.id = cast(n.atom as bigint) and j.id = i.job_id order by i.id"
        );
        let rows = sqlx::query(AssertSqlSafe(query))
            .bind(list(ids))
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        rows.iter().map(booked).collect()
    }
}

/// Whether the line is the one that the difference was found at.
fn is_same(row: &DifferenceRow, line: &StatementLine) -> bool {
    let difference = &row.difference;
    difference.kind == line.kind
        && difference.order_no == line.order_no
        && difference.refund_no == line.refund_no
        && (difference.theirs == line.amount || difference.reason == DifferenceReason::Fee)
        && [&line.transaction_id, &line.refund_id].contains(&&difference.transaction_id)
}
