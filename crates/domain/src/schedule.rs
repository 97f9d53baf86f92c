//! When a workflow fires: wall-clock rules in a time zone, mapped to instants.
//!
//! A rule is a 5-field POSIX crontab (names, ranges, lists, steps, `0` and `7` are Sunday, day of
//! month OR day of week when both are given, `L` for the last day), a line of 6 or 7 fields as
//! Quartz and Spring write it, or an `every` form. Rules are evaluated over dates here, and not by
//! the `cron` crate, which reads the fields of the long line: its iterator skips a time that falls
//! into a gap and repeats one in an overlap. Here a fixed time in a gap fires at the first valid
//! instant after it, and one in an overlap the first time, so that each fixed time fires once. A
//! rule that means an interval ([`Schedule::is_interval`]) goes on at its pace instead: through
//! both passes of an overlap, and with nothing to make up after a gap.

use std::collections::BTreeSet;

use chrono::{
    DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta,
    TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;
use thiserror::Error;

use super::time::Timestamp;

mod quartz;

/// A rule in its time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    zone: Tz,
    rule: WallClockSets,
}

/// Sets of wall-clock values, one bit each.
#[derive(Debug, Clone, PartialEq, Eq)]
struct WallClockSets {
    minutes: u64,
    hours: u64,
    months: u64,
    /// None: every year.
    years: Option<BTreeSet<i32>>,
    days: DayRule,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum DayRule {
    /// As in a crontab; `None` is an unrestricted field.
    Crontab {
        of_month: Option<u64>,
        of_week: Option<u64>,
    },
    /// This day of the month, or the last one of a shorter month.
    Clamped(u32),
}

/// The bit of a day-of-month set that stands for `L`.
const LAST_DAY: u64 = 1 << 32;

/// In minutes.
const HALF_HOUR: u32 = 30;

/// How far ahead an occurrence is looked for: the gap of leap days around 2100 is eight years.
pub(super) const DAYS_AHEAD: usize = 366 * 9;

/// How often an `every` form fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FiringInterval<'a> {
    /// Each day.
    Day,
    /// Each week, on a day by its name.
    Week(&'a str),
    /// Each month, on this day or the last one of a shorter month.
    Month(i64),
}

/// What can be wrong with a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// Neither five fields, nor six or seven.
    #[error(
        "a schedule has 5 fields (minute, hour, day of month, month, day of week), or 6 or 7 as Quartz and Spring write them \
         (second before, year behind); this one has {count}"
    )]
    FieldCount {
        /// How many there are.
        count: usize,
    },
    /// A field that cannot be read.
    #[error("\"{text}\" is no {field}; {expected}")]
    Field {
        /// Which one.
        field: &'static str,
        /// What was given.
        text: String,
        /// What is taken there.
        expected: String,
    },
    /// What Quartz takes and payrun does not.
    #[error("to Quartz \"{text}\" means {meaning}, which payrun does not support; {expected}")]
    Unsupported {
        /// What was given.
        text: String,
        /// What it means there.
        meaning: &'static str,
        /// What payrun takes in this field.
        expected: &'static str,
    },
    /// Not a day of a month.
    #[error(
        "\"{text}\" is no day of a month: write 1 to 31; in a shorter month 29, 30 and 31 are its last day"
    )]
    DayOfMonth {
        /// What was given.
        text: String,
    },
    /// Not a time of day.
    #[error("\"{text}\" is no time of day (write it like \"02:30\")")]
    TimeOfDay {
        /// What was given.
        text: String,
    },
    /// No date ever fits.
    #[error("no date ever fits \"{text}\"")]
    Never {
        /// What was given.
        text: String,
    },
}

