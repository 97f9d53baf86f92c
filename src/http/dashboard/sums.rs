//! Money and counts as the dashboard shows them: grouped, the code of the currency behind the
//! number, never a sign that two currencies share.

use std::collections::BTreeMap;
use std::fmt;

use crate::domain::money::{Amount, Currency, decimal_text};
use crate::domain::text::thousands as in_threes;

/// An amount or a sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sum {
    pub number: String,
    pub currency: &'static str,
}

impl Sum {
    /// Of one amount.
    pub fn of(amount: Amount) -> Self {
        Self {
            number: thousands(&amount.decimal()),
            currency: amount.currency().code(),
        }
    }

    /// Of minor units.
    pub fn of_minor(minor: i128, currency: Currency) -> Self {
        Self {
            number: thousands(&decimal_text(minor, currency)),
            currency: currency.code(),
        }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.currency)
    }
}

/// A count with its thousands apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted(pub u64);

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&thousands(&self.0.to_string()))
    }
}

/// A number with commas, as ledgers and Excel have them.
fn thousands(decimal: &str) -> String {
    in_threes(decimal).replace('\u{202f}', ",")
}

/// MoneySums by currency.
#[derive(Debug, Clone, Default)]
pub(super) struct MoneySums(BTreeMap<&'static str, (i128, Currency)>);

impl MoneySums {
    /// Adds an amount.
    pub fn add(&mut self, minor: i64, currency: Currency) {
        let sum = self.0.entry(currency.code()).or_insert((0, currency));
        sum.0 += i128::from(minor);
    }

    /// One sum a currency.
    pub fn each(&self) -> Vec<Sum> {
        self.0
            .values()
            .map(|(minor, currency)| Sum::of_minor(*minor, *currency))
            .collect()
    }
}
