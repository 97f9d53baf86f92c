//! Operators' controls: what persons pause, hold, slow, and say of items. Each wants to know who
//! and why, and is in the audit log with the action itself.

pub mod approve;
pub mod audit;
pub(crate) mod bulk;
pub mod review;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::{Account, Engine};
use payrun_domain::actor::{Actor, Authorization, Reason};
use payrun_domain::ids::KeyHash;
use payrun_domain::item::Resolution;
use payrun_domain::policy::Rate;
use payrun_domain::text::{is_unseen, shown};
use payrun_domain::time::Timestamp;
use payrun_ledger::{
    ActionResult, LaneLimits, LedgerError, OperatorAction, PauseTarget, decide_about,
};
use payrun_project::config::load::folder_of;
use payrun_project::workflow::load;

/// What is to be paused or resumed, as a person names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Paused {
    /// Everything.
    All,
    /// A gateway account of `payrun.yaml`.
    Gateway(String),
    /// A workflow.
    Workflow(String),
    /// A contract; the account may be left out if only one has contracts.
    Contract {
        /// The account.
        gateway: Option<String>,
        /// The contract's id at the gateway.
        contract: String,
        /// Whether it may be one that payrun has not met yet, of a file to come.
        ahead: bool,
    },
}

/// How long a file that is replaced may be away.
pub const REPLACED: Duration = Duration::from_millis(500);

/// The longest name that anything can be paused by, in characters.
const NAME_MAX: usize = 64;

impl Paused {
    fn check_name(&self) -> Result<(), OperateError> {
        let name = match self {
            Self::All => return Ok(()),
            Self::Gateway(name) | Self::Workflow(name) | Self::Contract { contract: name, .. } => {
                name
            }
        };
        let (length, has_ends) = (name.chars().count(), name.trim() != name);
        let is_none = length == 0 || length > NAME_MAX || has_ends || name.chars().any(is_unseen);
        if is_none {
            Err(OperateError::Name)
        } else {
            Ok(())
        }
    }
}

/// Why nothing was done.
#[derive(Debug, Error)]
pub enum OperateError {
    /// There is no such account.
    #[error("payrun.yaml has no gateway \"{}\"; there are {known}", shown(name))]
    NoSuchGateway {
        /// The name that was given.
        name: String,
        /// Those there are.
        known: String,
    },
    /// There is no such workflow.
    #[error("there is no workflow \"{}\": no file in {} has it, and it has never run", shown(name), folder.display())]
    NoSuchWorkflow {
        /// The name that was given.
        name: String,
        /// Where workflows are.
        folder: PathBuf,
    },
    /// It cannot be the name of anything.
    #[error(
        "a name has 1 to {NAME_MAX} characters, all of which can be seen, and no blank at its ends"
    )]
    Name,
    /// There is no such contract.
    #[error(
        "payrun has met no contract \"{contract}\" of {gateway}: neither of its contracts nor its items have it"
    )]
    NoSuchContract {
        /// The id that was given.
        contract: String,
        /// The account.
        gateway: String,
    },
    /// There is no such kind of job.
    #[error("there is no job kind \"{}\"; there are {known}", shown(name))]
    NoSuchKind {
        /// The name that was given.
        name: String,
        /// Those there are.
        known: String,
    },
    /// There is no such job.
    #[error(
        "there is no job \"{}\" of {of}; `payrun lane list` lists the lanes that are not open, with their jobs",
        shown(job)
    )]
    NoSuchJob {
        /// What was given.
        job: String,
        /// The lane of its kind.
        of: String,
    },
    /// It must be said which account is meant.
    #[error("which gateway has the contract {contract}? name one of {known}")]
    WhichGateway {
        /// The contract.
        contract: String,
        /// The accounts that have contracts.
        known: String,
    },
    /// Faster than `payrun.yaml` says.
    #[error("{what} is more than payrun.yaml allows the gateway {name} ({most}); change it there")]
    AboveAccount {
        /// The account.
        name: String,
        /// What was wanted.
        what: String,
        /// What is allowed.
        most: String,
    },
    /// The ledger.
    #[error("nothing was changed")]
    Ledger(#[from] LedgerError),
}

