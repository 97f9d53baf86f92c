//! Who was told of what: incidents that last, mails that wait or were given up, and the rules.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Json};
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::errors::PageError;
use super::forms::{Form, fresh_key, once};
use super::frame::{Page, PageFrame};
use super::page_fields::PagePath;
use super::session::Viewer;
use crate::alerts::headline;
use crate::domain::alert::AlertRule;
use crate::domain::message::Message;
use crate::domain::time::Timestamp;
use crate::http::App;
use crate::http::api::alerts::{self, MAILS, MuteAlertBody, TestMailBody};
use crate::http::extract::{JsonBody, Path};
use crate::ledger::{IncidentRow, MailRow};
use crate::yaml::scalars;

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage {
    page: PageFrame,
    incidents: Vec<OpenIncident>,
    mails: Vec<MailRow>,
    waiting: Vec<(String, u64, Timestamp)>,
    rules: Vec<AlertRule>,
    people: BTreeSet<String>,
    has_mail: bool,
    key: String,
    /// What the mail server said of a test mail.
    tested: Option<MailTest>,
}

/// An incident that lasts.
struct OpenIncident {
    row: IncidentRow,
    title: String,
    muted_until: Option<Timestamp>,
}

/// A test mail that was sent.
struct MailTest {
    to: String,
    taken: bool,
    said: String,
}

/// The page.
pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
) -> Result<impl IntoResponse, PageError> {
    Ok(Page(AlertsPage::of(&app, &viewer, None).await?))
}

impl AlertsPage {
    async fn of(app: &App, viewer: &Viewer, tested: Option<MailTest>) -> Result<Self, PageError> {
        let engine = app.engine();
        let (ledger, now) = (&engine.ledger, engine.clock.now());
        let mutes = ledger.alert_mutes(now).await?;
        let muted = |key: &str| mutes.iter().find(|mute| mute.key == key);
        let open = ledger.open_incidents().await?.into_iter();
        let rules = alerts::rules_of(app);
        let daily = engine
            .config
            .alerts
            .daily
            .iter()
            .flat_map(|daily| &daily.to);
        Ok(Self {
            page: PageFrame::of(viewer),
            incidents: open
                .map(|row| OpenIncident {
                    title: headline(&row),
                    muted_until: muted(&row.key).map(|mute| mute.until),
                    row,
                })
                .collect(),
            mails: ledger.undelivered_mails(None, MAILS).await?,
            waiting: ledger.waiting_alerts().await?,
            people: rules
                .iter()
                .flat_map(|rule| &rule.to)
                .chain(daily)
                .cloned()
                .collect(),
            rules,
            has_mail: engine.config.alerts.mail.is_some(),
            key: fresh_key(),
            tested,
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct MuteForm {
    key: String,
    /// For how long.
    time: String,
    reason: String,
}

/// Mutes an incident.
pub(super) async fn mute(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(incident): PagePath<i64>,
    Form(form): Form<MuteForm>,
) -> Result<Redirect, PageError> {
    let time = scalars::duration(form.time.trim()).ok_or_else(|| {
        PageError::invalid(Message::new(
            "mute-time",
            "a time is written like 30m, 8h or 2d",
        ))
        .at("time")
    })?;
    let at = app.engine().clock.now().plus(time);
    let until = DateTime::<Utc>::from_timestamp_millis(at.millis()).ok_or_else(|| {
        PageError::invalid(Message::new("mute-too-far", "that is too far ahead")).at("time")
    })?;
    let content = format!("mute {incident} {} {}", form.time, form.reason);
    let body = MuteAlertBody {
        until,
        reason: form.reason,
    };
    let caller = Extension(viewer.caller.clone());
    let action = alerts::mute(State(app.clone()), caller, Path(incident), JsonBody(body));
    once((&app, &viewer), (&form.key, &content), action).await?;
    Ok(viewer.to("/alerts"))
}

#[derive(Debug, Deserialize)]
pub(super) struct TestMailForm {
    to: String,
}

/// Sends a test mail, and says what the server said.
pub(super) async fn test(
    State(app): State<App>,
    viewer: Viewer,
    Form(form): Form<TestMailForm>,
) -> Result<Response, PageError> {
    let body = TestMailBody {
        to: form.to.clone(),
    };
    let Json(tested) = alerts::test(State(app.clone()), JsonBody(body)).await?;
    let tested = MailTest {
        to: form.to,
        taken: tested.taken,
        said: tested.said,
    };
    Ok(Page(AlertsPage::of(&app, &viewer, Some(tested)).await?).into_response())
}

/// Has mails sent again.
pub(super) async fn resend(State(app): State<App>, viewer: Viewer) -> Result<Redirect, PageError> {
    let Json(_) = alerts::resend(State(app)).await?;
    Ok(viewer.to("/alerts"))
}
