//! What is done either of a whole or of its parts, never both: a payment is declared to a customs as
//! a whole or by its sub-orders.
//!
//! Two items clash that are for the same whole, one for all of it and one for a part; and two that
//! are for the same part but for capitals, since nobody knows whether a gateway tells them apart.
//! Of a kind that is done once, two under different keys clash too that are for the same whole or
//! part: a workflow's own key does not make it another. What came to nothing clashes with nothing. The invariant: of two items that clash one at most is
//! ever planned. In a file the writer sees to it. On a server one plan at a time adds such items,
//! and nothing that came to nothing is tried again meanwhile.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::db::location::DbKind;
use crate::db::stored_values;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::item_rows::{hex, list};
use crate::planning::plan::PlanWriter;
use crate::planning::planned_items::NewItem;
use crate::planning::rejected_rows::{RejectedRow, message_text, refusal_of};
use crate::planning::replacement::ReplacedItem;
use payrun_domain::ids::KeyHash;
use payrun_domain::item::State;
use payrun_domain::message::Message;

/// Takes the turn to add items that may clash, if nobody else has it; it ends with the transaction.
const TAKE_TURN: &str = "select case when pg_try_advisory_xact_lock(1885434486, hashtext(current_schema())) then 1 else 0 end";

/// How often a plan that waits for its turn looks, and how many times.
const LOOK: Duration = Duration::from_millis(50);
const LOOKS: u32 = 12_000;

const OPERATION: &str = "looking for items that are for the same whole";
const WAITING: &str = "another run that is for wholes and parts of the same kind is being planned";

/// What an item is for, where that is a whole or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemPart {
    /// Fingerprint of the whole.
    pub of: KeyHash,
    /// The fields that name the whole, and the one that names the part.
    pub fields: Vec<String>,
    /// What they hold; an empty last one is the whole.
    pub values: Vec<String>,
    /// Whether it is done once: what does it again is of another kind.
    pub once: bool,
}

impl ItemPart {
    fn name(&self) -> &str {
        self.values.last().map_or("", String::as_str)
    }

    fn is_whole(&self) -> bool {
        self.name().is_empty()
    }

    /// Which part it is, in small letters; empty: the whole.
    pub(super) fn folded(&self) -> String {
        self.name().to_lowercase()
    }

    /// The whole and the part, as they were written.
    pub(super) fn written(&self) -> String {
        let given: Vec<&str> = self
            .values
            .iter()
            .map(String::as_str)
            .filter(|value| !value.is_empty())
            .collect();
        given.join("/")
    }

    /// The whole, for people.
    fn whole(&self) -> String {
        let named = self.fields.iter().zip(&self.values);
        let named = named.take(self.fields.len().saturating_sub(1));
        named
            .map(|(field, value)| format!("{field} {value}"))
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn line<'a>(&self, n: usize, item: &'a NewItem) -> PartLine<'a> {
        PartLine {
            n,
            part_of: hex(self.of),
            part: self.folded(),
            written: self.written(),
            once: u8::from(self.once),
            after: None,
            replaced: item.replaced(),
        }
    }

    /// Whether both cannot be done. They are of the same whole, and of the same kind.
    fn clashes(&self, has_other_key: bool, other: &Self) -> bool {
        let is_again = self.once && has_other_key;
        self.is_whole() != other.is_whole()
            || (self.folded() == other.folded() && (is_again || self.written() != other.written()))
    }
}

/// A row as `planning/part_clashes.sql` reads it.
#[derive(Debug, Serialize)]
struct PartLine<'a> {
    n: usize,
    part_of: String,
    part: String,
    written: String,
    /// 1 where it may be done once.
    once: u8,
    /// Where it may be done again: the same of a later item clashes all the same.
    after: Option<i64>,
    #[serde(flatten)]
    replaced: Replaced<'a>,
}

/// What a row does again with other content, and so clashes with nothing of it.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Replaced<'a> {
    /// The item of before; 0 if there is none.
    pub(super) but: i64,
    /// The key of what was filed again before that; empty if nothing was.
    pub(super) chain: &'a str,
}

