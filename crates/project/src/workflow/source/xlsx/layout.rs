//! What of a sheet a person does not see as it is: rows and columns that are hidden or filtered
//! away, cells that are merged, and formulas without a value. Read from the sheet's part of the file, before its rows are.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};
use serde::{Deserialize, Serialize};
use zip::ZipArchive;

use super::super::cell_forms::CellForms;
use super::super::header::Header;
use super::NO_WORKBOOK;
use super::valueless::{CellValue, ValuelessCells};
use crate::workflow::source::{COLUMNS_MAX, FileOptions};
use payrun_domain::message::{Message, MessageArgument};

/// The most places of each kind that are noted; a message names the first of them.
const NOTED: usize = 1_000;

/// How many places a message names.
const NAMED: usize = 8;

/// The layout of one sheet.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct SheetLayout {
    /// The name of the sheet.
    pub(super) sheet: String,
    /// Other sheets that a person sees, where nobody said which one is meant: the first few.
    pub(super) other_sheets: Vec<String>,
    /// Hidden sheets with values, where nobody said which sheet is meant: the first few.
    pub(super) hidden_sheets: Vec<String>,
    /// What the cells of each column are.
    pub(super) forms: Vec<CellForms>,
    /// Hidden rows with values: the first and the last of those that stand together, from 1.
    hidden_rows: Vec<(u64, u64)>,
    /// Whether a filter is on.
    filtered: bool,
    /// Hidden columns: the first and the last, from 0.
    hidden_columns: Vec<(usize, usize)>,
    /// Merged cells: where they are, and their last row.
    merged: Vec<(String, u64)>,
    valueless: ValuelessCells,
}

impl SheetLayout {
    /// Refuses a sheet that shows a person something else than what is read: below its header, or
    /// in a column that is used.
    pub(super) fn check(&self, header: &Header, options: &FileOptions) -> Result<(), Message> {
        let in_used = |column| is_used(header, options, column);
        let valueless = self.valueless.below(header.line, in_used);
        if !valueless.is_empty() {
            return Err(Message::new(
                "sheet-valueless",
                "these cells of the sheet have a formula that nobody has calculated, or a value that Excel does not show: {places}. Open \
                 the file in Excel or LibreOffice, look at them, and save it",
            )
            .with("places", listed(&valueless)));
        }
        if options.include_hidden {
            return Ok(());
        }
        let rows: Vec<String> = self
            .hidden_rows
            .iter()
            .filter(|(_, last)| *last > header.line)
            .map(|(first, last)| match first.max(&(header.line + 1)) {
                first if first == last => first.to_string(),
                first => format!("{first}–{last}"),
            })
            .collect();
        if !rows.is_empty() {
            let why = if self.filtered {
                Message::new("sheet-hidden-or-filtered", "hidden or filtered away")
            } else {
                Message::new("sheet-hidden", "hidden")
            };
            return Err(Message::new(
                "sheet-hidden-rows",
                "these rows of sheet \"{sheet}\" are {why}, and nobody sees them: {places}. Show them (Data, Clear filter; Format, \
                 Unhide), delete them, or say hidden: include if they are meant too",
            )
            .with("sheet", payrun_domain::text::shown(&self.sheet))
            .with("why", why)
            .with("places", listed(&rows)));
        }
        let columns: Vec<String> = self
            .hidden_columns
            .iter()
            .flat_map(|(first, last)| *first..=(*last).min(COLUMNS_MAX))
            .filter(|index| is_used(header, options, *index))
            .map(column_letters)
            .collect();
        if !columns.is_empty() {
            return Err(Message::new(
                "sheet-hidden-columns",
                "these columns of the sheet are hidden, and are read: {places}. Show them, or say hidden: include if they are meant",
            )
            .with("places", listed(&columns)));
        }
        let merged: Vec<String> = self
            .merged
            .iter()
            .filter(|(_, last)| *last > header.line)
            .map(|(range, _)| range.clone())
            .collect();
        if merged.is_empty() {
            return Ok(());
        }
        Err(Message::new(
            "sheet-merged",
            "these cells of the sheet are merged, so that one value stands for several rows or columns: {places}. Unmerge them, and \
             fill each cell",
        )
        .with("places", listed(&merged)))
    }
}

fn is_used(header: &Header, options: &FileOptions, column: usize) -> bool {
    let column = header.columns.get(column);
    column.is_some_and(|column| {
        options.used.is_empty() || options.used.iter().any(|used| used == column)
    })
}

