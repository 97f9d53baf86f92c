//! AES-256-GCM under the APIv3 key, as certificates and notifications are encrypted
//! (docs/gateways/wechat.md, "Notifications"). While that key is changed there are two: what any of
//! them was used for opens. A client encrypts nothing so.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

/// The APIv3 key, and those that it replaces.
pub struct ApiKey(Vec<LessSafeKey>);

impl ApiKey {
    /// From its 32 characters, the newest key first.
    ///
    /// # Errors
    /// [`SealError::KeyLength`] if it has another length, or there is none.
    pub fn new(keys: &[SecretString]) -> Result<Self, SealError> {
        let one = |key: &SecretString| {
            let bytes = key.expose_secret().as_bytes();
            let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| SealError::KeyLength {
                length: bytes.len(),
            })?;
            Ok(LessSafeKey::new(key))
        };
        let keys: Vec<_> = keys.iter().map(one).collect::<Result<_, _>>()?;
        if keys.is_empty() {
            Err(SealError::KeyLength { length: 0 })
        } else {
            Ok(Self(keys))
        }
    }

    /// Decrypts base64 with the tag at its end, under whichever key fits. The nonce is the 12
    /// characters of the text.
    ///
    /// # Errors
    /// What does not fit; a wrong key and changed data cannot be told apart.
    pub fn open(
        &self,
        nonce: &str,
        associated_data: &str,
        ciphertext: &str,
    ) -> Result<Vec<u8>, SealError> {
        let sealed = STANDARD
            .decode(ciphertext)
            .map_err(|_| SealError::NotBase64)?;
        for key in &self.0 {
            let mut bytes = sealed.clone();
            let aad = Aad::from(associated_data.as_bytes());
            if let Ok(opened) = key.open_in_place(parse_nonce(nonce)?, aad, &mut bytes) {
                let length = opened.len();
                bytes.truncate(length);
                return Ok(bytes);
            }
        }
        Err(SealError::Opened)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey")
    }
}

fn parse_nonce(nonce: &str) -> Result<Nonce, SealError> {
    Nonce::try_assume_unique_for_key(nonce.as_bytes()).map_err(|_| SealError::NonceLength {
        length: nonce.len(),
    })
}

/// Why something could not be decrypted. Never holds key or text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealError {
    /// The APIv3 key has not 32 bytes.
    #[error("the APIv3 key has {length} bytes; it has 32")]
    KeyLength {
        /// Its length in bytes.
        length: usize,
    },
    /// The nonce has not 12 bytes.
    #[error("the nonce has {length} bytes; it has 12")]
    NonceLength {
        /// Its length in bytes.
        length: usize,
    },
    /// The ciphertext is no base64.
    #[error("the ciphertext is no base64")]
    NotBase64,
    /// It does not decrypt: another key, or changed data.
    #[error("it does not decrypt: the APIv3 key is another one, or the data was changed")]
    Opened,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the gateway would send, under the first of these keys.
    fn sealed(key: &ApiKey, nonce: &str, associated_data: &str, text: &[u8]) -> String {
        let mut bytes = text.to_vec();
        let aad = Aad::from(associated_data.as_bytes());
        key.0[0]
            .seal_in_place_append_tag(parse_nonce(nonce).unwrap(), aad, &mut bytes)
            .unwrap();
        STANDARD.encode(bytes)
    }

    #[test]
    fn vector_w3_the_java_sdk_text_opens() {
        let key = ApiKey::new(&["a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb".into()]).unwrap();
        let sealed = "ulwSiIajGClcvcOYvOQ7+l+0PAbzzwI=";
        assert_eq!(
            key.open("uluk4a9R25RW", "associatedData", sealed).unwrap(),
            b"message"
        );
    }

    #[test]
    fn vector_w4_the_same_layout_opens_under_the_128_bit_key_of_the_go_sdk() {
        let key = LessSafeKey::new(
            UnboundKey::new(&aws_lc_rs::aead::AES_128_GCM, b"testAPIv3Key0000").unwrap(),
        );
        let opened = ApiKey(vec![key]).open(
            "wCq51qZv4Yfg",
            "Dl56FrqWQJF1t9LtC3vEUsniZKvbqdR8",
            "FsdXzxryWfKwvLJKf8LG/ToRPTRh8RN9wROC",
        );
        assert_eq!(opened.unwrap(), b"Hello World");
    }

    #[test]
    fn a_key_of_16_bytes_is_refused() {
        let refused = ApiKey::new(&["testMchAPIv3Key0".into()]).unwrap_err();
        assert_eq!(refused, SealError::KeyLength { length: 16 });
    }

    #[test]
    fn what_any_of_the_keys_was_used_for_opens() {
        let (new, old) = ("n".repeat(32), "o".repeat(32));
        let key = |keys: &[&String]| {
            ApiKey::new(
                &keys
                    .iter()
                    .map(|key| key.as_str().into())
                    .collect::<Vec<_>>(),
            )
            .unwrap()
        };
        let both = key(&[&new, &old]);
        for one in [&new, &old] {
            let sealed = sealed(&key(&[one]), "uluk4a9R25RW", "", b"message");
            assert_eq!(both.open("uluk4a9R25RW", "", &sealed).unwrap(), b"message");
        }
        let sealed = sealed(&both, "uluk4a9R25RW", "", b"message");
        assert_eq!(
            key(&[&old]).open("uluk4a9R25RW", "", &sealed),
            Err(SealError::Opened)
        );
    }

    #[test]
    fn changed_data_does_not_open() {
        let key = ApiKey::new(&["a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb".into()]).unwrap();
        let sealed = sealed(&key, "uluk4a9R25RW", "certificate", b"message");
        assert_eq!(
            key.open("uluk4a9R25RW", "transaction", &sealed),
            Err(SealError::Opened)
        );
        assert_eq!(
            key.open("short", "certificate", &sealed),
            Err(SealError::NonceLength { length: 5 })
        );
        assert_eq!(
            key.open("uluk4a9R25RW", "certificate", "!"),
            Err(SealError::NotBase64)
        );
        assert_eq!(
            key.open("uluk4a9R25RW", "certificate", ""),
            Err(SealError::Opened)
        );
    }
}
