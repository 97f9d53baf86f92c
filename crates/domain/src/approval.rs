//! What an approval is bound to: every row of a batch, its sums, and the workflow that made it.
//!
//! An approval holds the hash of these; what is released must have the same. Nothing of it changes
//! with the life of an item: a later order number or state is no other content, nor is the same
//! personal data sealed under another key.

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};

use super::actor::{Actor, is_person};
use super::ids::KeyHash;
use super::money::Amount;
use super::sealed_text::lasting;

/// Whether somebody may approve what another has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalRight {
    /// They are two persons.
    Approves,
    /// They are one, or may be: payrun itself approves nothing either.
    Own,
    /// One is a user of the machine and the other the owner of a token: who they are cannot be
    /// compared.
    Incomparable,
}

/// Compares who approves with who has started it: never the same person, by whatever name or path.
///
/// At the console anybody can give any name, so there the users of the machine are compared too.
/// `author_user`: that of the author, if they were at the console.
///
/// ```
/// use payrun_domain::{actor::Actor, approval::{ApprovalRight, right}};
/// let ann_as_bob = Actor::at_console("bob", "ann").unwrap();
/// assert_eq!(right(&ann_as_bob, "ann", Some("ann")), ApprovalRight::Own);
/// ```
pub fn right(approver: &Actor, author: &str, author_user: Option<&str>) -> ApprovalRight {
    let same = |one: &str, two: &str| one.trim().to_lowercase() == two.trim().to_lowercase();
    if !approver.is_person() || approver.is(author) {
        return ApprovalRight::Own;
    }
    if !is_person(author) {
        return ApprovalRight::Approves;
    }
    match (approver.user(), author_user) {
        (None, None) => ApprovalRight::Approves,
        (Some(user), Some(theirs))
            if same(user, theirs) || same(user, author) || approver.is(theirs) =>
        {
            ApprovalRight::Own
        }
        (Some(_), Some(_)) => ApprovalRight::Approves,
        (None, Some(_)) | (Some(_), None) => ApprovalRight::Incomparable,
    }
}

/// Where a batch comes from and where it goes.
#[derive(Debug, Clone, Copy)]
pub struct BatchOrigin<'a> {
    /// The workflow's name.
    pub workflow: &'a str,
    /// Which firing of it.
    pub occurrence: &'a str,
    /// The workflow file.
    pub source: &'a str,
    /// The run's parameters, a JSON object.
    pub params: &'a str,
    /// The job's name in the workflow.
    pub job: &'a str,
    /// Its kind.
    pub kind: &'a str,
    /// The gateway account, by its name and as the gateway tells accounts apart.
    pub account: [&'a str; 2],
}

/// One row, as it will be sent.
#[derive(Debug, Clone, Copy)]
pub struct BatchRow<'a> {
    /// Its line in the file.
    pub line: u64,
    /// What may happen at most once.
    pub key: &'a str,
    /// The key's fingerprint, of which the order number is made.
    pub key_hash: KeyHash,
    /// The order number that the user gave.
    pub custom_order_no: Option<&'a str>,
    /// Its amount.
    pub amount: Option<Amount>,
    /// Its checked fields, a JSON object.
    pub input: &'a str,
}

/// A SHA-256 of some of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentHash([u8; 32]);

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl BatchOrigin<'_> {
    /// Of the origin alone.
    pub fn content_hash(&self) -> ContentHash {
        let parts = [
            self.workflow,
            self.occurrence,
            self.source,
            self.params,
            self.job,
            self.kind,
        ];
        of(parts.into_iter().chain(self.account))
    }
}

impl BatchRow<'_> {
    /// Of the row alone.
    pub fn content_hash(&self) -> ContentHash {
        let (line, key_hash) = (self.line.to_string(), KeyDigits(self.key_hash).to_string());
        let (minor, code) = match self.amount {
            Some(amount) => (amount.minor().to_string(), amount.currency().code()),
            None => (String::new(), ""),
        };
        of([
            &line,
            self.key,
            &key_hash,
            self.custom_order_no.unwrap_or_default(),
            &minor,
            code,
            &lasting(self.input),
        ])
    }
}

/// The rows of a batch, one after the other.
#[derive(Debug)]
pub struct Batch {
    hash: Sha256,
    items: u64,
    sums: BTreeMap<&'static str, i64>,
}

impl Batch {
    /// A batch without rows yet.
    pub fn of(origin: &BatchOrigin<'_>) -> Self {
        let mut hash = Sha256::new();
        hash.update(origin.content_hash().0);
        Self {
            hash,
            items: 0,
            sums: BTreeMap::new(),
        }
    }

    /// The next row.
    pub fn add(&mut self, row: &BatchRow<'_>) {
        self.hash.update(row.content_hash().0);
        self.items += 1;
        if let Some(amount) = row.amount {
            let sum = self.sums.entry(amount.currency().code()).or_default();
            *sum = sum.saturating_add(amount.minor());
        }
    }

    /// How many rows there were.
    pub const fn items(&self) -> u64 {
        self.items
    }

    /// Minor units by currency code.
    pub const fn sums(&self) -> &BTreeMap<&'static str, i64> {
        &self.sums
    }

    /// What an approval is bound to: the origin, each row in its order, how many there are, and
    /// their sums.
    pub fn content_hash(&self) -> ContentHash {
        let mut hash = self.hash.clone();
        hash.update(self.items.to_be_bytes());
        for (code, minor) in &self.sums {
            hash.update(code.as_bytes());
            hash.update(minor.to_be_bytes());
        }
        ContentHash(hash.finalize().into())
    }
}

