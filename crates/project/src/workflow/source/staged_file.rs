//! An item file before anything is planned of it: where it may lie, what it may be, and a copy that
//! nobody else can change.
//!
//! A file may be slow, or never answer: a pipe, a share that hangs, a disk that fails. So it is
//! read to its end into a file without a name before a plan takes the ledger's write lock. The copy
//! goes with the process, however that ends.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use super::encoding::{self, Undecodable};
use super::{FileOptions, FileReading, TextEncoding};
use super::{FileRows, ReadCancellation, SourceError, format_of, nul_check, rows_of};
use crate::workflow::ItemFileFormat;
use payrun_system::regular_file;
use sha2::{Digest as _, Sha256};

/// How much of a file is copied at a time.
const CHUNK: u64 = 8 * 1024 * 1024;

/// Who names a file, and so where it may lie.
#[derive(Debug, Clone)]
pub enum FileReach {
    /// A person who types a command: wherever that person can read.
    Person,
    /// A schedule: in one of these folders.
    Schedule(Vec<PathBuf>),
    /// A caller of the API: the same, and what is not there looks as what is not allowed.
    Caller(Vec<PathBuf>),
}

/// A copy of an item file.
#[derive(Debug)]
pub struct StagedFile {
    file: File,
    /// What people know it as.
    name: PathBuf,
    /// What it was called where it was sent from.
    called: Option<String>,
}

impl StagedFile {
    /// Of a file, from where it may lie, of at most `max` MiB.
    ///
    /// # Errors
    /// [`SourceError`] if it is not there, may not be read, is larger, or is no file of rows to
    /// begin with: a folder, a pipe, a device.
    pub fn of(
        path: &Path,
        reach: &FileReach,
        max: u64,
        cancellation: &ReadCancellation,
    ) -> Result<Self, SourceError> {
        let unreadable = |source| SourceError::Read {
            path: path.to_owned(),
            source,
        };
        let file = match reach {
            FileReach::Person => regular_file::open(path).map_err(unreadable)?,
            FileReach::Schedule(folders) => within(path, folders)?.map_err(unreadable)?,
            FileReach::Caller(folders) => {
                let outside = || SourceError::Outside {
                    path: path.to_owned(),
                };
                within(path, folders)?.map_err(|_| outside())?
            }
        };
        Ok(Self {
            file: copy(&file, max, cancellation).map_err(unreadable)?,
            name: path.to_owned(),
            called: None,
        })
    }

    /// Of a file that was sent here, and that nobody else can change.
    pub fn of_sent(name: &str, file: File) -> Self {
        Self {
            file,
            name: PathBuf::from(name),
            called: None,
        }
    }

    /// The same, which was called so where it was sent from.
    pub fn called(self, name: Option<String>) -> Self {
        Self {
            called: name,
            ..self
        }
    }

    /// Its rows. Only one reader at a time.
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn rows(
        &self,
        options: &FileOptions,
        cancellation: &ReadCancellation,
    ) -> Result<FileRows, SourceError> {
        let unreadable = |source| SourceError::Read {
            path: self.name.clone(),
            source,
        };
        // Before anything is read: whoever reads the file shares its place in it.
        let digest = self.sha256(cancellation).map_err(unreadable)?;
        let mut rows = rows_of(self.opened()?, &self.name, options, cancellation)?;
        rows.reading.name = self.name.display().to_string();
        rows.reading.called.clone_from(&self.called);
        rows.reading.sha256 = Some(digest);
        Ok(rows)
    }

    /// Whether it is what its name says, as far as that can be told without a workflow: of a
    /// workbook any sheet may be meant. It is given back as it should be kept: a text in UTF-8; and
    /// how that text was understood.
    ///
    /// # Errors
    /// As [`super::open`]; [`SourceError::Nul`].
    pub fn checked(
        &self,
        options: &FileOptions,
        cancellation: &ReadCancellation,
    ) -> Result<(File, Option<FileReading>), SourceError> {
        let escaped = match format_of(&self.name) {
            Some(ItemFileFormat::Xlsx { .. }) => {
                super::Xlsx::open(self.opened()?, &self.name, None, cancellation)?;
                return Ok((self.opened()?, None));
            }
            Some(ItemFileFormat::JsonLines) => true,
            Some(ItemFileFormat::Csv) | None => false,
        };
        let unreadable = |source| SourceError::Read {
            path: self.name.clone(),
            source,
        };
        let rows = rows_of(self.opened()?, &self.name, options, cancellation)?;
        let reading = rows.reading;
        let (mut text, _) = super::decoded(self.opened()?, &self.name, options)?;
        text.rewind().map_err(unreadable)?;
        let again = text.try_clone().map_err(unreadable)?;
        match nul_check::line_with_nul(again, escaped).map_err(unreadable)? {
            Some(line) => Err(SourceError::Nul {
                path: self.name.clone(),
                line,
            }),
            None => {
                text.rewind().map_err(unreadable)?;
                Ok((text, Some(reading)))
            }
        }
    }

    /// The encoding that a text which is not UTF-8 is likely in, for a person to confirm; none where
    /// it is UTF-8, or nothing is likely.
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn likely_encoding(&self) -> Result<Option<TextEncoding>, SourceError> {
        let unreadable = |source| SourceError::Read {
            path: self.name.clone(),
            source,
        };
        match encoding::decode(self.opened()?, None).map_err(unreadable)? {
            Ok(_) => Ok(None),
            Err(Undecodable::Unsaid { likely, .. }) => Ok(likely.first().copied()),
            Err(Undecodable::Malformed { .. }) => Ok(None),
        }
    }

