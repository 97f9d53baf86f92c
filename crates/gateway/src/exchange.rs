//! What every gateway's client does around a call, whatever its protocol: the deadline, the
//! failures of the transport, and what is kept of a reply.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, DATE, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Method};
use serde_json::Value;
use tokio::time::Sleep;

use super::transport::{Request, Response, TransportFailure};
use super::{Call, Delivery, Observation, Probe};
use payrun_domain::money::{Amount, Currency};
use payrun_domain::time::Timestamp;

/// The most of a reply that is kept as evidence, in bytes.
pub(super) const EVIDENCE_MAX: usize = 16 * 1024;

/// How long a probe may take in all.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_secs(20);

/// A look at a gateway, given up when it takes too long.
pub(super) async fn probe_in_time(
    base: &str,
    look: impl Future<Output = Vec<Probe>>,
) -> Vec<Probe> {
    let late = Probe {
        step: "reach",
        found: Err(format!("{base}: no answer within 20 s")),
    };
    tokio::time::timeout(PROBE_TIMEOUT, look)
        .await
        .unwrap_or_else(|_| vec![late])
}

/// A future's value, or nothing if the deadline comes first.
pub(super) async fn before<T>(
    deadline: Pin<&mut Sleep>,
    future: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        value = future => Some(value),
        () = deadline => None,
    }
}

/// How long something may take that is had before a call: a little less than the call, so that its
/// failure is heard by all who wait.
pub(super) fn beforehand(within: Duration) -> Duration {
    within.saturating_sub(within / 10)
}

/// What a failure of the transport says of a call.
pub(super) fn of_failure(failure: TransportFailure) -> Observation {
    match failure {
        TransportFailure::NotSent(why) => Observation::of(Delivery::NotSent(why)),
        TransportFailure::Unreachable { how, why } => {
            Observation::of(Delivery::Unreachable(how, why))
        }
        TransportFailure::Silent => Observation::of(Delivery::TimedOut),
        TransportFailure::Lost(why) => Observation::of(Delivery::Lost(why)),
        TransportFailure::Broken { status, why } => Observation {
            http: Some(status),
            ..Observation::of(Delivery::Unreadable(why))
        },
    }
}

/// `Retry-After` in whole seconds; a date is not read, since it would have to be trusted against
/// our clock.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
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

/// Scheme and host without a path. Plain HTTP is for a gateway on this machine only: what is signed
/// is not secret there.
pub(super) fn read_base(text: &str) -> Option<String> {
    let url = reqwest::Url::parse(text).ok()?;
    let host = url.host_str()?;
    let local = matches!(host, "localhost" | "[::1]") || host.starts_with("127.");
    let scheme_fits = url.scheme() == "https" || (url.scheme() == "http" && local);
    let bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty();
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

/// A reply as it is kept: at most [`EVIDENCE_MAX`] bytes, with the text values of these fields
/// masked, in JSON, in a form and in an address. It works on the text, so that a body that is cut
/// off is masked too. A field is named by how it ends: `openid` masks `sp_openid` as well.
pub(super) fn evidence(body: &[u8], masked: &[&str]) -> String {
    bounded(
        without_values(&body[..body.len().min(EVIDENCE_MAX)], masked),
        EVIDENCE_MAX,
    )
}

/// A text without the values of these fields.
pub(super) fn without_values(body: &[u8], masked: &[&str]) -> String {
    let text = String::from_utf8_lossy(body).into_owned();
    let text = masked
        .iter()
        .fold(text, |text, field| mask(&text, &format!("{field}\"")));
    mask_pairs(&text, masked)
}

/// Replaces the value in every `name=value` whose name, percent-encoded or not, ends so. In a form
/// a value ends with `&`, inside JSON with the string it stands in.
fn mask_pairs(text: &str, masked: &[&str]) -> String {
    let in_json = text.trim_start().starts_with(['{', '[']);
    let ends_value = |c: char| {
        matches!(c, '&' | '\r' | '\n') || (in_json && matches!(c, '"' | '\\' | ' ' | '#'))
    };
    let ends_name = |c: char| matches!(c, '&' | '?' | ';' | ',' | '"' | '=' | ' ' | '\r' | '\n');
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('=') {
        let (before, value) = (&rest[..at], &rest[at + 1..]);
        kept.push_str(before);
        kept.push('=');
        let name = before.rsplit(ends_name).next().unwrap_or_default();
        let name = percent_decoded(name).to_ascii_lowercase();
        if masked
            .iter()
            .any(|field| name.ends_with(&field.to_ascii_lowercase()))
        {
            kept.push_str("***");
            rest = &value[value.find(ends_value).unwrap_or(value.len())..];
        } else {
            rest = value;
        }
    }
    kept.push_str(rest);
    kept
}

/// A text with its `%xx` read; what is none stays as it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = (*first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
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
        let end = (0..=max)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// A request with these headers, none of which prints, and those every gateway gets.
pub(super) fn request(
    method: Method,
    target: &str,
    body: Bytes,
    headers: &[(&str, &str)],
) -> Result<Request, String> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = target
        .parse()
        .map_err(|_| format!("{target:?} is no path"))?;
    let map = request.headers_mut();
    map.insert(ACCEPT, HeaderValue::from_static("application/json"));
    map.insert(
        USER_AGENT,
        HeaderValue::from_static(concat!("payrun/", env!("CARGO_PKG_VERSION"))),
    );
    for (name, value) in headers {
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| format!("what goes into {name} does not fit a header"))?;
        value.set_sensitive(true);
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("{name:?} is no name of a header"))?;
        map.insert(name, value);
    }
    Ok(request)
}

