//! A schedule with its business-day calendars: which wall-clock times there are, and at which
//! instants they fire.
//!
//! An occurrence is known by its *nominal* time, the one the rule names, before a calendar moves
//! it. Every nominal time fires once: a fixed time in a gap of the clock at the first valid instant
//! after it, one in an overlap the first time, one on a day off where the calendars put it. Fixed
//! times of one date that a gap puts at one instant are one firing there, known by the first of
//! them; times of different dates that a calendar puts on one day fire each, as their runs are of
//! different dates. What a calendar leaves out is told as such, so that nothing vanishes. A rule
//! that means an interval has no times in a gap, and in an overlap each twice: the second has its
//! offset from UTC in its name.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime};

use super::calendar::{
    Calendar, REACH, RollConvention, RollOutcome, closed_in, fingerprint, place,
};
use super::schedule::{self, DAYS_AHEAD, Schedule};
use super::time::Timestamp;

/// A wall-clock time that a rule names, to the minute. It prints as `2026-11-30T09:30`, which is
/// the occurrence of its run; of an interval's second pass through an hour as
/// `2026-10-25T02:30+01:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NominalTime {
    wall: NaiveDateTime,
    /// Of the second pass: seconds ahead of UTC.
    offset: Option<i32>,
}

impl NominalTime {
    /// From its text; a blank may stand in place of the `T`.
    ///
    /// ```
    /// use payrun_domain::timetable::NominalTime;
    /// assert_eq!(NominalTime::parse("2026-11-30 09:30").unwrap().to_string(), "2026-11-30T09:30");
    /// assert!(NominalTime::parse("2026-11-31T09:30").is_none());
    /// let second = NominalTime::parse("2026-10-25T02:30+01:00").unwrap();
    /// assert_eq!(second.instant(chrono_tz::Europe::Berlin).unwrap().to_string(), "2026-10-25T01:30:00Z");
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.replacen(' ', "T", 1);
        match text.len() {
            16 => Some(Self {
                wall: NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M").ok()?,
                offset: None,
            }),
            22 => {
                let at = DateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M%:z").ok()?;
                Some(Self {
                    wall: at.naive_local(),
                    offset: Some(at.offset().local_minus_utc()),
                })
            }
            _ => None,
        }
    }

    /// The wall-clock time.
    pub const fn wall(self) -> NaiveDateTime {
        self.wall
    }

    /// Whether it is an interval's second pass through this time.
    pub const fn is_second(self) -> bool {
        self.offset.is_some()
    }

    /// The instant it stands for on the wall clock of a time zone.
    pub fn instant(self, zone: chrono_tz::Tz) -> Option<Timestamp> {
        let second = self
            .offset
            .and_then(|offset| schedule::second_instant(self.wall, offset, zone));
        second.or_else(|| schedule::instant(self.wall, zone))
    }
}

impl fmt::Display for NominalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.wall.format("%Y-%m-%dT%H:%M"))?;
        match self.offset {
            None => Ok(()),
            Some(seconds) => {
                let (sign, minutes) = (
                    if seconds < 0 { '-' } else { '+' },
                    seconds.unsigned_abs() / 60,
                );
                write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

/// One time at which a timetable fires, or would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Firing {
    /// The time that the rule names.
    pub nominal: NominalTime,
    /// The wall-clock time after the calendars moved it.
    pub wall: NaiveDateTime,
    /// The instant.
    pub at: Timestamp,
    /// What the calendars made of its date.
    pub placed: RollOutcome,
}

/// A schedule and the calendars that move its dates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timetable {
    schedule: Schedule,
    calendars: Vec<Arc<Calendar>>,
    roll: RollConvention,
}

impl Timetable {
    /// Of a rule; without calendars every day counts.
    pub const fn new(
        schedule: Schedule,
        calendars: Vec<Arc<Calendar>>,
        roll: RollConvention,
    ) -> Self {
        Self {
            schedule,
            calendars,
            roll,
        }
    }

