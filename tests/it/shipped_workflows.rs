//! The shipped workflows, with the columns that their comments name, against the fakes.

use expect_test::expect;
use payrun::sandbox::faults::FaultPlan;
use serde_json::Value;

use crate::support::gateways::{Rig, assert_at_rest, number, text_of};
use crate::support::root;
use crate::support::said::assert_said;

/// A shipped workflow on the project's accounts, impatient as a test is.
fn ship(rig: &Rig, name: &str) -> String {
    let text =
        std::fs::read_to_string(root().join("workflows").join(format!("{name}.yaml"))).unwrap();
    let patient = |line: &&str| line.starts_with("    retry:") || line.starts_with("    query:");
    let lines = text.lines().filter(|line| !patient(line)).map(|line| {
        let hasty = "    retry: { attempts: 30, first: 50ms, max: 200ms }\n    query: { schedule: [50ms, 100ms], grace: 1s, horizon: 10s }";
        match line.strip_prefix("    gateway: ") {
            Some("hk") => format!("    gateway: wechat\n{hasty}\n"),
            Some(_) => format!("{line}\n{hasty}\n"),
            None => format!("{line}\n"),
        }
    });
    let path = format!("{name}.yaml");
    let dated = "      date: \"{{ item.date }}\"\n";
    let text = lines.collect::<String>().replace("../data/", "");
    rig.write(
        &path,
        text.replace(dated, &format!("{dated}      open_day: keep\n")),
    );
    path
}

fn states(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| text_of(item, "state")).collect()
}

#[test]
fn refunds_queries_and_cancellations_take_the_columns_they_name() {
    let rig = Rig::new(FaultPlan::NONE);
    let (first, second) = (number(0), number(1));
    rig.write(
        "refunds.csv",
        format!("refund,order,amount,currency,reason\nR-1,{first},2.50,HKD,late\n"),
    );
    let workflow = ship(&rig, "refund-batch");
    let token = |name, role| {
        rig.payrun(&["tokens", "create", name, "--role", role, "--json"])
            .1
    };
    let [ann, bob] = [token("ann", "operator"), token("bob", "approver")].map(|told| {
        serde_json::from_str::<Value>(&told).unwrap()["token"]
            .as_str()
            .unwrap()
            .to_owned()
    });
    let begun = rig
        .command(&["run", &workflow, "--wait", "20s"])
        .env("PAYRUN_TOKEN", ann)
        .output()
        .unwrap();
    assert_eq!(begun.status.code(), Some(4), "{begun:?}");
    let approve = ["approvals", "approve", "1", "--reason", "checked"];
    let approved = rig
        .command(&approve)
        .env("PAYRUN_TOKEN", bob)
        .output()
        .unwrap();
    assert_eq!(approved.status.code(), Some(0), "{approved:?}");
    assert_eq!(rig.payrun(&["run", "--resume", "--wait", "20s"]).0, Some(0));
    assert_eq!(rig.totals("wechat").refunded["HKD"], (1, 250));
    rig.write(
        "orders.csv",
        format!("order,amount,currency\n{first},12.50,HKD\n{second},12.49,HKD\nGONE,1.00,HKD\n"),
    );
    assert_eq!(rig.to_the_end(&ship(&rig, "query-orders")), Some(3));
    assert_eq!(
        states(&rig.items_of("query")),
        ["succeeded", "failed", "failed"]
    );
    rig.write("orders.csv", format!("order,amount,currency\n{first},,\n"));
    let workflow = ship(&rig, "query-orders");
    assert_eq!(
        rig.payrun(&["run", &workflow, "--var", "way=refunds"]).0,
        Some(0)
    );
    let listed = &rig.items_of("query")[3]["result"];
    assert_eq!(
        (&listed["total_num"], &listed["refunds"][0]["refund"]),
        (&1.into(), &250.into()),
        "{listed}"
    );
    rig.write(
        "cancel.csv",
        format!("order,way\n{second},deduction\n{},\n", number(2)),
    );
    assert_eq!(rig.to_the_end(&ship(&rig, "cancel-orders")), Some(3));
    assert_eq!(states(&rig.items_of("cancel")), ["failed", "failed"]);
    assert_eq!(rig.totals("wechat").refunded["HKD"], (1, 250));
}

