//! `kill -9`: at random moments, and at each named place before and after each commit and send.
//! After every death the books are looked at, the next process asks before it sends, and in the end
//! all is charged once.

use std::time::Duration;

use payrun::failpoint;
use payrun::sandbox::faults::{FaultPlan, Level};
use serde_json::Value;

use crate::support::rng::TestRng;
use crate::support::{App, DATE, Setup, WORKFLOW, contracts, until};
use payrun::domain::history::EventKind;

/// How many deaths by chance, and how many at each of the four named places: over 150 in all;
/// `rig.rs` has more.
const BY_CHANCE: u32 = 100;
const AT_EACH_PLACE: u32 = 18;

/// A project in which every start has something of its own to charge.
fn project(faults: FaultPlan) -> App {
    App::of(Setup {
        faults,
        latency: Duration::from_millis(15),
        concurrency: 16,
        wire: true,
        ..Setup::default()
    })
}

/// Plans a few more contracts; what earlier starts left open is finished too.
fn arguments(app: &App, start: u32, items: u32) -> Vec<String> {
    let file = format!("data/start-{start}.csv");
    app.write(&file, contracts(&format!("S{start}"), items));
    ["run", WORKFLOW, "--date", DATE, "--input", &file]
        .map(str::to_owned)
        .to_vec()
}

fn finish(app: &App) {
    app.payrun(&["run", "--resume"]).exits(0);
    let runs = app.json(&["runs", "--json", "-n", "1000"]);
    for run in runs.as_array().unwrap() {
        assert_eq!(
            (&run["state"], &run["open"]),
            (&Value::from("finished"), &Value::from(0)),
            "{run}"
        );
        assert_eq!(run["by_state"]["succeeded"], run["items"], "{run}");
    }
}

/// Starts and kills at random moments, seeded; returns how many died with calls under way.
fn kill_by_chance(app: &App, kills: u32, seed: u64) {
    let mut rng = TestRng(seed);
    let (mut died, mut with_calls_under_way) = (0, 0);
    for start in 0..kills {
        let arguments = arguments(app, start, 12);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let before = app.wire().sent();
        // Short enough to hit the opening, the planning and the asking too; or, however long those
        // take, while it sends.
        let life = Duration::from_millis(20 + rng.below(350));
        let mut running = app.start(&arguments);
        let ended = if rng.once_in(2) {
            until("it sends", || {
                app.wire().sent() > before || running.has_ended()
            });
            running.kill_after(life / 8)
        } else {
            running.kill_after(life)
        };
        died += u32::from(ended.was_killed());
        with_calls_under_way += u32::from(ended.was_killed() && app.wire().sent() > before);
        app.assert_nothing_wrong_yet();
    }
    eprintln!(
        "{died} of {kills} starts were killed, {with_calls_under_way} of them while they were sending"
    );
    assert!(
        died * 10 > kills * 7,
        "only {died} of {kills} were still alive to be killed"
    );
    assert!(
        with_calls_under_way * 4 > kills,
        "only {with_calls_under_way} of {kills} died while they were sending"
    );
}

#[test]
fn killed_at_random_moments_it_asks_before_it_sends_again_and_the_books_match() {
    let app = project(FaultPlan::NONE);
    kill_by_chance(&app, BY_CHANCE / 2, 1);
    finish(&app);
    app.wire().assert_asked_before_sent_again();
}

#[test]
fn killed_at_random_moments_at_a_gateway_with_faults_the_books_match() {
    let app = project(FaultPlan::new(3, Level::Some));
    kill_by_chance(&app, BY_CHANCE / 2, 2);
    let ended = app.payrun(&["run", "--resume"]);
    assert!(matches!(ended.code(), Some(0 | 3)), "{ended:?}");
    for run in app
        .json(&["runs", "--json", "-n", "1000"])
        .as_array()
        .unwrap()
    {
        assert_eq!(
            (&run["state"], &run["open"]),
            (&Value::from("finished"), &Value::from(0)),
            "{run}"
        );
    }
}

/// Dies at one place again and again, the first time it is reached, the second, and later ones.
fn killed_at(place: &str) {
    let app = project(FaultPlan::NONE);
    let mut died = 0;
    for start in 0..AT_EACH_PLACE {
        let arguments = arguments(&app, start, 12);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let nth = [1, 2, 3, 5, 8, 13][start as usize % 6];
        let ended = app
            .start_to_die_at(&arguments, place, nth)
            .wait(crate::support::PATIENCE);
        assert!(ended.was_killed() || ended.code() == Some(0), "{ended:?}");
        died += u32::from(ended.was_killed());
        app.assert_nothing_wrong_yet();
    }
    eprintln!("{died} of {AT_EACH_PLACE} starts died at {place}");
    // Where commits are grouped there may be fewer than eight.
    assert!(
        died >= AT_EACH_PLACE * 2 / 3,
        "only {died} of {AT_EACH_PLACE} starts died at {place}"
    );
    finish(&app);
    app.wire().assert_asked_before_sent_again();
    assert_histories_ask_after_a_death(&app);
}

/// In our own history too: what was under way when a process died is asked about next, whatever
/// follows.
fn assert_histories_ask_after_a_death(app: &App) {
    let mut abandoned = 0;
    for (item, events) in app.histories() {
        for two in events
            .windows(2)
            .filter(|two| two[0].event == EventKind::Abandoned)
        {
            abandoned += 1;
            assert_eq!(
                (two[0].from.as_str(), two[0].to.as_str()),
                ("sending", "unknown"),
                "{item:#?} {events:#?}"
            );
            assert_eq!(
                (two[1].event.as_str(), two[1].from.as_str()),
                ("claim", "unknown"),
                "{item:#?} {events:#?}"
            );
        }
    }
    assert!(abandoned > 0, "nobody died while a call was under way");
}

#[test]
fn killed_before_a_commit_nothing_of_it_has_happened() {
    killed_at(failpoint::NAMES[0]);
}

#[test]
fn killed_after_a_commit_what_was_claimed_is_asked_about() {
    killed_at(failpoint::NAMES[1]);
}

#[test]
fn killed_before_a_send_the_order_is_asked_about_and_then_sent() {
    killed_at(failpoint::NAMES[2]);
}

#[test]
fn killed_after_a_send_the_order_is_asked_about_and_not_sent_again() {
    killed_at(failpoint::NAMES[3]);
}

#[test]
fn every_named_place_has_a_test() {
    // `after_plan` is tried in schedule_command.rs, `plan_step` in long_plans.rs, `withdrawal_step` in
    // operators.rs, `bulk_step` in dashboard/bulk.rs.
    let names = [
        "before_commit",
        "after_commit",
        "before_send",
        "after_send",
        "after_plan",
        "plan_step",
        "withdrawal_step",
        "bulk_step",
    ];
    assert_eq!(failpoint::NAMES, names);
}
