//! Item files that were sent to the service: kept by their content, so that the same file sent twice is one, and until they are old.
//! With a key for personal data they are sealed as a whole.

use bytes::Bytes;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::Engine;
use super::vault::{Vault, VaultError};
use crate::files::FilesError;

/// Their folder in the store.
const FOLDER: &str = "uploads";

/// How the name of a sealed one ends.
const SEALED: &str = "sealed";

/// The formats of item files, as their names end.
pub const FORMATS: [&str; 4] = ["csv", "jsonl", "ndjson", "xlsx"];

/// The most files of a round of forgetting, and the most that are counted.
const FILES: usize = 500;
const FILES_COUNTED: usize = 100_000;

/// Why a file was not kept, or not found.
#[derive(Debug, Error)]
pub enum UploadError {
    /// It is kept, and cannot be opened: the key is another one.
    #[error("the uploaded file cannot be opened")]
    Vault(#[from] VaultError),
    /// Whatever the store says.
    #[error("the uploaded file cannot be kept or read")]
    Store(#[from] FilesError),
    /// The work was given up.
    #[error("the work on the uploaded file was given up")]
    GivenUp(#[from] tokio::task::JoinError),
}

impl Engine {
    /// Keeps an item file; its name, which its content makes.
    ///
    /// # Errors
    /// [`UploadError`]
    pub async fn keep_upload(&self, content: Bytes, format: &str) -> Result<String, UploadError> {
        let (vault, format) = (self.vault.clone(), format.to_owned());
        let work = move || -> Result<_, VaultError> {
            let name = format!("{}.{format}", hex::encode(Sha256::digest(&content)));
            let Some(vault) = vault else { return Ok((format!("{FOLDER}/{name}"), name, content)) };
            let sealed = vault.seal_file(&content, &name)?;
            Ok((format!("{FOLDER}/{name}.{SEALED}"), name, Bytes::from(sealed)))
        };
        let (place, name, content) = tokio::task::spawn_blocking(work).await??;
        // Sealed twice it is not the same text; its name says that it is the same file.
        match self.files.keep(&place, content).await {
            Ok(_) | Err(FilesError::Other { .. }) => Ok(name),
            Err(error) => Err(error.into()),
        }
    }

    /// What was kept under a name; none if there is no such file.
    ///
    /// # Errors
    /// [`UploadError`]
    pub async fn upload(&self, name: &str) -> Result<Option<Bytes>, UploadError> {
        let known = name.split_once('.').filter(|(digest, format)| {
            digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit()) && FORMATS.contains(format)
        });
        if known.is_none() {
            return Ok(None);
        }
        if let Some(vault) = &self.vault
            && let Some(sealed) = self.files.read(&format!("{FOLDER}/{name}.{SEALED}")).await?
        {
            let (vault, name) = (vault.clone(), name.to_owned());
            let open = move || Vault::open_file(&vault, &sealed, &name);
            return Ok(Some(Bytes::from(tokio::task::spawn_blocking(open).await??)));
        }
        Ok(self.files.read(&format!("{FOLDER}/{name}")).await?)
    }

    /// Deletes some of those that were kept long ago; they were read when their runs were planned.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn forget_uploads(&self) -> Result<u64, FilesError> {
        let old = self.files.older(FOLDER, self.clock.now().minus(self.config.retention.operational), FILES).await?;
        for name in &old {
            self.files.delete(name).await?;
        }
        Ok(old.len() as u64)
    }

    /// How many are old.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn old_uploads(&self) -> Result<u64, FilesError> {
        let before = self.clock.now().minus(self.config.retention.operational);
        Ok(self.files.older(FOLDER, before, FILES_COUNTED).await?.len() as u64)
    }
}
