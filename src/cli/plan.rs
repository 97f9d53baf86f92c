//! `payrun plan`, and what it shares with `payrun run`: which workflow, for when, with what.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use chrono::NaiveDate;
use clap::Args;
use serde_json::{Value, json};

use super::Context;
use super::actor::Author;
use super::exit::{Exit, Failure, chain};
use super::output::{count, counted, cut, print_table, say, say_json, say_lines, table};
use super::wall_clock::parse_day;
use crate::app::Project;
use crate::clock::Clock;
use crate::domain::actor::Actor;
use crate::domain::money::decimal_text;
use crate::domain::role::Role;
use crate::domain::timetable::Firing;
use crate::engine::planning::{
    Input, PlanError, PlannedJob, PlannedRun, RunRequest, SHOWN, amount_columns, first_number,
    money_text,
};
use crate::ledger::{ChosenColumns, Ledger};
use crate::workflow::Workflow;
use crate::workflow::excluded_rows::ExcludedRows;
use crate::workflow::render::{MoneyExample, TrimmedColumn};
use crate::workflow::source::{FileKind, FileReading, TextEncoding};

/// Which workflow, for when, with what.
#[derive(Debug, Args)]
pub(super) struct RunOptions {
    /// The workflow file
    #[arg(value_name = "WORKFLOW")]
    pub workflow: Option<PathBuf>,
    /// A parameter of the workflow
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = pair)]
    vars: Vec<(String, String)>,
    /// Another item file than the workflow's, from anywhere; JOB= may be left out if there is one
    /// job
    #[arg(long = "input", value_name = "[JOB=]FILE")]
    inputs: Vec<String>,
    /// The encoding of the files of --input that are not UTF-8, such as gb18030, whatever the
    /// workflow says
    #[arg(long, requires = "inputs", value_parser = encoding)]
    encoding: Option<TextEncoding>,
    /// Which heading of such a file is which column of the workflow; JOB: may be left out if there is
    /// one job
    #[arg(long = "column", value_name = "[JOB:]COLUMN=HEADING", requires = "inputs", value_parser = pair)]
    columns: Vec<(String, String)>,
    #[command(flatten)]
    author: Author,
    /// The day the run is for (run.date, run.month); today if not given
    #[arg(long, value_parser = parse_day, value_name = "YYYY-MM-DD")]
    date: Option<NaiveDate>,
    /// Let that day be after today, and charge what falls due until then
    #[arg(long, requires = "date")]
    allow_future: bool,
}

/// Arguments of `payrun plan`.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[command(flatten)]
    options: RunOptions,
    /// How many rows to show of each kind, with whole reasons where more than 5: a number, or all.
    /// If not given, 5, and all in JSON
    #[arg(long, value_parser = rows)]
    rows: Option<usize>,
    /// The same as --rows all
    #[arg(long, conflicts_with = "rows")]
    all: bool,
    /// List the rows that the jobs' `where` leaves out
    #[arg(long)]
    left_out: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How many rows of each kind are shown where nobody asks for more.
const ROWS: usize = 5;

impl PlanArgs {
    /// How many rows to show of each kind.
    fn shown(&self) -> usize {
        match self.rows {
            Some(rows) => rows,
            None if self.all || self.json => usize::MAX,
            None => ROWS,
        }
    }
}

fn rows(text: &str) -> Result<usize, String> {
    match text {
        "all" => Ok(usize::MAX),
        number => number
            .parse()
            .map_err(|_| "give a number of rows, or all".to_owned()),
    }
}

fn encoding(word: &str) -> Result<TextEncoding, String> {
    TextEncoding::parse(word)
        .ok_or_else(|| format!("give one of {}", TextEncoding::WORDS.join(", ")))
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("write it as NAME=VALUE".to_owned()),
    }
}

impl RunOptions {
    /// Whether a day was named.
    #[cfg(feature = "simulation")]
    pub const fn has_date(&self) -> bool {
        self.date.is_some()
    }

    /// As who it is begun where it matters who that is: [`Author::proven`].
    pub async fn author(&self, ledger: &Ledger) -> Result<Actor, Failure> {
        self.author.proven(ledger, Role::Operator).await
    }

    /// The request to plan this.
    pub fn request(&self, project: &Project) -> Result<RunRequest, Failure> {
        let Some(path) = &self.workflow else {
            return Err(Failure::invalid("no workflow is named")
                .help("payrun run WORKFLOW, such as workflows/monthly-deductions.yaml"));
        };
        let workflow = project.workflow(path)?;
        let inputs = self.inputs(&workflow)?;
        let columns = self.columns(&workflow, &inputs)?;
        let (now, author) = (Clock::of_machine().now(), self.author.actor()?);
        let request = RunRequest::manual(workflow, &project.config, &self.vars, author, now)
            .map_err(|wrong| Failure::invalid(wrong.join("\n")))?;
        let mut request = match self.date {
            Some(date) => request.on(date).ok_or_else(|| {
                Failure::invalid(format!("{date} is no day in the workflow's timezone"))
            })?,
            None => request,
        };
        request.allow_future = self.allow_future;
        request.inputs = inputs;
        request.columns = columns;
        request.encoding = self.encoding;
        Ok(request)
    }

