//! Carrying runs out while a person watches: workers, a progress bar, and the end.

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::DateTime;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::watch;

use super::approvals::waits;
use super::exit::{Exit, Failure, chain};
use super::output::{count, note};
use super::run_report::Report;
use super::wall_clock::WallClock;
use crate::domain::item::State;
use crate::domain::time::Timestamp;
use crate::engine::run_monitor::RunStatus;
use crate::engine::{AccountWatch, Engine};
use crate::ledger::{LaneRow, LaneState, LedgerError, Node, PauseRow};
use crate::worker::{self, RunError};

/// How often the runs are looked at.
const TICK: Duration = Duration::from_millis(150);

/// How often a line may be printed where there is no terminal: every ten seconds.
const TELL_TICKS: u32 = 66;

/// A wait that is not worth a word.
const SHORT: Duration = Duration::from_secs(2);

/// How long nothing may end until it is said what is waited for: where it is known when something is to
/// be done again, and where it is not.
const STANDSTILL: Duration = Duration::from_secs(5);
const STANDSTILL_UNKNOWN: Duration = Duration::from_secs(15);

/// How often leases of dead processes are looked for.
const TAKE_OVER_TICKS: u32 = 40;

/// What is waited for of earlier runs at most when the own run is at rest.
const PATIENCE_WITH_OTHERS: Duration = Duration::from_secs(60);

/// How carrying out ended.
#[derive(Debug)]
pub(super) enum ExecutionEnd {
    /// Nothing is open.
    AtRest,
    /// What is open is not due soon; the next at this instant.
    Waiting(Option<Timestamp>),
    /// What is open cannot go out, and why: lanes are closed or not in the configuration, it is
    /// paused, or waits for approval.
    Blocked(Vec<String>),
    /// A person stopped it.
    Interrupted,
}

/// What is carried out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Runs<'a> {
    pub all: &'a [i64],
    /// The one that was asked for: where it is at rest, the others are waited for no longer than a
    /// minute.
    pub own: Option<i64>,
}

/// Works on everything that is due in the ledger until these runs are at rest, or nothing of theirs
/// is due within what is left of `patience`: all time in which there is nothing to do but to wait
/// counts together.
pub(super) async fn carry_out(
    engine: &Arc<Engine>,
    node: &Node,
    runs: Runs<'_>,
    patience: Duration,
    mut stopped: watch::Receiver<bool>,
    show: bool,
) -> Result<ExecutionEnd, Failure> {
    let (stop, told) = watch::channel(false);
    let mut workers = tokio::spawn(worker::run(Arc::clone(engine), node.id(), told));
    let bar = RunProgressBar::new(show);
    let mut ticks: u32 = 0;
    let (mut left, mut looked_at) = (patience, engine.clock.now());
    let outcome = loop {
        tokio::select! {
            ended = &mut workers => return workers_ended(ended),
            _ = stopped.wait_for(|stopped| *stopped) => break Ok(ExecutionEnd::Interrupted),
            () = tokio::time::sleep(TICK) => {}
        }
        ticks = ticks.wrapping_add(1);
        let looked = look(engine, runs, left, ticks, &bar).await;
        let told = bar.tell_waiting(engine, left).await;
        match looked.and_then(|status| told.map(|()| status)) {
            Ok(RunsStatus::Busy) => {}
            Ok(RunsStatus::Idle) => left = left.saturating_sub(engine.clock.now().since(looked_at)),
            Ok(RunsStatus::Ended(ended)) => break Ok(ended),
            Err(error) if error.is_transient() => {}
            Err(error) => break Err(Failure::from(error)),
        }
        looked_at = engine.clock.now();
    };
    bar.end();
    stop.send_replace(true);
    workers.await.map_or_else(
        |error| Err(Failure::internal(&error)),
        |ended| ended.map_err(|error| ledger_failure(&error)),
    )?;
    engine
        .follow(runs.all, &lanes(engine), &BTreeSet::new(), patience)
        .await?;
    outcome
}

