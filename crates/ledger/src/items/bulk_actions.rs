//! Bulk actions: what a person does to many items at once, counted first. A bulk action has a row
//! from before its first item, and each commit says in it how far it is. So a process that dies
//! leaves a row that says what was done.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use crate::Ledger;
use crate::db::stored_values::{self, json as stored_json, unsigned};
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use crate::items::operator_action::{ActionResult, OperatorAction};
use crate::planning::rejected_rows::message_text;
use crate::reads::item_pages::{AmountIn, BulkItems, ItemFilter};
use payrun_domain::actor::Authorization;
use payrun_domain::item::State;
use payrun_domain::message::Message;
use payrun_domain::money::Currency;
use payrun_domain::time::Timestamp;

/// After how long without a commit nobody is taken to be at a bulk action any more. One commit of
/// it takes less than a second.
const SILENT: Duration = Duration::from_secs(60);

/// What is done to many items at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkVerb {
    /// They are tried again.
    Retry,
    /// They are withdrawn.
    Cancel,
}

impl BulkVerb {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Retry, Self::Cancel];

    /// The word for it, as the ledger, the API and the commands spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
        }
    }

    /// What this word means.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == word)
    }

    /// What takes it back, and of items in which states: of what was to be tried again nothing more is
    /// sent; what was cancelled is tried again. What may be under way and was withdrawn is not among
    /// it: until its end is known nothing of it can be tried again.
    pub const fn undo(self) -> (Self, &'static [State]) {
        match self {
            Self::Retry => (
                Self::Cancel,
                &[State::Planned, State::Pending, State::Unknown],
            ),
            Self::Cancel => (Self::Retry, &[State::Cancelled]),
        }
    }

    /// The same of one item.
    pub const fn action(self) -> OperatorAction {
        match self {
            Self::Retry => OperatorAction::Retry,
            Self::Cancel => OperatorAction::Cancel,
        }
    }
}

/// A bulk action that is to begin.
#[derive(Debug, Clone, Copy)]
pub struct NewBulkAction<'a> {
    /// What is done.
    pub verb: BulkVerb,
    /// How the items were chosen.
    pub filter: &'a ItemFilter,
    /// What was counted.
    pub counted: &'a CountedItems,
    /// The key of the form that asks for it.
    pub request_key: Option<&'a str>,
}

/// Items that were counted, and how they stood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CountedItems {
    /// How many.
    pub items: u64,
    /// How many of each state.
    pub states: BTreeMap<State, u64>,
    /// Their money: minor units by currency code.
    pub sums: BTreeMap<&'static str, (i64, Currency)>,
    /// How many are left out of a retry, since their contract is not charged or their period was
    /// given up with it.
    pub left_out: u64,
    /// Stands for exactly these items in exactly these versions, and for what is done to them.
    pub set: String,
}

/// What became of the wish to begin a bulk action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkStart {
    /// It has begun, under this number.
    Begun(i64),
    /// The form was sent before; this is what it began.
    Again(i64),
    /// The form was sent before and asked for something else.
    Otherwise,
}

/// Where a bulk action is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkState {
    /// Its process is at it.
    UnderWay,
    /// Every item has had its turn.
    Done,
    /// Nobody is at it any more, and items are left that had no turn.
    BrokenOff,
}

impl BulkState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::UnderWay, Self::Done, Self::BrokenOff];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnderWay => "under_way",
            Self::Done => "done",
            Self::BrokenOff => "broken_off",
        }
    }
}

/// A bulk action.
#[derive(Debug, Clone)]
pub struct BulkActionRow {
    /// Its number.
    pub id: i64,
    /// What is done.
    pub verb: BulkVerb,
    /// How the items were chosen.
    pub filter: ItemFilter,
    /// What was counted.
    pub counted: CountedItems,
    /// Who wants it.
    pub actor: String,
    /// The way they came.
    pub via: String,
    /// Why.
    pub reason: String,
    /// When it began.
    pub began_at: Timestamp,
    /// How many items have had their turn.
    pub handled: u64,
    /// How many are in each state now.
    pub moved: BTreeMap<State, u64>,
    /// How many may be under way and were withdrawn, by the state they stay in.
    pub withdrawn: BTreeMap<State, u64>,
    /// How many were left as they were.
    pub refused: u64,
    /// When it went on last.
    pub went_on_at: Timestamp,
    /// When the last item had its turn.
    pub ended_at: Option<Timestamp>,
    /// When it is known to have broken off.
    pub broke_off_at: Option<Timestamp>,
}

