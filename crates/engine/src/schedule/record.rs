//! Noting the times that have come, each as a row of its own.
//!
//! A schedule begins when it is first seen, and anew when its rule changes or it was off: nothing
//! before counts. A changed calendar begins nothing: a time that it moved behind the mark is noted
//! all the same.
//!
//! Of several processes that have different rules of one workflow, the one counts whose file was
//! taken up last; the others note nothing until theirs is read anew. Taking turns, each would begin
//! anew, and the times of both would be lost.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::SeenSchedules;

use payrun_domain::calendar::{REACH, RollOutcome};
use payrun_domain::occurrence::{LATE, OccurrenceState};
use payrun_domain::time::Timestamp;
use payrun_domain::timetable::{Firing, Timetable};
use payrun_ledger::{Ledger, LedgerError, NewOccurrence, ScheduleOff, ScheduleRow, ScheduleUpdate};
use payrun_project::workflow::Workflow;

/// How many late times get a row of their own; the newest.
pub const ROWS_MAX: usize = 1000;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// How long it takes at most until a changed file is read: so far back its times count.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// How far back times are looked for.
const WINDOW: Duration = Duration::from_secs(400 * 24 * 3_600);

/// How often noting is tried while other processes note too.
const TRIES: u32 = 5;

/// What became of noting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommitOutcome {
    /// All that has come has its row.
    All,
    /// Other processes were quicker each time, and something may be left to note.
    Perhaps,
    /// Another process has another rule, which it took up later.
    Elsewhere,
}

/// Notes what has come.
pub(super) async fn note(
    ledger: &Ledger,
    workflow: &Arc<Workflow>,
    known: Option<&ScheduleRow>,
    seen: &SeenSchedules,
    now: Timestamp,
) -> Result<CommitOutcome, LedgerError> {
    let mut known = known.cloned();
    for _ in 0..TRIES {
        let is_in_force = known
            .as_ref()
            .is_some_and(|known| known.rule == rule(workflow));
        if known.is_some() && !is_in_force && seen.in_force(workflow) {
            return Ok(CommitOutcome::Elsewhere);
        }
        let Some(noting) = step(workflow, known.as_ref(), now) else {
            seen.note(workflow);
            return Ok(CommitOutcome::All);
        };
        if ledger.note(&noting).await? {
            seen.note(workflow);
            return Ok(CommitOutcome::All);
        }
        known = ledger.schedule(&workflow.name).await?;
    }
    Ok(CommitOutcome::Perhaps)
}

/// What is to be noted of a workflow; none if there is nothing new.
fn step(
    workflow: &Workflow,
    known: Option<&ScheduleRow>,
    now: Timestamp,
) -> Option<ScheduleUpdate> {
    let timetable = workflow
        .schedule
        .as_ref()
        .filter(|schedule| !schedule.paused)
        .map(|schedule| &schedule.timetable);
    let fresh = ScheduleRow {
        workflow: workflow.name.clone(),
        rule: rule(workflow),
        calendar_hash: timetable.map(Timetable::moves).unwrap_or_default(),
        since: now,
        recorded_until: now,
    };
    let Some(known) = known else {
        return workflow.schedule.as_ref().map(|_| ScheduleUpdate {
            before: None,
            after: fresh,
            occurrences: Vec::new(),
            now,
        });
    };
    let noting = |after, occurrences| {
        Some(ScheduleUpdate {
            before: Some(known.clone()),
            after,
            occurrences,
            now,
        })
    };
    if known.rule != fresh.rule {
        tracing::info!(
            workflow = workflow.name,
            rule = fresh.rule,
            "the schedule has changed and begins anew"
        );
        let since = if ScheduleOff::parse(&known.rule).is_some() {
            now
        } else {
            known.recorded_until.min(now).max(now.minus(READ_WITHIN))
        };
        let occurrences = timetable
            .map(|timetable| come(timetable, since, now))
            .unwrap_or_default();
        return noting(ScheduleRow { since, ..fresh }, occurrences);
    }
    let timetable = timetable?;
    if known.recorded_until.since(now) > LATE {
        tracing::warn!(workflow = workflow.name, recorded_until = %known.recorded_until, since = %known.since, "the clock went back");
        return noting(
            ScheduleRow {
                recorded_until: now,
                ..known.clone()
            },
            Vec::new(),
        );
    }
    let occurrences = come(timetable, start(known, &fresh, now), now);
    let same = known.calendar_hash == fresh.calendar_hash
        && occurrences.is_empty()
        && now.since(known.recorded_until) < DAY;
    let recorded_until = known.recorded_until.max(now);
    if same {
        None
    } else {
        noting(
            ScheduleRow {
                since: known.since,
                recorded_until,
                ..fresh
            },
            occurrences,
        )
    }
}

/// The rule of a workflow as it is compared.
fn rule(workflow: &Workflow) -> String {
    match &workflow.schedule {
        None => ScheduleOff::NoSchedule.as_str().to_owned(),
        Some(schedule) if schedule.paused => ScheduleOff::Paused.as_str().to_owned(),
        Some(schedule) => schedule.timetable.rule(),
    }
}

/// From where on times are looked at.
fn start(known: &ScheduleRow, fresh: &ScheduleRow, now: Timestamp) -> Timestamp {
    let reach = DAY * (u32::try_from(REACH).unwrap_or(u32::MAX) + 1);
    let moved = known.calendar_hash != fresh.calendar_hash;
    let from = if moved {
        known.recorded_until.minus(reach)
    } else {
        known.recorded_until
    };
    from.max(known.since).max(now.minus(WINDOW))
}

/// The times that have come, as rows. Of more than [`ROWS_MAX`] the older ones share one.
fn come(timetable: &Timetable, from: Timestamp, now: Timestamp) -> Vec<NewOccurrence> {
    let mut newest: VecDeque<Firing> = VecDeque::new();
    let mut older: Option<(u64, Firing)> = None;
    for firing in timetable
        .firings(from)
        .take_while(|firing| firing.at <= now)
    {
        newest.push_back(firing);
        if newest.len() > ROWS_MAX {
            let count = older.map_or(0, |(count, _)| count);
            older = newest.pop_front().map(|firing| (count + 1, firing));
        }
    }
    let shared = older.map(|(count, firing)| NewOccurrence {
        state: OccurrenceState::Missed,
        reason: Some(format!(
            "missed, with {} before it: too many to be noted one by one",
            count - 1
        )),
        ..occurrence(timetable, &firing)
    });
    shared
        .into_iter()
        .chain(newest.iter().map(|firing| occurrence(timetable, firing)))
        .collect()
}

/// The row of a time.
pub fn occurrence(timetable: &Timetable, firing: &Firing) -> NewOccurrence {
    let date = firing.nominal.wall().date();
    let closed = || timetable.closed(date);
    let (state, reason) = match firing.placed {
        RollOutcome::Kept => (OccurrenceState::Due, None),
        RollOutcome::Moved(_) => (
            OccurrenceState::Due,
            Some(format!("moved from {date} ({})", closed())),
        ),
        RollOutcome::LeftOut => (
            OccurrenceState::Skipped,
            Some(format!("{date} is no business day ({})", closed())),
        ),
    };
    NewOccurrence {
        nominal: firing.nominal.to_string(),
        at: firing.at,
        timezone: timetable.schedule().zone().name().to_owned(),
        state,
        reason,
    }
}
