//! Withdrawing an order: closing what was not paid, and reversing a quick payment, which gives it
//! back. The reversal of a deduction closes an unpaid one only; one that was paid is refunded
//! (docs/gateways/wechat.md, "Withdrawing").
//!
//! A quick payment is reversed at most once and not beside refunds; the money is in the books like
//! a refund's.

use super::{OrderName, OrderReply, broken, either, no_such_deduction, no_such_order, unmapped};
use crate::FakeWechat;
use crate::shared::fault_flow::FaultReply;
use crate::shared::statements::REVERSAL;
use crate::shared::transactions::{
    Transaction, TransactionKind, TransactionOutcome, TransactionRequest, TransactionResult,
    TransactionState,
};
use crate::wechat::deductions::WechatReply;
use crate::wechat::order_book::{Counter, OrderState};
use crate::wechat::order_store::StoreError;
use payrun_domain::time::Timestamp;

/// How an order is withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WithdrawMethod {
    /// What was not paid.
    Close,
    /// A payment by code.
    Reverse,
}

/// Under what a closing is among the transactions: a number no merchant can use.
pub(super) fn closing(number: &str) -> String {
    format!("close {number}")
}

/// Under what a reversal of a paid order is among the transactions.
pub(super) fn reversal(number: &str) -> String {
    format!("{REVERSAL}{number}")
}

impl FakeWechat {
    /// Withdraws an order.
    pub(super) async fn withdraw(
        &self,
        way: WithdrawMethod,
        name: OrderName,
        now: Timestamp,
    ) -> OrderReply {
        let (OrderName::Theirs(subject) | OrderName::Ours(subject)) = &name;
        match self.find(&name).await {
            Err(error) => (subject.clone(), Err(error)),
            Ok(None) => (subject.clone(), Ok(no_such_order())),
            // Deductions are withdrawn by a call of their own.
            Ok(Some((number, true))) => (number, Ok(no_such_order())),
            Ok(Some((number, false))) => {
                let payment = self
                    .payments
                    .responder
                    .transactions()
                    .entry(TransactionKind::Payment, &number)
                    .cloned();
                let said = payment.map_or_else(no_such_order, |payment| match way {
                    WithdrawMethod::Close => self.close(&payment, now),
                    WithdrawMethod::Reverse => self.reverse(&payment, now),
                });
                (number, Ok(said))
            }
        }
    }

    fn close(&self, payment: &Transaction, now: Timestamp) -> WechatReply {
        if now < payment.at.plus(self.settings.close_after) {
            return invalid("too early to be closed");
        }
        let number = payment.number.as_str();
        let mut transactions = self.payments.responder.transactions();
        let asked = TransactionRequest {
            kind: TransactionKind::Cancel,
            number: closing(number),
            minor: 0,
            ..of(payment)
        };
        let TransactionOutcome { what, fault } = transactions.submit(asked, &self.settings, now);
        let state = transactions
            .entry(TransactionKind::Payment, number)
            .map_or(TransactionState::Seen, |payment| payment.state);
        let said = match (what, state) {
            (TransactionResult::Faulty(FaultReply::Soft), _) => broken(),
            (TransactionResult::Faulty(FaultReply::Hard), _) => invalid("not this one"),
            (TransactionResult::Faulty(FaultReply::Unmapped), _) => unmapped(),
            (_, TransactionState::Done) => {
                WechatReply::error(400, "ORDERPAID", "this order is paid")
            }
            (_, TransactionState::Cancelled | TransactionState::Failed) => {
                WechatReply::nothing(None)
            }
            (_, TransactionState::Open | TransactionState::Seen) => broken(),
        };
        said.with(fault)
    }

