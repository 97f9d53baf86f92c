//! The fake of EGMS: strict about signatures, names and states, with books of its own.
//!
//! A payment is refunded only when it is captured and cancelled only while it is pending. Refunds
//! and cancellations are `Received` first; one in two of those that are pending for long is
//! answered S0003, in progress. B and C errors come with HTTP 400. A payment whose number ends with
//! `-verifying` or `-authorised` stands so until it is paid.
//!
//! Its lies: `S0000` around a refund that failed, a refund that was received and fails later, and
//! replies signed with another body.

mod account_keys;
pub mod auth;
mod body;
mod notifications;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use crate::faults::Fault;
use crate::shared::fault_flow::FaultReply;
use crate::shared::fault_flow::Reply;
use crate::shared::percent_decoding::decode;
use crate::shared::request_table::{Issue, RequestTable};
use crate::shared::responder::{Responder, json_reply, shown_amount};
use crate::shared::transactions::{
    Transaction, TransactionKind, TransactionOutcome, TransactionRequest, TransactionResult,
    TransactionState, TransactionTotals,
};
use crate::{FakeGateway, Reaction, Settings};
pub use account_keys::EgmsAccountKeys;
use auth::SandboxSignKey;
use payrun_domain::money::Amount;
use payrun_gateway::transport::{Request, Response};
use payrun_system::clock::Clock;

/// The fake of EGMS.
#[derive(Debug)]
pub struct FakeEgms {
    pub(crate) responder: Responder,
    sid: String,
    key: SandboxSignKey,
}

/// Why a request is refused for what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EgmsRefusal {
    code: &'static str,
    /// The word in the books.
    reason: &'static str,
}

/// Whose order it is about, what is said, and what bends it.
type EgmsSubjectReply = (String, Value, Option<Fault>);

