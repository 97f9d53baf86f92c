//! Suspending, resuming and ending contracts, by persons and by what became of their items.
//!
//! What is open of a contract that is no longer charged is withdrawn in the same commit, by the
//! state machine: nothing more is sent. What may be under way at the gateway is asked about.

use chrono::NaiveDate;
use serde_json::json;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::{
    ContractChangeRow, ContractRow, locked, note_changes, note_waived, shown, signed, update,
};
use crate::audit::NewAuditEntry;
use crate::db::write_tx::WriteTx;
use crate::error::undecodable;
use crate::items::item_rows::list;
use crate::items::operator_action::cancel_with_contract;
use crate::{Ledger, LedgerError};
use payrun_domain::actor::Actor;
use payrun_domain::ids::KeyHash;
use payrun_domain::policy::Policy;
use payrun_domain::subscription::{
    ContractChangeCode, ContractEvent, ContractStanding, Subscription, WaivedPeriod,
};
use payrun_domain::time::Timestamp;

/// The field that names a contract, of which one value is in flight at a time.
pub(crate) const CONTRACT: &str = "contract_id";

/// How many withdrawn items an entry of the audit log names.
const NAMED: usize = 200;

/// What is to become of a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContractAction {
    /// Not charged until it is resumed.
    Suspend,
    /// Charged again.
    Resume,
    /// Never charged again.
    End,
    /// Charged for the last time on this day or before.
    EndOn(NaiveDate),
}

