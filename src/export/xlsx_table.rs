//! A table as an Excel workbook: ids are text, amounts numbers with the decimals of their currency,
//! days and instants dates. A row that is written is no longer in memory: it waits in a file without
//! a name until the workbook is put together.
//!
//! A sheet has 1,048,576 rows; what is beyond goes on in another one, with the headings again. A
//! workbook may have several tables, each on sheets of its own.

use std::io::{self, Write};
use std::path::Path;

use chrono_tz::Tz;
use rust_decimal::Decimal;
use rust_xlsxwriter::{
    ExcelDateTime, Format, FormatAlign, IgnoreError, Workbook, Worksheet, XlsxError,
};

use super::ExportError;
use super::table::{TableCell, TableColumnKind, TableEnd, TableHead, on_clock};
use crate::domain::money::{Currency, decimal_text};
use crate::domain::text::visible;

/// How many rows a sheet has, the headings counted.
const SHEET_ROWS: u32 = 1_048_576;

/// The most characters of a cell, as UTF-16 counts them.
const CELL_MAX: usize = 32_767;

/// Excel's number for the paper.
const A4: u8 = 9;

/// How many characters beside each other can be read on a page.
const READABLE: u32 = 180;

/// How many characters of the first columns stand on each page of a list that is wider: they say
/// which row it is.
const REPEATED: u32 = 45;

/// From how many minor units on Excel would round an amount: it has 15 digits.
const EXACT: u128 = 1_000_000_000_000_000;

/// How many cells make a sheet that the plain form of the archive may not hold, which ends at
/// 4 GiB: none is written with more than some 150 bytes but by very long texts.
const MANY_CELLS: u64 = 25_000_000;

/// How a sheet is laid out.
#[derive(Debug, Clone)]
pub(crate) enum TableLayout {
    /// A list of any length: columns are as wide as what was written into them.
    List,
    /// For people who print it: every column is as wide as what is in it, and all of them are as wide
    /// as a page.
    Page {
        /// What stands at the foot of each page.
        title: String,
        /// The widths of the columns, in characters.
        widths: Vec<u32>,
    },
}

/// The widest column of a printed page, in characters; what is longer stands in several lines.
const PAGE_COLUMN: u32 = 70;

/// The width of a column of sentences, in characters.
const PROSE: u32 = 32;

/// The widest column of ids of a list, in characters; a longer one stands in several lines.
const IDS: u32 = 34;

/// How wide a list may be that is printed as wide as one page.
const ONE_PAGE: u32 = 340;

/// How many characters the filter's arrow takes beside a heading.
const ARROW: u32 = 3;

/// The room between two columns of a printed page, in characters; it has no arrows.
const GAP: u32 = 2;

/// The height of a line, and the most of a row, in points.
const LINE_HEIGHT: u32 = 15;
const HEIGHT_MAX: u32 = 405;

pub(crate) struct XlsxTable<W> {
    out: W,
    head: TableHead,
    layout: TableLayout,
    formats: SheetFormats,
    workbook: Workbook,
    sheet: Worksheet,
    /// The row of the sheet that is written next.
    next: u32,
    sheet_rows: u32,
    /// The most characters of a cell, by column of the table.
    longest: Vec<usize>,
    /// How many sheets the table has that is being written, and all tables.
    sheets_of_table: u32,
    sheets: u32,
    rows: u64,
}

/// How cells look.
struct SheetFormats {
    heading: Format,
    /// Of a column of numbers.
    heading_of_numbers: Format,
    /// A text in as many lines as it needs.
    wrapped: Format,
    id: Format,
    plain: Format,
    count: Format,
    left: Format,
    date: Format,
    instant: Format,
    /// By how many decimals.
    money: Vec<Format>,
}

