//! Orders of every kind: looking one up, quick pay, withdrawing, and ending a contract
//! (docs/gateways/wechat.md, "Requests"). Says what goes on the wire and nothing else.
//!
//! A payment code is worth money for a minute: it is in the body and nowhere else.

use serde::Serialize;

use super::merchant_ids::MerchantIdFields;
use super::request::{PreparedWechat, ReplyKind, segment};
use super::wire::AmountTotal;
use crate::Call;
use crate::exchange::{required, text};
use crate::wechat::account::WechatMode;

/// Which calls know an order. Whether those of orders also find deductions is not documented \[C\],
/// so that an order is missing only if both say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OrderFamily {
    /// `/v3/global/transactions/…`: orders that a payer makes.
    Order,
    /// `/v3/global/papay/transactions/…`: deductions.
    Deduction,
}

/// Where an order that somebody names may be, the likelier place first: one of a kind that the
/// input says or, lacking that, as payrun's own are.
pub(super) fn families(call: &Call) -> &'static [OrderFamily] {
    match (call.operation.as_str(), text(call, "way")) {
        ("order_query", Some("order")) => &[OrderFamily::Order],
        ("order_query", Some(_)) => &[OrderFamily::Deduction],
        ("order_query", None) | (_, Some("deduction")) => {
            &[OrderFamily::Deduction, OrderFamily::Order]
        }
        (_, Some(_) | None) => &[OrderFamily::Order, OrderFamily::Deduction],
    }
}

/// `GET` of an order, by the gateway's number where the input has one, else by ours.
pub(super) fn query(
    call: &Call,
    mode: &WechatMode,
    family: OrderFamily,
) -> Result<PreparedWechat, String> {
    let number = || {
        segment(
            "out_trade_no",
            text(call, "out_trade_no").unwrap_or(call.order_no.as_str()),
        )
    };
    let id = text(call, "transaction_id")
        .map(|id| segment("transaction_id", id))
        .transpose()?;
    let target = match (family, id) {
        (OrderFamily::Order, Some(id)) => {
            MerchantIdFields::of_merchants(mode).on(&format!("{ORDERS}/id/{id}"), &[])
        }
        (OrderFamily::Order, None) => MerchantIdFields::of_merchants(mode)
            .on(&format!("{ORDERS}/out-trade-no/{}", number()?), &[]),
        (OrderFamily::Deduction, Some(id)) => {
            MerchantIdFields::of_deduction(mode).on(&format!("{DEDUCTIONS}/{id}"), &[])
        }
        (OrderFamily::Deduction, None) => MerchantIdFields::of_deduction(mode)
            .on(&format!("{DEDUCTIONS}/out-trade-no/{}", number()?), &[]),
    };
    Ok(PreparedWechat::get(target, ReplyKind::Transaction))
}

const ORDERS: &str = "/v3/global/transactions";
const DEDUCTIONS: &str = "/v3/global/papay/transactions";

/// `POST /v3/global/micropay/transactions/pay`: the payer shows a code.
pub(super) fn micropay(call: &Call, mode: &WechatMode) -> Result<PreparedWechat, String> {
    let amount = call.amount.ok_or("a payment has an amount")?;
    let body = Micropay {
        ids: MerchantIdFields::of_merchants_and_apps(mode),
        out_trade_no: call.order_no.as_str(),
        merchant_category_code: required(call, "merchant_category_code")?,
        payer: Payer {
            auth_code: required(call, "auth_code")?,
        },
        trade_type: "MICROPAY",
        amount: AmountTotal {
            total: amount.minor(),
            currency: amount.currency().code(),
        },
        attach: text(call, "attach"),
        description: required(call, "description")?,
        goods_tag: text(call, "goods_tag"),
        scene_info: SceneInfo::of(call)?,
    };
    PreparedWechat::post(
        "/v3/global/micropay/transactions/pay".into(),
        &body,
        ReplyKind::Transaction,
    )
}

