//! What EGMS replies and notifies (the EGMS document; docs/gateways/egms.md, "Replies and states").
//!
//! `S0000` means that the request was accepted; what became of the order is in the `status` of the
//! part the call is about. A refund's success is never read from the payment's status: the
//! document's own samples contradict each other there.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::request::ReplyData;
use crate::Observation;
use crate::exchange::{bounded, decimal_amount, message, unreadable};
use crate::notification::OrderKind;
use payrun_domain::money::Amount;

/// What is never kept of a reply.
pub(super) const MASKED: [&str; 4] = ["subOpenID", "openid", "paySign", "paymentString"];

/// The code that says that a request was accepted.
const ACCEPTED: &str = "S0000";
/// The code that says that it was accepted and is in progress (docs/gateways/egms.md, "Error
/// codes"): only a query tells what became of it.
const IN_PROGRESS: &str = "S0003";

#[derive(Debug, Deserialize)]
struct ReplyBody {
    result: Option<ResultPart>,
    payment: Option<Part>,
    cancel: Option<Part>,
    refund: Option<Part>,
    action: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResultPart {
    code: String,
    message: Option<Value>,
    category: Option<String>,
    psp_response_code: Option<String>,
}

/// A payment, a cancellation or a refund.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    status: String,
    merchant_trans_info: TransInfo,
    evo_trans_info: Option<EvoInfo>,
    trans_amount: Option<Value>,
    failure_code: Option<String>,
    failure_reason: Option<String>,
    psp_failure_code: Option<String>,
}

#[derive(Debug, Deserialize)]
struct TransInfo {
    #[serde(rename = "merchantTransID")]
    id: String,
}

#[derive(Debug, Deserialize)]
struct EvoInfo {
    #[serde(rename = "evoTransID")]
    id: String,
    #[serde(rename = "evoTransTime")]
    time: Option<String>,
}

/// Reads a reply.
///
/// # Errors
/// In words: it is not of the documented shape.
pub(super) fn read(
    body: &[u8],
    http_ok: bool,
    about: ReplyData,
    seen: &mut Observation,
) -> Result<(), String> {
    let reply: ReplyBody = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let result = reply.result.as_ref().ok_or("the reply has no result")?;
    let psp = [
        ("category", &result.category),
        ("psp_response_code", &result.psp_response_code),
    ];
    seen.result = facts(psp.map(|(name, value)| (name, value.clone())));
    if result.code == IN_PROGRESS && !http_ok {
        return Err(
            "the reply says that it is in progress under the HTTP status of an error".into(),
        );
    }
    if result.code != ACCEPTED {
        seen.code = Some(bounded(result.code.clone(), 64));
        seen.message = message([result
            .message
            .as_ref()
            .and_then(Value::as_str)
            .map(str::to_owned)]);
        return Ok(());
    }
    if !http_ok {
        return Err("the reply says success under the HTTP status of an error".into());
    }
    let action = reply
        .action
        .filter(|action| action.to_string().len() <= 4_096);
    seen.result
        .extend(action.map(|action| ("action".to_owned(), action)));
    let part = match about {
        ReplyData::Payment => reply.payment,
        ReplyData::Cancel => reply.cancel,
        ReplyData::Refund => reply.refund,
    };
    read_part(part.ok_or("the reply says success and nothing else")?, seen);
    Ok(())
}

/// The code of a reply, whatever else it says.
pub(super) fn code(body: &[u8]) -> Option<String> {
    let reply: Value = serde_json::from_slice(body).ok()?;
    reply
        .pointer("/result/code")
        .and_then(Value::as_str)
        .map(|code| bounded(code.to_owned(), 64))
}

/// Reads a notification: what it is about is its `eventCode`.
///
/// # Errors
/// In words: it is not of the documented shape, or about something payrun does not do.
pub(super) fn read_notification(body: &[u8], seen: &mut Observation) -> Result<(), String> {
    #[derive(Deserialize)]
    struct NotificationBody {
        #[serde(rename = "eventCode")]
        code: String,
    }
    let event: NotificationBody =
        serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let reply: ReplyBody = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let (subject, part) = match event.code.as_str() {
        "Payment" => (OrderKind::Payment, reply.payment),
        "Cancel" => (OrderKind::Cancellation, reply.cancel),
        "Refund" => (OrderKind::Refund, reply.refund),
        _ => return Err("the notification is about something payrun does not do".into()),
    };
    read_part(
        part.ok_or("the notification has an event and nothing about it")?,
        seen,
    );
    seen.is_about(subject);
    seen.result.insert("event".into(), event.code.into());
    Ok(())
}

