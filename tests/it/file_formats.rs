//! What people have: files in the encodings, with the separators, titles and names of columns that
//! Excel and other programs write, and workbooks that show something else than they hold. Each is
//! read as it is meant, or refused with what to do.

use encoding_rs::{BIG5, GB18030};
use expect_test::expect;
use payrun::sandbox::faults::{Fault, FaultPlan};
use reqwest::Method;
use rust_xlsxwriter::{Format, Workbook, Worksheet};
use serde_json::{Value, json};

use crate::support::gateways::personal_key;
use crate::support::said::assert_said;
use crate::support::service::{Service, days_ago};
use crate::support::{App, DATE, Setup, WORKFLOW, until};

const HEADER: &str = "contract_id,active,plan,amount,currency";

/// A project whose contracts are this file; `say` stands beside `file:` in the workflow.
fn app(name: &str, file: &[u8], say: &str) -> App {
    let app = App::with_contracts("");
    let beside = if say.is_empty() {
        String::new()
    } else {
        format!("\n      {say}")
    };
    app.edit(WORKFLOW, "contracts.csv", &format!("{name}{beside}"));
    app.write(&format!("data/{name}"), file);
    app
}

fn plan(app: &App) -> Value {
    app.json(&["plan", WORKFLOW, "--date", DATE, "--json"])["jobs"][0].clone()
}

/// These contracts are taken, and nothing is refused; how the file was understood.
#[track_caller]
fn taken(app: &App, contracts: &[&str]) -> Value {
    let planned = plan(app);
    let rows = planned["first"].as_array().unwrap().iter();
    let keys: Vec<&str> = rows
        .map(|row| row["key"].as_str().unwrap().split('/').next().unwrap())
        .collect();
    assert_eq!(keys, contracts, "{planned}");
    assert_eq!(planned["rejected"], 0, "{planned}");
    planned["read_as"].clone()
}

/// The file is refused whole, with these words, and nothing is planned of it.
#[track_caller]
fn refused(app: &App, words: &[&str]) -> String {
    let ended = app.run().exits(2);
    for word in words {
        assert!(
            ended.stderr.contains(word),
            "{word:?} is not in\n{}",
            ended.stderr
        );
    }
    assert_eq!(app.charges(), 0);
    ended.stderr
}

fn rows(header: &str, separator: &str) -> String {
    format!("{header}\nWxG1,yes,基础会员,38.00,HKD\nWxG2,yes,Basic,38.00,HKD\n")
        .replace(',', separator)
}

fn utf16(text: &str, big: bool) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    units
        .flat_map(|unit| {
            if big {
                unit.to_be_bytes()
            } else {
                unit.to_le_bytes()
            }
        })
        .collect()
}

#[test]
fn utf_8_with_and_without_a_mark_and_utf_16_with_one_are_read() {
    let text = rows(HEADER, ",");
    for (file, encoding) in [
        (text.clone().into_bytes(), "utf-8"),
        (format!("\u{feff}{text}").into_bytes(), "utf-8"),
        (utf16(&text, false), "utf-16le"),
        (utf16(&text, true), "utf-16be"),
    ] {
        let read = taken(&app("c.csv", &file, ""), &["WxG1", "WxG2"]);
        assert_eq!(read["encoding"], encoding);
        assert_eq!(read["separator"], "comma");
    }
}

#[test]
fn an_encoding_is_never_guessed_and_the_likely_one_is_named_with_what_it_reads() {
    let header = "签约协议号,是否有效,套餐,金额,币种";
    let gbk = GB18030.encode(&rows(header, ",")).0.into_owned();
    let told = refused(
        &app("c.csv", &gbk, ""),
        &[
            "c.csv: the file is not UTF-8 (line 1). In GB18030 (GBK) it reads",
            "\"签约协议号,是否有效,套餐,金额,币种\" and \"WxG1,yes,基础会员,38.00,HKD\"",
            "say encoding: gb18030 or big5 beside file:",
        ],
    );
    assert!(!told.contains('\u{fffd}'), "{told}");
    let big5 = BIG5
        .encode("簽約協議號,active,方案,amount,currency\nWxG1,yes,基礎會員每月訂閱續費,38.00,HKD\n")
        .0;
    refused(
        &app("c.csv", &big5, ""),
        &["In Big5 it reads", "基礎會員", "say encoding: big5"],
    );
    let unmarked = &utf16(&rows(HEADER, ","), false)[2..];
    refused(&app("c.csv", unmarked, ""), &["In UTF-16LE it reads"]);
}

