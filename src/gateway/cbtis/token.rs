//! Where the access token comes from: a secret that stays, or a request that fetches one and is made again before it expires.
//!
//! CBTIS documents neither the request nor its reply \[C\], so both are configuration. A token is had *before* an order is sent:
//! an order whose token cannot be had is not sent. A token that was refused is fetched anew for the next call, never for the
//! same one.

use std::sync::{Mutex as StdMutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::config::{AccessToken, TokenRequest};
use crate::domain::time::Timestamp;
use crate::gateway::exchange;
use crate::gateway::transport::Transport;

/// How long before a token expires it is no longer used.
const MARGIN: Duration = Duration::from_secs(60);

/// The token of an account.
#[derive(Debug)]
pub(super) struct Tokens {
    source: AccessToken,
    held: StdMutex<Option<Held>>,
    /// Held while a token is being fetched, so that there is one request at a time.
    turn: Mutex<()>,
}

#[derive(Debug, Clone)]
struct Held {
    token: SecretString,
    until: Timestamp,
}

impl Tokens {
    pub(super) fn new(source: AccessToken) -> Self {
        Self { source, held: StdMutex::default(), turn: Mutex::default() }
    }

    /// A token that is valid now.
    ///
    /// # Errors
    /// In words, if none could be had; nothing of an order was sent then.
    pub(super) async fn get(&self, base: &str, transport: &Transport, clock: &Clock) -> Result<SecretString, String> {
        let request = match &self.source {
            AccessToken::Fixed(token) => return Ok(token.clone()),
            AccessToken::Fetched(request) => request,
        };
        if let Some(token) = self.valid(clock.now()) {
            return Ok(token);
        }
        let _turn = self.turn.lock().await;
        if let Some(token) = self.valid(clock.now()) {
            return Ok(token);
        }
        let held = fetch(request, base, transport, clock.now()).await?;
        let token = held.token.clone();
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        Ok(token)
    }

    /// Forgets a token that was refused, unless another has taken its place.
    pub(super) fn refused(&self, token: &SecretString) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.as_ref().is_some_and(|held| held.token.expose_secret() == token.expose_secret()) {
            *held = None;
        }
    }

    fn valid(&self, now: Timestamp) -> Option<SecretString> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|held| now < held.until).map(|held| held.token.clone())
    }
}

async fn fetch(request: &TokenRequest, base: &str, transport: &Transport, now: Timestamp) -> Result<Held, String> {
    let body = Bytes::from(request.body.expose_secret().to_owned());
    let headers = [("content-type", "application/json")];
    let sent = exchange::request(Method::POST, &request.path, body, &headers)?;
    let reply = transport.send(base, sent).await.map_err(|error| format!("no access token: {error}"))?;
    if !reply.status().is_success() {
        return Err(format!("no access token: HTTP {}", reply.status().as_u16()));
    }
    let reply: Value = serde_json::from_slice(reply.body()).map_err(|_| "no access token: the reply is no JSON")?;
    let token = at(&reply, &request.token_field).and_then(Value::as_str).filter(|token| !token.is_empty());
    let token = token.ok_or_else(|| format!("no access token: the reply has no {}", request.token_field))?;
    let told = at(&reply, &request.expires_field).and_then(Value::as_u64).map(Duration::from_secs);
    let lifetime = told.unwrap_or(request.lifetime);
    // A token that lives no longer than the margin is used for half of its life.
    let usable = if lifetime > MARGIN * 2 { lifetime - MARGIN } else { lifetime / 2 };
    Ok(Held { token: SecretString::from(token), until: now.plus(usable) })
}

/// The value at a path such as `data.access_token`.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, name| value.get(name))
}
