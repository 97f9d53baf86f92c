//! Operators' controls: pauses, lanes, and single items. Each wants a reason, and is in the audit
//! log with the deed itself.

use axum::extract::State;
use axum::{Extension, Json};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::answer::Receipt;
use crate::domain::item::{Resolution, State as Open};
use crate::domain::time::Timestamp;
use crate::engine::operator::{OperateError, Paused};
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::{JsonBody, Path};
use crate::ledger::{ActionResult, ItemRow, StopReason};
use crate::yaml::scalars;

/// Why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReasonBody {
    /// Kept in the audit log.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// What is to be paused or resumed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pause {
    scope: PauseScope,
    /// The gateway, workflow or contract; none for everything.
    #[schema(max_length = 64)]
    name: Option<String>,
    /// The gateway of a contract, where several have contracts.
    gateway: Option<String>,
    /// Whether the contract may be one that payrun has not met yet.
    #[serde(default)]
    ahead: bool,
    /// Kept in the audit log.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// How much.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PauseScope {
    All,
    Gateway,
    Workflow,
    Contract,
}

/// A lane that is to be suspended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SuspendLaneBody {
    /// `GATEWAY`, or `GATEWAY/KIND` for one kind of job.
    lane: String,
    /// Until when; until it is released if not given.
    until: Option<DateTime<Utc>>,
    /// Kept in the audit log.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// A lane that is to be released.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReleaseLaneBody {
    /// As it was suspended.
    lane: String,
    /// Kept in the audit log.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// How fast a lane may go; neither rate nor concurrency: as payrun.yaml says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limit {
    /// The gateway account.
    lane: String,
    /// Such as `5/s`.
    rate: Option<String>,
    /// How many calls at once in each process.
    #[schema(minimum = 1, maximum = 1024)]
    concurrency: Option<u32>,
    /// Kept in the audit log.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// What a person has found out about an item.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResolveBody {
    /// The gateway's number of what happened; none: it did not happen, and never will under this
    /// number.
    receipt: Option<String>,
    /// Kept in the audit log, and with the item as evidence.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// Whether anything is another way than before.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChangeView {
    changed: bool,
}

/// The state of an item after a deed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ItemStateView {
    item: i64,
    state: &'static str,
    /// Where it may be under way: it was withdrawn and stays in its state until what became of it
    /// is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    withdrawn: Option<WithdrawalView>,
}

/// A withdrawal of what may be under way: nothing new of it is sent.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WithdrawalView {
    /// Who withdrew it first, and why.
    by: String,
    /// When.
    at: Option<DateTime<Utc>>,
    /// What happens now, in words.
    now: &'static str,
}

impl From<OperateError> for ApiError {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::Ledger(error) => error.into(),
            error @ (OperateError::NoSuchGateway { .. }
            | OperateError::NoSuchKind { .. }
            | OperateError::NoSuchJob { .. }) => Self::refused("no_such_lane", error.to_string()),
            error @ OperateError::Name => Self::refused("invalid_name", error.to_string()),
            error @ OperateError::NoSuchContract { .. } => Self::refused(
                "no_such_contract",
                error.to_string(),
            )
            .help("look at the id again; `\"ahead\": true` pauses one that payrun has not met yet"),
            error @ OperateError::NoSuchWorkflow { .. } => {
                Self::refused("no_such_workflow", error.to_string())
            }
            error @ OperateError::WhichGateway { .. } => {
                Self::refused("which_gateway", error.to_string())
            }
            error @ OperateError::AboveAccount { .. } => {
                Self::refused("above_account", error.to_string())
            }
        }
    }
}

impl Pause {
    fn what(self) -> Result<(Paused, String), ApiError> {
        let what = match (self.scope, self.name) {
            (PauseScope::All, None) => Paused::All,
            (PauseScope::Gateway, Some(name)) => Paused::Gateway(name),
            (PauseScope::Workflow, Some(name)) => Paused::Workflow(name),
            (PauseScope::Contract, Some(contract)) => Paused::Contract {
                gateway: self.gateway,
                contract,
                ahead: self.ahead,
            },
            (PauseScope::All, Some(_)) => {
                return Err(ApiError::refused("invalid_scope", "all has no name"));
            }
            (PauseScope::Gateway | PauseScope::Workflow | PauseScope::Contract, None) => {
                return Err(ApiError::refused(
                    "invalid_scope",
                    "name says which one is meant",
                ));
            }
        };
        Ok((what, self.reason))
    }
}

