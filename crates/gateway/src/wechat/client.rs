//! The client: one call, at most one request, one observation. (A list comes in pages, which is a
//! request each.)
//!
//! Where the line runs: until a request may have been written, every failure is
//! [`Delivery::NotSent`]; from then on none is. Platform keys are fetched *before* a request, so
//! that no order is sent whose reply could not be verified.

use std::time::Duration;

use http::header::DATE;
use http::{HeaderMap, Method};
use thiserror::Error;

use super::api_v3_key::{ApiKey, SealError};
use super::channel::Channel;
use super::customs;
use super::merchant_ids::MerchantIdFields;
use super::orders::families;
use super::platform_keys::{Keyring, KeyringError, has_signature};
use super::request::{PreparedWechat, ReplyKind, prepare};
use super::sign::{KeyError, Merchant, RequestSigningKey, SigningKey};
use super::transport::{Response, Transport, TransportFailure};
use super::wire::{self, Contract, TransactionBody};
use super::{notification, orders, refund_list, refunds, settlements, statement};
use crate::exchange::{
    EVIDENCE_MAX, PROBE_TIMEOUT, before, bounded, header, of_failure, probe_in_time, read_base,
    retry_after, unread, unreadable,
};
use crate::notification::{Notification, NotificationProtocol};
use crate::wechat::account::{MerchantKey, WechatConfig, WechatMode};
use crate::{
    BoxFuture, Call, Delivery, FILE_MAX, Gateway, Observation, Probe, REPLY_MAX, redaction,
    statement_file,
};
use payrun_domain::time::Timestamp;
use payrun_system::clock::Clock;

/// An account at WeChat Pay Global.
#[derive(Debug)]
pub struct WechatClient {
    pub(super) mode: WechatMode,
    /// Whether settlements are asked for by the sub-merchant.
    pub(super) settlements_by_sub_merchant: bool,
    notify_url: String,
    pub(super) channel: Channel,
    pub(super) keyring: Keyring,
    /// When our certificate has expired while its key is in use, as far as it is known.
    merchant_until: Option<Timestamp>,
    /// What notifications are encrypted under, however replies are verified.
    pub(super) api_key: ApiKey,
}

impl WechatClient {
    /// Reads the keys of an account. Sends nothing.
    ///
    /// # Errors
    /// Which key or address cannot be used.
    pub fn new(
        config: &WechatConfig,
        transport: Transport,
        clock: Clock,
    ) -> Result<Self, WechatClientError> {
        let refused = || WechatClientError::BaseUrl {
            text: config.base_url.chars().take(200).collect(),
        };
        let base = read_base(&config.base_url).ok_or_else(refused)?;
        let keys = config
            .merchant_keys
            .iter()
            .map(merchant_key)
            .collect::<Result<_, _>>()?;
        let api_key = || ApiKey::new(&config.api_v3_keys).map_err(WechatClientError::ApiKey);
        let downloads = if config.platform.certificates {
            Some(api_key()?)
        } else {
            None
        };
        let keyring = Keyring::new(&config.platform.public_keys, downloads)
            .map_err(WechatClientError::Platform)?;
        let platform_id = config
            .platform
            .public_keys
            .first()
            .map(|key| key.id.clone());
        let mchid = match &config.mode {
            WechatMode::Common { mchid, appid: _ } => mchid,
            WechatMode::Institutional {
                sp_mchid,
                sp_appid: _,
                sub_mchid: _,
                sub_appid: _,
            } => sp_mchid,
        };
        let merchant = Merchant {
            mchid: mchid.clone(),
            keys,
        };
        Ok(Self {
            mode: config.mode.clone(),
            settlements_by_sub_merchant: config.settlements_by_sub_merchant,
            notify_url: config.notify_url.clone(),
            channel: Channel {
                base,
                merchant,
                platform_id,
                transport,
                clock,
            },
            keyring,
            merchant_until: expires(&config.merchant_keys),
            api_key: api_key()?,
        })
    }

