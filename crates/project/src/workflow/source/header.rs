//! Which line names the columns, and which of its names is which column: compared without case,
//! width and blanks around, or by another name that the workflow gives.

use super::RowError;
use super::file_options::FileOptions;
use payrun_domain::message::Message;
use payrun_domain::text::{folded, shown, trimmed};

/// What a column has behind its name whose name is another column's, by a person's choice.
const NOT_CHOSEN: &str = " (not chosen)";

/// How many lines are looked at for the one that names the columns.
const LOOKED_AT: usize = 20;

/// The names of the columns.
pub(super) struct Header {
    /// As the workflow names them.
    pub(super) columns: Vec<String>,
    /// As the file does.
    pub(super) as_written: Vec<String>,
    pub(super) line: u64,
}

/// Finds it among the first lines: the first that has every column that is used, below nothing but
/// titles, else the one that has most of them, else the first of all. Where a line is said, that one.
pub(super) fn find(
    mut next: impl FnMut() -> Option<Result<(Vec<String>, u64), RowError>>,
    options: &FileOptions,
    empty: Message,
) -> Result<Header, RowError> {
    let (mut first, mut nearest) = (None, None);
    for _ in 0..LOOKED_AT.max(said_line(options)) {
        let (cells, line) = match next() {
            None => break,
            Some(Ok(read)) => read,
            // What stands above the line that is said may be anything.
            Some(Err(error))
                if !error.fatal && options.header_line.is_some_and(|said| error.line < said) =>
            {
                continue;
            }
            Some(Err(error)) => return Err(error),
        };
        if let Some(said) = options.header_line {
            if line < said {
                first.get_or_insert((cells, line));
                continue;
            }
            if line > said {
                return Err(RowError::at(
                    said,
                    Message::new(
                        "header-line-empty",
                        "header: names this line, and it is empty",
                    ),
                ));
            }
            return header(cells, line, options);
        }
        if has_all(&cells, options) {
            return header(cells, line, options);
        }
        // A title has few values. What has as many as there are columns is a row, or the header of
        // another file: nothing of that is passed over.
        let filled = cells
            .iter()
            .filter(|cell| !trimmed(cell).is_empty())
            .count();
        if options.used.is_empty() && (filled > 1 || cells.len() == 1) {
            return header(cells, line, options);
        }
        let is_row = !options.used.is_empty() && filled >= needed(options).count();
        let has = how_many(&cells, options);
        if has > nearest.as_ref().map_or(0, |(most, _)| *most) {
            nearest = Some((has, (cells, line)));
        } else {
            first.get_or_insert((cells, line));
        }
        if is_row {
            break;
        }
    }
    if let Some(said) = options.header_line {
        return Err(RowError::at(
            said,
            Message::new(
                "header-line-behind-end",
                "header: names this line, and the file ends before it",
            ),
        ));
    }
    let nearest = nearest.map(|(_, line)| line);
    let (cells, line) = nearest.or(first).ok_or_else(|| RowError::at(1, empty))?;
    header(cells, line, options)
}

fn said_line(options: &FileOptions) -> usize {
    options
        .header_line
        .map_or(0, |line| usize::try_from(line).unwrap_or(usize::MAX))
}

fn header(cells: Vec<String>, line: u64, options: &FileOptions) -> Result<Header, RowError> {
    let as_written: Vec<String> = cells.iter().map(|cell| trimmed(cell).to_owned()).collect();
    let mut columns = as_written.clone();
    for used in names(options) {
        match place(&as_written, used, options) {
            ColumnMatch::At(index) => {
                // Where a person has chosen another, what is called so is not to be taken for it.
                if options.chosen.contains_key(used) {
                    let same = columns.iter_mut().filter(|name| *name == used);
                    same.for_each(|name| name.push_str(NOT_CHOSEN));
                }
                columns[index] = used.to_owned();
            }
            ColumnMatch::Nowhere => {}
            ColumnMatch::Ambiguous(one, other) => {
                let reason = Message::new(
                    "header-ambiguous",
                    "the column {column} may be \"{one}\" or \"{other}\"; keep one of them",
                );
                let reason = reason
                    .with("column", used)
                    .with("one", shown(&as_written[one]))
                    .with("other", shown(&as_written[other]));
                return Err(RowError::at(line, reason));
            }
        }
    }
    Ok(Header {
        columns,
        as_written,
        line,
    })
}

