//! Personal data at rest: AES-256-GCM under keys of the user's, each value bound to its field and
//! to its item.
//!
//! The first key seals, and any opens. A sealed value stands in an item's input as `{"sealed":
//! "…"}`, which no text of a file can look like, and names its key by an id (`domain/sealed_text.rs`).
//! Values from before keys had ids open under whichever key fits. Errors never hold a value. What
//! is opened lives in memory for one call.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, MAX_TAG_LEN, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use thiserror::Error;
use zeroize::Zeroizing;

use payrun_domain::ids::KeyHash;
use payrun_domain::message::Message;
use payrun_domain::sealed_text::{KEY_ID, SealedText};
use payrun_ledger::LedgerError;
use payrun_project::job_kinds::InputField;
use payrun_project::workflow::render::PersonalValues;

/// What the proof of the key of a ledger from before keys had ids is made of.
const PROOF: &str = "payrun personal data";

/// What the id of a key is made of.
const ID: &[u8] = b"payrun encryption key id";

/// What the key of personal references is bound to.
const REFERENCE_KEY: &[u8] = b"reference key";

/// How many bytes more something has when it is sealed.
pub(super) const SEALED_MORE: usize = NONCE_LEN + MAX_TAG_LEN;

/// Stands for the key of a value that names none.
const BEFORE_IDS: &str = "that the ledger was begun with";

/// How many random bytes are sealed with a text, so that its digest tells nothing of it.
const RANDOM: usize = 32;

/// The keys for personal data, the one that seals first.
pub struct Vault(Vec<SealingKey>);

struct SealingKey {
    id: String,
    key: LessSafeKey,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Vault")
            .field(&self.ids().collect::<Vec<_>>())
            .finish()
    }
}

impl Vault {
    /// From base64 of 32 bytes each, the key that seals first; none where there are no keys.
    ///
    /// # Errors
    /// [`VaultError::Key`] if one is something else, [`VaultError::Twice`] if two are the same.
    pub fn of(keys: &[SecretString]) -> Result<Option<Self>, VaultError> {
        let keys = keys
            .iter()
            .map(SealingKey::new)
            .collect::<Result<Vec<_>, _>>()?;
        if keys
            .iter()
            .enumerate()
            .any(|(at, key)| keys[..at].iter().any(|other| other.id == key.id))
        {
            return Err(VaultError::Twice);
        }
        Ok((!keys.is_empty()).then_some(Self(keys)))
    }

