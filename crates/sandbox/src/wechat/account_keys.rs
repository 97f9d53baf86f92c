//! Who the sandbox and its one merchant are: generated keys, shared by both sides through a folder
//! of files.
//!
//! Nothing here is worth anything at a real gateway. The files are kept to their owner all the
//! same, so that copying the folder's shape to a real account does not begin with readable keys.

use std::path::Path;

use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize, SerialNumber};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};

use crate::shared::key_files::{AccountKeysError, make_folder, random, read, write};
use crate::shared::keys::{FieldKey, MerchantVerifyingKey, SandboxKeyError, SandboxSigningKey};
use payrun_domain::time::Timestamp;
use payrun_project::config::{MerchantKey, Platform, PublicKey, WechatConfig, WechatMode};

/// The id under which the sandbox's platform key is its fixed public key.
pub const PUBLIC_KEY_ID: &str = "PUB_KEY_ID_0119000000012026010100000000000001";

const MERCHANT_KEY: &str = "merchant_key.pem";
const MERCHANT_CERTIFICATE: &str = "merchant_cert.pem";
const API_V3_KEY: &str = "api_v3_key.txt";
const PLATFORM_KEY: &str = "platform_key.pem";
const PLATFORM_CERTIFICATE: &str = "platform_cert.pem";
const PLATFORM_PUBLIC_KEY: &str = "platform_public_key.pem";

/// The keys and ids of both sides.
#[derive(Debug, Clone)]
pub struct WechatAccountKeys {
    /// The ids the sandbox expects; change them before it is opened.
    pub mode: WechatMode,
    pub(crate) merchant: CertifiedKey,
    api_v3_key: SecretString,
    pub(crate) platform: CertifiedKey,
}

/// A private key, its certificate and its public half.
#[derive(Debug, Clone)]
pub(crate) struct CertifiedKey {
    key: SecretString,
    pub(crate) certificate: String,
    pub(crate) serial: String,
    public: String,
}

impl WechatAccountKeys {
    /// Fresh keys: RSA of 2048 bits for both sides, with self-signed certificates, and an APIv3
    /// key.
    ///
    /// # Errors
    /// [`AccountKeysError::Generate`] if the crypto library or the system's randomness fails.
    pub fn generate() -> Result<Self, AccountKeysError> {
        Ok(Self {
            mode: own_merchant(),
            merchant: CertifiedKey::generate("payrun sandbox merchant")?,
            api_v3_key: SecretString::from(random()?),
            platform: CertifiedKey::generate("payrun sandbox platform")?,
        })
    }

    /// Writes the keys to a folder, which is created; files and folder are their owner's only.
    ///
    /// # Errors
    /// [`AccountKeysError::File`] naming the file.
    pub fn save(&self, folder: &Path) -> Result<(), AccountKeysError> {
        make_folder(folder)?;
        write(folder, MERCHANT_KEY, self.merchant.key.expose_secret())?;
        write(folder, MERCHANT_CERTIFICATE, &self.merchant.certificate)?;
        write(folder, API_V3_KEY, self.api_v3_key.expose_secret())?;
        write(folder, PLATFORM_KEY, self.platform.key.expose_secret())?;
        write(folder, PLATFORM_CERTIFICATE, &self.platform.certificate)?;
        write(folder, PLATFORM_PUBLIC_KEY, &self.platform.public)
    }

    /// Reads what [`WechatAccountKeys::save`] wrote.
    ///
    /// # Errors
    /// Which file is missing or is not what it should be.
    pub fn load(folder: &Path) -> Result<Self, AccountKeysError> {
        Ok(Self {
            mode: own_merchant(),
            merchant: CertifiedKey::load(folder, MERCHANT_KEY, MERCHANT_CERTIFICATE)?,
            api_v3_key: SecretString::from(read(folder, API_V3_KEY)?.trim().to_owned()),
            platform: CertifiedKey::load(folder, PLATFORM_KEY, PLATFORM_CERTIFICATE)?,
        })
    }

    /// The serial number of the merchant's certificate.
    pub fn merchant_serial(&self) -> &str {
        &self.merchant.serial
    }

    /// Whether this is the serial number of the merchant's certificate.
    pub fn is_of(&self, merchant_serial: &str) -> bool {
        self.merchant.serial.eq_ignore_ascii_case(merchant_serial)
    }

