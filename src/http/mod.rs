//! The service's listener: the API, the gateways' notifications, health and metrics. It binds to
//! this machine's own address unless told otherwise.
//!
//! What is asked here is done by the engine; nothing of HTTP goes further than this folder, and no
//! SQL comes here.

pub mod api;
mod auth;
mod authorization;
mod certificate;
mod connections;
mod dashboard;
mod error;
mod extract;
mod health;
mod hosts;
mod metrics;
mod printable_json;
mod quota;
mod request_id;
mod run_watch;
pub mod token;
mod unreadable;
pub mod webhooks;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state, map_request_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum_server::{Handle, Server};
use thiserror::Error;
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use tower_layer::Layer as _;

use crate::config::TlsConfig;
use crate::engine::Engine;
use crate::service::Service;
use certificate::ServerCertificate;
use connections::{ConnectionLimit, bound};
use error::ApiError;
use quota::Quota;

/// The longest body of a request that is no file.
const BODY_MAX: usize = 1024 * 1024;

/// How long a request may take that is no stream.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How many connections the kernel keeps until they are let in, and how many bytes of answers that
/// are not read.
const BACKLOG: u32 = 1024;
const UNREAD_MAX: u32 = 128 * 1024;

/// How long requests under way are waited for at the end.
const GRACE: Duration = Duration::from_secs(10);

/// What the handlers share.
#[derive(Clone)]
pub struct App {
    service: Service,
    wrong: Arc<auth::WrongTokens>,
    /// Streams of events.
    streams: Arc<Quota>,
    /// Lists that are written into files.
    exports: Arc<Quota>,
    /// Files on their way.
    arriving: Arc<Quota>,
    uploads: Arc<tokio::sync::Semaphore>,
    webhook_limiter: Arc<webhooks::WebhookLimiter>,
    ready: Arc<health::ReadinessCache>,
    watches: Arc<run_watch::RunWatches>,
    /// Runs that are being planned, by their occurrences.
    planning: Arc<Mutex<HashSet<String>>>,
    /// Turns true when the service ends.
    stop: watch::Receiver<bool>,
}

impl App {
    /// Of a service.
    pub fn new(service: Service, stop: watch::Receiver<bool>) -> Self {
        let streams = Quota::new(api::STREAMS_OF_TOKEN, api::STREAMS);
        let exports = Quota::new(api::EXPORTS_OF_TOKEN, api::EXPORTS);
        let arriving = Quota::new(api::ARRIVING_OF_TOKEN, api::ARRIVING);
        let uploads = Arc::new(tokio::sync::Semaphore::new(api::UPLOADS));
        Self {
            service,
            wrong: Arc::default(),
            streams,
            exports,
            arriving,
            uploads,
            webhook_limiter: Arc::default(),
            ready: Arc::default(),
            watches: Arc::default(),
            planning: Arc::default(),
            stop,
        }
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.service.engine
    }

    /// What is before every path.
    fn base_path(&self) -> &str {
        &self.engine().config.server.base_path
    }

    fn planning(&self) -> MutexGuard<'_, HashSet<String>> {
        self.planning.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that is served.
pub fn router(app: App, listen: IpAddr) -> Router {
    let hosts = Arc::new(hosts::Hosts::of(&app.engine().config, listen));
    let (api, document) = api::router(&app);
    // Anybody may ask for it: it is written once.
    let document = printable_json::Constant::of(&document.to_json().unwrap_or_default());
    let notifications =
        webhooks::router(Arc::clone(app.engine()), Arc::clone(&app.webhook_limiter));
    let metrics = get(metrics::metrics).layer(from_fn_with_state(app.clone(), auth::viewer));
    let base = app.base_path().to_owned();
    let whole = Router::new()
        .merge(api)
        .route("/api/openapi.json", get(|| async move { document }))
        .route("/metrics", metrics)
        .merge(dashboard::router(&app))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            TIMEOUT,
        ))
        // Gateways know no token: what they say is signed.
        .merge(notifications)
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(nothing_here)
        .method_not_allowed_fallback(|| async { ApiError::method() })
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(from_fn_with_state(hosts, hosts::check))
        .layer(from_fn(printable_json::escape))
        .layer(CatchPanicLayer::new())
        .layer(from_fn(request_id::tag))
        .layer(from_fn(connections::watch))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .with_state(app);
    if base.is_empty() {
        return whole;
    }
    // What asks whether the service is alive need not know what is before its paths.
    let within = map_request_with_state(Arc::<str>::from(base), without_base).layer(whole);
    Router::new()
        .route("/healthz", get(health::alive))
        .fallback_service(within)
}

