//! Who has a connection: so many at once and so many of one address, since whoever opens thousands
//! must not take the sockets that the workers call the gateways by, nor keep others from an answer.
//!
//! A request is known when its token is good, or when it is a notification that was kept. Where all
//! places are taken, whoever comes gets the place of a connection that has had its time: since it
//! came, or since a known request of it was answered. What it does meanwhile gives it no more time:
//! whoever can send nothing known may send without end. While a known request is answered its
//! connection stays, unless it keeps payrun waiting. Those go first whose last request was not
//! known, the longest there before the others. Where all are at work for known requests there are a
//! few more places, for `/healthz` and `/notify` only.
//!
//! Requests that are not known have their turn twice a second on each connection: many that ask
//! without end leave the processor to others.

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

/// How many bytes of a body make up for a second that was waited for them.
const SLOWEST: u32 = 1024;

/// How long a connection has before another one may get its place, and how long one that comes
/// waits for that.
const GRACE: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(2);

/// How long after one another requests that are not known are answered on one connection, and how
/// many may come early.
const PACE: Duration = Duration::from_millis(500);
const EARLY: u32 = 2;

/// How much of requests is read ahead of their answers.
const READ_AHEAD: usize = 64 * 1024;

/// How many places beside the others are for health and notifications only, and how many of them
/// one address may have.
const KEPT: usize = 64;
const KEPT_OF_ADDRESS: usize = 16;

/// Lets so many in.
#[derive(Debug, Clone)]
pub(super) struct ConnectionLimit(Arc<Connections>);

#[derive(Debug)]
struct Connections {
    most: ConnectionsConfig,
    taken: Mutex<HashMap<IpAddr, Vec<Arc<Connection>>>>,
    /// How many are let wait for a place.
    waiting: Semaphore,
}

/// What becomes of somebody who comes.
enum Admission {
    Entered(Arc<Connection>),
    /// At this instant a place may be had.
    Waits(Instant),
    Refused,
}

/// What is known of a connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// Whether it is there for health and notifications only.
    kept: bool,
    conduct: Mutex<ConnectionActivity>,
    /// Another one has its place now.
    lost: AtomicBool,
    /// Wakes the connection when it has lost its place.
    waker: AtomicWaker,
}

/// What it has done.
#[derive(Debug)]
struct ConnectionActivity {
    /// When it came, or when its last known request was answered.
    since: Instant,
    /// Whether its last request was known.
    known: bool,
    /// Whether a known request is answered.
    working: bool,
    /// Since when payrun waits for more of a body.
    body: Option<Instant>,
    /// Since when it waits for an answer to be read.
    unread: Option<Instant>,
    /// When the next request that is not known is in time.
    next: Instant,
}

