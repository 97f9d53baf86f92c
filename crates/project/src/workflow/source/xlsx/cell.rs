//! A cell as text: exactly what a person sees of it, or the reason why that is not what it holds.
//!
//! Excel keeps numbers as binary fractions of 15 digits. A number that needs more is not what
//! somebody typed, and is refused rather than rounded. Nothing is calculated here.

use std::borrow::Cow;

use calamine::{DataRef, ExcelDateTime};
use chrono::NaiveDate;

use super::number_format::{self, ShownNumber};
use crate::workflow::source::TO_MEND;
use payrun_domain::message::Message;

/// The digits that Excel keeps of a number.
const DIGITS: usize = 15;

/// The days that are dates in Excel, up to 9999-12-31.
const DATES: std::ops::RangeInclusive<u32> = 1..=2_958_465;

/// The text of a cell whose numbers are shown by a format code.
pub(super) fn text<'a>(value: &'a DataRef<'_>, format: &str) -> Result<Cow<'a, str>, Message> {
    match value {
        DataRef::Empty => Ok(Cow::Borrowed("")),
        DataRef::String(text) | DataRef::DateTimeIso(text) => Ok(Cow::Borrowed(text)),
        DataRef::SharedString(text) => Ok(Cow::Borrowed(text)),
        DataRef::Bool(value) => Ok(Cow::Borrowed(truth(*value))),
        DataRef::Int(value) => as_shown(value.to_string(), format).map(Cow::Owned),
        DataRef::Float(value) => as_shown(value.to_string(), format).map(Cow::Owned),
        DataRef::DateTime(value) => date(value).map(Cow::Owned),
        DataRef::DurationIso(_) => Err(DURATION),
        DataRef::Error(_) => Err(Message::new(
            "cell-error",
            "is an error of Excel's, such as #N/A; mend the formula",
        )),
    }
}

/// What stands in a cell that is refused, for a person who is to mend it: never what would be taken
/// for the value that the cell does not say.
pub(super) fn as_seen(value: &DataRef<'_>, format: &str) -> String {
    match value {
        DataRef::Int(value) => number_format::as_seen(&value.to_string(), format),
        DataRef::Float(value) => number_format::as_seen(&value.to_string(), format),
        DataRef::DateTime(value) => format!("{TO_MEND}{}", value.as_f64()),
        DataRef::DurationIso(text) => text.clone(),
        DataRef::Error(error) => error.to_string(),
        DataRef::String(text) | DataRef::DateTimeIso(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::Bool(value) => truth(*value).to_owned(),
        DataRef::Empty => String::new(),
    }
}

/// What Excel shows of a truth value in English; in another language it shows that language's word.
const fn truth(value: bool) -> &'static str {
    if value { "TRUE" } else { "FALSE" }
}

const DURATION: Message = Message::new("cell-duration", "is a duration; format the column as text");

/// A number as its format shows it.
fn as_shown(value: String, format: &str) -> Result<String, Message> {
    let held = number(value)?;
    match number_format::shown(&held, format) {
        ShownNumber::AsHeld => Ok(held),
        ShownNumber::Digits(digits) => Ok(digits),
        ShownNumber::Otherwise(why) => Err(why.message()),
    }
}

/// A number, as it is printed: the shortest digits that give the same number back, without an
/// exponent.
fn number(text: String) -> Result<String, Message> {
    let is_digit = |c: char| c.is_ascii_digit();
    if !text.chars().all(|c| is_digit(c) || matches!(c, '-' | '.')) {
        return Err(Message::new(
            "cell-not-exact",
            "is no exact number; format the column as text",
        ));
    }
    let digits = text
        .chars()
        .filter(|c| is_digit(*c))
        .skip_while(|c| *c == '0')
        .count();
    match (digits > DIGITS, text.contains('.')) {
        (false, _) => Ok(text),
        (true, false) => Err(Message::new(
            "cell-lost-digits",
            "has more than 15 digits, of which Excel has lost some; format the column as text",
        )),
        (true, true) => Err(Message::new(
            "cell-not-exact-round",
            "is no exact number; format the column as text, or round it with ROUND",
        )),
    }
}

