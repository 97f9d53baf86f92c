//! Runs and their jobs, as people see them: by number, by occurrence, by workflow.

use std::collections::BTreeMap;

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use crate::items::run_withdrawal::RunWithdrawal;
use crate::reads::item::told;
use payrun_domain::message::Message;
use payrun_domain::reason::FailureCode;
use payrun_domain::time::Timestamp;

/// What [`RunRow`] is read from.
macro_rules! run_columns {
    () => {
        "id, workflow, occurrence, started_at, finished_at, author, pruned_at, send_at, withdrawn_by, withdrawn_at, withdrawal_ended_at"
    };
}

/// A run.
#[derive(Debug, Clone)]
pub struct RunRow {
    /// Its id.
    pub id: i64,
    /// The workflow's name.
    pub workflow: String,
    /// Which firing of it.
    pub occurrence: String,
    /// When it was planned.
    pub started_at: Timestamp,
    /// When its last item came to rest; none while it is open.
    pub finished_at: Option<Timestamp>,
    /// Who started it; none if that was not kept.
    pub author: Option<String>,
    /// Since when nothing is kept any more of what its items were answered.
    pub pruned_at: Option<Timestamp>,
    /// Before when nothing of it is sent; none: it is sent at once.
    pub send_at: Option<Timestamp>,
    /// That it was withdrawn as a whole.
    pub withdrawal: Option<RunWithdrawal>,
}

/// A job of a run.
#[derive(Debug, Clone)]
pub struct JobRow {
    /// Its id.
    pub id: i64,
    /// Its run.
    pub run_id: i64,
    /// Its name in the workflow.
    pub name: String,
    /// Its kind's name.
    pub kind: String,
    /// The gateway account.
    pub lane: String,
    /// The account it was planned for, as the gateway tells accounts apart; none if that was not
    /// kept.
    pub account: Option<String>,
    /// When its last item came to rest.
    pub finished_at: Option<Timestamp>,
    /// Why it could not be planned.
    pub failure: Option<Message>,
    /// The same for programs.
    pub failure_code: Option<FailureCode>,
    /// The file its rows came from, and how it was read, as JSON.
    pub file: Option<String>,
}

/// Whose job is meant.
#[derive(Debug, Clone, Copy)]
pub enum WhoseJob<'a> {
    /// This run's.
    Run(i64),
    /// Those of all runs of the workflow of this name that began since an instant.
    RunsOf(&'a str, Timestamp),
}

