//! The item files of a run, as people know them.

use crate::ledger::{JobRow, LedgerError};
use crate::workflow::source::FileReading;

/// A file that items of a run came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunFile {
    /// As it is told of: of a path its whole.
    pub name: String,
    /// Without the folders.
    pub short: String,
    /// Whether it was sent as an upload.
    pub was_sent: bool,
}

/// The files of the jobs of a run, each once.
pub(super) fn files_of(jobs: &[JobRow]) -> Result<Vec<RunFile>, LedgerError> {
    let mut files = Vec::new();
    for job in jobs {
        let Some(file) = &job.file else { continue };
        let reading: FileReading =
            serde_json::from_str(file).map_err(|_| LedgerError::corrupt("jobs", job.id, "file"))?;
        let file = RunFile::of(&reading);
        if !files.contains(&file) {
            files.push(file);
        }
    }
    Ok(files)
}

impl RunFile {
    fn of(reading: &FileReading) -> Self {
        let name = reading.shown_name().to_owned();
        Self {
            short: name.rsplit('/').next().unwrap_or_default().to_owned(),
            was_sent: reading.was_sent(),
            name,
        }
    }
}
