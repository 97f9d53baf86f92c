//! Claim is intent: due items become `sending` (or their query is taken), with lease and order
//! number, in one commit.
//!
//! The lane's switch, what persons have paused and slowed, and the token bucket are read and
//! written in the same transaction, so that all nodes together keep to them. While a lane or a
//! workflow is paused, only queries are claimed. When a lease expires, the item becomes `unknown`;
//! it is queried before it is ever submitted again.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row, ValueRef};

use crate::contracts::stop_reasons::{StopReason, stopped_items};
use crate::db::location::DbKind;
use crate::db::node::NodeId;
use crate::db::stored_values;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::claimed_item::{ClaimKind, Claimed};
use crate::items::claimed_lane::{ClaimedLane, closed_kinds, paused_jobs, tried_kinds};
use crate::items::due_items::{DueItems, WaitReason};
use crate::items::item_rows::{ItemRecord, list};
use crate::items::token_bucket::Tokens;
use payrun_domain::item::State;
use payrun_domain::policy::{Policy, Rate};
use payrun_domain::time::Timestamp;

/// What a worker has room for.
#[derive(Debug, Clone)]
pub struct ClaimRequest {
    /// The gateway account.
    pub lane: String,
    /// Who asks.
    pub node: NodeId,
    /// When.
    pub now: Timestamp,
    /// How long the claim holds: longer than any call may take.
    pub lease: Duration,
    /// How many calls the lane allows.
    pub rate: Rate,
    /// At most so many items in all.
    pub slots: usize,
    /// The jobs to take from, the most urgent first.
    pub quotas: Vec<JobQuota>,
}

/// How much to take from a job.
#[derive(Debug, Clone)]
pub struct JobQuota {
    /// The job.
    pub job_id: i64,
    /// Its kind: of one kind alone a lane may be suspended.
    pub kind: String,
    /// At most so many items.
    pub slots: usize,
    /// A slower rate than the lane's.
    pub rate: Option<Rate>,
    /// A longer lease than the request's, where there is more to do than a call.
    pub lease: Option<Duration>,
    /// How its items are treated whose lease has run out.
    pub policy: Arc<Policy>,
    /// Whether a gateway can be asked what became of its items: in a ledger that was restored it
    /// is, before they are sent.
    pub can_ask: bool,
}

/// What a claim brought.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    pub claimed: Vec<Claimed>,
    /// When it is worth asking again, if nothing wakes the worker before.
    pub next: Option<Timestamp>,
}

/// What is due of a job: to be sent, or to be asked about.
pub(crate) const DUE: &str = include_str!("due.sql");

/// What is to be asked about of a job that may send nothing: found among what is open, however much
/// waits to be sent.
pub(crate) const ASKED: &str = include_str!("due_to_ask.sql");

/// Where rows have locks, one that somebody else holds (a person at a console, say) keeps no claim
/// waiting.
const NOT_LOCKED: &str = " for update of items skip locked";

/// The kind that ends contracts at the gateway, as [`DUE`] spells it.
pub(crate) const TERMINATION: &str = "terminate";

