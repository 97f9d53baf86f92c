//! A plan in a SQLite file is made in short commits: there is one writer, and nobody may wait for
//! it as long as a file is long.
//!
//! Its run and its jobs get their numbers first, and their rows with the last commit. Until then
//! its items are there, and nobody who looks for them by their job finds them: nothing is claimed,
//! listed, counted or changed. What is given up, and what a process leaves that dies (its lock is
//! gone then), is deleted, also in short commits. Another plan that meets a key of one that is not
//! decided waits until it is: as on a server, where a plan is one transaction, and rows have locks.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;
use tokio::time::Instant;

use crate::Ledger;
use crate::approvals::approval_batch::{NewApproval, hold_some, store_approval};
use crate::db::location::DbKind;
use crate::db::node::{is_locked, lock_file, lock_path, locks};
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::item_rows::{hex, list};
use crate::planning::plan::PlanWriter;
use crate::planning::planned_items::NewItem;
use crate::planning::run_rows::{NewJob, NewRun, insert_job, insert_run, job_is_planned};
use payrun_domain::approval::{Batch, BatchOrigin};
use payrun_domain::ids::OrderNumber;
use payrun_domain::message::Message;
use payrun_domain::reason::FailureCode;

/// Another process that waits for the file looks again and again, at most 100 ms apart. After so
/// much of writing it is left free for longer than that, and for a moment after each commit.
const WRITTEN: Duration = Duration::from_millis(300);
const LONG_REST: Duration = Duration::from_millis(110);
const SHORT_REST: Duration = Duration::from_millis(2);

/// How long a commit under way has the writer before it ends. Each writes the pages of the indexes
/// that are in no order once more: few long ones cost less than many short ones.
const TURN: Duration = Duration::from_millis(100);

/// How many items are put to approval, or deleted, in a commit.
const PAGE: i64 = 1000;

/// How often a plan that waits for another one looks.
const LOOK: Duration = Duration::from_millis(50);

/// How many looks an older plan waits for a younger one, which may wait for it; and a younger one
/// for an older one.
const LOOKS_OF_OLDER: u32 = 400;
const LOOKS_OF_YOUNGER: u32 = 12_000;

const OPERATION: &str = "planning a run";
const WAITING: &str = "another run that has the same keys is being planned";
const CLEARING: &str = "taking away a plan that was given up";

/// What a plan in short commits knows of itself.
#[derive(Debug)]
pub(crate) struct PlanSteps {
    plan: StoredPlan,
    _lock: File,
    lock_at: PathBuf,
    run: NewRun,
    jobs: Vec<DeferredJob>,
    approvals: Vec<(i64, NewApproval, Batch)>,
    /// The newest item of all when the commit under way began.
    newest: i64,
    /// The numbers of the present job's items.
    span: Option<(i64, i64)>,
    /// Since when the commit under way has the writer.
    since: Instant,
    /// How long it has had the writer since it last left it for long.
    written: Duration,
    looks: u32,
}

/// A plan whose run is not there yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredPlan {
    id: i64,
    run_id: i64,
    first_job: i64,
    last_job: i64,
    first_item: i64,
}

/// The first and the last of a job's items.
type ItemSpan = (i64, i64);

/// Why a job could not be planned, for programs and in words.
type PlanFailure = (FailureCode, Message);

/// A job whose row comes with the run's.
#[derive(Debug)]
struct DeferredJob {
    id: i64,
    job: NewJob,
    /// Its items, and why it has none, once it has been planned.
    planned: Option<(ItemSpan, Option<PlanFailure>)>,
}

/// The names of a payment, as `planning/met_by_items.sql` reads them.
#[derive(Debug, Serialize)]
struct NamesLine {
    ours: String,
    theirs: String,
    part: Option<String>,
}

/// A page of what a plan that was given up has left: what its items are found by, and its items.
const DELETE_REFERENCES: &str = "delete from item_references where item_id between $1 and $2 and exists \
    (select 1 from items where items.id = item_references.item_id and items.job_id between $3 and $4 \
       and not exists (select 1 from jobs where jobs.id = items.job_id))";
const DELETE_ITEMS: &str = "delete from items where id between $1 and $2 and job_id between $3 and $4 \
    and not exists (select 1 from jobs where jobs.id = items.job_id)";

