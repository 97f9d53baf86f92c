//! Whether the gateways answer, how fast each may go, and who has closed one.

use std::collections::BTreeMap;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect};
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::errors::PageError;
use super::forms::{Form, fresh_key, once};
use super::frame::{Page, PageFrame};
use super::session::Viewer;
use crate::domain::alert::ExpiringCredential;
use crate::domain::answer::AnswerKind;
use crate::domain::time::Timestamp;
use crate::engine::Account;
use crate::http::App;
use crate::http::api::lanes::{self, Limit, ReleaseLaneBody, SuspendLaneBody};
use crate::http::extract::JsonBody;
use crate::ledger::{LaneHealth, LaneRow, LimitRow, RecentAnswer, UnreachableRow};
use crate::yaml::scalars;

#[derive(Template)]
#[template(path = "gateways.html")]
struct GatewaysPage {
    page: PageFrame,
    accounts: Vec<GatewayCard>,
    key: String,
}

/// What is known of a gateway account.
struct GatewayCard {
    name: String,
    kind: &'static str,
    is_sandbox: bool,
    /// The lane of the account, where it is closed.
    closed: Option<LaneRow>,
    /// Kinds of job, and jobs, of which nothing is sent.
    closed_parts: Vec<LaneRow>,
    unreachable: Option<UnreachableRow>,
    rate: String,
    at_once: u32,
    /// How many calls are under way.
    under_way: u64,
    /// Who slowed it, where somebody did.
    slowed: Option<LimitRow>,
    /// Since when something has been due that nobody has claimed.
    due_since: Option<Timestamp>,
    certificates: Vec<CredentialDays>,
    answers: Vec<RecentAnswer>,
}

/// How many days a certificate or key is still good.
struct CredentialDays {
    what: String,
    until: Timestamp,
    days: u64,
    is_soon: bool,
}

impl GatewayCard {
    /// When it answered last, of what the page knows.
    fn answered_at(&self) -> Option<Timestamp> {
        let answered = self
            .answers
            .iter()
            .filter(|one| one.answer != AnswerKind::Unknown);
        answered.map(|one| one.last_at).max()
    }
}

/// Below how many days people should see to it.
const SOON: u64 = 30;

/// The page.
pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
) -> Result<impl IntoResponse, PageError> {
    let engine = app.engine();
    let (ledger, now) = (&engine.ledger, engine.clock.now());
    let known = KnownOfGateways {
        now,
        closed: ledger.closed_lanes(now).await?,
        limits: ledger.limited_lanes().await?,
        unreachable: ledger.unreachable().await?,
        health: ledger.lane_health().await?,
        under_way: ledger.calls_under_way().await?,
        answers: ledger.recent_answers().await?,
        certificates: engine.certificates(),
    };
    let accounts = engine.accounts.values();
    Ok(Page(GatewaysPage {
        accounts: accounts.map(|account| known.card(account)).collect(),
        key: fresh_key(),
        page: PageFrame::of(&viewer),
    }))
}

/// What the ledger and this process know of all accounts.
struct KnownOfGateways {
    now: Timestamp,
    closed: Vec<LaneRow>,
    limits: Vec<LimitRow>,
    unreachable: Vec<UnreachableRow>,
    health: Vec<LaneHealth>,
    under_way: BTreeMap<String, u64>,
    answers: Vec<RecentAnswer>,
    certificates: Vec<ExpiringCredential>,
}