    fn columns(
        &self,
        workflow: &Workflow,
        inputs: &BTreeMap<String, Input>,
    ) -> Result<BTreeMap<String, ChosenColumns>, Failure> {
        let mut columns = BTreeMap::<String, ChosenColumns>::new();
        for (column, heading) in &self.columns {
            let (job, column) = match (column.split_once(':'), workflow.jobs.as_slice()) {
                (Some((job, column)), _) if inputs.contains_key(job) => (job, column),
                (_, [only]) => (only.name.as_str(), column.as_str()),
                (_, _) => {
                    let message = format!(
                        "--column {column}={heading}: of which job? --input names no file for it"
                    );
                    return Err(Failure::invalid(message));
                }
            };
            let of_job = columns.entry(job.to_owned()).or_default();
            of_job.insert(column.to_owned(), heading.clone());
        }
        Ok(columns)
    }

    fn inputs(&self, workflow: &Workflow) -> Result<BTreeMap<String, Input>, Failure> {
        let names: Vec<&str> = workflow.jobs.iter().map(|job| job.name.as_str()).collect();
        let mut inputs = BTreeMap::new();
        for text in &self.inputs {
            let named = text.split_once('=').filter(|(job, _)| names.contains(job));
            let (job, file) = match (named, names.as_slice()) {
                (Some((job, file)), _) => (job, file),
                (None, [only]) => (*only, text.as_str()),
                (None, _) => {
                    return Err(Failure::invalid(format!(
                        "--input {text}: which job? The jobs are {}",
                        names.join(", ")
                    )));
                }
            };
            inputs.insert(job.to_owned(), Input::Path(PathBuf::from(file)));
        }
        Ok(inputs)
    }
}

/// A plan that could not be made, as a command's failure.
pub(super) fn failed(error: PlanError) -> Failure {
    match error {
        PlanError::Ledger(error) => error.into(),
        error @ (PlanError::Broken { .. } | PlanError::Stopped { .. }) => Failure::internal(&error),
        error @ (PlanError::Source { .. }
        | PlanError::Rows { .. }
        | PlanError::FileChanged { .. }
        | PlanError::Workflow(_)
        | PlanError::NoFile { .. }
        | PlanError::NoSuchJob { .. }
        | PlanError::Late { .. }
        | PlanError::Withdrawn { .. }
        | PlanError::Sealed { .. }
        | PlanError::References(_)
        | PlanError::Limit { .. }) => Failure::invalid(chain(&error)),
        error @ PlanError::Future { .. } => {
            Failure::invalid(error.to_string()).help("say --allow-future if that is meant")
        }
    }
}

pub(super) async fn run(context: &Context, args: PlanArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let mut request = args.options.request(&project)?.preview();
    request.shown = SHOWN.max(args.shown());
    let engine = project
        .engine(project.ledger().await?, Clock::of_machine())
        .await?;
    let planned = engine
        .plan(&request, &Arc::new(AtomicU64::new(0)))
        .await
        .map_err(failed)?;
    if args.json {
        let mut plan = json!({
            "workflow": request.workflow.name,
            "jobs": planned.jobs.iter().map(|job| plan_of_job_json(job, args.left_out)).collect::<Vec<_>>(),
        });
        if let Some((firing, moved)) = next_firing(&request) {
            let moved = Some(moved).filter(|moved| !moved.is_empty());
            let (occurrence, at) = (firing.nominal.to_string(), firing.at.to_string());
            plan["next"] = json!({ "occurrence": occurrence, "at": at, "moved": moved });
        }
        say_json(&plan);
    } else {
        say(format!(
            "plan of {}; nothing is sent",
            request.workflow.name
        ));
        if let Some((firing, moved)) = next_firing(&request).filter(|(_, moved)| !moved.is_empty())
        {
            say(format!(
                "its schedule fires next on {}: {moved}",
                firing.wall.format("%a %Y-%m-%d at %H:%M")
            ));
        }
        let days = request.days(engine.clock.now());
        if days.on > days.today && !request.allow_future {
            say(format!(
                "{} is after today, {}; `payrun run` wants --allow-future",
                days.on, days.today
            ));
        }
        for job in &planned.jobs {
            print_job(job, args.shown());
            if args.left_out {
                print_left_out(&job.noted.left_out);
            }
        }
    }
    Ok(if planned.jobs.iter().any(|job| job.rejected > 0) {
        Exit::Incomplete
    } else {
        Exit::Success
    })
}

