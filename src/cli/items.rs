//! `payrun items`

use chrono::NaiveDate;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::Context;
use super::exit::{Exit, Failure};
use super::export_file::{self, OutputArgs, rows_wanted};
use super::output::{Csv, cut, print_table, say, say_json_line, table};
use super::run_report::painted;
use super::template::Lang;
use super::wall_clock::parse_day;
use crate::app::Project;
use crate::domain::item::State;
use crate::export::planned_days::PlannedDays;
use crate::export::{ColumnsWanted, ExportQuery, TableFormat};
use crate::ledger::{AmountIn, BulkItems, ItemFilter, ItemRow, Ledger, LedgerError, TimeSpan};
use crate::view::{ItemView, reason_of};

/// How many rows are read at a time.
const PAGE: u32 = 500;

/// Arguments of `payrun items`.
#[derive(Debug, Args)]
pub(super) struct ItemsArgs {
    /// Only items of this run
    #[arg(value_name = "RUN", conflicts_with = "run")]
    of_run: Option<i64>,
    /// Only items of this run
    #[arg(long, value_name = "RUN")]
    run: Option<i64>,
    /// Only items of runs of this workflow
    #[arg(long)]
    workflow: Option<String>,
    /// Only items of jobs of this name
    #[arg(long)]
    job: Option<String>,
    /// Only items on this gateway account
    #[arg(long)]
    gateway: Option<String>,
    /// Only items in these states, separated by commas
    #[arg(long, value_delimiter = ',', value_parser = parse_state, value_name = "STATE")]
    state: Vec<State>,
    /// Only items whose reason has this text in it, such as a gateway's code
    #[arg(long, value_name = "TEXT")]
    with_reason: Option<String>,
    /// Only items whose last answer has this code; none: no code. Of what did not succeed, the last
    /// answer that has one
    #[arg(long)]
    code: Option<String>,
    /// Only items with an amount in this currency; none: without an amount
    #[arg(long, value_parser = parse_amount_in)]
    currency: Option<AmountIn>,
    /// Only items that this bulk action changed
    #[arg(long, value_name = "BULK")]
    bulk_action: Option<i64>,
    /// With --bulk-action: only those that nobody has claimed or changed since
    #[arg(long, requires = "bulk_action")]
    untouched: bool,
    /// Only the item with this key
    #[arg(long)]
    key: Option<String>,
    /// Only items of runs that were planned on this day, YYYY-MM-DD
    #[arg(long, value_parser = parse_day, value_name = "DAY", conflicts_with_all = ["since", "until"])]
    day: Option<NaiveDate>,
    /// Only items of runs that were planned on this day, YYYY-MM-DD, or later
    #[arg(long, value_parser = parse_day, value_name = "DAY")]
    since: Option<NaiveDate>,
    /// Only items of runs that were planned on this day, YYYY-MM-DD, or earlier
    #[arg(long, value_parser = parse_day, value_name = "DAY")]
    until: Option<NaiveDate>,
    /// Only items behind this one
    #[arg(long, value_name = "ITEM", default_value_t = 0)]
    after: i64,
    /// How many at most; 0 for all. 50 if nothing is said, and all of them with -o
    #[arg(long, short = 'n')]
    limit: Option<u64>,
    /// How to print them: a table if nothing is said. With -o: the format, where the file's name does
    /// not say it
    #[arg(long, value_enum)]
    format: Option<ListFormat>,
    /// Write the CSV for a program: fields as they are, also those of which a spreadsheet would
    /// make a formula
    #[arg(long, conflicts_with = "output")]
    raw: bool,
    /// The same as --format ndjson
    #[arg(long, conflicts_with_all = ["output", "format"])]
    json: bool,
    /// With -o: how payrun calls its own columns
    #[arg(long, value_enum, default_value_t = Lang::En, requires = "output")]
    lang: Lang,
    /// With -o: every column there is, also what payrun itself goes on by
    #[arg(long, requires = "output")]
    all_columns: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// How lists are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// For people
    Table,
    /// For spreadsheets
    Csv,
    /// One JSON object a line; with -o one array
    Json,
    /// One JSON object a line
    Ndjson,
    /// An Excel workbook: with -o only
    Xlsx,
}

impl ListFormat {
    /// As what it is written into a file.
    fn table_format(self) -> Result<TableFormat, Failure> {
        match self {
            Self::Csv => Ok(TableFormat::Csv),
            Self::Json => Ok(TableFormat::Json),
            Self::Ndjson => Ok(TableFormat::Ndjson),
            Self::Xlsx => Ok(TableFormat::Xlsx),
            Self::Table => Err(Failure::invalid("--format table is for the screen")
                .help("-o takes xlsx, csv, json or ndjson")),
        }
    }
}

/// How many are listed if nothing is said.
const LISTED: u64 = 50;

