//! Looking from statement lines to items and back: by order number, by the gateway's number of a
//! refund, by when it was sent.
//!
//! It only reads, a page at a time: every list it is asked with or gives back is as long as a page.
//! What a difference is, is not decided here.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use crate::Ledger;
use crate::error::LedgerError;
use crate::items::item_rows::{amount_of, hex, list, number_of};
use crate::refunds::payment::fingerprint;
use crate::statements::statement_files::LineKind;
use payrun_domain::ids::{KeyHash, OrderNumber};
use payrun_domain::item::State;
use payrun_domain::money::Amount;
use payrun_domain::time::Timestamp;

/// An item, as far as it is held against statement lines.
#[derive(Debug, Clone)]
pub struct BookedItem {
    /// Its id.
    pub id: i64,
    /// Its kind's name.
    pub kind: String,
    /// Its state.
    pub state: State,
    /// Its amount.
    pub amount: Option<Amount>,
    /// The gateway's number for what it did.
    pub receipt: Option<String>,
    /// When it was last sent.
    pub sent_at: Option<Timestamp>,
    /// Which order number is in use.
    pub generation: u16,
    key: KeyHash,
    custom_order_no: Option<OrderNumber>,
}

impl BookedItem {
    /// The order number of a generation; none if the user's own has no room for one.
    pub fn number(&self, generation: u16) -> Option<OrderNumber> {
        number_of(self.key, self.custom_order_no.as_ref(), generation).ok()
    }

    /// Every number it has had.
    pub fn numbers(&self) -> impl Iterator<Item = OrderNumber> {
        (1..=self.generation).filter_map(|generation| self.number(generation))
    }

    /// The fingerprint of its key.
    pub const fn key(&self) -> KeyHash {
        self.key
    }

    /// Whether this number is one it has had.
    pub fn has_used(&self, number: &str) -> bool {
        self.numbers().any(|own| own.as_str() == number)
    }

    /// Whether this is the number in use.
    pub fn is_in_use(&self, number: &str) -> bool {
        self.number(self.generation)
            .is_some_and(|own| own.as_str() == number)
    }
}

/// By which number a line is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberKind {
    /// The merchant's of the payment.
    Order,
    /// The merchant's of the refund.
    Refund,
    /// The gateway's of the refund.
    RefundId,
}

impl NumberKind {
    const fn column(self) -> &'static str {
        match self {
            Self::Order => "order_no",
            Self::Refund => "refund_no",
            Self::RefundId => "refund_id",
        }
    }
}

/// Where a line is: the day of its statement, and its number in the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LineRef {
    /// `YYYY-MM-DD`.
    pub day: String,
    /// From 1.
    pub line: u64,
}

/// A number that stands in a statement of the lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedNumber {
    /// Where it stands for the first time.
    pub first: LineRef,
    /// Whether it stands in a statement of the days that were asked for.
    pub inside: bool,
}

/// The items of a job: all ids from one to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobSpan {
    /// The job.
    pub id: i64,
    /// Its kind's name.
    pub kind: String,
    first: i64,
    last: i64,
}

/// A span of time: from an instant until before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeSpan {
    /// The first instant of it.
    pub from: Timestamp,
    /// The first instant behind it.
    pub until: Timestamp,
}

/// The columns of an item that [`booked`] reads.
pub(crate) const COLUMNS: &str = "i.id, i.state, i.generation, i.key_hash, i.custom_order_no, i.amount, i.currency, i.receipt, i.sent_at, j.kind";

/// Items of the derived numbers, and of the users' own.
fn named_query() -> String {
    let of_lane =
        "and j.id = i.job_id and j.lane = $3 and j.kind in (select atom from json_each($4))";
    // `cross join`: the list first, then what it names by an index.
    format!(
        "select {COLUMNS} from json_each($1) as n cross join items as i cross join jobs as j \
           where i.key_hash = unhex(n.atom) {of_lane} union all \
         select {COLUMNS} from json_each($2) as n cross join items as i cross join jobs as j \
           where i.custom_order_no = n.atom {of_lane}"
    )
}

/// The gateway's number of a refund, and the fingerprint of its payment.
#[derive(Serialize)]
struct RefundReceipt<'a> {
    refunded_payment: String,
    receipt: &'a str,
}

/// Refunds of a payment with the gateway's number of the refund: of [`RefundReceipt`]s.
fn refunds_query() -> String {
    // `cross join`: the list first, then what it names by an index.
    format!(
        "select {COLUMNS} from json_each($1) as n cross join items as i cross join jobs as j \
         where i.refunded_payment = unhex(n.value ->> 'refunded_payment') and i.receipt = n.value ->> 'receipt' \
           and j.id = i.job_id and j.lane = $2 and j.kind in (select atom from json_each($3))"
    )
}

/// Added to a line's number, so that all are written with as many digits and the smallest comes
/// first.
const NO_LINE: u64 = 1_000_000_000_000;

