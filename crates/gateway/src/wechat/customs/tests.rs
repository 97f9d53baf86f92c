//! Bodies as documented, and replies that are not ours.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::Delivery;
use payrun_domain::ids::OrderNumber;

fn common() -> WechatMode {
    WechatMode::Common {
        mchid: "1230000109".into(),
        appid: "wxd678efh567hg6787".into(),
    }
}

fn call(operation: &str, more: &Value) -> Call {
    let mut input = json!({
        "out_trade_no": "20150806125346", "transaction_id": "1000320306201511078440737890",
        "customs": "SHANGHAI_ZS", "mch_customs_no": "123456",
    });
    for (name, value) in more.as_object().unwrap() {
        input[name] = value.clone();
    }
    Call {
        operation: operation.into(),
        order_no: OrderNumber::parse("S-1").unwrap(),
        input: serde_json::from_value(input).unwrap(),
        amount: Some(Amount::from_minor(888, Currency::parse("CNY").unwrap()).unwrap()),
        timeout: Duration::from_secs(1),
    }
}

fn split() -> Value {
    json!({ "sub_order_no": "S-1", "transport_fee": "0", "product_fee": "8.88", "duty": "0.88" })
}

fn made(call: &Call) -> Result<PreparedWechat, String> {
    prepare(call, &common()).unwrap()
}

#[test]
fn a_sub_order_is_declared_with_its_fees_and_a_whole_payment_without() {
    let declared = made(&call("declare", &split())).unwrap();
    let body: Value = serde_json::from_slice(&declared.body).unwrap();
    let sample = json!({
        "appid": "wxd678efh567hg6787", "mchid": "1230000109", "out_trade_no": "20150806125346",
        "transaction_id": "1000320306201511078440737890", "customs": "SHANGHAI_ZS", "merchant_customs_no": "123456",
        "duty": 88, "sub_order_no": "S-1", "fee_type": "CNY", "order_fee": 888, "transport_fee": 0, "product_fee": 888,
    });
    assert_eq!((body, declared.method.as_str()), (sample, "POST"));
    let whole = made(&call("declare", &json!({}))).unwrap();
    let body: Value = serde_json::from_slice(&whole.body).unwrap();
    assert_eq!(
        (
            body.get("order_fee"),
            body.get("fee_type"),
            body.get("sub_order_no")
        ),
        (None, None, None)
    );
}

#[test]
fn to_modify_is_a_patch_that_names_no_currency() {
    let mut input = split();
    input["way"] = json!("modify");
    let modified = made(&call("redeclare", &input)).unwrap();
    let body: Value = serde_json::from_slice(&modified.body).unwrap();
    assert_eq!(
        (
            modified.method.as_str(),
            body.get("fee_type"),
            &body["order_fee"]
        ),
        ("PATCH", None, &json!(888))
    );
    let again = made(&call("redeclare", &json!({ "sub_order_no": "S-1" }))).unwrap();
    assert_eq!(
        (again.method.as_str(), again.target.as_str()),
        ("POST", "/v3/global/customs/redeclare")
    );
    input["way"] = json!("undo");
    assert!(
        made(&call("redeclare", &input))
            .unwrap_err()
            .contains("way is")
    );
}

#[test]
fn an_institution_declares_under_its_own_ids() {
    let mode = WechatMode::Institutional {
        sp_mchid: "1900000002".into(),
        sp_appid: "wxsp".into(),
        sub_mchid: "10000097".into(),
        sub_appid: None,
    };
    let asked = prepare(&call("declare_query", &split()), &mode)
        .unwrap()
        .unwrap();
    let query = "appid=wxsp&mchid=1900000002&order_type=sub_order_no&order_no=S-1&customs=SHANGHAI_ZS&offset=0&limit=20";
    assert_eq!(asked.target, format!("/v3/global/customs/orders?{query}"));
}

#[test]
fn what_is_missing_is_said_before_anything_is_sent() {
    let mut input = split();
    input["transport_fee"] = json!("");
    assert_eq!(
        made(&call("declare", &input)).unwrap_err(),
        "the call has no transport_fee"
    );
    input["transport_fee"] = json!("0.001");
    assert!(
        made(&call("declare", &input))
            .unwrap_err()
            .starts_with("transport_fee: ")
    );
    assert!(
        made(&call("declare", &json!({ "customs": "" })))
            .unwrap_err()
            .contains("no customs")
    );
    assert!(
        made(&call("identity_check", &json!({})))
            .unwrap_err()
            .contains("no cert_id")
    );
    assert!(prepare(&call("deduct", &json!({})), &common()).is_none());
}

fn listed(list: &Value) -> Result<Observation, String> {
    let ReplyKind::Customs(wanted) = made(&call("declare_query", &split())).unwrap().reply else {
        unreachable!()
    };
    let mut seen = Observation::of(Delivery::Replied);
    read(list.to_string().as_bytes(), &wanted, &mut seen).map(|()| seen)
}

#[test]
fn of_a_list_the_row_of_our_customs_and_sub_order_is_taken() {
    let row = |customs: &str, sub_order: &str| {
        json!({ "customs": customs, "sub_order_no": sub_order, "sub_order_id": "77", "state": "SUCCESS",
            "fee_type": "CNY", "order_fee": 888, "modify_time": "2015-09-01T10:00:00+08:00" })
    };
    let list = |rows: Value, total: usize| {
        json!({ "mchid": "1230000109", "transaction_id": "1000320306201511078440737890", "verify_department": "UNIONPAY",
            "total_count": total, "data": rows })
    };
    let found = listed(&list(
        json!([row("NINGBO", "S-1"), row("SHANGHAI_ZS", "S-1")]),
        2,
    ))
    .unwrap();
    assert_eq!(
        (found.state.as_deref(), found.receipt.as_deref()),
        (Some("SUCCESS"), Some("77"))
    );
    assert_eq!(
        (
            found.order_no.as_deref(),
            found.amount.unwrap().unwrap().minor()
        ),
        (Some("S-1"), 888)
    );
    assert_eq!(found.result["verify_department"], "UNIONPAY");
    assert_eq!(
        listed(&list(json!([]), 0)).unwrap().code.as_deref(),
        Some("NO_DECLARATION")
    );
    for wrong in [
        list(json!([row("NINGBO", "S-1")]), 1),
        list(json!([row("SHANGHAI_ZS", "S-2")]), 1),
    ] {
        assert!(
            listed(&wrong).unwrap_err().contains("another customs"),
            "{wrong}"
        );
    }
    assert!(
        listed(&list(json!([]), 1))
            .unwrap_err()
            .contains("breaks off")
    );
    let more = listed(&list(json!([row("SHANGHAI_ZS", "S-2")]), 2)).unwrap();
    assert_eq!((more.result[NEXT].as_u64(), more.code), (Some(1), None));
    let mut other = list(json!([row("SHANGHAI_ZS", "S-1")]), 1);
    other["transaction_id"] = json!("43");
    assert!(listed(&other).unwrap_err().contains("another payment"));
}