impl SheetFormats {
    fn new() -> Self {
        // A row may have several lines: what has one stands in the first.
        let number = |pattern: &str| {
            Format::new()
                .set_num_format(pattern)
                .set_align(FormatAlign::Top)
        };
        // Behind a number the width of a bracket is left free: else it would touch the text there.
        let money = |decimals: usize| match decimals {
            0 => number("#,##0_)"),
            _ => number(&format!("#,##0.{}_)", "0".repeat(decimals))),
        };
        Self {
            heading: Format::new().set_bold(),
            heading_of_numbers: number("@_)").set_bold().set_align(FormatAlign::Right),
            wrapped: Format::new().set_text_wrap().set_align(FormatAlign::Top),
            id: number("@").set_text_wrap(),
            plain: Format::new().set_align(FormatAlign::Top),
            count: number("0_)"),
            left: Format::new()
                .set_align(FormatAlign::Left)
                .set_align(FormatAlign::Top),
            date: number("yyyy-mm-dd").set_align(FormatAlign::Left),
            instant: number("yyyy-mm-dd hh:mm:ss").set_align(FormatAlign::Left),
            money: (0..=4).map(money).collect(),
        }
    }
}

impl<W: Write + Send> XlsxTable<W> {
    /// Begins the first sheet; `temporary`: where rows wait.
    pub fn begin(out: W, head: TableHead, temporary: Option<&Path>) -> Result<Self, ExportError> {
        Self::with_sheets_of(out, head, temporary, SHEET_ROWS)
    }

    /// Begins the first sheet of a workbook that is printed.
    pub fn begin_page(out: W, head: TableHead, layout: TableLayout) -> Result<Self, ExportError> {
        Self::laid_out(out, (head, layout), None, SHEET_ROWS)
    }

    fn with_sheets_of(
        out: W,
        head: TableHead,
        temporary: Option<&Path>,
        sheet_rows: u32,
    ) -> Result<Self, ExportError> {
        Self::laid_out(out, (head, TableLayout::List), temporary, sheet_rows)
    }

    fn laid_out(
        out: W,
        (head, layout): (TableHead, TableLayout),
        temporary: Option<&Path>,
        sheet_rows: u32,
    ) -> Result<Self, ExportError> {
        let mut workbook = Workbook::new();
        if let Some(folder) = temporary {
            workbook.set_tempdir(folder)?;
        }
        let formats = SheetFormats::new();
        let sheet = begin_sheet(&mut workbook, (&head, &layout), &formats, 1)?;
        Ok(Self {
            out,
            longest: vec![0; head.columns.len()],
            head,
            layout,
            formats,
            workbook,
            sheet,
            next: 1,
            sheet_rows,
            sheets_of_table: 1,
            sheets: 1,
            rows: 0,
        })
    }

    /// Ends the table and begins another one.
    pub fn next_table(&mut self, head: TableHead, layout: TableLayout) -> Result<(), ExportError> {
        let next = begin_sheet(&mut self.workbook, (&head, &layout), &self.formats, 1)?;
        self.turn_to(next)?;
        self.longest = vec![0; head.columns.len()];
        self.head = head;
        self.layout = layout;
        self.sheets_of_table = 1;
        Ok(())
    }

    pub fn row(&mut self, cells: &[TableCell]) -> Result<(), ExportError> {
        if self.next == self.sheet_rows {
            self.next_sheet()?;
        }
        self.height(cells)?;
        for (place, cell) in (0_u16..).zip(cells) {
            self.cell(place, cell)?;
        }
        for (longest, cell) in self.longest.iter_mut().zip(cells) {
            *longest = shown_length(cell, self.head.zone).max(*longest);
        }
        self.next += 1;
        self.rows += 1;
        Ok(())
    }

    pub fn finish(mut self) -> Result<(W, TableEnd), ExportError> {
        let laid_out = (&self.head, &self.layout);
        end_sheet(&mut self.sheet, laid_out, &self.longest, self.next)?;
        self.workbook.push_worksheet(self.sheet);
        let rows_of_sheet = self.rows.min(u64::from(self.sheet_rows));
        if rows_of_sheet * self.head.columns.len() as u64 > MANY_CELLS {
            self.workbook.use_zip_large_file(true);
        }
        let out = QuietAfterError {
            out: &mut self.out,
            broken: false,
        };
        match self.workbook.save_to_writer(out) {
            Ok(()) => {}
            Err(XlsxError::IoError(error)) => return Err(error.into()),
            Err(other) => return Err(other.into()),
        }
        self.out.flush()?;
        let (rows, sheets) = (self.rows, self.sheets);
        Ok((self.out, TableEnd { rows, sheets }))
    }

