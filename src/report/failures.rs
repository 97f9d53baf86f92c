//! What failed, by the code of the gateway.

use std::collections::BTreeMap;

use super::ReportSection;
use super::state_sums::money;
use crate::domain::money::Currency;
use crate::export::code_meanings::words;
use crate::export::{ExportContext, TableCell, TableColumn, TableColumnKind};
use crate::ledger::{FailureSum, JobRow};

/// The most codes of a report.
const CODES: usize = 2_000;

/// Account, kind, code, and the code of the currency.
type FailureKey = (String, String, String, &'static str);

/// Items that failed in the same way.
#[derive(Debug)]
struct FailureTotal {
    currency: Option<Currency>,
    items: u64,
    minor: i128,
    words: String,
}

/// Failed items by code.
#[derive(Debug, Default)]
pub(super) struct FailureSums {
    by_code: BTreeMap<FailureKey, FailureTotal>,
    /// Items with codes beyond the most.
    others: u64,
}

impl FailureSums {
    /// Adds what a job has.
    pub fn add(&mut self, context: &ExportContext, job: &JobRow, sum: &FailureSum) {
        let currency = sum.currency.map_or("", Currency::code);
        let key = (
            job.lane.clone(),
            job.kind.clone(),
            sum.code.clone(),
            currency,
        );
        if self.by_code.len() >= CODES && !self.by_code.contains_key(&key) {
            self.others += sum.items;
            return;
        }
        let total = self.by_code.entry(key).or_insert_with(|| FailureTotal {
            currency: sum.currency,
            items: 0,
            minor: 0,
            words: words(context, job, &sum.code),
        });
        total.items += sum.items;
        total.minor += i128::from(sum.minor);
    }

    /// The table, in each account and kind the most frequent first.
    pub fn section(&self) -> ReportSection {
        let mut sums: Vec<_> = self.by_code.iter().collect();
        sums.sort_by(|(one, of_one), (other, of_other)| {
            (&one.0, &one.1, of_other.items).cmp(&(&other.0, &other.1, of_one.items))
        });
        let row = |((account, kind, code, currency), total): (&FailureKey, &FailureTotal)| {
            vec![
                TableCell::text(account.as_str()),
                TableCell::text(kind.as_str()),
                TableCell::text(if code.is_empty() { "(none)" } else { code }),
                TableCell::text(total.words.as_str()),
                TableCell::text(*currency),
                TableCell::count(total.items),
                money(total.currency, total.minor),
            ]
        };
        let notes = match self.others {
            0 => Vec::new(),
            others => vec![format!(
                "{others} more items failed with codes that are not listed: there are too many."
            )],
        };
        let columns = [
            ("account", TableColumnKind::Text),
            ("kind", TableColumnKind::Text),
            ("code", TableColumnKind::Id),
            ("meaning", TableColumnKind::Text),
            ("currency", TableColumnKind::Text),
            ("failed", TableColumnKind::Count),
            ("failed_amount", TableColumnKind::Money),
        ];
        ReportSection {
            name: "failed",
            heading: "Failed by code",
            notes,
            columns: columns
                .map(|(name, kind)| TableColumn::new(name, kind))
                .into(),
            rows: sums.into_iter().map(row).collect(),
            empty: "Nothing failed.",
        }
    }
}
