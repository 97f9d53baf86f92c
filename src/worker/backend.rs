//! The ledger as the backend of an apalis worker.
//!
//! It claims no more than can be called soon: the free places of the lane and twice its concurrency
//! ahead, so that none waits for a commit. It hands a claim out only when a place is free.
//! Transient failures of the database are retried here, since one error from a poll would end the
//! worker for good. Idle, it sleeps until something is due or a commit wakes it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use apalis_core::backend::finalize::Ephemeral;
use apalis_core::backend::{Backend, BackendConfig};
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::task_id::TaskId;
use apalis_core::worker::context::WorkerContext;
use tokio::sync::futures::OwnedNotified;
use tower_layer::Identity;

use super::lane::Lane;
use crate::domain::time::Timestamp;
use crate::engine::attempt::give_back;
use crate::ledger::{ClaimRequest, Claimed, JobQuota, LedgerError, OpenJob};

/// How long an idle worker sleeps at most. Other processes' work has no other way to be noticed.
const IDLE: Duration = Duration::from_millis(500);

/// How long a list of open jobs, and what persons say of the lane's concurrency, is good for.
const JOBS_FRESH: Duration = Duration::from_millis(500);

/// How often a failing claim is tried before the lane gives up, and the wait between; what may pass
/// by itself, such as a server that hands over to its standby, is waited for this long.
const CLAIM_TRIES: u32 = 5;
const CLAIM_PATIENCE: Duration = Duration::from_secs(60);
const CLAIM_WAIT: Duration = Duration::from_millis(300);

type FetchFuture = Pin<Box<dyn Future<Output = FetchResult> + Send>>;

/// What a fetch brought.
struct FetchResult {
    jobs: Jobs,
    claimed: Vec<Claimed>,
    /// For how long there is nothing to do, unless a commit since the look wakes us.
    idle: Option<(Duration, OwnedNotified)>,
}

/// The jobs to claim from, as they were a moment ago.
#[derive(Default)]
struct Jobs {
    open: Vec<OpenJob>,
    /// None if they are to be read again, whatever they say.
    read_at: Option<tokio::time::Instant>,
}

impl Jobs {
    /// Whether they may still be claimed from. What says that nothing is due may have been so a
    /// moment ago only.
    fn are_fresh(&self, now: Timestamp) -> bool {
        self.read_at.is_some_and(|at| at.elapsed() < JOBS_FRESH)
            && self.open.iter().any(|job| job.is_due(now))
    }
}

/// The backend of one lane's worker.
pub(super) struct LaneBackend {
    lane: Arc<Lane>,
    ready: VecDeque<Claimed>,
    jobs: Jobs,
    fetching: Option<FetchFuture>,
    closing: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl LaneBackend {
    pub(super) fn new(lane: Arc<Lane>) -> Self {
        Self {
            lane,
            ready: VecDeque::new(),
            jobs: Jobs::default(),
            fetching: None,
            closing: None,
        }
    }

    /// How many claims are missing, if they are worth a commit.
    fn missing(&self) -> usize {
        let wanted = self.lane.free() + self.lane.concurrency() * 2;
        let missing = wanted.saturating_sub(self.ready.len());
        if missing > self.lane.concurrency() / 2 {
            missing
        } else {
            0
        }
    }
}

impl Backend for LaneBackend {
    type Task = Task<Claimed>;
    type Error = Infallible;