    fn next_sheet(&mut self) -> Result<(), ExportError> {
        self.sheets_of_table += 1;
        let number = self.sheets_of_table;
        let laid_out = (&self.head, &self.layout);
        let next = begin_sheet(&mut self.workbook, laid_out, &self.formats, number)?;
        self.turn_to(next)
    }

    /// Ends the sheet, and goes on in this one.
    fn turn_to(&mut self, next: Worksheet) -> Result<(), ExportError> {
        let mut full = std::mem::replace(&mut self.sheet, next);
        let laid_out = (&self.head, &self.layout);
        end_sheet(&mut full, laid_out, &self.longest, self.next)?;
        self.workbook.push_worksheet(full);
        self.sheets += 1;
        self.next = 1;
        Ok(())
    }

    fn cell(&mut self, column: u16, cell: &TableCell) -> Result<(), ExportError> {
        let (row, formats) = (self.next, &self.formats);
        let kind = self.head.columns.get(usize::from(column));
        let is_id = kind.is_some_and(|column| column.kind == TableColumnKind::Id);
        let is_prose = kind.is_some_and(|column| column.kind == TableColumnKind::Prose);
        match cell {
            TableCell::Empty => {}
            TableCell::Text(text) | TableCell::Name(_, text) if is_id => {
                let text = shown(text);
                self.sheet
                    .write_string_with_format(row, column, text, &formats.id)?;
            }
            TableCell::Text(text) | TableCell::Name(_, text) => match self.layout {
                TableLayout::List if !is_prose => {
                    let (text, format) = (shown(text), &formats.plain);
                    self.sheet
                        .write_string_with_format(row, column, text, format)?;
                }
                TableLayout::List | TableLayout::Page { .. } => {
                    let (text, format) = (shown(text), &formats.wrapped);
                    self.sheet
                        .write_string_with_format(row, column, text, format)?;
                }
            },
            // Among words a number begins where they do.
            TableCell::Count(count)
                if kind.is_some_and(|one| one.kind == TableColumnKind::Text) =>
            {
                let (number, format) = (Decimal::from(*count), &formats.left);
                self.sheet.write_with_format(row, column, number, format)?;
            }
            TableCell::Count(count) => {
                let (number, format) = (Decimal::from(*count), &formats.count);
                self.sheet.write_with_format(row, column, number, format)?;
            }
            TableCell::Money(minor, currency) => match exact(*minor, *currency) {
                Some((number, format)) => {
                    let format = formats.money.get(format).unwrap_or(&formats.money[2]);
                    self.sheet.write_with_format(row, column, number, format)?;
                }
                None => {
                    let text = decimal_text(*minor, *currency);
                    self.sheet.write_string(row, column, text)?;
                }
            },
            TableCell::Date(day) => {
                let midnight = day.and_hms_opt(0, 0, 0).unwrap_or_default();
                self.date(column, midnight.and_utc().timestamp(), cell)?;
            }
            TableCell::Instant(at) => match on_clock(*at, self.head.zone) {
                Some(on) => self.date(column, on.and_utc().timestamp(), cell)?,
                None => drop(self.sheet.write_string(row, column, at.to_string())?),
            },
            TableCell::Clock(on) => self.date(column, on.and_utc().timestamp(), cell)?,
        }
        Ok(())
    }

