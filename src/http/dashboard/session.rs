//! Who is signed in: a cookie with 32 random bytes, whose fingerprint is a row of the ledger. It
//! ends with its token.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono_tz::Tz;
use sha2::{Digest, Sha256};

use super::errors::{PageError, PageFailure};
use super::frame::PageFrame;
use super::refused_form::RefusedForm;
use crate::domain::role::Role;
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::connections::Connection;
use crate::http::error::ApiError;
use crate::ledger::SESSION_LONGEST;
use crate::reader_language::ReaderLanguage;

/// Its prefix keeps other hosts and paths from setting it.
const COOKIE: &str = "__Host-payrun";

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub(super) struct Viewer {
    pub caller: Caller,
    pub language: ReaderLanguage,
    /// The clock that the pages show.
    pub zone: Tz,
    /// The project's own.
    pub project_zone: Tz,
    pub is_dense: bool,
    /// What is before every path: `server.base_path`.
    pub base: String,
    /// The address of this page, with its query.
    pub here: String,
    /// The form of this page that was refused just now.
    pub refused: Option<Arc<RefusedForm>>,
}

impl Viewer {
    /// To another page of the dashboard.
    pub fn to(&self, path: &str) -> Redirect {
        Redirect::to(&format!("{}{path}", self.base))
    }

    /// Whoever looks at a page because a form of it was refused.
    pub fn sent_back(self, page: String, refused: RefusedForm) -> Self {
        Self {
            here: page,
            refused: Some(Arc::new(refused)),
            ..self
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Viewer {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        // The layer below has put it there, or has answered.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or(StatusCode::UNAUTHORIZED)
    }
}

/// A new session, and the fingerprint that the ledger keeps.
pub(super) fn fresh() -> (String, [u8; 32]) {
    let bytes: [u8; 32] = rand::random();
    (URL_SAFE_NO_PAD.encode(bytes), Sha256::digest(bytes).into())
}

/// The cookie that keeps a session in a browser; empty to forget it.
pub(super) fn cookie(session: &str) -> HeaderValue {
    let lasts = if session.is_empty() {
        0
    } else {
        SESSION_LONGEST.as_secs()
    };
    let text =
        format!("{COOKIE}={session}; Path=/; Max-Age={lasts}; Secure; HttpOnly; SameSite=Lax");
    HeaderValue::from_str(&text).expect("base64 and our own words are a header")
}

/// The fingerprint of the session that a browser holds.
pub(super) fn held(headers: &HeaderMap) -> Option<[u8; 32]> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let session = cookies
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))?;
    let bytes = URL_SAFE_NO_PAD.decode(session).ok()?;
    (bytes.len() == 32).then(|| Sha256::digest(bytes).into())
}

/// The session that a request of the API is made with, where it only reads: the pages' links lead
/// to the API's files, and no other site's do.
pub(in crate::http) fn session_of_reading(request: &Request) -> Option<[u8; 32]> {
    let from = request.headers().get("sec-fetch-site");
    let is_ours = from.is_none_or(|from| from == "same-origin" || from == "none");
    (request.method().is_safe() && is_ours).then(|| held(request.headers()))?
}

/// Lets pass who is signed in; anybody else is asked to, and comes back to this page.
pub(super) async fn signed_in(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Response {
    // Within the base path, which the router has taken off.
    let here = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    let viewer = match viewer(&app, request.headers(), here.clone()).await {
        Ok(Some(viewer)) => viewer,
        Ok(None) => return ask_to_sign_in(&app, &request, &here),
        Err(error) => return error.into_response(),
    };
    if let Some(place) = request.extensions().get::<Arc<Connection>>() {
        place.know();
    }
    request.extensions_mut().insert(viewer.clone());
    let mut response = next.run(request).await;
    match response.extensions_mut().remove::<PageFailure>() {
        Some(failure) => failure.page(PageFrame::of(&viewer)).into_response(),
        None => response,
    }
}

/// Notes that a connection is of somebody who is signed in, where it asks for a file of the pages:
/// a stranger's is kept slow.
pub(super) async fn noted(State(app): State<App>, request: Request, next: Next) -> Response {
    let place = request.extensions().get::<Arc<Connection>>().cloned();
    if let (Some(place), Some(session)) = (place, held(request.headers())) {
        let now = app.engine().clock.now();
        if let Ok(Some(_)) = app.engine().ledger.session(session, now).await {
            place.know();
        }
    }
    next.run(request).await
}

/// Lets pass whose role may do what is for this one.
pub(super) async fn require(
    State(needed): State<Role>,
    viewer: Viewer,
    request: Request,
    next: Next,
) -> Result<Response, PageError> {
    let caller = &viewer.caller;
    if caller.role.may_do_as(needed) {
        return Ok(next.run(request).await);
    }
    Err(ApiError::role_needed(needed, caller).into())
}

fn ask_to_sign_in(app: &App, request: &Request, here: &str) -> Response {
    let base = app.base_path();
    // What a page fetches by itself takes the whole page there.
    if request.headers().contains_key("hx-request") {
        let leave = (HeaderName::from_static("hx-refresh"), "true");
        return (StatusCode::UNAUTHORIZED, [leave]).into_response();
    }
    if request.method().is_safe() && !here.contains("/live") {
        let to = percent_encoding::utf8_percent_encode(here, percent_encoding::NON_ALPHANUMERIC);
        return Redirect::to(&format!("{base}/sign-in?to={to}")).into_response();
    }
    Redirect::to(&format!("{base}/sign-in")).into_response()
}

/// Who holds the session of these headers.
pub(super) async fn viewer(
    app: &App,
    headers: &HeaderMap,
    here: String,
) -> Result<Option<Viewer>, ApiError> {
    let Some(session) = held(headers) else {
        return Ok(None);
    };
    let (ledger, now) = (&app.engine().ledger, app.engine().clock.now());
    let Some(row) = ledger.session(session, now).await? else {
        return Ok(None);
    };
    // What a page fetches by itself keeps nobody signed in.
    if row.is_to_note && !headers.contains_key("hx-request") {
        ledger.note_session(session, now).await?;
    }
    let settings = ledger.person_settings(&row.token.name).await?;
    let project_zone = app.engine().config.timezone;
    let chosen = settings.as_ref();
    Ok(Some(Viewer {
        language: chosen
            .and_then(|settings| ReaderLanguage::parse(&settings.language))
            .unwrap_or_else(|| language_of(headers)),
        zone: chosen
            .and_then(|settings| settings.timezone.as_ref()?.parse().ok())
            .unwrap_or(project_zone),
        project_zone,
        is_dense: chosen.is_some_and(|settings| settings.is_dense),
        base: app.base_path().to_owned(),
        caller: Caller::at_dashboard(row, session),
        here,
        refused: None,
    }))
}

/// What a browser asks for.
pub(super) fn language_of(headers: &HeaderMap) -> ReaderLanguage {
    let header = headers.get(header::ACCEPT_LANGUAGE);
    header
        .and_then(|header| header.to_str().ok())
        .map_or(ReaderLanguage::English, ReaderLanguage::accepted)
}
