//! The client: one call, at most one request, one observation.
//!
//! Until a request may have been written, every failure is [`Delivery::NotSent`]; from then on none
//! is. Every reply must be signed, errors too: one without a right `Authorization` is
//! [`Delivery::Unverified`], whatever it says.

use std::time::Duration;

use bytes::Bytes;
use chrono::FixedOffset;
use http::{HeaderMap, Method};
use secrecy::ExposeSecret;
use thiserror::Error;

use super::request::{PreparedEgms, ReplyData, prepare};
use super::sign::{SignKey, SignedMessage};
use super::wire::{self, MASKED};
use crate::egms::account::EgmsConfig;
use crate::exchange::{self, before, evidence, header, of_failure, probes, read_base, with_reply};
use crate::keys::nonce;
use crate::notification::{
    Notification, NotificationProtocol, NotificationReply, UNTIMELY, is_timely,
};
use crate::transport::{Request, Response, Transport, TransportFailure};
use crate::{BoxFuture, Call, Delivery, Gateway, Observation, Probe, redaction};
use payrun_domain::time::Timestamp;
use payrun_system::clock::Clock;

/// How old a notification may be. How long EGMS repeats one, and whether a repeat has a `DateTime`
/// of its own, was not found \[C\].
const NOTICE_AGE_MAX: Duration = Duration::from_secs(25 * 3_600);

/// The code of a wrong signature.
const SIGNATURE_ERROR: &str = "V0010";

/// The word of `cancel_when` for a payment that EGMS does not show: after a time-out it may be
/// there all the same.
const NOT_FOUND: &str = "not_found";

/// An account at EGMS.
#[derive(Debug)]
pub struct EgmsClient {
    base: String,
    config: EgmsConfig,
    /// The key that signs.
    key: SignKey,
    /// Those that verify: that one, and those that it replaces.
    keys: Vec<SignKey>,
    transport: Transport,
    clock: Clock,
}

impl EgmsClient {
    /// Reads the key of an account. Sends nothing.
    ///
    /// # Errors
    /// Which part of the account cannot be used.
    pub fn new(
        config: &EgmsConfig,
        transport: Transport,
        clock: Clock,
    ) -> Result<Self, EgmsClientError> {
        if config
            .sign_keys
            .iter()
            .any(|key| key.expose_secret().is_empty())
        {
            return Err(EgmsClientError::SignKey);
        }
        let keys: Vec<SignKey> = config
            .sign_keys
            .iter()
            .map(|key| SignKey::new(key.clone(), config.sign_type))
            .collect();
        Ok(Self {
            base: read_base(&config.base_url).ok_or(EgmsClientError::BaseUrl)?,
            key: keys.first().ok_or(EgmsClientError::SignKey)?.clone(),
            keys,
            config: config.clone(),
            transport,
            clock,
        })
    }

