//! Pages of items: of a run, of a job, on a lane, in some states, with a key or a reason. Each
//! finds its rows without reading what is not asked for, however many items there are.
//!
//! The items of a job have ids from one to another, so a run is a span of ids. What went wrong and
//! what is being asked about are few among many that went well, and have indexes of their own; the
//! states in those must be written out, or they are not used.

use std::fmt::Write as _;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use crate::Ledger;
use crate::db::location::DbKind;
use crate::db::stored_values;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use crate::reads::item::{ItemRow, REASON, item_row, told};
use crate::statements::reconcile::TimeSpan;
use payrun_domain::item::State;
use payrun_domain::message::Message;
use payrun_domain::money::Currency;

/// Which items are meant.
#[derive(Debug, Clone, Default)]
pub struct ItemFilter {
    /// Of this run.
    pub run_id: Option<i64>,
    /// Of runs of this workflow.
    pub workflow: Option<String>,
    /// Of jobs of this name.
    pub job: Option<String>,
    /// In these states; all if empty.
    pub states: Vec<State>,
    /// With this key.
    pub key: Option<String>,
    /// On this gateway account.
    pub lane: Option<String>,
    /// Whose reason has this text in it, such as a gateway's code.
    pub reason: Option<String>,
    /// Whose last answer has this code, as lists and sums by code have it; [`NO_CODE`] for none.
    pub code: Option<String>,
    /// Whose amount is in this currency, or who have none.
    pub currency: Option<AmountIn>,
    /// Whose run was planned in this span of time.
    pub planned: Option<TimeSpan>,
    /// That a bulk action changed.
    pub bulk: Option<BulkItems>,
}

/// Which items of a bulk action are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkItems {
    /// The bulk action.
    pub bulk_action: i64,
    /// Only those that nobody has claimed or changed since: of them nothing was sent since.
    pub only_untouched: bool,
}

/// The word for items whose answers have no code.
pub const NO_CODE: &str = "none";

/// In which currency the amount of an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmountIn {
    /// In this one.
    Currency(Currency),
    /// It has no amount.
    None,
}

impl AmountIn {
    /// The code of a currency, or `none`.
    pub fn parse(word: &str) -> Option<Self> {
        if word == Self::None.as_str() {
            return Some(Self::None);
        }
        Currency::parse(word).ok().map(Self::Currency)
    }

    /// As people and programs write it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Currency(currency) => currency.code(),
            Self::None => "none",
        }
    }
}

/// What went wrong.
const PROBLEMS: &[State] = &[
    State::Failed,
    State::NeedsReview,
    State::Rejected,
    State::Skipped,
    State::Cancelled,
];

/// States of which there are few, and the index that has them.
const FEW: [(&str, &[State]); 3] = [
    // Very few, which are sorted by their ids.
    ("items_needing_review", &[State::NeedsReview]),
    ("items_with_problems", PROBLEMS),
    ("items_queried", &[State::Pending, State::Unknown]),
];

/// The index of [`PROBLEMS`] by the state: of one of them there may be a few among a million others.
const ONE_PROBLEM: &str = "items_in_state";

const OPERATION: &str = "listing items";

/// The columns of an item as people see it.
pub(super) const ITEM: &str = "i.*, j.run_id, j.name as job";

/// A row of a file that was rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedLine {
    /// Its line.
    pub line: u64,
    /// The id of what is kept of it.
    pub item: i64,
    /// Why.
    pub reason: Message,
}

impl Ledger {
    /// Items from behind `after` on, in the order of their ids.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn items(
        &self,
        filter: &ItemFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<ItemRow>, LedgerError> {
        let statement = statement(self.location.db_kind, filter, ITEM);
        let rows = self.item_page(statement, filter, after, limit).await?;
        rows.iter().map(item_row).collect()
    }

    /// The rows of a statement around [`statement`], from behind `after` on.
    pub(super) async fn item_page(
        &self,
        statement: String,
        filter: &ItemFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<AnyRow>, LedgerError> {
        let (first, last) = self.span(filter).await?;
        let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
        let query = sqlx::query(AssertSqlSafe(statement))
            .bind(after.max(first - 1))
            .bind(last)
            .bind(list(&states))
            .bind(i64::try_from(states.len()).unwrap_or(0))
            .bind(filter.key.clone())
            .bind(filter.run_id)
            .bind(filter.job.clone())
            .bind(i64::from(limit))
            .bind(filter.lane.clone())
            .bind(filter.reason.clone())
            .bind(filter.workflow.clone())
            .bind(filter.planned.map(|span| span.from.millis()))
            .bind(filter.planned.map(|span| span.until.millis()))
            .bind(filter.code.clone())
            .bind(filter.currency.map(|currency| currency.as_str()))
            .bind(filter.bulk.map(|bulk| bulk.bulk_action));
        self.rows(OPERATION, query).await
    }

    /// Items of a job in some states, from behind `after` on, in the order of their ids.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn items_of_job(
        &self,
        job_id: i64,
        states: &[State],
        after: i64,
        limit: u32,
    ) -> Result<Vec<ItemRow>, LedgerError> {
        let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
        // `cross join`: the job first, then its items by their ids.
        let query = sqlx::query(
            "select i.*, j.run_id, j.name as job from jobs as j cross join items as i \
             where j.id = $1 and i.id >= coalesce(j.first_item, 0) and i.id > $3 \
               and i.id <= coalesce(j.last_item, 9223372036854775807) and i.job_id = j.id \
               and i.state in (select atom from json_each($2)) order by i.id limit $4",
        );
        let query = query
            .bind(job_id)
            .bind(list(&states))
            .bind(after)
            .bind(i64::from(limit));
        self.rows("listing the items of a job", query)
            .await?
            .iter()
            .map(item_row)
            .collect()
    }

