//! What whoever approves a batch has to know of it: its rows with every field that is not personal, what was paid and given back
//! before, what is certain to fail, what was in an earlier batch, and what differs from the batch before it.
//!
//! It is made of the ledger alone: nothing is asked of a gateway, and nothing is changed. The hash that is approved is of the rows,
//! as before.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::Engine;
use super::vault::sealed;
use crate::catalog::JobKind;
use crate::domain::ids::KeyHash;
use crate::domain::item::State;
use crate::domain::money::{Amount, decimal_text};
use crate::ledger::{ApprovalRow, BatchDifferences, Charge, ItemRow, LedgerError, Payment, Repeated, RowPlace};

/// How many rows of a batch are looked at for what fails and repeats: as many as one can have that has to be approved.
pub const CHECKED_MAX: u64 = super::plan::APPROVED_AT_ONCE;

/// How many rows are named that fail, and that repeat.
pub const NAMED: usize = 20;

/// How many rows are read at a time.
const PAGE: u32 = 2000;

/// A batch, as it is shown.
#[derive(Debug, Default)]
pub struct Review {
    /// Rows, by currency, the largest first.
    pub rows: Vec<ReviewedRow>,
    /// Where the next rows begin; none if there are no more.
    pub next: Option<RowPlace>,
    /// How many rows were looked at for what follows; none where rows behind a place were asked for.
    pub checked: u64,
    /// How many are certain to fail.
    pub failing: u64,
    /// The largest of them.
    pub first_failing: Vec<ReviewedRow>,
    /// How many say the same of the same payment or contract as an item of an earlier batch.
    pub repeating: u64,
    /// The largest of them.
    pub first_repeating: Vec<ReviewedRow>,
    /// How it differs from the batch before; none if there was none.
    pub differences: Option<BatchDifferences>,
}

/// A row of a batch, and what is known beside it.
#[derive(Debug, Clone)]
pub struct ReviewedRow {
    /// The row.
    pub item: ItemRow,
    /// Its fields without personal data.
    pub fields: Map<String, Value>,
    /// The payment that it takes from, where the ledger knows it.
    pub payment: Option<KnownPayment>,
    /// Why it is certain to fail.
    pub will_fail: Option<String>,
    /// Earlier items that say the same.
    pub repeated: Option<Repeated>,
}

/// What the ledger knows of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownPayment {
    /// What was paid.
    pub paid: Amount,
    /// What was given back, or may have been, in minor units.
    pub refunded: i64,
    /// By how many refunds.
    pub refunds: u64,
    /// Our item that charged it, where it has not been looked up yet.
    pub charged_by: Option<i64>,
}

impl KnownPayment {
    /// What was given back, as decimal text.
    pub fn refunded_text(&self) -> String {
        decimal_text(i128::from(self.refunded), self.paid.currency())
    }
}

impl Engine {
    /// Begins to review a batch.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn reviewing(&self, approval: &ApprovalRow) -> Result<Reviewing<'_>, LedgerError> {
        Reviewing::of(self, approval).await
    }
}

impl Review {
    fn count(&mut self, row: ReviewedRow) {
        self.checked += 1;
        self.failing += u64::from(row.will_fail.is_some());
        self.repeating += u64::from(row.repeated.is_some());
        if row.repeated.is_some() {
            keep_largest(&mut self.first_repeating, row.clone());
        }
        if row.will_fail.is_some() {
            keep_largest(&mut self.first_failing, row);
        }
    }
}

/// Keeps the first [`NAMED`] rows in the order in which rows are listed.
fn keep_largest(rows: &mut Vec<ReviewedRow>, row: ReviewedRow) {
    rows.push(row);
    rows.sort_by_cached_key(|row| RowPlace::of(&row.item));
    rows.truncate(NAMED);
}

/// A batch that is being reviewed.
#[derive(Clone)]
pub struct Reviewing<'a> {
    engine: &'a Engine,
    approval: ApprovalRow,
    kind: Option<&'a JobKind>,
    /// As the gateway tells accounts apart.
    account: String,
    /// Whether its rows take from payments.
    takes: bool,
    /// Minor units that rows take together from a payment, by the number by which they name it, where several do.
    together: HashMap<String, i64>,
}

impl<'a> Reviewing<'a> {
    async fn of(engine: &'a Engine, approval: &ApprovalRow) -> Result<Self, LedgerError> {
        let jobs = engine.ledger.jobs(approval.run_id).await?;
        let job = jobs.into_iter().find(|job| job.id == approval.job_id);
        let kind = job.as_ref().and_then(|job| engine.catalog.kinds.get(&job.kind)).map(std::convert::AsRef::as_ref);
        let lookups = kind.into_iter().flat_map(|kind| kind.gateways.values());
        let takes = lookups.filter_map(|gateway| gateway.payment.as_ref()).any(|payment| payment.takes);
        let account = job.and_then(|job| job.account).unwrap_or_default();
        let mut reviewing = Self { engine, approval: approval.clone(), kind, account, takes, together: HashMap::new() };
        reviewing.add_up().await?;
        Ok(reviewing)
    }

