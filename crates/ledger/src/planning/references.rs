//! References of the payer that items are found by (`searchable:` of a workflow), written with the
//! items; and the key that the personal ones are hashed under, which is sealed here.

use serde::Serialize;
use sqlx::AnyConnection;

use crate::Ledger;
use crate::error::LedgerError;
use crate::items::item_rows::{hex, list};
use crate::planning::planned_items::NewItem;
use payrun_domain::ids::OrderNumber;
use payrun_domain::text::searchable;

/// By what an item is found. It prints no text.
#[derive(Clone, PartialEq, Eq)]
pub struct ItemReference {
    /// The column of the row.
    pub column: String,
    /// The value folded, or the keyed hash of that.
    pub text: String,
    /// Whether it is a hash.
    pub hashed: bool,
}

impl std::fmt::Debug for ItemReference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ItemReference")
            .field("column", &self.column)
            .field("hashed", &self.hashed)
            .finish_non_exhaustive()
    }
}

/// A new row of `item_references`, as `planning/keep_references.sql` reads it.
#[derive(Debug, Serialize)]
struct ReferenceLine<'a> {
    key_hash: String,
    name: &'a str,
    hashed: u8,
    text: &'a str,
}

const KEEP: &str = include_str!("keep_references.sql");

/// Keeps the references of those of these items that were planned behind an id.
pub(crate) async fn keep_references(
    connection: &mut AnyConnection,
    job_id: i64,
    items: &[&NewItem],
    behind: i64,
) -> Result<(), LedgerError> {
    let lines: Vec<_> = items
        .iter()
        .flat_map(|item| {
            item.references.iter().map(|reference| ReferenceLine {
                key_hash: hex(item.key_hash),
                name: &reference.column,
                hashed: u8::from(reference.hashed),
                text: &reference.text,
            })
        })
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let kept = sqlx::query(KEEP)
        .bind(list(&lines))
        .bind(job_id)
        .bind(behind)
        .execute(connection)
        .await;
    kept.map(|_| ())
        .map_err(|source| LedgerError::of("keeping what items are found by", source))
}

/// The name of the reference that is the order number of a row which was rejected.
pub const ROW_ORDER_NUMBER: &str = "order number";

/// By what a row is found that was rejected: what is kept of it, the order number that it gives, and
/// its references.
pub(crate) type RejectedNames<'a> = (i64, Option<&'a OrderNumber>, &'a [ItemReference]);

/// A new row of `item_references`, as `planning/keep_rejected_names.sql` reads it.
#[derive(Debug, Serialize)]
struct RejectedName<'a> {
    item_id: i64,
    name: &'a str,
    hashed: u8,
    text: String,
}

/// Keeps by what rows are found that were rejected.
pub(crate) async fn keep_names(
    connection: &mut AnyConnection,
    rows: &[RejectedNames<'_>],
) -> Result<(), LedgerError> {
    let mut names = Vec::new();
    for (item_id, number, references) in rows {
        let item_id = *item_id;
        names.extend(number.map(|number| RejectedName {
            item_id,
            name: ROW_ORDER_NUMBER,
            hashed: 0,
            text: searchable(number.as_str()),
        }));
        names.extend(references.iter().map(|reference| RejectedName {
            item_id,
            name: &reference.column,
            hashed: u8::from(reference.hashed),
            text: reference.text.clone(),
        }));
    }
    if names.is_empty() {
        return Ok(());
    }
    sqlx::query(include_str!("keep_rejected_names.sql"))
        .bind(list(&names))
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(|source| LedgerError::of("keeping what rejected rows are found by", source))
}

impl Ledger {
    /// The key that personal references are hashed under, sealed; none where none was ever needed.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn reference_key(&self) -> Result<Option<String>, LedgerError> {
        sqlx::query_scalar("select sealed from reference_key where id = 1")
            .fetch_optional(&self.read)
            .await
            .map_err(failed)
    }

    /// Keeps that key, unless there is one by now; says which there is then.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn keep_reference_key(&self, sealed: &str) -> Result<String, LedgerError> {
        let mut tx = self.begin_write(OPERATION).await?;
        let keep = "insert into reference_key (id, sealed) values (1, $1) on conflict do nothing";
        sqlx::query(keep)
            .bind(sealed.to_owned())
            .execute(tx.connection())
            .await
            .map_err(failed)?;
        let kept = sqlx::query_scalar("select sealed from reference_key where id = 1")
            .fetch_one(tx.connection())
            .await
            .map_err(failed)?;
        tx.commit().await?;
        Ok(kept)
    }
}

const OPERATION: &str = "keeping the key of references";

fn failed(source: sqlx::Error) -> LedgerError {
    LedgerError::of(OPERATION, source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{place, steps};

    #[tokio::test]
    async fn references_find_their_items_by_their_keys() {
        let steps = steps(KEEP).await;
        let list = place(&steps, "SCAN r VIRTUAL TABLE");
        assert!(
            list < place(
                &steps,
                "SEARCH i USING INDEX items_key (key_hash=? AND rowid>?)"
            ),
            "{steps:#?}"
        );
    }
}