impl Schedule {
    /// From a crontab line.
    ///
    /// # Errors
    /// What is wrong with it.
    ///
    /// ```
    /// use payrun_domain::schedule::Schedule;
    /// use payrun_domain::time::Timestamp;
    /// let daily = Schedule::crontab("30 9 * * mon-fri", chrono_tz::Asia::Hong_Kong).unwrap();
    /// let monday = daily.next_after(Timestamp::from_millis(0)).unwrap();
    /// assert_eq!(monday.to_string(), "1970-01-01T01:30:00Z");
    /// ```
    pub fn crontab(text: &str, zone: Tz) -> Result<Self, ScheduleError> {
        let parts: Vec<&str> = text.split_ascii_whitespace().collect();
        let rule = match parts.as_slice() {
            [minute, hour, day, month, weekday] => WallClockSets {
                minutes: MINUTE.parse(minute)?,
                hours: HOUR.parse(hour)?,
                months: MONTH.parse(month)?,
                years: None,
                days: day_rule(day, weekday)?,
            },
            [second, minute, hour, day, month, weekday] => {
                quartz::rule([second, minute, hour, day, month, weekday, "*"])?
            }
            [second, minute, hour, day, month, weekday, year] => {
                quartz::rule([second, minute, hour, day, month, weekday, year])?
            }
            _ => return Err(ScheduleError::FieldCount { count: parts.len() }),
        };
        Self {
            text: parts.join(" "),
            zone,
            rule,
        }
        .if_ever()
    }

