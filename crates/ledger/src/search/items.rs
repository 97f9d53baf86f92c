//! Items by what a text may be of them, merged: each once, with every way in which it was found.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::search_statements::{
    BY_NUMBER, BY_REFUNDED_PAYMENT, CONTRACTS, ExclusiveField, FOUND, MEANT, PAYMENTS, RUNS, SENT,
    WAYS, ways,
};
use super::{
    FoundContract, FoundItem, FoundList, LOOKED_AT, MatchedBy, SearchFilter, SearchQuery,
    SearchText,
};
use crate::Ledger;
use crate::db::stored_values;
use crate::error::LedgerError;
use crate::items::gateway_numbers::RECEIPT;
use crate::items::item_rows::hex;
use crate::items::item_rows::{list, number_of};
use crate::reads::item::item_row;
use crate::reads::runs::{RunRow, run_row};
use crate::refunds::payment::fingerprint;
use payrun_domain::ids::{KeyHash, OrderNumber};
use payrun_domain::money::Amount;
use payrun_domain::text::after_beginning;
use payrun_domain::time::Timestamp;

/// One more than is looked at: whether there are more can be told then.
const BOUND: i64 = LOOKED_AT as i64 + 1;

pub(super) const OPERATION: &str = "searching";

pub(super) fn failed(source: sqlx::Error) -> LedgerError {
    LedgerError::of(OPERATION, source)
}

/// Items that were found, and how; and of which ways there is more.
#[derive(Debug, Default)]
pub(super) struct SearchHits {
    items: BTreeMap<i64, Vec<MatchedBy>>,
    cut: Vec<MatchedBy>,
}

impl SearchHits {
    fn add(&mut self, id: i64, how: MatchedBy) {
        let known = self.items.entry(id).or_default();
        if !known.contains(&how) {
            known.push(how);
        }
    }

    pub fn add_all(&mut self, ids: impl Iterator<Item = i64>, how: MatchedBy) {
        ids.for_each(|id| self.add(id, how.clone()));
    }

    fn extend(&mut self, others: Self) {
        for (id, ways) in others.items {
            ways.into_iter().for_each(|how| self.add(id, how));
        }
        self.cut.extend(others.cut);
    }

    pub fn into_cut(self) -> Vec<MatchedBy> {
        self.cut
    }

    /// What a statement found that says an item and what of it. One row too many is no hit: it says
    /// that there is more.
    fn rows(
        &mut self,
        rows: &[&AnyRow],
        how: impl Fn(String) -> MatchedBy,
    ) -> Result<(), LedgerError> {
        for row in rows.iter().take(LOOKED_AT) {
            let what = row.try_get("what").map_err(failed)?;
            self.add(row.try_get("id").map_err(failed)?, how(what));
        }
        if let Some(row) = rows.get(LOOKED_AT) {
            self.cut.push(how(row.try_get("what").map_err(failed)?));
        }
        Ok(())
    }
}

impl Ledger {
    /// Items by all that a text may be of them.
    pub(super) async fn items_of_text(&self, text: &SearchText) -> Result<SearchHits, LedgerError> {
        let (mut hits, numbered, refunds) = tokio::try_join!(
            self.by_ways(text),
            self.by_number(&text.text),
            self.by_refunded_payment(text),
        )?;
        if let Ok(id) = text.text.parse() {
            hits.add(id, MatchedBy::Id);
        }
        hits.extend(numbered);
        hits.extend(refunds);
        Ok(hits)
    }

    /// By all that is looked up as it was typed, or as references and contracts are kept.
    async fn by_ways(&self, text: &SearchText) -> Result<SearchHits, LedgerError> {
        let keys: Vec<_> = text
            .exclusive_keys
            .iter()
            .map(|(key, field)| ExclusiveField {
                exclusive_key: hex(*key),
                field,
            })
            .collect();
        let reference = Some(&text.reference).filter(|reference| !reference.is_empty());
        let query = sqlx::query(AssertSqlSafe(ways()))
            .bind(text.text.clone())
            .bind(after_beginning(&text.text))
            .bind(list(&keys))
            .bind(reference.cloned())
            .bind(reference.and_then(|reference| after_beginning(reference)))
            .bind(text.reference_hash.clone().filter(|_| reference.is_some()))
            .bind(BOUND);
        let rows = query.fetch_all(&self.read).await.map_err(failed)?;
        let mut hits = SearchHits::default();
        for way in WAYS {
            let mut of_way = Vec::new();
            for row in &rows {
                if row.try_get::<&str, _>("way").map_err(failed)? == way.name {
                    of_way.push(row);
                }
            }
            hits.rows(&of_way, way.matched_by)?;
        }
        Ok(hits)
    }

