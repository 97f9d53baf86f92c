//! Notifications of EGMS, signed for the webhook that it was given (docs/gateways/egms.md,
//! "Notifications").

use bytes::Bytes;
use http::HeaderMap;
use serde_json::json;

use super::{FakeEgms, show, status_word};
use crate::shared::transactions::{Transaction, TransactionKind};
use payrun_domain::time::Timestamp;

impl FakeEgms {
    /// The notification of a payment as it stands, signed for the webhook at `path`: its headers
    /// and body.
    pub fn notification(&self, merchant_trans_id: &str, path: &str) -> Option<(HeaderMap, Bytes)> {
        let payment = self
            .responder
            .transactions()
            .entry(TransactionKind::Payment, merchant_trans_id)
            .cloned()?;
        self.notification_of(
            TransactionKind::Payment,
            &payment,
            path,
            self.responder.clock.now(),
        )
    }

    /// The notification of anything as it stands, signed for the webhook at `path`. The real EGMS
    /// tells of ends only.
    pub(crate) fn notification_of(
        &self,
        kind: TransactionKind,
        entry: &Transaction,
        path: &str,
        signed_at: Timestamp,
    ) -> Option<(HeaderMap, Bytes)> {
        let event = match kind {
            TransactionKind::Payment => "Payment",
            TransactionKind::Refund => "Refund",
            TransactionKind::Cancel => "Cancel",
        };
        let body = json!({ "eventCode": event, status_word(kind): show(entry, kind, None) });
        let body = Bytes::from(body.to_string());
        let mut headers = HeaderMap::new();
        self.sign_into("POST", path, &body, signed_at, &mut headers)?;
        Some((headers, body))
    }
}
