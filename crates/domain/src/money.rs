//! Amounts: a positive count of a currency's minor unit. Decimal text exists only at the edges;
//! floats do not exist.
//!
//! The number of decimals is ISO 4217's (HKD 2, JPY and KRW 0, KWD 3). Too many decimals is an
//! error, never rounded.

use std::fmt;

use rust_decimal::Decimal;
use thiserror::Error;

use super::message::{Message, MessageArgument};
use super::text::{folded, shown};

/// The most minor units of one amount that people may write. Sums of what a ledger holds fit beside
/// it.
const LARGEST: i64 = 1_000_000_000_000_000;

/// What people write instead of a code, and which code that is. A sign that several currencies use
/// names them.
const OTHER_NAMES: [(&str, &[&str]); 28] = [
    (
        "CNY",
        &[
            "RMB",
            "CNH",
            "RMB¥",
            "CN¥",
            "人民币",
            "人民幣",
            "元",
            "YUAN",
            "RENMINBI",
        ],
    ),
    ("HKD", &["HK$", "HK", "HKT", "港币", "港幣", "港元"]),
    (
        "TWD",
        &[
            "NT$",
            "NTD",
            "NT",
            "新台币",
            "新臺幣",
            "新台幣",
            "台币",
            "台幣",
        ],
    ),
    ("MOP", &["MOP$", "澳门元", "澳門元", "葡币", "葡幣"]),
    ("JPY", &["YEN", "日元", "日圆", "日圓", "円"]),
    ("CNY or JPY", &["¥", "￥"]),
    ("USD", &["US$", "美元", "美金"]),
    ("USD, HKD, TWD, SGD, AUD or CAD", &["$", "＄", "DOLLAR"]),
    ("EUR", &["€", "欧元", "歐元", "EURO"]),
    ("GBP", &["£", "英镑", "英鎊", "UKP"]),
    ("KRW", &["₩", "韩元", "韓元", "韩圆", "WON"]),
    ("SGD", &["S$", "新加坡元", "新元", "坡币"]),
    ("AUD", &["A$", "AU$", "澳元"]),
    ("CAD", &["C$", "CA$", "加元"]),
    ("NZD", &["NZ$", "纽元", "紐元"]),
    ("THB", &["฿", "泰铢", "泰銖", "BAHT"]),
    ("MYR", &["RM", "马币", "令吉"]),
    ("VND", &["₫", "越南盾", "DONG"]),
    ("IDR", &["RP", "印尼盾", "印尼卢比"]),
    ("PHP", &["₱", "菲律宾比索"]),
    ("INR", &["₹", "RS", "印度卢比"]),
    ("RUB", &["₽", "卢布", "盧布", "RUR"]),
    ("BRL", &["R$"]),
    ("TRY", &["₺", "TRL"]),
    ("AED", &["DH", "DHS", "迪拉姆"]),
    ("CHF", &["SFR", "瑞士法郎"]),
    ("ILS", &["₪", "NIS"]),
    ("ZAR", &["兰特"]),
];

