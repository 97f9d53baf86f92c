//! A report as a workbook: what it is about on the first sheet, and a sheet for each table.

use super::FinanceReport;
use crate::export::{ExportError, TableCell, TableColumn, TableColumnKind, TableHead, XlsxTable};

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
    let mut table = XlsxTable::begin(Vec::new(), head, None)?;
    for row in about(report) {
        table.row(&row)?;
    }
    for section in &report.sections {
        let shown = section.shown();
        table.next_table(section.head(report.zone, &shown))?;
        for row in &section.rows {
            let cells: Vec<TableCell> = shown.iter().map(|place| row[*place].clone()).collect();
            table.row(&cells)?;
        }
    }
    table.finish().map(|(bytes, _)| bytes)
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
            .map(|(name, cell)| named(name, cell.clone())),
    );
    let numbers = report.numbers.iter();
    rows.extend(numbers.map(|(name, count)| named(&name.to_lowercase(), TableCell::count(*count))));
    for section in &report.sections {
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
