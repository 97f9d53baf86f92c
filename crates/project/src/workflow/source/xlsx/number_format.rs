//! How Excel shows a number: by a format code such as `0.00` or `0000000000`. What is shown is what
//! a person means. So a number is read as it is shown, or refused where that says something else
//! than what the cell holds.

use crate::workflow::source::TO_MEND;
use payrun_domain::message::Message;

/// What a person sees of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ShownNumber {
    /// The number as it is held.
    AsHeld,
    /// These digits: with zeros before or behind that the cell does not hold.
    Digits(String),
    /// Something else, with what to do about it.
    Otherwise(ShownOtherwise),
}

/// Why what Excel shows of a number is not what the cell holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShownOtherwise {
    Rounded,
    Percent,
    Scientific,
    Fraction,
    Scaled,
    Hidden,
    Other,
}

impl ShownOtherwise {
    /// What is wrong with the cell, and what to do.
    pub(super) const fn message(self) -> Message {
        match self {
            Self::Rounded => Message::new(
                "cell-shown-rounded",
                "is shown rounded: Excel shows fewer digits than the cell holds; round it with ROUND, or show all its digits",
            ),
            Self::Percent => Message::new(
                "cell-percent",
                "is shown as a percentage; format the column as text, or as a plain number",
            ),
            Self::Scientific => Message::new(
                "cell-scientific",
                "is shown in scientific notation; format the column as text, or as a plain number",
            ),
            Self::Fraction => Message::new(
                "cell-fraction",
                "is shown as a fraction; format the column as text, or as a plain number",
            ),
            Self::Scaled => Message::new(
                "cell-scaled",
                "is shown in thousands: the number that is shown is not the one in the cell; take the comma off the end of the format",
            ),
            Self::Hidden => Message::new(
                "cell-hidden-by-format",
                "is not shown by its format; format the column as text, or as a plain number",
            ),
            Self::Other => Message::new(
                "cell-other-signs",
                "is shown with signs that the cell does not hold; format the column as text, and write what is meant",
            ),
        }
    }
}

/// What is seen of a number, which is given in plain digits, under a format code.
pub(super) fn shown(number: &str, code: &str) -> ShownNumber {
    let is_zero = number.chars().all(|c| matches!(c, '0' | '.' | '-'));
    let section = section(code, number.starts_with('-'), is_zero);
    if section.trim().eq_ignore_ascii_case("general") || section.trim() == "@" {
        return ShownNumber::AsHeld;
    }
    match Pattern::parse(section) {
        Ok(pattern) => pattern.shown(number, is_zero),
        Err(why) => ShownNumber::Otherwise(why),
    }
}

/// What stands in a cell whose number is refused: a percentage, or a number in scientific notation,
/// as it is shown; of a whole number the digits that Excel keeps; any other one as it is held, marked.
pub(super) fn as_seen(number: &str, code: &str) -> String {
    let is_zero = number.chars().all(|c| matches!(c, '0' | '.' | '-'));
    let section = section(code, number.starts_with('-'), is_zero);
    if section.trim().eq_ignore_ascii_case("general") {
        return with_digits_kept(number);
    }
    match Pattern::parse(section) {
        Err(ShownOtherwise::Percent) => format!("{}%", times_hundred(number)),
        Err(ShownOtherwise::Scientific) => scientific(number, section),
        Ok(_) | Err(_) => {
            let held = with_digits_kept(number);
            // What is shown otherwise would be taken for what it holds.
            if number.len() <= DIGITS {
                format!("{TO_MEND}{held}")
            } else {
                held
            }
        }
    }
}

/// A number in plain digits with its point two places further behind.
fn times_hundred(number: &str) -> String {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number),
    };
    let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
    let decimals = format!("{decimals:0<2}");
    let (before, behind) = decimals.split_at(2);
    let whole = format!("{whole}{before}");
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let point = if behind.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{behind}")
}

/// With as many decimals as the format has; what is behind them is cut off.
fn scientific(number: &str, section: &str) -> String {
    let mantissa = section.split(['E', 'e']).next().unwrap_or_default();
    let decimals = mantissa
        .split_once('.')
        .map_or(0, |(_, behind)| behind.len());
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", number),
    };
    let (whole, behind) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{behind}");
    let significant = all.trim_start_matches('0');
    let leading = all.len() - significant.len();
    let (power, direction) = if whole.len() > leading {
        (whole.len() - leading - 1, '+')
    } else {
        (leading + 1 - whole.len(), '-')
    };
    let mut shown = significant.chars().chain(std::iter::repeat('0'));
    let first = shown.next().unwrap_or('0');
    let rest: String = shown.take(decimals).collect();
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{first}{point}{rest}E{direction}{power:0>2}")
}

