//! The client: one call, at most one request, one observation.
//!
//! Until a request may have been written, every failure is [`Delivery::NotSent`]; from then on none
//! is. Replies carry no signature, so none is asked for: a reply is worth what TLS makes of it.
//! Notifications are verified.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use thiserror::Error;

use super::request::{PreparedHipopay, Pricing, ReplyKind, prepare};
use super::sign::{request_message, signed_part, verified};
use super::wire::{self, MASKED};
use crate::exchange::{
    self, before, evidence, header, of_failure, percent_encode, probes, read_base, with_reply,
};
use crate::hipopay::account::HipopayConfig;
use crate::keys::{KeyError, SigningKey, VerifyingKey};
use crate::notification::{
    Notification, NotificationProtocol, NotificationReply, UNTIMELY, is_timely,
};
use crate::statement::BillNames;
use crate::transport::{ReplyMax, Request, Response, Transport, TransportFailure};
use crate::{
    BoxFuture, Call, Delivery, FILE_MAX, Gateway, Observation, Probe, redaction, statement_file,
};
use payrun_domain::time::Timestamp;
use payrun_system::clock::Clock;

/// The `Version` of `/download_bill`, whatever that of the other calls (the HipoPay document,
/// "Export Reconciliation Report").
const BILL_VERSION: &str = "3.0";

/// How old a notification may be. HipoPay repeats one for 53 minutes; whether a repeat has a
/// `Timestamp` of its own is not documented \[C\].
const NOTICE_AGE_MAX: Duration = Duration::from_secs(2 * 3_600);

/// An account at HipoPay.
#[derive(Debug)]
pub struct HipopayClient {
    base: String,
    config: HipopayConfig,
    key: SigningKey,
    /// HipoPay's keys: any of them verifies notifications.
    platform: Vec<VerifyingKey>,
    transport: Transport,
    clock: Clock,
}

impl HipopayClient {
    /// Reads the keys of an account. Sends nothing.
    ///
    /// # Errors
    /// Which key or address cannot be used.
    pub fn new(
        config: &HipopayConfig,
        transport: Transport,
        clock: Clock,
    ) -> Result<Self, HipopayClientError> {
        let platform = config
            .platform_public_keys
            .iter()
            .map(|pem| VerifyingKey::from_pem(pem))
            .collect::<Result<_, _>>();
        Ok(Self {
            base: read_base(&config.base_url).ok_or(HipopayClientError::BaseUrl)?,
            key: SigningKey::from_pem(&config.merchant_key)
                .map_err(HipopayClientError::MerchantKey)?,
            platform: platform.map_err(HipopayClientError::PlatformKey)?,
            config: config.clone(),
            transport,
            clock,
        })
    }

