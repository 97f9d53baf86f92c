//! Papers for finance: a run or a month as a page, a workbook and JSON; made when a run ends and a
//! month is over; found and fetched over the API.

use expect_test::expect;
use std::io::Cursor;

use calamine::{Data, Reader as _, Xlsx, open_workbook_from_rs};
use payrun::domain::actor::Actor;
use payrun::domain::time::Timestamp;
use payrun::ledger::NewRun;
use payrun::sandbox::faults::FaultPlan;
use reqwest::Method;
use serde_json::{Value, json};

use crate::statements::{day, reconciled, reconciled_with};
use crate::support::gateways::ORDERS;
use crate::support::service::Service;
use crate::support::smtp::MailServer;
use crate::support::{App, DATE, PATIENCE, Running, Setup, WORKFLOW, until};

/// Three that are charged, one that is poor, and a row that is no amount.
const CONTRACTS: &str = "contract_id,plan,amount,currency,active\n\
    C-0001,basic,38.00,HKD,yes\n\
    C-0002,basic,68.50,HKD,yes\n\
    C-0003,basic,1234567.89,HKD,yes\n\
    C-0004-poor,basic,38.00,HKD,yes\n\
    C-0005,basic,thirty,HKD,yes\n";

fn project() -> App {
    App::of(Setup {
        contracts: CONTRACTS.to_owned(),
        timeout: "20s",
        ..Setup::default()
    })
}

fn app() -> App {
    let app = project();
    app.payrun(&["run", WORKFLOW, "--date", DATE]).exits(3);
    app
}

/// Today on the clock of the projects of these tests.
fn today() -> chrono::NaiveDate {
    let now = chrono::Utc::now();
    now.with_timezone(&chrono_tz::Asia::Hong_Kong).date_naive()
}

fn this_month() -> String {
    today().format("%Y-%m").to_string()
}

/// A report as JSON.
fn report(app: &App, args: &[&str]) -> Value {
    let args: Vec<&str> = ["report"]
        .iter()
        .chain(args)
        .chain(&["-o", "report.json", "--force"])
        .copied()
        .collect();
    app.payrun(&args).exits(0);
    serde_json::from_slice(&std::fs::read(app.path("report.json")).unwrap()).unwrap()
}

fn page(app: &App, args: &[&str]) -> String {
    let args: Vec<&str> = ["report"]
        .iter()
        .chain(args)
        .chain(&["-o", "page.html", "--force"])
        .copied()
        .collect();
    app.payrun(&args).exits(0);
    std::fs::read_to_string(app.path("page.html")).unwrap()
}

#[test]
fn a_run_is_added_up_by_account_kind_and_currency_by_day_and_by_code() {
    let app = app();
    let report = report(&app, &["run", "1"]);
    assert_eq!(
        (&report["title"], &report["settled"]),
        (&json!("Run 1 of deductions"), &json!(true)),
        "{report}"
    );
    let totals = report["totals"].as_array().unwrap();
    assert_eq!(totals.len(), 2, "{totals:?}");
    let rejected = &totals[0];
    assert_eq!(
        (
            &rejected["currency"],
            &rejected["rejected"],
            &rejected["planned"]
        ),
        (&Value::Null, &json!(1), &json!(0)),
        "{rejected}"
    );
    let hkd = &totals[1];
    for (name, expected) in [
        ("account", json!("hk")),
        ("kind", json!("deduct")),
        ("currency", json!("HKD")),
        ("planned", json!(4)),
        ("planned_amount", json!("1234712.39")),
        ("succeeded", json!(3)),
        ("succeeded_amount", json!("1234674.39")),
        ("failed", json!(1)),
        ("failed_amount", json!("38.00")),
        ("unknown", json!(0)),
        ("needs_review", json!(0)),
    ] {
        assert_eq!(hkd[name], expected, "{name} of {hkd}");
    }
    // Everything was sent today, so the day has what the run has.
    let days = report["days"].as_array().unwrap();
    let of_day = days.iter().find(|row| row["currency"] == "HKD").unwrap();
    assert_eq!(of_day["day"], today().to_string());
    assert_eq!(of_day["succeeded_amount"], "1234674.39");
    let failed = &report["failed"];
    assert_eq!(failed[0]["code"], "NOT_ENOUGH");
    assert_eq!(failed[0]["failed"], 1);
    assert_eq!(failed[0]["failed_amount"], "38.00");
    assert_eq!(
        failed[0]["meaning"],
        "declined for now; another day it may succeed"
    );
    assert_eq!(report["refunds"], json!([]));

    let shown = app.payrun(&["report", "run", "1"]).exits(0);
    let shown = shown
        .says(expect!["everything is settled"])
        .says(expect!["NOT_ENOUGH"]);
    assert!(shown.stdout.contains("1234674.39"), "{}", shown.stdout);
    shown.says(expect!["-o FILE.html"]);
}

