//! `payrun notifications`: what gateways told of their own accord, and what became of it.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{
    TextTable, count, counted, cut, print_table, say, say_json, say_json_line, table,
};
use super::wall_clock::WallClock;
use crate::app::Project;
use crate::clock::Clock;
use crate::engine::Engine;
use crate::ledger::{Ledger, NotificationFilter, NotificationOutcome, NotificationRow};
use crate::yaml::scalars;

/// How many are read at a time.
const PAGE: u32 = 500;

/// How many are applied at a time.
const REPLAYED_AT_ONCE: usize = 50;

/// Arguments of `payrun notifications`.
#[derive(Debug, Args)]
pub(super) struct NotificationsArgs {
    #[command(subcommand)]
    command: NotificationsCommand,
}

#[derive(Debug, Subcommand)]
enum NotificationsCommand {
    /// List notifications, newest first
    List(NotificationListArgs),
    /// Show one notification; values that name a person are masked
    Show(NotificationShowArgs),
    /// Apply kept notifications again; what is known already changes nothing
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
struct NotificationListArgs {
    #[command(flatten)]
    which: NotificationSelection,
    /// Only notifications before this one
    #[arg(long, value_name = "NOTIFICATION")]
    before: Option<i64>,
    /// How many at most; 0 for all
    #[arg(long, short = 'n', default_value_t = 50)]
    limit: u64,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct NotificationShowArgs {
    /// The notification
    #[arg(value_name = "NOTIFICATION")]
    id: i64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// The notifications
    #[arg(value_name = "NOTIFICATION", required_unless_present = "since")]
    ids: Vec<i64>,
    #[command(flatten)]
    which: NotificationSelection,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Which notifications are meant.
#[derive(Debug, Args)]
struct NotificationSelection {
    /// Only of this gateway
    #[arg(long)]
    gateway: Option<String>,
    /// Only those with this outcome
    #[arg(long, value_parser = parse_outcome)]
    outcome: Option<NotificationOutcome>,
    /// Only those that name this order
    #[arg(long, value_name = "NUMBER")]
    order: Option<String>,
    /// Only those that came in within this time, such as 2h or 3d
    #[arg(long, value_parser = parse_time, value_name = "TIME")]
    since: Option<Duration>,
}

impl NotificationSelection {
    fn filter(&self) -> NotificationFilter {
        NotificationFilter {
            lane: self.gateway.clone(),
            outcome: self.outcome,
            order_no: self.order.clone(),
            since: self.since.map(|time| Clock::System.now().minus(time)),
        }
    }
}

fn parse_outcome(word: &str) -> Result<NotificationOutcome, String> {
    NotificationOutcome::parse(word).ok_or_else(|| {
        let words: Vec<&str> = NotificationOutcome::ALL
            .into_iter()
            .map(NotificationOutcome::as_str)
            .collect();
        format!("no such outcome; the outcomes are {}", words.join(", "))
    })
}

fn parse_time(text: &str) -> Result<Duration, String> {
    scalars::duration(text).ok_or_else(|| "a number and ms, s, m, h or d: 2h".to_owned())
}

pub(super) async fn run(context: &Context, args: &NotificationsArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    match &args.command {
        NotificationsCommand::List(args) => list(&ledger, WallClock::of(&project), args).await,
        NotificationsCommand::Show(args) => {
            show(&project.engine(ledger, Clock::System).await?, args).await
        }
        NotificationsCommand::Replay(args) => {
            replay(&project.engine(ledger, Clock::System).await?, args).await
        }
    }
}

async fn list(
    ledger: &Ledger,
    clock: WallClock,
    args: &NotificationListArgs,
) -> Result<Exit, Failure> {
    let filter = args.which.filter();
    let received = clock.heading("received at");
    let mut rows = table(&[
        ">notification",
        &received,
        "gateway",
        "order number",
        "outcome",
        ">repeats",
        ">item",
    ]);
    let (mut before, mut any) = (args.before, false);
    let mut left = if args.limit == 0 {
        u64::MAX
    } else {
        args.limit
    };
    while left > 0 {
        let wanted = u32::try_from(left.min(u64::from(PAGE))).unwrap_or(PAGE);
        let page = ledger.notifications(&filter, before, wanted).await?;
        any |= !page.is_empty();
        before = page.last().map(|row| row.id);
        left = left.saturating_sub(page.len() as u64);
        for row in &page {
            if args.json {
                say_json_line(&as_json(row));
            } else {
                add_row(&mut rows, row, clock);
            }
        }
        if page.len() < wanted as usize {
            before = None;
            break;
        }
    }
    match (args.json, any, before) {
        (true, _, _) => {}
        (false, false, _) => say("no such notifications"),
        (false, true, more) => {
            print_table(&rows);
            if let Some(before) = more {
                say(format!("more: --before {before}, or --limit 0 for all"));
            }
        }
    }
    Ok(Exit::Success)
}

fn add_row(rows: &mut TextTable, row: &NotificationRow, clock: WallClock) {
    rows.add_row([
        row.id.to_string(),
        clock.cell(row.received_at),
        cut(&row.lane, 20),
        row.order_no.clone().unwrap_or_default(),
        row.outcome.as_str().to_owned(),
        count(row.repeats),
        row.item_id.map(|id| id.to_string()).unwrap_or_default(),
    ]);
}

fn as_json(row: &NotificationRow) -> Value {
    json!({
        "notification": row.id,
        "received_at": row.received_at.to_string(),
        "gateway": row.lane,
        "order_no": row.order_no,
        "outcome": row.outcome.as_str(),
        "detail": row.detail,
        "repeats": row.repeats,
        "item": row.item_id,
        "next_at": row.next_at.map(|at| at.to_string()),
        "digest": row.digest,
    })
}

async fn show(engine: &Engine, args: &NotificationShowArgs) -> Result<Exit, Failure> {
    let row = find(&engine.ledger, args.id).await?;
    let said = engine.read_notification(&row).await;
    if args.json {
        let mut value = as_json(&row);
        value["says"] = match &said {
            Ok(seen) => json!(seen.evidence),
            Err(why) => json!({ "unreadable": why.to_string() }),
        };
        say_json(&value);
        return Ok(Exit::Success);
    }
    let again = if row.repeats == 0 {
        String::new()
    } else {
        format!(", and {} again", counted(row.repeats, "time"))
    };
    say(format!(
        "notification {} of {}, received at {}{again}",
        row.id,
        row.lane,
        WallClock::in_zone(engine.config.timezone).named(row.received_at)
    ));
    say(format!(
        "order    {}",
        row.order_no.as_deref().unwrap_or("none that could be read")
    ));
    let detail = row
        .detail
        .as_deref()
        .map(|detail| format!(": {detail}"))
        .unwrap_or_default();
    say(format!("outcome  {}{detail}", row.outcome.as_str()));
    if let Some(item) = row.item_id {
        say(format!("item     {item}; payrun show --item {item}"));
    }
    match said {
        Ok(seen) => say(format!("says     {}", seen.evidence)),
        Err(why) => say(format!("says     cannot be shown: {why}")),
    }
    Ok(Exit::Success)
}

async fn find(ledger: &Ledger, id: i64) -> Result<NotificationRow, Failure> {
    ledger.notification(id).await?.ok_or_else(|| {
        Failure::invalid(format!("there is no notification {id}"))
            .help("`payrun notifications list` lists them")
    })
}

async fn replay(engine: &Engine, args: &ReplayArgs) -> Result<Exit, Failure> {
    let mut outcomes = std::collections::BTreeMap::<&'static str, u64>::new();
    let mut apply = async |rows: &[NotificationRow]| -> Result<(), Failure> {
        for some in rows.chunks(REPLAYED_AT_ONCE) {
            for outcome in engine.replay_notifications(some).await? {
                *outcomes.entry(outcome.as_str()).or_default() += 1;
            }
        }
        Ok(())
    };
    if args.ids.is_empty() {
        let (filter, mut before) = (args.which.filter(), None);
        loop {
            let page = engine.ledger.notifications(&filter, before, PAGE).await?;
            let Some(last) = page.last() else { break };
            before = Some(last.id);
            apply(&page).await?;
        }
    } else {
        for id in &args.ids {
            apply(&[find(&engine.ledger, *id).await?]).await?;
        }
    }
    if args.json {
        say_json(&json!(outcomes));
    } else {
        outcomes
            .iter()
            .for_each(|(outcome, times)| say(format!("{} {outcome}", count(*times))));
    }
    Ok(Exit::Success)
}
