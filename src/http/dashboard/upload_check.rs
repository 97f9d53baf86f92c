//! A file that was sent, before anything is planned of it: how it was read, which heading is which
//! column, and what would be sent, rejected and skipped.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::command_line::shell_word;
use super::errors::PageError;
use super::forms::{Form, fresh_key};
use super::frame::{Page, PageFrame};
use super::page_fields::{PagePath, PageQuery};
use super::refused_form::ShownForm;
use super::session::Viewer;
use super::sums::Sum;
use crate::domain::item::State as ItemState;
use crate::domain::message::Message;
use crate::engine::planning::{PlannedJob, PlannedRun};
use crate::http::App;
use crate::http::api::start_run::StartRunBody;
use crate::http::api::{plan_preview, uploads};
use crate::http::error::ApiError;
use crate::job_kinds::chinese_labels;
use crate::ledger::{ChosenColumns, HeaderOfJob, RejectedRow};
use crate::reader_language::ReaderLanguage;
use crate::workflow::source::{
    FileOptions, FileReading, ReadCancellation, SourceError, StagedFile,
};
use crate::workflow::{ItemSource, Job, Workflow};
use crate::yaml::diagnostics::nearest_name;

/// How many rows of the file are shown.
const SAMPLE: usize = 4;

/// How long a run waits before it is sent, by what is offered; the first is meant where nothing is
/// chosen.
pub(super) const DELAYS: [&str; 5] = ["15m", "5m", "1h", "4h", ""];

/// What a file is for, and what it was called.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct UploadPageQuery {
    target: String,
    #[serde(default)]
    encoding: String,
    #[serde(default)]
    name: String,
}

#[derive(Template)]
#[template(path = "upload_check.html")]
struct UploadCheckPage {
    page: PageFrame,
    query: UploadPageQuery,
    workflow: String,
    job: String,
    /// What is before the paths of its forms.
    path: String,
    header: Vec<SampledColumn>,
    columns: Vec<ColumnChoice>,
    is_missing_some: bool,
    was_chosen: bool,
    sample: Vec<Vec<String>>,
    preview: Option<Result<UploadPreview, Message>>,
    version: String,
    chosen: String,
    key: String,
    delays: [&'static str; 5],
    command: String,
}

/// A heading of the file, and the column that it is taken for.
struct SampledColumn {
    heading: String,
    column: Option<String>,
}

/// A column of the workflow, and the heading that is taken for it.
struct ColumnChoice {
    column: String,
    heading: Option<String>,
    is_optional: bool,
    /// Where none is taken: the heading that is most like it.
    likely: Option<String>,
}

impl ColumnChoice {
    /// The column's name in the reader's language, where it is called as a field of the built-in job
    /// kinds: those have their labels in simplified characters.
    fn label(&self, page: &PageFrame) -> Option<&'static str> {
        let known = chinese_labels::of(&self.column).map(|(label, _)| label);
        known.filter(|_| page.viewer.language == ReaderLanguage::SimplifiedChinese)
    }

    /// Whether a heading stands as what is taken: as it was chosen, if that was refused just now.
    fn is_taken(&self, sent: &ShownForm, heading: &str) -> bool {
        if sent.is_refused() {
            return sent.text_of("column:", &self.column) == heading;
        }
        let taken = self.heading.as_ref().or(self.likely.as_ref());
        taken.is_some_and(|taken| taken == heading)
    }
}

/// What would be planned.
struct UploadPreview {
    jobs: Vec<PreviewedJob>,
    refused: Vec<RefusedRow>,
    refused_more: u64,
    notes: Vec<Message>,
    items: u64,
    /// The files of all jobs as they were looked at, as JSON.
    files: String,
    /// Whether the workflow has other jobs than the file's.
    has_others: bool,
    /// What of the items the run has beside those of the file.
    beside: u64,
}

/// The same of one job.
struct PreviewedJob {
    name: String,
    items: u64,
    sums: Vec<Sum>,
    rejected: u64,
    skipped: u64,
    /// What the job's condition leaves out: how many rows, and by value.
    left_out: u64,
    left_out_by_value: Vec<(String, u64)>,
    needs_approval: bool,
}

/// A row that would be rejected or skipped.
struct RefusedRow {
    job: String,
    line: u64,
    state: ItemState,
    key: String,
    reason: Message,
    duplicate_of: Option<i64>,
}

/// Whom a file is for.
pub(super) struct UploadFor {
    pub workflow: Arc<Workflow>,
    pub job: String,
}

