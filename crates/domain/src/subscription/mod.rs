//! Subscriptions: what a contract owes and when, and what happens to periods that are not charged.
//!
//! A contract falls due in periods. Each has a name that never changes (`2026-03`, or `2026-03-31`
//! for weeks), so that the item's key `CONTRACT/PERIOD` can be charged at most once for ever. A
//! period that is due ends in one of three ways: it is planned, it *lapses* when its pay-by date
//! passes before that, or it is *waived* because the contract was suspended or had ended. A period
//! that has lapsed is due again when a person reopens it, until the day that he names. Which of
//! these it was is for the ledger to keep; here is only what follows from the terms and a date.

mod follow_up;
mod prices;
mod record;
mod revise;
mod terms;

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::money::Amount;

pub use follow_up::{ContractFollowUp, ContractSignal, FailedItem, follow};
pub use prices::{PriceList, PricesError};
pub use record::{ContractChangeCode, ContractEvent, PeriodState};
pub use revise::{ContractOffer, RevisionError};
pub use terms::{Anchor, BillingInterval, BillingTerms, Period, TermsError};

/// How many periods of one contract are looked at together; the others come with the next run.
const AT_ONCE: usize = 1_000;

/// A contract's terms, prices and standing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// When it falls due.
    pub terms: BillingTerms,
    /// How much, by day.
    pub prices: PriceList,
    /// Whether it is charged.
    pub standing: ContractStanding,
    /// A text for the bill; no personal data.
    pub description: String,
}

/// Whether a contract is charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContractStanding {
    /// It is.
    Active,
    /// Not until somebody resumes it.
    Suspended {
        /// Periods due from this day on are not charged, not even later.
        since: NaiveDate,
        /// Why.
        reason: String,
    },
    /// Never again.
    Ended {
        /// The last day that counts.
        on: NaiveDate,
        /// Why.
        reason: String,
    },
}

impl ContractStanding {
    /// Every word for a standing.
    pub const WORDS: [&str; 3] = ["active", "suspended", "ended"];

    /// The word for it, as the ledger spells it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended { .. } => "suspended",
            Self::Ended { .. } => "ended",
        }
    }

    /// Why it is not charged.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Active => None,
            Self::Suspended { reason, .. } | Self::Ended { reason, .. } => Some(reason),
        }
    }
}

/// The days by which a run says what is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunDays {
    /// The day the run is for: what falls due until then is due.
    pub on: NaiveDate,
    /// The day it is. A run for a later day makes nothing lapse that may still be charged today.
    pub today: NaiveDate,
}

/// A period that is due and not accounted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuePeriod {
    /// Which.
    pub period: Period,
    /// How much it is.
    pub amount: Amount,
    /// Whether it may no longer be charged: its pay-by date is over.
    pub lapsed: bool,
}

/// A period that will never be charged, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaivedPeriod {
    /// Which.
    pub period: Period,
    /// How much it would have been.
    pub amount: Amount,
    /// Why.
    pub reason: String,
}

impl Subscription {
    /// What an active contract owes for a run and has not accounted for; oldest first. Nothing
    /// before `open` is looked at. Of a period that was reopened, `reopened` has the day until
    /// which it may be charged.
    ///
    /// ```
    /// use std::collections::{BTreeMap, BTreeSet};
    /// use chrono::NaiveDate;
    /// use payrun_domain::money::{Amount, Currency};
    /// use payrun_domain::subscription::{
    ///     Anchor, BillingInterval, BillingTerms, ContractStanding, PriceList, RunDays, Subscription,
    /// };
    ///
    /// let day = |month, day| NaiveDate::from_ymd_opt(2026, month, day).unwrap();
    /// let amount = Amount::parse("38.00", Currency::parse("HKD").unwrap()).unwrap();
    /// let monthly = Subscription {
    ///     terms: BillingTerms::new(
    ///         BillingInterval::Month,
    ///         Anchor::parse("31", BillingInterval::Month).unwrap(),
    ///         day(1, 1),
    ///         None,
    ///         14,
    ///     )
    ///     .unwrap(),
    ///     prices: PriceList::of(amount, day(1, 1)),
    ///     standing: ContractStanding::Active,
    ///     description: String::new(),
    /// };
    /// let run = RunDays { on: day(2, 28), today: day(2, 28) };
    /// let due = monthly.due(day(1, 1), run, &BTreeSet::new(), &BTreeMap::new());
    /// let told: Vec<_> = due.iter().map(|due| (due.period.name.as_str(), due.lapsed)).collect();
    /// assert_eq!(told, [("2026-01", true), ("2026-02", false)]);
    /// ```
    pub fn due(
        &self,
        open: NaiveDate,
        run: RunDays,
        accounted: &BTreeSet<String>,
        reopened: &BTreeMap<String, NaiveDate>,
    ) -> Vec<DuePeriod> {
        let due = |period: Period| {
            let pay_by = reopened.get(&period.name).copied().unwrap_or(period.pay_by);
            let lapsed = run.on.min(run.today) > pay_by;
            DuePeriod {
                amount: self.prices.on(period.due),
                lapsed,
                period: Period { pay_by, ..period },
            }
        };
        match self.standing {
            ContractStanding::Active => self
                .open_until(open, Some(run.on), accounted)
                .take(AT_ONCE)
                .map(due)
                .collect(),
            ContractStanding::Suspended { .. } | ContractStanding::Ended { .. } => Vec::new(),
        }
    }