#[test]
fn a_page_needs_nothing_else_and_names_its_time_zone() {
    let app = app();
    let page = page(&app, &["run", "1"]);
    for wanted in [
        "<h1>Run 1 of deductions</h1>",
        "Everything is settled.",
        "Asia/Hong_Kong",
        env!("CARGO_PKG_VERSION"),
        "1\u{202f}234\u{202f}674.39<small>3×</small>",
        "NOT_ENOUGH",
        "@media print",
        "size: A4",
    ] {
        assert!(page.contains(wanted), "{wanted} is not in\n{page}");
    }
    for foreign in ["<script", "http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign} is in\n{page}");
    }
    // Nothing of a single payer.
    assert!(
        !page.contains("C-0001") && !page.contains("openid"),
        "{page}"
    );
}

#[test]
fn a_workbook_has_a_sheet_for_each_table_with_numbers_and_dates() {
    let app = app();
    let told = app.payrun(&["report", "month", &this_month(), "-o", "month.xlsx"]);
    told.exits(0).says(expect!["in month.xlsx"]);
    let bytes = std::fs::read(app.path("month.xlsx")).unwrap();
    let mut workbook: Xlsx<_> = open_workbook_from_rs(Cursor::new(bytes)).unwrap();
    let names = workbook.sheet_names();
    assert_eq!(names, ["report", "totals", "days", "failed", "runs"]);
    let mut sheet = |name: &str| -> Vec<Vec<Data>> {
        let range = workbook.worksheet_range(name).unwrap();
        range.rows().map(<[Data]>::to_vec).collect()
    };
    let column = |sheet: &[Vec<Data>], heading: &str| -> Vec<Data> {
        let place = sheet[0].iter().position(|one| *one == *heading);
        let place = place.unwrap_or_else(|| panic!("no {heading} in {:?}", sheet[0]));
        sheet[1..].iter().map(|row| row[place].clone()).collect()
    };
    let totals = sheet("totals");
    assert_eq!(
        column(&totals, "succeeded amount")[1],
        Data::Float(1_234_674.39)
    );
    assert_eq!(column(&totals, "rejected")[0], Data::Float(1.0));
    let days = column(&sheet("days"), "day");
    assert!(matches!(days[0], Data::DateTime(_)), "{days:?}");
    let failed = sheet("failed");
    assert_eq!(
        column(&failed, "code")[0],
        Data::String("NOT_ENOUGH".to_owned())
    );
    let runs = sheet("runs");
    assert_eq!(column(&runs, "run")[0], Data::Float(1.0));
    let planned = column(&runs, "planned (Asia/Hong_Kong)");
    assert!(matches!(planned[0], Data::DateTime(_)), "{planned:?}");
    let about: Vec<String> = sheet("report")
        .iter()
        .map(|row| row[0].to_string())
        .collect();
    for wanted in [
        "settled",
        "open",
        "time zone",
        "made (Asia/Hong_Kong)",
        "payrun",
    ] {
        assert!(
            about.contains(&wanted.to_owned()),
            "{wanted} is not in {about:?}"
        );
    }
}

/// What is in a file of a workbook.
fn part(workbook: &[u8], name: &str) -> String {
    let mut archive = zip::ZipArchive::new(Cursor::new(workbook)).unwrap();
    std::io::read_to_string(archive.by_name(name).unwrap()).unwrap()
}

