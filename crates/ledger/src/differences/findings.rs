//! What a reconciliation found, and what it looked for and did not find.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use super::read::difference_row;
use super::{Difference, DifferenceRow, KeptDifference};
use crate::Ledger;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::item_rows::{hex, list};
use payrun_domain::actor::Actor;
use payrun_domain::difference::{DifferenceEvent, DifferenceReason, DifferenceState, next};
use payrun_domain::ids::KeyHash;
use payrun_domain::item::State;
use payrun_domain::money::Amount;
use payrun_domain::time::Timestamp;

const OPERATION: &str = "keeping differences";

/// A new row, as `keep_differences.sql` reads it.
#[derive(Serialize)]
struct NewDifference<'a> {
    content_hash: String,
    reason: &'static str,
    day: &'a str,
    kind: &'static str,
    order_no: &'a str,
    refund_no: &'a str,
    transaction_id: &'a str,
    ours: Option<i64>,
    our_currency: Option<&'static str>,
    theirs: Option<i64>,
    their_currency: Option<&'static str>,
    our_state: Option<&'static str>,
    their_state: &'a str,
    item_id: Option<i64>,
    line: Option<u64>,
    total: Option<&'a str>,
    detail: &'a str,
    state: &'static str,
}

/// A row as it is after it was looked at again, for `update_differences.sql`.
#[derive(Serialize)]
struct UpdatedDifference<'a> {
    id: i64,
    reason: &'static str,
    state: &'static str,
    version: i64,
    found_in: i64,
    line: Option<u64>,
    our_state: Option<&'static str>,
    detail: &'a str,
    last_seen: i64,
    changed_at: i64,
}

/// What became of a difference, for `keep_events.sql`.
#[derive(Serialize)]
pub(super) struct NewEvent<'a> {
    pub difference_id: i64,
    pub version: i64,
    pub event: &'static str,
    pub to_state: &'static str,
    pub note: &'a str,
}

fn failed(source: sqlx::Error) -> LedgerError {
    LedgerError::of(OPERATION, source)
}

fn new_row(found: &Difference, hash: KeyHash) -> NewDifference<'_> {
    let code = |amount: Amount| amount.currency().code();
    NewDifference {
        content_hash: hex(hash),
        reason: found.reason.as_str(),
        day: &found.day,
        kind: found.kind.as_str(),
        order_no: &found.order_no,
        refund_no: &found.refund_no,
        transaction_id: &found.transaction_id,
        ours: found.ours.map(Amount::minor),
        our_currency: found.ours.map(code),
        theirs: found.theirs.map(Amount::minor),
        their_currency: found.theirs.map(code),
        our_state: found.our_state.map(State::as_str),
        their_state: &found.their_state,
        item_id: found.item,
        line: found.line,
        total: found.total.as_deref(),
        detail: &found.detail,
        state: found.reason.first_state().as_str(),
    }
}