/// A change and who wants it.
#[derive(Debug, Clone)]
pub struct ContractChange {
    /// What.
    pub what: ContractAction,
    /// Who: a person's change is in the audit log too.
    pub who: Actor,
    /// Why.
    pub why: String,
    /// Why, where payrun changes it by itself.
    pub code: Option<ContractChangeCode>,
    /// The day it is, on the wall clock of due dates.
    pub today: NaiveDate,
    /// The instant it is.
    pub now: Timestamp,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContractChangeOutcome {
    /// It is done.
    Done {
        /// How many items were withdrawn that had not been sent.
        cancelled: u64,
        /// How many periods will never be charged because of it.
        waived: u64,
    },
    /// It cannot be, and why.
    Refused(&'static str),
    /// There is no such contract.
    NoSuchContract,
}

/// An item of a contract's period that has failed, of which the contract has not heard.
#[derive(Debug, Clone)]
pub struct ContractNews {
    /// The contract's number.
    pub contract_id: i64,
    /// The contract, as the gateway names it.
    pub contract: String,
    /// The item.
    pub item_id: i64,
    /// How often it was declined.
    pub decline_count: u16,
    /// How many steps its dunning ladder has.
    pub steps: usize,
    /// Why it failed.
    pub reason: String,
    /// Facts of the gateway's replies.
    pub facts: serde_json::Map<String, serde_json::Value>,
}

/// A contract as it is after a change, and what goes with it.
struct ContractAfterChange {
    what: ContractEvent,
    subscription: Subscription,
    waived: Vec<WaivedPeriod>,
}

/// Whose last day is over, and of which nothing is due and no item is under way or waits to be
/// sent: ending a contract would withdraw its last period.
pub(super) const OVER: &str = "\
    select c.id, c.end_on from contracts as c where c.state <> 'ended' and c.end_on is not null and c.end_on < $1 \
      and (c.state = 'suspended' or c.next_due is null) and not exists \
        (select 1 from contract_periods as p where p.contract_id = c.id and p.state = 'planned') \
    order by c.end_on limit $2";

impl Ledger {
    /// Changes one contract.
    ///
    /// # Errors
    /// Whatever the database says; then nothing has changed.
    pub async fn change_contract(
        &self,
        id: i64,
        change: &ContractChange,
    ) -> Result<ContractChangeOutcome, LedgerError> {
        let mut tx = WriteTx::take_long(&self.write, "changing a contract").await?;
        let contracts = locked(&mut tx, &[id]).await?;
        tx.acquire_write_lock().await?;
        let changed = match contracts.first() {
            Some(contract) => apply(&mut tx, contract, change).await?,
            None => ContractChangeOutcome::NoSuchContract,
        };
        tx.commit_and_tell().await?;
        Ok(changed)
    }

    /// Ends what payrun knows of a contract that the gateway has ended: the contract itself, if it
    /// lives here, and what is open of it from files. Doing it again changes nothing.
    ///
    /// # Errors
    /// Whatever the database says; doing it again goes on.
    pub async fn contract_is_ended(
        &self,
        account: &str,
        contract: &str,
        change: &ContractChange,
    ) -> Result<(), LedgerError> {
        for known in self.contracts_called(contract, Some(account)).await? {
            self.change_contract(known.id, change).await?;
        }
        let mut tx = WriteTx::take_long(&self.write, "ending a contract").await?;
        tx.acquire_write_lock().await?;
        withdraw(&mut tx, (account, contract), change).await?;
        tx.commit_and_tell().await
    }

    /// Failed items of which contracts have not heard, oldest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn contract_news(&self, limit: u32) -> Result<Vec<ContractNews>, LedgerError> {
        let failed =
            |source| LedgerError::of("looking for what contracts have not heard of", source);
        let query = include_str!("contract_news.sql");
        let rows = sqlx::query(query)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        rows.iter()
            .map(news)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    /// Tells a contract what follows from an item that has failed. Says whether it was news, and
    /// not told by somebody else or undone meanwhile.
    ///
    /// # Errors
    /// Whatever the database says; then nothing has changed.
    pub async fn apply_to_contract(
        &self,
        news: &ContractNews,
        change: &ContractChange,
    ) -> Result<bool, LedgerError> {
        let mut tx = WriteTx::take_long(&self.write, "telling a contract").await?;
        let contracts = locked(&mut tx, &[news.contract_id]).await?;
        tx.acquire_write_lock().await?;
        let processed = sqlx::query(
            "update contract_periods set failure_unprocessed = 0 where item_id = $1 and failure_unprocessed = 1",
        );
        let processed = processed.bind(news.item_id).execute(tx.connection()).await;
        let processed = processed
            .map_err(|source| LedgerError::of("telling a contract", source))?
            .rows_affected()
            > 0;
        if let (true, Some(contract)) = (processed, contracts.first()) {
            apply(&mut tx, contract, change).await?;
        }
        tx.commit_and_tell().await?;
        Ok(processed)
    }

    /// Notes that nothing follows for the contracts of these items.
    ///
    /// # Errors
    /// Whatever the database says; then nothing is noted.
    pub async fn dismiss_contract_news(&self, items: &[i64]) -> Result<(), LedgerError> {
        if items.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin_write("telling contracts").await?;
        let processed = "update contract_periods set failure_unprocessed = 0 where failure_unprocessed = 1 \
                     and item_id in (select cast(atom as bigint) from json_each($1))";
        let processed = sqlx::query(processed)
            .bind(list(items))
            .execute(tx.connection())
            .await;
        processed.map_err(|source| LedgerError::of("telling contracts", source))?;
        tx.commit().await
    }

    /// Contracts whose last day is over and of which nothing is open: by number, with that day.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn contracts_over(
        &self,
        today: NaiveDate,
        limit: u32,
    ) -> Result<Vec<(i64, NaiveDate)>, LedgerError> {
        let failed = |source| LedgerError::of("looking for contracts that are over", source);
        let rows = sqlx::query(OVER)
            .bind(today.to_string())
            .bind(i64::from(limit));
        let rows = rows.fetch_all(&self.read).await.map_err(failed)?;
        let over = |row: &AnyRow| {
            let id: i64 = row.try_get(0)?;
            let end_on: &str = row.try_get(1)?;
            let end_on = end_on
                .parse()
                .map_err(|_| undecodable("contracts", id, "end_on"))?;
            Ok((id, end_on))
        };
        rows.iter()
            .map(over)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }
}

fn news(row: &AnyRow) -> Result<ContractNews, sqlx::Error> {
    let item_id: i64 = row.try_get("item_id")?;
    let policy: Policy = serde_json::from_str(row.try_get("policy")?)
        .map_err(|_| undecodable("items", item_id, "policy"))?;
    let declines: i64 = row.try_get("decline_count")?;
    Ok(ContractNews {
        contract_id: row.try_get("contract_id")?,
        contract: row.try_get("contract")?,
        item_id,
        decline_count: u16::try_from(declines)
            .map_err(|_| undecodable("items", item_id, "decline_count"))?,
        steps: policy.dunning.len(),
        reason: row
            .try_get::<Option<String>, _>("reason")?
            .unwrap_or_default(),
        facts: match row.try_get::<Option<&str>, _>("result")? {
            None => serde_json::Map::new(),
            Some(result) => {
                serde_json::from_str(result).map_err(|_| undecodable("items", item_id, "result"))?
            }
        },
    })
}

async fn apply(
    tx: &mut WriteTx,
    contract: &ContractRow,
    change: &ContractChange,
) -> Result<ContractChangeOutcome, LedgerError> {
    let after = match after(contract, change) {
        Ok(after) => after,
        Err(why) => return Ok(ContractChangeOutcome::Refused(why)),
    };
    let mut accounted = contract.accounted.clone();
    accounted.extend(after.waived.iter().map(|waived| waived.period.name.clone()));
    let next_due = after.subscription.next_due(contract.open(), &accounted);
    note_waived(tx, contract.id, &after.waived, change.now).await?;
    update(tx, &[(contract.id, &after.subscription, next_due)]).await?;
    let (before, now) = (Some(contract.json()), shown(&after.subscription));
    let history = ContractChangeRow {
        contract_id: contract.id,
        what: after.what,
        code: change.code,
        before,
        after: now,
    };
    note_changes(tx, &[history], change.who.name(), &change.why, change.now).await?;
    let charged = after.subscription.standing == ContractStanding::Active;
    let withdrawn = match change.what {
        ContractAction::EndOn(day) => {
            withdraw_after(
                tx,
                contract.id,
                day,
                (change.who.name(), &change.why),
                change.now,
            )
            .await?
        }
        ContractAction::Suspend | ContractAction::Resume | ContractAction::End if charged => {
            Vec::new()
        }
        ContractAction::Suspend | ContractAction::Resume | ContractAction::End => {
            withdraw(tx, (&contract.account, &contract.contract), change).await?
        }
    };
    if change.who.is_person() {
        let by = signed(&change.who, &change.why)?;
        let action = match change.what {
            ContractAction::Suspend => "contract.suspend",
            ContractAction::Resume => "contract.resume",
            ContractAction::End | ContractAction::EndOn(_) => "contract.end",
        };
        let state = |standing: &ContractStanding| json!({ "state": standing.as_str() });
        let (before, mut after) = (
            state(&contract.subscription.standing),
            state(&after.subscription.standing),
        );
        after["withdrawn"] = named(&withdrawn);
        let target = format!("contract {}", contract.contract);
        tx.note(NewAuditEntry {
            by: &by,
            action,
            target,
            before,
            after,
            at: change.now,
        })
        .await?;
    }
    Ok(ContractChangeOutcome::Done {
        cancelled: withdrawn.len() as u64,
        waived: after.waived.len() as u64,
    })
}

/// What follows from a change, or why it cannot be.
fn after(
    contract: &ContractRow,
    change: &ContractChange,
) -> Result<ContractAfterChange, &'static str> {
    let (ours, open, today) = (&contract.subscription, contract.open(), change.today);
    let plain = |what, subscription| ContractAfterChange {
        what,
        subscription,
        waived: Vec::new(),
    };
    match change.what {
        ContractAction::Suspend => ours
            .suspended(today, &change.why)
            .map(|suspended| plain(ContractEvent::Suspended, suspended))
            .ok_or("it is not active"),
        ContractAction::Resume => {
            let (subscription, waived) = ours
                .resumed(open, today, &contract.accounted)
                .ok_or("it is not suspended")?;
            Ok(ContractAfterChange {
                what: ContractEvent::Resumed,
                subscription,
                waived,
            })
        }
        ContractAction::End => {
            let on = ours.terms.end().map_or(today, |end| end.min(today));
            let (subscription, waived) = ours
                .ended(open, on, &change.why, &contract.accounted)
                .ok_or("it has ended already")?;
            Ok(ContractAfterChange {
                what: ContractEvent::Ended,
                subscription,
                waived,
            })
        }
        ContractAction::EndOn(_) if matches!(ours.standing, ContractStanding::Ended { .. }) => {
            Err("it has ended already")
        }
        ContractAction::EndOn(day) if day < today => {
            Err("that day is over; leave --on out to end it now")
        }
        ContractAction::EndOn(day) if ours.terms.end().is_some_and(|end| end <= day) => {
            Err("it ends on that day or before")
        }
        ContractAction::EndOn(day) => Ok(plain(
            ContractEvent::Changed,
            Subscription {
                terms: ours.terms.until(Some(day)),
                ..ours.clone()
            },
        )),
    }
}

