//! Rows of a CSV file in UTF-8, and which character separates its values.

use std::fs::File;
use std::io::{self, Chain, Read, Seek as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use csv::{ByteRecord, Reader, ReaderBuilder, Terminator};

use super::file_options::{FileOptions, Separator};
use super::{FileRow, ROW_MAX, RowError, header};
use payrun_domain::message::Message;
use payrun_domain::text::shown;

/// How much of the file is looked at to tell the separator.
const SAMPLE: u64 = 64 * 1024;

/// How many of its lines.
const LINES: usize = 20;

/// What separates the values, and whether the first line says so in Excel's way (`sep=;`) and is no
/// row. Of several that could, the one by which a line has every column that is used.
pub(super) fn separator(file: &mut File, options: &FileOptions) -> io::Result<(Separator, bool)> {
    let mut sample = Vec::new();
    file.by_ref().take(SAMPLE).read_to_end(&mut sample)?;
    file.rewind()?;
    let text = sample
        .strip_prefix("\u{feff}".as_bytes())
        .unwrap_or(&sample);
    let said = excel_separator(text);
    if let Some(separator) = options.separator.or(said) {
        return Ok((separator, said.is_some()));
    }
    let fits = |separator: &Separator| {
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(separator.byte())
            .from_reader(text);
        reader.byte_records().take(LINES).flatten().any(|record| {
            let cells: Vec<String> = record
                .iter()
                .map(|cell| String::from_utf8_lossy(cell).into_owned())
                .collect();
            header::has_all(&cells, options)
        })
    };
    let stands = |separator: &Separator| {
        let first = text
            .split(|byte| *byte == b'\n')
            .find(|line| !line.trim_ascii().is_empty());
        first.is_some_and(|line| line.contains(&separator.byte()))
    };
    let all = Separator::ALL;
    let found = all
        .iter()
        .find(|one| fits(one))
        .or_else(|| all.iter().find(|one| stands(one)));
    Ok((found.copied().unwrap_or(Separator::Comma), false))
}

/// What the first line says, where it says only that.
fn excel_separator(text: &[u8]) -> Option<Separator> {
    let first = text.split(|byte| *byte == b'\n').next()?;
    let first = first.strip_suffix(b"\r").unwrap_or(first);
    let said = first
        .strip_prefix(b"sep=")
        .or_else(|| first.strip_prefix(b"SEP="))?;
    Separator::ALL.into_iter().find(|one| said == [one.byte()])
}

/// Stops a reader that reads on and on for one row.
struct BoundedReader<R> {
    inner: R,
    left: usize,
}

impl<R: Read> Read for BoundedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other("the row is longer than 1 MiB"));
        }
        let read = self.inner.read(buffer)?;
        self.left = self.left.saturating_sub(read);
        Ok(read)
    }
}

pub(super) struct CsvRows {
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
    separator: u8,
}

impl CsvRows {
    /// Of a file, from its beginning.
    pub(super) fn new(file: File, separator: Separator) -> io::Result<Self> {
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
            .delimiter(separator.byte())
            .terminator(Terminator::Any(b'\n'))
            .buffer_capacity(64 * 1024);
        Ok(Self {
            reader: builder.from_reader(bounded),
            record: ByteRecord::new(),
            again,
            began: (0, 1),
            swallowed: 0..0,
            opened: 0,
            separator: separator.byte(),
        })
    }

    /// The next line as names of columns.
    pub(super) fn header(&mut self) -> Option<Result<(Vec<String>, u64), RowError>> {
        let line = match self.next_record()? {
            Ok(line) => line,
            Err(error) => return Some(Err(error)),
        };
        if let Some(error) = self.open_quote(self.record.len()) {
            return Some(Err(error));
        }
        let cells = (0..self.record.len())
            .map(|index| String::from_utf8_lossy(self.cell(index)).into_owned());
        Some(Ok((cells.collect(), line)))
    }