    async fn observe(&self, call: &Call) -> Observation {
        match prepare(call, &self.mode, &self.notify_url) {
            Ok(request) => self.exchange(request, call.timeout).await,
            Err(why) => Observation::of(Delivery::Unsendable(why)),
        }
    }

    /// An order by whichever call knows it, within the time of one: it is missing only where every
    /// one of them says so.
    async fn any_order(&self, call: &Call) -> Observation {
        let until = tokio::time::Instant::now() + call.timeout;
        let (mut missing, mut refused) = (None, None);
        let mut evidence = String::new();
        for family in families(call) {
            let request = match orders::query(call, &self.mode, *family) {
                Ok(request) => request,
                Err(why) => return Observation::of(Delivery::Unsendable(why)),
            };
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            let mut seen = self.exchange(request, left).await;
            if !evidence.is_empty() {
                seen.evidence = bounded(format!("{evidence}\n{}", seen.evidence), EVIDENCE_MAX);
            }
            evidence.clone_from(&seen.evidence);
            match seen.http.filter(|_| seen.delivery == Delivery::Replied) {
                Some(404) => missing = Some(seen),
                // What a call of the one family says of an order of the other is not documented.
                Some(400) => refused = refused.or(Some(seen)),
                _ => return seen,
            }
        }
        // That there is no such order is believed only if every call says so.
        let nobody = || Observation::of(Delivery::Unsendable("no call knows such an order".into()));
        let heard_last = |seen: Observation| Observation { evidence, ..seen };
        refused.or(missing).map_or_else(nobody, heard_last)
    }

    /// One request, and what came of it.
    pub(super) async fn exchange(&self, request: PreparedWechat, timeout: Duration) -> Observation {
        let deadline = tokio::time::sleep(timeout);
        tokio::pin!(deadline);
        match before(
            deadline.as_mut(),
            self.keyring.ensure(&self.channel, timeout),
        )
        .await
        {
            Some(Ok(())) => {}
            Some(Err(error)) => return without_keys(error),
            None => return without_keys(KeyringError::Slow),
        }
        let response = match before(deadline.as_mut(), self.send(&request)).await {
            Some(Ok(response)) => response,
            Some(Err(failure)) => return of_failure(failure),
            None => return Observation::of(Delivery::TimedOut),
        };
        let verdict = match before(deadline, self.check(&response, &request.reply)).await {
            Some(verdict) => verdict,
            None => Err("the platform certificates did not come in time".into()),
        };
        match verdict {
            Ok(()) => self.read(&response, &request.reply),
            Err(why) if request.reply == ReplyKind::Statement => {
                statement_file::without_text(with_reply(Delivery::Unverified(why), &response))
            }
            Err(why) => with_reply(Delivery::Unverified(why), &response),
        }
    }

    /// Sends what was prepared. A person to be checked is encrypted here, under the platform's
    /// newest key.
    async fn send(&self, request: &PreparedWechat) -> Result<Response, TransportFailure> {
        let (method, target) = (request.method.clone(), request.target.as_str());
        if let ReplyKind::Customs(wanted) = &request.reply
            && let Some(person) = wanted.person()
        {
            let newest = self.keyring.newest(self.channel.clock.now());
            let (serial, seal) = newest
                .ok_or_else(|| TransportFailure::NotSent(KeyringError::NoneValid.to_string()))?;
            let body = customs::with_person(&request.body, person, &seal)
                .map_err(TransportFailure::NotSent)?;
            return self
                .channel
                .send_sealed(method, target, body, &serial)
                .await;
        }
        let max = if request.reply == ReplyKind::Statement {
            FILE_MAX
        } else {
            REPLY_MAX
        };
        self.channel
            .send(method, target, request.body.clone(), max)
            .await
    }

