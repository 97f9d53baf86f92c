//! Text as people and spreadsheets write it: with characters that nobody sees.
//!
//! What a person reads goes through [`visible`] at the edge, wherever it comes from: a terminal,
//! the log, a mail, a page, a file for spreadsheets. JSON goes through [`escaped`].

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::message::Message;

/// How much of a text is shown.
const SHOWN: usize = 60;

/// Whether a character steers a terminal, turns text around, or cannot be seen: control characters
/// (C0, DEL, C1), line and paragraph separators, marks of direction (U+061C, U+200E, U+202A to
/// U+202E, U+2066 to U+2069), what has no width, chooses how the one before looks, or is empty,
/// tags, and what is no character.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fdd0}'..='\u{fdef}' | '\u{feff}'
            | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// The text in one line, with every character that is not seen by its number: what a person reads
/// goes through here last.
///
/// ```
/// use payrun_domain::text::visible;
/// assert_eq!(visible("a\u{202e}b\u{1b}[31m\n"), "a[U+202E]b[U+001B][31m[U+000A]");
/// assert_eq!(visible("香港（旺角）店"), "香港（旺角）店");
/// ```
pub fn visible(text: &str) -> Cow<'_, str> {
    without(text, is_unseen, |out, c| {
        write!(out, "[U+{:04X}]", u32::from(c))
    })
}

/// The same of a text that is meant to have several lines: its line feeds stay.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    without(
        text,
        |c| c != '\n' && is_unseen(c),
        |out, c| write!(out, "[U+{:04X}]", u32::from(c)),
    )
}

/// JSON in which characters that are not seen are escaped: a program reads the same, a person sees
/// them.
///
/// ```
/// use payrun_domain::text::escaped;
/// assert_eq!(escaped("{\n \"a\": \"\u{202e}\u{e0041}\"}"), "{\n \"a\": \"\\u202e\\udb40\\udc41\"}");
/// ```
pub fn escaped(json: &str) -> Cow<'_, str> {
    let unit = |out: &mut String, c: char| {
        let mut units = [0; 2];
        c.encode_utf16(&mut units)
            .iter()
            .try_for_each(|unit| write!(out, "\\u{unit:04x}"))
    };
    // Within a text JSON has no line feed: it stands between them.
    without(json, |c| c != '\n' && is_unseen(c), unit)
}

/// Text as it may stand in a page of HTML, also between quotes; what cannot be seen by its number.
///
/// ```
/// use payrun_domain::text::html;
/// assert_eq!(html("<b a='\">&\u{202e}"), "&lt;b a=&#39;&quot;&gt;&amp;[U+202E]");
/// ```
pub fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A decimal number in a page for people, with its thousands apart by narrow blanks that do not break.
///
/// ```
/// use payrun_domain::text::thousands;
/// assert_eq!(thousands("-1234567.50"), "−1\u{202f}234\u{202f}567.50");
/// assert_eq!(thousands("999"), "999");
/// ```
pub fn thousands(decimal: &str) -> String {
    let (sign, digits) = decimal
        .strip_prefix('-')
        .map_or(("", decimal), |digits| ("−", digits));
    let (whole, fraction) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut text = String::with_capacity(decimal.len() * 2);
    text.push_str(sign);
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text.push_str(fraction);
    text
}

fn without(
    text: &str,
    bad: impl Fn(char) -> bool,
    write: impl Fn(&mut String, char) -> std::fmt::Result,
) -> Cow<'_, str> {
    if !text.contains(&bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if bad(c) {
            // A text takes whatever is written to it.
            write(&mut out, c).ok();
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// A field of which a spreadsheet makes no formula: an apostrophe before what it would take for the
/// beginning of one, also in full width. A number with a sign stays a number.
///
/// ```
/// use payrun_domain::text::inert;
/// assert_eq!(inert("=1+2"), "'=1+2");
/// assert_eq!(inert("-5.00"), "-5.00");
/// ```
pub fn inert(field: &str) -> Cow<'_, str> {
    let field = visible(field);
    let begins = |field: &str| field.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    let number = |field: &str| {
        let digits = field.strip_prefix('-').unwrap_or(field);
        digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
    };
    if begins(field.trim_start()) && !number(&field) {
        Cow::Owned(format!("'{field}"))
    } else {
        field
    }
}

/// What a character is that nobody sees, or takes for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OddCharacter {
    Blank,
    Tab,
    LineBreak,
    NoBreakSpace,
    NarrowSpace,
    TypographicSpace,
    FullWidthSpace,
    Invisible,
    FullWidth,
    Control,
    Format,
}