/// A state's word.
pub(super) fn parse_state(word: &str) -> Result<State, String> {
    State::parse(word).ok_or_else(|| {
        let words: Vec<&str> = State::ALL.into_iter().map(State::as_str).collect();
        format!("no such state; the states are {}", words.join(", "))
    })
}

/// The code of a currency, or none.
pub(super) fn parse_amount_in(word: &str) -> Result<AmountIn, String> {
    AmountIn::parse(word)
        .ok_or_else(|| "it is the code of a currency, such as HKD, or none".to_owned())
}

/// Which items of a bulk action are meant.
pub(super) fn bulk_items(bulk_action: Option<i64>, only_untouched: bool) -> Option<BulkItems> {
    bulk_action.map(|bulk_action| BulkItems {
        bulk_action,
        only_untouched,
    })
}

pub(super) async fn run(context: &Context, args: &ItemsArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    let filter = ItemFilter {
        run_id: args.of_run.or(args.run),
        workflow: args.workflow.clone(),
        job: args.job.clone(),
        lane: args.gateway.clone(),
        states: args.state.clone(),
        reason: args.with_reason.clone(),
        code: args.code.clone(),
        currency: args.currency,
        key: args.key.clone(),
        planned: planned_on(&project, &ledger, args).await?,
        bulk: bulk_items(args.bulk_action, args.untouched),
    };
    let format = match args.format {
        Some(format) if args.output.is_given() => Some(format.table_format()?),
        Some(_) | None => None,
    };
    let target = args.output.target(format)?;
    let limit = rows_wanted(args.limit, LISTED, target.as_ref());
    if let Some(target) = target {
        let query = ExportQuery::Items {
            filter,
            after: args.after,
            limit,
            columns: ColumnsWanted {
                all: args.all_columns,
                language: args.lang.into(),
            },
        };
        return export_file::write(&project, &ledger, query, &target, "item").await;
    }
    let form = match args.format {
        _ if args.json => ListFormat::Ndjson,
        Some(form) => form,
        None => ListFormat::Table,
    };
    if form == ListFormat::Xlsx {
        return Err(Failure::invalid("a workbook goes into a file").help("-o FILE.xlsx"));
    }
    if args.raw && form != ListFormat::Csv {
        return Err(Failure::invalid("--raw belongs to --format csv"));
    }
    list(&ledger, &filter, form, args, limit, context.colour).await
}

/// The days that are meant, on the clock of the run or the workflow, or else of payrun.yaml.
async fn planned_on(
    project: &Project,
    ledger: &Ledger,
    args: &ItemsArgs,
) -> Result<Option<TimeSpan>, Failure> {
    let days = PlannedDays::of(args.day, args.since, args.until);
    let Some(days) = days.map_err(Failure::invalid)? else {
        return Ok(None);
    };
    let (run, workflow) = (args.of_run.or(args.run), args.workflow.as_deref());
    let known = ledger.timezone_of(run, workflow).await?;
    let zone = known.and_then(|zone| zone.parse().ok());
    Ok(Some(days.span(zone.unwrap_or(project.config.timezone))))
}

async fn list(
    ledger: &Ledger,
    filter: &ItemFilter,
    form: ListFormat,
    args: &ItemsArgs,
    mut left: u64,
    colour: bool,
) -> Result<Exit, Failure> {
    let mut printer = Printer::new(form, args.raw, colour);
    let mut after = args.after;
    while left > 0 {
        let wanted = u32::try_from(left.min(u64::from(PAGE))).unwrap_or(PAGE);
        let items = ledger.items(filter, after, wanted).await?;
        let Some(last) = items.last() else { break };
        after = last.id;
        left = left.saturating_sub(items.len() as u64);
        for item in &items {
            if !printer.item(item)? {
                return Ok(Exit::Success);
            }
        }
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

    /// Prints an item. Tells whether anybody still reads.
    fn item(&mut self, item: &ItemRow) -> Result<bool, Failure> {
        let mut read = true;
        match self.form {
            ListFormat::Json | ListFormat::Ndjson => say_json_line(&as_json(item)?),
            ListFormat::Csv => {
                item.facts()?;
                let line = self.csv_line(item);
                read = line.map_err(|error| Failure::internal(&error))?;
            }
            ListFormat::Table | ListFormat::Xlsx => {
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
                    cut(&reason_of(item), 70),
                ]);
            }
        }
        self.any = true;
        Ok(read)
    }

    fn csv_line(&mut self, item: &ItemRow) -> Result<bool, csv::Error> {
        let Some(csv) = &mut self.csv else {
            return Ok(true);
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
            reason_of(item),
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
///
/// # Errors
/// [`LedgerError::Corrupt`] if its result cannot be read.
pub(super) fn as_json(item: &ItemRow) -> Result<Value, LedgerError> {
    Ok(json!(ItemView::of(item)?))
}
