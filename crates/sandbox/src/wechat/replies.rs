//! What WeChat Pay says: refusals, replies, and the signature of each (docs/gateways/wechat.md,
//! "Response signature").

use std::sync::PoisonError;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::auth::{SCHEME, reply_message};
use super::deductions::WechatReply;
use super::fake::FakeWechat;
use super::order_book::Counter;
use super::order_store::StoreError;
use crate::shared::customs::{NO_RECORD, NOT_DECLARED};
use crate::shared::fault_flow::Reply;
use crate::shared::keys::nonce;
use crate::shared::request_table::UndocumentedRequest;
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

impl FakeWechat {
    /// Says it, or that the books failed.
    pub(super) async fn react(
        &self,
        said: Result<WechatReply, StoreError>,
        subject: &str,
    ) -> Reaction {
        let said = match said {
            Ok(said) => said,
            Err(error) => {
                tracing::error!(error = %error, "the sandbox's books failed");
                WechatReply::error(500, "SYSTEM_ERROR", "the sandbox's books failed")
            }
        };
        let say = |http, body: &Value, forged: bool| {
            let another = forged.then(|| Bytes::from_static(b"{}"));
            self.reply(http, body, another)
        };
        self.respond(subject, said, &say).await
    }

    /// Says it, bent by its fault, after the latency.
    pub(super) async fn respond(
        &self,
        subject: &str,
        said: WechatReply,
        say: &(dyn Fn(u16, &Value, bool) -> Option<Response> + Sync),
    ) -> Reaction {
        let WechatReply { http, body, fault } = said;
        let reply = Reply {
            subject,
            http,
            body,
            fault,
            say,
            broken: json!({ "code": "SYSTEM_ERROR", "message": "system error" }),
            busy: json!({ "code": "FREQUENCY_LIMITED", "message": "slow down" }),
        };
        self.payments.responder.respond(reply).await
    }

    /// A parameter that the page of the call does not list, or that it requires.
    pub(super) async fn refuse_parameter(&self, wrong: &UndocumentedRequest) -> Reaction {
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