impl OddCharacter {
    /// That of a character; none for all others.
    fn of(c: char) -> Option<Self> {
        match c {
            ' ' => Some(Self::Blank),
            '\t' => Some(Self::Tab),
            '\n' | '\r' => Some(Self::LineBreak),
            '\u{a0}' => Some(Self::NoBreakSpace),
            '\u{202f}' => Some(Self::NarrowSpace),
            '\u{2000}'..='\u{200a}' => Some(Self::TypographicSpace),
            '\u{3000}' => Some(Self::FullWidthSpace),
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{feff}' => {
                Some(Self::Invisible)
            }
            '\u{ff01}'..='\u{ff5e}' => Some(Self::FullWidth),
            c if c.is_control() => Some(Self::Control),
            c if is_unseen(c) => Some(Self::Format),
            _ => None,
        }
    }

    /// Its name.
    const fn name(self) -> Message {
        match self {
            Self::Blank => Message::new("odd-blank", "blank"),
            Self::Tab => Message::new("odd-tab", "tab"),
            Self::LineBreak => Message::new("odd-line-break", "line break"),
            Self::NoBreakSpace => Message::new("odd-no-break-space", "no-break space"),
            Self::NarrowSpace => Message::new("odd-narrow-space", "narrow no-break space"),
            Self::TypographicSpace => Message::new("odd-typographic-space", "typographic space"),
            Self::FullWidthSpace => Message::new("odd-full-width-space", "full-width space"),
            Self::Invisible => Message::new("odd-invisible", "invisible character"),
            Self::FullWidth => Message::new("odd-full-width", "full-width character"),
            Self::Control => Message::new("odd-control", "control character"),
            Self::Format => Message::new("odd-format", "format character"),
        }
    }
}

fn is_wide(c: char) -> bool {
    ('\u{ff01}'..='\u{ff5e}').contains(&c)
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() || OddCharacter::of(c) == Some(OddCharacter::Invisible)
}

/// A text as a message quotes it: cut short, with what nobody sees or takes for something else by
/// its name.
///
/// ```
/// use payrun_domain::text::shown;
/// assert_eq!(shown("5.00 "), "5.00<blank U+0020>");
/// assert_eq!(shown("a b"), "a b");
/// ```
pub fn shown(text: &str) -> String {
    let ends = text.chars().count().saturating_sub(1);
    let mut shown = String::new();
    for (at, c) in text.chars().enumerate().take(SHOWN) {
        // A blank within is seen; one at the end is not.
        let named = OddCharacter::of(c).filter(|_| c != ' ' || at == 0 || at == ends);
        let _ = match named {
            // A full-width bracket is taken for nothing else.
            Some(_) if is_wide(c) && !c.is_alphanumeric() && c != '．' => write!(shown, "{c}"),
            Some(odd) if is_wide(c) => write!(shown, "{c}<{}>", odd.name()),
            Some(odd) => write!(shown, "<{} {}>", odd.name(), number(c)),
            None => write!(shown, "{c}"),
        };
    }
    shown
}

/// The text without blanks and invisible characters around it.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(is_blank)
}

