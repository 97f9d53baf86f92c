//! Beginning the run of a file that was looked at, and withdrawing it while it waits to be sent.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;

use super::errors::PageError;
use super::forms::{Form, once};
use super::page_fields::PagePath;
use super::session::Viewer;
use super::upload_check::{DELAYS, UploadFor, body_of};
use crate::domain::message::Message;
use crate::http::App;
use crate::http::api::{start_run, withdraw_run};
use crate::http::extract::{JsonBody, Path};

/// What is begun.
#[derive(Debug, Deserialize)]
pub(super) struct BeginForm {
    key: String,
    target: String,
    /// Of the workflow as the rows were looked at.
    version: String,
    /// Of the files of all jobs as they were looked at, as JSON.
    files: String,
    /// Which heading is which column, as JSON.
    columns: String,
    /// What the file was called where it was sent from.
    #[serde(default)]
    name: String,
    send_after: String,
}

/// Begins a run of the file, as it was looked at.
pub(super) async fn begin(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(file): PagePath<String>,
    Form(form): Form<BeginForm>,
) -> Result<impl IntoResponse, PageError> {
    let upload = UploadFor::of(&app, &form.target)?;
    let columns = serde_json::from_str(&form.columns).map_err(|_| {
        PageError::invalid(Message::new(
            "upload-other-columns",
            "the columns are not those of the page",
        ))
    })?;
    let file_versions = serde_json::from_str(&form.files).map_err(|_| {
        PageError::invalid(Message::new(
            "upload-other-files",
            "the files are not those of the page",
        ))
    })?;
    if !DELAYS.contains(&form.send_after.as_str()) {
        return Err(PageError::invalid(Message::new(
            "upload-no-such-delay",
            "there is no such delay to choose",
        )));
    }
    let names = [(upload.job.clone(), form.name)];
    let body = start_run::StartRunBody {
        // Compared with the very file that is planned.
        workflow_version: Some(form.version),
        file_versions,
        input_names: names
            .into_iter()
            .filter(|(_, name)| !name.is_empty())
            .collect(),
        send_after: Some(form.send_after).filter(|delay| !delay.is_empty()),
        ..body_of(&upload, &file, &columns)
    };
    let key = HeaderValue::from_str(&form.key);
    let key = key.map_err(|_| {
        PageError::invalid(Message::new(
            "form-no-key",
            "the form has no key: load its page again",
        ))
    })?;
    let mut headers = HeaderMap::new();
    headers.insert("idempotency-key", key);
    let caller = Extension(viewer.caller.clone());
    let (_, begun) = start_run::create(State(app), caller, headers, JsonBody(body)).await?;
    // What takes long to plan is in the list as soon as it is there.
    let to = begun.0.run.map_or_else(
        || format!("{}/runs", viewer.base),
        |run| format!("{}/runs/{}", viewer.base, run.run),
    );
    Ok(Redirect::to(&to))
}

/// Why a run is withdrawn.
#[derive(Debug, Deserialize)]
pub(super) struct WithdrawForm {
    key: String,
    reason: String,
}

/// Withdraws all that is open of a run.
pub(super) async fn withdraw(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(run): PagePath<i64>,
    Form(form): Form<WithdrawForm>,
) -> Result<impl IntoResponse, PageError> {
    let content = format!("withdraw {run} {}", form.reason);
    let body = withdraw_run::WithdrawRunBody {
        reason: form.reason,
    };
    let caller = Extension(viewer.caller.clone());
    let action = withdraw_run::withdraw(State(app.clone()), caller, Path(run), JsonBody(body));
    once((&app, &viewer), (&form.key, &content), action).await?;
    Ok(Redirect::to(&format!("{}/runs/{run}", viewer.base)))
}
