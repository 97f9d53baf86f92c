//! Lists of differences, what became of one, and their sums.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::{Difference, DifferenceRow};
use crate::Ledger;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use crate::statements::statement_files::LineKind;
use payrun_domain::difference::{DifferenceReason, DifferenceState};
use payrun_domain::ids::KeyHash;
use payrun_domain::item::State;
use payrun_domain::money::{Amount, Currency};
use payrun_domain::time::Timestamp;

const OPERATION: &str = "listing differences";

/// Which differences are meant.
#[derive(Debug, Clone, Default)]
pub struct DifferenceFilter {
    /// In these states; all if empty.
    pub states: Vec<DifferenceState>,
    /// On this gateway account.
    pub lane: Option<String>,
    /// For this reason.
    pub reason: Option<DifferenceReason>,
    /// Looked after by this person; an empty name: by nobody.
    pub owner: Option<String>,
    /// From this day on: `YYYY-MM-DD`.
    pub from: Option<String>,
    /// To this day.
    pub to: Option<String>,
    /// With this number: of the payment or the refund, the merchant's or the gateway's.
    pub number: Option<String>,
    /// About this item.
    pub item: Option<i64>,
}

/// What became of a difference once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferenceEventRow {
    /// The difference's version after it.
    pub version: i64,
    /// When.
    pub at: Timestamp,
    /// What: `found`, `found_otherwise`, `not_found`, `explain`, `accept`, `reopen`, `assign`, `comment`.
    pub event: String,
    /// The state after it.
    pub to_state: DifferenceState,
    /// Who.
    pub actor: String,
    /// The person's reason, or the evidence.
    pub note: String,
}

/// Which differences are added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DifferenceSpan {
    /// Those that the reconciliations of a run found for the first time, or anew.
    Run(i64),
    /// Those of the days from one to another.
    Days {
        /// On this gateway account; on all if none.
        lane: Option<String>,
        /// The first day: `YYYY-MM-DD`.
        from: String,
        /// The last day.
        to: String,
    },
}

/// How many differences there are of one kind, and what both sides come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferenceSum {
    /// The gateway account.
    pub lane: String,
    /// Why they differ.
    pub reason: DifferenceReason,
    /// Their state.
    pub state: DifferenceState,
    /// The currency of the gateway's amount, or of ours where the gateway has none; none: no amount.
    pub currency: Option<Currency>,
    /// How many.
    pub count: u64,
    /// Our amounts in this currency, in minor units.
    pub ours: i128,
    /// The gateway's.
    pub theirs: i128,
}

fn failed(source: sqlx::Error) -> LedgerError {
    LedgerError::of(OPERATION, source)
}

/// What decides which index is taken is written out; all other conditions are in every statement and
/// hold where their parameter is null.
fn statement(filter: &DifferenceFilter) -> String {
    let of_states = if filter.states.is_empty() {
        "$3 = '[]'"
    } else {
        "state in (select atom from json_each($3))"
    };
    let of_number = if filter.number.is_some() {
        "id in (select id from differences where order_no = $9 and order_no <> '' \
         union all select id from differences where refund_no = $9 and refund_no <> '' \
         union all select id from differences where transaction_id = $9 and transaction_id <> '')"
    } else {
        "$9 is null"
    };
    let of_item = if filter.item.is_some() {
        "item_id = $10"
    } else {
        "$10 is null"
    };
    format!(
        "select * from differences where id > $1 and {of_states} and {of_number} and {of_item} \
           and ($4 is null or lane = $4) \
           and ($5 is null or reason = $5) \
           and ($6 is null or coalesce(owner, '') = $6) \
           and ($7 is null or day >= $7) \
           and ($8 is null or day <= $8) \
         order by id limit $2"
    )
}

impl Ledger {
    /// Differences from behind `after` on, in the order of their numbers.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn list_differences(
        &self,
        filter: &DifferenceFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<DifferenceRow>, LedgerError> {
        let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
        let query = sqlx::query(AssertSqlSafe(statement(filter)))
            .bind(after)
            .bind(i64::from(limit))
            .bind(list(&states))
            .bind(filter.lane.clone())
            .bind(filter.reason.map(DifferenceReason::as_str))
            .bind(filter.owner.clone())
            .bind(filter.from.clone())
            .bind(filter.to.clone())
            .bind(filter.number.clone())
            .bind(filter.item);
        let rows = query.fetch_all(&self.read).await.map_err(failed)?;
        rows.iter().map(difference_row).collect()
    }

    /// A difference, and what became of it, oldest first; none if there is none of this number.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn difference(
        &self,
        id: i64,
    ) -> Result<Option<(DifferenceRow, Vec<DifferenceEventRow>)>, LedgerError> {
        let row = sqlx::query("select * from differences where id = $1")
            .bind(id)
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?;
        let Some(row) = row.as_ref().map(difference_row).transpose()? else {
            return Ok(None);
        };
        let query =
            "select * from difference_events where difference_id = $1 order by version limit 1000";
        let events = sqlx::query(query)
            .bind(id)
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        let events = events.iter().map(|row| event_row(row, id));
        Ok(Some((row, events.collect::<Result<_, _>>()?)))
    }

    /// How many differences there are, told apart by account, reason, state and currency.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn difference_sums(
        &self,
        span: &DifferenceSpan,
    ) -> Result<Vec<DifferenceSum>, LedgerError> {
        let (lane, days, run) = match span {
            DifferenceSpan::Run(run) => (None, None, Some(*run)),
            DifferenceSpan::Days { lane, from, to } => {
                (lane.clone(), Some((from.clone(), to.clone())), None)
            }
        };
        let (from, to) = days.unzip();
        let query = sqlx::query(include_str!("difference_sums.sql"))
            .bind(lane)
            .bind(from)
            .bind(to)
            .bind(run);
        let rows = query.fetch_all(&self.read).await.map_err(failed)?;
        rows.iter().map(sum_row).collect()
    }
}

