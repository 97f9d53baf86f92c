//! RSA keys, PKCS#1 v1.5 with SHA-256, for every gateway that signs with them; and nonces.
//!
//! Private keys are parsed and used by aws-lc-rs alone and never print.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::TryRng;
use rand::rngs::SysRng;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

/// A private key that signs requests.
pub struct SigningKey(KeyPair);

impl SigningKey {
    /// Reads a PEM of PKCS#8 (`BEGIN PRIVATE KEY`) or PKCS#1 (`BEGIN RSA PRIVATE KEY`).
    ///
    /// # Errors
    /// [`KeyError`] if it is no PEM, no private key, or no RSA key of 2048 bits or more.
    pub fn from_pem(pem: &SecretString) -> Result<Self, KeyError> {
        let der = PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes())
            .map_err(|_| KeyError::NotPem)?;
        let pair = match &der {
            PrivateKeyDer::Pkcs8(key) => KeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => KeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Sec1(_) | _ => return Err(KeyError::NotRsa),
        };
        pair.map(Self).map_err(|_| KeyError::NotRsa)
    }

    /// Signs a message; base64 as it goes into a header.
    ///
    /// # Errors
    /// [`SignError::Refused`] if the crypto library refuses, which it does for no key that was
    /// read.
    pub fn sign(&self, message: &[u8]) -> Result<String, SignError> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .map_err(|_| SignError::Refused)?;
        Ok(STANDARD.encode(signature))
    }

    /// The key that verifies what this one signs.
    #[cfg(test)]
    pub(crate) fn verifying_key(&self) -> VerifyingKey {
        use aws_lc_rs::signature::KeyPair as _;
        VerifyingKey::from_der(self.0.public_key().as_ref()).unwrap()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

/// A public key that verifies replies and notifications.
#[derive(Clone)]
pub struct VerifyingKey(ParsedPublicKey);

impl VerifyingKey {
    /// Reads a PEM of a public key (`BEGIN PUBLIC KEY`).
    ///
    /// # Errors
    /// [`KeyError::NotPublic`] if it is no such PEM or no RSA key of 2048 to 8192 bits.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| KeyError::NotPublic)?;
        Self::from_der(&der)
    }

    /// Reads the DER of a public key, X.509 (SPKI) or PKCS#1.
    ///
    /// # Errors
    /// [`KeyError::NotPublic`] if it is no RSA key of 2048 to 8192 bits.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, der)
            .map(Self)
            .map_err(|_| KeyError::NotPublic)
    }

    /// Whether this base64 signature over the message is right.
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        STANDARD
            .decode(signature)
            .is_ok_and(|bytes| self.0.verify_sig(message, &bytes).is_ok())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerifyingKey")
    }
}

/// 32 hex digits from the operating system's randomness.
///
/// # Errors
/// [`SignError::NoRandomness`] if it has none.
pub fn nonce() -> Result<String, SignError> {
    let mut bytes = [0; 16];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|_| SignError::NoRandomness)?;
    Ok(format!("{:032X}", u128::from_be_bytes(bytes)))
}

/// What can be wrong with a key. Never holds key text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyError {
    /// No PEM with a key in it.
    #[error("this is no key: a PEM that begins with -----BEGIN PRIVATE KEY----- is expected")]
    NotPem,
    /// A key, but not one that can be used here.
    #[error("this is no RSA private key of 2048 bits or more")]
    NotRsa,
    /// No public key that can be used here.
    #[error(
        "this is no RSA public key of 2048 bits or more: a PEM that begins with -----BEGIN PUBLIC KEY----- is expected"
    )]
    NotPublic,
}

/// Why something could not be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignError {
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    NoRandomness,
    /// The crypto library refused.
    #[error("the crypto library refused to sign")]
    Refused,
}
