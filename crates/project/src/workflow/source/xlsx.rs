//! Excel workbooks: one sheet of rows below a header, every cell as the text a person means.
//!
//! A workbook is a zip file of XML that a stranger made. It is unpacked and read by a process of
//! its own ([`child_process`]), the same program, whose memory is limited: what kills it refuses
//! the file, and does no other harm. Rows come from it over a pipe. What Excel shows is what is
//! meant: a number is read as its format shows it, and rows and columns that are hidden or filtered
//! away refuse the sheet unless they are said to count. Formulas count by the value that was stored
//! last. Nothing of a value is ever in an error.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, ExitStatus};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::cell_forms::CellForms;
use super::file_options::cell_name;
use super::header::Header;
use super::read_cancellation::locked;
use super::{FileOptions, FileRow, ROW_MAX, ReadCancellation, RowError, SourceError};
use layout::SheetLayout;
pub(super) use layout::column_letters;
use payrun_domain::message::Message;
use payrun_domain::text::shown;

mod cell;
pub(super) mod child_process;
mod forms;
mod layout;
mod limits;
mod number_format;
mod sheet;
mod valueless;

/// The largest file, in bytes.
const FILE_MAX: u64 = 64 * 1024 * 1024;

/// The longest line of the other process: a row in JSON, with every byte escaped.
const LINE_MAX: u64 = 8 * ROW_MAX as u64;

/// How a zip file begins.
const ZIP: [u8; 4] = *b"PK\x03\x04";

/// How a file of Excel before 2007 begins, and one with a password.
const OLE: [u8; 4] = [0xd0, 0xcf, 0x11, 0xe0];

const NO_WORKBOOK: Message = Message::new(
    "workbook-none",
    "this is no Excel workbook; save it in Excel as .xlsx, or as CSV",
);

/// What is said where the other process died.
const TOO_MUCH: Message = Message::new(
    "workbook-damaged",
    "the workbook is damaged, or takes more memory to read than a workbook may; save it in Excel anew, or as CSV",
);

/// What is said where its time was over.
const TOO_LONG: Message = Message::new(
    "workbook-too-slow",
    "the workbook takes longer to read than a workbook may; split it, or save it as CSV",
);

/// The rows of a sheet, as the other process reads them.
pub(super) struct Xlsx {
    reader: Arc<Mutex<Child>>,
    /// The other process ends when this is closed, however that comes.
    _open: io::PipeWriter,
    lines: BufReader<ChildStdout>,
    line: Vec<u8>,
    /// The last row that came.
    at: u64,
    layout: SheetLayout,
}

/// What the other process says, a line each.
#[derive(Debug, Serialize, Deserialize)]
enum XlsxMessage {
    /// There is such a sheet.
    Opened,
    /// What of it a person does not see as it is.
    Layout(SheetLayout),
    /// There is none, or it is no workbook.
    Refused(Message),
    /// A row.
    Row(FileRow),
    /// A row with the first cells that are no text to be taken, and what stands there for a person.
    Wrong(Vec<BadCell>, FileRow),
    /// Nothing can be read from this line on.
    Broken(u64),
    /// There are no more rows.
    End,
}

/// A cell that cannot be text.
#[derive(Debug, Serialize, Deserialize)]
struct BadCell {
    /// From 0.
    column: usize,
    reason: Message,
}

impl Xlsx {
    pub(super) fn open(
        mut file: File,
        path: &Path,
        sheet: Option<&str>,
        cancellation: &ReadCancellation,
    ) -> Result<Self, SourceError> {
        let refuse = |reason: Message| SourceError::Workbook {
            path: path.to_owned(),
            reason,
        };
        let unreadable = |source| SourceError::Read {
            path: path.to_owned(),
            source,
        };
        if file.metadata().map_err(unreadable)?.len() > FILE_MAX {
            return Err(refuse(Message::new(
                "workbook-too-large",
                "the file is larger than 64 MiB; split it, or save it as CSV",
            )));
        }
        check_beginning(&mut file)
            .map_err(unreadable)?
            .map_err(refuse)?;
        let (reader, said, open) = child_process::start(file, sheet).map_err(unreadable)?;
        let (reader, lines) = (
            Arc::new(Mutex::new(reader)),
            BufReader::with_capacity(64 * 1024, said),
        );
        cancellation.ends(&reader);
        let mut opened = Self {
            reader,
            _open: open,
            lines,
            line: Vec::new(),
            at: 1,
            layout: SheetLayout::default(),
        };
        // First that there is such a sheet, and then how it is laid out.
        let said = match opened.hear() {
            Some(XlsxMessage::Opened) => opened.hear(),
            other => other,
        };
        match said {
            Some(XlsxMessage::Layout(layout)) => {
                opened.layout = layout;
                Ok(opened)
            }
            Some(XlsxMessage::Refused(reason)) => Err(refuse(reason)),
            Some(
                XlsxMessage::Opened
                | XlsxMessage::Row(..)
                | XlsxMessage::Wrong(..)
                | XlsxMessage::Broken(_)
                | XlsxMessage::End,
            )
            | None => Err(refuse(opened.why_it_died())),
        }
    }

    /// The name of the sheet.
    pub(super) fn sheet(&self) -> &str {
        &self.layout.sheet
    }