/// Which of these numbers stand in statements, in this column.
fn listed_query(by: NumberKind) -> String {
    include_str!("numbers_in_statements.sql")
        .replace("{column}", by.column())
        .replace("{no_line}", &NO_LINE.to_string())
}

const JOBS: &str = include_str!("jobs_to_compare.sql");

fn sent_query() -> String {
    // `cross join`: the job first, then its items by their ids.
    format!(
        "select {COLUMNS} from jobs as j cross join items as i where i.id >= $2 and i.id > $3 and i.id <= $4 and i.job_id = j.id \
           and i.state = 'succeeded' and i.sent_at >= $5 and i.sent_at < $6 and j.id = $1 order by i.id limit $7"
    )
}

impl Ledger {
    /// The items of these kinds on a lane that have, or have had, one of these numbers; perhaps
    /// others besides.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn items_by_order_no(
        &self,
        lane: &str,
        kinds: &[&str],
        numbers: &[&str],
    ) -> Result<Vec<BookedItem>, LedgerError> {
        let parsed: Vec<OrderNumber> = numbers
            .iter()
            .filter_map(|number| OrderNumber::parse(number).ok())
            .collect();
        let hashes: HashSet<KeyHash> = parsed.iter().filter_map(OrderNumber::key_hash).collect();
        // A later generation of a user's own number has it before the last dash.
        let before_dash = parsed
            .iter()
            .filter_map(|number| number.as_str().rsplit_once('-').map(|(own, _)| own));
        let customs: HashSet<&str> = parsed
            .iter()
            .map(OrderNumber::as_str)
            .chain(before_dash)
            .collect();
        self.named(lane, kinds, hashes, customs).await
    }

    /// The items of these kinds on a lane that have one of these keys.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn items_with_keys(
        &self,
        lane: &str,
        kinds: &[&str],
        keys: HashSet<KeyHash>,
    ) -> Result<Vec<BookedItem>, LedgerError> {
        self.named(lane, kinds, keys, HashSet::new()).await
    }

    async fn named(
        &self,
        lane: &str,
        kinds: &[&str],
        keys: HashSet<KeyHash>,
        customs: HashSet<&str>,
    ) -> Result<Vec<BookedItem>, LedgerError> {
        let query = sqlx::query(AssertSqlSafe(named_query()))
            .bind(list(&keys.into_iter().map(hex).collect::<Vec<_>>()))
            .bind(list(&customs.into_iter().collect::<Vec<_>>()))
            .bind(lane.to_owned())
            .bind(list(kinds));
        let rows = query
            .fetch_all(&self.read)
            .await
            .map_err(|source| LedgerError::of(READING, source))?;
        rows.iter().map(booked).collect()
    }

    /// The refunds of these kinds on a lane that are known by the gateway's numbers: of the
    /// payment, and of the refund.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn refunds_with_receipt(
        &self,
        lane: &str,
        kinds: &[&str],
        account: KeyHash,
        numbers: &[(&str, &str)],
    ) -> Result<Vec<BookedItem>, LedgerError> {
        let receipts: Vec<_> = numbers
            .iter()
            .map(|(paid, refund)| RefundReceipt {
                refunded_payment: hex(fingerprint(account, paid)),
                receipt: refund,
            })
            .collect();
        let query = sqlx::query(AssertSqlSafe(refunds_query())).bind(list(&receipts));
        let rows = query
            .bind(lane.to_owned())
            .bind(list(kinds))
            .fetch_all(&self.read)
            .await;
        rows.map_err(|source| LedgerError::of(READING, source))?
            .iter()
            .map(booked)
            .collect()
    }

    /// Where these numbers stand in the statements of a lane, in lines of these kinds; those that
    /// stand nowhere are left out.
    ///
    /// `days`: the first and the last for [`ListedNumber::inside`].
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn listed(
        &self,
        lane: &str,
        days: (&str, &str),
        by: NumberKind,
        kinds: &[LineKind],
        numbers: &[&str],
    ) -> Result<HashMap<String, ListedNumber>, LedgerError> {
        let failed = |source| LedgerError::of("looking for lines of statements", source);
        let words: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
        let query = sqlx::query(AssertSqlSafe(listed_query(by)))
            .bind(list(numbers))
            .bind(lane.to_owned());
        let query = query
            .bind(days.0.to_owned())
            .bind(days.1.to_owned())
            .bind(list(&words));
        let rows = query.fetch_all(&self.read).await.map_err(failed)?;
        let read = |row: &AnyRow| {
            let place: String = row.try_get(1).map_err(failed)?;
            let corrupt = || LedgerError::corrupt("statement_lines", &place, "line");
            let (day, line) = place.split_at_checked(10).ok_or_else(corrupt)?;
            let first = LineRef {
                day: day.to_owned(),
                line: line
                    .parse::<u64>()
                    .ok()
                    .and_then(|line| line.checked_sub(NO_LINE))
                    .ok_or_else(corrupt)?,
            };
            Ok((
                row.try_get(0).map_err(failed)?,
                ListedNumber {
                    first,
                    inside: row.try_get::<i64, _>(2).map_err(failed)? != 0,
                },
            ))
        };
        rows.iter().map(read).collect()
    }

    /// Jobs of these kinds on a lane that may have sent something in a span of time, from behind
    /// `after` on.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn jobs_sending(
        &self,
        lane: &str,
        kinds: &[&str],
        sent: TimeSpan,
        after: i64,
        limit: u32,
    ) -> Result<Vec<JobSpan>, LedgerError> {
        let failed = |source| LedgerError::of("looking for jobs", source);
        let query = sqlx::query(JOBS)
            .bind(after)
            .bind(lane.to_owned())
            .bind(list(kinds));
        let query = query
            .bind(sent.from.millis())
            .bind(sent.until.millis())
            .bind(i64::from(limit));
        let rows = query.fetch_all(&self.read).await.map_err(failed)?;
        let span = |row: &AnyRow| {
            let (id, kind) = (row.try_get(0)?, row.try_get(1)?);
            Ok(JobSpan {
                id,
                kind,
                first: row.try_get(2)?,
                last: row.try_get(3)?,
            })
        };
        rows.iter()
            .map(span)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    /// The items of a job that succeeded and were last sent in a span of time, from behind `after`
    /// on.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn succeeded_items(
        &self,
        job: &JobSpan,
        sent: TimeSpan,
        after: i64,
        limit: u32,
    ) -> Result<Vec<BookedItem>, LedgerError> {
        let query = sqlx::query(AssertSqlSafe(sent_query()))
            .bind(job.id)
            .bind(job.first)
            .bind(after)
            .bind(job.last);
        let query = query
            .bind(sent.from.millis())
            .bind(sent.until.millis())
            .bind(i64::from(limit));
        let rows = query
            .fetch_all(&self.read)
            .await
            .map_err(|source| LedgerError::of(READING, source))?;
        rows.iter().map(booked).collect()
    }
}

