//! Items are added to a plan, a chunk at a time. Each key makes one item; every other row that has
//! it is refused.

use std::collections::HashMap;

use serde::Serialize;
use sqlx::Row;

use crate::error::LedgerError;
use crate::items::item_rows::{hex, list};
use crate::planning::payment_names::PaymentNames;
use crate::planning::plan::PlanWriter;
use crate::planning::references::{ItemReference, keep_references};
use crate::planning::rejected_rows::{RejectedRow, contradicts, duplicate_in_run, number_taken};
use crate::planning::replacement::{ReplacedItem, ReplacementCheck};
use crate::planning::whole_or_parts::{ItemPart, Replaced};
use payrun_domain::ids::{KeyHash, OrderNumber};
use payrun_domain::item::State;
use payrun_domain::money::Amount;

/// An item to be planned.
#[derive(Debug, Clone)]
pub struct NewItem {
    /// Its line in the file.
    pub line: u64,
    /// What may happen at most once.
    pub key: String,
    /// The key's fingerprint in its scope.
    pub key_hash: KeyHash,
    /// Fingerprint of what must be equal where the key is.
    pub content_hash: KeyHash,
    /// Fingerprint of what may be in flight once at a time.
    pub exclusive_key: Option<KeyHash>,
    /// The order number the user gave.
    pub custom_order_no: Option<OrderNumber>,
    /// Its amount.
    pub amount: Option<Amount>,
    /// Whether other rows stand for it too, so that none of them says it twice.
    pub shared: bool,
    /// Its checked fields, a JSON object.
    pub input: String,
    /// By what else it is found.
    pub references: Vec<ItemReference>,
    /// Of what it is the whole, or a part, where only one of both may be done.
    pub part: Option<ItemPart>,
    /// The payment it is of, where it is named by two numbers.
    pub payment: Option<PaymentNames>,
    /// Whether it does again what failed, with other content.
    pub again: ReplacementCheck,
}

impl NewItem {
    /// What it does again with other content.
    pub(super) fn replaced(&self) -> Replaced<'_> {
        self.again
            .replaces()
            .map_or(Replaced { but: 0, chain: "" }, |of| Replaced {
                but: of.earlier.id(),
                chain: &self.key,
            })
    }

    /// Whether an earlier row of the run has its key with other personal data.
    pub(super) const fn contradicts(&self) -> bool {
        matches!(self.again, ReplacementCheck::Contradicts)
    }
}

impl PlanWriter {
    /// Adds items of a job. Returns those that were refused, with the reason; they are kept as
    /// such.
    ///
    /// # Errors
    /// Whatever the database says; then the plan must be abandoned.
    pub async fn items(
        &mut self,
        job_id: i64,
        items: &[NewItem],
    ) -> Result<Vec<RejectedRow>, LedgerError> {
        #[cfg(feature = "mutation")]
        let items = &crate::mutation::keyed(items)[..];
        let mut refused = Vec::new();
        let mut first_with: HashMap<KeyHash, &NewItem> = HashMap::with_capacity(items.len());
        for item in items {
            let first = first_with.get(&item.key_hash).copied();
            match (self.contradicted.get(&item.key_hash), first) {
                (Some(line), _) => refused.push(contradicts(item, *line)),
                (None, Some(first))
                    if first.content_hash == item.content_hash && !item.contradicts() =>
                {
                    refused.push(duplicate_in_run(item, first.line))
                }
                // Which of them is meant, nobody can tell.
                (None, Some(first)) => {
                    self.contradicted.insert(item.key_hash, first.line);
                    refused.extend([contradicts(first, item.line), contradicts(item, first.line)]);
                }
                (None, None) => {
                    first_with.insert(item.key_hash, item);
                }
            }
        }
        let is_first = |item: &&NewItem| {
            let first = first_with
                .get(&item.key_hash)
                .is_some_and(|first| std::ptr::eq(*first, *item));
            first && !self.contradicted.contains_key(&item.key_hash)
        };
        let fresh: Vec<&NewItem> = items.iter().filter(is_first).collect();
        if self.steps.is_none() {
            self.waits_for_another(items).await?;
        }
        while self.waits_for_parts(items).await? {}
        let (fresh, doubtful) = self.with_one_name_each(job_id, items, fresh).await?;
        refused.extend(doubtful);
        let (fresh, clashing) = self.without_clashes(job_id, fresh).await?;
        refused.extend(clashing);
        let before = self.newest_item().await?;
        let inserted = self.insert(job_id, &fresh).await?;
        keep_references(self.connection().await?, job_id, &fresh, before).await?;
        let all_new = inserted == fresh.len() as u64;
        let holders = if all_new {
            HashMap::new()
        } else {
            self.holders(&fresh).await?
        };
        let mut replacing = Vec::new();
        for item in fresh {
            match holders.get(&item.key_hash) {
                // Somebody else may plan at the same time: only what is of this job and new was
                // made just now.
                Some(holder)
                    if holder.id <= before
                        && holder.job_id == job_id
                        && holder.contradicts(item) =>
                {
                    self.contradicted.insert(item.key_hash, holder.first_line());
                    refused.extend([
                        self.reject_first(holder, item).await?,
                        contradicts(item, holder.first_line()),
                    ]);
                }
                Some(holder) if holder.id <= before || holder.job_id != job_id => {
                    refused.push(holder.refuse(item, self.run_id))
                }
                None if !all_new => refused.push(number_taken(item)),
                Some(_) | None => {
                    self.total_changes
                        .add(job_id, item.amount, State::Planned, 1);
                    replacing.extend(item.again.replaces().map(|of| (item.key_hash, of)));
                }
            }
        }
        self.note_replaced(&replacing).await?;
        let (kept, new): (Vec<RejectedRow>, Vec<RejectedRow>) =
            refused.into_iter().partition(|refusal| refusal.was_planned);
        self.refuse(job_id, &new).await?;
        Ok(new.into_iter().chain(kept).collect())
    }

