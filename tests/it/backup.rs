//! Copies of the ledger: made while it is at work, whole, and not to be worked on by mistake.

use expect_test::expect;
use std::collections::BTreeSet;
use std::time::Duration;

use payrun::domain::answer::{Answer, AnswerKind, Decline, DeclineClass, NumberRule};
use payrun::domain::item::{Event, Move, State, apply};
use payrun::domain::policy::Policy;
use payrun::domain::time::Timestamp;
use payrun::ledger::{Attempt, ClaimKind, Claimed, Ledger, Settlement};

use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::ledger::ledger_fixture::{LedgerWorker, answered, at, item, planning, policy};
use crate::support::{App, DATE, Setup, WORKFLOW, by, contracts, until};
use payrun::domain::history::{AttemptKind, EventKind};

fn project() -> App {
    project_of(32)
}

/// With so many calls at once.
fn project_of(concurrency: u32) -> App {
    project_with(Setup {
        concurrency,
        ..Setup::default()
    })
}

fn project_with(setup: Setup) -> App {
    App::of(Setup {
        contracts: contracts("C", 60),
        latency: Duration::from_millis(20),
        server: false,
        ..setup
    })
}

#[test]
fn a_backup_made_while_work_goes_on_is_whole_and_fenced() {
    let app = project();
    let running = app.start(&["run", WORKFLOW, "--date", DATE]);
    until("something was charged", || app.charges() > 3);
    app.payrun(&["backup", "kept.db"])
        .exits(0)
        .says(expect!["checked"]);
    running.wait(crate::support::PATIENCE).exits(0);
    app.payrun(&["backup", "kept.db"])
        .exits(2)
        .says(expect!["kept.db is there already"]);
    for file in ["kept.db", "payrun.db"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(app.path(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "only its owner reads {file}");
    }
    app.payrun(&["backup", "keys"])
        .exits(0)
        .says(expect!["keys/payrun-"]);
    assert!(!app.path("kept.db-wal").exists() && !app.path("kept.db.half").exists());
    app.write(
        "other.yaml",
        std::fs::read_to_string(app.path("payrun.yaml"))
            .unwrap()
            .replace("payrun.db", "kept.db"),
    );
    app.payrun(&["--config", "other.yaml", "run", "--resume"])
        .exits(2)
        .says(expect!["of which this is a backup"]);
    assert_eq!(app.charges(), 60);
}

#[test]
fn a_ledger_is_copied_before_its_schema_is_changed() {
    let app = project();
    app.run().exits(0);
    let path = app.database();
    let (today, older) = app.wait_for(async {
        let mut ledger = open(&path).await;
        let today = objects(&mut ledger).await;
        let older = undo_the_last_migration(&mut ledger).await;
        ledger.close().await.unwrap();
        (today, older)
    });
    app.payrun(&["runs"]).exits(0);
    let copies: Vec<String> = std::fs::read_dir(app.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("payrun.db.schema-"))
        .collect();
    assert_eq!(copies, [format!("payrun.db.schema-{older}")]);
    app.wait_for(async {
        let mut copy = open(&app.path(&copies[0])).await;
        assert_eq!(newest_migration(&mut copy).await, older);
        let items: i64 = sqlx::query_scalar("select count(*) from items")
            .fetch_one(&mut copy)
            .await
            .unwrap();
        assert_eq!(items, 60, "the copy is the ledger as it was");
        let mut migrated = open(&path).await;
        assert_eq!(newest_migration(&mut migrated).await, older + 1);
        assert_eq!(objects(&mut migrated).await, today);
    });
    assert_eq!(app.by_state()["succeeded"], 60);
    app.payrun(&["alerts", "list"]).exits(0);
}

async fn open(path: &std::path::Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    options.connect().await.unwrap()
}

async fn newest_migration(ledger: &mut SqliteConnection) -> i64 {
    let newest = "select max(version) from _sqlx_migrations where success";
    sqlx::query_scalar(newest).fetch_one(ledger).await.unwrap()
}

/// What a schema is made of: its tables, indices and triggers, and the columns of its tables.
async fn objects(ledger: &mut SqliteConnection) -> BTreeSet<(String, String)> {
    let objects = "\
        select type, name from sqlite_master \
          where name not like 'sqlite_%' and name <> '_sqlx_migrations' \
        union all select 'column', m.name || '.' || c.name \
          from sqlite_master as m, pragma_table_info(m.name) as c \
          where m.type = 'table' and m.name not like 'sqlite_%' and m.name <> '_sqlx_migrations'";
    let found = sqlx::query_as(objects).fetch_all(ledger).await.unwrap();
    found.into_iter().collect()
}

/// Makes a ledger what it would be if the last migration had not been written yet, whichever that
/// is: what all migrations but the last do not make is taken away. Returns the version it has then.
async fn undo_the_last_migration(ledger: &mut SqliteConnection) -> i64 {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let last = files.pop().unwrap();
    let mut before = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    for file in &files {
        let migration = std::fs::read_to_string(file).unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(migration))
            .execute(&mut before)
            .await
            .unwrap();
    }
    let kept = objects(&mut before).await;
    // With a table or a column goes what hangs on it: triggers and indices go first.
    for of in ["trigger", "index", "table", "column"] {
        let there = objects(ledger).await;
        for (kind, name) in there.difference(&kept).filter(|(kind, _)| kind == of) {
            let undo = match name.split_once('.') {
                Some((table, column)) => format!("alter table {table} drop column {column}"),
                None => format!("drop {kind} {name}"),
            };
            sqlx::raw_sql(sqlx::AssertSqlSafe(undo))
                .execute(&mut *ledger)
                .await
                .unwrap();
        }
    }
    assert_eq!(
        objects(ledger).await,
        kept,
        "{} can be undone by taking away what it makes",
        last.display()
    );
    let version = newest_migration(ledger).await;
    sqlx::query("delete from _sqlx_migrations where version = $1")
        .bind(version)
        .execute(ledger)
        .await
        .unwrap();
    version - 1
}

