//! Batches that wait for approval: shown, approved, rejected. Nobody approves a run that they
//! began, whatever their role; the ledger sees to it in the commit that counts.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::page::page_size;
use crate::domain::message::Message;
use crate::engine::operator::approve::BatchDecision;
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::{JsonBody, Path, Query};
use crate::ledger::{DecisionOutcome, ListedApprovals, RowPlace};
use crate::view::{ApprovalView, BatchView};

/// Which approvals.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ApprovalsQuery {
    /// Also those that were decided.
    #[serde(default)]
    all: bool,
    /// Only before this one: the last of the page before.
    before: Option<i64>,
    /// How many at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// A page of approvals, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ApprovalsPage {
    approvals: Vec<ApprovalView>,
    /// Give it as `before` for the next page; none if this is the last.
    next_before: Option<i64>,
}

/// What is approved.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Approve {
    /// The `hash` of the batch as it was shown: nothing else is approved.
    #[schema(min_length = 64, max_length = 64)]
    pub hash: String,
    /// Only this job's batch; of all if not given.
    pub job: Option<String>,
    /// Kept in the audit log.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// What is rejected.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Reject {
    /// Only this job's batch; all if not given.
    pub job: Option<String>,
    /// Kept in the audit log.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct DecidedView {
    job: String,
    /// `released`, `counted`, `withdrawn`, or `revoked`: it had been released, so what may be under
    /// way is queried.
    outcome: &'static str,
    /// How many items it is about.
    items: u64,
    /// How many persons have approved, where more are needed.
    given: Option<u32>,
}

/// What waits for approval, newest first
#[utoipa::path(get, path = "/approvals", tag = "approvals", params(ApprovalsQuery),
    responses((status = 200, body = ApprovalsPage), (status = 400, body = ErrorBody)))]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<ApprovalsQuery>,
) -> Result<Json<ApprovalsPage>, ApiError> {
    let size = page_size(query.limit)?;
    let listed = if query.all {
        ListedApprovals::All
    } else {
        ListedApprovals::Open
    };
    let found = app
        .engine()
        .ledger
        .approvals(listed, query.before.unwrap_or(i64::MAX), size)
        .await?;
    let next_before = found
        .last()
        .map(|approval| approval.id)
        .filter(|_| found.len() == size as usize);
    Ok(Json(ApprovalsPage {
        approvals: found.iter().map(ApprovalView::from).collect(),
        next_before,
    }))
}

/// The batches of a run
#[utoipa::path(get, path = "/runs/{run}/approvals", tag = "approvals", params(("run" = i64, Path, description = "Its id")),
    responses((status = 200, body = Vec<ApprovalView>), (status = 400, body = ErrorBody)))]
pub(super) async fn of_run(
    State(app): State<App>,
    Path(run): Path<i64>,
) -> Result<Json<Vec<ApprovalView>>, ApiError> {
    let found = app.engine().ledger.approvals_of_run(run).await?;
    Ok(Json(found.iter().map(ApprovalView::from).collect()))
}

/// Which rows of a batch.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BatchQuery {
    /// Only rows behind this one: `next_after` of the rows before.
    after: Option<String>,
    /// How many rows at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// A batch with what whoever approves it has to know
#[utoipa::path(get, path = "/runs/{run}/approvals/{job}", tag = "approvals", params(BatchQuery,
    ("run" = i64, Path, description = "Its id"), ("job" = String, Path, description = "The job's name in the workflow")),
    responses((status = 200, body = BatchView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn batch(
    State(app): State<App>,
    Path((run, job)): Path<(i64, String)>,
    Query(query): Query<BatchQuery>,
) -> Result<Json<BatchView>, ApiError> {
    let size = page_size(query.limit)?;
    let wrong = || ApiError::invalid("after is next_after of other rows");
    let after = query
        .after
        .as_deref()
        .map(|text| RowPlace::parse(text).ok_or_else(wrong))
        .transpose()?;
    let found = app.engine().ledger.approvals_of_run(run).await?;
    let missing = || {
        ApiError::not_found(format!(
            "nothing of a job {job} of run {run} has to be approved"
        ))
    };
    let approval = found
        .iter()
        .find(|approval| approval.job == job)
        .ok_or_else(missing)?;
    let review = app
        .engine()
        .reviewing(approval)
        .await?
        .review(after.as_ref(), size)
        .await?;
    Ok(Json(BatchView::of(approval, &review)?))
}

/// Approves a run's batches as they were shown; whoever began the run cannot
#[utoipa::path(post, path = "/runs/{run}/approve", tag = "approvals", request_body = Approve,
    params(("run" = i64, Path, description = "Its id")),
    responses((status = 200, body = Vec<DecidedView>), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
              (status = 409, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody),
              (status = 422, body = ErrorBody)))]
