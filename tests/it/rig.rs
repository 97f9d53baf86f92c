//! Real processes, killed at random moments and at each named place, stopped beyond their leases
//! and let go on; then judged by what the records say. How many: `PAYRUN_RIG_KILLS` of each; which
//! binary: `PAYRUN_TEST_BINARY`.
//!
//! `tests/reliability.py` runs it with the release binary.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use payrun::checker::{self, CheckContext};
use payrun::sandbox::Gateways;
use payrun::sandbox::faults::{FaultPlan, Level};
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};

use crate::support::process::Running;
use crate::support::rng::TestRng;
use crate::support::{App, DATE, PATIENCE, Setup, WORKFLOW, contracts, until};

/// How many items each start plans.
const ITEMS: u32 = 12;

/// Where starts die that do not die at random (`failpoint::NAMES`); a plan that is cut off is tried
/// by itself.
const PLACES: [&str; 4] = ["before_commit", "after_commit", "before_send", "after_send"];

/// How long "no such order" waits before it counts, in milliseconds: as the workflow says.
const GRACE: i64 = 1200;

fn kills() -> u32 {
    std::env::var("PAYRUN_RIG_KILLS")
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(40)
}

/// What was done to processes.
#[derive(Debug, Default)]
struct Done {
    starts: u32,
    killed: BTreeMap<&'static str, u32>,
    stood_still: u32,
}

impl Done {
    fn kills(&self) -> u32 {
        self.killed.values().sum()
    }

    /// As many as were asked for, and, of many, some at every place: without its fail points a
    /// binary dies at random only.
    fn is_enough(&self) -> bool {
        let everywhere = PLACES.iter().all(|place| self.killed.contains_key(place));
        self.kills() >= kills() && (everywhere || kills() < 100)
    }

    /// Which places are met is a matter of chance and of the machine: it goes on until all are, for
    /// so many starts.
    fn goes_on(&self) -> bool {
        !self.is_enough() && self.starts < kills() * 3
    }

    fn assert_enough(&self) {
        assert!(self.is_enough(), "{self:?}");
    }
}

fn project(server: bool, seed: u64) -> App {
    let faults = FaultPlan::new(seed, Level::Some);
    App::of(Setup {
        faults,
        server,
        latency: Duration::from_millis(15),
        concurrency: 16,
        ..Setup::default()
    })
}

/// The arguments of a start that has something of its own to charge.
fn arguments(app: &App, start: u32) -> Vec<String> {
    let file = format!("data/rig-{start}.csv");
    app.write(&file, contracts(&format!("G{start}"), ITEMS));
    ["run", WORKFLOW, "--date", DATE, "--input", &file]
        .map(str::to_owned)
        .to_vec()
}

/// Starts a run that dies: at a named place, or at a random moment.
fn start_to_die(app: &App, rng: &mut TestRng, done: &mut Done) {
    let arguments = arguments(app, done.starts);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let place = PLACES[usize::try_from(rng.below(4)).unwrap()];
    let at_a_place = rng.below(3) == 0;
    let ended = if at_a_place {
        let nth = 1 + u32::try_from(rng.below(10)).unwrap();
        app.start_to_die_at(&arguments, place, nth).wait(PATIENCE)
    } else {
        let life = Duration::from_millis(5 + rng.below(300));
        app.start(&arguments).kill_after(life)
    };
    done.starts += 1;
    if ended.was_killed() {
        *done
            .killed
            .entry(if at_a_place { place } else { "at random" })
            .or_default() += 1;
    }
}

fn finish(app: &App) {
    let began = Instant::now();
    loop {
        let ended = app.payrun(&["run", "--resume"]);
        match ended.code() {
            Some(0 | 3) => return,
            Some(4) if began.elapsed() < PATIENCE => {}
            _ => panic!("{ended:?}"),
        }
    }
}