/// What is open of a contract, its termination aside, by the states of the two indexes that have
/// it.
pub(super) const OPEN: &str = include_str!("open_items.sql");

/// Withdraws what is open of a contract, sent or not, of its periods and of files; says which items
/// that were.
async fn withdraw(
    tx: &mut WriteTx,
    (account, contract): (&str, &str),
    change: &ContractChange,
) -> Result<Vec<i64>, LedgerError> {
    let exclusive_key = KeyHash::one_at_a_time(account, CONTRACT, contract);
    let items = sqlx::query_scalar(OPEN)
        .bind(exclusive_key.as_bytes().to_vec())
        .fetch_all(tx.connection())
        .await;
    let items: Vec<i64> = items.map_err(failed_withdrawal)?;
    withdraw_items(tx, &items, change.who.name(), &change.why, change.now).await
}

/// Withdraws what is open of a contract's periods that fall due after its last day; says which
/// items that were.
pub(super) async fn withdraw_after(
    tx: &mut WriteTx,
    contract: i64,
    last: NaiveDate,
    (who, why): (&str, &str),
    now: Timestamp,
) -> Result<Vec<i64>, LedgerError> {
    // `cross join`: the contract's periods first, then the item of each.
    let query = "select p.item_id from contract_periods as p cross join items as i where p.contract_id = $1 and p.due > $2 \
                 and p.state = 'planned' and i.id = p.item_id \
                 and i.state in ('planned', 'awaiting_approval', 'sending', 'pending', 'unknown', 'needs_review') order by p.item_id limit 10000";
    let items = sqlx::query_scalar(query)
        .bind(contract)
        .bind(last.to_string())
        .fetch_all(tx.connection())
        .await;
    withdraw_items(tx, &items.map_err(failed_withdrawal)?, who, why, now).await
}

