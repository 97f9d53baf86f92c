//! What a run would do, without sending or keeping anything: the same plan, rolled back.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::start_run::{AGAIN, PATIENCE, StartRunBody, not_planned, request};
use super::uploads;
use crate::domain::message::Message;
use crate::domain::money::decimal_text;
use crate::engine::planning::{PlannedJob, PlannedRun};
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::JsonBody;
use crate::ledger::RejectedRow;

/// How many rows of each sort are named.
const NAMED: usize = 500;

/// What a run would do.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct PlanPreviewView {
    /// The workflow it was planned with: how the SHA-256 of its file begins.
    workflow_version: String,
    /// Its jobs, in the order of the workflow.
    jobs: Vec<PreviewedJobView>,
}

/// What a run would do of a job.
#[derive(Debug, Serialize, ToSchema)]
struct PreviewedJobView {
    name: String,
    kind: String,
    gateway: String,
    /// Whether its items are planned when the job has ended that they come from.
    planned_later: bool,
    /// Items that would be sent.
    items: u64,
    /// Their money, as decimal text by currency.
    sums: BTreeMap<String, String>,
    /// Rows that would be rejected.
    rejected: u64,
    /// Rows whose key was planned before.
    skipped: u64,
    /// Rows that the job's condition (`where`) leaves out.
    left_out: u64,
    /// The same by what the condition looks at, such as `active=no`; of what is beyond twenty different
    /// values, all together under no value.
    left_out_by_value: BTreeMap<String, u64>,
    /// Whether the items would wait until somebody else has approved them.
    needs_approval: bool,
    /// The SHA-256 of its file: give it as `file_versions`, and no other file is planned.
    file_version: Option<String>,
    /// How its file was understood.
    read_as: Option<String>,
    /// What of that somebody should look at.
    notes: Vec<String>,
    /// The first rows that would be rejected or skipped, 500 at most.
    refused: Vec<PreviewedRowView>,
}

/// A row that would be rejected or skipped.
#[derive(Debug, Serialize, ToSchema)]
struct PreviewedRowView {
    /// Its line in the file.
    line: u64,
    /// `rejected` or `skipped`.
    state: &'static str,
    /// Its key, where it has one.
    key: String,
    /// Which column, and what is wrong with it.
    reason: String,
    /// The item that has the key.
    duplicate_of: Option<i64>,
}

/// Plans a run and keeps nothing of it: what would be sent, and which rows would be rejected
#[utoipa::path(post, path = "/plans", tag = "runs", request_body = StartRunBody,
    responses((status = 200, body = PlanPreviewView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
              (status = 413, body = ErrorBody), (status = 415, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(super) async fn preview(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    JsonBody(wanted): JsonBody<StartRunBody>,
) -> Result<Json<PlanPreviewView>, ApiError> {
    let (workflow_version, planned) = plan_of(&app, &caller, &wanted).await?;
    Ok(Json(PlanPreviewView {
        workflow_version,
        jobs: planned.jobs.iter().map(PreviewedJobView::of).collect(),
    }))
}

/// What a run would do, and by which version of its workflow.
pub(in crate::http) async fn plan_of(
    app: &App,
    caller: &Caller,
    wanted: &StartRunBody,
) -> Result<(String, PlannedRun), ApiError> {
    let full = || {
        let many = Message::new(
            "previews-many",
            "other files are being looked at, and as many wait as may",
        );
        ApiError::too_many(many, AGAIN)
    };
    let place = app.engine().places.ask_for_preview().await;
    let (place, cancellation) = place.ok_or_else(full)?;
    let _waits = cancellation.when_dropped();
    let occurrence = format!("preview {}/{:032x}", caller.name, rand::random::<u128>());
    let mut request = request(app, wanted, &occurrence, caller.actor()?)
        .await?
        .preview();
    request.shown = NAMED;
    request.cancellation = Some(cancellation);
    let version = request.workflow.version();
    let engine = Arc::clone(app.engine());
    // It ends when nobody waits for it any more, and has its place until what it has written is taken back.
    let plan = tokio::spawn(async move {
        let planned = engine.plan(&request, &Arc::default()).await;
        drop(place);
        planned
    });
    match tokio::time::timeout(PATIENCE, plan).await {
        Err(_) => Err(ApiError::unavailable(Message::new(
            "preview-too-slow",
            "it takes too long to look at all rows before they are planned",
        ))
        .help(Message::new(
            "preview-begin-run",
            "begin the run: what is wrong with a row is told with the run too",
        ))),
        Ok(Err(_)) => Err(ApiError::unavailable(Message::new(
            "plan-broke-off",
            "planning broke off",
        ))),
        Ok(Ok(planned)) => Ok((version, planned.map_err(not_planned)?)),
    }
}

impl PreviewedJobView {
    fn of(job: &PlannedJob) -> Self {
        let sum = |(code, (minor, currency)): (&&str, &(i64, _))| {
            let sum = decimal_text(i128::from(*minor), *currency);
            ((*code).to_owned(), sum)
        };
        Self {
            name: job.name.clone(),
            kind: job.kind.clone(),
            gateway: job.gateway.clone(),
            planned_later: job.late,
            items: job.items,
            sums: job.totals.iter().map(sum).collect(),
            rejected: job.rejected,
            skipped: job.skipped,
            left_out: job.noted.left_out.rows,
            left_out_by_value: job.noted.left_out.by_value.clone(),
            file_version: job.file_version(),
            needs_approval: job.approval.is_some(),
            read_as: job.reading.as_ref().map(ToString::to_string),
            notes: job
                .reading
                .as_ref()
                .map(uploads::notes_of)
                .unwrap_or_default(),
            refused: job.refusals.iter().map(PreviewedRowView::of).collect(),
        }
    }
}

impl PreviewedRowView {
    fn of(row: &RejectedRow) -> Self {
        Self {
            line: row.line,
            state: row.state.as_str(),
            key: row.key.clone(),
            reason: row.reason.to_string(),
            duplicate_of: row.duplicate_of,
        }
    }
}
