//! What payrun keeps is for the user it runs as, and is what it was when it is read.

use expect_test::expect;
use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use payrun::sandbox::faults::FaultPlan;

use crate::notifications;
use crate::reseal::{self, waiting};
use crate::statements::reconciled;
use crate::support::gateways::{Rig, personal_key};
use crate::support::postgres::Schema;
use crate::support::process::payrun;
use crate::support::said::assert_said;
use crate::support::service::{Service, days_ago};
use crate::support::{App, DATE, ExitedProcess, PATIENCE, Running, Setup, WORKFLOW, contracts};

/// Everything in a folder, however deep.
fn all_in(folder: &Path) -> BTreeSet<PathBuf> {
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            all.extend(all_in(&entry.path()));
        }
        all.insert(entry.path());
    }
    all
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[track_caller]
fn assert_private(paths: impl IntoIterator<Item = PathBuf>) {
    let open: Vec<_> = paths
        .into_iter()
        .filter(|path| mode(path) & 0o077 != 0)
        .collect();
    assert!(open.is_empty(), "others may read or write {open:#?}");
}

/// The same command, by a shell whose umask takes nothing away.
fn without_umask(command: &Command) -> ExitedProcess {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "umask 000; exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    Running::start(shell).wait(PATIENCE)
}

#[test]
fn whatever_the_umask_is_nobody_else_reads_what_payrun_makes() {
    let folder = tempfile::tempdir().unwrap();
    without_umask(&payrun(folder.path(), &["init", "p"])).exits(0);
    assert_private(all_in(folder.path()));

    // Statements and reports, a backup, mails to look at.
    let rig = Rig::new(FaultPlan::NONE);
    reconcile_today(&rig);
    let before = all_in(rig.folder.path());
    without_umask(&rig.command(&["run", "day.yaml", "--json", "--wait", "20s"])).exits(3);
    without_umask(&rig.command(&["backup", "kept.db"])).exits(0);
    without_umask(&rig.command(&["alerts", "preview", "mails"])).exits(0);
    let made: Vec<PathBuf> = all_in(rig.folder.path())
        .difference(&before)
        .cloned()
        .collect();
    for wanted in [
        "statements/",
        "reports/",
        "payrun.db-nodes",
        "kept.db",
        "mails/",
    ] {
        assert!(
            made.iter()
                .any(|path| path.to_string_lossy().contains(wanted)),
            "{wanted} in {made:#?}"
        );
    }
    assert_private(made);
}

/// Without its own run of it.
fn reconcile_today(rig: &Rig) {
    rig.write("day.yaml", crate::statements::day("days: 1"));
}

#[test]
fn what_an_older_payrun_left_open_to_others_is_taken_from_them_and_said() {
    let rig = reconciled(FaultPlan::NONE, "days: 1");
    let folder = rig.folder.path();
    let open =
        ["files/statements", "files/reports", "payrun.db-nodes"].map(|name| folder.join(name));
    open.iter().for_each(|path| set_mode(path, 0o755));
    let ledger = folder.join("payrun.db");
    set_mode(&ledger, 0o644);
    let told = rig.payrun(&["run", "--resume"]).1;
    assert_private(open.iter().cloned().chain([ledger.clone()]));
    for path in [
        "files/statements",
        "files/reports",
        "payrun.db-nodes",
        "payrun.db",
    ] {
        let line = format!("{path} was open to other users; now it is for its owner only");
        assert_eq!(told.matches(&line).count(), 1, "{path}: {told}");
    }
    let again = rig.payrun(&["run", "--resume"]).1;
    assert!(!again.contains("other users"), "{again}");
}

