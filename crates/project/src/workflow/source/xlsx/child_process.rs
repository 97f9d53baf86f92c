//! The process that reads a workbook: this program once more, which is given the file as its
//! standard input and nothing else, and writes what it reads to its standard output. It limits its
//! own memory and time before it looks at the file, and ends when whoever started it has: its
//! standard error is a pipe that nobody writes into, and that is closed then.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, PipeWriter, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use super::{XlsxMessage, limits, sheet};

/// Its first argument; no command has this name. The second one is the name of the sheet, if one is
/// wanted.
const ASKED: &str = "read-a-workbook";

/// What it may take beyond what the program takes by itself, in bytes.
const ROOM: u64 = 32 * 1024 * 1024;

/// How many seconds of a processor it may take until the sheet is found, and all in all.
const OPENING_CPU: u64 = 20;
const READING_CPU: u64 = 120;

/// How long it may take until the sheet is found, and from then on: it waits for whoever takes its
/// rows.
const OPENING: Duration = Duration::from_secs(30);
const READING: Duration = Duration::from_secs(3_600);

/// How it ends where it took longer.
pub(super) const TOO_LONG: u8 = 3;

/// What ends a process that took more of a processor than it may.
pub(super) const TIME_OVER: i32 = Signal::XCPU.as_raw();

/// Starts it. It goes on until what it reads is taken, or the pipe is closed.
pub(super) fn start(
    file: File,
    sheet: Option<&str>,
) -> io::Result<(Child, ChildStdout, PipeWriter)> {
    let (closed, open) = io::pipe()?;
    let mut command = Command::new(program()?);
    command.arg0("payrun").arg(ASKED).args(sheet).env_clear();
    command
        .stdin(Stdio::from(file))
        .stdout(Stdio::piped())
        .stderr(Stdio::from(closed));
    let mut child = command.spawn()?;
    match child.stdout.take() {
        Some(said) => Ok((child, said, open)),
        None => Err(io::Error::other("its output is not there")),
    }
}

/// Ends it, and says how it has ended.
pub(super) fn end(reader: &mut Child) -> Option<ExitStatus> {
    reader.kill().ok();
    reader.wait().ok()
}

/// This program, also where another version has taken its place since it was started.
fn program() -> io::Result<PathBuf> {
    let own = PathBuf::from("/proc/self/exe");
    if own.exists() {
        Ok(own)
    } else {
        std::env::current_exe()
    }
}

/// Does the work, if this process was started for it.
pub fn work_if_asked(mut arguments: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    if arguments.nth(1)? != ASKED {
        return None;
    }
    let sheet = arguments.next().and_then(|sheet| sheet.into_string().ok());
    Some(if work(sheet.as_deref()).is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn work(sheet: Option<&str>) -> io::Result<()> {
    // A dump would hold what is in the file.
    limit(Resource::Core, 0)?;
    limit(Resource::Cpu, OPENING_CPU)?;
    let opened = Arc::new(AtomicBool::new(false));
    watch(Arc::clone(&opened))?;
    let own = own_size();
    limit(Resource::As, own + ROOM)?;
    let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut out = BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    match limits::check(&file) {
        Err(reason) => say(&mut out, &XlsxMessage::Refused(reason.to_owned()))?,
        Ok(need) => {
            limit(Resource::As, own + ROOM + need)?;
            sheet::read(file, sheet, &mut |reading| {
                say(&mut out, reading)?;
                if matches!(reading, XlsxMessage::Opened) {
                    opened.store(true, Ordering::Relaxed);
                    limit(Resource::Cpu, READING_CPU)?;
                    // Whoever waits for this need not wait for rows.
                    out.flush()?;
                }
                Ok(())
            })?;
        }
    }
    out.flush()
}

/// Ends this process when whoever started it has ended or wants no more, and when its time is over.
fn watch(opened: Arc<AtomicBool>) -> io::Result<()> {
    let mut closed = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    // What the threads themselves take is taken before the memory is limited.
    let begun = Arc::new(Barrier::new(3));
    let begins = Arc::clone(&begun);
    std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || {
            begins.wait();
            if closed.read(&mut [0]).is_ok() {
                std::process::exit(1);
            }
        })?;
    let begins = Arc::clone(&begun);
    std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || {
            begins.wait();
            std::thread::sleep(OPENING);
            if opened.load(Ordering::Relaxed) {
                std::thread::sleep(READING);
            }
            std::process::exit(TOO_LONG.into());
        })?;
    begun.wait();
    Ok(())
}

/// What a thread that only waits needs, in bytes.
const STACK: usize = 128 * 1024;

fn say(out: &mut impl io::Write, reading: &XlsxMessage) -> io::Result<()> {
    serde_json::to_writer(&mut *out, reading)?;
    out.write_all(b"\n")
}

/// Lowers what this process may take; never above what it was given.
fn limit(what: Resource, most: u64) -> io::Result<()> {
    let given = getrlimit(what);
    let current = given.maximum.map_or(most, |maximum| most.min(maximum));
    Ok(setrlimit(
        what,
        Rlimit {
            current: Some(current),
            maximum: given.maximum,
        },
    )?)
}

/// The address space of this process as it is, in bytes; nothing is known of it where there is no
/// /proc.
fn own_size() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    pages.map_or(1 << 30, |pages| {
        pages.saturating_mul(rustix::param::page_size() as u64)
    })
}
