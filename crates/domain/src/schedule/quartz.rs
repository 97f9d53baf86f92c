//! The line of six or seven fields that Quartz and Spring take: a second before, and a year behind.
//!
//! The `cron` crate reads the fields; when a rule fires is decided by [`super::WallClockSets`]
//! alone, whose wall clock it has not.

use std::str::FromStr as _;

use cron::TimeUnitSpec;

use super::{DayRule, LAST_DAY, ScheduleError, WallClockSets, cut};

const NAMES: [&str; 7] = [
    "second",
    "minute",
    "hour",
    "day of month",
    "month",
    "day of week",
    "year",
];
const EXPECTED: [&str; 7] = [
    "payrun fires at full minutes, so it takes 0",
    "it takes 0 to 59, ranges, lists and steps such as 0/5",
    "it takes 0 to 23, ranges, lists and steps such as 0/5",
    "it takes 1 to 31, ranges, lists, steps such as 1/5, L for the last day, or ? where the day of week decides",
    "it takes 1 to 12, ranges, lists, steps such as 1/3, or a name from JAN to DEC",
    "it takes 1 to 7 (Sunday = 1), ranges, lists, a name from SUN to SAT, or ? where the day of month decides",
    "it takes 1970 to 2100, ranges, lists and steps, or *",
];
const DAY: usize = 3;
const WEEKDAY: usize = 5;

/// The rule of second, minute, hour, day of month, month, day of week and year.
pub(super) fn rule(fields: [&str; 7]) -> Result<WallClockSets, ScheduleError> {
    if fields[0] != "0" {
        return Err(refuse(0, fields[0]));
    }
    let unrestricted = |place: usize| matches!(fields[place], "*" | "?");
    if !unrestricted(DAY) && !unrestricted(WEEKDAY) {
        return Err(ScheduleError::Field {
            field: NAMES[WEEKDAY],
            text: cut(fields[WEEKDAY]),
            expected: "with a day of month beside it Spring means days that fit both, and Quartz refuses it: write ? in one of them"
                .to_owned(),
        });
    }
    let read = |place: usize| match fields[place] {
        "L" if place == DAY => Ok(LAST_DAY),
        _ => field(fields, place).map(|set| set.iter().fold(0, |bits, value| bits | 1 << value)),
    };
    let years = match fields[6] {
        "*" => None,
        _ => Some(field(fields, 6)?),
    };
    let years = years.map(|set| set.into_iter().filter_map(|year| i32::try_from(year).ok()));
    let of_month = (!unrestricted(DAY)).then(|| read(DAY)).transpose()?;
    // Sunday is 1 there, and the first bit here.
    let of_week = (!unrestricted(WEEKDAY))
        .then(|| read(WEEKDAY).map(|days: u64| days >> 1))
        .transpose()?;
    Ok(WallClockSets {
        minutes: read(1)?,
        hours: read(2)?,
        months: read(4)?,
        years: years.map(Iterator::collect),
        days: DayRule::Crontab { of_month, of_week },
    })
}

/// The values of one field, which is read alone so that a mistake has its name.
fn field(fields: [&str; 7], place: usize) -> Result<Vec<u32>, ScheduleError> {
    let mut alone = ["0", "0", "0", "*", "*", "*", "*"];
    alone[place] = fields[place];
    let refused = || refuse(place, fields[place]);
    let read = cron::Schedule::from_str(&alone.join(" ")).map_err(|_| refused())?;
    Ok(match place {
        1 => read.minutes().iter().collect(),
        2 => read.hours().iter().collect(),
        3 => read.days_of_month().iter().collect(),
        4 => read.months().iter().collect(),
        5 => read.days_of_week().iter().collect(),
        _ => read.years().iter().collect(),
    })
}

/// What Quartz means by a day that payrun has no rule for; none if it is no day to Quartz either.
fn meaning_in_quartz(place: usize, text: &str) -> Option<&'static str> {
    let is_number = |text: &str, most: u32| {
        text.parse::<u32>()
            .is_ok_and(|number| (1..=most).contains(&number))
    };
    let is_weekday = |text: &str| {
        let named = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
        is_number(text, 7) || named.iter().any(|day| day.eq_ignore_ascii_case(text))
    };
    let text = text.to_ascii_uppercase();
    let nth = text.split_once('#');
    if place == WEEKDAY && nth.is_some_and(|(day, nth)| is_weekday(day) && is_number(nth, 5)) {
        Some("the n-th such day of a month")
    } else if place == WEEKDAY && text.strip_suffix('L').is_some_and(is_weekday) {
        Some("the last such day of a month")
    } else if place == WEEKDAY && text == "L" {
        Some("Saturday, the last day of its week")
    } else if place == DAY
        && text
            .strip_prefix("L-")
            .is_some_and(|days| is_number(days, 30))
    {
        Some("so many days before the last day of a month")
    } else if place == DAY
        && text
            .strip_suffix('W')
            .is_some_and(|day| day == "L" || is_number(day, 31))
    {
        Some("the weekday nearest to that day")
    } else {
        None
    }
}