#[test]
fn an_encoding_that_is_said_is_taken_where_the_file_is_not_utf_8() {
    let text = rows(HEADER, ",");
    for (file, word) in [
        (GB18030.encode(&text).0.into_owned(), "gb18030"),
        (GB18030.encode(&text).0.into_owned(), "gbk"),
        (utf16(&text, true)[2..].to_vec(), "utf-16be"),
    ] {
        let said = app("c.csv", &file, &format!("encoding: {word}"));
        taken(&said, &["WxG1", "WxG2"]);
    }
    let hong_kong = format!("{HEADER}\nWxG1,yes,旺角𨋢,38.00,HKD\n");
    let said = app("c.csv", &BIG5.encode(&hong_kong).0, "encoding: big5");
    assert_eq!(taken(&said, &["WxG1"])["encoding"], "big5");
    // UTF-8 is what a file is that is valid UTF-8, whatever is said.
    let utf8 = taken(
        &app("c.csv", text.as_bytes(), "encoding: gb18030"),
        &["WxG1", "WxG2"],
    );
    assert_eq!(utf8["encoding"], "utf-8");
    let mut broken = GB18030.encode(&text).0.into_owned();
    broken.extend(b"WxG3,yes,\xff\xff,38.00,HKD\n");
    refused(
        &app("c.csv", &broken, "encoding: gb18030"),
        &["line 4 is not text in GB18030"],
    );
}

#[test]
fn personal_data_is_not_shown_with_the_lines_of_an_unknown_encoding() {
    let app = App::with_contracts("");
    app.write(
        "payrun.yaml",
        std::fs::read_to_string(app.path("payrun.yaml")).unwrap()
            + "encryption_key: { file: keys/personal.key }\n",
    );
    app.write(
        "keys/personal.key",
        "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n",
    );
    app.write(
        "workflows/declare.yaml",
        "workflow: declare\njobs:\n  declare:\n    uses: declare\n    gateway: hk\n    items:\n      file: ../data/subs.csv\n    \
         with:\n      out_trade_no: \"{{ item.order }}\"\n      transaction_id: \"{{ item.transaction }}\"\n      \
         customs: \"{{ item.customs }}\"\n      mch_customs_no: \"1\"\n      cert_id: \"{{ item.cert }}\"\n      name: \"{{ item.name }}\"\n",
    );
    let text = "order,transaction,customs,cert,name\nO-1,T-1,SHENZHEN,510921199308072310,李小明\n";
    app.write("data/subs.csv", GB18030.encode(text).0);
    let ended = app.payrun(&["plan", "workflows/declare.yaml"]).exits(2);
    assert!(
        ended.stderr.contains("\"O-1,T-1,SHENZHEN,…,…\""),
        "{}",
        ended.stderr
    );
    for secret in ["510921", "李"] {
        assert!(!ended.stderr.contains(secret), "{}", ended.stderr);
    }
}

#[test]
fn the_separator_is_told_from_the_header_or_said() {
    for (separator, word) in [(";", "semicolon"), ("\t", "tab"), (",", "comma")] {
        let text = rows(HEADER, separator);
        let read = taken(&app("c.csv", text.as_bytes(), ""), &["WxG1", "WxG2"]);
        assert_eq!(read["separator"], word);
        let said = format!("separator: {word}");
        taken(&app("c.csv", text.as_bytes(), &said), &["WxG1", "WxG2"]);
    }
    let excel = format!("sep=;\r\n{}", rows(HEADER, ";").replace('\n', "\r\n"));
    let read = taken(&app("c.csv", excel.as_bytes(), ""), &["WxG1", "WxG2"]);
    assert_eq!(read["header_line"], 2);
    // A comma within a value is no separator then.
    let text = format!("{}\nWxG1;yes;a, b;38.00;HKD\n", HEADER.replace(',', ";"));
    taken(&app("c.csv", text.as_bytes(), ""), &["WxG1"]);
}

#[test]
fn columns_are_found_by_other_names_case_and_width_below_a_title() {
    let say = "columns: { contract_id: [签约协议号, \"Contract No.\"], active: 有效, plan: 套餐, amount: 金额, currency: 币种 }";
    let app = |text: &str| app("c.csv", text.as_bytes(), say);
    for text in [
        rows("签约协议号,有效,套餐,金额,币种", ","),
        rows("contract no.,ACTIVE,Plan , Ａｍｏｕｎｔ,currency", ","),
        format!(
            "三月扣款,,,,\n制表人：王,,,,\n{}",
            rows("签约协议号,有效,套餐,金额,币种", ",")
        ),
    ] {
        taken(&app(&text), &["WxG1", "WxG2"]);
    }
    refused(
        &app(&rows("签约协议号,contract_id,套餐,金额,币种", ",")),
        &["the column contract_id may be \"签约协议号\" or \"contract_id\"; keep one of them"],
    );
}

#[test]
fn a_missing_column_is_told_once_with_those_that_are_there() {
    let told = refused(
        &app(
            "c.csv",
            rows("contract,active,plan,amount,currency", ",").as_bytes(),
            "",
        ),
        &[
            "there is no column \"contract_id\"",
            "CSV in UTF-8, separated by commas, columns named on line 1: contract, active, plan, amount, currency",
        ],
    );
    assert_eq!(told.matches("no column").count(), 1, "{told}");
}

