//! Items from Excel: what a person sees in the sheet is what is planned, and what is not certain is
//! refused.

use expect_test::expect;
use rust_xlsxwriter::{ExcelDateTime, Format, Formula, Workbook, Worksheet};
use serde_json::{Value, json};

use crate::support::{App, DATE, WORKFLOW};

const COLUMNS: [&str; 5] = ["contract_id", "plan", "amount", "currency", "active"];

/// A sheet whose header stands in the third row.
fn with_header(sheet: &mut Worksheet) {
    sheet.write_row(2, 0, COLUMNS).unwrap();
}

/// A row as it is typed: the amount is a number.
fn write(sheet: &mut Worksheet, row: u32, contract: &str, plan: &str, amount: f64) {
    sheet.write_row(row, 0, [contract, plan]).unwrap();
    sheet.write_number(row, 2, amount).unwrap();
    sheet.write_row(row, 3, ["HKD", "yes"]).unwrap();
}

/// A workbook whose first sheet is made by `fill`.
fn workbook(fill: impl FnOnce(&mut Worksheet)) -> Vec<u8> {
    let mut workbook = Workbook::new();
    fill(workbook.add_worksheet());
    workbook.save_to_buffer().unwrap()
}

/// A project whose contracts are this workbook.
fn app(file: &[u8]) -> App {
    let app = App::with_contracts("");
    app.edit(WORKFLOW, "contracts.csv", "contracts.xlsx");
    app.write("data/contracts.xlsx", file);
    app
}

fn plan(app: &App) -> Value {
    app.json(&["plan", WORKFLOW, "--date", DATE, "--json"])["jobs"][0].clone()
}

/// Line and reason of each refused row.
fn refusals(planned: &Value) -> String {
    let refusals = planned["refusals"].as_array().unwrap().iter();
    let mut lines: Vec<String> = refusals
        .map(|refusal| {
            format!(
                "{:>2} {}",
                refusal["line"].as_u64().unwrap(),
                refusal["reason"].as_str().unwrap()
            )
        })
        .collect();
    lines.sort();
    lines.join("\n")
}

/// Key, order number and amount of each planned row.
fn planned_rows(app: &App) -> Vec<[Value; 3]> {
    let planned = plan(app);
    let rows = planned["first"].as_array().unwrap().iter();
    rows.map(|row| ["key", "order_no", "amount"].map(|name| row[name].clone()))
        .collect()
}

/// Refused as a whole: exit code 2, the words, and nobody charged.
#[track_caller]
fn refused(file: &[u8], words: &[&str]) {
    let app = app(file);
    let ended = app.run().exits(2);
    for word in words {
        assert!(
            ended.stderr.contains(word),
            "{word:?} is not in\n{}",
            ended.stderr
        );
    }
}

#[test]
fn the_same_rows_as_csv_and_as_excel_are_the_same_orders() {
    let csv = "contract_id,plan,amount,currency,active\nC-1,basic,38,HKD,yes\nC-2,プラン 金,38.5,HKD,yes\n\
               007,\"a, b\",1234567.89,HKD,yes\n00001001,basic,0.1,HKD,yes\n";
    let file = workbook(|sheet| {
        with_header(sheet);
        write(sheet, 3, "C-1", "basic", 38.0);
        write(sheet, 5, "C-2", "プラン 金", 38.5);
        write(sheet, 6, "007", "a, b", 1_234_567.89);
        write(sheet, 7, "", "basic", 0.1);
        // As many digits as its format shows, so none can be missing.
        let eight = Format::new().set_num_format("00000000");
        sheet.write_number_with_format(7, 0, 1001, &eight).unwrap();
    });
    let (excel, plain) = (app(&file), App::with_contracts(csv));
    let rows = planned_rows(&excel);
    assert_eq!(rows, planned_rows(&plain));
    assert_eq!(rows.len(), 4, "{rows:?}");
    excel.run().exits(0);
    assert_eq!(excel.charges(), 4);
}

