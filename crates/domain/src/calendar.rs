//! Business days: which days count, and where a date goes that is none.
//!
//! A calendar is data: weekend days, holidays, and working days that beat both (China works on some
//! Saturdays). Several are combined: a day counts if it counts in all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{Datelike, Days, NaiveDate, Weekday};
use sha2::{Digest, Sha256};

/// How far from a date a business day is looked for; no holidays anywhere are longer.
pub const REACH: u64 = 31;

/// A calendar of business days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// Its name, as schedules give it.
    pub name: String,
    /// The days of the week that do not count.
    pub weekend: Vec<Weekday>,
    /// Single days that do not count, and what they are called.
    pub holidays: BTreeMap<NaiveDate, String>,
    /// Month and day of holidays of every year.
    pub yearly: BTreeMap<(u32, u32), String>,
    /// Days that count although they are on a weekend.
    pub working: BTreeSet<NaiveDate>,
    /// What its feed lists beside days off and working days, by name: such days are as any other.
    pub ordinary: BTreeSet<String>,
}

/// Where a date goes that is no business day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollConvention {
    /// To the next business day.
    Forward,
    /// To the business day before.
    Back,
    /// To the next business day, or the one before where the next is in another month.
    ModifiedForward,
    /// Nowhere: it is left out.
    Skip,
}

/// What became of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollOutcome {
    /// It is a business day, or no calendar was asked.
    Kept,
    /// It was moved to this day.
    Moved(NaiveDate),
    /// Nothing happens on it, nor in its place.
    LeftOut,
}

impl Calendar {
    /// With a weekend of Saturday and Sunday and no holidays.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            weekend: vec![Weekday::Sat, Weekday::Sun],
            holidays: BTreeMap::new(),
            yearly: BTreeMap::new(),
            working: BTreeSet::new(),
            ordinary: BTreeSet::new(),
        }
    }

    /// Why a day does not count; none if it does.
    ///
    /// ```
    /// use chrono::NaiveDate;
    /// use payrun_domain::calendar::Calendar;
    /// let saturday = NaiveDate::from_ymd_opt(2026, 10, 10).unwrap();
    /// let mut cn = Calendar::new("cn");
    /// assert_eq!(cn.closed(saturday), Some("Saturday"));
    /// cn.working.insert(saturday);
    /// assert_eq!(cn.closed(saturday), None);
    /// ```
    pub fn closed(&self, date: NaiveDate) -> Option<&str> {
        if self.working.contains(&date) {
            return None;
        }
        let holiday = self
            .holidays
            .get(&date)
            .or_else(|| self.yearly.get(&(date.month(), date.day())));
        let weekend = self
            .weekend
            .contains(&date.weekday())
            .then(|| weekday_name(date.weekday()));
        holiday.map(String::as_str).or(weekend)
    }

    /// Whether the holidays of a year seem to be known: a list that ends before it would let
    /// everything through.
    pub fn knows(&self, year: i32) -> bool {
        self.holidays.is_empty() || self.holidays.keys().any(|date| date.year() == year)
    }
}

impl RollConvention {
    /// Every one, with the word for it.
    pub const ALL: [(&'static str, Self); 4] = [
        ("forward", Self::Forward),
        ("back", Self::Back),
        ("modified-forward", Self::ModifiedForward),
        ("skip", Self::Skip),
    ];

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, roll)| *roll)
    }
}

/// Where a date goes: it is kept if all calendars count it.
pub fn place(calendars: &[Arc<Calendar>], roll: RollConvention, date: NaiveDate) -> RollOutcome {
    let open = |date: &NaiveDate| {
        calendars
            .iter()
            .all(|calendar| calendar.closed(*date).is_none())
    };
    if open(&date) {
        return RollOutcome::Kept;
    }
    let forward = || {
        (1..=REACH)
            .filter_map(|days| date.checked_add_days(Days::new(days)))
            .find(open)
    };
    let back = || {
        (1..=REACH)
            .filter_map(|days| date.checked_sub_days(Days::new(days)))
            .find(open)
    };
    let moved = match roll {
        RollConvention::Forward => forward(),
        RollConvention::Back => back(),
        RollConvention::ModifiedForward => forward()
            .filter(|day| day.month() == date.month())
            .or_else(back),
        RollConvention::Skip => None,
    };
    moved.map_or(RollOutcome::LeftOut, RollOutcome::Moved)
}

/// Why a date is no business day, by calendar; empty if it is one.
pub fn closed_in(calendars: &[Arc<Calendar>], date: NaiveDate) -> String {
    let named = calendars
        .iter()
        .filter_map(|calendar| Some(format!("{}: {}", calendar.name, calendar.closed(date)?)));
    named.collect::<Vec<_>>().join(", ")
}

/// A fingerprint of everything that decides where dates go; it changes when any of it does.
pub fn fingerprint(calendars: &[Arc<Calendar>], roll: RollConvention) -> String {
    let digest = Sha256::digest(format!("{roll:?} {calendars:?}"));
    hex::encode(&digest[..16])
}

