//! Rows of item files: CSV, JSON Lines and Excel workbooks, streamed with flat memory.
//!
//! How a file is to be read is said in [`FileOptions`]; what is not said is found out, and a file of
//! which it cannot be found out without a guess is refused whole.
//!
//! A row that cannot be read is an error of its own with its line, and never stops the others; only
//! a file that cannot be read any further does.

use std::fs::File;
use std::io::{self, Read as _, Seek};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::ItemFileFormat;
use payrun_domain::message::{Message, MessageArgument};
use payrun_domain::text::{inert, shown};
use payrun_system::regular_file;
use payrun_yaml::diagnostics::nearest_name;

mod cell_forms;
mod csv_rows;
mod encoding;
mod file_options;
mod header;
mod json_lines;
mod nul_check;
mod read_cancellation;
mod sample;
mod staged_file;
mod xlsx;

use csv_rows::CsvRows;
use encoding::Undecodable;
use header::Header;
use json_lines::JsonLines;
use xlsx::Xlsx;

pub use file_options::{
    ColumnAliases, FileKind, FileOptions, FileReading, Separator, TextEncoding,
};
pub use read_cancellation::{ReadCancellation, ReadCancellationGuard};
pub use staged_file::{FileReach, StagedFile};
pub use xlsx::child_process::work_if_asked as read_workbook_if_asked;

/// The longest row, in bytes. A CSV row that is longer has a quote that was never closed.
const ROW_MAX: usize = 1024 * 1024;

/// The most columns.
const COLUMNS_MAX: usize = 1_000;

/// One row: a text for each column.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct FileRow {
    /// The line it begins on, or its row in the sheet, from 1.
    pub line: u64,
    text: String,
    ends: Vec<usize>,
    /// The columns whose cells of a sheet are dates, and those whose cells are numbers.
    dates: Vec<usize>,
    numbers: Vec<usize>,
}

/// What stands before a cell that payrun gives back to be mended, where what stands there could be
/// taken for what was typed. No id, amount or date is taken that has it.
pub const TO_MEND: &str = "?? ";

impl FileRow {
    /// Of texts, for callers that have rows of their own.
    pub fn of(line: u64, cells: &[&str]) -> Self {
        let mut row = Self {
            line,
            ..Self::default()
        };
        cells.iter().for_each(|cell| row.push(cell));
        row
    }

    /// The text of the column at this place.
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        self.text.get(start..end)
    }

    /// Whether the cell of a sheet is a date, whatever was typed there.
    pub fn is_date(&self, index: usize) -> bool {
        self.dates.contains(&index)
    }

    /// Whether the cell of a sheet is a number and no text.
    pub fn is_number(&self, index: usize) -> bool {
        self.numbers.contains(&index)
    }

    /// All texts in the order of the columns.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).filter_map(|index| self.get(index))
    }

    /// Each cell as it was before payrun put an apostrophe before it.
    fn take_off_apostrophes(&mut self) {
        let cells: Vec<String> = self
            .iter()
            .map(|cell| match cell.strip_prefix('\'') {
                Some(own) if inert(own) == cell => own.to_owned(),
                Some(_) | None => cell.to_owned(),
            })
            .collect();
        self.clear();
        cells.iter().for_each(|cell| self.push(cell));
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.dates.clear();
        self.numbers.clear();
    }

    fn push(&mut self, cell: &str) {
        self.text.push_str(cell);
        self.ends.push(self.text.len());
    }
}

/// A row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {reason}")]
pub struct RowError {
    /// The line it begins on, from 1.
    pub line: u64,
    /// What is wrong, without the row's values.
    pub reason: Message,
    /// Whether nothing after it can be read: the file as a whole must be refused.
    pub fatal: bool,
}

impl RowError {
    const fn at(line: u64, reason: Message) -> Self {
        Self {
            line,
            reason,
            fatal: false,
        }
    }
}

