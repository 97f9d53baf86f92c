//! Every request has an id: the caller's, if it is a plain one, else a fresh one. It is in the
//! answer's headers and in the log.

use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument as _;

const NAME: &str = "x-request-id";

pub(super) async fn tag(request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(NAME)
        .and_then(|id| id.to_str().ok())
        .filter(|id| is_plain(id));
    let id = given.map_or_else(|| format!("{:016x}", rand::random::<u64>()), str::to_owned);
    let span = tracing::info_span!("request", request.id = id, method = %request.method(), path = request.uri().path());
    let mut response = next.run(request).instrument(span).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(NAME, value);
    }
    response
}

fn is_plain(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}