/// Withdraws an order. Which way it goes is the input's `way`: `close` what was not paid, `reverse`
/// a quick payment, or reverse a `deduction`, which closes one that was not paid.
pub(super) fn cancel(call: &Call, mode: &WechatMode) -> Result<PreparedWechat, String> {
    let order = named(call)?;
    let order = order
        .as_deref()
        .ok_or("the call has neither transaction_id nor out_trade_no")?;
    let ids = MerchantIdFields::of_merchants(mode);
    match text(call, "way").unwrap_or("close") {
        "close" => {
            PreparedWechat::post(format!("{ORDERS}/{order}/close"), &ids, ReplyKind::Nothing)
        }
        "reverse" => PreparedWechat::post(
            format!("/v3/global/micropay/transactions/{order}/reverse"),
            &ids,
            ReplyKind::Nothing,
        ),
        "deduction" => {
            let number = segment("out_trade_no", required(call, "out_trade_no")?)?;
            let target = format!("{DEDUCTIONS}/out-trade-no/{number}/reverse");
            match mode {
                WechatMode::Common { mchid: _, appid: _ } => Ok(PreparedWechat {
                    method: http::Method::POST,
                    ..PreparedWechat::get(target, ReplyKind::Nothing)
                }),
                WechatMode::Institutional { .. } => PreparedWechat::post(
                    target,
                    &MerchantIdFields::of_deduction(mode),
                    ReplyKind::Nothing,
                ),
            }
        }
        other => Err(format!(
            "way is {other:?}; it is one of close, reverse and deduction"
        )),
    }
}

/// `POST /v3/global/papay/contracts/{contract_id}/terminate`.
pub(super) fn terminate(call: &Call, mode: &WechatMode) -> Result<PreparedWechat, String> {
    let id = segment("contract_id", required(call, "contract_id")?)?;
    let body = Termination {
        ids: MerchantIdFields::of_contract(mode),
        termination_note: required(call, "reason")?,
    };
    PreparedWechat::post(
        format!("/v3/global/papay/contracts/{id}/terminate"),
        &body,
        ReplyKind::Nothing,
    )
}

/// The path of the order the input names, if it names one.
fn named(call: &Call) -> Result<Option<String>, String> {
    match (text(call, "transaction_id"), text(call, "out_trade_no")) {
        (Some(id), _) => Ok(Some(format!("id/{}", segment("transaction_id", id)?))),
        (None, Some(number)) => Ok(Some(format!(
            "out-trade-no/{}",
            segment("out_trade_no", number)?
        ))),
        (None, None) => Ok(None),
    }
}

#[derive(Serialize)]
struct Micropay<'a> {
    #[serde(flatten)]
    ids: MerchantIdFields<'a>,
    out_trade_no: &'a str,
    merchant_category_code: &'a str,
    payer: Payer<'a>,
    trade_type: &'static str,
    amount: AmountTotal,
    #[serde(skip_serializing_if = "Option::is_none")]
    attach: Option<&'a str>,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    goods_tag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scene_info: Option<SceneInfo<'a>>,
}

#[derive(Serialize)]
struct Payer<'a> {
    auth_code: &'a str,
}

#[derive(Serialize)]
struct SceneInfo<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    payer_client_ip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_ip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_info: Option<Store<'a>>,
}

#[derive(Serialize)]
struct Store<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    name: &'a str,
    address: &'a str,
}

impl<'a> SceneInfo<'a> {
    /// What the input says of the scene, if anything. Of a store, name and address are sent, or
    /// nothing.
    fn of(call: &'a Call) -> Result<Option<Self>, String> {
        let fields = ["payer_client_ip", "device_ip", "device_id", "operator_id"];
        let [payer_client_ip, device_ip, device_id, operator_id] =
            fields.map(|field| text(call, field));
        let given = ["store_id", "store_name", "store_address"]
            .iter()
            .any(|field| text(call, field).is_some());
        let store = || {
            let (name, address) = (
                required(call, "store_name")?,
                required(call, "store_address")?,
            );
            Ok::<_, String>(Store {
                id: text(call, "store_id"),
                name,
                address,
            })
        };
        let store_info = given.then(store).transpose()?;
        let any = payer_client_ip
            .or(device_ip)
            .or(device_id)
            .or(operator_id)
            .is_some()
            || store_info.is_some();
        Ok(any.then_some(Self {
            payer_client_ip,
            device_ip,
            device_id,
            operator_id,
            store_info,
        }))
    }
}

