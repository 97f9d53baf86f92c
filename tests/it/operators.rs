//! Operators' controls, approvals and the audit log, by the command.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::said::assert_said;
use crate::support::{App, DATE, PATIENCE, Setup, WORKFLOW, contracts, until};

/// Who gives a command, and why.
fn by<'a>(name: &'a str, command: &[&'a str]) -> Vec<&'a str> {
    [command, &["--author", name, "--reason", "a test"]].concat()
}

/// A project of 20 contracts whose batch must be approved above 100.00 HKD.
fn with_approval() -> App {
    App::of(Setup {
        job: "    approval: { above: { HKD: \"100.00\" }, expires: 1d }\n",
        ..Setup::default()
    })
}

fn run_as(app: &App, name: &str) -> crate::support::ExitedProcess {
    app.payrun(&["run", WORKFLOW, "--date", DATE, "--author", name])
}

#[test]
fn a_batch_above_its_threshold_waits_for_somebody_else_and_then_runs() {
    let app = with_approval();
    let (ann, bob) = (app.token("ann", "admin"), app.token("bob", "approver"));
    let run = ["run", WORKFLOW, "--date", DATE];
    app.payrun_as(&bob, &run)
        .exits(2)
        .says(expect!["this is for the role operator; bob is approver"]);
    app.payrun_as(&ann, &run)
        .exits(4)
        .says(expect!["20 items"])
        .says(expect!["wait for approval by somebody other than ann"]);
    assert_eq!(
        (app.charges(), app.by_state()),
        (0, json!({ "awaiting_approval": 20 }))
    );
    let approve = ["approvals", "approve", "1", "--reason", "a test"];
    app.payrun_as(&ann, &approve)
        .exits(3)
        .says(expect!["ann started this run, and cannot approve it"]);
    app.payrun(&by("bob", &["approvals", "approve", "1"]))
        .exits(3)
        .says(expect!["set PAYRUN_TOKEN to yours"]);
    app.payrun_as("payrun_forged", &approve)
        .exits(2)
        .says(expect!["PAYRUN_TOKEN is no good token"]);
    app.payrun_as(&bob, &["approvals", "approve", "1"])
        .exits(2)
        .says(expect!["give a reason"]);
    let shown = &app.json(&["approvals", "show", "1", "--json"])[0];
    assert_eq!(
        (&shown["items"], &shown["author"], &shown["state"]),
        (&json!(20), &json!("ann"), &json!("waiting"))
    );
    let hash = shown["hash"].as_str().unwrap();
    let other = "0".repeat(64);
    app.payrun_as(&bob, &[&approve[..], &["--hash", &other]].concat())
        .exits(3)
        .says(expect!["not what you were shown"]);
    app.payrun_as(&bob, &[&approve[..], &["--hash", hash]].concat())
        .exits(0)
        .says(expect!["20 items released"]);
    app.payrun(&["run", "--resume"]).exits(0);
    assert_eq!(app.charges(), 20);
    app.payrun(&["approvals", "list"])
        .exits(0)
        .says(expect!["nothing waits for approval"]);
    app.payrun(&["audit", "verify"])
        .exits(0)
        .says(expect!["sound: 3 entries"]);
    let journal = app.json_lines(&["journal"]);
    let books = Vec::new();
    let broken = payrun::checker::check(&journal, &books, &[], &Default::default());
    assert_eq!(broken.iter().find(|broken| broken.promise == 5), None);
}

#[test]
fn another_name_at_the_console_makes_the_author_nobody_else() {
    let app = with_approval();
    run_as(&app, "ann").exits(4);
    app.payrun(&by("bob", &["approvals", "approve", "1"]))
        .exits(3)
        .says(expect!["ann (the user "])
        .says(expect!["cannot approve it"]);
    let ann = app.token("ann-of-the-api", "admin");
    app.payrun_as(&ann, &["approvals", "approve", "1", "--reason", "me"])
        .exits(3)
        .says(expect!["another user of this machine has to approve it"]);
    assert_eq!(
        (app.charges(), app.by_state()),
        (0, json!({ "awaiting_approval": 20 }))
    );
}

#[test]
fn a_batch_below_its_threshold_runs_and_one_that_was_rejected_can_be_planned_anew() {
    let app = with_approval();
    app.write("data/contracts.csv", contracts("B", 2));
    run_as(&app, "ann").exits(0);
    assert_eq!(app.charges(), 2);
    app.write("data/contracts.csv", contracts("C", 5));
    run_as(&app, "ann").exits(4);
    app.payrun(&by("bob", &["approvals", "reject", "2"]))
        .exits(0)
        .says(expect!["5 items withdrawn"]);
    app.payrun(&[
        "retry",
        "--run",
        "2",
        "--state",
        "cancelled",
        "--yes",
        "--reason",
        "around it",
    ])
    .exits(3)
    .says(expect!["withdrawn before it was approved"]);
    app.write("data/contracts.csv", contracts("C", 4));
    let (ann, bob) = (app.token("ann", "operator"), app.token("bob", "admin"));
    app.payrun_as(&ann, &["run", WORKFLOW, "--date", DATE])
        .exits(4)
        .says(expect!["4 items"]);
    app.payrun_as(&bob, &["approvals", "approve", "3", "--reason", "a test"])
        .exits(0);
    app.payrun(&["run", "--resume"]).exits(0);
    assert_eq!(app.charges(), 6);
}

#[test]
fn a_batch_that_is_rejected_after_its_release_is_sent_no_further() {
    let job = "    approval: { above: { HKD: \"100.00\" }, expires: 1d }\n";
    let app = App::of(Setup {
        job,
        rate: "4/s",
        ..Setup::default()
    });
    let (ann, bob) = (app.token("ann", "operator"), app.token("bob", "approver"));
    app.payrun_as(&ann, &["run", WORKFLOW, "--date", DATE])
        .exits(4);
    app.payrun_as(&bob, &["approvals", "approve", "1", "--reason", "a test"])
        .exits(0);
    let run = app.start(&["run", "--resume"]);
    until("some are charged", || app.charges() > 1);
    app.payrun(&by("carl", &["approvals", "reject", "1"]))
        .exits(0)
        .says(expect![
            "its approval is revoked, and nothing more of it is sent:"
        ])
        .says(expect!["cancelled"]);
    let charged = app.charges();
    run.wait(crate::support::PATIENCE);
    app.payrun(&["run", "--resume"]).exits(0);
    assert!(
        app.charges() <= charged + 1 && app.charges() < 20,
        "one may have been on its way: {charged}, {}",
        app.charges()
    );
    let states = app.by_state();
    let count = |state: &str| states[state].as_u64().unwrap_or_default();
    assert_eq!(count("succeeded") + count("cancelled"), 20, "{states}");
    assert_eq!(count("succeeded"), app.charges());
    app.payrun(&by("carl", &["approvals", "reject", "1"]))
        .exits(3)
        .says(expect!["it is revoked"]);
    assert_nothing_is_sent_again(&app);
    app.payrun(&["audit", "export"])
        .exits(0)
        .says(expect!["a batch rejected after its release"]);
}

/// A batch that was approved, of which nothing has been sent yet, with the token of its approver.
fn released(server: bool) -> (App, String) {
    let job = "    approval: { above: { HKD: \"100.00\" }, expires: 1d }\n";
    let app = App::of(Setup {
        job,
        server,
        ..Setup::default()
    });
    let (ann, bob) = (app.token("ann", "operator"), app.token("bob", "approver"));
    app.payrun_as(&ann, &["pause", "gateway", "hk", "--reason", "a test"])
        .exits(0);
    app.payrun_as(&ann, &["run", WORKFLOW, "--date", DATE])
        .exits(4);
    app.payrun_as(&bob, &["approvals", "approve", "1", "--reason", "a test"])
        .exits(0);
    (app, bob)
}

/// Everything of the batch was withdrawn by the owner of the token.
fn assert_withdrawn_by_bob(app: &App) {
    assert_eq!(
        (app.by_state(), app.charges()),
        (json!({ "cancelled": 20 }), 0)
    );
    let item = &app.json_lines(&["items", "--json"])[0];
    assert_eq!(item["reason"], "cancelled by bob: a wrong file", "{item}");
    let log = app.json_lines(&["audit", "export"]);
    let late = log
        .iter()
        .find(|entry| entry["action"] == "item.cancel")
        .unwrap();
    assert_eq!(late["actor"], "bob", "{late}");
    let rejected = |entry: &&Value| entry["action"] == "approval.reject";
    let rejected = log.iter().find(rejected).unwrap();
    assert_eq!(rejected["after"], r#"{"state":"revoked"}"#, "{rejected}");
    assert_nothing_is_sent_again(app);
}

/// The batch of run 1 was rejected after its approval: no retry sends any of it.
fn assert_nothing_is_sent_again(app: &App) {
    let charged = app.charges();
    let cancelled = app.json_lines(&["items", "--state", "cancelled", "--json"]);
    let id = cancelled[0]["item"].to_string();
    app.payrun(&by("carl", &["retry", &id]))
        .exits(3)
        .says(expect!["was rejected after its approval"]);
    let all = ["retry", "--run", "1", "--state", "cancelled"];
    app.payrun(&by("carl", &all)).says(expect!["left out"]);
    app.payrun(&["run", "--resume"]).exits(0);
    assert_eq!(app.charges(), charged);
    app.payrun(&["approvals", "list", "--all"])
        .exits(0)
        .says(expect!["revoked"]);
}

#[test]
fn a_token_proves_who_rejects_a_batch_after_its_release() {
    for server in [false, true] {
        let (app, bob) = released(server);
        let reject = [
            "approvals",
            "reject",
            "1",
            "--reason",
            "a wrong file",
            "--author",
            "carl",
        ];
        app.payrun_as(&bob, &reject).exits(0).says(expect![
            "its approval is revoked, and nothing more of it is sent: 20 items cancelled"
        ]);
        assert_withdrawn_by_bob(&app);
        let cancel = ["cancel", "1", "--reason", "a test"];
        app.payrun_as(&bob, &cancel)
            .exits(2)
            .says(expect!["this is for the role operator; bob is approver"]);
        let log = app.json_lines(&["audit", "export"]);
        assert!(
            log.iter()
                .any(|entry| entry["action"] == "pause" && entry["actor"] == "ann"),
            "{log:?}"
        );
    }
}

#[test]
fn a_token_proves_who_rejects_a_batch_after_its_release_by_the_api() {
    use crate::support::service::Service;
    let (app, bob) = released(false);
    let service = Service::of(&app);
    let request = service
        .request(reqwest::Method::POST, "/api/v1/runs/1/reject")
        .bearer_auth(&bob);
    let request = request.header("content-type", "application/json");
    let reply = service.send(request.body(json!({ "reason": "a wrong file" }).to_string()));
    assert_eq!(
        (reply.status, &reply.body[0]["outcome"]),
        (200, &json!("revoked")),
        "{reply:?}"
    );
    assert_eq!(service.stop().code(), Some(0));
    assert_withdrawn_by_bob(&app);
}

#[test]
fn what_an_item_took_is_given_back_once_by_the_workflow_that_refund_writes() {
    let app = App::of(Setup {
        contracts: contracts("C", 2),
        ..Setup::default()
    });
    let (ann, bob) = (app.token("ann", "operator"), app.token("bob", "approver"));
    app.payrun(&["run", WORKFLOW, "--date", DATE]).exits(0);
    let refund = ["refund", "1", "--reason", "the payer cancelled: \"late\""];
    let told = app.payrun(&refund).exits(0).stdout;
    assert!(told.contains("refund-of-item-1.yaml"), "{told}");
    app.payrun(&refund)
        .exits(2)
        .says(expect!["refund-of-item-1.csv is there already"]);
    let run = ["run", "workflows/refund-of-item-1.yaml"];
    app.payrun_as(&ann, &run).exits(4);
    app.payrun(&refund)
        .exits(2)
        .says(expect!["gives item 1 back already: it waits for approval"]);
    // A refund that was rejected gave its number back, so another one takes the next.
    app.payrun_as(&bob, &["approvals", "reject", "2", "--reason", "a test"])
        .exits(0);
    app.payrun(&refund)
        .exits(0)
        .says(expect!["refund-of-item-1-2.yaml"]);
    let run = ["run", "workflows/refund-of-item-1-2.yaml"];
    app.payrun_as(&ann, &run).exits(4);
    app.payrun_as(&bob, &["approvals", "approve", "3", "--reason", "a test"])
        .exits(0);
    app.payrun(&["run", "--resume"]).exits(0);
    let refunded = &app.totals().refunded["HKD"];
    assert_eq!(refunded.count, 1);
    let item = &app.json_lines(&["items", "--run", "1", "--json"])[0];
    assert_eq!(
        item["amount"],
        app.json_lines(&["items", "--run", "3", "--json"])[0]["amount"]
    );
    app.payrun(&refund)
        .exits(2)
        .says(expect!["item 1 was given back by item"]);
    let shown = app.payrun(&["show", "--item", "1"]).exits(0).stdout;
    assert!(
        shown.contains("what belongs to it") && shown.contains("gives back of it"),
        "{shown}"
    );
    let shown = app.payrun(&["show", "--item", "1", "--json"]).exits(0);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let related = &shown["related"][0];
    assert_eq!(
        (&related["relation"], &related["run"], &related["state"]),
        (&json!("refund"), &json!(3), &json!("succeeded")),
        "{shown}"
    );
    let of_the_refund = ["refund", "refund-of-item-1-2", "--reason", "a test"];
    app.payrun(&of_the_refund)
        .exits(2)
        .says(expect!["has taken no money that could be given back"]);
}

#[test]
fn what_is_withdrawn_is_counted_without_a_reason_and_only_once() {
    use payrun::sandbox::faults::{Fault, FaultPlan};
    for server in [false, true] {
        let setup = Setup {
            contracts: contracts("C", 3),
            faults: FaultPlan::only(Fault::ErrorBefore),
            server,
            ..Setup::default()
        };
        let app = App::of(setup);
        app.edit(WORKFLOW, "schedule: [", "schedule: [3s, ");
        app.payrun(&["run", WORKFLOW, "--date", DATE, "--wait", "1s"])
            .exits(4);
        let count = ["cancel", "--state", "planned,unknown"];
        app.payrun(&count)
            .exits(0)
            .says(expect!["3 items: 3 unknown"])
            .says(expect!["nothing was done"]);
        app.payrun(&[&count[..], &["--yes"]].concat())
            .exits(2)
            .says(expect!["give a reason"]);
        app.payrun(&[&count[..], &["--yes", "--reason", "a test"]].concat())
            .exits(0)
            .says(expect!["3 withdrawn and unknown"]);
        app.payrun(&count)
            .exits(0)
            .says(expect!["no item is chosen"]);
        app.payrun(&["run", "--resume", "--wait", "30s"]);
        assert_eq!(
            (app.by_state(), app.charges()),
            (json!({ "cancelled": 3 }), 0)
        );
    }
}

#[test]
fn what_a_workflow_has_open_is_withdrawn_by_its_name() {
    let app = App::with_contracts(&contracts("C", 5));
    app.payrun(&by("ann", &["pause", "gateway", "hk"])).exits(0);
    app.run().exits(4);
    let cancel = |workflow| {
        app.payrun(&by(
            "ann",
            &[
                "cancel",
                "--workflow",
                workflow,
                "--state",
                "planned,unknown",
                "--yes",
            ],
        ))
    };
    cancel("another").exits(0);
    assert_eq!(app.by_state(), json!({ "planned": 5 }));
    assert_eq!(
        app.json_lines(&["items", "--workflow", "deductions", "--json"])
            .len(),
        5
    );
    cancel("deductions").exits(0);
    assert_eq!(
        (app.by_state(), app.charges()),
        (json!({ "cancelled": 5 }), 0)
    );
}

#[test]
fn what_is_paused_or_held_by_a_person_stays_so_when_somebody_runs() {
    let app = App::with_contracts(&contracts("C", 5));
    app.payrun(&by("ann", &["pause", "gateway", "eu"]))
        .exits(2)
        .says(expect!["payrun.yaml has no gateway \"eu\"; there are hk"]);
    app.payrun(&by("ann", &["pause", "workflow", "deductoins"]))
        .exits(2)
        .says(expect!["there is no workflow \"deductoins\""]);
    app.payrun(&by("ann", &["pause", "workflow", "deductions"]))
        .exits(0);
    app.payrun(&by("ann", &["resume", "workflow", "deductions"]))
        .exits(0);
    app.payrun(&by("ann", &["pause", "gateway", "hk"]))
        .exits(0)
        .says(expect!["still queried"]);
    app.run()
        .exits(4)
        .says(expect!["paused by ann: gateway hk, a test"]);
    app.payrun(&["pause"])
        .exits(0)
        .says(expect!["gateway"])
        .says(expect!["ann"]);
    app.payrun(&by("bob", &["resume", "gateway", "hk"]))
        .exits(0)
        .says(expect!["resumed"]);
    app.payrun(&by("ann", &["lane", "suspend", "hk"])).exits(0);
    app.payrun(&["run", "--resume"])
        .exits(4)
        .says(expect!["lane hk is suspended: a test"]);
    assert_eq!(app.charges(), 0);
    app.payrun(&by("bob", &["lane", "release", "hk"])).exits(0);
    app.payrun(&by("ann", &["pause", "contract", "C-0002"]))
        .exits(0);
    app.payrun(&["run", "--resume", "--wait", "3s"]).exits(4);
    assert_eq!(app.charges(), 4);
    app.payrun(&by("ann", &["resume", "contract", "C-0002"]))
        .exits(0);
    app.payrun(&["run", "--resume"]).exits(0);
    assert_eq!(app.charges(), 5);
    app.payrun(&["audit", "verify"])
        .exits(0)
        .says(expect!["sound: 8 entries"]);
}

#[test]
fn a_lane_is_slowed_and_never_made_faster_than_the_configuration() {
    let app = App::of(Setup {
        rate: "50/s",
        concurrency: 4,
        contracts: contracts("C", 3),
        ..Setup::default()
    });
    app.payrun(&by("ann", &["lane", "limit", "hk", "--rate", "51/s"]))
        .exits(2)
        .says(expect!["more than payrun.yaml allows"]);
    app.payrun(&by("ann", &["lane", "limit", "hk", "--concurrency", "5"]))
        .exits(2)
        .says(expect!["payrun.yaml allows"]);
    app.payrun(&by("ann", &["lane", "limit", "hk"]))
        .exits(2)
        .says(expect!["how slow?"]);
    app.payrun(&by("ann", &["lane", "limit", "hk", "--rate", "60/min"]))
        .exits(0)
        .says(expect!["at most 60/min"]);
    app.payrun(&by("ann", &["lane", "limit", "hk", "--concurrency", "1"]))
        .exits(0)
        .says(expect!["60/min, 1 at once"]);
    let lanes = app.json(&["lane", "list", "--json"]);
    assert_eq!(
        lanes[0]["limited"],
        json!({ "rate": "60/min", "concurrency": 1 })
    );
    let began = std::time::Instant::now();
    app.run().exits(0);
    assert!(
        began.elapsed() > std::time::Duration::from_secs(2),
        "three calls at one a second"
    );
    app.payrun(&by("ann", &["lane", "limit", "hk", "--reset"]))
        .exits(0);
    assert_eq!(
        app.json(&["lane", "list", "--json"])[0]["limited"]["rate"],
        json!(null)
    );
}

#[test]
fn a_lane_that_is_not_there_cannot_be_opened_and_one_that_is_open_was_open() {
    let app = App::with_contracts(&contracts("C", 1));
    app.run().exits(0);
    let release = |lane| app.payrun(&by("ann", &["lane", "release", lane]));
    release("nonsense").exits(2).says(expect![
        "payrun.yaml has no gateway \"nonsense\"; there are hk"
    ]);
    release("hk/nonsense")
        .exits(2)
        .says(expect!["there is no job kind \"nonsense\"; there are "])
        .says(expect!["deduct"]);
    release("hk/deduct/99")
        .exits(2)
        .says(expect!["there is no job \"99\" of hk/deduct"]);
    release("hk/refund/1")
        .exits(2)
        .says(expect!["there is no job \"1\" of hk/refund"]);
    for lane in ["hk", "hk/deduct", "hk/deduct/1"] {
        release(lane).exits(0).says(expect!["it was open"]);
    }
}

#[test]
fn what_is_chosen_is_counted_first_and_only_that_is_done() {
    let app = App::with_contracts(
        "contract_id,plan,amount,currency,active\nA-terminated,x,10.00,HKD,yes\nB-terminated,x,20.50,HKD,yes\nC,x,5.00,HKD,yes\n",
    );
    app.run().exits(3);
    let command = [
        "retry",
        "--run",
        "1",
        "--state",
        "failed",
        "--gateway",
        "hk",
        "--reason",
        "a test",
    ];
    app.payrun(&command)
        .exits(0)
        .says(expect!["2 items: 2 failed; 30.50 HKD"])
        .says(expect!["nothing was done"]);
    let counted = app.json(&[&command[..], &["--json"]].concat());
    let set = counted["set"].as_str().unwrap();
    app.payrun(&[&command[..], &["--with-reason", "no such code"]].concat())
        .exits(0)
        .says(expect!["no item is chosen"]);
    app.payrun(&[&command[..], &["--yes", "--expect", "0011"]].concat())
        .exits(2)
        .says(expect!["nothing was done"]);
    app.payrun(&[&command[..], &["--yes", "--expect", set]].concat())
        .exits(0)
        .says(expect!["2 now pending"]);
    app.payrun(&[
        "resolve",
        "A-terminated/2026-03",
        "--failed",
        "--author",
        "ann",
        "--reason",
        "asked the bank",
    ])
    .exits(0)
    .says(expect!["is failed now"]);
    app.payrun(&by("ann", &["resolve", "C/2026-03", "--succeeded", "R-1"]))
        .exits(3)
        .says(expect![
            "only what is unknown or needs review can be resolved by hand"
        ]);
    app.payrun(&["run", "--resume"]).exits(3);
    let log = app
        .payrun(&["audit", "list"])
        .exits(0)
        .says(expect!["asked the bank"])
        .stdout;
    assert!(
        log.contains("run 1, gateway hk, state failed") || log.contains("item.retry"),
        "{log}"
    );
    let exported = app.json_lines(&["audit", "export"]);
    assert_eq!(exported.len(), 2);
    assert_said(
        exported[0]["before"].as_str().unwrap(),
        expect!["run 1, gateway hk, state failed"],
    );
}

#[test]
fn an_audit_log_that_was_changed_or_cut_off_is_noticed() {
    use sqlx::{ConnectOptions, Executor};
    let app = App::of(Setup {
        server: false,
        contracts: contracts("C", 1),
        ..Setup::default()
    });
    app.payrun(&by("ann", &["pause", "workflow", "deductions"]))
        .exits(0);
    app.payrun(&by("ann", &["lane", "suspend", "hk"])).exits(0);
    app.payrun(&by("bob", &["lane", "release", "hk"])).exits(0);
    let sound = app
        .payrun(&["audit", "verify"])
        .exits(0)
        .says(expect!["sound: 3 entries"])
        .stdout;
    let head = sound.lines().last().unwrap().to_owned();
    let tamper = |statement: &'static str| {
        app.wait_for(async {
            let file = sqlx::sqlite::SqliteConnectOptions::new().filename(app.database());
            let mut file = file.connect().await.unwrap();
            file.execute(
                "drop trigger if exists audit_update; drop trigger if exists audit_delete",
            )
            .await
            .unwrap();
            file.execute(statement).await.unwrap();
        });
    };
    tamper("update audit set actor = 'cleo' where seq = 2");
    app.payrun(&["audit", "verify"])
        .exits(3)
        .says(expect!["broken: entry 2 or one before it was changed"]);
    tamper("update audit set actor = 'ann' where seq = 2");
    app.payrun(&["audit", "verify", "--expect", &head]).exits(0);
    tamper("delete from audit where seq = 3");
    app.payrun(&["audit", "verify"])
        .exits(0)
        .says(expect!["sound: 2 entries"]);
    app.payrun(&["audit", "verify", "--expect", &head])
        .exits(3)
        .says(expect!["the end of the log was cut off"]);
    tamper("delete from audit where seq = 1");
    app.payrun(&["audit", "verify"])
        .exits(3)
        .says(expect!["broken: entry 1 is missing"]);
    tamper("delete from audit");
    app.payrun(&["audit", "verify"])
        .exits(3)
        .says(expect!["other tables speak of it"]);
}

#[test]
fn the_exit_code_of_a_run_tells_of_that_run_and_of_no_earlier_one() {
    let app =
        App::with_contracts("contract_id,plan,amount,currency,active\nC-1,basic,38.00,HKD,yes\n");
    let pause = |what: &str| {
        app.payrun(&[
            what,
            "workflow",
            "deductions",
            "--author",
            "ann",
            "--reason",
            "a test",
        ])
        .exits(0);
    };
    pause("pause");
    // Its own items are open.
    app.payrun(&["run", WORKFLOW, "--date", DATE, "--wait", "0s"])
        .exits(4);
    let workflow = std::fs::read_to_string(app.path(WORKFLOW)).unwrap();
    let other = workflow
        .replace("workflow: deductions", "workflow: others")
        .replace("contracts.csv", "others.csv");
    assert_ne!(other, workflow);
    app.write("workflows/others.yaml", other);
    let rows = |rows: &str| {
        app.write(
            "data/others.csv",
            format!("contract_id,plan,amount,currency,active\n{rows}"),
        );
    };
    rows("D-1,basic,38.00,HKD,yes\n");
    let run = |date: &str| {
        app.payrun(&[
            "run",
            "workflows/others.yaml",
            "--date",
            date,
            "--wait",
            "20s",
        ])
    };
    // All of it succeeded; the other run is named, and stays open.
    let told = run(DATE).exits(0);
    told.says(expect!["1 older run is not finished: 1"])
        .says(expect!["run 2 of others"]);
    rows("D-2-poor,basic,38.00,HKD,yes\n");
    run("2026-04-30").exits(3);
    // Who goes on with what is open hears of all of it.
    app.payrun(&["run", "--resume", "--wait", "0s"]).exits(4);
    pause("resume");
    app.payrun(&["run", "--resume"]).exits(0);
}

#[test]
fn whoever_dies_in_a_withdrawal_of_a_run_has_stopped_all_of_it() {
    let places = [
        ("withdrawal_step", 1, false),
        ("withdrawal_step", 2, true),
        ("bulk_step", 1, false),
        ("bulk_step", 2, false),
    ];
    for (place, nth, server) in places {
        let app = App::of(Setup {
            contracts: contracts("C", 210),
            server,
            ..Setup::default()
        });
        app.payrun(&by("ann", &["pause", "all"])).exits(0);
        app.payrun(&["run", WORKFLOW, "--wait", "0s"]);
        let withdraw = by("ann", &["withdraw", "1"]);
        let died = app.start_to_die_at(&withdraw, place, nth).wait(PATIENCE);
        assert!(died.was_killed(), "{place} {nth}");
        app.payrun(&by("ann", &["resume", "all"])).exits(0);
        app.payrun(&["run", "--resume"]);
        assert_eq!(app.charges(), 0, "{place} {nth}");
        assert_eq!(app.by_state(), json!({ "cancelled": 210 }), "{place} {nth}");
        let retry = by("ann", &["retry", "1"]);
        app.payrun(&retry)
            .exits(3)
            .says(expect!["its run 1 is withdrawn by ann"]);
        app.payrun(&withdraw).exits(0);
        app.payrun(&retry).exits(0);
    }
}
