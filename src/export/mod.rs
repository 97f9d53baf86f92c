//! Lists as files, for people who work in a spreadsheet and for programs: items, runs, contracts,
//! differences, totals and the audit log, each as Excel, CSV, JSON or a JSON object a line.
//!
//! A list is read from the ledger page by page and written row by row, so the memory does not grow
//! with it. What is personal is in no file. Nothing here knows where a file goes: a command, or the
//! API, gives what is written to.

mod audit;
mod chinese_reason;
pub(crate) mod code_meanings;
mod contracts;
mod csv_table;
mod differences;
mod item_columns;
pub mod item_fields;
mod items;
mod json_table;
mod own_headings;
pub mod planned_days;
pub mod rows_to_mend;
mod runs;
mod state_groups;
mod table;
pub mod totals;
mod xlsx_table;

use std::io::{self, Write};
use std::sync::Arc;

use chrono_tz::Tz;
use thiserror::Error;

use crate::config::Config;
use crate::domain::time::Timestamp;
use crate::job_kinds::JobKinds;
use crate::ledger::{ContractFilter, DifferenceFilter, ItemFilter, Ledger, LedgerError};
use crate::workflow::blank_file::Language;
use crate::workflow::source::SourceError;
use rows_to_mend::RowsToMend;
pub(crate) use table::{TableCell, TableColumn, TableColumnKind, TableHead, TableWriter};
pub use table::{TableEnd, TableFormat, TableOptions};
use totals::TotalsQuery;
pub(crate) use totals::instants_of;
pub(crate) use xlsx_table::{TableLayout, XlsxTable, page_width, shown_length};

/// How many rows are read at a time.
const PAGE: u32 = 500;

/// What a list is made of.
#[derive(Debug, Clone)]
pub struct ExportContext {
    /// Where it is read.
    pub ledger: Ledger,
    /// Names of gateways, and the time zone where a list has no other.
    pub config: Arc<Config>,
    /// Which fields there are, and which are personal.
    pub job_kinds: Arc<JobKinds>,
    /// Now.
    pub now: Timestamp,
}

/// Which columns a list of items has, and how payrun calls its own.
#[derive(Debug, Clone, Copy)]
pub struct ColumnsWanted {
    /// Everything there is; else what a person asks about first.
    pub all: bool,
    /// In which language.
    pub language: Language,
}

/// Which list is meant.
#[derive(Debug)]
pub enum ExportQuery {
    /// Items behind an id, so many at most.
    Items {
        /// Which items.
        filter: ItemFilter,
        /// Behind which id.
        after: i64,
        /// How many at most.
        limit: u64,
        /// Which columns, and how they are called.
        columns: ColumnsWanted,
    },
    /// Runs, newest first.
    Runs {
        /// Before which run.
        before: Option<i64>,
        /// How many at most.
        limit: u64,
    },
    /// Contracts behind a number, so many at most.
    Contracts {
        /// Which contracts.
        filter: ContractFilter,
        /// Behind which number.
        after: i64,
        /// How many at most.
        limit: u64,
    },
    /// Differences behind a number, so many at most.
    Differences {
        /// Which differences.
        filter: DifferenceFilter,
        /// Behind which number.
        after: i64,
        /// How many at most.
        limit: u64,
    },
    /// Entries of the audit log behind a number, oldest first.
    Audit {
        /// Behind which entry.
        after: i64,
    },
    /// The rejected or failed rows of a run, as in the file that they came from.
    RowsToMend(Box<RowsToMend>),
    /// Sums over runs.
    Totals(TotalsQuery),
}

impl ExportQuery {
    /// What a program reads has every column: only people have too many of them.
    fn of_format(self, format: TableFormat) -> Self {
        match self {
            Self::Items {
                filter,
                after,
                limit,
                columns,
            } => Self::Items {
                filter,
                after,
                limit,
                columns: ColumnsWanted {
                    all: columns.all || matches!(format, TableFormat::Json | TableFormat::Ndjson),
                    ..columns
                },
            },
            other @ (Self::Runs { .. }
            | Self::Contracts { .. }
            | Self::Differences { .. }
            | Self::Audit { .. }
            | Self::RowsToMend(_)
            | Self::Totals(_)) => other,
        }
    }
}