#[test]
fn every_sheet_of_a_month_is_printed_as_wide_as_a_page_with_its_headings() {
    let app = app();
    app.payrun(&["report", "month", &this_month(), "-o", "month.xlsx"])
        .exits(0);
    let bytes = std::fs::read(app.path("month.xlsx")).unwrap();
    let workbook = part(&bytes, "xl/workbook.xml");
    for sheet in 1..=5 {
        let text = part(&bytes, &format!("xl/worksheets/sheet{sheet}.xml"));
        for wanted in [
            "<pageSetUpPr fitToPage=\"1\"/>",
            "orientation=\"landscape\"",
            "paperSize=\"9\"",
            "fitToHeight=\"0\"",
            "Page &amp;P of &amp;N",
        ] {
            assert!(
                text.contains(wanted),
                "{wanted} is not in sheet {sheet}: {text}"
            );
        }
    }
    assert_eq!(
        workbook.matches("_xlnm.Print_Titles").count(),
        5,
        "{workbook}"
    );
    assert_eq!(
        workbook.matches("_xlnm.Print_Area").count(),
        5,
        "{workbook}"
    );
}

#[test]
fn what_is_open_stands_first() {
    let app = project();
    app.payrun(&["pause", "all", "--reason", "a test"]).exits(0);
    app.payrun(&["run", WORKFLOW, "--date", DATE, "--wait", "0s"])
        .exits(4);
    let report = report(&app, &["run", "1"]);
    assert_eq!(report["settled"], false);
    assert_eq!(report["open"], json!(["4 items are still to be sent."]));
    assert!(page(&app, &["run", "1"]).contains("Not everything is settled yet."));
    app.payrun(&["report", "run", "1"])
        .exits(0)
        .says(expect!["4 items are still to be sent."]);
    app.payrun(&["resume", "all", "--reason", "a test"])
        .exits(0);
    app.payrun(&["run", "--resume"]).exits(3);
}

