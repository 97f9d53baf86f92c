//! The days that are reconciled, as both gateways count them: from midnight to midnight in Beijing.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeZone};
use chrono_tz::Asia::Shanghai;

use payrun_domain::time::Timestamp;
use payrun_ledger::{LedgerError, TimeSpan};

/// The most days of one report.
const DAYS_MAX: u64 = 400;

/// How near to midnight the gateway may count an item into the day beside.
pub(super) const BORDER: Duration = Duration::from_secs(3600);

/// Whole days, the last one included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DayRange {
    from: NaiveDate,
    to: NaiveDate,
}

impl DayRange {
    /// From the text of two days.
    pub fn parse(from: &str, to: &str) -> Result<Self, String> {
        let day = |text: &str| {
            NaiveDate::parse_from_str(text, "%Y-%m-%d")
                .map_err(|_| "from and to take days such as 2026-11-30".to_owned())
        };
        let window = Self {
            from: day(from)?,
            to: day(to)?,
        };
        if window.from > window.to {
            return Err("from lies after to".to_owned());
        }
        if window
            .from
            .checked_add_days(Days::new(DAYS_MAX))
            .is_none_or(|end| end <= window.to)
        {
            return Err(format!("more than {DAYS_MAX} days"));
        }
        Ok(window)
    }

    /// The first and the last day.
    pub fn ends(self) -> (String, String) {
        (text(self.from), text(self.to))
    }

    /// Every day of it.
    pub fn days(self) -> impl Iterator<Item = String> {
        self.from
            .iter_days()
            .take_while(move |day| *day <= self.to)
            .map(text)
    }

    /// The day before and the day after.
    pub fn neighbours(self) -> (String, String) {
        (
            text(self.from.pred_opt().unwrap_or(self.from)),
            text(self.to.succ_opt().unwrap_or(self.to)),
        )
    }

    /// When something was sent that was sent on one of its days.
    pub fn span(self) -> TimeSpan {
        TimeSpan {
            from: midnight(self.from),
            until: midnight(self.to.succ_opt().unwrap_or(self.to)),
        }
    }
}

/// The day on which an item was sent.
///
/// # Errors
/// [`LedgerError::Corrupt`] if no calendar has that instant.
pub(super) fn day_sent(item: i64, sent_at: Timestamp) -> Result<String, LedgerError> {
    let utc = DateTime::from_timestamp_millis(sent_at.millis())
        .ok_or_else(|| LedgerError::corrupt("items", item, "sent_at"))?;
    Ok(text(utc.with_timezone(&Shanghai).date_naive()))
}

fn midnight(day: NaiveDate) -> Timestamp {
    let local = Shanghai.from_local_datetime(&day.and_time(NaiveTime::MIN));
    Timestamp::from_millis(local.earliest().map_or(0, |at| at.timestamp_millis()))
}

fn text(day: NaiveDate) -> String {
    day.format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_in_beijing() {
        let window = DayRange::parse("2026-11-20", "2026-11-21").unwrap();
        assert_eq!(window.span().from.to_string(), "2026-11-19T16:00:00Z");
        assert_eq!(window.span().until.to_string(), "2026-11-21T16:00:00Z");
        assert_eq!(
            window.days().collect::<Vec<_>>(),
            ["2026-11-20", "2026-11-21"]
        );
        assert_eq!(
            window.neighbours(),
            ("2026-11-19".to_owned(), "2026-11-22".to_owned())
        );
        assert_eq!(day_sent(1, window.span().from).unwrap(), "2026-11-20");
        assert_eq!(
            day_sent(1, window.span().from.minus(Duration::from_millis(1))).unwrap(),
            "2026-11-19"
        );
    }

    #[test]
    fn an_instant_that_no_calendar_has_is_not_the_first_day_of_1970() {
        let never = day_sent(7, Timestamp::from_millis(i64::MAX));
        assert_eq!(
            never.unwrap_err().to_string(),
            LedgerError::corrupt("items", 7, "sent_at").to_string()
        );
    }

    #[test]
    fn days_that_are_none_or_too_many_are_refused() {
        assert!(DayRange::parse("2026-11-21", "2026-11-20").is_err());
        assert!(DayRange::parse("2026-11-31", "2026-12-01").is_err());
        assert!(DayRange::parse("2025-01-01", "2026-02-04").is_ok());
        assert!(
            DayRange::parse("2025-01-01", "2026-02-05")
                .unwrap_err()
                .contains("400 days")
        );
    }
}
