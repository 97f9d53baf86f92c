//! A user's workflow, played through on one thread from one seed: several nodes, a gateway that
//! fails in every way, a network that loses and delays, processes that die at any moment, clocks
//! that jump, a database that fails.
//!
//! Everything that happens is drawn from the seed, and time is driven, so a seed that fails replays
//! alone. The engine, the ledger, the clients and the fake gateways are the real ones; only
//! the workers' scheduling is played here, since what comes when is what is tried. What came of it
//! is judged by [`payrun_checker`], which knows none of this.

mod network;
mod node;
mod notifications;
mod records;
mod rng;
mod steps;
mod world;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use thiserror::Error;

use payrun_checker::{CheckContext, Violation};
use payrun_domain::time::Timestamp;
use payrun_engine::planning::{PlanError, RunRequest};
use payrun_engine::vault::Vault;
use payrun_ledger::LedgerError;
use payrun_project::config::Config;
use payrun_project::job_kinds::JobKinds;
use payrun_sandbox::faults::Level;
pub use world::FakeGateways;

/// What is played.
#[derive(Debug, Clone)]
pub struct SimulationSetup {
    /// The project's configuration; its keys are never used.
    pub config: Arc<Config>,
    /// The job kinds.
    pub job_kinds: Arc<JobKinds>,
    /// The key for personal data, where there is one.
    pub vault: Option<Arc<Vault>>,
    /// The run to plan.
    pub request: RunRequest,
    /// How much goes wrong at the gateways.
    pub faults: Level,
    /// Whether nodes die and stand still, clocks jump, and network and database fail.
    pub chaos: bool,
    /// Where ledgers may be put while they are needed.
    pub folder: PathBuf,
}

/// What came of a seed.
#[derive(Debug, Clone, Default)]
pub struct SeedOutcome {
    /// The seed.
    pub seed: u64,
    /// Which promises were broken, and how.
    pub broken: Vec<Violation>,
    /// How many items ended in each state.
    pub states: BTreeMap<String, u64>,
    /// How often each thing went wrong: at the gateways, and in this play.
    pub disruptions: BTreeMap<String, u64>,
    /// How many items were unknown at some time, and for how long in all, in milliseconds.
    pub unknown: (u64, u64),
    /// The longest time one item was unknown, in milliseconds.
    pub longest_unknown: u64,
    /// How many calls were made.
    pub calls: u64,
    /// What became of each item.
    pub items: Vec<ItemTrace>,
    /// What was judged: our journal, and the gateways' true books.
    pub records: (Vec<Value>, Vec<Value>),
}

/// What became of an item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ItemTrace {
    /// Its line in the file.
    pub line: u64,
    /// Its key.
    pub key: String,
    /// Where it ended.
    pub state: String,
    /// For how long it was unknown, in milliseconds.
    pub unknown: u64,
    /// How many calls were answered or taken as unanswered.
    pub calls: u64,
    /// The way it went, state by state.
    pub way: String,
}

impl SeedOutcome {
    /// How many promises of this number were broken.
    pub fn broken_promises(&self, promise: u8) -> u64 {
        self.broken
            .iter()
            .filter(|broken| broken.promise == promise)
            .count() as u64
    }
}

/// Why a seed could not be played.
#[derive(Debug, Error)]
pub enum SimulationError {
    /// The ledger failed by itself.
    #[error("the ledger failed")]
    Ledger(#[from] LedgerError),
    /// The workflow cannot be planned.
    #[error("the run cannot be planned")]
    Plan(#[from] PlanError),
    /// The fake gateways cannot be made.
    #[error("a fake gateway cannot be made: {0}")]
    Sandbox(String),
    /// A folder cannot be made.
    #[error("the folder {0} cannot be made")]
    Folder(PathBuf, #[source] std::io::Error),
}

/// Plays a seed.
///
/// # Errors
/// What has nothing to do with the play: a workflow that cannot be planned, a disk that fails.
pub async fn simulate(
    what: &SimulationSetup,
    fakes: &FakeGateways,
    seed: u64,
) -> Result<SeedOutcome, SimulationError> {
    let mut play = steps::Simulation::set_up(what, fakes, seed).await?;
    let rows = play.plan().await?;
    play.run().await?;
    let told = play.collect().await?;
    let known = CheckContext {
        rows,
        grace: play.grace(),
        too_late: play.too_late().clone(),
    };
    let mut broken = payrun_checker::check(&told.journal, &told.books, &told.totals, &known);
    broken.extend(play.left_open(&told));
    Ok(SeedOutcome {
        seed,
        broken,
        states: told.states,
        disruptions: play.disruptions().await?,
        unknown: told.unknown,
        longest_unknown: told.longest_unknown,
        calls: play.calls_made(),
        items: told.journal.iter().map(records::story).collect(),
        records: (told.journal, told.books),
    })
}

/// When every play begins, so that a seed is the same on every day.
pub const BEGIN: Timestamp = Timestamp::from_millis(1_775_000_000_000);

/// A list of JSON objects.
type JsonObjects = Vec<Value>;