/// Every column that has a name of its own.
fn names(options: &FileOptions) -> impl Iterator<Item = &str> {
    let used = options.used.iter().map(String::as_str);
    let others = options.aliases.iter().map(|alias| alias.column.as_str());
    used.chain(others.filter(|other| !options.used.iter().any(|used| used == other)))
}

/// Which of these cells names a column, if exactly one does.
pub(super) fn index_of(cells: &[String], column: &str, options: &FileOptions) -> Option<usize> {
    match place(cells, column, options) {
        ColumnMatch::At(index) => Some(index),
        ColumnMatch::Nowhere | ColumnMatch::Ambiguous(..) => None,
    }
}

/// Whether these cells name every column that is used.
pub(super) fn has_all(cells: &[String], options: &FileOptions) -> bool {
    !options.used.is_empty() && how_many(cells, options) == needed(options).count()
}

/// The columns that are used, and that a file may not lack.
fn needed(options: &FileOptions) -> impl Iterator<Item = &String> {
    let used = options.used.iter();
    used.filter(|used| !options.optional.contains(used))
}

/// How many of the columns that a file may not lack these cells name.
fn how_many(cells: &[String], options: &FileOptions) -> usize {
    let cells: Vec<String> = cells.iter().map(|cell| trimmed(cell).to_owned()).collect();
    let is_there = |used: &&String| matches!(place(&cells, used, options), ColumnMatch::At(_));
    needed(options).filter(is_there).count()
}

enum ColumnMatch {
    At(usize),
    Nowhere,
    /// Two of the file's columns may be meant.
    Ambiguous(usize, usize),
}

/// Where a column is. Its own name, as it is written, goes before one that only means the same;
/// another name that was given for it does not.
fn place(cells: &[String], column: &str, options: &FileOptions) -> ColumnMatch {
    if let Some(heading) = options.chosen.get(column) {
        return chosen_place(cells, heading);
    }
    let aliases = options
        .aliases
        .iter()
        .filter(|alias| alias.column == column)
        .flat_map(|alias| &alias.names);
    let aliases: Vec<String> = aliases.map(|name| folded(name)).collect();
    let own = folded(column);
    let exact = cells.iter().position(|cell| cell == column);
    let mut meant = cells.iter().enumerate().filter(|(index, cell)| {
        let cell = folded(cell);
        let is_own = match exact {
            Some(exact) => exact == *index,
            None => cell == own,
        };
        is_own || aliases.contains(&cell)
    });
    match (meant.next(), meant.next()) {
        (None, _) => ColumnMatch::Nowhere,
        (Some((index, _)), None) => ColumnMatch::At(index),
        (Some((one, _)), Some((other, _))) => ColumnMatch::Ambiguous(one, other),
    }
}

