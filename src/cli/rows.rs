//! `payrun rows`: the rejected rows of a run, as a file like the one they came from.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use clap::Args;
use tokio::runtime::Handle;

use super::Context;
use super::exit::{Exit, Failure, chain};
use super::output::{counted, say};
use super::write_new::create_file;
use crate::app::Project;
use crate::engine::Engine;
use crate::export::{
    TableCell, TableColumn, TableColumnKind, TableFormat, TableHead, TableOptions, TableWriter,
};
use crate::ledger::{JobRow, Ledger, RejectedLine};
use crate::workflow::source::{FileReach, FileReading, FileRow, GiveUp, StagedFile};

/// What stands above the reasons, and above the lines of the first file.
const REASON: &str = "payrun_reason";
const LINE: &str = "payrun_line";

/// How many rejected rows are read at a time.
const PAGE: u32 = 50_000;

/// Arguments of `payrun rows`.
#[derive(Debug, Args)]
pub(super) struct RowsArgs {
    /// The run
    #[arg(value_name = "RUN")]
    run: i64,
    /// The rows that were rejected
    #[arg(long, required = true)]
    rejected: bool,
    /// Which job, if several took rows from a file
    #[arg(long)]
    job: Option<String>,
    /// The file that the run read, if it lies elsewhere by now
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// The file to write: .csv or .xlsx
    #[arg(long, short = 'o', value_name = "FILE")]
    output: PathBuf,
}

pub(super) async fn run(context: &Context, args: &RowsArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    if ledger.run(args.run).await?.is_none() {
        return Err(Failure::invalid(format!("there is no run {}", args.run)).help("payrun runs"));
    }
    let jobs = ledger.jobs(args.run).await?;
    let format = TableFormat::of_file(&args.output)
        .filter(|format| matches!(format, TableFormat::Csv | TableFormat::Xlsx))
        .ok_or_else(|| {
            Failure::invalid(format!(
                "{}: rejected rows are written as .csv or .xlsx",
                args.output.display()
            ))
        })?;
    let (job, reading) = job_meant(&jobs, args.job.as_deref())?;
    let engine = project
        .engine(ledger.clone(), crate::clock::Clock::System)
        .await?;
    let staged = the_file(&engine, &reading, args.input.as_deref()).await?;
    let job_id = job.id;
    let output = args.output.clone();
    let runtime = Handle::current();
    let writing = tokio::task::spawn_blocking(move || {
        let rejected = RejectedLines {
            ledger,
            runtime,
            job_id,
            after: (0, 0),
            page: VecDeque::new(),
            ended: false,
        };
        write(&staged, &reading, rejected, (&output, format))
    });
    let written = writing
        .await
        .map_err(|_| Failure::invalid("the writing broke off"))??;
    say(format!(
        "{}: {} with the reasons in the column {REASON}; mend them and give the file again",
        args.output.display(),
        counted(written, "rejected row")
    ));
    Ok(Exit::Success)
}

/// The job that is named, or the only one that read a file; and how it read it.
fn job_meant<'a>(
    jobs: &'a [JobRow],
    name: Option<&str>,
) -> Result<(&'a JobRow, FileReading), Failure> {
    let read = |job: &'a JobRow| {
        let reading = serde_json::from_str::<FileReading>(job.file.as_deref()?).ok()?;
        Some((job, reading))
    };
    let mut all: Vec<(&JobRow, FileReading)> = jobs.iter().filter_map(read).collect();
    if let Some(name) = name {
        all.retain(|(job, _)| job.name == name);
    }
    match all.len() {
        1 => all.pop().ok_or_else(|| Failure::invalid("no job is meant")),
        0 => Err(Failure::invalid(
            "no job of this run took its rows from a file; payrun items --run RUN --state rejected lists them",
        )),
        _ => {
            let names: Vec<&str> = all.iter().map(|(job, _)| job.name.as_str()).collect();
            Err(Failure::invalid("which job?")
                .help(format!("--job is one of {}", names.join(", "))))
        }
    }
}

