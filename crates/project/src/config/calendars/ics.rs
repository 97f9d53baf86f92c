//! The all-day events of a calendar in ICS (RFC 5545); what they mean for business days, `feed.rs`
//! says.
//!
//! Events with a time of day and cancelled ones are left out; those from one midnight to another
//! count as whole days. A rule of repetition is followed up to 2100; one that cannot be followed is
//! refused, and so is a file of which the parser leaves anything out.

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime};
use icalendar::parser::{Component, Property, read_components, unfold};
use icalendar::rrule::{RRuleSet, Tz};

use super::feed::{EntryProperties, FeedEntry, FeedTraits, apple_mark, meaning};
use super::in_line;
use super::yml::DAYS_MAX;
use payrun_yaml::diagnostics::{Diagnostics, SourceText};

const NO_CALENDAR: &str = "this is no ICS calendar, or not to its end: it begins with BEGIN:VCALENDAR and ends with END:VCALENDAR";

/// How often one event may repeat.
const TIMES_MAX: u16 = 1000;

/// The longest line, put together from its parts, in bytes.
const LINE_MAX: usize = 50_000;

/// How deep components nest in a calendar: calendar, event, alarm.
const DEPTH_MAX: usize = 8;

/// Whoever lists nothing but days off, by a part of the product that made the file: gov.hk's 1823,
/// and GOV.UK.
const ONLY_DAYS_OFF: [&str; 2] = ["1823 CALL CENTRE", "UK.GOV/GOVUK CALENDARS"];

/// Reads the entries of a file.
pub(super) fn read(source: &SourceText) -> Result<Vec<FeedEntry>, Diagnostics> {
    let entries = entries(source, &source.text, &event_lines(source)?)?;
    if entries.is_empty() {
        let message = "it has no entry of whole days, so it would close none: it may be another feed than the one that is meant";
        return Err(in_line(source, 1, message.to_owned()).into());
    }
    Ok(entries)
}

/// Reads the entries of a calendar's text, of which the events begin in these lines of the file.
pub(super) fn entries(
    source: &SourceText,
    text: &str,
    lines: &[u32],
) -> Result<Vec<FeedEntry>, Diagnostics> {
    let text = unfold(text);
    // The parser counts columns in 16 bits when it says what it does not understand, and panics
    // beyond.
    if let Some(long) = text.lines().find(|line| line.len() > LINE_MAX) {
        let begins: String = long.chars().take(20).collect();
        let message = format!(
            "an entry has a line of more than {LINE_MAX} bytes, which begins with {begins:?}"
        );
        return Err(in_line(source, 1, message).into());
    }
    let roots = read_components(&text).unwrap_or_default();
    let calendars = || roots.iter().filter(|root| root.name == "VCALENDAR");
    let events: Vec<&Component<'_>> = calendars()
        .flat_map(|root| &root.components)
        .filter(|one| one.name == "VEVENT")
        .collect();
    // The parser stops without a word at what it does not understand.
    if events.len() != lines.len() || roots.is_empty() {
        let after = lines.get(events.len()).copied().unwrap_or(1);
        return Err(in_line(source, after, NO_CALENDAR).into());
    }
    let product = |root: &Component<'_>| {
        value(root, "PRODID")
            .map(str::to_ascii_uppercase)
            .unwrap_or_default()
    };
    let habits = FeedTraits {
        only_days_off: calendars().all(|root| {
            ONLY_DAYS_OFF
                .iter()
                .any(|known| product(root).contains(known))
        }),
        apple: events
            .iter()
            .any(|event| apple(event).any(|word| apple_mark(word).is_some())),
    };
    let (mut entries, mut found) = (Vec::new(), Diagnostics::default());
    for (event, line) in events.into_iter().zip(lines) {
        match days(event) {
            Ok(days) if days.is_empty() => {}
            Ok(days) => {
                entries.push(FeedEntry {
                    line: *line,
                    name: name(event),
                    days,
                    meaning: meaning(&marks(event), habits),
                });
            }
            Err(message) => found.push(in_line(source, *line, message)),
        }
    }
    found.or_value(Some(entries))
}

/// Every word of Apple's mark: an entry may have it twice.
fn apple<'a>(event: &'a Component<'_>) -> impl Iterator<Item = &'a str> {
    all(event, "X-APPLE-SPECIAL-DAY")
        .flat_map(|words| words.split(','))
        .map(str::trim)
}