    /// A row of a page is as high as its longest text needs, and one of a list as its sentences need.
    fn height(&mut self, cells: &[TableCell]) -> Result<(), ExportError> {
        let width_of = |place: usize| match &self.layout {
            TableLayout::Page { widths, .. } => widths.get(place).copied(),
            TableLayout::List => {
                let column = self.head.columns.get(place)?;
                match column.kind {
                    TableColumnKind::Prose => Some(PROSE),
                    TableColumnKind::Id => Some(IDS),
                    TableColumnKind::Text
                    | TableColumnKind::Count
                    | TableColumnKind::Money
                    | TableColumnKind::Date
                    | TableColumnKind::Instant
                    | TableColumnKind::Clock => None,
                }
            }
        };
        let texts = cells.iter().enumerate().filter_map(|(place, cell)| {
            let (TableCell::Text(text) | TableCell::Name(_, text)) = cell else {
                return None;
            };
            Some(lines_of(text, width_of(place)?))
        });
        let lines = texts.max().unwrap_or(1);
        if lines > 1 {
            let height = (LINE_HEIGHT * lines).min(HEIGHT_MAX);
            self.sheet.set_row_height(self.next, height)?;
        }
        Ok(())
    }

    /// A date of Excel's, which has the years from 1900 to 9999; any other is text. `seconds`: of the
    /// wall clock.
    fn date(&mut self, column: u16, seconds: i64, cell: &TableCell) -> Result<(), ExportError> {
        let format = match cell {
            TableCell::Instant(_) | TableCell::Clock(_) => &self.formats.instant,
            TableCell::Empty
            | TableCell::Text(_)
            | TableCell::Name(..)
            | TableCell::Count(_)
            | TableCell::Money(..)
            | TableCell::Date(_) => &self.formats.date,
        };
        match ExcelDateTime::from_timestamp(seconds) {
            Ok(date) => {
                self.sheet
                    .write_datetime_with_format(self.next, column, &date, format)?;
            }
            Err(_) => {
                let text = cell.plain(self.head.zone);
                self.sheet.write_string(self.next, column, text)?;
            }
        }
        Ok(())
    }
}

/// What is written to, until it takes no more: what comes after the error is dropped. The archive
/// would write its end, fail once more, and say so on standard error.
struct QuietAfterError<'a, W> {
    out: &'a mut W,
    broken: bool,
}

impl<W: Write> Write for QuietAfterError<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.broken {
            return Ok(bytes.len());
        }
        let written = self.out.write(bytes);
        self.broken = written.is_err();
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.broken {
            return Ok(());
        }
        self.out.flush()
    }
}

/// A sheet with its headings, which stay in sight.
fn begin_sheet(
    workbook: &mut Workbook,
    (head, layout): (&TableHead, &TableLayout),
    formats: &SheetFormats,
    number: u32,
) -> Result<Worksheet, ExportError> {
    let mut sheet = workbook.new_worksheet_with_constant_memory()?;
    let name = match number {
        1 => head.title.to_owned(),
        _ => format!("{} {number}", head.title),
    };
    sheet.set_name(name)?;
    sheet.set_freeze_panes(1, 0)?;
    // On paper: A4 across, the headings on each page.
    sheet
        .set_paper_size(A4)
        .set_landscape()
        .set_repeat_rows(0, 0)?;
    let title = match layout {
        TableLayout::List => String::new(),
        TableLayout::Page { title, .. } => format!("{}, ", title.replace('&', "&&")),
    };
    sheet.set_footer(format!("&L{title}&A&RPage &P of &N"));
    // In inches: at the sides, above and below, of head and foot.
    sheet.set_margins(0.4, 0.4, 0.6, 0.6, 0.3, 0.3);
    let is_page = matches!(layout, TableLayout::Page { .. });
    let mut columns = head.columns.iter();
    if !is_page && columns.any(|one| one.kind == TableColumnKind::Instant) {
        sheet.set_row_height(0, LINE_HEIGHT * 2)?;
    }
    if let TableLayout::Page { widths, .. } = layout {
        let lines = head.headings().zip(widths);
        let lines = lines.map(|(heading, width)| lines_of(&heading, *width));
        sheet.set_row_height(0, LINE_HEIGHT * lines.max().unwrap_or(1))?;
        set_widths(&mut sheet, widths)?;
        sheet.set_print_fit_to_pages(1, 0);
    }
    for (place, (heading, column)) in (0_u16..).zip(head.headings().zip(&head.columns)) {
        let is_number = matches!(column.kind, TableColumnKind::Count | TableColumnKind::Money);
        let format = if is_number {
            formats.heading_of_numbers.clone()
        } else {
            formats.heading.clone()
        };
        let is_time = column.kind == TableColumnKind::Instant;
        let format = if is_page || is_time {
            format.set_text_wrap()
        } else {
            format
        };
        sheet.write_string_with_format(0, place, shown(&heading), &format)?;
    }
    Ok(sheet)
}

