//! The sandbox's own keys: what verifies requests, opens their fields, seals notifications, and
//! signs replies.
//!
//! The client does all of this with aws-lc-rs. Here requests are verified and opened by
//! RustCrypto's `rsa`, and certificates and notifications are sealed by its `aes-gcm`, so that a
//! mistake of either library, or of our use of it, is no mistake of both sides. Replies are signed
//! with aws-lc-rs, which is three times as fast with a private key: what it signs, published
//! vectors and other people's clients verify as well.

use std::convert::Infallible;
use std::fmt;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rsa::hazmat::rsa_decrypt_and_check;
use rsa::pkcs1v15::{Signature, VerifyingKey as Pkcs1v15};
use rsa::pkcs8::{DecodePrivateKey, DecodePublicKey};
use rsa::rand_core::TryCryptoRng;
use rsa::sha2::Sha256;
use rsa::signature::Verifier;
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, PrivateKey, PublicKey};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

/// A key that signs replies and notifications; in tests, requests.
pub struct SandboxSigningKey(KeyPair);

impl SandboxSigningKey {
    /// Reads a PEM of PKCS#8.
    ///
    /// # Errors
    /// [`SandboxKeyError::NotPrivate`] if it is none of RSA.
    pub fn from_pem(pem: &SecretString) -> Result<Self, SandboxKeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.expose_secret().as_bytes())
            .map_err(|_| SandboxKeyError::NotPrivate)?;
        KeyPair::from_pkcs8(der.secret_pkcs8_der())
            .map(Self)
            .map_err(|_| SandboxKeyError::NotPrivate)
    }

    /// Signs by RSA PKCS#1 v1.5 with SHA-256; base64. None if the crypto library refuses.
    pub fn sign(&self, message: &[u8]) -> Option<String> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        let random = SystemRandom::new();
        self.0
            .sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
            .ok()?;
        Some(STANDARD.encode(signature))
    }
}

impl fmt::Debug for SandboxSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

/// The merchant's public key, which verifies its requests.
#[derive(Debug, Clone)]
pub(crate) struct MerchantVerifyingKey(Pkcs1v15<Sha256>);

impl MerchantVerifyingKey {
    /// Reads a PEM of a public key (`BEGIN PUBLIC KEY`).
    ///
    /// # Errors
    /// [`SandboxKeyError::NotPublic`] if it is none of RSA.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, SandboxKeyError> {
        PublicKey::from_public_key_pem(pem)
            .map(|key| Self(Pkcs1v15::new(key)))
            .map_err(|_| SandboxKeyError::NotPublic)
    }

    /// Whether this base64 is a signature of the message: RSA PKCS#1 v1.5 with SHA-256.
    pub(crate) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let bytes = STANDARD.decode(signature).unwrap_or_default();
        Signature::try_from(bytes.as_slice())
            .is_ok_and(|signature| self.0.verify(message, &signature).is_ok())
    }
}

/// The private half of a platform key, which opens the fields that were encrypted for it.
pub(crate) struct FieldKey(PrivateKey);

impl FieldKey {
    /// Reads a PEM of PKCS#8.
    ///
    /// # Errors
    /// [`SandboxKeyError::NotPrivate`] if it is none of RSA.
    pub(crate) fn from_pem(pem: &SecretString) -> Result<Self, SandboxKeyError> {
        PrivateKey::from_pkcs8_pem(pem.expose_secret())
            .map(Self)
            .map_err(|_| SandboxKeyError::NotPrivate)
    }

    /// Opens a field: RSAES-PKCS1-v1_5 from base64, and not OAEP, which the gateway refuses at the
    /// one call that encrypts (docs/gateways/wechat.md, "Encrypted fields" \[A\]). None if it is
    /// not that, was made for another key, or is no text.
    pub(crate) fn open(&self, sealed: &str) -> Option<String> {
        let sealed = STANDARD.decode(sealed).ok()?;
        let number = BoxedUint::from_be_slice(&sealed, self.0.n().bits_precision()).ok()?;
        // Not blinded: this key is worth nothing. And not by the crate's own decryption, which
        // makes up a text where there is none, so that the sandbox could not say that there is
        // none.
        let random = None::<&mut dyn TryCryptoRng<Error = Infallible>>;
        let block = rsa_decrypt_and_check(&self.0, random, &number).ok()?;
        let text = unpadded(&block.to_be_bytes())?.to_vec();
        String::from_utf8(text).ok()
    }
}