#[test]
fn a_month_has_the_runs_of_its_days_and_one_account_if_asked() {
    let app = app();
    let month = report(&app, &["month", &this_month()]);
    let run = report(&app, &["run", "1"]);
    for table in ["totals", "days", "failed"] {
        assert_eq!(month[table], run[table], "{table}");
    }
    assert_eq!(month["runs"][0]["run"], 1);
    assert_eq!(month["facts"]["time_zone"], "Asia/Hong_Kong");
    let open: Vec<&str> = month["open"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(open.contains(&"The month is not over."), "{open:?}");
    let first = today().format("%Y-%m-01").to_string();
    let wanted = format!("Account hk has no statement of {first}");
    if today().format("%d").to_string() != "01" {
        assert!(
            open.iter().any(|open| open.starts_with(&wanted)),
            "{open:?}"
        );
    }
    let none = report(&app, &["month", "2001-02"]);
    assert_eq!((&none["totals"], &none["runs"]), (&json!([]), &json!([])));
    assert_eq!(none["settled"], true);
    let of_hk = report(&app, &["month", &this_month(), "--account", "hk"]);
    assert_eq!(of_hk["totals"], month["totals"]);

    app.payrun(&["report", "month", &this_month(), "--account", "kh"])
        .exits(2)
        .says(expect!["payrun.yaml has no gateway account kh"])
        .says(expect!["there are: hk"]);
    app.payrun(&["report", "month", "2026-13"])
        .exits(2)
        .says(expect!["a month is written like 2026-03"]);
    app.payrun(&["report", "run", "7"])
        .exits(2)
        .says(expect!["there is no such run"]);
    app.payrun(&["report", "run", "1", "-o", "report.pdf"])
        .exits(2)
        .says(expect!["end it with one of .html, .xlsx, .json"]);
    app.write("mine.html", "mine");
    app.payrun(&["report", "run", "1", "-o", "mine.html"])
        .exits(2)
        .says(expect!["mine.html is there already"]);
    assert_eq!(std::fs::read(app.path("mine.html")).unwrap(), b"mine");
}

#[test]
fn what_gateways_settle_is_what_their_statements_say() {
    let rig = reconciled(FaultPlan::NONE, "days: 1");
    assert!(day("days: 1").contains("uses: statement"));
    let month = this_month();
    let (code, said) = rig.payrun(&["report", "month", &month, "-o", "month.json"]);
    assert_eq!(code, Some(0), "{said}");
    let text = std::fs::read(rig.folder.path().join("month.json")).unwrap();
    let report: Value = serde_json::from_slice(&text).unwrap();
    let rows = report["statements"].as_array().unwrap();
    for gateway in ["wechat", "hipopay"] {
        let row = rows.iter().find(|row| row["account"] == gateway).unwrap();
        // The reconciliation goes over the lines one by one; the report has the database add them up.
        let item = &rig.items_of(&format!("reconcile-{gateway}"))[0];
        let sums = &item["result"]["sums"]["HKD"];
        assert_eq!(row["payments"], ORDERS, "{row}");
        assert_eq!(
            row["payments_amount"], sums["payments"]["theirs"]["sum"],
            "{row}"
        );
        assert_eq!(row["fees_amount"], sums["fees"]["sum"], "{row}");
        assert_eq!(row["net_amount"], sums["net"]["sum"], "{row}");
        assert_eq!(row["days"], 1);
        let different = report["differences"].as_array().unwrap();
        let different = different.iter().find(|row| row["account"] == gateway);
        let different = different.unwrap_or_else(|| panic!("nothing of {gateway} in {report}"));
        for (name, expected) in [
            ("reason", json!("missing here")),
            ("state", json!("open")),
            ("currency", json!("HKD")),
            ("differences", json!(ORDERS)),
            ("theirs", sums["payments"]["theirs"]["sum"].clone()),
        ] {
            assert_eq!(different[name], expected, "{name} of {different}");
        }
    }
    let open = format!("{} differences are open.", 2 * ORDERS);
    let sentences = report["open"].as_array().unwrap();
    assert!(sentences.contains(&json!(open)), "{sentences:?}");
}

#[test]
fn what_other_systems_did_stands_beside_ours_and_both_add_up_to_the_statements() {
    for rule in ["ignore", "list"] {
        let rig = reconciled_with(FaultPlan::NONE, "days: 1", |rig| {
            let config = rig.folder.path().join("payrun.yaml");
            let text = std::fs::read_to_string(&config).unwrap();
            let ruled = format!("kind: wechat\n    others: {rule}\n");
            let told = text.replacen("kind: wechat\n", &ruled, 1);
            assert_ne!(told, text, "{text}");
            std::fs::write(&config, told).unwrap();
        });
        let month = this_month();
        for file in ["month.json", "month.html"] {
            let (code, said) = rig.payrun(&["report", "month", &month, "-o", file]);
            assert_eq!(code, Some(0), "{said}");
        }
        let read = |file: &str| std::fs::read_to_string(rig.folder.path().join(file)).unwrap();
        let report: Value = serde_json::from_str(&read("month.json")).unwrap();
        let of = |account: &str, table: &str| {
            let rows = report[table].as_array().unwrap();
            let found = rows.iter().filter(|row| row["account"] == account);
            found.cloned().collect::<Vec<_>>()
        };
        // No payment of the statements has an item here, and none begins as ours do.
        let [row] = &of("wechat", "statements")[..] else {
            panic!("{report}")
        };
        assert_eq!(row["payments_of_others"], ORDERS, "{row}");
        assert_eq!(row["payments_of_others_amount"], row["payments_amount"]);
        assert_eq!(row["fees_of_others_amount"], row["fees_amount"]);
        assert_eq!(row["net_of_others_amount"], row["net_amount"]);
        assert_eq!(
            (&row["payments_ours"], &row["payments_ours_amount"]),
            (&json!(0), &json!("0.00"))
        );
        let [day] = &of("wechat", "others")[..] else {
            panic!("{report}")
        };
        assert_eq!(day["day"], today().to_string());
        assert_eq!(day["currency"], "HKD");
        assert_eq!(day["payments"], ORDERS);
        for sum in ["payments_amount", "fees_amount", "net_amount"] {
            assert_eq!(day[sum], row[sum], "{sum} of {day}");
        }
        let item = &rig.items_of("reconcile-wechat")[0];
        let told = &item["result"]["sums"]["HKD"]["payments"]["of_others"]["sum"];
        assert_eq!(day["payments_amount"], *told);
        // An account without a rule has nothing of others.
        assert_eq!(of("hipopay", "others"), [] as [Value; 0]);
        let row = &of("hipopay", "statements")[0];
        assert_eq!(row["payments_of_others"], 0, "{row}");
        assert_eq!(row["payments_ours_amount"], row["payments_amount"]);
        let page = read("month.html");
        for heading in ["payments of others", "payments ours", "fees amount"] {
            assert!(page.contains(&format!(">{heading}</th>")), "{page}");
        }
    }
}

/// Plans a run without jobs so many days ago.
fn empty_run(app: &App, workflow: &str, occurrence: &str, days_ago: i64) {
    let at = chrono::Utc::now() - chrono::TimeDelta::days(days_ago);
    let now = Timestamp::from_millis(at.timestamp_millis());
    app.wait_for(async {
        let ledger = app.ledger().await;
        let run = NewRun {
            author: Actor::person("ann", "a test").unwrap(),
            workflow: workflow.to_owned(),
            occurrence: occurrence.to_owned(),
            source: String::new(),
            file: None,
            params: "{}".to_owned(),
            at: now,
            timezone: "UTC".to_owned(),
            now,
        };
        ledger.plan(run).await.unwrap().commit().await.unwrap();
        ledger.close().await;
    });
}

#[test]
fn hostile_names_make_no_markup() {
    let app = app();
    let occurrence = "\"'><img src=x onerror=alert(1)>\u{202e}";
    empty_run(&app, "<script>alert(1)</script>", occurrence, 0);
    for args in [&["run", "2"][..], &["month", &this_month()]] {
        let page = page(&app, args);
        assert!(
            !page.contains("<script") && !page.contains("<img"),
            "{page}"
        );
        assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
        assert!(
            !page.contains('\u{202e}') && page.contains("[U+202E]"),
            "{page}"
        );
    }
}

/// Status, headers and text of a path.
fn fetch(
    app: &App,
    service: &Service<'_>,
    token: &str,
    path: &str,
) -> (u16, Vec<(String, String)>, String) {
    let request = service.request(Method::GET, path).bearer_auth(token);
    app.wait_for(async {
        let response = request.send().await.unwrap();
        let headers = response.headers().iter();
        let headers = headers
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let status = response.status().as_u16();
        let bytes = response.bytes().await.unwrap();
        (
            status,
            headers,
            String::from_utf8_lossy(&bytes).into_owned(),
        )
    })
}

#[track_caller]
fn header<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    let found = headers.iter().find(|(one, _)| one == name);
    found.map_or("", |(_, value)| value)
}