fn listed(places: &[String]) -> MessageArgument {
    let more = places.len().saturating_sub(NAMED);
    let first = MessageArgument::names(&places[..places.len().min(NAMED)]);
    if more > 0 {
        Message::new("places-and-more", "{places} and {more} more")
            .with("places", first)
            .with("more", more)
            .into()
    } else {
        first
    }
}

/// A column as Excel names it: `AA` is the 27th.
pub(in super::super) fn column_letters(index: usize) -> String {
    let (mut rest, mut letters) = (index + 1, Vec::new());
    while rest > 0 {
        let letter = u8::try_from((rest - 1) % 26).unwrap_or_default();
        letters.push(char::from(b'A' + letter));
        rest = (rest - 1) / 26;
    }
    letters.iter().rev().collect()
}

/// The layout of a sheet.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn read(file: &File, sheet: &str) -> Result<SheetLayout, Message> {
    let mut file = file.try_clone().map_err(|_| NO_WORKBOOK)?;
    file.rewind().map_err(|_| NO_WORKBOOK)?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|_| NO_WORKBOOK)?;
    let part = part_of(&mut archive, sheet).ok_or(NO_WORKBOOK)?;
    let is_calculated = is_calculated(&mut archive);
    let entry = archive.by_index(part).map_err(|_| NO_WORKBOOK)?;
    let mut layout = SheetLayout {
        sheet: sheet.to_owned(),
        ..SheetLayout::default()
    };
    scan(entry, is_calculated, &mut layout).map_err(|_| {
        Message::new(
            "sheet-unreadable",
            "the sheet cannot be read; open the file in Excel and save it again",
        )
    })?;
    Ok(layout)
}

/// The part of the file with the rows of a sheet.
fn part_of(archive: &mut ZipArchive<BufReader<File>>, sheet: &str) -> Option<usize> {
    let workbook = index_of(archive, is_workbook)?;
    let folder = {
        let entry = archive.by_index(workbook).ok()?;
        let name = entry.name().ok()?.into_owned();
        name.rsplit_once('/')
            .map_or(String::new(), |(folder, _)| format!("{folder}/"))
    };
    let id = attribute_of(
        archive.by_index(workbook).ok()?,
        "sheet",
        ("name", sheet),
        "id",
    )?;
    let links = format!("{folder}_rels/workbook.xml.rels").to_ascii_lowercase();
    let links = index_of(archive, |name| name == links)?;
    let target = attribute_of(
        archive.by_index(links).ok()?,
        "Relationship",
        ("Id", &id),
        "Target",
    )?;
    let path = match target.strip_prefix('/') {
        Some(path) => path.to_owned(),
        None => format!("{folder}{target}"),
    };
    let path = path.to_ascii_lowercase();
    index_of(archive, |name| name == path)
}

/// Whether the program that wrote the file has calculated its formulas. One that has not asks Excel
/// to do it on opening, and may have written 0 for each.
fn is_calculated(archive: &mut ZipArchive<BufReader<File>>) -> bool {
    let wanted = "fullCalcOnLoad";
    let asks = ["1", "true"].iter().any(|yes| {
        let workbook = index_of(archive, is_workbook);
        let entry = workbook.and_then(|index| archive.by_index(index).ok());
        entry.is_some_and(|entry| attribute_of(entry, "calcPr", (wanted, yes), wanted).is_some())
    });
    !asks
}

fn is_workbook(name: &str) -> bool {
    name.ends_with("/workbook.xml") || name == "workbook.xml"
}

fn index_of(
    archive: &mut ZipArchive<BufReader<File>>,
    is_meant: impl Fn(&str) -> bool,
) -> Option<usize> {
    (0..archive.len()).find(|index| {
        archive.by_index_raw(*index).is_ok_and(|entry| {
            entry
                .name()
                .is_ok_and(|name| is_meant(&name.to_ascii_lowercase().replace('\\', "/")))
        })
    })
}

fn parser(entry: impl Read) -> Reader<BufReader<impl Read>> {
    let mut reader = Reader::from_reader(BufReader::new(entry));
    let config = reader.config_mut();
    config.expand_empty_elements = true;
    config.check_end_names = false;
    reader
}

/// The wanted attribute of the element of this name whose other attribute has this value.
fn attribute_of(
    entry: impl Read,
    element: &str,
    (name, value): (&str, &str),
    wanted: &str,
) -> Option<String> {
    let (mut reader, mut buffer) = (parser(entry), Vec::new());
    loop {
        buffer.clear();
        let event = reader.read_event_into(&mut buffer).ok()?;
        if matches!(event, Event::Eof) {
            return None;
        }
        if let Event::Start(start) = event
            && start.local_name().as_ref() == element
            && attribute(&start, name).as_deref() == Some(value)
        {
            return attribute(&start, wanted);
        }
    }
}

