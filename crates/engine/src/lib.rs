//! The use cases: planning a run, making one attempt, and telling what became of it all.
//!
//! Between the ledger and the gateways, by the rules of the domain. It knows no HTTP, no SQL text
//! and no apalis.

pub mod attempt;
pub mod contracts;
pub mod files;
pub mod journal;
pub mod maintenance;
pub mod notifications;
pub mod operator;
pub mod planning;
mod reconcile;
pub mod run_monitor;
pub mod schedule;
pub mod uploads;
pub mod vault;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::files::Files;
pub use attempt::pace::CallPace;
pub use attempt::watch::AccountWatch;
use maintenance::metrics::ProcessMetrics;
pub use operator::bulk::{BulkCounts, BulkError, BulkSelection};
use payrun_domain::alert::ExpiringCredential;
use payrun_domain::policy::Rate;
use payrun_gateway::Gateway;
use payrun_ledger::Ledger;
use payrun_project::config::Config;
use payrun_project::job_kinds::JobKinds;
use payrun_system::clock::Clock;
pub use planning::places::{PlanPermit, PlanPermits};
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
    /// Where statements and reports are kept.
    pub files: Files,
    /// What is counted.
    pub meter: Arc<ProcessMetrics>,
    /// How many plans are made at once.
    pub places: Arc<PlanPermits>,
    /// What time it is.
    pub clock: Clock,
}

/// A gateway account that can be called, and the bounds of its lane.
pub struct Account {
    /// Its name in the configuration.
    pub name: String,
    /// Which account it is, as the gateway tells accounts apart, whatever its name here.
    pub identity: String,
    /// The kind of gateway, as the outcome tables spell it.
    pub kind: &'static str,
    /// How it is called.
    pub gateway: Box<dyn Gateway>,
    /// How many calls it allows.
    pub rate: Rate,
    /// How many calls may be under way at once.
    pub concurrency: u32,
    /// How long one call may take.
    pub timeout: Duration,
    /// How long to leave one order alone between two queries.
    pub query_interval: Duration,
    /// How long to leave between two refunds of one payment.
    pub refund_interval: Duration,
    /// How long nothing of a kind of job is sent when our balance is too small for it.
    pub funds_interval: Duration,
    /// Whether orders may be withdrawn right after they were made.
    pub withdraw_at_once: bool,
    /// Whether the gateway is another machine: not a sandbox here.
    pub is_remote: bool,
    /// Keeps the rate in every span of it; none where nothing is called over a network.
    pub pace: Option<CallPace>,
    /// What this process remembers of its calls.
    pub watch: AccountWatch,
}

impl Engine {
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

impl Account {
    /// How long a claim holds: a call of the longest length, and time to write it down.
    pub fn lease(&self) -> Duration {
        self.timeout * 2 + LEASE_MARGIN
    }
}

/// The time between the end of the longest call and the end of its lease.
const LEASE_MARGIN: Duration = Duration::from_secs(30);
