//! Withdrawing an order (gateways.md 4.1 and 4.2): closing what was not paid, and reversing, which gives back what was.
//!
//! A payment is reversed at most once and not beside refunds; the money is in the books like a refund's.

use super::super::books::OrderState;
use super::super::faults::CallKind;
use super::super::orders::Said;
use super::super::statements::REVERSAL;
use super::super::store::StoreError;
use super::super::till::{Asked, Entry, Outcome, Sort, Standing, What};
use super::super::{Sandbox, books};
use super::{Answer, Name, broken, no_such_order, unlisted};
use crate::domain::time::Timestamp;

/// How an order is withdrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// What was not paid.
    Close,
    /// A payment by code.
    Reverse,
    /// A deduction.
    Deduction,
}

/// Under what a closing is in the till: a number no merchant can use.
pub(super) fn closing(number: &str) -> String {
    format!("close {number}")
}

/// Under what a reversal of a paid order is in the till.
pub(super) fn reversal(number: &str) -> String {
    format!("{REVERSAL}{number}")
}

impl Sandbox {
    /// Withdraws an order.
    pub(super) async fn withdraw(&self, way: Way, name: Name, now: Timestamp) -> Answer {
        let (Name::Theirs(subject) | Name::Ours(subject)) = &name;
        match self.find(&name).await {
            Err(error) => (subject.clone(), Err(error)),
            Ok(None) => (subject.clone(), Ok(no_such_order())),
            Ok(Some((number, deduction))) => {
                let said = match (way, deduction) {
                    (Way::Reverse, true) | (Way::Deduction, false) => {
                        Ok(invalid("this order is withdrawn in another way"))
                    }
                    (Way::Close, _) | (Way::Reverse, false) | (Way::Deduction, true) => {
                        self.withdraw_number(way, &number, now).await
                    }
                };
                (number, said)
            }
        }
    }

    async fn withdraw_number(&self, way: Way, number: &str, now: Timestamp) -> Result<Said, StoreError> {
        let payment = self.desk.counter.till().entry(Sort::Payment, number).cloned();
        match payment {
            None => self.withdraw_unpaid_deduction(number, now).await,
            Some(payment) => Ok(match way {
                Way::Close => self.close(&payment, now),
                Way::Reverse | Way::Deduction => self.reverse(&payment, now),
            }),
        }
    }

    fn close(&self, payment: &Entry, now: Timestamp) -> Said {
        if now < payment.at.plus(self.settings.close_after) {
            return invalid("too early to be closed");
        }
        let number = payment.number.as_str();
        let mut till = self.desk.counter.till();
        let asked = Asked { sort: Sort::Cancel, number: closing(number), minor: 0, ..of(payment) };
        let Outcome { what, fault } = till.submit(asked, &self.settings, now);
        let standing = till.entry(Sort::Payment, number).map_or(Standing::Seen, |payment| payment.standing);
        let said = match (what, standing) {
            (What::Soft, _) => broken(),
            (What::Hard, _) => invalid("not this one"),
            (What::Unlisted, _) => unlisted(),
            (_, Standing::Done) => Said::error(400, "ORDERPAID", "this order is paid"),
            (_, Standing::Cancelled | Standing::Failed) => Said::nothing(None),
            (_, Standing::Open | Standing::Seen) => broken(),
        };
        said.with(fault)
    }

    fn reverse(&self, payment: &Entry, now: Timestamp) -> Said {
        if now < payment.at.plus(self.settings.reverse_after) {
            return invalid("too early to be reversed");
        }
        let mut till = self.desk.counter.till();
        let Some(payment) = till.press(&payment.number, &self.settings, now) else { return no_such_order() };
        let known = till.entry(Sort::Refund, &reversal(&payment.number)).is_some();
        match payment.standing {
            Standing::Open | Standing::Seen => return broken(),
            Standing::Failed | Standing::Cancelled => return Said::nothing(None),
            Standing::Done if payment.given_back > 0 && !known => return invalid("there are refunds of it"),
            Standing::Done => {}
        }
        let asked = Asked { sort: Sort::Refund, number: reversal(&payment.number), ..of(&payment) };
        let Outcome { what, fault } = till.submit(asked, &self.settings, now);
        let said = match what {
            What::Entry(entry) if entry.standing == Standing::Done => Said::nothing(None),
            What::Hard | What::TooMuch | What::WrongState => invalid("it cannot be reversed"),
            What::Unlisted => unlisted(),
            What::Entry(entry) if entry.standing == Standing::Failed => invalid("it cannot be reversed"),
            What::Entry(_) | What::Soft | What::OtherBody | What::NoPayment | What::Full => broken(),
        };
        said.with(fault)
    }

    /// A deduction no money was taken for: it is closed, unless it is still being decided.
    async fn withdraw_unpaid_deduction(&self, number: &str, now: Timestamp) -> Result<Said, StoreError> {
        let mut books = self.books.lock().await;
        let Some(mut order) = books.get(number).await? else { return Ok(no_such_order()) };
        let drawn = self.settings.plan.meets(number, order.calls, order.met, CallKind::Submit);
        // A fault of the outcome means nothing where there is none.
        let fault = drawn.filter(|fault| !fault.is_outcome());
        order.calls = order.calls.saturating_add(1);
        if let Some(fault) = fault {
            order.met = order.met.saturating_add(1);
            books.count(books::Counter::Fault, fault.word());
        }
        if !fault.is_some_and(super::Fault::is_before) {
            order.queries_left = order.queries_left.saturating_sub(1);
            self.decide(&mut order, now, &mut books);
            if order.state == OrderState::NotPay {
                order.state = OrderState::Closed;
            }
        }
        let said = match order.state {
            OrderState::Closed | OrderState::PayError => Said::nothing(None),
            // Paid just now: to be asked for once more, it is given back then.
            OrderState::Processing | OrderState::Success | OrderState::NotPay => broken(),
            OrderState::Seen => no_such_order(),
        };
        books.put(order).await?;
        Ok(said.with(fault))
    }
}

/// What withdrawing a payment asks for.
fn of(payment: &Entry) -> Asked {
    Asked {
        sort: Sort::Refund,
        number: String::new(),
        of: payment.number.clone(),
        currency: payment.currency.clone(),
        minor: payment.minor,
        body: Vec::new(),
        waits: false,
    }
}

fn invalid(why: &str) -> Said {
    Said::error(403, "INVALID_REQUEST", why)
}
