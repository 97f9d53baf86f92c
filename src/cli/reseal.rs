//! `payrun reseal`

use std::cell::Cell;
use std::io::IsTerminal;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{count, note, say, say_json};
use crate::app::Project;
use crate::clock::Clock;
use crate::engine::maintenance::reseal::{ResealError, ResealProgress};

/// After how many values a line is printed where there is no terminal.
const TELL_EVERY: u64 = 10_000;

/// Arguments of `payrun reseal`.
#[derive(Debug, Args)]
pub(super) struct ResealArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, args: &ResealArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let engine = project
        .engine(project.ledger().await?, Clock::of_machine())
        .await?;
    let told = ResealProgressBar::new(!args.json);
    let progress = engine
        .reseal(|progress| told.show(progress))
        .await
        .map_err(|error| match error {
            ResealError::NoKey => Failure::invalid(error.to_string()),
            ResealError::Ledger(_) | ResealError::Files(_) | ResealError::Upload(_) => {
                Failure::internal(&error)
                    .help("what was moved stays moved; `payrun reseal` goes on with the rest")
            }
        })?;
    told.end();
    let moved = progress.done - progress.left_in_all;
    let vault = engine.vault.as_ref();
    let mut ids = vault.iter().flat_map(|vault| vault.ids());
    let first = ids.next().unwrap_or_default();
    let others: Vec<&str> = ids.collect();
    if args.json {
        say_json(&json!({
            "key": first, "moved": moved, "left": progress.left_in_all, "why": progress.left, "other_keys": others,
        }));
    } else {
        say(format!("{} moved to the key {first}", count(moved)));
        progress.left.iter().for_each(say);
        if progress.left_in_all > 0 {
            say(format!(
                "{} left as they are: leave their keys in encryption_key",
                count(progress.left_in_all)
            ));
        } else if others.is_empty() {
            say("it is the only key in encryption_key");
        } else {
            say(format!(
                "nothing is sealed under {} any more: once every process here has been started with this list, and no backup is \
                 needed that was made before, take it out of encryption_key",
                others.join(", ")
            ));
        }
    }
    engine.ledger.clone().close().await;
    Ok(if progress.left_in_all > 0 {
        Exit::Incomplete
    } else {
        Exit::Success
    })
}

/// A progress bar on a terminal; a line now and then elsewhere.
struct ResealProgressBar {
    bar: ProgressBar,
    lines: bool,
    last: Cell<u64>,
}

impl ResealProgressBar {
    fn new(show: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = if show && terminal {
            ProgressBar::new(0)
        } else {
            ProgressBar::hidden()
        };
        let style =
            ProgressStyle::with_template("{bar:30} {pos}/{len} {per_sec} {eta_precise} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self {
            bar,
            lines: show && !terminal,
            last: Cell::new(0),
        }
    }

    fn show(&self, progress: &ResealProgress) {
        self.bar.set_length(progress.all.max(progress.done));
        self.bar.set_position(progress.done);
        if self.lines && progress.done >= self.last.get() + TELL_EVERY {
            self.last.set(progress.done);
            note(format!(
                "{} of {} values",
                count(progress.done),
                count(progress.all)
            ));
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