/// What the workflow's schedule does next by itself, and what calendars made of it.
fn next_firing(request: &RunRequest) -> Option<(Firing, String)> {
    let schedule = request
        .workflow
        .schedule
        .as_ref()
        .filter(|schedule| !schedule.paused)?;
    let firing = schedule
        .timetable
        .firings(Clock::of_machine().now())
        .next()?;
    Some((firing, schedule.timetable.moved(&firing)))
}

fn print_job(job: &PlannedJob, rows: usize) {
    say("");
    say_lines(summary(job));
    if !job.first.is_empty() && rows > 0 {
        let mut first = table(&[">line", "key", "order number", ">amount"]);
        for item in job.first.iter().take(rows) {
            let amount = item
                .amount
                .map(|amount| amount.to_string())
                .unwrap_or_default();
            first.add_row([
                item.line.to_string(),
                cut(&item.key, 50),
                first_number(item).to_string(),
                amount,
            ]);
        }
        print_table(&first);
        let hidden = job.items.saturating_sub(rows as u64);
        if hidden > 0 {
            say(format!("and {} more", count(hidden)));
        }
    }
    print_refusals(job, rows);
}

fn plan_of_job_json(job: &PlannedJob, left_out: bool) -> Value {
    let mut told = job_json(job);
    if left_out {
        let row = |(line, value): &(u64, String)| json!({"line": line, "values": value});
        told["left_out_rows"] = job.noted.left_out.first.iter().map(row).collect();
    }
    told
}

fn print_left_out(left_out: &ExcludedRows) {
    if left_out.rows == 0 {
        return;
    }
    let mut rows = table(&[">line", "left out with"]);
    for (line, value) in &left_out.first {
        rows.add_row([line.to_string(), cut(value, 110)]);
    }
    print_table(&rows);
    let hidden = left_out.rows - left_out.first.len() as u64;
    if hidden > 0 {
        say(format!("and {} more", count(hidden)));
    }
}

/// The first rows that were refused, with line and reason.
pub(super) fn print_refusals(job: &PlannedJob, rows: usize) {
    if job.refusals.is_empty() || rows == 0 {
        return;
    }
    let mut refused = table(&[">line", "state", "reason"]);
    // Who asks for more rows than usual wants to mend them: whole reasons, wherever they go.
    let width = if rows > ROWS { usize::MAX } else { 110 };
    let rows = rows.saturating_mul(2);
    for refusal in job.refusals.iter().take(rows) {
        refused.add_row([
            refusal.line.to_string(),
            refusal.state.label().to_owned(),
            cut(&refusal.reason.to_string(), width),
        ]);
    }
    print_table(&refused);
    let hidden = (job.skipped + job.rejected).saturating_sub(job.refusals.len().min(rows) as u64);
    if hidden > 0 {
        say(format!(
            "and {} more: `payrun plan --rows all` shows all, with whole reasons",
            count(hidden)
        ));
    }
}

/// The first rows that were skipped though they say something else than what was planned before.
pub(super) fn print_changed(job: &PlannedJob, run: i64) {
    for refusal in job.first_changed.iter().take(3) {
        say(format!(
            "job {}, line {}: {}",
            job.name, refusal.line, refusal.reason
        ));
    }
    if job.changed > 3 {
        say(format!(
            "and {} more such rows: `payrun items --run {run} --job {} --state skipped` lists them among all that were skipped; their reasons begin \
             \"run N has this key with another buyer\"",
            count(job.changed - 3),
            job.name
        ));
    }
}

