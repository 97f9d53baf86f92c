//! Incidents that last.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::App;
use crate::http::error::ApiError;

/// An incident that lasts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertView {
    kind: &'static str,
    key: String,
    since: String,
    /// Since when people are told; none while it has not lasted long enough.
    opened_at: Option<String>,
}

/// Incidents that last
#[utoipa::path(get, path = "/alerts", tag = "alerts", responses((status = 200, body = Vec<AlertView>)))]
pub(super) async fn alerts(State(app): State<App>) -> Result<Json<Vec<AlertView>>, ApiError> {
    let open = app.engine().ledger.open_incidents().await?;
    let views = open.into_iter().map(|row| AlertView {
        kind: row.kind.as_str(),
        key: row.key,
        since: row.since.to_string(),
        opened_at: row.opened_at.map(|at| at.to_string()),
    });
    Ok(Json(views.collect()))
}
