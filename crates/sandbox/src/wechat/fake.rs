//! The fake of WeChat Pay Global: which call a request is, and who answers it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError, RwLock};

use http::Method;
use thiserror::Error;
use tokio::sync::Mutex;

use super::account_keys::{CertifiedKey, PUBLIC_KEY_ID, WechatAccountKeys};
use super::certificates::PlatformSigner;
use super::order_book::{DeductionOrder, OrderBook, OrderPage, Totals};
use super::order_store::StoreError;
use super::replies::NO_SUCH_PATH;
use super::{Payments, auth, body, in_flight};
use crate::shared::customs::DeclarationBook;
use crate::shared::key_files::AccountKeysError;
use crate::shared::keys::{SandboxApiKey, SandboxKeyError};
use crate::shared::percent_decoding::decode;
use crate::shared::request_table::{RequestTable, UndocumentedRequest};
use crate::shared::statements::QueryCounts;
use crate::shared::transactions::BookLine;
use crate::{FakeGateway, Reaction, Settings, SignsWith};
use payrun_domain::time::Timestamp;
use payrun_gateway::transport::Request;
use payrun_project::config::{MerchantKey, WechatMode};
use payrun_system::clock::Clock;

#[cfg(test)]
mod tests;

/// WeChat Pay Global, for one merchant: strict, with faults on demand and books of its own.
#[derive(Debug)]
pub struct FakeWechat {
    pub(crate) identity: WechatAccountKeys,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) api_key: SandboxApiKey,
    gate: auth::MerchantAuth,
    /// Platform keys in force, the newest last.
    pub(super) platform: RwLock<Vec<Arc<PlatformSigner>>>,
    pub(crate) books: Mutex<OrderBook>,
    pub(crate) in_flight: in_flight::InFlight,
    pub(crate) payments: Payments,
    pub(crate) downloads: AtomicU64,
    pub(crate) hides_certificates: AtomicBool,
    pub(crate) signs_with: RwLock<SignsWith>,
    /// The platform key that the last request named.
    named: StdMutex<Option<String>>,
    pub(crate) looks: QueryCounts,
}

impl FakeGateway for FakeWechat {
    fn handle(&self, request: Request) -> Pin<Box<dyn Future<Output = Reaction> + Send + '_>> {
        Box::pin(self.handle(request))
    }
}

impl FakeWechat {
    /// Opens a sandbox: reads its keys and opens its books.
    ///
    /// # Errors
    /// If a key cannot be used or the books cannot be opened.
    pub async fn open(
        identity: WechatAccountKeys,
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
        let gate = auth::MerchantAuth {
            mchid,
            keys: RwLock::new(vec![(
                identity.merchant.serial.clone(),
                identity.merchant.verifying_key()?,
            )]),
            nonces: StdMutex::default(),
        };
        let platform = PlatformSigner {
            key: identity.platform.signing_key()?,
            certified: identity.platform.clone(),
            public_id: PUBLIC_KEY_ID.to_owned(),
        };
        Ok(Arc::new(Self {
            api_key: SandboxApiKey::new(identity.api_v3_key())
                .map_err(SandboxError::SandboxApiKey)?,
            gate,
            platform: RwLock::new(vec![Arc::new(platform)]),
            books: Mutex::new(OrderBook::open(settings.books.as_deref()).await?),
            in_flight: in_flight::InFlight::default(),
            payments: Payments::new(settings.clone(), clock.clone()),
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

    /// Takes requests under one more key of the merchant's, as its account is to have it.
    ///
    /// # Errors
    /// If no key could be generated.
    pub fn add_merchant_key(&self, from: Option<Timestamp>) -> Result<MerchantKey, SandboxError> {
        let certified = CertifiedKey::generate("payrun sandbox merchant")?;
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

    /// Everything that moved, and everything that went wrong.
    ///
    /// # Errors
    /// If the books cannot be read.
    pub async fn totals(&self) -> Result<Totals, StoreError> {
        Ok(self
            .payments
            .add_to(self.books.lock().await.totals().await?))
    }

    /// A page of the orders that exist, by order number, after `after` (empty for the first);
    /// `limit` is at most 1,000.
    ///
    /// # Errors
    /// If the books cannot be read.
    pub async fn page(&self, after: &str, limit: u32) -> Result<OrderPage, StoreError> {
        self.books.lock().await.page(after, limit).await
    }

    /// Every deduction that was charged.
    pub(crate) async fn deductions(&self) -> Result<Vec<BookLine>, StoreError> {
        let (mut lines, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.page(&after, 1000).await?;
            lines.extend(
                page.orders
                    .into_iter()
                    .filter(|order| order.charged > 0)
                    .map(|order| BookLine {
                        gateway: "wechat",
                        kind: "payment",
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
    pub async fn order(&self, number: &str) -> Result<Option<DeductionOrder>, StoreError> {
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

    pub(crate) fn declarations(&self) -> MutexGuard<'_, DeclarationBook> {
        self.payments.responder.declarations()
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
            Err(NotDocumented::Ids) => return self.refuse(body::param("wrong_ids")).await,
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
    Parameter(UndocumentedRequest),
}

/// Why there is no sandbox.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// Its keys cannot be used.
    #[error("the sandbox's keys cannot be used")]
    WechatAccountKeys(#[from] AccountKeysError),
    /// Its APIv3 key cannot be used.
    #[error("the sandbox's APIv3 key cannot be used")]
    SandboxApiKey(#[source] SandboxKeyError),
    /// Its books cannot be opened.
    #[error("the sandbox's books cannot be opened")]
    Books(#[from] StoreError),
}
