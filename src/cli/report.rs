//! `payrun report`: a run or a month for finance, on the screen in short or as a file; and the reports
//! that are kept.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Context;
use super::exit::{Exit, Failure};
use super::export_file::{failed, write_whole};
use super::output::{Colour, paint, print_table, say, say_json, say_lines, table};
use super::wall_clock::WallClock;
use crate::app::Project;
use crate::clock::Clock;
use crate::export::ExportContext;
use crate::export::totals::parse_month;
use crate::report::stored_reports::{self, ReportScope, StoredReport};
use crate::report::{FinanceReport, ReportFormat, ReportSubject, make};

/// How many reports are listed if nothing is said.
const LISTED: u32 = 20;

/// The tables that are shown on the screen; all are in a file.
const SHOWN: [&str; 4] = [
    "Totals by account, kind and currency",
    "Failed by code",
    "Refunds",
    "Statements of the gateways",
];

/// Arguments of `payrun report`.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    #[command(subcommand)]
    about: ReportCommand,
}

#[derive(Debug, Subcommand)]
enum ReportCommand {
    /// Of one run
    Run {
        /// The run
        #[arg(value_name = "RUN")]
        run: i64,
        #[command(flatten)]
        output: ReportOutputArgs,
    },
    /// Of the runs that were planned in a month, on the clock of payrun.yaml, and of the statements
    /// of its days
    Month {
        /// The month, such as 2026-03
        #[arg(value_name = "YYYY-MM", value_parser = month)]
        month: NaiveDate,
        /// Of this gateway account only
        #[arg(long, value_name = "NAME")]
        account: Option<String>,
        #[command(flatten)]
        output: ReportOutputArgs,
    },
    /// The reports that are kept, newest first: of runs, of months, and of each reconciliation
    List(ReportListArgs),
}

#[derive(Debug, Args)]
struct ReportListArgs {
    /// Only of this kind
    #[arg(long, value_parser = ReportScope::KINDS)]
    kind: Option<String>,
    /// How many at most
    #[arg(long, short = 'n', default_value_t = LISTED, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ReportOutputArgs {
    /// Write the whole report into this file: .html (a page that prints), .xlsx or .json
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long, requires = "output")]
    force: bool,
}

fn month(text: &str) -> Result<NaiveDate, String> {
    parse_month(text).ok_or_else(|| "a month is written like 2026-03".to_owned())
}

pub(super) async fn run(context: &Context, args: ReportArgs) -> Result<Exit, Failure> {
    let (subject, output) = match args.about {
        ReportCommand::Run { run, output } => (ReportSubject::Run(run), output),
        ReportCommand::Month {
            month,
            account,
            output,
        } => {
            let first = month;
            (ReportSubject::Month { first, account }, output)
        }
        ReportCommand::List(args) => return list(context, &args).await,
    };
    let target = output.target()?;
    let project = Project::open(&context.config)?;
    check_account(&project, &subject)?;
    let ledger = project.ledger().await?;
    let sources = ExportContext {
        ledger: ledger.clone(),
        config: project.config.clone(),
        job_kinds: project.job_kinds.clone(),
        now: Clock::System.now(),
    };
    let report = make(&sources, &subject).await?;
    let report = report
        .ok_or_else(|| Failure::invalid("there is no such run").help("`payrun runs` lists them"))?;
    match target {
        Some((path, format)) => {
            let bytes = report.file(format).map_err(|error| failed(&path, error))?;
            write_whole(&path, output.force, &bytes)?;
            say(format!("{} in {}", report.title, path.display()));
        }
        None => print(&report, context.colour),
    }
    Ok(Exit::Success)
}

async fn list(context: &Context, args: &ReportListArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let engine = project
        .engine(project.ledger().await?, Clock::System)
        .await?;
    let limit = args.limit as usize;
    let reports = stored_reports::list(&engine.files, args.kind.as_deref(), None, limit).await;
    let reports = reports.map_err(|error| Failure::internal(&error))?;
    if args.json {
        say_json(&json!(reports.iter().map(as_json).collect::<Vec<_>>()));
        return Ok(Exit::Success);
    }
    if reports.is_empty() {
        say("no reports are kept yet; `report: true` in a workflow makes one of each of its runs");
        return Ok(Exit::Success);
    }
    let clock = WallClock::of(&project);
    let mut rows = table(&[&clock.heading("made at"), "kind", "report", "files"]);
    for report in &reports {
        let formats: Vec<&str> = report.files.iter().map(|(format, _)| *format).collect();
        rows.add_row([
            clock.cell(report.made_at),
            report.scope.kind().to_owned(),
            report.scope.name(),
            formats.join(" "),
        ]);
    }
    print_table(&rows);
    say(format!(
        "each is {}, with its format behind a dot",
        engine
            .files
            .location(&format!("{}/REPORT", stored_reports::FOLDER))
    ));
    if reports.len() == limit {
        say("there may be more: --limit");
    }
    Ok(Exit::Success)
}

fn as_json(report: &StoredReport) -> Value {
    let files = report.files.iter();
    let files = files
        .map(|(format, file)| json!({ "format": format, "file": file.name, "bytes": file.bytes }));
    json!({
        "name": report.scope.name(),
        "kind": report.scope.kind(),
        "made_at": report.made_at.to_string(),
        "files": files.collect::<Vec<_>>(),
    })
}

impl ReportOutputArgs {
    /// Where the report goes, and as what; none where it is shown on the screen.
    fn target(&self) -> Result<Option<(PathBuf, ReportFormat)>, Failure> {
        let Some(path) = &self.output else {
            return Ok(None);
        };
        let format = ReportFormat::of_file(path).ok_or_else(|| {
            Failure::invalid(format!(
                "{} does not say by its end what to write",
                path.display()
            ))
            .help("end it with one of .html, .xlsx, .json")
        })?;
        Ok(Some((path.clone(), format)))
    }
}

/// An account that is nowhere in the configuration is a slip of the pen.
fn check_account(project: &Project, subject: &ReportSubject) -> Result<(), Failure> {
    let ReportSubject::Month {
        account: Some(account),
        ..
    } = subject
    else {
        return Ok(());
    };
    let known: Vec<&str> = project.config.gateways.keys().map(String::as_str).collect();
    if known.contains(&account.as_str()) {
        return Ok(());
    }
    let message = format!("payrun.yaml has no gateway account {account}");
    Err(Failure::invalid(message).help(format!("there are: {}", known.join(", "))))
}

fn print(report: &FinanceReport, colour: bool) {
    say(&report.title);
    if report.is_settled {
        say(paint("everything is settled", Colour::Green, colour));
    } else {
        say(paint(
            "not everything is settled yet:",
            Colour::Yellow,
            colour,
        ));
        report.open.iter().for_each(|open| say(format!("  {open}")));
    }
    let tables = report.tables();
    for shown in tables.iter().filter(|table| SHOWN.contains(&table.heading)) {
        say_lines(format!("\n{}", shown.heading));
        let columns: Vec<&str> = shown.columns.iter().map(String::as_str).collect();
        let mut screen = table(&columns);
        for row in &shown.rows {
            screen.add_row(row);
        }
        print_table(&screen);
    }
    if tables.is_empty() {
        say("nothing was planned, and there are no statements");
    }
    say_lines(
        "\nthe whole report: -o FILE.html prints, -o FILE.xlsx is for a spreadsheet, -o FILE.json for programs",
    );
}