    fn poll_ready(
        &mut self,
        _: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Task<Claimed>, Infallible>>> {
        self.lane.freed.register(cx.waker());
        loop {
            let missing = self.missing();
            if self.fetching.is_none() && missing > 0 {
                let jobs = std::mem::take(&mut self.jobs);
                self.fetching = Some(Box::pin(fetch(Arc::clone(&self.lane), jobs, missing)));
            }
            let fetched = match self
                .fetching
                .as_mut()
                .map(|fetching| fetching.as_mut().poll(cx))
            {
                Some(Poll::Ready(fetched)) => Some(fetched),
                Some(Poll::Pending) | None => None,
            };
            let progress = fetched.is_some();
            if let Some(fetched) = fetched {
                self.fetching = None;
                self.jobs = fetched.jobs;
                self.ready.extend(fetched.claimed);
                if let Some((time, woken)) = fetched.idle {
                    self.fetching =
                        Some(Box::pin(rest(std::mem::take(&mut self.jobs), time, woken)));
                }
            }
            if self.lane.free() > 0
                && let Some(claimed) = self.ready.pop_front()
            {
                self.lane.begin();
                return Poll::Ready(Some(Ok(TaskBuilder::new(claimed).build())));
            }
            if !progress {
                return Poll::Pending;
            }
        }
    }

    /// What was claimed and not sent is given back, also what a claim under way still brings.
    fn poll_close(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Result<(), Infallible>> {
        let closing = self.closing.get_or_insert_with(|| {
            let (lane, fetching) = (Arc::clone(&self.lane), self.fetching.take());
            let mut unsent: Vec<Claimed> = self.ready.drain(..).collect();
            Box::pin(async move {
                if let Some(fetching) = fetching {
                    unsent.extend(fetching.await.claimed);
                }
                return_unsent(&lane, unsent).await;
            })
        });
        closing.as_mut().poll(cx).map(Ok)
    }
}

impl BackendConfig for LaneBackend {
    type Args = Claimed;
    type Id = TaskId;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}

/// Claims up to `missing` items from the lane's open jobs.
async fn fetch(lane: Arc<Lane>, jobs: Jobs, missing: usize) -> FetchResult {
    let began = tokio::time::Instant::now();
    let mut failures = 0;
    let mut jobs = jobs;
    loop {
        let woken = lane.engine.ledger.work_may_be_due();
        match try_fetch(&lane, &mut jobs, missing).await {
            Ok((claimed, idle)) => {
                return FetchResult {
                    jobs,
                    claimed,
                    idle: idle.map(|time| (time, woken)),
                };
            }
            Err(error) => {
                failures += 1;
                let passes = error.is_transient() && began.elapsed() < CLAIM_PATIENCE;
                let gives_up = failures >= CLAIM_TRIES && !passes;
                if matches!(error, LedgerError::Full { .. } | LedgerError::Stopped) || gives_up {
                    lane.fail(error);
                    return FetchResult {
                        jobs,
                        claimed: Vec::new(),
                        idle: Some((IDLE, woken)),
                    };
                }
                tracing::warn!(lane.name = lane.account.name, error = %error, "a claim failed; it is tried again");
                tokio::time::sleep(CLAIM_WAIT).await;
            }
        }
    }
}

async fn try_fetch(
    lane: &Lane,
    jobs: &mut Jobs,
    missing: usize,
) -> Result<(Vec<Claimed>, Option<Duration>), LedgerError> {
    if let Some(time) = lane.account.watch.paused_for() {
        return Ok((Vec::new(), Some(time.min(IDLE))));
    }
    let now = lane.engine.clock.now();
    if !jobs.are_fresh(now) {
        let open = lane.engine.ledger.open_jobs(&lane.account.name).await?;
        lane.keep_open_jobs(&open);
        jobs.open = open.into_iter().filter(|job| lane.takes_job(job)).collect();
        lane.limit(
            lane.engine
                .ledger
                .lane_limits(&lane.account.name)
                .await?
                .concurrency,
        );
        jobs.read_at = Some(tokio::time::Instant::now());
    }
    // A job in dunning is open for weeks: of what is not due nothing is claimed, which would keep
    // everybody's writes waiting.
    let (due, later): (Vec<&OpenJob>, Vec<&OpenJob>) =
        jobs.open.iter().partition(|job| job.is_due(now));
    let later = later.iter().filter_map(|job| job.due).min();
    let idle_until = |next: Option<Timestamp>| {
        let next = next.into_iter().chain(later).min();
        next.map_or(IDLE, |next| {
            next.since(now).clamp(Duration::from_millis(1), IDLE)
        })
    };
    let quotas: Vec<JobQuota> = due
        .into_iter()
        .map(|job| quota_of(lane, job, missing))
        .filter(|quota| quota.slots > 0)
        .collect();
    if quotas.is_empty() {
        return Ok((Vec::new(), Some(idle_until(None))));
    }
    let request = ClaimRequest {
        lane: lane.account.name.clone(),
        node: lane.node,
        now,
        lease: lane.account.lease(),
        rate: lane.account.rate,
        slots: missing,
        quotas,
    };
    let (claimed, next) = lane.engine.ledger.claim_due(request).await?;
    claimed.iter().for_each(|one| lane.take(one.job_id()));
    let idle = claimed.is_empty().then(|| idle_until(next));
    if idle.is_some() {
        jobs.read_at = None;
    }
    Ok((claimed, idle))
}

fn quota_of(lane: &Lane, job: &OpenJob, missing: usize) -> JobQuota {
    let own = job.concurrency.map_or(usize::MAX, |most| {
        usize::try_from(most)
            .unwrap_or(usize::MAX)
            .saturating_sub(lane.taken_of(job.id))
    });
    let work = lane.work_of(job.id);
    JobQuota {
        job_id: job.id,
        kind: job.kind.clone(),
        slots: missing.min(own),
        rate: job.rate,
        lease: work.as_ref().and_then(|work| work.lease(&lane.account)),
        policy: Arc::clone(&job.policy),
        can_ask: work.is_some_and(|work| work.can_ask(&lane.account)),
    }
}

/// Nothing to do for a while, unless a commit wakes us.
async fn rest(jobs: Jobs, time: Duration, woken: OwnedNotified) -> FetchResult {
    tokio::time::timeout(time, woken).await.ok();
    FetchResult {
        jobs,
        claimed: Vec::new(),
        idle: None,
    }
}

async fn return_unsent(lane: &Lane, unsent: Vec<Claimed>) {
    let now = lane.engine.clock.now();
    let settlements = unsent.iter().filter_map(|claimed| {
        let work = lane.work_of(claimed.job_id())?;
        give_back(claimed, &work, now).ok()
    });
    let given =
        settlements.map(|settlement| crate::engine::attempt::settle(&lane.engine, settlement));
    for outcome in futures_util::future::join_all(given).await {
        if let Err(error) = outcome {
            lane.fail(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::policy::{Policy, QueryPolicy, Retry};

    fn job(due: Option<i64>) -> OpenJob {
        let policy = Policy {
            retry: Retry {
                attempts: 1,
                first: IDLE,
                max: IDLE,
            },
            query: QueryPolicy {
                schedule: Vec::new(),
                grace: IDLE,
                horizon: IDLE,
            },
            dunning: Vec::new(),
        };
        OpenJob {
            id: 1,
            kind: "deduct".to_owned(),
            lane: "hk".to_owned(),
            account: None,
            policy: Arc::new(policy),
            rate: None,
            concurrency: None,
            due: due.map(Timestamp::from_millis),
        }
    }

    #[test]
    fn a_list_of_jobs_is_good_for_a_moment_and_only_if_something_is_due() {
        let now = Timestamp::from_millis(1_000);
        let read = |dues: &[Option<i64>]| Jobs {
            open: dues.iter().map(|due| job(*due)).collect(),
            read_at: Some(tokio::time::Instant::now()),
        };
        assert!(read(&[Some(5_000), Some(1_000)]).are_fresh(now));
        assert!(
            !read(&[Some(5_000), None]).are_fresh(now),
            "what was due a moment later may be due now"
        );
        assert!(!read(&[]).are_fresh(now));
        assert!(
            !Jobs {
                read_at: None,
                ..read(&[Some(1_000)])
            }
            .are_fresh(now)
        );
        let long_ago = tokio::time::Instant::now().checked_sub(JOBS_FRESH).unwrap();
        assert!(
            !Jobs {
                read_at: Some(long_ago),
                ..read(&[Some(1_000)])
            }
            .are_fresh(now)
        );
    }
}
