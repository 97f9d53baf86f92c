//! Who calls, and whether they may: a token in `Authorization`, looked up by its fingerprint with every request, so that a revoked one
//! is no longer good at once. An address that gives wrong ones too often waits.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;

use super::App;
use super::error::ApiError;
use super::token::Token;
use crate::domain::actor::Actor;
use crate::domain::role::Role;

/// How many wrong tokens an address may give in a while.
const WRONG: u32 = 10;
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
}

impl Caller {
    /// As who it does what it does.
    ///
    /// # Errors
    /// If the token has a name that payrun itself goes by.
    pub fn actor(&self) -> Result<Actor, ApiError> {
        let actor = Actor::person(&self.name, &format!("api ({})", self.role));
        actor.map_err(|error| ApiError::refused("no_person", format!("the token {}: {error}", self.name)))
    }
}

/// Addresses that gave wrong tokens.
#[derive(Debug, Default)]
pub struct Wrong {
    addresses: Mutex<HashMap<IpAddr, (tokio::time::Instant, u32)>>,
}

impl Wrong {
    /// How long an address has to wait.
    fn wait(&self, address: IpAddr) -> Option<Duration> {
        let known = self.known();
        let (since, times) = known.get(&address)?;
        let left = WHILE.checked_sub(since.elapsed())?;
        (*times >= WRONG).then_some(left)
    }

    fn note(&self, address: IpAddr) {
        let mut known = self.known();
        if known.len() >= ADDRESSES {
            known.retain(|_, (since, _)| since.elapsed() < WHILE);
        }
        if known.len() >= ADDRESSES && !known.contains_key(&address) {
            return;
        }
        let entry = known.entry(address).or_insert_with(|| (tokio::time::Instant::now(), 0));
        if entry.0.elapsed() >= WHILE {
            *entry = (tokio::time::Instant::now(), 0);
        }
        entry.1 += 1;
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, (tokio::time::Instant, u32)>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets a request pass whose caller may do what is for viewers.
pub(super) async fn viewer(app: State<App>, request: Request, next: Next) -> Result<Response, ApiError> {
    pass(&app, Role::Viewer, request, next).await
}

/// Lets a request pass whose caller may do what is for operators.
pub(super) async fn operator(app: State<App>, request: Request, next: Next) -> Result<Response, ApiError> {
    pass(&app, Role::Operator, request, next).await
}

/// Lets a request pass whose caller may do what is for approvers.
pub(super) async fn approver(app: State<App>, request: Request, next: Next) -> Result<Response, ApiError> {
    pass(&app, Role::Approver, request, next).await
}

async fn pass(app: &App, needed: Role, mut request: Request, next: Next) -> Result<Response, ApiError> {
    let (address, token) = (address(app, &request), bearer(request.headers()).map(str::to_owned));
    let caller = caller(app, address, token.as_deref()).await?;
    if !caller.role.may_do_as(needed) {
        return Err(ApiError::forbidden(format!("this is for the role {needed}; {} is {}", caller.name, caller.role)));
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

async fn caller(app: &App, address: Option<IpAddr>, token: Option<&str>) -> Result<Caller, ApiError> {
    if let Some(left) = address.and_then(|address| app.wrong.wait(address)) {
        return Err(ApiError::too_many("too many wrong tokens from this address", left.as_secs() + 1));
    }
    let Some(token) = token else { return Err(ApiError::unauthorized()) };
    let found = match Token::parse(token) {
        Some(token) => app.engine().ledger.token_of(token.hash(), app.engine().clock.now()).await?,
        None => None,
    };
    match found {
        Some(token) => Ok(Caller { name: token.name, role: token.role }),
        None => {
            if let Some(address) = address {
                app.wrong.note(address);
                tracing::warn!(%address, "a token that is not good was given");
            }
            Err(ApiError::bad_token())
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Where a request comes from: behind a proxy, what that proxy says.
fn address(app: &App, request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    if !app.engine().config.server.behind_proxy {
        return peer;
    }
    let forwarded = request.headers().get_all("x-forwarded-for").iter().next_back();
    let last = forwarded.and_then(|value| value.to_str().ok()?.rsplit(',').next()?.trim().parse().ok());
    // What names nobody there is known by itself.
    last.or(peer)
}
