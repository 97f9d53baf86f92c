//! Files that are made and never written over.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use super::exit::Failure;

/// A file of the project, made unless it is there.
pub(super) fn write_new(folder: &Path, name: &str, text: &str) -> Result<(), Failure> {
    write_file(&folder.join(name), text.as_bytes())
}

/// A file, made unless it is there.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    create_file(path)?
        .write_all(bytes)
        .map_err(|error| cannot_write(path, &error))
}

/// A file to write into, made unless it is there.
pub(super) fn create_file(path: &Path) -> Result<File, Failure> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| cannot_write(parent, &error))?;
    }
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|error| cannot_write(path, &error))
}

pub(super) fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::AlreadyExists {
        return Failure::invalid(format!("{} is there already", path.display()))
            .help("name another one; payrun never writes over a file");
    }
    Failure::invalid(format!("{} cannot be written: {error}", path.display()))
}
