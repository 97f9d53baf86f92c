//! Rows of item files: CSV, JSON Lines and Excel workbooks, streamed with flat memory.
//!
//! A row that cannot be read is an error of its own with its line, and never stops the others; only
//! a file that cannot be read any further does.

use std::fs::File;
use std::io::{self, Chain, Read, Seek};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};
use thiserror::Error;

use super::ItemFileFormat;
use payrun_domain::text::shown;
use payrun_domain::text::trimmed;
use payrun_system::regular_file;
use payrun_yaml::diagnostics::nearest_name;

mod give_up;
mod json_lines;
mod staged_file;
mod text_check;
mod xlsx;

use json_lines::JsonLines;
use xlsx::Xlsx;

pub use give_up::{GiveUp, GiveUpGuard};
pub use staged_file::{FileReach, StagedFile};
pub use xlsx::child_process::work_if_asked as read_workbook_if_asked;

/// The longest row, in bytes. A CSV row that is longer has a quote that was never closed.
const ROW_MAX: usize = 1024 * 1024;

/// The most columns.
const COLUMNS_MAX: usize = 1_000;

/// One row: a text for each column.
#[derive(Debug, Clone, Default)]
pub struct FileRow {
    /// The line it begins on, or its row in the sheet, from 1.
    pub line: u64,
    text: String,
    ends: Vec<usize>,
}

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

    /// All texts in the order of the columns.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).filter_map(|index| self.get(index))
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
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
    pub reason: String,
    /// Whether nothing after it can be read: the file as a whole must be refused.
    pub fatal: bool,
}

impl RowError {
    fn at(line: u64, reason: impl Into<String>) -> Self {
        Self {
            line,
            reason: reason.into(),
            fatal: false,
        }
    }
}