    /// What a notification says, by its headers and raw body; [`Delivery::Unverified`] if it is not
    /// HipoPay's, or too old.
    pub fn read_notification(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        received_at: Timestamp,
    ) -> Observation {
        let mut seen = Observation {
            evidence: evidence(body, &MASKED),
            ..Observation::of(Delivery::Replied)
        };
        let signed = header(headers, "timestamp").zip(header(headers, "signature"));
        let params = signed
            .ok_or("the notification has no Timestamp or no Signature")
            .and_then(|(timestamp, signature)| {
                let params = verified(&self.platform, body, timestamp, signature)?;
                let signed_at = timestamp
                    .parse()
                    .ok()
                    .map(|seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1_000)));
                let signed_at =
                    signed_at.ok_or("the notification's Timestamp is no number of seconds")?;
                if is_timely(signed_at, received_at, NOTICE_AGE_MAX) {
                    Ok(params)
                } else {
                    Err(UNTIMELY)
                }
            });
        match params {
            Err(why) => seen.delivery = Delivery::Unverified(why.into()),
            Ok(params) => {
                if let Err(why) = wire::read_notification(&params, &mut seen) {
                    seen.delivery = Delivery::Unreadable(why);
                }
            }
        }
        seen
    }

    async fn observe(&self, call: &Call) -> Observation {
        let prepared = prepare(call, &self.config)
            .and_then(|prepared| Ok((self.signed(&prepared)?, prepared.reply)));
        let (request, kind) = match prepared {
            Ok(prepared) => prepared,
            Err(why) => return Observation::of(Delivery::Unsendable(why)),
        };
        let deadline = tokio::time::sleep(call.timeout);
        tokio::pin!(deadline);
        match before(deadline, self.transport.send(&self.base, request)).await {
            Some(Ok(response)) => read(&response, kind),
            Some(Err(failure)) => of_failure(failure),
            None => Observation::of(Delivery::TimedOut),
        }
    }

    /// Signs a request over all its parameters (docs/gateways/hipopay.md, "Authentication and
    /// signatures"). The wire is ordinary percent-encoding, whatever the string to sign leaves as
    /// it is.
    fn signed(&self, prepared: &PreparedHipopay) -> Result<Request, String> {
        let timestamp = self.clock.now().seconds().to_string();
        let message = request_message(&prepared.params, &timestamp, self.config.encoding);
        let signature = self
            .key
            .sign(message.as_bytes())
            .map_err(|error| error.to_string())?;
        let pairs: Vec<String> = prepared
            .params
            .iter()
            .map(|(name, value)| format!("{}={}", percent_encode(name), percent_encode(value)))
            .collect();
        let pairs = pairs.join("&");
        let is_file = prepared.reply == ReplyKind::Statement;
        let mut headers = vec![
            ("merchantno", self.config.merchant_no.as_str()),
            (
                "version",
                if is_file {
                    BILL_VERSION
                } else {
                    self.config.version.as_str()
                },
            ),
            ("timestamp", timestamp.as_str()),
            ("signature", signature.as_str()),
        ];
        let (target, body) = if prepared.method == Method::GET {
            (format!("{}?{pairs}", prepared.path), Bytes::new())
        } else {
            headers.push(("content-type", "application/x-www-form-urlencoded"));
            (prepared.path.to_owned(), pairs.into())
        };
        let mut request = exchange::request(prepared.method.clone(), &target, body, &headers)?;
        if is_file {
            request.extensions_mut().insert(ReplyMax(FILE_MAX));
        }
        Ok(request)
    }

    async fn look(&self) -> Vec<Probe> {
        let params = vec![("out_trade_id".to_owned(), "payrun-probe".to_owned())];
        let prepared = PreparedHipopay {
            method: Method::GET,
            path: "/payment",
            params,
            reply: ReplyKind::Payment(Pricing::Named),
        };
        let sent = match self.signed(&prepared) {
            Ok(request) => self.transport.send(&self.base, request).await,
            Err(why) => Err(TransportFailure::NotSent(why)),
        };
        probes(&self.base, sent, self.clock.now(), |response| {
            let seen = read(response, ReplyKind::Payment(Pricing::Named));
            match seen.code.as_deref() {
                Some("PAYMENT_NOT_FOUND") => Ok("accepted; replies are not signed".into()),
                Some("ILLEGAL_SECURITY_PROFILE") => Err(
                    "ILLEGAL_SECURITY_PROFILE: HipoPay does not support this encryption method; ask which one merchant_no is set \
                     up for, and check merchant_no, merchant_key and encoding"
                        .into(),
                ),
                code => Err(format!(
                    "a query for no order should give PAYMENT_NOT_FOUND; it gave HTTP {} {}: check merchant_no, merchant_key and \
                     encoding; which code a wrong signature gives is not documented",
                    response.status().as_u16(),
                    code.unwrap_or_default()
                )),
            }
        })
    }
}

impl Gateway for HipopayClient {
    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Observation> {
        Box::pin(async move { redaction::redact(call, self.observe(call).await) })
    }

    fn verify_notification<'a>(&'a self, notice: &'a Notification) -> BoxFuture<'a, Observation> {
        Box::pin(async move {
            self.read_notification(&notice.headers, &notice.body, notice.received_at)
        })
    }

    fn signed_part<'a>(&self, body: &'a [u8]) -> Cow<'a, [u8]> {
        signed_part(body)
    }

    fn bill_names(&self) -> BillNames {
        self.config.bill_names.clone()
    }

    fn notification_protocol(&self) -> NotificationProtocol {
        // Some have come without a content type, and are forms all the same
        // (docs/gateways/hipopay.md, "Notifications").
        NotificationProtocol {
            media: &[],
            signed_by: vec!["timestamp".to_owned(), "signature".to_owned()],
            taken: NotificationReply::text("success"),
            refused: NotificationReply::text("fail"),
        }
    }

    fn credentials(&self) -> &'static str {
        "merchant_no, merchant_key and encoding"
    }

    fn probe(&self) -> BoxFuture<'_, Vec<Probe>> {
        Box::pin(exchange::probe_in_time(&self.base, self.look()))
    }
}

fn read(response: &Response, kind: ReplyKind) -> Observation {
    let mut seen = with_reply(Delivery::Replied, response, &MASKED);
    if kind == ReplyKind::Statement {
        if response.status().is_success() && wire::is_statement(response.body()) {
            statement_file::fetched(response.body(), &mut seen);
            return seen;
        }
        seen = statement_file::without_text(seen);
    }
    if let Err(why) = wire::read(
        response.body(),
        response.status().is_success(),
        kind,
        &mut seen,
    ) {
        exchange::unread(&mut seen, why);
    }
    seen
}

/// Why an account cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HipopayClientError {
    /// `base_url` is not scheme and host.
    #[error(
        "base_url: https:// and a host are expected, without a path (http:// for this machine only)"
    )]
    BaseUrl,
    /// `merchant_key` cannot be used.
    #[error("merchant_key cannot be used")]
    MerchantKey(#[source] KeyError),
    /// `platform_public_key` cannot be used.
    #[error("platform_public_key cannot be used")]
    PlatformKey(#[source] KeyError),
}
