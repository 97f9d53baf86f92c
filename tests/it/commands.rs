//! What a person and a script see of each command, and the exit codes.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::process::payrun;
use crate::support::said::assert_said;
use crate::support::{App, DATE, PATIENCE, Running, Setup, WORKFLOW, contracts, root, until};
use payrun::domain::history::EventKind;

/// Good contracts, one that is poor and one that was terminated, and a row that is no amount.
const MIXED: &str = "contract_id,plan,amount,currency,active\n\
    C-0001,basic,38.00,HKD,yes\n\
    C-0002,family,68.00,HKD,yes\n\
    C-0003,basic,38.00,HKD,no\n\
    C-0004-poor,basic,38.00,HKD,yes\n\
    C-0005-terminated,premium,128.50,HKD,yes\n\
    C-0006,basic,thirty,HKD,yes\n";

/// Instants are not the same twice.
fn timeless(text: &str) -> String {
    let is_time = |word: &str| {
        word.len() >= 20
            && word.as_bytes()[4] == b'-'
            && word.as_bytes()[10] == b'T'
            && word.contains(':')
    };
    let mut plain = String::new();
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_alphanumeric() || "-:.".contains(c) {
            word.push(c);
            continue;
        }
        plain.push_str(if word.is_ascii() && is_time(&word) {
            "TIME"
        } else {
            &word
        });
        word.clear();
        plain.push(c);
    }
    // And those of a wall clock, in two words.
    while let Some(at) = plain.char_indices().map(|(at, _)| at).find(|at| {
        let shape = "dddd-dd-dd dd:dd:dd".bytes();
        let found = plain.as_bytes().get(*at..*at + shape.len());
        found.is_some_and(|found| {
            shape.zip(found).all(|(wanted, found)| match wanted {
                b'd' => found.is_ascii_digit(),
                other => other == *found,
            })
        })
    }) {
        plain.replace_range(at..at + "dddd-dd-dd dd:dd:dd".len(), "TIME");
    }
    plain.trim_end().to_owned()
}

fn mixed() -> App {
    // What is shown must not depend on how busy the machine is.
    App::of(Setup {
        contracts: MIXED.to_owned(),
        timeout: "20s",
        ..Setup::default()
    })
}

