//! Keys and signatures of APIv3: RSA PKCS#1 v1.5 with SHA-256 (gateways.md sections 3.1 and 3.2).
//!
//! Private keys are parsed and used by aws-lc-rs alone and never print.

use std::fmt;

use aws_lc_rs::rsa::KeyPair;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

/// A private key that signs requests (or, in the sandbox, replies).
pub struct SigningKey(KeyPair);

impl SigningKey {
    /// Reads a PEM of PKCS#8 (`BEGIN PRIVATE KEY`) or PKCS#1 (`BEGIN RSA PRIVATE KEY`).
    ///
    /// # Errors
    /// [`KeyError`] if it is no PEM, no private key, or no RSA key of 2048 bits or more.
    pub fn from_pem(pem: &SecretString) -> Result<Self, KeyError> {
        let der = PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes()).map_err(|_| KeyError::NotPem)?;
        let pair = match &der {
            PrivateKeyDer::Pkcs8(key) => KeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(key) => KeyPair::from_der(key.secret_pkcs1_der()),
            _ => return Err(KeyError::NotRsa),
        };
        pair.map(Self).map_err(|_| KeyError::NotRsa)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
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
}
