//! Settlement batches as they were last seen: one row each, by the gateway's id.

use serde_json::{Map, Value, json};
use sqlx::Row;

use crate::Ledger;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use payrun_domain::time::Timestamp;

/// A batch as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettlementRow {
    /// The gateway's id.
    pub batch_id: String,
    /// `SETTLED` or `UNSETTLE`.
    pub state: String,
    /// What the gateway says of it; money in minor units.
    pub facts: Map<String, Value>,
    /// When it was last seen.
    pub last_seen: Timestamp,
}

impl Ledger {
    /// Keeps batches; one that is there already is brought up to date, and never back from settled.
    ///
    /// # Errors
    /// Whatever the database says; then none was kept.
    pub async fn keep_settlements(
        &self,
        lane: &str,
        batches: &[Map<String, Value>],
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let text = |batch: &Map<String, Value>, name| {
            batch.get(name).and_then(Value::as_str).map(str::to_owned)
        };
        let row = |batch| {
            json!({
                "batch_id": text(batch, "batch_id"),
                "state": text(batch, "settle_state"),
                "facts": Value::Object(batch.clone()).to_string(),
            })
        };
        let rows: Vec<_> = batches.iter().map(row).collect();
        let mut tx = self.begin_write("keeping settlements").await?;
        sqlx::query(include_str!("keep_settlements.sql"))
            .bind(lane)
            .bind(list(&rows))
            .bind(now.millis())
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of("keeping settlements", source))?;
        tx.commit().await
    }

    /// The batches of a lane, by their ids, from behind one on.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn settlements(
        &self,
        lane: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<SettlementRow>, LedgerError> {
        let failed = |source| LedgerError::of("reading settlements", source);
        let query = "select batch_id, state, facts, last_seen from settlements where lane = $1 and batch_id > $2 \
                     order by batch_id limit $3";
        let rows = sqlx::query(query)
            .bind(lane)
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        rows.iter()
            .map(|row| {
                Ok(SettlementRow {
                    batch_id: row.try_get(0).map_err(failed)?,
                    state: row.try_get(1).map_err(failed)?,
                    facts: serde_json::from_str(row.try_get(2).map_err(failed)?).map_err(|_| {
                        let batch: String = row.try_get(0).unwrap_or_default();
                        LedgerError::corrupt("settlements", batch, "facts")
                    })?,
                    last_seen: Timestamp::from_millis(row.try_get(3).map_err(failed)?),
                })
            })
            .collect()
    }
}
