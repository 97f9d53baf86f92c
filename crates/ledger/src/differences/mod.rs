//! Differences that reconciliations found, each a row for as long as it lives: a later
//! reconciliation goes on from it, a person explains or accepts it.
//!
//! What a difference is, the engine decides; which state follows, [`payrun_domain::difference`].

mod change;
mod earlier_differences;
mod findings;
mod read;

use serde_json::json;

use crate::statements::statement_files::LineKind;
use payrun_domain::difference::{DifferenceReason, DifferenceState};
use payrun_domain::ids::KeyHash;
use payrun_domain::item::State;
use payrun_domain::money::Amount;
use payrun_domain::time::Timestamp;

pub use change::{DIFFERENCES_AT_ONCE, DifferenceChange, DifferenceOutcome};
pub use read::{DifferenceEventRow, DifferenceFilter, DifferenceSpan, DifferenceSum};

/// A difference as a reconciliation finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Why it is one.
    pub reason: DifferenceReason,
    /// The day of the statement, or on which our item was sent: `YYYY-MM-DD`.
    pub day: String,
    /// What it is about.
    pub kind: LineKind,
    /// The merchant's number of the payment; empty where there is none, as those below.
    pub order_no: String,
    /// The merchant's number of the refund.
    pub refund_no: String,
    /// The gateway's number.
    pub transaction_id: String,
    /// Our amount.
    pub ours: Option<Amount>,
    /// The gateway's.
    pub theirs: Option<Amount>,
    /// The state of our item.
    pub our_state: Option<State>,
    /// The gateway's word for the state.
    pub their_state: String,
    /// Our item.
    pub item: Option<i64>,
    /// The line of the statement.
    pub line: Option<u64>,
    /// Which total of a statement it is about, as [`SummaryRemark::total`](payrun_domain::difference::SummaryRemark).
    pub total: Option<String>,
    /// Where the reason alone does not say, for people.
    pub detail: String,
}

impl Difference {
    /// The currency it is about.
    pub fn currency(&self) -> &'static str {
        self.theirs
            .or(self.ours)
            .map_or("", |amount| amount.currency().code())
    }

    /// Whether it is the same difference, found again.
    pub fn is_same(&self, other: &Self, lane: &str) -> bool {
        self.content_hash(lane) == other.content_hash(lane)
    }

    /// A line of another system is the same line before and after its account has a rule for it.
    const fn reason_without_rules(&self) -> DifferenceReason {
        match (self.reason, self.kind) {
            (DifferenceReason::Others, LineKind::Refund) => DifferenceReason::RefundOfAnotherSystem,
            (DifferenceReason::Others, _) => DifferenceReason::MissingHere,
            (reason, _) => reason,
        }
    }

    /// What is the same whenever the same difference is found: neither our item's state, which
    /// changes, nor whether a rule says that the line is another system's, nor its sentence, nor its line in a file that a later one may replace; but the line of
    /// a number that stands there twice, and the total that it is about.
    fn content_hash(&self, lane: &str) -> KeyHash {
        let line = (self.reason == DifferenceReason::DuplicateLine)
            .then_some(self.line)
            .flatten();
        let of = |amount: Option<Amount>| {
            amount.map(|amount| (amount.minor(), amount.currency().code()))
        };
        let content = json!([
            self.reason_without_rules().as_str(),
            self.day,
            self.kind.as_str(),
            self.order_no,
            self.refund_no,
            self.transaction_id,
            of(self.ours),
            of(self.theirs),
            self.item,
            line,
            self.total,
        ]);
        KeyHash::of(lane, "difference", &content.to_string())
    }
}

/// Where a difference that was found stands in the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptDifference {
    /// Its number.
    pub id: i64,
    /// Its state.
    pub state: DifferenceState,
    /// Who looks after it.
    pub owner: Option<String>,
    /// Whether this reconciliation is the first that found it, or found it anew.
    pub is_new: bool,
}

/// A difference as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferenceRow {
    /// Its number.
    pub id: i64,
    /// The gateway account.
    pub lane: String,
    /// What it is.
    pub difference: Difference,
    /// Its state.
    pub state: DifferenceState,
    /// Counts its changes.
    pub version: i64,
    /// Who looks after it.
    pub owner: Option<String>,
    /// What a person said of it last.
    pub note: Option<String>,
    /// The item of the reconciliation that found it first, or anew.
    pub found_in: i64,
    /// When it was found for the first time.
    pub first_seen: Timestamp,
    /// When it was found last.
    pub last_seen: Timestamp,
    /// When its state, owner or note changed last.
    pub changed_at: Timestamp,
    content_hash: KeyHash,
}