#[test]
fn help_lists_every_command_and_the_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = payrun(folder.path(), &["--help"]);
    command.env("COLUMNS", "100");
    let help = Running::start(command).wait(PATIENCE).exits(0).stdout;
    let (commands, options) = help.split_once("Options:").unwrap();
    insta::assert_snapshot!(commands, @r#"
    Recurring and batch payments from YAML workflows: never twice, never lost, never guessed

    Usage: payrun [OPTIONS] <COMMAND>

    Commands:
      init           Make a project folder: configuration, a workflow, sample contracts, sandbox keys
      check          Report every mistake in the configuration, the job kinds and the workflows
      template       Make an item file without rows, with a note on each column, of a job kind or a
                     workflow
      plan           Plan a run without sending anything: what would be charged, rejected and skipped
      run            Plan a run and carry it out, after finishing what earlier runs left open
      serve          Run as a service: schedules, workers and the API, day after day
      work           Work on whatever is open, beside other processes, until stopped
      schedule       List what fires next by itself; or what became of it, or fire it by hand
      contracts      Keep contracts in payrun, so that a workflow charges what is due of them
      find           Find a payment by its key, a number, its contract, a reference of the payer, or its
                     amount and day
      runs           List runs, newest first
      show           Show a run, or one item with its whole history
      items          List items, or write them into a file for a spreadsheet
      rows           Write the rejected or failed rows of a run into a file like the one they came from,
                     with the reasons, to be mended and given again
      totals         Add up what was planned, succeeded, failed, is unknown or needs review: of a run,
                     or of the runs of a month
      differences    List what reconciliations found different; say whose a difference is, why it is
                     there, that it may stand
      report         Report a run or a month for finance: a page that prints, or a workbook
      journal        Print every item with all that was done and answered, a JSON object a line, for
                     whoever wants to check it
      notifications  List, show and replay the gateways' notifications
      approvals      Look at batches that wait for approval, and approve or reject them
      pause          Send nothing new of a gateway, a workflow, a contract, or anything; what is open is
                     still queried
      resume         Send again what was paused
      lane           Suspend, release or slow a gateway account's lane
      retry          Have items that failed, need review or were cancelled tried again, once it is
                     certain that this is safe
      cancel         Withdraw items: nothing more of them is sent, and what may be under way is queried
      withdraw       Withdraw a run as a whole: nothing more of it is sent, and its later jobs get no
                     items
      bulk           List what was done to many items at once; or show one: how far it is, and what was
                     refused
      refund         Write a workflow that gives back what an item took, for somebody to approve
      resolve        Say what became of an item where queries could not tell; kept as evidence with name
                     and reason
      note           Note something of an item, such as a call with the bank: the reason; it changes
                     nothing
      audit          Show who did what and why: list, verify, export
      alerts         Show alert rules, open incidents and mails; test the mail server; send what is due
      tokens         Make, list and revoke the tokens by which the API knows who is calling
      backup         Copy the ledger into a file while work goes on; the copy is checked
      restore        Put a backup in the place of a ledger that was lost; what may have been sent since
                     is queried before it is sent
      prune          Delete what is older than `retention` says; the service does it by itself
      reseal         Seal what is kept of persons under the first key of `encryption_key`, so that the
                     others can be taken away
      promote        Move the ledger from a SQLite file to PostgreSQL, compared row by row; the file can
                     no longer be used then
      sandbox        Serve a fake gateway on loopback, strict and with faults, to develop against
                     without credentials
      simulate       Simulate a workflow from seeds: gateways that fail, processes that die, clocks that
                     jump. Nothing is sent
      demo           Play a day against the sandbox's four gateways and compare the books
      schema         Print the JSON Schema of workflow files or of payrun.yaml, for editors
      doctor         Look at the machine, the ledger and the gateways, and say what is wrong
      completions    Print a completion script for a shell
      man            Write a manual page of each command into a folder
      help           Print this message or the help of the given subcommand(s)
    "#);
    let (_, exit_codes) = options.split_once("Exit codes:").unwrap();
    insta::assert_snapshot!(exit_codes, @r#"
     0 all succeeded; 1 internal error; 2 invalid input or usage; 3 finished with items that
    failed, were rejected or need review, with differences, or withdrawn; 4 interrupted, or waiting,
    with items open.
    "#);
}

#[test]
fn every_command_explains_itself() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        "init",
        "check",
        "plan",
        "run",
        "runs",
        "show",
        "items",
        "schedule",
        "retry",
        "cancel",
        "resolve",
        "pause",
        "resume",
        "lane",
        "approvals",
        "audit",
        "sandbox",
        "demo",
        "schema",
        "doctor",
        "completions",
    ] {
        Running::start(payrun(folder.path(), &[command, "--help"]))
            .wait(PATIENCE)
            .exits(0)
            .says(expect!["Usage: payrun"]);
    }
    Running::start(payrun(folder.path(), &["charge"]))
        .wait(PATIENCE)
        .exits(2)
        .says(expect!["unrecognized subcommand 'charge'"]);
    Running::start(payrun(folder.path(), &["plan"]))
        .wait(PATIENCE)
        .exits(2)
        .says(expect!["there is no payrun.yaml"]);
}

