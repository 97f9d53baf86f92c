//! Files that went wrong at somebody's: each is read as it is meant, or refused with what to do. What a
//! person is told stands beside each file in `tests/cases`.

use serde_json::json;

use crate::support::planned_files::ReadyProject;
use crate::support::{App, DATE, WORKFLOW, root};

const DEDUCTIONS: [&str; 16] = [
    "amounts.csv",
    "corrected.csv",
    "currencies.csv",
    "description_mark.csv",
    "gbk.csv",
    "gbk_header.csv",
    "number_format.xlsx",
    "other_currency_limit.csv",
    "padded_header.csv",
    "padded_ids.csv",
    "scientific_contract.csv",
    "semicolons.csv",
    "tabs.csv",
    "thousands_point.csv",
    "twice.csv",
    "utf16.csv",
];

const REFUNDS: [&str; 6] = [
    "formulas.csv",
    "hidden_rows.xlsx",
    "long_number.csv",
    "long_number.xlsx",
    "number_format_refund.xlsx",
    "padded_orders.csv",
];

const CONTRACTS: [&str; 3] = ["formulas_contracts.csv", "padded_contracts.csv", "subs.csv"];

#[test]
fn every_file_that_went_wrong_is_read_as_it_is_meant_or_refused_with_what_to_do() {
    let project = ReadyProject::of("cases");
    for file in DEDUCTIONS {
        project.plan(file, "monthly-deductions", "contracts");
    }
    for file in REFUNDS {
        project.plan(file, "refund-batch", "refunds");
    }
    for file in CONTRACTS {
        project.import(file);
    }
    project.plan("buyers.csv", "customs-filing", "orders");
    project.has_tried(&[&DEDUCTIONS[..], &REFUNDS, &CONTRACTS, &["buyers.csv"]].concat());
}

#[test]
fn a_corrected_file_is_told_from_the_one_that_was_charged() {
    let app = App::with_contracts("");
    let charge = |file: &str| {
        let text = std::fs::read(root().join("tests/cases").join(file)).unwrap();
        app.write("data/contracts.csv", text);
        app.run().exits(3);
    };
    charge("twice.csv");
    assert_eq!(app.by_state(), json!({ "succeeded": 1, "rejected": 3 }));
    charge("corrected.csv");
    assert_eq!(app.by_state(), json!({ "succeeded": 1, "rejected": 1 }));
    assert_eq!(app.charges(), 2);
    let again = app.payrun(&["plan", WORKFLOW, "--date", DATE]);
    assert!(!again.stdout.contains("48.00 HKD"), "{}", again.stdout);
}
