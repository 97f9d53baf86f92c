//! The other side of the gateways. Here: WeChat Pay Global, a strict gateway for one merchant, with
//! faults on demand and books of the money that really moved. It is the same in-process
//! ([`Sandbox::handle`]) and over sockets ([`server`]).
//!
//! It is written apart from the client: it shares no message types with it, and neither the strings
//! that are signed nor the keys that verify and seal ([`shared::keys`], [`wechat::auth`]). So a client that speaks or
//! signs wrongly is refused.
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

pub mod cbtis;
pub mod egms;
pub mod faults;
mod gateways;
pub mod hipopay;
pub mod notifications;
pub mod server;
pub mod shared;
#[cfg(test)]
mod tests;
pub mod wechat;

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::Mutex;

use faults::{Fault, FaultPlan};
pub use gateways::{Counts, Gateways};
use payrun_domain::time::Timestamp;
pub use payrun_gateway::in_process::{FakeGateway, HOLD_MAX, Reaction};
use payrun_gateway::transport::{Request, Response};
use payrun_project::config::{MerchantKey, PublicKey, WechatMode};
use payrun_system::clock::Clock;
pub use shared::customs::CustomsTotals;
pub use shared::key_files::IdentityError;
use shared::keys::{ApiKey, KeyError, SigningKey, nonce};
use shared::request_table::{RequestTable, Undocumented};
use shared::statements::QueryCounts;
pub use shared::statements::Ready;
pub use shared::transactions::{
    BookLine, TillTotals, Transaction, TransactionKind, TransactionState,
};
use wechat::auth::{SCHEME, reply_message};
use wechat::identity::Certified;
pub use wechat::identity::Identity;
pub use wechat::order_book::{Charged, Line, OrderState, Page, Totals};
pub use wechat::order_store::StoreError;

/// How a sandbox behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What goes wrong.
    pub plan: FaultPlan,
    /// How long every reply takes at least.
    pub latency: Duration,
    /// How much longer it may take, by seed.
    pub jitter: Duration,
    /// The client's patience, which [`Fault::Slow`] just keeps within or just exceeds.
    pub timeout: Duration,
    /// After how long a pending order is decided, if not by queries before.
    pub pending: Duration,
    /// How long [`Fault::LateVisible`] hides an order from queries.
    pub late: Duration,
    /// Where the books are kept; temporary if none.
    pub books: Option<PathBuf>,
    /// How far two refunds of a payment of WeChat Pay must be apart: a minute at the real one
    /// (docs/gateways/wechat.md).
    pub refund_gap: Duration,
    /// How many looks at a payment that was put into the books show one minor unit more than was
    /// paid.
    pub misread: u32,
    /// How old a payment must be to be reversed: 15 seconds at the real WeChat Pay
    /// (docs/gateways/wechat.md).
    pub reverse_after: Duration,
    /// How old an order must be to be closed: 5 minutes at the real WeChat Pay
    /// (docs/gateways/wechat.md).
    pub close_after: Duration,
    /// By what replies are signed.
    pub signs_with: SignsWith,
    /// When the statement of a day is there.
    pub statements: Ready,
    /// How many queries for settlement batches see all of them unsettled.
    pub unsettled: u32,
    /// Whether settlements are asked for by the sub-merchant, as of an ordinary service provider.
    pub settlements_by_sub_merchant: bool,
    /// Codes of customs beside those that the gateways list.
    pub ports: Vec<String>,
    /// Whether it is noted which orders have reached an end, so that their notifications can be
    /// sent.
    pub notes_ends: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            plan: FaultPlan::NONE,
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            timeout: Duration::from_secs(5),
            pending: Duration::from_secs(3),
            late: Duration::from_secs(1),
            books: None,
            refund_gap: Duration::ZERO,
            misread: 0,
            reverse_after: Duration::ZERO,
            close_after: Duration::ZERO,
            signs_with: SignsWith::Certificate,
            statements: Ready::Always,
            unsettled: 0,
            settlements_by_sub_merchant: false,
            ports: Vec::new(),
            notes_ends: false,
        }
    }
}

impl Settings {
    /// Whether this gateway, which lists these, declares to customs of a code.
    fn declares_to(&self, listed: &[&str], code: &str) -> bool {
        listed.contains(&code) || self.ports.iter().any(|port| port == code)
    }
}

