//! What did not happen: runs that have not begun, or not ended, by a time.
//!
//! The schedule says when a run is due. A run counts that began at that time or later, whoever
//! began it.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, NaiveTime, TimeZone, Utc};

use super::super::rules::ScopedRule;
use super::{DetailLookup, Fact, FactText};
use payrun_domain::alert::{AlertKind, AlertRule, last_fire};
use payrun_domain::schedule::{FiringInterval, Schedule};
use payrun_domain::time::Timestamp;
use payrun_domain::timetable::Timetable;
use payrun_ledger::{Ledger, LedgerError};
use payrun_project::workflow::Workflow;

/// An occurrence is planned a moment before or after its instant by another node's clock.
const SLACK: Duration = Duration::from_secs(60);

/// From when on a run counts, and by when it should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Deadline {
    from: Timestamp,
    by: Timestamp,
}

/// Workflows of which the last run that was due has not begun, or not ended.
pub(super) async fn absent(
    ledger: &Ledger,
    rules: &[&ScopedRule<'_>],
    now: Timestamp,
) -> Result<Vec<Fact>, LedgerError> {
    let names: BTreeSet<&str> = rules
        .iter()
        .flat_map(|scoped| &scoped.workflows)
        .map(|workflow| workflow.name.as_str())
        .collect();
    let watched = ledger
        .watched_since(&names.into_iter().collect::<Vec<_>>(), now)
        .await?;
    let mut facts = Vec::new();
    for scoped in rules {
        for workflow in &scoped.workflows {
            // What was due before anybody watched is nobody's absence.
            let is_watched = |deadline: &Deadline| {
                watched
                    .get(&workflow.name)
                    .is_some_and(|since| *since <= deadline.by)
            };
            let Some(deadline) = deadline(scoped.rule, workflow, now).filter(is_watched) else {
                continue;
            };
            let (began, ended) = ledger
                .runs_since(&workflow.name, deadline.from.minus(SLACK))
                .await?;
            let missing = if scoped.rule.on == AlertKind::NotStarted {
                began == 0
            } else {
                ended == 0
            };
            if missing {
                facts.push(absence(scoped.rule, workflow, deadline));
            }
        }
    }
    Ok(facts)
}

/// The last deadline that has passed.
fn deadline(rule: &AlertRule, workflow: &Workflow, now: Timestamp) -> Option<Deadline> {
    let timetable = &workflow
        .schedule
        .as_ref()
        .filter(|schedule| !schedule.paused)?
        .timetable;
    match rule.by {
        None => {
            let from = timetable.last_until(now.minus(rule.after))?;
            Some(Deadline {
                from,
                by: from.plus(rule.after),
            })
        }
        Some(by) => deadline_of_day(timetable, by, now),
    }
}

/// The last time of day that has passed on a day on which the schedule fires.
fn deadline_of_day(timetable: &Timetable, by: NaiveTime, now: Timestamp) -> Option<Deadline> {
    let schedule = timetable.schedule();
    let daily = Schedule::every(
        &FiringInterval::Day,
        &by.format("%H:%M").to_string(),
        schedule.zone(),
    )
    .ok()?;
    let last = last_fire(&daily, now)?;
    // The last of its days, when the deadline is earlier in the day than the schedule's time.
    let fired = timetable.last_until(last)?;
    let from = midnight(schedule, fired)?;
    let by = daily.next_after(from)?;
    (by <= now).then_some(Deadline { from, by })
}

fn midnight(schedule: &Schedule, at: Timestamp) -> Option<Timestamp> {
    let zone = schedule.zone();
    let date = DateTime::<Utc>::from_timestamp_millis(at.millis())?
        .with_timezone(&zone)
        .date_naive();
    let start = zone
        .from_local_datetime(&date.and_time(NaiveTime::MIN))
        .earliest();
    Some(start.map_or(at, |start| Timestamp::from_millis(start.timestamp_millis())))
}

fn absence(rule: &AlertRule, workflow: &Workflow, deadline: Deadline) -> Fact {
    let name = &workflow.name;
    let (what, advice) = if rule.on == AlertKind::NotStarted {
        (
            "has not begun",
            "look whether the service runs and the workflow is not paused; `payrun run` begins it by hand",
        )
    } else {
        ("has not ended", "`payrun show` says what it waits for")
    };
    Fact {
        kind: rule.on,
        subject: name.clone(),
        workflow: Some(name.clone()),
        gateway: None,
        spec: Some(rule.spec()),
        since: Some(deadline.by),
        payload: FactText {
            title: format!("{name} {what} in time"),
            facts: vec![
                ("workflow".to_owned(), name.clone()),
                (
                    "schedule".to_owned(),
                    workflow
                        .schedule
                        .as_ref()
                        .map_or(String::new(), |schedule| schedule.timetable.rule()),
                ),
                ("deadline".to_owned(), rule.spec()),
            ],
            lines: Vec::new(),
            advice: advice.to_owned(),
        },
        more: DetailLookup::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use payrun_domain::calendar::RollConvention;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(
            DateTime::parse_from_rfc3339(text)
                .unwrap()
                .timestamp_millis(),
        )
    }

    #[test]
    fn a_time_of_day_counts_on_days_on_which_the_schedule_fires() {
        let mondays = Schedule::crontab("30 9 * * mon", chrono_tz::Asia::Hong_Kong).unwrap();
        let mondays = Timetable::new(mondays, Vec::new(), RollConvention::Forward);
        let by = |now: &str| {
            deadline_of_day(
                &mondays,
                NaiveTime::from_hms_opt(9, 45, 0).unwrap(),
                at(now),
            )
            .unwrap()
        };
        // 2 March 2026 is a Monday.
        let monday = Deadline {
            from: at("2026-03-02T00:00:00+08:00"),
            by: at("2026-03-02T09:45:00+08:00"),
        };
        assert_eq!(by("2026-03-02T09:45:00+08:00"), monday);
        assert_eq!(by("2026-03-05T12:00:00+08:00"), monday);
        let before = Deadline {
            from: at("2026-02-23T00:00:00+08:00"),
            by: at("2026-02-23T09:45:00+08:00"),
        };
        assert_eq!(by("2026-03-02T09:44:00+08:00"), before);
    }
}
