//! The fields of a WeChat Pay Global account in `payrun.yaml`.

use secrecy::{ExposeSecret, SecretString};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::domain::time::Timestamp;
use crate::gateway::wechat::platform::serial_hex;
use crate::gateway::wechat::sign::SigningKey;
use crate::yaml::fields::{FieldSpec, SECRET, Shape, is_true, text_of};
use crate::yaml::node::Node;

use super::lane::{CONCURRENCY, CUSTOMS, FUNDS_INTERVAL, QUERY_INTERVAL, RATE, REFUND_INTERVAL, TIMEOUT};
use super::load::Reading;
use super::{Platform, WechatConfig, WechatMode, secrets};

/// WeChat Pay Global's host for Hong Kong.
const BASE_URL: &str = "https://apihk.mch.weixin.qq.com";

static PLATFORM: [FieldSpec; 2] = [
    FieldSpec::required("public_key", Shape::Secret, "The platform's public key, as PEM."),
    FieldSpec::required("id", Shape::Text, "The key's id: PUB_KEY_ID_ and digits."),
];

/// The fields of an account.
pub static FIELDS: [FieldSpec; 23] = [
    FieldSpec::required("kind", Shape::Word(&["wechat"]), "The kind of gateway: wechat is WeChat Pay Global, APIv3."),
    FieldSpec::optional("base_url", Shape::Text, "Scheme and host; https://apihk.mch.weixin.qq.com if not given."),
    FieldSpec::required("mode", Shape::Word(&["common", "institutional"]), "Whose ids go into the requests."),
    FieldSpec::optional("mchid", Shape::Text, "The merchant id (mode common)."),
    FieldSpec::optional("appid", Shape::Text, "The app id bound to the merchant (mode common)."),
    FieldSpec::optional("sp_mchid", Shape::Text, "The institution's merchant id (mode institutional)."),
    FieldSpec::optional("sp_appid", Shape::Text, "The institution's app id (mode institutional)."),
    FieldSpec::optional("sub_mchid", Shape::Text, "The sub-merchant's id (mode institutional)."),
    FieldSpec::optional("sub_appid", Shape::Text, "The sub-merchant's app id (mode institutional, may be left out)."),
    FieldSpec::required("merchant_key", Shape::Secret, "The private key that signs our requests, as PEM."),
    FieldSpec::required("merchant_serial", Shape::Text, "The serial of the certificate that belongs to merchant_key."),
    FieldSpec::optional(
        "merchant_certificate",
        Shape::Fields(&SECRET),
        "That certificate as PEM, apiclient_cert.pem; then people hear of it before it expires.",
    ),
    FieldSpec::required("api_v3_key", Shape::Secret, "The 32-byte key of certificates and notifications."),
    FieldSpec::required(
        "platform",
        Shape::Either(&[Shape::Word(&["auto"]), Shape::Fields(&PLATFORM)]),
        "How replies are verified: auto downloads and refreshes certificates; or a fixed public key and its id.",
    ),
    FieldSpec::required("notify_url", Shape::Text, "Where the gateway sends notifications: https, without a query."),
    FieldSpec::optional(
        "settlements_by_sub_merchant",
        Shape::Boolean,
        "Whether settlements are asked for by sub_mchid, as ordinary service providers must; false if not given, as \
         merchants, institutions and banks must.",
    ),
    CUSTOMS,
    RATE,
    CONCURRENCY,
    TIMEOUT,
    QUERY_INTERVAL,
    REFUND_INTERVAL,
    FUNDS_INTERVAL,
];

/// Which ids each mode needs, and which it may have.
const COMMON: ([&str; 2], [&str; 0]) = (["mchid", "appid"], []);
const INSTITUTIONAL: ([&str; 3], [&str; 1]) = (["sp_mchid", "sp_appid", "sub_mchid"], ["sub_appid"]);

