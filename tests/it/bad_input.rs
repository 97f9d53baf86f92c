//! What is refused: with a message that says where and what, and with nothing sent.

use expect_test::expect;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};

use payrun::ledger::{Ledger, LedgerError};

use crate::support::said::assert_said;
use crate::support::{App, DATE, ExitedProcess, PATIENCE, Setup, WORKFLOW, contracts, root};

const HEADER: &str = "contract_id,plan,amount,currency,active\n";

/// Refused before anything: exit code 2, the place and the words, and nobody charged.
#[track_caller]
fn refused(app: &App, words: &[&str]) {
    let ended = app.run().exits(2);
    for word in words {
        assert!(
            ended.stderr.contains(word),
            "{word:?} is not in\n{}",
            ended.stderr
        );
    }
    assert_eq!(app.charges(), 0);
}

/// A mistake in the workflow file.
#[track_caller]
fn workflow_with(from: &str, to: &str, words: &[&str]) {
    let app = App::with_contracts(&contracts("C", 2));
    app.edit(WORKFLOW, from, to);
    refused(&app, words);
}

/// Where a text stands in the test's workflow, as messages name it.
fn place(app: &App, text: &str) -> String {
    let yaml = std::fs::read_to_string(app.path(WORKFLOW)).unwrap();
    let before = &yaml[..yaml.find(text).unwrap()];
    let (line, column) = (
        before.matches('\n').count() + 1,
        before.len() - before.rfind('\n').map_or(0, |end| end + 1) + 1,
    );
    format!("{WORKFLOW}:{line}:{column}")
}

#[test]
fn broken_yaml_is_refused_with_its_place() {
    workflow_with(
        "uses: deduct",
        "uses: [deduct",
        &[&format!("{WORKFLOW}:"), "this is not YAML"],
    );
    workflow_with(
        "    uses: deduct",
        "  \tuses: deduct",
        &[&format!("{WORKFLOW}:")],
    );
}

#[test]
fn unknown_fields_are_refused_with_place_and_nearest_name() {
    let app = App::with_contracts(&contracts("C", 2));
    app.edit(WORKFLOW, "    retry:", "    rerty:");
    let here = place(&app, "rerty");
    refused(
        &app,
        &[&here, "unknown field \"rerty\"", "did you mean \"retry\"?"],
    );
}

#[test]
fn a_field_given_twice_is_refused() {
    workflow_with(
        "    uses: deduct",
        "    uses: deduct\n    uses: deduct",
        &[":5:5", "\"uses\" is given twice"],
    );
}

#[test]
fn every_mistake_is_reported_at_once() {
    let app = App::with_contracts(&contracts("C", 2));
    app.edit(WORKFLOW, "uses: deduct", "uses: deducted");
    app.edit(WORKFLOW, "gateway: hk", "gateway: hq");
    app.edit(WORKFLOW, "    dunning:", "    dunnning:");
    refused(
        &app,
        &[
            "no job kind \"deducted\"",
            "no gateway \"hq\"",
            "unknown field \"dunnning\"",
        ],
    );
}

#[test]
fn deep_and_huge_yaml_is_refused_quickly() {
    let app = App::with_contracts(&contracts("C", 2));
    let began = std::time::Instant::now();
    app.write(
        WORKFLOW,
        format!("workflow: {}{}\n", "[".repeat(20_000), "]".repeat(20_000)),
    );
    refused(&app, &[WORKFLOW]);
    app.write(
        WORKFLOW,
        format!("workflow: x\ndescription: \"{}\"\n", "x".repeat(20 << 20)),
    );
    refused(&app, &[WORKFLOW]);
    let laughs = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c]\n";
    app.write(WORKFLOW, laughs);
    refused(&app, &[WORKFLOW]);
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_template_that_names_a_missing_column_is_refused_with_the_nearest_one() {
    let app = App::with_contracts(&contracts("C", 2));
    app.edit(WORKFLOW, "{{ item.plan }}", "{{ item.plna }}");
    let here = place(&app, "\"{{ item.plna");
    refused(
        &app,
        &[&here, "there is no column \"plna\"; did you mean \"plan\"?"],
    );
}

#[test]
fn a_template_that_is_no_expression_is_refused() {
    workflow_with(
        "{{ item.plan }}",
        "{{ item.plan",
        &[WORKFLOW, "this is no expression"],
    );
    workflow_with(
        "\"{{ item.currency }}\"",
        "\"{{ itme.currency }}\"",
        &[WORKFLOW, "unknown name \"itme.currency\""],
    );
}

#[test]
fn unknown_names_are_refused() {
    workflow_with(
        "gateway: hk",
        "gateway: hq",
        &["payrun.yaml has no gateway \"hq\"", "did you mean \"hk\"?"],
    );
    workflow_with(
        "uses: deduct",
        "uses: deduce",
        &[
            "there is no job kind \"deduce\"",
            "did you mean \"deduct\"?",
        ],
    );
    workflow_with(
        "\"{{ item.currency }}\"",
        "HKX",
        &["\"HKX\" is not a currency code of ISO 4217"],
    );
}

