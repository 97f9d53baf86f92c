//! Who the fake and its one merchant are: a generated key, worth nothing at EGMS.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use super::auth::{SandboxSignKey, word_of};
use crate::shared::key_files::{AccountKeysError, make_folder, random, read, write};
use payrun_gateway::egms::account::SignType;
use payrun_project::config::EgmsConfig;

const SIGN_KEY: &str = "sign_key.txt";

/// The key and id both sides share.
#[derive(Debug, Clone)]
pub struct EgmsAccountKeys {
    /// The merchant's id.
    pub sid: String,
    /// Which digest both sides use; change it before the fake is opened.
    pub sign_type: SignType,
    key: SecretString,
}

impl EgmsAccountKeys {
    /// A fresh key of 32 characters.
    ///
    /// # Errors
    /// If the system's randomness fails.
    pub fn generate() -> Result<Self, AccountKeysError> {
        Ok(Self {
            sid: SID.into(),
            sign_type: SignType::Sha256,
            key: random()?.into(),
        })
    }

    /// Writes the key to a folder, which is created; file and folder are their owner's only.
    ///
    /// # Errors
    /// Which file could not be written.
    pub fn save(&self, folder: &Path) -> Result<(), AccountKeysError> {
        make_folder(folder)?;
        write(folder, SIGN_KEY, self.key.expose_secret())
    }

    /// Reads what [`EgmsAccountKeys::save`] wrote.
    ///
    /// # Errors
    /// Which file is missing.
    pub fn load(folder: &Path) -> Result<Self, AccountKeysError> {
        let key = SecretString::from(read(folder, SIGN_KEY)?.trim());
        Ok(Self {
            sid: SID.into(),
            sign_type: SignType::Sha256,
            key,
        })
    }

    /// The account a client is configured with.
    pub fn config(&self, base_url: &str) -> EgmsConfig {
        EgmsConfig {
            base_url: base_url.to_owned(),
            sid: self.sid.clone(),
            sign_keys: vec![self.key.clone()],
            sign_type: self.sign_type,
            key_id: None,
            cancel_when: vec!["Pending".into()],
            notify_url: "https://example.com/payrun/notify/egms".into(),
            notify_path: "/payrun/notify/egms".into(),
        }
    }

    /// The account in `payrun.yaml`, with its key in this folder; without the lane.
    pub fn yaml(&self, base_url: &str, keys: &str) -> String {
        format!(
            "    kind: egms\n    base_url: {base_url}\n    sid: {}\n    sign_key: {{ file: {keys}/{SIGN_KEY} }}\n    \
             sign_type: {}\n    notify_url: https://example.com/payrun/notify/egms\n",
            self.sid,
            word_of(self.sign_type)
        )
    }

    pub(super) fn sign_key(&self) -> SandboxSignKey {
        SandboxSignKey::new(self.key.clone(), self.sign_type)
    }
}

/// The fake's one merchant.
const SID: &str = "S000001";