#[test]
fn plan_shows_what_would_happen_and_sends_and_keeps_nothing() {
    let app = mixed();
    let ended = app.payrun(&["plan", WORKFLOW, "--date", DATE]).exits(3);
    insta::assert_snapshot!(ended.stdout, @r#"
    plan of deductions; nothing is sent

    job deduct (deduct on hk): 4 items, 272.50 HKD, 1 rejected, 1 left out by where (1 with active=no)
      read as CSV in UTF-8, separated by commas, columns named on line 1
      money is in main units of HKD: in line 2 amount 38.00 = 3800 × 0.01
    LINE  KEY                        ORDER NUMBER                      AMOUNT
       2  C-0001/2026-03             4kxhbkhjrt4f4n4sjz2366dnz5-1   38.00 HKD
       3  C-0002/2026-03             73akvekhd5zdzwhdtn9vbmqeq9-1   68.00 HKD
       5  C-0004-poor/2026-03        2xpnf3cg6826nk4xhxhxhmxbkb-1   38.00 HKD
       6  C-0005-terminated/2026-03  2dtj5x9wt9sgvb25m84g8azx5t-1  128.50 HKD
    LINE  STATE     REASON
       7  rejected  amount: "thirty" is not a number (write it like 12.50)
    "#);
    assert_eq!(app.charges(), 0);
    assert_eq!(app.json(&["runs", "--json"]), json!([]));
}

#[test]
fn plan_as_json_names_items_totals_and_refusals() {
    let app = mixed();
    let plan = app.json(&["plan", WORKFLOW, "--date", DATE, "--json"]);
    insta::assert_snapshot!(format!("{plan:#}"), @r#"
    {
      "jobs": [
        {
          "capital_x": [],
          "changed": 0,
          "filed_again": 0,
          "first": [
            {
              "amount": "38.00",
              "currency": "HKD",
              "key": "C-0001/2026-03",
              "line": 2,
              "order_no": "4kxhbkhjrt4f4n4sjz2366dnz5-1"
            },
            {
              "amount": "68.00",
              "currency": "HKD",
              "key": "C-0002/2026-03",
              "line": 3,
              "order_no": "73akvekhd5zdzwhdtn9vbmqeq9-1"
            },
            {
              "amount": "38.00",
              "currency": "HKD",
              "key": "C-0004-poor/2026-03",
              "line": 5,
              "order_no": "2xpnf3cg6826nk4xhxhxhmxbkb-1"
            },
            {
              "amount": "128.50",
              "currency": "HKD",
              "key": "C-0005-terminated/2026-03",
              "line": 6,
              "order_no": "2dtj5x9wt9sgvb25m84g8azx5t-1"
            }
          ],
          "gateway": "hk",
          "items": 4,
          "kind": "deduct",
          "later": false,
          "left_out": 1,
          "left_out_by_value": {
            "active=no": 1
          },
          "money": {
            "currency": "HKD",
            "fields": {
              "amount": "38.00"
            },
            "line": 2,
            "unit": "main"
          },
          "name": "deduct",
          "needs_approval": false,
          "plain_digits": [],
          "read_as": {
            "columns": [
              "contract_id",
              "plan",
              "amount",
              "currency",
              "active"
            ],
            "columns_not_used": [],
            "doubt": null,
            "encoding": "utf-8",
            "format": "csv",
            "header_line": 1,
            "hidden_sheets": [],
            "other_sheets": [],
            "sample": null,
            "separator": "comma",
            "sheet": null
          },
          "refusals": [
            {
              "duplicate_of": null,
              "key": "C-0006/2026-03",
              "line": 7,
              "reason": "amount: \"thirty\" is not a number (write it like 12.50)",
              "state": "rejected"
            }
          ],
          "rejected": 1,
          "skipped": 0,
          "totals": {
            "HKD": "272.50"
          },
          "trimmed": []
        }
      ],
      "workflow": "deductions"
    }
    "#);
}

#[test]
fn a_plan_after_a_run_says_what_is_skipped() {
    let app = mixed();
    app.run().exits(3);
    let ended = app.payrun(&["plan", WORKFLOW, "--date", DATE]).exits(3);
    insta::assert_snapshot!(ended.stdout, @r#"
    plan of deductions; nothing is sent

    job deduct (deduct on hk): 0 items, 1 rejected, 4 skipped, planned before, 1 left out by where (1 with active=no)
      read as CSV in UTF-8, separated by commas, columns named on line 1
      money is in main units of HKD: in line 2 amount 38.00 = 3800 × 0.01
    LINE  STATE     REASON
       2  skipped   run 1 has this key already (item 1, succeeded)
       3  skipped   run 1 has this key already (item 2, succeeded)
       5  skipped   run 1 has this key already (item 3, failed)
       6  skipped   run 1 has this key already (item 4, failed)
       7  rejected  amount: "thirty" is not a number (write it like 12.50)
    "#);
}

#[test]
fn run_ends_with_a_table_of_states_and_show_says_the_same_later() {
    let app = mixed();
    let ended = app.run().exits(3);
    insta::assert_snapshot!(timeless(&ended.stdout), @r#"
    run 1 of deductions (manual TIME (Asia/Hong_Kong)), finished
    STATE      ITEMS  AMOUNT
    succeeded      2  106.00 HKD
    failed         2  166.50 HKD
    rejected       1
    1 rejected row; `payrun rows 1 --rejected -o FILE` gives them back with the reasons, to be mended and given again

    ITEM  LINE  KEY                        STATE     REASON
       3     5  C-0004-poor/2026-03        failed    declined: NOT_ENOUGH
       4     6  C-0005-terminated/2026-03  failed    declined: CONTRACT_NOT_EXIST (the contract decides) (contract: state TERMINATED, terminated_time 20…
       5     7  C-0006/2026-03             rejected  amount: "thirty" is not a number (write it like 12.50)
    all of them: payrun items --run 1 --state failed,needs_review,rejected; one: payrun show --item ITEM
    "#);
    insta::assert_snapshot!(timeless(&app.payrun(&["show"]).exits(0).stdout), @r#"
    run 1 of deductions (manual TIME (Asia/Hong_Kong)), finished
    STATE      ITEMS  AMOUNT
    succeeded      2  106.00 HKD
    failed         2  166.50 HKD
    rejected       1
    1 rejected row; `payrun rows 1 --rejected -o FILE` gives them back with the reasons, to be mended and given again
    planned with version fe7157f44b52 of the workflow, which is how the SHA-256 of its file begins

    ANSWER    CODE                TIMES
    absent                            3
    declined  NOT_ENOUGH              3
    done                              2
    declined  CONTRACT_NOT_EXIST      1

    ITEM  LINE  KEY                        STATE     REASON
       3     5  C-0004-poor/2026-03        failed    declined: NOT_ENOUGH
       4     6  C-0005-terminated/2026-03  failed    declined: CONTRACT_NOT_EXIST (the contract decides) (contract: state TERMINATED, terminated_time 20…
       5     7  C-0006/2026-03             rejected  amount: "thirty" is not a number (write it like 12.50)
    all of them: payrun items --run 1 --state failed,needs_review,rejected; one: payrun show --item ITEM
    "#);
}

#[test]
fn items_come_as_csv_and_as_json_lines() {
    let app = mixed();
    app.run().exits(3);
    let table = app.payrun(&["items", "--format", "csv"]).exits(0).stdout;
    insta::assert_snapshot!(timeless(&table), @r#"
    item,run,job,line,key,order_no,state,amount,currency,receipt,next_at,reason,result
    1,1,deduct,2,C-0001/2026-03,4kxhbkhjrt4f4n4sjz2366dnz5-1,succeeded,38.00,HKD,4200100046878235461450202642,,,"{""bank_type"":""WPHK"",""state"":""SUCCESS"",""success_time"":""TIME"",""trade_type"":""AUTH""}"
    2,1,deduct,3,C-0002/2026-03,73akvekhd5zdzwhdtn9vbmqeq9-1,succeeded,68.00,HKD,4200267670135141208133368592,,,"{""bank_type"":""WPHK"",""state"":""SUCCESS"",""success_time"":""TIME"",""trade_type"":""AUTH""}"
    3,1,deduct,5,C-0004-poor/2026-03,2xpnf3cg6826nk4xhxhxhmxbkb-1,failed,38.00,HKD,,,declined: NOT_ENOUGH,"{""state"":""NOTPAY"",""trade_type"":""AUTH""}"
    4,1,deduct,6,C-0005-terminated/2026-03,2dtj5x9wt9sgvb25m84g8azx5t-1,failed,128.50,HKD,,,"declined: CONTRACT_NOT_EXIST (the contract decides) (contract: state TERMINATED, terminated_time 2026-02-01T00:00:00+08:00, termination_mode USER)","{""contract_is"":""ended""}"
    5,1,deduct,7,C-0006/2026-03,,rejected,,,,,"amount: ""thirty"" is not a number (write it like 12.50)",
    "#);
    let succeeded = app
        .payrun(&[
            "items",
            "--format",
            "json",
            "--state",
            "succeeded",
            "-n",
            "1",
        ])
        .exits(0)
        .stdout;
    insta::assert_snapshot!(timeless(&succeeded), @r#"{"amount":"38.00","currency":"HKD","duplicate_of":null,"item":1,"job":"deduct","key":"C-0001/2026-03","line":2,"next_at":null,"order_no":"4kxhbkhjrt4f4n4sjz2366dnz5-1","reason":null,"receipt":"4200100046878235461450202642","result":{"bank_type":"WPHK","state":"SUCCESS","success_time":"TIME","trade_type":"AUTH"},"run":1,"state":"succeeded","withdrawn":null,"withdrawn_at":null}"#);
    let one = app
        .payrun(&["items", "--json", "--key", "C-0002/2026-03"])
        .exits(0)
        .stdout;
    assert_eq!(
        serde_json::from_str::<Value>(&one).unwrap()["amount"],
        "68.00"
    );
    app.payrun(&["items", "--state", "done"])
        .exits(2)
        .says(expect!["the states are succeeded, failed"]);
    app.payrun(&["items", "-n", "2"])
        .exits(0)
        .says(expect!["more: --after 2"]);
}

#[test]
fn runs_as_json_tell_states_and_money() {
    let app = mixed();
    app.run().exits(3);
    let runs = app.payrun(&["runs", "--json"]).exits(0).stdout;
    insta::assert_snapshot!(timeless(&runs), @r#"
    [
      {
        "alarms": [],
        "amounts": {
          "failed": {
            "HKD": "166.50"
          },
          "succeeded": {
            "HKD": "106.00"
          }
        },
        "author": "ann",
        "by_state": {
          "failed": 2,
          "rejected": 1,
          "succeeded": 2
        },
        "finished_at": "TIME",
        "items": 5,
        "jobs": [
          {
            "by_state": {
              "failed": 2,
              "rejected": 1,
              "succeeded": 2
            },
            "columns_not_used": [],
            "failure": null,
            "failure_code": null,
            "finished_at": "TIME",
            "gateway": "hk",
            "kind": "deduct",
            "name": "deduct",
            "read_as": "CSV in UTF-8, separated by commas, columns named on line 1"
          }
        ],
        "occurrence": "manual TIME",
        "open": 0,
        "planned_at": "TIME",
        "run": 1,
        "skipped_of": [],
        "state": "finished",
        "workflow": "deductions",
        "workflow_version": "fe7157f44b52"
      }
    ]
    "#);
}

#[test]
fn an_item_is_shown_with_its_whole_history() {
    let app = mixed();
    app.run().exits(3);
    let item = app.json(&["show", "--item", "C-0005-terminated/2026-03", "--json"]);
    let events: Vec<String> = item["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            format!(
                "{} {} -> {} ({})",
                event["event"], event["from"], event["to"], event["why"]
            )
        })
        .collect();
    insta::assert_snapshot!(events.join("\n"), @r#"
    "claim" "planned" -> "sending" (null)
    "declined" "sending" -> "failed" ("declined: CONTRACT_NOT_EXIST (the contract decides) (contract: state TERMINATED, terminated_time 2026-02-01T00:00:00+08:00, termination_mode USER)")
    "#);
    let attempts: Vec<String> = item["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|attempt| {
            format!(
                "{} {} {} {}",
                attempt["operation"], attempt["answer"], attempt["code"], attempt["http"]
            )
        })
        .collect();
    insta::assert_snapshot!(attempts.join("\n"), @r#""deduct" "declined" "CONTRACT_NOT_EXIST" 403"#);
    assert!(
        item["attempts"][0]["evidence"]
            .as_str()
            .unwrap()
            .contains("CONTRACT_NOT_EXIST"),
        "{item:#}"
    );
    let number = item["order_no"].as_str().unwrap();
    app.payrun(&["show", "--item", number])
        .exits(0)
        .says(expect!["what happened to it"])
        .says(expect!["what was asked and answered"])
        .says(expect!["TERMINATED"]);
    app.payrun(&["show", "--item", "nobody"])
        .exits(2)
        .says(expect!["there is no item \"nobody\""]);
    app.payrun(&["show", "99"])
        .exits(2)
        .says(expect!["there is no such run"]);
}

#[test]
fn evidence_never_holds_keys_or_signatures() {
    let app = mixed();
    app.run().exits(3);
    let secret = std::fs::read_to_string(app.path("keys/api_v3_key.txt")).unwrap();
    let mut bytes = std::fs::read(app.database()).unwrap();
    bytes.extend(std::fs::read(app.path("payrun.db-wal")).unwrap_or_default());
    let text = String::from_utf8_lossy(&bytes);
    assert!(!text.contains(secret.trim()));
    assert!(!text.contains("PRIVATE KEY"));
    assert!(
        !text.contains("WECHATPAY2-SHA256-RSA2048"),
        "an Authorization header is kept"
    );
}

#[test]
fn check_reports_all_mistakes_with_their_places() {
    let app = mixed();
    app.payrun(&["check"])
        .exits(0)
        .says(expect!["payrun.yaml"])
        .prints(WORKFLOW);
    app.edit(WORKFLOW, "gateway: hk", "gateway: hq");
    app.edit(WORKFLOW, "retry: {", "rety: {");
    let ended = app.payrun(&["check"]).exits(2);
    insta::assert_snapshot!(ended.stderr, @r#"
    error: ./workflows/deductions.yaml:5:14: payrun.yaml has no gateway "hq"
      |     gateway: hq
      |              ^
        help: did you mean "hk"?
    ./workflows/deductions.yaml:16:5: unknown field "rety"
      |     rety: { attempts: 40, first: 50ms, max: 500ms }
      |     ^
        help: did you mean "retry"?
    "#);
    let json = app.json(&["check", "--json"]);
    assert_eq!(json["ok"], false);
    app.edit(
        "payrun.yaml",
        "timezone: Asia/Hong_Kong",
        "timezone: Asia/HongKong",
    );
    app.edit("payrun.yaml", "    rate: 5000/s", "    rate: fast");
    let ended = app.payrun(&["check"]).exits(2);
    insta::assert_snapshot!(ended.stderr, @r#"
    error: payrun.yaml:2:11: "Asia/HongKong" is no time zone
      | timezone: Asia/HongKong
      |           ^
        help: did you mean Asia/Hong_Kong?
    payrun.yaml:15:11: expected a rate (20/s, 600/min), found text
      |     rate: fast
      |           ^
    "#);
}

#[test]
fn check_online_tries_keys_clock_and_reachability() {
    let app = mixed();
    app.payrun(&["check", "--online"])
        .exits(0)
        .says(expect!["gateway hk"])
        .says(expect!["C-0005-terminated: state TERMINATED"]);
    app.payrun(&["doctor"]).exits(0).says(expect!["is sound"]);
    assert_eq!(app.charges(), 0);
    let base = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
    let base = base
        .lines()
        .find(|line| line.contains("base_url"))
        .unwrap()
        .to_owned();
    // Port 1 is nobody's.
    app.edit("payrun.yaml", &base, "    base_url: http://127.0.0.1:1");
    app.payrun(&["check", "--online"])
        .exits(2)
        .says(expect!["wrong"]);
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let folder = tempfile::tempdir().unwrap();
    Running::start(payrun(folder.path(), &["man", "pages"]))
        .wait(PATIENCE)
        .exits(0)
        .says(expect!["wrote the manual pages"]);
    let page =
        std::fs::read_to_string(folder.path().join("pages/payrun-contracts-import.1")).unwrap();
    assert!(
        page.contains("Take contracts from a CSV") && page.contains("dry\\-run"),
        "{page}"
    );
    let first = std::fs::read_to_string(folder.path().join("pages/payrun.1")).unwrap();
    assert_said(&first, expect!["Exit codes: 0 all succeeded"]);
    Running::start(payrun(folder.path(), &["man", "pages/payrun.1"]))
        .wait(PATIENCE)
        .exits(2)
        .says(expect!["cannot be written"]);
}

#[test]
fn schemas_are_json() {
    let folder = tempfile::tempdir().unwrap();
    for of in ["workflow", "config"] {
        let ended = Running::start(payrun(folder.path(), &["schema", of]))
            .wait(PATIENCE)
            .exits(0);
        let schema: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert!(
            schema["$schema"]
                .as_str()
                .is_some_and(|url| url.contains("json-schema.org")),
            "{schema}"
        );
        assert_eq!(schema["type"], "object", "{schema}");
    }
}

#[test]
fn completions_are_for_the_shell_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let completions =
        |shell| Running::start(payrun(folder.path(), &["completions", shell])).wait(PATIENCE);
    completions("bash")
        .exits(0)
        .says(expect!["_payrun()"])
        .says(expect!["complete -F _payrun"]);
    completions("fish")
        .exits(0)
        .says(expect!["complete -c payrun"]);
    completions("cmd").exits(2);
}

#[test]
fn a_failed_item_that_was_sent_is_asked_about_first_when_it_is_retried() {
    let app = mixed();
    app.run().exits(3);
    app.payrun(&["retry", "C-0005-terminated/2026-03", "--reason", "a test"])
        .exits(0)
        .says(expect!["1 now pending"])
        .says(expect!["queried first"]);
    app.payrun(&["run", "--resume"]).exits(3);
    let (_, events) = app
        .histories()
        .into_iter()
        .find(|(item, _)| item.key.starts_with("C-0005"))
        .unwrap();
    let after: Vec<_> = events
        .iter()
        .skip_while(|event| event.event != EventKind::Retry)
        .map(|event| (event.event.as_str(), event.from.as_str()))
        .collect();
    assert_eq!(
        after[..3],
        [
            ("retry", "failed"),
            ("claim", "pending"),
            ("absent", "pending")
        ],
        "{events:#?}"
    );
    app.payrun(&["retry", "C-0001/2026-03", "--reason", "a test"])
        .exits(3)
        .says(expect![
            "it is succeeded; only what has failed, was cancelled or needs review can be retried"
        ]);
    app.payrun(&["retry", "nobody", "--reason", "a test"])
        .exits(3)
        .says(expect!["there is no such item"]);
    app.payrun(&["retry"]).exits(2);
    app.payrun(&["retry", "C-0005-terminated/2026-03"])
        .exits(2)
        .says(expect!["give a reason"]);
    assert_eq!(app.charges(), 2);
}

#[test]
fn what_was_never_sent_can_be_cancelled_and_retried() {
    let setup = Setup {
        contracts: contracts("C", 40),
        rate: "1/s",
        ..Setup::default()
    };
    let app = App::of(setup);
    let running = app.start(&["run", WORKFLOW, "--date", DATE]);
    until("the first is charged", || app.charges() > 0);
    running.interrupt();
    running.wait(PATIENCE).exits(4);
    app.payrun(&["cancel", "C-0040/2026-03", "--reason", "a test"])
        .exits(0)
        .says(expect!["1 now cancelled"]);
    app.payrun(&["cancel", "C-0040/2026-03", "--reason", "a test"])
        .exits(3)
        .says(expect![
            "it is cancelled; only what has not ended can be withdrawn"
        ]);
    app.payrun(&["retry", "C-0040/2026-03", "--reason", "a test"])
        .exits(0)
        .says(expect!["1 now planned"]);
    let cancelled = app.json(&[
        "cancel", "--run", "1", "--state", "planned", "--yes", "--reason", "a test", "--json",
    ]);
    assert!(
        cancelled["moved"]["cancelled"].as_u64().unwrap() > 30,
        "{cancelled}"
    );
    app.payrun(&["run", "--resume"]).exits(0);
    assert!(app.charges() < 10);
}

#[test]
fn a_run_that_may_not_wait_leaves_what_is_due_later_open() {
    let app = mixed();
    app.edit(WORKFLOW, "dunning: [200ms, 400ms]", "dunning: [1d]");
    app.payrun(&["run", WORKFLOW, "--date", DATE, "--wait", "3s"])
        .exits(4)
        .says(expect!["what is open is not due yet; the next is due at"]);
    assert_eq!(
        app.by_state(),
        json!({ "succeeded": 2, "failed": 1, "planned": 1, "rejected": 1 })
    );
    app.payrun(&[
        "cancel", "--run", "1", "--state", "planned", "--yes", "--reason", "a test",
    ])
    .exits(0);
}

#[test]
fn a_resume_with_nothing_open_says_so() {
    let app = mixed();
    app.payrun(&["run", "--resume"])
        .exits(0)
        .says(expect!["nothing is open"]);
    assert_eq!(
        app.json(&["run", "--resume", "--json"]),
        json!({ "runs": [] })
    );
}

#[test]
fn init_brings_every_shipped_workflow_and_all_are_without_mistakes_where_they_belong() {
    let folder = tempfile::tempdir().unwrap();
    Running::start(payrun(folder.path(), &["init", "shop"]))
        .wait(PATIENCE)
        .exits(0);
    let shop = folder.path().join("shop");
    for entry in std::fs::read_dir(root().join("workflows")).unwrap() {
        let shipped = entry.unwrap().path();
        let name = shipped.file_name().unwrap();
        let text = std::fs::read_to_string(&shipped).unwrap();
        assert!(
            text.starts_with("# yaml-language-server: $schema=../schema/workflow.schema.json\n"),
            "{name:?}"
        );
        if !shop.join("workflows").join(name).exists() {
            std::fs::copy(
                shop.join("ready").join(name),
                shop.join("workflows").join(name),
            )
            .unwrap();
        }
    }
    Running::start(payrun(&shop, &["check"]))
        .wait(PATIENCE)
        .exits(0)
        .says(expect!["take-payments.yaml"]);
}

#[test]
fn init_makes_a_project_that_runs_against_the_sandbox_command() {
    let folder = tempfile::tempdir().unwrap();
    let within = |args: &[&str]| Running::start(payrun(&folder.path().join("shop"), args));
    Running::start(payrun(folder.path(), &["init", "shop"]))
        .wait(PATIENCE)
        .exits(0)
        .says(expect!["\nnext:\n  cd shop\n"]);
    Running::start(payrun(folder.path(), &["init", "shop"]))
        .wait(PATIENCE)
        .exits(2)
        .says(expect!["shop is a project already"]);
    within(&["check"]).wait(PATIENCE).exits(0);
    let mut sandbox = within(&[
        "sandbox",
        "--port",
        "0",
        "--faults",
        "some",
        "--latency",
        "1",
    ]);
    until("the sandbox listens", || {
        sandbox.stdout_so_far().contains("http://127.0.0.1:") || sandbox.has_ended()
    });
    let said = sandbox.stdout_so_far();
    let address = said
        .split("http://")
        .nth(1)
        .unwrap()
        .split(|c: char| !(c.is_ascii_digit() || ".:".contains(c)))
        .next()
        .unwrap();
    let config = std::fs::read_to_string(folder.path().join("shop/payrun.yaml")).unwrap();
    std::fs::write(
        folder.path().join("shop/payrun.yaml"),
        config.replace("127.0.0.1:4455", address),
    )
    .unwrap();
    let workflow = "workflows/monthly-deductions.yaml";
    let ended = within(&["run", workflow, "--wait", "1s", "--date", DATE]).wait(PATIENCE);
    assert!(matches!(ended.code(), Some(3 | 4)), "{ended:#?}");
    sandbox.interrupt();
    sandbox.wait(PATIENCE).exits(0);
}

/// Whoever is shown the dashboard on the day finds something to decide, to be told of, and to come.
#[test]
fn the_demo_that_is_served_leaves_no_page_empty() {
    let folder = tempfile::tempdir().unwrap();
    let demo = payrun(
        folder.path(),
        &[
            "demo",
            "--items",
            "40",
            "--faults",
            "none",
            "--serve",
            "--listen",
            "127.0.0.1:0",
        ],
    );
    let demo = Running::start(demo);
    until("the day is served", || {
        demo.stderr_so_far().contains("Ctrl-C stops")
    });
    let said = demo.stdout_so_far();
    assert!(said.contains("the books match"), "{said}");
    let asked = |args: &[&str]| -> Value {
        let command = payrun(&folder.path().join("payrun-demo"), args);
        let ended = Running::start(command).wait(PATIENCE).exits(0);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"))
    };
    let waiting = asked(&["approvals", "list", "--json"]);
    assert_eq!(waiting[0]["items"], 12, "{waiting}");
    let to_come = asked(&["schedule", "--json"]);
    assert!(
        to_come.to_string().contains("daily-statements"),
        "{to_come}"
    );
    until("somebody is told of the batch", || {
        let lasting = asked(&["alerts", "list", "--json"]);
        lasting.to_string().contains("awaiting_approval")
    });
    demo.interrupt();
    demo.wait(PATIENCE).exits(0);
}

#[test]
fn the_demo_ends_with_books_that_match() {
    let folder = tempfile::tempdir().unwrap();
    let demo = payrun(
        folder.path(),
        &[
            "demo", "--items", "150", "--faults", "heavy", "--seed", "5", "--json",
        ],
    );
    let ended = Running::start(demo).wait(PATIENCE).exits(0);
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        (
            &told["jobs"][0]["items"],
            &told["double_charges"],
            &told["lost"]
        ),
        (&json!(150), &json!(0), &json!(0)),
        "{told:#}"
    );
    for job in told["jobs"].as_array().unwrap() {
        assert_eq!(
            (&job["books_match"], &job["failure"]),
            (&json!(true), &Value::Null),
            "{job:#}"
        );
        assert!(
            job["by_state"]["succeeded"].as_u64().unwrap() > 0,
            "{job:#}"
        );
    }
    assert_eq!(told["books_match"], true);
    let closed: u64 = told["unknown_closed"]
        .as_object()
        .unwrap()
        .values()
        .map(|times| times.as_u64().unwrap())
        .sum();
    assert_eq!(
        told["unknown_opened"], closed,
        "every unknown was closed by evidence or needs review"
    );
    assert!(told["unknown_opened"].as_u64().unwrap() > 50, "{told:#}");
    for field in ["by_state", "faults", "reports", "seconds"] {
        assert!(!told[field].is_null(), "{field}");
    }
}

#[test]
fn every_kind_of_query_is_tried_and_a_parameter_that_the_gateway_refuses_is_named() {
    let app = App::of(Setup {
        refusals: true,
        ..Setup::default()
    });
    let told = app.payrun(&["check", "--online", "--contracts", "0"]);
    told.exits(0)
        .says(expect![
            "query: transaction: taken; answered HTTP 404 NOT_FOUND"
        ])
        .says(expect!["query: contract: taken"]);
    // Of a gateway that knows the account in the other mode.
    app.edit("payrun.yaml", "mode: common", "mode: institutional");
    app.edit("payrun.yaml", "    mchid:", "    sp_mchid:");
    app.edit(
        "payrun.yaml",
        "    appid:",
        "    sub_mchid: \"10000097\"\n    sp_appid:",
    );
    let told = app.payrun(&["check", "--online", "--contracts", "0"]);
    told.exits(2)
        .says(expect!["PARAM_ERROR"])
        .says(expect!["sub_mchid"]);
    assert_eq!(app.charges(), 0);
}

#[test]
fn what_rests_on_no_page_is_listed_for_the_configured_gateways() {
    let app = App::of(Setup::default());
    app.payrun(&["doctor", "--facts"])
        .exits(0)
        .says(expect!["wechat deduct, submit"])
        .says(expect!["NOT_ENOUGH"])
        .says(expect!["[C]"]);
    let listed = app.json(&["doctor", "--facts", "--json"]);
    let listed = listed.as_array().unwrap();
    assert!(
        listed.len() > 5 && listed.iter().all(|one| one["gateway"] == "wechat"),
        "{listed:?}"
    );
}
