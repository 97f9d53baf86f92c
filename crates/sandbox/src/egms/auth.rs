//! Who is let in, and the signature of EGMS as its Signature page has it (docs/gateways/egms.md,
//! "Authentication and signatures"): one key signs requests, replies and notifications.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256, Sha512};

use super::{EgmsRefusal, FakeEgms};
use crate::shared::keys::nonce;
use payrun_domain::time::Timestamp;
use payrun_gateway::egms::account::SignType;
use payrun_gateway::transport::Request;

/// What a signature covers, beside the key.
#[derive(Debug, Clone, Copy)]
pub struct SignedParts<'a> {
    /// Of a reply, that of its request.
    pub method: &'a str,
    /// Path with query, without the host; of a reply, that of its request.
    pub target: &'a str,
    /// The `DateTime` header.
    pub date_time: &'a str,
    /// The `MsgID` header.
    pub msg_id: &'a str,
    /// As it is on the wire; empty if there is none.
    pub body: &'a [u8],
}

/// The key that both sides have.
#[derive(Clone)]
pub struct SandboxSignKey {
    key: SecretString,
    sign_type: SignType,
}

impl SandboxSignKey {
    /// A key for this digest.
    pub const fn new(key: SecretString, sign_type: SignType) -> Self {
        Self { key, sign_type }
    }

    /// The word of the `SignType` header.
    pub(super) const fn word(&self) -> &'static str {
        word_of(self.sign_type)
    }

    /// The signature of a message, in lower-case hex.
    pub fn sign(&self, message: SignedParts<'_>) -> Option<String> {
        let key = self.key.expose_secret().as_bytes();
        let text = self.text(message);
        Some(match self.sign_type {
            SignType::Sha256 => hex::encode(Sha256::digest(&text)),
            SignType::Sha512 => hex::encode(Sha512::digest(&text)),
            SignType::HmacSha256 => {
                let mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
                hex::encode(mac.chain_update(&text).finalize().into_bytes())
            }
            SignType::HmacSha512 => {
                let mac = Hmac::<Sha512>::new_from_slice(key).ok()?;
                hex::encode(mac.chain_update(&text).finalize().into_bytes())
            }
        })
    }

    /// Whether this is the signature of a message, in either case.
    pub(super) fn verifies(&self, message: SignedParts<'_>, signature: &str) -> bool {
        self.sign(message)
            .is_some_and(|right| right.eq_ignore_ascii_case(signature))
    }

    /// The parts, joined by single line feeds and without one at the end; a message without a body
    /// ends with its `MsgID`.
    fn text(&self, message: SignedParts<'_>) -> Vec<u8> {
        let mut parts = vec![
            message.method.as_bytes(),
            message.target.as_bytes(),
            message.date_time.as_bytes(),
            self.key.expose_secret().as_bytes(),
            message.msg_id.as_bytes(),
        ];
        if !message.body.is_empty() {
            parts.push(message.body);
        }
        parts.join(&b'\n')
    }
}

/// The words of the `SignType` header (docs/gateways/egms.md, "Headers"). The client's own are not
/// used: a word misspelt there would pass here.
pub(super) const fn word_of(sign_type: SignType) -> &'static str {
    match sign_type {
        SignType::Sha256 => "SHA256",
        SignType::Sha512 => "SHA512",
        SignType::HmacSha256 => "HMAC-SHA256",
        SignType::HmacSha512 => "HMAC-SHA512",
    }
}

impl fmt::Debug for SandboxSignKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignKey({})", self.word())
    }
}

