//! The list as an ICS calendar, for people's own.

use chrono::{DateTime, Utc};
use icalendar::{Calendar, Component, Event, EventLike};

use super::list::UpcomingFiring;
use crate::domain::calendar::RollOutcome;
use crate::domain::time::Timestamp;

/// The text of the calendar; what is left out is not in it.
pub(super) fn text(entries: &[UpcomingFiring], now: Timestamp) -> String {
    let mut calendar = Calendar::new();
    calendar.name("payrun");
    for entry in entries
        .iter()
        .filter(|entry| entry.firing.placed != RollOutcome::LeftOut)
    {
        let mut event = Event::with_uid(&format!(
            "{}-{}@payrun",
            entry.workflow.name, entry.firing.nominal
        ));
        event
            .summary(&format!("payrun: {}", entry.workflow.name))
            .starts(utc(entry.firing.at))
            .timestamp(utc(now));
        let notes: Vec<&str> = [entry.workflow.description.as_str(), &entry.note]
            .into_iter()
            .filter(|text| !text.is_empty())
            .collect();
        if !notes.is_empty() {
            event.description(&notes.join("\n"));
        }
        calendar.push(event.done());
    }
    calendar.to_string()
}

fn utc(at: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at.millis()).unwrap_or_default()
}
