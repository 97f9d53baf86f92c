//! What was found: differences with their reasons, and how much there is of everything. It knows
//! neither ledger nor files.
//!
//! Every line and every item counts exactly once; memory is bounded, since only so many differences
//! are listed.

use std::collections::BTreeMap;

use payrun_domain::item::State;
use payrun_domain::money::{Amount, Currency};
use payrun_ledger::{LineKind, LineRef};

/// The most differences that are listed; what is more is counted. Those of state have room of their
/// own beside the others: they may not drown.
pub(super) const LISTED_MAX: usize = 100_000;
const STATE_LISTED_MAX: u64 = 10_000;

/// Why something differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DifferenceReason {
    /// Money moved against what is known of our item, or the other way round.
    State,
    /// Another amount.
    Amount,
    /// Another currency.
    Currency,
    /// A payment that is not ours.
    MissingHere,
    /// A refund that is not ours.
    RefundOfAnotherSystem,
    /// Our item stands in no statement.
    MissingThere,
    /// The number stood in the statements before.
    DuplicateLine,
    /// The fee is not what the rate gives.
    Fee,
    /// A total of the statement is not what its lines come to.
    Summary,
    /// Our item belongs to the statement of a day beside.
    Timing,
}

impl DifferenceReason {
    /// All, the gravest first.
    pub const ALL: [Self; 10] = [
        Self::State,
        Self::Amount,
        Self::Currency,
        Self::MissingHere,
        Self::RefundOfAnotherSystem,
        Self::MissingThere,
        Self::DuplicateLine,
        Self::Fee,
        Self::Summary,
        Self::Timing,
    ];

    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::MissingHere => "missing_here",
            Self::RefundOfAnotherSystem => "refund_of_another_system",
            Self::MissingThere => "missing_there",
            Self::DuplicateLine => "duplicate_line",
            Self::Fee => "fee",
            Self::Summary => "summary",
            Self::Timing => "timing",
        }
    }

    /// What a person should do.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::State => {
                "Find out what happened with the gateway before anything is sent or given back; start here."
            }
            Self::Amount => "Compare the order with the gateway; refund or charge the difference.",
            Self::Currency => {
                "Compare the order with the gateway; one side has the wrong currency."
            }
            Self::MissingHere => {
                "Find out which system took this payment; payrun has no item with this number."
            }
            Self::RefundOfAnotherSystem => {
                "Find out who gave this back; if a refund of ours for this payment is still open, it may be this one."
            }
            Self::MissingThere => {
                "Look the order up (job kind query); if the gateway has no payment, ask its support."
            }
            Self::DuplicateLine => {
                "Ask the gateway whether the money moved twice or the file has the line twice."
            }
            Self::Fee => "Compare with the contract with the gateway.",
            Self::Summary => {
                "Ask the gateway how it counts; the lines themselves were all read and compared."
            }
            Self::Timing => "Nothing, if the next days' reconciliation finds it.",
        }
    }

    /// Whether it needs somebody. What a neighbouring day explains does not.
    pub const fn matters(self) -> bool {
        !matches!(self, Self::Timing)
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    pub reason: DifferenceReason,
    /// Of the statement, or on which our item was sent.
    pub day: String,
    pub kind: LineKind,
    pub order_no: String,
    pub refund_no: String,
    pub transaction_id: String,
    pub ours: Option<Amount>,
    pub theirs: Option<Amount>,
    pub our_state: Option<State>,
    pub their_state: String,
    pub item: Option<i64>,
    pub line: Option<u64>,
    /// Where the reason alone does not say.
    pub note: String,
}

impl Difference {
    /// The currency it is about.
    pub fn currency(&self) -> &'static str {
        self.theirs
            .or(self.ours)
            .map_or("", |amount| amount.currency().code())
    }
}

/// An item that a line closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClosedItem {
    pub item: i64,
    pub was: State,
    pub place: LineRef,
}

