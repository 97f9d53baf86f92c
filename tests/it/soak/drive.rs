//! Lives through the days: waits while work is done, moves the clock on when there is none, and
//! ends processes in between.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use payrun::domain::occurrence::OccurrenceState;
use payrun::domain::time::Timestamp;
use payrun::ledger::{LaneState, Ledger, ListedApprovals};

use super::timetable::{Expected, WORKFLOWS};
use super::world::World;
use crate::support::gateways::GATEWAYS;
use crate::support::process::Running;
use crate::support::rng::TestRng;
use crate::support::{PATIENCE, until};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
pub const DAY: Duration = Duration::from_secs(86_400);

/// What is due within this time is waited for together, so that a question after ten seconds is no
/// step of its own.
const TOGETHER: Duration = Duration::from_secs(15 * 60);

/// What is due within this time counts as due.
const MOMENT: Duration = Duration::from_secs(2);

/// How long something may be due and not done before the clock goes on without it.
const TRIED: Duration = Duration::from_secs(15);

/// What was done, and what was seen at the end of each day.
#[derive(Debug, Default)]
pub struct Lived {
    pub steps: u32,
    pub kills: u32,
    pub beside: u32,
    pub jumps_at_work: u32,
    /// How often a lane was opened again that a jump of the clock had stopped.
    pub released: usize,
    /// How often something was due and was not done in time.
    pub gone_on: u32,
    /// From when until when nobody looked at the clock.
    pub slept: Vec<(Timestamp, Timestamp)>,
    pub days: Vec<Day>,
}

/// The end of a day.
#[derive(Debug)]
pub struct Day {
    /// What the service has resident, in KiB.
    pub resident: u64,
    /// The ledger as a backup has it, and the files of runs, in bytes.
    pub kept: u64,
    /// The ledger's log of writes, which is folded in from time to time, in bytes.
    pub log: u64,
}

/// What is to be lived through.
pub struct Drive<'a> {
    world: &'a World,
    ledger: Ledger,
    service: Option<Running>,
    beside: Option<Running>,
    expected: VecDeque<Expected>,
    rng: TestRng,
    pub lived: Lived,
}

impl<'a> Drive<'a> {
    /// With the service up, which has seen every schedule: a time that passes before that is nobody's.
    pub fn of(world: &'a World, expected: Vec<Expected>) -> Self {
        let service = Some(start(world, &["serve"]));
        let path = world.folder().join("payrun.db");
        let ledger = world.rig.wait_for(Ledger::open(&path)).unwrap();
        until("every schedule is seen", || {
            let seen = world.rig.wait_for(ledger.schedules("", 100)).unwrap();
            seen.len() == WORKFLOWS.len()
        });
        Self {
            world,
            ledger,
            service,
            beside: None,
            expected: expected.into(),
            rng: TestRng(31),
            lived: Lived::default(),
        }
    }

    /// Lives until an instant; now and then through a sleep, with disruptions also through deaths and
    /// jumps at work.
    pub fn until(&mut self, end: Timestamp, disruptions: bool) {
        while self.now() < end {
            self.rest();
            // A person looks now and then.
            if self.rng.once_in(2) && self.approve() {
                continue;
            }
            self.lived.steps += 1;
            let next = self.next().unwrap_or(end).min(end);
            if self.rng.once_in(5) {
                self.sleep(end);
                continue;
            }
            self.world.hands.set(next.min(self.now().plus(HOUR * 3)));
            if disruptions {
                self.disruption(end);
            }
        }
        self.end_beside();
        self.rest();
    }

    /// The clock is moved by hours at once, as when a machine slept.
    fn sleep(&mut self, end: Timestamp) {
        // What nobody had decided on yet is slept through too.
        let undecided = self
            .is_undecided()
            .then(|| self.expected.front().map(|first| first.at))
            .flatten();
        let from = undecided.unwrap_or(self.now());
        let hours = HOUR * (1 + u32::try_from(self.rng.below(4)).unwrap());
        self.world.hands.set(self.now().plus(hours).min(end));
        self.lived.slept.push((from, self.now()));
    }

