//! `POST /notify/{gateway}`: where gateways tell what became of orders. Each is answered in its own
//! way.
//!
//! A notification is acknowledged when it is on disk and not before; applying it is the service's
//! duty. What is not the gateway's is answered 401, leaves nothing behind, and is counted. Whatever
//! fails on our side is answered 503, and so is what cannot be verified before the gateway's keys
//! can be had: the gateway sends it again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::sync::Semaphore;

use super::connections::Connection;
use crate::domain::time::Timestamp;
use crate::engine::Engine;
use crate::engine::notifications::ReceiveOutcome;
use crate::gateway::notification::{NOTICE_MAX, NotificationReply};

/// Gateways wait 5 seconds for an answer (docs/gateways/README.md, "Overview").
const ANSWER_WITHIN: Duration = Duration::from_millis(4_500);

/// How many notifications are taken in at once; the others wait, and are sent away if it takes too
/// long.
const AT_ONCE: usize = 512;

/// How often, at most, the log tells of what was refused for one account.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// How many notifications were answered how, for one account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WebhookAnswerCounts {
    /// Kept and acknowledged.
    pub taken: u64,
    /// Not the gateway's: 401.
    pub refused: u64,
    /// Too long, or of another content type.
    pub unfit: u64,
    /// Not kept, since something of ours failed or took too long.
    pub failed: u64,
}

/// What stands between the gateways and the engine.
#[derive(Debug)]
pub struct WebhookLimiter {
    places: Semaphore,
    counts: Mutex<BTreeMap<String, WebhookCounts>>,
}

#[derive(Debug, Default)]
struct WebhookCounts {
    answered: WebhookAnswerCounts,
    told_at: Option<Timestamp>,
    untold: u64,
}

impl Default for WebhookLimiter {
    fn default() -> Self {
        Self {
            places: Semaphore::new(AT_ONCE),
            counts: Mutex::default(),
        }
    }
}

impl WebhookLimiter {
    /// How many were answered how, by account.
    pub fn answered(&self) -> BTreeMap<String, WebhookAnswerCounts> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts
            .iter()
            .map(|(account, counts)| (account.clone(), counts.answered))
            .collect()
    }

    /// Counts an answer. Of what was refused the log tells now and then: anybody can send such
    /// things.
    fn count(&self, account: &str, now: Timestamp, outcome: &WebhookOutcome) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.entry(account.to_owned()).or_default();
        let why = match outcome {
            WebhookOutcome::Taken => {
                counts.answered.taken += 1;
                return;
            }
            WebhookOutcome::Unfit(_, why) => {
                counts.answered.unfit += 1;
                why
            }
            WebhookOutcome::Refused(why) => {
                counts.answered.refused += 1;
                why
            }
            WebhookOutcome::Failed(why) => {
                counts.answered.failed += 1;
                why
            }
        };
        counts.untold += 1;
        if counts
            .told_at
            .is_none_or(|told| now.since(told) >= TELL_EVERY)
        {
            tracing::warn!(
                lane.name = account,
                count = counts.untold,
                why,
                "notifications were not taken"
            );
            (counts.told_at, counts.untold) = (Some(now), 0);
        }
    }
}

/// What came of one.
#[derive(Debug)]
enum WebhookOutcome {
    Taken,
    Unfit(StatusCode, String),
    Refused(String),
    Failed(String),
}

type WebhookState = (Arc<Engine>, Arc<WebhookLimiter>);

/// The route. What is kept here is applied by [`Engine::process_notifications`].
pub fn router<Outer: Clone + Send + Sync + 'static>(
    engine: Arc<Engine>,
    limiter: Arc<WebhookLimiter>,
) -> Router<Outer> {
    Router::new()
        .route("/notify/{gateway}", post(answer))
        .with_state((engine, limiter))
}

async fn answer(
    State((engine, limiter)): State<WebhookState>,
    Path(account): Path<String>,
    request: Request,
) -> Response {
    let Some(known) = engine.accounts.get(&account) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let protocol = known.gateway.notification_protocol();
    let place = request.extensions().get::<Arc<Connection>>().cloned();
    let taking = receive(
        &engine,
        &limiter,
        &account,
        protocol.takes(content_type(request.headers())),
        request,
    );
    let outcome = match tokio::time::timeout(ANSWER_WITHIN, taking).await {
        Ok(outcome) => outcome,
        Err(_) => WebhookOutcome::Failed("it took too long".to_owned()),
    };
    limiter.count(&account, engine.clock.now(), &outcome);
    if let (WebhookOutcome::Taken, Some(place)) = (&outcome, place) {
        place.know();
    }
    match outcome {
        WebhookOutcome::Taken => reply(StatusCode::OK, protocol.taken),
        WebhookOutcome::Unfit(status, _) => reply(status, protocol.refused),
        WebhookOutcome::Refused(_) => reply(StatusCode::UNAUTHORIZED, protocol.refused),
        WebhookOutcome::Failed(_) => reply(StatusCode::SERVICE_UNAVAILABLE, protocol.refused),
    }
}

async fn receive(
    engine: &Engine,
    limiter: &WebhookLimiter,
    account: &str,
    fits: bool,
    request: Request<Body>,
) -> WebhookOutcome {
    if !fits {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return WebhookOutcome::Unfit(
            status,
            "it has a content type that the gateway does not use".to_owned(),
        );
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, NOTICE_MAX).await else {
        let why = format!("it has more than {NOTICE_MAX} bytes, or broke off");
        return WebhookOutcome::Unfit(StatusCode::PAYLOAD_TOO_LARGE, why);
    };
    // Whoever sends slowly keeps nobody from a place.
    let Ok(_place) = limiter.places.acquire().await else {
        return WebhookOutcome::Failed("it takes no notifications any more".to_owned());
    };
    match engine.receive(account, &parts.headers, body).await {
        Ok(ReceiveOutcome::Kept) => WebhookOutcome::Taken,
        Ok(ReceiveOutcome::Refused(why)) => WebhookOutcome::Refused(why),
        Ok(ReceiveOutcome::NoKeys(why)) => WebhookOutcome::Failed(why),
        Ok(ReceiveOutcome::NoSuchGateway) => {
            WebhookOutcome::Failed("there is no such gateway any more".to_owned())
        }
        Err(error) => {
            let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| {
                error.source()
            });
            WebhookOutcome::Failed(
                causes
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(": "),
            )
        }
    }
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
}

fn reply(status: StatusCode, with: NotificationReply) -> Response {
    (
        status,
        [(CONTENT_TYPE, HeaderValue::from_static(with.media))],
        with.body,
    )
        .into_response()
}
