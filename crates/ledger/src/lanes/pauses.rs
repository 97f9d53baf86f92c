//! What is paused by persons: everything, a gateway, a workflow, a contract; and by payrun itself a
//! workflow that no file has any more. Nothing new of it is sent; what is open is still asked
//! about. The claim looks at it (`items/claim.rs`).
//!
//! A person's word stands above payrun's: it takes the place of a pause by payrun, and payrun ends
//! none but its own.

use std::fmt;

use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use crate::Ledger;
use crate::audit::NewAuditEntry;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use payrun_domain::actor::{Authorization, is_person};
use payrun_domain::ids::KeyHash;
use payrun_domain::reason::ReasonCode;
use payrun_domain::time::Timestamp;

/// What is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PauseTarget {
    /// Everything.
    All,
    /// A gateway account, by its name in `payrun.yaml`.
    Gateway(String),
    /// A workflow, by its name.
    Workflow(String),
    /// A contract of an account.
    Contract {
        /// The account's name.
        gateway: String,
        /// The contract's id at the gateway.
        contract: String,
        /// The fingerprint that its items have.
        exclusive_key: KeyHash,
    },
}

impl PauseTarget {
    /// How much it is.
    pub const fn scope(&self) -> PausedScope {
        match self {
            Self::All => PausedScope::All,
            Self::Gateway(_) => PausedScope::Gateway,
            Self::Workflow(_) => PausedScope::Workflow,
            Self::Contract { .. } => PausedScope::Contract,
        }
    }
}

impl fmt::Display for PauseTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = self.scope();
        match self {
            Self::All => write!(f, "{scope}"),
            Self::Gateway(name) | Self::Workflow(name) => write!(f, "{scope} {name}"),
            Self::Contract {
                gateway, contract, ..
            } => write!(f, "{scope} {gateway}/{contract}"),
        }
    }
}

/// How much a pause is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PausedScope {
    /// Everything.
    All,
    /// A gateway account.
    Gateway,
    /// A workflow.
    Workflow,
    /// A contract of an account.
    Contract,
}

impl PausedScope {
    /// All.
    pub const ALL: [Self; 4] = [Self::All, Self::Gateway, Self::Workflow, Self::Contract];

    /// As the ledger spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Gateway => "gateway",
            Self::Workflow => "workflow",
            Self::Contract => "contract",
        }
    }

    /// The scope of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }
}

impl fmt::Display for PausedScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A pause, and who ordered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PauseRow {
    /// How much.
    pub scope: PausedScope,
    /// Its name: empty for all, `GATEWAY/CONTRACT` for a contract.
    pub name: String,
    /// Since when.
    pub at: Timestamp,
    /// Who paused it.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// What a person may do about a workflow that no file has any more.
pub fn decide_about(workflow: &str) -> String {
    format!(
        "`payrun resume workflow {workflow} --reason WHY` carries out what it has open, `payrun cancel --workflow {workflow} --state \
         planned,awaiting_approval,sending,pending,unknown --reason WHY --yes` withdraws it; if its file comes back, it goes on"
    )
}

impl PauseRow {
    /// What a person may do about it, where payrun paused it.
    pub fn what_to_do(&self) -> Option<String> {
        (self.scope == PausedScope::Workflow && !is_person(&self.actor))
            .then(|| decide_about(&self.name))
    }

    /// In words: `paused by ann: workflow rent, too early`, and what to do where a person might not
    /// know.
    pub fn note(&self) -> String {
        let what = format!("{} {}", self.scope, self.name);
        let note = format!(
            "paused by {}: {}, {}",
            self.actor,
            what.trim_end(),
            self.reason
        );
        self.what_to_do()
            .map_or_else(|| note.clone(), |what| format!("{note}. {what}"))
    }

    /// Whether nothing new is sent because of it of a run of this workflow by these lanes.
    pub fn is_of(&self, workflow: &str, mut lanes: impl Iterator<Item = impl AsRef<str>>) -> bool {
        match self.scope {
            PausedScope::All => true,
            PausedScope::Workflow => self.name == workflow,
            PausedScope::Gateway => lanes.any(|lane| lane.as_ref() == self.name),
            PausedScope::Contract => false,
        }
    }
}

/// What a person did, as the audit log names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseAction {
    /// Paused something.
    Pause,
    /// Resumed it.
    Resume,
}