fn workers_ended(
    ended: Result<Result<(), RunError>, tokio::task::JoinError>,
) -> Result<ExecutionEnd, Failure> {
    match ended {
        Ok(Ok(())) => Err(Failure::invalid(
            "no gateway is configured, so there is nobody to work",
        )),
        Ok(Err(error)) => Err(ledger_failure(&error)),
        Err(error) => Err(Failure::internal(&error)),
    }
}

fn ledger_failure(error: &RunError) -> Failure {
    let failure = Failure {
        exit: Exit::Internal,
        message: chain(error),
        help: None,
    };
    failure.help("what was under way will be queried before anything is sent; mend this and `payrun run --resume`")
}

fn lanes(engine: &Engine) -> BTreeSet<String> {
    engine.accounts.keys().cloned().collect()
}

/// What a look at the runs found.
enum RunsStatus {
    /// Something is under way or due.
    Busy,
    /// Something is due soon, and until then there is nothing to do.
    Idle,
    Ended(ExecutionEnd),
}

async fn look(
    engine: &Engine,
    runs: Runs<'_>,
    patience: Duration,
    ticks: u32,
    bar: &RunProgressBar,
) -> Result<RunsStatus, LedgerError> {
    let now = engine.clock.now();
    if ticks.is_multiple_of(TAKE_OVER_TICKS) {
        engine.reap_dead_nodes(now).await?;
    }
    let closed = engine.ledger.closed_lanes(now).await?;
    // What a person has suspended calls nothing; of everything else that is closed what was sent is asked
    // about.
    let mut able = lanes(engine);
    able.retain(|name| {
        closed
            .iter()
            .all(|lane| lane.name != *name || lane.state == LaneState::Stopped)
    });
    let only_ask = closed.iter().map(|lane| lane.name.clone()).collect();
    let rests = match runs.own {
        Some(own) if runs.all.len() > 1 => {
            matches!(
                engine.follow(&[own], &able, &only_ask, patience).await?,
                RunStatus::AtRest
            )
        }
        Some(_) | None => false,
    };
    let patience = if rests {
        patience.min(PATIENCE_WITH_OTHERS)
    } else {
        patience
    };
    let standing = engine.follow(runs.all, &able, &only_ask, patience).await?;
    let opens = closed.iter().filter_map(|lane| lane.until).min();
    let idle_until = match &standing {
        RunStatus::Working(work) if work.claimed == 0 => {
            work.next_due.filter(|next| *next > now.plus(SHORT))
        }
        RunStatus::Working(_) | RunStatus::Waiting(_) | RunStatus::AtRest => None,
    };
    bar.draw(engine, runs.all, idle_until).await?;
    let due = DueWork {
        runs: runs.all,
        able: &able,
        only_ask: &only_ask,
        now,
    };
    if let RunStatus::Working(work) = standing {
        if patience.is_zero()
            && due
                .is_only_of(engine, AccountWatch::is_out_of_reach)
                .await?
        {
            return Ok(RunsStatus::Ended(ExecutionEnd::Waiting(work.next_due)));
        }
        if due
            .is_only_of(engine, |watch| {
                watch.is_out_of_reach() || watch.is_preparing()
            })
            .await?
        {
            return Ok(RunsStatus::Idle);
        }
    }
    Ok(match standing {
        RunStatus::Working(work)
            if work.claimed == 0 && work.next_due.is_some_and(|due| due > now) =>
        {
            RunsStatus::Idle
        }
        RunStatus::Working(_) => RunsStatus::Busy,
        RunStatus::AtRest => RunsStatus::Ended(ExecutionEnd::AtRest),
        RunStatus::Waiting(_) if opens.is_some_and(|opens| opens <= now.plus(patience)) => {
            RunsStatus::Idle
        }
        RunStatus::Waiting(work) => {
            let closed = concerning(engine, runs.all, closed).await?;
            RunsStatus::Ended(match work.next_due {
                Some(next) if closed.is_empty() => ExecutionEnd::Waiting(Some(next)),
                Some(_) | None => ExecutionEnd::Blocked(reasons(engine, runs.all, &closed).await?),
            })
        }
    })
}