    /// Other sheets that a person sees, where nobody said which one is meant.
    pub(super) fn other_sheets(&self) -> &[String] {
        &self.layout.other_sheets
    }

    /// Hidden sheets with values, where nobody said which sheet is meant.
    pub(super) fn hidden_sheets(&self) -> &[String] {
        &self.layout.hidden_sheets
    }

    /// What the cells of each column are.
    pub(super) fn forms(&mut self) -> Vec<CellForms> {
        std::mem::take(&mut self.layout.forms)
    }

    /// Refuses a sheet that shows a person something else than what is read.
    pub(super) fn check_layout(
        &self,
        header: &Header,
        options: &FileOptions,
    ) -> Result<(), Message> {
        self.layout.check(header, options)
    }

    /// The next row as names of columns.
    pub(super) fn header(&mut self) -> Option<Result<(Vec<String>, u64), RowError>> {
        let mut row = FileRow::default();
        let read = self.next(&mut row, &[])?;
        Some(read.map(|()| (row.iter().map(str::to_owned).collect(), row.line)))
    }

    pub(super) fn read(
        &mut self,
        row: &mut FileRow,
        columns: &[String],
    ) -> Option<Result<(), RowError>> {
        if let Err(error) = self.next(row, columns)? {
            return Some(Err(error));
        }
        if row.ends.len() > columns.len() {
            let cell = cell_name(self.sheet(), row.ends.len() - 1, row.line);
            let reason = Message::new(
                "cell-without-column",
                "there is a value in cell {cell}, whose column has no name in the header",
            );
            return Some(Err(RowError::at(row.line, reason.with("cell", cell))));
        }
        (row.ends.len()..columns.len()).for_each(|_| row.push(""));
        Some(Ok(()))
    }

    fn next(&mut self, row: &mut FileRow, columns: &[String]) -> Option<Result<(), RowError>> {
        match self.hear() {
            Some(XlsxMessage::Row(read)) => {
                self.at = read.line;
                *row = read;
                Some(Ok(()))
            }
            Some(XlsxMessage::Wrong(wrong, read)) => {
                self.at = read.line;
                *row = read;
                let named = |cell: &BadCell| cell.named(columns, self.sheet(), self.at);
                let reasons = wrong.iter().map(named).collect();
                Some(Err(RowError::at(self.at, Message::all(reasons))))
            }
            Some(XlsxMessage::End) => None,
            Some(XlsxMessage::Broken(line)) => Some(Err(broken(line))),
            // A process that died must not look like the end of the sheet.
            Some(XlsxMessage::Opened | XlsxMessage::Layout(_) | XlsxMessage::Refused(_)) | None => {
                Some(Err(RowError {
                    line: self.at,
                    reason: self.why_it_died(),
                    fatal: true,
                }))
            }
        }
    }

    /// Ends the other process, which has said nothing more, and says what to do about it.
    fn why_it_died(&self) -> Message {
        let is_time = |ended: ExitStatus| {
            ended.signal() == Some(child_process::TIME_OVER)
                || ended.code() == Some(child_process::TOO_LONG.into())
        };
        if child_process::end(&mut locked(&self.reader)).is_some_and(is_time) {
            TOO_LONG
        } else {
            TOO_MUCH
        }
    }

    /// The next thing the other process says; none if it has died, or says what it never says.
    fn hear(&mut self) -> Option<XlsxMessage> {
        self.line.clear();
        self.lines
            .by_ref()
            .take(LINE_MAX)
            .read_until(b'\n', &mut self.line)
            .ok()?;
        serde_json::from_slice(&self.line).ok()
    }
}

impl Drop for Xlsx {
    fn drop(&mut self) {
        child_process::end(&mut locked(&self.reader));
    }
}

impl BadCell {
    fn named(&self, columns: &[String], sheet: &str, line: u64) -> Message {
        let named = match columns.get(self.column) {
            Some(name) => Message::new(
                "cell-of-column-wrong",
                "the value of column \"{column}\" (cell {cell}) {what}",
            )
            .with("column", shown(name)),
            None => Message::new("cell-wrong", "the value of cell {cell} {what}"),
        };
        named
            .with("cell", cell_name(sheet, self.column, line))
            .with("what", self.reason.clone())
    }
}

fn broken(line: u64) -> RowError {
    let reason = Message::new(
        "sheet-unreadable-further",
        "the sheet cannot be read any further; open the file in Excel and save it again",
    );
    RowError {
        line,
        reason,
        fatal: true,
    }
}

/// Whether it begins like a workbook, before anything is made of it.
fn check_beginning(file: &mut File) -> io::Result<Result<(), Message>> {
    let mut beginning = Vec::with_capacity(ZIP.len());
    file.take(4).read_to_end(&mut beginning)?;
    file.rewind()?;
    Ok(begins_like_one(&beginning))
}

/// Whether the first bytes are those of a workbook; else what to do.
pub(super) fn begins_like_one(beginning: &[u8]) -> Result<(), Message> {
    if beginning.starts_with(&ZIP) {
        Ok(())
    } else if beginning.starts_with(&OLE) {
        Err(Message::new(
            "workbook-password",
            "the workbook has a password or is of an old Excel; save it in Excel as .xlsx without a password",
        ))
    } else {
        Err(NO_WORKBOOK)
    }
}
