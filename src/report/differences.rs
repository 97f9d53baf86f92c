//! Differences that reconciliations found between our items and the statements of a month.

use chrono::NaiveDate;

use super::ReportSection;
use super::state_sums::money;
use crate::domain::difference::DifferenceState;
use crate::export::{ExportContext, TableCell, TableColumn, TableColumnKind};
use crate::ledger::{DifferenceSum, LedgerError};

/// The differences of a month, and how many of them are open.
pub(super) async fn of_month(
    context: &ExportContext,
    (first, last): (NaiveDate, NaiveDate),
    account: Option<&str>,
) -> Result<(ReportSection, u64), LedgerError> {
    let (first, last) = (first.to_string(), last.to_string());
    let sums = context.ledger.difference_sums(account, (&first, &last));
    let sums = sums.await?;
    let is_open = |sum: &&DifferenceSum| sum.state == DifferenceState::Open;
    let open = sums.iter().filter(is_open).map(|sum| sum.count).sum();
    let columns = [
        ("account", TableColumnKind::Text),
        ("reason", TableColumnKind::Text),
        ("state", TableColumnKind::Text),
        ("currency", TableColumnKind::Text),
        ("differences", TableColumnKind::Count),
        ("differences_amount", TableColumnKind::Money),
    ];
    let section = ReportSection {
        name: "differences",
        heading: "Differences",
        notes: vec![
            "Between our items and the statements of this month's days. An amount is the gateway's, or ours where the gateway has none."
                .to_owned(),
        ],
        columns: columns
            .map(|(name, kind)| TableColumn::new(name, kind))
            .into(),
        rows: sums.iter().map(row).collect(),
        empty: "No reconciliation found a difference.",
    };
    Ok((section, open))
}

fn row(sum: &DifferenceSum) -> Vec<TableCell> {
    vec![
        TableCell::text(sum.lane.as_str()),
        TableCell::text(sum.reason.as_str().replace('_', " ")),
        TableCell::text(sum.state.as_str()),
        TableCell::text(sum.currency.map_or("", |currency| currency.code())),
        TableCell::count(sum.count),
        money(sum.currency, sum.minor),
    ]
}