/// By what a platform signs its replies (docs/gateways/wechat.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignsWith {
    /// The newest platform certificate.
    Certificate,
    /// The newest public key's counterpart, under its id; that of the identity is
    /// [`wechat::identity::PUBLIC_KEY_ID`].
    PublicKey,
}

impl FakeGateway for Sandbox {
    fn take(&self, request: Request) -> Pin<Box<dyn Future<Output = Reaction> + Send + '_>> {
        Box::pin(self.handle(request))
    }
}

/// Why a request is refused for what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Refusal {
    http: u16,
    code: &'static str,
    /// The word in the books.
    reason: &'static str,
}

/// A gateway.
#[derive(Debug)]
pub struct Sandbox {
    identity: Identity,
    settings: Settings,
    clock: Clock,
    api_key: ApiKey,
    gate: wechat::auth::Gate,
    /// Platform keys in force, the newest last.
    platform: RwLock<Vec<Arc<Platform>>>,
    books: Mutex<wechat::order_book::Books>,
    declarations: StdMutex<shared::customs::Book>,
    in_flight: wechat::in_flight::InFlight,
    desk: wechat::Desk,
    downloads: AtomicU64,
    hides_certificates: AtomicBool,
    signs_with: RwLock<SignsWith>,
    /// The platform key that the last request named.
    named: StdMutex<Option<String>>,
    looks: QueryCounts,
}

/// A platform key that signs replies.
#[derive(Debug)]
struct Platform {
    certified: Certified,
    key: SigningKey,
    /// Its id as a public key.
    public_id: String,
}

impl Sandbox {
    /// Opens a sandbox: reads its keys and opens its books.
    ///
    /// # Errors
    /// If a key cannot be used or the books cannot be opened.
    pub async fn open(
        identity: Identity,
        settings: Settings,
        clock: Clock,
    ) -> Result<Arc<Self>, SandboxError> {
        let mchid = match &identity.mode {
            WechatMode::Common { mchid, appid: _ } => mchid.clone(),
            WechatMode::Institutional {
                sp_mchid,
                sp_appid: _,
                sub_mchid: _,
                sub_appid: _,
            } => sp_mchid.clone(),
        };
        let gate = wechat::auth::Gate {
            mchid,
            keys: RwLock::new(vec![(
                identity.merchant.serial.clone(),
                identity.merchant.verifying_key()?,
            )]),
            nonces: StdMutex::default(),
        };
        let platform = Platform {
            key: identity.platform.signing_key()?,
            certified: identity.platform.clone(),
            public_id: wechat::identity::PUBLIC_KEY_ID.to_owned(),
        };
        Ok(Arc::new(Self {
            api_key: ApiKey::new(identity.api_v3_key()).map_err(SandboxError::ApiKey)?,
            gate,
            platform: RwLock::new(vec![Arc::new(platform)]),
            books: Mutex::new(wechat::order_book::Books::open(settings.books.as_deref()).await?),
            in_flight: wechat::in_flight::InFlight::default(),
            desk: wechat::Desk::new(settings.clone(), clock.clone()),
            declarations: StdMutex::default(),
            downloads: AtomicU64::new(0),
            hides_certificates: AtomicBool::new(false),
            signs_with: RwLock::new(settings.signs_with),
            named: StdMutex::default(),
            looks: QueryCounts::default(),
            identity,
            settings,
            clock,
        }))
    }