    /// From an `every` form and a time of day such as `02:30`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn every(every: &FiringInterval<'_>, at: &str, zone: Tz) -> Result<Self, ScheduleError> {
        let time = (at.len() == 5)
            .then(|| NaiveTime::parse_from_str(at, "%H:%M").ok())
            .flatten();
        let time = time.ok_or_else(|| ScheduleError::TimeOfDay { text: cut(at) })?;
        let (text, days) = match every {
            FiringInterval::Day => (
                format!("every day at {at}"),
                DayRule::Crontab {
                    of_month: None,
                    of_week: None,
                },
            ),
            FiringInterval::Week(day) => {
                let days = WEEKDAY.parse(day)?;
                (
                    format!("every week on {day} at {at}"),
                    DayRule::Crontab {
                        of_month: None,
                        of_week: Some(days),
                    },
                )
            }
            FiringInterval::Month(day) => {
                let number = u32::try_from(*day)
                    .ok()
                    .filter(|day| (1..=31).contains(day));
                let text = day.to_string();
                let number = number.ok_or(ScheduleError::DayOfMonth { text })?;
                (
                    format!("every month on {day} at {at}"),
                    DayRule::Clamped(number),
                )
            }
        };
        let rule = WallClockSets {
            minutes: 1 << time.minute(),
            hours: 1 << time.hour(),
            months: MONTH.all(),
            years: None,
            days,
        };
        Self { text, zone, rule }.if_ever()
    }

    /// The first instant strictly after this one at which it fires, if it names fixed times; what
    /// calendars and changes of the clock do to the times of other rules,
    /// [`super::timetable::Timetable`] says.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let local = self.wall(after)?;
        let dates = std::iter::successors(Some(local.date()), |date| {
            date.checked_add_days(Days::new(1))
        });
        let fitting = dates.take(DAYS_AHEAD).filter(|date| self.fits(*date));
        let mut walls = fitting
            .flat_map(|date| self.times(date))
            .filter(|wall| *wall >= local);
        walls.find_map(|wall| instant(wall, self.zone).filter(|instant| *instant > after))
    }

    /// Whether it fires on a date.
    pub(super) fn fits(&self, date: NaiveDate) -> bool {
        self.rule.fits(date)
    }

    /// The wall-clock times of a date on which it fires, in order.
    pub(super) fn times(&self, date: NaiveDate) -> impl Iterator<Item = NaiveDateTime> + use<> {
        let (minutes, hours) = (self.rule.minutes, self.rule.hours);
        let hours = (0..24).filter(move |hour| hours & (1 << hour) != 0);
        hours.flat_map(move |hour| {
            let in_hour = (0..60).filter(move |minute| minutes & (1 << minute) != 0);
            in_hour.filter_map(move |minute| date.and_hms_opt(hour, minute, 0))
        })
    }

    /// Whether the rule means an interval and not fixed times: it names every hour of the day, or a
    /// time at least every 30 minutes in two or more hours that follow each other. So the spelling
    /// does not matter, as it does to Vixie's cron, which looks for a `*` in the minute or the
    /// hour.
    ///
    /// ```
    /// use payrun_domain::schedule::Schedule;
    /// let is_interval = |text| Schedule::crontab(text, chrono_tz::Europe::Berlin).unwrap().is_interval();
    /// assert!(is_interval("*/10 * * * *") && is_interval("30 * * * *") && is_interval("0,20,40 0-23 * * *"));
    /// assert!(is_interval("*/15 1-4 * * *"));
    /// assert!(!is_interval("30 2 * * *") && !is_interval("0,30 2 * * *") && !is_interval("0 */2 * * *"));
    /// ```
    pub fn is_interval(&self) -> bool {
        let WallClockSets { minutes, hours, .. } = self.rule;
        let next_hours = (hours >> 1) | ((hours & 1) << 23);
        let often = (0..60)
            .all(|from| (from..from + HALF_HOUR).any(|minute| minutes & (1 << (minute % 60)) != 0));
        hours == HOUR.all() || (often && hours & next_hours != 0)
    }

    /// The instants at which a wall-clock time of the rule fires, in order: none for a fixed time
    /// that an earlier one of its date fires for. The second pass of an interval through a time has
    /// its offset from UTC, in seconds.
    pub(super) fn instants(
        &self,
        wall: NaiveDateTime,
    ) -> impl Iterator<Item = (Timestamp, Option<i32>)> + use<> {
        let (first, second) = match (self.is_interval(), self.zone.from_local_datetime(&wall)) {
            (false, _) => (
                instant(wall, self.zone).filter(|at| !self.fires_earlier(wall, *at)),
                None,
            ),
            (true, LocalResult::None) => (None, None),
            (true, LocalResult::Single(only)) => (Some(of(&only)), None),
            (true, LocalResult::Ambiguous(first, second)) => {
                (Some(of(&first)), Some((of(&second), offset(&second))))
            }
        };
        first
            .map(|at| (at, None))
            .into_iter()
            .chain(second.map(|(at, offset)| (at, Some(offset))))
    }

    /// Whether an earlier time of the date fires at this instant of a time already: they are in one
    /// gap, or it is the end of it.
    fn fires_earlier(&self, wall: NaiveDateTime, at: Timestamp) -> bool {
        let minute_before = wall.checked_sub_signed(TimeDelta::minutes(1));
        if minute_before.is_none_or(|before| instant(before, self.zone) != Some(at)) {
            return false;
        }
        let earlier = self
            .times(wall.date())
            .take_while(|time| *time < wall)
            .last();
        earlier.is_some_and(|earlier| instant(earlier, self.zone) == Some(at))
    }

    /// The times of a date that fire at this instant as the first of them: those that no clock
    /// shows, or that end a gap.
    pub(super) fn shares(&self, wall: NaiveDateTime, at: Timestamp) -> Vec<NaiveDateTime> {
        let later = self.times(wall.date()).filter(|time| *time > wall);
        later
            .take_while(|time| !self.is_interval() && instant(*time, self.zone) == Some(at))
            .collect()
    }

    /// What the wall clock shows at an instant.
    pub fn wall(&self, at: Timestamp) -> Option<NaiveDateTime> {
        Some(
            DateTime::<Utc>::from_timestamp_millis(at.millis())?
                .with_timezone(&self.zone)
                .naive_local(),
        )
    }

    /// The rule in words or as its crontab line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The time zone of its wall clock.
    pub const fn zone(&self) -> Tz {
        self.zone
    }

    /// How the days of the week of a line of 6 or 7 fields were understood, where another house
    /// would read other days: Quartz counts them from Sunday = 1, Spring and a crontab of 5 fields
    /// from Sunday = 0.
    ///
    /// ```
    /// use payrun_domain::schedule::Schedule;
    /// let reading = |line| Schedule::crontab(line, chrono_tz::UTC).unwrap().reading();
    /// assert!(reading("0 30 9 ? * 2-6").unwrap().starts_with("day of week 2-6 is MON, TUE, WED, THU, FRI"));
    /// assert_eq!((reading("0 30 9 ? * MON-FRI"), reading("30 9 * * 2")), (None, None));
    /// ```
    pub fn reading(&self) -> Option<String> {
        let parts: Vec<&str> = self.text.split(' ').collect();
        let ["0", _, _, _, _, weekday, ..] = parts.as_slice() else {
            return None;
        };
        let DayRule::Crontab {
            of_week: Some(days),
            ..
        } = self.rule.days
        else {
            return None;
        };
        // The step of a range is a number that means the same everywhere.
        let mut ranges = weekday.split(',').filter_map(|part| part.split('/').next());
        if !ranges.any(|range| range.contains(|c: char| c.is_ascii_digit())) {
            return None;
        }
        let names: Vec<String> = (WEEKDAY.names.iter().enumerate())
            .filter(|(day, _)| days & (1 << day) != 0)
            .map(|(_, name)| name.to_ascii_uppercase())
            .collect();
        Some(format!(
            "day of week {} is {}, as Quartz counts (Sunday = 1); Spring counts Sunday = 0, so there it is another day; \
             names such as MON leave no doubt",
            cut(weekday),
            names.join(", "),
        ))
    }

    /// Whether nothing fires any more after an instant: the years that it names are over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        let Some(years) = &self.rule.years else {
            return false;
        };
        // The next year that is named may lie further ahead than an occurrence is looked for.
        let begins = years.iter().filter_map(|year| before(*year));
        !begins
            .map(|begin| begin.max(now))
            .chain([now])
            .any(|after| self.next_after(after).is_some())
    }

    fn if_ever(self) -> Result<Self, ScheduleError> {
        let first_year = self.rule.years.as_ref().and_then(BTreeSet::first);
        let from = first_year.and_then(|year| before(*year));
        match self.next_after(from.unwrap_or(Timestamp::from_millis(0))) {
            Some(_) => Ok(self),
            None => Err(ScheduleError::Never { text: self.text }),
        }
    }
}