impl Ledger {
    /// Runs, newest first, from before `before` on.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn runs(&self, before: Option<i64>, limit: u32) -> Result<Vec<RunRow>, LedgerError> {
        let query = concat!(
            "select ",
            run_columns!(),
            " from runs where id < $1 order by id desc limit $2"
        );
        let query = sqlx::query(query)
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit));
        self.rows("listing runs", query)
            .await?
            .iter()
            .map(run_row)
            .collect()
    }

    /// Runs that were planned from one instant up to another, the second not included, behind
    /// `after` on.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn runs_between(
        &self,
        (from, to): (Timestamp, Timestamp),
        after: i64,
        limit: u32,
    ) -> Result<Vec<RunRow>, LedgerError> {
        let query = sqlx::query(include_str!("runs_between.sql"))
            .bind(from.millis())
            .bind(to.millis())
            .bind(after)
            .bind(i64::from(limit));
        self.rows("listing the runs of some days", query)
            .await?
            .iter()
            .map(run_row)
            .collect()
    }

    /// Runs that are not finished, oldest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn unfinished_runs(&self) -> Result<Vec<RunRow>, LedgerError> {
        let query = concat!(
            "select ",
            run_columns!(),
            " from runs \
                     where finished_at is null order by id limit 100000"
        );
        self.rows("listing open runs", sqlx::query(query))
            .await?
            .iter()
            .map(run_row)
            .collect()
    }

    /// Runs that are not finished and of which nothing is sent before a later instant, by that
    /// instant: so many at most.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn runs_to_be_sent(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<RunRow>, LedgerError> {
        let query = concat!(
            "select ",
            run_columns!(),
            " from runs \
                     where finished_at is null and send_at > $1 order by send_at, id limit $2"
        );
        let query = sqlx::query(query).bind(now.millis()).bind(i64::from(limit));
        self.rows("listing runs that wait", query)
            .await?
            .iter()
            .map(run_row)
            .collect()
    }

    /// One run.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn run(&self, id: i64) -> Result<Option<RunRow>, LedgerError> {
        let query = concat!("select ", run_columns!(), " from runs where id = $1");
        self.rows("reading a run", sqlx::query(query).bind(id))
            .await?
            .first()
            .map(run_row)
            .transpose()
    }

    /// The run of an occurrence.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn run_of(
        &self,
        workflow: &str,
        occurrence: &str,
    ) -> Result<Option<RunRow>, LedgerError> {
        let query = concat!(
            "select ",
            run_columns!(),
            " from runs where workflow = $1 and occurrence = $2"
        );
        let query = sqlx::query(query)
            .bind(workflow.to_owned())
            .bind(occurrence.to_owned());
        self.rows("looking for a run", query)
            .await?
            .first()
            .map(run_row)
            .transpose()
    }

    /// Whether a workflow has ever had a run.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn has_run(&self, workflow: &str) -> Result<bool, LedgerError> {
        let query = sqlx::query("select id from runs where workflow = $1 limit 1")
            .bind(workflow.to_owned());
        Ok(!self.rows("looking for a run", query).await?.is_empty())
    }

    /// The workflow file that a run was planned with.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn workflow_of_run(&self, run: i64) -> Result<Option<String>, LedgerError> {
        sqlx::query_scalar("select source from runs where id = $1")
            .bind(run)
            .fetch_optional(&self.read)
            .await
            .map_err(|source| LedgerError::of("reading the workflow of a run", source))
    }

    /// On whose clock a run was planned, or the newest of a workflow; none where neither is named, or
    /// it was not kept.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn timezone_of(
        &self,
        run: Option<i64>,
        workflow: Option<&str>,
    ) -> Result<Option<String>, LedgerError> {
        let failed = |source| LedgerError::of("reading the time zone of a run", source);
        let query = match (run, workflow) {
            (Some(run), _) => {
                sqlx::query_scalar("select timezone from runs where id = $1").bind(run)
            }
            (None, Some(workflow)) => sqlx::query_scalar(
                "select timezone from runs where workflow = $1 order by started_at desc limit 1",
            )
            .bind(workflow.to_owned()),
            (None, None) => return Ok(None),
        };
        let zone: Option<Option<String>> =
            query.fetch_optional(&self.read).await.map_err(failed)?;
        Ok(zone.flatten())
    }

    /// The jobs of a run, in the order of the workflow.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn jobs(&self, run_id: i64) -> Result<Vec<JobRow>, LedgerError> {
        let query = "select id, run_id, name, kind, lane, account, finished_at, failure, failure_message, failure_code, file from jobs where run_id = $1 order by id limit 1000";
        self.rows("listing jobs", sqlx::query(query).bind(run_id))
            .await?
            .iter()
            .map(job_row)
            .collect()
    }

    /// The jobs of several runs at once.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn jobs_of_runs(&self, runs: &[i64]) -> Result<Vec<JobRow>, LedgerError> {
        // `cross join`: the list first, then the jobs of each.
        let query = "select j.id, j.run_id, j.name, j.kind, j.lane, j.account, j.finished_at, j.failure, j.failure_message, j.failure_code, j.file \
                     from json_each($1) as r cross join jobs as j where j.run_id = cast(r.atom as bigint) order by j.id limit 100000";
        self.rows("listing jobs", sqlx::query(query).bind(list(runs)))
            .await?
            .iter()
            .map(job_row)
            .collect()
    }

    /// The workflow files that several runs were planned with.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn workflows_of_runs(
        &self,
        runs: &[i64],
    ) -> Result<BTreeMap<i64, String>, LedgerError> {
        let operation = "reading workflows of runs";
        // `cross join`: the list first, then each run by its number.
        let query = "select r.id, r.source from json_each($1) as k cross join runs as r \
                     where r.id = cast(k.atom as bigint) and r.source is not null limit 10000";
        let rows = self
            .rows(operation, sqlx::query(query).bind(list(runs)))
            .await?;
        let failed = |source| LedgerError::of(operation, source);
        let read = |row: &AnyRow| Ok((row.try_get("id")?, row.try_get("source")?));
        rows.iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    /// Jobs of this name, each with its kind: of a run, or of the runs of a workflow.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn jobs_named(
        &self,
        whose: WhoseJob<'_>,
        name: &str,
    ) -> Result<Vec<(i64, String)>, LedgerError> {
        let operation = "looking for a job";
        let query = match whose {
            WhoseJob::Run(run) => {
                sqlx::query("select id, kind from jobs where name = $1 and run_id = $2")
                    .bind(name.to_owned())
                    .bind(run)
            }
            WhoseJob::RunsOf(workflow, since) => sqlx::query(
                "select j.id, j.kind from runs as r join jobs as j on j.run_id = r.id \
                 where j.name = $1 and r.workflow = $2 and r.started_at >= $3 order by j.id",
            )
            .bind(name.to_owned())
            .bind(workflow.to_owned())
            .bind(since.millis()),
        };
        let rows = self.rows(operation, query).await?;
        let failed = |source| LedgerError::of(operation, source);
        let job = |row: &AnyRow| {
            Ok((
                row.try_get(0).map_err(failed)?,
                row.try_get(1).map_err(failed)?,
            ))
        };
        rows.iter().map(job).collect()
    }
}

