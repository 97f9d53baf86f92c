//! Rows that make no item: they are kept, with the reason, and without a key, so that the right row
//! may have it.

use std::collections::HashMap;

use serde_json::json;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::db::stored_values;
use crate::error::LedgerError;
use crate::items::item_rows::{amount_of, hex, list};
use crate::planning::existing_key::ExistingKey;
use crate::planning::plan::PlanWriter;
use crate::planning::planned_items::NewItem;
use crate::planning::references::{ItemReference, keep_names};
use payrun_domain::ids::{KeyHash, OrderNumber};
use payrun_domain::item::State;
use payrun_domain::message::Message;
use payrun_domain::money::Amount;

/// Why a row makes no item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRow {
    /// Its line in the file.
    pub line: u64,
    /// Its key, where it has one.
    pub key: String,
    /// `rejected` or `skipped`.
    pub state: State,
    /// Why, in a sentence.
    pub reason: Message,
    /// The item that has the key.
    pub duplicate_of: Option<i64>,
    /// Whether somebody should hear of it at once: the same key with other content.
    pub alarming: bool,
    /// Its amount, where it is known.
    pub amount: Option<Amount>,
    /// Whether it had been planned by this plan, before a later row contradicted it.
    pub was_planned: bool,
    /// Whether it is skipped though it says something else than the item that has its key, such as
    /// another buyer.
    pub is_changed: bool,
    /// The order number that it gives, where it gives one. Nothing is ever sent under it.
    pub order_number: Option<OrderNumber>,
    /// By what else it is found.
    pub references: Vec<ItemReference>,
}

impl RejectedRow {
    /// A row that is rejected for its content.
    pub const fn of_line(line: u64, reason: Message) -> Self {
        Self {
            line,
            key: String::new(),
            state: State::Rejected,
            reason,
            duplicate_of: None,
            alarming: false,
            amount: None,
            was_planned: false,
            is_changed: false,
            order_number: None,
            references: Vec::new(),
        }
    }

    /// A row that would have made this item.
    pub fn of_item(item: &NewItem, reason: Message) -> Self {
        Self {
            key: item.key.clone(),
            amount: item.amount,
            order_number: item.custom_order_no.clone(),
            references: item.references.clone(),
            ..Self::of_line(item.line, reason)
        }
    }

    /// Whether there is anything but its key by which it is found. What is skipped has an item that
    /// is found in its place.
    fn has_names(&self) -> bool {
        self.state == State::Rejected
            && (self.order_number.is_some() || !self.references.is_empty())
    }
}

