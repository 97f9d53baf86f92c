//! Every time zone over 50 years: each fixed time fires once, at the first instant at which the
//! clock shows it or a later one (those of a date that a gap puts at one instant fire together),
//! and an interval at each instant at which the clock shows a time of it.
//!
//! The oracle looks from the other side: it knows only how far a zone was ahead of UTC at an
//! instant, and from when to when.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveDateTime, Offset, TimeZone, Timelike};
use chrono_tz::{TZ_VARIANTS, Tz};
use payrun::domain::calendar::RollConvention;
use payrun::domain::schedule::{FiringInterval, Schedule};
use payrun::domain::time::Timestamp;
use payrun::domain::timetable::Timetable;

const DAY: i64 = 24 * 3_600;

/// A time in which a zone's distance from UTC does not change: from when (Unix seconds), and how
/// many seconds it is ahead.
type Segment = (i64, i64);

fn day(year: i32) -> i64 {
    NaiveDate::from_ymd_opt(year, 1, 1)
        .unwrap()
        .and_hms_opt(0, 0, 0)
        .unwrap()
        .and_utc()
        .timestamp()
}

fn ahead(zone: Tz, at: i64) -> i64 {
    let utc = DateTime::from_timestamp(at, 0).unwrap().naive_utc();
    i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
}

/// The segments of a zone, found by looking at every third day and then to the second.
fn segments(zone: Tz, from: i64, until: i64) -> Vec<Segment> {
    let mut segments = vec![(from, ahead(zone, from))];
    let mut at = from;
    while at < until {
        let next = at + 3 * DAY;
        let known = segments.last().unwrap().1;
        if ahead(zone, next) != known {
            let (mut same, mut other) = (at, next);
            while other - same > 1 {
                let middle = same + (other - same) / 2;
                if ahead(zone, middle) == known {
                    same = middle
                } else {
                    other = middle
                }
            }
            segments.push((other, ahead(zone, other)));
        }
        at = next;
    }
    segments
}

/// The first instant at which the clock shows this time or a later one, on a whole minute of the
/// clock.
fn first_shown(segments: &[Segment], wall: NaiveDateTime) -> i64 {
    let seconds = wall.and_utc().timestamp();
    // No clock is further ahead or behind than a day.
    let first = segments
        .partition_point(|(from, _)| *from < seconds - 2 * DAY)
        .saturating_sub(1);
    for (place, (from, ahead)) in segments.iter().enumerate().skip(first) {
        let end = segments.get(place + 1).map_or(i64::MAX, |next| next.0);
        let shown = if seconds - ahead >= *from {
            seconds - ahead
        } else {
            (from + ahead + 59).div_euclid(60) * 60 - ahead
        };
        if shown < end {
            return shown;
        }
    }
    panic!("the last segment has no end")
}

/// What fires from one instant up to another, as the wall-clock time and its instant. It looks
/// again and again, as the service does.
fn fires(timetable: &Timetable, from: i64, until: i64) -> Vec<(NaiveDateTime, i64)> {
    let (mut found, mut from) = (Vec::new(), from);
    while from < until {
        let end = until.min(from + 1000 * DAY);
        let firings = timetable.firings(Timestamp::from_millis(from * 1000 - 1));
        let firings = firings.map(|firing| (firing.nominal.wall(), firing.at.seconds()));
        found.extend(firings.take_while(|(_, at)| *at < end));
        from = end;
    }
    found
}

/// The wall-clock times whose instants by the oracle are in a span; of those of one date at one
/// instant, which a gap put there, the first.
fn expected(
    segments: &[Segment],
    from: i64,
    until: i64,
    times: impl Iterator<Item = NaiveDateTime>,
) -> Vec<(NaiveDateTime, i64)> {
    let mut all: Vec<_> = times
        .map(|wall| (wall, first_shown(segments, wall)))
        .collect();
    all.dedup_by_key(|(wall, at)| (wall.date(), *at));
    all.retain(|(_, at)| (from..until).contains(at));
    all
}

