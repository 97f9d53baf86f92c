//! A project folder, opened: its configuration, job kinds, ledger and gateway accounts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::ExposeSecret;

use super::Context;
use super::exit::Failure;
use super::output::counted;
use crate::clock::Clock;
use crate::config::{Config, Database, DatabaseTls, GatewayConfig, GatewayKind};
use crate::engine::maintenance::reseal::{MissingKey, missing_keys};
use crate::engine::vault::Vault;
use crate::engine::{Account, AccountWatch, CallPace, Engine};
use crate::files::Files;
use crate::gateway::transport::Transport;
use crate::gateway::{Gateway, cbtis, egms, hipopay, wechat};
use crate::job_kinds::JobKinds;
use crate::ledger::{Ledger, unverified_server};
use crate::workflow::Workflow;

/// A project's configuration and job kinds.
#[derive(Debug)]
pub(super) struct Project {
    pub config: Arc<Config>,
    pub job_kinds: Arc<JobKinds>,
}

impl Project {
    /// Reads the configuration and the job kinds.
    pub fn load(context: &Context) -> Result<Self, Failure> {
        if !context.config.exists() {
            return Err(
                Failure::invalid(format!("there is no {}", context.config.display()))
                    .help("`payrun init NAME` makes a project; or name the file with --config"),
            );
        }
        let config = crate::config::load::load(&context.config)
            .map_err(|mistakes| Failure::invalid(mistakes.to_string()))?;
        server_is_verified(&config, &context.config)?;
        Vault::of(&config.encryption_keys).map_err(|error| Failure::invalid(error.to_string()))?;
        let job_kinds = match &config.jobs {
            None => JobKinds::built_in(),
            Some(folder) => JobKinds::with_overrides(folder)
                .map_err(|mistakes| Failure::invalid(mistakes.to_string()))?,
        };
        Ok(Self {
            config: Arc::new(config),
            job_kinds: Arc::new(job_kinds),
        })
    }

    /// The files of the folder for workflows; none if there is no such folder.
    pub fn workflow_files(&self) -> Result<Vec<PathBuf>, Failure> {
        match crate::workflow::load::files(&self.config.workflows) {
            Ok(files) => Ok(files),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Failure::invalid(format!(
                "the folder {} cannot be read: {error}",
                self.config.workflows.display()
            ))),
        }
    }

    /// Reads a workflow file.
    pub fn workflow(&self, path: &Path) -> Result<Arc<Workflow>, Failure> {
        crate::workflow::load::load(path, &self.job_kinds, &self.config)
            .map(Arc::new)
            .map_err(|mistakes| Failure::invalid(mistakes.to_string()))
    }

    /// Opens the ledger.
    pub async fn ledger(&self) -> Result<Ledger, Failure> {
        Ok(match &self.config.database {
            Database::Sqlite(path) => Ledger::open(path).await?,
            Database::Postgres(address) => Ledger::connect(address.expose_secret()).await?,
        })
    }

    /// Everything the use cases need. Files with secrets that others can read are told of.
    pub async fn engine(&self, ledger: Ledger, clock: Clock) -> Result<Engine, Failure> {
        self.config
            .open_secrets
            .iter()
            .for_each(|open| tracing::warn!("{open}"));
        let vault = self.vault(&ledger).await?;
        Ok(Engine {
            ledger,
            job_kinds: Arc::clone(&self.job_kinds),
            accounts: self.accounts(&clock)?,
            config: Arc::clone(&self.config),
            vault,
            files: Files::open(&self.config.files, &self.config.folder)
                .map_err(|error| Failure::internal(&error))?,
            meter: Arc::default(),
            places: Arc::default(),
            clock,
        })
    }

    /// The keys for personal data, where the configuration has any; those that the ledger needs
    /// must be among them.
    async fn vault(&self, ledger: &Ledger) -> Result<Option<Arc<Vault>>, Failure> {
        let vault = Vault::of(&self.config.encryption_keys)
            .map_err(|error| Failure::invalid(error.to_string()))?
            .map(Arc::new);
        let missing = missing_keys(ledger, vault.as_deref()).await?;
        if missing.is_empty() {
            return Ok(vault);
        }
        let told: Vec<String> = missing.iter().map(told).collect();
        Err(Failure::invalid(told.join("\n")).help(PUT_BACK))
    }

    /// The gateway accounts, ready to be called.
    pub fn accounts(&self, clock: &Clock) -> Result<BTreeMap<String, Arc<Account>>, Failure> {
        let configured = self.config.gateways.iter();
        configured
            .map(|(name, config)| Ok((name.clone(), Arc::new(account(config, clock)?))))
            .collect()
    }
}

