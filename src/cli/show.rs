//! `payrun show`

use clap::Args;
use serde_json::{Map, Value, json};

use super::Context;
use super::exit::{Exit, Failure};
use super::items::{as_json, named};
use super::output::{Colour, count, cut, paint, print_table, say, say_json, say_lines, table};
use super::run_report::{Report, painted};
use super::wall_clock::WallClock;
use crate::alerts::withdrawal::remedy;
use crate::app::Project;
use crate::domain::item::State;
use crate::domain::message::Message;
use crate::domain::time::Timestamp;
use crate::export::code_meanings::of_attempt;
use crate::ledger::{AttemptRow, EventRow, ItemFilter, ItemRow, JobRow, Ledger, PauseRow};
use crate::view::{
    AttemptView, EventView, ItemSurroundings, NoteView, RelatedItemView, gateway_number, own_code,
};

/// How many items that went wrong are shown with a run.
const PROBLEMS: u32 = 10;

/// Arguments of `payrun show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The run; the newest if none is named
    #[arg(value_name = "RUN")]
    run: Option<i64>,
    /// One item instead, by its id, key or order number: its whole history
    #[arg(long, value_name = "ITEM")]
    item: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, args: &ShowArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    match &args.item {
        Some(name) => show_item(&project, &ledger, (name, args.json), context.colour).await,
        None => show_run(&project, &ledger, args, context.colour).await,
    }
}

async fn show_run(
    project: &Project,
    ledger: &Ledger,
    args: &ShowArgs,
    colour: bool,
) -> Result<Exit, Failure> {
    let found = match args.run {
        Some(id) => ledger.run(id).await?,
        None => ledger.runs(None, 1).await?.into_iter().next(),
    };
    let Some(run) = found else {
        return Err(Failure::invalid("there is no such run").help("`payrun runs` lists them"));
    };
    let pruned_at = run.pruned_at;
    let report = Report::of_run(ledger, run).await?;
    let answers = ledger.answers(report.run.id).await?;
    let mut pauses = if report.run.finished_at.is_some() {
        Vec::new()
    } else {
        ledger.pauses().await?
    };
    pauses.retain(|row| {
        row.is_of(
            &report.run.workflow,
            report.jobs.iter().map(|job| &job.lane),
        )
    });
    if args.json {
        let mut value = report.json()?;
        value["answers"] = answers
            .iter()
            .map(|(answer, code, times)| json!({"answer": answer, "code": code, "times": times}))
            .collect();
        value["paused"] = pauses.iter().map(PauseRow::note).collect();
        value["pruned_at"] = json!(pruned_at.map(|at| at.to_string()));
        say_json(&value);
        return Ok(Exit::Success);
    }
    report.print(&project.job_kinds, WallClock::of(project), colour);
    if let Some(version) = &report.version {
        say(format!(
            "planned with version {version} of the workflow, which is how the SHA-256 of its file begins"
        ));
    }
    pauses.iter().for_each(|row| say(row.note()));
    if let Some(at) = pruned_at {
        say(format!(
            "its evidence was kept until {}: what was asked and answered, and the items' input, are gone",
            WallClock::of(project).named(at)
        ));
    }
    if !answers.is_empty() {
        say("");
        let mut rows = table(&["answer", "code", ">times"]);
        for (answer, code, times) in answers {
            rows.add_row([answer, code, count(times)]);
        }
        print_table(&rows);
    }
    print_problems(ledger, report.run.id, colour).await
}

/// The first items that a person should look at.
pub(super) async fn print_problems(
    ledger: &Ledger,
    run_id: i64,
    colour: bool,
) -> Result<Exit, Failure> {
    let states = vec![State::NeedsReview, State::Failed, State::Rejected];
    let filter = ItemFilter {
        run_id: Some(run_id),
        states,
        ..ItemFilter::default()
    };
    let items = ledger.items(&filter, 0, PROBLEMS).await?;
    if items.is_empty() {
        return Ok(Exit::Success);
    }
    say("");
    let mut rows = table(&[">item", ">line", "key", "state", "reason"]);
    for item in &items {
        rows.add_row([
            item.id.to_string(),
            item.line.to_string(),
            cut(&item.key, 40),
            painted(item.state, colour),
            cut(item.reason.as_deref().unwrap_or_default(), 100),
        ]);
    }
    print_table(&rows);
    say(format!(
        "all of them: payrun items --run {run_id} --state failed,needs_review,rejected; one: payrun show --item ITEM"
    ));
    Ok(Exit::Success)
}

