//! Between rows and the domain: reading an item's row, and writing moves back in bulk.

use std::borrow::Cow;

use serde::ser::{Serialize, SerializeSeq, Serializer};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use crate::db::location::DbKind;
use crate::db::stored_values;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::gateway_numbers::{keep_numbers, numbers_of};
use crate::items::settle::AttemptLine;
use crate::planning::rejected_rows::message_text;
use payrun_domain::answer::Receipt;
use payrun_domain::history::EventKind;
use payrun_domain::ids::{KeyHash, OrderNumber, OrderNumberError};
use payrun_domain::item::{Alarm, Item, Move, QueryPurpose, State, heeding};
use payrun_domain::message::Message;
use payrun_domain::money::{Amount, Currency};
use payrun_domain::policy::Policy;
use payrun_domain::reason::ReasonCode;
use payrun_domain::time::Timestamp;

/// An item as its row holds it.
#[derive(Debug, Clone)]
pub(crate) struct ItemRecord {
    pub id: i64,
    pub job_id: i64,
    pub version: i64,
    pub item: Item,
    pub order_no: OrderNumber,
    pub custom_order_no: Option<OrderNumber>,
    pub key: KeyHash,
    pub amount: Option<Amount>,
    pub input: String,
    pub exclusive_key: Option<Vec<u8>>,
    pub result: Option<String>,
    /// The same, read: what is known of its result.
    pub facts: serde_json::Map<String, serde_json::Value>,
    /// Who has withdrawn it while it may have been under way, and why.
    pub withdrawn: Option<String>,
    /// The generation that was asked about since this ledger took the place of a lost one; none
    /// where it did not.
    pub recalled: Option<i64>,
}

impl ItemRecord {
    /// Whether this number may have been used by the ledger of which this one was a backup, and was
    /// not asked about since.
    pub fn may_be_forgotten(&self, generation: u16) -> bool {
        self.recalled
            .is_some_and(|recalled| recalled != i64::from(generation))
    }

    /// Reads a row of `items`.
    pub fn read(row: &AnyRow) -> Result<Self, LedgerError> {
        let get = |source| LedgerError::of("reading an item", source);
        let id: i64 = row.try_get("id").map_err(get)?;
        let corrupt = |column| LedgerError::corrupt("items", id, column);
        let state: &str = row.try_get("state").map_err(get)?;
        let purpose: Option<&str> = row.try_get("query_purpose").map_err(get)?;
        let number = |name: &str| row.try_get::<i64, _>(name).map_err(get);
        let instant = |name: &str| {
            row.try_get::<Option<i64>, _>(name)
                .map_err(get)
                .map(|at| at.map(Timestamp::from_millis))
        };
        let parsed = |text: Option<&str>| {
            text.map(OrderNumber::parse)
                .transpose()
                .map_err(|_| corrupt("order_no"))
        };
        let key: Option<&[u8]> = row.try_get("key_hash").map_err(get)?;
        let custom_order_no = parsed(row.try_get("custom_order_no").map_err(get)?)?;
        let order_no = parsed(row.try_get("order_no").map_err(get)?)?;
        let result: Option<String> = row.try_get("result").map_err(get)?;
        let facts = match &result {
            None => serde_json::Map::new(),
            Some(text) => serde_json::from_str(text).map_err(|_| corrupt("result"))?,
        };
        let item = Item {
            state: State::parse(state).ok_or_else(|| corrupt("state"))?,
            generation: u16::try_from(number("generation")?).map_err(|_| corrupt("generation"))?,
            submit_count: u32::try_from(number("submit_count")?)
                .map_err(|_| corrupt("submit_count"))?,
            query_count: u32::try_from(number("query_count")?)
                .map_err(|_| corrupt("query_count"))?,
            decline_count: u16::try_from(number("decline_count")?)
                .map_err(|_| corrupt("decline_count"))?,
            sent_at: instant("sent_at")?,
            unresolved_since: instant("unresolved_since")?,
            query_purpose: match purpose {
                None => QueryPurpose::Outcome,
                Some(text) => serde_json::from_str(text).map_err(|_| corrupt("query_purpose"))?,
            },
            receipt: row
                .try_get::<Option<String>, _>("receipt")
                .map_err(get)?
                .map(Receipt),
            jitter: id.to_le_bytes()[0].wrapping_mul(151),
        };
        Ok(Self {
            id,
            job_id: number("job_id")?,
            version: number("version")?,
            item,
            order_no: order_no.ok_or_else(|| corrupt("order_no"))?,
            custom_order_no,
            key: key
                .and_then(KeyHash::from_bytes)
                .ok_or_else(|| corrupt("key_hash"))?,
            amount: amount_of(row, id)?,
            input: row.try_get("input").map_err(get)?,
            exclusive_key: row.try_get("exclusive_key").map_err(get)?,
            result,
            facts,
            withdrawn: row.try_get("withdrawn").map_err(get)?,
            // Only who asks whether the ledger was restored reads these.
            recalled: match row.try_get::<i64, _>("restored") {
                Ok(restored) if restored > 0 => row
                    .try_get::<Option<i64>, _>("recalled")
                    .map_err(get)?
                    .or(Some(0)),
                Ok(_) | Err(_) => None,
            },
        })
    }