impl Engine {
    /// Pauses: nothing new of it is sent from the next claim on, and what is open is still asked
    /// about. False if it was paused.
    ///
    /// # Errors
    /// If there is no such thing, and whatever the ledger says.
    pub async fn pause(&self, what: &Paused, by: &Authorization) -> Result<bool, OperateError> {
        what.check_name()?;
        if let Paused::Workflow(name) = what
            && !has_workflow(&self.config.workflows, name)
            && !self.ledger.has_run(name).await?
        {
            return Err(OperateError::NoSuchWorkflow {
                name: name.clone(),
                folder: self.config.workflows.clone(),
            });
        }
        let scope = self.scope(what)?;
        if let (
            Paused::Contract {
                contract,
                ahead: false,
                ..
            },
            PauseTarget::Contract {
                gateway,
                exclusive_key,
                ..
            },
        ) = (what, &scope)
            && !self
                .ledger
                .has_contract(&self.account(gateway)?.identity, contract, exclusive_key)
                .await?
        {
            return Err(OperateError::NoSuchContract {
                contract: contract.clone(),
                gateway: gateway.clone(),
            });
        }
        Ok(self.ledger.pause(&scope, by, self.clock.now()).await?)
    }

    /// Resumes what was paused. False if it was not.
    ///
    /// # Errors
    /// As [`Engine::pause`].
    pub async fn resume(&self, what: &Paused, by: &Authorization) -> Result<bool, OperateError> {
        let scope = match what {
            // It may have been taken out of payrun.yaml meanwhile.
            Paused::Gateway(name) => PauseTarget::Gateway(name.clone()),
            Paused::All | Paused::Workflow(_) | Paused::Contract { .. } => self.scope(what)?,
        };
        let resumed = self.ledger.resume(&scope, by, self.clock.now()).await?;
        if let (PauseTarget::Workflow(name), true) = (&scope, resumed)
            && !has_workflow(&self.config.workflows, name)
        {
            // Whoever resumes it without its file has decided: no start pauses it once more.
            self.ledger.forget_files(name).await?;
        }
        Ok(resumed)
    }