/// What one item may be at most if nothing is said, in thousands of the main unit. All other
/// currencies: [`USUAL_LIMIT`].
const LIMITS: [(i64, &[&str]); 2] = [
    (
        10_000_000,
        &[
            "JPY", "KRW", "HUF", "CLP", "ISK", "INR", "PKR", "LKR", "NPR", "CRC", "KZT", "NGN",
            "AMD", "RSD", "DZD", "KES",
        ],
    ),
    (
        1_000_000_000,
        &[
            "VND", "IDR", "LAK", "KHR", "MMK", "IRR", "IQD", "LBP", "UZS", "GNF", "PYG", "UGX",
            "TZS", "COP", "MGA", "BIF", "RWF", "SLE", "SYP", "MNT", "CDF", "MWK",
        ],
    ),
];
const USUAL_LIMIT: i64 = 100_000;

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
    /// use payrun_domain::money::Currency;
    /// assert_eq!(Currency::parse("HKD").unwrap().exponent(), 2);
    /// assert!(Currency::parse("hkd").is_err());
    /// ```
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        iso_currency::Currency::from_code(code)
            .filter(|currency| currency.exponent().is_some())
            .map(Self)
            .ok_or_else(|| MoneyError::UnknownCurrency {
                code: shown(code),
                meant: Self::meant_by(code),
            })
    }

    /// The code of what people write instead of it. Never one that is only spelt alike.
    fn meant_by(text: &str) -> Option<Message> {
        let text = folded(text).to_uppercase();
        let named = OTHER_NAMES
            .iter()
            .find(|(_, others)| others.contains(&text.as_str()))
            .map(|(code, _)| *code);
        // Gold and the code for tests are in ISO 4217, and no amount can be written in them.
        let is_money = |currency: &iso_currency::Currency| currency.exponent().is_some();
        let capitals = || {
            iso_currency::Currency::from_code(&text)
                .filter(is_money)
                .map(|currency| currency.code())
        };
        let meant = named.or_else(capitals)?;
        let codes = MessageArgument::either(meant.split(" or "));
        Some(Message::new("money-meant", "; did you mean {codes}?").with("codes", codes))
    }

    /// The most minor units that one item may be if nothing else is said: more than anybody pays at
    /// once.
    pub fn usual_limit(self) -> i64 {
        let thousands = LIMITS
            .iter()
            .find(|(_, codes)| codes.contains(&self.code()))
            .map_or(USUAL_LIMIT, |(most, _)| *most);
        (thousands * 1_000 * 10_i64.pow(self.exponent())).min(LARGEST)
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
        iso_currency::Currency::iter()
            .filter(|currency| currency.exponent().is_some())
            .map(|currency| currency.code())
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
            return Err(MoneyError::NotPositive {
                text: minor.to_string(),
            });
        }
        Ok(Self { minor, currency })
    }

    /// From decimal text in main units, as people write it. Zeros beyond the currency's decimals
    /// are refused too: `1.000` may be a thousand.
    ///
    /// # Errors
    /// What is wrong with the text: not a number, not above zero, more decimals than the currency
    /// has, out of range.
    ///
    /// ```
    /// use payrun_domain::money::{Amount, Currency};
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

    /// From decimal text as a gateway writes it, whose zeros beyond the currency's decimals say
    /// nothing.
    ///
    /// # Errors
    /// As [`Amount::parse`].
    pub fn of_gateway(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        Self::positive(minor_units(text, currency, i64::MAX)?, text, currency)
    }

    fn positive(minor: i64, text: &str, currency: Currency) -> Result<Self, MoneyError> {
        if minor <= 0 {
            Err(MoneyError::NotPositive { text: shown(text) })
        } else {
            Ok(Self { minor, currency })
        }
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

/// Decimal text in main units as a count of minor units, which may be zero or negative: a fee, a
/// balance.
///
/// # Errors
/// What is wrong with the text: not a number, more decimals than the currency has (zeros or not),
/// out of range.
pub fn parse_minor(text: &str, currency: Currency) -> Result<i64, MoneyError> {
    let minor = minor_units(text, currency, LARGEST)?;
    let allowed = currency.exponent();
    match text.split_once('.') {
        Some((_, decimals)) if decimals.len() > allowed as usize => {
            Err(MoneyError::TooManyDecimals {
                text: shown(text),
                currency,
                allowed,
            })
        }
        Some(_) | None => Ok(minor),
    }
}

/// Up to so many minor units, whatever the sign.
fn minor_units(text: &str, currency: Currency, most: i64) -> Result<i64, MoneyError> {
    if !is_plain_decimal(text) {
        return Err(MoneyError::NotANumber { text: shown(text) });
    }
    let out_of_range = || {
        let largest = decimal_text(most.into(), currency);
        MoneyError::OutOfRange {
            text: shown(text),
            largest,
            currency,
        }
    };
    let Ok(decimal) = Decimal::from_str_exact(text) else {
        return Err(out_of_range());
    };
    let exponent = currency.exponent();
    if decimal.normalize().scale() > exponent {
        return Err(MoneyError::TooManyDecimals {
            text: shown(text),
            currency,
            allowed: exponent,
        });
    }
    let minor = decimal
        .checked_mul(Decimal::from(10_i64.pow(exponent)))
        .and_then(|minor| i64::try_from(minor).ok());
    minor
        .filter(|minor| minor.unsigned_abs() <= most.unsigned_abs())
        .ok_or_else(out_of_range)
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
/// use payrun_domain::money::{decimal_text, Currency};
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
    NotANumber {
        /// What was given, cut short.
        text: String,
    },
    /// Zero or negative.
    NotPositive {
        /// What was given.
        text: String,
    },
    /// More decimals than the currency has.
    TooManyDecimals {
        /// What was given.
        text: String,
        /// The currency.
        currency: Currency,
        /// How many decimals it has.
        allowed: u32,
    },
    /// Does not fit.
    OutOfRange {
        /// What was given, cut short.
        text: String,
        /// The largest amount there can be, in main units.
        largest: String,
        /// The currency.
        currency: Currency,
    },
    /// Not an ISO 4217 code.
    UnknownCurrency {
        /// What was given, cut short.
        code: String,
        /// What may be meant: the end of a sentence, or nothing.
        meant: Option<Message>,
    },
}

impl MoneyError {
    /// What is wrong.
    pub fn message(&self) -> Message {
        match self {
            Self::NotANumber { text } => Message::new(
                "money-not-a-number",
                "\"{text}\" is not a number (write it like 12.50)",
            )
            .with("text", text),
            Self::NotPositive { text } => {
                Message::new("money-not-positive", "the amount {text} is not above zero")
                    .with("text", text)
            }
            Self::TooManyDecimals {
                text,
                currency,
                allowed,
            } => Message::new(
                "money-too-many-decimals",
                "the amount {text} has more decimals than {currency} has ({allowed}); a point that separates thousands is left out",
            )
            .with("text", text)
            .with("currency", currency.code())
            .with("allowed", u64::from(*allowed)),
            Self::OutOfRange {
                text,
                largest,
                currency,
            } => Message::new(
                "money-out-of-range",
                "the amount {text} is out of range; the largest is {largest} {currency}",
            )
            .with("text", text)
            .with("largest", largest)
            .with("currency", currency.code()),
            Self::UnknownCurrency { code, meant } => Message::new(
                "money-unknown-currency",
                "\"{code}\" is not a currency code of ISO 4217 (three capital letters, such as HKD){meant}",
            )
            .with("code", code)
            .with("meant", meant.clone()),
        }
    }
}

impl fmt::Display for MoneyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    #[test]
    fn a_currency_is_listed_and_an_amount_names_it() {
        assert!(Currency::codes().any(|code| code == "HKD"));
        let amount = Amount::parse("12.5", currency("HKD")).unwrap();
        assert_eq!(amount.to_string(), "12.50 HKD");
    }

    #[test]
    fn what_is_not_an_amount_is_refused_by_its_own_name() {
        let hkd = currency("HKD");
        assert!(matches!(
            Amount::parse("", hkd),
            Err(MoneyError::NotANumber { .. })
        ));
        assert!(matches!(
            Amount::parse("1e3", hkd),
            Err(MoneyError::NotANumber { .. })
        ));
        assert!(matches!(
            Amount::parse("1,000.00", hkd),
            Err(MoneyError::NotANumber { .. })
        ));
        assert!(matches!(
            Amount::parse("1.2.3", hkd),
            Err(MoneyError::NotANumber { .. })
        ));
        assert!(matches!(
            Amount::parse("0", hkd),
            Err(MoneyError::NotPositive { .. })
        ));
        assert!(matches!(
            Amount::parse("0.00", hkd),
            Err(MoneyError::NotPositive { .. })
        ));
        assert!(matches!(
            Amount::parse("-5", hkd),
            Err(MoneyError::NotPositive { .. })
        ));
        assert!(matches!(
            Amount::parse("1.001", hkd),
            Err(MoneyError::TooManyDecimals { .. })
        ));
        for (text, code) in [
            ("1.000", "HKD"),
            ("150.000", "VND"),
            ("1.000", "JPY"),
            ("1.0", "JPY"),
            ("12.500", "CLP"),
        ] {
            assert!(
                matches!(
                    Amount::parse(text, currency(code)),
                    Err(MoneyError::TooManyDecimals { .. })
                ),
                "{text} {code}"
            );
        }
        assert_eq!(
            Amount::parse("1.000", currency("KWD")).unwrap().minor(),
            1000
        );
        for (text, name) in [
            ("5.00\u{a0}", "no-break space U+00A0"),
            ("5．00", "full-width character"),
            (" 5.00", "blank U+0020"),
            ("5.00\u{200b}", "invisible character U+200B"),
        ] {
            let told = Amount::parse(text, hkd).unwrap_err().to_string();
            assert!(told.contains(name), "{told}");
        }
        assert!(matches!(
            Amount::parse("92233720368547758.08", hkd),
            Err(MoneyError::OutOfRange { .. })
        ));
        assert!(matches!(
            Amount::parse(&"9".repeat(60), hkd),
            Err(MoneyError::OutOfRange { .. })
        ));
    }

    #[test]
    fn what_people_write_instead_of_a_code_is_named_and_nothing_that_is_spelt_alike() {
        let told = |text: &str| Currency::parse(text).unwrap_err().to_string();
        for (text, code) in [
            ("RMB", "CNY"),
            ("rmb", "CNY"),
            ("CNH", "CNY"),
            ("人民币", "CNY"),
            ("HK$", "HKD"),
            ("HKT", "HKD"),
            ("HK", "HKD"),
            ("hkd", "HKD"),
            ("HKD ", "HKD"),
            ("NT$", "TWD"),
            ("¥", "CNY or JPY"),
            ("ＨＫＤ", "HKD"),
            ("$", "USD, HKD, TWD, SGD, AUD or CAD"),
        ] {
            assert!(
                told(text).ends_with(&format!("did you mean {code}?")),
                "{text}: {}",
                told(text)
            );
        }
        for text in ["HKX", "USB", "XXQ", "", "XAU", "XXX", "xau", "XTS", "XDR"] {
            assert!(!told(text).contains("mean"), "{text}: {}", told(text));
        }
    }

    #[test]
    fn amounts_have_a_largest_value_in_every_currency() {
        for code in Currency::codes() {
            let limit = currency(code).usual_limit();
            assert!((10_000_000..=LARGEST).contains(&limit), "{code}: {limit}");
        }
        let limit = |code: &str| decimal_text(currency(code).usual_limit().into(), currency(code));
        assert_eq!(
            (limit("HKD").as_str(), limit("JPY").as_str()),
            ("100000000.00", "10000000000")
        );
        let told =
            |text: &str, code: &str| Amount::parse(text, currency(code)).unwrap_err().to_string();
        let expected =
            "the amount 46116860184273880.00 is out of range; the largest is 10000000000000.00 HKD";
        assert_eq!(told("46116860184273880.00", "HKD"), expected);
        assert!(told("10000000000000.01", "HKD").ends_with("the largest is 10000000000000.00 HKD"));
        assert!(told(&"9".repeat(60), "JPY").ends_with("the largest is 1000000000000000 JPY"));
        assert!(Amount::parse("10000000000000.00", currency("HKD")).is_ok());
    }

    #[test]
    fn exponents_are_iso_4217s() {
        for (code, exponent) in [
            ("HKD", 2),
            ("CNY", 2),
            ("JPY", 0),
            ("KRW", 0),
            ("KWD", 3),
            ("VND", 0),
        ] {
            assert_eq!(currency(code).exponent(), exponent, "{code}");
        }
        assert!(Currency::parse("HKX").is_err());
    }

    proptest! {
        #[test]
        fn text_and_minor_units_are_the_same_amount(minor in 1..=LARGEST, code in prop::sample::select(vec!["HKD", "JPY", "KWD"])) {
            let amount = Amount::from_minor(minor, currency(code)).unwrap();
            prop_assert_eq!(Amount::parse(&amount.decimal(), currency(code)).unwrap(), amount);
        }
    }
}