impl Reading<'_> {
    pub(super) fn wechat(&mut self, node: &Node) -> Option<WechatConfig> {
        let mode = self.mode(node);
        let merchant_key = self.merchant_key(node);
        let api_v3_key = self.api_v3_key(node);
        let platform = self.platform(node);
        let merchant_serial = self.bounded(node, "merchant_serial", 64);
        let certificate = node.get("merchant_certificate").and_then(|node| self.certificate(node));
        self.is_the_one(node, certificate.as_ref(), merchant_serial.as_deref());
        let notify_url = self.notify_url(node);
        let base_url = self.base_url(node, Some(BASE_URL));
        Some(WechatConfig {
            base_url: base_url?,
            mode: mode?,
            merchant_key: merchant_key?,
            merchant_serial: merchant_serial?,
            merchant_until: certificate.map(|(_, until)| until),
            api_v3_key: api_v3_key?,
            platform: platform?,
            notify_url: notify_url?,
            settlements_by_sub_merchant: is_true(node, "settlements_by_sub_merchant"),
        })
    }

    fn mode(&mut self, node: &Node) -> Option<WechatMode> {
        let mode = text_of(node, "mode")?;
        let (needed, others): (&[&str], &[&str]) = match mode {
            "common" => (&COMMON.0, &["sp_mchid", "sp_appid", "sub_mchid", "sub_appid"]),
            "institutional" => (&INSTITUTIONAL.0, &COMMON.0),
            _ => return None,
        };
        for name in needed.iter().filter(|name| node.get(name).is_none()) {
            let at = node.get("mode").map_or(node.at, |mode| mode.at);
            self.refuse(at, format!("mode {mode} needs the field \"{name}\""), "");
        }
        for entry in node.entries().iter().filter(|entry| others.contains(&entry.key.as_str())) {
            let message = format!("the field \"{}\" belongs to the other mode, not to {mode}", entry.key);
            self.refuse(entry.key_at, message, &format!("mode {mode} takes {}", needed.join(", ")));
        }
        let mut id = |name| self.bounded(node, name, 32);
        if mode == "common" {
            let (mchid, appid) = (id("mchid"), id("appid"));
            return Some(WechatMode::Common { mchid: mchid?, appid: appid? });
        }
        let (sp_mchid, sp_appid, sub_mchid) = (id("sp_mchid"), id("sp_appid"), id("sub_mchid"));
        let sub_appid = id(INSTITUTIONAL.1[0]);
        Some(WechatMode::Institutional { sp_mchid: sp_mchid?, sp_appid: sp_appid?, sub_mchid: sub_mchid?, sub_appid })
    }

    fn merchant_key(&mut self, node: &Node) -> Option<SecretString> {
        let value = node.get("merchant_key")?;
        let key = self.secret(value)?;
        if let Err(error) = SigningKey::from_pem(&key) {
            let source = secrets::origin(value);
            self.refuse(value.at, format!("merchant_key ({source}): {error}"), "it is the file apiclient_key.pem");
            return None;
        }
        Some(key)
    }

    /// The serial of a certificate, and until when it is good.
    fn certificate(&mut self, node: &Node) -> Option<(String, Timestamp)> {
        let pem = self.secret(node)?.expose_secret().to_owned();
        let read = |pem: &str| {
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
            let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
            let seconds = certificate.validity().not_after.timestamp();
            let until = Timestamp::from_millis(seconds.saturating_mul(1000));
            Some((serial_hex(certificate.tbs_certificate.raw_serial()), until))
        };
        let found = read(&pem);
        if found.is_none() {
            let source = secrets::origin(node);
            self.refuse(
                node.at,
                format!("merchant_certificate ({source}): this is no certificate"),
                "it is the file apiclient_cert.pem",
            );
        }
        found
    }

    /// Refuses a certificate of another serial.
    fn is_the_one(&mut self, node: &Node, certificate: Option<&(String, Timestamp)>, serial: Option<&str>) {
        let (Some((found, _)), Some(serial)) = (certificate, serial) else { return };
        if !found.eq_ignore_ascii_case(serial) {
            let at = node.get("merchant_certificate").map_or(node.at, |node| node.at);
            self.refuse(at, "merchant_certificate has another serial than merchant_serial says", "give the one in use");
        }
    }

    fn api_v3_key(&mut self, node: &Node) -> Option<SecretString> {
        let value = node.get("api_v3_key")?;
        let key = self.secret(value)?;
        let length = key.expose_secret().len();
        if length != 32 {
            let source = secrets::origin(value);
            self.refuse(value.at, format!("api_v3_key ({source}) has {length} bytes; it needs 32"), "");
            return None;
        }
        Some(key)
    }

    fn platform(&mut self, node: &Node) -> Option<Platform> {
        let value = node.get("platform")?;
        if value.scalar().is_some() {
            return (value.text() == Some("auto")).then_some(Platform::Auto);
        }
        let pem = value.get("public_key").and_then(|key| {
            let text = self.secret(key)?.expose_secret().to_owned();
            if text.contains("-----BEGIN PUBLIC KEY-----") {
                return Some(text);
            }
            self.refuse(
                key.at,
                "this is no public key",
                "a PEM that begins with -----BEGIN PUBLIC KEY----- is expected",
            );
            None
        });
        let id = value.get("id").and_then(|id| {
            let text = id.text()?;
            let digits = text.strip_prefix("PUB_KEY_ID_").filter(|rest| (1..=64).contains(&rest.len()));
            if digits.is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric())) {
                return Some(text.to_owned());
            }
            self.refuse(id.at, "the id of a public key is PUB_KEY_ID_ and digits", "");
            None
        });
        Some(Platform::PublicKey { pem: pem?, id: id? })
    }
}
