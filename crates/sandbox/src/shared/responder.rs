//! The frame of a twin: its till, its clock, and how a fault bends what it says. Shared by all
//! twins, which differ in how they are spoken to.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::faults::Fault;
use crate::shared::customs::Book;
use crate::shared::transactions::{TillTotals, TransactionStore};
use crate::{Reaction, Settings};
use payrun_domain::money::{Amount, Currency};
use payrun_gateway::transport::Response;
use payrun_system::clock::Clock;

/// The most payments one request may put into the books.
const SEED_MAX: usize = 10_000;

/// What every twin has.
#[derive(Debug)]
pub(crate) struct Counter {
    pub settings: Settings,
    pub clock: Clock,
    till: Mutex<TransactionStore>,
    declarations: Mutex<Book>,
}

/// What a twin has to say, and how it says it.
pub(crate) struct Reply<'a> {
    /// Whose order it is about; faults are drawn by it.
    pub subject: &'a str,
    pub http: u16,
    pub body: Value,
    pub fault: Option<Fault>,
    /// Makes a reply; `forged`: one that must not be believed.
    pub say: &'a (dyn Fn(u16, &Value, bool) -> Option<Response> + Sync),
    /// How it says that it has failed.
    pub broken: Value,
    /// How it says that it was asked too often.
    pub busy: Value,
}

impl Counter {
    pub(crate) fn new(settings: Settings, clock: Clock) -> Self {
        Self {
            settings,
            clock,
            till: Mutex::default(),
            declarations: Mutex::default(),
        }
    }

    pub(crate) fn till(&self) -> MutexGuard<'_, TransactionStore> {
        self.till.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The book of customs declarations, of the twins that take any.
    pub(crate) fn declarations(&self) -> MutexGuard<'_, Book> {
        self.declarations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Says it, bent by its fault, after the latency.
    pub(crate) async fn speak(&self, speech: Reply<'_>) -> Reaction {
        let Reply {
            subject,
            http,
            body,
            fault,
            say,
            broken,
            busy,
        } = speech;
        let coin = self
            .settings
            .plan
            .draw(subject, "shape", 0)
            .is_multiple_of(2);
        self.wait(subject, coin, fault).await;
        let said = |http, body: &Value, forged| {
            say(http, body, forged).map_or(Reaction::Reset, Reaction::Reply)
        };
        match fault {
            Some(Fault::Refused) => Reaction::Refuse,
            Some(Fault::ResetBefore | Fault::ResetAfter | Fault::LateVisible) => Reaction::Reset,
            Some(Fault::SilentBefore | Fault::SilentAfter) => Reaction::Hold,
            Some(Fault::ErrorBefore | Fault::ErrorAfter) if coin => said(500, &broken, false),
            Some(Fault::ErrorBefore | Fault::ErrorAfter) => Reaction::Reply(unsigned_502()),
            Some(Fault::Limited) => match say(429, &busy, false) {
                None => Reaction::Reset,
                Some(mut reply) => {
                    reply
                        .headers_mut()
                        .insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
                    Reaction::Reply(reply)
                }
            },
            Some(Fault::WrongSignature) => said(http, &body, true),
            Some(Fault::Truncated) => {
                say(http, &body, false).map_or(Reaction::Reset, Reaction::Truncate)
            }
            Some(
                Fault::OtherAmount
                | Fault::UnlistedCode
                | Fault::Pending
                | Fault::SoftDecline
                | Fault::HardDecline
                | Fault::Slow,
            )
            | None => said(http, &body, false),
        }
    }

    async fn wait(&self, subject: &str, coin: bool, fault: Option<Fault>) {
        let jitter = u64::try_from(self.settings.jitter.as_micros()).unwrap_or(u64::MAX);
        let share = self.settings.plan.draw(subject, "jitter", 0) % jitter.saturating_add(1).max(1);
        let mut latency = self.settings.latency + Duration::from_micros(share);
        if fault == Some(Fault::Slow) {
            latency += self.settings.timeout * if coin { 9 } else { 11 } / 10;
        }
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
    }

    /// Puts a paid payment into the books, as if its payer had just paid; the gateway's number of
    /// it.
    pub(crate) fn seed(&self, number: &str, amount: Amount) -> String {
        self.till().seed(
            number,
            amount.currency().code(),
            amount.minor(),
            self.clock.now(),
        )
    }

    pub(crate) fn totals(&self) -> TillTotals {
        let mut totals = self.till().totals();
        totals.customs = self
            .declarations()
            .totals(&mut totals.faults, &mut totals.violations);
        totals
    }

    /// What is said about the twin itself: `GET books`, and `POST payments` to put paid payments
    /// into them.
    pub(crate) fn about(
        &self,
        method: &Method,
        page: &str,
        body: &[u8],
    ) -> Result<Value, StatusCode> {
        match (method, page) {
            (&Method::GET, "books") => {
                serde_json::to_value(self.totals()).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
            }
            (&Method::POST, "payments") => {
                let seeds: Vec<Seed> =
                    serde_json::from_slice(body).map_err(|_| StatusCode::BAD_REQUEST)?;
                if seeds.len() > SEED_MAX {
                    return Err(StatusCode::PAYLOAD_TOO_LARGE);
                }
                let amounts: Option<Vec<Amount>> = seeds.iter().map(Seed::amount).collect();
                let amounts = amounts.ok_or(StatusCode::BAD_REQUEST)?;
                let put = seeds.iter().zip(amounts).map(|(seed, amount)| {
                    json!({ "number": seed.number, "gateway_number": self.seed(&seed.number, amount) })
                });
                Ok(Value::Array(put.collect()))
            }
            (_, "books" | "payments") => Err(StatusCode::METHOD_NOT_ALLOWED),
            _ => Err(StatusCode::NOT_FOUND),
        }
    }
}

/// A payment to be put into the books.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seed {
    number: String,
    amount: String,
    currency: String,
}

impl Seed {
    fn amount(&self) -> Option<Amount> {
        Amount::parse(&self.amount, Currency::parse(&self.currency).ok()?).ok()
    }
}

/// An amount in the books as the gateways write it; under [`Fault::OtherAmount`] one minor unit
/// more.
pub(crate) fn shown_amount(minor: i64, currency: &str, fault: Option<Fault>) -> String {
    let more = i64::from(fault == Some(Fault::OtherAmount));
    Currency::parse(currency)
        .map(|currency| payrun_domain::money::decimal_text(i128::from(minor + more), currency))
        .unwrap_or_default()
}

/// A page that some machine in between might answer with, in place of a reply that is not signed.
pub(crate) fn stray_page() -> Response {
    let mut response = Response::new(bytes::Bytes::from_static(
        b"<html><body>Please log in</body></html>",
    ));
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("text/html"),
    );
    response
}

/// A JSON reply with a `Date`, unsigned.
pub(crate) fn json_reply(http: u16, body: &Value, clock: &Clock) -> Option<Response> {
    let mut response = Response::new(serde_json::to_vec(body).ok()?.into());
    *response.status_mut() = StatusCode::from_u16(http).ok()?;
    let date = chrono::DateTime::from_timestamp_millis(clock.now().millis())?;
    let date = HeaderValue::from_str(&date.format("%a, %d %b %Y %H:%M:%S GMT").to_string()).ok()?;
    response.headers_mut().insert(http::header::DATE, date);
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    Some(response)
}

/// What a machine before the gateway would say: no JSON, no signature.
pub(crate) fn unsigned_502() -> Response {
    let mut response = Response::new(bytes::Bytes::from_static(
        b"<html><body>502 Bad Gateway</body></html>",
    ));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
