//! Keeping what an import says: new contracts, changed ones, and those that are so already.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde_json::json;
use sqlx::Row;

use super::change::{named, withdraw_after};
use super::{ContractChangeRow, ContractRow, line, locked, note_changes, shown, signed, update};
use crate::audit::NewAuditEntry;
use crate::db::write_tx::WriteTx;
use crate::items::item_rows::list;
use crate::{Ledger, LedgerError};
use payrun_domain::actor::Actor;
use payrun_domain::subscription::{ContractEvent, ContractOffer, Subscription};
use payrun_domain::time::Timestamp;

/// What a row of an import says.
#[derive(Debug, Clone)]
pub struct NewContract {
    /// The gateway's id.
    pub contract: String,
    /// What it owes.
    pub offer: ContractOffer,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpsertOutcome {
    /// The contract was not there.
    New,
    /// It was there and is another now.
    Changed,
    /// It was so already.
    Same,
    /// It cannot be so, and why.
    Refused(String),
}

/// Who imports, and when.
#[derive(Debug, Clone)]
pub struct Import {
    /// The account, as the gateway tells accounts apart.
    pub account: String,
    /// Who.
    pub who: Actor,
    /// From which file, or why.
    pub why: String,
    /// The day prices without one hold from.
    pub today: NaiveDate,
    /// When.
    pub now: Timestamp,
    /// Whether to keep it.
    pub commit: bool,
}

impl Ledger {
    /// Keeps some contracts of one account, all or none; says of each what became of it. The same
    /// again changes nothing. No contract may stand twice among them.
    ///
    /// # Errors
    /// Whatever the database says; then none was kept.
    pub async fn keep_contracts(
        &self,
        rows: &[NewContract],
        import: &Import,
    ) -> Result<Vec<UpsertOutcome>, LedgerError> {
        let mut tx = WriteTx::take_long(&self.write, "importing contracts").await?;
        let known = known(&mut tx, rows, &import.account).await?;
        tx.acquire_write_lock().await?;
        let mut kept = Vec::with_capacity(rows.len());
        let (mut fresh, mut changed): (Vec<&NewContract>, Vec<(&ContractRow, Subscription)>) =
            Default::default();
        for row in rows {
            kept.push(match known.get(&row.contract) {
                None => {
                    fresh.push(row);
                    UpsertOutcome::New
                }
                Some(ours) => match ours
                    .subscription
                    .revised(&row.offer, import.today, ours.begun)
                {
                    Ok(None) => UpsertOutcome::Same,
                    Ok(Some(revised)) => {
                        changed.push((ours, revised));
                        UpsertOutcome::Changed
                    }
                    Err(why) => UpsertOutcome::Refused(why.to_string()),
                },
            });
        }
        insert(&mut tx, &fresh, import).await?;
        let withdrawn = change(&mut tx, &changed, import).await?;
        if import.who.is_person() && fresh.len() + changed.len() > 0 {
            let by = signed(&import.who, &import.why)?;
            let after = json!({ "new": fresh.len(), "changed": changed.len(), "withdrawn": named(&withdrawn) });
            let (action, target) = ("contract.import", "contracts".to_owned());
            tx.note(NewAuditEntry {
                by: &by,
                action,
                target,
                before: json!({}),
                after,
                at: import.now,
            })
            .await?;
        }
        if import.commit {
            tx.commit().await?
        } else {
            tx.rollback().await?
        }
        Ok(kept)
    }
}

// `cross join`: the list first, then what it names by an index.
pub(super) const KNOWN: &str = "\
    select c.id from json_each($1) as k cross join contracts as c where c.contract = k.atom and c.account = $2 order by c.id";

/// Those that are there, kept from changing meanwhile.
async fn known(
    tx: &mut WriteTx,
    rows: &[NewContract],
    account: &str,
) -> Result<BTreeMap<String, ContractRow>, LedgerError> {
    let names: Vec<&str> = rows.iter().map(|row| row.contract.as_str()).collect();
    let ids = sqlx::query_scalar(KNOWN)
        .bind(list(&names))
        .bind(account)
        .fetch_all(tx.connection())
        .await;
    let ids: Vec<i64> = ids.map_err(|source| LedgerError::of("looking for contracts", source))?;
    Ok(locked(tx, &ids)
        .await?
        .into_iter()
        .map(|row| (row.contract.clone(), row))
        .collect())
}

async fn insert(
    tx: &mut WriteTx,
    fresh: &[&NewContract],
    import: &Import,
) -> Result<(), LedgerError> {
    if fresh.is_empty() {
        return Ok(());
    }
    let failed = |source| LedgerError::of("importing contracts", source);
    let subscriptions: Vec<Subscription> =
        fresh.iter().map(|row| row.offer.subscription()).collect();
    let next =
        |one: &Subscription| one.next_due(one.terms.start(), &std::collections::BTreeSet::new());
    let lines: Vec<_> = fresh
        .iter()
        .zip(&subscriptions)
        .map(|(row, one)| line((None, Some(&row.contract)), one, next(one)))
        .collect();
    // Another process may import the same: what it has made is there already, and has its history.
    let made = sqlx::query(include_str!("insert.sql"))
        .bind(list(&lines))
        .bind(&import.account)
        .bind(import.now.millis());
    let made = made.fetch_all(tx.connection()).await.map_err(failed)?;
    let mut ids: BTreeMap<String, i64> = BTreeMap::new();
    for row in &made {
        ids.insert(
            row.try_get(1).map_err(failed)?,
            row.try_get(0).map_err(failed)?,
        );
    }
    let history = |(row, one): (&&NewContract, &Subscription)| {
        let contract_id = ids.get(&row.contract).copied()?;
        Some(ContractChangeRow {
            contract_id,
            what: ContractEvent::Imported,
            code: None,
            before: None,
            after: shown(one),
        })
    };
    let history: Vec<ContractChangeRow> = fresh
        .iter()
        .zip(&subscriptions)
        .filter_map(history)
        .collect();
    note_changes(tx, &history, import.who.name(), &import.why, import.now).await
}

/// Changes them; says which items were withdrawn because of it.
async fn change(
    tx: &mut WriteTx,
    changed: &[(&ContractRow, Subscription)],
    import: &Import,
) -> Result<Vec<i64>, LedgerError> {
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let next = |row: &ContractRow, one: &Subscription| {
        // Before the first period other terms may begin earlier.
        let open = if row.begun {
            row.open()
        } else {
            one.terms.start()
        };
        one.next_due(open, &row.accounted)
    };
    let rows: Vec<_> = changed
        .iter()
        .map(|(row, one)| (row.id, one, next(row, one)))
        .collect();
    update(tx, &rows).await?;
    let history = |(row, one): &(&ContractRow, Subscription)| ContractChangeRow {
        contract_id: row.id,
        what: ContractEvent::Changed,
        code: None,
        before: Some(row.json()),
        after: shown(one),
    };
    let history: Vec<ContractChangeRow> = changed.iter().map(history).collect();
    note_changes(tx, &history, import.who.name(), &import.why, import.now).await?;
    // An earlier end is a withdrawal of what falls due after it.
    let mut withdrawn = Vec::new();
    for (row, one) in changed {
        let last = one.terms.end().filter(|end| {
            row.subscription
                .terms
                .end()
                .is_none_or(|before| *end < before)
        });
        if let Some(last) = last {
            let why = format!("the contract ends on {last}: {}", import.why);
            withdrawn.extend(
                withdraw_after(tx, row.id, last, (import.who.name(), &why), import.now).await?,
            );
        }
    }
    Ok(withdrawn)
}
