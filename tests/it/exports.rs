//! Lists as files: what a clerk opens in Excel, what a program reads, and what nobody gets.

use expect_test::expect;
use std::io::{Cursor, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use calamine::{Data, Reader as _, Xlsx, open_workbook_from_rs};
use reqwest::Method;
use serde_json::Value;

use crate::support::service::Service;
use crate::support::{App, DATE, Setup, WORKFLOW};

/// Contracts whose plans are formulas and Chinese, one that is poor, and a row that is no amount.
const CONTRACTS: &str = "contract_id,plan,amount,currency,active\n\
    0000000000000012345,\"=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\",38.00,HKD,yes\n\
    C-0002,+1+1,68.50,HKD,yes\n\
    C-0003,@SUM(1),1234567.89,HKD,yes\n\
    C-0004-poor,会员月费,38.00,HKD,yes\n\
    C-0005,\"家庭, \"\"全年\"\"\",128.50,HKD,yes\n\
    C-0006,basic,thirty,HKD,yes\n";

fn app() -> App {
    let app = App::of(Setup {
        contracts: CONTRACTS.to_owned(),
        timeout: "20s",
        ..Setup::default()
    });
    app.payrun(&["run", WORKFLOW, "--date", DATE]).exits(3);
    app
}

/// The first sheet of a workbook, headings first.
fn sheet(bytes: &[u8]) -> Vec<Vec<Data>> {
    let mut workbook: Xlsx<_> = open_workbook_from_rs(Cursor::new(bytes.to_vec())).unwrap();
    let range = workbook.worksheet_range_at(0).unwrap().unwrap();
    range.rows().map(<[Data]>::to_vec).collect()
}

fn headings(sheet: &[Vec<Data>]) -> Vec<String> {
    sheet[0].iter().map(ToString::to_string).collect()
}

/// The cells of a column.
#[track_caller]
fn column(sheet: &[Vec<Data>], heading: &str) -> Vec<Data> {
    let headings = headings(sheet);
    let place = headings.iter().position(|one| one == heading);
    let place = place.unwrap_or_else(|| panic!("no {heading} in {headings:?}"));
    sheet[1..].iter().map(|row| row[place].clone()).collect()
}

fn texts(cells: &[Data]) -> Vec<String> {
    cells.iter().map(ToString::to_string).collect()
}

#[test]
fn a_workbook_has_ids_as_text_amounts_as_numbers_and_times_as_dates_of_the_zone() {
    let app = app();
    let told = app.payrun(&["items", "1", "-o", "items.xlsx"]).exits(0);
    assert_eq!(told.stdout, "6 items in items.xlsx\n");
    let sheet = sheet(&std::fs::read(app.path("items.xlsx")).unwrap());
    // What of the file names the row, and what became of it. The rest is among all columns.
    assert_eq!(
        headings(&sheet),
        [
            "contract_id",
            "key",
            "amount",
            "currency",
            "state",
            "reason",
            "last code",
            "gateway's words",
            "order number",
            "receipt",
            "last sent (Asia/Hong_Kong)",
            "run",
            "line",
            "item",
        ]
    );
    app.payrun(&["items", "1", "-o", "all.xlsx", "--all-columns"])
        .exits(0);
    let all = self::sheet(&std::fs::read(app.path("all.xlsx")).unwrap());

    let ids = column(&sheet, "contract_id");
    assert_eq!(ids[0], Data::String("0000000000000012345".to_owned()));
    let code = column(&all, "merchant_category_code");
    assert_eq!(code[0], Data::String("4900".to_owned()));
    let receipts = column(&sheet, "receipt");
    assert!(matches!(&receipts[0], Data::String(receipt) if receipt.len() == 28));
    let amounts = column(&sheet, "amount");
    assert_eq!(amounts[1], Data::Float(68.5));
    assert_eq!(amounts[2], Data::Float(1_234_567.89));
    assert_eq!(amounts[5], Data::Empty);
    for heading in ["planned", "last sent", "ended"] {
        let heading = format!("{heading} (Asia/Hong_Kong)");
        let cells = column(&all, &heading);
        assert!(
            matches!(cells[0], Data::DateTime(_)),
            "{heading}: {cells:?}"
        );
    }
    let fact = column(&all, "result_success_time (Asia/Hong_Kong)");
    assert!(matches!(fact[0], Data::DateTime(_)), "{fact:?}");
    assert_eq!(
        texts(&column(&sheet, "state")),
        [
            "succeeded",
            "succeeded",
            "succeeded",
            "failed",
            "succeeded",
            "rejected"
        ]
    );
    let reasons = texts(&column(&sheet, "reason"));
    assert!(reasons[3].contains("NOT_ENOUGH") && reasons[5].contains("is not a number"));
    assert_eq!(texts(&column(&sheet, "last code"))[3], "NOT_ENOUGH");
    assert!(!texts(&column(&sheet, "gateway's words"))[3].is_empty());
    // What looks like a formula is text in a workbook, as it is.
    let plans = texts(&column(&all, "description"));
    assert_eq!(plans[0], "=HYPERLINK(\"http://x\",\"y\") 2026-03");
    assert_eq!(plans[3], "会员月费 2026-03");
    assert_eq!(plans[4], "家庭, \"全年\" 2026-03");
}

#[test]
fn a_time_is_shown_on_the_clock_of_the_workflow_whose_zone_is_named() {
    let app = App::with_contracts(CONTRACTS);
    app.edit(
        WORKFLOW,
        "workflow: deductions\n",
        "workflow: deductions\nschedule: { every: day, at: \"09:30\", timezone: America/New_York }\n",
    );
    app.payrun(&["run", WORKFLOW, "--date", DATE]).exits(3);
    app.payrun(&["items", "-o", "items.ndjson"]).exits(0);
    app.payrun(&["items", "-o", "items.csv"]).exits(0);
    let lines = std::fs::read_to_string(app.path("items.ndjson")).unwrap();
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let planned = first["planned_at"].as_str().unwrap();
    assert!(
        planned.ends_with("-05:00") || planned.ends_with("-04:00"),
        "{planned}"
    );
    let csv = std::fs::read_to_string(app.path("items.csv")).unwrap();
    assert!(csv.contains("last sent (America/New_York)"), "{csv}");
    let shown = planned[..19].replace('T', " ");
    assert!(csv.contains(&shown), "{shown} is not in\n{csv}");
}

#[test]
fn a_csv_is_quoted_makes_no_formula_and_begins_with_a_mark_if_asked_for() {
    let app = app();
    app.payrun(&["items", "-o", "items.csv", "--bom", "--all-columns"])
        .exits(0);
    let bytes = std::fs::read(app.path("items.csv")).unwrap();
    assert!(bytes.starts_with(b"\xef\xbb\xbf"));
    let mut reader = csv::Reader::from_reader(&bytes[3..]);
    let headings = reader.headers().unwrap().clone();
    let place = |name: &str| headings.iter().position(|one| one == name).unwrap();
    let (plan, amount) = (place("description"), place("amount"));
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let plans: Vec<&str> = rows.iter().map(|row| &row[plan]).collect();
    assert_eq!(plans[0], "'=HYPERLINK(\"http://x\",\"y\") 2026-03");
    assert_eq!(plans[1], "'+1+1 2026-03");
    assert_eq!(plans[2], "'@SUM(1) 2026-03");
    assert_eq!(plans[4], "家庭, \"全年\" 2026-03");
    assert_eq!(&rows[2][amount], "1234567.89");

    let plain = app
        .payrun(&["items", "-o", "-", "--format", "csv", "--all-columns"])
        .exits(0);
    assert_eq!(plain.stdout.as_bytes(), &bytes[3..]);
    assert_eq!(plain.stderr, "6 items\n");
    app.payrun(&["items", "-o", "x.xlsx", "--bom"])
        .exits(2)
        .says(expect!["--bom belongs to a CSV"]);
}

#[test]
fn json_is_an_array_or_an_object_a_line() {
    let app = app();
    app.payrun(&["items", "-o", "items.json"]).exits(0);
    let text = std::fs::read_to_string(app.path("items.json")).unwrap();
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(all.len(), 6);
    assert_eq!(all[2]["amount"], "1234567.89");
    assert_eq!(all[0]["contract_id"], "0000000000000012345");
    assert_eq!(all[0]["result_bank_type"], "WPHK");
    assert_eq!(all[0]["run"], 1);
    assert_eq!(all[5]["amount"], Value::Null);
    let lines = app
        .payrun(&[
            "items", "-o", "-", "--format", "ndjson", "--state", "failed",
        ])
        .exits(0)
        .stdout;
    let one: Value = serde_json::from_str(lines.trim()).unwrap();
    assert_eq!(one["key"], "C-0004-poor/2026-03");
    assert_eq!(
        one["ended_at"].as_str().unwrap().len(),
        "2026-03-31T00:00:00+08:00".len()
    );
    app.payrun(&["items", "--state", "unknown", "-o", "none.json"])
        .exits(0);
    let none = std::fs::read_to_string(app.path("none.json")).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(&none).unwrap(),
        serde_json::json!([])
    );
}