/// Parts are length-prefixed, so that no two contents spell the same bytes.
fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> ContentHash {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    ContentHash(hash.finalize().into())
}

struct KeyDigits(KeyHash);

impl fmt::Display for KeyDigits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::money::Currency;
    use super::*;

    /// An approver (name, user of the machine), the author, and the author's user: what follows.
    const RIGHTS: &[(&str, &str, &str, &str, ApprovalRight)] = &[
        ("bob", "", "ann", "", ApprovalRight::Approves),
        ("ann", "", "ann", "", ApprovalRight::Own),
        (" Ann ", "", "aNN", "", ApprovalRight::Own),
        ("bob", "bob", "ann", "ann", ApprovalRight::Approves),
        // Under another name, at the same desk.
        ("bob", "ann", "carl", "ann", ApprovalRight::Own),
        ("bob", "Ann ", "carl", " ann", ApprovalRight::Own),
        // The desk of one is the name of the other.
        ("bob", "ann", "ann", "carl", ApprovalRight::Own),
        ("bob", "dora", "ann", "bob", ApprovalRight::Own),
        // A token and a desk: who they are cannot be compared.
        ("bob", "bob", "ann", "", ApprovalRight::Incomparable),
        ("bob", "", "ann", "ann", ApprovalRight::Incomparable),
        // A schedule has begun it; payrun approves nothing.
        ("bob", "", "schedule", "", ApprovalRight::Approves),
        ("bob", "bob", "schedule", "", ApprovalRight::Approves),
        ("bob", "", "payrun", "ann", ApprovalRight::Approves),
    ];

    #[test]
    fn nobody_approves_their_own_batch_by_whatever_name() {
        for (name, user, author, author_user, right_of) in RIGHTS {
            let approver = if user.is_empty() {
                Actor::person(name, "a token")
            } else {
                Actor::at_console(name, user)
            };
            let author_user = Some(*author_user).filter(|user| !user.is_empty());
            let found = right(&approver.unwrap(), author, author_user);
            assert_eq!(found, *right_of, "{name} {user} {author} {author_user:?}");
        }
        assert_eq!(right(&Actor::payrun(), "ann", None), ApprovalRight::Own);
    }

    #[test]
    fn a_hash_is_written_in_hex() {
        let written = ORIGIN.content_hash().to_string();
        assert_eq!(written.len(), 64);
        assert!(written.chars().all(|c| c.is_ascii_hexdigit()));
        let digits = KeyDigits(KeyHash::of("account", "deduct", "key")).to_string();
        assert_eq!(digits.len(), 32);
        assert_ne!(digits, written);
    }

    const ORIGIN: BatchOrigin<'static> = BatchOrigin {
        workflow: "refunds",
        occurrence: "1",
        source: "workflow: refunds",
        params: "{}",
        job: "refund",
        kind: "refund",
        account: ["hk", "1900000001"],
    };

    fn row(line: u64, minor: i64, input: &str) -> BatchRow<'_> {
        let hkd = Currency::parse("HKD").unwrap();
        let amount = Amount::from_minor(minor, hkd).ok();
        BatchRow {
            line,
            key: "R-1",
            key_hash: KeyHash::of("hk", "refund", "R-1"),
            custom_order_no: None,
            amount,
            input,
        }
    }

    fn content_hash(origin: &BatchOrigin<'_>, rows: &[BatchRow<'_>]) -> ContentHash {
        let mut batch = Batch::of(origin);
        rows.iter().for_each(|row| batch.add(row));
        batch.content_hash()
    }

    #[test]
    fn another_row_amount_order_or_workflow_is_another_batch() {
        let rows = [row(1, 100, "{}"), row(2, 200, "{}")];
        let known = content_hash(&ORIGIN, &rows);
        assert_eq!(content_hash(&ORIGIN, &rows), known);
        let others = [
            content_hash(&ORIGIN, &rows[..1]),
            content_hash(&ORIGIN, &[rows[1], rows[0]]),
            content_hash(&ORIGIN, &[row(1, 101, "{}"), rows[1]]),
            content_hash(&ORIGIN, &[row(1, 100, "{\"reason\":\"x\"}"), rows[1]]),
            content_hash(
                &ORIGIN,
                &[
                    BatchRow {
                        custom_order_no: Some("A-1"),
                        ..rows[0]
                    },
                    rows[1],
                ],
            ),
            content_hash(
                &BatchOrigin {
                    source: "workflow: refunds2",
                    ..ORIGIN
                },
                &rows,
            ),
            content_hash(
                &BatchOrigin {
                    account: ["hk", "1900000002"],
                    ..ORIGIN
                },
                &rows,
            ),
        ];
        assert!(others.iter().all(|other| *other != known));
        // Personal data is the same under whichever key it is sealed, and another where it is
        // another.
        let sealed = |text: &str| {
            content_hash(
                &ORIGIN,
                &[row(
                    1,
                    100,
                    &format!("{{\"name\":{{\"sealed\":\"{text}\"}}}}"),
                )],
            )
        };
        assert_eq!(
            sealed("00112233445566ff:D:S"),
            sealed("ff11223344556600:D:T")
        );
        assert_ne!(
            sealed("00112233445566ff:D:S"),
            sealed("00112233445566ff:E:S")
        );
        assert_ne!(sealed("AAAA"), sealed("BBBB"));
        let mut batch = Batch::of(&ORIGIN);
        rows.iter().for_each(|row| batch.add(row));
        assert_eq!((batch.items(), batch.sums().get("HKD")), (2, Some(&300)));
    }
}