impl FakeEgms {
    /// Opens it with empty books.
    pub fn open(identity: &EgmsAccountKeys, settings: Settings, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            responder: Responder::new(settings, clock),
            sid: identity.sid.clone(),
            key: identity.sign_key(),
        })
    }

    /// Everything that moved, and everything that went wrong.
    pub fn totals(&self) -> TransactionTotals {
        self.responder.totals()
    }

    /// Puts a captured payment into the books; its `evoTransID`.
    pub fn seed(&self, merchant_trans_id: &str, amount: Amount) -> String {
        self.responder.seed(merchant_trans_id, amount)
    }

    /// A refund as it stands in the books.
    pub fn refund(&self, merchant_trans_id: &str) -> Option<Transaction> {
        self.responder
            .transactions()
            .entry(TransactionKind::Refund, merchant_trans_id)
            .cloned()
    }

    async fn handle(&self, request: Request) -> Reaction {
        let method = request.method().clone();
        let target = request
            .uri()
            .path_and_query()
            .map_or("/", |target| target.as_str())
            .to_owned();
        let said = self
            .admit(&request, &target)
            .and_then(|()| self.answer(&request));
        let (subject, body, fault) = match said {
            Ok(said) => said,
            Err(refused) => {
                self.responder.transactions().refuse(refused.reason);
                (String::new(), result(refused.code), None)
            }
        };
        let say = |http, body: &Value, forged| self.reply(&method, &target, http, body, forged);
        let (broken, busy) = (result("E0000"), result("E0001"));
        let http = if body["result"]["code"]
            .as_str()
            .is_some_and(|code| code.starts_with(['B', 'C']))
        {
            400
        } else {
            200
        };
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

    fn answer(&self, request: &Request) -> Result<EgmsSubjectReply, EgmsRefusal> {
        let no_path = EgmsRefusal {
            code: "V0006",
            reason: "no_such_path",
        };
        let path = request
            .uri()
            .path()
            .strip_prefix("/g2/v1/payment/mer/")
            .ok_or(no_path)?;
        let (sid, operation) = path.split_once('/').ok_or(no_path)?;
        if decode(sid) != self.sid {
            return Err(EgmsRefusal {
                code: "C0001",
                reason: "wrong_sid",
            });
        }
        let kind = match operation {
            "evo.e-commerce.payment" => TransactionKind::Payment,
            "evo.e-commerce.cancel" => TransactionKind::Cancel,
            "evo.e-commerce.refund" => TransactionKind::Refund,
            _ => return Err(no_path),
        };
        let table = RequestTable::egms();
        let row = table
            .find("any", request.method(), request.uri().path())
            .ok_or(no_path)?;
        let query = request.uri().query().unwrap_or_default();
        let checked = table.check_headers(request.headers(), &[]);
        let checked = checked.and_then(|()| row.check_json(query, request.body()).map(|_| ()));
        checked.map_err(|wrong| EgmsRefusal {
            code: if wrong.issue == Issue::Missing {
                "V0001"
            } else {
                "V0009"
            },
            reason: wrong.issue.as_str(),
        })?;
        let number = query.strip_prefix("merchantTransID=").map(decode);
        match (request.method(), kind, number) {
            (&Method::GET, _, Some(number)) => Ok(self.query(kind, number)),
            (&Method::POST, TransactionKind::Payment, None) => {
                self.submit(keyed(request, body::payment(request.body())?)?)
            }
            (&Method::POST, TransactionKind::Cancel | TransactionKind::Refund, Some(payment)) => {
                let currency = self
                    .responder
                    .transactions()
                    .entry(TransactionKind::Payment, &payment)
                    .map(|entry| entry.currency.clone());
                self.submit(keyed(
                    request,
                    body::undo(request.body(), kind, payment, currency)?,
                )?)
            }
            (_, _, None) => Err(EgmsRefusal {
                code: "V0001",
                reason: "no_number",
            }),
            (
                _,
                TransactionKind::Payment | TransactionKind::Cancel | TransactionKind::Refund,
                Some(_),
            ) => Err(no_path),
        }
    }

    fn submit(&self, asked: TransactionRequest) -> Result<EgmsSubjectReply, EgmsRefusal> {
        let (kind, number, of) = (asked.kind, asked.number.clone(), asked.of.clone());
        let mut transactions = self.responder.transactions();
        let TransactionOutcome { what, fault } =
            transactions.submit(asked, &self.responder.settings, self.responder.clock.now());
        let failed = |code: &str| {
            let mut body = result("S0000");
            body[status_word(kind)] = json!({
                "status": "Failed", "failureCode": code, "failureReason": "a reason in words",
                "merchantTransInfo": { "merchantTransID": number },
            });
            body
        };
        let body = match what {
            TransactionResult::Transaction(entry)
                if fault == Some(Fault::Pending)
                    && self
                        .responder
                        .settings
                        .plan
                        .draw(&entry.number, "in progress", 0)
                        .is_multiple_of(2) =>
            {
                result("S0003")
            }
            TransactionResult::Transaction(entry) => shown(
                &entry,
                kind,
                transactions.entry(TransactionKind::Payment, &of),
                fault,
            ),
            TransactionResult::Faulty(FaultReply::Soft) => failed("P0001"),
            TransactionResult::Faulty(FaultReply::Hard) => result("B0005"),
            TransactionResult::Faulty(FaultReply::Unmapped) => result("X9999"),
            TransactionResult::OtherBody => result("C0009"),
            TransactionResult::NoPayment => result("B0014"),
            TransactionResult::WrongState => result("B0012"),
            TransactionResult::TooMuch => result("B0013"),
            TransactionResult::Full => result("E0000"),
        };
        Ok((number, body, fault))
    }

    fn query(&self, kind: TransactionKind, number: String) -> EgmsSubjectReply {
        let mut transactions = self.responder.transactions();
        let (seen, fault) = transactions.query(
            kind,
            &number,
            &self.responder.settings,
            self.responder.clock.now(),
        );
        let body = match seen {
            Some(entry) => shown(
                &entry,
                kind,
                transactions.entry(TransactionKind::Payment, &entry.of),
                fault,
            ),
            None => result("C0004"),
        };
        (number, body, fault)
    }

    /// A reply signed with the request's method and target; `forged`: with another body.
    fn reply(
        &self,
        method: &Method,
        target: &str,
        http: u16,
        body: &Value,
        forged: bool,
    ) -> Option<Response> {
        let mut response = json_reply(http, body, &self.responder.clock)?;
        let signed = if forged {
            Bytes::from_static(b"{}")
        } else {
            response.body().clone()
        };
        self.sign_into(
            method.as_str(),
            target,
            &signed,
            self.responder.clock.now(),
            response.headers_mut(),
        )?;
        Some(response)
    }
}