impl Connection {
    fn new(kept: bool) -> Self {
        let now = tokio::time::Instant::now();
        let conduct = ConnectionActivity {
            since: now,
            known: false,
            working: false,
            body: None,
            unread: None,
            next: now,
        };
        Self {
            kept,
            conduct: Mutex::new(conduct),
            lost: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }

    fn conduct(&self) -> MutexGuard<'_, ConnectionActivity> {
        self.conduct.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request that is answered is known: its token is good, or the gateway signed it.
    pub fn know(&self) {
        let mut conduct = self.conduct();
        (conduct.known, conduct.working, conduct.next) = (true, true, tokio::time::Instant::now());
    }

    /// From when on another one may have its place; none while payrun works for it.
    fn free_from(&self) -> Option<Instant> {
        let conduct = self.conduct();
        let since = if conduct.working {
            [conduct.body, conduct.unread].into_iter().flatten().min()
        } else {
            Some(conduct.since)
        };
        since.map(|since| since + GRACE)
    }

    /// Counts a request, until it is known; when it has its turn.
    fn turn(&self) -> Instant {
        let mut conduct = self.conduct();
        let tx = conduct.next.max(tokio::time::Instant::now());
        conduct.next = tx + PACE;
        tx - PACE * EARLY
    }

    fn lose(&self) {
        self.lost.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl Connections {
    fn taken(&self) -> MutexGuard<'_, HashMap<IpAddr, Vec<Arc<Connection>>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for whoever comes from there.
    fn admit(&self, address: IpAddr) -> Admission {
        let mut taken = self.taken();
        let now = tokio::time::Instant::now();
        let count = |places: &Vec<Arc<Connection>>, kept: bool| {
            places.iter().filter(|place| place.kept == kept).count()
        };
        let all = |kept: bool| {
            taken
                .values()
                .map(|places| count(places, kept))
                .sum::<usize>()
        };
        let own = |kept: bool| taken.get(&address).map_or(0, |places| count(places, kept));
        let most = if address.is_loopback() {
            self.most.per_own_address
        } else {
            self.most.per_address
        };
        let mut found = None;
        let mut kept = false;
        for (is_kept, most, total) in [
            (false, most, self.most.total),
            (true, KEPT_OF_ADDRESS, KEPT),
        ] {
            kept = is_kept;
            let own_full = own(kept) >= most;
            if !own_full && all(kept) < total {
                found = None;
                break;
            }
            let from = if own_full {
                Some(address)
            } else {
                crowd(&taken, kept, now)
            };
            found = from.and_then(|from| Some((from, first_free(taken.get(&from)?, kept, now)?)));
            if found.is_some() {
                break;
            }
            if kept {
                return Admission::Refused;
            }
        }
        if let Some((from, first)) = found {
            if first.free_from > now {
                return Admission::Waits(first.free_from);
            }
            if let Some(places) = taken.get_mut(&from) {
                places.swap_remove(first.at).lose();
            }
        }
        let place = Arc::new(Connection::new(kept));
        taken.entry(address).or_default().push(Arc::clone(&place));
        Admission::Entered(place)
    }

    /// The same, waiting for a while.
    async fn wait(&self, address: IpAddr) -> Option<Arc<Connection>> {
        let ends = tokio::time::Instant::now() + PATIENCE;
        let mut _waits = None;
        loop {
            match self.admit(address) {
                Admission::Entered(place) => return Some(place),
                Admission::Waits(until) if until < ends => {
                    if _waits.is_none() {
                        _waits = Some(self.waiting.try_acquire().ok()?);
                    }
                    sleep_until(until).await;
                }
                Admission::Waits(_) | Admission::Refused => return None,
            }
        }
    }

    fn leave(&self, address: IpAddr, place: &Arc<Connection>) {
        let mut taken = self.taken();
        let Some(own) = taken.get_mut(&address) else {
            return;
        };
        own.retain(|one| !Arc::ptr_eq(one, place));
        if own.is_empty() {
            taken.remove(&address);
        }
    }
}

/// A connection whose place is the next to be had.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct NextSlot {
    /// When; now for all that have had their time.
    free_from: Instant,
    known: bool,
    since: Instant,
    at: usize,
}

/// The one that is to go first of these.
fn first_free(places: &[Arc<Connection>], kept: bool, now: Instant) -> Option<NextSlot> {
    let of_kind = places
        .iter()
        .enumerate()
        .filter(|(_, place)| place.kept == kept);
    let free = of_kind.filter_map(|(at, place)| {
        let since = place.free_from()?;
        Some(NextSlot {
            free_from: since.max(now),
            known: place.conduct().known,
            since,
            at,
        })
    });
    free.min()
}

/// The address with the most connections, of those that have a place which is free, or else will
/// be.
fn crowd(
    taken: &HashMap<IpAddr, Vec<Arc<Connection>>>,
    kept: bool,
    now: Instant,
) -> Option<IpAddr> {
    let free = |(address, places): (&IpAddr, &Vec<Arc<Connection>>)| {
        let first = first_free(places, kept, now)?;
        Some((first.free_from <= now, places.len(), *address))
    };
    taken
        .iter()
        .filter_map(free)
        .max()
        .map(|(_, _, address)| address)
}

impl ConnectionLimit {
    pub fn new(most: ConnectionsConfig) -> Self {
        let waiting = Semaphore::new(most.total);
        Self(Arc::new(Connections {
            most,
            taken: Mutex::default(),
            waiting,
        }))
    }
}

impl<S: Send + 'static> Accept<TcpStream, S> for ConnectionLimit {
    type Stream = Socket;
    type Service = AddExtension<S, Arc<Connection>>;
    type Future = BoxFuture<'static, io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let places = Arc::clone(&self.0);
        Box::pin(async move {
            let address = stream.peer_addr()?.ip().to_canonical();
            let place = places.wait(address).await;
            let place = place.ok_or_else(|| io::Error::other("there are too many connections"))?;
            let socket = Socket {
                stream,
                place: Arc::clone(&place),
                places,
                address,
                unread: None,
            };
            Ok((socket, AddExtension::new(service, place)))
        })
    }
}

