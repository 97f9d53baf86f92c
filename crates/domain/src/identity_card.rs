//! The number of a mainland identity card (GB 11643): 18 places, of which a birthday and a check
//! digit can be told to be wrong.
//!
//! Residents from Taiwan, Hong Kong and Macau (83, 82, 81) and foreigners with permanent residence
//! (9) have numbers of the same make. The district is not looked at: cards keep the number of a
//! district that is gone. No error holds a part of the number.

use std::fmt;

use chrono::{Datelike, NaiveDate};
use thiserror::Error;

use crate::message::Message;

/// How many places a number has.
const PLACES: usize = 18;
/// The earliest year of a birthday: the oldest who ever lived was born in 1875, and nobody of the
/// century before is alive.
const EARLIEST: i32 = 1900;
/// Where the birthday stands, as `YYYYMMDD`.
const BIRTHDAY: std::ops::Range<usize> = 6..14;
/// What the first 17 places count in the check digit (ISO 7064 MOD 11-2).
const WEIGHTS: [u32; PLACES - 1] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
/// The check digit by what is left of the sum.
const CHECK_DIGITS: [u8; 11] = *b"10X98765432";

/// Which check a number has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CardError {
    /// Of another length.
    Places {
        /// How many it has.
        places: usize,
    },
    /// Something that is no digit, before the last place or as it.
    Characters,
    /// A small x as its check digit.
    SmallX,
    /// A birthday of nobody who is alive.
    LongAgo,
    /// A birthday that no calendar has.
    NoBirthday,
    /// A birthday that is still to come.
    FutureBirthday,
    /// A mistyped number.
    CheckDigit,
}

impl CardError {
    /// What is wrong, behind the name of the field.
    pub fn message(self) -> Message {
        match self {
            Self::Places { places } => Message::new(
                "card-places",
                "has {places} places; an identity card has {most}",
            )
            .with("places", places)
            .with("most", PLACES),
            Self::Characters => Message::new(
                "card-characters",
                "has something else than digits in it; only the last place may be a capital X",
            ),
            Self::SmallX => {
                Message::new("card-small-x", "ends in a small x; write it as a capital X")
            }
            Self::LongAgo => Message::new(
                "card-long-ago",
                "has a birthday before 1900 (places 7 to 14)",
            ),
            Self::NoBirthday => Message::new(
                "card-no-birthday",
                "has no real day as its birthday (places 7 to 14)",
            ),
            Self::FutureBirthday => Message::new(
                "card-future-birthday",
                "has a birthday in the future (places 7 to 14)",
            ),
            Self::CheckDigit => Message::new(
                "card-check-digit",
                "has a check digit (its last place) that does not fit the others: one of them is mistyped",
            ),
        }
    }
}

impl fmt::Display for CardError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

/// The number with a capital X in place of a small one at its end, as cards have it; none where
/// there is nothing to change.
///
/// ```
/// use payrun_domain::identity_card::with_capital_x;
/// assert_eq!(with_capital_x("11010119900307002x").as_deref(), Some("11010119900307002X"));
/// assert_eq!(with_capital_x("11010119900307002X"), None);
/// assert_eq!(with_capital_x("1x"), None);
/// ```
pub fn with_capital_x(number: &str) -> Option<String> {
    let digits = number.strip_suffix('x')?;
    let is_whole = digits.len() == PLACES - 1 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then(|| format!("{digits}X"))
}

