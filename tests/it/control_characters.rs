//! What a person reads has no character that steers a terminal, turns the text around or cannot be
//! seen, wherever it comes from.

use expect_test::expect;
use std::fs;

use payrun::sandbox::faults::{Fault, FaultPlan};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use crate::support::service::Service;
use crate::support::smtp::MailServer;
use crate::support::{App, DATE, Setup, WORKFLOW, contracts, workflow};

/// Colours, the window's title, a bell, another line, C1, DEL, text turned around, what is not
/// seen, a tag, colours of our own.
const NASTY: &str = "x\u{1b}[31m\u{1b}]0;owned\u{7}\rowned\nowned\u{85}\u{9b}2J\u{7f}\u{2028}\u{202e}\u{2066}\u{61c}\u{200b}\u{feff}\u{e0041}\u{fdd0}y";

/// As it may stand in a file of YAML.
const IN_YAML: &str = r"x\e[31m\e]0;owned\a\rowned\nowned\x85\x9b2J\x7f\u2028\u202e\u2066\u061c\u200b\ufeff\U000e0041\ufdd0y";

/// A workflow whose batch waits for approval.
const HELD: &str = "workflows/held.yaml";

/// Commands that show what came from elsewhere. A new one is one line here.
const SHOWING: &[&[&str]] = &[
    &["plan", WORKFLOW, "--date", DATE],
    &["plan", WORKFLOW, "--date", DATE, "--all", "--left-out"],
    &["plan", WORKFLOW, "--date", DATE, "--json"],
    &["check"],
    &["runs"],
    &["runs", "--json"],
    &["show"],
    &["show", "--json"],
    &["show", "--item", "1"],
    &["show", "--item", "1", "--json"],
    &["show", "--item", "3"],
    &["items"],
    &["items", "--format", "csv"],
    &["items", "--json"],
    &["items", "-o", "-", "--format", "csv"],
    &["items", "-o", "-", "--format", "json"],
    &["items", "-o", "-", "--format", "ndjson"],
    &["runs", "-o", "-", "--format", "csv"],
    &["totals"],
    &["totals", "-o", "-", "--format", "csv"],
    &["journal"],
    &["journal", "--totals"],
    &["approvals", "list", "--all"],
    &["approvals", "list", "--all", "--json"],
    &["approvals", "show", "2"],
    &["approvals", "show", "2", "--json"],
    &["audit", "list"],
    &["audit", "export"],
    &["audit", "export", "-o", "-", "--format", "csv"],
    &["alerts", "list"],
    &["alerts", "rules"],
    &["notifications", "list"],
    &["notifications", "list", "--json"],
    &["notifications", "show", "1"],
    &["notifications", "show", "1", "--json"],
    &["contracts", "list"],
    &["contracts", "list", "--json"],
    &["contracts", "list", "-o", "-", "--format", "csv"],
    &["contracts", "show", "E-1"],
    &["contracts", "show", "E-1", "--json"],
    &["contracts", "export"],
    &["contracts", "import", "bad.csv"],
    &["contracts", "import", "bad.csv", "--json"],
    &["lane", "list"],
    &["pause"],
    &["pause", "--json"],
    &["tokens", "list"],
    &["schedule"],
    &["schedule", "history"],
    &["run", "--resume", "--wait", "0s", "--log", "debug"],
    &[
        "run",
        "--resume",
        "--wait",
        "0s",
        "--log",
        "debug",
        "--log-format",
        "json",
    ],
];

/// Text of the ledger that came from elsewhere: cells, reasons, what gateways and mail servers
/// said.
const KEPT: &[(&str, &str)] = &[
    ("items", "reason"),
    ("attempts", "code"),
    ("attempts", "evidence"),
    ("events", "detail"),
    ("events", "alarm"),
    ("lanes", "reason"),
    ("pauses", "reason"),
    ("pauses", "name"),
    ("paused_contracts", "contract"),
    ("jobs", "failure"),
    ("notifications", "detail"),
    ("contracts", "description"),
    ("contracts", "reason"),
    ("contract_changes", "reason"),
    ("audit", "reason"),
    ("audit", "target"),
    ("tokens", "name"),
    ("occurrences", "reason"),
    ("mails", "subject"),
    ("mails", "answer"),
    ("unmapped_codes", "code"),
];

