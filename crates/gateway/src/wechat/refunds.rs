//! Refunds (docs/gateways/wechat.md, "Refunds"): what goes on the wire, and what is read from it.
//!
//! The reply to a refund means that it was accepted, so it gives no state. All refunds of a payment
//! are `refund_list`'s.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::merchant_ids::MerchantIdFields;
use super::request::{PreparedWechat, ReplyKind, segment};
use super::wire::{facts, read_amount};
use crate::exchange::{required, text, unreadable};
use crate::wechat::account::WechatMode;
use crate::{Call, Observation};
use payrun_domain::money::Amount;

/// `POST /v3/global/refunds`. `paid` is what was paid, in main units; the gateway compares it.
pub(super) fn refund(
    call: &Call,
    mode: &WechatMode,
    notify_url: &str,
) -> Result<PreparedWechat, String> {
    let amount = call.amount.ok_or("a refund has an amount")?;
    let paid = Amount::parse(required(call, "paid")?, amount.currency())
        .map_err(|_| format!("paid is no amount in {}", amount.currency().code()))?;
    let (transaction_id, out_trade_no) = match of(call)? {
        Payment::Theirs(id) => (Some(id), None),
        Payment::Ours(number) => (None, Some(number)),
    };
    let body = Body {
        ids: MerchantIdFields::of_merchants_and_apps(mode),
        transaction_id,
        out_trade_no,
        out_refund_no: call.order_no.as_str(),
        reason: text(call, "reason"),
        notify_url,
        amount: BodyAmount {
            refund: amount.minor(),
            total: paid.minor(),
            currency: amount.currency().code(),
        },
    };
    PreparedWechat::post(
        "/v3/global/refunds".into(),
        &body,
        ReplyKind::RefundAccepted,
    )
}

/// `GET /v3/global/refunds/out-refund-no/{out_refund_no}`.
pub(super) fn refund_query(call: &Call, mode: &WechatMode) -> Result<PreparedWechat, String> {
    let number = segment("out_refund_no", call.order_no.as_str())?;
    let target = MerchantIdFields::of_merchants(mode)
        .on(&format!("/v3/global/refunds/out-refund-no/{number}"), &[]);
    Ok(PreparedWechat::get(target, ReplyKind::Refund))
}

/// Which payment is meant: by the gateway's number or by ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Payment {
    Theirs(String),
    Ours(String),
}

