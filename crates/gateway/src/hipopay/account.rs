//! A HipoPay account: where it is reached and by what it signs and verifies.

use secrecy::SecretString;

use super::sign::Encoding;
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