pub(super) fn difference_row(row: &AnyRow) -> Result<DifferenceRow, LedgerError> {
    let id: i64 = row.try_get("id").map_err(failed)?;
    let corrupt = |column| LedgerError::corrupt("differences", id, column);
    let text = |column: &str| row.try_get::<String, _>(column).map_err(failed);
    let at = |column: &str| {
        row.try_get(column)
            .map(Timestamp::from_millis)
            .map_err(failed)
    };
    let amount = |minor: &'static str, code: &'static str| {
        let value: Option<i64> = row.try_get(minor).map_err(failed)?;
        let currency: Option<&str> = row.try_get(code).map_err(failed)?;
        match (value, currency) {
            (None, None) => Ok(None),
            (Some(value), Some(currency)) => Currency::parse(currency)
                .and_then(|currency| Amount::from_minor(value, currency))
                .map(Some)
                .map_err(|_| corrupt(minor)),
            (Some(_), None) | (None, Some(_)) => Err(corrupt(code)),
        }
    };
    let our_state: Option<&str> = row.try_get("our_state").map_err(failed)?;
    let line: Option<i64> = row.try_get("line").map_err(failed)?;
    let hash: &[u8] = row.try_get("content_hash").map_err(failed)?;
    let difference = Difference {
        reason: DifferenceReason::parse(&text("reason")?).ok_or_else(|| corrupt("reason"))?,
        day: text("day")?,
        kind: LineKind::parse(&text("kind")?).ok_or_else(|| corrupt("kind"))?,
        order_no: text("order_no")?,
        refund_no: text("refund_no")?,
        transaction_id: text("transaction_id")?,
        ours: amount("ours", "our_currency")?,
        theirs: amount("theirs", "their_currency")?,
        our_state: our_state
            .map(|word| State::parse(word).ok_or_else(|| corrupt("our_state")))
            .transpose()?,
        their_state: text("their_state")?,
        item: row.try_get("item_id").map_err(failed)?,
        line: line
            .map(|line| u64::try_from(line).map_err(|_| corrupt("line")))
            .transpose()?,
        total: row.try_get("total").map_err(failed)?,
        detail: text("detail")?,
    };
    Ok(DifferenceRow {
        id,
        lane: text("lane")?,
        difference,
        state: DifferenceState::parse(&text("state")?).ok_or_else(|| corrupt("state"))?,
        version: row.try_get("version").map_err(failed)?,
        owner: row.try_get("owner").map_err(failed)?,
        note: row.try_get("note").map_err(failed)?,
        found_in: row.try_get("found_in").map_err(failed)?,
        first_seen: at("first_seen")?,
        last_seen: at("last_seen")?,
        changed_at: at("changed_at")?,
        content_hash: KeyHash::from_bytes(hash).ok_or_else(|| corrupt("content_hash"))?,
    })
}

fn event_row(row: &AnyRow, id: i64) -> Result<DifferenceEventRow, LedgerError> {
    let to: &str = row.try_get("to_state").map_err(failed)?;
    Ok(DifferenceEventRow {
        version: row.try_get("version").map_err(failed)?,
        at: Timestamp::from_millis(row.try_get("at").map_err(failed)?),
        event: row.try_get("event").map_err(failed)?,
        to_state: DifferenceState::parse(to)
            .ok_or_else(|| LedgerError::corrupt("difference_events", id, "to_state"))?,
        actor: row.try_get("actor").map_err(failed)?,
        note: row.try_get("note").map_err(failed)?,
    })
}

fn sum_row(row: &AnyRow) -> Result<DifferenceSum, LedgerError> {
    let lane: String = row.try_get("lane").map_err(failed)?;
    let corrupt = |column| LedgerError::corrupt("differences", lane.as_str(), column);
    let reason: &str = row.try_get("reason").map_err(failed)?;
    let state: &str = row.try_get("state").map_err(failed)?;
    let code: Option<&str> = row.try_get("currency").map_err(failed)?;
    let count: i64 = row.try_get("count").map_err(failed)?;
    let ours: i64 = row.try_get("ours").map_err(failed)?;
    let theirs: i64 = row.try_get("theirs").map_err(failed)?;
    Ok(DifferenceSum {
        reason: DifferenceReason::parse(reason).ok_or_else(|| corrupt("reason"))?,
        state: DifferenceState::parse(state).ok_or_else(|| corrupt("state"))?,
        currency: code
            .map(Currency::parse)
            .transpose()
            .map_err(|_| corrupt("their_currency"))?,
        count: crate::db::stored_values::count(count, OPERATION)?,
        ours: i128::from(ours),
        theirs: i128::from(theirs),
        lane,
    })
}
