//! Item files that are sent to the service: kept by their content, so that the same file sent twice is one.

use std::fmt::Write as _;
use std::io::Write as _;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use utoipa::{IntoParams, ToSchema};

use crate::server::App;
use crate::server::error::{ApiError, ErrorBody};
use crate::server::extract::Query;

/// The longest file that is taken.
pub(super) const FILE_MAX: usize = 64 * 1024 * 1024;

/// The formats of item files, as their names end.
const ENDINGS: [&str; 4] = ["csv", "jsonl", "ndjson", "xlsx"];

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
    body: Bytes,
) -> Result<Json<Uploaded>, ApiError> {
    if !ENDINGS.contains(&query.format.as_str()) {
        return Err(ApiError::invalid(format!("format is one of {}", ENDINGS.join(", "))));
    }
    if body.is_empty() {
        return Err(ApiError::invalid("the file is empty"));
    }
    let bytes = body.len() as u64;
    let file = format!("{}.{}", hex(&Sha256::digest(&body)), query.format);
    let kept = app.engine().files.keep(&format!("uploads/{file}"), body).await;
    kept.map_err(|error| failed(&error))?;
    Ok(Json(Uploaded { file, bytes }))
}

/// A larger bound for what is a file.
pub(super) fn limit() -> DefaultBodyLimit {
    DefaultBodyLimit::max(FILE_MAX)
}

/// A file that was uploaded, where it can be read.
pub(super) async fn fetch(app: &App, name: &str) -> Result<NamedTempFile, ApiError> {
    let missing = || ApiError::refused("invalid_inputs", format!("there is no uploaded file {name}"));
    let (digest, ending) = name.split_once('.').ok_or_else(missing)?;
    if digest.len() != 64 || !digest.bytes().all(|b| b.is_ascii_hexdigit()) || !ENDINGS.contains(&ending) {
        return Err(missing());
    }
    let content = app.engine().files.read(&format!("uploads/{name}")).await.map_err(|error| failed(&error))?;
    let content = content.ok_or_else(missing)?;
    let written = tempfile::Builder::new().suffix(&format!(".{ending}")).tempfile().and_then(|mut file| {
        file.write_all(&content)?;
        Ok(file)
    });
    written.map_err(|error| failed(&error))
}

fn failed(error: &(dyn std::error::Error + 'static)) -> ApiError {
    tracing::error!(error = crate::errors::chain(error), "a file cannot be kept or read");
    ApiError::unavailable("the file cannot be kept or read at present; the log says why")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").ok();
        text
    })
}