/// Whether a character steers, turns, or cannot be seen. On its own: the code under test is not
/// asked.
fn is_raw(c: char) -> bool {
    (c.is_control() && c != '\n')
        || matches!(u32::from(c), 0x61c | 0x200b..=0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfdd0..=0xfdef | 0xfeff | 0xe0000..=0xe007f)
}

/// No raw character, and no line that the nasty text began.
#[track_caller]
fn printable(what: &str, text: &str) {
    let raw = text.chars().find(|c| is_raw(*c));
    assert!(
        raw.is_none(),
        "{what} shows {:?} raw:\n{text:?}",
        raw.unwrap()
    );
    assert!(
        !text.lines().any(|line| line.starts_with("owned")),
        "{what} lets a text begin a line:\n{text}"
    );
}

/// A file with a row whose cell has this, quoted.
fn with_cells(rows: &[(&str, &str, &str)]) -> String {
    let row = |(contract, plan, amount): &(&str, &str, &str)| {
        format!("{contract},\"{plan}\",\"{amount}\",HKD,yes\n")
    };
    std::iter::once("contract_id,plan,amount,currency,active\n".to_owned())
        .chain(rows.iter().map(row))
        .collect()
}

fn spoil(app: &App) {
    app.wait_for(async {
        let mut ledger = SqliteConnectOptions::new()
            .filename(app.database())
            .connect()
            .await
            .unwrap();
        sqlx::query("drop trigger if exists audit_update")
            .execute(&mut ledger)
            .await
            .unwrap();
        for (table, column) in KEPT {
            let spoil = format!("update {table} set {column} = coalesce({column}, '') || ?1");
            sqlx::query(AssertSqlSafe(spoil))
                .bind(NASTY)
                .execute(&mut ledger)
                .await
                .unwrap();
        }
        ledger.close().await.unwrap();
    });
}

/// A project in which all has a row that can be spoiled.
fn project(more: &str) -> App {
    let faults = FaultPlan::only(Fault::UnmappedCode);
    let rows = [
        ("C-1", "basic", "38.00"),
        ("C-2", NASTY, "39.00"),
        ("C-3", "basic", NASTY),
        ("C-4", "no", "1.00"),
    ];
    let file = with_cells(&rows).replace(
        "\"1.00\",HKD,yes",
        &format!("\"1.00\",\"{NASTY}\",\"{NASTY}\""),
    );
    let app = App::of(Setup {
        contracts: file,
        faults,
        ..Setup::default()
    });
    let yaml = fs::read_to_string(app.path(WORKFLOW)).unwrap();
    app.write(WORKFLOW, format!("description: \"{IN_YAML}\"\n{yaml}"));
    let held = workflow("held.csv", "    approval: { by: 1 }\n")
        .replace("workflow: deductions", "workflow: held");
    app.write(HELD, held);
    app.write("data/held.csv", with_cells(&rows).replace("C-", "H-"));
    let yaml = fs::read_to_string(app.path("payrun.yaml")).unwrap();
    app.write("payrun.yaml", format!("{yaml}{more}"));
    let header = "contract_id,amount,currency,start,description\n";
    app.write(
        "good.csv",
        format!("{header}E-1,10.00,HKD,2026-01-01,plain\n"),
    );
    app.write(
        "bad.csv",
        format!("{header}E-2,\"{NASTY}\",\"{NASTY}\",\"{NASTY}\",\"{NASTY}\"\n"),
    );
    app
}

