//! What whoever approves a batch has to know of it: its rows with every field that is not personal,
//! what was paid and given back before, what is certain to fail, what was in an earlier batch, and
//! what differs from the batch before it.
//!
//! It is made of the ledger alone: nothing is asked of a gateway, and nothing is changed. The hash
//! that is approved is of the rows, as before.

use std::collections::HashMap;
use std::fmt;

use serde_json::{Map, Value};

use crate::Engine;
use crate::vault::sealed;
use payrun_domain::ids::KeyHash;
use payrun_domain::item::State;
use payrun_domain::money::{Amount, decimal_text};
use payrun_domain::own_code::OwnCode;
use payrun_ledger::{
    ApprovalRow, BatchDifferences, Charge, ItemRow, LedgerError, Payment, RepeatedItem, RowPlace,
};
use payrun_project::job_kinds::{FieldKind, InputField, JobKind};

/// How many rows of a batch are looked at for what fails and repeats: as many as one can have that
/// has to be approved.
pub const CHECKED_MAX: u64 = crate::planning::APPROVED_AT_ONCE;

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
    /// How many rows were looked at for what follows; none where rows behind a place were asked
    /// for.
    pub checked: u64,
    /// How many are certain to fail, each by itself.
    pub failing: u64,
    /// The largest of them.
    pub first_failing: Vec<ReviewedRow>,
    /// How many more take, only together with others of the batch, too much of their payment.
    pub crowded: u64,
    /// The largest of them.
    pub first_crowded: Vec<ReviewedRow>,
    /// How many are of payments that the ledger does not know.
    pub of_unknown_payments: u64,
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
    /// Whether it takes from a payment of which the ledger knows nothing.
    pub of_unknown_payment: bool,
    /// Why it is certain to fail.
    pub will_fail: Option<ForeseenRefusal>,
    /// Why not all rows of its payment can be carried out, though it might be.
    pub crowded: Option<ForeseenRefusal>,
    /// Earlier items that say the same.
    pub repeated: Option<RepeatedItem>,
}

/// Why payrun would not send a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeseenRefusal {
    /// The code that its item would fail with.
    pub code: OwnCode,
    /// With what was compared, for people.
    pub words: String,
}

impl ForeseenRefusal {
    const fn of(code: OwnCode, words: String) -> Self {
        Self { code, words }
    }
}

impl fmt::Display for ForeseenRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.words)
    }
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

    /// What can still be given back, in minor units.
    const fn left(&self) -> i64 {
        self.paid.minor() - self.refunded
    }

    /// What was given back, as it follows what was paid.
    fn rest_text(&self) -> String {
        if self.refunds == 0 {
            String::new()
        } else {
            format!(", of which {} was given back", self.refunded_text())
        }
    }
}

impl Engine {
    /// Begins to review a batch.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn reviewing(&self, approval: &ApprovalRow) -> Result<BatchReview<'_>, LedgerError> {
        let mut reviewing = BatchReview::of(self, approval).await?;
        reviewing.add_up().await?;
        Ok(reviewing)
    }

    /// The same for rows one by one, at once however many there are: what rows take together from
    /// one payment is not known then.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn reviewing_each_row(
        &self,
        approval: &ApprovalRow,
    ) -> Result<BatchReview<'_>, LedgerError> {
        BatchReview::of(self, approval).await
    }
}

