//! The use cases: planning a run, making one attempt, and telling what became of it all.
//!
//! Between the ledger and the gateways, by the rules of the domain. It knows no SQL text and no
//! apalis. It neither serves nor sends HTTP: all it has of it are the headers of a notification,
//! which the gateway's client verifies.

mod account;
pub mod attempt;
pub mod contracts;
pub mod file_store;
pub mod journal;
pub mod maintenance;
#[cfg(feature = "mutation")]
mod mutation;
pub mod notifications;
pub mod operator;
pub mod planning;
mod reconcile;
pub mod references;
pub mod run_monitor;
pub mod schedule;
pub mod search;
pub mod uploads;
pub mod vault;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::file_store::Files;
pub use account::Account;
pub use attempt::account_watch::AccountWatch;
pub use attempt::call_pace::CallPace;
use maintenance::metrics::ProcessMetrics;
pub use operator::bulk::{BulkCounts, BulkError, BulkSelection};
use payrun_domain::alert::ExpiringCredential;
use payrun_ledger::Ledger;
use payrun_project::config::Config;
use payrun_project::job_kinds::JobKinds;
use payrun_system::clock::Clock;
pub use planning::plan_permits::{PlanPermit, PlanPermits};
pub use reconcile::{
    LineOutcome, LinesAndSum, OtherSystemsDays, OtherSystemsSums, lines_of_others,
};
use references::ReferenceKey;
use vault::Vault;

/// Everything the use cases work with.
#[derive(Clone)]
pub struct Engine {
    /// Where everything is written down.
    pub ledger: Ledger,
    /// The job kinds.
    pub job_kinds: Arc<JobKinds>,
    /// The gateway accounts by name.
    pub accounts: BTreeMap<String, Arc<Account>>,
    /// The configuration, by which the later jobs of a run are read.
    pub config: Arc<Config>,
    /// The keys for personal data, where there are any.
    pub vault: Option<Arc<Vault>>,
    /// The key that personal references are hashed under, once it was read.
    pub reference_key: Arc<OnceLock<Arc<ReferenceKey>>>,
    /// Where statements and reports are kept.
    pub files: Files,
    /// What is counted.
    pub metrics: Arc<ProcessMetrics>,
    /// How many plans are made at once.
    pub places: Arc<PlanPermits>,
    /// What time it is.
    pub clock: Clock,
}

impl Engine {
    /// The one place where an engine is put together; `tests/it/layers.rs` says who may ask for
    /// one. It has no keys for personal data ([`Engine::with_vault`]), and has counted nothing yet.
    pub fn new(
        ledger: Ledger,
        config: Arc<Config>,
        job_kinds: Arc<JobKinds>,
        accounts: BTreeMap<String, Arc<Account>>,
        files: Files,
        clock: Clock,
    ) -> Self {
        Self {
            ledger,
            job_kinds,
            accounts,
            config,
            vault: None,
            reference_key: Arc::default(),
            files,
            metrics: Arc::default(),
            places: Arc::default(),
            clock,
        }
    }

    /// With the keys for personal data, where there are any.
    #[must_use]
    pub fn with_vault(self, vault: Option<Arc<Vault>>) -> Self {
        Self { vault, ..self }
    }

    /// What expires of the gateways' keys and ours, as far as it is known.
    pub fn certificates(&self) -> Vec<ExpiringCredential> {
        let of = |account: &Account| {
            let certificates = account.gateway.certificates().into_iter();
            let gateway = account.name.clone();
            certificates
                .map(|(what, until)| ExpiringCredential {
                    gateway: gateway.clone(),
                    what: what.to_owned(),
                    until,
                })
                .collect::<Vec<_>>()
        };
        self.accounts
            .values()
            .flat_map(|account| of(account))
            .collect()
    }
}
