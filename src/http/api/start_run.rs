//! Beginning a run, once: the caller's key makes the same request the same run, however often it is
//! sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::uploads;
use crate::domain::actor::Actor;
use crate::domain::message::Message;
use crate::domain::subscription::RunDays;
use crate::domain::text::is_unseen;
use crate::engine::Engine;
use crate::engine::planning::{Input, PlanError, PlannedRun, RunRequest, SendAfterError};
use crate::errors::chain;
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::JsonBody;
use crate::ledger::{ChosenColumns, IdempotencyCheck, LedgerError};
use crate::view::RunView;
use crate::workflow::{ItemSource, Job, Workflow};
use crate::yaml::scalars::duration;

/// For which days a run may be, seen from today.
const DAYS_BACK: i64 = 62;
const DAYS_AHEAD: i64 = 7;

/// How long a plan is waited for before the caller is told to come back.
pub(super) const PATIENCE: Duration = Duration::from_secs(45);

/// After how many seconds to come back where too many plans are under way.
pub(super) const AGAIN: u64 = 10;

/// What to do where something has changed since it was looked at.
const LOOK_AGAIN: &str = "look at what would be planned again (POST /plans), and begin that";

/// A run that is wanted.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct StartRunBody {
    /// The workflow's name.
    pub workflow: String,
    /// Its parameters. None gives an item file another name: send the file, and name it under
    /// `inputs`.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    /// The day it is for, from 62 days ago to 7 days ahead; today if not given.
    #[schema(value_type = Option<String>, format = Date)]
    pub date: Option<NaiveDate>,
    /// Let that day be after today, and charge what falls due until then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_future: bool,
    /// Uploaded files in place of the workflow's, by job.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    /// What such a file was called where it came from, by job: people are told of it by this name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub input_names: BTreeMap<String, String>,
    /// Which heading of such a file is which column of the workflow, by job, where the file calls it
    /// otherwise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, ChosenColumns>,
    /// Refuse the run where another version of the workflow is in force by now: how the SHA-256 of
    /// the file begins that was looked at, as `POST /plans` gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_version: Option<String>,
    /// Refuse the run where another item file is there by now: the SHA-256 of the file of each job that
    /// was looked at, as `POST /plans` gives it. Jobs that are not named are not compared.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub file_versions: BTreeMap<String, String>,
    /// How long nothing of it is sent once it is planned, such as 15m: until then it can be
    /// withdrawn. From 1s to 7d; at once if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_after: Option<String>,
}

/// A run that was begun.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct StartedRunView {
    /// The run, as it is now; none while it is still being planned.
    pub run: Option<RunView>,
    /// The workflow that it was planned with: how the SHA-256 of its file begins.
    workflow_version: Option<String>,
    /// What was saved since and is not in force: its file has mistakes. None where the newest file is
    /// the one that the run was planned with.
    newer_file: Option<NewerFileView>,
    /// Whether this very request was made before.
    repeated: bool,
}

/// A workflow file with mistakes, in place of which its last valid version is in force.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct NewerFileView {
    /// The file.
    file: String,
    /// When it was saved.
    saved_at: Option<String>,
    /// What is wrong with it.
    mistakes: String,
    /// When the version was saved that is in force.
    in_force_since: Option<String>,
}

impl NewerFileView {
    fn of(app: &App, workflow: &str) -> Option<Self> {
        let newer = app.service.workflows.newer_with_mistakes(workflow)?;
        Some(Self {
            file: newer.path.display().to_string(),
            saved_at: newer.saved_at.map(|at| at.to_string()),
            mistakes: newer.mistakes,
            in_force_since: newer.in_force_since.map(|at| at.to_string()),
        })
    }
}

/// Begins a run of a workflow
///
/// The header `Idempotency-Key` (1 to 64 letters, digits, - and _) makes it safe to send the
/// request again: the same key and body lead to the same run, the same key with another body is
/// refused. What was refused has not used up its key.
#[utoipa::path(post, path = "/runs", tag = "runs", request_body = StartRunBody,
    params(("Idempotency-Key" = String, Header, description = "Chosen by the caller, once for each run that is wanted")),
    responses((status = 201, body = StartedRunView, description = "Planned"), (status = 200, body = StartedRunView, description = "Planned before"),
              (status = 202, body = StartedRunView, description = "Still being planned: send it again later, with the same key"),
              (status = 400, body = ErrorBody), (status = 403, body = ErrorBody), (status = 404, body = ErrorBody),
              (status = 409, body = ErrorBody), (status = 413, body = ErrorBody), (status = 415, body = ErrorBody),
              (status = 422, body = ErrorBody)))]
