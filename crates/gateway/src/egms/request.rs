//! From a call of the port to method, target and body.
//!
//! EGMS requires `merchantTransTime`. Where the input has `trans_time`, which the job kinds fill
//! with the run's instant, that is taken, and one call always gives the same bytes; lacking it the
//! time of sending is.

use bytes::Bytes;
use http::Method;
use serde::Serialize;

use crate::Call;
use crate::egms::account::EgmsConfig;
use crate::exchange::{percent_encode, required, text};
use payrun_domain::money::Amount;

/// A request before it is signed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PreparedEgms {
    pub method: Method,
    /// Path and query, percent-encoded.
    pub target: String,
    pub body: Bytes,
    pub about: ReplyData,
    /// The number that a POST has the effect under: our merchantTransID, sent as `Idempotency-Key`
    /// too (docs/gateways/egms.md, "Headers").
    pub idempotency_key: Option<String>,
}

/// How long a text may be, in bytes of UTF-8 (docs/gateways/egms.md, "Notes to the table" [A]: EGMS
/// counts bytes).
const REASON_MAX: usize = 64;
const URL_MAX: usize = 300;

/// Which part of a reply the call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplyData {
    Payment,
    Cancel,
    Refund,
}

impl ReplyData {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Cancel => "cancel",
            Self::Refund => "refund",
        }
    }
}

/// Prepares a call; `date_time` is when it is sent.
///
/// # Errors
/// In words, if the call is not one of this gateway or lacks something; nothing can be sent then.
pub(super) fn prepare(
    call: &Call,
    config: &EgmsConfig,
    date_time: &str,
) -> Result<PreparedEgms, String> {
    match call.operation.as_str() {
        "payment" => payment(call, config, date_time),
        "cancel" => undo(call, config, date_time, ReplyData::Cancel),
        "refund" => undo(call, config, date_time, ReplyData::Refund),
        "payment_query" | "cancel_check" => Ok(query(call, config, ReplyData::Payment)),
        "cancel_query" => Ok(query(call, config, ReplyData::Cancel)),
        "refund_query" => Ok(query(call, config, ReplyData::Refund)),
        other => Err(format!(
            "egms has no operation {other:?}; it has payment, payment_query, cancel_check, cancel, cancel_query, refund and refund_query"
        )),
    }
}

/// `POST …/evo.e-commerce.payment` by WeChat Pay on one of its platforms.
fn payment(call: &Call, config: &EgmsConfig, date_time: &str) -> Result<PreparedEgms, String> {
    let amount = call.amount.ok_or("a payment has an amount")?;
    let platform = text(call, "platform").unwrap_or("WEB");
    if !["WEB", "WAP", "APP", "MINI", "INWALLET"].contains(&platform) {
        return Err(format!(
            "platform is {platform:?}; it is one of WEB, WAP, APP, MINI and INWALLET"
        ));
    }
    let needed: &[&str] = match platform {
        "MINI" => &["openid", "appid"],
        "APP" => &["appid"],
        _ => &[],
    };
    for field in needed {
        required(call, field)
            .map_err(|why| format!("{why}, which the platform {platform} needs"))?;
    }
    let minutes = text(call, "valid_minutes").map(|minutes| minutes.parse::<u32>());
    let valid_time = minutes
        .transpose()
        .map_err(|_| "valid_minutes is no whole number")?;
    let body = PaymentBody {
        merchant_trans_info: trans_info(call, date_time),
        store_info: text(call, "merchant_category_code").map(|mcc| StoreInfo { mcc }),
        trans_amount: TransAmount::of(amount),
        valid_time,
        return_url: bounded_text(call, "return_url", URL_MAX)?,
        payment_method: PaymentMethod {
            kind: "e-wallet",
            e_wallet: EWallet {
                payment_brand: "WeChat_Pay",
                sub_open_id: text(call, "openid"),
                sub_app_id: text(call, "appid"),
            },
        },
        trans_initiator: TransInitiator { platform },
        webhook: &config.notify_url,
    };
    let target = path(config, ReplyData::Payment);
    Ok(post(call, target, json(&body)?, ReplyData::Payment))
}