    /// The newest item of all; zero if there is none.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn newest_item(&mut self) -> Result<i64, LedgerError> {
        let failed = |source| LedgerError::of("planning items", source);
        let row = sqlx::query("select coalesce(max(id), 0) from items")
            .fetch_one(self.connection().await?)
            .await
            .map_err(failed)?;
        row.try_get(0).map_err(failed)
    }

    async fn insert(&mut self, job_id: i64, items: &[&NewItem]) -> Result<u64, LedgerError> {
        let due = self.send_at.unwrap_or(self.now).millis();
        let rows: Vec<_> = items
            .iter()
            .map(|item| PlannedLine {
                line: item.line,
                key: &item.key,
                key_hash: hex(item.key_hash),
                content_hash: hex(item.content_hash),
                exclusive_key: item.exclusive_key.map(hex),
                order_no: item
                    .custom_order_no
                    .clone()
                    .unwrap_or_else(|| OrderNumber::derive(item.key_hash, 1)),
                custom_order_no: item.custom_order_no.as_ref(),
                amount: item.amount.map(Amount::minor),
                currency: item.amount.map(|amount| amount.currency().code()),
                input: &item.input,
                result: item.again.replaces().map(ReplacedItem::result),
                part_of: item.part.as_ref().map(|part| hex(part.of)),
                part: item.part.as_ref().map(ItemPart::folded),
                part_written: item.part.as_ref().map(ItemPart::written),
                part_once: item.part.as_ref().map(|part| u8::from(part.once)),
                payment_ours: item.payment.as_ref().map(PaymentNames::ours),
                payment_theirs: item.payment.as_ref().map(PaymentNames::theirs),
                payment_part: item.payment.as_ref().and_then(PaymentNames::part),
                payment_written: item.payment.as_ref().map(PaymentNames::written),
            })
            .collect();
        let inserted = sqlx::query(include_str!("plan_items.sql"))
            .bind(list(&rows))
            .bind(job_id)
            .bind(due)
            .execute(self.connection().await?)
            .await
            .map_err(|source| LedgerError::of("planning items", source))?;
        Ok(inserted.rows_affected())
    }
}

/// A new row of `items`, as `planning/plan_items.sql` reads it: the fields go by their names.
#[derive(Debug, Serialize)]
struct PlannedLine<'a> {
    line: u64,
    key: &'a str,
    key_hash: String,
    content_hash: String,
    exclusive_key: Option<String>,
    order_no: OrderNumber,
    custom_order_no: Option<&'a OrderNumber>,
    amount: Option<i64>,
    currency: Option<&'static str>,
    input: &'a str,
    result: Option<String>,
    part_of: Option<String>,
    part: Option<String>,
    part_written: Option<String>,
    part_once: Option<u8>,
    payment_ours: Option<String>,
    payment_theirs: Option<String>,
    payment_part: Option<String>,
    payment_written: Option<String>,
}