    /// Signs with a new platform key from now on, by a certificate of its own and an id of its own;
    /// the old ones stay in the list.
    ///
    /// # Errors
    /// If no key could be generated.
    pub fn rotate_platform(&self) -> Result<(), SandboxError> {
        let certified = Certified::generate("payrun sandbox platform")?;
        let public_id = format!("PUB_KEY_ID_{}", certified.serial);
        let platform = Platform {
            key: certified.signing_key()?,
            certified,
            public_id,
        };
        self.platform
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::new(platform));
        Ok(())
    }

    /// The newest platform key as the public key that a merchant downloads.
    pub fn public_key(&self) -> Option<PublicKey> {
        let platform = self.newest()?;
        Some(PublicKey {
            pem: platform.certified.public().to_owned(),
            id: platform.public_id.clone(),
        })
    }

    /// Signs replies and notifications by this from now on.
    pub fn sign_with(&self, signs_with: SignsWith) {
        *self
            .signs_with
            .write()
            .unwrap_or_else(PoisonError::into_inner) = signs_with;
    }

    /// Whether the download of platform certificates fails from now on.
    pub fn hide_certificates(&self, hides: bool) {
        self.hides_certificates.store(hides, Ordering::Relaxed);
    }

    /// Takes requests under one more key of the merchant's, as its account is to have it.
    ///
    /// # Errors
    /// If no key could be generated.
    pub fn add_merchant_key(&self, from: Option<Timestamp>) -> Result<MerchantKey, SandboxError> {
        let certified = Certified::generate("payrun sandbox merchant")?;
        let key = (certified.serial.clone(), certified.verifying_key()?);
        self.gate
            .keys
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .push(key);
        Ok(certified.merchant_key(from))
    }

    /// Takes no request under a key of the merchant's any more.
    pub fn forget_merchant_key(&self, serial: &str) {
        self.gate
            .keys
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(known, _)| known != serial);
    }

    /// The platform key that the last request named in `Wechatpay-Serial`.
    pub fn named_key(&self) -> Option<String> {
        self.named
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn newest(&self) -> Option<Arc<Platform>> {
        self.platform
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .last()
            .cloned()
    }

    /// Everything that moved, and everything that went wrong.
    ///
    /// # Errors
    /// If the books cannot be read.
    pub async fn totals(&self) -> Result<Totals, StoreError> {
        let mut totals = self.desk.add_to(self.books.lock().await.totals().await?);
        totals.customs = self
            .declarations()
            .totals(&mut totals.faults, &mut totals.violations);
        Ok(totals)
    }

    /// A page of the orders that exist, by order number, after `after` (empty for the first);
    /// `limit` is at most 1,000.
    ///
    /// # Errors
    /// If the books cannot be read.
    pub async fn page(&self, after: &str, limit: u32) -> Result<Page, StoreError> {
        self.books.lock().await.page(after, limit).await
    }

    /// Every deduction that was charged.
    async fn deductions(&self) -> Result<Vec<BookLine>, StoreError> {
        let (mut lines, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.page(&after, 1000).await?;
            lines.extend(
                page.orders
                    .into_iter()
                    .filter(|order| order.charged > 0)
                    .map(|order| BookLine {
                        gateway: "wechat",
                        sort: "payment",
                        number: order.number,
                        of: String::new(),
                        currency: order.currency,
                        minor: order.minor,
                        moved: order.charged,
                    }),
            );
            match page.next {
                Some(next) => after = next,
                None => return Ok(lines),
            }
        }
    }

    /// One order, as it stands in the books.
    ///
    /// # Errors
    /// If the books cannot be read.
    pub async fn order(
        &self,
        number: &str,
    ) -> Result<Option<wechat::order_book::Order>, StoreError> {
        self.books.lock().await.get(number).await
    }

    /// Writes what the books hold in memory only. The server does this every second and when it
    /// stops.
    ///
    /// # Errors
    /// If the books cannot be written.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.books.lock().await.flush().await
    }

    fn declarations(&self) -> MutexGuard<'_, shared::customs::Book> {
        self.declarations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the platform certificates were downloaded.
    pub fn downloads(&self) -> u64 {
        self.downloads.load(Ordering::Relaxed)
    }

    /// Takes a request in, has its effect, and says what comes of it.
    pub async fn handle(&self, request: Request) -> Reaction {
        let now = self.clock.now();
        if let Err(refusal) = self.gate.admit(&request, now) {
            return self.refuse(refusal).await;
        }
        let named = request
            .headers()
            .get("wechatpay-serial")
            .and_then(|serial| serial.to_str().ok());
        *self.named.lock().unwrap_or_else(PoisonError::into_inner) = named.map(str::to_owned);
        match self.documented(&request) {
            Ok(()) => {}
            Err(NotDocumented::Call) => return self.refuse(NO_SUCH_PATH).await,
            Err(NotDocumented::Ids) => return self.refuse(wechat::body::param("wrong_ids")).await,
            Err(NotDocumented::Parameter(wrong)) => return self.refuse_parameter(&wrong).await,
        }
        let path = request.uri().path().to_owned();
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match self.serve(&request, &segments, now).await {
            Ok(Some((subject, said))) => return self.react(said, &subject).await,
            Ok(None) => {}
            Err(refusal) => return self.refuse(refusal).await,
        }
        let said = match (request.method(), segments.as_slice()) {
            (&Method::GET, ["v3", "global", "certificates"]) => {
                return self.certificates().map_or(Reaction::Reset, Reaction::Reply);
            }
            (&Method::GET, ["v3", "global", "statements"]) => {
                return self
                    .statement(request.uri().query().unwrap_or_default())
                    .await;
            }
            (&Method::GET, ["v3", "global", "settle", "settlements"]) => {
                return self
                    .settlement_page(request.uri().query().unwrap_or_default())
                    .await;
            }
            (&Method::POST, ["v3", "global", "papay", "transactions"]) => {
                return self.take_deduction(&request).await;
            }
            (_, ["v3", "global", "customs", rest @ ..]) => {
                return self.take_customs(rest, &request).await;
            }
            (
                &Method::GET,
                [
                    "v3",
                    "global",
                    "papay",
                    "transactions",
                    "out-trade-no",
                    number,
                ],
            ) => self.query(&decode(number), now).await,
            (&Method::GET, ["v3", "global", "papay", "transactions", id]) => {
                self.query_transaction(&decode(id), now).await
            }
            (&Method::GET, ["v3", "global", "papay", "contracts", id]) => {
                Ok(self.contract(&decode(id)))
            }
            _ => return self.refuse(NO_SUCH_PATH).await,
        };
        self.react(said, &path).await
    }

    async fn take_deduction(&self, request: &Request) -> Reaction {
        let body = match wechat::body::Deduction::read(request.body()) {
            Ok(body) => body,
            Err(refusal) => return self.refuse(refusal).await,
        };
        if self.desk.has_payment(&body.out_trade_no) {
            self.desk.counter.till().violate("two_bodies");
            let used = wechat::deductions::Said::error(
                400,
                "OUT_TRADE_NO_USED",
                "this order number belongs to another payment",
            );
            return self.react(Ok(used), &body.out_trade_no).await;
        }
        let (number, contract) = (body.out_trade_no.clone(), body.contract_id.clone());
        let flight = self.in_flight.begin(&contract, &number);
        let said = self.deduct(body, request.body(), self.clock.now()).await;
        // Only an ordinary reply counts as in flight: of any other the client may rightly think
        // that it has ended.
        let _flight = flight.filter(|_| said.as_ref().is_ok_and(|said| said.fault.is_none()));
        self.react(said, &number).await
    }

    /// Bends what is said by the fault it met, after the latency.
    async fn react(
        &self,
        said: Result<wechat::deductions::Said, StoreError>,
        subject: &str,
    ) -> Reaction {
        let said = match said {
            Ok(said) => said,
            Err(error) => {
                tracing::error!(error = %error, "the sandbox's books failed");
                wechat::deductions::Said::error(500, "SYSTEM_ERROR", "the sandbox's books failed")
            }
        };
        let coin = self
            .settings
            .plan
            .draw(subject, "shape", 0)
            .is_multiple_of(2);
        self.wait(subject, coin, said.fault).await;
        let system_error = json!({ "code": "SYSTEM_ERROR", "message": "system error" });
        let signed = |http, body: &Value| {
            self.reply(http, body, None)
                .map_or(Reaction::Reset, Reaction::Reply)
        };
        match said.fault {
            Some(Fault::Refused) => Reaction::Refuse,
            Some(Fault::ResetBefore | Fault::ResetAfter | Fault::LateVisible) => Reaction::Reset,
            Some(Fault::SilentBefore | Fault::SilentAfter) => Reaction::Hold,
            Some(Fault::ErrorBefore | Fault::ErrorAfter) if coin => signed(500, &system_error),
            Some(Fault::ErrorBefore | Fault::ErrorAfter) => Reaction::Reply(unsigned_502()),
            Some(Fault::Limited) => {
                let body = json!({ "code": "FREQUENCY_LIMITED", "message": "slow down" });
                let Some(mut reply) = self.reply(429, &body, None) else {
                    return Reaction::Reset;
                };
                reply
                    .headers_mut()
                    .insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
                Reaction::Reply(reply)
            }
            Some(Fault::WrongSignature) => {
                let another = Bytes::from_static(b"{}");
                self.reply(said.http, &said.body, Some(another))
                    .map_or(Reaction::Reset, Reaction::Reply)
            }
            Some(Fault::Truncated) => self
                .reply(said.http, &said.body, None)
                .map_or(Reaction::Reset, Reaction::Truncate),
            Some(
                Fault::OtherAmount
                | Fault::UnlistedCode
                | Fault::Pending
                | Fault::SoftDecline
                | Fault::HardDecline
                | Fault::Slow,
            )
            | None => signed(said.http, &said.body),
        }
    }

    async fn wait(&self, subject: &str, coin: bool, fault: Option<Fault>) {
        let jitter = u64::try_from(self.settings.jitter.as_micros()).unwrap_or(u64::MAX);
        let share = self.settings.plan.draw(subject, "jitter", 0) % jitter.saturating_add(1).max(1);
        let mut latency = self.settings.latency + Duration::from_micros(share);
        if fault == Some(Fault::Slow) {
            let tenths = if coin { 9 } else { 11 };
            latency += self.settings.timeout * tenths / 10;
        }
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
    }

    /// A parameter that the page of the call does not list, or that it requires.
    async fn refuse_parameter(&self, wrong: &Undocumented) -> Reaction {
        let word = wrong.issue.as_str();
        self.books
            .lock()
            .await
            .count(wechat::order_book::Counter::Refused, word);
        let detail = json!({ "field": wrong.name, "location": wrong.location, "issue": word });
        let body = json!({ "code": "PARAM_ERROR", "message": word, "detail": detail });
        self.reply(400, &body, None)
            .map_or(Reaction::Reset, Reaction::Reply)
    }

    /// Whether a request is one that a page documents, with its parameters and no others, and names
    /// our ids.
    fn documented(&self, request: &Request) -> Result<(), NotDocumented> {
        let mode = &self.identity.mode;
        let (word, ids) = match mode {
            WechatMode::Common { mchid, appid } => {
                ("common", vec![("mchid", mchid), ("appid", appid)])
            }
            WechatMode::Institutional {
                sp_mchid,
                sp_appid,
                sub_mchid,
                sub_appid,
            } => {
                let ids = [
                    ("sp_mchid", sp_mchid),
                    ("sp_appid", sp_appid),
                    ("sub_mchid", sub_mchid),
                ];
                // Customs know an institution by its own ids.
                let as_merchant = [("mchid", sp_mchid), ("appid", sp_appid)];
                let sub_appid = sub_appid.iter().map(|id| ("sub_appid", id));
                (
                    "institutional",
                    ids.into_iter()
                        .chain(as_merchant)
                        .chain(sub_appid)
                        .collect(),
                )
            }
        };
        let (table, uri) = (RequestTable::wechat(), request.uri());
        table
            .check_headers(request.headers(), &[])
            .map_err(NotDocumented::Parameter)?;
        let row = table
            .find(word, request.method(), uri.path())
            .ok_or(NotDocumented::Call)?;
        let values = row.check_json(uri.query().unwrap_or_default(), request.body());
        let values = values.map_err(NotDocumented::Parameter)?;
        let named = values
            .iter()
            .filter(|((_, name), _)| IDS.contains(&name.as_str()));
        let ours = |name: &str, value: &str| {
            ids.iter()
                .any(|(own, id)| *own == name && id.as_str() == value)
        };
        if named
            .into_iter()
            .all(|((_, name), value)| ours(name, value))
        {
            Ok(())
        } else {
            Err(NotDocumented::Ids)
        }
    }

    async fn refuse(&self, refusal: Refusal) -> Reaction {
        self.books
            .lock()
            .await
            .count(wechat::order_book::Counter::Refused, refusal.reason);
        let body = json!({ "code": refusal.code, "message": refusal.reason });
        self.reply(refusal.http, &body, None)
            .map_or(Reaction::Reset, Reaction::Reply)
    }

    /// The platform certificates in force, each encrypted under the APIv3 key
    /// (docs/gateways/wechat.md).
    fn certificates(&self) -> Option<Response> {
        self.downloads.fetch_add(1, Ordering::Relaxed);
        if self.hides_certificates.load(Ordering::Relaxed) {
            return Some(unsigned_502());
        }
        let platform = self
            .platform
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let mut data = Vec::with_capacity(platform.len());
        for one in platform {
            let random: String = nonce()?.chars().take(12).collect();
            let ciphertext =
                self.api_key
                    .seal(&random, "certificate", one.certified.certificate.as_bytes())?;
            data.push(json!({
                "serial_no": one.certified.serial,
                "effective_time": "2026-01-01T00:00:00+08:00",
                "expire_time": "2031-01-01T00:00:00+08:00",
                "encrypt_certificate": {
                    "algorithm": "AEAD_AES_256_GCM",
                    "nonce": random,
                    "associated_data": "certificate",
                    "ciphertext": ciphertext,
                },
            }));
        }
        self.reply(200, &json!({ "data": data }), None)
    }

    /// A signed reply; `signed_instead` is signed in the body's place. A 204 has no body. None if
    /// it cannot be signed.
    fn reply(&self, http: u16, body: &Value, signed_instead: Option<Bytes>) -> Option<Response> {
        let sub_code = body
            .get("message")
            .and_then(Value::as_str)
            .and_then(sub_code);
        let body = if http == 204 {
            Bytes::new()
        } else {
            serde_json::to_vec(body).ok()?.into()
        };
        let covered = signed_instead.unwrap_or_else(|| body.clone());
        let mut reply = self.signed(http, body, &covered)?;
        if let Some(code) = sub_code {
            let id = format!("{}-{code}", nonce()?);
            reply
                .headers_mut()
                .insert("request-id", HeaderValue::from_str(&id).ok()?);
        }
        Some(reply)
    }

    /// A reply whose signature covers this.
    fn signed(&self, http: u16, body: Bytes, covered: &[u8]) -> Option<Response> {
        self.signed_at(http, body, covered, self.clock.now())
    }

    fn signed_at(
        &self,
        http: u16,
        body: Bytes,
        covered: &[u8],
        now: Timestamp,
    ) -> Option<Response> {
        let platform = self.newest()?;
        let signs_with = *self
            .signs_with
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let (timestamp, nonce) = (now.seconds().to_string(), nonce()?);
        let signature = platform
            .key
            .sign(&reply_message(&timestamp, &nonce, covered))?;
        let serial = match signs_with {
            SignsWith::Certificate => platform.certified.serial.as_str(),
            SignsWith::PublicKey => platform.public_id.as_str(),
        };
        let mut headers = HeaderMap::new();
        let date = chrono::DateTime::from_timestamp_millis(now.millis())?;
        let fields = [
            ("content-type", "application/json; charset=utf-8"),
            (
                "date",
                &date.format("%a, %d %b %Y %H:%M:%S GMT").to_string(),
            ),
            ("request-id", &format!("{nonce}-0")),
            ("wechatpay-timestamp", &timestamp),
            ("wechatpay-nonce", &nonce),
            ("wechatpay-serial", serial),
            ("wechatpay-signature", &signature),
            ("wechatpay-signature-type", SCHEME),
        ];
        for (name, value) in fields {
            headers.insert(name, HeaderValue::from_str(value).ok()?);
        }
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(http).ok()?;
        *response.headers_mut() = headers;
        Some(response)
    }
}

