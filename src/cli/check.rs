//! `payrun check`

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::Context;
use super::doctor::{ENCRYPTION_KEY, sealing};
use super::exit::{Exit, Failure, chain};
use super::output::{Colour, count, paint, say, say_json};
use crate::alerts::preview;
use crate::app::Project;
use crate::clock::Clock;
use crate::domain::actor::Actor;
use crate::domain::alert::{AlertRule, Timing};
use crate::domain::calendar::Calendar;
use crate::domain::time::Timestamp;
use crate::engine::attempt::explain::explain;
use crate::engine::attempt::trial_calls::{self, TrialCall};
use crate::engine::planning::{FileFindings, RunRequest, check_files, first_number};
use crate::gateway::Probe;
use crate::workflow::Workflow;

/// What is found of a contract is worth a note; it makes nothing of the project's wrong.
const CONTRACT: &str = "contract";

/// How many entries of a feed are named that decide nothing.
const SOME: usize = 10;

/// What there is to be told of the item files that a workflow names by itself.
fn file_findings(project: &Project, workflow: &Arc<Workflow>) -> FileFindings {
    // A workflow with parameters that a run must give names no file yet.
    let request = RunRequest::manual(
        Arc::clone(workflow),
        &project.config,
        &[],
        Actor::payrun(),
        Clock::of_machine().now(),
    );
    request.map_or_else(|_| FileFindings::default(), |request| check_files(&request))
}

/// Arguments of `payrun check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The workflow files; all of workflows/ if none is named
    #[arg(value_name = "WORKFLOW")]
    workflows: Vec<PathBuf>,
    /// Also say which keys are used, try keys, clock and reachability of every gateway, each kind
    /// of query that the workflows make (of orders that do not exist), and ask about the first
    /// contracts of the workflows; nothing that has an effect is sent
    #[arg(long)]
    online: bool,
    /// How many contracts of each job --online asks about
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=50))]
    contracts: u8,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, args: CheckArgs) -> Result<Exit, Failure> {
    let project = match Project::open(&context.config) {
        Ok(project) => project,
        Err(error) if args.json => {
            say_json(&json!({"ok": false, "mistakes": [chain(&error)]}));
            return Ok(Exit::Invalid);
        }
        Err(error) => return Err(error.into()),
    };
    let all = args.workflows.is_empty();
    let files = if all {
        project.workflow_files()?
    } else {
        args.workflows
    };
    let mut mistakes = Vec::new();
    let mut workflows = Vec::new();
    let mut good = vec![context.config.display().to_string()];
    for file in &files {
        match project.workflow(file) {
            Ok(workflow) => workflows.push((file.clone(), workflow)),
            Err(error) => mistakes.push(chain(&error)),
        }
    }
    // A workflow is good once its item files have been tried too.
    let (mut notes, mut wrong) = (Vec::new(), Vec::new());
    for (file, workflow) in &workflows {
        let findings = file_findings(&project, workflow);
        let list = if findings.wrong.is_empty() {
            &mut good
        } else {
            &mut wrong
        };
        list.push(file.display().to_string());
        mistakes.extend(findings.wrong);
        notes.extend(findings.notes);
    }
    let workflows: Vec<Arc<Workflow>> = workflows.into_iter().map(|(_, one)| one).collect();
    mistakes.extend(template_mistakes(&project));
    mistakes.extend(never_again(&workflows, Clock::of_machine().now()));
    if all {
        mistakes.extend(rules_in_vain(&project, &workflows));
    }
    let mut readings = readings(&workflows);
    readings.extend(notes);
    let mut probes = if args.online {
        probe(&project).await?
    } else {
        Vec::new()
    };
    if args.online && probes.iter().all(|(_, probe)| probe.found.is_ok()) {
        probes.extend(try_queries(&project, &workflows).await?);
        for workflow in workflows.into_iter().filter(|_| args.contracts > 0) {
            probes.extend(ask_about_items(&project, workflow, usize::from(args.contracts)).await?);
        }
    }
    let sealing = if args.online {
        sealing(&project).await?
    } else {
        None
    };
    let unwell = sealing.as_ref().is_some_and(Result::is_err);
    let unwell = unwell
        || probes
            .iter()
            .any(|(_, probe)| probe.found.is_err() && probe.step != CONTRACT);
    if args.json {
        say_json(&json!({
            "ok": mistakes.is_empty() && !unwell,
            "files": good,
            "calendars": project.config.calendars.values().map(|calendar| json!({
                "name": calendar.name, "days_off": calendar.holidays.len(), "yearly": calendar.yearly.len(),
                "working": calendar.working.len(), "ordinary": calendar.ordinary,
            })).collect::<Vec<_>>(),
            "mistakes": mistakes,
            "notes": readings,
            "open_secrets": project.config.open_secrets,
            "encryption_key": sealing.as_ref().map(|found| found.as_ref().unwrap_or_else(|wrong| wrong)),
            "gateways": probes.iter().map(|(gateway, probe)| json!({
                "gateway": gateway, "step": probe.step, "ok": probe.found.is_ok(),
                "found": probe.found.as_ref().unwrap_or_else(|wrong| wrong),
            })).collect::<Vec<_>>(),
        }));
    } else {
        good.iter().for_each(|file| {
            say(format!(
                "{}  {file}",
                paint("good ", Colour::Green, context.colour)
            ))
        });
        wrong.iter().for_each(|file| {
            say(format!(
                "{}  {file}: it is good itself, and does not fit its item file",
                paint("wrong", Colour::Red, context.colour)
            ))
        });
        project
            .config
            .calendars
            .values()
            .for_each(|calendar| say(held(calendar)));
        readings.iter().for_each(|text| {
            say(format!(
                "{}  {text}",
                paint("note ", Colour::Yellow, context.colour)
            ))
        });
        say_open_secrets(&project, context.colour);
        if let Some(found) = &sealing {
            let (word, meaning, text) = match found {
                Ok(text) => ("good ", Colour::Green, text),
                Err(text) => ("wrong", Colour::Red, text),
            };
            say(format!(
                "{}  {ENCRYPTION_KEY}: {text}",
                paint(word, meaning, context.colour)
            ));
        }
        print_probes(&probes, context.colour);
        if files.is_empty() {
            say("no workflows found; name one to check it");
        }
    }
    if !mistakes.is_empty() && !args.json {
        let failure = Failure::invalid(mistakes.join("\n"));
        return Err(if wrong.is_empty() {
            failure
        } else {
            failure.help(
                "`check` tries the files that the workflows name; another one: `payrun plan WORKFLOW --input FILE`",
            )
        });
    }
    Ok(if mistakes.is_empty() && !unwell {
        Exit::Success
    } else {
        Exit::Invalid
    })
}

