//! `payrun simulate`

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{count, counted, note, say, say_json, table};
use super::plan::RunOptions;
use super::sandbox::Faults;
use super::signals::stop_switch;
use crate::app::Project;
use crate::engine::vault::Vault;
use crate::simulation::{BEGIN, FakeGateways, ItemTrace, SeedOutcome, SimulationSetup, simulate};

/// The most items that are told of one by one.
const MOST_EACH: usize = 100;

/// How often a line tells how far it is where there is no terminal.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The most mistakes that are shown.
const SHOWN: usize = 10;

/// Arguments of `payrun simulate`.
#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    #[command(flatten)]
    options: RunOptions,
    /// How many seeds to play
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    seeds: u64,
    /// The first seed: with --seeds 1 a seed that failed replays alone
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much goes wrong at the gateways
    #[arg(long, value_enum, default_value_t = Faults::Heavy)]
    faults: Faults,
    /// Only the gateways fail: one process, which lives, and a network and a database that work
    #[arg(long)]
    calm: bool,
    /// How many seeds are played at once; as many as there are processors if not given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Of a seed that is played alone, write what was judged into this folder: journal.jsonl and
    /// books.jsonl
    #[arg(long, value_name = "FOLDER")]
    records: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What all seeds together came to.
#[derive(Debug, Default)]
struct SimulationTotals {
    /// Whether one seed is played alone.
    alone: bool,
    played: u64,
    calls: u64,
    states: BTreeMap<String, u64>,
    disruptions: BTreeMap<String, u64>,
    unknown: (u64, u64),
    longest_unknown: u64,
    /// Items that were charged twice, and items that vanished.
    doubled: u64,
    lost: u64,
    failed: Vec<SeedOutcome>,
    /// What became of each item, where one seed is played.
    items: Vec<ItemTrace>,
    records: (Vec<Value>, Vec<Value>),
    error: Option<String>,
}

pub(super) async fn run(context: &Context, args: SimulateArgs) -> Result<Exit, Failure> {
    let stopped = stop_switch();
    let project = Project::open(&context.config)?;
    let mut request = args.options.request(&project)?;
    if !args.options.has_date() {
        // The same on every day.
        request.at = BEGIN;
    }
    let vault = Vault::of(&project.config.encryption_keys);
    let scratch = ScratchFolder::make().map_err(|error| Failure::internal(&error))?;
    let what = SimulationSetup {
        config: Arc::clone(&project.config),
        job_kinds: Arc::clone(&project.job_kinds),
        vault: vault
            .map_err(|error| Failure::invalid(error.to_string()))?
            .map(Arc::new),
        request,
        faults: args.faults.into(),
        chaos: !args.calm,
        folder: scratch.0.clone(),
    };
    let fakes = Arc::new(FakeGateways::generate().map_err(|error| Failure::internal(&error))?);
    let began = tokio::time::Instant::now();
    let progress = SimulationProgressBar::new(&args);
    let stop = Arc::new(AtomicBool::new(false));
    {
        let (stop, mut stopped) = (Arc::clone(&stop), stopped);
        tokio::spawn(async move {
            stopped.wait_for(|stopped| *stopped).await.ok();
            stop.store(true, Ordering::Relaxed);
        });
    }
    let seeds = (args.seed, args.seeds);
    let threads = args.threads.map_or_else(processors, usize::from);
    let played = tokio::task::spawn_blocking(move || {
        play_all(&what, &fakes, seeds, threads, &stop, &progress)
    })
    .await;
    let sum = played.map_err(|error| Failure::internal(&error))?;
    if let Some(error) = &sum.error {
        return Err(Failure::invalid(error.clone()));
    }
    if let Some(folder) = &args.records {
        keep(folder, &sum.records).map_err(|error| Failure::internal(&error))?;
    }
    tell(&args, &sum, began.elapsed().as_secs());
    Ok(if sum.failed.is_empty() {
        Exit::Success
    } else {
        Exit::Incomplete
    })
}

fn keep(folder: &Path, (journal, books): &(Vec<Value>, Vec<Value>)) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (name, rows) in [("journal.jsonl", journal), ("books.jsonl", books)] {
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        std::fs::write(folder.join(name), lines)?;
    }
    Ok(())
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A folder for the ledgers, in memory where the machine has such a place: what is played is not
/// the disk.
struct ScratchFolder(PathBuf);

