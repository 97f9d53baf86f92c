//! Incidents that last: listed, muted; and the mails that tell of them.

use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::pauses::ChangeView;
use crate::alerts::{Alerts, SendOutcome, headline};
use crate::domain::alert::AlertRule;
use crate::domain::message::Message;
use crate::domain::time::Timestamp;
use crate::errors::chain;
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::{JsonBody, Path};

/// How far back mails are sent again.
const RESEND: Duration = Duration::from_secs(30 * 86_400);

/// An incident that lasts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertView {
    /// Its number.
    incident: i64,
    kind: &'static str,
    key: String,
    /// What a mail calls it.
    title: String,
    since: String,
    /// Since when people are told; none while it has not lasted long enough.
    opened_at: Option<String>,
    /// Until when nobody is told of it, nor of later ones of its key.
    muted_until: Option<String>,
}

/// Incidents that last
#[utoipa::path(get, path = "/alerts", tag = "alerts", responses((status = 200, body = Vec<AlertView>)))]
pub(super) async fn alerts(State(app): State<App>) -> Result<Json<Vec<AlertView>>, ApiError> {
    let engine = app.engine();
    let open = engine.ledger.open_incidents().await?;
    let mutes = engine.ledger.alert_mutes(engine.clock.now()).await?;
    let views = open.into_iter().map(|row| AlertView {
        incident: row.id,
        kind: row.kind.as_str(),
        title: headline(&row),
        since: row.since.to_string(),
        opened_at: row.opened_at.map(|at| at.to_string()),
        muted_until: mutes
            .iter()
            .find(|mute| mute.key == row.key)
            .map(|mute| mute.until.to_string()),
        key: row.key,
    });
    Ok(Json(views.collect()))
}

/// Until when nobody wants to hear of something.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct MuteAlertBody {
    /// Until when; a time that has passed ends it.
    pub until: DateTime<Utc>,
    /// Kept in the audit log.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// Has the notices of an incident, and of later ones of its key, wait until a time
#[utoipa::path(post, path = "/alerts/{incident}/mute", tag = "alerts", request_body = MuteAlertBody,
    params(("incident" = i64, Path, description = "Its number")),
    responses((status = 200, body = ChangeView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
              (status = 413, body = ErrorBody), (status = 415, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(in crate::http) async fn mute(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(incident): Path<i64>,
    JsonBody(wanted): JsonBody<MuteAlertBody>,
) -> Result<Json<ChangeView>, ApiError> {
    let engine = app.engine();
    let (by, now) = (caller.signed(&wanted.reason)?, engine.clock.now());
    let until = Timestamp::from_millis(wanted.until.timestamp_millis());
    if engine
        .ledger
        .mute_incident(incident, until, &by, now)
        .await?
    {
        return Ok(Json(ChangeView { changed: true }));
    }
    let over = format!("there is no incident {incident} that lasts");
    Err(ApiError::not_found(over))
}

/// An alert rule.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertRuleView {
    /// On what.
    on: &'static str,
    /// When, in words.
    when: String,
    /// Of which workflow only.
    workflow: Option<String>,
    /// Whether it is told at once, also at night.
    urgent: bool,
    /// To whom.
    to: Vec<String>,
}

impl From<&AlertRule> for AlertRuleView {
    fn from(rule: &AlertRule) -> Self {
        Self {
            on: rule.on.as_str(),
            when: rule.spec(),
            workflow: rule.workflow.clone(),
            urgent: rule.on.is_urgent(),
            to: rule.to.clone(),
        }
    }
}

/// The rules of the project and of its workflows.
pub(in crate::http) fn rules_of(app: &App) -> Vec<AlertRule> {
    let mut rules = app.engine().config.alerts.rules.clone();
    for workflow in app.service.workflows.all() {
        rules.extend(workflow.alerts.iter().cloned());
    }
    rules
}

/// Who is told of what
#[utoipa::path(get, path = "/alerts/rules", tag = "alerts", responses((status = 200, body = Vec<AlertRuleView>)))]
pub(super) async fn rules(State(app): State<App>) -> Json<Vec<AlertRuleView>> {
    Json(rules_of(&app).iter().map(AlertRuleView::from).collect())
}

/// A mail that waits, was refused or was given up.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UndeliveredMailView {
    mail: i64,
    to: String,
    subject: String,
    /// `waiting`, `refused` or `expired`.
    state: &'static str,
    made_at: String,
    tries: u32,
    /// What the mail server said last.
    said: Option<String>,
}

/// How many undelivered mails are listed.
pub(in crate::http) const MAILS: u32 = 100;

/// Mails that wait, were refused or given up, newest first, a hundred at most
#[utoipa::path(get, path = "/alerts/mails", tag = "alerts", responses((status = 200, body = Vec<UndeliveredMailView>)))]
pub(super) async fn mails(
    State(app): State<App>,
) -> Result<Json<Vec<UndeliveredMailView>>, ApiError> {
    let mails = app.engine().ledger.undelivered_mails(None, MAILS).await?;
    let views = mails.into_iter().map(|row| UndeliveredMailView {
        mail: row.id,
        to: row.mail.recipient,
        subject: row.mail.subject,
        state: row.state.as_str(),
        made_at: row.created_at.to_string(),
        tries: row.tries,
        said: row.answer,
    });
    Ok(Json(views.collect()))
}

/// How many mails are sent again.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ResentView {
    pub mails: u64,
}