    /// The order number of a generation.
    pub fn number_of(&self, generation: u16) -> Result<OrderNumber, LedgerError> {
        number_of(self.key, self.custom_order_no.as_ref(), generation).map_err(|error| {
            LedgerError::Inconsistent {
                what: format!("item {}: {error}", self.id),
            }
        })
    }
}

/// The order number of a generation: the derived one, or the user's with the generation behind it.
pub(crate) fn number_of(
    key: KeyHash,
    custom_order_no: Option<&OrderNumber>,
    generation: u16,
) -> Result<OrderNumber, OrderNumberError> {
    match custom_order_no {
        None => Ok(OrderNumber::derive(key, generation)),
        Some(own) if generation == 1 => Ok(own.clone()),
        Some(own) => OrderNumber::parse(&format!("{own}-{generation}")),
    }
}

/// The policy of an item's job, which its row was joined with.
pub(crate) fn policy_of(row: &AnyRow) -> Result<Policy, LedgerError> {
    let failed = |source| LedgerError::of("reading an item", source);
    let text: &str = row.try_get("policy").map_err(failed)?;
    let job: i64 = row.try_get("job_id").map_err(failed)?;
    serde_json::from_str(text).map_err(|_| LedgerError::corrupt("jobs", job, "policy"))
}

/// What follows from the reason of an item's row.
pub(crate) fn reason_code(row: &AnyRow, id: i64) -> Result<Option<ReasonCode>, LedgerError> {
    let word: Option<&str> = row
        .try_get("reason_code")
        .map_err(|source| LedgerError::of("reading an item", source))?;
    word.map(|word| {
        ReasonCode::parse(word).ok_or_else(|| LedgerError::corrupt("items", id, "reason_code"))
    })
    .transpose()
}

/// The amount of a row with the columns `amount` and `currency`.
pub(crate) fn amount_of(row: &AnyRow, id: i64) -> Result<Option<Amount>, LedgerError> {
    amount_in(row, id, ("amount", "currency"))
}

/// The amount of a row in these two columns.
pub(crate) fn amount_in(
    row: &AnyRow,
    id: i64,
    (amount, currency): (&str, &str),
) -> Result<Option<Amount>, LedgerError> {
    let get = |source| LedgerError::of("reading an amount", source);
    let minor: Option<i64> = row.try_get(amount).map_err(get)?;
    let code: Option<&str> = row.try_get(currency).map_err(get)?;
    match (minor, code) {
        (Some(minor), Some(code)) => Currency::parse(code)
            .and_then(|currency| Amount::from_minor(minor, currency))
            .map(Some)
            .map_err(|_| LedgerError::corrupt("items", id, amount)),
        (Some(_), None) => Err(LedgerError::corrupt("items", id, currency)),
        (None, _) => Ok(None),
    }
}