/// What there is to do of these runs at an instant.
struct DueWork<'a> {
    runs: &'a [i64],
    able: &'a BTreeSet<String>,
    only_ask: &'a BTreeSet<String>,
    now: Timestamp,
}

impl DueWork<'_> {
    /// Whether there are such gateways, and all that there is to do is for them: where none of them
    /// is reached, to try again is to wait.
    async fn is_only_of(
        &self,
        engine: &Engine,
        is_such: impl Fn(&AccountWatch) -> bool,
    ) -> Result<bool, LedgerError> {
        let is_other = |name: &&String| {
            engine
                .accounts
                .get(*name)
                .is_some_and(|account| !is_such(&account.watch))
        };
        let others: BTreeSet<String> = self.able.iter().filter(is_other).cloned().collect();
        if others.len() == self.able.len() {
            return Ok(false);
        }
        for run in self.runs {
            let work = engine.ledger.work(*run, &others, self.only_ask).await?;
            if work.claimed > 0 || work.next_due.is_some_and(|due| due <= self.now) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The gateways that are out of reach, as this process last found, and why: for people.
pub(super) async fn out_of_reach(engine: &Engine) -> Result<Vec<String>, LedgerError> {
    let lost = engine.ledger.unreachable().await?;
    let why = |name: &String| {
        let unprepared = || {
            format!(
                "{name}: what its calls need beforehand cannot be had; the items' reasons say why"
            )
        };
        let lost = lost.iter().find(|row| row.lane == *name);
        lost.map_or_else(unprepared, |row| row.note(engine.config.timezone))
    };
    let missed = engine
        .accounts
        .iter()
        .filter(|(_, account)| account.watch.is_out_of_reach());
    Ok(missed.map(|(name, _)| why(name)).collect())
}

/// Those of the closed lanes from which these runs have something to send or to ask.
async fn concerning(
    engine: &Engine,
    runs: &[i64],
    closed: Vec<LaneRow>,
) -> Result<Vec<LaneRow>, LedgerError> {
    let mut names = BTreeSet::new();
    for run in runs.iter().filter(|_| !closed.is_empty()) {
        for job in engine
            .ledger
            .jobs(*run)
            .await?
            .into_iter()
            .filter(|job| job.finished_at.is_none())
        {
            let of_kind = format!("{}/{}", job.lane, job.kind);
            names.extend([format!("{of_kind}/{}", job.id), of_kind, job.lane]);
        }
    }
    Ok(closed
        .into_iter()
        .filter(|lane| names.contains(&lane.name))
        .collect())
}

/// Why nothing of these runs goes out, for people.
async fn reasons(
    engine: &Engine,
    runs: &[i64],
    closed: &[LaneRow],
) -> Result<Vec<String>, LedgerError> {
    let clock = WallClock::in_zone(engine.config.timezone);
    let closed = closed.iter().map(|lane| closed_text(lane, clock));
    let mut reasons: Vec<String> = closed.collect();
    reasons.extend(engine.ledger.pauses().await?.iter().map(PauseRow::note));
    for run in runs {
        let approvals = engine.ledger.approvals_of_run(*run).await?;
        reasons.extend(
            approvals
                .iter()
                .filter(|approval| approval.state.is_open())
                .map(|approval| waits(approval, clock)),
        );
    }
    Ok(reasons)
}

fn closed_text(lane: &LaneRow, clock: WallClock) -> String {
    let until = lane.until.map_or_else(String::new, |until| {
        format!(" until {}", clock.named(until))
    });
    let reason = lane.reason.as_deref().unwrap_or("no reason given");
    let (name, state) = (&lane.name, lane.state.as_str());
    format!(
        "lane {name} is {state}{until}: {reason}; `payrun lane release {name} --reason WHY` opens it"
    )
}

/// A progress bar on a terminal; a line now and then elsewhere.
pub(super) struct RunProgressBar {
    bar: ProgressBar,
    show: bool,
    terminal: bool,
    drawn: AtomicU32,
    told: Mutex<String>,
    progress: Mutex<Progress>,
}

/// How far the runs were when they were last looked at.
#[derive(Debug, Default)]
struct Progress {
    by_state: [u64; State::ALL.len()],
    /// How many have ended.
    ended: u64,
    /// When that last changed; none before the first look.
    since: Option<Timestamp>,
    idle_until: Option<Timestamp>,
    /// Whether it was said since then what is waited for.
    is_told: bool,
}

impl RunProgressBar {
    fn new(show: bool) -> Self {
        let target = if show {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        let style =
            ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {per_sec} {eta_precise} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self {
            bar,
            show,
            terminal: std::io::stderr().is_terminal(),
            drawn: AtomicU32::new(1),
            told: Mutex::default(),
            progress: Mutex::default(),
        }
    }

    /// `idle_until`: when there is something to do again, if there is nothing at present.
    async fn draw(
        &self,
        engine: &Engine,
        runs: &[i64],
        idle_until: Option<Timestamp>,
    ) -> Result<(), LedgerError> {
        if !self.show {
            return Ok(());
        }
        let (mut items, mut open) = (0, 0);
        let mut by_state = [0; State::ALL.len()];
        for run in runs {
            for total in engine.ledger.totals(*run).await? {
                items += total.items;
                open += if total.state.is_open() {
                    total.items
                } else {
                    0
                };
                for (place, state) in State::ALL.into_iter().enumerate() {
                    by_state[place] += if total.state == state { total.items } else { 0 };
                }
            }
        }
        self.note_progress(by_state, engine.clock.now(), idle_until);
        let mut words = state_counts(by_state, |_| true);
        if let Some(next) = idle_until.and_then(|at| DateTime::from_timestamp_millis(at.millis())) {
            let next = next.with_timezone(&engine.config.timezone);
            words.push_str(&format!(
                "; the next query or attempt is at {}, Ctrl-C is safe",
                next.format("%H:%M:%S")
            ));
        }
        if !self.terminal
            && self
                .drawn
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(TELL_TICKS)
        {
            self.tell(format!(
                "{} of {} ended: {}",
                count(items - open),
                count(items),
                words
            ));
        }
        self.bar.set_length(items);
        self.bar.set_position(items - open);
        self.bar.set_message(words);
        Ok(())
    }

    fn note_progress(
        &self,
        by_state: [u64; State::ALL.len()],
        now: Timestamp,
        idle_until: Option<Timestamp>,
    ) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = State::ALL.into_iter().zip(by_state);
        let ended = ended.filter(|(state, _)| !state.is_open());
        let ended = ended.map(|(_, items)| items).sum();
        // What goes to and fro between its states is no progress.
        if progress.since.is_none() || progress.ended != ended {
            *progress = Progress {
                ended,
                since: Some(now),
                ..Progress::default()
            };
        }
        progress.by_state = by_state;
        progress.idle_until = idle_until;
    }

    /// Where nothing has ended for a while, says once what is waited for, until when, and that nobody
    /// has to. `left`: how long is waited at most where there is nothing to do.
    async fn tell_waiting(&self, engine: &Engine, left: Duration) -> Result<(), LedgerError> {
        let now = engine.clock.now();
        let (open, idle_until) = {
            let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            let open = state_counts(progress.by_state, State::is_open);
            let stands = progress
                .since
                .map_or(Duration::ZERO, |since| now.since(since));
            let is_long = match progress.idle_until {
                Some(_) => stands >= STANDSTILL,
                None => stands >= STANDSTILL_UNKNOWN,
            };
            let is_due = is_long && !progress.is_told;
            if !self.show || !is_due || open.is_empty() {
                return Ok(());
            }
            progress.is_told = true;
            (open, progress.idle_until)
        };
        let mut lines = out_of_reach(engine).await?;
        lines.push(waiting_text(
            &open,
            idle_until,
            now.plus(left),
            WallClock::in_zone(engine.config.timezone),
        ));
        self.bar.suspend(|| lines.iter().for_each(note));
        Ok(())
    }

    /// What has not changed is not said again.
    fn tell(&self, line: String) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != line {
            note(&line);
            *told = line;
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// How many items are in each of these states, for people.
fn state_counts(by_state: [u64; State::ALL.len()], is_meant: impl Fn(State) -> bool) -> String {
    let counted = State::ALL
        .into_iter()
        .zip(by_state)
        .filter(|(state, items)| *items > 0 && is_meant(*state));
    let words: Vec<String> = counted
        .map(|(state, items)| format!("{} {}", state.label(), count(items)))
        .collect();
    words.join(", ")
}

/// What is waited for, until when, and how to go on without waiting.
fn waiting_text(open: &str, next: Option<Timestamp>, until: Timestamp, clock: WallClock) -> String {
    let what = match next {
        Some(next) => format!("; the next query or attempt is at {}", clock.named(next)),
        None => "; calls are under way or tried again".to_owned(),
    };
    format!(
        "waiting for what is open ({open}){what}. payrun waits until {} at the latest (--wait). You may leave it: Ctrl-C keeps \
         everything, and `payrun run --resume`, or `payrun serve`, goes on",
        clock.named(until)
    )
}

/// How a command ends that carried out these runs.
pub(super) fn exit_of(reports: &[Report]) -> Exit {
    let exits: Vec<Exit> = reports.iter().map(Report::exit).collect();
    [Exit::Open, Exit::Incomplete]
        .into_iter()
        .find(|exit| exits.contains(exit))
        .unwrap_or(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_said_with_its_end_and_how_to_go_on() {
        let clock = WallClock::in_zone(chrono_tz::Asia::Hong_Kong);
        let at = |seconds: i64| Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000);
        let told = waiting_text("unknown 2", Some(at(60)), at(600), clock);
        assert_eq!(
            told,
            "waiting for what is open (unknown 2); the next query or attempt is at 2023-11-15 06:14:20 (Asia/Hong_Kong). \
             payrun waits until 2023-11-15 06:23:20 (Asia/Hong_Kong) at the latest (--wait). You may leave it: Ctrl-C keeps \
             everything, and `payrun run --resume`, or `payrun serve`, goes on"
        );
        assert!(
            waiting_text("planned 1", None, at(600), clock).contains("under way or tried again")
        );
    }

    #[test]
    fn only_what_ends_is_progress() {
        let bar = RunProgressBar::new(false);
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1_000);
        let counts = |planned: u64, sending: u64, succeeded: u64| {
            let mut by_state = [0; State::ALL.len()];
            for (place, state) in State::ALL.into_iter().enumerate() {
                if state == State::Planned {
                    by_state[place] = planned;
                } else if state == State::Sending {
                    by_state[place] = sending;
                } else if state == State::Succeeded {
                    by_state[place] = succeeded;
                }
            }
            by_state
        };
        let since = |bar: &RunProgressBar| bar.progress.lock().unwrap().since;
        bar.note_progress(counts(2, 0, 1), at(0), None);
        bar.note_progress(counts(1, 1, 1), at(9), None);
        assert_eq!(since(&bar), Some(at(0)));
        bar.note_progress(counts(1, 0, 2), at(12), None);
        assert_eq!(since(&bar), Some(at(12)));
    }
}
