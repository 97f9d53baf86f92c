//! Jobs and runs that come to their end.

use crate::Ledger;
use crate::error::LedgerError;
use crate::reports::report_queue::runs_ended;
use payrun_domain::time::Timestamp;

const FINISH_JOBS: &str = "\
    update jobs set finished_at = $1 where finished_at is null and started = 1 and planned = 1 and not exists \
      (select 1 from totals as t where t.job_id = jobs.id and t.items > 0 \
         and t.state in ('awaiting_approval', 'planned', 'sending', 'pending', 'unknown'))";

/// What was stopped of a job that has ended is no longer stopped.
const OPEN_ENDED: &str = "\
    delete from lanes where name like '%/%/%' and author is null and exists \
      (select 1 from jobs as j where j.finished_at is not null and j.lane || '/' || j.kind || '/' || j.id = lanes.name)";

const START_JOBS: &str = "\
    update jobs set started = 1 where finished_at is null and started = 0 and not exists \
      (select 1 from json_each(jobs.needs) as n join jobs as d on d.run_id = jobs.run_id and d.name = n.atom \
         where d.finished_at is null)";

const FINISH_RUNS: &str = "\
    update runs set finished_at = $1 where finished_at is null and not exists \
      (select 1 from jobs as j where j.run_id = runs.id and j.finished_at is null)";

/// Whether there is anything to end or to start.
const ADVANCEABLE: &str = include_str!("advanceable.sql");

impl Ledger {
    /// Ends jobs without open items, starts the jobs that needed them, and ends runs without open
    /// jobs.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn advance(&self, now: Timestamp) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of("ending jobs", source);
        // Asked many times for each time that there is something: looking takes no write lock.
        let is_idle = sqlx::query(ADVANCEABLE)
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?
            .is_none();
        #[cfg(feature = "mutation")]
        let is_idle = crate::mutation::is_idle(is_idle);
        if is_idle {
            return Ok(());
        }
        let mut tx = self.begin_write("ending jobs").await?;
        let (mut changed, mut woken) = (0, 0);
        loop {
            #[cfg(feature = "mutation")]
            crate::mutation::end_jobs(&mut tx, now).await?;
            let ended = sqlx::query(FINISH_JOBS)
                .bind(now.millis())
                .execute(tx.connection())
                .await
                .map_err(failed)?;
            if ended.rows_affected() > 0 {
                sqlx::query(OPEN_ENDED)
                    .execute(tx.connection())
                    .await
                    .map_err(failed)?;
            }
            let started = sqlx::query(START_JOBS)
                .execute(tx.connection())
                .await
                .map_err(failed)?;
            let runs = sqlx::query(FINISH_RUNS)
                .bind(now.millis())
                .execute(tx.connection())
                .await
                .map_err(failed)?;
            if runs.rows_affected() > 0 {
                runs_ended(&mut tx, now).await?;
            }
            changed += ended.rows_affected() + started.rows_affected() + runs.rows_affected();
            woken += started.rows_affected();
            if ended.rows_affected() + started.rows_affected() == 0 {
                break;
            }
        }
        if changed == 0 {
            return tx.rollback().await;
        }
        tx.commit_and_tell().await?;
        if woken > 0 {
            self.woken.notify_waiters();
        }
        Ok(())
    }

    /// Whether a call of this run is under way whose lease ends between two instants: a question
    /// keeps the state of what it asks about, so that states alone do not tell.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn is_under_way(
        &self,
        run_id: i64,
        after: Timestamp,
        until: Timestamp,
    ) -> Result<bool, LedgerError> {
        let query = "select i.id from jobs as j join items as i on i.job_id = j.id where j.run_id = $1 \
                     and j.finished_at is null and i.lease_until > $2 and i.lease_until <= $3 limit 1";
        let found = sqlx::query(query)
            .bind(run_id)
            .bind(after.millis())
            .bind(until.millis());
        let found = found.fetch_optional(&self.read).await;
        found
            .map(|row| row.is_some())
            .map_err(|source| LedgerError::of("looking for calls under way", source))
    }
}
