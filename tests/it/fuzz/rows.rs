//! Item files. No row is lost, and none is made up: where another, simpler reader of this test
//! knows what the rows are, each is read or refused, once and in its line.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use payrun::workflow::ItemFileFormat;
use payrun::workflow::source::{self, FileOptions, FileRow, Separator, SourceError};
use serde_json::Value;
use serde_json::value::RawValue;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::Target;
use super::change::{Maker, Words, digest};

/// The longest reason, in bytes.
const REASON_MAX: usize = 1_000;

/// What was read of a file: its columns, and of each row the line and what it holds, or that it was
/// refused.
struct ReadFile {
    columns: Vec<String>,
    rows: Vec<(u64, Option<Vec<String>>)>,
    /// Whether it was read to its end.
    whole: bool,
    last: String,
}

/// Reads a file; why it is refused.
fn read(path: &Path, options: &FileOptions) -> Result<ReadFile, String> {
    let mut rows = source::open(path, options).map_err(|error| reason(&error))?;
    let columns = rows.columns().to_vec();
    let mut seen = ReadFile {
        columns,
        rows: Vec::new(),
        whole: true,
        last: "all rows".to_owned(),
    };
    let mut row = FileRow::default();
    while let Some(read) = rows.read(&mut row) {
        match read {
            Ok(()) => {
                let cells: Vec<String> = row.iter().map(str::to_owned).collect();
                assert_eq!(cells.len(), seen.columns.len());
                seen.rows.push((row.line, Some(cells)));
            }
            Err(error) => {
                let reason = error.reason.to_string();
                assert!(reason.len() <= REASON_MAX, "{error}");
                seen.whole &= !error.fatal;
                seen.last = reason;
                seen.rows.push((error.line, None));
            }
        }
    }
    assert!(rows.read(&mut row).is_none(), "nothing comes after the end");
    for pair in seen.rows.windows(2) {
        assert!(
            pair[0].0 < pair[1].0,
            "line {} comes after line {}",
            pair[1].0,
            pair[0].0
        );
    }
    Ok(seen)
}

fn reason(error: &SourceError) -> String {
    let said = match error {
        SourceError::Header { reason, .. }
        | SourceError::Encoding { reason, .. }
        | SourceError::Workbook { reason, .. } => reason.to_string(),
        SourceError::Read { .. }
        | SourceError::Outside { .. }
        | SourceError::Format { .. }
        | SourceError::Nul { .. } => error.to_string(),
    };
    assert!(said.len() <= REASON_MAX, "{said}");
    said
}