    /// Pauses the workflows of open runs whose files were taken out of the workflows folder while
    /// nobody looked, and says of which, each with the file that had it. A folder that cannot be
    /// read says nothing of its files.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn pause_missing(&self) -> Result<BTreeMap<String, PathBuf>, LedgerError> {
        let folder = &self.config.workflows;
        let is_missing = |name: &String, file: &mut PathBuf| {
            load::files(folder).is_ok()
                && !has_workflow(folder, name)
                && name_in(file).as_ref() != Some(name)
        };
        let open = self.ledger.open_files().await?;
        let mut missing: BTreeMap<String, PathBuf> = open
            .into_iter()
            .map(|(name, file)| (name, folder.join(file)))
            .collect();
        missing.retain(is_missing);
        if !missing.is_empty() {
            // Whoever replaces a file may take it away first.
            tokio::time::sleep(REPLACED).await;
            missing.retain(is_missing);
        }
        for (name, file) in &missing {
            self.pause_removed(name, file).await?;
        }
        Ok(missing)
    }

    /// Pauses a workflow that no file has any more, unless a person has paused it: what it has open
    /// waits for a person's word.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn pause_removed(&self, workflow: &str, file: &Path) -> Result<(), LedgerError> {
        let file = file.file_name().unwrap_or_default().to_string_lossy();
        let Some(by) = by_payrun(&format!("its file {file} was removed")) else {
            return Ok(());
        };
        if self
            .ledger
            .pause(
                &PauseTarget::Workflow(workflow.to_owned()),
                &by,
                self.clock.now(),
            )
            .await?
        {
            let what_to_do = decide_about(workflow);
            tracing::warn!(workflow.name = workflow, %file, what_to_do, "no file has this workflow any more; it is paused");
        }
        Ok(())
    }

    /// Ends payrun's pauses of workflows that have a file again, unless a person has decided
    /// meanwhile. Says of which.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn resume_returned(&self) -> Result<Vec<String>, LedgerError> {
        let mut resumed = Vec::new();
        let Some(by) = by_payrun("its file is there again") else {
            return Ok(resumed);
        };
        let (mut names, folder) = (
            self.ledger.workflows_paused_by_payrun().await?,
            self.config.workflows.clone(),
        );
        // Files are read, which a task must not do.
        let there = tokio::task::spawn_blocking(move || {
            names.retain(|name| has_workflow(&folder, name));
            names
        });
        for name in there.await.unwrap_or_default() {
            if self
                .ledger
                .resume(&PauseTarget::Workflow(name.clone()), &by, self.clock.now())
                .await?
            {
                tracing::info!(
                    workflow.name = name,
                    "the workflow has a file again and goes on"
                );
                resumed.push(name);
            }
        }
        Ok(resumed)
    }

    /// Suspends a lane (`GATEWAY`, or `GATEWAY/KIND` for one kind of job): nothing of it is called
    /// for, not even to ask.
    ///
    /// # Errors
    /// If there is no such lane, and whatever the ledger says.
    pub async fn suspend_lane(
        &self,
        name: &str,
        until: Option<Timestamp>,
        by: &Authorization,
    ) -> Result<(), OperateError> {
        self.check_lane(name)?;
        Ok(self
            .ledger
            .suspend_lane(name, until, by, self.clock.now())
            .await?)
    }

    /// Opens a lane (`GATEWAY`, `GATEWAY/KIND` or `GATEWAY/KIND/JOB`), whoever closed it. False if
    /// it was open.
    ///
    /// # Errors
    /// If there is no such lane, and whatever the ledger says.
    pub async fn open_lane(&self, name: &str, by: &Authorization) -> Result<bool, OperateError> {
        // A lane of a gateway that was taken out of payrun.yaml may be closed still.
        if self.ledger.open_lane(name, by, self.clock.now()).await? {
            return Ok(true);
        }
        let (lane, job) = match name.splitn(3, '/').collect::<Vec<_>>()[..] {
            [account, kind, job] => (format!("{account}/{kind}"), Some(job)),
            _ => (name.to_owned(), None),
        };
        self.check_lane(&lane)?;
        let Some(job) = job else { return Ok(false) };
        let there = match job.parse() {
            Ok(id) => self.ledger.has_job_on(&lane, id).await?,
            Err(_) => false,
        };
        if there {
            Ok(false)
        } else {
            Err(OperateError::NoSuchJob {
                job: job.to_owned(),
                of: lane,
            })
        }
    }

    /// Changes how fast a lane goes, in all processes at once; what is not given stays. Never above
    /// `payrun.yaml`, which says what the account allows. Returns what holds now.
    ///
    /// # Errors
    /// If there is no such account, if it does not allow so much, and whatever the ledger says.
    pub async fn limit_lane(
        &self,
        name: &str,
        rate: Option<Rate>,
        concurrency: Option<u32>,
        by: &Authorization,
    ) -> Result<LaneLimits, OperateError> {
        let account = self.account(name)?;
        let above = |what: String, most: String| OperateError::AboveAccount {
            name: name.to_owned(),
            what,
            most,
        };
        if let Some(rate) = rate.filter(|rate| rate.is_faster_than(account.rate)) {
            return Err(above(rate.to_string(), account.rate.to_string()));
        }
        if let Some(calls) = concurrency.filter(|calls| *calls > account.concurrency) {
            return Err(above(
                format!("{calls} at once"),
                account.concurrency.to_string(),
            ));
        }
        let before = self.ledger.lane_limits(name).await?;
        let limits = LaneLimits {
            rate: rate.or(before.rate),
            concurrency: concurrency.or(before.concurrency),
        };
        self.ledger
            .limit_lane(name, limits, by, self.clock.now())
            .await?;
        Ok(limits)
    }

    /// Lets a lane go as fast as `payrun.yaml` says.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn unlimit_lane(&self, name: &str, by: &Authorization) -> Result<(), OperateError> {
        Ok(self
            .ledger
            .limit_lane(name, LaneLimits::default(), by, self.clock.now())
            .await?)
    }

    /// Withdraws an item that has not been sent.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn cancel_item(
        &self,
        item_id: i64,
        by: &Authorization,
    ) -> Result<ActionResult, LedgerError> {
        self.ledger
            .apply_action(item_id, &OperatorAction::Cancel, by, self.clock.now())
            .await
    }

    /// Has an item tried again; what was sent before is asked about first.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn retry_item(
        &self,
        item_id: i64,
        by: &Authorization,
    ) -> Result<ActionResult, LedgerError> {
        self.ledger
            .apply_action(item_id, &OperatorAction::Retry, by, self.clock.now())
            .await
    }

    /// Closes an item that is unknown or needs review by what a person has found out; kept as evidence
    /// with name and reason.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn resolve_item(
        &self,
        item_id: i64,
        found: Resolution,
        by: &Authorization,
    ) -> Result<ActionResult, LedgerError> {
        self.ledger
            .apply_action(
                item_id,
                &OperatorAction::Resolve(found),
                by,
                self.clock.now(),
            )
            .await
    }

    fn scope(&self, what: &Paused) -> Result<PauseTarget, OperateError> {
        Ok(match what {
            Paused::All => PauseTarget::All,
            Paused::Gateway(name) => PauseTarget::Gateway(self.account(name)?.name.clone()),
            Paused::Workflow(name) => PauseTarget::Workflow(name.clone()),
            Paused::Contract {
                gateway, contract, ..
            } => {
                let account = match gateway {
                    Some(name) => self.account(name)?,
                    None => self.only_account_with_contracts(contract)?,
                };
                let exclusive_key = contract_exclusive_key(account, contract);
                PauseTarget::Contract {
                    gateway: account.name.clone(),
                    contract: contract.clone(),
                    exclusive_key,
                }
            }
        })
    }

    fn account(&self, name: &str) -> Result<&Account, OperateError> {
        let known = || self.accounts.keys().cloned().collect::<Vec<_>>().join(", ");
        let account = self.accounts.get(name);
        account
            .map(AsRef::as_ref)
            .ok_or_else(|| OperateError::NoSuchGateway {
                name: name.to_owned(),
                known: known(),
            })
    }

    fn only_account_with_contracts(&self, contract: &str) -> Result<&Account, OperateError> {
        let kinds: BTreeSet<&str> = self
            .job_kinds
            .by_name
            .values()
            .filter(|kind| kind.one_at_a_time.as_deref() == Some(CONTRACT))
            .flat_map(|kind| kind.gateways.keys().map(String::as_str))
            .collect();
        let mut having = self
            .accounts
            .values()
            .filter(|account| kinds.contains(account.kind));
        match (having.next(), having.next()) {
            (Some(only), None) => Ok(only),
            (_, _) => {
                let known = self
                    .accounts
                    .values()
                    .filter(|account| kinds.contains(account.kind));
                let known: Vec<&str> = known.map(|account| account.name.as_str()).collect();
                Err(OperateError::WhichGateway {
                    contract: contract.to_owned(),
                    known: known.join(", "),
                })
            }
        }
    }

    fn check_lane(&self, name: &str) -> Result<(), OperateError> {
        let (account, kind) = match name.split_once('/') {
            Some((account, kind)) => (account, Some(kind)),
            None => (name, None),
        };
        self.account(account)?;
        match kind.filter(|kind| !self.job_kinds.by_name.contains_key(*kind)) {
            Some(kind) => {
                let known = self
                    .job_kinds
                    .by_name
                    .keys()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .join(", ");
                Err(OperateError::NoSuchKind {
                    name: kind.to_owned(),
                    known,
                })
            }
            None => Ok(()),
        }
    }
}

