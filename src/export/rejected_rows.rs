//! The rejected rows of a run, as a file like the one they came from, with the reason of each: to be
//! mended and given again.
//!
//! Nothing of such a row is in the ledger but its line and the reason, so the file that the run read
//! is read once more; another file than that one is refused.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{ExportContext, PAGE, TableCell, TableColumn, TableColumnKind, TableHead};
use crate::engine::Engine;
use crate::engine::uploads::UploadError;
use crate::ledger::{JobRow, LedgerError, RejectedLine};
use crate::workflow::source::{
    FileReach, FileReading, FileRow, FileRows, REASON, ReadCancellation, SourceError, StagedFile,
};

/// What stands above the lines of the first file.
const LINE: &str = "payrun_line";

/// How many reasons are read at a time.
const REASONS: u32 = 50_000;

/// Who asks, and so where the file may lie.
#[derive(Debug, Clone, Copy)]
pub enum FileAsked<'a> {
    /// A person who types a command, and may say where it lies by now.
    Person(Option<&'a Path>),
    /// A caller of the API.
    Caller,
}

/// Why there are no rows to be had.
#[derive(Debug, Error)]
pub enum RejectedRowsError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is no such run.
    #[error("there is no run {0}")]
    NoSuchRun(i64),
    /// Nothing of the run came from a file.
    #[error("no job of this run took its rows from a file")]
    NoFile,
    /// All rows were taken.
    #[error("no row of this run was rejected")]
    NothingRejected,
    /// Several jobs read files.
    #[error("which job? it is one of {}", .0.join(", "))]
    WhichJob(Vec<String>),
    /// The file is not there any more, or is another by now.
    #[error("{} is not the file that the run has read, or is not there any more", .0.display())]
    OtherFile(PathBuf),
    /// Uploaded files cannot be read.
    #[error(transparent)]
    Upload(#[from] UploadError),
}

/// The rejected rows of a job, and the file that has them.
#[derive(Debug)]
pub struct RejectedRows {
    staged: StagedFile,
    reading: FileReading,
    job_id: i64,
}

impl RejectedRows {
    /// Those of a job of a run, or of its only job that read a file.
    ///
    /// # Errors
    /// [`RejectedRowsError`].
    pub async fn find(
        engine: &Engine,
        run: i64,
        job: Option<&str>,
        asked: FileAsked<'_>,
    ) -> Result<Self, RejectedRowsError> {
        let ledger = &engine.ledger;
        if ledger.run(run).await?.is_none() {
            return Err(RejectedRowsError::NoSuchRun(run));
        }
        let jobs = ledger.jobs(run).await?;
        let (job, reading) = job_meant(&jobs, job)?;
        if ledger.rejected_lines(job.id, (0, 0), 1).await?.is_empty() {
            return Err(RejectedRowsError::NothingRejected);
        }
        Ok(Self {
            job_id: job.id,
            staged: the_file(engine, &reading, asked).await?,
            reading,
        })
    }
}

/// Rejected rows that are read page by page.
pub(super) struct RejectedPages {
    header: Vec<String>,
    /// The places of its columns, but for those that payrun added when it gave the file out before.
    own: Vec<usize>,
    rows: FileRows,
    row: FileRow,
    reasons: RejectedLines,
}

impl RejectedPages {
    pub fn begin(rejected: &RejectedRows) -> Result<Self, SourceError> {
        let options = rejected.reading.options();
        let header = rejected.reading.header.clone();
        let is_own = |place: &usize| ![LINE, REASON].contains(&header[*place].as_str());
        Ok(Self {
            own: (0..header.len()).filter(is_own).collect(),
            header,
            rows: rejected
                .staged
                .rows(&options, &ReadCancellation::default())?,
            row: FileRow::default(),
            reasons: RejectedLines {
                job_id: rejected.job_id,
                after: (0, 0),
                page: VecDeque::new(),
                ended: false,
            },
        })
    }

    /// The columns of the first file, and what payrun adds.
    pub fn head(&self) -> TableHead {
        let columns = self.own.iter().map(|place| self.header[*place].as_str());
        TableHead {
            title: "rows",
            columns: columns
                .chain([LINE, REASON])
                .map(|name| TableColumn {
                    name: name.to_owned(),
                    heading: name.to_owned(),
                    // A number of an order stays what it is.
                    kind: TableColumnKind::Id,
                })
                .collect(),
            zone: chrono_tz::UTC,
        }
    }

