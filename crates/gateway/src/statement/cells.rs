//! A line as cells, each with the place where it begins.

use super::raw_lines::{RawLine, chars};
use super::{COLUMNS_MAX, FileError};

/// One value of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell<'a> {
    /// The character of the line where it begins, from 1.
    pub column: u64,
    pub text: &'a str,
}

/// Splits a line. `mark` stands before every value: nothing, or a back-tick.
///
/// # Errors
/// If the line does not begin with the mark or has too many columns.
pub(super) fn split<'a>(raw: &'a RawLine, mark: &str) -> Result<Vec<Cell<'a>>, FileError> {
    let first = raw
        .text
        .strip_prefix(mark)
        .ok_or_else(|| raw.error(1, "a back-tick is expected before the value"))?;
    let between = format!(",{mark}");
    let mut column = chars(mark) + 1;
    let mut cells = Vec::new();
    for text in first.split(between.as_str()) {
        if cells.len() == COLUMNS_MAX {
            return Err(raw.error(column, "the line has more than 100 columns"));
        }
        cells.push(Cell { column, text });
        column += chars(text) + chars(&between);
    }
    Ok(cells)
}

/// Splits a line that must have so many columns.
pub(super) fn split_into<'a>(
    raw: &'a RawLine,
    mark: &str,
    columns: usize,
) -> Result<Vec<Cell<'a>>, FileError> {
    let cells = split(raw, mark)?;
    if cells.len() == columns {
        return Ok(cells);
    }
    // Where it goes wrong cannot be told from a count; the end of what there is comes nearest.
    let last = cells.last().map_or(1, |cell| cell.column);
    Err(raw.error(
        last,
        format!("the line has {} columns, its header {columns}", cells.len()),
    ))
}
