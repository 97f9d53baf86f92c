//! Payments, cancellations and the ends of contracts, by the command: nobody pays twice, and the
//! books match.

use expect_test::expect;
use std::time::Duration;

use payrun::sandbox::Settings;
use payrun::sandbox::faults::{FaultPlan, Level};
use serde_json::Value;

use crate::support::gateways::{
    GATEWAYS, ORDERS, Rig, assert_at_rest, moved, number, text_of, under_each_fault,
};
use crate::support::said::assert_said;

/// How many payments each gateway is asked for, beside those of WeChat Pay whose payers take long
/// or cannot pay.
const PAYMENTS: usize = 6;

const POLICY: &str = "    retry: { attempts: 30, first: 50ms, max: 200ms }\n    \
                      query: { schedule: [50ms, 100ms, 200ms], grace: 1500ms, horizon: 4s }\n";

/// What a gateway wants to know of a payment beside its amount.
fn particulars(gateway: &str) -> &'static str {
    match gateway {
        "wechat" => {
            "      auth_code: \"{{ item.code }}\"\n      merchant_category_code: \"4111\"\n"
        }
        "hipopay" => {
            "      openid: \"{{ item.payer }}\"\n      appid: wx1\n      client_ip: 203.0.113.9\n"
        }
        "egms" => "      platform: WEB\n",
        "cbtis" => "      success_url: https://example.com/paid\n",
        other => panic!("there is no gateway {other}"),
    }
}

fn pay(gateway: &str) -> String {
    format!(
        "  {gateway}:\n    uses: pay\n    gateway: {gateway}\n    items: {{ file: payments.csv }}\n    \
         key: \"{{{{ item.id }}}}\"\n    with:\n      amount: \"{{{{ item.amount }}}}\"\n      currency: HKD\n      \
         description: Rent\n{}{POLICY}",
        particulars(gateway)
    )
}

fn paid(plan: FaultPlan) -> Rig {
    let rig = Rig::new(plan);
    let codes = (0..PAYMENTS).map(|n| format!("p-{n},1{n}.50,13465072086636139{n},o-{n}\n"));
    let rows = codes.chain([
        "slow,20.00,134650720866360000,o-7\n".into(),
        "poor,30.00,134650720866360001,o-8\n".into(),
    ]);
    rig.write(
        "payments.csv",
        format!("id,amount,code,payer\n{}", rows.collect::<String>()),
    );
    rig.write(
        "pay.yaml",
        format!("workflow: pay\njobs:\n{}", GATEWAYS.map(pay).concat()),
    );
    rig.to_the_end("pay.yaml");
    rig
}

/// What the gateways' books say of payments, refunds and cancellations fits ours.
fn payments_match(rig: &Rig) {
    let items = rig.items();
    assert_at_rest(&items);
    for gateway in GATEWAYS {
        let theirs = rig.totals(gateway);
        let mut expected = moved(&items, gateway, "HKD");
        if gateway != "wechat" {
            // Those that the project begins with.
            expected = (
                expected.0 + ORDERS as u64,
                expected.1 + 1_250 * ORDERS as i64,
            );
        }
        let paid = theirs.paid.get("HKD").copied().unwrap_or_default();
        // What was given to a person may have been paid or not.
        let mine = rig.items_of(gateway);
        let in_review = mine
            .iter()
            .filter(|item| item["state"] == "needs_review")
            .count() as u64;
        assert!(
            (expected.0..=expected.0 + in_review).contains(&paid.0),
            "{gateway}: {expected:?} {paid:?} {mine:#?}"
        );
        assert!(
            paid.1 == expected.1 || in_review > 0,
            "{gateway}: {expected:?} {paid:?} {mine:#?}"
        );
        assert!(
            theirs.violations.is_empty(),
            "{gateway}: {:?}",
            theirs.violations
        );
        assert!(theirs.refused.is_empty(), "{gateway}: {:?}", theirs.refused);
    }
}

