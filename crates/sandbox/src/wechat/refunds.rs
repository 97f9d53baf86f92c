//! Refunds (docs/gateways/wechat.md, "Refunds"): accepted first and decided later. Never more than
//! was paid, at most fifty of one payment, as far apart as the settings say, and one number for one
//! body.

use serde_json::{Value, json};

use super::body::Refund;
use super::query::WechatQuery;
use super::replies::NO_SUCH_PATH;
use super::{OrderName, OrderReply, Refunds, broken, either, no_such_order, unmapped};
use crate::FakeWechat;
use crate::faults::Fault;
use crate::shared::fault_flow::FaultReply;
use crate::shared::transactions::{
    Transaction, TransactionKind, TransactionOutcome, TransactionRequest, TransactionResult,
    TransactionState,
};
use crate::wechat::Refusal;
use crate::wechat::body::param;
use crate::wechat::deductions::WechatReply;
use crate::wechat::order_store::StoreError;
use payrun_domain::time::Timestamp;

/// How many refunds a payment may have.
const MOST: usize = 50;
/// How many refunds a page has at most.
const PAGE_MAX: usize = 20;

impl FakeWechat {
    /// A refund.
    pub(super) async fn take_refund(
        &self,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<OrderReply, Refusal> {
        let body = Refund::read(bytes)?;
        let payment = self.find(&body.of()?).await;
        let said = payment
            .map(|payment| self.refund_of(&body, bytes, payment.map(|(number, _)| number), now));
        Ok((body.out_refund_no, said))
    }

    fn refund_of(
        &self,
        body: &Refund,
        bytes: &[u8],
        payment: Option<String>,
        now: Timestamp,
    ) -> WechatReply {
        let exists = payment.is_some();
        let asked = TransactionRequest {
            kind: TransactionKind::Refund,
            number: body.out_refund_no.clone(),
            of: payment.unwrap_or_default(),
            currency: body.amount.currency.clone(),
            minor: body.amount.refund,
            body: bytes.to_vec(),
            waits: true,
        };
        if let Some(said) = self.forbidden(&asked, body.amount.total, now) {
            return said;
        }
        let (number, of) = (asked.number.clone(), asked.of.clone());
        let mut transactions = self.payments.responder.transactions();
        let TransactionOutcome { what, fault } = transactions.submit(asked, &self.settings, now);
        let accepted = transactions
            .entry(TransactionKind::Refund, &number)
            .is_some_and(|entry| entry.state != TransactionState::Seen);
        drop(transactions);
        if accepted {
            self.note(&number, of, now);
        }
        // Whether a refund that is answered so was accepted is unclear (docs/gateways/wechat.md,
        // "Error codes"): here it was.
        if fault == Some(Fault::ErrorAfter) && either(&number) {
            return WechatReply::error(429, "FREQUENCY_LIMITED", "slow down");
        }
        let said = match what {
            TransactionResult::Transaction(entry) => WechatReply {
                http: 200,
                body: accepted_refund(&entry, fault),
                fault: None,
            },
            TransactionResult::Faulty(FaultReply::Soft) => WechatReply::error(
                403,
                "NOT_ENOUGH",
                "the account has not enough to refund from",
            ),
            TransactionResult::Faulty(FaultReply::Hard) => {
                WechatReply::error(403, "USER_ACCOUNT_ABNORMAL", "the payer's account")
            }
            TransactionResult::Faulty(FaultReply::Unmapped) => unmapped(),
            TransactionResult::OtherBody => number_used(),
            TransactionResult::NoPayment if !exists => no_such_refund(),
            TransactionResult::NoPayment | TransactionResult::WrongState => {
                invalid("the order is not paid")
            }
            TransactionResult::TooMuch => invalid("more than was paid"),
            TransactionResult::Full => broken(),
        };
        said.with(fault)
    }

    /// Why a new refund cannot be, for reasons of this gateway only. Its number belongs to its body
    /// all the same.
    fn forbidden(
        &self,
        asked: &TransactionRequest,
        total: i64,
        now: Timestamp,
    ) -> Option<WechatReply> {
        let notes = self.payments.notes();
        let mut transactions = self.payments.responder.transactions();
        if transactions
            .entry(TransactionKind::Refund, &asked.number)
            .is_some_and(|entry| entry.state != TransactionState::Seen)
        {
            return None;
        }
        let paid = transactions
            .entry(TransactionKind::Payment, &asked.of)?
            .minor;
        let before = notes.refunds.get(&asked.of);
        let too_close =
            before.is_some_and(|before| now < before.last.plus(self.settings.refund_gap));
        if total != paid {
            // Nothing was made of it: its number may be sent again with what was paid.
            return Some(invalid("total is not what was paid"));
        }
        let said = if before.is_some_and(|before| before.numbers.len() >= MOST) {
            invalid("there are fifty refunds of it")
        } else if too_close {
            WechatReply::error(
                429,
                "FREQUENCY_LIMITED",
                "two refunds of a payment are a minute apart",
            )
        } else {
            return None;
        };
        if !transactions.remember(asked, now) {
            return Some(number_used());
        }
        if too_close {
            transactions.violate("refunds_too_close");
        }
        Some(said)
    }

    fn note(&self, number: &str, of: String, now: Timestamp) {
        let mut notes = self.payments.notes();
        let refunds = notes.refunds.entry(of).or_insert_with(|| Refunds {
            last: now,
            ..Refunds::default()
        });
        if !refunds.numbers.iter().any(|known| known == number) {
            refunds.numbers.push(number.to_owned());
            refunds.last = now;
        }
    }

    /// A query of one refund, by the merchant's number or the gateway's.
    pub(super) fn show_refund(
        &self,
        kind: &str,
        number: &str,
        now: Timestamp,
    ) -> Result<OrderReply, Refusal> {
        let mut transactions = self.payments.responder.transactions();
        let number = match kind {
            "out-refund-no" => number.to_owned(),
            "id" => transactions
                .number_of(TransactionKind::Refund, number)
                .unwrap_or_else(|| number.to_owned()),
            _ => return Err(NO_SUCH_PATH),
        };
        let (seen, fault) =
            transactions.query(TransactionKind::Refund, &number, &self.settings, now);
        let said = match seen {
            None => no_such_refund(),
            Some(entry) => {
                let payment = transactions
                    .entry(TransactionKind::Payment, &entry.of)
                    .map_or("", |payment| payment.theirs.as_str());
                let mut body = one_refund(&entry, fault);
                body["transaction_id"] = json!(payment);
                body["out_trade_no"] = json!(entry.of);
                WechatReply {
                    http: 200,
                    body,
                    fault: None,
                }
            }
        };
        Ok((number, Ok(said.with(fault))))
    }

    /// A page of the refunds of a payment. Where it begins and how long it is must be said.
    pub(super) async fn list_refunds(&self, query: &str) -> Result<OrderReply, Refusal> {
        let query = WechatQuery::read(query);
        let name = match (query.get("transaction_id"), query.get("out_trade_no")) {
            (Some(id), None) => OrderName::Theirs(id.to_owned()),
            (None, Some(number)) => OrderName::Ours(number.to_owned()),
            (Some(_), Some(_)) | (None, None) => return Err(param("missing_parameter")),
        };
        let (offset, count) = (query.number("offset")?, query.number("count")?);
        if !(1..=PAGE_MAX).contains(&count) {
            return Err(param("wrong_number"));
        }
        let (OrderName::Theirs(subject) | OrderName::Ours(subject)) = &name;
        Ok((
            subject.clone(),
            self.refund_page(&name, offset, count).await,
        ))
    }

    async fn refund_page(
        &self,
        name: &OrderName,
        offset: usize,
        count: usize,
    ) -> Result<WechatReply, StoreError> {
        let number = self
            .find(name)
            .await?
            .map(|(number, _)| number)
            .unwrap_or_default();
        let notes = self.payments.notes();
        let mut transactions = self.payments.responder.transactions();
        let (payment, fault) = transactions.query(
            TransactionKind::Payment,
            &number,
            &self.settings,
            self.clock.now(),
        );
        let Some(payment) = payment else {
            return Ok(no_such_order().with(fault));
        };
        let numbers = notes
            .refunds
            .get(&number)
            .map_or(&[][..], |refunds| &refunds.numbers);
        let page = numbers
            .iter()
            .skip(offset)
            .take(count)
            .filter_map(|number| transactions.entry(TransactionKind::Refund, number));
        let data: Vec<Value> = page.map(|entry| one_refund(entry, None)).collect();
        let mut body = json!({
            "id": payment.theirs,
            "out_trade_no": payment.number,
            "amount": {
                "total": payment.minor, "currency": payment.currency,
                "payer_total": payment.minor, "payer_currency": payment.currency,
            },
            "total_num": numbers.len(),
            "current_total_num": data.len(),
            "data": data,
        });
        self.show_ids(&mut body, false);
        Ok(WechatReply {
            http: 200,
            body,
            fault,
        })
    }
}

/// What the reply to a refund says: no state.
fn accepted_refund(entry: &Transaction, fault: Option<Fault>) -> Value {
    json!({
        "id": entry.theirs,
        "out_refund_no": entry.number,
        "create_time": entry.at.to_string(),
        "amount": amount(entry, fault),
    })
}

/// A refund as queries and lists show it.
fn one_refund(entry: &Transaction, fault: Option<Fault>) -> Value {
    let mut shown = accepted_refund(entry, fault);
    shown["channel"] = json!("ORIGINAL");
    shown["recv_account"] = json!("招商银行信用卡0403");
    shown["fund_source"] = json!("REFUND_SOURCE_UNSETTLED_FUNDS");
    shown["status"] = json!(status(entry));
    if entry.state == TransactionState::Done {
        shown["success_time"] = json!(entry.at.to_string());
    }
    shown
}

/// Where a refund stands, in the gateway's word.
pub(super) fn status(entry: &Transaction) -> &'static str {
    match entry.state {
        TransactionState::Seen | TransactionState::Open => "PROCESSING",
        TransactionState::Done => "SUCCESS",
        TransactionState::Failed => "ABNORMAL",
        TransactionState::Cancelled => "REFUNDCLOSE",
    }
}

/// What is given back, as replies and notifications show it.
pub(super) fn amount(entry: &Transaction, fault: Option<Fault>) -> Value {
    let refund = entry.minor + i64::from(fault == Some(Fault::OtherAmount));
    json!({
        "refund": refund, "currency": entry.currency, "payer_refund": refund, "payer_currency": entry.currency,
        "exchange_rate": { "type": "SETTLEMENT_RATE", "rate": 100_000_000 },
    })
}

fn no_such_refund() -> WechatReply {
    WechatReply::error(
        404,
        "RESOURCE_NOT_EXISTS",
        "there is no such order or refund",
    )
}

fn number_used() -> WechatReply {
    WechatReply::error(
        400,
        "OUT_REFUND_NO_USED",
        "this refund number belongs to another request",
    )
}

fn invalid(why: &str) -> WechatReply {
    WechatReply::error(403, "INVALID_REQUEST", why)
}
