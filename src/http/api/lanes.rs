//! Lanes: listed, suspended, released and limited. Each change wants a reason, and is in the audit log.

use axum::Extension;
use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::Serialize;
use utoipa::ToSchema;

use super::pauses::ChangeView;
use crate::domain::message::Message;
use crate::domain::time::Timestamp;
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::error::ApiError;
use crate::http::error::ErrorBody;
use crate::http::extract::JsonBody;
use crate::ledger::LaneRow;
use crate::ledger::LaneState;
use crate::yaml::scalars;

/// A lane.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LaneView {
    /// The gateway account, `GATEWAY/KIND` of one kind of job, or `GATEWAY/KIND/JOB` of one job.
    name: String,
    /// `open`, `suspended` or `stopped`.
    state: &'static str,
    /// Why it is not open.
    reason: Option<String>,
    /// Until when.
    until: Option<String>,
    /// The person who suspended it; none where payrun closed it.
    by: Option<String>,
    /// Since when there has been no connection to the gateway.
    unreachable_since: Option<String>,
    /// Which way connections fail.
    unreachable_how: Option<String>,
}

/// A lane that is to be suspended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct SuspendLaneBody {
    /// `GATEWAY`, or `GATEWAY/KIND` for one kind of job.
    pub lane: String,
    /// Until when; until it is released if not given.
    pub until: Option<DateTime<Utc>>,
    /// Kept in the audit log.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// A lane that is to be released.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct ReleaseLaneBody {
    /// As it was suspended.
    pub lane: String,
    /// Kept in the audit log.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// How fast a lane may go; neither rate nor concurrency: as payrun.yaml says.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Limit {
    /// The gateway account.
    pub lane: String,
    /// Such as `5/s`.
    pub rate: Option<String>,
    /// How many calls at once in each process.
    #[schema(minimum = 1, maximum = 1024)]
    pub concurrency: Option<u32>,
    /// Kept in the audit log.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// The lanes: one a gateway account, and those kinds of job and jobs of which nothing is sent
#[utoipa::path(get, path = "/lanes", tag = "project", responses((status = 200, body = Vec<LaneView>)))]
pub(super) async fn lanes(State(app): State<App>) -> Result<Json<Vec<LaneView>>, ApiError> {
    let engine = app.engine();
    let closed = engine.ledger.closed_lanes(engine.clock.now()).await?;
    let unreachable = engine.ledger.unreachable().await?;
    let view = |name: &str, lane: Option<&LaneRow>| {
        let lost = unreachable.iter().find(|row| row.lane == name);
        LaneView {
            name: name.to_owned(),
            state: lane.map_or(LaneState::Open, |lane| lane.state).as_str(),
            reason: lane.and_then(|lane| lane.reason.clone()),
            until: lane
                .and_then(|lane| lane.until)
                .map(|until| until.to_string()),
            by: lane.and_then(|lane| lane.author.clone()),
            unreachable_since: lost.map(|row| row.since.to_string()),
            unreachable_how: lost.map(|row| row.how.clone()),
        }
    };
    let mut lanes: Vec<LaneView> = closed
        .iter()
        .map(|lane| view(&lane.name, Some(lane)))
        .collect();
    let open = engine
        .accounts
        .keys()
        .filter(|name| closed.iter().all(|lane| lane.name != **name));
    lanes.extend(open.map(|name| view(name, None)));
    lanes.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Json(lanes))
}

/// Suspends a lane: nothing is called, not even a query
#[utoipa::path(post, path = "/lanes/suspend", tag = "controls", request_body = SuspendLaneBody,
    responses((status = 200, body = ChangeView), (status = 400, body = ErrorBody), (status = 413, body = ErrorBody),
              (status = 415, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(in crate::http) async fn suspend(
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
pub(in crate::http) async fn release(
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
pub(in crate::http) async fn limit(
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
    let no_rate = || {
        ApiError::refused(
            "invalid_limit",
            Message::new("lane-rate", "rate is written like 20/s or 600/min"),
        )
    };
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
