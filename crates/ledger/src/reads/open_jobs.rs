//! What there is to do: the jobs that a worker may claim from, and how far a run is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use sqlx::any::AnyRow;

use super::unsigned;
use crate::Ledger;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use payrun_domain::policy::{Policy, Rate};
use payrun_domain::time::Timestamp;

/// A job whose items a worker may claim.
#[derive(Debug, Clone)]
pub struct OpenJob {
    /// Its id.
    pub id: i64,
    /// Its kind's name.
    pub kind: String,
    /// The gateway account.
    pub lane: String,
    /// The account it was planned for, as the gateway tells accounts apart; none if that was not
    /// kept.
    pub account: Option<String>,
    /// Its policies as they were planned.
    pub policy: Arc<Policy>,
    /// A slower rate than the lane's.
    pub rate: Option<Rate>,
    /// A smaller concurrency than the lane's.
    pub concurrency: Option<u32>,
    /// When something of it is due next, as it was when this was read; never before its run may
    /// send anything.
    pub due: Option<Timestamp>,
}

impl OpenJob {
    /// Whether there may be something to claim.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.due.is_some_and(|due| due <= now)
    }
}

/// What there is to do for some runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunProgress {
    /// Items that have not come to rest.
    pub open: u64,
    /// When the next of them is due; none if all wait for other jobs.
    pub next_due: Option<Timestamp>,
    /// Items claimed at this moment.
    pub claimed: u64,
}

impl Ledger {
    /// The jobs that a lane's worker may claim from: those with what is due first come first, since
    /// there may be more in dunning than are read.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn open_jobs(&self, lane: &str) -> Result<Vec<OpenJob>, LedgerError> {
        let query = include_str!("open_jobs.sql");
        let query = sqlx::query(query).bind(lane.to_owned());
        let rows = self.rows("listing open jobs", query).await?;
        rows.iter().map(open_job).collect()
    }

    /// What there is to do for a run; the next due item is looked for in these lanes only. Of what
    /// is paused, and of what may only ask (`LANE`, `LANE/KIND` or `LANE/KIND/JOB`), only what is
    /// asked about is due.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn work(
        &self,
        run_id: i64,
        lanes: &BTreeSet<String>,
        only_ask: &BTreeSet<String>,
    ) -> Result<RunProgress, LedgerError> {
        let operation = "looking for work";
        let query = include_str!("run_progress.sql");
        let rows = self
            .rows(
                operation,
                sqlx::query(query)
                    .bind(run_id)
                    .bind(list(&lanes.iter().collect::<Vec<_>>()))
                    .bind(list(&only_ask.iter().collect::<Vec<_>>())),
            )
            .await?;
        let Some(row) = rows.first() else {
            return Ok(RunProgress::default());
        };
        let instant = |place: usize| {
            row.try_get::<Option<i64>, _>(place)
                .map(|at| at.map(Timestamp::from_millis))
                .map_err(|source| LedgerError::of(operation, source))
        };
        let send_at = instant(3)?;
        Ok(RunProgress {
            open: unsigned(row, 0, operation)?,
            claimed: unsigned(row, 1, operation)?,
            next_due: instant(2)?.map(|due| send_at.map_or(due, |send_at| due.max(send_at))),
        })
    }
}

fn open_job(row: &AnyRow) -> Result<OpenJob, LedgerError> {
    let failed = |source| LedgerError::of("reading a job", source);
    let id: i64 = row.try_get("id").map_err(failed)?;
    let corrupt = |column| LedgerError::corrupt("jobs", id, column);
    let calls: Option<i64> = row.try_get("rate_calls").map_err(failed)?;
    let per: Option<i64> = row.try_get("rate_per").map_err(failed)?;
    let rate = match (calls.map(u32::try_from), per.map(u64::try_from)) {
        (Some(Ok(calls)), Some(Ok(per))) => Some(Rate {
            calls,
            per: Duration::from_millis(per),
        }),
        (None, None) => None,
        (_, _) => return Err(corrupt("rate")),
    };
    let instant = |name: &str| {
        row.try_get::<Option<i64>, _>(name)
            .map(|at| at.map(Timestamp::from_millis))
            .map_err(failed)
    };
    let (due, send_at) = (instant("due")?, instant("send_at")?);
    Ok(OpenJob {
        id,
        kind: row.try_get("kind").map_err(failed)?,
        lane: row.try_get("lane").map_err(failed)?,
        account: row.try_get("account").map_err(failed)?,
        policy: serde_json::from_str(row.try_get("policy").map_err(failed)?)
            .map(Arc::new)
            .map_err(|_| corrupt("policy"))?,
        rate,
        concurrency: row
            .try_get::<Option<i64>, _>("concurrency")
            .map_err(failed)?
            .map(u32::try_from)
            .transpose()
            .map_err(|_| corrupt("concurrency"))?,
        due: due.map(|due| send_at.map_or(due, |send_at| due.max(send_at))),
    })
}
