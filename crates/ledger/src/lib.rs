//! The ledger: the only SQL, and the queue. What is here survives; what is not here did not happen.
//!
//! Two deeds carry the promises. *Claim is intent*: one commit turns due items to `sending`, with
//! order number and lease, before anybody sees them. *Settle is outcome*: answer, new state, totals
//! and history go down in one commit. Both go through one writer that commits in groups
//! (`writer.rs`). A state changes only as [`payrun_domain::item::apply`] says, by compare-and-set
//! on the item's version, with its event in the same commit. No transaction is open during a call.
//!
//! Two engines, SQLite and PostgreSQL, run the same statements (`home.rs`, `begin_write.rs`): a list is
//! JSON, read by `json_each`, which PostgreSQL's migrations define as far as it is needed here;
//! `value ->> n` is its n-th field, cast where it is a number.
//!
//! The ledger knows the domain and nothing else: no gateway, no workflow, no HTTP.

mod alert_queries;
mod apply_notification;
mod approval_batch;
mod approval_review;
mod approvals;
mod audit;
mod backup;
mod claim;
mod contracts;
mod copied_table;
mod error;
mod fence;
mod incidents;
mod item_pages;
mod item_rows;
mod lanes;
mod listen;
mod location;
mod metrics_queries;
#[cfg(feature = "mutation")]
mod mutation;
mod node;
mod notifications;
mod occurrences;
mod operator_action;
mod outbox;
mod pauses;
mod payment;
mod plan;
mod plan_steps;
mod promote;
mod prune;
mod prune_evidence;
mod read;
mod reconcile;
mod restore;
mod run_completion;
mod schedules;
mod schema;
mod settle;
mod settlements;
mod statement_line;
mod statements;
mod stop_reasons;
#[cfg(test)]
mod tests;
mod tokens;
mod unreachable;
mod vault;
mod write_tx;
mod writer;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sqlx::AnyPool;
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Mutex, Notify, mpsc};

pub use alert_queries::{
    AlarmedItem, FinishedRun, ReconcileDifference, RunRef, RunWithProblems, StateSum, SummedRuns,
    UnmappedCode,
};
pub use apply_notification::NotificationClaim;
pub use approval_batch::NewApproval;
pub use approval_review::{BatchDifferences, Charge, KeySample, RepeatedItem, RowPlace};
pub use approvals::{ApprovalRow, ApprovalState, DecisionOutcome, RunOrigin, Vote};
pub use audit::AuditRow;
pub use backup::BackupError;
pub use claim::{ClaimKind, ClaimRequest, Claimed, JobQuota};
pub use contracts::{
    AccountedPeriod, AutomaticStop, ChangeRow, ContractAction, ContractChange,
    ContractChangeOutcome, ContractFilter, ContractNews, ContractRow, ContractStop, Import,
    LAST_DAY, NewContract, PeriodOutcome, PeriodRow, PlannedContract, PlannedPeriod, ReopenRequest,
    UpsertOutcome,
};
pub use error::LedgerError;
pub use incidents::{Change, IncidentRow, NewIncident, Recipients};
pub use lanes::{JobName, LaneLimits, LaneRow, LaneState, LimitRow};
use location::DatabaseLocation;
pub use location::unverified_server;
pub use metrics_queries::{LaneHealth, UnknownAges};
pub use node::{Node, NodeId};
pub use notifications::{
    NewNotification, NotificationFilter, NotificationOutcome, NotificationRow,
};
pub use occurrences::{OccurrenceFilter, OccurrencePlace, OccurrenceRow};
pub use operator_action::{ActionResult, OperatorAction};
pub use outbox::{
    AlertEvent, DeliveryOutcome, DueRecipient, MailRow, MailState, NewMail, NoticeRow,
};
pub use pauses::{PauseRow, PauseTarget, decide_about};
pub use payment::{DeclaredItem, Payment, RefundCapacity, RefundReservation};
pub use plan::{
    DependentJob, EarlierItem, NewItem, NewJob, NewRun, PlanWriter, RejectedRow, ReplacedItem,
    ReplacementCheck, filed_again_as,
};
pub use promote::{PromoteError, PromotionReport};
pub use prune::Prunable;
pub use read::{
    AttemptRow, EarlierProblems, EventRow, ItemFilter, ItemRow, JobRow, OpenJob, RunProgress,
    RunRow, Total, WhoseJob,
};
pub use reconcile::{BookedItem, JobSpan, LineRef, ListedNumber, NumberKind, TimeSpan};
pub use restore::{RestoreError, RestoreReport};
pub use schedules::{NewOccurrence, ScheduleRow, ScheduleUpdate};
pub use settle::{Attempt, SettleOutcome, Settlement};
pub use settlements::SettlementRow;
pub use statement_line::{EvidenceOutcome, StatementEvidence};
pub use statements::{LineKind, NewStatement, StatementKept, StatementLine, StatementRow};
pub use stop_reasons::StopReason;
pub use tokens::{IdempotencyCheck, TokenRow};
pub use unreachable::UnreachableRow;
pub use vault::{ResealRow, ResealedPage, SealedKind, SealedRow, UNNAMED};
pub use write_tx::CommitFault;

/// A ledger that is open.
#[derive(Debug, Clone)]
pub struct Ledger {
    home: DatabaseLocation,
    read: AnyPool,
    write: Arc<Mutex<write_tx::WriteConnection>>,
    deeds: mpsc::Sender<writer::WriteRequest>,
    woken: Arc<Notify>,
    /// Whether this process holds its lock on the server.
    held: Arc<AtomicBool>,
    _listening: Option<Arc<listen::ListenGuard>>,
}

impl Ledger {
    /// Where it is, for people: the file, or the server without user and password.
    pub fn name(&self) -> &str {
        self.home.name()
    }

    /// The folder of the file; none on a server.
    pub fn folder(&self) -> Option<std::path::PathBuf> {
        let folder = self.home.file.as_ref()?.parent()?;
        Some(if folder.as_os_str().is_empty() {
            ".".into()
        } else {
            folder.to_owned()
        })
    }

    /// A transaction that nobody writes beside.
    async fn begin_write(&self, doing: &'static str) -> Result<write_tx::WriteTx, LedgerError> {
        write_tx::WriteTx::begin(&self.write, doing).await
    }

    /// Takes the turn to write and gives it back.
    ///
    /// # Errors
    /// Whatever keeps this process from writing.
    pub async fn try_begin_write(&self) -> Result<(), LedgerError> {
        self.begin_write("looking whether it can be written to")
            .await?
            .rollback()
            .await
    }

    /// Ends with the next commit from now on that may have made work due.
    pub fn work_may_be_due(&self) -> OwnedNotified {
        Arc::clone(&self.woken).notified_owned()
    }
}
