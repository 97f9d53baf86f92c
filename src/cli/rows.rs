//! `payrun rows`: the rejected rows of a run, as a file like the one they came from.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use rust_xlsxwriter::{Format, Workbook, Worksheet, XlsxError};
use tokio::runtime::Handle;

use super::Context;
use super::exit::{Exit, Failure, chain};
use super::output::{counted, say};
use super::write_new::create_file;
use crate::app::Project;
use crate::domain::text::inert;
use crate::engine::Engine;
use crate::ledger::{JobRow, Ledger, RejectedLine};
use crate::workflow::source::{FileReach, FileReading, FileRow, GiveUp, StagedFile};

/// What stands above the reasons, and above the lines of the first file.
const REASON: &str = "payrun_reason";
const LINE: &str = "payrun_line";

/// How many rejected rows are read at a time.
const PAGE: u32 = 50_000;

/// The most rows of a sheet below its header.
const SHEET_MAX: u64 = 1_048_575;

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
        write(&staged, &reading, rejected, &output)
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
    output: &Path,
) -> Result<u64, Failure> {
    let rows = staged.rows(&reading.options(), &GiveUp::default());
    let mut rows = rows.map_err(|error| Failure::invalid(chain(&error)))?;
    let header: Vec<&str> = reading
        .header
        .iter()
        .map(String::as_str)
        .chain([LINE, REASON])
        .collect();
    let mut file = RejectedFile::new(output, &header)?;
    let (mut row, mut written) = (FileRow::default(), 0);
    let empty = vec![""; reading.header.len()];
    while let Some(read) = rows.read(&mut row) {
        let (line, cells): (u64, Vec<&str>) = match &read {
            Ok(()) => (row.line, row.iter().collect()),
            // What of it could not be read cannot be written either.
            Err(error) => (error.line, empty.clone()),
        };
        if let Some(reason) = rejected.reasons_of(line)? {
            file.row(&cells, line, &reason)?;
            written += 1;
        }
    }
    file.end()?;
    Ok(written)
}

/// The file that is written.
enum RejectedFile {
    Csv(Box<csv::Writer<File>>),
    /// The workbook, its next row, and where it is written in the end.
    Xlsx(Box<Workbook>, u32, File),
}

impl RejectedFile {
    fn new(output: &Path, header: &[&str]) -> Result<Self, Failure> {
        match output.extension().and_then(|end| end.to_str()) {
            Some("csv") => {
                let mut file = create_file(output)?;
                // Excel knows UTF-8 by the byte order mark.
                file.write_all("\u{feff}".as_bytes())
                    .map_err(|error| unwritten(&error))?;
                let mut writer = csv::WriterBuilder::new().from_writer(file);
                let header: Vec<_> = header.iter().map(|name| inert(name)).collect();
                writer
                    .write_record(header.iter().map(|name| name.as_bytes()))
                    .map_err(|error| unwritten(&error))?;
                Ok(Self::Csv(Box::new(writer)))
            }
            Some("xlsx") => {
                let file = create_file(output)?;
                let mut book = Workbook::new();
                let sheet = book
                    .add_worksheet_with_constant_memory()
                    .map_err(|error| unwritten(&error))?;
                text_row(sheet, 0, header, Some(&Format::new().set_bold()))
                    .map_err(|error| unwritten(&error))?;
                Ok(Self::Xlsx(Box::new(book), 1, file))
            }
            _ => Err(Failure::invalid(format!(
                "{}: rejected rows are written as .csv or .xlsx",
                output.display()
            ))),
        }
    }

    fn row(&mut self, cells: &[&str], line: u64, reason: &str) -> Result<(), Failure> {
        let line = line.to_string();
        let cells: Vec<&str> = cells
            .iter()
            .copied()
            .chain([line.as_str(), reason])
            .collect();
        match self {
            Self::Csv(writer) => {
                let cells: Vec<_> = cells.iter().map(|cell| inert(cell)).collect();
                writer
                    .write_record(cells.iter().map(|cell| cell.as_bytes()))
                    .map_err(|error| unwritten(&error))
            }
            Self::Xlsx(book, at, _) => {
                if u64::from(*at) > SHEET_MAX {
                    return Err(Failure::invalid(
                        "a sheet takes no more rows; write a .csv file",
                    ));
                }
                let sheet = book
                    .worksheet_from_index(0)
                    .map_err(|error| unwritten(&error))?;
                text_row(sheet, *at, &cells, None).map_err(|error| unwritten(&error))?;
                *at += 1;
                Ok(())
            }
        }
    }

    fn end(self) -> Result<(), Failure> {
        match self {
            Self::Csv(mut writer) => writer.flush().map_err(|error| unwritten(&error)),
            Self::Xlsx(mut book, _, file) => {
                book.save_to_writer(file).map_err(|error| unwritten(&error))
            }
        }
    }
}

/// Text only: a number of an order stays what it is.
fn text_row(
    sheet: &mut Worksheet,
    at: u32,
    cells: &[&str],
    format: Option<&Format>,
) -> Result<(), XlsxError> {
    let text = Format::new().set_num_format("@");
    for (cell, column) in cells.iter().zip(0_u16..) {
        sheet.write_string_with_format(at, column, *cell, format.unwrap_or(&text))?;
    }
    Ok(())
}

fn unwritten(error: &dyn std::error::Error) -> Failure {
    Failure::invalid(format!("the file cannot be made: {error}"))
}