/// Has the mails of the last 30 days sent again that were refused or given up
#[utoipa::path(post, path = "/alerts/resend", tag = "alerts", responses((status = 200, body = ResentView)))]
pub(in crate::http) async fn resend(State(app): State<App>) -> Result<Json<ResentView>, ApiError> {
    let now = app.engine().clock.now();
    let ledger = &app.engine().ledger;
    let mails = ledger.resend_mails(now.minus(RESEND), now).await?;
    Ok(Json(ResentView { mails }))
}

/// To whom a test mail goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TestMailBody {
    /// One of those whom the rules name.
    pub to: String,
}

/// What the mail server said.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct TestMailView {
    /// Whether it took the mail.
    pub taken: bool,
    /// Its words.
    pub said: String,
}

/// Sends a test mail now to somebody whom a rule names, and says what the mail server said
#[utoipa::path(post, path = "/alerts/test", tag = "alerts", request_body = TestMailBody,
    responses((status = 200, body = TestMailView), (status = 400, body = ErrorBody), (status = 413, body = ErrorBody),
              (status = 415, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(in crate::http) async fn test(
    State(app): State<App>,
    JsonBody(wanted): JsonBody<TestMailBody>,
) -> Result<Json<TestMailView>, ApiError> {
    let engine = app.engine();
    let daily = engine
        .config
        .alerts
        .daily
        .iter()
        .flat_map(|daily| &daily.to);
    let is_named = rules_of(&app)
        .iter()
        .flat_map(|rule| &rule.to)
        .chain(daily)
        .any(|to| *to == wanted.to);
    if !is_named {
        return Err(ApiError::refused(
            "not_named",
            Message::new("mail-not-named", "no alert rule names this address"),
        )
        .help("payrun alerts test --to ADDRESS sends to any"));
    }
    let alerts = Alerts::new(&engine.config, engine.ledger.clone(), engine.clock.clone());
    let alerts = alerts.map_err(|error| ApiError::refused("no_mail", chain(&error)))?;
    let no_mail = || {
        ApiError::refused("no_mail", Message::new("no-mail-server", "payrun.yaml has no mail server"))
            .help("mail: { host: smtp.example.com, security: tls, user: …, password: { env: … }, from: … }")
    };
    let tried = alerts.test(&[wanted.to]).await.ok_or_else(no_mail)?;
    let (_, outcome) = tried.into_iter().next().ok_or_else(no_mail)?;
    let taken = matches!(outcome, SendOutcome::Taken(_));
    let (SendOutcome::Taken(said)
    | SendOutcome::Refused(said)
    | SendOutcome::NotNow(said)
    | SendOutcome::NoServer(said)) = outcome;
    Ok(Json(TestMailView { taken, said }))
}
