//! The schedule of a workflow: its rule, its calendars, and what is done when it cannot fire.

use std::sync::Arc;

use super::WorkflowSchedule;
use super::compile::{Compiler, at_text};
use crate::config::zones::zone;
use payrun_domain::calendar::{Calendar, RollConvention};
use payrun_domain::occurrence::{MissedPolicy, Overlap};
use payrun_domain::schedule::{FiringInterval, Schedule, ScheduleError};
use payrun_domain::text::shown;
use payrun_domain::timetable::Timetable;
use payrun_yaml::fields::{is_true, text_of};
use payrun_yaml::node::{MappingEntry, Position, YamlNode};

impl Compiler<'_> {
    /// Reads a schedule; what is not given has its default.
    pub(super) fn scheduling(&mut self, node: &YamlNode) -> Option<WorkflowSchedule> {
        let calendars = node
            .get("calendars")
            .map_or_else(Vec::new, |node| self.calendars(node));
        if let Some(roll) = node.get("roll").filter(|_| node.get("calendars").is_none()) {
            self.refuse(
                roll.at,
                "roll belongs to calendars: name them, or leave it out",
            );
        }
        let schedule = self.schedule(node)?;
        let roll = text_of(node, "roll")
            .and_then(RollConvention::parse)
            .unwrap_or(RollConvention::Forward);
        Some(WorkflowSchedule {
            timetable: Timetable::new(schedule, calendars, roll),
            missed: text_of(node, "missed")
                .and_then(MissedPolicy::parse)
                .unwrap_or(MissedPolicy::Latest),
            overlap: text_of(node, "overlap")
                .and_then(Overlap::parse)
                .unwrap_or(Overlap::Allow),
            paused: is_true(node, "paused"),
        })
    }

    /// Nobody is there to give a parameter when a schedule fires.
    pub(super) fn check_defaults(&mut self, params: &[MappingEntry]) {
        for param in params
            .iter()
            .filter(|param| param.value.get("default").is_none())
        {
            let message = format!(
                "a workflow with a schedule needs a default for \"{}\"",
                shown(&param.key)
            );
            self.refuse(param.key_at, message);
        }
    }

    fn calendars(&mut self, node: &YamlNode) -> Vec<Arc<Calendar>> {
        let known = self.calendars;
        if node.list().is_empty() {
            self.refuse(
                node.at,
                "this names no calendar: name some, or leave calendars out",
            );
        }
        let mut calendars = Vec::new();
        for (at, name) in node
            .list()
            .iter()
            .filter_map(|name| Some((name.at, name.text()?)))
        {
            match known.get(name) {
                Some(calendar) => calendars.push(Arc::clone(calendar)),
                None => {
                    let message = format!("there is no calendar \"{}\"", shown(name));
                    let mut diagnostic = self.source.diagnostic(at, message);
                    diagnostic = diagnostic.nearest(name, known.keys().map(String::as_str));
                    if known.is_empty() {
                        diagnostic = diagnostic.help(
                            "put it as YAML or ICS into the folder calendars beside payrun.yaml",
                        );
                    }
                    self.push(diagnostic);
                }
            }
        }
        calendars
    }

    fn schedule(&mut self, node: &YamlNode) -> Option<Schedule> {
        let timezone = match at_text(node, "timezone") {
            None => self.config.timezone,
            Some((at, text)) => match zone(text) {
                Ok(zone) => zone,
                Err((message, help)) => {
                    self.push(self.source.diagnostic(at, message).help(help));
                    return None;
                }
            },
        };
        if let Some(cron) = node
            .text()
            .map(|text| (node.at, text))
            .or_else(|| at_text(node, "cron"))
        {
            if ["every", "on", "at"]
                .iter()
                .any(|name| node.get(name).is_some())
            {
                self.refuse(
                    node.at,
                    "cron stands alone: every, on and at belong to the other form",
                );
            }
            return self.scheduled(cron.0, Schedule::crontab(cron.1, timezone));
        }
        let (Some(every), Some(time)) = (text_of(node, "every"), at_text(node, "at")) else {
            self.refuse(
                node.at,
                "a schedule is a crontab line, or every (day, week, month) with at, such as \"02:30\"",
            );
            return None;
        };
        let on = at_text(node, "on");
        let every = self.every(node, every, on)?;
        let schedule = Schedule::every(&every, time.1, timezone);
        let is_time = matches!(schedule, Err(ScheduleError::TimeOfDay { .. }));
        let place = if is_time {
            time.0
        } else {
            on.map_or(node.at, |on| on.0)
        };
        self.scheduled(place, schedule)
    }

    fn every<'a>(
        &mut self,
        node: &YamlNode,
        every: &str,
        on: Option<(Position, &'a str)>,
    ) -> Option<FiringInterval<'a>> {
        match (every, on) {
            ("day", None) => Some(FiringInterval::Day),
            ("week", Some((_, day))) => Some(FiringInterval::Week(day)),
            ("month", Some((at, text))) => match text.parse() {
                Ok(day) => Some(FiringInterval::Month(day)),
                Err(_) => {
                    let text = shown(text);
                    self.refuse(at, ScheduleError::DayOfMonth { text }.to_string());
                    None
                }
            },
            ("day", Some((at, _))) => {
                self.refuse(at, "every: day takes no on");
                None
            }
            _ => {
                self.refuse(
                    node.at,
                    "every: week needs on with a weekday, every: month with a day of the month",
                );
                None
            }
        }
    }

    fn scheduled(
        &mut self,
        at: Position,
        schedule: Result<Schedule, ScheduleError>,
    ) -> Option<Schedule> {
        schedule
            .map_err(|error| self.refuse(at, error.to_string()))
            .ok()
    }
}
