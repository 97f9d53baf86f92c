//! What an item file may take of the machine, and for how long: the process that reads a workbook,
//! memory, temporary space.

use expect_test::expect;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::input_files::{Peaks, begin, on_both_engines, refused, repeat, with_param, workbook};
use crate::support::gateways::personal_key;
use crate::support::service::{Service, days_ago};
use crate::support::{App, DATE, PATIENCE, WORKFLOW, contracts, until};

const HEAD: &[u8] =
    br#"<worksheet><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>contract_id</t></is></c></row>"#;
const TAIL: &[u8] = b"</sheetData></worksheet>";

/// A workbook with this behind the header of its sheet, so many times.
fn sheet_of(repeated: &str, times: usize) -> Vec<u8> {
    workbook(&[("xl/worksheets/sheet1.xml", &|out| {
        out.write_all(HEAD).unwrap();
        repeat(out, repeated, times);
        out.write_all(TAIL).unwrap();
    })])
}

/// Within all bounds, and long to read: a million rows of empty cells.
fn long_to_read() -> Vec<u8> {
    sheet_of("<row><c/><c/><c/><c/><c/><c/><c/><c/></row>", 1_000_000)
}

/// The processes that read a workbook for this service.
fn readers(service: &Service<'_>) -> Vec<u32> {
    children(service.id())
}

fn children(process: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        found.extend(
            children
                .split_whitespace()
                .filter_map(|child| child.parse::<u32>().ok()),
        );
    }
    found
}

fn reader_of(service: &Service<'_>) -> u32 {
    until("a workbook is being read", || !readers(service).is_empty());
    readers(service)[0]
}

/// Whether a process is there and has not ended.
fn lives(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// How long it goes on from now.
fn goes_on(id: u32) -> Duration {
    let began = Instant::now();
    until("the reader has ended", || !lives(id));
    began.elapsed()
}

/// An upload that nobody waits for; whoever drops it goes away.
fn uploading(
    service: &Service<'_>,
    token: &str,
    file: Vec<u8>,
) -> impl Future<Output = ()> + Send + 'static {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(format!("{}/api/v1/files?format=xlsx", service.address))
        .bearer_auth(token)
        .body(file);
    async move {
        request.send().await.ok();
    }
}