#[test]
fn the_api_lists_reports_and_gives_only_what_it_lists() {
    let app = app();
    for (file, text) in [
        ("hk/reconcile-2026-11-01-2026-11-02.html", "<p>a page</p>"),
        ("hk/reconcile-2026-11-01-2026-11-02.csv", "reason\n"),
        ("hk/reconcile-2026-11-01-2026-11-02.json", "{\"a\": 1}"),
        ("hk/reconcile-2026-11-01-2026-11-02-run-7.html", "<p>7</p>"),
        (
            "hk/reconcile-2026-11-01-2026-11-02-run-9-2.html",
            "<p>9</p>",
        ),
        ("hk/notes.txt", "mine"),
        ("secret.html", "mine"),
        ("runs/run-1.html", "<p>run 1</p>"),
        ("runs/run-1.xlsx", "PK"),
        ("months/2026-11.html", "<p>month</p>"),
    ] {
        app.write(&format!("files/reports/{file}"), text);
    }
    app.write("files/statements/hk/2026-11-01.csv", "mine");
    app.edit(
        "payrun.yaml",
        "timezone: Asia/Hong_Kong\n",
        "timezone: Asia/Hong_Kong\nserver: { public_url: \"https://pay.example.com/payrun/\" }\n",
    );
    let service = Service::of(&app);
    let viewer = service.token("vera", "viewer");
    let listed = service.get(&viewer, "/api/v1/reports").body;
    let mut names: Vec<&str> = listed["reports"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|report| report["name"].as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "hk/reconcile-2026-11-01-2026-11-02",
            "hk/reconcile-2026-11-01-2026-11-02-run-7",
            "hk/reconcile-2026-11-01-2026-11-02-run-9-2",
            "months/2026-11",
            "runs/run-1"
        ],
        "{listed}"
    );
    let only = service.get(&viewer, "/api/v1/reports?kind=reconcile").body;
    let of_days = only["reports"].as_array().unwrap();
    assert_eq!(of_days.len(), 3, "{only}");
    let named = |name: &str| {
        of_days
            .iter()
            .find(|report| report["name"] == name)
            .unwrap()
    };
    for (end, run) in [
        ("", Value::Null),
        ("-run-7", json!(7)),
        ("-run-9-2", json!(9)),
    ] {
        let name = format!("hk/reconcile-2026-11-01-2026-11-02{end}");
        assert_eq!(named(&name)["run"], run, "{only}");
    }
    let told = app
        .payrun(&["report", "list", "--kind", "reconcile"])
        .exits(0);
    let told = told.says(expect!["hk/reconcile-2026-11-01-2026-11-02-run-9-2"]);
    assert_eq!(
        told.stdout.matches("reconcile-2026").count(),
        3,
        "{}",
        told.stdout
    );
    let reconciled = named("hk/reconcile-2026-11-01-2026-11-02");
    assert_eq!(
        (
            &reconciled["account"],
            &reconciled["from"],
            &reconciled["to"]
        ),
        (&json!("hk"), &json!("2026-11-01"), &json!("2026-11-02"))
    );
    let files = reconciled["files"].as_array().unwrap();
    assert_eq!(files.len(), 3, "{files:?}");
    assert_eq!(files[0]["bytes"], "<p>a page</p>".len());
    assert_eq!(
        files[0]["link"],
        "https://pay.example.com/payrun/api/v1/reports/hk/reconcile-2026-11-01-2026-11-02.html"
    );

    // Page by page, each once.
    let (mut seen, mut before) = (Vec::new(), String::new());
    loop {
        let listed = service
            .get(&viewer, &format!("/api/v1/reports?limit=1{before}"))
            .body;
        let reports = listed["reports"].as_array().unwrap();
        seen.extend(
            reports
                .iter()
                .map(|report| report["name"].as_str().unwrap().to_owned()),
        );
        match listed["next_before"].as_str() {
            Some(name) => before = format!("&before={name}"),
            None => break,
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, names);

    let (status, headers, page) = fetch(
        &app,
        &service,
        &viewer,
        "/api/v1/reports/hk/reconcile-2026-11-01-2026-11-02.html",
    );
    assert_eq!((status, page.as_str()), (200, "<p>a page</p>"));
    assert_eq!(header(&headers, "content-type"), "text/html; charset=utf-8");
    let policy = header(&headers, "content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'unsafe-inline';")
            && !policy.contains("script"),
        "{policy}"
    );
    assert_eq!(header(&headers, "x-content-type-options"), "nosniff");
    let (status, headers, _) = fetch(&app, &service, &viewer, "/api/v1/reports/runs/run-1.xlsx");
    assert_eq!(status, 200);
    assert_eq!(
        header(&headers, "content-disposition"),
        "attachment; filename=\"runs-run-1.xlsx\""
    );

    for path in [
        "secret.html",
        "hk/notes.txt",
        "runs/run-2.html",
        "runs/run-01.html",
        "runs/run-1.json",
        "hk/..%2F..%2Fstatements%2Fhk%2F2026-11-01.csv",
        "..%2Fstatements/hk",
        "%2e%2e/reconcile-2026-11-01-2026-11-02.html",
        "hk/reconcile-2026-11-01-2026-11-02.html%00",
        "../../../payrun.yaml",
    ] {
        let (status, _, said) = fetch(&app, &service, &viewer, &format!("/api/v1/reports/{path}"));
        assert!(matches!(status, 400 | 404), "{path}: {status} {said}");
        assert!(
            !said.contains("mine") && !said.contains("gateways:"),
            "{path}: {said}"
        );
    }
    for path in [
        "reports?kind=secret",
        "reports?before=runs/run-9",
        "reports?limit=0",
    ] {
        assert_eq!(
            service.get(&viewer, &format!("/api/v1/{path}")).status,
            400,
            "{path}"
        );
    }
    for path in ["reports", "reports/runs/run-1.html"] {
        let strangers = service.request(Method::GET, &format!("/api/v1/{path}"));
        assert_eq!(service.send(strangers).status, 401, "{path}");
        assert_eq!(
            service
                .get("payrun_nobody", &format!("/api/v1/{path}"))
                .status,
            401
        );
    }
}