/// A file that cannot be read at all.
#[derive(Debug, Error)]
pub enum SourceError {
    /// Opening or reading failed.
    #[error("the item file {} cannot be read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It lies where it may not be read from; or, for a caller of the API, it is not there, or no
    /// file.
    #[error(
        "there is no item file {} in the project, or in a folder that inputs: of payrun.yaml names; add its folder there, or send \
         the file (over the API: POST /api/v1/files, and its name under inputs)",
        path.display()
    )]
    Outside {
        /// Which file.
        path: PathBuf,
    },
    /// Neither given nor to be told from the name.
    #[error("the format of {} is not known; say format: csv, jsonl or xlsx", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
    },
    /// The header, or the first line of JSON Lines, does not name the columns.
    #[error("{}:{line}: {reason}", path.display())]
    Header {
        /// Which file.
        path: PathBuf,
        /// Which line.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// A line of a file that was sent is no text.
    #[error("{}:{line}: {reason}", path.display())]
    Text {
        /// Which file.
        path: PathBuf,
        /// Which line.
        line: u64,
        /// What is wrong, and what to do.
        reason: &'static str,
    },
    /// It is no workbook, has a password or is too large, or the sheet is not there.
    #[error("{}: {reason}", path.display())]
    Workbook {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
}

/// The rows of a file.
pub struct FileRows {
    columns: Vec<String>,
    rows: FormatRows,
    ended: bool,
}

enum FormatRows {
    Csv(Box<CsvRows>),
    JsonLines(Box<JsonLines<File>>),
    Xlsx(Xlsx),
}

/// Opens a file of items that a person names, and reads its header.
///
/// # Errors
/// If it cannot be read, its format is not known, or its header has empty or repeated names.
pub fn open(path: &Path, format: Option<&ItemFileFormat>) -> Result<FileRows, SourceError> {
    let unreadable = |source| SourceError::Read {
        path: path.to_owned(),
        source,
    };
    rows_of(
        regular_file::open(path).map_err(unreadable)?,
        path,
        format,
        &GiveUp::default(),
    )
}

/// The rows of an open file, from its beginning.
fn rows_of(
    mut file: File,
    path: &Path,
    format: Option<&ItemFileFormat>,
    give_up: &GiveUp,
) -> Result<FileRows, SourceError> {
    let format =
        format
            .cloned()
            .or_else(|| format_of(path))
            .ok_or_else(|| SourceError::Format {
                path: path.to_owned(),
            })?;
    let unreadable = |source| SourceError::Read {
        path: path.to_owned(),
        source,
    };
    file.rewind().map_err(unreadable)?;
    let headless = |error: RowError| SourceError::Header {
        path: path.to_owned(),
        line: error.line,
        reason: error.reason,
    };
    let (columns, rows, line) = match format {
        ItemFileFormat::Csv => {
            let mut rows = CsvRows::new(file).map_err(unreadable)?;
            let (columns, line) = rows.header().map_err(headless)?;
            (columns, FormatRows::Csv(Box::new(rows)), line)
        }
        ItemFileFormat::JsonLines => {
            let mut rows = JsonLines::new(file);
            let (columns, line) = rows.header().map_err(headless)?;
            (columns, FormatRows::JsonLines(Box::new(rows)), line)
        }
        ItemFileFormat::Xlsx { sheet } => {
            let mut rows = Xlsx::open(file, path, sheet.as_deref(), give_up)?;
            let (columns, line) = rows.header().map_err(headless)?;
            (columns, FormatRows::Xlsx(rows), line)
        }
    };
    // A blank around the name of a column says nothing.
    let columns: Vec<String> = columns
        .iter()
        .map(|column| trimmed(column).to_owned())
        .collect();
    check_columns(&columns, line).map_err(headless)?;
    Ok(FileRows {
        columns,
        rows,
        ended: false,
    })
}

impl FileRows {
    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Reads the next row into `row`, so that nothing is allocated; none at the end.
    pub fn read(&mut self, row: &mut FileRow) -> Option<Result<(), RowError>> {
        if self.ended {
            return None;
        }
        let read = match &mut self.rows {
            FormatRows::Csv(rows) => rows.read(row, &self.columns),
            FormatRows::JsonLines(rows) => rows.read(row, &self.columns),
            FormatRows::Xlsx(rows) => rows.read(row, &self.columns),
        };
        let read = read.map(|read| read.and_then(|()| without_nul(row, &self.columns)));
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
            let reason = format!(
                "the value of column \"{}\" has the character U+0000; take it out",
                shown(column)
            );
            Err(RowError::at(row.line, reason))
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
            format!("the header has more than {COLUMNS_MAX} columns"),
        ));
    }
    for (index, column) in columns.iter().enumerate() {
        if column.is_empty() {
            return Err(RowError::at(
                line,
                format!("column {} has no name", index + 1),
            ));
        }
        if column.chars().any(char::is_control) {
            return Err(RowError::at(
                line,
                format!("the name of column {} has a control character", index + 1),
            ));
        }
        if columns[..index].contains(column) {
            return Err(RowError::at(
                line,
                format!("two columns are called \"{}\"", shown(column)),
            ));
        }
    }
    Ok(())
}

/// A sentence about a column that is not there.
pub(super) fn no_column(column: &str, columns: &[String]) -> String {
    let near = nearest_name(column, columns.iter().map(String::as_str));
    let help = near
        .map(|near| format!("; did you mean \"{}\"?", shown(near)))
        .unwrap_or_default();
    format!("there is no column \"{}\"{help}", shown(column))
}

/// Stops a reader that reads on and on for one row.
struct BoundedReader<R> {
    inner: R,
    left: usize,
}

impl<R: Read> Read for BoundedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other(
                "the row is longer than 1 MiB; a quote that is opened on this line may never have been closed",
            ));
        }
        let read = self.inner.read(buffer)?;
        self.left = self.left.saturating_sub(read);
        Ok(read)
    }
}

struct CsvRows {
    /// A newline is added at the end, so that every row has one and its first line can be told from
    /// its last.
    reader: Reader<BoundedReader<Chain<File, &'static [u8]>>>,
    record: ByteRecord,
    /// The same file, to be read again where it is.
    again: File,
    /// Where in the file the record begins that was read last, and on which line.
    began: (u64, u64),
    /// Lines that were read as part of a value whose quote was opened on an earlier one.
    swallowed: Range<u64>,
    opened: u64,
}

impl CsvRows {
    fn new(file: File) -> io::Result<Self> {
        let again = file.try_clone()?;
        let bounded = BoundedReader {
            inner: file.chain(&b"\n"[..]),
            left: ROW_MAX,
        };
        let mut builder = ReaderBuilder::new();
        // Only LF ends a row, so that lines can be counted; a CR before it is taken off below.
        builder
            .has_headers(false)
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .buffer_capacity(64 * 1024);
        Ok(Self {
            reader: builder.from_reader(bounded),
            record: ByteRecord::new(),
            again,
            began: (0, 1),
            swallowed: 0..0,
            opened: 0,
        })
    }

