//! Reads the sheet, within the process that does only that.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use calamine::{DataRef, Reader as _, SheetType, SheetVisible, Style, Xlsx as Workbook};

use super::{BadCell, NO_WORKBOOK, XlsxMessage, cell, forms, layout};
use crate::workflow::source::{COLUMNS_MAX, FileRow, ROW_MAX, nearest};
use payrun_domain::message::Message;
use payrun_domain::text::shown;
use payrun_yaml::diagnostics::nearest_name;

/// The most rows; Excel has no more.
const ROWS_MAX: u32 = 1_048_576;

/// The most columns that a row has in Excel; empty cells may stand in any of them.
const COLUMNS_OF_EXCEL: u32 = 16_384;

/// How many wrong cells of a row are told.
const BAD_CELLS: usize = 12;

/// How many sheets that are not read are named.
const OTHERS_NAMED: usize = 10;

/// Where what is read goes.
type RowSink<'a> = dyn FnMut(&XlsxMessage) -> io::Result<()> + 'a;

/// Reads the whole sheet, or as much of it as somebody wants.
pub(super) fn read(file: File, sheet: Option<&str>, out: &mut RowSink<'_>) -> io::Result<()> {
    let again = file.try_clone()?;
    let Ok(mut workbook) = Workbook::new(BufReader::new(file)) else {
        return out(&XlsxMessage::Refused(NO_WORKBOOK));
    };
    match choose(&workbook, sheet) {
        Err(reason) => out(&XlsxMessage::Refused(reason)),
        Ok(chosen) => {
            out(&XlsxMessage::Opened)?;
            match layout::read(&again, &chosen) {
                Err(reason) => return out(&XlsxMessage::Refused(reason)),
                Ok(mut layout) => {
                    if sheet.is_none() {
                        layout.other_sheets = others(&workbook, &chosen);
                        layout.hidden_sheets = hidden_with_rows(&mut workbook, &chosen);
                    }
                    layout.forms = forms::read(&mut workbook, &chosen);
                    out(&XlsxMessage::Layout(layout))?;
                }
            }
            let last = read_rows(&mut workbook, &chosen, out)?;
            out(&last)
        }
    }
}

/// The sheet of this name, or the first that a person sees.
fn choose<R: Read + Seek>(workbook: &Workbook<R>, name: Option<&str>) -> Result<String, Message> {
    let sheets = workbook
        .sheets_metadata()
        .iter()
        .filter(|sheet| sheet.typ == SheetType::WorkSheet);
    match name {
        None => {
            let first = sheets
                .clone()
                .find(|sheet| sheet.visible == SheetVisible::Visible);
            first.map(|sheet| sheet.name.clone()).ok_or_else(|| {
                Message::new(
                    "workbook-all-hidden",
                    "the workbook has no sheet that is not hidden",
                )
            })
        }
        Some(name) if sheets.clone().any(|sheet| sheet.name == name) => Ok(name.to_owned()),
        Some(name) => {
            let near = nearest_name(name, sheets.map(|sheet| sheet.name.as_str()));
            Err(Message::new(
                "workbook-no-sheet",
                "the workbook has no sheet \"{name}\"{near}",
            )
            .with("name", shown(name))
            .with("near", near.map(nearest)))
        }
    }
}

/// Sheets beside the chosen one that a person sees, the first few.
fn others<R: Read + Seek>(workbook: &Workbook<R>, chosen: &str) -> Vec<String> {
    let seen = workbook.sheets_metadata().iter().filter(|sheet| {
        sheet.typ == SheetType::WorkSheet
            && sheet.visible == SheetVisible::Visible
            && sheet.name != chosen
    });
    seen.take(OTHERS_NAMED)
        .map(|sheet| sheet.name.clone())
        .collect()
}

/// Hidden sheets beside the chosen one that have values, the first few: somebody may mean their rows.
fn hidden_with_rows<R: Read + Seek>(workbook: &mut Workbook<R>, chosen: &str) -> Vec<String> {
    let hidden = workbook.sheets_metadata().iter().filter(|sheet| {
        sheet.typ == SheetType::WorkSheet
            && sheet.visible != SheetVisible::Visible
            && sheet.name != chosen
    });
    let names: Vec<String> = hidden.map(|sheet| sheet.name.clone()).collect();
    let with_rows = names.into_iter().filter(|name| has_value(workbook, name));
    with_rows.take(OTHERS_NAMED).collect()
}

/// Whether any of a sheet's first cells has a value. A sheet that cannot be read is no matter, since
/// nobody reads it.
fn has_value<R: Read + Seek>(workbook: &mut Workbook<R>, sheet: &str) -> bool {
    let Ok(mut cells) = workbook.worksheet_cells_reader(sheet) else {
        return false;
    };
    for _ in 0..CELLS_LOOKED_AT {
        match cells.next_cell() {
            Ok(Some(cell)) if matches!(cell.get_value(), DataRef::Empty) => {}
            Ok(Some(_)) => return true,
            Ok(None) | Err(_) => return false,
        }
    }
    false
}

