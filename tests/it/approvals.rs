//! Whoever approves a batch sees what is approved: fields, what was paid and given back, what
//! fails, what repeats, what differs.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::service::Service;
use crate::support::{App, Setup, contracts};

const REFUNDS: &str = "workflows/refunds.yaml";

const WORKFLOW: &str = "\
workflow: refunds
jobs:
  refund:
    uses: refund
    gateway: hk
    items: { file: ../data/refunds.csv }
    key: \"{{ item.refund }}\"
    with:
      out_trade_no: \"{{ item.order }}\"
      amount: \"{{ item.amount }}\"
      currency: \"{{ item.currency }}\"
      reason: \"{{ item.why }}\"
    retry: { attempts: 30, first: 50ms, max: 200ms }
    query: { schedule: [50ms, 100ms, 200ms], grace: 1500ms, horizon: 1h }
";

/// A project that has charged four contracts, with the order number and the amount of each.
struct RefundProject {
    app: App,
    charged: Vec<(String, String)>,
    ann: String,
    bob: String,
}

impl RefundProject {
    fn new(server: bool) -> Self {
        let app = App::of(Setup {
            server,
            contracts: contracts("C", 4),
            ..Setup::default()
        });
        app.run().exits(0);
        let text = |item: &Value, name: &str| item[name].as_str().unwrap().to_owned();
        let items = app.json_lines(&["items", "--json"]);
        let charged = items
            .iter()
            .map(|item| (text(item, "order_no"), text(item, "amount")))
            .collect();
        app.write(REFUNDS, WORKFLOW);
        let (ann, bob) = (app.token("ann", "operator"), app.token("bob", "approver"));
        Self {
            app,
            charged,
            ann,
            bob,
        }
    }

    /// Plans a batch of key, charge, amount, currency and reason.
    fn plan(&self, rows: &[(&str, usize, &str, &str, &str)]) {
        let row = |(key, charge, amount, currency, why): &(&str, usize, &str, &str, &str)| {
            format!(
                "{key},{},{amount},{currency},{why}\n",
                self.charged[*charge].0
            )
        };
        let rows: String = rows.iter().map(row).collect();
        self.app.write(
            "data/refunds.csv",
            format!("refund,order,amount,currency,why\n{rows}"),
        );
        self.app
            .payrun_as(&self.ann, &["run", REFUNDS])
            .exits(4)
            .says(expect!["wait for approval"]);
    }

    fn shown(&self, run: &str) -> Value {
        self.app.json(&["approvals", "show", run, "--json"])[0].clone()
    }
}

fn keys(rows: &Value) -> Vec<&str> {
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| row["key"].as_str().unwrap())
        .collect()
}

