//! A run that is withdrawn as a whole.
//!
//! That it is stands in its row before any item is cancelled. From that commit on nothing of the run
//! is claimed to be sent, none of its later jobs is planned, and nothing is tried again; so whatever
//! an item does meanwhile, it is found and withdrawn. When none is left the withdrawal has ended, and
//! a person may have single items tried again.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use crate::Ledger;
use crate::audit::NewAuditEntry;
use crate::error::LedgerError;
use payrun_domain::actor::Authorization;
use payrun_domain::time::Timestamp;
use serde_json::json;

const OPERATION: &str = "withdrawing a run";

/// Whether the run of an item, by what a statement calls it, is being withdrawn.
macro_rules! of_withdrawn_run {
    ($item:literal) => {
        concat!(
            "exists (select 1 from jobs as j join runs as r on r.id = j.run_id where j.id = ",
            $item,
            ".job_id and r.withdrawn_at is not null and r.withdrawal_ended_at is null)"
        )
    };
}
pub(crate) use of_withdrawn_run;

/// That a run was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunWithdrawal {
    /// Who withdrew it, and why.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Since when none of its items is open that is not withdrawn; none: there may be some, of which
    /// nothing is sent.
    pub ended_at: Option<Timestamp>,
}

impl RunWithdrawal {
    /// Of a row of `runs`.
    pub(crate) fn read(row: &AnyRow) -> Result<Option<Self>, LedgerError> {
        let failed = |source| LedgerError::of("reading a run", source);
        let instant = |name: &str| {
            row.try_get::<Option<i64>, _>(name)
                .map(|at| at.map(Timestamp::from_millis))
                .map_err(failed)
        };
        let by: Option<String> = row.try_get("withdrawn_by").map_err(failed)?;
        let (at, ended_at) = (instant("withdrawn_at")?, instant("withdrawal_ended_at")?);
        Ok(by.zip(at).map(|(by, at)| Self { by, at, ended_at }))
    }
}

impl Ledger {
    /// Notes that a run is withdrawn: from this commit on nothing of it is claimed to be sent. False
    /// if nothing of it is open, or there is no such run.
    ///
    /// # Errors
    /// Whatever the database says; then nothing has changed.
    pub async fn begin_withdrawal(
        &self,
        run_id: i64,
        by: &Authorization,
        clock: impl Fn() -> Timestamp + Send,
    ) -> Result<bool, LedgerError> {
        let failed = |source| LedgerError::of(OPERATION, source);
        let mut tx = self.begin_write(OPERATION).await?;
        // What was sent while others had the writer was sent before the withdrawal.
        let now = clock();
        let known = "select withdrawn_by, withdrawn_at, withdrawal_ended_at, finished_at from runs where id = $1";
        let known = sqlx::query(known)
            .bind(run_id)
            .fetch_optional(tx.connection())
            .await
            .map_err(failed)?;
        let Some(row) = known else {
            tx.rollback().await?;
            return Ok(false);
        };
        let before = RunWithdrawal::read(&row)?;
        if before.is_some_and(|before| before.ended_at.is_none()) {
            tx.rollback().await?;
            return Ok(true);
        }
        let finished_at: Option<i64> = row.try_get("finished_at").map_err(failed)?;
        if finished_at.is_some() {
            tx.rollback().await?;
            return Ok(false);
        }
        let who = format!("{}: {}", by.actor.name(), by.reason.as_str());
        let note = "update runs set withdrawn_by = $2, withdrawn_at = $3, withdrawal_ended_at = null where id = $1";
        sqlx::query(note)
            .bind(run_id)
            .bind(who)
            .bind(now.millis())
            .execute(tx.connection())
            .await
            .map_err(failed)?;
        tx.note(NewAuditEntry {
            by,
            action: "run.withdraw",
            target: format!("run {run_id}"),
            before: json!({}),
            after: json!({ "withdrawn": true }),
            at: now,
        })
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Notes that no open item of a withdrawn run is left that is not withdrawn itself.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn end_withdrawal(&self, run_id: i64, now: Timestamp) -> Result<(), LedgerError> {
        let mut tx = self.begin_write(OPERATION).await?;
        let end = "update runs set withdrawal_ended_at = $2 where id = $1 and withdrawn_at is not null and withdrawal_ended_at is null";
        sqlx::query(end)
            .bind(run_id)
            .bind(now.millis())
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of(OPERATION, source))?;
        tx.commit().await
    }

    /// Runs whose withdrawal has begun by then and has not ended.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn withdrawals_under_way(&self, by_then: Timestamp) -> Result<Vec<i64>, LedgerError> {
        let query = "select id from runs where withdrawn_at is not null and withdrawal_ended_at is null \
                     and withdrawn_at <= $1 order by id limit 100";
        sqlx::query_scalar(query)
            .bind(by_then.millis())
            .fetch_all(&self.read)
            .await
            .map_err(|source| LedgerError::of(OPERATION, source))
    }
}

/// Who withdrew a run, and why, within a transaction.
pub(crate) async fn withdrawn_by(
    connection: &mut AnyConnection,
    run_id: i64,
) -> Result<Option<String>, LedgerError> {
    let by = sqlx::query_scalar::<_, Option<String>>("select withdrawn_by from runs where id = $1")
        .bind(run_id)
        .fetch_optional(connection)
        .await;
    by.map(Option::flatten)
        .map_err(|source| LedgerError::of(OPERATION, source))
}