/// What makes a trimmed text no name of a contract, an order or anything else: a mark that
/// spreadsheets and statements put around text, what separates values in files, or a character that
/// nobody sees. Two names that differ only by these would be two things.
pub fn not_in_names(text: &str) -> Option<Message> {
    let mark = |c: char| match c {
        '`' => Some(Message::new("mark-back-tick", "a back-tick")),
        '\'' => Some(Message::new("mark-apostrophe", "an apostrophe")),
        '"' => Some(Message::new("mark-quotation", "a quotation mark")),
        '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' | '\u{b4}' => Some(Message::new(
            "mark-typographic",
            "a typographic quotation mark",
        )),
        _ => None,
    };
    if let Some(what) = text.chars().next().and_then(mark) {
        let begins = Message::new(
            "name-begins-with",
            "begins with {what}, as spreadsheets and statements mark text",
        );
        return Some(begins.with("what", what));
    }
    if let Some(what) = text.chars().next_back().and_then(mark) {
        return Some(Message::new("name-ends-with", "ends with {what}").with("what", what));
    }
    let separates = |c: char| match c {
        ',' => Some(Message::new("mark-comma", "a comma")),
        ';' => Some(Message::new("mark-semicolon", "a semicolon")),
        c => mark(c),
    };
    let found = text.chars().find_map(separates);
    let found = found.or_else(|| unseen(text));
    let found = found.or_else(|| text.chars().find_map(looks_like));
    found.map(|what| Message::new("name-contains", "contains {what}").with("what", what))
}

/// What a character is taken for by whoever reads it: two names that differ only so are one to
/// people.
fn looks_like(c: char) -> Option<Message> {
    let what = match c {
        c if is_wide(c) && c.is_alphanumeric() => {
            Message::new("mark-full-width", "a full-width character, {code}")
        }
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe63}' | '\u{ff0d}' => {
            Message::new("mark-dash", "a dash that looks like a hyphen, {code}")
        }
        '\u{300}'..='\u{36f}' => Message::new(
            "mark-accent",
            "an accent of its own behind a letter, {code}",
        ),
        _ => return None,
    };
    Some(what.with("code", number(c)))
}

/// A character by its number.
fn number(c: char) -> String {
    format!("U+{:04X}", u32::from(c))
}

/// Whether a name is what a spreadsheet makes of a long number: its first digits, and how many others
/// there were.
///
/// ```
/// use payrun_domain::text::is_shortened_number;
/// assert!(is_shortened_number("2.01507E+17"));
/// assert!(!is_shortened_number("A1E+17") && !is_shortened_number("2015E17"));
/// ```
pub fn is_shortened_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((mantissa, exponent)) = text.split_once(['E', 'e']) else {
        return false;
    };
    let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let exponent = exponent.strip_prefix('+');
    digits(whole) && digits(decimals) && exponent.is_some_and(digits)
}

/// Whether a name is what Excel makes of a long number that is not text: its first fifteen digits,
/// and zeros.
///
/// ```
/// use payrun_domain::text::is_rounded_number;
/// assert!(is_rounded_number("4200002345678900000") && is_rounded_number("1234567890123450"));
/// assert!(!is_rounded_number("4200002345678901234") && !is_rounded_number("123456789012340"));
/// ```
pub fn is_rounded_number(text: &str) -> bool {
    // It keeps no zero at the beginning.
    text.len() > EXCEL_DIGITS
        && !text.starts_with('0')
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && text.bytes().skip(EXCEL_DIGITS).all(|byte| byte == b'0')
}

/// Whether a text is a number of more digits than Excel keeps, and has others than zeros there.
///
/// ```
/// use payrun_domain::text::is_whole_long_number;
/// assert!(is_whole_long_number("1234567890123456") && is_whole_long_number("4200002345678900001"));
/// assert!(!is_whole_long_number("1234567890123450") && !is_whole_long_number("123456789012345"));
/// assert!(!is_whole_long_number("123456789012345a") && !is_whole_long_number("12"));
/// ```
pub fn is_whole_long_number(text: &str) -> bool {
    text.len() > EXCEL_DIGITS
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && text.bytes().skip(EXCEL_DIGITS).any(|byte| byte != b'0')
}