/// The file that the job has read: the same bytes, wherever it lies by now.
async fn the_file(
    engine: &Engine,
    reading: &FileReading,
    input: Option<&Path>,
) -> Result<StagedFile, Failure> {
    let path = input.unwrap_or(Path::new(&reading.name));
    let other = || {
        Failure::invalid(format!(
            "{} is not the file that the run has read, or is not there any more",
            path.display()
        ))
        .help("--input names the file of that run")
    };
    let uploaded = match (input, path.is_file()) {
        (None, false) => engine.upload(&reading.name).await.ok().flatten(),
        (Some(_), _) | (None, true) => None,
    };
    let staged = match uploaded {
        Some(file) => StagedFile::of_sent(&reading.name, file),
        None => StagedFile::of(
            path,
            &FileReach::Person,
            engine.config.input_mib,
            &GiveUp::default(),
        )
        .map_err(|_| other())?,
    };
    let digest = staged
        .sha256(&GiveUp::default())
        .map_err(|error| Failure::invalid(format!("{} cannot be read: {error}", path.display())))?;
    if reading.sha256.as_deref() == Some(digest.as_str()) {
        Ok(staged)
    } else {
        Err(other())
    }
}

/// The rejected rows of a job by line, a page at a time.
struct RejectedLines {
    ledger: Ledger,
    runtime: Handle,
    job_id: i64,
    after: (i64, i64),
    page: VecDeque<RejectedLine>,
    ended: bool,
}

impl RejectedLines {
    /// The reasons for this line, if it was rejected. Lines are asked for in their order.
    fn reasons_of(&mut self, line: u64) -> Result<Option<String>, Failure> {
        let mut reasons: Option<String> = None;
        while let Some(next) = self.front()? {
            match u64::try_from(next.line).unwrap_or(0) {
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

    fn front(&mut self) -> Result<Option<&RejectedLine>, Failure> {
        if self.page.is_empty() && !self.ended {
            let reading = self.ledger.rejected_lines(self.job_id, self.after, PAGE);
            self.page = self.runtime.block_on(reading)?.into();
            self.ended = self.page.len() < PAGE as usize;
            if let Some(last) = self.page.back() {
                self.after = (last.line, last.item);
            }
        }
        Ok(self.page.front())
    }
}

/// Writes the rows, and says how many.
fn write(
    staged: &StagedFile,
    reading: &FileReading,
    mut rejected: RejectedLines,
    (output, format): (&Path, TableFormat),
) -> Result<u64, Failure> {
    let rows = staged.rows(&reading.options(), &GiveUp::default());
    let mut rows = rows.map_err(|error| Failure::invalid(chain(&error)))?;
    let options = TableOptions {
        format,
        // Excel knows UTF-8 by it.
        bom: true,
        temporary: None,
    };
    let file = create_file(output)?;
    let mut table =
        TableWriter::begin(file, head(reading), &options).map_err(|error| unwritten(&error))?;
    let mut row = FileRow::default();
    while let Some(read) = rows.read(&mut row) {
        let line = read.as_ref().map_or_else(|error| error.line, |()| row.line);
        let Some(reason) = rejected.reasons_of(line)? else {
            continue;
        };
        // What of a row could not be read cannot be written either.
        let mut cells: Vec<TableCell> = match read {
            Ok(()) => row.iter().map(TableCell::text).collect(),
            Err(_) => vec![TableCell::Empty; reading.header.len()],
        };
        cells.extend([TableCell::text(line.to_string()), TableCell::text(reason)]);
        table.row(&cells).map_err(|error| unwritten(&error))?;
    }
    let (_, end) = table.finish().map_err(|error| unwritten(&error))?;
    Ok(end.rows)
}

/// The columns of the first file, and what payrun adds.
fn head(reading: &FileReading) -> TableHead {
    let columns = reading.header.iter().map(String::as_str);
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

fn unwritten(error: &dyn std::error::Error) -> Failure {
    Failure::invalid(format!("the file cannot be made: {error}"))
}
