//! The fake of HipoPay: strict about names, signatures and amounts, with books of its own.
//!
//! Its lies are HipoPay's: `is_success` around a refund that failed, and a refund that is accepted
//! and fails later. Replies are not signed, so in place of a wrong signature it answers with a page
//! of something in between. What the document leaves open \[C\] it plays both ways: the reply to a
//! price in CNY (`is_rmb`) names CNY or the currency of the settlement, by the order's number. A
//! refund whose number ends with `-spent` fails with 0104 and is 0001 when it is sent again. The
//! notification of a payment that was asked for here carries its `openid`. A refund without an
//! amount refunds the whole payment, as HipoPay does, and is counted as the violation
//! `refund_without_amount`.

mod account_keys;
pub mod auth;
mod bill;
mod customs;
mod notifications;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Method;
use serde_json::{Value, json};

use crate::faults::Fault;
use crate::shared::fault_flow::FaultReply;
use crate::shared::fault_flow::{Reply, stray_page};
use crate::shared::key_files::AccountKeysError;
use crate::shared::keys::{MerchantVerifyingKey, SandboxSigningKey};
use crate::shared::responder::{Responder, json_reply, shown_amount};
use crate::shared::statements::QueryCounts;
use crate::shared::transactions::{
    Transaction, TransactionKind, TransactionOutcome, TransactionRequest, TransactionResult,
    TransactionState, TransactionTotals,
};
use crate::{FakeGateway, Reaction, Settings};
pub use account_keys::HipopayAccountKeys;
use auth::{HipopayRefusal, Params};
#[cfg(test)]
pub(crate) use bill::write;
use payrun_domain::money::{Amount, Currency};
use payrun_gateway::transport::{Request, Response};
use payrun_system::clock::Clock;

/// The fake of HipoPay.
#[derive(Debug)]
pub struct FakeHipopay {
    pub(crate) responder: Responder,
    merchant_no: String,
    merchant: MerchantVerifyingKey,
    platform: SandboxSigningKey,
    looks: QueryCounts,
    asked: Mutex<PaymentNotes>,
}

/// What was asked for beside what the books hold.
#[derive(Debug, Default)]
struct PaymentNotes {
    /// By the merchant's number of a payment: the currency of its settlement, where its price is in
    /// CNY, and its payer.
    payments: BTreeMap<String, (Option<&'static str>, String)>,
    /// By the merchant's number of a refund that failed for good: how that is shown.
    spent: BTreeMap<String, Value>,
}

/// How much of it is kept.
const ASKED_MAX: usize = 1_000_000;

impl FakeHipopay {
    /// Opens it with empty books.
    ///
    /// # Errors
    /// If a key cannot be used.
    pub fn open(
        identity: &HipopayAccountKeys,
        settings: Settings,
        clock: Clock,
    ) -> Result<Arc<Self>, AccountKeysError> {
        Ok(Arc::new(Self {
            responder: Responder::new(settings, clock),
            merchant_no: identity.merchant_no.clone(),
            merchant: identity.merchant_key()?,
            platform: identity.platform_key()?,
            looks: QueryCounts::default(),
            asked: Mutex::default(),
        }))
    }

    /// Everything that moved, and everything that went wrong.
    pub fn totals(&self) -> TransactionTotals {
        self.responder.totals()
    }

    /// Puts a paid payment into the books; its `payment_no`.
    pub fn seed(&self, out_trade_id: &str, amount: Amount) -> String {
        self.responder.seed(out_trade_id, amount)
    }

    /// A refund as it stands in the books.
    pub fn refund(&self, out_refund_id: &str) -> Option<Transaction> {
        self.responder
            .transactions()
            .entry(TransactionKind::Refund, out_refund_id)
            .cloned()
    }

    fn asked(&self) -> MutexGuard<'_, PaymentNotes> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The currency that is shown beside a payment's amount.
    fn shown_currency(&self, entry: &Transaction) -> String {
        let settled_in = self
            .asked()
            .payments
            .get(&entry.number)
            .and_then(|(settled_in, _)| *settled_in);
        let says_settlement = self
            .responder
            .settings
            .plan
            .draw(&entry.number, "currency", 0)
            .is_multiple_of(2);
        settled_in
            .filter(|_| says_settlement)
            .map_or_else(|| entry.currency.clone(), str::to_owned)
    }