/// The times of `7,36 0-22 * * *` between two of a clock.
fn fixed_times_between(from: i64, until: i64) -> impl Iterator<Item = NaiveDateTime> {
    let minutes = (from.div_euclid(60)..=until.div_euclid(60))
        .map(|minute| DateTime::from_timestamp(minute * 60, 0));
    minutes
        .map(|at| at.unwrap().naive_utc())
        .filter(|wall| wall.hour() < 23 && [7, 36].contains(&wall.minute()))
}

/// Each minute at which the clock shows a time of `7,37 * * * *`, as the clock shows it.
fn interval_between(segments: &[Segment], from: i64, until: i64) -> Vec<(NaiveDateTime, i64)> {
    let shown = |at: i64| {
        let place = segments.partition_point(|(begins, _)| *begins <= at) - 1;
        (
            DateTime::from_timestamp(at + segments[place].1, 0)
                .unwrap()
                .naive_utc(),
            at,
        )
    };
    let minutes =
        ((from + 59).div_euclid(60)..(until + 59).div_euclid(60)).map(|minute| shown(minute * 60));
    minutes
        .filter(|(wall, _)| [7, 37].contains(&wall.minute()))
        .collect()
}

#[test]
fn fixed_times_and_intervals_of_every_zone_fire_rightly_over_fifty_years() {
    let (begin, end) = (day(1990), day(2040));
    let mut seen = BTreeSet::new();
    let mut changes = 0;
    for zone in TZ_VARIANTS {
        let segments = segments(zone, begin - 40 * DAY, end + 40 * DAY);
        // Many names stand for the same clock.
        if !seen.insert(segments.clone()) {
            continue;
        }
        let crontab = |text| {
            Timetable::new(
                Schedule::crontab(text, zone).unwrap(),
                Vec::new(),
                RollConvention::Forward,
            )
        };
        let (fixed, interval) = (crontab("7,36 0-22 * * *"), crontab("7,37 * * * *"));
        for two in segments
            .windows(2)
            .filter(|two| (begin..end).contains(&two[1].0))
        {
            changes += 1;
            let ((_, before), (change, ahead)) = (two[0], two[1]);
            let (from, until) = (change - DAY / 8, change + DAY / 8);
            let times = fixed_times_between(from + before.min(ahead), until + before.max(ahead));
            assert_eq!(
                fires(&fixed, from, until),
                expected(&segments, from, until, times),
                "{zone} {change}"
            );
            assert_eq!(
                fires(&interval, from, until),
                interval_between(&segments, from, until),
                "{zone} {change}"
            );
        }
        let monthly = Timetable::new(
            Schedule::every(&FiringInterval::Month(31), "02:30", zone).unwrap(),
            Vec::new(),
            RollConvention::Forward,
        );
        let ends = (1990..2040)
            .flat_map(|year| (1..=12).map(move |month| (year, month)))
            .map(|(year, month)| {
                let next = if month == 12 {
                    (year + 1, 1)
                } else {
                    (year, month + 1)
                };
                let last = NaiveDate::from_ymd_opt(next.0, next.1, 1)
                    .unwrap()
                    .pred_opt()
                    .unwrap();
                last.and_hms_opt(2, 30, 0).unwrap()
            });
        let (from, until) = (begin + 2 * DAY, end - 2 * DAY);
        assert_eq!(
            fires(&monthly, from, until),
            expected(&segments, from, until, ends),
            "{zone}"
        );
    }
    assert!(
        seen.len() > 200 && changes > 5_000,
        "{} clocks, {changes} changes",
        seen.len()
    );
}

#[test]
fn the_29th_of_february_fires_in_leap_years_only_and_is_found_across_2100() {
    let leap = Schedule::crontab("0 9 29 2 *", chrono_tz::Asia::Hong_Kong).unwrap();
    let timetable = Timetable::new(leap, Vec::new(), RollConvention::Forward);
    let mut after = Timestamp::from_millis(day(2090) * 1000);
    let mut years = Vec::new();
    for _ in 0..4 {
        let firing = timetable.firings(after).next().unwrap();
        years.push(firing.nominal.to_string());
        after = firing.at.plus(Duration::from_millis(1));
    }
    assert_eq!(
        years,
        [
            "2092-02-29T09:00",
            "2096-02-29T09:00",
            "2104-02-29T09:00",
            "2108-02-29T09:00"
        ]
    );
}