/// How many, and how much in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CountAndSum {
    pub count: u64,
    pub minor: i128,
}

impl CountAndSum {
    pub fn add(&mut self, minor: i64) {
        self.count += 1;
        self.minor += i128::from(minor);
    }

    pub const fn plus(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            minor: self.minor + other.minor,
        }
    }
}

/// What a day has in one currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CurrencyTotals {
    pub our_payments: CountAndSum,
    pub their_payments: CountAndSum,
    pub our_refunds: CountAndSum,
    pub their_refunds: CountAndSum,
    /// What the gateway keeps.
    pub fees: CountAndSum,
    /// What the gateway settles.
    pub net: CountAndSum,
}

impl CurrencyTotals {
    pub const fn plus(self, other: Self) -> Self {
        Self {
            our_payments: self.our_payments.plus(other.our_payments),
            their_payments: self.their_payments.plus(other.their_payments),
            our_refunds: self.our_refunds.plus(other.our_refunds),
            their_refunds: self.their_refunds.plus(other.their_refunds),
            fees: self.fees.plus(other.fees),
            net: self.net.plus(other.net),
        }
    }
}

/// How many lines and items there are, each counted once. A difference in the fee is beside these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ReconcileCounts {
    /// Lines read.
    pub lines: u64,
    /// Lines that agree with their item.
    pub matched_lines: u64,
    /// Of those that agree and of those that closed an item, how many are of items that were sent
    /// on other days.
    pub lines_of_other_days: u64,
    /// Lines that are neither payment nor refund.
    pub other_lines: u64,
    /// Items that succeeded and were sent in these days.
    pub items: u64,
    /// Items that stand in a statement of these days.
    pub listed_items: u64,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub counts: ReconcileCounts,
    /// By day and currency code.
    pub totals: BTreeMap<(String, &'static str), CurrencyTotals>,
    pub reasons: BTreeMap<DifferenceReason, u64>,
    /// The first [`LISTED_MAX`], about.
    pub differences: Vec<Difference>,
    /// How many items were closed by a line; the first [`LISTED_MAX`] of them.
    pub closed_count: u64,
    pub closed: Vec<ClosedItem>,
}

impl Findings {
    pub fn differs(&mut self, difference: Difference) {
        let told = self.reasons.entry(difference.reason).or_default();
        *told += 1;
        let has_room = difference.reason == DifferenceReason::State && *told <= STATE_LISTED_MAX;
        if has_room || self.differences.len() < LISTED_MAX {
            self.differences.push(difference);
        }
    }

    pub fn closes(&mut self, closed: ClosedItem) {
        self.closed_count += 1;
        if self.closed.len() < LISTED_MAX {
            self.closed.push(closed);
        }
    }

    /// The totals of a day and a currency.
    pub fn of(&mut self, day: &str, currency: Currency) -> &mut CurrencyTotals {
        self.totals
            .entry((day.to_owned(), currency.code()))
            .or_default()
    }

    /// How many differences there are.
    pub fn count(&self) -> u64 {
        self.reasons.values().sum()
    }

    /// How many of them need somebody.
    pub fn grave(&self) -> u64 {
        self.reasons
            .iter()
            .filter(|(reason, _)| reason.matters())
            .map(|(_, count)| count)
            .sum()
    }

    /// The totals of a currency over all days.
    pub fn by_currency(&self) -> BTreeMap<&'static str, CurrencyTotals> {
        let mut all = BTreeMap::<&'static str, CurrencyTotals>::new();
        for ((_, currency), totals) in &self.totals {
            let sum = all.entry(currency).or_default();
            *sum = sum.plus(*totals);
        }
        all
    }

    /// The gravest first; then by day and line.
    pub fn sort(&mut self) {
        self.differences.sort_by(|one, other| {
            (one.reason, &one.day, one.line, one.item).cmp(&(
                other.reason,
                &other.day,
                other.line,
                other.item,
            ))
        });
    }
}
