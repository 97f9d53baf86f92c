//! The workflows in force.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::App;

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
