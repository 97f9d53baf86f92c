//! The one seam below the clients: how a request gets to a gateway. Over sockets, or straight into
//! its sandbox.
//!
//! A transport sends every request **at most once**. It never follows a redirect, never sends
//! again, and says of every failure whether the request may have been read.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;

use super::in_process::{FakeGateway, HOLD_MAX, Reaction};
use crate::{NoConnection, REPLY_MAX};

/// A request, with path and query only: the host is the transport's business.
pub type Request = http::Request<Bytes>;

/// How long the reply to a request may be, in bytes, where the request says so (in its extensions);
/// else [`REPLY_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyMax(pub usize);

/// A whole reply.
pub type Response = http::Response<Bytes>;

/// How requests reach the gateway.
#[derive(Debug, Clone)]
pub enum Transport {
    /// Over sockets, at the account's `base_url`.
    Http(reqwest::Client),
    /// Into a sandbox in this process.
    InProcess(Arc<dyn FakeGateway>),
}

impl Transport {
    /// A transport over sockets that keeps up to `concurrency` connections. A connection that takes
    /// longer than half of `timeout` to open is given up, so that this can be told apart from a
    /// request that went unanswered.
    ///
    /// HTTP/1.1 only: with one request at a time on a connection, a lost connection concerns
    /// exactly one request. The retry policy is `never`; the pool's own second try is for requests
    /// of which no byte was written.
    ///
    /// # Errors
    /// [`TransportFailure::NotSent`] if TLS cannot be set up on this machine.
    pub fn http(concurrency: u32, timeout: Duration) -> Result<Self, TransportFailure> {
        reqwest::Client::builder()
            .user_agent(concat!("payrun/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeout / 2)
            .pool_max_idle_per_host(usize::try_from(concurrency).unwrap_or(usize::MAX))
            .pool_idle_timeout(Duration::from_secs(30))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .http1_only()
            .tcp_nodelay(true)
            .build()
            .map(Self::Http)
            .map_err(|error| TransportFailure::NotSent(chain(error)))
    }

    /// Sends a request once and reads the whole reply. `base` is scheme and host, for sockets.
    ///
    /// # Errors
    /// How far it came.
    pub async fn send(&self, base: &str, request: Request) -> Result<Response, TransportFailure> {
        let max = request
            .extensions()
            .get()
            .map_or(REPLY_MAX, |ReplyMax(max)| *max);
        match self {
            Self::Http(client) => over_sockets(client, base, request, max).await,
            Self::InProcess(sandbox) => in_process(sandbox.as_ref(), request, max).await,
        }
    }
}

/// Why there is no whole reply.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransportFailure {
    /// No byte of the request was written, and none was tried.
    #[error("{0}")]
    NotSent(String),
    /// No byte of the request was written, since there was no connection: which way that failed,
    /// and what the system calls it.
    #[error("{}: {why}", how.words())]
    Unreachable {
        /// Which way.
        how: NoConnection,
        /// With its causes, on one line.
        why: String,
    },
    /// The request may have been read, and nobody waits for a reply any longer.
    #[error("no reply")]
    Silent,
    /// The request may have been read, and the connection broke before a reply began.
    #[error("{0}")]
    Lost(String),
    /// A reply began and broke off, or is longer than it may be.
    #[error("{why}")]
    Broken {
        /// Its HTTP status.
        status: u16,
        /// What is wrong with it.
        why: String,
    },
}

async fn over_sockets(
    client: &reqwest::Client,
    base: &str,
    request: Request,
    max: usize,
) -> Result<Response, TransportFailure> {
    let (parts, body) = request.into_parts();
    let target = parts.uri.to_string();
    let url = reqwest::Url::parse(&format!("{base}{target}"))
        .map_err(|error| TransportFailure::NotSent(error.to_string()))?;
    if !url.as_str().ends_with(&target) {
        return Err(TransportFailure::NotSent(format!(
            "the path would be sent as {}, which is not what was signed",
            url.path()
        )));
    }
    let sending = client
        .request(parts.method, url)
        .headers(parts.headers)
        .body(body)
        .send();
    let mut reply = sending.await.map_err(|error| {
        let how = error.is_connect().then(|| no_connection(&error));
        let (is_builder, why) = (error.is_builder(), chain(error));
        match how {
            Some(how) => TransportFailure::Unreachable { how, why },
            None if is_builder => TransportFailure::NotSent(why),
            None => TransportFailure::Lost(why),
        }
    })?;
    let status = reply.status().as_u16();
    let broken = |why: String| TransportFailure::Broken { status, why };
    let mut whole = Vec::new();
    while let Some(part) = reply
        .chunk()
        .await
        .map_err(|error| broken(format!("truncated: {}", chain(error))))?
    {
        if whole.len() + part.len() > max {
            return Err(broken(too_long(max)));
        }
        whole.extend_from_slice(&part);
    }
    let mut response = Response::new(whole.into());
    *response.status_mut() = reply.status();
    *response.headers_mut() = std::mem::take(reply.headers_mut());
    Ok(response)
}

async fn in_process(
    sandbox: &dyn FakeGateway,
    request: Request,
    max: usize,
) -> Result<Response, TransportFailure> {
    match sandbox.handle(request).await {
        Reaction::Reply(response) if response.body().len() > max => Err(TransportFailure::Broken {
            status: response.status().as_u16(),
            why: too_long(max),
        }),
        Reaction::Reply(response) => Ok(response),
        Reaction::Refuse => Err(TransportFailure::Unreachable {
            how: NoConnection::Refused,
            why: "by the sandbox in this process".into(),
        }),
        Reaction::Reset => Err(TransportFailure::Lost("connection reset".into())),
        Reaction::Silence => Err(TransportFailure::Silent),
        Reaction::Hold => {
            tokio::time::sleep(HOLD_MAX).await;
            Err(TransportFailure::Lost(
                "connection closed without a reply".into(),
            ))
        }
        Reaction::Truncate(response) => Err(TransportFailure::Broken {
            status: response.status().as_u16(),
            why: "truncated: half of the body".into(),
        }),
    }
}

/// Which way a connection failed. The resolver's failure has no type of its own; its text is that
/// of the HTTP client.
fn no_connection(error: &reqwest::Error) -> NoConnection {
    if error.is_timeout() {
        return NoConnection::TimedOut;
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.to_string() == "dns error" {
            return NoConnection::NameUnknown;
        }
        let kind = cause
            .downcast_ref::<std::io::Error>()
            .map(std::io::Error::kind);
        match kind {
            Some(std::io::ErrorKind::ConnectionRefused) => return NoConnection::Refused,
            Some(std::io::ErrorKind::TimedOut) => return NoConnection::TimedOut,
            Some(_) | None => source = cause.source(),
        }
    }
    NoConnection::Other
}

fn too_long(max: usize) -> String {
    format!("longer than {max} bytes")
}

/// An error with its causes on one line, without the address (which names order numbers).
fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::net::{TcpSocket, TcpStream};

    use super::*;

    async fn way_of(base: &str) -> NoConnection {
        let transport = Transport::http(1, Duration::from_secs(2)).unwrap();
        match transport.send(base, http::Request::new(Bytes::new())).await {
            Err(TransportFailure::Unreachable { how, .. }) => how,
            other => panic!("{base}: {other:?}"),
        }
    }

    #[tokio::test]
    async fn each_way_in_which_there_is_no_connection_is_told_apart() {
        // That name is nobody's (RFC 6761).
        assert_eq!(
            way_of("http://payrun.invalid").await,
            NoConnection::NameUnknown
        );
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = socket.local_addr().unwrap();
        assert_eq!(
            way_of(&format!("http://{address}")).await,
            NoConnection::Refused,
            "nobody listens"
        );
        // A queue that is full, and nobody takes from it: what comes is not answered.
        let listener = socket.listen(1).unwrap();
        let mut queue = Vec::new();
        while let Ok(connected) =
            tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
        {
            queue.push(connected.unwrap());
            assert!(queue.len() < 64, "the queue has no end");
        }
        assert_eq!(
            way_of(&format!("http://{address}")).await,
            NoConnection::TimedOut
        );
        drop((listener, queue));
    }
}
