//! The ledger: the only SQL, and the queue. What is here survives; what is not here did not happen.
//!
//! Two operations carry the promises. *Claim is intent*: one commit turns due items to `sending`, with
//! order number and lease, before anybody sees them. *Settle is outcome*: answer, new state, totals
//! and history go down in one commit. Both go through one writer that commits in groups
//! (`db/writer.rs`). A state changes only as [`payrun_domain::item::apply`] says, by compare-and-set
//! on the item's version, with its event in the same commit; what an item is planned as is decided
//! before its plan's last commit, until which nobody sees it. No transaction is open during a call.
//!
//! Two engines, SQLite and PostgreSQL, run the same statements (`db/location.rs`,
//! `db/write_tx.rs`): a list is JSON, read by `json_each`, which PostgreSQL's migrations define as
//! far as it is needed here. Its fields go by their names, cast where they are numbers; pairs, and
//! what is written with every call, go by position.
//!
//! The ledger knows the domain and nothing else: no gateway, no workflow, no HTTP.

mod admin;
mod alerts;
mod approvals;
mod audit;
mod contracts;
mod db;
mod differences;
mod error;
mod items;
mod lanes;
#[cfg(feature = "mutation")]
mod mutation;
mod notifications;
mod planning;
mod reads;
mod refunds;
mod reports;
mod schedules;
mod search;
mod sessions;
mod statements;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sqlx::AnyPool;
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Mutex, Notify, mpsc};

pub use admin::backup::{BackupError, LastBackup};
pub use admin::promote::{PromoteError, PromotionReport};
pub use admin::prune::Prunable;
pub use admin::restore::{RestoreError, RestoreReport};
pub use admin::vault::{ResealRow, ResealedPage, SealedKind, SealedRow, UNNAMED};
pub use alerts::alert_queries::{
    AlarmedItem, FinishedRun, ReconcileDifference, RunRef, RunWithProblems, StateSum, SummedRuns,
    UnmappedCode,
};
pub use alerts::incidents::{IncidentChange, IncidentRow, NewIncident, Recipients};
pub use alerts::mutes::AlertMute;
pub use alerts::outbox::{
    AlertEvent, AlertEventRow, DeliveryOutcome, DueRecipient, MailRow, MailState, NewMail,
};
pub use approvals::approval_batch::NewApproval;
pub use approvals::approval_review::{BatchDifferences, Charge, KeySample, RepeatedItem, RowPlace};
pub use approvals::votes::{
    ApprovalRow, ApprovalState, DecisionOutcome, ListedApprovals, RunOrigin, Vote,
};
pub use audit::AuditRow;
pub use contracts::stop_reasons::StopReason;
pub use contracts::{
    AccountedPeriod, AutomaticStop, ChangeRow, ContractAction, ContractChange,
    ContractChangeOutcome, ContractFilter, ContractNews, ContractRow, ContractStop, Import,
    NewContract, PeriodOutcome, PeriodRow, PlannedContract, PlannedPeriod, ReopenRequest,
    UpsertOutcome,
};
use db::location::DatabaseLocation;
pub use db::location::unverified_server;
pub use db::node::{Node, NodeId};
pub use db::unreachable::UnreachableRow;
pub use db::write_tx::CommitFault;
pub use differences::{
    DIFFERENCES_AT_ONCE, Difference, DifferenceChange, DifferenceEventRow, DifferenceFilter,
    DifferenceOutcome, DifferenceRow, DifferenceSpan, DifferenceSum, KeptDifference,
};
pub use error::LedgerError;
pub use items::apply_notification::NotificationClaim;
pub use items::bulk_actions::{
    BulkActionRow, BulkRefusal, BulkStart, BulkState, BulkVerb, CountedItems, NewBulkAction,
};
pub use items::bulk_items::BulkActionOfItem;
pub use items::claim::{ClaimRequest, JobQuota};
pub use items::claimed_item::{ClaimKind, Claimed};
pub use items::gateway_numbers::{GatewayNumber, RECEIPT};
pub use items::operator_action::{
    ActionResult, OfferedActions, OperatorAction, WITHDRAWN_NEEDS_REVIEW,
};
pub use items::run_withdrawal::RunWithdrawal;
pub use items::settle::{Attempt, SettleOutcome, Settlement};
pub use items::statement_line::{EvidenceOutcome, StatementEvidence};
pub use lanes::lane_states::{JobName, LaneLimits, LaneRow, LaneState, LimitRow};
pub use lanes::pauses::{PauseAction, PauseRow, PauseTarget, PausedScope, decide_about};
pub use notifications::notification_queue::{
    NewNotification, NotificationFilter, NotificationOutcome, NotificationRow,
};
pub use planning::column_mappings::{ChosenColumns, HeaderOfJob};
pub use planning::dependent_jobs::DependentJob;
pub use planning::payment_names::PaymentNames;
pub use planning::plan::PlanWriter;
pub use planning::planned_items::NewItem;
pub use planning::references::{ItemReference, ROW_ORDER_NUMBER};
pub use planning::rejected_rows::RejectedRow;
pub use planning::replacement::{EarlierItem, ReplacedItem, ReplacementCheck, filed_again_as};
pub use planning::run_rows::{NewJob, NewRun};
pub use planning::whole_or_parts::ItemPart;
pub use reads::exported_items::{ExportedItem, ItemFacts, JobSource};
pub use reads::item::ItemRow;
pub use reads::item_history::{AttemptRow, EventRow};
pub use reads::item_pages::{AmountIn, BulkItems, ItemFilter, NO_CODE, RejectedLine};
pub use reads::metrics_queries::{LaneHealth, RecentAnswer, UnknownAges};
pub use reads::open_jobs::{OpenJob, RunProgress};
pub use reads::payments_named_twice::PaymentNamedTwice;
pub use reads::related_items::{RelatedItem, Relation};
pub use reads::run_sums::{FailureSum, TimeSteps, TimeSum};
pub use reads::run_totals::{EarlierProblems, Total};
pub use reads::runs::{JobRow, RunRow, WhoseJob};
pub use reads::unresolved_sums::{UnresolvedSum, UnresolvedSums};
pub use reads::unsuccessful_lines::{LaterItem, UnsuccessfulLine};
pub use refunds::payment::{DeclaredItem, Payment, RefundCapacity, RefundReservation};
pub use reports::report_queue::{DueReport, MadeReport};
pub use schedules::occurrences::{OccurrenceFilter, OccurrencePlace, OccurrenceRow};
pub use schedules::schedule_state::{NewOccurrence, ScheduleOff, ScheduleRow, ScheduleUpdate};
pub use search::{
    FoundContract, FoundItem, FoundLine, FoundList, LOOKED_AT, MatchedBy, SearchDays, SearchFilter,
    SearchQuery, SearchResults, SearchText,
};
pub use sessions::{PersonSettings, SESSION_LONGEST, SessionRow};
pub use statements::reconcile::{BookedItem, JobSpan, LineRef, ListedNumber, NumberKind, TimeSpan};
pub use statements::settlements::SettlementRow;
pub use statements::statement_files::{
    KeptStatement, LineKind, NewStatement, StatementLine, StatementRow,
};
pub use statements::statement_sums::StatementSum;
pub use tokens::{IdempotencyCheck, TokenRow};