    /// The lines of a job's file whose rows were rejected, with the reasons, by line from behind one
    /// on: at most so many.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn rejected_lines(
        &self,
        job_id: i64,
        after: (u64, i64),
        limit: u32,
    ) -> Result<Vec<RejectedLine>, LedgerError> {
        let query = sqlx::query(include_str!("rejected_lines.sql"))
            .bind(job_id)
            .bind(i64::try_from(after.0).unwrap_or(i64::MAX))
            .bind(after.1)
            .bind(i64::from(limit));
        let operation = "listing the rejected rows of a job";
        let failed = |source| LedgerError::of(operation, source);
        let line = |row: &AnyRow| {
            let reason = told(row, REASON).map_err(failed)?;
            let item: i64 = row.try_get("id").map_err(failed)?;
            Ok(RejectedLine {
                line: stored_values::unsigned(
                    row.try_get("line").map_err(failed)?,
                    ("items", &item, "line"),
                )?,
                item,
                reason: reason.unwrap_or_else(|| Message::plain("")),
            })
        };
        self.rows(operation, query)
            .await?
            .iter()
            .map(line)
            .collect()
    }

    /// Between which ids the items of a run, or of the runs of a span of time, are; all ids where none
    /// is meant.
    async fn span(&self, filter: &ItemFilter) -> Result<(i64, i64), LedgerError> {
        let failed = |source| LedgerError::of(OPERATION, source);
        let query = match (filter.run_id, filter.planned) {
            (Some(run), _) => sqlx::query(OF_RUN).bind(run).bind(filter.job.clone()),
            (None, Some(span)) => sqlx::query(OF_SPAN)
                .bind(span.from.millis())
                .bind(span.until.millis()),
            (None, None) => return Ok((0, i64::MAX)),
        };
        let row = query.fetch_one(&self.read).await.map_err(failed)?;
        let ends: (Option<i64>, Option<i64>) = (
            row.try_get(0).map_err(failed)?,
            row.try_get(1).map_err(failed)?,
        );
        // A run whose jobs have no items yet has none to list.
        Ok((ends.0.unwrap_or(1), ends.1.unwrap_or(0)))
    }
}

/// The ids of the items of a run.
const OF_RUN: &str = "select min(coalesce(first_item, 0)), max(coalesce(last_item, 9223372036854775807)) from jobs \
    where run_id = $1 and planned = 1 and ($2 is null or name = $2)";

/// The ids of the items of the runs that were planned in a span of time; runs are few.
// `cross join`: the runs first, then the jobs of each.
const OF_SPAN: &str = "select min(coalesce(j.first_item, 0)), max(coalesce(j.last_item, 9223372036854775807)) \
    from runs as r cross join jobs as j \
    where r.started_at >= $1 and r.started_at < $2 and j.run_id = r.id and j.planned = 1";

