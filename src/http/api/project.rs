//! What is configured, and what is in force: workflows and lanes.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::App;
use crate::http::error::ApiError;
use crate::ledger::{LaneRow, LaneState};

/// A workflow in force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WorkflowView {
    /// Its name.
    name: String,
    /// One line about it.
    description: String,
    /// When it fires by itself.
    schedule: Option<String>,
    /// The wall clock of that.
    timezone: Option<String>,
    /// Its jobs.
    jobs: Vec<String>,
    /// What a run may be given.
    params: Vec<ParamView>,
}

/// A parameter of a workflow.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ParamView {
    /// Its name.
    name: String,
    /// What it is for.
    description: String,
    /// Whether a run must give it.
    required: bool,
}

/// The workflows of the project.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WorkflowsView {
    workflows: Vec<WorkflowView>,
    /// Files that are not taken up, and why.
    refused: Vec<RefusedView>,
}

/// A file that is not taken up.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RefusedView {
    /// The file.
    file: String,
    /// What is wrong with it.
    mistakes: String,
}

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

/// The workflows in force
#[utoipa::path(get, path = "/workflows", tag = "project", responses((status = 200, body = WorkflowsView)))]
pub(super) async fn workflows(State(app): State<App>) -> Json<WorkflowsView> {
    let known = &app.service.workflows;
    let view = |workflow: &std::sync::Arc<crate::workflow::Workflow>| WorkflowView {
        name: workflow.name.clone(),
        description: workflow.description.clone(),
        schedule: workflow
            .schedule
            .as_ref()
            .map(|schedule| schedule.timetable.schedule().text().to_owned()),
        timezone: workflow
            .schedule
            .as_ref()
            .map(|schedule| schedule.timetable.schedule().zone().name().to_owned()),
        jobs: workflow.jobs.iter().map(|job| job.name.clone()).collect(),
        params: workflow
            .params
            .iter()
            .map(|param| ParamView {
                name: param.name.clone(),
                description: param.description.clone(),
                required: param.default.is_none(),
            })
            .collect(),
    };
    let refused = known.refused().into_iter();
    Json(WorkflowsView {
        workflows: known.all().iter().map(view).collect(),
        refused: refused
            .map(|(file, mistakes)| RefusedView {
                file: file.display().to_string(),
                mistakes,
            })
            .collect(),
    })
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