    pub(super) fn read(
        &mut self,
        row: &mut FileRow,
        columns: &[String],
    ) -> Option<Result<(), RowError>> {
        if let Some(line) = self.swallowed.next() {
            let reason = Message::new(
                "row-within-quote",
                "this line stands within the quote that was opened on line {opened}",
            );
            return Some(Err(RowError::at(line, reason.with("opened", self.opened))));
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
            let separators = match self.separator {
                b';' => Message::new("separator-semicolons", "semicolons"),
                b'\t' => Message::new("separator-tabs", "tabs"),
                _ => Message::new("separator-commas", "commas"),
            };
            let reason = Message::new(
                "row-other-count",
                "the row has {has} values and the header {header} columns; check quotes and {separators}",
            );
            let reason = reason
                .with("has", has)
                .with("header", header)
                .with("separators", separators);
            self.push_as_one(row);
            return Some(Err(RowError::at(line, reason)));
        }
        for (index, column) in columns.iter().enumerate() {
            match std::str::from_utf8(self.cell(index)) {
                Ok(cell) => row.push(cell),
                Err(_) => {
                    let reason = Message::new(
                        "row-not-utf8",
                        "the value of column \"{column}\" is not UTF-8 text",
                    );
                    let reason = reason.with("column", shown(column));
                    return Some(Err(RowError::at(line, reason)));
                }
            }
        }
        Some(Ok(()))
    }

    /// The whole record as one value, for whoever is to mend it: which value belongs to which column
    /// is not known.
    fn push_as_one(&self, row: &mut FileRow) {
        let cells = (0..self.record.len()).map(|index| String::from_utf8_lossy(self.cell(index)));
        let cells: Vec<_> = cells.collect();
        row.push(&cells.join(char::from(self.separator).encode_utf8(&mut [0; 4])));
    }

    /// The next record that is not an empty line; the line it begins on.
    fn next_record(&mut self) -> Option<Result<u64, RowError>> {
        loop {
            self.reader.get_mut().left = ROW_MAX;
            self.began = (self.reader.position().byte(), self.reader.position().line());
            match self.reader.read_byte_record(&mut self.record) {
                Err(error) => {
                    let line = self.began.1;
                    let reason = if self.reader.get_ref().left == 0 {
                        ROW_TOO_LONG
                    } else {
                        csv_reason(error)
                    };
                    return Some(Err(RowError {
                        line,
                        reason,
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
        let separators =
            |cell: &[u8]| cell.iter().filter(|byte| **byte == self.separator).count() as u64;
        // As many as stand between two values of the same column.
        let like_rows = || {
            let row = columns.saturating_sub(1) as u64;
            row > 0
                && self
                    .record
                    .iter()
                    .any(|cell| breaks(cell) > 0 && separators(cell) == breaks(cell) * row)
        };
        let reason = match quoting(&raw, self.separator) {
            QuoteState::Good if self.record.len() != columns || like_rows() => Message::new(
                "quote-over-rows",
                "a quote that is opened on this line is closed on line {last}, and what stands between looks like rows",
            )
            .with("last", last),
            QuoteState::Good => return None,
            QuoteState::Open => Message::new(
                "quote-never-closed",
                "a quote that is opened on this line is never closed",
            ),
            QuoteState::Stray => Message::new(
                "quote-stray",
                "a quote that is opened on this line ends within a value of line {last}",
            )
            .with("last", last),
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
    /// Behind closing quotes stands something else than what separates values.
    Stray,
}

fn quoting(raw: &[u8], separator: u8) -> QuoteState {
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
            let ends = |byte: &u8| *byte == separator || matches!(*byte, b'\r' | b'\n');
            if !bytes.peek().is_none_or(ends) {
                return QuoteState::Stray;
            }
        }
        if !bytes.any(|byte| byte == separator || byte == b'\n') {
            return QuoteState::Good;
        }
    }
}

/// Why nothing is read behind a row without an end.
const ROW_TOO_LONG: Message = Message::new(
    "row-too-long",
    "the file cannot be read any further: the row is longer than 1 MiB; a quote that is opened on this line may never have been closed",
);

fn csv_reason(error: csv::Error) -> Message {
    let reason = Message::new(
        "file-unreadable-further",
        "the file cannot be read any further: {error}",
    );
    // Without decoding or a fixed number of columns, only reading can fail.
    reason.with("error", error.to_string())
}