    /// `limit` rows from behind a place on. With the first ones comes what there is to say of all.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn review(&self, after: Option<&RowPlace>, limit: u32) -> Result<Review, LedgerError> {
        let (rows, next) = self.rows(after, limit).await?;
        let mut review = Review { rows, next, ..Review::default() };
        if after.is_some() {
            return Ok(review);
        }
        let compared = |input: &str| {
            let mut fields = fields(input, self.kind);
            fields.retain(|name, _| !self.is_of_run(name));
            fields
        };
        let is_same = |one: &str, other: &str| one == other || compared(one) == compared(other);
        review.differences = self.engine.ledger.batch_differences(&self.approval, is_same).await?;
        let mut last = 0;
        while review.checked < CHECKED_MAX {
            let items = self.page(last).await?;
            let Some(end) = items.last() else { break };
            last = end.id;
            self.reviewed(items).await?.into_iter().for_each(|row| review.count(row));
        }
        Ok(review)
    }

    /// Whether a field is, by default, of the run and not of the row.
    fn is_of_run(&self, name: &str) -> bool {
        let field = self.kind.and_then(|kind| kind.fields.iter().find(|field| field.name == name));
        field.and_then(|field| field.default.as_deref()).is_some_and(|default| default.contains("run."))
    }

    /// Rows in the order of their lines, from behind an item on.
    async fn page(&self, after: i64) -> Result<Vec<ItemRow>, LedgerError> {
        let states: Vec<State> =
            State::ALL.into_iter().filter(|state| !matches!(state, State::Rejected | State::Skipped)).collect();
        self.engine.ledger.items_of_job(self.approval.job_id, &states, after, PAGE).await
    }

    /// What rows take together from one payment.
    async fn add_up(&mut self) -> Result<(), LedgerError> {
        let (mut sums, mut rows, mut last) = (HashMap::<String, (i64, u32)>::new(), 0, 0);
        while self.takes && rows < CHECKED_MAX {
            let page = self.page(last).await?;
            let Some(end) = page.last() else { break };
            (last, rows) = (end.id, rows + page.len() as u64);
            for item in &page {
                let fields = fields(&item.input, self.kind);
                if let Some(number) = number(&fields, ORDER_NO).or_else(|| number(&fields, TRANSACTION)) {
                    let sum = sums.entry(number.to_owned()).or_default();
                    sum.0 = sum.0.saturating_add(item.amount.map_or(0, Amount::minor));
                    sum.1 += 1;
                }
            }
        }
        self.together =
            sums.into_iter().filter(|(_, (_, rows))| *rows > 1).map(|(number, (sum, _))| (number, sum)).collect();
        Ok(())
    }

    /// Rows from behind a place on, and where the next ones begin.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn rows(
        &self,
        after: Option<&RowPlace>,
        limit: u32,
    ) -> Result<(Vec<ReviewedRow>, Option<RowPlace>), LedgerError> {
        let items = self.engine.ledger.largest_rows(self.approval.job_id, after, limit).await?;
        let next = items.last().map(RowPlace::of).filter(|_| items.len() == limit as usize);
        Ok((self.reviewed(items).await?, next))
    }

    /// Items with what is known beside them.
    async fn reviewed(&self, items: Vec<ItemRow>) -> Result<Vec<ReviewedRow>, LedgerError> {
        let ids: Vec<i64> = items.iter().map(|item| item.id).collect();
        let mut repeated = self.engine.ledger.repeated(self.approval.job_id, &ids).await?;
        let mut rows: Vec<ReviewedRow> = items
            .into_iter()
            .map(|item| ReviewedRow {
                fields: fields(&item.input, self.kind),
                repeated: repeated.remove(&item.id),
                item,
                payment: None,
                will_fail: None,
            })
            .collect();
        if self.takes {
            self.find_payments(&mut rows).await?;
        }
        Ok(rows)
    }

    async fn find_payments(&self, rows: &mut [ReviewedRow]) -> Result<(), LedgerError> {
        let ledger = &self.engine.ledger;
        let account = KeyHash::of(&self.account, "payment", "");
        let given = |field| rows.iter().filter_map(move |row| number(&row.fields, field));
        let orders: Vec<&str> = given(ORDER_NO).collect();
        let numbers: Vec<&str> = orders.iter().copied().chain(given(TRANSACTION)).collect();
        let known = ledger.payments_numbered(account, &numbers).await?;
        let transactions: Vec<&str> = known.iter().map(|payment| payment.transaction_id.as_str()).collect();
        let taken = ledger.taken_from(account, &transactions).await?;
        let charges = ledger.charges(&self.account, &orders).await?;
        let by_number: HashMap<&str, &Payment> = known
            .iter()
            .flat_map(|payment| [(payment.order_no.as_str(), payment), (payment.transaction_id.as_str(), payment)])
            .collect();
        let found: Vec<_> = rows
            .iter()
            .map(|row| {
                let (order, transaction) = (number(&row.fields, ORDER_NO), number(&row.fields, TRANSACTION));
                let payment = transaction.or(order).and_then(|number| by_number.get(number).copied());
                let charge = order.and_then(|number| charges.get(number));
                let together = order.or(transaction).and_then(|number| self.together.get(number)).copied();
                (known_of(payment, charge, &taken), certain_failure(row, payment, charge, together, &taken))
            })
            .collect();
        for (row, (payment, will_fail)) in rows.iter_mut().zip(found) {
            (row.payment, row.will_fail) = (payment, will_fail);
        }
        Ok(())
    }
}

