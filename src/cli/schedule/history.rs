//! What became of the times that have come.

use clap::Args;
use serde_json::{Value, json};

use super::super::exit::{Exit, Failure};
use super::super::output::{cut, print_table, say, say_json, table};
use crate::app::Project;
use crate::domain::occurrence::OccurrenceState;
use crate::ledger::{OccurrenceFilter, OccurrencePlace, OccurrenceRow};

/// Arguments of `payrun schedule history`.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// Only this workflow
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Only these states, separated by commas: due, queued, fired, skipped, missed, failed
    #[arg(long, value_delimiter = ',', value_parser = parse_state, value_name = "STATE")]
    state: Vec<OccurrenceState>,
    /// Only earlier ones than this: what the end of a list says
    #[arg(long, value_name = "PLACE", value_parser = parse_place)]
    before: Option<OccurrencePlace>,
    /// How many at most
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn parse_state(text: &str) -> Result<OccurrenceState, String> {
    let words = OccurrenceState::ALL.map(|(word, _)| word).join(", ");
    OccurrenceState::parse(text).ok_or_else(|| format!("the states are {words}"))
}

fn parse_place(text: &str) -> Result<OccurrencePlace, String> {
    OccurrencePlace::parse(text).ok_or_else(|| "give what the end of a list says".to_owned())
}

pub(super) async fn run(project: &Project, args: &HistoryArgs) -> Result<Exit, Failure> {
    let filter = OccurrenceFilter {
        workflow: args.workflow.clone(),
        states: args.state.clone(),
    };
    let rows = project
        .ledger()
        .await?
        .occurrences(&filter, args.before.as_ref(), args.limit)
        .await?;
    if args.json {
        say_json(&json!(rows.iter().map(row_json).collect::<Vec<_>>()));
        return Ok(Exit::Success);
    }
    if rows.is_empty() {
        say(if args.before.is_some() {
            "there are no earlier ones"
        } else {
            "no time of a schedule has come yet"
        });
        return Ok(Exit::Success);
    }
    let mut shown = table(&["workflow", "time", "time zone", "state", ">run", "reason"]);
    for row in &rows {
        shown.add_row([
            row.workflow.clone(),
            row.nominal.clone(),
            row.timezone.clone(),
            row.state.as_str().to_owned(),
            row.run_id.map(|run| run.to_string()).unwrap_or_default(),
            cut(row.reason.as_deref().unwrap_or_default(), 110),
        ]);
    }
    print_table(&shown);
    if let Some(last) = rows.last().filter(|_| rows.len() == args.limit as usize) {
        say(format!(
            "earlier ones: payrun schedule history --before \"{}\"",
            OccurrencePlace::of(last)
        ));
    }
    Ok(Exit::Success)
}

/// An occurrence for programs.
pub(super) fn row_json(row: &OccurrenceRow) -> Value {
    json!({
        "workflow": row.workflow,
        "occurrence": row.nominal,
        "timezone": row.timezone,
        "at": row.at.to_string(),
        "state": row.state.as_str(),
        "run": row.run_id,
        "reason": row.reason,
        "since": row.changed_at.to_string(),
    })
}