#[test]
fn payments_contracts_buyers_and_rates_take_the_columns_they_name() {
    let rig = Rig::new(FaultPlan::NONE);
    rig.write(
        "payments.csv",
        "payment,amount,currency,description\nP-1,20.00,HKD,Rent\nP-2,0.00,HKD,Nothing\n",
    );
    assert_eq!(rig.to_the_end(&ship(&rig, "take-payments")), Some(3));
    assert_eq!(states(&rig.items_of("pay")), ["succeeded", "rejected"]);
    assert_eq!(
        rig.items_of("pay")[0]["result"]["action"]["type"],
        "presentQRCode"
    );
    rig.write("ended.csv", "contract,reason\nC-1,moved out\n");
    assert_eq!(rig.to_the_end(&ship(&rig, "end-contracts")), Some(0));
    let rows = ["S-1", "S-2-different"].map(|sub_order| {
        let theirs = rig.seed("wechat", sub_order, "20.00", "CNY");
        format!(
            "{sub_order},{theirs},{sub_order},SHENZHEN,510921199308072310,Li,20.00,18.00,2.00\n"
        )
    });
    let header =
        "order,transaction,sub_order,customs,cert_id,name,amount,product_fee,transport_fee\n";
    rig.write("sub-orders.csv", header.to_owned() + &rows.concat());
    // Declared without their buyers, who are looked at afterwards.
    let filing = ship(&rig, "customs-filing");
    let text = std::fs::read_to_string(rig.folder.path().join(&filing)).unwrap();
    rig.write(
        &filing,
        text.replace("{{ item.cert_id }}", "")
            .replace("{{ item.name }}", "")
            .replace(
                "optional: [cert_type]",
                "optional: [cert_type]\n      unused: [cert_id, name]",
            ),
    );
    assert_eq!(rig.to_the_end(&filing), Some(0));
    assert_eq!(rig.to_the_end(&ship(&rig, "check-buyers")), Some(3));
    assert_eq!(
        states(&rig.items_of("check-buyer")),
        ["succeeded", "needs_review"]
    );
    rig.write("currencies.csv", "currency\nUSD\nHKD\n");
    assert_eq!(rig.to_the_end(&ship(&rig, "exchange-rates")), Some(0));
    assert_eq!(rig.items_of("rate").len(), 2);
}

/// Pays two orders and writes their sub-orders, of which customs refuses the second: the header and
/// the rows of the file.
fn write_sub_orders(rig: &Rig) -> (&'static str, [String; 2]) {
    let rows = ["S-1", "S-2-fail"].map(|sub_order| {
        let theirs = rig.seed("wechat", sub_order, "20.00", "CNY");
        format!(
            "{sub_order},{theirs},{sub_order},SHENZHEN,20.00,18.00,2.00,510921199308072310,Li\n"
        )
    });
    let header =
        "order,transaction,sub_order,customs,amount,product_fee,transport_fee,cert_id,name\n";
    rig.write("sub-orders.csv", header.to_owned() + &rows.concat());
    (header, rows)
}

#[test]
fn what_customs_filing_fails_customs_redeclare_declares_again() {
    let rig = Rig::new(FaultPlan::NONE);
    write_sub_orders(&rig);
    assert_eq!(rig.to_the_end(&ship(&rig, "customs-filing")), Some(3));
    assert_eq!(states(&rig.items_of("declare")), ["succeeded", "failed"]);
    assert_eq!(rig.to_the_end(&ship(&rig, "customs-redeclare")), Some(0));
    assert_eq!(states(&rig.items_of("redeclare")), ["succeeded"]);
    let customs = rig.totals("wechat").customs;
    assert_eq!(
        (customs.modified, customs.filed["SHENZHEN"]["SUCCESS"]),
        (1, 2)
    );
    // What was declared again waits for nobody any more.
    let (code, told) = rig.payrun(&["rows", "1", "--failed", "-o", "none.csv"]);
    assert!(
        code == Some(2) && told.contains("no row of this run failed"),
        "{told}"
    );
    let failed = &rig.items_of("declare")[1]["item"];
    let again = &rig.items_of("redeclare")[0]["item"];
    let (_, shown) = rig.payrun(&["show", "--item", &failed.to_string()]);
    assert_said(&shown, expect!["came after it, and replaces it"]);
    let (_, shown) = rig.payrun(&["show", "--item", &again.to_string()]);
    assert_said(&shown, expect!["was before it, and is replaced by it"]);
    let (code, told) = rig.payrun(&["items", "-o", "all.json"]);
    assert_eq!(code, Some(0), "{told}");
    let listed = std::fs::read_to_string(rig.folder.path().join("all.json")).unwrap();
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    let of = |id: &Value| listed.iter().find(|one| one["item"] == *id).unwrap();
    assert_eq!(&of(again)["replaces"], failed, "{listed:#?}");
    assert_eq!(&of(failed)["replaced_by"], again, "{listed:#?}");
    // Both are found by the number of the payment, and the one that failed by the gateway's number.
    let theirs = of(failed)["transaction_id"].as_str().unwrap();
    let (_, found) = rig.payrun(&["find", theirs, "--json"]);
    let found: Value = serde_json::from_str(&found).unwrap();
    let found = found["items"].as_array().unwrap();
    let ids: Vec<&Value> = found.iter().map(|item| &item["item"]).collect();
    assert!(ids.contains(&failed) && ids.contains(&again), "{found:#?}");
    let (_, found) = rig.payrun(&["find", theirs]);
    assert_eq!(found.matches("gateway's no.").count(), 2, "{found}");
}

