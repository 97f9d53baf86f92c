//! The command line: one file a command. It prints for people, and JSON where a script would want
//! it.
//!
//! Errors say what was wrong, where, and what to do. Exit codes are [`exit::Exit`].

mod actor;
mod alerts;
mod approval_show;
mod approvals;
mod assumptions;
mod audit;
mod backup;
mod bulk;
mod cancel;
mod check;
#[cfg(feature = "sandbox")]
mod compare_books;
mod completions;
mod contracts;
#[cfg(feature = "sandbox")]
mod demo;
mod differences;
mod doctor;
pub mod exit;
mod export_file;
mod find;
#[cfg(feature = "sandbox")]
mod init;
mod item_note;
mod items;
mod journal;
mod lane;
mod log;
mod man;
mod notifications;
mod output;
mod pause;
mod plan;
mod promote;
mod prune;
mod refund;
mod report;
mod reseal;
mod resolve;
mod restore;
mod retry;
mod rows;
mod run;
mod run_progress;
mod run_report;
mod runs;
#[cfg(feature = "sandbox")]
mod sandbox;
#[cfg(feature = "sandbox")]
mod scaffold;
mod schedule;
mod schema;
mod serve;
mod show;
mod signals;
#[cfg(feature = "simulation")]
mod simulate;
mod template;
mod tokens;
mod totals;
mod wall_clock;
mod withdraw;
mod work;
mod write_new;

use self::output::{note, note_lines};
use crate::domain::text::visible;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use exit::Exit;
use log::LogFormat;

