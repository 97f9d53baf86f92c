//! Notifications as the gateway sends them (gateways.md 3.4): encrypted under the APIv3 key, signed like a reply.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::super::Sandbox;
use super::super::store::StoreError;
use super::super::till::{Entry, Sort, Standing};
use super::Name;
use super::refunds::{amount, status};
use crate::gateway::wechat::sign::nonce;

impl Sandbox {
    /// The notification of an order that is paid, a deduction or not: its headers and body. None if it is not paid.
    ///
    /// # Errors
    /// If the books cannot be read.
    pub async fn notification(&self, out_trade_no: &str) -> Result<Option<(HeaderMap, Bytes)>, StoreError> {
        self.find(&Name::Ours(out_trade_no.to_owned())).await?;
        let paid = self.desk.counter.till().entry(Sort::Payment, out_trade_no).cloned();
        let paid = paid.filter(|payment| payment.standing == Standing::Done);
        Ok(paid.and_then(|payment| {
            let deduction = self.desk.notes().deductions.contains(out_trade_no);
            self.notice("TRANSACTION.SUCCESS", "transaction", &self.paid_order(&payment, deduction))
        }))
    }

    /// The notification of a refund that has been decided: its headers and body.
    pub fn refund_notification(&self, out_refund_no: &str) -> Option<(HeaderMap, Bytes)> {
        let refund = self.refund(out_refund_no)?;
        let event = match refund.standing {
            Standing::Done => "REFUND.SUCCESS",
            Standing::Failed => "REFUND.ABNORMAL",
            Standing::Cancelled => "REFUND.CLOSED",
            Standing::Seen | Standing::Open => return None,
        };
        let payment = self.desk.counter.till().entry(Sort::Payment, &refund.of).cloned()?;
        let mut resource = json!({
            "transaction_id": payment.theirs,
            "out_trade_no": payment.number,
            "refund_id": refund.theirs,
            "out_refund_no": refund.number,
            "refund_status": status(&refund),
            "success_time": refund.at.to_string(),
            "recv_account": "招商银行信用卡0403",
            "fund_source": "REFUND_SOURCE_UNSETTLED_FUNDS",
            "amount": amount(&refund, None),
        });
        resource["amount"]["total"] = json!(payment.minor);
        self.show_ids(&mut resource, false);
        self.notice(event, "refund", &resource)
    }

    /// A paid order as notifications show it: its number is called `transaction_id` here.
    fn paid_order(&self, payment: &Entry, deduction: bool) -> Value {
        let mut shown = self.show_payment(payment, None);
        if let Some(fields) = shown.as_object_mut() {
            fields.remove("id");
        }
        shown["transaction_id"] = json!(payment.theirs);
        shown["trade_state"] = json!("SUCCESS");
        if deduction {
            shown["trade_type"] = json!("AUTH");
        }
        shown
    }

    /// Encrypts and signs a notification. None if there is no randomness or the crypto library refuses.
    pub(super) fn notice(&self, event: &str, kind: &str, resource: &Value) -> Option<(HeaderMap, Bytes)> {
        let random: String = nonce().ok()?.chars().take(12).collect();
        let text = serde_json::to_vec(resource).ok()?;
        let notice = json!({
            "id": format!("EV-{}", nonce().ok()?),
            "create_time": self.clock.now().to_string(),
            "resource_type": "encrypt-resource",
            "event_type": event,
            "summary": "a summary in words",
            "resource": {
                "original_type": kind,
                "algorithm": "AEAD_AES_256_GCM",
                "ciphertext": self.api_key.seal(&random, kind, &text).ok()?,
                "associated_data": kind,
                "nonce": random,
            },
        });
        let signed = self.reply(200, &notice, None)?;
        Some((signed.headers().clone(), signed.into_body()))
    }
}