#[test]
fn the_rows_that_customs_refused_come_back_and_are_filed_again_once_they_are_mended() {
    let rig = Rig::new(FaultPlan::NONE);
    let (header, rows) = write_sub_orders(&rig);
    let filing = ship(&rig, "customs-filing");
    assert_eq!(rig.to_the_end(&filing), Some(3));
    let (code, told) = rig.payrun(&["rows", "1", "--failed", "-o", "back.csv"]);
    assert_eq!(code, Some(0), "{told}");
    assert_said(&told, expect!["the gateway is asked what it has"]);
    let back = std::fs::read_to_string(rig.folder.path().join("back.csv")).unwrap();
    assert!(
        back.lines().count() == 2 && back.contains("S-2-fail"),
        "{back}"
    );
    assert_said(
        &back,
        expect!["mend the row and give it again in the same workflow"],
    );
    rig.write("back.csv", back.replace("18.00,2.00", "17.00,3.00"));
    let again = ["run", &filing, "--input", "back.csv", "--wait", "20s"];
    let (code, told) = rig.payrun(&again);
    assert_eq!(code, Some(0), "{told}");
    // It was filed again, so it is no failed row any more.
    let (code, told) = rig.payrun(&["rows", "1", "--failed", "-o", "none.csv"]);
    assert!(
        code == Some(2) && told.contains("no row of this run failed"),
        "{told}"
    );
    // Had it failed again, it would wait to be mended, and say so.
    let last = rig
        .items()
        .into_iter()
        .filter_map(|item| item["item"].as_i64())
        .max()
        .unwrap();
    let set = |state: &str| {
        rig.change(&format!(
            "update items set state = '{state}' where id = {last}"
        ))
    };
    set("failed");
    let (code, told) = rig.payrun(&["rows", "1", "--failed", "-o", "again.csv"]);
    assert_eq!(code, Some(0), "{told}");
    let back = std::fs::read_to_string(rig.folder.path().join("again.csv")).unwrap();
    assert!(
        back.lines().count() == 2 && back.contains("S-2-fail"),
        "{back}"
    );
    assert_said(&back, expect!["of run 2, which failed too"]);
    // While it is not known what becomes of it, nobody may give it again.
    set("unknown");
    let (code, told) = rig.payrun(&["rows", "1", "--failed", "-o", "none.csv"]);
    assert!(
        code == Some(2) && told.contains("1 row is unknown and left out"),
        "{told}"
    );
    set("succeeded");
    // What was accepted is modified by a file of its own; the same change twice is one.
    let modified = rows[0]
        .replace("18.00,2.00", "16.00,4.00")
        .replace("Li\n", "Li,1\n");
    let header = header.replace("name\n", "name,change\n");
    rig.write("modify.csv", header + &modified);
    let modify = ship(&rig, "customs-modify");
    assert_eq!(rig.to_the_end(&modify), Some(0));
    assert_eq!(rig.to_the_end(&modify), Some(0));
    assert_eq!(states(&rig.items_of("modify")), ["succeeded", "skipped"]);
    let customs = rig.totals("wechat").customs;
    assert_eq!(
        (customs.modified, customs.filed["SHENZHEN"]["SUCCESS"]),
        (2, 2)
    );
}

#[test]
fn a_months_end_charges_declares_and_fetches_the_statement() {
    let rig = Rig::new(FaultPlan::NONE);
    let header = "contract_id,plan,amount,sub_order,active\n";
    rig.write(
        "month-end.csv",
        format!("{header}M-1,basic,20.00,S-1,yes\nM-2,basic,21.00,S-2,no\nM-3-poor,basic,22.00,S-3,yes\n"),
    );
    let workflow = ship(&rig, "month-end");
    // A dunning step is days away: nobody waits for it here.
    let text = std::fs::read_to_string(rig.folder.path().join(&workflow)).unwrap();
    rig.write(&workflow, text.replace("dunning: [1d, 3d]", "dunning: []"));
    assert_eq!(rig.to_the_end(&workflow), Some(3));
    let items = rig.items();
    assert_at_rest(&items);
    assert_eq!(states(&rig.items_of("deduct")), ["succeeded", "failed"]);
    assert_eq!(states(&rig.items_of("declare")), ["succeeded"]);
    assert_eq!(
        states(&rig.items_of("statement")),
        ["succeeded"],
        "{items:#?}"
    );
    assert_eq!(rig.charged()["CNY"], (1, 2_000));
}