    async fn handle(&self, request: Request) -> Reaction {
        let params = match auth::admit(
            &request,
            &self.merchant_no,
            &self.merchant,
            self.responder.clock.now(),
        ) {
            Ok(params) => params,
            Err(refused) => return self.refuse(refused).await,
        };
        if let Err(refused) = params.documented(&request) {
            return self.refuse(refused).await;
        }
        let said = match (request.method(), request.uri().path()) {
            (&Method::POST, "/wechatpay/declaration") => {
                return self.take_declaration(&params).await;
            }
            (&Method::GET, "/wechatpay/declaration") => {
                return self.take_declaration_query(&params).await;
            }
            (&Method::POST, "/wechatpay/redeclaration") => {
                return self.take_redeclaration(&params).await;
            }
            (&Method::POST, "/wechatpay/mini_program/payment") => self.pay(&params),
            (&Method::GET, "/payment") => self.query_payment(&params),
            (&Method::POST, "/payment_refund") => self.take_refund(&params),
            (&Method::GET, "/payment_refund") => self.query_refund(&params),
            (&Method::GET, "/wechatpay/forex_rate") => rate(&params),
            (&Method::GET, "/download_bill") => return self.bill(&params).await,
            _ => Err(HipopayRefusal::new("PATH_NOT_FOUND", "no_such_path")),
        };
        match said {
            Ok((subject, body, fault)) => self.respond(&subject, body, fault).await,
            Err(refused) => self.refuse(refused).await,
        }
    }

    async fn respond(&self, subject: &str, body: Value, fault: Option<Fault>) -> Reaction {
        let say = |http, body: &Value, forged: bool| -> Option<Response> {
            if forged {
                Some(stray_page())
            } else {
                json_reply(http, body, &self.responder.clock)
            }
        };
        let broken = error("SYSTEM_ERROR", "system error");
        let busy = error("FREQUENCY_LIMITED", "slow down");
        self.responder
            .respond(Reply {
                subject,
                http: 200,
                body,
                fault,
                say: &say,
                broken,
                busy,
            })
            .await
    }

    async fn refuse(&self, refused: HipopayRefusal) -> Reaction {
        self.responder.transactions().refuse(refused.reason);
        self.respond("", error(refused.code, refused.reason), None)
            .await
    }

    fn pay(&self, params: &Params) -> Result<HipopaySubjectReply, HipopayRefusal> {
        for name in ["product_info", "appid", "openid", "client_ip"] {
            params.must(name)?;
        }
        if params.must("merchant_no")? != self.merchant_no {
            return Err(HipopayRefusal::new("PARAM_ERROR", "wrong_merchant_no"));
        }
        let named = currency(params.must("currency")?)?;
        // With a price in CNY the currency that is named is that of the settlement.
        let settled_in = match params.get("is_rmb") {
            Some("TRUE") => Some(named.code()),
            None | Some("FALSE") => None,
            Some(_) => return Err(HipopayRefusal::new("PARAM_ERROR", "wrong_is_rmb")),
        };
        let amount = params.amount(
            "amount",
            if settled_in.is_some() {
                currency("CNY")?
            } else {
                named
            },
        )?;
        let number = params.number("out_trade_id")?;
        let payer = (settled_in, params.must("openid")?.to_owned());
        if self.asked().payments.len() < ASKED_MAX {
            self.asked().payments.entry(number.clone()).or_insert(payer);
        }
        let asked = TransactionRequest {
            kind: TransactionKind::Payment,
            number: number.clone(),
            of: String::new(),
            currency: amount.currency().code().to_owned(),
            minor: amount.minor(),
            body: params.bytes(),
            waits: true,
        };
        let TransactionOutcome { what, fault } = self.responder.transactions().submit(
            asked,
            &self.responder.settings,
            self.responder.clock.now(),
        );
        let body = match what {
            TransactionResult::Transaction(entry) => {
                let mut shown = self.show_payment(&entry, fault);
                shown["response"]["prepay_params"] = json!({
                    "nonceStr": "572666791269", "order_no": entry.theirs, "paySign": "466790B2486C24F2DE0BD4C77C7D22AB",
                    "prepay_id": format!("wx{}", entry.theirs), "timeStamp": "1550548767",
                });
                shown
            }
            TransactionResult::Faulty(FaultReply::Soft) => failed_payment(&number, amount),
            TransactionResult::Faulty(FaultReply::Hard) => error(
                "FOREX_MERCHANT_NOT_SUPPORT_THIS_CURRENCY",
                "This currency is not supported",
            ),
            TransactionResult::Faulty(FaultReply::Unmapped) => {
                error("SANDBOX_UNMAPPED", "a code no document lists")
            }
            TransactionResult::OtherBody => error(
                "OUT_TRADE_ID_USED",
                "this number belongs to another payment",
            ),
            TransactionResult::NoPayment
            | TransactionResult::WrongState
            | TransactionResult::TooMuch
            | TransactionResult::Full => error("SYSTEM_ERROR", "the books are full"),
        };
        Ok((number, body, fault))
    }

