//! The fake of CBTIS: payment intents, refunds as this fake has them, access tokens,
//! notifications.
//!
//! What CBTIS does not document the fake had to make up: every `code` but 0, the refund calls (by
//! analogy with payments), the states of refunds, the token request `POST /mch-api/v1/auth/token`
//! with a body (and `…/authentication/login` with headers), and of customs declarations all but
//! where one is created and its four fields. It is strict about what is documented. Replies are not
//! signed, so in place of a wrong signature it answers with a page of something in between. Its
//! lies: `code` 0 around a refund that failed, and a refund that is pending and fails later.

mod account_keys;
pub mod auth;
mod body;
mod customs;
mod notifications;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::faults::Fault;
use crate::shared::fault_flow::FaultReply;
use crate::shared::fault_flow::{Reply, stray_page};
use crate::shared::request_table::RequestTable;
use crate::shared::responder::{Responder, json_reply, shown_amount};
use crate::shared::transactions::{
    Transaction, TransactionKind, TransactionOutcome, TransactionRequest, TransactionResult,
    TransactionState, TransactionTotals,
};
use crate::{FakeGateway, Reaction, Settings};
pub use account_keys::{CbtisAccountKeys, LOGIN_PATH, TOKEN_PATH};
use payrun_domain::money::Amount;
use payrun_domain::time::Timestamp;
use payrun_gateway::transport::{Request, Response};
use payrun_system::clock::Clock;

/// The fake of CBTIS.
#[derive(Debug)]
pub struct FakeCbtis {
    pub(crate) responder: Responder,
    identity: CbtisAccountKeys,
    lifetime: Duration,
    /// Issued tokens, and until when they are good.
    issued: Mutex<BTreeMap<String, Timestamp>>,
}

/// Why a request is refused for what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CbtisRefusal {
    http: u16,
    code: i64,
    /// The word in the books.
    reason: &'static str,
}

impl CbtisRefusal {
    const fn param(reason: &'static str) -> Self {
        Self {
            http: 200,
            code: 400_001,
            reason,
        }
    }
}

/// Whose order it is about, what is said, and what bends it.
type CbtisSubjectReply = (String, Value, Option<Fault>);

impl FakeCbtis {
    /// Opens it with empty books; the tokens it issues live for `lifetime`.
    pub fn open(
        identity: &CbtisAccountKeys,
        settings: Settings,
        lifetime: Duration,
        clock: Clock,
    ) -> Arc<Self> {
        let counter = Responder::new(settings, clock);
        Arc::new(Self {
            responder: counter,
            identity: identity.clone(),
            lifetime,
            issued: Mutex::default(),
        })
    }

    /// Everything that moved, and everything that went wrong.
    pub fn totals(&self) -> TransactionTotals {
        self.responder.totals()
    }

    /// Puts a paid payment into the books; its `order_id`.
    pub fn seed(&self, merchant_order_id: &str, amount: Amount) -> String {
        self.responder.seed(merchant_order_id, amount)
    }

    /// A refund as it stands in the books.
    pub fn refund(&self, merchant_refund_id: &str) -> Option<Transaction> {
        self.responder
            .transactions()
            .entry(TransactionKind::Refund, merchant_refund_id)
            .cloned()
    }

    async fn handle(&self, request: Request) -> Reaction {
        let (subject, http, body, fault) = match self.answer(&request) {
            // What is made is answered 201 here, as in the product that CBTIS's looks like a copy
            // of.
            Ok((subject, body, fault)) => {
                let made = body["code"] == 0 && body["data"]["status"] == "PENDING"
                    || !body["token"].is_null();
                (subject, if made { 201 } else { 200 }, body, fault)
            }
            Err(refused) => {
                self.responder.transactions().refuse(refused.reason);
                (String::new(), refused.http, error(refused.code), None)
            }
        };
        let say = |http, body: &Value, forged: bool| -> Option<Response> {
            if forged {
                Some(stray_page())
            } else {
                json_reply(http, body, &self.responder.clock)
            }
        };
        let (broken, busy) = (error(500_001), error(429_001));
        self.responder
            .respond(Reply {
                subject: &subject,
                http,
                body,
                fault,
                say: &say,
                broken,
                busy,
            })
            .await
    }

