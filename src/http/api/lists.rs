//! What else there is to be read: what fires next and what became of it, contracts, notifications,
//! alerts, pauses, the audit log.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::runs::page_size;
use crate::domain::occurrence::OccurrenceState;
use crate::domain::time::Timestamp;
use crate::engine::schedule::occurrence;
use crate::http::App;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::Query;
use crate::ledger::{
    ContractFilter, NotificationFilter, OccurrenceFilter, OccurrencePlace as Place,
};

/// How many firings are looked for of each workflow.
const FIRINGS: usize = 200;

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct NewestFirstQuery {
    /// Only before this one: the last of the page before.
    before: Option<i64>,
    /// How many at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OldestFirstQuery {
    /// Only behind this one: the last of the page before.
    after: Option<i64>,
    /// How many at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// How far ahead.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UpcomingQuery {
    /// How many days; 7 if not given.
    #[param(minimum = 1, maximum = 366)]
    days: Option<u32>,
    /// Only of the workflow of this name.
    workflow: Option<String>,
}

/// Which part of the occurrences.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EarlierOccurrencesQuery {
    /// Only earlier ones than this: `next_before` of the page before.
    before: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// What fires next.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SchedulePage {
    firings: Vec<FiringView>,
    /// Whether these are all; of each workflow there are 200 at most.
    complete: bool,
}

/// A time at which a workflow fires.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FiringView {
    workflow: String,
    /// The wall-clock time that the rule names.
    nominal: String,
    /// The wall-clock time after calendars moved it.
    wall: String,
    timezone: String,
    /// The instant.
    at: String,
    /// Whether it fires; a calendar may leave a time out.
    fires: bool,
    /// What a calendar did to it, and why.
    moved: Option<String>,
}

/// Occurrences, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OccurrencesPage {
    occurrences: Vec<OccurrenceView>,
    /// Give it as `before` for the next page; none if this is the last.
    next_before: Option<String>,
}

/// What became of an occurrence.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OccurrenceView {
    workflow: String,
    nominal: String,
    timezone: String,
    at: String,
    /// `due`, `queued`, `fired`, `skipped`, `missed` or `failed`.
    state: &'static str,
    run: Option<i64>,
    reason: Option<String>,
}

/// Contracts, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ContractsPage {
    contracts: Vec<ContractView>,
    /// Give it as `after` for the next page; none if this is the last.
    next_after: Option<i64>,
}

/// A contract.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ContractView {
    id: i64,
    /// The gateway's id.
    contract: String,
    /// The account, as the gateway tells accounts apart.
    account: String,
    /// When the first period falls due that is not accounted for.
    next_due: Option<String>,
    /// Terms, prices and standing.
    #[schema(value_type = Object)]
    terms: Value,
}

/// Notifications, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NotificationsPage {
    notifications: Vec<NotificationView>,
    /// Give it as `before` for the next page; none if this is the last.
    next_before: Option<i64>,
}

/// What a gateway told.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NotificationView {
    id: i64,
    gateway: String,
    received_at: String,
    /// How often it came again.
    repeats: u64,
    order_no: Option<String>,
    /// What became of it.
    outcome: &'static str,
    detail: Option<String>,
    item: Option<i64>,
}

/// An incident that lasts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertView {
    kind: &'static str,
    key: String,
    since: String,
    /// Since when people are told; none while it has not lasted long enough.
    opened_at: Option<String>,
}

/// What is paused.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PauseView {
    scope: String,
    name: String,
    at: String,
    actor: String,
    reason: String,
}

/// Entries of the audit log, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditPage {
    entries: Vec<AuditView>,
    /// Give it as `before` for the next page; none if this is the last.
    next_before: Option<i64>,
}

/// Who did what, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditView {
    seq: i64,
    at: String,
    actor: String,
    via: String,
    action: String,
    target: String,
    reason: String,
    /// What was before, as JSON text.
    before: String,
    /// What is after, as JSON text.
    after: String,
    /// Ties it to all entries before it.
    hash: String,
}