#[test]
fn no_command_shows_a_character_that_steers_a_terminal_or_turns_text() {
    let app = project("");
    let mistyped = app.payrun(&["run", WORKFLOW, "--date", NASTY]).exits(2);
    printable("a mistyped command", &mistyped.stderr);
    printable(
        "run",
        &app.payrun(&["run", WORKFLOW, "--date", DATE, "--wait", "1s"])
            .stderr,
    );
    printable(
        "run held",
        &app.payrun(&["run", HELD, "--date", DATE, "--wait", "0s"])
            .stderr,
    );
    app.payrun(&["contracts", "import", "good.csv", "--reason", "a test"])
        .exits(0);
    app.payrun(&["pause", "workflow", "deductions", "--reason", "a test"])
        .exits(0);
    app.payrun(&["lane", "suspend", "hk", "--reason", "a test"])
        .exits(0);
    app.payrun(&["tokens", "create", "ann", "--role", "viewer"])
        .exits(0);
    let service = Service::of(&app);
    let told = service
        .request(Method::POST, "/notify/hk")
        .header("content-type", "application/json");
    service.send(
        told.header("Wechatpay-Serial", "1")
            .body(json!({ "id": NASTY, "summary": NASTY }).to_string()),
    );
    service.send(
        service
            .request(Method::POST, "/notify/%1B%5B31m")
            .body(NASTY),
    );
    printable("serve's log", &service.stop().stderr);
    spoil(&app);
    for command in SHOWING {
        let ended = app.payrun(command);
        let what = command.join(" ");
        printable(&what, &ended.stdout);
        printable(&format!("{what} (standard error)"), &ended.stderr);
    }
}

#[test]
fn with_colours_on_only_our_own_reach_the_terminal() {
    let app = project("");
    app.payrun(&["run", WORKFLOW, "--date", DATE, "--wait", "1s"]);
    spoil(&app);
    for command in SHOWING {
        let ended = app.payrun(&[*command, &["--color", "always"][..]].concat());
        let own = ["32", "31", "33", "2", "0"].map(|code| format!("\u{1b}[{code}m"));
        let plain = own.iter().fold(ended.stdout.clone(), |text, code| {
            text.replace(code.as_str(), "")
        });
        printable(&command.join(" "), &plain);
        assert!(
            !ended.stdout.contains("\u{1b}[31m\u{1b}]") && !ended.stdout.contains("x\u{1b}[31m"),
            "{command:?}"
        );
    }
}

#[test]
fn programs_get_the_value_unchanged() {
    let app = project("");
    app.payrun(&["run", WORKFLOW, "--date", DATE, "--wait", "1s"]);
    spoil(&app);
    let items = app.json_lines(&["items", "--json"]);
    assert!(
        items[0]["reason"].as_str().unwrap().ends_with(NASTY),
        "{items:?}"
    );
    assert!(
        app.json(&["show", "--item", "1", "--json"])["reason"]
            .as_str()
            .unwrap()
            .ends_with(NASTY)
    );
}

#[test]
fn no_mail_shows_a_character_that_turns_text_or_cannot_be_seen() {
    let server = MailServer::plain(Value::Null);
    let rule = |kind| format!("  - {{ on: {kind}, to: [ops@example.com] }}\n");
    let rules = [
        "rejected",
        "lane_suspended",
        "lane_stopped",
        "alarm",
        "needs_review",
        "unmapped_code",
        "failed",
    ]
    .map(rule)
    .concat();
    let app = project(&format!("{}alerts:\n{rules}", server.yaml()));
    app.payrun(&["run", WORKFLOW, "--date", DATE, "--wait", "1s"]);
    app.payrun(&["lane", "suspend", "hk", "--reason", "a test"])
        .exits(0);
    spoil(&app);
    printable("alerts run", &app.payrun(&["alerts", "run"]).stdout);
    let mails = server.mails();
    assert!(!mails.is_empty());
    for mail in &mails {
        for part in ["text", "html"] {
            printable(part, &mail[part].as_str().unwrap().replace('\r', ""));
        }
        printable("subject", mail["headers"]["subject"].as_str().unwrap());
    }
    assert!(
        mails
            .iter()
            .any(|mail| mail.to_string().contains("[U+202E]")),
        "{mails:#?}"
    );
}