#[test]
fn jobs_that_wait_for_each_other_are_refused() {
    let app = App::with_contracts(&contracts("C", 2));
    let yaml = std::fs::read_to_string(app.path(WORKFLOW)).unwrap();
    let (head, job) = yaml.split_at(yaml.find("  deduct:").unwrap());
    let first = job.replace("    uses: deduct", "    needs: [later]\n    uses: deduct");
    let second = job
        .replace("  deduct:", "  later:")
        .replace("    uses: deduct", "    needs: [deduct]\n    uses: deduct");
    app.write(WORKFLOW, format!("{head}{first}{second}"));
    refused(&app, &["these jobs wait for each other", "deduct", "later"]);
}

#[test]
fn over_a_limit_nothing_at_all_is_sent() {
    for (limits, words) in [
        (
            "    limits: { items: 9 }\n",
            "over its limit: more than 9 items; nothing was planned and nothing is sent",
        ),
        (
            "    limits: { total: { HKD: \"100.00\" } }\n",
            "over its limit: more than 100.00 HKD",
        ),
    ] {
        let app = App::of(Setup {
            contracts: contracts("C", 10),
            job: limits,
            ..Setup::default()
        });
        refused(&app, &[words]);
        assert_eq!(
            app.json(&["runs", "--json"]),
            json!([]),
            "nothing is planned either"
        );
    }
}

#[test]
fn a_row_in_a_currency_without_a_limit_is_refused_and_the_others_run() {
    let data = format!("{}C-usd,basic,3.00,USD,yes\n", contracts("C", 2));
    let limits = "    limits: { total: { HKD: \"1000.00\" } }\n";
    let app = App::of(Setup {
        contracts: data,
        job: limits,
        ..Setup::default()
    });
    app.run()
        .exits(3)
        .says(expect!["the job's limits.total names no USD, only HKD"]);
    assert_eq!(app.charges(), 2);
}

#[test]
fn an_amount_nobody_means_is_refused_unless_the_workflow_says_so_and_sums_never_overflow() {
    let mut csv = format!(
        "{HEADER}C-1,x,100000000.00,HKD,yes\nC-2,x,100000000.01,HKD,yes\nC-3,x,30000000000,VND,yes\n"
    );
    for contract in 4..7 {
        csv.push_str(&format!("C-{contract},x,46116860184273880.00,HKD,yes\n"));
    }
    let app = App::with_contracts(&csv.replace(HEADER, ""));
    app.write("data/contracts.csv", &csv);
    app.run().exits(3);
    assert_eq!(app.by_state(), json!({ "succeeded": 2, "rejected": 4 }));
    let reasons = app
        .payrun(&["items", "--state", "rejected", "--json"])
        .exits(0)
        .stdout;
    assert!(
        reasons.contains(
            "the amount 100000000.01 HKD is more than 100000000.00, the most that one item may be"
        ),
        "{reasons}"
    );
    let largest =
        "the amount 46116860184273880.00 is out of range; the largest is 10000000000000.00 HKD";
    assert_eq!(reasons.matches(largest).count(), 3, "{reasons}");
    for look in [vec!["runs"], vec!["show", "1"], vec!["items"]] {
        app.payrun(&look).exits(0);
    }
    let limits = "    limits: { item: { HKD: \"9000000000000.00\" } }\n";
    let app = App::of(Setup {
        contracts: String::new(),
        job: limits,
        ..Setup::default()
    });
    let rows = |amount: &str, rows: usize| {
        let row = |number| format!("C-{number},x,{amount},HKD,yes\n");
        (0..rows).map(row).collect::<String>()
    };
    app.write(
        "data/contracts.csv",
        format!("{HEADER}{}", rows("9000000000000.00", 103)),
    );
    refused(&app, &["its rows add up to more HKD than a ledger can sum"]);
    app.write(
        "data/contracts.csv",
        format!("{HEADER}{}", rows("9000000000000.00", 3)),
    );
    app.run().exits(0).says(expect!["27000000000000.00 HKD"]);
}

#[test]
fn of_one_key_with_two_amounts_neither_is_sent_though_one_cannot_be_read() {
    let (app, planned) = rows(
        b"contract_id,plan,amount,currency,active\nQ-1,x,100.00,HKD,yes\nQ-1,x,\"1,000.00\",HKD,yes\nQ-2,x,abc,HKD,yes\n\
          Q-2,x,5.00,HKD,yes\nQ-3,x,5.00,HKD,yes\nQ-4,x,5.00,HKD,yes\nQ-4,x,6.00,HKD,yes\nQ-5,x,7.00,RMB,no\nQ-5,x,7.00,HKD,yes\n",
    );
    assert_eq!(
        (&planned["items"], &planned["rejected"], &planned["totals"]),
        (&json!(2), &json!(6), &json!({ "HKD": "12.00" }))
    );
    app.run().exits(3);
    assert_eq!(
        (app.charges(), app.by_state()),
        (2, json!({ "succeeded": 2, "rejected": 6 }))
    );
    // A contract that stands twice in an import with two amounts is taken with neither.
    app.write("c.csv", "contract_id,amount,currency,start\nW-1,5.00,HKD,2026-01-31\nW-2,5.00,HKD,2026-01-31\nW-1,6.00,HKD,2026-01-31\n");
    let told = app
        .payrun(&[
            "contracts",
            "import",
            "c.csv",
            "--by",
            "ann",
            "--gateway",
            "hk",
        ])
        .exits(3);
    assert_eq!(
        told.stdout
            .matches("the contract W-1 stands in the file more than once")
            .count(),
        2,
        "{told:?}"
    );
    assert!(told.stdout.contains("1 new"), "{told:?}");
}

