//! Golden files, and files that are not as documented.

use super::*;

/// A golden file.
fn golden(name: &str) -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/golden/statements")
        .join(name);
    std::fs::read(path).unwrap()
}

/// What is read of a golden file, a line each; or what is wrong.
fn shown(format: StatementFormat, bytes: &[u8]) -> String {
    let statement = match read(format, bytes) {
        Ok(statement) => statement,
        Err(error) => return error.to_string(),
    };
    let signed = |sum: Option<SignedAmount>| {
        sum.map(|sum| format!("{} {}", sum.minor, sum.currency))
            .unwrap_or_default()
    };
    let mut lines: Vec<String> = statement
        .lines
        .iter()
        .map(|line| {
            let amount = line
                .amount
                .map(|amount| amount.to_string())
                .unwrap_or_default();
            format!(
                "{} {:?} | {} | {} {} | {} {} | {} | {amount} | fee {} | settled {}",
                line.line,
                line.kind,
                line.time,
                line.order_no,
                line.transaction_id,
                line.refund_no,
                line.refund_id,
                line.state,
                signed(line.fee),
                signed(line.settled)
            )
        })
        .collect();
    if let Some(totals) = statement.totals {
        let values: Vec<String> = totals
            .values
            .iter()
            .map(|(caption, value)| format!("{caption} {value}"))
            .collect();
        lines.push(format!("{} lines, {}", totals.count, values.join(", ")));
    }
    lines.join("\n")
}

fn wechat(name: &str) -> String {
    shown(StatementFormat::Wechat, &golden(name))
}

fn hipopay(name: &str) -> String {
    shown(StatementFormat::Hipopay, &golden(name))
}

/// What is wrong with a golden file in which something is replaced.
fn broken(format: StatementFormat, name: &str, from: &str, to: &str) -> String {
    let text = String::from_utf8(golden(name)).unwrap();
    assert!(text.contains(from), "{from}");
    read(format, text.replacen(from, to, 1).as_bytes())
        .unwrap_err()
        .to_string()
}

