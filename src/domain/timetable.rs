//! A schedule with its business-day calendars: which wall-clock times there are, and at which instants they fire.
//!
//! An occurrence is known by its *nominal* time, the one the rule names, before a calendar moves it. Every nominal time fires
//! once: one in a gap of the clock at the first valid instant after it, one in an overlap the first time, one on a day off where
//! the calendars put it. What a calendar leaves out is told as such, so that nothing vanishes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{Days, NaiveDate, NaiveDateTime};

use super::calendar::{Calendar, Placed, REACH, Roll, closed_in, fingerprint, place};
use super::schedule::{self, DAYS_AHEAD, Schedule};
use super::time::Timestamp;

/// A wall-clock time that a rule names, to the minute. It prints as `2026-11-30T09:30`, which is the occurrence of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nominal(NaiveDateTime);

impl Nominal {
    /// From its text; a blank may stand in place of the `T`.
    ///
    /// ```
    /// use payrun::domain::timetable::Nominal;
    /// assert_eq!(Nominal::parse("2026-11-30 09:30").unwrap().to_string(), "2026-11-30T09:30");
    /// assert!(Nominal::parse("2026-11-31T09:30").is_none());
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.replacen(' ', "T", 1);
        (text.len() == 16).then(|| NaiveDateTime::parse_from_str(&text, "%Y-%m-%dT%H:%M").ok().map(Self))?
    }

    /// The wall-clock time.
    pub const fn wall(self) -> NaiveDateTime {
        self.0
    }

    /// The instant it stands for on the wall clock of a time zone.
    pub fn instant(self, zone: chrono_tz::Tz) -> Option<Timestamp> {
        schedule::instant(self.0, zone)
    }
}

impl fmt::Display for Nominal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%dT%H:%M"))
    }
}

/// One time at which a timetable fires, or would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Firing {
    /// The time that the rule names.
    pub nominal: Nominal,
    /// The wall-clock time after the calendars moved it.
    pub wall: NaiveDateTime,
    /// The instant.
    pub at: Timestamp,
    /// What the calendars made of its date.
    pub placed: Placed,
}

/// A schedule and the calendars that move its dates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timetable {
    schedule: Schedule,
    calendars: Vec<Arc<Calendar>>,
    roll: Roll,
}

impl Timetable {
    /// Of a rule; without calendars every day counts.
    pub const fn new(schedule: Schedule, calendars: Vec<Arc<Calendar>>, roll: Roll) -> Self {
        Self { schedule, calendars, roll }
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

    /// What fires strictly after an instant, in the order of instants and then of nominal times; ends after nine years.
    pub fn firings(&self, after: Timestamp) -> impl Iterator<Item = Firing> + '_ {
        let local = self.schedule.wall(after);
        let first = local.map(|wall| wall.date());
        let dates = std::iter::successors(first, |date| date.checked_add_days(Days::new(1))).take(DAYS_AHEAD);
        let due = dates.flat_map(|date| self.on(date)).filter(move |(_, wall, _)| Some(*wall) >= local);
        due.filter_map(|(nominal, wall, placed)| self.firing(nominal, wall, placed)).filter(move |one| one.at > after)
    }

    /// The last instant up to this one, within about a year, at which it fired.
    pub fn last_until(&self, until: Timestamp) -> Option<Timestamp> {
        let fired = |days: u64| {
            let from = until.minus(Duration::from_secs(days * 86_400));
            let firings = self.firings(from).take_while(|one| one.at <= until);
            firings.filter(|one| one.placed != Placed::LeftOut).last().map(|one| one.at)
        };
        [1, 8, 40, 400].into_iter().find_map(fired)
    }

    /// What becomes of a nominal time; none if the rule does not name it.
    pub fn at(&self, nominal: Nominal) -> Option<Firing> {
        let date = nominal.wall().date();
        let named = self.schedule.fits(date) && self.schedule.times(date).any(|time| time == nominal.wall());
        let placed = named.then(|| place(&self.calendars, self.roll, date))?;
        self.firing(nominal, landing(placed, date).and_time(nominal.wall().time()), placed)
    }

    /// Why a date is no business day, by calendar.
    pub fn closed(&self, date: NaiveDate) -> String {
        closed_in(&self.calendars, date)
    }

    /// What fires on a date: nominal time, wall-clock time, and how it came there.
    fn on(&self, date: NaiveDate) -> impl Iterator<Item = (Nominal, NaiveDateTime, Placed)> + use<> {
        let sources = self.sources(date);
        let times = (!sources.is_empty()).then(|| self.schedule.times(date)).into_iter().flatten();
        times.flat_map(move |wall| {
            let of = move |(source, placed): (NaiveDate, Placed)| (Nominal(source.and_time(wall.time())), wall, placed);
            sources.clone().into_iter().map(of)
        })
    }

    /// The nominal dates that come to be on this one, in order.
    fn sources(&self, date: NaiveDate) -> Vec<(NaiveDate, Placed)> {
        let reach = if self.calendars.is_empty() { 0 } else { REACH };
        let first = date.checked_sub_days(Days::new(reach)).unwrap_or(date);
        let near = std::iter::successors(Some(first), |day| day.checked_add_days(Days::new(1)));
        let fitting = near.take(usize::try_from(2 * reach + 1).unwrap_or(1)).filter(|day| self.schedule.fits(*day));
        let placed = fitting.map(|day| (day, place(&self.calendars, self.roll, day)));
        placed.filter(|(day, placed)| landing(*placed, *day) == date).collect()
    }