pub(crate) async fn claim(tx: &mut WriteTx, request: &ClaimRequest) -> Result<Claims, LedgerError> {
    let Some(ClaimedLane {
        tokens: mut lane_tokens,
        paused,
        some_jobs,
    }) = ClaimedLane::read(tx, request).await?
    else {
        return Ok(Claims::default());
    };
    let mut claims = Claims::default();
    let mut waiting = None;
    let closed = closed_kinds(tx, request).await?;
    let mut tried = tried_kinds(tx, request).await?;
    let paused_jobs = if some_jobs {
        paused_jobs(tx, request).await?
    } else {
        Vec::new()
    };
    expire_leases(tx, request).await?;
    for quota in &request.quotas {
        let is_closed = |part: &String| {
            *part == quota.kind || *part == format!("{}/{}", quota.kind, quota.job_id)
        };
        let trial = tried.iter().position(|(kind, _)| *kind == quota.kind);
        let is_tried = trial.is_some_and(|place| tried[place].1);
        let asks_only = paused
            || closed.iter().any(is_closed)
            || paused_jobs.contains(&quota.job_id)
            || is_tried;
        let mut job_tokens = Tokens::of_job(tx, quota, request.now).await?;
        let allowed = job_tokens
            .as_ref()
            .map_or(usize::MAX, Tokens::whole)
            .min(lane_tokens.whole());
        let left = request.slots.saturating_sub(claims.claimed.len());
        let most = if trial.is_some() && !asks_only {
            1
        } else {
            quota.slots
        };
        let slots = most.min(quota.slots).min(allowed).min(left);
        let taken = if slots == 0 {
            0
        } else {
            claim_from(tx, request, quota, slots, asks_only, &mut claims.claimed).await?
        };
        if let Some(place) = trial.filter(|_| taken > 0 && !asks_only)
            && let Some(one) = claims
                .claimed
                .last_mut()
                .filter(|one| one.claim_kind == ClaimKind::Submit)
        {
            one.tries_funds = true;
            tried[place].1 = true;
        }
        lane_tokens.spend(taken);
        if let Some(tokens) = job_tokens.as_mut().filter(|_| taken > 0) {
            tokens.spend(taken);
            tokens.write(tx).await?;
        }
        if claims.claimed.is_empty() && quota.slots > 0 && !asks_only {
            let due = next_due(tx, quota.job_id)
                .await?
                .map(|due| due.max(request.now));
            let filled = job_tokens
                .as_ref()
                .map_or(request.now, |tokens| tokens.next_whole(request.now));
            waiting = earlier(
                waiting,
                due.map(|due| due.max(filled).max(lane_tokens.next_whole(request.now))),
            );
        }
    }
    if !claims.claimed.is_empty() {
        lane_tokens.write(tx).await?;
    }
    claims.next = waiting;
    Ok(claims)
}

async fn claim_from(
    tx: &mut WriteTx,
    request: &ClaimRequest,
    quota: &JobQuota,
    slots: usize,
    asks_only: bool,
    claimed: &mut Vec<Claimed>,
) -> Result<usize, LedgerError> {
    let failed = |source| LedgerError::of("claiming what is due", source);
    let due = if asks_only { ASKED } else { DUE };
    let due = match tx.db_kind() {
        DbKind::Sqlite => due.to_owned(),
        DbKind::Postgres => format!("{due}{NOT_LOCKED}"),
    };
    let rows = sqlx::query(AssertSqlSafe(due))
        .bind(quota.job_id)
        .bind(request.now.millis())
        .bind(i64::try_from(slots).unwrap_or(i64::MAX))
        .fetch_all(tx.connection())
        .await
        .map_err(failed)?;
    let lease_until = request.now.plus(quota.lease.unwrap_or(request.lease));
    let mut sorted = DueItems::default();
    let mut exclusive_keys = HashSet::new();
    let due: Vec<ItemRecord> = rows
        .iter()
        .map(ItemRecord::read)
        .collect::<Result<_, _>>()?;
    let stopped = stopped_of(tx, &due).await?;
    for (row, stored) in rows.iter().zip(due) {
        let in_flight: Option<&str> = row.try_get("in_flight").map_err(failed)?;
        let is_paused = is_there(row, "paused").map_err(failed)?;
        let is_ending = &*quota.kind != TERMINATION && is_there(row, "ending").map_err(failed)?;
        let is_withdrawn = stored.withdrawn.is_some() || stopped.contains_key(&stored.id);
        #[cfg(feature = "mutation")]
        let is_withdrawn = crate::mutation::is_withdrawn(is_withdrawn);
        let exclusive_key = stored.exclusive_key.as_ref();
        #[cfg(feature = "mutation")]
        let (in_flight, exclusive_key) = crate::mutation::exclusive(in_flight, exclusive_key);
        match stored.item.state {
            State::Planned if is_withdrawn => {
                if quota.can_ask && stored.may_be_forgotten(stored.item.generation) {
                    sorted.recall(stored, quota, request.now)?;
                } else {
                    let why = stopped.get(&stored.id);
                    sorted.cancel(stored, why, quota, request.now)?;
                }
            }
            State::Planned if is_paused => sorted.blocked.push((stored.id, WaitReason::Paused)),
            State::Planned if is_ending => sorted.blocked.push((stored.id, WaitReason::Ending)),
            State::Planned if in_flight.is_some() => {
                let needs_review = in_flight == Some(State::NeedsReview.as_str());
                sorted.blocked.push((
                    stored.id,
                    if needs_review {
                        WaitReason::NeedsReview
                    } else {
                        WaitReason::Busy
                    },
                ));
            }
            State::Planned
                if !exclusive_key.is_none_or(|key| exclusive_keys.insert(key.clone())) =>
            {
                sorted.blocked.push((stored.id, WaitReason::Busy));
            }
            // Whatever the gateway says of the number in use, money moved under another one.
            State::Planned if is_there(row, "moved").map_err(failed)? => {
                sorted.require_review(stored, quota, request.now)?
            }
            State::Planned if quota.can_ask && stored.may_be_forgotten(stored.item.generation) => {
                sorted.recall(stored, quota, request.now)?;
            }
            State::Sending => sorted.abandon(stored, quota, request.now)?,
            State::AwaitingApproval
            | State::Planned
            | State::Pending
            | State::Unknown
            | State::Succeeded
            | State::Failed
            | State::Cancelled
            | State::NeedsReview
            | State::Rejected
            | State::Skipped => sorted.claim(stored, quota, request.now)?,
        }
    }
    sorted.write(tx, request, lease_until).await?;
    let taken = sorted.claims.len();
    for (stored, moved, claim_kind) in sorted.claims {
        claimed.push(Claimed {
            fields: stored_values::json(&stored.input, ("items", &stored.id, "input"))?,
            item: moved.item,
            stored,
            claim_kind,
            lease_until,
            tries_funds: false,
        });
    }
    Ok(taken)
}