impl KnownOfGateways {
    fn card(&self, account: &Account) -> GatewayCard {
        let name = &account.name;
        let slowed = self.limits.iter().find(|row| row.name == *name).cloned();
        let limits = slowed.as_ref().map(|row| row.limits).unwrap_or_default();
        let part = format!("{name}/");
        let health = self.health.iter().find(|lane| lane.name == *name);
        GatewayCard {
            kind: account.kind,
            is_sandbox: !account.is_remote,
            closed: self.closed.iter().find(|lane| lane.name == *name).cloned(),
            closed_parts: self
                .closed
                .iter()
                .filter(|lane| lane.name.starts_with(&part))
                .cloned()
                .collect(),
            unreachable: self
                .unreachable
                .iter()
                .find(|row| row.lane == *name)
                .cloned(),
            rate: limits
                .rate
                .map_or(account.rate, |rate| rate.slower(account.rate))
                .to_string(),
            at_once: limits
                .concurrency
                .map_or(account.concurrency, |calls| calls.min(account.concurrency)),
            under_way: self.under_way.get(name).copied().unwrap_or(0),
            due_since: health
                .and_then(|lane| lane.due_since)
                .filter(|at| *at < self.now),
            certificates: self
                .certificates
                .iter()
                .filter(|one| one.gateway == *name)
                .map(|one| self.days(one))
                .collect(),
            answers: self
                .answers
                .iter()
                .filter(|answer| answer.lane == *name)
                .cloned()
                .collect(),
            slowed,
            name: name.clone(),
        }
    }

    fn days(&self, credential: &ExpiringCredential) -> CredentialDays {
        let days = credential.until.since(self.now).as_secs() / 86_400;
        CredentialDays {
            what: credential.what.clone(),
            until: credential.until,
            days,
            is_soon: days < SOON,
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct SuspendForm {
    key: String,
    lane: String,
    /// For how long; until it is released if empty.
    time: String,
    reason: String,
}

/// Suspends a lane.
pub(super) async fn suspend(
    State(app): State<App>,
    viewer: Viewer,
    Form(form): Form<SuspendForm>,
) -> Result<Redirect, PageError> {
    let time = form.time.trim();
    let until = if time.is_empty() {
        None
    } else {
        let time = scalars::duration(time)
            .ok_or_else(|| PageError::invalid("a time is written like 30m, 8h or 2d").at("time"))?;
        let at = app.engine().clock.now().plus(time);
        DateTime::<Utc>::from_timestamp_millis(at.millis())
    };
    let content = format!("suspend {} {time} {}", form.lane, form.reason);
    let body = SuspendLaneBody {
        lane: form.lane,
        until,
        reason: form.reason,
    };
    let caller = Extension(viewer.caller.clone());
    let action = lanes::suspend(State(app.clone()), caller, JsonBody(body));
    once((&app, &viewer), (&form.key, &content), action).await?;
    Ok(viewer.to("/gateways"))
}

#[derive(Debug, Deserialize)]
pub(super) struct ReleaseForm {
    key: String,
    lane: String,
    reason: String,
}

/// Opens a lane.
pub(super) async fn release(
    State(app): State<App>,
    viewer: Viewer,
    Form(form): Form<ReleaseForm>,
) -> Result<Redirect, PageError> {
    let content = format!("release {} {}", form.lane, form.reason);
    let body = ReleaseLaneBody {
        lane: form.lane,
        reason: form.reason,
    };
    let caller = Extension(viewer.caller.clone());
    let action = lanes::release(State(app.clone()), caller, JsonBody(body));
    once((&app, &viewer), (&form.key, &content), action).await?;
    Ok(viewer.to("/gateways"))
}

#[derive(Debug, Deserialize)]
pub(super) struct SlowForm {
    key: String,
    lane: String,
    /// As fast as payrun.yaml says if both are empty.
    rate: String,
    concurrency: String,
    reason: String,
}

/// Slows a lane.
pub(super) async fn slow(
    State(app): State<App>,
    viewer: Viewer,
    Form(form): Form<SlowForm>,
) -> Result<Redirect, PageError> {
    let (rate, calls) = (form.rate.trim(), form.concurrency.trim());
    let concurrency = if calls.is_empty() {
        None
    } else {
        let calls = calls.parse().ok();
        Some(calls.ok_or_else(|| {
            PageError::invalid("calls at once is a whole number").at("concurrency")
        })?)
    };
    let content = format!("slow {} {rate} {calls} {}", form.lane, form.reason);
    let body = Limit {
        lane: form.lane,
        rate: (!rate.is_empty()).then(|| rate.to_owned()),
        concurrency,
        reason: form.reason,
    };
    let caller = Extension(viewer.caller.clone());
    let action = lanes::limit(State(app.clone()), caller, JsonBody(body));
    once((&app, &viewer), (&form.key, &content), action).await?;
    Ok(viewer.to("/gateways"))
}
