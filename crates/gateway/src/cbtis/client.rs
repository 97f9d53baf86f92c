//! The client: one call, at most one request for the order, one observation.
//!
//! Until that request may have been written, every failure is [`Delivery::NotSent`]; from then on
//! none is. Replies carry no signature: a reply is worth what TLS makes of it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use super::request::{PreparedCbtis, QUERY, ReplyData, prepare};
use super::sign::verifies;
use super::token::{NoToken, TokenCache};
use super::wire::{self, MASKED};
use crate::cbtis::account::CbtisConfig;
use crate::exchange::{self, before, evidence, header, of_failure, probes, read_base, with_reply};
use crate::notification::{Notification, NotificationProtocol, NotificationReply};
use crate::transport::{Request, Response, Transport, TransportFailure};
use crate::{BoxFuture, Call, Delivery, Gateway, Observation, Probe, redaction};
use payrun_domain::money::Amount;
use payrun_system::clock::Clock;

/// An account at CBTIS.
#[derive(Debug)]
pub struct CbtisClient {
    base: String,
    config: CbtisConfig,
    tokens: TokenCache,
    transport: Transport,
    clock: Clock,
}

impl CbtisClient {
    /// Reads an account. Sends nothing.
    ///
    /// # Errors
    /// Which part of the account cannot be used.
    pub fn new(
        config: &CbtisConfig,
        transport: Transport,
        clock: Clock,
    ) -> Result<Self, CbtisClientError> {
        Ok(Self {
            base: read_base(&config.base_url).ok_or(CbtisClientError::BaseUrl)?,
            tokens: TokenCache::new(config.access_token.clone()),
            config: config.clone(),
            transport,
            clock,
        })
    }

    /// Whose order a notification is about, by its headers and raw body; [`Delivery::Unverified`]
    /// if it is not CBTIS's.
    ///
    /// It never says what became of the order, since CBTIS's own does not: the order is to be asked
    /// about.
    pub fn read_notification(&self, headers: &HeaderMap, body: &[u8]) -> Observation {
        let mut seen = Observation {
            evidence: evidence(body, &MASKED),
            ..Observation::of(Delivery::Replied)
        };
        let name = self.config.signature_header.as_str();
        match header(headers, name) {
            None => seen.delivery = Delivery::Unverified(format!("there is no header {name}")),
            Some(given)
                if !self
                    .config
                    .api_keys
                    .iter()
                    .any(|key| verifies(body, key, given)) =>
            {
                seen.delivery = Delivery::Unverified("the signature is not CBTIS's".into());
            }
            Some(_) => {
                if let Err(why) = wire::read_notification(body, &mut seen) {
                    seen.delivery = Delivery::Unreadable(why);
                }
            }
        }
        seen
    }

    async fn observe(&self, call: &Call) -> Observation {
        let prepared = match prepare(call, &self.config) {
            Ok(prepared) => prepared,
            Err(why) => return Observation::of(Delivery::Unsendable(why)),
        };
        let deadline = tokio::time::sleep(call.timeout);
        tokio::pin!(deadline);
        let token = match before(deadline.as_mut(), self.token(call.timeout)).await {
            Some(Ok(token)) => token,
            Some(Err(error)) => return without_token(error),
            None => return without_token(NoToken::Slow),
        };
        let request = match self.request(&prepared, &token) {
            Ok(request) => request,
            Err(why) => return Observation::of(Delivery::NotSent(why)),
        };
        match before(deadline, self.transport.send(&self.base, request)).await {
            Some(Ok(response)) => {
                let seen = self.named(read(&response, &prepared.about, call.amount));
                if self.is_refused(&response, &token) {
                    let why = "the gateway refuses the access token: HTTP 401".to_owned();
                    return Observation {
                        delivery: Delivery::Refused(why),
                        ..seen
                    };
                }
                seen
            }
            Some(Err(failure)) => of_failure(failure),
            None => Observation::of(Delivery::TimedOut),
        }
    }

    async fn token(&self, within: Duration) -> Result<SecretString, NoToken> {
        self.tokens
            .get(&self.base, &self.transport, &self.clock, within)
            .await
    }

    fn request(&self, prepared: &PreparedCbtis, token: &SecretString) -> Result<Request, String> {
        let token = format!("{}{}", self.config.token_prefix, token.expose_secret());
        let headers = [
            ("content-type", "application/json"),
            (self.config.token_header.as_str(), token.as_str()),
        ];
        exchange::request(
            Method::POST,
            &prepared.path,
            prepared.body.clone(),
            &headers,
        )
    }