#[test]
fn files_that_are_not_there_are_named() {
    let app = App::with_contracts(&contracts("C", 2));
    app.payrun(&["run", "workflows/none.yaml"])
        .exits(2)
        .says(expect!["workflows/none.yaml"]);
    app.payrun(&["run", WORKFLOW, "--input", "data/none.csv"])
        .exits(2)
        .says(expect!["data/none.csv"]);
    app.payrun(&["run", WORKFLOW, "--config", "none.yaml"])
        .exits(2)
        .says(expect!["there is no none.yaml"]);
    app.write("data/contracts.csv", "");
    app.run().exits(2).says(expect!["contracts.csv"]);
    app.write(
        "data/contracts.csv",
        "contract_id,plan,amount,currency,active,plan\n",
    );
    app.run()
        .exits(2)
        .says(expect!["contracts.csv:1"])
        .says(expect!["plan"]);
}

/// The rows that are refused, with line and reason, while the good ones run.
fn rows(csv: &[u8]) -> (App, serde_json::Value) {
    let app = App::with_contracts("");
    app.write("data/contracts.csv", csv);
    let planned = app.json(&["plan", WORKFLOW, "--date", DATE, "--json"])["jobs"][0].clone();
    (app, planned)
}

#[test]
fn a_bom_crlf_quotes_empty_lines_and_unicode_are_fine() {
    let csv = "\u{feff}contract_id,plan,amount,currency,active\r\nC-1,\"ba, \"\"sic\"\"\",38.00,HKD,yes\r\n\r\n\
               C-2,プラン 金,38,HKD,yes\r\nC-3,Ünïcode ‏,1.5,HKD,yes";
    let (app, planned) = rows(csv.as_bytes());
    assert_eq!(
        (&planned["items"], &planned["rejected"]),
        (&json!(3), &json!(0)),
        "{planned:#}"
    );
    app.run().exits(0);
    assert_eq!(app.charges(), 3);
}

#[test]
fn a_row_that_is_refused_never_stops_the_others_and_is_listed_with_its_line() {
    let csv = b"contract_id,plan,amount,currency,active\n\
        C-2,x,38.00,HKD,yes\n\
        C-3,x,-1.00,HKD,yes\n\
        C-4,x,0,HKD,yes\n\
        C-5,x,1.005,HKD,yes\n\
        C-6,x,1.5,JPY,yes\n\
        C-7,x,99999999999999999999,HKD,yes\n\
        C-8,x,abc,HKD,yes\n\
        C-9,x,1.00,XXQ,yes\n\
        C-10,x,1.00,HKD\n\
        C-11,x,1.00,HKD,yes,extra\n\
        C-2,x,38.00,HKD,yes\n\
        ,x,1.00,HKD,yes\n\
        C-14,\"two\nlines\",1.00,HKD,yes\n\
        2.01507E+17,x,1.00,HKD,yes\n\
        C-17,x,1e3,HKD,yes\n\
        C-18,x,NaN,HKD,yes\n\
        C-19,x,\"1,000.00\",HKD,yes\n\
        C-20,x,38.00,HKD,yes\n";
    let (app, planned) = rows(csv);
    let refusals = planned["refusals"].as_array().unwrap().iter();
    let mut refusals: Vec<_> = refusals
        .map(|refusal| {
            (
                refusal["line"].as_u64().unwrap(),
                refusal["reason"].as_str().unwrap(),
            )
        })
        .collect();
    refusals.sort();
    let lines: Vec<String> = refusals
        .iter()
        .map(|(line, reason)| format!("{line:>2} {reason}"))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
     3 amount: the amount -1.00 is not above zero
     4 amount: the amount 0 is not above zero
     5 amount: the amount 1.005 has more decimals than HKD has (2); a point that separates thousands is left out
     6 amount: the amount 1.5 has more decimals than JPY has (0); a point that separates thousands is left out
     7 amount: the amount 99999999999999999999 is out of range; the largest is 10000000000000.00 HKD
     8 amount: "abc" is not a number (write it like 12.50)
     9 currency: "XXQ" is not a currency code of ISO 4217 (three capital letters, such as HKD)
    10 the row has 4 values and the header 5 columns; check quotes and commas
    11 the row has 6 values and the header 5 columns; check quotes and commas
    12 the key "C-2/2026-03" stands in line 2 already
    13 contract_id is empty
    14 description (column "plan") contains a control character (U+000A)
    16 contract_id is a number that a spreadsheet has shortened (such as 2.01507E+17), and its other digits are lost: format the column as text, and put the whole number in
    17 amount: "1e3" is not a number (write it like 12.50)
    18 amount: "NaN" is not a number (write it like 12.50)
    19 amount: "1,000.00" is not a number (write it like 12.50)
    "#);
    app.run().exits(3);
    assert_eq!(app.by_state(), json!({ "succeeded": 2, "rejected": 16 }));
    assert_eq!(app.charges(), 2);
    app.payrun(&["items", "--state", "rejected"])
        .exits(0)
        .says(expect!["1.005 has more decimals than HKD has (2)"]);
}

