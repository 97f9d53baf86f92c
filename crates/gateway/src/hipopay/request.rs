//! From a call of the port to parameters. Pure: one call and one account always give the same
//! parameters.
//!
//! A refund always carries its amount: HipoPay refunds the whole payment if there is none (the
//! HipoPay document, "Refund").

use http::Method;
use serde_json::{Map, Value};

use super::customs;
use crate::Call;
use crate::customs::DeclarationIds;
use crate::exchange::{required, text};
use crate::hipopay::account::HipopayConfig;
use crate::statement_file;
use payrun_domain::money::{Amount, Currency};

/// A request before it is signed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PreparedHipopay {
    pub method: Method,
    pub path: &'static str,
    pub params: Vec<(String, String)>,
    pub reply: ReplyKind,
}

/// What the `response` of a reply holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReplyKind {
    Payment(Pricing),
    /// Its amount has no currency of its own: the call's is taken.
    Refund(Option<Amount>),
    Rate,
    /// The file itself.
    Statement,
    /// The declaration that was asked for.
    Customs(DeclarationIds),
}

/// Prepares a call.
///
/// # Errors
/// In words, if the call is not one of this gateway or lacks something; nothing can be sent then.
pub(super) fn prepare(call: &Call, config: &HipopayConfig) -> Result<PreparedHipopay, String> {
    match call.operation.as_str() {
        "mini_program_payment" => mini_program_payment(call, config),
        "payment_query" => Ok(payment_query(call)),
        "refund" => refund(call),
        "refund_query" => Ok(refund_query(call)),
        "exchange_rate" => exchange_rate(call),
        "statement" => statement(call, config),
        other => customs::prepare(call).unwrap_or_else(|| {
            Err(format!(
                "hipopay has no operation {other:?}; it has mini_program_payment, payment_query, refund, refund_query, exchange_rate, statement, declare, declare_query and redeclare"
            ))
        }),
    }
}

/// What the amount of a payment is in (`is_rmb`, the HipoPay document, "Place an Order").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pricing {
    /// In the currency that stands beside it.
    Named,
    /// In CNY; beside it stands the currency of the settlement. None: of an order that was made
    /// without saying which.
    Cny(Option<Currency>),
}

impl Pricing {
    /// By the input of an order, or of a refund or lookup of one, which names the currency of
    /// settlement only.
    pub(super) fn of(input: &Map<String, Value>) -> Self {
        let text = |name| {
            input
                .get(name)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
        };
        let settlement = || text("settlement_currency").and_then(|code| Currency::parse(code).ok());
        match text("is_rmb") {
            Some("TRUE") => Self::Cny(settlement()),
            Some(_) => Self::Named,
            None => settlement().map_or(Self::Named, |settlement| Self::Cny(Some(settlement))),
        }
    }
}

/// What goes out as `amount` and `currency`.
fn price(call: &Call, pricing: Pricing) -> Result<(String, &'static str), String> {
    let amount = call.amount.ok_or("a payment has an amount")?;
    match pricing {
        Pricing::Named if text(call, "settlement_currency").is_some() => {
            Err("settlement_currency belongs to is_rmb TRUE".into())
        }
        Pricing::Named => Ok((amount.decimal(), amount.currency().code())),
        Pricing::Cny(_) if text(call, "is_rmb").is_none() => {
            Err("settlement_currency belongs to is_rmb TRUE".into())
        }
        Pricing::Cny(None) => Err(
            "is_rmb is TRUE, and the call has no settlement_currency, or none that is a currency"
                .into(),
        ),
        Pricing::Cny(Some(settlement)) if amount.currency().code() == "CNY" => {
            Ok((amount.decimal(), settlement.code()))
        }
        Pricing::Cny(Some(_)) => Err(format!(
            "is_rmb is TRUE, which makes the amount one in CNY, and it is in {}",
            amount.currency()
        )),
    }
}

