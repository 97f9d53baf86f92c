//! Which contracts are due, and planning their periods in one transaction with the items.
//!
//! A plan takes a contract by its version before it adds items of it: what somebody has changed or
//! planned meanwhile is left alone. Then each period that it accounts for gets its row, with the
//! item that has its key.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::{COLUMNS, ContractRow, key_text, read_contract};
use crate::db::stored_values;
use crate::items::item_rows::list;
use crate::{Ledger, LedgerError, PlanWriter};
use payrun_domain::ids::KeyHash;
use payrun_domain::message::Message;
use payrun_domain::money::Amount;
use payrun_domain::subscription::Period;

/// A contract of which a plan makes items.
#[derive(Debug, Clone)]
pub struct PlannedContract {
    /// Its number.
    pub id: i64,
    /// The gateway's id.
    pub contract: String,
    /// Its version when it was read.
    pub version: i64,
    /// Its periods that are due.
    pub periods: Vec<PlannedPeriod>,
    /// When the first period after those falls due.
    pub next_due: Option<NaiveDate>,
}

/// A period of which a plan makes an item.
#[derive(Debug, Clone)]
pub struct PlannedPeriod {
    /// The row it stands in.
    pub line: u64,
    /// Which.
    pub period: Period,
    /// How much it is.
    pub amount: Amount,
    /// Whether it may no longer be charged.
    pub lapsed: bool,
}

/// What a plan makes of a period.
#[derive(Debug, Clone)]
pub enum PeriodOutcome {
    /// There is an item with this key.
    Planned(KeyHash),
    /// It may no longer be charged, and why.
    Lapsed(String),
}

/// A period that a plan has accounted for.
#[derive(Debug, Clone)]
pub struct AccountedPeriod<'a> {
    /// The contract's number.
    pub contract_id: i64,
    /// Which period.
    pub taken: &'a PlannedPeriod,
    /// What became of it.
    pub outcome: PeriodOutcome,
}

/// Active contracts of an account in the order of their next due date.
pub(super) const DUE: &str = "from contracts as c where c.account = $1 and c.state = 'active' and c.next_due <= $2 \
     and (c.next_due, c.id) > ($3, $4) order by c.next_due, c.id limit $5";

// `cross join`: the list first, then what it names by an index.
pub(super) const STOPPED: &str = "\
    select c.contract, c.state, c.since, c.reason from json_each($1) as k cross join contracts as c \
    where c.contract = k.atom and c.account = $2 and c.state in ('suspended', 'ended')";

/// The version alone says that a contract is as it was read, and so active: with its state in the
/// condition SQLite would go through all that are.
pub(super) const TAKE: &str = "\
    update contracts set version = contracts.version + 1 from json_each($1) as v \
    where contracts.id = cast(v.value ->> 'id' as bigint) and contracts.version = cast(v.value ->> 'version' as bigint) \
    returning contracts.id";

pub(super) const NEXT: &str = "\
    update contracts set next_due = v.value ->> 'next_due' from json_each($1) as v \
    where contracts.id = cast(v.value ->> 'id' as bigint)";

/// A contract as [`TAKE`] reads it.
#[derive(Serialize)]
struct TakenContract {
    id: i64,
    version: i64,
}

/// When a contract falls due next, as [`NEXT`] reads it.
#[derive(Serialize)]
struct NextDue {
    id: i64,
    next_due: Option<NaiveDate>,
}

/// Notes periods that a plan accounts for; one that was accounted for before stays as it is.
pub(super) const KEEP: &str = include_str!("keep_periods.sql");

impl Ledger {
    /// Active contracts of an account that have a period due on a day or before, from behind one of
    /// them on.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn due_contracts(
        &self,
        account: &str,
        on: NaiveDate,
        after: Option<&ContractRow>,
        limit: u32,
    ) -> Result<Vec<ContractRow>, LedgerError> {
        let failed = |source| LedgerError::of("looking for due contracts", source);
        let behind = after
            .and_then(|row| row.next_due)
            .map(|day| day.to_string())
            .unwrap_or_default();
        let rows = sqlx::query(AssertSqlSafe(format!("select {COLUMNS} {DUE}")))
            .bind(account)
            .bind(on.to_string())
            .bind(behind)
            .bind(after.map_or(0, |row| row.id))
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        self.with_accounted(rows.iter().map(read_contract).collect::<Result<_, _>>()?)
            .await
    }

    /// How many active contracts of each account have a period that fell due before a day and is
    /// not accounted for.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn overdue_contracts(
        &self,
        day: NaiveDate,
    ) -> Result<Vec<(String, u64)>, LedgerError> {
        const OPERATION: &str = "counting overdue contracts";
        let failed = |source| LedgerError::of(OPERATION, source);
        let query = "select account, count(*) from contracts where state = 'active' and next_due < $1 group by account";
        let rows = sqlx::query(query)
            .bind(day.to_string())
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        let count = |row: &AnyRow| {
            Ok((
                row.try_get(0).map_err(failed)?,
                stored_values::count(row.try_get(1).map_err(failed)?, OPERATION)?,
            ))
        };
        rows.iter().map(count).collect()
    }
}