    fn reverse(&self, payment: &Transaction, now: Timestamp) -> WechatReply {
        if now < payment.at.plus(self.settings.reverse_after) {
            return invalid("too early to be reversed");
        }
        let mut transactions = self.payments.responder.transactions();
        let Some(payment) = transactions.force_query(&payment.number, &self.settings, now) else {
            return no_such_order();
        };
        let known = transactions
            .entry(TransactionKind::Refund, &reversal(&payment.number))
            .is_some();
        match payment.state {
            TransactionState::Open | TransactionState::Seen => return broken(),
            TransactionState::Failed | TransactionState::Cancelled => {
                return WechatReply::nothing(None);
            }
            TransactionState::Done if payment.given_back > 0 && !known => {
                return invalid("there are refunds of it");
            }
            TransactionState::Done => {}
        }
        let asked = TransactionRequest {
            kind: TransactionKind::Refund,
            number: reversal(&payment.number),
            ..of(&payment)
        };
        let TransactionOutcome { what, fault } = transactions.submit(asked, &self.settings, now);
        let said = match what {
            TransactionResult::Transaction(entry) if entry.state == TransactionState::Done => {
                WechatReply::nothing(None)
            }
            TransactionResult::Faulty(FaultReply::Hard)
            | TransactionResult::TooMuch
            | TransactionResult::WrongState => invalid("it cannot be reversed"),
            TransactionResult::Faulty(FaultReply::Unmapped) => unmapped(),
            TransactionResult::Transaction(entry) if entry.state == TransactionState::Failed => {
                invalid("it cannot be reversed")
            }
            TransactionResult::Transaction(_)
            | TransactionResult::Faulty(FaultReply::Soft)
            | TransactionResult::OtherBody
            | TransactionResult::NoPayment
            | TransactionResult::Full => broken(),
        };
        said.with(fault)
    }

    /// The reversal of a deduction: it is closed, unless it was paid or is still being decided.
    pub(super) async fn reverse_deduction(
        &self,
        number: &str,
        now: Timestamp,
    ) -> Result<WechatReply, StoreError> {
        let mut books = self.books.lock().await;
        let Some(mut order) = books
            .get(number)
            .await?
            .filter(|order| order.state != OrderState::Seen)
        else {
            return Ok(no_such_deduction());
        };
        // There is no outcome that a fault could change.
        let fault = order.calls.submit(&self.settings.plan, number, true);
        order.calls.note(fault);
        if let Some(fault) = fault {
            books.count(Counter::Fault, fault.as_str());
        }
        let before = order.state;
        if !fault.is_some_and(super::Fault::is_before) {
            order.queries_left = order.queries_left.saturating_sub(1);
            self.decide(&mut order, now, &mut books);
            if order.state == OrderState::NotPay {
                order.state = OrderState::Closed;
            }
        }
        let said = match order.state {
            OrderState::Closed if before == OrderState::Closed => {
                spelled(number, 400, ["ORDERCLOSED", "ORDER_CLOSED"])
            }
            OrderState::Closed => WechatReply::nothing(None),
            OrderState::PayError => spelled(number, 400, ["ORDERCLOSED", "ORDER_CLOSED"]),
            OrderState::Success => spelled(number, 400, ["ORDERPAID", "ORDER_PAID"]),
            OrderState::Processing | OrderState::NotPay => {
                spelled(number, 500, ["SYSTEMERROR", "SYSTEM_ERROR"])
            }
            OrderState::Seen => no_such_deduction(),
        };
        books.put(order).await?;
        Ok(said.with(fault))
    }
}

/// A code that the pages spell in two ways: every number gets one of them.
fn spelled(number: &str, http: u16, code: [&str; 2]) -> WechatReply {
    WechatReply::error(
        http,
        code[usize::from(either(number))],
        "the deduction's state forbids it",
    )
}

/// What withdrawing a payment asks for.
fn of(payment: &Transaction) -> TransactionRequest {
    TransactionRequest {
        kind: TransactionKind::Refund,
        number: String::new(),
        of: payment.number.clone(),
        currency: payment.currency.clone(),
        minor: payment.minor,
        body: Vec::new(),
        waits: false,
    }
}

fn invalid(why: &str) -> WechatReply {
    WechatReply::error(403, "INVALID_REQUEST", why)
}