impl BulkActionRow {
    /// What takes it back, and of which items: of those that nobody has claimed or changed since.
    pub fn undo(&self) -> (BulkVerb, ItemFilter) {
        let (verb, states) = self.verb.undo();
        let filter = ItemFilter {
            states: states.to_vec(),
            bulk: Some(BulkItems {
                bulk_action: self.id,
                only_untouched: true,
            }),
            ..ItemFilter::default()
        };
        (verb, filter)
    }

    /// Where it is.
    pub fn state(&self, now: Timestamp) -> BulkState {
        if self.ended_at.is_some() {
            return BulkState::Done;
        }
        let is_silent = now.since(self.went_on_at) >= SILENT;
        if self.broke_off_at.is_some() || is_silent {
            BulkState::BrokenOff
        } else {
            BulkState::UnderWay
        }
    }
}

/// An item that was left as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkRefusal {
    /// The item.
    pub item: i64,
    /// Why, for programs.
    pub code: String,
    /// And for people.
    pub words: String,
    /// The same, as it can be said in other languages.
    pub told: Message,
}

/// How items were chosen, as it is kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredFilter {
    run: Option<i64>,
    workflow: Option<String>,
    job: Option<String>,
    gateway: Option<String>,
    states: Vec<State>,
    reason_has: Option<String>,
    /// These came later: a row without them was chosen without them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bulk_action: Option<i64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    untouched: bool,
}

impl StoredFilter {
    fn of(filter: &ItemFilter) -> Self {
        Self {
            run: filter.run_id,
            workflow: filter.workflow.clone(),
            job: filter.job.clone(),
            gateway: filter.lane.clone(),
            states: filter.states.clone(),
            reason_has: filter.reason.clone(),
            code: filter.code.clone(),
            currency: filter.currency.map(|currency| currency.as_str().to_owned()),
            bulk_action: filter.bulk.map(|bulk| bulk.bulk_action),
            untouched: filter.bulk.is_some_and(|bulk| bulk.only_untouched),
        }
    }

    /// None where the currency is none.
    fn filter(self) -> Option<ItemFilter> {
        let currency = match &self.currency {
            None => None,
            Some(word) => Some(AmountIn::parse(word)?),
        };
        Some(ItemFilter {
            run_id: self.run,
            workflow: self.workflow,
            job: self.job,
            lane: self.gateway,
            states: self.states,
            reason: self.reason_has,
            code: self.code,
            currency,
            bulk: self.bulk_action.map(|bulk_action| BulkItems {
                bulk_action,
                only_untouched: self.untouched,
            }),
            ..ItemFilter::default()
        })
    }
}

