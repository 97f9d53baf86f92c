//! What comes of a form: its fields, and whether it was sent before. A form that is sent twice, by
//! an impatient hand or a reload, does what it says once.

use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::errors::PageError;
use super::session::Viewer;
use crate::http::App;
use crate::ledger::IdempotencyCheck;

/// The fields of a form; none has a NUL, which PostgreSQL keeps in no text.
pub(super) struct Form<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Form<T> {
    type Rejection = PageError;

    async fn from_request(request: Request, state: &S) -> Result<Self, PageError> {
        let bytes = axum::body::Bytes::from_request(request, state)
            .await
            .map_err(|_| PageError::invalid("the form is too long, or broke off"))?;
        let has_nul = bytes.contains(&0) || bytes.windows(3).any(|three| three == b"%00");
        if has_nul {
            return Err(PageError::invalid(
                "a field has a NUL character, which no text here has",
            ));
        }
        let wanting = |error: axum::extract::rejection::FormRejection| {
            PageError::invalid(format!("the form lacks a field: {}", error.body_text()))
        };
        let request = Request::builder()
            .method("POST")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(bytes.into())
            .map_err(|_| PageError::invalid("the form cannot be read"))?;
        let axum::Form(fields) = axum::Form::<T>::from_request(request, state)
            .await
            .map_err(wanting)?;
        Ok(Self(fields))
    }
}

/// A key for a form that is to be sent once.
pub(super) fn fresh_key() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// Does what a form says, once: sent again with the same content it has been done, and none comes
/// back. What was refused was not done, and is tried again when the form is.
pub(super) async fn once<T, E: Into<PageError>>(
    (app, viewer): (&App, &Viewer),
    (key, content): (&str, &str),
    action: impl Future<Output = Result<T, E>>,
) -> Result<Option<T>, PageError> {
    if !is_first(app, viewer, key, content).await? {
        return Ok(None);
    }
    match action.await {
        Ok(done) => Ok(Some(done)),
        Err(refused) => {
            let ledger = &app.engine().ledger;
            ledger.forget_asked(&viewer.caller.name, key).await?;
            Err(refused.into())
        }
    }
}

/// Whether a form is sent for the first time; `content`: what it says.
async fn is_first(app: &App, viewer: &Viewer, key: &str, content: &str) -> Result<bool, PageError> {
    if key.len() != 32 || !key.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(PageError::invalid(
            "the form has no key: load its page again",
        ));
    }
    let fingerprint: [u8; 32] = Sha256::digest(content).into();
    let now = app.engine().clock.now();
    let asked = app
        .engine()
        .ledger
        .ask_once(&viewer.caller.name, key, fingerprint, now)
        .await?;
    match asked {
        IdempotencyCheck::First => Ok(true),
        IdempotencyCheck::Again => Ok(false),
        IdempotencyCheck::Otherwise => Err(PageError::invalid(
            "this form was sent before with other content: load its page again",
        )),
    }
}