    pub async fn next(
        &mut self,
        context: &ExportContext,
    ) -> Result<Option<Vec<Vec<TableCell>>>, LedgerError> {
        let mut page = Vec::new();
        while page.len() < PAGE as usize
            && let Some(read) = self.rows.read(&mut self.row)
        {
            let line = read
                .as_ref()
                .map_or_else(|error| error.line, |()| self.row.line);
            let Some(reason) = self.reasons.of(line, context).await? else {
                continue;
            };
            // What of a row could not be read cannot be written either.
            let cell = |place: &usize| self.row.get(*place).unwrap_or_default();
            let cells = self.own.iter().map(|place| TableCell::text(cell(place)));
            let mut cells: Vec<TableCell> = cells.collect();
            cells.extend([TableCell::text(line.to_string()), TableCell::text(reason)]);
            page.push(cells);
        }
        Ok((!page.is_empty()).then_some(page))
    }
}

/// The job that is named, or the only one that read a file; and how it read it.
fn job_meant<'a>(
    jobs: &'a [JobRow],
    name: Option<&str>,
) -> Result<(&'a JobRow, FileReading), RejectedRowsError> {
    let read = |job: &'a JobRow| {
        let reading = serde_json::from_str(job.file.as_deref()?)
            .map_err(|_| LedgerError::corrupt("jobs", job.id, "file"));
        Some(reading.map(|reading| (job, reading)))
    };
    let mut all: Vec<(&JobRow, FileReading)> =
        jobs.iter().filter_map(read).collect::<Result<_, _>>()?;
    if let Some(name) = name {
        all.retain(|(job, _)| job.name == name);
    }
    if all.len() > 1 {
        let names = all.iter().map(|(job, _)| job.name.clone());
        return Err(RejectedRowsError::WhichJob(names.collect()));
    }
    all.pop().ok_or(RejectedRowsError::NoFile)
}

/// The file that the job has read: the same bytes, wherever it lies by now.
async fn the_file(
    engine: &Engine,
    reading: &FileReading,
    asked: FileAsked<'_>,
) -> Result<StagedFile, RejectedRowsError> {
    let (input, reach) = match asked {
        FileAsked::Person(input) => (input, FileReach::Person),
        FileAsked::Caller => {
            let folders = std::iter::once(&engine.config.folder).chain(&engine.config.inputs);
            (None, FileReach::Caller(folders.cloned().collect()))
        }
    };
    let path = input.unwrap_or(Path::new(&reading.name)).to_owned();
    let uploaded = match input {
        None if !path.is_file() => engine.upload(&reading.name).await?,
        Some(_) | None => None,
    };
    let (name, wanted) = (reading.name.clone(), reading.sha256.clone());
    let max = engine.config.input_mib;
    let other = path.clone();
    let staging = tokio::task::spawn_blocking(move || {
        let staged = match uploaded {
            Some(file) => Some(StagedFile::of_sent(&name, file)),
            None => StagedFile::of(&path, &reach, max, &ReadCancellation::default()).ok(),
        }?;
        let digest = staged.sha256(&ReadCancellation::default()).ok()?;
        (wanted.as_deref() == Some(digest.as_str())).then_some(staged)
    });
    let staged = staging.await.ok().flatten();
    staged.ok_or(RejectedRowsError::OtherFile(other))
}

/// The reasons of a job's rejected rows by line, a page at a time.
struct RejectedLines {
    job_id: i64,
    after: (u64, i64),
    page: VecDeque<RejectedLine>,
    ended: bool,
}

impl RejectedLines {
    /// The reasons for this line, if it was rejected. Lines are asked for in their order.
    async fn of(
        &mut self,
        line: u64,
        context: &ExportContext,
    ) -> Result<Option<String>, LedgerError> {
        let mut reasons: Option<String> = None;
        while let Some(next) = self.front(context).await? {
            match next.line {
                before if before < line => {}
                at if at == line => {
                    let known = reasons.get_or_insert_default();
                    if !known.contains(&next.reason) {
                        let between = if known.is_empty() { "" } else { "; " };
                        known.push_str(between);
                        known.push_str(&next.reason);
                    }
                }
                _ => break,
            }
            self.page.pop_front();
        }
        Ok(reasons)
    }

    async fn front(
        &mut self,
        context: &ExportContext,
    ) -> Result<Option<&RejectedLine>, LedgerError> {
        if self.page.is_empty() && !self.ended {
            let reading = context
                .ledger
                .rejected_lines(self.job_id, self.after, REASONS);
            self.page = reading.await?.into();
            self.ended = self.page.len() < REASONS as usize;
            if let Some(last) = self.page.back() {
                self.after = (last.line, last.item);
            }
        }
        Ok(self.page.front())
    }
}