impl UploadFor {
    /// By how a form names it.
    pub fn of(app: &App, target: &str) -> Result<Self, PageError> {
        let missing = || {
            PageError::not_found(Message::new(
                "upload-no-such-job",
                "no workflow in force has a job of this name that takes a file",
            ))
        };
        let (workflow, job) = target.split_once('/').ok_or_else(missing)?;
        let workflow = app.service.workflows.named(workflow).ok_or_else(missing)?;
        let found = Self {
            job: job.to_owned(),
            workflow,
        };
        found.job_and_options().map(|_| ()).ok_or_else(missing)?;
        Ok(found)
    }

    fn job_and_options(&self) -> Option<(&Job, &FileOptions)> {
        let job = self.workflow.jobs.iter().find(|job| job.name == self.job)?;
        match &job.items.source {
            ItemSource::File { options, .. } => Some((job, options)),
            ItemSource::Job { .. }
            | ItemSource::Days(_)
            | ItemSource::Window(_)
            | ItemSource::Contracts => None,
        }
    }

    fn options(&self) -> FileOptions {
        let found = self.job_and_options().map(|(_, options)| options.clone());
        FileOptions {
            // What is kept of a text is UTF-8.
            encoding: None,
            ..found.unwrap_or_default()
        }
    }

    fn of_header<'a>(&'a self, header: &'a [String]) -> HeaderOfJob<'a> {
        HeaderOfJob {
            workflow: &self.workflow.name,
            job: &self.job,
            header,
        }
    }
}

/// How a file was read with the columns that were chosen for its header.
struct UploadedFile {
    reading: FileReading,
    /// As the workflow names them.
    columns: Vec<String>,
    chosen: Option<ChosenColumns>,
    sample: Vec<Vec<String>>,
}

impl UploadedFile {
    async fn read(app: &App, file: &str, upload: &UploadFor) -> Result<Self, PageError> {
        let staged = Arc::new(uploads::fetch(app, file).await?);
        let mut options = upload.options();
        let first = rows_of(&staged, &options).await;
        let (reading, ..) = match first {
            Ok(read) => read,
            // Which of two headings is meant can still be said.
            Err(SourceError::Header { .. }) => {
                let any = FileOptions {
                    format: options.format.clone(),
                    ..FileOptions::default()
                };
                rows_of(&staged, &any).await.map_err(uploads::unreadable)?
            }
            Err(error) => return Err(uploads::unreadable(error).into()),
        };
        let of_header = upload.of_header(&reading.header);
        let chosen = app.engine().ledger.chosen_columns(of_header).await?;
        options.chosen = chosen.clone().unwrap_or_default();
        let (reading, columns, rows) = match rows_of(&staged, &options).await {
            Ok(read) => read,
            Err(SourceError::Header { .. }) => (reading.clone(), reading.header, Vec::new()),
            Err(error) => return Err(uploads::unreadable(error).into()),
        };
        let sample = without_personal(rows, &columns, &options);
        Ok(Self {
            reading,
            columns,
            chosen,
            sample,
        })
    }

    fn header(&self) -> Vec<SampledColumn> {
        let used = |index: usize, heading: &String| {
            let column = self.columns.get(index)?;
            (column != heading).then(|| column.clone())
        };
        let headings = self.reading.header.iter().enumerate();
        headings
            .map(|(index, heading)| SampledColumn {
                heading: heading.clone(),
                column: used(index, heading),
            })
            .collect()
    }

    fn choices(&self, options: &FileOptions) -> Vec<ColumnChoice> {
        let free = || {
            let headings = self.reading.header.iter().enumerate();
            headings
                .filter(|(index, _)| {
                    let column = self.columns.get(*index);
                    column.is_none_or(|column| !options.used.contains(column))
                })
                .map(|(_, heading)| heading.as_str())
        };
        let choice = |column: &String| {
            let index = self.columns.iter().position(|name| name == column);
            let heading = index
                .and_then(|index| self.reading.header.get(index))
                .cloned();
            let is_optional = options.optional.contains(column);
            let likely = match &heading {
                Some(_) => None,
                None => nearest_name(column, free()).map(str::to_owned),
            };
            ColumnChoice {
                column: column.clone(),
                heading,
                is_optional,
                likely,
            }
        };
        options.used.iter().map(choice).collect()
    }
}

type RowsRead = (FileReading, Vec<String>, Vec<Vec<String>>);

