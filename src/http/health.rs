//! Whether the process is there, and whether it does its work.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::App;

/// The process answers. That is all it says.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// The last answer of `/readyz`, and when it was found. Anybody may ask: whoever asks meanwhile
/// waits for the same one.
#[derive(Debug, Default)]
pub(super) struct ReadinessCache(Mutex<Option<(Instant, StatusCode, Value)>>);

/// How long an answer is given again.
const FRESH: Duration = Duration::from_millis(500);

/// Ready is who does the work: the ledger answers and takes a write, every duty was done lately,
/// and nothing due is left lying. Who may not read the rest learns which duty is unwell, and no
/// more.
pub(super) async fn ready(State(app): State<App>) -> Response {
    let mut last = app.ready.0.lock().await;
    let fresh = last.take().filter(|(at, ..)| at.elapsed() < FRESH);
    let (at, status, body) = match fresh {
        Some(fresh) => fresh,
        None => {
            let (status, body) = look(&app).await;
            (tokio::time::Instant::now(), status, body)
        }
    };
    *last = Some((at, status, body.clone()));
    (status, Json(body)).into_response()
}

async fn look(app: &App) -> (StatusCode, Value) {
    let engine = app.engine();
    let mut wrong: Vec<String> = app
        .service
        .health
        .unwell()
        .iter()
        .map(|duty| format!("{} not done for {} s", duty.duty, duty.since.as_secs()))
        .collect();
    let now = engine.clock.now();
    match engine.ledger.idle_lane(now, now.minus(TOO_LONG)).await {
        Ok(Some(lane)) => wrong.push(format!(
            "lane {lane} has items due, and none was claimed for {} s",
            TOO_LONG.as_secs()
        )),
        Ok(None) => {}
        Err(_) => wrong.push("the ledger does not answer".to_owned()),
    }
    if !app.service.health.can_write(&engine.ledger).await {
        wrong.push("the ledger takes no write".to_owned());
    }
    // A gateway that is not there makes this process no worse: it is said, and decides nothing.
    let zone = engine.config.timezone;
    let unreachable: Vec<String> = match engine.ledger.unreachable().await {
        Ok(rows) => rows.iter().map(|row| row.note(zone)).collect(),
        Err(_) => Vec::new(),
    };
    let status = if wrong.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        json!({ "ready": wrong.is_empty(), "wrong": wrong, "unreachable": unreachable }),
    )
}

/// How long something may be due on an open lane of which nothing is claimed.
const TOO_LONG: Duration = Duration::from_secs(300);