    /// What a notification says, by its headers and raw body; [`Delivery::Unverified`] if it is not
    /// EGMS's.
    ///
    /// What is verified is the path EGMS was given (`notify_url`, or `notify_path` behind a proxy
    /// that rewrites it).
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
        let verified = self.verify("POST", &self.config.notify_path, headers, body);
        if let Err(why) = verified.and_then(|_| {
            if is_timely_notice(headers, received_at) {
                Ok(())
            } else {
                Err(UNTIMELY)
            }
        }) {
            seen.delivery = Delivery::Unverified(why.into());
        } else if let Err(why) = wire::read_notification(body, &mut seen) {
            seen.delivery = Delivery::Unreadable(why);
        }
        seen
    }

    async fn observe(&self, call: &Call) -> Observation {
        let date_time = date_time(self.clock.now());
        let prepared = prepare(call, &self.config, &date_time)
            .and_then(|prepared| Ok((self.signed(&prepared, &date_time)?, prepared)));
        let (request, prepared) = match prepared {
            Ok(prepared) => prepared,
            Err(why) => return Observation::of(Delivery::Unsendable(why)),
        };
        let deadline = tokio::time::sleep(call.timeout);
        tokio::pin!(deadline);
        match before(deadline, self.transport.send(&self.base, request)).await {
            Some(Ok(response)) => {
                let seen = self.read(&response, &prepared);
                if call.operation == "cancel_check" {
                    self.with_cancellable(call, seen)
                } else {
                    seen
                }
            }
            Some(Err(failure)) => of_failure(failure),
            None => Observation::of(Delivery::TimedOut),
        }
    }

    fn signed(&self, prepared: &PreparedEgms, date_time: &str) -> Result<Request, String> {
        let msg_id = nonce()
            .map_err(|error| error.to_string())?
            .to_ascii_lowercase();
        let PreparedEgms {
            method,
            target,
            body,
            about: _,
            idempotency_key,
        } = prepared;
        let signature = self.key.sign(SignedMessage {
            method: method.as_str(),
            target,
            date_time,
            msg_id: &msg_id,
            body,
        });
        let mut headers = vec![
            ("content-type", "application/json; charset=utf-8"),
            ("datetime", date_time),
            ("msgid", msg_id.as_str()),
            ("signtype", self.key.sign_type().as_str()),
            ("authorization", signature.as_str()),
        ];
        headers.extend(
            idempotency_key
                .as_deref()
                .map(|key| ("idempotency-key", key)),
        );
        headers.extend(self.config.key_id.as_deref().map(|id| ("keyid", id)));
        exchange::request(method.clone(), target, body.clone(), &headers)
    }

    /// Which of our keys has signed this, by its place in `sign_key`.
    fn verify(
        &self,
        method: &str,
        target: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<usize, &'static str> {
        let signature = header(headers, "authorization").ok_or("there is no Authorization")?;
        let date_time = header(headers, "datetime").ok_or("there is no DateTime")?;
        let msg_id = header(headers, "msgid").ok_or("there is no MsgID")?;
        let message = SignedMessage {
            method,
            target,
            date_time,
            msg_id,
            body,
        };
        self.keys
            .iter()
            .position(|key| key.verifies(message, signature))
            .ok_or("the signature is not EGMS's")
    }

    fn read(&self, response: &Response, asked: &PreparedEgms) -> Observation {
        let verified = self.verify(
            asked.method.as_str(),
            &asked.target,
            response.headers(),
            response.body(),
        );
        if let Err(why) = verified {
            // With a wrong key this can never be verified, so it is reported; nothing else of such
            // a reply is.
            let code = wire::code(response.body()).filter(|code| code == SIGNATURE_ERROR);
            return Observation {
                code,
                ..with_reply(Delivery::Unverified(why.into()), response, &MASKED)
            };
        }
        let mut seen = with_reply(Delivery::Replied, response, &MASKED);
        if let Err(why) = wire::read(
            response.body(),
            response.status().is_success(),
            asked.about,
            &mut seen,
        ) {
            exchange::unread(&mut seen, why);
        }
        seen
    }

    /// Says whether the payment that was looked up may be withdrawn, by the account's
    /// `cancel_when`.
    fn with_cancellable(&self, call: &Call, mut seen: Observation) -> Observation {
        let missing = seen.delivery == Delivery::Replied
            && matches!(seen.code.as_deref(), Some("C0004" | "B0014"));
        let standing = if missing {
            Some(NOT_FOUND)
        } else {
            seen.state.as_deref()
        };
        if standing
            .is_some_and(|standing| self.config.cancel_when.iter().any(|word| word == standing))
        {
            seen.result.insert("cancellable".into(), "yes".into());
            // What is not found names nothing; what was asked for is what may be withdrawn.
            seen.order_no = seen
                .order_no
                .or_else(|| exchange::text(call, "out_trade_no").map(str::to_owned));
        }
        seen
    }

    /// Under which key we signed, and under which the reply verified, for people.
    fn key_used(&self, response: &Response, asked: &PreparedEgms) -> String {
        let used = self.verify(
            asked.method.as_str(),
            &asked.target,
            response.headers(),
            response.body(),
        );
        match (self.keys.len(), used) {
            (2.., Ok(place)) => {
                format!(
                    "accepted under the first sign_key, and the reply verified under number {}",
                    place + 1
                )
            }
            (_, _) => "accepted, and the reply verified".to_owned(),
        }
    }

    async fn look(&self) -> Vec<Probe> {
        let target = format!(
            "/g2/v1/payment/mer/{}/evo.e-commerce.payment?merchantTransID=payrun-probe",
            self.config.sid
        );
        let prepared = PreparedEgms {
            method: Method::GET,
            target,
            body: Bytes::new(),
            about: ReplyData::Payment,
            idempotency_key: None,
        };
        let sent = match self.signed(&prepared, &date_time(self.clock.now())) {
            Ok(request) => self.transport.send(&self.base, request).await,
            Err(why) => Err(TransportFailure::NotSent(why)),
        };
        probes(&self.base, sent, self.clock.now(), |response| {
            let seen = self.read(response, &prepared);
            match (&seen.delivery, seen.code.as_deref()) {
                (Delivery::Replied, Some("C0004" | "B0014")) => {
                    Ok(self.key_used(response, &prepared))
                }
                (delivery, code) => Err(format!(
                    "a query for no order should give C0004; it gave HTTP {} {} ({delivery:?}): check sid, sign_key and sign_type",
                    response.status().as_u16(),
                    code.unwrap_or_default()
                )),
            }
        })
    }
}