    fn answer(&self, request: &Request) -> Result<CbtisSubjectReply, CbtisRefusal> {
        let header = |name| {
            request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let is_json = header("content-type").starts_with("application/json")
            || request.uri().path() == LOGIN_PATH;
        if request.method() != Method::POST || !is_json {
            return Err(CbtisRefusal {
                http: 405,
                code: 405_001,
                reason: "not_a_post_of_json",
            });
        }
        let path = request.uri().path();
        if path == TOKEN_PATH {
            return self.issue(request.body());
        }
        if path == LOGIN_PATH {
            return self.log_in(request, header("x-client-id"), header("x-api-key"));
        }
        let token = header("authorization")
            .strip_prefix("Bearer ")
            .unwrap_or_default();
        if !self.knows(token) {
            return Err(CbtisRefusal {
                http: 401,
                code: 401_001,
                reason: "wrong_token",
            });
        }
        self.documented(request)?;
        match path {
            "/mch-api/v1/pa/payment_intents/create" => self.submit(body::payment(request.body())?),
            "/mch-api/v1/pa/payment_intents/query" => {
                self.query(request.body(), TransactionKind::Payment)
            }
            "/mch-api/v1/pa/refunds/create" => self.take_refund(request.body()),
            "/mch-api/v1/pa/refunds/query" => self.query(request.body(), TransactionKind::Refund),
            "/mch-api/v1/pa/channel_extra/wechat/create_customs_declare" => {
                self.declare(request.body())
            }
            "/mch-api/v1/pa/channel_extra/wechat/update_customs_declare" => {
                self.modify(request.body())
            }
            "/mch-api/v1/pa/channel_extra/wechat/retrieve_customs_declare" => {
                self.query_declaration(request.body())
            }
            "/mch-api/v1/pa/channel_extra/wechat/redeclare_customs_declare" => {
                self.redeclare(request.body())
            }
            _ => Err(CbtisRefusal {
                http: 404,
                code: 404_000,
                reason: "no_such_path",
            }),
        }
    }

    /// Whether a request is one that a page has, or, where none has, as payrun's guesses are: with
    /// its parameters and no others.
    fn documented(&self, request: &Request) -> Result<(), CbtisRefusal> {
        let table = RequestTable::cbtis();
        let unknown = CbtisRefusal {
            http: 404,
            code: 404_000,
            reason: "no_such_path",
        };
        let row = table
            .find("any", request.method(), request.uri().path())
            .ok_or(unknown)?;
        let checked = table.check_headers(request.headers(), &[]).and_then(|()| {
            row.check_json(request.uri().query().unwrap_or_default(), request.body())
                .map(|_| ())
        });
        checked.map_err(|wrong| CbtisRefusal::param(wrong.issue.as_str()))
    }

    fn take_refund(&self, bytes: &[u8]) -> Result<CbtisSubjectReply, CbtisRefusal> {
        let refund = body::refund(bytes)?;
        let payment = {
            let transactions = self.responder.transactions();
            let number = match &refund.of {
                body::PaymentId::Ours(number) => number.clone(),
                body::PaymentId::Theirs(theirs) => transactions
                    .number_of(TransactionKind::Payment, theirs)
                    .unwrap_or(theirs.clone()),
            };
            let currency = transactions
                .entry(TransactionKind::Payment, &number)
                .map(|payment| payment.currency.clone());
            (number, currency)
        };
        let (number, Some(currency)) = payment else {
            return Ok((String::new(), error(404_001), None));
        };
        self.submit(refund.asked(number, &currency)?)
    }

    fn submit(&self, asked: TransactionRequest) -> Result<CbtisSubjectReply, CbtisRefusal> {
        let (kind, number) = (asked.kind, asked.number.clone());
        let (currency, minor) = (asked.currency.clone(), asked.minor);
        let TransactionOutcome { what, fault } = self.responder.transactions().submit(
            asked,
            &self.responder.settings,
            self.responder.clock.now(),
        );
        let body = match what {
            // The reply to a refund names no number of CBTIS's own.
            TransactionResult::Transaction(entry) if kind == TransactionKind::Refund => {
                let mut shown = show(&entry, kind, fault);
                shown.as_object_mut().map(|shown| shown.remove("refund_id"));
                ok(shown)
            }
            TransactionResult::Transaction(entry) => ok(show(&entry, kind, fault)),
            TransactionResult::Faulty(FaultReply::Soft) if kind == TransactionKind::Refund => {
                ok(json!({ "merchant_refund_id": number, "status": refused_word(kind) }))
            }
            TransactionResult::Faulty(FaultReply::Soft) => {
                let (ours, _) = names(kind);
                let amount = shown_amount(minor, &currency, None);
                ok(
                    json!({ ours: number, "amount": amount, "currency": currency, "status": refused_word(kind) }),
                )
            }
            TransactionResult::Faulty(FaultReply::Hard) => error(403_001),
            TransactionResult::Faulty(FaultReply::Unmapped) => error(999_999),
            TransactionResult::OtherBody => error(409_001),
            TransactionResult::NoPayment => error(404_001),
            TransactionResult::WrongState => error(409_002),
            TransactionResult::TooMuch => error(409_003),
            TransactionResult::Full => error(500_001),
        };
        Ok((number, body, fault))
    }

    fn query(
        &self,
        bytes: &[u8],
        kind: TransactionKind,
    ) -> Result<CbtisSubjectReply, CbtisRefusal> {
        let mut transactions = self.responder.transactions();
        let number = match body::which(bytes, kind)? {
            body::PaymentId::Ours(number) => number,
            body::PaymentId::Theirs(theirs) => {
                transactions.number_of(kind, &theirs).unwrap_or(theirs)
            }
        };
        let (seen, fault) = transactions.query(
            kind,
            &number,
            &self.responder.settings,
            self.responder.clock.now(),
        );
        let body = seen.map_or_else(|| error(404_001), |entry| ok(show(&entry, kind, fault)));
        Ok((number, body, fault))
    }
}

impl FakeGateway for FakeCbtis {
    fn handle(&self, request: Request) -> Pin<Box<dyn Future<Output = Reaction> + Send + '_>> {
        Box::pin(self.handle(request))
    }
}

