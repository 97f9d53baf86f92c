//! Items that belong together: a payment and the refunds that take from it, and the declarations of
//! one sub-order, of which a later one stands for those before it. Beside them the gateway's numbers
//! of items that are not their receipts.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::any::AnyRow;

use super::runs::JobRow;
use crate::Ledger;
use crate::error::LedgerError;
use crate::items::gateway_numbers::GatewayNumber;
use crate::items::item_rows::{hex, list};
use crate::reads::item::{ItemRow, item_row};
use crate::refunds::payment::fingerprint;
use payrun_domain::ids::KeyHash;

/// How many of each relation are told.
const MOST: i64 = 200;

/// What an item is to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// It gives back of what the other took.
    Refund,
    /// It said the same before the other did: the other stands for it.
    Replaced,
    /// It says the same after the other did, and stands for it.
    ReplacedBy,
}

/// An item that belongs to another one.
#[derive(Debug, Clone)]
pub struct RelatedItem {
    /// What it is to the other one.
    pub relation: Relation,
    /// The item.
    pub item: ItemRow,
    /// The kind of its job.
    pub kind: String,
}

// `cross join`: the list first, then what takes from each payment by its index.
const REFUNDS: &str = "select i.*, j.run_id, j.name as job, j.kind from json_each($1) as k cross join items as i cross join jobs as j \
    where i.refunded_payment = unhex(k.atom) and i.refunded_payment is not null and j.id = i.job_id order by i.id limit $2";

// `cross join`: the item first, then what is for the same part of the same whole, by its index.
const SAME_PART: &str = "select x.*, j.run_id, j.name as job, j.kind from items as i cross join items as x cross join jobs as j \
    where i.id = $1 and x.part_of = i.part_of and x.part_of is not null and x.part = i.part and x.id <> i.id and j.id = x.job_id \
    order by x.id limit $2";

// `cross join`: the list first, then the numbers of each by its id.
const NUMBERS: &str = "select g.item_id, g.name, g.number from json_each($1) as k cross join gateway_numbers as g \
    where g.item_id = cast(k.atom as bigint) order by g.item_id, g.name, g.number limit 10000";

impl Ledger {
    /// The refunds that take from what an item of this job took, and the other items for the same
    /// part of the same whole; oldest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn related_items(
        &self,
        item: &ItemRow,
        job: &JobRow,
    ) -> Result<Vec<RelatedItem>, LedgerError> {
        let mut related = Vec::new();
        for row in self.refunds_of(item, job).await? {
            related.push(read(&row, |_| Relation::Refund)?);
        }
        let query = sqlx::query(SAME_PART).bind(item.id).bind(MOST);
        for row in self.rows(OPERATION, query).await? {
            related.push(read(&row, |other| {
                if other < item.id {
                    Relation::Replaced
                } else {
                    Relation::ReplacedBy
                }
            })?);
        }
        Ok(related)
    }

    async fn refunds_of(&self, item: &ItemRow, job: &JobRow) -> Result<Vec<AnyRow>, LedgerError> {
        let Some(account) = &job.account else {
            return Ok(Vec::new());
        };
        let account = KeyHash::of(account, "payment", "");
        let looked_up = match &item.order_no {
            Some(number) => self.payment(account, Some(number), None).await?,
            None => None,
        };
        let theirs = looked_up.map(|payment| payment.transaction_id);
        let numbers = theirs.iter().chain(&item.receipt);
        let paid: Vec<String> = numbers
            .map(|number| hex(fingerprint(account, number)))
            .collect();
        if paid.is_empty() {
            return Ok(Vec::new());
        }
        let query = sqlx::query(REFUNDS).bind(list(&distinct(paid))).bind(MOST);
        self.rows(OPERATION, query).await
    }

    /// The gateway's numbers of these items that are not their receipts, by item.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn gateway_numbers(
        &self,
        items: &[i64],
    ) -> Result<BTreeMap<i64, Vec<GatewayNumber>>, LedgerError> {
        let operation = "reading the gateway's numbers of items";
        let failed = |source| LedgerError::of(operation, source);
        let mut numbers: BTreeMap<i64, Vec<GatewayNumber>> = BTreeMap::new();
        let query = sqlx::query(NUMBERS).bind(list(items));
        for row in self.rows(operation, query).await? {
            let number = GatewayNumber {
                name: row.try_get(1).map_err(failed)?,
                number: row.try_get(2).map_err(failed)?,
            };
            let item: i64 = row.try_get(0).map_err(failed)?;
            numbers.entry(item).or_default().push(number);
        }
        Ok(numbers)
    }
}

const OPERATION: &str = "looking for items that belong together";

fn distinct(mut all: Vec<String>) -> Vec<String> {
    all.sort_unstable();
    all.dedup();
    all
}

fn read(row: &AnyRow, relation: impl Fn(i64) -> Relation) -> Result<RelatedItem, LedgerError> {
    let item = item_row(row)?;
    Ok(RelatedItem {
        relation: relation(item.id),
        kind: row
            .try_get("kind")
            .map_err(|source| LedgerError::of(OPERATION, source))?,
        item,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{place, steps};

    #[tokio::test]
    async fn what_belongs_together_is_found_by_its_index() {
        place(
            &steps(REFUNDS).await,
            "SEARCH i USING INDEX items_refunded_payment (refunded_payment=?)",
        );
        place(
            &steps(SAME_PART).await,
            "SEARCH x USING INDEX items_part_of (part_of=? AND part=?)",
        );
        place(
            &steps(NUMBERS).await,
            "SEARCH g USING PRIMARY KEY (item_id=?)",
        );
    }
}