impl FakeGateway for FakeEgms {
    fn handle(&self, request: Request) -> Pin<Box<dyn Future<Output = Reaction> + Send + '_>> {
        Box::pin(self.handle(request))
    }
}

/// `Idempotency-Key` may be left out; where it is there it is the number that the effect is under.
fn keyed(request: &Request, asked: TransactionRequest) -> Result<TransactionRequest, EgmsRefusal> {
    match request
        .headers()
        .get("idempotency-key")
        .map(|key| key.as_bytes() == asked.number.as_bytes())
    {
        None | Some(true) => Ok(asked),
        Some(false) => Err(EgmsRefusal {
            code: "V0002",
            reason: "wrong_idempotency_key",
        }),
    }
}

const fn status_word(kind: TransactionKind) -> &'static str {
    match kind {
        TransactionKind::Payment => "payment",
        TransactionKind::Refund => "refund",
        TransactionKind::Cancel => "cancel",
    }
}

/// A whole reply about an entry; of a refund or a cancellation the payment is shown beside it, as
/// the samples do.
fn shown(
    entry: &Transaction,
    kind: TransactionKind,
    payment: Option<&Transaction>,
    fault: Option<Fault>,
) -> Value {
    let mut body = result("S0000");
    if let Some(payment) = payment {
        body["payment"] = show(payment, TransactionKind::Payment, None);
    }
    body[status_word(kind)] = show(entry, kind, fault);
    if kind == TransactionKind::Payment && entry.state == TransactionState::Open {
        body["action"] = json!({ "type": "presentQRCode", "qrData": { "qrCode": "weixin://wxpay/bizpayurl?pr=SANDBOX" } });
    }
    body
}

fn show(entry: &Transaction, kind: TransactionKind, fault: Option<Fault>) -> Value {
    let status = match (kind, entry.state) {
        (TransactionKind::Payment, TransactionState::Seen | TransactionState::Open)
            if entry.number.ends_with("-verifying") =>
        {
            "Verifying"
        }
        (TransactionKind::Payment, TransactionState::Seen | TransactionState::Open)
            if entry.number.ends_with("-authorised") =>
        {
            "Authorised"
        }
        (TransactionKind::Payment, TransactionState::Seen | TransactionState::Open) => "Pending",
        (TransactionKind::Payment, TransactionState::Done)
            if entry.given_back > 0 && entry.given_back == entry.minor =>
        {
            "Refunded"
        }
        (TransactionKind::Payment, TransactionState::Done) => "Captured",
        (TransactionKind::Payment, TransactionState::Cancelled) => "Cancelled",
        (
            TransactionKind::Refund | TransactionKind::Cancel,
            TransactionState::Seen | TransactionState::Open,
        ) => "Received",
        (TransactionKind::Refund | TransactionKind::Cancel, TransactionState::Done) => "Success",
        (TransactionKind::Payment, TransactionState::Failed)
        | (
            TransactionKind::Refund | TransactionKind::Cancel,
            TransactionState::Failed | TransactionState::Cancelled,
        ) => "Failed",
    };
    let mut shown = json!({
        "status": status,
        "merchantTransInfo": { "merchantTransID": entry.number, "merchantTransTime": entry.at.to_string() },
        "evoTransInfo": { "evoTransID": entry.theirs, "evoTransTime": entry.at.to_string() },
    });
    if kind == TransactionKind::Payment || fault == Some(Fault::OtherAmount) {
        let value = shown_amount(entry.minor, &entry.currency, fault);
        shown["transAmount"] = json!({ "currency": entry.currency, "value": value });
    }
    if status == "Failed" {
        shown["failureCode"] = json!("P0002");
    }
    shown
}

fn result(code: &str) -> Value {
    let message = if code == "S0000" {
        "Success"
    } else {
        "a reason in words"
    };
    json!({ "result": { "code": code, "message": message } })
}
