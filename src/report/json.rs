//! A report for programs: the same facts and tables. Amounts are decimal text in main units.

use serde_json::{Map, Value, json};

use super::FinanceReport;

/// The whole report.
pub(super) fn json(report: &FinanceReport) -> Value {
    let zone = report.zone;
    let facts = report.facts.iter();
    let facts: Map<String, Value> = facts
        .map(|(name, cell)| (name.replace(' ', "_"), cell.json(zone)))
        .collect();
    let mut whole = Map::from_iter([
        ("title".to_owned(), json!(report.title)),
        ("settled".to_owned(), json!(report.is_settled)),
        ("open".to_owned(), json!(report.open)),
        ("facts".to_owned(), Value::Object(facts)),
    ]);
    for section in &report.sections {
        let rows = section.rows.iter().map(|row| {
            let cells = section.columns.iter().zip(row);
            cells
                .map(|(column, cell)| (column.name.clone(), cell.json(zone)))
                .collect::<Map<_, _>>()
        });
        whole.insert(section.name.to_owned(), rows.collect());
    }
    Value::Object(whole)
}