impl FakeEgms {
    /// Lets a request in or says why not (docs/gateways/egms.md, "Headers").
    pub(super) fn admit(&self, request: &Request, target: &str) -> Result<(), EgmsRefusal> {
        let header = |name| {
            request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let (date_time, msg_id) = (header("datetime"), header("msgid"));
        if !header("content-type").starts_with("application/json") {
            return Err(EgmsRefusal {
                code: "V0005",
                reason: "missing_content_type",
            });
        }
        if header("signtype") != self.key.word() {
            return Err(EgmsRefusal {
                code: "V0010",
                reason: "wrong_sign_type",
            });
        }
        if chrono::DateTime::parse_from_rfc3339(date_time).is_err() {
            return Err(EgmsRefusal {
                code: "V0002",
                reason: "wrong_date_time",
            });
        }
        if msg_id.is_empty() || msg_id.len() > 32 {
            return Err(EgmsRefusal {
                code: "V0002",
                reason: "wrong_msg_id",
            });
        }
        let message = SignedParts {
            method: request.method().as_str(),
            target,
            date_time,
            msg_id,
            body: request.body(),
        };
        if self.key.verifies(message, header("authorization")) {
            Ok(())
        } else {
            Err(EgmsRefusal {
                code: "V0010",
                reason: "wrong_signature",
            })
        }
    }

    /// Signs a reply or a notification into its headers.
    pub(super) fn sign_into(
        &self,
        method: &str,
        target: &str,
        body: &[u8],
        at: Timestamp,
        headers: &mut HeaderMap,
    ) -> Option<()> {
        let (date_time, msg_id) = (at.to_string(), nonce()?);
        let message = SignedParts {
            method,
            target,
            date_time: &date_time,
            msg_id: &msg_id,
            body,
        };
        let signature = self.key.sign(message)?;
        let fields = [
            ("datetime", date_time.as_str()),
            ("msgid", msg_id.as_str()),
            ("signtype", self.key.word()),
            ("authorization", signature.as_str()),
        ];
        for (name, value) in fields {
            headers.insert(name, HeaderValue::from_str(value).ok()?);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const E1_BODY: &[u8] = br#"{"merchantTransInfo":{"merchantTransID":"T20240305175317143","merchantTransTime":"2024-03-05T17:53:17+08:00"},"paymentMethod":{"type":"card","card":{"posEntryMode":"manual","pinFlag":false,"termReadability":"5","cardInfo":{"cardNumber":"4761340000000043"}}},"transAmount":{"currency":"HKD","value":"1.00"},"autoCapture":false,"pspInfo":{"mcc":"5499","sponsorCode":"441378","merchantID":"202106305812001","terminalID":"00000001","merchantName":"Test","storeID":"202106305812001","storeName":"Test Store","street":"Test street","city":"MYS","postCode":"202000","nation":"MYS"}}"#;

    #[test]
    fn vector_e1_the_vendors_published_post_comes_out() {
        let key = SandboxSignKey::new("NeTQlv6okyBmbelQP1RujxYmnp0S4GtA".into(), SignType::Sha256);
        let message = SignedParts {
            method: "POST",
            target: "/g2/v0/payment/acq/10130014/evo.offline.payment",
            date_time: "20240305175825+0800",
            msg_id: "M20240305175825926",
            body: E1_BODY,
        };
        let published = "c0696645edb9f8413dcd458892cbcf9143ecd3fbde8a16c4d46d2f95e65ee4b2";
        assert!(key.verifies(message, published));
        assert!(key.verifies(message, &published.to_uppercase()));
        assert!(!key.verifies(message, &published[1..]) && !key.verifies(message, ""));
    }

    #[test]
    fn the_words_of_the_header_are_those_of_its_page() {
        let page = include_str!("../../../../docs/gateways/egms.md");
        let row = page.lines().find(|line| line.starts_with("| `SignType`"));
        let listed: Vec<&str> = row
            .unwrap_or_default()
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .filter(|word| word.contains("SHA"))
            .collect();
        let words = [
            SignType::Sha256,
            SignType::Sha512,
            SignType::HmacSha256,
            SignType::HmacSha512,
        ];
        assert_eq!(words.map(word_of).to_vec(), listed);
    }

    #[test]
    fn vector_e2_a_get_ends_with_its_msg_id() {
        let message = SignedParts {
            method: "GET",
            target: "/g2/v1/payment/mer/S024116/payment?merchantTransID=TX001",
            date_time: "2024-01-01T00:00:00+08:00",
            msg_id: "aabbccdd11223344aabbccdd11223344",
            body: b"",
        };
        for (sign_type, expected) in [
            (
                SignType::Sha256,
                "6d889ac89a1da47684cd83fee1fd7fdac3eb04ba5a37937e9a336a470e91a3ae",
            ),
            (
                SignType::HmacSha256,
                "70d50b5c26986bc470c064a67caeb387f61e0e75c06c5e6f1cea37a44ac91b6c",
            ),
        ] {
            let key = SandboxSignKey::new("64b59e70e15445196b1b5d2935f4e1bc".into(), sign_type);
            assert_eq!(key.sign(message).as_deref(), Some(expected));
        }
    }
}
