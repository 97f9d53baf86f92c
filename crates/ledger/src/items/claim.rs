//! Claim is intent: due items become `sending` (or their query is taken), with lease and order
//! number, in one commit.
//!
//! The lane's switch, what persons have paused and slowed, and the token bucket are read and
//! written in the same transaction, so that all nodes together keep to them. Of what is paused only
//! questions are claimed. What is claimed and whose lease has run out is `unknown` from then on: it
//! is asked about, never sent again unasked.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row, ValueRef};

use crate::contracts::stop_reasons::{StopReason, stopped_items};
use crate::db::location::DbKind;
use crate::db::node::NodeId;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::item_rows::{ChangeBatch, ItemChange, ItemRecord, Lease, list};
use crate::items::settle::Attempt;
use crate::lanes::lane_states::{LaneState, rate_of};
use payrun_domain::answer::{Answer, Cause};
use payrun_domain::evidence::{self, Consequence, Evidence};
use payrun_domain::history::EventKind;
use payrun_domain::ids::{KeyHash, OrderNumber};
use payrun_domain::item::{Event, Item, Move, State, apply};
use payrun_domain::money::Amount;
use payrun_domain::policy::{Policy, Rate};
use payrun_domain::reason::ReasonCode;
use payrun_domain::time::Timestamp;

/// What a worker wants to have.
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
    pub wants: Vec<JobQuota>,
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

/// An item that this node, and nobody else, may call the gateway for until the lease ends.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub(crate) stored: ItemRecord,
    /// The item after the claim.
    pub item: Item,
    /// What to do.
    pub doing: ClaimKind,
    /// When the lease ends.
    pub lease_until: Timestamp,
    /// Whether it is sent to find out whether our balance is large enough again: the others of its
    /// kind wait for that.
    pub tries_funds: bool,
}

/// What a claim is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimKind {
    /// Send it.
    Submit,
    /// Ask what became of it.
    Query,
}

impl Claimed {
    /// The item's id.
    pub const fn id(&self) -> i64 {
        self.stored.id
    }

    /// Its job.
    pub const fn job_id(&self) -> i64 {
        self.stored.job_id
    }

    /// The version it was claimed as; names the attempt.
    pub const fn version(&self) -> i64 {
        self.stored.version + 1
    }

    /// The number to call the gateway with.
    pub const fn order_no(&self) -> &OrderNumber {
        &self.stored.order_no
    }

    /// Its amount.
    pub const fn amount(&self) -> Option<Amount> {
        self.stored.amount
    }

    /// The fingerprint of its key.
    pub const fn key(&self) -> KeyHash {
        self.stored.key
    }

    /// What is known of its result.
    pub const fn facts(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.stored.facts
    }

    /// Its checked input fields, a JSON object.
    pub fn input(&self) -> &str {
        &self.stored.input
    }

    /// The row as it is after the claim.
    pub(crate) fn after(&self) -> ItemRecord {
        ItemRecord {
            version: self.version(),
            item: self.item.clone(),
            ..self.stored.clone()
        }
    }
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

/// The number of this generation has been asked about before it was sent.
pub(crate) const RECALLED: &str = "\
    update items set recalled = generation from json_each($1) as r where items.id = cast(r.atom as bigint)";

pub(crate) const BUMP: &str = "\
    update items set next_at = cast(b.value ->> 'next_at' as bigint), reason = b.value ->> 'reason', \
      reason_code = b.value ->> 'reason_code' \
    from json_each($1) as b where items.id = cast(b.value ->> 'id' as bigint)";

/// What keeps an item from being sent, and for how long it is put off: a person's deed ends the
/// longer waits at once.
#[derive(Debug, Clone, Copy)]
enum WaitReason {
    /// Another item of its contract is in flight.
    Busy,
    /// Another item of its contract needs review.
    NeedsReview,
    /// A person has paused its contract.
    Paused,
    /// The end of its contract is to be sent.
    Ending,
}

/// The kind that ends contracts at the gateway, as [`DUE`] spells it.
pub(crate) const TERMINATION: &str = "terminate";

impl WaitReason {
    const fn time(self) -> Duration {
        match self {
            Self::Busy | Self::Ending => Duration::from_secs(1),
            Self::NeedsReview | Self::Paused => Duration::from_secs(3600),
        }
    }