#[test]
fn a_link_is_not_followed_to_take_something_from_others() {
    let rig = reconciled(FaultPlan::NONE, "days: 1");
    let (reports, theirs) = (
        rig.folder.path().join("files/reports"),
        rig.folder.path().join("theirs"),
    );
    fs::rename(&reports, &theirs).unwrap();
    std::os::unix::fs::symlink(&theirs, &reports).unwrap();
    set_mode(&theirs, 0o755);
    set_mode(&rig.folder.path().join("files"), 0o777);
    let told = rig.payrun(&["run", "--resume"]).1;
    assert_eq!(mode(&theirs), 0o755);
    assert_said(
        &told,
        expect!["files/reports links to is open to other users"],
    );
    // The place is payrun's own within the project; elsewhere it is left as it is.
    assert_eq!(mode(&rig.folder.path().join("files")), 0o700, "{told}");
    let elsewhere = tempfile::tempdir().unwrap();
    set_mode(elsewhere.path(), 0o777);
    let yaml = fs::read_to_string(rig.folder.path().join("payrun.yaml")).unwrap();
    let yaml: String = yaml
        .lines()
        .filter(|line| !line.starts_with("files:"))
        .map(|line| format!("{line}\n"))
        .collect();
    rig.write(
        "payrun.yaml",
        format!("{yaml}files: {}\n", elsewhere.path().display()),
    );
    let told = rig.payrun(&["run", "--resume"]).1;
    assert_said(&told, expect!["other users may write in"]);
    assert_eq!(mode(elsewhere.path()), 0o777);
}

#[test]
fn a_restored_ledger_is_for_its_owner_whoever_may_read_the_backup() {
    let app = App::of(Setup {
        contracts: contracts("C", 3),
        server: false,
        ..Setup::default()
    });
    app.payrun(&["run", WORKFLOW, "--date", DATE]).exits(0);
    app.payrun(&["backup", "kept.db"]).exits(0);
    fs::rename(app.database(), app.path("lost.db")).unwrap();
    fs::remove_dir_all(app.path("payrun.db-nodes")).unwrap();
    for ending in ["-wal", "-shm"] {
        fs::remove_file(app.path(&format!("payrun.db{ending}"))).ok();
    }
    set_mode(&app.path("kept.db"), 0o644);
    without_umask(&app.command(&["restore", "kept.db"])).exits(0);
    assert_eq!(mode(&app.database()), 0o600);
}