/// One contract, written as people and spreadsheets write it, and one whose name differs by its
/// capitals.
const PADDED: [&str; 12] = [
    "WxS1",
    "WxS1 ",
    " WxS1",
    "WxS1\t",
    "`WxS1",
    "'WxS1",
    "WxS1\u{a0}",
    "WxS1\u{3000}",
    "\u{feff}WxS1",
    "WxS1\u{200b}",
    "wxs1",
    "WxS1  ",
];

#[test]
fn an_id_with_blanks_around_it_is_the_same_id_and_one_with_marks_is_refused() {
    let csv = PADDED.map(|id| format!("{id},x,38.00,HKD,yes\n")).concat();
    let lines = PADDED.map(|id| {
        json!({ " contract_id": id, "plan": "x", "amount": "38.00", "currency": "HKD", "active": "yes" }).to_string()
            + "\n"
    });
    for (name, text) in [
        ("data/contracts.csv", format!("{HEADER}{csv}")),
        ("data/c.jsonl", lines.concat()),
    ] {
        let app = App::with_contracts("");
        app.write(name, text);
        let plan = [
            "plan",
            WORKFLOW,
            "--date",
            DATE,
            "--input",
            &app.path(name).display().to_string(),
            "--json",
        ];
        let planned = app.json(&plan)["jobs"][0].clone();
        assert_eq!(
            (&planned["items"], &planned["skipped"], &planned["rejected"]),
            (&json!(2), &json!(0), &json!(10))
        );
        let refusals: Vec<&str> = planned["refusals"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["reason"].as_str().unwrap())
            .collect();
        assert_eq!(
            refusals
                .iter()
                .filter(|reason| reason.contains("stands in line"))
                .count(),
            8,
            "{refusals:?}"
        );
        assert!(
            refusals
                .iter()
                .any(|reason| reason.contains("contract_id begins with a back-tick")),
            "{refusals:?}"
        );
        assert!(
            refusals
                .iter()
                .any(|reason| reason.contains("contract_id begins with an apostrophe")),
            "{refusals:?}"
        );
        let trimmed = &planned["trimmed"][0];
        assert_eq!(
            (&trimmed["column"], &trimmed["rows"]),
            (&json!("contract_id"), &json!(8))
        );
        app.payrun(&[
            "run",
            WORKFLOW,
            "--date",
            DATE,
            "--input",
            &app.path(name).display().to_string(),
        ])
        .exits(3);
        assert_eq!(app.charges(), 2);
    }
}

