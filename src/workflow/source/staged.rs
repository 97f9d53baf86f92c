//! An item file before anything is planned of it: where it may lie, what it may be, and a copy that nobody else can change.
//!
//! A file may be slow, or never answer: a pipe, a share that hangs, a disk that fails. So it is read to its end into a file without
//! a name before a plan takes its turn at the ledger. The copy goes with the process, however that ends.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use super::{Rows, SourceError, format_of, rows_of};
use crate::regular_file;
use crate::workflow::Format;

/// The longest item file, in bytes.
const FILE_MAX: u64 = 4 * 1024 * 1024 * 1024;

/// Who names a file, and so where it may lie.
#[derive(Debug, Clone)]
pub enum Reach {
    /// A person who types a command: wherever that person can read.
    Person,
    /// A schedule: in one of these folders.
    Schedule(Vec<PathBuf>),
    /// A caller of the API: the same, and what is not there looks as what is not allowed.
    Caller(Vec<PathBuf>),
}

/// A copy of an item file.
#[derive(Debug)]
pub struct Staged {
    file: File,
    /// What people know it as.
    name: PathBuf,
}

impl Staged {
    /// Of a file, from where it may lie.
    ///
    /// # Errors
    /// [`SourceError`] if it is not there, may not be read, or is no file of rows to begin with: a folder, a pipe, a device.
    pub fn of(path: &Path, reach: &Reach) -> Result<Self, SourceError> {
        let unreadable = |source| SourceError::Read { path: path.to_owned(), source };
        let file = match reach {
            Reach::Person => regular_file::open(path).map_err(unreadable)?,
            Reach::Schedule(folders) => within(path, folders)?.map_err(unreadable)?,
            Reach::Caller(folders) => {
                let outside = || SourceError::Outside { path: path.to_owned() };
                within(path, folders)?.map_err(|_| outside())?
            }
        };
        let mut copy = tempfile::tempfile().map_err(unreadable)?;
        if io::copy(&mut file.take(FILE_MAX), &mut copy).map_err(unreadable)? == FILE_MAX {
            return Err(unreadable(io::Error::other("it is larger than 4 GiB; split it")));
        }
        Ok(Self { file: copy, name: path.to_owned() })
    }

    /// Of a file that was sent here.
    ///
    /// # Errors
    /// If there is no room for it.
    pub fn of_content(name: &str, content: &[u8]) -> io::Result<Self> {
        let mut file = tempfile::tempfile()?;
        file.write_all(content)?;
        Ok(Self { file, name: PathBuf::from(name) })
    }

    /// Its rows. Only one reader at a time.
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn rows(&self, format: Option<&Format>) -> Result<Rows, SourceError> {
        let unreadable = |source| SourceError::Read { path: self.name.clone(), source };
        rows_of(self.file.try_clone().map_err(unreadable)?, &self.name, format)
    }

    /// Whether it is what its name says, as far as that can be told without a workflow: of a workbook any sheet may be meant.
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn check(&self) -> Result<(), SourceError> {
        match format_of(&self.name) {
            Some(Format::Xlsx { .. }) => {
                let unreadable = |source| SourceError::Read { path: self.name.clone(), source };
                let mut file = self.file.try_clone().map_err(unreadable)?;
                file.rewind().map_err(unreadable)?;
                super::Xlsx::open(file, &self.name, None).map(drop)
            }
            Some(Format::Csv | Format::JsonLines) | None => self.rows(None).map(drop),
        }
    }
}

/// Opens a file of these folders, wherever links lead; the inner error is one that tells more than a caller may know.
fn within(path: &Path, folders: &[PathBuf]) -> Result<io::Result<File>, SourceError> {
    let outside = || SourceError::Outside { path: path.to_owned() };
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) => return Ok(Err(error)),
    };
    let mut folders = folders.iter().filter_map(|folder| folder.canonicalize().ok());
    if !folders.any(|folder| real.starts_with(folder)) {
        return Err(outside());
    }
    let opened = regular_file::open(&real);
    // A folder on the way may have become a link meanwhile.
    let is_other = |file: &File| {
        let at = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
        at.is_ok_and(|at| at != real)
    };
    if opened.as_ref().is_ok_and(is_other) { Err(outside()) } else { Ok(opened) }
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
        std::os::unix::fs::symlink(place("elsewhere/b.csv"), place("project/data/link.csv")).unwrap();
        std::os::unix::fs::symlink(place("elsewhere"), place("project/folder")).unwrap();
        std::os::unix::fs::symlink(place("project/data/a.csv"), place("project/inner.csv")).unwrap();
        std::process::Command::new("mkfifo").arg(place("project/pipe.csv")).status().unwrap();
        let told = |name: &str, reach: &Reach| match Staged::of(&place(name), reach) {
            Ok(staged) => staged.rows(None).unwrap().columns().join(","),
            Err(error) => crate::errors::chain(&error).replace(&folder.path().display().to_string(), ""),
        };
        let caller = Reach::Caller(vec![place("project")]);
        for name in ["project/data/a.csv", "project/inner.csv", "project/../project/data/a.csv"] {
            assert_eq!(told(name, &caller), "id", "{name}");
        }
        for name in ["elsewhere/b.csv", "project/data/link.csv", "project/folder/b.csv", "project/../elsewhere/b.csv"] {
            let refused = told(name, &caller);
            assert!(refused.starts_with("there is no item file"), "{name}: {refused}");
            assert_eq!(told(name, &Reach::Person), "id", "{name}");
            // What is not there, and what is no file, is told in the same words.
            for other in ["project/none.csv", "elsewhere/none.csv", "project/pipe.csv", "project/data"] {
                assert_eq!(told(other, &caller).replace(other, ""), refused.replace(name, ""), "{other}");
            }
        }
        let schedule = Reach::Schedule(vec![place("project")]);
        assert!(told("project/none.csv", &schedule).contains("No such file"));
        assert!(told("project/pipe.csv", &schedule).contains("it is a pipe"));
        assert!(told("project/data", &Reach::Person).contains("it is a folder"));
    }
}