    /// The ids of the keys, that of the one that seals first. An id tells nothing of its key.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.id.as_str())
    }

    /// Whether one of the keys is the one that a ledger was begun with before keys had ids.
    pub fn proves(&self, proof: &str) -> bool {
        self.open(proof, PROOF.as_bytes())
            .is_ok_and(|text| text == PROOF)
    }

    /// An item's input, a JSON object, with personal data put into it sealed.
    ///
    /// # Errors
    /// [`VaultError::Seal`] if the crypto library refuses.
    pub fn seal_into(
        &self,
        mut input: String,
        private: &PersonalValues,
        key: KeyHash,
    ) -> Result<String, VaultError> {
        input.pop();
        for (name, value) in private.iter() {
            if input.len() > 1 {
                input.push(',');
            }
            let sealed = self.seal(value, &bound_to(name, key))?;
            input.push_str(&format!("{}:{}", json!(name), json!({ "sealed": sealed })));
        }
        input.push('}');
        Ok(input)
    }

    /// An item's input with everything opened that is sealed.
    fn opened(
        &self,
        input: Map<String, Value>,
        key: KeyHash,
    ) -> Result<Map<String, Value>, VaultError> {
        let open = |(name, value): (String, Value)| match sealed(&value) {
            None => Ok((name, value)),
            Some(text) => {
                let opened = self.open(text, &bound_to(&name, key))?;
                Ok((name, Value::String(opened)))
            }
        };
        input.into_iter().map(open).collect()
    }

    /// An item's input with everything in it sealed under the first key. The other fields stay byte
    /// for byte. `named`: only what names its key may be sealed again, since something is bound to
    /// the very text of what does not.
    ///
    /// # Errors
    /// As `opened`; [`VaultError::Bound`]; [`VaultError::Unreadable`] if it is no JSON object.
    pub fn reseal_input(
        &self,
        input: &str,
        key: KeyHash,
        named: bool,
    ) -> Result<String, VaultError> {
        let fields: Map<String, Value> =
            serde_json::from_str(input).map_err(|_| VaultError::Unreadable)?;
        let mut resealed = input.to_owned();
        for (name, text) in fields
            .iter()
            .filter_map(|(name, value)| Some((name, sealed(value)?)))
        {
            if named && SealedText::parse(text).is_none() {
                return Err(VaultError::Bound);
            }
            let new = self.reseal(text, &bound_to(name, key))?;
            resealed = resealed.replace(text, &new);
        }
        Ok(resealed)
    }

    /// A text of a notification, bound to the notification's digest.
    ///
    /// # Errors
    /// [`VaultError::Seal`] if the crypto library refuses.
    pub fn seal_notification(&self, text: &str, digest: &str) -> Result<String, VaultError> {
        self.seal(text, &of_notification(digest))
    }

    /// The same, opened.
    ///
    /// # Errors
    /// [`VaultError::Open`] with another key, or if it belongs to another notification.
    pub fn open_notification(&self, sealed: &str, digest: &str) -> Result<String, VaultError> {
        self.open(sealed, &of_notification(digest))
    }

    /// The same, sealed under the first key.
    ///
    /// # Errors
    /// As [`Vault::open_notification`].
    pub fn reseal_notification(&self, sealed: &str, digest: &str) -> Result<String, VaultError> {
        self.reseal(sealed, &of_notification(digest))
    }

    /// The key that personal references are hashed under.
    ///
    /// # Errors
    /// [`VaultError::Seal`] if the crypto library refuses.
    pub fn seal_reference_key(&self, key: &str) -> Result<String, VaultError> {
        self.seal(key, REFERENCE_KEY)
    }

    /// The same, opened.
    ///
    /// # Errors
    /// [`VaultError::Open`] if it is something else; [`VaultError::NoKey`].
    pub fn open_reference_key(&self, sealed: &str) -> Result<String, VaultError> {
        self.open(sealed, REFERENCE_KEY)
    }

    /// The same, sealed under the first key.
    ///
    /// # Errors
    /// As [`Vault::open_reference_key`].
    pub fn reseal_reference_key(&self, sealed: &str) -> Result<String, VaultError> {
        self.reseal(sealed, REFERENCE_KEY)
    }

    /// A file as a whole, bound to its name, under the first key; in its memory, if that has room
    /// for the bytes that sealing adds.
    ///
    /// # Errors
    /// [`VaultError::Seal`] if the crypto library refuses.
    pub fn seal_file(&self, content: Vec<u8>, name: &str) -> Result<Vec<u8>, VaultError> {
        self.first()?.seal(content, &of_file(name))
    }

    /// The same, opened in its memory. `key`: the id of its key; where it names none, whichever key
    /// fits.
    ///
    /// # Errors
    /// [`VaultError::Open`] with another key, or if it is another file; [`VaultError::NoKey`].
    pub fn open_file(
        &self,
        sealed: Vec<u8>,
        name: &str,
        key: Option<&str>,
    ) -> Result<Vec<u8>, VaultError> {
        self.open_bytes(sealed, &of_file(name), key)
    }

    fn seal(&self, text: &str, aad: &[u8]) -> Result<String, VaultError> {
        let mut random = [0_u8; RANDOM];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| VaultError::Seal)?;
        self.seal_with(&random, text, aad)
    }

    fn seal_with(&self, random: &[u8], text: &str, aad: &[u8]) -> Result<String, VaultError> {
        let content = Zeroizing::new([random, text.as_bytes()].concat());
        let key = self.first()?;
        Ok(format!(
            "{}:{}:{}",
            key.id,
            digest_of(&content),
            STANDARD.encode(key.seal(content.to_vec(), aad)?)
        ))
    }

    fn open(&self, text: &str, aad: &[u8]) -> Result<String, VaultError> {
        let (_, text) = self.open_with(text, aad)?;
        String::from_utf8(text).map_err(|_| VaultError::Open)
    }

    /// The random bytes that were sealed with a text, where there are any, and the text.
    fn open_with(&self, text: &str, aad: &[u8]) -> Result<(Option<Vec<u8>>, Vec<u8>), VaultError> {
        let decoded = |text: &str| STANDARD.decode(text).map_err(|_| VaultError::Open);
        let Some(parts) = SealedText::parse(text) else {
            return Ok((None, self.open_bytes(decoded(text)?, aad, None)?));
        };
        let content = self.open_bytes(decoded(parts.sealed)?, aad, Some(parts.key))?;
        if digest_of(&content) != parts.digest {
            return Err(VaultError::Open);
        }
        let (random, text) = content.split_at_checked(RANDOM).ok_or(VaultError::Open)?;
        Ok((Some(random.to_vec()), text.to_vec()))
    }

    /// Under the first key, with the same digest.
    fn reseal(&self, text: &str, aad: &[u8]) -> Result<String, VaultError> {
        let (random, opened) = self.open_with(text, aad)?;
        let opened = Zeroizing::new(String::from_utf8(opened).map_err(|_| VaultError::Open)?);
        match random {
            Some(random) => self.seal_with(&random, &opened, aad),
            None => self.seal(&opened, aad),
        }
    }

    fn open_bytes(
        &self,
        sealed: Vec<u8>,
        aad: &[u8],
        key: Option<&str>,
    ) -> Result<Vec<u8>, VaultError> {
        match key {
            Some(id) => self
                .0
                .iter()
                .find(|key| key.id == id)
                .ok_or_else(|| VaultError::NoKey { key: id.to_owned() })?
                .open(sealed, aad),
            None => self
                .0
                .iter()
                .find_map(|key| key.open(sealed.clone(), aad).ok())
                .ok_or(VaultError::Open),
        }
    }

    fn first(&self) -> Result<&SealingKey, VaultError> {
        self.0.first().ok_or(VaultError::Seal)
    }
}

