//! Customs declarations of HipoPay (the HipoPay document, "WeChat Pay Interface for Customs
//! Declaration" and after): what is sent, and what is read of the replies. Pure.
//!
//! HipoPay declares sub-order by sub-order, in CNY. The sub-order's number is the input's, else the
//! item's own. Amounts go as decimals, except `duty`, which is a whole number of 0.01 CNY.
//! `raw_response`, the customs' own words, is not read.

use http::Method;
use serde::Deserialize;
use serde_json::Value;

use super::request::{PreparedHipopay, ReplyKind, pair};
use super::wire::facts;
use crate::customs::{
    DeclarationIds, NamedDeclaration, RefilingMethod, SubOrderFees, card_number, duty,
};
use crate::exchange::{bounded, required, text, unreadable};
use crate::{Call, Observation};
use payrun_domain::money::{Amount, Currency, decimal_text};

/// Where declarations are made and asked about.
const DECLARATION: &str = "/wechatpay/declaration";

/// Prepares a call of this file; none if its operation is another's.
pub(super) fn prepare(call: &Call) -> Option<Result<PreparedHipopay, String>> {
    match call.operation.as_str() {
        "declare" => Some(declare(call, "ADD")),
        "declare_query" => Some(query(call)),
        "redeclare" => Some(redeclare(call)),
        _ => None,
    }
}

/// `POST /wechatpay/declaration`. To modify, HipoPay wants all parameters of the first declaration
/// again.
fn declare(call: &Call, action_type: &str) -> Result<PreparedHipopay, String> {
    let which = declaration_ids(call)?;
    let fees = SubOrderFees::of(call)?;
    let currency = fees.order.currency();
    if currency.code() != "CNY" {
        return Err(format!(
            "hipopay declares in CNY, and the amount is in {currency}"
        ));
    }
    let decimal = |minor: i64| decimal_text(i128::from(minor), currency);
    let mut params = vec![
        pair("out_order_no", which.payment()?),
        pair("payment_no", required(call, "transaction_id")?),
        pair("customs", &which.customs),
        pair("mch_customs_no", required(call, "mch_customs_no")?),
        pair("action_type", action_type),
        pair("sub_order_no", sub_order(&which)),
        pair("sub_order_amount", &fees.order.decimal()),
        pair("transport_amount", &decimal(fees.transport)),
        pair("product_amount", &decimal(fees.product)),
    ];
    params.extend(duty(call)?.map(|duty| pair("duty", &duty.to_string())));
    params.extend(person(call)?);
    Ok(prepared(Method::POST, DECLARATION, params, which))
}

/// The two fields of the identity check, which go together or not at all.
fn person(call: &Call) -> Result<Vec<(String, String)>, String> {
    match (text(call, "cert_id"), text(call, "name")) {
        (Some(cert_id), Some(name)) => Ok(vec![
            pair("cert_id", &card_number(cert_id)),
            pair("name", name),
        ]),
        (None, None) => Ok(Vec::new()),
        (Some(_), None) => Err("the call has a cert_id and no name".into()),
        (None, Some(_)) => Err("the call has a name and no cert_id".into()),
    }
}

/// `GET /wechatpay/declaration`.
fn query(call: &Call) -> Result<PreparedHipopay, String> {
    let which = declaration_ids(call)?;
    let params = vec![
        pair("sub_order_no", sub_order(&which)),
        pair("customs", &which.customs),
    ];
    Ok(prepared(Method::GET, DECLARATION, params, which))
}

/// `POST /wechatpay/redeclaration`, or the declaration once more with `MODIFY`.
fn redeclare(call: &Call) -> Result<PreparedHipopay, String> {
    match RefilingMethod::of(call)? {
        RefilingMethod::Modify => declare(call, "MODIFY"),
        RefilingMethod::Redeclare => {
            let which = declaration_ids(call)?;
            let params = vec![
                pair("sub_order_no", sub_order(&which)),
                pair("customs", &which.customs),
                pair("mch_customs_no", required(call, "mch_customs_no")?),
            ];
            Ok(prepared(
                Method::POST,
                "/wechatpay/redeclaration",
                params,
                which,
            ))
        }
    }
}

/// Every declaration is of a sub-order here, so the payment's number is the input's or not known.
fn declaration_ids(call: &Call) -> Result<DeclarationIds, String> {
    let which = DeclarationIds::of(call)?;
    let sub_order_no = which
        .sub_order_no
        .or_else(|| Some(call.order_no.as_str().to_owned()));
    Ok(DeclarationIds {
        out_trade_no: text(call, "out_trade_no").map(str::to_owned),
        sub_order_no,
        ..which
    })
}

fn sub_order(which: &DeclarationIds) -> &str {
    which.sub_order_no.as_deref().unwrap_or_default()
}

