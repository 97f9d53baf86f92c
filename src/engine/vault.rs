//! Personal data at rest: AES-256-GCM under a key of the user's, each value bound to its field and to its item.
//!
//! A sealed value stands in an item's input as `{"sealed": "…"}`, which no text of a file can look like. Errors never hold a
//! value. What is opened lives in memory for one call.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::domain::ids::KeyHash;
use crate::workflow::render::Private;

/// What the proof is made of.
const PROOF: &str = "payrun personal data";

/// The key for personal data.
pub struct Vault(LessSafeKey);

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    /// From base64 of 32 bytes.
    ///
    /// # Errors
    /// [`VaultError::Key`] if it is something else.
    pub fn new(key: &SecretString) -> Result<Self, VaultError> {
        let bytes = Zeroizing::new(STANDARD.decode(key.expose_secret().trim()).map_err(|_| VaultError::Key)?);
        UnboundKey::new(&AES_256_GCM, &bytes).map(LessSafeKey::new).map(Self).map_err(|_| VaultError::Key)
    }

    /// A text that only this key opens; see [`Vault::proves`].
    ///
    /// # Errors
    /// [`VaultError::Seal`] if the crypto library refuses.
    pub fn proof(&self) -> Result<String, VaultError> {
        self.seal(PROOF, PROOF.as_bytes())
    }

    /// Whether a proof was made with this key.
    pub fn proves(&self, proof: &str) -> bool {
        self.open(proof, PROOF.as_bytes()).is_ok_and(|text| text == PROOF)
    }

    /// An item's input, a JSON object, with personal data put into it sealed.
    ///
    /// # Errors
    /// [`VaultError::Seal`] if the crypto library refuses.
    pub fn seal_into(&self, mut input: String, private: &Private, key: KeyHash) -> Result<String, VaultError> {
        input.pop();
        for (name, value) in private.iter() {
            if input.len() > 1 {
                input.push(',');
            }
            let sealed = self.seal(value, &bound_to(name, key))?;
            input.push_str(&format!("{}:{}", json!(name), json!({ "sealed": sealed })));
        }
        input.push('}');
        Ok(input)
    }

    /// An item's input with everything opened that is sealed.
    ///
    /// # Errors
    /// [`VaultError::Open`] with another key, or if it belongs to another item or field.
    pub fn opened(&self, input: Map<String, Value>, key: KeyHash) -> Result<Map<String, Value>, VaultError> {
        let open = |(name, value): (String, Value)| match sealed(&value) {
            None => Ok((name, value)),
            Some(text) => {
                let opened = self.open(text, &bound_to(&name, key))?;
                Ok((name, Value::String(opened)))
            }
        };
        input.into_iter().map(open).collect()
    }

    /// A text of a notification, bound to the notification's digest.
    ///
    /// # Errors
    /// [`VaultError::Seal`] if the crypto library refuses.
    pub fn seal_notification(&self, text: &str, digest: &str) -> Result<String, VaultError> {
        self.seal(text, format!("notification {digest}").as_bytes())
    }

    /// The same, opened.
    ///
    /// # Errors
    /// [`VaultError::Open`] with another key, or if it belongs to another notification.
    pub fn open_notification(&self, sealed: &str, digest: &str) -> Result<String, VaultError> {
        self.open(sealed, format!("notification {digest}").as_bytes())
    }

    /// A file as a whole, bound to its name.
    ///
    /// # Errors
    /// [`VaultError::Seal`] if the crypto library refuses.
    pub fn seal_file(&self, content: &[u8], name: &str) -> Result<Vec<u8>, VaultError> {
        self.seal_bytes(content, format!("file {name}").as_bytes())
    }

    /// The same, opened.
    ///
    /// # Errors
    /// [`VaultError::Open`] with another key, or if it is another file.
    pub fn open_file(&self, sealed: &[u8], name: &str) -> Result<Vec<u8>, VaultError> {
        self.open_bytes(sealed.to_vec(), format!("file {name}").as_bytes())
    }

    fn seal(&self, text: &str, aad: &[u8]) -> Result<String, VaultError> {
        Ok(STANDARD.encode(self.seal_bytes(text.as_bytes(), aad)?))
    }

    fn open(&self, text: &str, aad: &[u8]) -> Result<String, VaultError> {
        let bytes = STANDARD.decode(text).map_err(|_| VaultError::Open)?;
        String::from_utf8(self.open_bytes(bytes, aad)?).map_err(|_| VaultError::Open)
    }

    fn seal_bytes(&self, content: &[u8], aad: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0_u8; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| VaultError::Seal)?;
        let mut bytes = content.to_vec();
        let sealing = self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut bytes);
        sealing.map_err(|_| VaultError::Seal)?;
        Ok([&nonce[..], &bytes].concat())
    }

    fn open_bytes(&self, mut bytes: Vec<u8>, aad: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (nonce, body) = bytes.split_at_mut_checked(NONCE_LEN).ok_or(VaultError::Open)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Open)?;
        let opened = self.0.open_in_place(nonce, Aad::from(aad), body).map_err(|_| VaultError::Open)?;
        Ok(opened.to_vec())
    }
}

/// The text of a sealed value; none if it is not sealed.
pub fn sealed(value: &Value) -> Option<&str> {
    value.as_object().filter(|object| object.len() == 1)?.get("sealed")?.as_str()
}

fn bound_to(field: &str, key: KeyHash) -> Vec<u8> {
    [field.as_bytes(), &[0], key.as_bytes()].concat()
}

/// Why personal data could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum VaultError {
    /// The key is no base64 of 32 bytes.
    #[error("encryption_key must be base64 of 32 bytes; `openssl rand -base64 32` makes one")]
    Key,
    /// The crypto library refused.
    #[error("personal data could not be encrypted")]
    Seal,
    /// It does not open.
    #[error("personal data does not decrypt: encryption_key is another one than it was kept under")]
    Open,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(byte: u8) -> Vault {
        Vault::new(&SecretString::from(STANDARD.encode([byte; 32]))).unwrap()
    }

    #[test]
    fn personal_data_opens_for_its_own_item_field_and_key_only() {
        let (key, other) = (KeyHash::of("a", "declare", "1"), KeyHash::of("a", "declare", "2"));
        let private = Private::new(vec![("name".to_owned(), "Li \"Lei\"".to_owned())]);
        let input = vault(1).seal_into(r#"{"customs":"SHENZHEN"}"#.to_owned(), &private, key).unwrap();
        assert!(!input.contains("Lei"));
        let parsed: Map<String, Value> = serde_json::from_str(&input).unwrap();
        let opened = vault(1).opened(parsed.clone(), key).unwrap();
        assert_eq!((opened["name"].as_str(), opened["customs"].as_str()), (Some("Li \"Lei\""), Some("SHENZHEN")));
        assert_eq!(vault(1).opened(parsed.clone(), other), Err(VaultError::Open));
        assert_eq!(vault(2).opened(parsed.clone(), key), Err(VaultError::Open));
        let renamed = Map::from_iter([("cert_id".to_owned(), parsed["name"].clone())]);
        assert_eq!(vault(1).opened(renamed, key), Err(VaultError::Open));
        assert_eq!(vault(1).seal_into("{}".to_owned(), &private, key).unwrap().matches("name").count(), 1);
    }

    #[test]
    fn a_proof_tells_keys_apart_and_a_short_key_is_refused() {
        let proof = vault(1).proof().unwrap();
        assert!(vault(1).proves(&proof) && !vault(2).proves(&proof));
        assert_eq!(Vault::new(&SecretString::from("c2hvcnQ=")).err(), Some(VaultError::Key));
    }
}
