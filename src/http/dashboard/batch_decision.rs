//! Approving and rejecting a batch on its page. Approving wants its sums typed: a wrong one is
//! refused, and nothing is told to the ledger.

use std::collections::BTreeMap;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::batch_review::{found, path_of};
use super::errors::PageError;
use super::forms::{Form, once};
use super::page_fields::PagePath;
use super::session::Viewer;
use super::sums::typed_sum;
use crate::domain::message::Message;
use crate::http::App;
use crate::http::api::approvals::{self as api, Approve, Reject};
use crate::http::error::ApiError;
use crate::http::extract::{JsonBody, Path};
use crate::ledger::{ApprovalRow, ApprovalState};

/// What a person approves.
#[derive(Debug, Deserialize)]
pub(super) struct ApproveForm {
    key: String,
    /// Of the batch as it was shown.
    hash: String,
    reason: String,
    /// `sum-HKD` and the like; `count` where there is no money.
    #[serde(flatten)]
    typed: BTreeMap<String, String>,
}

/// Approves a batch as it was shown.
pub(super) async fn approve(
    State(app): State<App>,
    viewer: Viewer,
    PagePath((run, job)): PagePath<(i64, String)>,
    Form(form): Form<ApproveForm>,
) -> Result<Response, PageError> {
    let approval = found(&app, run, &job).await?;
    let is_as_shown = form.hash == approval.content_hash;
    // What was not shown is refused by its hash.
    if is_as_shown && !is_typed(&approval, &form.typed) {
        let wrong = viewer.language.message("approvals-wrong-sum");
        return Err(PageError::from(ApiError::refused("wrong_sum", wrong)).at("sum"));
    }
    let content = format!("approve {run} {job} {} {}", form.hash, form.reason);
    let body = Approve {
        hash: form.hash,
        job: Some(job.clone()),
        reason: form.reason,
    };
    let caller = Extension(viewer.caller.clone());
    let (at_work, name) = (app.clone(), job.clone());
    let action = async move {
        let approved =
            api::approve(State(at_work.clone()), caller, Path(run), JsonBody(body)).await;
        told(&at_work, (run, &name), approved.err()).await
    };
    once((&app, &viewer), (&form.key, &content), action).await?;
    Ok(Redirect::to(&format!("{}{}", viewer.base, path_of(run, &job))).into_response())
}

/// Why a decision was refused. That nothing waits any more is told as what it is: somebody else was
/// quicker.
async fn told(
    app: &App,
    (run, job): (i64, &str),
    refused: Option<ApiError>,
) -> Result<(), PageError> {
    let Some(refused) = refused else {
        return Ok(());
    };
    let state = found(app, run, job).await?.state;
    if state.is_open() {
        return Err(refused.into());
    }
    let message = match state {
        ApprovalState::Approved => Message::new(
            "decided-approved",
            "the batch is approved by now, and nothing of it is left to be sent",
        ),
        ApprovalState::Rejected => Message::new("decided-rejected", "the batch is rejected by now"),
        ApprovalState::Revoked => Message::new("decided-revoked", "the batch is revoked by now"),
        ApprovalState::Expired => Message::new("decided-expired", "the batch has expired by now"),
        ApprovalState::Waiting | ApprovalState::Void => {
            Message::new("decided-changed", "the batch has changed: look at it again")
        }
    };
    Err(ApiError::conflict("not_waiting", message).into())
}

/// Whether the sums of a batch were typed, each of them; how many items, where there is no money.
fn is_typed(approval: &ApprovalRow, typed: &BTreeMap<String, String>) -> bool {
    if approval.sums.is_empty() {
        let count = typed.get("count").map(|text| text.trim().replace(',', ""));
        return count.and_then(|text| text.parse().ok()) == Some(approval.items);
    }
    approval.sums.iter().all(|(currency, minor)| {
        let text = typed.get(&format!("sum-{}", currency.code()));
        text.and_then(|text| typed_sum(text, *currency)) == Some(i128::from(*minor))
    })
}

/// What a person rejects.
#[derive(Debug, Deserialize)]
pub(super) struct RejectForm {
    key: String,
    reason: String,
}

/// Withdraws a batch; of one that was released, what is open of it.
pub(super) async fn reject(
    State(app): State<App>,
    viewer: Viewer,
    PagePath((run, job)): PagePath<(i64, String)>,
    Form(form): Form<RejectForm>,
) -> Result<Response, PageError> {
    let content = format!("reject {run} {job} {}", form.reason);
    let body = Reject {
        job: Some(job.clone()),
        reason: form.reason,
    };
    let caller = Extension(viewer.caller.clone());
    let (at_work, name) = (app.clone(), job.clone());
    let action = async move {
        let rejected = api::reject(State(at_work.clone()), caller, Path(run), JsonBody(body)).await;
        told(&at_work, (run, &name), rejected.err()).await
    };
    once((&app, &viewer), (&form.key, &content), action).await?;
    Ok(Redirect::to(&format!("{}{}", viewer.base, path_of(run, &job))).into_response())
}