/// Whatever is open is finished, and the records are judged by one who knows nothing of how they
/// came to be.
fn finish_and_judge(app: &App, done: &Done) {
    finish(app);
    // Where everybody died for longer than the horizon, a person was called, and says that it is to
    // be asked about again.
    app.payrun(&[
        "retry",
        "--state",
        "needs_review",
        "--reason",
        "nobody lived long enough to ask",
        "--yes",
    ])
    .exits(0);
    finish(app);
    let (journal, totals) = (
        app.json_lines(&["journal"]),
        app.json_lines(&["journal", "--totals"]),
    );
    let open = ["planned", "sending", "pending", "unknown"];
    for item in &journal {
        assert!(!open.contains(&text(item, "state")), "{item:#}");
    }
    let books = app.wait_for(async { Gateways::from(app.sandbox_shared()).lines().await.unwrap() });
    let books: Vec<Value> = books
        .iter()
        .map(|line| {
            let mut line = serde_json::to_value(line).unwrap();
            line["gateway"] = Value::from("hk");
            line
        })
        .collect();
    // Every plan is whole, and one machine has one clock.
    let jobs = journal.iter().map(|item| {
        (
            format!("{}/{}", item["run"], text(item, "job")),
            u64::from(ITEMS),
        )
    });
    let known = CheckContext {
        rows: jobs.collect(),
        grace: Some(GRACE),
        ..CheckContext::default()
    };
    let broken = checker::check(&journal, &books, &totals, &known);
    assert_eq!(broken, Vec::new(), "{done:?}");
    println!(
        "{done:?}; {} items, {} charges, every promise kept",
        journal.len(),
        books.len()
    );
}

fn text<'a>(item: &'a Value, field: &str) -> &'a str {
    item[field].as_str().unwrap()
}

#[test]
fn one_node_on_sqlite_is_killed_again_and_again() {
    let app = project(false, 21);
    let (mut rng, mut done) = (TestRng(3), Done::default());
    while done.goes_on() {
        start_to_die(&app, &mut rng, &mut done);
        if done.starts.is_multiple_of(25) {
            app.assert_nothing_wrong_yet();
        }
    }
    done.assert_enough();
    finish_and_judge(&app, &done);
}

#[test]
fn three_nodes_on_postgres_are_killed_again_and_again() {
    let app = project(true, 22);
    let (mut rng, mut done) = (TestRng(4), Done::default());
    let node = || app.start(&["work", "--quiet"]);
    let mut nodes: Vec<Running> = (0..3).map(|_| node()).collect();
    while done.goes_on() {
        start_to_die(&app, &mut rng, &mut done);
        let place = usize::try_from(rng.below(3)).unwrap();
        let ended = std::mem::replace(&mut nodes[place], node()).kill_after(Duration::ZERO);
        if ended.was_killed() {
            *done.killed.entry("node").or_default() += 1;
        }
        if done.starts.is_multiple_of(25) {
            app.assert_nothing_wrong_yet();
        }
    }
    drop(nodes);
    done.assert_enough();
    finish_and_judge(&app, &done);
}

/// Whether the ledger can be written now: a file has one writer, and none while that one stands
/// still in the middle of a write.
fn can_be_written(app: &App) -> bool {
    if !app.database().exists() {
        return true;
    }
    let file = SqliteConnectOptions::new()
        .filename(app.database())
        .busy_timeout(Duration::from_secs(1));
    app.wait_for(async {
        let mut file = file.connect().await.unwrap();
        file.execute("begin immediate; rollback").await.is_ok()
    })
}

/// A run that was stopped while it had items under way, and does not keep the others from the
/// ledger.
fn start_to_stand_still(app: &App, done: &mut Done) -> Running {
    while done.starts < 100 {
        let charged = app.charges();
        let arguments = arguments(app, done.starts);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let still = app.start(&arguments);
        done.starts += 1;
        until("something was charged", || app.charges() > charged + 2);
        still.signal("STOP");
        if can_be_written(app) && app.by_state()["sending"].as_u64() > Some(0) {
            done.stood_still += 1;
            return still;
        }
        still.signal("CONT");
        still.wait(PATIENCE);
    }
    panic!("it never stood still with items under way: {done:?}");
}

/// Stopped beyond its leases, and let go on when another has taken over.
fn stand_still(server: bool) {
    let app = project(server, 23);
    let mut done = Done::default();
    let still = start_to_stand_still(&app, &mut done);
    // Its lock is held, so its leases decide: twice the time-out and 30 s.
    let other = app.payrun(&["run", "--resume"]);
    assert!(matches!(other.code(), Some(0 | 3)), "{other:?}");
    still.signal("CONT");
    let ended = still.wait(PATIENCE);
    assert!(matches!(ended.code(), Some(0 | 3 | 4)), "{ended:?}");
    finish_and_judge(&app, &done);
}

#[test]
fn a_process_on_sqlite_that_stands_still_beyond_its_leases_doubles_nothing_when_it_goes_on() {
    stand_still(false);
}

#[test]
fn a_node_on_postgres_that_stands_still_beyond_its_leases_doubles_nothing_when_it_goes_on() {
    stand_still(true);
}
