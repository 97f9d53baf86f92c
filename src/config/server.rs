//! The section `server:` of `payrun.yaml`: where the service listens.
//!
//! Another address than this machine's own needs TLS, its own or a proxy's: what is said there moves money.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use secrecy::SecretString;

use crate::yaml::fields::{FieldSpec, Shape, boolean, text_of};
use crate::yaml::node::Node;

use super::load::Reading;

/// Where the service listens if nothing else is said.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8420);

/// The fields of `server:`.
pub(super) static FIELDS: [FieldSpec; 3] = [
    FieldSpec::optional("listen", Shape::Text, "The address and port of the service; 127.0.0.1:8420 if not given."),
    FieldSpec::optional("tls", Shape::Fields(&TLS), "The certificate of the service, where it speaks TLS itself."),
    FieldSpec::optional(
        "behind_proxy",
        Shape::Boolean,
        "true: only a proxy that speaks TLS reaches the service, and names the caller in the last X-Forwarded-For.",
    ),
];

static TLS: [FieldSpec; 2] = [
    FieldSpec::required("certificate", Shape::Text, "The file of the certificate and its chain, as PEM."),
    FieldSpec::required("key", Shape::Secret, "Its private key, as PEM."),
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
        Self { listen: DEFAULT_LISTEN, tls: None, behind_proxy: false }
    }
}

impl Reading<'_> {
    pub(super) fn server(&mut self, node: &Node) -> ServerConfig {
        let behind_proxy = node.get("behind_proxy").and_then(boolean) == Some(true);
        let tls = node.get("tls").and_then(|tls| self.tls(tls));
        let listen = node.get("listen").and_then(|node| Some((node.at, node.text()?)));
        let address = listen.map_or(Ok(DEFAULT_LISTEN), |(_, text)| text.parse::<SocketAddr>());
        let Ok(address) = address else {
            let at = listen.map_or(node.at, |(at, _)| at);
            self.refuse(at, "this is no address with a port", "such as 127.0.0.1:8420 or 0.0.0.0:8420");
            return ServerConfig::default();
        };
        if !address.ip().is_loopback() && node.get("tls").is_none() && !behind_proxy {
            let help = "give it tls: { certificate, key }, or behind_proxy: true where a proxy speaks TLS";
            let at = listen.map_or(node.at, |(at, _)| at);
            self.refuse(at, "beyond this machine the service listens with TLS only", help);
        }
        ServerConfig { listen: address, tls, behind_proxy }
    }

    fn tls(&mut self, node: &Node) -> Option<TlsConfig> {
        let key = node.get("key").and_then(|key| self.secret(key))?;
        let certificate = self.folder.join(text_of(node, "certificate")?);
        Some(TlsConfig { certificate, key })
    }
}
