//! Pauses: listed, begun and ended. Each wants a reason, and is in the audit log with the change.

use axum::Extension;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::operator::Paused;
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::error::ApiError;
use crate::http::error::ErrorBody;
use crate::http::extract::JsonBody;

/// What is paused.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PauseView {
    scope: &'static str,
    name: String,
    at: String,
    actor: String,
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

/// Whether anything is another way than before.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ChangeView {
    pub changed: bool,
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

/// What persons have paused
#[utoipa::path(get, path = "/pauses", tag = "controls", responses((status = 200, body = Vec<PauseView>)))]
pub(super) async fn pauses(State(app): State<App>) -> Result<Json<Vec<PauseView>>, ApiError> {
    let paused = app.engine().ledger.pauses().await?;
    let views = paused.into_iter().map(|row| PauseView {
        scope: row.scope.as_str(),
        name: row.name,
        at: row.at.to_string(),
        actor: row.actor,
        reason: row.reason,
    });
    Ok(Json(views.collect()))
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