/// Recurring and batch payments from YAML workflows: never twice, never lost, never guessed.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 all succeeded; 1 internal error; 2 invalid input or usage; \
                        3 finished with items that failed, were rejected or need review, with differences, or withdrawn; \
                        4 interrupted, or waiting, with items open."
)]
pub struct Args {
    /// The project's configuration
    #[arg(
        long,
        short = 'c',
        global = true,
        default_value = "payrun.yaml",
        value_name = "FILE",
        env = "PAYRUN_CONFIG"
    )]
    config: PathBuf,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = ColourChoice::Auto, value_name = "WHEN")]
    color: ColourChoice,
    /// What to log to standard error: error, warn, info, debug, or a filter such as payrun=debug
    #[arg(
        long,
        global = true,
        default_value = "warn",
        value_name = "FILTER",
        env = "PAYRUN_LOG"
    )]
    log: String,
    /// How to write the log
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT", env = "PAYRUN_LOG_FORMAT")]
    log_format: LogFormat,
    /// A collector to send spans to, by OTLP over HTTP, such as http://127.0.0.1:4318
    #[arg(long, global = true, value_name = "URL", env = "PAYRUN_OTLP")]
    otlp: Option<String>,
    #[command(subcommand)]
    command: Command,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ColourChoice {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a project folder: configuration, a workflow, sample contracts, sandbox keys
    #[cfg(feature = "sandbox")]
    Init(init::InitArgs),
    /// Report every mistake in the configuration, the job kinds and the workflows
    Check(check::CheckArgs),
    /// Make an item file without rows, with a note on each column, of a job kind or a workflow
    Template(template::TemplateArgs),
    /// Plan a run without sending anything: what would be charged, rejected and skipped
    Plan(plan::PlanArgs),
    /// Plan a run and carry it out, after finishing what earlier runs left open
    Run(run::RunArgs),
    /// Run as a service: schedules, workers and the API, day after day
    Serve(serve::ServeArgs),
    /// Work on whatever is open, beside other processes, until stopped
    Work(work::WorkArgs),
    /// List what fires next by itself; or what became of it, or fire it by hand
    Schedule(schedule::ScheduleArgs),
    /// Keep contracts in payrun, so that a workflow charges what is due of them
    Contracts(contracts::ContractsArgs),
    /// Find a payment by its key, a number, its contract, a reference of the payer, or its amount and
    /// day
    Find(find::FindArgs),
    /// List runs, newest first
    Runs(runs::RunsArgs),
    /// Show a run, or one item with its whole history
    Show(show::ShowArgs),
    /// List items, or write them into a file for a spreadsheet
    Items(items::ItemsArgs),
    /// Write the rejected or failed rows of a run into a file like the one they came from, with the
    /// reasons, to be mended and given again
    Rows(rows::RowsArgs),
    /// Add up what was planned, succeeded, failed, is unknown or needs review: of a run, or of the
    /// runs of a month
    Totals(totals::TotalsArgs),
    /// List what reconciliations found different; say whose a difference is, why it is there, that it
    /// may stand
    Differences(differences::DifferencesArgs),
    /// Report a run or a month for finance: a page that prints, or a workbook
    Report(report::ReportArgs),
    /// Print every item with all that was done and answered, a JSON object a line, for whoever
    /// wants to check it
    Journal(journal::JournalArgs),
    /// List, show and replay the gateways' notifications
    Notifications(notifications::NotificationsArgs),
    /// Look at batches that wait for approval, and approve or reject them
    Approvals(approvals::ApprovalsArgs),
    /// Send nothing new of a gateway, a workflow, a contract, or anything; what is open is still
    /// queried
    Pause(pause::PauseArgs),
    /// Send again what was paused
    Resume(pause::PauseArgs),
    /// Suspend, release or slow a gateway account's lane
    Lane(lane::LaneArgs),
    /// Have items that failed, need review or were cancelled tried again, once it is certain that this is safe
    Retry(retry::RetryArgs),
    /// Withdraw items: nothing more of them is sent, and what may be under way is queried
    Cancel(cancel::CancelArgs),
    /// Withdraw a run as a whole: nothing more of it is sent, and its later jobs get no items
    Withdraw(withdraw::WithdrawArgs),
    /// List what was done to many items at once; or show one: how far it is, and what was refused
    Bulk(bulk::BulkArgs),
    /// Write a workflow that gives back what an item took, for somebody to approve
    Refund(refund::RefundArgs),
    /// Say what became of an item where queries could not tell; kept as evidence with name and
    /// reason
    Resolve(resolve::ResolveArgs),
    /// Note something of an item, such as a call with the bank: the reason; it changes nothing
    Note(item_note::NoteArgs),
    /// Show who did what and why: list, verify, export
    Audit(audit::AuditArgs),
    /// Show alert rules, open incidents and mails; test the mail server; send what is due
    Alerts(alerts::AlertsArgs),
    /// Make, list and revoke the tokens by which the API knows who is calling
    Tokens(tokens::TokensArgs),
    /// Copy the ledger into a file while work goes on; the copy is checked
    Backup(backup::BackupArgs),
    /// Put a backup in the place of a ledger that was lost; what may have been sent since is
    /// queried before it is sent
    Restore(restore::RestoreArgs),
    /// Delete what is older than `retention` says; the service does it by itself
    Prune(prune::PruneArgs),
    /// Seal what is kept of persons under the first key of `encryption_key`, so that the others can
    /// be taken away
    Reseal(reseal::ResealArgs),
    /// Move the ledger from a SQLite file to PostgreSQL, compared row by row; the file can no
    /// longer be used then
    Promote(promote::PromoteArgs),
    /// Serve a fake gateway on loopback, strict and with faults, to develop against without
    /// credentials
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::SandboxArgs),
    /// Simulate a workflow from seeds: gateways that fail, processes that die, clocks that jump.
    /// Nothing is sent
    #[cfg(feature = "simulation")]
    Simulate(simulate::SimulateArgs),
    /// Play a day against the sandbox's four gateways and compare the books
    #[cfg(feature = "sandbox")]
    Demo(demo::DemoArgs),
    /// Print the JSON Schema of workflow files or of payrun.yaml, for editors
    Schema(schema::SchemaArgs),
    /// Look at the machine, the ledger and the gateways, and say what is wrong
    Doctor(doctor::DoctorArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Write a manual page of each command into a folder
    Man(man::ManArgs),
}

/// What every command needs to know.
#[derive(Debug, Clone)]
struct Context {
    config: PathBuf,
    colour: bool,
}

