//! Contracts that live in payrun: taken in from files, charged when they fall due, and told what
//! became of it.

use expect_test::expect;
use std::time::Duration;

use payrun::sandbox::faults::{Fault, FaultPlan};
use serde_json::{Value, json};

use crate::support::postgres::Schema;
use crate::support::said::assert_said;
use crate::support::{App, Setup, until};

const CHARGE: &str = "workflows/subscriptions.yaml";

/// The shipped workflow, impatient as a test is.
fn workflow(more: &str) -> String {
    let text = std::fs::read_to_string(crate::support::root().join("workflows/subscriptions.yaml"))
        .unwrap();
    let hasty = "    retry: { attempts: 40, first: 50ms, max: 500ms }\n    \
                 query: { schedule: [50ms, 100ms, 200ms, 400ms], grace: 1200ms, horizon: 5m }\n    \
                 dunning: [200ms, 400ms]\n";
    text.replace("    dunning: [1d, 3d, 7d]\n", &format!("{hasty}{more}"))
}

/// A project with these contracts taken in.
fn project(rows: &str) -> App {
    project_of(rows, Setup::default())
}

fn project_of(rows: &str, setup: Setup) -> App {
    let app = App::of(setup);
    app.write(CHARGE, workflow(""));
    app.write(
        "data/subscriptions.csv",
        format!("contract_id,amount,currency,start,anchor_day,description\n{rows}"),
    );
    app.payrun(&[
        "contracts",
        "import",
        "data/subscriptions.csv",
        "--by",
        "ann",
    ])
    .exits(0);
    app
}

fn charge(app: &App, date: &str) -> crate::support::ExitedProcess {
    app.payrun(&["run", CHARGE, "--date", date])
}

fn show(app: &App, id: &str) -> Value {
    app.json(&["contracts", "show", id, "--json"])
}

/// The periods of a contract and what became of them.
fn periods(app: &App, id: &str) -> Vec<String> {
    let told = show(app, id);
    let text = |period: &Value| {
        format!(
            "{} {}",
            period["period"].as_str().unwrap(),
            period["state"].as_str().unwrap()
        )
    };
    told["periods"]
        .as_array()
        .unwrap()
        .iter()
        .map(text)
        .collect()
}

#[test]
fn a_file_is_taken_in_row_by_row_and_the_same_again_changes_nothing() {
    let app = App::of(Setup::default());
    app.write(
        "c.csv",
        "contract_id,amount,currency,start,every,anchor_day,end,pay_within,description,phone\n\
         A-1,38.00,HKD,2026-01-31,month,31,,,Basic,1\n\
         A-2,38.005,HKD,2026-01-31,month,31,,,Basic,1\n\
         A-3,5.00,HKD,2026-01-31,week,fri,2026-12-31,3,,1\n\
         A-3,5.00,HKD,2026-01-31,week,fri,2026-12-31,3,,1\n\
         A-4,5.00,HKD,31.01.2026,month,,,,,1\n\
         A 5,5.00,HKD,2026-01-31,month,,,,,1\n\
         A-6,5.00,HKD,2026-01-31,fortnight,,,,,1\n\
         A-7,5.00,HKD,2026-01-31,year,0,,,,1\n\
         A-8,5.00,HKD,2026-01-31,year,29,2026-01-30,,,1\n",
    );
    let dry = app
        .payrun(&["contracts", "import", "c.csv", "--dry-run"])
        .exits(3)
        .says(expect!["2 new"])
        .says(expect!["nothing was kept"]);
    for (line, reason) in [
        (3, "more decimals"),
        (5, "A-3 stands in the file already"),
        (6, "start is not a day"),
        (7, "contract_id contains blank"),
        (8, "every is not one of week, 2 weeks, month"),
        (9, "anchor_day \"0\""),
        (10, "before it starts"),
    ] {
        let line = format!("line {line}: ");
        assert!(
            dry.stdout
                .lines()
                .any(|told| told.starts_with(&line) && told.contains(reason)),
            "{line}{reason} {dry:?}"
        );
    }
    app.payrun(&["contracts", "list"])
        .exits(0)
        .says(expect!["no such contracts"]);
    app.payrun(&["contracts", "import", "c.csv"])
        .exits(3)
        .says(expect!["2 new"])
        .says(expect!["began before today"])
        .says(expect!["phone"]);
    app.payrun(&["contracts", "import", "c.csv"])
        .exits(3)
        .says(expect!["0 new, 0 changed, 2 as they were, 7 not taken"]);
    let listed = app.json_lines(&["contracts", "list", "--json"]);
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (&listed[1]["contract_id"], &listed[1]["next_due"]),
        (&json!("A-3"), &json!("2026-02-06"))
    );
    app.write("none.csv", "contract_id,amount\nA-1,38.00\n");
    app.payrun(&["contracts", "import", "none.csv"])
        .exits(2)
        .says(expect!["the file has no column currency"]);
}

