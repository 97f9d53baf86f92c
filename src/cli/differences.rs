//! `payrun differences`

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Context;
use super::actor::CommandAuthor;
use super::exit::{Exit, Failure};
use super::export_file::{self, FormatArgs, OutputArgs, rows_wanted};
use super::output::{counted, cut, print_table, say, say_json, say_json_line, table};
use super::wall_clock::{WallClock, parse_day};
use crate::app::Project;
use crate::clock::Clock;
use crate::domain::difference::{DifferenceOwner, DifferenceReason, DifferenceState};
use crate::domain::item::State;
use crate::domain::money::Amount;
use crate::domain::role::Role;
use crate::export::ExportQuery;
use crate::ledger::{
    DIFFERENCES_AT_ONCE, DifferenceChange, DifferenceFilter, DifferenceOutcome, DifferenceRow,
    Ledger,
};
use crate::view::{DifferenceEventView, DifferenceView};

/// How many rows are read at a time.
const PAGE: u32 = 500;

/// How many are listed if nothing is said.
const LISTED: u64 = 50;

/// How many that could not be changed are named.
const NAMED: usize = 10;

/// Arguments of `payrun differences`.
#[derive(Debug, Args)]
pub(super) struct DifferencesArgs {
    #[command(subcommand)]
    command: DifferencesCommand,
}

