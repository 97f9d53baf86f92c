//! Lines of statements by their numbers, and the items that they are about: many lines are about
//! payments that payrun never sent.

use std::collections::BTreeSet;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::items::{NumberedItem, failed};
use super::search_statements::{OF_LINES, lines};
use super::{FoundLine, LOOKED_AT, SearchFilter, SearchText};
use crate::Ledger;
use crate::error::LedgerError;
use crate::items::item_rows::hex;
use crate::items::item_rows::list;
use crate::statements::statement_files::{LineKind, StatementLine, line_row};
use payrun_domain::ids::{KeyHash, OrderNumber};

/// An item that one of the lines may be about.
struct NamedItem {
    numbers: NumberedItem,
    receipt: Option<String>,
    lane: String,
}

impl Ledger {
    /// Lines that have the text as one of their numbers, the newest statement first.
    pub(super) async fn lines_of_text(
        &self,
        text: &SearchText,
        filter: &SearchFilter,
    ) -> Result<Vec<FoundLine>, LedgerError> {
        let days = filter.days.as_ref();
        let query = sqlx::query(AssertSqlSafe(lines()))
            .bind(text.text.clone())
            .bind(filter.lane.clone())
            .bind(days.map_or("0000-00-00", |days| &days.first).to_owned())
            .bind(days.map_or("9999-99-99", |days| &days.last).to_owned())
            .bind(i64::try_from(LOOKED_AT).unwrap_or(i64::MAX));
        let rows = query.fetch_all(&self.read).await.map_err(failed)?;
        let mut found: Vec<FoundLine> = Vec::with_capacity(rows.len());
        for row in &rows {
            let line = found_line(row)?;
            let is_meant = filter.amount.is_none() || line.line.amount == filter.amount;
            // A line of a reversal may have the text twice.
            let is_new = found.iter().all(|other| {
                (&other.lane, &other.day, other.line.line)
                    != (&line.lane, &line.day, line.line.line)
            });
            found.extend((is_meant && is_new).then_some(line));
        }
        self.find_items_of(&mut found).await?;
        Ok(found)
    }

    /// Says of each line which item it is about.
    async fn find_items_of(&self, lines: &mut [FoundLine]) -> Result<(), LedgerError> {
        if lines.is_empty() {
            return Ok(());
        }
        let (mut keys, mut own, mut receipts) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for line in lines.iter() {
            let (number, receipt) = names(&line.line);
            receipts.insert(receipt);
            keys.extend(
                OrderNumber::parse(number)
                    .ok()
                    .and_then(|number| number.key_hash()),
            );
            own.insert(number);
            own.extend(number.rsplit_once('-').map(|(own, _)| own));
        }
        let texts = |set: BTreeSet<&str>| {
            let texts = set.into_iter().filter(|text| !text.is_empty());
            list(&texts.collect::<Vec<_>>())
        };
        let keys: Vec<String> = keys.into_iter().map(|key: KeyHash| hex(key)).collect();
        let query = sqlx::query(OF_LINES)
            .bind(list(&keys))
            .bind(texts(own))
            .bind(texts(receipts));
        let rows = query.fetch_all(&self.read).await.map_err(failed)?;
        let named: Vec<NamedItem> = rows.iter().map(named_item).collect::<Result<_, _>>()?;
        for line in lines {
            let (number, receipt) = names(&line.line);
            let is_its = |item: &&NamedItem| {
                item.lane == line.lane
                    && (item.numbers.generation_of(number).is_some()
                        || (!receipt.is_empty() && item.receipt.as_deref() == Some(receipt)))
            };
            line.item_id = named.iter().find(is_its).map(|item| item.numbers.id);
        }
        Ok(())
    }
}

/// The merchant's and the gateway's number of what a line is about: money back has its own.
fn names(line: &StatementLine) -> (&str, &str) {
    match line.kind {
        LineKind::Refund => (&line.refund_no, &line.refund_id),
        LineKind::Payment | LineKind::Reversal | LineKind::Other => {
            (&line.order_no, &line.transaction_id)
        }
    }
}

fn found_line(row: &AnyRow) -> Result<FoundLine, LedgerError> {
    let statement: i64 = row.try_get("statement_id").map_err(failed)?;
    Ok(FoundLine {
        lane: row.try_get("lane").map_err(failed)?,
        day: row.try_get("day").map_err(failed)?,
        column: row.try_get("what").map_err(failed)?,
        line: line_row(row, statement)?,
        item_id: None,
    })
}

fn named_item(row: &AnyRow) -> Result<NamedItem, LedgerError> {
    Ok(NamedItem {
        numbers: NumberedItem::read(row)?,
        receipt: row.try_get("receipt").map_err(failed)?,
        lane: row.try_get("lane").map_err(failed)?,
    })
}