    /// By a derived number, of any generation, or by one of the user's own, also with a generation
    /// behind it.
    async fn by_number(&self, text: &str) -> Result<SearchHits, LedgerError> {
        let mut hits = SearchHits::default();
        let Ok(number) = OrderNumber::parse(text) else {
            return Ok(hits);
        };
        let before_dash = text.rsplit_once('-').map(|(own, _)| own);
        let own: Vec<&str> = std::iter::once(text).chain(before_dash).collect();
        let query = sqlx::query(BY_NUMBER)
            .bind(number.key_hash().map(hex).unwrap_or_default())
            .bind(list(&own));
        for row in &query.fetch_all(&self.read).await.map_err(failed)? {
            let named = NumberedItem::read(row)?;
            if let Some(generation) = named.generation_of(text) {
                hits.add(named.id, MatchedBy::OrderNumber { generation });
            }
        }
        Ok(hits)
    }

    /// What takes from a payment with this number, the gateway's or the merchant's.
    async fn by_refunded_payment(&self, text: &SearchText) -> Result<SearchHits, LedgerError> {
        let accounts: Vec<String> = text.accounts.iter().copied().map(hex).collect();
        let looked_up = sqlx::query(PAYMENTS)
            .bind(list(&accounts))
            .bind(text.text.clone())
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        let mut payments: Vec<String> = text
            .accounts
            .iter()
            .map(|account| hex(fingerprint(*account, &text.text)))
            .collect();
        for row in &looked_up {
            let (account, paid): (String, String) = (
                row.try_get(0).map_err(failed)?,
                row.try_get(1).map_err(failed)?,
            );
            let account = text.accounts.iter().find(|own| hex(**own) == account);
            payments.extend(account.map(|account| hex(fingerprint(*account, &paid))));
        }
        let query = sqlx::query(BY_REFUNDED_PAYMENT)
            .bind(list(&payments))
            .bind(BOUND);
        let rows = query.fetch_all(&self.read).await.map_err(failed)?;
        let mut hits = SearchHits::default();
        let rows: Vec<&AnyRow> = rows.iter().collect();
        hits.rows(&rows, |_| MatchedBy::RefundedPayment)?;
        Ok(hits)
    }

    /// What was sent of an amount on some days; nothing where either is not said.
    pub(super) async fn items_sent(
        &self,
        filter: &SearchFilter,
        hits: &mut SearchHits,
    ) -> Result<(), LedgerError> {
        let (Some(amount), Some(days)) = (filter.amount, &filter.days) else {
            return Ok(());
        };
        let query = sqlx::query(SENT)
            .bind(amount.currency().code())
            .bind(amount.minor())
            .bind(days.span.from.millis())
            .bind(days.span.until.millis())
            .bind(SENT_LOOKED_AT + 1);
        let rows = query.fetch_all(&self.read).await.map_err(failed)?;
        let most = usize::try_from(SENT_LOOKED_AT).unwrap_or(usize::MAX);
        for row in rows.iter().take(most) {
            let lane: &str = row.try_get("what").map_err(failed)?;
            if filter.lane.as_deref().is_none_or(|wanted| wanted == lane) {
                hits.add(row.try_get("id").map_err(failed)?, MatchedBy::Amount);
            }
            if hits.items.len() >= LOOKED_AT {
                break;
            }
        }
        if rows.len() > most || hits.items.len() >= LOOKED_AT {
            hits.cut.push(MatchedBy::Amount);
        }
        Ok(())
    }

    /// What of all that was found is meant, the newest first.
    pub(super) async fn found_items(
        &self,
        hits: &SearchHits,
        query: &SearchQuery,
    ) -> Result<FoundList<FoundItem>, LedgerError> {
        if hits.items.is_empty() {
            return Ok(FoundList::default());
        }
        let filter = &query.filter;
        let ids: Vec<i64> = hits.items.keys().copied().collect();
        let span = filter.days.as_ref().map(|days| days.span);
        let meant = sqlx::query(MEANT)
            .bind(list(&ids))
            .bind(filter.lane.clone())
            .bind(filter.amount.map(Amount::minor))
            .bind(filter.amount.map(|amount| amount.currency().code()))
            .bind(span.map(|span| span.from.millis()))
            .bind(span.map(|span| span.until.millis()))
            .bind(i64::from(query.limit));
        let rows = meant.fetch_all(&self.read).await.map_err(failed)?;
        let ids: Vec<i64> = rows
            .iter()
            .map(|row| row.try_get("id"))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        let every = rows
            .first()
            .map_or(Ok(0), |row| row.try_get::<i64, _>("every").map_err(failed))?;
        let every = stored_values::count(every, OPERATION)?;
        let rows = sqlx::query(FOUND).bind(list(&ids)).fetch_all(&self.read);
        let mut found = BTreeMap::new();
        for row in &rows.await.map_err(failed)? {
            let item = found_item(row, hits)?;
            found.insert(item.item.id, item);
        }
        for (id, numbers) in self.gateway_numbers(&ids).await? {
            if let Some(item) = found.get_mut(&id) {
                item.gateway_numbers = numbers;
            }
        }
        Ok(FoundList {
            rows: ids.iter().filter_map(|id| found.remove(id)).collect(),
            more: every.saturating_sub(ids.len() as u64),
        })
    }

