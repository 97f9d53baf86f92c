//! What CBTIS replies and notifies (the CBTIS document; docs/gateways/cbtis.md, "Replies and
//! states").
//!
//! A `code` other than 0 is reported as it is: none is documented, so the outcome tables make it
//! unknown, and a query follows.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::customs;
use super::request::ReplyData;
use crate::Observation;
use crate::exchange::{bounded, decimal_amount, message, unreadable};
use crate::notification::OrderKind;
use payrun_domain::money::Amount;

/// What is never kept of a reply.
pub(super) const MASKED: [&str; 3] = ["openid", "access_token", "paySign"];

#[derive(Debug, Deserialize)]
struct Envelope {
    code: i64,
    data: Option<Value>,
    message: Option<Value>,
    rid: Option<String>,
}

/// A payment intent, or a refund (whose names are a guess \[C\]).
#[derive(Debug, Deserialize)]
struct Data {
    order_id: Option<String>,
    merchant_order_id: Option<String>,
    refund_id: Option<String>,
    merchant_refund_id: Option<String>,
    amount: Option<String>,
    currency: Option<String>,
    status: Option<String>,
    create_time: Option<String>,
    pay_time: Option<String>,
    next_action: Option<Value>,
}

/// Reads a reply. `expected` lends a refund's amount its currency where the reply names none.
///
/// # Errors
/// In words: it is not of the documented shape.
pub(super) fn read(
    body: &[u8],
    http_ok: bool,
    about: &ReplyData,
    expected: Option<Amount>,
    seen: &mut Observation,
) -> Result<(), String> {
    let envelope: Envelope = match serde_json::from_slice(body) {
        Ok(envelope) => envelope,
        // Whatever stands before CBTIS answers errors in its own words; the HTTP status says
        // enough.
        Err(_) if !http_ok => return Ok(()),
        Err(error) => return Err(unreadable(&error)),
    };
    seen.result = facts([("rid", envelope.rid)]);
    if envelope.code != 0 {
        seen.code = Some(envelope.code.to_string());
        seen.message = message([envelope
            .message
            .as_ref()
            .and_then(Value::as_str)
            .map(str::to_owned)]);
        return Ok(());
    }
    if !http_ok {
        return Err("the reply says ok under the HTTP status of an error".into());
    }
    let data = envelope.data.ok_or("the reply says ok and nothing else")?;
    if let ReplyData::Customs(which) = about {
        return customs::read(data, which, seen);
    }
    let data: Data = serde_json::from_value(data).map_err(|error| unreadable(&error))?;
    let currency = data
        .currency
        .as_deref()
        .or(expected.map(|amount| amount.currency().code()));
    seen.amount = data
        .amount
        .as_deref()
        .zip(currency)
        .map(|(amount, currency)| decimal_amount(amount, currency));
    (seen.order_no, seen.receipt) = match about {
        ReplyData::Payment => (data.merchant_order_id, data.order_id),
        // The reply to a refund names no number of CBTIS's own: ours stands for it then.
        ReplyData::Refund => {
            let receipt = data.refund_id.or_else(|| data.merchant_refund_id.clone());
            (data.merchant_refund_id, receipt)
        }
        ReplyData::Customs(_) => (None, None),
    };
    seen.state = Some(bounded(data.status.ok_or("the reply has no status")?, 64));
    seen.result.extend(facts([("state", seen.state.clone())]));
    seen.result.extend(facts([
        ("create_time", data.create_time),
        ("pay_time", data.pay_time),
    ]));
    // A QR text is what the payer needs, however long what else comes with it.
    let qr = data.next_action.as_ref().and_then(|action| {
        action
            .pointer("/data/qrcode_url")
            .or(action.get("qrcode_url"))
    });
    let qr = qr
        .and_then(Value::as_str)
        .filter(|text| text.len() <= 4_096)
        .map(str::to_owned);
    seen.result
        .extend(qr.map(|text| ("qrcode_url".to_owned(), text.into())));
    let action = data
        .next_action
        .filter(|action| action.to_string().len() <= 4_096);
    seen.result
        .extend(action.map(|action| ("next_action".to_owned(), action)));
    Ok(())
}