#[test]
fn csv() {
    let target = Target::of("csv", 1_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("items.csv");
    target.try_on(|input| {
        std::fs::write(&path, input).unwrap();
        let lines = lines(input);
        let options = FileOptions {
            format: Some(ItemFileFormat::Csv),
            separator: Some(Separator::Comma),
            header_line: lines.first().map(|(number, _)| *number),
            ..FileOptions::default()
        };
        let seen = match read(&path, &options) {
            Ok(seen) => seen,
            Err(why) => return why,
        };
        if !input.contains(&b'"') {
            // Without quotes a row is a line, and a value is what stands between commas.
            let expected: Vec<u64> = lines.iter().map(|(number, _)| *number).skip(1).collect();
            assert!(seen.whole, "{}", seen.last);
            assert_eq!(
                seen.rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
                expected
            );
            for ((line, cells), (_, text)) in seen.rows.iter().zip(lines.iter().skip(1)) {
                let told: Vec<&[u8]> = text.split(|byte| *byte == b',').collect();
                let is_text = std::str::from_utf8(text).is_ok() && !text.contains(&0);
                let is_row = told.len() == seen.columns.len() && is_text;
                assert_eq!(cells.is_some(), is_row, "line {line}");
                if let Some(cells) = cells {
                    assert!(cells.iter().map(String::as_bytes).eq(told), "line {line}");
                }
            }
        } else if seen.whole {
            // Below the header a line with something in it is where a row begins, or stands within
            // the quotes of one.
            let begins = seen
                .rows
                .iter()
                .skip(1)
                .map(|(line, _)| *line)
                .chain([u64::MAX]);
            for ((line, cells), next) in seen.rows.iter().zip(begins) {
                // Of one that is refused it is not known how far it goes.
                let Some(cells) = cells else { continue };
                let end = line
                    + cells
                        .iter()
                        .map(|cell| cell.matches('\n').count() as u64)
                        .sum::<u64>();
                let lost = lines
                    .iter()
                    .find(|(line, _)| (end + 1..next).contains(line));
                assert!(
                    lost.is_none(),
                    "line {} is lost",
                    lost.map_or(0, |(line, _)| *line)
                );
            }
        }
        seen.last
    });
}

/// The lines that are not empty, with their numbers, without their ends and a mark of the byte
/// order.
fn lines(input: &[u8]) -> Vec<(u64, &[u8])> {
    let input = input.strip_prefix("\u{feff}".as_bytes()).unwrap_or(input);
    let lines = input
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines
        .zip(1..)
        .map(|(line, number)| (number, line))
        .filter(|(_, line)| !line.is_empty())
        .collect()
}

#[test]
fn json_lines() {
    let target = Target::of("json_lines", 1_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("items.jsonl");
    target.try_on(|input| {
        std::fs::write(&path, input).unwrap();
        let options = FileOptions {
            format: Some(ItemFileFormat::JsonLines),
            ..FileOptions::default()
        };
        let seen = match read(&path, &options) {
            Ok(seen) => seen,
            Err(why) => return why,
        };
        let input = input.strip_prefix("\u{feff}".as_bytes()).unwrap_or(input);
        let lines = input
            .split(|byte| *byte == b'\n')
            .zip(1..)
            .filter(|(line, _)| !line.trim_ascii().is_empty());
        let lines: Vec<(&[u8], u64)> = lines.collect();
        assert!(seen.whole, "{}", seen.last);
        assert_eq!(
            seen.rows.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
            lines.iter().map(|(_, line)| *line).collect::<Vec<_>>()
        );
        for ((line, cells), (text, _)) in seen.rows.iter().zip(&lines) {
            let Some(cells) = cells else { continue };
            let told: BTreeMap<String, Box<RawValue>> =
                serde_json::from_str(std::str::from_utf8(text).unwrap().trim())
                    .expect("a row that is read is JSON");
            for (name, value) in told {
                let told = match (value.get(), serde_json::from_str::<String>(value.get())) {
                    (_, Ok(text)) => text,
                    ("null", _) => String::new(),
                    // A number is what is written.
                    (written, _) => written.to_owned(),
                };
                // A blank around a name may be none of ASCII's.
                let column = seen.columns.iter().position(|column| column == name.trim());
                assert!(
                    column.is_none_or(|column| cells[column] == told),
                    "line {line}"
                );
            }
        }
        seen.last
    });
}

/// A workbook is a zip file of XML: what is changed is one of its parts, or the file as it is.
#[test]
fn workbooks() {
    // Each costs a process.
    let target = Target::of("workbook", 40);
    let (own, words) = (workbook(), Words::of(target.words));
    target.try_on_these(vec![own.clone()], |input| {
        let made = (input.len() <= NUMBER_MAX)
            .then(|| with_a_part_changed(&own, u64::from(digest(input)), &words))
            .flatten();
        read_workbook(made.as_deref().unwrap_or(input))
    });
}

/// A short input is a number, by which a part of a workbook is changed.
const NUMBER_MAX: usize = 64;

/// A workbook that Excel would open.
fn workbook() -> Vec<u8> {
    let mut workbook = rust_xlsxwriter::Workbook::new();
    let sheet = workbook.add_worksheet();
    sheet
        .write_row(0, 0, ["contract_id", "amount", "active", "day"])
        .unwrap();
    for row in 1..6 {
        sheet.write_row(row, 0, ["C-1", "12.50", "yes"]).unwrap();
        sheet.write_number(row, 1, 38.5).unwrap();
        let format = rust_xlsxwriter::Format::new().set_num_format("yyyy-mm-dd");
        let day = rust_xlsxwriter::ExcelDateTime::from_ymd(2026, 3, 31).unwrap();
        sheet
            .write_datetime_with_format(row, 3, day, &format)
            .unwrap();
    }
    workbook.save_to_buffer().unwrap()
}

/// The workbook with one of its parts changed; none if it is no zip file.
fn with_a_part_changed(file: &[u8], number: u64, words: &Words) -> Option<Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(file)).ok()?;
    let mut parts = Vec::new();
    for index in 0..archive.len() {
        let mut part = archive.by_index(index).ok()?;
        let mut text = Vec::new();
        part.by_ref().take(1 << 20).read_to_end(&mut text).ok()?;
        let name = part.name().ok()?.into_owned();
        parts.push((name, text));
    }
    // Every other time it is the sheet itself.
    let sheet = parts
        .iter()
        .position(|(name, _)| name.ends_with("sheet1.xml"))?;
    let at = if number.is_multiple_of(2) {
        sheet
    } else {
        usize::try_from(number / 2).ok()? % parts.len()
    };
    parts[at].1 = Maker::of(number, words).input(&[parts[at].1.clone()]);
    let mut changed = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in parts {
        changed
            .start_file(name, SimpleFileOptions::default())
            .ok()?;
        changed.write_all(&text).ok()?;
    }
    changed.finish().ok().map(Cursor::into_inner)
}

/// What the process says that reads workbooks.
fn read_workbook(file: &[u8]) -> String {
    let mut given = tempfile::tempfile().unwrap();
    given.write_all(file).unwrap();
    std::io::Seek::rewind(&mut given).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_payrun"));
    command
        .arg0("payrun")
        .arg("read-a-workbook")
        .env_clear()
        .stdin(Stdio::from(given));
    let ended = command.output().unwrap();
    let said = String::from_utf8(ended.stdout).expect("it speaks UTF-8");
    let told = String::from_utf8_lossy(&ended.stderr);
    // What reads workbooks may give up, which refuses the file; what we make of its cells may not.
    assert!(!told.contains("panicked at src/"), "{told}");
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("it speaks JSON"))
        .collect();
    let rows: Vec<u64> = lines
        .iter()
        .filter_map(|line| line["Row"][0].as_u64().or(line["Wrong"]["line"].as_u64()))
        .collect();
    assert!(rows.windows(2).all(|pair| pair[0] < pair[1]), "{rows:?}");
    let Some(last) = lines.last() else {
        assert!(
            !ended.status.success(),
            "it said nothing, and says all is well"
        );
        return "it died".to_owned();
    };
    let ends = last == "End" || last.get("Refused").is_some() || last.get("Broken").is_some();
    assert!(
        ends || !ended.status.success(),
        "it stops in the middle: {last}"
    );
    let wrong: BTreeSet<&str> = lines
        .iter()
        .filter_map(|line| line["Wrong"]["reason"].as_str())
        .collect();
    format!("{last} {wrong:?}")
}
