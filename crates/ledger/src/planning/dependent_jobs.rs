//! Jobs that are planned after their run: those they take their items from have to end first.

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::run_withdrawal::withdrawn_by;
use crate::planning::plan::PlanWriter;
use payrun_domain::time::Timestamp;

/// A job whose items can be planned now, and what its run was planned with.
#[derive(Debug, Clone)]
pub struct DependentJob {
    /// The job.
    pub id: i64,
    /// Its name in the workflow.
    pub name: String,
    /// Its run.
    pub run_id: i64,
    /// Which firing of the workflow.
    pub occurrence: String,
    /// The workflow file as it was planned.
    pub source: String,
    /// The run's parameters, a JSON object.
    pub params: String,
    /// The instant the run is for.
    pub at: Timestamp,
    /// The wall clock of `at`.
    pub timezone: String,
}

impl Ledger {
    /// Jobs that have started and are not planned: those they take their items from have ended.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn jobs_to_plan(&self) -> Result<Vec<DependentJob>, LedgerError> {
        let failed = |source| LedgerError::of("looking for jobs to plan", source);
        let query = "select j.id, j.name, j.run_id, r.occurrence, r.source, r.params, coalesce(r.at, r.started_at) as at, \
                     coalesce(r.timezone, 'UTC') as timezone from jobs as j join runs as r on r.id = j.run_id \
                     where j.planned = 0 and j.started = 1 and j.finished_at is null order by j.run_id limit 100";
        let rows = sqlx::query(query)
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        let late = |row: &AnyRow| {
            Ok(DependentJob {
                id: row.try_get("id")?,
                name: row.try_get("name")?,
                run_id: row.try_get("run_id")?,
                occurrence: row.try_get("occurrence")?,
                source: row.try_get("source")?,
                params: row.try_get("params")?,
                at: Timestamp::from_millis(row.try_get("at")?),
                timezone: row.try_get("timezone")?,
            })
        };
        rows.iter()
            .map(late)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    /// Begins to plan a job of a run that was planned before; none if somebody else has done it
    /// meanwhile. One of a run that was withdrawn says so, and gets no items.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn plan_dependents(
        &self,
        job: &DependentJob,
        now: Timestamp,
    ) -> Result<Option<PlanWriter>, LedgerError> {
        let failed = |source| LedgerError::of("beginning to plan a job", source);
        let mut tx = WriteTx::take_long(&self.write, "planning a job").await?;
        // Whoever else is at it holds the row until its plan has ended.
        let mine =
            sqlx::query("update jobs set planned = 0 where id = $1 and planned = 0").bind(job.id);
        if mine
            .execute(tx.connection())
            .await
            .map_err(failed)?
            .rows_affected()
            == 0
        {
            tx.rollback().await?;
            return Ok(None);
        }
        let withdrawn_by = withdrawn_by(tx.connection(), job.run_id).await?;
        let mut planning = PlanWriter::new(self, Some(tx), job.run_id, now);
        planning.withdrawn_by = withdrawn_by;
        Ok(Some(planning))
    }
}