/// Pauses: nothing new is sent, and what is open is still queried
#[utoipa::path(post, path = "/pauses", tag = "controls", request_body = Pause,
    responses((status = 200, body = ChangeView), (status = 400, body = ErrorBody), (status = 413, body = ErrorBody),
              (status = 415, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(super) async fn pause(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    JsonBody(wanted): JsonBody<Pause>,
) -> Result<Json<ChangeView>, ApiError> {
    let (what, reason) = wanted.what()?;
    Ok(Json(ChangeView {
        changed: app.engine().pause(&what, &caller.signed(&reason)?).await?,
    }))
}

/// Resumes what was paused
#[utoipa::path(post, path = "/pauses/resume", tag = "controls", request_body = Pause,
    responses((status = 200, body = ChangeView), (status = 400, body = ErrorBody), (status = 413, body = ErrorBody),
              (status = 415, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(super) async fn resume(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    JsonBody(wanted): JsonBody<Pause>,
) -> Result<Json<ChangeView>, ApiError> {
    let (what, reason) = wanted.what()?;
    Ok(Json(ChangeView {
        changed: app.engine().resume(&what, &caller.signed(&reason)?).await?,
    }))
}

/// Suspends a lane: nothing is called, not even a query
#[utoipa::path(post, path = "/lanes/suspend", tag = "controls", request_body = SuspendLaneBody,
    responses((status = 200, body = ChangeView), (status = 400, body = ErrorBody), (status = 413, body = ErrorBody),
              (status = 415, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(super) async fn suspend(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    JsonBody(wanted): JsonBody<SuspendLaneBody>,
) -> Result<Json<ChangeView>, ApiError> {
    let until = wanted
        .until
        .map(|until| Timestamp::from_millis(until.timestamp_millis()));
    app.engine()
        .suspend_lane(&wanted.lane, until, &caller.signed(&wanted.reason)?)
        .await?;
    Ok(Json(ChangeView { changed: true }))
}

/// Opens a lane, whoever closed it
#[utoipa::path(post, path = "/lanes/release", tag = "controls", request_body = ReleaseLaneBody,
    responses((status = 200, body = ChangeView), (status = 400, body = ErrorBody), (status = 413, body = ErrorBody),
              (status = 415, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(super) async fn release(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    JsonBody(wanted): JsonBody<ReleaseLaneBody>,
) -> Result<Json<ChangeView>, ApiError> {
    let changed = app
        .engine()
        .open_lane(&wanted.lane, &caller.signed(&wanted.reason)?)
        .await?;
    Ok(Json(ChangeView { changed }))
}

/// Slows a lane, in all processes at once; never above what payrun.yaml allows
#[utoipa::path(post, path = "/lanes/limit", tag = "controls", request_body = Limit,
    responses((status = 200, body = ChangeView), (status = 400, body = ErrorBody), (status = 413, body = ErrorBody),
              (status = 415, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(super) async fn limit(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    JsonBody(wanted): JsonBody<Limit>,
) -> Result<Json<ChangeView>, ApiError> {
    let by = caller.signed(&wanted.reason)?;
    if wanted.concurrency == Some(0) {
        return Err(ApiError::refused(
            "invalid_limit",
            "concurrency is at least 1; `lanes/suspend` stops a lane",
        ));
    }
    let no_rate = || ApiError::refused("invalid_limit", "rate is written like 20/s or 600/min");
    let rate = wanted
        .rate
        .as_deref()
        .map(|text| scalars::rate(text).ok_or_else(no_rate))
        .transpose()?;
    match (rate, wanted.concurrency) {
        (None, None) => app.engine().unlimit_lane(&wanted.lane, &by).await?,
        (rate, concurrency) => app
            .engine()
            .limit_lane(&wanted.lane, rate, concurrency, &by)
            .await
            .map(|_| ())?,
    }
    Ok(Json(ChangeView { changed: true }))
}

/// Withdraws an item: what has not been sent is cancelled, of what may be under way nothing new is
/// sent
#[utoipa::path(post, path = "/items/{item}/cancel", tag = "controls", request_body = ReasonBody,
    params(("item" = i64, Path, description = "Its id")),
    responses((status = 200, body = ItemStateView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
              (status = 409, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody),
              (status = 422, body = ErrorBody)))]
pub(super) async fn cancel(
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

/// Has an item tried again; what was sent before is queried first
#[utoipa::path(post, path = "/items/{item}/retry", tag = "controls", request_body = ReasonBody,
    params(("item" = i64, Path, description = "Its id")),
    responses((status = 200, body = ItemStateView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
              (status = 409, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody),
              (status = 422, body = ErrorBody)))]
pub(super) async fn retry(
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
pub(super) async fn resolve(
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

fn granted(item: i64, granted: ActionResult) -> Result<Json<ItemStateView>, ApiError> {
    match granted {
        ActionResult::Moved(state) | ActionResult::Withdrawn(state) => Ok(Json(ItemStateView {
            item,
            state: state.as_str(),
            withdrawn: None,
        })),
        ActionResult::NoSuchItem => Err(ApiError::not_found(format!("there is no item {item}"))),
        ActionResult::Refused(illegal) => {
            Err(ApiError::conflict("not_allowed", illegal.to_string()))
        }
        ActionResult::ContractBusy => Err(ApiError::conflict(
            "contract_busy",
            "another item of its contract is in flight; try again later",
        )),
        ActionResult::NeverApproved => Err(ApiError::conflict(
            "never_approved",
            "it was withdrawn before it was approved; plan it anew",
        )),
        ActionResult::EvidenceGone => Err(ApiError::conflict(
            "evidence_gone",
            "its run is so old that its evidence and input are gone",
        )),
        ActionResult::FiledAgain(by) => Err(ApiError::conflict(
            "filed_again",
            format!("it is filed again with other content as item {by}"),
        )),
        ActionResult::Stopped(stopped) => {
            let code = match stopped {
                StopReason::Suspended { .. }
                | StopReason::Ended { .. }
                | StopReason::Behind { .. } => "contract_stopped",
                StopReason::Revoked { .. } => "approval_revoked",
                StopReason::OwnBatch { .. } => "own_batch",
            };
            Err(ApiError::conflict(code, stopped.to_string()))
        }
        ActionResult::Changed => Err(ApiError::conflict(
            "changed",
            "it is not what it was; look at it again",
        )),
    }
}
