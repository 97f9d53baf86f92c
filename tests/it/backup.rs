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
        sqlx::raw_sql("drop table tokens; drop table requests; delete from _sqlx_migrations where version >= 12")
            .execute(&mut old)
            .await
            .unwrap();
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
