//! Columns of an item file of which nothing is made, and ids that are not what was typed: each is
//! told, and what would be filed otherwise than the file says is refused.

use expect_test::expect;
use rust_xlsxwriter::{ExcelDateTime, Format, Workbook, Worksheet};
use serde_json::{Value, json};

use crate::support::said::assert_said;
use crate::support::{App, DATE, WORKFLOW};

/// A project whose workflow charges in HKD, whatever a column says.
fn in_hkd(name: &str, file: &[u8], say: &str) -> App {
    let app = App::with_contracts("");
    let beside = if say.is_empty() {
        String::new()
    } else {
        format!("\n      {say}")
    };
    app.edit(WORKFLOW, "contracts.csv", &format!("{name}{beside}"));
    app.edit(WORKFLOW, "\"{{ item.currency }}\"", "HKD");
    app.write(&format!("data/{name}"), file);
    app
}

fn plan(app: &App) -> Value {
    app.json(&["plan", WORKFLOW, "--date", DATE, "--json"])["jobs"][0].clone()
}

const HEADER: &str = "contract_id,active,plan,amount";

fn csv(more: &str, rows: &[&str]) -> Vec<u8> {
    format!("{HEADER},{more}\n{}\n", rows.join("\n")).into_bytes()
}

#[test]
fn a_column_that_is_a_field_and_says_something_else_than_is_sent_refuses_its_row() {
    for heading in ["currency", "Currency", "币种"] {
        let rows = [
            "C-1,yes,Basic,38.00,CNY",
            "C-2,yes,Basic,38.00,HKD",
            "C-3,yes,Basic,38.00,",
        ];
        let app = in_hkd("c.csv", &csv(heading, &rows), "");
        let planned = plan(&app);
        assert_eq!(planned["items"], 2, "{planned}");
        let refusals = planned["refusals"].as_array().unwrap();
        assert_eq!(refusals.len(), 1);
        assert_eq!(refusals[0]["line"], 2);
        let told = refusals[0]["reason"].as_str().unwrap();
        for words in [
            format!("the column \"{heading}\" is called like the field currency and says CNY"),
            "it sends HKD".to_owned(),
            "currency: \"{{ item.currency }}\"".to_owned(),
            format!("unused: [{heading}] beside file:"),
        ] {
            assert!(told.contains(&words), "{words}: {told}");
        }
        app.run().exits(3);
        assert_eq!(app.charges(), 2);
    }
}

#[test]
fn a_column_of_a_field_that_says_what_is_sent_anyway_is_only_named() {
    let file = csv(
        "币种,description",
        &["C-1,yes,Basic,38.00,hkd ,", "C-2,yes,Basic,38.00,,"],
    );
    let planned = plan(&in_hkd("c.csv", &file, ""));
    assert_eq!(
        (&planned["items"], &planned["rejected"]),
        (&json!(2), &json!(0)),
        "{planned}"
    );
    assert_eq!(
        planned["read_as"]["columns_not_used"],
        json!(["币种", "description"])
    );
}

#[test]
fn a_field_that_the_workflow_does_not_fill_at_all_is_not_lost_either() {
    let file = csv(
        "goods_tag",
        &["C-1,yes,Basic,38.00,SPRING", "C-2,yes,Basic,38.00,"],
    );
    let planned = plan(&in_hkd("c.csv", &file, ""));
    assert_eq!(planned["items"], 1, "{planned}");
    let told = planned["refusals"][0]["reason"].as_str().unwrap();
    assert_said(told, expect!["it sends no goods_tag"]);
}

#[test]
fn a_workflow_says_that_a_column_is_not_meant() {
    let file = csv("币种", &["C-1,yes,Basic,38.00,CNY"]);
    let app = in_hkd("c.csv", &file, "unused: [币种]");
    assert_eq!(plan(&app)["items"], 1);
    // It cannot say so of one that it uses, or of no file.
    let used = in_hkd("c.csv", &file, "unused: [contract_id]");
    let told = used.payrun(&["check"]).exits(2).stderr;
    assert_said(&told, expect!["the column contract_id is used by this job"]);
}

