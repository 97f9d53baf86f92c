//! The platform keys: certificates, which are sealed under the APIv3 key, and public keys; and the
//! change from one to the next (docs/gateways/wechat.md, "Platform keys").

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use serde_json::json;

use super::account_keys::CertifiedKey;
use super::fake::{FakeWechat, SandboxError};
use crate::SignsWith;
use crate::shared::fault_flow::unsigned_502;
use crate::shared::keys::{SandboxSigningKey, nonce};
use payrun_gateway::transport::Response;
use payrun_project::config::PublicKey;

/// A platform key that signs replies.
#[derive(Debug)]
pub(super) struct PlatformSigner {
    pub(super) certified: CertifiedKey,
    pub(super) key: SandboxSigningKey,
    /// Its id as a public key.
    pub(super) public_id: String,
}

impl FakeWechat {
    /// Signs with a new platform key from now on, by a certificate of its own and an id of its own;
    /// the old ones stay in the list.
    ///
    /// # Errors
    /// If no key could be generated.
    pub fn rotate_platform(&self) -> Result<(), SandboxError> {
        let certified = CertifiedKey::generate("payrun sandbox platform")?;
        let public_id = format!("PUB_KEY_ID_{}", certified.serial);
        let platform = PlatformSigner {
            key: certified.signing_key()?,
            certified,
            public_id,
        };
        self.platform
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::new(platform));
        Ok(())
    }

    /// The newest platform key as the public key that a merchant downloads.
    pub fn public_key(&self) -> Option<PublicKey> {
        let platform = self.newest()?;
        Some(PublicKey {
            pem: platform.certified.public().to_owned(),
            id: platform.public_id.clone(),
        })
    }

    /// Signs replies and notifications by this from now on.
    pub fn sign_with(&self, signs_with: SignsWith) {
        *self
            .signs_with
            .write()
            .unwrap_or_else(PoisonError::into_inner) = signs_with;
    }

    /// Whether the download of platform certificates fails from now on.
    pub fn hide_certificates(&self, hides: bool) {
        self.hides_certificates.store(hides, Ordering::Relaxed);
    }

    /// How often the platform certificates were downloaded.
    pub fn downloads(&self) -> u64 {
        self.downloads.load(Ordering::Relaxed)
    }

    pub(super) fn newest(&self) -> Option<Arc<PlatformSigner>> {
        self.platform
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .last()
            .cloned()
    }

    /// The platform certificates in force, each encrypted under the APIv3 key
    /// (docs/gateways/wechat.md, "Platform keys").
    pub(super) fn certificates(&self) -> Option<Response> {
        self.downloads.fetch_add(1, Ordering::Relaxed);
        if self.hides_certificates.load(Ordering::Relaxed) {
            return Some(unsigned_502());
        }
        let platform = self
            .platform
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut data = Vec::with_capacity(platform.len());
        for one in platform {
            let random: String = nonce()?.chars().take(12).collect();
            let ciphertext =
                self.api_key
                    .seal(&random, "certificate", one.certified.certificate.as_bytes())?;
            data.push(json!({
                "serial_no": one.certified.serial,
                "effective_time": "2026-01-01T00:00:00+08:00",
                "expire_time": "2031-01-01T00:00:00+08:00",
                "encrypt_certificate": {
                    "algorithm": "AEAD_AES_256_GCM",
                    "nonce": random,
                    "associated_data": "certificate",
                    "ciphertext": ciphertext,
                },
            }));
        }
        self.reply(200, &json!({ "data": data }), None)
    }
}