    /// Verifies a reply. A 2xx must be signed. An error reply that carries a signature must carry a
    /// right one; one without any is passed on, since the machines before a gateway answer errors
    /// unsigned and the gateway's own SDKs verify 2xx only (docs/gateways/wechat.md, "Response
    /// signature"). Such a reply can never make a payment succeed, but it could deny one that did:
    /// it is marked `unsigned` in the result, for whoever wants to ask before believing a refusal.
    async fn check(&self, response: &Response, kind: &ReplyKind) -> Result<(), String> {
        if !response.status().is_success() && !has_signature(response.headers()) {
            return Ok(());
        }
        if *kind == ReplyKind::Statement && response.status().is_success() {
            let covered = statement::covered(response)?;
            let verified = self
                .keyring
                .verify_over(&self.channel, response.headers(), covered.as_bytes())
                .await;
            return verified.map_err(|error| error.to_string());
        }
        self.keyring
            .verify(&self.channel, response)
            .await
            .map_err(|error| error.to_string())
    }

    fn read(&self, response: &Response, kind: &ReplyKind) -> Observation {
        let mut seen = with_reply(Delivery::Replied, response);
        if !response.status().is_success() {
            if !has_signature(response.headers()) {
                seen.result.insert("unsigned".into(), true.into());
            }
            return seen;
        }
        let read = match kind {
            ReplyKind::Transaction => self.read_transaction(response.body(), &mut seen),
            ReplyKind::Contract(id) => read_contract(response.body(), id, &mut seen),
            ReplyKind::RefundAccepted => refunds::read_accepted(response.body(), &mut seen),
            ReplyKind::Refund => refunds::read_refund(response.body(), &mut seen),
            ReplyKind::RefundList(of) => refund_list::read_page(response.body(), of, &mut seen),
            ReplyKind::Nothing => Ok(()),
            ReplyKind::Statement => {
                statement::read(response, &mut seen);
                Ok(())
            }
            ReplyKind::Settlements(page) => {
                settlements::read_page(response.body(), page, &mut seen)
            }
            ReplyKind::Customs(wanted) => customs::read(response.body(), wanted, &mut seen),
        };
        if let Err(why) = read {
            unread(&mut seen, why);
        }
        seen
    }

    pub(super) fn read_transaction(
        &self,
        body: &[u8],
        seen: &mut Observation,
    ) -> Result<(), String> {
        let order: TransactionBody =
            serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
        if !order.is_of(&self.mode) {
            return Err("the reply speaks of another merchant".into());
        }
        seen.receipt = order.receipt();
        seen.amount = order.amount();
        seen.result = order.facts();
        seen.result
            .insert("state".into(), order.trade_state.clone().into());
        seen.state = Some(order.trade_state);
        seen.order_no = Some(order.out_trade_no);
        Ok(())
    }

    async fn look(&self) -> Vec<Probe> {
        let keys = match self.keyring.ensure(&self.channel, PROBE_TIMEOUT).await {
            Err(KeyringError::Download(
                failure @ (TransportFailure::NotSent(_) | TransportFailure::Unreachable { .. }),
            )) => {
                return vec![Probe {
                    step: "reach",
                    found: Err(format!("{}: {failure}", self.channel.base)),
                }];
            }
            Err(error) => Err(error.to_string()),
            Ok(()) => {
                let known = self.keyring.serials(self.channel.clock.now()).join(", ");
                Ok(self
                    .channel
                    .platform_id
                    .as_ref()
                    .map_or(known.clone(), |named| {
                        format!("{known}; requests name {named}")
                    }))
            }
        };
        // An order number nobody uses: what is wanted is a verified "there is no such order".
        let target = MerchantIdFields::of_deduction(&self.mode).on(
            "/v3/global/papay/transactions/out-trade-no/payrun-probe",
            &[],
        );
        let response = match self
            .channel
            .send(Method::GET, &target, bytes::Bytes::new(), REPLY_MAX)
            .await
        {
            Ok(response) => response,
            Err(failure) => {
                let reach = Probe {
                    step: "reach",
                    found: Err(format!("{}: {failure}", self.channel.base)),
                };
                return vec![
                    reach,
                    Probe {
                        step: "platform keys",
                        found: keys,
                    },
                ];
            }
        };
        vec![
            Probe {
                step: "reach",
                found: Ok(self.channel.base.clone()),
            },
            Probe {
                step: "platform keys",
                found: keys,
            },
            Probe {
                step: "clock",
                found: self.clock_difference(response.headers()),
            },
            Probe {
                step: "signature",
                found: self.signature_accepted(&response).await,
            },
        ]
    }