#[test]
fn one_wrong_heading_below_titles_is_told_by_itself_with_the_nearest_name() {
    let say = "columns: { contract_id: 签约协议号, active: 是否有效, plan: 套餐名称, amount: 扣款金额, currency: 币种 }";
    let text = format!(
        "三月扣款,,,,\n制表人：王,,,,\n{}",
        rows("签约协议编号,是否有效,套餐名称,扣款金额,币种", ",")
    );
    let told = refused(
        &app("c.csv", text.as_bytes(), say),
        &[
            "there is no column \"contract_id\" (nor \"签约协议号\"); did you mean \"签约协议编号\"?",
            "columns named on line 3, the line with most of the columns: 签约协议编号, 是否有效",
        ],
    );
    assert_eq!(told.matches("no column").count(), 1, "{told}");
}

#[test]
fn every_mistake_of_a_row_is_told_with_its_column() {
    let say = "columns: { contract_id: 签约协议号, amount: 扣款金额 }";
    let text = "签约协议号,active,plan,扣款金额,currency\nWx 1,yes,基础会员,abc,HKD\nWx2,yes,基础会员,\u{3000}３８．００ ,HKD \n";
    let app = app("c.csv", text.as_bytes(), say);
    let planned = plan(&app);
    assert_eq!(
        (&planned["items"], &planned["totals"]["HKD"]),
        (&json!(1), &json!("38.00"))
    );
    let reason = planned["refusals"][0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("contract_id (column \"签约协议号\") contains blank U+0020: "),
        "{reason}"
    );
    assert!(
        reason.ends_with(
            "; amount (column \"扣款金额\"): \"abc\" is not a number (write it like 12.50)"
        ),
        "{reason}"
    );
    assert_eq!(
        planned["money"],
        json!({"line": 3, "currency": "HKD", "unit": "main", "fields": {"amount": "38.00"}})
    );
    assert_eq!(planned["plain_digits"][0]["column"], "amount");
    let trimmed: Vec<&Value> = planned["trimmed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["column"])
        .collect();
    assert_eq!(trimmed, ["amount", "currency"]);
    let told = app
        .payrun(&["plan", WORKFLOW, "--date", DATE])
        .exits(3)
        .stdout;
    for words in [
        "money is in main units of HKD: in line 3 amount 38.00 = 3800 × 0.01",
        "full-width digits of amount were read as plain ones in 1 row, first in line 3",
        "blanks around currency were taken off in 1 row, first in line 3",
    ] {
        assert!(told.contains(words), "{words:?} is not in\n{told}");
    }
}

#[test]
fn a_long_number_that_excel_has_rounded_is_refused_unless_it_is_said_to_be_whole() {
    let text = format!(
        "{HEADER}\n4200002345678900000,yes,a,38.00,HKD\n4200002345678000000,yes,a,38.00,HKD\n\
         1234567890123450,yes,a,38.00,HKD\n123456789012345,yes,a,38.00,HKD\n123456789012340,yes,a,38.00,HKD\n\
         =\"4200002345678100000\",yes,a,38.00,HKD\n\"=\"\"4200002345678200000\"\"\",yes,a,38.00,HKD\n"
    );
    let csv = app("c.csv", text.as_bytes(), "");
    let planned = plan(&csv);
    let lines: Vec<&Value> = planned["refusals"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["line"])
        .collect();
    assert_eq!(lines, [2, 3, 4], "{planned}");
    let reason = planned["refusals"][0]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("contract_id looks rounded by Excel, which keeps 15 digits"),
        "{reason}"
    );
    let keys: Vec<&str> = planned["first"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["key"].as_str().unwrap())
        .collect();
    assert_eq!(
        keys,
        [
            "123456789012345/2026-03",
            "123456789012340/2026-03",
            "4200002345678100000/2026-03",
            "4200002345678200000/2026-03"
        ]
    );
    // One or two zeros are chance in a column that has other numbers of that length.
    let text = format!(
        "{HEADER}\n1234567890123450,yes,a,38.00,HKD\n1234567890123457,yes,a,38.00,HKD\n420000234567890000,yes,a,38.00,HKD\n"
    );
    let planned = plan(&app("c.csv", text.as_bytes(), ""));
    assert_eq!(
        (&planned["items"], &planned["refusals"][0]["line"]),
        (&json!(2), &json!(4)),
        "{planned}"
    );
    // What a cell holds as text was never rounded; a number of that length is refused by itself.
    let whole = workbook(|sheet| {
        row(sheet, 1, "4200002345678900000");
        row(sheet, 2, "C-2");
        sheet
            .write_number(2, 0, 4_200_002_345_678_900_000_f64)
            .unwrap();
    });
    let planned = plan(&app("c.xlsx", &whole, ""));
    assert_eq!(
        (&planned["items"], &planned["rejected"]),
        (&json!(1), &json!(1)),
        "{planned}"
    );
    let contracts = "contract_id,amount,currency,start\n4200002345678900000,abc,HKD,2026-13-01\n=\"4200002345678100000\", ３８,HKD,2026-03-30\n";
    csv.write("contracts.csv", contracts);
    let told = csv
        .payrun(&["contracts", "import", "contracts.csv", "--dry-run"])
        .exits(3)
        .stdout;
    for words in [
        "line 2: contract_id looks rounded by Excel",
        "; amount: \"abc\" is not a number",
        "; start is not a day such as 2026-11-30",
        "1 new, 0 changed, 0 as they were, 1 not taken",
        "blanks around values were taken off in 1 row",
    ] {
        assert!(told.contains(words), "{words:?} is not in\n{told}");
    }
}

