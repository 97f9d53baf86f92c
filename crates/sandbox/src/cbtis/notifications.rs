//! Notifications of CBTIS: whose order it is, and nothing of how it stands but its type
//! (docs/gateways/cbtis.md, "Notifications").

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::json;

use super::auth::signature;
use super::{FakeCbtis, names};
use crate::shared::responder::shown_amount;
use crate::shared::transactions::{Transaction, TransactionKind};

impl FakeCbtis {
    /// The notification of a payment: its headers and body.
    pub fn notification(&self, merchant_order_id: &str) -> Option<(HeaderMap, Bytes)> {
        let paid = self
            .responder
            .transactions()
            .entry(TransactionKind::Payment, merchant_order_id)
            .cloned()?;
        self.notification_of(TransactionKind::Payment, &paid)
    }

    /// The notification of a payment or refund (docs/gateways/cbtis.md, "Notifications"): whose it
    /// is, and nothing of how it stands but its type.
    pub(crate) fn notification_of(
        &self,
        kind: TransactionKind,
        entry: &Transaction,
    ) -> Option<(HeaderMap, Bytes)> {
        let (ours, theirs) = names(kind);
        let notify_type = match kind {
            TransactionKind::Payment => "payment_success",
            TransactionKind::Refund => "refund_success",
            TransactionKind::Cancel => return None,
        };
        let amount = shown_amount(entry.minor, &entry.currency, None);
        let data = json!({ theirs: entry.theirs, ours: entry.number, "order_amount": amount });
        let body = Bytes::from(json!({ "notify_type": notify_type, "data": data }).to_string());
        let signature = signature(&body, &self.identity.api_key());
        let mut headers = HeaderMap::new();
        headers.insert("signature", HeaderValue::from_str(&signature).ok()?);
        Some((headers, body))
    }
}
