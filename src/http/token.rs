//! Tokens: 32 random bytes as text. The ledger keeps their SHA-256, which for as much chance as
//! that needs no salt.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// By which people and scanners of leaked secrets know one.
const PREFIX: &str = "payrun_";

/// What proves who is calling. It does not print.
#[derive(Debug, Clone)]
pub struct Token(SecretString);

impl Token {
    /// A new one.
    pub fn fresh() -> Self {
        let bytes: [u8; 32] = rand::random();
        Self(SecretString::from(format!(
            "{PREFIX}{}",
            URL_SAFE_NO_PAD.encode(bytes)
        )))
    }

    /// One that was given; none if it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
        (bytes.len() == 32).then(|| Self(SecretString::from(text)))
    }

    /// The token itself, for the person who made it.
    pub fn text(&self) -> &str {
        self.0.expose_secret()
    }

    /// By what the ledger knows it.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.expose_secret().as_bytes()).into()
    }
}

/// Whether a token may have this name.
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-_@+".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_never_printed() {
        let token = Token::fresh();
        assert_eq!(Token::parse(token.text()).unwrap().hash(), token.hash());
        assert_ne!(Token::fresh().hash(), token.hash());
        assert!(!format!("{token:?}").contains(token.text()));
        assert!(Token::parse("payrun_short").is_none());
        assert!(Token::parse(token.text().trim_start_matches("payrun_")).is_none());
    }
}