#[test]
fn a_wrong_encoding_that_is_said_is_seen_in_the_plan_and_its_right_one_is_named() {
    let big5 = BIG5
        .encode(&format!(
            "{HEADER}\nWxG1,yes,Basic,38.00,HKD\nWxG2,yes,基礎會員每月訂閱,38.00,HKD\n"
        ))
        .0
        .into_owned();
    let wrong = app("c.csv", &big5, "encoding: gb18030");
    let read = taken(&wrong, &["WxG1", "WxG2"]);
    let doubt = read["doubt"].as_str().unwrap();
    for words in [
        "many of its characters are unusual in GB18030 (GBK), and in Big5 they are common",
        "WxG2,yes,基礎會員每月訂閱,38.00,HKD",
        "say encoding: big5 beside file:",
    ] {
        assert!(doubt.contains(words), "{words:?} is not in {doubt}");
    }
    let told = wrong
        .payrun(&["plan", WORKFLOW, "--date", DATE])
        .exits(0)
        .stdout;
    assert_said(
        &told,
        expect!["\n  in GB18030 (GBK) it reads \"contract_id"],
    );
    assert_said(&told, expect!["\n  look at this: many of its characters"]);
    wrong
        .payrun(&["check"])
        .exits(0)
        .says(expect!["look at this: many of its characters"]);
    let right = app("c.csv", &big5, "encoding: big5");
    let read = taken(&right, &["WxG1", "WxG2"]);
    assert_eq!(read["doubt"], Value::Null);
    // The row that tells something, not the first.
    assert!(
        read["sample"]
            .as_str()
            .unwrap()
            .contains("基礎會員每月訂閱"),
        "{read}"
    );
    // A heading is the plainest sign.
    let say = "encoding: big5\n      columns: { contract_id: 签约协议号, active: 是否有效, plan: 套餐名称, amount: 扣款金额, currency: 币种 }";
    let headings = GB18030
        .encode(&rows("签约协议号,是否有效,套餐名称,扣款金额,币种", ","))
        .0
        .into_owned();
    refused(
        &app("c.csv", &headings, say),
        &[
            "in Big5 the file has not all of the columns, and in GB18030 (GBK) it has",
            "签约协议号,是否有效",
            "Say encoding: gb18030 beside file:",
        ],
    );
    let contracts = BIG5
        .encode(
            "contract_id,amount,currency,start,description\nWxG1,38.00,HKD,2026-03-30,基礎會員\n",
        )
        .0;
    wrong.write("k.csv", &contracts);
    let import = [
        "contracts",
        "import",
        "k.csv",
        "--encoding",
        "gb18030",
        "--dry-run",
    ];
    let told = wrong.payrun(&import).exits(0).stdout;
    assert_said(&told, expect!["read as CSV in GB18030 (GBK)"]);
    assert!(
        told.contains("look at this: ") && told.contains("基礎會員"),
        "{told}"
    );
}

#[test]
fn of_json_lines_in_another_encoding_no_personal_value_is_shown() {
    let app = App::with_contracts("");
    app.write(
        "payrun.yaml",
        std::fs::read_to_string(app.path("payrun.yaml")).unwrap()
            + "encryption_key: { file: keys/personal.key }\n",
    );
    app.write(
        "keys/personal.key",
        "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n",
    );
    app.write(
        "workflows/declare.yaml",
        "workflow: declare\njobs:\n  declare:\n    uses: declare\n    gateway: hk\n    items:\n      file: ../data/subs.jsonl\n    \
         with:\n      out_trade_no: \"{{ item.order }}\"\n      transaction_id: \"{{ item.transaction }}\"\n      \
         customs: SHENZHEN\n      mch_customs_no: \"1\"\n      cert_id: \"{{ item.cert }}\"\n      name: \"{{ item.name }}\"\n",
    );
    let text = "{\"order\":\"O-1\",\"transaction\":\"T-1\",\"cert\":\"510921199308072310\",\"name\":\"李小明\"}\n";
    app.write("data/subs.jsonl", GB18030.encode(text).0);
    let ended = app.payrun(&["plan", "workflows/declare.yaml"]).exits(2);
    assert!(
        ended.stderr.contains("encoding: gb18030"),
        "{}",
        ended.stderr
    );
    for secret in ["510921", "李"] {
        assert!(!ended.stderr.contains(secret), "{}", ended.stderr);
    }
}