/// How many cells of a hidden sheet are looked at for a value.
const CELLS_LOOKED_AT: u32 = 100_000;

/// How a cell without a format shows numbers.
const GENERAL: &str = "General";

/// The format code of a style.
fn format_of(style: &Style) -> String {
    style
        .number_format
        .as_ref()
        .map_or_else(|| GENERAL.to_owned(), |format| format.format_code.clone())
}

/// Says what the sheet ended with.
fn read_rows<R: Read + Seek>(
    workbook: &mut Workbook<R>,
    sheet: &str,
    out: &mut RowSink<'_>,
) -> io::Result<XlsxMessage> {
    let Ok(mut cells) = workbook.worksheet_cells_reader(sheet) else {
        return Ok(XlsxMessage::Broken(1));
    };
    let formats: Vec<String> = cells.styles().iter().map(format_of).collect();
    let (mut under_way, mut before) = (CurrentRow::default(), None);
    loop {
        let (cell, style) = match cells.next_cell_with_style_id() {
            Ok(Some(cell)) => cell,
            Ok(None) => break,
            Err(_) => return Ok(XlsxMessage::Broken(under_way.row.line)),
        };
        let ((row, column), value) = (cell.get_position(), cell.get_value());
        let line = u64::from(row).saturating_add(1);
        // Cells come in their order, each once, those that are empty as well.
        if row >= ROWS_MAX
            || column >= COLUMNS_OF_EXCEL
            || before.is_some_and(|before| (row, column) <= before)
        {
            return Ok(XlsxMessage::Broken(line));
        }
        before = Some((row, column));
        if *value == DataRef::Empty {
            continue;
        }
        if line > under_way.row.line {
            out_with(&mut under_way, line, out)?;
        }
        let format = formats.get(style).map_or(GENERAL, String::as_str);
        if !under_way.add(line, column, (value, format)) {
            return Ok(XlsxMessage::Broken(line));
        }
    }
    out_with(&mut under_way, 0, out)?;
    Ok(XlsxMessage::End)
}

/// Hands the row that was read on, unless it is empty, and begins the next one.
fn out_with(under_way: &mut CurrentRow, next: u64, out: &mut RowSink<'_>) -> io::Result<()> {
    let CurrentRow { row, wrong } = std::mem::take(under_way);
    under_way.row.line = next;
    match wrong.is_empty() {
        false => out(&XlsxMessage::Wrong(wrong, row)),
        true if row.text.is_empty() => Ok(()),
        true => out(&XlsxMessage::Row(row)),
    }
}

/// The row that is being read.
#[derive(Default)]
struct CurrentRow {
    row: FileRow,
    /// What was wrong with it, the first of many.
    wrong: Vec<BadCell>,
}

impl CurrentRow {
    /// Takes a cell in. False if the sheet is not in order: a cell stands before one that was read.
    fn add(&mut self, line: u64, column: u32, cell: (&DataRef<'_>, &str)) -> bool {
        let Ok(column) = usize::try_from(column) else {
            return false;
        };
        if line < self.row.line || column < self.row.ends.len() {
            return false;
        }
        if let Err(reason) = self.take(column, cell)
            && self.wrong.len() < BAD_CELLS
        {
            self.wrong.push(BadCell { column, reason });
        }
        true
    }

    fn take(
        &mut self,
        column: usize,
        (value, format): (&DataRef<'_>, &str),
    ) -> Result<(), Message> {
        if column >= COLUMNS_MAX {
            return Err(Message::new(
                "cell-behind-last-column",
                "stands behind the 1,000th column",
            ));
        }
        let (text, wrong) = match cell::text(value, format) {
            Ok(text) => (text, Ok(())),
            // What is given back to be mended has what stood there.
            Err(reason) => (Cow::Owned(cell::as_seen(value, format)), Err(reason)),
        };
        if text.is_empty() {
            return wrong;
        }
        if self.row.text.len().saturating_add(text.len()) > ROW_MAX {
            return Err(Message::new(
                "cell-makes-row-too-long",
                "makes the row longer than 1 MiB",
            ));
        }
        (self.row.ends.len()..column).for_each(|_| self.row.push(""));
        match value {
            DataRef::DateTime(_) | DataRef::DateTimeIso(_) => self.row.dates.push(column),
            DataRef::Int(_) | DataRef::Float(_) => self.row.numbers.push(column),
            DataRef::String(_)
            | DataRef::SharedString(_)
            | DataRef::Bool(_)
            | DataRef::DurationIso(_)
            | DataRef::Error(_)
            | DataRef::Empty => {}
        }
        self.row.push(&text);
        wrong
    }
}
