//! Jobs and runs that come to their end, and the pause switches of lanes.

use sqlx::{AssertSqlSafe, Row};

use super::Ledger;
use super::error::LedgerError;
use super::read::{LaneRow, LaneState};
use crate::domain::time::Timestamp;
use crate::planted::{Bug, is};

const FINISH_JOBS: &str = "\
    update jobs set finished_at = $1 where finished_at is null and started = 1 and planned = 1 and not exists \
      (select 1 from totals as t where t.job_id = jobs.id and t.items > 0 \
         and t.state in ('planned', 'sending', 'pending', 'unknown'))";

const START_JOBS: &str = "\
    update jobs set started = 1 where finished_at is null and started = 0 and not exists \
      (select 1 from json_each(jobs.needs) as n join jobs as d on d.run_id = jobs.run_id and d.name = n.atom \
         where d.finished_at is null)";

const FINISH_RUNS: &str = "\
    update runs set finished_at = $1 where finished_at is null and not exists \
      (select 1 from jobs as j where j.run_id = runs.id and j.finished_at is null)";

/// Whether there is anything to end or to start.
const ADVANCEABLE: &str = "\
    select 1 as one from jobs where finished_at is null and ((started = 1 and planned = 1 and not exists \
      (select 1 from totals as t where t.job_id = jobs.id and t.items > 0 \
         and t.state in ('planned', 'sending', 'pending', 'unknown'))) \
      or (started = 0 and not exists (select 1 from json_each(jobs.needs) as n \
         join jobs as d on d.run_id = jobs.run_id and d.name = n.atom where d.finished_at is null))) \
    union all select 1 from runs where finished_at is null and not exists \
      (select 1 from jobs as j where j.run_id = runs.id and j.finished_at is null) limit 1";

impl Ledger {
    /// Ends jobs without open items, starts the jobs that needed them, and ends runs without open jobs.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn advance(&self, now: Timestamp) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of("ending jobs", source);
        // Asked many times for each time that there is something: looking takes no turn.
        let looks = !is(Bug::EndsWithUnknown);
        if looks && sqlx::query(ADVANCEABLE).fetch_optional(&self.read).await.map_err(failed)?.is_none() {
            return Ok(());
        }
        let mut turn = self.turn("ending jobs").await?;
        let (mut changed, mut woken) = (0, 0);
        loop {
            let finish =
                if is(Bug::EndsWithUnknown) { FINISH_JOBS.replace(", 'unknown'", "") } else { FINISH_JOBS.to_owned() };
            let ended = sqlx::query(AssertSqlSafe(finish))
                .bind(now.millis())
                .execute(turn.connection())
                .await
                .map_err(failed)?;
            let started = sqlx::query(START_JOBS).execute(turn.connection()).await.map_err(failed)?;
            let runs = sqlx::query(FINISH_RUNS).bind(now.millis()).execute(turn.connection()).await.map_err(failed)?;
            changed += ended.rows_affected() + started.rows_affected() + runs.rows_affected();
            woken += started.rows_affected();
            if ended.rows_affected() + started.rows_affected() == 0 {
                break;
            }
        }
        if changed == 0 {
            return turn.rollback().await;
        }
        turn.commit_and_tell().await?;
        if woken > 0 {
            self.woken.notify_waiters();
        }
        Ok(())
    }

    /// Whether a call of this run is under way whose lease ends between two instants: a question keeps the state of what it
    /// asks about, so that states alone do not tell.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn is_under_way(&self, run_id: i64, after: Timestamp, until: Timestamp) -> Result<bool, LedgerError> {
        let query = "select i.id from jobs as j join items as i on i.job_id = j.id where j.run_id = $1 \
                     and j.finished_at is null and i.due_at > $2 and i.due_at <= $3 and i.node is not null limit 1";
        let found = sqlx::query(query).bind(run_id).bind(after.millis()).bind(until.millis());
        let found = found.fetch_optional(&self.read).await;
        found.map(|row| row.is_some()).map_err(|source| LedgerError::of("looking for calls under way", source))
    }

    /// Closes a lane: nothing is claimed from it until `until`, or until it is released. Says whether that is news.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn close_lane(
        &self,
        name: &str,
        state: LaneState,
        reason: &str,
        until: Option<Timestamp>,
    ) -> Result<bool, LedgerError> {
        let mut turn = self.turn("closing a lane").await?;
        let closed = sqlx::query(
            "insert into lanes (name, state, reason, until) values ($1, $2, $3, $4) on conflict (name) do update set \
             state = excluded.state, reason = excluded.reason, until = excluded.until \
             where lanes.state <> excluded.state or coalesce(lanes.until, 0) < coalesce(excluded.until, 0) - 60000",
        )
        .bind(name)
        .bind(state.word())
        .bind(reason)
        .bind(until.map(Timestamp::millis))
        .execute(turn.connection())
        .await
        .map_err(|source| LedgerError::of("closing a lane", source))?;
        turn.commit().await?;
        Ok(closed.rows_affected() > 0)
    }

    /// Opens a lane again.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn release_lane(&self, name: &str) -> Result<bool, LedgerError> {
        let mut turn = self.turn("releasing a lane").await?;
        let released = sqlx::query("delete from lanes where name = $1")
            .bind(name)
            .execute(turn.connection())
            .await
            .map_err(|source| LedgerError::of("releasing a lane", source))?;
        turn.commit_and_tell().await?;
        self.woken.notify_waiters();
        Ok(released.rows_affected() > 0)
    }

    /// The lanes that are not open.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn closed_lanes(&self, now: Timestamp) -> Result<Vec<LaneRow>, LedgerError> {
        let failed = |source| LedgerError::of("listing lanes", source);
        let rows = sqlx::query(
            "select name, state, reason, until from lanes where state <> 'open' and (until is null or until > $1) limit 1000",
        )
        .bind(now.millis())
        .fetch_all(&self.read)
        .await
        .map_err(failed)?;
        rows.iter()
            .map(|row| {
                let word: &str = row.try_get(1).map_err(failed)?;
                Ok(LaneRow {
                    name: row.try_get(0).map_err(failed)?,
                    state: if word == LaneState::Stopped.word() { LaneState::Stopped } else { LaneState::Held },
                    reason: row.try_get(2).map_err(failed)?,
                    until: row.try_get::<Option<i64>, _>(3).map_err(failed)?.map(Timestamp::from_millis),
                })
            })
            .collect()
    }
}

impl LaneState {
    /// The word for this state, as the ledger spells it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Held => "held",
            Self::Stopped => "stopped",
        }
    }
}
