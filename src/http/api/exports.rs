//! Lists as files: a workbook for a person, CSV or JSON for a program. They are streamed as they are
//! read; a workbook begins to come when its last row is read. A list that breaks off breaks the
//! connection off, so nobody takes a part for the whole.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use futures_util::stream;
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{block_in_place, spawn_blocking};
use utoipa::IntoParams;

use super::differences::DifferencesQuery;
use super::items::{amount_in, bulk_items, states};
use crate::domain::message::Message;
use crate::errors::chain;
use crate::export::planned_days::PlannedDays;
use crate::export::rows_to_mend::{FileRequester, RowsToMend, RowsToMendError, RowsWanted};
use crate::export::totals::{TotalsDimension, TotalsQuery, TotalsSpan, parse_month};
use crate::export::{self, ColumnsWanted, ExportContext, ExportQuery, TableFormat, TableOptions};
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::Query;
use crate::http::printable_json::Escaped;
use crate::http::quota::QuotaPermit;
use crate::ledger::{ContractFilter, ItemFilter, TimeSpan};
use crate::reader_language::ReaderLanguage;
use crate::workflow::blank_file::Language;

/// How much is sent at a time, and how many such pieces wait for a reader.
const PIECE: usize = 64 * 1024;
const PIECES: usize = 4;

/// How a list is written.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportFormatQuery {
    /// `xlsx` (if nothing is said), `csv`, `json` (an array) or `ndjson` (an object a line).
    format: Option<String>,
    /// Whether a CSV begins with a byte order mark, by which Excel knows UTF-8.
    bom: Option<bool>,
}

/// Which items.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportItemsQuery {
    /// Only of this run.
    run: Option<i64>,
    /// Only of runs of this workflow.
    workflow: Option<String>,
    /// Only of jobs of this name.
    job: Option<String>,
    /// Only on this gateway account.
    gateway: Option<String>,
    /// Only in these states, separated by commas.
    state: Option<String>,
    /// Only with this text in their reason, such as a gateway's code.
    reason_has: Option<String>,
    /// Only those whose last answer has this code; `none`: no code. Where an item did not succeed,
    /// the last answer that has one.
    code: Option<String>,
    /// Only with an amount in this currency; `none`: without an amount.
    currency: Option<String>,
    /// Only those that this bulk action changed.
    bulk_action: Option<i64>,
    /// With `bulk_action`: only those that nobody has claimed or changed since.
    untouched: Option<bool>,
    /// Only with this key.
    key: Option<String>,
    /// Only of runs that were planned on this day, `2026-03-31`, on the clock of the run or the
    /// workflow, or else of payrun.yaml.
    day: Option<NaiveDate>,
    /// Only of runs that were planned on this day or later.
    since: Option<NaiveDate>,
    /// Only of runs that were planned on this day or earlier.
    until: Option<NaiveDate>,
    /// How payrun calls its own columns: `en` (if nothing is said) or `zh`.
    lang: Option<String>,
    /// Every column there is, also what payrun itself goes on by.
    all_columns: Option<bool>,
}

/// Which rejected or failed rows.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RowsToMendQuery {
    /// The run.
    run: i64,
    /// Which job, if several took rows from a file.
    job: Option<String>,
    /// In which language the reasons are: `en` (if nothing is said), `zh` or `zh-Hant`.
    lang: Option<String>,
}

/// Which runs are added up, and by what.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportTotalsQuery {
    /// One run.
    run: Option<i64>,
    /// The runs that were planned in a month, `2026-03`, on the clock of payrun.yaml.
    month: Option<String>,
    /// By what sums are told apart, separated by commas: `day`, `run`, `workflow`, `account`, `kind`,
    /// `state`; `account,kind` if nothing is said. The currency always is.
    by: Option<String>,
}

/// Items as a file: the fields of their rows that are not personal, and what became of them
#[utoipa::path(get, path = "/exports/items", tag = "exports", params(ExportItemsQuery, ExportFormatQuery),
    responses((status = 200, content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", body = String,
                         description = "The file"), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
              (status = 503, body = ErrorBody)))]
