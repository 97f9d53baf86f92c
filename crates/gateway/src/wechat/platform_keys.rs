//! The gateway's own keys, by which replies and notifications are verified
//! (docs/gateways/wechat.md, "Platform keys").
//!
//! Platform certificates, downloaded, decrypted under the APIv3 key, refreshed every 12 hours and
//! whenever a serial is seen that is not known (once a minute at most, one download at a time);
//! fixed public keys; or both, of which any verifies. So no change of the platform's keys needs a
//! pause. The first download is verified by a certificate that is contained in it: what vouches for
//! that one is the APIv3 key it was encrypted with.
//!
//! Anybody can name a serial that nobody knows. So that strangers cause no downloads, one for the
//! sake of a notification is made only if the notification opens under the APIv3 key.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;
use tokio::sync::Mutex;

use super::api_v3_key::{ApiKey, SealError};
use super::channel::Channel;
use super::sensitive_fields::FieldSeal;
use super::sign::{KeyError, VerifyingKey, reply_message};
use super::transport::{Response, TransportFailure};
use super::wire::{Certificate, CertificateList};
use crate::REPLY_MAX;
use crate::exchange::{beforehand, bounded};
use crate::wechat::account::{PUBLIC_KEY_PREFIX, PublicKey, serial_hex};
use payrun_domain::time::Timestamp;

/// How old a reply may be, by its own timestamp, and how far ahead (docs/gateways/wechat.md,
/// "Response signature").
pub const WINDOW: Duration = Duration::from_secs(300);
/// When certificates are downloaded again though nothing asks for it (docs/gateways/wechat.md,
/// "Platform keys").
const REFRESH: Duration = Duration::from_secs(12 * 3600);
/// How often an unknown serial, or a failed refresh, may lead to a download.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(60);
/// How long a call waits for certificates while there is a public key to verify its reply by.
const REFRESH_WITHIN: Duration = Duration::from_secs(5);
/// The path of the download.
const CERTIFICATES: &str = "/v3/global/certificates";

/// One key of the gateway.
#[derive(Debug)]
struct PlatformKey {
    serial: String,
    key: VerifyingKey,
    seal: Arc<FieldSeal>,
    /// From and until when; a fixed public key has no end.
    valid: Option<(Timestamp, Timestamp)>,
}

impl PlatformKey {
    fn is_valid(&self, now: Timestamp) -> bool {
        self.valid
            .is_none_or(|(from, until)| from <= now && now <= until)
    }
}

/// The keys by which replies and notifications are verified.
#[derive(Debug)]
pub(super) struct Keyring {
    /// What downloads are decrypted with; none if there are only public keys.
    api_key: Option<ApiKey>,
    /// Public keys, which have no end; the first is the one that requests name.
    fixed: Vec<Arc<PlatformKey>>,
    held: RwLock<HeldKeys>,
    /// Held while a download is under way, so that there is one at a time.
    tx: Mutex<()>,
}

#[derive(Debug, Clone, Default)]
struct HeldKeys {
    keys: Vec<Arc<PlatformKey>>,
    fetched: Option<Timestamp>,
    /// When a download was last begun for the sake of an unknown serial, or a refresh failed.
    tried: Option<Timestamp>,
    /// How many downloads have ended, well or not.
    ended: u64,
    error: Option<KeyringError>,
}

impl Keyring {
    /// Public keys under their ids, and certificates where there is a key to decrypt them with;
    /// these are downloaded when they are first needed.
    pub(super) fn new(
        public_keys: &[PublicKey],
        api_key: Option<ApiKey>,
    ) -> Result<Self, KeyringError> {
        let fixed = public_keys.iter().map(fixed).collect::<Result<_, _>>()?;
        Ok(Self {
            api_key,
            fixed,
            held: RwLock::default(),
            tx: Mutex::default(),
        })
    }

    /// The serials of the keys that are valid now; public keys first.
    pub(super) fn serials(&self, now: Timestamp) -> Vec<String> {
        let held = self.held();
        let keys = self.fixed.iter().chain(&held.keys);
        keys.filter(|key| key.is_valid(now))
            .map(|key| key.serial.clone())
            .collect()
    }

