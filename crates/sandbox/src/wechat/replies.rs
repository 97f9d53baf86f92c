//! What WeChat Pay says: refusals, replies, and the signature of each (docs/gateways/wechat.md).

use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::auth::{SCHEME, reply_message};
use super::deductions::Said;
use super::order_book::Counter;
use super::order_store::StoreError;
use super::sandbox::Sandbox;
use crate::faults::Fault;
use crate::shared::customs::{NO_RECORD, NOT_DECLARED};
use crate::shared::keys::nonce;
use crate::shared::request_table::Undocumented;
use crate::shared::responder::unsigned_502;
use crate::{Reaction, SignsWith};
use payrun_domain::time::Timestamp;
use payrun_gateway::transport::Response;

/// Why a request is refused for what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) http: u16,
    pub(crate) code: &'static str,
    /// The word in the books.
    pub(crate) reason: &'static str,
}

pub(super) const NO_SUCH_PATH: Refusal = Refusal {
    http: 404,
    code: "RESOURCE_NOT_EXISTS",
    reason: "no_such_path",
};

impl Sandbox {
    /// Bends what is said by the fault it met, after the latency.
    pub(super) async fn react(&self, said: Result<Said, StoreError>, subject: &str) -> Reaction {
        let said = match said {
            Ok(said) => said,
            Err(error) => {
                tracing::error!(error = %error, "the sandbox's books failed");
                Said::error(500, "SYSTEM_ERROR", "the sandbox's books failed")
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

    pub(super) async fn wait(&self, subject: &str, coin: bool, fault: Option<Fault>) {
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
    pub(super) async fn refuse_parameter(&self, wrong: &Undocumented) -> Reaction {
        let word = wrong.issue.as_str();
        self.books.lock().await.count(Counter::Refused, word);
        let detail = json!({ "field": wrong.name, "location": wrong.location, "issue": word });
        let body = json!({ "code": "PARAM_ERROR", "message": word, "detail": detail });
        self.reply(400, &body, None)
            .map_or(Reaction::Reset, Reaction::Reply)
    }

    pub(super) async fn refuse(&self, refusal: Refusal) -> Reaction {
        self.books
            .lock()
            .await
            .count(Counter::Refused, refusal.reason);
        let body = json!({ "code": refusal.code, "message": refusal.reason });
        self.reply(refusal.http, &body, None)
            .map_or(Reaction::Reset, Reaction::Reply)
    }

    /// A signed reply; `signed_instead` is signed in the body's place. A 204 has no body. None if
    /// it cannot be signed.
    pub(super) fn reply(
        &self,
        http: u16,
        body: &Value,
        signed_instead: Option<Bytes>,
    ) -> Option<Response> {
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
    pub(super) fn signed(&self, http: u16, body: Bytes, covered: &[u8]) -> Option<Response> {
        self.signed_at(http, body, covered, self.clock.now())
    }

    pub(super) fn signed_at(
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

/// The fine-grained code that goes with an error, at the end of its `Request-ID`.
fn sub_code(message: &str) -> Option<u32> {
    match message {
        NOT_DECLARED => Some(35_312_011),
        NO_RECORD => Some(132_021_037),
        "there is no such order" => Some(268_512_771),
        "unknown_parameter" | "missing_parameter" => Some(268_435_461),
        _ => None,
    }
}
