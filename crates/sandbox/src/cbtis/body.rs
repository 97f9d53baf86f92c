//! Bodies as CBTIS reads them, checked against the documented tables (refunds: by analogy).

use serde::Deserialize;

use super::CbtisRefusal;
use crate::shared::json_body;
use crate::shared::transactions::{TransactionKind, TransactionRequest};
use payrun_domain::money::{Amount, Currency};

#[derive(Debug, Deserialize)]
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
struct Method {
    #[serde(rename = "type")]
    kind: String,
    wechat: Wechat,
}

#[derive(Debug, Deserialize)]
struct Wechat {
    flow: String,
    sub_appid: Option<String>,
    sub_openid: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RefundBody {
    payment_order_id: Option<String>,
    merchant_payment_order_id: Option<String>,
    merchant_refund_id: String,
    amount: String,
}

#[derive(Debug, Deserialize)]
struct PaymentQuery {
    order_id: Option<String>,
    merchant_order_id: Option<String>,
    refund_id: Option<String>,
    merchant_refund_id: Option<String>,
}

/// A refund: which payment it is of, and how much of it in main units of the payment's currency.
#[derive(Debug)]
pub(super) struct Refund {
    pub of: PaymentId,
    number: String,
    amount: String,
    body: Vec<u8>,
}

impl Refund {
    /// What is asked for, of a payment in this currency.
    pub(super) fn asked(
        self,
        of: String,
        currency: &str,
    ) -> Result<TransactionRequest, CbtisRefusal> {
        Ok(TransactionRequest {
            kind: TransactionKind::Refund,
            minor: amount(&self.amount, currency)?.minor(),
            number: self.number,
            of,
            currency: currency.to_owned(),
            body: self.body,
            waits: true,
        })
    }
}

/// By whose number something is asked for.
#[derive(Debug)]
pub(super) enum PaymentId {
    Ours(String),
    Theirs(String),
}

/// The flows of the pages.
const FLOWS: [&str; 4] = ["official_account", "mini_program", "qrcode", "mobile_web"];

/// A payment intent.
pub(super) fn payment(bytes: &[u8]) -> Result<TransactionRequest, CbtisRefusal> {
    let body: Payment = read(bytes)?;
    if body.payment_method.kind != "wechat"
        || !FLOWS.contains(&body.payment_method.wechat.flow.as_str())
    {
        return Err(CbtisRefusal::param("wrong_method"));
    }
    let method = &body.payment_method.wechat;
    if method.flow == "mini_program" && (method.sub_appid.is_none() || method.sub_openid.is_none())
    {
        return Err(CbtisRefusal::param("missing_parameter"));
    }
    if body.description.is_empty()
        || body
            .notify_url
            .is_some_and(|url| !url.starts_with("https://"))
    {
        return Err(CbtisRefusal::param("wrong_text"));
    }
    if body
        .settlement_currency
        .is_some_and(|code| Currency::parse(&code).is_err())
    {
        return Err(CbtisRefusal::param("unknown_currency"));
    }
    let amount = amount(&body.amount, &body.currency)?;
    Ok(TransactionRequest {
        kind: TransactionKind::Payment,
        number: number(body.merchant_order_id)?,
        of: String::new(),
        currency: body.currency,
        minor: amount.minor(),
        body: bytes.to_vec(),
        waits: true,
    })
}

/// A refund.
pub(super) fn refund(bytes: &[u8]) -> Result<Refund, CbtisRefusal> {
    let body: RefundBody = read(bytes)?;
    let of = match (body.merchant_payment_order_id, body.payment_order_id) {
        (Some(ours), _) => PaymentId::Ours(ours),
        (None, Some(theirs)) => PaymentId::Theirs(theirs),
        (None, None) => return Err(CbtisRefusal::param("no_number")),
    };
    Ok(Refund {
        of,
        number: number(body.merchant_refund_id)?,
        amount: body.amount,
        body: bytes.to_vec(),
    })
}

/// What a query asks for.
pub(super) fn which(bytes: &[u8], kind: TransactionKind) -> Result<PaymentId, CbtisRefusal> {
    let body: PaymentQuery = read(bytes)?;
    let (ours, theirs, others) = match kind {
        TransactionKind::Payment | TransactionKind::Cancel => (
            body.merchant_order_id,
            body.order_id,
            body.merchant_refund_id.or(body.refund_id),
        ),
        TransactionKind::Refund => (
            body.merchant_refund_id,
            body.refund_id,
            body.merchant_order_id.or(body.order_id),
        ),
    };
    match (ours, theirs, others) {
        (Some(ours), _, None) => Ok(PaymentId::Ours(ours)),
        (None, Some(theirs), None) => Ok(PaymentId::Theirs(theirs)),
        (_, _, Some(_)) => Err(CbtisRefusal::param("unknown_field")),
        (None, None, None) => Err(CbtisRefusal::param("no_number")),
    }
}

pub(super) fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CbtisRefusal> {
    json_body::read(bytes).map_err(|wrong| CbtisRefusal::param(wrong.as_str()))
}

fn number(text: String) -> Result<String, CbtisRefusal> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let fits = (1..=32).contains(&text.len()) && text.bytes().all(allowed);
    if fits {
        Ok(text)
    } else {
        Err(CbtisRefusal::param("wrong_number"))
    }
}

fn amount(text: &str, currency: &str) -> Result<Amount, CbtisRefusal> {
    let currency =
        Currency::parse(currency).map_err(|_| CbtisRefusal::param("unknown_currency"))?;
    Amount::parse(text, currency).map_err(|_| CbtisRefusal::param("wrong_amount"))
}