impl Ledger {
    /// Keeps what the reconciliation of an item found, and says where each stands, in the same order.
    /// What was found before stays what it is; what was closed begins anew.
    ///
    /// # Errors
    /// Whatever the database says; then none of these was kept.
    pub async fn keep_differences(
        &self,
        lane: &str,
        found: &[Difference],
        found_in: i64,
        now: Timestamp,
    ) -> Result<Vec<KeptDifference>, LedgerError> {
        let hashes: Vec<KeyHash> = found.iter().map(|one| one.content_hash(lane)).collect();
        let mut tx = self.begin_write(OPERATION).await?;
        let known = by_hash(&mut tx, lane, &hashes).await?;
        // What stands twice in one call is one difference.
        let (mut rows, mut seen): (Vec<NewDifference<'_>>, HashSet<KeyHash>) = Default::default();
        let (mut updated, mut told) = (HashMap::new(), HashMap::new());
        for (one, hash) in found.iter().zip(&hashes) {
            let Some(row) = known.get(hash) else {
                rows.extend(seen.insert(*hash).then(|| new_row(one, *hash)));
                continue;
            };
            let (what, note) = found_again(row, one);
            let state = follow(row, one.reason, what)?;
            let is_told = state != row.state || what == DifferenceEvent::FoundOtherwise;
            if is_told {
                told.insert(row.id, (row, state, what, note));
            }
            let is_reopened = state != row.state
                && (row.state == DifferenceState::Closed || state == DifferenceState::Open);
            let update = UpdatedDifference {
                id: row.id,
                reason: one.reason.as_str(),
                state: state.as_str(),
                version: row.version + i64::from(is_told),
                found_in: if is_reopened { found_in } else { row.found_in },
                line: one.line,
                our_state: one.our_state.map(State::as_str),
                detail: &one.detail,
                last_seen: now.millis(),
                changed_at: if is_told { now } else { row.changed_at }.millis(),
            };
            updated.insert(row.id, update);
        }
        let again = told.values();
        let again = again.map(|(row, state, what, note)| event(row, *state, *what, note));
        let mut events: Vec<NewEvent<'_>> = again.collect();
        if !rows.is_empty() {
            let insert = sqlx::query(include_str!("keep_differences.sql"))
                .bind(lane)
                .bind(list(&rows))
                .bind(found_in)
                .bind(now.millis());
            insert.execute(tx.connection()).await.map_err(failed)?;
        }
        update(&mut tx, updated.into_values().collect()).await?;
        let kept = by_hash(&mut tx, lane, &hashes).await?;
        let first = kept
            .iter()
            .filter(|(hash, _)| !known.contains_key(hash))
            .map(|(_, row)| NewEvent {
                difference_id: row.id,
                version: row.version,
                event: DifferenceEvent::Found.as_str(),
                to_state: row.state.as_str(),
                note: "",
            });
        events.extend(first);
        keep_events(&mut tx, &events, Actor::payrun().name(), now).await?;
        drop(events);
        tx.commit().await?;
        let stands = |hash| {
            let row = kept.get(hash).ok_or_else(|| LedgerError::Inconsistent {
                what: "a difference that was kept is not there".to_owned(),
            })?;
            Ok(KeptDifference {
                id: row.id,
                state: row.state,
                owner: row.owner.clone(),
                is_new: row.found_in == found_in,
            })
        };
        hashes.iter().map(stands).collect()
    }

    /// Closes differences that a reconciliation looked for and did not find, as the evidence says, if
    /// they are still as they were read. Says how many.
    ///
    /// # Errors
    /// Whatever the database says; then none was closed.
    pub async fn differences_not_found(
        &self,
        rows: &[DifferenceRow],
        evidence: &str,
        now: Timestamp,
    ) -> Result<u64, LedgerError> {
        if rows.is_empty() {
            return Ok(0);
        }
        let mut tx = self.begin_write(OPERATION).await?;
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let current = by_id(&mut tx, &ids).await?;
        let versions: HashMap<i64, (i64, Timestamp)> = rows
            .iter()
            .map(|row| (row.id, (row.version, row.last_seen)))
            .collect();
        let same: Vec<&DifferenceRow> = current
            .iter()
            .filter(|row| versions.get(&row.id) == Some(&(row.version, row.last_seen)))
            .collect();
        let (mut updated, mut events) = (Vec::new(), Vec::new());
        for row in same {
            let state = follow(row, row.difference.reason, DifferenceEvent::NotFound)?;
            if state == row.state {
                continue;
            }
            events.push(event(row, state, DifferenceEvent::NotFound, evidence));
            updated.push(UpdatedDifference {
                id: row.id,
                reason: row.difference.reason.as_str(),
                state: state.as_str(),
                version: row.version + 1,
                found_in: row.found_in,
                line: row.difference.line,
                our_state: row.difference.our_state.map(State::as_str),
                detail: &row.difference.detail,
                last_seen: row.last_seen.millis(),
                changed_at: now.millis(),
            });
        }
        let closed = updated.len() as u64;
        update(&mut tx, updated).await?;
        keep_events(&mut tx, &events, Actor::payrun().name(), now).await?;
        tx.commit().await?;
        Ok(closed)
    }
}

/// What has happened to a difference that is found again, and what is noted of it.
fn found_again(row: &DifferenceRow, found: &Difference) -> (DifferenceEvent, String) {
    let (before, now) = (row.difference.reason, found.reason);
    if before == now {
        return (DifferenceEvent::Found, String::new());
    }
    let mut note = format!("it was {before} and is {now} now");
    if !found.detail.is_empty() {
        note = format!("{note}: {}", found.detail);
    }
    (DifferenceEvent::FoundOtherwise, note)
}

/// The state that follows an event of a reconciliation, which every state takes.
fn follow(
    row: &DifferenceRow,
    reason: DifferenceReason,
    event: DifferenceEvent,
) -> Result<DifferenceState, LedgerError> {
    next(reason, row.state, event).ok_or_else(|| LedgerError::Inconsistent {
        what: format!(
            "difference {} in state {} cannot be {}",
            row.id,
            row.state,
            event.as_str()
        ),
    })
}

/// The event that a row's next version is.
pub(super) fn event<'a>(
    row: &DifferenceRow,
    to: DifferenceState,
    event: DifferenceEvent,
    note: &'a str,
) -> NewEvent<'a> {
    NewEvent {
        difference_id: row.id,
        version: row.version + 1,
        event: event.as_str(),
        to_state: to.as_str(),
        note,
    }
}

async fn update(tx: &mut WriteTx, rows: Vec<UpdatedDifference<'_>>) -> Result<(), LedgerError> {
    if rows.is_empty() {
        return Ok(());
    }
    let update = sqlx::query(include_str!("update_differences.sql")).bind(list(&rows));
    update.execute(tx.connection()).await.map_err(failed)?;
    Ok(())
}

pub(super) async fn keep_events(
    tx: &mut WriteTx,
    events: &[NewEvent<'_>],
    actor: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    if events.is_empty() {
        return Ok(());
    }
    let insert = sqlx::query(include_str!("keep_events.sql"))
        .bind(list(events))
        .bind(actor)
        .bind(now.millis());
    insert.execute(tx.connection()).await.map_err(failed)?;
    Ok(())
}

async fn by_hash(
    tx: &mut WriteTx,
    lane: &str,
    hashes: &[KeyHash],
) -> Result<HashMap<KeyHash, DifferenceRow>, LedgerError> {
    let hashes: Vec<String> = hashes.iter().copied().map(hex).collect();
    // `cross join`: the list first, then what it names by an index.
    let query = "select d.* from json_each($2) as h cross join differences as d \
                 where d.lane = $1 and d.content_hash = unhex(h.atom)";
    let rows = sqlx::query(query)
        .bind(lane)
        .bind(list(&hashes))
        .fetch_all(tx.connection())
        .await
        .map_err(failed)?;
    let rows = rows.iter().map(difference_row);
    rows.map(|row| row.map(|row| (row.content_hash, row)))
        .collect()
}

/// These differences as they are within the transaction.
pub(super) async fn by_id(
    tx: &mut WriteTx,
    ids: &[i64],
) -> Result<Vec<DifferenceRow>, LedgerError> {
    // `cross join`: the list first, then what it names by an index.
    let query = "select d.* from json_each($1) as n cross join differences as d where d.id = cast(n.atom as bigint) order by d.id";
    let rows = sqlx::query(query)
        .bind(list(ids))
        .fetch_all(tx.connection())
        .await
        .map_err(failed)?;
    rows.iter().map(difference_row).collect()
}
