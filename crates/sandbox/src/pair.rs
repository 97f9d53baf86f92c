//! A generated RSA key with its public half, as files hold them.

use std::path::Path;

use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use secrecy::{ExposeSecret, SecretString};

use super::identity::{IdentityError, read, write};
use super::keys::{SigningKey, VerifyingKey};

/// Both halves, as PEM.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub key: SecretString,
    pub public: String,
}

impl Pair {
    pub(super) fn generate() -> Result<Self, IdentityError> {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
            .map_err(|error| IdentityError::Generate(error.to_string()))?;
        Ok(Self {
            key: SecretString::from(pair.serialize_pem()),
            public: pair.public_key_pem(),
        })
    }

    pub(super) fn save(&self, folder: &Path, key: &str, public: &str) -> Result<(), IdentityError> {
        write(folder, key, self.key.expose_secret())?;
        write(folder, public, &self.public)
    }

    pub(super) fn load(folder: &Path, key: &str, public: &str) -> Result<Self, IdentityError> {
        Ok(Self {
            key: SecretString::from(read(folder, key)?),
            public: read(folder, public)?,
        })
    }

    pub(super) fn signing(&self) -> Result<SigningKey, IdentityError> {
        SigningKey::from_pem(&self.key).map_err(IdentityError::Key)
    }

    pub(super) fn verifying(&self) -> Result<VerifyingKey, IdentityError> {
        VerifyingKey::from_pem(&self.public).map_err(IdentityError::Key)
    }
}