    /// Until when the last of the keys is good; none where none is known, or the key has no end.
    pub(super) fn until(&self) -> Option<Timestamp> {
        self.held()
            .keys
            .iter()
            .filter_map(|key| key.valid.map(|(_, until)| until))
            .max()
    }

    /// The key to encrypt fields with, and its serial: the public key that requests name, else the
    /// newest certificate that is valid now.
    pub(super) fn newest(&self, now: Timestamp) -> Option<(String, Arc<FieldSeal>)> {
        let held = self.held();
        let certificate = || {
            held.keys
                .iter()
                .filter(|key| key.is_valid(now))
                .max_by_key(|key| key.valid.map(|(from, _)| from))
        };
        let newest = self.fixed.first().or_else(certificate)?;
        Some((newest.serial.clone(), newest.seal.clone()))
    }

    /// Makes sure that there are keys, before anything is sent that could not be verified
    /// otherwise.
    ///
    /// # Errors
    /// Only if there is no valid key at all; a refresh that fails while keys are valid is tried
    /// again a minute later. A download that does not end `within` this time has failed, for all
    /// who wait for it.
    pub(super) async fn ensure(
        &self,
        channel: &Channel,
        within: Duration,
    ) -> Result<(), KeyringError> {
        let Some(api_key) = &self.api_key else {
            return Ok(());
        };
        let seen = self.held().ended;
        if !self.is_due(channel.clock.now()) {
            return Ok(());
        }
        if !self.fixed.is_empty() {
            // A public key will do, so nobody waits for another's download, nor long for their own.
            if let Ok(_turn) = self.tx.try_lock() {
                self.try_noted(channel.clock.now());
                let downloading =
                    tokio::time::timeout(REFRESH_WITHIN, self.download(api_key, channel)).await;
                self.keep(
                    downloading.unwrap_or(Err(KeyringError::Slow)),
                    channel.clock.now(),
                );
            }
            return Ok(());
        }
        let _turn = self.tx.lock().await;
        let now = channel.clock.now();
        if self.is_due(now) && !self.failed_meanwhile(seen) {
            let downloading =
                tokio::time::timeout(beforehand(within), self.download(api_key, channel)).await;
            self.keep(downloading.unwrap_or(Err(KeyringError::Slow)), now);
        }
        let held = self.held();
        if held.keys.iter().any(|key| key.is_valid(now)) {
            Ok(())
        } else {
            Err(held.error.unwrap_or(KeyringError::NoneValid))
        }
    }

    /// Verifies a reply; an unknown serial leads to a download and a second look.
    ///
    /// # Errors
    /// What is wrong with its signature.
    pub(super) async fn verify(
        &self,
        channel: &Channel,
        response: &Response,
    ) -> Result<(), KeyringError> {
        self.verify_over(channel, response.headers(), response.body())
            .await
    }

    /// The same for a reply whose signature covers something else than its body.
    pub(super) async fn verify_over(
        &self,
        channel: &Channel,
        headers: &HeaderMap,
        covered: &[u8],
    ) -> Result<(), KeyringError> {
        self.verify_as_of(channel, headers, covered, channel.clock.now())
            .await
    }

    /// The same for what came in at another time than now.
    pub(super) async fn verify_as_of(
        &self,
        channel: &Channel,
        headers: &HeaderMap,
        covered: &[u8],
        at: Timestamp,
    ) -> Result<(), KeyringError> {
        let signed = ReplySignature::read(headers)?;
        signed.check_time(at)?;
        let Some(key) = self.find(signed.serial, at) else {
            self.look_for(signed.serial, channel).await?;
            let found = self.find(signed.serial, at);
            let key = found.ok_or_else(|| KeyringError::UnknownSerial {
                serial: shown(signed.serial),
            })?;
            return signed.check(&key.key, covered);
        };
        signed.check(&key.key, covered)
    }

