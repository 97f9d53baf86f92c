//! Who the fake and its one merchant are: generated keys, worth nothing at HipoPay.

use std::path::Path;

use crate::shared::key_files::{AccountKeysError, make_folder};
use crate::shared::key_pair::PemKeyPair;
use crate::shared::keys::{MerchantVerifyingKey, SandboxSigningKey};
use payrun_gateway::hipopay::account::Encoding;
use payrun_gateway::statement::BillNames;
use payrun_project::config::HipopayConfig;

const MERCHANT: (&str, &str) = ("merchant_key.pem", "merchant_public_key.pem");
const PLATFORM: (&str, &str) = ("platform_key.pem", "platform_public_key.pem");

/// The keys and ids of both sides.
#[derive(Debug, Clone)]
pub struct HipopayAccountKeys {
    /// `MerchantNO`.
    pub merchant_no: String,
    merchant: PemKeyPair,
    platform: PemKeyPair,
}

impl HipopayAccountKeys {
    /// Fresh RSA keys for both sides.
    ///
    /// # Errors
    /// If the crypto library or the system's randomness fails.
    pub fn generate() -> Result<Self, AccountKeysError> {
        Ok(Self {
            merchant_no: MERCHANT_NO.into(),
            merchant: PemKeyPair::generate()?,
            platform: PemKeyPair::generate()?,
        })
    }

    /// Writes the keys to a folder, which is created; files and folder are their owner's only.
    ///
    /// # Errors
    /// Which file could not be written.
    pub fn save(&self, folder: &Path) -> Result<(), AccountKeysError> {
        make_folder(folder)?;
        self.merchant.save(folder, MERCHANT.0, MERCHANT.1)?;
        self.platform.save(folder, PLATFORM.0, PLATFORM.1)
    }

    /// Reads what [`HipopayAccountKeys::save`] wrote.
    ///
    /// # Errors
    /// Which file is missing.
    pub fn load(folder: &Path) -> Result<Self, AccountKeysError> {
        Ok(Self {
            merchant_no: MERCHANT_NO.into(),
            merchant: PemKeyPair::load(folder, MERCHANT.0, MERCHANT.1)?,
            platform: PemKeyPair::load(folder, PLATFORM.0, PLATFORM.1)?,
        })
    }

    /// The account a client is configured with.
    pub fn config(&self, base_url: &str) -> HipopayConfig {
        HipopayConfig {
            base_url: base_url.to_owned(),
            merchant_no: self.merchant_no.clone(),
            merchant_key: self.merchant.key.clone(),
            platform_public_keys: vec![self.platform.public.clone()],
            version: "1.0".into(),
            notify_url: "https://example.com/payrun/notify/hipopay".into(),
            encoding: Encoding::Rfc3986,
            bill_names: BillNames::default(),
        }
    }

    /// The account in `payrun.yaml`, with its keys in this folder; without the lane.
    pub fn yaml(&self, base_url: &str, keys: &str) -> String {
        format!(
            "    kind: hipopay\n    base_url: {base_url}\n    merchant_no: {}\n    merchant_key: {{ file: {keys}/{} }}\n    \
             platform_public_key: {{ file: {keys}/{} }}\n    notify_url: https://example.com/payrun/notify/hipopay\n",
            self.merchant_no, MERCHANT.0, PLATFORM.1
        )
    }

    pub(super) fn merchant_key(&self) -> Result<MerchantVerifyingKey, AccountKeysError> {
        self.merchant.verifying()
    }

    pub(super) fn platform_key(&self) -> Result<SandboxSigningKey, AccountKeysError> {
        self.platform.signing()
    }
}

/// The fake's one merchant.
const MERCHANT_NO: &str = "HP0000000001";
