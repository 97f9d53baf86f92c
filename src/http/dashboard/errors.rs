//! What a person sees in place of a page that cannot be had: what is wrong, and what to do.

use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::BUDGET;
use super::frame::{Page, PageFrame};
use super::session;
use crate::http::App;
use crate::http::error::ApiError;
use crate::ledger::LedgerError;

/// Why there is no page. The layer of the session makes a page of it, in the reader's language.
#[derive(Debug, Clone)]
pub(super) struct PageFailure {
    status: StatusCode,
    message: String,
    help: Option<String>,
    /// Where to begin again, within the dashboard.
    again: Option<String>,
}

/// What a handler gives in place of a page.
#[derive(Debug)]
pub(super) struct PageError(PageFailure);

impl PageError {
    /// There is no such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        ApiError::not_found(message).into()
    }

    /// The request cannot be understood.
    pub fn invalid(message: impl Into<String>) -> Self {
        ApiError::invalid(message).into()
    }

    /// With a link to where to begin again.
    pub fn beginning_again_at(mut self, path: String) -> Self {
        self.0.again = Some(path);
        self
    }
}

impl From<ApiError> for PageError {
    fn from(error: ApiError) -> Self {
        let (status, message, help) = error.into_parts();
        Self(PageFailure {
            status,
            message,
            help,
            again: None,
        })
    }
}

impl From<LedgerError> for PageError {
    fn from(error: LedgerError) -> Self {
        ApiError::from(error).into()
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.extensions_mut().insert(self.0);
        response
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    page: PageFrame,
    heading: &'static str,
    failure: PageFailure,
}

impl PageFailure {
    /// The page that says so.
    pub fn page(self, page: PageFrame) -> impl IntoResponse {
        let heading = match self.status {
            StatusCode::NOT_FOUND => "error-not-found",
            StatusCode::FORBIDDEN => "error-forbidden",
            StatusCode::CONFLICT => "error-changed",
            StatusCode::GATEWAY_TIMEOUT => "error-too-much",
            StatusCode::SERVICE_UNAVAILABLE => "error-unavailable",
            _ => "error-cannot",
        };
        let status = self.status;
        let page = ErrorPage {
            page,
            heading,
            failure: self,
        };
        (status, Page(page))
    }
}

/// The page that says there is none, where a person who is signed in asks for one.
pub(in crate::http) async fn missing(
    app: &App,
    headers: &HeaderMap,
    here: &str,
) -> Option<Response> {
    let accept = headers.get(header::ACCEPT)?.to_str().ok()?;
    if !accept.contains("text/html") || here.starts_with("/api/") {
        return None;
    }
    let viewer = session::viewer(app, headers, here.to_owned())
        .await
        .ok()??;
    let failure = PageFailure {
        status: StatusCode::NOT_FOUND,
        message: here.chars().take(200).collect(),
        help: None,
        again: None,
    };
    Some(failure.page(PageFrame::of(&viewer)).into_response())
}

/// Ends a page that looks for too long: whoever reads it narrows what is asked for.
pub(super) async fn within_budget(request: Request, next: Next) -> Response {
    if !request.method().is_safe() {
        return next.run(request).await;
    }
    match tokio::time::timeout(BUDGET, next.run(request)).await {
        Ok(response) => response,
        Err(_) => PageError(PageFailure {
            status: StatusCode::GATEWAY_TIMEOUT,
            message: "it takes longer than two seconds to look for this".to_owned(),
            help: Some("narrow it: name a run, a workflow or a day".to_owned()),
            again: None,
        })
        .into_response(),
    }
}