#[test]
fn what_is_exported_can_be_taken_in_again() {
    let app = project("E-1,38.00,HKD,2026-01-31,31,Basic\nE-2,12.00,HKD,2026-01-05,5,\"a, b\"\n");
    app.write(
        "rise.jsonl",
        "{\"contract_id\":\"E-1\",\"amount\":\"42.00\",\"currency\":\"HKD\",\"start\":\"2026-01-31\",\
               \"anchor_day\":\"31\",\"amount_from\":\"2099-01-01\",\"description\":\"Basic\"}\n",
    );
    app.payrun(&["contracts", "import", "rise.jsonl"])
        .exits(0)
        .says(expect!["1 changed"]);
    let exported = app.payrun(&["contracts", "export"]).exits(0).stdout;
    assert!(
        exported.contains(
            "E-1,42.00,HKD,2026-01-31,month,31,,14,2099-01-01,Basic,hk,active,,2026-01-31"
        ),
        "{exported}"
    );
    app.write("out.csv", &exported);
    app.payrun(&["contracts", "import", "out.csv"])
        .exits(0)
        .says(expect!["0 new, 0 changed, 2 as they were"]);
    // What is no longer charged is taken in nowhere as if it were.
    app.payrun(&[
        "contracts",
        "suspend",
        "E-2",
        "--reason",
        "a complaint",
        "--author",
        "bob",
    ])
    .exits(0);
    app.write(
        "out.csv",
        app.payrun(&["contracts", "export"]).exits(0).stdout,
    );
    let other = App::of(Setup::default());
    other.write(
        "out.csv",
        std::fs::read_to_string(app.path("out.csv")).unwrap(),
    );
    other
        .payrun(&["contracts", "import", "out.csv"])
        .exits(3)
        .says(expect!["1 new"])
        .says(expect!["the contract E-2 is suspended"]);
    let audit: Vec<String> = app
        .json_lines(&["audit", "export"])
        .iter()
        .map(|entry| {
            format!(
                "{} {}",
                entry["action"].as_str().unwrap(),
                entry["actor"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(
        audit,
        [
            "contract.import ann",
            "contract.import ann",
            "contract.suspend bob"
        ]
    );
    let changes = show(&app, "E-1")["changes"].clone();
    assert_eq!(
        (&changes[0]["by"], &changes[1]["what"]),
        (&json!("ann"), &json!("changed"))
    );
    assert_eq!(
        changes[1]["before"]["prices"],
        json!([["2026-01-31", "38.00"]])
    );
}

#[test]
fn each_period_is_charged_once_and_a_run_that_was_missed_is_made_up_for() {
    let app = project("P-1,38.00,HKD,2026-01-31,31,Basic\nP-2,12.00,HKD,2026-02-20,20,Plus\n");
    charge(&app, "2026-01-30").exits(0);
    assert_eq!(app.charges(), 0, "nothing is due yet");
    charge(&app, "2026-02-03").exits(0);
    charge(&app, "2026-02-03").exits(0);
    assert_eq!(app.charges(), 1);
    // Nothing ran until the end of March: February's of P-1 could be charged until 14 March.
    let told = charge(&app, "2026-03-31").exits(3);
    assert!(told.stdout.contains("rejected"), "{told:?}");
    assert_eq!(
        periods(&app, "P-1"),
        ["2026-01 paid", "2026-02 lapsed", "2026-03 paid"]
    );
    assert_eq!(periods(&app, "P-2"), ["2026-02 lapsed", "2026-03 paid"]);
    let lapsed = app.json_lines(&["items", "--state", "rejected", "--json"]);
    assert_eq!(lapsed[0]["key"], "P-2/2026-02");
    assert_said(
        lapsed[0]["reason"].as_str().unwrap(),
        expect!["could be charged until 2026-03-06: it has lapsed"],
    );
    charge(&app, "2026-03-31").exits(0);
    assert_eq!(app.charges(), 3);
}

/// A day so many days from now, in the zone of the project.
fn in_days(days: i64) -> String {
    let today = chrono::Utc::now()
        .with_timezone(&chrono_tz::Asia::Hong_Kong)
        .date_naive();
    (today + chrono::Duration::days(days)).to_string()
}

#[test]
fn a_run_for_a_day_to_come_is_refused_until_somebody_says_that_it_is_meant_and_makes_nothing_lapse()
{
    let today = in_days(0);
    let app = project(&format!("Y-1,38.00,HKD,{today},,Basic\n"));
    let ahead = in_days(400);
    let told = charge(&app, &ahead).exits(2);
    assert!(
        told.stderr.contains("after today") && told.stderr.contains("job charge 1"),
        "{told:?}"
    );
    assert!(told.stderr.contains("--allow-future"), "{told:?}");
    assert_eq!((periods(&app, "Y-1"), app.charges()), (Vec::new(), 0));
    app.payrun(&["plan", CHARGE, "--date", &ahead])
        .exits(0)
        .says(expect!["`payrun run` wants --allow-future"]);
    let told = app
        .payrun(&["plan", CHARGE, "--date", &ahead, "--allow-future"])
        .exits(0)
        .stdout;
    assert!(!told.contains("--allow-future"), "{told}");
    app.payrun(&["run", CHARGE, "--date", &today, "--allow-future"])
        .exits(0);
    assert_eq!(app.charges(), 1);
    app.payrun(&["run", CHARGE, "--date", &ahead, "--allow-future"])
        .exits(0);
    let periods = periods(&app, "Y-1");
    assert!(
        periods.len() >= 13 && periods.iter().all(|period| period.ends_with(" paid")),
        "{periods:?}"
    );
}

#[test]
fn a_lapsed_period_is_charged_after_all_when_a_person_reopens_it() {
    let app = project("Z-1,38.00,HKD,2026-01-31,31,Basic\n");
    charge(&app, "2026-03-31").exits(3);
    assert_eq!(
        periods(&app, "Z-1"),
        ["2026-01 lapsed", "2026-02 lapsed", "2026-03 paid"]
    );
    let reopen = |period: &str, until: &str| {
        app.payrun(&[
            "contracts",
            "reopen",
            "Z-1",
            "--period",
            period,
            "--until",
            until,
            "--reason",
            "agreed",
            "--by",
            "ann",
        ])
    };
    assert!(
        reopen("2026-03", &in_days(2))
            .exits(2)
            .stderr
            .contains("no lapsed period of that name")
    );
    assert!(
        reopen("2026-02", &in_days(-1))
            .exits(2)
            .stderr
            .contains("is over")
    );
    reopen("2026-02", &in_days(2))
        .exits(0)
        .says(expect!["the next run charges it"]);
    assert_eq!(periods(&app, "Z-1")[1], "2026-02 reopened");
    charge(&app, "2026-03-31").exits(0);
    charge(&app, "2026-03-31").exits(0);
    assert_eq!(
        periods(&app, "Z-1"),
        ["2026-01 lapsed", "2026-02 paid", "2026-03 paid"]
    );
    assert_eq!(app.charges(), 2);
    let audit = app.payrun(&["audit", "list"]).exits(0);
    assert!(audit.stdout.contains("contract.reopen"), "{audit:?}");
}

#[test]
fn a_ladders_end_pauses_and_the_gateways_word_ends_a_contract() {
    let app = project(
        "Q-1,38.00,HKD,2026-01-31,31,Basic\nQ-2-poor,38.00,HKD,2026-01-31,31,Basic\n\
         Q-3-terminated,38.00,HKD,2026-01-31,31,Basic\nQ-4-blocked,38.00,HKD,2026-01-31,31,Basic\n",
    );
    charge(&app, "2026-01-31").exits(3);
    let standing = |id: &str| {
        let told = show(&app, id);
        (
            told["state"].as_str().unwrap().to_owned(),
            told["reason"].as_str().unwrap_or_default().to_owned(),
        )
    };
    assert_eq!(standing("Q-1").0, "active");
    let (state, reason) = standing("Q-2-poor");
    assert!(
        state == "suspended" && reason.contains("end of the dunning ladder; declined: NOT_ENOUGH"),
        "{state} {reason}"
    );
    let (state, reason) = standing("Q-3-terminated");
    assert!(
        state == "ended" && reason.contains("CONTRACT_NOT_EXIST") && reason.contains("TERMINATED"),
        "{reason}"
    );
    let (state, reason) = standing("Q-4-blocked");
    assert!(
        state == "suspended" && reason.contains("USER_ACCOUNT_ABNORMAL"),
        "{state} {reason}"
    );
    assert_eq!(periods(&app, "Q-2-poor"), ["2026-01 failed"]);
    assert_eq!(show(&app, "Q-2-poor")["changes"][1]["by"], "payrun");
    // The next month charges those that are active, and nobody else.
    charge(&app, "2026-02-28").exits(0);
    assert_eq!(app.charges(), 2);
    app.payrun(&["contracts", "resume", "Q-3-terminated", "--reason", "try"])
        .exits(3)
        .says(expect!["it is not suspended"]);
    app.payrun(&["contracts", "resume", "Q-2-poor", "--reason", "called us"])
        .exits(0)
        .says(expect!["resumed"]);
    assert_eq!(standing("Q-2-poor").0, "active");
}

#[test]
fn a_month_that_was_charged_from_a_file_is_not_charged_again() {
    let app = project("F-1,38.00,HKD,2026-03-31,31,Basic\nF-2,39.00,HKD,2026-03-31,31,Basic\n");
    app.write(
        "data/contracts.csv",
        "contract_id,plan,amount,currency,active\nF-1,basic,38.00,HKD,yes\nF-2,basic,38.00,HKD,yes\n",
    );
    app.run().exits(0);
    assert_eq!(app.charges(), 2);
    let told = charge(&app, "2026-03-31").exits(3);
    assert!(
        told.stdout.contains("other content"),
        "another amount under the same key is told: {told:?}"
    );
    assert_eq!(app.charges(), 2);
    assert_eq!(periods(&app, "F-1"), ["2026-03 paid"]);
    assert_eq!(periods(&app, "F-2"), ["2026-03 paid"]);
    charge(&app, "2026-04-30").exits(0);
    assert_eq!(app.charges(), 4);
}

#[test]
fn a_termination_goes_before_what_is_to_be_charged_and_ends_the_contract_here_too() {
    let app = project("T-1,38.00,HKD,2026-01-31,31,Basic\nT-2,38.00,HKD,2026-01-31,31,Basic\n");
    app.write("data/ended.csv", "contract_id\nT-1\n");
    app.write(
        "workflows/terminate.yaml",
        "workflow: terminate\njobs:\n  end:\n    uses: terminate\n    gateway: hk\n    items: { file: ../data/ended.csv }\n    \
         query: { schedule: [100ms, 200ms], grace: 1s, horizon: 1m }\n    \
         with: { contract_id: \"{{ item.contract_id }}\", reason: payer asked }\n",
    );
    let operator = ["--author", "ann", "--reason", "a test"];
    app.payrun(&[&["pause", "gateway", "hk"], &operator[..]].concat())
        .exits(0);
    charge(&app, "2026-01-31").exits(4);
    app.payrun(&["run", "workflows/terminate.yaml"]).exits(4);
    app.payrun(&[&["resume", "gateway", "hk"], &operator[..]].concat())
        .exits(0);
    app.payrun(&["run", "--resume"]);
    assert_eq!(app.charges(), 1);
    assert_eq!(
        (
            periods(&app, "T-1")[0].as_str(),
            periods(&app, "T-2")[0].as_str()
        ),
        ("2026-01 waived", "2026-01 paid")
    );
    let told = show(&app, "T-1");
    assert_eq!(told["state"], "ended");
    assert_said(
        told["reason"].as_str().unwrap(),
        expect!["terminated at the gateway"],
    );
}

#[test]
fn an_import_with_an_earlier_end_withdraws_what_falls_due_after_it() {
    let app = project("E-1,38.00,HKD,2026-01-31,31,Basic\nE-2,38.00,HKD,2026-01-31,31,Basic\n");
    app.payrun(&[
        "pause", "gateway", "hk", "--author", "ann", "--reason", "a test",
    ])
    .exits(0);
    charge(&app, "2026-01-31").exits(4);
    app.write(
        "c.csv",
        "contract_id,amount,currency,start,anchor_day,description,end\nE-1,38.00,HKD,2026-01-31,31,Basic,2026-01-31\n",
    );
    app.payrun(&["contracts", "import", "c.csv", "--by", "ann"])
        .exits(0)
        .says(expect!["1 changed"]);
    assert_eq!(
        periods(&app, "E-1"),
        ["2026-01 planned"],
        "its last day counts"
    );
    app.write(
        "c.csv",
        "contract_id,amount,currency,start,anchor_day,description,end\nE-1,38.00,HKD,2026-01-31,31,Basic,2026-01-31\n\
        E-2,38.00,HKD,2026-01-31,31,Basic,2026-01-31\n",
    );
    app.payrun(&["contracts", "import", "c.csv", "--by", "ann"])
        .exits(0);
    charge(&app, "2026-02-28").exits(0);
    assert_eq!(periods(&app, "E-2"), ["2026-01 planned"]);
    app.payrun(&[
        "resume", "gateway", "hk", "--author", "ann", "--reason", "a test",
    ])
    .exits(0);
    app.payrun(&["run", "--resume"]).exits(0);
    assert_eq!(app.charges(), 2);
    // A contract whose second period is under way ends before that.
    let app = project("F-1,38.00,HKD,2026-01-31,31,Basic\n");
    charge(&app, "2026-01-31").exits(0);
    app.payrun(&[
        "pause", "gateway", "hk", "--author", "ann", "--reason", "a test",
    ])
    .exits(0);
    charge(&app, "2026-02-28").exits(4);
    app.write(
        "c.csv",
        "contract_id,amount,currency,start,anchor_day,description,end\nF-1,38.00,HKD,2026-01-31,31,Basic,2026-02-15\n",
    );
    app.payrun(&["contracts", "import", "c.csv", "--by", "ann"])
        .exits(0);
    app.payrun(&[
        "resume", "gateway", "hk", "--author", "ann", "--reason", "a test",
    ])
    .exits(0);
    app.payrun(&["run", "--resume"]);
    assert_eq!(
        (app.charges(), periods(&app, "F-1")),
        (
            1,
            vec!["2026-01 paid".to_owned(), "2026-02 waived".to_owned()]
        )
    );
}

#[test]
fn a_contract_that_was_stopped_is_not_charged_from_a_file_either() {
    for on_a_server in [false, true] {
        let mut app = App::of(Setup {
            contracts: "contract_id,plan,amount,currency,active\nS-1,basic,5.00,HKD,yes\nS-2,basic,5.00,HKD,yes\nS-3,basic,5.00,HKD,yes\n".to_owned(),
            ..Setup::default()
        });
        let schema = on_a_server.then(|| app.wait_for(Schema::fresh()));
        if let Some(schema) = &schema {
            app.edit(
                "payrun.yaml",
                "database: payrun.db",
                &format!("database: {}", schema.address()),
            );
        }
        app.write("c.csv", "contract_id,amount,currency,start\nS-1,38.00,HKD,2199-01-31\nS-2,38.00,HKD,2199-01-31\n");
        app.payrun(&["contracts", "import", "c.csv", "--by", "ann"])
            .exits(0);
        app.payrun(&[
            "pause", "gateway", "hk", "--author", "ann", "--reason", "a test",
        ])
        .exits(0);
        app.run().exits(4);
        // What waits of a file is withdrawn with its contract.
        app.payrun(&["contracts", "end", "S-1", "--reason", "payer cancelled"])
            .exits(0)
            .says(expect!["1 item withdrawn"]);
        app.payrun(&["contracts", "suspend", "S-2", "--reason", "payer asked"])
            .exits(0)
            .says(expect!["1 item withdrawn"]);
        app.payrun(&[
            "resume", "gateway", "hk", "--author", "ann", "--reason", "a test",
        ])
        .exits(0);
        app.payrun(&["run", "--resume"]).exits(0);
        let states = |app: &App| {
            let items = app.json_lines(&["items", "--json", "-n", "0"]);
            items
                .iter()
                .map(|item| item["state"].as_str().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(states(&app), ["cancelled", "cancelled", "succeeded"]);
        // What a later file says is refused.
        let told = app
            .payrun(&["run", crate::support::WORKFLOW, "--date", "2026-04-30"])
            .exits(3);
        assert!(told.stdout.contains("rejected"), "{told:?}");
        let reasons = app
            .payrun(&["items", "--state", "rejected", "--json"])
            .exits(0)
            .stdout;
        assert!(
            reasons.contains("the contract S-1 is ended since")
                && reasons.contains("payer cancelled"),
            "{reasons}"
        );
        assert_said(&reasons, expect!["the contract S-2 is suspended since"]);
        assert_eq!(app.charges(), 2, "S-3 twice");
        // To end it at the gateway too takes no money.
        app.write("data/ended.csv", "contract_id\nS-1\nS-2\n");
        app.write(
            "workflows/terminate.yaml",
            "workflow: terminate\njobs:\n  end:\n    uses: terminate\n    gateway: hk\n    items: { file: ../data/ended.csv }\n    \
             with: { contract_id: \"{{ item.contract_id }}\", reason: payer asked }\n",
        );
        let planned = app.json(&["plan", "workflows/terminate.yaml", "--json"])["jobs"][0].clone();
        assert_eq!(
            (&planned["items"], &planned["rejected"]),
            (&json!(2), &json!(0)),
            "{planned}"
        );
        if let Some(schema) = schema {
            app.moved_to(schema);
        }
    }
}

#[test]
fn a_row_that_cannot_be_planned_stays_due_until_it_can() {
    let app = project("L-1,38.00,CNY,2026-01-31,31,Basic\nL-2,38.00,HKD,2026-01-31,31,Basic\n");
    charge(&app, "2026-01-31")
        .exits(3)
        .says(expect!["limits.total names no CNY"]);
    assert_eq!((app.charges(), periods(&app, "L-1").len()), (1, 0));
    assert_eq!(
        app.json_lines(&["items", "--state", "rejected", "--json"])[0]["key"],
        "L-1/2026-01"
    );
    app.edit(CHARGE, "total: { HKD:", "total: { CNY: \"100.00\", HKD:");
    charge(&app, "2026-02-01").exits(0);
    assert_eq!(
        (app.charges(), periods(&app, "L-1")),
        (2, vec!["2026-01 paid".to_owned()])
    );
}

#[test]
fn ending_a_contract_by_hand_leaves_nothing_to_be_charged() {
    let app = project("Z-1,38.00,HKD,2026-01-31,31,Basic\n");
    app.payrun(&["contracts", "end", "Z-1", "--reason", " "])
        .exits(2)
        .says(expect!["a reason has 1 to 500 characters"]);
    app.payrun(&["contracts", "end", "Z-1", "Z-9", "--reason", "moved out"])
        .exits(3)
        .says(expect!["there is no contract Z-9"]);
    charge(&app, "2026-02-28").exits(0);
    assert_eq!(app.charges(), 0);
    let told = show(&app, "Z-1");
    assert_eq!(
        (&told["state"], &told["reason"]),
        (&json!("ended"), &json!("moved out"))
    );
    assert!(
        told["periods"]
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["state"] == "waived"),
        "{told}"
    );
    app.payrun(&["contracts", "import", "data/subscriptions.csv"])
        .exits(0)
        .says(expect!["1 as they were"]);
    app.edit("data/subscriptions.csv", "38.00", "40.00");
    app.payrun(&["contracts", "import", "data/subscriptions.csv"])
        .exits(3)
        .says(expect!["what has ended does not begin again"]);
}

#[test]
fn what_is_under_way_is_not_sent_again_after_its_contract_was_ended_or_paused_and_what_happened_is_told()
 {
    let rows = ["Z-end", "Z-suspend", "Z-on"]
        .map(|id| format!("{id},38.00,HKD,2026-01-31,31,Basic\n"))
        .concat();
    let played = [
        (Fault::ErrorBefore, false, false),
        (Fault::SilentBefore, false, true),
        (Fault::ErrorAfter, true, false),
    ];
    for (fault, happened, server) in played {
        let setup = Setup {
            faults: FaultPlan::only(fault),
            timeout: "300ms",
            server,
            ..Setup::default()
        };
        let app = project_of(&rows, setup);
        let hasty = "schedule: [50ms, 100ms, 200ms, 400ms], grace: 1200ms";
        app.edit(CHARGE, hasty, "schedule: [2s], grace: 2s");
        app.payrun(&["run", CHARGE, "--date", "2026-01-31", "--wait", "1s"]);
        // On a busy machine nothing may have been sent within that second.
        for _ in 0..10 {
            if app.by_state()["planned"].is_null() {
                break;
            }
            app.payrun(&["run", "--resume", "--wait", "1s"]);
        }
        assert_eq!(app.by_state(), json!({ "unknown": 3 }), "{fault}");
        app.payrun(&[
            "contracts",
            "end",
            "Z-end",
            "--by",
            "ann",
            "--reason",
            "the payer cancelled",
        ])
        .exits(0)
        .says(expect!["1 item withdrawn"]);
        app.payrun(&[
            "contracts",
            "suspend",
            "Z-suspend",
            "--reason",
            "the payer asked",
        ])
        .exits(0)
        .says(expect!["queried"]);
        let log = app.json_lines(&["audit", "export"]);
        let after: Vec<&str> = log
            .iter()
            .map(|entry| entry["after"].as_str().unwrap())
            .collect();
        let id = &app.json_lines(&["items", "--json", "--key", "Z-end/2026-01"])[0]["item"];
        let named = format!("\"withdrawn\":{{\"ids\":[{id}],\"items\":1}}");
        assert!(
            after
                .iter()
                .any(|after| after.contains("ended") && after.contains(&named)),
            "{after:?} {named}"
        );
        app.payrun(&["run", "--resume", "--wait", "30s"]);
        let (charges, ended) = if happened { (3, "paid") } else { (1, "waived") };
        assert_eq!(app.charges(), charges, "{fault}");
        for (id, state) in [("Z-end", ended), ("Z-suspend", ended), ("Z-on", "paid")] {
            assert_eq!(
                periods(&app, id)[0],
                format!("2026-01 {state}"),
                "{fault} {id}"
            );
        }
        let items = app.json_lines(&["items", "--json", "--key", "Z-end/2026-01"]);
        assert_eq!(
            items[0]["withdrawn"], "ann: the payer cancelled",
            "{items:?}"
        );
        let told = app
            .payrun(&["show", "--item", &items[0]["item"].to_string()])
            .exits(0)
            .stdout;
        assert_eq!(
            told.contains("ALARM withdrawn_too_late"),
            happened,
            "{told}"
        );
        assert!(told.contains("withdraw "), "its history says so: {told}");
        let offered = told.contains("writes a workflow that gives it back");
        assert_eq!(offered, happened, "{told}");
        let run = app.payrun(&["show"]).stdout;
        assert_eq!(run.contains("ALARM withdrawn_too_late"), happened, "{run}");
        let contract = app.payrun(&["contracts", "show", "Z-end"]).exits(0).stdout;
        let paid = contract.contains("was paid although it had been withdrawn");
        assert_eq!(paid, happened, "{contract}");
    }
}

#[test]
fn what_was_withdrawn_with_its_contract_is_not_tried_again_until_the_contract_is_active() {
    for on_a_server in [false, true] {
        let rows = ["W-end", "W-suspend", "W-on"]
            .map(|id| format!("{id},38.00,HKD,2026-01-31,31,Basic\n"))
            .concat();
        let mut app = App::of(Setup::default());
        let schema = on_a_server.then(|| app.wait_for(Schema::fresh()));
        if let Some(schema) = &schema {
            app.edit(
                "payrun.yaml",
                "database: payrun.db",
                &format!("database: {}", schema.address()),
            );
        }
        app.write(CHARGE, workflow(""));
        app.write(
            "c.csv",
            format!("contract_id,amount,currency,start,anchor_day,description\n{rows}"),
        );
        app.payrun(&["contracts", "import", "c.csv", "--by", "ann"])
            .exits(0);
        let operator = ["--author", "ann", "--reason", "a test"];
        app.payrun(&[&["pause", "gateway", "hk"], &operator[..]].concat())
            .exits(0);
        charge(&app, "2026-01-31").exits(4);
        app.payrun(&[
            "contracts",
            "end",
            "W-end",
            "--reason",
            "the payer cancelled",
        ])
        .exits(0)
        .says(expect!["1 item withdrawn"]);
        app.payrun(&[
            "contracts",
            "suspend",
            "W-suspend",
            "--reason",
            "the payer asked",
        ])
        .exits(0)
        .says(expect!["1 item withdrawn"]);
        app.payrun(&["cancel", "W-on/2026-01", "--reason", "looked at"])
            .exits(0);
        app.payrun(&[&["resume", "gateway", "hk"], &operator[..]].concat())
            .exits(0);
        let retry = |key: &str| app.payrun(&["retry", key, "--reason", "try"]);
        retry("W-end/2026-01")
            .exits(3)
            .says(expect!["its contract W-end is ended since"])
            .says(expect!["the payer cancelled"]);
        retry("W-suspend/2026-01")
            .exits(3)
            .says(expect!["payrun contracts resume W-suspend"]);
        // Chosen together, only what a person has withdrawn by itself is meant, also once the
        // contract is active again.
        let chosen = |more: &[&str]| {
            let command = [
                "retry",
                "--state",
                "cancelled",
                "--workflow",
                "subscriptions",
                "--reason",
                "all",
                "--json",
            ];
            app.payrun(&[&command[..], more].concat()).exits(0).stdout
        };
        let counted = || {
            let told: Value = serde_json::from_str(&chosen(&[])).unwrap();
            (told["items"].clone(), told["left_out"].clone())
        };
        assert_eq!(counted(), (json!(1), json!(2)));
        app.payrun(&["contracts", "resume", "W-suspend", "--reason", "called us"])
            .exits(0);
        assert_eq!(counted(), (json!(1), json!(2)));
        let told: Value = serde_json::from_str(&chosen(&["--yes"])).unwrap();
        assert_eq!(told["moved"], json!({ "planned": 1 }), "{told}");
        app.payrun(&["run", "--resume"]).exits(0);
        assert_eq!(
            (app.charges(), periods(&app, "W-on")),
            (1, vec!["2026-01 paid".to_owned()])
        );
        // By its name it comes back.
        retry("W-suspend/2026-01")
            .exits(0)
            .says(expect!["1 now planned"]);
        app.payrun(&["run", "--resume"]).exits(0);
        assert_eq!(
            (app.charges(), periods(&app, "W-suspend")[0].as_str()),
            (2, "2026-01 paid")
        );
        assert_eq!(periods(&app, "W-end")[0], "2026-01 waived");
        if let Some(schema) = schema {
            app.moved_to(schema);
        }
    }
}

/// So many contracts that fall due on one day.
fn many(how_many: u32) -> String {
    (1..=how_many)
        .map(|n| format!("K-{n:05},38.00,HKD,2026-01-31,31,Basic\n"))
        .collect()
}

#[test]
fn killed_while_it_plans_or_charges_every_period_is_charged_once() {
    let setup = Setup {
        wire: true,
        concurrency: 16,
        ..Setup::default()
    };
    let app = project_of(&many(1_500), setup);
    app.edit(CHARGE, "items: 50000", "items: 2000");
    let (mut died, mut half) = (0, 0);
    for life in (0..12).map(|n| Duration::from_millis(60 + n * 60)) {
        let ended = app
            .start(&["run", CHARGE, "--date", "2026-01-31"])
            .kill_after(life);
        died += u32::from(ended.was_killed());
        let planned = app.json_lines(&["contracts", "list", "-n", "0", "--json"]);
        let next: std::collections::BTreeSet<&str> = planned
            .iter()
            .map(|one| one["next_due"].as_str().unwrap())
            .collect();
        assert_eq!(next.len(), 1, "all are planned, or none is");
        half += u32::from(next.contains("2026-01-31"));
        app.assert_nothing_wrong_yet();
    }
    assert!(
        died > 6 && half > 0,
        "{died} died, {half} before the plan was made"
    );
    app.payrun(&["run", CHARGE, "--date", "2026-01-31"])
        .exits(0);
    assert_eq!(app.charges(), 1_500);
    app.wire().assert_asked_before_sent_again();
}

#[test]
fn contracts_move_to_a_server_with_the_ledger() {
    let mut app = project_of(
        "M-1,38.00,HKD,2026-01-31,31,Basic\nM-2-poor,38.00,HKD,2026-01-31,31,B\n",
        Setup {
            server: false,
            ..Setup::default()
        },
    );
    charge(&app, "2026-01-31").exits(3);
    let before = show(&app, "M-2-poor");
    let schema = app.wait_for(Schema::fresh());
    let ours = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
    app.write(
        "server.yaml",
        ours.replace(
            "database: payrun.db",
            &format!("database: {}", schema.address()),
        ),
    );
    app.payrun(&["promote", "--to", "server.yaml"]).exits(0);
    assert_eq!(
        app.json(&[
            "contracts",
            "show",
            "M-2-poor",
            "--json",
            "--config",
            "server.yaml"
        ]),
        before
    );
    app.payrun(&["contracts", "import", "data/subscriptions.csv"])
        .exits(2)
        .says(expect!["was moved to"]);
    app.payrun(&[
        "run",
        CHARGE,
        "--date",
        "2026-02-28",
        "--config",
        "server.yaml",
    ])
    .exits(0);
    assert_eq!(app.charges(), 2);
    app.payrun(&[
        "contracts",
        "import",
        "data/subscriptions.csv",
        "--config",
        "server.yaml",
    ])
    .exits(0);
    app.moved_to(schema);
}

#[test]
fn two_processes_that_plan_at_once_charge_each_period_once() {
    let app = project(&many(400));
    let runs: Vec<_> = (0..3)
        .map(|_| app.start(&["run", CHARGE, "--date", "2026-01-31"]))
        .collect();
    for run in runs {
        let ended = run.wait(crate::support::PATIENCE);
        assert!(matches!(ended.code(), Some(0 | 3 | 4)), "{ended:?}");
    }
    until("all is charged", || {
        app.payrun(&["run", "--resume"]).code() == Some(0)
    });
    assert_eq!(app.charges(), 400);
}