/// What fires next by itself
#[utoipa::path(get, path = "/schedule", tag = "schedules", params(UpcomingQuery),
    responses((status = 200, body = SchedulePage), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn schedule(
    State(app): State<App>,
    Query(query): Query<UpcomingQuery>,
) -> Result<Json<SchedulePage>, ApiError> {
    let days = query.days.unwrap_or(7);
    if !(1..=366).contains(&days) {
        return Err(ApiError::invalid("days is 1 to 366"));
    }
    let now = app.engine().clock.now();
    let until = now.plus(std::time::Duration::from_secs(u64::from(days) * 86_400));
    let (mut firings, mut complete) = (Vec::<(Timestamp, FiringView)>::new(), true);
    let missing = |name: &str| ApiError::not_found(format!("there is no workflow {name}"));
    let workflows = match query.workflow.as_deref() {
        None => app.service.workflows.all(),
        Some(name) => vec![
            app.service
                .workflows
                .named(name)
                .ok_or_else(|| missing(name))?,
        ],
    };
    for workflow in workflows {
        let Some(schedule) = workflow
            .schedule
            .as_ref()
            .filter(|schedule| !schedule.paused)
        else {
            continue;
        };
        let before = firings.len();
        let next = schedule
            .timetable
            .firings(now)
            .take_while(|one| one.at <= until)
            .take(FIRINGS);
        firings.extend(next.map(|one| {
            let planned = occurrence(&schedule.timetable, &one);
            let view = FiringView {
                workflow: workflow.name.clone(),
                nominal: one.nominal.to_string(),
                wall: one.wall.format("%Y-%m-%dT%H:%M").to_string(),
                timezone: schedule.timetable.schedule().zone().name().to_owned(),
                at: one.at.to_string(),
                fires: planned.state == OccurrenceState::Due,
                moved: planned.reason,
            };
            (one.at, view)
        }));
        complete &= firings.len() - before < FIRINGS;
    }
    firings.sort_by_key(|(at, _)| *at);
    Ok(Json(SchedulePage {
        firings: firings.into_iter().map(|(_, view)| view).collect(),
        complete,
    }))
}

/// What became of what was due, newest first
#[utoipa::path(get, path = "/occurrences", tag = "schedules", params(EarlierOccurrencesQuery),
    responses((status = 200, body = OccurrencesPage), (status = 400, body = ErrorBody)))]
pub(super) async fn occurrences(
    State(app): State<App>,
    Query(query): Query<EarlierOccurrencesQuery>,
) -> Result<Json<OccurrencesPage>, ApiError> {
    let size = page_size(query.limit)?;
    let wrong = || ApiError::invalid("before is next_before of another page");
    let before = query
        .before
        .as_deref()
        .map(|text| Place::parse(text).ok_or_else(wrong))
        .transpose()?;
    let found = app
        .engine()
        .ledger
        .occurrences(&OccurrenceFilter::default(), before.as_ref(), size)
        .await?;
    let next_before = found
        .last()
        .filter(|_| found.len() == size as usize)
        .map(|row| Place::of(row).to_string());
    let views = found.into_iter().map(|row| OccurrenceView {
        workflow: row.workflow,
        nominal: row.nominal,
        timezone: row.timezone,
        at: row.at.to_string(),
        state: row.state.as_str(),
        run: row.run_id,
        reason: row.reason,
    });
    Ok(Json(OccurrencesPage {
        occurrences: views.collect(),
        next_before,
    }))
}

/// Contracts that live here, oldest first
#[utoipa::path(get, path = "/contracts", tag = "contracts", params(OldestFirstQuery),
    responses((status = 200, body = ContractsPage), (status = 400, body = ErrorBody)))]