    fn firing(&self, nominal: Nominal, wall: NaiveDateTime, placed: Placed) -> Option<Firing> {
        Some(Firing { nominal, wall, at: schedule::instant(wall, self.schedule.zone())?, placed })
    }
}

/// Where a date comes to be; what is left out stays where it is.
const fn landing(placed: Placed, date: NaiveDate) -> NaiveDate {
    match placed {
        Placed::Moved(to) => to,
        Placed::Kept | Placed::LeftOut => date,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedule::Every;
    use chrono_tz::Asia::Hong_Kong;
    use chrono_tz::Europe::Berlin;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis())
    }

    fn calendar() -> Vec<Arc<Calendar>> {
        let mut hk = Calendar::new("hk");
        hk.yearly.insert((1, 1), "New Year".to_owned());
        vec![Arc::new(hk)]
    }

    fn month_end(roll: Roll) -> Timetable {
        Timetable::new(Schedule::every(&Every::Month(31), "09:30", Hong_Kong).unwrap(), calendar(), roll)
    }

    fn shown(timetable: &Timetable, after: &str, count: usize) -> Vec<String> {
        let shown = |one: Firing| format!("{} at {}", one.nominal, one.wall);
        timetable.firings(at(after)).take(count).map(shown).collect()
    }

    #[test]
    fn a_month_end_on_a_day_off_keeps_its_nominal_time_and_moves() {
        let expected = ["2026-10-31T09:30 at 2026-11-02 09:30:00", "2026-11-30T09:30 at 2026-11-30 09:30:00"];
        assert_eq!(shown(&month_end(Roll::Forward), "2026-10-30T12:00:00Z", 2), expected);
        let expected = ["2026-10-31T09:30 at 2026-10-30 09:30:00", "2026-11-30T09:30 at 2026-11-30 09:30:00"];
        assert_eq!(shown(&month_end(Roll::ModifiedForward), "2026-10-29T12:00:00Z", 2), expected);
        assert_eq!(shown(&month_end(Roll::Back), "2026-10-30T12:00:00Z", 1), expected[1..], "its instant is over");
    }

    #[test]
    fn times_that_move_to_one_day_fire_there_each_in_the_order_of_their_dates() {
        let daily = Timetable::new(Schedule::crontab("0 9,17 * * *", Hong_Kong).unwrap(), calendar(), Roll::Forward);
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
        let timetable = month_end(Roll::Skip);
        let left_out = timetable.firings(at("2026-10-30T12:00:00Z")).next().unwrap();
        assert_eq!((left_out.placed, left_out.nominal.to_string().as_str()), (Placed::LeftOut, "2026-10-31T09:30"));
        assert_eq!(left_out.at.to_string(), "2026-10-31T01:30:00Z");
        assert_eq!(timetable.closed(left_out.wall.date()), "hk: Saturday");
    }

    #[test]
    fn times_in_a_gap_fire_together_and_times_in_an_overlap_once() {
        let half_hours = Timetable::new(Schedule::crontab("*/30 * * * *", Berlin).unwrap(), Vec::new(), Roll::Forward);
        let spring: Vec<String> = half_hours
            .firings(at("2026-03-29T00:29:00Z"))
            .take(4)
            .map(|one| format!("{} at {}", one.nominal, one.at))
            .collect();
        let expected = [
            "2026-03-29T01:30 at 2026-03-29T00:30:00Z",
            "2026-03-29T02:00 at 2026-03-29T01:00:00Z",
            "2026-03-29T02:30 at 2026-03-29T01:00:00Z",
            "2026-03-29T03:00 at 2026-03-29T01:00:00Z",
        ];
        assert_eq!(spring, expected);
        let autumn: Vec<i64> = half_hours
            .firings(at("2026-10-25T00:00:00Z"))
            .take(3)
            .map(|one| one.at.since(at("2026-10-25T00:00:00Z")).as_secs().cast_signed() / 60)
            .collect();
        assert_eq!(autumn, [30, 120, 150], "02:30 the first time, then 03:00");
    }

    #[test]
    fn only_what_the_rule_names_has_an_instant() {
        let timetable = month_end(Roll::Forward);
        let firing = timetable.at(Nominal::parse("2026-10-31T09:30").unwrap()).unwrap();
        assert_eq!(firing.at.to_string(), "2026-11-02T01:30:00Z");
        assert_eq!(timetable.at(Nominal::parse("2026-10-31T09:31").unwrap()), None);
        assert_eq!(timetable.at(Nominal::parse("2026-10-30T09:30").unwrap()), None);
    }

    proptest! {
        #[test]
        fn looking_from_any_moment_tells_the_same_firings(
            start in 1_600_000_000_i64..1_900_000_000, split in 0_i64..20_000_000, roll in 0_usize..4,
        ) {
            let timetable = month_end(Roll::ALL[roll].1);
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
}
