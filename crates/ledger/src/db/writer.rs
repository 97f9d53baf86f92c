//! The one writer of a process: it takes all requests that wait and commits them together.
//!
//! A request is answered after the commit has been synced, never before. A failed commit fails every
//! request in it; nothing of it has happened, or it is not known whether it has: a settle is given
//! again and counts once, and claims that nobody was told of are given back with the next commit,
//! since nothing can have been sent for them. Until then nothing is claimed here, and what another
//! node holds by then is its own: so nothing is taken from anybody who was told of it. Settles come
//! before claims, so that a contract that has just become free can be taken at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify, mpsc, oneshot};

use crate::db::node::NodeId;
use crate::db::write_tx::{CommitFault, WriteConnection, WriteTx, unless_silent};
use crate::error::LedgerError;
use crate::items::claim::{ClaimRequest, Claims, claim};
use crate::items::settle::{SettleOutcome, Settlement, settle, still_claimed};
use crate::notifications::notification_queue::{NewNotification, keep};
use crate::{Claimed, Ledger};
use payrun_domain::item::{Event, apply};
use payrun_domain::time::Timestamp;

/// How many requests may wait.
pub(crate) const BACKLOG: usize = 4096;

/// How many requests one commit takes at most.
const GROUP: usize = 512;

/// While there is much to do, settles wait this long for company: one sync serves them all.
/// Nobody's call waits for it, since a lane goes on when a call has ended. A claim is never kept
/// waiting.
const LINGER: Duration = Duration::from_millis(8);

/// How many requests a commit had if there is much to do.
const BUSY: usize = 4;

/// A server has taken a group by then, also where hundreds of settles are late and go one by one
/// over a slow line.
const FILLED: Duration = Duration::from_secs(120);

const OPERATION: &str = "writing to it";

type ResultSender<T> = oneshot::Sender<Result<T, LedgerError>>;

/// Something to be written.
#[derive(Debug)]
pub(crate) enum WriteRequest {
    Settle(Box<Settlement>, ResultSender<SettleOutcome>),
    Claim(ClaimRequest, ResultSender<Claims>),
    Keep(Box<NewNotification>, ResultSender<()>),
    /// Answered when all before it is on disk.
    Flush(oneshot::Sender<()>),
}

impl Ledger {
    /// Claims what is due, up to the quotas. Also says when it is worth asking again.
    ///
    /// # Errors
    /// Whatever keeps the commit from happening; then nothing was claimed.
    pub async fn claim_due(
        &self,
        request: ClaimRequest,
    ) -> Result<(Vec<Claimed>, Option<Timestamp>), LedgerError> {
        if !self.may_claim() {
            return Ok((Vec::new(), None));
        }
        let (answer, answered) = oneshot::channel();
        self.write_requests
            .send(WriteRequest::Claim(request, answer))
            .await
            .map_err(|_| LedgerError::Stopped)?;
        let claims = answered.await.map_err(|_| LedgerError::Stopped)??;
        Ok((claims.claimed, claims.next))
    }

    /// Has a commit of this process fail, once: the next one, if one is named.
    pub async fn plan_commit_fault(&self, fault: Option<CommitFault>) {
        self.write.lock().await.plan_fault(fault);
    }

    /// Writes down what became of a claim; returns when it is durable.
    ///
    /// # Errors
    /// Whatever keeps the commit from happening. The same settlement may be given again: it counts
    /// once.
    pub async fn settle(&self, settlement: Settlement) -> Result<SettleOutcome, LedgerError> {
        let (answer, answered) = oneshot::channel();
        let request = WriteRequest::Settle(Box::new(settlement), answer);
        self.write_requests
            .send(request)
            .await
            .map_err(|_| LedgerError::Stopped)?;
        answered.await.map_err(|_| LedgerError::Stopped)?
    }
}

/// Runs until the last [`Ledger`] is gone.
pub(crate) async fn run(
    writing: Arc<Mutex<WriteConnection>>,
    mut inbox: mpsc::Receiver<WriteRequest>,
    woken: Arc<Notify>,
) {
    let (mut busy, mut well, mut doubtful) = (false, true, Vec::new());
    while let Some(first) = inbox.recv().await {
        if busy && matches!(first, WriteRequest::Settle(..) | WriteRequest::Keep(..)) {
            tokio::time::sleep(LINGER).await;
        }
        let mut group = CommitGroup::default();
        group.add(first);
        while group.len() < GROUP
            && let Ok(request) = inbox.try_recv()
        {
            group.add(request);
        }
        busy = group.len() >= BUSY;
        group
            .commit(&writing, &woken, &mut well, &mut doubtful)
            .await;
    }
}

