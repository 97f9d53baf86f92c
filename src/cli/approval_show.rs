//! `payrun approvals show`: a batch as whoever approves it has to see it.

use clap::Args;
use serde_json::{Value, json};

use super::approvals::{sums, waits};
use super::exit::{Exit, Failure};
use super::output::{count, counted, cut, print_table, say, say_json, table};
use super::wall_clock::WallClock;
use crate::engine::Engine;
use crate::engine::operator::review::{BatchReview, Review, ReviewedRow};
use crate::ledger::{ApprovalRow, BatchDifferences, KeySample, RowPlace};
use crate::view::{BatchRowView, BatchView, UNKNOWN_PAYMENT};

/// How many rows are read at a time where all are shown.
const PAGE: u32 = 5000;

/// How many keys are named of each sort of difference.
const KEYS: usize = 5;

/// Arguments of `payrun approvals show`.
#[derive(Debug, Args)]
pub(super) struct ApprovalShowArgs {
    /// The run
    run: i64,
    /// Only this job's batch
    #[arg(long)]
    job: Option<String>,
    /// How many rows, the largest first
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=5000))]
    rows: u32,
    /// Rows from behind this one on: what the end of a list says
    #[arg(long, value_name = "PLACE", requires = "job", value_parser = parse_place)]
    after: Option<RowPlace>,
    /// All rows
    #[arg(long, conflicts_with = "after")]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn parse_place(text: &str) -> Result<RowPlace, String> {
    RowPlace::parse(text).ok_or_else(|| "give what the end of a list says".to_owned())
}

pub(super) async fn show(engine: &Engine, args: &ApprovalShowArgs) -> Result<Exit, Failure> {
    let mut approvals = engine.ledger.approvals_of_run(args.run).await?;
    approvals.retain(|approval| args.job.as_ref().is_none_or(|job| approval.job == *job));
    if approvals.is_empty() && !args.json {
        say("nothing of this run has to be approved");
        return Ok(Exit::Success);
    }
    let known = engine.ledger.timezone_of(Some(args.run), None).await?;
    let zone = known.and_then(|zone| zone.parse().ok());
    let clock = WallClock::in_zone(zone.unwrap_or(engine.config.timezone));
    let mut batches = Vec::new();
    for approval in &approvals {
        let reviewing = engine.reviewing(approval).await?;
        let review = reviewing
            .review(args.after.as_ref(), if args.all { PAGE } else { args.rows })
            .await?;
        if args.json {
            batches.push(value(&reviewing, args, approval, &review).await?);
        } else {
            print((&reviewing, clock), args, approval, &review).await?;
        }
    }
    if args.json {
        say_json(&Value::Array(batches));
    }
    Ok(Exit::Success)
}

async fn value(
    reviewing: &BatchReview<'_>,
    args: &ApprovalShowArgs,
    approval: &ApprovalRow,
    review: &Review,
) -> Result<Value, Failure> {
    let mut batch = BatchView::of(approval, review)?;
    let mut next = review.next.clone().filter(|_| args.all);
    while let Some(place) = next {
        let (rows, following) = reviewing.rows(Some(&place), PAGE).await?;
        for row in &rows {
            batch.rows.push(BatchRowView::of(row)?);
        }
        next = following;
        batch.next_after = None;
    }
    Ok(json!(batch))
}

