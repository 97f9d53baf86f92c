//! The sandbox over sockets: every fake gateway on one port, told apart by path. Faults of
//! the connection really happen to it: it is reset, held, or cut in the middle of a body.
//!
//! Under `/sandbox` it answers about itself: `GET /sandbox/books` (totals) and `GET
//! /sandbox/books/orders?after=&limit=` for WeChat Pay's deductions; `GET /sandbox/hipopay/books`
//! and so on (`wechat`, `egms`, `cbtis`), where `POST /sandbox/hipopay/payments` puts paid payments
//! into the books: `[{"number": "P-1", "amount": "10.00", "currency": "HKD"}]`.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use http::{Method, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::{Gateways, HOLD_MAX, Reaction};
use payrun_gateway::transport::Response;

/// The longest request that is read, in bytes.
const REQUEST_MAX: usize = 64 * 1024;
/// How many connections are served at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 1_024;
/// How long requests under way may take when the server is told to stop.
const STOP: Duration = Duration::from_secs(5);
/// How often the books are written out.
const FLUSH: Duration = Duration::from_secs(1);

type HttpBody = UnsyncBoxBody<Bytes, io::Error>;

/// Serves the sandbox until `shutdown`; requests under way get five seconds to end.
///
/// # Errors
/// If the listener fails for another reason than a single connection.
pub async fn serve(
    sandbox: impl Into<Gateways>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let sandbox = Arc::new(sandbox.into());
    let mut shutdown = pin!(shutdown);
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut flush = tokio::time::interval(FLUSH);
    flush.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            _ = flush.tick() => write_books(&sandbox).await,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(sandbox.clone(), stream, stopped.clone()));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(error = %error, "the sandbox could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(listener);
    let _ = stop.send(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP, ended).await.is_err() {
        connections.shutdown().await;
    }
    write_books(&sandbox).await;
    Ok(())
}

async fn write_books(sandbox: &Gateways) {
    let Some(wechat) = &sandbox.wechat else {
        return;
    };
    if let Err(error) = wechat.flush().await {
        tracing::error!(error = %error, "the sandbox's books could not be written");
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

async fn serve_connection(
    sandbox: Arc<Gateways>,
    stream: TcpStream,
    mut stopped: watch::Receiver<bool>,
) {
    // Replies are small and waited for.
    let _ = stream.set_nodelay(true);
    let reset = Arc::new(AtomicBool::new(false));
    let wire = ResettableSocket {
        stream,
        reset: reset.clone(),
    };
    let service = service_fn(|request| {
        let (sandbox, reset) = (sandbox.clone(), reset.clone());
        async move { answer(&sandbox, request, &reset).await }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(wire), service);
    let mut connection = pin!(connection);
    let stop = async { while !*stopped.borrow_and_update() && stopped.changed().await.is_ok() {} };
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error, "a connection of the sandbox ended");
    }
}

/// One request. An error cuts the connection.
async fn answer(
    sandbox: &Gateways,
    request: http::Request<Incoming>,
    reset: &AtomicBool,
) -> Result<http::Response<HttpBody>, io::Error> {
    let (parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, REQUEST_MAX).collect().await else {
        return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, Bytes::new()));
    };
    let body = body.to_bytes();
    let Some(fake) = sandbox.fake_of(parts.uri.path()) else {
        return Ok(about(sandbox, &parts, &body).await);
    };
    let request = http::Request::from_parts(parts, body);
    match fake.handle(request).await {
        Reaction::Reply(response) => Ok(response.map(full)),
        Reaction::Truncate(response) => Ok(half(response)),
        Reaction::Refuse => Err(io::Error::other("closed without a byte")),
        Reaction::Reset => {
            reset.store(true, Ordering::Relaxed);
            Err(io::Error::other("reset"))
        }
        Reaction::Hold | Reaction::Silence => {
            // hyper drops this when the client goes.
            tokio::time::sleep(HOLD_MAX).await;
            Err(io::Error::other("held"))
        }
    }
}

/// What the sandbox says of itself.
async fn about(
    sandbox: &Gateways,
    parts: &http::request::Parts,
    body: &[u8],
) -> http::Response<HttpBody> {
    if let Some(said) = sandbox.about(&parts.method, parts.uri.path(), body) {
        return match said {
            Ok(value) => plain(StatusCode::OK, value.to_string().into()),
            Err(status) => plain(status, Bytes::new()),
        };
    }
    let Some(sandbox) = &sandbox.wechat else {
        return plain(StatusCode::NOT_FOUND, Bytes::new());
    };
    if parts.method != Method::GET {
        return plain(StatusCode::METHOD_NOT_ALLOWED, Bytes::new());
    }
    let json = match parts.uri.path() {
        "/sandbox/books" => sandbox
            .totals()
            .await
            .map(|totals| serde_json::to_vec(&totals)),
        "/sandbox/books/orders" => {
            let query = parts.uri.query().unwrap_or_default();
            let field = |name: &str| {
                query
                    .split('&')
                    .filter_map(|pair| pair.split_once('='))
                    .find(|(key, _)| *key == name)
                    .map(|(_, v)| v)
            };
            let limit = field("limit")
                .and_then(|limit| limit.parse().ok())
                .unwrap_or(100);
            let after = crate::shared::percent_decoding::decode(field("after").unwrap_or_default());
            sandbox
                .page(&after, limit)
                .await
                .map(|page| serde_json::to_vec(&page))
        }
        _ => return plain(StatusCode::NOT_FOUND, Bytes::new()),
    };
    match json {
        Ok(Ok(body)) => plain(StatusCode::OK, body.into()),
        Ok(Err(_)) | Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, Bytes::new()),
    }
}

fn plain(status: StatusCode, body: Bytes) -> http::Response<HttpBody> {
    let mut response = http::Response::new(full(body));
    *response.status_mut() = status;
    response
}

fn full(body: Bytes) -> HttpBody {
    Full::new(body)
        .map_err(|never: Infallible| match never {})
        .boxed_unsync()
}

/// The head of a reply with its whole length, half of the body, and a broken connection.
fn half(response: Response) -> http::Response<HttpBody> {
    let length = response.body().len();
    let mut response = response.map(|body| {
        let first = stream::once(async move { Ok(Frame::data(body.slice(..length / 2))) });
        // The pause lets the first half reach the wire before the break.
        let broken = stream::once(async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            Err(io::Error::other("truncated"))
        });
        StreamBody::new(first.chain(broken)).boxed_unsync()
    });
    response
        .headers_mut()
        .insert(http::header::CONTENT_LENGTH, length.into());
    response
}

/// A socket that can be told to end with a reset instead of an orderly close.
struct ResettableSocket {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for ResettableSocket {
    fn drop(&mut self) {
        if self.reset.load(Ordering::Relaxed) {
            // With no linger time, closing sends RST.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for ResettableSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for ResettableSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
