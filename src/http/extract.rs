//! What is taken out of requests; what cannot be is told in our own words.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use serde::de::DeserializeOwned;

use super::error::ApiError;

/// The query of an address.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(ApiError))]
pub(super) struct Query<T>(pub T);

/// The parts of a path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(ApiError))]
pub(super) struct Path<T>(pub T);

/// A JSON body; none of its texts has a NUL, which PostgreSQL keeps in no text.
pub(super) struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = Bytes::from_request(Request::from_parts(parts.clone(), body), state).await?;
        let nul = has_nul(&bytes);
        let Json(read) =
            Json::<T>::from_request(Request::from_parts(parts, bytes.into()), state).await?;
        if nul {
            Err(ApiError::nul("the body"))
        } else {
            Ok(Self(read))
        }
    }
}

/// Whether a text of this JSON has a NUL: it can only be written `\u0000`, and `\\\\u0000` is none.
fn has_nul(json: &[u8]) -> bool {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|b| *b == b'\\') {
        let escaped = &rest[at + 1..];
        if escaped.starts_with(b"u0000") {
            return true;
        }
        rest = escaped.get(1..).unwrap_or_default();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::has_nul;

    #[test]
    fn a_nul_is_found_however_it_is_written_and_an_escaped_backslash_is_none() {
        assert!(has_nul(br#"{"a":"x\u0000"}"#) && has_nul(br#"{"a":"\\\u0000"}"#));
        assert!(
            !has_nul(br#"{"a":"\\u0000"}"#) && !has_nul(br#"{"a":"\u0001"}"#) && !has_nul(br#""\"#)
        );
    }
}
