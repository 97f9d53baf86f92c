//! A payment has two numbers, the merchant's and the gateway's, and each goes with one of the other.
//! Where the number of a part is its own, that goes with one payment too.
//!
//! An item that names a payment by both, where one of them was mistyped, is of a payment that is
//! not meant, or declares the same one a second time. The invariant: of what has not come to
//! nothing, no two items name one payment by different numbers. Rows of a file that do are refused
//! together, since nobody can tell which is meant; against an item of before, or against what the
//! gateway has shown of a payment, the row is refused.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::db::stored_values;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::item_rows::{hex, list};
use crate::planning::plan::PlanWriter;
use crate::planning::planned_items::NewItem;
use crate::planning::rejected_rows::{RejectedRow, message_text};
use crate::planning::whole_or_parts::{Replaced, other_row, refused_as, wait_for_nobody};
use payrun_domain::ids::KeyHash;
use payrun_domain::item::State;
use payrun_domain::message::Message;

const OPERATION: &str = "looking for other numbers of a payment";

/// A payment as an item names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentNames {
    /// The account, as the gateway tells accounts apart.
    pub account: String,
    /// The fields with the two numbers: the merchant's, and the gateway's.
    pub fields: [String; 2],
    /// What they hold.
    pub numbers: [String; 2],
    /// The part of the payment, with what it is a part of beside the payment (a customs), where its
    /// number is its own on this account: no other payment has it.
    pub part: Option<Vec<String>>,
}

impl PaymentNames {
    /// The merchant's number on this account, in small letters.
    pub(super) fn ours(&self) -> String {
        self.folded(0)
    }

    /// The gateway's number on this account, in small letters.
    pub(super) fn theirs(&self) -> String {
        self.folded(1)
    }

    /// Both numbers, as they were written.
    pub(super) fn written(&self) -> String {
        self.numbers.join("/")
    }

    /// The part on this account, in small letters, where that alone tells the payment.
    pub(super) fn part(&self) -> Option<String> {
        let part = self.part.as_ref()?.join("/").to_lowercase();
        Some(format!("{}/{part}", self.account))
    }

    /// What tells the payment.
    fn keys(&self) -> Vec<NameKey> {
        let numbers = [NameKey::Ours(self.ours()), NameKey::Theirs(self.theirs())];
        let part = self.part().map(NameKey::Part);
        numbers.into_iter().chain(part).collect()
    }

    fn folded(&self, side: usize) -> String {
        format!("{}/{}", self.account, self.numbers[side].to_lowercase())
    }

    fn line<'a>(&'a self, n: usize, item: &'a NewItem) -> NamedLine<'a> {
        NamedLine {
            n,
            ours: self.ours(),
            theirs: self.theirs(),
            part: self.part(),
            written: self.written(),
            account: hex(KeyHash::of(&self.account, "payment", "")),
            our_number: &self.numbers[0],
            their_number: &self.numbers[1],
            replaced: item.replaced(),
        }
    }
}

/// What tells a payment: one of its two numbers, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum NameKey {
    Ours(String),
    Theirs(String),
    Part(String),
}

impl NameKey {
    fn text(&self) -> &str {
        match self {
            Self::Ours(text) | Self::Theirs(text) | Self::Part(text) => text,
        }
    }
}

/// A row as `planning/payment_clashes.sql` and `planning/shown_payments.sql` read it.
#[derive(Debug, Serialize)]
struct NamedLine<'a> {
    n: usize,
    ours: String,
    theirs: String,
    part: Option<String>,
    written: String,
    account: String,
    our_number: &'a str,
    their_number: &'a str,
    #[serde(flatten)]
    replaced: Replaced<'a>,
}

/// Numbers of which rows of one job make different payments: why no row with one of them is sent.
#[derive(Debug, Default)]
pub(super) struct DoubtfulNames {
    of: HashMap<(i64, NameKey), Message>,
}

impl DoubtfulNames {
    /// Why a row is not sent.
    fn why(&self, job_id: i64, keys: Vec<NameKey>) -> Option<&Message> {
        keys.into_iter().find_map(|key| self.of.get(&(job_id, key)))
    }