impl SealingKey {
    fn new(key: &SecretString) -> Result<Self, VaultError> {
        let bytes = Zeroizing::new(
            STANDARD
                .decode(key.expose_secret().trim())
                .map_err(|_| VaultError::Key)?,
        );
        let id = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), ID);
        let key = UnboundKey::new(&AES_256_GCM, &bytes)
            .map(LessSafeKey::new)
            .map_err(|_| VaultError::Key)?;
        Ok(Self {
            id: hex::encode(&id.as_ref()[..KEY_ID / 2]),
            key,
        })
    }

    /// In the memory of the content, if that has room for [`SEALED_MORE`] bytes more.
    fn seal(&self, mut content: Vec<u8>, aad: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut nonce = [0_u8; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| VaultError::Seal)?;
        let sealing = self.key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(aad),
            &mut content,
        );
        sealing.map_err(|_| VaultError::Seal)?;
        content.splice(..0, nonce);
        Ok(content)
    }

    /// In the memory of what is sealed.
    fn open(&self, mut bytes: Vec<u8>, aad: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (nonce, body) = bytes
            .split_at_mut_checked(NONCE_LEN)
            .ok_or(VaultError::Open)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Open)?;
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(aad), body)
            .map_err(|_| VaultError::Open)?;
        let length = opened.len();
        bytes.drain(..NONCE_LEN);
        bytes.truncate(length);
        Ok(bytes)
    }
}

fn of_notification(digest: &str) -> Vec<u8> {
    format!("notification {digest}").into_bytes()
}

fn of_file(name: &str) -> Vec<u8> {
    format!("file {name}").into_bytes()
}

/// In base64.
fn digest_of(content: &[u8]) -> String {
    STANDARD.encode(digest::digest(&digest::SHA256, content).as_ref())
}

/// The text of a sealed value; none if it is not sealed.
pub fn sealed(value: &Value) -> Option<&str> {
    value
        .as_object()
        .filter(|object| object.len() == 1)?
        .get("sealed")?
        .as_str()
}