impl PauseAction {
    /// Every action.
    pub const ALL: [Self; 2] = [Self::Pause, Self::Resume];

    /// As the audit log spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

const OPERATION: &str = "pausing";

impl Ledger {
    /// Pauses: from the next claim on nothing new is sent. False if it is paused already. A
    /// person's pause takes the place of one by payrun.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn pause(
        &self,
        scope: &PauseTarget,
        by: &Authorization,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let mut tx = self.begin_write(OPERATION).await?;
        let paused_by = paused_by(&mut tx, scope).await?;
        if let Some(before) = &paused_by {
            if is_person(before) || !by.actor.is_person() {
                tx.rollback().await?;
                return Ok(false);
            }
            unpause(&mut tx, scope, by).await?;
        }
        let (before, after) = (
            json!({ "paused": paused_by.is_some() }),
            json!({ "paused": true }),
        );
        let audit = tx
            .note(NewAuditEntry {
                by,
                action: PauseAction::Pause.as_str(),
                target: scope.to_string(),
                before,
                after,
                at: now,
            })
            .await?;
        let insert = match scope {
            PauseTarget::Contract {
                gateway,
                contract,
                exclusive_key,
            } => {
                let insert = "insert into paused_contracts (exclusive_key, gateway, contract, at, actor, reason, audit) \
                              values ($1, $2, $3, $4, $5, $6, $7)";
                sqlx::query(insert)
                    .bind(exclusive_key.as_bytes().to_vec())
                    .bind(gateway)
                    .bind(contract)
            }
            PauseTarget::All | PauseTarget::Gateway(_) | PauseTarget::Workflow(_) => {
                let insert = "insert into pauses (scope, name, at, actor, reason, audit) values ($1, $2, $3, $4, $5, $6)";
                let (scope, name) = named(scope);
                sqlx::query(insert).bind(scope).bind(name)
            }
        };
        let insert = insert
            .bind(now.millis())
            .bind(by.actor.name())
            .bind(by.reason.as_str())
            .bind(audit);
        insert
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of(OPERATION, source))?;
        tx.commit().await?;
        Ok(true)
    }

    /// Resumes what was paused; payrun itself ends only its own pauses. False if it was not.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn resume(
        &self,
        scope: &PauseTarget,
        by: &Authorization,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let mut tx = self.begin_write("resuming").await?;
        if !unpause(&mut tx, scope, by).await? {
            tx.rollback().await?;
            return Ok(false);
        }
        match scope {
            PauseTarget::Contract { exclusive_key, .. } => {
                wake_contract(&mut tx, exclusive_key.as_bytes(), now).await?
            }
            PauseTarget::Workflow(name) => {
                let query = "update schedules set resumed_at = $2 where workflow = $1";
                let updated = sqlx::query(query)
                    .bind(name)
                    .bind(now.millis())
                    .execute(tx.connection())
                    .await;
                updated.map_err(|source| LedgerError::of("resuming", source))?;
            }
            PauseTarget::All | PauseTarget::Gateway(_) => {}
        }
        let (before, after) = (json!({ "paused": true }), json!({ "paused": false }));
        tx.note(NewAuditEntry {
            by,
            action: PauseAction::Resume.as_str(),
            target: scope.to_string(),
            before,
            after,
            at: now,
        })
        .await?;
        tx.commit_and_tell().await?;
        self.woken.notify_waiters();
        Ok(true)
    }

    /// What is paused, contracts last, a thousand at most.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn pauses(&self) -> Result<Vec<PauseRow>, LedgerError> {
        let failed = |source| LedgerError::of("listing what is paused", source);
        let query = "select scope, name, at, actor, reason, 0 as last from pauses union all \
                     select 'contract', gateway || '/' || contract, at, actor, reason, 1 from paused_contracts \
                     order by last, scope, name limit 1000";
        sqlx::query(query)
            .fetch_all(&self.read)
            .await
            .map_err(failed)?
            .iter()
            .map(pause_row)
            .collect()
    }

    /// The last pause of a workflow that began before this instant and had not ended then: since
    /// when, by whom, and why.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn paused_at(
        &self,
        workflow: &str,
        at: Timestamp,
    ) -> Result<Option<(Timestamp, String, String)>, LedgerError> {
        let failed = |source| LedgerError::of("looking for a pause", source);
        let query = "select at, actor, reason, action from audit where action in ('pause', 'resume') and target = $1 and at <= $2 \
                     order by seq desc limit 1";
        let last = sqlx::query(query)
            .bind(PauseTarget::Workflow(workflow.to_owned()).to_string())
            .bind(at.millis());
        let Some(row) = last.fetch_optional(&self.read).await.map_err(failed)? else {
            return Ok(None);
        };
        let action: String = row.try_get("action").map_err(failed)?;
        let since = row
            .try_get("at")
            .map(Timestamp::from_millis)
            .map_err(failed)?;
        let (actor, reason) = (
            row.try_get("actor").map_err(failed)?,
            row.try_get("reason").map_err(failed)?,
        );
        Ok((action == PauseAction::Pause.as_str()).then_some((since, actor, reason)))
    }

    /// Whether there is a contract of this id, or an item that is about one. Reads all items only
    /// where nothing else tells.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn has_contract(
        &self,
        account: &str,
        id: &str,
        exclusive_key: &KeyHash,
    ) -> Result<bool, LedgerError> {
        let failed = |source| LedgerError::of("looking for a contract", source);
        let kept =
            sqlx::query("select id from contracts where contract = $1 and account = $2 limit 1")
                .bind(id)
                .bind(account);
        if kept
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?
            .is_some()
        {
            return Ok(true);
        }
        // By items_of_contract, whose condition this repeats.
        let query = "select id from items where exclusive_key = $1 and exclusive_key is not null and key_hash is not null limit 1";
        let found = sqlx::query(query)
            .bind(exclusive_key.as_bytes().to_vec())
            .fetch_optional(&self.read);
        Ok(found.await.map_err(failed)?.is_some())
    }

    /// The workflows that payrun has paused.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn workflows_paused_by_payrun(&self) -> Result<Vec<String>, LedgerError> {
        let query = "select name from pauses where scope = 'workflow' and actor = 'payrun' order by name limit 10000";
        let names = sqlx::query_scalar(query).fetch_all(&self.read).await;
        names.map_err(|source| LedgerError::of("listing what is paused", source))
    }

    /// The workflows of open runs that were planned with a file of the workflows folder, each with
    /// that file's path in it.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn open_files(&self) -> Result<Vec<(String, String)>, LedgerError> {
        let failed = |source| LedgerError::of("listing the files of open runs", source);
        let query = "select distinct workflow, file from runs where finished_at is null and file is not null \
                     order by workflow, file limit 10000";
        let rows = sqlx::query(query)
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        let file = |row: &AnyRow| Ok((row.try_get("workflow")?, row.try_get("file")?));
        rows.iter()
            .map(file)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    /// Forgets from which file a workflow's open runs were planned: they are carried out without
    /// it.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn forget_files(&self, workflow: &str) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of("resuming", source);
        let mut tx = self.begin_write("resuming").await?;
        let forget = "update runs set file = null where workflow = $1 and finished_at is null and file is not null";
        sqlx::query(forget)
            .bind(workflow)
            .execute(tx.connection())
            .await
            .map_err(failed)?;
        tx.commit().await
    }

    /// The workflows that are paused by name: a scheduler fires none of them.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn paused_workflows(&self) -> Result<Vec<String>, LedgerError> {
        let query = "select name from pauses where scope = 'workflow' order by name limit 10000";
        let names = sqlx::query_scalar(query).fetch_all(&self.read).await;
        names.map_err(|source| LedgerError::of("listing what is paused", source))
    }
}

