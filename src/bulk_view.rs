//! Bulk actions as programs see them: what `payrun bulk --json` prints and the API answers, one
//! shape for both.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::item::State;
use crate::domain::money::decimal_text;
use crate::domain::time::Timestamp;
use crate::ledger::{BulkActionOfItem, BulkActionRow, BulkRefusal, ItemFilter};

/// What was done to many items at once.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BulkActionView {
    /// Its number.
    pub bulk_action: i64,
    /// `retry` or `cancel`.
    pub action: &'static str,
    /// `under_way`, `done`, or `broken_off`: nobody is at it any more, and items are left that had no
    /// turn.
    pub state: &'static str,
    /// How the items were chosen.
    pub chosen_by: BulkFilterView,
    /// Stands for exactly the items that were counted, as they were.
    pub set: String,
    /// How many were counted.
    pub items: u64,
    /// By state.
    pub states: BTreeMap<String, u64>,
    /// Their money, as decimal text by currency.
    pub sums: BTreeMap<String, String>,
    /// How many were not meant, since nothing more of them is sent.
    pub left_out: u64,
    /// Who did it.
    pub by: String,
    /// The way they came.
    pub via: String,
    /// Why.
    pub reason: String,
    /// When it began.
    pub began_at: String,
    /// How many items have had their turn.
    pub handled: u64,
    /// How many are in each state now.
    pub moved: BTreeMap<String, u64>,
    /// How many may be under way and were withdrawn, by the state they stay in until that is known.
    pub withdrawn: BTreeMap<String, u64>,
    /// How many were left as they were.
    pub refused: u64,
    /// When it went on last.
    pub went_on_at: String,
    /// When the last item had its turn.
    pub ended_at: Option<String>,
    /// What takes it back of the items that nobody has claimed or changed since.
    pub undo: BulkUndoView,
}

/// What takes a bulk action back: give `action` and `chosen_by` to `POST /items/bulk`, which counts the
/// items first. What was sent since, or is being asked about since, is not among them.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BulkUndoView {
    /// `retry` or `cancel`.
    pub action: &'static str,
    /// Which items.
    pub chosen_by: BulkFilterView,
}

/// A bulk action that changed an item.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BulkActionOfItemView {
    /// Its number.
    pub bulk_action: i64,
    /// `retry` or `cancel`.
    pub action: &'static str,
    /// When it changed this item.
    pub at: String,
}

/// How items were chosen.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BulkFilterView {
    /// In these states.
    pub states: Vec<&'static str>,
    /// Of this run.
    pub run: Option<i64>,
    /// Of runs of this workflow.
    pub workflow: Option<String>,
    /// Of jobs of this name.
    pub job: Option<String>,
    /// On this gateway account.
    pub gateway: Option<String>,
    /// With this text in their reason.
    pub reason_has: Option<String>,
    /// Whose last answer has this code; `none`: no code.
    pub code: Option<String>,
    /// With an amount in this currency; `none`: without an amount.
    pub currency: Option<&'static str>,
    /// That this bulk action changed.
    pub bulk_action: Option<i64>,
    /// Only those that nobody has claimed or changed since that bulk action.
    pub untouched: bool,
}

/// An item that was left as it was.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BulkRefusalView {
    /// The item.
    pub item: i64,
    /// Why, for programs: `not_allowed`, `changed`, `contract_busy`, `never_approved`,
    /// `evidence_gone`, `filed_again`, `clashes`, `given_back`, `contract_stopped`,
    /// `approval_revoked`, `run_withdrawn`, `own_batch` or `not_found`.
    pub code: String,
    /// And for people.
    pub words: String,
}

impl BulkActionView {
    /// Of a bulk action as it is in the ledger.
    pub fn of(row: &BulkActionRow, now: Timestamp) -> Self {
        let sums = row.counted.sums.iter();
        let (undo, undone) = row.undo();
        Self {
            undo: BulkUndoView {
                action: undo.as_str(),
                chosen_by: BulkFilterView::of(&undone),
            },
            bulk_action: row.id,
            action: row.verb.as_str(),
            state: row.state(now).as_str(),
            chosen_by: BulkFilterView::of(&row.filter),
            set: row.counted.set.clone(),
            items: row.counted.items,
            states: by_word(&row.counted.states),
            sums: sums
                .map(|(code, (minor, currency))| {
                    let sum = decimal_text(i128::from(*minor), *currency);
                    ((*code).to_owned(), sum)
                })
                .collect(),
            left_out: row.counted.left_out,
            by: row.actor.clone(),
            via: row.via.clone(),
            reason: row.reason.clone(),
            began_at: row.began_at.to_string(),
            handled: row.handled,
            moved: by_word(&row.moved),
            withdrawn: by_word(&row.withdrawn),
            refused: row.refused,
            went_on_at: row.went_on_at.to_string(),
            ended_at: row.ended_at.map(|at| at.to_string()),
        }
    }
}

impl BulkFilterView {
    fn of(filter: &ItemFilter) -> Self {
        Self {
            states: filter.states.iter().map(|state| state.as_str()).collect(),
            run: filter.run_id,
            workflow: filter.workflow.clone(),
            job: filter.job.clone(),
            gateway: filter.lane.clone(),
            reason_has: filter.reason.clone(),
            code: filter.code.clone(),
            currency: filter.currency.map(|currency| currency.as_str()),
            bulk_action: filter.bulk.map(|bulk| bulk.bulk_action),
            untouched: filter.bulk.is_some_and(|bulk| bulk.only_untouched),
        }
    }
}

impl BulkActionOfItemView {
    /// Of what the ledger has of it.
    pub fn of(row: &BulkActionOfItem) -> Self {
        Self {
            bulk_action: row.bulk_action,
            action: row.verb.as_str(),
            at: row.at.to_string(),
        }
    }
}

impl From<BulkRefusal> for BulkRefusalView {
    fn from(refusal: BulkRefusal) -> Self {
        Self {
            item: refusal.item,
            code: refusal.code,
            words: refusal.words,
        }
    }
}

/// Counts by the words of states.
pub fn by_word(counts: &BTreeMap<State, u64>) -> BTreeMap<String, u64> {
    counts
        .iter()
        .map(|(state, items)| (state.as_str().to_owned(), *items))
        .collect()
}

/// How items were chosen, in words for the audit log.
pub fn words_of(filter: &ItemFilter) -> String {
    let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
    let named = |what: &str, name: &Option<String>| {
        let name = name.as_ref();
        name.map(|name| format!("{what} {name}"))
    };
    let parts = [
        filter.run_id.map(|run| format!("run {run}")),
        named("workflow", &filter.workflow),
        named("job", &filter.job),
        named("gateway", &filter.lane),
        Some(format!("state {}", states.join(", "))),
        filter
            .reason
            .as_ref()
            .map(|text| format!("reason with \"{text}\"")),
        named("code", &filter.code),
        filter
            .currency
            .map(|currency| format!("currency {}", currency.as_str())),
        filter.bulk.map(|bulk| {
            let untouched = if bulk.only_untouched {
                ", untouched since"
            } else {
                ""
            };
            format!("bulk action {}{untouched}", bulk.bulk_action)
        }),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
