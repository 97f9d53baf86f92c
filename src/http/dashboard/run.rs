//! One run: how far it is, what failed and why, and what may be done with it.

use askama::Template;
use axum::extract::State;
use axum::response::IntoResponse;

use super::errors::PageError;
use super::forms::fresh_key;
use super::frame::{Page, PageFrame};
use super::page_fields::PagePath;
use super::run_files::{RunFile, files_of};
use super::run_pace::RunPace;
use super::run_progress::LiveRun;
use super::run_reports::{self, LinkedReport};
use super::session::Viewer;
use crate::domain::message::Message;
use crate::domain::time::Timestamp;
use crate::http::App;
use crate::http::run_watch::RunSnapshot;
use crate::ledger::Total;

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    page: PageFrame,
    run: LiveRun,
    version: Option<String>,
    files: Vec<RunFile>,
    reports: Vec<LinkedReport>,
    pace: Option<RunPace>,
    /// Before when nothing of it is sent, while that is.
    waits_until: Option<Timestamp>,
    /// Whether it can be withdrawn as a whole.
    is_withdrawable: bool,
    key: String,
}

/// One run.
pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(id): PagePath<i64>,
) -> Result<impl IntoResponse, PageError> {
    let ledger = &app.engine().ledger;
    let now = app.engine().clock.now();
    let snapshot = RunSnapshot::read(ledger, id, now).await?;
    let snapshot = snapshot.ok_or_else(|| no_such_run(id))?;
    let page = PageFrame::of(&viewer);
    let run = LiveRun::of(&snapshot, None, (&app, &page));
    let items = run.states.items;
    Ok(Page(RunPage {
        version: snapshot.version.clone(),
        files: files_of(&snapshot.jobs)?,
        reports: run_reports::of_run(&app, &viewer, (id, &snapshot.jobs)).await?,
        pace: RunPace::of(ledger, (&snapshot.run, items), now).await?,
        waits_until: snapshot
            .run
            .send_at
            .filter(|at| *at > now && has_open(&snapshot.totals)),
        is_withdrawable: is_withdrawable(&snapshot),
        key: fresh_key(),
        run,
        page,
    }))
}

/// Whether there is anything to withdraw: of a run that was withdrawn, what a person has tried again.
fn is_withdrawable(snapshot: &RunSnapshot) -> bool {
    let is_fresh = match &snapshot.run.withdrawal {
        None => true,
        Some(withdrawal) => withdrawal.ended_at.is_some() && has_open(&snapshot.totals),
    };
    is_fresh && !snapshot.is_finished()
}

/// A run that was withdrawn is found to have finished a moment later.
fn has_open(totals: &[Total]) -> bool {
    totals
        .iter()
        .any(|total| total.state.is_open() && total.items > 0)
}

pub(super) fn no_such_run(id: i64) -> PageError {
    PageError::not_found(Message::new("no-such-run", "there is no run {id}").with("id", id))
}
