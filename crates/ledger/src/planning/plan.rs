//! Planning: a run, its jobs and its items, all or none, streamed in chunks, so that memory stays
//! flat. It is one transaction, or a row of short ones of which nothing is seen before the last
//! (`planning/plan_steps.rs`).
//!
//! A key that is there already makes no second item: the row is kept as `skipped` and points at the
//! item that has the key, or as `rejected` if it says something else under the same key, or stands
//! twice in its own run.

use std::collections::HashMap;

use sqlx::AnyConnection;

use crate::Ledger;
use crate::approvals::approval_batch::{NewApproval, ask};
use crate::contracts::withdraw_what_has_ended;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::item_rows::{TotalsDelta, list};
use crate::items::run_withdrawal::withdrawn_by;
use crate::planning::payment_names::DoubtfulNames;
use crate::planning::plan_steps::PlanSteps;
use crate::planning::run_rows::{
    NewJob, NewRun, insert_job, insert_run, job_is_planned, keep_send_at,
};
use crate::planning::whole_or_parts::WholesAndParts;
use crate::reports::report_queue::want_run_report;
use payrun_domain::ids::KeyHash;
use payrun_domain::message::Message;
use payrun_domain::reason::FailureCode;
use payrun_domain::time::Timestamp;

/// A plan under way: nothing of it is seen by anybody until it is committed.
#[derive(Debug)]
pub struct PlanWriter {
    pub(crate) ledger: Ledger,
    /// There, but between two commits of a plan that is made in several.
    pub(crate) tx: Option<WriteTx>,
    /// Of a plan that is made in several commits.
    pub(crate) steps: Option<PlanSteps>,
    pub(super) run_id: i64,
    pub(super) now: Timestamp,
    pub(super) total_changes: TotalsDelta,
    /// Whether a report is made when the run ends.
    has_report: bool,
    /// Who withdrew the run, and why, where one of its later jobs is planned.
    pub(super) withdrawn_by: Option<String>,
    /// Before when nothing of the run is sent.
    pub(super) send_at: Option<Timestamp>,
    /// The newest item of before, once a period of a contract has been noted.
    before_periods: Option<i64>,
    /// Keys under which rows of this plan say different things, and the first line that has one.
    pub(super) contradicted: HashMap<KeyHash, u64>,
    /// What rows of a job are for the whole of and for parts of.
    pub(super) parts: WholesAndParts,
    pub(super) doubtful: DoubtfulNames,
}

impl Ledger {
    /// Begins to plan a run.
    ///
    /// # Errors
    /// [`LedgerError::RunExists`] if this occurrence has been planned.
    pub async fn plan(&self, run: NewRun) -> Result<PlanWriter, LedgerError> {
        self.clear_dead_plans().await?;
        let mut tx = WriteTx::take_long(&self.write, "planning a run").await?;
        let Some(run_id) = insert_run(&mut tx, None, &run).await? else {
            tx.rollback().await?;
            return Err(LedgerError::RunExists {
                workflow: run.workflow,
                occurrence: run.occurrence,
            });
        };
        Ok(PlanWriter::new(self, Some(tx), run_id, run.now))
    }
}

impl PlanWriter {
    /// The run's id, if it is committed.
    pub const fn run_id(&self) -> i64 {
        self.run_id
    }

    pub(crate) fn new(ledger: &Ledger, tx: Option<WriteTx>, run_id: i64, now: Timestamp) -> Self {
        Self {
            ledger: ledger.clone(),
            tx,
            steps: None,
            run_id,
            now,
            total_changes: TotalsDelta::default(),
            has_report: false,
            withdrawn_by: None,
            send_at: None,
            before_periods: None,
            contradicted: HashMap::new(),
            parts: WholesAndParts::default(),
            doubtful: DoubtfulNames::default(),
        }
    }

    /// The transaction; a plan that is made in several begins the next one.
    pub(crate) async fn write_tx(&mut self) -> Result<&mut WriteTx, LedgerError> {
        if let (None, Some(steps)) = (&self.tx, &mut self.steps) {
            let mut tx = WriteTx::begin(&self.ledger.write, "planning a run").await?;
            steps.begin(&mut tx).await?;
            self.tx = Some(tx);
        }
        Ok(self
            .tx
            .as_mut()
            .expect("a plan in one transaction has it until it ends"))
    }

