//! Looking at contracts: lists by page, one with its periods, and its history.

use chrono::NaiveDate;
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::{ACCOUNTED, COLUMNS, ContractRow, put_in, read_contract};
use crate::error::undecodable;
use crate::items::item_rows::list;
use crate::{Ledger, LedgerError};
use payrun_domain::item::State;
use payrun_domain::subscription::{ContractChangeCode, ContractEvent, PeriodState};
use payrun_domain::time::Timestamp;

/// Which contracts are meant.
#[derive(Debug, Clone, Default)]
pub struct ContractFilter {
    /// In this state: one of [`payrun_domain::subscription::ContractStanding::WORDS`].
    pub state: Option<&'static str>,
    /// Of this account, as the gateway tells accounts apart.
    pub account: Option<String>,
    /// With a period that fell due before this day and is not accounted for.
    pub due_before: Option<NaiveDate>,
}

/// A period that is accounted for, or was reopened.
#[derive(Debug, Clone)]
pub struct PeriodRow {
    /// Its name.
    pub period: String,
    /// The day it fell due.
    pub due: NaiveDate,
    /// What became of it.
    pub state: PeriodState,
    /// The item that has its key.
    pub item: Option<i64>,
    /// Where that item is.
    pub item_state: Option<State>,
    /// Whether a person withdrew that item while it may have been under way.
    pub is_withdrawn: bool,
    /// Minor units of the contract's currency.
    pub minor: i64,
    /// Why, where the state alone does not say.
    pub reason: Option<String>,
    /// Until when it may be charged, where a person has reopened it.
    pub pay_by: Option<NaiveDate>,
}

/// How payrun stopped charging a contract by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AutomaticStop {
    /// After the last decline: it can go on.
    Suspended,
    /// By the gateway's word.
    Ended,
}

/// A contract that payrun no longer charges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractStop {
    /// The contract, as the gateway names it.
    pub contract: String,
    /// When.
    pub at: Timestamp,
    /// How.
    pub what: AutomaticStop,
    /// Why.
    pub why: String,
}

/// One change of a contract.
#[derive(Debug, Clone)]
pub struct ChangeRow {
    /// Its number; later ones have higher ones.
    pub id: i64,
    /// The contract, as the gateway names it.
    pub contract: String,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub who: String,
    /// What it was.
    pub what: ContractEvent,
    /// Why.
    pub why: String,
    /// Why, where payrun did it by itself.
    pub code: Option<ContractChangeCode>,
    /// What it was before, a JSON object; none for a new contract.
    pub before: Option<Value>,
    /// What it is from then on.
    pub after: Value,
}

impl Ledger {
    /// Contracts that payrun suspended or ended by itself after an instant and up to another, unless
    /// their last day was over.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn contract_stops(
        &self,
        after: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ContractStop>, LedgerError> {
        let failed = |source| LedgerError::of("looking for contracts that were stopped", source);
        let query = "select h.id, c.contract, h.at, h.change, h.reason from contract_changes as h join contracts as c on c.id = h.contract_id \
                     where h.actor = 'payrun' and h.change in ('suspended', 'ended') and h.at > $1 and h.at <= $2 \
                       and (h.code is null or h.code <> 'last_day') order by h.at, h.id limit $3";
        let query = sqlx::query(query)
            .bind(after.millis())
            .bind(until.millis())
            .bind(i64::from(limit));
        let stop = |row: &AnyRow| {
            let id: i64 = row.try_get("id")?;
            let what = match event_of(row, id)? {
                ContractEvent::Suspended => AutomaticStop::Suspended,
                ContractEvent::Ended => AutomaticStop::Ended,
                ContractEvent::Imported
                | ContractEvent::Changed
                | ContractEvent::Resumed
                | ContractEvent::Reopened => {
                    return Err(undecodable("contract_changes", id, "change"));
                }
            };
            Ok(ContractStop {
                contract: row.try_get("contract")?,
                at: Timestamp::from_millis(row.try_get("at")?),
                what,
                why: row.try_get("reason")?,
            })
        };
        query
            .fetch_all(&self.read)
            .await
            .map_err(failed)?
            .iter()
            .map(stop)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    /// Contracts from behind `after` on, in the order of their numbers.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn contracts(
        &self,
        filter: &ContractFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<ContractRow>, LedgerError> {
        // Words of our own, written out so that their index is used.
        let state = filter
            .state
            .map(|word| format!("and c.state = '{word}'"))
            .unwrap_or_default();
        let due = if filter.due_before.is_some() {
            "and c.state = 'active'"
        } else {
            ""
        };
        let query = format!(
            "select {COLUMNS} from contracts as c where c.id > $1 and ($2 is null or c.account = $2) {state} {due} \
             and ($3 is null or c.next_due < $3) order by c.id limit $4"
        );
        let rows = sqlx::query(AssertSqlSafe(query))
            .bind(after)
            .bind(filter.account.clone())
            .bind(filter.due_before.map(|day| day.to_string()))
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await
            .map_err(|source| LedgerError::of("listing contracts", source))?;
        rows.iter().map(read_contract).collect()
    }

    /// Contracts with their periods that are accounted for, from the first on that is not.
    pub(super) async fn with_accounted(
        &self,
        mut contracts: Vec<ContractRow>,
    ) -> Result<Vec<ContractRow>, LedgerError> {
        let failed = |source| LedgerError::of("reading contracts' periods", source);
        let ids: Vec<i64> = contracts.iter().map(|contract| contract.id).collect();
        let rows = sqlx::query(ACCOUNTED)
            .bind(list(&ids))
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        put_in(&mut contracts, &rows).map_err(failed)?;
        Ok(contracts)
    }

    /// The contracts that a gateway calls so, on one account or on any; a few at most.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn contracts_called(
        &self,
        contract: &str,
        account: Option<&str>,
    ) -> Result<Vec<ContractRow>, LedgerError> {
        let query = format!(
            "select {COLUMNS} from contracts as c where c.contract = $1 and ($2 is null or c.account = $2) \
             order by c.account limit 10"
        );
        let rows = sqlx::query(AssertSqlSafe(query))
            .bind(contract)
            .bind(account.map(str::to_owned));
        let rows = rows
            .fetch_all(&self.read)
            .await
            .map_err(|source| LedgerError::of("looking for a contract", source))?;
        self.with_accounted(rows.iter().map(read_contract).collect::<Result<_, _>>()?)
            .await
    }

