//! What an operator does with one item: withdraw, retry, resolve. Each wants a reason, and is in the
//! audit log with the change.

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::answer::Receipt;
use crate::domain::item::Resolution;
use crate::domain::item::State as Open;
use crate::domain::message::Message;
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::error::ApiError;
use crate::http::error::ErrorBody;
use crate::http::extract::JsonBody;
use crate::http::extract::Path;
use crate::ledger::ActionResult;
use crate::ledger::ItemRow;

/// Why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ReasonBody {
    /// Kept in the audit log.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// What a person has found out about an item.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ResolveBody {
    /// The gateway's number of what happened; none: it did not happen, and never will under this
    /// number.
    pub receipt: Option<String>,
    /// Kept in the audit log, and with the item as evidence.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// The state of an item after an action.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ItemStateView {
    item: i64,
    state: &'static str,
    /// Where it may be under way: it was withdrawn and stays in its state until what became of it
    /// is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn: Option<WithdrawalView>,
}

/// A withdrawal of what may be under way: nothing new of it is sent.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct WithdrawalView {
    /// Who withdrew it first, and why.
    by: String,
    /// When.
    at: Option<DateTime<Utc>>,
    /// What happens now, in words.
    now: &'static str,
}

/// Withdraws an item: what has not been sent is cancelled, of what may be under way nothing new is
/// sent
#[utoipa::path(post, path = "/items/{item}/cancel", tag = "controls", request_body = ReasonBody,
    params(("item" = i64, Path, description = "Its id")),
    responses((status = 200, body = ItemStateView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
              (status = 409, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody),
              (status = 422, body = ErrorBody)))]
pub(in crate::http) async fn cancel(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(item): Path<i64>,
    JsonBody(because): JsonBody<ReasonBody>,
) -> Result<Json<ItemStateView>, ApiError> {
    let engine = app.engine();
    let Json(moved) = granted(
        item,
        engine
            .cancel_item(item, &caller.signed(&because.reason)?)
            .await?,
    )?;
    let row = engine.ledger.item(item).await?;
    Ok(Json(ItemStateView {
        withdrawn: row.as_ref().and_then(withdrawal),
        ..moved
    }))
}

/// Has an item tried again; what was sent before is queried first
#[utoipa::path(post, path = "/items/{item}/retry", tag = "controls", request_body = ReasonBody,
    params(("item" = i64, Path, description = "Its id")),
    responses((status = 200, body = ItemStateView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
              (status = 409, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody),
              (status = 422, body = ErrorBody)))]
pub(in crate::http) async fn retry(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(item): Path<i64>,
    JsonBody(because): JsonBody<ReasonBody>,
) -> Result<Json<ItemStateView>, ApiError> {
    granted(
        item,
        app.engine()
            .retry_item(item, &caller.signed(&because.reason)?)
            .await?,
    )
}

/// Closes an item that is unknown or needs review by what a person has found out
#[utoipa::path(post, path = "/items/{item}/resolve", tag = "controls", request_body = ResolveBody,
    params(("item" = i64, Path, description = "Its id")),
    responses((status = 200, body = ItemStateView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
              (status = 409, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody),
              (status = 422, body = ErrorBody)))]
pub(in crate::http) async fn resolve(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(item): Path<i64>,
    JsonBody(found): JsonBody<ResolveBody>,
) -> Result<Json<ItemStateView>, ApiError> {
    let by = caller.signed(&found.reason)?;
    let invalid = |message| ApiError::refused("invalid_receipt", message);
    let finding = match found.receipt.as_deref() {
        None => Resolution::Failed,
        Some(receipt) => Resolution::Succeeded(Receipt::found(receipt).map_err(invalid)?),
    };
    granted(item, app.engine().resolve_item(item, finding, &by).await?)
}

/// What is noted of an item.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct NoteBody {
    /// Kept in the audit log, and shown with the item.
    #[schema(min_length = 1, max_length = 500)]
    pub note: String,
}

/// Notes something of an item, such as a call with the bank; it changes nothing
#[utoipa::path(post, path = "/items/{item}/notes", tag = "controls", request_body = NoteBody,
    params(("item" = i64, Path, description = "Its id")),
    responses((status = 204), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 413, body = ErrorBody),
              (status = 415, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(in crate::http) async fn note(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(item): Path<i64>,
    JsonBody(wanted): JsonBody<NoteBody>,
) -> Result<StatusCode, ApiError> {
    let by = caller.signed(&wanted.note)?;
    let now = app.engine().clock.now();
    if app.engine().ledger.note_item(item, &by, now).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::not_found(
            Message::new("no-such-item", "there is no item {id}").with("id", item),
        ))
    }
}

/// The withdrawal of an item that has not ended.
fn withdrawal(row: &ItemRow) -> Option<WithdrawalView> {
    let now = match row.state {
        Open::NeedsReview => {
            "a person has to find out what became of it and say so (resolve); nothing new of it is sent"
        }
        Open::AwaitingApproval | Open::Planned | Open::Sending | Open::Pending | Open::Unknown => {
            "what became of it is still being queried; nothing new of it is sent"
        }
        Open::Succeeded | Open::Failed | Open::Cancelled | Open::Rejected | Open::Skipped => {
            return None;
        }
    };
    let at = row
        .withdrawn_at
        .and_then(|at| DateTime::from_timestamp_millis(at.millis()));
    Some(WithdrawalView {
        by: row.withdrawn.clone()?,
        at,
        now,
    })
}

fn granted(item: i64, granted: ActionResult) -> Result<Json<ItemStateView>, ApiError> {
    let code = granted.refusal_code();
    match granted {
        ActionResult::Moved(state) | ActionResult::Withdrawn(state) => Ok(Json(ItemStateView {
            item,
            state: state.as_str(),
            withdrawn: None,
        })),
        ActionResult::NoSuchItem => {
            let missing = Message::new("no-item", "there is no item {item}");
            Err(ApiError::not_found(missing.with("item", item)))
        }
        refused @ (ActionResult::Refused(_)
        | ActionResult::ContractBusy
        | ActionResult::NeverApproved
        | ActionResult::EvidenceGone
        | ActionResult::FiledAgain(_)
        | ActionResult::Clashes(_)
        | ActionResult::DoneAs(_)
        | ActionResult::OtherPayment(_)
        | ActionResult::GivenBackAs(_)
        | ActionResult::Stopped(_)
        | ActionResult::Changed) => Err(ApiError::conflict(code, refused.message())),
    }
}