#[test]
fn wechats_file_goes_by_position_and_knows_payments_refunds_and_reversals() {
    insta::assert_snapshot!(wechat("wechat.csv"), @r"
    2 Payment | 2026-11-21 10:00:00 | RENT-1 42000000000000000000000001 |   | SUCCESS | 88.80 HKD | fee 88 HKD | settled 8880 HKD
    3 Payment | 2026-11-21 11:30:00 | RENT-2 42000000000000000000000002 |   | SUCCESS | 1200 JPY | fee 12 JPY | settled 1200 JPY
    4 Refund | 2026-11-21 12:00:00 | RENT-1 42000000000000000000000001 | BACK-1 50000000000000000000000001 | PROCESSING | 10.00 HKD | fee -10 HKD | settled -1000 HKD
    5 Reversal | 2026-11-21 13:00:00 | RENT-3 42000000000000000000000003 |   | REVOKED | 5.00 HKD | fee 0 HKD | settled
    ");
}

#[test]
fn a_text_with_the_mark_that_separates_values_moves_no_other_value() {
    let text = String::from_utf8(golden("wechat.csv")).unwrap();
    let line = text.lines().nth(1).unwrap();
    let mut cells: Vec<&str> = line.split(",`").collect();
    (cells[19], cells[20]) = ("Basic,`plan", "a,`b,`");
    let marked = text.replacen(line, &cells.join(",`"), 1);
    assert_eq!(
        shown(StatementFormat::Wechat, marked.as_bytes()),
        wechat("wechat.csv")
    );
    // In any other place the values behind it would be taken for others: such a line is not read.
    cells[4] = "POS,`1";
    let moved = text.replacen(line, &cells.join(",`"), 1);
    assert!(
        shown(StatementFormat::Wechat, moved.as_bytes())
            .contains("the line has 42 columns, its header 38")
    );
}

#[test]
fn a_summary_is_compared_with_the_lines() {
    insta::assert_snapshot!(wechat("wechat-summary.csv"), @r"
    2 Payment | 2026-11-21 10:00:00 | RENT-1 42000000000000000000000001 |   | SUCCESS | 88.80 HKD | fee 88 HKD | settled 8880 HKD
    3 Refund | 2026-11-21 12:00:00 | RENT-1 42000000000000000000000001 | BACK-1 50000000000000000000000001 | PROCESSING | 10.00 HKD | fee -10 HKD | settled -1000 HKD
    2 lines, 应结订单总金额 88.80, 退款总金额 10.00, 充值券退款总金额 0.00, 手续费总金额 0.78, 订单总金额 88.80, 申请退款总金额 10.00
    ");
    let differs = |name: &str| {
        let statement = read(StatementFormat::Wechat, &golden(name)).unwrap();
        let totals = statement.totals.unwrap();
        let told = totals.differs.into_iter();
        let told: Vec<String> = told
            .map(|told| format!("{}: {}", told.total, told.says))
            .collect();
        (statement.lines.len(), told)
    };
    let told = "lines: the file has 2 lines, its summary says another number".to_owned();
    assert_eq!(differs("wechat-wrong-count.csv"), (2, vec![told]));
    let (lines, told) = differs("wechat-wrong-total.csv");
    assert_eq!((lines, told.len()), (2, 1));
    assert!(
        told[0].ends_with(" is not what the lines sum up to"),
        "{told:?}"
    );
    assert_eq!(differs("wechat-summary.csv"), (2, Vec::new()));
    // A wrong sum beside a wrong count is told too.
    let text = String::from_utf8(golden("wechat-summary.csv")).unwrap();
    let both = text.replace("`2.0,`88.80,`10.00", "`3.0,`88.80,`11.00");
    let told = read(StatementFormat::Wechat, both.as_bytes())
        .unwrap()
        .totals
        .unwrap()
        .differs;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].says.contains("its summary says another number")
            && told[1].says.starts_with("退款总金额 is not"),
        "{told:?}"
    );
    let cut = broken(
        StatementFormat::Wechat,
        "wechat-summary.csv",
        "`2.0,`88.80,`10.00,`0.00,`0.78,`88.80,`10.00\n",
        "",
    );
    insta::assert_snapshot!(cut, @"line 5, column 1: the file ends before its totals");
    let more = broken(
        StatementFormat::Wechat,
        "wechat-summary.csv",
        "`0.78,`88.80,`10.00\n",
        "`0.78,`88.80,`10.00\n`1\n",
    );
    insta::assert_snapshot!(more, @"line 6, column 1: a line follows the totals");
}