/// An item's input with everything opened that is sealed; `fields`: those of its kind of job.
///
/// # Errors
/// [`VaultError::Unsealed`]: payrun never wrote personal data unsealed, with a key or without.
/// [`VaultError::NoVault`] without keys; [`VaultError::Open`] with another key, or if it belongs to
/// another item or field.
pub fn open_input(
    vault: Option<&Vault>,
    input: Map<String, Value>,
    fields: &[InputField],
    key: KeyHash,
) -> Result<Map<String, Value>, VaultError> {
    let is_personal = |name: &str| {
        fields
            .iter()
            .any(|field| field.sensitive && field.name == name)
    };
    if let Some((field, _)) = input
        .iter()
        .find(|(name, value)| sealed(value).is_none() && is_personal(name))
    {
        return Err(VaultError::Unsealed {
            field: field.clone(),
        });
    }
    if !input.values().any(|value| sealed(value).is_some()) {
        return Ok(input);
    }
    vault.ok_or(VaultError::NoVault)?.opened(input, key)
}

/// Why the input of an item that stands in the ledger is not opened.
#[derive(Debug)]
pub(crate) enum StoredInputError {
    /// A key is missing, or the ledger holds what it never wrote.
    Ledger(LedgerError),
    /// Anything else.
    Vault(VaultError),
}

impl From<LedgerError> for StoredInputError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

/// The same of an item that stands in the ledger.
///
/// # Errors
/// [`LedgerError::MissingKey`] with the key, which somebody can put back; [`LedgerError::Corrupt`]
/// of what does not open under its own key.
pub(crate) fn open_stored(
    vault: Option<&Vault>,
    input: Map<String, Value>,
    fields: &[InputField],
    (item, key): (i64, KeyHash),
) -> Result<Map<String, Value>, StoredInputError> {
    let texts = input.values().filter_map(sealed);
    let keys: Vec<String> = texts
        .map(|text| SealedText::parse(text).map_or(BEFORE_IDS, |parts| parts.key))
        .map(str::to_owned)
        .collect();
    let missing = |key: &str| LedgerError::MissingKey {
        table: "items",
        id: item,
        column: "input",
        key: key.to_owned(),
    };
    open_input(vault, input, fields, key).map_err(|error| match error {
        VaultError::NoKey { key } => missing(&key).into(),
        VaultError::NoVault => missing(keys.first().map_or(BEFORE_IDS, String::as_str)).into(),
        // Nobody can tell whether another key would open it.
        VaultError::Open if keys.iter().any(|key| key == BEFORE_IDS) => missing(BEFORE_IDS).into(),
        VaultError::Open => LedgerError::corrupt("items", item, "input").into(),
        VaultError::Key
        | VaultError::Twice
        | VaultError::Seal
        | VaultError::Unreadable
        | VaultError::Unsealed { .. }
        | VaultError::Bound => StoredInputError::Vault(error),
    })
}

fn bound_to(field: &str, key: KeyHash) -> Vec<u8> {
    [field.as_bytes(), &[0], key.as_bytes()].concat()
}

/// Why personal data could not be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VaultError {
    /// The key is no base64 of 32 bytes.
    Key,
    /// A key is listed twice.
    Twice,
    /// The crypto library refused.
    Seal,
    /// It does not open.
    Open,
    /// There are no keys.
    NoVault,
    /// An item's input is no JSON object.
    Unreadable,
    /// It is not sealed, and should be.
    Unsealed {
        /// The field.
        field: String,
    },
    /// Its key is not listed.
    NoKey {
        /// Its id.
        key: String,
    },
    /// An approval is bound to the text as it is.
    Bound,
}

impl VaultError {
    /// What is wrong, and what to do.
    pub fn message(&self) -> Message {
        match self {
            Self::Key => Message::new(
                "vault-key",
                "encryption_key must be base64 of 32 bytes; `openssl rand -base64 32` makes one",
            ),
            Self::Twice => {
                Message::new("vault-twice", "encryption_key lists the same key twice")
            }
            Self::Seal => Message::new("vault-seal", "personal data could not be encrypted"),
            Self::Open => Message::new(
                "vault-open",
                "personal data does not decrypt: it was changed, or encryption_key lacks the key that it is kept under",
            ),
            Self::NoVault => Message::new(
                "vault-none",
                "personal data needs encryption_key in payrun.yaml",
            ),
            Self::Unreadable => {
                Message::new("vault-unreadable", "its input is no JSON object")
            }
            Self::Unsealed { field } => Message::new(
                "vault-unsealed",
                "{field} is personal data, and stands in the ledger unsealed: it was changed there, or its kind of job did not call it \
                 sensitive when it was planned",
            )
            .with("field", field),
            Self::NoKey { key } => Message::new(
                "vault-no-key",
                "personal data is kept under the key {key}, which encryption_key does not list here: put that key behind the first one",
            )
            .with("key", key),
            Self::Bound => Message::new(
                "vault-bound",
                "an approval from before keys had ids is bound to it as it is; it goes with the evidence of its run",
            ),
        }
    }
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SecretString {
        SecretString::from(STANDARD.encode([byte; 32]))
    }

