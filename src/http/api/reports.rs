//! Reports that are kept: of runs, of months, of reconciliations. Only what the list names can be
//! fetched.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::page::page_size;
use crate::config::REPORTS;
use crate::engine::file_store::{FilesError, StoredFile};
use crate::errors::chain;
use crate::export::TableFormat;
use crate::http::App;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::{Path, Query};
use crate::report::stored_reports::{self, ReportScope, StoredReport};

/// What a page may do: look as it does, and nothing else.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
);

/// Which reports.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ReportsQuery {
    /// Only of this kind: `run`, `month` or `reconcile`.
    kind: Option<String>,
    /// Only reports before this one: the last of the page before.
    before: Option<String>,
    /// How many at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// A page of reports, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReportsPage {
    reports: Vec<ReportView>,
    /// Give it as `before` for the next page; none if this is the last.
    next_before: Option<String>,
}

/// A report.
#[derive(Debug, Serialize, ToSchema)]
struct ReportView {
    /// Its name: `runs/run-7`, `months/2026-11`, `hk/reconcile-2026-11-30-2026-11-30-run-7`.
    name: String,
    /// `run`, `month` or `reconcile`.
    kind: &'static str,
    /// Of a run: its id. Of a reconciliation: the run that made it; none of one from before reports of
    /// the same days were kept apart.
    run: Option<i64>,
    /// Of a month: `2026-11`.
    month: Option<String>,
    /// Of a reconciliation: the gateway account.
    account: Option<String>,
    /// Of a reconciliation: its first day.
    from: Option<String>,
    /// Of a reconciliation: its last day.
    to: Option<String>,
    /// When it was made.
    made_at: String,
    /// Its files.
    files: Vec<ReportFileView>,
}

/// A file of a report.
#[derive(Debug, Serialize, ToSchema)]
struct ReportFileView {
    /// `html`, `xlsx`, `csv` or `json`.
    format: &'static str,
    /// Its length in bytes.
    bytes: u64,
    /// Its path here.
    path: String,
    /// The same with `server.public_url` of payrun.yaml; none without one. It needs a token too.
    link: Option<String>,
}

/// Reports that are kept, newest first
#[utoipa::path(get, path = "/reports", tag = "reports", params(ReportsQuery),
    responses((status = 200, body = ReportsPage), (status = 400, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<ReportsQuery>,
) -> Result<Json<ReportsPage>, ApiError> {
    let size = page_size(query.limit)? as usize;
    let kind = query.kind.as_deref();
    if kind.is_some_and(|kind| !ReportScope::KINDS.contains(&kind)) {
        return Err(ApiError::invalid(format!(
            "kind is one of {}",
            ReportScope::KINDS.join(", ")
        )));
    }
    let files = &app.engine().files;
    let before = match &query.before {
        None => None,
        Some(name) => {
            let found = stored_reports::cursor(files, name).await.map_err(failed)?;
            Some(found.ok_or_else(|| ApiError::invalid("before is the name of a report"))?)
        }
    };
    let found = stored_reports::list(files, kind, before.as_ref(), size).await;
    let found = found.map_err(failed)?;
    let last = found.last().filter(|_| found.len() == size);
    Ok(Json(ReportsPage {
        next_before: last.map(|report| report.scope.name()),
        reports: found.iter().map(|report| view(&app, report)).collect(),
    }))
}

fn view(app: &App, report: &StoredReport) -> ReportView {
    let name = report.scope.name();
    let server = &app.engine().config.server;
    let file = |(format, file): &(&'static str, StoredFile)| {
        let named = format!("{name}.{format}");
        ReportFileView {
            format,
            bytes: file.bytes,
            link: server.public_url.as_ref().map(|url| url.report(&named)),
            path: format!("{REPORTS}/{named}"),
        }
    };
    let files = report.files.iter().map(file).collect();
    let empty = ReportView {
        kind: report.scope.kind(),
        run: None,
        month: None,
        account: None,
        from: None,
        to: None,
        made_at: report.made_at.to_string(),
        files,
        name: name.clone(),
    };
    match &report.scope {
        ReportScope::Run(run) => ReportView {
            run: Some(*run),
            ..empty
        },
        ReportScope::Month(first) => ReportView {
            month: Some(first.format("%Y-%m").to_string()),
            ..empty
        },
        ReportScope::Reconcile {
            account,
            from,
            to,
            made_in,
        } => ReportView {
            run: made_in.map(|(run, _)| run),
            account: Some(account.clone()),
            from: Some(from.to_string()),
            to: Some(to.to_string()),
            ..empty
        },
    }
}

/// One file of a report: the page is for a browser, the others are to be kept
#[utoipa::path(get, path = "/reports/{folder}/{file}", tag = "reports",
    params(("folder" = String, Path, description = "`runs`, `months`, or a gateway account"),
           ("file" = String, Path, description = "As the list names it: `run-7.html`, `2026-11.xlsx`")),
    responses((status = 200, content_type = "text/html", body = String, description = "The file"), (status = 400, body = ErrorBody),
              (status = 404, body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn file(
    State(app): State<App>,
    Path((folder, file)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let not_there = || ApiError::not_found("there is no such report; /api/v1/reports lists them");
    let (name, format) = file.rsplit_once('.').ok_or_else(not_there)?;
    let scope = ReportScope::parse(&format!("{folder}/{name}")).ok_or_else(not_there)?;
    if !scope.formats().contains(&format) {
        return Err(not_there());
    }
    let found = app.engine().files.stream(&scope.file(format)).await;
    let (length, pieces) = found.map_err(failed)?.ok_or_else(not_there)?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_LENGTH, length.into());
    match TableFormat::parse(format) {
        Some(table) => {
            let media = HeaderValue::from_static(table.media_type());
            headers.insert(header::CONTENT_TYPE, media);
            let attached = format!("attachment; filename=\"{folder}-{file}\"");
            if let Ok(attached) = attached.parse() {
                headers.insert(header::CONTENT_DISPOSITION, attached);
            }
        }
        None => {
            let media = HeaderValue::from_static("text/html; charset=utf-8");
            headers.insert(header::CONTENT_TYPE, media);
            headers.insert(header::CONTENT_SECURITY_POLICY, PAGE_POLICY);
        }
    }
    Ok((headers, Body::from_stream(pieces)).into_response())
}

fn failed(error: FilesError) -> ApiError {
    tracing::error!(error = chain(&error), "reports cannot be read");
    ApiError::unavailable("reports cannot be read at present; the log says why")
}
