//! Schedules: which of their times are noted, and what became of each.

pub(crate) mod occurrences;
pub(crate) mod schedule_state;