#[test]
fn a_workbook_of_endless_rows_or_cells_is_refused() {
    refused(
        "empty rows",
        &sheet_of("<row/>", 2_000_000),
        "more than 1,048,576 rows",
    );
    let cells = format!("<row>{}</row>", "<c/>".repeat(1_000));
    refused(
        "empty cells",
        &sheet_of(&cells, 17_000),
        "more than 16,000,000 cells",
    );
    refused(
        "one cell again and again",
        &sheet_of(r#"<c r="A3"/>"#, 100_000),
        "cannot be read any further",
    );
    refused(
        "cells of one row",
        &sheet_of("<c/>", 20_000),
        "cannot be read any further",
    );
}

#[test]
fn a_workbook_that_takes_too_long_to_read_is_refused_in_words() {
    let app = App::with_contracts(&contracts("C", 1));
    app.edit(WORKFLOW, "contracts.csv", "contracts.xlsx");
    app.write("data/contracts.xlsx", long_to_read());
    let planning = app.start(&["plan", WORKFLOW, "--date", DATE]);
    let mut reader = None;
    until("a workbook is being read", || {
        reader = children(planning.id()).first().copied();
        reader.is_some()
    });
    let limits =
        || std::fs::read_to_string(format!("/proc/{}/limits", reader.unwrap())).unwrap_or_default();
    let cpu = || {
        limits()
            .lines()
            .find(|line| line.starts_with("Max cpu time"))
            .unwrap_or_default()
            .to_owned()
    };
    until("its time is bounded", || {
        cpu().split_whitespace().nth(3) == Some("120")
    });
    // As the system does when that time is over.
    let over = std::process::Command::new("kill")
        .args(["-XCPU", &reader.unwrap().to_string()])
        .status();
    assert!(over.unwrap().success());
    planning
        .wait(PATIENCE)
        .exits(2)
        .says(expect!["takes longer to read than a workbook may"]);
}

#[test]
fn the_reader_of_a_workbook_ends_with_its_request() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let request = uploading(&service, &token, long_to_read());
    let request = app.spawn(request);
    let reader = reader_of(&service);
    request.abort();
    let took = goes_on(reader);
    println!("the reader ended {took:?} after its caller had gone");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn the_reader_of_a_workbook_ends_with_the_service() {
    let app = App::with_contracts(&contracts("C", 1));
    app.edit(WORKFLOW, "contracts.csv", "contracts.xlsx");
    app.write("data/contracts.xlsx", long_to_read());
    for kill in [false, true] {
        let service = Service::of(&app);
        let token = service.token(if kill { "bob" } else { "ann" }, "operator");
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let run = client
            .post(format!("{}/api/v1/runs", service.address))
            .bearer_auth(&token);
        let run = run
            .header("Idempotency-Key", "k-1")
            .header("content-type", "application/json");
        let run = run.body(json!({ "workflow": "deductions", "date": days_ago(30) }).to_string());
        let run = app.spawn(run.send());
        let reader = reader_of(&service);
        let began = Instant::now();
        if kill {
            service.kill();
        } else {
            assert_eq!(service.stop().code(), Some(0));
        }
        let ended = began.elapsed();
        let took = goes_on(reader);
        println!("killed: {kill}; the service ended after {ended:?}, the reader {took:?} later");
        assert!(
            ended < Duration::from_secs(5) && took < Duration::from_secs(2),
            "{kill}: {ended:?} {took:?}"
        );
        run.abort();
    }
}

#[test]
fn over_the_api_a_parameter_names_no_file() {
    on_both_engines(|setup| {
        let app = with_param(setup);
        app.write("workflows/beside.csv", contracts("X", 2));
        std::os::unix::fs::symlink("../payrun.yaml", app.path("workflows/link.csv")).unwrap();
        let service = Service::of(&app);
        let token = service.token("ann", "operator");
        for (number, name) in ["beside.csv", "link.csv", "none.csv", "./beside.csv"]
            .into_iter()
            .enumerate()
        {
            let wanted = json!({ "workflow": "deductions", "date": days_ago(30), "params": { "contracts": name } });
            let told = begin(&service, &token, &format!("k-{number}"), &wanted);
            assert_eq!(
                (told.status, &told.body["error"]["code"]),
                (422, &json!("cannot_plan")),
                "{name}: {told:?}"
            );
            assert!(
                told.body.to_string().contains("POST /api/v1/files"),
                "{told:?}"
            );
        }
        // The workflow's own, said or not.
        for (key, params) in [
            ("k-said", json!({ "contracts": "../data/contracts.csv" })),
            ("k-own", json!({})),
        ] {
            let own = json!({ "workflow": "deductions", "date": days_ago(30), "params": params });
            assert_eq!(begin(&service, &token, key, &own).status, 201, "{key}");
        }
        assert_eq!(service.stop().code(), Some(0));
    });
}

#[test]
fn a_value_with_a_nul_is_refused_when_it_comes_and_as_a_row_of_a_file() {
    on_both_engines(|setup| {
        let app = App::of(setup);
        let service = Service::of(&app);
        let token = service.token("ann", "operator");
        let cell = |text: &str| {
            let row =
                format!(r#"<row r="2"><c r="A2" t="inlineStr"><is><t>{text}</t></is></c></row>"#);
            workbook(&[("xl/worksheets/sheet1.xml", &|out| {
                out.write_all(HEAD).unwrap();
                out.write_all(row.as_bytes()).unwrap();
                out.write_all(TAIL).unwrap();
            })])
        };
        for (format, body) in [
            ("csv", b"contract_id,plan\n1,a\n2,b\0\n".to_vec()),
            (
                "csv",
                [
                    b"contract_id,plan\n".as_slice(),
                    &b"1,abcdefgh\n".repeat(200),
                    b"2,b\0\n",
                ]
                .concat(),
            ),
            ("jsonl", br#"{"contract_id":"1\u0000"}"#.to_vec()),
            (
                "jsonl",
                b"{\"contract_id\":\"1\"}\n{\"contract_id\":\"2\\\\\\u0000\"}\n".to_vec(),
            ),
            ("xlsx", cell("1\0")),
            ("xlsx", cell("1_x0000_")),
        ] {
            let request = service
                .request(Method::POST, &format!("/api/v1/files?format={format}"))
                .bearer_auth(&token);
            let told = service.send(request.body(body));
            assert_eq!(told.status, 400, "{format}: {told:?}");
        }
        let request = service
            .request(Method::POST, "/api/v1/files?format=jsonl")
            .bearer_auth(&token);
        assert_eq!(
            service
                .send(request.body(r#"{"contract_id":"1\\u0000"}"#))
                .status,
            200,
            "it only looks like one"
        );
        assert_eq!(service.stop().code(), Some(0));
        let rows = contracts("C", 2);
        let second = rows.lines().nth(2).unwrap();
        app.write(
            "data/contracts.csv",
            rows.replace(second, &second.replace("C-", "C\0-")),
        );
        assert_ne!(
            std::fs::read_to_string(app.path("data/contracts.csv")).unwrap(),
            rows
        );
        let planned = app.payrun(&["plan", WORKFLOW, "--date", DATE]);
        planned.says(expect!["U+0000"]);
    });
}

#[test]
fn a_file_that_is_too_large_is_refused_before_it_is_copied() {
    let app = App::with_contracts(&contracts("C", 1));
    let file = std::fs::OpenOptions::new()
        .append(true)
        .open(app.path("data/contracts.csv"))
        .unwrap();
    file.set_len(6 * 1024 * 1024 * 1024).unwrap();
    let began = Instant::now();
    app.payrun(&["plan", WORKFLOW, "--date", DATE])
        .exits(2)
        .says(expect!["more than 1024 MiB"])
        .says(expect!["input_mib"]);
    println!("6 GiB refused after {:?}", began.elapsed());
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    file.set_len(3 * 1024 * 1024).unwrap();
    app.edit("payrun.yaml", "gateways:\n", "input_mib: 2\ngateways:\n");
    app.payrun(&["plan", WORKFLOW, "--date", DATE])
        .exits(2)
        .says(expect!["more than 2 MiB"]);
    app.write("data/contracts.csv", contracts("C", 1));
    app.payrun(&["plan", WORKFLOW, "--date", DATE]).exits(0);
}

#[test]
fn uploads_and_plans_of_large_files_at_once_take_the_memory_of_one() {
    let app = App::with_contracts(&contracts("C", 1));
    app.write("keys/personal.key", personal_key(7));
    app.edit(
        "payrun.yaml",
        "gateways:\n",
        "encryption_key: { file: keys/personal.key }\ngateways:\n",
    );
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let long = "x".repeat(30_000);
    let file = |number: usize, rows: usize| {
        let mut file = "contract_id,plan,amount,currency,active\n".to_owned();
        (0..rows).for_each(|row| file.push_str(&format!("L-{number}-{row},{long},1.00,HKD,yes\n")));
        file
    };
    let mut peaks = Peaks::default();
    let upload = |number: usize, rows: usize| {
        let request = service
            .request(Method::POST, "/api/v1/files?format=csv")
            .bearer_auth(&token);
        service.send(
            request
                .timeout(Duration::from_secs(90))
                .body(file(number, rows)),
        )
    };
    let upload = &upload;
    let watch = |peaks: &mut Peaks, threads: &[std::thread::ScopedJoinHandle<'_, u16>]| {
        while threads.iter().any(|thread| !thread.is_finished()) {
            peaks.look(service.id());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let told: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|number| scope.spawn(move || upload(number, 2_200).status))
            .collect();
        watch(&mut peaks, &threads);
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    println!(
        "8 uploads of 66 MB: {} KiB at most, {told:?}",
        peaks.most() / 1024
    );
    assert!(
        told.iter().all(|status| matches!(status, 200 | 429)) && told.contains(&200),
        "{told:?}"
    );
    let kept: Value = upload(8, 1_120).body["file"].clone();
    let wanted =
        json!({ "workflow": "deductions", "date": days_ago(30), "inputs": { "deduct": kept } });
    let run = |number: usize| begin(&service, &token, &format!("k-{number}"), &wanted).status;
    let run = &run;
    let told: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..40)
            .map(|number| scope.spawn(move || run(number)))
            .collect();
        watch(&mut peaks, &threads);
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    println!(
        "and 40 plans of 33.6 MB: {} KiB at most, {told:?}",
        peaks.most() / 1024
    );
    assert!(
        told.iter().all(|status| matches!(status, 201 | 429)) && told.contains(&201),
        "{told:?}"
    );
    assert!(peaks.most() < 200 * 1024 * 1024, "{peaks:?}");
    assert!(service.stop().took < PATIENCE);
}

#[test]
fn the_place_for_files_is_taken_back_and_what_is_no_upload_is_swept() {
    use std::os::unix::fs::PermissionsExt as _;
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let request = service
        .request(Method::POST, "/api/v1/files?format=csv")
        .bearer_auth(&token);
    let kept = service.send(request.body(contracts("U", 3))).body["file"]
        .as_str()
        .unwrap()
        .to_owned();
    service.stop();
    std::fs::set_permissions(app.path("files"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(2 * 3_600);
    for (name, old) in [
        ("stray.part", true),
        (&format!("{kept}#1"), true),
        (&format!("{kept}#2"), false),
    ] {
        let name = format!("files/uploads/{name}");
        app.write(&name, "left over");
        if old {
            std::fs::File::options()
                .write(true)
                .open(app.path(&name))
                .unwrap()
                .set_modified(long_ago)
                .unwrap();
        }
    }
    let service = Service::of(&app);
    until("what was left over is swept", || {
        std::fs::read_dir(app.path("files/uploads"))
            .unwrap()
            .count()
            == 2
    });
    assert!(app.path(&format!("files/uploads/{kept}")).exists());
    assert!(
        app.path(&format!("files/uploads/{kept}#2")).exists(),
        "somebody may be writing it"
    );
    let mode = std::fs::metadata(app.path("files"))
        .unwrap()
        .permissions()
        .mode()
        & 0o777;
    assert_eq!(mode, 0o700, "{mode:o}");
    service.stop();
}