/// An instant shortly before a year begins on any wall clock.
fn before(year: i32) -> Option<Timestamp> {
    let date = NaiveDate::from_yo_opt(year, 1)?.pred_opt()?;
    let instant = date.and_time(NaiveTime::MIN).and_utc();
    Some(Timestamp::from_millis(instant.timestamp_millis()))
}

impl WallClockSets {
    fn fits(&self, date: NaiveDate) -> bool {
        let last = last_day(date);
        let in_month =
            |set: u64| set & (1 << date.day()) != 0 || (set & LAST_DAY != 0 && date.day() == last);
        let in_week = |set: u64| set & (1 << date.weekday().num_days_from_sunday()) != 0;
        let day_fits = match self.days {
            DayRule::Clamped(day) => date.day() == day.min(last),
            DayRule::Crontab {
                of_month: None,
                of_week: None,
            } => true,
            DayRule::Crontab {
                of_month: Some(set),
                of_week: None,
            } => in_month(set),
            DayRule::Crontab {
                of_month: None,
                of_week: Some(set),
            } => in_week(set),
            DayRule::Crontab {
                of_month: Some(days),
                of_week: Some(weekdays),
            } => in_month(days) || in_week(weekdays),
        };
        let in_years = self
            .years
            .as_ref()
            .is_none_or(|years| years.contains(&date.year()));
        in_years && day_fits && self.months & (1 << date.month()) != 0
    }
}

