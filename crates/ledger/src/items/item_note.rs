//! What persons note of an item, such as a call with the bank: it changes nothing, and stands in the
//! audit log.

use serde_json::json;

use crate::Ledger;
use crate::audit::{AuditRow, NewAuditEntry};
use crate::error::LedgerError;
use payrun_domain::actor::Authorization;
use payrun_domain::time::Timestamp;

const ACTION: &str = "item.note";

/// The most notes of an item that are read.
const MOST: u32 = 1_000;

impl Ledger {
    /// Keeps a person's note of an item: the reason. False if there is no such item.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn note_item(
        &self,
        item_id: i64,
        by: &Authorization,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let operation = "noting something of an item";
        let mut tx = self.begin_write(operation).await?;
        let known = sqlx::query("select 1 from items where id = $1")
            .bind(item_id)
            .fetch_optional(tx.connection())
            .await
            .map_err(|source| LedgerError::of(operation, source))?;
        if known.is_none() {
            tx.rollback().await?;
            return Ok(false);
        }
        tx.note(NewAuditEntry {
            by,
            action: ACTION,
            target: format!("item {item_id}"),
            before: json!({}),
            after: json!({}),
            at: now,
        })
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// What persons noted of an item, oldest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn notes_of_item(&self, item_id: i64) -> Result<Vec<AuditRow>, LedgerError> {
        let mut rows = self.audit_of(&format!("item {item_id}"), MOST).await?;
        rows.retain(|row| row.entry.action == ACTION);
        Ok(rows)
    }
}