/// A cancellation or a refund (only when `Captured`) of the payment `out_trade_no`.
fn undo(
    call: &Call,
    config: &EgmsConfig,
    date_time: &str,
    about: ReplyData,
) -> Result<PreparedEgms, String> {
    let trans_amount = match about {
        ReplyData::Refund => Some(TransAmount::of(
            call.amount.ok_or("a refund has an amount")?,
        )),
        ReplyData::Cancel | ReplyData::Payment => None,
    };
    let body = UndoBody {
        merchant_trans_info: trans_info(call, date_time),
        trans_amount,
        initiating_reason: bounded_text(call, "reason", REASON_MAX)?,
        webhook: &config.notify_url,
    };
    let payment = percent_encode(required(call, "out_trade_no")?);
    let target = format!("{}?merchantTransID={payment}", path(config, about));
    Ok(post(call, target, json(&body)?, about))
}

fn post(call: &Call, target: String, body: Bytes, about: ReplyData) -> PreparedEgms {
    let idempotency_key = Some(call.order_no.as_str().to_owned());
    PreparedEgms {
        method: Method::POST,
        target,
        body,
        about,
        idempotency_key,
    }
}

/// A text of at most so many bytes, where there is one.
fn bounded_text<'a>(call: &'a Call, field: &str, most: usize) -> Result<Option<&'a str>, String> {
    match text(call, field) {
        Some(text) if text.len() > most => Err(format!(
            "{field} has {} bytes, and EGMS takes {most}",
            text.len()
        )),
        known => Ok(known),
    }
}

/// `GET` of a payment, cancellation or refund by its own `merchantTransID`.
fn query(call: &Call, config: &EgmsConfig, about: ReplyData) -> PreparedEgms {
    let given = match about {
        ReplyData::Payment => text(call, "out_trade_no"),
        ReplyData::Cancel | ReplyData::Refund => None,
    };
    let number = percent_encode(given.unwrap_or(call.order_no.as_str()));
    let target = format!("{}?merchantTransID={number}", path(config, about));
    PreparedEgms {
        method: Method::GET,
        target,
        body: Bytes::new(),
        about,
        idempotency_key: None,
    }
}

fn path(config: &EgmsConfig, about: ReplyData) -> String {
    format!(
        "/g2/v1/payment/mer/{}/evo.e-commerce.{}",
        percent_encode(&config.sid),
        about.as_str()
    )
}

fn trans_info<'a>(call: &'a Call, date_time: &'a str) -> TransInfo<'a> {
    TransInfo {
        merchant_trans_id: call.order_no.as_str(),
        merchant_trans_time: text(call, "trans_time").unwrap_or(date_time),
    }
}

fn json(body: &impl Serialize) -> Result<Bytes, String> {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|error| error.to_string())
}

/// The body of a payment. Field order is fixed, so that one call always gives the same bytes.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PaymentBody<'a> {
    merchant_trans_info: TransInfo<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_info: Option<StoreInfo<'a>>,
    trans_amount: TransAmount,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_time: Option<u32>,
    #[serde(rename = "returnURL", skip_serializing_if = "Option::is_none")]
    return_url: Option<&'a str>,
    payment_method: PaymentMethod<'a>,
    trans_initiator: TransInitiator<'a>,
    webhook: &'a str,
}

/// The body of a cancellation or a refund.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct UndoBody<'a> {
    merchant_trans_info: TransInfo<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trans_amount: Option<TransAmount>,
    #[serde(skip_serializing_if = "Option::is_none")]
    initiating_reason: Option<&'a str>,
    webhook: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TransInfo<'a> {
    #[serde(rename = "merchantTransID")]
    merchant_trans_id: &'a str,
    merchant_trans_time: &'a str,
}

#[derive(Debug, Serialize)]
struct StoreInfo<'a> {
    mcc: &'a str,
}

#[derive(Debug, Serialize)]
struct TransAmount {
    currency: &'static str,
    value: String,
}

impl TransAmount {
    fn of(amount: Amount) -> Self {
        Self {
            currency: amount.currency().code(),
            value: amount.decimal(),
        }
    }
}

#[derive(Debug, Serialize)]
struct PaymentMethod<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "e-wallet")]
    e_wallet: EWallet<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EWallet<'a> {
    payment_brand: &'static str,
    #[serde(rename = "subOpenID", skip_serializing_if = "Option::is_none")]
    sub_open_id: Option<&'a str>,
    #[serde(rename = "subAppID", skip_serializing_if = "Option::is_none")]
    sub_app_id: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct TransInitiator<'a> {
    platform: &'a str,
}
