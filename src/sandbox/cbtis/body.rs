//! Bodies as CBTIS reads them, checked against the documented tables (refunds: by analogy).

use serde::Deserialize;

use super::Refused;
use crate::domain::money::{Amount, Currency};
use crate::sandbox::till::{Asked, Sort};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payment {
    amount: String,
    currency: String,
    settlement_currency: Option<String>,
    merchant_order_id: String,
    payment_method: Method,
    description: String,
    notify_url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Method {
    #[serde(rename = "type")]
    kind: String,
    wechat: Wechat,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wechat {
    flow: String,
    #[serde(rename = "success_url")]
    _success_url: Option<String>,
    #[serde(rename = "failed_url")]
    _failed_url: Option<String>,
    #[serde(rename = "canceled_url")]
    _canceled_url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RefundBody {
    order_id: Option<String>,
    merchant_order_id: Option<String>,
    merchant_refund_id: String,
    amount: String,
    currency: String,
    #[serde(rename = "reason")]
    _reason: Option<String>,
    #[serde(rename = "notify_url")]
    _notify_url: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    order_id: Option<String>,
    merchant_order_id: Option<String>,
    refund_id: Option<String>,
    merchant_refund_id: Option<String>,
}

/// A refund, and which payment it is of.
#[derive(Debug)]
pub(super) struct Refund {
    pub order_id: Option<String>,
    pub merchant_order_id: Option<String>,
    pub asked: Asked,
}

/// By whose number something is asked for.
#[derive(Debug)]
pub(super) enum Which {
    Ours(String),
    Theirs(String),
}

/// The flows that were seen (gateways.md 0a, 6).
const FLOWS: [&str; 3] = ["official_account", "qrcode", "mobile_web"];

/// A payment intent.
pub(super) fn payment(bytes: &[u8]) -> Result<Asked, Refused> {
    let body: Payment = read(bytes)?;
    if body.payment_method.kind != "wechat" || !FLOWS.contains(&body.payment_method.wechat.flow.as_str()) {
        return Err(Refused::param("wrong_method"));
    }
    if body.description.is_empty() || body.notify_url.is_some_and(|url| !url.starts_with("https://")) {
        return Err(Refused::param("wrong_text"));
    }
    if body.settlement_currency.is_some_and(|code| Currency::parse(&code).is_err()) {
        return Err(Refused::param("unknown_currency"));
    }
    let amount = amount(&body.amount, &body.currency)?;
    Ok(Asked {
        sort: Sort::Payment,
        number: number(body.merchant_order_id)?,
        of: String::new(),
        currency: body.currency,
        minor: amount.minor(),
        body: bytes.to_vec(),
        waits: true,
    })
}

/// A refund.
pub(super) fn refund(bytes: &[u8]) -> Result<Refund, Refused> {
    let body: RefundBody = read(bytes)?;
    let amount = amount(&body.amount, &body.currency)?;
    let asked = Asked {
        sort: Sort::Refund,
        number: number(body.merchant_refund_id)?,
        of: String::new(),
        currency: body.currency,
        minor: amount.minor(),
        body: bytes.to_vec(),
        waits: true,
    };
    Ok(Refund { order_id: body.order_id, merchant_order_id: body.merchant_order_id, asked })
}

/// What a query asks for.
pub(super) fn which(bytes: &[u8], sort: Sort) -> Result<Which, Refused> {
    let body: Query = read(bytes)?;
    let (ours, theirs, others) = match sort {
        Sort::Payment | Sort::Cancel => {
            (body.merchant_order_id, body.order_id, body.merchant_refund_id.or(body.refund_id))
        }
        Sort::Refund => (body.merchant_refund_id, body.refund_id, body.merchant_order_id.or(body.order_id)),
    };
    match (ours, theirs, others) {
        (Some(ours), _, None) => Ok(Which::Ours(ours)),
        (None, Some(theirs), None) => Ok(Which::Theirs(theirs)),
        (_, _, Some(_)) => Err(Refused::param("unknown_field")),
        (None, None, None) => Err(Refused::param("no_number")),
    }
}

pub(super) fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Refused> {
    serde_json::from_slice(bytes).map_err(|error| {
        let text = error.to_string();
        if text.starts_with("missing field") {
            Refused::param("missing_field")
        } else if text.starts_with("unknown field") {
            Refused::param("unknown_field")
        } else {
            Refused::param("wrong_type")
        }
    })
}

fn number(text: String) -> Result<String, Refused> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let fits = (1..=32).contains(&text.len()) && text.bytes().all(allowed);
    if fits { Ok(text) } else { Err(Refused::param("wrong_number")) }
}

fn amount(text: &str, currency: &str) -> Result<Amount, Refused> {
    let currency = Currency::parse(currency).map_err(|_| Refused::param("unknown_currency"))?;
    Amount::parse(text, currency).map_err(|_| Refused::param("wrong_amount"))
}
