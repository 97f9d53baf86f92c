//! Contracts in the ledger: what they owe, what became of their periods, and who changed what.
//!
//! A period is accounted for by one row, which no other can be beside. Whoever changes a contract
//! locks its row before taking the write lock, since a plan that is long under way holds the rows of the
//! contracts it plans and takes the write lock last.

mod change;
mod due;
mod period_moves;
mod read;
mod reopen;
pub(crate) mod stop_reasons;
#[cfg(test)]
mod tests;
mod upsert;

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use serde::Serialize;
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use crate::db::location::DbKind;
use crate::db::write_tx::WriteTx;
use crate::error::{LedgerError, undecodable};
use crate::items::item_rows::{hex, list};
use payrun_domain::actor::{Actor, Authorization, Reason};
use payrun_domain::ids::KeyHash;
use payrun_domain::money::{Amount, Currency};
use payrun_domain::subscription::{
    Anchor, BillingInterval, BillingTerms, ContractChangeCode, ContractEvent, ContractStanding,
    PriceList, Subscription, WaivedPeriod,
};
use payrun_domain::time::Timestamp;

pub(crate) use change::CONTRACT;
pub(super) use change::withdraw_what_has_ended;
pub use change::{ContractAction, ContractChange, ContractChangeOutcome, ContractNews};
pub use due::{AccountedPeriod, PeriodOutcome, PlannedContract, PlannedPeriod};
pub(super) use period_moves::{note_moved, periods_of};
pub use read::{AutomaticStop, ChangeRow, ContractFilter, ContractStop, PeriodRow};
pub use reopen::ReopenRequest;
pub use upsert::{Import, NewContract, UpsertOutcome};

/// Who changes contracts and why, for the audit log.
fn signed(who: &Actor, why: &str) -> Result<Authorization, LedgerError> {
    let reason = Reason::parse(why).map_err(|error| LedgerError::Inconsistent {
        what: format!("a reason: {error}"),
    })?;
    Ok(Authorization {
        actor: who.clone(),
        reason,
    })
}

/// A contract as the ledger holds it.
#[derive(Debug, Clone)]
pub struct ContractRow {
    /// Its number here.
    pub id: i64,
    /// The gateway's id.
    pub contract: String,
    /// Its account, as the gateway tells accounts apart.
    pub account: String,
    /// Grows with each change.
    pub version: i64,
    /// Terms, prices and standing.
    pub subscription: Subscription,
    /// When the first period falls due that is not accounted for; none if there is none.
    pub next_due: Option<NaiveDate>,
    /// Periods from there on that are accounted for all the same, by name.
    pub accounted: BTreeSet<String>,
    /// Periods that had lapsed and were reopened, with the day until which they may be charged.
    pub reopened: BTreeMap<String, NaiveDate>,
    /// Whether any period is accounted for.
    pub begun: bool,
}

impl ContractRow {
    /// From which day on periods may not be accounted for.
    pub fn open(&self) -> NaiveDate {
        self.next_due
            .unwrap_or_else(|| self.subscription.terms.start())
    }

    /// For programs.
    pub fn json(&self) -> Value {
        shown(&self.subscription)
    }
}

/// A contract for the history and for programs.
fn shown(subscription: &Subscription) -> Value {
    let (terms, standing) = (&subscription.terms, &subscription.standing);
    let prices: Vec<_> = subscription
        .prices
        .steps()
        .map(|(day, amount)| json!([day.to_string(), amount.decimal()]))
        .collect();
    json!({
        "state": standing.as_str(),
        "reason": standing.reason(),
        "currency": subscription.prices.currency().code(),
        "prices": prices,
        "every": terms.every().as_str(),
        "anchor_day": terms.anchor().text(terms.every()),
        "start": terms.start().to_string(),
        "end": terms.end().map(|end| end.to_string()),
        "pay_within": terms.pay_within(),
        "description": subscription.description,
    })
}

const COLUMNS: &str = "c.id, c.contract, c.account, c.version, c.state, c.since, c.reason, c.currency, c.prices, c.every, \
     c.anchor, c.start_on, c.end_on, c.pay_within, c.description, c.next_due, \
     (select min(p.period) from contract_periods as p where p.contract_id = c.id) as first_period";

/// Reads a row of [`COLUMNS`], without the periods that are accounted for.
fn read_contract(row: &AnyRow) -> Result<ContractRow, LedgerError> {
    let get = |source| LedgerError::of("reading a contract", source);
    let id: i64 = row.try_get("id").map_err(get)?;
    Ok(ContractRow {
        id,
        contract: row.try_get("contract").map_err(get)?,
        account: row.try_get("account").map_err(get)?,
        version: row.try_get("version").map_err(get)?,
        subscription: subscription(row).map_err(get)?.ok_or_else(|| corrupt(id))?,
        next_due: day(row, "next_due").map_err(get)?,
        accounted: BTreeSet::new(),
        reopened: BTreeMap::new(),
        begun: row
            .try_get::<Option<String>, _>("first_period")
            .map_err(get)?
            .is_some(),
    })
}

