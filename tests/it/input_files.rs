//! Item files that somebody made to do harm: what they are refused with, in how long, and how much memory that takes.

use std::collections::BTreeMap;
use std::io::{Seek as _, Write};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use zip::write::SimpleFileOptions;

use crate::support::service::{Service, days_ago};
use crate::support::{App, DATE, Ended, PATIENCE, Running, WORKFLOW, contracts};

/// The most that a refused file may take of any process, in bytes.
const MOST: u64 = 64 * 1024 * 1024;

const CONTENT_TYPES: &str = r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>"#;
const PACKAGE: &str = r#"<Relationships><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#;
const RELATIONS: &str = r#"<Relationships><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#;
const BOOK: &str = r#"<workbook><sheets><sheet name="Sheet1" sheetId="1" r:id="r1"/></sheets></workbook>"#;
const SHEET: &str = r#"<worksheet><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>contract_id</t></is></c></row></sheetData></worksheet>"#;

/// A part of a workbook: its name, and what writes it.
type Part<'a> = (&'a str, &'a dyn Fn(&mut dyn Write));

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
    for (name, text) in usual.iter().filter(|(name, _)| parts.iter().all(|(own, _)| own != name)) {
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
        out.write_all(br#"<sst count="4294967295" uniqueCount="4294967295"><si><t>a</t></si></sst>"#).unwrap();
    })])
}

/// Writes a text so many times.
fn repeat(out: &mut dyn Write, text: &str, times: usize) {
    let many = text.repeat(1_000);
    (0..times / 1_000).for_each(|_| out.write_all(many.as_bytes()).unwrap());
}

/// A process and those it started: what each of them had resident at most, in bytes.
#[derive(Debug, Default)]
struct Peaks(BTreeMap<u32, u64>);

impl Peaks {
    fn look(&mut self, id: u32) {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{id}/{file}")).unwrap_or_default();
        let status = read("status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next());
        if let Some(kibibytes) = peak.and_then(|peak| peak.parse::<u64>().ok()) {
            let most = self.0.entry(id).or_default();
            *most = (*most).max(kibibytes * 1024);
        }
        for thread in std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
            let children = std::fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            children.split_whitespace().filter_map(|child| child.parse().ok()).for_each(|child| self.look(child));
        }
    }

    fn most(&self) -> u64 {
        self.0.values().copied().max().unwrap_or_default()
    }
}

/// Runs it to its end and watches its memory.
fn watched(mut process: Running) -> (Ended, Peaks, Duration) {
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
fn refused(what: &str, file: &[u8], words: &str) {
    let app = app(file);
    let (ended, peaks, took) = watched(app.start(&["plan", WORKFLOW, "--date", DATE]));
    println!("{what}: {} bytes, refused after {took:?} with {} KiB at most", file.len(), peaks.most() / 1024);
    assert!(peaks.0.len() > 1, "the reader was never seen");
    ended.exits(2).says("contracts.xlsx").says(words);
    assert!(peaks.most() < MOST, "{what}: {peaks:?}");
}

#[test]
fn a_workbook_that_declares_more_texts_than_it_has_is_refused() {
    refused("declared texts", &declares_four_billion_texts(), "more than 2,000,000 different texts");
}

#[test]
fn the_service_goes_on_after_a_workbook_that_would_have_ended_it() {
    let app = App::with_contracts(&contracts("C", 3));
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let upload = service.request(Method::POST, "/api/v1/files?format=xlsx").bearer_auth(&token);
    let file = service.send(upload.body(declares_four_billion_texts())).body["file"].clone();
    let run = service.request(Method::POST, "/api/v1/runs").bearer_auth(&token).header("Idempotency-Key", "k-1");
    let wanted = json!({ "workflow": "deductions", "date": days_ago(30), "inputs": { "deduct": file } });
    let begun = service.send(run.header("content-type", "application/json").body(wanted.to_string()));
    assert_eq!((begun.status, &begun.body["error"]["code"]), (422, &json!("cannot_plan")), "{begun:?}");
    assert!(begun.body.to_string().contains("more than 2,000,000 different texts"), "{begun:?}");
    assert_eq!(service.send(service.request(Method::GET, "/healthz")).status, 200);
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
        out.write_all(br#"<worksheet><sheetData><row r="1"><c r="A1" t="inlineStr"><is><t>"#).unwrap();
        repeat(out, "0123456789", 12_000_000);
        out.write_all(b"</t></is></c></row></sheetData></worksheet>").unwrap();
    })]);
    refused("one cell", &cell, "takes more memory to read than a workbook may");
    let formats = workbook(&[("xl/styles.xml", &|out| {
        out.write_all(b"<styleSheet><cellXfs>").unwrap();
        repeat(out, "<xf/>", 210_000);
        out.write_all(b"</cellXfs></styleSheet>").unwrap();
    })]);
    refused("cell formats", &formats, "more cell formats than Excel allows");
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
