//! Copies of the ledger: made while it is at work, whole, and not to be worked on by mistake.

use std::time::Duration;

use crate::support::{App, DATE, Setup, WORKFLOW, contracts, until};

fn project() -> App {
    App::of(Setup {
        contracts: contracts("C", 60),
        latency: Duration::from_millis(20),
        server: false,
        ..Setup::default()
    })
}

#[test]
fn a_backup_made_while_work_goes_on_is_whole_and_fenced() {
    let app = project();
    let running = app.start(&["run", WORKFLOW, "--date", DATE]);
    until("something was charged", || app.charges() > 3);
    app.payrun(&["backup", "kept.db"]).exits(0).says("checked");
    running.wait(crate::support::PATIENCE).exits(0);
    app.payrun(&["backup", "kept.db"]).exits(2).says("kept.db is there already");
    app.payrun(&["backup", "keys"]).exits(0).says("keys/payrun-");
    assert!(!app.path("kept.db-wal").exists() && !app.path("kept.db.half").exists());
    app.write("other.yaml", std::fs::read_to_string(app.path("payrun.yaml")).unwrap().replace("payrun.db", "kept.db"));
    app.payrun(&["--config", "other.yaml", "run", "--resume"]).exits(2).says("of which this is a backup");
    assert_eq!(app.charges(), 60);
}

#[test]
fn a_ledger_is_copied_before_its_schema_is_changed() {
    let app = project();
    app.run().exits(0);
    // As an older payrun left it.
    app.wait_for(async {
        use sqlx::Connection as _;
        let url = format!("sqlite://{}", app.database().display());
        let mut old = sqlx::SqliteConnection::connect(&url).await.unwrap();
        let newest: i64 =
            sqlx::query_scalar("select max(version) from _sqlx_migrations").fetch_one(&mut old).await.unwrap();
        assert!(newest >= 12, "the last migration makes the tables tokens and requests");
        let undone = "\
            drop table tokens; drop table requests; drop table restores; drop index runs_with_evidence; \
            drop index statements_by_time; alter table runs drop column forgotten_to; \
            alter table runs drop column forgotten_at; alter table statements drop column forgotten_at; \
            alter table items drop column recalled; delete from _sqlx_migrations where version >= 12";
        sqlx::raw_sql(undone).execute(&mut old).await.unwrap();
        old.close().await.unwrap();
    });
    app.payrun(&["runs"]).exits(0);
    let copies: Vec<String> = std::fs::read_dir(app.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("payrun.db.schema-"))
        .collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
    app.payrun(&["tokens", "list"]).exits(0);
}

/// The ledger is lost; what is left is a backup from before.
fn lose_the_ledger(app: &App) {
    for ending in ["", "-wal", "-shm"] {
        std::fs::remove_file(app.path(&format!("payrun.db{ending}"))).ok();
    }
}

#[test]
fn after_a_backup_is_restored_nobody_is_charged_twice() {
    let app = project();
    let running = app.start(&["run", WORKFLOW, "--date", DATE]);
    until("something was charged", || app.charges() > 3);
    app.payrun(&["backup", "kept.db"]).exits(0);
    running.wait(crate::support::PATIENCE).exits(0);
    lose_the_ledger(&app);
    app.payrun(&["restore", "kept.db"]).exits(0).says("asked about before anything is sent");
    app.payrun(&["run", "--resume"]).exits(0);
    assert_eq!(app.charges(), 60);
    assert_eq!(app.by_state()["succeeded"], 60);
    let asked = app.histories().into_iter().filter(|(_, events)| events.iter().any(|event| event.event == "recall"));
    assert!(asked.count() > 0, "what was planned was asked about");
    assert!(app.path("kept.db").exists());
}

#[test]
fn a_run_that_the_restored_ledger_has_forgotten_is_asked_about_when_it_is_planned_again() {
    let app = project();
    app.payrun(&["runs"]).exits(0);
    app.payrun(&["backup", "kept.db"]).exits(0);
    app.run().exits(0);
    assert_eq!(app.charges(), 60);
    lose_the_ledger(&app);
    app.payrun(&["restore", "kept.db"]).exits(0);
    app.run().exits(0);
    assert_eq!(app.charges(), 60);
    for (item, events) in app.histories() {
        let words: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
        assert_eq!(words, ["recall", "claim", "done"], "item {}: it was asked about and never sent", item.id);
    }
    // What the lost ledger had not planned is asked about too, found to be new, and sent.
    app.payrun(&["run", WORKFLOW, "--date", "2026-04-30"]).exits(0);
    assert_eq!(app.charges(), 120);
}

#[test]
fn a_backup_takes_no_ledgers_place_and_only_a_backup_is_restored() {
    let app = project();
    app.run().exits(0);
    app.payrun(&["backup", "kept.db"]).exits(0);
    app.payrun(&["restore", "kept.db"]).exits(2).says("payrun.db is there already");
    std::fs::copy(app.path("payrun.db"), app.path("copied.db")).unwrap();
    lose_the_ledger(&app);
    app.payrun(&["restore", "copied.db"]).exits(2).says("is no backup that payrun has made");
    app.write("text.db", "this is no database at all, however long it may be");
    app.payrun(&["restore", "text.db"]).exits(1);
    assert!(!app.database().exists());
    app.payrun(&["restore", "kept.db"]).exits(0);
    app.payrun(&["restore", "kept.db"]).exits(2);
}
