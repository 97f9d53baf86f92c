//! `payrun promote`: from one file to a server, with items in every state, and no way back to
//! sending from the file.

use expect_test::expect;
use payrun::clock::Clock;
use payrun::ledger::NewNotification;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};

use crate::support::postgres::Schema;
use crate::support::{App, DATE, Setup, WORKFLOW, contracts, until};

/// A project of which some is charged, some under way when its process died, and the rest not
/// begun.
fn half_done() -> (App, Schema) {
    let setup = Setup {
        contracts: contracts("C", 60),
        rate: "20/s",
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
    app.write(
        "server.yaml",
        ours.replace(
            "database: payrun.db",
            &format!("database: {}", schema.address()),
        ),
    );
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
    app.payrun(&["pause", "contract", "X-9", "--ahead", "--reason", "a test"])
        .exits(0);
    app.payrun(&[
        "lane", "limit", "hk", "--rate", "19/s", "--reason", "a test",
    ])
    .exits(0);
    let before = app.json_lines(&["journal"]);
    let audit = app
        .payrun(&["audit", "verify"])
        .exits(0)
        .says(expect!["sound: 2 entries"])
        .stdout;
    app.payrun(&["promote", "--to", "server.yaml"])
        .exits(0)
        .says(expect!["can no longer be used"]);
    assert_eq!(
        app.json_lines(&["notifications", "list", "--json", "--config", "server.yaml"]),
        told
    );
    app.payrun(&["run", "--resume"])
        .exits(2)
        .says(expect!["was moved to"]);
    let after = app.json_lines(&["journal", "--config", "server.yaml"]);
    assert_eq!(before, after, "every item with its history");
    assert_eq!(
        app.payrun(&["audit", "verify", "--config", "server.yaml"])
            .exits(0)
            .stdout,
        audit
    );
    app.payrun(&["pause", "workflow", "third", "--reason", "a test"])
        .exits(2)
        .says(expect!["was moved to"]);
    app.payrun(&["run", "--resume", "--config", "server.yaml"])
        .exits(0);
    assert_eq!(app.charges(), 60, "everybody once");
    let runs = app.json(&["runs", "--json", "--config", "server.yaml"]);
    assert_eq!(runs[0]["by_state"], json!({ "succeeded": 60 }));
    // A new run finds the keys, and is numbered on.
    app.payrun(&["run", WORKFLOW, "--date", DATE, "--config", "server.yaml"])
        .exits(0);
    assert_eq!(app.charges(), 60);
    app.payrun(&["promote", "--to", "server.yaml"])
        .exits(2)
        .says(expect!["was moved to"])
        .never_says("broken off");
    app.moved_to(schema);
}

/// As if the process had died before it heard of the server's commit.
fn forget_the_end(app: &App, schema: &Schema) {
    app.wait_for(async {
        let mut server = schema.connect().await;
        let begun: String = sqlx::query_scalar("select move from moved_here")
            .fetch_one(&mut server)
            .await
            .unwrap();
        let mut file = SqliteConnectOptions::new()
            .filename(app.database())
            .connect()
            .await
            .unwrap();
        sqlx::query("update fence set moved_to = $1")
            .bind(begun)
            .execute(&mut file)
            .await
            .unwrap();
    });
}

/// Does something on the server behind payrun's back.
fn on_the_server(app: &App, schema: &Schema, statement: &'static str) {
    app.wait_for(async { schema.connect().await.execute(statement).await.unwrap() });
}

const EMPTY: &str = "do $$ begin execute 'drop schema ' || current_schema() || ' cascade; create schema ' || current_schema(); \
                     end $$";

#[test]
fn a_move_whose_end_nobody_heard_of_is_found_to_have_ended() {
    let (mut app, schema) = half_done();
    app.payrun(&["promote", "--to", "server.yaml"]).exits(0);
    forget_the_end(&app, &schema);
    app.payrun(&["run", "--resume"])
        .exits(2)
        .says(expect!["unless the move was broken off"]);
    app.payrun(&["promote", "--to", "server.yaml"])
        .exits(0)
        .says(expect!["copied before"]);
    app.payrun(&["run", "--resume"])
        .exits(2)
        .says(expect!["was moved to"])
        .never_says("broken off");
    app.payrun(&["run", "--resume", "--config", "server.yaml"])
        .exits(0);
    assert_eq!(app.charges(), 60);
    // The same when the server has moved on.
    forget_the_end(&app, &schema);
    app.payrun(&["promote", "--to", "server.yaml"])
        .exits(0)
        .says(expect!["copied before"]);
    app.payrun(&["run", "--resume"])
        .exits(2)
        .says(expect!["was moved to"])
        .never_says("broken off");
    app.moved_to(schema);
}

#[test]
fn a_move_that_was_broken_off_before_the_servers_commit_is_made_again() {
    let (mut app, schema) = half_done();
    app.payrun(&["promote", "--to", "server.yaml"]).exits(0);
    forget_the_end(&app, &schema);
    on_the_server(&app, &schema, EMPTY);
    let again = app.payrun(&["promote", "--to", "server.yaml"]).exits(0);
    again.never_says("copied before");
    app.payrun(&["run", "--resume"])
        .exits(2)
        .says(expect!["was moved to"])
        .never_says("broken off");
    app.payrun(&["run", "--resume", "--config", "server.yaml"])
        .exits(0);
    assert_eq!(app.charges(), 60);
    app.moved_to(schema);
}

#[test]
fn a_move_that_was_broken_off_does_not_take_what_others_wrote_there_for_its_own() {
    let (app, schema) = half_done();
    app.payrun(&["promote", "--to", "server.yaml"]).exits(0);
    forget_the_end(&app, &schema);
    on_the_server(&app, &schema, EMPTY);
    app.payrun(&[
        "pause",
        "workflow",
        "deductions",
        "--reason",
        "a test",
        "--config",
        "server.yaml",
    ])
    .exits(0);
    app.payrun(&["promote", "--to", "server.yaml"])
        .exits(2)
        .says(expect!["holds a ledger already"]);
    app.payrun(&["run", "--resume"]).exits(0);
    assert_eq!(app.charges(), 60, "the file is the ledger");
}

#[test]
fn a_ledger_is_moved_to_one_place() {
    let (mut app, schema) = half_done();
    let second = app.wait_for(Schema::fresh());
    let ours = std::fs::read_to_string(app.path("server.yaml")).unwrap();
    app.write(
        "second.yaml",
        ours.replace(&schema.address(), &second.address()),
    );
    app.payrun(&["backup", "copy.db"]).exits(0);
    app.write(
        "backup.yaml",
        std::fs::read_to_string(app.path("payrun.yaml"))
            .unwrap()
            .replace("payrun.db", "copy.db"),
    );
    let of_backup = app.payrun(&["promote", "--to", "second.yaml", "--config", "backup.yaml"]);
    of_backup
        .exits(2)
        .says(expect!["of which this is a backup"]);
    app.payrun(&["promote", "--to", "server.yaml"]).exits(0);
    app.payrun(&["promote", "--to", "second.yaml"])
        .exits(2)
        .says(expect!["was moved to"]);
    forget_the_end(&app, &schema);
    app.payrun(&["promote", "--to", "second.yaml"])
        .exits(2)
        .says(expect!["was moved to"]);
    app.payrun(&["run", "--resume"])
        .exits(2)
        .says(expect!["was moved to"]);
    assert_eq!(
        app.json_lines(&["journal", "--config", "second.yaml"]),
        Vec::<Value>::new()
    );
    app.payrun(&["run", "--resume", "--config", "server.yaml"])
        .exits(0);
    assert_eq!(app.charges(), 60);
    app.moved_to(schema);
}

#[test]
fn a_ledger_that_a_process_works_on_is_not_moved() {
    let (app, _schema) = half_done();
    let node = app.start(&["work"]);
    until("the node is at work", || {
        node.stderr_so_far().contains("working on")
    });
    app.payrun(&["promote", "--to", "server.yaml"])
        .exits(2)
        .says(expect!["stop it first"]);
    node.interrupt();
    node.wait(crate::support::PATIENCE);
    app.payrun(&["run", "--resume"]).exits(0);
    assert_eq!(
        app.json(&["runs", "--json"])[0]["state"],
        Value::from("finished")
    );
}

#[test]
fn a_move_that_fails_before_its_end_leaves_the_file_as_it_was() {
    let (app, schema) = half_done();
    app.payrun(&["journal", "--config", "server.yaml"]).exits(0);
    on_the_server(
        &app,
        &schema,
        "insert into encryption_key_check (id, proof) values (1, 'x')",
    );
    app.payrun(&["promote", "--to", "server.yaml"])
        .exits(2)
        .says(expect![
            "holds a ledger already: encryption_key_check has rows"
        ]);
    // Something that the copy runs into.
    on_the_server(
        &app,
        &schema,
        "delete from encryption_key_check; create function spoil() returns trigger language plpgsql as $$ begin new.detail = 'spoilt'; \
         return new; end $$; create trigger spoilt before insert on events for each row execute function spoil()",
    );
    app.payrun(&["promote", "--to", "server.yaml"])
        .exits(2)
        .says(expect!["events would not be on the server what it is here"]);
    app.payrun(&["run", "--resume"]).exits(0);
    assert_eq!(app.charges(), 60);
}
