//! The composition root: a project folder becomes its configuration, its ledger and its engine
//! here. Commands, the service and benches begin with it, and put nothing together themselves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::ExposeSecret;
use thiserror::Error;

use crate::alerts::AttachmentReader;
use crate::clock::Clock;
use crate::config::{ClientError, Config, Database, DatabaseTls, GatewayConfig};
use crate::engine::file_store::{Files, FilesError};
use crate::engine::maintenance::reseal::{MissingKey, missing_keys};
use crate::engine::vault::{Vault, VaultError};
use crate::engine::{Account, Engine};
use crate::errors::chain;
use crate::gateway::transport::{Transport, TransportFailure};
use crate::job_kinds::JobKinds;
use crate::ledger::{Ledger, LedgerError, unverified_server};
use crate::workflow::Workflow;
use crate::yaml::diagnostics::Diagnostics;

/// A project's configuration and job kinds.
#[derive(Debug)]
pub struct Project {
    /// What `payrun.yaml` says.
    pub config: Arc<Config>,
    /// The built-in job kinds, and those of the folder that `payrun.yaml` names.
    pub job_kinds: Arc<JobKinds>,
}

/// Why a project cannot be opened.
#[derive(Debug, Error)]
pub enum ProjectError {
    /// There is no such file.
    #[error("there is no {}", path.display())]
    NoConfig {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Files that say something wrong.
    #[error("{0}")]
    Files(Diagnostics),
    /// The folder for workflows.
    #[error("the folder {} cannot be read: {source}", path.display())]
    Workflows {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database is on another machine, and its certificate is not verified.
    #[error(
        "{}: database: whoever is on the way to {host} could read and change the ledger, since its certificate is not verified",
        path.display()
    )]
    Unverified {
        /// The configuration.
        path: PathBuf,
        /// Which machine.
        host: String,
    },
    /// A key for personal data that is none.
    #[error("{0}")]
    Key(VaultError),
    /// The ledger has values that none of the configured keys opens.
    #[error("{}", .0.iter().map(MissingKey::to_string).collect::<Vec<_>>().join("\n"))]
    MissingKeys(Vec<MissingKey>),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The place for statements and reports.
    #[error(transparent)]
    Place(FilesError),
    /// This machine's TLS cannot be set up.
    #[error(transparent)]
    Transport(TransportFailure),
    /// An account's client cannot be made of its settings.
    #[error("gateway {name}: its client cannot be made of payrun.yaml")]
    Client {
        /// Which account.
        name: String,
        /// Why.
        #[source]
        source: ClientError,
    },
}

