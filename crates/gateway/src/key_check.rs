//! Whether what an account names as its keys are keys, for whoever reads `payrun.yaml`. Hands out
//! no key: what signs, verifies, seals and opens is this crate's own, so that the sandbox cannot be
//! built on it.

use secrecy::SecretString;

pub use crate::keys::KeyError;
use crate::keys::{SigningKey, VerifyingKey};

/// Whether this PEM is a private key that can sign.
///
/// # Errors
/// [`KeyError`] says what it is not.
pub fn private_key(pem: &SecretString) -> Result<(), KeyError> {
    SigningKey::from_pem(pem).map(drop)
}

/// Whether this PEM is a public key that can verify.
///
/// # Errors
/// [`KeyError`] says what it is not.
pub fn public_key(pem: &str) -> Result<(), KeyError> {
    VerifyingKey::from_pem(pem).map(drop)
}
