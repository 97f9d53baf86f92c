//! What fires next: every time of every workflow in a span, with its instant and what a calendar
//! moved.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, Utc};
use clap::Args;
use serde_json::{Value, json};

use super::super::exit::{Exit, Failure};
use super::super::output::{count, print_table, say, say_calendar, say_json, table};
use super::{calendar, named, workflows};
use crate::app::Project;
use crate::cli::wall_clock::parse_day;
use crate::clock::Clock;
use crate::domain::calendar::RollOutcome;
use crate::domain::schedule;
use crate::domain::time::Timestamp;
use crate::domain::timetable::{Firing, NominalTime, Timetable};
use crate::workflow::Workflow;

/// How far the list may reach.
const SPAN_MAX: Duration = Duration::from_secs(3001 * 24 * 3_600);

/// How the list is cut and printed.
#[derive(Debug, Args)]
pub(super) struct ScheduleListArgs {
    /// How many days ahead
    #[arg(long, value_name = "N", default_value_t = 31, conflicts_with_all = ["from", "until"], value_parser = clap::value_parser!(u32).range(1..=3000))]
    days: u32,
    /// From the beginning of this day, on the project's wall clock; now if not given
    #[arg(long, value_parser = parse_day, value_name = "YYYY-MM-DD")]
    from: Option<NaiveDate>,
    /// To the end of this day; 31 days if not given
    #[arg(long, value_parser = parse_day, value_name = "YYYY-MM-DD")]
    until: Option<NaiveDate>,
    /// Only this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// How many at most
    #[arg(long, short = 'n', default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print an ICS calendar
    #[arg(long, conflicts_with = "json")]
    ics: bool,
}

/// A time of a workflow.
pub(super) struct UpcomingFiring {
    /// The workflow.
    pub workflow: Arc<Workflow>,
    /// The time.
    pub firing: Firing,
    /// What is to be said about it.
    pub note: String,
}

pub(super) fn run(project: &Project, args: &ScheduleListArgs) -> Result<Exit, Failure> {
    let (mut all, mistakes) = workflows(project)?;
    if let Some(name) = &args.workflow {
        all = vec![named(&all, &mistakes, name)?];
    }
    let (after, until) = span(args, project.config.timezone, Clock::System.now())?;
    let mut entries: Vec<UpcomingFiring> = all
        .iter()
        .flat_map(|workflow| entries(workflow, after, until, usize::from(args.limit) + 1))
        .collect();
    entries.sort_by(|one, other| key(one).cmp(&key(other)));
    let more = entries.len() > usize::from(args.limit);
    entries.truncate(usize::from(args.limit));
    if args.json {
        say_json(
            &json!({ "more": more, "times": entries.iter().map(entry_json).collect::<Vec<_>>() }),
        );
    } else if args.ics {
        say_calendar(&calendar::text(&entries, Clock::System.now()));
    } else {
        print(&entries, &all, more);
    }
    // Of one workflow that was asked for, the others' mistakes say nothing.
    if mistakes.is_empty() || args.workflow.is_some() {
        Ok(Exit::Success)
    } else {
        Err(Failure::invalid(mistakes.join("\n")))
    }
}

fn key(entry: &UpcomingFiring) -> (Timestamp, &str, NominalTime) {
    (entry.firing.at, &entry.workflow.name, entry.firing.nominal)
}

/// The instants that are meant: strictly after the first, up to the second.
fn span(
    args: &ScheduleListArgs,
    zone: chrono_tz::Tz,
    now: Timestamp,
) -> Result<(Timestamp, Timestamp), Failure> {
    const MILLISECOND: Duration = Duration::from_millis(1);
    let begins = |date: NaiveDate| schedule::instant(date.and_time(NaiveTime::MIN), zone);
    let wrong = || Failure::invalid("the span must end after it begins");
    let after = match args.from {
        Some(date) => begins(date).ok_or_else(wrong)?.minus(MILLISECOND),
        None => now,
    };
    let until = match args.until {
        Some(date) => date
            .checked_add_days(Days::new(1))
            .and_then(begins)
            .ok_or_else(wrong)?
            .minus(MILLISECOND),
        None => after.plus(Duration::from_secs(u64::from(args.days) * 24 * 3_600)),
    };
    if after >= until {
        return Err(wrong());
    }
    if until.since(after) > SPAN_MAX {
        return Err(Failure::invalid("the span is longer than 3000 days"));
    }
    Ok((after, until))
}

