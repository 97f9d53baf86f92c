//! The switches of lanes: closed by payrun when an account refuses us, suspended by a person, and slowed
//! by a person.
//!
//! What payrun stopped sends nothing, and still asks about what was sent. What a person suspends
//! claims nothing at all, not even for a query, and only a person releases it.

use std::time::Duration;

use serde_json::json;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::audit::NewAuditEntry;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use payrun_domain::actor::Authorization;
use payrun_domain::policy::Rate;
use payrun_domain::time::Timestamp;

/// The switch of a gateway account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneState {
    /// Calls go out.
    Open,
    /// Nothing goes out, not even queries, for a while or until a person releases it.
    Suspended,
    /// Nothing is sent until a person has mended something; what was sent is asked about.
    Stopped,
}

impl LaneState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Open, Self::Suspended, Self::Stopped];

    /// The word for this state, as the ledger spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Suspended => "suspended",
            Self::Stopped => "stopped",
        }
    }

    /// The state of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// A gateway account as the ledger knows it.
#[derive(Debug, Clone)]
pub struct LaneRow {
    /// Its name, or `LANE/KIND` where one kind of job is meant, or `LANE/KIND/JOB` where one job
    /// is.
    pub name: String,
    /// Whether calls go out.
    pub state: LaneState,
    /// Why not.
    pub reason: Option<String>,
    /// Until when.
    pub until: Option<Timestamp>,
    /// The person who suspended it; none where payrun closed it.
    pub author: Option<String>,
}

/// Which job is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobName {
    /// Its run.
    pub run_id: i64,
    /// Its name in the workflow.
    pub name: String,
}

/// How slow a lane goes by a person's word; never faster than `payrun.yaml` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaneLimits {
    /// How many calls.
    pub rate: Option<Rate>,
    /// How many at once, in each process.
    pub concurrency: Option<u32>,
}

