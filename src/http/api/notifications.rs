//! What the gateways told.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::NewestFirstQuery;
use super::page::page_size;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::error::ErrorBody;
use crate::http::extract::Query;
use crate::ledger::NotificationFilter;

/// Notifications, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NotificationsPage {
    notifications: Vec<NotificationView>,
    /// Give it as `before` for the next page; none if this is the last.
    next_before: Option<i64>,
}

/// What a gateway told.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NotificationView {
    id: i64,
    gateway: String,
    received_at: String,
    /// How often it came again.
    repeats: u64,
    order_no: Option<String>,
    /// What became of it.
    outcome: &'static str,
    detail: Option<String>,
    item: Option<i64>,
}

/// What the gateways told, newest first; without what they wrote
#[utoipa::path(get, path = "/notifications", tag = "notifications", params(NewestFirstQuery),
    responses((status = 200, body = NotificationsPage), (status = 400, body = ErrorBody)))]
pub(super) async fn notifications(
    State(app): State<App>,
    Query(query): Query<NewestFirstQuery>,
) -> Result<Json<NotificationsPage>, ApiError> {
    let size = page_size(query.limit)?;
    let found = app
        .engine()
        .ledger
        .notifications(&NotificationFilter::default(), query.before, size)
        .await?;
    let next_before = found
        .last()
        .map(|row| row.id)
        .filter(|_| found.len() == size as usize);
    let views = found.into_iter().map(|row| NotificationView {
        id: row.id,
        gateway: row.lane,
        received_at: row.received_at.to_string(),
        repeats: row.repeats,
        order_no: row.order_no,
        outcome: row.outcome.as_str(),
        detail: row.detail,
        item: row.item_id,
    });
    Ok(Json(NotificationsPage {
        notifications: views.collect(),
        next_before,
    }))
}
