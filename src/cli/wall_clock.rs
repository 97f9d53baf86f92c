//! Instants as people read them: on the wall clock of the project, whose time zone is named beside
//! them. What is for programs is RFC 3339 with an offset, and is not made here.

use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;

use crate::app::Project;
use crate::domain::occurrence::name_on_clock;
use crate::domain::time::Timestamp;

/// The wall clock that a person's screen shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct WallClock(Tz);

impl WallClock {
    /// That of the project.
    pub fn of(project: &Project) -> Self {
        Self(project.config.timezone)
    }

    /// That of this time zone.
    pub const fn in_zone(zone: Tz) -> Self {
        Self(zone)
    }

    /// In a column, whose heading names the zone.
    pub fn cell(self, at: Timestamp) -> String {
        let at_utc = DateTime::from_timestamp_millis(at.millis());
        at_utc.map_or_else(
            || at.to_string(),
            |at| {
                let at = at.with_timezone(&self.0);
                at.format("%Y-%m-%d %H:%M:%S").to_string()
            },
        )
    }

    /// The heading of such a column.
    pub fn heading(self, name: &str) -> String {
        format!("{name} ({})", self.0.name())
    }

    /// In a sentence.
    pub fn named(self, at: Timestamp) -> String {
        format!("{} ({})", self.cell(at), self.0.name())
    }

    /// The name of an occurrence, which may be an instant.
    pub fn occurrence(self, name: &str) -> String {
        name_on_clock(name, self.0)
    }

    /// The same of an instant that is written for programs.
    pub fn named_text(self, at: &str) -> String {
        DateTime::parse_from_rfc3339(at).map_or_else(
            |_| at.to_owned(),
            |at| self.named(Timestamp::from_millis(at.timestamp_millis())),
        )
    }
}

/// A day, as a person types it.
pub(super) fn parse_day(text: &str) -> Result<NaiveDate, String> {
    text.parse()
        .map_err(|_| "a day is written YYYY-MM-DD, like 2026-11-30".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_on_the_clock_of_a_zone_that_is_named() {
        let clock = WallClock::in_zone(Tz::Asia__Hong_Kong);
        let at = Timestamp::from_millis(1_700_000_000_999);
        assert_eq!(clock.cell(at), "2023-11-15 06:13:20");
        assert_eq!(clock.named(at), "2023-11-15 06:13:20 (Asia/Hong_Kong)");
        assert_eq!(clock.named_text("2023-11-14T22:13:20Z"), clock.named(at));
        assert_eq!(clock.named_text("never"), "never");
        assert_eq!(clock.heading("at"), "at (Asia/Hong_Kong)");
    }
}
