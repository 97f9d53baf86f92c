//! An EGMS account: where it is reached and by what it signs.

use secrecy::SecretString;

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

/// Which digest an account uses, as the `SignType` header spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SignType {
    /// `SHA256` of the parts, the key among them.
    #[default]
    Sha256,
    /// `SHA512` of the same.
    Sha512,
    /// `HMAC-SHA256` of the same under the same key, which so appears twice.
    HmacSha256,
    /// `HMAC-SHA512` of the same.
    HmacSha512,
}

impl SignType {
    /// The words, as the header and `sign_type:` in `payrun.yaml` spell them.
    pub const WORDS: [&'static str; 4] = ["SHA256", "SHA512", "HMAC-SHA256", "HMAC-SHA512"];

    /// The type with this word.
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Sha256,
            Self::Sha512,
            Self::HmacSha256,
            Self::HmacSha512,
        ]
        .into_iter()
        .find(|one| one.as_str() == word)
    }

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
            Self::HmacSha256 => "HMAC-SHA256",
            Self::HmacSha512 => "HMAC-SHA512",
        }
    }
}