/// The text within a block of RSAES-PKCS1-v1_5 (RFC 8017, 7.2.2): 0, 2, eight or more bytes that
/// are not 0, 0, text.
fn unpadded(block: &[u8]) -> Option<&[u8]> {
    let padded = block.strip_prefix(&[0, 2])?;
    let end = padded.iter().position(|byte| *byte == 0)?;
    (end >= 8).then(|| &padded[end + 1..])
}

/// The APIv3 key, which seals certificates and notifications: AES-256-GCM
/// (docs/gateways/wechat.md, "Notifications").
pub struct SandboxApiKey(Aes256Gcm);

impl SandboxApiKey {
    /// From its 32 characters.
    ///
    /// # Errors
    /// [`SandboxKeyError::ApiKey`] if it has another length.
    pub fn new(key: &SecretString) -> Result<Self, SandboxKeyError> {
        let bytes = key.expose_secret().as_bytes();
        Aes256Gcm::new_from_slice(bytes)
            .map(Self)
            .map_err(|_| SandboxKeyError::ApiKey {
                length: bytes.len(),
            })
    }

    /// Seals a text: base64 with the tag at its end. None if the nonce has not 12 characters.
    pub fn seal(&self, nonce: &str, associated_data: &str, text: &[u8]) -> Option<String> {
        let nonce: [u8; 12] = nonce.as_bytes().try_into().ok()?;
        let payload = Payload {
            msg: text,
            aad: associated_data.as_bytes(),
        };
        let sealed = self.0.encrypt(&Nonce::from(nonce), payload).ok()?;
        Some(STANDARD.encode(sealed))
    }
}

impl fmt::Debug for SandboxApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey")
    }
}

/// 32 hex digits of the operating system's randomness; none if it has none.
pub(crate) fn nonce() -> Option<String> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(hex::encode_upper(bytes))
}

/// What is wrong with a key. Never holds key text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SandboxKeyError {
    /// No private key that signs or opens.
    #[error("this is no RSA private key as PEM of PKCS#8")]
    NotPrivate,
    /// No public key that verifies.
    #[error("this is no RSA public key as PEM")]
    NotPublic,
    /// An APIv3 key of another length.
    #[error("the APIv3 key has {length} bytes; it has 32")]
    ApiKey {
        /// Its length in bytes.
        length: usize,
    },
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair as Generated, PKCS_RSA_SHA256, RsaKeySize};
    use rustls_pki_types::SubjectPublicKeyInfoDer;

    use super::*;

    /// The public half of wechatpay-go's test key, as PEM (docs/gateways/wechat.md, "Test
    /// vectors").
    const GO_KEY: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2VCTd91fnUn73Xy9DLvt
