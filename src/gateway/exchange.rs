//! What every gateway's client does around a call, whatever its protocol: the deadline, the failures of the transport, and
//! what is kept of a reply.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use tokio::time::Sleep;

use super::transport::Failure;
use super::{Observation, Reached};

/// The most of a reply that is kept as evidence, in bytes.
pub(super) const EVIDENCE_MAX: usize = 16 * 1024;

/// A future's value, or nothing if the deadline comes first.
pub(super) async fn before<T>(deadline: Pin<&mut Sleep>, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        value = future => Some(value),
        () = deadline => None,
    }
}

/// What a failure of the transport says of a call.
pub(super) fn of_failure(failure: Failure) -> Observation {
    match failure {
        Failure::NotSent(why) => Observation::of(Reached::NotSent(why)),
        Failure::Lost(why) => Observation::of(Reached::Lost(why)),
        Failure::Broken { status, why } => {
            Observation { http: Some(status), ..Observation::of(Reached::Unreadable(why)) }
        }
    }
}

/// `Retry-After` in whole seconds; a date is not read, since it would have to be trusted against our clock.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What serde says of a body, without the values in it.
pub(super) fn unreadable(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Io | serde_json::error::Category::Syntax => "no JSON",
        serde_json::error::Category::Data => "not of the documented shape",
        serde_json::error::Category::Eof => "cut off",
    };
    format!("the reply is {what} (column {})", error.column())
}

/// Scheme and host without a path. Plain HTTP is for a gateway on this machine only: what is signed is not secret there.
pub(super) fn read_base(text: &str) -> Option<String> {
    let url = reqwest::Url::parse(text).ok()?;
    let host = url.host_str()?;
    let local = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
    let scheme_fits = url.scheme() == "https" || (url.scheme() == "http" && local);
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    (scheme_fits && bare).then(|| url.as_str().trim_end_matches('/').to_owned())
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
pub(super) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A reply as it is kept: at most [`EVIDENCE_MAX`] bytes, with the text values of these fields masked. It works on the text, so
/// that a body that is cut off or no JSON is masked too. A field is named by how it ends: `openid` masks `sp_openid` as well.
pub(super) fn evidence(body: &[u8], masked: &[&str]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(EVIDENCE_MAX)]).into_owned();
    bounded(masked.iter().fold(text, |text, field| mask(&text, &format!("{field}\""))), EVIDENCE_MAX)
}

/// Replaces the text value after every occurrence of a key's end.
fn mask(text: &str, key_end: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(key_end) {
        let (before, after) = rest.split_at(at + key_end.len());
        masked.push_str(before);
        let value = after.trim_start_matches([' ', '\t', '\r', '\n', ':']);
        rest = match value.strip_prefix('"') {
            None => after,
            Some(value) => {
                masked.push_str(":\"***\"");
                after_string(value)
            }
        };
    }
    masked.push_str(rest);
    masked
}

/// What follows a JSON string's closing quote; nothing if it is cut off.
fn after_string(text: &str) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return &text[at + 1..],
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    ""
}

/// The text, cut at a character after so many bytes.
pub(super) fn bounded(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
