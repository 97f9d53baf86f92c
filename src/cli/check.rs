//! `payrun check`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{Colour, paint, say, say_json};
use super::project::Project;
use crate::clock::Clock;
use crate::gateway::Probe;

/// Arguments of `payrun check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The workflow files; all of workflows/ if none is named
    #[arg(value_name = "WORKFLOW")]
    workflows: Vec<PathBuf>,
    /// Also try keys, clock and reachability of every gateway; no order is touched
    #[arg(long)]
    online: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, args: CheckArgs) -> Result<Exit, Failure> {
    let project = match Project::load(context) {
        Ok(project) => project,
        Err(failure) if args.json => {
            say_json(&json!({"ok": false, "mistakes": [failure.message]}));
            return Ok(Exit::Invalid);
        }
        Err(failure) => return Err(failure),
    };
    let files = if args.workflows.is_empty() { workflow_files(&project.config.folder) } else { args.workflows };
    let mut mistakes = Vec::new();
    let mut good = vec![context.config.display().to_string()];
    for file in &files {
        match project.workflow(file) {
            Ok(_) => good.push(file.display().to_string()),
            Err(failure) => mistakes.push(failure.message),
        }
    }
    let probes = if args.online { probe(&project).await? } else { Vec::new() };
    let unwell = probes.iter().any(|(_, probe)| probe.found.is_err());
    if args.json {
        say_json(&json!({
            "ok": mistakes.is_empty() && !unwell,
            "files": good,
            "mistakes": mistakes,
            "gateways": probes.iter().map(|(gateway, probe)| json!({
                "gateway": gateway, "step": probe.step, "ok": probe.found.is_ok(),
                "found": probe.found.as_ref().unwrap_or_else(|wrong| wrong),
            })).collect::<Vec<_>>(),
        }));
    } else {
        good.iter().for_each(|file| say(format!("{}  {file}", paint("good ", Colour::Green, context.colour))));
        print_probes(&probes, context.colour);
        if files.is_empty() {
            say("no workflows found in workflows/; name one to check it");
        }
    }
    if !mistakes.is_empty() && !args.json {
        return Err(Failure::invalid(mistakes.join("\n")));
    }
    Ok(if mistakes.is_empty() && !unwell { Exit::Success } else { Exit::Invalid })
}

fn workflow_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder.join("workflows")) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
    files.sort();
    files
}

/// Looks at every gateway.
pub(super) async fn probe(project: &Project) -> Result<Vec<(String, Probe)>, Failure> {
    let accounts = project.accounts(&Clock::System)?;
    let mut probes = Vec::new();
    for account in accounts.values() {
        for probe in account.gateway.probe().await {
            probes.push((account.name.clone(), probe));
        }
    }
    Ok(probes)
}

/// What was found, a line a step.
pub(super) fn print_probes(probes: &[(String, Probe)], colour: bool) {
    for (gateway, probe) in probes {
        let (word, meaning, text) = match &probe.found {
            Ok(text) => ("good ", Colour::Green, text),
            Err(text) => ("wrong", Colour::Red, text),
        };
        say(format!("{}  gateway {gateway}, {}: {text}", paint(word, meaning, colour), probe.step));
    }
}
