//! Names of things: business keys and the order numbers derived from them.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::message::Message;

/// The longest business key that is kept, in characters.
pub const KEY_MAX: usize = 200;

/// The fingerprint of a business key within its gateway account and job kind: what may happen at
/// most once.
///
/// The same input gives the same fingerprint on any machine, and order numbers are made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyHash([u8; 16]);

impl KeyHash {
    /// Of a key in its scope. The parts are length-prefixed, so that no two scopes can spell the
    /// same bytes.
    pub fn of(gateway: &str, job_kind: &str, key: &str) -> Self {
        let mut hash = Sha256::new();
        for part in [gateway, job_kind, key] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut short = [0; 16];
        short.copy_from_slice(&hash.finalize()[..16]);
        Self(short)
    }

    /// The fingerprint of what may be in flight once at a time on an account: a value of this
    /// field.
    pub fn one_at_a_time(account: &str, field: &str, value: &str) -> Self {
        Self::of(account, &format!("one at a time/{field}"), value)
    }

    /// The fingerprint of what items of an account are for the whole, or for parts, of: these
    /// values of these fields, whatever their capitals.
    pub fn part_of(account: &str, fields: &[String], values: &[&str]) -> Self {
        // No value has a control character.
        let values = values.join("\u{1f}").to_lowercase();
        Self::of(account, &format!("part of/{}", fields.join("/")), &values)
    }

    /// From the bytes the ledger keeps.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes the ledger keeps.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// The number under which a gateway knows an item: up to 32 of the characters every gateway takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderNumber(String);

/// Crockford's base 32 in lower case: no letter that is mistaken for a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl OrderNumber {
    /// The longest order number of any gateway here.
    pub const MAX: usize = 32;

    /// Derives the number of a key's `generation` (1 is the first; a soft decline moves to the
    /// next).
    ///
    /// ```
    /// use payrun_domain::ids::{KeyHash, OrderNumber};
    /// let key = KeyHash::of("hk", "deduct", "C-1/2026-11");
    /// let first = OrderNumber::derive(key, 1);
    /// assert_eq!(first, OrderNumber::derive(key, 1));
    /// assert_ne!(first, OrderNumber::derive(key, 2));
    /// assert_eq!(first.key_hash(), Some(key));
    /// assert!(first.as_str().len() <= OrderNumber::MAX);
    /// ```
    pub fn derive(key: KeyHash, generation: u16) -> Self {
        let mut text = String::with_capacity(Self::MAX);
        let bits = u128::from_be_bytes(key.0);
        for place in (0..26).rev() {
            let digit = (bits >> (place * 5)) & 31;
            text.push(char::from(ALPHABET[usize::try_from(digit).unwrap_or(0)]));
        }
        text.push('-');
        text.push_str(&generation.to_string());
        Self(text)
    }

