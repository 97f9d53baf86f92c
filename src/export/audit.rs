//! The audit log as rows, oldest first. The hashes are beside what they tie; whoever follows the
//! chain takes `payrun audit verify`, or the lines of `payrun audit export`.

use super::item_columns::{ReplyFact, facts};
use super::table::TableColumnKind::{Count, Id, Instant, Text};
use super::table::{TableCell, TableColumn, TableColumnKind, TableHead};
use super::{ExportContext, PAGE, zone_of};
use crate::ledger::{AuditRow, LedgerError};
use chrono_tz::Tz;

/// Entries that are read page by page.
pub(super) struct AuditPages {
    after: i64,
    zone: Tz,
}

impl AuditPages {
    pub fn begin(context: &ExportContext, after: i64) -> Self {
        Self {
            after,
            zone: zone_of(context),
        }
    }

    pub fn head(&self) -> TableHead {
        let columns: [(&str, TableColumnKind); 10] = [
            ("entry", Count),
            ("at", Instant),
            ("actor", Text),
            ("via", Text),
            ("action", Text),
            ("target", Text),
            ("reason", Text),
            ("before", Text),
            ("after", Text),
            ("hash", Id),
        ];
        TableHead {
            title: "audit log",
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
        let page = context.ledger.audit(self.after, PAGE).await?;
        let Some(last) = page.last() else {
            return Ok(None);
        };
        self.after = last.entry.seq;
        Ok(Some(page.iter().map(cells).collect()))
    }
}

fn cells(row: &AuditRow) -> Vec<TableCell> {
    let entry = &row.entry;
    vec![
        TableCell::Count(entry.seq),
        TableCell::Instant(entry.at),
        TableCell::text(entry.actor.as_str()),
        TableCell::text(entry.via.as_str()),
        TableCell::text(entry.action.as_str()),
        TableCell::text(entry.target.as_str()),
        TableCell::text(entry.reason.as_str()),
        TableCell::text(in_words(&entry.before)),
        TableCell::text(in_words(&entry.after)),
        TableCell::text(row.hash.as_str()),
    ]
}

/// An object of the log as a line that a person reads; as it is if it is none.
fn in_words(object: &str) -> String {
    let word = |fact: ReplyFact| format!("{}: {}", fact.name, fact.plain());
    facts(Some(object), None).map_or_else(
        || object.to_owned(),
        |facts| facts.into_iter().map(word).collect::<Vec<_>>().join("; "),
    )
}
