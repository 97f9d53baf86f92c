//! What every gateway's client does around a call, whatever its protocol: the deadline, the failures of the transport, and
//! what is kept of a reply.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, DATE, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Method};
use serde_json::Value;
use tokio::time::Sleep;

use super::transport::{Failure, Request, Response};
use super::{Call, Observation, Probe, Reached};
use crate::domain::money::{Amount, Currency};
use crate::domain::time::Timestamp;

/// The most of a reply that is kept as evidence, in bytes.
pub(super) const EVIDENCE_MAX: usize = 16 * 1024;

/// How long a probe may take in all.
const PROBE_TIMEOUT: Duration = Duration::from_secs(20);

/// A look at a gateway, given up when it takes too long.
pub(super) async fn probe_in_time(base: &str, look: impl Future<Output = Vec<Probe>>) -> Vec<Probe> {
    let late = Probe { step: "reach", found: Err(format!("{base}: no answer within 20 s")) };
    tokio::time::timeout(PROBE_TIMEOUT, look).await.unwrap_or_else(|_| vec![late])
}

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
        Failure::Silent => Observation::of(Reached::TimedOut),
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

/// A request with these headers, none of which prints, and those every gateway gets.
pub(super) fn request(method: Method, target: &str, body: Bytes, headers: &[(&str, &str)]) -> Result<Request, String> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = target.parse().map_err(|_| format!("{target:?} is no path"))?;
    let map = request.headers_mut();
    map.insert(ACCEPT, HeaderValue::from_static("application/json"));
    map.insert(USER_AGENT, HeaderValue::from_static(concat!("payrun/", env!("CARGO_PKG_VERSION"))));
    for (name, value) in headers {
        let mut value =
            HeaderValue::from_str(value).map_err(|_| format!("what goes into {name} does not fit a header"))?;
        value.set_sensitive(true);
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is no name of a header"))?;
        map.insert(name, value);
    }
    Ok(request)
}

/// A text of a call's input; an empty one counts as absent.
pub(super) fn text<'a>(call: &'a Call, field: &str) -> Option<&'a str> {
    call.input.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// A text of a call's input that must be there.
pub(super) fn required<'a>(call: &'a Call, field: &str) -> Result<&'a str, String> {
    text(call, field).ok_or_else(|| format!("the call has no {field}"))
}

/// An amount as most gateways write it: decimal text in main units, and a currency.
pub(super) fn decimal_amount(value: &str, currency: &str) -> Result<Amount, String> {
    let currency = Currency::parse(currency).map_err(|error| error.to_string())?;
    Amount::parse(value, currency).map_err(|error| error.to_string())
}

/// What every reply shows, whatever it is worth.
pub(super) fn with_reply(reached: Reached, response: &Response, masked: &[&str]) -> Observation {
    Observation {
        http: Some(response.status().as_u16()),
        retry_after: retry_after(response.headers()),
        evidence: evidence(response.body(), masked),
        ..Observation::of(reached)
    }
}

/// A text header of a reply or a notification.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What a look at a gateway found: its host, its clock beside ours, and what it said to a query for no order.
pub(super) fn probes(
    base: &str,
    sent: Result<Response, Failure>,
    now: Timestamp,
    accepted: impl FnOnce(&Response) -> Result<String, String>,
) -> Vec<Probe> {
    match sent {
        Err(failure) => vec![Probe { step: "reach", found: Err(format!("{base}: {failure}")) }],
        Ok(response) => vec![
            Probe { step: "reach", found: Ok(base.to_owned()) },
            Probe { step: "clock", found: clock_difference(response.headers(), now) },
            Probe { step: "credentials", found: accepted(&response) },
        ],
    }
}

/// How far our clock is from the gateway's. How far it may be is documented for WeChat Pay only; a minute is suspicious.
fn clock_difference(headers: &HeaderMap, now: Timestamp) -> Result<String, String> {
    let theirs = header(headers, DATE.as_str()).and_then(|date| chrono::DateTime::parse_from_rfc2822(date).ok());
    let Some(theirs) = theirs else { return Ok("not compared: the gateway sent no Date header".into()) };
    let apart = now.seconds() - theirs.timestamp();
    match apart.unsigned_abs() {
        0..=60 => Ok(format!("{apart} s from the gateway's")),
        _ => Err(format!("{apart} s from the gateway's: set the clock")),
    }
}