fn corrupt(id: i64) -> LedgerError {
    LedgerError::corrupt("contracts", id, "the terms")
}

/// A day, where there is one. Of a day that cannot be read nobody could say what it bounds.
fn day(row: &AnyRow, name: &str) -> Result<Option<NaiveDate>, sqlx::Error> {
    let id: i64 = row.try_get("id")?;
    day_of(row, name, |column| undecodable("contracts", id, column))
}

/// Until when a period may be charged that a person has reopened.
fn pay_by(row: &AnyRow) -> Result<Option<NaiveDate>, sqlx::Error> {
    let period: &str = row.try_get("period")?;
    day_of(row, "pay_by", |column| {
        undecodable("contract_periods", period, column)
    })
}

fn day_of(
    row: &AnyRow,
    column: &str,
    corrupt: impl Fn(&str) -> sqlx::Error,
) -> Result<Option<NaiveDate>, sqlx::Error> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| text.parse().map_err(|_| corrupt(column)))
        .transpose()
}

/// None where the row holds what no version of payrun writes.
fn subscription(row: &AnyRow) -> Result<Option<Subscription>, sqlx::Error> {
    let terms = terms(row)?;
    let (currency, prices): (String, String) = (row.try_get("currency")?, row.try_get("prices")?);
    let standing = standing(row)?;
    let description = row.try_get("description")?;
    let prices = Currency::parse(&currency)
        .ok()
        .and_then(|currency| steps(&prices, currency));
    Ok(terms
        .zip(prices)
        .zip(standing)
        .map(|((terms, prices), standing)| Subscription {
            terms,
            prices,
            standing,
            description,
        }))
}

fn terms(row: &AnyRow) -> Result<Option<BillingTerms>, sqlx::Error> {
    let every = BillingInterval::parse(row.try_get::<&str, _>("every")?);
    let (number, within): (i64, i64) = (row.try_get("anchor")?, row.try_get("pay_within")?);
    let (start, end) = (day(row, "start_on")?, day(row, "end_on")?);
    let terms = || {
        let anchor = Anchor::from_number(number, every?)?;
        // An end before the start is how a contract is kept that was to end before it had begun.
        Some(
            BillingTerms::new(every?, anchor, start?, None, u16::try_from(within).ok()?)
                .ok()?
                .until(end),
        )
    };
    Ok(terms())
}

fn steps(text: &str, currency: Currency) -> Option<PriceList> {
    let steps: Vec<(NaiveDate, i64)> = serde_json::from_str(text).ok()?;
    let amounts = steps
        .into_iter()
        .map(|(day, minor)| Some((day, Amount::from_minor(minor, currency).ok()?)));
    PriceList::from_steps(amounts.collect::<Option<Vec<_>>>()?)
}

fn standing(row: &AnyRow) -> Result<Option<ContractStanding>, sqlx::Error> {
    let word: &str = row.try_get("state")?;
    let since = day(row, "since")?;
    let reason = row
        .try_get::<Option<String>, _>("reason")?
        .unwrap_or_default();
    Ok(match (word, since) {
        ("active", _) => Some(ContractStanding::Active),
        ("suspended", Some(since)) => Some(ContractStanding::Suspended { since, reason }),
        ("ended", Some(on)) => Some(ContractStanding::Ended { on, reason }),
        _ => None,
    })
}

/// What of a contract may change, as [`UPDATE`] and the insert of a new one read it: the fields go
/// by their names.
#[derive(Debug, Serialize)]
struct ContractLine<'a> {
    /// Of one that is there.
    id: Option<i64>,
    /// Of one that is new.
    contract: Option<&'a str>,
    state: &'static str,
    since: Option<NaiveDate>,
    reason: Option<&'a str>,
    currency: &'static str,
    prices: String,
    every: &'static str,
    anchor: u8,
    start_on: NaiveDate,
    end_on: Option<NaiveDate>,
    pay_within: u16,
    description: &'a str,
    next_due: Option<NaiveDate>,
}

fn line<'a>(
    (id, contract): (Option<i64>, Option<&'a str>),
    subscription: &'a Subscription,
    next_due: Option<NaiveDate>,
) -> ContractLine<'a> {
    let (terms, standing) = (&subscription.terms, &subscription.standing);
    let since = match standing {
        ContractStanding::Active => None,
        ContractStanding::Suspended { since, .. } => Some(*since),
        ContractStanding::Ended { on, .. } => Some(*on),
    };
    let steps: Vec<_> = subscription
        .prices
        .steps()
        .map(|(day, amount)| (day, amount.minor()))
        .collect();
    ContractLine {
        id,
        contract,
        state: standing.as_str(),
        since,
        reason: standing.reason(),
        currency: subscription.prices.currency().code(),
        prices: serde_json::to_string(&steps).unwrap_or_default(),
        every: terms.every().as_str(),
        anchor: terms.anchor().number(),
        start_on: terms.start(),
        end_on: terms.end(),
        pay_within: terms.pay_within(),
        description: &subscription.description,
        next_due,
    }
}

const UPDATE: &str = include_str!("update.sql");