fn set_widths(sheet: &mut Worksheet, widths: &[u32]) -> Result<(), ExportError> {
    for (place, width) in (0_u16..).zip(widths) {
        sheet.set_column_width(place, *width)?;
    }
    Ok(())
}

/// In how many lines a text stands in a column of this width, a gap left beside it.
fn lines_of(text: &str, width: u32) -> u32 {
    let room = usize::try_from(width.saturating_sub(GAP)).unwrap_or(0);
    let (mut lines, mut used) = (1, 0);
    for word in text.split(' ') {
        let length: usize = word.chars().map(char_width).sum();
        // A word that has no room in a line goes on in the next.
        let more = length.saturating_sub(1) / room.max(1);
        lines += u32::try_from(more).unwrap_or(0);
        if used > 0 && used + 1 + length > room {
            lines += 1;
            used = length;
        } else {
            used += length + usize::from(used > 0);
        }
    }
    lines
}

/// How wide a column of a printed page is: as what is in it, `longest` characters, and no narrower
/// than the longest word of its heading.
pub(crate) fn page_width(heading: &str, longest: usize) -> u32 {
    let word = heading.split(' ').map(|word| word.chars().count()).max();
    let word = u32::try_from(word.unwrap_or(0)).unwrap_or(0) + GAP;
    let longest = u32::try_from(longest).map_or(PAGE_COLUMN, |longest| longest + GAP);
    longest.min(PAGE_COLUMN).max(word)
}

/// The headings of a list filter its rows; of a page just what is in it is printed. `next`: the row
/// behind the last. Ids of digits are text on purpose.
fn end_sheet(
    sheet: &mut Worksheet,
    (head, layout): (&TableHead, &TableLayout),
    longest: &[usize],
    next: u32,
) -> Result<(), ExportError> {
    let last = u16::try_from(head.columns.len().saturating_sub(1)).unwrap_or(0);
    match layout {
        TableLayout::List => {
            widen(sheet, head, longest)?;
            sheet.autofilter(0, 0, next.saturating_sub(1), last)?
        }
        TableLayout::Page { .. } => sheet.set_print_area(0, 0, next.saturating_sub(1), last)?,
    };
    if next > 1 {
        sheet.ignore_error_range(1, 0, next - 1, last, IgnoreError::NumberStoredAsText)?;
    }
    Ok(())
}

/// Makes the columns of a list as wide as what is in them. On paper it is as wide as few pages, in
/// letters that can be read. The first columns stand on each of them, and the pages of the same rows
/// follow each other.
fn widen(sheet: &mut Worksheet, head: &TableHead, longest: &[usize]) -> Result<(), ExportError> {
    let columns = head.headings().zip(&head.columns).zip(longest);
    let widths: Vec<u32> = columns
        .map(|((heading, column), longest)| {
            let width = list_width(&heading, *longest);
            match column.kind {
                TableColumnKind::Prose => width.min(PROSE),
                TableColumnKind::Id => width.min(IDS),
                // The time zone stands in a line of its own.
                TableColumnKind::Instant => heading
                    .split(' ')
                    .map(|word| list_width(word, *longest))
                    .max()
                    .unwrap_or(width),
                TableColumnKind::Text
                | TableColumnKind::Count
                | TableColumnKind::Money
                | TableColumnKind::Date
                | TableColumnKind::Clock => width,
            }
        })
        .collect();
    set_widths(sheet, &widths)?;
    let mut repeated = 0;
    let fits = |width: &&u32| {
        let together = repeated + **width;
        if together <= REPEATED {
            repeated = together;
        }
        together <= REPEATED
    };
    let last = widths.iter().take_while(fits).count().checked_sub(1);
    let pages = pages_wide(widths.iter().sum(), repeated);
    sheet.set_print_fit_to_pages(pages, 0);
    if let Some(last) = last
        && pages > 1
    {
        sheet.set_page_order(false);
        sheet.set_repeat_columns(0, u16::try_from(last).unwrap_or(0))?;
    }
    Ok(())
}

