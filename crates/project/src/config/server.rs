//! The section `server:` of `payrun.yaml`: where the service listens.
//!
//! Another address than this machine's own needs TLS, its own or a proxy's: what is said there
//! moves money.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use secrecy::SecretString;

use payrun_yaml::fields::{FieldSpec, ValueShape, boolean, integer_of, text_of};
use payrun_yaml::node::YamlNode;

use super::load::FileContext;
use super::urls::url_parts;

/// Where the service listens if nothing else is said.
pub const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8420);

/// Where the API has reports.
pub const REPORTS: &str = "/api/v1/reports";

/// The fields of `server:`.
pub(super) static FIELDS: [FieldSpec; 7] = [
    FieldSpec::optional(
        "listen",
        ValueShape::Text,
        "The address and port of the service; 127.0.0.1:8420 if not given.",
    ),
    FieldSpec::optional(
        "tls",
        ValueShape::Fields(&TLS),
        "The certificate of the service, where it speaks TLS itself.",
    ),
    FieldSpec::optional(
        "behind_proxy",
        ValueShape::Boolean,
        "true: only a proxy that speaks TLS reaches the service, and names the caller in the last X-Forwarded-For.",
    ),
    FieldSpec::optional(
        "hosts",
        ValueShape::List(&ValueShape::Text),
        "The names that people and programs call the service by, beside localhost, the address it listens on and, for notifications alone, those of notify_url; \
         what is for another host is refused.",
    ),
    FieldSpec::optional(
        "public_url",
        ValueShape::Text,
        "What people and programs reach the service by, such as https://payrun.example.com: mails and reports name links with it. Its host is \
         one of hosts.",
    ),
    FieldSpec::optional(
        "base_path",
        ValueShape::Text,
        "What is before every path of the service, such as /payrun, where a proxy leaves it there; nothing if not given.",
    ),
    FieldSpec::optional(
        "connections",
        ValueShape::Fields(&CONNECTIONS),
        "How many connections are open at once.",
    ),
];

static CONNECTIONS: [FieldSpec; 2] = [
    FieldSpec::optional(
        "total",
        ValueShape::Integer(10, 100_000),
        "At most so many; 500 if not given.",
    ),
    FieldSpec::optional(
        "per_address",
        ValueShape::Integer(1, 100_000),
        "Of one address at most so many. If not given 50; as many as in total of this machine's own, and with behind_proxy, where all \
         come from the proxy's.",
    ),
];

static TLS: [FieldSpec; 2] = [
    FieldSpec::required(
        "certificate",
        ValueShape::Text,
        "The file of the certificate and its chain, as PEM.",
    ),
    FieldSpec::required("key", ValueShape::Secret, "Its private key, as PEM."),
];

/// Where the service listens.
#[derive(Debug)]
pub struct ServerConfig {
    /// The address.
    pub listen: SocketAddr,
    /// Its certificate, where it speaks TLS itself.
    pub tls: Option<TlsConfig>,
    /// Whether only a proxy reaches it.
    pub behind_proxy: bool,
    /// The names it goes by beside those that are its own anyway.
    pub hosts: Vec<String>,
    /// What it is reached by, without a slash at the end.
    pub public_url: Option<PublicUrl>,
    /// What is before every path: empty, or from a slash to no slash.
    pub base_path: String,
    /// How many connections it has at once.
    pub connections: ConnectionsConfig,
}

/// How many connections are open at once: where there are so many, a new one gets the place of one
/// that proves nothing.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionsConfig {
    /// Of all.
    pub total: usize,
    /// Of one address.
    pub per_address: usize,
    /// Of an address of this machine, where a proxy may be.
    pub per_own_address: usize,
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        Self {
            total: 500,
            per_address: 50,
            per_own_address: 500,
        }
    }
}

/// A certificate of the service.
#[derive(Debug)]
pub struct TlsConfig {
    /// The file of the certificate and its chain.
    pub certificate: PathBuf,
    /// Its private key, as PEM.
    pub key: SecretString,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: DEFAULT_LISTEN,
            tls: None,
            behind_proxy: false,
            hosts: Vec::new(),
            public_url: None,
            base_path: String::new(),
            connections: ConnectionsConfig::default(),
        }
    }
}

/// What people and programs reach the service by, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Scheme, host and perhaps a path; https, or http on this machine itself.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (_, path) = url_parts(text)?;
        if path.contains(['?', '#']) {
            return Err("public_url must not have a query");
        }
        if text.len() > 256 {
            return Err("public_url takes at most 256 characters");
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }

    /// The link to a report, by its name such as `runs/run-7.html`.
    pub fn report(&self, name: &str) -> String {
        format!("{}{REPORTS}/{name}", self.0)
    }

    /// The link to the page of a batch that waits for approval. The job's name is one of a workflow:
    /// nothing in it stands for anything else in a link.
    pub fn approval(&self, run: i64, job: &str) -> String {
        format!("{}/approvals/{run}/{job}", self.0)
    }

    /// Its host.
    pub fn host(&self) -> Option<&str> {
        url_parts(&self.0).ok().map(|(host, _)| host)
    }
}

