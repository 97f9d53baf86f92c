//! Approvals: a job's items wait until enough persons, none of them the author, have approved
//! this very content.
//!
//! What an approval is bound to ([`payrun_domain::approval`]) is made of the rows when they are
//! planned, and again in the commit that counts a vote or releases them: another content makes the
//! approval void. An item that is withdrawn before it was approved was never sent, and gives its
//! key back, so that a corrected batch can be planned.

use std::collections::BTreeMap;

use serde_json::json;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::approvals::approval_batch::{contents, move_awaiting};
use crate::audit::NewAuditEntry;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use payrun_domain::actor::Authorization;
use payrun_domain::approval::{ApprovalRight, right};
use payrun_domain::item::Event;
use payrun_domain::message::Message;
use payrun_domain::money::Currency;
use payrun_domain::time::Timestamp;

/// How many approvals are listed with a run at most: one a job.
const LISTED: i64 = 1000;

/// Where an approval is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApprovalState {
    /// For somebody to approve it.
    Waiting,
    /// Its items were released.
    Approved,
    /// A person would not have it.
    Rejected,
    /// Nobody approved it in time.
    Expired,
    /// Its rows are no longer what was to be approved.
    Void,
    /// A person rejected it after its items were released.
    Revoked,
}

impl ApprovalState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Waiting,
        Self::Approved,
        Self::Rejected,
        Self::Expired,
        Self::Void,
        Self::Revoked,
    ];

    /// The word for this state, as the ledger spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Void => "void",
            Self::Revoked => "revoked",
        }
    }

    /// Whether items may still wait for it.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Void)
    }
}

/// Which approvals are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListedApprovals {
    /// Those that items may still wait for.
    Open,
    /// Those that were decided.
    Decided,
    /// All.
    All,
}

impl ListedApprovals {
    fn condition(self) -> String {
        match self {
            Self::Open => format!("and {WAITS}"),
            Self::Decided => format!("and not ({WAITS})"),
            Self::All => String::new(),
        }
    }
}

/// That something of a batch waits. Where its content has changed, what is left of it is to be
/// approved anew; of some nothing is left.
const WAITS: &str = "a.state in ('waiting', 'void') and (a.state = 'waiting' or exists (select 1 from totals as t \
    where t.job_id = a.job_id and t.state = 'awaiting_approval' and t.items > 0))";

/// A job's approval.
#[derive(Debug, Clone)]
pub struct ApprovalRow {
    /// Its id.
    pub id: i64,
    /// The job.
    pub job_id: i64,
    /// The job's run.
    pub run_id: i64,
    /// The workflow's name.
    pub workflow: String,
    /// The job's name in the workflow.
    pub job: String,
    /// Where it is.
    pub state: ApprovalState,
    /// Who started the run, and can never approve it.
    pub author: String,
    /// The user of the machine who did, where the author is only who they say they are.
    pub author_user: Option<String>,
    /// How many persons must approve.
    pub needed: u32,
    /// The hash that it is bound to: 64 digits.
    pub content_hash: String,
    /// How many items.
    pub items: u64,
    /// Their money: minor units by currency code.
    pub sums: Vec<(Currency, i64)>,
    /// Since when it waits.
    pub asked_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
    /// When it was decided.
    pub decided_at: Option<Timestamp>,
    /// Who has approved.
    pub votes: Vec<Vote>,
}

/// A person's approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// Who.
    pub actor: String,
    /// Who that is, whatever name was given.
    pub person: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// What a run was planned with.
#[derive(Debug, Clone)]
pub struct RunOrigin {
    /// Which firing of the workflow.
    pub occurrence: String,
    /// The workflow file.
    pub source: String,
    /// Its parameters, a JSON object.
    pub params: String,
}

