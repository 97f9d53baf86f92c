//! The files that payrun keeps, statements and reports, in a folder or a bucket.
//!
//! A file is there as a whole or not at all. What is kept under a name is never overwritten by
//! other content; only reports, which can be made again, may be replaced, and only what was
//! uploaded is deleted when it is old.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use thiserror::Error;

use payrun_domain::time::Timestamp;
use payrun_system::private_files::{take_from_others, tell_if_others_write};

/// The folders that are made in the place for files. The place itself is the user's where it is not
/// within the project, and may hold other things.
const FOLDERS: [&str; 3] = ["statements", "reports", "uploads"];

/// A file that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its name: `reports/runs/run-7.html`.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// When it was last written.
    pub written_at: Timestamp,
}

/// A place for files.
#[derive(Debug, Clone)]
pub struct Files {
    store: Arc<dyn ObjectStore>,
    /// Before every name in the store.
    prefix: Path,
    /// Before every name as people see it.
    shown: String,
    /// Where it is a folder.
    folder: Option<PathBuf>,
}

impl Files {
    /// Opens a folder, relative to `folder` and made if it is not there, or a bucket:
    /// `s3://bucket/prefix`, with the credentials of the environment (`AWS_ACCESS_KEY_ID` and its
    /// kin).
    ///
    /// # Errors
    /// If the place cannot be used.
    pub fn open(place: &str, folder: &FilePath) -> Result<Self, FilesError> {
        let cannot = |source| FilesError::Open {
            place: place.to_owned(),
            source,
        };
        if let Some(bucket) = place.strip_prefix("s3://") {
            let (bucket, prefix) = bucket.split_once('/').unwrap_or((bucket, ""));
            let store = AmazonS3Builder::from_env()
                .with_bucket_name(bucket)
                .build()
                .map_err(cannot)?;
            let shown = place.trim_end_matches('/').to_owned();
            return Ok(Self {
                store: Arc::new(store),
                prefix: Path::from(prefix),
                shown,
                folder: None,
            });
        }
        let path = folder.join(place);
        let unusable = |source| FilesError::Folder {
            place: path.display().to_string(),
            source,
        };
        std::fs::create_dir_all(&path).map_err(unusable)?;
        if is_within(&path, folder) {
            take_from_others(&path);
        }
        tell_if_others_write(&path);
        FOLDERS
            .iter()
            .for_each(|folder| take_from_others(&path.join(folder)));
        let store = LocalFileSystem::new_with_prefix(&path)
            .map_err(cannot)?
            .with_fsync(true);
        let shown = path.display().to_string();
        Ok(Self {
            store: Arc::new(store),
            prefix: Path::default(),
            shown,
            folder: Some(path),
        })
    }

    /// Keeps a file for ever; the same content again is no mistake. Returns where it is.
    ///
    /// # Errors
    /// [`FilesError::Other`] if another content has that name.
    pub async fn keep(&self, name: &str, content: Bytes) -> Result<String, FilesError> {
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        let put = self
            .store
            .put_opts(
                &self.at(name),
                PutPayload::from_bytes(content.clone()),
                options,
            )
            .await;
        match put {
            Ok(_) => Ok(self.location(name)),
            Err(object_store::Error::AlreadyExists { .. }) => self.same(name, &content).await,
            Err(source) => Err(self.failed(name, source)),
        }
    }

    /// Writes a file in place of what may be there. Returns where it is.
    ///
    /// # Errors
    /// If it cannot be written; what was there is still there then.
    pub async fn replace(&self, name: &str, content: Bytes) -> Result<String, FilesError> {
        let put = self
            .store
            .put(&self.at(name), PutPayload::from_bytes(content))
            .await;
        put.map(|_| self.location(name))
            .map_err(|source| self.failed(name, source))
    }

