//! `-o FILE`: a list that is written into a file, or to standard output.
//!
//! A file is written under another name beside it and gets its own when it is whole: nobody opens
//! half a list, and what was there before stays until then. It is for its owner only.

use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tempfile::NamedTempFile;

use super::exit::{Exit, Failure};
use super::output::{PipeWriter, counted, note, say};
use crate::app::Project;
use crate::clock::Clock;
use crate::errors::chain;
use crate::export::{ExportContext, ExportError, ExportQuery, TableEnd, TableFormat, TableOptions};
use crate::ledger::Ledger;

/// How much is written at a time.
const BUFFER: usize = 64 * 1024;

/// Where a list goes instead of the screen.
#[derive(Debug, Args)]
pub(super) struct OutputArgs {
    /// Write all of the list into this file: .xlsx, .csv, .json (an array) or .ndjson (an object a
    /// line); - is standard output, with --format
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write over a file that is there
    #[arg(long, requires = "output")]
    force: bool,
    /// Begin the CSV with a byte order mark, by which Excel knows that it is UTF-8: without one it
    /// shows Chinese wrong
    #[arg(long, requires = "output")]
    bom: bool,
}

/// What kind of file, where its name does not say it.
#[derive(Debug, Args)]
pub(super) struct FormatArgs {
    /// The format of -o, where the file's name does not say it
    #[arg(long, value_enum, requires = "output", value_name = "FORMAT")]
    format: Option<FileFormat>,
}

/// The formats of files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FileFormat {
    /// An Excel workbook
    Xlsx,
    /// CSV for spreadsheets
    Csv,
    /// One JSON array
    Json,
    /// A JSON object a line
    Ndjson,
}

impl FormatArgs {
    /// The format that was asked for.
    pub fn table_format(&self) -> Option<TableFormat> {
        self.format.map(FileFormat::table_format)
    }
}

impl FileFormat {
    /// The same for the writer.
    pub const fn table_format(self) -> TableFormat {
        match self {
            Self::Xlsx => TableFormat::Xlsx,
            Self::Csv => TableFormat::Csv,
            Self::Json => TableFormat::Json,
            Self::Ndjson => TableFormat::Ndjson,
        }
    }
}

/// Where a list goes, and how.
#[derive(Debug)]
pub(super) struct ExportTarget {
    /// None: standard output.
    file: Option<PathBuf>,
    force: bool,
    options: TableOptions,
}

impl ExportTarget {
    /// Whether it is a CSV.
    pub fn is_csv(&self) -> bool {
        self.options.format == TableFormat::Csv
    }

    /// The same for somebody who opens it in Excel and gives it again: a CSV begins with a byte order
    /// mark.
    pub fn for_excel(mut self) -> Self {
        self.options.bom |= self.is_csv();
        self
    }
}

impl OutputArgs {
    /// Whether the list goes anywhere but to the screen.
    pub const fn is_given(&self) -> bool {
        self.output.is_some()
    }

    /// Where the list goes; none where it is shown on the screen.
    pub fn target(&self, format: Option<TableFormat>) -> Result<Option<ExportTarget>, Failure> {
        let Some(output) = &self.output else {
            return Ok(None);
        };
        let file = (output.as_os_str() != "-").then(|| output.clone());
        let by_name = file.as_deref().and_then(TableFormat::of_file);
        let format = format
            .or(by_name)
            .ok_or_else(|| no_format(file.as_deref()))?;
        if self.bom && format != TableFormat::Csv {
            return Err(Failure::invalid("--bom belongs to a CSV"));
        }
        let temporary = file.as_deref().map(folder_of).map(Path::to_owned);
        Ok(Some(ExportTarget {
            file,
            force: self.force,
            options: TableOptions {
                format,
                bom: self.bom,
                temporary,
            },
        }))
    }
}

/// Writes a list, and tells how many rows went where. `what`: a row, such as `item`.
pub(super) async fn write(
    project: &Project,
    ledger: &Ledger,
    query: ExportQuery,
    target: &ExportTarget,
    what: &str,
) -> Result<Exit, Failure> {
    let context = ExportContext {
        ledger: ledger.clone(),
        config: project.config.clone(),
        job_kinds: project.job_kinds.clone(),
        now: Clock::System.now(),
    };
    match &target.file {
        Some(path) => to_file(&context, query, target, path, what).await,
        None => to_standard_output(&context, query, target, what).await,
    }
}

