//! The audit log.

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

/// Entries of the audit log, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditPage {
    entries: Vec<AuditView>,
    /// Give it as `before` for the next page; none if this is the last.
    next_before: Option<i64>,
}

/// Who did what, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditView {
    seq: i64,
    at: String,
    actor: String,
    via: String,
    action: String,
    target: String,
    reason: String,
    /// What was before, as JSON text.
    before: String,
    /// What is after, as JSON text.
    after: String,
    /// Ties it to all entries before it.
    hash: String,
}

/// The audit log, newest first
#[utoipa::path(get, path = "/audit", tag = "audit", params(NewestFirstQuery),
    responses((status = 200, body = AuditPage), (status = 400, body = ErrorBody)))]
pub(super) async fn audit(
    State(app): State<App>,
    Query(query): Query<NewestFirstQuery>,
) -> Result<Json<AuditPage>, ApiError> {
    let size = page_size(query.limit)?;
    let found = app
        .engine()
        .ledger
        .audit_before(query.before.unwrap_or(i64::MAX), size)
        .await?;
    let next_before = found
        .last()
        .map(|row| row.entry.seq)
        .filter(|_| found.len() == size as usize);
    let views = found.into_iter().map(|row| AuditView {
        seq: row.entry.seq,
        at: row.entry.at.to_string(),
        actor: row.entry.actor,
        via: row.entry.via,
        action: row.entry.action,
        target: row.entry.target,
        reason: row.entry.reason,
        before: row.entry.before,
        after: row.entry.after,
        hash: row.hash,
    });
    Ok(Json(AuditPage {
        entries: views.collect(),
        next_before,
    }))
}