/// A claim on an item: whose it is, and until when.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    pub node: i64,
    pub until: Timestamp,
}

/// One item's move, ready to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ItemChange<'a> {
    pub stored: &'a ItemRecord,
    pub event: EventKind,
    pub moved: &'a Move,
    /// Who has it claimed from then on; none if nobody has.
    pub lease: Option<Lease>,
    pub result: Option<&'a str>,
    pub at: Timestamp,
}

impl<'a> ItemChange<'a> {
    /// What the move is, where a person has withdrawn the item.
    fn heeded(&self) -> Option<Move> {
        let withdrawal = self.stored.withdrawn.as_ref();
        #[cfg(feature = "mutation")]
        let withdrawal = withdrawal.filter(|_| crate::mutation::is_withdrawn(true));
        let withdrawal = withdrawal?;
        // The next number may have been sent by the ledger that was lost: the claim has it asked
        // about before it is cancelled.
        if self.moved.item.state == State::Planned
            && self.stored.may_be_forgotten(self.moved.item.generation)
        {
            return None;
        }
        Some(heeding(withdrawal, &self.stored.item, self.moved.clone()))
    }

    fn with<'b>(&'b self, moved: Option<&'b Move>) -> ItemChange<'b>
    where
        'a: 'b,
    {
        ItemChange {
            moved: moved.unwrap_or(self.moved),
            ..*self
        }
    }
}

