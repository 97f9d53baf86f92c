//! The play: step by step something is drawn and done, first in chaos, then in calm until everything is at rest.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use serde_json::Value;

use super::chance::Chance;
use super::network::{CallId, Network, Parcel};
use super::news::{Letter, News};
use super::node::{Came, Process};
use super::told::{Told, met, tell};
use super::world::{Place, Twins, places};
use super::{BEGIN, Play, SimulationError};
use crate::checker::Broken;
use crate::clock::Clock;
use crate::domain::actor::{Actor, Reason, Signed};
use crate::domain::money::Amount;
use crate::domain::time::Timestamp;
use crate::engine::plan::PlanRequest;
use crate::engine::receive::Received;
use crate::engine::{Account, Engine};
use crate::files::Files;
use crate::ledger::{ItemFilter, Ledger, LedgerError};
use crate::sandbox::Reaction;
use crate::sandbox::faults::FaultPlan;

/// How many steps of chaos there are at least, and how many more for each item.
const STEPS: u64 = 150;
const STEPS_AN_ITEM: u64 = 12;

/// How many rounds of calm there are at most: what is open then never comes to rest.
const CALM: u64 = 2_000;

/// How often a leap that came to nothing is doubled: from a quarter of a second to a minute.
const LEAPS: u32 = 8;

/// After how many rounds in which nothing is due the calm ends before that.
const IN_VAIN: u64 = 20;

/// How far a clock jumps at most.
const JUMP: Duration = Duration::from_secs(4 * 60);

/// Everything of a play.
pub(super) struct Stage {
    chance: Chance,
    clock: Clock,
    network: Arc<Network>,
    places: BTreeMap<String, Place>,
    processes: Vec<Process>,
    what: Play,
    ledger: Ledger,
    folder: Folder,
    next_call: CallId,
    calls_made: u64,
    /// Requests whose callers have gone, and which may arrive all the same.
    orphans: Vec<Parcel>,
    news: News,
    troubles: BTreeMap<&'static str, u64>,
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
    actor.map_err(|error| SimulationError::Twin(error.to_string()))
}

fn reason(text: &str) -> Result<Reason, SimulationError> {
    Reason::parse(text).map_err(|error| SimulationError::Twin(error.to_string()))
}

/// A folder that is gone when it is no longer needed.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

