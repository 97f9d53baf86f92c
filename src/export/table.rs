//! A table that is written row by row: its columns, its cells, and the four formats.

use std::io::Write;
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat};
use chrono_tz::Tz;

use super::ExportError;
use super::csv_table::CsvTable;
use super::json_table::{JsonLayout, JsonTable};
use super::xlsx_table::XlsxTable;
use crate::domain::money::{Amount, Currency, decimal_text};
use crate::domain::occurrence::name_on_clock;
use crate::domain::time::Timestamp;

/// What kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// An Excel workbook.
    Xlsx,
    /// CSV for spreadsheets.
    Csv,
    /// One JSON array.
    Json,
    /// A JSON object a line.
    Ndjson,
}

impl TableFormat {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Xlsx, Self::Csv, Self::Json, Self::Ndjson];

    /// Its word, which is how a file's name ends.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Xlsx => "xlsx",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
        }
    }

    /// The format of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|format| format.as_str() == word.to_ascii_lowercase())
    }

    /// The format that the end of a file's name says.
    pub fn of_file(path: &Path) -> Option<Self> {
        Self::parse(path.extension()?.to_str()?)
    }

    /// What HTTP calls it.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
        }
    }
}

/// How a table is written.
#[derive(Debug, Clone)]
pub struct TableOptions {
    /// The format.
    pub format: TableFormat,
    /// Whether a CSV begins with a byte order mark.
    pub bom: bool,
    /// Where the rows of a workbook wait until all of them are there: a file without a name. None:
    /// the machine's folder for such files.
    pub temporary: Option<PathBuf>,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableEnd {
    /// How many rows, the headings not counted.
    pub rows: u64,
    /// Over how many sheets; one where the format has none.
    pub sheets: u32,
}

/// What the cells of a column hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TableColumnKind {
    /// Words.
    Text,
    /// Sentences: as many lines as they need.
    Prose,
    /// A number that nobody calculates with, or a name: text, whatever it looks like.
    Id,
    /// A count.
    Count,
    /// An amount in its currency's main unit.
    Money,
    /// A day.
    Date,
    /// An instant, on the clock of the table's time zone.
    Instant,
    /// A time on a clock that nobody names: the gateway's.
    Clock,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableColumn {
    /// For programs: the name in JSON.
    pub name: String,
    /// For people: the heading, without the time zone.
    pub heading: String,
    /// What is in it.
    pub kind: TableColumnKind,
}

impl TableColumn {
    /// A column whose heading is its name with blanks.
    pub fn new(name: impl Into<String>, kind: TableColumnKind) -> Self {
        let name = name.into();
        Self {
            heading: name.replace('_', " "),
            name,
            kind,
        }
    }
}

/// What stands above the rows.
#[derive(Debug, Clone)]
pub(crate) struct TableHead {
    /// What the rows are: `items`.
    pub title: &'static str,
    pub columns: Vec<TableColumn>,
    /// On whose clock instants are shown.
    pub zone: Tz,
}

impl TableHead {
    /// The headings, those of instants with the time zone.
    pub fn headings(&self) -> impl Iterator<Item = String> {
        self.columns.iter().map(|column| match column.kind {
            TableColumnKind::Instant => format!("{} ({})", column.heading, self.zone.name()),
            TableColumnKind::Text
            | TableColumnKind::Prose
            | TableColumnKind::Id
            | TableColumnKind::Count
            | TableColumnKind::Money
            | TableColumnKind::Date
            | TableColumnKind::Clock => column.heading.clone(),
        })
    }
}

/// What is in a cell. A text may stand in every column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TableCell {
    Empty,
    Text(String),
    Count(i64),
    /// Minor units of a currency.
    Money(i128, Currency),
    Date(NaiveDate),
    Instant(Timestamp),
    /// On a clock that nobody names.
    Clock(NaiveDateTime),
    /// A name that may have an instant in it, and the same for people, with that on a wall clock.
    Name(String, String),
}

impl TableCell {
    /// The name of an occurrence, for people on the clock of its run.
    pub fn occurrence(name: &str, zone: Tz) -> Self {
        Self::Name(name.to_owned(), name_on_clock(name, zone))
    }