    /// The rule and its time zone.
    pub const fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The calendars that it asks.
    pub fn calendars(&self) -> &[Arc<Calendar>] {
        &self.calendars
    }

    /// The rule and its time zone in words: which nominal times there are.
    pub fn rule(&self) -> String {
        format!("{} {}", self.schedule.text(), self.schedule.zone().name())
    }

    /// A fingerprint of what moves those times.
    pub fn moves(&self) -> String {
        fingerprint(&self.calendars, self.roll)
    }

    /// What fires strictly after an instant, in the order of instants and then of nominal times;
    /// ends after nine years.
    pub fn firings(&self, after: Timestamp) -> impl Iterator<Item = Firing> + '_ {
        // A clock that is set back over midnight shows times of a date after the next date has
        // begun.
        let first = self
            .schedule
            .wall(after)
            .and_then(|wall| wall.date().checked_sub_days(Days::new(1)));
        let dates = std::iter::successors(first, |date| date.checked_add_days(Days::new(1)))
            .take(DAYS_AHEAD);
        let mut later = Vec::new();
        dates.flat_map(move |date| {
            let mut due = std::mem::take(&mut later);
            due.extend(self.on(date).filter(|one| one.at > after));
            due.sort_by_key(|one| (one.at, one.nominal));
            let next = (!due.is_empty())
                .then(|| date.checked_add_days(Days::new(1)))
                .flatten();
            if let Some(begins) = next.and_then(|next| {
                schedule::instant(next.and_time(NaiveTime::MIN), self.schedule.zone())
            }) {
                later = due.split_off(due.partition_point(|one| one.at < begins));
            }
            due
        })
    }

    /// The last instant up to this one, within about a year, at which it fired.
    pub fn last_until(&self, until: Timestamp) -> Option<Timestamp> {
        let fired = |days: u64| {
            let from = until.minus(Duration::from_secs(days * 86_400));
            let firings = self.firings(from).take_while(|one| one.at <= until);
            firings
                .filter(|one| one.placed != RollOutcome::LeftOut)
                .last()
                .map(|one| one.at)
        };
        [1, 8, 40, 400].into_iter().find_map(fired)
    }

    /// What becomes of a nominal time; none if the rule does not name it.
    pub fn at(&self, nominal: NominalTime) -> Option<Firing> {
        let date = nominal.wall().date();
        let named = self.schedule.fits(date)
            && self.schedule.times(date).any(|time| time == nominal.wall());
        let placed = named.then(|| place(&self.calendars, self.roll, date))?;
        let wall = landing(placed, date).and_time(nominal.wall().time());
        let (at, _) = self
            .schedule
            .instants(wall)
            .find(|(_, offset)| *offset == nominal.offset)?;
        Some(Firing {
            nominal,
            wall,
            at,
            placed,
        })
    }

    /// The other times of its date that a gap of the clock put at its instant, and that it fires
    /// for.
    pub fn fires_for(&self, firing: &Firing) -> Vec<NaiveDateTime> {
        self.schedule.shares(firing.wall, firing.at)
    }

    /// The time of its date that fires for this one, where a gap of the clock put both at one
    /// instant; none if it fires itself, or the rule does not name it.
    pub fn fires_instead_of(&self, nominal: NominalTime) -> Option<NominalTime> {
        let wall = nominal.wall();
        let earlier = self
            .schedule
            .times(wall.date())
            .take_while(|time| *time < wall);
        let mut earlier = earlier.filter_map(|wall| self.at(NominalTime { wall, offset: None }));
        let fires_for = |firing: &Firing| {
            self.fires_for(firing)
                .contains(&firing.wall.date().and_time(wall.time()))
        };
        earlier
            .find(|firing| nominal.offset.is_none() && fires_for(firing))
            .map(|firing| firing.nominal)
    }

    /// Why a date is no business day, by calendar.
    pub fn closed(&self, date: NaiveDate) -> String {
        closed_in(&self.calendars, date)
    }

    /// What calendars made of a time, by the entry that did: `moved from Thu 2026-10-01 (cn:
    /// National Day)`; empty if nothing.
    pub fn moved(&self, firing: &Firing) -> String {
        let date = firing.nominal.wall().date();
        match firing.placed {
            RollOutcome::Kept => String::new(),
            RollOutcome::Moved(_) => format!(
                "moved from {} ({})",
                date.format("%a %Y-%m-%d"),
                self.closed(date)
            ),
            RollOutcome::LeftOut => format!("left out ({})", self.closed(date)),
        }
    }

    /// What fires on a date.
    fn on(&self, date: NaiveDate) -> impl Iterator<Item = Firing> {
        let sources = self.sources(date);
        let walls = (!sources.is_empty())
            .then(|| self.schedule.times(date))
            .into_iter()
            .flatten();
        let instants = walls.flat_map(|wall| {
            self.schedule
                .instants(wall)
                .map(move |(at, offset)| (wall, at, offset))
        });
        instants.flat_map(move |(wall, at, offset)| {
            let of = move |(source, placed): (NaiveDate, RollOutcome)| Firing {
                nominal: NominalTime {
                    wall: source.and_time(wall.time()),
                    offset,
                },
                wall,
                at,
                placed,
            };
            sources.clone().into_iter().map(of)
        })
    }

    /// The nominal dates that come to be on this one, in order.
    fn sources(&self, date: NaiveDate) -> Vec<(NaiveDate, RollOutcome)> {
        let reach = if self.calendars.is_empty() { 0 } else { REACH };
        let first = date.checked_sub_days(Days::new(reach)).unwrap_or(date);
        let near = std::iter::successors(Some(first), |day| day.checked_add_days(Days::new(1)));
        let fitting = near
            .take(usize::try_from(2 * reach + 1).unwrap_or(1))
            .filter(|day| self.schedule.fits(*day));
        let placed = fitting.map(|day| (day, place(&self.calendars, self.roll, day)));
        placed
            .filter(|(day, placed)| landing(*placed, *day) == date)
            .collect()
    }
}