    const fn code(self) -> ReasonCode {
        match self {
            Self::Busy => ReasonCode::ContractBusy,
            Self::NeedsReview => ReasonCode::ContractNeedsReview,
            Self::Paused => ReasonCode::ContractPaused,
            Self::Ending => ReasonCode::ContractEnding,
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Busy => "waits: an earlier item of the same contract has not ended",
            Self::NeedsReview => "waits: an earlier item of the same contract needs review",
            Self::Paused => "waits: its contract is paused",
            Self::Ending => "waits: its contract is to be terminated",
        }
    }
}

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
    for want in &request.wants {
        let is_closed =
            |part: &String| *part == want.kind || *part == format!("{}/{}", want.kind, want.job_id);
        let trial = tried.iter().position(|(kind, _)| *kind == want.kind);
        let is_tried = trial.is_some_and(|place| tried[place].1);
        let asks_only = paused
            || closed.iter().any(is_closed)
            || paused_jobs.contains(&want.job_id)
            || is_tried;
        let mut job_tokens = Tokens::of_job(tx, want, request.now).await?;
        let allowed = job_tokens
            .as_ref()
            .map_or(usize::MAX, Tokens::whole)
            .min(lane_tokens.whole());
        let left = request.slots.saturating_sub(claims.claimed.len());
        let most = if trial.is_some() && !asks_only {
            1
        } else {
            want.slots
        };
        let slots = most.min(want.slots).min(allowed).min(left);
        let taken = if slots == 0 {
            0
        } else {
            claim_from(tx, request, want, slots, asks_only, &mut claims.claimed).await?
        };
        if let Some(place) = trial.filter(|_| taken > 0 && !asks_only)
            && let Some(one) = claims
                .claimed
                .last_mut()
                .filter(|one| one.doing == ClaimKind::Submit)
        {
            one.tries_funds = true;
            tried[place].1 = true;
        }
        lane_tokens.spend(taken);
        if let Some(tokens) = job_tokens.as_mut().filter(|_| taken > 0) {
            tokens.spend(taken);
            tokens.write(tx).await?;
        }
        if claims.claimed.is_empty() && want.slots > 0 && !asks_only {
            let due = next_due(tx, want.job_id)
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

/// The kinds of job, and the jobs (`KIND/JOB`), of which nothing is sent on this lane at present;
/// what is open of them is still asked about.
async fn closed_kinds(
    tx: &mut WriteTx,
    request: &ClaimRequest,
) -> Result<Vec<String>, LedgerError> {
    let query = "select substr(name, length($1) + 2) from lanes where name > $1 || '/' and name < $1 || '0' \
                 and state <> 'open' and (until is null or until > $2) limit 100";
    let closed = sqlx::query_scalar(query)
        .bind(&request.lane)
        .bind(request.now.millis())
        .fetch_all(tx.connection());
    closed
        .await
        .map_err(|source| LedgerError::of("reading the lane", source))
}

/// The kinds of job of this lane for which our balance was too small until a while ago, and whether
/// an item of each is being sent now. One at a time tries whether it is large enough again.
async fn tried_kinds(
    tx: &mut WriteTx,
    request: &ClaimRequest,
) -> Result<Vec<(String, bool)>, LedgerError> {
    let failed = |source| LedgerError::of("reading the lane", source);
    let query = include_str!("tried_kinds.sql");
    let rows = sqlx::query(query)
        .bind(&request.lane)
        .bind(request.now.millis())
        .fetch_all(tx.connection());
    let rows = rows.await.map_err(failed)?;
    let read = |row: &AnyRow| Ok((row.try_get(0)?, row.try_get::<i64, _>(1)? > 0));
    rows.iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(failed)
}

/// The jobs of this lane whose workflows are paused.
async fn paused_jobs(tx: &mut WriteTx, request: &ClaimRequest) -> Result<Vec<i64>, LedgerError> {
    let query = "select j.id from pauses as p join runs as r on r.workflow = p.name join jobs as j on j.run_id = r.id \
                 where p.scope = 'workflow' and j.lane = $1 and j.finished_at is null and r.finished_at is null limit 10000";
    let paused = sqlx::query_scalar(query)
        .bind(&request.lane)
        .fetch_all(tx.connection());
    paused
        .await
        .map_err(|source| LedgerError::of("reading what is paused", source))
}

async fn claim_from(
    tx: &mut WriteTx,
    request: &ClaimRequest,
    want: &JobQuota,
    slots: usize,
    asks_only: bool,
    claimed: &mut Vec<Claimed>,
) -> Result<usize, LedgerError> {
    let failed = |source| LedgerError::of("claiming what is due", source);
    let due = if asks_only { ASKED } else { DUE };
    let due = match tx.engine() {
        DbKind::Sqlite => due.to_owned(),
        DbKind::Postgres => format!("{due}{NOT_LOCKED}"),
    };
    let rows = sqlx::query(AssertSqlSafe(due))
        .bind(want.job_id)
        .bind(request.now.millis())
        .bind(i64::try_from(slots).unwrap_or(i64::MAX))
        .fetch_all(tx.connection())
        .await
        .map_err(failed)?;
    let lease_until = request.now.plus(want.lease.unwrap_or(request.lease));
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
        let is_ending = &*want.kind != TERMINATION && is_there(row, "ending").map_err(failed)?;
        let is_withdrawn = stored.withdrawn.is_some() || stopped.contains_key(&stored.id);
        #[cfg(feature = "mutation")]
        let is_withdrawn = crate::mutation::is_withdrawn(is_withdrawn);
        let exclusive_key = stored.exclusive_key.as_ref();
        #[cfg(feature = "mutation")]
        let (in_flight, exclusive_key) = crate::mutation::exclusive(in_flight, exclusive_key);
        match stored.item.state {
            State::Planned if is_withdrawn => {
                if want.can_ask && stored.may_be_forgotten(stored.item.generation) {
                    sorted.recall(stored, want, request.now)?;
                } else {
                    let why = stopped.get(&stored.id);
                    sorted.cancel(stored, why, want, request.now)?;
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
                sorted.require_review(stored, want, request.now)?
            }
            State::Planned if want.can_ask && stored.may_be_forgotten(stored.item.generation) => {
                sorted.recall(stored, want, request.now)?;
            }
            State::Sending => sorted.abandon(stored, want, request.now)?,
            State::AwaitingApproval
            | State::Planned
            | State::Pending
            | State::Unknown
            | State::Succeeded
            | State::Failed
            | State::Cancelled
            | State::NeedsReview
            | State::Rejected
            | State::Skipped => sorted.claim(stored, want, request.now)?,
        }
    }
    sorted.write(tx, request, lease_until).await?;
    let taken = sorted.claims.len();
    claimed.extend(
        sorted
            .claims
            .into_iter()
            .map(|(stored, moved, doing)| Claimed {
                item: moved.item,
                stored,
                doing,
                lease_until,
                tries_funds: false,
            }),
    );
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

/// Due rows, by what is to be done with them.
#[derive(Debug, Default)]
struct DueItems {
    claims: Vec<(ItemRecord, Move, ClaimKind)>,
    abandoned: Vec<(ItemRecord, Move)>,
    /// Items that may have been sent by a ledger of which this is a backup.
    recalled: Vec<(ItemRecord, Move)>,
    /// Items of which money moved under an earlier number.
    to_review: Vec<(ItemRecord, Move)>,
    /// Items that a person withdrew while they were under way.
    withdrawn: Vec<(ItemRecord, Move)>,
    /// Items that must wait.
    blocked: Vec<(i64, WaitReason)>,
}

impl DueItems {
    fn claim(
        &mut self,
        stored: ItemRecord,
        want: &JobQuota,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let doing = if stored.item.state == State::Planned {
            ClaimKind::Submit
        } else {
            ClaimKind::Query
        };
        let moved = decide(&stored, &Event::Claim, &want.policy, now)?;
        self.claims.push((stored, moved, doing));
        Ok(())
    }

    fn abandon(
        &mut self,
        stored: ItemRecord,
        want: &JobQuota,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let moved = decide(
            &stored,
            &Event::Answered(Answer::from(Cause::Abandoned)),
            &want.policy,
            now,
        )?;
        self.abandoned.push((stored, moved));
        Ok(())
    }

    fn recall(
        &mut self,
        stored: ItemRecord,
        want: &JobQuota,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let moved = decide(&stored, &Event::Recall, &want.policy, now)?;
        self.recalled.push((stored, moved));
        Ok(())
    }

    fn cancel(
        &mut self,
        stored: ItemRecord,
        stopped: Option<&StopReason>,
        want: &JobQuota,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let moved = decide(&stored, &Event::Cancel, &want.policy, now)?;
        let by_person = stored
            .withdrawn
            .as_ref()
            .map(|wish| format!("withdrawn by {wish}; nothing more was sent"));
        let reason = by_person.or_else(|| stopped.map(|stopped| format!("withdrawn: {stopped}")));
        self.withdrawn.push((stored, moved.because(reason)));
        Ok(())
    }

    fn require_review(
        &mut self,
        stored: ItemRecord,
        want: &JobQuota,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let moved = decide(&stored, &Event::RequireReview, &want.policy, now)?;
        self.to_review.push((stored, moved));
        Ok(())
    }

    async fn write(
        &self,
        tx: &mut WriteTx,
        request: &ClaimRequest,
        lease_until: Timestamp,
    ) -> Result<(), LedgerError> {
        #[cfg(feature = "mutation")]
        if crate::mutation::claim_is_lost() {
            return Ok(());
        }
        let lease = Lease {
            node: request.node.0,
            until: lease_until,
        };
        let claims = self
            .claims
            .iter()
            .map(|(stored, moved, _)| (stored, moved, EventKind::Claim, Some(lease)));
        let abandoned = self
            .abandoned
            .iter()
            .map(|(stored, moved)| (stored, moved, EventKind::Abandoned, None));
        let recalled = self
            .recalled
            .iter()
            .map(|(stored, moved)| (stored, moved, EventKind::Recall, None));
        let to_review = self
            .to_review
            .iter()
            .map(|(stored, moved)| (stored, moved, EventKind::RequireReview, None));
        let withdrawn = self
            .withdrawn
            .iter()
            .map(|(stored, moved)| (stored, moved, EventKind::Cancel, None));
        let moves: Vec<ItemChange<'_>> = claims
            .chain(abandoned)
            .chain(recalled)
            .chain(to_review)
            .chain(withdrawn)
            .map(|(stored, moved, event, lease)| ItemChange {
                stored,
                event,
                moved,
                lease,
                result: None,
                at: request.now,
            })
            .collect();
        let ends: Vec<_> = self
            .abandoned
            .iter()
            .map(|(stored, _)| (stored, Attempt::abandoned(stored, request.now)))
            .collect();
        let attempts: Vec<_> = ends
            .iter()
            .map(|(s, attempt)| attempt.line(s.id, s.version, &s.order_no, false))
            .collect();
        if !moves.is_empty() && !ChangeBatch::of(&moves, &attempts)?.execute(tx).await? {
            return Err(LedgerError::Inconsistent {
                what: "an item changed within the transaction that claims it".to_owned(),
            });
        }
        self.note_recalled(tx).await?;
        self.postpone_overdue(tx, request.now).await
    }

    async fn note_recalled(&self, tx: &mut WriteTx) -> Result<(), LedgerError> {
        if self.recalled.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = self.recalled.iter().map(|(stored, _)| stored.id).collect();
        let noted = sqlx::query(RECALLED)
            .bind(list(&ids))
            .execute(tx.connection())
            .await;
        noted
            .map(|_| ())
            .map_err(|source| LedgerError::of("asking about what may have been sent", source))
    }

    async fn postpone_overdue(&self, tx: &mut WriteTx, now: Timestamp) -> Result<(), LedgerError> {
        if self.blocked.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = self
            .blocked
            .iter()
            .map(|(id, waits)| {
                json!({
                    "id": id,
                    "next_at": now.plus(waits.time()).millis(),
                    "reason": waits.sentence(),
                    "reason_code": waits.code().as_str(),
                })
            })
            .collect();
        sqlx::query(BUMP)
            .bind(list(&rows))
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of("putting off what waits for its contract", source))?;
        Ok(())
    }
}

/// What the state machine says; an illegal move here is a defect of payrun.
pub(crate) fn decide(
    stored: &ItemRecord,
    event: &Event,
    policy: &Policy,
    now: Timestamp,
) -> Result<Move, LedgerError> {
    apply(&stored.item, event, policy, now).map_err(|illegal| LedgerError::Inconsistent {
        what: format!("item {}: {illegal}", stored.id),
    })
}

/// What is to be done with news of an item's order.
pub(crate) fn follow(
    stored: &ItemRecord,
    news: &Evidence<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Consequence, LedgerError> {
    evidence::follow(&stored.item, news, policy, now).map_err(|illegal| LedgerError::Inconsistent {
        what: format!("item {}: {illegal}", stored.id),
    })
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
        .wants
        .iter()
        .filter(|want| want.slots > 0)
        .map(|want| want.job_id)
        .collect();
    let expire = match tx.engine() {
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

/// A lane as it stands in a transaction.
#[derive(Debug)]
struct ClaimedLane {
    tokens: Tokens,
    /// Whether nothing new may be sent on it.
    paused: bool,
    /// Whether some workflows are paused.
    some_jobs: bool,
}

impl ClaimedLane {
    /// None if a person has suspended the lane. What payrun stopped sends nothing; it still asks.
    async fn read(tx: &mut WriteTx, request: &ClaimRequest) -> Result<Option<Self>, LedgerError> {
        let failed = |source| LedgerError::of("reading the lane", source);
        let name = format!("lane:{}", request.lane);
        let row = sqlx::query(include_str!("lane_to_claim_from.sql"))
            .bind(&request.lane)
            .bind(&name)
            .fetch_one(tx.connection())
            .await
            .map_err(failed)?;
        let state: Option<&str> = row.try_get(0).map_err(failed)?;
        let until: Option<i64> = row.try_get(1).map_err(failed)?;
        let is_over = until.is_some_and(|until| until <= request.now.millis());
        let is_stopped = state == Some(LaneState::Stopped.as_str()) && !is_over;
        let is_open = matches!(state, None | Some("open")) || is_stopped || is_over;
        let kept = (
            row.try_get(2).map_err(failed)?,
            row.try_get(3).map_err(failed)?,
        );
        let slowed = rate_of(
            &request.lane,
            row.try_get(4).map_err(failed)?,
            row.try_get(5).map_err(failed)?,
        )?;
        let rate = slowed.map_or(request.rate, |slowed| slowed.slower(request.rate));
        let is_some = |column| {
            row.try_get::<i64, _>(column)
                .map(|count| count > 0)
                .map_err(failed)
        };
        let (paused, some_jobs) = (is_some("paused")? || is_stopped, is_some("workflows")?);
        Ok(is_open.then(|| Self {
            tokens: Tokens::filled(name, rate, kept, request.now),
            paused,
            some_jobs,
        }))
    }
}

/// A token bucket as it stands in a transaction. Holds a tenth of a second's calls at most, and at
/// least one, so that an idle lane does not start with a burst.
///
/// Where the clocks of the nodes differ, the bucket fills by the one that is ahead; the others take
/// from it and do not fill it.
#[derive(Debug)]
struct Tokens {
    name: String,
    rate: Rate,
    milli: i64,
    filled_at: Timestamp,
}

/// A bucket that was filled further in the future than this was filled before a clock was set back.
const CLOCKS_APART: Duration = Duration::from_secs(60);

impl Tokens {
    async fn of_job(
        tx: &mut WriteTx,
        want: &JobQuota,
        now: Timestamp,
    ) -> Result<Option<Self>, LedgerError> {
        let Some(rate) = want.rate else {
            return Ok(None);
        };
        let name = format!("job:{}", want.job_id);
        let failed = |source| LedgerError::of("reading the job's rate", source);
        let row = sqlx::query("select tokens, filled_at from token_buckets where name = $1")
            .bind(&name)
            .fetch_optional(tx.connection())
            .await
            .map_err(failed)?;
        let kept = match row {
            Some(row) => (
                row.try_get(0).map_err(failed)?,
                row.try_get(1).map_err(failed)?,
            ),
            None => (None, None),
        };
        Ok(Some(Self::filled(name, rate, kept, now)))
    }

    fn filled(name: String, rate: Rate, kept: (Option<i64>, Option<i64>), now: Timestamp) -> Self {
        let capacity = Self::capacity(rate);
        let (milli, filled_at) = match kept {
            (Some(tokens), Some(filled_at)) => {
                let filled_at = Timestamp::from_millis(filled_at);
                if filled_at > now.plus(CLOCKS_APART) {
                    (capacity, now)
                } else {
                    let elapsed = now.since(filled_at).min(Duration::from_secs(3600));
                    (
                        tokens
                            .saturating_add(Self::milli_in(rate, elapsed))
                            .min(capacity),
                        now.max(filled_at),
                    )
                }
            }
            (_, _) => (capacity, now),
        };
        Self {
            name,
            rate,
            milli,
            filled_at,
        }
    }

    fn capacity(rate: Rate) -> i64 {
        Self::milli_in(rate, Duration::from_millis(100)).max(1000)
    }

    fn milli_in(rate: Rate, elapsed: Duration) -> i64 {
        let calls =
            u128::from(rate.calls) * 1000 * elapsed.as_millis() / rate.per.as_millis().max(1);
        i64::try_from(calls).unwrap_or(i64::MAX / 2)
    }

    fn whole(&self) -> usize {
        usize::try_from(self.milli / 1000).unwrap_or(0)
    }

    fn spend(&mut self, calls: usize) {
        #[cfg(feature = "mutation")]
        let calls = crate::mutation::taken(calls);
        self.milli -= i64::try_from(calls).unwrap_or(0) * 1000;
    }

    fn next_whole(&self, now: Timestamp) -> Timestamp {
        let missing = u64::try_from(1000 - self.milli).unwrap_or(0);
        let per = u64::try_from(self.rate.per.as_millis()).unwrap_or(u64::MAX);
        let wait = missing.saturating_mul(per) / (u64::from(self.rate.calls.max(1)) * 1000);
        if missing == 0 {
            now
        } else {
            now.plus(Duration::from_millis(wait + 1))
        }
    }

    async fn write(&self, tx: &mut WriteTx) -> Result<(), LedgerError> {
        sqlx::query(
            "insert into token_buckets (name, tokens, filled_at) values ($1, $2, $3) \
             on conflict (name) do update set tokens = excluded.tokens, filled_at = excluded.filled_at",
        )
        .bind(&self.name)
        .bind(self.milli)
        .bind(self.filled_at.millis())
        .execute(tx.connection())
        .await
        .map_err(|source| LedgerError::of("keeping the rate", source))?;
        Ok(())
    }
}