/// Writes the move of one item in the transaction that read it.
pub(crate) async fn write_change(
    tx: &mut WriteTx,
    written: ItemChange<'_>,
    attempts: &[AttemptLine<'_>],
) -> Result<(), LedgerError> {
    let id = written.stored.id;
    if ChangeBatch::of(&[written], attempts)?.execute(tx).await? {
        return Ok(());
    }
    Err(LedgerError::Inconsistent {
        what: format!("item {id} changed within the transaction that read it"),
    })
}

/// Moves, their events, the attempts that led to them and what they do to the totals: one round
/// trip to the database.
#[derive(Debug, Default)]
pub(crate) struct ChangeBatch {
    items: String,
    events: String,
    attempts: String,
    totals: String,
    /// What became of periods whose items came to rest, or are open again; none if none did.
    periods: Option<String>,
    /// Numbers that the gateway gave; none if it gave none beside the receipts.
    numbers: Option<String>,
    rows: u64,
}

impl ChangeBatch {
    /// Puts together what is to be written.
    pub fn of(moves: &[ItemChange<'_>], attempts: &[AttemptLine<'_>]) -> Result<Self, LedgerError> {
        // A withdrawal that came while the item was under way is heeded wherever its move comes from.
        let heeded: Vec<Option<Move>> = moves.iter().map(ItemChange::heeded).collect();
        let heeding = moves
            .iter()
            .zip(&heeded)
            .map(|(written, heeded)| written.with(heeded.as_ref()));
        let moves: Vec<ItemChange<'_>> = heeding.collect();
        let mut items = Vec::with_capacity(moves.len());
        let mut events = Vec::with_capacity(moves.len());
        let mut shifts = TotalsDelta::default();
        for written in &moves {
            items.push(item_line(written)?);
            events.push(event_line(written));
            let (stored, to) = (written.stored, written.moved.item.state);
            shifts.shift(stored.job_id, stored.amount, stored.item.state, to);
        }
        let totals = shifts.lines();
        #[cfg(feature = "mutation")]
        let (events, attempts, totals) = crate::mutation::batch(events, attempts, totals);
        let rows = items.len() + events.len() + attempts.len() + totals.len();
        Ok(Self {
            items: list(&items),
            events: list(&events),
            attempts: list(attempts),
            totals: list(&totals),
            periods: crate::contracts::periods_of(&moves),
            numbers: numbers_of(&moves, attempts),
            rows: rows as u64,
        })
    }

    /// Writes, if every item still has the version it was read with. Returns whether all had; if
    /// not, some of it has been written all the same and the caller must roll back.
    pub async fn execute(self, tx: &mut WriteTx) -> Result<bool, LedgerError> {
        let failed = |source| LedgerError::of("writing what became of items", source);
        #[cfg(feature = "mutation")]
        crate::mutation::force_versions(tx, &self.items, &self.events).await?;
        let (periods, numbers) = (self.periods.clone(), self.numbers.clone());
        let query = |text: &str| {
            sqlx::query(AssertSqlSafe(text.to_owned()))
                .bind(self.items)
                .bind(self.events)
                .bind(self.attempts)
                .bind(self.totals)
        };
        let changed = match tx.db_kind() {
            DbKind::Sqlite => query(WRITE)
                .execute(tx.connection())
                .await
                .map_err(failed)?
                .rows_affected(),
            DbKind::Postgres => {
                let row = query(WRITE_AT_ONCE)
                    .fetch_one(tx.connection())
                    .await
                    .map_err(failed)?;
                stored_values::count(row.try_get(0).map_err(failed)?, "writing items")?
            }
        };
        let written = changed == self.rows;
        if let Some(periods) = periods.filter(|_| written) {
            crate::contracts::note_moved(tx, periods).await?;
        }
        if let Some(numbers) = numbers.filter(|_| written) {
            keep_numbers(tx.connection(), numbers).await?;
        }
        Ok(written)
    }
}

/// The fact that keeps why an item was refused before a person had it tried again, in the gateway's
/// own words.
pub(crate) const TOLD_BEFORE: &str = "told_before";

/// A reason with what was told before a retry, where nothing new was learnt since.
fn reason_of<'a>(written: &'a ItemChange<'a>) -> Option<Cow<'a, Message>> {
    let reason = written.moved.reason.as_ref();
    let state = written.moved.item.state;
    let in_vain = written.moved.code == Some(ReasonCode::AskedInVain);
    // What is written is put together by payrun, and what was stored has been read.
    let written_facts = written
        .result
        .filter(|result| result.contains(TOLD_BEFORE))
        .and_then(|result| serde_json::from_str::<serde_json::Value>(result).ok());
    let before = match (&written_facts, written.result) {
        (Some(facts), _) => facts.get(TOLD_BEFORE),
        (None, Some(_)) => None,
        (None, None) => written.stored.facts.get(TOLD_BEFORE),
    };
    let before = before
        .and_then(serde_json::Value::as_str)
        .filter(|_| state.is_open() || in_vain);
    let Some(before) = before else {
        return reason.map(Cow::Borrowed);
    };
    let before = Message::new("told-before", "before: {words}").with("words", before);
    let all = reason.cloned().into_iter().chain([before]).collect();
    Some(Cow::Owned(Message::all(all)))
}

/// One row of `items` after its move, as [`WRITE`] reads it: by position, what is rare at the end. Named
/// fields took a sixth more of SQLite's time for these lists, which every call is written with
/// (benches/README.md).
#[derive(Debug)]
struct ItemLine<'a> {
    id: i64,
    /// As it was read; the row must have it still.
    version: i64,
    state: &'static str,
    generation: u16,
    order_no: OrderNumber,
    next_at: Option<i64>,
    lease_until: Option<i64>,
    node: Option<i64>,
    submit_count: u32,
    query_count: u32,
    decline_count: u16,
    sent_at: Option<i64>,
    unresolved_since: Option<i64>,
    query_purpose: Option<String>,
    receipt: Option<&'a Receipt>,
    result: Option<&'a str>,
    reason: Option<String>,
    reason_code: Option<&'static str>,
    reason_message: Option<String>,
}

/// A field that is mostly null.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
enum RareField<'a> {
    Number(i64),
    Text(&'a str),
}

