//! What a person sees in place of a page that cannot be had: what is wrong, and what to do.

use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::BUDGET;
use super::frame::{Page, PageFrame};
use super::session;
use crate::domain::message::Message;
use crate::http::App;
use crate::http::error::ApiError;
use crate::ledger::LedgerError;

/// Why there is no page. The layer of the session makes a page of it, in the reader's language.
#[derive(Debug, Clone)]
pub(super) struct PageFailure {
    status: StatusCode,
    message: Box<Message>,
    help: Option<Box<Message>>,
    /// The field of the form that is wrong, where it is one.
    field: Option<&'static str>,
}

/// What a handler gives in place of a page.
#[derive(Debug)]
pub(super) struct PageError(PageFailure);

impl PageError {
    /// There is no such thing.
    pub fn not_found(message: impl Into<Message>) -> Self {
        ApiError::not_found(message).into()
    }

    /// The request cannot be understood.
    pub fn invalid(message: impl Into<Message>) -> Self {
        ApiError::invalid(message).into()
    }

    /// Because of what was typed into this field.
    pub const fn at(mut self, field: &'static str) -> Self {
        self.0.field = Some(field);
        self
    }

    /// Why there is no page.
    pub const fn failure(&self) -> &PageFailure {
        &self.0
    }
}

/// The field that a code of the API is about.
fn field_of(code: &str) -> Option<&'static str> {
    match code {
        "invalid_reason" => Some("reason"),
        "invalid_receipt" => Some("receipt"),
        "invalid_send_after" => Some("send_after"),
        "above_account" | "invalid_limit" => Some("rate"),
        _ => None,
    }
}

impl From<ApiError> for PageFailure {
    fn from(error: ApiError) -> Self {
        let field = field_of(error.code());
        let (status, message, help) = error.into_parts();
        Self {
            status,
            message: Box::new(message),
            help: help.map(Box::new),
            field,
        }
    }
}

impl From<ApiError> for PageError {
    fn from(error: ApiError) -> Self {
        Self(error.into())
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

/// Where the address of a form is opened as a page, as it stands in the browser after the form was
/// refused: the page that has the form.
pub(super) async fn to_the_page_of_a_form(method: Method, uri: Uri) -> Response {
    if method != Method::GET {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let mut segments: Vec<&str> = uri.path().split('/').skip(1).collect();
    let form = segments.pop();
    let mut up = "..".to_owned();
    // What is muted, and what is uploaded, has no page without more.
    if matches!(form, Some("mute" | "columns" | "begin")) {
        segments.pop();
        up.push_str("/..");
    }
    // From where the browser is, which may be behind a path that we do not see.
    match segments.pop() {
        Some(page) => Redirect::to(&format!("{up}/{page}")).into_response(),
        None => Redirect::to("./").into_response(),
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
    /// The status of the answer.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong, for people.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// What to do.
    pub fn help(&self) -> Option<&Message> {
        self.help.as_deref()
    }

    /// The field of the form that is wrong, where it is one.
    pub const fn field(&self) -> Option<&'static str> {
        self.field
    }

    /// Whether the form can be mended and sent again: not where nobody may send it, or nothing works.
    pub fn is_about_the_form(&self) -> bool {
        [
            StatusCode::BAD_REQUEST,
            StatusCode::CONFLICT,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNPROCESSABLE_ENTITY,
        ]
        .contains(&self.status)
    }

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
        message: Box::new(Message::plain(here.chars().take(200).collect::<String>())),
        help: None,
        field: None,
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
            message: Box::new(Message::new(
                "page-too-slow",
                "it takes longer than two seconds to look for this",
            )),
            help: Some(Box::new(Message::new(
                "page-narrow-it",
                "narrow it: name a run, a workflow or a day",
            ))),
            field: None,
        })
        .into_response(),
    }
}