    fn clock_difference(&self, headers: &HeaderMap) -> Result<String, String> {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        let theirs = date.and_then(|date| chrono::DateTime::parse_from_rfc2822(date).ok());
        let theirs = theirs.ok_or("the gateway sent no Date header to compare with")?;
        let apart = self.channel.clock.now().seconds() - theirs.timestamp();
        match apart.unsigned_abs() {
            0..=60 => Ok(format!("{apart} s from the gateway's")),
            61..=299 => Ok(format!(
                "warning: {apart} s from the gateway's; from 300 s on it refuses every request"
            )),
            _ => Err(format!(
                "{apart} s from the gateway's, which refuses requests from 300 s on: set the clock"
            )),
        }
    }

    /// Which of our keys follows, and when, for people.
    fn next_key(&self) -> String {
        let now = self.channel.clock.now();
        let next = self
            .channel
            .merchant
            .keys
            .iter()
            .find_map(|key| Some((key, key.from.filter(|from| *from > now)?)));
        next.map_or_else(String::new, |(key, from)| {
            format!(" (from {from} on {})", key.serial)
        })
    }

    async fn signature_accepted(&self, response: &Response) -> Result<String, String> {
        let http = response.status().as_u16();
        let code = wire::error_code(response.body()).unwrap_or_default();
        if code == "SIGN_ERROR" || http == 401 {
            return Err(format!(
                "the gateway refuses our signature (HTTP {http} {code}): check merchant_key, merchant_serial and the ids"
            ));
        }
        self.keyring
            .verify(&self.channel, response)
            .await
            .map_err(|error| error.to_string())?;
        match (http, code.as_str()) {
            (404, "NOT_FOUND" | "ORDER_NOT_EXIST" | "ORDERNOTEXIST" | "RESOURCE_NOT_EXISTS") => {
                let ours = self
                    .channel
                    .merchant
                    .key_at(self.channel.clock.now())
                    .map_or("", |key| key.serial.as_str());
                let theirs = header(response.headers(), "wechatpay-serial").unwrap_or_default();
                Ok(format!(
                    "accepted under merchant serial {ours}{}, and the reply verified under {theirs}",
                    self.next_key()
                ))
            }
            (400, "PARAM_ERROR") => Err(format!(
                "the gateway takes our signature and refuses our request (HTTP 400 PARAM_ERROR{}): report it as a defect of payrun",
                wire::refusal(response.body())
                    .map(|what| format!(", {what}"))
                    .unwrap_or_default()
            )),
            _ => Err(format!(
                "a query for no order should give 404 NOT_FOUND; it gave HTTP {http} {code}"
            )),
        }
    }
}

impl Gateway for WechatClient {
    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Observation> {
        Box::pin(async move {
            let seen = match call.operation.as_str() {
                "refunds" => self.all_refunds(call).await,
                "order_query" if refund_list::is_asked_for(call) => self.all_refunds(call).await,
                "order_query" | "any_order" => self.any_order(call).await,
                "declare_query" => self.declaration(call).await,
                "settlements" => self.settlements(call).await,
                _ => self.observe(call).await,
            };
            redaction::redact(call, seen)
        })
    }

    fn prepare(&self, within: Duration) -> BoxFuture<'_, Result<(), Observation>> {
        Box::pin(async move {
            self.keyring
                .ensure(&self.channel, within)
                .await
                .map_err(without_keys)
        })
    }

    fn certificates(&self) -> Vec<(&'static str, Timestamp)> {
        let platform = self
            .keyring
            .until()
            .map(|until| ("platform certificate", until));
        platform
            .into_iter()
            .chain(
                self.merchant_until
                    .map(|until| ("merchant certificate", until)),
            )
            .collect()
    }

    fn verify_notification<'a>(&'a self, notice: &'a Notification) -> BoxFuture<'a, Observation> {
        Box::pin(self.read_notification(&notice.headers, &notice.body, notice.received_at))
    }

    fn notification_protocol(&self) -> NotificationProtocol {
        notification::notification_protocol()
    }

    fn credentials(&self) -> &'static str {
        "merchant_key, merchant_serial, mchid, api_v3_key and platform"
    }

    fn probe(&self) -> BoxFuture<'_, Vec<Probe>> {
        Box::pin(probe_in_time(&self.channel.base, self.look()))
    }
}

