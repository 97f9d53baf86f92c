//! Firing a time by hand.

use clap::Args;

use super::super::actor::Author;
use super::super::exit::{Exit, Failure};
use super::super::output::{say, say_json};
use super::history::row_json;
use super::{named, workflows};
use crate::app::Project;
use crate::clock::Clock;
use crate::domain::role::Role;
use crate::domain::timetable::NominalTime;
use crate::engine::schedule::{ManualFiring, ManualFiringError};
use crate::ledger::OccurrenceRow;

/// Arguments of `payrun schedule fire`.
#[derive(Debug, Args)]
pub(super) struct FireArgs {
    /// The workflow's name
    #[arg(value_name = "WORKFLOW")]
    workflow: String,
    /// The time as the schedule names it, before a calendar moved it
    #[arg(value_name = "YYYY-MM-DDTHH:MM", value_parser = parse_time)]
    time: NominalTime,
    #[command(flatten)]
    author: Author,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn parse_time(text: &str) -> Result<NominalTime, String> {
    NominalTime::parse(text).ok_or_else(|| "write a time like 2026-11-30T09:30".to_owned())
}

pub(super) async fn run(project: &Project, args: &FireArgs) -> Result<Exit, Failure> {
    let (all, mistakes) = workflows(project)?;
    let workflow = named(&all, &mistakes, &args.workflow)?;
    let ledger = project.ledger().await?;
    let author = args.author.proven(&ledger, Role::Operator).await?;
    let engine = project.engine(ledger, Clock::System).await?;
    let outcome = engine
        .fire_manually(&workflow, args.time, &author, engine.clock.now())
        .await
        .map_err(failed)?;
    let (row, text) = match &outcome {
        ManualFiring::Fired(row) => (
            row,
            "is planned; the service, `payrun work` or `payrun run --resume` carries it out",
        ),
        ManualFiring::HasRun(row) => (row, "was there already"),
        ManualFiring::Failed(row) => return Err(not_planned(row)),
    };
    if args.json {
        say_json(&row_json(row));
    } else {
        say(format!("run {} {text}", row.run_id.unwrap_or_default()));
    }
    Ok(Exit::Success)
}

fn not_planned(row: &OccurrenceRow) -> Failure {
    let reason = row.reason.as_deref().unwrap_or("another process is at it");
    Failure::invalid(format!(
        "{} of {} was not planned: {reason}",
        row.nominal, row.workflow
    ))
}

fn failed(error: ManualFiringError) -> Failure {
    match error {
        ManualFiringError::Ledger(error) => error.into(),
        error @ (ManualFiringError::NoSchedule { .. }
        | ManualFiringError::OtherFires { .. }
        | ManualFiringError::NoSuchTime { .. }
        | ManualFiringError::NotYet { .. }) => Failure::invalid(error.to_string())
            .help("`payrun schedule` and `payrun schedule history` list its times"),
    }
}
