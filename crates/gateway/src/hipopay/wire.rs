//! What HipoPay replies (the HipoPay document; docs/gateways/hipopay.md, "Replies and states").
//!
//! The envelope lies: `is_success` says that the request was served, not that anything happened.
//! What counts is the inner `status` and `result_code`, and those are what is reported.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::customs;
use super::request::{Pricing, ReplyKind};
use crate::Observation;
use crate::exchange::{bounded, decimal_amount, message, unreadable};
use crate::notification::OrderKind;
use payrun_domain::money::Amount;

/// What is never kept of a reply: what names the payer, and what lets someone pay in their place.
/// `raw_response` is what the customs said, in which anything may stand.
pub(super) const MASKED: [&str; 5] = ["openid", "paySign", "cert_id", "cert_name", "raw_response"];

/// Around every reply.
#[derive(Debug, Deserialize)]
struct Envelope {
    is_success: Value,
    response: Option<Value>,
    error: Option<String>,
    error_message: Option<Value>,
}

/// A payment order.
#[derive(Debug, Deserialize)]
struct Payment {
    amount: String,
    currency: String,
    out_trade_id: String,
    payment_no: String,
    status: String,
    exchange_rate: Option<String>,
    trade_time: Option<String>,
    finish_time: Option<String>,
    trade_type: Option<String>,
    prepay_params: Option<Value>,
}

/// A refund order.
#[derive(Debug, Deserialize)]
struct Refund {
    refund_no: Option<String>,
    out_refund_id: String,
    payment_no: String,
    refund_amount: String,
    status: String,
    result_code: Option<String>,
    fail_message: Option<String>,
    finish_time: Option<String>,
}

/// A reference rate: how much of the currency 1 CNY is.
#[derive(Debug, Deserialize)]
struct ExchangeRate {
    currency: String,
    forex_rate: String,
}

/// Reads a reply into what was observed. `http_ok`: a reply whose status is no 2xx can only report
/// an error.
///
/// # Errors
/// In words: it is not of the documented shape, or contradicts itself.
pub(super) fn read(
    body: &[u8],
    http_ok: bool,
    kind: ReplyKind,
    seen: &mut Observation,
) -> Result<(), String> {
    let envelope: Envelope = match serde_json::from_slice(body) {
        Ok(envelope) => envelope,
        // Whatever stands before HipoPay answers errors in its own words; the HTTP status says
        // enough.
        Err(_) if !http_ok => return Ok(()),
        Err(error) => return Err(unreadable(&error)),
    };
    match (
        is_true(&envelope.is_success)?,
        envelope.response,
        envelope.error,
    ) {
        (false, _, Some(error)) if !error.is_empty() => {
            seen.code = Some(bounded(error, 64));
            seen.message = message([envelope
                .error_message
                .as_ref()
                .and_then(Value::as_str)
                .map(str::to_owned)]);
            Ok(())
        }
        (false, _, _) => Err("the reply refuses and says no error".into()),
        (true, _, _) if !http_ok => {
            Err("the reply says success under the HTTP status of an error".into())
        }
        (true, Some(response), _) => read_response(response, kind, seen),
        (true, None, _) => Err("the reply says success and nothing else".into()),
    }
}

/// The document prints Python's `True`; JSON has `true`. As text both are taken, any other value is
/// not.
fn is_true(value: &Value) -> Result<bool, String> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            Err("is_success is neither true nor false".into())
        }
    }
}

