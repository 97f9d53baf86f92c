//! `payrun find`: what a person knows of a payment leads to its items.

use clap::Args;
use serde_json::json;

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{count, counted, cut, say, say_json};
use super::run_report::painted;
use super::wall_clock::WallClock;
use crate::app::Project;
use crate::clock::Clock;
use crate::domain::item::State;
use crate::engine::search::{SHOWN, SHOWN_MAX, SearchError, SearchTerms};
use crate::search_view::{
    FoundContractView, FoundItemView, FoundLineView, FoundNotificationView, FoundRunView, FoundView,
};
use crate::view::gateway_number;

/// Arguments of `payrun find`.
#[derive(Debug, Args)]
#[command(
    after_help = "Why was I charged twice on 3 March? `payrun find CONTRACT --day 2026-03-03` lists the charges, \
                  and `payrun show --item ITEM` says what was sent and answered of one."
)]
pub(super) struct FindArgs {
    /// A key or its beginning, an order number of any generation, a gateway's number of a payment or
    /// refund, a contract, a value of a searchable column, an item, a run, a notification; without
    /// it --amount, --currency and a day are needed
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// Only on this gateway account
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Only what was sent, asked or planned on this day of the project's time zone
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with_all = ["from", "to"])]
    day: Option<String>,
    /// Only from this day on
    #[arg(long, value_name = "YYYY-MM-DD")]
    from: Option<String>,
    /// Only up to this day
    #[arg(long, value_name = "YYYY-MM-DD")]
    to: Option<String>,
    /// Only of this amount, such as 88.00
    #[arg(long, requires = "currency")]
    amount: Option<String>,
    /// The amount's currency, such as HKD
    #[arg(long, requires = "amount")]
    currency: Option<String>,
    /// How many of each kind at most, up to 500
    #[arg(long, short = 'n', default_value_t = SHOWN, value_parser = clap::value_parser!(u32).range(1..=i64::from(SHOWN_MAX)))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl From<SearchError> for Failure {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Terms { what, help } => Self {
                help,
                ..Self::invalid(what)
            },
            SearchError::Ledger(error) => error.into(),
            SearchError::References(error) => Self::internal(&error),
        }
    }
}

pub(super) async fn run(context: &Context, args: FindArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let engine = project
        .engine(project.ledger().await?, Clock::System)
        .await?;
    let json = args.json;
    let terms = SearchTerms {
        text: args.text,
        account: args.account,
        day: args.day,
        from: args.from,
        to: args.to,
        amount: args.amount,
        currency: args.currency,
        limit: Some(args.limit),
    };
    let found = engine.search(&terms).await?;
    let view = FoundView::of(&engine, &terms, &found)?;
    if json {
        say_json(&json!(view));
    } else {
        print_found(&view, WallClock::of(&project), context.colour);
    }
    if !found.is_empty() {
        return Ok(Exit::Success);
    }
    Err(Failure::invalid("nothing was found").help(where_looked(&terms, &view)))
}

/// Where was looked, and what may have kept something from being found.
fn where_looked(terms: &SearchTerms, view: &FoundView) -> String {
    let mut told = format!("looked in: {}", view.looked_in.join(", "));
    let narrowed = [
        ("--account", terms.account.is_some()),
        (
            "--day",
            terms.day.is_some() || terms.from.is_some() || terms.to.is_some(),
        ),
        ("--amount", terms.amount.is_some() && terms.text.is_some()),
    ];
    let narrowed: Vec<&str> = narrowed
        .iter()
        .filter(|(_, given)| *given)
        .map(|(name, _)| *name)
        .collect();
    if !narrowed.is_empty() {
        told.push_str(&format!(
            "; only what {} allows: there may be more without",
            narrowed.join(" and ")
        ));
    }
    told
}

