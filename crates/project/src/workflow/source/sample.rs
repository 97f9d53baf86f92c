//! Two lines of a file for a person to see whether an encoding is right: the names of the columns,
//! and the first row without personal data.

use std::fs::File;
use std::io;

use csv::ReaderBuilder;

use super::file_options::{FileOptions, Separator, TextEncoding};
use super::{encoding, header};
use payrun_domain::text::{is_whole_long_number, shown, trimmed};

/// The most values of a line that are shown.
const SHOWN: usize = 12;

/// How many lines are looked at for one that tells something, and for one that names the columns.
const RECORDS: usize = 500;
const LOOKED_AT: usize = 20;

/// What stands in place of personal data.
const HIDDEN: &str = "…";

/// The lines, in quotes.
pub(super) fn lines(
    file: &File,
    likely: TextEncoding,
    options: &FileOptions,
) -> io::Result<String> {
    let text = encoding::sample(file, likely)?;
    let separator = options.separator.unwrap_or_else(|| most_frequent(&text));
    // Of JSON it is not known here which value is whose.
    let is_json = text
        .trim_start_matches('\u{feff}')
        .trim_start()
        .starts_with('{');
    if is_json
        && options
            .personal
            .as_ref()
            .is_none_or(|personal| !personal.is_empty())
    {
        return Ok(format!("\"{HIDDEN}\""));
    }
    let mut records = records(&text, separator);
    let place = records
        .iter()
        .position(|record| header::has_all(record, options));
    let mut rows = records.split_off(place.unwrap_or_default());
    if rows.is_empty() {
        return Ok("nothing".to_owned());
    }
    let header = rows.remove(0);
    let mut lines = quoted(&header, separator);
    let shown = rows
        .into_iter()
        .filter_map(|row| without_personal(&header, row, options));
    let mut shown = shown.peekable();
    // Only what is not ASCII tells anything.
    let first = shown.peek().cloned();
    if let Some(row) = shown.find(|row| tells(row)).or(first) {
        lines = format!("{lines} and {}", quoted(&row, separator));
    }
    Ok(lines)
}

/// Whether one of the first lines names every column, in this encoding.
pub(super) fn names_columns(
    file: &File,
    encoding: TextEncoding,
    options: &FileOptions,
) -> io::Result<bool> {
    let text = encoding::sample(file, encoding)?;
    let separators = options
        .separator
        .map_or(Separator::ALL.to_vec(), |one| vec![one]);
    let has_all = |separator: &Separator| {
        let records = records(&text, *separator);
        records
            .iter()
            .take(LOOKED_AT)
            .any(|record| header::has_all(record, options))
    };
    Ok(separators.iter().any(has_all))
}

/// The columns that have a whole number of more than 15 digits in one of the first rows: Excel,
/// which rounds a column of numbers as one, has not rounded them.
pub(super) fn columns_of_whole_numbers(
    file: &File,
    encoding: TextEncoding,
    separator: Separator,
) -> io::Result<Vec<usize>> {
    let text = encoding::sample(file, encoding)?;
    let mut columns = Vec::new();
    for row in records(&text, separator) {
        let whole = row.iter().enumerate();
        let whole = whole.filter(|(_, cell)| is_whole_long_number(cell));
        columns.extend(whole.map(|(column, _)| column));
    }
    columns.sort_unstable();
    columns.dedup();
    Ok(columns)
}

/// The first lines of a text.
fn records(text: &str, separator: Separator) -> Vec<Vec<String>> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator.byte())
        .from_reader(text.as_bytes());
    let records = reader.records().flatten().take(RECORDS);
    let cells =
        |record: csv::StringRecord| record.iter().map(|cell| trimmed(cell).to_owned()).collect();
    records.map(cells).collect()
}

/// Whether a row has a character by which a person sees the encoding.
fn tells(row: &[String]) -> bool {
    let is_hanzi = |c: char| ('\u{2e80}'..'\u{ff00}').contains(&c);
    row.iter()
        .take(SHOWN)
        .any(|cell| cell != HIDDEN && cell.contains(is_hanzi))
}

/// The row with an ellipsis for personal data; none where it cannot be told which that is.
fn without_personal(
    header: &[String],
    row: Vec<String>,
    options: &FileOptions,
) -> Option<Vec<String>> {
    let personal = options.personal.as_ref()?;
    let places: Option<Vec<usize>> = personal
        .iter()
        .map(|column| header::index_of(header, column, options))
        .collect();
    let places = places?;
    let hide = |(index, cell)| {
        if places.contains(&index) {
            HIDDEN.to_owned()
        } else {
            cell
        }
    };
    (!row.is_empty()).then(|| row.into_iter().enumerate().map(hide).collect())
}

fn quoted(cells: &[String], separator: Separator) -> String {
    let between = match separator {
        Separator::Comma => ",",
        Separator::Semicolon => ";",
        Separator::Tab => " | ",
    };
    let shown: Vec<String> = cells.iter().take(SHOWN).map(|cell| shown(cell)).collect();
    format!("\"{}\"", shown.join(between))
}

/// What stands most often in the first line.
fn most_frequent(text: &str) -> Separator {
    let first = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("");
    let count = |one: &Separator| first.bytes().filter(|byte| *byte == one.byte()).count();
    let [comma, rest @ ..] = Separator::ALL;
    rest.into_iter()
        .filter(|one| count(one) > count(&comma))
        .max_by_key(count)
        .unwrap_or(comma)
}
