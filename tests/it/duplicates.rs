//! The same thing given twice: to one process after another, to two at once, in two rows.

use expect_test::expect;
use std::time::Duration;

use payrun::sandbox::faults::{FaultPlan, Level};
use serde_json::{Value, json};

use crate::support::said::assert_said;
use crate::support::{App, DATE, PATIENCE, Setup, WORKFLOW, contracts};

#[test]
fn the_same_file_run_twice_charges_nobody_twice_and_says_what_was_skipped() {
    let app = App::with_contracts(&contracts("C", 30));
    app.run().exits(0).says(expect!["30 items, 1227.00 HKD"]);
    let again = app.run().exits(0);
    assert_said(
        &again.stderr,
        expect!["0 items, 30 skipped, planned before"],
    );
    assert_said(
        &again.stdout,
        expect!["run 1 has this key already (item 1, succeeded)"],
    );
    assert_eq!(app.charges(), 30);
    assert_eq!(app.by_state(), json!({ "skipped": 30 }));
}

#[test]
fn another_name_for_the_account_charges_nobody_again() {
    let app = App::with_contracts(&contracts("C", 3));
    app.run().exits(0);
    app.edit("payrun.yaml", "  hk:", "  hongkong:");
    app.edit(WORKFLOW, "gateway: hk", "gateway: hongkong");
    app.run()
        .exits(0)
        .says(expect!["0 items, 3 skipped, planned before"]);
    assert_eq!(app.charges(), 3);
}

#[test]
fn a_number_names_an_item_before_it_names_a_key() {
    let backwards = contracts("", 3)
        .replace("-0001", "x3")
        .replace("-0002", "x2")
        .replace("-0003", "x1")
        .replace('x', "");
    let app = App::with_contracts(&backwards);
    app.edit(
        WORKFLOW,
        "{{ item.contract_id }}/{{ run.month }}",
        "{{ item.contract_id }}",
    );
    app.run();
    let item = app.json(&["show", "--item", "3", "--json"]);
    assert_eq!(
        (&item["item"], &item["key"]),
        (&json!(3), &json!("1")),
        "{item}"
    );
}

#[test]
fn a_number_of_ones_own_leaves_room_for_dunning_and_does_not_look_like_it() {
    let app = App::with_contracts(&contracts("C", 1));
    let with_number = |number: &str| {
        let text = std::fs::read_to_string(app.path(WORKFLOW)).unwrap();
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.contains("order_number:"))
            .collect();
        let key = lines
            .iter()
            .position(|line| line.trim_start().starts_with("key:"))
            .unwrap();
        let mut lines: Vec<String> = lines.into_iter().map(str::to_owned).collect();
        lines.insert(key, format!("    order_number: \"{number}\""));
        app.write(WORKFLOW, lines.join("\n") + "\n");
    };
    with_number("{{ item.contract_id }}-aaaaaaaaaaaaaaaaaaaaaaaaa");
    app.run()
        .exits(3)
        .says(expect!["one of your own may have 27"]);
    with_number("{{ item.contract_id }}-2");
    app.run()
        .exits(3)
        .says(expect!["how dunning steps are told apart"]);
    assert_eq!(app.charges(), 0);
    with_number("{{ item.contract_id }}-nov");
    app.run().exits(0);
    assert_eq!(app.charges(), 1);
}

#[test]
fn the_next_month_charges_again() {
    let app = App::with_contracts(&contracts("C", 3));
    app.run().exits(0);
    app.payrun(&["run", WORKFLOW, "--date", "2026-04-30"])
        .exits(0);
    assert_eq!(app.charges(), 6);
}

#[test]
fn a_key_given_again_with_another_amount_is_rejected_and_not_sent() {
    let app = App::with_contracts(&contracts("C", 3));
    app.run().exits(0);
    app.edit(
        "data/contracts.csv",
        "C-0002,basic,40.00",
        "C-0002,basic,41.00",
    );
    app.run().exits(3).says(expect![
        "run 1 has this key with other content (item 2, succeeded, 40.00 HKD); give a new key"
    ]);
    assert_eq!(app.by_state(), json!({ "skipped": 2, "rejected": 1 }));
    assert_eq!(app.charges(), 3);
}

