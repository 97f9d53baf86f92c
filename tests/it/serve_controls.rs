//! Operators' controls and approvals by the API: the same deeds as by command, each with a name and
//! a reason.

use expect_test::expect;
use std::time::Duration;

use payrun::sandbox::faults::{Fault, FaultPlan};
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::said::assert_said;
use crate::support::service::{Reply, Service, days_ago};
use crate::support::{App, Setup, WORKFLOW, contracts, until};

fn post(service: &Service<'_>, token: &str, path: &str, body: &Value) -> Reply {
    let request = service
        .request(Method::POST, &format!("/api/v1{path}"))
        .bearer_auth(token);
    let request = request
        .header("Idempotency-Key", "k-1")
        .header("content-type", "application/json");
    service.send(request.body(body.to_string()))
}

fn lately() -> Value {
    json!({ "workflow": "deductions", "date": days_ago(30) })
}

fn code(reply: &Reply) -> &str {
    reply.body["error"]["code"].as_str().unwrap_or_default()
}

#[test]
fn what_is_paused_is_not_sent_until_it_is_resumed_and_the_log_says_who_and_why() {
    let app = App::with_contracts(&contracts("C", 8));
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let pause = json!({ "scope": "gateway", "name": "hk", "reason": "the bank is away" });
    assert_eq!(
        post(&service, &token, "/pauses", &pause).body,
        json!({ "changed": true })
    );
    assert_eq!(
        post(&service, &token, "/pauses", &pause).body,
        json!({ "changed": false })
    );
    assert_eq!(post(&service, &token, "/runs", &lately()).status, 201);
    assert_eq!(
        service.get(&token, "/api/v1/pauses").body[0]["reason"],
        "the bank is away"
    );
    // A worker looks at least every half second.
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    assert_eq!(app.charges(), 0);
    assert_eq!(post(&service, &token, "/pauses/resume", &pause).status, 200);
    until("all are charged", || app.charges() == 8);
    let log = service.get(&token, "/api/v1/audit").body;
    let entries = log["entries"].as_array().unwrap();
    let told: Vec<(&str, &str)> = entries
        .iter()
        .map(|entry| {
            (
                entry["actor"].as_str().unwrap(),
                entry["via"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(told[..2], [("ann", "api (operator)"); 2]);
    app.payrun(&["audit", "verify"])
        .exits(0)
        .says(expect!["sound: 3 entries"]);
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn nothing_is_changed_without_a_reason_or_beyond_what_payrun_yaml_allows() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let (token, viewer) = (
        service.token("ann", "operator"),
        service.token("vic", "viewer"),
    );
    let limit = |rate: &str, reason: &str| json!({ "lane": "hk", "rate": rate, "reason": reason });
    assert_eq!(
        code(&post(&service, &token, "/lanes/limit", &limit("5/s", " "))),
        "invalid_reason"
    );
    assert_eq!(
        code(&post(
            &service,
            &token,
            "/lanes/limit",
            &limit("6000/s", "faster")
        )),
        "above_account"
    );
    assert_eq!(
        code(&post(
            &service,
            &token,
            "/lanes/limit",
            &limit("fast", "faster")
        )),
        "invalid_limit"
    );
    assert_eq!(
        post(&service, &token, "/lanes/limit", &limit("5/s", "slower")).status,
        200
    );
    assert_eq!(
        post(&service, &viewer, "/lanes/limit", &limit("4/s", "slower")).status,
        403
    );
    let suspend = json!({ "lane": "nowhere", "reason": "look" });
    assert_eq!(
        code(&post(&service, &token, "/lanes/suspend", &suspend)),
        "no_such_lane"
    );
    let suspend = json!({ "lane": "hk", "reason": "look" });
    assert_eq!(
        post(&service, &token, "/lanes/suspend", &suspend).status,
        200
    );
    assert_eq!(
        service.get(&token, "/api/v1/lanes").body[0]["state"],
        "suspended"
    );
    assert_eq!(
        post(&service, &token, "/lanes/release", &suspend).body,
        json!({ "changed": true })
    );
    let because = json!({ "reason": "look" });
    assert_eq!(
        post(&service, &token, "/items/7/retry", &because).status,
        404
    );
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn what_nobody_could_find_out_is_resolved_with_what_was_found_and_can_be_retried() {
    // No order arrives, and nothing is answered.
    let faults = FaultPlan::only(Fault::SilentBefore);
    let app = App::of(Setup {
        contracts: contracts("C", 2),
        faults,
        timeout: "300ms",
        ..Setup::default()
    });
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    assert_eq!(post(&service, &token, "/runs", &lately()).status, 201);
    let state =
        |item: &str| service.get(&token, &format!("/api/v1/items/{item}")).body["state"].clone();
    until("nobody knows", || {
        state("1") == "unknown" && state("2") == "unknown"
    });
    let found = json!({ "reason": "the gateway's support has no such order" });
    let resolve = || post(&service, &token, "/items/1/resolve", &found);
    // Not while it is being asked about at this moment.
    until("it is resolved", || resolve().status == 200);
    assert_eq!(state("1"), "failed");
    assert_eq!(resolve().status, 409, "it is closed");
    let retried = post(
        &service,
        &token,
        "/items/1/retry",
        &json!({ "reason": "once more" }),
    );
    assert_eq!(
        (retried.status, &retried.body["state"]),
        (200, &json!("unknown")),
        "it is queried first"
    );
    let verbs = service.get(&token, "/api/v1/audit").body["entries"].to_string();
    assert!(
        verbs.contains("item.resolve") && verbs.contains("item.retry"),
        "{verbs}"
    );
    assert_eq!((service.stop().code(), app.charges()), (Some(0), 0));
}

#[test]
fn what_is_paused_of_a_workflow_or_a_contract_is_that_alone() {
    let app = App::with_contracts(&contracts("C", 3));
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let contract = json!({ "scope": "contract", "gateway": "hk", "name": "C-0002", "ahead": true, "reason": "a complaint" });
    assert_eq!(
        post(&service, &token, "/pauses", &contract).body,
        json!({ "changed": true })
    );
    let workflow = json!({ "scope": "workflow", "name": "deductions", "reason": "not today" });
    assert_eq!(
        post(&service, &token, "/pauses", &workflow).body,
        json!({ "changed": true })
    );
    assert_eq!(post(&service, &token, "/runs", &lately()).status, 201);
    std::thread::sleep(std::time::Duration::from_millis(1_200));
    assert_eq!(app.charges(), 0);
    assert_eq!(
        post(&service, &token, "/pauses/resume", &workflow).body,
        json!({ "changed": true })
    );
    until("all but one are charged", || app.charges() == 2);
    assert_eq!(
        post(&service, &token, "/pauses/resume", &contract).body,
        json!({ "changed": true })
    );
    until("all are charged", || app.charges() == 3);
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_batch_that_was_rejected_is_withdrawn_and_its_keys_are_free() {
    let job = "    approval: { by: 1 }\n";
    let app = App::of(Setup {
        contracts: contracts("C", 4),
        job,
        ..Setup::default()
    });
    let service = Service::of(&app);
    let (author, approver) = (
        service.token("ann", "operator"),
        service.token("eve", "approver"),
    );
    assert_eq!(post(&service, &author, "/runs", &lately()).status, 201);
    let because = json!({ "reason": "a wrong file" });
    let rejected = post(&service, &approver, "/runs/1/reject", &because);
    assert_eq!(
        (&rejected.body[0]["outcome"], &rejected.body[0]["items"]),
        (&json!("withdrawn"), &json!(4))
    );
    until("the run has ended", || {
        service.get(&author, "/api/v1/runs/1").body["state"] == "finished"
    });
    let request = service
        .request(Method::POST, "/api/v1/runs")
        .bearer_auth(&author)
        .header("Idempotency-Key", "k-2");
    let again = service.send(
        request
            .header("content-type", "application/json")
            .body(lately().to_string()),
    );
    assert_eq!(
        (again.status, &again.body["run"]["by_state"]),
        (201, &json!({ "awaiting_approval": 4 })),
        "{again:?}"
    );
    assert_eq!(app.charges(), 0);
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_batch_runs_when_somebody_else_has_approved_what_was_shown() {
    let job = "    approval: { by: 1 }\n";
    let app = App::of(Setup {
        contracts: contracts("C", 6),
        job,
        ..Setup::default()
    });
    let service = Service::of(&app);
    let (author, approver) = (
        service.token("root", "admin"),
        service.token("eve", "approver"),
    );
    let begun = post(&service, &author, "/runs", &lately());
    assert_eq!(
        (begun.status, &begun.body["run"]["by_state"]),
        (201, &json!({ "awaiting_approval": 6 })),
        "{begun:?}"
    );
    let waiting = service.get(&approver, "/api/v1/approvals").body;
    let batch = &waiting["approvals"][0];
    assert_eq!(
        (&batch["author"], &batch["items"], &batch["state"]),
        (&json!("root"), &json!(6), &json!("waiting"))
    );
    let hash = batch["hash"].as_str().unwrap();
    let approve = |hash: &str| json!({ "hash": hash, "reason": "looked at it" });
    assert_eq!(
        code(&post(&service, &author, "/runs/1/approve", &approve(hash))),
        "own_batch",
        "admins included"
    );
    assert_eq!(
        code(&post(
            &service,
            &approver,
            "/runs/1/approve",
            &approve(&"0".repeat(64))
        )),
        "not_as_shown"
    );
    assert_eq!(app.charges(), 0);
    let approved = post(&service, &approver, "/runs/1/approve", &approve(hash));
    assert_eq!(approved.body[0]["outcome"], "released", "{approved:?}");
    until("all are charged", || app.charges() == 6);
    assert_eq!(
        post(&service, &approver, "/runs/1/approve", &approve(hash)).status,
        404
    );
    assert_eq!(
        post(&service, &approver, "/runs", &lately()).status,
        403,
        "an approver begins nothing"
    );
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn who_withdraws_what_is_under_way_is_told_that_it_is_still_asked_about() {
    let setup = Setup {
        contracts: contracts("C", 1),
        latency: Duration::from_secs(4),
        timeout: "20s",
        ..Setup::default()
    };
    let app = App::of(setup);
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    assert_eq!(post(&service, &token, "/runs", &lately()).status, 201);
    // What is claimed and not yet sent would be withdrawn for good.
    until("the gateway has it", || app.charges() == 1);
    for reason in ["the payer called", "once more"] {
        let told = post(
            &service,
            &token,
            "/items/1/cancel",
            &json!({ "reason": reason }),
        )
        .body;
        assert_eq!(
            (&told["state"], &told["withdrawn"]["by"]),
            (&json!("sending"), &json!("ann: the payer called")),
            "{told}"
        );
        assert!(told["withdrawn"]["at"].is_string(), "{told}");
        assert_said(
            told["withdrawn"]["now"].as_str().unwrap(),
            expect!["still being queried"],
        );
    }
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn many_items_are_counted_first_and_then_exactly_those_are_withdrawn() {
    let app = App::with_contracts(&contracts("C", 12));
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let pause = json!({ "scope": "all", "reason": "a wrong file" });
    assert_eq!(post(&service, &token, "/pauses", &pause).status, 200);
    assert_eq!(post(&service, &token, "/runs", &lately()).status, 201);
    let mut bulk =
        json!({ "action": "cancel", "states": ["planned"], "run": 1, "reason": "a wrong file" });
    let counted = post(&service, &token, "/items/bulk", &bulk).body;
    assert_eq!(
        (&counted["items"], &counted["done"]),
        (&json!(12), &json!(false)),
        "{counted}"
    );
    assert!(counted["sums"]["HKD"].as_str().unwrap().len() > 3);
    let one = json!({ "reason": "first" });
    assert_eq!(
        post(&service, &token, "/items/1/cancel", &one).body["state"],
        "cancelled"
    );
    bulk["set"] = counted["set"].clone();
    assert_eq!(
        code(&post(&service, &token, "/items/bulk", &bulk)),
        "changed",
        "one has moved since"
    );
    bulk["set"] = Value::Null;
    bulk["set"] = post(&service, &token, "/items/bulk", &bulk).body["set"].clone();
    let done = post(&service, &token, "/items/bulk", &bulk).body;
    assert_eq!(
        (&done["moved"], &done["refused"]),
        (&json!({ "cancelled": 11 }), &json!(0)),
        "{done}"
    );
    assert_eq!(post(&service, &token, "/pauses/resume", &pause).status, 200);
    until("the run has ended", || {
        service.get(&token, "/api/v1/runs/1").body["state"] == "finished"
    });
    assert_eq!(app.charges(), 0);
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn what_fires_next_and_what_there_is_can_be_read() {
    let app = App::with_contracts(&contracts("C", 1));
    app.edit(
        "workflows/deductions.yaml",
        "jobs:",
        "schedule: { cron: \"30 9 * * *\", timezone: Asia/Hong_Kong }\njobs:",
    );
    let service = Service::of(&app);
    let token = service.token("vic", "viewer");
    let next = service.get(&token, "/api/v1/schedule?days=3").body;
    assert_eq!(
        (next["firings"].as_array().unwrap().len(), &next["complete"]),
        (3, &json!(true)),
        "{next}"
    );
    let first = &next["firings"][0];
    assert!(
        first["wall"].as_str().unwrap().ends_with("T09:30") && first["fires"] == true,
        "{next}"
    );
    let one = service.get(
        &token,
        &format!(
            "/api/v1/schedule?days=3&workflow={}",
            first["workflow"].as_str().unwrap()
        ),
    );
    assert_eq!(one.body, next);
    assert_eq!(
        service
            .get(&token, "/api/v1/schedule?workflow=nobody")
            .status,
        404
    );
    let wrong = service.get(&token, "/api/v1/occurrences?before=nothing");
    assert_eq!(wrong.status, 400, "{wrong:?}");
    for path in [
        "occurrences",
        "contracts",
        "notifications",
        "alerts",
        "audit",
        "approvals",
        "runs/1/approvals",
    ] {
        let reply = service.get(&token, &format!("/api/v1/{path}"));
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
    }
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn the_lanes_of_the_api_say_who_holds_them_and_which_gateway_is_not_reached() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let suspend = [
        "lane",
        "suspend",
        "hk/refund",
        "--author",
        "bob",
        "--reason",
        "asked the bank",
    ];
    app.payrun(&suspend).exits(0);
    app.wait_for(async {
        let ledger = app.ledger().await;
        let since = payrun::domain::time::Timestamp::from_millis(1_700_000_000_000);
        ledger
            .note_unreachable("hk", "connecting timed out", since)
            .await
            .unwrap();
        ledger.close().await;
    });
    let none = Value::Null;
    let lanes = json!([
        {
            "name": "hk", "state": "open", "reason": none, "until": none, "by": none,
            "unreachable_since": "2023-11-14T22:13:20Z", "unreachable_how": "connecting timed out",
        },
        {
            "name": "hk/refund", "state": "suspended", "reason": "asked the bank", "until": none, "by": "bob",
            "unreachable_since": none, "unreachable_how": none,
        },
    ]);
    assert_eq!(service.get(&token, "/api/v1/lanes").body, lanes);
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn to_run_a_file_that_is_there_again_ends_payruns_own_pause() {
    let app = slow(false);
    let mut token = String::new();
    let (service, text, _) = removed_under_way(&app, &mut token);
    assert_eq!(service.stop().code(), Some(0));
    std::fs::create_dir(app.path("kept")).unwrap();
    app.write("kept/deductions.yaml", &text);
    let told = app.payrun(&["run", "kept/deductions.yaml", "--wait", "0s"]);
    assert!(
        told.stdout.contains(COMMANDS[0]),
        "the folder has no such file: {told:?}"
    );
    app.write(WORKFLOW, text);
    let told = app
        .payrun(&["run", WORKFLOW, "--wait", "20s"])
        .exits(0)
        .stderr;
    assert!(
        told.contains(
            "the workflow deductions was paused since its file was removed; its file is there again"
        ),
        "{told}"
    );
    // Another day's keys, in the runs of today.
    assert_eq!(app.charges(), 60);
    assert_eq!(app.json(&["show", "1", "--json"])["state"], "finished");
    app.payrun(&["audit", "list"])
        .exits(0)
        .says(expect!["its file is there again"]);
}

/// A service that has sent some of 30 items, one after the other, when the file of their workflow
/// is removed.
fn removed_under_way<'a>(app: &'a App, token: &mut String) -> (Service<'a>, String, u64) {
    let service = Service::of(app);
    *token = service.token("ann", "operator");
    assert_eq!(post(&service, token, "/runs", &lately()).status, 201);
    until("some are charged", || app.charges() > 1);
    let text = std::fs::read_to_string(app.path(WORKFLOW)).unwrap();
    std::fs::remove_file(app.path(WORKFLOW)).unwrap();
    until("it is paused", || {
        service
            .get(token, "/api/v1/pauses")
            .body
            .to_string()
            .contains("was removed")
    });
    (service, text, app.charges())
}

fn slow(server: bool) -> App {
    App::of(Setup {
        contracts: contracts("C", 30),
        rate: "5/s",
        server,
        ..Setup::default()
    })
}

/// What a person is told to do about a removed workflow, whole.
const COMMANDS: [&str; 2] = [
    "`payrun resume workflow deductions --reason WHY`",
    "`payrun cancel --workflow deductions --state planned,awaiting_approval,sending,pending,unknown --reason WHY --yes`",
];

fn a_removed_workflow_waits(server: bool) {
    let app = slow(server);
    let mut token = String::new();
    let (service, text, charged) = removed_under_way(&app, &mut token);
    let paused = service.get(&token, "/api/v1/pauses").body;
    assert_eq!(
        (&paused[0]["name"], &paused[0]["actor"]),
        (&json!("deductions"), &json!("payrun")),
        "{paused}"
    );
    assert_eq!(paused[0]["reason"], "its file deductions.yaml was removed");
    let told = service.get(&token, "/api/v1/workflows").body["refused"].to_string();
    for command in COMMANDS {
        assert!(told.contains(command), "{told}");
    }
    for args in [
        &["pause"][..],
        &["show", "1"],
        &["run", "--resume", "--wait", "0s"],
    ] {
        let told = app.payrun(args);
        let told = told.stdout.clone() + &told.stderr;
        for command in COMMANDS {
            assert!(told.contains(command), "{args:?}: {told}");
        }
        assert!(told.contains("was removed"), "{args:?}: {told}");
    }
    std::thread::sleep(Duration::from_secs(2));
    assert!(
        app.charges() <= charged + 1,
        "one may have been on its way: {charged}, {}",
        app.charges()
    );
    app.write(WORKFLOW, text);
    until("it goes on", || {
        service.get(&token, "/api/v1/pauses").body == json!([])
    });
    until("all are charged", || app.charges() == 30);
    until("the run has ended", || {
        service.get(&token, "/api/v1/runs/1").body["state"] == "finished"
    });
    assert_eq!(service.stop().code(), Some(0));
    let log = app
        .payrun(&["audit", "list"])
        .exits(0)
        .says(expect!["its file deductions.yaml was removed"])
        .stdout;
    assert_said(&log, expect!["its file is there again"]);
}

#[test]
fn of_a_workflow_whose_file_is_removed_nothing_new_is_sent_until_it_is_there_again() {
    a_removed_workflow_waits(false);
}

#[test]
fn on_a_server_nothing_new_is_sent_of_a_workflow_whose_file_is_removed() {
    a_removed_workflow_waits(true);
}

#[test]
fn what_a_removed_workflow_has_open_is_as_a_person_decides() {
    let app = slow(false);
    let mut token = String::new();
    let (service, text, _) = removed_under_way(&app, &mut token);
    app.payrun(&[
        "pause",
        "workflow",
        "deductions",
        "--author",
        "bob",
        "--reason",
        "not yet",
    ])
    .exits(0)
    .says(expect!["paused:"]);
    app.write(WORKFLOW, &text);
    until("the file is taken up", || {
        service.get(&token, "/api/v1/workflows").body["workflows"] != json!([])
    });
    std::thread::sleep(Duration::from_secs(2));
    let paused = service.get(&token, "/api/v1/pauses").body;
    assert_eq!(
        (&paused[0]["actor"], &paused[0]["reason"]),
        (&json!("bob"), &json!("not yet")),
        "{paused}"
    );
    app.payrun(&[
        "resume",
        "workflow",
        "deductions",
        "--author",
        "bob",
        "--reason",
        "now",
    ])
    .exits(0);
    std::fs::remove_file(app.path(WORKFLOW)).unwrap();
    until("it is paused again", || {
        service
            .get(&token, "/api/v1/pauses")
            .body
            .to_string()
            .contains("was removed")
    });
    app.payrun(&[
        "resume",
        "workflow",
        "deductions",
        "--author",
        "bob",
        "--reason",
        "send the rest",
    ])
    .exits(0);
    until("all are charged without the file", || app.charges() == 30);
    assert_eq!(service.get(&token, "/api/v1/pauses").body, json!([]));
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_file_that_is_replaced_and_a_folder_that_is_away_pause_nothing() {
    let app = slow(false);
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    assert_eq!(post(&service, &token, "/runs", &lately()).status, 201);
    let text = std::fs::read_to_string(app.path(WORKFLOW)).unwrap();
    for n in 0..20 {
        app.write("new.yaml", format!("{text}# {n}\n"));
        std::fs::remove_file(app.path(WORKFLOW)).unwrap();
        std::fs::rename(app.path("new.yaml"), app.path(WORKFLOW)).unwrap();
        std::thread::sleep(Duration::from_millis(60));
    }
    std::fs::rename(app.path("workflows"), app.path("away")).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    std::fs::rename(app.path("away"), app.path("workflows")).unwrap();
    std::fs::rename(app.path(WORKFLOW), app.path("workflows/renamed.yaml")).unwrap();
    std::thread::sleep(Duration::from_secs(2));
    app.write(
        "workflows/renamed.yaml",
        text.replace("uses: deduct", "uses: deduce"),
    );
    until("the mistake is told", || {
        service
            .get(&token, "/api/v1/workflows")
            .body
            .to_string()
            .contains("deduce")
    });
    until("all are charged", || app.charges() == 30);
    assert_eq!(service.stop().code(), Some(0));
    let log = app.payrun(&["audit", "export"]).exits(0).stdout;
    assert!(!log.contains("deductions"), "nothing was paused: {log}");
}

#[test]
fn a_worker_too_sends_nothing_new_of_a_workflow_whose_file_is_removed() {
    let app = slow(false);
    app.payrun(&["pause", "all", "--author", "ann", "--reason", "a test"])
        .exits(0);
    app.run().exits(4);
    let worker = app.start(&["work"]);
    app.payrun(&["resume", "all", "--author", "ann", "--reason", "a test"])
        .exits(0);
    until("some are charged", || app.charges() > 1);
    std::fs::remove_file(app.path(WORKFLOW)).unwrap();
    until("it is paused", || {
        app.json(&["pause", "--json"])
            .to_string()
            .contains("was removed")
    });
    let charged = app.charges();
    std::thread::sleep(Duration::from_secs(2));
    assert!(app.charges() <= charged + 1, "{charged}, {}", app.charges());
    worker.interrupt();
    worker.wait(crate::support::PATIENCE);
    app.payrun(&[
        "cancel",
        "--workflow",
        "deductions",
        "--state",
        "planned",
        "--yes",
        "--reason",
        "a test",
    ])
    .exits(0);
}

/// A run of 30 items of which none was sent, and whose file is removed while nothing runs; with
/// what the file was.
fn removed_at_rest(server: bool) -> (App, String) {
    let app = slow(server);
    app.payrun(&["pause", "all", "--author", "ann", "--reason", "a test"])
        .exits(0);
    app.run().exits(4);
    app.payrun(&["resume", "all", "--author", "ann", "--reason", "a test"])
        .exits(0);
    let text = std::fs::read_to_string(app.path(WORKFLOW)).unwrap();
    std::fs::remove_file(app.path(WORKFLOW)).unwrap();
    (app, text)
}

/// How often a workflow was paused and resumed.
fn pauses_in_log(app: &App) -> (usize, usize) {
    let log = app.payrun(&["audit", "export"]).exits(0).stdout;
    let count = |verb: &str| {
        log.lines()
            .filter(|line| line.contains(verb) && line.contains("workflow ded"))
            .count()
    };
    (count("\"pause\""), count("\"resume\""))
}

fn serve_pauses_at_its_start(server: bool) {
    let (app, text) = removed_at_rest(server);
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let paused = service.get(&token, "/api/v1/pauses").body;
    assert_eq!(
        (&paused[0]["name"], &paused[0]["actor"]),
        (&json!("deductions"), &json!("payrun")),
        "{paused}"
    );
    assert_eq!(paused[0]["reason"], "its file deductions.yaml was removed");
    let refused = || service.get(&token, "/api/v1/workflows").body["refused"].to_string();
    for command in COMMANDS {
        assert!(refused().contains(command), "{}", refused());
    }
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(app.charges(), 0);
    assert_eq!(service.stop().code(), Some(0));
    // Paused already, and told again.
    let service = Service::of(&app);
    assert!(
        service.get(&token, "/api/v1/workflows").body["refused"]
            .to_string()
            .contains(COMMANDS[0])
    );
    app.write(WORKFLOW, text);
    until("all are charged", || app.charges() == 30);
    until("the run has ended", || {
        service.get(&token, "/api/v1/runs/1").body["state"] == "finished"
    });
    assert_eq!(
        service.get(&token, "/api/v1/workflows").body["refused"],
        json!([])
    );
    assert_eq!(service.stop().code(), Some(0));
    assert_eq!(pauses_in_log(&app), (1, 1));
}

#[test]
fn of_a_workflow_whose_file_was_removed_while_nothing_ran_serve_sends_nothing_new() {
    serve_pauses_at_its_start(false);
}

#[test]
fn on_a_server_serve_sends_nothing_new_of_a_workflow_whose_file_was_removed_before() {
    serve_pauses_at_its_start(true);
}

#[test]
fn of_a_workflow_whose_file_was_removed_while_nothing_ran_run_and_work_send_nothing_new() {
    let (app, text) = removed_at_rest(false);
    let worker = app.start(&["work"]);
    until("it is paused", || {
        app.json(&["pause", "--json"])
            .to_string()
            .contains("was removed")
    });
    std::thread::sleep(Duration::from_secs(1));
    worker.interrupt();
    assert_said(
        &worker.wait(crate::support::PATIENCE).stderr,
        expect!["deductions.yaml is gone"],
    );
    assert_eq!(app.charges(), 0);
    for args in [
        &["run", "--resume", "--wait", "0s"][..],
        &["show", "1"],
        &["pause"],
    ] {
        let told = app.payrun(args);
        let told = told.stdout.clone() + &told.stderr;
        for command in COMMANDS {
            assert!(told.contains(command), "{args:?}: {told}");
        }
    }
    // A run of something else, which carries out what earlier runs left open.
    let other = text
        .replace("workflow: deductions", "workflow: other")
        .replace("item.contract_id }}/", "item.contract_id }}/other/");
    app.write("workflows/other.yaml", other);
    app.payrun(&["run", "workflows/other.yaml", "--wait", "20s"]);
    assert_eq!(app.charges(), 30, "those of the other");
    app.write(WORKFLOW, text);
    app.payrun(&["run", "--resume", "--wait", "20s"]).exits(0);
    assert_eq!((app.charges(), pauses_in_log(&app)), (60, (1, 1)));
}

#[test]
fn a_person_who_resumes_a_workflow_without_its_file_is_not_asked_again() {
    let (app, _) = removed_at_rest(false);
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let resume = json!({ "scope": "workflow", "name": "deductions", "reason": "send the rest" });
    assert_eq!(
        post(&service, &token, "/pauses/resume", &resume).body,
        json!({ "changed": true })
    );
    until("some are charged", || app.charges() > 1);
    until("nobody says that it is paused", || {
        service.get(&token, "/api/v1/workflows").body["refused"] == json!([])
    });
    assert_eq!(service.stop().code(), Some(0));
    assert!(app.charges() < 30);
    app.payrun(&["run", "--resume", "--wait", "20s"]).exits(0);
    assert_eq!((app.charges(), pauses_in_log(&app)), (30, (1, 1)));
}

#[test]
fn a_process_that_has_the_file_ends_the_pause_of_one_that_has_it_not() {
    for server in [false, true] {
        let app = slow(server);
        app.payrun(&["pause", "all", "--author", "ann", "--reason", "a test"])
            .exits(0);
        app.run().exits(4);
        let service = Service::of(&app);
        std::fs::create_dir(app.path("empty")).unwrap();
        let config = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
        app.write("without.yaml", format!("workflows: empty\n{config}"));
        let without = app.start(&["work", "--config", "without.yaml"]);
        until("it is paused and goes on", || pauses_in_log(&app) == (1, 1));
        app.payrun(&["resume", "all", "--author", "ann", "--reason", "a test"])
            .exits(0);
        until("all are charged", || app.charges() == 30);
        until("the run has ended", || {
            app.json(&["show", "1", "--json"])["state"] == "finished"
        });
        without.interrupt();
        without.wait(crate::support::PATIENCE).exits(0);
        assert_eq!(service.stop().code(), Some(0));
        assert_eq!(pauses_in_log(&app), (1, 1));
    }
}

#[test]
fn a_file_that_was_renamed_and_one_from_elsewhere_pause_nothing_at_a_start() {
    let (app, text) = removed_at_rest(false);
    app.write(
        "workflows/renamed.yaml",
        text.replace("workflow: deductions", "workflow: 'deductions'   # monthly"),
    );
    app.payrun(&["run", "--resume", "--wait", "20s"]).exits(0);
    assert_eq!(app.charges(), 30);
    std::fs::create_dir(app.path("kept")).unwrap();
    let other = text
        .replace("workflow: deductions", "workflow: other")
        .replace("item.contract_id }}/", "item.contract_id }}/other/");
    app.write("kept/other.yaml", other);
    app.payrun(&["pause", "all", "--author", "ann", "--reason", "a test"])
        .exits(0);
    app.payrun(&["run", "kept/other.yaml", "--wait", "0s"])
        .exits(4);
    app.payrun(&["resume", "all", "--author", "ann", "--reason", "a test"])
        .exits(0);
    std::fs::remove_file(app.path("kept/other.yaml")).unwrap();
    std::fs::rename(app.path("workflows"), app.path("away")).unwrap();
    app.payrun(&["run", "--resume", "--wait", "20s"]).exits(0);
    assert_eq!((app.charges(), pauses_in_log(&app)), (60, (0, 0)));
}
