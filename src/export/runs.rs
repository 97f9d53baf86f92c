//! Runs as rows, newest first: one for each currency of a run, since sums of two are never added.

use std::collections::BTreeMap;

use chrono_tz::Tz;

use super::state_groups::StateSums;
use super::table::TableColumnKind::{Count, Instant, Text};
use super::table::{TableCell, TableColumn, TableHead};
use super::{ExportContext, page_of, zone_of};
use crate::domain::money::Currency;
use crate::ledger::{LedgerError, RunRow, Total};

/// Runs that are read page by page.
pub(super) struct RunPages {
    before: Option<i64>,
    left: u64,
    zone: Tz,
}

impl RunPages {
    pub fn begin(context: &ExportContext, before: Option<i64>, left: u64) -> Self {
        Self {
            before,
            left,
            zone: zone_of(context),
        }
    }

    pub fn head(&self) -> TableHead {
        let named = |name: &str, heading: &str, kind| TableColumn {
            heading: heading.to_owned(),
            ..TableColumn::new(name, kind)
        };
        let mut columns = vec![
            TableColumn::new("run", Count),
            TableColumn::new("workflow", Text),
            TableColumn::new("occurrence", Text),
            named("author", "started by", Text),
            named("planned_at", "planned", Instant),
            named("finished_at", "finished", Instant),
            TableColumn::new("state", Text),
            TableColumn::new("currency", Text),
        ];
        columns.extend(StateSums::columns(false));
        TableHead {
            title: "runs",
            columns,
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
        let page = context.ledger.runs(self.before, wanted).await?;
        let Some(last) = page.last() else {
            return Ok(None);
        };
        self.before = Some(last.id);
        self.left = self.left.saturating_sub(page.len() as u64);
        let mut rows = Vec::new();
        for run in &page {
            let totals = context.ledger.totals(run.id).await?;
            let zone = context.ledger.timezone_of(Some(run.id), None).await?;
            let zone = zone.and_then(|zone| zone.parse().ok());
            rows.extend(rows_of(run, &totals, zone.unwrap_or(self.zone)));
        }
        Ok(Some(rows))
    }
}

fn rows_of(run: &RunRow, totals: &[Total], zone: Tz) -> Vec<Vec<TableCell>> {
    let mut sums: BTreeMap<&str, (Option<Currency>, StateSums)> = BTreeMap::new();
    for total in totals {
        let code = total.currency.map_or("", Currency::code);
        let (currency, sum) = sums.entry(code).or_default();
        *currency = total.currency;
        sum.add(total);
    }
    // A run without items is a run all the same.
    if sums.is_empty() {
        sums.insert("", (None, StateSums::default()));
    }
    let state = if run.finished_at.is_some() {
        "finished"
    } else {
        "open"
    };
    let row = |(code, (currency, sum)): (&str, (Option<Currency>, StateSums))| {
        let mut cells = vec![
            TableCell::Count(run.id),
            TableCell::text(run.workflow.as_str()),
            TableCell::occurrence(&run.occurrence, zone),
            TableCell::text(run.author.as_deref().unwrap_or_default()),
            TableCell::Instant(run.started_at),
            TableCell::instant(run.finished_at),
            TableCell::text(state),
            TableCell::text(code),
        ];
        cells.extend(sum.cells(currency, false));
        cells
    };
    sums.into_iter().map(row).collect()
}