/// What became of an approval or a rejection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecisionOutcome {
    /// So many items are planned now, due at once.
    Released(u64),
    /// It counts; so many of the needed persons have approved.
    Counted {
        /// By now.
        given: u32,
        /// In all.
        needed: u32,
    },
    /// So many items are cancelled.
    Withdrawn(u64),
    /// It had been released, and nothing more of it is sent: what was not sent is cancelled, and
    /// what may be under way is withdrawn.
    Revoked {
        /// So many items are cancelled.
        cancelled: u64,
        /// So many may be under way: they are asked about, and nothing more of them is sent.
        under_way: u64,
    },
    /// The author of a batch cannot approve it, nor can payrun.
    OwnBatch,
    /// The author is known by a token and this person by the machine's user, or the other way
    /// round: they may be one.
    Incomparable,
    /// This person has approved it before.
    VotedBefore,
    /// The rows are not what was to be approved: it is void.
    Changed,
    /// It is not what the person was shown.
    NotAsShown,
    /// It is in this state, which allows nothing of the kind.
    NotWaiting(ApprovalState),
    /// There is no such approval.
    NoSuchApproval,
}

const COLUMNS: &str = "select a.*, j.run_id, j.name as job, r.workflow, r.author_user from approvals as a \
    join jobs as j on j.id = a.job_id join runs as r on r.id = j.run_id";

const OPERATION: &str = "deciding about a batch";