#[test]
fn check_opens_the_files_that_are_there_and_tells_what_a_plan_would() {
    let missing = app(
        "c.csv",
        rows("contract,active,plan,amount,currency", ",").as_bytes(),
        "",
    );
    let told = missing.payrun(&["check"]).exits(2);
    let said = format!("{}{}", told.stdout, told.stderr);
    assert_said(&said, expect!["there is no column \"contract_id\""]);
    let gbk = GB18030.encode(&rows(HEADER, ",")).0.into_owned();
    let told = app("c.csv", &gbk, "").payrun(&["check"]).exits(2);
    assert!(format!("{}{}", told.stdout, told.stderr).contains("In GB18030 (GBK) it reads"));
    let none = app("c.csv", rows(HEADER, ",").as_bytes(), "");
    none.payrun(&["check"]).exits(0);
    std::fs::remove_file(none.path("data/c.csv")).unwrap();
    none.payrun(&["check"]).exits(0);
}

/// A workbook whose sheet has the header in its first row, and is made by `fill`.
fn workbook(fill: impl FnOnce(&mut Worksheet)) -> Vec<u8> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    sheet.write_row(0, 0, HEADER.split(',')).unwrap();
    fill(sheet);
    workbook.save_to_buffer().unwrap()
}

fn row(sheet: &mut Worksheet, at: u32, contract: &str) {
    sheet
        .write_row(at, 0, [contract, "yes", "Basic", "38.00", "HKD"])
        .unwrap();
}

