//! Instants as the ledger keeps them: whole milliseconds since 1970-01-01T00:00:00Z.
//!
//! Nothing here reads a clock; see `payrun_system::clock` for that.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// An instant, in milliseconds since the Unix epoch.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The same instant; none if no calendar has it, as of a row that nobody wrote so.
    pub fn in_calendar(self) -> Option<Self> {
        DateTime::<Utc>::from_timestamp_millis(self.0).map(|_| self)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, as gateways sign them.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This much later; saturates instead of overflowing.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// This much earlier; saturates instead of overflowing.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, to the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::Secs, true)),
            None => write!(f, "{} ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_prints_as_utc_to_the_second() {
        assert_eq!(
            Timestamp::from_millis(1_700_000_000_123).to_string(),
            "2023-11-14T22:13:20Z"
        );
    }

    #[test]
    fn an_instant_that_no_calendar_has_is_none() {
        let instant = Timestamp::from_millis(1_700_000_000_123);
        assert_eq!(instant.in_calendar(), Some(instant));
        assert_eq!(Timestamp::from_millis(i64::MAX).in_calendar(), None);
    }

    #[test]
    fn since_never_goes_negative() {
        let early = Timestamp::from_millis(5);
        let late = Timestamp::from_millis(9);
        assert_eq!(late.since(early), Duration::from_millis(4));
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn seconds_are_whole_ones_that_have_passed_also_before_1970() {
        for (millis, seconds) in [
            (0, 0),
            (999, 0),
            (1_000, 1),
            (1_700_000_000_999, 1_700_000_000),
            (-1, -1),
            (-1_000, -1),
            (-1_001, -2),
        ] {
            let at = Timestamp::from_millis(millis);
            assert_eq!(at.seconds(), seconds, "{millis}");
        }
    }
}
