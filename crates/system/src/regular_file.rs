//! Opens files that somebody else named: only regular ones, and never waiting for whoever is at the
//! other end.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a regular file to be read; a pipe, a device, a socket or a folder is refused without a
/// wait.
///
/// # Errors
/// Whatever the system says, or that it is no regular file.
pub fn open(path: &Path) -> io::Result<File> {
    // To open a device may do something by itself.
    let known = std::fs::metadata(path)?;
    regular(&known)?;
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let opened = file.metadata()?;
    regular(&opened)?;
    if (known.dev(), known.ino()) != (opened.dev(), opened.ino()) {
        return Err(io::Error::other(
            "another file took its place while it was opened; try again",
        ));
    }
    Ok(file)
}

fn regular(file: &Metadata) -> io::Result<()> {
    let kind = file.file_type();
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "folder",
        () if kind.is_fifo() => "pipe",
        () if kind.is_socket() => "socket",
        () => "device",
    };
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it is a {what}, and no regular file"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        std::fs::write(&file, "a: 1").unwrap();
        assert!(open(&file).is_ok());
        let pipe = folder.path().join("pipe.yaml");
        assert!(
            std::process::Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        for other in [pipe.as_path(), folder.path(), Path::new("/dev/zero")] {
            assert!(
                open(other)
                    .unwrap_err()
                    .to_string()
                    .contains("no regular file"),
                "{}",
                other.display()
            );
        }
    }
}
