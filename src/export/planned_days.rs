//! Days on which runs were planned, as a person names them, and as a span of time on a wall clock.

use chrono::{Days, NaiveDate, NaiveTime};
use chrono_tz::Tz;

use crate::domain::schedule::instant;
use crate::domain::time::Timestamp;
use crate::ledger::TimeSpan;

/// The first and the last day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlannedDays(NaiveDate, NaiveDate);

impl PlannedDays {
    /// One day, or those from one to another; none where none is named.
    ///
    /// # Errors
    /// In words: both are named, or the last is before the first.
    pub fn of(
        day: Option<NaiveDate>,
        since: Option<NaiveDate>,
        until: Option<NaiveDate>,
    ) -> Result<Option<Self>, &'static str> {
        let (first, last) = match (day, since, until) {
            (None, None, None) => return Ok(None),
            (Some(day), None, None) => (day, day),
            (None, since, until) => (
                since.unwrap_or(NaiveDate::MIN),
                until.unwrap_or(NaiveDate::MAX),
            ),
            (Some(_), _, _) => return Err("either a day, or since and until"),
        };
        if last < first {
            return Err("the last day is before the first");
        }
        Ok(Some(Self(first, last)))
    }

    /// All of them on this clock.
    pub fn span(self, zone: Tz) -> TimeSpan {
        let Self(first, last) = self;
        let next = last.checked_add_days(Days::new(1));
        TimeSpan {
            from: begin_of(first, zone).unwrap_or(Timestamp::from_millis(i64::MIN)),
            until: next
                .and_then(|next| begin_of(next, zone))
                .unwrap_or(Timestamp::from_millis(i64::MAX)),
        }
    }
}

/// None beyond what a calendar has.
fn begin_of(day: NaiveDate, zone: Tz) -> Option<Timestamp> {
    let is_end = day == NaiveDate::MIN || day == NaiveDate::MAX;
    (!is_end).then(|| instant(day.and_time(NaiveTime::MIN), zone))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Option<NaiveDate> {
        text.parse().ok()
    }

    #[test]
    fn days_are_those_of_a_wall_clock_and_have_two_ends_or_one() {
        let zone = chrono_tz::Asia::Shanghai;
        let of = |since, until| PlannedDays::of(None, since, until).unwrap().unwrap();
        let one = PlannedDays::of(day("2026-03-03"), None, None).unwrap();
        let span = one.unwrap().span(zone);
        assert_eq!(span.from.to_string(), "2026-03-02T16:00:00Z");
        assert_eq!(span.until.to_string(), "2026-03-03T16:00:00Z");
        let from = of(day("2026-03-03"), None).span(zone);
        assert_eq!(from.until.millis(), i64::MAX);
        let to = of(None, day("2026-03-03")).span(zone);
        assert_eq!(to.from.millis(), i64::MIN);
        assert_eq!(PlannedDays::of(None, None, None), Ok(None));
        assert!(PlannedDays::of(None, day("2026-03-04"), day("2026-03-03")).is_err());
        assert!(PlannedDays::of(day("2026-03-04"), day("2026-03-03"), None).is_err());
    }
}