impl<'a> Replaced<'a> {
    /// What an item (a row of `items`) has done again, that is to be tried again itself.
    pub(super) fn by_stored(row: &'a AnyRow) -> Result<Self, LedgerError> {
        let failed = |source| LedgerError::of(OPERATION, source);
        let result: Option<&str> = row.try_get("result").map_err(failed)?;
        let files_again = result.is_some_and(|result| result.contains(ReplacedItem::FACT));
        let chain = if files_again {
            row.try_get("key").map_err(failed)?
        } else {
            ""
        };
        Ok(Self { but: 0, chain })
    }
}

/// What a plan knows of wholes and parts.
#[derive(Debug, Default)]
pub(super) struct WholesAndParts {
    taken: bool,
    looks: u32,
    /// By job and whole: a line for all of it and a line for a part. None of these rows is meant.
    split: HashMap<(i64, KeyHash), [u64; 2]>,
}

/// An item that a row clashes with.
#[derive(Debug)]
pub(crate) struct ClashingItem {
    id: i64,
    job_id: i64,
    run_id: i64,
    line: u64,
    state: State,
    is_whole: bool,
    written: String,
}

/// Why an item is not tried again: what clashes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryClash {
    /// For the same whole in another shape, or for the same in other letters.
    OtherShape(i64),
    /// For the same, by another row.
    Same(i64),
}

impl ClashingItem {
    fn read(row: &AnyRow) -> Result<Self, LedgerError> {
        let failed = |source| LedgerError::of(OPERATION, source);
        let id: i64 = row.try_get("id").map_err(failed)?;
        let state: &str = row.try_get("state").map_err(failed)?;
        let part: &str = row.try_get("part").map_err(failed)?;
        Ok(Self {
            id,
            job_id: row.try_get("job_id").map_err(failed)?,
            run_id: row.try_get("run_id").map_err(failed)?,
            line: stored_values::unsigned(
                row.try_get("line").map_err(failed)?,
                ("items", &id, "line"),
            )?,
            state: State::parse(state).ok_or_else(|| LedgerError::corrupt("items", id, "state"))?,
            is_whole: part.is_empty(),
            written: row.try_get("part_written").map_err(failed)?,
        })
    }

    /// Why a row is refused that clashes with it.
    fn refuse(&self, item: &NewItem, part: &ItemPart, run_id: i64) -> RejectedRow {
        let (line, id, run) = (self.line, self.id, self.run_id);
        let other = other_row((run, id, line), self.state.told(), run_id);
        let remedy = if run == run_id {
            Message::new("part-leave-one-out", "leave this row out, or the other one")
        } else {
            Message::new(
                "part-leave-this-out",
                "leave this row out; it may come again once that item has failed or was cancelled",
            )
        };
        let (whole, field) = (part.whole(), part.fields.last().map_or("", String::as_str));
        let reason = match (part.is_whole(), self.is_whole) {
            (true, false) => Message::new(
                "part-of-this-whole",
                "{other} is for a part of {whole} ({written}), and this row for the whole: both together are more than the whole; {remedy}",
            )
            .with("whole", whole)
            .with("written", &self.written)
            .with("remedy", remedy),
            (false, true) => Message::new(
                "whole-of-this-part",
                "{other} is for the whole of {whole}, and this row for a part of it ({field} {name}): both together are more than the \
                 whole; {remedy}",
            )
            .with("whole", whole)
            .with("field", field)
            .with("name", part.name())
            .with("remedy", remedy),
            (true, true) | (false, false) if self.written == part.written() => Message::new(
                "part-under-another-key",
                "{other} is for {written} too, under another key: {once}",
            )
            .with("written", &self.written)
            .with("once", ONCE),
            (true, true) | (false, false) => Message::new(
                "part-in-other-capitals",
                "{other} is for {written}, from which {own} differs in capitals only: no document says that the gateway tells them \
                 apart; write it as before, or give it another number",
            )
            .with("written", &self.written)
            .with("own", part.written()),
        }
        .with("other", other);
        refused_as(item, reason)
    }
}

/// The rows of a chunk, as they are sorted one after the other.
#[derive(Default)]
struct SortedRows<'a> {
    /// Rows that may become items; of what, where nobody has their keys.
    kept: Vec<(&'a NewItem, Option<&'a ItemPart>)>,
    refused: Vec<RejectedRow>,
    /// By whole: the rows that were kept.
    before: HashMap<KeyHash, Vec<(&'a NewItem, &'a ItemPart)>>,
    /// The wholes of which rows turned out to contradict others, and why none is sent.
    splits: Vec<(KeyHash, Message)>,
}

