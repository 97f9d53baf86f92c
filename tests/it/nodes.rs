//! Several processes at one ledger on PostgreSQL: they share the work, the rate and each other's
//! leavings. That they may die and stand still is tried in `rig.rs`.

use expect_test::expect;
use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::support::{App, DATE, PATIENCE, Setup, WORKFLOW, contracts, until};

fn project(setup: Setup) -> App {
    App::of(Setup {
        server: true,
        ..setup
    })
}

#[test]
fn three_nodes_share_a_run_and_charge_everybody_once() {
    let contracts = contracts("C", 600);
    // Long enough for each to be seen at work.
    let app = project(Setup {
        contracts,
        rate: "200/s",
        latency: Duration::from_millis(30),
        ..Setup::default()
    });
    let nodes = [(); 2].map(|()| app.start(&["work"]));
    until("the nodes are at work", || {
        nodes
            .iter()
            .all(|node| node.stderr_so_far().contains("working on"))
    });
    let mut running = app.start(&["run", WORKFLOW, "--date", DATE]);
    let mut claimed = HashSet::new();
    while !running.has_ended() {
        claimed.extend(app.wait_for(async {
            let mut connection = app.schema().connect().await;
            let claimed = "select distinct node from items where node is not null";
            // There are no tables before the first process has made them.
            sqlx::query_scalar::<_, i64>(claimed)
                .fetch_all(&mut connection)
                .await
                .unwrap_or_default()
        }));
    }
    running.wait(PATIENCE).exits(0);
    assert_eq!(app.charges(), 600);
    assert_eq!(claimed.len(), 3, "each of them had a share");
    for node in nodes {
        node.interrupt();
        assert_eq!(node.wait(PATIENCE).code(), Some(0));
    }
}

#[test]
fn a_node_finishes_what_another_process_planned_and_left() {
    let contracts = contracts("C", 60);
    let app = project(Setup {
        contracts,
        latency: Duration::from_millis(30),
        concurrency: 1,
        ..Setup::default()
    });
    let node = app.start(&["work"]);
    until("the node is at work", || {
        node.stderr_so_far().contains("working on")
    });
    let running = app.start(&["run", WORKFLOW, "--date", DATE]);
    until("something was charged", || app.charges() > 0);
    assert!(running.kill_after(Duration::ZERO).was_killed());
    assert!(app.charges() < 60);
    until("the node charged the rest", || app.charges() == 60);
    node.interrupt();
    assert_eq!(node.wait(PATIENCE).code(), Some(0));
    app.payrun(&["run", "--resume"]).exits(0);
}

#[test]
fn a_process_hears_of_what_another_has_planned() {
    let app = project(Setup {
        contracts: contracts("C", 2),
        ..Setup::default()
    });
    // It only listens, so that nothing else could wake it.
    let ledger = app.wait_for(app.ledger());
    let woken = ledger.work_may_be_due();
    until("it listens", || {
        app.wait_for(async {
            let listening = "select count(*) from pg_stat_activity \
                             where application_name = current_setting('application_name') and query ilike 'listen %'";
            let mut connection = app.schema().connect().await;
            sqlx::query_scalar::<_, i64>(listening).fetch_one(&mut connection).await.unwrap() == 1
        })
    });
    app.payrun(&["run", WORKFLOW, "--date", DATE]).exits(0);
    app.wait_for(async { tokio::time::timeout(PATIENCE, woken).await })
        .expect("it heard of it");
}

#[test]
fn a_node_that_drains_finishes_what_was_left_and_ends() {
    let app = project(Setup {
        contracts: contracts("C", 60),
        rate: "20/s",
        ..Setup::default()
    });
    let running = app.start(&["run", WORKFLOW, "--date", DATE]);
    until("something was charged", || app.charges() > 3);
    assert!(running.kill_after(Duration::ZERO).was_killed());
    app.payrun(&["work", "--drain"])
        .exits(0)
        .says(expect!["open: "]);
    assert_eq!(app.charges(), 60);
    app.payrun(&["work", "--drain", "--quiet"]).exits(0);
}

#[test]
fn all_nodes_together_keep_the_rate_of_the_account() {
    let contracts = contracts("C", 120);
    let app = project(Setup {
        contracts,
        rate: "40/s",
        latency: Duration::from_millis(5),
        ..Setup::default()
    });
    let nodes = [(); 2].map(|()| app.start(&["work", "--quiet"]));
    let began = Instant::now();
    app.payrun(&["run", WORKFLOW, "--date", DATE]).exits(0);
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(2_700),
        "120 calls at 40 a second took {took:?}"
    );
    for node in nodes {
        node.interrupt();
        node.wait(PATIENCE);
    }
}

#[test]
fn a_server_that_ends_all_connections_again_and_again_doubles_and_loses_nothing() {
    let contracts = contracts("C", 300);
    let app = project(Setup {
        contracts,
        rate: "60/s",
        latency: Duration::from_millis(30),
        ..Setup::default()
    });
    let node = app.start(&["work", "--quiet"]);
    let mut running = app.start(&["run", WORKFLOW, "--date", DATE]);
    // A plan that is cut off has not happened, and says so.
    until("something was charged", || app.charges() > 0);
    let mut ended = 0;
    while !running.has_ended() && ended < 200 {
        ended += app.schema().end_connections(&app);
        std::thread::sleep(Duration::from_millis(150));
    }
    assert!(ended > 20, "only {ended} connections were ended");
    running.wait(PATIENCE);
    let finished = app.payrun(&["run", "--resume"]);
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    assert_eq!(app.charges(), 300);
    node.interrupt();
    node.wait(PATIENCE);
}
