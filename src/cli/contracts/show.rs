//! `payrun contracts show`

use chrono::NaiveDate;
use clap::Args;
use serde_json::{Value, json};

use super::super::Context;
use super::super::exit::{Exit, Failure};
use super::super::output::{cut, print_table, say, say_json, table};
use super::super::wall_clock::WallClock;
use super::list::as_json;
use super::{account_of, find, gateway_name};
use crate::app::Project;
use crate::clock::Clock;
use crate::domain::item::State;
use crate::domain::money::{Currency, decimal_text};
use crate::domain::subscription::{
    ContractStanding, DuePeriod, PeriodState, RunDays, Subscription,
};
use crate::engine::contracts::day_of;
use crate::ledger::{ChangeRow, ContractRow, Ledger, LedgerError, PeriodRow};

/// How many rows are read at a time, and how many of each list are shown at most.
const PAGE: u32 = 500;
const MOST: usize = 10_000;

/// How many coming due dates are shown.
const COMING: usize = 3;

/// Arguments of `payrun contracts show`.
#[derive(Debug, Args)]
pub(super) struct ContractShowArgs {
    /// The contract, as the gateway names it
    #[arg(value_name = "ID")]
    id: String,
    /// Its gateway account, where several have a contract of this id
    #[arg(long)]
    gateway: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, args: &ContractShowArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    let account = args
        .gateway
        .as_deref()
        .map(|gateway| account_of(&project, gateway))
        .transpose()?;
    let contract = find(&ledger, &args.id, account.as_deref()).await?;
    let today = day_of(Clock::System.now(), project.config.timezone);
    let (periods, changes) = (
        periods(&ledger, contract.id).await?,
        changes(&ledger, contract.id).await?,
    );
    if args.json {
        let mut told = as_json(&project, &contract);
        let currency = contract.subscription.prices.currency();
        told["periods"] = periods
            .iter()
            .map(|period| period_json(period, currency))
            .collect();
        told["open"] = open(&contract, today)
            .iter()
            .map(|(_, due)| json!(due.period.name))
            .collect();
        told["changes"] = changes.iter().map(change_json).collect();
        say_json(&told);
    } else {
        print_terms(&project, &contract, today);
        print_periods(&contract, &periods, today);
        print_changes(&changes, WallClock::of(&project));
    }
    Ok(Exit::Success)
}