/// How many pages beside each other a table takes, of which each repeats some of it.
fn pages_wide(whole: u32, repeated: u32) -> u16 {
    if whole <= ONE_PAGE {
        return 1;
    }
    let others = whole.saturating_sub(repeated);
    let room = READABLE.saturating_sub(repeated).max(1);
    u16::try_from(others.div_ceil(room))
        .unwrap_or(u16::MAX)
        .max(1)
}

/// How wide a column of a list is: as what is in it, and no narrower than its heading with the
/// filter's arrow.
fn list_width(heading: &str, longest: usize) -> u32 {
    let wide = |characters: usize| u32::try_from(characters).unwrap_or(PAGE_COLUMN);
    let heading = wide(heading.chars().map(char_width).sum()) + ARROW;
    let longest = wide(longest).saturating_add(GAP);
    longest.min(PAGE_COLUMN).max(heading.min(PAGE_COLUMN))
}

/// How many characters of usual width a cell has.
pub(crate) fn shown_length(cell: &TableCell, zone: Tz) -> usize {
    match cell {
        TableCell::Empty => 0,
        TableCell::Text(text) | TableCell::Name(_, text) => text.chars().map(char_width).sum(),
        // Thousands stand apart, and a little is left free behind.
        TableCell::Money(..) | TableCell::Count(_) => {
            let digits = cell.plain(zone).len();
            digits + digits / 3 + 1
        }
        TableCell::Date(_) => "2026-03-31".len(),
        TableCell::Instant(_) | TableCell::Clock(_) => "2026-03-31 00:00:00".len(),
    }
}

/// Chinese takes two.
fn char_width(letter: char) -> usize {
    1 + usize::from(!letter.is_ascii())
}

/// The number of an amount, and how many decimals it has; none where Excel would round it.
fn exact(minor: i128, currency: Currency) -> Option<(Decimal, usize)> {
    let number = Decimal::try_from_i128_with_scale(minor, currency.exponent());
    (minor.unsigned_abs() < EXACT).then_some((number.ok()?, currency.exponent() as usize))
}

/// The text with every character that nobody sees by its number, cut to what a cell takes.
fn shown(text: &str) -> String {
    let mut text = visible(text).into_owned();
    if text.encode_utf16().count() <= CELL_MAX {
        return text;
    }
    let mut units = 0;
    let end = text
        .char_indices()
        .find(|(_, c)| {
            units += c.len_utf16();
            units >= CELL_MAX
        })
        .map_or(text.len(), |(at, _)| at);
    text.truncate(end);
    text.push('…');
    text
}

#[cfg(test)]
mod tests {
    use calamine::{Data, Reader as _, Xlsx, open_workbook_from_rs};

    use super::super::table::TableColumn;
    use super::*;

    fn sheets(columns: Vec<TableColumn>, rows: &[Vec<TableCell>]) -> Vec<Vec<Vec<Data>>> {
        let head = TableHead {
            title: "items",
            columns,
            zone: chrono_tz::UTC,
        };
        let mut table = XlsxTable::with_sheets_of(Vec::new(), head, None, 3).unwrap();
        rows.iter().for_each(|row| table.row(row).unwrap());
        let (bytes, end) = table.finish().unwrap();
        assert_eq!(end.rows, rows.len() as u64);
        let mut workbook: Xlsx<_> = open_workbook_from_rs(std::io::Cursor::new(bytes)).unwrap();
        let sheets = workbook.worksheets();
        assert_eq!(sheets.len(), end.sheets as usize);
        sheets
            .into_iter()
            .map(|(_, range)| range.rows().map(<[Data]>::to_vec).collect())
            .collect()
    }