impl Review {
    fn count(&mut self, row: ReviewedRow) {
        self.checked += 1;
        self.failing += u64::from(row.will_fail.is_some());
        self.crowded += u64::from(row.crowded.is_some());
        self.of_unknown_payments += u64::from(row.of_unknown_payment);
        self.repeating += u64::from(row.repeated.is_some());
        if row.crowded.is_some() {
            keep_largest(&mut self.first_crowded, row.clone());
        }
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
pub struct BatchReview<'a> {
    engine: &'a Engine,
    approval: ApprovalRow,
    kind: Option<&'a JobKind>,
    /// The kind's name.
    kind_name: String,
    /// As the gateway tells accounts apart.
    account: String,
    /// Whether its rows take from payments.
    takes: bool,
    /// Minor units that rows take together from a payment, by its number, where several do.
    together: HashMap<String, i64>,
}

impl<'a> BatchReview<'a> {
    async fn of(engine: &'a Engine, approval: &ApprovalRow) -> Result<Self, LedgerError> {
        let jobs = engine.ledger.jobs(approval.run_id).await?;
        let job = jobs
            .into_iter()
            .find(|job| job.id == approval.job_id)
            .ok_or_else(|| LedgerError::Inconsistent {
                what: format!(
                    "approval {} is of job {}, which run {} has not",
                    approval.id, approval.job_id, approval.run_id
                ),
            })?;
        let kind = engine.job_kinds.by_name.get(&job.kind).map(AsRef::as_ref);
        let lookups = kind.into_iter().flat_map(|kind| kind.gateways.values());
        let takes = lookups
            .filter_map(|gateway| gateway.lookup.as_ref())
            .any(|payment| payment.reserves_amount);
        // Of an account that was not kept no payment is known, and that is what is said of it.
        let (kind_name, account) = (job.kind, job.account.unwrap_or_default());
        let (approval, together) = (approval.clone(), HashMap::new());
        Ok(Self {
            engine,
            approval,
            kind,
            kind_name,
            account,
            takes,
            together,
        })
    }

    /// `limit` rows from behind a place on. With the first ones comes what there is to say of all.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn review(
        &self,
        after: Option<&RowPlace>,
        limit: u32,
    ) -> Result<Review, LedgerError> {
        let (rows, next) = self.rows(after, limit).await?;
        let mut review = Review {
            rows,
            next,
            ..Review::default()
        };
        if after.is_some() {
            return Ok(review);
        }
        let compared = |(item, input): (i64, &str)| {
            let mut fields = fields(input, self.kind)
                .map_err(|_| LedgerError::corrupt("items", item, "input"))?;
            fields.retain(|name, _| !self.is_of_run(name));
            Ok(fields)
        };
        let is_same = |one: (i64, &str), other: (i64, &str)| {
            Ok(one.1 == other.1 || compared(one)? == compared(other)?)
        };
        review.differences = self
            .engine
            .ledger
            .batch_differences(&self.approval, is_same)
            .await?;
        let mut last = 0;
        while review.checked < CHECKED_MAX {
            let items = self.page(last).await?;
            let Some(end) = items.last() else { break };
            last = end.id;
            self.reviewed(items)
                .await?
                .into_iter()
                .for_each(|row| review.count(row));
        }
        Ok(review)
    }

    /// Whether a field is, by default, of the run and not of the row.
    fn is_of_run(&self, name: &str) -> bool {
        let field = self
            .kind
            .and_then(|kind| kind.fields.iter().find(|field| field.name == name));
        field
            .and_then(|field| field.default.as_deref())
            .is_some_and(|default| default.contains("run."))
    }

    /// Rows in the order of their lines, from behind an item on.
    async fn page(&self, after: i64) -> Result<Vec<ItemRow>, LedgerError> {
        let states: Vec<State> = State::ALL
            .into_iter()
            .filter(|state| !matches!(state, State::Rejected | State::Skipped))
            .collect();
        self.engine
            .ledger
            .items_of_job(self.approval.job_id, &states, after, PAGE)
            .await
    }

    fn fields_of(&self, item: &ItemRow) -> Result<Map<String, Value>, LedgerError> {
        fields(&item.input, self.kind).map_err(|_| LedgerError::corrupt("items", item.id, "input"))
    }

    /// What rows take together from one payment.
    async fn add_up(&mut self) -> Result<(), LedgerError> {
        let (mut sums, mut rows, mut last) = (HashMap::<String, (i64, u32)>::new(), 0, 0);
        while self.takes && rows < CHECKED_MAX {
            let page = self.page(last).await?;
            let Some(end) = page.last() else { break };
            (last, rows) = (end.id, rows + page.len() as u64);
            let fields: Vec<_> = page
                .iter()
                .map(|item| self.fields_of(item))
                .collect::<Result<_, _>>()?;
            let known = self.known(&fields).await?;
            for (item, fields) in page.iter().zip(&fields) {
                if let Some(number) = known.names(fields).number() {
                    let sum = sums.entry(number.to_owned()).or_default();
                    sum.0 = sum.0.saturating_add(item.amount.map_or(0, Amount::minor));
                    sum.1 += 1;
                }
            }
        }
        self.together = sums
            .into_iter()
            .filter(|(_, (_, rows))| *rows > 1)
            .map(|(number, (sum, _))| (number, sum))
            .collect();
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
        let items = self
            .engine
            .ledger
            .largest_rows(self.approval.job_id, after, limit)
            .await?;
        let next = items
            .last()
            .map(RowPlace::of)
            .filter(|_| items.len() == limit as usize);
        Ok((self.reviewed(items).await?, next))
    }