/// Where a date comes to be; what is left out stays where it is.
const fn landing(placed: RollOutcome, date: NaiveDate) -> NaiveDate {
    match placed {
        RollOutcome::Moved(to) => to,
        RollOutcome::Kept | RollOutcome::LeftOut => date,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::FiringInterval;
    use chrono_tz::Asia::Hong_Kong;
    use chrono_tz::Europe::Berlin;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(
            chrono::DateTime::parse_from_rfc3339(text)
                .unwrap()
                .timestamp_millis(),
        )
    }

    fn calendar() -> Vec<Arc<Calendar>> {
        let mut hk = Calendar::new("hk");
        hk.yearly.insert((1, 1), "New Year".to_owned());
        vec![Arc::new(hk)]
    }

    fn month_end(roll: RollConvention) -> Timetable {
        Timetable::new(
            Schedule::every(&FiringInterval::Month(31), "09:30", Hong_Kong).unwrap(),
            calendar(),
            roll,
        )
    }

    fn shown(timetable: &Timetable, after: &str, count: usize) -> Vec<String> {
        let shown = |one: Firing| format!("{} at {}", one.nominal, one.wall);
        timetable
            .firings(at(after))
            .take(count)
            .map(shown)
            .collect()
    }

    #[test]
    fn a_month_end_on_a_day_off_keeps_its_nominal_time_and_moves() {
        let expected = [
            "2026-10-31T09:30 at 2026-11-02 09:30:00",
            "2026-11-30T09:30 at 2026-11-30 09:30:00",
        ];
        assert_eq!(
            shown(
                &month_end(RollConvention::Forward),
                "2026-10-30T12:00:00Z",
                2
            ),
            expected
        );
        let expected = [
            "2026-10-31T09:30 at 2026-10-30 09:30:00",
            "2026-11-30T09:30 at 2026-11-30 09:30:00",
        ];
        assert_eq!(
            shown(
                &month_end(RollConvention::ModifiedForward),
                "2026-10-29T12:00:00Z",
                2
            ),
            expected
        );
        assert_eq!(
            shown(&month_end(RollConvention::Back), "2026-10-30T12:00:00Z", 1),
            expected[1..],
            "its instant is over"
        );
    }

    #[test]
    fn times_that_move_to_one_day_fire_there_each_in_the_order_of_their_dates() {
        let daily = Timetable::new(
            Schedule::crontab("0 9,17 * * *", Hong_Kong).unwrap(),
            calendar(),
            RollConvention::Forward,
        );
        let expected = [
            "2026-10-31T09:00 at 2026-11-02 09:00:00",
            "2026-11-01T09:00 at 2026-11-02 09:00:00",
            "2026-11-02T09:00 at 2026-11-02 09:00:00",
            "2026-10-31T17:00 at 2026-11-02 17:00:00",
        ];
        assert_eq!(shown(&daily, "2026-10-30T12:00:00Z", 4), expected);
    }

    #[test]
    fn what_is_left_out_is_told_at_the_time_it_would_have_been() {
        let timetable = month_end(RollConvention::Skip);
        let left_out = timetable
            .firings(at("2026-10-30T12:00:00Z"))
            .next()
            .unwrap();
        assert_eq!(
            (left_out.placed, left_out.nominal.to_string().as_str()),
            (RollOutcome::LeftOut, "2026-10-31T09:30")
        );
        assert_eq!(left_out.at.to_string(), "2026-10-31T01:30:00Z");
        assert_eq!(timetable.closed(left_out.wall.date()), "hk: Saturday");
    }

    fn crontab(text: &str, zone: chrono_tz::Tz) -> Timetable {
        Timetable::new(
            Schedule::crontab(text, zone).unwrap(),
            Vec::new(),
            RollConvention::Forward,
        )
    }

    /// The nominal times and instants of a rule up to an instant.
    fn between(timetable: &Timetable, after: &str, until: &str) -> Vec<String> {
        let firings = timetable
            .firings(at(after))
            .take_while(|one| one.at <= at(until));
        firings
            .map(|one| format!("{} at {}", one.nominal, one.at))
            .collect()
    }

    #[test]
    fn fixed_times_of_a_date_in_a_gap_fire_once_and_fixed_times_in_an_overlap_once() {
        let fixed = crontab("0,30 2 * * *", Berlin);
        let spring = between(&fixed, "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z");
        assert_eq!(spring, ["2026-03-29T02:00 at 2026-03-29T01:00:00Z"]);
        let london = chrono_tz::Europe::London;
        let quarters = crontab("*/15 1 * * *", london);
        let spring = between(&quarters, "2026-03-28T12:00:00Z", "2026-03-30T00:00:00Z");
        assert_eq!(
            spring,
            [
                "2026-03-29T01:00 at 2026-03-29T01:00:00Z",
                "2026-03-30T01:00 at 2026-03-30T00:00:00Z"
            ]
        );
        let first = quarters.firings(at("2026-03-28T12:00:00Z")).next().unwrap();
        let others: Vec<String> = quarters
            .fires_for(&first)
            .iter()
            .map(|wall| wall.format("%H:%M").to_string())
            .collect();
        assert_eq!(others, ["01:15", "01:30", "01:45"]);
        let nominal = |text: &str| NominalTime::parse(text).unwrap();
        assert_eq!(
            quarters.at(nominal("2026-03-29T01:15")),
            None,
            "01:00 fires for it"
        );
        for (time, instead) in [
            ("2026-03-29T01:15", Some("2026-03-29T01:00")),
            ("2026-03-29T01:45", Some("2026-03-29T01:00")),
            ("2026-03-29T01:00", None),
            ("2026-03-29T01:20", None),
            ("2026-03-30T01:15", None),
        ] {
            assert_eq!(
                quarters.fires_instead_of(nominal(time)),
                instead.map(nominal),
                "{time}"
            );
        }
        // The end of the gap is the same instant.
        let before_and_at_the_end = crontab("0 1,2,3 * * *", london);
        let spring = between(
            &before_and_at_the_end,
            "2026-03-28T12:00:00Z",
            "2026-03-29T12:00:00Z",
        );
        assert_eq!(
            spring,
            [
                "2026-03-29T01:00 at 2026-03-29T01:00:00Z",
                "2026-03-29T03:00 at 2026-03-29T02:00:00Z"
            ]
        );
        // A gap of a whole day: each date has its own run.
        let samoa = crontab("0 0,12 * * *", chrono_tz::Pacific::Apia);
        let skipped = between(&samoa, "2011-12-30T09:00:00Z", "2011-12-30T10:00:00Z");
        assert_eq!(
            skipped,
            [
                "2011-12-30T00:00 at 2011-12-30T10:00:00Z",
                "2011-12-31T00:00 at 2011-12-30T10:00:00Z"
            ]
        );
        let autumn = between(&fixed, "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z");
        assert_eq!(
            autumn,
            [
                "2026-10-25T02:00 at 2026-10-25T00:00:00Z",
                "2026-10-25T02:30 at 2026-10-25T00:30:00Z"
            ]
        );
    }

    #[test]
    fn an_interval_runs_on_through_a_repeated_hour_and_has_nothing_to_make_up_in_a_gap() {
        for (rule, minutes) in [
            ("*/10 * * * *", 10),
            ("0-59/10 * * * *", 10),
            ("0,10,20,30,40,50 0-23 * * *", 10),
            ("*/10 1-4 * * *", 10),
            ("*/30 * * * *", 30),
            ("45 * * * *", 60),
            ("45 0-11,12-23 * * *", 60),
            ("* * * * *", 1),
        ] {
            let interval = crontab(rule, Berlin);
            for (from, until) in [
                ("2026-03-29T00:00:00Z", "2026-03-29T02:00:00Z"),
                ("2026-10-24T23:10:00Z", "2026-10-25T02:00:00Z"),
            ] {
                let firings: Vec<Firing> = interval
                    .firings(at(from))
                    .take_while(|one| one.at <= at(until))
                    .collect();
                assert!(firings.len() >= 2, "{rule} {from}");
                for two in firings.windows(2) {
                    assert_eq!(
                        two[1].at.since(two[0].at).as_secs(),
                        minutes * 60,
                        "{rule}: {two:?}"
                    );
                    assert_ne!(two[0].nominal, two[1].nominal);
                }
                for one in firings {
                    assert_eq!(interval.at(one.nominal), Some(one), "{rule}");
                    assert_eq!(
                        NominalTime::parse(&one.nominal.to_string()),
                        Some(one.nominal)
                    );
                    assert_eq!(one.nominal.instant(Berlin), Some(one.at));
                }
            }
        }
        let half_hours = crontab("*/30 * * * *", Berlin);
        let autumn = between(&half_hours, "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z");
        let expected = [
            "2026-10-25T02:30 at 2026-10-25T00:30:00Z",
            "2026-10-25T02:00+01:00 at 2026-10-25T01:00:00Z",
            "2026-10-25T02:30+01:00 at 2026-10-25T01:30:00Z",
            "2026-10-25T03:00 at 2026-10-25T02:00:00Z",
        ];
        assert_eq!(autumn, expected);
        let gap = NominalTime::parse("2026-03-29T02:30").unwrap();
        assert_eq!(half_hours.at(gap), None, "no clock shows it");
        let wrong = NominalTime::parse("2026-10-25T02:30+02:00").unwrap();
        assert_eq!(
            half_hours.at(wrong),
            None,
            "that is the first pass, which has no offset in its name"
        );
    }

    #[test]
    fn an_interval_that_is_set_back_over_midnight_fires_in_the_order_of_instants() {
        // Newfoundland set its clock back at 00:01 until 2011, to 23:01 of the day before.
        let minutely = crontab("* * * * *", chrono_tz::America::St_Johns);
        let (from, until) = (at("2010-11-07T01:30:00Z"), at("2010-11-07T05:00:00Z"));
        let firings: Vec<Firing> = minutely
            .firings(from)
            .take_while(|one| one.at <= until)
            .collect();
        assert_eq!(firings.len(), 210);
        assert!(
            firings
                .windows(2)
                .all(|two| two[1].at.since(two[0].at).as_secs() == 60)
        );
        // From each moment the same comes next as from any other.
        for (place, one) in firings.iter().enumerate().skip(1).step_by(7) {
            assert_eq!(minutely.firings(firings[place - 1].at).next(), Some(*one));
        }
    }

    #[test]
    fn only_what_the_rule_names_has_an_instant() {
        let timetable = month_end(RollConvention::Forward);
        let firing = timetable
            .at(NominalTime::parse("2026-10-31T09:30").unwrap())
            .unwrap();
        assert_eq!(firing.at.to_string(), "2026-11-02T01:30:00Z");
        assert_eq!(
            timetable.at(NominalTime::parse("2026-10-31T09:31").unwrap()),
            None
        );
        assert_eq!(
            timetable.at(NominalTime::parse("2026-10-30T09:30").unwrap()),
            None
        );
    }

    proptest! {
        #[test]
        fn looking_from_any_moment_tells_the_same_firings(
            start in 1_600_000_000_i64..1_900_000_000, split in 0_i64..20_000_000, roll in 0_usize..4,
        ) {
            let timetable = month_end(RollConvention::ALL[roll].1);
            let (first, later) = (Timestamp::from_millis(start * 1000), Timestamp::from_millis((start + split) * 1000));
            let end = Timestamp::from_millis((start + 40_000_000) * 1000);
            let whole: Vec<Firing> = timetable.firings(first).take_while(|one| one.at <= end).collect();
            let mut parts: Vec<Firing> = timetable.firings(first).take_while(|one| one.at <= later).collect();
            parts.extend(timetable.firings(later).take_while(|one| one.at <= end));
            prop_assert!(whole.len() > 8);
            prop_assert_eq!(&whole, &parts);
            for one in whole {
                prop_assert_eq!(timetable.at(one.nominal), Some(one));
            }
        }
    }

    #[test]
    fn the_offset_of_a_second_pass_is_in_its_name_with_its_sign() {
        use chrono_tz::America::{New_York, St_Johns};
        for (text, zone, instant) in [
            ("2026-10-25T02:30", Berlin, "2026-10-25T00:30:00Z"),
            ("2026-10-25T02:30+01:00", Berlin, "2026-10-25T01:30:00Z"),
            (
                "2026-10-25T01:30+00:00",
                chrono_tz::Europe::London,
                "2026-10-25T01:30:00Z",
            ),
            ("2026-11-01T01:30-05:00", New_York, "2026-11-01T06:30:00Z"),
            ("2026-11-01T01:30-03:30", St_Johns, "2026-11-01T05:00:00Z"),
        ] {
            let nominal = NominalTime::parse(text).unwrap();
            assert_eq!(nominal.to_string(), text);
            assert_eq!(nominal.is_second(), text.len() > 16, "{text}");
            assert_eq!(nominal.instant(zone), Some(at(instant)), "{text}");
        }
    }

    #[test]
    fn the_last_firing_is_found_near_and_far_and_what_was_left_out_is_none() {
        let until = "2026-03-15T12:00:30Z";
        for (rule, roll, expected) in [
            (
                "* * * * *",
                RollConvention::Forward,
                Some("2026-03-13T15:59:00Z"),
            ),
            (
                "0 9 * * *",
                RollConvention::Forward,
                Some("2026-03-13T01:00:00Z"),
            ),
            (
                "0 9 * * *",
                RollConvention::Skip,
                Some("2026-03-13T01:00:00Z"),
            ),
            (
                "0 9 * * sat",
                RollConvention::Back,
                Some("2026-03-13T01:00:00Z"),
            ),
            ("0 9 * * sat", RollConvention::Skip, None),
            (
                "0 9 8 * *",
                RollConvention::Forward,
                Some("2026-03-09T01:00:00Z"),
            ),
            (
                "0 9 L * *",
                RollConvention::Back,
                Some("2026-02-27T01:00:00Z"),
            ),
            (
                "0 9 1 4 *",
                RollConvention::Skip,
                Some("2025-04-01T01:00:00Z"),
            ),
            ("0 9 29 2 *", RollConvention::Skip, None),
        ] {
            let schedule = Schedule::crontab(rule, Hong_Kong).unwrap();
            let timetable = Timetable::new(schedule, calendar(), roll);
            let last = timetable.last_until(at(until));
            assert_eq!(last, expected.map(at), "{rule} {roll:?}");
        }
        let noon = crontab("0 12 * * *", chrono_tz::UTC);
        for (until, expected) in [
            ("2026-03-15T12:00:00Z", "2026-03-15T12:00:00Z"),
            ("2026-03-15T11:59:59Z", "2026-03-14T12:00:00Z"),
        ] {
            assert_eq!(noon.last_until(at(until)), Some(at(expected)), "{until}");
        }
    }

    #[test]
    fn a_long_holiday_sends_its_times_back_before_it_and_forward_behind_it() {
        let mut cn = Calendar::new("cn");
        for date in NaiveDate::from_ymd_opt(2026, 10, 1)
            .unwrap()
            .iter_days()
            .take(8)
        {
            cn.holidays.insert(date, "National Day".to_owned());
        }
        let cn = vec![Arc::new(cn)];
        for (roll, to) in [
            (RollConvention::Back, "2026-09-30 09:30:00"),
            (RollConvention::Forward, "2026-10-09 09:30:00"),
        ] {
            let schedule = Schedule::crontab("30 9 7 * *", Hong_Kong).unwrap();
            let timetable = Timetable::new(schedule, cn.clone(), roll);
            assert_eq!(timetable.calendars(), cn);
            let moved = timetable
                .firings(at("2026-09-15T00:00:00Z"))
                .next()
                .unwrap();
            assert_eq!(
                format!("{} at {}", moved.nominal, moved.wall),
                format!("2026-10-07T09:30 at {to}")
            );
        }
    }

    #[test]
    fn a_timetable_tells_its_rule_and_what_its_calendars_do() {
        let daily = |roll| {
            let schedule = Schedule::crontab("0 9 * * *", Hong_Kong).unwrap();
            Timetable::new(schedule, calendar(), roll)
        };
        let (forward, skip) = (daily(RollConvention::Forward), daily(RollConvention::Skip));
        assert_eq!(forward.rule(), "0 9 * * * Asia/Hong_Kong");
        assert_eq!(forward.moves(), daily(RollConvention::Forward).moves());
        assert_ne!(forward.moves(), skip.moves());
        for (timetable, day, told) in [
            (&forward, "2026-12-31", ""),
            (
                &forward,
                "2027-01-01",
                "moved from Fri 2027-01-01 (hk: New Year)",
            ),
            (&skip, "2027-01-01", "left out (hk: New Year)"),
            (&skip, "2027-01-02", "left out (hk: Saturday)"),
        ] {
            let nominal = NominalTime::parse(&format!("{day}T09:00")).unwrap();
            let firing = timetable.at(nominal).unwrap();
            assert_eq!(timetable.moved(&firing), told, "{day}");
        }
    }
}
