//! When each shipped workflow fires, reckoned here and not by payrun. All of them live on the wall
//! clock of UTC+8, which is never put forward or back.

use chrono::{DateTime, Days, FixedOffset, NaiveDate, NaiveDateTime, TimeDelta};
use payrun::domain::time::Timestamp;

/// When a workflow fires.
#[derive(Clone, Copy)]
pub enum Times {
    /// Each hour at this minute.
    Hourly(u32),
    /// Each day.
    Daily(u32, u32),
    /// On the last day of each month.
    MonthEnd(u32, u32),
}

use Times::{Daily, Hourly, MonthEnd};

/// Every workflow of `workflows/`, and the schedule it is given where its file has none.
pub const WORKFLOWS: [(&str, Times, &str); 16] = [
    ("cancel-orders", Daily(7, 5), "\"5 7 * * *\""),
    (
        "check-buyers",
        Daily(8, 10),
        "{ every: day, at: \"08:10\", overlap: queue }",
    ),
    ("customs-filing", Hourly(20), ""),
    ("customs-modify", Daily(13, 10), "\"10 13 * * *\""),
    ("customs-redeclare", Daily(13, 40), "\"40 13 * * *\""),
    ("daily-reconciliation", Daily(10, 15), ""),
    ("daily-statements", Daily(10, 15), ""),
    ("end-contracts", Daily(15, 30), "\"30 15 * * *\""),
    (
        "exchange-rates",
        Daily(16, 45),
        "{ cron: \"45 16 * * *\", timezone: Asia/Shanghai, missed: none }",
    ),
    ("query-orders", Daily(18, 0), "\"0 18 * * *\""),
    ("month-end", MonthEnd(9, 30), ""),
    ("monthly-deductions", MonthEnd(9, 30), ""),
    (
        "refund-batch",
        Daily(12, 0),
        "{ every: day, at: \"12:00\", missed: each }",
    ),
    ("settlements", Daily(11, 0), ""),
    ("subscriptions", Daily(9, 30), ""),
    ("take-payments", Daily(14, 0), "\"0 14 * * *\""),
];

/// A time at which a workflow is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub workflow: &'static str,
    pub nominal: String,
    pub at: Timestamp,
}

/// Everything that is due after one instant and until another, earliest first.
pub fn expected(begin: Timestamp, end: Timestamp) -> Vec<Expected> {
    let days = || {
        std::iter::successors(Some(wall(begin).date()), |date| {
            date.checked_add_days(Days::new(1))
        })
    };
    let last = wall(end).date();
    let mut all: Vec<Expected> = Vec::new();
    for (workflow, times, _) in WORKFLOWS {
        let walls = days()
            .take_while(|date| *date <= last)
            .flat_map(|date| walls(times, date));
        let due = walls.map(|wall| Expected {
            workflow,
            nominal: wall.format("%Y-%m-%dT%H:%M").to_string(),
            at: at(wall),
        });
        all.extend(due.filter(|one| one.at > begin && one.at <= end));
    }
    all.sort_by(|a, b| (a.at, a.workflow).cmp(&(b.at, b.workflow)));
    all
}

fn walls(times: Times, date: NaiveDate) -> Vec<NaiveDateTime> {
    let at = |hour, minute| date.and_hms_opt(hour, minute, 0).unwrap();
    let is_last = (date + TimeDelta::days(1)).format("%d").to_string() == "01";
    match times {
        Hourly(minute) => (0..24).map(|hour| at(hour, minute)).collect(),
        Daily(hour, minute) => vec![at(hour, minute)],
        MonthEnd(hour, minute) if is_last => vec![at(hour, minute)],
        MonthEnd(..) => Vec::new(),
    }
}

const fn zone() -> FixedOffset {
    FixedOffset::east_opt(8 * 3_600).unwrap()
}

/// The instant of a time on the wall.
pub fn at(wall: NaiveDateTime) -> Timestamp {
    Timestamp::from_millis(wall.and_local_timezone(zone()).unwrap().timestamp_millis())
}

/// The time on the wall at an instant.
pub fn wall(at: Timestamp) -> NaiveDateTime {
    DateTime::from_timestamp_millis(at.millis())
        .unwrap()
        .with_timezone(&zone())
        .naive_local()
}