const fn weekday_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Mon => "Monday",
        Weekday::Tue => "Tuesday",
        Weekday::Wed => "Wednesday",
        Weekday::Thu => "Thursday",
        Weekday::Fri => "Friday",
        Weekday::Sat => "Saturday",
        Weekday::Sun => "Sunday",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> NaiveDate {
        NaiveDate::parse_from_str(text, "%Y-%m-%d").unwrap()
    }

    /// Hong Kong and China around the National Day of 2026, of which China works the Saturday
    /// after.
    fn both() -> Vec<Arc<Calendar>> {
        let mut hk = Calendar::new("hk");
        hk.holidays
            .insert(day("2026-10-01"), "National Day".to_owned());
        hk.yearly.insert((12, 25), "Christmas".to_owned());
        let mut cn = Calendar::new("cn");
        for date in day("2026-10-01").iter_days().take(7) {
            cn.holidays.insert(date, "National Day".to_owned());
        }
        cn.working.insert(day("2026-10-10"));
        vec![Arc::new(hk), Arc::new(cn)]
    }

    #[test]
    fn a_day_counts_if_it_counts_in_all_calendars() {
        let both = both();
        assert_eq!(
            place(&both, RollConvention::Forward, day("2026-09-30")),
            RollOutcome::Kept
        );
        assert_eq!(
            place(&both, RollConvention::Forward, day("2026-10-02")),
            RollOutcome::Moved(day("2026-10-08"))
        );
        assert_eq!(
            place(&both, RollConvention::Forward, day("2026-10-10")),
            RollOutcome::Moved(day("2026-10-12")),
            "hk does not work"
        );
        assert_eq!(
            place(&both[1..], RollConvention::Forward, day("2026-10-10")),
            RollOutcome::Kept
        );
        assert_eq!(
            closed_in(&both, day("2026-10-01")),
            "hk: National Day, cn: National Day"
        );
        assert_eq!(
            closed_in(&both, day("2026-10-04")),
            "hk: Sunday, cn: National Day"
        );
    }

    #[test]
    fn each_way_of_rolling_goes_where_its_name_says() {
        let hk = &both()[..1];
        // The 31st of October 2026 is a Saturday.
        let date = day("2026-10-31");
        assert_eq!(
            place(hk, RollConvention::Forward, date),
            RollOutcome::Moved(day("2026-11-02"))
        );
        assert_eq!(
            place(hk, RollConvention::Back, date),
            RollOutcome::Moved(day("2026-10-30"))
        );
        assert_eq!(
            place(hk, RollConvention::ModifiedForward, date),
            RollOutcome::Moved(day("2026-10-30"))
        );
        assert_eq!(
            place(hk, RollConvention::ModifiedForward, day("2026-10-24")),
            RollOutcome::Moved(day("2026-10-26"))
        );
        assert_eq!(place(hk, RollConvention::Skip, date), RollOutcome::LeftOut);
        assert_eq!(place(&[], RollConvention::Skip, date), RollOutcome::Kept);
        assert_eq!(
            place(hk, RollConvention::Forward, day("2031-12-25")),
            RollOutcome::Moved(day("2031-12-26")),
            "every year"
        );
    }

    #[test]
    fn a_calendar_without_business_days_moves_nothing_for_ever() {
        let mut never = Calendar::new("never");
        never.weekend = vec![
            Weekday::Mon,
            Weekday::Tue,
            Weekday::Wed,
            Weekday::Thu,
            Weekday::Fri,
            Weekday::Sat,
            Weekday::Sun,
        ];
        for (_, roll) in RollConvention::ALL {
            assert_eq!(
                place(&[Arc::new(never.clone())], roll, day("2026-10-31")),
                RollOutcome::LeftOut
            );
        }
    }

    #[test]
    fn the_fingerprint_changes_with_a_holiday_and_with_the_roll() {
        let (one, mut other) = (both(), both());
        assert_eq!(
            fingerprint(&one, RollConvention::Back),
            fingerprint(&other, RollConvention::Back)
        );
        assert_ne!(
            fingerprint(&one, RollConvention::Back),
            fingerprint(&one, RollConvention::Skip)
        );
        Arc::make_mut(&mut other[0])
            .holidays
            .insert(day("2027-01-01"), "New Year".to_owned());
        assert_ne!(
            fingerprint(&one, RollConvention::Back),
            fingerprint(&other, RollConvention::Back)
        );
    }

    proptest! {
        #[test]
        fn a_date_moves_to_the_nearest_business_day_of_its_direction(offset in 0_u64..20_000, roll in 0_usize..3) {
            let date = day("2000-01-01") + Days::new(offset);
            let (both, (_, roll)) = (both(), RollConvention::ALL[roll]);
            let open = |date| closed_in(&both, date).is_empty();
            match place(&both, roll, date) {
                RollOutcome::Kept => prop_assert!(open(date)),
                RollOutcome::LeftOut => prop_assert!(false, "no holidays are that long"),
                RollOutcome::Moved(to) => {
                    prop_assert!(open(to) && !open(date));
                    let (first, last) = (date.min(to), date.max(to));
                    let between = first.iter_days().skip(1).take_while(|day| *day < last);
                    prop_assert!(between.into_iter().all(|day| !open(day)));
                    prop_assert!(roll != RollConvention::Forward || to > date);
                    prop_assert!(roll != RollConvention::Back || to < date);
                    prop_assert!(roll != RollConvention::ModifiedForward || to.month() == date.month());
                }
            }
        }
    }

    #[test]
    fn a_calendar_knows_the_years_of_its_holidays_and_all_years_if_it_lists_none() {
        let both = both();
        for (year, known) in [(2025, false), (2026, true), (2027, false)] {
            assert_eq!(both[1].knows(year), known, "{year}");
        }
        assert!(Calendar::new("weekends").knows(2026));
    }

    #[test]
    fn each_way_of_rolling_is_read_from_its_word() {
        for (word, roll) in [
            ("forward", Some(RollConvention::Forward)),
            ("back", Some(RollConvention::Back)),
            ("modified-forward", Some(RollConvention::ModifiedForward)),
            ("skip", Some(RollConvention::Skip)),
            ("sideways", None),
        ] {
            assert_eq!(RollConvention::parse(word), roll, "{word}");
        }
    }
}
