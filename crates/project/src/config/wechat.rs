//! The fields of a WeChat Pay Global account in `payrun.yaml`.

use secrecy::{ExposeSecret, SecretString};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use payrun_domain::time::Timestamp;
use payrun_gateway::key_check;
use payrun_gateway::wechat::account::{PUBLIC_KEY_PREFIX, serial_hex};
use payrun_yaml::fields::{FieldSpec, SECRET, ValueShape, is_true, text_of};
use payrun_yaml::node::{Value, YamlNode};

use super::lane::{
    BURST, CONCURRENCY, CUSTOMS, FUNDS_INTERVAL, QUERY_INTERVAL, RATE, REFUND_INTERVAL, STOP_AFTER,
    TIMEOUT, WITHDRAW_AT_ONCE,
};
use super::load::FileContext;
use super::ownership::{OTHERS, OURS};
use super::{MerchantKey, Platform, PublicKey, WechatConfig, WechatMode, secrets};

/// How many platform keys may be listed.
const PLATFORM_MAX: usize = 8;

/// WeChat Pay Global's host for Hong Kong.
const BASE_URL: &str = "https://apihk.mch.weixin.qq.com";

static PUBLIC_KEY: [FieldSpec; 2] = [
    FieldSpec::required(
        "public_key",
        ValueShape::Secret,
        "The platform's public key, as PEM.",
    ),
    FieldSpec::required(
        "id",
        ValueShape::Text,
        "The key's id: PUB_KEY_ID_ and digits.",
    ),
];

static PLATFORM: [ValueShape; 2] = [ValueShape::Word(&["auto"]), ValueShape::Fields(&PUBLIC_KEY)];

static MERCHANT_KEY: [FieldSpec; 4] = [
    FieldSpec::required(
        "key",
        ValueShape::Secret,
        "The private key that signs our requests, as PEM.",
    ),
    FieldSpec::required(
        "serial",
        ValueShape::Text,
        "The serial of the certificate that belongs to it.",
    ),
    FieldSpec::optional(
        "certificate",
        ValueShape::Fields(&SECRET),
        "That certificate as PEM, apiclient_cert.pem.",
    ),
    FieldSpec::optional(
        "from",
        ValueShape::Text,
        "From when on it is used, such as 2026-12-01T10:00:00+08:00; the first key has none, every other needs one.",
    ),
];

/// The fields of an account.
pub static FIELDS: [FieldSpec; 28] = [
    FieldSpec::required(
        "kind",
        ValueShape::Word(&["wechat"]),
        "The kind of gateway: wechat is WeChat Pay Global, APIv3.",
    ),
    FieldSpec::optional(
        "base_url",
        ValueShape::Text,
        "Scheme and host; https://apihk.mch.weixin.qq.com if not given.",
    ),
    FieldSpec::required(
        "mode",
        ValueShape::Word(&["common", "institutional"]),
        "Whose ids go into the requests.",
    ),
    FieldSpec::optional("mchid", ValueShape::Text, "The merchant id (mode common)."),
    FieldSpec::optional(
        "appid",
        ValueShape::Text,
        "The app id bound to the merchant (mode common).",
    ),
    FieldSpec::optional(
        "sp_mchid",
        ValueShape::Text,
        "The institution's merchant id (mode institutional).",
    ),
    FieldSpec::optional(
        "sp_appid",
        ValueShape::Text,
        "The institution's app id (mode institutional).",
    ),
    FieldSpec::optional(
        "sub_mchid",
        ValueShape::Text,
        "The sub-merchant's id (mode institutional).",
    ),
    FieldSpec::optional(
        "sub_appid",
        ValueShape::Text,
        "The sub-merchant's app id (mode institutional, may be left out).",
    ),
    FieldSpec::required(
        "merchant_key",
        ValueShape::Either(&[
            ValueShape::Secret,
            ValueShape::List(&ValueShape::Fields(&MERCHANT_KEY)),
        ]),
        "The private key that signs our requests, as PEM; or a list of such keys, each with its serial and from when on it is used.",
    ),
    FieldSpec::optional(
        "merchant_serial",
        ValueShape::Text,
        "The serial of the certificate that belongs to merchant_key; where that is a list, each key has its own.",
    ),
    FieldSpec::optional(
        "merchant_certificate",
        ValueShape::Fields(&SECRET),
        "That certificate as PEM, apiclient_cert.pem; then people hear of it before it expires.",
    ),
    FieldSpec::required(
        "api_v3_key",
        ValueShape::Secrets,
        "The 32-byte key of certificates and notifications; a list [new, old] opens what any of them was used for.",
    ),
    FieldSpec::required(
        "platform",
        ValueShape::Either(&[
            ValueShape::Word(&["auto"]),
            ValueShape::Fields(&PUBLIC_KEY),
            ValueShape::List(&ValueShape::Either(&PLATFORM)),
        ]),
        "By what replies and notifications are verified: auto downloads and refreshes certificates; a fixed public key and its id; \
         or a list of these, of which any will do. Requests name the first public key.",
    ),
    FieldSpec::required(
        "notify_url",
        ValueShape::Text,
        "Where the gateway sends notifications: https, without a query.",
    ),
    FieldSpec::optional(
        "settlements_by_sub_merchant",
        ValueShape::Boolean,
        "Whether settlements are asked for by sub_mchid, as ordinary service providers must; false if not given, as \
         merchants, institutions and banks must.",
    ),
    CUSTOMS,
    OURS,
    OTHERS,
    RATE,
    CONCURRENCY,
    TIMEOUT,
    QUERY_INTERVAL,
    REFUND_INTERVAL,
    FUNDS_INTERVAL,
    BURST,
    STOP_AFTER,
    WITHDRAW_AT_ONCE,
];

