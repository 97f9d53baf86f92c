//! `payrun contracts list`

use clap::Args;
use serde_json::{Value, json};

use super::super::Context;
use super::super::exit::{Exit, Failure};
use super::super::export_file::{self, FormatArgs, OutputArgs, rows_wanted};
use super::super::output::{cut, print_table, say, say_json_line, table};
use super::{account_of, gateway_name, parse_state};
use crate::app::Project;
use crate::clock::Clock;
use crate::engine::contracts::day_of;
use crate::export::ExportQuery;
use crate::ledger::{ContractFilter, ContractRow};

/// How many rows are read at a time.
const PAGE: u32 = 500;

/// Arguments of `payrun contracts list`.
#[derive(Debug, Args)]
pub(super) struct ContractListArgs {
    /// Only those of this gateway account
    #[arg(long)]
    gateway: Option<String>,
    /// Only those in this state
    #[arg(long, value_parser = parse_state)]
    state: Option<&'static str>,
    /// Only active ones with a period that fell due before today and is neither planned nor settled
    /// otherwise
    #[arg(long)]
    overdue: bool,
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

/// How many are listed if nothing is said.
const LISTED: u64 = 50;

pub(super) async fn run(context: &Context, args: &ContractListArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    let today = day_of(Clock::System.now(), project.config.timezone);
    let account = args
        .gateway
        .as_deref()
        .map(|gateway| account_of(&project, gateway))
        .transpose()?;
    let filter = ContractFilter {
        state: args.state,
        account,
        due_before: args.overdue.then_some(today),
    };
    let target = args.output.target(args.format.table_format())?;
    let limit = rows_wanted(args.limit, LISTED, target.as_ref());
    if let Some(target) = target {
        let query = ExportQuery::Contracts {
            filter,
            after: args.after,
            limit,
        };
        return export_file::write(&project, &ledger, query, &target, "contract").await;
    }
    let mut rows = table(&[
        ">number", "contract", "gateway", "state", ">amount", "every", "next due", "reason",
    ]);
    let (mut after, mut left) = (args.after, limit);
    let mut more = false;
    while left > 0 {
        let wanted = u32::try_from(left.min(u64::from(PAGE))).unwrap_or(PAGE);
        let page = ledger.contracts(&filter, after, wanted).await?;
        more = page.len() == wanted as usize;
        for contract in &page {
            if args.json {
                say_json_line(&as_json(&project, contract));
            } else {
                rows.add_row(cells(&project, contract, today));
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
            say("no such contracts")
        } else {
            print_table(&rows)
        }
        if more {
            say(format!("more: --after {after}, or --limit 0 for all"));
        }
    }
    Ok(Exit::Success)
}

fn cells(project: &Project, row: &ContractRow, today: chrono::NaiveDate) -> [String; 8] {
    let (terms, standing) = (&row.subscription.terms, &row.subscription.standing);
    [
        row.id.to_string(),
        cut(&row.contract, 40),
        gateway_name(project, &row.account),
        standing.as_str().to_owned(),
        row.subscription.prices.on(today).to_string(),
        terms.every().as_str().to_owned(),
        row.next_due.map(|day| day.to_string()).unwrap_or_default(),
        cut(standing.reason().unwrap_or_default(), 60),
    ]
}

/// A contract for programs.
pub(super) fn as_json(project: &Project, row: &ContractRow) -> Value {
    let mut told = json!({
        "number": row.id,
        "contract_id": row.contract,
        "gateway": gateway_name(project, &row.account),
        "next_due": row.next_due.map(|day| day.to_string()),
    });
    if let (Some(told), Value::Object(terms)) = (told.as_object_mut(), row.json()) {
        told.extend(terms);
    }
    told
}
