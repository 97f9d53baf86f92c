//! Item files that are sent to the service.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::sync::Arc;

use axum::body::Body;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::{Extension, Json};
use futures_util::{Stream, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use utoipa::{IntoParams, ToSchema};

use crate::domain::message::Message;
use crate::domain::text::shown;
use crate::engine::uploads::{FORMATS, UploadError};
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::Query;
use crate::workflow::source::{
    FileOptions, FileReading, ReadCancellation, SourceError, StagedFile, TextEncoding,
};

/// The longest file that is taken.
pub(in crate::http) const FILE_MAX: usize = 64 * 1024 * 1024;

/// After how many seconds somebody with too many files on their way may come again.
const AGAIN: u64 = 10;

/// What kind of file.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UploadQuery {
    /// csv, jsonl, ndjson or xlsx
    format: String,
    /// The encoding of a text that is not UTF-8: gb18030, gbk, big5, utf-16le or utf-16be
    encoding: Option<String>,
}

/// A file that is kept.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct UploadView {
    /// Its name, for `inputs` of a run.
    pub file: String,
    /// Its length in bytes.
    bytes: u64,
    /// In which encoding a text was
    pub encoding: Option<&'static str>,
    /// How a text was understood
    read_as: Option<String>,
    /// What of that somebody should look at: what a text that is not UTF-8 reads, and whether it is
    /// plainly in another encoding
    notes: Vec<String>,
}

/// Keeps an item file for a run that is to be begun; the body is the file
#[utoipa::path(post, path = "/files", tag = "runs", params(UploadQuery),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200, body = UploadView), (status = 400, body = ErrorBody), (status = 413, body = ErrorBody)))]
pub(super) async fn upload(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<UploadQuery>,
    request: Request<Body>,
) -> Result<Json<UploadView>, ApiError> {
    if !FORMATS.contains(&query.format.as_str()) {
        return Err(ApiError::invalid(format!(
            "format is one of {}",
            FORMATS.join(", ")
        )));
    }
    let encoding = query.encoding.as_deref().map(encoding_of).transpose()?;
    let encoding = SentEncoding::Said(encoding);
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if content_type
        .trim_ascii_start()
        .to_ascii_lowercase()
        .starts_with("multipart/")
    {
        return Err(
            ApiError::invalid("the body is a form; it has to be the file itself").help(AS_IT_IS),
        );
    }
    let body = request.into_body().into_data_stream();
    receive(&app, &caller, (query.format, encoding), body)
        .await
        .map(Json)
}

/// In which encoding a file was sent.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) enum SentEncoding {
    /// As the sender says; UTF-8, or as a byte order mark says, where nothing is said.
    Said(Option<TextEncoding>),
    /// It is found out, for a person to confirm.
    Likely,
}

/// Takes a file as it comes, and keeps it.
pub(in crate::http) async fn receive<E>(
    app: &App,
    caller: &Caller,
    (format, encoding): (String, SentEncoding),
    body: impl Stream<Item = Result<Bytes, E>>,
) -> Result<UploadView, ApiError> {
    let share = app.arriving.take(&caller.name);
    let share = share.ok_or_else(|| {
        let many = Message::new("files-many", "too many files are on their way");
        ApiError::too_many(many, AGAIN)
    })?;
    let arrived = arrive(body).await?;
    // Whoever sends slowly keeps nobody from a place.
    let ending = || ApiError::unavailable("the service is about to end");
    let place = Arc::clone(&app.uploads)
        .acquire_owned()
        .await
        .map_err(|_| ending())?;
    let (cancellation, mut stop) = (ReadCancellation::default(), app.stop.clone());
    let _waits = cancellation.when_dropped();
    let app = app.clone();
    // It has its places until it has ended, also where nobody waits for it any more.
    let kept = tokio::spawn(async move {
        let kept = keep(&app, arrived, (format, encoding), cancellation).await;
        drop((share, place));
        kept
    });
    tokio::select! {
        kept = kept => kept.map_err(|error| failed(&error))?,
        _ = stop.wait_for(|stop| *stop) => Err(ending()),
    }
}