#[test]
fn a_secret_that_others_can_read_is_warned_of_and_a_public_key_is_not() {
    let rig = Rig::new(FaultPlan::NONE);
    let (folder, key) = (
        rig.folder.path(),
        rig.folder.path().join("keys/personal.key"),
    );
    set_mode(folder, 0o755);
    set_mode(&folder.join("keys"), 0o755);
    set_mode(&key, 0o600);
    let told = |words: &[&str]| {
        let (code, text) = rig.payrun(words);
        assert_eq!(code, Some(0), "{text}");
        text.lines()
            .filter(|line| line.contains("others can read it"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let commands: [&[&str]; 3] = [&["check"], &["doctor", "--offline"], &["run", "--resume"]];
    commands
        .iter()
        .for_each(|words| assert_eq!(told(words), Vec::<String>::new()));
    set_mode(&folder.join("keys/hipopay/platform_public_key.pem"), 0o644);
    set_mode(&key, 0o644);
    for words in commands {
        let lines = told(words);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains("keys/personal.key") && lines[0].contains("(0644): `chmod go= "),
            "{lines:?}"
        );
    }
    let json: serde_json::Value =
        serde_json::from_str(&rig.payrun(&["check", "--json"]).1).unwrap();
    assert_eq!(
        (&json["ok"], json["open_secrets"].as_array().unwrap().len()),
        (&true.into(), 1),
        "{json}"
    );
    // As Kubernetes mounts one: a link to a file that everybody can read.
    let mounted = folder.join("..data");
    fs::create_dir(&mounted).unwrap();
    fs::rename(&key, mounted.join("personal.key")).unwrap();
    std::os::unix::fs::symlink("../..data/personal.key", &key).unwrap();
    set_mode(&mounted.join("personal.key"), 0o444);
    assert!(told(&["check"])[0].contains("defaultMode: 0400"));
    // Nobody else gets as far as the file.
    set_mode(&mounted, 0o700);
    assert_eq!(told(&["check"]), Vec::<String>::new());
}

#[test]
fn a_server_on_another_machine_is_verified_or_the_configuration_says_that_it_need_not_be() {
    let app = App::of(Setup {
        server: false,
        ..Setup::default()
    });
    let plain = fs::read_to_string(app.path("payrun.yaml")).unwrap();
    let line = plain
        .lines()
        .find(|line| line.starts_with("database:"))
        .unwrap();
    let check = |database: &str, mode: Option<&str>| {
        app.write(
            "payrun.yaml",
            plain.replace(line, &format!("database: {database}")),
        );
        app.write(
            "server.yaml",
            plain.replace(line, &format!("database: {database}")),
        );
        let mut command = app.command(&["check"]);
        command
            .env_remove("PGSSLMODE")
            .env_remove("PGHOST")
            .env("ADDRESS", "postgres://u:hunter2@db.example/p");
        if let Some(mode) = mode {
            command.env("PGSSLMODE", mode);
        }
        Running::start(command).wait(PATIENCE)
    };
    for (database, mode) in [
        ("postgres://u@db.example/p", None),
        ("postgres://u@db.example/p?sslmode=disable", None),
        (
            "postgres://u@db.example/p?sslmode=prefer",
            Some("verify-full"),
        ),
        ("postgres://u@db.example/p?sslmode=require", None),
        ("postgres://u@db.example/p?sslmode=verify-ca", None),
        ("postgres://u@127.0.0.1/p?host=db.example", None),
        ("postgres://u@10.0.0.7/p", None),
        ("\"postgres://u@[2001:db8::7]/p\"", None),
        ("{ env: ADDRESS }", None),
    ] {
        let refused = check(database, mode).exits(2);
        assert!(!refused.stderr.contains("hunter2"), "{refused:?}");
        refused
            .says(expect!["its certificate is not verified"])
            .says(expect!["database_tls: unverified"]);
    }
    for (database, mode) in [
        ("postgres://u@db.example/p?sslmode=verify-full", None),
        ("postgres://u@db.example/p", Some("verify-full")),
        ("postgres://u@localhost/p", None),
        ("postgres://u@127.0.0.1/p?sslmode=disable", None),
        ("\"postgres://u@[::1]/p\"", None),
        ("postgres://u@%2Fvar%2Frun%2Fpostgresql/p", None),
        ("postgres://u@db.example/p\ndatabase_tls: unverified", None),
        ("{ env: ADDRESS }\ndatabase_tls: unverified", None),
    ] {
        check(database, mode).exits(0);
    }
    check("postgres://u@db.example/p\ndatabase_tls: maybe", None)
        .exits(2)
        .says(expect!["database_tls"]);
    // Where a ledger is moved to, too.
    app.write(
        "server.yaml",
        plain.replace(line, "database: postgres://u@db.example/p"),
    );
    app.write("payrun.yaml", &plain);
    app.payrun(&["promote", "--to", "server.yaml"])
        .exits(2)
        .says(expect!["server.yaml: database: whoever is on the way"]);
}

/// Does something to the ledger behind payrun's back.
fn change(app: &App, statement: &str) {
    use sqlx::{Connection as _, Executor as _};
    let statement = sqlx::AssertSqlSafe(statement.to_owned());
    app.wait_for(async {
        if app.database().exists() {
            let url = format!("sqlite://{}", app.database().display());
            sqlx::SqliteConnection::connect(&url)
                .await
                .unwrap()
                .execute(statement)
                .await
                .unwrap();
        } else {
            let schema: &Schema = app.schema();
            schema.connect().await.execute(statement).await.unwrap();
        }
    });
}

#[test]
fn an_uploaded_file_that_was_changed_is_not_used_and_named() {
    for sealed in [false, true] {
        let app = App::of(Setup {
            server: false,
            ..Setup::default()
        });
        if sealed {
            app.write("keys/personal.key", personal_key(7));
            app.edit(
                "payrun.yaml",
                "gateways:\n",
                "encryption_key: { file: keys/personal.key }\ngateways:\n",
            );
        }
        let service = Service::of(&app);
        let token = service.token("ann", "operator");
        let upload = || {
            let request = service
                .request(reqwest::Method::POST, "/api/v1/files?format=csv")
                .bearer_auth(&token);
            service.send(request.body(contracts("U", 3)))
        };
        let file = upload().body["file"].as_str().unwrap().to_owned();
        let kept = fs::read_dir(app.path("files/uploads"))
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path();
        // Sealed, what somebody else sealed; not sealed, one contract for another.
        let other = fs::read(&kept).unwrap();
        let other = if sealed {
            [b"x", &other[1..]].concat()
        } else {
            contracts("V", 3).into_bytes()
        };
        fs::write(&kept, other).unwrap();
        let run = service
            .request(reqwest::Method::POST, "/api/v1/runs")
            .bearer_auth(&token);
        let run = run.header("idempotency-key", "k-1");
        let body = serde_json::json!({ "workflow": "deductions", "date": days_ago(1), "inputs": { "deduct": file } });
        let refused = service.send(
            run.header("content-type", "application/json")
                .body(body.to_string()),
        );
        assert_eq!(refused.status, 503, "{:?}", refused.body);
        assert_eq!(
            upload().status,
            503,
            "what is there is not taken for the same file"
        );
        let name = kept.file_name().unwrap().to_string_lossy().into_owned();
        let named = if sealed { &file } else { &name };
        let told = service.stop().stderr;
        assert!(told.contains(named.as_str()), "{named} in {told}");
        assert_eq!(app.charges(), 0);
    }
}

#[test]
fn what_should_be_sealed_and_is_not_is_never_sent() {
    for server in [false, true] {
        let app = waiting(server, "");
        app.payrun(&reseal::RUN).exits(4);
        let items = app.json_lines(&["items", "--json", "-n", "0"]);
        let id = items.iter().find(|item| item["key"] == "p-3").unwrap()["item"]
            .as_i64()
            .unwrap();
        let sealed = app.wait_for(async {
            let ledger = app.ledger().await;
            let all = ledger
                .items(&payrun::ledger::ItemFilter::default(), 0, 1_000)
                .await
                .unwrap();
            ledger.close().await;
            all.into_iter().find(|item| item.id == id).unwrap().input
        });
        let mut open: serde_json::Value = serde_json::from_str(&sealed).unwrap();
        assert!(open["auth_code"]["sealed"].is_string(), "{open}");
        open["auth_code"] = "134650720860000999".into();
        change(
            &app,
            &format!("update items set input = '{open}' where id = {id}"),
        );
        reseal::gateway(&app, true);
        app.payrun(&["run", "--resume", "--wait", "6s"]).exits(4);
        let told = app.payrun(&["show", "--item", &id.to_string()]).exits(0);
        told.says(expect![
            "auth_code is personal data, and stands in the ledger unsealed"
        ]);
        assert_eq!(app.by_state()["succeeded"], 29);
        assert_eq!(app.totals().paid["HKD"].count, 29);
        // As it was, it is paid.
        change(
            &app,
            &format!("update items set input = '{sealed}' where id = {id}"),
        );
        app.payrun(&["run", "--resume"]).exits(0);
        assert_eq!(app.totals().paid["HKD"].count, 30);
    }
}

#[test]
fn a_notification_that_is_no_longer_sealed_or_is_another_one_is_not_believed() {
    let rig = notifications::waiting(2);
    let told = |id: &str| {
        rig.payrun(&["notifications", "replay", id]).1
            + &rig.payrun(&["notifications", "show", id]).1
    };
    let mut bodies = Vec::new();
    rig.wait_for(async {
        let service =
            crate::support::engine_builder::WebhookService::of(&rig, payrun::clock::Clock::System)
                .await;
        let ended = rig.gateways.ended().await.unwrap();
        for ended in ended.iter().filter(|ended| ended.gateway == "wechat") {
            let (headers, body) = notifications::news(&rig, ended, None).await;
            let media = notifications::media("wechat");
            assert_eq!(
                service.post("wechat", media, headers, body.clone()).await.0,
                200
            );
            bodies.push(STANDARD.encode(&body));
        }
        service.engine.ledger.clone().close().await;
    });
    assert_eq!(bodies.len(), 2);
    let change = |id: &str, body: &str| {
        rig.wait_for(async {
            use sqlx::{Connection as _, Executor as _};
            let url = format!("sqlite://{}", rig.folder.path().join("payrun.db").display());
            let statement =
                format!("update notifications set sealed = 0, body = '{body}' where id = {id}");
            let mut ledger = sqlx::SqliteConnection::connect(&url).await.unwrap();
            ledger
                .execute(sqlx::AssertSqlSafe(statement))
                .await
                .unwrap();
        });
    };
    change("2", &bodies[1]);
    let second = told("2");
    assert_said(&second, expect!["is not sealed, as those before it are"]);
    change("1", &bodies[1]);
    let first = told("1");
    assert_said(&first, expect!["not the one whose digest was kept"]);
    // From before there was a key: it is what came.
    change("1", &bodies[0]);
    let first = told("1");
    assert!(first.contains("applied"), "{first}");
}
