//! A WeChat Pay Global account: whose ids and keys a client uses.

use secrecy::SecretString;

use payrun_domain::time::Timestamp;

/// What the id of a platform public key begins with.
pub const PUBLIC_KEY_PREFIX: &str = "PUB_KEY_ID_";

/// A WeChat Pay Global account (docs/gateways/wechat.md).
#[derive(Debug, Clone)]
pub struct WechatConfig {
    /// Scheme and host, without a path: `https://apihk.mch.weixin.qq.com`.
    pub base_url: String,
    /// Whose ids go into the requests.
    pub mode: WechatMode,
    /// The keys that sign our requests, in the order in which they are used: the first, and each
    /// other from its time on.
    pub merchant_keys: Vec<MerchantKey>,
    /// The 32-byte keys that certificates and notifications may be encrypted with.
    pub api_v3_keys: Vec<SecretString>,
    /// By what replies and notifications are verified.
    pub platform: Platform,
    /// Where the gateway sends its notifications: https, no query.
    pub notify_url: String,
    /// Whether settlements are asked for by the sub-merchant: ordinary service providers must,
    /// institutions and banks must not.
    pub settlements_by_sub_merchant: bool,
}

/// The two addressing modes of WeChat Pay Global.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WechatMode {
    /// A merchant of its own.
    Common {
        /// Merchant id.
        mchid: String,
        /// App id bound to it.
        appid: String,
    },
    /// An institution acting for a sub-merchant.
    Institutional {
        /// The institution's merchant id.
        sp_mchid: String,
        /// The institution's app id.
        sp_appid: String,
        /// The sub-merchant's id.
        sub_mchid: String,
        /// The sub-merchant's app id.
        sub_appid: Option<String>,
    },
}

/// A key that signs our requests to WeChat Pay.
#[derive(Debug, Clone)]
pub struct MerchantKey {
    /// The private key, as PEM (PKCS#8 or PKCS#1).
    pub key: SecretString,
    /// The serial of the certificate that belongs to it.
    pub serial: String,
    /// Until when that certificate is good, if it was given.
    pub until: Option<Timestamp>,
    /// From when on it is used; none of the first, which is used until then.
    pub from: Option<Timestamp>,
}

/// By what replies and notifications are verified: by any of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// By platform certificates, downloaded, decrypted and refreshed.
    pub certificates: bool,
    /// By fixed public keys. Requests name the first of them.
    pub public_keys: Vec<PublicKey>,
}

/// A public key of the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    /// The key as PEM.
    pub pem: String,
    /// Its id, `PUB_KEY_ID_` and digits.
    pub id: String,
}

impl Platform {
    /// Certificates alone.
    pub const fn certificates() -> Self {
        Self {
            certificates: true,
            public_keys: Vec::new(),
        }
    }
}

/// A serial as `Wechatpay-Serial` spells it: upper-case hex, without the sign byte DER may put in
/// front.
pub fn serial_hex(raw: &[u8]) -> String {
    let raw = match raw {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    raw.iter().map(|byte| format!("{byte:02X}")).collect()
}