/// A project whose workflow has a report made when a run ends.
fn reporting() -> App {
    let app = project();
    app.edit(
        WORKFLOW,
        "workflow: deductions\n",
        "workflow: deductions\nreport: true\n",
    );
    app
}

/// The files of a report, which are there.
fn kept(app: &App, name: &str) -> (String, Vec<u8>) {
    let file = |end: &str| app.path(&format!("files/reports/{name}.{end}"));
    let page = std::fs::read_to_string(file("html"));
    let workbook = std::fs::read(file("xlsx"));
    (
        page.unwrap_or_else(|error| panic!("{name}: {error}")),
        workbook.unwrap_or_else(|error| panic!("{name}: {error}")),
    )
}

/// `payrun` with its clock this many seconds ahead.
fn later(app: &App, args: &[&str], seconds: u64) -> Running {
    app.write("clock", (seconds * 1_000).to_string());
    let mut command = app.command(args);
    command.env("PAYRUN_CLOCK", app.path("clock"));
    Running::start(command)
}

#[test]
fn a_run_whose_workflow_says_so_has_its_report_when_it_ends_and_once_an_end() {
    let app = reporting();
    let ended = app.payrun(&["run", WORKFLOW, "--date", DATE]).exits(3);
    ended.says(expect!["report: ./files/reports/runs/run-1.html"]);
    let (page, workbook) = kept(&app, "runs/run-1");
    assert!(page.contains("<h1>Run 1 of deductions</h1>") && page.contains("NOT_ENOUGH"));
    assert!(workbook.starts_with(b"PK"));
    app.payrun(&["run", "--resume"])
        .exits(0)
        .never_says("report:");
    assert_eq!(kept(&app, "runs/run-1").0, page, "nothing is made again");

    // It ends once more, and the report is another one.
    let retry = [
        "retry", "--run", "1", "--state", "failed", "--yes", "--reason", "a test",
    ];
    app.payrun(&retry).exits(0);
    app.payrun(&["run", "--resume"])
        .exits(3)
        .says(expect!["report: ./files/reports/runs/run-1.html"]);
    assert_ne!(kept(&app, "runs/run-1").0, page);

    // A workflow that does not say so has none.
    app.edit(WORKFLOW, "report: true\n", "report: false\n");
    app.payrun(&["run", WORKFLOW, "--date", "2026-04-30", "--allow-future"])
        .exits(3)
        .never_says("report:");
    assert!(!app.path("files/reports/runs/run-2.html").exists());
}

