//! The one way in which the dashboard shows an instant: on the reader's clock, whose zone is named,
//! with UTC and the project's clock for whoever points at it.

use std::fmt;

use chrono::DateTime;
use chrono_tz::Tz;

use crate::domain::time::Timestamp;

/// An instant on a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    at: Timestamp,
    zone: Tz,
    project: Tz,
}

impl Moment {
    pub const fn new(at: Timestamp, zone: Tz, project: Tz) -> Self {
        Self { at, zone, project }
    }

    fn on(self, zone: Tz, format: &str) -> String {
        DateTime::from_timestamp_millis(self.at.millis()).map_or_else(
            || self.at.to_string(),
            |at| at.with_timezone(&zone).format(format).to_string(),
        )
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const WHOLE: &str = "%Y-%m-%d %H:%M:%S";
        let shown = self.on(self.zone, WHOLE);
        let (zone, utc) = (self.zone.name(), self.on(Tz::UTC, WHOLE));
        let project = if self.project == self.zone || self.project == Tz::UTC {
            String::new()
        } else {
            format!(
                " · {} {}",
                self.on(self.project, WHOLE),
                self.project.name()
            )
        };
        let machine = self.on(Tz::UTC, "%Y-%m-%dT%H:%M:%SZ");
        let short = self.on(self.zone, "%Z");
        write!(
            f,
            "<time datetime=\"{machine}\" title=\"{shown} {zone} · {utc} UTC{project}\">{shown} <small>{short}</small></time>"
        )
    }
}