pub(super) async fn items(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<ExportItemsQuery>,
    Query(format): Query<ExportFormatQuery>,
) -> Result<Response, ApiError> {
    there_is(&app, query.run).await?;
    let days = PlannedDays::of(query.day, query.since, query.until);
    let days = days.map_err(ApiError::invalid)?;
    let planned = planned_on(&app, days, query.run, query.workflow.as_deref()).await?;
    let columns = ColumnsWanted {
        all: query.all_columns.unwrap_or(false),
        language: language(query.lang.as_deref())?,
    };
    let filter = ItemFilter {
        planned,
        run_id: query.run,
        workflow: query.workflow,
        job: query.job,
        lane: query.gateway,
        states: states(query.state.as_deref())?,
        reason: query.reason_has,
        code: query.code,
        currency: amount_in(query.currency.as_deref())?,
        key: query.key,
        bulk: bulk_items(query.bulk_action, query.untouched)?,
    };
    let name = match query.run {
        Some(run) => format!("items-of-run-{run}"),
        None => "items".to_owned(),
    };
    let query = ExportQuery::Items {
        filter,
        after: 0,
        limit: u64::MAX,
        columns,
    };
    send(app, caller, query, &format, &name)
}

/// The days that are meant, on the clock of the run or the workflow, or else of payrun.yaml.
pub(in crate::http) async fn planned_on(
    app: &App,
    days: Option<PlannedDays>,
    run: Option<i64>,
    workflow: Option<&str>,
) -> Result<Option<TimeSpan>, ApiError> {
    let Some(days) = days else {
        return Ok(None);
    };
    let engine = app.engine();
    let known = engine.ledger.timezone_of(run, workflow).await?;
    let zone = known.and_then(|zone| zone.parse().ok());
    Ok(Some(days.span(zone.unwrap_or(engine.config.timezone))))
}

fn language(word: Option<&str>) -> Result<Language, ApiError> {
    match word {
        None | Some("en") => Ok(Language::En),
        Some("zh") => Ok(Language::Zh),
        Some(_) => Err(ApiError::invalid("lang is en or zh")),
    }
}