/// A text of a call's input; an empty one counts as absent.
pub(super) fn text<'a>(call: &'a Call, field: &str) -> Option<&'a str> {
    call.input
        .get(field)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
}

/// A text of a call's input that must be there.
pub(super) fn required<'a>(call: &'a Call, field: &str) -> Result<&'a str, String> {
    text(call, field).ok_or_else(|| format!("the call has no {field}"))
}

/// An amount as most gateways write it: decimal text in main units, and a currency.
pub(super) fn decimal_amount(value: &str, currency: &str) -> Result<Amount, String> {
    let currency = Currency::parse(currency).map_err(|error| error.to_string())?;
    Amount::of_gateway(value, currency).map_err(|error| error.to_string())
}

/// What every reply shows, whatever it is worth.
pub(super) fn with_reply(delivery: Delivery, response: &Response, masked: &[&str]) -> Observation {
    Observation {
        http: Some(response.status().as_u16()),
        retry_after: retry_after(response.headers()),
        evidence: evidence(response.body(), masked),
        ..Observation::of(delivery)
    }
}

/// What a gateway says of a refusal: the field it names and its words, each of a bounded length;
/// none where it says nothing.
pub(super) fn message<const N: usize>(parts: [Option<String>; N]) -> Option<String> {
    let said = parts
        .into_iter()
        .flatten()
        .filter(|text| !text.trim().is_empty());
    let said: Vec<String> = said
        .map(|text| bounded(text.replace(char::is_control, " "), 200))
        .collect();
    (!said.is_empty()).then(|| said.join(": "))
}

/// A reply that is not of the documented shape: it cannot be read, except that a 202 says by itself
/// that the order was taken.
pub(super) fn unread(seen: &mut Observation, why: String) {
    seen.delivery = if seen.http == Some(202) {
        Delivery::Replied
    } else {
        Delivery::Unreadable(why)
    };
}

/// A text header of a reply or a notification.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What a look at a gateway found: its host, its clock beside ours, and what it said to a query for
/// no order.
pub(super) fn probes(
    base: &str,
    sent: Result<Response, TransportFailure>,
    now: Timestamp,
    accepted: impl FnOnce(&Response) -> Result<String, String>,
) -> Vec<Probe> {
    match sent {
        Err(failure) => vec![Probe {
            step: "reach",
            found: Err(format!("{base}: {failure}")),
        }],
        Ok(response) => vec![
            Probe {
                step: "reach",
                found: Ok(base.to_owned()),
            },
            Probe {
                step: "clock",
                found: clock_difference(response.headers(), now),
            },
            Probe {
                step: "credentials",
                found: accepted(&response),
            },
        ],
    }
}

/// How far our clock is from the gateway's. How far it may be is documented for WeChat Pay only; a
/// minute is suspicious.
fn clock_difference(headers: &HeaderMap, now: Timestamp) -> Result<String, String> {
    let theirs = header(headers, DATE.as_str())
        .and_then(|date| chrono::DateTime::parse_from_rfc2822(date).ok());
    let Some(theirs) = theirs else {
        return Ok("not compared: the gateway sent no Date header".into());
    };
    let apart = now.seconds() - theirs.timestamp();
    match apart.unsigned_abs() {
        0..=60 => Ok(format!("{apart} s from the gateway's")),
        _ => Err(format!("{apart} s from the gateway's: set the clock")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_a_person_is_masked_in_a_form_however_its_name_is_written() {
        for name in [
            "openid",
            "%6fpenid",
            "%6F%70enid",
            "sub_openid",
            "OpenID",
            "op%65nid",
        ] {
            let form = format!("status=PAID&{name}=o-secret%2F1&amount=1.00&{name}=o-secret");
            let kept = evidence(form.as_bytes(), &["openid"]);
            assert_eq!(
                kept,
                format!("status=PAID&{name}=***&amount=1.00&{name}=***")
            );
        }
        assert_eq!(evidence(b"openid=o-secret", &["openid"]), "openid=***");
        assert_eq!(
            evidence(b"a=b==&openid=o-secret with more&c", &["openid"]),
            "a=b==&openid=***&c"
        );
        assert_eq!(evidence(b"openid=o-sec%", &["openid"]), "openid=***");
    }

    #[test]
    fn an_address_inside_json_is_masked_and_the_json_stays_whole() {
        let body =
            br#"{"url":"https://example.com/?openid=o-secret&a=1","openid":"o-secret","n":"a=b"}"#;
        let kept = evidence(body, &["openid"]);
        assert_eq!(
            kept,
            r#"{"url":"https://example.com/?openid=***&a=1","openid":"***","n":"a=b"}"#
        );
    }

    #[test]
    fn a_202_is_no_unreadable_reply_and_any_other_is() {
        for (http, delivery) in [
            (202, Delivery::Replied),
            (200, Delivery::Unreadable("why".into())),
        ] {
            let mut seen = Observation {
                http: Some(http),
                ..Observation::of(Delivery::Replied)
            };
            unread(&mut seen, "why".into());
            assert_eq!(seen.delivery, delivery);
        }
    }

    proptest::proptest! {
        #[test]
        fn a_masked_value_is_in_no_evidence_wherever_the_body_is_cut(before in "[a-z=&%]{0,40}", cut in 0_usize..80) {
            let form = format!("{before}&openid=SECRETSECRET&x=1");
            let kept = evidence(&form.as_bytes()[..cut.min(form.len())], &["openid"]);
            proptest::prop_assert!(!kept.contains('S'), "{}", kept);
        }
    }
}
