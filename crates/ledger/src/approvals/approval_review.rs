//! What whoever approves a batch is shown of it: its rows by size, and what the ledger knows beside
//! them. Nothing here changes anything.

use crate::db::stored_values;
use std::cmp::Reverse;
use std::collections::HashMap;

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use crate::error::LedgerError;
use crate::items::item_rows::{amount_of, hex, list};
use crate::reads::item::{ItemRow, item_row};
use crate::refunds::payment::{COUNTS, PAYMENT_COLUMNS, Payment, fingerprint, payment_row};
use crate::{ApprovalRow, Ledger};
use payrun_domain::ids::{KeyHash, OrderNumber};
use payrun_domain::item::State;
use payrun_domain::money::Amount;

/// How many rows of each sort are named where two batches differ.
const NAMED: usize = 20;

/// The place of a row in a batch that is listed by currency, the largest amount first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowPlace {
    currency: String,
    /// Less for a larger amount.
    minor: Reverse<i64>,
    item: i64,
}

/// Earlier items that say the same of the same payment or contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepeatedItem {
    /// How many there are.
    pub times: u64,
    /// The latest of them.
    pub item: i64,
    /// Its run.
    pub run: i64,
    /// Its key.
    pub key: String,
    /// The word for its state.
    pub state: String,
}

/// An item that charged somebody under a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The item.
    pub item: i64,
    /// Its state.
    pub state: State,
    /// Its amount.
    pub amount: Option<Amount>,
    /// Its order number, as the gateway has it.
    pub order_no: Option<String>,
    /// The gateway's number of the charge, once it is known.
    pub transaction_id: Option<String>,
}

/// How a batch differs from the one of the same workflow and job before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchDifferences {
    /// The run of the earlier batch.
    pub run: i64,
    /// Keys that the earlier one had not.
    pub added: KeySample,
    /// Keys that this one has no more.
    pub removed: KeySample,
    /// Keys of which anything else changed.
    pub changed: KeySample,
    /// How many are as they were.
    pub same: u64,
}

/// How many there are, and the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySample {
    /// How many.
    pub count: u64,
    /// The first keys.
    pub keys: Vec<String>,
}

impl KeySample {
    fn add(&mut self, key: &str) {
        self.count += 1;
        if self.keys.len() < NAMED {
            self.keys.push(key.to_owned());
        }
    }
}

impl RowPlace {
    /// Where an item is.
    pub fn of(item: &ItemRow) -> Self {
        let currency = item
            .amount
            .map(|amount| amount.currency().code().to_owned())
            .unwrap_or_default();
        Self {
            currency,
            minor: Reverse(item.amount.map_or(-1, Amount::minor)),
            item: item.id,
        }
    }

    /// From the text it prints as.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let currency = parts.next().filter(|code| code.len() <= 3)?.to_owned();
        let minor = Reverse(parts.next()?.parse().ok()?);
        Some(Self {
            currency,
            minor,
            item: parts.next()?.parse().ok()?,
        })
    }
}

impl std::fmt::Display for RowPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.currency, self.minor.0, self.item)
    }
}

/// The rows of a job that became items, wherever they are now; `largest_rows.sql` and
/// `pairs_by_key.sql` repeat it.
const OF_JOB: &str = "j.id = $1 and i.id >= coalesce(j.first_item, 0) and i.id <= coalesce(j.last_item, 9223372036854775807) \
    and i.job_id = j.id and i.state not in ('rejected', 'skipped')";

/// The same key in another batch; `pairs_by_key.sql` repeats it.
const OTHER: &str = "b.key = i.key and b.job_id = $2 and b.state not in ('rejected', 'skipped')";

const OPERATION: &str = "reviewing a batch";