/// An attribute by its name without a prefix.
pub(super) fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut attributes = start.attributes();
    let found = attributes
        .with_checks(false)
        .flatten()
        .find(|one| one.key.local_name().as_ref() == name)?;
    let value = found.normalized_value(XmlVersion::Implicit1_0).ok()?;
    Some(value.into_owned())
}

fn is_on(start: &BytesStart<'_>, name: &str) -> bool {
    matches!(attribute(start, name).as_deref(), Some("1" | "true"))
}

/// Whether a height or a width is nothing.
fn is_nothing(start: &BytesStart<'_>, name: &str) -> bool {
    attribute(start, name)
        .is_some_and(|size| !size.is_empty() && size.chars().all(|c| matches!(c, '0' | '.')))
}

fn scan(entry: impl Read, is_calculated: bool, layout: &mut SheetLayout) -> io::Result<()> {
    let mut reader = parser(entry);
    let (mut buffer, mut cell) = (Vec::new(), CellValue::default());
    // Where nothing else is said, rows may all be hidden.
    let mut all_hidden = false;
    let (mut row, mut hidden, mut noted) = (0, false, false);
    loop {
        buffer.clear();
        let event = reader
            .read_event_into(&mut buffer)
            .map_err(io::Error::other)?;
        let start = match event {
            Event::Eof => return Ok(()),
            Event::Start(start) => start,
            Event::Text(text) => {
                cell.text(&text);
                continue;
            }
            Event::End(end) => {
                if end.local_name().as_ref() == "c" && cell.is_missing(is_calculated) {
                    layout.valueless.add(cell.column(), row);
                }
                continue;
            }
            Event::Empty(_)
            | Event::CData(_)
            | Event::Comment(_)
            | Event::Decl(_)
            | Event::PI(_)
            | Event::DocType(_)
            | Event::GeneralRef(_) => continue,
        };
        let name = start.local_name();
        cell.element(name.as_ref(), &start);
        match name.as_ref() {
            "sheetFormatPr" => all_hidden = is_on(&start, "zeroHeight"),
            "col" => layout.column(&start),
            "row" => {
                row = number(&start, "r").unwrap_or(row + 1);
                hidden = is_on(&start, "hidden")
                    || is_nothing(&start, "ht")
                    || (all_hidden && attribute(&start, "hidden").is_none());
                noted = false;
            }
            // A cell has one of these only if it has a value.
            "v" | "is" if hidden && !noted => {
                layout.hidden_row(row);
                noted = true;
            }
            "mergeCell" => layout.merged(&start),
            "filterColumn" => layout.filtered = true,
            _ => {}
        }
    }
}

fn number(start: &BytesStart<'_>, name: &str) -> Option<u64> {
    attribute(start, name)?.parse().ok()
}

impl SheetLayout {
    fn hidden_row(&mut self, row: u64) {
        let is_full = self.hidden_rows.len() >= NOTED;
        match self.hidden_rows.last_mut() {
            Some((_, last)) if is_full || last.saturating_add(1) == row => *last = row,
            _ => self.hidden_rows.push((row, row)),
        }
    }

    fn column(&mut self, start: &BytesStart<'_>) {
        if !is_on(start, "hidden") && !is_nothing(start, "width") {
            return;
        }
        let place = |name| {
            let number = number(start, name)?.checked_sub(1)?;
            usize::try_from(number).ok()
        };
        if let (Some(first), Some(last)) = (place("min"), place("max"))
            && self.hidden_columns.len() < NOTED
        {
            self.hidden_columns.push((first, last));
        }
    }