const ORDER_NO: &str = "out_trade_no";
const TRANSACTION: &str = "transaction_id";

/// The fields of an item's input that are not personal.
fn fields(input: &str, kind: Option<&JobKind>) -> Map<String, Value> {
    let input: Map<String, Value> = serde_json::from_str(input).unwrap_or_default();
    let is_open = |name: &str, value: &Value| {
        let known = kind.and_then(|kind| kind.fields.iter().find(|field| field.name == name));
        sealed(value).is_none() && known.is_some_and(|field| !field.sensitive)
    };
    input.into_iter().filter(|(name, value)| is_open(name, value)).collect()
}

fn number<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn known_of(
    payment: Option<&Payment>,
    charge: Option<&Charge>,
    taken: &HashMap<String, (i64, u64)>,
) -> Option<KnownPayment> {
    if let Some(payment) = payment {
        let (refunded, refunds) = taken.get(&payment.transaction_id).copied().unwrap_or_default();
        return Some(KnownPayment { paid: payment.amount, refunded, refunds, charged_by: None });
    }
    let charge = charge.filter(|charge| charge.state == State::Succeeded)?;
    Some(KnownPayment { paid: charge.amount?, refunded: 0, refunds: 0, charged_by: Some(charge.item) })
}

/// Why a refund cannot but fail, by what the ledger knows: the checks that are made before it is sent.
fn certain_failure(
    row: &ReviewedRow,
    payment: Option<&Payment>,
    charge: Option<&Charge>,
    together: Option<i64>,
    taken: &HashMap<String, (i64, u64)>,
) -> Option<String> {
    // What was sent counts among what was given back.
    let ours = row.item.amount.filter(|_| row.item.state == State::Held)?;
    if let Some(payment) = payment {
        let differs = |name, known: &str| number(&row.fields, name).is_some_and(|given| given != known);
        if differs(ORDER_NO, &payment.order_no) || differs(TRANSACTION, &payment.transaction_id) {
            let (order, transaction) = (&payment.order_no, &payment.transaction_id);
            return Some(format!("OTHER_PAYMENT: the payment {order} has the gateway's number {transaction}"));
        }
        if let Some(other) = payment.other {
            return Some(format!("TWO_AMOUNTS_PAID: the gateway said {} and {other}", payment.amount));
        }
        if number(&row.fields, "paid").is_some_and(|paid| paid != payment.amount.decimal()) {
            return Some(format!("OTHER_AMOUNT_PAID: {} was paid", payment.amount));
        }
    } else if let Some(charge) = charge.filter(|charge| matches!(charge.state, State::Failed | State::Cancelled)) {
        return Some(format!("NOT_PAID: our item {} of that number is {}", charge.item, charge.state.word()));
    }
    let known = known_of(payment, charge, taken)?;
    if known.paid.currency() != ours.currency() {
        return Some(format!("OTHER_CURRENCY: {} was paid", known.paid));
    }
    let left = known.paid.minor() - known.refunded;
    let rest =
        if known.refunds == 0 { String::new() } else { format!(", of which {} was given back", known.refunded_text()) };
    if ours.minor() > left {
        return Some(format!("EXCEEDS_PAYMENT: {} was paid{rest}", known.paid));
    }
    let together = together.filter(|sum| *sum > left)?;
    let sum = decimal_text(i128::from(together), ours.currency());
    Some(format!(
        "EXCEEDS_PAYMENT: {} was paid{rest}; the rows of this batch take {sum} of it together, so not all fit",
        known.paid
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;

    #[test]
    fn personal_data_is_not_among_the_fields_sealed_or_not() {
        let catalog = Catalog::built_in();
        let input =
            r#"{"out_trade_no":"O-1","cert_id":"110101199003074530","name":{"sealed":"AAAA"},"unheard_of":"x"}"#;
        let shown = fields(input, catalog.kinds.get("declare").map(std::convert::AsRef::as_ref));
        assert_eq!(Value::Object(shown).to_string(), r#"{"out_trade_no":"O-1"}"#);
        assert!(fields(input, None).is_empty());
    }
}