/// A lane's limits, and who set them.
#[derive(Debug, Clone)]
pub struct LimitRow {
    /// The lane.
    pub name: String,
    /// The limits.
    pub limits: LaneLimits,
    /// Who set them.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl Ledger {
    /// Closes a lane, a kind of job on it or one job: nothing is sent from it until `until`, or
    /// until it is released. Says whether that is news. What a person suspended stays as it is
    /// until they release it.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn close_lane(
        &self,
        name: &str,
        state: LaneState,
        reason: &str,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let mut tx = self.begin_write("closing a lane").await?;
        let closed = sqlx::query(include_str!("close_lane.sql"))
            .bind(name)
            .bind(state.as_str())
            .bind(reason)
            .bind(until.map(Timestamp::millis))
            .bind(now.millis())
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of("closing a lane", source))?;
        tx.commit().await?;
        Ok(closed.rows_affected() > 0)
    }

    /// A job of which nothing has succeeded, nor was taken by the gateway: its run and its name.
    /// None of any other.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn job_without_success(&self, job_id: i64) -> Result<Option<JobName>, LedgerError> {
        let failed =
            |source| LedgerError::of("looking whether anything of a job went well", source);
        let query = "select j.run_id, j.name from jobs as j where j.id = $1 and not exists (select 1 from totals as t \
                       where t.job_id = j.id and t.items > 0 and t.state in ('succeeded', 'pending'))";
        let row = sqlx::query(query)
            .bind(job_id)
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?;
        let of = |row: &AnyRow| {
            Ok(JobName {
                run_id: row.try_get(0)?,
                name: row.try_get(1)?,
            })
        };
        row.as_ref().map(of).transpose().map_err(failed)
    }

    /// Whether there is a job of this number on a lane of one kind (`GATEWAY/KIND`).
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn has_job_on(&self, lane: &str, job_id: i64) -> Result<bool, LedgerError> {
        let query = sqlx::query("select id from jobs where id = $1 and lane || '/' || kind = $2");
        let found = query
            .bind(job_id)
            .bind(lane)
            .fetch_optional(&self.read)
            .await;
        found
            .map(|row| row.is_some())
            .map_err(|source| LedgerError::of("looking for a job", source))
    }

    /// Opens a lane again that payrun closed; what a person suspended stays so.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn release_lane(&self, name: &str) -> Result<bool, LedgerError> {
        let mut tx = self.begin_write("releasing a lane").await?;
        let released = sqlx::query("delete from lanes where name = $1 and author is null")
            .bind(name)
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of("releasing a lane", source))?;
        tx.commit_and_tell().await?;
        self.woken.notify_waiters();
        Ok(released.rows_affected() > 0)
    }

    /// Opens one kind of job of a lane again for which our balance was too small, since it was
    /// large enough for one item.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn end_trial(&self, name: &str, now: Timestamp) -> Result<(), LedgerError> {
        let mut tx = self.begin_write("opening a lane").await?;
        let ended = "delete from lanes where name = $1 and state = 'suspended' and author is null and until <= $2";
        let ended = sqlx::query(ended)
            .bind(name)
            .bind(now.millis())
            .execute(tx.connection())
            .await;
        ended.map_err(|source| LedgerError::of("opening a lane", source))?;
        tx.commit_and_tell().await?;
        self.woken.notify_waiters();
        Ok(())
    }

    /// Suspends a lane by a person's word, whatever it was before: nothing is claimed from it, not
    /// even to ask.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn suspend_lane(
        &self,
        name: &str,
        until: Option<Timestamp>,
        by: &Authorization,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let mut tx = self.begin_write("suspending a lane").await?;
        let before = lane(&mut tx, name).await?;
        sqlx::query(
            "insert into lanes (name, state, reason, until, author) values ($1, 'suspended', $2, $3, $4) \
             on conflict (name) do update set state = excluded.state, reason = excluded.reason, until = excluded.until, \
               author = excluded.author",
        )
        .bind(name)
        .bind(by.reason.as_str())
        .bind(until.map(Timestamp::millis))
        .bind(by.actor.name())
        .execute(tx.connection())
        .await
        .map_err(|source| LedgerError::of("suspending a lane", source))?;
        let after = json!({ "state": "suspended", "until": until.map(|until| until.to_string()) });
        let note = NewAuditEntry {
            by,
            action: "lane.suspend",
            target: target(name),
            before: shown(before.as_ref()),
            after,
            at: now,
        };
        tx.note(note).await?;
        tx.commit().await
    }

    /// Opens a lane by a person's word, whoever closed it; false if it was open.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn open_lane(
        &self,
        name: &str,
        by: &Authorization,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let mut tx = self.begin_write("releasing a lane").await?;
        let Some(before) = lane(&mut tx, name).await? else {
            tx.rollback().await?;
            return Ok(false);
        };
        let delete = sqlx::query("delete from lanes where name = $1")
            .bind(name)
            .execute(tx.connection())
            .await;
        delete.map_err(|source| LedgerError::of("releasing a lane", source))?;
        let after = json!({ "state": "open" });
        let note = NewAuditEntry {
            by,
            action: "lane.release",
            target: target(name),
            before: shown(Some(&before)),
            after,
            at: now,
        };
        tx.note(note).await?;
        tx.commit_and_tell().await?;
        self.woken.notify_waiters();
        Ok(true)
    }

    /// The lanes that are not open.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn closed_lanes(&self, now: Timestamp) -> Result<Vec<LaneRow>, LedgerError> {
        let query = "select name, state, reason, until, author from lanes \
                     where state <> 'open' and (until is null or until > $1) order by name limit 1000";
        let rows = sqlx::query(query)
            .bind(now.millis())
            .fetch_all(&self.read)
            .await;
        rows.map_err(|source| LedgerError::of("listing lanes", source))?
            .iter()
            .map(lane_row)
            .collect()
    }

    /// Slows a lane, or, without limits, lets it go as fast as `payrun.yaml` says. All nodes take
    /// it up with their next claim.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn limit_lane(
        &self,
        name: &str,
        limits: LaneLimits,
        by: &Authorization,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of("changing the limits of a lane", source);
        let mut tx = self.begin_write("changing the limits of a lane").await?;
        let query = "select * from lane_limits where name = $1";
        let row = sqlx::query(query)
            .bind(name)
            .fetch_optional(tx.connection())
            .await
            .map_err(failed)?;
        let before = row
            .as_ref()
            .map(limit_row)
            .transpose()?
            .map(|row| row.limits)
            .unwrap_or_default();
        let (target, before, after) = (target(name), limits_shown(before), limits_shown(limits));
        let audit = tx
            .note(NewAuditEntry {
                by,
                action: "lane.limit",
                target,
                before,
                after,
                at: now,
            })
            .await?;
        let delete = sqlx::query("delete from lane_limits where name = $1").bind(name);
        delete.execute(tx.connection()).await.map_err(failed)?;
        if limits != LaneLimits::default() {
            let insert = "insert into lane_limits (name, rate_calls, rate_per, concurrency, at, actor, reason, audit) \
                          values ($1, $2, $3, $4, $5, $6, $7, $8)";
            sqlx::query(insert)
                .bind(name)
                .bind(limits.rate.map(|rate| i64::from(rate.calls)))
                .bind(
                    limits
                        .rate
                        .map(|rate| i64::try_from(rate.per.as_millis()).unwrap_or(i64::MAX)),
                )
                .bind(limits.concurrency.map(i64::from))
                .bind(now.millis())
                .bind(by.actor.name())
                .bind(by.reason.as_str())
                .bind(audit)
                .execute(tx.connection())
                .await
                .map_err(failed)?;
        }
        tx.commit_and_tell().await?;
        self.woken.notify_waiters();
        Ok(())
    }

    /// The lanes that go slower by a person's word.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn limited_lanes(&self) -> Result<Vec<LimitRow>, LedgerError> {
        let rows = sqlx::query("select * from lane_limits order by name limit 1000")
            .fetch_all(&self.read)
            .await;
        rows.map_err(|source| LedgerError::of("reading the limits of lanes", source))?
            .iter()
            .map(limit_row)
            .collect()
    }

    /// The limits of one lane.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn lane_limits(&self, name: &str) -> Result<LaneLimits, LedgerError> {
        let row = sqlx::query("select * from lane_limits where name = $1")
            .bind(name)
            .fetch_optional(&self.read)
            .await;
        let row = row.map_err(|source| LedgerError::of("reading the limits of a lane", source))?;
        Ok(row
            .as_ref()
            .map(limit_row)
            .transpose()?
            .map(|row| row.limits)
            .unwrap_or_default())
    }
}