#[test]
fn a_report_that_cannot_be_written_fails_no_run_and_is_made_later() {
    let app = reporting();
    app.write("files/reports", "a file where the folder should be");
    app.payrun(&["run", WORKFLOW, "--date", DATE])
        .exits(3)
        .says(expect!["a report could not be made; it is tried again"])
        .never_says("report: ");
    std::fs::remove_file(app.path("files/reports")).unwrap();
    later(&app, &["run", "--resume"], 120)
        .wait(PATIENCE)
        .exits(0)
        .says(expect!["report: ./files/reports/runs/run-1.html"]);
    kept(&app, "runs/run-1");
}

/// The month before this one.
fn last_month() -> String {
    let first = today().format("%Y-%m-01").to_string();
    let first: chrono::NaiveDate = first.parse().unwrap();
    first.pred_opt().unwrap().format("%Y-%m").to_string()
}

#[test]
fn the_reports_of_a_run_and_of_a_month_are_made_by_one_of_two_services() {
    let app = reporting();
    app.edit(
        "payrun.yaml",
        "timezone: Asia/Hong_Kong\n",
        "timezone: Asia/Hong_Kong\nmonthly: { on: 1, at: \"00:00\" }\n",
    );
    empty_run(&app, "old", "then", 40);
    app.payrun(&["pause", "all", "--reason", "a test"]).exits(0);
    app.payrun(&["run", WORKFLOW, "--date", DATE, "--wait", "0s"])
        .exits(4)
        .never_says("report:");
    app.payrun(&["resume", "all", "--reason", "a test"])
        .exits(0);
    let serve = ["serve", "--listen", "127.0.0.1:0", "--log", "info"];
    let services = [app.start(&serve), app.start(&serve)];
    let month = last_month();
    let page = |name: &str| app.path(&format!("files/reports/{name}.html"));
    until("both reports are there", || {
        page("runs/run-2").exists() && page(&format!("months/{month}")).exists()
    });
    // Both look again.
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    let told: String = services
        .into_iter()
        .map(|service| {
            service.interrupt();
            service.wait(PATIENCE).exits(0).stderr
        })
        .collect();
    let made = |name: &str| {
        let lines = told
            .lines()
            .filter(|line| line.contains("a report was made"));
        lines.filter(|line| line.contains(name)).count()
    };
    assert_eq!(made("runs/run-2"), 1, "{told}");
    assert_eq!(made(&format!("months/{month}")), 1, "{told}");
    let (page, _) = kept(&app, &format!("months/{month}"));
    assert!(page.contains("Asia/Hong_Kong"), "{page}");
    // Nor does one that begins later make them again.
    let service = Service::of(&app);
    let viewer = service.token("vera", "viewer");
    let before = service.get(&viewer, "/api/v1/reports?kind=month").body;
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let after = service.get(&viewer, "/api/v1/reports?kind=month").body;
    assert_eq!(before, after);
    assert_eq!(before["reports"][0]["month"], month, "{before}");
    assert_eq!(before["reports"].as_array().unwrap().len(), 1, "{before}");
}

