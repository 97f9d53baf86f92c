//! Who has a connection: so many at once and so many of one address, since whoever opens thousands must not take the sockets that the
//! workers call the gateways by, nor keep others from an answer.
//!
//! A connection is quiet while payrun waits for the other side: for a head, for more of a body, for an answer to be read. Where all
//! places are taken, whoever comes gets the place of the one that has been quiet for longest, once that is longer than
//! anybody needs to say something. Where none is quiet there are a few more places, for `/healthz` and `/notify` only.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::{CONNECTION, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum_server::accept::Accept;
use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use hyper::body::{Frame, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tower_http::add_extension::AddExtension;

use super::error::ApiError;
use crate::config::ConnectionsConfig;

/// How long the head of a request may take, and how long a connection is kept that asks nothing.
const SILENCE: Duration = Duration::from_secs(20);

/// How long the next bytes of a body may take to come, and those of an answer to be read.
const STALLED: Duration = Duration::from_secs(10);

/// How long a connection may be quiet before another one gets its place, and how long one that comes waits for that.
const GRACE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(1);

/// How much of requests is read ahead of their answers.
const READ_AHEAD: usize = 64 * 1024;

/// How many places beside the others are for health and notifications only, and how many of them one address may have.
const KEPT: usize = 64;
const KEPT_OF_ADDRESS: usize = 16;

/// Lets so many in.
#[derive(Debug, Clone)]
pub(super) struct Doorkeeper(Arc<Places>);

#[derive(Debug)]
struct Places {
    most: ConnectionsConfig,
    taken: Mutex<HashMap<IpAddr, Vec<Arc<Place>>>>,
    /// How many are let wait for a place.
    waiting: Semaphore,
}

/// What becomes of somebody who comes.
enum Coming {
    Entered(Arc<Place>),
    /// At this instant a place may be had.
    Waits(Instant),
    Refused,
}

/// What is known of a connection.
#[derive(Debug)]
pub(super) struct Place {
    /// Whether it is there for health and notifications only.
    kept: bool,
    quiet: Mutex<Quiet>,
    /// Another one has its place now.
    lost: AtomicBool,
    /// Wakes the connection when it has lost its place.
    waker: AtomicWaker,
}

/// Since when payrun waits for the other side.
#[derive(Debug)]
struct Quiet {
    /// For a request; none while one is answered.
    idle: Option<Instant>,
    /// For more of a body.
    body: Option<Instant>,
    /// For an answer to be read.
    unread: Option<Instant>,
}

impl Place {
    fn new(kept: bool) -> Self {
        let quiet = Mutex::new(Quiet { idle: Some(tokio::time::Instant::now()), body: None, unread: None });
        Self { kept, quiet, lost: AtomicBool::new(false), waker: AtomicWaker::new() }
    }

    fn quiet(&self) -> MutexGuard<'_, Quiet> {
        self.quiet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From when on another one may have its place; none while payrun works for it.
    fn free_from(&self) -> Option<Instant> {
        let quiet = self.quiet();
        [quiet.idle, quiet.body, quiet.unread].into_iter().flatten().min().map(|since| since + GRACE)
    }

    fn lose(&self) {
        self.lost.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl Places {
    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, Vec<Arc<Place>>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for whoever comes from there.
    fn take(&self, address: IpAddr) -> Coming {
        let mut taken = self.taken();
        let all: usize = taken.values().map(Vec::len).sum();
        let own = taken.get(&address).map_or(0, Vec::len);
        let most = if address.is_loopback() { self.most.per_own_address } else { self.most.per_address };
        let mut kept = false;
        if own >= most || all >= self.most.total {
            let now = tokio::time::Instant::now();
            let from = if own >= most { Some(address) } else { crowd(&taken, now) };
            let found = from.and_then(|from| Some((from, quietest(taken.get(&from)?)?)));
            match found {
                Some((_, (free_from, _))) if free_from > now => return Coming::Waits(free_from),
                Some((from, (_, at))) => {
                    if let Some(places) = taken.get_mut(&from) {
                        places.swap_remove(at).lose();
                    }
                }
                None if own < most + KEPT_OF_ADDRESS && all < self.most.total + KEPT => kept = true,
                None => return Coming::Refused,
            }
        }
        let place = Arc::new(Place::new(kept));
        taken.entry(address).or_default().push(Arc::clone(&place));
        Coming::Entered(place)
    }

    /// The same, waiting for a while.
    async fn wait(&self, address: IpAddr) -> Option<Arc<Place>> {
        let ends = tokio::time::Instant::now() + PATIENCE;
        let mut _waits = None;
        loop {
            match self.take(address) {
                Coming::Entered(place) => return Some(place),
                Coming::Waits(until) if until < ends => {
                    if _waits.is_none() {
                        _waits = Some(self.waiting.try_acquire().ok()?);
                    }
                    sleep_until(until).await;
                }
                Coming::Waits(_) | Coming::Refused => return None,
            }
        }
    }

    fn leave(&self, address: IpAddr, place: &Arc<Place>) {
        let mut taken = self.taken();
        let Some(own) = taken.get_mut(&address) else { return };
        own.retain(|one| !Arc::ptr_eq(one, place));
        if own.is_empty() {
            taken.remove(&address);
        }
    }
}

/// The connection whose place is free first: from when on, and which.
fn quietest(places: &[Arc<Place>]) -> Option<(Instant, usize)> {
    let free = |(at, place): (usize, &Arc<Place>)| Some((place.free_from()?, at));
    places.iter().enumerate().filter_map(free).min()
}

/// The address with the most connections, of those that have a place which is free, or else will be.
fn crowd(taken: &HashMap<IpAddr, Vec<Arc<Place>>>, now: Instant) -> Option<IpAddr> {
    let free = |(address, places): (&IpAddr, &Vec<Arc<Place>>)| {
        let (free_from, _) = quietest(places)?;
        Some((free_from <= now, places.len(), *address))
    };
    taken.iter().filter_map(free).max().map(|(_, _, address)| address)
}

impl Doorkeeper {
    pub fn new(most: ConnectionsConfig) -> Self {
        let waiting = Semaphore::new(most.total);
        Self(Arc::new(Places { most, taken: Mutex::default(), waiting }))
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for Doorkeeper {
    type Stream = Socket;
    type Service = AddExtension<S, Arc<Place>>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let places = Arc::clone(&self.0);
        Box::pin(async move {
            let address = stream.peer_addr()?.ip().to_canonical();
            let place = places.wait(address).await;
            let place = place.ok_or_else(|| io::Error::other("there are too many connections"))?;
            let socket = Socket { stream, place: Arc::clone(&place), places, address, unread: None };
            Ok((socket, AddExtension::new(service, place)))
        })
    }
}

/// The socket of a connection that has a place.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    place: Arc<Place>,
    places: Arc<Places>,
    address: IpAddr,
    /// Ends when nothing was read of an answer for too long.
    unread: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    /// Fails for whoever has lost the place, and wakes when that happens.
    fn keep(&self, cx: &Context<'_>) -> io::Result<()> {
        self.place.waker.register(cx.waker());
        if self.place.lost.load(Ordering::Acquire) { Err(self.cut(io::ErrorKind::ConnectionAborted)) } else { Ok(()) }
    }

    /// What was not read is forgotten at once, by the kernel too.
    fn cut(&self, kind: io::ErrorKind) -> io::Error {
        self.stream.set_zero_linger().ok();
        kind.into()
    }

    /// Notes whether the other side reads.
    fn wrote<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.unread = None;
            self.place.quiet().unread = None;
            return polled;
        }
        let ends = self.unread.get_or_insert_with(|| Box::pin(sleep(STALLED)));
        let ended = ends.as_mut().poll(cx).is_ready();
        self.place.quiet().unread.get_or_insert_with(tokio::time::Instant::now);
        if ended { Poll::Ready(Err(self.cut(io::ErrorKind::TimedOut))) } else { Poll::Pending }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.places.leave(self.address, &self.place);
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.keep(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.keep(cx)?;
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.keep(cx)?;
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.wrote(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Ends connections that say nothing. Only HTTP/1: one whose version has yet to be told may be silent for ever.
pub(super) fn bound(http: &mut Builder<TokioExecutor>) {
    http.http1().timer(TokioTimer::new()).header_read_timeout(SILENCE).max_buf_size(READ_AHEAD);
}

/// Notes when a request is answered and when its sender is waited for.
pub(super) async fn watch(place: Option<Extension<Arc<Place>>>, request: Request, next: Next) -> Response {
    // Where nobody keeps the door, nothing is noted.
    let Some(Extension(place)) = place else { return next.run(request).await };
    if place.kept && !is_kept_for(request.uri().path()) {
        let mut refused = ApiError::unavailable("there are too many connections").into_response();
        refused.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return refused;
    }
    let answering = Answering::begin(Arc::clone(&place));
    let request = request.map(|body| Body::new(Asked { body, place, stalled: None }));
    next.run(request).await.map(|body| Body::new(Answer { body, _answering: answering }))
}

fn is_kept_for(path: &str) -> bool {
    path == "/healthz" || path.starts_with("/notify/")
}

/// A request that is answered, until the last of the answer is handed on.
struct Answering(Arc<Place>);

impl Answering {
    fn begin(place: Arc<Place>) -> Self {
        place.quiet().idle = None;
        Self(place)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.quiet().idle = Some(tokio::time::Instant::now());
    }
}

/// The body of a request; it breaks off when its next bytes take too long.
struct Asked {
    body: Body,
    place: Arc<Place>,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl HttpBody for Asked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.stalled = None;
            self.place.quiet().body = None;
            return polled;
        }
        self.place.quiet().body.get_or_insert_with(tokio::time::Instant::now);
        let ends = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALLED)));
        let stalls = || Some(Err(axum::Error::new(io::Error::from(io::ErrorKind::TimedOut))));
        ends.as_mut().poll(cx).map(|()| stalls())
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.place.quiet().body = None;
    }
}

/// The body of an answer.
struct Answer {
    body: Body,
    _answering: Answering,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