    #[test]
    fn what_a_sheet_does_not_hold_goes_on_in_the_next_under_the_same_headings() {
        let columns = vec![TableColumn::new("count", TableColumnKind::Count)];
        let rows: Vec<_> = (1..=5).map(|n| vec![TableCell::Count(n)]).collect();
        let sheets = sheets(columns, &rows);
        let of = |sheet: &[Vec<Data>]| {
            sheet
                .iter()
                .map(|row| row[0].to_string())
                .collect::<Vec<_>>()
        };
        let shown: Vec<Vec<String>> = sheets.iter().map(|sheet| of(sheet)).collect();
        let wanted = [
            &["count", "1", "2"][..],
            &["count", "3", "4"],
            &["count", "5"],
        ];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn an_amount_is_the_number_that_is_written_and_text_where_excel_would_round_it() {
        let currency = |code| Currency::parse(code).unwrap();
        let columns = vec![TableColumn::new("amount", TableColumnKind::Money)];
        let amounts = [
            (1, "HKD"),
            (999_999_999_999_999, "HKD"),
            (1_000_000_000_000_000, "HKD"),
            (-29, "USD"),
            (1_234, "KWD"),
            (12, "JPY"),
        ];
        let rows: Vec<_> = amounts
            .iter()
            .map(|(minor, code)| vec![TableCell::Money(*minor, currency(code))])
            .collect();
        let cells: Vec<Data> = sheets(columns, &rows)
            .into_iter()
            .flat_map(|sheet| sheet.into_iter().skip(1).map(|row| row[0].clone()))
            .collect();
        let texts: Vec<String> = cells.iter().map(ToString::to_string).collect();
        let wanted = [
            "0.01",
            "9999999999999.99",
            "10000000000000.00",
            "-0.29",
            "1.234",
            "12",
        ];
        assert_eq!(texts, wanted);
        assert!(matches!(cells[1], Data::Float(_)) && matches!(cells[2], Data::String(_)));
    }

    #[test]
    fn a_text_has_as_many_lines_as_its_words_need() {
        assert_eq!(lines_of("payments", 11), 1);
        assert_eq!(lines_of("payments of others amount", 13), 3);
        assert_eq!(lines_of(&"x".repeat(100), 23), 5);
        assert_eq!(lines_of("", 0), 1);
        assert_eq!(page_width("payments of others", 3), 10);
        assert_eq!(page_width("meaning", 500), 70);
    }

    #[test]
    fn a_column_of_a_list_is_as_wide_as_its_heading_and_what_is_in_it() {
        assert_eq!(list_width("run", 1), 6);
        let pages = [10, 340, 341, 450, 451].map(|whole| pages_wide(whole, 45));
        assert_eq!(pages, [1, 1, 3, 3, 4]);
        assert_eq!(list_width("occurrence", 44), 46);
        assert_eq!(list_width("签约协议号", 4), 13);
        assert_eq!(list_width("detail", 5_000), 70);
        let hkd = Currency::parse("HKD").unwrap();
        let length = |cell| shown_length(&cell, chrono_tz::UTC);
        assert_eq!(length(TableCell::Text("会员 a".to_owned())), 6);
        assert_eq!(length(TableCell::Money(123_456_789, hkd)), 14);
        assert_eq!(length(TableCell::Empty), 0);
    }

    #[test]
    fn a_long_text_is_cut_and_what_is_no_date_of_excels_is_text() {
        let columns = vec![
            TableColumn::new("text", TableColumnKind::Text),
            TableColumn::new("day", TableColumnKind::Date),
        ];
        let long = "会".repeat(40_000);
        let day = "1850-01-01".parse().unwrap();
        let rows = [vec![TableCell::Text(long), TableCell::Date(day)]];
        let sheets = sheets(columns, &rows);
        let row = &sheets[0][1];
        assert_eq!(row[0].to_string().chars().count(), CELL_MAX);
        assert_eq!(row[1], Data::String("1850-01-01".to_owned()));
    }
}
