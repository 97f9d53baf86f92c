//! Refund batches on the gateways, by the command: the same columns everywhere, never twice, never above the payment.

use std::collections::BTreeMap;

use payrun::sandbox::TillTotals;
use payrun::sandbox::faults::{Fault, FaultPlan, Level};
use serde_json::Value;

use crate::support::four::{ORDERS, Rig, number};

const GATEWAYS: [&str; 3] = ["hipopay", "egms", "cbtis"];

/// Rows of a batch beside a refund of each payment: key, your number, the gateway's, amount, currency.
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
        rows.push_str(&format!("{key},{order},{transaction},{amount},{currency},\"he said \"\"no\"\"\"\n"));
    }
    std::fs::write(folder.join("refunds.csv"), rows).unwrap();
    let mut yaml = "workflow: refunds\njobs:\n".to_owned();
    for gateway in gateways {
        yaml.push_str(&format!(
            "  {gateway}:\n    uses: refund\n    gateway: {gateway}\n    items: {{ file: refunds.csv }}\n    \
             key: \"{{{{ item.refund }}}}\"\n    with:\n      out_trade_no: \"{{{{ item.order }}}}\"\n      \
             transaction_id: \"{{{{ item.transaction }}}}\"\n      amount: \"{{{{ item.amount }}}}\"\n      \
             currency: \"{{{{ item.currency }}}}\"\n      reason: \"{{{{ item.reason }}}}\"\n    \
             retry: {{ attempts: 30, first: 50ms, max: 200ms }}\n    \
             resolve: {{ schedule: [50ms, 100ms, 200ms], grace: 1500ms, horizon: 1h }}\n"
        ));
    }
    std::fs::write(folder.join("refunds.yaml"), yaml).unwrap();
}

/// Runs a batch to its end.
fn refunded(plan: FaultPlan, gateways: &[&str]) -> Rig {
    let rig = Rig::new(plan);
    write_batch(&rig, gateways);
    for _ in 0..10 {
        let (code, text) = rig.payrun(&["run", "refunds.yaml", "--json", "--wait", "20s"]);
        if code == Some(3) {
            return rig;
        }
        assert_eq!(code, Some(4), "{text}");
    }
    panic!("the batch does not end: {:?}", rig.items());
}

fn totals(rig: &Rig, gateway: &str) -> TillTotals {
    let gateways = &rig.gateways;
    match gateway {
        "hipopay" => gateways.hipopay.as_ref().unwrap().totals(),
        "egms" => gateways.egms.as_ref().unwrap().totals(),
        "cbtis" => gateways.cbtis.as_ref().unwrap().totals(),
        _ => panic!("{gateway} has no till here"),
    }
}

/// What our books say went back on a gateway: how many refunds, and how many minor units.
fn ours(items: &[Value], job: &str) -> (u64, i64) {
    let mine = items.iter().filter(|item| item["job"] == job && item["state"] == "succeeded");
    mine.fold((0, 0), |(count, sum), item| {
        let minor: i64 = item["amount"].as_str().unwrap().replace('.', "").parse().unwrap();
        (count + 1, sum + minor)
    })
}

fn books_match(rig: &Rig, gateways: &[&str]) {
    let items = rig.items();
    for gateway in gateways {
        let theirs = totals(rig, gateway);
        let refunded = theirs.refunded.get("HKD").copied().unwrap_or_default();
        assert_eq!(ours(&items, gateway), refunded, "{gateway}");
        assert!(theirs.violations.is_empty(), "{gateway}: {:?}", theirs.violations);
        assert!(theirs.refused.is_empty(), "{gateway}: {:?}", theirs.refused);
    }
    let open = items
        .iter()
        .find(|item| ["sending", "unknown", "pending", "planned"].contains(&item["state"].as_str().unwrap()));
    assert_eq!(open, None, "nothing is open");
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
        let rejected = items.iter().filter(|item| item["job"] == gateway && item["state"] == "rejected").count();
        assert_eq!(rejected, 2, "{gateway}: neither number, and a thousandth of a dollar");
        // Of three refunds of 5.00 out of 12.50 two fit, whichever come first; of 5.00 and 12.50 one.
        let first = ["r-0", "again", "too-much"].iter().filter(|key| mine[**key]["state"] == "succeeded").count();
        assert_eq!(first, 2, "{gateway}");
        let second = mine.values().filter(|item| of_order_1(item) && item["state"] == "succeeded").count();
        assert_eq!(second, 1, "{gateway}");
        let refused = mine.values().find(|item| item["state"] == "failed" && of_order_1(item)).unwrap();
        assert!(refused["reason"].as_str().unwrap().contains("EXCEEDS_PAYMENT"), "{refused}");
        assert!(mine["dollars"]["reason"].as_str().unwrap().contains("OTHER_CURRENCY"));
    }
}

#[test]
fn a_payment_named_by_either_number_is_one_payment() {
    let rig = Rig::new(FaultPlan::NONE);
    let theirs = rig.gateways.hipopay.as_ref().unwrap().seed("ORDER-000", crate::support::four::hkd());
    write_batch(&rig, &["hipopay"]);
    let rows =
        format!("refund,order,transaction,amount,currency,reason\na,ORDER-000,,10.00,HKD,x\nb,,{theirs},10.00,HKD,x\n");
    std::fs::write(rig.folder.path().join("refunds.csv"), rows).unwrap();
    let (code, text) = rig.payrun(&["run", "refunds.yaml", "--wait", "20s"]);
    assert_eq!(code, Some(3), "{text}");
    books_match(&rig, &["hipopay"]);
    assert_eq!(totals(&rig, "hipopay").refunded["HKD"], (1, 1_000));
}

#[test]
fn every_fault_by_itself_refunds_nothing_twice_and_nothing_above_the_payment() {
    for some in Fault::ALL.chunks(6) {
        std::thread::scope(|scope| {
            for fault in some {
                scope.spawn(|| {
                    let rig = refunded(FaultPlan::only(*fault), &GATEWAYS);
                    books_match(&rig, &GATEWAYS);
                });
            }
        });
    }
}

#[test]
fn all_faults_together_refund_nothing_twice() {
    for seed in [1, 2] {
        let rig = refunded(FaultPlan::new(seed, Level::Heavy), &GATEWAYS);
        books_match(&rig, &GATEWAYS);
    }
}
