//! From a call of the port to path and body; every call is a POST of JSON. Pure: one call and one
//! account always give the same bytes.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::customs;
use crate::Call;
use crate::cbtis::account::CbtisConfig;
use crate::customs::DeclarationIds;
use crate::exchange::{required, text};

/// A request before the token is put on it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PreparedCbtis {
    pub path: String,
    pub body: Bytes,
    pub about: ReplyData,
}

/// What the `data` of a reply holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReplyData {
    Payment,
    Refund,
    /// The declaration that was asked for.
    Customs(DeclarationIds),
}

/// Prepares a call.
///
/// # Errors
/// In words, if the call is not one of this gateway or lacks something; nothing can be sent then.
pub(super) fn prepare(call: &Call, config: &CbtisConfig) -> Result<PreparedCbtis, String> {
    match call.operation.as_str() {
        "payment_create" => create(call, config),
        "payment_query" => query(call),
        "refund" => refund(call, config),
        "refund_query" => refund_query(call, config),
        other => customs::prepare(call, &config.customs).unwrap_or_else(|| {
            Err(format!(
                "cbtis has no operation {other:?}; it has payment_create, payment_query, refund, refund_query, declare, declare_query and redeclare"
            ))
        }),
    }
}

/// `POST …/payment_intents/create` (the CBTIS document, "Initialize a Payment Intent").
fn create(call: &Call, config: &CbtisConfig) -> Result<PreparedCbtis, String> {
    let amount = call.amount.ok_or("a payment has an amount")?;
    let flow = text(call, "flow").unwrap_or("official_account");
    if !["official_account", "mini_program", "qrcode", "mobile_web"].contains(&flow) {
        return Err("flow is none of official_account, mini_program, qrcode and mobile_web".into());
    }
    let mut method = Map::from_iter([("flow".to_owned(), Value::from(flow))]);
    for name in ["success_url", "failed_url", "canceled_url"] {
        method.extend(text(call, name).map(|url| (name.to_owned(), url.into())));
    }
    if flow == "mini_program" {
        method.insert("sub_appid".to_owned(), required(call, "appid")?.into());
        method.insert("sub_openid".to_owned(), required(call, "openid")?.into());
    }
    let mut body = json!({
        "amount": amount.decimal(),
        "currency": amount.currency().code(),
        "merchant_order_id": call.order_no.as_str(),
        "payment_method": { "type": "wechat", "wechat": method },
        "description": required(call, "description")?,
        "notify_url": config.notify_url,
    });
    if let Some(settlement) = text(call, "settlement_currency") {
        body["settlement_currency"] = settlement.into();
    }
    prepared(CREATE, &body, ReplyData::Payment)
}

/// `POST …/payment_intents/query`, by CBTIS's number where the input has one, else by ours.
fn query(call: &Call) -> Result<PreparedCbtis, String> {
    let body = match text(call, "transaction_id") {
        Some(id) => json!({ "order_id": id }),
        None => {
            json!({ "merchant_order_id": text(call, "out_trade_no").unwrap_or(call.order_no.as_str()) })
        }
    };
    prepared(QUERY, &body, ReplyData::Payment)
}

/// A refund (docs.globalcbtis.com, "Refunds"): the payment by one of its numbers, our number, the
/// amount, in the payment's currency, and nothing else.
fn refund(call: &Call, config: &CbtisConfig) -> Result<PreparedCbtis, String> {
    let amount = call.amount.ok_or("a refund has an amount")?;
    let mut body = match text(call, "transaction_id") {
        Some(id) => json!({ "payment_order_id": id }),
        None => json!({ "merchant_payment_order_id": required(call, "out_trade_no")? }),
    };
    body["merchant_refund_id"] = call.order_no.as_str().into();
    body["amount"] = amount.decimal().into();
    if let Some(reason) = text(call, "reason") {
        body["reason"] = reason.into();
    }
    prepared(&config.refund_path, &body, ReplyData::Refund)
}

/// What became of a refund.
fn refund_query(call: &Call, config: &CbtisConfig) -> Result<PreparedCbtis, String> {
    let body = match text(call, "refund_id") {
        Some(id) => json!({ "refund_id": id }),
        None => json!({ "merchant_refund_id": call.order_no.as_str() }),
    };
    prepared(&config.refund_query_path, &body, ReplyData::Refund)
}

/// Where payment intents are made.
const CREATE: &str = "/mch-api/v1/pa/payment_intents/create";
/// Where they are asked about.
pub(super) const QUERY: &str = "/mch-api/v1/pa/payment_intents/query";

pub(super) fn prepared(
    path: &str,
    body: &Value,
    about: ReplyData,
) -> Result<PreparedCbtis, String> {
    let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
    Ok(PreparedCbtis {
        path: path.to_owned(),
        body: body.into(),
        about,
    })
}
