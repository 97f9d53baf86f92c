//! Items of which nothing is sent, whatever planned them or asks for them again: those of contracts
//! that a person or the gateway has stopped, of periods behind a contract's last day, of batches
//! whose approval was revoked, and of runs that are being withdrawn.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::approvals::votes::ApprovalState;
use crate::contracts::CONTRACT;
use crate::error::undecodable;
use crate::items::claim::TERMINATION;
use crate::items::item_rows::list;
use crate::planning::replacement::filed_again_as;
use crate::{Ledger, LedgerError};
use payrun_domain::message::Message;
use payrun_domain::time::Timestamp;

/// Why nothing of an item is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// Its contract is suspended.
    Suspended {
        /// The contract, as the gateway names it.
        contract: String,
        /// Since when and why.
        why: Message,
    },
    /// Its contract has ended.
    Ended {
        /// The contract, as the gateway names it.
        contract: String,
        /// Since when and why.
        why: Message,
    },
    /// Its period falls due after the last day of its contract.
    Behind {
        /// The contract, as the gateway names it.
        contract: String,
        /// The last day.
        last: String,
    },
    /// The approval of its batch was revoked.
    Revoked {
        /// The batch's run.
        run: i64,
        /// The batch's job.
        job: String,
        /// Since when.
        at: Timestamp,
    },
    /// Its run is being withdrawn.
    RunWithdrawn {
        /// The run.
        run: i64,
        /// Who withdraws it, and why.
        by: String,
    },
    /// It was withdrawn from an approved batch, and who wants it again is who started that batch.
    OwnBatch {
        /// Who started it.
        author: String,
    },
}