fn story(server: bool) {
    let project = RefundProject::new(server);
    let (app, whole) = (&project.app, project.charged[2].1.as_str());
    project.plan(&[
        ("R-1", 0, "1.00", "HKD", "came late"),
        ("R-2", 1, "9999.00", "HKD", "slipped"),
        ("R-3", 2, whole, "HKD", "broken"),
        ("R-4", 2, "0.01", "HKD", "once more"),
    ]);
    let first = project.shown("2");
    assert_eq!(
        keys(&first["rows"]),
        ["R-2", "R-3", "R-1", "R-4"],
        "the largest first"
    );
    let largest = &first["rows"][0];
    assert_eq!(
        (
            &largest["fields"]["reason"],
            &largest["fields"]["out_trade_no"]
        ),
        (&json!("slipped"), &json!(project.charged[1].0))
    );
    assert_eq!(
        (&largest["paid"], &largest["refunded"]),
        (&json!(project.charged[1].1), &json!("0.00"))
    );
    assert_eq!(largest["will_fail_code"], "EXCEEDS_PAYMENT");
    let why = largest["will_fail"].as_str().unwrap();
    assert!(
        !why.contains("EXCEEDS") && why.contains(&project.charged[1].1),
        "{why}"
    );
    assert_eq!(
        (&first["failing"], keys(&first["first_failing"])),
        (&json!(1), vec!["R-2"]),
        "{first:#}"
    );
    // Each of these two fits alone.
    assert_eq!(
        (&first["crowded"], keys(&first["first_crowded"])),
        (&json!(2), vec!["R-3", "R-4"]),
        "{first:#}"
    );
    let crowded = &first["first_crowded"][1];
    assert!(
        crowded["crowded"].as_str().unwrap().contains("not all fit")
            && crowded["will_fail"].is_null()
    );
    assert_eq!(
        (&crowded["crowded_code"], &crowded["will_fail_code"]),
        (&json!("EXCEEDS_PAYMENT_TOGETHER"), &Value::Null)
    );
    app.payrun(&["approvals", "show", "2"])
        .exits(0)
        .says(expect!["1 row is certain to fail"])
        .says(expect![
            "2 rows take too much of the same payment only together with other rows"
        ]);
    assert_eq!(
        (
            &first["repeating"],
            &first["differences"],
            &first["checked"]
        ),
        (&json!(0), &Value::Null, &json!(4))
    );
    assert_eq!(
        first["hash"],
        app.json(&["approvals", "list", "--json"])[0]["hash"]
    );
    app.payrun(&[
        "approvals",
        "reject",
        "2",
        "--author",
        "cleo",
        "--reason",
        "slipped",
    ])
    .exits(0);

    project.plan(&[
        ("R-1", 0, "1.00", "HKD", "came late"),
        ("R-2", 1, "9.00", "HKD", "slipped"),
        ("R-3", 2, whole, "HKD", "broken"),
        ("R-5", 3, "0.50", "HKD", "a gift"),
    ]);
    let corrected = project.shown("3");
    assert_eq!(
        (&corrected["failing"], &corrected["repeating"]),
        (&json!(0), &json!(0)),
        "{corrected:#}"
    );
    let differences = json!({
        "run": 2,
        "added": { "count": 1, "keys": ["R-5"] },
        "removed": { "count": 1, "keys": ["R-4"] },
        "changed": { "count": 1, "keys": ["R-2"] },
        "same": 2,
    });
    assert_eq!(corrected["differences"], differences);
    let hash = corrected["hash"].as_str().unwrap();
    let approve = [
        "approvals",
        "approve",
        "3",
        "--reason",
        "as agreed",
        "--hash",
        hash,
    ];
    app.payrun_as(&project.bob, &approve)
        .exits(0)
        .says(expect!["4 items released"]);
    app.payrun(&["run", "--resume", "--wait", "20s"]).exits(0);

    project.plan(&[
        ("X-1", 0, "1.00", "HKD", "came late"),
        ("X-2", 2, "0.02", "HKD", "broken"),
        ("X-3", 1, "3.00", "USD", "slipped"),
    ]);
    let again = project.shown("4");
    assert_eq!(
        (&again["repeating"], keys(&again["first_repeating"])),
        (&json!(1), vec!["X-1"]),
        "{again:#}"
    );
    let repeated = &again["first_repeating"][0];
    let repeats = &repeated["repeats"];
    assert_eq!(
        (
            &repeats["times"],
            &repeats["run"],
            &repeats["key"],
            &repeats["state"]
        ),
        (&json!(1), &json!(3), &json!("R-1"), &json!("succeeded"))
    );
    assert_eq!(
        (&repeated["refunded"], &repeated["refunds"]),
        (&json!("1.00"), &json!(1))
    );
    assert_eq!(
        (&again["failing"], keys(&again["first_failing"])),
        (&json!(2), vec!["X-2", "X-3"])
    );
    let given_back = format!("of which {whole} was given back");
    assert!(
        again["first_failing"][0]["will_fail"]
            .as_str()
            .unwrap()
            .contains(&given_back),
        "{again:#}"
    );
    assert_eq!(
        again["first_failing"][1]["will_fail_code"],
        "OTHER_CURRENCY"
    );
    assert_eq!(again["differences"]["same"], json!(0));

    let shown = app
        .payrun(&["approvals", "show", "4", "--rows", "1"])
        .exits(0);
    let shown = shown
        .says(expect!["2 rows are certain to fail"])
        .says(expect!["the same as item"])
        .says(expect!["reason: came late"]);
    shown
        .says(expect!["beside the batch of run 3: 3 added"])
        .says(expect!["--job refund --after HKD:100:"]);
    let page = app.json(&["approvals", "show", "4", "--rows", "1", "--json"])[0].clone();
    let place = page["next_after"].as_str().unwrap();
    let next = app.json(&[
        "approvals",
        "show",
        "4",
        "--rows",
        "1",
        "--job",
        "refund",
        "--after",
        place,
        "--json",
    ]);
    assert_eq!(
        (keys(&page["rows"]), keys(&next[0]["rows"])),
        (vec!["X-1"], vec!["X-2"])
    );
    let all = app.json(&["approvals", "show", "4", "--all", "--json"])[0].clone();
    assert_eq!(
        (keys(&all["rows"]), &all["next_after"]),
        (vec!["X-1", "X-2", "X-3"], &Value::Null),
        "by currency"
    );

    let service = Service::of(app);
    let reply = service.get(&project.bob, "/api/v1/runs/4/approvals/refund?limit=1");
    assert_eq!((reply.status, reply.body), (200, page.clone()));
    let reply = service.get(
        &project.bob,
        &format!("/api/v1/runs/4/approvals/refund?limit=2&after={place}"),
    );
    assert_eq!(
        (keys(&reply.body["rows"]), &reply.body["next_after"]),
        (vec!["X-2", "X-3"], &json!("USD:300:15"))
    );
    assert_eq!(
        service
            .get(&project.bob, "/api/v1/runs/4/approvals/deduct")
            .status,
        404
    );
    assert_eq!(
        service
            .get(&project.bob, "/api/v1/runs/4/approvals/refund?after=x")
            .status,
        400
    );
    service.stop().exits(0);
}

