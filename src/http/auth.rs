//! Who calls, and whether they may: a token in `Authorization`, looked up by its fingerprint with
//! every request, so that a revoked one is no longer good at once. A good one is never refused for
//! others' wrong ones: an address that gives wrong ones too often is told to wait, and the log
//! hears of few of them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;

use super::App;
use super::connections::Connection;
use super::dashboard;
use super::error::ApiError;
use super::token::Token;
use crate::domain::actor::Actor;
use crate::domain::role::Role;
use crate::ledger::{LedgerError, SessionRow};

/// How many wrong tokens an address may give in a while, and all addresses.
const WRONG: u32 = 10;
const WRONG_OF_ALL: u32 = 100;
const WHILE: Duration = Duration::from_secs(60);

/// How many addresses are remembered.
const ADDRESSES: usize = 10_000;

/// Who calls.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The name of the token.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// By what the ledger knows the token.
    pub(super) hash: [u8; 32],
    /// By what the ledger knows the session, where it is signed in to the dashboard.
    session: Option<[u8; 32]>,
    /// The way it came.
    via: &'static str,
}

impl Caller {
    /// Whoever is signed in by a token to the dashboard.
    pub fn at_dashboard(row: SessionRow, session: [u8; 32]) -> Self {
        Self {
            name: row.token.name,
            role: row.token.role,
            hash: row.token_hash,
            session: Some(session),
            via: "dashboard",
        }
    }

    /// Whether the token is still good, and the session, which ends with it or before it.
    pub async fn is_good(&self, app: &App) -> Result<bool, LedgerError> {
        let (ledger, now) = (&app.engine().ledger, app.engine().clock.now());
        Ok(match self.session {
            Some(session) => ledger.session(session, now).await?.is_some(),
            None => ledger.token_of(self.hash, now).await?.is_some(),
        })
    }

    /// As who it does what it does.
    ///
    /// # Errors
    /// If the token has a name that payrun itself goes by.
    pub fn actor(&self) -> Result<Actor, ApiError> {
        let actor = Actor::person(&self.name, &format!("{} ({})", self.via, self.role));
        actor.map_err(|error| {
            ApiError::refused("no_person", format!("the token {}: {error}", self.name))
        })
    }
}

/// Who gave wrong tokens, in a while.
#[derive(Debug, Default)]
pub struct WrongTokens(Mutex<Tally>);

#[derive(Debug)]
struct Tally {
    since: Instant,
    all: u32,
    of: HashMap<IpAddr, u32>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            since: tokio::time::Instant::now(),
            all: 0,
            of: HashMap::new(),
        }
    }
}

impl WrongTokens {
    /// Counts one; how long its address has to wait if there were too many.
    fn count(&self, address: Option<IpAddr>) -> Option<Duration> {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tally.since.elapsed() >= WHILE {
            *tally = Tally::default();
        }
        tally.all = tally.all.saturating_add(1);
        let mut own = 0;
        if let Some(address) =
            address.filter(|address| tally.of.len() < ADDRESSES || tally.of.contains_key(address))
        {
            let times = tally.of.entry(address).or_default();
            *times = times.saturating_add(1);
            own = *times;
        }
        let too_many = own > WRONG || tally.all > WRONG_OF_ALL;
        too_many.then(|| WHILE.saturating_sub(tally.since.elapsed()))
    }
}

/// Lets a request pass whose caller may do what is for viewers.
pub(super) async fn viewer(
    app: State<App>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    pass(&app, Role::Viewer, request, next).await
}

/// Lets a request pass whose caller may do what is for operators.
pub(super) async fn operator(
    app: State<App>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    pass(&app, Role::Operator, request, next).await
}

/// Lets a request pass whose caller may do what is for approvers.
pub(super) async fn approver(
    app: State<App>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    pass(&app, Role::Approver, request, next).await
}

async fn pass(
    app: &App,
    needed: Role,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let (address, token) = (
        address(app, &request),
        bearer(request.headers()).map(str::to_owned),
    );
    // Links of the dashboard's pages lead to the API's files. What changes anything wants a token.
    let session = match &token {
        Some(_) => None,
        None => dashboard::session_of_reading(&request),
    };
    let caller = match signed_in(app, session).await? {
        Some(caller) => caller,
        None => caller(app, address, token.as_deref()).await?,
    };
    if let Some(place) = request.extensions().get::<Arc<Connection>>() {
        place.know();
    }
    if !caller.role.may_do_as(needed) {
        return Err(ApiError::role_needed(needed, &caller));
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Who is signed in to the dashboard.
async fn signed_in(app: &App, session: Option<[u8; 32]>) -> Result<Option<Caller>, ApiError> {
    let Some(session) = session else {
        return Ok(None);
    };
    let now = app.engine().clock.now();
    let row = app.engine().ledger.session(session, now).await?;
    Ok(row.map(|row| Caller::at_dashboard(row, session)))
}

/// Whose token this is; a wrong one is counted against its address.
pub(super) async fn caller(
    app: &App,
    address: Option<IpAddr>,
    token: Option<&str>,
) -> Result<Caller, ApiError> {
    let Some(token) = token else {
        return Err(ApiError::unauthorized());
    };
    if let Some(token) = Token::parse(token) {
        let hash = token.hash();
        let found = app
            .engine()
            .ledger
            .token_of(hash, app.engine().clock.now())
            .await?;
        if let Some(token) = found {
            return Ok(Caller {
                name: token.name,
                role: token.role,
                hash,
                session: None,
                via: "api",
            });
        }
    }
    if let Some(left) = app.wrong.count(address) {
        return Err(ApiError::too_many(
            "too many wrong tokens",
            left.as_secs() + 1,
        ));
    }
    let address = address.map_or_else(|| "nowhere".to_owned(), |address| address.to_string());
    tracing::warn!(address, "a token that is not good was given");
    Err(ApiError::bad_token())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Where a request comes from: behind a proxy, what that proxy says.
pub(super) fn address(app: &App, request: &Request) -> Option<IpAddr> {
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0.ip());
    if !app.engine().config.server.behind_proxy {
        return peer;
    }
    let forwarded = request
        .headers()
        .get_all("x-forwarded-for")
        .iter()
        .next_back();
    let last =
        forwarded.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    // What names nobody there is known by itself.
    last.or(peer)
}
