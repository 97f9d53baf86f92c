//! An EGMS account: where it is reached and by what it signs.

use secrecy::SecretString;

use super::sign::SignType;

/// An EGMS account.
#[derive(Debug, Clone)]
pub struct EgmsConfig {
    /// Scheme and host; several are in use, and which one is EGMS's to say.
    pub base_url: String,
    /// The merchant's id in every path.
    pub sid: String,
    /// The keys of signatures: the first signs, any of them verifies.
    pub sign_keys: Vec<SecretString>,
    /// The digest of every signature.
    pub sign_type: SignType,
    /// The `KeyID` header, if EGMS issued one.
    pub key_id: Option<String>,
    /// While a payment stands so it may be withdrawn: `Pending` (the EGMS document, "After
    /// Payment"), and where the account says so `Authorised`, `Verifying` and `not_found`, which
    /// EGMS's general pages allow.
    pub cancel_when: Vec<String>,
    /// Where EGMS sends notifications.
    pub notify_url: String,
    /// The path its notifications are signed with: that of `notify_url` unless a proxy rewrites it.
    pub notify_path: String,
}
