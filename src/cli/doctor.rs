//! `payrun doctor`

use clap::Args;

use super::check::{print_probes, probe};
use super::exit::{Exit, Failure, chain};
use super::output::{Colour, paint, say};
use super::project::Project;
use super::{Context, facts};
use crate::clock::Clock;

/// Arguments of `payrun doctor`.
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Do not call the gateways
    #[arg(long)]
    offline: bool,
    /// List what payrun only assumes of the configured gateways, since no page of theirs says so, and what that rests on; look
    /// at nothing else
    #[arg(long)]
    facts: bool,
    /// With --facts: print JSON
    #[arg(long, requires = "facts")]
    json: bool,
}

/// One thing that was looked at.
struct Finding {
    what: &'static str,
    found: Result<String, String>,
}

pub(super) async fn run(context: &Context, args: &DoctorArgs) -> Result<Exit, Failure> {
    let project = Project::load(context)?;
    if args.facts {
        return Ok(facts::print(&project, args.json));
    }
    let mut findings = vec![Finding { what: "configuration", found: Ok(context.config.display().to_string()) }];
    findings.push(ledger(&project).await);
    findings.extend(lanes(&project).await);
    let mut unwell = false;
    for finding in &findings {
        let (word, meaning, text) = match &finding.found {
            Ok(text) => ("good ", Colour::Green, text),
            Err(text) => ("wrong", Colour::Red, text),
        };
        unwell |= finding.found.is_err();
        say(format!("{}  {}: {text}", paint(word, meaning, context.colour), finding.what));
    }
    if !args.offline {
        let probes = probe(&project).await?;
        unwell |= probes.iter().any(|(_, probe)| probe.found.is_err());
        print_probes(&probes, context.colour);
    }
    Ok(if unwell { Exit::Incomplete } else { Exit::Success })
}

async fn ledger(project: &Project) -> Finding {
    let found = match project.ledger().await {
        Err(failure) => Err(failure.message),
        Ok(ledger) => ledger.check().await.map_err(|error| chain(&error)).and_then(|mistakes| {
            if mistakes.is_empty() { Ok(format!("{} is sound", ledger.name())) } else { Err(mistakes.join("; ")) }
        }),
    };
    Finding { what: "ledger", found }
}

async fn lanes(project: &Project) -> Vec<Finding> {
    let Ok(ledger) = project.ledger().await else { return Vec::new() };
    let closed = ledger.closed_lanes(Clock::of_machine().now()).await.unwrap_or_default();
    let finding = |lane: &crate::ledger::LaneRow| Finding {
        what: "lane",
        found: Err(format!("{} is {}: {}", lane.name, lane.state.word(), lane.reason.as_deref().unwrap_or_default())),
    };
    closed.iter().map(finding).collect()
}