/// The first rows, and how they were read.
async fn rows_of(staged: &Arc<StagedFile>, options: &FileOptions) -> Result<RowsRead, SourceError> {
    let (staged, options) = (Arc::clone(staged), options.clone());
    let read = move || {
        let mut rows = staged.rows(&options, &ReadCancellation::default())?;
        let (reading, columns) = (rows.reading().clone(), rows.columns().to_vec());
        let first = rows.by_ref().take(SAMPLE).flatten();
        let cells = first.map(|row| row.iter().map(str::to_owned).collect());
        Ok((reading, columns, cells.collect()))
    };
    let broken = |error| SourceError::Read {
        path: "the file".into(),
        source: std::io::Error::other(error),
    };
    tokio::task::spawn_blocking(read).await.map_err(broken)?
}

/// What is personal, or may be, is not shown.
fn without_personal(
    rows: Vec<Vec<String>>,
    columns: &[String],
    options: &FileOptions,
) -> Vec<Vec<String>> {
    let is_open = |index: usize| {
        let (Some(column), Some(personal)) = (columns.get(index), &options.personal) else {
            return false;
        };
        options.used.contains(column) && !personal.contains(column)
    };
    let cell = |(index, text): (usize, String)| {
        if text.is_empty() || is_open(index) || tells_nobody(&text) {
            text
        } else {
            "…".to_owned()
        }
    };
    let row = |cells: Vec<String>| cells.into_iter().enumerate().map(cell).collect();
    rows.into_iter().map(row).collect()
}

/// An amount, a currency or a yes: by these a column is known, and no person is.
fn tells_nobody(text: &str) -> bool {
    let is_amount = text.len() <= 12
        && text.contains('.')
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || b == b'.' || b == b',');
    let is_currency = text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase());
    is_amount || is_currency || matches!(text, "yes" | "no" | "true" | "false" | "是" | "否")
}

