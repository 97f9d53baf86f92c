//! What the backend and the handlers of one lane share: how many calls are under way, and whether
//! the ledger has failed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::task::AtomicWaker;
use tokio::sync::watch;

use crate::engine::attempt::JobContext;
use crate::engine::{Account, Engine};
use crate::ledger::{LedgerError, NodeId, OpenJob};

/// One gateway account at work.
pub struct Lane {
    pub(super) engine: Arc<Engine>,
    pub(super) account: Arc<Account>,
    pub(super) node: NodeId,
    /// Woken when a call has ended.
    pub(super) freed: AtomicWaker,
    calls: AtomicUsize,
    /// How many calls at once, by a person's word or the account's.
    allowed: AtomicUsize,
    jobs: Mutex<HashMap<i64, JobSlots>>,
    /// Jobs of another account, which were told of.
    foreign: Mutex<HashSet<i64>>,
    failure: watch::Sender<Option<LedgerError>>,
}

/// A job's place in the lane.
#[derive(Debug, Clone)]
struct JobSlots {
    work: JobContext,
    /// Claimed, and the call not ended.
    taken: usize,
}

impl Lane {
    pub(super) fn new(engine: Arc<Engine>, account: Arc<Account>, node: NodeId) -> Self {
        let allowed = AtomicUsize::new(usize::try_from(account.concurrency).unwrap_or(1));
        Self {
            engine,
            account,
            node,
            allowed,
            freed: AtomicWaker::new(),
            calls: AtomicUsize::new(0),
            jobs: Mutex::new(HashMap::new()),
            foreign: Mutex::new(HashSet::new()),
            failure: watch::Sender::new(None),
        }
    }

    pub(super) fn concurrency(&self) -> usize {
        self.allowed.load(Ordering::SeqCst).max(1)
    }

    /// Takes up what a person says of the concurrency; never more than the account allows.
    pub(super) fn limit(&self, concurrency: Option<u32>) {
        let allowed = concurrency.map_or(self.account.concurrency, |limit| {
            limit.min(self.account.concurrency)
        });
        self.allowed
            .store(usize::try_from(allowed).unwrap_or(1), Ordering::SeqCst);
    }

    /// How many more calls may begin.
    pub(super) fn free(&self) -> usize {
        self.concurrency()
            .saturating_sub(self.calls.load(Ordering::SeqCst))
    }

    /// How many items of a job are claimed and not called for, or under way.
    pub(super) fn taken_of(&self, job_id: i64) -> usize {
        self.slots().get(&job_id).map_or(0, |slot| slot.taken)
    }

    /// Remembers a job; false if its kind is not known here, or not done on this account, or was
    /// planned for another.
    pub(super) fn takes_job(&self, job: &OpenJob) -> bool {
        let known = self.engine.job_kinds.by_name.get(&job.kind);
        let Some(kind) = known.filter(|kind| kind.gateways.contains_key(self.account.kind)) else {
            return false;
        };
        if job
            .account
            .as_ref()
            .is_some_and(|account| *account != self.account.identity)
        {
            self.tell_of_another_account(job);
            return false;
        }
        let work = JobContext {
            kind: Arc::clone(kind),
            policy: Arc::clone(&job.policy),
        };
        self.slots()
            .entry(job.id)
            .or_insert(JobSlots { work, taken: 0 });
        true
    }

    /// Forgets the jobs that are no longer open and have nothing under way.
    pub(super) fn keep_open_jobs(&self, open: &[OpenJob]) {
        let open: HashSet<i64> = open.iter().map(|job| job.id).collect();
        self.slots()
            .retain(|id, slot| slot.taken > 0 || open.contains(id));
    }

    fn tell_of_another_account(&self, job: &OpenJob) {
        if self.foreign_jobs().insert(job.id) {
            tracing::error!(
                lane.name = self.account.name,
                job.id = job.id,
                "a job was planned for another account than the lane has now; nothing of it is sent or asked: give the lane the account of before"
            );
        }
    }

    fn foreign_jobs(&self) -> std::sync::MutexGuard<'_, HashSet<i64>> {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn work_of(&self, job_id: i64) -> Option<JobContext> {
        self.slots().get(&job_id).map(|slot| slot.work.clone())
    }

    /// An item of a job was claimed.
    pub(super) fn take(&self, job_id: i64) {
        if let Some(slot) = self.slots().get_mut(&job_id) {
            slot.taken += 1;
        }
    }

    /// Its call begins.
    pub(super) fn begin(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
    }

    /// Its call has ended.
    pub(super) fn end(&self, job_id: i64) {
        self.calls.fetch_sub(1, Ordering::SeqCst);
        if let Some(slot) = self.slots().get_mut(&job_id) {
            slot.taken = slot.taken.saturating_sub(1);
        }
        self.freed.wake();
    }

    /// The ledger has failed for good: the lane stops.
    pub(super) fn fail(&self, error: LedgerError) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                tracing::error!(lane.name = self.account.name, error = %error, "the ledger failed; the lane stops");
                *failure = Some(error);
            }
            first
        });
    }

    pub(super) fn failure(&self) -> LaneFailure {
        LaneFailure(self.failure.subscribe())
    }

    pub(super) fn take_failure(&self) -> Option<LedgerError> {
        self.failure.send_replace(None)
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, HashMap<i64, JobSlots>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells when the lane has failed.
pub(super) struct LaneFailure(watch::Receiver<Option<LedgerError>>);

impl LaneFailure {
    pub(super) async fn cancelled_by_failure(mut self) {
        if self.0.wait_for(Option::is_some).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