pub(crate) const WAKE: &str = "\
    update items set next_at = $2 where job_id in (select id from jobs where finished_at is null) and next_at > $2 \
      and exclusive_key = $1 and state = 'planned' and reason_code is not null \
      and reason_code in (select atom from json_each($3))";

/// What waits for a contract looks again. What has an appointment of its own, such as a dunning
/// date, keeps it.
pub(crate) async fn wake_contract(
    tx: &mut WriteTx,
    exclusive_key: &[u8],
    now: Timestamp,
) -> Result<(), LedgerError> {
    let codes: Vec<&str> = ReasonCode::ALL
        .into_iter()
        .filter(|code| code.waits_for_contract())
        .map(ReasonCode::as_str)
        .collect();
    let woken = sqlx::query(WAKE)
        .bind(exclusive_key.to_vec())
        .bind(now.millis())
        .bind(list(&codes))
        .execute(tx.connection())
        .await;
    woken
        .map(|_| ())
        .map_err(|source| LedgerError::of("waking what waits for a contract", source))
}

/// Who has paused it, if it is paused.
async fn paused_by(tx: &mut WriteTx, scope: &PauseTarget) -> Result<Option<String>, LedgerError> {
    let query = match scope {
        PauseTarget::Contract { exclusive_key, .. } => {
            sqlx::query_scalar("select actor from paused_contracts where exclusive_key = $1")
                .bind(exclusive_key.as_bytes().to_vec())
        }
        PauseTarget::All | PauseTarget::Gateway(_) | PauseTarget::Workflow(_) => {
            let (scope, name) = named(scope);
            sqlx::query_scalar("select actor from pauses where scope = $1 and name = $2")
                .bind(scope)
                .bind(name)
        }
    };
    let found = query.fetch_optional(tx.connection()).await;
    found.map_err(|source| LedgerError::of(OPERATION, source))
}