#[derive(Serialize)]
struct Termination<'a> {
    #[serde(flatten)]
    ids: MerchantIdFields<'a>,
    termination_note: &'a str,
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use super::*;
    use crate::wechat::request::samples::{body, call, common, institutional, prepare};

    fn quick_pay() -> Value {
        json!({
            "auth_code": "134650720866361395",
            "merchant_category_code": "4111",
            "attach": "Payment Test",
            "description": "Image Store - Tencent Building in Shenzhen - QQ Doll",
            "goods_tag": "1234",
            "payer_client_ip": "14.23.150.211",
            "device_ip": "59.37.125.32",
            "device_id": "013467007045764",
            "operator_id": "P001",
            "store_id": "SZTX001",
            "store_name": "Image Store",
            "store_address": "1 Sea Road, Shenzhen",
        })
    }

    #[test]
    fn the_documented_quick_payment_comes_out_as_documented() {
        let prepared = prepare(&call("micropay", quick_pay()), &institutional()).unwrap();
        assert_eq!(
            (prepared.method.as_str(), prepared.target.as_str()),
            ("POST", "/v3/global/micropay/transactions/pay")
        );
        let sample = json!({
            "sp_appid": "wxsp",
            "sp_mchid": "1900000002",
            "sub_mchid": "10000097",
            "out_trade_no": "1217752501201407033233368018",
            "merchant_category_code": "4111",
            "payer": { "auth_code": "134650720866361395" },
            "trade_type": "MICROPAY",
            "amount": { "total": 10000, "currency": "HKD" },
            "attach": "Payment Test",
            "description": "Image Store - Tencent Building in Shenzhen - QQ Doll",
            "goods_tag": "1234",
            "scene_info": {
                "payer_client_ip": "14.23.150.211",
                "device_ip": "59.37.125.32",
                "device_id": "013467007045764",
                "operator_id": "P001",
                "store_info": { "id": "SZTX001", "name": "Image Store", "address": "1 Sea Road, Shenzhen" },
            },
        });
        assert_eq!(body(&prepared), sample);
        assert_eq!(
            prepare(&call("micropay", quick_pay()), &institutional()).unwrap(),
            prepared
        );
        let ours = body(&prepare(&call("micropay", quick_pay()), &common()).unwrap());
        assert_eq!(
            (&ours["mchid"], &ours["appid"]),
            (&json!("1900000001"), &json!("wxcbda96de0b165486"))
        );
        assert_eq!(ours.get("sp_mchid"), None);
    }

    #[test]
    fn an_order_is_asked_for_by_its_own_another_or_the_gateways_number() {
        let target = |input| {
            prepare(&call("order", input), &institutional())
                .unwrap()
                .target
        };
        let (base, ids) = (
            "/v3/global/transactions",
            "sp_mchid=1900000002&sub_mchid=10000097",
        );
        assert_eq!(
            target(json!({})),
            format!("{base}/out-trade-no/1217752501201407033233368018?{ids}")
        );
        assert_eq!(
            target(json!({ "out_trade_no": "A/1" })),
            format!("{base}/out-trade-no/A%2F1?{ids}")
        );
        assert_eq!(
            target(json!({ "transaction_id": "4200123456789000", "out_trade_no": "A" })),
            format!("{base}/id/4200123456789000?{ids}")
        );
    }

    #[test]
    fn an_order_is_missing_only_where_every_call_that_may_know_it_says_so() {
        let asked = |operation, input| families(&call(operation, input)).to_vec();
        let (order, deduction) = (OrderFamily::Order, OrderFamily::Deduction);
        assert_eq!(asked("any_order", json!({})), [order, deduction]);
        assert_eq!(
            asked("any_order", json!({ "way": "reverse" })),
            [order, deduction]
        );
        assert_eq!(
            asked("any_order", json!({ "way": "deduction" })),
            [deduction, order]
        );
        assert_eq!(asked("order_query", json!({})), [deduction, order]);
        assert_eq!(asked("order_query", json!({ "way": "order" })), [order]);
        assert_eq!(
            asked("order_query", json!({ "way": "deduction" })),
            [deduction]
        );
    }

    #[test]
    fn the_documented_revocation_comes_out_as_documented() {
        let input = json!({ "way": "reverse", "out_trade_no": "YX001" });
        let prepared = prepare(&call("cancel", input), &institutional()).unwrap();
        assert_eq!(
            prepared.target,
            "/v3/global/micropay/transactions/out-trade-no/YX001/reverse"
        );
        assert_eq!(
            body(&prepared),
            json!({ "sp_mchid": "1900000002", "sub_mchid": "10000097" })
        );
    }

    #[test]
    fn an_order_is_withdrawn_in_one_of_three_ways() {
        let made = |input| prepare(&call("cancel", input), &common()).unwrap();
        let closed = made(json!({ "transaction_id": "42" }));
        assert_eq!(
            (closed.target.as_str(), closed.reply.clone()),
            ("/v3/global/transactions/id/42/close", ReplyKind::Nothing)
        );
        assert_eq!(body(&closed), json!({ "mchid": "1900000001" }));
        let deduction = made(json!({ "way": "deduction", "out_trade_no": "D-1" }));
        assert_eq!((deduction.method, deduction.body.len()), (Method::POST, 0));
        assert_eq!(
            deduction.target,
            "/v3/global/papay/transactions/out-trade-no/D-1/reverse"
        );
        let input = json!({ "way": "deduction", "out_trade_no": "D-1" });
        let institution = prepare(&call("cancel", input), &institutional()).unwrap();
        assert_eq!(
            institution.target,
            "/v3/global/papay/transactions/out-trade-no/D-1/reverse"
        );
        assert_eq!(body(&institution), json!({ "sub_mchid": "10000097" }));
    }

    #[test]
    fn a_contract_is_ended_with_a_note() {
        let input = json!({ "contract_id": "Wx1/2", "reason": "moved out" });
        let prepared = prepare(&call("terminate", input), &institutional()).unwrap();
        assert_eq!(
            prepared.target,
            "/v3/global/papay/contracts/Wx1%2F2/terminate"
        );
        assert_eq!(
            body(&prepared),
            json!({ "sub_mchid": "10000097", "sp_appid": "wxsp", "termination_note": "moved out" })
        );
    }

    #[test]
    fn what_cannot_be_asked_for_says_why_and_never_says_the_code() {
        let refused = |operation, input| prepare(&call(operation, input), &common()).unwrap_err();
        assert_eq!(
            refused("cancel", json!({})),
            "the call has neither transaction_id nor out_trade_no"
        );
        assert!(
            refused("cancel", json!({ "out_trade_no": "A", "way": "void" }))
                .contains("close, reverse and deduction")
        );
        assert_eq!(
            refused(
                "cancel",
                json!({ "transaction_id": "1", "way": "deduction" })
            ),
            "the call has no out_trade_no"
        );
        assert_eq!(
            refused("terminate", json!({ "contract_id": "C" })),
            "the call has no reason"
        );
        assert_eq!(
            refused("micropay", json!({ "auth_code": "13465" })),
            "the call has no merchant_category_code"
        );
        assert_eq!(
            refused("micropay", json!({ "merchant_category_code": "1" })),
            "the call has no auth_code"
        );
    }
}