#[derive(Debug, Subcommand)]
enum DifferencesCommand {
    /// List the differences that reconciliations found; the open ones if nothing else is said
    List(ListArgs),
    /// Show one difference: both sides, what to do, and what became of it
    Show {
        /// The difference
        #[arg(value_name = "NUMBER")]
        number: i64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say who looks after differences
    Assign {
        /// The person
        #[arg(long, value_name = "NAME", required_unless_present = "nobody")]
        to: Option<String>,
        /// Nobody any more
        #[arg(long, conflicts_with = "to")]
        nobody: bool,
        #[command(flatten)]
        change: ChangeDifferencesArgs,
    },
    /// Leave a note on differences; nothing else changes
    Comment(ChangeDifferencesArgs),
    /// Say why differences are there: they are explained until a later reconciliation closes them
    Explain(ChangeDifferencesArgs),
    /// Let differences stand for good
    Accept(ChangeDifferencesArgs),
    /// Take back that differences were explained or accepted
    Reopen(ChangeDifferencesArgs),
}

/// Which differences.
#[derive(Debug, Args)]
struct FilterArgs {
    /// Only of this gateway account
    #[arg(long, value_name = "NAME")]
    gateway: Option<String>,
    /// Only in these states, separated by commas: open, explained, accepted, closed
    #[arg(long, value_delimiter = ',', value_parser = state, value_name = "STATES")]
    state: Vec<DifferenceState>,
    /// Only of this kind: state, amount, currency, missing_here, refund_of_another_system,
    /// missing_there, duplicate_line, fee, summary, timing, others
    #[arg(long = "kind", value_parser = difference_reason, value_name = "KIND")]
    kind: Option<DifferenceReason>,
    /// Only those that this person looks after
    #[arg(long, value_name = "NAME")]
    owner: Option<String>,
    /// Only those that nobody looks after
    #[arg(long, conflicts_with = "owner")]
    unowned: bool,
    /// Only of this day on, as the gateway counts days
    #[arg(long, value_parser = day, value_name = "YYYY-MM-DD")]
    from: Option<String>,
    /// Only up to this day
    #[arg(long, value_parser = day, value_name = "YYYY-MM-DD")]
    until: Option<String>,
    /// Only with this number of a payment or refund, ours or the gateway's
    #[arg(long, value_name = "NUMBER")]
    order: Option<String>,
    /// Only about this item
    #[arg(long, value_name = "ITEM")]
    item: Option<i64>,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Only those behind this number
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: i64,
    /// How many at most; 0 for all. 50 if nothing is said, and all of them with -o
    #[arg(long, short = 'n')]
    limit: Option<u64>,
    /// Print a JSON object a line
    #[arg(long, conflicts_with = "output")]
    json: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    format: FormatArgs,
}

#[derive(Debug, Args)]
struct ChangeDifferencesArgs {
    /// The differences, by their numbers
    #[arg(
        value_name = "NUMBER",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    numbers: Vec<i64>,
    /// All that the options below name, the open ones if nothing else is said; with --yes
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: FilterArgs,
    /// Do it to all of them; without it they are counted
    #[arg(long, requires = "all")]
    yes: bool,
    #[command(flatten)]
    by: CommandAuthor,
}

fn state(word: &str) -> Result<DifferenceState, String> {
    DifferenceState::parse(word).ok_or_else(|| {
        let known = DifferenceState::ALL.map(DifferenceState::as_str);
        format!("a difference is {}", known.join(", "))
    })
}

fn difference_reason(word: &str) -> Result<DifferenceReason, String> {
    DifferenceReason::parse(word).ok_or_else(|| {
        let known = DifferenceReason::ALL.map(DifferenceReason::as_str);
        format!("there are {}", known.join(", "))
    })
}

fn day(text: &str) -> Result<String, String> {
    parse_day(text).map(|day| day.to_string())
}

impl FilterArgs {
    fn filter(&self, project: &Project) -> Result<DifferenceFilter, Failure> {
        if let Some(name) = &self.gateway
            && !project.config.gateways.contains_key(name)
        {
            let known: Vec<&str> = project.config.gateways.keys().map(String::as_str).collect();
            return Err(
                Failure::invalid(format!("payrun.yaml has no gateway \"{name}\""))
                    .help(format!("there are {}", known.join(", "))),
            );
        }
        let is_one = self.order.is_some() || self.item.is_some();
        let states = match self.state.as_slice() {
            [] if is_one => Vec::new(),
            [] => vec![DifferenceState::Open],
            given => given.to_vec(),
        };
        Ok(DifferenceFilter {
            states,
            lane: self.gateway.clone(),
            reason: self.kind,
            owner: if self.unowned {
                Some(String::new())
            } else {
                self.owner.clone()
            },
            from: self.from.clone(),
            to: self.until.clone(),
            number: self.order.clone(),
            item: self.item,
        })
    }
}

pub(super) async fn run(context: &Context, args: &DifferencesArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    match &args.command {
        DifferencesCommand::List(args) => list(&project, &ledger, args).await,
        DifferencesCommand::Show { number, json } => {
            show(&ledger, WallClock::of(&project), *number, *json).await
        }
        DifferencesCommand::Assign { to, change, .. } => {
            let owner = to.as_deref().map(DifferenceOwner::parse).transpose();
            let owner = owner.map_err(|invalid| {
                Failure::invalid(invalid.to_string())
                    .help("who looks after it? --to NAME, or --nobody")
            })?;
            let what = DifferenceChange::Assign(owner);
            change_many(&project, &ledger, &what, change).await
        }
        DifferencesCommand::Comment(args) => {
            change_many(&project, &ledger, &DifferenceChange::Comment, args).await
        }
        DifferencesCommand::Explain(args) => {
            change_many(&project, &ledger, &DifferenceChange::Explain, args).await
        }
        DifferencesCommand::Accept(args) => {
            change_many(&project, &ledger, &DifferenceChange::Accept, args).await
        }
        DifferencesCommand::Reopen(args) => {
            change_many(&project, &ledger, &DifferenceChange::Reopen, args).await
        }
    }
}

async fn list(project: &Project, ledger: &Ledger, args: &ListArgs) -> Result<Exit, Failure> {
    let filter = args.filter.filter(project)?;
    let target = args.output.target(args.format.table_format())?;
    let limit = rows_wanted(args.limit, LISTED, target.as_ref());
    if let Some(target) = target {
        let query = ExportQuery::Differences {
            filter,
            after: args.after,
            limit,
        };
        return export_file::write(project, ledger, query, &target, "difference").await;
    }
    let mut rows = table(&[
        ">number",
        "state",
        "reason",
        "gateway",
        "day",
        "order or refund",
        ">ours",
        ">theirs",
        "owner",
        "note",
    ]);
    let (mut after, mut left, mut more) = (args.after, limit, false);
    while left > 0 {
        let wanted = u32::try_from(left.min(u64::from(PAGE))).unwrap_or(PAGE);
        let page = ledger.list_differences(&filter, after, wanted).await?;
        more = page.len() == wanted as usize;
        for row in &page {
            if args.json {
                say_json_line(&as_json(row));
            } else {
                rows.add_row(cells(row));
            }
        }
        let Some(last) = page.last().filter(|_| more) else {
            break;
        };
        after = last.id;
        left = left.saturating_sub(page.len() as u64);
    }
    if !args.json {
        if rows.is_empty() {
            say("no such differences");
        } else {
            print_table(&rows);
        }
        if more {
            say(format!("more: --after {after}, or --limit 0 for all"));
        }
    }
    Ok(Exit::Success)
}

fn amount(amount: Option<Amount>) -> String {
    amount.map(|amount| amount.to_string()).unwrap_or_default()
}

fn number(row: &DifferenceRow) -> &str {
    let difference = &row.difference;
    let numbers = [
        &difference.refund_no,
        &difference.order_no,
        &difference.transaction_id,
    ];
    let known = numbers.into_iter().find(|number| !number.is_empty());
    known.map_or("", String::as_str)
}

fn cells(row: &DifferenceRow) -> [String; 10] {
    let difference = &row.difference;
    [
        row.id.to_string(),
        row.state.to_string(),
        difference.reason.as_str().replace('_', " "),
        row.lane.clone(),
        difference.day.clone(),
        number(row).to_owned(),
        amount(difference.ours),
        amount(difference.theirs),
        cut(row.owner.as_deref().unwrap_or_default(), 20),
        cut(row.note.as_deref().unwrap_or(&difference.detail), 60),
    ]
}

fn as_json(row: &DifferenceRow) -> Value {
    json!(DifferenceView::of(row))
}

async fn show(ledger: &Ledger, clock: WallClock, number: i64, json: bool) -> Result<Exit, Failure> {
    let Some((row, events)) = ledger.difference(number).await? else {
        return Err(Failure::invalid(format!("there is no difference {number}"))
            .help("`payrun differences list --state open,explained,accepted,closed` has all"));
    };
    if json {
        let mut told = as_json(&row);
        let events = events.iter().map(DifferenceEventView::of);
        told["events"] = json!(events.collect::<Vec<_>>());
        say_json(&told);
        return Ok(Exit::Success);
    }
    let difference = &row.difference;
    say(format!(
        "difference {}: {}, {}",
        row.id,
        difference.reason.as_str().replace('_', " "),
        row.state
    ));
    let side = |amount: Option<Amount>, state: &str| match amount {
        None => "nothing".to_owned(),
        Some(amount) => format!("{amount} {state}").trim_end().to_owned(),
    };
    let ours = side(
        difference.ours,
        difference.our_state.map_or("", State::as_str),
    );
    let facts = [
        ("account", row.lane.clone()),
        ("day", difference.day.clone()),
        ("about", difference.kind.as_str().to_owned()),
        ("order", difference.order_no.clone()),
        ("refund", difference.refund_no.clone()),
        ("gateway's number", difference.transaction_id.clone()),
        ("ours", ours),
        ("theirs", side(difference.theirs, &difference.their_state)),
        (
            "item",
            difference
                .item
                .map(|item| item.to_string())
                .unwrap_or_default(),
        ),
        (
            "statement line",
            difference
                .line
                .map(|line| line.to_string())
                .unwrap_or_default(),
        ),
        ("detail", difference.detail.clone()),
        ("owner", row.owner.clone().unwrap_or_default()),
        ("first seen", clock.named(row.first_seen)),
        ("last seen", clock.named(row.last_seen)),
        ("what to do", difference.reason.advice().to_owned()),
    ];
    for (name, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        say(format!("  {name:<17} {fact}"));
    }
    let mut history = table(&[&clock.heading("at"), "what", "state", "who", "why"]);
    for event in &events {
        history.add_row([
            clock.cell(event.at),
            event.event.replace('_', " "),
            event.to_state.to_string(),
            event.actor.clone(),
            event.note.clone(),
        ]);
    }
    print_table(&history);
    Ok(Exit::Success)
}

async fn change_many(
    project: &Project,
    ledger: &Ledger,
    what: &DifferenceChange,
    args: &ChangeDifferencesArgs,
) -> Result<Exit, Failure> {
    let numbers = if args.all {
        let filter = args.filter.filter(project)?;
        let (numbers, told) = chosen(ledger, &filter).await?;
        if numbers.is_empty() {
            say("no such differences");
            return Ok(Exit::Success);
        }
        if !args.yes {
            say(told);
            say(format!(
                "nothing was changed: give --yes to {} them",
                what.as_str()
            ));
            return Ok(Exit::Success);
        }
        numbers
    } else {
        args.numbers.clone()
    };
    let by = args.by.signed(ledger, Role::Operator).await?;
    let now = Clock::System.now();
    let mut outcome = DifferenceOutcome::default();
    for page in numbers.chunks(DIFFERENCES_AT_ONCE) {
        let done = ledger.change_differences(page, what, &by, now).await?;
        outcome.changed.extend(done.changed);
        outcome.refused.extend(done.refused);
        outcome.unknown.extend(done.unknown);
    }
    told(what, &outcome)
}

/// What `--all` means: their numbers, and how many there are of what.
async fn chosen(ledger: &Ledger, filter: &DifferenceFilter) -> Result<(Vec<i64>, String), Failure> {
    let (mut numbers, mut reasons) = (Vec::new(), BTreeMap::new());
    let mut after = 0;
    loop {
        let page = ledger.list_differences(filter, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for row in page {
            numbers.push(row.id);
            *reasons.entry(row.difference.reason).or_insert(0_u64) += 1;
        }
    }
    let reasons: Vec<String> = reasons
        .iter()
        .map(|(reason, count)| format!("{count} × {}", reason.as_str().replace('_', " ")))
        .collect();
    let told = format!(
        "{}: {}",
        counted(numbers.len() as u64, "difference"),
        reasons.join(", ")
    );
    Ok((numbers, told))
}

fn told(what: &DifferenceChange, outcome: &DifferenceOutcome) -> Result<Exit, Failure> {
    let done = match what {
        DifferenceChange::Assign(Some(owner)) => format!("assigned to {owner}"),
        DifferenceChange::Assign(None) => "nobody's".to_owned(),
        DifferenceChange::Comment => "noted".to_owned(),
        DifferenceChange::Explain => "explained".to_owned(),
        DifferenceChange::Accept => "accepted".to_owned(),
        DifferenceChange::Reopen => "opened again".to_owned(),
    };
    if !outcome.changed.is_empty() {
        say(format!(
            "{} {done}",
            counted(outcome.changed.len() as u64, "difference")
        ));
    }
    let refused = outcome
        .refused
        .iter()
        .map(|(number, state)| format!("difference {number} is {state}, and cannot be {done}"));
    let unknown = outcome
        .unknown
        .iter()
        .map(|number| format!("there is no difference {number}"));
    let left: Vec<String> = refused.chain(unknown).collect();
    if left.is_empty() {
        return Ok(Exit::Success);
    }
    let named = left.iter().take(NAMED).cloned().collect::<Vec<_>>();
    let rest = left.len().saturating_sub(NAMED);
    let more = match rest {
        0 => String::new(),
        rest => format!("; and {rest} more"),
    };
    Err(Failure::invalid(format!("{}{more}", named.join("; "))))
}