impl Ledger {
    /// Begins a bulk action; one whose form was sent before is not begun again.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn begin_bulk_action(
        &self,
        new: NewBulkAction<'_>,
        by: &Authorization,
        now: Timestamp,
    ) -> Result<BulkStart, LedgerError> {
        let mut tx = self.begin_write("beginning a bulk action").await?;
        if let Some(before) = begun_before(&mut tx, &new, by).await? {
            tx.rollback().await?;
            return Ok(before);
        }
        let failed = |source| LedgerError::of("beginning a bulk action", source);
        let counted = new.counted;
        let minor: BTreeMap<&str, i64> = counted
            .sums
            .iter()
            .map(|(code, (minor, _))| (*code, *minor))
            .collect();
        let id = sqlx::query_scalar(
            "insert into bulk_actions (action, chosen_by, item_set, items, states, sums, left_out, actor, via, reason, request_key, \
               began_at, handled, moved, withdrawn, refused, went_on_at) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, '{}', '{}', 0, $12) returning id",
        )
        .bind(new.verb.as_str())
        .bind(json!(StoredFilter::of(new.filter)).to_string())
        .bind(counted.set.clone())
        .bind(number(counted.items))
        .bind(json!(counted.states).to_string())
        .bind(json!(minor).to_string())
        .bind(number(counted.left_out))
        .bind(by.actor.name().to_owned())
        .bind(by.actor.via().to_owned())
        .bind(by.reason.as_str().to_owned())
        .bind(new.request_key.map(str::to_owned))
        .bind(now.millis())
        .fetch_one(tx.connection())
        .await
        .map_err(failed)?;
        tx.commit().await?;
        Ok(BulkStart::Begun(id))
    }

    /// Notes that nobody goes on with a bulk action.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn break_off_bulk_action(&self, id: i64, now: Timestamp) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of("breaking off a bulk action", source);
        let mut tx = self.begin_write("breaking off a bulk action").await?;
        sqlx::query("update bulk_actions set broke_off_at = $2 where id = $1 and ended_at is null")
            .bind(id)
            .bind(now.millis())
            .execute(tx.connection())
            .await
            .map_err(failed)?;
        tx.commit().await
    }

    /// A bulk action.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn bulk_action(&self, id: i64) -> Result<Option<BulkActionRow>, LedgerError> {
        let found = self.bulk_rows("where id = $1 and $2 = 1", id, 1).await?;
        Ok(found.into_iter().next())
    }

    /// The bulk action that somebody's form began, by the form's key.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn bulk_action_of_request(
        &self,
        actor: &str,
        request_key: &str,
    ) -> Result<Option<BulkActionRow>, LedgerError> {
        let query = "select * from bulk_actions where actor = $1 and request_key = $2";
        let row = sqlx::query(query)
            .bind(actor.to_owned())
            .bind(request_key.to_owned())
            .fetch_optional(&self.read)
            .await
            .map_err(reading)?;
        row.as_ref().map(bulk_row).transpose()
    }

    /// Bulk actions from before `before` on, newest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn bulk_actions(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<BulkActionRow>, LedgerError> {
        let before = before.unwrap_or(i64::MAX);
        self.bulk_rows("where id < $1 order by id desc limit $2", before, limit)
            .await
    }

    async fn bulk_rows(
        &self,
        which: &str,
        id: i64,
        limit: u32,
    ) -> Result<Vec<BulkActionRow>, LedgerError> {
        let query = sqlx::query(AssertSqlSafe(format!("select * from bulk_actions {which}")))
            .bind(id)
            .bind(i64::from(limit));
        let rows = query.fetch_all(&self.read).await.map_err(reading)?;
        rows.iter().map(bulk_row).collect()
    }

    /// The items that a bulk action left as they were, from behind an item on.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn bulk_refusals(
        &self,
        id: i64,
        after: i64,
        limit: u32,
    ) -> Result<Vec<BulkRefusal>, LedgerError> {
        let query = "select item_id, code, words, message from bulk_refusals where bulk_action = $1 and item_id > $2 \
                     order by item_id limit $3";
        let rows = sqlx::query(query)
            .bind(id)
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await
            .map_err(reading)?;
        let refusal = |row: &AnyRow| {
            let words: String = row.try_get(2).map_err(reading)?;
            let kept: Option<&str> = row.try_get(3).map_err(reading)?;
            let told = kept.and_then(|kept| serde_json::from_str(kept).ok());
            Ok(BulkRefusal {
                item: row.try_get(0).map_err(reading)?,
                code: row.try_get(1).map_err(reading)?,
                told: told.unwrap_or_else(|| Message::plain(words.clone())),
                words,
            })
        };
        rows.iter().map(refusal).collect()
    }

    /// How many items a bulk action left as they were for each reason.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn bulk_refusal_counts(&self, id: i64) -> Result<Vec<(String, u64)>, LedgerError> {
        let query = "select code, count(*) from bulk_refusals where bulk_action = $1 group by code order by 2 desc, 1";
        let rows = sqlx::query(query)
            .bind(id)
            .fetch_all(&self.read)
            .await
            .map_err(reading)?;
        let count = |row: &AnyRow| {
            let items: i64 = row.try_get(1).map_err(reading)?;
            Ok((
                row.try_get(0).map_err(reading)?,
                stored_values::count(items, "counting refusals")?,
            ))
        };
        rows.iter().map(count).collect()
    }
}

/// What a form began that was sent before.
async fn begun_before(
    tx: &mut WriteTx,
    new: &NewBulkAction<'_>,
    by: &Authorization,
) -> Result<Option<BulkStart>, LedgerError> {
    let Some(key) = new.request_key else {
        return Ok(None);
    };
    let query = "select id, action, item_set, reason from bulk_actions where actor = $1 and request_key = $2";
    let row = sqlx::query(query)
        .bind(by.actor.name().to_owned())
        .bind(key.to_owned())
        .fetch_optional(tx.connection())
        .await
        .map_err(reading)?;
    let Some(row) = row else { return Ok(None) };
    let text = |column: usize| row.try_get::<String, _>(column).map_err(reading);
    let is_same = text(1)? == new.verb.as_str()
        && text(2)? == new.counted.set
        && text(3)? == by.reason.as_str();
    Ok(Some(if is_same {
        BulkStart::Again(row.try_get(0).map_err(reading)?)
    } else {
        BulkStart::Otherwise
    }))
}

