//! For whom a request is: a name that is not ours is how a page of a stranger reaches a service on
//! the reader's own machine.
//!
//! Ours are the names of `server.hosts`, that of `server.public_url`, those of this machine's loopback and the address that is
//! listened on (any address where all are); for notifications also where the gateways were told to
//! send them; whatever the port. `/healthz` says nothing of anybody, and is for all.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use crate::config::{Config, PublicUrl};

/// The names that are ours.
#[derive(Debug)]
pub(super) struct Hosts {
    names: BTreeSet<String>,
    /// For notifications alone: the gateways call us so.
    told: BTreeSet<String>,
    listen: IpAddr,
}

impl Hosts {
    /// Of a project that listens on an address.
    pub fn of(config: &Config, listen: IpAddr) -> Self {
        let named = config.server.hosts.iter().map(String::as_str);
        let names = named
            .chain(config.server.public_url.as_ref().and_then(PublicUrl::host))
            .map(plain)
            .collect();
        let told = config
            .gateways
            .values()
            .filter_map(|gateway| gateway.notify_host().map(plain))
            .collect();
        Self {
            names,
            told,
            listen,
        }
    }

    fn has(&self, host: &str, path: &str) -> bool {
        let host = plain(host);
        if path.starts_with("/notify/") && self.told.contains(&host) {
            return true;
        }
        if let Ok(address) = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
        {
            return address.is_loopback()
                || address == self.listen
                || self.listen.is_unspecified()
                || self.names.contains(&host);
        }
        host == "localhost" || self.names.contains(&host)
    }
}

/// A name as it is compared.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// Refuses what is for another host.
pub(super) async fn check(
    State(hosts): State<Arc<Hosts>>,
    request: Request,
    next: Next,
) -> Response {
    if request.uri().path() == "/healthz" {
        return next.run(request).await;
    }
    let mut all = request.headers().get_all(HOST).iter();
    let given = all
        .next()
        .and_then(|host| host.to_str().ok()?.parse::<Authority>().ok())
        // A name before an @ is no part of a Host, and whoever reads it otherwise takes it for one.
        .filter(|host| !host.as_str().contains('@'));
    if all.next().is_some() {
        return ApiError::invalid("the request has two Host headers").into_response();
    }
    let named = [request.uri().host(), given.as_ref().map(Authority::host)];
    let ours = given.is_some()
        && named
            .into_iter()
            .flatten()
            .all(|host| hosts.has(host, request.uri().path()));
    if ours {
        next.run(request).await
    } else {
        ApiError::misdirected().into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_ours_in_whatever_case_and_an_address_where_it_is_listened_on() {
        let hosts = |listen: &str| Hosts {
            names: BTreeSet::from(["pay.example.com".to_owned()]),
            told: BTreeSet::from(["notify.example.com".to_owned()]),
            listen: listen.parse().unwrap(),
        };
        for ours in [
            "localhost",
            "LOCALHOST.",
            "127.0.0.1",
            "127.8.8.8",
            "[::1]",
            "Pay.Example.com",
            "10.0.0.7",
        ] {
            assert!(hosts("10.0.0.7").has(ours, "/api/v1/runs"), "{ours}");
        }
        for strange in [
            "example.com",
            "localhost.example.com",
            "10.0.0.8",
            "",
            "xlocalhost",
        ] {
            assert!(!hosts("10.0.0.7").has(strange, "/api/v1/runs"), "{strange}");
        }
        assert!(hosts("0.0.0.0").has("10.0.0.8", "/") && !hosts("0.0.0.0").has("example.com", "/"));
        let told = |path| hosts("10.0.0.7").has("notify.example.com", path);
        assert!(told("/notify/hk") && !told("/api/v1/runs") && !told("/"));
    }
}