/// Runs as a file, newest first, a row for each currency
#[utoipa::path(get, path = "/exports/runs", tag = "exports", params(ExportFormatQuery),
    responses((status = 200, content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", body = String,
                         description = "The file"), (status = 400, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn runs(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(format): Query<ExportFormatQuery>,
) -> Result<Response, ApiError> {
    let query = ExportQuery::Runs {
        before: None,
        limit: u64::MAX,
    };
    send(app, caller, query, &format, "runs")
}

/// Contracts that live here, as a file
#[utoipa::path(get, path = "/exports/contracts", tag = "exports", params(ExportFormatQuery),
    responses((status = 200, content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", body = String,
                         description = "The file"), (status = 400, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn contracts(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(format): Query<ExportFormatQuery>,
) -> Result<Response, ApiError> {
    let query = ExportQuery::Contracts {
        filter: ContractFilter::default(),
        after: 0,
        limit: u64::MAX,
    };
    send(app, caller, query, &format, "contracts")
}

/// Differences that reconciliations found, as a file; the open ones if no state is given
#[utoipa::path(get, path = "/exports/differences", tag = "exports", params(DifferencesQuery, ExportFormatQuery),
    responses((status = 200, content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", body = String,
                         description = "The file"), (status = 400, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn differences(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<DifferencesQuery>,
    Query(format): Query<ExportFormatQuery>,
) -> Result<Response, ApiError> {
    let query = ExportQuery::Differences {
        filter: query.filter()?,
        after: 0,
        limit: u64::MAX,
    };
    send(app, caller, query, &format, "differences")
}

/// The rejected rows of a run as the file that they came from, with the reason of each, to be mended
/// and given again. The run must have read an uploaded file or one of the project
#[utoipa::path(get, path = "/exports/rejected-rows", tag = "exports", params(RowsToMendQuery, ExportFormatQuery),
    responses((status = 200, content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", body = String,
                         description = "The file"), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
              (status = 409, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn rejected_rows(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<RowsToMendQuery>,
    Query(format): Query<ExportFormatQuery>,
) -> Result<Response, ApiError> {
    rows_to_mend(app, caller, (query, format), RowsWanted::Rejected).await
}

/// The header that says what is not in a list of failed rows.
const LEFT_OUT: HeaderName = HeaderName::from_static("payrun-left-out");

/// The failed rows of a run as the file that they came from, with the reason of each and the
/// gateway's code in plain words, to be mended. A row of which it is not known what became of it is
/// left out, and the header `payrun-left-out` says so. The run must have read an uploaded file or
/// one of the project
#[utoipa::path(get, path = "/exports/failed-rows", tag = "exports", params(RowsToMendQuery, ExportFormatQuery),
    responses((status = 200, content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", body = String,
                         description = "The file",
                         headers(("payrun-left-out" = String, description = "How many rows are unknown, need review or have not ended, and are left out"))),
              (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
              (status = 409, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn failed_rows(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<RowsToMendQuery>,
    Query(format): Query<ExportFormatQuery>,
) -> Result<Response, ApiError> {
    rows_to_mend(app, caller, (query, format), RowsWanted::Failed).await
}

async fn rows_to_mend(
    app: App,
    caller: Caller,
    (query, format): (RowsToMendQuery, ExportFormatQuery),
    wanted: RowsWanted,
) -> Result<Response, ApiError> {
    let job = (query.run, query.job.as_deref());
    let mut rows = RowsToMend::find(app.engine(), job, wanted, FileRequester::Caller).await?;
    if let Some(tag) = query.lang.as_deref() {
        let language = ReaderLanguage::of_tag(tag);
        rows.language = language.ok_or_else(|| ApiError::invalid("lang is en, zh or zh-Hant"))?;
    }
    let name = format!("{}-rows-of-run-{}", wanted.as_str(), query.run);
    let left_out = rows.left_out.sentences().join("; ");
    let rows = ExportQuery::RowsToMend(Box::new(rows));
    let mut response = send(app, caller, rows, &format, &name)?;
    if let Ok(left_out) = HeaderValue::from_str(&left_out)
        && !left_out.is_empty()
    {
        response.headers_mut().insert(LEFT_OUT, left_out);
    }
    Ok(response)
}

impl From<RowsToMendError> for ApiError {
    fn from(error: RowsToMendError) -> Self {
        match error {
            RowsToMendError::Ledger(error) => error.into(),
            error @ RowsToMendError::NoSuchRun(_) => Self::not_found(chain(&error)),
            error @ RowsToMendError::WhichJob(_) => Self::invalid(chain(&error)),
            RowsToMendError::NoFile => Self::conflict("no_file", chain(&error)),
            RowsToMendError::NothingRejected => Self::conflict("nothing_rejected", chain(&error)),
            error @ RowsToMendError::NothingFailed(_) => {
                Self::conflict("nothing_failed", chain(&error))
            }
            RowsToMendError::OtherFile(_) => Self::conflict(
                "other_file",
                "the file that the run has read is not there any more, or is another by now",
            ),
            RowsToMendError::Upload(error) => {
                tracing::error!(error = chain(&error), "an uploaded file cannot be read");
                Self::unavailable("uploaded files cannot be read at present; the log says why")
            }
        }
    }
}

/// The audit log as a file, oldest first
#[utoipa::path(get, path = "/exports/audit", tag = "exports", params(ExportFormatQuery),
    responses((status = 200, content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", body = String,
                         description = "The file"), (status = 400, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn audit(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(format): Query<ExportFormatQuery>,
) -> Result<Response, ApiError> {
    send(
        app,
        caller,
        ExportQuery::Audit { after: 0 },
        &format,
        "audit-log",
    )
}

/// Sums as a file: what was planned, succeeded, failed, is unknown or needs review
#[utoipa::path(get, path = "/exports/totals", tag = "exports", params(ExportTotalsQuery, ExportFormatQuery),
    responses((status = 200, content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", body = String,
                         description = "The file"), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody),
              (status = 503, body = ErrorBody)))]
pub(super) async fn totals(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<ExportTotalsQuery>,
    Query(format): Query<ExportFormatQuery>,
) -> Result<Response, ApiError> {
    let span = match (query.run, query.month.as_deref()) {
        (Some(run), None) => TotalsSpan::Run(run),
        (None, Some(month)) => TotalsSpan::Month(
            parse_month(month)
                .ok_or_else(|| ApiError::invalid("a month is written like 2026-03"))?,
        ),
        (None, None) | (Some(_), Some(_)) => {
            return Err(ApiError::invalid("give either run or month"));
        }
    };
    there_is(&app, query.run).await?;
    let by = dimensions(query.by.as_deref().unwrap_or("account,kind"))?;
    let name = match query.month {
        Some(month) => format!("totals-{month}"),
        None => "totals".to_owned(),
    };
    let query = ExportQuery::Totals(TotalsQuery { span, by });
    send(app, caller, query, &format, &name)
}

/// A run that there is not has no list, not an empty one.
async fn there_is(app: &App, run: Option<i64>) -> Result<(), ApiError> {
    match run {
        Some(id) if app.engine().ledger.run(id).await?.is_none() => Err(ApiError::not_found(
            Message::new("no-such-run", "there is no run {id}").with("id", id),
        )),
        Some(_) | None => Ok(()),
    }
}

fn dimensions(words: &str) -> Result<Vec<TotalsDimension>, ApiError> {
    let one = |word| {
        TotalsDimension::parse(word).ok_or_else(|| {
            let known = TotalsDimension::ALL.map(TotalsDimension::as_str);
            ApiError::invalid(format!("by is of {}", known.join(", ")))
        })
    };
    words.split(',').map(one).collect()
}

/// Begins a list; its file is called `name` and ends as its format.
fn send(
    app: App,
    caller: Caller,
    query: ExportQuery,
    format: &ExportFormatQuery,
    name: &str,
) -> Result<Response, ApiError> {
    let options = options(format)?;
    let permit = app.exports.take(&caller.name).ok_or_else(|| {
        ApiError::unavailable(Message::new(
            "too-many-exports",
            "too many lists are being written for this token, or for all",
        ))
    })?;
    let engine = app.engine();
    let context = ExportContext {
        ledger: engine.ledger.clone(),
        config: Arc::clone(&engine.config),
        job_kinds: Arc::clone(&engine.job_kinds),
        now: engine.clock.now(),
    };
    let disposition = format!(
        "attachment; filename=\"{name}.{}\"",
        options.format.as_str()
    );
    let headers = [
        (header::CONTENT_TYPE, options.format.media_type().to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    let pieces = write_beside(context, query, options, permit);
    let reader = ExportReader {
        app,
        caller,
        pieces,
    };
    let body = Body::from_stream(stream::unfold(reader, next_piece));
    Ok((Extension(Escaped), headers, body).into_response())
}

fn options(query: &ExportFormatQuery) -> Result<TableOptions, ApiError> {
    let format = match query.format.as_deref() {
        None => TableFormat::Xlsx,
        Some(word) => TableFormat::parse(word).ok_or_else(|| {
            let known = TableFormat::ALL.map(TableFormat::as_str);
            ApiError::invalid(format!("format is one of {}", known.join(", ")))
        })?,
    };
    let bom = query.bom.unwrap_or(false);
    if bom && format != TableFormat::Csv {
        return Err(ApiError::invalid("bom belongs to format=csv"));
    }
    Ok(TableOptions {
        format,
        bom,
        temporary: None,
    })
}

type Piece = io::Result<Bytes>;

/// Writes a list on a thread of its own, since a workbook keeps a processor busy; never further
/// ahead than a few pieces.
fn write_beside(
    context: ExportContext,
    query: ExportQuery,
    options: TableOptions,
    permit: QuotaPermit,
) -> mpsc::Receiver<Piece> {
    let (sender, pieces) = mpsc::channel(PIECES);
    let runtime = Handle::current();
    spawn_blocking(move || {
        let _permit = permit;
        let writer = PieceWriter(sender.clone());
        let out = BufWriter::with_capacity(PIECE, writer);
        let written = runtime.block_on(export::write(&context, query, &options, out, |_| {}));
        let ended = written
            .map_err(|error| chain(&error))
            .and_then(|(mut out, _)| out.flush().map_err(|error| chain(&error)));
        // A reader that has gone away is no error.
        if let Err(error) = ended
            && !sender.is_closed()
        {
            tracing::error!(error, "a list broke off");
            let broken = io::Error::other("the list broke off");
            sender.blocking_send(Err(broken)).ok();
        }
    });
    pieces
}

/// Hands on what is written, and waits while the reader has enough.
struct PieceWriter(mpsc::Sender<Piece>);

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        let sent = block_in_place(|| self.0.blocking_send(Ok(piece)));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Somebody who reads a list.
struct ExportReader {
    app: App,
    caller: Caller,
    pieces: mpsc::Receiver<Piece>,
}

/// The next piece, while the token is good and the service goes on.
async fn next_piece(mut reader: ExportReader) -> Option<(Piece, ExportReader)> {
    let mut stop = reader.app.stop.clone();
    let piece = tokio::select! {
        piece = reader.pieces.recv() => piece?,
        _ = stop.wait_for(|stop| *stop) => Err(io::Error::other("the service ends")),
    };
    let good = reader.caller.is_good(&reader.app).await;
    let piece = match good {
        Ok(true) => piece,
        Ok(false) | Err(_) => Err(io::Error::other("the token is no longer good")),
    };
    Some((piece, reader))
}