impl Ledger {
    /// Begins to plan a run of so many jobs that changes nothing of what was there before: no
    /// period of a contract, no item that is filed again. In a file that takes short commits only.
    ///
    /// # Errors
    /// [`LedgerError::RunExists`] if this occurrence has been planned.
    pub async fn plan_in_steps(&self, run: NewRun, jobs: usize) -> Result<PlanWriter, LedgerError> {
        let Some(file) = &self.location.file else {
            return self.plan(run).await;
        };
        self.clear_dead_plans().await?;
        let failed = |source| LedgerError::of("beginning a plan", source);
        let (id, folder) = (
            i64::try_from(rand::random::<u64>() >> 1).unwrap_or(0),
            locks(file),
        );
        let (lock, lock_at) = (lock_file(&folder, id)?, lock_path(&folder, id));
        let mut tx = self.begin_write(OPERATION).await?;
        let exists = sqlx::query("select 1 from runs where workflow = $1 and occurrence = $2");
        let exists = exists
            .bind(&run.workflow)
            .bind(&run.occurrence)
            .fetch_optional(tx.connection())
            .await;
        if exists.map_err(failed)?.is_some() {
            tx.rollback().await?;
            std::fs::remove_file(lock_at).ok();
            return Err(LedgerError::RunExists {
                workflow: run.workflow,
                occurrence: run.occurrence,
            });
        }
        let begin = include_str!("begin_unfinished_plan.sql");
        let jobs = i64::try_from(jobs).unwrap_or(i64::MAX);
        let row = sqlx::query(begin)
            .bind(id)
            .bind(jobs)
            .fetch_one(tx.connection())
            .await
            .map_err(failed)?;
        let plan = StoredPlan::read(&row).map_err(failed)?;
        tx.commit().await?;
        let (run_id, now) = (plan.run_id, run.now);
        let steps = PlanSteps {
            plan,
            _lock: lock,
            lock_at,
            run,
            jobs: Vec::new(),
            approvals: Vec::new(),
            newest: 0,
            span: None,
            since: tokio::time::Instant::now(),
            written: Duration::ZERO,
            looks: 0,
        };
        let mut planning = PlanWriter::new(self, None, run_id, now);
        planning.steps = Some(steps);
        Ok(planning)
    }

    /// Takes away what was being planned by processes that have died.
    pub(crate) async fn clear_dead_plans(&self) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of(CLEARING, source);
        let query = "select id, run_id, first_job, last_job, first_item from unfinished_plans order by run_id limit 100";
        let rows = sqlx::query(query)
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        for row in &rows {
            let plan = StoredPlan::read(row).map_err(failed)?;
            if !self.is_being_made(&plan) {
                self.clear(&plan).await?;
            }
        }
        Ok(())
    }

    /// On a server no plan is made in steps.
    fn is_being_made(&self, plan: &StoredPlan) -> bool {
        self.location
            .file
            .as_ref()
            .is_some_and(|file| is_locked(&locks(file), plan.id))
    }

    /// Deletes a plan's items, a page a commit, and then the plan. What was committed, or cleared
    /// by somebody else, stays as it is.
    async fn clear(&self, plan: &StoredPlan) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of(CLEARING, source);
        let Some(first) = self.mark_given_up(plan).await? else {
            return Ok(());
        };
        let (mut behind, mut written) = (first - 1, Duration::ZERO);
        // Others may have put millions between: those are passed over beside the writer.
        while let Some(next) = self.next_of(plan, behind).await? {
            let mut tx = self.begin_write(CLEARING).await?;
            let since = tokio::time::Instant::now();
            behind = next + PAGE - 1;
            for delete in [DELETE_REFERENCES, DELETE_ITEMS] {
                let delete = sqlx::query(delete)
                    .bind(next)
                    .bind(behind)
                    .bind(plan.first_job)
                    .bind(plan.last_job);
                delete.execute(tx.connection()).await.map_err(failed)?;
            }
            tx.commit().await?;
            rest(since, &mut written).await;
        }
        let mut tx = self.begin_write(CLEARING).await?;
        let gone = sqlx::query("delete from unfinished_plans where id = $1").bind(plan.id);
        gone.execute(tx.connection()).await.map_err(failed)?;
        tx.commit().await
    }

    /// Before the first item goes: whoever is making the plan, and lives after all, finds it, and
    /// commits nothing more. Says where its items begin; nothing where it was committed, or taken
    /// away, or the file was moved.
    async fn mark_given_up(&self, plan: &StoredPlan) -> Result<Option<i64>, LedgerError> {
        let mut tx = self.begin_write(CLEARING).await?;
        if Self::moved_to(tx.connection()).await?.is_some() {
            tx.rollback().await?;
            return Ok(None);
        }
        let mark = "update unfinished_plans set given_up = 1 where id = $1 returning first_item";
        let first = sqlx::query_scalar(mark)
            .bind(plan.id)
            .fetch_optional(tx.connection())
            .await;
        let first = first.map_err(|source| LedgerError::of(CLEARING, source))?;
        tx.commit().await?;
        Ok(first)
    }

    /// The first of a plan's items behind this number.
    async fn next_of(&self, plan: &StoredPlan, behind: i64) -> Result<Option<i64>, LedgerError> {
        let query =
            "select id from items where id > $1 and job_id between $2 and $3 order by id limit 1";
        let next = sqlx::query_scalar(query)
            .bind(behind)
            .bind(plan.first_job)
            .bind(plan.last_job);
        next.fetch_optional(&self.read)
            .await
            .map_err(|source| LedgerError::of(CLEARING, source))
    }
}