    /// The account a client is configured with: certificates are downloaded.
    pub fn wechat_config(&self, base_url: &str) -> WechatConfig {
        WechatConfig {
            base_url: base_url.to_owned(),
            mode: self.mode.clone(),
            merchant_keys: vec![self.merchant.merchant_key(None)],
            api_v3_keys: vec![self.api_v3_key.clone()],
            platform: Platform::certificates(),
            notify_url: "https://example.com/payrun/notifications".into(),
            settlements_by_sub_merchant: false,
        }
    }

    /// The same account in public-key mode.
    pub fn wechat_config_with_public_key(&self, base_url: &str) -> WechatConfig {
        let key = PublicKey {
            pem: self.platform.public.clone(),
            id: PUBLIC_KEY_ID.into(),
        };
        let platform = Platform {
            certificates: false,
            public_keys: vec![key],
        };
        WechatConfig {
            platform,
            ..self.wechat_config(base_url)
        }
    }

    pub(crate) fn api_v3_key(&self) -> &SecretString {
        &self.api_v3_key
    }
}

impl CertifiedKey {
    pub(crate) fn generate(name: &str) -> Result<Self, AccountKeysError> {
        let failed = |error: rcgen::Error| AccountKeysError::Generate(error.to_string());
        let pair =
            KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        // Twenty hex digits, the first of them 7: positive in DER whatever follows.
        let digits = u64::from_str_radix(&random()?[..15], 16).unwrap_or(1) | (7 << 60);
        params.serial_number = Some(SerialNumber::from(digits));
        let certificate = params.self_signed(&pair).map_err(failed)?.pem();
        Self::read(
            SecretString::from(pair.serialize_pem()),
            certificate,
            pair.public_key_pem(),
        )
    }

    fn load(folder: &Path, key: &str, certificate: &str) -> Result<Self, AccountKeysError> {
        let pem = SecretString::from(read(folder, key)?);
        let pair = KeyPair::from_pem_and_sign_algo(pem.expose_secret(), &PKCS_RSA_SHA256)
            .map_err(|_| AccountKeysError::Key(SandboxKeyError::NotPrivate))?;
        Self::read(pem, read(folder, certificate)?, pair.public_key_pem())
    }

    fn read(
        key: SecretString,
        certificate: String,
        public: String,
    ) -> Result<Self, AccountKeysError> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| AccountKeysError::Certificate)?;
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&der).map_err(|_| AccountKeysError::Certificate)?;
        // As `Wechatpay-Serial` spells it: upper-case hex, without the sign byte of DER.
        let serial = hex::encode_upper(parsed.tbs_certificate.serial.to_bytes_be());
        Ok(Self {
            key,
            certificate,
            serial,
            public,
        })
    }

    /// This as the account of a client has it, used from an instant on.
    pub(crate) fn merchant_key(&self, from: Option<Timestamp>) -> MerchantKey {
        MerchantKey {
            key: self.key.clone(),
            serial: self.serial.clone(),
            until: None,
            from,
        }
    }

    /// The public half, as PEM.
    pub(crate) fn public(&self) -> &str {
        &self.public
    }

    pub(crate) fn signing_key(&self) -> Result<SandboxSigningKey, AccountKeysError> {
        SandboxSigningKey::from_pem(&self.key).map_err(AccountKeysError::Key)
    }

    /// What was encrypted for its public half opens with this.
    pub(crate) fn field_key(&self) -> Result<FieldKey, AccountKeysError> {
        FieldKey::from_pem(&self.key).map_err(AccountKeysError::Key)
    }

    pub(crate) fn verifying_key(&self) -> Result<MerchantVerifyingKey, AccountKeysError> {
        MerchantVerifyingKey::from_pem(&self.public).map_err(AccountKeysError::Key)
    }
}

/// The sandbox's one merchant.
fn own_merchant() -> WechatMode {
    WechatMode::Common {
        mchid: "1900000001".into(),
        appid: "wx0000000000000001".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_saved_identity_comes_back_and_its_files_are_its_owners_only() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let made = WechatAccountKeys::generate().unwrap();
        made.save(&keys).unwrap();
        let read = WechatAccountKeys::load(&keys).unwrap();
        assert_eq!(read.merchant.serial, made.merchant.serial);
        assert_eq!(read.platform.public, made.platform.public);
        assert_eq!(
            read.api_v3_key.expose_secret(),
            made.api_v3_key.expose_secret()
        );
        for file in std::fs::read_dir(&keys).unwrap() {
            assert_eq!(
                file.unwrap().metadata().unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
        assert_eq!(made.platform.serial.len(), 16);
        assert!(!format!("{made:?}").contains("PRIVATE"));
    }
}