/// Warns of files with secrets that others can read: a mount may leave no other way.
pub(super) fn say_open_secrets(project: &Project, colour: bool) {
    project.config.open_secrets.iter().for_each(|open| {
        say(format!(
            "{}  {open}",
            paint("open ", Colour::Yellow, colour)
        ))
    });
}

/// What a calendar holds, and which entries of its feed decide nothing.
fn held(calendar: &Calendar) -> String {
    let (off, working) = (
        calendar.holidays.len() + calendar.yearly.len(),
        calendar.working.len(),
    );
    let mut text = format!(
        "calendar {}: days off: {}; working days that make up for some: {working}",
        calendar.name,
        count(off as u64)
    );
    if !calendar.ordinary.is_empty() {
        let some: Vec<&str> = calendar
            .ordinary
            .iter()
            .take(SOME)
            .map(String::as_str)
            .collect();
        let more = if calendar.ordinary.len() > SOME {
            ", .."
        } else {
            ""
        };
        text.push_str(&format!("; ordinary days: {}{more}", some.join(", ")));
    }
    text
}

/// How schedules were understood that another house would read otherwise.
fn readings(workflows: &[Arc<Workflow>]) -> Vec<String> {
    workflows
        .iter()
        .filter_map(|workflow| {
            let reading = workflow.schedule.as_ref()?.timetable.schedule().reading()?;
            Some(format!("{}: {reading}", workflow.name))
        })
        .collect()
}

/// Schedules that fired for the last time before an instant.
fn never_again(workflows: &[Arc<Workflow>], now: Timestamp) -> Vec<String> {
    let over = |workflow: &Arc<Workflow>| {
        let timetable = &workflow.schedule.as_ref()?.timetable;
        if !timetable.schedule().is_over(now) {
            return None;
        }
        let (name, rule) = (&workflow.name, timetable.schedule().text());
        Some(format!(
            "workflow \"{name}\": no date to come fits \"{rule}\", so it never fires again; name a later year, or take the schedule out"
        ))
    };
    workflows.iter().filter_map(over).collect()
}

fn template_mistakes(project: &Project) -> Option<String> {
    preview::previews(&project.config.folder.join("templates"))
        .err()
        .map(|error| chain(&error))
}

