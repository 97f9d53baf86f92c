//! What was found: differences with their reasons, and how much there is of everything. It knows
//! neither ledger nor files.
//!
//! Every line and every item counts exactly once; memory is bounded, since only so many differences
//! are listed.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use payrun_domain::difference::{DifferenceReason, DifferenceState};
use payrun_domain::item::State;
use payrun_domain::money::Currency;
use payrun_ledger::{Difference, DifferenceRow, KeptDifference, LineRef};

/// The most differences that are listed; what is more is counted. Those of state have room of their
/// own beside the others: they may not drown.
pub(super) const LISTED_MAX: usize = 100_000;
const STATE_LISTED_MAX: u64 = 10_000;

/// The most differences of earlier days that are listed; what is more is counted.
const CARRIED_LISTED_MAX: usize = 10_000;

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
    /// Of the gateway's payments, those of other systems by the account's rules.
    pub others_payments: CountAndSum,
    /// Of its refunds likewise.
    pub others_refunds: CountAndSum,
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
            others_payments: self.others_payments.plus(other.others_payments),
            others_refunds: self.others_refunds.plus(other.others_refunds),
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
    /// Lines of other systems that are not listed, by the account's rules.
    pub lines_of_others: u64,
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
    /// Where each of them stands in the ledger, in the same order, once they are kept.
    pub kept: Vec<KeptDifference>,
    /// How many of earlier days are open; the first [`CARRIED_LISTED_MAX`] of them.
    pub carried_count: u64,
    pub carried: Vec<DifferenceRow>,
    /// How many of earlier reconciliations are not there any more.
    pub closed_differences: u64,
    /// How many items were closed by a line; the first [`LISTED_MAX`] of them.
    pub closed_count: u64,
    pub closed: Vec<ClosedItem>,
}

/// When a difference of the report was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sighting {
    /// By this reconciliation for the first time, or anew.
    New,
    /// By an earlier one too.
    Again,
    /// By an earlier one, of days that this one does not reconcile.
    Earlier,
}

impl Sighting {
    /// The word for it in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Again => "again",
            Self::Earlier => "earlier",
        }
    }
}

/// A difference of the report, and where it stands in the ledger.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListedDifference<'a> {
    pub id: i64,
    pub found: Sighting,
    pub state: DifferenceState,
    pub owner: Option<&'a str>,
    pub difference: &'a Difference,
}

impl Findings {
    /// The differences of these days, as far as they are listed.
    pub fn listed(&self) -> impl Iterator<Item = ListedDifference<'_>> {
        let pairs = self.differences.iter().zip(&self.kept);
        pairs.map(|(difference, kept)| ListedDifference {
            id: kept.id,
            found: if kept.is_new {
                Sighting::New
            } else {
                Sighting::Again
            },
            state: kept.state,
            owner: kept.owner.as_deref(),
            difference,
        })
    }

    /// Those of earlier days that are still open, as far as they are listed.
    pub fn earlier(&self) -> impl Iterator<Item = ListedDifference<'_>> {
        self.carried.iter().map(|row| ListedDifference {
            id: row.id,
            found: Sighting::Earlier,
            state: row.state,
            owner: row.owner.as_deref(),
            difference: &row.difference,
        })
    }

    pub fn differs(&mut self, difference: Difference) {
        let told = self.reasons.entry(difference.reason).or_default();
        *told += 1;
        let has_room = difference.reason == DifferenceReason::State && *told <= STATE_LISTED_MAX;
        if has_room || self.differences.len() < LISTED_MAX {
            self.differences.push(difference);
        }
    }

    /// One that took the place of an earlier day's, and stands in the ledger already.
    pub fn differs_and_is_kept(&mut self, difference: Difference, kept: KeptDifference) {
        *self.reasons.entry(difference.reason).or_default() += 1;
        if self.differences.len() < LISTED_MAX && self.kept.len() == self.differences.len() {
            self.differences.push(difference);
            self.kept.push(kept);
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

    /// How many are counted and not listed.
    pub fn not_listed(&self) -> u64 {
        self.count()
            .saturating_sub(u64::try_from(self.differences.len()).unwrap_or(u64::MAX))
    }

    /// Keeps a difference of an earlier day that is still open.
    pub fn carries(&mut self, row: DifferenceRow) {
        self.carried_count += 1;
        if self.carried.len() < CARRIED_LISTED_MAX {
            self.carried.push(row);
        }
    }

    /// How many are open: nobody has explained or accepted them. What is not listed is.
    pub fn open(&self) -> u64 {
        self.kept_open(|_| true)
    }

    /// How many of these no reconciliation had found before.
    pub fn new_and_open(&self) -> u64 {
        self.kept_open(|kept| kept.is_new)
    }

    fn kept_open(&self, which: impl Fn(&KeptDifference) -> bool) -> u64 {
        let open = self.kept.iter();
        let open = open.filter(|kept| kept.state == DifferenceState::Open && which(kept));
        u64::try_from(open.count()).unwrap_or(u64::MAX) + self.not_listed()
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
        self.differences.sort_by(gravest_first);
    }

    /// The same, once each is kept.
    pub fn sort_kept(&mut self) {
        let differences = std::mem::take(&mut self.differences);
        let kept = std::mem::take(&mut self.kept);
        let mut pairs: Vec<_> = differences.into_iter().zip(kept).collect();
        pairs.sort_by(|(one, _), (other, _)| gravest_first(one, other));
        (self.differences, self.kept) = pairs.into_iter().unzip();
    }
}

fn gravest_first(one: &Difference, other: &Difference) -> Ordering {
    let place = (one.reason, &one.day, one.line, one.item);
    place.cmp(&(other.reason, &other.day, other.line, other.item))
}
