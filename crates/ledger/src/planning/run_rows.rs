//! The rows of a run and its jobs: what a plan says of them, and how they are written.

use sqlx::AssertSqlSafe;

use crate::db::location::DbKind;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::item_rows::{list, text};
use crate::planning::rejected_rows::message_text;
use payrun_domain::actor::Actor;
use payrun_domain::message::Message;
use payrun_domain::policy::{Policy, Rate};
use payrun_domain::reason::FailureCode;
use payrun_domain::time::Timestamp;

/// A run to be planned.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// The workflow's name.
    pub workflow: String,
    /// Which firing of it.
    pub occurrence: String,
    /// The workflow file.
    pub source: String,
    /// Its path in the workflows folder; none if it comes from elsewhere.
    pub file: Option<String>,
    /// Its parameters, a JSON object.
    pub params: String,
    /// The instant it is for.
    pub at: Timestamp,
    /// The wall clock of `at`.
    pub timezone: String,
    /// Who starts it, and can never approve it.
    pub author: Actor,
    /// When.
    pub now: Timestamp,
}

/// A job to be planned.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its name in the workflow.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The gateway account, by its name.
    pub lane: String,
    /// The account as the gateway tells accounts apart.
    pub account: String,
    /// The jobs that must have ended before it starts.
    pub needs: Vec<String>,
    /// Its policies.
    pub policy: Policy,
    /// A slower rate than the lane's.
    pub rate: Option<Rate>,
    /// A smaller concurrency than the lane's.
    pub concurrency: Option<u32>,
    /// Whether its items are planned with the run; else when the jobs it takes them from have
    /// ended.
    pub planned_with_run: bool,
    /// The file its rows come from, and how it was read, as JSON; none where they come from no file.
    pub file: Option<String>,
}

/// Numbers that a run and a job have in a file: also behind those that a plan under way has.
const NEXT_RUN: &str = "(select 1 + max(coalesce((select max(id) from runs), 0), \
    coalesce((select max(run_id) from unfinished_plans), 0)))";
const NEXT_JOB: &str = "(select 1 + max(coalesce((select max(id) from jobs), 0), \
    coalesce((select max(last_job) from unfinished_plans), 0)))";

/// Makes a run; none if there is one of this occurrence.
pub(crate) async fn insert_run(
    tx: &mut WriteTx,
    id: Option<i64>,
    run: &NewRun,
) -> Result<Option<i64>, LedgerError> {
    let id = number(tx.db_kind(), id, NEXT_RUN);
    let insert = format!(
        "insert into runs (id, workflow, occurrence, source, params, started_at, at, timezone, author, author_user, file) \
         values ({id}, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (workflow, occurrence) do nothing returning id"
    );
    sqlx::query_scalar(AssertSqlSafe(insert))
        .bind(&run.workflow)
        .bind(&run.occurrence)
        .bind(&run.source)
        .bind(&run.params)
        .bind(run.now.millis())
        .bind(run.at.millis())
        .bind(&run.timezone)
        .bind(run.author.name())
        .bind(run.author.user())
        .bind(&run.file)
        .fetch_optional(tx.connection())
        .await
        .map_err(|source| LedgerError::of("beginning a plan", source))
}

/// Nothing of a run is sent before an instant.
pub(crate) async fn keep_send_at(
    tx: &mut WriteTx,
    run_id: i64,
    send_at: Timestamp,
) -> Result<(), LedgerError> {
    sqlx::query("update runs set send_at = $2 where id = $1")
        .bind(run_id)
        .bind(send_at.millis())
        .execute(tx.connection())
        .await
        .map(|_| ())
        .map_err(|source| LedgerError::of("planning a run", source))
}

/// Makes a job; returns its id.
pub(crate) async fn insert_job(
    tx: &mut WriteTx,
    id: Option<i64>,
    run_id: i64,
    job: &NewJob,
) -> Result<i64, LedgerError> {
    let (needs, policy) = (
        list(&job.needs),
        serde_json::to_string(&job.policy).unwrap_or_default(),
    );
    let id = number(tx.db_kind(), id, NEXT_JOB);
    let insert = format!(
        "insert into jobs (id, run_id, name, kind, lane, needs, policy, rate_calls, rate_per, concurrency, started, planned, \
           account, file) \
         values ({id}, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) returning id"
    );
    sqlx::query_scalar(AssertSqlSafe(insert))
        .bind(run_id)
        .bind(&job.name)
        .bind(&job.kind)
        .bind(&job.lane)
        .bind(needs)
        .bind(policy)
        .bind(job.rate.map(|rate| i64::from(rate.calls)))
        .bind(
            job.rate
                .map(|rate| i64::try_from(rate.per.as_millis()).unwrap_or(i64::MAX)),
        )
        .bind(job.concurrency.map(i64::from))
        .bind(i64::from(job.needs.is_empty()))
        .bind(i64::from(job.planned_with_run))
        .bind(&job.account)
        .bind(&job.file)
        .fetch_one(tx.connection())
        .await
        .map_err(|source| LedgerError::of("planning a job", source))
}

/// A job has been planned: its items have these numbers.
pub(crate) async fn job_is_planned(
    tx: &mut WriteTx,
    id: i64,
    (first, last): (i64, i64),
    failure: Option<(FailureCode, &Message)>,
) -> Result<(), LedgerError> {
    sqlx::query(
        "update jobs set planned = 1, first_item = $2, last_item = $3, failure_code = $4, failure = $5, failure_message = $6 \
         where id = $1",
    )
    .bind(id)
    .bind(first)
    .bind(last)
    .bind(failure.map(|(code, _)| code.as_str()))
    .bind(failure.map(|(_, why)| text(&why.to_string())))
    .bind(failure.and_then(|(_, why)| message_text(why)))
    .execute(tx.connection())
    .await
    .map(|_| ())
    .map_err(|source| LedgerError::of("planning a job", source))
}

/// The number of a new row, as SQL: the one that it has been given, or the next.
fn number(engine: DbKind, given: Option<i64>, next: &str) -> String {
    match (given, engine) {
        (Some(id), _) => id.to_string(),
        (None, DbKind::Sqlite) => next.to_owned(),
        (None, DbKind::Postgres) => "default".to_owned(),
    }
}