/// Deeds that share a commit.
#[derive(Debug, Default)]
struct CommitGroup {
    settles: Vec<(Settlement, ResultSender<SettleOutcome>)>,
    claims: Vec<(ClaimRequest, ResultSender<Claims>)>,
    notifications: Vec<(NewNotification, ResultSender<()>)>,
    flushes: Vec<oneshot::Sender<()>>,
    uncertain: Vec<UncertainClaim>,
}

/// Gives back what a commit may have claimed of which nobody was told.
#[derive(Debug)]
pub(crate) struct UncertainClaim {
    pub node: NodeId,
    pub settlement: Settlement,
}

/// Why a group was not written, and what it may have claimed all the same.
#[derive(Debug)]
struct FailedGroup {
    error: LedgerError,
    uncertain: Vec<UncertainClaim>,
}

impl From<LedgerError> for FailedGroup {
    fn from(error: LedgerError) -> Self {
        Self {
            error,
            uncertain: Vec::new(),
        }
    }
}

impl CommitGroup {
    fn add(&mut self, request: WriteRequest) {
        match request {
            WriteRequest::Settle(settlement, answer) => self.settles.push((*settlement, answer)),
            WriteRequest::Claim(request, answer) => self.claims.push((request, answer)),
            WriteRequest::Keep(new, answer) => self.notifications.push((*new, answer)),
            WriteRequest::Flush(answer) => self.flushes.push(answer),
        }
    }

    /// Every request in a group of its own, what gives back first; what is told when all is done comes
    /// last.
    fn split(self) -> Vec<Self> {
        let settles = self.settles.into_iter().map(|one| Self {
            settles: vec![one],
            ..Self::default()
        });
        let claims = self.claims.into_iter().map(|one| Self {
            claims: vec![one],
            ..Self::default()
        });
        let notifications = self.notifications.into_iter().map(|one| Self {
            notifications: vec![one],
            ..Self::default()
        });
        let uncertain = self.uncertain.into_iter().map(|one| Self {
            uncertain: vec![one],
            ..Self::default()
        });
        let flushes = std::iter::once(Self {
            flushes: self.flushes,
            ..Self::default()
        });
        uncertain
            .chain(settles)
            .chain(claims)
            .chain(notifications)
            .chain(flushes)
            .collect()
    }

    const fn len(&self) -> usize {
        self.settles.len() + self.claims.len() + self.notifications.len() + self.uncertain.len()
    }

    /// `well`: whether the last commit went well. What fails is given again soon, and is told of
    /// once. `doubtful`: what is to be given back with the next commit.
    async fn commit(
        mut self,
        writing: &Arc<Mutex<WriteConnection>>,
        woken: &Notify,
        well: &mut bool,
        doubtful: &mut Vec<UncertainClaim>,
    ) {
        self.uncertain.append(doubtful);
        if self.len() > 0 {
            match self.write(writing).await {
                Ok((settled, claimed)) => {
                    *well = true;
                    payrun_system::failpoint::hit("after_commit");
                    let freed = !settled.is_empty();
                    for ((_, answer), outcome) in self.settles.into_iter().zip(settled) {
                        answer.send(Ok(outcome)).ok();
                    }
                    for ((_, answer), claims) in self.claims.into_iter().zip(claimed) {
                        answer.send(Ok(claims)).ok();
                    }
                    for (_, answer) in self.notifications {
                        answer.send(Ok(())).ok();
                    }
                    if freed {
                        woken.notify_waiters();
                    }
                }
                // One request that the database will not take must not hold up the others.
                Err(FailedGroup { error, uncertain })
                    if self.len() > 1 && error.may_be_of_one_request() =>
                {
                    doubtful.extend(uncertain);
                    for one in self.split() {
                        Box::pin(one.commit(writing, woken, well, doubtful)).await;
                    }
                    return;
                }
                Err(FailedGroup { error, uncertain }) => {
                    // What the database will not take by itself is left to its lease.
                    if !error.may_be_of_one_request() {
                        doubtful.append(&mut self.uncertain);
                    }
                    doubtful.extend(uncertain);
                    if std::mem::take(well) {
                        tracing::warn!(error = %chain(&error), "a commit of the ledger failed");
                    }
                    for (_, answer) in self.settles {
                        answer.send(Err(again(&error))).ok();
                    }
                    for (_, answer) in self.claims {
                        answer.send(Err(again(&error))).ok();
                    }
                    for (_, answer) in self.notifications {
                        answer.send(Err(again(&error))).ok();
                    }
                }
            }
        }
        for answer in self.flushes {
            answer.send(()).ok();
        }
    }

