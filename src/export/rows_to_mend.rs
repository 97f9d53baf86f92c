//! The rejected or the failed rows of a run, as a file like the one they came from, with the reason
//! of each: to be mended and given again.
//!
//! Nothing of a rejected row is in the ledger but its line and the reason, so the file that the run
//! read is read once more; another file than that one is refused. A row of which it is not known what
//! became of it is never among the failed ones: money may have moved for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::code_meanings::words;
use super::{ExportContext, PAGE, TableCell, TableColumn, TableColumnKind, TableHead};
use crate::domain::item::State;
use crate::domain::message::Message;
use crate::domain::text::trimmed;
use crate::engine::Engine;
use crate::engine::uploads::UploadError;
use crate::ledger::{JobRow, LaterItem, LedgerError, RejectedLine, UnsuccessfulLine};
use crate::reader_language::ReaderLanguage;
use crate::workflow::source::{
    FileReach, FileReading, FileRow, FileRows, LINE, REASON, ReadCancellation, SourceError,
    StagedFile, TO_MEND,
};

/// How many reasons are read at a time.
const REASONS: u32 = 50_000;

/// Which rows are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsWanted {
    /// Those that made no item.
    Rejected,
    /// Those whose items ended failed.
    Failed,
}

impl RowsWanted {
    /// The word for them.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}

/// Rows that are left out beside the failed ones, since nobody may give them again yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OmittedRows(BTreeMap<State, u64>);

impl OmittedRows {
    /// A sentence for each kind; the gravest first.
    pub fn sentences(&self) -> Vec<String> {
        let of = |state| self.0.get(&state).copied().unwrap_or_default();
        let apart = [State::Unknown, State::NeedsReview];
        let others = self.0.iter().filter(|(state, _)| !apart.contains(state));
        let told = |rows: u64, one: &str, more: &str| match rows {
            0 => None,
            1 => Some(format!("1 row {one}")),
            rows => Some(format!("{rows} rows {more}")),
        };
        [
            told(
                of(State::Unknown),
                "is unknown and left out: a call that timed out may have moved money; payrun goes on asking the gateway",
                "are unknown and left out: a call that timed out may have moved money; payrun goes on asking the gateway",
            ),
            told(
                of(State::NeedsReview),
                "needs review and is left out: a person has to find out what became of it, `payrun items --state needs_review`",
                "need review and are left out: a person has to find out what became of them, `payrun items --state needs_review`",
            ),
            told(
                others.map(|(_, rows)| rows).sum(),
                "has not ended and is left out: it may still be carried out as it was planned",
                "have not ended and are left out: they may still be carried out as they were planned",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Who asks, and so where the file may lie.
#[derive(Debug, Clone, Copy)]
pub enum FileRequester<'a> {
    /// A person who types a command, and may say where it lies by now.
    Person(Option<&'a Path>),
    /// A caller of the API.
    Caller,
}

/// Why there are no rows to be had.
#[derive(Debug, Error)]
pub enum RowsToMendError {
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
    /// None failed; what has not ended is named.
    #[error("no row of this run failed{}", .0.sentences().iter().map(|left| format!("; {left}")).collect::<String>())]
    NothingFailed(OmittedRows),
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

/// The rejected or failed rows of a job, and the file that has them.
#[derive(Debug)]
pub struct RowsToMend {
    staged: StagedFile,
    reading: FileReading,
    job: JobRow,
    wanted: RowsWanted,
    /// What is not among them, where those that failed are meant.
    pub left_out: OmittedRows,
    /// In which language the reasons are.
    pub language: ReaderLanguage,
}

impl RowsToMend {
    /// The kind of their job.
    pub fn job_kind(&self) -> &str {
        &self.job.kind
    }

    /// Those of a job of a run, or of its only job that read a file.
    ///
    /// # Errors
    /// [`RowsToMendError`].
    pub async fn find(
        engine: &Engine,
        (run, job): (i64, Option<&str>),
        wanted: RowsWanted,
        asked: FileRequester<'_>,
    ) -> Result<Self, RowsToMendError> {
        let ledger = &engine.ledger;
        if ledger.run(run).await?.is_none() {
            return Err(RowsToMendError::NoSuchRun(run));
        }
        let jobs = ledger.jobs(run).await?;
        let (job, reading) = job_meant(&jobs, job)?;
        let context = ExportContext {
            ledger: ledger.clone(),
            config: engine.config.clone(),
            job_kinds: engine.job_kinds.clone(),
            now: engine.clock.now(),
        };
        let mut reasons = ReasonLines::of(job.clone(), wanted);
        let (any, left_out) = reasons.counted(&context).await?;
        if !any {
            return Err(match wanted {
                RowsWanted::Rejected => RowsToMendError::NothingRejected,
                RowsWanted::Failed => RowsToMendError::NothingFailed(left_out),
            });
        }
        Ok(Self {
            job: job.clone(),
            wanted,
            left_out,
            language: ReaderLanguage::default(),
            staged: the_file(engine, &reading, asked).await?,
            reading,
        })
    }
}

/// Rows that are read page by page.
pub(super) struct PagesToMend {
    header: Vec<String>,
    /// The places of its columns, but for those that payrun added when it gave the file out before.
    own: Vec<usize>,
    /// How the file was understood, with its columns of ids as the job used them.
    reading: FileReading,
    rows: FileRows,
    row: FileRow,
    reasons: ReasonLines,
    language: ReaderLanguage,
}

impl PagesToMend {
    pub fn begin(rows: &RowsToMend) -> Result<Self, SourceError> {
        let options = rows.reading.options();
        let header = rows.reading.header.clone();
        let file = rows.staged.rows(&options, &ReadCancellation::default())?;
        let is_own = |place: &usize| ![LINE, REASON].contains(&header[*place].as_str());
        Ok(Self {
            own: (0..header.len()).filter(is_own).collect(),
            reading: FileReading {
                ids: rows.reading.ids.clone(),
                key_parts: rows.reading.key_parts.clone(),
                ..file.reading().clone()
            },
            header,
            rows: file,
            row: FileRow::default(),
            reasons: ReasonLines::of(rows.job.clone(), rows.wanted),
            language: rows.language,
        })
    }

    /// The columns of the first file, and what payrun adds.
    pub fn head(&self) -> TableHead {
        let columns = self.own.iter().map(|place| self.header[*place].as_str());
        // A number of an order stays what it is.
        let columns = columns.map(|name| (name, TableColumnKind::Id));
        let added = [
            (LINE, TableColumnKind::Count),
            (REASON, TableColumnKind::Prose),
        ];
        TableHead {
            title: "rows",
            columns: columns
                .chain(added)
                .map(|(name, kind)| TableColumn {
                    name: name.to_owned(),
                    heading: name.to_owned(),
                    kind,
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
            let Some(reason) = self.reasons.of_line(line, context).await? else {
                continue;
            };
            // What of a row could not be read cannot be written either.
            let cells = self.own.iter().map(|place| self.cell(*place));
            let mut cells: Vec<TableCell> = cells.collect();
            cells.extend([
                TableCell::Count(i64::try_from(line).unwrap_or(i64::MAX)),
                TableCell::text(self.language.reason(&reason)),
            ]);
            page.push(cells);
        }
        Ok((!page.is_empty()).then_some(page))
    }
}

impl PagesToMend {
    /// A cell as it stood there. An id that may not be what was typed is marked, so that it is not
    /// taken when the file comes back as it is.
    fn cell(&self, place: usize) -> TableCell {
        let cell = self.row.get(place).unwrap_or_default();
        let is_id = self.reading.ids.contains(&place) && !trimmed(cell).is_empty();
        let doubt = is_id.then(|| self.reading.not_as_typed(place, &self.row, trimmed(cell)));
        match doubt.flatten() {
            Some(_) => TableCell::text(format!("{TO_MEND}{cell}")),
            None => TableCell::text(cell),
        }
    }
}

/// The job that is named, or the only one that read a file; and how it read it.
fn job_meant<'a>(
    jobs: &'a [JobRow],
    name: Option<&str>,
) -> Result<(&'a JobRow, FileReading), RowsToMendError> {
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
        return Err(RowsToMendError::WhichJob(names.collect()));
    }
    all.pop().ok_or(RowsToMendError::NoFile)
}

/// The file that the job has read: the same bytes, wherever it lies by now.
async fn the_file(
    engine: &Engine,
    reading: &FileReading,
    asked: FileRequester<'_>,
) -> Result<StagedFile, RowsToMendError> {
    let (input, reach) = match asked {
        FileRequester::Person(input) => (input, FileReach::Person),
        FileRequester::Caller => {
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
    staged.ok_or(RowsToMendError::OtherFile(other))
}

/// The reasons of a job's rows by line, a page at a time.
struct ReasonLines {
    job: JobRow,
    wanted: RowsWanted,
    after: (u64, i64),
    page: VecDeque<LineReason>,
    ended: bool,
}

/// An item of a line: why it is among the rows that are wanted, or why its row must not be.
struct LineReason {
    line: u64,
    item: i64,
    reason: Result<Message, State>,
    /// Whether another item has done since what it did not, so that it says nothing any more.
    is_past: bool,
}

impl ReasonLines {
    const fn of(job: JobRow, wanted: RowsWanted) -> Self {
        Self {
            job,
            wanted,
            after: (0, 0),
            page: VecDeque::new(),
            ended: false,
        }
    }

    /// Whether there is any row that is wanted, and how many must be left out, by the state that
    /// keeps them.
    async fn counted(
        &mut self,
        context: &ExportContext,
    ) -> Result<(bool, OmittedRows), LedgerError> {
        let mut any = false;
        let mut left_out: BTreeMap<State, u64> = BTreeMap::new();
        while let Some(next) = self.front(context).await? {
            let line = next.line;
            let mut open = BTreeSet::new();
            any |= self.reasons_of(line, context, &mut open).await?.is_some();
            for state in open {
                *left_out.entry(state).or_default() += 1;
            }
        }
        Ok((any, OmittedRows(left_out)))
    }

    /// The reasons for this line, if it is wanted. Lines are asked for in their order.
    async fn of_line(
        &mut self,
        line: u64,
        context: &ExportContext,
    ) -> Result<Option<Message>, LedgerError> {
        self.reasons_of(line, context, &mut BTreeSet::new()).await
    }

    /// The same, and the states for which it must not be given.
    async fn reasons_of(
        &mut self,
        line: u64,
        context: &ExportContext,
        open: &mut BTreeSet<State>,
    ) -> Result<Option<Message>, LedgerError> {
        let mut reasons: Vec<Message> = Vec::new();
        while let Some(next) = self.front(context).await? {
            match next.line {
                before if before < line => {}
                at if at == line => match &next.reason {
                    Err(state) => {
                        open.insert(*state);
                    }
                    Ok(reason) => {
                        if !reasons.contains(reason) {
                            reasons.push(reason.clone());
                        }
                    }
                },
                _ => break,
            }
            self.page.pop_front();
        }
        let is_wanted = open.is_empty() && !reasons.is_empty();
        Ok(is_wanted.then(|| Message::all(reasons)))
    }

    async fn front(&mut self, context: &ExportContext) -> Result<Option<&LineReason>, LedgerError> {
        while self.page.is_empty() && !self.ended {
            let (ledger, job) = (&context.ledger, &self.job);
            let read = match self.wanted {
                RowsWanted::Rejected => {
                    let lines = ledger.rejected_lines(job.id, self.after, REASONS).await?;
                    lines.into_iter().map(of_rejected).collect()
                }
                RowsWanted::Failed => {
                    let lines = ledger
                        .unsuccessful_lines(job.id, self.after, REASONS)
                        .await?;
                    let lines = lines.into_iter();
                    lines
                        .map(|line| of_unsuccessful(context, job, line))
                        .collect()
                }
            };
            let read: Vec<LineReason> = read;
            self.ended = read.len() < REASONS as usize;
            if let Some(last) = read.last() {
                self.after = (last.line, last.item);
            }
            self.page = read.into_iter().filter(|line| !line.is_past).collect();
        }
        Ok(self.page.front())
    }
}

fn of_rejected(line: RejectedLine) -> LineReason {
    LineReason {
        line: line.line,
        item: line.item,
        reason: Ok(line.reason),
        is_past: false,
    }
}

/// Why an item failed, in payrun's words and the gateway's; of one that others came after, how they
/// stand.
fn of_unsuccessful(context: &ExportContext, job: &JobRow, line: UnsuccessfulLine) -> LineReason {
    let stands = line.later.as_ref().map_or(line.state, |later| later.state);
    let reason = if stands == State::Failed {
        Ok(match &line.later {
            Some(later) => Message::plain(failed_again(later)),
            None => Message::plain(why_failed(context, job, &line)),
        })
    } else {
        Err(stands)
    };
    LineReason {
        line: line.line,
        item: line.item,
        reason,
        is_past: !stands.is_open() && !matches!(stands, State::Failed | State::NeedsReview),
    }
}

fn failed_again(later: &LaterItem) -> String {
    let (item, run) = (later.item, later.run);
    let why = if later.reason.is_empty() {
        String::new()
    } else {
        format!(": {}", later.reason)
    };
    format!("it was done again as item {item} of run {run}, which failed too{why}")
}

fn why_failed(context: &ExportContext, job: &JobRow, line: &UnsuccessfulLine) -> String {
    let said = match line.reason.as_str() {
        "" => "it failed",
        reason => reason,
    };
    match line.code.as_str() {
        "" => said.to_owned(),
        code => {
            let meant = words(context, job, code);
            // What is to be done is said once.
            let meant = match meant.split_once("; ") {
                Some((meant, advice)) if said.contains(advice) => meant,
                Some(_) | None => meant.as_str(),
            };
            let code = if said.contains(code) {
                String::new()
            } else {
                format!("{code}: ")
            };
            format!("{said} ({code}{meant})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_named_first_and_what_has_not_ended_together() {
        let left_out = OmittedRows(BTreeMap::from([
            (State::Planned, 2),
            (State::Pending, 3),
            (State::NeedsReview, 1),
            (State::Unknown, 3),
        ]));
        assert_eq!(
            left_out.sentences(),
            [
                "3 rows are unknown and left out: a call that timed out may have moved money; payrun goes on asking the gateway",
                "1 row needs review and is left out: a person has to find out what became of it, `payrun items --state needs_review`",
                "5 rows have not ended and are left out: they may still be carried out as they were planned",
            ]
        );
        assert!(OmittedRows::default().sentences().is_empty());
    }
}
