//! The rows of a job's file that failed, by line, for a person who mends them; beside them those of
//! which it is not known yet what becomes of them, which nobody may give again.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::db::stored_values;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use crate::planning::replacement::filed_again_as;
use payrun_domain::item::State;

/// An item of a row that failed, or has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsuccessfulLine {
    /// Its line in the file.
    pub line: u64,
    /// The id of the item.
    pub item: i64,
    /// Where it stands.
    pub state: State,
    /// Why, where the state alone does not say.
    pub reason: String,
    /// The gateway's code; empty where it gave none.
    pub code: String,
    /// The item that files it again with other content.
    pub filed_again_as: Option<i64>,
    /// The item that says what became of its row, where others came after it: one that files it
    /// again, or declares the same again.
    pub later: Option<LaterItem>,
}

/// An item that stands for an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaterItem {
    /// Its id.
    pub item: i64,
    /// Its run.
    pub run: i64,
    /// Where it stands.
    pub state: State,
    /// Why, where the state alone does not say.
    pub reason: String,
}

const LISTING: &str = "listing the failed rows of a job";

impl Ledger {
    /// The lines of a job's file whose items failed or have not ended, by line from behind a line and
    /// an item on: at most so many.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn unsuccessful_lines(
        &self,
        job_id: i64,
        after: (u64, i64),
        limit: u32,
    ) -> Result<Vec<UnsuccessfulLine>, LedgerError> {
        let query = sqlx::query(include_str!("unsuccessful_lines.sql"))
            .bind(job_id)
            .bind(i64::try_from(after.0).unwrap_or(i64::MAX))
            .bind(after.1)
            .bind(i64::from(limit));
        let rows = self.rows(LISTING, query).await?;
        let mut lines: Vec<UnsuccessfulLine> = rows.iter().map(line).collect::<Result<_, _>>()?;
        self.follow(&mut lines).await?;
        Ok(lines)
    }

    /// Finds out what became of rows that failed and that other items stand for by now.
    async fn follow(&self, lines: &mut [UnsuccessfulLine]) -> Result<(), LedgerError> {
        let failed: Vec<i64> = lines
            .iter()
            .filter(|line| line.state == State::Failed)
            .map(|line| line.item)
            .collect();
        let mut filed: Vec<FiledAgain> = lines
            .iter()
            .filter_map(|line| {
                let later = line.filed_again_as?;
                let earlier = line.item;
                Some(FiledAgain { earlier, later })
            })
            .collect();
        let mut asked = failed;
        let mut later: BTreeMap<i64, Vec<LaterItem>> = BTreeMap::new();
        // Each step follows what filed an item again that was filed again itself.
        for _ in 0..STEPS {
            if asked.is_empty() && filed.is_empty() {
                break;
            }
            let query = sqlx::query(include_str!("later_items.sql"))
                .bind(list(&asked))
                .bind(list(&filed));
            let (mut next, known) = (Vec::new(), self.rows(LISTING, query).await?);
            for row in &known {
                let (earlier, one, by) = later_item(row)?;
                next.extend(by.map(|later| FiledAgain { earlier, later }));
                let all = later.entry(earlier).or_default();
                if all.iter().all(|other| other.item != one.item) {
                    all.push(one);
                }
            }
            next.retain(|next| {
                let known = later.get(&next.earlier);
                known.is_none_or(|known| known.iter().all(|one| one.item != next.later))
            });
            (asked, filed) = (Vec::new(), next);
        }
        for line in lines {
            line.later = later.remove(&line.item).and_then(decisive);
        }
        Ok(())
    }
}

/// How often a row is followed that was filed again.
const STEPS: u32 = 100;

/// An item that another one files again, as `later_items.sql` reads it.
#[derive(Debug, Serialize)]
struct FiledAgain {
    earlier: i64,
    later: i64,
}

/// Of all items that came after one, that which says what became of it: what succeeded, else what
/// may still succeed, else the last.
fn decisive(later: Vec<LaterItem>) -> Option<LaterItem> {
    let rank = |one: &LaterItem| match one.state {
        State::Succeeded => 2,
        State::Failed | State::Cancelled | State::Rejected | State::Skipped => 0,
        State::AwaitingApproval
        | State::Planned
        | State::Sending
        | State::Pending
        | State::Unknown
        | State::NeedsReview => 1,
    };
    later.into_iter().max_by_key(|one| (rank(one), one.item))
}

/// An item that stands for an earlier one, and the one that files it again.
fn later_item(row: &AnyRow) -> Result<(i64, LaterItem, Option<i64>), LedgerError> {
    let failed = |source| LedgerError::of(LISTING, source);
    let item: i64 = row.try_get("id").map_err(failed)?;
    let reason: Option<String> = row.try_get("reason").map_err(failed)?;
    let later = LaterItem {
        item,
        run: row.try_get("run_id").map_err(failed)?,
        state: state(row.try_get("state").map_err(failed)?, item)?,
        reason: reason.unwrap_or_default(),
    };
    let by = filed_again_as(item, row.try_get("result").map_err(failed)?)?;
    Ok((row.try_get("earlier").map_err(failed)?, later, by))
}

fn line(row: &AnyRow) -> Result<UnsuccessfulLine, LedgerError> {
    let failed = |source| LedgerError::of(LISTING, source);
    let item: i64 = row.try_get("id").map_err(failed)?;
    let reason: Option<String> = row.try_get("reason").map_err(failed)?;
    let result: Option<&str> = row.try_get("result").map_err(failed)?;
    Ok(UnsuccessfulLine {
        line: stored_values::unsigned(
            row.try_get("line").map_err(failed)?,
            ("items", &item, "line"),
        )?,
        item,
        state: state(row.try_get("state").map_err(failed)?, item)?,
        reason: reason.unwrap_or_default(),
        code: row.try_get("code").map_err(failed)?,
        filed_again_as: filed_again_as(item, result)?,
        later: None,
    })
}

fn state(word: &str, id: i64) -> Result<State, LedgerError> {
    State::parse(word).ok_or_else(|| LedgerError::corrupt("items", id, "state"))
}
