//! Refund batches on the gateways, by the command: the same columns everywhere, never twice, never
//! above the payment.

use expect_test::expect;
use std::collections::BTreeMap;

use payrun::sandbox::Settings;
use payrun::sandbox::faults::{Fault, FaultPlan, Level};
use serde_json::Value;

use crate::support::gateways::{
    GATEWAYS, ORDERS, Rig, assert_at_rest, moved, number, under_each_fault,
};
use crate::support::said::assert_said;
use crate::support::until;

/// Rows of a batch beside a refund of each payment: key, your number, the gateway's, amount,
/// currency.
const ODD: [(&str, &str, &str, &str, &str); 7] = [
    ("again", "ORDER-000", "", "5.00", "HKD"),
    ("too-much", "ORDER-000", "", "5.00", "HKD"),
    ("whole", "ORDER-001", "", "12.50", "HKD"),
    ("gone", "GONE-1", "", "1.00", "HKD"),
    ("dollars", "ORDER-002", "", "1.00", "USD"),
    ("neither", "", "", "1.00", "HKD"),
    ("tiny", "ORDER-003", "", "0.001", "HKD"),
];

fn write_batch(rig: &Rig, gateways: &[&str]) {
    let folder = rig.folder.path();
    let mut rows = "refund,order,transaction,amount,currency,reason\n".to_owned();
    for n in 0..ORDERS {
        rows.push_str(&format!("r-{n},{},,5.00,HKD,sold out\n", number(n)));
    }
    for (key, order, transaction, amount, currency) in ODD {
        rows.push_str(&format!(
            "{key},{order},{transaction},{amount},{currency},\"he said \"\"no\"\"\"\n"
        ));
    }
    std::fs::write(folder.join("refunds.csv"), rows).unwrap();
    let mut yaml = "workflow: refunds\njobs:\n".to_owned();
    for gateway in gateways {
        yaml.push_str(&format!(
            "  {gateway}:\n    uses: refund\n    approval: off\n    gateway: {gateway}\n    items: {{ file: refunds.csv }}\n    \
             key: \"{{{{ item.refund }}}}\"\n    with:\n      out_trade_no: \"{{{{ item.order }}}}\"\n      \
             transaction_id: \"{{{{ item.transaction }}}}\"\n      amount: \"{{{{ item.amount }}}}\"\n      \
             currency: \"{{{{ item.currency }}}}\"\n      reason: \"{{{{ item.reason }}}}\"\n    \
             retry: {{ attempts: 30, first: 50ms, max: 200ms }}\n    \
             query: {{ schedule: [50ms, 100ms, 200ms], grace: 1500ms, horizon: 1h }}\n"
        ));
    }
    std::fs::write(folder.join("refunds.yaml"), yaml).unwrap();
}

/// Runs a batch to its end.
fn refunded(plan: FaultPlan, gateways: &[&str]) -> Rig {
    let rig = Rig::new(plan);
    write_batch(&rig, gateways);
    assert_eq!(rig.to_the_end("refunds.yaml"), Some(3));
    rig
}

fn books_match(rig: &Rig, gateways: &[&str]) {
    let items = rig.items();
    for gateway in gateways {
        let theirs = rig.totals(gateway);
        let refunded = theirs.refunded.get("HKD").copied().unwrap_or_default();
        assert_eq!(moved(&items, gateway, "HKD"), refunded, "{gateway}");
        assert!(
            theirs.violations.is_empty(),
            "{gateway}: {:?}",
            theirs.violations
        );
        assert!(theirs.refused.is_empty(), "{gateway}: {:?}", theirs.refused);
    }
    assert_at_rest(&items);
}