impl PlanWriter {
    /// Whether another plan adds such items on this server: nothing can be said of these then. It
    /// has been waited for a moment, and is to be asked again.
    ///
    /// # Errors
    /// [`LedgerError::Busy`] if that has taken too long, and whatever the database says. Then the
    /// plan must be abandoned.
    pub async fn waits_for_parts(&mut self, items: &[NewItem]) -> Result<bool, LedgerError> {
        let matters = |item: &NewItem| item.part.is_some() || item.payment.is_some();
        if self.parts.taken || !items.iter().any(matters) {
            return Ok(false);
        }
        self.parts.taken = take_turn(self.write_tx().await?).await?;
        if self.parts.taken {
            return Ok(false);
        }
        self.parts.looks += 1;
        if self.parts.looks > LOOKS {
            return Err(LedgerError::Busy { operation: WAITING });
        }
        tokio::time::sleep(LOOK).await;
        Ok(true)
    }

    /// Takes the items out that clash with others; returns why.
    pub(super) async fn without_clashes<'a>(
        &mut self,
        job_id: i64,
        fresh: Vec<&'a NewItem>,
    ) -> Result<(Vec<&'a NewItem>, Vec<RejectedRow>), LedgerError> {
        if fresh.iter().all(|item| item.part.is_none()) {
            return Ok((fresh, Vec::new()));
        }
        let run_id = self.run_id;
        let found = clashes_of(self.write_tx().await?, &fresh, run_id).await?;
        let is_split = |item: &&NewItem| {
            let part = item.part.as_ref();
            part.is_some_and(|part| self.parts.split.contains_key(&(job_id, part.of)))
        };
        if found.is_empty() && !fresh.iter().any(is_split) && !clash_among(&fresh) {
            return Ok((fresh, Vec::new()));
        }
        // A row whose key somebody has makes no item anyway, and is told so.
        let held = self.holders(&fresh).await?;
        let mut sorted = SortedRows::default();
        for (n, item) in fresh.into_iter().enumerate() {
            let free = item.part.as_ref();
            match free.filter(|_| !held.contains_key(&item.key_hash)) {
                None => sorted.kept.push((item, None)),
                Some(part) => self.sort(job_id, (item, part), found.get(&n), &mut sorted),
            }
        }
        for (of, reason) in std::mem::take(&mut sorted.splits) {
            let rejected = self.reject_planned(job_id, of, &reason).await?;
            sorted.refused.extend(rejected);
        }
        let SortedRows {
            kept, mut refused, ..
        } = sorted;
        let mut left = Vec::with_capacity(kept.len());
        for (item, part) in kept {
            match part.and_then(|part| self.why_split(job_id, part)) {
                None => left.push(item),
                Some(reason) => refused.push(refused_as(item, reason)),
            }
        }
        Ok((left, refused))
    }

    /// Keeps a row or refuses it, by the item it clashes with and by the rows before it.
    fn sort<'a>(
        &mut self,
        job_id: i64,
        (item, part): (&'a NewItem, &'a ItemPart),
        found: Option<&ClashingItem>,
        sorted: &mut SortedRows<'a>,
    ) {
        if let Some(reason) = self.why_split(job_id, part) {
            sorted.refused.push(refused_as(item, reason));
            return;
        }
        let before = sorted.before.entry(part.of).or_default();
        let beside = before
            .iter()
            .find(|(row, other)| part.clashes(row.key_hash != item.key_hash, other));
        let beside = beside.map(|(row, other)| (row.line, *other));
        let split_with = match (found, beside) {
            (Some(other), _) if other.job_id != job_id || other.is_whole == part.is_whole() => {
                sorted.refused.push(other.refuse(item, part, self.run_id));
                return;
            }
            (None, Some((line, other))) if other.is_whole() == part.is_whole() => {
                let reason = stands_before(line, other, part);
                sorted.refused.push(refused_as(item, reason));
                return;
            }
            (Some(other), _) => Some(other.line),
            (None, Some((line, _))) => Some(line),
            (None, None) => None,
        };
        before.push((item, part));
        sorted.kept.push((item, Some(part)));
        if let Some(line) = split_with {
            self.note_split(job_id, (item, part), line);
            sorted
                .splits
                .extend(self.why_split(job_id, part).map(|why| (part.of, why)));
        }
    }

    /// Why no row of the job is sent that is of this whole, where some contradict others.
    fn why_split(&self, job_id: i64, part: &ItemPart) -> Option<Message> {
        let [all, one] = self.parts.split.get(&(job_id, part.of))?;
        let split = Message::new(
            "whole-and-parts-in-file",
            "line {all} is for the whole of {whole}, and line {one} for a part of it: none of these rows is sent; leave the whole or \
             the parts alone in the file",
        );
        Some(
            split
                .with("all", *all)
                .with("one", *one)
                .with("whole", part.whole()),
        )
    }

    /// Notes that a row is for the whole and another line of its job for a part, or the other way
    /// round: nobody can tell which are meant.
    fn note_split(&mut self, job_id: i64, (item, part): (&NewItem, &ItemPart), other: u64) {
        let lines = if part.is_whole() {
            [item.line, other]
        } else {
            [other, item.line]
        };
        self.parts.split.insert((job_id, part.of), lines);
    }

    /// What this job has planned of a whole is not planned after all. Nobody has seen it yet.
    async fn reject_planned(
        &mut self,
        job_id: i64,
        of: KeyHash,
        reason: &Message,
    ) -> Result<Vec<RejectedRow>, LedgerError> {
        let failed = |source| LedgerError::of("refusing rows that clash", source);
        let rejected = sqlx::query(include_str!("reject_parts.sql"))
            .bind(hex(of))
            .bind(job_id)
            .bind(reason.to_string())
            .bind(message_text(reason));
        let rejected = rejected
            .fetch_all(self.connection().await?)
            .await
            .map_err(failed)?;
        self.refusals_of_planned(job_id, &rejected, reason).await
    }
}

