//! Judges a soak by what is left of it, with nothing of payrun's own reckoning.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, NaiveDate, TimeDelta};
use payrun::checker::{self, CheckContext};
use payrun::domain::occurrence::{LATE, OccurrenceState};
use payrun::ledger::{Ledger, OccurrenceFilter, OccurrenceRow, RunRow};
use serde_json::Value;

use super::drive::Lived;
use super::timetable::{Expected, wall};
use super::world::World;

/// What the service may have more at the end than after the first day, in KiB beside half as much
/// again.
const RESIDENT_MORE: u64 = 32 * 1024;

/// What a day of the second half may add more than half as much again as one of the first, in
/// bytes: days differ.
const GROWTH_MORE: u64 = 256 * 1024;

/// How long the log of writes may get: SQLite folds it in at 32 MiB, when nobody reads.
const LOG_MOST: u64 = 96 * 1024 * 1024;

/// Every time is there once, was fired once, or has a reason; and only what was slept through was
/// missed.
pub fn schedules(world: &World, expected: &[Expected], lived: &Lived) {
    let (rows, runs) = read(world);
    let name = |row: &OccurrenceRow| (row.workflow.clone(), row.nominal.clone());
    let there: Vec<(String, String)> = rows.iter().map(name).collect();
    let wanted: BTreeSet<(String, String)> = expected
        .iter()
        .map(|one| (one.workflow.to_owned(), one.nominal.clone()))
        .collect();
    assert_eq!(
        there.iter().cloned().collect::<BTreeSet<_>>(),
        wanted,
        "a time was lost, or made up"
    );
    assert_eq!(there.len(), wanted.len(), "a time is there twice");
    let at: BTreeMap<_, _> = expected
        .iter()
        .map(|one| ((one.workflow, one.nominal.as_str()), one.at))
        .collect();
    let mut fired = BTreeSet::new();
    for row in &rows {
        assert_eq!(
            row.at,
            at[&(row.workflow.as_str(), row.nominal.as_str())],
            "{row:?}"
        );
        match row.state {
            OccurrenceState::Fired => assert!(
                fired.insert(row.run_id.unwrap()),
                "a run of two times: {row:?}"
            ),
            OccurrenceState::Missed => {
                let slept = |(from, until): &(_, _)| *from <= row.at && row.at.plus(LATE) <= *until;
                assert!(
                    lived.slept.iter().any(slept),
                    "nobody slept then: {row:?} {:?}",
                    lived.slept
                );
                assert!(row.reason.is_some() && row.run_id.is_none(), "{row:?}");
            }
            OccurrenceState::Due
            | OccurrenceState::Queued
            | OccurrenceState::Skipped
            | OccurrenceState::Failed => {
                panic!("{row:?}")
            }
        }
    }
    assert_eq!(
        runs.iter().map(|run| run.id).collect::<BTreeSet<_>>(),
        fired,
        "a run without a time"
    );
    let missed = rows.len() - fired.len();
    println!(
        "{} times of schedules: {} fired, {missed} slept through",
        rows.len(),
        fired.len()
    );
    assert!(fired.len() > rows.len() / 2);
}

fn read(world: &World) -> (Vec<OccurrenceRow>, Vec<RunRow>) {
    world.rig.wait_for(async {
        let ledger = Ledger::open(&world.folder().join("payrun.db"))
            .await
            .unwrap();
        let rows = ledger
            .occurrences(&OccurrenceFilter::default(), None, 100_000)
            .await
            .unwrap();
        let runs = ledger.runs(None, 100_000).await.unwrap();
        ledger.close().await;
        (rows, runs)
    })
}

/// Our journal and the gateways' true books keep every promise, and the ledger is sound.
pub fn books(world: &World) {
    let (journal, totals) = (
        lines(world, &["journal"]),
        lines(world, &["journal", "--totals"]),
    );
    let at_rest = [
        "succeeded",
        "failed",
        "skipped",
        "rejected",
        "cancelled",
        "needs_review",
    ];
    for item in &journal {
        assert!(
            at_rest.contains(&item["state"].as_str().unwrap()),
            "{item:#}"
        );
    }
    let all = world.rig.wait_for(world.rig.gateways.lines()).unwrap();
    let books: Vec<Value> = all
        .iter()
        .map(|line| serde_json::to_value(line).unwrap())
        .filter(|line| !is_seeded(line))
        .collect();
    // The clock was moved under them, so no call is held against its time.
    assert_eq!(
        checker::check(&journal, &books, &totals, &CheckContext::default()),
        Vec::new()
    );
    let (faults, violations) = world
        .rig
        .wait_for(world.rig.gateways.fault_counts())
        .unwrap();
    assert!(
        violations.is_empty(),
        "promises to a gateway were broken: {violations:?}"
    );
    println!("{}", world.payrun(&["doctor", "--offline"]).trim());
    println!("{}", world.payrun(&["audit", "verify"]).trim());
    let mut states: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    for item in &journal {
        *states
            .entry((
                item["kind"].as_str().unwrap(),
                item["state"].as_str().unwrap(),
            ))
            .or_default() += 1;
    }
    println!(
        "{} items {states:?}; {} movements of money; faults {faults:?}; every promise kept",
        journal.len(),
        books.len()
    );
    assert!(
        books.len() > 10 && !faults.is_empty(),
        "there was nothing to get wrong"
    );
}

