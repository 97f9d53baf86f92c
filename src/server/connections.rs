//! How many connections there are at most, and how long one may say nothing: whoever opens thousands must not take the sockets that
//! the workers call the gateways by.

use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum_server::accept::Accept;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_http::add_extension::AddExtension;

/// How many connections are open at once; one more is closed at once.
const CONNECTIONS: usize = 500;

/// How long the head of a request may take, and how long a connection is kept that asks nothing.
const SILENCE: Duration = Duration::from_secs(20);

/// Lets so many in.
#[derive(Debug, Clone)]
pub(super) struct Doorkeeper(Arc<Semaphore>);

impl Default for Doorkeeper {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CONNECTIONS)))
    }
}

impl<S> Accept<TcpStream, S> for Doorkeeper {
    type Stream = TcpStream;
    /// The place is given back with the service, which a connection has as long as it is open.
    type Service = AddExtension<S, Arc<OwnedSemaphorePermit>>;
    type Future = Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let place = Arc::clone(&self.0).try_acquire_owned();
        let place = place.map_err(|_| io::Error::other("there are too many connections"));
        ready(place.map(|place| (stream, AddExtension::new(service, Arc::new(place)))))
    }
}

/// Ends connections that say nothing. Only HTTP/1: one whose version has yet to be told may be silent for ever.
pub(super) fn bound(http: &mut Builder<TokioExecutor>) {
    http.http1().timer(TokioTimer::new()).header_read_timeout(SILENCE);
}
