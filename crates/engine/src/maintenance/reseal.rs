//! Moving what is sealed to the first key of `encryption_key`, so that the others can be taken
//! away.
//!
//! A page a commit, with room for others in between: work goes on meanwhile. What was moved stays
//! moved, so that it may be broken off and begun again at any time. What is sealed again is the
//! same text for whatever is bound to it (`domain/sealed_text.rs`).

use std::time::Duration;

use thiserror::Error;

use crate::Engine;
use crate::file_store::FilesError;
use crate::uploads::UploadError;
use crate::vault::{Vault, VaultError};
use payrun_ledger::{Ledger, LedgerError, SealedKind, SealedRow, UNNAMED};

/// How many rows a commit changes, and what is left to others between two of them.
const ROWS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(10);

/// How many of those that stay as they are get named.
const NAMED: usize = 20;

/// Why something was not sealed again.
#[derive(Debug, Error)]
pub enum ResealError {
    /// There is no key to seal with.
    #[error("payrun.yaml has no encryption_key: nothing can be sealed")]
    NoKey,
    /// Whatever the ledger says.
    #[error("what is sealed in the ledger was not moved to the first key")]
    Ledger(#[from] LedgerError),
    /// Whatever the store of files says.
    #[error("the uploaded files cannot be listed")]
    Files(#[from] FilesError),
    /// An uploaded file.
    #[error("an uploaded file was not moved to the first key")]
    Upload(#[from] UploadError),
}

/// How much is sealed under keys other than the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResealProgress {
    /// How much there was when it began.
    pub all: u64,
    /// How much was looked at.
    pub done: u64,
    /// What stays as it is, and why: the first few.
    pub left: Vec<String>,
    /// How many stay as they are.
    pub left_in_all: u64,
}

impl ResealProgress {
    fn leave(&mut self, what: &str, place: &str, why: &str) {
        self.left_in_all += 1;
        if self.left.len() < NAMED {
            self.left.push(format!("{what} {place}: {why}"));
        }
    }
}

/// A key that the ledger needs and that is not listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingKey {
    /// Its id; none of the one that a ledger was begun with before keys had ids.
    pub id: Option<String>,
    /// How much is sealed under it.
    pub sealed: Vec<(SealedKind, u64)>,
}

impl std::fmt::Display for MissingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = self
            .id
            .as_deref()
            .unwrap_or("that the ledger was begun with");
        let values: u64 = self.sealed.iter().map(|(_, values)| values).sum();
        let parts = self.sealed.iter().filter(|(_, values)| *values > 0);
        let parts: Vec<String> = parts
            .map(|(what, values)| counted(*values, what.one()))
            .collect();
        write!(
            f,
            "encryption_key in payrun.yaml lacks the key {key}: {} in the ledger cannot be opened without it ({})",
            counted(values, "value"),
            parts.join(", ")
        )
    }
}

fn counted(number: u64, thing: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{s}")
}

/// The keys that what is sealed in a ledger needs and that are not listed.
///
/// # Errors
/// Whatever the ledger says.
pub async fn missing_keys(
    ledger: &Ledger,
    vault: Option<&Vault>,
) -> Result<Vec<MissingKey>, LedgerError> {
    let mut missing = Vec::new();
    for key in ledger.sealing_keys().await? {
        let is_unnamed = key == UNNAMED;
        let is_listed = match vault {
            None => false,
            Some(vault) if is_unnamed => ledger
                .vault_proof()
                .await?
                .is_some_and(|proof| vault.proves(&proof)),
            Some(vault) => vault.ids().any(|id| id == key),
        };
        if is_listed {
            continue;
        }
        let mut sealed = Vec::new();
        for what in SealedKind::ALL {
            sealed.push((what, ledger.sealed_under(what, &key).await?));
        }
        missing.push(MissingKey {
            id: (!is_unnamed).then_some(key),
            sealed,
        });
    }
    Ok(missing)
}

impl Engine {
    /// Seals everything under the first key; says after each page how far it is.
    ///
    /// # Errors
    /// [`ResealError`]; what was moved before stays moved.
    pub async fn reseal(
        &self,
        mut tell: impl FnMut(&ResealProgress),
    ) -> Result<ResealProgress, ResealError> {
        let vault = self.vault.as_ref().ok_or(ResealError::NoKey)?;
        let first = vault.ids().next().ok_or(ResealError::NoKey)?;
        let mut keys = self.ledger.sealing_keys().await?;
        keys.remove(first);
        let files = self.uploads_of_other_keys(first).await?;
        let mut progress = ResealProgress {
            all: files.len() as u64,
            ..ResealProgress::default()
        };
        for key in &keys {
            for what in SealedKind::ALL {
                progress.all += self.ledger.sealed_under(what, key).await?;
            }
        }
        tell(&progress);
        for key in &keys {
            for what in SealedKind::ALL {
                self.reseal_rows(vault, what, key, &mut progress, &mut tell)
                    .await?;
            }
        }
        for name in files {
            match self.reseal_upload(&name).await {
                Ok(()) => {}
                Err(UploadError::Vault { source: why, .. }) => {
                    progress.leave("uploaded file", &name, &why.to_string())
                }
                Err(error) => return Err(error.into()),
            }
            progress.done += 1;
            tell(&progress);
        }
        Ok(progress)
    }

    async fn reseal_rows(
        &self,
        vault: &Vault,
        what: SealedKind,
        key: &str,
        progress: &mut ResealProgress,
        tell: &mut impl FnMut(&ResealProgress),
    ) -> Result<(), ResealError> {
        let reseal = |row: &SealedRow| resealed(vault, what, row);
        let mut after = 0;
        loop {
            let page = self
                .ledger
                .reseal_page(what, (key, after), ROWS, &reseal)
                .await?;
            let Some(last) = page.last else { return Ok(()) };
            after = last;
            progress.done += page.seen;
            for (id, why) in page.left {
                progress.leave(what.one(), &id.to_string(), &why);
            }
            tell(progress);
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The new text of a row; or why it stays as it is, and the others do not.
fn resealed(vault: &Vault, what: SealedKind, row: &SealedRow) -> Result<String, String> {
    let corrupt = |column| LedgerError::corrupt(what.table(), row.id, column).to_string();
    let resealed = match what {
        SealedKind::Items => {
            let key = row.key_hash.ok_or_else(|| corrupt("key_hash"))?;
            vault.reseal_input(&row.text, key, row.approved)
        }
        SealedKind::Notifications => {
            let digest = row.digest.as_deref().ok_or_else(|| corrupt("digest"))?;
            vault.reseal_notification(&row.text, digest)
        }
        SealedKind::ReferenceKey => vault.reseal_reference_key(&row.text),
    };
    resealed.map_err(|why| match why {
        VaultError::Unreadable => corrupt("input"),
        VaultError::Key
        | VaultError::Twice
        | VaultError::Seal
        | VaultError::Open
        | VaultError::NoVault
        | VaultError::NoKey { .. }
        | VaultError::Bound
        | VaultError::Unsealed { .. } => why.to_string(),
    })
}