/// The ledger is lost; what is left is a backup from before.
fn lose_the_ledger(app: &App) {
    for ending in ["", "-wal", "-shm"] {
        std::fs::remove_file(app.path(&format!("payrun.db{ending}"))).ok();
    }
}

/// A project whose backup of amid a run stands in for its ledger, which was lost after the run had
/// ended.
fn restored() -> App {
    // It is at work for seconds, however long a backup takes to begin.
    let app = project_with(Setup {
        rate: "15/s",
        ..Setup::default()
    });
    let running = app.start(&["run", WORKFLOW, "--date", DATE]);
    until("something was charged", || app.charges() > 3);
    app.payrun(&["backup", "kept.db"]).exits(0);
    running.wait(crate::support::PATIENCE).exits(0);
    lose_the_ledger(&app);
    app.payrun(&["restore", "kept.db"])
        .exits(0)
        .says(expect!["queried before anything is sent"]);
    app
}

#[test]
fn after_a_backup_is_restored_nobody_is_charged_twice() {
    let app = restored();
    app.payrun(&["run", "--resume"]).exits(0);
    assert_eq!(app.charges(), 60);
    assert_eq!(app.by_state()["succeeded"], 60);
    let asked = app
        .histories()
        .into_iter()
        .filter(|(_, events)| events.iter().any(|event| event.event == EventKind::Recall));
    assert!(asked.count() > 0, "what was planned was queried");
    assert!(app.path("kept.db").exists());
}

#[test]
fn what_is_withdrawn_after_a_restore_is_asked_about_first_and_money_that_moved_is_told() {
    let app = restored();
    let planned = app.json(&[
        "cancel", "--run", "1", "--state", "planned", "--yes", "--reason", "a test", "--json",
    ]);
    let withdrawn = planned["withdrawn"]["planned"].as_u64().unwrap();
    assert!(withdrawn > 0 && planned["moved"] == json!({}), "{planned}");
    app.payrun(&["run", "--resume"]).exits(0);
    assert_eq!(
        (app.charges(), app.by_state()),
        (60, json!({ "succeeded": 60 })),
        "all had been charged before"
    );
    let too_late = |events: &[payrun::ledger::EventRow]| {
        events
            .iter()
            .any(|event| event.alarm.as_deref() == Some("withdrawn_too_late"))
    };
    let told = app
        .histories()
        .into_iter()
        .filter(|(_, events)| too_late(events))
        .count();
    assert_eq!(told as u64, withdrawn);
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
        assert_eq!(
            words,
            ["recall", "claim", "done"],
            "item {}: it was queried and never sent",
            item.id
        );
    }
    // What the lost ledger had not planned is asked about too, found to be new, and sent.
    app.payrun(&["run", WORKFLOW, "--date", "2026-04-30"])
        .exits(0);
    assert_eq!(app.charges(), 120);
}