/// How the file was read, and what would become of its rows.
pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(file): PagePath<String>,
    PageQuery(query): PageQuery<UploadPageQuery>,
) -> Result<impl IntoResponse, PageError> {
    let upload = UploadFor::of(&app, &query.target)?;
    let options = upload.options();
    let read = UploadedFile::read(&app, &file, &upload).await?;
    let columns = read.choices(&options);
    let is_missing_some = columns
        .iter()
        .any(|choice| choice.heading.is_none() && !choice.is_optional);
    let chosen = read.chosen.clone().unwrap_or_default();
    let (version, preview) = if is_missing_some {
        (upload.workflow.version(), None)
    } else {
        let body = body_of(&upload, &file, &chosen);
        match plan_preview::plan_of(&app, &viewer.caller, &body).await {
            Ok((version, planned)) => {
                let preview = UploadPreview::of(&planned, &upload.job);
                (version, Some(Ok(preview)))
            }
            Err(error) => (upload.workflow.version(), Some(Err(told(error)))),
        }
    };
    Ok(Page(UploadCheckPage {
        page: PageFrame::of(&viewer),
        workflow: upload.workflow.name.clone(),
        path: format!("{}/upload/{}", viewer.base, encoded(&file)),
        header: read.header(),
        columns,
        is_missing_some,
        was_chosen: read.chosen.is_some(),
        preview,
        version,
        chosen: serde_json::to_string(&chosen).unwrap_or_default(),
        key: fresh_key(),
        delays: DELAYS,
        command: command_of(&upload, &query, &chosen),
        sample: read.sample,
        job: upload.job,
        query,
    }))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn told(error: ApiError) -> Message {
    let (_, message, help) = error.into_parts();
    Message::all(std::iter::once(message).chain(help).collect())
}

/// What is begun of a file.
pub(super) fn body_of(upload: &UploadFor, file: &str, chosen: &ChosenColumns) -> StartRunBody {
    let mut columns = BTreeMap::new();
    if !chosen.is_empty() {
        columns.insert(upload.job.clone(), chosen.clone());
    }
    StartRunBody {
        workflow: upload.workflow.name.clone(),
        inputs: BTreeMap::from([(upload.job.clone(), file.to_owned())]),
        columns,
        ..StartRunBody::default()
    }
}

fn command_of(upload: &UploadFor, query: &UploadPageQuery, chosen: &ChosenColumns) -> String {
    let file = upload.workflow.path.file_name().unwrap_or_default();
    let file = shell_word(&format!("workflows/{}", file.to_string_lossy()));
    let input = shell_word(&format!("{}={}", upload.job, query.name));
    let encoding = match query.encoding.as_str() {
        "" | "utf-8" => String::new(),
        word => format!(" --encoding {}", shell_word(word)),
    };
    let column = |(column, heading): (&String, &String)| {
        let pair = format!("{}:{column}={heading}", upload.job);
        format!(" --column {}", shell_word(&pair))
    };
    let columns: String = chosen.iter().map(column).collect();
    let delay = DELAYS[0];
    format!("payrun run {file} --input {input}{encoding}{columns} --send-after {delay}")
}

impl UploadPreview {
    /// Of the job that the file is for, and of what else its run does.
    fn of(planned: &PlannedRun, own: &str) -> Self {
        let jobs: Vec<PreviewedJob> = planned.jobs.iter().map(PreviewedJob::of).collect();
        let mut refused = Vec::new();
        let mut all = 0;
        let (mine, others): (Vec<&PlannedJob>, Vec<&PlannedJob>) =
            planned.jobs.iter().partition(|job| job.name == own);
        for job in mine.iter().chain(&others) {
            // What other files have that was done before says nothing of this one.
            let is_own = job.name == own;
            let refusals = job.refusals.iter();
            let told = refusals.filter(|row| is_own || row.state == ItemState::Rejected);
            refused.extend(told.map(|row| RefusedRow::of(&job.name, row)));
            all += job.rejected + if is_own { job.skipped } else { 0 };
        }
        let version = |job: &PlannedJob| Some((job.name.clone(), job.file_version()?));
        let files: BTreeMap<String, String> = planned.jobs.iter().filter_map(version).collect();
        let named = |job: &PlannedJob, note: Message| {
            let of_other = Message::new("note-of-job", "{job}: {note}").with("job", &job.name);
            of_other.with("note", note)
        };
        let mut notes: Vec<Message> = Vec::new();
        for job in mine.iter().chain(&others) {
            for note in job.reading.iter().flat_map(FileReading::notes) {
                let is_own = job.name == own;
                notes.push(if is_own { note } else { named(job, note) });
            }
        }
        let items = |jobs: &[&PlannedJob]| jobs.iter().map(|job| job.items).sum::<u64>();
        Self {
            refused_more: all.saturating_sub(refused.len() as u64),
            refused,
            files: serde_json::to_string(&files).unwrap_or_default(),
            notes,
            items: items(&mine) + items(&others),
            has_others: !others.is_empty(),
            beside: items(&others),
            jobs,
        }
    }
}

impl RefusedRow {
    fn of(job: &str, row: &RejectedRow) -> Self {
        Self {
            job: job.to_owned(),
            line: row.line,
            state: row.state,
            key: row.key.clone(),
            reason: row.reason.clone(),
            duplicate_of: row.duplicate_of,
        }
    }
}

impl PreviewedJob {
    fn of(job: &PlannedJob) -> Self {
        let sums = job.totals.values();
        Self {
            name: job.name.clone(),
            items: job.items,
            sums: sums
                .map(|(minor, currency)| Sum::of_minor(i128::from(*minor), *currency))
                .collect(),
            rejected: job.rejected,
            skipped: job.skipped,
            left_out: job.noted.left_out.rows,
            left_out_by_value: job.noted.left_out.by_value.clone().into_iter().collect(),
            needs_approval: job.approval.is_some(),
        }
    }
}

/// Which heading is which column.
#[derive(Debug, Deserialize)]
pub(super) struct ColumnsForm {
    target: String,
    encoding: String,
    name: String,
    /// `column:NAME`, each with a heading or empty.
    #[serde(flatten)]
    fields: BTreeMap<String, String>,
}

/// Remembers which heading is which column, for this header and job.
pub(super) async fn choose(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(file): PagePath<String>,
    Form(form): Form<ColumnsForm>,
) -> Result<impl IntoResponse, PageError> {
    let upload = UploadFor::of(&app, &form.target)?;
    let read = UploadedFile::read(&app, &file, &upload).await?;
    let mut chosen = ChosenColumns::new();
    for column in upload.options().used {
        let heading = form.fields.get(&format!("column:{column}"));
        let Some(heading) = heading.filter(|heading| !heading.is_empty()) else {
            continue;
        };
        if !read.reading.header.contains(heading) {
            return Err(PageError::invalid(Message::new(
                "upload-no-such-heading",
                "the file has no such heading",
            )));
        }
        if chosen.values().any(|taken| taken == heading) {
            let twice = Message::new(
                "upload-heading-twice",
                "the heading {heading} cannot be two columns",
            );
            return Err(PageError::invalid(twice.with("heading", heading)));
        }
        chosen.insert(column, heading.clone());
    }
    let by = (viewer.caller.name.as_str(), app.engine().clock.now());
    let ledger = &app.engine().ledger;
    ledger
        .keep_chosen_columns(upload.of_header(&read.reading.header), &chosen, by)
        .await?;
    let to = format!(
        "{}/upload/{}?target={}&encoding={}&name={}",
        viewer.base,
        encoded(&file),
        encoded(&form.target),
        encoded(&form.encoding),
        encoded(&form.name)
    );
    Ok(Redirect::to(&to))
}
