//! Signed requests over a transport: headers and signature, nothing about orders.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Method, Uri};

use super::sign::Merchant;
use super::transport::{ReplyMax, Request, Response, Transport, TransportFailure};
use payrun_system::clock::Clock;

/// What every request needs: who signs, when, and which way it goes.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) base: String,
    pub(super) merchant: Merchant,
    /// The id of the first of our platform public keys, sent as `Wechatpay-Serial` where we have
    /// one.
    pub(super) platform_id: Option<String>,
    pub(super) transport: Transport,
    pub(super) clock: Clock,
}

impl Channel {
    /// Signs a request and sends it once (docs/gateways/wechat.md, "Request signature"). `target`
    /// is path and query, percent-encoded; the reply may have `max` bytes.
    pub(super) async fn send(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
        max: usize,
    ) -> Result<Response, TransportFailure> {
        let mut request = self
            .signed(method, target, body)
            .map_err(TransportFailure::NotSent)?;
        request.extensions_mut().insert(ReplyMax(max));
        self.transport.send(&self.base, request).await
    }

    /// The same, with fields that were encrypted under the platform's key of this serial
    /// (docs/gateways/wechat.md, "Encrypted fields").
    pub(super) async fn send_sealed(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
        serial: &str,
    ) -> Result<Response, TransportFailure> {
        let mut request = self
            .signed(method, target, body)
            .map_err(TransportFailure::NotSent)?;
        let serial = HeaderValue::from_str(serial)
            .map_err(|_| TransportFailure::NotSent("the serial fits no header".into()))?;
        request.headers_mut().insert("wechatpay-serial", serial);
        self.transport.send(&self.base, request).await
    }

    fn signed(&self, method: Method, target: &str, body: Bytes) -> Result<Request, String> {
        let uri: Uri = target
            .parse()
            .map_err(|_| format!("{target:?} is no path"))?;
        let authorization = self
            .merchant
            .authorize(method.as_str(), target, &body, self.clock.now())
            .map_err(|error| error.to_string())?;
        let header = |text: &str| {
            HeaderValue::from_str(text).map_err(|_| "an id does not fit a header".to_owned())
        };
        let mut authorization = header(&authorization)?;
        authorization.set_sensitive(true);
        let has_body = !body.is_empty();
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("payrun/", env!("CARGO_PKG_VERSION"))),
        );
        if has_body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(id) = &self.platform_id {
            headers.insert("wechatpay-serial", header(id)?);
        }
        Ok(request)
    }
}