const READING: &str = "looking for items of statement lines";

pub(crate) fn booked(row: &AnyRow) -> Result<BookedItem, LedgerError> {
    let failed = |source| LedgerError::of(READING, source);
    let id: i64 = row.try_get("id").map_err(failed)?;
    let corrupt = |column| LedgerError::corrupt("items", id, column);
    let word: &str = row.try_get("state").map_err(failed)?;
    let key: Option<&[u8]> = row.try_get("key_hash").map_err(failed)?;
    let custom: Option<&str> = row.try_get("custom_order_no").map_err(failed)?;
    let generation: i64 = row.try_get("generation").map_err(failed)?;
    let item = BookedItem {
        id,
        kind: row.try_get("kind").map_err(failed)?,
        state: State::parse(word).ok_or_else(|| corrupt("state"))?,
        amount: amount_of(row, id)?,
        receipt: row.try_get("receipt").map_err(failed)?,
        sent_at: row
            .try_get::<Option<i64>, _>("sent_at")
            .map_err(failed)?
            .map(Timestamp::from_millis),
        generation: u16::try_from(generation).map_err(|_| corrupt("generation"))?,
        key: key
            .and_then(KeyHash::from_bytes)
            .ok_or_else(|| corrupt("key_hash"))?,
        custom_order_no: custom
            .map(OrderNumber::parse)
            .transpose()
            .map_err(|_| corrupt("custom_order_no"))?,
    };
    match item.number(item.generation) {
        Some(_) => Ok(item),
        None => Err(corrupt("generation")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{place, steps};

    #[tokio::test]
    async fn pages_of_numbers_find_items_and_lines_by_their_indexes() {
        let named = steps(&named_query()).await;
        place(&named, "SEARCH i USING INDEX items_key (key_hash=?)");
        place(
            &named,
            "SEARCH i USING INDEX items_custom_order_no (custom_order_no=?)",
        );
        place(
            &steps(&refunds_query()).await,
            "SEARCH i USING INDEX items_receipt (receipt=?)",
        );
        let indexes = [
            "statement_lines_by_order",
            "statement_lines_by_refund",
            "statement_lines_by_refund_id",
        ];
        for (by, index) in [NumberKind::Order, NumberKind::Refund, NumberKind::RefundId]
            .into_iter()
            .zip(indexes)
        {
            let listed = steps(&listed_query(by)).await;
            place(
                &listed,
                &format!("SEARCH l USING INDEX {index} ({}=?)", by.column()),
            );
            place(&listed, "SEARCH s USING INTEGER PRIMARY KEY");
        }
    }

    #[tokio::test]
    async fn what_a_job_sent_is_read_by_id_and_nothing_is_sorted() {
        for query in [sent_query(), JOBS.to_owned()] {
            let steps = steps(&query).await;
            place(&steps, "USING INTEGER PRIMARY KEY (rowid>?");
            assert!(
                steps.iter().all(|step| !step.contains("TEMP B-TREE")),
                "{steps:#?}"
            );
        }
    }
}