/// The instant of a wall-clock time: the first of two, or the first valid one after a gap.
pub fn instant(wall: NaiveDateTime, zone: Tz) -> Option<Timestamp> {
    // The longest gap known is a whole day (Samoa, 2011).
    (0..=2 * 24 * 60).find_map(|minutes| {
        let moved = wall.checked_add_signed(TimeDelta::minutes(minutes))?;
        match zone.from_local_datetime(&moved) {
            LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => Some(of(&instant)),
            LocalResult::None => None,
        }
    })
}

/// The second instant of a wall-clock time that comes twice, if it is at this offset from UTC.
pub(super) fn second_instant(wall: NaiveDateTime, seconds: i32, zone: Tz) -> Option<Timestamp> {
    match zone.from_local_datetime(&wall) {
        LocalResult::Ambiguous(_, second) if offset(&second) == seconds => Some(of(&second)),
        LocalResult::Ambiguous(..) | LocalResult::Single(_) | LocalResult::None => None,
    }
}

fn of(at: &DateTime<Tz>) -> Timestamp {
    Timestamp::from_millis(at.timestamp_millis())
}

fn offset(at: &DateTime<Tz>) -> i32 {
    at.offset().fix().local_minus_utc()
}

/// Crontabs disagree on `*/n` beside the other day field (AND or OR), so that is refused.
fn day_rule(day: &str, weekday: &str) -> Result<DayRule, ScheduleError> {
    let of_month = (day != "*").then(|| DAY.parse(day)).transpose()?;
    let of_week = (weekday != "*")
        .then(|| WEEKDAY.parse(weekday))
        .transpose()?;
    let stepped = [(&DAY, day), (&WEEKDAY, weekday)]
        .into_iter()
        .find(|(_, text)| text.starts_with('*'));
    match stepped {
        Some((field, text)) if of_month.is_some() && of_week.is_some() => Err(ScheduleError::Field {
            field: field.name,
            text: cut(text),
            expected: "a step over all days cannot be joined with the other day field; list the days instead"
                .to_owned(),
        }),
        Some(_) | None => Ok(DayRule::Crontab { of_month, of_week }),
    }
}

fn last_day(date: NaiveDate) -> u32 {
    (28..=31)
        .rev()
        .find(|day| date.with_day(*day).is_some())
        .unwrap_or(28)
}

/// One field of a crontab: its range and its names.
struct CrontabField {
    name: &'static str,
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const MINUTE: CrontabField = CrontabField {
    name: "minute",
    min: 0,
    max: 59,
    names: &[],
};
const HOUR: CrontabField = CrontabField {
    name: "hour",
    min: 0,
    max: 23,
    names: &[],
};
const DAY: CrontabField = CrontabField {
    name: "day of month",
    min: 1,
    max: 31,
    names: &[],
};
const MONTH: CrontabField = CrontabField {
    name: "month",
    min: 1,
    max: 12,
    names: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
};
const WEEKDAY: CrontabField = CrontabField {
    name: "day of week",
    min: 0,
    max: 7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

/// Full names of weekdays, which `every: week` takes too.
const WEEKDAYS: [&str; 7] = [
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
];

impl CrontabField {
    fn all(&self) -> u64 {
        (self.min..=self.max).fold(0, |set, value| set | 1 << value)
    }

    fn parse(&self, text: &str) -> Result<u64, ScheduleError> {
        let mut set = 0;
        for part in text.split(',') {
            set |= self.part(part).ok_or_else(|| self.refuse(text))?;
        }
        let sunday_too = self.max == 7 && set & (1 << 7) != 0;
        Ok(if sunday_too {
            (set | 1) & !(1 << 7)
        } else {
            set
        })
    }

    fn part(&self, part: &str) -> Option<u64> {
        if part == "L" && self.max == 31 {
            return Some(LAST_DAY);
        }
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, number(step).filter(|step| *step >= 1)?),
            None => (part, 1),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (self.min, self.max),
            Some((from, to)) => (self.value(from)?, self.value(to)?),
            // A step needs something to step over.
            None if part.contains('/') => return None,
            None => (self.value(range)?, self.value(range)?),
        };
        let step = usize::try_from(step).ok()?;
        (from <= to).then(|| {
            (from..=to)
                .step_by(step)
                .fold(0, |set, value| set | 1 << value)
        })
    }