/// Keeps what has arrived, if it is what it is called.
async fn keep(
    app: &App,
    arrived: File,
    (format, encoding): (String, SentEncoding),
    cancellation: ReadCancellation,
) -> Result<UploadView, ApiError> {
    let bytes = arrived.metadata().map_err(|error| failed(&error))?.len();
    if bytes == 0 {
        return Err(ApiError::invalid(Message::new(
            "file-empty",
            "the file is empty",
        )));
    }
    let file = arrived.try_clone().map_err(|error| failed(&error))?;
    let of = format.clone();
    let checked =
        tokio::task::spawn_blocking(move || check(file, &of, encoding, &cancellation)).await;
    let (file, reading) = checked.map_err(|error| failed(&error))??;
    let file = app
        .engine()
        .keep_upload(file, &format)
        .await
        .map_err(not_kept)?;
    Ok(UploadView {
        file,
        bytes,
        encoding: reading
            .as_ref()
            .and_then(FileReading::encoding)
            .map(TextEncoding::as_str),
        read_as: reading.as_ref().map(ToString::to_string),
        notes: reading
            .map(|reading| notes_of(&reading))
            .unwrap_or_default(),
    })
}

/// What a person should look at, in English.
pub(in crate::http) fn notes_of(reading: &FileReading) -> Vec<String> {
    reading.notes().iter().map(Message::to_string).collect()
}

/// Takes a body into a file that nobody can open and that goes with the process.
async fn arrive<E>(body: impl Stream<Item = Result<Bytes, E>>) -> Result<File, ApiError> {
    let file = tokio::task::spawn_blocking(tempfile::tempfile)
        .await
        .map_err(|error| failed(&error))?;
    let mut file = tokio::fs::File::from_std(file.map_err(|error| failed(&error))?);
    let (mut length, mut body) = (0, std::pin::pin!(body));
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|_| {
            ApiError::invalid(Message::new(
                "file-broke-off",
                "the file broke off, or came too slowly: in less than 1 KiB a second, with 10 s to spare",
            ))
        })?;
        length += bytes.len();
        if length > FILE_MAX {
            return Err(ApiError::too_large(
                Message::new("file-too-large", "the file has more than {most} bytes")
                    .with("most", FILE_MAX),
            ));
        }
        file.write_all(&bytes)
            .await
            .map_err(|error| failed(&error))?;
    }
    file.flush().await.map_err(|error| failed(&error))?;
    Ok(file.into_std().await)
}

/// How much of a file is looked at to tell what it is, in bytes.
const BEGINNING: usize = 8 * 1024;

/// How a file is sent.
const AS_IT_IS: &str = "curl --data-binary @FILE -H 'Content-Type: application/octet-stream'";

fn encoding_of(word: &str) -> Result<TextEncoding, ApiError> {
    TextEncoding::parse(word).ok_or_else(|| {
        ApiError::invalid(format!(
            "encoding is one of {}",
            TextEncoding::WORDS.join(", ")
        ))
    })
}

/// Refuses what is not of this format as soon as it comes. What is kept of a text is UTF-8.
fn check(
    mut file: File,
    format: &str,
    encoding: SentEncoding,
    cancellation: &ReadCancellation,
) -> Result<(File, Option<FileReading>), ApiError> {
    let mut beginning = Vec::with_capacity(BEGINNING);
    file.rewind().map_err(|error| failed(&error))?;
    (&file)
        .take(BEGINNING as u64)
        .read_to_end(&mut beginning)
        .map_err(|error| failed(&error))?;
    let encoding = match encoding {
        SentEncoding::Said(encoding) => encoding,
        SentEncoding::Likely => likely(&file, format)?,
    };
    if let Some(what) = begins_otherwise(&beginning, format, encoding) {
        let other = Message::new("body-other-format", "{what}, and format says {format}");
        let other = other.with("what", what).with("format", format);
        return Err(ApiError::invalid(other).help(AS_IT_IS));
    }
    let options = FileOptions {
        encoding,
        // Hidden rows are refused where they are planned: what a workflow says is not known here.
        include_hidden: true,
        ..FileOptions::default()
    };
    let sent = StagedFile::of_sent(&format!("the file.{format}"), file);
    sent.checked(&options, cancellation).map_err(unreadable)
}