#[test]
fn a_repeat_is_seen_also_where_the_payment_goes_by_its_other_number_and_an_unknown_payment_is_called_so()
 {
    for server in [false, true] {
        let project = RefundProject::new(server);
        let app = &project.app;
        let by_transaction = WORKFLOW
            .replace("out_trade_no:", "transaction_id:")
            .replace("workflow: refunds", "workflow: others");
        app.write(
            "workflows/others.yaml",
            by_transaction.replace("refunds.csv", "others.csv"),
        );
        let charged = app.json_lines(&["items", "--json", "--job", "deduct"]);
        let transaction = charged[0]["receipt"].as_str().unwrap();
        let plan_other = |rows: &str| {
            app.write(
                "data/others.csv",
                format!("refund,order,amount,currency,why\n{rows}"),
            );
            app.payrun_as(&project.ann, &["run", "workflows/others.yaml"])
                .exits(4)
                .says(expect!["wait for approval"]);
        };
        plan_other(&format!(
            "T-1,{transaction},1.00,HKD,came late\nT-9,4200000000000000000000000001,1.00,HKD,?\n"
        ));
        let first = project.shown("2");
        assert_eq!(
            (&first["repeating"], &first["of_unknown_payments"]),
            (&json!(0), &json!(1)),
            "{first:#}"
        );
        let says = "payrun does not know this payment; what it paid before cannot be said";
        assert_eq!(first["rows"][1]["unknown_payment"], says);
        app.payrun(&["approvals", "show", "2"])
            .exits(0)
            .says(expect!["1 row is of payments that payrun does not know"]);

        project.plan(&[
            ("R-1", 0, "1.00", "HKD", "came late"),
            ("R-2", 1, "1.00", "HKD", "came late"),
        ]);
        let second = project.shown("3");
        assert_eq!(
            (&second["repeating"], keys(&second["first_repeating"])),
            (&json!(1), vec!["R-1"]),
            "{second:#}"
        );
        assert_eq!(second["first_repeating"][0]["repeats"]["key"], "T-1");
        assert_eq!(
            (
                &second["of_unknown_payments"],
                &second["rows"][0]["unknown_payment"]
            ),
            (&json!(0), &Value::Null)
        );
        app.payrun_as(
            &project.bob,
            &["approvals", "approve", "3", "--reason", "as agreed"],
        )
        .exits(0);
        app.payrun(&["run", "--resume", "--wait", "20s"]).exits(4);

        plan_other(&format!(
            "T-2,{transaction},1.00,HKD,came late\nT-3,{transaction},2.00,HKD,came late\n"
        ));
        let third = project.shown("4");
        assert_eq!(
            (&third["repeating"], keys(&third["first_repeating"])),
            (&json!(1), vec!["T-2"]),
            "{third:#}"
        );
        let repeats = &third["first_repeating"][0]["repeats"];
        assert_eq!(
            (&repeats["times"], &repeats["key"]),
            (&json!(2), &json!("R-1")),
            "{repeats}"
        );
        assert_eq!(third["of_unknown_payments"], 0);
    }
}

