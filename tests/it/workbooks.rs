//! Workbooks of openpyxl, LibreOffice and payrun itself: each is read as it is shown, or refused with
//! its row, its column and the reason, and the same rows are the same items whoever wrote them. What
//! a person is told stands beside each file in `tests/workbooks`.

use std::io::{Cursor, Read as _};

use rust_xlsxwriter::Workbook;
use serde_json::Value;

use crate::support::planned_files::ReadyProject;
use crate::support::{App, DATE, WORKFLOW, root};

const COLUMNS: &str = "columns: { contract_id: 签约协议号, plan: 套餐, day: 扣款日, amount: 金额, currency: 币种, active: 是否有效 }";

/// Charges each contract once a day, so that a plan shows how the day was read.
const BY_DAY: &str = "\
workflow: by-day
params:
  file: { type: text }
jobs:
  deduct:
    uses: deduct
    gateway: hk
    items:
      file: \"{{ params.file }}\"
      COLUMNS
      where: item.active == \"yes\"
    key: \"{{ item.contract_id }}/{{ item.day }}\"
    with:
      contract_id: \"{{ item.contract_id }}\"
      amount: \"{{ item.amount }}\"
      currency: \"{{ item.currency }}\"
      description: \"{{ item.plan }}\"
      merchant_category_code: \"4900\"
";

fn project() -> ReadyProject {
    let project = ReadyProject::of("workbooks");
    project.write("workflows/by-day.yaml", BY_DAY.replace("COLUMNS", COLUMNS));
    project
}

/// What was planned, without the name of the sheet.
fn rows(told: &str) -> Vec<&str> {
    told.lines()
        .filter(|line| !line.starts_with("  read as"))
        .collect()
}

/// Files of two makers, of which each has the same to tell.
const OF_BOTH: [&str; 4] = ["rows", "wrong", "filtered_rows", "since_1904"];

#[test]
fn each_workbook_is_read_as_it_is_shown_or_refused_whoever_has_saved_it() {
    let project = project();
    let plan = |file: &str| project.plan(file, "by-day", "file");
    let mut tried = Vec::new();
    for name in OF_BOTH {
        let files = ["openpyxl", "libreoffice"].map(|by| format!("{name}.{by}.xlsx"));
        let told = files.each_ref().map(|file| plan(file).replace(file, name));
        assert_eq!(rows(&told[0]), rows(&told[1]), "{name}");
        tried.extend(files);
    }
    let first = plan("rows.openpyxl.xlsx");
    assert_eq!(rows(&plan("rows.ods.xlsx")), rows(&first));
    for file in [
        "rows.csv.xlsx",
        "formulas.openpyxl.xlsx",
        "formulas.libreoffice.xlsx",
        "hidden_column.openpyxl.xlsx",
        "reading.openpyxl.xlsx",
    ] {
        plan(file);
        tried.push(file.to_owned());
    }
    let filed = ["openpyxl", "libreoffice"].map(|by| format!("customs.{by}.xlsx"));
    let told = filed
        .each_ref()
        .map(|file| project.plan(file, "customs-filing", "orders"));
    assert_eq!(rows(&told[0]), rows(&told[1]));
    tried.extend(filed);
    tried.push("rows.ods.xlsx".to_owned());
    let tried: Vec<&str> = tried.iter().map(String::as_str).collect();
    project.has_tried(&tried);
}

/// Key and amount of each row that is planned, where so many are refused.
fn planned(app: &App, refused: u64) -> Vec<(String, String)> {
    let plan = app.json(&["plan", WORKFLOW, "--date", DATE, "--json"])["jobs"][0].clone();
    assert_eq!(plan["rejected"], refused, "{plan}");
    let rows = plan["first"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    rows.map(|row| (text(&row["key"]), text(&row["amount"])))
        .collect()
}

/// A project that charges what is in this workbook.
fn app(workbook: &[u8], columns: &str, key: &str) -> App {
    let app = App::with_contracts("");
    app.edit(
        WORKFLOW,
        "contracts.csv",
        &format!("rows.xlsx\n      {columns}"),
    );
    app.edit(WORKFLOW, "{{ item.contract_id }}/{{ run.month }}", key);
    app.write("data/rows.xlsx", workbook);
    app
}

#[test]
fn what_was_charged_of_a_workbook_comes_back_from_the_own_export_as_the_same_items() {
    let file = root().join("tests/workbooks/rows.openpyxl.xlsx");
    let charged = app(
        &std::fs::read(file).unwrap(),
        COLUMNS,
        "{{ item.contract_id }}/{{ item.day }}",
    );
    // One id is a number among texts with zeros before them.
    let first = planned(&charged, 1);
    assert_eq!(first.len(), 7);
    charged.run().exits(3);
    charged
        .payrun(&["items", "-o", "items.xlsx", "--all-columns"])
        .exits(0);
    let export = std::fs::read(charged.path("items.xlsx")).unwrap();

    let again = app(
        &export,
        "columns: { contract_id: 签约协议号, plan: description, amount: 金额, currency: 币种 }",
        "{{ item.key }}",
    );
    again.edit(
        WORKFLOW,
        "item.active == \"yes\"",
        "item.state == \"succeeded\"",
    );
    assert_eq!(planned(&again, 0), first);
}

#[test]
fn zeros_of_a_program_that_calculates_nothing_are_no_values() {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    let header = ["contract_id", "plan", "amount", "currency", "active"];
    sheet.write_row(0, 0, header).unwrap();
    sheet
        .write_row(1, 0, ["", "basic", "38.00", "HKD", "yes"])
        .unwrap();
    sheet.write_formula(1, 0, "=1000+1").unwrap();
    let app = App::with_contracts("");
    app.edit(WORKFLOW, "contracts.csv", "contracts.xlsx");
    app.write("data/contracts.xlsx", book.save_to_buffer().unwrap());
    let ended = app.run().exits(2);
    assert!(
        ended.stderr.contains("that nobody has calculated") && ended.stderr.contains(": A2. Open"),
        "{}",
        ended.stderr
    );
}

#[test]
fn no_workbook_says_when_or_by_whom_it_was_made() {
    for folder in ["cases", "workbooks"] {
        for entry in std::fs::read_dir(root().join("tests").join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "xlsx") {
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
            let mut core = String::new();
            let part = archive.by_name("docProps/core.xml");
            part.unwrap().read_to_string(&mut core).unwrap();
            let made: Vec<&str> = core.split("W3CDTF\">").skip(1).collect();
            assert!(
                made.iter().all(|at| at.starts_with("2026-03-31T00:00:00Z")),
                "{}: {core}",
                path.display()
            );
            for by in ["<dc:creator>", "<cp:lastModifiedBy>"] {
                assert!(!core.contains(by), "{}: {core}", path.display());
            }
        }
    }
}