/// Every period of every contract was charged or tried once; of one that was suspended or ended, those
/// before it was.
pub fn contracts(world: &World, expected: &[Expected]) {
    let journal = lines(world, &["journal"]);
    let charged = |id: &str| {
        let key = format!("{id}/");
        let of_it = |item: &&Value| {
            item["kind"] == "deduct" && item["key"].as_str().unwrap().starts_with(&key)
        };
        journal.iter().filter(of_it).count()
    };
    let runs: Vec<NaiveDate> = expected
        .iter()
        .filter(|one| one.workflow == "subscriptions")
        .map(|one| wall(one.at).date())
        .collect();
    let mut active = 0;
    for contract in lines(world, &["contracts", "list", "--json", "-n", "0"]) {
        let anchor = contract["anchor_day"].as_str().unwrap();
        let due = runs.iter().filter(|date| falls_due(anchor, **date)).count();
        let times = charged(contract["contract_id"].as_str().unwrap());
        if contract["state"] == "active" {
            active += 1;
            assert_eq!(times, due, "{contract:#}");
        } else {
            assert!((1..=due).contains(&times), "{times} of {due}: {contract:#}");
        }
    }
    println!("{active} contracts are active, and each of their periods was charged once");
}

/// Whether a contract falls due: on a day of the week, or of the month, or on the last day of a
/// shorter one.
fn falls_due(anchor: &str, date: NaiveDate) -> bool {
    let last = (date + TimeDelta::days(1)).day() == 1;
    match anchor.parse::<u32>() {
        Ok(day) => date.day() == day || (last && date.day() < day),
        Err(_) => date.weekday().to_string().to_lowercase() == anchor,
    }
}

/// What the gateways told was taken in and applied.
pub fn notifications(world: &World) {
    let mut outcomes: BTreeMap<String, u32> = BTreeMap::new();
    for told in lines(world, &["notifications", "list", "--json", "-n", "0"]) {
        *outcomes
            .entry(told["outcome"].as_str().unwrap().to_owned())
            .or_default() += 1;
    }
    println!("notifications: {outcomes:?}");
    assert!(
        !outcomes.contains_key("open") && outcomes.contains_key("no_change"),
        "{outcomes:?}"
    );
}

/// What a command prints, a JSON value a line.
fn lines(world: &World, args: &[&str]) -> Vec<Value> {
    world
        .payrun(args)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Whether the test put it there, or an order of the test's was withdrawn: under its own number,
/// and so once.
fn is_seeded(line: &Value) -> bool {
    let number = line["number"].as_str().unwrap();
    let withdrawn = number.starts_with("reverse ");
    assert!(!withdrawn || line["moved"] == 1, "withdrawn twice: {line}");
    withdrawn
        || ["ORDER-", "T-", "S-"]
            .iter()
            .any(|prefix| number.starts_with(prefix))
}

/// Memory stays, and what is kept grows by the same each day.
pub fn growth(lived: &Lived) {
    for (n, day) in lived.days.iter().enumerate() {
        println!(
            "day {}: {} KiB resident, {} KiB kept, {} KiB of log",
            n + 1,
            day.resident,
            day.kept / 1024,
            day.log / 1024
        );
    }
    let first = lived.days[0].resident;
    let most = first + first / 2 + RESIDENT_MORE;
    assert!(
        lived.days.iter().all(|day| day.resident <= most),
        "more than {most} KiB resident"
    );
    assert!(
        lived.days.iter().all(|day| day.log <= LOG_MOST),
        "the log is not folded in"
    );
    let grown: Vec<u64> = lived
        .days
        .windows(2)
        .map(|pair| pair[1].kept.saturating_sub(pair[0].kept))
        .collect();
    let (early, late) = grown.split_at(grown.len() / 2);
    let mean = |days: &[u64]| days.iter().sum::<u64>() / u64::try_from(days.len()).unwrap().max(1);
    println!(
        "a day adds {} KiB in the first half, {} KiB in the second",
        mean(early) / 1024,
        mean(late) / 1024
    );
    assert!(
        mean(late) <= mean(early) * 3 / 2 + GROWTH_MORE,
        "days add more and more"
    );
}