#[test]
fn a_batch_of_the_same_columns_is_refunded_on_every_gateway_and_never_above_the_payment() {
    let rig = refunded(FaultPlan::NONE, &GATEWAYS);
    books_match(&rig, &GATEWAYS);
    let items = rig.items();
    let of_order_1 = |item: &&Value| item["key"] == "r-1" || item["key"] == "whole";
    for gateway in GATEWAYS {
        let mine: BTreeMap<&str, &Value> = items
            .iter()
            .filter(|item| item["job"] == gateway)
            .map(|item| (item["key"].as_str().unwrap(), item))
            .collect();
        for key in ["gone", "dollars"] {
            assert_eq!(mine[key]["state"], "failed", "{gateway} {key}");
        }
        let rejected = items
            .iter()
            .filter(|item| item["job"] == gateway && item["state"] == "rejected")
            .count();
        assert_eq!(
            rejected, 2,
            "{gateway}: neither number, and a thousandth of a dollar"
        );
        // Of three refunds of 5.00 out of 12.50 two fit, whichever come first; of 5.00 and 12.50
        // one.
        let first = ["r-0", "again", "too-much"]
            .iter()
            .filter(|key| mine[**key]["state"] == "succeeded")
            .count();
        assert_eq!(first, 2, "{gateway}");
        let second = mine
            .values()
            .filter(|item| of_order_1(item) && item["state"] == "succeeded")
            .count();
        assert_eq!(second, 1, "{gateway}");
        let refused = mine
            .values()
            .find(|item| item["state"] == "failed" && of_order_1(item))
            .unwrap();
        assert!(
            refused["reason"]
                .as_str()
                .unwrap()
                .contains("EXCEEDS_PAYMENT"),
            "{refused}"
        );
        let (_, shown) = rig.payrun(&["show", "--item", &refused["item"].to_string()]);
        let code = shown.lines().find(|line| line.starts_with("code "));
        assert_eq!(
            code,
            Some(
                "code          EXCEEDS_PAYMENT, payrun itself: with it the refunds of the payment would be above what was paid; \
                 compare the payment's other refunds; what is left of it can be refunded by a row with a key of its own"
            ),
            "{shown}"
        );
        assert!(
            mine["dollars"]["reason"]
                .as_str()
                .unwrap()
                .contains("OTHER_CURRENCY")
        );
    }
}

#[test]
fn a_payment_named_by_either_number_is_one_payment() {
    let rig = Rig::new(FaultPlan::NONE);
    let theirs = rig
        .gateways
        .hipopay
        .as_ref()
        .unwrap()
        .seed("ORDER-000", crate::support::gateways::hkd());
    write_batch(&rig, &["hipopay"]);
    let rows = format!(
        "refund,order,transaction,amount,currency,reason\na,ORDER-000,,10.00,HKD,x\nb,,{theirs},10.00,HKD,x\n"
    );
    std::fs::write(rig.folder.path().join("refunds.csv"), rows).unwrap();
    let (code, text) = rig.payrun(&["run", "refunds.yaml", "--wait", "20s"]);
    assert_eq!(code, Some(3), "{text}");
    books_match(&rig, &["hipopay"]);
    assert_eq!(rig.totals("hipopay").refunded["HKD"], (1, 1_000));
}

#[test]
fn every_fault_by_itself_refunds_nothing_twice_and_nothing_above_the_payment() {
    under_each_fault(|fault| books_match(&refunded(FaultPlan::only(fault), &GATEWAYS), &GATEWAYS));
}

#[test]
fn all_faults_together_refund_nothing_twice() {
    std::thread::scope(|scope| {
        for seed in [1, 2] {
            scope.spawn(move || {
                books_match(
                    &refunded(FaultPlan::new(seed, Level::Heavy), &GATEWAYS),
                    &GATEWAYS,
                )
            });
        }
    });
}

/// A batch of one refund, which is asked about at these intervals.
fn one_refund(rig: &Rig, row: &str, schedule: &str) {
    rig.write(
        "refunds.csv",
        format!("refund,order,amount,currency\n{row}\n"),
    );
    let yaml = "workflow: refunds\njobs:\n  refund:\n    uses: refund\n    approval: off\n    gateway: wechat\n    \
         items: { file: refunds.csv }\n    key: \"{{ item.refund }}\"\n    with:\n      \
         out_trade_no: \"{{ item.order }}\"\n      amount: \"{{ item.amount }}\"\n      \
         currency: \"{{ item.currency }}\"\n    \
         retry: { attempts: 30, first: 50ms, max: 200ms }\n    \
         query: { schedule: SCHEDULE, grace: 2s, horizon: 1h }\n";
    rig.write("refunds.yaml", yaml.replace("SCHEDULE", schedule));
}

#[test]
fn a_wrong_amount_in_the_first_look_up_of_a_payment_does_not_block_its_refunds() {
    let rig = Rig::of(Settings {
        misread: 1,
        ..Settings::default()
    });
    rig.seed("wechat", "P-1", "12.50", "HKD");
    // No column says what was paid: WeChat Pay is sent the total as it was looked up, and refuses
    // it.
    one_refund(&rig, "R-1,P-1,5.00,HKD", "[50ms, 100ms]");
    assert_eq!(rig.to_the_end("refunds.yaml"), Some(3));
    let item = &rig.items_of("refund")[0];
    assert_eq!(item["state"], "needs_review", "{item}");
    let reason = item["reason"].as_str().unwrap();
    assert_said(
        reason,
        expect!["12.51 HKD was paid and later that 12.50 HKD was"],
    );
    assert!(rig.totals("wechat").refunded.is_empty());
    // Once a person has found out which is so, it is asked again.
    let (code, text) = rig.payrun(&["retry", "R-1", "--reason", "it was 12.50"]);
    assert_eq!(code, Some(0), "{text}");
    rig.payrun(&["run", "--resume", "--json", "--wait", "20s"]);
    assert_eq!(
        rig.items_of("refund")[0]["state"],
        "succeeded",
        "{:?}",
        rig.items()
    );
    assert_eq!(rig.totals("wechat").refunded["HKD"], (1, 500));
    assert!(
        rig.totals("wechat").violations.is_empty(),
        "{:?}",
        rig.totals("wechat")
    );
}

