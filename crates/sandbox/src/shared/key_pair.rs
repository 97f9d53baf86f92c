//! A generated RSA key with its public half, as files hold them.

use std::path::Path;

use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use secrecy::{ExposeSecret, SecretString};

use crate::shared::key_files::{AccountKeysError, read, write};
use crate::shared::keys::{MerchantVerifyingKey, SandboxSigningKey};

/// Both halves, as PEM.
#[derive(Debug, Clone)]
pub(crate) struct PemKeyPair {
    pub key: SecretString,
    pub public: String,
}

impl PemKeyPair {
    pub(crate) fn generate() -> Result<Self, AccountKeysError> {
        let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
            .map_err(|error| AccountKeysError::Generate(error.to_string()))?;
        Ok(Self {
            key: SecretString::from(pair.serialize_pem()),
            public: pair.public_key_pem(),
        })
    }

    pub(crate) fn save(
        &self,
        folder: &Path,
        key: &str,
        public: &str,
    ) -> Result<(), AccountKeysError> {
        write(folder, key, self.key.expose_secret())?;
        write(folder, public, &self.public)
    }

    pub(crate) fn load(folder: &Path, key: &str, public: &str) -> Result<Self, AccountKeysError> {
        Ok(Self {
            key: SecretString::from(read(folder, key)?),
            public: read(folder, public)?,
        })
    }

    pub(crate) fn signing(&self) -> Result<SandboxSigningKey, AccountKeysError> {
        SandboxSigningKey::from_pem(&self.key).map_err(AccountKeysError::Key)
    }

    pub(crate) fn verifying(&self) -> Result<MerchantVerifyingKey, AccountKeysError> {
        MerchantVerifyingKey::from_pem(&self.public).map_err(AccountKeysError::Key)
    }
}