impl Gateway for EgmsClient {
    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Observation> {
        Box::pin(async move { redaction::redact(call, self.observe(call).await) })
    }

    fn verify_notification<'a>(&'a self, notice: &'a Notification) -> BoxFuture<'a, Observation> {
        Box::pin(async move {
            self.read_notification(&notice.headers, &notice.body, notice.received_at)
        })
    }

    fn notification_protocol(&self) -> NotificationProtocol {
        // The words are those of a working demo server (docs/gateways/egms.md, "Notifications"
        // [B]).
        NotificationProtocol {
            media: &["application/json"],
            signed_by: ["authorization", "datetime", "msgid"]
                .map(str::to_owned)
                .to_vec(),
            taken: NotificationReply::text("SUCCESS"),
            refused: NotificationReply::text("FAIL"),
        }
    }

    fn credentials(&self) -> &'static str {
        "sid, sign_key and sign_type"
    }

    fn probe(&self) -> BoxFuture<'_, Vec<Probe>> {
        Box::pin(exchange::probe_in_time(&self.base, self.look()))
    }
}

/// Whether a notification's `DateTime`, which is signed, is an instant that is not too far from
/// ours.
fn is_timely_notice(headers: &HeaderMap, received_at: Timestamp) -> bool {
    let signed_at = header(headers, "datetime")
        .and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
    signed_at.is_some_and(|at| {
        is_timely(
            Timestamp::from_millis(at.timestamp_millis()),
            received_at,
            NOTICE_AGE_MAX,
        )
    })
}

/// ISO 8601 with an offset, as the merchant API wants it (docs/gateways/egms.md, "Headers"): the
/// wall clock of Hong Kong.
fn date_time(now: Timestamp) -> String {
    let offset = FixedOffset::east_opt(8 * 3600);
    let at = chrono::DateTime::from_timestamp_millis(now.millis());
    at.zip(offset).map_or_else(
        || now.to_string(),
        |(at, offset)| {
            at.with_timezone(&offset)
                .format("%Y-%m-%dT%H:%M:%S%:z")
                .to_string()
        },
    )
}

/// Why an account cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EgmsClientError {
    /// `base_url` is not scheme and host.
    #[error(
        "base_url: https:// and a host are expected, without a path (http:// for this machine only)"
    )]
    BaseUrl,
    /// There is no key, or one of them is empty.
    #[error("sign_key is empty")]
    SignKey,
}
