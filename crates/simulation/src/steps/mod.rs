//! The play: step by step something is drawn and done, first in chaos, then in calm until
//! everything is at rest.

mod chaos;
mod drain;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde_json::Value;

use super::network::{CallId, InFlightRequest, Network};
use super::node::{CallStep, PendingSubmission, SimNode};
use super::notifications::{NotificationInTransit, PendingNotifications};
use super::records::{CollectedRecords, collect, met};
use super::rng::Rng;
use super::world::{FakeGateways, SimAccount, places};
use super::{BEGIN, SimulationError, SimulationSetup};
use payrun_checker::Violation;
use payrun_domain::actor::{Actor, Authorization, Reason};
use payrun_domain::money::Amount;
use payrun_domain::time::Timestamp;
use payrun_engine::attempt::JobContext;
use payrun_engine::file_store::Files;
use payrun_engine::notifications::ReceiveOutcome;
use payrun_engine::{Account, Engine};
use payrun_ledger::{Claimed, CommitFault, ItemFilter, Ledger, LedgerError};
use payrun_sandbox::Reaction;
use payrun_sandbox::faults::FaultPlan;
use payrun_system::clock::Clock;

/// How many steps of chaos there are at least, and how many more for each item.
const STEPS: u64 = 150;
const STEPS_AN_ITEM: u64 = 12;

/// How many rounds of calm there are at most, and how many more for each item: what is open then
/// never comes to rest.
const CALM: u64 = 2_000;
const CALM_AN_ITEM: u64 = 10;

/// How often a leap that came to nothing is doubled: from a quarter of a second to a minute.
const LEAPS: u32 = 8;

/// After how many rounds in which nothing is due the calm ends before that.
const IN_VAIN: u64 = 20;

/// How far a clock jumps at most.
const JUMP: Duration = Duration::from_secs(4 * 60);

/// The file of a play's ledger.
const LEDGER: &str = "ledger.db";

/// Everything of a play.
pub(super) struct Simulation {
    rng: Rng,
    clock: Clock,
    network: Arc<Network>,
    places: BTreeMap<String, SimAccount>,
    processes: Vec<SimNode>,
    what: SimulationSetup,
    ledger: Ledger,
    folder: Folder,
    next_call: CallId,
    calls_made: u64,
    /// Requests whose callers have gone, and which may arrive all the same.
    orphans: Vec<(Option<PendingSubmission>, InFlightRequest)>,
    /// Numbers that were sent by such a request when "no such order" counted.
    too_late: BTreeSet<String>,
    news: PendingNotifications,
    disruptions: BTreeMap<&'static str, u64>,
    illegal: Vec<String>,
    given: Vec<(String, String)>,
    chaos: bool,
    /// Whether no clock jumps in this play: then more can be judged.
    clocks_agree: bool,
    /// When calls were claimed, by account.
    claimed: BTreeMap<String, Vec<Timestamp>>,
}

/// Who goes by this name, known in the way in which another is.
fn known_like(other: &Actor, name: &str, user: &str) -> Result<Actor, SimulationError> {
    let actor = match other.user() {
        None => Actor::person(name, "simulation"),
        Some(_) => Actor::at_console(name, user),
    };
    actor.map_err(|error| SimulationError::Sandbox(error.to_string()))
}

fn reason(text: &str) -> Result<Reason, SimulationError> {
    Reason::parse(text).map_err(|error| SimulationError::Sandbox(error.to_string()))
}

/// A folder that is gone when it is no longer needed.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

impl Simulation {
    /// Sets everything up: ledger, gateways, two to five processes (one if there is no chaos).
    pub async fn set_up(
        what: &SimulationSetup,
        fakes: &FakeGateways,
        seed: u64,
    ) -> Result<Self, SimulationError> {
        let path = what
            .folder
            .join(format!("seed-{seed}-{:x}", std::process::id()));
        std::fs::create_dir_all(&path)
            .map_err(|error| SimulationError::Folder(path.clone(), error))?;
        let folder = Folder(path);
        let mut rng = Rng::new(seed);
        let clock = Clock::driven(BEGIN);
        let plan = FaultPlan::new(seed, what.faults);
        let places = places(&what.config, &what.request.workflow, fakes, plan, &clock).await?;
        let ledger = Ledger::open(&folder.0.join(LEDGER)).await?;
        let processes = if what.chaos { 2 + rng.below(4) } else { 1 };
        let clocks_agree = !what.chaos || rng.per_mille(500);
        let mut stage = Self {
            rng,
            clock,
            network: Arc::default(),
            places,
            processes: Vec::new(),
            what: what.clone(),
            ledger,
            folder,
            next_call: 1,
            calls_made: 0,
            orphans: Vec::new(),
            too_late: BTreeSet::new(),
            news: PendingNotifications::default(),
            disruptions: BTreeMap::new(),
            illegal: Vec::new(),
            given: Vec::new(),
            chaos: what.chaos,
            clocks_agree,
            claimed: BTreeMap::new(),
        };
        for _ in 0..processes {
            let process = stage.process().await?;
            stage.processes.push(process);
        }
        Ok(stage)
    }

