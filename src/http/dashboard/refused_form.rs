//! A form that was refused comes back on its page, as it was filled in, with what is wrong with it.
//!
//! Whoever shows a form says by name which of its fields come back; keys, hashes and sets are made
//! anew with the page, and no token is ever typed into such a form.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tower::ServiceExt as _;

use super::errors::{PageError, PageFailure};
use super::session::Viewer;
use crate::domain::message::Message;
use crate::reader_language::ReaderLanguage;

/// The longest form, in bytes.
const LONGEST: usize = 64 * 1024;

/// The longest page, in bytes.
const LONGEST_PAGE: usize = 16 * 1024 * 1024;

/// What stands where a page says why a form was refused.
const SAID: &[u8] = b"id=\"refusal\"";

/// A form that was refused.
#[derive(Debug)]
pub(super) struct RefusedForm {
    /// What it does: the end of its path.
    name: String,
    /// What it does it to, where its page has several of the name.
    of: String,
    fields: BTreeMap<String, String>,
    failure: PageFailure,
}

impl RefusedForm {
    /// Of a path and what was typed.
    pub fn new(path: &str, fields: BTreeMap<String, String>, failure: PageFailure) -> Self {
        let mut parts = path.rsplit('/');
        let name = parts.next().unwrap_or_default().to_owned();
        let of = match fields.get("lane") {
            Some(lane) => lane.clone(),
            None => parts.next().unwrap_or_default().to_owned(),
        };
        Self {
            name,
            of,
            fields,
            failure,
        }
    }
}

/// A form as its page shows it: as it was sent, if it was refused just now.
#[derive(Debug, Clone)]
pub(super) struct ShownForm {
    refused: Option<Arc<RefusedForm>>,
    language: ReaderLanguage,
}

impl ShownForm {
    /// The form of a page by what it does, and to what; it is empty where another one was refused.
    pub fn of(viewer: &Viewer, name: &str, of: &str) -> Self {
        let is_it =
            |form: &&Arc<RefusedForm>| form.name == name && (of.is_empty() || form.of == of);
        Self {
            refused: viewer.refused.as_ref().filter(is_it).cloned(),
            language: viewer.language,
        }
    }

    /// What is said of it, in the reader's language.
    pub fn said(&self, message: &Message) -> String {
        self.language.reason(message)
    }

    /// Why it was refused.
    pub fn failure(&self) -> Option<&PageFailure> {
        self.refused.as_ref().map(|form| &form.failure)
    }

    /// Whether it was refused.
    pub fn is_refused(&self) -> bool {
        self.refused.is_some()
    }

    /// What was typed into a field.
    pub fn text(&self, field: &str) -> &str {
        let form = self.refused.as_ref();
        form.and_then(|form| form.fields.get(field))
            .map_or("", String::as_str)
    }

    /// What was typed into a field of several, by how its name begins and ends.
    pub fn text_of(&self, begins: &str, ends: &str) -> &str {
        self.text(&format!("{begins}{ends}"))
    }

    /// What was typed into a field; what stands there at first where nothing was sent.
    pub fn text_or<'a>(&'a self, field: &str, first: &'a str) -> &'a str {
        if self.is_refused() {
            self.text(field)
        } else {
            first
        }
    }

    /// Whether this is what is wrong.
    pub fn is_wrong(&self, field: &str) -> bool {
        self.failure()
            .is_some_and(|failure| failure.field() == Some(field))
    }

    /// Whether something else than a field is wrong: what is asked for has changed meanwhile.
    pub fn is_outdated(&self) -> bool {
        self.failure()
            .is_some_and(|failure| failure.status() == StatusCode::CONFLICT)
    }
}

