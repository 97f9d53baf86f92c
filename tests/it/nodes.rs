//! Several processes at one ledger on PostgreSQL: they share the work, the rate and each other's leavings.

use std::time::{Duration, Instant};

use payrun::sandbox::faults::{FaultPlan, Level};
use serde_json::Value;

use crate::support::{App, DATE, PATIENCE, Setup, WORKFLOW, contracts, until};

fn project(setup: Setup) -> App {
    App::of(Setup { server: true, concurrency: 16, ..setup })
}

fn plan_of(file: &str) -> [&str; 6] {
    ["run", WORKFLOW, "--date", DATE, "--input", file]
}

fn assert_all_ended(app: &App) {
    for run in app.json(&["runs", "--json", "-n", "1000"]).as_array().unwrap() {
        assert_eq!((&run["state"], &run["open"]), (&Value::from("finished"), &Value::from(0)), "{run}");
    }
}

#[test]
fn three_nodes_share_a_run_and_charge_everybody_once() {
    let contracts = contracts("C", 600);
    let app = project(Setup { contracts, latency: Duration::from_millis(10), ..Setup::default() });
    let nodes = [(); 2].map(|()| app.start(&["work", "--quiet"]));
    app.payrun(&["run", WORKFLOW, "--date", DATE]).exits(0);
    assert_eq!(app.charges(), 600);
    let nodes_that_worked = app.wait_for(async {
        let schema = app.schema().connect();
        let mut connection = schema.await;
        sqlx::query_scalar::<_, i64>("select count(*) from nodes").fetch_one(&mut connection).await.unwrap()
    });
    assert!(nodes_that_worked >= 2, "both nodes are known");
    for node in nodes {
        node.interrupt();
        assert_eq!(node.wait(PATIENCE).code(), Some(0));
    }
}

#[test]
fn a_node_that_waits_hears_of_a_run_that_another_process_plans() {
    let app = project(Setup { contracts: contracts("C", 20), ..Setup::default() });
    let node = app.start(&["work"]);
    until("the node is at work", || node.stderr_so_far().contains("working on"));
    app.payrun(&["run", WORKFLOW, "--date", DATE]).exits(0);
    node.interrupt();
    assert_eq!(node.wait(PATIENCE).code(), Some(0));
}

#[test]
fn all_nodes_together_keep_the_rate_of_the_account() {
    let contracts = contracts("C", 120);
    let app = project(Setup { contracts, rate: "40/s", latency: Duration::from_millis(5), ..Setup::default() });
    let nodes = [(); 2].map(|()| app.start(&["work", "--quiet"]));
    let began = Instant::now();
    app.payrun(&["run", WORKFLOW, "--date", DATE]).exits(0);
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(2_700), "120 calls at 40 a second took {took:?}");
    for node in nodes {
        node.interrupt();
        node.wait(PATIENCE);
    }
}

#[test]
fn nodes_that_are_killed_at_random_at_a_gateway_with_faults_double_and_lose_nothing() {
    let faults = FaultPlan::new(11, Level::Some);
    let app = project(Setup { faults, latency: Duration::from_millis(15), wire: true, ..Setup::default() });
    let mut chance: u64 = 5;
    let mut nodes: Vec<_> = [(); 3].map(|()| app.start(&["work", "--quiet"])).into();
    let mut killed = 0;
    for start in 0..40_u32 {
        let file = format!("data/start-{start}.csv");
        app.write(&file, contracts(&format!("S{start}"), 12));
        let planned = app.start(&plan_of(&file)).kill_after(Duration::from_millis(400));
        killed += u32::from(planned.was_killed());
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let dying = nodes.remove((chance >> 33) as usize % nodes.len());
        killed += u32::from(dying.kill_after(Duration::ZERO).was_killed());
        nodes.push(app.start(&["work", "--quiet"]));
        app.assert_nothing_wrong_yet();
    }
    eprintln!("{killed} processes were killed");
    assert!(killed >= 60, "only {killed} were alive to be killed");
    drop(nodes);
    let ended = app.payrun(&["run", "--resume"]);
    assert!(matches!(ended.code(), Some(0 | 3)), "{ended:?}");
    assert_all_ended(&app);
}

#[test]
fn a_node_that_stood_still_beyond_its_lease_sends_nothing_that_another_has_sent() {
    let app = project(Setup { contracts: contracts("C", 60), latency: Duration::from_millis(40), ..Setup::default() });
    let still = app.start(&["run", WORKFLOW, "--date", DATE]);
    until("something was charged", || app.charges() > 5);
    still.signal("STOP");
    // Its lock is held and its connections are open, so its leases decide: twice the time-out and 30 s.
    let finished = app.payrun(&["run", "--resume"]);
    assert_eq!(finished.code(), Some(0), "{finished:?}");
    assert_eq!(app.charges(), 60);
    still.signal("CONT");
    let ended = still.wait(PATIENCE);
    assert!(matches!(ended.code(), Some(0 | 3 | 4)), "{ended:?}");
    assert_eq!(app.charges(), 60);
}

#[test]
fn a_server_that_ends_all_connections_again_and_again_doubles_and_loses_nothing() {
    let contracts = contracts("C", 300);
    let app = project(Setup { contracts, rate: "60/s", latency: Duration::from_millis(30), ..Setup::default() });
    let node = app.start(&["work", "--quiet"]);
    let mut running = app.start(&["run", WORKFLOW, "--date", DATE]);
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
