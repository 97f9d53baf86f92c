//! Papers for finance: one report of a run, or of a month, as a page that prints, as a workbook and
//! as JSON. All three say the same.
//!
//! The numbers come from the totals that every commit keeps, and from sums that the database makes:
//! no item and no line of a statement is in memory, however many there are. Sums of two currencies
//! are never added. A report names accounts, kinds, codes and sums only: no personal data.

pub mod automatic_reports;
mod differences;
mod failures;
mod html;
mod json;
mod state_sums;
mod statements;
pub mod stored_reports;
mod sums;
mod workbook;

use std::io;
use std::path::Path;

use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;

use crate::domain::occurrence::name_on_clock;
use crate::domain::time::Timestamp;
use crate::export::{
    ExportContext, ExportError, TableCell, TableColumn, TableColumnKind, TableHead, instants_of,
};
use crate::ledger::{DifferenceSpan, LedgerError, RunRow};
use sums::RunSums;

/// How many runs are read at a time, and the most that a month lists.
const PAGE: u32 = 500;
const RUNS_LISTED: usize = 2_000;

/// How the name of a sum's column ends, behind the name of its count.
const AMOUNT: &str = "_amount";

/// How the names of columns end that tell apart what stands in a statement.
const OF_OTHERS: &str = "_of_others";
const OURS: &str = "_ours";

/// Columns that are shown although nothing is counted in them.
const ALWAYS: [&str; 4] = ["planned", "succeeded", "failed", "unknown"];

/// What a report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportSubject {
    /// One run.
    Run(i64),
    /// The runs that were planned in a month and the statements of its days.
    Month {
        /// Its first day.
        first: NaiveDate,
        /// Of this gateway account only.
        account: Option<String>,
    },
}

/// What kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    /// A page.
    Html,
    /// An Excel workbook.
    Xlsx,
    /// For programs.
    Json,
}

impl ReportFormat {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Html, Self::Xlsx, Self::Json];

    /// Its word, which is how a file's name ends.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Html => "html",
            Self::Xlsx => "xlsx",
            Self::Json => "json",
        }
    }

    /// The format that the end of a file's name says.
    pub fn of_file(path: &Path) -> Option<Self> {
        let end = path.extension()?.to_str()?.to_ascii_lowercase();
        Self::ALL.into_iter().find(|format| format.as_str() == end)
    }
}