/// One line about a planned job.
pub(super) fn summary(job: &PlannedJob) -> String {
    if job.late {
        return format!(
            "job {} ({} on {}): planned when the job has ended that its items come from",
            job.name, job.kind, job.gateway
        );
    }
    let mut parts = vec![counted(job.items, "item")];
    if !job.totals.is_empty() {
        parts.push(money_text(&job.totals));
    }
    for (number, word) in [
        (job.filed_again, "of them filed again with other content"),
        (job.rejected, "rejected"),
        (job.planned_before, "skipped, planned before"),
        (
            job.skipped - job.planned_before,
            "skipped, for the reasons beside the rows",
        ),
        (
            job.changed,
            "of these with another buyer or other content, which is not filed",
        ),
    ] {
        if number > 0 {
            parts.push(format!("{} {word}", count(number)));
        }
    }
    let left_out = &job.noted.left_out;
    if left_out.rows > 0 {
        let one = |(value, rows): (&String, &u64)| match value.as_str() {
            "" => format!("{} with others", count(*rows)),
            value => format!("{} with {value}", count(*rows)),
        };
        let by_value = left_out
            .by_value
            .iter()
            .map(one)
            .collect::<Vec<_>>()
            .join("; ");
        parts.push(format!(
            "{} left out by where ({by_value})",
            count(left_out.rows)
        ));
    }
    let waits = if job.approval.is_some() {
        "; it waits until somebody else has approved"
    } else {
        ""
    };
    let mut text = format!(
        "job {} ({} on {}): {}{waits}",
        job.name,
        job.kind,
        job.gateway,
        parts.join(", ")
    );
    if let Some(reading) = &job.reading {
        text.push_str(&format!("\n  read as {reading}"));
        for note in reading.notes() {
            text.push_str(&format!("\n  {note}"));
        }
    }
    if let Some(money) = &job.noted.money {
        text.push_str(&format!("\n  {money}"));
    }
    for one in &job.noted.trimmed {
        let (rows, column, first) = (counted(one.rows, "row"), &one.column, one.first);
        text.push_str(&format!(
            "\n  blanks around {column} were taken off in {rows}, first in line {first}"
        ));
    }
    for one in &job.noted.plain_digits {
        let (rows, field, first) = (counted(one.rows, "row"), &one.column, one.first);
        text.push_str(&format!(
            "\n  full-width digits of {field} were read as plain ones in {rows}, first in line {first}"
        ));
    }
    for one in &job.noted.capital_x {
        let (rows, field, first) = (counted(one.rows, "row"), &one.column, one.first);
        text.push_str(&format!(
            "\n  {field} ends in a small x, sent as a capital X, in {rows}, first in line {first}"
        ));
    }
    text
}

/// A planned job for programs.
pub(super) fn job_json(job: &PlannedJob) -> Value {
    let totals: BTreeMap<&str, String> = job
        .totals
        .iter()
        .map(|(code, (minor, currency))| (*code, decimal_text(i128::from(*minor), *currency)))
        .collect();
    json!({
        "name": job.name,
        "kind": job.kind,
        "gateway": job.gateway,
        "items": job.items,
        "later": job.late,
        "totals": totals,
        "read_as": job.reading.as_ref().map(reading_json),
        "left_out": job.noted.left_out.rows,
        "left_out_by_value": job.noted.left_out.by_value,
        "money": job.noted.money.as_ref().map(money_json),
        "trimmed": written_otherwise(&job.noted.trimmed),
        "plain_digits": written_otherwise(&job.noted.plain_digits),
        "capital_x": written_otherwise(&job.noted.capital_x),
        "skipped": job.skipped,
        "changed": job.changed,
        "rejected": job.rejected,
        "filed_again": job.filed_again,
        "needs_approval": job.approval.is_some(),
        "first": job.first.iter().map(|item| {
            let (amount, currency) = amount_columns(item.amount);
            json!({"line": item.line, "key": item.key, "order_no": first_number(item), "amount": amount, "currency": currency})
        }).collect::<Vec<_>>(),
        "refusals": job.refusals.iter().map(|refusal| json!({
            "line": refusal.line, "key": refusal.key, "state": refusal.state.as_str(), "reason": refusal.reason.to_string(),
            "duplicate_of": refusal.duplicate_of,
        })).collect::<Vec<_>>(),
    })
}

/// How a file was understood.
fn reading_json(reading: &FileReading) -> Value {
    let (format, encoding, separator, sheet) = match &reading.kind {
        FileKind::Csv(encoding, separator) => (
            "csv",
            Some(encoding.as_str()),
            Some(separator.as_str()),
            None,
        ),
        FileKind::JsonLines(encoding) => ("jsonl", Some(encoding.as_str()), None, None),
        FileKind::Xlsx(sheet) => ("xlsx", None, None, Some(sheet)),
    };
    json!({
        "format": format, "encoding": encoding, "separator": separator, "sheet": sheet,
        "header_line": reading.header_line, "columns": reading.header, "columns_not_used": reading.unused,
        "other_sheets": reading.other_sheets, "hidden_sheets": reading.hidden_sheets,
        "sample": reading.sample, "doubt": reading.doubt.as_ref().map(ToString::to_string),
    })
}

/// What the money of the first row was taken for, in main units.
fn money_json(money: &MoneyExample) -> Value {
    let text = |minor: i64| decimal_text(i128::from(minor), money.currency);
    let fields: BTreeMap<&str, String> = money
        .fields
        .iter()
        .map(|(field, minor)| (field.as_str(), text(*minor)))
        .collect();
    json!({"line": money.line, "currency": money.currency.code(), "unit": "main", "fields": fields})
}

fn written_otherwise(noted: &[TrimmedColumn]) -> Vec<Value> {
    noted
        .iter()
        .map(|one| json!({"column": one.column, "rows": one.rows, "first_line": one.first}))
        .collect()
}

/// A whole plan for programs.
pub(super) fn plan_json(planned: &PlannedRun) -> Value {
    json!(planned.jobs.iter().map(job_json).collect::<Vec<_>>())
}