fn merchant_key(config: &MerchantKey) -> Result<RequestSigningKey, WechatClientError> {
    let key = SigningKey::from_pem(&config.key).map_err(WechatClientError::MerchantKey)?;
    Ok(RequestSigningKey {
        serial: config.serial.clone(),
        key,
        from: config.from,
    })
}

/// When the first of our certificates expires whose key is then still in use.
fn expires(keys: &[MerchantKey]) -> Option<Timestamp> {
    let replaced_at = keys.iter().skip(1).map(|key| key.from).chain([None]);
    let in_use = keys.iter().zip(replaced_at).filter_map(|(key, replaced)| {
        key.until
            .filter(|until| replaced.is_none_or(|replaced| *until < replaced))
    });
    in_use.min()
}

/// The fact under which the gateway's fine-grained error code is kept.
const SUB_CODE: &str = "sub_code";

/// What every reply shows, whatever it is worth.
fn with_reply(delivery: Delivery, response: &Response) -> Observation {
    let failed = !response.status().is_success();
    let sub_code = wire::sub_code(header(response.headers(), "request-id").unwrap_or_default())
        .filter(|_| failed);
    Observation {
        http: Some(response.status().as_u16()),
        code: if failed {
            wire::error_code(response.body())
        } else {
            None
        },
        message: if failed {
            wire::refusal(response.body())
        } else {
            None
        },
        result: sub_code
            .into_iter()
            .map(|code| (SUB_CODE.to_owned(), code.into()))
            .collect(),
        retry_after: retry_after(response.headers()),
        evidence: wire::evidence(response.body()),
        ..Observation::of(delivery)
    }
}

fn read_contract(body: &[u8], id: &str, seen: &mut Observation) -> Result<(), String> {
    let contract: Contract = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    if contract
        .contract_id
        .as_deref()
        .is_some_and(|said| said != id)
    {
        return Err("the reply speaks of another contract".into());
    }
    seen.result = contract.facts();
    seen.state = Some(contract.state);
    // What ends a contract is known by the contract, which has no other number.
    seen.order_no = contract.contract_id;
    Ok(())
}

/// Nothing of the order was sent. What a person has to mend is told apart from what passes by
/// itself.
fn without_keys(error: KeyringError) -> Observation {
    let mut told = Observation::of(Delivery::Refused(error.to_string()));
    if let KeyringError::Refused { http, code } = &error {
        (told.http, told.code) = (
            Some(*http),
            Some(code.clone()).filter(|code| !code.is_empty()),
        );
    }
    if error.is_for_a_person() {
        return told;
    }
    if let KeyringError::Download(failure @ TransportFailure::Unreachable { .. }) = error {
        return of_failure(failure);
    }
    Observation {
        delivery: Delivery::NotSent(error.to_string()),
        ..told
    }
}

/// Why an account cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WechatClientError {
    /// `base_url` is not scheme and host.
    #[error(
        "base_url is {text:?}: https:// and a host are expected, without a path (http:// for this machine only)"
    )]
    BaseUrl {
        /// What it is.
        text: String,
    },
    /// `merchant_key` cannot be used.
    #[error("merchant_key cannot be used")]
    MerchantKey(#[source] KeyError),
    /// `api_v3_key` cannot be used.
    #[error("api_v3_key cannot be used")]
    ApiKey(#[source] SealError),
    /// `platform_keys` cannot be used.
    #[error("platform cannot be used")]
    Platform(#[source] KeyringError),
}