/V62TVxRTEEstVdeRaZ3B3leO0pldE806mXO4RwdHXagHQ4vGeZN0yqm++rDsGK+
U3AH7kejyD2pXshNP9Cq5YwbptiLGtjcquw4HNxJQUOmDeJf2vg6byms9RUipiq4
SzbJKqJFlUpbuIPDpSpWz10PYmyCNeDGUUK65E5h2B834uxl1zNLYQCrkdBzb8oU
xwYeP5a2DNxmjL5lsJML7DGr5znsevnoqGRwTm9fxCGfy8wus7hwKz6clt3Whmmd
a7UAdb1c08hEQFVRbF14AR73xbnd8N0obCWJPCbzMCtkaSef4FdEEgEXJiw0VAJT
8wIDAQAB
-----END PUBLIC KEY-----
";
    const W1: &str = "BKyAfU4iMCuvXMXS0Wzam3V/cnxZ+JaqigPM5OhljS2iOT95OO6Fsuml2JkFANJU9K6q9bLlDhPXuoVz+pp4hAm6pHU4ld815U4jsKu1RkyaII+1CYBUYC8TK0XtJ8FwUXXz8vZHh58rrAVN1XwNyvD1vfpxrMT4SL536GLwvpUHlCqIMzoZUguLli/K8V29QiOhuH6IEqLNJn8e9b3nwNcQ7be3CzYGpDAKBfDGPCqCv8Rw5zndhlffk2FEA70G4hvMwe51qMN/RAJbknXG23bSlObuTCN7Ndj1aJGH6/L+hdwfLpUtJm4QYVazzW7DFD27EpSQEqA8bX9+8m1rLg==";

    fn pair() -> Generated {
        Generated::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap()
    }

    fn pem(pair: &Generated) -> SecretString {
        pair.serialize_pem().into()
    }

    #[test]
    fn vector_w1_the_go_sdk_signature_of_source_verifies() {
        let key = MerchantVerifyingKey::from_pem(GO_KEY).unwrap();
        assert!(key.verifies(b"source", W1));
        assert!(!key.verifies(b"sourcf", W1));
        assert!(!key.verifies(b"source", &W1[..W1.len() - 4]) && !key.verifies(b"source", "!"));
        let own = pair();
        let signed = SandboxSigningKey::from_pem(&pem(&own))
            .unwrap()
            .sign(b"source");
        let verifies = |pem: &str| {
            MerchantVerifyingKey::from_pem(pem)
                .unwrap()
                .verifies(b"source", signed.as_deref().unwrap())
        };
        assert!(verifies(&own.public_key_pem()) && !verifies(GO_KEY));
    }

    #[test]
    fn vector_w3_the_java_sdk_text_is_sealed_as_it_was() {
        let key = SandboxApiKey::new(&"a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb".into()).unwrap();
        assert_eq!(
            key.seal("uluk4a9R25RW", "associatedData", b"message")
                .as_deref(),
            Some("ulwSiIajGClcvcOYvOQ7+l+0PAbzzwI=")
        );
        assert_eq!(key.seal("short", "", b"message"), None);
        assert_eq!(
            SandboxApiKey::new(&"testMchAPIv3Key0".into()).unwrap_err(),
            SandboxKeyError::ApiKey { length: 16 }
        );
    }

    #[test]
    fn a_field_opens_if_it_was_encrypted_by_pkcs1_for_this_key() {
        let own = pair();
        let key = FieldKey::from_pem(&pem(&own)).unwrap();
        let sealed = encrypt_by_pkcs1(&own, "张三");
        assert_eq!(key.open(&sealed).as_deref(), Some("张三"));
        let other = FieldKey::from_pem(&pem(&pair())).unwrap();
        assert_eq!(other.open(&sealed), None);
        assert_eq!(key.open(&encrypt_by_oaep(&own, "张三")), None);
        assert_eq!(key.open("!"), None);
    }

    fn encrypt_by_pkcs1(key: &Generated, text: &str) -> String {
        use aws_lc_rs::rsa::{Pkcs1PublicEncryptingKey, PublicEncryptingKey};
        let pem = key.public_key_pem();
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).unwrap();
        let key = Pkcs1PublicEncryptingKey::new(PublicEncryptingKey::from_der(&der).unwrap());
        let key = key.unwrap();
        let mut bytes = vec![0; key.ciphertext_size()];
        let sealed = key.encrypt(text.as_bytes(), &mut bytes);
        STANDARD.encode(sealed.unwrap())
    }

    /// As most of APIv3 encrypts, and the identity check does not.
    fn encrypt_by_oaep(key: &Generated, text: &str) -> String {
        use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OaepPublicEncryptingKey, PublicEncryptingKey};
        let pem = key.public_key_pem();
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes()).unwrap();
        let key = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(&der).unwrap());
        let key = key.unwrap();
        let mut bytes = vec![0; key.ciphertext_size()];
        let sealed = key.encrypt(&OAEP_SHA1_MGF1SHA1, text.as_bytes(), &mut bytes, None);
        STANDARD.encode(sealed.unwrap())
    }
}
