//! Withdrawing a run as a whole, such as one that waits before it is sent.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::message::Message;
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::{JsonBody, Path};

/// Why a run is withdrawn.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct WithdrawRunBody {
    /// Kept in the audit log.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// What became of the items of a run that was withdrawn.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct WithdrawnRunView {
    /// How many are cancelled: nothing of them was sent, and nothing is.
    pub cancelled: u64,
    /// How many may be under way: they are queried, and nothing more of them is sent.
    pub under_way: u64,
    /// How many were still moving: nothing of them is sent, and they are withdrawn a little later.
    pub refused: u64,
}

/// Withdraws all that is open of a run: what was not sent never is, what may be under way is
/// queried, and its later jobs get no items
#[utoipa::path(post, path = "/runs/{run}/withdraw", tag = "runs", request_body = WithdrawRunBody,
    params(("run" = i64, Path, description = "Its id")),
    responses((status = 200, body = WithdrawnRunView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
              (status = 413, body = ErrorBody), (status = 415, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(in crate::http) async fn withdraw(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<i64>,
    JsonBody(wanted): JsonBody<WithdrawRunBody>,
) -> Result<Json<WithdrawnRunView>, ApiError> {
    let by = caller.signed(&wanted.reason)?;
    if app.engine().ledger.run(run).await?.is_none() {
        return Err(ApiError::not_found(
            Message::new("no-such-run", "there is no run {id}").with("id", run),
        ));
    }
    let engine = Arc::clone(app.engine());
    // It goes on when the caller has gone.
    let task = tokio::spawn(async move { engine.withdraw_run(run, &by).await });
    let broken = |_| {
        ApiError::unavailable(Message::new(
            "withdrawal-broke-off",
            "it broke off; the audit log says what was done",
        ))
    };
    let done = task.await.map_err(broken)??;
    Ok(Json(WithdrawnRunView {
        cancelled: done.moved.values().sum(),
        under_way: done.withdrawn.values().sum(),
        refused: done.refused.len() as u64,
    }))
}