async fn print(
    (reviewing, clock): (&BatchReview<'_>, WallClock),
    args: &ApprovalShowArgs,
    approval: &ApprovalRow,
    review: &Review,
) -> Result<(), Failure> {
    say(format!(
        "job {} of {}, {}: {}, {}",
        approval.job,
        approval.workflow,
        approval.state.as_str(),
        counted(approval.items, "item"),
        sums(approval).unwrap_or_else(|| "no money".to_owned())
    ));
    say(format!(
        "started by {}; hash {}",
        approval.author, approval.content_hash
    ));
    for vote in &approval.votes {
        say(format!(
            "approved by {} at {}: {}",
            vote.actor,
            clock.named(vote.at),
            vote.reason
        ));
    }
    if args.after.is_none() && review.checked < approval.items {
        say(format!("of the first {} rows:", count(review.checked)));
    }
    print_found(
        &format!("{} certain to fail", are(review.failing)),
        review.failing,
        &review.first_failing,
    );
    print_found(
        &format!(
            "{} too much of the same payment only together with other rows",
            take(review.crowded)
        ),
        review.crowded,
        &review.first_crowded,
    );
    if review.of_unknown_payments > 0 {
        say(format!(
            "{} of payments that payrun does not know; what those paid before cannot be said",
            are(review.of_unknown_payments)
        ));
    }
    print_found(
        &format!(
            "{} the same payment, or contract and amount, as an earlier item",
            have(review.repeating)
        ),
        review.repeating,
        &review.first_repeating,
    );
    if let Some(differences) = &review.differences {
        print_differences(differences);
    }
    say("");
    print_rows(&review.rows);
    let mut next = review.next.clone();
    while let Some(place) = next.clone().filter(|_| args.all) {
        let (rows, following) = reviewing.rows(Some(&place), PAGE).await?;
        print_rows(&rows);
        next = following;
    }
    if let Some(place) = next {
        say(format!(
            "more: payrun approvals show {} --job {} --after {place}; all of them: --all",
            approval.run_id, approval.job
        ));
    }
    if approval.state.is_open() {
        say(waits(approval, clock));
    }
    say("");
    Ok(())
}

fn are(rows: u64) -> String {
    format!(
        "{} {}",
        counted(rows, "row"),
        if rows == 1 { "is" } else { "are" }
    )
}

fn take(rows: u64) -> String {
    format!(
        "{} {}",
        counted(rows, "row"),
        if rows == 1 { "takes" } else { "take" }
    )
}

fn have(rows: u64) -> String {
    format!(
        "{} {}",
        counted(rows, "row"),
        if rows == 1 { "has" } else { "have" }
    )
}

fn print_found(what: &str, number: u64, first: &[ReviewedRow]) {
    if number == 0 {
        return;
    }
    say(format!("{what}:"));
    for row in first {
        let amount = row
            .item
            .amount
            .map(|amount| amount.to_string())
            .unwrap_or_default();
        say(format!(
            "  line {}, {}, {amount}: {}",
            row.item.line,
            cut(&row.item.key, 40),
            notes(row)
        ));
    }
    if number > first.len() as u64 {
        say(format!("  and {} more", count(number - first.len() as u64)));
    }
}

/// What is to be said about a row.
fn notes(row: &ReviewedRow) -> String {
    let repeated = row.repeated.as_ref().map(|repeated| {
        let (item, run, key, state) = (
            repeated.item,
            repeated.run,
            cut(&repeated.key, 40),
            &repeated.state,
        );
        let more = if repeated.times > 1 {
            format!(", and {} before", count(repeated.times - 1))
        } else {
            String::new()
        };
        format!("the same as item {item} (run {run}, {key}, {state}){more}")
    });
    let unknown = row.of_unknown_payment.then(|| UNKNOWN_PAYMENT.to_owned());
    let known = row
        .will_fail
        .as_ref()
        .or(row.crowded.as_ref())
        .map(ToString::to_string)
        .or(unknown);
    let notes: Vec<String> = known.into_iter().chain(repeated).collect();
    notes.join("; ")
}

fn print_differences(differences: &BatchDifferences) {
    let named = |word: &str, named: &KeySample| {
        let some = named
            .keys
            .iter()
            .take(KEYS)
            .map(|key| cut(key, 40))
            .collect::<Vec<_>>()
            .join(", ");
        let more = if named.count > KEYS as u64 {
            ", .."
        } else {
            ""
        };
        if named.count == 0 {
            format!("0 {word}")
        } else {
            format!("{} {word} ({some}{more})", count(named.count))
        }
    };
    say(format!(
        "beside the batch of run {}: {}, {}, {}, {} as before",
        differences.run,
        named("added", &differences.added),
        named("removed", &differences.removed),
        named("changed", &differences.changed),
        count(differences.same)
    ));
}

fn print_rows(rows: &[ReviewedRow]) {
    if rows.is_empty() {
        return;
    }
    let mut shown = table(&[
        ">item",
        ">line",
        "key",
        ">amount",
        ">paid",
        ">given back",
        "fields",
        "note",
    ]);
    for row in rows {
        let known = |text: Option<String>| text.unwrap_or_default();
        shown.add_row([
            row.item.id.to_string(),
            row.item.line.to_string(),
            cut(&row.item.key, 40),
            known(row.item.amount.map(|amount| amount.to_string())),
            known(row.payment.map(|payment| payment.paid.to_string())),
            known(row.payment.map(|payment| payment.refunded_text())),
            cut(&fields(row), 160),
            cut(&notes(row), 160),
        ]);
    }
    print_table(&shown);
}

/// The fields beside the amount, in one line.
fn fields(row: &ReviewedRow) -> String {
    let others = row
        .fields
        .iter()
        .filter(|(name, _)| !["amount", "currency"].contains(&name.as_str()));
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let filled = others
        .map(|(name, value)| (name, text(value)))
        .filter(|(_, value)| !value.is_empty());
    filled
        .map(|(name, value)| format!("{name}: {value}"))
        .collect::<Vec<_>>()
        .join(", ")
}
