//! Item files that somebody made to do harm: what they are refused with, in how long, and how much
//! memory that takes.

use expect_test::expect;
use std::collections::BTreeMap;
use std::io::{Seek as _, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;

use crate::support::said::assert_said;
use crate::support::service::{Reply, Service, days_ago};
use crate::support::{
    App, DATE, ExitedProcess, PATIENCE, Running, Setup, WORKFLOW, contracts, until,
};

/// The most that a refused file may take of any process, in bytes.
const MOST: u64 = 64 * 1024 * 1024;

const CONTENT_TYPES: &str =
    r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>"#;
const PACKAGE: &str = r#"<Relationships><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#;
const RELATIONS: &str = r#"<Relationships><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#;
const BOOK: &str =
    r#"<workbook><sheets><sheet name="Sheet1" sheetId="1" r:id="r1"/></sheets></workbook>"#;
const SHEET: &str = r#"<worksheet><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>contract_id</t></is></c></row></sheetData></worksheet>"#;

/// A part of a workbook: its name, and what writes it.
pub type Part<'a> = (&'a str, &'a dyn Fn(&mut dyn Write));

/// A part with nothing in it.
const EMPTY: &dyn Fn(&mut dyn Write) = &|_| {};

/// A workbook of these parts, with those every workbook has.
pub fn workbook(parts: &[Part<'_>]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    let usual = [
        ("[Content_Types].xml", CONTENT_TYPES),
        ("_rels/.rels", PACKAGE),
        ("xl/_rels/workbook.xml.rels", RELATIONS),
        ("xl/workbook.xml", BOOK),
        ("xl/worksheets/sheet1.xml", SHEET),
    ];
    for (name, text) in usual
        .iter()
        .filter(|(name, _)| parts.iter().all(|(own, _)| own != name))
    {
        archive.start_file(*name, options).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    for (name, fill) in parts {
        archive.start_file(*name, options).unwrap();
        fill(&mut archive);
    }
    let mut file = archive.finish().unwrap();
    file.rewind().unwrap();
    file.into_inner()
}

/// The 1.6 KB that ended the service.
pub fn declares_four_billion_texts() -> Vec<u8> {
    workbook(&[("xl/sharedStrings.xml", &|out| {
        out.write_all(
            br#"<sst count="4294967295" uniqueCount="4294967295"><si><t>a</t></si></sst>"#,
        )
        .unwrap();
    })])
}

/// Writes a text so many times.
pub fn repeat(out: &mut dyn Write, text: &str, times: usize) {
    let many = text.repeat(1_000);
    (0..times / 1_000).for_each(|_| out.write_all(many.as_bytes()).unwrap());
}

/// A process and those it started: what each of them had resident at most, in bytes.
#[derive(Debug, Default)]
pub struct Peaks(BTreeMap<u32, u64>);

impl Peaks {
    pub fn look(&mut self, id: u32) {
        let read =
            |file: &str| std::fs::read_to_string(format!("/proc/{id}/{file}")).unwrap_or_default();
        let status = read("status");
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
        if let Some(kibibytes) = peak.and_then(|peak| peak.parse::<u64>().ok()) {
            let most = self.0.entry(id).or_default();
            *most = (*most).max(kibibytes * 1024);
        }
        for thread in std::fs::read_dir(format!("/proc/{id}/task"))
            .into_iter()
            .flatten()
            .flatten()
        {
            let children =
                std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            children
                .split_whitespace()
                .filter_map(|child| child.parse().ok())
                .for_each(|child| self.look(child));
        }
    }

    pub fn most(&self) -> u64 {
        self.0.values().copied().max().unwrap_or_default()
    }
}

/// Runs it to its end and watches its memory.
fn watched(mut process: Running) -> (ExitedProcess, Peaks, Duration) {
    let (began, mut peaks) = (Instant::now(), Peaks::default());
    while !process.has_ended() && began.elapsed() < PATIENCE {
        peaks.look(process.id());
        std::thread::sleep(Duration::from_millis(2));
    }
    (process.wait(PATIENCE), peaks, began.elapsed())
}

/// A project whose contracts are this workbook.
fn app(file: &[u8]) -> App {
    let app = App::with_contracts("");
    app.edit(WORKFLOW, "contracts.csv", "contracts.xlsx");
    app.write("data/contracts.xlsx", file);
    app
}

/// Refused with these words, within the bound of memory.
#[track_caller]
pub fn refused(what: &str, file: &[u8], words: &str) {
    let app = app(file);
    let (ended, peaks, took) = watched(app.start(&["plan", WORKFLOW, "--date", DATE]));
    println!(
        "{what}: {} bytes, refused after {took:?} with {} KiB at most",
        file.len(),
        peaks.most() / 1024
    );
    assert!(peaks.0.len() > 1, "the reader was never seen");
    ended.exits(2).says(expect!["contracts.xlsx"]).prints(words);
    assert!(peaks.most() < MOST, "{what}: {peaks:?}");
}

#[test]
fn a_workbook_that_declares_more_texts_than_it_has_is_refused() {
    refused(
        "declared texts",
        &declares_four_billion_texts(),
        "more than 2,000,000 different texts",
    );
}

#[test]
fn the_service_goes_on_after_a_workbook_that_would_have_ended_it() {
    let app = App::with_contracts(&contracts("C", 3));
    app.edit(WORKFLOW, "contracts.csv", "contracts.xlsx");
    app.write("data/contracts.xlsx", declares_four_billion_texts());
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let begun = begin(
        &service,
        &token,
        "k-1",
        &json!({ "workflow": "deductions", "date": days_ago(30) }),
    );
    assert_eq!(
        (begun.status, &begun.body["error"]["code"]),
        (422, &json!("cannot_plan")),
        "{begun:?}"
    );
    assert_said(
        begun.body.to_string(),
        expect!["more than 2,000,000 different texts"],
    );
    assert_eq!(
        service
            .send(service.request(Method::GET, "/healthz"))
            .status,
        200
    );
    assert_eq!(service.stop().code(), Some(0));
}

/// Begins a run over the API.
pub fn begin(service: &Service<'_>, token: &str, key: &str, wanted: &Value) -> Reply {
    let run = service
        .request(Method::POST, "/api/v1/runs")
        .bearer_auth(token)
        .header("Idempotency-Key", key);
    // Plans wait for each other.
    let run = run.timeout(Duration::from_secs(90));
    service.send(
        run.header("content-type", "application/json")
            .body(wanted.to_string()),
    )
}

/// A workflow whose item file a parameter names.
pub fn with_param(setup: Setup) -> App {
    let app = App::of(setup);
    app.edit(
        WORKFLOW,
        "file: ../data/contracts.csv",
        "file: \"{{ params.contracts }}\"",
    );
    let params = "params:\n  contracts: { type: text, default: ../data/contracts.csv }\njobs:\n";
    app.edit(WORKFLOW, "jobs:\n", params);
    app
}

pub fn on_both_engines(test: impl Fn(Setup)) {
    test(Setup {
        contracts: contracts("C", 3),
        server: false,
        ..Setup::default()
    });
    test(Setup {
        contracts: contracts("C", 3),
        server: true,
        ..Setup::default()
    });
}

#[test]
fn a_path_over_the_api_opens_nothing_and_holds_nobody_up() {
    on_both_engines(|setup| {
        let app = with_param(setup);
        let elsewhere = tempfile::tempdir().unwrap();
        let place = |name: &str| elsewhere.path().join(name).display().to_string();
        std::fs::write(place("other.csv"), contracts("X", 1)).unwrap();
        std::process::Command::new("mkfifo")
            .args([
                place("pipe.csv"),
                app.path("data/pipe.csv").display().to_string(),
            ])
            .status()
            .unwrap();
        std::os::unix::fs::symlink(place("other.csv"), app.path("data/link.csv")).unwrap();
        std::os::unix::fs::symlink(place("other.csv"), app.path("workflows/link.csv")).unwrap();
        let service = Service::of(&app);
        let token = service.token("ann", "operator");
        let paths = [
            place("pipe.csv"),
            place("other.csv"),
            place("none.csv"),
            elsewhere.path().display().to_string(),
            "/dev/zero".to_owned(),
            "../data/pipe.csv".to_owned(),
            "../data/link.csv".to_owned(),
            "../data/none.csv".to_owned(),
            "link.csv".to_owned(),
            "none.csv".to_owned(),
        ];
        let mut told = std::collections::BTreeSet::new();
        for (number, path) in paths.iter().enumerate() {
            let wanted = json!({ "workflow": "deductions", "date": days_ago(30), "params": { "contracts": path } });
            let began = Instant::now();
            let refused = begin(&service, &token, &format!("k-{number}"), &wanted);
            assert_eq!(
                (refused.status, &refused.body["error"]["code"]),
                (422, &json!("cannot_plan")),
                "{path}: {refused:?}"
            );
            assert!(
                began.elapsed() < Duration::from_secs(5),
                "{path}: {:?}",
                began.elapsed()
            );
            told.insert(
                refused.body["error"]["message"]
                    .as_str()
                    .unwrap()
                    .replace(path.as_str(), "")
                    .replace("./workflows/", ""),
            );
            let began = Instant::now();
            let pause = service
                .request(Method::POST, "/api/v1/pauses")
                .bearer_auth(&token);
            let pause = pause.header("content-type", "application/json");
            let body =
                json!({ "scope": "gateway", "name": "hk", "reason": format!("attack {number}") });
            let paused = service.send(pause.body(body.to_string()));
            assert_eq!(paused.status, 200, "{paused:?}");
            assert!(
                began.elapsed() < Duration::from_secs(5),
                "{path}: {:?}",
                began.elapsed()
            );
        }
        assert_eq!(
            told.len(),
            1,
            "what is not there looks as what is not allowed: {told:#?}"
        );
        assert!(
            told.first().unwrap().contains("POST /api/v1/files"),
            "{told:?}"
        );
        // The workflow's own file is what it was.
        let own = begin(
            &service,
            &token,
            "k-own",
            &json!({ "workflow": "deductions", "date": days_ago(30) }),
        );
        assert_eq!(
            (own.status, &own.body["run"]["items"]),
            (201, &json!(3)),
            "{own:?}"
        );
        assert!(service.stop().took < PATIENCE);
    });
}

#[test]
fn a_person_names_any_file_and_no_pipe() {
    let app = with_param(Setup {
        contracts: contracts("C", 3),
        ..Setup::default()
    });
    let elsewhere = tempfile::tempdir().unwrap();
    let place = |name: &str| elsewhere.path().join(name).display().to_string();
    std::fs::write(place("other.csv"), contracts("X", 2)).unwrap();
    std::process::Command::new("mkfifo")
        .arg(place("pipe.csv"))
        .status()
        .unwrap();
    let plan = |more: &[&str]| {
        let args: Vec<&str> = ["plan", WORKFLOW, "--date", DATE, "--json"]
            .iter()
            .chain(more)
            .copied()
            .collect();
        app.payrun(&args)
    };
    for given in [
        ["--var", &format!("contracts={}", place("other.csv"))],
        ["--input", &place("other.csv")],
    ] {
        let planned: Value = serde_json::from_str(&plan(&given).exits(0).stdout).unwrap();
        assert_eq!(planned["jobs"][0]["items"], json!(2));
    }
    for given in [
        ["--var", &format!("contracts={}", place("pipe.csv"))],
        ["--input", &place("pipe.csv")],
    ] {
        plan(&given)
            .exits(2)
            .says(expect!["it is a pipe, and no regular file"]);
    }
    plan(&["--input", &place("none.csv")])
        .exits(2)
        .says(expect!["No such file"]);
    plan(&["--input", "/dev/zero", "--input", "data"]).exits(2);
}

#[test]
fn an_upload_that_is_not_what_it_is_called_is_refused_when_it_comes() {
    let app = App::with_contracts(&contracts("C", 3));
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let upload = |format: &str, content_type: &str, body: &[u8]| {
        let request = service
            .request(Method::POST, &format!("/api/v1/files?format={format}"))
            .bearer_auth(&token);
        service.send(
            request
                .header("content-type", content_type)
                .body(body.to_vec()),
        )
    };
    let form = b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nid\r\n--x--\r\n";
    let octets = "application/octet-stream";
    let workbook = workbook(&[]);
    let behind_a_preamble = [b"This is a form.\r\n\r\n", &form[..]].concat();
    let behind_an_empty_line = [b"\r\n", &form[..]].concat();
    for (format, content_type, body, words) in [
        (
            "csv",
            "multipart/form-data; boundary=x",
            &form[..],
            "the body is a form",
        ),
        (
            "csv",
            "Multipart/Form-Data; boundary=x",
            form,
            "the body is a form",
        ),
        ("csv", octets, form, "the body is a form"),
        ("csv", octets, &behind_a_preamble, "the body is a form"),
        ("csv", octets, &behind_an_empty_line, "the body is a form"),
        ("jsonl", octets, &behind_an_empty_line, "the body is a form"),
        ("csv", octets, b"\xef\xbb\xbf{\"a\":1}\n", "this is JSON"),
        ("csv", octets, b"\n  {\"a\":1}\n", "this is JSON"),
        (
            "csv",
            octets,
            b"<!doctype html><html><body>Bad gateway</body></html>\n",
            "this is HTML or XML",
        ),
        (
            "csv",
            octets,
            b"\xef\xbb\xbf\n<html><body>Bad gateway</body></html>\n",
            "this is HTML or XML",
        ),
        ("csv", octets, b"%PDF-1.7\nid\n1\n", "this is a PDF"),
        (
            "csv",
            octets,
            b"id,plan\n1,a\n2,\xff\n",
            "the file is not UTF-8 (line 3)",
        ),
        (
            "jsonl",
            octets,
            b"{\"id\":1}\n{\"id\":\"\xc3\"}\n",
            "the file is not UTF-8 (line 2)",
        ),
        (
            "csv",
            octets,
            b"id,plan\n1,\xe9\xa6",
            "the file is not UTF-8 (line 2)",
        ),
        (
            "xlsx",
            octets,
            b"{\"contract_id\": 1}",
            "this is no Excel workbook",
        ),
        (
            "xlsx",
            octets,
            &declares_four_billion_texts(),
            "more than 2,000,000 different texts",
        ),
        ("csv", octets, &workbook, "this is a workbook or an archive"),
        ("csv", octets, b"[{\"contract_id\": 1}]", "this is JSON"),
        ("csv", octets, b"id\n\xff\xff\n", "the file is not UTF-8"),
        ("csv", octets, b"id,id\n1,2\n", "two columns are called"),
        (
            "jsonl",
            octets,
            b"id,plan\n1,2\n",
            "the line is not a JSON object",
        ),
        ("jsonl", octets, b"\0\0\0", "this is no text"),
    ] {
        let refused = upload(format, content_type, body);
        assert_eq!(refused.status, 400, "{words}: {refused:?}");
        assert!(
            refused.body.to_string().contains(words),
            "{words}: {refused:?}"
        );
    }
    assert!(!app.path("files/uploads").exists(), "nothing of it is kept");
    assert_eq!(upload("xlsx", octets, &workbook).status, 200);
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn forty_plans_at_once_of_a_large_file_take_the_memory_of_two() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let mut file = "contract_id,plan,amount,currency,active\n".to_owned();
    let long = "x".repeat(34_000);
    (0..1_000).for_each(|row| file.push_str(&format!("L-{row},{long},1.00,HKD,yes\n")));
    let upload = service
        .request(Method::POST, "/api/v1/files?format=csv")
        .bearer_auth(&token);
    let kept = service.send(upload.body(file)).body["file"].clone();
    let wanted =
        json!({ "workflow": "deductions", "date": days_ago(30), "inputs": { "deduct": kept } });
    let (mut peaks, mut named) = (Peaks::default(), Vec::new());
    let statuses: Vec<(u16, bool)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..40)
            .map(|number| {
                let (service, token, wanted) = (&service, &token, &wanted);
                scope.spawn(move || begin(service, token, &format!("k-{number}"), wanted))
            })
            .collect();
        while threads.iter().any(|thread| !thread.is_finished()) {
            peaks.look(service.id());
            let open = std::fs::read_dir(format!("/proc/{}/fd", service.id()))
                .unwrap()
                .flatten();
            let open = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
            let is_named = |file: &PathBuf| file.extension().is_some_and(|ending| ending == "csv");
            // What was sent is kept in the project.
            named
                .extend(open.filter(|file| is_named(file) && !file.starts_with(app.path("files"))));
            std::thread::sleep(Duration::from_millis(5));
        }
        let replies = threads.into_iter().map(|thread| thread.join().unwrap());
        replies
            .map(|reply| (reply.status, reply.headers.contains_key("retry-after")))
            .collect()
    });
    println!(
        "40 plans of 34 MB: {} KiB at most, {statuses:?}",
        peaks.most() / 1024
    );
    assert!(
        statuses
            .iter()
            .all(|told| matches!(told, (201, false) | (429, true))),
        "{statuses:?}"
    );
    assert!(
        statuses.iter().filter(|told| told.0 == 201).count() >= 2,
        "{statuses:?}"
    );
    assert!(statuses.iter().any(|told| told.0 == 429), "{statuses:?}");
    assert!(peaks.most() < 200 * 1024 * 1024, "{peaks:?}");
    assert!(named.is_empty(), "a copy has no name: {named:?}");
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_plan_under_way_does_not_keep_the_service_from_ending_and_leaves_nothing() {
    on_both_engines(|setup| {
        let app = App::of(Setup {
            contracts: contracts("C", 40_000),
            ..setup
        });
        let service = Service::of(&app);
        let token = service.token("ann", "operator");
        let wanted = json!({ "workflow": "deductions", "date": days_ago(30) });
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let run = client
            .post(format!("{}/api/v1/runs", service.address))
            .bearer_auth(&token);
        let run = run
            .header("Idempotency-Key", "k-1")
            .header("content-type", "application/json")
            .body(wanted.to_string());
        // It is begun, and nobody waits for its answer.
        app.wait_for(async {
            tokio::time::timeout(Duration::from_secs(1), run.send())
                .await
                .ok()
        });
        let began = Instant::now();
        let ended = service.stop();
        println!("ended {:?} after the signal", began.elapsed());
        assert_eq!(ended.code(), Some(0), "{ended:?}");
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "{:?}",
            began.elapsed()
        );
        let runs = app.json(&["runs", "--json"]);
        assert_eq!(
            runs,
            json!([]),
            "it was not planned in a second, and nothing of it is there"
        );
    });
}

