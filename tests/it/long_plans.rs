//! Plans of many rows, on the binary: nobody waits for one, and one that dies in the middle is as
//! if it never was.

use expect_test::expect;
use std::time::{Duration, Instant};

use payrun::ledger::Ledger;
use serde_json::json;

use crate::support::{App, DATE, PATIENCE, Setup, WORKFLOW, contracts};

const RUN: [&str; 4] = ["run", WORKFLOW, "--date", DATE];

fn on_both_engines(test: impl Fn(Setup)) {
    for server in [false, true] {
        test(Setup {
            server,
            ..Setup::default()
        });
    }
}

/// All was charged, once, and all runs have ended.
fn assert_charged_once(app: &App, contracts: u64) {
    app.payrun(&["run", "--resume"]).exits(0);
    assert_eq!(app.charges(), contracts);
    for run in app
        .json(&["runs", "--json", "-n", "1000"])
        .as_array()
        .unwrap()
    {
        assert_eq!(
            (&run["state"], &run["open"]),
            (&json!("finished"), &json!(0)),
            "{run}"
        );
    }
    app.assert_nothing_wrong_yet();
    app.assert_books_match();
}

/// Waits, and so do a notification, a settle and a claim of another process, for the ledger's only
/// writer.
#[test]
fn a_plan_of_many_rows_keeps_no_other_process_waiting_for_its_end() {
    let app = App::of(Setup {
        contracts: contracts("C", 40_000),
        server: false,
        ..Setup::default()
    });
    app.payrun(&["runs"]).exits(0);
    let ledger = app
        .wait_for(Ledger::open_waiting(
            &app.database(),
            Duration::from_secs(60),
        ))
        .unwrap();
    let mut planning = app.start(&["plan", WORKFLOW, "--date", DATE]);
    let began = Instant::now();
    let (mut longest, mut turns) = (Duration::ZERO, 0);
    while !planning.has_ended() {
        let asked = Instant::now();
        app.wait_for(ledger.try_begin_write()).unwrap();
        (longest, turns) = (longest.max(asked.elapsed()), turns + 1);
        std::thread::sleep(Duration::from_millis(5));
    }
    let whole = began.elapsed();
    planning.wait(PATIENCE).exits(0);
    println!(
        "{turns} turns of another process beside a plan of {whole:?}; the longest wait was {longest:?}"
    );
    assert!(
        longest * 3 < whole,
        "another process waited {longest:?} of {whole:?}"
    );
    assert_eq!(app.json(&["runs", "--json"]), json!([]));
    app.wait_for(ledger.close());
}

#[test]
fn killed_at_each_commit_of_a_plan_all_is_charged_once_in_the_end() {
    on_both_engines(|setup| {
        let in_steps = !setup.server;
        let app = App::of(Setup {
            contracts: contracts("C", 2_100),
            ..setup
        });
        // Where a plan is one transaction, it dies at some moment of it.
        for life in [40, 120, 250] {
            app.start(&RUN).kill_after(Duration::from_millis(life));
            app.assert_nothing_wrong_yet();
        }
        let mut deaths = 0;
        for nth in 1..=20 {
            let ended = app.start_to_die_at(&RUN, "plan_step", nth).wait(PATIENCE);
            app.assert_nothing_wrong_yet();
            if !ended.was_killed() {
                ended.exits(0);
                break;
            }
            deaths += 1;
        }
        println!("{deaths} deaths in a plan");
        assert!(!in_steps || deaths >= 6, "only {deaths} died in a plan");
        assert_charged_once(&app, 2_100);
    });
}

#[test]
fn killed_while_the_items_of_a_plan_that_was_refused_are_taken_away_nothing_is_left() {
    let app = App::of(Setup {
        contracts: contracts("C", 4_100),
        job: "    limits: { items: 4000 }\n",
        server: false,
        ..Setup::default()
    });
    app.start_to_die_at(&RUN, "plan_step", 6).wait(PATIENCE);
    app.payrun(&RUN).says(expect![
        "is over its limit: more than 4000 items; nothing was planned and nothing is sent"
    ]);
    assert_eq!(app.json(&["runs", "--json"]), json!([]));
    let left = app.wait_for(async {
        use sqlx::Connection as _;
        let url = format!("sqlite://{}", app.database().display());
        let mut ledger = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let left = "select (select count(*) from items) + (select count(*) from unfinished_plans)";
        sqlx::query_scalar::<_, i64>(left)
            .fetch_one(&mut ledger)
            .await
            .unwrap()
    });
    assert_eq!((left, app.charges()), (0, 0));
}

#[test]
fn two_processes_that_plan_one_file_at_once_charge_each_row_once() {
    on_both_engines(|setup| {
        let app = App::of(Setup {
            contracts: contracts("C", 2_400),
            ..setup
        });
        let both = [app.start(&RUN), app.start(&RUN)];
        for one in both {
            one.wait(PATIENCE).exits(0);
        }
        let runs = app.json(&["runs", "--json"]);
        let planned: u64 = runs
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["by_state"]["succeeded"].as_u64().unwrap_or(0))
            .sum();
        assert_eq!(
            (planned, runs.as_array().unwrap().len()),
            (2_400, 2),
            "{runs}"
        );
        assert_charged_once(&app, 2_400);
    });
}

#[test]
fn interrupted_in_the_middle_of_a_plan_nothing_is_planned_and_the_next_start_charges_all() {
    on_both_engines(|setup| {
        let app = App::of(Setup {
            contracts: contracts("C", 2_500),
            ..setup
        });
        let running = app.start(&RUN);
        std::thread::sleep(Duration::from_millis(400));
        running.interrupt();
        let ended = running.wait(PATIENCE);
        println!("interrupted: {ended:?}");
        if app.charges() == 0 {
            assert_eq!(app.json(&["runs", "--json"]), json!([]));
        }
        app.payrun(&RUN).exits(0);
        assert_charged_once(&app, 2_500);
    });
}
