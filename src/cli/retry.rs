//! `payrun retry`, and what it shares with `payrun cancel`: items that are named, or chosen by what
//! they have in common.
//!
//! What is chosen is counted first, with its money; only `--yes` carries it out, on exactly the
//! items that were counted.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Value, json};

use super::Context;
use super::actor::CommandAuthor;
use super::exit::{Exit, Failure};
use super::items::{bulk_items, parse_amount_in, parse_state};
use super::output::{count, counted, say, say_json};
use crate::app::Project;
use crate::bulk_view::words_of;
use crate::clock::Clock;
use crate::domain::actor::Authorization;
use crate::domain::item::State;
use crate::domain::money::decimal_text;
use crate::domain::role::Role;
use crate::engine::planning::money_text;
use crate::engine::{BulkCounts, BulkError, Engine};
use crate::ledger::{
    ActionResult, AmountIn, BulkVerb, CountedItems, ItemFilter, ItemRow, Ledger, LedgerError,
    OperatorAction, WITHDRAWN_NEEDS_REVIEW,
};

/// How many refusals are shown.
const SHOWN: usize = 20;

/// Arguments of `payrun retry`.
#[derive(Debug, Args)]
pub(super) struct RetryArgs {
    #[command(flatten)]
    which: ItemSelection,
}

/// Which items are meant.
#[derive(Debug, Args)]
pub(super) struct ItemSelection {
    /// The items, by id, key or order number
    #[arg(value_name = "ITEM", required_unless_present = "state")]
    items: Vec<String>,
    /// Instead of items: all in these states, separated by commas; they are counted, and --yes
    /// carries it out
    #[arg(long, value_delimiter = ',', value_parser = parse_state, value_name = "STATE", conflicts_with = "items")]
    state: Vec<State>,
    /// Only those of this run
    #[arg(long, value_name = "RUN", requires = "state")]
    run: Option<i64>,
    /// Only those of runs of this workflow
    #[arg(long, requires = "state")]
    workflow: Option<String>,
    /// Only those of jobs of this name
    #[arg(long, requires = "state")]
    job: Option<String>,
    /// Only those on this gateway account
    #[arg(long, requires = "state")]
    gateway: Option<String>,
    /// Only those whose reason has this text in it, such as a gateway's code
    #[arg(long, value_name = "TEXT", requires = "state")]
    with_reason: Option<String>,
    /// Only those whose last answer has this code; none: no code. Of what did not succeed, the last
    /// answer that has one
    #[arg(long, requires = "state")]
    code: Option<String>,
    /// Only those with an amount in this currency; none: without an amount
    #[arg(long, value_parser = parse_amount_in, requires = "state")]
    currency: Option<AmountIn>,
    /// Only those that this bulk action changed
    #[arg(long, value_name = "BULK", requires = "state")]
    bulk_action: Option<i64>,
    /// With --bulk-action: only those that nobody has claimed or changed since
    #[arg(long, requires = "bulk_action")]
    untouched: bool,
    /// Carry out what was counted
    #[arg(long, requires = "state")]
    yes: bool,
    /// With --yes: the set that was counted before; nothing is done if it is another one by now
    #[arg(long, value_name = "SET", requires = "yes")]
    expect: Option<String>,
    #[command(flatten)]
    by: CommandAuthor,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, args: &RetryArgs) -> Result<Exit, Failure> {
    let (exit, done) = act_on_items(context, &args.which, BulkVerb::Retry).await?;
    if done && !args.which.json && exit == Exit::Success {
        say("`payrun run --resume` carries them out; what was sent before is queried first");
    }
    Ok(exit)
}

/// Applies an action to the items that are meant, and says whether anything was to be done; what
/// cannot be granted is said and spoils nothing.
pub(super) async fn act_on_items(
    context: &Context,
    which: &ItemSelection,
    verb: BulkVerb,
) -> Result<(Exit, bool), Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    if which.items.is_empty() {
        return bulk(
            &project.engine(ledger, Clock::of_machine()).await?,
            which,
            verb,
        )
        .await;
    }
    let by = which.by.signed(&ledger, Role::Operator).await?;
    let mut outcome = ActionCounts::default();
    for name in &which.items {
        match ledger.find_item(name).await? {
            Some(item) => {
                outcome
                    .apply_action(&ledger, &item, name, &verb.action(), &by)
                    .await?
            }
            None => outcome.refuse(name, "there is no such item"),
        }
    }
    Ok((outcome.tell(which.json), true))
}

/// Counts, and carries out if that was said.
async fn bulk(
    engine: &Engine,
    which: &ItemSelection,
    verb: BulkVerb,
) -> Result<(Exit, bool), Failure> {
    let filter = ItemFilter {
        planned: None,
        run_id: which.run,
        workflow: which.workflow.clone(),
        job: which.job.clone(),
        states: which.state.clone(),
        key: None,
        lane: which.gateway.clone(),
        reason: which.with_reason.clone(),
        code: which.code.clone(),
        currency: which.currency,
        bulk: bulk_items(which.bulk_action, which.untouched),
    };
    let chosen = engine.choose(&filter, verb).await.map_err(failed)?;
    if !which.yes {
        tell_chosen(&chosen.counted, which.json);
        return Ok((Exit::Success, false));
    }
    if let Some(expected) = which
        .expect
        .as_ref()
        .filter(|expected| **expected != chosen.counted.set)
    {
        let message =
            format!("these are not the items that were counted as {expected}; nothing was done");
        return Err(Failure::invalid(message).help("count them again, without --yes"));
    }
    let by = which.by.signed(&engine.ledger, Role::Operator).await?;
    let done = engine
        .act_on_chosen(&chosen, &words_of(&chosen.filter), &by)
        .await
        .map_err(failed)?;
    if !which.json {
        tell_left_out(&chosen.counted);
    }
    let counts = ActionCounts::of(done);
    Ok((counts.tell(which.json), chosen.counted.items > 0))
}

