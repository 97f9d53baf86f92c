//! `payrun bulk`

use clap::Args;
use serde_json::json;

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{count, counted, cut, print_table, say, say_json, table};
use super::wall_clock::WallClock;
use crate::app::Project;
use crate::bulk_view::{BulkActionView, words_of};
use crate::clock::Clock;
use crate::domain::time::Timestamp;
use crate::engine::planning::money_text;
use crate::ledger::{BulkActionRow, BulkState, BulkVerb, Ledger};

/// How many refusals are read at a time.
const PAGE: u32 = 500;

/// Arguments of `payrun bulk`.
#[derive(Debug, Args)]
pub(super) struct BulkArgs {
    /// One bulk action instead of a list
    #[arg(value_name = "BULK")]
    bulk_action: Option<i64>,
    /// Its items that were left as they were, each with the reason
    #[arg(long, requires = "bulk_action")]
    refused: bool,
    /// Only bulk actions before this one
    #[arg(long, value_name = "BULK", conflicts_with = "bulk_action")]
    before: Option<i64>,
    /// How many at most
    #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000), conflicts_with = "bulk_action")]
    limit: u32,
    /// Print JSON
    #[arg(long, conflicts_with = "refused")]
    json: bool,
}

pub(super) async fn run(context: &Context, args: &BulkArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let (ledger, clock) = (project.ledger().await?, WallClock::of(&project));
    let now = Clock::of_machine().now();
    let Some(id) = args.bulk_action else {
        return list(&ledger, args, clock, now).await;
    };
    let found = ledger.bulk_action(id).await?;
    let row = found.ok_or_else(|| {
        Failure::invalid(format!("there is no bulk action {id}")).help("`payrun bulk` lists them")
    })?;
    if args.json {
        say_json(&json!(BulkActionView::of(&row, now)));
    } else if args.refused {
        print_refused(&ledger, id).await?;
    } else {
        print(&row, clock, now);
    }
    Ok(Exit::Success)
}

async fn list(
    ledger: &Ledger,
    args: &BulkArgs,
    clock: WallClock,
    now: Timestamp,
) -> Result<Exit, Failure> {
    let found = ledger.bulk_actions(args.before, args.limit).await?;
    if args.json {
        let views = found.iter().map(|row| BulkActionView::of(row, now));
        say_json(&json!(views.collect::<Vec<_>>()));
        return Ok(Exit::Success);
    }
    if found.is_empty() {
        say(
            "nothing was done to many items at once yet; `payrun retry --state failed` counts some",
        );
        return Ok(Exit::Success);
    }
    let began = clock.heading("began at");
    let mut rows = table(&[
        ">bulk", &began, "by", "action", "items of", ">items", ">done", ">refused", "state",
    ]);
    for row in &found {
        rows.add_row([
            row.id.to_string(),
            clock.cell(row.began_at),
            row.actor.clone(),
            row.verb.as_str().to_owned(),
            cut(&words_of(&row.filter), 60),
            count(row.counted.items),
            count(row.handled - row.refused),
            count(row.refused),
            state_words(row.state(now)).to_owned(),
        ]);
    }
    print_table(&rows);
    Ok(Exit::Success)
}

const fn state_words(state: BulkState) -> &'static str {
    match state {
        BulkState::UnderWay => "under way",
        BulkState::Done => "done",
        BulkState::BrokenOff => "broken off",
    }
}

fn print(row: &BulkActionRow, clock: WallClock, now: Timestamp) {
    let state = row.state(now);
    let ended = row.ended_at.map(|at| clock.named(at));
    let facts = [
        ("bulk", row.id.to_string()),
        ("action", row.verb.as_str().to_owned()),
        ("items of", words_of(&row.filter)),
        (
            "counted",
            format!(
                "{}; {}",
                count(row.counted.items),
                money_text(&row.counted.sums)
            ),
        ),
        ("set", row.counted.set.clone()),
        ("by", format!("{}, {}", row.actor, row.via)),
        ("reason", row.reason.clone()),
        ("began", clock.named(row.began_at)),
        ("ended", ended.unwrap_or_default()),
        ("state", state_words(state).to_owned()),
        (
            "done",
            format!("{} of {}", count(row.handled), count(row.counted.items)),
        ),
    ];
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        say(format!("{name:<9} {fact}"));
    }
    for (state, items) in &row.moved {
        say(format!("{} now {}", count(*items), state.label()));
    }
    for (state, items) in &row.withdrawn {
        say(format!("{} withdrawn and {}", count(*items), state.label()));
    }
    let changed = row.handled - row.refused;
    if changed > 0 {
        say(format!(
            "the {} that it changed: payrun items --bulk-action {} -n 0",
            counted(changed, "item"),
            row.id
        ));
    }
    if row.refused > 0 {
        say(format!(
            "{} left as they were: payrun bulk {} --refused",
            count(row.refused),
            row.id
        ));
    }
    if state == BulkState::BrokenOff {
        say(format!(
            "nobody has gone on with it since {}; what it did is done. Count the rest again: payrun {} with the same filter",
            clock.named(row.went_on_at),
            row.verb.as_str()
        ));
    }
    if changed > 0 && state != BulkState::UnderWay {
        print_undo(row);
    }
}

/// What takes it back.
fn print_undo(row: &BulkActionRow) {
    let (verb, filter) = row.undo();
    let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
    let what = match row.verb {
        BulkVerb::Retry => "what was not sent since is withdrawn",
        BulkVerb::Cancel => {
            "what was cancelled is sent after all; what was withdrawn before its approval, or may be under way, is not"
        }
    };
    say(format!(
        "to take it back, {what}: payrun {} --state {} --bulk-action {} --untouched",
        verb.as_str(),
        states.join(","),
        row.id
    ));
}

async fn print_refused(ledger: &Ledger, id: i64) -> Result<(), Failure> {
    let mut rows = table(&[">item", "why"]);
    let mut after = 0;
    loop {
        let page = ledger.bulk_refusals(id, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.item;
        for refusal in page {
            rows.add_row([refusal.item.to_string(), refusal.words]);
        }
    }
    if after == 0 {
        say("no item was left as it was");
    } else {
        print_table(&rows);
    }
    Ok(())
}