/// A ledger that is open.
#[derive(Debug, Clone)]
pub struct Ledger {
    location: DatabaseLocation,
    read: AnyPool,
    write: Arc<Mutex<db::write_tx::WriteConnection>>,
    write_requests: mpsc::Sender<db::writer::WriteRequest>,
    woken: Arc<Notify>,
    /// Whether this process holds its lock on the server.
    held: Arc<AtomicBool>,
    _listening: Option<Arc<db::listen::ListenGuard>>,
}

impl Ledger {
    /// Where it is, for people: the file, or the server without user and password.
    pub fn name(&self) -> &str {
        self.location.name()
    }

    /// The same ledger with connections of its own to read by: whoever reads much keeps nobody else
    /// waiting for one.
    ///
    /// # Errors
    /// If none can be had.
    pub async fn with_own_readers(&self) -> Result<Self, LedgerError> {
        Ok(Self {
            read: self.location.readers().await?,
            ..self.clone()
        })
    }

    /// The folder of the file; none on a server.
    pub fn folder(&self) -> Option<std::path::PathBuf> {
        let folder = self.location.file.as_ref()?.parent()?;
        Some(if folder.as_os_str().is_empty() {
            ".".into()
        } else {
            folder.to_owned()
        })
    }

    /// A transaction that nobody writes beside.
    async fn begin_write(
        &self,
        operation: &'static str,
    ) -> Result<db::write_tx::WriteTx, LedgerError> {
        db::write_tx::WriteTx::begin(&self.write, operation).await
    }

    /// Takes the write lock and gives it back.
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
