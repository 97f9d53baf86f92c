//! Whether the audit log is what was written: its chain of hashes followed from the first entry to
//! the last.
//!
//! A cut tail leaves a chain that is sound, so the head is compared with what others know of it:
//! the entries that other tables speak of, and a hash that was noted elsewhere before (`--expect`).

use std::fmt;

use payrun_domain::audit::AuditHash;
use payrun_ledger::{Ledger, LedgerError};

/// How many entries are read at a time.
const PAGE: u32 = 1000;

/// What following the chain came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditState {
    /// Every entry is as it was written.
    Sound {
        /// How many there are.
        entries: i64,
        /// The last one's hash: whoever keeps it elsewhere can tell later that nothing was cut off.
        head: AuditHash,
    },
    /// It is not.
    Broken {
        /// The first entry of which something is wrong.
        seq: i64,
        /// What.
        fault: AuditFault,
    },
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditFault {
    /// It is not there, and others are behind it.
    Missing,
    /// Its content and the entries before it do not give its hash.
    Changed,
    /// It is not there, and another table speaks of it: the log's end was cut off.
    CutOff,
    /// No entry has the hash that was expected: the log's end was cut off, or all of it was written
    /// anew.
    NotExpected,
}

impl fmt::Display for AuditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "is missing",
            Self::Changed => "or one before it was changed: its hash is another one",
            Self::CutOff => "is missing, and other tables speak of it: the end of the log was cut off",
            Self::NotExpected => {
                "is the last, and none has the expected hash: the end of the log was cut off, or the log was written anew"
            }
        })
    }
}

/// Follows the whole chain, page by page. `expect`: a hash that was the head at some time.
///
/// # Errors
/// Whatever the ledger says.
pub async fn verify(ledger: &Ledger, expect: Option<AuditHash>) -> Result<AuditState, LedgerError> {
    let named = ledger.audit_named().await?;
    let (mut last, mut head) = (0, AuditHash::BEGIN);
    let mut seen = expect.is_none_or(|expect| expect == head);
    loop {
        let page = ledger.audit(last, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for row in page {
            if row.entry.seq != last + 1 {
                return Ok(AuditState::Broken {
                    seq: last + 1,
                    fault: AuditFault::Missing,
                });
            }
            last = row.entry.seq;
            head = head.tie(&row.entry);
            if row.hash != head.to_string() {
                return Ok(AuditState::Broken {
                    seq: last,
                    fault: AuditFault::Changed,
                });
            }
            seen |= expect == Some(head);
        }
    }
    Ok(match () {
        () if named > last => AuditState::Broken {
            seq: last + 1,
            fault: AuditFault::CutOff,
        },
        () if !seen => AuditState::Broken {
            seq: last,
            fault: AuditFault::NotExpected,
        },
        () => AuditState::Sound {
            entries: last,
            head,
        },
    })
}
