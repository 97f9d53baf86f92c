//! Files that are made and never written over.

use std::io::Write as _;
use std::path::Path;

use super::exit::Failure;

/// A file of the project, made unless it is there.
pub(super) fn write_new(folder: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| cannot_write(parent, &error))?;
    }
    let opened = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path);
    opened
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| cannot_write(&path, &error))
}

pub(super) fn cannot_write(path: &Path, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::AlreadyExists {
        return Failure::invalid(format!("{} is there already", path.display()))
            .help("name another folder; payrun never writes over a project");
    }
    Failure::invalid(format!("{} cannot be written: {error}", path.display()))
}