/// A file that cannot be read at all.
#[derive(Debug, Error)]
pub enum SourceError {
    /// Opening or reading failed.
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It lies where it may not be read from; or, for a caller of the API, it is not there, or no
    /// file.
    Outside {
        /// Which file.
        path: PathBuf,
    },
    /// Neither given nor to be told from the name.
    Format {
        /// Which file.
        path: PathBuf,
    },
    /// The header, or the first line of JSON Lines, does not name the columns.
    Header {
        /// Which file.
        path: PathBuf,
        /// Which line.
        line: u64,
        /// What is wrong.
        reason: Message,
    },
    /// It is text in an encoding that nobody said, or not in the one that was said.
    Encoding {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: Message,
    },
    /// A line of a file that was sent has U+0000.
    Nul {
        /// Which file.
        path: PathBuf,
        /// Which line.
        line: u64,
    },
    /// It is no workbook, has a password or is too large, or the sheet is not there.
    Workbook {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: Message,
    },
}

impl SourceError {
    /// What is wrong, and what to do; without the cause of what could not be read.
    pub fn message(&self) -> Message {
        let in_file =
            |path: &Path, message: Message| message.with("file", path.display().to_string());
        match self {
            Self::Read { path, source: _ } => in_file(
                path,
                Message::new("file-unreadable", "the item file {file} cannot be read"),
            ),
            Self::Outside { path } => in_file(
                path,
                Message::new(
                    "file-outside",
                    "there is no item file {file} in the project, or in a folder that inputs: of payrun.yaml names; add its folder \
                     there, or send the file (over the API: POST /api/v1/files, and its name under inputs)",
                ),
            ),
            Self::Format { path } => in_file(
                path,
                Message::new(
                    "file-format",
                    "the format of {file} is not known; say format: csv, jsonl or xlsx",
                ),
            ),
            Self::Header { path, line, reason } => {
                let wrong = Message::new("file-header", "{file}:{line}: {reason}");
                in_file(
                    path,
                    wrong.with("line", *line).with("reason", reason.clone()),
                )
            }
            Self::Encoding { path, reason } | Self::Workbook { path, reason } => {
                let wrong = Message::new("file-wrong", "{file}: {reason}");
                in_file(path, wrong.with("reason", reason.clone()))
            }
            Self::Nul { path, line } => {
                let nul = Message::new(
                    "file-nul",
                    "{file}:{line}: the line has the character U+0000; take it out",
                );
                in_file(path, nul.with("line", *line))
            }
        }
    }
}

impl std::fmt::Display for SourceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.message().fmt(f)
    }
}

/// The column of the reasons in a file of rejected rows that payrun gave out.
pub const REASON: &str = "payrun_reason";

/// The column of the lines in the first file there.
pub const LINE: &str = "payrun_line";

/// The rows of a file.
pub struct FileRows {
    columns: Vec<String>,
    reading: FileReading,
    rows: FormatRows,
    ended: bool,
    /// Whether payrun gave the file out, and put an apostrophe before what is no formula.
    has_apostrophes: bool,
}

enum FormatRows {
    Csv(Box<CsvRows>),
    JsonLines(Box<JsonLines<File>>),
    Xlsx(Box<Xlsx>),
}

/// Opens a file of items that a person names, and finds its columns.
///
/// # Errors
/// If it cannot be read, its format or its encoding is not known, or its header has empty, repeated
/// or ambiguous names.
pub fn open(path: &Path, options: &FileOptions) -> Result<FileRows, SourceError> {
    let unreadable = |source| SourceError::Read {
        path: path.to_owned(),
        source,
    };
    rows_of(
        regular_file::open(path).map_err(unreadable)?,
        path,
        options,
        &ReadCancellation::default(),
    )
}