/// Where the heading is that a person has chosen, as it is written.
fn chosen_place(cells: &[String], heading: &str) -> ColumnMatch {
    let mut same = cells
        .iter()
        .enumerate()
        .filter(|(_, cell)| *cell == heading);
    match (same.next(), same.next()) {
        (None, _) => ColumnMatch::Nowhere,
        (Some((index, _)), None) => ColumnMatch::At(index),
        (Some((one, _)), Some((other, _))) => ColumnMatch::Ambiguous(one, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workflow::source::ColumnAliases;

    fn found(lines: &[&str], options: &FileOptions) -> Result<(String, u64), String> {
        let mut lines = lines.iter().zip(1_u64..);
        let next = || {
            let (line, number) = lines.next()?;
            Some(Ok((line.split(',').map(str::to_owned).collect(), number)))
        };
        find(next, options, Message::plain("empty"))
            .map(|header| (header.columns.join(","), header.line))
            .map_err(|error| format!("{}: {}", error.line, error.reason))
    }

    fn options(used: &[&str], aliases: &[(&str, &[&str])]) -> FileOptions {
        FileOptions {
            aliases: aliases
                .iter()
                .map(|(column, names)| ColumnAliases {
                    column: (*column).to_owned(),
                    names: names.iter().map(|name| (*name).to_owned()).collect(),
                })
                .collect(),
            ..FileOptions::of_columns(used)
        }
    }

    #[test]
    fn a_heading_that_a_person_has_chosen_is_the_column_and_no_other_is() {
        let mut used = options(&["order_no", "amount"], &[("amount", &["金额"])]);
        let header = "order_no,amount,金额,退款";
        assert!(
            found(&[header], &used)
                .unwrap_err()
                .contains("keep one of them")
        );
        let chosen = [("amount".to_owned(), "退款".to_owned())];
        used.chosen = chosen.into_iter().collect();
        assert_eq!(
            found(&[header], &used),
            Ok(("order_no,amount (not chosen),金额,amount".to_owned(), 1))
        );
        assert_eq!(
            found(&["order_no,sum,金额,退款"], &used),
            Ok(("order_no,sum,金额,amount".to_owned(), 1))
        );
        assert_eq!(
            found(&["order_no,sum"], &used),
            Ok(("order_no,sum".to_owned(), 1))
        );
    }

    #[test]
    fn names_are_compared_without_case_width_and_blanks_around() {
        let used = options(&["order_no", "amount"], &[]);
        for header in [
            "order_no,amount",
            " Order_No ,AMOUNT",
            "\u{feff}order_no,ａｍｏｕｎｔ",
            "\u{3000}ORDER_NO,amount\u{a0}",
        ] {
            assert_eq!(
                found(&[header], &used),
                Ok(("order_no,amount".to_owned(), 1)),
                "{header}"
            );
        }
        // As it is written goes before what only means the same.
        assert_eq!(
            found(&["Amount,order_no,amount"], &used),
            Ok(("Amount,order_no,amount".to_owned(), 1))
        );
    }

    #[test]
    fn another_name_is_taken_for_the_column_and_two_of_them_for_none() {
        let used = options(&["order_no"], &[("order_no", &["订单号", "Order No."])]);
        assert_eq!(
            found(&["金额,订单号"], &used),
            Ok(("金额,order_no".to_owned(), 1))
        );
        assert_eq!(
            found(&["order no.,x"], &used),
            Ok(("order_no,x".to_owned(), 1))
        );
        let both = found(&["order_no,订单号"], &used).unwrap_err();
        assert_eq!(
            both,
            "1: the column order_no may be \"order_no\" or \"订单号\"; keep one of them"
        );
        assert!(found(&["Order No.,订单号"], &used).is_err());
    }

    #[test]
    fn a_title_above_the_header_is_passed_over_where_the_columns_are_known() {
        let used = options(&["id", "amount", "x"], &[]);
        let lines = ["Refunds of March,,", "made by,Wang,", "ID,Amount,x"];
        assert_eq!(found(&lines, &used), Ok(("id,amount,x".to_owned(), 3)));
        // Rows below a header with other names are not passed over for one that fits.
        assert_eq!(
            found(&["id,sum,x", "1,2,3", "id,amount,x"], &used),
            Ok(("id,sum,x".to_owned(), 1))
        );
        assert_eq!(
            found(&["Refunds,,", "1,2,3", "id,amount,x"], &used),
            Ok(("Refunds,,".to_owned(), 1))
        );
        // Where a column is missing, the line that has most of them is told of.
        assert_eq!(
            found(&["三月,,", "made by,Wang,", "id,Amount,y", "1,2,3"], &used),
            Ok(("id,amount,y".to_owned(), 3))
        );
        assert_eq!(
            found(&["id of March,,", "id,,", "id,Amount,"], &used),
            Ok(("id,amount,".to_owned(), 3))
        );
        assert_eq!(
            found(&["id,sum", "1,2"], &used),
            Ok(("id,sum".to_owned(), 1))
        );
        assert_eq!(
            found(&lines, &FileOptions::default()),
            Ok(("made by,Wang,".to_owned(), 2))
        );
    }

    #[test]
    fn the_line_that_is_said_is_the_header() {
        let mut said = options(&["id"], &[]);
        said.header_line = Some(2);
        assert_eq!(found(&["id", "ID", "3"], &said), Ok(("id".to_owned(), 2)));
        said.header_line = Some(9);
        assert!(
            found(&["id", "1"], &said)
                .unwrap_err()
                .contains("the file ends before it")
        );
    }
}
