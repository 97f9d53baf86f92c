//! Amounts of a statement: decimal text in main units, exact, and allowed to be zero or negative.

use super::FileError;
use super::cells::Cell;
use super::raw_lines::RawLine;
use payrun_domain::money::{Amount, Currency, MoneyError};

/// An amount that may be zero or negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedAmount {
    /// In minor units of the currency.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

impl SignedAmount {
    /// From decimal text in main units. What is wrong is said without repeating the text.
    pub(super) fn parse(text: &str, currency: Currency) -> Result<Self, String> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.starts_with('-') {
            return Err("this is no number".into());
        }
        let minor = match Amount::of_gateway(digits, currency) {
            Ok(amount) => amount.minor(),
            Err(MoneyError::NotPositive { text: _ }) => 0,
            Err(error) => return Err(in_words(&error)),
        };
        Ok(Self {
            minor: if text.starts_with('-') { -minor } else { minor },
            currency,
        })
    }

    /// The same sum the other way.
    pub(super) const fn reversed(self) -> Self {
        Self {
            minor: -self.minor,
            currency: self.currency,
        }
    }

    /// As an amount, if it is above zero.
    pub(super) fn amount(self) -> Option<Amount> {
        Amount::from_minor(self.minor, self.currency).ok()
    }
}

/// The currency in a cell.
pub(super) fn currency(raw: &RawLine, cell: Cell<'_>) -> Result<Currency, FileError> {
    Currency::parse(cell.text).map_err(|error| raw.error(cell.column, in_words(&error)))
}

/// What is wrong, without what was written: a value in the wrong column may name a person.
fn in_words(error: &MoneyError) -> String {
    match error {
        MoneyError::NotANumber { text: _ } => "this is no number".into(),
        MoneyError::NotPositive { text: _ } => "this is not above zero".into(),
        MoneyError::TooManyDecimals {
            text: _,
            currency,
            allowed,
        } => {
            format!("more decimals than {currency} has ({allowed})")
        }
        MoneyError::OutOfRange { .. } => "this number is out of range".into(),
        MoneyError::UnknownCurrency { .. } => "this is no currency code of ISO 4217".into(),
    }
}
