//! What fires next by itself, and what became of what was due.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde::Serialize;
use utoipa::IntoParams;
use utoipa::ToSchema;

use super::page::page_size;
use crate::domain::occurrence::OccurrenceState;
use crate::domain::time::Timestamp;
use crate::engine::schedule::occurrence;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::error::ErrorBody;
use crate::http::extract::Query;
use crate::ledger::OccurrenceFilter;
use crate::ledger::OccurrencePlace as Place;

/// How many firings are looked for of each workflow.
const FIRINGS: usize = 200;

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