/// The encoding that a file is likely in, where it is a text.
fn likely(file: &File, format: &str) -> Result<Option<TextEncoding>, ApiError> {
    if format == "xlsx" {
        return Ok(None);
    }
    let file = file.try_clone().map_err(|error| failed(&error))?;
    let sent = StagedFile::of_sent(&format!("the file.{format}"), file);
    sent.likely_encoding().map_err(unreadable)
}

/// Why a file that was sent cannot be taken.
pub(in crate::http) fn unreadable(error: SourceError) -> ApiError {
    match error {
        SourceError::Read { source, .. } => failed(&source),
        error @ (SourceError::Outside { .. }
        | SourceError::Format { .. }
        | SourceError::Header { .. }
        | SourceError::Encoding { .. }
        | SourceError::Nul { .. }
        | SourceError::Workbook { .. }) => ApiError::invalid(error.message()),
    }
}

/// What a file of lines is that begins as no such file does. A CSV file may begin with nearly
/// anything.
fn begins_otherwise(
    beginning: &[u8],
    format: &str,
    encoding: Option<TextEncoding>,
) -> Option<Message> {
    let has = |word: &[u8]| {
        beginning
            .windows(word.len())
            .any(|part| part.eq_ignore_ascii_case(word))
    };
    // What programs put before the first word of a text.
    let text = beginning
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(beginning)
        .trim_ascii_start();
    match beginning {
        _ if has(b"content-disposition:") && (text.starts_with(b"--") || has(b"\n--")) => {
            Some(Message::new("body-is-form", "the body is a form"))
        }
        _ if format == "xlsx" => None,
        [b'P', b'K', 3 | 5, 4 | 6, ..] | [0xd0, 0xcf, 0x11, 0xe0, ..] => Some(Message::new(
            "body-is-workbook",
            "this is a workbook or an archive",
        )),
        // UTF-16, or what the caller says: whether it is that, shows when it is decoded.
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => None,
        _ if encoding.is_some() => None,
        _ if beginning.contains(&0) => Some(Message::new(
            "body-is-no-text",
            "this is no text, or UTF-16 without encoding: utf-16le",
        )),
        _ if text.starts_with(b"%PDF-") => Some(Message::new("body-is-pdf", "this is a PDF")),
        _ if text.starts_with(b"<") => Some(Message::new("body-is-html", "this is HTML or XML")),
        _ if text.starts_with(b"{") || text.starts_with(b"[") => {
            (format == "csv").then(|| Message::new("body-is-json", "this is JSON"))
        }
        _ => None,
    }
}

/// A file that was uploaded, to be read.
pub(in crate::http) async fn fetch(app: &App, name: &str) -> Result<StagedFile, ApiError> {
    let missing = || {
        ApiError::refused(
            "invalid_inputs",
            Message::new("no-uploaded-file", "there is no uploaded file {name}")
                .with("name", shown(name)),
        )
    };
    let file = app
        .engine()
        .upload(name)
        .await
        .map_err(not_kept)?
        .ok_or_else(missing)?;
    Ok(StagedFile::of_sent(name, file))
}

fn not_kept(error: UploadError) -> ApiError {
    match error {
        UploadError::Busy => ApiError::too_many(
            Message::new("files-busy", "other files are being kept or read"),
            AGAIN,
        ),
        UploadError::Vault { .. }
        | UploadError::Changed { .. }
        | UploadError::Store(_)
        | UploadError::Copy(_)
        | UploadError::GivenUp(_) => failed(&error),
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> ApiError {
    tracing::error!(
        error = crate::errors::chain(error),
        "a file cannot be kept or read"
    );
    ApiError::unavailable(Message::new(
        "file-not-kept",
        "the file cannot be kept or read at present; the log says why",
    ))
}