    fn disruption(&mut self, end: Timestamp) {
        if self.rng.once_in(5) {
            // Beyond a lease, and within what gateways take for our clock being wrong.
            self.real(400);
            self.world.hands.set(self.now().plus(MINUTE * 2).min(end));
            self.lived.jumps_at_work += 1;
        }
        if self.rng.once_in(6) {
            self.kill(end);
        }
        match self.beside {
            Some(_) if self.rng.once_in(3) => self.end_beside(),
            None if self.rng.once_in(10) => {
                self.beside = Some(start(self.world, &["serve", "--listen", "127.0.0.1:0"]));
                self.lived.beside += 1;
            }
            Some(_) | None => {}
        }
    }

    /// Kills the service at some moment, and starts it again: at once, or hours later.
    fn kill(&mut self, end: Timestamp) {
        self.real(900);
        assert!(
            self.service
                .take()
                .unwrap()
                .kill_after(Duration::ZERO)
                .was_killed()
        );
        self.lived.kills += 1;
        if self.rng.once_in(3) {
            self.sleep(end);
        }
        self.service = Some(start(self.world, &["serve"]));
    }

    fn end_beside(&mut self) {
        let Some(beside) = self.beside.take() else {
            return;
        };
        if self.rng.once_in(2) {
            beside.kill_after(Duration::ZERO);
            self.lived.kills += 1;
        } else {
            beside.interrupt();
            beside.wait(PATIENCE).exits(0);
        }
    }

    /// A random moment of real time, in which work goes on.
    fn real(&mut self, at_most: u64) {
        std::thread::sleep(Duration::from_millis(self.rng.below(at_most)));
    }

    /// Notes how things stand at the end of a day.
    pub fn note_day(&mut self) {
        let resident = resident(self.service.as_ref().unwrap().id());
        let folder = self.world.folder();
        self.world.payrun(&["backup", "day.db"]);
        let size = |name| std::fs::metadata(folder.join(name)).map_or(0, |about| about.len());
        let kept = size("day.db") + bytes(&folder.join("files"));
        self.lived.days.push(Day {
            resident,
            kept,
            log: size("payrun.db-wal"),
        });
        std::fs::remove_file(folder.join("day.db")).unwrap();
    }

    /// Stops the service, and has somebody work on what is open who begins nothing, until nothing
    /// is open.
    pub fn drain(&mut self) {
        let service = self.service.take().unwrap();
        service.interrupt();
        service.wait(PATIENCE).exits(0);
        let worker = start(self.world, &["work"]);
        let begun = self.now();
        loop {
            self.rest();
            if self.approve() {
                continue;
            }
            match self.next() {
                Some(next) => self.world.hands.set(next),
                None => break,
            }
            assert!(
                self.now().since(begun) < DAY * 60,
                "this is still open: {:?}",
                self.open()
            );
        }
        worker.interrupt();
        worker.wait(PATIENCE).exits(0);
        assert_eq!(self.open(), Vec::<String>::new());
    }

    /// Approves what waits for it; says whether anything did.
    fn approve(&self) -> bool {
        let waiting = self
            .world
            .rig
            .wait_for(self.ledger.approvals(ListedApprovals::Open, i64::MAX, 100))
            .unwrap();
        for approval in &waiting {
            let run = approval.run_id.to_string();
            self.world.payrun(&[
                "approvals",
                "approve",
                &run,
                "--author",
                "bob",
                "--reason",
                "as agreed",
            ]);
        }
        !waiting.is_empty()
    }

    /// What is not at rest, by run.
    fn open(&self) -> Vec<String> {
        let runs = self
            .world
            .rig
            .wait_for(self.ledger.unfinished_runs())
            .unwrap();
        runs.into_iter()
            .map(|run| format!("{} of {}", run.workflow, run.occurrence))
            .collect()
    }

    /// Waits while anything is due or under way, and opens what was closed by a jump of the clock.
    fn rest(&mut self) {
        self.wait_for_work();
        while self.release() {
            self.wait_for_work();
        }
    }

    /// A request that was on its way when the clock jumped by hours is too old for its gateway,
    /// which says that its signature is wrong. That stops the lane, and a person has to look; says
    /// whether one was opened again.
    fn release(&mut self) -> bool {
        let closed = self
            .world
            .rig
            .wait_for(self.ledger.closed_lanes(self.now()))
            .unwrap();
        let stopped: Vec<_> = closed
            .into_iter()
            .filter(|lane| lane.state == LaneState::Stopped)
            .collect();
        for lane in &stopped {
            let reason = lane.reason.as_deref().unwrap_or_default();
            assert!(
                reason.contains("SIGN_ERROR"),
                "{} was stopped: {reason}",
                lane.name
            );
            self.world.payrun(&[
                "lane",
                "release",
                &lane.name,
                "--author",
                "bob",
                "--reason",
                "the clock jumped",
            ]);
            self.lived.released += 1;
            assert!(
                self.lived.released <= self.lived.slept.len(),
                "{} was stopped without a jump",
                lane.name
            );
        }
        !stopped.is_empty()
    }