/// What a standby that lacks commits, or a snapshot of a disk, does to a ledger: it knows the
/// items, and not that they were sent.
async fn forget_what_was_sent(app: &App) {
    sqlx::any::install_default_drivers();
    let address = if app.database().exists() {
        format!("sqlite://{}", app.database().display())
    } else {
        app.schema().address()
    };
    let mut connection = <sqlx::AnyConnection as sqlx::Connection>::connect(&address)
        .await
        .unwrap();
    let forget = "update items set state = 'planned', version = 0, submit_count = 0, sent_at = null, receipt = null, next_at = 1; \
                  delete from totals; insert into totals (job_id, state, currency, items, minor) \
                    select job_id, 'planned', currency, count(*), sum(amount) from items group by job_id, currency; \
                  update jobs set finished_at = null; update runs set finished_at = null; \
                  delete from events; delete from attempts";
    sqlx::raw_sql(forget)
        .execute(&mut connection)
        .await
        .unwrap();
}

#[test]
fn a_ledger_that_came_back_by_other_means_asks_first_when_it_is_told() {
    for server in [false, true] {
        let app = App::of(Setup {
            contracts: contracts("C", 12),
            server,
            ..Setup::default()
        });
        app.run().exits(0);
        app.wait_for(forget_what_was_sent(&app));
        app.payrun(&["restore", "--lost-since", "2099-01-01T00:00:00Z"])
            .exits(2)
            .says(expect!["a time to come"]);
        app.payrun(&["restore", "--lost-since", "2026-03-01T00:00:00Z"])
            .exits(0)
            .says(expect!["12 planned"]);
        app.payrun(&["run", "--resume"]).exits(0);
        assert_eq!(
            (app.charges(), app.by_state()["succeeded"].as_u64()),
            (12, Some(12))
        );
        for (item, events) in app.histories() {
            let words: Vec<&str> = events.iter().map(|event| event.event.as_str()).collect();
            assert_eq!(
                words,
                ["recall", "claim", "done"],
                "item {}: it was queried and never sent",
                item.id
            );
        }
        let audit = app.json_lines(&["audit", "export"]);
        assert!(
            audit
                .iter()
                .any(|entry| entry["action"] == "ledger.restore"),
            "{audit:#?}"
        );
    }
}

#[test]
fn a_ledger_that_is_at_work_is_not_told_that_it_was_restored() {
    for server in [false, true] {
        let app = App::of(Setup {
            contracts: contracts("C", 1),
            server,
            ..Setup::default()
        });
        let node = app.start(&["work"]);
        until("the node is at work", || {
            node.stderr_so_far().contains("working on")
        });
        let told = app
            .payrun(&["restore", "--lost-since", "2026-03-01T00:00:00Z"])
            .exits(2);
        told.says(expect![
            "a payrun process is at work on the ledger; stop it first"
        ]);
        if !server {
            // Nor is another put in its place while it works on the file that was moved away.
            app.payrun(&["backup", "kept.db"]).exits(0);
            let move_all = |from: &str, to: &str| {
                for ending in ["", "-wal", "-shm"] {
                    let name = |stem: &str| app.path(&format!("{stem}{ending}"));
                    std::fs::rename(name(from), name(to)).ok();
                }
            };
            move_all("payrun.db", "away.db");
            app.payrun(&["restore", "kept.db"])
                .exits(2)
                .says(expect!["a payrun process is at work on the ledger"]);
            move_all("away.db", "payrun.db");
        }
        node.interrupt();
        node.wait(crate::support::PATIENCE).exits(0);
    }
}

