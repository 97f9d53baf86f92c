//! `payrun run`

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::Context;
use super::exit::{Exit, Failure, chain};
use super::output::{count, counted, note, note_lines, say, say_json, say_lines};
use super::plan::{RunOptions, failed, plan_json, print_changed, print_refusals, summary};
use super::run_progress::{ExecutionEnd, Runs, carry_out, exit_of, out_of_reach};
use super::run_report::Report;
use super::show::print_problems;
use super::signals::stop_switch;
use super::wall_clock::WallClock;
use crate::app::Project;
use crate::clock::Clock;
use crate::config::report_link_or_place;
use crate::domain::text::visible;
use crate::engine::Engine;
use crate::engine::planning::{PlanError, PlannedRun, RunRequest};
use crate::ledger::{ItemFilter, JobRow, LaneState, LedgerError};
use crate::report::automatic_reports::make_due;
use crate::yaml::scalars::duration;

/// Arguments of `payrun run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    options: RunOptions,
    /// Plan nothing new; only finish what earlier runs left open
    #[arg(long, conflicts_with = "workflow")]
    resume: bool,
    /// Wait so long in all for what falls due later, or for gateways that are out of reach (15s,
    /// 10m, 1h); what is open then stays open
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = parse_wait)]
    wait: Duration,
    /// Send nothing of the run for so long (15m, 2h), from 1s to 7d: until then it can be withdrawn
    /// with `payrun withdraw RUN`
    #[arg(long, value_name = "TIME", value_parser = parse_wait, conflicts_with = "resume")]
    send_after: Option<Duration>,
    /// Print JSON at the end, and no progress
    #[arg(long)]
    json: bool,
}

/// How many earlier runs are named.
const NAMED: usize = 20;

fn parse_wait(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| "write a time like 15s, 10m or 1h".to_owned())
}

impl RunArgs {
    /// What is to be planned.
    fn request(&self, project: &Project) -> Result<RunRequest, Failure> {
        let request = self.options.request(project)?;
        match self.send_after {
            None => Ok(request),
            Some(delay) => request
                .sent_after(delay)
                .map_err(|error| Failure::invalid(error.to_string())),
        }
    }
}

pub(super) async fn run(context: &Context, args: RunArgs) -> Result<Exit, Failure> {
    let stopped = stop_switch();
    let project = Project::open(&context.config)?;
    let mut request = if args.resume {
        None
    } else {
        Some(args.request(&project)?)
    };
    let ledger = project.ledger().await?;
    if let Some(request) = &mut request {
        request.author = args.options.author(&ledger).await?;
    }
    let engine = Arc::new(project.engine(ledger, Clock::of_machine()).await?);
    let node = engine
        .ledger
        .join(rand::random(), engine.clock.now())
        .await?;
    let asked = engine.reap_dead_nodes(engine.clock.now()).await?;
    if asked > 0 && !args.json {
        note(format!(
            "a process died with {} calls under way; they are queried before anything is sent",
            count(asked)
        ));
    }
    release_lanes(&engine, request.as_ref()).await?;
    look_for_files(&engine).await?;
    let left_open = engine.ledger.unfinished_runs().await?;
    let planned = match request {
        None => None,
        Some(request) => {
            let mut interrupted = stopped.clone();
            tokio::select! {
                planned = plan(&engine, &request, args.json) => Some(planned?),
                _ = interrupted.wait_for(|stop| *stop) => {
                    return Err(Failure { exit: Exit::Open, message: "interrupted; nothing was planned".to_owned(), help: None });
                }
            }
        }
    };
    let mut runs: Vec<i64> = left_open.iter().map(|run| run.id).collect();
    runs.extend(planned.as_ref().map(|planned| planned.run_id));
    if let (Some(planned), Some(_), false) = (&planned, args.send_after, args.json) {
        tell_of_delay(&engine, planned.run_id).await?;
    }
    if !left_open.is_empty() && !args.json {
        note(left_open_text(&runs[..left_open.len()]));
    }
    if runs.is_empty() {
        make_reports(&engine, args.json).await;
        say(if args.json {
            "{\"runs\": []}"
        } else {
            "nothing is open"
        });
        return Ok(Exit::Success);
    }
    let carried = Runs {
        all: &runs,
        own: planned.as_ref().map(|planned| planned.run_id),
    };
    let ended = carry_out(&engine, &node, carried, args.wait, stopped, !args.json).await?;
    make_reports(&engine, args.json).await;
    tell(context, &args, &engine, &runs, planned.as_ref(), &ended).await
}

/// Until when a run can be withdrawn before anything of it is sent, and how.
async fn tell_of_delay(engine: &Engine, run: i64) -> Result<(), Failure> {
    let row = engine.ledger.run(run).await?;
    if let Some(send_at) = row.and_then(|row| row.send_at) {
        let until = WallClock::in_zone(engine.config.timezone).named(send_at);
        note(format!(
            "nothing of run {run} is sent before {until}; until then `payrun withdraw {run} --reason WHY` withdraws it"
        ));
    }
    Ok(())
}

