//! What comes of a form: its fields, and whether it was sent before. A form that is sent twice, by
//! an impatient hand or a reload, does what it says once.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::errors::PageError;
use super::session::Viewer;
use crate::domain::message::Message;
use crate::http::App;
use crate::http::error::ApiError;
use crate::ledger::IdempotencyCheck;

/// The fields of a form; none has a NUL, which PostgreSQL keeps in no text.
pub(super) struct Form<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Form<T> {
    type Rejection = PageError;

    async fn from_request(request: Request, state: &S) -> Result<Self, PageError> {
        let bytes = axum::body::Bytes::from_request(request, state)
            .await
            .map_err(|_| {
                PageError::invalid(Message::new(
                    "form-too-long",
                    "the form is too long, or broke off",
                ))
            })?;
        let has_nul = bytes.contains(&0) || bytes.windows(3).any(|three| three == b"%00");
        if has_nul {
            return Err(PageError::invalid(Message::new(
                "form-field-nul",
                "a field has a NUL character, which no text here has",
            )));
        }
        let wanting = |error: axum::extract::rejection::FormRejection| {
            PageError::invalid(
                Message::new("form-lacks-field", "the form lacks a field: {why}")
                    .with("why", error.body_text()),
            )
        };
        let request = Request::builder()
            .method("POST")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(bytes.into())
            .map_err(|_| {
                PageError::invalid(Message::new("form-unreadable", "the form cannot be read"))
            })?;
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

/// How long a form that is sent again waits for what the first has begun, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// Does what a form says, once: sent again with the same content it has been done, and none comes
/// back. What was refused was not done, and is tried again when the form is. It goes on when the
/// browser has gone.
pub(super) async fn once<T, E>(
    (app, viewer): (&App, &Viewer),
    (key, content): (&str, &str),
    action: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<Option<T>, PageError>
where
    T: Send + 'static,
    E: Into<PageError> + Send + 'static,
{
    if key.len() != 32 || !key.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(PageError::invalid(Message::new(
            "form-no-key",
            "the form has no key: load its page again",
        )));
    }
    let form = SentForm {
        app: app.clone(),
        caller: viewer.caller.name.clone(),
        key: key.to_owned(),
        fingerprint: Sha256::digest(content).into(),
    };
    let task = tokio::spawn(async move {
        if !form.begins().await? {
            return Ok(None);
        }
        let (ledger, now) = (&form.app.engine().ledger, form.app.engine().clock.now());
        match action.await {
            Ok(done) => {
                ledger.note_done(&form.caller, &form.key, now).await?;
                Ok(Some(done))
            }
            Err(refused) => {
                ledger.forget_asked(&form.caller, &form.key).await?;
                Err(refused.into())
            }
        }
    });
    let broken = |_| {
        ApiError::unavailable(Message::new(
            "form-broke-off-maybe-done",
            "it broke off: look whether it was done",
        ))
    };
    task.await.map_err(broken)?
}

/// A form that was sent.
struct SentForm {
    app: App,
    caller: String,
    key: String,
    fingerprint: [u8; 32],
}

impl SentForm {
    /// Whether what it says is to be done now: not where it was done before. While somebody is at
    /// it, it waits; what broke off may have been done or not, and is not done again.
    async fn begins(&self) -> Result<bool, PageError> {
        let ledger = &self.app.engine().ledger;
        let (since, clock) = (tokio::time::Instant::now(), &self.app.engine().clock);
        loop {
            let asked = ledger
                .ask_once(&self.caller, &self.key, self.fingerprint, clock.now())
                .await?;
            match asked {
                IdempotencyCheck::First => return Ok(true),
                IdempotencyCheck::Otherwise => {
                    return Err(PageError::invalid(Message::new(
                        "form-sent-otherwise",
                        "this form was sent before with other content: load its page again",
                    )));
                }
                IdempotencyCheck::Again => {}
            }
            if ledger.is_done(&self.caller, &self.key).await? {
                return Ok(false);
            }
            if since.elapsed() > PATIENCE {
                let unknown = ApiError::conflict(
                    "under_way",
                    "this form was sent before, and what it asks for is under way or broke off",
                );
                return Err(unknown
                    .help("load its page again and look whether it was done")
                    .into());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
