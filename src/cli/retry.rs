//! `payrun retry`, and what it shares with `payrun cancel`.

use clap::Args;
use serde_json::json;

use super::Context;
use super::exit::{Exit, Failure};
use super::items::parse_state;
use super::output::{count, say, say_json};
use super::project::Project;
use crate::clock::Clock;
use crate::domain::item::State;
use crate::ledger::{Granted, ItemFilter, Ledger, LedgerError, Wish};

/// How many items are read at a time.
const PAGE: u32 = 500;

/// Arguments of `payrun retry`.
#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    #[command(flatten)]
    which: Which,
}

/// Which items are meant.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// The items, by id, key or order number
    #[arg(value_name = "ITEM", required_unless_present = "run")]
    items: Vec<String>,
    /// All items of this run that are in the states of --state
    #[arg(long, value_name = "RUN", conflicts_with = "items", requires = "state")]
    run: Option<i64>,
    /// The states, separated by commas
    #[arg(long, value_delimiter = ',', value_parser = parse_state, value_name = "STATE", requires = "run")]
    state: Vec<State>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, args: &RetryArgs) -> Result<Exit, Failure> {
    let exit = wish(context, &args.which, Wish::Retry).await?;
    if !args.which.json && exit == Exit::Success {
        say("`payrun run --resume` carries them out; what was sent before is asked about first");
    }
    Ok(exit)
}

/// Has a wish granted for all the items that are meant; what cannot be granted is said and spoils nothing.
pub(super) async fn wish(context: &Context, which: &Which, wish: Wish) -> Result<Exit, Failure> {
    let project = Project::load(context)?;
    let ledger = project.ledger().await?;
    let mut outcome = Outcome::default();
    for name in &which.items {
        match ledger.find_item(name).await? {
            Some(item) => outcome.grant(&ledger, item.id, name, wish).await?,
            None => outcome.refuse(name, "there is no such item"),
        }
    }
    if which.run.is_some() {
        let filter = ItemFilter { run_id: which.run, states: which.state.clone(), ..ItemFilter::default() };
        let mut after = 0;
        loop {
            let items = ledger.items(&filter, after, PAGE).await?;
            let Some(last) = items.last() else { break };
            after = last.id;
            for item in &items {
                outcome.grant(&ledger, item.id, &item.id.to_string(), wish).await?;
            }
        }
    }
    Ok(outcome.tell(which.json))
}

#[derive(Debug, Default)]
struct Outcome {
    moved: std::collections::BTreeMap<&'static str, u64>,
    refused: Vec<(String, String)>,
}

impl Outcome {
    async fn grant(&mut self, ledger: &Ledger, id: i64, name: &str, wish: Wish) -> Result<(), LedgerError> {
        match ledger.wish(id, wish, Clock::of_machine().now()).await? {
            Granted::Moved(state) => *self.moved.entry(state.word()).or_default() += 1,
            Granted::Refused(illegal) => self.refuse(name, &illegal.to_string()),
            Granted::ContractBusy => {
                self.refuse(name, "another item of its contract is in flight; wait until that has ended")
            }
            Granted::NoSuchItem => self.refuse(name, "there is no such item"),
        }
        Ok(())
    }

    fn refuse(&mut self, name: &str, why: &str) {
        self.refused.push((name.to_owned(), why.to_owned()));
    }

    fn tell(&self, json: bool) -> Exit {
        if json {
            let refused: Vec<_> = self.refused.iter().map(|(item, why)| json!({"item": item, "why": why})).collect();
            say_json(&json!({"moved": self.moved, "refused": refused}));
        } else {
            for (state, items) in &self.moved {
                say(format!("{} now {state}", count(*items)));
            }
            for (name, why) in self.refused.iter().take(20) {
                say(format!("{name}: {why}"));
            }
            if self.refused.len() > 20 {
                say(format!("and {} more that were refused", self.refused.len() - 20));
            }
        }
        if self.refused.is_empty() { Exit::Success } else { Exit::Incomplete }
    }
}
