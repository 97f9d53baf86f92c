//! `payrun withdraw`

use clap::Args;
use serde_json::json;

use super::Context;
use super::actor::CommandAuthor;
use super::exit::{Exit, Failure};
use super::output::{count, say, say_json};
use super::retry::failed;
use crate::app::Project;
use crate::clock::Clock;
use crate::domain::role::Role;

/// Arguments of `payrun withdraw`.
#[derive(Debug, Args)]
pub(super) struct WithdrawArgs {
    /// The run
    #[arg(value_name = "RUN")]
    run: i64,
    #[command(flatten)]
    by: CommandAuthor,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, args: &WithdrawArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    let by = args.by.signed(&ledger, Role::Operator).await?;
    let run = args.run;
    if ledger.run(run).await?.is_none() {
        return Err(Failure::invalid(format!("there is no run {run}")));
    }
    let engine = project.engine(ledger.clone(), Clock::of_machine()).await?;
    let done = engine.withdraw_run(run, &by).await.map_err(failed)?;
    let (cancelled, under_way): (u64, u64) =
        (done.moved.values().sum(), done.withdrawn.values().sum());
    let moving = done.refused.len() as u64;
    if args.json {
        say_json(&json!({ "cancelled": cancelled, "under_way": under_way, "refused": moving }));
    } else if cancelled + under_way + moving == 0 {
        say(
            match ledger.run(run).await?.and_then(|row| row.withdrawal) {
                Some(withdrawal) => format!(
                    "run {run} is withdrawn, by {}; nothing of it was open any more",
                    withdrawal.by
                ),
                None => format!("nothing of run {run} is open: nothing was withdrawn"),
            },
        );
    } else {
        say(format!(
            "run {run} is withdrawn: {} cancelled, {} that may be under way and are queried; nothing more of it is sent, and its later \
             jobs get no items",
            count(cancelled),
            count(under_way)
        ));
    }
    if moving > 0 {
        say(format!(
            "{} were still moving: nothing of them is sent, and whichever payrun works next withdraws them",
            count(moving)
        ));
        return Ok(Exit::Incomplete);
    }
    Ok(Exit::Success)
}
