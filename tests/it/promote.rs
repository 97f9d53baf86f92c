//! `payrun promote`: from one file to a server, with items in every state, and no way back to sending from the file.

use payrun::clock::Clock;
use payrun::ledger::NewNotification;
use serde_json::{Value, json};

use crate::support::postgres::Schema;
use crate::support::{App, DATE, Setup, WORKFLOW, contracts, until};

/// A project of which some is charged, some under way when its process died, and the rest not begun.
fn half_done() -> (App, Schema) {
    let setup = Setup {
        contracts: contracts("C", 60),
        latency: std::time::Duration::from_millis(40),
        concurrency: 4,
        server: false,
        ..Setup::default()
    };
    let app = App::of(setup);
    let running = app.start(&["run", WORKFLOW, "--date", DATE]);
    until("some are charged", || app.charges() > 10);
    assert!(running.kill_after(std::time::Duration::ZERO).was_killed());
    let schema = app.wait_for(Schema::fresh());
    let ours = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
    app.write("server.yaml", ours.replace("database: payrun.db", &format!("database: {}", schema.address())));
    (app, schema)
}

async fn keep_a_notification(app: &App) {
    let ledger = app.ledger().await;
    let new = NewNotification {
        lane: "hk".into(),
        digest: "abc".into(),
        received_at: Clock::System.now(),
        headers: "{}".into(),
        body: "e30=".into(),
        sealed: false,
        order_no: Some("ORDER-1".into()),
    };
    ledger.keep_notification(new).await.unwrap();
    ledger.close().await;
}

#[test]
fn what_was_moved_goes_on_there_and_the_file_sends_nothing_any_more() {
    let (mut app, schema) = half_done();
    app.wait_for(keep_a_notification(&app));
    let told = app.json_lines(&["notifications", "list", "--json"]);
    app.payrun(&["pause", "contract", "X-9", "--reason", "a test"]).exits(0);
    app.payrun(&["lane", "limit", "hk", "--rate", "4000/s", "--reason", "a test"]).exits(0);
    let before = app.json_lines(&["journal"]);
    let audit = app.payrun(&["audit", "verify"]).exits(0).says("sound: 2 entries").stdout;
    app.payrun(&["promote", "--to", "server.yaml"]).exits(0).says("can no longer be used");
    assert_eq!(app.json_lines(&["notifications", "list", "--json", "--config", "server.yaml"]), told);
    app.payrun(&["run", "--resume"]).exits(2).says("was moved to");
    let after = app.json_lines(&["journal", "--config", "server.yaml"]);
    assert_eq!(before, after, "every item with its history");
    assert_eq!(app.payrun(&["audit", "verify", "--config", "server.yaml"]).exits(0).stdout, audit);
    app.payrun(&["pause", "workflow", "third", "--reason", "a test"]).exits(2).says("was moved to");
    app.payrun(&["run", "--resume", "--config", "server.yaml"]).exits(0);
    assert_eq!(app.charges(), 60, "everybody once");
    let runs = app.json(&["runs", "--json", "--config", "server.yaml"]);
    assert_eq!(runs[0]["by_state"], json!({ "succeeded": 60 }));
    // A new run finds the keys, and is numbered on.
    app.payrun(&["run", WORKFLOW, "--date", DATE, "--config", "server.yaml"]).exits(0);
    assert_eq!(app.charges(), 60);
    app.payrun(&["promote", "--to", "server.yaml"]).exits(2).says("is not what it is here");
    app.moved_to(schema);
}

#[test]
fn moving_the_same_again_compares_and_changes_nothing() {
    let (mut app, schema) = half_done();
    app.payrun(&["promote", "--to", "server.yaml"]).exits(0);
    app.payrun(&["promote", "--to", "server.yaml"]).exits(0).says("copied before");
    app.payrun(&["run", "--resume", "--config", "server.yaml"]).exits(0);
    assert_eq!(app.charges(), 60);
    app.moved_to(schema);
}

#[test]
fn a_ledger_that_a_process_works_on_is_not_moved() {
    let (app, _schema) = half_done();
    let node = app.start(&["work"]);
    until("the node is at work", || node.stderr_so_far().contains("working on"));
    app.payrun(&["promote", "--to", "server.yaml"]).exits(2).says("stop it first");
    node.interrupt();
    node.wait(crate::support::PATIENCE);
    app.payrun(&["run", "--resume"]).exits(0);
    assert_eq!(app.json(&["runs", "--json"])[0]["state"], Value::from("finished"));
}

#[test]
fn a_move_that_fails_before_its_end_leaves_the_file_as_it_was() {
    let (app, schema) = half_done();
    // Something that the copy runs into.
    app.payrun(&["journal", "--config", "server.yaml"]).exits(0);
    app.wait_for(async {
        use sqlx::Executor;
        schema.connect().await.execute("insert into vault (id, proof) values (1, 'x')").await.unwrap();
    });
    app.payrun(&["promote", "--to", "server.yaml"]).exits(2).says("vault on the server is not what it is here");
    app.payrun(&["run", "--resume"]).exits(0);
    assert_eq!(app.charges(), 60);
}
