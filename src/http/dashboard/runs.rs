//! Runs, newest first: how far each is, and how much of it failed.

use askama::Template;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Deserialize;

use super::errors::PageError;
use super::frame::{Page, PageFrame};
use super::page_fields::PageQuery;
use super::run_files::{RunFile, files_of};
use super::session::Viewer;
use super::state_sums::{StateBar, in_state};
use crate::domain::item::State as ItemState;
use crate::domain::occurrence::name_on_clock;
use crate::http::App;
use crate::ledger::{JobRow, RunRow, Total};
use crate::workflow::version_of;

/// How many runs a page has.
const PAGE: u32 = 50;

/// Which runs.
#[derive(Debug, Deserialize)]
pub(super) struct RunListQuery {
    before: Option<i64>,
}

#[derive(Template)]
#[template(path = "runs.html")]
struct RunListPage {
    page: PageFrame,
    runs: Vec<ListedRun>,
    next_before: Option<i64>,
    is_first: bool,
}

/// A run in a list.
struct ListedRun {
    run: RunRow,
    occurrence: String,
    version: Option<String>,
    files: Vec<RunFile>,
    states: StateBar,
    failed: u64,
}

/// Runs, newest first.
pub(super) async fn list(
    State(app): State<App>,
    viewer: Viewer,
    PageQuery(query): PageQuery<RunListQuery>,
) -> Result<impl IntoResponse, PageError> {
    let ledger = &app.engine().ledger;
    let found = ledger.runs(query.before, PAGE).await?;
    let full = found.len() == PAGE as usize;
    let next_before = found.last().map(|run| run.id).filter(|_| full);
    let ids: Vec<i64> = found.iter().map(|run| run.id).collect();
    let (jobs, totals) = (
        ledger.jobs_of_runs(&ids).await?,
        ledger.totals_of_runs(&ids).await?,
    );
    let sources = ledger.workflows_of_runs(&ids).await?;
    let mut runs = Vec::with_capacity(found.len());
    for run in found {
        let jobs: Vec<JobRow> = jobs
            .iter()
            .filter(|job| job.run_id == run.id)
            .cloned()
            .collect();
        let is_own = |total: &&Total| jobs.iter().any(|job| job.id == total.job_id);
        let totals: Vec<Total> = totals.iter().filter(is_own).cloned().collect();
        runs.push(ListedRun {
            occurrence: name_on_clock(&run.occurrence, viewer.zone),
            version: sources.get(&run.id).map(|source| version_of(source)),
            files: files_of(&jobs)?,
            failed: in_state(&totals, ItemState::Failed),
            states: StateBar::of(&totals),
            run,
        });
    }
    Ok(Page(RunListPage {
        page: PageFrame::of(&viewer),
        runs,
        next_before,
        is_first: query.before.is_none(),
    }))
}