impl PlanWriter {
    /// Keeps rows that were refused.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn refuse(
        &mut self,
        job_id: i64,
        refusals: &[RejectedRow],
    ) -> Result<(), LedgerError> {
        #[cfg(feature = "mutation")]
        if crate::mutation::rows_are_dropped() {
            return Ok(());
        }
        if refusals.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = refusals
            .iter()
            .map(|refusal| {
                self.total_changes
                    .add(job_id, refusal.amount, refusal.state, 1);
                json!({
                    "job_id": job_id,
                    "line": refusal.line,
                    "key": refusal.key,
                    "order_no": refusal.order_number,
                    "state": refusal.state.as_str(),
                    "reason": refusal.reason.to_string(),
                    "message": message_text(&refusal.reason),
                    "duplicate_of": refusal.duplicate_of,
                    "amount": refusal.amount.map(Amount::minor),
                    "currency": refusal.amount.map(|amount| amount.currency().code()),
                })
            })
            .collect();
        let failed = |source| LedgerError::of("keeping refused rows", source);
        let kept = sqlx::query(include_str!("keep_refused_rows.sql"))
            .bind(list(&rows))
            .fetch_all(self.connection().await?)
            .await
            .map_err(failed)?;
        let named: Vec<&RejectedRow> = refusals.iter().filter(|one| one.has_names()).collect();
        if named.is_empty() {
            return Ok(());
        }
        // A line may have several rows: those with the same key have the same names.
        let mut ids: HashMap<(u64, String), Vec<i64>> = HashMap::with_capacity(kept.len());
        for row in &kept {
            let id: i64 = row.try_get("id").map_err(failed)?;
            let line: i64 = row.try_get("line").map_err(failed)?;
            let line = stored_values::unsigned(line, ("items", &id, "line"))?;
            let key = row.try_get("key").map_err(failed)?;
            ids.entry((line, key)).or_default().push(id);
        }
        let mut names = Vec::new();
        for refusal in named {
            let same = ids.get_mut(&(refusal.line, refusal.key.clone()));
            let Some(id) = same.and_then(Vec::pop) else {
                continue;
            };
            names.push((id, refusal.order_number.as_ref(), &refusal.references[..]));
        }
        keep_names(self.connection().await?, &names).await
    }

    /// Takes note of rows that cannot be read but for their keys. A row of the job with such a key
    /// may not be the one that is meant: what was planned of it is refused after all, and so is
    /// what is still to come.
    ///
    /// # Errors
    /// Whatever the database says; then the plan must be abandoned.
    pub async fn unreadable(
        &mut self,
        job_id: i64,
        rows: &[(KeyHash, u64)],
    ) -> Result<Vec<RejectedRow>, LedgerError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        for (key, line) in rows {
            self.contradicted.entry(*key).or_insert(*line);
        }
        let failed = |source| LedgerError::of("refusing a row that another contradicts", source);
        let keys: Vec<String> = rows.iter().map(|(key, _)| hex(*key)).collect();
        let reject = include_str!("reject_contradicted.sql");
        let reason = Message::new(
            "row-key-unreadable",
            "another row of the file has this key and cannot be read: neither is sent; leave the right one alone in the file",
        );
        let rejected = sqlx::query(reject)
            .bind(list(&keys))
            .bind(job_id)
            .bind(reason.to_string())
            .bind(message_text(&reason));
        let rejected = rejected
            .fetch_all(self.connection().await?)
            .await
            .map_err(failed)?;
        self.refusals_of_planned(job_id, &rejected, &reason).await
    }

    /// Rows of items that were planned and are rejected now, as refusals; the totals follow them.
    pub(super) async fn refusals_of_planned(
        &mut self,
        job_id: i64,
        rows: &[AnyRow],
        reason: &Message,
    ) -> Result<Vec<RejectedRow>, LedgerError> {
        let failed = |source| LedgerError::of("refusing rows that were planned", source);
        let mut refusals = Vec::with_capacity(rows.len());
        let mut numbers: Vec<(i64, OrderNumber)> = Vec::new();
        for row in rows {
            let id: i64 = row.try_get("id").map_err(failed)?;
            let amount = amount_of(row, id)?;
            self.total_changes.add(job_id, amount, State::Planned, -1);
            self.total_changes.add(job_id, amount, State::Rejected, 1);
            let line = stored_values::unsigned(
                row.try_get("line").map_err(failed)?,
                ("items", &id, "line"),
            )?;
            let number: Option<&str> = row.try_get("order_no").map_err(failed)?;
            let number = number.map(OrderNumber::parse).transpose();
            let number = number.map_err(|_| LedgerError::corrupt("items", id, "order_no"))?;
            numbers.extend(number.clone().map(|number| (id, number)));
            refusals.push(RejectedRow {
                key: row.try_get("key").map_err(failed)?,
                amount,
                was_planned: true,
                order_number: number,
                ..RejectedRow::of_line(line, reason.clone())
            });
        }
        let names: Vec<_> = numbers
            .iter()
            .map(|(id, number)| (*id, Some(number), &[][..]))
            .collect();
        keep_names(self.connection().await?, &names).await?;
        Ok(refusals)
    }

    /// The row of this job that has a key which a later row contradicts is not planned after all.
    /// Nobody has seen it yet.
    pub(super) async fn reject_first(
        &mut self,
        holder: &ExistingKey,
        item: &NewItem,
    ) -> Result<RejectedRow, LedgerError> {
        let first = NewItem {
            line: holder.first_line(),
            amount: holder.amount,
            ..item.clone()
        };
        let refusal = RejectedRow {
            was_planned: true,
            ..contradicts(&first, item.line)
        };
        let rejected = sqlx::query(include_str!("reject_planned.sql"))
            .bind(list(&[holder.id]))
            .bind(refusal.reason.to_string())
            .bind(message_text(&refusal.reason))
            .fetch_all(self.connection().await?)
            .await;
        rejected
            .map_err(|source| LedgerError::of("refusing a row that another contradicts", source))?;
        let number = refusal.order_number.as_ref();
        keep_names(self.connection().await?, &[(holder.id, number, &[])]).await?;
        self.total_changes
            .add(holder.job_id, holder.amount, State::Planned, -1);
        self.total_changes
            .add(holder.job_id, holder.amount, State::Rejected, 1);
        Ok(refusal)
    }
}

/// A reason as it is kept, to be said in other languages.
pub(crate) fn message_text(reason: &Message) -> Option<String> {
    reason.id()?;
    serde_json::to_string(reason).ok()
}

/// A row that is refused; why, its caller says.
pub(super) fn refusal_of(item: &NewItem) -> RejectedRow {
    RejectedRow::of_item(item, Message::plain(""))
}

/// Its key stands in another line of the file, with other content.
pub(super) fn contradicts(item: &NewItem, line: u64) -> RejectedRow {
    let reason = Message::new(
        "row-key-contradicts",
        "the key \"{key}\" stands in line {line} too, with other content: neither row is sent; leave the right one alone in the file",
    );
    RejectedRow {
        reason: reason.with("key", &item.key).with("line", line),
        ..refusal_of(item)
    }
}

/// Its key stands in an earlier line of the file, which says the same.
pub(super) fn duplicate_in_run(item: &NewItem, line: u64) -> RejectedRow {
    let reason = Message::new(
        "row-key-again",
        "the key \"{key}\" stands in line {line} already",
    );
    // What one row writes out and another stands for is the same thing, done once.
    let state = if item.shared {
        State::Skipped
    } else {
        State::Rejected
    };
    RejectedRow {
        state,
        reason: reason.with("key", &item.key).with("line", line),
        ..refusal_of(item)
    }
}

/// The order number that the user gave it is that of another item.
pub(super) fn number_taken(item: &NewItem) -> RejectedRow {
    let number = item
        .custom_order_no
        .as_ref()
        .map_or("", OrderNumber::as_str);
    RejectedRow {
        reason: Message::new(
            "row-number-taken",
            "the order number {number} belongs to another item",
        )
        .with("number", number),
        ..refusal_of(item)
    }
}