/// `POST /wechatpay/mini_program/payment`. HipoPay does not ask for a signature here; ours is
/// signed all the same.
fn mini_program_payment(call: &Call, config: &HipopayConfig) -> Result<PreparedHipopay, String> {
    let pricing = Pricing::of(&call.input);
    let (amount, currency) = price(call, pricing)?;
    let mut params = vec![
        pair("merchant_no", &config.merchant_no),
        pair("out_trade_id", call.order_no.as_str()),
        pair("amount", &amount),
        pair("currency", currency),
        pair("product_info", required(call, "description")?),
        pair("appid", required(call, "appid")?),
        pair("openid", required(call, "openid")?),
        pair("client_ip", required(call, "client_ip")?),
        pair("notify_url", &config.notify_url),
    ];
    params.extend(text(call, "is_rmb").map(|is_rmb| pair("is_rmb", is_rmb)));
    let reply = ReplyKind::Payment(pricing);
    Ok(PreparedHipopay {
        method: Method::POST,
        path: "/wechatpay/mini_program/payment",
        params,
        reply,
    })
}

/// `GET /payment`, by HipoPay's number where the input has one, else by ours.
fn payment_query(call: &Call) -> PreparedHipopay {
    let which = match text(call, "transaction_id") {
        Some(id) => pair("payment_no", id),
        None => pair(
            "out_trade_id",
            text(call, "out_trade_no").unwrap_or(call.order_no.as_str()),
        ),
    };
    let reply = ReplyKind::Payment(Pricing::of(&call.input));
    PreparedHipopay {
        method: Method::GET,
        path: "/payment",
        params: vec![which],
        reply,
    }
}

/// `POST /payment_refund` of the payment that the input names by HipoPay's number
/// (`transaction_id`).
fn refund(call: &Call) -> Result<PreparedHipopay, String> {
    let amount = call
        .amount
        .ok_or("a refund has an amount: without one HipoPay would refund the whole payment")?;
    let params = vec![
        pair("payment_no", required(call, "transaction_id")?),
        pair("out_refund_id", call.order_no.as_str()),
        pair("refund_amount", &amount.decimal()),
    ];
    Ok(PreparedHipopay {
        method: Method::POST,
        path: "/payment_refund",
        params,
        reply: ReplyKind::Refund(Some(amount)),
    })
}

/// `GET /payment_refund`, by HipoPay's number where the input has one, else by ours.
fn refund_query(call: &Call) -> PreparedHipopay {
    let which = match text(call, "refund_id") {
        Some(id) => pair("refund_no", id),
        None => pair("out_refund_id", call.order_no.as_str()),
    };
    PreparedHipopay {
        method: Method::GET,
        path: "/payment_refund",
        params: vec![which],
        reply: ReplyKind::Refund(call.amount),
    }
}

/// `GET /wechatpay/forex_rate` of the currency in the input, else of the call's amount.
fn exchange_rate(call: &Call) -> Result<PreparedHipopay, String> {
    let of_amount = call.amount.map(|amount| amount.currency().code());
    let currency = text(call, "of")
        .or(of_amount)
        .ok_or("the call has no currency")?;
    let params = vec![pair("currency", currency)];
    Ok(PreparedHipopay {
        method: Method::GET,
        path: "/wechatpay/forex_rate",
        params,
        reply: ReplyKind::Rate,
    })
}

/// `GET /download_bill` of one day, from its first to its last second (docs/gateways/hipopay.md,
/// "Notes to the table").
fn statement(call: &Call, config: &HipopayConfig) -> Result<PreparedHipopay, String> {
    let day = statement_file::compact(statement_file::day(call, "date")?);
    let params = vec![
        pair("merchant_no", &config.merchant_no),
        pair("start_date", &day),
        pair("end_date", &day),
    ];
    Ok(PreparedHipopay {
        method: Method::GET,
        path: "/download_bill",
        params,
        reply: ReplyKind::Statement,
    })
}

pub(super) fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}
