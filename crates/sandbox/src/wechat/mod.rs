//! The fake of WeChat Pay Global: deductions, orders of every kind, quick pay, withdrawing,
//! refunds, contracts, customs, statements, settlements, and notifications.
//!
//! Payments by code and refunds are among the transactions; deductions stay in their own books, on
//! disk, and are taken over into the transactions when money of them is given back. No payment
//! counts in both.
//!
//! A contract exists if it is asked for; the end of its id says what it is worth:
//!
//! | contract id ends with | query | deduction |
//! |---|---|---|
//! | `-terminated` | `TERMINATED` | 403 `CONTRACT_NOT_EXIST` |
//! | `-unknown` | 404 `RESOURCE_NOT_EXISTS` | 403 `CONTRACT_NOT_EXIST` |
//! | `-blocked` | `SIGNED` | 403 `USER_ACCOUNT_ABNORMAL` |
//! | `-poor` | `SIGNED` | 403 `NOT_ENOUGH`, and the order is `NOTPAY` |
//! | `-invalid` | `SIGNED` | 400 `PARAM_ERROR`, and no order |
//! | anything else | `SIGNED` | succeeds |
//!
//! The end of a payment code says what its payer does: `0000` takes a while, `0001` cannot pay, any
//! other has paid at once. What is refunded, reversed or paid by code is in memory only.
//!
//! The statement of a day is written from the books; [`Settings::statements`] says when it is
//! there. One settlement batch a day and currency is shown, first as not settled for
//! [`Settings::unsettled`] queries.
//!
//! A second deduction of a contract while one has not ended is refused with 429 `FREQUENCY_LIMITED`
//! and counted as the violation `overlapping_contract`; a second body under one order number with
//! 400 `OUT_TRADE_NO_USED`, as `two_bodies`.

pub mod account_keys;
pub mod auth;
pub(crate) mod body;
mod certificates;
mod contracts;
pub(crate) mod customs;
pub(crate) mod deductions;
pub(crate) mod fake;
pub(crate) mod in_flight;
#[cfg(test)]
mod key_change_tests;
mod nonces;
mod notifications;
pub(crate) mod order_book;
pub(crate) mod order_store;
mod payments;
mod query;
mod refunds;
mod replies;
mod settlements;
pub(crate) mod statements;
#[cfg(test)]
mod tests;
mod withdrawals;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Method;
use serde_json::Value;

use crate::faults::Fault;
use crate::shared::fault_flow::Calls;
use crate::shared::percent_decoding::decode;
use crate::shared::responder::Responder;
use crate::shared::transactions::{
    Transaction, TransactionKind, TransactionRequest, TransactionState,
};
use crate::wechat::deductions::WechatReply;
use crate::wechat::order_book::{ChargedSum, OrderState, Totals};
use crate::wechat::order_store::StoreError;
use crate::{FakeWechat, Settings};
use payrun_domain::money::Amount;
use payrun_domain::time::Timestamp;
use payrun_gateway::transport::Request;
use payrun_project::config::WechatMode;
use payrun_system::clock::Clock;
pub(crate) use replies::Refusal;
use withdrawals::WithdrawMethod;

/// The transactions, and what is noted beside it.
#[derive(Debug)]
pub(crate) struct Payments {
    pub(crate) responder: Responder,
    notes: Mutex<OrderNotes>,
}

#[derive(Debug, Default)]
struct OrderNotes {
    /// Deductions that were taken over into the transactions.
    deductions: HashSet<String>,
    /// By payment.
    refunds: HashMap<String, Refunds>,
    /// Contracts somebody asked to be ended.
    contracts: HashMap<String, ContractEnding>,
}

/// The refunds of a payment, in the order they were accepted.
#[derive(Debug, Default)]
struct Refunds {
    numbers: Vec<String>,
    last: Timestamp,
}

/// What became of a contract that was to be ended.
#[derive(Debug, Default)]
struct ContractEnding {
    calls: Calls,
    note: Option<String>,
}

/// Whose order it is about, and what is said.
type OrderReply = (String, Result<WechatReply, StoreError>);

/// An order's name: the gateway's number or the merchant's.
#[derive(Debug, Clone, PartialEq, Eq)]
enum OrderName {
    Theirs(String),
    Ours(String),
}

impl Payments {
    pub(crate) fn new(settings: Settings, clock: Clock) -> Self {
        Self {
            responder: Responder::new(settings, clock),
            notes: Mutex::default(),
        }
    }

    fn notes(&self) -> MutexGuard<'_, OrderNotes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a payment that is no deduction has this number.
    pub(crate) fn has_payment(&self, number: &str) -> bool {
        !self.notes().deductions.contains(number)
            && self
                .responder
                .transactions()
                .entry(TransactionKind::Payment, number)
                .is_some()
    }