/// The rows of an open file, from its beginning.
fn rows_of(
    mut file: File,
    path: &Path,
    options: &FileOptions,
    cancellation: &ReadCancellation,
) -> Result<FileRows, SourceError> {
    let format = options.format.clone().or_else(|| format_of(path));
    let format = format.ok_or_else(|| SourceError::Format {
        path: path.to_owned(),
    })?;
    file.rewind().map_err(|source| SourceError::Read {
        path: path.to_owned(),
        source,
    })?;
    match format {
        ItemFileFormat::Csv => csv_rows_of(file, path, options),
        ItemFileFormat::JsonLines => json_rows_of(file, path, options),
        ItemFileFormat::Xlsx { sheet } => {
            let mut rows = Xlsx::open(file, path, sheet.as_deref(), cancellation)?;
            let found = header::find(
                || rows.header(),
                options,
                Message::new(
                    "sheet-empty",
                    "the sheet is empty; one of its first rows must name the columns",
                ),
            );
            let header = checked(found, path)?;
            rows.check_layout(&header, options)
                .map_err(|reason| SourceError::Workbook {
                    path: path.to_owned(),
                    reason,
                })?;
            let kind = FileKind::Xlsx(rows.sheet().to_owned());
            let other_sheets = rows.other_sheets().to_vec();
            let hidden_sheets = rows.hidden_sheets().to_vec();
            let forms = rows.forms();
            let mut rows = FileRows::of(header, kind, FormatRows::Xlsx(Box::new(rows)));
            rows.reading.other_sheets = other_sheets;
            rows.reading.hidden_sheets = hidden_sheets;
            rows.reading.forms = forms;
            Ok(rows)
        }
    }
}

fn csv_rows_of(file: File, path: &Path, options: &FileOptions) -> Result<FileRows, SourceError> {
    let unreadable = |source| SourceError::Read {
        path: path.to_owned(),
        source,
    };
    let own = file.try_clone().map_err(unreadable)?;
    let (mut file, encoding) = decoded(file, path, options)?;
    let (separator, says_so) = csv_rows::separator(&mut file, options).map_err(unreadable)?;
    let mut rows = CsvRows::new(file, separator).map_err(unreadable)?;
    if says_so {
        rows.header();
    }
    let found = header::find(
        || rows.header(),
        options,
        Message::new(
            "file-empty-header",
            "the file is empty; one of its first lines must name the columns",
        ),
    );
    let has_all = |found: &Header| header::has_all(&found.as_written, options);
    let is_other = encoding != TextEncoding::Utf8;
    if is_other && !options.used.is_empty() && !found.as_ref().is_ok_and(has_all) {
        let other = other_with_columns(&own, encoding, options).map_err(unreadable)?;
        if let Some(reason) = other {
            return Err(SourceError::Encoding {
                path: path.to_owned(),
                reason,
            });
        }
    }
    let header = checked(found, path)?;
    let kind = FileKind::Csv(encoding, separator);
    let mut rows = FileRows::of(header, kind, FormatRows::Csv(Box::new(rows)));
    rows.reading.whole_numbers =
        sample::columns_of_whole_numbers(&own, encoding, separator).map_err(unreadable)?;
    if is_other {
        let told = doubt(&own, encoding, options).map_err(unreadable)?;
        (rows.reading.sample, rows.reading.doubt) = told;
    }
    Ok(rows)
}

/// Why a file is refused whose columns are there in another encoding than the one that was said.
fn other_with_columns(
    file: &File,
    said: TextEncoding,
    options: &FileOptions,
) -> io::Result<Option<Message>> {
    for other in encoding::others(file, said)? {
        if sample::names_columns(file, other, options)? {
            let refused = Message::new(
                "encoding-other-has-columns",
                "in {said} the file has not all of the columns, and in {other} it has: there it reads {lines}. Say encoding: {word} {beside}",
            );
            let refused = refused
                .with("said", said.name())
                .with("other", other.name())
                .with("lines", sample::lines(file, other, options)?)
                .with("word", other.as_str())
                .with("beside", BESIDE);
            return Ok(Some(refused));
        }
    }
    Ok(None)
}

/// What a text reads in the encoding that was taken, and why it is plainly in another one.
fn doubt(
    file: &File,
    taken: TextEncoding,
    options: &FileOptions,
) -> io::Result<(Option<String>, Option<Message>)> {
    let reads = sample::lines(file, taken, options)?;
    let doubt = match encoding::likelier(file, taken)? {
        None => None,
        Some(other) => Some(
            Message::new(
                "encoding-doubt",
                "many of its characters are unusual in {taken}, and in {other} they are common: there it reads {lines}. If that is \
                 right, say encoding: {word} {beside}",
            )
            .with("taken", taken.name())
            .with("other", other.name())
            .with("lines", sample::lines(file, other, options)?)
            .with("word", other.as_str())
            .with("beside", BESIDE),
        ),
    };
    Ok((Some(reads), doubt))
}

