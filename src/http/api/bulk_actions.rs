//! Bulk actions that have begun: listed, and shown with the items that were left as they were.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{NewestFirstQuery, OldestFirstQuery, page_size};
use crate::bulk_view::{BulkActionView, BulkRefusalView};
use crate::domain::message::Message;
use crate::http::App;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::{Path, Query};

/// Bulk actions, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BulkActionsPage {
    bulk_actions: Vec<BulkActionView>,
    /// Give it as `before` for the next page; none if this is the last.
    next_before: Option<i64>,
}

/// A bulk action with items that were left as they were.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BulkActionDetail {
    #[serde(flatten)]
    bulk_action: BulkActionView,
    /// Items that were left as they were, in the order of their ids.
    refusals: Vec<BulkRefusalView>,
    /// Give it as `after` for the next of them; none if there are no more.
    next_after: Option<i64>,
}

/// What was done to many items at once, newest first
#[utoipa::path(get, path = "/bulk-actions", tag = "controls", params(NewestFirstQuery),
    responses((status = 200, body = BulkActionsPage), (status = 400, body = ErrorBody)))]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<NewestFirstQuery>,
) -> Result<Json<BulkActionsPage>, ApiError> {
    let size = page_size(query.limit)?;
    let (ledger, now) = (&app.engine().ledger, app.engine().clock.now());
    let found = ledger.bulk_actions(query.before, size).await?;
    let full = found.len() == size as usize;
    Ok(Json(BulkActionsPage {
        next_before: found.last().map(|row| row.id).filter(|_| full),
        bulk_actions: found
            .iter()
            .map(|row| BulkActionView::of(row, now))
            .collect(),
    }))
}

/// One bulk action: how far it is, and which items were left as they were
#[utoipa::path(get, path = "/bulk-actions/{bulk_action}", tag = "controls",
    params(("bulk_action" = i64, Path, description = "Its number"), OldestFirstQuery),
    responses((status = 200, body = BulkActionDetail), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn show(
    State(app): State<App>,
    Path(id): Path<i64>,
    Query(query): Query<OldestFirstQuery>,
) -> Result<Json<BulkActionDetail>, ApiError> {
    let size = page_size(query.limit)?;
    let (ledger, now) = (&app.engine().ledger, app.engine().clock.now());
    let row = ledger.bulk_action(id).await?;
    let row = row.ok_or_else(|| {
        ApiError::not_found(
            Message::new("no-such-bulk-action", "there is no bulk action {id}").with("id", id),
        )
    })?;
    let after = query.after.unwrap_or(0);
    let refusals = ledger.bulk_refusals(id, after, size).await?;
    let full = refusals.len() == size as usize;
    Ok(Json(BulkActionDetail {
        bulk_action: BulkActionView::of(&row, now),
        next_after: refusals.last().map(|refusal| refusal.item).filter(|_| full),
        refusals: refusals.into_iter().map(BulkRefusalView::from).collect(),
    }))
}