/// Why a list was not written.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The file that a list is made of.
    #[error("the file cannot be read")]
    Source(#[from] SourceError),
    /// What is written to takes no more.
    #[error("the list cannot be written")]
    Write(#[from] io::Error),
    /// The workbook.
    #[error("the workbook cannot be written")]
    Workbook(#[from] rust_xlsxwriter::XlsxError),
}

/// Writes a list. `written` hears how many rows there are so far.
///
/// # Errors
/// [`ExportError`].
pub async fn write<W: Write + Send>(
    context: &ExportContext,
    query: ExportQuery,
    options: &TableOptions,
    out: W,
    mut written: impl FnMut(u64),
) -> Result<(W, TableEnd), ExportError> {
    let query = query.of_format(options.format);
    let mut pages = Pages::begin(context, query).await?;
    let mut table = TableWriter::begin(out, pages.head(), options)?;
    let mut rows = 0;
    while let Some(page) = pages.next(context).await? {
        for row in &page {
            table.row(row)?;
        }
        rows += page.len() as u64;
        written(rows);
    }
    table.finish()
}

/// Sums for the screen: their headings, those of numbers with a `>` before them, and their rows.
/// Columns in which nothing is counted are left out.
///
/// # Errors
/// Whatever the ledger says.
pub async fn summary(
    context: &ExportContext,
    query: &TotalsQuery,
) -> Result<(Vec<String>, Vec<Vec<String>>), LedgerError> {
    let mut pages = totals::TotalsPages::begin(context, query).await?;
    let (head, rows) = (pages.head(), pages.next().unwrap_or_default());
    Ok(shown_on_screen(&head, &rows))
}

/// A table for the screen, as [`summary`] gives it.
pub(crate) fn shown_on_screen(
    head: &TableHead,
    rows: &[Vec<TableCell>],
) -> (Vec<String>, Vec<Vec<String>>) {
    let is_shown = |place: usize| rows.iter().any(|row| row[place].is_something());
    let shown: Vec<usize> = (0..head.columns.len())
        .filter(|place| is_shown(*place))
        .collect();
    let names: Vec<String> = head.headings().collect();
    let heading = |place: &usize| match head.columns[*place].kind {
        TableColumnKind::Count | TableColumnKind::Money => format!(">{}", names[*place]),
        TableColumnKind::Text
        | TableColumnKind::Prose
        | TableColumnKind::Id
        | TableColumnKind::Date
        | TableColumnKind::Instant
        | TableColumnKind::Clock => names[*place].clone(),
    };
    let plain = |row: &Vec<TableCell>| {
        let cells = shown.iter().map(|place| row[*place].plain(head.zone));
        cells.collect()
    };
    (
        shown.iter().map(heading).collect(),
        rows.iter().map(plain).collect(),
    )
}

/// A list that is being read.
enum Pages {
    Items(items::ItemPages),
    Runs(runs::RunPages),
    Contracts(contracts::ContractPages),
    Differences(differences::DifferencePages),
    Audit(audit::AuditPages),
    RowsToMend(Box<rows_to_mend::PagesToMend>),
    Totals(totals::TotalsPages),
}

impl Pages {
    async fn begin(context: &ExportContext, query: ExportQuery) -> Result<Self, ExportError> {
        Ok(match query {
            ExportQuery::Items {
                filter,
                after,
                limit,
                columns,
            } => {
                let span = (after, limit);
                Self::Items(items::ItemPages::begin(context, filter, span, columns).await?)
            }
            ExportQuery::Runs { before, limit } => {
                Self::Runs(runs::RunPages::begin(context, before, limit))
            }
            ExportQuery::Contracts {
                filter,
                after,
                limit,
            } => Self::Contracts(contracts::ContractPages::begin(
                context, filter, after, limit,
            )),
            ExportQuery::Differences {
                filter,
                after,
                limit,
            } => Self::Differences(differences::DifferencePages::begin(
                context, filter, after, limit,
            )),
            ExportQuery::Audit { after } => Self::Audit(audit::AuditPages::begin(context, after)),
            ExportQuery::RowsToMend(rows) => {
                Self::RowsToMend(Box::new(rows_to_mend::PagesToMend::begin(&rows)?))
            }
            ExportQuery::Totals(query) => {
                Self::Totals(totals::TotalsPages::begin(context, &query).await?)
            }
        })
    }

    fn head(&self) -> TableHead {
        match self {
            Self::Items(pages) => pages.head(),
            Self::Runs(pages) => pages.head(),
            Self::Contracts(pages) => pages.head(),
            Self::Differences(pages) => pages.head(),
            Self::Audit(pages) => pages.head(),
            Self::RowsToMend(pages) => pages.head(),
            Self::Totals(pages) => pages.head(),
        }
    }

    /// The next rows; none at the end.
    async fn next(
        &mut self,
        context: &ExportContext,
    ) -> Result<Option<Vec<Vec<TableCell>>>, LedgerError> {
        match self {
            Self::Items(pages) => pages.next(context).await,
            Self::Runs(pages) => pages.next(context).await,
            Self::Contracts(pages) => pages.next(context).await,
            Self::Differences(pages) => pages.next(context).await,
            Self::Audit(pages) => pages.next(context).await,
            Self::RowsToMend(pages) => pages.next(context).await,
            Self::Totals(pages) => Ok(pages.next()),
        }
    }
}

/// The project's time zone: that of lists that have no other.
fn zone_of(context: &ExportContext) -> Tz {
    context.config.timezone
}

/// How many rows the next page may have, of so many that are left.
fn page_of(left: u64) -> u32 {
    u32::try_from(left.min(u64::from(PAGE))).unwrap_or(PAGE)
}
