//! What a contract costs, by day: a price holds for the periods that fall due from its day on.

use chrono::NaiveDate;
use thiserror::Error;

use crate::money::{Amount, Currency};

/// How many prices a contract may have had.
const MOST: usize = 200;

/// Prices in one currency, each from a day on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceList {
    first: Amount,
    since: NaiveDate,
    /// Later ones, in the order of their days.
    later: Vec<(NaiveDate, Amount)>,
}

/// Why a price cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PricesError {
    /// Another currency.
    #[error("the contract is in {ours}, not in {theirs}; a contract's currency does not change")]
    Currency {
        /// The contract's.
        ours: Currency,
        /// What was given.
        theirs: Currency,
    },
    /// Too many.
    #[error("the contract has had {MOST} prices; no more are kept")]
    TooMany,
}

impl PriceList {
    /// One price.
    pub const fn of(amount: Amount, since: NaiveDate) -> Self {
        Self {
            first: amount,
            since,
            later: Vec::new(),
        }
    }

    /// From steps as the ledger keeps them: a day and an amount each; none if there is no step.
    pub fn from_steps(steps: impl IntoIterator<Item = (NaiveDate, Amount)>) -> Option<Self> {
        let mut steps = steps.into_iter();
        let (since, first) = steps.next()?;
        Some(Self {
            first,
            since,
            later: steps.collect(),
        })
    }

    /// Each price with the day it holds from.
    pub fn steps(&self) -> impl Iterator<Item = (NaiveDate, Amount)> {
        std::iter::once((self.since, self.first)).chain(self.later.iter().copied())
    }

    /// The price of a period that falls due on a day.
    pub fn on(&self, due: NaiveDate) -> Amount {
        self.later
            .iter()
            .rev()
            .find(|(since, _)| *since <= due)
            .map_or(self.first, |(_, amount)| *amount)
    }

    /// The currency.
    pub const fn currency(&self) -> Currency {
        self.first.currency()
    }

    /// The same prices, and another from a day on; what was to hold later does not hold then.
    ///
    /// # Errors
    /// [`PricesError`]
    pub fn from_day(&self, day: NaiveDate, amount: Amount) -> Result<Self, PricesError> {
        if amount.currency() != self.currency() {
            return Err(PricesError::Currency {
                ours: self.currency(),
                theirs: amount.currency(),
            });
        }
        if day <= self.since {
            return Ok(Self::of(amount, self.since));
        }
        let mut later: Vec<_> = self
            .later
            .iter()
            .copied()
            .filter(|(since, _)| *since < day)
            .collect();
        if later.len() + 1 >= MOST {
            return Err(PricesError::TooMany);
        }
        later.push((day, amount));
        Ok(Self {
            later,
            ..self.clone()
        })
    }

    /// Whether this amount is the price from a day on, whatever comes later.
    pub fn is_from(&self, day: NaiveDate, amount: Amount) -> bool {
        self.on(day) == amount && self.later.iter().all(|(since, _)| *since <= day)
    }
}