/// The ids by which merchants and their apps are named.
const IDS: [&str; 6] = [
    "mchid",
    "appid",
    "sp_mchid",
    "sp_appid",
    "sub_mchid",
    "sub_appid",
];

/// Why a request is none that a page documents.
enum NotDocumented {
    Call,
    Ids,
    Parameter(Undocumented),
}

/// The fine-grained code that goes with an error, at the end of its `Request-ID`.
fn sub_code(message: &str) -> Option<u32> {
    match message {
        shared::customs::NOT_DECLARED => Some(35_312_011),
        shared::customs::NO_RECORD => Some(132_021_037),
        "there is no such order" => Some(268_512_771),
        "unknown_parameter" | "missing_parameter" => Some(268_435_461),
        _ => None,
    }
}

const NO_SUCH_PATH: Refusal = Refusal {
    http: 404,
    code: "RESOURCE_NOT_EXISTS",
    reason: "no_such_path",
};

/// What a machine before the gateway would say: no JSON, no signature.
fn unsigned_502() -> Response {
    let mut response = Response::new(Bytes::from_static(
        b"<html><body>502 Bad Gateway</body></html>",
    ));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}

/// A path segment without its percent-encoding; what cannot be decoded stays as it is.
fn decode(segment: &str) -> String {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            Some(_) | None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| segment.to_owned())
}

/// Why there is no sandbox.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// Its keys cannot be used.
    #[error("the sandbox's keys cannot be used")]
    Identity(#[from] IdentityError),
    /// Its APIv3 key cannot be used.
    #[error("the sandbox's APIv3 key cannot be used")]
    ApiKey(#[source] KeyError),
    /// Its books cannot be opened.
    #[error("the sandbox's books cannot be opened")]
    Books(#[from] StoreError),
}