impl Ledger {
    /// Rows of a job by currency, the largest first, from behind one on.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn largest_rows(
        &self,
        job_id: i64,
        after: Option<&RowPlace>,
        limit: u32,
    ) -> Result<Vec<ItemRow>, LedgerError> {
        let query = sqlx::query(include_str!("largest_rows.sql"))
            .bind(job_id)
            .bind(after.map_or("", |place| place.currency.as_str()))
            .bind(after.map_or(i64::MAX, |place| place.minor.0))
            .bind(after.map_or(0, |place| place.item))
            .bind(i64::from(limit));
        self.reviewed(query).await?.iter().map(item_row).collect()
    }

    /// Which of these items of a job say the same of the same payment or contract as items of
    /// earlier batches that may have been, or may yet be carried out. `otherwise`: items, each with
    /// what says the same of it in another way.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn repeated(
        &self,
        job_id: i64,
        items: &[i64],
        otherwise: &[(i64, KeyHash)],
    ) -> Result<HashMap<i64, RepeatedItem>, LedgerError> {
        let own = items.iter().map(|id| (*id, None));
        let other = otherwise.iter().map(|(id, hash)| (*id, Some(hex(*hash))));
        let rows: Vec<ItemToRepeat> = own
            .chain(other)
            .map(|(id, content_hash)| ItemToRepeat { id, content_hash })
            .collect();
        let query = sqlx::query(REPEATED).bind(list(&rows)).bind(job_id);
        let of = |row: &AnyRow| {
            let repeated = RepeatedItem {
                times: stored_values::count(row.try_get(1).map_err(failed)?, OPERATION)?,
                item: row.try_get(2).map_err(failed)?,
                run: row.try_get(3).map_err(failed)?,
                key: row.try_get(4).map_err(failed)?,
                state: row.try_get(5).map_err(failed)?,
            };
            Ok((row.try_get(0).map_err(failed)?, repeated))
        };
        self.reviewed(query).await?.iter().map(of).collect()
    }

    /// The payments of an account with these numbers, ours or the gateway's, as they were looked
    /// up.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn payments_numbered(
        &self,
        account: KeyHash,
        numbers: &[&str],
    ) -> Result<Vec<Payment>, LedgerError> {
        let by = |number: &str| {
            // `cross join`: the list first, then what it names by an index.
            format!(
                "select {PAYMENT_COLUMNS} from json_each($2) as n cross join payments as p \
                 where p.account = $1 and p.{number} = n.atom"
            )
        };
        let query = format!("{} union {}", by("order_no"), by("transaction_id"));
        let query = sqlx::query(AssertSqlSafe(query))
            .bind(account.as_bytes().to_vec())
            .bind(list(numbers));
        self.reviewed(query)
            .await?
            .iter()
            .map(payment_row)
            .collect()
    }

    /// How much was given back of payments, or may have been, in minor units, and how often; by the
    /// gateway's number.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn taken_from(
        &self,
        account: KeyHash,
        transactions: &[&str],
    ) -> Result<HashMap<String, (i64, u64)>, LedgerError> {
        let rows: Vec<PaymentToSum<'_>> = transactions
            .iter()
            .map(|number| PaymentToSum {
                refunded_payment: hex(fingerprint(account, number)),
                transaction_id: number,
            })
            .collect();
        let query = include_str!("given_back.sql").replace("{counts}", COUNTS);
        let of = |row: &AnyRow| {
            // One whose amount is not there: what was given back together cannot be said then.
            if let Some(item) = row.try_get::<Option<i64>, _>(3).map_err(failed)? {
                return Err(LedgerError::corrupt("items", item, "amount"));
            }
            let times = stored_values::count(row.try_get(2).map_err(failed)?, OPERATION)?;
            let sum = row.try_get(1).map_err(failed)?;
            Ok((row.try_get(0).map_err(failed)?, (sum, times)))
        };
        let found = self
            .reviewed(sqlx::query(AssertSqlSafe(query)).bind(list(&rows)))
            .await?;
        found.iter().map(of).collect()
    }

    /// Our items of an account that charged somebody under these order numbers.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn charges(
        &self,
        account: &str,
        numbers: &[&str],
    ) -> Result<HashMap<String, Charge>, LedgerError> {
        let rows: Vec<ChargeNumber<'_>> = numbers
            .iter()
            .map(|number| ChargeNumber {
                number,
                key_hash: OrderNumber::parse(number)
                    .ok()
                    .and_then(|number| number.key_hash())
                    .map(hex),
            })
            .collect();
        let found = self
            .reviewed(sqlx::query(CHARGES).bind(list(&rows)).bind(account))
            .await?;
        found.iter().map(charge_row).collect()
    }

    /// Our items of an account that charged somebody, by the numbers that the gateway gave them.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn charges_by_transaction(
        &self,
        account: &str,
        transactions: &[&str],
    ) -> Result<HashMap<String, Charge>, LedgerError> {
        let query = sqlx::query(CHARGES_BY_TRANSACTION)
            .bind(list(transactions))
            .bind(account);
        self.reviewed(query).await?.iter().map(charge_row).collect()
    }

    /// How a batch differs from the one that was planned before it for the same workflow and job, and
    /// had items; none if there was none. `is_same`: whether the inputs of two items, each with its id, say the
    /// same.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn batch_differences(
        &self,
        approval: &ApprovalRow,
        is_same: impl Fn((i64, &str), (i64, &str)) -> Result<bool, LedgerError>,
    ) -> Result<Option<BatchDifferences>, LedgerError> {
        let before = include_str!("batch_before.sql");
        let query = sqlx::query(before)
            .bind(&approval.workflow)
            .bind(&approval.job)
            .bind(approval.run_id);
        let Some(row) = self.reviewed(query).await?.pop() else {
            return Ok(None);
        };
        let (before, run): (i64, i64) = (
            row.try_get(0).map_err(failed)?,
            row.try_get(1).map_err(failed)?,
        );
        let mut differences = BatchDifferences {
            run,
            added: self.only_in((approval.job_id, before), OTHER).await?,
            // Whatever this batch has of a key counts: also that it was done before.
            removed: self
                .only_in((before, approval.job_id), "b.key = i.key and b.job_id = $2")
                .await?,
            changed: KeySample::default(),
            same: 0,
        };
        let mut last = 0;
        loop {
            let query = sqlx::query(PAIRS)
                .bind(approval.job_id)
                .bind(before)
                .bind(last);
            let pairs = self.reviewed(query).await?;
            let Some(end) = pairs.last() else {
                return Ok(Some(differences));
            };
            last = end.try_get(0).map_err(failed)?;
            for pair in &pairs {
                let text = |place: usize| pair.try_get::<&str, _>(place).map_err(failed);
                let number = |place: usize| pair.try_get::<i64, _>(place).map_err(failed);
                if number(2)? == 1 && is_same((number(0)?, text(3)?), (number(5)?, text(4)?))? {
                    differences.same += 1;
                } else {
                    differences.changed.add(text(1)?);
                }
            }
        }
    }

    /// The keys of a job that another has not.
    async fn only_in(&self, (job, other): (i64, i64), has: &str) -> Result<KeySample, LedgerError> {
        // `cross join`: the job first, then its items by their ids.
        let from = format!(
            "from jobs as j cross join items as i where {OF_JOB} and not exists (select 1 from items as b where {has})"
        );
        let count = AssertSqlSafe(format!("select count(*) {from}"));
        let count: i64 = sqlx::query_scalar(count)
            .bind(job)
            .bind(other)
            .fetch_one(&self.read)
            .await
            .map_err(failed)?;
        let keys = AssertSqlSafe(format!("select i.key {from} order by i.id limit {NAMED}"));
        let keys = sqlx::query_scalar(keys)
            .bind(job)
            .bind(other)
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        Ok(KeySample {
            count: stored_values::count(count, OPERATION)?,
            keys,
        })
    }

    async fn reviewed<'q>(
        &self,
        query: sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>,
    ) -> Result<Vec<AnyRow>, LedgerError> {
        query.fetch_all(&self.read).await.map_err(failed)
    }
}