#[test]
fn a_name_with_a_blank_a_semicolon_or_a_mark_within_is_refused_in_the_key_and_in_every_field() {
    let app = App::with_contracts("");
    let ids = ["C;2", "C 3", "C'4", "C,5"];
    let csv = ids.map(|id| format!("\"{id}\",x,38.00,HKD,yes\n")).concat();
    app.write(
        "data/contracts.csv",
        format!("{HEADER}C-1,x,38.00,HKD,yes\n{csv}"),
    );
    let planned = app.json(&["plan", WORKFLOW, "--date", DATE, "--json"])["jobs"][0].clone();
    assert_eq!(
        (&planned["items"], &planned["rejected"]),
        (&json!(1), &json!(4))
    );
    let refusals = planned["refusals"].as_array().unwrap();
    let words = [
        "contains a semicolon",
        "contains blank U+0020",
        "contains an apostrophe",
        "contains a comma",
    ];
    for (refusal, word) in refusals.iter().zip(words) {
        let reason = refusal["reason"].as_str().unwrap();
        assert!(reason.contains(&format!("contract_id {word}")), "{reason}");
        assert_said(
            reason,
            expect!["leave the row out if it was done under that name before"],
        );
    }
    // A refund's own number stands in the key alone.
    app.write(
        "data/refunds.csv",
        "refund,order,amount\nR 4,P-1,5.00\nR;5,P-1,5.00\nR-6,P 2,5.00\nR-7,P-3,5.00\n",
    );
    app.write(
        "workflows/refunds.yaml",
        "workflow: refunds\njobs:\n  back:\n    uses: refund\n    gateway: hk\n    approval: off\n    \
         items: { file: ../data/refunds.csv }\n    key: \"{{ item.refund }}\"\n    with:\n      \
         out_trade_no: \"{{ item.order }}\"\n      amount: \"{{ item.amount }}\"\n      currency: HKD\n",
    );
    let planned = app.json(&["plan", "workflows/refunds.yaml", "--json"])["jobs"][0].clone();
    assert_eq!(
        (&planned["items"], &planned["rejected"]),
        (&json!(1), &json!(3)),
        "{planned}"
    );
    let reasons: Vec<&str> = planned["refusals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["reason"].as_str().unwrap())
        .collect();
    assert!(
        reasons[0].starts_with("refund contains blank U+0020"),
        "{reasons:?}"
    );
    assert!(
        reasons[1].starts_with("refund contains a semicolon"),
        "{reasons:?}"
    );
    assert!(
        reasons[2].starts_with("order contains blank U+0020"),
        "{reasons:?}"
    );
}

#[test]
fn a_contract_above_the_largest_amount_of_an_item_is_not_imported() {
    let app = App::with_contracts(HEADER);
    let import = |app: &App| {
        app.payrun(&[
            "contracts",
            "import",
            "c.csv",
            "--by",
            "ann",
            "--gateway",
            "hk",
        ])
    };
    app.write(
        "c.csv",
        "contract_id,amount,currency,start\nC-1,38.00,HKD,2026-01-31\nC-2,100000000.01,HKD,2026-01-31\nC-3,100000000.00,HKD,2026-01-31\n",
    );
    let told = import(&app).exits(3);
    let words =
        "the amount 100000000.01 HKD is more than 100000000.00, the most that one item may be";
    assert!(
        told.stdout.contains(words) && told.stdout.contains("2 new"),
        "{told:?}"
    );
    // What the workflow that charges contracts allows, and no less.
    app.write(
        "workflows/subscriptions.yaml",
        "workflow: subscriptions\njobs:\n  charge:\n    uses: deduct\n    gateway: hk\n    items: { contracts: active, due: run }\n    \
         limits: { item: { HKD: 50.00 } }\n    with:\n      contract_id: \"{{ item.contract_id }}\"\n      \
         amount: \"{{ item.amount }}\"\n      currency: \"{{ item.currency }}\"\n      description: x\n      \
         merchant_category_code: \"4111\"\n",
    );
    app.payrun(&["check"]).exits(0);
    app.write(
        "c.csv",
        "contract_id,amount,currency,start\nC-4,50.01,HKD,2026-01-31\nC-5,50.00,HKD,2026-01-31\n",
    );
    let told = import(&app).exits(3);
    assert!(
        told.stdout
            .contains("the amount 50.01 HKD is more than 50.00")
            && told.stdout.contains("1 new"),
        "{told:?}"
    );
}

#[test]
fn contracts_are_imported_under_the_id_without_blanks() {
    let app = App::with_contracts("");
    let rows = PADDED
        .map(|id| format!("{id},38.00,HKD,2026-01-31\n"))
        .concat();
    app.write(
        "c.csv",
        format!("contract_id ,amount, currency,start\n{rows}"),
    );
    let told = app
        .payrun(&[
            "contracts",
            "import",
            "c.csv",
            "--by",
            "ann",
            "--gateway",
            "hk",
        ])
        .exits(3);
    assert!(
        told.stdout.contains("2 new")
            && told.stdout.contains("contract_id begins with a back-tick"),
        "{told:?}"
    );
    let ids = app.json_lines(&["contracts", "list", "--json"]);
    let ids: Vec<&str> = ids
        .iter()
        .map(|one| one["contract_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["WxS1", "wxs1"]);
}

#[test]
fn what_where_leaves_out_is_counted_by_value_and_a_value_that_is_nearly_one_it_names_is_refused() {
    let (app, planned) = rows(
        b"contract_id,plan,amount,currency,active \nC-1,x,38.00,HKD,yes\nC-2,x,38.00,HKD,no\nC-3,x,38.00,HKD,no\n\
          C-4,x,38.00,HKD,\nC-5,x,38.00,HKD,Yes\nC-6,x,38.00,HKD,yes \nC-7,x,38.00,HKD,\xef\xbc\xb9ES\nC-8,x,38.00,HKD,left\n",
    );
    assert_eq!(
        (
            &planned["items"],
            &planned["left_out"],
            &planned["rejected"]
        ),
        (&json!(1), &json!(4), &json!(3))
    );
    assert_eq!(
        planned["left_out_by_value"],
        json!({ "active=no": 2, "active=": 1, "active=left": 1 })
    );
    for refusal in planned["refusals"].as_array().unwrap() {
        let reason = refusal["reason"].as_str().unwrap();
        assert_said(
            reason,
            expect!["active differs from \"yes\" only by blanks, capitals or width"],
        );
    }
    let told = app
        .payrun(&["plan", WORKFLOW, "--date", DATE, "--left-out"])
        .exits(3);
    assert_said(
        &told.stdout,
        expect!["4 left out by where (1 with active=; 1 with active=left; 2 with active=no)"],
    );
    assert!(told.stdout.contains("9  active=left"), "{told:?}");
    // What is not to be charged must not be charged by a capital letter either.
    app.edit(WORKFLOW, "item.active == \"yes\"", "item.active != \"no\"");
    app.write(
        "data/contracts.csv",
        format!("{HEADER}C-1,x,38.00,HKD,No\nC-2,x,38.00,HKD,no\n"),
    );
    let planned = app.json(&["plan", WORKFLOW, "--date", DATE, "--json"])["jobs"][0].clone();
    assert_eq!(
        (
            &planned["items"],
            &planned["left_out"],
            &planned["rejected"]
        ),
        (&json!(0), &json!(1), &json!(1))
    );
}

#[test]
fn where_with_lower_or_trim_refuses_a_value_that_still_differs_by_blanks_or_case() {
    for (condition, values, charged, refused) in [
        (
            "item.active|lower == \"yes\"",
            ["yes", "Yes", "yes ", "no"],
            2,
            1,
        ),
        (
            "item.active|trim == \"yes\"",
            ["yes", "Yes", "yes ", "no"],
            2,
            1,
        ),
        (
            "item.active | trim | lower == \"yes\"",
            ["yes", "YES ", "\u{ff39}es", "no"],
            2,
            1,
        ),
        (
            "item.active|lower != \"no\"",
            ["yes", "No", "no ", "no"],
            1,
            1,
        ),
        (
            "item.active|lower in [\"yes\", \"y\"]",
            ["yes", "Y", "y ", "no"],
            2,
            1,
        ),
    ] {
        let app = App::with_contracts("");
        app.edit(WORKFLOW, "item.active == \"yes\"", condition);
        let rows: String = values
            .iter()
            .enumerate()
            .map(|(n, value)| format!("C-{n},x,38.00,HKD,{value}\n"))
            .collect();
        app.write("data/contracts.csv", format!("{HEADER}{rows}"));
        let planned = app.json(&["plan", WORKFLOW, "--date", DATE, "--json"])["jobs"][0].clone();
        assert_eq!(
            (&planned["items"], &planned["rejected"]),
            (&json!(charged), &json!(refused)),
            "{condition}: {planned}"
        );
        let reason = planned["refusals"][0]["reason"].as_str().unwrap();
        assert_said(reason, expect!["only by blanks, capitals or width"]);
    }
}

#[test]
fn a_plan_shows_every_refused_row_with_its_whole_reason_to_who_asks() {
    let wrong: String = (1..=60)
        .map(|n| format!("C-{n},x,46116860184273880.00,HKD,yes\n"))
        .collect();
    let (app, planned) = rows(format!("{HEADER}{wrong}C-99,\"x\",150.000,HKD,yes\n").as_bytes());
    assert_eq!(
        planned["refusals"].as_array().unwrap().len(),
        61,
        "all of them"
    );
    let few = app.payrun(&["plan", WORKFLOW, "--date", DATE]).exits(3);
    assert_said(
        &few.stdout,
        expect!["and 51 more: `payrun plan --rows all`"],
    );
    let shown = |more: &[&str]| {
        app.payrun(&[&["plan", WORKFLOW, "--date", DATE][..], more].concat())
            .exits(3)
            .stdout
    };
    let whole = "the amount 150.000 has more decimals than HKD has (2); a point that separates thousands is left out";
    for more in [&["--all"][..], &["--rows", "all"], &["--rows", "61"]] {
        let all = shown(more);
        assert_eq!(all.matches(" rejected ").count(), 61, "{all}");
        assert!(
            all.contains(whole) && !all.contains("…") && !all.contains("payrun plan --rows"),
            "{all}"
        );
    }
    let json = app.json(&["plan", WORKFLOW, "--date", DATE, "--rows", "7", "--json"]);
    assert_eq!(json["jobs"][0]["refusals"].as_array().unwrap().len(), 20);
}

#[test]
fn a_quote_that_is_never_closed_does_not_swallow_the_file_in_silence() {
    let (app, _) = rows(
        format!(
            "{HEADER}C-1,x,38.00,HKD,yes\nC-2,\"x,38.00,HKD,yes\n{}",
            "C-3,x,38.00,HKD,yes\n".repeat(9)
        )
        .as_bytes(),
    );
    let ended = app.run();
    assert_eq!(ended.code(), Some(3), "{ended:#?}");
    assert_eq!(
        (app.charges(), app.by_state()),
        (1, json!({ "succeeded": 1, "rejected": 10 })),
        "each line by itself"
    );
}

#[test]
fn an_order_number_that_is_too_long_or_has_a_space_is_refused() {
    let app = App::with_contracts(&contracts("C", 1));
    app.write(
        "data/orders.csv",
        format!("order\n{}\na b\nfine-1\n", "x".repeat(33)),
    );
    app.write(
        "workflows/lookup.yaml",
        "workflow: lookup\njobs:\n  look:\n    uses: query\n    gateway: hk\n    items: { file: ../data/orders.csv }\n    \
         key: \"{{ item.order }}\"\n    with: { out_trade_no: \"{{ item.order }}\" }\n",
    );
    let planned = app.json(&["plan", "workflows/lookup.yaml", "--json"]);
    let refusals = planned["jobs"][0]["refusals"].as_array().unwrap();
    assert_eq!(
        refusals
            .iter()
            .map(|refusal| refusal["line"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [2, 3],
        "{planned:#}"
    );
    app.payrun(&["run", "workflows/lookup.yaml"]).exits(3);
}

#[test]
fn a_key_file_that_is_no_key_is_refused_and_not_shown() {
    let app = App::with_contracts(&contracts("C", 1));
    app.write("keys/merchant_key.pem", "hunter2 is no key\n");
    app.run()
        .exits(2)
        .says(expect!["payrun.yaml:10:19"])
        .says(expect!["this is no key"])
        .never_says("hunter2");
    app.write(
        "keys/merchant_key.pem",
        "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n",
    );
    let ended = app.run().never_says("aHVudGVyMg");
    assert_eq!(ended.code(), Some(2), "{ended:#?}");
    std::fs::remove_file(app.path("keys/merchant_key.pem")).unwrap();
    app.run().exits(2).says(expect!["keys/merchant_key.pem"]);
    assert_eq!(app.charges(), 0);
}

#[test]
fn an_inline_secret_is_refused_and_not_echoed() {
    let app = App::with_contracts(&contracts("C", 1));
    app.edit(
        "payrun.yaml",
        "{ file: keys/api_v3_key.txt }",
        "hunter2hunter2hunter2hunter2hunt",
    );
    app.run()
        .exits(2)
        .says(expect!["payrun.yaml:12:17"])
        .says(expect!["a secret must not stand in the file"])
        .never_says("hunter2");
    app.payrun(&["check"]).exits(2).never_says("hunter2");
}

#[test]
fn a_ledger_of_a_newer_payrun_is_refused() {
    let app = App::with_contracts(&contracts("C", 1));
    app.run().exits(0);
    app.wait_for(async {
        let mut ledger = SqliteConnectOptions::new().filename(app.database()).connect().await.unwrap();
        let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'later', 1, x'00', 0)";
        sqlx::query(newer).execute(&mut ledger).await.unwrap();
        ledger.close().await.unwrap();
    });
    app.run().exits(2).says(expect![
        "was written by a newer payrun (schema 9999, this one knows"
    ]);
    app.wait_for(async {
        let mut ledger = SqliteConnectOptions::new()
            .filename(app.database())
            .connect()
            .await
            .unwrap();
        sqlx::query("delete from _sqlx_migrations where version = 9999")
            .execute(&mut ledger)
            .await
            .unwrap();
        ledger.close().await.unwrap();
    });
    assert_eq!(app.charges(), 1);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let app = App::with_contracts(&contracts("C", 1));
    let text = "this is a letter to my aunt, and not a database at all\n".repeat(100);
    app.write("payrun.db", &text);
    let ended = app.run().exits(1).says(expect!["payrun.db"]);
    assert!(!ended.stderr.is_empty());
    assert_eq!(std::fs::read_to_string(app.database()).unwrap(), text);
    std::fs::remove_file(app.database()).unwrap();
}

#[test]
fn a_ledger_that_another_process_holds_is_waited_for_and_then_named() {
    let app = App::with_contracts(&contracts("C", 2));
    app.payrun(&["plan", WORKFLOW]).exits(0);
    app.wait_for(async {
        let mut other = SqliteConnectOptions::new()
            .filename(app.database())
            .connect()
            .await
            .unwrap();
        sqlx::query("begin immediate")
            .execute(&mut other)
            .await
            .unwrap();
        let began = std::time::Instant::now();
        let ended = tokio::task::spawn_blocking({
            let running = app.start(&["run", WORKFLOW, "--date", DATE]);
            move || running.wait(PATIENCE)
        });
        ended
            .await
            .unwrap()
            .exits(1)
            .says(expect!["the ledger is locked by another process"])
            .says(expect!["run again"]);
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "the wait has a bound: {:?}",
            began.elapsed()
        );
        assert_eq!(app_charges(&app).await, 0);
        sqlx::query("rollback").execute(&mut other).await.unwrap();
        other.close().await.unwrap();
    });
    app.run().exits(0);
    assert_eq!(app.charges(), 2);
}

async fn app_charges(app: &App) -> u64 {
    app.sandbox()
        .totals()
        .await
        .unwrap()
        .charged
        .values()
        .map(|charged| charged.count)
        .sum()
}

#[test]
fn a_ledger_that_is_locked_as_a_whole_cannot_be_opened_and_says_so() {
    let app = App::with_contracts(&contracts("C", 1));
    app.wait_for(async {
        let mut other = SqliteConnectOptions::new()
            .filename(app.database())
            .create_if_missing(true)
            .connect()
            .await
            .unwrap();
        for statement in [
            "create table t (x)",
            "begin exclusive",
            "insert into t values (1)",
        ] {
            sqlx::query(statement).execute(&mut other).await.unwrap();
        }
        let refused = Ledger::open_waiting(&app.database(), Duration::from_millis(200)).await;
        assert!(
            matches!(refused, Err(LedgerError::Busy { .. })),
            "{refused:?}"
        );
        sqlx::query("rollback").execute(&mut other).await.unwrap();
        sqlx::query("drop table t")
            .execute(&mut other)
            .await
            .unwrap();
        other.close().await.unwrap();
    });
    app.run().exits(0);
}

/// Runs a script in a mount namespace of its own with a disk of so many KiB at `full/`; none where
/// that is not possible.
fn with_a_small_disk(app: &App, kib: u32, script: &str) -> Option<ExitedProcess> {
    std::fs::create_dir_all(app.path("full")).unwrap();
    let mount = &format!("mount -t tmpfs -o size={kib}k tmpfs full");
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .current_dir(app.path(""));
        command
    };
    let possible = unshare(mount)
        .output()
        .is_ok_and(|output| output.status.success());
    if !possible {
        eprintln!("no small disk can be mounted here; this test shows nothing");
        return None;
    }
    let mut command = unshare(&format!("set -e; {mount}; {script}"));
    command.env("PAYRUN", env!("CARGO_BIN_EXE_payrun"));
    Some(crate::support::Running::start(command).wait(PATIENCE))
}

#[test]
fn a_disk_that_is_full_stops_the_sending_and_a_resume_with_room_ends_with_matching_books() {
    let app = App::of(Setup {
        contracts: contracts("C", 1500),
        latency: Duration::from_millis(2),
        ..Setup::default()
    });
    app.edit(
        "payrun.yaml",
        "database: payrun.db",
        "database: full/payrun.db",
    );
    let script = format!(
        "set +e; $PAYRUN run {WORKFLOW} --date {DATE}; echo \"first: $?\"; \
         mount -o remount,size=64m full; $PAYRUN run --resume >resumed.txt 2>&1; echo \"second: $?\"; \
         cp -r full/payrun.db* . && echo saved"
    );
    let Some(ended) = with_a_small_disk(&app, 3 << 10, &script) else {
        return;
    };
    let ended = ended
        .says(expect!["first: 1"])
        .says(expect!["the disk of the ledger is full"])
        .says(expect!["second: 0"])
        .says(expect!["saved"]);
    let complaints = ended.stderr.matches("is full").count();
    assert!(
        complaints < 20,
        "it says so {complaints} times:\n{}",
        ended.stderr
    );
    assert!(ended.took < Duration::from_secs(90), "{ended:?}");
    app.edit(
        "payrun.yaml",
        "database: full/payrun.db",
        "database: payrun.db",
    );
    assert_eq!(app.charges(), 1500);
    assert_eq!(app.by_state(), json!({ "succeeded": 1500 }));
}

#[test]
fn a_plan_that_does_not_fit_on_the_disk_plans_nothing_and_says_so() {
    let app = App::with_contracts(&contracts("C", 20_000));
    app.edit(
        "payrun.yaml",
        "database: payrun.db",
        "database: full/payrun.db",
    );
    let script = format!(
        "set +e; $PAYRUN run {WORKFLOW} --date {DATE}; echo \"first: $?\"; $PAYRUN runs --json"
    );
    let Some(ended) = with_a_small_disk(&app, 3 << 10, &script) else {
        return;
    };
    ended
        .says(expect!["first: 1"])
        .says(expect!["the disk of the ledger is full: planning"])
        .says(expect!["[]"]);
    assert_eq!(app.charges(), 0);
}

#[test]
fn a_schema_that_does_not_fit_on_the_disk_is_said_and_made_when_there_is_room() {
    let app = App::with_contracts(&contracts("C", 3));
    app.edit(
        "payrun.yaml",
        "database: payrun.db",
        "database: full/payrun.db",
    );
    let script = format!(
        "set +e; $PAYRUN tokens list; echo \"first: $?\"; mount -o remount,size=64m full; \
         $PAYRUN run {WORKFLOW} --date {DATE}; echo \"second: $?\"; cp -r full/payrun.db* ."
    );
    let Some(ended) = with_a_small_disk(&app, 512, &script) else {
        return;
    };
    ended
        .says(expect!["first: 1"])
        .says(expect!["the disk of the ledger is full: making its tables"])
        .says(expect!["second: 0"]);
    app.edit(
        "payrun.yaml",
        "database: full/payrun.db",
        "database: payrun.db",
    );
    assert_eq!(app.charges(), 3);
}

#[test]
fn the_shipped_workflow_is_without_mistakes() {
    let app = App::with_contracts(&contracts("C", 1));
    let shipped =
        std::fs::read_to_string(root().join("workflows/monthly-deductions.yaml")).unwrap();
    app.write("workflows/shipped.yaml", shipped);
    app.payrun(&["check"]).exits(0);
}