    /// Whether what these headers sign, at an instant, would need a download first.
    pub(super) fn needs_download(&self, headers: &HeaderMap, at: Timestamp) -> bool {
        let may_be_downloaded =
            |serial: &str| self.api_key.is_some() && !serial.starts_with(PUBLIC_KEY_PREFIX);
        ReplySignature::read(headers).is_ok_and(|signed| {
            may_be_downloaded(signed.serial) && self.find(signed.serial, at).is_none()
        })
    }

    /// Downloads once for an unknown serial, unless another caller just did or a minute has not
    /// passed.
    ///
    /// # Errors
    /// [`KeyringError::NotNow`] if it cannot be known whether there is such a key: the download
    /// failed, or none may be made yet.
    async fn look_for(&self, serial: &str, channel: &Channel) -> Result<(), KeyringError> {
        let Some(api_key) = &self.api_key else {
            return Ok(());
        };
        if serial.starts_with(PUBLIC_KEY_PREFIX) {
            return Ok(());
        }
        let seen = self.held().ended;
        let _turn = self.tx.lock().await;
        let now = channel.clock.now();
        if self.find(serial, now).is_some() {
            return Ok(());
        }
        let paused = self
            .held()
            .tried
            .is_some_and(|tried| now.since(tried) < UNKNOWN_PAUSE && tried <= now);
        if !paused {
            // Noted first: whoever asked may go before the answer comes.
            self.try_noted(now);
            let downloaded = self.download(api_key, channel).await;
            self.keep(downloaded, now);
        }
        let held = self.held();
        match held.error {
            // One that ended after we came says what there is.
            None if held.ended > seen => Ok(()),
            error => Err(KeyringError::NotNow {
                serial: shown(serial),
                why: error.map(Box::new),
            }),
        }
    }

    fn try_noted(&self, now: Timestamp) {
        self.held
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .tried = Some(now);
    }

    async fn download(
        &self,
        api_key: &ApiKey,
        channel: &Channel,
    ) -> Result<Vec<Arc<PlatformKey>>, KeyringError> {
        let response = channel
            .send(Method::GET, CERTIFICATES, Bytes::new(), REPLY_MAX)
            .await
            .map_err(KeyringError::Download)?;
        if response.status() != http::StatusCode::OK {
            return Err(KeyringError::Refused {
                http: response.status().as_u16(),
                code: super::wire::error_code(response.body()).unwrap_or_default(),
            });
        }
        let list: CertificateList = serde_json::from_slice(response.body())
            .map_err(|_| KeyringError::Unreadable("the list is not as documented"))?;
        let keys = list
            .data
            .iter()
            .map(|entry| read_certificate(api_key, entry))
            .collect::<Result<Vec<_>, _>>()?;
        let now = channel.clock.now();
        let signed = ReplySignature::read(response.headers())?;
        signed.check_time(now)?;
        let contained = keys
            .iter()
            .find(|key| key.serial == signed.serial && key.is_valid(now))
            .cloned();
        let key = contained
            .or_else(|| self.find(signed.serial, now))
            .ok_or_else(|| KeyringError::UnknownSerial {
                serial: shown(signed.serial),
            })?;
        signed.check(&key.key, response.body())?;
        Ok(keys)
    }

    fn keep(&self, downloaded: Result<Vec<Arc<PlatformKey>>, KeyringError>, now: Timestamp) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.ended += 1;
        match downloaded {
            Ok(keys) => {
                held.keys = keys;
                held.fetched = Some(now);
                held.error = None;
            }
            Err(error) => {
                // A thousand items in a row meet the same failure; it is told once.
                if held.error.as_ref() != Some(&error) {
                    let instead = if self.fixed.is_empty() {
                        "nothing is sent without them"
                    } else {
                        "public keys are used"
                    };
                    tracing::warn!(error = %error, instead, "the platform certificates could not be had");
                }
                held.tried = Some(now);
                held.error = Some(error);
            }
        }
    }

    /// Whether a download is due: there is no valid key at all, or they are old and no refresh
    /// failed within the last minute.
    fn is_due(&self, now: Timestamp) -> bool {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let none_valid = self.fixed.is_empty() && !held.keys.iter().any(|key| key.is_valid(now));
        let old = held
            .fetched
            .is_none_or(|fetched| now.since(fetched) >= REFRESH);
        let paused = held
            .tried
            .is_some_and(|tried| now.since(tried) < UNKNOWN_PAUSE);
        none_valid || (old && !paused)
    }

    /// Whether a download that began after `seen` was read has failed: those who waited for it
    /// share its error.
    fn failed_meanwhile(&self, seen: u64) -> bool {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.ended > seen && held.error.is_some()
    }

    fn find(&self, serial: &str, now: Timestamp) -> Option<Arc<PlatformKey>> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        self.fixed
            .iter()
            .chain(&held.keys)
            .find(|key| key.serial == serial && key.is_valid(now))
            .cloned()
    }

    fn held(&self) -> HeldKeys {
        self.held
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// The headers that sign a reply.
struct ReplySignature<'a> {
    timestamp: &'a str,
    nonce: &'a str,
    serial: &'a str,
    signature: &'a str,
}

