//! Notifications of HipoPay: a form, signed over its raw values (docs/gateways/hipopay.md,
//! "Notifications").

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::auth::notification_message;
use super::{FakeHipopay, status};
use crate::shared::responder::shown_amount;
use crate::shared::transactions::{Transaction, TransactionKind, TransactionState};
use payrun_domain::time::Timestamp;

impl FakeHipopay {
    /// The notification of a payment that is paid: its headers and body.
    pub fn notification(&self, out_trade_id: &str) -> Option<(HeaderMap, Bytes)> {
        let payment = self
            .responder
            .transactions()
            .entry(TransactionKind::Payment, out_trade_id)
            .cloned()?;
        let minor = payment.minor;
        self.notification_of(
            &payment.pretending(TransactionState::Done, minor),
            self.responder.clock.now(),
        )
    }

    /// The notification of a payment as it stands. The real HipoPay tells of paid ones only.
    pub(crate) fn notification_of(
        &self,
        paid: &Transaction,
        signed_at: Timestamp,
    ) -> Option<(HeaderMap, Bytes)> {
        let amount = shown_amount(paid.minor, &paid.currency, None);
        let (settled_in, openid) = self
            .asked()
            .payments
            .get(&paid.number)
            .cloned()
            .unwrap_or_default();
        let currency = self.shown_currency(paid);
        let mut fields = vec![
            ("status", status(paid.state)),
            ("trade_type", "MINIPROGRAM"),
            ("exchange_rate", "1.0000000000"),
            ("payment_no", &paid.theirs),
            ("currency", &currency),
            ("settle_currency", settled_in.unwrap_or(&paid.currency)),
            ("amount", &amount),
            ("trade_time", "2026-11-22 10:00:00"),
            ("finish_time", "2026-11-22 10:00:09"),
            ("pay_currency", &paid.currency),
            ("pay_amount", &amount),
            ("out_trade_id", &paid.number),
        ];
        if !openid.is_empty() {
            fields.push(("openid", &openid));
        }
        let params: Vec<(String, String)> = fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let timestamp = signed_at.seconds().to_string();
        let signature = self
            .platform
            .sign(notification_message(&params, &timestamp).as_bytes())?;
        let mut headers = HeaderMap::new();
        headers.insert("timestamp", HeaderValue::from_str(&timestamp).ok()?);
        headers.insert("signature", HeaderValue::from_str(&signature).ok()?);
        let pairs: Vec<String> = params
            .iter()
            .map(|(name, value)| format!("{name}={}", value.replace(' ', "+")))
            .collect();
        Some((headers, pairs.join("&").into()))
    }
}