    fn wait_for_work(&mut self) {
        let began = Instant::now();
        while let Some(busy) = self.busy() {
            if began.elapsed() > TRIED {
                println!("{}: gone on without {busy}", self.now());
                self.lived.gone_on += 1;
                assert!(
                    self.lived.gone_on < 50,
                    "things that are due are not done: {:?}",
                    self.open()
                );
                self.world.hands.set(self.now().plus(MINUTE));
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What is due or under way.
    fn busy(&mut self) -> Option<String> {
        if self.is_undecided() {
            return Some(format!("{:?}", self.expected.front()));
        }
        self.world.rig.wait_for(self.work())
    }

    /// Whether a time of a schedule has come that nobody has decided on.
    fn is_undecided(&mut self) -> bool {
        let now = self.now();
        while let Some(first) = self.expected.front().filter(|first| first.at <= now) {
            let row = self
                .world
                .rig
                .wait_for(self.ledger.occurrence(first.workflow, &first.nominal))
                .unwrap();
            if row.is_none_or(|row| row.state == OccurrenceState::Due) {
                return true;
            }
            self.expected.pop_front();
        }
        false
    }

    async fn work(&self) -> Option<String> {
        // What is due in a moment may be on its way when the clock is moved.
        let now = self.now().plus(MOMENT);
        let (open, held) = self.lanes(now).await;
        if let Some(told) = self.ledger.notifications_due(now, 1).await.unwrap().first() {
            return Some(format!("notification {}", told.id));
        }
        for run in self.ledger.unfinished_runs().await.unwrap() {
            let work = self.ledger.work(run.id, &open, &held).await.unwrap();
            let asked = self
                .ledger
                .is_under_way(run.id, now, now.plus(HOUR))
                .await
                .unwrap();
            if work.open == 0
                || work.claimed > 0
                || asked
                || work.next_due.is_some_and(|due| due <= now)
            {
                return Some(format!(
                    "{} of {} ({work:?}, asked: {asked})",
                    run.workflow, run.occurrence
                ));
            }
        }
        None
    }

    /// When somebody has to do something next; never before now.
    fn next(&self) -> Option<Timestamp> {
        let now = self.now();
        let items = self.world.rig.wait_for(async {
            let (open, held) = self.lanes(now).await;
            let mut next: Option<Timestamp> = None;
            for run in self.ledger.unfinished_runs().await.unwrap() {
                let due = self
                    .ledger
                    .work(run.id, &open, &held)
                    .await
                    .unwrap()
                    .next_due;
                // What waits for a lane or for other items is looked at again.
                let due = due.unwrap_or(now).max(now.plus(TOGETHER));
                next = Some(next.map_or(due, |next| next.min(due)));
            }
            next
        });
        let schedule = self.expected.front().map(|first| first.at);
        let first = [items, schedule].into_iter().flatten().min();
        first.map(|first| first.max(now))
    }

    /// The lanes that are open, and the kinds of job that are held.
    async fn lanes(&self, now: Timestamp) -> (BTreeSet<String>, BTreeSet<String>) {
        let mut open: BTreeSet<String> = GATEWAYS.into_iter().map(str::to_owned).collect();
        let mut held = BTreeSet::new();
        for lane in self.ledger.closed_lanes(now).await.unwrap() {
            open.remove(&lane.name);
            held.insert(lane.name);
        }
        (open, held)
    }

    fn now(&self) -> Timestamp {
        self.world.hands.now()
    }
}

fn start(world: &World, args: &[&str]) -> Running {
    let process = Running::start(world.command(args));
    until("the process is up", || {
        process.stderr_so_far().contains("Ctrl-C stops")
    });
    process
}

/// What a process has resident, in KiB.
fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// What is in a folder, in bytes.
fn bytes(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.metadata() {
            Ok(about) if about.is_dir() => bytes(&entry.path()),
            Ok(about) => about.len(),
            // It went while it was looked for.
            Err(_) => 0,
        })
        .sum()
}