/// What people open a report by whose file lies at a place: its link, where it is known what the
/// service is reached by; else the place.
pub fn report_link_or_place(url: Option<&PublicUrl>, place: &str) -> String {
    let name = place.rsplit_once("/reports/").map(|(_, name)| name);
    url.zip(name)
        .map_or_else(|| place.to_owned(), |(url, name)| url.report(name))
}

impl FileContext<'_> {
    pub(super) fn server(&mut self, node: &YamlNode) -> ServerConfig {
        let behind_proxy = node.get("behind_proxy").and_then(boolean) == Some(true);
        let tls = node.get("tls").and_then(|tls| self.tls(tls));
        let listen = node
            .get("listen")
            .and_then(|node| Some((node.at, node.text()?)));
        let address = listen.map_or(Ok(DEFAULT_LISTEN), |(_, text)| text.parse::<SocketAddr>());
        let Ok(address) = address else {
            let at = listen.map_or(node.at, |(at, _)| at);
            self.refuse(
                at,
                "this is no address with a port",
                "such as 127.0.0.1:8420 or 0.0.0.0:8420",
            );
            return ServerConfig::default();
        };
        if !address.ip().is_loopback() && node.get("tls").is_none() && !behind_proxy {
            let help =
                "give it tls: { certificate, key }, or behind_proxy: true where a proxy speaks TLS";
            let at = listen.map_or(node.at, |(at, _)| at);
            self.refuse(
                at,
                "beyond this machine the service listens with TLS only",
                help,
            );
        }
        let hosts = node
            .get("hosts")
            .map_or_else(Vec::new, |hosts| self.hosts(hosts));
        ServerConfig {
            listen: address,
            tls,
            behind_proxy,
            hosts,
            public_url: node
                .get("public_url")
                .and_then(|node| self.public_url(node)),
            base_path: self.base_path(node),
            connections: connections(node, behind_proxy),
        }
    }

    fn base_path(&mut self, node: &YamlNode) -> String {
        let Some((at, text)) = node
            .get("base_path")
            .and_then(|node| Some((node.at, node.text()?)))
        else {
            return String::new();
        };
        let is_part = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        let parts = text.strip_prefix('/').map(|path| path.split('/'));
        if text.len() <= 128 && parts.is_some_and(|mut parts| parts.all(is_part)) {
            return text.to_owned();
        }
        self.refuse(
            at,
            "this is no path from a slash to no slash",
            "such as /payrun",
        );
        String::new()
    }

    fn public_url(&mut self, node: &YamlNode) -> Option<PublicUrl> {
        match PublicUrl::parse(node.text()?) {
            Ok(url) => Some(url),
            Err(problem) => {
                self.refuse(node.at, problem, "such as https://payrun.example.com");
                None
            }
        }
    }

    fn hosts(&mut self, node: &YamlNode) -> Vec<String> {
        let plain = |b: u8| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'[' | b']' | b':')
        };
        let mut hosts = Vec::new();
        for name in node.list() {
            let Some(text) = name.text() else { continue };
            let is_port = text
                .rsplit_once(':')
                .is_some_and(|(host, _)| !host.contains(':'));
            if text.is_empty() || is_port || !text.bytes().all(plain) {
                self.refuse(
                    name.at,
                    "this is no name of a host",
                    "a name or an address without scheme and port",
                );
            }
            hosts.push(text.to_owned());
        }
        hosts
    }

    fn tls(&mut self, node: &YamlNode) -> Option<TlsConfig> {
        let key = node.get("key").and_then(|key| self.secret(key))?;
        let certificate = self.folder.join(text_of(node, "certificate")?);
        Some(TlsConfig { certificate, key })
    }
}

fn connections(node: &YamlNode, behind_proxy: bool) -> ConnectionsConfig {
    let default = ConnectionsConfig::default();
    let given = |name| {
        node.get("connections")
            .and_then(|node| integer_of(node, name)?.try_into().ok())
    };
    let total = given("total").unwrap_or(default.total);
    let per_address: Option<usize> = given("per_address");
    let usual = if behind_proxy {
        total
    } else {
        default.per_address
    };
    ConnectionsConfig {
        total,
        per_address: per_address.unwrap_or(usual),
        per_own_address: per_address.unwrap_or(total),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_named_by_its_link_where_there_is_one() {
        let place = "/srv/files/reports/hk/reconcile-2026-03-01-2026-03-02.html";
        assert_eq!(report_link_or_place(None, place), place);
        let url = PublicUrl::parse("https://pay.example.com/payrun/").unwrap();
        assert_eq!(
            report_link_or_place(Some(&url), place),
            "https://pay.example.com/payrun/api/v1/reports/hk/reconcile-2026-03-01-2026-03-02.html"
        );
        assert_eq!(url.host(), Some("pay.example.com"));
        for wrong in [
            "pay.example.com",
            "http://pay.example.com",
            "https://a/?b",
            "ftp://a",
            "",
        ] {
            assert!(PublicUrl::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            report_link_or_place(Some(&url), "elsewhere.html"),
            "elsewhere.html"
        );
    }
}