    /// A paid payment that is no deduction.
    pub(crate) fn paid(&self, number: &str) -> Option<Transaction> {
        let payment = self
            .responder
            .transactions()
            .entry(TransactionKind::Payment, number)
            .cloned();
        payment
            .filter(|payment| payment.state == TransactionState::Done && self.has_payment(number))
    }

    /// Whether money of this payment is given back, or is about to be.
    pub(crate) fn gives_back(&self, number: &str) -> bool {
        self.responder
            .transactions()
            .entry(TransactionKind::Payment, number)
            .is_some_and(|payment| payment.given_back > 0)
    }

    /// Whether the merchant has ended this contract.
    pub(crate) fn has_ended(&self, contract: &str) -> bool {
        self.notes()
            .contracts
            .get(contract)
            .is_some_and(|ending| ending.note.is_some())
    }

    /// The books of deductions with what the transactions hold beside them.
    pub(crate) fn add_to(&self, mut totals: Totals) -> Totals {
        let transactions = self.responder.totals();
        let moved = |sums: BTreeMap<String, (u64, i64)>| {
            sums.into_iter()
                .map(|(currency, (count, minor))| {
                    (
                        currency,
                        ChargedSum {
                            count,
                            minor: minor.into(),
                        },
                    )
                })
                .collect()
        };
        totals.paid = moved(transactions.paid);
        totals.refunded = moved(transactions.refunded);
        totals.customs = transactions.customs;
        for (sum, more) in [
            (&mut totals.violations, transactions.violations),
            (&mut totals.faults, transactions.faults),
        ] {
            more.into_iter()
                .for_each(|(name, count)| *sum.entry(name).or_default() += count);
        }
        totals
    }
}

impl FakeWechat {
    /// Puts a paid payment into the books, as if its payer had just paid; its transaction id.
    pub fn seed(&self, out_trade_no: &str, amount: Amount) -> String {
        self.payments.responder.seed(out_trade_no, amount)
    }

    /// A refund as it stands in the books.
    pub fn refund(&self, out_refund_no: &str) -> Option<Transaction> {
        self.payments
            .responder
            .transactions()
            .entry(TransactionKind::Refund, out_refund_no)
            .cloned()
    }

    /// Answers a request, if it is one of these.
    pub(crate) async fn serve(
        &self,
        request: &Request,
        segments: &[&str],
        now: Timestamp,
    ) -> Result<Option<OrderReply>, Refusal> {
        let ["v3", "global", rest @ ..] = segments else {
            return Ok(None);
        };
        let query = request.uri().query().unwrap_or_default();
        let bytes = request.body();
        let answer = match (request.method(), rest) {
            (&Method::POST, ["micropay", "transactions", "pay"]) => self.pay(bytes, now).await?,
            (&Method::POST, ["micropay", "transactions", kind, number, "reverse"]) => {
                self.withdraw(WithdrawMethod::Reverse, name(kind, number)?, now)
                    .await
            }
            (&Method::POST, ["transactions", kind, number, "close"]) => {
                self.withdraw(WithdrawMethod::Close, name(kind, number)?, now)
                    .await
            }
            (&Method::POST, ["papay", "transactions", "out-trade-no", number, "reverse"]) => {
                let number = decode(number);
                let said = self.reverse_deduction(&number, now).await;
                (number, said)
            }
            (&Method::POST, ["papay", "contracts", id, "terminate"]) => {
                let note = body::Termination::read(bytes)?.termination_note;
                let id = decode(id);
                let said = self.terminate(&id, note);
                (id, Ok(said))
            }
            (&Method::GET, ["transactions", kind, number]) => {
                self.show_order(name(kind, number)?, now).await
            }
            (&Method::POST, ["refunds"]) => self.take_refund(bytes, now).await?,
            (&Method::GET, ["refunds"]) => self.list_refunds(query).await?,
            (&Method::GET, ["refunds", kind, number]) => {
                self.show_refund(kind, &decode(number), now)?
            }
            _ => return Ok(None),
        };
        Ok(Some(answer))
    }

    /// A contract as its query shows it.
    pub(crate) fn contract(&self, id: &str) -> WechatReply {
        let ended = self
            .payments
            .notes()
            .contracts
            .get(id)
            .and_then(|ending| ending.note.clone());
        match contracts::show(id, ended) {
            Some(body) => WechatReply {
                http: 200,
                body,
                fault: None,
            },
            None => no_such_contract(id),
        }
    }

