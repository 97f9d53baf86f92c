//! Where the access token comes from: a secret that stays, or a request that fetches one and is
//! made again before it expires.
//!
//! CBTIS documents neither the request nor its reply \[C\], so both are configuration. A token is
//! had *before* an order is sent: an order whose token cannot be had is not sent. A token that was
//! refused is fetched anew for the next call, never for the same one.

use std::sync::{Mutex as StdMutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::Mutex;

use crate::cbtis::account::{AccessToken, TokenRequest};
use crate::exchange::{self, beforehand};
use crate::transport::{Transport, TransportFailure};
use payrun_domain::time::Timestamp;
use payrun_system::clock::Clock;

/// How long before a token expires it is no longer used.
const MARGIN: Duration = Duration::from_secs(60);

/// The token of an account.
#[derive(Debug)]
pub(super) struct TokenCache {
    source: AccessToken,
    held: StdMutex<Option<HeldToken>>,
    /// How many requests for one failed, and why the last did.
    failed: StdMutex<(u64, Option<NoToken>)>,
    /// Held while a token is being fetched, so that there is one request at a time.
    tx: Mutex<()>,
}

#[derive(Debug, Clone)]
struct HeldToken {
    token: SecretString,
    until: Timestamp,
    /// Whether the gateway has ever taken it.
    taken: bool,
}

/// Why there is no token; nothing of an order was sent then.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum NoToken {
    /// The request for one did not get through.
    #[error("no access token: {0}")]
    NotAsked(TransportFailure),
    /// The gateway does not give us one.
    #[error("no access token: HTTP {http}")]
    Refused {
        /// The HTTP status.
        http: u16,
    },
    /// The reply holds none.
    #[error("no access token: {0}")]
    Unreadable(String),
    /// The reply did not come in time.
    #[error("the access token cannot be had: timed out")]
    Slow,
}

impl TokenCache {
    pub(super) fn new(source: AccessToken) -> Self {
        Self {
            source,
            held: StdMutex::default(),
            failed: StdMutex::default(),
            tx: Mutex::default(),
        }
    }

    /// A token that is valid now.
    ///
    /// # Errors
    /// If none could be had; nothing of an order was sent then. A request that is not answered
    /// `within` this time has failed, for all who wait for it.
    pub(super) async fn get(
        &self,
        base: &str,
        transport: &Transport,
        clock: &Clock,
        within: Duration,
    ) -> Result<SecretString, NoToken> {
        let request = match &self.source {
            AccessToken::Fixed(token) => return Ok(token.clone()),
            AccessToken::Fetched(request) => request,
        };
        if let Some(token) = self.valid(clock.now()) {
            return Ok(token);
        }
        let seen = self.failed().0;
        let _turn = self.tx.lock().await;
        if let Some(token) = self.valid(clock.now()) {
            return Ok(token);
        }
        let (failures, why) = self.failed().clone();
        if let Some(why) = why.filter(|_| failures > seen) {
            return Err(why);
        }
        let fetched = tokio::time::timeout(
            beforehand(within),
            fetch(request, base, transport, clock.now()),
        )
        .await;
        let held = fetched.unwrap_or(Err(NoToken::Slow)).inspect_err(|why| {
            *self.failed() = (failures + 1, Some(why.clone()));
        })?;
        let token = held.token.clone();
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        Ok(token)
    }

    /// Notes that the gateway took a token.
    pub(super) fn taken(&self, token: &SecretString) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held
            .as_mut()
            .filter(|held| held.token.expose_secret() == token.expose_secret())
        {
            held.taken = true;
        }
    }

    /// Forgets a token that was refused, unless another has taken its place. Says whether another
    /// would be refused too: a token that stays, or one that was fetched and never taken.
    pub(super) fn refused(&self, token: &SecretString) -> bool {
        if matches!(self.source, AccessToken::Fixed(_)) {
            return true;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = held.take_if(|held| held.token.expose_secret() == token.expose_secret());
        refused.is_some_and(|refused| !refused.taken)
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, (u64, Option<NoToken>)> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn valid(&self, now: Timestamp) -> Option<SecretString> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref()
            .filter(|held| now < held.until)
            .map(|held| held.token.clone())
    }
}

async fn fetch(
    request: &TokenRequest,
    base: &str,
    transport: &Transport,
    now: Timestamp,
) -> Result<HeldToken, NoToken> {
    let body = request
        .body
        .as_ref()
        .map(|body| Bytes::from(body.expose_secret().to_owned()));
    let mut headers: Vec<(&str, &str)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose_secret()))
        .collect();
    if body.is_some() {
        headers.push(("content-type", "application/json"));
    }
    let body = body.unwrap_or_default();
    let sent = exchange::request(Method::POST, &request.path, body, &headers)
        .map_err(|why| NoToken::NotAsked(TransportFailure::NotSent(why)))?;
    let reply = transport
        .send(base, sent)
        .await
        .map_err(NoToken::NotAsked)?;
    if !reply.status().is_success() {
        return Err(NoToken::Refused {
            http: reply.status().as_u16(),
        });
    }
    let unreadable = |why: &str| NoToken::Unreadable(why.to_owned());
    let reply: Value =
        serde_json::from_slice(reply.body()).map_err(|_| unreadable("the reply is no JSON"))?;
    let token = at(&reply, &request.token_field)
        .and_then(Value::as_str)
        .filter(|token| !token.is_empty());
    let token =
        token.ok_or_else(|| unreadable(&format!("the reply has no {}", request.token_field)))?;
    let told = at(&reply, &request.expires_field).and_then(|told| lifetime(told, now));
    let lifetime = told.unwrap_or(request.lifetime);
    // A token that lives no longer than the margin is used for half of its life.
    let usable = if lifetime > MARGIN * 2 {
        lifetime - MARGIN
    } else {
        lifetime / 2
    };
    Ok(HeldToken {
        token: SecretString::from(token),
        until: now.plus(usable),
        taken: false,
    })
}

/// How long a token lives: seconds, or an instant in ISO 8601 at which it ends; none if it is told
/// otherwise.
fn lifetime(told: &Value, now: Timestamp) -> Option<Duration> {
    if let Some(seconds) = told.as_u64() {
        return Some(Duration::from_secs(seconds));
    }
    let text = told.as_str()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let read = chrono::DateTime::parse_from_rfc3339(text);
    // Without a colon in the offset, too.
    let end = read
        .or_else(|_| chrono::DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z"))
        .ok()?;
    let left = end.timestamp_millis().saturating_sub(now.millis()).max(0);
    Some(Duration::from_millis(u64::try_from(left).ok()?))
}

/// The value at a path such as `data.access_token`.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.')
        .try_fold(value, |value, name| value.get(name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lifetime_is_seconds_or_an_instant() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let seconds = |told: Value| lifetime(&told, now).map(|lifetime| lifetime.as_secs());
        assert_eq!(
            (seconds(json!(1800)), seconds(json!("1800"))),
            (Some(1800), Some(1800))
        );
        for end in [
            "2027-01-15T08:30:00Z",
            "2027-01-15T16:30:00+08:00",
            "2027-01-15T08:30:00+0000",
            "2027-01-15T08:30:00.000+0000",
        ] {
            assert_eq!(seconds(json!(end)), Some(1800), "{end}");
        }
        assert_eq!(seconds(json!("2027-01-15T07:00:00Z")), Some(0));
        assert_eq!((seconds(json!("soon")), seconds(json!(null))), (None, None));
    }
}