#[test]
fn a_row_that_is_mended_after_it_failed_is_told_that_it_needs_a_new_key() {
    let header = "contract_id,plan,amount,currency,active\n";
    let app = App::with_contracts(&format!("{header}C-1-blocked,basic,40.00,HKD,yes\n"));
    app.run().exits(3);
    app.edit("data/contracts.csv", "40.00", "41.00");
    app.run().exits(3).prints(
        "run 1 has this key with other content (item 1, failed, 40.00 HKD); a mended row needs a new key; as it was, `payrun \
         retry 1 --reason WHY` tries the item again",
    );
    assert_eq!(app.charges(), 0);
}

#[test]
fn who_gives_a_key_with_another_amount_is_told_that_it_is_open_with_the_old_one() {
    let app = App::with_contracts(&contracts("C", 3));
    app.payrun(&["pause", "all", "--author", "ann", "--reason", "a test"])
        .exits(0);
    app.run().exits(4);
    app.edit(
        "data/contracts.csv",
        "C-0002,basic,40.00",
        "C-0002,basic,41.00",
    );
    let reason = "run 1 has this key with other content (item 2, planned, 40.00 HKD), which is still open and is not \
                  changed by this row; give a new key if it is another thing";
    let told = app
        .payrun(&["plan", WORKFLOW, "--date", "2026-03-31", "--json"])
        .stdout;
    assert!(told.contains(reason), "{told}");
    app.run();
    let rejected = app.json_lines(&["items", "--state", "rejected", "--json"]);
    assert_eq!(rejected[0]["reason"], reason, "{rejected:#?}");
    app.payrun(&["resume", "all", "--author", "ann", "--reason", "a test"])
        .exits(0);
    app.payrun(&["run", "--resume"]).exits(0);
    assert_eq!(app.charges(), 3);
}

#[test]
fn two_processes_at_once_on_one_ledger_double_nothing_and_both_end_well() {
    let faults = FaultPlan::new(21, Level::Some);
    let app = App::of(Setup {
        faults,
        latency: Duration::from_millis(10),
        contracts: contracts("C", 200),
        ..Setup::default()
    });
    app.write("data/others.csv", contracts("D", 200));
    let same = ["run", WORKFLOW, "--date", DATE];
    let other = [
        "run",
        WORKFLOW,
        "--date",
        DATE,
        "--input",
        "data/others.csv",
    ];
    let processes = [app.start(&same), app.start(&same), app.start(&other)];
    for process in processes {
        let ended = process.wait(PATIENCE);
        assert!(matches!(ended.code(), Some(0 | 3)), "{ended:#?}");
    }
    let runs = app.json(&["runs", "--json"]);
    let sum = |state: &str| -> u64 {
        runs.as_array()
            .unwrap()
            .iter()
            .filter_map(|run| run["by_state"][state].as_u64())
            .sum()
    };
    assert_eq!(
        (sum("succeeded") + sum("failed"), sum("skipped")),
        (400, 200),
        "{runs}"
    );
    assert!(
        runs.as_array()
            .unwrap()
            .iter()
            .all(|run| run["state"] == "finished"),
        "{runs}"
    );
}

#[test]
fn two_processes_started_together_on_a_fresh_folder_both_open_the_ledger() {
    let app = App::with_contracts(&contracts("C", 4));
    let processes: Vec<_> = (0..4)
        .map(|_| app.start(&["run", WORKFLOW, "--date", DATE]))
        .collect();
    for process in processes {
        process.wait(PATIENCE).exits(0);
    }
    assert_eq!(app.charges(), 4);
}

#[test]
fn two_deductions_of_one_contract_are_never_in_flight_together() {
    // Slow enough that they would meet; with faults, so that some are unknown for a while.
    let faults = FaultPlan::new(8, Level::Some);
    let rows: String = (0..20)
        .flat_map(|n| ["a", "b", "c"].map(|part| format!("K-{n:03},{part},5.00,HKD,yes\n")))
        .collect();
    let contracts = format!("contract_id,plan,amount,currency,active\n{rows}");
    let app = App::of(Setup {
        faults,
        latency: Duration::from_millis(40),
        contracts,
        ..Setup::default()
    });
    app.edit(
        WORKFLOW,
        "{{ item.contract_id }}/{{ run.month }}",
        "{{ item.contract_id }}/{{ item.plan }}/{{ run.month }}",
    );
    let ended = app.run();
    assert!(matches!(ended.code(), Some(0 | 3)), "{ended:#?}");
    let shown = app.json(&["show", "--json"]);
    assert_eq!(
        (&shown["items"], &shown["open"]),
        (&Value::from(60), &Value::from(0)),
        "{shown}"
    );
    assert_eq!(app.totals().violations.get("overlapping_contract"), None);
}