/// Gives a form that was refused back on its page, with the status of the refusal.
pub(super) async fn comes_back(
    State(pages): State<Router>,
    viewer: Viewer,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path().to_owned();
    let (parts, body) = request.into_parts();
    let Ok(bytes) = to_bytes(body, LONGEST).await else {
        return PageError::invalid(Message::new(
            "form-too-long",
            "the form is too long, or broke off",
        ))
        .into_response();
    };
    let sent = Request::from_parts(parts, Body::from(bytes.clone()));
    let response = next.run(sent).await;
    let Some(failure) = response.extensions().get::<PageFailure>() else {
        return response;
    };
    if !failure.is_about_the_form() {
        return response;
    }
    let fields = fields_of(&bytes);
    let Some(page) = page_of(&path, &fields) else {
        return response;
    };
    let (status, failure) = (failure.status(), failure.clone());
    let refused = RefusedForm::new(&path, fields, failure);
    match shown(pages, viewer, page, refused).await {
        Some(mut shown) => {
            *shown.status_mut() = status;
            shown
        }
        // There is no such page, or no such form on it, any more: then what is wrong has a page of its own.
        None => response,
    }
}

async fn shown(
    pages: Router,
    viewer: Viewer,
    page: String,
    refused: RefusedForm,
) -> Option<Response> {
    let mut request = Request::get(&page).body(Body::empty()).ok()?;
    let viewer = viewer.sent_back(page, refused);
    request.extensions_mut().insert(viewer);
    let shown = pages.oneshot(request).await.ok()?;
    if !shown.status().is_success() {
        return None;
    }
    let (parts, body) = shown.into_parts();
    let html = to_bytes(body, LONGEST_PAGE).await.ok()?;
    // What has moved meanwhile may not be offered the form any more.
    let says_why = html.windows(SAID.len()).any(|part| part == SAID);
    says_why.then(|| Response::from_parts(parts, Body::from(html)))
}

/// The fields of a form, the last of each name.
fn fields_of(bytes: &Bytes) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(bytes).replace('+', " ");
    let decoded = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// The page of the form that goes to a path, within the base path.
fn page_of(path: &str, fields: &BTreeMap<String, String>) -> Option<String> {
    let query = |names: &[&str]| query_of(fields, |name| names.contains(&name));
    let (page, name) = path.rsplit_once('/')?;
    Some(match (page, name) {
        // Its other fields are the filter.
        ("", "bulk") => format!(
            "/bulk?{}",
            query_of(fields, |name| !["key", "set", "why"].contains(&name))
        ),
        ("", "settings") => path.to_owned(),
        ("/alerts", _) => page.to_owned(),
        _ if page.starts_with("/alerts/") => "/alerts".to_owned(),
        _ if page.starts_with("/upload/") => {
            format!("{page}?{}", query(&["target", "encoding", "name"]))
        }
        ("", _) => return None,
        _ => page.to_owned(),
    })
}

fn query_of(fields: &BTreeMap<String, String>, is_meant: impl Fn(&str) -> bool) -> String {
    let pair = |(name, value): (&String, &String)| {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        format!("{}={}", encoded(name), encoded(value))
    };
    let meant = fields.iter().filter(|(name, _)| is_meant(name));
    meant.map(pair).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_has_a_page_to_come_back_on() {
        let fields = fields_of(&Bytes::from_static(
            b"key=1&set=2&why=a+b%26c&action=retry&state=failed&target=w%2Fj&name=%E9%80%80.csv&encoding=",
        ));
        assert_eq!(fields["why"], "a b&c");
        for (path, page) in [
            ("/items/5/retry", "/items/5"),
            ("/runs/5/withdraw", "/runs/5"),
            ("/approvals/5/refunds/approve", "/approvals/5/refunds"),
            ("/gateways/slow", "/gateways"),
            ("/alerts/7/mute", "/alerts"),
            ("/alerts/test", "/alerts"),
            ("/settings", "/settings"),
            (
                "/upload/f/begin",
                "/upload/f?encoding=&name=%E9%80%80%2Ecsv&target=w%2Fj",
            ),
        ] {
            assert_eq!(page_of(path, &fields).as_deref(), Some(page), "{path}");
        }
        let of_bulk = fields_of(&Bytes::from_static(
            b"key=1&set=2&why=x&action=retry&state=failed",
        ));
        assert_eq!(
            page_of("/bulk", &of_bulk).as_deref(),
            Some("/bulk?action=retry&state=failed")
        );
        assert_eq!(page_of("/sign-out", &fields), None);
    }
}