    /// When the first period falls due, from `open` on, that is not accounted for; none if there
    /// will be none.
    pub fn next_due(&self, open: NaiveDate, accounted: &BTreeSet<String>) -> Option<NaiveDate> {
        match self.standing {
            ContractStanding::Ended { .. } => None,
            ContractStanding::Active | ContractStanding::Suspended { .. } => self
                .open_until(open, None, accounted)
                .next()
                .map(|period| period.due),
        }
    }

    /// Suspends it from a day on; none unless it is active.
    pub fn suspended(&self, since: NaiveDate, reason: &str) -> Option<Self> {
        let standing = ContractStanding::Suspended {
            since,
            reason: reason.to_owned(),
        };
        (self.standing == ContractStanding::Active).then(|| Self {
            standing,
            ..self.clone()
        })
    }

    /// Resumes it: periods due from `today` on are charged, those that fell into the suspension are
    /// waived. None unless it is suspended.
    pub fn resumed(
        &self,
        open: NaiveDate,
        today: NaiveDate,
        accounted: &BTreeSet<String>,
    ) -> Option<(Self, Vec<WaivedPeriod>)> {
        let ContractStanding::Suspended { since, reason } = &self.standing else {
            return None;
        };
        let waived = self.waived(
            open.max(*since),
            today.pred_opt()?,
            accounted,
            &format!("suspended: {reason}"),
        );
        Some((
            Self {
                standing: ContractStanding::Active,
                ..self.clone()
            },
            waived,
        ))
    }

    /// Ends it: what was due until then and has not been planned is waived. None if it has ended.
    pub fn ended(
        &self,
        open: NaiveDate,
        on: NaiveDate,
        reason: &str,
        accounted: &BTreeSet<String>,
    ) -> Option<(Self, Vec<WaivedPeriod>)> {
        let ended = format!("ended: {reason}");
        let waived = match &self.standing {
            ContractStanding::Ended { .. } => return None,
            ContractStanding::Active => self.waived(open, on, accounted, &ended),
            ContractStanding::Suspended { since, reason } => {
                let before = since.pred_opt()?.min(on);
                let mut waived = self.waived(open, before, accounted, &ended);
                waived.extend(self.waived(
                    open.max(*since),
                    on,
                    accounted,
                    &format!("suspended: {reason}"),
                ));
                waived
            }
        };
        let standing = ContractStanding::Ended {
            on,
            reason: reason.to_owned(),
        };
        Some((
            Self {
                standing,
                ..self.clone()
            },
            waived,
        ))
    }

    fn waived(
        &self,
        from: NaiveDate,
        until: NaiveDate,
        accounted: &BTreeSet<String>,
        reason: &str,
    ) -> Vec<WaivedPeriod> {
        self.open_until(from, Some(until), accounted)
            .map(|period| WaivedPeriod {
                amount: self.prices.on(period.due),
                period,
                reason: reason.to_owned(),
            })
            .collect()
    }

    /// Periods due from one day to another that are not accounted for.
    fn open_until<'a>(
        &'a self,
        from: NaiveDate,
        until: Option<NaiveDate>,
        accounted: &'a BTreeSet<String>,
    ) -> impl Iterator<Item = Period> + 'a {
        self.terms
            .dues(from)
            .take_while(move |due| until.is_none_or(|until| *due <= until))
            .map(|due| self.terms.period(due))
            .filter(|period| !accounted.contains(&period.name))
    }
}

#[cfg(test)]
mod tests;