/// The rate of a lane as two columns hold it, where they hold one.
pub(crate) fn rate_of(
    lane: &str,
    calls: Option<i64>,
    per: Option<i64>,
) -> Result<Option<Rate>, LedgerError> {
    let corrupt = |column| LedgerError::corrupt("lane_limits", lane, column);
    let (Some(calls), Some(per)) = (calls, per) else {
        return match (calls, per) {
            (None, None) => Ok(None),
            (_, _) => Err(corrupt("rate_per")),
        };
    };
    Ok(Some(Rate {
        calls: u32::try_from(calls).map_err(|_| corrupt("rate_calls"))?,
        per: Duration::from_millis(u64::try_from(per).map_err(|_| corrupt("rate_per"))?),
    }))
}

async fn lane(tx: &mut WriteTx, name: &str) -> Result<Option<LaneRow>, LedgerError> {
    let query = "select name, state, reason, until, author from lanes where name = $1";
    let row = sqlx::query(query)
        .bind(name)
        .fetch_optional(tx.connection())
        .await;
    row.map_err(|source| LedgerError::of("reading a lane", source))?
        .as_ref()
        .map(lane_row)
        .transpose()
}

fn lane_row(row: &AnyRow) -> Result<LaneRow, LedgerError> {
    let failed = |source| LedgerError::of("listing lanes", source);
    let word: &str = row.try_get("state").map_err(failed)?;
    let name: String = row.try_get("name").map_err(failed)?;
    let state = LaneState::parse(word).ok_or_else(|| LedgerError::corrupt("lanes", &name, "state"));
    Ok(LaneRow {
        state: state?,
        name,
        reason: row.try_get("reason").map_err(failed)?,
        until: row
            .try_get::<Option<i64>, _>("until")
            .map_err(failed)?
            .map(Timestamp::from_millis),
        author: row.try_get("author").map_err(failed)?,
    })
}

fn limit_row(row: &AnyRow) -> Result<LimitRow, LedgerError> {
    let failed = |source| LedgerError::of("reading the limits of a lane", source);
    let name: String = row.try_get("name").map_err(failed)?;
    let concurrency: Option<i64> = row.try_get("concurrency").map_err(failed)?;
    let concurrency = concurrency
        .map(u32::try_from)
        .transpose()
        .map_err(|_| LedgerError::corrupt("lane_limits", &name, "concurrency"))?;
    let rate = rate_of(
        &name,
        row.try_get("rate_calls").map_err(failed)?,
        row.try_get("rate_per").map_err(failed)?,
    )?;
    Ok(LimitRow {
        name,
        limits: LaneLimits { rate, concurrency },
        actor: row.try_get("actor").map_err(failed)?,
        reason: row.try_get("reason").map_err(failed)?,
        at: row
            .try_get("at")
            .map(Timestamp::from_millis)
            .map_err(failed)?,
    })
}

fn target(name: &str) -> String {
    format!("lane {name}")
}

fn shown(lane: Option<&LaneRow>) -> serde_json::Value {
    lane.map_or_else(
        || json!({ "state": "open" }),
        |lane| {
            let until = lane.until.map(|until| until.to_string());
            json!({ "state": lane.state.as_str(), "until": until, "reason": lane.reason, "by": lane.author })
        },
    )
}

fn limits_shown(limits: LaneLimits) -> serde_json::Value {
    json!({ "rate": limits.rate.map(|rate| rate.to_string()), "concurrency": limits.concurrency })
}