/// payrun itself, with a reason.
fn by_payrun(reason: &str) -> Option<Authorization> {
    Reason::parse(reason).ok().map(|reason| Authorization {
        actor: Actor::payrun(),
        reason,
    })
}

/// The field by which job kinds name a contract.
const CONTRACT: &str = "contract_id";

/// The fingerprint that items of a contract have, whatever their job: of one only one is in flight.
pub fn contract_exclusive_key(account: &Account, contract: &str) -> KeyHash {
    KeyHash::one_at_a_time(&account.identity, CONTRACT, contract)
}

/// Whether a file has this workflow, be it right or wrong otherwise.
pub fn has_workflow(folder: &Path, name: &str) -> bool {
    let files = load::files(folder).unwrap_or_default();
    files
        .iter()
        .any(|file| name_in(file).is_some_and(|found| found == name))
}

/// The workflow that a file has, be it right or wrong otherwise: as YAML, or, where it is none, by
/// the line that names it.
fn name_in(file: &Path) -> Option<String> {
    let source = payrun_yaml::read(file, false).ok()?;
    if let Ok(root) = payrun_yaml::node::parse(&source) {
        return root
            .get("workflow")
            .and_then(|name| name.text())
            .map(str::to_owned);
    }
    let name = source
        .text
        .lines()
        .find_map(|line| line.strip_prefix("workflow:"))?;
    let name = name.split(" #").next().unwrap_or_default();
    Some(name.trim().trim_matches(['"', '\'']).to_owned())
}

/// The path of a file in this folder; none if it is elsewhere. It may be a link that leads
/// elsewhere.
pub(super) fn path_within(folder: &Path, file: &Path) -> Option<String> {
    let folder_of_file = folder_of(file).canonicalize().ok()?;
    let within = folder_of_file
        .strip_prefix(folder.canonicalize().ok()?)
        .ok()?;
    within.join(file.file_name()?).to_str().map(str::to_owned)
}