/// A day, and the time if it is not midnight; parts of a second do not count.
fn date(value: &ExcelDateTime) -> Result<String, Message> {
    if value.is_duration() {
        return Err(DURATION);
    }
    let days = value.as_f64().to_string();
    let days = days.split('.').next().and_then(|days| days.parse().ok());
    if !days.is_some_and(|days| DATES.contains(&days)) {
        return Err(Message::new(
            "cell-no-date",
            "is no date; format the column as text",
        ));
    }
    let (year, month, day, hour, minute, second, _) = value.to_ymd_hms_milli();
    // Excel has a 29 February 1900, which never was.
    let date = NaiveDate::from_ymd_opt(year.into(), month.into(), day.into())
        .ok_or_else(|| Message::new("cell-no-calendar-date", "is no date of the calendar"))?;
    match (hour, minute, second) {
        (0, 0, 0) => Ok(date.to_string()),
        (hour, minute, second) => Ok(format!("{date}T{hour:02}:{minute:02}:{second:02}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use calamine::{CellErrorType, ExcelDateTimeType};

    fn of(value: &DataRef<'_>) -> String {
        text(value, "General").map_or_else(|reason| format!("! {reason}"), Cow::into_owned)
    }

    fn day(value: f64) -> String {
        of(&DataRef::DateTime(ExcelDateTime::new(
            value,
            ExcelDateTimeType::DateTime,
            false,
        )))
    }

    #[test]
    fn numbers_are_what_was_typed() {
        let typed = [
            (38.0, "38"),
            (38.5, "38.5"),
            (0.1, "0.1"),
            (-0.07, "-0.07"),
            (1e-7, "0.0000001"),
            (1234567890.12, "1234567890.12"),
            (999_999_999_999_999.0, "999999999999999"),
            (99_999_999_999_999.9, "99999999999999.9"),
            (0.0, "0"),
        ];
        for (value, text) in typed {
            assert_eq!(of(&DataRef::Float(value)), text);
        }
        assert_eq!(of(&DataRef::Int(-12)), "-12");
    }

    #[test]
    fn numbers_that_are_not_exact_are_refused() {
        for value in [
            0.300_000_000_000_000_04,
            41.800_000_000_000_004,
            0.333_333_333_333_333_3,
            f64::NAN,
            f64::INFINITY,
        ] {
            assert!(
                of(&DataRef::Float(value))
                    .starts_with("! is no exact number; format the column as text"),
                "{value}"
            );
        }
        for value in [1e15, 1_234_567_890_123_456.0, 1e300] {
            assert!(
                of(&DataRef::Float(value))
                    .contains("Excel has lost some; format the column as text"),
                "{value}"
            );
        }
    }

    #[test]
    fn dates_are_iso_dates_and_have_a_time_only_if_there_is_one() {
        assert_eq!(day(46_112.0), "2026-03-31");
        assert_eq!(day(46_112.5), "2026-03-31T12:00:00");
        assert_eq!(day(46_112.999_988_425_93), "2026-03-31T23:59:59");
        assert_eq!(day(59.0), "1900-02-28");
        assert_eq!(day(61.0), "1900-03-01");
        assert_eq!(day(2_958_465.0), "9999-12-31");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        assert_eq!(day(60.0), "! is no date of the calendar");
        for value in [-1.0, 0.0, 0.5, 2_958_466.0, f64::NAN] {
            assert_eq!(day(value), "! is no date; format the column as text");
        }
        let hours = ExcelDateTime::new(1.5, ExcelDateTimeType::TimeDelta, false);
        assert_eq!(
            of(&DataRef::DateTime(hours)),
            "! is a duration; format the column as text"
        );
    }

    #[test]
    fn other_cells_are_as_they_are() {
        assert_eq!(of(&DataRef::SharedString(" 007 ")), " 007 ");
        assert_eq!(of(&DataRef::Bool(true)), "TRUE");
        assert_eq!(of(&DataRef::Bool(false)), "FALSE");
        assert_eq!(
            of(&DataRef::Error(CellErrorType::NA)),
            "! is an error of Excel's, such as #N/A; mend the formula"
        );
    }
}