fn read_response(response: Value, kind: ReplyKind, seen: &mut Observation) -> Result<(), String> {
    match kind {
        ReplyKind::Payment(pricing) => {
            let payment: Payment =
                serde_json::from_value(response).map_err(|error| unreadable(&error))?;
            seen.amount = Some(price(&payment.amount, &payment.currency, pricing));
            let texts = [
                ("exchange_rate", payment.exchange_rate),
                ("trade_time", payment.trade_time),
                ("finish_time", payment.finish_time),
                ("trade_type", payment.trade_type),
            ];
            seen.result = facts(texts);
            seen.result.extend(
                payment
                    .prepay_params
                    .filter(is_small)
                    .map(|params| ("prepay_params".to_owned(), params)),
            );
            seen.result
                .insert("state".into(), bounded(payment.status.clone(), 64).into());
            seen.order_no = Some(payment.out_trade_id);
            seen.receipt = Some(payment.payment_no);
            seen.state = Some(bounded(payment.status, 64));
        }
        ReplyKind::Refund(expected) => {
            let refund: Refund =
                serde_json::from_value(response).map_err(|error| unreadable(&error))?;
            seen.amount = refund_amount(&refund.refund_amount, expected);
            seen.message = message([refund.fail_message.clone()]);
            let texts = [
                ("refund_amount", Some(refund.refund_amount)),
                ("payment_no", Some(refund.payment_no)),
                ("fail_message", refund.fail_message),
                ("finish_time", refund.finish_time),
            ];
            seen.result = facts(texts);
            seen.result
                .insert("state".into(), bounded(refund.status.clone(), 64).into());
            seen.order_no = Some(refund.out_refund_id);
            seen.receipt = refund.refund_no;
            seen.state = Some(bounded(refund.status, 64));
            seen.code = refund.result_code.map(|code| bounded(code, 64));
        }
        ReplyKind::Rate => {
            let rate: ExchangeRate =
                serde_json::from_value(response).map_err(|error| unreadable(&error))?;
            seen.receipt = Some(bounded(rate.forex_rate.clone(), 64));
            seen.result = facts([
                ("currency", Some(rate.currency)),
                ("forex_rate", Some(rate.forex_rate)),
            ]);
        }
        ReplyKind::Statement => return Err("the reply says success and holds no file".into()),
        ReplyKind::Customs(which) => customs::read(response, &which, seen)?,
    }
    Ok(())
}

/// The amount of a payment. Where its price is in CNY it is one in CNY, and what stands beside it
/// is not documented \[C\]: CNY, or the currency of the settlement; nothing else is taken.
fn price(amount: &str, currency: &str, pricing: Pricing) -> Result<Amount, String> {
    match pricing {
        Pricing::Cny(None) => decimal_amount(amount, "CNY"),
        Pricing::Cny(Some(settlement)) if currency == settlement.code() => {
            decimal_amount(amount, "CNY")
        }
        Pricing::Named | Pricing::Cny(Some(_)) => decimal_amount(amount, currency),
    }
}

/// Whether a body looks like a statement: any title, then a line of columns, whatever they are
/// called; a header that is not the one that is known is refused where the file is read. An error
/// or a page from something in between is none.
pub(super) fn is_statement(body: &[u8]) -> bool {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    let second = body.splitn(3, |byte| *byte == b'\n').nth(1);
    !matches!(first, None | Some(b'{' | b'<' | b'['))
        && second.is_some_and(|header| header.iter().filter(|byte| **byte == b',').count() >= 5)
}

/// A refund's reply names no currency; it is the payment's, which is what we asked for.
fn refund_amount(text: &str, expected: Option<Amount>) -> Option<Result<Amount, String>> {
    expected
        .map(|ours| Amount::of_gateway(text, ours.currency()).map_err(|error| error.to_string()))
}

/// Reads a notification's parameters: which order HipoPay says was paid (the HipoPay document,
/// "Payment Notification").
///
/// A reason to ask, and never what became of the order: it names no merchant, and the key it is
/// signed with may be that of all merchants \[C\]; whoever pays an order of their own under our
/// number is told of by the same words.
///
/// # Errors
/// Which parameter is missing.
pub(super) fn read_notification(
    params: &[(String, String)],
    seen: &mut Observation,
) -> Result<(), String> {
    let find = |name: &str| {
        params
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
    };
    seen.order_no = Some(find("out_trade_id").ok_or("the notification has no out_trade_id")?);
    seen.is_about(OrderKind::Payment);
    let names = [
        "status",
        "payment_no",
        "amount",
        "currency",
        "exchange_rate",
        "settle_currency",
        "pay_currency",
        "pay_amount",
        "trade_time",
        "finish_time",
    ];
    seen.result = facts(names.map(|name| (name, find(name))));
    Ok(())
}