impl StopReason {
    /// Why, and what to do.
    pub fn message(&self) -> Message {
        match self {
            Self::Suspended { contract, why } => Message::new(
                "stop-contract-suspended",
                "its contract {contract} is suspended {why}; nothing is charged against it until it is active again: `payrun contracts \
                 resume {contract} --reason WHY` first",
            )
            .with("contract", contract)
            .with("why", why.clone()),
            Self::Ended { contract, why } => Message::new(
                "stop-contract-ended",
                "its contract {contract} is ended {why}; nothing is charged against it any more: what the payer owes needs a contract \
                 that is active",
            )
            .with("contract", contract)
            .with("why", why.clone()),
            Self::Behind { contract, last } => Message::new(
                "stop-contract-behind-last-day",
                "its period falls due after the last day of its contract {contract}, {last}; import the contract with a later `end` \
                 first",
            )
            .with("contract", contract)
            .with("last", last),
            Self::Revoked { run, job, at } => Message::new(
                "stop-approval-revoked",
                "the batch of run {run} job {job} was rejected after its approval, at {at}; nothing more of it is sent: what is to be \
                 paid after all needs a batch of its own, with keys of its own, that is approved",
            )
            .with("run", *run)
            .with("job", job)
            .with("at", at.to_string()),
            Self::RunWithdrawn { run, by } => Message::new(
                "stop-run-withdrawn",
                "its run {run} is withdrawn by {by}; nothing more of it is sent, and nothing is tried again before that has ended: \
                 `payrun withdraw {run} --reason WHY` carries it to its end",
            )
            .with("run", *run)
            .with("by", by),
            Self::OwnBatch { author } => Message::new(
                "stop-own-batch",
                "it was withdrawn from a batch that {author} started and somebody else approved: only who might have approved it has it \
                 sent again",
            )
            .with("author", author),
        }
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

/// Items that can belong to a contract: its name is in their input.
// `cross join`: the list first, then what it names by an index.
pub(crate) const NAMING: &str = "\
    select i.id, i.input, j.account, p.due from json_each($1) as k cross join items as i cross join jobs as j \
      left join contract_periods as p on p.item_id = i.id \
    where i.id = cast(k.atom as bigint) and i.exclusive_key is not null and j.id = i.job_id and j.kind <> $2 \
      and j.account is not null";

/// Contracts that are not charged, or have a last day; of [`ContractOfAccount`]s.
// `cross join`: the list first, then what it names by an index.
pub(crate) const KNOWN_AS: &str = "\
    select c.contract, c.account, c.state, c.since, c.reason, c.end_on from json_each($1) as k cross join contracts as c \
    where c.contract = k.value ->> 'contract' and c.account = k.value ->> 'account' \
      and (c.state in ('suspended', 'ended') or c.end_on is not null)";

/// Of these items those of which nothing is sent, and why.
pub(crate) async fn stopped_items(
    connection: &mut AnyConnection,
    items: &[i64],
) -> Result<BTreeMap<i64, StopReason>, LedgerError> {
    let mut stopped = not_charged(connection, items).await?;
    stopped.extend(revoked(connection, items).await?);
    stopped.extend(of_withdrawn_runs(connection, items).await?);
    Ok(stopped)
}

/// Items of runs that are being withdrawn.
// `cross join`: those runs first, of which there is hardly ever one; then their jobs, then the list.
pub(crate) const OF_WITHDRAWN_RUNS: &str = "\
    select i.id, r.id as run_id, r.withdrawn_by from runs as r cross join jobs as j cross join json_each($1) as k cross join items as i \
    where r.withdrawn_at is not null and r.withdrawal_ended_at is null and j.run_id = r.id and i.id = cast(k.atom as bigint) \
      and i.job_id = j.id";

async fn of_withdrawn_runs(
    connection: &mut AnyConnection,
    items: &[i64],
) -> Result<BTreeMap<i64, StopReason>, LedgerError> {
    let failed = |source| LedgerError::of("looking for runs that are withdrawn", source);
    let rows = sqlx::query(OF_WITHDRAWN_RUNS)
        .bind(list(items))
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    let read = |row: &AnyRow| {
        let stopped = StopReason::RunWithdrawn {
            run: row.try_get("run_id")?,
            by: row.try_get("withdrawn_by")?,
        };
        Ok((row.try_get("id")?, stopped))
    };
    rows.iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(failed)
}

/// Items of batches whose approval is in state $2.
// `cross join`: the list first, then what it names by an index.
pub(crate) const APPROVED_ONCE: &str = "\
    select i.id, j.run_id, j.name, a.decided_at from json_each($1) as k cross join items as i cross join approvals as a \
      cross join jobs as j \
    where i.id = cast(k.atom as bigint) and a.job_id = i.job_id and a.state = $2 and j.id = i.job_id";

async fn revoked(
    connection: &mut AnyConnection,
    items: &[i64],
) -> Result<BTreeMap<i64, StopReason>, LedgerError> {
    let failed = |source| LedgerError::of("looking for approvals that were revoked", source);
    let rows = sqlx::query(APPROVED_ONCE)
        .bind(list(items))
        .bind(ApprovalState::Revoked.as_str())
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    let read = |row: &AnyRow| {
        let stopped = StopReason::Revoked {
            run: row.try_get("run_id")?,
            job: row.try_get("name")?,
            at: Timestamp::from_millis(row.try_get("decided_at")?),
        };
        Ok((row.try_get("id")?, stopped))
    };
    rows.iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(failed)
}

/// Of these items those that are not charged, and why. To terminate a contract takes no money.
async fn not_charged(
    connection: &mut AnyConnection,
    items: &[i64],
) -> Result<BTreeMap<i64, StopReason>, LedgerError> {
    let failed = |source| LedgerError::of("looking for contracts that are not charged", source);
    let any = "select 1 from (select 1 as one) as always where exists (select 1 from contracts where state in ('suspended', 'ended')) \
                 or exists (select 1 from contracts where state <> 'ended' and end_on is not null)";
    let any = sqlx::query(any)
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
    if items.is_empty() || any.is_none() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query(NAMING)
        .bind(list(items))
        .bind(TERMINATION)
        .fetch_all(&mut *connection)
        .await;
    let named = rows
        .map_err(failed)?
        .iter()
        .map(ContractItem::read)
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    let named: Vec<ContractItem> = named.into_iter().flatten().collect();
    let names: BTreeSet<_> = named.iter().map(ContractItem::contract).collect();
    let names: Vec<_> = names
        .into_iter()
        .map(|(contract, account)| ContractOfAccount { contract, account })
        .collect();
    let rows = sqlx::query(KNOWN_AS)
        .bind(list(&names))
        .fetch_all(connection)
        .await;
    let known = rows
        .map_err(failed)?
        .iter()
        .map(StoppedContract::read)
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    let known: BTreeMap<(&str, &str), &StoppedContract> = known
        .iter()
        .map(|known| ((known.contract.as_str(), known.account.as_str()), known))
        .collect();
    let stopped = |named: &ContractItem| {
        Some((
            named.item,
            known.get(&named.contract())?.stops(named.due.as_deref())?,
        ))
    };
    Ok(named.iter().filter_map(stopped).collect())
}

/// A contract, and whose account it belongs to.
#[derive(Serialize)]
struct ContractOfAccount<'a> {
    contract: &'a str,
    account: &'a str,
}

/// An item, the contract that its input names, and when its period falls due, if it has one.
struct ContractItem {
    item: i64,
    contract: String,
    account: String,
    due: Option<String>,
}

impl ContractItem {
    fn read(row: &AnyRow) -> Result<Option<Self>, sqlx::Error> {
        let item: i64 = row.try_get("id")?;
        let input: Option<serde_json::Value> = row
            .try_get::<Option<&str>, _>("input")?
            .map(|input| {
                serde_json::from_str(input).map_err(|_| undecodable("items", item, "input"))
            })
            .transpose()?;
        let contract = input
            .as_ref()
            .and_then(|input| input.get(CONTRACT)?.as_str());
        let Some(contract) = contract.map(str::to_owned) else {
            return Ok(None);
        };
        let (account, due) = (row.try_get("account")?, row.try_get("due")?);
        Ok(Some(Self {
            item,
            contract,
            account,
            due,
        }))
    }