    /// What is kept under a name; none if nothing is.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn read(&self, name: &str) -> Result<Option<Bytes>, FilesError> {
        let there = match self.store.get(&self.at(name)).await {
            Ok(there) => there,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(self.failed(name, source)),
        };
        there
            .bytes()
            .await
            .map(Some)
            .map_err(|source| self.failed(name, source))
    }

    /// What is kept under a name, if it is no longer than so many bytes; none if nothing is, or it is
    /// longer.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn read_within(&self, name: &str, most: u64) -> Result<Option<Bytes>, FilesError> {
        let there = match self.store.get(&self.at(name)).await {
            Ok(there) if there.meta.size <= most => there,
            Ok(_) | Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(source) => return Err(self.failed(name, source)),
        };
        let bytes = there.bytes().await;
        bytes.map(Some).map_err(|source| self.failed(name, source))
    }

    /// What is kept under a name, piece by piece, and its length; none if nothing is.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn stream(
        &self,
        name: &str,
    ) -> Result<Option<(u64, BoxStream<'static, std::io::Result<Bytes>>)>, FilesError> {
        match self.store.get(&self.at(name)).await {
            Ok(there) => {
                let length = there.meta.size;
                let pieces = there.into_stream().map_err(std::io::Error::other);
                Ok(Some((length, pieces.boxed())))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed(name, source)),
        }
    }

    /// A file by its name; none if there is no such.
    ///
    /// # Errors
    /// If it cannot be looked for.
    pub async fn stat(&self, name: &str) -> Result<Option<StoredFile>, FilesError> {
        match self.store.head(&self.at(name)).await {
            Ok(found) => Ok(Some(self.stored(&found))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed(name, source)),
        }
    }

    /// The files of a folder of the store and of the folders in it, in no order.
    pub fn list(&self, folder: &str) -> BoxStream<'static, Result<StoredFile, FilesError>> {
        let (files, folder) = (self.clone(), folder.to_owned());
        let found = self.store.list(Some(&self.at(&folder)));
        found
            .map(move |found| match found {
                Ok(found) => Ok(files.stored(&found)),
                Err(source) => Err(files.failed(&folder, source)),
            })
            .boxed()
    }

    fn stored(&self, found: &object_store::ObjectMeta) -> StoredFile {
        let prefix = self.prefix.parts().count();
        let parts = found.location.parts().skip(prefix);
        let parts: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
        StoredFile {
            name: parts.join("/"),
            bytes: found.size,
            written_at: Timestamp::from_millis(found.last_modified.timestamp_millis()),
        }
    }

    /// The names of files in a folder of the store that were last written before an instant, at
    /// most so many.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub async fn older(
        &self,
        folder: &str,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<String>, FilesError> {
        let place = self.at(folder);
        let old = self.store.list(Some(&place)).try_filter(|file| {
            std::future::ready(
                Timestamp::from_millis(file.last_modified.timestamp_millis()) < before,
            )
        });
        let names =
            old.map_ok(|file| format!("{folder}/{}", file.location.filename().unwrap_or_default()));
        names
            .take(limit)
            .try_collect()
            .await
            .map_err(|source| self.failed(folder, source))
    }

    /// Deletes a file; one that is gone already is no mistake.
    ///
    /// # Errors
    /// If it cannot be deleted.
    pub async fn delete(&self, name: &str) -> Result<(), FilesError> {
        match self.store.delete(&self.at(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.failed(name, source)),
        }
    }

    /// Deletes the files in a folder that are not known by their names and were last written before
    /// an instant. In a bucket there are none: a file is there as a whole or not at all.
    ///
    /// # Errors
    /// If they cannot be listed or deleted.
    pub async fn sweep(
        &self,
        folder: &str,
        is_known: impl Fn(&str) -> bool + Send + 'static,
        before: Timestamp,
    ) -> Result<u64, FilesError> {
        let Some(path) = self.folder.as_ref().map(|place| place.join(folder)) else {
            return Ok(0);
        };
        let swept = tokio::task::spawn_blocking(move || sweep(&path, is_known, before)).await;
        let swept = swept.map_err(std::io::Error::other).flatten();
        swept.map_err(|source| FilesError::Folder {
            place: self.location(folder),
            source,
        })
    }

    /// The names of files in a folder of the store that are wanted by their names, at most so many.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub async fn names(
        &self,
        folder: &str,
        wanted: impl Fn(&str) -> bool,
        limit: usize,
    ) -> Result<Vec<String>, FilesError> {
        let place = self.at(folder);
        let names = self
            .store
            .list(Some(&place))
            .map_ok(|file| file.location.filename().unwrap_or_default().to_owned());
        let wanted = names.try_filter(|name| std::future::ready(wanted(name)));
        wanted
            .take(limit)
            .try_collect()
            .await
            .map_err(|source| self.failed(folder, source))
    }

    async fn same(&self, name: &str, content: &Bytes) -> Result<String, FilesError> {
        let other = || FilesError::Other {
            name: self.location(name),
        };
        let failed = |source| self.failed(name, source);
        let there = match self.store.get(&self.at(name)).await {
            Ok(there) => there,
            Err(object_store::Error::NotFound { .. }) => return Err(other()),
            Err(source) => return Err(failed(source)),
        };
        // It may be large, and is not held beside the other.
        let (mut there, mut left) = (there.into_stream(), &content[..]);
        while let Some(part) = there.try_next().await.map_err(failed)? {
            left = left.strip_prefix(&part[..]).ok_or_else(other)?;
        }
        if left.is_empty() {
            Ok(self.location(name))
        } else {
            Err(other())
        }
    }

    fn at(&self, name: &str) -> Path {
        let parts = self.prefix.parts().map(|part| part.as_ref().to_owned());
        Path::from_iter(parts.chain(name.split('/').map(str::to_owned)))
    }

    /// Where a file of this name is, for people.
    pub fn location(&self, name: &str) -> String {
        format!("{}/{name}", self.shown)
    }

    fn failed(&self, name: &str, source: object_store::Error) -> FilesError {
        FilesError::Store {
            name: self.location(name),
            source,
        }
    }
}

