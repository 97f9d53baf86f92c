//! A HipoPay account: where it is reached and by what it signs and verifies.

use secrecy::SecretString;

use crate::statement::BillNames;

/// A HipoPay account. Its replies are not signed: what vouches for them is TLS alone.
#[derive(Debug, Clone)]
pub struct HipopayConfig {
    /// Scheme and host. The sandbox's is published, the production host was only found in an old
    /// SDK, so there is no default.
    pub base_url: String,
    /// `MerchantNO`.
    pub merchant_no: String,
    /// The RSA key that signs our requests, as PEM.
    pub merchant_key: SecretString,
    /// HipoPay's public keys, as PEM: any of them verifies notifications.
    pub platform_public_keys: Vec<String>,
    /// The `Version` header.
    pub version: String,
    /// Where HipoPay sends notifications.
    pub notify_url: String,
    /// Which characters the string to sign leaves as they are.
    pub encoding: Encoding,
    /// What the bill calls its columns and lines, where that is not what the document does \[C\].
    pub bill_names: BillNames,
}

/// Which characters beside letters, digits, `-`, `.` and `_` the string to sign leaves as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// Only `~`, as RFC 3986 and HipoPay's PHP SDK have it.
    #[default]
    Rfc3986,
    /// Only `*`, as HipoPay's Java SDK has it.
    Java,
    /// All six, as HipoPay's Node SDK has it.
    Node,
    /// None, as HipoPay's Python SDK has it.
    Python,
}

impl Encoding {
    /// The words, as `encoding:` in `payrun.yaml` spells them.
    pub const WORDS: [&'static str; 4] = ["rfc3986", "java", "node", "python"];

    /// The encoding with this word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "rfc3986" => Some(Self::Rfc3986),
            "java" => Some(Self::Java),
            "node" => Some(Self::Node),
            "python" => Some(Self::Python),
            _ => None,
        }
    }
}