pub(super) fn facts<const N: usize>(fields: [(&str, Option<String>); N]) -> Map<String, Value> {
    let present = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), bounded(value?, 128).into())));
    present.collect()
}

fn is_small(value: &Value) -> bool {
    value.to_string().len() <= 4_096
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Delivery;
    use payrun_domain::money::Currency;

    fn ours() -> Option<Amount> {
        Some(Amount::parse("8.88", Currency::parse("HKD").unwrap()).unwrap())
    }

    fn seen(body: &str, kind: ReplyKind) -> Result<Observation, String> {
        let mut seen = Observation::of(Delivery::Replied);
        read(body.as_bytes(), true, kind, &mut seen).map(|()| seen)
    }

    #[test]
    fn a_success_with_a_failed_refund_inside_shows_the_failure() {
        let body = r#"{"is_success":true,"response":{"fail_message":"Settled Balance Not Enough","finish_time":"2021-12-23 16:42:34","out_refund_id":"R201901021232213","payment_no":"2637473637382","refund_amount":"8.88","refund_no":"2637473637452","result_code":"0011","status":"FAIL"},"return_message":"OK"}"#;
        let seen = seen(body, ReplyKind::Refund(ours())).unwrap();
        assert_eq!(
            (seen.state.as_deref(), seen.code.as_deref()),
            (Some("FAIL"), Some("0011"))
        );
        assert_eq!(seen.amount, ours().map(Ok));
        assert_eq!(seen.result["fail_message"], "Settled Balance Not Enough");
    }

    #[test]
    fn an_error_shows_its_code_in_either_spelling_of_false() {
        for spelling in ["false", "\"False\"", "\"FALSE\""] {
            let body = format!(
                r#"{{"is_success":{spelling},"error":"PAYMENT_NOT_FOUND","error_message":"Order not found"}}"#
            );
            assert_eq!(
                seen(&body, ReplyKind::Payment(Pricing::Named))
                    .unwrap()
                    .code
                    .as_deref(),
                Some("PAYMENT_NOT_FOUND")
            );
        }
        for wrong in [
            r#"{"is_success":1}"#,
            r#"{"is_success":false}"#,
            r#"{"is_success":true}"#,
            "<html>",
            "[]",
        ] {
            assert!(
                seen(wrong, ReplyKind::Payment(Pricing::Named)).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn amounts_are_exact_and_yen_have_no_decimals() {
        let amount = |amount: &str, currency: &str| {
            let body = format!(
                r#"{{"is_success":true,"response":{{"amount":"{amount}","currency":"{currency}","out_trade_id":"a","payment_no":"1","status":"PAID"}}}}"#
            );
            seen(&body, ReplyKind::Payment(Pricing::Named))
                .unwrap()
                .amount
                .unwrap()
                .map(Amount::minor)
        };
        assert_eq!(amount("0.1", "HKD"), Ok(10));
        assert_eq!(amount("500", "JPY"), Ok(500));
        assert!(
            amount("500.5", "JPY").is_err()
                && amount("0.105", "HKD").is_err()
                && amount("1", "XXX").is_err()
        );
    }

    #[test]
    fn a_success_under_the_status_of_an_error_is_not_believed() {
        let body = br#"{"is_success":true,"response":{}}"#;
        assert!(
            read(
                body,
                false,
                ReplyKind::Payment(Pricing::Named),
                &mut Observation::of(Delivery::Replied)
            )
            .is_err()
        );
        assert!(
            read(
                b"<html>",
                false,
                ReplyKind::Payment(Pricing::Named),
                &mut Observation::of(Delivery::Replied)
            )
            .is_ok()
        );
    }
}