    fn show_payment(&self, entry: &Transaction, fault: Option<Fault>) -> Value {
        json!({
            "is_success": true,
            "response": {
                "amount": shown_amount(entry.minor, &entry.currency, fault),
                "currency": self.shown_currency(entry),
                "exchange_rate": "0.881890",
                "out_trade_id": entry.number,
                "payment_no": entry.theirs,
                "status": status(entry.state),
                "product_info": "sandbox",
                "trade_time": entry.at.to_string(),
                "trade_type": "MINIPROGRAM",
            },
        })
    }

    fn query_payment(&self, params: &Params) -> Result<HipopaySubjectReply, HipopayRefusal> {
        let number = self.which(
            params,
            TransactionKind::Payment,
            "out_trade_id",
            "payment_no",
        )?;
        let now = self.responder.clock.now();
        let (seen, fault) = self.responder.transactions().query(
            TransactionKind::Payment,
            &number,
            &self.responder.settings,
            now,
        );
        let body = match seen {
            Some(entry) => self.show_payment(&entry, fault),
            None => error("PAYMENT_NOT_FOUND", "Order not found"),
        };
        Ok((number, body, fault))
    }

    fn take_refund(&self, params: &Params) -> Result<HipopaySubjectReply, HipopayRefusal> {
        let payment_no = params.must("payment_no")?.to_owned();
        let number = params.number("out_refund_id")?;
        let mut transactions = self.responder.transactions();
        let payment = transactions.number_of(TransactionKind::Payment, &payment_no);
        let payment = payment.and_then(|number| {
            transactions
                .entry(TransactionKind::Payment, &number)
                .cloned()
        });
        let Some(payment) = payment else {
            let body = refund(&number, "", &payment_no, "0.00", "FAIL", "0002");
            return Ok((number, body, None));
        };
        let minor = match params.get("refund_amount") {
            None => {
                transactions.refuse("refund_without_amount");
                payment.minor - payment.given_back
            }
            Some(_) => params
                .amount("refund_amount", currency(&payment.currency)?)?
                .minor(),
        };
        let amount = shown_amount(minor, &payment.currency, None);
        if number.ends_with("-spent") {
            drop(transactions);
            return Ok((
                number.clone(),
                self.spend(&number, &payment_no, &amount),
                None,
            ));
        }
        let asked = TransactionRequest {
            kind: TransactionKind::Refund,
            number: number.clone(),
            of: payment.number.clone(),
            currency: payment.currency.clone(),
            minor,
            body: params.bytes(),
            waits: false,
        };
        let TransactionOutcome { what, fault } =
            transactions.submit(asked, &self.responder.settings, self.responder.clock.now());
        let failed = |code| refund(&number, "", &payment_no, &amount, "FAIL", code);
        let body = match what {
            TransactionResult::Transaction(entry) => show_refund(&entry, &payment_no, fault),
            TransactionResult::Faulty(FaultReply::Soft) => failed("0011"),
            TransactionResult::Faulty(FaultReply::Hard) => failed("0105"),
            TransactionResult::Faulty(FaultReply::Unmapped) => failed("9999"),
            TransactionResult::OtherBody => failed("0119"),
            TransactionResult::NoPayment => failed("0002"),
            TransactionResult::WrongState => failed("0004"),
            TransactionResult::TooMuch => failed("0008"),
            TransactionResult::Full => failed("0099"),
        };
        Ok((number, body, fault))
    }

    /// A refund that fails, once and for all; sent again, its number exists already.
    fn spend(&self, number: &str, payment_no: &str, amount: &str) -> Value {
        let mut asked = self.asked();
        let theirs = format!("9{number}");
        if asked.spent.contains_key(number) {
            return refund(number, &theirs, payment_no, amount, "FAIL", "0001");
        }
        let failed = refund(number, &theirs, payment_no, amount, "FAIL", "0104");
        asked.spent.insert(number.to_owned(), failed.clone());
        failed
    }

