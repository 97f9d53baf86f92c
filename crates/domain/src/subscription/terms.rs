//! When a contract falls due: how often, on which day, from when to when, and until when a period
//! may be charged.

use chrono::{Datelike, Days, Months, NaiveDate, Weekday};
use thiserror::Error;

/// How long after its due date a period may be charged at most.
const PAY_WITHIN_MAX: u16 = 366;

/// How often a contract falls due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BillingInterval {
    /// On a day of each week.
    Week,
    /// On a day of every other week.
    TwoWeeks,
    /// On a day of each month.
    Month,
    /// On a day of every other month.
    TwoMonths,
    /// Four times a year.
    ThreeMonths,
    /// Twice a year.
    SixMonths,
    /// Once a year.
    Year,
}

/// From one due date to the next.
enum DueDateStep {
    Weeks(u32),
    Months(u32),
}

impl BillingInterval {
    /// Every form, in the order people would list them.
    pub const ALL: [Self; 7] = [
        Self::Week,
        Self::TwoWeeks,
        Self::Month,
        Self::TwoMonths,
        Self::ThreeMonths,
        Self::SixMonths,
        Self::Year,
    ];

    /// The words for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Week => "week",
            Self::TwoWeeks => "2 weeks",
            Self::Month => "month",
            Self::TwoMonths => "2 months",
            Self::ThreeMonths => "3 months",
            Self::SixMonths => "6 months",
            Self::Year => "year",
        }
    }

    /// The form of these words.
    pub fn parse(words: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|every| every.as_str() == words)
    }

    const fn step(self) -> DueDateStep {
        match self {
            Self::Week => DueDateStep::Weeks(1),
            Self::TwoWeeks => DueDateStep::Weeks(2),
            Self::Month => DueDateStep::Months(1),
            Self::TwoMonths => DueDateStep::Months(2),
            Self::ThreeMonths => DueDateStep::Months(3),
            Self::SixMonths => DueDateStep::Months(6),
            Self::Year => DueDateStep::Months(12),
        }
    }

    const fn counts_weeks(self) -> bool {
        matches!(self.step(), DueDateStep::Weeks(_))
    }
}

/// The day of the month (1 to 31), or of the week (1 is Monday), on which a contract falls due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor(u8);

/// Weekdays as files write them.
const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Anchor {
    /// From a file: `31`, or `mon` to `sun` where weeks are counted.
    ///
    /// # Errors
    /// [`TermsError::Anchor`] for any other text.
    pub fn parse(text: &str, every: BillingInterval) -> Result<Self, TermsError> {
        let wrong = || TermsError::Anchor {
            text: text.chars().take(20).collect(),
            expected: Self::expected(every),
        };
        if every.counts_weeks() {
            let place = WEEKDAYS
                .iter()
                .position(|day| *day == text)
                .and_then(|place| u8::try_from(place + 1).ok());
            return place.map(Self).ok_or_else(wrong);
        }
        text.parse()
            .ok()
            .filter(|day| (1..=31).contains(day))
            .map(Self)
            .ok_or_else(wrong)
    }

    /// The one that the first day gives where none is named.
    pub fn of(start: NaiveDate, every: BillingInterval) -> Self {
        let day = if every.counts_weeks() {
            start.weekday().number_from_monday()
        } else {
            start.day()
        };
        Self(u8::try_from(day).unwrap_or(1))
    }

    /// From the number the ledger keeps.
    pub fn from_number(number: i64, every: BillingInterval) -> Option<Self> {
        let most = if every.counts_weeks() { 7 } else { 31 };
        u8::try_from(number)
            .ok()
            .filter(|number| (1..=most).contains(number))
            .map(Self)
    }

    /// The number the ledger keeps.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// As files write it.
    pub fn text(self, every: BillingInterval) -> String {
        let weekday = WEEKDAYS
            .get(usize::from(self.0).saturating_sub(1))
            .filter(|_| every.counts_weeks());
        weekday.map_or_else(|| self.0.to_string(), |day| (*day).to_owned())
    }

    const fn expected(every: BillingInterval) -> &'static str {
        if every.counts_weeks() {
            "mon, tue, wed, thu, fri, sat or sun"
        } else {
            "a day of the month, 1 to 31"
        }
    }

    fn weekday(self) -> Weekday {
        Weekday::try_from(self.0.saturating_sub(1)).unwrap_or(Weekday::Mon)
    }
}

/// When a contract falls due. Each due date is reckoned from the first one, so that a short month
/// moves no later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BillingTerms {
    every: BillingInterval,
    anchor: Anchor,
    start: NaiveDate,
    end: Option<NaiveDate>,
    pay_within: u16,
}

/// One period of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// Its name for ever: the month it falls due in, or the day where weeks are counted.
    pub name: String,
    /// The day it falls due.
    pub due: NaiveDate,
    /// The last day on which it may be charged.
    pub pay_by: NaiveDate,
}