/// Runs by their numbers, some of them where there are many.
fn named(runs: &[i64]) -> String {
    let mut names: Vec<String> = runs.iter().take(NAMED).map(i64::to_string).collect();
    let more = runs.len().saturating_sub(NAMED);
    names.extend((more > 0).then(|| format!("and {} more", count(more as u64))));
    names.join(", ")
}

fn left_open_text(runs: &[i64]) -> String {
    format!(
        "earlier runs have open items, which are finished too where they are due soon: run {}",
        named(runs)
    )
}

fn unfinished_text(runs: &[i64]) -> String {
    let are = if runs.len() == 1 { "is" } else { "are" };
    format!(
        "{} {are} not finished: {}; `payrun runs` lists them, `payrun show RUN` shows one",
        counted(runs.len() as u64, "older run"),
        named(runs)
    )
}

/// Makes the reports of runs that have ended, where their workflows say so. What cannot be made now
/// is made later, and does not fail the run.
async fn make_reports(engine: &Engine, quiet: bool) {
    match make_due(engine).await {
        Ok(places) => {
            let places = places.iter().filter(|_| !quiet);
            places.for_each(|place| note(format!("report: {place}")));
        }
        Err(error) => {
            tracing::warn!(
                error = chain(&error),
                "reports could not be made; it is tried again"
            );
        }
    }
}

/// What payrun suspends for a while (for funds) is tried again: a person has looked, or would not be
/// here. What is stopped waits until a person lets it go on, by a command with a reason: who only
/// starts the same run again has mended nothing, and each start would send some more. What a person
/// suspended stays so, and other gateways' lanes stay as they are.
async fn release_lanes(engine: &Engine, request: Option<&RunRequest>) -> Result<(), Failure> {
    let closed = engine.ledger.closed_lanes(engine.clock.now()).await?;
    let is_meant = |name: &str| {
        let gateway = name.split('/').next().unwrap_or(name);
        request.is_none_or(|request| {
            request
                .workflow
                .jobs
                .iter()
                .any(|job| job.gateway == gateway)
        })
    };
    for lane in closed
        .iter()
        .filter(|lane| lane.author.is_none() && is_meant(&lane.name))
    {
        let name = &lane.name;
        if lane.state == LaneState::Stopped {
            note(format!(
                "lane {name} is stopped: {}; once that is mended, `payrun lane release {name} --reason WHY` lets it go on",
                lane.reason.as_deref().unwrap_or_default()
            ));
        } else {
            engine.ledger.release_lane(name).await?;
            note(format!("lane {name} was suspended; it is opened again"));
        }
    }
    Ok(())
}

/// Looks at the workflows folder as `serve` and `work` do: a workflow whose file is gone is paused,
/// and one that payrun paused goes on when a file has it again.
async fn look_for_files(engine: &Engine) -> Result<(), Failure> {
    engine.pause_missing().await?;
    for name in engine.resume_returned().await? {
        note(format!(
            "the workflow {name} was paused since its file was removed; its file is there again, and it goes on"
        ));
    }
    Ok(())
}