/// The rows of a job of which another has the key: whether key fields and amounts are equal, and
/// what both say.
const PAIRS: &str = include_str!("pairs_by_key.sql");

/// An item that may repeat others, as `repeated_rows.sql` reads it.
#[derive(Serialize)]
struct ItemToRepeat {
    id: i64,
    content_hash: Option<String>,
}

/// A number by which a charge is looked for, as `charges.sql` reads it.
#[derive(Serialize)]
struct ChargeNumber<'a> {
    number: &'a str,
    key_hash: Option<String>,
}

/// A payment of which is summed what was given back, as `given_back.sql` reads it.
#[derive(Serialize)]
struct PaymentToSum<'a> {
    refunded_payment: String,
    transaction_id: &'a str,
}

/// By what must be equal where a key is: the payment or contract, and the amount.
const REPEATED: &str = include_str!("repeated_rows.sql");

/// An item that charged, with the number by which it was looked for.
fn charge_row(row: &AnyRow) -> Result<(String, Charge), LedgerError> {
    let item: i64 = row.try_get("id").map_err(failed)?;
    let word: &str = row.try_get("state").map_err(failed)?;
    let state = stored_values::state(word, ("items", &item, "state"))?;
    let amount = amount_of(row, item)?;
    let (order_no, transaction_id) = (
        row.try_get("order_no").map_err(failed)?,
        row.try_get("receipt").map_err(failed)?,
    );
    Ok((
        row.try_get("number").map_err(failed)?,
        Charge {
            item,
            state,
            amount,
            order_no,
            transaction_id,
        },
    ))
}

const CHARGES: &str = include_str!("charges.sql");

// `cross join`: the list first, then what it names by an index.
const CHARGES_BY_TRANSACTION: &str = "\
    select n.atom as number, i.id, i.state, i.amount, i.currency, i.order_no, i.receipt from json_each($1) as n cross join items as i \
      join jobs as j on j.id = i.job_id \
      where i.receipt = n.atom and i.state = 'succeeded' and j.account = $2 and j.kind in ('deduct', 'pay')";

fn failed(source: sqlx::Error) -> LedgerError {
    LedgerError::of(OPERATION, source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{place, steps};

    #[tokio::test]
    async fn what_is_known_beside_a_batch_is_found_by_indexes() {
        place(
            &steps(REPEATED).await,
            "SEARCH o USING INDEX items_content_hash (<expr>=?",
        );
        let charges = steps(CHARGES).await;
        place(&charges, "SEARCH i USING INDEX items_key (key_hash=?)");
        place(
            &charges,
            "SEARCH i USING INDEX items_custom_order_no (custom_order_no=?)",
        );
        place(
            &steps(CHARGES_BY_TRANSACTION).await,
            "SEARCH i USING INDEX items_receipt (receipt=?)",
        );
        place(
            &steps(PAIRS).await,
            "SEARCH b USING INDEX items_by_key (key=?)",
        );
    }
}