    /// Ends a contract. One that has ended stays so; whether the real gateway says so or complains
    /// is not known [C].
    fn terminate(&self, id: &str, note: String) -> WechatReply {
        if contracts::show(id, None).is_none() {
            return WechatReply::error(403, "CONTRACT_NOT_EXIST", "there is no such contract");
        }
        let mut notes = self.payments.notes();
        let ending = notes.contracts.entry(id.to_owned()).or_default();
        let fault = ending.calls.submit(&self.settings.plan, id, false);
        ending.calls.note(fault);
        if let Some(fault) = fault {
            self.payments.responder.transactions().meet(fault);
        }
        let refusals = [
            (Fault::SoftDecline, broken()),
            (
                Fault::HardDecline,
                WechatReply::error(403, "NO_AUTH", "not this one"),
            ),
            (Fault::UnmappedCode, unmapped()),
        ];
        let refused = refusals
            .into_iter()
            .find(|(refusing, _)| fault == Some(*refusing))
            .map(|(_, said)| said);
        if refused.is_none() && !fault.is_some_and(Fault::is_before) {
            ending.note.get_or_insert(note);
        }
        refused
            .unwrap_or_else(|| WechatReply::nothing(None))
            .with(fault)
    }

    /// The merchant's number of an order that exists, and whether it is a deduction. A deduction
    /// that is paid is taken over into the transactions, under its own transaction id.
    async fn find(&self, name: &OrderName) -> Result<Option<(String, bool)>, StoreError> {
        if let Some(number) = self.payments.number_of(name) {
            let deduction = self.payments.notes().deductions.contains(&number);
            return Ok(Some((number, deduction)));
        }
        let mut books = self.books.lock().await;
        let order = match name {
            OrderName::Theirs(id) => books.get_by_transaction(id).await?,
            OrderName::Ours(number) => books.get(number).await?,
        };
        let Some(order) = order.filter(|order| order.state != OrderState::Seen) else {
            return Ok(None);
        };
        if order.state == OrderState::Success {
            let asked = TransactionRequest {
                kind: TransactionKind::Payment,
                number: order.number.clone(),
                of: String::new(),
                currency: order.currency,
                minor: order.minor,
                body: Vec::new(),
                waits: false,
            };
            self.payments.responder.transactions().import_deduction(
                &asked,
                &order.transaction_id,
                order.effect_at,
            );
            self.payments
                .notes()
                .deductions
                .insert(order.number.clone());
        }
        Ok(Some((order.number, true)))
    }

    /// The merchant's ids as replies show them.
    fn show_ids(&self, shown: &mut Value, with_apps: bool) {
        let ids: Vec<(&str, &String, bool)> = match &self.identity.mode {
            WechatMode::Common { mchid, appid } => {
                vec![("mchid", mchid, false), ("appid", appid, true)]
            }
            WechatMode::Institutional {
                sp_mchid,
                sp_appid,
                sub_mchid,
                sub_appid: _,
            } => {
                vec![
                    ("sp_mchid", sp_mchid, false),
                    ("sub_mchid", sub_mchid, false),
                    ("sp_appid", sp_appid, true),
                ]
            }
        };
        for (name, id, _) in ids
            .into_iter()
            .filter(|(_, _, of_app)| with_apps || !of_app)
        {
            shown[name] = Value::from(id.as_str());
        }
    }
}

impl Payments {
    fn number_of(&self, name: &OrderName) -> Option<String> {
        let transactions = self.responder.transactions();
        match name {
            OrderName::Theirs(id) => transactions.number_of(TransactionKind::Payment, id),
            OrderName::Ours(number) => {
                let there = transactions.entry(TransactionKind::Payment, number)?;
                (there.state != TransactionState::Seen).then(|| number.clone())
            }
        }
    }
}

fn name(kind: &str, number: &str) -> Result<OrderName, Refusal> {
    match kind {
        "id" => Ok(OrderName::Theirs(decode(number))),
        "out-trade-no" => Ok(OrderName::Ours(decode(number))),
        _ => Err(replies::NO_SUCH_PATH),
    }
}

/// How the query of a contract says so is not documented \[C\]: the fake says it in both ways.
fn no_such_contract(id: &str) -> WechatReply {
    let code = if either(id) {
        "NOT_FOUND"
    } else {
        "RESOURCE_NOT_EXISTS"
    };
    WechatReply::error(404, code, "there is no such contract")
}

/// Which of two ways of saying the same thing an order gets, where no page says which is the
/// gateway's.
fn either(number: &str) -> bool {
    crate::wechat::order_book::short_hash(number.as_bytes())[0].is_multiple_of(2)
}

/// How the auto-debit calls say so.
pub(crate) fn no_such_deduction() -> WechatReply {
    WechatReply::error(404, "NOT_FOUND", "there is no such order")
}

fn no_such_order() -> WechatReply {
    WechatReply::error(404, "ORDER_NOT_EXIST", "there is no such order")
}

fn broken() -> WechatReply {
    WechatReply::error(500, "SYSTEM_ERROR", "system error")
}

fn unmapped() -> WechatReply {
    WechatReply::error(403, "SANDBOX_UNMAPPED", "a code no document lists")
}
