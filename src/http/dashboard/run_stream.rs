//! The page of a run as it changes: the part that does, as server-sent events. It ends with the run,
//! and with the session.

use std::convert::Infallible;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use tokio::sync::watch;

use super::errors::PageError;
use super::frame::PageFrame;
use super::page_fields::PagePath;
use super::run::no_such_run;
use super::run_progress::LiveRun;
use super::session::Viewer;
use crate::domain::message::Message;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::quota::QuotaPermit;
use crate::http::run_watch::{RunSnapshot, STILL_GOOD};

#[derive(Template)]
#[template(path = "run_live.html")]
struct RunFragment {
    page: PageFrame,
    run: LiveRun,
}

/// A run's page as it changes, twice a second at most: the part that changes, as server-sent
/// events.
pub(super) async fn live(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(id): PagePath<i64>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, PageError> {
    let watched = app.watches.watch(&app, id).await?;
    let watched = watched.ok_or_else(|| no_such_run(id))?;
    let place = app.streams.take(&viewer.caller.name);
    let place = place.ok_or_else(|| {
        ApiError::unavailable(Message::new(
            "too-many-streams",
            "too many streams of events are open",
        ))
    })?;
    let follower = PageFollower {
        app,
        viewer,
        watched,
        shown: None,
        ended: StreamEnd::GoesOn,
        _place: place,
    };
    Ok(Sse::new(stream::unfold(follower, next)).keep_alive(KeepAlive::default()))
}

/// A page that is open on a run.
struct PageFollower {
    app: App,
    viewer: Viewer,
    watched: watch::Receiver<Arc<RunSnapshot>>,
    /// The run as it was shown last.
    shown: Option<Arc<RunSnapshot>>,
    ended: StreamEnd,
    _place: QuotaPermit,
}

/// How near a stream is to its end: a browser that is not told of it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamEnd {
    GoesOn,
    /// The run has finished, which the page has yet to hear.
    ToTell,
    Told,
}

async fn next(mut follower: PageFollower) -> Option<(Result<Event, Infallible>, PageFollower)> {
    match follower.ended {
        StreamEnd::GoesOn => {}
        StreamEnd::ToTell => {
            follower.ended = StreamEnd::Told;
            return Some((Ok(Event::default().event("finished").data("")), follower));
        }
        StreamEnd::Told => return None,
    }
    loop {
        let changed = match follower.shown {
            None => Ok(Ok(())),
            Some(_) => tokio::time::timeout(STILL_GOOD, follower.watched.changed()).await,
        };
        if !follower.viewer.caller.is_good(&follower.app).await.ok()? {
            return None;
        }
        if let Ok(changed) = changed {
            changed.ok()?;
            break;
        }
    }
    let seen = Arc::clone(&follower.watched.borrow_and_update());
    let page = PageFrame::of(&follower.viewer);
    let fragment = RunFragment {
        run: LiveRun::of(&seen, follower.shown.as_deref(), (&follower.app, &page)),
        page,
    };
    let html = fragment.render().ok()?;
    if seen.is_finished() {
        follower.ended = StreamEnd::ToTell;
    }
    follower.shown = Some(seen);
    Some((Ok(Event::default().data(html)), follower))
}