fn our_own_payment_by_the_gateways_number(server: bool) {
    let project = RefundProject::new(server);
    let app = &project.app;
    let by_either = WORKFLOW.replace(
        "      out_trade_no: \"{{ item.order }}\"\n",
        "      out_trade_no: \"{{ item.order }}\"\n      transaction_id: \"{{ item.transaction }}\"\n",
    );
    app.write(REFUNDS, by_either);
    let plan = |rows: &str| {
        app.write(
            "data/refunds.csv",
            format!("refund,order,transaction,amount,currency,why\n{rows}"),
        );
        app.payrun_as(&project.ann, &["run", REFUNDS])
            .exits(4)
            .says(expect!["wait for approval"]);
    };
    let charged = app.json_lines(&["items", "--json", "--job", "deduct"]);
    let receipt = |place: usize| charged[place]["receipt"].as_str().unwrap().to_owned();
    let (orders, whole) = (
        |place: usize| project.charged[place].0.clone(),
        project.charged[2].1.as_str(),
    );
    plan(&format!(
        "R-1,,{},1.00,HKD,late\nR-2,,{},9999.00,HKD,late\nR-3,,{},{whole},HKD,late\nR-4,{},,0.01,HKD,late\nR-5,,{},1.00,USD,late\n",
        receipt(0),
        receipt(1),
        receipt(2),
        orders(2),
        receipt(3),
    ));
    let shown = project.shown("2");
    assert_eq!(shown["of_unknown_payments"], 0, "{shown:#}");
    let row = |key: &str| {
        shown["rows"]
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["key"] == key)
            .unwrap()
            .clone()
    };
    assert_eq!(
        (&row("R-1")["paid"], &row("R-1")["refunded"]),
        (&json!(project.charged[0].1), &json!("0.00"))
    );
    assert_eq!(row("R-1")["unknown_payment"], Value::Null);
    let why = |key: &str| {
        row(key)["will_fail"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert!(why("R-2").contains(&project.charged[1].1), "{}", why("R-2"));
    for (key, code) in [("R-2", "EXCEEDS_PAYMENT"), ("R-5", "OTHER_CURRENCY")] {
        assert_eq!(row(key)["will_fail_code"], code);
    }
    assert_eq!(
        (&shown["failing"], &shown["crowded"]),
        (&json!(2), &json!(2)),
        "one payment by two numbers: {shown:#}"
    );
    let service = Service::of(app);
    let reply = service.get(&project.bob, "/api/v1/runs/2/approvals/refund");
    assert_eq!(
        (reply.status, &reply.body["of_unknown_payments"]),
        (200, &json!(0)),
        "{:#}",
        reply.body
    );
    service.stop().exits(0);
    app.payrun(&["approvals", "show", "2"])
        .exits(0)
        .says(expect!["2 rows are certain to fail"]);
    app.payrun(&[
        "approvals",
        "reject",
        "2",
        "--author",
        "cleo",
        "--reason",
        "slipped",
    ])
    .exits(0);
    // Planned by the other number, refused or not: the same of the same payment.
    plan(&format!("S-1,{},,1.00,HKD,late\n", orders(0)));
    plan(&format!("S-2,,{},1.00,HKD,late\n", receipt(0)));
    let third = project.shown("4");
    assert_eq!(
        (&third["repeating"], keys(&third["first_repeating"])),
        (&json!(1), vec!["S-2"]),
        "{third:#}"
    );
    assert_eq!(third["first_repeating"][0]["repeats"]["key"], "S-1");
}

#[test]
fn our_own_payment_is_known_also_by_the_gateways_number_before_it_was_looked_up() {
    our_own_payment_by_the_gateways_number(false);
}

#[test]
fn our_own_payment_is_known_on_a_server_too_by_the_gateways_number() {
    our_own_payment_by_the_gateways_number(true);
}

#[test]
fn whoever_approves_sees_what_fails_repeats_and_differs() {
    story(false);
}

#[test]
fn whoever_approves_on_a_server_sees_the_same() {
    story(true);
}

#[test]
fn a_batch_is_not_compared_with_a_run_that_had_no_items() {
    let project = RefundProject::new(false);
    project.plan(&[("R-1", 0, "1.00", "HKD", "came late")]);
    project.app.write(
        "data/refunds.csv",
        "refund,order,amount,currency,why\nR-2,0,nothing,HKD,slipped\n",
    );
    let empty = project.app.payrun_as(&project.ann, &["run", REFUNDS]);
    assert!(empty.stdout.contains("1 rejected") || empty.stderr.contains("1 rejected"));
    project.plan(&[("R-3", 1, "1.00", "HKD", "broken")]);
    assert_eq!(project.shown("4")["differences"]["run"], 2);
}