#[test]
fn every_column_that_is_not_used_is_named_by_plan_run_and_the_run_itself() {
    let rows = ["C-1,yes,Basic,38.00,x,Wang,y"];
    let app = in_hkd(
        "c.csv",
        &csv("备注,业务员,payrun_reason", &rows),
        "searchable: [contract_id]",
    );
    let told = app
        .payrun(&["plan", WORKFLOW, "--date", DATE])
        .exits(0)
        .stdout;
    assert_said(&told, expect!["columns not used: 备注, 业务员\n"]);
    let ran = app.run().exits(0);
    assert_said(&ran.stderr, expect!["columns not used: 备注, 业务员\n"]);
    let run = app.json(&["show", "1", "--json"]);
    assert!(
        run.to_string()
            .contains("\"columns_not_used\":[\"备注\",\"业务员\"]"),
        "{run}"
    );
    let checked = app.payrun(&["check"]).exits(0).stdout;
    assert_said(&checked, expect!["columns not used: 备注, 业务员"]);
}

#[test]
fn what_only_an_expression_the_key_or_where_reads_is_used() {
    let app = in_hkd(
        "c.csv",
        &csv("Sub Total,region", &["C-1,yes,Basic,38.00,5,HK"]),
        "",
    );
    app.edit(
        WORKFLOW,
        "item.active == \"yes\"",
        "item.active == \"yes\" and item[\"Sub Total\"] != \"0\"",
    );
    app.edit(
        WORKFLOW,
        "{{ item.contract_id }}/{{ run.month }}",
        "{{ item.contract_id }}/{{ item.region }}",
    );
    let planned = plan(&app);
    assert_eq!(planned["items"], 1, "{planned}");
    assert_eq!(planned["read_as"]["columns_not_used"], json!([]));
}

fn workbook(fill: impl FnOnce(&mut Worksheet)) -> Vec<u8> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    sheet
        .write_row(0, 0, "协议,active,plan,amount,币种".split(','))
        .unwrap();
    fill(sheet);
    workbook.save_to_buffer().unwrap()
}

fn row(sheet: &mut Worksheet, at: u32, contract: &str) {
    sheet
        .write_row(at, 0, [contract, "yes", "Basic", "38.00", "HKD"])
        .unwrap();
}

#[test]
fn a_date_or_a_number_without_its_zeros_is_no_id_and_is_named_by_its_cell() {
    let file = workbook(|sheet| {
        for at in 1..=4 {
            row(sheet, at, &format!("00{at}"));
        }
        let day = ExcelDateTime::from_ymd(2026, 3, 1).unwrap();
        let format = Format::new().set_num_format("m\"月\"d\"日\"");
        sheet
            .write_datetime_with_format(2, 0, &day, &format)
            .unwrap();
        sheet.write_number(3, 0, 3.0).unwrap();
        sheet.write_string(4, 4, "CNY").unwrap();
    });
    let planned = plan(&in_hkd("c.xlsx", &file, "columns: { contract_id: 协议 }"));
    assert_eq!(planned["items"], 1, "{planned}");
    let told = |line: u64| -> String {
        let all = planned["refusals"].as_array().unwrap().iter();
        let one = all.clone().find(|row| row["line"] == line);
        one.unwrap()["reason"].as_str().unwrap().to_owned()
    };
    for (line, words) in [
        (3, "contract_id (column \"协议\", cell Sheet1!A3) is a date"),
        (
            4,
            "contract_id (column \"协议\", cell Sheet1!A4) is a number, and other cells of this column are text that begins with a zero",
        ),
        (
            5,
            "the column \"币种\" (cell Sheet1!E5) is called like the field currency and says CNY",
        ),
    ] {
        assert!(told(line).starts_with(words), "{}", told(line));
    }
}

#[test]
fn numbers_alone_are_ids_and_a_date_in_a_column_of_dates_is_one() {
    let file = workbook(|sheet| {
        for at in 1..=3 {
            row(sheet, at, "");
            sheet.write_number(at, 0, 1000.0 + f64::from(at)).unwrap();
        }
    });
    let planned = plan(&in_hkd("c.xlsx", &file, "columns: { contract_id: 协议 }"));
    assert_eq!(planned["items"], 3, "{planned}");
}

