//! Sensitive fields: RSAES-PKCS1-v1_5 under the platform's public key, as base64.
//!
//! Most of APIv3 encrypts by OAEP. The one call of ours that encrypts, the identity check of
//! customs, does not: there OAEP is refused with "平台私钥解密失败" (docs/gateways/wechat.md, "Sensitive
//! fields" \[A\]).
//!
//! The same text gives another ciphertext each time. Errors hold neither key nor text.

use std::fmt;

use aws_lc_rs::rsa::{
    Pkcs1PrivateDecryptingKey, Pkcs1PublicEncryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use super::sign::KeyError;

/// Encrypts fields for the platform.
pub struct FieldSeal(Pkcs1PublicEncryptingKey);

impl FieldSeal {
    /// From a PEM of a public key.
    ///
    /// # Errors
    /// [`KeyError::NotPublic`] if it is none.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| KeyError::NotPublic)?;
        Self::from_der(&der)
    }

    /// From the X.509 (SPKI) DER of a public key.
    ///
    /// # Errors
    /// [`KeyError::NotPublic`] if it is no RSA key of 2048 to 8192 bits.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let key = PublicEncryptingKey::from_der(der).map_err(|_| KeyError::NotPublic)?;
        Pkcs1PublicEncryptingKey::new(key)
            .map(Self)
            .map_err(|_| KeyError::NotPublic)
    }

    /// Encrypts a text to base64.
    ///
    /// # Errors
    /// [`FieldError::TooLong`], or [`FieldError::Sealed`] if the crypto library refuses.
    pub fn seal(&self, text: &str) -> Result<String, FieldError> {
        let most = self.0.max_plaintext_size();
        if text.len() > most {
            return Err(FieldError::TooLong { most });
        }
        let mut bytes = vec![0; self.0.ciphertext_size()];
        let sealed = self.0.encrypt(text.as_bytes(), &mut bytes);
        Ok(STANDARD.encode(sealed.map_err(|_| FieldError::Sealed)?))
    }
}

impl fmt::Debug for FieldSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FieldSeal")
    }
}

/// Decrypts what was sealed for its holder.
pub struct FieldKey(Pkcs1PrivateDecryptingKey);

impl FieldKey {
    /// From a PEM of PKCS#8 (`BEGIN PRIVATE KEY`).
    ///
    /// # Errors
    /// [`KeyError`] if it is no such PEM, or no RSA key.
    pub fn from_pem(pem: &SecretString) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.expose_secret().as_bytes())
            .map_err(|_| KeyError::NotPem)?;
        let key = PrivateDecryptingKey::from_pkcs8(der.secret_pkcs8_der())
            .map_err(|_| KeyError::NotRsa)?;
        Pkcs1PrivateDecryptingKey::new(key)
            .map(Self)
            .map_err(|_| KeyError::NotRsa)
    }

    /// Decrypts a text from base64.
    ///
    /// # Errors
    /// [`FieldError::Opened`] if it is no base64, of another key, or no text.
    pub fn open(&self, sealed: &str) -> Result<String, FieldError> {
        let sealed = STANDARD.decode(sealed).map_err(|_| FieldError::Opened)?;
        let mut bytes = vec![0; self.0.min_output_size()];
        let opened = self
            .0
            .decrypt(&sealed, &mut bytes)
            .map_err(|_| FieldError::Opened)?;
        String::from_utf8(opened.to_vec()).map_err(|_| FieldError::Opened)
    }
}

impl fmt::Debug for FieldKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FieldKey")
    }
}

/// Why a field could not be encrypted or decrypted. Never holds the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FieldError {
    /// The text does not fit the key.
    #[error("a field to be encrypted is too long: the platform's key takes {most} bytes")]
    TooLong {
        /// How many bytes it takes.
        most: usize,
    },
    /// The crypto library refused to encrypt.
    #[error("the crypto library refused to encrypt")]
    Sealed,
    /// It does not decrypt.
    #[error("it does not decrypt: no base64, another key, or no text")]
    Opened,
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};

    use super::*;

    #[test]
    fn a_field_opens_under_its_own_key_only_and_never_looks_the_same_twice() {
        let pair = || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let (ours, other) = (pair(), pair());
        let seal = FieldSeal::from_pem(&ours.public_key_pem()).unwrap();
        let key =
            |pair: &KeyPair| FieldKey::from_pem(&SecretString::from(pair.serialize_pem())).unwrap();
        let (once, again) = (seal.seal("张三").unwrap(), seal.seal("张三").unwrap());
        assert_ne!(once, again);
        assert_eq!(key(&ours).open(&once).as_deref(), Ok("张三"));
        assert_eq!(key(&other).open(&once), Err(FieldError::Opened));
        assert_eq!(
            seal.seal(&"x".repeat(246)),
            Err(FieldError::TooLong { most: 245 })
        );
    }
}
