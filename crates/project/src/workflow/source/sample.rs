//! Two lines of a file for a person to see whether an encoding is right: the names of the columns,
//! and the first row without personal data.

use std::fs::File;
use std::io;

use csv::ReaderBuilder;

use super::file_options::{FileOptions, Separator, TextEncoding};
use super::{encoding, header};
use payrun_domain::text::{shown, trimmed};

/// The most values of a line that are shown.
const SHOWN: usize = 12;

/// The lines, in quotes.
pub(super) fn lines(
    file: &mut File,
    likely: TextEncoding,
    options: &FileOptions,
) -> io::Result<String> {
    let text = encoding::sample(file, likely)?;
    let separator = options.separator.unwrap_or_else(|| most_frequent(&text));
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(separator.byte())
        .from_reader(text.as_bytes());
    let mut records = reader
        .records()
        .flatten()
        .map(|record| record.iter().map(|cell| trimmed(cell).to_owned()).collect());
    let header: Vec<String> = records.next().unwrap_or_default();
    let row: Vec<String> = records.next().unwrap_or_default();
    let mut lines = quoted(&header, separator);
    if let Some(row) = without_personal(&header, row, options) {
        lines = format!("{lines} and {}", quoted(&row, separator));
    }
    Ok(lines)
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
            "…".to_owned()
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
