//! Signing in by a token, and out again.

use askama::Template;
use axum::extract::{FromRequest as _, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::assets;
use super::frame::Page;
use super::session;
use crate::domain::actor::{Authorization, Reason};
use crate::http::App;
use crate::http::auth;
use crate::http::error::ApiError;
use crate::reader_language::ReaderLanguage;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    language: ReaderLanguage,
    base: String,
    /// Where to go then.
    to: String,
    /// What went wrong.
    refused: Option<String>,
    /// Whether somebody signed in just now, and the browser has not kept it.
    was_lost: bool,
}

impl SignInPage {
    fn say(&self, id: &str) -> String {
        self.language.message(id)
    }

    fn style(&self) -> &'static str {
        assets::STYLE.name()
    }

    fn icon(&self) -> &'static str {
        assets::ICON.name()
    }
}

/// Where to go after signing in.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Destination {
    to: String,
    /// Set by signing in: who comes back with it has lost the session on the way.
    entered: Option<String>,
}

/// The form; whoever is signed in goes on.
pub(super) async fn show(
    State(app): State<App>,
    Query(destination): Query<Destination>,
    request: Request,
) -> Result<Response, ApiError> {
    let to = own_path(&destination.to);
    if let Some(session) = session::held(request.headers()) {
        let now = app.engine().clock.now();
        if app.engine().ledger.session(session, now).await?.is_some() {
            return Ok(Redirect::to(&format!("{}{to}", app.base_path())).into_response());
        }
    }
    let page = SignInPage {
        language: session::language_of(request.headers()),
        base: app.base_path().to_owned(),
        was_lost: destination.entered.is_some(),
        to,
        refused: None,
    };
    Ok(Page(page).into_response())
}

#[derive(Debug, Deserialize)]
struct SignInForm {
    token: String,
    #[serde(default)]
    to: String,
}

/// Signs in.
pub(super) async fn enter(State(app): State<App>, request: Request) -> Response {
    let language = session::language_of(request.headers());
    let address = auth::address(&app, &request);
    let Ok(axum::Form(form)) = axum::Form::<SignInForm>::from_request(request, &app).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    match begin(&app, address, form.token.trim()).await {
        Ok(session) => {
            // By way of the form, which sees whether the browser has kept the session.
            let to = own_path(&form.to);
            let to = percent_encoding::utf8_percent_encode(&to, percent_encoding::NON_ALPHANUMERIC);
            let to = format!("{}/sign-in?entered=yes&to={to}", app.base_path());
            let mut response = Redirect::to(&to).into_response();
            let headers = response.headers_mut();
            headers.insert(header::SET_COOKIE, session::cookie(&session));
            response
        }
        Err(error) => {
            let (status, message, _) = error.into_parts();
            let page = SignInPage {
                language,
                base: app.base_path().to_owned(),
                to: own_path(&form.to),
                refused: Some(language.reason(&message)),
                was_lost: false,
            };
            (status, Page(page)).into_response()
        }
    }
}

async fn begin(
    app: &App,
    address: Option<std::net::IpAddr>,
    token: &str,
) -> Result<String, ApiError> {
    let caller = auth::caller(app, address, Some(token)).await?;
    let by = Authorization {
        actor: caller.actor()?,
        reason: Reason::parse("signed in").map_err(|error| ApiError::invalid(error.to_string()))?,
    };
    let (session, hash) = session::fresh();
    app.engine()
        .ledger
        .begin_session(hash, caller.hash, &by, app.engine().clock.now())
        .await?;
    Ok(session)
}

/// Signs out.
pub(super) async fn leave(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    if let Some(session) = session::held(request.headers()) {
        app.engine().ledger.end_session(session).await?;
    }
    let mut response = Redirect::to(&format!("{}/sign-in", app.base_path())).into_response();
    response
        .headers_mut()
        .insert(header::SET_COOKIE, session::cookie(""));
    Ok(response)
}

/// A path of the dashboard itself: nobody is sent to another host.
fn own_path(to: &str) -> String {
    let is_own = to.starts_with('/')
        && !to.starts_with("//")
        && !to.starts_with("/sign-")
        && to.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if is_own {
        to.to_owned()
    } else {
        "/".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::own_path;

    #[test]
    fn nobody_is_sent_to_another_host() {
        assert_eq!(own_path("/runs/5?state=failed"), "/runs/5?state=failed");
        for strange in [
            "",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/\n/evil",
            "/sign-in?to=/",
            "javascript:alert(1)",
        ] {
            assert_eq!(own_path(strange), "/", "{strange:?}");
        }
    }
}