impl Serialize for ItemLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (number, text) = (RareField::Number, RareField::Text);
        let rare = [
            self.receipt.map(|receipt| text(&receipt.0)),
            self.lease_until.map(number),
            self.node.map(number),
            self.next_at.map(number),
            self.result.map(text),
            self.reason.as_deref().map(text),
            self.reason_code.map(text),
            self.unresolved_since.map(number),
            self.query_purpose.as_deref().map(text),
            self.reason_message.as_deref().map(text),
        ];
        // What is missing at the end is null, and need not be read.
        let used = rare
            .iter()
            .rposition(Option::is_some)
            .map_or(0, |at| at + 1);
        let mut row = serializer.serialize_seq(None)?;
        row.serialize_element(&self.id)?;
        row.serialize_element(&self.version)?;
        row.serialize_element(self.state)?;
        row.serialize_element(&self.generation)?;
        row.serialize_element(&self.order_no)?;
        row.serialize_element(&self.submit_count)?;
        row.serialize_element(&self.query_count)?;
        row.serialize_element(&self.decline_count)?;
        row.serialize_element(&self.sent_at)?;
        for field in &rare[..used] {
            row.serialize_element(field)?;
        }
        row.end()
    }
}

fn item_line<'a>(written: &'a ItemChange<'a>) -> Result<ItemLine<'a>, LedgerError> {
    let (stored, next) = (written.stored, &written.moved.item);
    let query_purpose = match &next.query_purpose {
        QueryPurpose::Outcome => None,
        purpose @ (QueryPurpose::Number(_)
        | QueryPurpose::Resend
        | QueryPurpose::ResendDeclined
        | QueryPurpose::Unmapped(_)) => serde_json::to_string(purpose).ok(),
    };
    let reason = reason_of(written);
    Ok(ItemLine {
        id: stored.id,
        version: stored.version,
        state: next.state.as_str(),
        generation: next.generation,
        order_no: stored.number_of(next.generation)?,
        next_at: written.moved.next_at.map(Timestamp::millis),
        lease_until: written.lease.map(|lease| lease.until.millis()),
        node: written.lease.map(|lease| lease.node),
        submit_count: next.submit_count,
        query_count: next.query_count,
        decline_count: next.decline_count,
        sent_at: next.sent_at.map(Timestamp::millis),
        unresolved_since: next.unresolved_since.map(Timestamp::millis),
        query_purpose,
        receipt: next.receipt.as_ref(),
        result: written.result.or(stored.result.as_deref()),
        reason_message: reason.as_deref().and_then(message_text),
        reason: reason.map(|reason| reason.to_string()),
        reason_code: written.moved.code.map(ReasonCode::as_str),
    })
}

/// One row of `events`, likewise: item, version, time, event, from, to, and where there are any: alarm,
/// detail, and that as a message.
#[derive(Debug)]
struct EventLine<'a> {
    moved: (i64, i64, i64, &'static str, &'static str, &'static str),
    alarm: Option<&'static str>,
    detail: Option<&'a Message>,
}

impl Serialize for EventLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (item, version, at, event, from, to) = self.moved;
        match (self.alarm, self.detail) {
            (None, None) => self.moved.serialize(serializer),
            (Some(alarm), None) => {
                (item, version, at, event, from, to, alarm).serialize(serializer)
            }
            (alarm, Some(detail)) => {
                let said = (detail.to_string(), message_text(detail));
                (item, version, at, event, from, to, alarm, said.0, said.1).serialize(serializer)
            }
        }
    }
}

fn event_line<'a>(written: &'a ItemChange<'a>) -> EventLine<'a> {
    EventLine {
        moved: (
            written.stored.id,
            written.stored.version + 1,
            written.at.millis(),
            written.event.as_str(),
            written.stored.item.state.as_str(),
            written.moved.item.state.as_str(),
        ),
        alarm: written.moved.alarm.map(Alarm::as_str),
        detail: written.moved.reason.as_ref(),
    }
}