#[test]
fn payments_are_made_on_every_gateway_and_the_result_says_what_the_payer_does() {
    let rig = paid(FaultPlan::NONE);
    payments_match(&rig);
    for gateway in GATEWAYS {
        let items = rig.items_of(gateway);
        assert_eq!(items.len(), PAYMENTS + 2);
        for item in &items {
            let cannot = gateway == "wechat" && item["key"] == "poor";
            assert_eq!(
                item["state"],
                if cannot { "failed" } else { "succeeded" },
                "{gateway}: {item}"
            );
        }
    }
    for (gateway, action) in [
        ("hipopay", "prepay_params"),
        ("egms", "action"),
        ("cbtis", "next_action"),
    ] {
        for item in rig.items_of(gateway) {
            assert!(!item["result"][action].is_null(), "{gateway}: {item}");
        }
    }
}

#[test]
fn every_fault_by_itself_makes_nobody_pay_twice() {
    under_each_fault(|fault| payments_match(&paid(FaultPlan::only(fault))));
}

#[test]
fn all_faults_together_make_nobody_pay_twice() {
    std::thread::scope(|scope| {
        for seed in 1..=3 {
            scope.spawn(move || payments_match(&paid(FaultPlan::new(seed, Level::Heavy))));
        }
    });
}

/// A job that withdraws the orders of a file.
fn cancel(job: &str, gateway: &str, way: &str) -> String {
    let way = if way.is_empty() {
        String::new()
    } else {
        format!("      way: {way}\n")
    };
    format!(
        "  {job}:\n    uses: cancel\n    gateway: {gateway}\n    items: {{ file: {job}.csv }}\n    with:\n      \
         out_trade_no: \"{{{{ item.order }}}}\"\n{way}{POLICY}"
    )
}

/// Payments that are begun and then withdrawn in each way there is.
fn withdrawn(plan: FaultPlan) -> Rig {
    let rig = Rig::new(plan);
    let list = |numbers: Vec<String>| format!("order\n{}\n", numbers.join("\n"));
    for n in 0..3 {
        rig.seed("wechat", &format!("QUICK-{n}"), "10.00", "HKD");
    }
    rig.write("close.csv", list(vec!["QUICK-0".into(), "GONE-1".into()]));
    rig.write(
        "reverse.csv",
        list(vec!["QUICK-1".into(), "QUICK-2".into(), "GONE-2".into()]),
    );
    rig.write(
        "deduction.csv",
        list(vec![number(0), number(1), "GONE-3".into()]),
    );
    rig.write("egms.csv", list(vec![number(2), "GONE-4".into()]));
    let jobs = [
        cancel("close", "wechat", "close"),
        cancel("reverse", "wechat", "reverse"),
        cancel("deduction", "wechat", "deduction"),
        cancel("egms", "egms", ""),
    ];
    rig.write(
        "cancel.yaml",
        format!("workflow: cancel\njobs:\n{}", jobs.concat()),
    );
    rig.to_the_end("cancel.yaml");
    rig
}

fn state_of<'a>(items: &'a [Value], job: &str, key: &str) -> &'a str {
    let same = |item: &&Value| text_of(item, "key").split('/').next() == Some(key);
    let item = items
        .iter()
        .filter(|item| item["job"] == job)
        .find(same)
        .unwrap();
    text_of(item, "state")
}

#[test]
fn what_is_paid_is_not_closed_and_a_reversal_gives_it_back_once() {
    let rig = withdrawn(FaultPlan::NONE);
    let items = rig.items();
    assert_at_rest(&items);
    let ends = [
        ("close", "QUICK-0", "failed"),
        ("close", "GONE-1", "failed"),
        ("reverse", "QUICK-1", "succeeded"),
        ("reverse", "QUICK-2", "succeeded"),
        ("reverse", "GONE-2", "failed"),
        ("deduction", "ORDER-000", "failed"),
        ("deduction", "ORDER-001", "failed"),
        ("deduction", "GONE-3", "failed"),
        ("egms", "ORDER-002", "failed"),
        ("egms", "GONE-4", "failed"),
    ];
    for (job, key, end) in ends {
        assert_eq!(state_of(&items, job, key), end, "{job} {key}: {items:#?}");
    }
    let theirs = rig.totals("wechat");
    // A deduction that was paid is refunded, not reversed, and the item says so.
    let deduction = items
        .iter()
        .find(|item| item["job"] == "deduction")
        .unwrap();
    assert_said(
        text_of(deduction, "reason"),
        expect!["it is paid: refund it"],
    );
    assert_eq!(theirs.refunded["HKD"], (2, 2 * 1_000));
    assert!(theirs.violations.is_empty(), "{theirs:?}");
    // Withdrawing what is withdrawn is known by its key.
    rig.to_the_end("cancel.yaml");
    assert_eq!(rig.totals("wechat").refunded["HKD"], (2, 2 * 1_000));
}

