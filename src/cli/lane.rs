//! `payrun lane`

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Context;
use super::actor::CommandAuthor;
use super::exit::{Exit, Failure};
use super::output::{print_table, say, say_json, table};
use super::pause::failed;
use super::wall_clock::WallClock;
use crate::app::Project;
use crate::clock::Clock;
use crate::domain::policy::Rate;
use crate::domain::role::Role;
use crate::engine::{Account, Engine};
use crate::ledger::{LaneLimits, LaneRow, UnreachableRow};
use crate::yaml::scalars;

/// Arguments of `payrun lane`.
#[derive(Debug, Args)]
pub(super) struct LaneArgs {
    #[command(subcommand)]
    command: LaneCommand,
}

#[derive(Debug, Subcommand)]
enum LaneCommand {
    /// List the lanes: open, suspended or stopped, how fast, by whom and why
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Suspend a lane: nothing goes out, not even queries, until it is released
    Suspend {
        /// The gateway account, or GATEWAY/KIND for one kind of job
        lane: String,
        /// For how long (10m, 2h, 1d); until it is released if not given
        #[arg(long = "for", value_name = "TIME", value_parser = time)]
        time: Option<Duration>,
        #[command(flatten)]
        by: CommandAuthor,
    },
    /// Open a lane, whoever closed it
    Release {
        /// The gateway account, GATEWAY/KIND, or GATEWAY/KIND/JOB for one job that was stopped
        lane: String,
        #[command(flatten)]
        by: CommandAuthor,
    },
    /// Slow a lane at once, in all processes; never above payrun.yaml
    Limit {
        /// The gateway account
        lane: String,
        /// How many calls: 5/s, 100/min
        #[arg(long, value_parser = rate)]
        rate: Option<Rate>,
        /// How many calls at once, in each process
        #[arg(long, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..=1024))]
        concurrency: Option<u32>,
        /// As fast as payrun.yaml says again
        #[arg(long, conflicts_with_all = ["rate", "concurrency"])]
        reset: bool,
        #[command(flatten)]
        by: CommandAuthor,
    },
}

fn time(text: &str) -> Result<Duration, String> {
    scalars::duration(text).ok_or_else(|| "write a time like 10m, 2h or 1d".to_owned())
}

fn rate(text: &str) -> Result<Rate, String> {
    scalars::rate(text).ok_or_else(|| "write a rate like 5/s or 100/min".to_owned())
}

pub(super) async fn run(context: &Context, args: &LaneArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let engine = project
        .engine(project.ledger().await?, Clock::of_machine())
        .await?;
    match &args.command {
        LaneCommand::List { json } => list(&engine, *json).await?,
        LaneCommand::Suspend { lane, time, by } => {
            let until = time.map(|time| engine.clock.now().plus(time));
            engine
                .suspend_lane(
                    lane,
                    until,
                    &by.signed(&engine.ledger, Role::Operator).await?,
                )
                .await
                .map_err(failed)?;
            say("suspended: nothing is called, not even a query; `payrun lane release` opens it");
        }
        LaneCommand::Release { lane, by } => {
            let was_closed = engine
                .open_lane(lane, &by.signed(&engine.ledger, Role::Operator).await?)
                .await
                .map_err(failed)?;
            say(if was_closed { "open" } else { "it was open" });
        }
        LaneCommand::Limit {
            lane,
            reset: true,
            by,
            ..
        } => {
            engine
                .unlimit_lane(lane, &by.signed(&engine.ledger, Role::Operator).await?)
                .await
                .map_err(failed)?;
            say("as fast as payrun.yaml says");
        }
        LaneCommand::Limit {
            rate: None,
            concurrency: None,
            ..
        } => {
            return Err(Failure::invalid(
                "how slow? give --rate, --concurrency, or --reset",
            ));
        }
        LaneCommand::Limit {
            lane,
            rate,
            concurrency,
            by,
            ..
        } => {
            let limits = engine
                .limit_lane(
                    lane,
                    *rate,
                    *concurrency,
                    &by.signed(&engine.ledger, Role::Operator).await?,
                )
                .await
                .map_err(failed)?;
            say(format!("at most {}", shown(limits)));
        }
    }
    Ok(Exit::Success)
}