pub(in crate::http) async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    JsonBody(wanted): JsonBody<StartRunBody>,
) -> Result<(StatusCode, Json<StartedRunView>), ApiError> {
    let key = key_of(&headers)?;
    let ledger = &app.engine().ledger;
    let fingerprint: [u8; 32] =
        Sha256::digest(serde_json::to_vec(&wanted).unwrap_or_default()).into();
    let asked = ledger.asked(&caller.name, &key, fingerprint).await?;
    if asked == Some(IdempotencyCheck::Otherwise) {
        return Err(reused());
    }
    let occurrence = format!("api {}/{key}", caller.name);
    if let Some(run) = begun(&app, &wanted.workflow, &occurrence).await? {
        let workflow_version = run.workflow_version.clone();
        return Ok((
            StatusCode::OK,
            Json(StartedRunView {
                newer_file: None,
                run: Some(run),
                workflow_version,
                repeated: true,
            }),
        ));
    }
    let planning = PlanInProgress::enter(&app, &occurrence)?;
    // Before its file is read: what waits takes no memory.
    let full = || {
        let many = Message::new(
            "plans-many",
            "other runs are being planned, and as many wait as may",
        );
        ApiError::too_many(many, AGAIN)
    };
    let place = app.engine().places.ask().await.ok_or_else(full)?;
    let request = request(&app, &wanted, &occurrence, caller.actor()?).await?;
    let version = request.workflow.version();
    let newer_file = NewerFileView::of(&app, &wanted.workflow);
    // The key is used up by what is begun, not by what was refused.
    let asked = ledger
        .ask_once(&caller.name, &key, fingerprint, app.engine().clock.now())
        .await?;
    if asked == IdempotencyCheck::Otherwise {
        return Err(reused());
    }
    let engine = Arc::clone(app.engine());
    let use_of_key = (caller.name.clone(), key, fingerprint, asked);
    // It goes on when the caller has gone: to send the request again is how to hear of it then.
    let plan = tokio::spawn(async move {
        let planned = engine.plan(&request, &Arc::default()).await;
        let noted = note_use(&engine, use_of_key, &planned).await;
        drop((place, planning));
        if let Err(error) = noted {
            tracing::error!(
                error = chain(&error),
                "the use of an Idempotency-Key was not noted"
            );
        }
        planned
    });
    match tokio::time::timeout(PATIENCE, plan).await {
        Err(_) => {
            return Ok((
                StatusCode::ACCEPTED,
                Json(StartedRunView {
                    run: None,
                    workflow_version: Some(version),
                    newer_file,
                    repeated: asked == IdempotencyCheck::Again,
                }),
            ));
        }
        Ok(Err(_)) => {
            return Err(ApiError::unavailable(
                "planning broke off; nothing was planned",
            ));
        }
        Ok(Ok(Err(PlanError::Ledger(LedgerError::RunExists { .. })) | Ok(_))) => {}
        Ok(Ok(Err(error))) => return Err(not_planned(error)),
    }
    let run = begun(&app, &wanted.workflow, &occurrence).await?;
    let workflow_version = run.as_ref().and_then(|run| run.workflow_version.clone());
    Ok((
        StatusCode::CREATED,
        Json(StartedRunView {
            run,
            workflow_version,
            newer_file,
            repeated: asked == IdempotencyCheck::Again,
        }),
    ))
}

/// Why nothing was planned.
pub(super) fn not_planned(error: PlanError) -> ApiError {
    match error {
        PlanError::Ledger(error) => error.into(),
        error @ PlanError::Stopped { .. } => ApiError::unavailable(error.message()),
        error @ PlanError::Future { .. } => {
            let refused = ApiError::refused("future_date", error.message());
            refused.help(Message::new(
                "plan-allow-future",
                "say \"allow_future\": true if that is meant",
            ))
        }
        error @ PlanError::FileChanged { .. } => {
            let changed = ApiError::conflict("file_changed", error.message());
            changed.help(LOOK_AGAIN)
        }
        error @ (PlanError::Source { .. }
        | PlanError::Rows { .. }
        | PlanError::Workflow(_)
        | PlanError::NoFile { .. }
        | PlanError::NoSuchJob { .. }
        | PlanError::Late { .. }
        | PlanError::Withdrawn { .. }
        | PlanError::Sealed { .. }
        | PlanError::References(_)
        | PlanError::Limit { .. }
        | PlanError::Broken { .. }) => ApiError::refused("cannot_plan", error.whole_message()),
    }
}

