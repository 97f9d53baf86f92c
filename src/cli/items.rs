//! `payrun items`

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::Context;
use super::exit::{Exit, Failure};
use super::output::{Csv, cut, print_table, say, say_json_line, table};
use super::run_report::painted;
use crate::app::Project;
use crate::domain::item::State;
use crate::ledger::{ItemFilter, ItemRow, Ledger};
use crate::view::ItemView;

/// How many rows are read at a time.
const PAGE: u32 = 500;

/// Arguments of `payrun items`.
#[derive(Debug, Args)]
pub(super) struct ItemsArgs {
    /// Only items of this run
    #[arg(long, value_name = "RUN")]
    run: Option<i64>,
    /// Only items of runs of this workflow
    #[arg(long)]
    workflow: Option<String>,
    /// Only items of jobs of this name
    #[arg(long)]
    job: Option<String>,
    /// Only items in these states, separated by commas
    #[arg(long, value_delimiter = ',', value_parser = parse_state, value_name = "STATE")]
    state: Vec<State>,
    /// Only the item with this key
    #[arg(long)]
    key: Option<String>,
    /// Only items behind this one
    #[arg(long, value_name = "ITEM", default_value_t = 0)]
    after: i64,
    /// How many at most; 0 for all
    #[arg(long, short = 'n', default_value_t = 50)]
    limit: u64,
    /// How to print them
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    format: ListFormat,
    /// Write the CSV for a program: fields as they are, also those of which a spreadsheet would
    /// make a formula
    #[arg(long)]
    raw: bool,
    /// The same as --format json
    #[arg(long)]
    json: bool,
}

/// How lists are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// For people
    Table,
    /// For spreadsheets
    Csv,
    /// One JSON object a line
    Json,
}

/// Its reason; of what is withdrawn and may be under way, that first.
fn why(item: &ItemRow) -> String {
    let reason = item.reason.clone().unwrap_or_default();
    match item
        .withdrawn
        .as_ref()
        .filter(|_| item.state.is_in_flight())
    {
        Some(withdrawn) if reason.is_empty() => format!("withdrawn by {withdrawn}"),
        Some(withdrawn) => format!("withdrawn by {withdrawn}; {reason}"),
        None => reason,
    }
}

/// A state's word.
pub(super) fn parse_state(word: &str) -> Result<State, String> {
    State::parse(word).ok_or_else(|| {
        let words: Vec<&str> = State::ALL.into_iter().map(State::as_str).collect();
        format!("no such state; the states are {}", words.join(", "))
    })
}

pub(super) async fn run(context: &Context, args: &ItemsArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    let filter = ItemFilter {
        run_id: args.run,
        workflow: args.workflow.clone(),
        job: args.job.clone(),
        states: args.state.clone(),
        key: args.key.clone(),
        ..ItemFilter::default()
    };
    let form = if args.json {
        ListFormat::Json
    } else {
        args.format
    };
    if args.raw && form != ListFormat::Csv {
        return Err(Failure::invalid("--raw belongs to --format csv"));
    }
    let mut printer = Printer::new(form, args.raw, context.colour);
    let mut after = args.after;
    let mut left = if args.limit == 0 {
        u64::MAX
    } else {
        args.limit
    };
    while left > 0 {
        let wanted = u32::try_from(left.min(u64::from(PAGE))).unwrap_or(PAGE);
        let items = ledger.items(&filter, after, wanted).await?;
        let Some(last) = items.last() else { break };
        after = last.id;
        left = left.saturating_sub(items.len() as u64);
        items.iter().try_for_each(|item| printer.item(item))?;
        if items.len() < wanted as usize {
            after = 0;
            break;
        }
    }
    printer.end(if left == 0 { after } else { 0 });
    Ok(Exit::Success)
}

const COLUMNS: [&str; 13] = [
    "item", "run", "job", "line", "key", "order_no", "state", "amount", "currency", "receipt",
    "next_at", "reason", "result",
];

struct Printer {
    form: ListFormat,
    colour: bool,
    rows: super::output::TextTable,
    csv: Option<Csv>,
    any: bool,
}

impl Printer {
    fn new(form: ListFormat, raw: bool, colour: bool) -> Self {
        let rows = table(&[
            ">item",
            ">run",
            "job",
            ">line",
            "key",
            "order number",
            "state",
            ">amount",
            "reason",
        ]);
        let csv = (form == ListFormat::Csv).then(|| Csv::new(raw));
        Self {
            form,
            colour,
            rows,
            csv,
            any: false,
        }
    }

    fn item(&mut self, item: &ItemRow) -> Result<(), Failure> {
        match self.form {
            ListFormat::Json => say_json_line(&as_json(item)),
            ListFormat::Csv => self
                .csv_line(item)
                .map_err(|error| Failure::internal(&error))?,
            ListFormat::Table => {
                self.rows.add_row([
                    item.id.to_string(),
                    item.run_id.to_string(),
                    cut(&item.job, 20),
                    item.line.to_string(),
                    cut(&item.key, 40),
                    item.order_no.clone().unwrap_or_default(),
                    painted(item.state, self.colour),
                    item.amount
                        .map(|amount| amount.to_string())
                        .unwrap_or_default(),
                    cut(&why(item), 70),
                ]);
            }
        }
        self.any = true;
        Ok(())
    }

    fn csv_line(&mut self, item: &ItemRow) -> Result<(), csv::Error> {
        let Some(csv) = &mut self.csv else {
            return Ok(());
        };
        if !self.any {
            csv.record(COLUMNS)?;
        }
        csv.record([
            item.id.to_string(),
            item.run_id.to_string(),
            item.job.clone(),
            item.line.to_string(),
            item.key.clone(),
            item.order_no.clone().unwrap_or_default(),
            item.state.label().to_owned(),
            item.amount
                .map(crate::domain::money::Amount::decimal)
                .unwrap_or_default(),
            item.amount
                .map(|amount| amount.currency().code().to_owned())
                .unwrap_or_default(),
            item.receipt.clone().unwrap_or_default(),
            item.looked_at()
                .map(|at| at.to_string())
                .unwrap_or_default(),
            why(item),
            item.result.clone().unwrap_or_default(),
        ])
    }

    fn end(mut self, more_after: i64) {
        if let Some(csv) = &mut self.csv {
            csv.flush().ok();
        }
        if self.form != ListFormat::Table {
            return;
        }
        if !self.any {
            say("no such items");
            return;
        }
        print_table(&self.rows);
        if more_after > 0 {
            say(format!("more: --after {more_after}, or --limit 0 for all"));
        }
    }
}

/// The item that a person names by its id, its key or its order number.
pub(super) async fn named(ledger: &Ledger, name: &str) -> Result<ItemRow, Failure> {
    ledger.find_item(name).await?.ok_or_else(|| {
        Failure::invalid(format!("there is no item \"{name}\""))
            .help("name it by its id, its key or its order number; `payrun items` lists them")
    })
}

/// An item for programs.
pub(super) fn as_json(item: &ItemRow) -> Value {
    serde_json::to_value(ItemView::from(item)).unwrap_or_default()
}