fn tell_chosen(chosen: &CountedItems, as_json: bool) {
    if as_json {
        let sums: BTreeMap<&str, String> = chosen
            .sums
            .iter()
            .map(|(code, (minor, currency))| (*code, decimal_text(i128::from(*minor), *currency)))
            .collect();
        say_json(
            &json!({ "items": chosen.items, "states": chosen.states, "sums": sums, "set": chosen.set, "left_out": chosen.left_out }),
        );
        return;
    }
    let by_state: Vec<String> = chosen
        .states
        .iter()
        .map(|(state, items)| format!("{} {}", count(*items), state.label()))
        .collect();
    if chosen.items == 0 {
        say("nothing to do: no item is chosen");
    } else {
        say(format!(
            "{}: {}; {}",
            counted(chosen.items, "item"),
            by_state.join(", "),
            money_text(&chosen.sums)
        ));
    }
    tell_left_out(chosen);
    if chosen.items > 0 {
        say(format!(
            "nothing was done; the same with --yes --expect {} --reason \"WHY\" does it to exactly these",
            chosen.set
        ));
    }
}

fn tell_left_out(chosen: &CountedItems) {
    if chosen.left_out > 0 {
        say(format!(
            "{} left out: the contract is suspended or ended, the period was given up with it, the batch was rejected, or it was \
             filed again; `payrun retry ITEM` says which",
            counted(chosen.left_out, "item")
        ));
    }
}

pub(super) fn failed(error: BulkError) -> Failure {
    match error {
        BulkError::Ledger(error) => error.into(),
        error @ (BulkError::TooMany | BulkError::NoStates) => Failure::invalid(error.to_string()),
    }
}

#[derive(Debug, Default)]
struct ActionCounts {
    /// The bulk action, where items were chosen together.
    bulk_action: Option<i64>,
    moved: BTreeMap<State, u64>,
    /// Those that may be under way, by the state that they stay in until that is known.
    withdrawn: BTreeMap<State, u64>,
    refused: Vec<(String, String)>,
}

impl ActionCounts {
    fn of(done: BulkCounts) -> Self {
        let refused = done
            .refused
            .iter()
            .map(|(id, refused)| (id.to_string(), refused.words()))
            .collect();
        Self {
            bulk_action: done.bulk_action,
            moved: done.moved,
            withdrawn: done.withdrawn,
            refused,
        }
    }

    async fn apply_action(
        &mut self,
        ledger: &Ledger,
        item: &ItemRow,
        name: &str,
        action: &OperatorAction,
        by: &Authorization,
    ) -> Result<(), LedgerError> {
        let result = ledger
            .apply_action(item.id, action, by, Clock::of_machine().now())
            .await?;
        if result.count_done(&mut self.moved, &mut self.withdrawn) {
            return Ok(());
        }
        let mut why = result.words();
        // Only its reason says what an open item waits for.
        let waits = matches!(result, ActionResult::Refused(_)) && item.state.is_open();
        if let Some(reason) = item.reason.as_deref().filter(|_| waits) {
            why.push_str(&format!(" ({reason})"));
        }
        self.refuse(name, &why);
        Ok(())
    }

    fn refuse(&mut self, name: &str, why: &str) {
        self.refused.push((name.to_owned(), why.to_owned()));
    }

    fn tell(&self, as_json: bool) -> Exit {
        if as_json {
            let refused: Vec<Value> = self
                .refused
                .iter()
                .map(|(item, why)| json!({"item": item, "why": why}))
                .collect();
            let mut counts =
                json!({"moved": self.moved, "withdrawn": self.withdrawn, "refused": refused});
            if let Some(bulk_action) = self.bulk_action {
                counts["bulk_action"] = json!(bulk_action);
            }
            say_json(&counts);
        } else {
            for (state, items) in &self.moved {
                say(format!("{} now {}", count(*items), state.label()));
            }
            for (state, items) in &self.withdrawn {
                if *state == State::NeedsReview {
                    say(format!(
                        "{} withdrawn: {WITHDRAWN_NEEDS_REVIEW}",
                        count(*items)
                    ));
                    continue;
                }
                say(format!(
                    "{} withdrawn and {}: nothing more is sent, and what is under way is queried until it has ended",
                    count(*items),
                    state.label()
                ));
            }
            for (name, why) in self.refused.iter().take(SHOWN) {
                say(format!("{name}: {why}"));
            }
            if self.refused.len() > SHOWN {
                say(format!(
                    "and {} more that were refused",
                    self.refused.len() - SHOWN
                ));
                if let Some(bulk_action) = self.bulk_action {
                    say(format!("all of them: payrun bulk {bulk_action} --refused"));
                }
            }
        }
        if self.refused.is_empty() {
            Exit::Success
        } else {
            Exit::Incomplete
        }
    }
}
