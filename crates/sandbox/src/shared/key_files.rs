//! The files in which both sides of a sandbox find their keys, and how these are made.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::keys::{SandboxKeyError, nonce};

/// 32 random hex digits.
pub(crate) fn random() -> Result<String, AccountKeysError> {
    let none = || AccountKeysError::Generate("the operating system gave no random bytes".into());
    nonce().ok_or_else(none)
}

/// A folder that is its owner's only.
pub(crate) fn make_folder(folder: &Path) -> Result<(), AccountKeysError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| AccountKeysError::File {
        path: folder.to_owned(),
        source,
    })
}

pub(crate) fn write(folder: &Path, name: &str, text: &str) -> Result<(), AccountKeysError> {
    let path = folder.join(name);
    let open = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path);
    open.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| AccountKeysError::File { path, source })
}

pub(crate) fn read(folder: &Path, name: &str) -> Result<String, AccountKeysError> {
    let path = folder.join(name);
    std::fs::read_to_string(&path).map_err(|source| AccountKeysError::File { path, source })
}

/// Why there is no identity.
#[derive(Debug, Error)]
pub enum AccountKeysError {
    /// Keys could not be generated.
    #[error("keys could not be generated: {0}")]
    Generate(String),
    /// A file could not be read or written.
    #[error("{}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A key file holds no usable key.
    #[error("a sandbox key cannot be used")]
    Key(#[source] SandboxKeyError),
    /// A certificate file holds no certificate.
    #[error("a sandbox certificate cannot be read")]
    Certificate,
}
