//! Who is let in: the checks every request passes before anyone looks at what it wants
//! (docs/gateways/wechat.md, "Authentication and signatures"), and the strings that WeChat Pay's
//! signatures cover, as its pages have them.

use std::sync::{Mutex, PoisonError, RwLock};

use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};

use crate::shared::keys::MerchantVerifyingKey;
use crate::wechat::Refusal;
use crate::wechat::nonces::{NonceCheck, Nonces};
use payrun_domain::time::Timestamp;
use payrun_gateway::transport::Request;

/// The scheme's name, in `Authorization` and in `Wechatpay-Signature-Type`.
pub const SCHEME: &str = "WECHATPAY2-SHA256-RSA2048";

/// How far a request's timestamp may be from the sandbox's clock, in seconds.
const WINDOW: i64 = 300;

/// What the sandbox knows of its merchant.
#[derive(Debug)]
pub(crate) struct MerchantAuth {
    pub mchid: String,
    /// Its keys by the serials of their certificates.
    pub keys: RwLock<Vec<(String, MerchantVerifyingKey)>>,
    pub nonces: Mutex<Nonces>,
}

impl MerchantAuth {
    /// Lets a request in or says why not.
    pub(crate) fn admit(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        check_headers(request)?;
        let authorization = header(request, AUTHORIZATION.as_str());
        let Some(authorization) = authorization else {
            return Err(refused("missing_authorization"));
        };
        let signed = AuthorizationHeader::parse(authorization)
            .ok_or_else(|| refused("unreadable_authorization"))?;
        if signed.mchid != self.mchid {
            return Err(refused("wrong_mchid"));
        }
        let keys = self
            .keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let (_, key) = keys
            .iter()
            .find(|(serial, _)| serial == signed.serial_no)
            .ok_or(refused("wrong_serial"))?;
        let seconds: i64 = signed
            .timestamp
            .parse()
            .map_err(|_| refused("unreadable_authorization"))?;
        if now.seconds().saturating_sub(seconds).saturating_abs() > WINDOW {
            return Err(refused("stale_timestamp"));
        }
        let target = request
            .uri()
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let message = request_message(
            request.method().as_str(),
            target,
            signed.timestamp,
            signed.nonce_str,
            request.body(),
        );
        if !key.verifies(&message, signed.signature) {
            return Err(refused("wrong_signature"));
        }
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        match nonces.note(signed.nonce_str, seconds, now.seconds(), WINDOW) {
            NonceCheck::New => Ok(()),
            NonceCheck::Repeated => Err(refused("repeated_nonce")),
            NonceCheck::Full => Err(Refusal {
                http: 429,
                code: "FREQUENCY_LIMITED",
                reason: "too_many_requests",
            }),
        }
    }
}

/// What the signature of a request covers: method, path with query, time, nonce and body, each
/// ended by a line feed.
pub fn request_message(
    method: &str,
    target: &str,
    timestamp: &str,
    nonce: &str,
    body: &[u8],
) -> Vec<u8> {
    lines(&[
        method.as_bytes(),
        target.as_bytes(),
        timestamp.as_bytes(),
        nonce.as_bytes(),
        body,
    ])
}

/// What the signature of a reply or notification covers: time, nonce and body, each ended by a line
/// feed.
pub fn reply_message(timestamp: &str, nonce: &str, body: &[u8]) -> Vec<u8> {
    lines(&[timestamp.as_bytes(), nonce.as_bytes(), body])
}

fn lines(parts: &[&[u8]]) -> Vec<u8> {
    let mut message = Vec::new();
    for part in parts {
        message.extend_from_slice(part);
        message.push(b'\n');
    }
    message
}

fn check_headers(request: &Request) -> Result<(), Refusal> {
    let missing = |reason| Refusal {
        http: 400,
        code: "PARAM_ERROR",
        reason,
    };
    if header(request, USER_AGENT.as_str()).is_none_or(str::is_empty) {
        return Err(missing("missing_user_agent"));
    }
    let accept = header(request, ACCEPT.as_str()).unwrap_or_default();
    if !(accept.contains("application/json") || accept.contains("*/*")) {
        return Err(missing("missing_accept"));
    }
    let content_type = header(request, CONTENT_TYPE.as_str()).unwrap_or_default();
    if !request.body().is_empty() && !content_type.starts_with("application/json") {
        return Err(missing("missing_content_type"));
    }
    Ok(())
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    request
        .headers()
        .get(name)
        .and_then(|value| value.to_str().ok())
}

const fn refused(reason: &'static str) -> Refusal {
    Refusal {
        http: 401,
        code: "SIGN_ERROR",
        reason,
    }
}

/// The five items of the header, in whatever order they come.
struct AuthorizationHeader<'a> {
    mchid: &'a str,
    nonce_str: &'a str,
    timestamp: &'a str,
    serial_no: &'a str,
    signature: &'a str,
}

impl<'a> AuthorizationHeader<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let items = text.strip_prefix(SCHEME)?.strip_prefix(' ')?;
        let items: Vec<(&str, &str)> = items
            .split(',')
            .map(|item| {
                let (name, value) = item.trim().split_once('=')?;
                Some((name, value.strip_prefix('"')?.strip_suffix('"')?))
            })
            .collect::<Option<_>>()?;
        let one = |wanted: &str| {
            let mut found = items.iter().filter(|(name, _)| *name == wanted);
            let (_, value) = found.next()?;
            (found.next().is_none() && !value.is_empty()).then_some(*value)
        };
        let nonce_str = one("nonce_str").filter(|nonce| nonce.len() <= 32)?;
        (items.len() == 5).then_some(())?;
        Some(Self {
            mchid: one("mchid")?,
            nonce_str,
            timestamp: one("timestamp")?,
            serial_no: one("serial_no")?,
            signature: one("signature")?,
        })
    }
}

/// The `Authorization` header of the sandbox's merchant over this message, under this nonce.
#[cfg(test)]
pub(crate) fn authorization(
    merchant: &crate::wechat::account_keys::CertifiedKey,
    timestamp: &str,
    nonce: &str,
    message: &[u8],
) -> String {
    let signature = merchant.signing_key().unwrap().sign(message).unwrap();
    format!(
        "{SCHEME} mchid=\"1900000001\",serial_no=\"{}\",timestamp=\"{timestamp}\",nonce_str=\"{nonce}\",signature=\"{signature}\"",
        merchant.serial
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vector_w8_the_request_message_is_five_ended_lines() {
        assert_eq!(
            request_message(
                "GET",
                "/v3/global/certificates",
                "1624523846",
                "A1B2C3D4E5F6G7",
                b""
            ),
            b"GET\n/v3/global/certificates\n1624523846\nA1B2C3D4E5F6G7\n\n"
        );
        assert_eq!(
            reply_message("1624523846", "A1", b"{}"),
            b"1624523846\nA1\n{}\n"
        );
    }
}
