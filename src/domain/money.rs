//! Amounts: a positive count of a currency's minor unit. Decimal text exists only at the edges; floats do not exist.
//!
//! The number of decimals is ISO 4217's (HKD 2, JPY and KRW 0, KWD 3). Too many decimals is an error, never rounded.

use std::fmt;

use rust_decimal::Decimal;
use thiserror::Error;

/// An ISO 4217 currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// The currency with this three-letter code, upper case as ISO writes it.
    ///
    /// # Errors
    /// [`MoneyError::UnknownCurrency`] if ISO 4217 has no such code, or none with a minor unit.
    ///
    /// ```
    /// use payrun::domain::money::Currency;
    /// assert_eq!(Currency::parse("HKD").unwrap().exponent(), 2);
    /// assert!(Currency::parse("hkd").is_err());
    /// ```
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        iso_currency::Currency::from_code(code)
            .filter(|currency| currency.exponent().is_some())
            .map(Self)
            .ok_or_else(|| MoneyError::UnknownCurrency { code: code.chars().take(12).collect() })
    }

    /// The three-letter code.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many decimals the main unit has.
    pub fn exponent(self) -> u32 {
        self.0.exponent().map_or(0, u32::from)
    }

    /// Every code that can be parsed; for suggestions.
    pub fn codes() -> impl Iterator<Item = &'static str> {
        use iso_currency::IntoEnumIterator;
        iso_currency::Currency::iter().filter(|currency| currency.exponent().is_some()).map(|currency| currency.code())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A positive amount of money, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Amount {
    minor: i64,
    currency: Currency,
}

impl Amount {
    /// From a count of minor units (cents, or whole yen).
    ///
    /// # Errors
    /// [`MoneyError::NotPositive`] for zero and below.
    pub fn from_minor(minor: i64, currency: Currency) -> Result<Self, MoneyError> {
        if minor <= 0 {
            return Err(MoneyError::NotPositive { text: minor.to_string() });
        }
        Ok(Self { minor, currency })
    }

    /// From decimal text in main units, as people write it. Zeros beyond the currency's decimals are refused too: `1.000` may be a
    /// thousand.
    ///
    /// # Errors
    /// What is wrong with the text: not a number, not above zero, more decimals than the currency has, out of range.
    ///
    /// ```
    /// use payrun::domain::money::{Amount, Currency};
    /// let hkd = Currency::parse("HKD").unwrap();
    /// assert_eq!(Amount::parse("12.5", hkd).unwrap().minor(), 1250);
    /// assert_eq!(Amount::parse("12.5", hkd).unwrap().to_string(), "12.50 HKD");
    /// assert!(Amount::parse("12.505", hkd).is_err());
    /// assert!(Amount::parse("1.000", hkd).is_err());
    /// assert_eq!(Amount::of_gateway("1.000", hkd).unwrap().minor(), 100);
    /// assert!(Amount::parse("12.5", Currency::parse("JPY").unwrap()).is_err());
    /// ```
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        Self::positive(parse_minor(text, currency)?, text, currency)
    }

    /// From decimal text as a gateway writes it, whose zeros beyond the currency's decimals say nothing.
    ///
    /// # Errors
    /// As [`Amount::parse`].
    pub fn of_gateway(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        Self::positive(minor_units(text, currency)?, text, currency)
    }

    fn positive(minor: i64, text: &str, currency: Currency) -> Result<Self, MoneyError> {
        if minor <= 0 { Err(MoneyError::NotPositive { text: shown(text) }) } else { Ok(Self { minor, currency }) }
    }

    /// The count of minor units; always above zero.
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Decimal text in main units, without the currency: `12.50`.
    pub fn decimal(self) -> String {
        decimal_text(i128::from(self.minor), self.currency)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.decimal(), self.currency)
    }
}

/// Decimal text in main units as a count of minor units, which may be zero or negative: a fee, a balance.
///
/// # Errors
/// What is wrong with the text: not a number, more decimals than the currency has (zeros or not), out of range.
pub fn parse_minor(text: &str, currency: Currency) -> Result<i64, MoneyError> {
    let minor = minor_units(text, currency)?;
    let allowed = currency.exponent();
    match text.split_once('.') {
        Some((_, decimals)) if decimals.len() > allowed as usize => {
            Err(MoneyError::TooManyDecimals { text: shown(text), currency, allowed })
        }
        Some(_) | None => Ok(minor),
    }
}

fn minor_units(text: &str, currency: Currency) -> Result<i64, MoneyError> {
    if !is_plain_decimal(text) {
        return Err(MoneyError::NotANumber { text: shown(text) });
    }
    let Ok(decimal) = Decimal::from_str_exact(text) else {
        return Err(MoneyError::OutOfRange { text: shown(text) });
    };
    let exponent = currency.exponent();
    if decimal.normalize().scale() > exponent {
        return Err(MoneyError::TooManyDecimals { text: shown(text), currency, allowed: exponent });
    }
    let minor = decimal.checked_mul(Decimal::from(10_i64.pow(exponent))).and_then(|minor| i64::try_from(minor).ok());
    minor.ok_or_else(|| MoneyError::OutOfRange { text: shown(text) })
}