pub(in crate::http) async fn approve(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<i64>,
    JsonBody(wanted): JsonBody<Approve>,
) -> Result<Json<Vec<DecidedView>>, ApiError> {
    let by = caller.signed(&wanted.reason)?;
    let decided = app
        .engine()
        .approve_run(run, wanted.job.as_deref(), Some(&wanted.hash), &by)
        .await?;
    views(run, decided)
}

/// Withdraws a run's batches: what was not sent never is, and what may be under way is queried
#[utoipa::path(post, path = "/runs/{run}/reject", tag = "approvals", request_body = Reject,
    params(("run" = i64, Path, description = "Its id")),
    responses((status = 200, body = Vec<DecidedView>), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
              (status = 409, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody),
              (status = 422, body = ErrorBody)))]
pub(in crate::http) async fn reject(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<i64>,
    JsonBody(wanted): JsonBody<Reject>,
) -> Result<Json<Vec<DecidedView>>, ApiError> {
    let by = caller.signed(&wanted.reason)?;
    views(
        run,
        app.engine()
            .reject_run(run, wanted.job.as_deref(), &by)
            .await?,
    )
}

/// The caller has a token, and the author had none.
const INCOMPARABLE: &str = "the run was started at the console, where anybody can give any name: another user of that machine has to \
    approve it; a run that is started with a token (PAYRUN_TOKEN) can be approved with one";

/// What was decided; the first batch of which it could not be says why, unless another was.
fn views(run: i64, decided: Vec<BatchDecision>) -> Result<Json<Vec<DecidedView>>, ApiError> {
    let (mut done, mut refused) = (Vec::new(), None);
    for batch in decided {
        match view(&batch) {
            Ok(view) => done.push(view),
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    match (done.is_empty(), refused) {
        (false, _) => Ok(Json(done)),
        (true, Some(error)) => Err(error),
        (true, None) => Err(ApiError::not_found(format!(
            "nothing of run {run} waits for approval"
        ))),
    }
}

fn view(batch: &BatchDecision) -> Result<DecidedView, ApiError> {
    let told = |outcome, items, given| {
        Ok(DecidedView {
            job: batch.approval.job.clone(),
            outcome,
            items,
            given,
        })
    };
    match &batch.decided {
        DecisionOutcome::Released(items) => told("released", *items, None),
        DecisionOutcome::Counted { given, needed: _ } => {
            told("counted", batch.approval.items, Some(*given))
        }
        DecisionOutcome::Withdrawn(items) => told("withdrawn", *items, None),
        DecisionOutcome::Revoked {
            cancelled,
            under_way,
        } => told("revoked", cancelled + under_way, None),
        DecisionOutcome::Incomparable => Err(ApiError::conflict("incomparable", INCOMPARABLE)),
        DecisionOutcome::OwnBatch => Err(ApiError::conflict(
            "own_batch",
            "whoever began a run cannot approve it",
        )),
        DecisionOutcome::VotedBefore => Err(ApiError::conflict(
            "voted_before",
            "you have approved it before",
        )),
        DecisionOutcome::Changed => Err(ApiError::conflict(
            "void",
            "a row was changed since: it can only be rejected",
        )),
        DecisionOutcome::NotAsShown => Err(ApiError::conflict(
            "not_as_shown",
            "the batch has another hash: look at it again",
        )),
        DecisionOutcome::NotWaiting(state) => Err(ApiError::conflict(
            "not_waiting",
            format!("the batch is {}", state.as_str()),
        )),
        DecisionOutcome::NoSuchApproval => Err(ApiError::not_found(Message::new(
            "batch-not-there",
            "there is no such batch",
        ))),
    }
}