fn marks<'a>(event: &'a Component<'_>) -> EntryProperties<'a> {
    let more_names = all(event, "SUMMARY").skip(1).map(plain);
    let categories = all(event, "CATEGORIES")
        .flat_map(|list| list.split(','))
        .map(plain);
    let descriptions = all(event, "DESCRIPTION").map(plain);
    EntryProperties {
        apple: apple(event).collect(),
        names: std::iter::once(name(event))
            .chain(more_names)
            .chain(categories)
            .collect(),
        descriptions: descriptions
            .map(|text| first_line(&text).to_owned())
            .collect(),
    }
}

/// The lines in which events begin, from 1.
fn event_lines(source: &SourceText) -> Result<Vec<u32>, Diagnostics> {
    let (mut depth, mut lines) = (0_usize, Vec::new());
    for (line, number) in source.text.lines().zip(1..) {
        let word = line.trim_end().to_ascii_uppercase();
        depth = if word.starts_with("BEGIN:") {
            depth + 1
        } else {
            depth
        };
        depth = if word.starts_with("END:") {
            depth.saturating_sub(1)
        } else {
            depth
        };
        if depth > DEPTH_MAX {
            return Err(in_line(
                source,
                number,
                format!("it nests deeper than {DEPTH_MAX} levels"),
            )
            .into());
        }
        if word == "BEGIN:VEVENT" {
            lines.push(number);
        }
    }
    Ok(lines)
}

/// The days of an event, if it is one of whole days that takes place; what is wrong with it
/// otherwise.
fn days(event: &Component<'_>) -> Result<Vec<NaiveDate>, String> {
    let start = event
        .find_prop("DTSTART")
        .ok_or("the event has no DTSTART")?;
    let cancelled =
        value(event, "STATUS").is_some_and(|state| state.eq_ignore_ascii_case("CANCELLED"));
    if cancelled {
        return Ok(Vec::new());
    }
    if !is_all_day(start) {
        return whole_days_in_times(start.val.as_str().trim(), value(event, "DTEND"));
    }
    let first = date("DTSTART", start.val.as_str())?;
    let length = length(event, first)?;
    let mut starts = repeated(event, first)?;
    starts.push(first);
    for dates in all(event, "RDATE") {
        starts.extend(
            dates
                .split(',')
                .map(|text| date("RDATE", text))
                .collect::<Result<Vec<_>, _>>()?,
        );
    }
    for dates in all(event, "EXDATE") {
        let except = dates
            .split(',')
            .map(|text| date("EXDATE", text))
            .collect::<Result<Vec<_>, _>>()?;
        starts.retain(|start| !except.contains(start));
    }
    Ok(starts
        .into_iter()
        .flat_map(|start| start.iter_days().take(length))
        .collect())
}

/// The days of an event that is written with times: none, unless it goes from a midnight to another
/// on the wall clock. What lasts whole days otherwise is not read, since nobody can tell which days
/// are meant.
fn whole_days_in_times(start: &str, end: Option<&str>) -> Result<Vec<NaiveDate>, String> {
    let time = |text: &str| {
        NaiveDateTime::parse_from_str(text.trim_end_matches('Z'), "%Y%m%dT%H%M%S").ok()
    };
    let Some((from, until)) = time(start).zip(end.and_then(time)) else {
        return Ok(Vec::new());
    };
    let lasts = until - from;
    let days = lasts.num_days();
    if days < 1 || lasts != chrono::Duration::days(days) || days > DAYS_MAX {
        return Ok(Vec::new());
    }
    if from.time() != NaiveTime::MIN || start.ends_with('Z') {
        return Err(
            "it lasts whole days, but is written with times; write its days as dates (VALUE=DATE)"
                .to_owned(),
        );
    }
    Ok(from
        .date()
        .iter_days()
        .take(usize::try_from(days).unwrap_or(1))
        .collect())
}