#[test]
fn a_refund_that_was_mended_under_a_new_key_is_not_tried_again_beside_it() {
    let rig = Rig::new(FaultPlan::NONE);
    one_refund(&rig, "R-1,GONE-1,1.00,HKD", "[50ms, 100ms]");
    assert_eq!(rig.to_the_end("refunds.yaml"), Some(3));
    let (_, shown) = rig.payrun(&["show", "--item", "1"]);
    let code = shown.lines().find(|line| line.starts_with("code")).unwrap();
    assert_said(
        code,
        expect![
            "declined for good; the gateway knows no payment by this number on this account: compare out_trade_no"
        ],
    );
    // The same under a key of its own waits to be sent.
    one_refund(&rig, "R-1b,GONE-1,1.00,HKD", "[50ms, 100ms]");
    rig.payrun(&["pause", "all", "--reason", "a test"]);
    rig.payrun(&["run", "refunds.yaml", "--wait", "0s"]);
    let states: Vec<Value> = rig
        .items()
        .iter()
        .map(|item| item["state"].clone())
        .collect();
    assert_eq!(states, ["failed", "planned"]);
    let (code, text) = rig.payrun(&["retry", "R-1", "--reason", "again"]);
    assert_eq!(code, Some(3), "{text}");
    assert_said(
        &text,
        expect!["item 2 was planned later and gives the same back of the same payment"],
    );
    assert_eq!(rig.items()[0]["state"], "failed");
    // Once that one has failed too, one of them may be tried again.
    rig.payrun(&["resume", "all", "--reason", "a test"]);
    let (code, text) = rig.payrun(&["run", "--resume", "--wait", "20s"]);
    assert_eq!(code, Some(3), "{text}");
    let (code, text) = rig.payrun(&["retry", "R-1", "--reason", "again"]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_run_waits_no_longer_than_it_was_told_whatever_falls_due_again_and_again() {
    let rig = Rig::new(FaultPlan::NONE);
    let yaml = std::fs::read_to_string(rig.folder.path().join("payrun.yaml")).unwrap();
    // Nobody listens there: the refund falls due every second, for a quarter of an hour.
    rig.write(
        "payrun.yaml",
        yaml.replace(&rig.base_url(), "http://127.0.0.1:9"),
    );
    one_refund(&rig, &format!("R-1,{},5.00,HKD", number(0)), "[1h]");
    let workflow = std::fs::read_to_string(rig.folder.path().join("refunds.yaml")).unwrap();
    let again = "retry: { attempts: 900, first: 1s, max: 1s }";
    rig.write(
        "refunds.yaml",
        workflow.replace("retry: { attempts: 30, first: 50ms, max: 200ms }", again),
    );
    let began = std::time::Instant::now();
    let (code, text) = rig.payrun(&["run", "refunds.yaml", "--wait", "3s"]);
    assert_eq!(code, Some(4), "{text}");
    assert!(
        began.elapsed() < std::time::Duration::from_secs(60),
        "{text}"
    );
}

#[test]
fn a_refund_that_is_limited_is_unknown_and_is_asked_about_also_when_it_is_withdrawn() {
    let rig = Rig::new(FaultPlan::only(Fault::Limited));
    one_refund(&rig, &format!("R-1,{},5.00,HKD", number(0)), "[50ms, 1h]");
    let (code, text) = rig.payrun(&["run", "refunds.yaml", "--wait", "1s"]);
    assert_eq!(code, Some(4), "{text}");
    // On a busy machine a second may not be enough to have the certificates.
    until("the refund is unknown", || {
        rig.payrun(&["run", "--resume", "--wait", "1s"]);
        rig.items_of("refund")[0]["state"] == "unknown"
    });
    let id = rig.items_of("refund")[0]["item"].to_string();
    let (code, text) = rig.payrun(&["cancel", &id, "--reason", "changed my mind"]);
    assert!(
        code == Some(0) && text.contains("queried until it has ended"),
        "{text}"
    );
    assert_eq!(rig.items_of("refund")[0]["state"], "unknown");
    assert!(rig.totals("wechat").refunded.is_empty());
}

#[test]
fn a_refund_in_part_of_a_declared_payment_names_the_declaration_to_modify() {
    let rig = Rig::new(FaultPlan::NONE);
    let (split, whole) = (
        rig.seed("wechat", "P-1", "20.00", "CNY"),
        rig.seed("wechat", "P-2", "20.00", "CNY"),
    );
    rig.write(
        "orders.csv",
        format!("order,transaction,sub,fee,goods,transport\nP-1,{split},S-1,20.00,15.00,5.00\nP-2,{whole},,,,\n"),
    );
    rig.write(
        "declare.yaml",
        "workflow: declare\njobs:\n  declare:\n    uses: declare\n    gateway: wechat\n    items: { file: orders.csv }\n    \
         with: { out_trade_no: \"{{ item.order }}\", transaction_id: \"{{ item.transaction }}\", customs: SHENZHEN, \
         mch_customs_no: SZ0001, sub_order_no: \"{{ item.sub }}\", amount: \"{{ item.fee }}\", currency: CNY, product_fee: \"{{ item.goods }}\", \
         transport_fee: \"{{ item.transport }}\" }\n    query: { schedule: [50ms, 100ms, 200ms], grace: 2s, horizon: 1h }\n",
    );
    assert_eq!(rig.to_the_end("declare.yaml"), Some(0));
    let declared: Vec<String> = rig
        .items_of("declare")
        .iter()
        .map(|item| item["item"].to_string())
        .collect();
    // Nobody asks what became of the refunds: a notification may tell, which knows nothing of
    // customs.
    one_refund(&rig, "R-1,P-1,5.00,CNY\nR-2,P-2,5.00,CNY", "[1h]");
    rig.payrun(&["run", "refunds.yaml", "--json", "--wait", "3s"]);
    let refunds = rig.items_of("refund");
    let offer = |at: usize| {
        refunds[at]["result"]["declared"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(
        (&refunds[0]["state"], &refunds[1]["state"]),
        (&"pending".into(), &"pending".into()),
        "{refunds:?}"
    );
    assert!(
        offer(0).contains(&format!("(item {})", declared[0])) && offer(0).contains("way: modify"),
        "{refunds:?}"
    );
    assert!(
        offer(1).contains(&format!("as a whole (item {})", declared[1])),
        "{refunds:?}"
    );
}

/// One refund at HipoPay under a number that it takes no second time.
fn spent() -> Rig {
    let rig = Rig::new(FaultPlan::NONE);
    rig.write(
        "spent.yaml",
        "workflow: spent\njobs:\n  hipopay:\n    uses: refund\n    approval: off\n    gateway: hipopay\n    \
         items: { file: spent.csv }\n    key: \"{{ item.id }}\"\n    order_number: \"{{ item.id }}\"\n    with:\n      \
         out_trade_no: \"{{ item.order }}\"\n      amount: \"5.00\"\n      currency: HKD\n    \
         retry: { attempts: 30, first: 50ms, max: 200ms }\n    \
         query: { schedule: [50ms, 100ms, 200ms], grace: 500ms, horizon: 1h }\n",
    );
    rig.write("spent.csv", "id,order\nR-spent,ORDER-000\n");
    rig
}

#[test]
fn a_number_that_failed_and_exists_waits_for_a_persons_word_and_then_for_a_new_number() {
    let rig = spent();
    assert_eq!(rig.to_the_end("spent.yaml"), Some(3));
    let item = &rig.items()[0];
    assert_eq!(item["state"], "needs_review", "{item}");
    let reason = item["reason"].as_str().unwrap();
    assert!(
        reason.contains("takes its number no second time")
            && reason.contains("payrun resolve --failed"),
        "{item}"
    );
    assert!(rig.totals("hipopay").refunded.is_empty());
    let asked = |args: &[&str]| assert_eq!(rig.payrun(args).0, Some(0), "{args:?}");
    // To ask once more changes nothing: only the word of a person that it failed does.
    asked(&["retry", "R-spent", "--reason", "a test"]);
    rig.payrun(&["run", "--resume", "--json", "--wait", "20s"]);
    assert_eq!(rig.items()[0]["state"], "needs_review");
    asked(&["resolve", "R-spent", "--failed", "--reason", "a test"]);
    asked(&["retry", "R-spent", "--reason", "a test"]);
    rig.payrun(&["run", "--resume", "--json", "--wait", "20s"]);
    let item = &rig.items()[0];
    assert_eq!(
        (item["state"].as_str(), item["order_no"].as_str()),
        (Some("succeeded"), Some("R-spent-2")),
        "{item}"
    );
    assert_eq!(rig.totals("hipopay").refunded["HKD"], (1, 500));
}