/// Which ids each mode needs, and which it may have.
const COMMON: ([&str; 2], [&str; 0]) = (["mchid", "appid"], []);
const INSTITUTIONAL: ([&str; 3], [&str; 1]) =
    (["sp_mchid", "sp_appid", "sub_mchid"], ["sub_appid"]);

impl FileContext<'_> {
    pub(super) fn wechat(&mut self, node: &YamlNode) -> Option<WechatConfig> {
        let mode = self.mode(node);
        let merchant_keys = self.merchant_keys(node);
        let api_v3_keys = self.api_v3_keys(node);
        let platform = self.platform(node);
        let base_url = self.base_url(node, Some(BASE_URL));
        let notify_url = self.notify_url(node, base_url.as_deref());
        Some(WechatConfig {
            base_url: base_url?,
            mode: mode?,
            merchant_keys: merchant_keys?,
            api_v3_keys: api_v3_keys?,
            platform: platform?,
            notify_url: notify_url?,
            settlements_by_sub_merchant: is_true(node, "settlements_by_sub_merchant"),
        })
    }

    fn mode(&mut self, node: &YamlNode) -> Option<WechatMode> {
        let mode = text_of(node, "mode")?;
        let (needed, others): (&[&str], &[&str]) = match mode {
            "common" => (
                &COMMON.0,
                &["sp_mchid", "sp_appid", "sub_mchid", "sub_appid"],
            ),
            "institutional" => (&INSTITUTIONAL.0, &COMMON.0),
            _ => return None,
        };
        for name in needed.iter().filter(|name| node.get(name).is_none()) {
            let at = node.get("mode").map_or(node.at, |mode| mode.at);
            self.refuse(at, format!("mode {mode} needs the field \"{name}\""), "");
        }
        for entry in node
            .entries()
            .iter()
            .filter(|entry| others.contains(&entry.key.as_str()))
        {
            let message = format!(
                "the field \"{}\" belongs to the other mode, not to {mode}",
                entry.key
            );
            self.refuse(
                entry.key_at,
                message,
                &format!("mode {mode} takes {}", needed.join(", ")),
            );
        }
        let mut id = |name| self.bounded(node, name, 32);
        if mode == "common" {
            let (mchid, appid) = (id("mchid"), id("appid"));
            return Some(WechatMode::Common {
                mchid: mchid?,
                appid: appid?,
            });
        }
        let (sp_mchid, sp_appid, sub_mchid) = (id("sp_mchid"), id("sp_appid"), id("sub_mchid"));
        let sub_appid = id(INSTITUTIONAL.1[0]);
        Some(WechatMode::Institutional {
            sp_mchid: sp_mchid?,
            sp_appid: sp_appid?,
            sub_mchid: sub_mchid?,
            sub_appid,
        })
    }

    /// The keys that sign our requests: one with its fields beside it, or a list.
    fn merchant_keys(&mut self, node: &YamlNode) -> Option<Vec<MerchantKey>> {
        let value = node.get("merchant_key")?;
        let beside = ["merchant_serial", "merchant_certificate"];
        self.refuse_empty_list(value);
        if value.list().is_empty() {
            if value.get("key").is_none() && node.get(beside[0]).is_none() {
                self.refuse(
                    node.at,
                    "the field \"merchant_serial\" is missing",
                    "the serial of the certificate of merchant_key",
                );
            }
            return Some(vec![
                self.merchant_key(node, ["merchant_key", beside[0], beside[1]])?,
            ]);
        }
        for name in beside {
            if let Some(other) = node.get(name) {
                let message = format!(
                    "{name} stands beside one merchant_key; of a list, each key has its own"
                );
                self.refuse(
                    other.at,
                    message,
                    "write serial: and certificate: beside each key:",
                );
            }
        }
        let keys: Vec<Option<MerchantKey>> = value
            .list()
            .iter()
            .map(|entry| self.merchant_key(entry, ["key", "serial", "certificate"]))
            .collect();
        let keys: Vec<MerchantKey> = keys.into_iter().collect::<Option<_>>()?;
        for (at, key) in keys.iter().enumerate() {
            let before = at.checked_sub(1).map(|before| &keys[before]);
            let problem = match (before, key.from) {
                (None, Some(_)) => "the first key is used until the next one is; it has no from",
                (Some(_), None) => "every key but the first needs from: from when on it is used",
                (Some(before), from) if from <= before.from => {
                    "the keys stand in the order of their times"
                }
                (Some(before), _) if before.serial.eq_ignore_ascii_case(&key.serial) => {
                    "two keys have the same serial"
                }
                (None, None) | (Some(_), Some(_)) => continue,
            };
            self.refuse(value.list()[at].at, problem, "");
        }
        Some(keys)
    }

    fn refuse_empty_list(&mut self, value: &YamlNode) {
        if matches!(value.value, Value::List(_)) && value.list().is_empty() {
            self.refuse(value.at, "the list is empty; it names at least one key", "");
        }
    }

    /// A key, whose PEM, serial and certificate go by these names.
    fn merchant_key(
        &mut self,
        node: &YamlNode,
        [key, serial, certificate]: [&str; 3],
    ) -> Option<MerchantKey> {
        let pem = node.get(key).and_then(|value| self.signing_key(value, key));
        let given = self.bounded(node, serial, 64);
        let known = node
            .get(certificate)
            .and_then(|node| self.certificate(node));
        if let (Some((found, _)), Some(given)) = (&known, &given)
            && !found.eq_ignore_ascii_case(given)
        {
            let at = node.get(certificate).map_or(node.at, |node| node.at);
            self.refuse(
                at,
                format!("{certificate} has another serial than {serial} says"),
                "give the one in use",
            );
        }
        let from = match node.get("from").filter(|_| key == "key") {
            None => None,
            Some(value) => Some(self.instant(value)?),
        };
        Some(MerchantKey {
            key: pem?,
            serial: given?,
            until: known.map(|(_, until)| until),
            from,
        })
    }

    fn signing_key(&mut self, value: &YamlNode, name: &str) -> Option<SecretString> {
        let key = self.secret(value)?;
        if let Err(error) = key_check::private_key(&key) {
            let source = secrets::origin(value);
            self.refuse(
                value.at,
                format!("{name} ({source}): {error}"),
                "it is the file apiclient_key.pem",
            );
            return None;
        }
        Some(key)
    }

    fn instant(&mut self, value: &YamlNode) -> Option<Timestamp> {
        let read = chrono::DateTime::parse_from_rfc3339(value.text()?);
        if read.is_err() {
            self.refuse(
                value.at,
                "from is an instant with its offset",
                "such as 2026-12-01T10:00:00+08:00",
            );
        }
        read.ok()
            .map(|at| Timestamp::from_millis(at.timestamp_millis()))
    }

    /// The serial of a certificate, and until when it is good.
    fn certificate(&mut self, node: &YamlNode) -> Option<(String, Timestamp)> {
        let pem = self.public(node)?;
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

    fn api_v3_keys(&mut self, node: &YamlNode) -> Option<Vec<SecretString>> {
        let value = node.get("api_v3_key")?;
        let keys = self.secrets(value)?;
        let mut fit = true;
        for (key, reference) in keys.iter().zip(secrets::references(value)) {
            let length = key.expose_secret().len();
            if length != 32 {
                let source = secrets::origin(reference);
                self.refuse(
                    reference.at,
                    format!("api_v3_key ({source}) has {length} bytes; it needs 32"),
                    "",
                );
                fit = false;
            }
        }
        fit.then_some(keys)
    }

    fn platform(&mut self, node: &YamlNode) -> Option<Platform> {
        let value = node.get("platform")?;
        self.refuse_empty_list(value);
        let entries = secrets::references(value);
        let is_auto = |node: &&YamlNode| node.scalar().is_some();
        let certificates = entries.iter().filter(is_auto).count();
        let keys: Vec<Option<PublicKey>> = entries
            .iter()
            .filter(|node| !is_auto(node))
            .map(|entry| self.public_key(entry))
            .collect();
        let public_keys: Vec<PublicKey> = keys.into_iter().collect::<Option<_>>()?;
        let twice = public_keys
            .iter()
            .enumerate()
            .any(|(at, key)| public_keys[..at].iter().any(|old| old.id == key.id));
        if certificates > 1 || twice {
            self.refuse(
                value.at,
                "platform names the same key twice",
                "each public key has an id of its own",
            );
        }
        if entries.len() > PLATFORM_MAX {
            self.refuse(
                value.at,
                format!("platform names at most {PLATFORM_MAX} keys"),
                "",
            );
        }
        Some(Platform {
            certificates: certificates > 0,
            public_keys,
        })
    }

    fn public_key(&mut self, node: &YamlNode) -> Option<PublicKey> {
        let pem = node.get("public_key").and_then(|key| {
            let text = self.public(key)?;
            if key_check::public_key(&text).is_ok() {
                return Some(text);
            }
            self.refuse(
                key.at,
                "this is no public key",
                "a PEM that begins with -----BEGIN PUBLIC KEY----- is expected",
            );
            None
        });
        let id = node.get("id").and_then(|id| {
            let text = id.text()?;
            let digits = text
                .strip_prefix(PUBLIC_KEY_PREFIX)
                .filter(|rest| (1..=64).contains(&rest.len()));
            if digits.is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric())) {
                return Some(text.to_owned());
            }
            self.refuse(
                id.at,
                "the id of a public key is PUB_KEY_ID_ and digits",
                "",
            );
            None
        });
        Some(PublicKey { pem: pem?, id: id? })
    }
}