fn print_found(view: &FoundView, clock: WallClock, colour: bool) {
    view.items
        .iter()
        .for_each(|item| print_item(item, clock, colour));
    view.contracts.iter().for_each(print_contract);
    view.statement_lines.iter().for_each(print_line);
    let notifications = view.notifications.iter();
    notifications.for_each(|found| print_notification(found, clock));
    view.runs.iter().for_each(|run| print_run(run, clock));
    for (more, what) in [
        (view.more_items, "item"),
        (view.more_contracts, "contract"),
        (view.more_statement_lines, "statement line"),
        (view.more_notifications, "notification"),
        (view.more_runs, "run"),
    ] {
        if more > 0 {
            say(format!(
                "{} more: a higher --limit (up to {SHOWN_MAX}), --day or --account",
                counted(more, what)
            ));
        }
    }
    view.incomplete.iter().for_each(say);
}

fn print_item(found: &FoundItemView, clock: WallClock, colour: bool) {
    let item = &found.item;
    let state = State::parse(item.state)
        .map_or_else(|| item.state.to_owned(), |state| painted(state, colour));
    let money = item
        .amount
        .iter()
        .zip(item.currency)
        .map(|(amount, currency)| format!(", {amount} {currency}"))
        .collect::<String>();
    let when = match &found.sent_at {
        Some(at) => format!("last sent {}", clock.named_text(at)),
        None => format!(
            "never sent, planned {}",
            clock.named_text(&found.planned_at)
        ),
    };
    say(format!("item {}: {state}{money}, {when}", item.item));
    let row = found.file.as_ref().map_or_else(String::new, |file| {
        format!("line {} of {file}", count(item.line))
    });
    // Of a row that was never taken the reason is all there is to know.
    let is_row = ["rejected", "skipped"].contains(&item.state);
    let shown = if is_row { 1_000 } else { 100 };
    let number = gateway_number(item.receipt.as_deref(), &found.gateway_numbers);
    let ways: Vec<&str> = found.found_by.iter().map(|way| way.text.as_str()).collect();
    let facts = [
        ("key", item.key.clone()),
        ("found by", ways.join(", ")),
        (
            "run",
            format!("{} of {}, job {}", item.run, found.workflow, found.item.job),
        ),
        ("row", row),
        ("account", found.account.clone()),
        ("order number", item.order_no.clone().unwrap_or_default()),
        ("gateway's no.", number.unwrap_or_default().to_owned()),
        (
            "reason",
            cut(item.reason.as_deref().unwrap_or_default(), shown),
        ),
        ("next", format!("payrun show --item {}", item.item)),
    ];
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        say(format!("  {name:<13} {fact}"));
    }
}

fn print_contract(found: &FoundContractView) {
    let account = found.account.as_deref().unwrap_or("an account of before");
    say(format!(
        "contract {} of {account}: {}; payrun contracts show {}",
        found.contract, found.state, found.contract
    ));
}

/// Whose item something is about.
fn of_item(item: Option<i64>) -> String {
    item.map_or_else(
        || "of no item in payrun".to_owned(),
        |item| format!("of item {item}"),
    )
}

fn print_line(found: &FoundLineView) {
    let money = found
        .amount
        .iter()
        .zip(found.currency)
        .map(|(amount, currency)| format!(" {amount} {currency}"))
        .collect::<String>();
    say(format!(
        "statement line {} of {}, {}: {}{money}, {}; {}",
        count(found.line),
        found.day,
        found.account,
        found.kind,
        found.state,
        of_item(found.item)
    ));
    let facts = [
        ("found by", &found.found_by),
        ("order number", &found.order_no),
        ("gateway's no.", &found.transaction_id),
        ("refund number", &found.refund_no),
        ("refund id", &found.refund_id),
        ("time", &found.time),
    ];
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        say(format!("  {name:<13} {fact}"));
    }
}

fn print_notification(found: &FoundNotificationView, clock: WallClock) {
    say(format!(
        "notification {} of {}, received at {}: {}, {}; payrun notifications show {}",
        found.notification,
        found.account,
        clock.named_text(&found.received_at),
        found.outcome,
        of_item(found.item),
        found.notification
    ));
}

fn print_run(found: &FoundRunView, clock: WallClock) {
    let ended = found.finished_at.as_deref().map_or_else(
        || "open".to_owned(),
        |at| format!("finished at {}", clock.named_text(at)),
    );
    say(format!(
        "run {} of {}, {}: planned at {}, {ended}; payrun show {}",
        found.run,
        found.workflow,
        clock.occurrence(&found.occurrence),
        clock.named_text(&found.planned_at),
        found.run
    ));
}
