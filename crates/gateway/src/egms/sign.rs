//! The keyed digest of EGMS (docs/gateways/egms.md, "Authentication and signatures"): method, path
//! with query, `DateTime`, key, `MsgID` and raw body, joined by line feeds, none at the end; a
//! message without a body leaves out the last part and its line feed.
//!
//! A reply is signed with the *request's* method and path and its own `DateTime`, `MsgID` and body;
//! a notification with `POST` and the path of our own webhook, as EGMS was given it. Digests are
//! emitted in lower case and compared in constant time whatever their case (some of the vendor's
//! own code emits HMACs in upper case \[C\]).

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::account::SignType;

/// What a signature covers, beside the key.
#[derive(Debug, Clone, Copy)]
pub struct SignedMessage<'a> {
    /// Upper case.
    pub method: &'a str,
    /// Path and query, without the host.
    pub target: &'a str,
    /// The `DateTime` header, as text: what was sent is what is signed.
    pub date_time: &'a str,
    /// The `MsgID` header.
    pub msg_id: &'a str,
    /// The raw body; empty if there is none.
    pub body: &'a [u8],
}

/// A key that signs and verifies.
#[derive(Clone)]
pub struct SignKey {
    key: SecretString,
    sign_type: SignType,
}

impl SignKey {
    /// A key of this type.
    pub const fn new(key: SecretString, sign_type: SignType) -> Self {
        Self { key, sign_type }
    }

    /// Which digest it makes.
    pub const fn sign_type(&self) -> SignType {
        self.sign_type
    }

    /// The signature of a message: hex, lower case.
    pub fn sign(&self, message: SignedMessage<'_>) -> String {
        let SignedMessage {
            method,
            target,
            date_time,
            msg_id,
            body,
        } = message;
        #[cfg(feature = "mutation")]
        let (date_time, msg_id) = crate::mutation::digest_parts(date_time, msg_id);
        let key = self.key.expose_secret();
        let mut text = Zeroizing::new(Vec::with_capacity(256 + body.len()));
        text.extend_from_slice(format!("{method}\n{target}\n{date_time}\n").as_bytes());
        text.extend_from_slice(key.as_bytes());
        text.extend_from_slice(format!("\n{msg_id}").as_bytes());
        if !body.is_empty() {
            text.push(b'\n');
            text.extend_from_slice(body);
        }
        let mac = |algorithm| {
            hex::encode(hmac::sign(&hmac::Key::new(algorithm, key.as_bytes()), &text).as_ref())
        };
        match self.sign_type {
            SignType::Sha256 => hex::encode(digest::digest(&digest::SHA256, &text).as_ref()),
            SignType::Sha512 => hex::encode(digest::digest(&digest::SHA512, &text).as_ref()),
            SignType::HmacSha256 => mac(hmac::HMAC_SHA256),
            SignType::HmacSha512 => mac(hmac::HMAC_SHA512),
        }
    }

    /// Whether a signature is that of a message. Takes as long for every wrong one of the same
    /// length.
    pub fn verifies(&self, message: SignedMessage<'_>, signature: &str) -> bool {
        let right = self.sign(message);
        verify_slices_are_equal(right.as_bytes(), signature.to_ascii_lowercase().as_bytes()).is_ok()
    }
}

impl fmt::Debug for SignKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignKey({})", self.sign_type.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const E1_BODY: &str = r#"{"merchantTransInfo":{"merchantTransID":"T20240305175317143","merchantTransTime":"2024-03-05T17:53:17+08:00"},"paymentMethod":{"type":"card","card":{"posEntryMode":"manual","pinFlag":false,"termReadability":"5","cardInfo":{"cardNumber":"4761340000000043"}}},"transAmount":{"currency":"HKD","value":"1.00"},"autoCapture":false,"pspInfo":{"mcc":"5499","sponsorCode":"441378","merchantID":"202106305812001","terminalID":"00000001","merchantName":"Test","storeID":"202106305812001","storeName":"Test Store","street":"Test street","city":"MYS","postCode":"202000","nation":"MYS"}}"#;
    const E1: &str = "c0696645edb9f8413dcd458892cbcf9143ecd3fbde8a16c4d46d2f95e65ee4b2";
    const E2_HMAC: &str = "70d50b5c26986bc470c064a67caeb387f61e0e75c06c5e6f1cea37a44ac91b6c";

    fn e1(body: &str) -> SignedMessage<'_> {
        SignedMessage {
            method: "POST",
            target: "/g2/v0/payment/acq/10130014/evo.offline.payment",
            date_time: "20240305175825+0800",
            msg_id: "M20240305175825926",
            body: body.as_bytes(),
        }
    }

    const E2: SignedMessage<'_> = SignedMessage {
        method: "GET",
        target: "/g2/v1/payment/mer/S024116/payment?merchantTransID=TX001",
        date_time: "2024-01-01T00:00:00+08:00",
        msg_id: "aabbccdd11223344aabbccdd11223344",
        body: b"",
    };

    fn key(sign_type: SignType) -> SignKey {
        SignKey::new("64b59e70e15445196b1b5d2935f4e1bc".into(), sign_type)
    }

    #[test]
    fn vector_e1_the_vendors_published_post_comes_out() {
        let key = SignKey::new("NeTQlv6okyBmbelQP1RujxYmnp0S4GtA".into(), SignType::Sha256);
        assert_eq!(key.sign(e1(E1_BODY)), E1);
        assert!(key.verifies(e1(E1_BODY), E1));
        assert!(!key.verifies(e1(&E1_BODY.replace("1.00", "1.01")), E1));
    }

    #[test]
    fn vector_e2_a_get_leaves_the_body_and_its_line_feed_out() {
        let expected = "6d889ac89a1da47684cd83fee1fd7fdac3eb04ba5a37937e9a336a470e91a3ae";
        assert_eq!(key(SignType::Sha256).sign(E2), expected);
        assert_eq!(key(SignType::HmacSha256).sign(E2), E2_HMAC);
    }

    #[test]
    fn signatures_are_compared_whatever_their_case_and_length() {
        let key = key(SignType::HmacSha256);
        assert!(key.verifies(E2, &E2_HMAC.to_ascii_uppercase()));
        for wrong in [
            "",
            "7",
            &E2_HMAC[1..],
            &format!("{E2_HMAC}0"),
            &E2_HMAC.replace('7', "8"),
            "签名",
        ] {
            assert!(!key.verifies(E2, wrong), "{wrong}");
        }
        assert!(!format!("{key:?}").contains("64b5"));
    }

    #[test]
    fn the_long_digests_have_128_digits_and_each_word_leads_back() {
        for word in SignType::WORDS {
            let sign_type = SignType::parse(word).unwrap();
            let length = if word.ends_with("512") { 128 } else { 64 };
            assert_eq!(
                (sign_type.as_str(), key(sign_type).sign(E2).len()),
                (word, length)
            );
        }
        assert_eq!(SignType::parse("SM2"), None);
    }
}