pub(super) async fn contracts(
    State(app): State<App>,
    Query(query): Query<OldestFirstQuery>,
) -> Result<Json<ContractsPage>, ApiError> {
    let size = page_size(query.limit)?;
    let found = app
        .engine()
        .ledger
        .contracts(&ContractFilter::default(), query.after.unwrap_or(0), size)
        .await?;
    let next_after = found
        .last()
        .map(|row| row.id)
        .filter(|_| found.len() == size as usize);
    let views = found.into_iter().map(|row| ContractView {
        terms: row.json(),
        next_due: row.next_due.map(|day| day.to_string()),
        id: row.id,
        contract: row.contract,
        account: row.account,
    });
    Ok(Json(ContractsPage {
        contracts: views.collect(),
        next_after,
    }))
}

/// What the gateways told, newest first; without what they wrote
#[utoipa::path(get, path = "/notifications", tag = "notifications", params(NewestFirstQuery),
    responses((status = 200, body = NotificationsPage), (status = 400, body = ErrorBody)))]
pub(super) async fn notifications(
    State(app): State<App>,
    Query(query): Query<NewestFirstQuery>,
) -> Result<Json<NotificationsPage>, ApiError> {
    let size = page_size(query.limit)?;
    let found = app
        .engine()
        .ledger
        .notifications(&NotificationFilter::default(), query.before, size)
        .await?;
    let next_before = found
        .last()
        .map(|row| row.id)
        .filter(|_| found.len() == size as usize);
    let views = found.into_iter().map(|row| NotificationView {
        id: row.id,
        gateway: row.lane,
        received_at: row.received_at.to_string(),
        repeats: row.repeats,
        order_no: row.order_no,
        outcome: row.outcome.as_str(),
        detail: row.detail,
        item: row.item_id,
    });
    Ok(Json(NotificationsPage {
        notifications: views.collect(),
        next_before,
    }))
}

/// Incidents that last
#[utoipa::path(get, path = "/alerts", tag = "alerts", responses((status = 200, body = Vec<AlertView>)))]
pub(super) async fn alerts(State(app): State<App>) -> Result<Json<Vec<AlertView>>, ApiError> {
    let open = app.engine().ledger.open_incidents().await?;
    let views = open.into_iter().map(|row| AlertView {
        kind: row.kind.as_str(),
        key: row.key,
        since: row.since.to_string(),
        opened_at: row.opened_at.map(|at| at.to_string()),
    });
    Ok(Json(views.collect()))
}

/// What persons have paused
#[utoipa::path(get, path = "/pauses", tag = "controls", responses((status = 200, body = Vec<PauseView>)))]
pub(super) async fn pauses(State(app): State<App>) -> Result<Json<Vec<PauseView>>, ApiError> {
    let paused = app.engine().ledger.pauses().await?;
    let views = paused.into_iter().map(|row| PauseView {
        scope: row.scope,
        name: row.name,
        at: row.at.to_string(),
        actor: row.actor,
        reason: row.reason,
    });
    Ok(Json(views.collect()))
}

/// The audit log, newest first
#[utoipa::path(get, path = "/audit", tag = "audit", params(NewestFirstQuery),
    responses((status = 200, body = AuditPage), (status = 400, body = ErrorBody)))]
pub(super) async fn audit(
    State(app): State<App>,
    Query(query): Query<NewestFirstQuery>,
) -> Result<Json<AuditPage>, ApiError> {
    let size = page_size(query.limit)?;
    let found = app
        .engine()
        .ledger
        .audit_before(query.before.unwrap_or(i64::MAX), size)
        .await?;
    let next_before = found
        .last()
        .map(|row| row.entry.seq)
        .filter(|_| found.len() == size as usize);
    let views = found.into_iter().map(|row| AuditView {
        seq: row.entry.seq,
        at: row.entry.at.to_string(),
        actor: row.entry.actor,
        via: row.entry.via,
        action: row.entry.action,
        target: row.entry.target,
        reason: row.entry.reason,
        before: row.entry.before,
        after: row.entry.after,
        hash: row.hash,
    });
    Ok(Json(AuditPage {
        entries: views.collect(),
        next_before,
    }))
}