    /// A number given by the user or read from a gateway.
    ///
    /// # Errors
    /// If it is empty, longer than 32 characters, or has a character outside letters, digits, `_`
    /// and `-`.
    pub fn parse(text: &str) -> Result<Self, OrderNumberError> {
        if text.is_empty() || text.len() > Self::MAX {
            return Err(OrderNumberError::Length {
                length: text.chars().count(),
            });
        }
        match text
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')))
        {
            Some(bad) => Err(OrderNumberError::Alphabet { bad }),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// The fingerprint a derived number was made of; none if it was not derived.
    pub fn key_hash(&self) -> Option<KeyHash> {
        let (digits, generation) = self.0.split_once('-')?;
        generation.parse::<u16>().ok()?;
        if digits.len() != 26 {
            return None;
        }
        let mut bits: u128 = 0;
        for (place, digit) in digits.bytes().enumerate() {
            let value = ALPHABET.iter().position(|known| *known == digit)?;
            if place == 0 && value > 7 {
                return None;
            }
            bits = (bits << 5) | value as u128;
        }
        Some(KeyHash(bits.to_be_bytes()))
    }

    /// The number as the gateway sees it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrderNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What can be wrong with an order number.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OrderNumberError {
    /// Empty or too long.
    Length {
        /// Its length in characters.
        length: usize,
    },
    /// A character the gateways do not take.
    Alphabet {
        /// The first such character.
        bad: char,
    },
}

impl OrderNumberError {
    /// What is wrong.
    pub fn message(&self) -> Message {
        match self {
            Self::Length { length } => Message::new(
                "order-number-length",
                "the order number has {length} characters; gateways take 1 to 32",
            )
            .with("length", *length),
            Self::Alphabet { bad } => Message::new(
                "order-number-alphabet",
                "the order number contains {bad}; gateways take letters, digits, _ and -",
            )
            .with("bad", format!("{bad:?}")),
        }
    }
}

impl fmt::Display for OrderNumberError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_wrong_with_an_order_number_is_said() {
        let error = OrderNumberError::Alphabet { bad: '%' };
        assert!(error.to_string().contains("'%'"), "{error}");
    }

    #[test]
    fn scopes_cannot_run_into_each_other() {
        assert_ne!(KeyHash::of("a", "bc", "d"), KeyHash::of("ab", "c", "d"));
        assert_ne!(
            KeyHash::of("hk", "deduct", "1"),
            KeyHash::of("hk", "refund", "1")
        );
    }

    #[test]
    fn the_whole_that_parts_are_of_is_the_same_whatever_the_capitals() {
        let fields = ["order".to_owned(), "customs".to_owned()];
        let of = |values: [&str; 2]| KeyHash::part_of("hk", &fields, &values);
        assert_eq!(of(["P-1", "NINGBO"]), of(["p-1", "NINGBO"]));
        assert_ne!(of(["P-1", "NINGBO"]), of(["P-1", "TIANJIN"]));
        assert_ne!(of(["P", "1NINGBO"]), of(["P1", "NINGBO"]));
    }

    #[test]
    fn an_order_number_of_33_characters_or_with_a_space_is_refused() {
        assert_eq!(
            OrderNumber::parse(&"a".repeat(33)),
            Err(OrderNumberError::Length { length: 33 })
        );
        assert_eq!(
            OrderNumber::parse("a b"),
            Err(OrderNumberError::Alphabet { bad: ' ' })
        );
        assert!(OrderNumber::parse(&"a".repeat(32)).is_ok());
    }

    proptest! {
        #[test]
        fn a_derived_number_leads_back_to_its_key(key in ".{0,40}", generation in 1_u16..) {
            let hash = KeyHash::of("hk", "deduct", &key);
            let number = OrderNumber::derive(hash, generation);
            prop_assert_eq!(number.key_hash(), Some(hash));
            prop_assert!(OrderNumber::parse(number.as_str()).is_ok());
        }
    }

    #[test]
    fn the_order_number_of_a_key_never_changes() {
        // Gateways have these numbers already: another number for the same key is another payment.
        let key = KeyHash::of("hk", "deduct", "C-1/2026-11");
        for (generation, expected) in [
            (1, "4zyhm4pd4h19gvbqf50zher556-1"),
            (65_535, "4zyhm4pd4h19gvbqf50zher556-65535"),
        ] {
            let number = OrderNumber::derive(key, generation);
            assert_eq!(
                (number.as_str(), number.to_string()),
                (expected, expected.to_owned())
            );
        }
    }

    #[test]
    fn the_ledgers_16_bytes_are_a_fingerprint_and_no_other_number_of_bytes_is() {
        let key = KeyHash::of("hk", "deduct", "C-1/2026-11");
        assert_eq!(KeyHash::from_bytes(key.as_bytes()), Some(key));
        for other in [15, 17] {
            assert_eq!(KeyHash::from_bytes(&vec![7; other]), None, "{other}");
        }
    }
}