    fn value(&self, text: &str) -> Option<u32> {
        let lower = text.to_ascii_lowercase();
        let long = WEEKDAYS
            .iter()
            .position(|name| self.max == 7 && *name == lower);
        let named = self.names.iter().position(|name| *name == lower).or(long);
        let value = match named {
            Some(place) => self.min + u32::try_from(place).ok()?,
            None => number(text)?,
        };
        (self.min..=self.max).contains(&value).then_some(value)
    }

    fn refuse(&self, text: &str) -> ScheduleError {
        let names = match self.names {
            [first, .., last] => format!(", or a name from {first} to {last}"),
            _ => String::new(),
        };
        let last = if self.max == 31 {
            ", or L for the last day"
        } else {
            ""
        };
        let expected = format!(
            "it takes {} to {}, ranges, lists and steps such as */5{names}{last}",
            self.min, self.max
        );
        ScheduleError::Field {
            field: self.name,
            text: cut(text),
            expected,
        }
    }
}

/// Digits only: `+5` is no number here.
fn number(text: &str) -> Option<u32> {
    let plain = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::{America::New_York, Asia::Hong_Kong, Europe::Berlin, Pacific::Apia};
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(
            DateTime::parse_from_rfc3339(text)
                .unwrap()
                .timestamp_millis(),
        )
    }

    fn next(schedule: &Schedule, after: &str, count: usize) -> Vec<String> {
        let mut instant = at(after);
        (0..count)
            .map(|_| {
                instant = schedule.next_after(instant).unwrap();
                instant.to_string()
            })
            .collect()
    }

    #[test]
    fn a_time_in_the_spring_gap_fires_once_at_the_first_valid_instant_after_it() {
        let daily = Schedule::crontab("30 2 * * *", Berlin).unwrap();
        let expected = [
            "2026-03-28T01:30:00Z",
            "2026-03-29T01:00:00Z",
            "2026-03-30T00:30:00Z",
        ];
        assert_eq!(next(&daily, "2026-03-27T12:00:00Z", 3), expected);
    }

    #[test]
    fn a_time_in_the_autumn_overlap_fires_the_first_time_only() {
        let daily = Schedule::every(&FiringInterval::Day, "01:30", New_York).unwrap();
        let expected = [
            "2026-10-31T05:30:00Z",
            "2026-11-01T05:30:00Z",
            "2026-11-02T06:30:00Z",
        ];
        assert_eq!(next(&daily, "2026-10-30T12:00:00Z", 3), expected);
    }

    #[test]
    fn a_day_that_a_zone_skipped_fires_when_the_next_begins() {
        let daily = Schedule::crontab("0 12 * * *", Apia).unwrap();
        let expected = [
            "2011-12-29T22:00:00Z",
            "2011-12-30T10:00:00Z",
            "2011-12-30T22:00:00Z",
        ];
        assert_eq!(next(&daily, "2011-12-29T12:00:00Z", 3), expected);
    }

    #[test]
    fn the_31st_of_every_month_is_the_last_day_of_a_shorter_one() {
        let monthly = Schedule::every(&FiringInterval::Month(31), "02:30", Hong_Kong).unwrap();
        let expected = [
            "2028-01-30T18:30:00Z",
            "2028-02-28T18:30:00Z",
            "2028-03-30T18:30:00Z",
            "2028-04-29T18:30:00Z",
        ];
        assert_eq!(next(&monthly, "2028-01-01T00:00:00Z", 4), expected);
        let last = Schedule::crontab("30 2 L * *", Hong_Kong).unwrap();
        assert_eq!(next(&last, "2028-01-01T00:00:00Z", 4), expected);
    }

    #[test]
    fn day_of_month_and_day_of_week_are_joined_by_or() {
        let either = Schedule::crontab("0 0 13 * fri", Hong_Kong).unwrap();
        let expected = [
            "2026-05-07T16:00:00Z",
            "2026-05-12T16:00:00Z",
            "2026-05-14T16:00:00Z",
        ];
        assert_eq!(next(&either, "2026-05-02T00:00:00Z", 3), expected);
    }

    #[test]
    fn zero_seven_and_names_are_all_sunday() {
        let parsed = |text: &str| Schedule::crontab(text, Hong_Kong).unwrap().rule;
        assert_eq!(parsed("0 0 * * 0"), parsed("0 0 * * 7"));
        assert_eq!(parsed("0 0 * * SUN"), parsed("0 0 * * 7"));
        assert_eq!(parsed("0 0 * * 0,7"), parsed("0 0 * * 7"));
        assert_eq!(parsed("0 0 * * 5-7"), parsed("0 0 * * fri,sat,sun"));
        assert!(Schedule::every(&FiringInterval::Week("Monday"), "09:00", Hong_Kong).is_ok());
    }

    #[test]
    fn what_is_no_schedule_is_refused_with_the_field() {
        let refused = |text: &str| Schedule::crontab(text, Hong_Kong).unwrap_err().to_string();
        assert!(refused("0 0 * *").contains("5 fields"));
        assert!(refused("60 0 * * *").contains("\"60\" is no minute"));
        assert!(refused("0 0 * foo *").contains("jan to dec"));
        assert!(refused("0 5-2 * * *").contains("no hour"));
        assert!(refused("*/0 * * * *").contains("no minute"));
        assert!(refused("0 0 31 2 *").contains("no date ever fits"));
        assert!(refused("0 0 */2 * mon").contains("list the days"));
        assert!(refused("+5 0 * * *").contains("no minute"));
        assert!(refused("5/10 0 * * *").contains("\"5/10\" is no minute"));
        assert_eq!(
            refused("0 24 * * *"),
            "\"24\" is no hour; it takes 0 to 23, ranges, lists and steps such as */5"
        );
        assert_eq!(
            refused("0 0 32 * *"),
            "\"32\" is no day of month; it takes 1 to 31, ranges, lists and steps such as */5, or L for the last day"
        );
        assert_eq!(
            refused("0 0 * * 8"),
            "\"8\" is no day of week; it takes 0 to 7, ranges, lists and steps such as */5, or a name from sun to sat"
        );
        assert!(Schedule::every(&FiringInterval::Day, "2:30", Hong_Kong).is_err());
        let monthly = |day| Schedule::every(&FiringInterval::Month(day), "02:30", Hong_Kong);
        for day in [-1, 0, 32, i64::MAX] {
            assert_eq!(
                monthly(day).unwrap_err().to_string(),
                format!(
                    "\"{day}\" is no day of a month: write 1 to 31; in a shorter month 29, 30 and 31 are its last day"
                )
            );
        }
        assert!(monthly(1).is_ok() && monthly(31).is_ok());
    }

    #[test]
    fn a_rule_is_an_interval_if_it_names_every_hour_or_runs_from_one_into_the_next() {
        for (text, interval) in [
            ("30 * * * *", true),
            ("*/10 * * * *", true),
            ("*/15 1-4 * * *", true),
            ("0,30 22,23 * * *", true),
            ("0,30 0,23 * * *", true),
            ("0,30 0 * * *", false),
            ("0,30 2 * * *", false),
            ("0,30 23 * * *", false),
            ("0,30 1,23 * * *", false),
            ("0,31 1-4 * * *", false),
            ("0 1-4 * * *", false),
            ("0 */2 * * *", false),
        ] {
            let schedule = Schedule::crontab(text, Berlin).unwrap();
            assert_eq!(schedule.is_interval(), interval, "{text}");
        }
    }

    #[test]
    fn only_a_time_that_comes_twice_has_a_second_instant_and_only_at_its_offset() {
        for (wall, seconds, expected) in [
            ("2026-10-25T02:30:00", 3_600, Some("2026-10-25T01:30:00Z")),
            ("2026-10-25T02:30:00", 7_200, None),
            ("2026-10-25T03:30:00", 3_600, None),
            ("2026-03-29T02:30:00", 3_600, None),
        ] {
            let second = second_instant(wall.parse().unwrap(), seconds, Berlin);
            assert_eq!(second, expected.map(at), "{wall} {seconds}");
        }
    }

    #[test]
    fn a_rule_is_told_in_its_words_and_where_days_may_be_misread_how_they_were_read() {
        let quartz = |weekday: &str, names: &str| {
            format!(
                "day of week {weekday} is {names}, as Quartz counts (Sunday = 1); Spring counts Sunday = 0, so there it is another \
                 day; names such as MON leave no doubt"
            )
        };
        for (line, text, reading) in [
            ("30  9 * * 2", "30 9 * * 2", None),
            (
                "0 30 9 ? * 2-6",
                "0 30 9 ? * 2-6",
                Some(quartz("2-6", "MON, TUE, WED, THU, FRI")),
            ),
            (
                "0 30 9 ? * MON,7 2028",
                "0 30 9 ? * MON,7 2028",
                Some(quartz("MON,7", "MON, SAT")),
            ),
            ("0 30 9 ? * MON-FRI/2", "0 30 9 ? * MON-FRI/2", None),
            ("0 30 9 1 * ?", "0 30 9 1 * ?", None),
        ] {
            let schedule = Schedule::crontab(line, Berlin).unwrap();
            assert_eq!(schedule.text(), text);
            assert_eq!(schedule.reading(), reading, "{line}");
        }
        for (every, text) in [
            (FiringInterval::Day, "every day at 02:30"),
            (FiringInterval::Week("sun"), "every week on sun at 02:30"),
            (FiringInterval::Month(31), "every month on 31 at 02:30"),
        ] {
            let schedule = Schedule::every(&every, "02:30", Berlin).unwrap();
            assert_eq!((schedule.text(), schedule.reading()), (text, None));
        }
    }

    fn field(min: u32, max: u32) -> impl Strategy<Value = String> {
        prop_oneof![
            Just("*".to_owned()),
            (2..10_u32).prop_map(|step| format!("*/{step}")),
            (min..=max).prop_map(|value| value.to_string()),
            (min..=max, min..=max).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
            (min..=max, min..=max).prop_map(|(a, b)| format!("{a},{b}")),
        ]
    }

    proptest! {
        #[test]
        fn an_independent_evaluator_agrees_where_no_clock_changes(
            minute in field(0, 59), hour in field(0, 23), day in field(1, 28), month in field(1, 12),
            weekday in field(0, 6), start in 1_600_000_000_i64..2_000_000_000,
        ) {
            let text = format!("{minute} {hour} {day} {month} {weekday}");
            let Ok(ours) = Schedule::crontab(&text, Hong_Kong) else {
                prop_assert!(day.starts_with("*/") || weekday.starts_with("*/"));
                return Ok(());
            };
            let oracle: croner::Cron = text.parse().unwrap();
            let from = Hong_Kong.timestamp_opt(start, 0).unwrap();
            let expected = oracle.find_next_occurrence(&from, false).unwrap().timestamp_millis();
            let found = ours.next_after(Timestamp::from_millis(start * 1000)).map(Timestamp::millis);
            prop_assert_eq!(found, Some(expected), "{}", text);
        }
    }
}