#[test]
fn statements_and_settlements_of_the_last_days_are_fetched() {
    let rig = Rig::new(FaultPlan::NONE);
    let workflow = ship(&rig, "daily-statements");
    // The books begin today: a day without trades is taken for one at noon of the next day, so
    // yesterday may be either.
    let text = std::fs::read_to_string(rig.folder.path().join(&workflow)).unwrap();
    rig.write(
        &workflow,
        text.replace("days: 3", "days: 3, until: today")
            .replace("attempts: 30", "attempts: 3"),
    );
    assert!(matches!(rig.to_the_end(&workflow), Some(0 | 3)));
    let items = rig.items_of("statement");
    let states_of = states(&items);
    assert_eq!(
        (states_of[0], states_of[2]),
        ("succeeded", "succeeded"),
        "{items:#?}"
    );
    assert_eq!(rig.to_the_end(&ship(&rig, "settlements")), Some(0));
    assert_eq!(states(&rig.items_of("settlement")), ["succeeded"]);
}

#[test]
fn a_passport_is_filed_by_a_column_that_a_file_may_lack() {
    let rig = Rig::new(FaultPlan::NONE);
    let row = |sub_order: &str, cert: &str, more: &str| {
        let theirs = rig.seed("wechat", sub_order, "20.00", "CNY");
        format!("{sub_order},{theirs},{sub_order},SHENZHEN,20.00,18.00,2.00,{cert},Li{more}\n")
    };
    let header =
        "order,transaction,sub_order,customs,amount,product_fee,transport_fee,cert_id,name";
    let filing = ship(&rig, "customs-filing");
    let passport = row("S-1", "E12345678", "");
    rig.write("sub-orders.csv", format!("{header}\n{passport}"));
    let (code, told) = rig.payrun(&["plan", &filing]);
    assert_eq!(code, Some(3), "{told}");
    assert_said(&told, expect!["another document: say so by cert_type"]);
    let rows = [
        row("S-1", "E12345678", ",OTHER"),
        row("S-2", "510921199308072310", ","),
    ];
    rig.write(
        "sub-orders.csv",
        format!("{header},证件类型\n{}", rows.concat()),
    );
    assert_eq!(rig.to_the_end(&filing), Some(0));
    assert_eq!(states(&rig.items_of("declare")), ["succeeded", "succeeded"]);
}

#[test]
fn a_customs_number_and_a_currency_of_the_file_are_not_filed_as_others() {
    let rig = Rig::new(FaultPlan::NONE);
    let theirs = rig.seed("wechat", "S-1", "20.00", "CNY");
    rig.write(
        "sub-orders.csv",
        format!(
            "order,transaction,sub_order,customs,amount,product_fee,transport_fee,cert_id,name,币种,海关备案号\n\
             S-1,{theirs},S-1,深圳,20.00,18.00,2.00,510921199308072310,Li,HKD,4403W68888\n"
        ),
    );
    let (code, told) = rig.payrun(&["plan", &ship(&rig, "customs-filing"), "--all"]);
    assert_eq!(code, Some(3), "{told}");
    for words in [
        "columns not used: 币种, 海关备案号",
        "the column \"币种\" is called like the field currency and says HKD",
        "the column \"海关备案号\" is called like the field mch_customs_no and says 4403W68888",
        "did you mean SHENZHEN 深圳?",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

#[test]
fn a_template_marks_what_must_be_given() {
    let rig = Rig::new(FaultPlan::NONE);
    let lines = |args: &[&str]| -> Vec<String> {
        let (code, told) = rig.payrun(args);
        assert_eq!(code, Some(0), "{told}");
        let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        told.lines().map(squeezed).collect()
    };
    let has = |lines: &[String], begin: &str| lines.iter().any(|line| line.starts_with(begin));
    let query = lines(&["template", &ship(&rig, "query-orders")]);
    assert!(has(&query, "order yes "), "{query:#?}");
    assert!(has(&query, "amount together with currency "), "{query:#?}");
    let kind = lines(&["template", "query"]);
    assert!(
        has(&kind, "out_trade_no one of out_trade_no, transaction_id "),
        "{kind:#?}"
    );
    for _ in 0..2 {
        lines(&["template", "refund", "-o", "t.csv", "--force"]);
    }
    assert_eq!(
        rig.payrun(&["template", "refund", "-o", "t.csv"]).0,
        Some(2)
    );
}