impl<'a> ReplySignature<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self, KeyringError> {
        let get = |header: &'static str| {
            let value = headers
                .get(header)
                .ok_or(KeyringError::Missing { header })?;
            value.to_str().map_err(|_| KeyringError::Missing { header })
        };
        Ok(Self {
            timestamp: get("wechatpay-timestamp")?,
            nonce: get("wechatpay-nonce")?,
            serial: get("wechatpay-serial")?,
            signature: get("wechatpay-signature")?,
        })
    }

    /// The Go SDK's rule, the strictest: 300 seconds are already too many.
    fn check_time(&self, now: Timestamp) -> Result<(), KeyringError> {
        let seconds: i64 = self.timestamp.parse().map_err(|_| KeyringError::Missing {
            header: "wechatpay-timestamp",
        })?;
        let apart = now.seconds().abs_diff(seconds);
        if apart >= WINDOW.as_secs() {
            Err(KeyringError::Stale { seconds: apart })
        } else {
            Ok(())
        }
    }

    fn check(&self, key: &VerifyingKey, body: &[u8]) -> Result<(), KeyringError> {
        let message = reply_message(self.timestamp, self.nonce, body);
        if key.verifies(&message, self.signature) {
            Ok(())
        } else {
            Err(KeyringError::Wrong)
        }
    }
}

/// Whether a reply carries any of the headers that sign it.
pub(super) fn has_signature(headers: &HeaderMap) -> bool {
    headers.contains_key("wechatpay-signature") || headers.contains_key("wechatpay-serial")
}

fn fixed(PublicKey { pem, id }: &PublicKey) -> Result<Arc<PlatformKey>, KeyringError> {
    if !id.starts_with(PUBLIC_KEY_PREFIX) {
        return Err(KeyringError::PublicKeyId);
    }
    let key = VerifyingKey::from_pem(pem).map_err(KeyringError::Key)?;
    let seal = Arc::new(FieldSeal::from_pem(pem).map_err(KeyringError::Key)?);
    Ok(Arc::new(PlatformKey {
        serial: id.to_owned(),
        key,
        seal,
        valid: None,
    }))
}

fn read_certificate(
    api_key: &ApiKey,
    entry: &Certificate,
) -> Result<Arc<PlatformKey>, KeyringError> {
    let sealed = &entry.encrypt_certificate;
    if sealed.algorithm != "AEAD_AES_256_GCM" {
        return Err(KeyringError::Unreadable(
            "the algorithm is not AEAD_AES_256_GCM",
        ));
    }
    let aad = sealed.associated_data.as_deref().unwrap_or_default();
    let pem = api_key
        .open(&sealed.nonce, aad, &sealed.ciphertext)
        .map_err(KeyringError::Sealed)?;
    let der = CertificateDer::from_pem_slice(&pem)
        .map_err(|_| KeyringError::Unreadable("a certificate is no PEM"))?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der)
        .map_err(|_| KeyringError::Unreadable("a certificate is no X.509"))?;
    let serial = serial_hex(certificate.tbs_certificate.raw_serial());
    if serial != entry.serial_no {
        return Err(KeyringError::Unreadable(
            "a certificate has another serial than its entry says",
        ));
    }
    let seconds = |at: x509_parser::time::ASN1Time| {
        Timestamp::from_millis(at.timestamp().saturating_mul(1000))
    };
    let valid = Some((
        seconds(certificate.validity().not_before),
        seconds(certificate.validity().not_after),
    ));
    let key = VerifyingKey::from_der(certificate.public_key().raw).map_err(KeyringError::Key)?;
    let seal = FieldSeal::from_der(certificate.public_key().raw).map_err(KeyringError::Key)?;
    Ok(Arc::new(PlatformKey {
        serial,
        key,
        seal: Arc::new(seal),
        valid,
    }))
}

