//! A calendar in YAML.

use std::sync::Arc;

use chrono::{Days, NaiveDate, Weekday};

use super::feed::{DayMeaning, Decisions};
use crate::workflow::source::TextEncoding;
use payrun_domain::calendar::Calendar;
use payrun_domain::text::shown;
use payrun_yaml::diagnostics::{Diagnostics, SourceText};
use payrun_yaml::fields::{FieldSpec, ValueShape, check, text_of};
use payrun_yaml::node::{Position, YamlNode, parse};

/// How long one holiday may be.
pub(super) const DAYS_MAX: i64 = 60;

const WEEKDAY: ValueShape = ValueShape::Word(&[
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
]);

static HOLIDAY: [FieldSpec; 3] = [
    FieldSpec::required(
        "date",
        ValueShape::Text,
        "The day, such as 2026-10-01, or 12-25 for every year.",
    ),
    FieldSpec::optional(
        "to",
        ValueShape::Text,
        "The last day, where it is more than one.",
    ),
    FieldSpec::optional("name", ValueShape::Text, "What it is called."),
];

static FEED: [FieldSpec; 6] = [
    FieldSpec::optional(
        "unmarked",
        ValueShape::Word(&["off", "ordinary"]),
        "What entries are that do not say whether they are days off.",
    ),
    FieldSpec::optional(
        "encoding",
        ValueShape::Word(&TextEncoding::WORDS),
        "The encoding of a feed that is not UTF-8.",
    ),
    FieldSpec::optional(
        "off",
        ValueShape::List(&ValueShape::Text),
        "Names of entries that are days off, whatever they say.",
    ),
    FieldSpec::optional(
        "worked",
        ValueShape::List(&ValueShape::Text),
        "Names of entries that are business days, also on weekends.",
    ),
    FieldSpec::optional(
        "ordinary",
        ValueShape::List(&ValueShape::Text),
        "Names of entries that decide nothing.",
    ),
    FieldSpec::optional(
        "undecided",
        ValueShape::List(&ValueShape::Text),
        "Names of entries that somebody has still to move into off, worked or ordinary; the feed is refused until then.",
    ),
];

/// The fields of a calendar file.
pub static CALENDAR: [FieldSpec; 4] = [
    FieldSpec::optional(
        "feed",
        ValueShape::Fields(&FEED),
        "Adds the ICS or JSON file of the same name beside this one, and decides what its entries leave open.",
    ),
    FieldSpec::optional(
        "weekend",
        ValueShape::List(&WEEKDAY),
        "The days of the week that are no business days; saturday and sunday if not given.",
    ),
    FieldSpec::optional(
        "holidays",
        ValueShape::List(&ValueShape::Either(&[
            ValueShape::Text,
            ValueShape::Fields(&HOLIDAY),
        ])),
        "Days that are no business days: 2026-10-01, or date, to and name.",
    ),
    FieldSpec::optional(
        "working",
        ValueShape::List(&ValueShape::Text),
        "Days that are business days although they are on a weekend, such as 2026-10-10.",
    ),
];

/// A calendar file, read.
pub(super) struct CalendarFile {
    /// What it says itself.
    pub calendar: Calendar,
    /// What it says about a feed that it adds.
    pub feed: Option<Decisions>,
}

/// Reads a calendar file.
pub(super) fn read(source: &Arc<SourceText>, name: &str) -> Result<CalendarFile, Diagnostics> {
    let root = parse(source)?;
    let mut reading = CalendarReader {
        source,
        found: Diagnostics::default(),
        calendar: Calendar::new(name),
    };
    check(
        &root,
        &ValueShape::Fields(&CALENDAR),
        source,
        &mut reading.found,
    );
    if let Some(weekend) = root.get("weekend") {
        reading.calendar.weekend = weekend.list().iter().filter_map(weekday).collect();
    }
    root.get("holidays")
        .map_or(&[][..], YamlNode::list)
        .iter()
        .for_each(|node| reading.holiday(node));
    root.get("working")
        .map_or(&[][..], YamlNode::list)
        .iter()
        .for_each(|node| reading.working(node));
    let feed = root.get("feed").map(|feed| reading.decisions(feed));
    reading.found.or_value(Some(CalendarFile {
        calendar: reading.calendar,
        feed,
    }))
}

struct CalendarReader<'a> {
    source: &'a SourceText,
    found: Diagnostics,
    calendar: Calendar,
}

/// A day of one year, or of all.
enum Date {
    Once(NaiveDate),
    Yearly(u32, u32),
}