#[test]
fn a_backup_takes_no_ledgers_place_and_only_a_backup_is_restored() {
    let app = project();
    app.run().exits(0);
    app.payrun(&["backup", "kept.db"]).exits(0);
    app.payrun(&["restore", "kept.db"])
        .exits(2)
        .says(expect!["payrun.db is there already"]);
    app.write("empty.db", "");
    lose_the_ledger(&app);
    app.payrun(&["restore", "empty.db"])
        .exits(2)
        .says(expect!["is no backup that payrun has made"]);
    app.write(
        "text.db",
        "this is no database at all, however long it may be",
    );
    app.payrun(&["restore", "text.db"]).exits(1);
    assert!(!app.database().exists());
    app.payrun(&["restore", "kept.db"]).exits(0);
    app.payrun(&["restore", "kept.db"]).exits(2);
}

#[tokio::test]
async fn in_a_restored_ledger_each_number_is_asked_about_once_before_it_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let (lost, kept, back) = (
        folder.path().join("lost.db"),
        folder.path().join("kept.db"),
        folder.path().join("b.db"),
    );
    let ledger = Ledger::open(&lost).await.unwrap();
    let (mut planning, job) = planning(&ledger, "1").await;
    planning
        .items(job, &[item(1, "K-1"), item(2, "K-2")])
        .await
        .unwrap();
    planning.commit().await.unwrap();
    ledger.back_up(&kept, at(10)).await.unwrap();
    let restored = Ledger::restore(&kept, &back, &by("ann"), at(100))
        .await
        .unwrap();
    assert_eq!(
        (restored.backup_at, restored.items[&State::Planned]),
        (at(10), 2)
    );

    let ledger = Ledger::open(&back).await.unwrap();
    let node = ledger.join(1 << 20, at(100)).await.unwrap();
    let worker = LedgerWorker { ledger, node, job };
    assert!(
        worker.claim(at(101), 10).await.is_empty(),
        "they are queried before they are sent"
    );
    let asked = worker.claim(at(102), 10).await;
    assert!(
        asked.len() == 2
            && asked
                .iter()
                .all(|claimed| claimed.claim_kind == ClaimKind::Query)
    );
    let (one, two) = (
        asked.iter().find(|one| one.id() == 1).unwrap(),
        asked.iter().find(|two| two.id() == 2).unwrap(),
    );
    let next = Decline {
        code: "POOR".into(),
        class: DeclineClass::Soft,
        number: NumberRule::Next,
    };
    let moved = apply(
        &one.item,
        &Event::Answered(Answer::Declined(next)),
        &dunning(),
        at(102),
    )
    .unwrap();
    assert_eq!(
        (moved.item.state, moved.item.generation),
        (State::Planned, 2)
    );
    worker
        .ledger
        .settle(settled(one, moved, at(102)))
        .await
        .unwrap();
    worker
        .ledger
        .settle(answered(two, Answer::Absent, at(102)))
        .await
        .unwrap();
    assert!(
        worker.claim(at(103), 1).await.is_empty(),
        "the next number may have been used too"
    );
    assert_eq!(
        worker.states().await,
        [State::Unknown, State::Unknown],
        "it may show up late"
    );
    for claimed in &worker.claim(at(120), 10).await {
        worker
            .ledger
            .settle(answered(claimed, Answer::Absent, at(120)))
            .await
            .unwrap();
    }
    let sent = worker.claim(at(121), 10).await;
    assert!(
        sent.len() == 2
            && sent
                .iter()
                .all(|claimed| claimed.claim_kind == ClaimKind::Submit),
        "each number once"
    );
    let moves = worker.moves(1).await;
    let recalls = moves
        .iter()
        .filter(|one| *one == "recall planned>unknown")
        .count();
    assert_eq!(recalls, 2, "once for each of its numbers: {moves:?}");
}

fn dunning() -> Policy {
    Policy {
        dunning: vec![Duration::ZERO],
        ..policy()
    }
}

fn settled(claimed: &Claimed, moved: Move, now: Timestamp) -> Settlement {
    let attempt = Attempt {
        kind: AttemptKind::Call,
        operation: "query".into(),
        started_at: now,
        ended_at: now,
        answer: AnswerKind::Declined,
        code: "POOR".into(),
        http: Some(200),
        evidence: String::new(),
        numbers: Vec::new(),
    };
    Settlement::answered(claimed, moved, attempt, None, now)
}
