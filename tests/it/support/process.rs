//! The real binary as a process: started, signalled, waited for with a bound. Only processes
//! started here are ever ended.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use expect_test::Expect;

use super::said::assert_said;

/// The binary, to be run in a folder with nothing of the tester's environment that could change it.
pub fn payrun(folder: &Path, args: &[&str]) -> Command {
    // The rig tries the release binary.
    let binary = std::env::var_os("PAYRUN_TEST_BINARY")
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_payrun").into());
    let mut command = Command::new(binary);
    command.current_dir(folder).args(args).stdin(Stdio::null());
    for name in [
        "PAYRUN_CONFIG",
        "PAYRUN_LOG",
        "PAYRUN_FAILPOINT",
        "PAYRUN_TOKEN",
        "http_proxy",
        "HTTP_PROXY",
        "COLUMNS",
    ] {
        command.env_remove(name);
    }
    // The same on every machine.
    command.env("PAYRUN_AUTHOR", "ann");
    command
}

/// A process under way.
pub struct Running {
    child: Child,
    stdout: File,
    stderr: File,
    began: Instant,
}

impl Running {
    /// Starts it; its output goes to files, so that it never waits for a reader.
    pub fn start(mut command: Command) -> Self {
        let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        command
            .stdout(stdout.try_clone().unwrap())
            .stderr(stderr.try_clone().unwrap());
        let child = command.spawn().expect("payrun starts");
        Self {
            child,
            stdout,
            stderr,
            began: Instant::now(),
        }
    }

    /// Waits for its end, this long from now.
    pub fn wait(mut self, patience: Duration) -> ExitedProcess {
        let waits = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let (stdout, stderr) = (text(&self.stdout), text(&self.stderr));
                return ExitedProcess {
                    status,
                    stdout,
                    stderr,
                    took: self.began.elapsed(),
                };
            }
            if waits.elapsed() > patience {
                self.child.kill().ok();
                self.child.wait().ok();
                panic!(
                    "payrun took longer than {patience:?}:\n{}\n{}",
                    text(&self.stdout),
                    text(&self.stderr)
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits this long for its end, then ends it as by `kill -9`.
    pub fn kill_after(mut self, time: Duration) -> ExitedProcess {
        while self.began.elapsed() < time && self.child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.child.kill().unwrap();
        self.wait(Duration::from_secs(10))
    }

    /// The most memory that was ever resident, in KiB.
    pub fn resident_most(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let most = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        most.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How long it has kept a processor busy, to a hundredth of a second.
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks: u64 = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().unwrap())
            .sum();
        Duration::from_millis(ticks * 10)
    }

    /// Ctrl-C.
    pub fn interrupt(&self) {
        self.signal("INT");
    }

    /// A signal by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id();
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {pid}")])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Its number at the operating system.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    pub fn stdout_so_far(&self) -> String {
        text(&self.stdout)
    }

    /// What it has written to standard error so far.
    pub fn stderr_so_far(&self) -> String {
        text(&self.stderr)
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

/// What is in the file. Read by position: the child writes where the shared offset is.
fn text(file: &File) -> String {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    let read = file.read_at(&mut bytes, 0).unwrap();
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

/// A process that has ended.
#[derive(Debug)]
pub struct ExitedProcess {
    status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl ExitedProcess {
    /// Its exit code; none if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Whether it died by a signal, as by `kill -9`.
    pub fn was_killed(&self) -> bool {
        self.status.signal().is_some()
    }

    /// Asserts its exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "{self:#?}");
        self
    }

    /// Asserts that a sentence is in its output.
    #[track_caller]
    pub fn says(self, sentence: Expect) -> Self {
        assert_said(format!("{}\n{}", self.stderr, self.stdout), sentence);
        self
    }

    /// Asserts that a number, a name or a text of the test's own is in its output.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(
            self.stderr.contains(text) || self.stdout.contains(text),
            "{text:?} is not in {self:#?}"
        );
        self
    }

    /// Asserts that a text is nowhere in its output.
    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        assert!(
            !self.stderr.contains(text) && !self.stdout.contains(text),
            "{text:?} is in {self:#?}"
        );
        self
    }
}
