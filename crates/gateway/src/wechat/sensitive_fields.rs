//! Sensitive fields: RSAES-PKCS1-v1_5 under the platform's public key, as base64.
//!
//! Most of APIv3 encrypts by OAEP. The one call of ours that encrypts, the identity check of
//! customs, does not: there OAEP is refused with "平台私钥解密失败" (docs/gateways/wechat.md, "Encrypted
//! fields" \[A\]).
//!
//! The same text gives another ciphertext each time. Errors hold neither key nor text.

use std::fmt;

use aws_lc_rs::rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
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

/// Why a field could not be encrypted. Never holds the text.
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
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa::{Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
    use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};

    use super::*;

    /// What the gateway would read of a field.
    fn opened(pair: &KeyPair, sealed: &str) -> Option<String> {
        let key = PrivateDecryptingKey::from_pkcs8(&pair.serialize_der()).unwrap();
        let key = Pkcs1PrivateDecryptingKey::new(key).unwrap();
        let mut bytes = vec![0; key.min_output_size()];
        let opened = key.decrypt(&STANDARD.decode(sealed).unwrap(), &mut bytes);
        String::from_utf8(opened.ok()?.to_vec()).ok()
    }

    #[test]
    fn a_field_opens_under_its_own_key_only_and_never_looks_the_same_twice() {
        let pair = || KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        let (ours, other) = (pair(), pair());
        let seal = FieldSeal::from_pem(&ours.public_key_pem()).unwrap();
        let (once, again) = (seal.seal("张三").unwrap(), seal.seal("张三").unwrap());
        assert_ne!(once, again);
        assert_eq!(opened(&ours, &once).as_deref(), Some("张三"));
        assert_eq!(opened(&other, &once), None);
        assert_eq!(
            seal.seal(&"x".repeat(246)),
            Err(FieldError::TooLong { most: 245 })
        );
    }
}
