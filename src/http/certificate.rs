//! The service's own certificate, taken up anew when it is renewed.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use secrecy::ExposeSecret;

use super::ServerError;
use crate::config::TlsConfig;
use crate::errors::chain;

/// How often the file is looked at.
const TICK: Duration = Duration::from_secs(5);

/// A certificate that is in use, and where it came from.
#[derive(Debug)]
pub(super) struct ServerCertificate {
    tls: RustlsConfig,
    file: PathBuf,
    /// Names the certificate and its key.
    config: PathBuf,
    changed: Option<SystemTime>,
}

impl ServerCertificate {
    /// Reads it.
    pub async fn read(tls: &TlsConfig, config: &Path) -> Result<Self, ServerError> {
        // Another part of the program may have chosen it before: it is the same one.
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .ok();
        let changed = changed(&tls.certificate);
        let (file, config) = (tls.certificate.clone(), config.to_owned());
        Ok(Self {
            tls: RustlsConfig::from_config(settings(tls).await?),
            file,
            config,
            changed,
        })
    }

    /// Shows it to whoever connects.
    pub fn acceptor(&self) -> RustlsAcceptor {
        RustlsAcceptor::new(self.tls.clone())
    }

    /// Takes it up anew whenever it is renewed.
    pub async fn renew_forever(mut self) -> Infallible {
        loop {
            tokio::time::sleep(TICK).await;
            let now = changed(&self.file);
            if now.is_some() && now != self.changed {
                self.renew(now).await;
            }
        }
    }

    /// What cannot be read now, the key being still the old one perhaps, is tried again.
    async fn renew(&mut self, now: Option<SystemTime>) {
        let file = self.file.display();
        let tls = match crate::config::load::load(&self.config) {
            Ok(config) => config.server.tls,
            Err(mistakes) => {
                return tracing::error!(%file, %mistakes, "a renewed certificate is not taken up");
            }
        };
        let Some(tls) = tls else { return };
        match settings(&tls).await {
            Ok(settings) => {
                self.tls.reload_from_config(settings);
                self.changed = now;
                tracing::info!(%file, "a renewed certificate is taken up");
            }
            Err(error) => {
                tracing::error!(%file, error = chain(&error), "a renewed certificate is not taken up")
            }
        }
    }
}

fn changed(file: &Path) -> Option<SystemTime> {
    std::fs::metadata(file)
        .and_then(|file| file.modified())
        .ok()
}

async fn settings(tls: &TlsConfig) -> Result<Arc<rustls::ServerConfig>, ServerError> {
    let file = tls.certificate.display().to_string();
    let unusable = |source| ServerError::Certificate {
        file: file.clone(),
        source,
    };
    let chain = tokio::fs::read(&tls.certificate).await.map_err(unusable)?;
    let key = tls.key.expose_secret().as_bytes().to_vec();
    let config = RustlsConfig::from_pem(chain, key).await.map_err(unusable)?;
    let mut http1 = rustls::ServerConfig::clone(&config.get_inner());
    http1.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(http1))
}
