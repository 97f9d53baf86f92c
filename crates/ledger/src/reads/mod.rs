//! What is read for people, pages and metrics; nothing here decides about money. Every list has a
//! bound and goes on from a key, never from an offset.

pub(crate) mod exported_items;
pub(crate) mod integrity;
pub(crate) mod item;
pub(crate) mod item_history;
pub(crate) mod item_pages;
pub(crate) mod metrics_queries;
pub(crate) mod open_jobs;
pub(crate) mod payments_named_twice;
pub(crate) mod related_items;
pub(crate) mod run_completion;
pub(crate) mod run_sums;
pub(crate) mod run_totals;
pub(crate) mod runs;
pub(crate) mod unresolved_sums;
pub(crate) mod unsuccessful_lines;

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::db::stored_values;
use crate::error::LedgerError;

impl Ledger {
    async fn rows(
        &self,
        operation: &'static str,
        query: sqlx::query::Query<'_, sqlx::Any, sqlx::any::AnyArguments>,
    ) -> Result<Vec<AnyRow>, LedgerError> {
        query
            .fetch_all(&self.read)
            .await
            .map_err(|source| LedgerError::of(operation, source))
    }
}

fn unsigned(row: &AnyRow, column: usize, operation: &'static str) -> Result<u64, LedgerError> {
    let number: i64 = row
        .try_get(column)
        .map_err(|source| LedgerError::of(operation, source))?;
    stored_values::count(number, operation)
}
