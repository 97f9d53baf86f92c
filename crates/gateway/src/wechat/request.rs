//! From a call of the port to what goes on the wire. Pure: one call and one account always give the
//! same bytes, so that one order number never goes out with two bodies.

use bytes::Bytes;
use http::Method;
use serde::Serialize;

use super::customs;
use super::merchant_ids::MerchantIdFields;
use super::orders::OrderFamily;
use super::settlements::SettlementPage;
use super::statement;
use super::wire::{AmountTotal, Deduction, SceneInfo};
use super::{orders, refund_list, refunds};
use crate::Call;
use crate::exchange::{percent_encode, required, text};
use crate::wechat::account::WechatMode;

/// A request before it is signed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PreparedWechat {
    pub method: Method,
    /// Path and query, percent-encoded.
    pub target: String,
    pub body: Bytes,
    pub reply: ReplyKind,
}

/// What a 2xx reply holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReplyKind {
    Transaction,
    /// The contract that was asked for.
    Contract(String),
    RefundAccepted,
    Refund,
    /// A page of the refunds of the payment that was asked for.
    RefundList(refunds::Payment),
    /// A 204: there is no body.
    Nothing,
    /// The file itself.
    Statement,
    /// A page of settlement batches.
    Settlements(SettlementPage),
    /// The declaration that was asked for.
    Customs(customs::ExpectedDeclaration),
}

impl PreparedWechat {
    /// A request without a body.
    pub(super) fn get(target: String, reply: ReplyKind) -> Self {
        Self {
            method: Method::GET,
            target,
            body: Bytes::new(),
            reply,
        }
    }

    /// A request with a body.
    pub(super) fn post(
        target: String,
        body: &impl Serialize,
        reply: ReplyKind,
    ) -> Result<Self, String> {
        let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
        Ok(Self {
            method: Method::POST,
            target,
            body: body.into(),
            reply,
        })
    }
}

/// Prepares a call.
///
/// # Errors
/// In words, if the call is not one of this gateway or lacks something; nothing can be sent then.
pub(super) fn prepare(
    call: &Call,
    mode: &WechatMode,
    notify_url: &str,
) -> Result<PreparedWechat, String> {
    match call.operation.as_str() {
        "deduct" => deduct(call, mode, notify_url),
        "transaction" => orders::query(call, mode, OrderFamily::Deduction),
        "contract" => contract(call, mode),
        "order" => orders::query(call, mode, OrderFamily::Order),
        "micropay" => orders::micropay(call, mode),
        "cancel" => orders::cancel(call, mode),
        "terminate" => orders::terminate(call, mode),
        "refund" => refunds::refund(call, mode, notify_url),
        "refund_query" => refunds::refund_query(call, mode),
        "refunds" => refund_list::page(call, mode, 0),
        "statement" => statement::prepare(call, mode),
        other => customs::prepare(call, mode).unwrap_or_else(|| {
            Err(format!(
                "wechat has no operation {other:?}; it has deduct, transaction, contract, terminate, order, any_order, order_query, micropay, \
                 cancel, refund, refund_query, refunds, statement, settlements, declare, declare_query, redeclare and identity_check"
            ))
        }),
    }
}

/// `POST /v3/global/papay/transactions` (docs/gateways/wechat.md, "Requests").
fn deduct(call: &Call, mode: &WechatMode, notify_url: &str) -> Result<PreparedWechat, String> {
    let amount = call.amount.ok_or("a deduction has an amount")?;
    let (device_ip, device_id) = (text(call, "device_ip"), text(call, "device_id"));
    let deduction = Deduction {
        ids: MerchantIdFields::of_contract(mode),
        description: required(call, "description")?,
        attach: text(call, "attach"),
        notify_url,
        out_trade_no: call.order_no.as_str(),
        goods_tag: text(call, "goods_tag"),
        merchant_category_code: required(call, "merchant_category_code")?,
        contract_id: required(call, "contract_id")?,
        amount: AmountTotal {
            total: amount.minor(),
            currency: amount.currency().code(),
        },
        scene_info: (device_ip.is_some() || device_id.is_some()).then_some(SceneInfo {
            device_ip,
            device_id,
        }),
    };
    let body = serde_json::to_vec(&deduction).map_err(|error| error.to_string())?;
    Ok(PreparedWechat {
        method: Method::POST,
        target: "/v3/global/papay/transactions".into(),
        body: body.into(),
        reply: ReplyKind::Transaction,
    })
}

/// `GET /v3/global/papay/contracts/{contract_id}`.
fn contract(call: &Call, mode: &WechatMode) -> Result<PreparedWechat, String> {
    let id = required(call, "contract_id")?;
    let path = format!("/v3/global/papay/contracts/{}", segment("contract_id", id)?);
    Ok(PreparedWechat::get(
        MerchantIdFields::of_contract(mode).on(&path, &[]),
        ReplyKind::Contract(id.to_owned()),
    ))
}

/// One segment of a path. `.` and `..` mean something else there in every spelling, and are
/// nobody's id.
pub(super) fn segment(field: &str, text: &str) -> Result<String, String> {
    match text {
        "." | ".." => Err(format!("{field} is {text:?}, which is no id")),
        id => Ok(percent_encode(id)),
    }
}

/// What the tests of requests start from.
#[cfg(test)]
pub(super) mod samples {
    use std::time::Duration;