    fn header(&mut self) -> Result<(Vec<String>, u64), RowError> {
        let Some(line) = self.next_record() else {
            return Err(RowError::at(
                1,
                "the file is empty; its first line must name the columns",
            ));
        };
        let line = line?;
        if let Some(error) = self.open_quote(self.record.len()) {
            return Err(error);
        }
        let cells = (0..self.record.len())
            .map(|index| std::str::from_utf8(self.cell(index)).map(str::to_owned));
        let columns: Result<Vec<String>, _> = cells.collect();
        columns
            .map(|columns| (columns, line))
            .map_err(|_| RowError::at(line, "the header is not UTF-8 text"))
    }

    fn read(&mut self, row: &mut FileRow, columns: &[String]) -> Option<Result<(), RowError>> {
        if let Some(line) = self.swallowed.next() {
            let reason = format!(
                "this line stands within the quote that was opened on line {}",
                self.opened
            );
            return Some(Err(RowError::at(line, reason)));
        }
        let line = match self.next_record()? {
            Ok(line) => line,
            Err(error) => return Some(Err(error)),
        };
        row.clear();
        row.line = line;
        if let Some(error) = self.open_quote(columns.len()) {
            return Some(Err(error));
        }
        if self.record.len() != columns.len() {
            let (has, header) = (self.record.len(), columns.len());
            let reason = format!(
                "the row has {has} values and the header {header} columns; check quotes and commas"
            );
            return Some(Err(RowError::at(line, reason)));
        }
        for (index, column) in columns.iter().enumerate() {
            match std::str::from_utf8(self.cell(index)) {
                Ok(cell) => row.push(cell),
                Err(_) => {
                    let reason = format!(
                        "the value of column \"{}\" is not UTF-8 text",
                        shown(column)
                    );
                    return Some(Err(RowError::at(line, reason)));
                }
            }
        }
        Some(Ok(()))
    }

    /// The next record that is not an empty line; the line it begins on.
    fn next_record(&mut self) -> Option<Result<u64, RowError>> {
        loop {
            self.reader.get_mut().left = ROW_MAX;
            self.began = (self.reader.position().byte(), self.reader.position().line());
            match self.reader.read_byte_record(&mut self.record) {
                Err(error) => {
                    let line = self.began.1;
                    return Some(Err(RowError {
                        line,
                        reason: csv_reason(error),
                        fatal: true,
                    }));
                }
                Ok(false) => return None,
                Ok(true) if self.is_empty_line() => {}
                Ok(true) => return Some(Ok(self.first_line())),
            }
        }
    }

    /// Whether nothing stands before the CR LF of the record. `""` is something: a row of one empty
    /// value.
    fn is_empty_line(&self) -> bool {
        let (byte, line) = self.began;
        let position = self.reader.position();
        // Empty lines before it are passed over in the same step.
        let breaks = position.line().saturating_sub(line);
        let others = position.byte().saturating_sub(byte).saturating_sub(breaks);
        let byte_order_mark = if byte == 0 { 3 } else { 0 };
        let is_cr = self.record.len() == 1 && self.record.get(0) == Some(b"\r");
        is_cr && (others == 1 || others == 1 + byte_order_mark)
    }