    /// Doubts numbers, and returns those that nobody doubted before.
    fn add(&mut self, job_id: i64, keys: Vec<NameKey>, why: &Message) -> Vec<NameKey> {
        let mut new = Vec::new();
        for key in keys {
            if let Entry::Vacant(place) = self.of.entry((job_id, key.clone())) {
                place.insert(why.clone());
                new.push(key);
            }
        }
        new
    }

    /// Doubts both numbers of each row that has one that is doubted, and returns the new ones.
    fn spread(
        &mut self,
        job_id: i64,
        rows: &[(&NewItem, &PaymentNames, Option<&OtherName>)],
    ) -> Vec<NameKey> {
        let mut new = Vec::new();
        loop {
            let before = new.len();
            for (_, names, _) in rows {
                if let Some(why) = self.why(job_id, names.keys()).cloned() {
                    new.extend(self.add(job_id, names.keys(), &why));
                }
            }
            if new.len() == before {
                return new;
            }
        }
    }
}

/// An item that names the payment of a row otherwise.
#[derive(Debug)]
struct OtherName {
    id: i64,
    run_id: i64,
    line: u64,
    state: State,
    keys: Vec<NameKey>,
    written: String,
}

impl OtherName {
    fn read(row: &AnyRow) -> Result<Self, LedgerError> {
        let failed = |source| LedgerError::of(OPERATION, source);
        let id: i64 = row.try_get("id").map_err(failed)?;
        let line: i64 = row.try_get("line").map_err(failed)?;
        Ok(Self {
            id,
            run_id: row.try_get("run_id").map_err(failed)?,
            line: stored_values::unsigned(line, ("items", &id, "line"))?,
            state: stored_values::state(
                row.try_get("state").map_err(failed)?,
                ("items", &id, "state"),
            )?,
            keys: keys_of(row)?,
            written: row.try_get("payment_written").map_err(failed)?,
        })
    }

    /// Why a row is refused that names its payment otherwise.
    fn refuse(&self, item: &NewItem, names: &PaymentNames, run_id: i64) -> RejectedRow {
        let (id, run, written) = (self.id, self.run_id, &self.written);
        let other = other_row((run, id, self.line), self.state.told(), run_id);
        let look = if run == run_id {
            Message::new(
                "payment-mend-wrong-row",
                "look which is right, and mend the wrong row",
            )
        } else {
            Message::new(
                "payment-mend-this-row",
                "look which is right (payrun show --item {item}), and mend this row or leave it out; as it is, it may come again once \
                 that item has failed or was cancelled",
            )
            .with("item", id)
        };
        let reason = if self.shares_a_number(names) {
            Message::new(
                "payment-named-otherwise",
                "{other} names its payment {written}, and this row {named}: {one_each}; {look}",
            )
            .with("one_each", ONE_EACH)
        } else {
            let part = names
                .part
                .as_ref()
                .map_or_else(String::new, |part| part.join("/"));
            Message::new(
                "payment-part-of-another",
                "{other} is for {part} of the payment {written}, and this row of {named}: the number of a part is of one payment, and \
                 the same would be declared twice; {look}",
            )
            .with("part", part)
        };
        let reason = reason
            .with("other", other)
            .with("written", written)
            .with("named", named(names))
            .with("look", look);
        refused_as(item, reason)
    }

    /// Whether it is by one of its numbers that it names the payment, and not by a part alone.
    fn shares_a_number(&self, names: &PaymentNames) -> bool {
        let is_number = |key: &NameKey| !matches!(key, NameKey::Part(_));
        names
            .keys()
            .iter()
            .any(|key| is_number(key) && self.keys.contains(key))
    }
}

const ONE_EACH: Message = Message::new(
    "payment-one-number-each",
    "a payment has one number of each, and by a mistyped one the same would be declared twice",
);

/// A payment with the names of its fields, for people.
fn named(names: &PaymentNames) -> String {
    let [ours, theirs] = &names.fields;
    format!("{ours} {}, {theirs} {}", names.numbers[0], names.numbers[1])
}

