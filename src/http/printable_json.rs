//! JSON answers in which every character can be seen, for whoever reads them on a terminal. A
//! program reads the same.

use std::borrow::Cow;

use axum::Extension;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::domain::text::escaped;

/// A JSON answer that is always the same: it is looked through once.
#[derive(Debug, Clone)]
pub(super) struct Constant(Bytes);

impl Constant {
    pub fn of(json: &str) -> Self {
        Self(Bytes::from(escaped(json).into_owned()))
    }
}

impl IntoResponse for Constant {
    fn into_response(self) -> Response {
        (
            Extension(Escaped),
            [(header::CONTENT_TYPE, "application/json")],
            self.0,
        )
            .into_response()
    }
}

/// Marks an answer that needs no look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Escaped;

pub(super) async fn escape(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let media = response
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|media| media.to_str().ok());
    let is_json = media.is_some_and(|media| media.starts_with("application/json"));
    if !is_json || response.extensions().get::<Escaped>().is_some() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // It is in memory already: pages are bounded.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let other = match std::str::from_utf8(&bytes).map(escaped) {
        Ok(Cow::Owned(other)) => other,
        Ok(Cow::Borrowed(_)) | Err(_) => return Response::from_parts(parts, Body::from(bytes)),
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(other))
}
