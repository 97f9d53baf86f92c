//! Item files that were sent to the service: kept by their content, so that the same file sent
//! twice is one, and until they are old. With a key for personal data they are sealed as a whole,
//! and the name of the file names the key: `NAME.KEY.sealed`. Those of before keys had ids are
//! `NAME.sealed`.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::Engine;
use super::vault::{SEALED_MORE, Vault, VaultError};
use crate::file_store::FilesError;
use payrun_domain::sealed_text::KEY_ID;

/// Their folder in the store.
const FOLDER: &str = "uploads";

/// How the name of a sealed one ends.
const SEALED: &str = "sealed";

/// The formats of item files, as their names end.
pub const FORMATS: [&str; 4] = ["csv", "jsonl", "ndjson", "xlsx"];

/// The most files of a round of pruning, and the most that are counted.
const FILES: usize = 500;
const FILES_COUNTED: usize = 100_000;

/// For how long what is no upload may be one that is being written.
const BEING_WRITTEN: Duration = Duration::from_secs(3_600);

/// Why a file was not kept, or not found.
#[derive(Debug, Error)]
pub enum UploadError {
    /// It cannot be sealed; or it is kept, and cannot be opened: it was changed, or the key is
    /// another one.
    #[error("the uploaded file {file} cannot be sealed or opened")]
    Vault {
        /// Which file.
        file: String,
        /// Why.
        #[source]
        source: VaultError,
    },
    /// It is not what its name says.
    #[error(
        "{file} was changed after it was uploaded: its content has another digest than its name; delete it and upload the file again"
    )]
    Changed {
        /// Where it is.
        file: String,
    },
    /// Whatever the store says.
    #[error("the uploaded file cannot be kept or read")]
    Store(#[from] FilesError),
    /// Whatever the system says of the copy.
    #[error("the copy of the uploaded file cannot be read or written")]
    Copy(#[from] io::Error),
    /// Too many others are being kept or read.
    #[error("other files are being kept or read")]
    Busy,
    /// The work was given up.
    #[error("the work on the uploaded file was given up")]
    GivenUp(#[from] tokio::task::JoinError),
}

impl Engine {
    /// Keeps an item file; its name, which its content makes. Only one at a time is in memory as a
    /// whole.
    ///
    /// # Errors
    /// [`UploadError`]
    pub async fn keep_upload(&self, mut file: File, format: &str) -> Result<String, UploadError> {
        let (vault, format) = (self.vault.clone(), format.to_owned());
        let named =
            move || -> io::Result<_> { Ok((format!("{}.{format}", digest_of(&mut file)?), file)) };
        let (name, file) = tokio::task::spawn_blocking(named).await??;
        let _alone = self.places.whole_file().await.ok_or(UploadError::Busy)?;
        let of = name.clone();
        let work = move || -> Result<_, UploadError> {
            let content = content_of(file)?;
            let Some(vault) = vault else {
                return Ok((format!("{FOLDER}/{of}"), content));
            };
            let sealed = vault.seal_file(content, &of).map_err(of_file(&of))?;
            Ok((place_of(&of, vault.ids().next()), sealed))
        };
        let (place, content) = tokio::task::spawn_blocking(work).await??;
        match self.files.keep(&place, Bytes::from(content)).await {
            Ok(_) => Ok(name),
            // Sealed twice it is not the same text; that it is the same file is seen when it is
            // opened.
            Err(FilesError::Other { .. }) => self.content(&name).await.map(|_| name),
            Err(error) => Err(error.into()),
        }
    }

    /// A copy of what was kept under a name, which goes with the process; none if there is no such
    /// file. Only one at a time is in memory as a whole.
    ///
    /// # Errors
    /// [`UploadError`]
    pub async fn upload(&self, name: &str) -> Result<Option<File>, UploadError> {
        let _alone = self.places.whole_file().await.ok_or(UploadError::Busy)?;
        let Some(content) = self.content(name).await? else {
            return Ok(None);
        };
        let copy = move || -> io::Result<File> {
            let mut copy = tempfile::tempfile()?;
            copy.write_all(&content)?;
            Ok(copy)
        };
        Ok(Some(tokio::task::spawn_blocking(copy).await??))
    }

    async fn content(&self, name: &str) -> Result<Option<Bytes>, UploadError> {
        if !is_name(name) {
            return Ok(None);
        }
        if let Some(vault) = &self.vault {
            for key in vault.ids().map(Some).chain([None]) {
                let Some(sealed) = self.files.read(&place_of(name, key)).await? else {
                    continue;
                };
                return Ok(Some(opened(Arc::clone(vault), sealed, name, key).await?));
            }
        }
        // Not sealed: there was no key when it came. The digest in its name tells whether it is
        // what came.
        let place = format!("{FOLDER}/{name}");
        let Some(content) = self.files.read(&place).await? else {
            return Ok(None);
        };
        let (whole, name) = (content.clone(), name.to_owned());
        let is_same = move || {
            hex::encode(Sha256::digest(&whole))
                == name.split_once('.').map_or("", |(digest, _)| digest)
        };
        match tokio::task::spawn_blocking(is_same).await? {
            true => Ok(Some(content)),
            false => Err(UploadError::Changed {
                file: self.files.location(&place),
            }),
        }
    }

    /// Deletes some of those that were kept long ago, which were read when their runs were planned,
    /// and what is none of them: where a process was killed, what it wrote stays behind.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn prune_uploads(&self) -> Result<u64, FilesError> {
        let old = self
            .files
            .older(
                FOLDER,
                self.clock.now().minus(self.config.retention.operational),
                FILES,
            )
            .await?;
        for name in &old {
            self.files.delete(name).await?;
        }
        let is_upload = |file: &str| is_name(parts(file).map_or(file, |(name, _)| name));
        let swept = self
            .files
            .sweep(FOLDER, is_upload, self.clock.now().minus(BEING_WRITTEN))
            .await?;
        Ok(old.len() as u64 + swept)
    }

    /// Those that are sealed under other keys than this one, by their file names.
    ///
    /// # Errors
    /// Whatever the store says.
    pub(super) async fn uploads_of_other_keys(
        &self,
        first: &str,
    ) -> Result<Vec<String>, FilesError> {
        let other = |file: &str| parts(file).is_some_and(|(_, key)| key != Some(first));
        self.files.names(FOLDER, other, FILES_COUNTED).await
    }

    /// How many are sealed under keys that are not listed.
    ///
    /// # Errors
    /// Whatever the store says.
    pub async fn uploads_under_missing_keys(&self) -> Result<usize, FilesError> {
        let is_missing = |file: &str| {
            parts(file).is_some_and(|(_, key)| match (&self.vault, key) {
                (None, _) => true,
                (Some(vault), Some(key)) => vault.ids().all(|id| id != key),
                (Some(_), None) => false,
            })
        };
        Ok(self
            .files
            .names(FOLDER, is_missing, FILES_COUNTED)
            .await?
            .len())
    }

    /// Seals one under the first key; `file`: its file name.
    ///
    /// # Errors
    /// [`UploadError`]; the old one is still there then.
    pub(super) async fn reseal_upload(&self, file: &str) -> Result<(), UploadError> {
        let Some((vault, (name, key))) = self.vault.as_ref().zip(parts(file)) else {
            return Ok(());
        };
        let old = place_of(name, key);
        let Some(sealed) = self.files.read(&old).await? else {
            return Ok(());
        };
        let content = opened(Arc::clone(vault), sealed, name, key).await?;
        let (sealing, of) = (Arc::clone(vault), name.to_owned());
        let sealed = tokio::task::spawn_blocking(move || {
            sealing.seal_file(content.into(), &of).map_err(of_file(&of))
        })
        .await??;
        match self
            .files
            .keep(&place_of(name, vault.ids().next()), Bytes::from(sealed))
            .await
        {
            Ok(_) | Err(FilesError::Other { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.files.delete(&old).await?)
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

/// Where a sealed file is kept.
fn place_of(name: &str, key: Option<&str>) -> String {
    match key {
        Some(key) => format!("{FOLDER}/{name}.{key}.{SEALED}"),
        None => format!("{FOLDER}/{name}.{SEALED}"),
    }
}

/// What a sealed file is of, and the id of its key, by its file name; none if it is not sealed.
fn parts(file: &str) -> Option<(&str, Option<&str>)> {
    let sealed = file.strip_suffix(SEALED)?.strip_suffix('.')?;
    let keyed = sealed
        .rsplit_once('.')
        .filter(|(name, key)| name.contains('.') && key.len() == KEY_ID);
    Some(keyed.map_or((sealed, None), |(name, key)| (name, Some(key))))
}

/// Whether an upload may have this name: a digest and a format.
fn is_name(name: &str) -> bool {
    name.split_once('.').is_some_and(|(digest, format)| {
        digest.len() == 64
            && digest.bytes().all(|b| b.is_ascii_hexdigit())
            && FORMATS.contains(&format)
    })
}

/// Of a file, from its beginning.
fn digest_of(file: &mut File) -> io::Result<String> {
    file.rewind()?;
    let (mut digest, mut chunk) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hex::encode(digest.finalize())),
            read => digest.update(&chunk[..read]),
        }
    }
}

/// A file as a whole, with room to seal it.
fn content_of(mut file: File) -> io::Result<Vec<u8>> {
    file.rewind()?;
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut content = Vec::with_capacity(length + SEALED_MORE);
    file.read_to_end(&mut content)?;
    Ok(content)
}

fn of_file(file: &str) -> impl FnOnce(VaultError) -> UploadError {
    |source| UploadError::Vault {
        file: file.to_owned(),
        source,
    }
}

async fn opened(
    vault: Arc<Vault>,
    sealed: Bytes,
    name: &str,
    key: Option<&str>,
) -> Result<Bytes, UploadError> {
    let (name, key) = (name.to_owned(), key.map(str::to_owned));
    let open = move || {
        vault
            .open_file(sealed.into(), &name, key.as_deref())
            .map_err(of_file(&name))
    };
    Ok(Bytes::from(tokio::task::spawn_blocking(open).await??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_sealed_file_names_its_key() {
        let key = "0123456789abcdef";
        for (name, key) in [("ab.csv", Some(key)), ("ab.csv", None)] {
            let place = place_of(name, key);
            assert_eq!(
                parts(place.strip_prefix("uploads/").unwrap()),
                Some((name, key))
            );
        }
        assert_eq!(parts("ab.csv"), None);
        assert_eq!(parts("absealed"), None);
    }
}
