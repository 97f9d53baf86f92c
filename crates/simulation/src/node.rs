//! A process of a play: its clock, its lock, what it has under way and what it has not written down
//! yet.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::network::{CallId, Network};
use payrun_domain::item::IllegalMove;
use payrun_domain::time::Timestamp;
use payrun_engine::attempt::{JobContext, execute};
use payrun_engine::{Account, Engine};
use payrun_ledger::{
    ClaimKind, ClaimRequest, Claimed, JobQuota, LedgerError, Node, OpenJob, Settlement,
};
use payrun_sandbox::Reaction;
use payrun_system::clock::Clock;

type AttemptFuture = Pin<Box<dyn Future<Output = Result<Settlement, IllegalMove>>>>;

/// A process.
pub(super) struct SimNode {
    pub engine: Arc<Engine>,
    pub node: Node,
    pub clock: Clock,
    /// How far its clock is from the true one, in milliseconds.
    pub skew: i64,
    /// Nothing of it moves before this instant.
    pub still_until: Timestamp,
    /// What is claimed, and not begun.
    pub in_hand: VecDeque<(Arc<Account>, JobContext, Claimed)>,
    pub calls: BTreeMap<CallId, PendingCall>,
    /// What is known and not written down.
    pub settlements: VecDeque<Settlement>,
}

/// A call under way.
pub(super) struct PendingCall {
    performing: AttemptFuture,
    /// What it sends; nothing if it asks.
    pub sends: Option<PendingSubmission>,
    /// What has come back, and not been heard of yet.
    pub reply: Option<Reaction>,
    /// When its caller gives up.
    pub deadline: Timestamp,
}

/// Which number is sent, and from when on "no such order" counts for it.
#[derive(Debug, Clone)]
pub(super) struct PendingSubmission {
    pub number: String,
    pub grace_ends: Timestamp,
}

impl PendingSubmission {
    fn of(claimed: &Claimed, work: &JobContext) -> Option<Self> {
        let at = claimed
            .item
            .sent_at
            .filter(|_| claimed.claim_kind == ClaimKind::Submit)?;
        Some(Self {
            number: claimed.order_no().to_string(),
            grace_ends: at.plus(work.policy.query.grace),
        })
    }
}

/// How far a call came.
pub(super) enum CallStep {
    /// It waits for the network.
    Waits,
    /// It has ended.
    Ended(Box<Settlement>),
    /// The state machine knows no such move: a defect of payrun.
    Illegal(IllegalMove),
}

impl SimNode {
    /// Sets its clock by the true one.
    pub fn look_at_the_clock(&self, now: Timestamp) {
        self.clock
            .set(Timestamp::from_millis(now.millis() + self.skew));
    }

    /// Claims what is due on an account, at most `slots`.
    pub async fn claim(
        &self,
        account: &Account,
        slots: usize,
    ) -> Result<Vec<(Claimed, JobContext)>, LedgerError> {
        let now = self.engine.clock.now();
        let open = self.engine.ledger.open_jobs(&account.name).await?;
        let due = open.into_iter().filter(|job| job.is_due(now));
        let known: Vec<(OpenJob, JobContext)> = due
            .filter_map(|job| Some((job.clone(), self.work(&job, account)?)))
            .collect();
        let quota = |(job, work): &(OpenJob, JobContext)| JobQuota {
            job_id: job.id,
            kind: job.kind.clone(),
            slots,
            rate: job.rate,
            lease: work.lease(account),
            policy: Arc::clone(&job.policy),
            can_ask: work.can_ask(account),
        };
        let request = ClaimRequest {
            lane: account.name.clone(),
            node: self.node.id(),
            now,
            lease: account.lease(),
            rate: account.rate,
            slots,
            quotas: known.iter().map(quota).collect(),
        };
        if request.quotas.is_empty() {
            return Ok(Vec::new());
        }
        let (claimed, _) = self.engine.ledger.claim_due(request).await?;
        let with_work = claimed.into_iter().filter_map(|one| {
            let work = known
                .iter()
                .find(|(job, _)| job.id == one.job_id())
                .map(|(_, work)| work.clone())?;
            Some((one, work))
        });
        Ok(with_work.collect())
    }

    fn work(&self, job: &OpenJob, account: &Account) -> Option<JobContext> {
        let kind = self
            .engine
            .job_kinds
            .by_name
            .get(&job.kind)
            .filter(|kind| kind.gateways.contains_key(account.kind))?;
        Some(JobContext {
            kind: Arc::clone(kind),
            policy: Arc::clone(&job.policy),
        })
    }

    /// Begins a call; nothing of it happens before [`SimNode::advance`].
    pub fn begin(
        &mut self,
        id: CallId,
        account: &Arc<Account>,
        work: JobContext,
        claimed: Claimed,
        now: Timestamp,
    ) {
        let (engine, account) = (Arc::clone(&self.engine), Arc::clone(account));
        // As the worker gives it up, with the time to connect.
        let deadline = now.plus(account.timeout + Duration::from_millis(250));
        let sends = PendingSubmission::of(&claimed, &work);
        let performing =
            Box::pin(async move { execute(&engine, &account, &work, &claimed, || {}).await });
        self.calls.insert(
            id,
            PendingCall {
                performing,
                sends,
                reply: None,
                deadline,
            },
        );
    }

    /// Goes on with a call until it waits for the network or has ended.
    pub async fn advance(&mut self, id: CallId, network: &Network) -> Option<CallStep> {
        let call = self.calls.get_mut(&id)?;
        let came = poll_fn(|cx| {
            network.work_on(id);
            match call.performing.as_mut().poll(cx) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending if network.waits(id) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        Some(match came {
            None => CallStep::Waits,
            Some(ended) => {
                self.calls.remove(&id);
                match ended {
                    Ok(settlement) => CallStep::Ended(Box::new(settlement)),
                    Err(illegal) => CallStep::Illegal(illegal),
                }
            }
        })
    }
}