/// The payment the input names.
pub(super) fn of(call: &Call) -> Result<Payment, String> {
    match (text(call, "transaction_id"), text(call, "out_trade_no")) {
        (Some(id), _) => Ok(Payment::Theirs(id.to_owned())),
        (None, Some(number)) => Ok(Payment::Ours(number.to_owned())),
        (None, None) => Err("the call has neither transaction_id nor out_trade_no".into()),
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    ids: MerchantIdFields<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_trade_no: Option<String>,
    out_refund_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    notify_url: &'a str,
    amount: BodyAmount,
}

#[derive(Serialize)]
struct BodyAmount {
    refund: i64,
    total: i64,
    currency: &'static str,
}

/// A refund, as every reply and notification shows it: some fields have two names.
#[derive(Debug, Deserialize)]
pub(super) struct Refund {
    id: Option<String>,
    refund_id: Option<String>,
    out_refund_no: String,
    status: Option<String>,
    refund_status: Option<String>,
    transaction_id: Option<String>,
    out_trade_no: Option<String>,
    channel: Option<String>,
    success_time: Option<String>,
    fund_source: Option<String>,
    amount: Option<Value>,
}

impl Refund {
    /// Puts down what every reply says: numbers and amount.
    fn show(&self, seen: &mut Observation) {
        seen.order_no = Some(self.out_refund_no.clone());
        seen.receipt = self.id.clone().or_else(|| self.refund_id.clone());
        seen.amount = self
            .amount
            .as_ref()
            .map(|amount| read_amount(amount, "refund"));
    }

    fn state(&self) -> Result<String, String> {
        self.status
            .clone()
            .or_else(|| self.refund_status.clone())
            .ok_or_else(|| "the refund has no status".to_owned())
    }

    fn facts(&self) -> Map<String, Value> {
        facts([
            ("transaction_id", &self.transaction_id),
            ("out_trade_no", &self.out_trade_no),
            ("channel", &self.channel),
            ("success_time", &self.success_time),
            ("fund_source", &self.fund_source),
        ])
    }

    /// A row of a list. A row that names no currency is in the payment's.
    pub(super) fn record(&self, currency: Option<&Value>) -> Result<Map<String, Value>, String> {
        let mut amount = self
            .amount
            .clone()
            .ok_or("a refund of the list has no amount")?;
        if let (Some(fields), Some(currency)) = (amount.as_object_mut(), currency) {
            fields.entry("currency").or_insert_with(|| currency.clone());
        }
        let amount = read_amount(&amount, "refund")?;
        let id = self.id.clone().or_else(|| self.refund_id.clone());
        let mut record = facts([
            ("out_refund_no", &Some(self.out_refund_no.clone())),
            ("id", &id),
        ]);
        record.insert("status".into(), self.state()?.into());
        record.insert("refund".into(), amount.minor().into());
        record.insert("currency".into(), amount.currency().code().into());
        Ok(record)
    }
}

/// Reads the reply to a refund.
pub(super) fn read_accepted(body: &[u8], seen: &mut Observation) -> Result<(), String> {
    let refund: Refund = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    refund.show(seen);
    Ok(())
}

/// Reads the reply to a query, or a decrypted notification.
pub(super) fn read_refund(body: &[u8], seen: &mut Observation) -> Result<(), String> {
    let refund: Refund = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    refund.show(seen);
    seen.result = refund.facts();
    seen.state = Some(refund.state()?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Delivery;
    use crate::wechat::request::samples::{body, call, common, institutional, prepare};

    fn read(
        text: &str,
        how: impl Fn(&[u8], &mut Observation) -> Result<(), String>,
    ) -> Result<Observation, String> {
        let mut seen = Observation::of(Delivery::Replied);
        how(text.as_bytes(), &mut seen).map(|()| seen)
    }

    #[test]
    fn the_documented_refund_comes_out_as_documented() {
        let input = json!({
            "transaction_id": "1008450740201411110005820873", "out_trade_no": "not sent beside the other",
            "paid": "200.00", "reason": "The item has been sold out.",
        });
        let prepared = prepare(&call("refund", input), &institutional()).unwrap();
        assert_eq!(
            (prepared.method.as_str(), prepared.target.as_str()),
            ("POST", "/v3/global/refunds")
        );
        let sample = json!({
            "sp_appid": "wxsp",
            "sp_mchid": "1900000002",
            "sub_mchid": "10000097",
            "transaction_id": "1008450740201411110005820873",
            "out_refund_no": "1217752501201407033233368018",
            "amount": { "refund": 10000, "total": 20000, "currency": "HKD" },
            "reason": "The item has been sold out.",
            "notify_url": "https://n",
        });
        assert_eq!(body(&prepared), sample);
    }

    #[test]
    fn queries_come_out_as_documented() {
        let single = prepare(&call("refund_query", json!({})), &institutional()).unwrap();
        let ids = "sp_mchid=1900000002&sub_mchid=10000097";
        assert_eq!(
            single.target,
            format!("/v3/global/refunds/out-refund-no/1217752501201407033233368018?{ids}")
        );
    }

    #[test]
    fn what_cannot_be_refunded_says_why() {
        let refused = |input| prepare(&call("refund", input), &common()).unwrap_err();
        assert_eq!(
            refused(json!({ "transaction_id": "1" })),
            "the call has no paid"
        );
        assert_eq!(
            refused(json!({ "transaction_id": "1", "paid": "1.234" })),
            "paid is no amount in HKD"
        );
        assert_eq!(
            refused(json!({ "paid": "1.23" })),
            "the call has neither transaction_id nor out_trade_no"
        );
    }

    #[test]
    fn an_accepted_refund_has_no_state() {
        let seen = read(
            r#"{"id":"50","out_refund_no":"R-1","create_time":"t","amount":{"refund":888,"currency":"CNY"},"status":"SUCCESS"}"#,
            read_accepted,
        );
        let seen = seen.unwrap();
        assert_eq!(
            (
                seen.order_no.as_deref(),
                seen.receipt.as_deref(),
                seen.state
            ),
            (Some("R-1"), Some("50"), None)
        );
        assert_eq!(seen.amount.unwrap().unwrap().to_string(), "8.88 CNY");
    }

    #[test]
    fn the_documented_notification_reads_like_a_query() {
        let notified = r#"{"sp_mchid":"1900000100","sub_mchid":"1900000109","transaction_id":"1008450740201411110005820873",
            "out_trade_no":"20150806125346","refund_id":"50200207182018070300011301001",
            "out_refund_no":"7752501201407033233368018","refund_status":"SUCCESS",
            "success_time":"2018-06-08T10:34:56+08:00","recv_account":"招商银行信用卡0403",
            "fund_source":"REFUND_SOURCE_UNSETTLED_FUNDS","amount":{"total":528800,"currency":"HKD","refund":528800,
            "payer_total":528800,"payer_refund":528800,"payer_currency":"HKD"}}"#;
        let asked = notified
            .replace("refund_id", "id")
            .replace("refund_status", "status");
        let seen = read(notified, read_refund).unwrap();
        assert_eq!(seen, read(&asked, read_refund).unwrap());
        assert_eq!(seen.state.as_deref(), Some("SUCCESS"));
        assert_eq!(
            seen.receipt.as_deref(),
            Some("50200207182018070300011301001")
        );
        assert_eq!(
            seen.result["transaction_id"],
            "1008450740201411110005820873"
        );
        assert_eq!(seen.result["fund_source"], "REFUND_SOURCE_UNSETTLED_FUNDS");
        assert!(!seen.result.contains_key("recv_account"));
    }
}