async fn show_item(
    project: &Project,
    ledger: &Ledger,
    (name, json): (&str, bool),
    colour: bool,
) -> Result<Exit, Failure> {
    let clock = WallClock::of(project);
    let item = named(ledger, name).await?;
    let attempts = ledger.attempts(item.id).await?;
    let events = ledger.events(item.id).await?;
    let jobs = ledger.jobs(item.run_id).await?;
    let job = jobs.iter().find(|job| job.id == item.job_id);
    let surroundings = ItemSurroundings::read(ledger, &item, job).await?;
    if json {
        let mut value = as_json(&item)?;
        value["gateway_numbers"] = json!(surroundings.gateway_numbers);
        value["related"] = json!(surroundings.related);
        value["attempts"] = json!(attempts.iter().map(AttemptView::from).collect::<Vec<_>>());
        value["notes"] = json!(surroundings.notes);
        value["bulk_actions"] = json!(surroundings.bulk_actions);
        value["events"] = json!(events.iter().map(EventView::from).collect::<Vec<_>>());
        say_json(&value);
        return Ok(Exit::Success);
    }
    let facts = item.facts()?.unwrap_or_default();
    let kind = job.map_or("", |job| &job.kind);
    let code = code(project, job, &attempts);
    print_item(&item, code, (kind, &surroundings), clock, colour);
    print_result(&facts);
    print_related(&surroundings.related, colour);
    print_events(&item, &events, clock, colour);
    print_attempts(&attempts, clock, colour);
    print_notes(&surroundings.notes, clock);
    Ok(Exit::Success)
}

fn print_notes(notes: &[NoteView], clock: WallClock) {
    if notes.is_empty() {
        return;
    }
    say_lines("\nnotes");
    for note in notes {
        let at = clock.named(note.instant);
        say(format!("{at}  {}: {}", note.by, note.note));
    }
}

fn print_item(
    item: &ItemRow,
    code: String,
    (kind, surroundings): (&str, &ItemSurroundings),
    clock: WallClock,
    colour: bool,
) {
    let other = gateway_number(None, &surroundings.gateway_numbers);
    let other = other.filter(|_| item.receipt.is_none());
    let facts = [
        ("item", item.id.to_string()),
        (
            "run",
            format!("{}, job {}, line {}", item.run_id, item.job, item.line),
        ),
        ("key", item.key.clone()),
        ("order number", item.order_no.clone().unwrap_or_default()),
        ("state", painted(item.state, colour)),
        (
            "amount",
            item.amount
                .map(|amount| amount.to_string())
                .unwrap_or_default(),
        ),
        ("receipt", item.receipt.clone().unwrap_or_default()),
        ("gateway's no.", other.unwrap_or_default().to_owned()),
        (
            "next due",
            item.looked_at()
                .map(|at| clock.named(at))
                .unwrap_or_default(),
        ),
        ("reason", item.reason.clone().unwrap_or_default()),
        ("code", code),
        ("withdrawn by", item.withdrawn.clone().unwrap_or_default()),
        (
            "withdrawn at",
            item.withdrawn_at
                .map(|at| clock.named(at))
                .unwrap_or_default(),
        ),
        ("bulk actions", bulk_actions(surroundings)),
        ("what to do", to_do(item, kind)),
        (
            "same key as",
            item.duplicate_of
                .map(|id| format!("item {id}"))
                .unwrap_or_default(),
        ),
    ];
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        say(format!("{name:<13} {fact}"));
    }
}

/// The bulk actions that changed it.
fn bulk_actions(surroundings: &ItemSurroundings) -> String {
    let all = surroundings.bulk_actions.iter();
    let words: Vec<String> = all
        .map(|bulk| format!("{} ({})", bulk.bulk_action, bulk.action))
        .collect();
    words.join(", ")
}

/// The last code: what it means, and what to do.
fn code(project: &Project, job: Option<&JobRow>, attempts: &[AttemptRow]) -> String {
    let Some(last) = attempts.iter().rfind(|attempt| !attempt.late) else {
        return String::new();
    };
    if let Some(code) = own_code(last) {
        return format!("{code}, {}", code.explained());
    }
    let meaning = job.and_then(|job| of_attempt(&project.config, &project.job_kinds, job, last));
    meaning.map_or_else(String::new, |meaning| format!("{}, {meaning}", last.code))
}