#[test]
fn rows_that_are_not_certain_are_refused_with_their_row_and_never_cost_the_others() {
    let date = Format::new().set_num_format("yyyy-mm-dd");
    let duration = Format::new().set_num_format("[h]:mm");
    let file = workbook(|sheet| {
        with_header(sheet);
        write(sheet, 3, "C-4", "basic", 38.0);
        write(sheet, 4, "C-5", "basic", 41.800_000_000_000_004);
        write(sheet, 5, "", "basic", 38.0);
        sheet
            .write_number(5, 0, 1_234_567_890_123_456_789_f64)
            .unwrap();
        write(sheet, 6, "C-7", "basic", 38.0);
        sheet
            .write_formula(6, 2, Formula::new("=NA()").set_result("#N/A"))
            .unwrap();
        sheet.write_number(6, 0, 4.2e18).unwrap();
        write(sheet, 7, "C-8", "basic", 38.0);
        sheet
            .write_formula(7, 2, Formula::new("=30+8").set_result("38"))
            .unwrap();
        write(sheet, 8, "C-9", "", 38.0);
        sheet
            .write_datetime_with_format(
                8,
                1,
                ExcelDateTime::parse_from_str("2026-03-31").unwrap(),
                &date,
            )
            .unwrap();
        write(sheet, 9, "C-10", "basic", 38.0);
        sheet
            .write_number_with_format(9, 1, 1.5, &duration)
            .unwrap();
        write(sheet, 10, "C-11", "basic", 38.0);
        sheet.write_string(10, 6, "a note").unwrap();
        write(sheet, 11, "C-12", "basic", -1.0);
        write(sheet, 12, "C-13", "basic", 38.0);
        sheet.write_boolean(12, 4, true).unwrap();
        write(sheet, 13, "C-14", "basic", 1.005);
        write(sheet, 20, "C-21", "basic", 38.0);
    });
    let app = app(&file);
    app.edit(
        WORKFLOW,
        "item.active == \"yes\"",
        "item.active == \"yes\" or item.active == \"TRUE\"",
    );
    let planned = plan(&app);
    insta::assert_snapshot!(refusals(&planned), @r#"
     5 the value of column "amount" (cell Sheet1!C5) is no exact number; format the column as text, or round it with ROUND
     6 the value of column "contract_id" (cell Sheet1!A6) has more than 15 digits, of which Excel has lost some; format the column as text
     7 the value of column "contract_id" (cell Sheet1!A7) has more than 15 digits, of which Excel has lost some; format the column as text; the value of column "amount" (cell Sheet1!C7) is an error of Excel's, such as #N/A; mend the formula
    10 the value of column "plan" (cell Sheet1!B10) is a duration; format the column as text
    11 there is a value in cell Sheet1!G11, whose column has no name in the header
    12 amount (cell Sheet1!C12): the amount -1 is not above zero
    14 amount (cell Sheet1!C14): the amount 1.005 has more decimals than HKD has (2); a point that separates thousands is left out
    "#);
    app.run().exits(3);
    assert_eq!(app.by_state(), json!({ "succeeded": 5, "rejected": 7 }));
}

#[test]
fn a_sheet_is_taken_by_its_name_and_else_the_first_that_is_not_hidden() {
    let mut book = Workbook::new();
    let hidden = book
        .add_worksheet()
        .set_name("old")
        .unwrap()
        .set_hidden(true);
    with_header(hidden);
    write(hidden, 3, "OLD-1", "basic", 1.0);
    for (name, contract) in [("March", "M-1"), ("April", "A-1")] {
        let sheet = book.add_worksheet().set_name(name).unwrap();
        with_header(sheet);
        write(sheet, 3, contract, "basic", 38.0);
        if name == "March" {
            sheet.set_active(true);
        }
    }
    let app = app(&book.save_to_buffer().unwrap());
    let key = |app: &App| {
        planned_rows(app)
            .iter()
            .map(|row| row[0].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(key(&app), ["M-1/2026-03"]);
    // The hidden sheet has rows that somebody may mean.
    app.payrun(&["plan", WORKFLOW, "--date", DATE])
        .exits(0)
        .says(expect![[r#"not read: "April", "old" (hidden)"#]]);
    app.edit(
        WORKFLOW,
        "contracts.xlsx\n",
        "contracts.xlsx\n      sheet: April\n",
    );
    assert_eq!(key(&app), ["A-1/2026-03"]);
    app.edit(WORKFLOW, "sheet: April", "sheet: Aprli");
    app.run()
        .exits(2)
        .says(expect!["contracts.xlsx"])
        .says(expect!["has no sheet \"Aprli\"; did you mean \"April\"?"]);
    app.edit(
        WORKFLOW,
        "sheet: Aprli\n",
        "sheet: April\n      format: csv\n",
    );
    app.run()
        .exits(2)
        .says(expect!["sheet belongs to format: xlsx"]);
}

#[test]
fn a_file_that_is_no_workbook_or_is_locked_by_a_password_is_refused_with_what_to_do() {
    refused(
        b"contract_id,plan\nC-1,basic\n",
        &["contracts.xlsx: this is no Excel workbook; save it in Excel as .xlsx"],
    );
    refused(b"", &["this is no Excel workbook"]);
    refused(
        b"PK\x03\x04 and then nothing of the kind",
        &["this is no Excel workbook"],
    );
    refused(
        &[0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1, 0, 0],
        &["has a password or is of an old Excel"],
    );
    let app = app(b"");
    std::fs::File::create(app.path("data/contracts.xlsx"))
        .unwrap()
        .set_len((64 << 20) + 1)
        .unwrap();
    app.run()
        .exits(2)
        .says(expect!["larger than 64 MiB; split it"]);
}

#[test]
fn a_workbook_that_was_cut_or_damaged_anywhere_is_refused_or_read_as_it_was() {
    let whole = workbook(|sheet| {
        with_header(sheet);
        (3..200).for_each(|row| write(sheet, row, &format!("C-{row}"), "basic", 38.0));
    });
    for cut in [whole.len() / 4, whole.len() / 2, whole.len() - 1] {
        refused(&whole[..cut], &["contracts.xlsx"]);
    }
    for at in (60..whole.len()).step_by(whole.len() / 12) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x5a;
        let app = app(&damaged);
        let ended = app.payrun(&["plan", WORKFLOW, "--date", DATE, "--json"]);
        let is_whole = || {
            serde_json::from_str::<Value>(&ended.stdout).unwrap()["jobs"][0]["items"] == json!(197)
        };
        assert!(
            ended.code() == Some(2) || is_whole(),
            "byte {at}: {ended:#?}"
        );
    }
}

#[test]
fn a_header_that_is_missing_empty_or_repeated_refuses_the_file() {
    refused(
        &workbook(|_| {}),
        &["contracts.xlsx:1: the sheet is empty; one of its first rows must name the columns"],
    );
    refused(
        &workbook(|sheet| {
            _ = sheet
                .write_row(4, 0, ["contract_id", "", "amount"])
                .unwrap()
        }),
        &["contracts.xlsx:5: column 2 has no name"],
    );
    refused(
        &workbook(|sheet| _ = sheet.write_row(0, 0, ["plan", "plan"]).unwrap()),
        &["two columns are called \"plan\""],
    );
    refused(
        &workbook(|sheet| _ = sheet.write_string(0, 1_200, "far").unwrap()),
        &["1,000th column"],
    );
}