/// Refuses a PostgreSQL server on another machine whose certificate is not verified, where
/// `payrun.yaml` does not say that this is meant.
pub(super) fn server_is_verified(config: &Config, path: &Path) -> Result<(), Failure> {
    let Database::Postgres(address) = &config.database else {
        return Ok(());
    };
    let host = unverified_server(address.expose_secret())
        .filter(|_| config.database_tls == DatabaseTls::Verified);
    let Some(host) = host else { return Ok(()) };
    let help = "write sslmode=verify-full into the address (and sslrootcert=FILE for an authority of your own); or, where nobody else is \
                on the way, database_tls: unverified";
    let message = format!(
        "{}: database: whoever is on the way to {host} could read and change the ledger, since its certificate is not verified",
        path.display()
    );
    Err(Failure::invalid(message).help(help))
}

/// What to do about a key that is still needed.
pub(super) const PUT_BACK: &str = "put that key back behind the first one, encryption_key: [{ file: new.key }, { file: old.key }]; then \
    `payrun reseal` moves the values to the first key, and the old one can be taken away";

fn told(missing: &MissingKey) -> String {
    let key = missing
        .id
        .as_ref()
        .map_or("that the ledger was begun with".to_owned(), |id| id.clone());
    let values: u64 = missing.sealed.iter().map(|(_, values)| values).sum();
    let parts = missing.sealed.iter().filter(|(_, values)| *values > 0);
    let parts: Vec<String> = parts
        .map(|(what, values)| counted(*values, what.one()))
        .collect();
    format!(
        "encryption_key in payrun.yaml lacks the key {key}: {} in the ledger cannot be opened without it ({})",
        counted(values, "value"),
        parts.join(", ")
    )
}

fn account(config: &GatewayConfig, clock: &Clock) -> Result<Account, Failure> {
    Ok(Account {
        name: config.name.clone(),
        identity: config.identity(),
        kind: config.kind.as_str(),
        gateway: gateway(config, clock)?,
        rate: config.rate,
        concurrency: config.concurrency,
        timeout: config.timeout,
        query_interval: config.query_interval,
        refund_interval: config.refund_interval,
        funds_interval: config.funds_interval,
        withdraw_at_once: config.withdraw_at_once,
        is_remote: config.is_remote(),
        pace: Some(CallPace::of(config.rate, config.burst)),
        watch: AccountWatch::new(config.stop_after),
    })
}

fn gateway(config: &GatewayConfig, clock: &Clock) -> Result<Box<dyn Gateway>, Failure> {
    let transport = Transport::http(config.concurrency, config.timeout)
        .map_err(|error| Failure::internal(&error))?;
    let clock = clock.clone();
    Ok(match &config.kind {
        GatewayKind::Wechat(account) => Box::new(
            wechat::Client::new(account, transport, clock)
                .map_err(|error| Failure::internal(&error))?,
        ),
        GatewayKind::Hipopay(account) => Box::new(
            hipopay::Client::new(account, transport, clock)
                .map_err(|error| Failure::internal(&error))?,
        ),
        GatewayKind::Egms(account) => Box::new(
            egms::Client::new(account, transport, clock)
                .map_err(|error| Failure::internal(&error))?,
        ),
        GatewayKind::Cbtis(account) => Box::new(
            cbtis::Client::new(account, transport, clock)
                .map_err(|error| Failure::internal(&error))?,
        ),
    })
}
