//! Items: listed, and shown with all that happened to them.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::page::page_size;
use crate::domain::item::State as ItemState;
use crate::domain::message::Message;
use crate::http::App;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::{Path, Query};
use crate::ledger::{AmountIn, BulkItems, ItemFilter};
use crate::view::{AttemptView, EventView, ItemSurroundings, ItemView};

/// Which items.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ItemsQuery {
    /// Only of this run.
    run: Option<i64>,
    /// Only of runs of this workflow.
    workflow: Option<String>,
    /// Only of jobs of this name.
    job: Option<String>,
    /// Only on this gateway account.
    gateway: Option<String>,
    /// Only in these states, separated by commas.
    state: Option<String>,
    /// Only with this text in their reason, such as a gateway's code.
    reason_has: Option<String>,
    /// Only those whose last answer has this code; `none`: no code. Where an item did not succeed,
    /// the last answer that has one.
    code: Option<String>,
    /// Only with an amount in this currency; `none`: without an amount.
    currency: Option<String>,
    /// Only those that this bulk action changed.
    bulk_action: Option<i64>,
    /// With `bulk_action`: only those that nobody has claimed or changed since.
    untouched: Option<bool>,
    /// Only with this key.
    key: Option<String>,
    /// Only behind this one: the last of the page before.
    after: Option<i64>,
    /// How many at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// A page of items, in the order of their ids.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ItemsPage {
    items: Vec<ItemView>,
    /// Give it as `after` for the next page; none if this is the last.
    next_after: Option<i64>,
}

/// An item with its history.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ItemHistory {
    #[serde(flatten)]
    item: ItemView,
    /// The calls made for it, oldest first.
    attempts: Vec<AttemptView>,
    /// Its moves, oldest first.
    events: Vec<EventView>,
    #[serde(flatten)]
    surroundings: ItemSurroundings,
}

/// Items, oldest first
#[utoipa::path(get, path = "/items", tag = "items", params(ItemsQuery),
    responses((status = 200, body = ItemsPage), (status = 400, body = ErrorBody)))]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<ItemsQuery>,
) -> Result<Json<ItemsPage>, ApiError> {
    let size = page_size(query.limit)?;
    let states = states(query.state.as_deref())?;
    let filter = ItemFilter {
        run_id: query.run,
        workflow: query.workflow,
        job: query.job,
        lane: query.gateway,
        states,
        reason: query.reason_has,
        code: query.code,
        currency: amount_in(query.currency.as_deref())?,
        key: query.key,
        bulk: bulk_items(query.bulk_action, query.untouched)?,
        ..ItemFilter::default()
    };
    let items = app
        .engine()
        .ledger
        .items(&filter, query.after.unwrap_or(0), size)
        .await?;
    let full = items.len() == size as usize;
    let next_after = items.last().map(|item| item.id).filter(|_| full);
    Ok(Json(ItemsPage {
        items: items.iter().map(ItemView::of).collect::<Result<_, _>>()?,
        next_after,
    }))
}

/// The currency of this word.
pub(super) fn amount_in(word: Option<&str>) -> Result<Option<AmountIn>, ApiError> {
    let wrong = || ApiError::invalid("currency is the code of a currency, such as HKD, or none");
    word.map(|word| AmountIn::parse(word).ok_or_else(wrong))
        .transpose()
}

/// Which items of a bulk action are meant.
pub(super) fn bulk_items(
    bulk_action: Option<i64>,
    untouched: Option<bool>,
) -> Result<Option<BulkItems>, ApiError> {
    let only_untouched = untouched.unwrap_or(false);
    match bulk_action {
        None if only_untouched => Err(ApiError::invalid(
            "untouched goes with bulk_action: untouched since when?",
        )),
        None => Ok(None),
        Some(bulk_action) => Ok(Some(BulkItems {
            bulk_action,
            only_untouched,
        })),
    }
}

/// The states of these words.
pub(super) fn states(given: Option<&str>) -> Result<Vec<ItemState>, ApiError> {
    let words = given.into_iter().flat_map(|words| words.split(','));
    words
        .map(|word| {
            let known: Vec<&str> = ItemState::ALL.into_iter().map(ItemState::as_str).collect();
            ItemState::parse(word)
                .ok_or_else(|| ApiError::invalid(format!("state is one of {}", known.join(", "))))
        })
        .collect()
}

/// One item, with every call and move
#[utoipa::path(get, path = "/items/{item}", tag = "items", params(("item" = i64, Path, description = "Its id")),
    responses((status = 200, body = ItemHistory), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn show(
    State(app): State<App>,
    Path(id): Path<i64>,
) -> Result<Json<ItemHistory>, ApiError> {
    let ledger = &app.engine().ledger;
    let item = ledger.item(id).await?.ok_or_else(|| {
        ApiError::not_found(Message::new("no-such-item", "there is no item {id}").with("id", id))
    })?;
    let jobs = ledger.jobs(item.run_id).await?;
    let job = jobs.iter().find(|job| job.id == item.job_id);
    Ok(Json(ItemHistory {
        surroundings: ItemSurroundings::read(ledger, &item, job).await?,
        item: ItemView::of(&item)?,
        attempts: ledger
            .attempts(id)
            .await?
            .iter()
            .map(AttemptView::from)
            .collect(),
        events: ledger
            .events(id)
            .await?
            .iter()
            .map(EventView::from)
            .collect(),
    }))
}