    /// Items with what is known beside them.
    async fn reviewed(&self, items: Vec<ItemRow>) -> Result<Vec<ReviewedRow>, LedgerError> {
        let ids: Vec<i64> = items.iter().map(|item| item.id).collect();
        let fields: Vec<_> = items
            .iter()
            .map(|item| self.fields_of(item))
            .collect::<Result<_, _>>()?;
        let known = if self.takes {
            self.known(&fields).await?
        } else {
            KnownPayments::default()
        };
        let of_row = |(item, fields)| self.named_otherwise(item, fields, &known);
        let otherwise: Vec<(i64, KeyHash)> = items.iter().zip(&fields).flat_map(of_row).collect();
        let mut repeated = self
            .engine
            .ledger
            .repeated(self.approval.job_id, &ids, &otherwise)
            .await?;
        let row = |(item, fields): (ItemRow, Map<String, Value>)| ReviewedRow {
            fields,
            repeated: repeated.remove(&item.id),
            item,
            payment: None,
            of_unknown_payment: false,
            will_fail: None,
            crowded: None,
        };
        let mut rows: Vec<ReviewedRow> = items.into_iter().zip(fields).map(row).collect();
        for row in rows.iter_mut().filter(|_| self.takes) {
            self.say_of_payment(row, &known);
        }
        Ok(rows)
    }

    /// What is known of the payments of these rows.
    async fn known(&self, rows: &[Map<String, Value>]) -> Result<KnownPayments, LedgerError> {
        let ledger = &self.engine.ledger;
        let account = KeyHash::of(&self.account, "payment", "");
        let given = |field| rows.iter().filter_map(move |fields| number(fields, field));
        let (orders, transactions): (Vec<&str>, Vec<&str>) =
            (given(ORDER_NO).collect(), given(TRANSACTION).collect());
        let numbers: Vec<&str> = orders.iter().chain(&transactions).copied().collect();
        let known = ledger.payments_numbered(account, &numbers).await?;
        let looked_up: Vec<&str> = known
            .iter()
            .map(|payment| payment.transaction_id.as_str())
            .collect();
        let taken = ledger.taken_from(account, &looked_up).await?;
        let charges = ledger.charges(&self.account, &orders).await?;
        let charges_by_transaction = ledger
            .charges_by_transaction(&self.account, &transactions)
            .await?;
        let by_number = |payment: &Payment| {
            [
                (payment.order_no.clone(), payment.clone()),
                (payment.transaction_id.clone(), payment.clone()),
            ]
        };
        let payments = known.iter().flat_map(by_number).collect();
        Ok(KnownPayments {
            payments,
            charges,
            charges_by_transaction,
            taken,
        })
    }

    /// What says the same of a row's payment by its other number, or by both: the row may be in an
    /// earlier batch so.
    fn named_otherwise(
        &self,
        item: &ItemRow,
        fields: &Map<String, Value>,
        known: &KnownPayments,
    ) -> Vec<(i64, KeyHash)> {
        let names = known.names(fields);
        let (Some(kind), Some(order), Some(transaction)) =
            (self.kind, names.order, names.transaction)
        else {
            return Vec::new();
        };
        let given = (
            number(fields, ORDER_NO).is_some(),
            number(fields, TRANSACTION).is_some(),
        );
        let ways = [(true, false), (false, true), (true, true)];
        let said = |(by_order, by_transaction): (bool, bool)| {
            let value = |field: &InputField| match (&field.kind, field.name.as_str()) {
                (FieldKind::Amount, _) => item.amount.map(Amount::decimal),
                (FieldKind::Currency, _) => item
                    .amount
                    .map(|amount| amount.currency().code().to_owned()),
                (_, ORDER_NO) => by_order.then(|| order.to_owned()),
                (_, TRANSACTION) => by_transaction.then(|| transaction.to_owned()),
                (_, name) => number(fields, name).map(str::to_owned),
            };
            // As planning puts it down: by name.
            let mut parts: Vec<&InputField> =
                kind.fields.iter().filter(|field| field.identity).collect();
            parts.sort_by(|one, other| one.name.cmp(&other.name));
            let parts: Vec<String> = parts
                .into_iter()
                .filter_map(|field| {
                    Some(format!(
                        "{}:{}",
                        Value::from(field.name.as_str()),
                        Value::from(value(field)?)
                    ))
                })
                .collect();
            (
                item.id,
                KeyHash::of(
                    &self.account,
                    &self.kind_name,
                    &format!("{{{}}}", parts.join(",")),
                ),
            )
        };
        ways.into_iter()
            .filter(|way| *way != given)
            .map(said)
            .collect()
    }