    fn contract(&self) -> (&str, &str) {
        (&self.contract, &self.account)
    }
}

/// A contract that is stopped or has a last day.
struct StoppedContract {
    contract: String,
    account: String,
    state: String,
    since: Option<String>,
    reason: Option<String>,
    last: Option<String>,
}

impl StoppedContract {
    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            contract: row.try_get("contract")?,
            account: row.try_get("account")?,
            state: row.try_get("state")?,
            since: row.try_get("since")?,
            reason: row.try_get("reason")?,
            last: row.try_get("end_on")?,
        })
    }

    fn stops(&self, due: Option<&str>) -> Option<StopReason> {
        let contract = self.contract.clone();
        let since = self.since.as_deref().unwrap_or("some day");
        let why = Message::new("stop-since", "since {since}: {reason}")
            .with("since", since)
            .with("reason", self.reason.as_deref().unwrap_or_default());
        match (self.state.as_str(), due, self.last.as_deref()) {
            ("suspended", _, _) => Some(StopReason::Suspended { contract, why }),
            ("ended", _, _) => Some(StopReason::Ended { contract, why }),
            (_, Some(due), Some(last)) if due > last => Some(StopReason::Behind {
                contract,
                last: last.to_owned(),
            }),
            (_, _, _) => None,
        }
    }
}

/// Of these items those that another item, which still has its key, files again.
async fn filed_again(
    connection: &mut AnyConnection,
    items: &[i64],
) -> Result<Vec<i64>, LedgerError> {
    let failed = |source| LedgerError::of("looking for items that were filed again", source);
    // `cross join`: the list first, then what it names by an index.
    let results = "select i.id, i.result from json_each($1) as k cross join items as i \
                   where i.id = cast(k.atom as bigint) and i.result is not null";
    let results = sqlx::query(results)
        .bind(list(items))
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    let mut again = BTreeMap::new();
    for row in &results {
        let result: &str = row.try_get("result").map_err(failed)?;
        let id: i64 = row.try_get("id").map_err(failed)?;
        if let Some(by) = filed_again_as(id, Some(result))? {
            again.insert(by, id);
        }
    }
    // `cross join`: the list first, then what it names by an index.
    let with_keys = "select i.id from json_each($1) as k cross join items as i \
                     where i.id = cast(k.atom as bigint) and i.key_hash is not null";
    let with_keys: Vec<i64> = sqlx::query_scalar(with_keys)
        .bind(list(&again.keys().collect::<Vec<_>>()))
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    Ok(with_keys
        .iter()
        .filter_map(|by| again.get(by).copied())
        .collect())
}

impl Ledger {
    /// Of these items those that are not to be tried again with others: their contract is stopped,
    /// the approval of their batch was revoked, their period was given up with its contract, or
    /// they were filed again with other content.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn not_sent_again(&self, items: &[i64]) -> Result<BTreeSet<i64>, LedgerError> {
        let failed = |source| LedgerError::of("looking for contracts that are not charged", source);
        let mut connection = self.read.acquire().await.map_err(failed)?;
        let mut left: BTreeSet<i64> = stopped_items(&mut connection, items)
            .await?
            .into_keys()
            .collect();
        // `cross join`: the list first, then what it names by an index.
        let waived = "select p.item_id from json_each($1) as k cross join contract_periods as p \
                      where p.item_id = cast(k.atom as bigint) and p.state = 'waived'";
        let waived = sqlx::query_scalar(waived)
            .bind(list(items))
            .fetch_all(&mut *connection)
            .await
            .map_err(failed)?;
        left.extend(waived.into_iter().collect::<Vec<i64>>());
        left.extend(filed_again(&mut connection, items).await?);
        Ok(left)
    }
}
