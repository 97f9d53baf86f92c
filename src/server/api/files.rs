//! Item files that are sent to the service.

use std::io::Write as _;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use utoipa::{IntoParams, ToSchema};

use crate::engine::uploads::FORMATS;
use crate::server::App;
use crate::server::error::{ApiError, ErrorBody};
use crate::server::extract::Query;

/// The longest file that is taken.
const FILE_MAX: usize = 64 * 1024 * 1024;

/// What kind of file.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UploadQuery {
    /// csv, jsonl, ndjson or xlsx
    format: String,
}

/// A file that is kept.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Uploaded {
    /// Its name, for `inputs` of a run.
    file: String,
    /// Its length in bytes.
    bytes: u64,
}

/// Keeps an item file for a run that is to be begun; the body is the file
#[utoipa::path(post, path = "/files", tag = "runs", params(UploadQuery),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200, body = Uploaded), (status = 400, body = ErrorBody), (status = 413, body = ErrorBody)))]
pub(super) async fn upload(
    State(app): State<App>,
    Query(query): Query<UploadQuery>,
    request: Request<Body>,
) -> Result<Json<Uploaded>, ApiError> {
    if !FORMATS.contains(&query.format.as_str()) {
        return Err(ApiError::invalid(format!("format is one of {}", FORMATS.join(", "))));
    }
    let place = app.uploads.acquire().await;
    let _place = place.map_err(|_| ApiError::unavailable("the service is about to end"))?;
    let body = to_bytes(request.into_body(), FILE_MAX).await;
    let body =
        body.map_err(|_| ApiError::too_large(format!("the file has more than {FILE_MAX} bytes, or broke off")))?;
    if body.is_empty() {
        return Err(ApiError::invalid("the file is empty"));
    }
    let bytes = body.len() as u64;
    let file = app.engine().keep_upload(body, &query.format).await.map_err(|error| failed(&error))?;
    Ok(Json(Uploaded { file, bytes }))
}

/// A file that was uploaded, where it can be read.
pub(super) async fn fetch(app: &App, name: &str) -> Result<NamedTempFile, ApiError> {
    let missing = || ApiError::refused("invalid_inputs", format!("there is no uploaded file {name}"));
    let content = app.engine().upload(name).await.map_err(|error| failed(&error))?.ok_or_else(missing)?;
    let ending = name.rsplit_once('.').map(|(_, format)| format!(".{format}")).unwrap_or_default();
    let write = move || {
        let mut file = tempfile::Builder::new().suffix(&ending).tempfile()?;
        file.write_all(&content)?;
        Ok::<_, std::io::Error>(file)
    };
    let written = tokio::task::spawn_blocking(write).await.map_err(|error| failed(&error))?;
    written.map_err(|error| failed(&error))
}

fn failed(error: &(dyn std::error::Error + 'static)) -> ApiError {
    tracing::error!(error = crate::errors::chain(error), "a file cannot be kept or read");
    ApiError::unavailable("the file cannot be kept or read at present; the log says why")
}
