//! A report as a workbook: what it is about on the first sheet, and a sheet for each table that has
//! rows; of the others the first sheet says that there is nothing. Printed, each is as wide as a page,
//! in letters that can be read: columns of which every number is 0 are left out.

use super::{AMOUNT, FinanceReport, ReportSection};
use crate::export::{
    ExportError, TableCell, TableColumn, TableColumnKind, TableHead, TableLayout, XlsxTable,
    page_width, shown_length,
};

/// What is printed of a table also where it is 0.
const FIRST: [&str; 3] = ["planned", "succeeded", "failed"];

/// The whole workbook.
pub(super) fn workbook(report: &FinanceReport) -> Result<Vec<u8>, ExportError> {
    let columns = [
        ("about", TableColumnKind::Text),
        ("what_it_is", TableColumnKind::Text),
    ];
    let head = TableHead {
        title: "report",
        columns: columns
            .map(|(name, kind)| TableColumn::new(name, kind))
            .into(),
        zone: report.zone,
    };
    let about = about(report);
    let laid_out = layout(report, &head, &about);
    let mut table = XlsxTable::begin_page(Vec::new(), head, laid_out)?;
    for row in &about {
        table.row(row)?;
    }
    for section in report
        .sections
        .iter()
        .filter(|section| !section.rows.is_empty())
    {
        let shown = printed(section);
        let cells = |row: &Vec<TableCell>| {
            let cells = shown.iter().map(|place| row[*place].clone());
            cells.collect::<Vec<_>>()
        };
        let rows: Vec<Vec<TableCell>> = section.rows.iter().map(cells).collect();
        let head = section.head(report.zone, &shown);
        let laid_out = layout(report, &head, &rows);
        table.next_table(head, laid_out)?;
        for row in &rows {
            table.row(row)?;
        }
    }
    table.finish().map(|(bytes, _)| bytes)
}

/// The places of the columns that are printed: those that people see, without what was never counted.
fn printed(section: &ReportSection) -> Vec<usize> {
    let is_counted = |place: &usize| {
        let column = &section.columns[*place];
        let is_number = matches!(column.kind, TableColumnKind::Count | TableColumnKind::Money);
        let name = column.name.trim_end_matches(AMOUNT);
        let mut cells = section.rows.iter().map(|row| &row[*place]);
        let is_first = FIRST.contains(&name) && cells.clone().any(|cell| *cell != TableCell::Empty);
        !is_number || is_first || cells.any(TableCell::is_something)
    };
    section.shown().into_iter().filter(is_counted).collect()
}

/// Columns as wide as what is in them.
fn layout<R: AsRef<[TableCell]>>(
    report: &FinanceReport,
    head: &TableHead,
    rows: &[R],
) -> TableLayout {
    let width = |(place, heading): (usize, String)| {
        let cells = rows.iter().map(|row| &row.as_ref()[place]);
        let longest = cells.map(|cell| shown_length(cell, report.zone)).max();
        page_width(&heading, longest.unwrap_or(0))
    };
    TableLayout::Page {
        title: report.title.clone(),
        widths: head.headings().enumerate().map(width).collect(),
    }
}

fn about(report: &FinanceReport) -> Vec<[TableCell; 2]> {
    let named = |name: &str, cell: TableCell| [TableCell::text(name), cell];
    let verdict = if report.is_settled { "yes" } else { "not yet" };
    let mut rows = vec![
        named("title", TableCell::text(report.title.as_str())),
        named("settled", TableCell::text(verdict)),
    ];
    rows.extend(
        report
            .open
            .iter()
            .map(|open| named("open", TableCell::text(open.as_str()))),
    );
    rows.extend(
        report
            .facts
            .iter()
            .map(|(name, cell)| named(&report.fact_name(name, cell), cell.clone())),
    );
    let numbers = report.numbers.iter();
    rows.extend(numbers.map(|(name, count)| named(&name.to_lowercase(), TableCell::count(*count))));
    for section in &report.sections {
        if section.rows.is_empty() {
            let heading = section.heading.to_lowercase();
            rows.push(named(&heading, TableCell::text(section.empty)));
            continue;
        }
        let notes = section.notes.iter();
        rows.extend(notes.map(|note| {
            named(
                &format!("sheet {}", section.name),
                TableCell::text(note.as_str()),
            )
        }));
    }
    rows
}