#[test]
fn a_file_of_another_width_goes_by_the_names_of_its_columns() {
    insta::assert_snapshot!(wechat("wechat-by-name.csv"), @r"
    2 Payment | 2026-11-21 08:00:00 | M-1 4200000000000000000000001 |   | SUCCESS | 10.00 CNY | fee 6 CNY | settled 1000 CNY
    3 Refund | 2026-11-21 09:00:00 | M-1 4200000000000000000000001 | B-1 5000000000000000000000001 | SUCCESS | 4.00 CNY | fee -2 CNY | settled -400 CNY
    2 lines, 应结订单总金额 10.00, 退款总金额 4.00, 充值券退款总金额 0.00, 手续费总金额 0.04000, 订单总金额 10.00, 申请退款总金额 4.00
    ");
    insta::assert_snapshot!(broken(StatementFormat::Wechat, "wechat-by-name.csv", "货币种类", "货币"), @r#"line 1, column 1: there are 27 columns, and none is called "标价币种""#);
}

#[test]
fn what_is_wrong_is_named_by_line_and_column() {
    insta::assert_snapshot!(wechat("wechat-too-many-decimals.csv"), @"line 3, column 161: more decimals than JPY has (0)");
    insta::assert_snapshot!(wechat("wechat-short-line.csv"), @"line 3, column 221: the line has 33 columns, its header 38");
    insta::assert_snapshot!(hipopay("hipopay-no-currency.txt"), @"line 3, column 99: an amount with its currency is expected, such as 0.99 HKD");
    insta::assert_snapshot!(hipopay("hipopay-other-header.txt"), @r#"line 2, column 167: the column "Refund Order" is expected here, not "Refund No.": name it under bill_columns in payrun.yaml"#);
    let file = |from, to| broken(StatementFormat::Wechat, "wechat.csv", from, to);
    insta::assert_snapshot!(file("`HKD", "`HK$"), @"line 2, column 170: this is no currency code of ISO 4217");
    insta::assert_snapshot!(file("`88.80", "`"), @"line 2, column 175: a payment and a refund have an amount above zero");
    insta::assert_snapshot!(file("`88.80", "`eighty"), @"line 2, column 175: this is no number");
    insta::assert_snapshot!(file("`88.80", "`--1"), @"line 2, column 175: this is no number");
    insta::assert_snapshot!(file("`42000000000000000000000001", "`"), @"line 2, column 59: the line names no payment");
    insta::assert_snapshot!(file("商户订单号,用户标识", "用户标识,商户订单号"), @r#"line 1, column 37: the column "商户订单号" is expected in place 7, this is place 8"#);
    insta::assert_snapshot!(file("\r\n`2026-11-21 11", "\r\n\r\n`2026-11-21 11"), @"line 4, column 1: a line follows an empty one");
}

#[test]
fn a_file_that_is_no_statement_is_an_error_not_an_empty_statement() {
    for format in [StatementFormat::Wechat, StatementFormat::Hipopay] {
        assert!(read(format, b"").is_err());
        assert!(read(format, b"{\"code\":\"NO_STATEMENT_EXIST\"}").is_err());
        assert!(read(format, b"<html><body>Please log in</body></html>\n").is_err());
    }
    assert_eq!(
        shown(StatementFormat::Wechat, b""),
        "line 1, column 1: the file ends before its header"
    );
    let mut file = golden("wechat.csv");
    file.extend_from_slice("`签".as_bytes());
    file.extend_from_slice(b"\xff");
    assert_eq!(
        shown(StatementFormat::Wechat, &file),
        "line 6, column 3: this is not UTF-8"
    );
}

#[test]
fn lines_and_columns_are_bounded() {
    let long = format!("`{}", "1".repeat(LINE_MAX));
    let file = [golden("wechat.csv"), long.into_bytes()].concat();
    assert_eq!(
        shown(StatementFormat::Wechat, &file),
        "line 6, column 1: the line is longer than 64 KiB"
    );
    let wide = "a,".repeat(COLUMNS_MAX + 1);
    assert_eq!(
        shown(StatementFormat::Wechat, wide.as_bytes()),
        "line 1, column 201: the line has more than 100 columns"
    );
}

#[test]
fn a_file_without_line_end_or_lines_is_whole() {
    let file = golden("wechat.csv");
    let without_end = file.strip_suffix(b"\r\n").unwrap();
    assert_eq!(
        read(StatementFormat::Wechat, without_end).unwrap(),
        read(StatementFormat::Wechat, &file).unwrap()
    );
    let header = file.split(|byte| *byte == b'\n').next().unwrap();
    assert!(
        read(StatementFormat::Wechat, header)
            .unwrap()
            .lines
            .is_empty()
    );
}

#[test]
fn hipopays_refund_names_its_payment_in_the_columns_called_refund_order() {
    insta::assert_snapshot!(hipopay("hipopay.txt"), @r"
    3 Payment | 2026-11-20 10:55:10 | P-1 2026112010551024660612990 |   | Collection via WeChat Pay | 1.00 HKD | fee 1 HKD | settled 99 HKD
    4 Payment | 2026-11-20 11:07:05 | P-2 2026112011070452703917004 |   | Collection via Alipay | 500 JPY | fee 0 JPY | settled 500 JPY
    5 Refund | 2026-11-21 10:50:34 | P-1 2026112010551024660612990 |  2026112110503295208356067 | Refund | 1.00 HKD | fee  | settled -99 HKD
    6 Other | 2026-11-21 12:00:00 |  2026112112000000000000001 |   | Withdrawal |  | fee  | settled -7 HKD
    ");
}

#[test]
fn lines_come_one_by_one_and_end_with_the_first_error() {
    let file = String::from_utf8(golden("wechat-wrong-total.csv")).unwrap();
    let (without_totals, _) = file.trim_end().rsplit_once('\n').unwrap();
    let mut lines =
        StatementLines::open(StatementFormat::Wechat, without_totals.as_bytes()).unwrap();
    assert!(lines.next().unwrap().is_ok() && lines.next().unwrap().is_ok());
    assert!(lines.totals().is_none());
    assert_eq!(lines.next().unwrap().unwrap_err().line, 5);
    assert!(lines.next().is_none());
}

#[test]
fn no_error_repeats_what_the_file_says() {
    let error = broken(
        StatementFormat::Wechat,
        "wechat.csv",
        "`HKD",
        "`oUpF8uMuAJO",
    );
    assert!(!error.contains("oUpF8"), "{error}");
}

#[test]
fn english_names_are_known_whatever_their_case() {
    let text = String::from_utf8(golden("wechat-by-name.csv")).unwrap();
    let names = [
        ("交易时间", "transaction time"),
        ("微信订单号", "WeChat order No."),
        ("商户订单号", "vendor order no."),
        ("交易状态", "transaction status"),
        ("货币种类", "currency"),
        ("订单金额", "Order amount"),
    ];
    let (header, rest) = text.split_once('\n').unwrap();
    let columns = header.split(',').map(|column| {
        let ours = column.trim_start_matches('\u{feff}').trim();
        names
            .iter()
            .find(|(name, _)| *name == ours)
            .map_or(column, |(_, english)| *english)
    });
    let english = columns.collect::<Vec<_>>().join(",") + "\n" + rest;
    let orders = |text: &[u8]| {
        let lines = read(StatementFormat::Wechat, text).unwrap().lines;
        lines
            .into_iter()
            .map(|line| (line.time, line.order_no, line.state, line.amount))
            .collect::<Vec<_>>()
    };
    assert_eq!(orders(english.as_bytes()), orders(text.as_bytes()));
}

#[test]
fn a_bill_in_another_language_is_read_once_its_words_are_named_and_refused_before_with_what_was_found()
 {
    let text = String::from_utf8(golden("hipopay.txt")).unwrap();
    let text = text
        .replace("Transaction Type", "交易类型")
        .replace("Collection via ", "收款 ");
    let text = text.replace("\nRefund,", "\n退款,");
    let error = read(StatementFormat::Hipopay, text.as_bytes())
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with(
            "line 2, column 1: the column \"Transaction Type\" is expected here, not \"交易类型\""
        ),
        "{error}"
    );
    let names = BillNames {
        columns: [("transaction_type".to_owned(), "交易类型".to_owned())].into(),
        payment: Some("收款 ".to_owned()),
        refund: Some("退款".to_owned()),
    };
    let kinds = |bytes: &[u8], names| {
        read_named(StatementFormat::Hipopay, names, bytes)
            .unwrap()
            .lines
            .iter()
            .map(|line| line.kind)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        kinds(text.as_bytes(), &names),
        kinds(&golden("hipopay.txt"), &BillNames::default())
    );
}

#[test]
fn what_stands_in_place_of_a_header_tells_nobodys_number() {
    let text = "title\n13260056057 Li Lei of the longest name that there is in the whole of the province,x\n";
    let error = read(StatementFormat::Hipopay, text.as_bytes())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("not \"########### Li Lei of th\""),
        "{error}"
    );
    for line in ["`2019,x", "someone@example.com,x"] {
        let error = read(StatementFormat::Hipopay, format!("t\n{line}\n").as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.contains("not \"***\""), "{error}");
    }
}
