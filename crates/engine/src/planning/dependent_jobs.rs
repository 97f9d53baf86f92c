//! Planning the jobs that take their items from other jobs of their run, once those have ended.
//!
//! It is done with the workflow file, parameters and instant that the run was planned with. A job
//! that cannot be planned ends without items, and says why: the others go on.

use std::path::Path;
use std::sync::Arc;

use crate::Engine;
use crate::planning::{PlanError, RunRequest};
use payrun_domain::time::Timestamp;
use payrun_ledger::{DependentJob, LedgerError, PlanWriter};
use payrun_project::workflow::load;

impl Engine {
    /// Plans what can be planned by now; says how many jobs.
    ///
    /// # Errors
    /// Whatever the ledger says; of several failures the first one. A job that it was said of stays
    /// to be planned.
    pub(crate) async fn plan_dependent_jobs(&self, now: Timestamp) -> Result<usize, LedgerError> {
        let (mut planned, mut failed) = (0, None);
        for job in self.ledger.jobs_to_plan().await? {
            match self.plan_late_job(&job, now).await {
                Ok(is_planned) => planned += usize::from(is_planned),
                // One whose keys another plan has waits for that one; the next ones do not.
                Err(error) if error.is_transient() => {
                    tracing::info!(job.id = job.id, %error, "a job is planned later")
                }
                // What cannot be read of one job keeps no other from being planned.
                Err(error @ (LedgerError::Corrupt { .. } | LedgerError::MissingKey { .. })) => {
                    failed.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        failed.map_or(Ok(planned), Err)
    }

    async fn plan_late_job(&self, job: &DependentJob, now: Timestamp) -> Result<bool, LedgerError> {
        let request = self.request_of(job);
        let Some(mut planning) = self.ledger.plan_dependents(job, now).await? else {
            return Ok(false);
        };
        if let Some(by) = planning.withdrawn_by() {
            let withdrawn = PlanError::Withdrawn {
                job: job.name.clone(),
                by: by.to_owned(),
            };
            tracing::info!(run.id = job.run_id, job.name = job.name, "{withdrawn}");
            end_without_items(planning, job, &withdrawn).await?;
            return Ok(true);
        }
        let place = request.as_ref().ok().and_then(|request| {
            request
                .workflow
                .jobs
                .iter()
                .position(|known| known.name == job.name)
        });
        let outcome = match (&request, place) {
            (Ok(request), Some(place)) => self
                .plan_items(
                    &mut planning,
                    job.id,
                    request,
                    (place, None),
                    &Arc::default(),
                )
                .await
                .map(|_| ()),
            (Err(_), _) => request.map(|_| ()),
            (Ok(_), None) => Err(late(job, "the workflow file has no such job")),
        };
        match outcome {
            Ok(()) => {
                planning.commit().await?;
            }
            Err(PlanError::Ledger(error)) => {
                planning.abandon().await?;
                return Err(error);
            }
            // The process ends: the job is planned by another one, or the next.
            Err(PlanError::Stopped { .. }) => {
                planning.abandon().await?;
                return Ok(false);
            }
            Err(error) => {
                planning.abandon().await?;
                self.give_up(job, &error, now).await?;
            }
        }
        Ok(true)
    }

    /// The job ends without items, and says why.
    async fn give_up(
        &self,
        job: &DependentJob,
        error: &PlanError,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        tracing::error!(run.id = job.run_id, job.name = job.name, error = %error, "a job could not be planned");
        match self.ledger.plan_dependents(job, now).await? {
            Some(planning) => end_without_items(planning, job, error).await,
            None => Ok(()),
        }
    }

    /// What the run was begun with.
    fn request_of(&self, job: &DependentJob) -> Result<RunRequest, PlanError> {
        let path = Path::new("the run's workflow");
        let workflow =
            load::parse(&job.source, path, &self.job_kinds, &self.config).map_err(|found| {
                late(
                    job,
                    &format!("the workflow no longer fits payrun.yaml: {found}"),
                )
            })?;
        Ok(RunRequest::dependent(job, Arc::new(workflow))?)
    }
}

async fn end_without_items(
    mut planning: PlanWriter,
    job: &DependentJob,
    error: &PlanError,
) -> Result<(), LedgerError> {
    let before = planning.newest_item().await?;
    planning
        .job_planned(job.id, before, Some((error.code(), &error.message())))
        .await?;
    planning.commit().await.map(|_| ())
}

fn late(job: &DependentJob, reason: &str) -> PlanError {
    PlanError::Late {
        job: job.name.clone(),
        reason: reason.to_owned(),
    }
}
