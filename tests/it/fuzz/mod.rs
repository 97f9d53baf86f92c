//! Everything that comes from outside, tried with inputs that were changed by chance: what reads it
//! ends, within bounds, and holds a property that is said at each target.
//!
//! A target's kept inputs are the files of `corpus/TARGET` and of the folders it names. Each run of
//! the tests tries them all, and some thousand inputs made of them, the same ones every time. By
//! hand, for as long as is wanted:
//!
//! ```text
//! PAYRUN_FUZZ_SECONDS=3600 cargo test --release --test it fuzz:: -- --nocapture --test-threads 1
//! ```
//!
//! An input that fails is written into the corpus, where it is tried first from then on. One that
//! ends the whole process stays in `target/tmp/fuzz-TARGET`.

use std::any::Any;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::root;
use change::{Maker, Words};

mod api;
mod change;
mod files;
mod notifications;
mod rows;
mod statements;

/// How long one input may take while other tests run.
const SLOW: Duration = Duration::from_secs(10);

/// How much more memory than before may be resident while one input is tried, in KiB.
const MEMORY_MAX: u64 = 128 * 1024;

/// How many inputs are kept in memory because something new came of them.
const KEPT_MAX: usize = 2_000;

/// The longest kept outcome, in characters.
const OUTCOME_MAX: usize = 120;

/// Something that reads what comes from outside.
pub struct Target {
    /// Its folder in the corpus.
    pub name: &'static str,
    /// Folders of the repository whose files are kept inputs too.
    pub also: &'static [&'static str],
    /// How many inputs are made in a run of all tests.
    pub executions: u64,
    /// The file of `words` with texts that mean something in such an input.
    pub words: &'static str,
}

impl Target {
    /// With words of its own, and nothing kept elsewhere.
    fn of(name: &'static str, executions: u64) -> Self {
        Self {
            name,
            also: &[],
            executions,
            words: name,
        }
    }

    /// Tries the kept inputs, and those made of them. `check` says in words what came of an input,
    /// and panics where that must not be.
    pub fn try_on(&self, check: impl FnMut(&[u8]) -> String) {
        self.try_on_these(Vec::new(), check);
    }

    /// The same with inputs that can only be made now.
    pub fn try_on_these(&self, made: Vec<Vec<u8>>, mut check: impl FnMut(&[u8]) -> String) {
        let mut kept: Vec<Vec<u8>> = self.kept();
        kept.extend(made);
        assert!(!kept.is_empty(), "{} has no inputs", self.name);
        let mut progress = FuzzProgress::default();
        for input in &kept {
            self.try_one(input, &mut check, &mut progress);
        }
        let (budget, words) = (Budget::of(self), Words::of(self.words));
        let began = Instant::now();
        let mut made = 0;
        while budget.lasts(made, began.elapsed()) {
            let input = Maker::of(budget.from + made, &words).input(&kept);
            // What leads somewhere new is worth changing further.
            if self.try_one(&input, &mut check, &mut progress) && kept.len() < KEPT_MAX {
                kept.push(input);
            }
            made += 1;
        }
        println!(
            "fuzz {}: {} executions in {:.0?}, {} outcomes, the slowest took {:.0?}",
            self.name,
            progress.executions,
            began.elapsed(),
            progress.outcomes.len(),
            progress.slowest,
        );
    }

    /// Whether something came of it that came of none before.
    fn try_one(
        &self,
        input: &[u8],
        check: &mut impl FnMut(&[u8]) -> String,
        progress: &mut FuzzProgress,
    ) -> bool {
        std::fs::write(
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{}", self.name)),
            input,
        )
        .unwrap();
        let before = Memory::reset();
        let began = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| check(input)))
            .unwrap_or_else(|panic| self.fail(input, panic));
        let (took, more) = (began.elapsed(), before.more());
        if took > SLOW || more > MEMORY_MAX {
            self.fail(input, Box::new(format!("it took {took:?} and {more} KiB")));
        }
        progress.executions += 1;
        progress.slowest = progress.slowest.max(took);
        let shape = outcome
            .chars()
            .map(|c| if c.is_numeric() { '0' } else { c })
            .take(OUTCOME_MAX);
        progress.outcomes.insert(shape.collect())
    }

    fn fail(&self, input: &[u8], panic: Box<dyn Any + Send>) -> ! {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said
            .or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()))
            .unwrap_or_default();
        let known = self
            .files(&self.folder())
            .into_iter()
            .find(|path| std::fs::read(path).is_ok_and(|kept| kept == input));
        let path = known.unwrap_or_else(|| {
            let path = self
                .folder()
                .join(format!("found-{:08x}", change::digest(input)));
            std::fs::create_dir_all(self.folder()).unwrap();
            std::fs::write(&path, input).unwrap();
            path
        });
        println!(
            "fuzz {}: {said}\nthe input is {}",
            self.name,
            path.display()
        );
        resume_unwind(panic)
    }

    fn folder(&self) -> PathBuf {
        root().join("tests/it/fuzz/corpus").join(self.name)
    }

    fn kept(&self) -> Vec<Vec<u8>> {
        let also = self.also.iter().map(|folder| root().join(folder));
        let folders = std::iter::once(self.folder()).chain(also);
        folders
            .flat_map(|folder| self.files(&folder))
            .map(|path| std::fs::read(path).unwrap())
            .collect()
    }

    /// The files of a folder; of one that is not there, none.
    fn files(&self, folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        let mut files: Vec<PathBuf> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .collect();
        files.sort();
        files
    }
}

/// What was tried so far.
#[derive(Default)]
struct FuzzProgress {
    executions: u64,
    outcomes: HashSet<String>,
    slowest: Duration,
}

/// How many inputs are made.
struct Budget {
    /// The number of the first one.
    from: u64,
    executions: u64,
    seconds: Option<u64>,
}

impl Budget {
    fn of(target: &Target) -> Self {
        let said = |name: &str| {
            std::env::var(name)
                .ok()
                .map(|text| text.parse().expect("a number"))
        };
        Self {
            from: said("PAYRUN_FUZZ_FROM").unwrap_or(0),
            executions: target.executions,
            seconds: said("PAYRUN_FUZZ_SECONDS"),
        }
    }

    fn lasts(&self, made: u64, took: Duration) -> bool {
        self.seconds
            .map_or(made < self.executions, |seconds| took.as_secs() < seconds)
    }
}

/// How much memory of this process is resident, and was at most, in KiB.
struct Memory {
    resident: u64,
}

impl Memory {
    /// Begins to watch anew.
    fn reset() -> Self {
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        Self {
            resident: Self::read("VmRSS:"),
        }
    }

    /// The most since then, beyond what it was then.
    fn more(&self) -> u64 {
        Self::read("VmHWM:").saturating_sub(self.resident)
    }

    fn read(name: &str) -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}
