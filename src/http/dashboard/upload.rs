//! Sending a batch: for which job, and the file. What it is taken for is confirmed on its own page.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::multipart::Field;
use axum::extract::{Multipart, State};
use axum::response::{IntoResponse, Redirect, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::errors::PageError;
use super::frame::{Page, PageFrame};
use super::refused_form::RefusedForm;
use super::session::Viewer;
use crate::domain::message::{Message, MessageArgument};
use crate::engine::uploads::FORMATS;
use crate::http::App;
use crate::http::api::uploads::{self as api, SentEncoding};
use crate::workflow::source::TextEncoding;
use crate::workflow::{ItemSource, Job, Workflow};

/// The longest text of the form, in bytes.
const TEXT_MAX: usize = 1_000;

/// The most of a form: a file, and what stands beside it.
pub(super) const FORM_MAX: usize = api::FILE_MAX + 64 * 1024;

/// The longest name of a file, in characters: as long as file systems have.
const NAME_MAX: usize = 255;

/// The encodings that are offered.
const ENCODINGS: [TextEncoding; 5] = [
    TextEncoding::Utf8,
    TextEncoding::Gb18030,
    TextEncoding::Big5,
    TextEncoding::Utf16Le,
    TextEncoding::Utf16Be,
];

#[derive(Template)]
#[template(path = "upload.html")]
struct UploadPage {
    page: PageFrame,
    targets: Vec<UploadTarget>,
    encodings: [TextEncoding; 5],
}

/// A job that takes a file.
struct UploadTarget {
    /// `WORKFLOW/JOB`.
    value: String,
    description: String,
    /// The columns that it uses.
    columns: Vec<String>,
}

/// The form.
pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
) -> Result<impl IntoResponse, PageError> {
    let mut targets = Vec::new();
    for workflow in app.service.workflows.all() {
        let can_begin = workflow.params.iter().all(|param| param.default.is_some());
        for job in workflow.jobs.iter().filter(|_| can_begin) {
            if let ItemSource::File { options, .. } = &job.items.source {
                targets.push(UploadTarget {
                    value: target_of(&workflow, job),
                    description: workflow.description.clone(),
                    columns: options.used.clone(),
                });
            }
        }
    }
    Ok(Page(UploadPage {
        page: PageFrame::of(&viewer),
        targets,
        encodings: ENCODINGS,
    }))
}

/// How a form names a job.
pub(super) fn target_of(workflow: &Workflow, job: &Job) -> String {
    format!("{}/{}", workflow.name, job.name)
}

/// Keeps a file, and leads to the page on which it is confirmed. A form that is refused comes back
/// with what was chosen; the file itself is chosen again, which no page can do for anybody.
pub(super) async fn receive(State(app): State<App>, viewer: Viewer, form: Multipart) -> Response {
    let mut chosen = BTreeMap::new();
    let error = match keep(&app, &viewer, form, &mut chosen).await {
        Ok(to) => return to.into_response(),
        Err(error) => error,
    };
    let failure = error.failure().clone();
    if !failure.is_about_the_form() {
        return error.into_response();
    }
    let status = failure.status();
    let refused = RefusedForm::new("/upload", chosen, failure);
    let viewer = viewer.sent_back("/upload".to_owned(), refused);
    (status, show(State(app), viewer).await).into_response()
}

async fn keep(
    app: &App,
    viewer: &Viewer,
    mut form: Multipart,
    chosen: &mut BTreeMap<String, String>,
) -> Result<Redirect, PageError> {
    while let Some(field) = form.next_field().await.map_err(|_| broken())? {
        match field.name() {
            Some(name @ ("target" | "encoding")) => {
                let name = name.to_owned();
                chosen.insert(name, text(field).await?);
            }
            Some("file") => {
                let of = |name: &str| chosen.get(name).map_or("", String::as_str);
                let encoding = encoding_of(of("encoding"))?;
                let name = field.file_name().unwrap_or_default().to_owned();
                if name.chars().count() > NAME_MAX {
                    let too_long = format!("the file's name has more than {NAME_MAX} characters");
                    return Err(PageError::invalid(too_long).at("file"));
                }
                let format = format_of(&name)?;
                let kept = api::receive(app, &viewer.caller, (format, encoding), field).await?;
                let part = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
                let to = format!(
                    "{}/upload/{}?target={}&encoding={}&name={}",
                    viewer.base,
                    part(&kept.file),
                    part(of("target")),
                    kept.encoding.unwrap_or_default(),
                    part(&name)
                );
                return Ok(Redirect::to(&to));
            }
            _ => {}
        }
    }
    Err(no_file())
}

fn no_file() -> PageError {
    PageError::invalid(Message::new("upload-no-file", "no file was chosen")).at("file")
}

fn broken() -> PageError {
    PageError::invalid(Message::new(
        "form-broke-off",
        "the form broke off, or is none",
    ))
}

/// A short text of the form.
async fn text(mut field: Field<'_>) -> Result<String, PageError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|_| broken())? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > TEXT_MAX {
            return Err(PageError::invalid(Message::new(
                "form-field-too-long",
                "a field of the form is too long",
            )));
        }
    }
    let text = String::from_utf8(bytes).ok();
    text.filter(|text| !text.contains('\0')).ok_or_else(|| {
        PageError::invalid(Message::new(
            "form-field-no-text",
            "a field of the form is no text",
        ))
    })
}

/// Empty: it is found out.
fn encoding_of(word: &str) -> Result<SentEncoding, PageError> {
    if word.is_empty() {
        return Ok(SentEncoding::Likely);
    }
    let encoding = TextEncoding::parse(word);
    let encoding = encoding.ok_or_else(|| {
        PageError::invalid(Message::new(
            "upload-no-such-encoding",
            "there is no such encoding",
        ))
    })?;
    Ok(SentEncoding::Said(Some(encoding)))
}

/// By how its name ends.
fn format_of(name: &str) -> Result<String, PageError> {
    if name.is_empty() {
        return Err(no_file());
    }
    let ending = name
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_ascii_lowercase());
    ending
        .filter(|ending| FORMATS.contains(&ending.as_str()))
        .ok_or_else(|| {
            let other = Message::new(
                "upload-other-ending",
                "the name of the file ends in none of {endings}",
            );
            PageError::invalid(other.with("endings", MessageArgument::names(FORMATS))).at("file")
        })
}