#[test]
fn a_reversal_that_is_too_early_is_repeated_until_it_is_not() {
    let rig = Rig::of(Settings {
        reverse_after: Duration::from_secs(2),
        ..Settings::default()
    });
    rig.seed("wechat", "QUICK-0", "10.00", "HKD");
    rig.write("reverse.csv", "order\nQUICK-0\n");
    rig.write(
        "cancel.yaml",
        format!(
            "workflow: cancel\njobs:\n{}",
            cancel("reverse", "wechat", "reverse")
        ),
    );
    assert_eq!(rig.to_the_end("cancel.yaml"), Some(0));
    assert_eq!(rig.totals("wechat").refunded["HKD"], (1, 1_000));
    assert!(
        rig.totals("wechat").violations.is_empty(),
        "{:?}",
        rig.totals("wechat")
    );
}

/// Nothing is given back that our books do not call withdrawn, a person is asked about, or that was
/// refused.
fn withdrawals_match(rig: &Rig) {
    let items = rig.items();
    assert_at_rest(&items);
    let theirs = rig.totals("wechat");
    assert!(
        theirs.violations.is_empty() && theirs.refused.is_empty(),
        "{theirs:?}"
    );
    let reversed = |is: &dyn Fn(&Value) -> bool| {
        let mine = |item: &&Value| ["reverse", "deduction"].contains(&text_of(item, "job"));
        items.iter().filter(mine).filter(|item| is(item)).count() as u64
    };
    let given_back = theirs.refunded.get("HKD").copied().unwrap_or_default().0;
    // What was never paid is withdrawn too, and nothing is given back.
    let succeeded =
        reversed(&|item| item["state"] == "succeeded" && !item["result"]["success_time"].is_null());
    let in_review = reversed(&|item| item["state"] == "needs_review");
    assert!(
        (succeeded..=succeeded + in_review).contains(&given_back),
        "{given_back}: {items:#?}"
    );
    assert!(rig.totals("egms").violations.is_empty());
}

#[test]
fn every_fault_by_itself_gives_nothing_back_twice() {
    under_each_fault(|fault| withdrawals_match(&withdrawn(FaultPlan::only(fault))));
}

#[test]
fn an_unpaid_payment_is_withdrawn_before_its_payer_pays() {
    let rig = Rig::new(FaultPlan::NONE);
    rig.write(
        "payments.csv",
        "id,amount,code,payer\nslow,20.00,134650720866360000,o-7\n",
    );
    // Only begun: it is asked about in an hour.
    let begin = |gateway| pay(gateway).replace("[50ms, 100ms, 200ms]", "[1h]");
    rig.write(
        "pay.yaml",
        format!("workflow: pay\njobs:\n{}{}", begin("wechat"), begin("egms")),
    );
    let (code, text) = rig.payrun(&["run", "pay.yaml", "--wait", "1s"]);
    assert_eq!(code, Some(4), "{text}");
    for gateway in ["wechat", "egms"] {
        let order = text_of(&rig.items_of(gateway)[0], "order_no").to_owned();
        rig.write(&format!("no-{gateway}.csv"), format!("order\n{order}\n"));
    }
    let jobs = cancel("no-wechat", "wechat", "reverse") + &cancel("no-egms", "egms", "");
    rig.write("cancel.yaml", format!("workflow: cancel\njobs:\n{jobs}"));
    let (_, text) = rig.payrun(&["run", "cancel.yaml", "--wait", "15s"]);
    for gateway in ["wechat", "egms"] {
        let item = &rig.items_of(&format!("no-{gateway}"))[0];
        assert!(
            ["succeeded", "failed"].contains(&text_of(item, "state")),
            "{item} {text}"
        );
        let open = rig.totals(gateway).paid.get("HKD").map_or(0, |paid| paid.0);
        let given_back = rig
            .totals(gateway)
            .refunded
            .get("HKD")
            .map_or(0, |refunded| refunded.0);
        let begun = if gateway == "egms" { ORDERS as u64 } else { 0 };
        if item["state"] == "succeeded" {
            assert_eq!(
                open - begun,
                given_back,
                "{gateway}: what was paid is given back"
            );
        }
    }
}

