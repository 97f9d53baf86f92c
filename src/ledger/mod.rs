//! The ledger: the only SQL, and the queue. What is here survives; what is not here did not happen.
//!
//! Two deeds carry the promises. *Claim is intent*: one commit turns due items to `sending`, with order number and lease,
//! before anybody sees them. *Settle is outcome*: answer, new state, totals and history go down in one commit. Both go
//! through one writer that commits in groups (`writer.rs`). A state changes only as [`crate::domain::item::apply`] says, by
//! compare-and-set on the item's version, with its event in the same commit. No transaction is open during a call.
//!
//! The ledger knows the domain and nothing else: no gateway, no workflow, no HTTP.

mod claim;
mod error;
mod evidence;
mod node;
mod open;
mod payment;
mod person;
mod plan;
mod progress;
mod read;
mod reconcile;
mod rows;
mod settle;
mod settlements;
mod statements;
#[cfg(test)]
mod tests;
mod vault;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sqlx::SqlitePool;
use tokio::sync::{Mutex, Notify, mpsc};

pub use claim::{ClaimRequest, Claimed, Doing, Want};
pub use error::LedgerError;
pub use evidence::{Believed, StatementEvidence};
pub use node::{Node, NodeId};
pub use payment::{Payment, Room, Taking};
pub use person::{Granted, Wish};
pub use plan::{LateJob, NewItem, NewJob, NewRun, Planning, Refusal};
pub use read::{
    AttemptRow, EventRow, ItemFilter, ItemRow, JobRow, LaneRow, LaneState, OpenJob, RunRow, Total, WhoseJob, Work,
};
pub use reconcile::{BookedItem, JobSpan, LineRef, Listed, ListedBy, Sent};
pub use settle::{Attempt, Settled, Settlement};
pub use settlements::SettlementRow;
pub use statements::{LineKind, NewStatement, StatementKept, StatementLine, StatementRow};

/// A ledger that is open.
#[derive(Debug, Clone)]
pub struct Ledger {
    path: PathBuf,
    read: SqlitePool,
    write: Arc<Mutex<sqlx::SqliteConnection>>,
    deeds: mpsc::Sender<writer::Deed>,
    woken: Arc<Notify>,
}

impl Ledger {
    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Is notified after every commit that may have made work due.
    pub fn woken(&self) -> Arc<Notify> {
        Arc::clone(&self.woken)
    }
}