/// Rules of payrun.yaml that nobody would ever hear of.
fn rules_in_vain(project: &Project, workflows: &[Arc<Workflow>]) -> Vec<String> {
    let mistake = |rule: &AlertRule| {
        let name = rule.workflow.as_deref()?;
        match workflows.iter().find(|workflow| workflow.name == name) {
            None => Some(format!(
                "payrun.yaml: an alert is about the workflow \"{name}\", which workflows/ has not"
            )),
            Some(workflow) if rule.on.timing() == Timing::Needed && workflow.schedule.is_none() => {
                Some(format!(
                    "payrun.yaml: {} of \"{name}\" needs a schedule, which it has not",
                    rule.on.as_str()
                ))
            }
            Some(_) => None,
        }
    };
    project
        .config
        .alerts
        .rules
        .iter()
        .filter_map(mistake)
        .collect()
}

/// Looks at every gateway.
pub(super) async fn probe(project: &Project) -> Result<Vec<(String, Probe)>, Failure> {
    let accounts = project.accounts(&Clock::of_machine())?;
    let mut probes = Vec::new();
    for account in accounts.values() {
        for probe in account.gateway.probe().await {
            probes.push((account.name.clone(), probe));
        }
    }
    Ok(probes)
}

/// Tries every kind of query that the workflows will make, once an account.
async fn try_queries(
    project: &Project,
    workflows: &[Arc<Workflow>],
) -> Result<Vec<(String, Probe)>, Failure> {
    let clock = Clock::of_machine();
    let accounts = project.accounts(&clock)?;
    // Of today, gateways may say that it is not over.
    let day = clock
        .now()
        .minus(Duration::from_secs(2 * 86_400))
        .to_string()
        .chars()
        .take(10)
        .collect::<String>();
    let (mut tried, mut probes) = (BTreeSet::new(), Vec::new());
    for job in workflows.iter().flat_map(|workflow| &workflow.jobs) {
        let Some(account) = accounts.get(&job.gateway) else {
            continue;
        };
        for operation in trial_calls::queries(&job.kind, account.kind) {
            if tried.insert((account.name.clone(), operation.clone())) {
                let TrialCall { operation, found } =
                    trial_calls::attempt(account, &job.kind, &operation, &day).await;
                let named = |text: String| format!("{operation}: {text}");
                let found = found.map(named).map_err(named);
                probes.push((
                    account.name.clone(),
                    Probe {
                        step: "query",
                        found,
                    },
                ));
            }
        }
    }
    Ok(probes)
}

/// Asks the gateway about the first items of a workflow's jobs, where it can say more than about an
/// order: contracts.
async fn ask_about_items(
    project: &Project,
    workflow: Arc<Workflow>,
    most: usize,
) -> Result<Vec<(String, Probe)>, Failure> {
    let engine = project
        .engine(project.ledger().await?, Clock::of_machine())
        .await?;
    let (config, now) = (&project.config, Clock::of_machine().now());
    let begun = RunRequest::manual(Arc::clone(&workflow), config, &[], Actor::payrun(), now);
    let Ok(request) = begun.map(RunRequest::preview) else {
        return Ok(Vec::new());
    };
    let planned = match engine.plan(&request, &Arc::new(AtomicU64::new(0))).await {
        Ok(planned) => planned,
        Err(error) => {
            let gateway = workflow
                .jobs
                .first()
                .map_or_else(String::new, |job| job.gateway.clone());
            let found = Err(format!("workflow {}: {}", workflow.name, chain(&error)));
            return Ok(vec![(
                gateway,
                Probe {
                    step: "items",
                    found,
                },
            )]);
        }
    };
    let mut probes = Vec::new();
    for (job, planned) in workflow.jobs.iter().zip(&planned.jobs) {
        let Some(account) = engine.accounts.get(&job.gateway) else {
            continue;
        };
        for item in planned.first.iter().take(most) {
            let told = explain(account, &job.kind, &first_number(item), &item.input).await;
            if let Some(found) = told {
                probes.push((
                    job.gateway.clone(),
                    Probe {
                        step: CONTRACT,
                        found,
                    },
                ));
            }
        }
    }
    Ok(probes)
}

/// What was found, a line a step.
pub(super) fn print_probes(probes: &[(String, Probe)], colour: bool) {
    for (gateway, probe) in probes {
        let (word, meaning, text) = match &probe.found {
            Ok(text) => ("good ", Colour::Green, text),
            Err(text) if probe.step == CONTRACT => ("note ", Colour::Yellow, text),
            Err(text) => ("wrong", Colour::Red, text),
        };
        say(format!(
            "{}  gateway {gateway}, {}: {text}",
            paint(word, meaning, colour),
            probe.step
        ));
    }
}