#[test]
fn a_date_that_excel_has_made_of_an_id_is_refused_in_csv_too() {
    let rows = [
        "3月1日,yes,Basic,38.00,",
        "1-Mar,yes,Basic,38.00,",
        "3-1,yes,Basic,38.00,",
    ];
    let planned = plan(&in_hkd("c.csv", &csv("x", &rows), ""));
    assert_eq!(
        (&planned["items"], &planned["rejected"]),
        (&json!(1), &json!(2)),
        "{planned}"
    );
}

#[test]
fn a_column_that_a_file_may_lack_is_empty_there_and_read_where_it_is() {
    let say = "optional: [tag]";
    for (more, tag) in [("x", ""), ("tag", "spring")] {
        let app = in_hkd("c.csv", &csv(more, &["C-1,yes,Basic,38.00,SPRING"]), say);
        app.edit(
            WORKFLOW,
            "/{{ run.month }}",
            "/{{ item.tag|lower }}/{{ run.month }}",
        );
        assert_eq!(plan(&app)["first"][0]["key"], format!("C-1/{tag}/2026-03"));
    }
    let wrong = in_hkd(
        "c.csv",
        &csv("x", &["C-1,yes,Basic,38.00,"]),
        "optional: [contract]",
    );
    let told = wrong.payrun(&["check"]).exits(2).stderr;
    assert_said(&told, expect!["this job uses no column contract\n"]);
}

#[test]
fn the_encoding_of_another_file_is_said_beside_it() {
    let app = in_hkd("c.csv", &csv("x", &["C-1,yes,Basic,38.00,"]), "");
    let text = String::from_utf8(csv("备注", &["C-1,yes,基础会员,38.00,"])).unwrap();
    app.write("gbk.csv", encoding_rs::GB18030.encode(&text).0);
    let args = ["plan", WORKFLOW, "--input", "gbk.csv", "--date", DATE];
    let unsaid = app.payrun(&args).exits(2).stderr;
    assert_said(
        &unsaid,
        expect!["(--input and contracts import: --encoding;"],
    );
    let said = [&args[..], &["--encoding", "gb18030"]].concat();
    let told = app.payrun(&said).exits(0).stdout;
    assert_said(&told, expect!["CSV in GB18030 (GBK)"]);
    assert_said(&told, expect!["columns not used: 备注"]);
    app.payrun(&["plan", WORKFLOW, "--encoding", "gb18030"])
        .exits(2);
}

#[test]
fn check_calls_a_workflow_good_once_its_file_has_been_tried() {
    let app = in_hkd(
        "c.csv",
        b"contract,active,plan,amount\nC-1,yes,Basic,38.00\n",
        "",
    );
    let told = app.payrun(&["check"]).exits(2);
    assert!(
        !told.stdout.contains(&format!("good   {WORKFLOW}")),
        "{}",
        told.stdout
    );
    assert!(
        told.stdout.contains(&format!(
            "{WORKFLOW}: it is good itself, and does not fit its item file"
        )),
        "{}",
        told.stdout
    );
    assert_said(&told.stderr, expect!["`payrun plan WORKFLOW --input FILE`"]);
    std::fs::remove_file(app.path("data/c.csv")).unwrap();
    let told = app.payrun(&["check"]).exits(0).stdout;
    assert_said(&told, expect!["the file is not there, so it was not tried"]);
}