#[test]
fn the_service_answers_with_nothing_that_turns_text() {
    let app = project("");
    app.payrun(&["run", WORKFLOW, "--date", DATE, "--wait", "1s"]);
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    spoil(&app);
    let paths = [
        "runs",
        "runs/1",
        "items",
        "items/1",
        "workflows",
        "lanes",
        "approvals",
        "pauses",
        "audit",
        "alerts",
    ];
    for path in paths {
        let request = service
            .request(Method::GET, &format!("/api/v1/{path}"))
            .bearer_auth(&token);
        let text = app.wait_for(async { request.send().await.unwrap().text().await.unwrap() });
        printable(path, &text);
        serde_json::from_str::<Value>(&text).unwrap();
    }
    let item = service.get(&token, "/api/v1/items/1").body;
    assert!(item["reason"].as_str().unwrap().ends_with(NASTY), "{item}");
    for body in [
        json!({ "workflow": NASTY }),
        json!({ "scope": "contract", "name": NASTY, "reason": "r" }),
        json!({ "scope": "gateway", "name": NASTY, "reason": "r" }),
        json!({ "scope": "workflow", "name": NASTY, "reason": "r" }),
        json!({ NASTY: NASTY }),
    ] {
        for path in ["runs", "pauses"] {
            let request = service
                .request(Method::POST, &format!("/api/v1/{path}"))
                .bearer_auth(&token);
            let request = request
                .header("content-type", "application/json")
                .header("Idempotency-Key", "k");
            let request = request.body(body.to_string());
            let text = app.wait_for(async { request.send().await.unwrap().text().await.unwrap() });
            printable(path, &text);
        }
    }
    printable("serve's log", &service.stop().stderr);
}

/// What a spreadsheet takes for a formula.
const FORMULAS: [&str; 6] = [
    "=1+2",
    "+1+2",
    "-1+cmd|' /C calc'!A0",
    "@SUM(1)",
    "＝1+2",
    " =1+2",
];

#[test]
fn a_spreadsheet_makes_no_formula_of_an_export_and_a_program_gets_the_fields_as_they_are() {
    let rows = FORMULAS.map(|text| format!("{text}/K,basic,38.00,HKD,yes\n"));
    let header = "contract_id,plan,amount,currency,active\n".to_owned();
    let app = App::of(Setup {
        contracts: header + &rows.concat(),
        ..Setup::default()
    });
    app.edit(
        WORKFLOW,
        "contract_id: \"{{ item.contract_id }}\"",
        "contract_id: \"C-{{ item.contract_id|length }}\"",
    );
    app.payrun(&["run", WORKFLOW, "--date", DATE, "--wait", "0s"]);
    app.payrun(&["items", "--format", "csv"])
        .exits(0)
        .says(expect![",'=1+2/K/2026-03,"])
        .says(expect!["38.00"]);
    app.payrun(&["items", "--format", "csv", "--raw"])
        .exits(0)
        .says(expect![",=1+2/K/2026-03,"]);
    app.payrun(&["items", "--raw"])
        .exits(2)
        .says(expect!["--raw belongs to --format csv"]);
    let begins = |cell: &str| {
        cell.trim_start()
            .starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
    };
    let inert = app.payrun(&["items", "--format", "csv"]).stdout;
    assert!(
        !inert.lines().any(|line| line.split(',').any(begins)),
        "{inert}"
    );
    let mut file = "contract_id,amount,currency,start,description\n".to_owned();
    for (n, text) in FORMULAS.iter().enumerate() {
        file += &format!("F-{n},10.00,HKD,2026-01-01,{text}\n");
    }
    app.write("in.csv", file);
    app.payrun(&["contracts", "import", "in.csv", "--reason", "a test"])
        .exits(0);
    let inert = app.payrun(&["contracts", "export"]).exits(0).stdout;
    assert!(
        !inert.lines().any(|line| line.split(',').any(begins)) && inert.contains(",'=1+2,"),
        "{inert}"
    );
    app.write(
        "out.csv",
        app.payrun(&["contracts", "export", "--raw"])
            .exits(0)
            .stdout,
    );
    app.payrun(&["contracts", "import", "out.csv", "--reason", "back"])
        .exits(0)
        .says(expect!["0 new, 0 changed, 6 as they were"]);
}

