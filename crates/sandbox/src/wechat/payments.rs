//! Quick pay, and what an order of any kind looks like (docs/gateways/wechat.md, "Orders and
//! deductions"). The end of the payment code says what its payer does: `0000` takes a while, `0001`
//! cannot pay, any other has paid at once.

use serde_json::{Value, json};

use super::body::Micropay;
use super::withdrawals::{closing, reversal};
use super::{OrderName, OrderReply, broken, either, no_such_order, unmapped};
use crate::FakeWechat;
use crate::faults::Fault;
use crate::shared::fault_flow::FaultReply;
use crate::shared::transactions::{
    Transaction, TransactionKind, TransactionOutcome, TransactionRequest, TransactionResult,
    TransactionState,
};
use crate::wechat::Refusal;
use crate::wechat::deductions::WechatReply;
use crate::wechat::order_store::StoreError;
use payrun_domain::time::Timestamp;

impl FakeWechat {
    /// A payment by code.
    pub(super) async fn pay(&self, bytes: &[u8], now: Timestamp) -> Result<OrderReply, Refusal> {
        let body = Micropay::read(bytes)?;
        let number = body.out_trade_no.clone();
        let said = match self.books.lock().await.get(&number).await {
            Err(error) => Err(error),
            Ok(Some(_)) => {
                self.payments.responder.transactions().violate("two_bodies");
                Ok(number_used())
            }
            Ok(None) => Ok(self.take_payment(&body, bytes, now)),
        };
        Ok((number, said))
    }

    fn take_payment(&self, body: &Micropay, bytes: &[u8], now: Timestamp) -> WechatReply {
        let asked = TransactionRequest {
            kind: TransactionKind::Payment,
            number: body.out_trade_no.clone(),
            of: String::new(),
            currency: body.amount.currency.clone(),
            minor: body.amount.total,
            body: bytes.to_vec(),
            waits: body.payer.auth_code.ends_with("0000") || body.payer.auth_code.ends_with("0001"),
        };
        let mut transactions = self.payments.responder.transactions();
        let TransactionOutcome { what, fault } = transactions.submit(asked, &self.settings, now);
        if body.payer.auth_code.ends_with("0001") && !matches!(what, TransactionResult::OtherBody) {
            transactions.fail(&body.out_trade_no);
        }
        let entry = transactions
            .entry(TransactionKind::Payment, &body.out_trade_no)
            .cloned();
        drop(transactions);
        let said = match (what, entry) {
            (TransactionResult::Transaction(_), Some(entry)) => WechatReply {
                http: 200,
                body: self.show_payment(&entry, fault),
                fault: None,
            },
            (TransactionResult::Faulty(FaultReply::Soft), _) => {
                WechatReply::error(403, "NOT_ENOUGH", "balance not enough")
            }
            (TransactionResult::Faulty(FaultReply::Hard), _) => {
                WechatReply::error(403, "USER_ACCOUNT_ABNORMAL", "the payer's account")
            }
            (TransactionResult::Faulty(FaultReply::Unmapped), _) => unmapped(),
            (TransactionResult::OtherBody, _) => number_used(),
            (
                TransactionResult::Transaction(_)
                | TransactionResult::NoPayment
                | TransactionResult::WrongState
                | TransactionResult::TooMuch
                | TransactionResult::Full,
                _,
            ) => broken(),
        };
        said.with(fault)
    }

    /// A query of an order, of whatever kind.
    pub(super) async fn show_order(&self, name: OrderName, now: Timestamp) -> OrderReply {
        let subject = match &name {
            OrderName::Theirs(id) => self.payments.number_of(&name).unwrap_or_else(|| id.clone()),
            OrderName::Ours(number) => number.clone(),
        };
        let said = if self.payments.has_payment(&subject) {
            let (seen, fault) = self.payments.responder.transactions().query(
                TransactionKind::Payment,
                &subject,
                &self.settings,
                now,
            );
            let said = seen.map(|entry| WechatReply {
                http: 200,
                body: self.show_payment(&entry, fault),
                fault: None,
            });
            Ok(said.unwrap_or_else(no_such_order).with(fault))
        } else {
            self.show_deduction(&name, now).await
        };
        (subject, said)
    }

