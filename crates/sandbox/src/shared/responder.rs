//! What every fake gateway has: how it behaves, its clock, its transactions and
//! declarations; and how it writes a reply. They differ in how they are spoken to.

use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{HeaderValue, StatusCode};
use serde_json::Value;

use crate::Settings;
use crate::faults::Fault;
use crate::shared::customs::DeclarationBook;
use crate::shared::transactions::{TransactionStore, TransactionTotals};
use payrun_domain::money::Currency;
use payrun_gateway::transport::Response;
use payrun_system::clock::Clock;

/// What every fake has.
#[derive(Debug)]
pub(crate) struct Responder {
    pub settings: Settings,
    pub clock: Clock,
    transactions: Mutex<TransactionStore>,
    declarations: Mutex<DeclarationBook>,
}

impl Responder {
    pub(crate) fn new(settings: Settings, clock: Clock) -> Self {
        Self {
            settings,
            clock,
            transactions: Mutex::default(),
            declarations: Mutex::default(),
        }
    }

    pub(crate) fn transactions(&self) -> MutexGuard<'_, TransactionStore> {
        self.transactions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The book of customs declarations, of the fakes that take any.
    pub(crate) fn declarations(&self) -> MutexGuard<'_, DeclarationBook> {
        self.declarations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn totals(&self) -> TransactionTotals {
        let mut totals = self.transactions().totals();
        totals.customs = self
            .declarations()
            .totals(&mut totals.faults, &mut totals.violations);
        totals
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
