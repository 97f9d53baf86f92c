//! The audit log's entries, and the chain of hashes that ties each to all before it.

use std::fmt;

use sha2::{Digest, Sha256};

use super::time::Timestamp;

/// One action: who, what, of what, why, and what it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its place, from 1, without gaps.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// Which way it came.
    pub via: String,
    /// What was done, such as `lane.suspend`.
    pub action: String,
    /// Of what, such as `lane hk` or `item 12`.
    pub target: String,
    /// Why.
    pub reason: String,
    /// What was before: a JSON object without secrets or personal data.
    pub before: String,
    /// What is after.
    pub after: String,
}

/// The hash of an entry and, through it, of all entries before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuditHash([u8; 32]);

impl AuditHash {
    /// What the first entry is tied to.
    pub const BEGIN: Self = Self([0; 32]);

    /// Ties an entry to the one before.
    ///
    /// The parts are length-prefixed, so that no two entries spell the same bytes.
    #[must_use]
    pub fn tie(self, entry: &AuditEntry) -> Self {
        let mut hash = Sha256::new();
        hash.update(self.0);
        let (seq, at) = (entry.seq.to_string(), entry.at.millis().to_string());
        let parts = [
            &seq,
            &at,
            &entry.actor,
            &entry.via,
            &entry.action,
            &entry.target,
        ];
        for part in parts
            .into_iter()
            .chain([&entry.reason, &entry.before, &entry.after])
        {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        Self(hash.finalize().into())
    }

    /// From the 64 digits it prints as.
    ///
    /// ```
    /// use payrun_domain::audit::AuditHash;
    /// assert_eq!(AuditHash::parse(&AuditHash::BEGIN.to_string()), Some(AuditHash::BEGIN));
    /// assert_eq!(AuditHash::parse("12"), None);
    /// ```
    pub fn parse(digits: &str) -> Option<Self> {
        if digits.len() != 64 || !digits.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (place, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[place * 2..place * 2 + 2], 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> AuditEntry {
        AuditEntry {
            seq: 1,
            at: Timestamp::from_millis(5),
            actor: "ann".into(),
            via: "cli (ann)".into(),
            action: "pause".into(),
            target: "all".into(),
            reason: "a test".into(),
            before: "{}".into(),
            after: "{\"paused\":true}".into(),
        }
    }

    #[test]
    fn a_change_of_any_part_or_of_what_was_before_is_another_hash() {
        let tied = AuditHash::BEGIN.tie(&entry());
        let changes: [fn(&mut AuditEntry); 9] = [
            |entry| entry.seq = 2,
            |entry| entry.at = Timestamp::from_millis(6),
            |entry| entry.actor = "bob".into(),
            |entry| entry.via = "api".into(),
            |entry| entry.action = "resume".into(),
            |entry| entry.target = "gateway hk".into(),
            |entry| entry.reason = "another".into(),
            |entry| entry.before = "{\"a\":1}".into(),
            |entry| entry.after = "{}".into(),
        ];
        for change in changes {
            let mut other = entry();
            change(&mut other);
            assert_ne!(AuditHash::BEGIN.tie(&other), tied, "{other:?}");
        }
        assert_ne!(tied.tie(&entry()), tied);
        let moved = AuditEntry {
            actor: "an".into(),
            via: "ncli (ann)".into(),
            ..entry()
        };
        assert_ne!(
            AuditHash::BEGIN.tie(&moved),
            tied,
            "parts cannot run into each other"
        );
    }

    #[test]
    fn a_link_is_read_from_its_64_digits_and_from_nothing_else() {
        let bytes: [u8; 32] = std::array::from_fn(|place| u8::try_from(place * 8).unwrap());
        let digits = "0008101820283038404850586068707880889098a0a8b0b8c0c8d0d8e0e8f0f8";
        assert_eq!(AuditHash(bytes).to_string(), digits);
        assert_eq!(AuditHash::parse(digits), Some(AuditHash(bytes)));
        for other in [
            "",
            &digits[2..],
            &format!("{digits}00"),
            &format!("{}g0", &digits[2..]),
            &"é".repeat(32),
        ] {
            assert_eq!(AuditHash::parse(other), None, "{other}");
        }
    }
}
