//! What an attempt knows: the job, the account, the claimed item, and the operations of its kind.

use std::sync::Arc;
use std::time::Duration;

use crate::{Account, Engine};
use payrun_domain::policy::Policy;
use payrun_ledger::Claimed;
use payrun_project::job_kinds::{JobKind, Operations};

/// What an attempt needs to know of its job.
#[derive(Debug, Clone)]
pub struct JobContext {
    /// The job's kind.
    pub kind: Arc<JobKind>,
    /// The job's policies as they were planned.
    pub policy: Arc<Policy>,
}

/// How long a claim holds where more is to be done than a call: a file to be read into the ledger,
/// a report to be made.
pub(crate) const LONG_LEASE: Duration = Duration::from_secs(1_800);

impl JobContext {
    /// Whether this account can be asked what became of an effect.
    pub fn can_ask(&self, account: &Account) -> bool {
        self.kind.effect
            && self
                .kind
                .gateways
                .get(account.kind)
                .is_some_and(|operations| operations.query.is_some())
    }

    /// A longer lease than the account's, where one is needed.
    pub fn lease(&self, account: &Account) -> Option<Duration> {
        let keeps = self
            .kind
            .gateways
            .get(account.kind)
            .is_some_and(|operations| operations.stores.is_some());
        (self.kind.local || keeps).then_some(LONG_LEASE.max(account.lease()))
    }
}

/// Everything one attempt needs: engine, account, job, claimed item and operations.
#[derive(Clone, Copy)]
pub(crate) struct AttemptContext<'a> {
    pub engine: &'a Engine,
    pub account: &'a Account,
    pub work: &'a JobContext,
    pub claimed: &'a Claimed,
    pub operations: &'a Operations,
}