/// Where the encoding is said.
const BESIDE: Message = Message::new(
    "encoding-beside",
    "beside file: (--input and contracts import: --encoding; POST /api/v1/files: &encoding=)",
);

/// What is said of a file of JSON Lines without a line.
const FILE_EMPTY: Message = Message::new("file-empty", "the file is empty");

fn json_rows_of(file: File, path: &Path, options: &FileOptions) -> Result<FileRows, SourceError> {
    let (file, encoding) = decoded(file, path, options)?;
    let mut rows = JsonLines::new(file);
    let mut first = Some(rows.header());
    let header = checked(header::find(|| first.take(), options, FILE_EMPTY), path)?;
    let kind = FileKind::JsonLines(encoding);
    Ok(FileRows::of(
        header,
        kind,
        FormatRows::JsonLines(Box::new(rows)),
    ))
}

/// A whole text that is not UTF-8, in the encoding that is said or that its byte order mark says;
/// otherwise what it may be in.
pub(crate) fn text_in(
    path: &Path,
    said: Option<TextEncoding>,
) -> io::Result<Result<String, Vec<TextEncoding>>> {
    let decoded = encoding::decode(regular_file::open(path)?, said)?;
    match decoded {
        Ok((mut file, _)) => {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            Ok(Ok(text))
        }
        Err(Undecodable::Unsaid { likely, .. }) => Ok(Err(likely)),
        Err(Undecodable::Malformed { .. }) => Ok(Err(Vec::new())),
    }
}

/// A text file in UTF-8, and in which encoding it was.
fn decoded(
    file: File,
    path: &Path,
    options: &FileOptions,
) -> Result<(File, TextEncoding), SourceError> {
    let unreadable = |source| SourceError::Read {
        path: path.to_owned(),
        source,
    };
    let again = file.try_clone().map_err(unreadable)?;
    let reason = match encoding::decode(file, options.encoding).map_err(unreadable)? {
        Ok(decoded) => return Ok(decoded),
        Err(Undecodable::Malformed { encoding, line }) => Message::new(
            "encoding-malformed",
            "line {line} is not text in {encoding}; save the file as CSV UTF-8 or as .xlsx",
        )
        .with("line", line)
        .with("encoding", encoding.name()),
        Err(Undecodable::Unsaid { line, likely }) if likely.is_empty() => Message::new(
            "encoding-not-utf8",
            "the file is not UTF-8 (line {line}); save it as CSV UTF-8 or as .xlsx",
        )
        .with("line", line),
        Err(Undecodable::Unsaid { line, likely }) => {
            let mut reads = Vec::with_capacity(likely.len());
            for encoding in &likely {
                let lines = sample::lines(&again, *encoding, options).map_err(unreadable)?;
                let reading = if reads.is_empty() {
                    Message::new("encoding-reads-first", "In {encoding} it reads {lines}")
                } else {
                    Message::new("encoding-reads", "in {encoding} it reads {lines}")
                };
                reads.push(
                    reading
                        .with("encoding", encoding.name())
                        .with("lines", lines),
                );
            }
            let words = likely.iter().map(|encoding| encoding.as_str());
            Message::new(
                "encoding-likely",
                "the file is not UTF-8 (line {line}). {reads}. If that is right, say encoding: {words} {beside}; or save it as CSV \
                 UTF-8 or as .xlsx",
            )
            .with("line", line)
            .with("reads", reads)
            .with("words", MessageArgument::either(words))
            .with("beside", BESIDE)
        }
    };
    Err(SourceError::Encoding {
        path: path.to_owned(),
        reason,
    })
}

/// The header, if its names can be told apart.
fn checked(found: Result<Header, RowError>, path: &Path) -> Result<Header, SourceError> {
    let headless = |error: RowError| SourceError::Header {
        path: path.to_owned(),
        line: error.line,
        reason: error.reason,
    };
    let header = found.map_err(headless)?;
    check_columns(&header.columns, header.line).map_err(headless)?;
    Ok(header)
}