#[test]
fn a_number_is_read_as_its_format_shows_it_or_refused() {
    let number = |sheet: &mut Worksheet, at, column, number: f64, format: &str| {
        let format = Format::new().set_num_format(format);
        sheet
            .write_number_with_format(at, column, number, &format)
            .unwrap();
    };
    let file = workbook(|sheet| {
        for at in 1..=6 {
            row(sheet, at, &format!("C-{at}"));
        }
        number(sheet, 1, 0, 1234.0, "0000000000");
        number(sheet, 2, 3, 1138.5, "#,##0.00");
        number(sheet, 3, 3, 38.456, "0.00");
        number(sheet, 4, 3, 0.38, "0%");
        number(sheet, 5, 0, 2.015_07e17, "0.00E+00");
        number(sheet, 6, 0, 123_456.0, "000-000");
    });
    let planned = plan(&app("c.xlsx", &file, ""));
    let rows: Vec<_> = planned["first"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["key"].as_str().unwrap().split('/').next().unwrap(),
                row["amount"].clone(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [("0000001234", json!("38.00")), ("C-2", json!("1138.50"))]
    );
    let told = planned["refusals"].to_string();
    for words in [
        "is shown rounded",
        "is shown as a percentage",
        "has more than 15 digits",
        "is shown with signs that the cell does not hold",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn what_nobody_sees_in_a_sheet_refuses_it_unless_it_is_said_to_count() {
    let hidden = workbook(|sheet| {
        (1..=4).for_each(|at| row(sheet, at, &format!("C-{at}")));
        sheet.set_row_hidden(2).unwrap();
        sheet.set_row_hidden(3).unwrap();
    });
    refused(
        &app("c.xlsx", &hidden, ""),
        &[
            "these rows of sheet \"Sheet1\" are hidden",
            ": 3–4.",
            "hidden: include",
        ],
    );
    taken(
        &app("c.xlsx", &hidden, "hidden: include"),
        &["C-1", "C-2", "C-3", "C-4"],
    );
    let column = workbook(|sheet| {
        row(sheet, 1, "C-1");
        sheet.set_column_hidden(3).unwrap();
    });
    refused(
        &app("c.xlsx", &column, ""),
        &["columns of the sheet are hidden, and are read: D."],
    );
    let unused = workbook(|sheet| {
        row(sheet, 1, "C-1");
        sheet.write_string(0, 5, "note").unwrap();
        sheet.write_string(1, 5, "x").unwrap();
        sheet.set_column_hidden(5).unwrap();
    });
    taken(&app("c.xlsx", &unused, ""), &["C-1"]);
    let merged = workbook(|sheet| {
        row(sheet, 1, "C-1");
        row(sheet, 2, "C-2");
        sheet
            .merge_range(1, 2, 2, 2, "Basic", &Format::new())
            .unwrap();
    });
    refused(
        &app("c.xlsx", &merged, ""),
        &["cells of the sheet are merged", "C2:C3"],
    );
}

#[test]
fn a_title_above_the_header_of_a_sheet_is_passed_over() {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet().set_name("三月").unwrap();
    sheet
        .merge_range(0, 0, 0, 4, "三月扣款", &Format::new())
        .unwrap();
    sheet.write_row(2, 0, HEADER.split(',')).unwrap();
    row(sheet, 3, "C-1");
    let file = book.save_to_buffer().unwrap();
    let read = taken(&app("c.xlsx", &file, ""), &["C-1"]);
    assert_eq!(
        (&read["sheet"], &read["header_line"]),
        (&json!("三月"), &json!(3))
    );
    taken(&app("c.xlsx", &file, "header: 3"), &["C-1"]);
    refused(&app("c.xlsx", &file, "header: 4"), &["there is no column"]);
}

#[test]
fn contracts_are_imported_in_the_encoding_that_is_said_and_by_names_in_any_case() {
    let app = App::with_contracts("");
    let text =
        "Contract_ID,AMOUNT,currency,start,description\nWxG1,38.00,HKD,2026-03-30,基础会员\n";
    app.write("c.csv", GB18030.encode(text).0);
    let told = app
        .payrun(&["contracts", "import", "c.csv", "--dry-run"])
        .exits(2);
    assert!(told.stderr.contains("--encoding"), "{}", told.stderr);
    let import = [
        "contracts",
        "import",
        "c.csv",
        "--encoding",
        "gb18030",
        "--dry-run",
    ];
    let told = app.payrun(&import).exits(0);
    assert!(told.stdout.contains("1 new"), "{}", told.stdout);
    app.write(
        "c.csv",
        "contract,amount,currency,start\nWxG1,38.00,HKD,2026-03-30\n",
    );
    let told = app.payrun(&["contracts", "import", "c.csv"]).exits(2);
    assert_said(
        &told.stderr,
        expect!["the file has no column contract_id; it was read as CSV in UTF-8"],
    );
}

#[test]
fn rejected_rows_come_back_as_the_file_they_came_from_with_reasons_and_can_be_given_again() {
    let text = format!(
        "签约协议号;{}\nWxG1;yes;基础会员;38.00;HKD\nWxG2;yes;Basic;-1;HKD\n=WxG3;yes;Basic;38.00;XXQ\n",
        "active;plan;amount;currency"
    );
    let say = "columns: { contract_id: 签约协议号 }\n      encoding: gb18030";
    let app = app("c.csv", &GB18030.encode(&text).0, say);
    app.run().exits(3);
    assert_eq!(app.charges(), 1);
    app.payrun(&["rows", "1", "--rejected", "-o", "back.csv"])
        .exits(0);
    let back = std::fs::read_to_string(app.path("back.csv")).unwrap();
    let lines: Vec<&str> = back.trim_start_matches('\u{feff}').lines().collect();
    assert_eq!(
        lines[0],
        "签约协议号,active,plan,amount,currency,payrun_line,payrun_reason"
    );
    assert!(
        lines[1].starts_with("WxG2,yes,Basic,-1,HKD,3,amount: the amount -1"),
        "{back}"
    );
    assert!(
        lines[2].starts_with("'=WxG3,yes,Basic,38.00,XXQ,4,"),
        "{back}"
    );
    assert_eq!(lines.len(), 3);
    // Mended and given again, what was rejected is charged, and nothing twice.
    app.write("data/mended.csv", back.replace(",-1,", ",12.00,"));
    app.payrun(&[
        "run",
        WORKFLOW,
        "--date",
        DATE,
        "--input",
        "data/mended.csv",
        "--by",
        "ann",
    ])
    .exits(3);
    assert_eq!(app.charges(), 2);
    // What is still wrong comes back once more, with one reason, and as it was.
    app.payrun(&["rows", "2", "--rejected", "-o", "again.csv"])
        .exits(0);
    let again = std::fs::read_to_string(app.path("again.csv")).unwrap();
    let lines: Vec<&str> = again.trim_start_matches('\u{feff}').lines().collect();
    assert_eq!(
        lines[0],
        "签约协议号,active,plan,amount,currency,payrun_line,payrun_reason"
    );
    assert_eq!(lines.len(), 2, "{again}");
    assert!(
        lines[1].starts_with("'=WxG3,yes,Basic,38.00,XXQ,3,"),
        "{again}"
    );
    app.payrun(&["rows", "1", "--rejected", "-o", "back.xlsx"])
        .exits(0);
    assert!(
        std::fs::read(app.path("back.xlsx"))
            .unwrap()
            .starts_with(b"PK")
    );
    // Another file has other rows.
    app.write("data/c.csv", "contract_id,active,plan,amount,currency\n");
    let other = app
        .payrun(&["rows", "1", "--rejected", "-o", "other.csv"])
        .exits(2);
    assert_said(
        &other.stderr,
        expect!["is not the file that the run has read"],
    );
    assert!(!app.path("other.csv").exists());
}

#[test]
fn failed_rows_come_back_as_the_file_they_came_from_with_the_gateways_code_in_plain_words() {
    let text = "签约协议号;active;plan;amount;currency\nWxG1;yes;基础会员;38.00;HKD\nWxG2;yes;Basic;-1;HKD\n\
                =WxG3-poor;yes;金卡;38.00;HKD\nWxG4-blocked;yes;Basic;12.00;HKD\n";
    let say = "columns: { contract_id: 签约协议号 }\n      encoding: gb18030";
    let app = app("c.csv", &GB18030.encode(text).0, say);
    app.run().exits(3);
    let told = app.payrun(&["rows", "1", "--failed", "-o", "back.csv"]);
    let told = told.exits(0).says(expect!["2 failed rows"]);
    assert!(!told.stderr.contains("left out"), "{}", told.stderr);
    told.says(expect!["`payrun retry --run 1 --state failed`"]);
    let back = std::fs::read_to_string(app.path("back.csv")).unwrap();
    let lines: Vec<&str> = back.trim_start_matches('\u{feff}').lines().collect();
    assert_eq!(
        lines[0],
        "签约协议号,active,plan,amount,currency,payrun_line,payrun_reason"
    );
    assert_eq!(lines.len(), 3, "{back}");
    assert!(
        lines[1].starts_with("'=WxG3-poor,yes,金卡,38.00,HKD,4,")
            && lines[1].contains("NOT_ENOUGH (declined for now; another day it may succeed)"),
        "{back}"
    );
    assert!(
        lines[2].starts_with("WxG4-blocked,yes,Basic,12.00,HKD,5,")
            && lines[2].contains("USER_ACCOUNT_ABNORMAL")
            && lines[2].ends_with("(declined for good)"),
        "{back}"
    );
    // The rejected row is in the other list, and both at once are none.
    for which in [&["--failed", "--rejected"][..], &[]] {
        let both = [&["rows", "1", "-o", "both.csv"], which].concat();
        app.payrun(&both).exits(2);
        assert!(!app.path("both.csv").exists());
    }
    app.write(
        "data/c.csv",
        GB18030
            .encode("签约协议号;active;plan;amount;currency\nWxG9;yes;Basic;38.00;HKD\n")
            .0,
    );
    app.payrun(&["run", WORKFLOW, "--date", "2026-04-30"])
        .exits(0);
    let none = app.payrun(&["rows", "2", "--failed", "-o", "none.csv"]);
    none.exits(2).says(expect!["no row of this run failed"]);
    assert!(!app.path("none.csv").exists());
}

#[test]
fn a_row_that_is_unknown_is_never_among_the_failed_ones_and_is_named() {
    let app = App::of(Setup {
        contracts: format!("{HEADER}\nC-1,yes,Basic,38.00,HKD\nC-2,yes,Basic,38.00,HKD\n"),
        faults: FaultPlan::only(Fault::ErrorAfter),
        ..Setup::default()
    });
    app.edit(WORKFLOW, "schedule: [", "schedule: [5s, ");
    app.payrun(&["run", WORKFLOW, "--date", DATE, "--wait", "1s"])
        .exits(4);
    let told = app.payrun(&["rows", "1", "--failed", "-o", "back.csv"]);
    told.exits(2)
        .says(expect!["no row of this run failed; 2 rows are unknown and left out: a call that timed out may have moved money"]);
    assert!(!app.path("back.csv").exists());
    app.payrun(&["run", "--resume", "--wait", "60s"]).exits(0);
    assert_eq!(app.charges(), 2);
}

#[test]
fn sheets_that_are_not_read_are_named_unless_the_workflow_says_which_is_meant() {
    let file = |names: &[&str]| {
        let mut workbook = Workbook::new();
        for name in names {
            let sheet = workbook.add_worksheet().set_name(*name).unwrap();
            sheet.write_row(0, 0, HEADER.split(',')).unwrap();
            row(sheet, 1, &format!("C-{name}"));
        }
        workbook.save_to_buffer().unwrap()
    };
    let both = file(&["三月", "四月"]);
    let told = app("c.xlsx", &both, "").payrun(&["plan", WORKFLOW, "--date", DATE]);
    let words = "sheet \"三月\" of an Excel workbook, columns named in row 1; not read: \"四月\"";
    assert!(told.stdout.contains(words), "{}", told.stdout);
    for quiet in [
        app("c.xlsx", &both, "sheet: 四月"),
        app("c.xlsx", &file(&["三月"]), ""),
    ] {
        let told = quiet.payrun(&["plan", WORKFLOW, "--date", DATE]);
        assert!(!told.stdout.contains("not read"), "{}", told.stdout);
    }
}

#[test]
fn a_rejected_row_with_a_cell_that_cannot_be_read_comes_back_with_its_other_cells() {
    let file = workbook(|sheet| {
        row(sheet, 1, "C-1");
        row(sheet, 2, "C-2");
        let percent = Format::new().set_num_format("0%");
        sheet
            .write_number_with_format(2, 3, 0.38, &percent)
            .unwrap();
    });
    let app = app("c.xlsx", &file, "");
    app.run().exits(3);
    app.payrun(&["rows", "1", "--rejected", "-o", "back.csv"])
        .exits(0);
    let back = std::fs::read_to_string(app.path("back.csv")).unwrap();
    let lines: Vec<&str> = back.trim_start_matches('\u{feff}').lines().collect();
    assert_eq!(lines.len(), 2, "{back}");
    assert!(lines[1].starts_with("C-2,yes,Basic,38%,HKD,3,"), "{back}");
    assert_said(lines[1], expect!["as a percentage"]);
    // All of it was taken by now, so there is nothing to mend.
    app.write(
        "data/mended.csv",
        "contract_id,active,plan,amount,currency\nC-2,yes,Basic,38.00,HKD\n",
    );
    app.payrun(&[
        "run",
        WORKFLOW,
        "--date",
        DATE,
        "--input",
        "data/mended.csv",
        "--by",
        "ann",
    ]);
    let none = app
        .payrun(&["rows", "2", "--rejected", "-o", "none.csv"])
        .exits(2);
    assert_said(&none.stderr, expect!["no row of this run was rejected"]);
    assert!(!app.path("none.csv").exists());
}

#[test]
fn rejected_rows_of_an_uploaded_file_are_had_over_the_api_by_operators() {
    let app = app("c.csv", b"contract_id,active,plan,amount,currency\n", "");
    app.write("keys/personal.key", personal_key(7));
    app.edit(
        "payrun.yaml",
        "gateways:\n",
        "encryption_key: { file: keys/personal.key }\ngateways:\n",
    );
    let service = Service::of(&app);
    let (operator, viewer) = (
        service.token("ann", "operator"),
        service.token("eve", "viewer"),
    );
    let file = format!(
        "{HEADER}\nWxG1,yes,会员,-1,HKD\nWxG2,yes,Basic,38.00,HKD\nWxG3-poor,yes,Basic,38.00,HKD\n"
    );
    let upload = service.request(Method::POST, "/api/v1/files?format=csv");
    let kept = service.send(upload.bearer_auth(&operator).body(file));
    assert_eq!(kept.status, 200, "{}", kept.body);
    let run = service
        .request(Method::POST, "/api/v1/runs")
        .header("content-type", "application/json")
        .header("Idempotency-Key", "a-file");
    let run = run.bearer_auth(&operator).body(
        json!({ "workflow": "deductions", "date": days_ago(3), "inputs": { "deduct": kept.body["file"] } })
            .to_string(),
    );
    let run = service.send(run);
    assert_eq!(run.status, 201, "{}", run.body);
    let path = format!(
        "/api/v1/exports/rejected-rows?run={}&format=csv",
        run.body["run"]["run"]
    );
    let back = service.get(&operator, &path);
    assert_eq!(back.status, 200, "{}", back.body);
    let text = back.body.as_str().unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[1].starts_with("WxG1,yes,会员,-1,HKD,2,amount: the amount -1"));
    // The rows may name persons, so they are not for everybody who may read.
    assert_eq!(service.get(&viewer, &path).status, 403);
    let none = "/api/v1/exports/rejected-rows?run=99";
    assert_eq!(service.get(&operator, none).status, 404);
    let failed = path.replace("rejected-rows", "failed-rows");
    assert_eq!(service.get(&viewer, &failed).status, 403);
    until("the run has ended", || {
        let run = format!("/api/v1/runs/{}", run.body["run"]["run"]);
        service.get(&operator, &run).body["state"] == "finished"
    });
    let back = service.get(&operator, &failed);
    assert_eq!(back.status, 200, "{}", back.body);
    let text = back.body.as_str().unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(
        text.contains("WxG3-poor,yes,Basic,38.00,HKD,4,") && text.contains("NOT_ENOUGH ("),
        "{text}"
    );
}

#[test]
fn a_template_is_read_back_as_the_workflow_it_was_made_of() {
    let app = App::with_contracts("");
    app.payrun(&["template", WORKFLOW, "-o", "data/t.csv"])
        .exits(0);
    let header = std::fs::read_to_string(app.path("data/t.csv")).unwrap();
    assert!(header.starts_with('\u{feff}'), "{header}");
    for name in HEADER.split(',') {
        assert!(header.contains(name), "{header}");
    }
    app.payrun(&["template", WORKFLOW, "-o", "data/t.csv"])
        .exits(2);
    app.payrun(&["template", WORKFLOW, "-o", "data/contracts.xlsx"])
        .exits(0);
    app.edit(WORKFLOW, "contracts.csv", "contracts.xlsx");
    taken(&app, &[]);
    let columns = app.payrun(&["template", WORKFLOW]).exits(0).stdout;
    let amount = columns.lines().find(|line| line.starts_with("amount"));
    let words: Vec<&str> = amount.unwrap().split_whitespace().take(3).collect();
    assert_eq!(words, ["amount", "yes", "amount"], "{columns}");
    let listed = app.payrun(&["template", "refund", "--lang", "zh"]).exits(0);
    assert!(listed.stdout.contains("商户订单号"), "{}", listed.stdout);
    let unknown = app.payrun(&["template", "refunds"]).exits(2);
    assert_said(&unknown.stderr, expect!["there is no job kind refunds"]);
}