impl Ledger {
    /// Approvals from before `before` on, newest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn approvals(
        &self,
        listed: ListedApprovals,
        before: i64,
        limit: u32,
    ) -> Result<Vec<ApprovalRow>, LedgerError> {
        let condition = listed.condition();
        let query = format!("{COLUMNS} where a.id < $1 {condition} order by a.id desc limit $2");
        self.approval_rows(query, before, i64::from(limit)).await
    }

    /// The approvals of a run's jobs, in their order.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn approvals_of_run(&self, run_id: i64) -> Result<Vec<ApprovalRow>, LedgerError> {
        let query = format!("{COLUMNS} where j.run_id = $1 order by a.id limit $2");
        self.approval_rows(query, run_id, LISTED).await
    }

    /// What a run was planned with, if there is such a run.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn origin_of(&self, run_id: i64) -> Result<Option<RunOrigin>, LedgerError> {
        let failed = |source| LedgerError::of("reading a run", source);
        let query =
            sqlx::query("select occurrence, source, params from runs where id = $1").bind(run_id);
        let row = query.fetch_optional(&self.read).await.map_err(failed)?;
        let origin = |row: &AnyRow| {
            Ok(RunOrigin {
                occurrence: row.try_get(0)?,
                source: row.try_get(1)?,
                params: row.try_get(2)?,
            })
        };
        row.as_ref().map(origin).transpose().map_err(failed)
    }

    async fn approval_rows(
        &self,
        query: String,
        one: i64,
        two: i64,
    ) -> Result<Vec<ApprovalRow>, LedgerError> {
        let failed = |source| LedgerError::of("listing approvals", source);
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).bind(one).bind(two);
        let rows = rows.fetch_all(&self.read).await.map_err(failed)?;
        let mut approvals = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut approval = approval_row(row)?;
            let votes = "select actor, person, at, reason from approval_votes where approval_id = $1 order by at, person limit 100";
            let votes = sqlx::query(votes)
                .bind(approval.id)
                .fetch_all(&self.read)
                .await
                .map_err(failed)?;
            approval.votes = votes
                .iter()
                .map(vote)
                .collect::<Result<_, _>>()
                .map_err(failed)?;
            approvals.push(approval);
        }
        Ok(approvals)
    }

    /// Counts a person's approval; the last that is needed releases the items. `shown`: the hash of
    /// what the person looked at.
    ///
    /// # Errors
    /// Whatever the database says; then nothing has changed.
    pub async fn approve(
        &self,
        approval_id: i64,
        shown: Option<&str>,
        by: &Authorization,
        now: Timestamp,
    ) -> Result<DecisionOutcome, LedgerError> {
        let mut tx = self.begin_write(OPERATION).await?;
        let decided = approve(&mut tx, approval_id, shown, by, now).await?;
        self.end(tx, &decided).await?;
        Ok(decided)
    }

    /// Withdraws a batch that waits: by a person, whoever it is.
    ///
    /// # Errors
    /// Whatever the database says; then nothing has changed.
    pub async fn reject(
        &self,
        approval_id: i64,
        by: &Authorization,
        now: Timestamp,
    ) -> Result<DecisionOutcome, LedgerError> {
        let mut tx = self.begin_write(OPERATION).await?;
        let decided = withdraw(&mut tx, approval_id, &Event::Reject, by, now).await?;
        self.end(tx, &decided).await?;
        Ok(decided)
    }

    /// Revokes the approval of a batch that was released: from this commit on nothing of it is
    /// claimed to be sent. False if it was revoked before.
    ///
    /// # Errors
    /// Whatever the database says; then nothing has changed.
    pub async fn revoke_approval(
        &self,
        approval_id: i64,
        by: &Authorization,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let mut tx = self.begin_write(OPERATION).await?;
        let approval = read(&mut tx, approval_id).await?;
        let Some(approval) = approval.filter(|known| known.state == ApprovalState::Approved) else {
            tx.rollback().await?;
            return Ok(false);
        };
        decide_as(&mut tx, approval_id, ApprovalState::Revoked, now).await?;
        let after = json!({ "state": ApprovalState::Revoked.as_str() });
        tx.note(note(&approval, "approval.reject", by, after, now))
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Withdraws what nobody approved in time; says how many batches.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn expire_approvals(
        &self,
        by: &Authorization,
        now: Timestamp,
    ) -> Result<u64, LedgerError> {
        let query = "select id from approvals where state in ('waiting', 'void') and expires_at <= $1 order by id limit 100";
        // Looked at often, and hardly ever to be done: looking takes no write lock.
        let over: Vec<i64> = sqlx::query_scalar(query)
            .bind(now.millis())
            .fetch_all(&self.read)
            .await
            .map_err(|source| LedgerError::of(OPERATION, source))?;
        let mut expired = 0;
        for id in over {
            let mut tx = self.begin_write(OPERATION).await?;
            let decided = withdraw(&mut tx, id, &Event::Expire, by, now).await?;
            expired += u64::from(matches!(decided, DecisionOutcome::Withdrawn(_)));
            self.end(tx, &decided).await?;
        }
        Ok(expired)
    }

    async fn end(&self, tx: WriteTx, decided: &DecisionOutcome) -> Result<(), LedgerError> {
        match decided {
            DecisionOutcome::Released(_) | DecisionOutcome::Withdrawn(_) => {
                tx.commit_and_tell().await?;
                self.woken.notify_waiters();
                Ok(())
            }
            DecisionOutcome::Counted { .. } | DecisionOutcome::Changed => tx.commit().await,
            DecisionOutcome::OwnBatch
            | DecisionOutcome::Incomparable
            | DecisionOutcome::VotedBefore
            | DecisionOutcome::NotAsShown
            | DecisionOutcome::NotWaiting(_)
            | DecisionOutcome::Revoked { .. }
            | DecisionOutcome::NoSuchApproval => tx.rollback().await,
        }
    }
}