impl FileRows {
    fn of(header: Header, kind: FileKind, rows: FormatRows) -> Self {
        let is_csv = matches!(rows, FormatRows::Csv(_));
        Self {
            has_apostrophes: is_csv && header.as_written.iter().any(|name| name == REASON),
            columns: header.columns,
            reading: FileReading {
                name: String::new(),
                called: None,
                sha256: None,
                kind,
                header_line: header.line,
                header: header.as_written,
                other_sheets: Vec::new(),
                hidden_sheets: Vec::new(),
                unused: Vec::new(),
                ids: Vec::new(),
                key_parts: Vec::new(),
                whole_numbers: Vec::new(),
                forms: Vec::new(),
                sample: None,
                doubt: None,
            },
            rows,
            ended: false,
        }
    }

    /// How the file was understood.
    pub fn reading(&self) -> &FileReading {
        &self.reading
    }

    /// Says which columns whoever reads the file makes nothing of.
    pub fn tell_unused(&mut self, unused: Vec<String>) {
        self.reading.unused = unused;
    }

    /// The names of the columns, as the workflow has them.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Reads the next row into `row`, so that nothing is allocated; none at the end. Of one that cannot
    /// be read, `row` has those cells that can.
    pub fn read(&mut self, row: &mut FileRow) -> Option<Result<(), RowError>> {
        if self.ended {
            return None;
        }
        row.clear();
        let read = match &mut self.rows {
            FormatRows::Csv(rows) => rows.read(row, &self.reading.header),
            FormatRows::JsonLines(rows) => rows.read(row, &self.reading.header),
            FormatRows::Xlsx(rows) => rows.read(row, &self.reading.header),
        };
        let mut read = read;
        if let Err(wrong) = without_nul(row, &self.reading.header) {
            row.clear();
            read = read.map(|read| read.and(Err(wrong)));
        }
        if self.has_apostrophes && matches!(read, Some(Ok(()))) && row.text.contains('\'') {
            row.take_off_apostrophes();
        }
        self.ended = match &read {
            None => true,
            Some(Err(error)) => error.fatal,
            Some(Ok(())) => false,
        };
        read
    }
}

impl Iterator for FileRows {
    type Item = Result<FileRow, RowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut row = FileRow::default();
        self.read(&mut row).map(|read| read.map(|()| row))
    }
}

/// Refuses a row that no database keeps.
fn without_nul(row: &FileRow, columns: &[String]) -> Result<(), RowError> {
    if !row.text.contains('\0') {
        return Ok(());
    }
    let wrong = columns
        .iter()
        .zip(row.iter())
        .find(|(_, cell)| cell.contains('\0'));
    match wrong {
        None => Ok(()),
        Some((column, _)) => {
            let reason = Message::new(
                "row-nul",
                "the value of column \"{column}\" has the character U+0000; take it out",
            );
            Err(RowError::at(row.line, reason.with("column", shown(column))))
        }
    }
}

fn format_of(path: &Path) -> Option<ItemFileFormat> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "csv" => Some(ItemFileFormat::Csv),
        "jsonl" | "ndjson" => Some(ItemFileFormat::JsonLines),
        "xlsx" => Some(ItemFileFormat::Xlsx { sheet: None }),
        _ => None,
    }
}

fn check_columns(columns: &[String], line: u64) -> Result<(), RowError> {
    if columns.len() > COLUMNS_MAX {
        return Err(RowError::at(
            line,
            Message::new("header-columns", "the header has more than {most} columns")
                .with("most", COLUMNS_MAX),
        ));
    }
    for (index, column) in columns.iter().enumerate() {
        if column.is_empty() {
            return Err(RowError::at(
                line,
                Message::new("header-no-name", "column {number} has no name")
                    .with("number", index + 1),
            ));
        }
        if column.chars().any(char::is_control) {
            return Err(RowError::at(
                line,
                Message::new(
                    "header-control",
                    "the name of column {number} has a control character",
                )
                .with("number", index + 1),
            ));
        }
        if columns[..index].contains(column) {
            return Err(RowError::at(
                line,
                Message::new("header-twice", "two columns are called \"{column}\"")
                    .with("column", shown(column)),
            ));
        }
    }
    Ok(())
}

/// A sentence about a column that is not there.
pub(super) fn no_column(column: &str, columns: &[String]) -> Message {
    let near = nearest_name(column, columns.iter().map(String::as_str));
    Message::new("no-column", "there is no column \"{column}\"{near}")
        .with("column", shown(column))
        .with("near", near.map(nearest))
}

