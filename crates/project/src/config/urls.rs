//! Addresses and ids of gateway accounts, checked.

use std::net::IpAddr;

use payrun_yaml::node::YamlNode;

use super::load::FileContext;

impl FileContext<'_> {
    /// An id: letters, digits, `_` and `-`, at most so many.
    pub(super) fn bounded(&mut self, node: &YamlNode, name: &str, max: usize) -> Option<String> {
        let value = node.get(name)?;
        let text = value.text()?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if (1..=max).contains(&text.len()) && text.bytes().all(allowed) {
            return Some(text.to_owned());
        }
        self.refuse(
            value.at,
            format!("{name} takes 1 to {max} letters, digits, _ and -"),
            "",
        );
        None
    }

    /// Scheme and host of the gateway; `default` where the file may leave it out.
    pub(super) fn base_url(&mut self, node: &YamlNode, default: Option<&str>) -> Option<String> {
        let Some(value) = node.get("base_url") else {
            return default.map(str::to_owned);
        };
        let text = value.text()?.trim_end_matches('/');
        let problem = match url_parts(text) {
            Err(problem) => problem,
            Ok((_, path)) if !path.is_empty() => "base_url is scheme and host only, without a path",
            Ok(_) => return Some(text.to_owned()),
        };
        self.refuse(
            value.at,
            problem,
            &format!("such as {}", default.unwrap_or("https://api.example.com")),
        );
        None
    }

    /// Where the gateway at `base_url` sends notifications: https, without a query, and where it
    /// can get to (WeChat Pay says so of its own, docs/gateways/wechat.md, "Notes to the table"). A
    /// sandbox on this machine takes plain http to this machine, too.
    pub(super) fn notify_url(&mut self, node: &YamlNode, base_url: Option<&str>) -> Option<String> {
        let value = node.get("notify_url")?;
        let text = value.text()?;
        let is_remote = base_url
            .and_then(|url| url_parts(url).ok())
            .is_some_and(|(host, _)| !is_loopback(host));
        let problem = match url_parts(text) {
            Err(problem) => problem,
            Ok(_) if text.len() > 256 => "notify_url takes at most 256 characters",
            Ok((_, path)) if path.contains(['?', '#']) => "notify_url must not have a query",
            Ok(_) if is_remote && !text.starts_with("https://") => {
                "notify_url must be https: the gateway refuses another"
            }
            Ok((host, _)) if is_remote && is_private(host) => {
                "notify_url is an address that the gateway cannot get to: it must be one of the public internet"
            }
            Ok(_) => return Some(text.to_owned()),
        };
        self.refuse(value.at, problem, "such as https://pay.example.com/notify");
        None
    }

    /// A path of a gateway or of ours: begins with `/`, printable, no query; `default` if it is not
    /// given.
    pub(super) fn path(&mut self, node: &YamlNode, name: &str, default: &str) -> Option<String> {
        let Some(value) = node.get(name) else {
            return Some(default.to_owned());
        };
        let text = value.text()?;
        let printable = |b: u8| b > b' ' && b < 0x7f && !matches!(b, b'?' | b'#' | b'"');
        if text.starts_with('/') && text.len() <= 256 && text.bytes().all(printable) {
            return Some(text.to_owned());
        }
        self.refuse(
            value.at,
            format!("{name} is a path: it begins with / and has no query"),
            "",
        );
        None
    }
}

/// Host and path of a URL; https, or http on this machine itself.
pub(super) fn url_parts(text: &str) -> Result<(&str, &str), &'static str> {
    let (scheme, rest) = text.split_once("://").ok_or("this is no URL")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        Some(_) if !authority.ends_with(']') => {
            return Err("this is no URL: the port is no number");
        }
        Some(_) | None => authority,
    };
    let allowed =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'[' | b']' | b':');
    if host.is_empty() || !host.bytes().all(allowed) || path.bytes().any(|b| b <= b' ' || b >= 0x7f)
    {
        return Err("this is no URL: the host or path has characters that do not belong there");
    }
    match scheme {
        "https" => Ok((host, path)),
        "http" if is_loopback(host) => Ok((host, path)),
        "http" => Err("http is for this machine itself (127.0.0.1, localhost); use https"),
        _ => Err("the URL must begin with https://"),
    }
}

/// Whether a host is this machine or an address of a network of one's own.
fn is_private(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_local = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || v4.is_unspecified(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified(),
    };
    is_loopback(host) || bare.parse().is_ok_and(is_local)
}

pub(super) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