/// Checks a number, as it is known on a day.
///
/// # Errors
/// The first check that it fails.
///
/// ```
/// use payrun_domain::identity_card::{CardError, check};
/// let today = "2026-11-28".parse().unwrap();
/// assert_eq!(check("11010119900307002X", today), Ok(()));
/// assert_eq!(check("110101199003070021", today), Err(CardError::CheckDigit));
/// ```
pub fn check(number: &str, today: NaiveDate) -> Result<(), CardError> {
    let places = number.chars().count();
    if places != PLACES {
        return Err(CardError::Places { places });
    }
    let (last, digits) = number
        .as_bytes()
        .split_last()
        .ok_or(CardError::Places { places })?;
    if digits.len() != WEIGHTS.len() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(CardError::Characters);
    }
    match last {
        b'x' => return Err(CardError::SmallX),
        b'X' | b'0'..=b'9' => {}
        _ => return Err(CardError::Characters),
    }
    let birthday = NaiveDate::parse_from_str(&number[BIRTHDAY], "%Y%m%d")
        .map_err(|_| CardError::NoBirthday)?;
    if birthday.year() < EARLIEST {
        return Err(CardError::LongAgo);
    }
    if birthday > today {
        return Err(CardError::FutureBirthday);
    }
    let sum: u32 = digits
        .iter()
        .zip(WEIGHTS)
        .map(|(digit, weight)| u32::from(digit - b'0') * weight)
        .sum();
    let expected = CHECK_DIGITS
        .iter()
        .zip(0..)
        .find(|(_, left)| sum % 11 == *left)
        .map(|(digit, _)| digit);
    if expected == Some(last) {
        Ok(())
    } else {
        Err(CardError::CheckDigit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said() {
        let error = CardError::Places { places: 3 };
        assert_eq!(error.to_string(), error.message().to_string());
        assert!(error.to_string().contains('3'), "{error}");
    }

    #[test]
    fn a_number_passes_or_is_told_which_check_it_fails() {
        let cases = [
            ("11010119900307002X", Ok(())),
            ("110101199003071014", Ok(())),
            ("830000199003070019", Ok(())),
            ("911010199003071015", Ok(())),
            ("320219197003071013", Ok(())),
            ("11010119900307002x", Err(CardError::SmallX)),
            ("11010119900307002Ｘ", Err(CardError::Characters)),
            ("110101199003071015", Err(CardError::CheckDigit)),
            ("110101199002301017", Err(CardError::NoBirthday)),
            ("110101209903071016", Err(CardError::FutureBirthday)),
            ("110101185003071017", Err(CardError::LongAgo)),
            ("110101189912311012", Err(CardError::LongAgo)),
            ("110101190001011017", Ok(())),
            ("110101900307101", Err(CardError::Places { places: 15 })),
            ("110101 199003071014", Err(CardError::Places { places: 19 })),
            ("'10101199003071014", Err(CardError::Characters)),
            ("1.1010119900307E+17", Err(CardError::Places { places: 19 })),
            ("", Err(CardError::Places { places: 0 })),
        ];
        let today = NaiveDate::from_ymd_opt(2026, 11, 28).unwrap();
        for (number, expected) in cases {
            assert_eq!(check(number, today), expected, "{number}");
        }
    }

    #[test]
    fn every_digit_mistyped_and_every_two_neighbours_exchanged_are_noticed() {
        let number = b"11010119900307002X";
        let today = NaiveDate::from_ymd_opt(2026, 11, 28).unwrap();
        let is_wrong = |bytes: &[u8]| check(std::str::from_utf8(bytes).unwrap(), today).is_err();
        for place in 0..17 {
            for digit in b'0'..=b'9' {
                let mut other = *number;
                other[place] = digit;
                assert_eq!(is_wrong(&other), other != *number, "{place} {digit}");
            }
            let mut other = *number;
            other.swap(place, place + 1);
            assert_eq!(is_wrong(&other), other != *number, "{place}");
        }
    }

    #[test]
    fn only_the_small_x_at_the_end_of_17_digits_is_made_a_capital() {
        for (number, capital) in [
            ("11010119900307002x", Some("11010119900307002X")),
            ("11010119900307002X", None),
            ("110101199003071014", None),
            ("1101011990030700x", None),
            ("110101199003070021x", None),
            ("1101011990030700Ax", None),
            ("1x", None),
            ("x", None),
        ] {
            assert_eq!(with_capital_x(number).as_deref(), capital, "{number}");
        }
    }

    #[test]
    fn who_is_born_on_the_day_is_not_born_in_the_future() {
        for (today, expected) in [
            ("1990-03-06", Err(CardError::FutureBirthday)),
            ("1990-03-07", Ok(())),
        ] {
            let checked = check("11010119900307002X", today.parse().unwrap());
            assert_eq!(checked, expected, "{today}");
        }
    }
}