async fn approve(
    tx: &mut WriteTx,
    id: i64,
    shown: Option<&str>,
    by: &Authorization,
    now: Timestamp,
) -> Result<DecisionOutcome, LedgerError> {
    let failed = |source| LedgerError::of(OPERATION, source);
    let Some(approval) = read(tx, id).await? else {
        return Ok(DecisionOutcome::NoSuchApproval);
    };
    if approval.state != ApprovalState::Waiting {
        return Ok(DecisionOutcome::NotWaiting(approval.state));
    }
    if approval.expires_at <= now {
        return Ok(DecisionOutcome::NotWaiting(ApprovalState::Expired));
    }
    let right = right(&by.actor, &approval.author, approval.author_user.as_deref());
    #[cfg(feature = "mutation")]
    let right = crate::mutation::approval_right(right);
    match right {
        ApprovalRight::Own => return Ok(DecisionOutcome::OwnBatch),
        ApprovalRight::Incomparable => return Ok(DecisionOutcome::Incomparable),
        ApprovalRight::Approves => {}
    }
    if shown.is_some_and(|shown| shown != approval.content_hash) {
        return Ok(DecisionOutcome::NotAsShown);
    }
    if contents(tx, approval.job_id)
        .await?
        .content_hash()
        .to_string()
        != approval.content_hash
    {
        void_stale_approval(tx, approval.job_id).await?;
        let after = json!({ "state": "void" });
        tx.note(note(&approval, "approval.void", by, after, now))
            .await?;
        return Ok(DecisionOutcome::Changed);
    }
    let given = 1 + votes(tx, id).await?;
    let released = given >= approval.needed;
    let mut after =
        json!({ "content_hash": approval.content_hash, "given": given, "needed": approval.needed });
    if released {
        after["released"] = json!(approval.items);
    }
    let audit = tx
        .note(note(&approval, "approval.approve", by, after, now))
        .await?;
    let insert = "insert into approval_votes (approval_id, person, actor, at, reason, audit) values ($1, $2, $3, $4, $5, $6) \
                  on conflict do nothing";
    let voted = sqlx::query(insert)
        .bind(id)
        .bind(by.actor.identity())
        .bind(by.actor.name())
        .bind(now.millis())
        .bind(by.reason.as_str())
        .bind(audit)
        .execute(tx.connection())
        .await
        .map_err(failed)?;
    if voted.rows_affected() == 0 {
        return Ok(DecisionOutcome::VotedBefore);
    }
    if !released {
        return Ok(DecisionOutcome::Counted {
            given,
            needed: approval.needed,
        });
    }
    let items = move_awaiting(
        tx,
        approval.job_id,
        &Event::Approve,
        &Message::new("approved-by", "approved by {who}").with("who", by.words()),
        now,
    )
    .await?;
    decide_as(tx, id, ApprovalState::Approved, now).await?;
    Ok(DecisionOutcome::Released(items))
}

async fn votes(tx: &mut WriteTx, id: i64) -> Result<u32, LedgerError> {
    let query = "select count(*) from approval_votes where approval_id = $1";
    let given: i64 = sqlx::query_scalar(query)
        .bind(id)
        .fetch_one(tx.connection())
        .await
        .map_err(|source| LedgerError::of(OPERATION, source))?;
    Ok(u32::try_from(given).unwrap_or(u32::MAX - 1))
}

async fn withdraw(
    tx: &mut WriteTx,
    id: i64,
    event: &Event,
    by: &Authorization,
    now: Timestamp,
) -> Result<DecisionOutcome, LedgerError> {
    let Some(approval) = read(tx, id).await? else {
        return Ok(DecisionOutcome::NoSuchApproval);
    };
    if !approval.state.is_open() {
        return Ok(DecisionOutcome::NotWaiting(approval.state));
    }
    let (state, action, why) = if *event == Event::Expire {
        (
            ApprovalState::Expired,
            "approval.expire",
            Message::new("batch-expired", "nobody approved the batch in time"),
        )
    } else {
        (
            ApprovalState::Rejected,
            "approval.reject",
            Message::new("batch-rejected-by", "the batch was rejected by {who}")
                .with("who", by.words()),
        )
    };
    let items = move_awaiting(tx, approval.job_id, event, &why, now).await?;
    decide_as(tx, id, state, now).await?;
    tx.note(note(
        &approval,
        action,
        by,
        json!({ "state": state.as_str(), "withdrawn": items }),
        now,
    ))
    .await?;
    Ok(DecisionOutcome::Withdrawn(items))
}

fn note<'a>(
    approval: &ApprovalRow,
    action: &'static str,
    by: &'a Authorization,
    after: serde_json::Value,
    at: Timestamp,
) -> NewAuditEntry<'a> {
    let minor: BTreeMap<&str, i64> = approval
        .sums
        .iter()
        .map(|(currency, minor)| (currency.code(), *minor))
        .collect();
    let before =
        json!({ "state": approval.state.as_str(), "items": approval.items, "minor": minor });
    NewAuditEntry {
        by,
        action,
        target: format!("run {} job {}", approval.run_id, approval.job),
        before,
        after,
        at,
    }
}