#[test]
fn the_daily_mail_has_the_reports_of_its_runs_and_the_monthly_mail_that_of_the_month() {
    let server = MailServer::plain(json!({}));
    let app = reporting();
    // The minute begins a minute from now at the soonest, when the run has ended.
    let soon = chrono::Utc::now() + chrono::TimeDelta::seconds(121);
    let soon = soon
        .with_timezone(&chrono_tz::Asia::Hong_Kong)
        .format("%H:%M");
    app.edit(
        "payrun.yaml",
        "timezone: Asia/Hong_Kong\n",
        &format!(
            "timezone: Asia/Hong_Kong\nserver: {{ public_url: \"https://pay.example.com\" }}\n{}\
             daily: {{ at: \"{soon}\", to: [ann@example.com] }}\n\
             monthly: {{ on: 1, at: \"00:00\", to: [finance@example.com] }}\n",
            server.yaml()
        ),
    );
    empty_run(&app, "old", "then", 40);
    app.payrun(&["run", WORKFLOW, "--date", DATE])
        .exits(3)
        .says(expect![
            "report: https://pay.example.com/api/v1/reports/runs/run-2.html"
        ]);
    let service = later(&app, &["serve", "--listen", "127.0.0.1:0"], 130);
    until("both mails are there", || server.mails().len() >= 2);
    service.interrupt();
    service.wait(PATIENCE).exits(0);
    let mails = server.mails();
    let to = |name: &str| {
        let found = mails.iter().find(|mail| mail["to"][0] == name);
        found.unwrap_or_else(|| panic!("no mail to {name} in {mails:?}"))
    };
    let names = |mail: &Value| -> Vec<String> {
        let attached = mail["attachments"].as_array().unwrap();
        let names = attached.iter().map(|one| one["name"].as_str().unwrap());
        names.map(str::to_owned).collect()
    };
    let daily = to("ann@example.com");
    assert_eq!(names(daily), ["run-2.xlsx"], "{daily}");
    let workbook = kept(&app, "runs/run-2").1;
    assert_eq!(daily["attachments"][0]["bytes"], workbook.len());
    for body in ["text", "html"] {
        // HTML has slashes by their number.
        let body = daily[body].as_str().unwrap().replace("&#x2f;", "/");
        assert!(
            body.contains("run 2 of deductions")
                && body.contains("https://pay.example.com/api/v1/reports/runs/run-2.html"),
            "{body}"
        );
    }
    let (monthly, month) = (to("finance@example.com"), last_month());
    assert_eq!(
        monthly["headers"]["subject"],
        format!("[payrun] the report of {month}")
    );
    assert_eq!(
        names(monthly),
        [format!("{month}.html"), format!("{month}.xlsx")]
    );
    let link = format!("https://pay.example.com/api/v1/reports/months/{month}.html");
    assert!(
        monthly["text"].as_str().unwrap().contains(&link),
        "{monthly}"
    );
    assert_eq!(mails.len(), 2, "{mails:?}");
}