impl ScratchFolder {
    fn make() -> std::io::Result<Self> {
        let memory = PathBuf::from("/dev/shm");
        let base = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        let path = base.join(format!("payrun-simulate-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A progress bar on a terminal; a line now and then elsewhere.
struct SimulationProgressBar {
    bar: ProgressBar,
    lines: bool,
    /// How long it had been at work when it last told.
    told: Mutex<Duration>,
}

impl SimulationProgressBar {
    fn new(args: &SimulateArgs) -> Self {
        let bar = if args.json {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(args.seeds)
        };
        let style =
            ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {msg}, {eta_precise} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let lines = !args.json && !std::io::stderr().is_terminal();
        Self {
            bar,
            lines,
            told: Mutex::default(),
        }
    }

    fn show(&self, sum: &SimulationTotals) {
        let failed = match sum.failed.len() {
            0 => "none failed".to_owned(),
            failed => format!("{} failed", count(failed as u64)),
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = self.bar.elapsed();
        if self.lines && elapsed.saturating_sub(*told) >= TELL_EVERY {
            *told = elapsed;
            note(format!(
                "{} of {} seeds, {failed}",
                count(sum.played),
                count(self.bar.length().unwrap_or(0))
            ));
        }
        self.bar.set_position(sum.played);
        self.bar.set_message(failed);
    }
}

/// Plays all seeds on some threads, each with a runtime of its own: a seed is one thread's.
fn play_all(
    what: &SimulationSetup,
    fakes: &FakeGateways,
    (first, seeds): (u64, u64),
    threads: usize,
    stop: &AtomicBool,
    progress: &SimulationProgressBar,
) -> SimulationTotals {
    let (next, sum) = (
        AtomicU64::new(0),
        Mutex::new(SimulationTotals {
            alone: seeds == 1,
            ..SimulationTotals::default()
        }),
    );
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()
                else {
                    return;
                };
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    if place >= seeds || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let played = runtime.block_on(simulate(what, fakes, first + place));
                    let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
                    match played {
                        Ok(outcome) => sum.add(outcome),
                        Err(error) => {
                            sum.error.get_or_insert(super::exit::chain(&error));
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                    progress.show(&sum);
                }
            });
        }
    });
    progress.bar.finish_and_clear();
    sum.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl SimulationTotals {
    fn add(&mut self, outcome: SeedOutcome) {
        self.played += 1;
        self.calls += outcome.calls;
        for (sum, counts) in [
            (&mut self.states, &outcome.states),
            (&mut self.disruptions, &outcome.disruptions),
        ] {
            counts
                .iter()
                .for_each(|(word, times)| *sum.entry(word.clone()).or_default() += times);
        }
        self.unknown = (
            self.unknown.0 + outcome.unknown.0,
            self.unknown.1 + outcome.unknown.1,
        );
        self.longest_unknown = self.longest_unknown.max(outcome.longest_unknown);
        self.doubled += outcome.broken_promises(1);
        self.lost += outcome.broken_promises(2);
        if self.alone {
            self.items.clone_from(&outcome.items);
            self.records.clone_from(&outcome.records);
        }
        if !outcome.broken.is_empty() {
            self.failed.push(SeedOutcome {
                items: Vec::new(),
                records: Default::default(),
                ..outcome
            });
        }
    }

    fn json(&self, seconds: u64) -> Value {
        let failed = |outcome: &SeedOutcome| {
            let broken = outcome
                .broken
                .iter()
                .map(|broken| json!({ "promise": broken.promise, "what": broken.what }));
            json!({ "seed": outcome.seed, "broken": broken.collect::<Vec<_>>() })
        };
        json!({
            "seeds": self.played,
            "failed_seeds": self.failed.len(),
            "double_effects": self.doubled,
            "lost": self.lost,
            "calls": self.calls,
            "items": self.states,
            "disruptions": self.disruptions,
            "unknown_items": self.unknown.0,
            "unknown_ms": self.unknown.1,
            "longest_unknown_ms": self.longest_unknown,
            "seconds": seconds,
            "each": self.items.iter().map(story_json).collect::<Vec<_>>(),
            "failed": self.failed.iter().take(100).map(failed).collect::<Vec<_>>(),
        })
    }
}

fn story_json(story: &ItemTrace) -> Value {
    json!({
        "line": story.line,
        "key": story.key,
        "state": story.state,
        "unknown_ms": story.unknown,
        "calls": story.calls,
        "way": story.way,
    })
}

fn tell_of_each(items: &[ItemTrace]) {
    let mut each = table(&[">line", "key", "state", ">calls", ">unknown", "way"]);
    for story in items.iter().take(MOST_EACH) {
        let unknown = if story.unknown == 0 {
            String::new()
        } else {
            format!("{} s", count(story.unknown / 1000))
        };
        let (line, calls) = (story.line.to_string(), story.calls.to_string());
        each.add_row([
            line,
            story.key.clone(),
            story.state.clone(),
            calls,
            unknown,
            story.way.clone(),
        ]);
    }
    super::output::print_table(&each);
    if items.len() > MOST_EACH {
        say(format!(
            "and {} more: --json has all",
            count((items.len() - MOST_EACH) as u64)
        ));
    }
}

fn tell(args: &SimulateArgs, sum: &SimulationTotals, seconds: u64) {
    if args.json {
        return say_json(&sum.json(seconds));
    }
    let items: u64 = sum.states.values().sum();
    say(format!(
        "{} played in {seconds} s: {} of {}",
        counted(sum.played, "seed"),
        counted(sum.calls, "call"),
        counted(items, "item")
    ));
    let states: Vec<String> = sum
        .states
        .iter()
        .map(|(state, items)| format!("{state} {}", count(*items)))
        .collect();
    say(format!("what became of them: {}", states.join(", ")));
    if sum.unknown.0 > 0 {
        say(format!(
            "not known at some time: {} items, {} s each in the mean, {} s at most",
            count(sum.unknown.0),
            count(sum.unknown.1 / sum.unknown.0 / 1000),
            count(sum.longest_unknown / 1000)
        ));
    }
    if sum.alone {
        tell_of_each(&sum.items);
    }
    let mut disruptions = table(&["what went wrong", "times"]);
    for (word, times) in &sum.disruptions {
        disruptions.add_row([word.clone(), count(*times)]);
    }
    super::output::print_table(&disruptions);
    say(format!(
        "double effects: {}; lost: {}",
        count(sum.doubled),
        count(sum.lost)
    ));
    if sum.failed.is_empty() {
        return say("every promise was kept");
    }
    let mut failed: Vec<&SeedOutcome> = sum.failed.iter().collect();
    failed.sort_by_key(|outcome| outcome.seed);
    say(format!("{} failed:", counted(failed.len() as u64, "seed")));
    for outcome in failed.iter().take(SHOWN) {
        for broken in outcome.broken.iter().take(3) {
            say(format!(
                "  seed {}: promise {}: {}",
                outcome.seed, broken.promise, broken.what
            ));
        }
    }
    let first = failed.first().map_or(0, |outcome| outcome.seed);
    say(format!(
        "replay: the same command with --seed {first} --seeds 1"
    ));
}
