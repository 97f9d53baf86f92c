//! Differences of reconciliation as rows.

use chrono_tz::Tz;

use super::table::TableColumnKind::{Count, Date, Id, Instant, Money, Text};
use super::table::{TableCell, TableColumn, TableColumnKind, TableHead};
use super::{ExportContext, page_of, zone_of};
use crate::domain::item::State;
use crate::ledger::{DifferenceFilter, DifferenceRow, LedgerError};

/// Differences that are read page by page.
pub(super) struct DifferencePages {
    filter: DifferenceFilter,
    after: i64,
    left: u64,
    zone: Tz,
}

impl DifferencePages {
    pub fn begin(context: &ExportContext, filter: DifferenceFilter, after: i64, left: u64) -> Self {
        Self {
            filter,
            after,
            left,
            zone: zone_of(context),
        }
    }

    pub fn head(&self) -> TableHead {
        let columns: [(&str, TableColumnKind); 24] = [
            ("difference", Count),
            ("gateway", Text),
            ("state", Text),
            ("reason", Text),
            ("what_to_do", Text),
            ("owner", Text),
            ("note", Text),
            ("day", Date),
            ("kind", Text),
            ("order_no", Id),
            ("refund_no", Id),
            ("transaction_id", Id),
            ("ours", Money),
            ("our_currency", Text),
            ("theirs", Money),
            ("their_currency", Text),
            ("our_state", Text),
            ("their_state", Text),
            ("item", Count),
            ("line", Count),
            ("detail", Text),
            ("first_seen", Instant),
            ("last_seen", Instant),
            ("changed_at", Instant),
        ];
        TableHead {
            title: "differences",
            columns: columns
                .into_iter()
                .map(|(name, kind)| TableColumn::new(name, kind))
                .collect(),
            zone: self.zone,
        }
    }

    pub async fn next(
        &mut self,
        context: &ExportContext,
    ) -> Result<Option<Vec<Vec<TableCell>>>, LedgerError> {
        let wanted = page_of(self.left);
        if wanted == 0 {
            return Ok(None);
        }
        let page = context
            .ledger
            .list_differences(&self.filter, self.after, wanted)
            .await?;
        let Some(last) = page.last() else {
            return Ok(None);
        };
        self.after = last.id;
        self.left = self.left.saturating_sub(page.len() as u64);
        page.iter().map(cells).collect::<Result<_, _>>().map(Some)
    }
}

fn cells(row: &DifferenceRow) -> Result<Vec<TableCell>, LedgerError> {
    let difference = &row.difference;
    let day = difference.day.parse();
    let day = day.map_err(|_| LedgerError::corrupt("differences", row.id, "day"))?;
    let code = |amount: crate::domain::money::Amount| amount.currency().code();
    let count = |number: Option<i64>| number.map_or(TableCell::Empty, TableCell::Count);
    let line = difference.line.and_then(|line| i64::try_from(line).ok());
    Ok(vec![
        TableCell::Count(row.id),
        TableCell::text(row.lane.as_str()),
        TableCell::text(row.state.as_str()),
        TableCell::text(difference.reason.as_str()),
        TableCell::text(difference.reason.advice()),
        TableCell::text(row.owner.as_deref().unwrap_or_default()),
        TableCell::text(row.note.as_deref().unwrap_or_default()),
        TableCell::Date(day),
        TableCell::text(difference.kind.as_str()),
        TableCell::text(difference.order_no.as_str()),
        TableCell::text(difference.refund_no.as_str()),
        TableCell::text(difference.transaction_id.as_str()),
        TableCell::amount(difference.ours),
        TableCell::text(difference.ours.map_or("", code)),
        TableCell::amount(difference.theirs),
        TableCell::text(difference.theirs.map_or("", code)),
        TableCell::text(difference.our_state.map_or("", State::as_str)),
        TableCell::text(difference.their_state.as_str()),
        count(difference.item),
        count(line),
        TableCell::text(difference.detail.as_str()),
        TableCell::Instant(row.first_seen),
        TableCell::Instant(row.last_seen),
        TableCell::Instant(row.changed_at),
    ])
}