/// A whole number of more digits than Excel keeps has zeros in place of the others.
fn with_digits_kept(number: &str) -> String {
    let is_whole = number.bytes().all(|byte| byte.is_ascii_digit());
    if !is_whole || number.len() <= DIGITS {
        return number.to_owned();
    }
    let (kept, lost) = number.split_at(DIGITS);
    format!("{kept}{}", "0".repeat(lost.len()))
}

/// The digits that Excel keeps of a number.
const DIGITS: usize = 15;

/// The section for a number: positive; negative; zero. With a condition of its own nobody can tell.
fn section(code: &str, negative: bool, zero: bool) -> &str {
    let sections = split(code);
    match (sections.as_slice(), negative, zero) {
        ([_, second, ..], true, false) => second,
        ([_, _, third, ..], _, true) => third,
        ([first, ..], _, _) => first,
        ([], _, _) => "",
    }
}

/// Splits a format code at the semicolons that are not quoted.
fn split(code: &str) -> Vec<&str> {
    let (mut sections, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in code.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => {
                sections.push(&code[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    sections.push(&code[from..]);
    sections
}

/// A section of a format code for plain numbers.
#[derive(Debug, Default)]
struct Pattern {
    /// The fewest digits before the point.
    whole: usize,
    /// The digits behind the point that always stand, and the most of them.
    decimals: (usize, usize),
    /// Whether there is a place for a digit at all.
    has_digits: bool,
    /// Digits or letters that are shown and not held.
    literal: bool,
}

impl Pattern {
    fn parse(section: &str) -> Result<Self, ShownOtherwise> {
        let (mut pattern, mut in_decimals, mut commas) = (Self::default(), false, false);
        let mut chars = section.chars();
        while let Some(c) = chars.next() {
            match c {
                '"' => {
                    let text: String = chars.by_ref().take_while(|c| *c != '"').collect();
                    pattern.add_literal(&text);
                }
                '\\' => {
                    let text: String = chars.next().into_iter().collect();
                    pattern.add_literal(&text);
                }
                // The width of the next character is left free; the next is repeated.
                '_' | '*' => {
                    chars.next();
                }
                '[' => {
                    let text: String = chars.by_ref().take_while(|c| *c != ']').collect();
                    if text.starts_with(['<', '>', '=']) {
                        return Err(ShownOtherwise::Other);
                    }
                    // A colour or a currency: `[$HK$-C04]`.
                }
                '0' => {
                    pattern.has_digits = true;
                    if in_decimals {
                        pattern.decimals.1 += 1;
                        pattern.decimals.0 = pattern.decimals.1;
                    } else {
                        pattern.whole += 1;
                    }
                    commas = false;
                }
                '#' | '?' => {
                    pattern.has_digits = true;
                    if in_decimals {
                        pattern.decimals.1 += 1;
                    }
                    commas = false;
                }
                '.' => in_decimals = true,
                ',' => commas = pattern.has_digits,
                '%' => return Err(ShownOtherwise::Percent),
                'E' | 'e' => return Err(ShownOtherwise::Scientific),
                '/' => return Err(ShownOtherwise::Fraction),
                _ => pattern.add_literal(c.encode_utf8(&mut [0; 4])),
            }
            if commas && in_decimals && c == ',' {
                return Err(ShownOtherwise::Scaled);
            }
        }
        if commas {
            return Err(ShownOtherwise::Scaled);
        }
        Ok(pattern)
    }

    /// What is shown beside the digits: a sign of a currency and brackets say nothing else than the
    /// number does; digits, hyphens between them and words do.
    fn add_literal(&mut self, text: &str) {
        let harmless = |c: char| {
            c.is_whitespace()
                || matches!(
                    c,
                    '$' | '¥'
                        | '￥'
                        | '€'
                        | '£'
                        | '₩'
                        | '₫'
                        | '฿'
                        | '₱'
                        | '₹'
                        | '('
                        | ')'
                        | '+'
                        | '-'
                        | '元'
                )
        };
        let is_currency = |text: &str| {
            let word = text.trim();
            (2..=4).contains(&word.len())
                && word.chars().all(|c| c.is_ascii_uppercase() || c == '$')
        };
        let hyphen_between = text.contains('-') && self.has_digits;
        if hyphen_between || !(text.chars().all(harmless) || is_currency(text)) {
            self.literal = true;
        }
    }

    fn shown(&self, number: &str, is_zero: bool) -> ShownNumber {
        if !self.has_digits {
            // A dash for nothing is what bookkeepers write for zero.
            return if is_zero && !self.literal {
                ShownNumber::AsHeld
            } else {
                ShownNumber::Otherwise(ShownOtherwise::Hidden)
            };
        }
        if self.literal {
            return ShownNumber::Otherwise(ShownOtherwise::Other);
        }
        let (sign, digits) = match number.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", number),
        };
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, ""));
        if decimals.len() > self.decimals.1 {
            return ShownNumber::Otherwise(ShownOtherwise::Rounded);
        }
        let behind = format!("{decimals:0<width$}", width = self.decimals.0);
        let before = format!("{whole:0>width$}", width = self.whole.max(1));
        let point = if behind.is_empty() { "" } else { "." };
        let shown = format!("{sign}{before}{point}{behind}");
        if shown == number {
            ShownNumber::AsHeld
        } else {
            ShownNumber::Digits(shown)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(number: &str, code: &str) -> String {
        match shown(number, code) {
            ShownNumber::AsHeld => number.to_owned(),
            ShownNumber::Digits(digits) => digits,
            ShownNumber::Otherwise(why) => {
                format!(
                    "! {}",
                    why.message().to_string().split([':', ';']).next().unwrap()
                )
            }
        }
    }

    #[test]
    fn a_number_is_read_as_it_is_shown() {
        for (number, code, expected) in [
            ("1234", "0000000000", "0000001234"),
            ("7", "000", "007"),
            ("38", "0.00", "38.00"),
            ("38.5", "#,##0.00", "38.50"),
            ("1234567", "#,##0", "1234567"),
            ("38.5", "General", "38.5"),
            ("38", "@", "38"),
            ("0.5", "#.00", "0.50"),
            ("88", "\"HK$\"#,##0.00", "88.00"),
            ("88", "[$¥-804]#,##0.00", "88.00"),
            ("88", "#,##0.00\\ [$USD]", "88.00"),
            ("-5", "#,##0.00_);[Red](#,##0.00)", "-5.00"),
            (
                "0",
                "_(* #,##0.00_);_(* (#,##0.00);_(* \"-\"??_);_(@_)",
                "0",
            ),
            ("12.5", "#,##0.##", "12.5"),
        ] {
            assert_eq!(seen(number, code), expected, "{code}");
        }
    }

    #[test]
    fn what_is_given_back_is_what_stood_there_and_never_another_value() {
        for (number, code, expected) in [
            ("0.15", "0%", "15%"),
            ("0.155", "0%", "15.5%"),
            ("1", "0.00%", "100%"),
            ("-0.005", "0.0%", "-0.5%"),
            ("4200002345678901000", "0.00E+00", "4.20E+18"),
            ("-0.000123", "0.0E+00", "-1.2E-04"),
            ("7", "0E+00", "7E+00"),
            ("4200002345678901234", "0", "4200002345678900000"),
            ("4200002345678901234", "General", "4200002345678900000"),
            ("41.800000000000004", "0.00", "41.800000000000004"),
            ("41.8", "0", "?? 41.8"),
        ] {
            assert_eq!(as_seen(number, code), expected, "{number} {code}");
        }
    }

    #[test]
    fn a_number_that_is_shown_otherwise_is_refused() {
        for (number, code, expected) in [
            ("38.456", "0.00", "! is shown rounded"),
            ("38.5", "0", "! is shown rounded"),
            ("0.05", "0%", "! is shown as a percentage"),
            ("201507", "0.00E+00", "! is shown in scientific notation"),
            ("0.5", "# ?/?", "! is shown as a fraction"),
            ("38000", "#,##0,", "! is shown in thousands"),
            ("38000", "0.0,", "! is shown in thousands"),
            ("38", ";;;", "! is not shown by its format"),
            (
                "123456",
                "000-000",
                "! is shown with signs that the cell does not hold",
            ),
            (
                "123",
                "\"A\"000",
                "! is shown with signs that the cell does not hold",
            ),
            (
                "123",
                "\"1\"000",
                "! is shown with signs that the cell does not hold",
            ),
            (
                "5",
                "[>9]0;0.0",
                "! is shown with signs that the cell does not hold",
            ),
        ] {
            assert_eq!(seen(number, code), expected, "{code}");
        }
    }
}