    use serde_json::{Map, Value};

    use super::*;
    use payrun_domain::ids::OrderNumber;
    use payrun_domain::money::{Amount, Currency};

    pub(in super::super) fn common() -> WechatMode {
        WechatMode::Common {
            mchid: "1900000001".into(),
            appid: "wxcbda96de0b165486".into(),
        }
    }

    pub(in super::super) fn institutional() -> WechatMode {
        WechatMode::Institutional {
            sp_mchid: "1900000002".into(),
            sp_appid: "wxsp".into(),
            sub_mchid: "10000097".into(),
            sub_appid: None,
        }
    }

    pub(in super::super) fn call(operation: &str, input: Value) -> Call {
        let input: Map<String, Value> = serde_json::from_value(input).unwrap();
        Call {
            operation: operation.into(),
            order_no: OrderNumber::parse("1217752501201407033233368018").unwrap(),
            input,
            amount: Some(Amount::from_minor(10_000, Currency::parse("HKD").unwrap()).unwrap()),
            timeout: Duration::from_secs(1),
        }
    }

    pub(in super::super) fn prepare(
        call: &Call,
        mode: &WechatMode,
    ) -> Result<PreparedWechat, String> {
        super::prepare(call, mode, "https://n")
    }

    pub(in super::super) fn body(prepared: &PreparedWechat) -> Value {
        serde_json::from_slice(&prepared.body).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::samples::{call, common, institutional};
    use super::*;

    fn deduction() -> Value {
        json!({
            "description": "Image store-Shenzhen Tengda-QQ Doll",
            "attach": "Custom data",
            "goods_tag": "WXG",
            "merchant_category_code": "1011",
            "contract_id": "Wx15463511252015071056489715",
            "device_ip": "59.37.125.32",
            "device_id": "013467007045764",
        })
    }

    #[test]
    fn the_documented_sample_comes_out_as_documented() {
        let notify = "https://wxpay.wxutil.com/pub_v2/pay/notify.v2.php";
        let prepared = prepare(&call("deduct", deduction()), &common(), notify).unwrap();
        let body: Value = serde_json::from_slice(&prepared.body).unwrap();
        let sample = json!({
            "appid": "wxcbda96de0b165486",
            "description": "Image store-Shenzhen Tengda-QQ Doll",
            "attach": "Custom data",
            "notify_url": "https://wxpay.wxutil.com/pub_v2/pay/notify.v2.php",
            "out_trade_no": "1217752501201407033233368018",
            "goods_tag": "WXG",
            "merchant_category_code": "1011",
            "contract_id": "Wx15463511252015071056489715",
            "amount": { "total": 10000, "currency": "HKD" },
            "scene_info": { "device_ip": "59.37.125.32", "device_id": "013467007045764" }
        });
        assert_eq!(body, sample);
        assert_eq!(
            prepare(&call("deduct", deduction()), &common(), notify).unwrap(),
            prepared
        );
    }

    #[test]
    fn an_institution_names_itself_and_its_sub_merchant_in_bodies_and_queries() {
        let prepared =
            prepare(&call("deduct", deduction()), &institutional(), "https://n").unwrap();
        let body: Value = serde_json::from_slice(&prepared.body).unwrap();
        assert_eq!(
            (&body["sp_appid"], &body["sub_mchid"]),
            (&json!("wxsp"), &json!("10000097"))
        );
        assert_eq!((body.get("appid"), body.get("sub_appid")), (None, None));
        let target = |operation, input| {
            prepare(&call(operation, input), &institutional(), "https://n")
                .unwrap()
                .target
        };
        assert!(
            target("transaction", json!({}))
                .ends_with("/1217752501201407033233368018?sub_mchid=10000097")
        );
        assert!(
            target("contract", json!({ "contract_id": "C-1" }))
                .ends_with("/C-1?sp_appid=wxsp&sub_mchid=10000097")
        );
    }

    #[test]
    fn a_query_goes_by_the_order_another_order_or_the_gateways_number() {
        let target = |input| {
            prepare(&call("transaction", input), &common(), "")
                .unwrap()
                .target
        };
        let base = "/v3/global/papay/transactions";
        assert_eq!(
            target(json!({})),
            format!("{base}/out-trade-no/1217752501201407033233368018")
        );
        assert_eq!(
            target(json!({ "out_trade_no": "A/1" })),
            format!("{base}/out-trade-no/A%2F1")
        );
        assert_eq!(
            target(json!({ "transaction_id": "42" })),
            format!("{base}/42")
        );
        let contract = prepare(
            &call("contract", json!({ "contract_id": "C-1" })),
            &common(),
            "",
        )
        .unwrap();
        assert_eq!(
            contract.target,
            "/v3/global/papay/contracts/C-1?appid=wxcbda96de0b165486"
        );
    }

    #[test]
    fn what_cannot_be_prepared_says_why() {
        let refused =
            |operation, input| prepare(&call(operation, input), &common(), "").unwrap_err();
        assert!(refused("pay", json!({})).contains("deduct, transaction, contract"));
        assert_eq!(refused("deduct", json!({})), "the call has no description");
        assert!(refused("contract", json!({ "contract_id": ".." })).contains("no id"));
        let mut free = call("deduct", deduction());
        free.amount = None;
        assert_eq!(
            prepare(&free, &common(), "").unwrap_err(),
            "a deduction has an amount"
        );
    }
}