    /// What the ledger knows of a row's payment, and what follows from that.
    fn say_of_payment(&self, row: &mut ReviewedRow, known: &KnownPayments) {
        let (order, transaction) = (
            number(&row.fields, ORDER_NO),
            number(&row.fields, TRANSACTION),
        );
        let payment = transaction
            .or(order)
            .and_then(|number| known.payments.get(number));
        let charge = known.charge(&row.fields);
        let together = known
            .names(&row.fields)
            .number()
            .and_then(|number| self.together.get(number))
            .copied();
        let ours = row
            .item
            .amount
            .filter(|_| row.item.state == State::AwaitingApproval);
        let will_fail =
            ours.and_then(|ours| certain_failure(row, ours, payment, charge, &known.taken));
        let found = known_of(payment, charge, &known.taken);
        let crowded = ours.zip(found).filter(|_| will_fail.is_none());
        row.crowded = crowded.and_then(|(ours, found)| not_all_fit(ours, found, together?));
        row.of_unknown_payment = found.is_none() && payment.is_none() && charge.is_none();
        (row.payment, row.will_fail) = (found, will_fail);
    }
}

/// What the ledger knows of some payments.
#[derive(Debug, Default)]
struct KnownPayments {
    /// By either number.
    payments: HashMap<String, Payment>,
    /// Our items that charged, by order number.
    charges: HashMap<String, Charge>,
    /// The same by the gateway's number.
    charges_by_transaction: HashMap<String, Charge>,
    /// What was given back and how often, by the gateway's number.
    taken: HashMap<String, (i64, u64)>,
}

impl KnownPayments {
    /// Our item that charged what a row takes from, by either number that the row gives.
    fn charge(&self, fields: &Map<String, Value>) -> Option<&Charge> {
        let by_order = number(fields, ORDER_NO).and_then(|number| self.charges.get(number));
        by_order.or_else(|| {
            number(fields, TRANSACTION).and_then(|number| self.charges_by_transaction.get(number))
        })
    }

    /// The numbers of a row's payment: those that it gives, and what the ledger knows beside them.
    fn names<'a>(&'a self, fields: &'a Map<String, Value>) -> PaymentNumbers<'a> {
        let (order, transaction) = (number(fields, ORDER_NO), number(fields, TRANSACTION));
        let payment = transaction
            .or(order)
            .and_then(|number| self.payments.get(number));
        let charge = self.charge(fields);
        PaymentNumbers {
            order: order
                .or_else(|| payment.map(|payment| payment.order_no.as_str()))
                .or_else(|| charge.and_then(|charge| charge.order_no.as_deref())),
            transaction: transaction
                .or_else(|| payment.map(|payment| payment.transaction_id.as_str()))
                .or_else(|| charge.and_then(|charge| charge.transaction_id.as_deref())),
        }
    }
}

/// The two numbers of a payment, where they are known.
#[derive(Debug, Clone, Copy)]
struct PaymentNumbers<'a> {
    order: Option<&'a str>,
    transaction: Option<&'a str>,
}

impl<'a> PaymentNumbers<'a> {
    /// By which it is told from other payments.
    fn number(self) -> Option<&'a str> {
        self.transaction.or(self.order)
    }
}

const ORDER_NO: &str = "out_trade_no";
const TRANSACTION: &str = "transaction_id";

/// The fields of an item's input that are not personal.
fn fields(input: &str, kind: Option<&JobKind>) -> serde_json::Result<Map<String, Value>> {
    let input: Map<String, Value> = serde_json::from_str(input)?;
    let is_open = |name: &str, value: &Value| {
        let known = kind.and_then(|kind| kind.fields.iter().find(|field| field.name == name));
        sealed(value).is_none() && known.is_some_and(|field| !field.sensitive)
    };
    Ok(input
        .into_iter()
        .filter(|(name, value)| is_open(name, value))
        .collect())
}