/// Takes a pause away; false if there is none, or if it is a person's and payrun would end it.
async fn unpause(
    tx: &mut WriteTx,
    scope: &PauseTarget,
    by: &Authorization,
) -> Result<bool, LedgerError> {
    let whose = if by.actor.is_person() {
        ""
    } else {
        "and actor = 'payrun'"
    };
    let (of_contract, of_others) = (
        format!("delete from paused_contracts where exclusive_key = $1 {whose}"),
        format!("delete from pauses where scope = $1 and name = $2 {whose}"),
    );
    let delete = match scope {
        PauseTarget::Contract { exclusive_key, .. } => {
            sqlx::query(AssertSqlSafe(of_contract)).bind(exclusive_key.as_bytes().to_vec())
        }
        PauseTarget::All | PauseTarget::Gateway(_) | PauseTarget::Workflow(_) => {
            let (scope, name) = named(scope);
            sqlx::query(AssertSqlSafe(of_others)).bind(scope).bind(name)
        }
    };
    let deleted = delete.execute(tx.connection()).await;
    Ok(deleted
        .map_err(|source| LedgerError::of("resuming", source))?
        .rows_affected()
        > 0)
}

fn named(scope: &PauseTarget) -> (&'static str, &str) {
    let name = match scope {
        PauseTarget::All => "",
        PauseTarget::Gateway(name) | PauseTarget::Workflow(name) => name,
        PauseTarget::Contract { contract, .. } => contract,
    };
    (scope.scope().as_str(), name)
}

fn pause_row(row: &AnyRow) -> Result<PauseRow, LedgerError> {
    let failed = |source| LedgerError::of("listing what is paused", source);
    let (word, name): (&str, String) = (
        row.try_get("scope").map_err(failed)?,
        row.try_get("name").map_err(failed)?,
    );
    Ok(PauseRow {
        scope: PausedScope::parse(word)
            .ok_or_else(|| LedgerError::corrupt("pauses", &name, "scope"))?,
        name,
        at: row
            .try_get("at")
            .map(Timestamp::from_millis)
            .map_err(failed)?,
        actor: row.try_get("actor").map_err(failed)?,
        reason: row.try_get("reason").map_err(failed)?,
    })
}