fn entries(
    workflow: &Arc<Workflow>,
    after: Timestamp,
    until: Timestamp,
    most: usize,
) -> Vec<UpcomingFiring> {
    let Some(scheduling) = workflow
        .schedule
        .as_ref()
        .filter(|scheduling| !scheduling.paused)
    else {
        return Vec::new();
    };
    let timetable = &scheduling.timetable;
    let firings = timetable
        .firings(after)
        .take_while(|firing| firing.at <= until)
        .take(most);
    let entry = |firing| UpcomingFiring {
        workflow: Arc::clone(workflow),
        firing,
        note: note(timetable, &firing),
    };
    firings.map(entry).collect()
}

/// What a calendar or a change of the clock made of a time, and what a calendar does not know.
fn note(timetable: &Timetable, firing: &Firing) -> String {
    let nominal = firing.nominal.wall();
    let mut notes: Vec<String> = Some(timetable.moved(firing))
        .into_iter()
        .filter(|moved| !moved.is_empty())
        .collect();
    if firing.nominal.is_second() {
        notes.push(format!(
            "{} comes a second time on this day",
            firing.wall.format("%H:%M")
        ));
    }
    if timetable.schedule().wall(firing.at) != Some(firing.wall) {
        notes.push(format!(
            "{} does not exist on this day",
            firing.wall.format("%H:%M")
        ));
    }
    let others: Vec<String> = timetable
        .fires_for(firing)
        .iter()
        .map(|wall| wall.format("%H:%M").to_string())
        .collect();
    if !others.is_empty() {
        notes.push(format!("fires once for {} too", others.join(", ")));
    }
    let year = nominal.year();
    let ignorant = timetable
        .calendars()
        .iter()
        .filter(|calendar| !calendar.knows(year));
    notes.extend(ignorant.map(|calendar| format!("{} has no holidays of {year}", calendar.name)));
    notes.join("; ")
}

/// The time zone of the schedule.
fn zone_of(entry: &UpcomingFiring) -> Option<chrono_tz::Tz> {
    let schedule = entry.workflow.schedule.as_ref();
    schedule.map(|scheduling| scheduling.timetable.schedule().zone())
}

/// The wall clock at the instant, with its offset.
fn local(entry: &UpcomingFiring, format: &str) -> String {
    let zone = zone_of(entry);
    let at = DateTime::<Utc>::from_timestamp_millis(entry.firing.at.millis()).unwrap_or_default();
    zone.map(|zone| at.with_timezone(&zone).format(format).to_string())
        .unwrap_or_default()
}

fn print(entries: &[UpcomingFiring], workflows: &[Arc<Workflow>], more: bool) {
    if entries.is_empty() {
        say("nothing fires by itself in this span");
    } else {
        let mut rows = table(&["workflow", "local time", "time zone", "note"]);
        for entry in entries {
            let local = local(entry, "%a %Y-%m-%d %H:%M %:z");
            rows.add_row([
                entry.workflow.name.clone(),
                local,
                zone_of(entry).map_or("", |zone| zone.name()).to_owned(),
                entry.note.clone(),
            ]);
        }
        print_table(&rows);
    }
    if more {
        say(format!(
            "and more than these {}; name a shorter span, or a larger number by -n",
            count(entries.len() as u64)
        ));
    }
    let paused = workflows
        .iter()
        .filter(|workflow| workflow.schedule.as_ref().is_some_and(|one| one.paused));
    paused.for_each(|workflow| say(format!("{} is paused in its file", workflow.name)));
}

fn entry_json(entry: &UpcomingFiring) -> Value {
    let zone = zone_of(entry).map(|zone| zone.name());
    json!({
        "workflow": entry.workflow.name,
        "occurrence": entry.firing.nominal.to_string(),
        "at": entry.firing.at.to_string(),
        "local": local(entry, "%Y-%m-%dT%H:%M:%S%:z"),
        "timezone": zone,
        "moved": matches!(entry.firing.placed, RollOutcome::Moved(_)),
        "left_out": entry.firing.placed == RollOutcome::LeftOut,
        "note": entry.note,
    })
}