/// What a person has to do about an item, or need not.
fn to_do(item: &ItemRow, kind: &str) -> String {
    let id = item.id;
    match (item.state, item.withdrawn.is_some()) {
        (State::NeedsReview, withdrawn) => {
            let retry = if withdrawn {
                ""
            } else {
                "; `payrun retry` asks the gateway once more"
            };
            format!(
                "find out what became of it, then `payrun resolve {id} --succeeded RECEIPT` or `--failed`{retry}. Until then nothing \
                 more of it is sent, nor anything else of a contract that it deducts from"
            )
        }
        (State::Succeeded, true) => {
            format!("the withdrawal was too late: {}", remedy(kind, id))
        }
        (State::Sending | State::Pending | State::Unknown, true) => {
            "nothing: it is being queried, and nothing new of it is sent".to_owned()
        }
        (State::Sending | State::Pending | State::Unknown, false)
        | (
            State::AwaitingApproval
            | State::Planned
            | State::Failed
            | State::Cancelled
            | State::Rejected
            | State::Skipped,
            _,
        )
        | (State::Succeeded, false) => String::new(),
    }
}

/// What the gateway told: an action for the payer, a report's place.
fn print_result(result: &Map<String, Value>) {
    if result.is_empty() {
        return;
    }
    say_lines("\nwhat is known of it");
    for (name, fact) in result {
        say(format!(
            "{name:<13} {}",
            fact.as_str()
                .map_or_else(|| fact.to_string(), str::to_owned)
        ));
    }
}

/// The refunds of a payment, and the other declarations of a sub-order.
fn print_related(related: &[RelatedItemView], colour: bool) {
    if related.is_empty() {
        return;
    }
    say_lines("\nwhat belongs to it");
    let mut rows = table(&[
        ">item", ">run", "kind", "what", "state", ">amount", "receipt",
    ]);
    for one in related {
        let item = &one.item;
        let what = match one.relation {
            "refund" => "gives back of it",
            "replaced" => "was before it, and is replaced by it",
            _ => "came after it, and replaces it",
        };
        let state = State::parse(item.state)
            .map_or_else(|| item.state.to_owned(), |state| painted(state, colour));
        let money = item.amount.as_deref().zip(item.currency);
        rows.add_row([
            item.item.to_string(),
            item.run.to_string(),
            one.kind.clone(),
            what.to_owned(),
            state,
            money
                .map(|(amount, currency)| format!("{amount} {currency}"))
                .unwrap_or_default(),
            item.receipt.clone().unwrap_or_default(),
        ]);
    }
    print_table(&rows);
}

fn print_events(item: &ItemRow, events: &[EventRow], clock: WallClock, colour: bool) {
    if events.is_empty() && item.withdrawn.is_none() {
        return;
    }
    // The withdrawal of what may be under way is no move, and stands where it was said.
    let mut withdrawal = item.withdrawn_at.zip(item.withdrawn.as_ref());
    let withdraw = |(at, by): (Timestamp, &String)| {
        [
            clock.cell(at),
            "withdraw".to_owned(),
            String::new(),
            String::new(),
            by.clone(),
        ]
    };
    say_lines("\nwhat happened to it");
    let mut rows = table(&[&clock.heading("at"), "event", "from", "to", "why"]);
    for event in events {
        if let Some(before) = withdrawal.take_if(|(at, _)| *at < event.at) {
            rows.add_row(withdraw(before));
        }
        let alarm = event
            .alarm
            .as_ref()
            .map(|alarm| paint(&format!("ALARM {alarm} "), Colour::Red, colour));
        rows.add_row([
            clock.cell(event.at),
            event.event.to_string(),
            event.from.clone(),
            event.to.clone(),
            format!(
                "{}{}",
                alarm.unwrap_or_default(),
                event
                    .detail
                    .as_ref()
                    .map(Message::to_string)
                    .unwrap_or_default()
            ),
        ]);
    }
    if let Some(withdrawal) = withdrawal {
        rows.add_row(withdraw(withdrawal));
    }
    print_table(&rows);
}

fn print_attempts(attempts: &[AttemptRow], clock: WallClock, colour: bool) {
    if attempts.is_empty() {
        return;
    }
    say_lines(format!(
        "\n{}",
        clock.heading("what was asked and answered")
    ));
    for attempt in attempts {
        let took = attempt.ended_at.since(attempt.started_at).as_millis();
        let http = attempt
            .http
            .map(|http| format!(", HTTP {http}"))
            .unwrap_or_default();
        let code = if attempt.code.is_empty() {
            String::new()
        } else {
            format!(" {}", attempt.code)
        };
        let late = if attempt.late {
            " (late: changed nothing)"
        } else {
            ""
        };
        say(format!(
            "{}  {} {}: {}{code}{http}, {took} ms{late}",
            clock.cell(attempt.started_at),
            attempt.operation,
            attempt.order_no,
            attempt.answer
        ));
        if !attempt.evidence.is_empty() {
            say(paint(
                &format!("    {}", attempt.evidence),
                Colour::Dim,
                colour,
            ));
        }
    }
}