/// Reads what was saved since the folder was last looked at.
async fn look_at_saved(app: &App) -> Result<(), ApiError> {
    let workflows = Arc::clone(&app.service.workflows);
    tokio::task::spawn_blocking(move || workflows.look_at_saved())
        .await
        .map_err(|_| {
            ApiError::unavailable("the workflows cannot be read at present; the log says why")
        })
}

fn reused() -> ApiError {
    ApiError::refused(
        "idempotency_key_reused",
        "this Idempotency-Key was used for another request",
    )
    .help(
        "a key stands for one request, so that sending that again begins nothing twice: what is another gets a key of its own; \
         GET /api/v1/runs says what the first has begun",
    )
}

/// Forgets the key of what was refused, if this request was the first with it; keeps that of what
/// was begun, or may have been.
async fn note_use(
    engine: &Engine,
    (caller, key, fingerprint, asked): (String, String, [u8; 32], IdempotencyCheck),
    planned: &Result<PlannedRun, PlanError>,
) -> Result<(), LedgerError> {
    match planned {
        // Another request with this key may have been refused meanwhile.
        Ok(_) => engine
            .ledger
            .ask_once(&caller, &key, fingerprint, engine.clock.now())
            .await
            .map(|_| ()),
        // Whether it was committed is not known where the ledger fails.
        Err(PlanError::Ledger(_)) => Ok(()),
        Err(_) if asked == IdempotencyCheck::First => {
            engine.ledger.forget_asked(&caller, &key).await
        }
        Err(_) => Ok(()),
    }
}

fn key_of(headers: &HeaderMap) -> Result<String, ApiError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok())
        .unwrap_or_default();
    if (1..=64).contains(&key.len()) && key.bytes().all(plain) {
        return Ok(key.to_owned());
    }
    let message = "the header Idempotency-Key is needed: 1 to 64 letters, digits, - and _";
    Err(ApiError::invalid(message)
        .help("choose one for each run that is wanted, and send it again with the same request"))
}

async fn begun(app: &App, workflow: &str, occurrence: &str) -> Result<Option<RunView>, ApiError> {
    let ledger = &app.engine().ledger;
    match ledger.run_of(workflow, occurrence).await? {
        None => Ok(None),
        Some(run) => Ok(Some(RunView::read(ledger, &run).await?)),
    }
}

/// What is to be planned.
pub(super) async fn request(
    app: &App,
    wanted: &StartRunBody,
    occurrence: &str,
    author: Actor,
) -> Result<RunRequest, ApiError> {
    look_at_saved(app).await?;
    let engine = app.engine();
    let missing = || ApiError::not_found(format!("there is no workflow {}", wanted.workflow));
    let workflow = app
        .service
        .workflows
        .named(&wanted.workflow)
        .ok_or_else(missing)?;
    // That it has no file any more is taken up a moment later.
    if !tokio::fs::try_exists(&workflow.path).await.unwrap_or(true) {
        return Err(missing().help("its file is gone; put it back, or start another workflow"));
    }
    let version = workflow.version();
    if let Some(seen) = wanted
        .workflow_version
        .as_ref()
        .filter(|seen| **seen != version)
    {
        let message = format!("the workflow was changed: {version} is in force, and not {seen}");
        return Err(ApiError::conflict("workflow_changed", message).help(LOOK_AGAIN));
    }
    let given: Vec<(String, String)> = wanted.params.clone().into_iter().collect();
    let inputs = inputs(app, &workflow, wanted).await?;
    if let Some(job) = wanted.columns.keys().find(|job| !inputs.contains_key(*job)) {
        let message = format!("columns names the job {job}, to which inputs gives no file");
        return Err(ApiError::refused("invalid_inputs", message));
    }
    let reads_none = |job: &&String| {
        let file = |known: &&Job| matches!(known.items.source, ItemSource::File { .. });
        !workflow
            .jobs
            .iter()
            .filter(file)
            .any(|known| known.name == **job)
    };
    if let Some(job) = wanted.file_versions.keys().find(reads_none) {
        let message = format!("file_versions names the job {job}, which reads no file");
        return Err(ApiError::refused("invalid_inputs", message));
    }
    let now = engine.clock.now();
    let request = RunRequest::manual(workflow, &engine.config, &given, author, now)
        .map_err(|wrong| ApiError::refused("invalid_params", wrong.join("; ")))?
        .of_caller(occurrence.to_owned());
    let mut request = match wanted.date {
        Some(date) => request.on(date).ok_or_else(|| {
            let message = "there is no such day in the workflow's timezone";
            ApiError::refused("far_date", message)
        })?,
        None => request,
    };
    if let Some(delay) = &wanted.send_after {
        let refused = |message: String| ApiError::refused("invalid_send_after", message);
        let delay = duration(delay).ok_or_else(|| refused(SendAfterError.to_string()))?;
        request = request
            .sent_after(delay)
            .map_err(|error| refused(error.to_string()))?;
    }
    request.allow_future = wanted.allow_future;
    request.inputs = inputs;
    request.columns = wanted.columns.clone();
    request.files_seen = wanted.file_versions.clone();
    near(&request.days(now))?;
    Ok(request)
}