    fn merged(&mut self, start: &BytesStart<'_>) {
        let Some(range) = attribute(start, "ref") else {
            return;
        };
        let digits: String = range
            .chars()
            .rev()
            .take_while(char::is_ascii_digit)
            .collect();
        let last: String = digits.chars().rev().collect();
        let Ok(last) = last.parse::<u64>() else {
            return;
        };
        let is_full = self.merged.len() >= NOTED;
        match self.merged.last_mut() {
            // Only that there are more below a header counts then.
            Some((_, known)) if is_full => *known = last.max(*known),
            _ => self.merged.push((range.chars().take(20).collect(), last)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(xml: &str) -> SheetLayout {
        let mut layout = SheetLayout::default();
        scan(xml.as_bytes(), false, &mut layout).unwrap();
        layout
    }

    fn header(columns: &[&str]) -> Header {
        Header {
            columns: columns.iter().map(|&name| name.to_owned()).collect(),
            as_written: Vec::new(),
            line: 1,
        }
    }

    fn refused(layout: &SheetLayout, columns: &[&str]) -> String {
        layout
            .check(&header(columns), &FileOptions::of_columns(&["a"]))
            .err()
            .map(|reason| reason.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn hidden_rows_with_values_below_the_header_are_refused() {
        let layout = scanned(
            "<worksheet><sheetData><row r=\"1\" hidden=\"1\"><c><v>1</v></c></row>\
             <row r=\"3\" hidden=\"1\"><c r=\"A3\"><v>1</v></c><c r=\"B3\"><v>2</v></c></row>\
             <row r=\"4\" ht=\"0\" customHeight=\"1\"><c r=\"A4\" t=\"inlineStr\"><is><t>x</t></is></c></row>\
             <row r=\"6\" hidden=\"1\"><c r=\"A6\"/></row></sheetData>\
             <autoFilter ref=\"A1:B6\"><filterColumn colId=\"0\"/></autoFilter></worksheet>",
        );
        let reason = refused(&layout, &["a"]);
        assert!(reason.contains("hidden or filtered away"), "{reason}");
        assert!(reason.contains(": 3–4. Show them"), "{reason}");
    }

    #[test]
    fn a_hidden_column_is_refused_where_it_is_used() {
        let layout = scanned(
            "<worksheet><cols><col min=\"2\" max=\"2\" hidden=\"1\"/></cols><sheetData/></worksheet>",
        );
        assert_eq!(refused(&layout, &["a", "b"]), "");
        assert!(refused(&layout, &["b", "a"]).contains("are read: B."));
    }

    #[test]
    fn merged_cells_are_refused_below_the_header_only() {
        let merged = |range: &str| {
            scanned(&format!(
                "<worksheet><sheetData/><mergeCells><mergeCell ref=\"{range}\"/></mergeCells></worksheet>"
            ))
        };
        assert_eq!(refused(&merged("A1:C1"), &["a"]), "");
        assert!(refused(&merged("A2:A4"), &["a"]).contains(": A2:A4. Unmerge them"));
    }

    #[test]
    fn a_cell_without_a_value_that_somebody_sees_is_refused_where_it_is_used() {
        let cells = |cells: &str| {
            scanned(&format!(
                "<worksheet><sheetData><row r=\"1\"><c r=\"A1\"><v>1</v></c></row><row r=\"2\">{cells}</row></sheetData></worksheet>"
            ))
        };
        for (xml, places) in [
            ("<c r=\"A2\"><f>1+1</f></c>", ": A2. Open"),
            ("<c r=\"A2\"><f>1+1</f><v/></c>", ": A2. Open"),
            ("<c><f>1+1</f><v></v></c>", ": A2. Open"),
            // What a program that calculates nothing writes for each formula.
            ("<c r=\"A2\"><f>1+1</f><v>0</v></c>", ": A2. Open"),
            ("<c r=\"A2\" t=\"inlineStr\"><v>x</v></c>", ": A2. Open"),
        ] {
            let reason = refused(&cells(xml), &["a"]);
            assert!(reason.contains(places), "{xml}: {reason}");
            assert_eq!(refused(&cells(xml), &["b"]), "", "{xml}");
            // Who includes what is hidden does not mean what has no value.
            let mut options = FileOptions::of_columns(&["a"]);
            options.include_hidden = true;
            assert!(
                cells(xml).check(&header(&["a"]), &options).is_err(),
                "{xml}"
            );
        }
        for xml in [
            "<c r=\"A2\"><f>1+1</f><v>2</v></c>",
            "<c r=\"A2\" t=\"str\"><f>\"\"</f><v></v></c>",
            "<c r=\"A2\" t=\"inlineStr\"><is><t>x</t></is></c>",
            "<c r=\"A2\" s=\"1\"/>",
            "<c r=\"A2\"><v>0</v></c>",
            "<c r=\"B2\"><f>1+1</f></c>",
        ] {
            assert_eq!(refused(&cells(xml), &["a"]), "", "{xml}");
        }
        let mut layout = SheetLayout::default();
        let zero = "<sheetData><row r=\"2\"><c r=\"A2\"><f>1-1</f><v>0</v></c></row></sheetData>";
        scan(zero.as_bytes(), true, &mut layout).unwrap();
        assert_eq!(refused(&layout, &["a"]), "");
    }

    #[test]
    fn columns_have_the_letters_of_excel() {
        let columns = [0, 25, 26, 701, 702].map(column_letters);
        assert_eq!(columns, ["A", "Z", "AA", "ZZ", "AAA"]);
    }
}