    fn query_refund(&self, params: &Params) -> Result<HipopaySubjectReply, HipopayRefusal> {
        let number = self.which(
            params,
            TransactionKind::Refund,
            "out_refund_id",
            "refund_no",
        )?;
        if let Some(failed) = self.asked().spent.get(&number) {
            return Ok((number, failed.clone(), None));
        }
        let mut transactions = self.responder.transactions();
        let (seen, fault) = transactions.query(
            TransactionKind::Refund,
            &number,
            &self.responder.settings,
            self.responder.clock.now(),
        );
        let body = match seen {
            Some(entry) => {
                let payment_no = transactions
                    .entry(TransactionKind::Payment, &entry.of)
                    .map_or("", |payment| &payment.theirs);
                show_refund(&entry, payment_no, fault)
            }
            None => error("REFUND_NOT_FOUND", "Refund order not found"),
        };
        Ok((number, body, fault))
    }

    /// The merchant's number of what is asked for, by either number; one that leads nowhere stays
    /// as it is.
    fn which(
        &self,
        params: &Params,
        kind: TransactionKind,
        ours: &str,
        theirs: &str,
    ) -> Result<String, HipopayRefusal> {
        match (params.get(theirs), params.get(ours)) {
            (Some(theirs), _) => Ok(self
                .responder
                .transactions()
                .number_of(kind, theirs)
                .unwrap_or_else(|| theirs.to_owned())),
            (None, Some(ours)) => Ok(ours.to_owned()),
            (None, None) => Err(HipopayRefusal::new("PARAM_ERROR", "no_number")),
        }
    }
}

impl FakeGateway for FakeHipopay {
    fn handle(&self, request: Request) -> Pin<Box<dyn Future<Output = Reaction> + Send + '_>> {
        Box::pin(self.handle(request))
    }
}

/// Whose order it is about, what is said, and what bends it.
type HipopaySubjectReply = (String, Value, Option<Fault>);

fn rate(params: &Params) -> Result<HipopaySubjectReply, HipopayRefusal> {
    let wanted = params.must("currency")?;
    let body = match currency(wanted) {
        Ok(currency) => json!({
            "is_success": true,
            "response": { "currency": currency.code(), "forex_rate": "0.1490046489450854690854690666349" },
        }),
        Err(_) => error("CURRENCY_NOT_SUPPORT", "This currency is not supported"),
    };
    Ok((wanted.to_owned(), body, None))
}

/// The currencies of the HipoPay document.
fn currency(code: &str) -> Result<Currency, HipopayRefusal> {
    const KNOWN: [&str; 11] = [
        "CNY", "GBP", "HKD", "USD", "JPY", "CAD", "AUD", "EUR", "NZD", "KRW", "THB",
    ];
    let known = KNOWN
        .contains(&code)
        .then(|| Currency::parse(code).ok())
        .flatten();
    known.ok_or(HipopayRefusal::new(
        "FOREX_MERCHANT_NOT_SUPPORT_THIS_CURRENCY",
        "unknown_currency",
    ))
}

const fn status(state: TransactionState) -> &'static str {
    match state {
        TransactionState::Seen | TransactionState::Open => "INIT",
        TransactionState::Done => "PAID",
        TransactionState::Failed => "FAIL",
        TransactionState::Cancelled => "EXPIRED",
    }
}

fn failed_payment(number: &str, amount: Amount) -> Value {
    json!({
        "is_success": true,
        "response": {
            "amount": amount.decimal(), "currency": amount.currency().code(), "out_trade_id": number, "payment_no": "",
            "status": "FAIL", "product_info": "sandbox", "trade_time": "2026-11-22 10:00:00", "trade_type": "MINIPROGRAM",
        },
    })
}

fn show_refund(entry: &Transaction, payment_no: &str, fault: Option<Fault>) -> Value {
    let (status, code) = match entry.state {
        TransactionState::Seen | TransactionState::Open => ("PROCESSING", "0000"),
        TransactionState::Done => ("SUCCESS", "0000"),
        TransactionState::Failed | TransactionState::Cancelled => ("FAIL", "0106"),
    };
    let amount = shown_amount(entry.minor, &entry.currency, fault);
    refund(
        &entry.number,
        &entry.theirs,
        payment_no,
        &amount,
        status,
        code,
    )
}

fn refund(
    number: &str,
    theirs: &str,
    payment_no: &str,
    amount: &str,
    status: &str,
    code: &str,
) -> Value {
    let mut response = json!({
        "out_refund_id": number,
        "payment_no": payment_no,
        "refund_amount": amount,
        "refund_no": theirs,
        "result_code": code,
        "status": status,
    });
    if status == "FAIL" {
        response["fail_message"] = json!("a reason in words");
    }
    json!({ "is_success": true, "response": response, "return_message": "OK" })
}

fn error(code: &str, message: &str) -> Value {
    json!({ "is_success": false, "error": code, "error_message": message })
}