fn keys_of(row: &AnyRow) -> Result<Vec<NameKey>, LedgerError> {
    let failed = |source| LedgerError::of(OPERATION, source);
    let part: Option<String> = row.try_get("payment_part").map_err(failed)?;
    let numbers = [
        NameKey::Ours(row.try_get("payment_ours").map_err(failed)?),
        NameKey::Theirs(row.try_get("payment_theirs").map_err(failed)?),
    ];
    Ok(numbers.into_iter().chain(part.map(NameKey::Part)).collect())
}

/// Why no row of a payment is sent that rows of one file name by different numbers.
fn both_refused((line, written): (u64, &str), (other, names): (u64, &PaymentNames)) -> Message {
    Message::new(
        "payment-both-refused",
        "line {line} is of the payment {written}, and line {other} of {named}: they share a number or a part, so one of them is mistyped, \
         and nobody can tell which: no row with one of these numbers is sent; mend the wrong row",
    )
    .with("line", line)
    .with("written", written)
    .with("other", other)
    .with("named", named(names))
}

impl PlanWriter {
    /// Takes the rows out that name a payment by other numbers than others do; returns why. `all`:
    /// the rows of the chunk, also those that make no item for another reason.
    pub(super) async fn with_one_name_each<'a>(
        &mut self,
        job_id: i64,
        all: &[NewItem],
        fresh: Vec<&'a NewItem>,
    ) -> Result<(Vec<&'a NewItem>, Vec<RejectedRow>), LedgerError> {
        if all.iter().all(|item| item.payment.is_none()) {
            return Ok((fresh, Vec::new()));
        }
        let run_id = self.run_id;
        let lines: Vec<NamedLine<'_>> = all
            .iter()
            .enumerate()
            .filter_map(|(n, item)| Some(item.payment.as_ref()?.line(n, item)))
            .collect();
        let tx = self.write_tx().await?;
        let others = other_names(tx, &lines, (run_id, job_id, false)).await?;
        let shown = shown_otherwise(tx, &lines).await?;
        let planned = other_names(tx, &lines, (run_id, job_id, true)).await?;
        drop(lines);
        let held = if others.is_empty() && shown.is_empty() {
            HashMap::new()
        } else {
            self.holders(&all.iter().collect::<Vec<_>>()).await?
        };
        let mut by_ledger: HashMap<(u64, KeyHash), RejectedRow> = HashMap::new();
        let mut compared = Vec::with_capacity(all.len());
        for (n, item) in all.iter().enumerate() {
            let Some(names) = &item.payment else { continue };
            let is_held = held.contains_key(&item.key_hash);
            let refusal = others
                .get(&n)
                .map(|other| other.refuse(item, names, run_id))
                .or_else(|| Some(refused_as(item, otherwise(names, shown.get(&n)?))));
            match refusal {
                // A row whose key somebody has makes no item anyway, and is told so.
                Some(_) if is_held => {}
                Some(refusal) => {
                    by_ledger.insert((item.line, item.key_hash), refusal);
                }
                None => compared.push((item, names, planned.get(&n))),
            }
        }
        let mut refused = self.doubt(job_id, &compared).await?;
        let mut kept = Vec::with_capacity(fresh.len());
        for item in fresh {
            let by_ledger = by_ledger.remove(&(item.line, item.key_hash));
            let keys = item.payment.as_ref().map(PaymentNames::keys);
            let why = keys.and_then(|keys| self.doubtful.why(job_id, keys));
            match (by_ledger, why) {
                (Some(refusal), _) => refused.push(refusal),
                (None, Some(why)) => refused.push(refused_as(item, why.clone())),
                (None, None) => kept.push(item),
            }
        }
        Ok((kept, refused))
    }

    /// Doubts the numbers by which rows make different payments of one. What the job has planned
    /// with one of them is not planned after all: nobody has seen it yet.
    async fn doubt(
        &mut self,
        job_id: i64,
        rows: &[(&NewItem, &PaymentNames, Option<&OtherName>)],
    ) -> Result<Vec<RejectedRow>, LedgerError> {
        let mut new = Vec::new();
        let mut first_with: HashMap<NameKey, (&NewItem, &PaymentNames)> = HashMap::new();
        for (item, names, planned) in rows.iter().copied() {
            if let Some(other) = planned {
                let why = both_refused((other.line, &other.written), (item.line, names));
                new.extend(self.doubtful.add(job_id, other.keys.clone(), &why));
                new.extend(self.doubtful.add(job_id, names.keys(), &why));
            }
            for key in names.keys() {
                let (first, theirs) = *first_with.entry(key).or_insert((item, names));
                if theirs.written() != names.written() {
                    let why = both_refused((first.line, &theirs.written()), (item.line, names));
                    new.extend(self.doubtful.add(job_id, theirs.keys(), &why));
                    new.extend(self.doubtful.add(job_id, names.keys(), &why));
                }
            }
        }
        let mut doubted: HashMap<i64, Message> = HashMap::new();
        loop {
            new.extend(self.doubtful.spread(job_id, rows));
            if new.is_empty() {
                break;
            }
            for (id, keys) in self.planned_with(job_id, &std::mem::take(&mut new)).await? {
                if let Some(why) = self.doubtful.why(job_id, keys.clone()).cloned() {
                    new.extend(self.doubtful.add(job_id, keys, &why));
                    doubted.insert(id, why);
                }
            }
        }
        self.reject_doubtful(job_id, doubted).await
    }

    /// What the job has planned that names a payment by one of these numbers.
    async fn planned_with(
        &mut self,
        job_id: i64,
        keys: &[NameKey],
    ) -> Result<Vec<(i64, Vec<NameKey>)>, LedgerError> {
        let failed = |source| LedgerError::of(OPERATION, source);
        let texts: Vec<&str> = keys.iter().map(NameKey::text).collect();
        let rows = sqlx::query(include_str!("items_of_payments.sql"))
            .bind(list(&texts))
            .bind(job_id)
            .fetch_all(self.connection().await?)
            .await
            .map_err(failed)?;
        let read = |row: &AnyRow| Ok((row.try_get("id").map_err(failed)?, keys_of(row)?));
        rows.iter().map(read).collect()
    }

    async fn reject_doubtful(
        &mut self,
        job_id: i64,
        doubted: HashMap<i64, Message>,
    ) -> Result<Vec<RejectedRow>, LedgerError> {
        let failed = |source| LedgerError::of("refusing rows that clash", source);
        let mut of_reason: HashMap<Message, Vec<i64>> = HashMap::new();
        for (id, why) in doubted {
            of_reason.entry(why).or_default().push(id);
        }
        let mut refused = Vec::new();
        for (why, ids) in of_reason {
            let rejected = sqlx::query(include_str!("reject_planned.sql"))
                .bind(list(&ids))
                .bind(why.to_string())
                .bind(message_text(&why));
            let rejected = rejected
                .fetch_all(self.connection().await?)
                .await
                .map_err(failed)?;
            refused.extend(self.refusals_of_planned(job_id, &rejected, &why).await?);
        }
        Ok(refused)
    }
}

