//! Differences of reconciliations, as clerks and programs work with them: listed, shown, explained,
//! accepted, given out.

use expect_test::expect;
use payrun::domain::difference::DifferenceReason;
use payrun::ledger::{Difference, Ledger, LineKind};
use payrun::sandbox::faults::FaultPlan;
use reqwest::Method;
use serde_json::{Value, json};

use crate::statements;
use crate::support::gateways::ORDERS;
use crate::support::said::assert_said;
use crate::support::service::Service;
use crate::support::{App, Setup};

/// A project whose ledger has two differences.
fn app() -> App {
    let app = App::of(Setup::default());
    app.wait_for(async {
        let ledger = Ledger::open(&app.path("payrun.db")).await.unwrap();
        let difference = |reason, number: &str| Difference {
            reason,
            day: "2026-11-20".to_owned(),
            kind: LineKind::Payment,
            order_no: number.to_owned(),
            refund_no: String::new(),
            transaction_id: String::new(),
            ours: None,
            theirs: None,
            our_state: None,
            their_state: "SUCCESS".to_owned(),
            item: None,
            line: Some(1),
            total: None,
            detail: String::new(),
        };
        let found = [
            difference(DifferenceReason::MissingHere, "=1+1"),
            difference(DifferenceReason::Fee, "B"),
        ];
        let now = payrun::domain::time::Timestamp::from_millis(1_700_000_000_000);
        ledger
            .keep_differences("sandbox", &found, 1, now)
            .await
            .unwrap();
    });
    app
}

#[test]
fn a_reconciliation_tells_its_differences_once_and_a_clerk_works_through_them() {
    let rig = statements::reconciled(FaultPlan::NONE, "days: 1");
    let payrun = |args: &[&str], code: i32| {
        let (ended, text) = rig.payrun(args);
        assert_eq!(ended, Some(code), "{args:?}: {text}");
        text
    };
    let listed = payrun(&["differences", "list", "--json", "--limit", "0"], 0);
    let rows: Vec<Value> = listed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 2 * ORDERS);
    assert!(
        rows.iter()
            .all(|row| row["reason"] == "missing_here" && row["state"] == "open")
    );
    // The next reconciliation of the same day has nothing new, and succeeds.
    assert_eq!(rig.to_the_end("day.yaml"), Some(0));

    let counted = payrun(
        &[
            "differences",
            "explain",
            "--all",
            "--gateway",
            "wechat",
            "--reason",
            "the shop",
        ],
        0,
    );
    assert!(
        counted.contains(&format!("{ORDERS} differences: {ORDERS} × missing here")),
        "{counted}"
    );
    assert_said(&counted, expect!["nothing was changed: give --yes"]);
    let done = payrun(
        &[
            "differences",
            "explain",
            "--all",
            "--gateway",
            "wechat",
            "--yes",
            "--reason",
            "the shop",
            "--author",
            "li",
        ],
        0,
    );
    assert!(
        done.contains(&format!("{ORDERS} differences explained")),
        "{done}"
    );
    let number = rows
        .iter()
        .find(|row| row["gateway"] == "hipopay")
        .map(|row| row["difference"].to_string())
        .unwrap();
    payrun(
        &[
            "differences",
            "assign",
            &number,
            "--to",
            "wang",
            "--reason",
            "hers",
        ],
        0,
    );
    payrun(
        &["differences", "accept", &number, "--reason", "written off"],
        0,
    );
    let shown = payrun(&["differences", "show", &number], 0);
    for part in [
        "accepted",
        "wang",
        "written off",
        "Find out which system",
        "found",
    ] {
        assert!(shown.contains(part), "no {part} in {shown}");
    }
    let refused = payrun(
        &["differences", "explain", &number, "--reason", "after all"],
        2,
    );
    assert!(
        refused.contains(&format!(
            "difference {number} is accepted, and cannot be explained"
        )),
        "{refused}"
    );
    let open = payrun(&["differences", "list", "-o", "open.csv"], 0);
    assert!(
        open.contains(&format!("{} differences in open.csv", ORDERS - 1)),
        "{open}"
    );
    let audit = payrun(&["audit", "list"], 0);
    for action in [
        "difference.explain",
        "difference.assign",
        "difference.accept",
    ] {
        assert!(audit.contains(action), "no {action} in {audit}");
    }
}

#[test]
fn programs_list_and_change_differences_and_strangers_do_not() {
    let app = app();
    let service = Service::of(&app);
    let (viewer, operator) = (
        service.token("ann", "viewer"),
        service.token("bob", "operator"),
    );
    let page = service.get(&viewer, "/api/v1/differences?limit=1");
    assert_eq!(
        (page.status, &page.body["next_after"]),
        (200, &json!(1)),
        "{:?}",
        page.body
    );
    let rest = service.get(&viewer, "/api/v1/differences?after=1");
    assert_eq!(rest.body["differences"][0]["reason"], "fee");
    let change = |token: &str, body: Value| {
        let request = service.request(Method::POST, "/api/v1/differences/change");
        let request = request.header("content-type", "application/json");
        service.send(request.bearer_auth(token).body(body.to_string()))
    };
    let explain = json!({ "action": "explain", "differences": [1, 9], "reason": "another shop" });
    assert_eq!(change(&viewer, explain.clone()).status, 403);
    let done = change(&operator, explain);
    assert_eq!(
        (done.status, done.body),
        (
            200,
            json!({ "changed": [1], "refused": [], "unknown": [9] })
        )
    );
    for refused in [
        json!({ "action": "accept", "differences": [], "reason": "x" }),
        json!({ "action": "accept", "differences": [1], "reason": "x", "owner": "li" }),
        json!({ "action": "assign", "differences": [1], "reason": "x", "owner": "  " }),
        json!({ "action": "accept", "differences": [1], "reason": "" }),
    ] {
        let told = change(&operator, refused.clone());
        assert!(
            (400..500).contains(&told.status),
            "{refused}: {}",
            told.body
        );
    }
    let one = service.get(&viewer, "/api/v1/differences/1");
    assert_eq!(
        (&one.body["state"], &one.body["events"][1]["by"]),
        (&json!("explained"), &json!("bob"))
    );
    assert_eq!(service.get(&viewer, "/api/v1/differences/7").status, 404);
    assert_eq!(
        service
            .get(&viewer, "/api/v1/differences?state=closed,lost")
            .status,
        400
    );
    let file = service.get(
        &viewer,
        "/api/v1/exports/differences?format=csv&state=open,explained",
    );
    let text = file.body.as_str().unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("'=1+1"), "a number is no formula: {text}");
}
