//! What the gateway does wrong, one fault at a time and all together: where items must end, and
//! whose money moved.

use std::time::Duration;

use payrun::sandbox::faults::{CallKind, Fault, FaultPlan, Level};
use serde_json::json;

use crate::support::{App, DATE, Setup, WORKFLOW, contracts};

const ITEMS: u32 = 20;

/// Where orders end that meet this fault once.
enum Ends {
    /// All are charged in the end.
    Charged,
    /// All fail, and nobody is charged.
    Failed,
    /// The gateway decides, by draw.
    Either,
}

fn ends(fault: Fault) -> Ends {
    match fault {
        Fault::HardDecline => Ends::Failed,
        Fault::Pending => Ends::Either,
        Fault::Refused
        | Fault::ResetBefore
        | Fault::ResetAfter
        | Fault::SilentBefore
        | Fault::SilentAfter
        | Fault::ErrorBefore
        | Fault::ErrorAfter
        | Fault::Limited
        | Fault::WrongSignature
        | Fault::Truncated
        | Fault::OtherAmount
        | Fault::UnmappedCode
        | Fault::LateVisible
        | Fault::SoftDecline
        | Fault::Slow => Ends::Charged,
    }
}

fn meets_only(fault: Fault) {
    let app = App::of(Setup {
        faults: FaultPlan::only(fault),
        contracts: contracts("C", ITEMS),
        ..Setup::default()
    });
    let ended = app.run();
    let met = app
        .totals()
        .faults
        .get(fault.as_str())
        .copied()
        .unwrap_or(0);
    assert!(met >= u64::from(ITEMS), "{fault} was met {met} times only");
    let states = app.by_state();
    match ends(fault) {
        Ends::Charged => {
            assert_eq!(states, json!({ "succeeded": ITEMS }), "{fault}");
            ended.exits(0);
        }
        Ends::Failed => {
            assert_eq!(states, json!({ "failed": ITEMS }), "{fault}");
            ended.exits(3);
        }
        Ends::Either => {
            let of = |state: &str| states[state].as_u64().unwrap_or(0);
            assert_eq!(
                of("succeeded") + of("failed"),
                u64::from(ITEMS),
                "{fault}: {states}"
            );
            assert!(of("succeeded") > 0, "{fault}: {states}");
        }
    }
}

#[test]
fn every_fault_by_itself_ends_where_it_must_and_the_books_match() {
    for some in Fault::ALL.chunks(6) {
        std::thread::scope(|scope| {
            let tests: Vec<_> = some
                .iter()
                .map(|fault| scope.spawn(|| meets_only(*fault)))
                .collect();
            tests.into_iter().for_each(|test| test.join().unwrap());
        });
    }
}

fn mixed(level: Level, seed: u64, items: u32) {
    let latency = Duration::from_millis(3);
    let faults = FaultPlan::new(seed, level);
    let app = App::of(Setup {
        faults,
        latency,
        concurrency: 96,
        contracts: contracts("C", items),
        ..Setup::default()
    });
    app.run();
    let shown = app.json(&["show", "--json"]);
    assert_eq!(shown["items"], items);
    assert_eq!(shown["open"], 0, "{shown}");
    assert!(app.totals().faults.len() > 10, "{:?}", app.totals().faults);
}

#[test]
fn some_faults_mixed_leave_nothing_open_and_matching_books() {
    mixed(Level::Some, 11, 600);
}

#[test]
fn heavy_faults_mixed_leave_nothing_open_and_matching_books() {
    mixed(Level::Heavy, 12, 400);
}

#[test]
fn queries_that_fail_delay_an_end_and_never_change_it() {
    let faults = FaultPlan {
        on: Some(CallKind::Query),
        ..FaultPlan::new(5, Level::Heavy)
    };
    let rows = |ending: &str| -> String {
        (0..25)
            .map(|n| format!("Q-{n:03}{ending},basic,38.00,HKD,yes\n"))
            .collect()
    };
    let contracts = format!(
        "contract_id,plan,amount,currency,active\n{}{}{}",
        rows("-blocked"),
        rows("-poor"),
        rows("")
    );
    let app = App::of(Setup {
        faults,
        contracts,
        ..Setup::default()
    });
    app.run().exits(3);
    assert_eq!(app.by_state(), json!({ "succeeded": 25, "failed": 50 }));
    assert!(
        app.totals().faults.values().sum::<u64>() > 10,
        "{:?}",
        app.totals().faults
    );
}

#[test]
fn looking_orders_up_survives_every_fault_of_a_query() {
    let faults = [
        Fault::ResetBefore,
        Fault::SilentBefore,
        Fault::ErrorBefore,
        Fault::Limited,
        Fault::WrongSignature,
        Fault::Truncated,
    ];
    std::thread::scope(|scope| {
        let tests: Vec<_> = faults
            .into_iter()
            .map(|fault| scope.spawn(move || looked_up_despite(fault)))
            .collect();
        tests.into_iter().for_each(|test| test.join().unwrap());
    });
}

fn looked_up_despite(fault: Fault) {
    let faults = FaultPlan {
        on: Some(CallKind::Query),
        ..FaultPlan::only(fault)
    };
    let app = App::of(Setup {
        faults,
        contracts: contracts("C", 5),
        ..Setup::default()
    });
    app.payrun(&["run", WORKFLOW, "--date", DATE]).exits(0);
    let items = app.payrun(&["items", "--json"]).stdout;
    let numbers: Vec<String> = items
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["order_no"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    app.write(
        "data/orders.csv",
        format!("order\n{}\nnever-heard-of\n", numbers.join("\n")),
    );
    app.write(
        "workflows/lookup.yaml",
        "workflow: lookup\njobs:\n  look:\n    uses: query\n    gateway: hk\n    items: { file: ../data/orders.csv }\n    \
         key: \"{{ item.order }}\"\n    with: { out_trade_no: \"{{ item.order }}\" }\n    \
         retry: { attempts: 20, first: 50ms, max: 200ms }\n    \
         query: { schedule: [50ms, 100ms], grace: 1s, horizon: 1m }\n",
    );
    app.payrun(&["run", "workflows/lookup.yaml", "--date", DATE])
        .exits(3);
    assert_eq!(
        app.by_state(),
        json!({ "succeeded": 5, "failed": 1 }),
        "{fault}"
    );
}