/// Leaves the writer to others, which one has had since then.
async fn rest(since: Instant, written: &mut Duration) {
    *written += since.elapsed();
    let rest = if *written < WRITTEN {
        SHORT_REST
    } else {
        *written = Duration::ZERO;
        LONG_REST
    };
    tokio::time::sleep(rest).await;
}

impl StoredPlan {
    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            run_id: row.try_get("run_id")?,
            first_job: row.try_get("first_job")?,
            last_job: row.try_get("last_job")?,
            first_item: row.try_get("first_item")?,
        })
    }

    /// Whether it has a key of these, a number of the user's, or a payment or part that only one of
    /// both may have.
    async fn has(&self, tx: &mut WriteTx, items: &[NewItem]) -> Result<bool, LedgerError> {
        let keys: Vec<String> = items.iter().map(|item| hex(item.key_hash)).collect();
        let numbers: Vec<&str> = items
            .iter()
            .filter_map(|item| item.custom_order_no.as_ref())
            .map(OrderNumber::as_str)
            .collect();
        let parts = items.iter().filter_map(|item| item.part.as_ref());
        let wholes: Vec<String> = parts.map(|part| hex(part.of)).collect();
        let payments = items.iter().filter_map(|item| item.payment.as_ref());
        let payments: Vec<_> = payments
            .map(|names| NamesLine {
                ours: names.ours(),
                theirs: names.theirs(),
                part: names.part(),
            })
            .collect();
        let found = sqlx::query(include_str!("met_by_items.sql"))
            .bind(list(&keys))
            .bind(list(&numbers))
            .bind(self.first_job)
            .bind(self.last_job)
            .bind(list(&wholes))
            .bind(list(&payments));
        let found = found.fetch_optional(tx.connection()).await;
        found
            .map(|row| row.is_some())
            .map_err(|source| LedgerError::of("looking for keys that are being planned", source))
    }
}