impl Stage {
    /// Sets everything up: ledger, gateways, two to five processes (one if there is no chaos).
    pub async fn set_up(what: &Play, twins: &Twins, seed: u64) -> Result<Self, SimulationError> {
        let path = what.folder.join(format!("seed-{seed}-{:x}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|error| SimulationError::Folder(path.clone(), error))?;
        let folder = Folder(path);
        let mut chance = Chance::new(seed);
        let clock = Clock::driven(BEGIN);
        let places = places(&what.config, twins, FaultPlan::new(seed, what.faults), &clock).await?;
        let ledger = Ledger::open(&folder.0.join("ledger.db")).await?;
        let processes = if what.chaos { 2 + chance.below(4) } else { 1 };
        let clocks_agree = !what.chaos || chance.per_mille(500);
        let mut stage = Self {
            chance,
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
            news: News::default(),
            troubles: BTreeMap::new(),
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
    async fn process(&mut self) -> Result<Process, SimulationError> {
        let clock = Clock::driven(self.clock.now());
        let mut accounts = BTreeMap::new();
        for (name, place) in &self.places {
            accounts.insert(name.clone(), Arc::new(place.account(&self.network, &clock)?));
        }
        let files = Files::open("files", &self.folder.0).map_err(|error| SimulationError::Twin(error.to_string()))?;
        let engine = Engine {
            meter: Arc::default(),
            ledger: self.ledger.clone(),
            catalog: Arc::clone(&self.what.catalog),
            accounts,
            config: Arc::clone(&self.what.config),
            vault: self.what.vault.clone(),
            files,
            clock: clock.clone(),
        };
        let node = self.ledger.join(self.chance.next(), self.clock.now()).await?;
        Ok(Process {
            engine: Arc::new(engine),
            node,
            clock,
            skew: 0,
            still_until: BEGIN,
            in_hand: Default::default(),
            calls: BTreeMap::new(),
            settlements: Default::default(),
        })
    }

    /// Plans the run; says how many rows each job was given, where it was planned at once. What the items refer to is put into
    /// the gateways' books.
    pub async fn plan(&mut self) -> Result<BTreeMap<String, u64>, SimulationError> {
        let request = PlanRequest { commit: true, occurrence: "simulated".to_owned(), ..self.what.request.clone() };
        let planned = self.processes[0].engine.plan(&request, &Arc::new(AtomicU64::new(0))).await?;
        self.put_payments().await?;
        let run = planned.run_id;
        let at_once = planned.jobs.iter().filter(|job| !job.late);
        Ok(at_once.map(|job| (format!("{run}/{}", job.name), job.items + job.skipped + job.rejected)).collect())
    }

    /// What is to be given back or declared was paid before.
    async fn put_payments(&mut self) -> Result<(), SimulationError> {
        let mut sums: BTreeMap<(String, String), Amount> = BTreeMap::new();
        for run in self.ledger.runs(None, 10).await? {
            for job in self.ledger.jobs(run.id).await? {
                if !matches!(job.kind.as_str(), "refund" | "declare" | "redeclare") {
                    continue;
                }
                let filter = ItemFilter { run_id: Some(run.id), job: Some(job.name.clone()), ..ItemFilter::default() };
                for item in self.ledger.items(&filter, 0, 100_000).await? {
                    let input: Value = serde_json::from_str(&item.input).unwrap_or_default();
                    let (Some(number), Some(amount)) = (input["out_trade_no"].as_str(), item.amount) else { continue };
                    let add = |sum: &mut Amount| {
                        let more = sum.minor().saturating_add(amount.minor());
                        *sum = Amount::from_minor(more, sum.currency()).unwrap_or(amount);
                    };
                    sums.entry((job.lane.clone(), number.to_owned())).and_modify(add).or_insert(amount);
                }
            }
        }
        for ((account, number), mut amount) in sums {
            // Now and then more is to be given back than was paid.
            if self.chaos && self.chance.per_mille(250) {
                amount = Amount::from_minor(amount.minor() * 3 / 4, amount.currency()).unwrap_or(amount);
            }
            if let Some(place) = self.places.get(&account) {
                place.gateways.seed(place.word(), &number, amount);
                self.given.push((account, number));
            }
        }
        Ok(())
    }

    /// Plays.
    pub async fn act(&mut self) -> Result<(), SimulationError> {
        if self.chaos {
            let items = self.ledger.items(&ItemFilter::default(), 0, 10_000).await?.len() as u64;
            for step in 0..STEPS + STEPS_AN_ITEM * items {
                self.step().await?;
                if step % 32 == 0 && self.at_rest().await? {
                    break;
                }
            }
        }
        self.calm().await
    }

    async fn at_rest(&self) -> Result<bool, LedgerError> {
        Ok(self.ledger.unfinished_runs().await?.is_empty())
    }

    fn trouble(&mut self, what: &'static str) {
        *self.troubles.entry(what).or_default() += 1;
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn pass(&self, time: Duration) {
        self.clock.set(self.now().plus(time));
    }

    /// One step of chaos.
    async fn step(&mut self) -> Result<(), SimulationError> {
        let time = Duration::from_millis(self.chance.below(160));
        self.pass(time);
        self.give_up_what_takes_too_long().await;
        let place = usize::try_from(self.chance.below(self.processes.len() as u64)).unwrap_or(0);
        if self.chance.per_mille(80) {
            return self.notify(place).await;
        }
        match self.chance.below(100) {
            0..=22 => self.claim(place).await,
            23..=47 => {
                self.arrive().await;
                Ok(())
            }
            48..=67 => {
                self.hear(place).await;
                Ok(())
            }
            68..=82 => self.settle(place).await,
            83..=86 => {
                self.lose(place).await;
                Ok(())
            }
            87..=88 => {
                self.arrive_late().await;
                Ok(())
            }
            89 => self.die(place).await,
            90 => {
                self.stand_still(place);
                Ok(())
            }
            91 => {
                self.jump(place);
                Ok(())
            }
            97 => {
                self.begin_what_is_in_hand(place).await;
                Ok(())
            }
            92..=96 => self.look(place).await,
            _ => {
                let time = Duration::from_secs(1 + self.chance.below(90));
                self.pass(time);
                Ok(())
            }
        }
    }

    fn is_still(&self, place: usize) -> bool {
        self.processes[place].still_until > self.now()
    }

    /// A process claims what is due and begins to call.
    async fn claim(&mut self, place: usize) -> Result<(), SimulationError> {
        if self.is_still(place) {
            return Ok(());
        }
        let now = self.now();
        let process = &self.processes[place];
        process.look_at_the_clock(now);
        let names: Vec<String> = process.engine.accounts.keys().cloned().collect();
        let Some(name) = self.chance.one_of(&names) else { return Ok(()) };
        let account = Arc::clone(&process.engine.accounts[name]);
        let slots = 1 + usize::try_from(self.chance.below(4)).unwrap_or(0);
        let claimed = process.claim(&account, slots).await?;
        if claimed.is_empty() {
            return Ok(());
        }
        self.claimed.entry(account.name.clone()).or_default().extend(vec![now; claimed.len()]);
        if self.chaos && self.chance.per_mille(40) {
            self.trouble("claim_committed_and_not_told");
            return Ok(());
        }
        if self.chaos && self.chance.per_mille(25) {
            self.trouble("died_after_a_claim");
            return self.replace(place).await;
        }
        let in_hand = claimed.into_iter().map(|(one, work)| (Arc::clone(&account), work, one));
        self.processes[place].in_hand.extend(in_hand);
        // It may take a while until there is a free place for what is claimed.
        if !(self.chaos && self.chance.per_mille(200)) {
            self.begin_what_is_in_hand(place).await;
        }
        Ok(())
    }

    /// A process begins to call for what it has claimed.
    async fn begin_what_is_in_hand(&mut self, place: usize) {
        if self.is_still(place) {
            return;
        }
        while let Some((account, work, one)) = self.processes[place].in_hand.pop_front() {
            let id = self.next_call;
            self.next_call += 1;
            self.calls_made += 1;
            let now = self.now();
            self.processes[place].begin(id, &account, work, one, now);
            self.go_on(place, id).await;
        }
    }

    /// Goes on with a call as far as it comes.
    async fn go_on(&mut self, place: usize, id: CallId) {
        let now = self.now();
        let process = &mut self.processes[place];
        process.look_at_the_clock(now);
        match process.go_on(id, &self.network).await {
            None | Some(Came::Waits) => {}
            Some(Came::Ended(settlement)) => process.settlements.push_back(*settlement),
            Some(Came::Illegal(illegal)) => self.illegal.push(illegal.to_string()),
        }
    }

    /// The calls of all processes that wait for the network: `(process, call)`.
    fn under_way(&self, replied: bool) -> Vec<(usize, CallId)> {
        let of = |(place, process): (usize, &Process)| {
            let calls = process.calls.iter().filter(|(_, call)| call.reply.is_some() == replied);
            calls.map(|(id, _)| (place, *id)).collect::<Vec<_>>()
        };
        self.processes.iter().enumerate().flat_map(of).collect()
    }

    /// A request arrives; its reply is on its way back.
    async fn arrive(&mut self) {
        let waiting = self.under_way(false);
        let Some((place, id)) = self.chance.one_of(&waiting).copied() else { return };
        self.arrive_of(place, id).await;
    }

    async fn arrive_of(&mut self, place: usize, id: CallId) {
        // A request arrives once.
        if self.processes[place].calls.get(&id).is_none_or(|call| call.reply.is_some()) {
            return;
        }
        let Some(waiting) = self.network.take(id) else { return };
        let reaction = waiting.parcel.arrive().await;
        self.network.put_back(id, waiting);
        if let Some(call) = self.processes[place].calls.get_mut(&id) {
            call.reply = Some(reaction);
        }
    }

    /// A process hears what came back.
    async fn hear(&mut self, place: usize) {
        if self.is_still(place) {
            return;
        }
        let replied: Vec<CallId> =
            self.under_way(true).into_iter().filter(|(at, _)| *at == place).map(|(_, id)| id).collect();
        if let Some(id) = self.chance.one_of(&replied).copied() {
            self.hear_of(place, id).await;
        }
    }

    async fn hear_of(&mut self, place: usize, id: CallId) {
        let Some(call) = self.processes[place].calls.get_mut(&id) else { return };
        let Some(reaction) = call.reply.take() else { return };
        let Some(waiting) = self.network.take(id) else { return };
        let heard = match reaction {
            // Nobody waits as long as it would take.
            Reaction::Hold => Reaction::Silence,
            other @ (Reaction::Reply(_)
            | Reaction::Refuse
            | Reaction::Reset
            | Reaction::Silence
            | Reaction::Truncate(_)) => other,
        };
        waiting.answer.send(heard).ok();
        self.go_on(place, id).await;
    }

    /// A call breaks: before its request has arrived or after.
    async fn lose(&mut self, place: usize) {
        if self.is_still(place) {
            return;
        }
        let calls: Vec<CallId> = self.processes[place].calls.keys().copied().collect();
        let Some(id) = self.chance.one_of(&calls).copied() else { return };
        let with = if self.chance.per_mille(500) { Reaction::Reset } else { Reaction::Silence };
        self.trouble("connection_lost");
        self.break_off(place, id, with).await;
    }

    /// The caller hears no more of it; what has not arrived may still do so.
    async fn break_off(&mut self, place: usize, id: CallId, with: Reaction) {
        let Some(waiting) = self.network.take(id) else { return };
        let arrived = self.processes[place].calls.get_mut(&id).is_some_and(|call| call.reply.take().is_some());
        if !arrived && self.chance.per_mille(500) {
            self.orphans.push(waiting.parcel.clone());
        }
        waiting.answer.send(with).ok();
        self.go_on(place, id).await;
    }

    /// A caller that is awake waits no longer than it said.
    async fn give_up_what_takes_too_long(&mut self) {
        let now = self.now();
        let late: Vec<(usize, CallId)> = (0..self.processes.len())
            .filter(|place| !self.is_still(*place))
            .flat_map(|place| {
                let calls = self.processes[place].calls.iter().filter(|(_, call)| call.deadline < now);
                calls.map(|(id, _)| (place, *id)).collect::<Vec<_>>()
            })
            .collect();
        for (place, id) in late {
            self.trouble("timed_out");
            self.break_off(place, id, Reaction::Silence).await;
        }
    }

    /// A request arrives whose caller has gone.
    async fn arrive_late(&mut self) {
        if self.orphans.is_empty() {
            return;
        }
        let place = usize::try_from(self.chance.below(self.orphans.len() as u64)).unwrap_or(0);
        let parcel = self.orphans.swap_remove(place);
        self.trouble("arrived_after_its_caller_had_gone");
        drop(parcel.arrive().await);
    }

    /// A process writes down what it knows.
    async fn settle(&mut self, place: usize) -> Result<(), SimulationError> {
        if self.is_still(place) {
            return Ok(());
        }
        let Some(settlement) = self.processes[place].settlements.pop_front() else { return Ok(()) };
        if self.chaos && self.chance.per_mille(25) {
            self.trouble("died_before_a_settle");
            return self.replace(place).await;
        }
        if self.chaos && self.chance.per_mille(30) {
            self.trouble("settle_failed");
            self.processes[place].settlements.push_back(settlement);
            return Ok(());
        }
        self.ledger.settle(settlement.clone()).await?;
        if self.chaos && self.chance.per_mille(30) {
            self.trouble("settle_committed_and_not_told");
            self.processes[place].settlements.push_back(settlement);
        }
        Ok(())
    }

    /// A process dies as by `kill -9`, and another is started.
    async fn die(&mut self, place: usize) -> Result<(), SimulationError> {
        self.trouble("died");
        self.replace(place).await
    }

    async fn replace(&mut self, place: usize) -> Result<(), SimulationError> {
        let calls: Vec<(CallId, bool)> =
            self.processes[place].calls.iter().map(|(id, call)| (*id, call.reply.is_some())).collect();
        for (id, arrived) in calls {
            if let Some(waiting) = self.network.take(id)
                && !arrived
                && self.chance.per_mille(500)
            {
                self.orphans.push(waiting.parcel);
            }
        }
        self.processes[place] = self.process().await?;
        Ok(())
    }

    /// A process stands still, perhaps beyond its leases.
    fn stand_still(&mut self, place: usize) {
        self.trouble("stood_still");
        let time = Duration::from_secs(5 + self.chance.below(180));
        self.processes[place].still_until = self.now().plus(time);
    }

    /// A process's clock jumps, or is set right.
    fn jump(&mut self, place: usize) {
        if self.clocks_agree {
            return;
        }
        self.trouble("clock_jumped");
        let most = i64::try_from(JUMP.as_millis()).unwrap_or(0);
        let drawn = i64::try_from(self.chance.below(JUMP.as_millis() as u64 * 2)).unwrap_or(0);
        self.processes[place].skew = if self.chance.per_mille(300) { 0 } else { drawn - most };
    }

    /// A gateway tells a process of an order, or of one that never was as it says.
    async fn notify(&mut self, place: usize) -> Result<(), SimulationError> {
        let Some(letter) = self.news.next(&mut self.chance, &self.places, &self.ledger).await? else { return Ok(()) };
        if self.is_still(place) || self.chance.per_mille(100) {
            self.trouble("notification_lost");
            return Ok(());
        }
        let Letter { account, headers, body, trouble, is_false } = letter;
        trouble.into_iter().for_each(|what| self.trouble(what));
        let process = &self.processes[place];
        process.look_at_the_clock(self.now());
        match process.engine.receive(&account, &headers, body).await {
            Ok(Received::Kept) if is_false => {
                self.illegal.push("a notification was believed that is not the gateway's".into())
            }
            Ok(Received::Kept | Received::Refused(_) | Received::NoSuchGateway) => {}
            Err(error) => return Err(SimulationError::Twin(error.to_string())),
        }
        if self.chance.per_mille(50) {
            self.trouble("died_after_a_notification");
            return self.replace(place).await;
        }
        if self.chance.per_mille(500) {
            self.processes[place].engine.hear_notifications().await?;
        }
        Ok(())
    }

    /// A process looks after what dead ones left, and after jobs that have ended.
    async fn look(&mut self, place: usize) -> Result<(), SimulationError> {
        if self.is_still(place) {
            return Ok(());
        }
        let process = &self.processes[place];
        process.look_at_the_clock(self.now());
        let now = process.engine.clock.now();
        process.engine.take_over(now).await?;
        process.engine.hear_notifications().await?;
        process.engine.go_on(now).await?;
        self.approve(place).await
    }

    /// Somebody approves what waits for it. In chaos now and then the author tries, who cannot, whatever name they give.
    async fn approve(&mut self, place: usize) -> Result<(), SimulationError> {
        let author = self.what.request.author.clone();
        for approval in self.ledger.approvals(false, i64::MAX, 100).await? {
            let tries = self.chaos && self.chance.per_mille(500);
            let colleague = format!("colleague {}", approval.votes.len() + 1);
            let actor = match author.user() {
                Some(user) if tries => known_like(&author, &colleague, user)?,
                None if tries => author.clone(),
                Some(_) | None => known_like(&author, &colleague, &colleague)?,
            };
            if tries {
                self.trouble("author_tried_to_approve");
            }
            let by = Signed { actor, reason: reason("a play")? };
            self.processes[place].engine.approve_run(approval.run_id, Some(&approval.job), None, &by).await?;
        }
        Ok(())
    }

    /// Nothing goes wrong any more but at the gateways; ends when everything is at rest.
    async fn calm(&mut self) -> Result<(), SimulationError> {
        self.chaos = false;
        for process in &mut self.processes {
            process.skew = 0;
            process.still_until = BEGIN;
        }
        let (mut in_vain, mut idle) = (0, 0);
        for _ in 0..CALM {
            self.finish_calls().await?;
            self.look(0).await?;
            for lane in self.ledger.closed_lanes(self.now()).await? {
                self.trouble("lane_closed");
                self.ledger.release_lane(&lane.name).await?;
            }
            if self.at_rest().await? {
                return Ok(());
            }
            let before = self.calls_made;
            let accounts: Vec<Arc<Account>> = self.processes[0].engine.accounts.values().cloned().collect();
            for _ in 0..accounts.len() * 2 {
                self.claim(0).await?;
            }
            if self.calls_made > before {
                (in_vain, idle) = (0, 0);
            } else {
                in_vain = if self.leap(idle).await? { 0 } else { in_vain + 1 };
                idle = (idle + 1).min(LEAPS);
                if in_vain > IN_VAIN {
                    break;
                }
            }
        }
        Ok(())
    }

    async fn finish_calls(&mut self) -> Result<(), SimulationError> {
        for place in 0..self.processes.len() {
            self.begin_what_is_in_hand(place).await;
            while let Some(id) = self.processes[place].calls.keys().next().copied() {
                self.pass(Duration::from_millis(20));
                self.arrive_of(place, id).await;
                self.hear_of(place, id).await;
            }
            while !self.processes[place].settlements.is_empty() {
                self.settle(place).await?;
            }
        }
        Ok(())
    }

    /// On to when something is due, and further the longer nothing came of it; says whether anything ever is due.
    async fn leap(&mut self, idle: u32) -> Result<bool, SimulationError> {
        let now = self.now();
        let lanes = self.places.keys().cloned().collect();
        let mut next: Option<Timestamp> = None;
        for run in self.ledger.unfinished_runs().await? {
            let due = self.ledger.work(run.id, &lanes, &Default::default()).await?.next_due;
            next = match (next, due) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        let least = Duration::from_millis(250 << idle);
        let wait = next.map_or(Duration::from_secs(60), |next| next.since(now)).max(least);
        self.pass(wait);
        Ok(next.is_some())
    }

    /// Both sides' records.
    pub async fn tell(&self) -> Result<Told, SimulationError> {
        tell(&self.ledger, &self.places, &self.given).await
    }

    /// What the records alone do not show: items that never came to rest, moves that the state machine does not know, and what
    /// the gateways hold against us.
    pub fn left_open(&self, told: &Told) -> Vec<Broken> {
        let open = ["held", "planned", "sending", "pending", "unknown"];
        let mut broken = Vec::new();
        for (state, items) in told.states.iter().filter(|(state, _)| open.contains(&state.as_str())) {
            broken.push(Broken { promise: 2, what: format!("{items} items never came to rest: {state}") });
        }
        broken.extend(self.above_the_rate());
        broken.extend(self.illegal.iter().map(|illegal| Broken { promise: 3, what: illegal.clone() }));
        broken.extend(
            told.violations
                .iter()
                .map(|(word, times)| Broken { promise: 1, what: format!("a gateway says: {word}, {times} times") }),
        );
        broken
    }

    /// How long "no such order" must wait, at least, before it counts; none where clocks jumped.
    pub fn grace(&self) -> Option<i64> {
        let graces = self.what.request.workflow.jobs.iter().map(|job| job.policy.resolve.grace.as_millis());
        graces.min().and_then(|grace| i64::try_from(grace).ok()).filter(|_| self.clocks_agree)
    }

    /// Accounts that were called more often than they allow, by all processes together.
    fn above_the_rate(&self) -> Vec<Broken> {
        const WINDOW: Duration = Duration::from_secs(5);
        let mut broken = Vec::new();
        for (name, times) in self.claimed.iter().filter(|_| self.clocks_agree) {
            let Some(account) = self.processes.first().and_then(|process| process.engine.accounts.get(name)) else {
                continue;
            };
            let in_time = |time: Duration| {
                u128::from(account.rate.calls) * time.as_millis() / account.rate.per.as_millis().max(1)
            };
            // What the window gives, what the bucket may hold, and one for the edge.
            let allowed = in_time(WINDOW) + in_time(Duration::from_millis(100)).max(1) + 1;
            let most = (0..times.len()).map(|first| {
                times[first..].iter().take_while(|time| time.since(times[first]) <= WINDOW).count() as u128
            });
            if let Some(most) = most.max().filter(|most| *most > allowed) {
                broken
                    .push(Broken { promise: 1, what: format!("{most} calls of {name} in 5 s, {allowed} are allowed") });
            }
        }
        broken
    }

    /// What went wrong, by its name.
    pub async fn troubles(&self) -> Result<BTreeMap<String, u64>, SimulationError> {
        let (mut troubles, _) = met(&self.places).await?;
        troubles = troubles.into_iter().map(|(word, times)| (format!("gateway: {word}"), times)).collect();
        troubles.extend(self.troubles.iter().map(|(word, times)| (word.replace('_', " "), *times)));
        Ok(troubles)
    }

    /// How many calls were made.
    pub const fn calls_made(&self) -> u64 {
        self.calls_made
    }
}