/// Whether a folder lies within another one.
fn is_within(path: &FilePath, folder: &FilePath) -> bool {
    // A bare name of a file has an empty folder.
    let folder = if folder.as_os_str().is_empty() {
        FilePath::new(".")
    } else {
        folder
    };
    let real = path.canonicalize().ok().zip(folder.canonicalize().ok());
    real.is_some_and(|(path, folder)| path != folder && path.starts_with(folder))
}

fn sweep(
    folder: &FilePath,
    is_known: impl Fn(&str) -> bool,
    before: Timestamp,
) -> std::io::Result<u64> {
    let before =
        std::time::UNIX_EPOCH + Duration::from_millis(before.millis().try_into().unwrap_or(0));
    let files = match std::fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut swept = 0;
    for file in files {
        let file = file?;
        let found = file.metadata()?;
        if found.is_file()
            && !is_known(&file.file_name().to_string_lossy())
            && found.modified()? < before
        {
            std::fs::remove_file(file.path())?;
            tracing::warn!(
                "{} is no file of payrun's and was deleted",
                file.path().display()
            );
            swept += 1;
        }
    }
    Ok(swept)
}

/// Why a file is not kept.
#[derive(Debug, Error)]
pub enum FilesError {
    /// The place cannot be used.
    #[error("files cannot be kept in {place}")]
    Open {
        /// Which place.
        place: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// The folder cannot be made.
    #[error("the folder {place} cannot be used")]
    Folder {
        /// Which folder.
        place: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another content has this name.
    #[error("{name} is there with another content; it is left as it is")]
    Other {
        /// Which file.
        name: String,
    },
    /// Reading or writing failed.
    #[error("{name} cannot be kept")]
    Store {
        /// Which file.
        name: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_kept_stays_and_reports_are_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open("kept", folder.path()).unwrap();
        let name = "statements/hk/2026-11-21.csv";
        let location = files.keep(name, Bytes::from_static(b"one")).await.unwrap();
        assert_eq!(std::fs::read(&location).unwrap(), b"one");
        assert_eq!(
            files.keep(name, Bytes::from_static(b"one")).await.unwrap(),
            location
        );
        assert!(matches!(
            files.keep(name, Bytes::from_static(b"two")).await,
            Err(FilesError::Other { .. })
        ));
        assert_eq!(std::fs::read(&location).unwrap(), b"one");
        let report = files
            .replace("reports/a.html", Bytes::from_static(b"1"))
            .await
            .unwrap();
        files
            .replace("reports/a.html", Bytes::from_static(b"2"))
            .await
            .unwrap();
        assert_eq!(std::fs::read(report).unwrap(), b"2");
    }

    #[test]
    fn a_place_that_cannot_be_a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), b"").unwrap();
        assert!(matches!(
            Files::open("file", folder.path()),
            Err(FilesError::Folder { .. })
        ));
    }
}