impl PlanSteps {
    /// A commit begins: its items will have the numbers behind the newest.
    pub async fn begin(&mut self, tx: &mut WriteTx) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of(OPERATION, source);
        let query = "select (select coalesce(max(id), 0) from items) from unfinished_plans where id = $1 and given_up = 0";
        let newest = sqlx::query_scalar(query)
            .bind(self.plan.id)
            .fetch_optional(tx.connection())
            .await;
        let Some(newest) = newest.map_err(failed)? else {
            let what = "a plan under way was taken for one of a dead process, and nothing of it is kept; plan the run once more".to_owned();
            return Err(LedgerError::Inconsistent { what });
        };
        self.newest = newest;
        self.since = tokio::time::Instant::now();
        // Another plan that was given up may have had the newest numbers.
        if self.newest + 1 < self.plan.first_item {
            self.plan.first_item = self.newest + 1;
            let lower = sqlx::query("update unfinished_plans set first_item = $2 where id = $1");
            let lower = lower
                .bind(self.plan.id)
                .bind(self.plan.first_item)
                .execute(tx.connection())
                .await;
            lower.map_err(failed)?;
        }
        Ok(())
    }

    /// A commit ends: what is newer than when it began is of this plan.
    async fn end(&mut self, tx: &mut WriteTx) -> Result<(), LedgerError> {
        let newest = sqlx::query_scalar("select coalesce(max(id), 0) from items")
            .fetch_one(tx.connection())
            .await;
        let newest: i64 = newest.map_err(|source| LedgerError::of(OPERATION, source))?;
        if newest > self.newest {
            let first = self
                .span
                .map_or(self.newest + 1, |(first, _)| first.min(self.newest + 1));
            let last = self.span.map_or(newest, |(_, last)| last.max(newest));
            self.span = Some((first, last));
        }
        Ok(())
    }

    /// Adds a job; returns its number.
    pub fn job(&mut self, job: NewJob) -> i64 {
        let id = self.plan.first_job + i64::try_from(self.jobs.len()).unwrap_or(i64::MAX);
        assert!(
            id <= self.plan.last_job,
            "a run has the jobs that it was begun with"
        );
        self.jobs.push(DeferredJob {
            id,
            job,
            planned: None,
        });
        id
    }

    /// Ends the planning of a job, whose last commit has been made.
    pub fn job_planned(
        &mut self,
        job_id: i64,
        before: i64,
        failure: Option<(FailureCode, &Message)>,
    ) {
        let span = self.span.take().unwrap_or((before + 1, before));
        if let Some(job) = self.jobs.iter_mut().find(|job| job.id == job_id) {
            job.planned = Some((span, failure.map(|(code, why)| (code, why.clone()))));
        }
    }

    fn origin(&self, job_id: i64) -> Option<(BatchOrigin<'_>, (i64, i64))> {
        let planned = self.jobs.iter().find(|job| job.id == job_id)?;
        let (run, job) = (&self.run, &planned.job);
        let origin = BatchOrigin {
            workflow: &run.workflow,
            occurrence: &run.occurrence,
            source: &run.source,
            params: &run.params,
            job: &job.name,
            kind: &job.kind,
            account: [&job.lane, &job.account],
        };
        Some((origin, planned.planned.as_ref()?.0))
    }

    /// Makes the run, its jobs and what they wait for, and the plan is none any more.
    pub async fn finish(&self, tx: &mut WriteTx) -> Result<(), LedgerError> {
        let (failed, run) = (
            |source| LedgerError::of("committing a plan", source),
            &self.run,
        );
        // First: nobody else may make a job of a number that is kept.
        let done = sqlx::query("delete from unfinished_plans where id = $1").bind(self.plan.id);
        done.execute(tx.connection()).await.map_err(failed)?;
        if insert_run(tx, Some(self.plan.run_id), run).await?.is_none() {
            return Err(LedgerError::RunExists {
                workflow: run.workflow.clone(),
                occurrence: run.occurrence.clone(),
            });
        }
        for DeferredJob { id, job, planned } in &self.jobs {
            insert_job(tx, Some(*id), self.plan.run_id, job).await?;
            if let Some((span, failure)) = planned {
                let failure = failure.as_ref().map(|(code, why)| (*code, why));
                job_is_planned(tx, *id, *span, failure).await?;
            }
        }
        for (job_id, approval, batch) in &self.approvals {
            store_approval(tx, *job_id, approval, batch, run.now).await?;
        }
        Ok(())
    }

    /// Deletes what was planned, if it was not committed. What cannot be deleted now is deleted
    /// when somebody plans next.
    pub async fn give_up(self, ledger: &Ledger) {
        match ledger.clear(&self.plan).await {
            Ok(()) => self.end_lock(),
            Err(error) => {
                tracing::warn!(error = %error, "what was planned of a run is taken away later")
            }
        }
    }

    /// The lock is of nobody any more.
    pub fn end_lock(self) {
        std::fs::remove_file(&self.lock_at).ok();
    }
}

impl PlanWriter {
    /// Ends a commit that has had the writer for its turn, where the plan is made in several.
    ///
    /// # Errors
    /// As [`PlanWriter::step`].
    pub async fn step_after_turn(&mut self) -> Result<(), LedgerError> {
        match &self.steps {
            Some(steps) if steps.since.elapsed() >= TURN => self.step().await,
            Some(_) | None => Ok(()),
        }
    }

