//! `payrun simulate`: the user's own workflow, played from seeds.

use serde_json::Value;

use crate::support::{App, DATE, WORKFLOW, contracts};

/// The workflow as a user has it, with the waits of a real gateway.
fn project() -> App {
    let app = App::with_contracts(&contracts("C", 10));
    let shipped =
        std::fs::read_to_string(crate::support::root().join("workflows/refund-batch.yaml"))
            .unwrap();
    app.write("workflows/refunds.yaml", shipped);
    let rows = (1..=8_u32).map(|n| format!("R-{n},ORDER-{},1{n}.50,HKD,broken\n", n.div_ceil(2)));
    let rows: String = rows.collect();
    app.write(
        "data/refunds.csv",
        format!("refund,order,amount,currency,reason\n{rows}"),
    );
    app
}

fn simulated(app: &App, workflow: &str, more: &[&str]) -> Value {
    let arguments = ["simulate", workflow, "--date", DATE, "--json"];
    app.json(&[&arguments, more].concat())
}

#[test]
fn every_promise_is_kept_when_everything_fails() {
    let app = project();
    for workflow in [WORKFLOW, "workflows/refunds.yaml"] {
        let told = simulated(&app, workflow, &["--seeds", "25"]);
        assert_eq!(
            (&told["seeds"], &told["failed_seeds"]),
            (&Value::from(25), &Value::from(0)),
            "{told:#}"
        );
        for disruption in [
            "died",
            "stood still",
            "clock jumped",
            "settle committed and not told",
            "timed out",
        ] {
            assert!(
                told["disruptions"][disruption].as_u64() > Some(0),
                "nothing {disruption}: {told:#}"
            );
        }
    }
    assert_eq!(app.charges(), 0, "a play sends nothing");
    assert!(!app.database().exists(), "and keeps nothing");
}

#[test]
fn a_seed_goes_the_same_way_again_alone_or_among_others() {
    let app = project();
    let alone = |more: &[&str]| {
        let mut told = simulated(
            &app,
            WORKFLOW,
            &[&["--seed", "7", "--seeds", "1"], more].concat(),
        );
        told["seconds"] = Value::Null;
        told
    };
    let first = alone(&[]);
    assert_eq!(first, alone(&["--threads", "1"]));
    let other = simulated(&app, WORKFLOW, &["--seed", "8", "--seeds", "1"]);
    assert_ne!(first["disruptions"], other["disruptions"]);
    let both = simulated(
        &app,
        WORKFLOW,
        &["--seed", "7", "--seeds", "2", "--threads", "2"],
    );
    let number = |told: &Value| told.as_u64().unwrap_or(0);
    assert_eq!(
        number(&both["calls"]),
        number(&first["calls"]) + number(&other["calls"])
    );
    for (disruption, times) in both["disruptions"].as_object().unwrap() {
        assert_eq!(
            number(times),
            number(&first["disruptions"][disruption]) + number(&other["disruptions"][disruption]),
            "{disruption}"
        );
    }
}

#[test]
fn in_calm_only_the_gateway_fails() {
    let app = project();
    let told = simulated(
        &app,
        WORKFLOW,
        &["--calm", "--faults", "some", "--seeds", "5"],
    );
    assert_eq!(told["failed_seeds"], 0);
    let others: Vec<&String> = told["disruptions"]
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| !name.starts_with("gateway: "))
        .collect();
    assert_eq!(others, Vec::<&String>::new());
}