fn prepared(
    method: Method,
    path: &'static str,
    params: Vec<(String, String)>,
    which: DeclarationIds,
) -> PreparedHipopay {
    PreparedHipopay {
        method,
        path,
        params,
        reply: ReplyKind::Customs(which),
    }
}

/// The `response` of all three. The amount is decimal, as text or as a JSON number.
#[derive(Debug, Deserialize)]
struct Declaration {
    out_order_no: Option<String>,
    payment_no: Option<String>,
    customs: Option<String>,
    wechatpay_no: Option<String>,
    state: String,
    modify_time: Option<String>,
    ver_dept: Option<String>,
    pay_transaction_id: Option<String>,
    sub_order_no: Option<String>,
    sub_order_amount: Option<Value>,
    cert_check_result: Option<String>,
    explanation: Option<String>,
}

/// Reads the `response` of a reply into what was observed. A redeclaration's names no sub-order: no
/// number is reported then.
///
/// # Errors
/// In words: it is not of the documented shape, or speaks of something else.
pub(super) fn read(
    response: Value,
    which: &DeclarationIds,
    seen: &mut Observation,
) -> Result<(), String> {
    let said: Declaration = serde_json::from_value(response).map_err(|error| unreadable(&error))?;
    let named = NamedDeclaration {
        customs: said.customs.as_deref(),
        out_trade_no: said.out_order_no.as_deref(),
        transaction_id: said.payment_no.as_deref(),
        sub_order_no: said.sub_order_no.as_deref(),
    };
    which.check(&named)?;
    seen.order_no = which.number(&named);
    seen.amount = said.sub_order_amount.as_ref().and_then(amount);
    seen.state = Some(bounded(said.state, 64));
    // The department's number is documented for a declaration's reply only.
    seen.result = facts([
        ("cert_check_result", said.cert_check_result),
        ("verify_department", said.ver_dept),
        (
            "verify_department_trade_id",
            said.pay_transaction_id.clone(),
        ),
        ("modify_time", said.modify_time),
        ("explanation", said.explanation),
        ("customs", Some(which.customs.clone())),
    ]);
    seen.receipt = said
        .pay_transaction_id
        .filter(|id| !id.is_empty())
        .or(said.wechatpay_no);
    Ok(())
}

/// A JSON number is taken by its shortest decimal text, which is what was written for any amount of
/// money.
fn amount(value: &Value) -> Option<Result<Amount, String>> {
    let text = match value {
        Value::Null => return None,
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Some(Err("sub_order_amount is no amount".into()));
        }
    };
    let cny = Currency::parse("CNY").map_err(|error| error.to_string());
    Some(cny.and_then(|cny| Amount::of_gateway(&text, cny).map_err(|error| error.to_string())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Delivery;

    fn ours() -> DeclarationIds {
        DeclarationIds {
            out_trade_no: Some("P-1".into()),
            transaction_id: Some("2018".into()),
            sub_order_no: Some("S-1".into()),
            customs: "SHENZHEN".into(),
        }
    }

    fn seen(response: Value) -> Result<Observation, String> {
        let mut seen = Observation::of(Delivery::Replied);
        read(response, &ours(), &mut seen).map(|()| seen)
    }

    #[test]
    fn an_amount_is_exact_as_text_and_as_a_number() {
        let minor = |amount: Value| {
            let said = seen(
                json!({ "state": "SUCCESS", "sub_order_no": "S-1", "sub_order_amount": amount }),
            )
            .unwrap();
            said.amount.map(|amount| amount.map(Amount::minor).ok())
        };
        assert_eq!(
            (minor(json!("46.44")), minor(json!(46.44))),
            (Some(Some(4644)), Some(Some(4644)))
        );
        assert_eq!(
            (minor(json!(46)), minor(Value::Null)),
            (Some(Some(4600)), None)
        );
        assert_eq!(
            (minor(json!(46.444)), minor(json!(true))),
            (Some(None), Some(None))
        );
    }

    #[test]
    fn a_reply_about_another_customs_or_payment_is_not_read() {
        let said = |field: &str, value: &str| {
            let mut response = json!({ "state": "SUCCESS", "customs": "SHENZHEN", "payment_no": "2018", "sub_order_no": "S-1" });
            response[field] = json!(value);
            seen(response)
        };
        assert!(said("customs", "SHENZHEN").is_ok());
        assert!(
            said("customs", "NINGBO")
                .unwrap_err()
                .contains("another customs")
        );
        assert!(
            said("payment_no", "2019")
                .unwrap_err()
                .contains("another payment")
        );
        assert!(
            said("sub_order_no", "S-2")
                .unwrap_err()
                .contains("another sub-order")
        );
        assert!(
            seen(json!({ "customs": "SHENZHEN" }))
                .unwrap_err()
                .contains("documented shape")
        );
    }
}