    /// A code that the account's configuration knows, by its name in the outcome tables.
    fn named(&self, seen: Observation) -> Observation {
        let missing = seen.code.is_some() && seen.code == self.config.not_found_code;
        if missing {
            Observation {
                code: Some("NOT_FOUND".to_owned()),
                ..seen
            }
        } else {
            seen
        }
    }

    /// Whether we are refused as such: a token that another cannot take the place of. Else a
    /// refused one is not used again, and the next call fetches another.
    fn is_refused(&self, response: &Response, token: &SecretString) -> bool {
        if response.status() == http::StatusCode::UNAUTHORIZED {
            return self.tokens.refused(token);
        }
        self.tokens.taken(token);
        false
    }

    async fn look(&self) -> Vec<Probe> {
        let body = Bytes::from_static(br#"{"merchant_order_id":"payrun-probe"}"#);
        let prepared = PreparedCbtis {
            path: QUERY.into(),
            body,
            about: ReplyData::Payment,
        };
        let token = match self.token(exchange::PROBE_TIMEOUT).await {
            Ok(token) => token,
            Err(error) => {
                return vec![Probe {
                    step: "access token",
                    found: Err(error.to_string()),
                }];
            }
        };
        let sent = match self.request(&prepared, &token) {
            Ok(request) => self.transport.send(&self.base, request).await,
            Err(why) => Err(TransportFailure::NotSent(why)),
        };
        probes(&self.base, sent, self.clock.now(), |response| {
            let (http, seen) = (
                response.status().as_u16(),
                read(response, &ReplyData::Payment, None),
            );
            let code = seen.code.unwrap_or_default();
            match http {
                401 | 403 => Err(format!(
                    "the gateway refuses the access token (HTTP {http} {code})"
                )),
                _ if seen.delivery == Delivery::Replied => Ok(format!(
                    "HTTP {http}, code {code}: CBTIS documents no code to compare with"
                )),
                _ => Err(format!("the reply cannot be read (HTTP {http})")),
            }
        })
    }
}

impl Gateway for CbtisClient {
    fn prepare(&self, within: Duration) -> BoxFuture<'_, Result<(), Observation>> {
        Box::pin(async move { self.token(within).await.map(drop).map_err(without_token) })
    }

    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Observation> {
        Box::pin(async move { redaction::redact(call, self.observe(call).await) })
    }

    fn verify_notification<'a>(&'a self, notice: &'a Notification) -> BoxFuture<'a, Observation> {
        Box::pin(async move { self.read_notification(&notice.headers, &notice.body) })
    }

    fn notification_protocol(&self) -> NotificationProtocol {
        // Only the status counts (docs/gateways/cbtis.md, "Notifications").
        NotificationProtocol {
            media: &["application/json"],
            signed_by: vec![self.config.signature_header.to_ascii_lowercase()],
            taken: NotificationReply::text("success"),
            refused: NotificationReply::text("fail"),
        }
    }

    fn credentials(&self) -> &'static str {
        "access_token or token_request"
    }

    fn probe(&self) -> BoxFuture<'_, Vec<Probe>> {
        Box::pin(exchange::probe_in_time(&self.base, self.look()))
    }
}

fn read(response: &Response, about: &ReplyData, expected: Option<Amount>) -> Observation {
    let mut seen = with_reply(Delivery::Replied, response, &MASKED);
    if let Err(why) = wire::read(
        response.body(),
        response.status().is_success(),
        about,
        expected,
        &mut seen,
    ) {
        exchange::unread(&mut seen, why);
    }
    seen
}

/// Nothing of the order was sent. Failures of the gateway (5xx, 429) pass; a refusal of the request
/// for a token does not.
fn without_token(error: NoToken) -> Observation {
    match error {
        NoToken::NotAsked(failure @ TransportFailure::Unreachable { .. }) => of_failure(failure),
        NoToken::Refused { http } if http < 500 && http != 429 => Observation {
            http: Some(http),
            ..Observation::of(Delivery::Refused(error.to_string()))
        },
        NoToken::NotAsked(_) | NoToken::Refused { .. } | NoToken::Unreadable(_) | NoToken::Slow => {
            Observation::of(Delivery::NotSent(error.to_string()))
        }
    }
}

/// Why an account cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CbtisClientError {
    /// `base_url` is not scheme and host.
    #[error(
        "base_url: https:// and a host are expected, without a path (http:// for this machine only)"
    )]
    BaseUrl,
}