fn on_both_engines(check: fn(&App)) {
    for server in [false, true] {
        check(&App::of(Setup {
            contracts: contracts("C", 1),
            server,
            ..Setup::default()
        }));
    }
}

#[test]
fn a_pause_has_a_name_that_is_short_can_be_seen_and_is_known() {
    on_both_engines(|app| {
        let service = Service::of(app);
        let token = service.token("ann", "operator");
        let pause = |scope: &str, name: &str, ahead: bool| {
            let body = json!({ "scope": scope, "name": name, "reason": "a test", "ahead": ahead })
                .to_string();
            let request = service
                .request(Method::POST, "/api/v1/pauses")
                .bearer_auth(&token);
            let reply = service.send(
                request
                    .header("content-type", "application/json")
                    .body(body),
            );
            (
                reply.status,
                reply.body["error"]["code"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                reply.body.to_string().len(),
            )
        };
        for name in [
            "x".repeat(900_000),
            "x".repeat(65),
            NASTY.replace('\n', ""),
            " C-0001".to_owned(),
            String::new(),
        ] {
            for scope in ["contract", "workflow", "gateway"] {
                let (status, code, length) = pause(scope, &name, true);
                assert_eq!(
                    (status, code.as_str()),
                    (422, "invalid_name"),
                    "{scope} {:?}",
                    name.get(..9)
                );
                assert!(length < 1_000);
            }
        }
        assert_eq!(pause("contract", "C-9999", false).1, "no_such_contract");
        assert_eq!(pause("workflow", "nothing", false).1, "no_such_workflow");
        assert_eq!(pause("gateway", "nowhere", false).1, "no_such_lane");
        // One that a file to come may have, if that is meant.
        assert_eq!(pause("contract", "C-0001", false).1, "no_such_contract");
        assert_eq!(pause("contract", "C-0001", true).0, 200);
        assert_eq!(service.stop().code(), Some(0));
        app.run().exits(4);
        assert_eq!(app.charges(), 0, "it is paused");
        app.payrun(&["resume", "contract", "C-0001", "--reason", "a test"])
            .exits(0)
            .says(expect!["resumed"]);
        app.payrun(&["run", "--resume"]).exits(0);
        // It has ended, and is known all the same.
        app.payrun(&["pause", "contract", "C-0001", "--reason", "a test"])
            .exits(0);
        app.payrun(&["pause", "contract", "C-9999", "--reason", "a test"])
            .exits(2)
            .says(expect!["no contract"])
            .says(expect!["--ahead"]);
        app.payrun(&[
            "pause",
            "workflow",
            "deductions",
            "--ahead",
            "--reason",
            "a test",
        ])
        .exits(2);
    });
}

#[test]
fn a_reason_that_is_typed_has_nothing_that_cannot_be_seen() {
    let app = App::with_contracts(&contracts("C", 1));
    for (reason, code) in [
        ("a\u{202e}b", "U+202E"),
        ("a\u{1b}[31mb", "U+001B"),
        ("a\nb", "U+000A"),
        ("a\u{9b}b", "U+009B"),
    ] {
        let ended = app
            .payrun(&["pause", "all", "--reason", reason])
            .exits(2)
            .prints(code)
            .says(expect!["character 2"])
            .says(expect!["take it out"]);
        printable("pause", &ended.stderr);
    }
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let request = service
        .request(Method::POST, "/api/v1/pauses")
        .bearer_auth(&token);
    let body = json!({ "scope": "all", "reason": "a\u{2066}b" }).to_string();
    let reply = service.send(
        request
            .header("content-type", "application/json")
            .body(body),
    );
    assert!(
        reply.status == 422 && reply.body.to_string().contains("U+2066"),
        "{reply:?}"
    );
    assert_eq!(service.stop().code(), Some(0));
}