    /// One more process.
    async fn process(&mut self) -> Result<SimNode, SimulationError> {
        let clock = Clock::driven(self.clock.now());
        let mut accounts = BTreeMap::new();
        for (name, place) in &self.places {
            accounts.insert(
                name.clone(),
                Arc::new(place.account(&self.network, &clock)?),
            );
        }
        // A connection, a writer and commits in doubt of its own.
        let ledger = Ledger::open(&self.folder.0.join(LEDGER)).await?;
        let node = ledger.join(self.rng.next(), self.clock.now()).await?;
        let files = Files::open("files", &self.folder.0)
            .map_err(|error| SimulationError::Sandbox(error.to_string()))?;
        let engine = Engine::new(
            ledger,
            Arc::clone(&self.what.config),
            Arc::clone(&self.what.job_kinds),
            accounts,
            files,
            clock.clone(),
        );
        Ok(SimNode {
            engine: Arc::new(engine.with_vault(self.what.vault.clone())),
            node,
            clock,
            skew: 0,
            still_until: BEGIN,
            in_hand: Default::default(),
            calls: BTreeMap::new(),
            settlements: Default::default(),
        })
    }

    /// Plans the run; says how many rows each job was given, where it was planned at once. What the
    /// items refer to is put into the gateways' books.
    pub async fn plan(&mut self) -> Result<BTreeMap<String, u64>, SimulationError> {
        let mut request = self.what.request.clone();
        request.allow_future = true;
        request.occurrence = "simulated".to_owned();
        let planned = self.processes[0]
            .engine
            .plan(&request, &Arc::new(AtomicU64::new(0)))
            .await?;
        self.put_payments().await?;
        let run = planned.run_id;
        let at_once = planned.jobs.iter().filter(|job| !job.late);
        Ok(at_once
            .map(|job| {
                (
                    format!("{run}/{}", job.name),
                    job.items + job.skipped + job.rejected,
                )
            })
            .collect())
    }

    /// What is to be given back or declared was paid before.
    async fn put_payments(&mut self) -> Result<(), SimulationError> {
        let mut sums: BTreeMap<(String, String), Amount> = BTreeMap::new();
        for run in self.ledger.runs(None, 10).await? {
            for job in self.ledger.jobs(run.id).await? {
                if !matches!(job.kind.as_str(), "refund" | "declare" | "redeclare") {
                    continue;
                }
                let filter = ItemFilter {
                    run_id: Some(run.id),
                    job: Some(job.name.clone()),
                    ..ItemFilter::default()
                };
                for item in self.ledger.items(&filter, 0, 100_000).await? {
                    let input: Value = serde_json::from_str(&item.input).unwrap_or_default();
                    let (Some(number), Some(amount)) =
                        (input["out_trade_no"].as_str(), item.amount)
                    else {
                        continue;
                    };
                    let add = |sum: &mut Amount| {
                        let more = sum.minor().saturating_add(amount.minor());
                        *sum = Amount::from_minor(more, sum.currency()).unwrap_or(amount);
                    };
                    sums.entry((job.lane.clone(), number.to_owned()))
                        .and_modify(add)
                        .or_insert(amount);
                }
            }
        }
        for ((account, number), mut amount) in sums {
            // Now and then more is to be given back than was paid.
            if self.chaos && self.rng.per_mille(250) {
                amount =
                    Amount::from_minor(amount.minor() * 3 / 4, amount.currency()).unwrap_or(amount);
            }
            if let Some(place) = self.places.get(&account) {
                place.gateways.seed(place.as_str(), &number, amount);
                self.given.push((account, number));
            }
        }
        Ok(())
    }