    /// SHA-256 of it, in hex.
    ///
    /// # Errors
    /// What reading says.
    pub fn sha256(&self, cancellation: &ReadCancellation) -> io::Result<String> {
        let mut file = self.file.try_clone()?;
        file.rewind()?;
        digest(file, cancellation)
    }

    /// The file, from its beginning.
    fn opened(&self) -> Result<File, SourceError> {
        let unreadable = |source| SourceError::Read {
            path: self.name.clone(),
            source,
        };
        let mut file = self.file.try_clone().map_err(unreadable)?;
        file.rewind().map_err(unreadable)?;
        Ok(file)
    }
}

/// SHA-256 of a file, in hex.
fn digest(mut file: File, cancellation: &ReadCancellation) -> io::Result<String> {
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; 256 * 1024]);
    loop {
        if cancellation.is_said() {
            return Err(io::Error::other("the process is about to end"));
        }
        match file.read(&mut buffer)? {
            0 => break,
            read => digest.update(&buffer[..read]),
        }
    }
    let hex = |out: String, byte: &u8| format!("{out}{byte:02x}");
    Ok(digest.finalize().iter().fold(String::new(), hex))
}

/// A copy of a file of at most so many MiB. A file whose length says more is not copied at all.
fn copy(file: &File, max: u64, cancellation: &ReadCancellation) -> io::Result<File> {
    let (mut copy, mut length) = (tempfile::tempfile()?, file.metadata()?.len());
    let most = max.saturating_mul(1024 * 1024);
    let mut copied = 0;
    while length <= most {
        if cancellation.is_said() {
            return Err(io::Error::other("the process is about to end"));
        }
        match io::copy(&mut file.take(CHUNK), &mut copy)? {
            0 => return Ok(copy),
            more => copied += more,
        }
        // It may grow meanwhile, or say nothing of its length.
        length = length.max(copied);
    }
    let what = "split it, or raise input_mib in payrun.yaml";
    Err(io::Error::other(format!(
        "it has more than {max} MiB, the most that a plan takes; {what}"
    )))
}

/// Opens a file of these folders, wherever links lead; the inner error is one that tells more than
/// a caller may know.
fn within(path: &Path, folders: &[PathBuf]) -> Result<io::Result<File>, SourceError> {
    let outside = || SourceError::Outside {
        path: path.to_owned(),
    };
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) => return Ok(Err(error)),
    };
    let mut folders = folders
        .iter()
        .filter_map(|folder| folder.canonicalize().ok());
    if !folders.any(|folder| real.starts_with(folder)) {
        return Err(outside());
    }
    let opened = regular_file::open(&real);
    // A folder on the way may have become a link meanwhile.
    let is_other = |file: &File| {
        let at = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
        at.is_ok_and(|at| at != real)
    };
    if opened.as_ref().is_ok_and(is_other) {
        Err(outside())
    } else {
        Ok(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_from_its_folders_only_wherever_links_lead() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        for name in ["project/data", "elsewhere"] {
            std::fs::create_dir_all(place(name)).unwrap();
        }
        std::fs::write(place("project/data/a.csv"), "id\n1\n").unwrap();
        std::fs::write(place("elsewhere/b.csv"), "id\n1\n").unwrap();
        std::os::unix::fs::symlink(place("elsewhere/b.csv"), place("project/data/link.csv"))
            .unwrap();
        std::os::unix::fs::symlink(place("elsewhere"), place("project/folder")).unwrap();
        std::os::unix::fs::symlink(place("project/data/a.csv"), place("project/inner.csv"))
            .unwrap();
        std::process::Command::new("mkfifo")
            .arg(place("project/pipe.csv"))
            .status()
            .unwrap();
        let told = |name: &str, reach: &FileReach| match StagedFile::of(
            &place(name),
            reach,
            1,
            &ReadCancellation::default(),
        ) {
            Ok(staged) => staged
                .rows(&FileOptions::default(), &ReadCancellation::default())
                .unwrap()
                .columns()
                .join(","),
            Err(error) => payrun_system::errors::chain(&error)
                .replace(&folder.path().display().to_string(), ""),
        };
        let caller = FileReach::Caller(vec![place("project")]);
        for name in [
            "project/data/a.csv",
            "project/inner.csv",
            "project/../project/data/a.csv",
        ] {
            assert_eq!(told(name, &caller), "id", "{name}");
        }
        for name in [
            "elsewhere/b.csv",
            "project/data/link.csv",
            "project/folder/b.csv",
            "project/../elsewhere/b.csv",
        ] {
            let refused = told(name, &caller);
            assert!(
                refused.starts_with("there is no item file"),
                "{name}: {refused}"
            );
            assert_eq!(told(name, &FileReach::Person), "id", "{name}");
            // What is not there, and what is no file, is told in the same words.
            for other in [
                "project/none.csv",
                "elsewhere/none.csv",
                "project/pipe.csv",
                "project/data",
            ] {
                assert_eq!(
                    told(other, &caller).replace(other, ""),
                    refused.replace(name, ""),
                    "{other}"
                );
            }
        }
        let schedule = FileReach::Schedule(vec![place("project")]);
        assert!(told("project/none.csv", &schedule).contains("No such file"));
        assert!(told("project/pipe.csv", &schedule).contains("it is a pipe"));
        assert!(told("project/data", &FileReach::Person).contains("it is a folder"));
    }
}