fn refuse(place: usize, text: &str) -> ScheduleError {
    if let Some(meaning) = meaning_in_quartz(place, text) {
        return ScheduleError::Unsupported {
            text: cut(text),
            meaning,
            expected: EXPECTED[place],
        };
    }
    ScheduleError::Field {
        field: NAMES[place],
        text: cut(text),
        expected: EXPECTED[place].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone as _, Utc};
    use chrono_tz::Asia::Hong_Kong;
    use proptest::prelude::*;

    use super::super::Schedule;
    use crate::time::Timestamp;

    fn fires(line: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::crontab(line, chrono_tz::UTC).unwrap();
        let first = Timestamp::from_millis(
            chrono::DateTime::parse_from_rfc3339(after)
                .unwrap()
                .timestamp_millis(),
        );
        std::iter::successors(schedule.next_after(first), |at| schedule.next_after(*at))
            .take(count)
            .map(|at| at.to_string())
            .collect()
    }

    #[test]
    fn a_line_of_quartz_fires_as_quartz_counts() {
        // 2026-11-29 is a Sunday.
        let sunday = "2026-11-29T00:00:00Z";
        assert_eq!(
            fires("0 30 9 ? * 2-6", sunday, 2),
            ["2026-11-30T09:30:00Z", "2026-12-01T09:30:00Z"]
        );
        assert_eq!(
            fires("0 30 9 ? * SUN", sunday, 2),
            ["2026-11-29T09:30:00Z", "2026-12-06T09:30:00Z"]
        );
        assert_eq!(
            fires("0 0 9 L * ?", sunday, 3),
            [
                "2026-11-30T09:00:00Z",
                "2026-12-31T09:00:00Z",
                "2027-01-31T09:00:00Z"
            ]
        );
        assert_eq!(
            fires("0 0 9 1 1/3 ? 2028", sunday, 9),
            [
                "2028-01-01T09:00:00Z",
                "2028-04-01T09:00:00Z",
                "2028-07-01T09:00:00Z",
                "2028-10-01T09:00:00Z"
            ]
        );
    }

    #[test]
    fn a_year_that_is_not_named_is_every_year_also_after_the_last_that_can_be() {
        for line in ["0 0 9 1 1 ?", "0 0 9 1 1 ? *"] {
            assert_eq!(
                fires(line, "2100-06-01T00:00:00Z", 1),
                ["2101-01-01T09:00:00Z"],
                "{line}"
            );
        }
        let last = fires("0 0 9 1 1 ? 2100", "2099-06-01T00:00:00Z", 2);
        assert_eq!(last, ["2100-01-01T09:00:00Z"]);
    }

    #[test]
    fn a_line_whose_years_are_over_never_fires_again() {
        for (line, now, is_over) in [
            ("0 0 9 1 * ? 2020", "2020-12-01T08:59:00Z", false),
            ("0 0 9 1 * ? 2020", "2020-12-01T09:00:00Z", true),
            ("0 0 9 1 * ? 2020,2100", "2026-11-29T00:00:00Z", false),
            ("0 0 9 1 * ? 2100", "2101-01-01T00:00:00Z", true),
            ("0 0 9 29 2 ? 2026-2027,2020", "2026-01-01T00:00:00Z", true),
            ("0 0 9 1 * ?", "2026-11-29T00:00:00Z", false),
            ("0 9 1 * *", "2026-11-29T00:00:00Z", false),
        ] {
            let schedule = Schedule::crontab(line, chrono_tz::UTC).unwrap();
            let now = chrono::DateTime::parse_from_rfc3339(now).unwrap();
            let now = Timestamp::from_millis(now.timestamp_millis());
            assert_eq!(schedule.is_over(now), is_over, "{line}");
        }
    }

    #[test]
    fn a_line_of_quartz_is_evaluated_by_our_clock() {
        // 02:30 is in the gap of 2026-03-29 in Berlin: it fires once, when the gap ends.
        let line = Schedule::crontab("0 30 2 * * ?", chrono_tz::Europe::Berlin).unwrap();
        let before = Timestamp::from_millis(
            Utc.with_ymd_and_hms(2026, 3, 28, 12, 0, 0)
                .unwrap()
                .timestamp_millis(),
        );
        let at = line.next_after(before).unwrap();
        assert_eq!(at.to_string(), "2026-03-29T01:00:00Z");
    }

    #[test]
    fn what_such_a_line_cannot_be_is_refused_with_the_field() {
        for (line, expected) in [
            (
                "30 0 9 * * ?",
                "\"30\" is no second; payrun fires at full minutes",
            ),
            ("* 0 9 * * ?", "\"*\" is no second"),
            ("0 60 9 * * ?", "\"60\" is no minute"),
            ("0 0 9 31-1 * ?", "\"31-1\" is no day of month"),
            (
                "0 0 9 ? * 0",
                "\"0\" is no day of week; it takes 1 to 7 (Sunday = 1)",
            ),
            ("0 0 L * * ?", "\"L\" is no hour"),
            (
                "0 0 9 ? * L",
                "to Quartz \"L\" means Saturday, the last day of its week, which payrun does not support; it takes 1 to 7",
            ),
            (
                "0 0 9 ? * 6#3",
                "to Quartz \"6#3\" means the n-th such day of a month, which payrun does not support; it takes 1 to 7",
            ),
            (
                "0 0 9 ? * fri#2",
                "means the n-th such day of a month, which payrun does not support",
            ),
            ("0 0 9 ? * 6L", "means the last such day of a month"),
            ("0 0 9 15W * ?", "means the weekday nearest to that day"),
            ("0 0 9 LW * ?", "means the weekday nearest to that day"),
            ("0 0 9 L-3 * ?", "means so many days before the last day"),
            // Quartz has no such day either.
            ("0 0 9 ? * 8#1", "\"8#1\" is no day of week"),
            ("0 0 9 ? * 2#6", "\"2#6\" is no day of week"),
            ("0 0 9 32W * ?", "\"32W\" is no day of month"),
            ("0 0 9 15 * MON", "write ? in one of them"),
            ("0 0 9 * * ? 1969", "\"1969\" is no year"),
            ("0 0 9 */0 * ?", "\"*/0\" is no day of month"),
            ("0 0 9 30 2 ? 2028", "no date ever fits"),
            ("0 0 9 * *  ? * *", "5 fields"),
        ] {
            let error = Schedule::crontab(line, chrono_tz::UTC)
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    fn part() -> impl Strategy<Value = String> {
        "[0-9*?/,\\-LWa-zA-Z# ]{0,12}"
    }

    proptest! {
        #[test]
        fn no_line_of_six_or_seven_fields_ends_the_process(fields in prop::collection::vec(part(), 6..8)) {
            let _ = Schedule::crontab(&fields.join(" "), Hong_Kong);
        }

        #[test]
        fn two_independent_evaluators_agree_where_no_clock_changes(
            minute in 0..60_u32, hour in 0..24_u32, step in 1..12_u32, day in 1..29_u32,
            weekday in 1..8_u32, by_weekday in any::<bool>(), start in 1_600_000_000_i64..2_000_000_000,
        ) {
            let days = if by_weekday { format!("? * {weekday}") } else { format!("{day} 1/{step} ?") };
            let line = format!("0 {minute} {hour} {days}");
            let ours = Schedule::crontab(&line, Hong_Kong).unwrap();
            let from = Hong_Kong.timestamp_opt(start, 0).unwrap();
            let found = ours.next_after(Timestamp::from_millis(start * 1000)).map(Timestamp::millis);
            let cron: cron::Schedule = line.parse().unwrap();
            let expected = cron.after(&from).next().unwrap().timestamp_millis();
            prop_assert_eq!(found, Some(expected), "{}", line);
            // croner counts from Sunday = 0.
            let of_croner = if by_weekday {
                format!("{minute} {hour} * * {}", weekday - 1)
            } else {
                format!("{minute} {hour} {day} 1-12/{step} *")
            };
            let croner: croner::Cron = of_croner.parse().unwrap();
            let expected = croner.find_next_occurrence(&from, false).unwrap().timestamp_millis();
            prop_assert_eq!(found, Some(expected), "{}", line);
        }
    }
}