/// Refuses a day that no schedule would have now: each period is another key, and charges a
/// contract once more.
fn near(days: &RunDays) -> Result<(), ApiError> {
    let RunDays { on, today } = days;
    let ahead = on.signed_duration_since(*today).num_days();
    if (-DAYS_BACK..=DAYS_AHEAD).contains(&ahead) {
        return Ok(());
    }
    let message = format!(
        "{on} is not near today, {today}: over the API a run is for a day from {DAYS_BACK} days ago to {DAYS_AHEAD} days ahead"
    );
    let help = "`payrun run --date` at the console takes any day";
    Err(ApiError::refused("far_date", message).help(help))
}

async fn inputs(
    app: &App,
    workflow: &Workflow,
    wanted: &StartRunBody,
) -> Result<BTreeMap<String, Input>, ApiError> {
    let strange = |job: &&String| !wanted.inputs.contains_key(*job);
    if let Some(job) = wanted.input_names.keys().find(strange) {
        let message = format!("input_names names the job {job}, to which inputs gives no file");
        return Err(ApiError::refused("invalid_inputs", message));
    }
    let mut inputs = BTreeMap::new();
    for (job, file) in &wanted.inputs {
        if !workflow.jobs.iter().any(|known| known.name == *job) {
            return Err(ApiError::refused(
                "invalid_inputs",
                format!("the workflow has no job {job}"),
            ));
        }
        let called = wanted.input_names.get(job).map(String::as_str);
        let sent = uploads::fetch(app, file).await?;
        let sent = sent.called(called.and_then(file_name));
        inputs.insert(job.clone(), Input::Sent(Arc::new(sent)));
    }
    Ok(inputs)
}

/// The longest name of a file that is kept, in characters.
const NAME_MAX: usize = 200;

/// The name of a file as its sender has it, without the folders before it and what cannot be seen;
/// none if nothing is left.
fn file_name(sent: &str) -> Option<String> {
    let name = sent.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = name.chars().filter(|c| !is_unseen(*c)).collect();
    let name = name.trim();
    (!name.is_empty()).then(|| name.chars().take(NAME_MAX).collect())
}

/// A plan under way in this process.
struct PlanInProgress {
    app: App,
    occurrence: String,
}

impl PlanInProgress {
    fn enter(app: &App, occurrence: &str) -> Result<Self, ApiError> {
        if !app.planning().insert(occurrence.to_owned()) {
            return Err(ApiError::conflict(
                "still_planning",
                "this run is being planned; send the request again later",
            ));
        }
        Ok(Self {
            app: app.clone(),
            occurrence: occurrence.to_owned(),
        })
    }
}

impl Drop for PlanInProgress {
    fn drop(&mut self) {
        self.app.planning().remove(&self.occurrence);
    }
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn a_file_is_called_what_its_sender_sees_without_its_folders() {
        let name = |sent: &str| file_name(sent);
        assert_eq!(name("map2.csv").as_deref(), Some("map2.csv"));
        assert_eq!(
            name("C:\\Users\\ann\\十一月 扣款.csv").as_deref(),
            Some("十一月 扣款.csv")
        );
        assert_eq!(name("../../etc/a.csv").as_deref(), Some("a.csv"));
        assert_eq!(name("a\u{202e}vsc.exe\n").as_deref(), Some("avsc.exe"));
        for nothing in ["", " ", "folder/", "\u{200b}"] {
            assert_eq!(name(nothing), None, "{nothing:?}");
        }
        assert_eq!(name(&"长".repeat(900)).unwrap().chars().count(), 200);
    }
}