async fn update(
    tx: &mut WriteTx,
    rows: &[(i64, &Subscription, Option<NaiveDate>)],
) -> Result<(), LedgerError> {
    let lines: Vec<_> = rows
        .iter()
        .map(|(id, subscription, next)| line((Some(*id), None), subscription, *next))
        .collect();
    let update = sqlx::query(UPDATE)
        .bind(list(&lines))
        .execute(tx.connection())
        .await;
    update
        .map(|_| ())
        .map_err(|source| LedgerError::of("changing contracts", source))
}

/// One row of the history.
struct ContractChangeRow {
    contract_id: i64,
    what: ContractEvent,
    code: Option<ContractChangeCode>,
    before: Option<Value>,
    after: Value,
}

async fn note_changes(
    tx: &mut WriteTx,
    changes: &[ContractChangeRow],
    who: &str,
    why: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let text = |value: &Value| value.to_string();
    let row = |one: &ContractChangeRow| {
        json!({
            "contract_id": one.contract_id,
            "what": one.what.as_str(),
            "code": one.code.map(ContractChangeCode::as_str),
            "before": one.before.as_ref().map(text),
            "after": text(&one.after),
        })
    };
    let rows: Vec<_> = changes.iter().map(row).collect();
    let insert = "insert into contract_changes (contract_id, at, actor, change, code, reason, before, after) \
                  select cast(value ->> 'contract_id' as bigint), cast($2 as bigint), $3, value ->> 'what', value ->> 'code', \
                    $4, value ->> 'before', value ->> 'after' from json_each($1)";
    let noted = sqlx::query(insert)
        .bind(list(&rows))
        .bind(now.millis())
        .bind(who)
        .bind(why);
    let noted = noted.execute(tx.connection()).await;
    noted
        .map(|_| ())
        .map_err(|source| LedgerError::of("keeping a contract's history", source))
}

/// Notes periods that will never be charged.
async fn note_waived(
    tx: &mut WriteTx,
    contract: i64,
    waived: &[WaivedPeriod],
    now: Timestamp,
) -> Result<(), LedgerError> {
    let rows: Vec<_> = waived
        .iter()
        .map(|one| {
            json!({
                "period": one.period.name,
                "due": one.period.due,
                "amount": one.amount.minor(),
                "reason": one.reason,
            })
        })
        .collect();
    let noted = sqlx::query(include_str!("waive_periods.sql"))
        .bind(list(&rows))
        .bind(contract)
        .bind(now.millis());
    let noted = noted.execute(tx.connection()).await;
    noted
        .map(|_| ())
        .map_err(|source| LedgerError::of("keeping a contract's periods", source))
}

/// Reads contracts by their numbers and keeps others from changing them until the transaction ends.
async fn locked(tx: &mut WriteTx, ids: &[i64]) -> Result<Vec<ContractRow>, LedgerError> {
    let failed = |source| LedgerError::of("reading contracts", source);
    let lock = if tx.db_kind() == DbKind::Postgres {
        "for update of c"
    } else {
        ""
    };
    let query = format!(
        "select {COLUMNS} from contracts as c where c.id in (select cast(atom as bigint) from json_each($1)) \
         order by c.id {lock}"
    );
    let rows = sqlx::query(AssertSqlSafe(query))
        .bind(list(ids))
        .fetch_all(tx.connection())
        .await
        .map_err(failed)?;
    let mut contracts = rows
        .iter()
        .map(read_contract)
        .collect::<Result<Vec<_>, _>>()?;
    let rows = sqlx::query(ACCOUNTED)
        .bind(list(ids))
        .fetch_all(tx.connection())
        .await
        .map_err(failed)?;
    put_in(&mut contracts, &rows).map_err(failed)?;
    Ok(contracts)
}

/// Which periods are accounted for of contracts by their numbers, from the first on that is not;
/// and those that were reopened.
// `cross join`: the list first, then what it names by an index.
const ACCOUNTED: &str = "\
    select p.contract_id, p.period, case p.state when 'reopened' then p.pay_by end as pay_by from json_each($1) as k cross join contracts as c cross join contract_periods as p \
    where c.id = cast(k.atom as bigint) and p.contract_id = c.id and (c.next_due is null or p.due >= c.next_due)";

fn put_in(contracts: &mut [ContractRow], rows: &[AnyRow]) -> Result<(), sqlx::Error> {
    let mut periods: BTreeMap<i64, (BTreeSet<String>, BTreeMap<String, NaiveDate>)> =
        BTreeMap::new();
    for row in rows {
        let (accounted, reopened) = periods.entry(row.try_get("contract_id")?).or_default();
        let name = row.try_get("period")?;
        match pay_by(row)? {
            Some(pay_by) => {
                reopened.insert(name, pay_by);
            }
            None => {
                accounted.insert(name);
            }
        }
    }
    for contract in contracts {
        (contract.accounted, contract.reopened) = periods.remove(&contract.id).unwrap_or_default();
    }
    Ok(())
}

/// Two digits a byte, where there is a key.
fn key_text(key: Option<KeyHash>) -> Option<String> {
    key.map(hex)
}