/// The socket of a connection that has a place.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    place: Arc<Connection>,
    places: Arc<Connections>,
    address: IpAddr,
    /// Ends when nothing was read of an answer for too long.
    unread: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    /// Fails for whoever has lost the place, and wakes when that happens.
    fn check_open(&self, cx: &Context<'_>) -> io::Result<()> {
        self.place.waker.register(cx.waker());
        if self.place.lost.load(Ordering::Acquire) {
            Err(self.cut(io::ErrorKind::ConnectionAborted))
        } else {
            Ok(())
        }
    }

    /// What was not read is forgotten at once, by the kernel too.
    fn cut(&self, kind: io::ErrorKind) -> io::Error {
        self.stream.set_zero_linger().ok();
        kind.into()
    }

    /// Notes whether the other side reads.
    fn wrote<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.unread = None;
            self.place.conduct().unread = None;
            return polled;
        }
        let ends = self.unread.get_or_insert_with(|| Box::pin(sleep(STALLED)));
        let ended = ends.as_mut().poll(cx).is_ready();
        self.place
            .conduct()
            .unread
            .get_or_insert_with(tokio::time::Instant::now);
        if ended {
            Poll::Ready(Err(self.cut(io::ErrorKind::TimedOut)))
        } else {
            Poll::Pending
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.places.leave(self.address, &self.place);
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_open(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_open(cx)?;
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_open(cx)?;
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

/// Ends connections that say nothing. Only HTTP/1: one whose version has yet to be told may be
/// silent for ever.
pub(super) fn bound(http: &mut Builder<TokioExecutor>) {
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE)
        .max_buf_size(READ_AHEAD);
}

/// Notes when a request is answered and when its sender is waited for.
pub(super) async fn watch(
    place: Option<Extension<Arc<Connection>>>,
    request: Request,
    next: Next,
) -> Response {
    // Where there is no limit, nothing is noted.
    let Some(Extension(place)) = place else {
        return next.run(request).await;
    };
    if place.kept && !is_kept_for(request.uri().path()) {
        let mut refused = ApiError::unavailable("there are too many connections").into_response();
        refused
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        return refused;
    }
    let answering = AnswerGuard(Arc::clone(&place));
    sleep_until(place.turn()).await;
    let request = request.map(|body| {
        Body::new(RequestBody {
            body,
            place,
            left: STALLED,
            stalls: None,
        })
    });
    next.run(request).await.map(|body| {
        Body::new(ResponseBody {
            body,
            _answering: answering,
        })
    })
}

fn is_kept_for(path: &str) -> bool {
    path == "/healthz" || path.starts_with("/notify/")
}

/// A request that is answered, until the last of the answer is handed on.
struct AnswerGuard(Arc<Connection>);

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        let mut conduct = self.0.conduct();
        if conduct.working {
            conduct.since = tokio::time::Instant::now();
        }
        conduct.known = conduct.working;
        conduct.working = false;
    }
}

/// The body of a request; it breaks off when payrun has waited too long for it.
struct RequestBody {
    body: Body,
    place: Arc<Connection>,
    /// How long it may be waited for yet: every byte that comes gives it time.
    left: Duration,
    /// Since when it is waited for, and when that ends.
    stalls: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(next) = &polled {
            if let Some((since, _)) = self.stalls.take() {
                self.left = self.left.saturating_sub(since.elapsed());
            }
            let data = next
                .as_ref()
                .and_then(|frame| frame.as_ref().ok()?.data_ref());
            let bytes = data.map_or(0, |data| u32::try_from(data.len()).unwrap_or(u32::MAX));
            self.left = STALLED.min(self.left + Duration::from_secs(1) * bytes / SLOWEST);
            self.place.conduct().body = None;
            return polled;
        }
        let left = self.left;
        let (since, ends) = self
            .stalls
            .get_or_insert_with(|| (tokio::time::Instant::now(), Box::pin(sleep(left))));
        let (since, ended) = (*since, ends.as_mut().poll(cx).is_ready());
        self.place.conduct().body = Some(since);
        let stalls = || {
            Some(Err(axum::Error::new(io::Error::from(
                io::ErrorKind::TimedOut,
            ))))
        };
        if ended {
            Poll::Ready(stalls())
        } else {
            Poll::Pending
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.place.conduct().body = None;
    }
}

/// The body of an answer.
struct ResponseBody {
    body: Body,
    _answering: AnswerGuard,
}

impl HttpBody for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