/// A report.
#[derive(Debug)]
pub struct FinanceReport {
    /// What it is about, in a line.
    pub title: String,
    /// What stands beneath the title: names and values.
    facts: Vec<(&'static str, TableCell)>,
    /// Whether nothing is open any more.
    pub is_settled: bool,
    /// What is still open, a sentence each; empty where all is settled.
    pub open: Vec<String>,
    /// The numbers that stand first.
    numbers: Vec<(&'static str, u64)>,
    sections: Vec<ReportSection>,
    zone: Tz,
}

/// A table of a report.
#[derive(Debug)]
struct ReportSection {
    /// For programs, and the name of the sheet.
    name: &'static str,
    /// For people.
    heading: &'static str,
    /// What to know about it.
    notes: Vec<String>,
    columns: Vec<TableColumn>,
    rows: Vec<Vec<TableCell>>,
    /// What is said where there are no rows.
    empty: &'static str,
}

/// A table for the screen. Columns in which nothing is counted are left out.
#[derive(Debug)]
pub struct ScreenTable {
    /// What it is.
    pub heading: &'static str,
    /// The headings of its columns, those of numbers with a `>` before them.
    pub columns: Vec<String>,
    /// Its rows.
    pub rows: Vec<Vec<String>>,
}

impl ReportSection {
    /// The places of the columns that people see: a count and its sum are left out where nothing is
    /// counted.
    fn shown(&self) -> Vec<usize> {
        let place_of = |name: &str| self.columns.iter().position(|column| column.name == name);
        let counts = |place: usize| self.rows.iter().any(|row| row[place].is_something());
        let is_shown = |(place, column): &(usize, &TableColumn)| {
            let name = column.name.strip_suffix(AMOUNT).unwrap_or(&column.name);
            let is_number = matches!(column.kind, TableColumnKind::Count | TableColumnKind::Money);
            // Where nothing is of others, ours is all there is, and says nothing.
            let told_by = match name.strip_suffix(OURS) {
                Some(side) => place_of(&format!("{side}{OF_OTHERS}")),
                None => place_of(name),
            };
            !is_number || ALWAYS.contains(&name) || counts(told_by.unwrap_or(*place))
        };
        let columns = self.columns.iter().enumerate().filter(is_shown);
        columns.map(|(place, _)| place).collect()
    }

    fn head(&self, zone: Tz, shown: &[usize]) -> TableHead {
        TableHead {
            title: self.name,
            columns: shown
                .iter()
                .map(|place| self.columns[*place].clone())
                .collect(),
            zone,
        }
    }
}

impl FinanceReport {
    /// The name of a fact, for people: an instant is on the clock of a named zone.
    fn fact_name(&self, name: &str, cell: &TableCell) -> String {
        match cell {
            TableCell::Instant(_) => format!("{name} ({})", self.zone.name()),
            TableCell::Empty
            | TableCell::Text(_)
            | TableCell::Name(..)
            | TableCell::Count(_)
            | TableCell::Money(..)
            | TableCell::Date(_)
            | TableCell::Clock(_) => name.to_owned(),
        }
    }

    /// The report as a file of this format.
    ///
    /// # Errors
    /// If the workbook cannot be made.
    pub fn file(&self, format: ReportFormat) -> Result<Vec<u8>, ExportError> {
        Ok(match format {
            ReportFormat::Html => html::page(self).into_bytes(),
            ReportFormat::Xlsx => workbook::workbook(self)?,
            ReportFormat::Json => {
                let mut text = serde_json::to_vec_pretty(&json::json(self))
                    .map_err(|error| ExportError::Write(io::Error::other(error)))?;
                text.push(b'\n');
                text
            }
        })
    }

    /// Its tables for the screen; those without rows are left out.
    pub fn tables(&self) -> Vec<ScreenTable> {
        let with_rows = self
            .sections
            .iter()
            .filter(|section| !section.rows.is_empty());
        with_rows
            .map(|section| {
                let shown = section.shown();
                let head = section.head(self.zone, &shown);
                let cells = |row: &Vec<TableCell>| {
                    let cells = shown.iter().map(|place| row[*place].clone());
                    cells.collect()
                };
                let rows: Vec<Vec<TableCell>> = section.rows.iter().map(cells).collect();
                let (columns, rows) = crate::export::shown_on_screen(&head, &rows);
                ScreenTable {
                    heading: section.heading,
                    columns,
                    rows,
                }
            })
            .collect()
    }
}

/// Makes a report; none if there is no such run.
///
/// # Errors
/// Whatever the ledger says.
pub async fn make(
    context: &ExportContext,
    subject: &ReportSubject,
) -> Result<Option<FinanceReport>, LedgerError> {
    match subject {
        ReportSubject::Run(id) => match context.ledger.run(*id).await? {
            Some(run) => of_run(context, &run).await.map(Some),
            None => Ok(None),
        },
        ReportSubject::Month { first, account } => of_month(context, *first, account.as_deref())
            .await
            .map(Some),
    }
}

async fn of_run(context: &ExportContext, run: &RunRow) -> Result<FinanceReport, LedgerError> {
    let mut sums = RunSums::new(context, None);
    sums.add(context, run).await?;
    let facts = vec![
        ("workflow", TableCell::text(run.workflow.as_str())),
        ("run", TableCell::Count(run.id)),
        (
            "for",
            TableCell::text(name_on_clock(&run.occurrence, context.config.timezone)),
        ),
        ("planned", TableCell::Instant(run.started_at)),
        ("ended", TableCell::instant(run.finished_at)),
    ];
    let (mut open, mut sections) = (sums.open(), sums.sections());
    if sums.reconciles() {
        let span = DifferenceSpan::Run(run.id);
        let differences = differences::of(context, &span).await?;
        open.extend(differences.open);
        sections.push(differences.section);
    }
    Ok(FinanceReport {
        title: format!("Run {} of {}", run.id, run.workflow),
        facts: with_origin(facts, context),
        is_settled: open.is_empty(),
        open,
        numbers: sums.numbers(),
        sections,
        zone: context.config.timezone,
    })
}

async fn of_month(
    context: &ExportContext,
    first: NaiveDate,
    account: Option<&str>,
) -> Result<FinanceReport, LedgerError> {
    let zone = context.config.timezone;
    let (from, to) = instants_of(first, zone);
    let mut sums = RunSums::new(context, account);
    let (mut runs, mut run_count, mut after) = (Vec::new(), 0_u64, 0);
    loop {
        let page = context.ledger.runs_between((from, to), after, PAGE).await?;
        for run in &page {
            after = run.id;
            if sums.add(context, run).await? {
                run_count += 1;
                if runs.len() < RUNS_LISTED {
                    runs.push(run_row(run, context.config.timezone));
                }
            }
        }
        if page.len() < PAGE as usize {
            break;
        }
    }
    let statements =
        statements::of_month(context, first, account, &sums.lanes_in_statements()).await?;
    let mut open = sums.open();
    if context.now < to {
        open.push("The month is not over.".to_owned());
    }
    open.extend(statements.missing);
    let last = day_of(to.minus(std::time::Duration::from_millis(1)), zone);
    let span = DifferenceSpan::Days {
        lane: account.map(str::to_owned),
        from: first.to_string(),
        to: last.unwrap_or(first).to_string(),
    };
    let differences = differences::of(context, &span).await?;
    open.extend(differences.open);
    let facts = vec![
        ("month", TableCell::text(first.format("%Y-%m").to_string())),
        ("first day", TableCell::Date(first)),
        ("last day", TableCell::date(last)),
        ("account", TableCell::text(account.unwrap_or("all"))),
    ];
    let mut numbers = vec![("Runs", run_count)];
    numbers.extend(sums.numbers());
    let mut sections = sums.sections();
    sections.extend([
        statements.section,
        statements.others,
        differences.section,
        listed(runs, run_count),
    ]);
    let of_account = account.map_or_else(String::new, |account| format!(", account {account}"));
    Ok(FinanceReport {
        title: format!("{}{of_account}", first.format("%B %Y")),
        facts: with_origin(facts, context),
        is_settled: open.is_empty(),
        open,
        numbers,
        sections,
        zone,
    })
}

/// With what every report says of itself.
fn with_origin(
    mut facts: Vec<(&'static str, TableCell)>,
    context: &ExportContext,
) -> Vec<(&'static str, TableCell)> {
    facts.extend([
        ("time zone", TableCell::text(context.config.timezone.name())),
        ("ledger", TableCell::text(context.ledger.name())),
        ("made", TableCell::Instant(context.now)),
        ("payrun", TableCell::text(env!("CARGO_PKG_VERSION"))),
    ]);
    facts
}

fn run_row(run: &RunRow, zone: Tz) -> Vec<TableCell> {
    let state = if run.finished_at.is_some() {
        "finished"
    } else {
        "open"
    };
    vec![
        TableCell::Count(run.id),
        TableCell::text(run.workflow.as_str()),
        TableCell::text(name_on_clock(&run.occurrence, zone)),
        TableCell::Instant(run.started_at),
        TableCell::instant(run.finished_at),
        TableCell::text(state),
    ]
}

/// The runs of a month, of very many the first.
fn listed(rows: Vec<Vec<TableCell>>, all: u64) -> ReportSection {
    let left_out = all.saturating_sub(rows.len() as u64);
    let notes = match left_out {
        0 => Vec::new(),
        more => vec![format!(
            "{more} more runs are counted above and not listed here; `payrun runs` lists all."
        )],
    };
    let columns = [
        ("run", TableColumnKind::Count),
        ("workflow", TableColumnKind::Text),
        ("for", TableColumnKind::Text),
        ("planned", TableColumnKind::Instant),
        ("ended", TableColumnKind::Instant),
        ("state", TableColumnKind::Text),
    ];
    ReportSection {
        name: "runs",
        heading: "Runs",
        notes,
        columns: columns
            .map(|(name, kind)| TableColumn::new(name, kind))
            .into(),
        rows,
        empty: "No run was planned in this month.",
    }
}

/// The day of an instant on the clock of a time zone.
fn day_of(at: Timestamp, zone: Tz) -> Option<NaiveDate> {
    DateTime::from_timestamp_millis(at.millis()).map(|at| at.with_timezone(&zone).date_naive())
}
