//! Many items at once: counted first, with their money, then done to exactly those that were
//! counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use utoipa::ToSchema;

use super::items::{amount_in, bulk_items};
use super::start_run::PATIENCE;
use crate::bulk_view::{by_word, words_of};
use crate::domain::actor::Authorization;
use crate::domain::item::State as ItemState;
use crate::domain::message::Message;
use crate::domain::money::decimal_text;
use crate::engine::{BulkCounts, BulkError, BulkSelection};
use crate::errors::chain;
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::JsonBody;
use crate::ledger::{BulkStart, BulkVerb, CountedItems, ItemFilter};

/// What is to be done, to which items.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BulkBody {
    action: BulkAction,
    /// In these states.
    #[schema(min_items = 1)]
    states: Vec<String>,
    /// Of this run.
    run: Option<i64>,
    /// Of runs of this workflow.
    workflow: Option<String>,
    /// Of jobs of this name.
    job: Option<String>,
    /// On this gateway account.
    gateway: Option<String>,
    /// With this text in their reason, such as a gateway's code.
    reason_has: Option<String>,
    /// Whose last answer has this code; `none`: no code. Where an item did not succeed, the last
    /// answer that has one.
    code: Option<String>,
    /// With an amount in this currency; `none`: without an amount.
    currency: Option<String>,
    /// That this bulk action changed.
    bulk_action: Option<i64>,
    /// With `bulk_action`: only those that nobody has claimed or changed since. Of what was to be tried
    /// again that is what was not sent since.
    untouched: Option<bool>,
    /// What counting said stands for the items; none: only count.
    set: Option<String>,
    /// Kept in the audit log; with `set` it must be given.
    #[schema(min_length = 1, max_length = 500)]
    reason: Option<String>,
}

/// What is done.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum BulkAction {
    Retry,
    Cancel,
}

impl BulkAction {
    const fn verb(self) -> BulkVerb {
        match self {
            Self::Retry => BulkVerb::Retry,
            Self::Cancel => BulkVerb::Cancel,
        }
    }
}

/// What was counted, and done if it was.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BulkOutcome {
    /// How many items are meant.
    items: u64,
    /// By state.
    states: BTreeMap<String, u64>,
    /// Their money, as decimal text by currency.
    sums: BTreeMap<String, String>,
    /// How many are not meant, since their contract is suspended or ended or their period was given up
    /// with it.
    left_out: u64,
    /// Stands for exactly these items as they are, and for what is done to them; give it to have it
    /// done.
    set: String,
    /// Whether it was done.
    done: bool,
    /// The bulk action that it began; none if it was only counted, or no item is meant.
    bulk_action: Option<i64>,
    /// Items by the state they are in now.
    moved: BTreeMap<String, u64>,
    /// Items that may be under way and were withdrawn, by the state they stay in until that is
    /// known.
    withdrawn: BTreeMap<String, u64>,
    /// How many were left as they were, since they have moved or cannot.
    refused: u64,
}

impl From<BulkError> for ApiError {
    fn from(error: BulkError) -> Self {
        match error {
            BulkError::Ledger(error) => error.into(),
            error @ (BulkError::TooMany | BulkError::NoStates) => {
                Self::refused("invalid_filter", chain(&error))
            }
        }
    }
}