/// Those of what is due to be sent of which nothing is sent, whatever has planned them.
async fn stopped_of(
    tx: &mut WriteTx,
    due: &[ItemRecord],
) -> Result<BTreeMap<i64, StopReason>, LedgerError> {
    let sent = due
        .iter()
        .filter(|stored| stored.item.state == State::Planned);
    let sent: Vec<i64> = sent.map(|stored| stored.id).collect();
    if sent.is_empty() {
        Ok(BTreeMap::new())
    } else {
        stopped_items(tx.connection(), &sent).await
    }
}

/// Of a job, when the first of its items is due or its first lease ends; `$1` is the job.
const NEXT_OF_JOB: &str = "\
    select min(d.at) from (select min(next_at) as at from items where job_id = $1 and next_at is not null \
      union all select min(lease_until) from items where job_id = $1 and lease_until is not null) as d";

async fn next_due(tx: &mut WriteTx, job_id: i64) -> Result<Option<Timestamp>, LedgerError> {
    let failed = |source| LedgerError::of("looking for the next due item", source);
    let next: Option<i64> = sqlx::query_scalar(NEXT_OF_JOB)
        .bind(job_id)
        .fetch_one(tx.connection())
        .await
        .map_err(failed)?;
    Ok(next.map(Timestamp::from_millis))
}

/// What is claimed and whose lease has run out is due: it was to be looked at then. Its claim stands
/// until somebody takes it; a settle that comes before is in time.
pub(crate) const EXPIRE_LEASES: &str = "\
    update items set next_at = lease_until, lease_until = null where id in (select id from items \
      where job_id in (select cast(atom as bigint) from json_each($1)) and lease_until <= $2)";

/// The same where rows have locks: one that somebody else holds keeps no claim waiting.
const EXPIRE_LEASES_NOT_LOCKED: &str = "\
    update items set next_at = lease_until, lease_until = null where id in (select id from items \
      where job_id in (select cast(atom as bigint) from json_each($1)) and lease_until <= $2 for update skip locked)";

async fn expire_leases(tx: &mut WriteTx, request: &ClaimRequest) -> Result<(), LedgerError> {
    let jobs: Vec<i64> = request
        .quotas
        .iter()
        .filter(|quota| quota.slots > 0)
        .map(|quota| quota.job_id)
        .collect();
    let expire = match tx.db_kind() {
        DbKind::Sqlite => EXPIRE_LEASES,
        DbKind::Postgres => EXPIRE_LEASES_NOT_LOCKED,
    };
    let expired = sqlx::query(expire)
        .bind(list(&jobs))
        .bind(request.now.millis())
        .execute(tx.connection())
        .await;
    expired
        .map(|_| ())
        .map_err(|source| LedgerError::of("ending leases", source))
}

/// Whether a column has a value, whatever its type.
fn is_there(row: &AnyRow, column: &str) -> Result<bool, sqlx::Error> {
    row.try_get_raw(column).map(|value| !value.is_null())
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