/// Says in the row of a bulk action what became of some of its items, in the commit that did it.
pub(super) async fn note_progress(
    tx: &mut WriteTx,
    id: i64,
    outcome: &[(i64, ActionResult)],
    now: Timestamp,
) -> Result<(), LedgerError> {
    let failed = |source| LedgerError::of("noting how far a bulk action is", source);
    let row = sqlx::query("select moved, withdrawn from bulk_actions where id = $1")
        .bind(id)
        .fetch_one(tx.connection())
        .await
        .map_err(failed)?;
    let counts = |column: &'static str| {
        let text: &str = row.try_get(column).map_err(failed)?;
        stored_json::<BTreeMap<State, u64>>(text, ("bulk_actions", &id, column))
    };
    let (mut moved, mut withdrawn) = (counts("moved")?, counts("withdrawn")?);
    let mut refused: Vec<Value> = Vec::new();
    for (item, result) in outcome {
        if !result.count_done(&mut moved, &mut withdrawn) {
            refused.push(json!({
                "item": item, "code": result.refusal_code(), "words": result.words(),
                "message": message_text(&result.message()),
            }));
        }
    }
    let update = "update bulk_actions set handled = handled + $2, moved = $3, withdrawn = $4, refused = refused + $5, \
                    went_on_at = $6, ended_at = case when handled + $2 >= items then $6 end where id = $1";
    sqlx::query(update)
        .bind(id)
        .bind(number(outcome.len() as u64))
        .bind(json!(moved).to_string())
        .bind(json!(withdrawn).to_string())
        .bind(number(refused.len() as u64))
        .bind(now.millis())
        .execute(tx.connection())
        .await
        .map_err(failed)?;
    let insert = "insert into bulk_refusals (bulk_action, item_id, code, words, message) \
                  select $1, cast(value ->> 'item' as bigint), value ->> 'code', value ->> 'words', value ->> 'message' \
                  from json_each($2)";
    if !refused.is_empty() {
        sqlx::query(insert)
            .bind(id)
            .bind(list(&refused))
            .execute(tx.connection())
            .await
            .map_err(failed)?;
    }
    Ok(())
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn reading(source: sqlx::Error) -> LedgerError {
    LedgerError::of("reading a bulk action", source)
}

fn bulk_row(row: &AnyRow) -> Result<BulkActionRow, LedgerError> {
    let id: i64 = row.try_get("id").map_err(reading)?;
    let corrupt = |column| LedgerError::corrupt("bulk_actions", id, column);
    let text = |column: &'static str| row.try_get::<String, _>(column).map_err(reading);
    let count = |column: &'static str| {
        let number: i64 = row.try_get(column).map_err(reading)?;
        unsigned::<u64>(number, ("bulk_actions", &id, column))
    };
    let states = |column: &'static str| {
        stored_json::<BTreeMap<State, u64>>(&text(column)?, ("bulk_actions", &id, column))
    };
    let instant = |column: &'static str| {
        let millis: Option<i64> = row.try_get(column).map_err(reading)?;
        Ok::<_, LedgerError>(millis.map(Timestamp::from_millis))
    };
    let needed = |column: &'static str| instant(column)?.ok_or_else(|| corrupt(column));
    let minor: BTreeMap<String, i64> = stored_json(&text("sums")?, ("bulk_actions", &id, "sums"))?;
    let sum = |(code, minor): (String, i64)| {
        let currency = Currency::parse(&code).map_err(|_| corrupt("sums"))?;
        Ok((currency.code(), (minor, currency)))
    };
    let filter: StoredFilter =
        stored_json(&text("chosen_by")?, ("bulk_actions", &id, "chosen_by"))?;
    Ok(BulkActionRow {
        id,
        verb: BulkVerb::parse(&text("action")?).ok_or_else(|| corrupt("action"))?,
        filter: filter.filter().ok_or_else(|| corrupt("chosen_by"))?,
        counted: CountedItems {
            items: count("items")?,
            states: states("states")?,
            sums: minor
                .into_iter()
                .map(sum)
                .collect::<Result<_, LedgerError>>()?,
            left_out: count("left_out")?,
            set: text("item_set")?,
        },
        actor: text("actor")?,
        via: text("via")?,
        reason: text("reason")?,
        began_at: needed("began_at")?,
        handled: count("handled")?,
        moved: states("moved")?,
        withdrawn: states("withdrawn")?,
        refused: count("refused")?,
        went_on_at: needed("went_on_at")?,
        ended_at: instant("ended_at")?,
        broke_off_at: instant("broke_off_at")?,
    })
}
