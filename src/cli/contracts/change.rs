//! `payrun contracts suspend`, `resume` and `end`

use chrono::NaiveDate;
use clap::Args;
use serde_json::json;

use super::super::Context;
use super::super::exit::{Exit, Failure};
use super::super::output::{counted, say, say_json};
use super::{Author, account_of, find};
use crate::app::Project;
use crate::cli::wall_clock::parse_day;
use crate::clock::Clock;
use crate::domain::actor::Reason;
use crate::domain::role::Role;
use crate::engine::contracts::day_of;
use crate::ledger::{ContractAction, ContractChange, ContractChangeOutcome, Ledger};

/// Which contracts are changed, and why.
#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    /// The contracts, as the gateway names them
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// Why; goes into the contract's history
    #[arg(long, value_name = "WHY")]
    reason: String,
    /// Their gateway account, where several have a contract of such an id
    #[arg(long)]
    gateway: Option<String>,
    #[command(flatten)]
    author: Author,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `payrun contracts end`.
#[derive(Debug, Args)]
pub(super) struct EndArgs {
    #[command(flatten)]
    change: ChangeArgs,
    /// Charge what falls due until this day, and nothing after it; without it nothing more is
    /// charged from now on
    #[arg(long, value_parser = parse_day, value_name = "YYYY-MM-DD")]
    on: Option<NaiveDate>,
}

pub(super) async fn suspend(context: &Context, args: &ChangeArgs) -> Result<Exit, Failure> {
    change(context, args, ContractAction::Suspend, "suspended").await
}

pub(super) async fn resume(context: &Context, args: &ChangeArgs) -> Result<Exit, Failure> {
    change(context, args, ContractAction::Resume, "resumed").await
}

pub(super) async fn end(context: &Context, args: &EndArgs) -> Result<Exit, Failure> {
    match args.on {
        Some(day) => {
            change(
                context,
                &args.change,
                ContractAction::EndOn(day),
                &format!("ends on {day}"),
            )
            .await
        }
        None => change(context, &args.change, ContractAction::End, "ended").await,
    }
}

async fn change(
    context: &Context,
    args: &ChangeArgs,
    what: ContractAction,
    done: &str,
) -> Result<Exit, Failure> {
    let why = Reason::parse(&args.reason).map_err(|error| Failure::invalid(error.to_string()))?;
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    let account = args
        .gateway
        .as_deref()
        .map(|gateway| account_of(&project, gateway))
        .transpose()?;
    let now = Clock::System.now();
    let change = ContractChange {
        what,
        who: args.author.proven(&ledger, Role::Operator).await?,
        why: why.as_str().to_owned(),
        code: None,
        today: day_of(now, project.config.timezone),
        now,
    };
    let mut told = Vec::with_capacity(args.ids.len());
    for id in &args.ids {
        told.push((id, one(&ledger, id, account.as_deref(), &change).await?));
    }
    let refused = told.iter().any(|(_, outcome)| outcome.is_err());
    if args.json {
        let row = |(id, outcome): &(&String, Result<(u64, u64), String>)| match outcome {
            Ok((cancelled, waived)) => {
                json!({"contract_id": id, "done": true, "cancelled": cancelled, "waived": waived})
            }
            Err(why) => json!({"contract_id": id, "done": false, "why": why}),
        };
        say_json(&told.iter().map(row).collect());
    } else {
        told.iter()
            .for_each(|(id, outcome)| tell(id, outcome, done));
    }
    Ok(if refused {
        Exit::Incomplete
    } else {
        Exit::Success
    })
}

/// How many items were withdrawn and periods waived; or why it cannot be.
async fn one(
    ledger: &Ledger,
    id: &str,
    account: Option<&str>,
    change: &ContractChange,
) -> Result<Result<(u64, u64), String>, Failure> {
    let contract = match find(ledger, id, account).await {
        Ok(contract) => contract,
        Err(failure) if failure.exit == Exit::Invalid => return Ok(Err(failure.message)),
        Err(failure) => return Err(failure),
    };
    Ok(match ledger.change_contract(contract.id, change).await? {
        ContractChangeOutcome::Done { cancelled, waived } => Ok((cancelled, waived)),
        ContractChangeOutcome::Refused(why) => Err(why.to_owned()),
        ContractChangeOutcome::NoSuchContract => Err("there is no such contract".to_owned()),
    })
}

fn tell(id: &str, outcome: &Result<(u64, u64), String>, done: &str) {
    let (cancelled, waived) = match outcome {
        Ok(counts) => *counts,
        Err(why) => return say(format!("{id}: {why}")),
    };
    let mut text = format!("{id}: {done}");
    if cancelled > 0 {
        text.push_str(&format!(
            "; {} withdrawn: nothing more is sent, and what may be under way is queried",
            counted(cancelled, "item")
        ));
    }
    if waived > 0 {
        text.push_str(&format!(
            "; {} never charged because of it",
            counted(waived, "period")
        ));
    }
    say(text);
}
