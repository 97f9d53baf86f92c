//! `payrun contracts reopen`

use chrono::NaiveDate;
use clap::Args;
use serde_json::json;

use super::super::Context;
use super::super::exit::{Exit, Failure};
use super::super::output::{say, say_json};
use super::{Author, account_of, find};
use crate::app::Project;
use crate::cli::wall_clock::parse_day;
use crate::clock::Clock;
use crate::domain::actor::Reason;
use crate::domain::role::Role;
use crate::engine::contracts::day_of;
use crate::ledger::{ContractChangeOutcome, ReopenRequest};

/// Arguments of `payrun contracts reopen`.
#[derive(Debug, Args)]
pub(super) struct ReopenArgs {
    /// The contract, as the gateway names it
    #[arg(value_name = "ID")]
    id: String,
    /// The period that has lapsed, as `payrun contracts show` names it
    #[arg(long, value_name = "PERIOD")]
    period: String,
    /// The last day on which it may be charged; the next run charges it
    #[arg(long, value_parser = parse_day, value_name = "YYYY-MM-DD")]
    until: NaiveDate,
    /// Why; goes into the contract's history and the audit log
    #[arg(long, value_name = "WHY")]
    reason: String,
    /// Its gateway account, where several have a contract of this id
    #[arg(long)]
    gateway: Option<String>,
    #[command(flatten)]
    author: Author,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, args: &ReopenArgs) -> Result<Exit, Failure> {
    let why = Reason::parse(&args.reason).map_err(|error| Failure::invalid(error.to_string()))?;
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    let account = args
        .gateway
        .as_deref()
        .map(|gateway| account_of(&project, gateway))
        .transpose()?;
    let contract = find(&ledger, &args.id, account.as_deref()).await?;
    let now = Clock::System.now();
    let reopening = ReopenRequest {
        period: args.period.clone(),
        until: args.until,
        who: args.author.proven(&ledger, Role::Operator).await?,
        why: why.as_str().to_owned(),
        today: day_of(now, project.config.timezone),
        now,
    };
    let refused = match ledger.reopen_period(contract.id, &reopening).await? {
        ContractChangeOutcome::Done { .. } => None,
        ContractChangeOutcome::Refused(why) => Some(why),
        ContractChangeOutcome::NoSuchContract => Some("there is no such contract"),
    };
    let (id, period, until) = (&args.id, &args.period, args.until);
    match refused {
        Some(why) => {
            let help = format!("`payrun contracts show {id}` lists its periods");
            Err(
                Failure::invalid(format!("{id}: period {period} was not reopened: {why}"))
                    .help(help),
            )
        }
        None if args.json => {
            say_json(&json!({"contract_id": id, "period": period, "until": until.to_string()}));
            Ok(Exit::Success)
        }
        None => {
            say(format!(
                "{id}: period {period} may be charged until {until}; the next run charges it"
            ));
            Ok(Exit::Success)
        }
    }
}