fn failed_withdrawal(source: sqlx::Error) -> LedgerError {
    LedgerError::of("withdrawing what is open of a contract", source)
}

/// Withdraws what a run that is being planned has of contracts whose end the gateway has confirmed
/// meanwhile: nobody who ended them could see its items.
pub async fn withdraw_what_has_ended(
    tx: &mut WriteTx,
    run_id: i64,
    began: Timestamp,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let ended = sqlx::query_scalar(ENDED_SINCE)
        .bind(began.millis())
        .fetch_all(tx.connection())
        .await;
    let ended: Vec<Vec<u8>> = ended.map_err(failed_withdrawal)?;
    for exclusive_key in ended {
        let items = sqlx::query_scalar(OPEN_OF_RUN)
            .bind(exclusive_key)
            .bind(run_id)
            .fetch_all(tx.connection())
            .await;
        let items: Vec<i64> = items.map_err(failed_withdrawal)?;
        withdraw_items(
            tx,
            &items,
            Actor::payrun().name(),
            "terminated at the gateway while this was planned",
            now,
        )
        .await?;
    }
    Ok(())
}

/// The contracts that a job of terminations has ended, of those jobs that have not finished before
/// an instant.
// `cross join`: the few jobs of terminations first, then the items of each by their ids.
const ENDED_SINCE: &str = "\
    select distinct t.exclusive_key from jobs as k cross join items as t \
    where k.kind = 'terminate' and (k.finished_at is null or k.finished_at >= $1) \
      and t.id between k.first_item and k.last_item and t.job_id = k.id and t.state = 'succeeded' and t.exclusive_key is not null";

// `cross join`: the items of the contract that are open first, then the job of each.
const OPEN_OF_RUN: &str = "\
    select i.id from items as i cross join jobs as j where i.exclusive_key = $1 and i.exclusive_key is not null \
      and i.key_hash is not null and i.state in ('planned', 'awaiting_approval') \
      and j.id = i.job_id and j.run_id = $2 and j.kind <> 'terminate' order by i.id";

async fn withdraw_items(
    tx: &mut WriteTx,
    items: &[i64],
    who: &str,
    why: &str,
    now: Timestamp,
) -> Result<Vec<i64>, LedgerError> {
    let mut withdrawn = Vec::new();
    for item in items {
        if cancel_with_contract(tx, *item, (who, why), now).await? {
            withdrawn.push(*item);
        }
    }
    Ok(withdrawn)
}

/// Withdrawn items, as an entry of the audit log names them.
pub(super) fn named(withdrawn: &[i64]) -> serde_json::Value {
    json!({ "items": withdrawn.len(), "ids": withdrawn.iter().take(NAMED).collect::<Vec<_>>() })
}