    /// Ends a commit, where the plan is made in several, and leaves others the write lock.
    ///
    /// # Errors
    /// Whatever the database says; then the plan must be abandoned.
    pub async fn step(&mut self) -> Result<(), LedgerError> {
        let Some(steps) = &mut self.steps else {
            return Ok(());
        };
        let Some(mut tx) = self.tx.take() else {
            return Ok(());
        };
        let since = steps.since;
        steps.end(&mut tx).await?;
        payrun_system::failpoint::hit("plan_step");
        tx.commit().await?;
        payrun_system::failpoint::hit("plan_step");
        rest(since, &mut steps.written).await;
        Ok(())
    }

    /// Whether it is made in several commits.
    pub const fn is_in_steps(&self) -> bool {
        self.steps.is_some()
    }

    /// Whether another plan that is not decided has a key of these items: nothing can be said of
    /// them then. It has been waited for a moment, and is to be asked again.
    ///
    /// # Errors
    /// [`LedgerError::Busy`] if that has taken too long, or this plan is one that cannot wait; and
    /// whatever the database says. Then the plan must be abandoned.
    pub async fn waits_for_another(&mut self, items: &[NewItem]) -> Result<bool, LedgerError> {
        if self.ledger.location.db_kind == DbKind::Postgres {
            return Ok(false);
        }
        let own = self.steps.as_ref().map_or(0, |steps| steps.plan.id);
        let query = "select id, run_id, first_job, last_job, first_item from unfinished_plans where id <> $1";
        let tx = self.write_tx().await?;
        let others = sqlx::query(query)
            .bind(own)
            .fetch_all(tx.connection())
            .await;
        let others = others.and_then(|rows| {
            rows.iter()
                .map(StoredPlan::read)
                .collect::<Result<Vec<_>, _>>()
        });
        let mut met = None;
        for other in others.map_err(|source| LedgerError::of(OPERATION, source))? {
            if other.has(tx, items).await? {
                met = Some(other);
                break;
            }
        }
        let Some((other, steps)) = met.map(|met| (met, self.steps.as_mut())) else {
            return Ok(false);
        };
        // One that has the writer to itself would wait for ever.
        let Some(steps) = steps else {
            return Err(LedgerError::Busy { operation: WAITING });
        };
        let most = if steps.plan.run_id < other.run_id {
            LOOKS_OF_OLDER
        } else {
            LOOKS_OF_YOUNGER
        };
        steps.looks += 1;
        if steps.looks > most {
            return Err(LedgerError::Busy { operation: WAITING });
        }
        self.step().await?;
        if !self.ledger.is_being_made(&other) {
            self.ledger.clear(&other).await?;
        }
        tokio::time::sleep(LOOK).await;
        Ok(true)
    }

    /// Holds the items of a job that was planned in steps.
    pub(crate) async fn hold_in_steps(
        &mut self,
        job_id: i64,
        approval: &NewApproval,
    ) -> Result<(), LedgerError> {
        let origin = self.steps.as_ref().and_then(|steps| steps.origin(job_id));
        let Some((mut batch, (first, last))) =
            origin.map(|(origin, span)| (Batch::of(&origin), span))
        else {
            return Err(LedgerError::Inconsistent {
                what: format!("job {job_id} is put to approval before it is planned"),
            });
        };
        let mut after = first - 1;
        while after < last {
            let to = last.min(after + PAGE);
            hold_some(self.write_tx().await?, job_id, (after, to), &mut batch).await?;
            self.step().await?;
            after = to;
        }
        if let Some(steps) = &mut self.steps {
            // Nothing was added by these commits.
            steps.span = None;
            steps.approvals.push((job_id, *approval, batch));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::{place, steps};

    #[tokio::test]
    async fn what_another_plan_has_is_found_by_an_index() {
        let steps = steps(include_str!("met_by_items.sql")).await;
        for step in [
            "i USING INDEX items_key (key_hash=?)",
            "i USING INDEX items_custom_order_no (custom_order_no=?)",
            "i USING INDEX items_part_of (part_of=?)",
            "i USING INDEX items_payment_ours (payment_ours=?)",
            "i USING INDEX items_payment_theirs (payment_theirs=?)",
            "i USING INDEX items_payment_part (payment_part=?)",
        ] {
            place(&steps, step);
        }
    }
}