impl CalendarReader<'_> {
    fn decisions(&mut self, feed: &YamlNode) -> Decisions {
        let unmarked = match text_of(feed, "unmarked") {
            Some("off") => Some(DayMeaning::Off),
            Some("ordinary") => Some(DayMeaning::Ordinary),
            Some(_) | None => None,
        };
        let mut decisions = Decisions {
            unmarked,
            encoding: text_of(feed, "encoding").and_then(TextEncoding::parse),
            ..Decisions::default()
        };
        for (field, meaning) in [
            ("off", DayMeaning::Off),
            ("worked", DayMeaning::Worked),
            ("ordinary", DayMeaning::Ordinary),
        ] {
            for node in feed.get(field).map_or(&[][..], YamlNode::list) {
                let Some(name) = node.text() else { continue };
                if decisions
                    .named
                    .insert(name.to_owned(), (meaning, node.at))
                    .is_some()
                {
                    self.refuse(
                        node.at,
                        format!("the entry \"{}\" is decided twice", shown(name)),
                    );
                }
            }
        }
        for node in feed.get("undecided").map_or(&[][..], YamlNode::list) {
            let name = shown(node.text().unwrap_or_default());
            let what = format!(
                "the entry \"{name}\" is not decided: move it into off (no payments on its days), worked (payments, on weekends too) \
                 or ordinary"
            );
            self.refuse(node.at, what);
        }
        decisions
    }

    fn holiday(&mut self, node: &YamlNode) {
        let date = node.get("date").unwrap_or(node);
        let name = text_of(node, "name").unwrap_or("holiday").to_owned();
        let last = node.get("to").and_then(|to| Some((to.at, self.date(to)?)));
        match (self.date(date), last) {
            (Some(Date::Once(first)), None) => self.days(date.at, first, first, &name),
            (Some(Date::Once(first)), Some((at, Date::Once(last)))) => {
                self.days(at, first, last, &name)
            }
            (Some(Date::Yearly(month, day)), None) => {
                self.calendar.yearly.insert((month, day), name);
            }
            (Some(Date::Yearly(..)), Some((at, _))) | (Some(_), Some((at, Date::Yearly(..)))) => {
                self.refuse(
                    at,
                    "a holiday of every year is a single day; list the others too",
                );
            }
            (None, _) => {}
        }
    }

    fn days(&mut self, at: Position, first: NaiveDate, last: NaiveDate, name: &str) {
        if last < first {
            self.refuse(at, "it ends before it begins");
        } else if (last - first).num_days() >= DAYS_MAX {
            self.refuse(at, format!("a holiday has at most {DAYS_MAX} days"));
        } else {
            let days = first
                .iter_days()
                .take_while(|day| *day < last + Days::new(1));
            self.calendar
                .holidays
                .extend(days.map(|day| (day, name.to_owned())));
        }
    }

    fn working(&mut self, node: &YamlNode) {
        match self.date(node) {
            Some(Date::Once(date)) if self.calendar.holidays.contains_key(&date) => {
                self.refuse(node.at, "this day is among the holidays too");
            }
            Some(Date::Once(date)) => {
                self.calendar.working.insert(date);
            }
            Some(Date::Yearly(..)) => {
                self.refuse(node.at, "a working day needs its year, such as 2026-10-10")
            }
            None => {}
        }
    }

    fn date(&mut self, node: &YamlNode) -> Option<Date> {
        let text = node.text()?;
        let once = (text.len() == 10)
            .then(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok())
            .flatten();
        // The 29th of February is a holiday of the years that have it.
        let yearly = (text.len() == 5)
            .then(|| NaiveDate::parse_from_str(&format!("2000-{text}"), "%Y-%m-%d").ok());
        match (once, yearly.flatten()) {
            (Some(date), _) => Some(Date::Once(date)),
            (None, Some(date)) => Some(Date::Yearly(
                chrono::Datelike::month(&date),
                chrono::Datelike::day(&date),
            )),
            (None, None) => {
                self.refuse(
                    node.at,
                    format!(
                        "\"{}\" is no date such as 2026-10-01, or 12-25",
                        shown(text)
                    ),
                );
                None
            }
        }
    }

    fn refuse(&mut self, at: Position, message: impl Into<String>) {
        self.found.push(self.source.diagnostic(at, message));
    }
}

fn weekday(node: &YamlNode) -> Option<Weekday> {
    node.text()?.parse().ok()
}