#[test]
fn a_file_that_is_there_stays_unless_it_is_meant_and_only_its_owner_reads_it() {
    let app = app();
    app.write("items.csv", "mine");
    app.payrun(&["items", "-o", "items.csv"])
        .exits(2)
        .says(expect!["items.csv is there already"]);
    assert_eq!(std::fs::read(app.path("items.csv")).unwrap(), b"mine");
    app.payrun(&["items", "-o", "items.csv", "--force"])
        .exits(0);
    let written = std::fs::metadata(app.path("items.csv")).unwrap();
    assert_eq!(written.permissions().mode() & 0o777, 0o600);
    let left = std::fs::read_dir(app.path("")).unwrap();
    let left = left.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with(".payrun-")
    });
    assert_eq!(left.count(), 0, "the file beside it is gone");

    app.payrun(&["items", "-o", "items"])
        .exits(2)
        .says(expect!["does not say by its end what to write"]);
    app.payrun(&["items", "-o", "-"])
        .exits(2)
        .says(expect!["standard output has no name"]);
    app.payrun(&["items", "-o", "nowhere/items.csv"])
        .exits(2)
        .says(expect!["nowhere/items.csv cannot be written"]);
    app.payrun(&["items", "--format", "xlsx"])
        .exits(2)
        .says(expect!["a workbook goes into a file"]);
    app.payrun(&["items", "-o", "x.csv", "--format", "table"])
        .exits(2)
        .says(expect!["is for the screen"]);
}

