//! Excel workbooks: one sheet of rows below a header, every cell as the text a person means.
//!
//! A thread of its own reads the sheet, so that of the sheet only a few rows are in memory at a time; its texts are, which is
//! how the format keeps them. Rows and columns that are hidden or filtered away count like all others, formulas by the value
//! that was stored last. How a number is shown counts only for dates: `007` is text or it is 7. Nothing of a value is
//! ever in an error.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use calamine::{DataRef, Reader, SheetType, SheetVisible, Xlsx as Workbook};

use super::{COLUMNS_MAX, ROW_MAX, Row, RowError, SourceError};
use crate::yaml::diagnostics::nearest_name;
use crate::yaml::node::shown;

mod cell;

/// The largest file, in bytes.
const FILE_MAX: u64 = 64 * 1024 * 1024;

/// The most bytes a file may unpack to.
const UNPACKED_MAX: u64 = 1024 * 1024 * 1024;

/// The most rows; Excel has no more.
const ROWS_MAX: u32 = 1_048_576;

/// How many rows the thread is ahead.
const AHEAD: usize = 256;

/// How a zip file begins.
const ZIP: [u8; 4] = *b"PK\x03\x04";

/// How a file of Excel before 2007 begins, and one with a password.
const OLE: [u8; 4] = [0xd0, 0xcf, 0x11, 0xe0];

const NO_WORKBOOK: &str = "this is no Excel workbook; save it in Excel as .xlsx, or as CSV";

pub(super) struct Xlsx {
    read: Receiver<Reading>,
    /// Looked at when no more rows come: a thread that died must not look like the end of the sheet.
    thread: Option<JoinHandle<()>>,
}

/// What the thread has read.
enum Reading {
    Row(Row),
    Wrong(Wrong),
    Broken(RowError),
}

/// A cell that cannot be text.
struct Wrong {
    line: u64,
    /// From 0.
    column: usize,
    reason: &'static str,
}

impl Xlsx {
    pub(super) fn open(mut file: File, path: &Path, sheet: Option<&str>) -> Result<Self, SourceError> {
        let refuse = |reason: String| SourceError::Workbook { path: path.to_owned(), reason };
        let unreadable = |source| SourceError::Read { path: path.to_owned(), source };
        if file.metadata().map_err(unreadable)?.len() > FILE_MAX {
            return Err(refuse("the file is larger than 64 MiB; split it, or save it as CSV".to_owned()));
        }
        check_beginning(&mut file).map_err(unreadable)?.map_err(|reason| refuse(reason.to_owned()))?;
        check_unpacked(&file, UNPACKED_MAX).map_err(|reason| refuse(reason.to_owned()))?;
        file.rewind().map_err(unreadable)?;
        let mut workbook = Workbook::new(BufReader::new(file)).map_err(|_| refuse(NO_WORKBOOK.to_owned()))?;
        let sheet = choose(&workbook, sheet).map_err(refuse)?;
        let (send, read) = sync_channel(AHEAD);
        let thread = std::thread::Builder::new().name("xlsx".to_owned());
        let thread = thread.spawn(move || read_sheet(&mut workbook, &sheet, &send)).map_err(unreadable)?;
        Ok(Self { read, thread: Some(thread) })
    }

    pub(super) fn header(&mut self) -> Result<(Vec<String>, u64), RowError> {
        let mut row = Row::default();
        match self.next(&mut row, &[]) {
            Some(Ok(())) => Ok((row.iter().map(str::to_owned).collect(), row.line)),
            Some(Err(error)) => Err(error),
            None => Err(RowError::at(1, "the sheet is empty; its first row must name the columns")),
        }
    }

    pub(super) fn read(&mut self, row: &mut Row, columns: &[String]) -> Option<Result<(), RowError>> {
        if let Err(error) = self.next(row, columns)? {
            return Some(Err(error));
        }
        if row.ends.len() > columns.len() {
            let last = row.ends.len();
            return Some(Err(RowError::at(
                row.line,
                format!("there is a value in column {last}, which has no name in the header"),
            )));
        }
        (row.ends.len()..columns.len()).for_each(|_| row.push(""));
        Some(Ok(()))
    }

