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

/// The minor units of a sum that a person has typed: with or without separators between thousands,
/// with or without the code of its currency, by a Chinese keyboard or another. None where it is no
/// such sum.
pub(super) fn typed_sum(text: &str, currency: Currency) -> Option<i128> {
    let plain: String = text.trim().chars().map(half_width).collect();
    let upper = plain.to_ascii_uppercase();
    let number = upper
        .strip_suffix(currency.code())
        .or_else(|| upper.strip_prefix(currency.code()))
        .unwrap_or(&upper);
    let (whole, fraction) = number.trim().split_once('.').unwrap_or((number.trim(), ""));
    let places = currency.exponent() as usize;
    let is_number = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    if fraction.len() > places || !is_number(fraction) {
        return None;
    }
    let whole = without_separators(whole)?;
    format!("{whole}{fraction:0<places$}").parse().ok()
}

/// The digits of a whole number, of which commas or spaces hold threes apart, or nothing does.
fn without_separators(whole: &str) -> Option<String> {
    let groups: Vec<&str> = whole.split([',', ' ']).collect();
    let is_three = |group: &&str| group.len() == 3;
    let are_threes = groups.iter().skip(1).all(is_three);
    let first_fits = groups.len() == 1 || (1..=3).contains(&groups[0].len());
    let digits = groups.concat();
    let are_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    (are_threes && first_fits && are_digits).then_some(digits)
}

/// What a keyboard for Chinese writes, as it is written otherwise.
fn half_width(c: char) -> char {
    match c {
        '\u{3000}' | '\u{a0}' | '\u{2009}' | '\u{202f}' => ' ',
        '，' => ',',
        '．' | '。' => '.',
        '０'..='９' | 'Ａ'..='Ｚ' | 'ａ'..='ｚ' => {
            char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c)
        }
        other => other,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_typed_with_or_without_separators_and_never_in_another_way() {
        let (hkd, jpy) = (
            Currency::parse("HKD").unwrap(),
            Currency::parse("JPY").unwrap(),
        );
        for text in [
            "1234567.50",
            "1,234,567.50",
            " 1 234 567.5 ",
            "HKD 1,234,567.50",
            "1234567.50hkd",
            "１，２３４，５６７．５０",
            "1\u{202f}234\u{202f}567.50",
        ] {
            assert_eq!(typed_sum(text, hkd), Some(123_456_750), "{text:?}");
        }
        assert_eq!(typed_sum("5,000", hkd), Some(500_000));
        assert_eq!(typed_sum("5,000", jpy), Some(5_000));
        for strange in [
            "",
            ".50",
            "1,23",
            "12,34,567.50",
            "1234,567.50",
            ",123",
            "1.234.567,50",
            "1234567.505",
            "-1",
            "1e3",
            "USD 5",
            "５０００元",
            "99999999999999999999999999999999999999999999",
        ] {
            assert_eq!(typed_sum(strange, hkd), None, "{strange:?}");
        }
        assert_eq!(typed_sum("5000.0", jpy), None);
    }
}
