//! Differences that reconciliations found between our items and the statements.

use super::ReportSection;
use super::state_sums::money;
use crate::domain::difference::DifferenceState;
use crate::export::{ExportContext, TableCell, TableColumn, TableColumnKind};
use crate::ledger::{DifferenceSpan, DifferenceSum, LedgerError};

/// The differences of some days, or those that a run found.
pub(super) struct ReportedDifferences {
    pub section: ReportSection,
    /// That some are open, in a sentence.
    pub open: Option<String>,
}

pub(super) async fn of(
    context: &ExportContext,
    span: &DifferenceSpan,
) -> Result<ReportedDifferences, LedgerError> {
    let sums = context.ledger.difference_sums(span).await?;
    let is_open = |sum: &&DifferenceSum| sum.state == DifferenceState::Open;
    let open = sums.iter().filter(is_open).map(|sum| sum.count).sum();
    let whose = match span {
        DifferenceSpan::Run(_) => "What the reconciliations of this run found first.",
        DifferenceSpan::Days { .. } => "Between our items and the statements of this month's days.",
    };
    let columns = [
        ("account", TableColumnKind::Text),
        ("reason", TableColumnKind::Text),
        ("state", TableColumnKind::Text),
        ("currency", TableColumnKind::Text),
        ("differences", TableColumnKind::Count),
        ("ours", TableColumnKind::Money),
        ("theirs", TableColumnKind::Money),
    ];
    let section = ReportSection {
        name: "differences",
        heading: "Differences",
        notes: vec![format!(
            "{whose} Both sides of them as they stand; of a fee, what the rate gives and what the gateway took. `payrun differences list` has each."
        )],
        columns: columns
            .map(|(name, kind)| TableColumn::new(name, kind))
            .into(),
        rows: sums.iter().map(row).collect(),
        empty: "No reconciliation found a difference.",
    };
    Ok(ReportedDifferences {
        section,
        open: match open {
            0_u64 => None,
            1 => Some("1 difference is open.".to_owned()),
            more => Some(format!("{more} differences are open.")),
        },
    })
}

fn row(sum: &DifferenceSum) -> Vec<TableCell> {
    vec![
        TableCell::text(sum.lane.as_str()),
        TableCell::text(sum.reason.as_str().replace('_', " ")),
        TableCell::text(sum.state.as_str()),
        TableCell::text(sum.currency.map_or("", |currency| currency.code())),
        TableCell::count(sum.count),
        money(sum.currency, sum.ours),
        money(sum.currency, sum.theirs),
    ]
}