#[test]
fn what_excel_had_made_of_an_id_comes_back_and_is_refused_again() {
    let file = workbook(|sheet| {
        row(sheet, 1, "C-1");
        row(sheet, 2, "");
        let whole = Format::new().set_num_format("0");
        sheet
            .write_number_with_format(2, 0, 4_200_002_345_678_900_000_f64, &whole)
            .unwrap();
        row(sheet, 3, "C-3");
        sheet
            .write_number_with_format(3, 3, 0.15, &Format::new().set_num_format("0%"))
            .unwrap();
    });
    let app = in_hkd("c.xlsx", &file, "columns: { contract_id: 协议 }");
    app.run().exits(3);
    for back in ["back.csv", "back.xlsx"] {
        app.payrun(&["rows", "1", "--rejected", "-o", back])
            .exits(0);
        let args = ["plan", WORKFLOW, "--input", back, "--date", DATE, "--json"];
        let planned = app.json(&args)["jobs"][0].clone();
        assert_eq!(
            (&planned["items"], &planned["rejected"]),
            (&json!(0), &json!(2)),
            "{planned}"
        );
        assert_said(
            planned["refusals"].to_string(),
            expect!["contains blank U+0020"],
        );
    }
    let back = std::fs::read_to_string(app.path("back.csv")).unwrap();
    let lines: Vec<&str> = back.lines().collect();
    assert!(
        lines[1].starts_with("?? 4200002345678900000,yes,Basic,38.00,HKD,3,"),
        "{back}"
    );
    assert!(lines[2].starts_with("C-3,yes,Basic,15%,HKD,4,"), "{back}");
}

#[test]
fn an_id_that_is_no_more_what_was_typed_comes_back_marked_and_is_refused_until_it_is_mended() {
    let file = workbook(|sheet| {
        row(sheet, 1, "0012345");
        row(sheet, 2, "0012346");
        row(sheet, 3, "");
        sheet.write_number(3, 0, 12_347).unwrap();
        row(sheet, 4, "");
        let day = ExcelDateTime::from_ymd(2026, 3, 1).unwrap();
        let shown = Format::new().set_num_format("m\"月\"d\"日\"");
        sheet
            .write_datetime_with_format(4, 0, &day, &shown)
            .unwrap();
        row(sheet, 5, "0012349");
        sheet
            .write_number_with_format(5, 3, 38.4, &Format::new().set_num_format("0"))
            .unwrap();
    });
    let app = in_hkd("c.xlsx", &file, "columns: { contract_id: 协议 }");
    app.run().exits(3);
    for back in ["back.csv", "back.xlsx"] {
        app.payrun(&["rows", "1", "--rejected", "-o", back])
            .exits(0);
        let args = ["plan", WORKFLOW, "--input", back, "--date", DATE, "--json"];
        let planned = app.json(&args)["jobs"][0].clone();
        assert_eq!(
            (&planned["items"], &planned["rejected"]),
            (&json!(0), &json!(3)),
            "{planned:#}"
        );
    }
    let back = std::fs::read_to_string(app.path("back.csv")).unwrap();
    let cells: Vec<&str> = back
        .lines()
        .skip(1)
        .map(|line| line.split(',').next().unwrap())
        .collect();
    assert_eq!(cells, ["?? 12347", "?? 2026-03-01", "0012349"], "{back}");
    assert!(back.contains(",?? 38.4,"), "{back}");
    // Mended by hand it is taken.
    let mended = back
        .replace("?? 12347", "0012347")
        .replace("?? 2026-03-01", "3-1")
        .replace("?? 38.4", "38");
    app.write("mended.csv", mended);
    let args = [
        "plan",
        WORKFLOW,
        "--input",
        "mended.csv",
        "--date",
        DATE,
        "--json",
    ];
    assert_eq!(app.json(&args)["jobs"][0]["items"], 3);
}

#[test]
fn a_line_with_other_values_than_the_header_comes_back_as_it_was_and_is_refused_again() {
    let app = in_hkd(
        "c.csv",
        &csv(
            "x",
            &["C-1,yes,Basic,38.00,", "C-2,yes,Basic,1,038.00,", "C-3,yes"],
        ),
        "",
    );
    app.run().exits(3);
    app.payrun(&["rows", "1", "--rejected", "-o", "back.csv"])
        .exits(0);
    let back = std::fs::read_to_string(app.path("back.csv")).unwrap();
    assert!(
        back.contains("\"C-2,yes,Basic,1,038.00,\",,,,,3,"),
        "{back}"
    );
    let args = [
        "plan", WORKFLOW, "--input", "back.csv", "--date", DATE, "--json",
    ];
    assert_eq!(app.json(&args)["jobs"][0]["items"], 0);
}