/// Runs the command that was given.
pub fn main() -> ExitCode {
    match Args::try_parse() {
        Ok(args) => run_command(args),
        Err(wrong) if wrong.use_stderr() => {
            // It quotes what was typed.
            let typed =
                std::env::args_os().map(|typed| visible(&typed.to_string_lossy()).into_owned());
            note_lines(
                Args::try_parse_from(typed)
                    .err()
                    .unwrap_or(wrong)
                    .to_string()
                    .trim_end(),
            );
            Exit::Invalid.into()
        }
        Err(help) => help.exit(),
    }
}

fn run_command(args: Args) -> ExitCode {
    crate::private_files::make_all_private();
    // What goes wrong in a play is meant to: it is told of in the end.
    #[cfg(feature = "simulation")]
    let plays = matches!(args.command, Command::Simulate(_));
    #[cfg(not(feature = "simulation"))]
    let plays = false;
    let quiet = plays && args.log == "warn";
    let filter = if quiet { "off" } else { &args.log };
    let _spans = match log::start(filter, args.log_format, args.otlp.as_deref()) {
        Ok(spans) => spans,
        Err(wrong) => {
            note(format!("error: {wrong}"));
            return Exit::Invalid.into();
        }
    };
    let context = Context {
        config: args.config,
        colour: output::colour(args.color),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            note(format!("error: the runtime cannot be started: {error}"));
            return Exit::Internal.into();
        }
    };
    let outcome = runtime.block_on(dispatch(&context, args.command));
    // What is still running holds nothing that counts: all that counts is in the ledger.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::failure(&failure, context.colour);
            failure.exit.into()
        }
    }
}

async fn dispatch(context: &Context, command: Command) -> Result<Exit, exit::Failure> {
    match command {
        #[cfg(feature = "sandbox")]
        Command::Init(args) => init::run(args),
        Command::Check(args) => check::run(context, args).await,
        Command::Plan(args) => plan::run(context, args).await,
        Command::Run(args) => run::run(context, args).await,
        Command::Serve(args) => serve::run(context, args).await,
        Command::Work(args) => work::run(context, args).await,
        Command::Find(args) => find::run(context, args).await,
        Command::Runs(args) => runs::run(context, &args).await,
        Command::Show(args) => show::run(context, &args).await,
        Command::Rows(args) => rows::run(context, &args).await,
        Command::Items(args) => items::run(context, &args).await,
        Command::Report(args) => report::run(context, args).await,
        Command::Totals(args) => totals::run(context, &args).await,
        Command::Schedule(args) => schedule::run(context, args).await,
        Command::Contracts(args) => contracts::run(context, args).await,
        Command::Differences(args) => differences::run(context, &args).await,
        Command::Journal(args) => journal::run(context, args).await,
        Command::Backup(args) => backup::run(context, args).await,
        Command::Prune(args) => prune::run(context, &args).await,
        Command::Restore(args) => restore::run(context, &args).await,
        Command::Reseal(args) => reseal::run(context, &args).await,
        Command::Promote(args) => promote::run(context, args).await,
        Command::Retry(args) => retry::run(context, &args).await,
        Command::Note(args) => item_note::run(context, &args).await,
        Command::Cancel(args) => cancel::run(context, &args).await,
        Command::Withdraw(args) => withdraw::run(context, &args).await,
        Command::Bulk(args) => bulk::run(context, &args).await,
        Command::Tokens(args) => tokens::run(context, args).await,
        Command::Notifications(args) => notifications::run(context, &args).await,
        Command::Refund(args) => refund::run(context, &args).await,
        Command::Resolve(args) => resolve::run(context, &args).await,
        Command::Pause(args) => pause::pause(context, &args).await,
        Command::Resume(args) => pause::resume(context, &args).await,
        Command::Lane(args) => lane::run(context, &args).await,
        Command::Approvals(args) => approvals::run(context, &args).await,
        Command::Audit(args) => audit::run(context, &args).await,
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => sandbox::run(context, args).await,
        #[cfg(feature = "simulation")]
        Command::Simulate(args) => simulate::run(context, args).await,
        #[cfg(feature = "sandbox")]
        Command::Demo(args) => demo::run(context, args).await,
        Command::Schema(args) => schema::run(&args),
        Command::Template(args) => template::run(context, &args),
        Command::Alerts(args) => alerts::run(context, args).await,
        Command::Doctor(args) => doctor::run(context, &args).await,
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
    }
}