/// Runs a command whose reader goes away after one byte; its exit code and what it says.
fn unread(app: &App, args: &[&str]) -> (Option<i32>, String) {
    let mut command = app.command(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0]).unwrap();
    drop(out);
    let ended = child.wait_with_output().unwrap();
    (
        ended.status.code(),
        String::from_utf8(ended.stderr).unwrap(),
    )
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    // More than a pipe holds.
    let rows: String = (0..1500)
        .map(|n| format!("C-{n:04},{},38.00,HKD,no\n", "x".repeat(60)))
        .collect();
    let contracts = format!("contract_id,plan,amount,currency,active\n{rows}");
    let app = App::with_contracts(&contracts.replace(",no\n", ",yes\n"));
    app.payrun(&["pause", "all", "--reason", "a test"]).exits(0);
    app.payrun(&["run", WORKFLOW, "--date", DATE, "--wait", "0s"])
        .exits(4);
    for args in [
        &["items", "-n", "0", "--format", "csv"][..],
        &["items", "-n", "0", "--json"],
        &["items", "-o", "-", "--format", "csv"],
        &["items", "-o", "-", "--format", "ndjson"],
        &["items", "-o", "-", "--format", "xlsx"],
    ] {
        let (code, said) = unread(&app, args);
        assert_eq!((code, said.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn runs_contracts_totals_and_the_audit_log_go_into_files_too() {
    let app = app();
    app.write(
        "data/subscriptions.csv",
        "contract_id,amount,currency,start,anchor_day,description\n0012,38.00,HKD,2099-01-31,31,会员月费\n",
    );
    app.payrun(&[
        "contracts",
        "import",
        "data/subscriptions.csv",
        "--by",
        "ann",
    ])
    .exits(0);
    app.payrun(&["pause", "all", "--reason", "=1+1"]).exits(0);
    let of = |args: &[&str], file: &str| {
        let args: Vec<&str> = args.iter().copied().chain(["-o", file]).collect();
        app.payrun(&args).exits(0);
        sheet(&std::fs::read(app.path(file)).unwrap())
    };

    let runs = of(&["runs"], "runs.xlsx");
    assert_eq!(
        column(&runs, "items"),
        [Data::Float(5.0), Data::Float(0.0)][..]
            .to_vec()
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
    );
    for name in texts(&column(&runs, "occurrence")) {
        assert!(name.ends_with("(Asia/Hong_Kong)"), "{name}");
    }
    let rejected = column(&runs, "rejected");
    assert!(rejected.contains(&Data::Float(1.0)), "{rejected:?}");
    let contracts = of(&["contracts", "list"], "contracts.xlsx");
    assert_eq!(
        column(&contracts, "contract id")[0],
        Data::String("0012".to_owned())
    );
    assert!(matches!(column(&contracts, "start")[0], Data::DateTime(_)));
    assert_eq!(texts(&column(&contracts, "description")), ["会员月费"]);
    let audit = of(&["audit", "export"], "audit.xlsx");
    assert_eq!(
        texts(&column(&audit, "reason")),
        ["imported from subscriptions.csv", "=1+1"]
    );
    let totals = of(&["totals", "1", "--by", "account,kind,day"], "totals.xlsx");
    assert_eq!(texts(&column(&totals, "account")), ["hk", "hk"]);
    assert!(matches!(
        column(&totals, "day (Asia/Hong_Kong)")[0],
        Data::DateTime(_)
    ));
    assert_eq!(column(&totals, "succeeded")[1], Data::Float(4.0));
    assert_eq!(
        column(&totals, "succeeded amount")[1],
        Data::Float(1_234_802.89)
    );
    assert_eq!(column(&totals, "failed amount")[1], Data::Float(38.0));
}

#[test]
fn what_was_never_to_be_sent_is_counted_and_in_no_sum_of_a_run() {
    let app = App::with_contracts(
        "contract_id,plan,amount,currency,active\nC-1,basic,38.00,HKD,yes\n\
         C-2,basic,10.00,HKD,yes\nC-2,basic,11.00,HKD,yes\n",
    );
    app.payrun(&["run", WORKFLOW, "--date", DATE]).exits(3);
    let run = app.json(&["show", "1", "--json"]);
    assert_eq!(run["by_state"]["rejected"], 2, "{run}");
    assert_eq!(
        run["amounts"].to_string(),
        r#"{"succeeded":{"HKD":"38.00"}}"#
    );
    assert_eq!(run["workflow_version"].as_str().map(str::len), Some(12));
    let shown = app.payrun(&["show", "1"]).exits(0).stdout;
    let rejected = shown
        .lines()
        .find(|line| line.contains("rejected"))
        .unwrap();
    assert!(!rejected.contains("HKD"), "{shown}");
    let version = run["workflow_version"].as_str().unwrap();
    assert!(
        shown.contains(&format!("planned with version {version}")),
        "{shown}"
    );
}

#[test]
fn totals_add_up_a_run_or_a_month_by_what_is_asked_for() {
    let app = app();
    let of_run = app.payrun(&["totals", "1"]).exits(0).stdout;
    let of_month = app.payrun(&["totals"]).exits(0).stdout;
    let rows = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&of_run), rows(&of_month));
    insta::assert_snapshot!(of_run, @r"
    run 1
    ACCOUNT  KIND    CURRENCY  ITEMS      AMOUNT  SUCCEEDED  SUCCEEDED AMOUNT  FAILED  FAILED AMOUNT  REJECTED
    hk       deduct                0                      0                         0                        1
    hk       deduct  HKD           5  1234840.89          4        1234802.89       1          38.00         0
    ");
    let by_state = app
        .payrun(&["totals", "1", "--by", "state"])
        .exits(0)
        .stdout;
    insta::assert_snapshot!(by_state, @r"
    run 1
    STATE      CURRENCY  ITEMS      AMOUNT
    failed     HKD           1       38.00
    rejected                 1
    succeeded  HKD           4  1234802.89
    ");
    app.payrun(&["totals", "--month", "2001-02"])
        .exits(0)
        .says(expect!["nothing was planned"]);
    app.payrun(&["totals", "7"])
        .exits(2)
        .says(expect!["no such run"]);
    app.payrun(&["totals", "--month", "2026-13"])
        .exits(2)
        .says(expect!["a month is written like 2026-03"]);
    app.payrun(&["totals", "--by", "colour"])
        .exits(2)
        .says(expect![
            "day, run, workflow, account, kind, state, currency"
        ]);
}

/// Status, headers and bytes of a request.
fn fetch(app: &App, request: reqwest::RequestBuilder) -> (u16, String, String, Vec<u8>) {
    app.wait_for(async {
        let response = request.send().await.unwrap();
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
        };
        let (status, kind) = (response.status().as_u16(), header("content-type"));
        let disposition = header("content-disposition");
        let bytes = response.bytes().await.unwrap().to_vec();
        (status, kind, disposition, bytes)
    })
}

#[test]
fn the_api_gives_the_same_files_to_whoever_may_read() {
    let app = app();
    let service = Service::of(&app);
    let viewer = service.token("vera", "viewer");
    let get = |path: &str| {
        let request = service.request(Method::GET, path).bearer_auth(&viewer);
        fetch(&app, request)
    };
    let (status, kind, disposition, bytes) = get("/api/v1/exports/items?run=1");
    assert_eq!(status, 200);
    assert!(kind.contains("spreadsheetml"), "{kind}");
    assert_eq!(disposition, "attachment; filename=\"items-of-run-1.xlsx\"");
    let sheet = sheet(&bytes);
    assert_eq!(sheet.len(), 7);
    assert_eq!(column(&sheet, "amount")[1], Data::Float(68.5));

    app.payrun(&["items", "-o", "items.csv"]).exits(0);
    let (_, kind, _, bytes) = get("/api/v1/exports/items?format=csv");
    assert_eq!(kind, "text/csv; charset=utf-8");
    assert_eq!(bytes, std::fs::read(app.path("items.csv")).unwrap());
    let (_, _, _, bytes) = get("/api/v1/exports/items?format=csv&bom=true");
    assert!(bytes.starts_with(b"\xef\xbb\xbf"));
    let (_, _, disposition, bytes) = get("/api/v1/exports/runs?format=json");
    assert_eq!(disposition, "attachment; filename=\"runs.json\"");
    assert!(serde_json::from_slice::<Value>(&bytes).unwrap().is_array());
    for path in ["contracts", "audit", "totals?run=1"] {
        let (status, ..) = get(&format!("/api/v1/exports/{path}"));
        assert_eq!(status, 200, "{path}");
    }

    for (path, word) in [
        (
            "items?format=pdf",
            "format is one of xlsx, csv, json, ndjson",
        ),
        ("items?bom=true", "bom belongs to format=csv"),
        ("items?state=done", "state is one of"),
        ("items?stat=failed", "stat"),
        ("totals", "either run or month"),
        ("totals?month=2026-13", "2026-03"),
    ] {
        let (status, _, _, bytes) = get(&format!("/api/v1/exports/{path}"));
        let said = String::from_utf8(bytes).unwrap();
        assert!(
            status == 400 && said.contains(word),
            "{path}: {status} {said}"
        );
    }
    let nobody = service.request(Method::GET, "/api/v1/exports/items");
    assert_eq!(fetch(&app, nobody).0, 401);
}

/// A project whose file is a clerk's, with headings of her own.
fn with_own_headings() -> App {
    let app = App::with_contracts(
        "合同号,plan,金额,currency,active\nC-1,basic,38.00,HKD,yes\nC-2,basic,39.00,HKD,yes\n",
    );
    let yaml = std::fs::read_to_string(app.path(WORKFLOW)).unwrap();
    let yaml = yaml
        .replace("item.contract_id", "item.合同号")
        .replace("item.amount", "item.money")
        .replace(
            "file: ../data/contracts.csv\n",
            "file: ../data/contracts.csv\n      columns: { money: [金额, 数额] }\n",
        );
    app.write(WORKFLOW, yaml);
    app.run().exits(0);
    app
}

#[test]
fn the_columns_of_a_persons_file_keep_their_headings_and_payruns_may_be_chinese() {
    let app = with_own_headings();
    app.payrun(&["items", "-o", "items.xlsx"]).exits(0);
    let english = sheet(&std::fs::read(app.path("items.xlsx")).unwrap());
    assert_eq!(texts(&column(&english, "合同号")), ["C-1", "C-2"]);
    assert_eq!(column(&english, "金额")[1], Data::Float(39.0));
    assert_eq!(texts(&column(&english, "state")), ["succeeded"; 2]);
    app.payrun(&["items", "-o", "zh.csv", "--lang", "zh"])
        .exits(0);
    let chinese = std::fs::read_to_string(app.path("zh.csv")).unwrap();
    let first = chinese.lines().next().unwrap();
    for heading in [
        "合同号",
        "金额",
        "状态",
        "原因",
        "网关流水号",
        "最近发送时间 (Asia/Hong_Kong)",
        "状态代码",
        "原因原文",
    ] {
        assert!(
            first.split(',').any(|one| one == heading),
            "{heading}: {first}"
        );
    }
    assert!(
        chinese.contains(",成功,succeeded,") && !chinese.contains(",succeeded,succeeded,"),
        "{chinese}"
    );
    // Programs have the names of the fields, whatever people call them.
    app.payrun(&["items", "-o", "items.json", "--lang", "zh"])
        .exits(0);
    let json = std::fs::read_to_string(app.path("items.json")).unwrap();
    let all: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert_eq!(all[0]["contract_id"], "C-1");
    assert_eq!(all[1]["amount"], "39.00");
    assert_eq!(
        (&all[0]["state"], &all[0]["kind"], &all[0]["kind_code"]),
        (&"succeeded".into(), &"deduct".into(), &"deduct".into())
    );
    // What a person asks about first is less than all there is.
    app.payrun(&["items", "-o", "all.xlsx", "--all-columns"])
        .exits(0);
    let all = sheet(&std::fs::read(app.path("all.xlsx")).unwrap());
    assert!(headings(&all).len() > headings(&english).len());
    assert!(headings(&all).contains(&"kind".to_owned()));
    assert!(!headings(&english).contains(&"kind".to_owned()));
}

#[test]
fn states_kinds_and_reasons_are_chinese_and_payruns_own_words_stand_beside_them() {
    let app = app();
    app.payrun(&["items", "-o", "zh.xlsx", "--lang", "zh", "--all-columns"])
        .exits(0);
    let zh = sheet(&std::fs::read(app.path("zh.xlsx")).unwrap());
    let of = |heading: &str| texts(&column(&zh, heading));
    assert_eq!(of("状态")[3..], ["失败", "成功", "被拒绝"]);
    assert_eq!(of("状态代码")[3..], ["failed", "succeeded", "rejected"]);
    assert_eq!(of("作业类型")[0], "委托代扣");
    assert_eq!(of("类型代码")[0], "deduct");
    assert!(
        of("原因")[5].starts_with("amount：「thirty」不是数字"),
        "{:?}",
        of("原因")
    );
    assert!(of("原因原文")[5].starts_with("amount: \"thirty\" is not a number"));
    assert!(of("原因")[3].starts_with("没有执行："), "{:?}", of("原因"));
    assert!(
        of("原因原文")[3].contains("NOT_ENOUGH"),
        "{:?}",
        of("原因原文")
    );
    assert_eq!(of("网关代码")[3], "NOT_ENOUGH");
}

#[test]
fn a_list_as_people_ask_for_it_is_printed_across_one_page_with_its_headings_on_each() {
    let app = app();
    app.payrun(&["items", "-o", "items.xlsx"]).exits(0);
    let bytes = std::fs::read(app.path("items.xlsx")).unwrap();
    let mut workbook = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut part = |name: &str| {
        let mut text = String::new();
        let mut file = workbook.by_name(name).unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    };
    let sheet = part("xl/worksheets/sheet1.xml");
    assert!(
        sheet.contains("fitToPage=\"1\"") && sheet.contains("orientation=\"landscape\""),
        "{sheet}"
    );
    // As wide as one page is what is not said.
    assert!(
        !sheet.contains("fitToWidth") && sheet.contains("fitToHeight=\"0\""),
        "{sheet}"
    );
    assert!(part("xl/workbook.xml").contains("_xlnm.Print_Titles"));
}

#[test]
fn a_heading_of_one_workflows_file_is_not_taken_for_the_field_of_another() {
    let app = with_own_headings();
    let yaml = std::fs::read_to_string(app.path(WORKFLOW)).unwrap();
    let other = yaml
        .replace("workflow: deductions", "workflow: others")
        .replace(
            "contract_id: \"{{ item.合同号 }}\"",
            "contract_id: \"O-{{ item.合同号 }}\"",
        )
        .replace("key: \"", "key: \"O-");
    app.write("workflows/others.yaml", other);
    app.payrun(&["run", "workflows/others.yaml", "--date", DATE])
        .exits(0);
    app.payrun(&["items", "-o", "all.csv"]).exits(0);
    let csv = std::fs::read_to_string(app.path("all.csv")).unwrap();
    let first = csv.lines().next().unwrap();
    assert!(first.split(',').any(|one| one == "contract_id"), "{first}");
    assert!(first.split(',').all(|one| one != "合同号"), "{first}");
    // What both call the same keeps its name.
    assert!(first.split(',').any(|one| one == "金额"), "{first}");
}

#[test]
fn items_of_a_day_are_those_of_the_runs_that_were_planned_on_it() {
    let app = app();
    let now = chrono::Utc::now().with_timezone(&chrono_tz::Asia::Hong_Kong);
    let day = |days: i64| (now.date_naive() + chrono::TimeDelta::days(days)).to_string();
    let listed = |args: &[&str]| {
        let args = [&["items", "--json"], args].concat();
        app.payrun(&args).exits(0).stdout.lines().count()
    };
    let (before, after) = (day(-1), day(1));
    assert_eq!(listed(&["--since", &before, "--until", &after]), 6);
    assert_eq!(listed(&["--since", &before, "--state", "failed"]), 1);
    assert_eq!(listed(&["--until", &day(-2)]), 0);
    assert_eq!(listed(&["--day", "2001-01-01"]), 0);
    assert_eq!(listed(&["1", "--day", "2001-01-01"]), 0);
    let of_days: usize = [-1, 0, 1]
        .map(|days| listed(&["--day", &day(days)]))
        .iter()
        .sum();
    assert_eq!(of_days, 6);
    app.payrun(&["items", "--since", &after, "--until", &before])
        .exits(2)
        .says(expect!["the last day is before the first"]);
    app.payrun(&["items", "--day", "3 March"]).exits(2);
    let service = Service::of(&app);
    let viewer = service.token("vera", "viewer");
    let rows = |query: &str| {
        let path = format!("/api/v1/exports/items?format=ndjson&{query}");
        let request = service.request(Method::GET, &path).bearer_auth(&viewer);
        let (status, _, _, bytes) = fetch(&app, request);
        (status, String::from_utf8(bytes).unwrap().lines().count())
    };
    assert_eq!(rows(&format!("since={before}")), (200, 6));
    assert_eq!(rows("day=2001-01-01"), (200, 0));
    assert_eq!(rows("day=2001-01-01&since=2001-01-01").0, 400);
    assert_eq!(rows("lang=fr").0, 400);
}