/// Takes off what is before all paths: what serves them sees them as the documents have them.
async fn without_base(
    State(base): State<Arc<str>>,
    mut request: Request,
) -> Result<Request, ApiError> {
    let nothing = || {
        ApiError::not_found(format!(
            "there is nothing at this path; all are below {base}"
        ))
    };
    let uri = request.uri();
    let path = uri.path().strip_prefix(&*base).ok_or_else(nothing)?;
    let path = match path {
        "" => "/",
        path if path.starts_with('/') => path,
        _ => return Err(nothing()),
    };
    let within = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    *request.uri_mut() = within.parse().map_err(|_| nothing())?;
    Ok(request)
}

async fn nothing_here(State(app): State<App>, request: Request) -> Response {
    let here = request.uri().path().to_owned();
    match dashboard::missing(&app, request.headers(), &here).await {
        Some(page) => page,
        None => ApiError::not_found(
            "there is nothing at this path; /api/openapi.json lists what there is",
        )
        .into_response(),
    }
}

/// A listener that is bound.
#[derive(Debug)]
pub struct Listener {
    listener: std::net::TcpListener,
    tls: Option<ServerCertificate>,
}

impl Listener {
    /// Binds to an address. `config`: the file that names the certificate, which is read again when
    /// that is renewed.
    ///
    /// # Errors
    /// [`ServerError`] if the address cannot be had or the certificate is none.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<&TlsConfig>,
        config: &Path,
    ) -> Result<Self, ServerError> {
        let cannot = |source| ServerError::Bind { address, source };
        let listener = listen(address).map_err(cannot)?;
        let tls = match tls {
            None => None,
            Some(tls) => Some(ServerCertificate::read(tls, config).await?),
        };
        Ok(Self { listener, tls })
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Where it listens, for a browser.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.address()
            .map(|address| format!("{scheme}://{address}"))
            .unwrap_or_default()
    }

    /// Serves until told to stop; requests under way are finished.
    ///
    /// # Errors
    /// [`ServerError`] if the listener breaks.
    pub async fn serve(self, app: App) -> Result<(), ServerError> {
        let handle = Handle::new();
        let mut stop = app.stop.clone();
        let ending = handle.clone();
        tokio::spawn(async move {
            if stop.wait_for(|stop| *stop).await.is_ok() {
                ending.graceful_shutdown(Some(GRACE));
            }
        });
        let limit = ConnectionLimit::new(app.engine().config.server.connections);
        let listen = self.listener.local_addr()?.ip();
        let service = router(app, listen).into_make_service_with_connect_info::<SocketAddr>();
        let server = axum_server::from_tcp(self.listener)?
            .handle(handle)
            .acceptor(limit);
        let served = match self.tls {
            Some(tls) => {
                let acceptor = tls.acceptor();
                tokio::select! {
                    served = http1(server.map(|inner| acceptor.acceptor(inner))).serve(service) => served,
                    never = tls.renew_forever() => match never {},
                }
            }
            None => http1(server).serve(service).await,
        };
        served.map_err(ServerError::Serve)
    }
}

/// Binds; what the kernel keeps of answers that nobody reads is bounded.
fn listen(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(UNREAD_MAX)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)?.into_std()
}

/// HTTP/1 and no other. The last thing that is said of a server: another acceptor undoes it.
fn http1<A>(server: Server<SocketAddr, A>) -> Server<SocketAddr, A> {
    let mut server = server.http1_only();
    bound(server.http_builder());
    server
}

/// Why nothing is served.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The address cannot be had.
    #[error("the service cannot listen on {address}")]
    Bind {
        /// Which one.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificate and its key are none.
    #[error("the certificate {file} and its key cannot be used")]
    Certificate {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The listener broke.
    #[error("the listener broke")]
    Serve(#[from] std::io::Error),
}