/// What a gateway that has no certificates for us has instead: the account is in public-key mode.
const fn where_the_key_is(http: u16) -> &'static str {
    if http == 404 {
        "; where the account has a platform public key, `platform` must name it"
    } else {
        ""
    }
}

/// The beginning of a serial that somebody names: anybody can send any.
fn shown(serial: &str) -> String {
    bounded(serial.to_owned(), 64)
}

/// What is wrong with the gateway's keys or with a signature made by them.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyringError {
    /// The certificates could not be downloaded.
    #[error("the platform certificates could not be downloaded: {0}")]
    Download(TransportFailure),
    /// The certificates did not come in time.
    #[error("the platform certificates cannot be had: timed out")]
    Slow,
    /// Whether there is a certificate with this serial cannot be known just now.
    #[error(
        "the reply is signed under {serial:?}, which is not known here, and the platform certificates cannot be had just now{}",
        why.as_ref().map_or_else(String::new, |why| format!(": {why}"))
    )]
    NotNow {
        /// The serial as the reply gives it, as much of it as is shown.
        serial: String,
        /// Why the last download failed; none where the next one may not be made yet.
        why: Option<Box<KeyringError>>,
    },
    /// The gateway refused the download.
    #[error("the gateway refused the platform certificates: HTTP {http} {code}{}", where_the_key_is(*http))]
    Refused {
        /// The HTTP status.
        http: u16,
        /// The gateway's code; empty if there was none.
        code: String,
    },
    /// The list or a certificate is not as documented.
    #[error("the platform certificates cannot be read: {0}")]
    Unreadable(&'static str),
    /// A certificate does not decrypt.
    #[error("a platform certificate cannot be decrypted: {0}")]
    Sealed(SealError),
    /// A key is no key.
    #[error("a platform key cannot be used: {0}")]
    Key(KeyError),
    /// The id of a public key does not begin as it must.
    #[error("the id of a platform public key begins with PUB_KEY_ID_")]
    PublicKeyId,
    /// Every certificate is outside its validity.
    #[error("no platform certificate is valid now")]
    NoneValid,
    /// The reply lacks a header that signs it, or has one that cannot be read.
    #[error("the reply has no readable {header} header")]
    Missing {
        /// Which one.
        header: &'static str,
    },
    /// The reply's timestamp is too far from our clock.
    #[error("the reply's timestamp is {seconds} s from our clock; 300 and more are refused")]
    Stale {
        /// How far.
        seconds: u64,
    },
    /// No key with this serial is known.
    #[error(
        "the reply is signed under {serial:?}, which is not known here; where that begins with PUB_KEY_ID_, `platform` must name this public key"
    )]
    UnknownSerial {
        /// The serial as the reply gives it, as much of it as is shown.
        serial: String,
    },
    /// The signature does not fit.
    #[error("the reply's signature is wrong")]
    Wrong,
}

impl KeyringError {
    /// Whether it stays until a person has mended something, in `payrun.yaml` or at the gateway;
    /// else it may pass by itself.
    pub(super) const fn is_for_a_person(&self) -> bool {
        match self {
            Self::Refused { http, code: _ } => *http < 500 && *http != 429,
            Self::Sealed(_)
            | Self::Key(_)
            | Self::PublicKeyId
            | Self::NoneValid
            | Self::Stale { .. }
            | Self::UnknownSerial { .. }
            | Self::Wrong => true,
            Self::Download(_)
            | Self::Slow
            | Self::NotNow { .. }
            | Self::Unreadable(_)
            | Self::Missing { .. } => false,
        }
    }
}