/// What may be meant.
pub(super) fn nearest(name: &str) -> Message {
    Message::new("nearest-name", "; did you mean \"{name}\"?").with("name", shown(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn rows(name: &str, bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        File::create(&path).unwrap().write_all(bytes).unwrap();
        let rows = open(&path, &FileOptions::default()).map_err(|error| {
            error
                .to_string()
                .replace(&folder.path().display().to_string(), "")
        })?;
        let columns = rows.columns().to_vec();
        let read = rows.map(|row| match row {
            Ok(row) => format!("{}: {}", row.line, row.iter().collect::<Vec<_>>().join("|")),
            Err(error) => format!("{}: ! {}", error.line, error.reason),
        });
        Ok((columns, read.collect()))
    }

    #[test]
    fn a_csv_with_bom_crlf_quotes_unicode_and_empty_lines_is_fine() {
        let text = "\u{feff}id,name\r\n1,\"a, \"\"b\"\"\"\r\n\r\n2,\"two\r\nlines\"\r\n\r\n3,香港\r\n4,last";
        let (columns, rows) = rows("a.csv", text.as_bytes()).unwrap();
        assert_eq!(columns, ["id", "name"]);
        assert_eq!(
            rows,
            [
                "2: 1|a, \"b\"",
                "4: 2|two\r\nlines",
                "7: 3|香港",
                "8: 4|last"
            ]
        );
    }

    #[test]
    fn an_empty_value_in_quotes_is_a_row_whatever_ends_the_line() {
        for (text, expected) in [
            ("id\r\n\"\"\r\n\r\n2\r\n", ["2: ", "4: 2"]),
            ("id\n\"\"\n\n2\n", ["2: ", "4: 2"]),
            ("\u{feff}\r\n\r\nid\r\n\"\"\r\n2", ["4: ", "5: 2"]),
            ("\u{feff}\n\r\nid\r\n\n\r\n\"\"\r\n2", ["6: ", "7: 2"]),
        ] {
            let (columns, rows) = rows("a.csv", text.as_bytes()).unwrap();
            assert_eq!(
                (columns, rows),
                (vec!["id".to_owned()], expected.map(str::to_owned).to_vec()),
                "{text:?}"
            );
        }
    }

    #[test]
    fn lines_are_right_with_plain_newlines_too() {
        let (_, rows) = rows("a.csv", b"\n\nid,name\n\n1,\"a\nb\"\n2,c\n").unwrap();
        assert_eq!(rows, ["5: 1|a\nb", "7: 2|c"]);
    }

    #[test]
    fn a_wrong_row_is_reported_and_never_stops_the_others() {
        let (_, rows) = rows("a.csv", b"id,name\n1\n2,b,c\n3,\0\n4,d\n").unwrap();
        assert_eq!(rows.len(), 4);
        assert!(
            rows[0].starts_with("2: ! the row has 1 values and the header 2 columns"),
            "{rows:?}"
        );
        assert!(rows[1].starts_with("3: ! the row has 3 values"), "{rows:?}");
        assert_eq!(
            rows[2],
            "4: ! the value of column \"name\" has the character U+0000; take it out"
        );
        assert_eq!(rows[3], "5: 4|d");
    }

    #[test]
    fn a_header_that_is_empty_repeated_or_missing_refuses_the_file() {
        assert_eq!(
            rows("a.csv", b"id,,x\n").unwrap_err(),
            "/a.csv:1: column 2 has no name"
        );
        assert_eq!(
            rows("a.csv", b"id,x,id\n").unwrap_err(),
            "/a.csv:1: two columns are called \"id\""
        );
        assert!(
            rows("a.csv", b"")
                .unwrap_err()
                .contains("the file is empty")
        );
        assert!(rows("a.txt", b"id\n").unwrap_err().contains("is not known"));
    }

    #[test]
    fn a_quote_that_is_never_closed_does_not_eat_the_memory() {
        let mut text = b"id,name\n1,\"open\n".to_vec();
        text.extend(std::iter::repeat_n(b"2,x\n", 1_000_000).flatten());
        let (_, rows) = rows("a.csv", &text).unwrap();
        assert_eq!(rows.len(), 1);
        assert!(
            rows[0].contains(
                "longer than 1 MiB; a quote that is opened on this line may never have been closed"
            ),
            "{}",
            rows[0]
        );
    }

    #[test]
    fn a_quote_that_swallows_lines_is_told_where_it_was_opened_with_every_line() {
        let text = b"id,name,sum\n1,\"open,5\n2,b,6\n3,\"c\",7\n4,d,8\n";
        let (_, stray) = rows("a.csv", text).unwrap();
        assert_eq!(stray.len(), 4, "{stray:?}");
        assert!(
            stray[0].starts_with(
                "2: ! a quote that is opened on this line ends within a value of line 4"
            ),
            "{stray:?}"
        );
        assert!(
            stray[1].starts_with("3: ! ") && stray[2].starts_with("4: ! "),
            "{stray:?}"
        );
        assert!(
            stray[1].ends_with("within the quote that was opened on line 2"),
            "{stray:?}"
        );
        assert_eq!(stray[3], "5: 4|d|8");
        for text in [
            "id,name,sum\n1,a,5\n2,c,\"open\n3,x,7\n",
            "id,name,sum\n1,a,5\n2,c,\"open\n3,x,7",
        ] {
            let (_, open) = rows("a.csv", text.as_bytes()).unwrap();
            assert_eq!(open[0], "2: 1|a|5");
            assert!(
                open[1].starts_with("3: ! a quote that is opened on this line is never closed"),
                "{open:?}"
            );
            assert!(
                open[2].starts_with("4: ! ") && open[1..].iter().all(|row| row.contains('!')),
                "{open:?}"
            );
        }
        // Closed where another row has an opening quote of its own, and as good as any other value
        // by the rules of CSV.
        let (_, closed) = rows("a.csv", b"id,name,sum\n1,\"a,5\n2,b\",6\n3,c,7\n").unwrap();
        assert!(
            closed[0].starts_with("2: ! ") && closed[1].starts_with("3: ! "),
            "{closed:?}"
        );
        assert_eq!(closed[2..], ["4: 3|c|7".to_owned()]);
        let (_, meant) = rows("a.csv", b"id,name,sum\n1,\"two\nlines\",5\n2,b,6\n").unwrap();
        assert_eq!(meant, ["2: 1|two\nlines|5", "4: 2|b|6"]);
    }

    #[test]
    fn json_lines_keep_numbers_as_they_are_written() {
        let text = "\u{feff}{\"id\": 1.50, \"name\": \"a\\n\\u9999\", \"ok\": true}\r\n\n{\"name\": null, \"id\": 12345678901234567890123}\n";
        let (columns, rows) = rows("a.jsonl", text.as_bytes()).unwrap();
        assert_eq!(columns, ["id", "name", "ok"]);
        assert_eq!(
            rows,
            ["1: 1.50|a\n\u{9999}|true", "3: 12345678901234567890123||"]
        );
    }

    #[test]
    fn a_wrong_json_line_never_stops_the_others() {
        let mut text =
            b"{\"id\": 1, \"name\": 2}\n{\"id\": [1]}\n{\"ids\": 1}\n[1]\n{\"id\": 1, \"id\": 2}\n{\"id\":\n7\n"
                .to_vec();
        text.extend(b"{\"id\": \"");
        text.extend(std::iter::repeat_n(b'x', ROW_MAX));
        text.extend(b"\"}\n{\"id\": 9}");
        let (_, rows) = rows("a.jsonl", &text).unwrap();
        let expected = [
            "1: 1|2",
            "2: ! the value of \"id\" is a list or an object; a value is text, a number, true, false or null",
            "3: ! there is no column \"ids\"; did you mean \"id\"?",
            "4: ! the line is not a JSON object",
            "5: ! \"id\" is given twice",
            "6: ! the line is not JSON: EOF while parsing a value at column 6",
            "7: ! the line is not a JSON object",
            "8: ! the line is longer than 1 MiB",
            "9: 9|",
        ];
        assert_eq!(rows, expected);
        assert!(
            self::rows("a.jsonl", b"[1]\n")
                .unwrap_err()
                .contains("the line is not a JSON object")
        );
    }
}
