//! Reads what the cells of each column are, before the rows are read.

use std::io::{Read, Seek};

use calamine::{DataRef, Xlsx as Workbook};

use super::super::cell_forms::{CellForm, CellForms};
use crate::workflow::source::COLUMNS_MAX;
use payrun_domain::text::trimmed;

/// Of a sheet that cannot be read nothing is told here: its rows are refused.
pub(super) fn read<R: Read + Seek>(workbook: &mut Workbook<R>, sheet: &str) -> Vec<CellForms> {
    let mut columns: Vec<CellForms> = Vec::new();
    let Ok(mut cells) = workbook.worksheet_cells_reader(sheet) else {
        return columns;
    };
    while let Ok(Some(cell)) = cells.next_cell() {
        let (row, column) = cell.get_position();
        let form = match cell.get_value() {
            DataRef::Int(_) | DataRef::Float(_) => Some(CellForm::Number),
            DataRef::String(text) => CellForm::of_text(trimmed(text)),
            DataRef::SharedString(text) => CellForm::of_text(trimmed(text)),
            DataRef::DateTime(_)
            | DataRef::DateTimeIso(_)
            | DataRef::DurationIso(_)
            | DataRef::Bool(_)
            | DataRef::Error(_)
            | DataRef::Empty => None,
        };
        let place = usize::try_from(column).ok().filter(|at| *at < COLUMNS_MAX);
        if let (Some(form), Some(place)) = (form, place) {
            if columns.len() <= place {
                columns.resize_with(place + 1, CellForms::default);
            }
            columns[place].add(u64::from(row).saturating_add(1), form);
        }
    }
    columns
}