fn read_part(part: Part, seen: &mut Observation) {
    seen.amount = part.trans_amount.as_ref().map(read_amount);
    seen.code = part
        .failure_code
        .clone()
        .or_else(|| part.psp_failure_code.clone())
        .map(|code| bounded(code, 64));
    let (receipt, time) = part
        .evo_trans_info
        .map_or((None, None), |evo| (Some(evo.id), evo.time));
    seen.receipt = receipt;
    seen.result.extend(facts([
        ("evo_trans_time", time),
        ("failure_reason", part.failure_reason),
    ]));
    seen.result
        .insert("state".into(), bounded(part.status.clone(), 64).into());
    seen.order_no = Some(part.merchant_trans_info.id);
    seen.state = Some(bounded(part.status, 64));
}

fn read_amount(amount: &Value) -> Result<Amount, String> {
    let value = amount
        .get("value")
        .and_then(Value::as_str)
        .ok_or("transAmount.value is no text")?;
    let currency = amount
        .get("currency")
        .and_then(Value::as_str)
        .ok_or("transAmount.currency is no text")?;
    decimal_amount(value, currency)
}

fn facts<const N: usize>(fields: [(&str, Option<String>); N]) -> Map<String, Value> {
    let present = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), bounded(value?, 128).into())));
    present.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Delivery;

    fn seen(body: &str, about: ReplyData) -> Result<Observation, String> {
        let mut seen = Observation::of(Delivery::Replied);
        read(body.as_bytes(), true, about, &mut seen).map(|()| seen)
    }

    #[test]
    fn a_refunds_state_is_its_own_not_the_payments() {
        let body = r#"{"result":{"code":"S0000","message":"Success"},"refund":{"status":"Received","evoTransInfo":{"evoTransID":"2f31"},"merchantTransInfo":{"merchantTransID":"R-1"}},"payment":{"status":"Refunded","evoTransInfo":{"evoTransID":"6a3b"},"merchantTransInfo":{"merchantTransID":"P-1"},"transAmount":{"currency":"USD","value":"10.00"}}}"#;
        let seen = seen(body, ReplyData::Refund).unwrap();
        assert_eq!(
            (seen.state.as_deref(), seen.order_no.as_deref()),
            (Some("Received"), Some("R-1"))
        );
        assert_eq!((seen.receipt.as_deref(), seen.amount), (Some("2f31"), None));
    }

    #[test]
    fn a_failure_inside_an_accepted_reply_shows_its_code() {
        let body = r#"{"result":{"code":"S0000"},"refund":{"status":"Failed","failureCode":"P0002","failureReason":"x","merchantTransInfo":{"merchantTransID":"R-1"}}}"#;
        let seen = seen(body, ReplyData::Refund).unwrap();
        assert_eq!(
            (seen.state.as_deref(), seen.code.as_deref()),
            (Some("Failed"), Some("P0002"))
        );
    }

    #[test]
    fn a_refused_request_shows_its_code_and_no_state() {
        let seen = seen(
            r#"{"result":{"code":"C0004","message":"not found"}}"#,
            ReplyData::Payment,
        )
        .unwrap();
        assert_eq!((seen.state, seen.code.as_deref()), (None, Some("C0004")));
    }

    #[test]
    fn what_is_in_progress_shows_that_and_no_state() {
        let body = r#"{"result":{"code":"S0003"},"payment":{"status":"Captured","merchantTransInfo":{"merchantTransID":"P"}}}"#;
        let seen = seen(body, ReplyData::Payment).unwrap();
        assert_eq!((seen.state, seen.code.as_deref()), (None, Some("S0003")));
        assert!(
            read(
                body.as_bytes(),
                false,
                ReplyData::Payment,
                &mut Observation::of(Delivery::Replied)
            )
            .is_err()
        );
    }

    #[test]
    fn what_is_accepted_and_says_nothing_is_unreadable() {
        for body in [
            r#"{"result":{"code":"S0000"}}"#,
            "{}",
            "<html>",
            r#"{"result":{"code":1}}"#,
        ] {
            assert!(seen(body, ReplyData::Payment).is_err(), "{body}");
        }
        let accepted = br#"{"result":{"code":"S0000"},"payment":{"status":"Captured","merchantTransInfo":{"merchantTransID":"P"}}}"#;
        assert!(
            read(
                accepted,
                false,
                ReplyData::Payment,
                &mut Observation::of(Delivery::Replied)
            )
            .is_err()
        );
    }
}