    fn next(&mut self, row: &mut Row, columns: &[String]) -> Option<Result<(), RowError>> {
        match self.read.recv() {
            Ok(Reading::Row(read)) => {
                *row = read;
                Some(Ok(()))
            }
            Ok(Reading::Wrong(wrong)) => Some(Err(wrong.named(columns))),
            Ok(Reading::Broken(error)) => Some(Err(error)),
            Err(_) => {
                let ended = self.thread.take().map(JoinHandle::join)?;
                ended.err().map(|_| Err(broken(row.line)))
            }
        }
    }
}

impl Wrong {
    fn named(&self, columns: &[String]) -> RowError {
        let name = columns.get(self.column).map(|name| format!("\"{}\"", shown(name)));
        let name = name.unwrap_or_else(|| self.column.saturating_add(1).to_string());
        RowError::at(self.line, format!("the value of column {name} {}", self.reason))
    }
}

fn broken(line: u64) -> RowError {
    let reason = "the sheet cannot be read any further; open the file in Excel and save it again".to_owned();
    RowError { line, reason, fatal: true }
}

/// Whether it begins like a workbook, before anything is made of it.
fn check_beginning(file: &mut File) -> io::Result<Result<(), &'static str>> {
    let mut beginning = Vec::with_capacity(ZIP.len());
    file.take(4).read_to_end(&mut beginning)?;
    file.rewind()?;
    Ok(if beginning == ZIP {
        Ok(())
    } else if beginning == OLE {
        Err("the workbook has a password or is of an old Excel; save it in Excel as .xlsx without a password")
    } else {
        Err(NO_WORKBOOK)
    })
}

/// A small file may unpack to more than any memory has, and say otherwise: so it is unpacked once and counted.
fn check_unpacked(file: &File, max: u64) -> Result<(), &'static str> {
    let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(|_| NO_WORKBOOK)?;
    let mut left = max;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|_| NO_WORKBOOK)?;
        let read = io::copy(&mut entry.take(left), &mut io::sink()).map_err(|_| NO_WORKBOOK)?;
        left = left.saturating_sub(read);
        if left == 0 {
            return Err("the workbook unpacks to more than 1 GiB; split it, or save it as CSV");
        }
    }
    Ok(())
}

/// The sheet of this name, or the first that a person sees.
fn choose<R: Read + Seek>(workbook: &Workbook<R>, name: Option<&str>) -> Result<String, String> {
    let sheets = workbook.sheets_metadata().iter().filter(|sheet| sheet.typ == SheetType::WorkSheet);
    match name {
        None => {
            let first = sheets.clone().find(|sheet| sheet.visible == SheetVisible::Visible);
            first
                .map(|sheet| sheet.name.clone())
                .ok_or_else(|| "the workbook has no sheet that is not hidden".to_owned())
        }
        Some(name) if sheets.clone().any(|sheet| sheet.name == name) => Ok(name.to_owned()),
        Some(name) => {
            let near = nearest_name(name, sheets.map(|sheet| sheet.name.as_str()));
            let help = near.map(|near| format!("; did you mean \"{}\"?", shown(near))).unwrap_or_default();
            Err(format!("the workbook has no sheet \"{}\"{help}", shown(name)))
        }
    }
}

