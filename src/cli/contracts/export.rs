//! `payrun contracts export`

use clap::Args;

use super::super::Context;
use super::super::exit::{Exit, Failure};
use super::super::output::Csv;
use super::{account_of, gateway_name, parse_state};
use crate::app::Project;
use crate::ledger::{ContractFilter, ContractRow};

/// How many rows are read at a time.
const PAGE: u32 = 500;

/// Those that an import takes, and what else people want to see.
const COLUMNS: [&str; 14] = [
    "contract_id",
    "amount",
    "currency",
    "start",
    "every",
    "anchor_day",
    "end",
    "pay_within",
    "amount_from",
    "description",
    "gateway",
    "state",
    "reason",
    "next_due",
];

/// Arguments of `payrun contracts export`.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// Only those of this gateway account
    #[arg(long)]
    gateway: Option<String>,
    /// Only those in this state
    #[arg(long, value_parser = parse_state)]
    state: Option<&'static str>,
    /// Write fields as they are, also those of which a spreadsheet would make a formula: for an
    /// import, or another program
    #[arg(long)]
    raw: bool,
}

pub(super) async fn run(context: &Context, args: &ExportArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    let account = args
        .gateway
        .as_deref()
        .map(|gateway| account_of(&project, gateway))
        .transpose()?;
    let filter = ContractFilter {
        state: args.state,
        account,
        due_before: None,
    };
    let mut out = Csv::new(args.raw);
    let written = |error: csv::Error| Failure::internal(&error);
    let (mut read, mut after) = (out.record(COLUMNS).map_err(written)?, 0);
    while read {
        let page = ledger.contracts(&filter, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for row in &page {
            read &= out.record(record(&project, row)).map_err(written)?;
        }
    }
    out.flush().map_err(written)?;
    Ok(Exit::Success)
}

/// The price that holds in the end, with the day from which it does.
fn record(project: &Project, row: &ContractRow) -> [String; 14] {
    let (ours, terms) = (&row.subscription, &row.subscription.terms);
    let last = ours.prices.steps().last();
    let since = last
        .filter(|_| ours.prices.steps().count() > 1)
        .map(|(day, _)| day.to_string());
    [
        row.contract.clone(),
        last.map(|(_, amount)| amount.decimal()).unwrap_or_default(),
        ours.prices.currency().code().to_owned(),
        terms.start().to_string(),
        terms.every().as_str().to_owned(),
        terms.anchor().text(terms.every()),
        terms.end().map(|end| end.to_string()).unwrap_or_default(),
        terms.pay_within().to_string(),
        since.unwrap_or_default(),
        ours.description.clone(),
        gateway_name(project, &row.account),
        ours.standing.as_str().to_owned(),
        ours.standing.reason().unwrap_or_default().to_owned(),
        row.next_due.map(|day| day.to_string()).unwrap_or_default(),
    ]
}