async fn read(tx: &mut WriteTx, id: i64) -> Result<Option<ApprovalRow>, LedgerError> {
    let query = sqlx::AssertSqlSafe(format!("{COLUMNS} where a.id = $1"));
    let row = sqlx::query(query)
        .bind(id)
        .fetch_optional(tx.connection())
        .await;
    row.map_err(|source| LedgerError::of(OPERATION, source))?
        .as_ref()
        .map(approval_row)
        .transpose()
}

async fn decide_as(
    tx: &mut WriteTx,
    id: i64,
    state: ApprovalState,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let query = "update approvals set state = $2, decided_at = $3 where id = $1";
    let done = sqlx::query(query)
        .bind(id)
        .bind(state.as_str())
        .bind(now.millis())
        .execute(tx.connection())
        .await;
    done.map(|_| ())
        .map_err(|source| LedgerError::of(OPERATION, source))
}

/// An approval that still waits is for other rows than these.
pub(crate) async fn void_stale_approval(tx: &mut WriteTx, job_id: i64) -> Result<(), LedgerError> {
    let query = "update approvals set state = 'void' where job_id = $1 and state = 'waiting'";
    let done = sqlx::query(query)
        .bind(job_id)
        .execute(tx.connection())
        .await;
    done.map(|_| ())
        .map_err(|source| LedgerError::of(OPERATION, source))
}

fn approval_row(row: &AnyRow) -> Result<ApprovalRow, LedgerError> {
    let failed = |source| LedgerError::of("reading an approval", source);
    let instant = |name: &str| {
        row.try_get::<i64, _>(name)
            .map(Timestamp::from_millis)
            .map_err(failed)
    };
    let id: i64 = row.try_get("id").map_err(failed)?;
    let corrupt = |column| LedgerError::corrupt("approvals", id, column);
    let word: &str = row.try_get("state").map_err(failed)?;
    let (needed, items): (i64, i64) = (
        row.try_get("needed").map_err(failed)?,
        row.try_get("items").map_err(failed)?,
    );
    Ok(ApprovalRow {
        id,
        job_id: row.try_get("job_id").map_err(failed)?,
        run_id: row.try_get("run_id").map_err(failed)?,
        workflow: row.try_get("workflow").map_err(failed)?,
        job: row.try_get("job").map_err(failed)?,
        state: ApprovalState::ALL
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or_else(|| corrupt("state"))?,
        author: row.try_get("author").map_err(failed)?,
        author_user: row.try_get("author_user").map_err(failed)?,
        needed: u32::try_from(needed).map_err(|_| corrupt("needed"))?,
        content_hash: row.try_get("content_hash").map_err(failed)?,
        items: u64::try_from(items).map_err(|_| corrupt("items"))?,
        sums: sums(row.try_get("sums").map_err(failed)?).ok_or_else(|| corrupt("sums"))?,
        asked_at: instant("asked_at")?,
        expires_at: instant("expires_at")?,
        decided_at: row
            .try_get::<Option<i64>, _>("decided_at")
            .map_err(failed)?
            .map(Timestamp::from_millis),
        votes: Vec::new(),
    })
}

/// Minor units by currency, in the order of their codes.
fn sums(text: &str) -> Option<Vec<(Currency, i64)>> {
    let sums: BTreeMap<String, i64> = serde_json::from_str(text).ok()?;
    sums.into_iter()
        .map(|(code, minor)| Some((Currency::parse(&code).ok()?, minor)))
        .collect()
}

fn vote(row: &AnyRow) -> Result<Vote, sqlx::Error> {
    let at = row.try_get("at").map(Timestamp::from_millis)?;
    Ok(Vote {
        actor: row.try_get("actor")?,
        person: row.try_get("person")?,
        at,
        reason: row.try_get("reason")?,
    })
}
