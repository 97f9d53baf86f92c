//! What a bulk action changed, item by item: kept in the commit that changed it.

use serde_json::json;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::bulk_actions::BulkVerb;
use crate::items::item_rows::list;
use payrun_domain::time::Timestamp;

/// How many bulk actions of one item are read.
const MOST: i64 = 500;

/// A bulk action that changed an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkActionOfItem {
    /// Its number.
    pub bulk_action: i64,
    /// What was done.
    pub verb: BulkVerb,
    /// The item's version from then on.
    pub version: i64,
    /// When it was done to this item.
    pub at: Timestamp,
}

impl Ledger {
    /// The bulk actions that changed an item, oldest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn bulk_actions_of_item(
        &self,
        item_id: i64,
    ) -> Result<Vec<BulkActionOfItem>, LedgerError> {
        let failed = |source| LedgerError::of("reading the bulk actions of an item", source);
        let query = "select b.bulk_action, a.action, b.version, b.at from bulk_items as b \
                       join bulk_actions as a on a.id = b.bulk_action where b.item_id = $1 order by b.bulk_action limit $2";
        let rows = sqlx::query(query)
            .bind(item_id)
            .bind(MOST)
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        let of_item = |row: &AnyRow| {
            let bulk_action: i64 = row.try_get(0).map_err(failed)?;
            let verb: &str = row.try_get(1).map_err(failed)?;
            let corrupt = || LedgerError::corrupt("bulk_actions", bulk_action, "action");
            Ok(BulkActionOfItem {
                bulk_action,
                verb: BulkVerb::parse(verb).ok_or_else(corrupt)?,
                version: row.try_get(2).map_err(failed)?,
                at: Timestamp::from_millis(row.try_get(3).map_err(failed)?),
            })
        };
        rows.iter().map(of_item).collect()
    }
}

/// Keeps which items a bulk action changed, each with the version that it has since.
pub(super) async fn keep_items(
    tx: &mut WriteTx,
    bulk_action: i64,
    items: impl Iterator<Item = (i64, i64)>,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let items: Vec<_> = items
        .map(|(item, version)| json!({ "item": item, "version": version }))
        .collect();
    let insert = "insert into bulk_items (bulk_action, item_id, version, at) \
                  select $1, cast(value ->> 'item' as bigint), cast(value ->> 'version' as bigint), $3 from json_each($2)";
    let kept = sqlx::query(insert)
        .bind(bulk_action)
        .bind(list(&items))
        .bind(now.millis())
        .execute(tx.connection())
        .await;
    kept.map(|_| ())
        .map_err(|source| LedgerError::of("keeping what a bulk action changed", source))
}