/// Reads the whole sheet, or as much of it as somebody wants.
fn read_sheet<R: Read + Seek>(workbook: &mut Workbook<R>, sheet: &str, out: &SyncSender<Reading>) {
    let Ok(mut cells) = workbook.worksheet_cells_reader(sheet) else {
        out.send(Reading::Broken(broken(1))).ok();
        return;
    };
    let mut under_way = UnderWay::default();
    loop {
        let cell = match cells.next_cell() {
            Ok(Some(cell)) => cell,
            Ok(None) => break,
            Err(_) => {
                out.send(Reading::Broken(broken(under_way.row.line))).ok();
                return;
            }
        };
        let ((row, column), value) = (cell.get_position(), cell.get_value());
        if *value == DataRef::Empty {
            continue;
        }
        let line = u64::from(row).saturating_add(1);
        if line > under_way.row.line && out_with(&mut under_way, line, out).is_err() {
            return;
        }
        if row >= ROWS_MAX || !under_way.add(line, column, value) {
            out.send(Reading::Broken(broken(line))).ok();
            return;
        }
    }
    out_with(&mut under_way, 0, out).ok();
}

/// Hands the row that was read on, unless it is empty, and begins the next one.
fn out_with(under_way: &mut UnderWay, next: u64, out: &SyncSender<Reading>) -> Result<(), ()> {
    let UnderWay { row, wrong } = std::mem::take(under_way);
    under_way.row.line = next;
    let reading = match wrong {
        Some(wrong) => Reading::Wrong(wrong),
        None if row.text.is_empty() => return Ok(()),
        None => Reading::Row(row),
    };
    out.send(reading).map_err(drop)
}

/// The row that is being read.
#[derive(Default)]
struct UnderWay {
    row: Row,
    /// What was wrong with it first.
    wrong: Option<Wrong>,
}

impl UnderWay {
    /// Takes a cell in. False if the sheet is not in order: a cell stands before one that was read.
    fn add(&mut self, line: u64, column: u32, value: &DataRef<'_>) -> bool {
        let Ok(column) = usize::try_from(column) else { return false };
        if line < self.row.line || column < self.row.ends.len() {
            return false;
        }
        if let Err(reason) = self.take(column, value) {
            self.wrong.get_or_insert(Wrong { line, column, reason });
        }
        true
    }

    fn take(&mut self, column: usize, value: &DataRef<'_>) -> Result<(), &'static str> {
        if column >= COLUMNS_MAX {
            return Err("stands behind the 1,000th column");
        }
        let text = cell::text(value)?;
        if text.is_empty() {
            return Ok(());
        }
        if self.row.text.len().saturating_add(text.len()) > ROW_MAX {
            return Err("makes the row longer than 1 MiB");
        }
        (self.row.ends.len()..column).for_each(|_| self.row.push(""));
        self.row.push(&text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use zip::write::SimpleFileOptions;

    fn zipped(entries: &[&[u8]]) -> File {
        let mut archive = zip::ZipWriter::new(tempfile::tempfile().unwrap());
        for (index, entry) in entries.iter().enumerate() {
            archive.start_file(index.to_string(), SimpleFileOptions::default()).unwrap();
            archive.write_all(entry).unwrap();
        }
        let mut file = archive.finish().unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn what_a_file_unpacks_to_is_counted_over_all_its_parts() {
        let parts: &[&[u8]] = &[&[0; 60_000], &[0; 40_000]];
        assert!(zipped(parts).metadata().unwrap().len() < 1_000);
        assert_eq!(check_unpacked(&zipped(parts), 100_001), Ok(()));
        let too_much = check_unpacked(&zipped(parts), 100_000).unwrap_err();
        assert!(too_much.contains("unpacks to more than 1 GiB"), "{too_much}");
    }

    #[test]
    fn a_thread_that_died_is_an_error_and_not_the_end_of_the_sheet() {
        let (send, read) = sync_channel(1);
        send.send(Reading::Row(Row::of(1, &["id"]))).unwrap();
        let thread = std::thread::spawn(move || {
            let _send = send;
            panic!("as a reader may on a file that nobody thought of");
        });
        let mut sheet = Xlsx { read, thread: Some(thread) };
        let (columns, line) = sheet.header().unwrap();
        assert_eq!((columns.len(), line), (1, 1));
        let ended = sheet.read(&mut Row::default(), &columns).unwrap().unwrap_err();
        assert!(ended.fatal, "{ended:?}");
        assert!(sheet.read(&mut Row::default(), &columns).is_none());
    }
}