/// The text, cut short, with what nobody sees or takes for something else by its name.
fn shown(text: &str) -> String {
    let name = |c: char| match c {
        ' ' => Some("blank"),
        '\u{a0}' => Some("no-break space"),
        '\u{202f}' => Some("narrow no-break space"),
        '\u{2000}'..='\u{200a}' => Some("typographic space"),
        '\u{3000}' => Some("full-width space"),
        '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' => Some("invisible character"),
        '\u{ff01}'..='\u{ff5e}' => Some("full-width character"),
        c if c.is_control() => Some("control character"),
        _ => None,
    };
    let ends = text.chars().count().saturating_sub(1);
    let mut shown = String::new();
    for (at, c) in text.chars().enumerate().take(40) {
        // A blank within is seen; one at the end is not.
        match name(c).filter(|_| c != ' ' || at == 0 || at == ends) {
            Some(name) if ('\u{ff01}'..='\u{ff5e}').contains(&c) => shown.push_str(&format!("{c}<{name}>")),
            Some(name) => shown.push_str(&format!("<{name} U+{:04X}>", u32::from(c))),
            None => shown.push(c),
        }
    }
    shown
}

/// Digits, with at most one point among them and at most one minus before them.
fn is_plain_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    !whole.is_empty()
        && !fraction.is_empty()
        && (whole.bytes().chain(fraction.bytes())).all(|byte| byte.is_ascii_digit())
}

/// A sum of minor units (which may be zero) as decimal text in main units.
///
/// ```
/// use payrun::domain::money::{decimal_text, Currency};
/// assert_eq!(decimal_text(1_250, Currency::parse("HKD").unwrap()), "12.50");
/// assert_eq!(decimal_text(1_250, Currency::parse("JPY").unwrap()), "1250");
/// ```
pub fn decimal_text(minor: i128, currency: Currency) -> String {
    Decimal::try_from_i128_with_scale(minor, currency.exponent())
        .map_or_else(|_| format!("{minor} minor units"), |sum| sum.to_string())
}

/// What can be wrong with an amount.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MoneyError {
    /// Not digits with at most one decimal point.
    #[error("\"{text}\" is not a number (write it like 12.50)")]
    NotANumber {
        /// What was given, cut short.
        text: String,
    },
    /// Zero or negative.
    #[error("the amount {text} is not above zero")]
    NotPositive {
        /// What was given.
        text: String,
    },
    /// More decimals than the currency has.
    #[error(
        "the amount {text} has more decimals than {currency} has ({allowed}); a point that separates thousands is left out"
    )]
    TooManyDecimals {
        /// What was given.
        text: String,
        /// The currency.
        currency: Currency,
        /// How many decimals it has.
        allowed: u32,
    },
    /// Does not fit.
    #[error("the amount {text} is out of range")]
    OutOfRange {
        /// What was given, cut short.
        text: String,
    },
    /// Not an ISO 4217 code.
    #[error("\"{code}\" is not a currency code of ISO 4217 (three capital letters, such as HKD)")]
    UnknownCurrency {
        /// What was given, cut short.
        code: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    #[test]
    fn what_is_not_an_amount_is_refused_by_its_own_name() {
        let hkd = currency("HKD");
        assert!(matches!(Amount::parse("", hkd), Err(MoneyError::NotANumber { .. })));
        assert!(matches!(Amount::parse("1e3", hkd), Err(MoneyError::NotANumber { .. })));
        assert!(matches!(Amount::parse("1,000.00", hkd), Err(MoneyError::NotANumber { .. })));
        assert!(matches!(Amount::parse("1.2.3", hkd), Err(MoneyError::NotANumber { .. })));
        assert!(matches!(Amount::parse("0", hkd), Err(MoneyError::NotPositive { .. })));
        assert!(matches!(Amount::parse("0.00", hkd), Err(MoneyError::NotPositive { .. })));
        assert!(matches!(Amount::parse("-5", hkd), Err(MoneyError::NotPositive { .. })));
        assert!(matches!(Amount::parse("1.001", hkd), Err(MoneyError::TooManyDecimals { .. })));
        for (text, code) in [("1.000", "HKD"), ("150.000", "VND"), ("1.000", "JPY"), ("1.0", "JPY"), ("12.500", "CLP")]
        {
            assert!(
                matches!(Amount::parse(text, currency(code)), Err(MoneyError::TooManyDecimals { .. })),
                "{text} {code}"
            );
        }
        assert_eq!(Amount::parse("1.000", currency("KWD")).unwrap().minor(), 1000);
        for (text, name) in [
            ("5.00\u{a0}", "no-break space U+00A0"),
            ("5．00", "full-width character"),
            (" 5.00", "blank U+0020"),
            ("5.00\u{200b}", "invisible character U+200B"),
        ] {
            let told = Amount::parse(text, hkd).unwrap_err().to_string();
            assert!(told.contains(name), "{told}");
        }
        assert!(matches!(Amount::parse("92233720368547758.08", hkd), Err(MoneyError::OutOfRange { .. })));
        assert!(matches!(Amount::parse(&"9".repeat(60), hkd), Err(MoneyError::OutOfRange { .. })));
    }

    #[test]
    fn exponents_are_iso_4217s() {
        for (code, exponent) in [("HKD", 2), ("CNY", 2), ("JPY", 0), ("KRW", 0), ("KWD", 3), ("VND", 0)] {
            assert_eq!(currency(code).exponent(), exponent, "{code}");
        }
        assert!(Currency::parse("HKX").is_err());
    }

    proptest! {
        #[test]
        fn text_and_minor_units_are_the_same_amount(minor in 1_i64.., code in prop::sample::select(vec!["HKD", "JPY", "KWD"])) {
            let amount = Amount::from_minor(minor, currency(code)).unwrap();
            prop_assert_eq!(Amount::parse(&amount.decimal(), currency(code)).unwrap(), amount);
        }
    }
}