    async fn write(
        &self,
        writing: &Arc<Mutex<WriteConnection>>,
    ) -> Result<(Vec<SettleOutcome>, Vec<Claims>), FailedGroup> {
        let mut tx = WriteTx::begin(writing, OPERATION).await?;
        let (settled, claimed) =
            unless_silent(tx.db_kind(), FILLED, OPERATION, self.fill(&mut tx)).await?;
        payrun_system::failpoint::hit("before_commit");
        #[cfg(feature = "mutation")]
        if crate::mutation::settle_is_lost() && !settled.is_empty() {
            tx.rollback().await?;
            return Ok((settled, claimed));
        }
        match tx.commit().await {
            Ok(()) => Ok((settled, claimed)),
            Err(error) => Err(FailedGroup {
                error,
                uncertain: self.give_back(&claimed),
            }),
        }
    }

    async fn fill(
        &self,
        tx: &mut WriteTx,
    ) -> Result<(Vec<SettleOutcome>, Vec<Claims>), LedgerError> {
        let back = still_claimed(tx, &self.uncertain).await?;
        let settlements: Vec<&Settlement> = self
            .settles
            .iter()
            .map(|(settlement, _)| settlement)
            .chain(back)
            .collect();
        let settled = if settlements.is_empty() {
            Vec::new()
        } else {
            settle(tx, &settlements).await?
        };
        let notifications: Vec<&NewNotification> =
            self.notifications.iter().map(|(new, _)| new).collect();
        if !notifications.is_empty() {
            keep(tx, &notifications).await?;
        }
        let mut claimed = Vec::with_capacity(self.claims.len());
        for (request, _) in &self.claims {
            claimed.push(claim(tx, request).await?);
        }
        Ok((settled, claimed))
    }

    /// What gives claims back that may have been made.
    fn give_back(&self, claimed: &[Claims]) -> Vec<UncertainClaim> {
        let requests = self.claims.iter().map(|(request, _)| request);
        let back = requests.zip(claimed).flat_map(|(request, claims)| {
            claims.claimed.iter().filter_map(|one| {
                let quota = request
                    .quotas
                    .iter()
                    .find(|quota| quota.job_id == one.job_id())?;
                let moved = apply(&one.item, &Event::Unsent, &quota.policy, request.now).ok()?;
                Some(UncertainClaim {
                    node: request.node,
                    settlement: Settlement::unsent(one, moved, request.now),
                })
            })
        });
        back.collect()
    }
}

/// The same failure, for everybody whose request was in the commit.
fn again(error: &LedgerError) -> LedgerError {
    match error {
        LedgerError::Busy { operation } => LedgerError::Busy { operation },
        LedgerError::Full { operation } => LedgerError::Full { operation },
        LedgerError::Inconsistent { what } => LedgerError::Inconsistent { what: what.clone() },
        LedgerError::Corrupt { table, id, column } => LedgerError::corrupt(table, id, column),
        LedgerError::Unreachable { operation, .. } => LedgerError::Unreachable {
            operation,
            source: sqlx::Error::Protocol(chain(error)),
        },
        LedgerError::Address { .. }
        | LedgerError::Open { .. }
        | LedgerError::Newer { .. }
        | LedgerError::Moved { .. }
        | LedgerError::Migrate { .. }
        | LedgerError::Unsafe { .. }
        | LedgerError::Database { .. }
        | LedgerError::Lock { .. }
        | LedgerError::RunExists { .. }
        | LedgerError::MissingKey { .. }
        | LedgerError::Stopped => LedgerError::Database {
            operation: "writing to it, together with others",
            source: sqlx::Error::Protocol(chain(error)),
        },
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text.push_str(": ");
        text.push_str(&deeper.to_string());
        cause = deeper.source();
    }
    text
}