    /// Plays.
    pub async fn run(&mut self) -> Result<(), SimulationError> {
        let items = self
            .ledger
            .items(&ItemFilter::default(), 0, 10_000)
            .await?
            .len() as u64;
        if self.chaos {
            for step in 0..STEPS + STEPS_AN_ITEM * items {
                self.step().await?;
                if step % 32 == 0 && self.at_rest().await? {
                    break;
                }
            }
        }
        self.drain(CALM + CALM_AN_ITEM * items).await
    }

    async fn at_rest(&self) -> Result<bool, LedgerError> {
        Ok(self.ledger.unfinished_runs().await?.is_empty())
    }

    fn disruption(&mut self, what: &'static str) {
        *self.disruptions.entry(what).or_default() += 1;
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn pass(&self, time: Duration) {
        self.clock.set(self.now().plus(time));
    }

    /// Both sides' records.
    pub async fn collect(&self) -> Result<CollectedRecords, SimulationError> {
        collect(&self.ledger, &self.places, &self.given).await
    }

    /// What the records alone do not show: items that never came to rest, moves that the state
    /// machine does not know, and what the gateways hold against us.
    pub fn left_open(&self, told: &CollectedRecords) -> Vec<Violation> {
        let open = [
            "awaiting_approval",
            "planned",
            "sending",
            "pending",
            "unknown",
        ];
        let mut broken = Vec::new();
        for (state, items) in told
            .states
            .iter()
            .filter(|(state, _)| open.contains(&state.as_str()))
        {
            broken.push(Violation {
                promise: 2,
                what: format!("{items} items never came to rest: {state}"),
            });
        }
        broken.extend(self.above_the_rate());
        broken.extend(self.illegal.iter().map(|illegal| Violation {
            promise: 3,
            what: illegal.clone(),
        }));
        broken.extend(told.violations.iter().map(|(word, times)| Violation {
            promise: 1,
            what: format!("a gateway says: {word}, {times} times"),
        }));
        broken
    }

    /// How long "no such order" must wait, at least, before it counts; none where clocks jumped.
    pub fn grace(&self) -> Option<i64> {
        let graces = self
            .what
            .request
            .workflow
            .jobs
            .iter()
            .map(|job| job.policy.query.grace.as_millis());
        graces
            .min()
            .and_then(|grace| i64::try_from(grace).ok())
            .filter(|_| self.clocks_agree)
    }

    /// Numbers whose requests arrived when nobody waited for them any more.
    pub const fn too_late(&self) -> &BTreeSet<String> {
        &self.too_late
    }

    /// Accounts that were called more often than they allow, by all processes together.
    fn above_the_rate(&self) -> Vec<Violation> {
        const WINDOW: Duration = Duration::from_secs(5);
        let mut broken = Vec::new();
        for (name, times) in self.claimed.iter().filter(|_| self.clocks_agree) {
            let Some(account) = self
                .processes
                .first()
                .and_then(|process| process.engine.accounts.get(name))
            else {
                continue;
            };
            let in_time = |time: Duration| {
                u128::from(account.rate.calls) * time.as_millis()
                    / account.rate.per.as_millis().max(1)
            };
            // What the window gives, what the bucket may hold, and one for the edge.
            let allowed = in_time(WINDOW) + in_time(Duration::from_millis(100)).max(1) + 1;
            let most = (0..times.len()).map(|first| {
                times[first..]
                    .iter()
                    .take_while(|time| time.since(times[first]) <= WINDOW)
                    .count() as u128
            });
            if let Some(most) = most.max().filter(|most| *most > allowed) {
                broken.push(Violation {
                    promise: 1,
                    what: format!("{most} calls of {name} in 5 s, {allowed} are allowed"),
                });
            }
        }
        broken
    }

    /// What went wrong, by its name.
    pub async fn disruptions(&self) -> Result<BTreeMap<String, u64>, SimulationError> {
        let (mut disruptions, _) = met(&self.places).await?;
        disruptions = disruptions
            .into_iter()
            .map(|(word, times)| (format!("gateway: {word}"), times))
            .collect();
        disruptions.extend(
            self.disruptions
                .iter()
                .map(|(word, times)| (word.replace('_', " "), *times)),
        );
        Ok(disruptions)
    }

    /// How many calls were made.
    pub const fn calls_made(&self) -> u64 {
        self.calls_made
    }
}