pub(crate) fn run_row(row: &AnyRow) -> Result<RunRow, LedgerError> {
    let failed = |source| LedgerError::of("reading a run", source);
    Ok(RunRow {
        id: row.try_get("id").map_err(failed)?,
        workflow: row.try_get("workflow").map_err(failed)?,
        occurrence: row.try_get("occurrence").map_err(failed)?,
        started_at: row
            .try_get("started_at")
            .map(Timestamp::from_millis)
            .map_err(failed)?,
        finished_at: row
            .try_get::<Option<i64>, _>("finished_at")
            .map_err(failed)?
            .map(Timestamp::from_millis),
        author: row.try_get("author").map_err(failed)?,
        pruned_at: row
            .try_get::<Option<i64>, _>("pruned_at")
            .map_err(failed)?
            .map(Timestamp::from_millis),
        send_at: row
            .try_get::<Option<i64>, _>("send_at")
            .map_err(failed)?
            .map(Timestamp::from_millis),
        withdrawal: RunWithdrawal::read(row)?,
    })
}

fn job_row(row: &AnyRow) -> Result<JobRow, LedgerError> {
    let failed = |source| LedgerError::of("reading a job", source);
    Ok(JobRow {
        id: row.try_get("id").map_err(failed)?,
        run_id: row.try_get("run_id").map_err(failed)?,
        name: row.try_get("name").map_err(failed)?,
        kind: row.try_get("kind").map_err(failed)?,
        lane: row.try_get("lane").map_err(failed)?,
        account: row.try_get("account").map_err(failed)?,
        finished_at: row
            .try_get::<Option<i64>, _>("finished_at")
            .map_err(failed)?
            .map(Timestamp::from_millis),
        failure: told(row, ["failure", "failure_message"]).map_err(failed)?,
        failure_code: failure_code(row, ("jobs", row.try_get("id").map_err(failed)?))?,
        file: row.try_get("file").map_err(failed)?,
    })
}

/// The failure code of a row of this table.
fn failure_code(
    row: &AnyRow,
    (table, id): (&'static str, i64),
) -> Result<Option<FailureCode>, LedgerError> {
    let word: Option<&str> = row
        .try_get("failure_code")
        .map_err(|source| LedgerError::of("reading a failure", source))?;
    word.map(|word| {
        FailureCode::parse(word).ok_or_else(|| LedgerError::corrupt(table, id, "failure_code"))
    })
    .transpose()
}