async fn periods(ledger: &Ledger, id: i64) -> Result<Vec<PeriodRow>, LedgerError> {
    let mut all: Vec<PeriodRow> = Vec::new();
    while all.len() < MOST {
        let after = all
            .last()
            .map_or("", |period| period.period.as_str())
            .to_owned();
        let page = ledger.contract_periods(id, &after, PAGE).await?;
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    Ok(all)
}

async fn changes(ledger: &Ledger, id: i64) -> Result<Vec<ChangeRow>, LedgerError> {
    let mut all: Vec<ChangeRow> = Vec::new();
    while all.len() < MOST {
        let page = ledger
            .contract_changes(Some(id), all.last().map_or(0, |change| change.id), PAGE)
            .await?;
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    Ok(all)
}

/// Periods that are due and not accounted for, and what becomes of them.
fn open(contract: &ContractRow, today: NaiveDate) -> Vec<(&'static str, DuePeriod)> {
    let suspended = matches!(
        contract.subscription.standing,
        ContractStanding::Suspended { .. }
    );
    let running = Subscription {
        standing: if suspended {
            ContractStanding::Active
        } else {
            contract.subscription.standing.clone()
        },
        ..contract.subscription.clone()
    };
    let becomes = |lapsed| match (suspended, lapsed) {
        (true, _) => "not charged while the contract is suspended",
        (false, true) => "to be charged no more: it lapses with the next run",
        (false, false) => "to be charged by the next run",
    };
    let days = RunDays { on: today, today };
    let due = running.due(
        contract.open(),
        days,
        &contract.accounted,
        &contract.reopened,
    );
    due.into_iter()
        .map(|due| (becomes(due.lapsed), due))
        .collect()
}

fn print_terms(project: &Project, contract: &ContractRow, today: NaiveDate) {
    let ours = &contract.subscription;
    let terms = &ours.terms;
    let reason = ours
        .standing
        .reason()
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default();
    say(format!(
        "contract {} at {}: {}{reason}",
        contract.contract,
        gateway_name(project, &contract.account),
        ours.standing.as_str()
    ));
    let end = terms
        .end()
        .map(|end| format!(" to {end}"))
        .unwrap_or_default();
    let (every, on) = (terms.every().as_str(), terms.anchor().text(terms.every()));
    say(format!(
        "  {} every {every} on {on}, from {}{end}",
        ours.prices.on(today),
        terms.start()
    ));
    say(format!(
        "  a period may be charged for {} days after it falls due",
        terms.pay_within()
    ));
    for (day, amount) in ours.prices.steps().skip(1) {
        say(format!("  {amount} from {day}"));
    }
    let coming: Vec<String> = terms
        .dues(today.max(contract.open()))
        .take(COMING)
        .map(|due| due.to_string())
        .collect();
    if ours.standing == ContractStanding::Active && !coming.is_empty() {
        say(format!("  falls due next on {}", coming.join(", ")));
    }
}

fn print_periods(contract: &ContractRow, periods: &[PeriodRow], today: NaiveDate) {
    let currency = contract.subscription.prices.currency();
    let mut rows = table(&["period", "due", "state", ">amount", ">item", "reason"]);
    for period in periods {
        rows.add_row([
            period.period.clone(),
            period.due.to_string(),
            state(period),
            decimal_text(i128::from(period.minor), currency),
            period.item.map(|item| item.to_string()).unwrap_or_default(),
            cut(period.reason.as_deref().unwrap_or_default(), 80),
        ]);
    }
    for (becomes, DuePeriod { period, amount, .. }) in open(contract, today) {
        // What was reopened stands among the others.
        if contract.reopened.contains_key(&period.name) {
            continue;
        }
        let amount = amount.decimal();
        rows.add_row([
            period.name,
            period.due.to_string(),
            "due".to_owned(),
            amount,
            String::new(),
            becomes.to_owned(),
        ]);
    }
    if !rows.is_empty() {
        say("");
        print_table(&rows);
    }
    for item in periods
        .iter()
        .filter(|period| period.item_state == Some(State::NeedsReview))
        .filter_map(|period| period.item)
    {
        say(format!(
            "item {item} needs review, and nothing else is sent of the contract: `payrun show --item {item}` says what is known of it, \
             `payrun resolve {item}` says what became of it"
        ));
    }
    let too_late =
        |period: &&PeriodRow| period.is_withdrawn && period.item_state == Some(State::Succeeded);
    for item in periods
        .iter()
        .filter(too_late)
        .filter_map(|period| period.item)
    {
        say(format!(
            "item {item} was paid although it had been withdrawn: `payrun refund {item} --reason WHY` writes a workflow that gives it back"
        ));
    }
}

/// What became of a period; while its item is under way, where that is.
fn state(period: &PeriodRow) -> String {
    if let Some(pay_by) = period
        .pay_by
        .filter(|_| period.state == PeriodState::Reopened)
    {
        return format!("reopened until {pay_by}");
    }
    match period
        .item_state
        .filter(|_| period.state == PeriodState::Planned)
    {
        Some(State::Planned) | None => period.state.label().to_owned(),
        Some(state) => format!("{}, {}", period.state.label(), state.label()),
    }
}

fn print_changes(changes: &[ChangeRow], clock: WallClock) {
    let mut rows = table(&[&clock.heading("at"), "by", "what", "why"]);
    for change in changes {
        rows.add_row([
            clock.cell(change.at),
            cut(&change.who, 20),
            change.what.to_string(),
            cut(&change.why, 90),
        ]);
    }
    say("");
    print_table(&rows);
}

fn period_json(period: &PeriodRow, currency: Currency) -> Value {
    json!({
        "period": period.period,
        "due": period.due.to_string(),
        "state": period.state.label(),
        "item": period.item,
        "item_state": period.item_state.map(State::as_str),
        "withdrawn": period.is_withdrawn,
        "amount": decimal_text(i128::from(period.minor), currency),
        "reason": period.reason,
        "pay_by": period.pay_by.map(|day| day.to_string()),
    })
}

fn change_json(change: &ChangeRow) -> Value {
    json!({
        "at": change.at.to_string(),
        "by": change.who,
        "what": change.what.as_str(),
        "why": change.why,
        "before": change.before,
        "after": change.after,
    })
}