fn number<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields
        .get(name)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

fn known_of(
    payment: Option<&Payment>,
    charge: Option<&Charge>,
    taken: &HashMap<String, (i64, u64)>,
) -> Option<KnownPayment> {
    if let Some(payment) = payment {
        let (refunded, refunds) = taken
            .get(&payment.transaction_id)
            .copied()
            .unwrap_or_default();
        return Some(KnownPayment {
            paid: payment.amount,
            refunded,
            refunds,
            charged_by: None,
        });
    }
    let charge = charge.filter(|charge| charge.state == State::Succeeded)?;
    Some(KnownPayment {
        paid: charge.amount?,
        refunded: 0,
        refunds: 0,
        charged_by: Some(charge.item),
    })
}

/// Why a refund cannot but fail, by what the ledger knows: the checks that are made before it is
/// sent.
fn certain_failure(
    row: &ReviewedRow,
    ours: Amount,
    payment: Option<&Payment>,
    charge: Option<&Charge>,
    taken: &HashMap<String, (i64, u64)>,
) -> Option<ForeseenRefusal> {
    if let Some(payment) = payment {
        let differs =
            |name, known: &str| number(&row.fields, name).is_some_and(|given| given != known);
        if differs(ORDER_NO, &payment.order_no) || differs(TRANSACTION, &payment.transaction_id) {
            let (order, transaction) = (&payment.order_no, &payment.transaction_id);
            let words = format!("the payment {order} has the gateway's number {transaction}");
            return Some(ForeseenRefusal::of(OwnCode::OtherPayment, words));
        }
        if let Some(other) = payment.other {
            let words = format!("the gateway said {} and {other}", payment.amount);
            return Some(ForeseenRefusal::of(OwnCode::TwoAmountsPaid, words));
        }
        if number(&row.fields, "paid").is_some_and(|paid| paid != payment.amount.decimal()) {
            let words = format!("{} was paid", payment.amount);
            return Some(ForeseenRefusal::of(OwnCode::OtherAmountPaid, words));
        }
    } else if let Some(charge) =
        charge.filter(|charge| matches!(charge.state, State::Failed | State::Cancelled))
    {
        let (item, became) = (charge.item, charge.state.predicate());
        let words = format!("our item {item} of that number {became}");
        return Some(ForeseenRefusal::of(OwnCode::NotPaid, words));
    }
    let known = known_of(payment, charge, taken)?;
    if known.paid.currency() != ours.currency() {
        let words = format!("{} was paid", known.paid);
        return Some(ForeseenRefusal::of(OwnCode::OtherCurrency, words));
    }
    (ours.minor() > known.left()).then(|| {
        let words = format!("{} was paid{}", known.paid, known.rest_text());
        ForeseenRefusal::of(OwnCode::ExceedsPayment, words)
    })
}

/// Why the rows of a payment cannot all be carried out, though each could be alone.
fn not_all_fit(ours: Amount, known: KnownPayment, together: i64) -> Option<ForeseenRefusal> {
    let sum = decimal_text(i128::from(together), ours.currency());
    (together > known.left()).then(|| {
        let words = format!(
            "{} was paid{}; the rows of this batch take {sum} of it together, so not all fit",
            known.paid,
            known.rest_text()
        );
        ForeseenRefusal::of(OwnCode::ExceedsPaymentTogether, words)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use payrun_project::job_kinds::JobKinds;

    #[test]
    fn personal_data_is_not_among_the_fields_sealed_or_not() {
        let job_kinds = JobKinds::built_in();
        let input = r#"{"out_trade_no":"O-1","cert_id":"110101199003074530","name":{"sealed":"AAAA"},"unheard_of":"x"}"#;
        let shown = fields(
            input,
            job_kinds
                .by_name
                .get("declare")
                .map(std::convert::AsRef::as_ref),
        );
        assert_eq!(
            Value::Object(shown.unwrap()).to_string(),
            r#"{"out_trade_no":"O-1"}"#
        );
        assert!(fields(input, None).unwrap().is_empty());
        assert!(fields("{", None).is_err());
    }
}
