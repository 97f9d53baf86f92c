//! The fields of a HipoPay account in `payrun.yaml` (gateways.md section 5).

use secrecy::{ExposeSecret, SecretString};

use crate::gateway::hipopay::sign::Encoding;
use crate::gateway::keys::{SigningKey, VerifyingKey};
use crate::yaml::fields::{FieldSpec, Shape, text_of};
use crate::yaml::node::Node;

use super::lane::{CONCURRENCY, CUSTOMS, FUNDS_INTERVAL, QUERY_INTERVAL, RATE, REFUND_INTERVAL, TIMEOUT};
use super::load::Reading;
use super::secrets;

/// A HipoPay account. Its replies are not signed: what vouches for them is TLS alone.
#[derive(Debug, Clone)]
pub struct HipopayConfig {
    /// Scheme and host. The sandbox's is published, the production host is not, so there is no default.
    pub base_url: String,
    /// `MerchantNO`.
    pub merchant_no: String,
    /// The RSA key that signs our requests, as PEM.
    pub merchant_key: SecretString,
    /// HipoPay's public key, as PEM: it verifies notifications.
    pub platform_public_key: String,
    /// The `Version` header.
    pub version: String,
    /// Where HipoPay sends notifications.
    pub notify_url: String,
    /// Which characters the string to sign leaves as they are.
    pub encoding: Encoding,
}

/// The fields of an account.
pub static FIELDS: [FieldSpec; 15] = [
    FieldSpec::required("kind", Shape::Word(&["hipopay"]), "The kind of gateway: hipopay is HipoPay."),
    FieldSpec::required(
        "base_url",
        Shape::Text,
        "Scheme and host; ask HipoPay, since the production host is not public.",
    ),
    FieldSpec::required("merchant_no", Shape::Text, "The merchant number, MerchantNO."),
    FieldSpec::required("merchant_key", Shape::Secret, "The RSA private key that signs our requests, as PEM."),
    FieldSpec::required("platform_public_key", Shape::Secret, "HipoPay's public key for notifications, as PEM."),
    FieldSpec::optional("version", Shape::Text, "The Version header; 1.0 if not given."),
    FieldSpec::required("notify_url", Shape::Text, "Where the gateway sends notifications: https, without a query."),
    FieldSpec::optional(
        "encoding",
        Shape::Word(&Encoding::WORDS),
        "What the string to sign leaves of ~ * ! ' ( ): rfc3986 (only ~) if not given. HipoPay's own SDKs disagree.",
    ),
    CUSTOMS,
    RATE,
    CONCURRENCY,
    TIMEOUT,
    QUERY_INTERVAL,
    REFUND_INTERVAL,
    FUNDS_INTERVAL,
];

impl Reading<'_> {
    pub(super) fn hipopay(&mut self, node: &Node) -> Option<HipopayConfig> {
        let base_url = self.base_url(node, None);
        let merchant_no = self.bounded(node, "merchant_no", 64);
        let merchant_key = self.rsa_key(node, "merchant_key");
        let platform_public_key = self.rsa_public_key(node, "platform_public_key");
        let version = self.version(node);
        let notify_url = self.notify_url(node);
        let encoding = text_of(node, "encoding").and_then(Encoding::parse).unwrap_or(Encoding::Rfc3986);
        Some(HipopayConfig {
            base_url: base_url?,
            merchant_no: merchant_no?,
            merchant_key: merchant_key?,
            platform_public_key: platform_public_key?,
            version: version?,
            notify_url: notify_url?,
            encoding,
        })
    }

    fn version(&mut self, node: &Node) -> Option<String> {
        let Some(value) = node.get("version") else { return Some("1.0".to_owned()) };
        let text = value.text()?;
        if (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Some(text.to_owned());
        }
        self.refuse(value.at, "version is a number such as 1.0", "");
        None
    }

    fn rsa_key(&mut self, node: &Node, name: &str) -> Option<SecretString> {
        let value = node.get(name)?;
        let key = self.secret(value)?;
        match SigningKey::from_pem(&key) {
            Ok(_) => Some(key),
            Err(error) => {
                self.refuse(value.at, format!("{name} ({}): {error}", secrets::origin(value)), "");
                None
            }
        }
    }

    fn rsa_public_key(&mut self, node: &Node, name: &str) -> Option<String> {
        let value = node.get(name)?;
        let pem = self.secret(value)?.expose_secret().to_owned();
        match VerifyingKey::from_pem(&pem) {
            Ok(_) => Some(pem),
            Err(error) => {
                self.refuse(value.at, format!("{name} ({}): {error}", secrets::origin(value)), "");
                None
            }
        }
    }
}