    /// The periods of a contract that are accounted for, from behind the one of this name on.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn contract_periods(
        &self,
        id: i64,
        after: &str,
        limit: u32,
    ) -> Result<Vec<PeriodRow>, LedgerError> {
        let failed = |source| LedgerError::of("listing a contract's periods", source);
        let query = include_str!("list_periods.sql");
        let rows = sqlx::query(query)
            .bind(id)
            .bind(after)
            .bind(i64::from(limit));
        let rows = rows.fetch_all(&self.read).await.map_err(failed)?;
        rows.iter()
            .map(period_row)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    /// The changes of a contract, or of all, from behind `after` on, oldest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn contract_changes(
        &self,
        id: Option<i64>,
        after: i64,
        limit: u32,
    ) -> Result<Vec<ChangeRow>, LedgerError> {
        let failed = |source| LedgerError::of("listing a contract's changes", source);
        let of = if id.is_some() {
            "h.contract_id = $1"
        } else {
            "$1 is null"
        };
        let query = format!(
            "select h.id, c.contract, h.at, h.actor, h.change, h.code, h.reason, h.before, h.after from contract_changes as h \
             join contracts as c on c.id = h.contract_id where {of} and h.id > $2 order by h.id limit $3"
        );
        let rows = sqlx::query(AssertSqlSafe(query))
            .bind(id)
            .bind(after)
            .bind(i64::from(limit));
        let rows = rows.fetch_all(&self.read).await.map_err(failed)?;
        rows.iter()
            .map(change_row)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }
}

fn period_row(row: &AnyRow) -> Result<PeriodRow, sqlx::Error> {
    let period: String = row.try_get("period")?;
    let corrupt = |column| undecodable("contract_periods", &period, column);
    let due: String = row.try_get("due")?;
    let state: &str = row.try_get("state")?;
    let item_state: Option<String> = row.try_get("item_state")?;
    let item_state = item_state
        .map(|word| State::parse(&word).ok_or_else(|| corrupt("item_state")))
        .transpose()?;
    Ok(PeriodRow {
        due: due.parse().map_err(|_| corrupt("due"))?,
        state: PeriodState::parse(state).ok_or_else(|| corrupt("state"))?,
        item: row.try_get("item_id")?,
        is_withdrawn: row.try_get::<i64, _>("is_withdrawn")? == 1,
        item_state,
        minor: row.try_get("amount")?,
        reason: row.try_get("reason")?,
        pay_by: super::pay_by(row)?,
        period,
    })
}

/// What the change was that a row is of.
fn event_of(row: &AnyRow, id: i64) -> Result<ContractEvent, sqlx::Error> {
    ContractEvent::parse(row.try_get("change")?)
        .ok_or_else(|| undecodable("contract_changes", id, "change"))
}

fn change_row(row: &AnyRow) -> Result<ChangeRow, sqlx::Error> {
    let id: i64 = row.try_get("id")?;
    let corrupt = |column| undecodable("contract_changes", id, column);
    let code: Option<&str> = row.try_get("code")?;
    let (before, after): (Option<&str>, &str) = (row.try_get("before")?, row.try_get("after")?);
    Ok(ChangeRow {
        id,
        contract: row.try_get("contract")?,
        at: Timestamp::from_millis(row.try_get("at")?),
        who: row.try_get("actor")?,
        what: event_of(row, id)?,
        why: row.try_get("reason")?,
        code: code
            .map(|word| ContractChangeCode::parse(word).ok_or_else(|| corrupt("code")))
            .transpose()?,
        before: before
            .map(serde_json::from_str)
            .transpose()
            .map_err(|_| corrupt("before"))?,
        after: serde_json::from_str(after).map_err(|_| corrupt("after"))?,
    })
}