impl PlanWriter {
    /// Takes contracts for this plan; returns the numbers of those that somebody else has changed
    /// or planned meanwhile, of which nothing may be planned.
    ///
    /// # Errors
    /// Whatever the database says; then the plan must be abandoned.
    pub async fn take_contracts(
        &mut self,
        contracts: &[PlannedContract],
    ) -> Result<BTreeSet<i64>, LedgerError> {
        let failed = |source| LedgerError::of("taking contracts", source);
        self.periods_begin().await?;
        let rows: Vec<_> = contracts
            .iter()
            .map(|contract| TakenContract {
                id: contract.id,
                version: contract.version,
            })
            .collect();
        let taken = sqlx::query(TAKE)
            .bind(list(&rows))
            .fetch_all(self.connection().await?)
            .await
            .map_err(failed)?;
        let mut left: BTreeSet<i64> = contracts.iter().map(|contract| contract.id).collect();
        for row in &taken {
            left.remove(&row.try_get::<i64, _>(0).map_err(failed)?);
        }
        Ok(left)
    }

    /// Those of an account's contracts that are not charged, of these names: why not. A file may
    /// name a contract that a person, or the gateway, has stopped.
    ///
    /// # Errors
    /// Whatever the database says; then the plan must be abandoned.
    pub async fn stopped_contracts(
        &mut self,
        account: &str,
        names: &[&str],
    ) -> Result<BTreeMap<String, Message>, LedgerError> {
        let failed = |source| LedgerError::of("looking for contracts that are not charged", source);
        let rows = sqlx::query(STOPPED)
            .bind(list(names))
            .bind(account)
            .fetch_all(self.connection().await?)
            .await;
        let why = |row: &AnyRow| {
            let (state, since): (String, Option<String>) =
                (row.try_get("state")?, row.try_get("since")?);
            let since = since
                .map(|since| Message::new("contract-since", " since {since}").with("since", since));
            let reason: Option<String> = row.try_get("reason")?;
            let stopped = match state.as_str() {
                "ended" => Message::new("contract-is-ended", "is ended{since}: {reason}"),
                _ => Message::new("contract-is-suspended", "is suspended{since}: {reason}"),
            };
            let stopped = stopped
                .with("since", since)
                .with("reason", reason.unwrap_or_default());
            Ok((row.try_get("contract")?, stopped))
        };
        rows.map_err(failed)?
            .iter()
            .map(why)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    /// Whether an account has any contract that is not charged.
    ///
    /// # Errors
    /// Whatever the database says; then the plan must be abandoned.
    pub async fn has_stopped_contracts(&mut self, account: &str) -> Result<bool, LedgerError> {
        let query = "select 1 from contracts where account = $1 and state in ('suspended', 'ended') limit 1";
        let found = sqlx::query(query)
            .bind(account)
            .fetch_optional(self.connection().await?)
            .await;
        found
            .map(|row| row.is_some())
            .map_err(|source| LedgerError::of("looking for contracts that are not charged", source))
    }

    /// Notes what became of periods, and when the first one falls due that is open after that, by
    /// contract.
    ///
    /// # Errors
    /// Whatever the database says; then the plan must be abandoned.
    pub async fn note_periods(
        &mut self,
        periods: &[AccountedPeriod<'_>],
        next_due: &[(i64, Option<NaiveDate>)],
    ) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of("keeping contracts' periods", source);
        let row = |noted: &AccountedPeriod<'_>| {
            let (key, lapsed) = match &noted.outcome {
                PeriodOutcome::Planned(key) => (Some(*key), None),
                PeriodOutcome::Lapsed(reason) => (None, Some(reason.clone())),
            };
            let taken = noted.taken;
            json!({
                "contract_id": noted.contract_id,
                "period": taken.period.name,
                "due": taken.period.due,
                "amount": taken.amount.minor(),
                "key_hash": key_text(key),
                "lapsed": lapsed,
            })
        };
        let rows: Vec<_> = periods.iter().map(row).collect();
        let now = self.now().millis();
        let insert = sqlx::query(KEEP).bind(list(&rows)).bind(now);
        insert
            .execute(self.connection().await?)
            .await
            .map_err(failed)?;
        let next: Vec<_> = next_due
            .iter()
            .map(|(id, next_due)| NextDue {
                id: *id,
                next_due: *next_due,
            })
            .collect();
        sqlx::query(NEXT)
            .bind(list(&next))
            .execute(self.connection().await?)
            .await
            .map_err(failed)?;
        Ok(())
    }

    /// Items that had a period's key before this plan may have come to rest while it was made:
    /// their periods say so. To be done in the plan's transaction.
    pub(crate) async fn look_at_holders(&mut self, before: i64) -> Result<(), LedgerError> {
        let run = self.run_id();
        let looked = sqlx::query(include_str!("update_held_periods.sql"))
            .bind(run)
            .bind(before)
            .execute(self.connection().await?)
            .await;
        looked
            .map(|_| ())
            .map_err(|source| LedgerError::of("keeping contracts' periods", source))
    }
}