/// Plans, with a spinner that counts rows.
async fn plan(engine: &Engine, request: &RunRequest, quiet: bool) -> Result<PlannedRun, Failure> {
    let rows = Arc::new(AtomicU64::new(0));
    let spinner = if quiet || !std::io::stderr().is_terminal() {
        ProgressBar::hidden()
    } else {
        ProgressBar::new_spinner()
    };
    spinner.set_style(
        ProgressStyle::with_template("{spinner} planning: {msg} rows")
            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
    );
    let watching = {
        let (spinner, rows) = (spinner.clone(), Arc::clone(&rows));
        tokio::spawn(async move {
            loop {
                spinner.set_message(count(rows.load(Ordering::Relaxed)));
                spinner.tick();
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        })
    };
    let planned = plan_alone(engine, request, &rows).await;
    watching.abort();
    spinner.finish_and_clear();
    let planned = planned.map_err(failed)?;
    if !quiet {
        for job in &planned.jobs {
            note_lines(summary(job));
        }
    }
    Ok(planned)
}

/// Plans; when another process began in the same millisecond, under the next one's name.
async fn plan_alone(
    engine: &Engine,
    request: &RunRequest,
    rows: &Arc<AtomicU64>,
) -> Result<PlannedRun, PlanError> {
    const TRIES: u32 = 100;
    let mut planned = engine.plan(request, rows).await;
    for _ in 0..TRIES {
        if !matches!(
            planned,
            Err(PlanError::Ledger(LedgerError::RunExists { .. }))
        ) {
            break;
        }
        let later = request.clone().renamed(engine.clock.now());
        planned = engine.plan(&later, rows).await;
    }
    planned
}

async fn tell(
    context: &Context,
    args: &RunArgs,
    engine: &Engine,
    runs: &[i64],
    planned: Option<&PlannedRun>,
    ended: &ExecutionEnd,
) -> Result<Exit, Failure> {
    let mut reports = Vec::with_capacity(runs.len());
    for id in runs {
        if let Some(run) = engine.ledger.run(*id).await? {
            reports.push(Report::of_run(&engine.ledger, run).await?);
        }
    }
    // What was asked for decides: of earlier runs that are carried on beside it, their own commands
    // and alerts tell.
    let own = planned.and_then(|planned| {
        reports
            .iter()
            .find(|report| report.run.id == planned.run_id)
    });
    let exit = own.map_or_else(|| exit_of(&reports), Report::exit);
    if args.json {
        say_json(&json!({
            "runs": reports.iter().map(Report::json).collect::<Result<Vec<_>, _>>()?,
            "planned": planned.map(plan_json),
            "ended": ended_word(ended),
        }));
        return Ok(exit);
    }
    // Of earlier runs beside the own one, a line.
    let is_shown = |report: &&Report| own.is_none_or(|own| own.run.id == report.run.id);
    let (shown, earlier): (Vec<_>, Vec<_>) = reports.iter().partition(is_shown);
    for report in shown {
        let clock = WallClock::in_zone(engine.config.timezone);
        report.print(&engine.job_kinds, clock, context.colour);
        print_problems(&engine.ledger, report.run.id, context.colour).await?;
        for job in report.jobs.iter().filter(|job| job.kind == "reconcile") {
            print_reports(engine, job).await?;
        }
        say("");
    }
    let unfinished: Vec<i64> = earlier
        .iter()
        .filter(|report| report.run.finished_at.is_none())
        .map(|report| report.run.id)
        .collect();
    if !unfinished.is_empty() {
        say(unfinished_text(&unfinished));
    }
    if let Some(planned) = planned {
        let run = planned.run_id;
        planned.jobs.iter().for_each(|job| print_changed(job, run));
        planned
            .jobs
            .iter()
            .filter(|job| job.skipped > 0 && job.items == 0)
            .for_each(|job| print_refusals(job, 3));
    }
    if let Some(text) = ended_text(ended, engine, &out_of_reach(engine).await?) {
        say_lines(text);
    }
    Ok(exit)
}

/// Where a reconciliation's reports are, and what they say in short.
async fn print_reports(engine: &Engine, job: &JobRow) -> Result<(), LedgerError> {
    let filter = ItemFilter {
        run_id: Some(job.run_id),
        job: Some(job.name.clone()),
        ..ItemFilter::default()
    };
    for item in engine.ledger.items(&filter, 0, 100).await? {
        let result = item.facts()?.unwrap_or_default();
        let Some(report) = result.get("report_html").and_then(Value::as_str) else {
            continue;
        };
        let report = report_link_or_place(engine.config.server.public_url.as_ref(), report);
        let count = |name: &str| {
            let count = result.get(name).and_then(Value::as_u64);
            count.ok_or_else(|| LedgerError::corrupt("items", item.id, "result"))
        };
        let new = count("new_differences")?;
        let before = count("open_differences")?.saturating_sub(new) + count("earlier_differences")?;
        let told = match (new, before) {
            (0, 0) => "no open differences".to_owned(),
            (new, 0) => counted(new, "new difference"),
            (new, before) => format!(
                "{}, {} open from before",
                counted(new, "new difference"),
                counted(before, "difference")
            ),
        };
        let list = if new + before > 0 {
            "; `payrun differences list`"
        } else {
            ""
        };
        say(format!("{}: {told}{list}; open {report}", job.name));
    }
    Ok(())
}

const fn ended_word(ended: &ExecutionEnd) -> &'static str {
    match ended {
        ExecutionEnd::AtRest => "at_rest",
        ExecutionEnd::Waiting(_) => "waiting",
        ExecutionEnd::Blocked(_) => "blocked",
        ExecutionEnd::Interrupted => "interrupted",
    }
}

fn ended_text(ended: &ExecutionEnd, engine: &Engine, out_of_reach: &[String]) -> Option<String> {
    let clock = WallClock::in_zone(engine.config.timezone);
    let resume = "`payrun run --resume` goes on";
    match ended {
        ExecutionEnd::AtRest => None,
        ExecutionEnd::Waiting(Some(next)) if !out_of_reach.is_empty() => Some(format!(
            "{}\nof what is open the next is due at {}. {resume}",
            out_of_reach.join("\n"),
            clock.named(*next)
        )),
        ExecutionEnd::Waiting(next) => Some(match next {
            Some(next) => {
                let next = clock.named(*next);
                format!("what is open is not due yet; the next is due at {next}. {resume}")
            }
            None => format!(
                "what is open waits for somebody: see `payrun approvals list`. Then {resume}"
            ),
        }),
        ExecutionEnd::Blocked(reasons) if reasons.is_empty() => Some(format!(
            "what is open belongs to gateways that are not in the configuration. {resume}"
        )),
        ExecutionEnd::Blocked(reasons) => {
            // Each stays in its line, whatever is said in it.
            let lines: Vec<_> = reasons.iter().map(|reason| visible(reason)).collect();
            Some(format!(
                "{}\nwhen this is settled, {resume}",
                lines.join("\n")
            ))
        }
        ExecutionEnd::Interrupted => {
            Some(format!("interrupted; what is open stays open. {resume}"))
        }
    }
}