    /// Contracts that are kept here under this name.
    pub(super) async fn contracts_of_text(
        &self,
        text: &SearchText,
        query: &SearchQuery,
    ) -> Result<Vec<FoundContract>, LedgerError> {
        // A contract is of no amount and on no day.
        if query.filter.amount.is_some() || query.filter.days.is_some() {
            return Ok(Vec::new());
        }
        let query = sqlx::query(CONTRACTS).bind(text.text.clone());
        let rows = query.fetch_all(&self.read).await.map_err(failed)?;
        let read = |row: &AnyRow| {
            Ok(FoundContract {
                contract: row.try_get(0)?,
                account: row.try_get(1)?,
                state: row.try_get(2)?,
            })
        };
        rows.iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    /// The run of this number; the run of `WORKFLOW/OCCURRENCE`; the runs of this workflow, the
    /// newest first.
    pub(super) async fn runs_of_text(
        &self,
        text: &SearchText,
        query: &SearchQuery,
    ) -> Result<Vec<RunRow>, LedgerError> {
        if query.filter.amount.is_some() {
            return Ok(Vec::new());
        }
        let days = query.filter.days.as_ref();
        let mut found = Vec::new();
        if let Ok(id) = text.text.parse() {
            found.extend(self.run(id).await?);
        }
        if let Some((workflow, occurrence)) = text.text.split_once('/') {
            found.extend(self.run_of(workflow, occurrence).await?);
        }
        found.retain(|run| days.is_none_or(|days| days.has(run.started_at)));
        if let Some(lane) = &query.filter.lane {
            let mut on_lane = Vec::new();
            for run in found {
                let jobs = self.jobs(run.id).await?;
                on_lane.extend(jobs.iter().any(|job| job.lane == *lane).then_some(run));
            }
            found = on_lane;
        }
        let of_workflow = sqlx::query(RUNS)
            .bind(text.text.clone())
            .bind(days.map_or(i64::MIN, |days| days.span.from.millis()))
            .bind(days.map_or(i64::MAX, |days| days.span.until.millis()))
            .bind(query.filter.lane.clone())
            .bind(BOUND);
        for row in &of_workflow.fetch_all(&self.read).await.map_err(failed)? {
            found.push(run_row(row)?);
        }
        Ok(found)
    }
}

/// How many items of an amount are looked at before the account is compared.
const SENT_LOOKED_AT: i64 = 5_000;

/// An item with what its order numbers are made of.
pub(super) struct NumberedItem {
    pub id: i64,
    key: Option<KeyHash>,
    own: Option<OrderNumber>,
    generation: u16,
}

impl NumberedItem {
    pub fn read(row: &AnyRow) -> Result<Self, LedgerError> {
        let id: i64 = row.try_get("id").map_err(failed)?;
        let corrupt = |column| LedgerError::corrupt("items", id, column);
        let key: Option<&[u8]> = row.try_get("key_hash").map_err(failed)?;
        let own: Option<&str> = row.try_get("custom_order_no").map_err(failed)?;
        Ok(Self {
            id,
            key: stored_values::key_hash(key, ("items", &id, "key_hash"))?,
            own: own
                .map(OrderNumber::parse)
                .transpose()
                .map_err(|_| corrupt("custom_order_no"))?,
            generation: stored_values::unsigned(
                row.try_get("generation").map_err(failed)?,
                ("items", &id, "generation"),
            )?,
        })
    }

    /// Which generation of its number this is. A backup that was restored may not know of the last
    /// ones, so that a later one than it has is one of its numbers too.
    pub fn generation_of(&self, number: &str) -> Option<u16> {
        let behind_dash = || number.rsplit_once('-')?.1.parse::<u16>().ok();
        let key = self.key?;
        let is_its = |generation: &u16| {
            number_of(key, self.own.as_ref(), *generation).is_ok_and(|own| own.as_str() == number)
        };
        behind_dash()
            .into_iter()
            .chain([1, self.generation])
            .find(is_its)
    }
}

fn found_item(row: &AnyRow, hits: &SearchHits) -> Result<FoundItem, LedgerError> {
    let item = item_row(row)?;
    let mut matched = hits.items.get(&item.id).cloned().unwrap_or_default();
    // A number that was kept while it was pending is the receipt by now.
    if matched.contains(&MatchedBy::Receipt) {
        matched.retain(|way| !matches!(way, MatchedBy::GatewayNumber { name } if name == RECEIPT));
    }
    matched.sort_unstable();
    Ok(FoundItem {
        workflow: row.try_get("workflow").map_err(failed)?,
        lane: row.try_get("lane").map_err(failed)?,
        kind: row.try_get("kind").map_err(failed)?,
        generation: stored_values::unsigned(
            row.try_get("generation").map_err(failed)?,
            ("items", &item.id, "generation"),
        )?,
        sent_at: row
            .try_get::<Option<i64>, _>("sent_at")
            .map_err(failed)?
            .map(Timestamp::from_millis),
        planned_at: Timestamp::from_millis(row.try_get("planned_at").map_err(failed)?),
        file: row.try_get("job_file").map_err(failed)?,
        gateway_numbers: Vec::new(),
        matched,
        item,
    })
}