pub(super) fn refused_as(item: &NewItem, reason: Message) -> RejectedRow {
    RejectedRow {
        reason,
        ..refusal_of(item)
    }
}

const ONCE: Message = Message::new(
    "part-once",
    "it would be done twice; a change of what was done is of another job kind (redeclare), and a mended row has the key of before",
);

/// The row or the item with which another row clashes.
pub(super) fn other_row(
    (run, item, line): (i64, i64, u64),
    state: Message,
    run_id: i64,
) -> Message {
    if run == run_id {
        Message::new("other-line-of-run", "line {line} of this run").with("line", line)
    } else {
        Message::new("other-item-of-run", "item {item} of run {run} ({state})")
            .with("item", item)
            .with("run", run)
            .with("state", state)
    }
}

fn stands_before(line: u64, other: &ItemPart, part: &ItemPart) -> Message {
    if other.written() == part.written() {
        return Message::new(
            "part-in-line-under-another-key",
            "line {line} is for {written} too, under another key: {once}",
        )
        .with("line", line)
        .with("written", part.written())
        .with("once", ONCE);
    }
    Message::new(
        "part-in-line-in-other-capitals",
        "line {line} has {written}, from which {own} differs in capitals only: no document says that the gateway tells them apart; write \
         it alike, or give it another number",
    )
    .with("line", line)
    .with("written", other.written())
    .with("own", part.written())
}

/// Whether rows clash with one another.
fn clash_among(items: &[&NewItem]) -> bool {
    let mut seen: HashMap<KeyHash, (&ItemPart, HashMap<String, &NewItem>)> = HashMap::new();
    for item in items {
        let Some(part) = &item.part else {
            continue;
        };
        let (first, rows) = seen
            .entry(part.of)
            .or_insert_with(|| (part, HashMap::new()));
        let row = *rows.entry(part.folded()).or_insert(item);
        let has_other_key = row.key_hash != item.key_hash;
        let clashes = |other: &ItemPart| part.clashes(has_other_key, other);
        if first.is_whole() != part.is_whole() || row.part.as_ref().is_some_and(clashes) {
            return true;
        }
    }
    false
}

/// Takes the turn to add items that may clash, or to try them again; false if somebody else has it.
/// In a file the writer is enough.
async fn take_turn(tx: &mut WriteTx) -> Result<bool, LedgerError> {
    if tx.db_kind() == DbKind::Sqlite {
        return Ok(true);
    }
    let taken = sqlx::query_scalar::<_, i32>(TAKE_TURN)
        .fetch_one(tx.connection())
        .await;
    taken
        .map(|taken| taken == 1)
        .map_err(|source| LedgerError::of(OPERATION, source))
}