/// Retries or cancels many items: once without `set` to count them, and again with what that said
/// to have it done
#[utoipa::path(post, path = "/items/bulk", tag = "controls", request_body = BulkBody,
    responses((status = 200, body = BulkOutcome),
              (status = 202, body = BulkOutcome, description = "It goes on; the bulk action says how far it is"),
              (status = 400, body = ErrorBody), (status = 409, body = ErrorBody),
              (status = 413, body = ErrorBody), (status = 415, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(super) async fn bulk(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    JsonBody(wanted): JsonBody<BulkBody>,
) -> Result<(StatusCode, Json<BulkOutcome>), ApiError> {
    let filter = filter(&wanted)?;
    let chosen = app.engine().choose(&filter, wanted.action.verb()).await?;
    let mut outcome = counted(&chosen.counted);
    let Some(set) = wanted.set else {
        return Ok((StatusCode::OK, Json(outcome)));
    };
    let by = caller.signed(wanted.reason.as_deref().unwrap_or_default())?;
    let Some(begun) = begin(&app, chosen, &set, None, by).await? else {
        outcome.done = true;
        return Ok((StatusCode::OK, Json(outcome)));
    };
    outcome.bulk_action = Some(begun.bulk_action);
    let Some(task) = begun.task else {
        return Ok((StatusCode::ACCEPTED, Json(outcome)));
    };
    let done = match tokio::time::timeout(PATIENCE, task).await {
        Err(_) => return Ok((StatusCode::ACCEPTED, Json(outcome))),
        Ok(Err(_)) => {
            return Err(ApiError::unavailable(format!(
                "it broke off; GET /api/v1/bulk-actions/{} says what was done",
                begun.bulk_action
            )));
        }
        Ok(Ok(done)) => done?,
    };
    outcome.done = true;
    (outcome.moved, outcome.withdrawn) = (by_word(&done.moved), by_word(&done.withdrawn));
    outcome.refused = done.refused.len() as u64;
    Ok((StatusCode::OK, Json(outcome)))
}

/// A bulk action that has begun, and what carries it out; that is none where it began before.
pub(in crate::http) struct BegunBulkAction {
    pub bulk_action: i64,
    task: Option<JoinHandle<Result<BulkCounts, BulkError>>>,
}

/// Begins to do what a person wants of exactly the items that were counted. It goes on when the
/// caller has gone. None if no item is meant.
///
/// # Errors
/// If these are not the items that were counted.
pub(in crate::http) async fn begin(
    app: &App,
    chosen: BulkSelection,
    set: &str,
    request_key: Option<&str>,
    by: Authorization,
) -> Result<Option<BegunBulkAction>, ApiError> {
    if set != chosen.counted.set {
        return Err(ApiError::conflict(
            "changed",
            Message::new(
                "bulk-other-items",
                "these are not the items that were counted: count again",
            ),
        ));
    }
    if chosen.counted.items == 0 {
        return Ok(None);
    }
    let engine = Arc::clone(app.engine());
    let started = engine.begin_bulk_action(&chosen, request_key, &by).await?;
    let bulk_action = match started {
        BulkStart::Begun(id) => id,
        BulkStart::Again(id) => {
            return Ok(Some(BegunBulkAction {
                bulk_action: id,
                task: None,
            }));
        }
        BulkStart::Otherwise => return Err(sent_before()),
    };
    let words = format!("{}, set {}", words_of(&chosen.filter), chosen.counted.set);
    let task =
        tokio::spawn(async move { engine.carry_out(bulk_action, &chosen, &words, &by).await });
    Ok(Some(BegunBulkAction {
        bulk_action,
        task: Some(task),
    }))
}

/// A form asked for something else before.
pub(in crate::http) fn sent_before() -> ApiError {
    ApiError::invalid(Message::new(
        "form-sent-otherwise",
        "this form was sent before with other content: load its page again",
    ))
}

fn filter(wanted: &BulkBody) -> Result<ItemFilter, ApiError> {
    let known = || {
        ItemState::ALL
            .into_iter()
            .map(ItemState::as_str)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let no_state = || ApiError::refused("invalid_filter", format!("states are {}", known()));
    let states: Result<Vec<ItemState>, ApiError> = wanted
        .states
        .iter()
        .map(|word| ItemState::parse(word).ok_or_else(no_state))
        .collect();
    Ok(ItemFilter {
        run_id: wanted.run,
        workflow: wanted.workflow.clone(),
        job: wanted.job.clone(),
        states: states?,
        lane: wanted.gateway.clone(),
        reason: wanted.reason_has.clone(),
        code: wanted.code.clone(),
        currency: amount_in(wanted.currency.as_deref())?,
        bulk: bulk_items(wanted.bulk_action, wanted.untouched)?,
        ..ItemFilter::default()
    })
}

fn counted(chosen: &CountedItems) -> BulkOutcome {
    let sum = |(code, (minor, currency)): (&&str, &(i64, _))| {
        (
            (*code).to_owned(),
            decimal_text(i128::from(*minor), *currency),
        )
    };
    BulkOutcome {
        items: chosen.items,
        states: by_word(&chosen.states),
        sums: chosen.sums.iter().map(sum).collect(),
        left_out: chosen.left_out,
        set: chosen.set.clone(),
        done: false,
        bulk_action: None,
        moved: BTreeMap::new(),
        withdrawn: BTreeMap::new(),
        refused: 0,
    }
}