/// How many days the event has; its end is the day after the last.
fn length(event: &Component<'_>, first: NaiveDate) -> Result<usize, String> {
    let end = match value(event, "DTEND") {
        Some(text) => date("DTEND", text)?,
        None if value(event, "DURATION").is_some() => {
            return Err("DURATION is not read; give DTEND".to_owned());
        }
        None => first + Days::new(1),
    };
    let days = (end - first).num_days();
    match usize::try_from(days) {
        Err(_) => Err("it ends before it begins".to_owned()),
        Ok(_) if days > DAYS_MAX => Err(format!("it is longer than {DAYS_MAX} days")),
        // Some write the same day for both.
        Ok(days) => Ok(days.max(1)),
    }
}

/// When it happens again.
fn repeated(event: &Component<'_>, first: NaiveDate) -> Result<Vec<NaiveDate>, String> {
    if value(event, "EXRULE").is_some() {
        return Err("EXRULE is not followed; list the days as EXDATE".to_owned());
    }
    let Some(rule) = value(event, "RRULE") else {
        return Ok(Vec::new());
    };
    let unread = |error: &dyn std::fmt::Display| {
        format!(
            "this rule cannot be followed: {}",
            first_line(&error.to_string())
        )
    };
    let text = format!(
        "DTSTART:{}T000000Z\nRRULE:{}",
        first.format("%Y%m%d"),
        with_until_in_utc(rule)
    );
    let rules: RRuleSet = text
        .parse()
        .map_err(|error: icalendar::rrule::RRuleError| unread(&error))?;
    let horizon = NaiveDate::from_ymd_opt(2100, 1, 1)
        .map(|day| day.and_time(NaiveTime::MIN))
        .unwrap_or_default();
    let found = rules
        .before(horizon.and_utc().with_timezone(&Tz::UTC))
        .all(TIMES_MAX);
    if found.limited {
        return Err(format!(
            "it happens more than {TIMES_MAX} times; a holiday repeats from year to year"
        ));
    }
    Ok(found.dates.into_iter().map(|at| at.date_naive()).collect())
}

/// An end of a rule that is a date is its whole day.
fn with_until_in_utc(rule: &str) -> String {
    let part = |part: &str| match part.split_once('=') {
        Some((name, date)) if name.eq_ignore_ascii_case("UNTIL") && date.len() == 8 => {
            format!("UNTIL={date}T000000Z")
        }
        Some(_) | None => part.to_owned(),
    };
    rule.split(';').map(part).collect::<Vec<_>>().join(";")
}

fn is_all_day(start: &Property<'_>) -> bool {
    let says_date = start.params.iter().any(|param| {
        param.key == "VALUE"
            && param
                .val
                .as_ref()
                .is_some_and(|value| value.as_str().eq_ignore_ascii_case("DATE"))
    });
    says_date || !start.val.as_str().contains('T')
}

fn date(field: &str, text: &str) -> Result<NaiveDate, String> {
    let date = (text.len() == 8)
        .then(|| NaiveDate::parse_from_str(text, "%Y%m%d").ok())
        .flatten();
    date.ok_or_else(|| {
        format!(
            "{field} \"{}\" is no date",
            payrun_domain::text::shown(text)
        )
    })
}

fn value<'a>(event: &'a Component<'_>, name: &str) -> Option<&'a str> {
    event
        .find_prop(name)
        .map(|property| property.val.as_str().trim())
}

fn all<'a>(event: &'a Component<'_>, name: &'a str) -> impl Iterator<Item = &'a str> {
    let named = event
        .properties
        .iter()
        .filter(move |property| property.name == name);
    named.map(|property| property.val.as_str().trim())
}

/// What it is called.
fn name(event: &Component<'_>) -> String {
    payrun_domain::text::shown(plain(value(event, "SUMMARY").unwrap_or("holiday")).trim())
}

/// A text without its escapes.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some('n' | 'N') => plain.push('\n'),
                Some(escaped) => plain.push(escaped),
                None => {}
            },
            c => plain.push(c),
        }
    }
    plain
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_end_is_refused_before_the_parser_speaks_of_it() {
        let rule = "A".repeat(70_000);
        for line in [
            format!("RRULE:FREQ={rule}"),
            format!("{rule}\u{1}"),
            format!("SUMMARY;{rule}={rule};;"),
        ] {
            let text = format!(
                "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20261001\n{line}\nEND:VEVENT\nEND:VCALENDAR\n"
            );
            let refused = read(&SourceText::new("hk.ics", text, false)).unwrap_err();
            assert!(refused.to_string().len() < 1_000, "{refused}");
        }
    }
}