impl Project {
    /// Reads the configuration and the job kinds.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub fn open(path: &Path) -> Result<Self, ProjectError> {
        if !path.exists() {
            return Err(ProjectError::NoConfig {
                path: path.to_owned(),
            });
        }
        let config = crate::config::load::load(path).map_err(ProjectError::Files)?;
        server_is_verified(&config, path)?;
        Vault::of(&config.encryption_keys).map_err(ProjectError::Key)?;
        let job_kinds = match &config.jobs {
            None => JobKinds::built_in(),
            Some(folder) => JobKinds::with_overrides(folder).map_err(ProjectError::Files)?,
        };
        Ok(Self {
            config: Arc::new(config),
            job_kinds: Arc::new(job_kinds),
        })
    }

    /// The files of the folder for workflows; none if there is no such folder.
    ///
    /// # Errors
    /// [`ProjectError::Workflows`].
    pub fn workflow_files(&self) -> Result<Vec<PathBuf>, ProjectError> {
        match crate::workflow::load::files(&self.config.workflows) {
            Ok(files) => Ok(files),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(ProjectError::Workflows {
                path: self.config.workflows.clone(),
                source,
            }),
        }
    }

    /// Reads a workflow file.
    ///
    /// # Errors
    /// [`ProjectError::Files`].
    pub fn workflow(&self, path: &Path) -> Result<Arc<Workflow>, ProjectError> {
        crate::workflow::load::load(path, &self.job_kinds, &self.config)
            .map(Arc::new)
            .map_err(ProjectError::Files)
    }

    /// Opens the ledger.
    ///
    /// # Errors
    /// [`LedgerError`].
    pub async fn ledger(&self) -> Result<Ledger, LedgerError> {
        match &self.config.database {
            Database::Sqlite(path) => Ledger::open(path).await,
            Database::Postgres(address) => Ledger::connect(address.expose_secret()).await,
        }
    }

    /// Everything the use cases need, over a ledger. Files with secrets that others can read are
    /// told of.
    ///
    /// # Errors
    /// [`ProjectError`].
    pub async fn engine(&self, ledger: Ledger, clock: Clock) -> Result<Engine, ProjectError> {
        self.config
            .open_secrets
            .iter()
            .for_each(|open| tracing::warn!("{open}"));
        let vault = self.vault(&ledger).await?;
        let accounts = self.accounts(&clock)?;
        let files = Files::open(&self.config.files, &self.config.folder);
        let files = files.map_err(ProjectError::Place)?;
        let (config, job_kinds) = (Arc::clone(&self.config), Arc::clone(&self.job_kinds));
        let engine = Engine::new(ledger, config, job_kinds, accounts, files, clock);
        Ok(engine.with_vault(vault))
    }

    /// The keys for personal data, where the configuration has any; those that the ledger needs
    /// must be among them.
    async fn vault(&self, ledger: &Ledger) -> Result<Option<Arc<Vault>>, ProjectError> {
        let vault = Vault::of(&self.config.encryption_keys)
            .map_err(ProjectError::Key)?
            .map(Arc::new);
        let missing = missing_keys(ledger, vault.as_deref()).await?;
        if missing.is_empty() {
            Ok(vault)
        } else {
            Err(ProjectError::MissingKeys(missing))
        }
    }

    /// The gateway accounts, ready to be called.
    ///
    /// # Errors
    /// [`ProjectError::Transport`], [`ProjectError::Client`].
    pub fn accounts(&self, clock: &Clock) -> Result<BTreeMap<String, Arc<Account>>, ProjectError> {
        let configured = self.config.gateways.iter();
        configured
            .map(|(name, config)| Ok((name.clone(), Arc::new(account(config, clock)?))))
            .collect()
    }
}

/// What reads the files that hang on mails.
///
/// # Errors
/// [`ProjectError::Place`] if the place for files cannot be used.
pub fn attachments(config: &Config) -> Result<AttachmentReader, ProjectError> {
    let files = Files::open(&config.files, &config.folder).map_err(ProjectError::Place)?;
    Ok(AttachmentReader::new(move |name, most| {
        let files = files.clone();
        Box::pin(async move {
            let read = files.read_within(&name, most).await;
            let read = read.inspect_err(|error| {
                tracing::warn!(error = chain(error), "a file for a mail cannot be read");
            });
            read.ok().flatten().map(|content| content.to_vec())
        })
    }))
}

fn account(config: &GatewayConfig, clock: &Clock) -> Result<Account, ProjectError> {
    let transport = Transport::http(config.concurrency, config.timeout);
    let transport = transport.map_err(ProjectError::Transport)?;
    Account::open(config, transport, clock.clone()).map_err(|source| ProjectError::Client {
        name: config.name.clone(),
        source,
    })
}

/// Refuses a PostgreSQL server on another machine whose certificate is not verified, where
/// `payrun.yaml` does not say that this is meant.
///
/// # Errors
/// [`ProjectError::Unverified`].
pub fn server_is_verified(config: &Config, path: &Path) -> Result<(), ProjectError> {
    let Database::Postgres(address) = &config.database else {
        return Ok(());
    };
    let host = unverified_server(address.expose_secret())
        .filter(|_| config.database_tls == DatabaseTls::Verified);
    match host {
        Some(host) => Err(ProjectError::Unverified {
            path: path.to_owned(),
            host,
        }),
        None => Ok(()),
    }
}