fn shown(limits: LaneLimits) -> String {
    let rate = limits.rate.map(|rate| rate.to_string());
    let calls = limits.concurrency.map(|calls| format!("{calls} at once"));
    rate.into_iter().chain(calls).collect::<Vec<_>>().join(", ")
}

async fn list(engine: &Engine, as_json: bool) -> Result<(), Failure> {
    let closed = engine.ledger.closed_lanes(engine.clock.now()).await?;
    let limited = engine.ledger.limited_lanes().await?;
    let unreachable = engine.ledger.unreachable().await?;
    let clock = WallClock::in_zone(engine.config.timezone);
    let until = clock.heading("until");
    let mut rows = table(&["lane", "state", &until, ">rate", ">at once", "by", "reason"]);
    let mut values = Vec::new();
    for account in engine.accounts.values() {
        let own = limited.iter().find(|row| row.name == account.name);
        let limits = own.map(|row| row.limits).unwrap_or_default();
        let of_account = |lane: &&LaneRow| {
            lane.name == account.name || lane.name.starts_with(&format!("{}/", account.name))
        };
        let lanes: Vec<&LaneRow> = closed.iter().filter(of_account).collect();
        let whole = lanes.iter().find(|lane| lane.name == account.name);
        let lost = unreachable.iter().find(|row| row.lane == account.name);
        values.push(value(account, limits, whole.copied(), &lanes, lost));
        let by = whole
            .and_then(|lane| lane.author.clone())
            .or_else(|| own.map(|row| row.actor.clone()));
        let why = whole
            .and_then(|lane| lane.reason.clone())
            .or_else(|| own.map(|row| row.reason.clone()));
        rows.add_row([
            account.name.clone(),
            whole.map_or("open", |lane| lane.state.as_str()).to_owned(),
            whole
                .and_then(|lane| lane.until)
                .map(|until| clock.cell(until))
                .unwrap_or_default(),
            limits
                .rate
                .map_or(account.rate, |rate| rate.slower(account.rate))
                .to_string(),
            limits
                .concurrency
                .map_or(account.concurrency, |calls| calls.min(account.concurrency))
                .to_string(),
            by.unwrap_or_default(),
            why.unwrap_or_default(),
        ]);
        for lane in lanes.iter().filter(|lane| lane.name != account.name) {
            let until = lane
                .until
                .map(|until| clock.cell(until))
                .unwrap_or_default();
            let (by, why) = (
                lane.author.clone().unwrap_or_default(),
                lane.reason.clone().unwrap_or_default(),
            );
            rows.add_row([
                lane.name.clone(),
                lane.state.as_str().to_owned(),
                until,
                String::new(),
                String::new(),
                by,
                why,
            ]);
        }
    }
    if as_json {
        say_json(&Value::from(values));
        return Ok(());
    }
    print_table(&rows);
    unreachable
        .iter()
        .for_each(|row| say(row.note(engine.config.timezone)));
    Ok(())
}

fn value(
    account: &Account,
    limits: LaneLimits,
    whole: Option<&LaneRow>,
    closed: &[&LaneRow],
    lost: Option<&UnreachableRow>,
) -> Value {
    json!({
        "lane": account.name,
        "state": whole.map_or("open", |lane| lane.state.as_str()),
        "rate": account.rate.to_string(),
        "concurrency": account.concurrency,
        "limited": { "rate": limits.rate.map(|rate| rate.to_string()), "concurrency": limits.concurrency },
        "unreachable": lost.map(|row| json!({ "since": row.since.to_string(), "how": row.how })),
        "closed": closed.iter().map(|lane| json!({
            "name": lane.name,
            "state": lane.state.as_str(),
            "until": lane.until.map(|until| until.to_string()),
            "by": lane.author,
            "reason": lane.reason,
        })).collect::<Vec<_>>(),
    })
}