    /// A text; an empty one is an empty cell.
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.is_empty() {
            Self::Empty
        } else {
            Self::Text(text)
        }
    }

    /// An amount.
    pub fn amount(amount: Option<Amount>) -> Self {
        amount.map_or(Self::Empty, |amount| {
            Self::Money(i128::from(amount.minor()), amount.currency())
        })
    }

    /// A count.
    pub fn count(count: u64) -> Self {
        i64::try_from(count).map_or(Self::Empty, Self::Count)
    }

    /// A day.
    pub fn date(day: Option<NaiveDate>) -> Self {
        day.map_or(Self::Empty, Self::Date)
    }

    /// An instant.
    pub fn instant(at: Option<Timestamp>) -> Self {
        at.map_or(Self::Empty, Self::Instant)
    }

    /// Whether it says more than that there is nothing.
    pub const fn is_something(&self) -> bool {
        match self {
            Self::Empty | Self::Count(0) | Self::Money(0, _) => false,
            Self::Text(_)
            | Self::Count(_)
            | Self::Money(..)
            | Self::Date(_)
            | Self::Instant(_)
            | Self::Clock(_)
            | Self::Name(..) => true,
        }
    }

    /// What a person reads in the cell of a text file.
    pub fn plain(&self, zone: Tz) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) | Self::Name(_, text) => text.clone(),
            Self::Count(count) => count.to_string(),
            Self::Money(minor, currency) => decimal_text(*minor, *currency),
            Self::Date(day) => day.to_string(),
            Self::Clock(on) => on.format("%F %T").to_string(),
            Self::Instant(at) => on_clock(*at, zone)
                .map_or_else(|| at.to_string(), |on| on.format("%F %T").to_string()),
        }
    }

    /// What a program reads: an instant has its distance from UTC.
    pub fn json(&self, zone: Tz) -> serde_json::Value {
        match self {
            Self::Empty => serde_json::Value::Null,
            Self::Name(name, _) if name.is_empty() => serde_json::Value::Null,
            Self::Name(name, _) => name.as_str().into(),
            Self::Count(count) => (*count).into(),
            Self::Instant(at) => DateTime::from_timestamp_millis(at.millis())
                .map_or_else(
                    || at.to_string(),
                    |on| {
                        on.with_timezone(&zone)
                            .to_rfc3339_opts(SecondsFormat::Secs, true)
                    },
                )
                .into(),
            Self::Text(_) | Self::Money(..) | Self::Date(_) | Self::Clock(_) => {
                self.plain(zone).into()
            }
        }
    }
}

/// An instant on the clock of a time zone, to the second; none beyond what a calendar has.
pub(super) fn on_clock(at: Timestamp, zone: Tz) -> Option<NaiveDateTime> {
    Some(
        DateTime::from_timestamp(at.seconds(), 0)?
            .with_timezone(&zone)
            .naive_local(),
    )
}

/// A table that is being written.
pub(crate) enum TableWriter<W: Write + Send> {
    Xlsx(Box<XlsxTable<W>>),
    Csv(Box<CsvTable<W>>),
    Json(Box<JsonTable<W>>),
}

impl<W: Write + Send> TableWriter<W> {
    /// Begins with the headings.
    pub fn begin(out: W, head: TableHead, options: &TableOptions) -> Result<Self, ExportError> {
        let json = |layout, head, out| JsonTable::begin(out, head, layout);
        Ok(match options.format {
            TableFormat::Xlsx => Self::Xlsx(Box::new(XlsxTable::begin(
                out,
                head,
                options.temporary.as_deref(),
            )?)),
            TableFormat::Csv => Self::Csv(Box::new(CsvTable::begin(out, head, options.bom)?)),
            TableFormat::Json => Self::Json(Box::new(json(JsonLayout::Array, head, out))),
            TableFormat::Ndjson => Self::Json(Box::new(json(JsonLayout::Lines, head, out))),
        })
    }

    /// Writes a row, a cell for each column.
    pub fn row(&mut self, cells: &[TableCell]) -> Result<(), ExportError> {
        match self {
            Self::Xlsx(table) => table.row(cells),
            Self::Csv(table) => table.row(cells),
            Self::Json(table) => table.row(cells),
        }
    }

    /// Writes what is left, and gives back what was written to.
    pub fn finish(self) -> Result<(W, TableEnd), ExportError> {
        match self {
            Self::Xlsx(table) => table.finish(),
            Self::Csv(table) => table.finish(),
            Self::Json(table) => table.finish(),
        }
    }
}