/// Items that name the payments of rows otherwise, by the place of the row: of the job that is
/// planned, or of others.
async fn other_names(
    tx: &mut WriteTx,
    lines: &[NamedLine<'_>],
    (run_id, job_id, of_job): (i64, i64, bool),
) -> Result<HashMap<usize, OtherName>, LedgerError> {
    let failed = |source| LedgerError::of(OPERATION, source);
    let rows = sqlx::query(include_str!("payment_clashes.sql"))
        .bind(list(lines))
        .bind(run_id)
        .bind(job_id)
        .bind(i64::from(of_job))
        .fetch_all(tx.connection())
        .await
        .map_err(failed)?;
    let read = |row: &AnyRow| Ok((place(row)?, OtherName::read(row)?));
    rows.iter().map(read).collect()
}

/// The payments that the gateway has shown under one of a row's numbers, where the other is another
/// one; by the place of the row.
async fn shown_otherwise(
    tx: &mut WriteTx,
    lines: &[NamedLine<'_>],
) -> Result<HashMap<usize, [String; 2]>, LedgerError> {
    let failed = |source| LedgerError::of(OPERATION, source);
    let rows = sqlx::query(include_str!("shown_payments.sql"))
        .bind(list(lines))
        .fetch_all(tx.connection())
        .await
        .map_err(failed)?;
    let read = |row: &AnyRow| {
        let numbers = [
            row.try_get("order_no").map_err(failed)?,
            row.try_get("transaction_id").map_err(failed)?,
        ];
        Ok((place(row)?, numbers))
    };
    rows.iter().map(read).collect()
}

fn place(row: &AnyRow) -> Result<usize, LedgerError> {
    let n: i64 = row
        .try_get("n")
        .map_err(|source| LedgerError::of(OPERATION, source))?;
    Ok(usize::try_from(n).unwrap_or(usize::MAX))
}

/// Why a row is refused whose payment the gateway has shown with another number.
fn otherwise(names: &PaymentNames, [order_no, transaction_id]: &[String; 2]) -> Message {
    Message::new(
        "payment-shown-otherwise",
        "the gateway has shown this payment as {order_no}/{transaction_id}, and this row names {named}: {one_each}; mend this row",
    )
    .with("order_no", order_no)
    .with("transaction_id", transaction_id)
    .with("named", named(names))
    .with("one_each", ONE_EACH)
}

/// The item that names the payment of another (a row of `items`) otherwise, were that to be tried
/// again; none if nothing does.
///
/// # Errors
/// [`LedgerError::Busy`] while a plan adds such items.
pub(crate) async fn other_name_of(
    tx: &mut WriteTx,
    row: &AnyRow,
) -> Result<Option<i64>, LedgerError> {
    let failed = |source| LedgerError::of(OPERATION, source);
    let text = |column: &'static str| -> Result<Option<String>, LedgerError> {
        row.try_get(column).map_err(failed)
    };
    let (Some(ours), Some(theirs), Some(written)) = (
        text("payment_ours")?,
        text("payment_theirs")?,
        text("payment_written")?,
    ) else {
        return Ok(None);
    };
    let line = NamedLine {
        n: 0,
        ours,
        theirs,
        part: text("payment_part")?,
        written,
        account: String::new(),
        our_number: "",
        their_number: "",
        replaced: Replaced::by_stored(row)?,
    };
    wait_for_nobody(tx).await?;
    let found = other_names(tx, &[line], (0, 0, false)).await?;
    Ok(found.values().next().map(|other| other.id))
}

#[cfg(test)]
mod tests {
    use crate::tests::{place, steps};

    #[tokio::test]
    async fn other_names_are_found_by_their_indexes() {
        let clashes = steps(include_str!("payment_clashes.sql")).await;
        for step in [
            "x USING INDEX items_payment_ours (payment_ours=? AND payment_written<?)",
            "x USING INDEX items_payment_ours (payment_ours=? AND payment_written>?)",
            "x USING INDEX items_payment_theirs (payment_theirs=? AND payment_written<?)",
            "x USING INDEX items_payment_theirs (payment_theirs=? AND payment_written>?)",
            "x USING INDEX items_payment_part (payment_part=? AND payment_written<?)",
            "x USING INDEX items_payment_part (payment_part=? AND payment_written>?)",
            "i USING INTEGER PRIMARY KEY (rowid=?)",
        ] {
            place(&clashes, step);
        }
        let planned = steps(include_str!("items_of_payments.sql")).await;
        place(
            &planned,
            "i USING INDEX items_payment_ours (payment_ours=?)",
        );
        place(
            &planned,
            "i USING INDEX items_payment_theirs (payment_theirs=?)",
        );
        let shown = steps(include_str!("shown_payments.sql")).await;
        place(&shown, "p USING INTEGER PRIMARY KEY (rowid=?)");
        for steps in [clashes, planned, shown] {
            let scans =
                |step: &&String| step.starts_with("SCAN") && !step.contains("VIRTUAL TABLE");
            let scanned: Vec<&String> = steps.iter().filter(scans).collect();
            assert!(scanned.is_empty(), "{scanned:#?}");
        }
    }
}