    fn vault(bytes: &[u8]) -> Vault {
        Vault::of(&bytes.iter().copied().map(key).collect::<Vec<_>>())
            .unwrap()
            .unwrap()
    }

    fn id_of(byte: u8) -> String {
        vault(&[byte]).ids().next().unwrap().to_owned()
    }

    fn parsed(input: &str) -> Map<String, Value> {
        serde_json::from_str(input).unwrap()
    }

    /// As payrun sealed before keys had ids.
    fn old_text(byte: u8, text: &str, aad: &[u8]) -> String {
        STANDARD.encode(
            SealingKey::new(&key(byte))
                .unwrap()
                .seal(text.as_bytes().to_vec(), aad)
                .unwrap(),
        )
    }

    #[test]
    fn personal_data_opens_for_its_own_item_field_and_key_only() {
        let (key, other) = (
            KeyHash::of("a", "declare", "1"),
            KeyHash::of("a", "declare", "2"),
        );
        let private = PersonalValues::new(vec![("name".to_owned(), "Li \"Lei\"".to_owned())]);
        let one = vault(&[1]);
        let input = one
            .seal_into(r#"{"customs":"SHENZHEN"}"#.to_owned(), &private, key)
            .unwrap();
        assert!(!input.contains("Li "));
        let opened = one.opened(parsed(&input), key).unwrap();
        assert_eq!(
            (opened["name"].as_str(), opened["customs"].as_str()),
            (Some("Li \"Lei\""), Some("SHENZHEN"))
        );
        assert_eq!(one.opened(parsed(&input), other), Err(VaultError::Open));
        assert_eq!(
            vault(&[2]).opened(parsed(&input), key),
            Err(VaultError::NoKey { key: id_of(1) })
        );
        let renamed = Map::from_iter([("cert_id".to_owned(), parsed(&input)["name"].clone())]);
        assert_eq!(one.opened(renamed, key), Err(VaultError::Open));
        assert_eq!(
            one.seal_into("{}".to_owned(), &private, key)
                .unwrap()
                .matches("name")
                .count(),
            1
        );
    }

    #[test]
    fn of_a_stored_item_the_missing_key_is_named_and_what_does_not_open_under_its_own_is_corrupt() {
        let (key, other) = (
            KeyHash::of("a", "declare", "1"),
            KeyHash::of("a", "declare", "2"),
        );
        let private = PersonalValues::new(vec![("name".to_owned(), "Li Lei".to_owned())]);
        let sealed = vault(&[1])
            .seal_into("{}".to_owned(), &private, key)
            .unwrap();
        let old = json!({ "name": { "sealed": old_text(1, "Li Lei", &bound_to("name", key)) } });
        let opened = |vault: Option<&Vault>, input: &str, key: KeyHash| match open_stored(
            vault,
            parsed(input),
            &[],
            (7, key),
        ) {
            Ok(opened) => opened["name"].as_str().unwrap().to_owned(),
            Err(StoredInputError::Ledger(error)) => error.to_string(),
            Err(StoredInputError::Vault(error)) => panic!("{error}"),
        };
        let (one, two) = (vault(&[1]), vault(&[2]));
        assert_eq!(opened(Some(&one), &sealed, key), "Li Lei");
        let lacks = format!("lacks the key {},", id_of(1));
        for vault in [None, Some(&two)] {
            let why = opened(vault, &sealed, key);
            assert!(why.contains(&lacks), "{why}");
            let why = opened(vault, &old.to_string(), key);
            assert!(
                why.contains("the key that the ledger was begun with,"),
                "{why}"
            );
        }
        let why = opened(Some(&one), &sealed, other);
        assert!(
            why.contains("input of row 7 in items cannot be read"),
            "{why}"
        );
    }

    #[test]
    fn any_key_opens_the_first_seals_and_the_digest_stays() {
        let item = KeyHash::of("a", "declare", "1");
        let private = PersonalValues::new(vec![
            ("name".to_owned(), "Li Lei".to_owned()),
            ("card".to_owned(), "1".to_owned()),
        ]);
        let input = vault(&[1])
            .seal_into(r#"{"z":"1","a":"2"}"#.to_owned(), &private, item)
            .unwrap();
        let both = vault(&[2, 1]);
        assert_eq!(both.opened(parsed(&input), item).unwrap()["name"], "Li Lei");
        let resealed = both.reseal_input(&input, item, true).unwrap();
        assert_ne!(resealed, input);
        assert_eq!(
            vault(&[2]).opened(parsed(&resealed), item).unwrap()["card"],
            "1"
        );
        assert_eq!(
            vault(&[1]).opened(parsed(&resealed), item),
            Err(VaultError::NoKey { key: id_of(2) })
        );
        let lasting = payrun_domain::sealed_text::lasting;
        assert_eq!(lasting(&resealed), lasting(&input));
        assert!(
            lasting(&input).starts_with(r#"{"z":"1","a":"2","name":{"sealed":""#),
            "{}",
            lasting(&input)
        );
        // Who has a key can seal another text, and not under the same digest.
        let text = sealed(&parsed(&input)["name"]).unwrap().to_owned();
        let forged = vault(&[1])
            .seal("Han Meimei", &bound_to("name", item))
            .unwrap();
        let (ours, theirs) = (
            SealedText::parse(&text).unwrap(),
            SealedText::parse(&forged).unwrap(),
        );
        let mixed = format!("{}:{}:{}", ours.key, ours.digest, theirs.sealed);
        assert_eq!(
            both.opened(
                Map::from_iter([("name".to_owned(), json!({ "sealed": mixed }))]),
                item
            ),
            Err(VaultError::Open)
        );
    }

    #[test]
    fn what_was_sealed_before_keys_had_ids_opens_under_whichever_key_fits() {
        let item = KeyHash::of("a", "declare", "1");
        let old = old_text(1, "Li Lei", &bound_to("name", item));
        let input = json!({ "name": { "sealed": old } }).to_string();
        for keys in [&[1][..], &[2, 1]] {
            assert_eq!(
                vault(keys).opened(parsed(&input), item).unwrap()["name"],
                "Li Lei"
            );
        }
        assert_eq!(
            vault(&[2]).opened(parsed(&input), item),
            Err(VaultError::Open)
        );
        assert_eq!(
            vault(&[2, 1]).reseal_input(&input, item, true),
            Err(VaultError::Bound)
        );
        let resealed = vault(&[2, 1]).reseal_input(&input, item, false).unwrap();
        assert_eq!(
            vault(&[2]).opened(parsed(&resealed), item).unwrap()["name"],
            "Li Lei"
        );
        let proof = old_text(1, PROOF, PROOF.as_bytes());
        assert!(vault(&[2, 1]).proves(&proof) && !vault(&[2]).proves(&proof));
        let notification = old_text(1, "eyJ9", b"notification abc");
        assert_eq!(
            vault(&[2, 1])
                .open_notification(&notification, "abc")
                .as_deref(),
            Ok("eyJ9")
        );
        let resealed = vault(&[2, 1])
            .reseal_notification(&notification, "abc")
            .unwrap();
        assert_eq!(
            vault(&[2]).open_notification(&resealed, "abc").as_deref(),
            Ok("eyJ9")
        );
        assert_eq!(
            vault(&[2]).open_notification(&resealed, "abd"),
            Err(VaultError::Open)
        );
    }

    #[test]
    fn a_short_key_and_the_same_key_twice_are_refused_and_ids_are_no_keys() {
        assert_eq!(
            Vault::of(&[SecretString::from("c2hvcnQ=")]).err(),
            Some(VaultError::Key)
        );
        assert_eq!(
            Vault::of(&[key(1), key(2), key(1)]).err(),
            Some(VaultError::Twice)
        );
        assert!(Vault::of(&[]).unwrap().is_none());
        let shown = format!("{:?}", vault(&[1, 2]));
        assert!(
            !shown.contains(&STANDARD.encode([1; 32])) && !shown.contains(&hex::encode([1; 8])),
            "{shown}"
        );
    }
}