/// What a commit adds to one row of `totals`.
#[derive(Debug, serde::Serialize)]
pub(crate) struct TotalLine {
    job_id: i64,
    state: &'static str,
    currency: &'static str,
    items: i64,
    pub minor: i64,
}

/// Writes [`ChangeBatch`]. Only statements that change rows: the sum of the changed rows tells
/// whether all went well.
pub(crate) const WRITE: &str = include_str!("write.sql");

/// The same for a server, which takes no more than one statement with parameters: it answers how
/// many rows changed.
const WRITE_AT_ONCE: &str = include_str!("write_at_once.sql");

/// What a commit does to the totals.
#[derive(Debug, Default)]
pub(crate) struct TotalsDelta(std::collections::HashMap<(i64, State, &'static str), (i64, i64)>);

impl TotalsDelta {
    fn shift(&mut self, job_id: i64, amount: Option<Amount>, from: State, to: State) {
        if from != to {
            self.add(job_id, amount, from, -1);
            self.add(job_id, amount, to, 1);
        }
    }

    /// Counts an item into a state (`sign` 1) or out of it (`sign` -1).
    pub fn add(&mut self, job_id: i64, amount: Option<Amount>, state: State, sign: i64) {
        let currency = amount.map_or("", |amount| amount.currency().code());
        let (items, minor) = self.0.entry((job_id, state, currency)).or_default();
        *items += sign;
        *minor += sign * amount.map_or(0, Amount::minor);
    }

    /// What was counted as planned of a job waits for approval.
    pub fn hold(&mut self, job_id: i64) {
        let planned = self
            .0
            .extract_if(|(job, state, _), _| *job == job_id && *state == State::Planned);
        let waiting: Vec<_> = planned
            .map(|((job, _, currency), sums)| ((job, State::AwaitingApproval, currency), sums))
            .collect();
        self.0.extend(waiting);
    }

    /// As [`WRITE`] wants them.
    pub fn lines(self) -> Vec<TotalLine> {
        let shifted = self.0.into_iter();
        shifted
            .map(|((job_id, state, currency), (items, minor))| TotalLine {
                job_id,
                state: state.as_str(),
                currency,
                items,
                minor,
            })
            .collect()
    }
}

/// A list for `json_each`.
pub(crate) fn list<T: Serialize>(rows: &[T]) -> String {
    // Rows of strings and integers always print.
    without_nul(serde_json::to_string(rows).unwrap_or_default())
}

/// A text that is bound by itself, without the character NUL.
pub(crate) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// As text, for `unhex`.
pub(crate) fn hex(hash: KeyHash) -> String {
    hex::encode(hash.as_bytes())
}

/// No database takes the character NUL as text, and a gateway may send it: it becomes the
/// replacement character.
fn without_nul(json: String) -> String {
    const NUL: &str = "u0000";
    if !json.contains("\\u0000") {
        return json;
    }
    let mut clean = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some(at) = rest.find('\\') {
        // What follows a backslash belongs to it: an escaped backslash begins nothing.
        let escape = &rest[at + 1..];
        let is_nul = escape.starts_with(NUL);
        let size = if is_nul {
            NUL.len()
        } else {
            escape.chars().next().map_or(0, char::len_utf8)
        };
        clean.push_str(&rest[..at]);
        clean.push_str(if is_nul {
            "\\ufffd"
        } else {
            &rest[at..at + 1 + size]
        });
        rest = &escape[size..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_is_replaced_and_what_only_looks_like_one_is_not() {
        let read = |text: &str| -> Vec<String> { serde_json::from_str(&list(&[text])).unwrap() };
        assert_eq!(read("a\0b\0"), ["a\u{fffd}b\u{fffd}"]);
        for text in ["\\u0000", "\\\\u0000 \\", "plain", "\"\\\"\n\t\\0"] {
            assert_eq!(read(text), [text]);
        }
        assert_eq!(read("\\u0000\0\\"), ["\\u0000\u{fffd}\\"]);
    }
}