    /// Adds a job; returns its id.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn job(&mut self, job: NewJob) -> Result<i64, LedgerError> {
        if let Some(steps) = &mut self.steps {
            return Ok(steps.job(job));
        }
        let run_id = self.run_id;
        insert_job(self.write_tx().await?, None, run_id, &job).await
    }

    /// Ends the planning of a job whose items are those behind `before`, or which has none because
    /// it could not be planned.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn job_planned(
        &mut self,
        job_id: i64,
        before: i64,
        failure: Option<(FailureCode, &Message)>,
    ) -> Result<(), LedgerError> {
        self.step().await?;
        if let Some(steps) = &mut self.steps {
            steps.job_planned(job_id, before, failure);
            return Ok(());
        }
        let last = self.newest_item().await?;
        job_is_planned(self.write_tx().await?, job_id, (before + 1, last), failure).await
    }

    /// Holds all items of a job, which has been planned by now, until they are approved as they
    /// are.
    ///
    /// # Errors
    /// Whatever the database says; then the plan must be abandoned.
    pub async fn hold(&mut self, job_id: i64, approval: &NewApproval) -> Result<(), LedgerError> {
        if self.steps.is_some() {
            self.hold_in_steps(job_id, approval).await?;
        } else {
            let now = self.now;
            ask(self.write_tx().await?, job_id, approval, now).await?;
        }
        self.total_changes.hold(job_id);
        Ok(())
    }

    /// A report is made when the run ends.
    pub const fn report_at_end(&mut self) {
        self.has_report = true;
    }

    /// Nothing of the run is sent before an instant: until then it can be withdrawn as a whole. The
    /// last that is said before the commit counts; items are not due before what was said first.
    pub const fn send_at(&mut self, at: Timestamp) {
        self.send_at = Some(at);
    }

    /// Makes the plan real; returns the run's id.
    ///
    /// # Errors
    /// Whatever the database says; then nothing was planned.
    pub async fn commit(mut self) -> Result<i64, LedgerError> {
        let made = self.make().await;
        if let Some(steps) = self.steps.take() {
            match &made {
                Ok(()) => steps.end_lock(),
                Err(_) => {
                    self.end_turn().await?;
                    steps.give_up(&self.ledger).await;
                }
            }
        }
        made?;
        self.ledger.woken.notify_waiters();
        Ok(self.run_id)
    }

    async fn make(&mut self) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of("committing a plan", source);
        let totals = list(&std::mem::take(&mut self.total_changes).lines());
        self.step().await?;
        self.write_tx().await?.acquire_write_lock().await?;
        let run_id = self.run_id;
        // Withdrawn since this plan began: who plans the job next sees that.
        if self.withdrawn_by.is_none()
            && withdrawn_by(self.connection().await?, run_id)
                .await?
                .is_some()
        {
            return Err(LedgerError::Busy {
                operation: "planning a job of a run that was just withdrawn",
            });
        }
        if let Some(before) = self.before_periods {
            self.look_at_holders(before).await?;
        }
        if let (Some(steps), Some(tx)) = (&self.steps, &mut self.tx) {
            steps.finish(tx).await?;
        }
        sqlx::query(SHIFT_TOTALS)
            .bind(totals)
            .execute(self.connection().await?)
            .await
            .map_err(failed)?;
        let now = self.now;
        withdraw_what_has_ended(self.write_tx().await?, run_id, now, now).await?;
        if let Some(send_at) = self.send_at {
            keep_send_at(self.write_tx().await?, run_id, send_at).await?;
        }
        if self.has_report {
            want_run_report(self.write_tx().await?, run_id).await?;
        }
        if self.steps.is_some() {
            payrun_system::failpoint::hit("plan_step");
        }
        self.tx
            .take()
            .expect("the transaction that was just begun")
            .commit_and_tell()
            .await?;
        if self.steps.is_some() {
            payrun_system::failpoint::hit("plan_step");
        }
        Ok(())
    }

    /// The connection, within the plan's transaction.
    pub(crate) async fn connection(&mut self) -> Result<&mut AnyConnection, LedgerError> {
        Ok(self.write_tx().await?.connection())
    }

    /// Who has withdrawn the run meanwhile, and why: a job of it gets no items.
    pub fn withdrawn_by(&self) -> Option<&str> {
        self.withdrawn_by.as_deref()
    }

    /// When this is planned.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Periods of contracts are noted from here on: which item is the newest of before is
    /// remembered.
    pub(crate) async fn periods_begin(&mut self) -> Result<(), LedgerError> {
        if self.before_periods.is_none() {
            self.before_periods = Some(self.newest_item().await?);
        }
        Ok(())
    }

    /// Leaves everything as it was before.
    ///
    /// # Errors
    /// Whatever the database says; nothing was planned all the same.
    pub async fn abandon(mut self) -> Result<(), LedgerError> {
        let ended = self.end_turn().await;
        if let Some(steps) = self.steps.take() {
            steps.give_up(&self.ledger).await;
        }
        ended
    }

    async fn end_turn(&mut self) -> Result<(), LedgerError> {
        match self.tx.take() {
            Some(tx) => tx.rollback().await,
            None => Ok(()),
        }
    }
}

const SHIFT_TOTALS: &str = "\
    insert into totals (job_id, state, currency, items, minor) \
    select cast(value ->> 'job_id' as bigint), value ->> 'state', value ->> 'currency', cast(value ->> 'items' as bigint), \
      cast(value ->> 'minor' as bigint) \
    from json_each($1)";