/// What can be wrong with a contract's terms.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TermsError {
    /// Not a day of the month, or of the week.
    #[error("anchor_day \"{text}\" is not {expected}")]
    Anchor {
        /// What was given, cut short.
        text: String,
        /// What is taken.
        expected: &'static str,
    },
    /// It ends before it starts.
    #[error("the contract ends on {end}, before it starts on {start}")]
    Order {
        /// Its first day.
        start: NaiveDate,
        /// Its last.
        end: NaiveDate,
    },
    /// Too long after the due date.
    #[error("pay_within is {days} days; 0 to {PAY_WITHIN_MAX} are possible")]
    PayWithin {
        /// What was given.
        days: u16,
    },
    /// A year that no calendar of a gateway has.
    #[error("{day} is too far away; days from 2000 to 2199 are possible")]
    Far {
        /// The day.
        day: NaiveDate,
    },
}

impl BillingTerms {
    /// The days on which periods may fall due are from `start` to `end`, both included; a period
    /// may be charged for `pay_within` days after its due date.
    ///
    /// # Errors
    /// What does not fit together.
    pub fn new(
        every: BillingInterval,
        anchor: Anchor,
        start: NaiveDate,
        end: Option<NaiveDate>,
        pay_within: u16,
    ) -> Result<Self, TermsError> {
        if let Some(day) = [Some(start), end]
            .into_iter()
            .flatten()
            .find(|day| !(2000..2200).contains(&day.year()))
        {
            return Err(TermsError::Far { day });
        }
        if let Some(end) = end.filter(|end| *end < start) {
            return Err(TermsError::Order { start, end });
        }
        if pay_within > PAY_WITHIN_MAX {
            return Err(TermsError::PayWithin { days: pay_within });
        }
        Ok(Self {
            every,
            anchor,
            start,
            end,
            pay_within,
        })
    }

    /// How often.
    pub const fn every(&self) -> BillingInterval {
        self.every
    }

    /// On which day.
    pub const fn anchor(&self) -> Anchor {
        self.anchor
    }

    /// The first day on which a period may fall due.
    pub const fn start(&self) -> NaiveDate {
        self.start
    }

    /// The last day on which a period may fall due.
    pub const fn end(&self) -> Option<NaiveDate> {
        self.end
    }

    /// For how many days after its due date a period may be charged.
    pub const fn pay_within(&self) -> u16 {
        self.pay_within
    }

    /// The same terms until another day, which may be before the start: then nothing falls due any
    /// more.
    #[must_use]
    pub const fn until(self, end: Option<NaiveDate>) -> Self {
        Self { end, ..self }
    }

    /// Whether periods fall due on the same days, the end and the pay-by rule aside.
    pub fn same_days(&self, other: &Self) -> bool {
        (self.every, self.anchor, self.start) == (other.every, other.anchor, other.start)
    }

    /// The due dates from a day on, in order.
    pub fn dues(&self, from: NaiveDate) -> impl Iterator<Item = NaiveDate> + use<> {
        let terms = *self;
        (terms.steps_before(from)..)
            .map_while(move |step| terms.nth(step))
            .skip_while(move |due| *due < from)
            .take_while(move |due| terms.end.is_none_or(|end| *due <= end))
    }

    /// The period that falls due on a day.
    pub fn period(&self, due: NaiveDate) -> Period {
        let form = if self.every.counts_weeks() {
            "%Y-%m-%d"
        } else {
            "%Y-%m"
        };
        let pay_by = due
            .checked_add_days(Days::new(self.pay_within.into()))
            .unwrap_or(due);
        Period {
            name: due.format(form).to_string(),
            due,
            pay_by,
        }
    }

    /// How many steps lie before a day, or fewer.
    fn steps_before(&self, from: NaiveDate) -> u32 {
        let days = (from - self.start).num_days().max(0);
        let steps = match self.every.step() {
            DueDateStep::Weeks(weeks) => days / (7 * i64::from(weeks)),
            DueDateStep::Months(months) => days / (31 * i64::from(months)),
        };
        u32::try_from(steps).unwrap_or(0).saturating_sub(1)
    }

    /// The due date so many steps after the first.
    fn nth(&self, step: u32) -> Option<NaiveDate> {
        match self.every.step() {
            DueDateStep::Weeks(weeks) => self
                .first_weekday()?
                .checked_add_days(Days::new(u64::from(step) * 7 * u64::from(weeks))),
            DueDateStep::Months(months) => {
                let month = self
                    .first_month()?
                    .checked_add_months(Months::new(step.checked_mul(months)?))?;
                Some(clamped(month, self.anchor))
            }
        }
    }

    fn first_weekday(&self) -> Option<NaiveDate> {
        self.start
            .iter_days()
            .take(7)
            .find(|day| day.weekday() == self.anchor.weekday())
    }

    /// The first of the month in which the first period falls due.
    fn first_month(&self) -> Option<NaiveDate> {
        let month = self.start.with_day(1)?;
        if clamped(month, self.anchor) >= self.start {
            Some(month)
        } else {
            month.checked_add_months(Months::new(1))
        }
    }
}

/// The anchor's day of a month, or the last one of a shorter month.
fn clamped(month: NaiveDate, anchor: Anchor) -> NaiveDate {
    (1..=u32::from(anchor.0))
        .rev()
        .find_map(|day| month.with_day(day))
        .unwrap_or(month)
}