#[test]
fn a_process_that_cannot_write_is_not_ready() {
    let app = App::of(Setup {
        contracts: contracts("C", 1),
        server: false,
        ..Setup::default()
    });
    let service = Service::of(&app);
    let ready = || service.send(service.request(Method::GET, "/readyz"));
    assert_eq!(ready().status, 200);
    let mut other = app.wait_for(async {
        use sqlx::Connection as _;
        let url = format!("sqlite://{}", app.database().display());
        let mut other = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("begin immediate")
            .execute(&mut other)
            .await
            .unwrap();
        other
    });
    until("it is unready", || ready().status == 503);
    assert_said(
        ready().body["wrong"].to_string(),
        expect!["the ledger takes no write"],
    );
    app.wait_for(async { sqlx::raw_sql("rollback").execute(&mut other).await.unwrap() });
    until("it is ready again", || ready().status == 200);
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_workbook_that_unpacks_to_too_much_of_anything_is_refused() {
    let texts = workbook(&[("xl/sharedStrings.xml", &|out| {
        out.write_all(b"<sst>").unwrap();
        repeat(out, "<si/>", 2_001_000);
        out.write_all(b"</sst>").unwrap();
    })]);
    refused("many texts", &texts, "more than 2,000,000 different texts");
    let long = workbook(&[("xl/sharedStrings.xml", &|out| {
        out.write_all(b"<sst><si><t>").unwrap();
        repeat(out, "0123456789", 7_000_000);
        out.write_all(b"</t></si></sst>").unwrap();
    })]);
    refused("one shared text", &long, "or 64 MiB of them");
    let cell = workbook(&[("xl/worksheets/sheet1.xml", &|out| {
        out.write_all(br#"<worksheet><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>"#)
            .unwrap();
        repeat(out, "0123456789", 12_000_000);
        out.write_all(b"</t></is></c></row></sheetData></worksheet>")
            .unwrap();
    })]);
    refused(
        "one cell",
        &cell,
        "takes more memory to read than a workbook may",
    );
    let formats = workbook(&[("xl/styles.xml", &|out| {
        out.write_all(b"<styleSheet><cellXfs>").unwrap();
        repeat(out, "<xf/>", 210_000);
        out.write_all(b"</cellXfs></styleSheet>").unwrap();
    })]);
    refused(
        "cell formats",
        &formats,
        "more cell formats than Excel allows",
    );
    let sheets = workbook(&[("xl/workbook.xml", &|out| {
        out.write_all(b"<workbook><sheets>").unwrap();
        repeat(out, r#"<sheet name="a" r:id="r1"/>"#, 2_000);
        out.write_all(b"</sheets></workbook>").unwrap();
    })]);
    refused("sheets", &sheets, "more than 1,000 sheets");
    let parts: Vec<String> = (0..10_001).map(|n| format!("xl/media/{n}")).collect();
    let parts: Vec<Part<'_>> = parts.iter().map(|name| (name.as_str(), EMPTY)).collect();
    refused("parts", &workbook(&parts), "more than 10,000 parts");
}