/// Whether a name is what Excel makes of one that looks like a date, such as 3-1.
///
/// ```
/// use payrun_domain::text::is_date_of_excel;
/// assert!(is_date_of_excel("1-Mar") && is_date_of_excel("Mar-01") && is_date_of_excel("3月1日"));
/// assert!(!is_date_of_excel("3-1") && !is_date_of_excel("1-MARS") && !is_date_of_excel("A1-Mar"));
/// assert!(!is_date_of_excel("3月x日") && !is_date_of_excel("x月1日"));
/// ```
pub fn is_date_of_excel(text: &str) -> bool {
    let number =
        |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let chinese = text
        .strip_suffix('日')
        .and_then(|text| text.split_once('月'));
    let is_chinese = chinese.is_some_and(|(month, day)| number(month) && number(day));
    let is_english = text.split_once('-').is_some_and(|(one, other)| {
        (number(one) && MONTHS.contains(&other)) || (MONTHS.contains(&one) && number(other))
    });
    is_chinese || is_english
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// What to do about it.
pub const DATE_OF_EXCEL: Message = Message::new(
    "cell-date-of-excel",
    "is a date, which Excel makes of what looks like one, such as 3-1: format the column as text, and type \
                                 the cell again",
);

/// How many digits Excel keeps of a number.
const EXCEL_DIGITS: usize = 15;

/// What to do about it.
pub const ROUNDED_NUMBER: Message = Message::new(
    "cell-rounded-by-excel",
    "looks rounded by Excel, which keeps 15 digits of a number and makes the others zeros: format the column as \
     text, and put the whole number in; if it really ends so, write it as =\"…\", or give the file as .xlsx with the column as text",
);

/// The text within `="…"`, by which a CSV file tells a spreadsheet that it is text.
///
/// ```
/// use payrun_domain::text::said_to_be_text;
/// assert_eq!(said_to_be_text("=\"4200002345678900000\""), Some("4200002345678900000"));
/// assert_eq!(said_to_be_text("4200002345678900000"), None);
/// ```
pub fn said_to_be_text(cell: &str) -> Option<&str> {
    let text = cell.strip_prefix("=\"")?.strip_suffix('"')?;
    (!text.contains('"')).then_some(text)
}

/// A number in full-width digits, with or without a full-width point, in plain ones; none where
/// there is no such character in it.
///
/// ```
/// use payrun_domain::text::plain_digits;
/// assert_eq!(plain_digits("１２．５0").as_deref(), Some("12.50"));
/// assert_eq!(plain_digits("12.50"), None);
/// ```
pub fn plain_digits(text: &str) -> Option<String> {
    let plain = |c: char| match c {
        '\u{ff10}'..='\u{ff19}' | '\u{ff0e}' => char::from_u32(u32::from(c) - 0xfee0),
        _ => None,
    };
    text.contains(|c| plain(c).is_some())
        .then(|| text.chars().map(|c| plain(c).unwrap_or(c)).collect())
}

/// What to do about it.
pub const SHORTENED_NUMBER: Message = Message::new(
    "cell-shortened-number",
    "is a number that a spreadsheet has shortened (such as 2.01507E+17), and its other digits are lost: format \
     the column as text, and put the whole number in",
);

/// The first character of a text that nobody sees, by its name and number: it tells nothing of what
/// the text says.
///
/// ```
/// use payrun_domain::text::unseen;
/// assert_eq!(unseen("5109\u{200b}21").unwrap().to_string(), "invisible character U+200B");
/// assert_eq!(unseen("510921"), None);
/// ```
pub fn unseen(text: &str) -> Option<Message> {
    // A full-width bracket is seen, and part of many a name.
    let (odd, c) = text
        .chars()
        .filter(|c| !is_wide(*c))
        .find_map(|c| Some((OddCharacter::of(c)?, c)))?;
    let what = Message::new("odd-character", "{name} {code}").with("name", odd.name());
    Some(what.with("code", number(c)))
}

/// What to do about a name that is refused. What was done under it is not done again while it is
/// left alone.
pub const NAME_REMEDY: Message = Message::new(
    "name-remedy",
    "take it out; but leave the row out if it was done under that name before: another name is another item",
);

/// A text for comparing what people may mean by the same: without blanks around it, in small
/// letters, full-width as plain.
pub fn folded(text: &str) -> String {
    let plain = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        c if is_blank(c) => ' ',
        c => c,
    };
    trimmed(text)
        .chars()
        .map(plain)
        .flat_map(char::to_lowercase)
        .collect()
}

/// How many characters of a value are kept so that it can be looked for.
const SEARCHABLE_MAX: usize = 200;

/// A value as it is kept to be looked for, and as what is typed is compared with it: folded, and
/// without what nobody sees.
///
/// ```
/// use payrun_domain::text::searchable;
/// assert_eq!(searchable(" Ｃ-１７ "), searchable("c-17"));
/// ```
pub fn searchable(text: &str) -> String {
    folded(text)
        .chars()
        .filter(|c| !is_unseen(*c))
        .take(SEARCHABLE_MAX)
        .collect()
}