/// Reads a notification: whose order it is about. What became of it is for a query to say, so no
/// state and no amount is read.
///
/// # Errors
/// In words: it is not of the documented shape.
pub(super) fn read_notification(body: &[u8], seen: &mut Observation) -> Result<(), String> {
    #[derive(Deserialize)]
    struct NotificationBody {
        notify_type: String,
        data: Data,
    }
    let event: NotificationBody =
        serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let subject = if event.data.merchant_refund_id.is_some() {
        OrderKind::Refund
    } else {
        OrderKind::Payment
    };
    seen.is_about(subject);
    (seen.order_no, seen.receipt) = match event.data.merchant_refund_id {
        Some(number) => (Some(number), event.data.refund_id),
        None => (event.data.merchant_order_id, event.data.order_id),
    };
    if seen.order_no.is_none() {
        return Err("the notification names no order".into());
    }
    seen.result = facts([("notify_type", Some(event.notify_type))]);
    Ok(())
}

pub(super) fn facts<const N: usize>(fields: [(&str, Option<String>); N]) -> Map<String, Value> {
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
        read(body.as_bytes(), true, &about, None, &mut seen).map(|()| seen)
    }

    #[test]
    fn the_documented_reply_is_read() {
        let body = r#"{"code":0,"data":{"order_id":"C9","merchant_order_id":"P9","amount":"50","currency":"TWD","status":"SUCCEEDED","create_time":"2023-08-31T04:44:05.928696203+08:00","pay_time":"2023-08-31T04:44:05.928696203+08:00"},"message":"ok","rid":"3647575c"}"#;
        let seen = seen(body, ReplyData::Payment).unwrap();
        assert_eq!(
            (seen.state.as_deref(), seen.code.as_deref()),
            (Some("SUCCEEDED"), None)
        );
        assert_eq!(
            (seen.order_no.as_deref(), seen.receipt.as_deref()),
            (Some("P9"), Some("C9"))
        );
        assert_eq!(seen.amount.unwrap().unwrap().to_string(), "50.00 TWD");
    }

    #[test]
    fn a_qr_text_is_kept_whatever_comes_with_it() {
        let padding = "x".repeat(5_000);
        for extra in ["", padding.as_str()] {
            let body = format!(
                r#"{{"code":0,"data":{{"order_id":"C9","merchant_order_id":"P9","amount":"50","currency":"TWD","status":"PENDING","next_action":{{"type":"render_qrcode","data":{{"qrcode_url":"weixin://wxpay/bizpayurl?pr=1","x":"{extra}"}}}}}}}}"#
            );
            let seen = seen(&body, ReplyData::Payment).unwrap();
            assert_eq!(seen.result["qrcode_url"], "weixin://wxpay/bizpayurl?pr=1");
            assert_eq!(seen.result.contains_key("next_action"), extra.is_empty());
        }
    }

    #[test]
    fn a_code_that_is_not_zero_is_shown_and_nothing_is_made_of_it() {
        let seen = seen(
            r#"{"code":40012,"message":"?","rid":"r","data":{"status":"SUCCEEDED"}}"#,
            ReplyData::Payment,
        )
        .unwrap();
        assert_eq!((seen.state, seen.code.as_deref()), (None, Some("40012")));
    }

    #[test]
    fn what_says_ok_and_nothing_is_unreadable() {
        for body in [
            r#"{"code":0}"#,
            r#"{"code":0,"data":{}}"#,
            r#"{"code":"0"}"#,
            "<html>",
            r#"{"code":0,"data":[]}"#,
        ] {
            assert!(seen(body, ReplyData::Payment).is_err(), "{body}");
        }
        let ok = br#"{"code":0,"data":{"status":"SUCCEEDED"}}"#;
        assert!(
            read(
                ok,
                false,
                &ReplyData::Payment,
                None,
                &mut Observation::of(Delivery::Replied)
            )
            .is_err()
        );
    }
}
