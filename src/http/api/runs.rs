//! Runs: listed, shown, followed.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::{Extension, Json};
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::{IntoParams, ToSchema};

use super::page::page_size;
use crate::domain::message::Message;
use crate::domain::text::escaped;
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::{Path, Query};
use crate::http::quota::QuotaPermit;
use crate::http::run_watch::{RunSnapshot, STILL_GOOD};
use crate::view::RunView;

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RunsQuery {
    /// Only runs before this one: the last of the page before.
    before: Option<i64>,
    /// How many at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// A page of runs, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RunsPage {
    runs: Vec<RunView>,
    /// Give it as `before` for the next page; none if this is the last.
    next_before: Option<i64>,
}

/// Runs, newest first
#[utoipa::path(get, path = "/runs", tag = "runs", params(RunsQuery),
    responses((status = 200, body = RunsPage), (status = 400, body = ErrorBody)))]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<RunsQuery>,
) -> Result<Json<RunsPage>, ApiError> {
    let ledger = &app.engine().ledger;
    let size = page_size(query.limit)?;
    let found = ledger.runs(query.before, size).await?;
    let full = found.len() == size as usize;
    let next_before = found.last().map(|run| run.id).filter(|_| full);
    let mut runs = Vec::with_capacity(found.len());
    for run in &found {
        runs.push(RunView::read(ledger, run).await?);
    }
    Ok(Json(RunsPage { runs, next_before }))
}

/// One run
#[utoipa::path(get, path = "/runs/{run}", tag = "runs", params(("run" = i64, Path, description = "Its id")),
    responses((status = 200, body = RunView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn show(
    State(app): State<App>,
    Path(run): Path<i64>,
) -> Result<Json<RunView>, ApiError> {
    read(&app, run).await.map(Json)
}

async fn read(app: &App, id: i64) -> Result<RunView, ApiError> {
    let ledger = &app.engine().ledger;
    let run = ledger.run(id).await?.ok_or_else(|| no_such_run(id))?;
    Ok(RunView::read(ledger, &run).await?)
}

fn no_such_run(id: i64) -> ApiError {
    ApiError::not_found(Message::new("no-such-run", "there is no run {id}").with("id", id))
}

/// A run's progress as server-sent events: `run` whenever something has changed, and the last when
/// it has finished
///
/// They end with the token. Of one token ten are open at most, of all a hundred.
#[utoipa::path(get, path = "/runs/{run}/events", tag = "runs", params(("run" = i64, Path, description = "Its id")),
    responses((status = 200, content_type = "text/event-stream", body = Object,
                         description = "The data of each event is a run as JSON text"), (status = 400, body = ErrorBody),
              (status = 404, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn events(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<i64>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let watched = app.watches.watch(&app, run).await?;
    let watched = watched.ok_or_else(|| no_such_run(run))?;
    let place = app.streams.take(&caller.name);
    let place = place.ok_or_else(|| {
        ApiError::unavailable(Message::new(
            "too-many-streams",
            "too many streams of events are open",
        ))
    })?;
    let following = RunFollower {
        app,
        caller,
        watched,
        told: false,
        ended: false,
        _place: place,
    };
    Ok(Sse::new(stream::unfold(following, next)).keep_alive(KeepAlive::default()))
}

/// Somebody who follows a run.
struct RunFollower {
    app: App,
    caller: Caller,
    watched: watch::Receiver<Arc<RunSnapshot>>,
    /// Whether the run has been told of as it is now.
    told: bool,
    ended: bool,
    _place: QuotaPermit,
}

async fn next(mut following: RunFollower) -> Option<(Result<Event, Infallible>, RunFollower)> {
    if following.ended {
        return None;
    }
    while following.told {
        let changed = tokio::time::timeout(STILL_GOOD, following.watched.changed()).await;
        if !following.caller.is_good(&following.app).await.ok()? {
            return None;
        }
        if let Ok(changed) = changed {
            // The service ends, and whoever follows comes back.
            changed.ok()?;
            following.told = false;
        }
    }
    let seen = Arc::clone(&following.watched.borrow_and_update());
    let event = Event::default()
        .event("run")
        .data(escaped(&serde_json::to_string(&seen.view().ok()?).ok()?));
    following.told = true;
    following.ended = seen.is_finished();
    Some((Ok(event), following))
}
