//! Which nonces were used within the time a request's timestamp is accepted. Bounded: hashes of 64
//! bits, by the minute of the timestamp, dropped when that minute can no longer be accepted.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// How many nonces are kept in all; more requests within the window are refused.
const MOST: usize = 2_000_000;

/// The nonces of the window.
#[derive(Debug, Default)]
pub(crate) struct Nonces {
    hasher: RandomState,
    by_minute: BTreeMap<i64, HashSet<u64, BuildHasherDefault<AlreadyHashed>>>,
    held: usize,
}

/// What became of a nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NonceCheck {
    /// It is new, and is known now.
    New,
    /// It was used before.
    Repeated,
    /// Too many are known already.
    Full,
}

impl Nonces {
    /// Notes a nonce under its request's timestamp, which the caller has found to be within
    /// `window` seconds of `now`.
    pub(crate) fn note(&mut self, nonce: &str, second: i64, now: i64, window: i64) -> NonceCheck {
        while let Some(oldest) = self.by_minute.first_entry() {
            if (oldest.key() + 1) * 60 > now.saturating_sub(window) {
                break;
            }
            self.held -= oldest.remove().len();
        }
        let hash = self.hasher.hash_one(nonce);
        if self.by_minute.values().any(|known| known.contains(&hash)) {
            return NonceCheck::Repeated;
        }
        if self.held >= MOST {
            return NonceCheck::Full;
        }
        self.by_minute
            .entry(second.div_euclid(60))
            .or_default()
            .insert(hash);
        self.held += 1;
        NonceCheck::New
    }
}

/// Takes a hash for what it is.
#[derive(Debug, Default)]
pub(crate) struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_repeated_until_its_minute_leaves_the_window() {
        let mut nonces = Nonces::default();
        assert_eq!(nonces.note("a", 1_000, 1_000, 300), NonceCheck::New);
        assert_eq!(nonces.note("a", 1_200, 1_200, 300), NonceCheck::Repeated);
        assert_eq!(nonces.note("b", 1_321, 1_321, 300), NonceCheck::New);
        assert_eq!(nonces.held, 1);
        assert_eq!(nonces.note("a", 1_321, 1_321, 300), NonceCheck::New);
    }
}
