//! `payrun demo`: a day in the life, for real, against gateways that fail in every way, with the
//! books compared at the end.

mod figures;
mod gateways;
mod left_to_do;
mod outcome;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use clap::Args;
use tokio::sync::watch;

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{count, say, say_json};
use super::plan::failed;
use super::run_progress::{ExecutionEnd, Runs, carry_out};
use super::run_report::Report;
use super::sandbox::Faults;
use super::serve::{ServeArgs, serve};
use super::signals::stop_switch;
use crate::app::Project;
use crate::clock::Clock;
use crate::domain::actor::{Actor, Authorization, Reason};
use crate::domain::role::Role;
use crate::engine::planning::RunRequest;
use crate::http::token::Token;
use crate::ledger::TokenRow;
use figures::figures;
use gateways::{DemoGateways, FOLDER, set_up};
use outcome::DemoOutcome;

/// How long the token of the demo is good.
const DAY: Duration = Duration::from_secs(86_400);

/// Arguments of `payrun demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// How many contracts to charge
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    items: u64,
    /// The same seed gives the same contracts and the same faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much goes wrong at the gateways
    #[arg(long, value_enum, default_value_t = Faults::Some)]
    faults: Faults,
    /// Print one JSON object, and no progress
    #[arg(long)]
    json: bool,
    /// Then serve the dashboard on the day that was played, until Ctrl-C
    #[arg(long, conflicts_with = "json")]
    serve: bool,
    /// With --serve: on this address and port of this machine; port 0 takes a free one
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8420",
        requires = "serve"
    )]
    listen: SocketAddr,
}

pub(super) async fn run(context: &Context, args: DemoArgs) -> Result<Exit, Failure> {
    let stopped = stop_switch();
    let folder = PathBuf::from(FOLDER);
    let stage = set_up(&folder, &args).await?;
    if !args.json {
        say(format!(
            "a day with {} contracts; four gateways listen on http://{}; faults: {:?}",
            count(args.items),
            stage.address,
            args.faults
        ));
    }
    let project = Project::open(&folder.join("payrun.yaml"))?;
    let engine = Arc::new(
        project
            .engine(project.ledger().await?, Clock::of_machine())
            .await?,
    );
    let began = tokio::time::Instant::now();
    let request = request(&project, &folder.join("workflows/a-day.yaml"))?;
    let planned = engine
        .plan(&request, &Arc::new(AtomicU64::new(0)))
        .await
        .map_err(failed)?;
    let node = engine
        .ledger
        .join(rand::random(), engine.clock.now())
        .await?;
    let runs = Runs {
        all: &[planned.run_id],
        own: None,
    };
    let ended = carry_out(
        &engine,
        &node,
        runs,
        Duration::from_secs(120),
        stopped.clone(),
        !args.json,
    )
    .await?;
    let seconds = began.elapsed();
    let run = engine.ledger.run(planned.run_id).await?;
    let Some(run) = run else {
        return Err(Failure::invalid("the run has vanished"));
    };
    let report = Report::of_run(&engine.ledger, run).await?;
    let outcome = DemoOutcome {
        jobs: figures(&engine.ledger, &stage, &report).await?,
        report,
        faults: faults(&stage).await?,
        answers: engine.ledger.answers(planned.run_id).await?,
        moves: engine.ledger.moves(planned.run_id).await?,
        rows: args.items,
        seconds,
        interrupted: matches!(ended, ExecutionEnd::Interrupted),
    };
    if args.json {
        say_json(&outcome.json()?);
    } else {
        outcome.print(context.colour, &folder);
    }
    drop(node);
    if outcome.interrupted {
        return Ok(Exit::Open);
    }
    if args.serve {
        // After the books were compared: nothing of it is sent before somebody approves it.
        left_to_do::plan_refunds(&engine, &project, planned.run_id).await?;
        engine.ledger.clone().close().await;
        drop(engine);
        return serve_day(context, &folder, &project, (args.listen, stopped)).await;
    }
    Ok(if outcome.good() {
        Exit::Success
    } else {
        Exit::Incomplete
    })
}

/// Serves the dashboard on the day that was played, with a token to sign in by.
async fn serve_day(
    context: &Context,
    folder: &Path,
    project: &Project,
    (listen, stopped): (SocketAddr, watch::Receiver<bool>),
) -> Result<Exit, Failure> {
    let ledger = project.ledger().await?;
    let (token, now) = (Token::fresh(), Clock::of_machine().now());
    let row = TokenRow {
        name: "demo".to_owned(),
        role: Role::Admin,
        created_at: now,
        created_by: "payrun demo".to_owned(),
        expires_at: Some(now.plus(DAY)),
        revoked_at: None,
    };
    let by = Authorization {
        actor: Actor::payrun(),
        reason: Reason::parse("the demo is looked at")
            .map_err(|error| Failure::internal(&error))?,
    };
    ledger.create_token(&row, token.hash(), &by).await?;
    ledger.close().await;
    say("");
    say("the dashboard of this day is below; sign in with this token, which is good for a day:");
    say(format!("  {}", token.text()));
    say("a batch of refunds waits there for your approval");
    say("");
    let context = Context {
        config: folder.join("payrun.yaml"),
        colour: context.colour,
    };
    serve(&context, ServeArgs::on(listen), stopped).await
}

fn request(project: &Project, file: &Path) -> Result<RunRequest, Failure> {
    let workflow = project.workflow(file)?;
    let now = Clock::of_machine().now();
    RunRequest::manual(workflow, &project.config, &[], Actor::payrun(), now)
        .map_err(|wrong| Failure::invalid(wrong.join("\n")))
}

/// What went wrong at the gateways, and what the caller did wrong there.
#[derive(Debug, Default)]
struct FaultCounts {
    faults: BTreeMap<String, u64>,
    refused: BTreeMap<String, u64>,
    violations: BTreeMap<String, u64>,
}

async fn faults(stage: &DemoGateways) -> Result<FaultCounts, Failure> {
    let wechat = stage
        .sandbox
        .totals()
        .await
        .map_err(|error| Failure::internal(&error))?;
    let mut met = FaultCounts {
        faults: wechat.faults,
        refused: wechat.refused,
        violations: wechat.violations,
    };
    let others = &stage.gateways;
    let others = [
        others.hipopay.as_ref().map(|fake| fake.totals()),
        others.egms.as_ref().map(|fake| fake.totals()),
        others.cbtis.as_ref().map(|fake| fake.totals()),
    ];
    for totals in others.into_iter().flatten() {
        let sums = [
            (&mut met.faults, totals.faults),
            (&mut met.refused, totals.refused),
            (&mut met.violations, totals.violations),
        ];
        for (sum, more) in sums {
            more.into_iter()
                .for_each(|(name, times)| *sum.entry(name).or_default() += times);
        }
    }
    Ok(met)
}
