//! Notifications as the gateway sends them (docs/gateways/wechat.md, "Notifications"): encrypted
//! under the APIv3 key, signed like a reply.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use super::OrderName;
use super::refunds::{amount, status};
use crate::FakeWechat;
use crate::shared::keys::nonce;
use crate::shared::transactions::{
    Transaction, TransactionKind, TransactionRequest, TransactionState,
};
use crate::wechat::order_book::DeductionOrder;
use crate::wechat::order_store::StoreError;
use payrun_domain::time::Timestamp;

impl FakeWechat {
    /// The notification of an order that is paid, a deduction or not: its headers and body. None if
    /// it is not paid.
    ///
    /// # Errors
    /// If the books cannot be read.
    pub async fn notification(
        &self,
        out_trade_no: &str,
    ) -> Result<Option<(HeaderMap, Bytes)>, StoreError> {
        self.find(&OrderName::Ours(out_trade_no.to_owned())).await?;
        let paid = self
            .payments
            .responder
            .transactions()
            .entry(TransactionKind::Payment, out_trade_no)
            .cloned();
        let paid = paid.filter(|payment| payment.state == TransactionState::Done);
        Ok(paid.and_then(|payment| {
            self.notification_of(TransactionKind::Payment, &payment, self.clock.now())
        }))
    }

    /// The notification of a refund that has been decided: its headers and body.
    pub fn refund_notification(&self, out_refund_no: &str) -> Option<(HeaderMap, Bytes)> {
        let refund = self.refund(out_refund_no)?;
        let decided = !matches!(
            refund.state,
            TransactionState::Seen | TransactionState::Open
        );
        if decided {
            self.notification_of(TransactionKind::Refund, &refund, self.clock.now())
        } else {
            None
        }
    }

    /// The notification of a payment or refund as it stands, signed at an instant. The real WeChat
    /// Pay tells of ends only.
    pub(crate) fn notification_of(
        &self,
        kind: TransactionKind,
        entry: &Transaction,
        at: Timestamp,
    ) -> Option<(HeaderMap, Bytes)> {
        match kind {
            TransactionKind::Payment => {
                let event = if entry.state == TransactionState::Done {
                    "TRANSACTION.SUCCESS"
                } else {
                    "TRANSACTION.CHANGED"
                };
                self.notice_at(event, "transaction", &self.told_order(entry), at)
            }
            TransactionKind::Refund => {
                let event = match entry.state {
                    TransactionState::Done => "REFUND.SUCCESS",
                    TransactionState::Failed => "REFUND.ABNORMAL",
                    TransactionState::Cancelled => "REFUND.CLOSED",
                    TransactionState::Seen | TransactionState::Open => "REFUND.CHANGED",
                };
                self.notice_at(event, "refund", &self.told_refund(entry)?, at)
            }
            TransactionKind::Cancel => None,
        }
    }

    /// A payment to be told of: one of the transactions, or a deduction that is not decided.
    ///
    /// # Errors
    /// If the books cannot be read.
    pub(crate) async fn payment(&self, number: &str) -> Result<Option<Transaction>, StoreError> {
        self.find(&OrderName::Ours(number.to_owned())).await?;
        if let Some(entry) = self
            .payments
            .responder
            .transactions()
            .entry(TransactionKind::Payment, number)
            .cloned()
        {
            return Ok(Some(entry));
        }
        let order = self.books.lock().await.get(number).await?;
        Ok(order.map(|order| undecided(&order)))
    }

    /// Decides the deductions whose time has come, though nobody asks.
    ///
    /// # Errors
    /// If the books cannot be read.
    pub(crate) async fn decide_deductions(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut books = self.books.lock().await;
        let waiting: Vec<String> = books.processing.values().cloned().collect();
        for number in waiting {
            if let Some(mut order) = books.get(&number).await? {
                self.decide(&mut order, now, &mut books);
                books.put(order).await?;
            }
        }
        Ok(())
    }

    fn told_refund(&self, refund: &Transaction) -> Option<Value> {
        let payment = self
            .payments
            .responder
            .transactions()
            .entry(TransactionKind::Payment, &refund.of)
            .cloned()?;
        let mut resource = json!({
            "transaction_id": payment.theirs,
            "out_trade_no": payment.number,
            "refund_id": refund.theirs,
            "out_refund_no": refund.number,
            "refund_status": status(refund),
            "success_time": refund.at.to_string(),
            "recv_account": "招商银行信用卡0403",
            "fund_source": "REFUND_SOURCE_UNSETTLED_FUNDS",
            "amount": amount(refund, None),
        });
        resource["amount"]["total"] = json!(payment.minor);
        self.show_ids(&mut resource, false);
        Some(resource)
    }

    /// An order as notifications show it: its number is called `transaction_id` here.
    fn told_order(&self, payment: &Transaction) -> Value {
        let deduction =
            payment.is_external() || self.payments.notes().deductions.contains(&payment.number);
        let mut shown = self.show_payment(payment, None);
        if let Some(fields) = shown.as_object_mut() {
            fields.remove("id");
        }
        shown["transaction_id"] = json!(payment.theirs);
        if payment.state == TransactionState::Done {
            shown["trade_state"] = json!("SUCCESS");
        }
        if deduction {
            shown["trade_type"] = json!("AUTH");
        }
        shown
    }

    /// A notification of anything, signed now.
    #[cfg(test)]
    pub(super) fn notice(
        &self,
        event: &str,
        kind: &str,
        resource: &Value,
    ) -> Option<(HeaderMap, Bytes)> {
        self.notice_at(event, kind, resource, self.clock.now())
    }

    /// Encrypts and signs a notification. None if there is no randomness or the crypto library
    /// refuses.
    fn notice_at(
        &self,
        event: &str,
        kind: &str,
        resource: &Value,
        at: Timestamp,
    ) -> Option<(HeaderMap, Bytes)> {
        let random: String = nonce()?.chars().take(12).collect();
        let text = serde_json::to_vec(resource).ok()?;
        let notice = json!({
            "id": format!("EV-{}", nonce()?),
            "create_time": at.to_string(),
            "resource_type": "encrypt-resource",
            "event_type": event,
            "summary": "a summary in words",
            "resource": {
                "original_type": kind,
                "algorithm": "AEAD_AES_256_GCM",
                "ciphertext": self.api_key.seal(&random, kind, &text)?,
                "associated_data": kind,
                "nonce": random,
            },
        });
        let body = Bytes::from(serde_json::to_vec(&notice).ok()?);
        let signed = self.signed_at(200, body.clone(), &body, at)?;
        Some((signed.headers().clone(), signed.into_body()))
    }
}

/// A deduction that is not decided, as the transactions would have it.
fn undecided(order: &DeductionOrder) -> Transaction {
    Transaction::external(&TransactionRequest {
        kind: TransactionKind::Payment,
        number: order.number.clone(),
        of: String::new(),
        currency: order.currency.clone(),
        minor: order.minor,
        body: Vec::new(),
        waits: true,
    })
}