async fn to_file(
    context: &ExportContext,
    query: ExportQuery,
    target: &ExportTarget,
    path: &Path,
    what: &str,
) -> Result<Exit, Failure> {
    if !target.force && path.exists() {
        return Err(is_there(path));
    }
    let begun = tempfile::Builder::new()
        .prefix(".payrun-")
        .tempfile_in(folder_of(path));
    let file = begun.map_err(|error| cannot_write(path, &error))?;
    let bar = progress_bar(what);
    let written = crate::export::write(
        context,
        query,
        &target.options,
        BufWriter::with_capacity(BUFFER, file),
        |rows| bar.set_position(rows),
    );
    let written = written.await;
    bar.finish_and_clear();
    let (out, end) = written.map_err(|error| failed(path, error))?;
    let file = out
        .into_inner()
        .map_err(|error| cannot_write(path, error.error()))?;
    keep(file, path, target.force)?;
    say(format!("{} in {}", told(end, what), path.display()));
    Ok(Exit::Success)
}

/// Writes a file that is there as a whole.
pub(super) fn write_whole(path: &Path, force: bool, bytes: &[u8]) -> Result<(), Failure> {
    if !force && path.exists() {
        return Err(is_there(path));
    }
    let begun = tempfile::Builder::new()
        .prefix(".payrun-")
        .tempfile_in(folder_of(path));
    let mut file = begun.map_err(|error| cannot_write(path, &error))?;
    file.write_all(bytes)
        .map_err(|error| cannot_write(path, &error))?;
    keep(file, path, force)
}

/// Gives a whole file its name.
fn keep(file: NamedTempFile, path: &Path, force: bool) -> Result<(), Failure> {
    file.as_file()
        .sync_all()
        .map_err(|error| cannot_write(path, &error))?;
    let named = if force {
        file.persist(path)
    } else {
        file.persist_noclobber(path)
    };
    match named {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(is_there(path)),
        Err(error) => Err(cannot_write(path, &error.error)),
    }
}

async fn to_standard_output(
    context: &ExportContext,
    query: ExportQuery,
    target: &ExportTarget,
    what: &str,
) -> Result<Exit, Failure> {
    if target.options.format == TableFormat::Xlsx && io::stdout().is_terminal() {
        return Err(
            Failure::invalid("a workbook cannot be shown on a terminal").help("-o FILE.xlsx")
        );
    }
    let pipe = PipeWriter::new();
    let closed = pipe.closed();
    let out = BufWriter::with_capacity(BUFFER, pipe);
    let written = crate::export::write(context, query, &target.options, out, |_| {}).await;
    let written = written.and_then(|(mut out, end)| {
        out.flush()?;
        Ok(end)
    });
    match written {
        Ok(end) => {
            note(told(end, what));
            Ok(Exit::Success)
        }
        // Whoever reads has had enough.
        Err(_) if closed.is_closed() => Ok(Exit::Success),
        Err(error) => Err(failed(Path::new("standard output"), error)),
    }
}

fn told(end: TableEnd, what: &str) -> String {
    let rows = counted(end.rows, what);
    match end.sheets {
        1 => rows,
        sheets => format!("{rows} on {sheets} sheets, since one has 1,048,576 rows at most"),
    }
}

fn progress_bar(what: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(&format!("{{spinner}} {{human_pos}} {what}s"));
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    if io::stderr().is_terminal() {
        bar.enable_steady_tick(Duration::from_millis(150));
    } else {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}

/// The folder of a file that may have no other in its name.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        Some(_) | None => Path::new("."),
    }
}

fn no_format(file: Option<&Path>) -> Failure {
    let known: Vec<&str> = TableFormat::ALL
        .into_iter()
        .map(TableFormat::as_str)
        .collect();
    let known = known.join(", ");
    match file {
        None => Failure::invalid("standard output has no name that says the format")
            .help(format!("say --format with one of {known}")),
        Some(path) => Failure::invalid(format!(
            "{} does not say by its end what to write",
            path.display()
        ))
        .help(format!(
            "end it with one of {known}, or say --format with one of them"
        )),
    }
}

fn is_there(path: &Path) -> Failure {
    Failure::invalid(format!("{} is there already", path.display()))
        .help("name another file, or say --force to write over it")
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::invalid(format!("{} cannot be written: {error}", path.display()))
}

pub(super) fn failed(path: &Path, error: ExportError) -> Failure {
    match error {
        ExportError::Ledger(error) => error.into(),
        ExportError::Write(error) => cannot_write(path, &error),
        ExportError::Source(error) => Failure::invalid(chain(&error)),
        error @ ExportError::Workbook(_) => Failure::internal(&error),
    }
}

/// How many rows a command lists: so many, or all of them into a file.
pub(super) fn rows_wanted(limit: Option<u64>, usual: u64, target: Option<&ExportTarget>) -> u64 {
    match (limit, target) {
        (Some(0), _) | (None, Some(_)) => u64::MAX,
        (Some(limit), _) => limit,
        (None, None) => usual,
    }
}
