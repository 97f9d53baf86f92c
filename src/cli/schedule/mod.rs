//! `payrun schedule`

use std::collections::BTreeSet;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::Context;
use super::exit::{Exit, Failure, chain};
use crate::app::Project;
use crate::workflow::Workflow;
use crate::yaml::diagnostics::suggestion;

mod calendar;
mod fire;
mod history;
mod list;

/// Arguments of `payrun schedule`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct ScheduleArgs {
    #[command(subcommand)]
    command: Option<ScheduleCommand>,
    #[command(flatten)]
    list: list::ScheduleListArgs,
}

#[derive(Debug, Subcommand)]
enum ScheduleCommand {
    /// List past times and what became of each, latest first
    History(history::HistoryArgs),
    /// Fire a time that was missed, skipped or failed; what has a run keeps it
    Fire(fire::FireArgs),
}

pub(super) async fn run(context: &Context, args: ScheduleArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    match args.command {
        None => list::run(&project, &args.list),
        Some(ScheduleCommand::History(args)) => history::run(&project, &args).await,
        Some(ScheduleCommand::Fire(args)) => fire::run(&project, &args).await,
    }
}

/// The workflows of a project that can be read, and what is wrong with the others.
fn workflows(project: &Project) -> Result<(Vec<Arc<Workflow>>, Vec<String>), Failure> {
    let (mut workflows, mut mistakes, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    for file in project.workflow_files()? {
        match project.workflow(&file) {
            Ok(workflow) if !names.insert(workflow.name.clone()) => {
                let message = format!(
                    "{}: there is another workflow \"{}\"",
                    file.display(),
                    workflow.name
                );
                return Err(Failure::invalid(message).help("give each its own name"));
            }
            Ok(workflow) => workflows.push(workflow),
            Err(error) => mistakes.push(chain(&error)),
        }
    }
    Ok((workflows, mistakes))
}

/// The one of this name.
fn named(
    workflows: &[Arc<Workflow>],
    mistakes: &[String],
    name: &str,
) -> Result<Arc<Workflow>, Failure> {
    if let Some(workflow) = workflows.iter().find(|workflow| workflow.name == name) {
        return Ok(Arc::clone(workflow));
    }
    if !mistakes.is_empty() {
        return Err(Failure::invalid(mistakes.join("\n")));
    }
    let failure = Failure::invalid(format!("no file of workflows/ is the workflow \"{name}\""));
    let help = suggestion(
        name,
        workflows.iter().map(|workflow| workflow.name.as_str()),
    );
    Err(match help {
        Some(help) => failure.help(help),
        None => failure,
    })
}