/// What rows clash with, by their place.
async fn clashes_of(
    tx: &mut WriteTx,
    items: &[&NewItem],
    run_id: i64,
) -> Result<HashMap<usize, ClashingItem>, LedgerError> {
    let lines = items.iter().enumerate();
    let lines: Vec<PartLine<'_>> = lines
        .filter_map(|(n, item)| Some(item.part.as_ref()?.line(n, item)))
        .collect();
    clashes(tx, &lines, run_id).await
}

async fn clashes(
    tx: &mut WriteTx,
    lines: &[PartLine<'_>],
    run_id: i64,
) -> Result<HashMap<usize, ClashingItem>, LedgerError> {
    let failed = |source| LedgerError::of(OPERATION, source);
    let rows = sqlx::query(include_str!("part_clashes.sql"))
        .bind(list(lines))
        .bind(run_id)
        .fetch_all(tx.connection())
        .await
        .map_err(failed)?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in &rows {
        let n: i64 = row.try_get("n").map_err(failed)?;
        found.insert(
            usize::try_from(n).unwrap_or(usize::MAX),
            ClashingItem::read(row)?,
        );
    }
    Ok(found)
}

/// What an item (a row of `items`) would clash with, were it to be tried again; none if nothing.
/// What is done once clashes with any other of the same; what may be done again clashes with a
/// later one, which says what is to be now.
///
/// # Errors
/// [`LedgerError::Busy`] while a plan adds such items.
pub(crate) async fn clash_of(
    tx: &mut WriteTx,
    row: &AnyRow,
) -> Result<Option<RetryClash>, LedgerError> {
    let failed = |source| LedgerError::of(OPERATION, source);
    let id: i64 = row.try_get("id").map_err(failed)?;
    let of: Option<&[u8]> = row.try_get("part_of").map_err(failed)?;
    let Some(of) = stored_values::key_hash(of, ("items", &id, "part_of"))? else {
        return Ok(None);
    };
    let text = |column: &'static str| -> Result<String, LedgerError> {
        let text: Option<String> = row.try_get(column).map_err(failed)?;
        text.ok_or_else(|| LedgerError::corrupt("items", id, column))
    };
    let once: Option<i64> = row.try_get("part_once").map_err(failed)?;
    let line = PartLine {
        n: 0,
        part_of: hex(of),
        part: text("part")?,
        written: text("part_written")?,
        once: u8::from(once == Some(1)),
        after: Some(id),
        replaced: Replaced::by_stored(row)?,
    };
    let (is_whole, written) = (line.part.is_empty(), line.written.clone());
    wait_for_nobody(tx).await?;
    let found = clashes(tx, &[line], 0).await?;
    Ok(found.values().next().map(|other| {
        if other.is_whole == is_whole && other.written == written {
            RetryClash::Same(other.id)
        } else {
            RetryClash::OtherShape(other.id)
        }
    }))
}

/// Nothing is tried again while a plan adds such items.
pub(super) async fn wait_for_nobody(tx: &mut WriteTx) -> Result<(), LedgerError> {
    if take_turn(tx).await? {
        return Ok(());
    }
    Err(LedgerError::Busy { operation: WAITING })
}

#[cfg(test)]
mod tests {
    use crate::tests::{place, steps};

    #[tokio::test]
    async fn clashes_are_found_by_their_index() {
        let steps = steps(include_str!("part_clashes.sql")).await;
        for step in [
            "x USING INDEX items_part_of (part_of=? AND part>?)",
            "x USING INDEX items_part_of (part_of=? AND part=?)",
            "i USING INTEGER PRIMARY KEY (rowid=?)",
        ] {
            place(&steps, step);
        }
        let scans = |step: &&String| step.starts_with("SCAN") && !step.contains("VIRTUAL TABLE");
        assert!(!steps.iter().any(|step| scans(&step)), "{steps:#?}");
        let reject = crate::tests::steps(include_str!("reject_parts.sql")).await;
        place(&reject, "items USING INDEX items_part_of (part_of=?)");
    }
}
