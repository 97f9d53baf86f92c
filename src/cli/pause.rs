//! `payrun pause` and `payrun resume`

use clap::{Args, ValueEnum};
use serde_json::json;

use super::Context;
use super::actor::CommandAuthor;
use super::exit::{Exit, Failure};
use super::output::{print_table, say, say_json, table};
use super::wall_clock::WallClock;
use crate::app::Project;
use crate::clock::Clock;
use crate::domain::role::Role;
use crate::engine::operator::{OperateError, Paused};
use crate::ledger::Ledger;

/// Arguments of `payrun pause` and `payrun resume`.
#[derive(Debug, Args)]
pub(super) struct PauseArgs {
    /// What is meant; without it, what is paused is listed
    #[arg(value_enum, value_name = "WHAT")]
    what: Option<PauseKind>,
    /// Which gateway, workflow or contract
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The gateway account of the contract, if there are several
    #[arg(long, value_name = "GATEWAY")]
    gateway: Option<String>,
    /// A contract that payrun has not met yet: one of a file to come
    #[arg(long)]
    ahead: bool,
    #[command(flatten)]
    by: CommandAuthor,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What can be paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PauseKind {
    /// Everything
    All,
    /// A gateway account of payrun.yaml
    Gateway,
    /// A workflow
    Workflow,
    /// A contract
    Contract,
}

pub(super) async fn pause(context: &Context, args: &PauseArgs) -> Result<Exit, Failure> {
    change(context, args, true).await
}

pub(super) async fn resume(context: &Context, args: &PauseArgs) -> Result<Exit, Failure> {
    change(context, args, false).await
}

async fn change(context: &Context, args: &PauseArgs, pause: bool) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let Some(what) = args.what else {
        return list(&project.ledger().await?, WallClock::of(&project), args.json).await;
    };
    let meant = meant(args, what)?;
    let ledger = project.ledger().await?;
    let by = args.by.signed(&ledger, Role::Operator).await?;
    let engine = project.engine(ledger, Clock::of_machine()).await?;
    let changed = if pause {
        engine.pause(&meant, &by).await
    } else {
        engine.resume(&meant, &by).await
    }
    .map_err(failed)?;
    say(match (pause, changed) {
        (true, true) if matches!(meant, Paused::Contract { .. }) => {
            "paused: nothing new of it is sent, here or in runs to come; what is open is still queried"
        }
        (true, true) => "paused: nothing new of it is sent; what is open is still queried",
        (true, false) => "it is paused already",
        (false, true) => "resumed",
        (false, false) => "it was not paused",
    });
    Ok(Exit::Success)
}

fn meant(args: &PauseArgs, what: PauseKind) -> Result<Paused, Failure> {
    let name = |thing: &str| {
        let name = args.name.clone().filter(|name| !name.is_empty());
        name.ok_or_else(|| Failure::invalid(format!("which {thing}? payrun pause {thing} NAME")))
    };
    if (args.gateway.is_some() || args.ahead) && what != PauseKind::Contract {
        return Err(Failure::invalid(
            "--gateway and --ahead belong to a contract",
        ));
    }
    Ok(match what {
        PauseKind::All if args.name.is_some() => return Err(Failure::invalid("all has no name")),
        PauseKind::All => Paused::All,
        PauseKind::Gateway => Paused::Gateway(name("gateway")?),
        PauseKind::Workflow => Paused::Workflow(name("workflow")?),
        PauseKind::Contract => Paused::Contract {
            gateway: args.gateway.clone(),
            contract: name("contract")?,
            ahead: args.ahead,
        },
    })
}

async fn list(ledger: &Ledger, clock: WallClock, as_json: bool) -> Result<Exit, Failure> {
    let pauses = ledger.pauses().await?;
    if as_json {
        let row = |row: &crate::ledger::PauseRow| json!({ "scope": row.scope.as_str(), "name": row.name, "since": row.at.to_string(), "by": row.actor, "reason": row.reason, "what_to_do": row.what_to_do() });
        say_json(&pauses.iter().map(row).collect());
        return Ok(Exit::Success);
    }
    if pauses.is_empty() {
        say("nothing is paused");
        return Ok(Exit::Success);
    }
    let mut rows = table(&["paused", "name", &clock.heading("since"), "by", "reason"]);
    let to_do: Vec<String> = pauses
        .iter()
        .filter_map(crate::ledger::PauseRow::what_to_do)
        .collect();
    for row in pauses {
        rows.add_row([
            row.scope.to_string(),
            row.name,
            clock.cell(row.at),
            row.actor,
            row.reason,
        ]);
    }
    print_table(&rows);
    to_do.into_iter().for_each(say);
    Ok(Exit::Success)
}

/// A control that could not be carried out, as a command's failure.
pub(super) fn failed(error: OperateError) -> Failure {
    match error {
        OperateError::Ledger(error) => error.into(),
        error @ OperateError::NoSuchContract { .. } => Failure::invalid(error.to_string())
            .help("look at the id again; --ahead pauses one that payrun has not met yet"),
        error @ (OperateError::Name
        | OperateError::NoSuchGateway { .. }
        | OperateError::NoSuchWorkflow { .. }
        | OperateError::NoSuchKind { .. }
        | OperateError::NoSuchJob { .. }
        | OperateError::WhichGateway { .. }
        | OperateError::AboveAccount { .. }) => Failure::invalid(error.to_string()),
    }
}