/// The smallest text that comes, byte by byte, after every text with this beginning; none if there
/// is none.
///
/// ```
/// use payrun_domain::text::after_beginning;
/// assert_eq!(after_beginning("C-1").as_deref(), Some("C-2"));
/// assert_eq!(after_beginning("50%").as_deref(), Some("50&"));
/// assert_eq!(after_beginning(""), None);
/// ```
pub fn after_beginning(beginning: &str) -> Option<String> {
    let mut rest = beginning.to_owned();
    while let Some(last) = rest.pop() {
        // UTF-8 is in the order of the characters' numbers, of which surrogates are none.
        let next = (u32::from(last) + 1..).find_map(|next| match next {
            0xd800..=0xdfff => None,
            next => Some(char::from_u32(next)),
        });
        if let Some(Some(next)) = next {
            rest.push(next);
            return Some(rest);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_around_a_name_is_taken_off_and_what_is_seen_is_told() {
        for padded in [
            "C1 ",
            " C1",
            "C1\t",
            "C1\u{a0}",
            "C1\u{3000}",
            "\u{feff}C1",
            "C1\u{200b}",
            "\u{200e}C1",
        ] {
            assert_eq!(trimmed(padded), "C1", "{padded:?}");
        }
        assert_eq!(not_in_names("C-1/of_May"), None);
        for (alike, taken_for) in [
            ("\u{ff32}1", "a full-width character, U+FF32"),
            ("R\u{2011}1", "a dash that looks like a hyphen, U+2011"),
            ("Re\u{301}", "an accent of its own behind a letter, U+0301"),
        ] {
            let told = not_in_names(alike).unwrap().to_string();
            assert_eq!(told, format!("contains {taken_for}"), "{alike}");
        }
        assert_eq!(not_in_names("R\u{e9}"), None);
        assert_eq!(not_in_names("香港（旺角）店"), None);
        let inner = ["C 1", "C;1", "C,1", "C'1", "C\"1", "C`1", "C\u{3000}1"];
        for odd in [
            "`C1",
            "'C1",
            "C1'",
            "\"C1\"",
            "\u{2018}C1",
            "C\u{200b}1",
            "C\u{a0}1",
            "C\t1",
        ]
        .into_iter()
        .chain(inner)
        {
            assert!(not_in_names(odd).is_some(), "{odd:?}");
        }
        let told = |name| not_in_names(name).unwrap().to_string();
        assert_eq!(told("R 4"), "contains blank U+0020");
        assert_eq!(told("C;2"), "contains a semicolon");
        assert_eq!(told("C\u{200b}1"), "contains invisible character U+200B");
    }

    #[test]
    fn what_differs_by_blanks_case_or_width_is_folded_to_the_same() {
        for alike in ["Yes", "yes ", " YES", "\u{ff39}es", "yes\u{a0}"] {
            assert_eq!(folded(alike), "yes", "{alike:?}");
        }
        for blank in ["n o", "N\u{3000}O", "n\to", "n\u{a0}o"] {
            assert_eq!(folded(blank), "n o", "{blank:?}");
        }
    }

    #[test]
    fn what_comes_after_a_beginning_comes_after_all_that_begins_so() {
        for beginning in [
            "C",
            "C-9",
            "%",
            "_",
            "a\u{d7ff}",
            "\u{7f}",
            "香",
            "x\u{10ffff}",
        ] {
            let after = after_beginning(beginning).unwrap();
            for more in ["", "/2026", "\u{10ffff}\u{10ffff}"] {
                let text = format!("{beginning}{more}");
                assert!(text.as_bytes() < after.as_bytes(), "{text:?}, {after:?}");
            }
        }
        assert_eq!(after_beginning("x\u{10ffff}").as_deref(), Some("y"));
        assert_eq!(after_beginning("\u{10ffff}"), None);
    }

    #[test]
    fn what_a_person_reads_shows_what_nobody_sees_and_leaves_the_rest_alone() {
        // As it is, in one line, in several lines, and within JSON.
        for (text, line, lines, json) in [
            (
                "香港（旺角）店",
                "香港（旺角）店",
                "香港（旺角）店",
                "香港（旺角）店",
            ),
            ("a\nb", "a[U+000A]b", "a\nb", "a\nb"),
            (
                "a\u{202e}\nb\u{1b}[31m",
                "a[U+202E][U+000A]b[U+001B][31m",
                "a[U+202E]\nb[U+001B][31m",
                "a\\u202e\nb\\u001b[31m",
            ),
            ("\u{e0041}", "[U+E0041]", "[U+E0041]", "\\udb40\\udc41"),
            ("", "", "", ""),
        ] {
            assert_eq!(visible(text), line, "{text:?}");
            assert_eq!(visible_lines(text), lines, "{text:?}");
            assert_eq!(escaped(text), json, "{text:?}");
        }
    }

    #[test]
    fn a_spreadsheet_makes_a_formula_of_no_field() {
        for (field, expected) in [
            ("C-1", "C-1"),
            ("5.00", "5.00"),
            ("-5.00", "-5.00"),
            ("-5", "-5"),
            ("=1+2", "'=1+2"),
            (" =1+2", "' =1+2"),
            ("+5", "'+5"),
            ("@SUM(1)", "'@SUM(1)"),
            ("-A1", "'-A1"),
            ("-5-A1", "'-5-A1"),
            ("-.5", "'-.5"),
            ("-", "'-"),
            (" -5", "' -5"),
            ("＝1", "'＝1"),
            ("－5", "'－5"),
            ("\t=1", "[U+0009]=1"),
            ("", ""),
        ] {
            assert_eq!(inert(field), expected, "{field:?}");
        }
    }

    #[test]
    fn what_nobody_sees_or_takes_for_another_is_quoted_by_its_name() {
        for (text, expected) in [
            ("a b", "a b"),
            (" 5.00", "<blank U+0020>5.00"),
            ("5.00 ", "5.00<blank U+0020>"),
            ("a\tb", "a<tab U+0009>b"),
            ("a\n", "a<line break U+000A>"),
            ("a\r", "a<line break U+000D>"),
            ("1\u{a0}0", "1<no-break space U+00A0>0"),
            ("1\u{202f}0", "1<narrow no-break space U+202F>0"),
            ("1\u{2009}0", "1<typographic space U+2009>0"),
            ("a\u{3000}b", "a<full-width space U+3000>b"),
            ("a\u{200b}b", "a<invisible character U+200B>b"),
            ("a\u{1b}b", "a<control character U+001B>b"),
            ("a\u{ad}b", "a<format character U+00AD>b"),
            ("５.00", "５<full-width character>.00"),
            ("5．00", "5．<full-width character>00"),
            ("（旺角）", "（旺角）"),
        ] {
            assert_eq!(shown(text), expected, "{text:?}");
        }
        assert_eq!(shown(&"a".repeat(61)), "a".repeat(60), "cut short");
        let cut_at_a_blank = format!("{} b", "a".repeat(59));
        assert_eq!(shown(&cut_at_a_blank), format!("{} ", "a".repeat(59)));
    }

    #[test]
    fn only_what_a_spreadsheet_makes_of_a_long_number_is_a_shortened_number() {
        for text in ["2.01507E+17", "2E+17", "2.0e+9"] {
            assert!(is_shortened_number(text), "{text}");
        }
        for text in [
            "", "201507", "2.01507", "2015E17", "2.0E-17", "A1E+17", "1.xE+17", "1.E+17", ".5E+17",
            "E+17", "1.5E+", "1.5E+1x", "1.5E+ 7",
        ] {
            assert!(!is_shortened_number(text), "{text}");
        }
    }

    #[test]
    fn what_is_looked_for_is_folded_short_and_without_what_nobody_sees() {
        for (text, kept) in [
            (" Ｃ-１７ ", "c-17"),
            ("C\u{ad}-17", "c-17"),
            ("Chan\u{3000}Tai\tMan", "chan tai man"),
            ("", ""),
        ] {
            assert_eq!(searchable(text), kept, "{text:?}");
        }
        assert_eq!(searchable(&"x".repeat(201)), "x".repeat(200));
    }
}