    /// Why a row of several lines is no row: a quote was opened that was not meant, or not closed
    /// where it was meant to be. Then every line of it is refused.
    fn open_quote(&mut self, columns: usize) -> Option<RowError> {
        let breaks = |cell: &[u8]| cell.iter().filter(|byte| **byte == b'\n').count() as u64;
        if breaks(self.record.as_slice()) == 0 {
            return None;
        }
        let raw = self.raw().ok()?;
        let ends = |byte: &u8| matches!(*byte, b'\n' | b'\r');
        let begin = raw.iter().position(|byte| !ends(byte))?;
        let end = raw.iter().rposition(|byte| !ends(byte))?;
        let first = self.began.1 + breaks(&raw[..begin]);
        let last = first + breaks(&raw[begin..end]);
        let commas = |cell: &[u8]| cell.iter().filter(|byte| **byte == b',').count() as u64;
        // As many as stand between two values of the same column.
        let like_rows = || {
            let row = columns.saturating_sub(1) as u64;
            row > 0
                && self
                    .record
                    .iter()
                    .any(|cell| breaks(cell) > 0 && commas(cell) == breaks(cell) * row)
        };
        let reason = match quoting(&raw) {
            QuoteState::Good if self.record.len() != columns || like_rows() => format!(
                "a quote that is opened on this line is closed on line {last}, and what stands between looks like rows"
            ),
            QuoteState::Good => return None,
            QuoteState::Open => "a quote that is opened on this line is never closed".to_owned(),
            QuoteState::Stray => {
                format!("a quote that is opened on this line ends within a value of line {last}")
            }
        };
        self.opened = first;
        self.swallowed = first + 1..last + 1;
        Some(RowError::at(first, reason))
    }

    /// The record as it stands in the file.
    fn raw(&self) -> io::Result<Vec<u8>> {
        let length = self.reader.position().byte().saturating_sub(self.began.0);
        let mut raw = vec![0; usize::try_from(length).unwrap_or(ROW_MAX).min(2 * ROW_MAX)];
        let mut read = 0;
        loop {
            // By position: where the reader stands is not moved.
            match self
                .again
                .read_at(&mut raw[read..], self.began.0 + read as u64)?
            {
                0 => break,
                more => read += more,
            }
        }
        raw.truncate(read);
        Ok(raw)
    }

    /// The reader stands behind the newline that ended the record.
    fn first_line(&self) -> u64 {
        let within = self
            .record
            .as_slice()
            .iter()
            .filter(|byte| **byte == b'\n')
            .count() as u64;
        self.reader
            .position()
            .line()
            .saturating_sub(1 + within)
            .max(1)
    }

    fn cell(&self, index: usize) -> &[u8] {
        let cell = self.record.get(index).unwrap_or_default();
        let is_last = index + 1 == self.record.len();
        if is_last {
            cell.strip_suffix(b"\r").unwrap_or(cell)
        } else {
            cell
        }
    }
}

/// How the quotes stand in a record.
enum QuoteState {
    /// Each value in quotes ends where its quotes are closed.
    Good,
    /// The last one is never closed.
    Open,
    /// Behind closing quotes stands something else than a comma.
    Stray,
}

fn quoting(raw: &[u8]) -> QuoteState {
    let mut bytes = raw.iter().copied().peekable();
    loop {
        // At the beginning of a value.
        if bytes.next_if_eq(&b'"').is_some() {
            loop {
                match bytes.next() {
                    None => return QuoteState::Open,
                    Some(b'"') if bytes.next_if_eq(&b'"').is_some() => {}
                    Some(b'"') => break,
                    Some(_) => {}
                }
            }
            if !matches!(bytes.peek(), None | Some(b',' | b'\r' | b'\n')) {
                return QuoteState::Stray;
            }
        }
        if !bytes.any(|byte| matches!(byte, b',' | b'\n')) {
            return QuoteState::Good;
        }
    }
}

fn csv_reason(error: csv::Error) -> String {
    // Without decoding or a fixed number of columns, only reading can fail.
    let csv::ErrorKind::Io(error) = error.into_kind() else {
        return "the file cannot be read any further".to_owned();
    };
    format!("the file cannot be read any further: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn rows(name: &str, bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        File::create(&path).unwrap().write_all(bytes).unwrap();
        let rows = open(&path, None).map_err(|error| {
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
        let (_, rows) = rows("a.csv", b"id,name\n1\n2,b,c\n3,\xff\n4,d\n").unwrap();
        assert_eq!(rows.len(), 4);
        assert!(
            rows[0].starts_with("2: ! the row has 1 values and the header 2 columns"),
            "{rows:?}"
        );
        assert!(rows[1].starts_with("3: ! the row has 3 values"), "{rows:?}");
        assert_eq!(
            rows[2],
            "4: ! the value of column \"name\" is not UTF-8 text"
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
            b"{\"id\": 1, \"name\": 2}\n{\"id\": [1]}\n{\"ids\": 1}\n[1]\n{\"id\": 1, \"id\": 2}\n{\"id\":\n\xff\n"
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
            "7: ! the line is not UTF-8 text",
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