fn terminated(plan: FaultPlan) -> Rig {
    let rig = Rig::new(plan);
    let rows: String = (0..5).map(|n| format!("C-{n}\n")).collect();
    rig.write("contracts.csv", format!("contract\n{rows}C-gone-ended\n"));
    rig.write(
        "terminate.yaml",
        format!(
            "workflow: terminate\njobs:\n  end:\n    uses: terminate\n    gateway: wechat\n    \
             items: {{ file: contracts.csv }}\n    with:\n      contract_id: \"{{{{ item.contract }}}}\"\n      \
             reason: moved out\n{POLICY}"
        ),
    );
    rig.to_the_end("terminate.yaml");
    rig
}

#[test]
fn contracts_are_ended_whatever_goes_wrong() {
    let rig = terminated(FaultPlan::NONE);
    for item in rig
        .items_of("end")
        .iter()
        .filter(|item| item["key"] != "C-gone-ended")
    {
        assert_eq!(item["state"], "succeeded", "{item}");
    }
    under_each_fault(|fault| {
        let rig = terminated(FaultPlan::only(fault));
        assert_at_rest(&rig.items());
        let theirs = rig.totals("wechat");
        assert!(
            theirs.violations.is_empty() && theirs.refused.is_empty(),
            "{fault}: {theirs:?}"
        );
    });
}

#[test]
fn at_hipopay_a_price_in_cny_is_paid_in_cny_and_any_other_row_is_refused_when_it_is_planned() {
    let rig = Rig::new(FaultPlan::NONE);
    rig.write(
        "cny.yaml",
        format!(
            "workflow: cny\njobs:\n  hipopay:\n    uses: pay\n    gateway: hipopay\n    items: {{ file: cny.csv }}\n    \
             key: \"{{{{ item.id }}}}\"\n    with:\n      amount: \"{{{{ item.amount }}}}\"\n      \
             currency: \"{{{{ item.currency }}}}\"\n      description: Rent\n      is_rmb: \"{{{{ item.rmb }}}}\"\n      \
             settlement_currency: \"{{{{ item.settled }}}}\"\n{}{POLICY}",
            particulars("hipopay")
        ),
    );
    let good = (0..8)
        .map(|n| format!("c-{n},88.50,CNY,TRUE,HKD,o-{n}\n"))
        .collect::<String>();
    rig.write(
        "cny.csv",
        format!(
            "id,amount,currency,rmb,settled,payer\n{good}yen,500,JPY,TRUE,JPY,o\nnone,5.00,CNY,TRUE,,o\n\
             alone,5.00,CNY,FALSE,HKD,o\nplain,5.00,CNY,FALSE,,o\n"
        ),
    );
    rig.to_the_end("cny.yaml");
    let items = rig.items();
    assert_eq!(
        items
            .iter()
            .filter(|item| item["state"] == "succeeded")
            .count(),
        9,
        "{items:#?}"
    );
    let reasons: Vec<&str> = items
        .iter()
        .filter(|item| item["state"] == "rejected")
        .map(|item| text_of(item, "reason"))
        .collect();
    assert_eq!(reasons.len(), 3, "{items:#?}");
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("is TRUE, so currency must be CNY, not JPY")),
        "{reasons:?}"
    );
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("is TRUE, and settlement_currency is empty")),
        "{reasons:?}"
    );
    assert!(
        reasons
            .iter()
            .any(|reason| reason.contains("so is_rmb must be TRUE, not FALSE")),
        "{reasons:?}"
    );
    assert_eq!(rig.totals("hipopay").paid["CNY"], (9, 8 * 8_850 + 500));
    assert!(rig.totals("hipopay").refused.is_empty());
}