/// What our number and theirs are called.
const fn names(kind: TransactionKind) -> (&'static str, &'static str) {
    match kind {
        TransactionKind::Payment | TransactionKind::Cancel => ("merchant_order_id", "order_id"),
        TransactionKind::Refund => ("merchant_refund_id", "refund_id"),
    }
}

const fn refused_word(kind: TransactionKind) -> &'static str {
    match kind {
        TransactionKind::Payment | TransactionKind::Cancel => "CANCELLED",
        TransactionKind::Refund => "FAILED",
    }
}

fn show(entry: &Transaction, kind: TransactionKind, fault: Option<Fault>) -> Value {
    let status = match entry.state {
        TransactionState::Seen | TransactionState::Open => "PENDING",
        TransactionState::Done => "SUCCEEDED",
        TransactionState::Failed | TransactionState::Cancelled => refused_word(kind),
    };
    let (ours, theirs) = names(kind);
    let mut shown = json!({
        ours: entry.number,
        theirs: entry.theirs,
        "status": status,
        "create_time": entry.at.to_string(),
    });
    // A refund's replies name no amount.
    if kind != TransactionKind::Refund {
        shown["amount"] = json!(shown_amount(entry.minor, &entry.currency, fault));
        shown["currency"] = json!(entry.currency);
    }
    if kind == TransactionKind::Payment && entry.state == TransactionState::Open {
        let data = json!({ "type": "redirect", "url": "https://wx.tenpay.com/sandbox" });
        shown["next_action"] = json!({ "type": "call_sdk", "data": data });
    }
    if entry.state == TransactionState::Done {
        shown["pay_time"] = json!(entry.at.to_string());
    }
    shown
}

fn ok(data: Value) -> Value {
    json!({ "code": 0, "data": data, "message": "ok", "rid": "3647575c0e1049439e484a231864da2c" })
}

fn error(code: i64) -> Value {
    json!({ "code": code, "message": "a reason in words", "rid": "3647575c0e1049439e484a231864da2c" })
}