    /// A deduction as the query of orders of every kind shows it: its number is called `id` here.
    /// Whether that query knows deductions is not documented \[C\]: here it knows half of them.
    async fn show_deduction(
        &self,
        name: &OrderName,
        now: Timestamp,
    ) -> Result<WechatReply, StoreError> {
        let number = match name {
            OrderName::Ours(number) => number.clone(),
            OrderName::Theirs(id) => {
                let order = self.books.lock().await.get_by_transaction(id).await?;
                order.map(|order| order.number).unwrap_or_default()
            }
        };
        if !either(&number) {
            return Ok(no_such_order());
        }
        let mut said = match name {
            OrderName::Theirs(id) => self.query_transaction(id, now).await?,
            OrderName::Ours(number) => self.query(number, now).await?,
        };
        if said.http == 404 {
            return Ok(no_such_order().with(said.fault));
        }
        let id = said
            .body
            .as_object_mut()
            .and_then(|body| body.remove("transaction_id"));
        if let Some(id) = id {
            said.body["id"] = id;
        }
        Ok(said)
    }

    /// A payment by code as replies show it.
    pub(super) fn show_payment(&self, entry: &Transaction, fault: Option<Fault>) -> Value {
        let (trade_state, description) = match entry.state {
            // Which of the two states a reversed payment has is not documented: half of them have
            // each.
            TransactionState::Done
                if self.stands(TransactionKind::Refund, &reversal(&entry.number))
                    == Some(TransactionState::Done) =>
            {
                if either(&entry.number) {
                    ("REVOKED", "Revoked")
                } else {
                    ("REFUND", "Transfer to refund")
                }
            }
            TransactionState::Done
                if self.stands(TransactionKind::Refund, &reversal(&entry.number))
                    == Some(TransactionState::Open) =>
            {
                ("SUCCESS", "Payment success")
            }
            TransactionState::Done if entry.given_back > 0 => ("REFUND", "Transfer to refund"),
            TransactionState::Done => ("SUCCESS", "Payment success"),
            TransactionState::Seen | TransactionState::Open => {
                ("USERPAYING", "payment in progress")
            }
            TransactionState::Failed => ("PAYERROR", "Payment failed"),
            TransactionState::Cancelled
                if self.stands(TransactionKind::Cancel, &closing(&entry.number))
                    == Some(TransactionState::Done) =>
            {
                ("CLOSED", "Closed")
            }
            TransactionState::Cancelled => ("REVOKED", "Revoked"),
        };
        let total = entry.minor + i64::from(fault == Some(Fault::OtherAmount));
        let mut shown = json!({
            "id": entry.theirs,
            "out_trade_no": entry.number,
            "trade_type": "MICROPAY",
            "trade_state": trade_state,
            "trade_state_desc": description,
            "amount": { "total": total, "currency": entry.currency },
        });
        self.show_ids(&mut shown, true);
        if entry.state == TransactionState::Done {
            shown["bank_type"] = json!("WPHK");
            shown["success_time"] = json!(entry.at.to_string());
            shown["payer"] = json!({ "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6a" });
            shown["amount"]["payer_total"] = json!(total);
            shown["amount"]["payer_currency"] = json!(entry.currency);
        }
        shown
    }

    fn stands(&self, kind: TransactionKind, number: &str) -> Option<TransactionState> {
        self.payments
            .responder
            .transactions()
            .entry(kind, number)
            .map(|entry| entry.state)
    }
}

fn number_used() -> WechatReply {
    WechatReply::error(
        400,
        "OUT_TRADE_NO_USED",
        "this order number belongs to another request",
    )
}