/// The statement that finds a page of items, with these columns.
pub(super) fn statement(engine: DbKind, filter: &ItemFilter, columns: &str) -> String {
    let meant = |states: &[State]| {
        !filter.states.is_empty() && filter.states.iter().all(|state| states.contains(state))
    };
    let few = FEW
        .iter()
        .find(|(_, states)| meant(states) && filter.key.is_none());
    let (index, written_out) = match few {
        None => (String::new(), String::new()),
        Some((name, states)) => {
            let words: Vec<String> = states
                .iter()
                .map(|state| format!("'{}'", state.as_str()))
                .collect();
            // SQLite knows an index of one state by an equation alone.
            let mut written_out = match words.as_slice() {
                [only] => format!("and i.state = {only}"),
                several => format!("and i.state in ({})", several.join(", ")),
            };
            let mut name = *name;
            if let ([one], [_, _, ..]) = (filter.states.as_slice(), *states)
                && PROBLEMS.contains(one)
            {
                name = ONE_PROBLEM;
                let _ = write!(written_out, " and i.state = '{}'", one.as_str());
            }
            // SQLite would read all ids in their order; PostgreSQL knows how many there are of each
            // state.
            let index = if engine == DbKind::Sqlite {
                format!("indexed by {name}")
            } else {
                String::new()
            };
            (index, written_out)
        }
    };
    let of_key = if filter.key.is_some() {
        "i.key = $5"
    } else {
        "$5 is null"
    };
    let of_code = if filter.code.is_some() {
        OF_CODE
    } else {
        "$14 is null"
    };
    // `cross join`: what a bulk action changed by its own rows, which have the order of the items,
    // then the item of each.
    let (source, order, of_bulk) = match filter.bulk {
        None => (
            format!("items as i {index}"),
            "i.id",
            "cast($16 as bigint) is null",
        ),
        Some(bulk) => (
            "bulk_items as b cross join items as i".to_owned(),
            "b.item_id",
            if bulk.only_untouched {
                "b.bulk_action = $16 and b.item_id > $1 and b.item_id <= $2 and i.id = b.item_id and i.version = b.version"
            } else {
                "b.bulk_action = $16 and b.item_id > $1 and b.item_id <= $2 and i.id = b.item_id"
            },
        ),
    };
    include_str!("item_page.sql")
        .replace("{columns}", columns)
        .replace("{source}", &source)
        .replace("{order}", order)
        .replace("{bulk}", of_bulk)
        .replace("{states}", &written_out)
        .replace("{key}", of_key)
        .replace("{code}", of_code)
}

/// As exported_items.sql and failure_codes.sql: the code of the last answer, and where that did not
/// succeed of the last one that says why.
const OF_CODE: &str = "coalesce(nullif((select a.code from attempts as a where a.item_id = i.id and a.kind in ('call', 'notification') \
    and (i.state = 'succeeded' or a.code <> '') order by a.version desc, a.late desc limit 1), ''), 'none') = $14";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{place, steps};

    async fn steps_of(filter: ItemFilter) -> Vec<String> {
        steps(&statement(DbKind::Sqlite, &filter, ITEM)).await
    }

    #[tokio::test]
    async fn every_list_finds_its_rows_by_an_index_and_sorts_nothing_long() {
        place(
            &steps_of(ItemFilter::default()).await,
            "SEARCH i USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        );
        let failed = ItemFilter {
            states: vec![State::Failed, State::NeedsReview],
            ..ItemFilter::default()
        };
        place(
            &steps_of(failed).await,
            "SEARCH i USING INDEX items_with_problems (id>? AND id<?)",
        );
        let rejected = ItemFilter {
            states: vec![State::Rejected],
            ..ItemFilter::default()
        };
        place(
            &steps_of(rejected).await,
            "SEARCH i USING INDEX items_in_state (state=? AND id>? AND id<?)",
        );
        let unknown = ItemFilter {
            states: vec![State::Unknown],
            ..ItemFilter::default()
        };
        place(
            &steps_of(unknown).await,
            "SEARCH i USING INDEX items_queried (id>? AND id<?)",
        );
        let needing_review = ItemFilter {
            states: vec![State::NeedsReview],
            ..ItemFilter::default()
        };
        place(
            &steps_of(needing_review).await,
            "SCAN i USING INDEX items_needing_review",
        );
        let key = ItemFilter {
            key: Some("A/1".to_owned()),
            ..ItemFilter::default()
        };
        place(
            &steps_of(key).await,
            "SEARCH i USING INDEX items_by_key (key=? AND rowid>? AND rowid<?)",
        );
        let of_code = ItemFilter {
            run_id: Some(1),
            states: vec![State::Failed],
            code: Some("NOT_ENOUGH".to_owned()),
            ..ItemFilter::default()
        };
        let of_code = steps_of(of_code).await;
        place(
            &of_code,
            "SEARCH i USING INDEX items_in_state (state=? AND id>? AND id<?)",
        );
        place(
            &of_code,
            "SEARCH a USING INDEX sqlite_autoindex_attempts_1 (item_id=?)",
        );
        let of_bulk = ItemFilter {
            states: vec![State::Planned],
            bulk: Some(BulkItems {
                bulk_action: 1,
                only_untouched: true,
            }),
            ..ItemFilter::default()
        };
        let of_bulk = steps_of(of_bulk).await;
        place(
            &of_bulk,
            "SEARCH b USING PRIMARY KEY (bulk_action=? AND item_id>? AND item_id<?)",
        );
        place(&of_bulk, "SEARCH i USING INTEGER PRIMARY KEY (rowid=?)");
        let mixed = ItemFilter {
            states: vec![State::Failed, State::Unknown],
            ..ItemFilter::default()
        };
        place(
            &steps_of(mixed).await,
            "SEARCH i USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        );
    }
}
