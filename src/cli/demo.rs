//! `payrun demo`: the main job, for real, against a gateway that fails in every way, with the books compared at the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::Context;
use super::books::{Comparison, compare};
use super::exit::{Exit, Failure};
use super::output::{Colour, count, paint, print_table, say, say_json, table};
use super::plan::failed;
use super::progress::{Ended, carry_out};
use super::project::Project;
use super::report::{Report, painted};
use super::sandbox::Faults;
use super::scaffold::{LaneBounds, contracts_csv, keys, payrun_yaml, workflow_path, write_new};
use super::schema;
use super::signals::stop_switch;
use crate::clock::Clock;
use crate::domain::item::State;
use crate::domain::money::{Currency, decimal_text};
use crate::engine::plan::PlanRequest;
use crate::sandbox::faults::FaultPlan;
use crate::sandbox::{Sandbox, Settings, Totals, server};
use crate::workflow::params::bind_params;

/// The demo's folder, and the file by which it is known to be ours to replace.
const FOLDER: &str = "payrun-demo";
const MARKER: &str = ".payrun-demo";

/// The demo's workflow: as the ready one, with waits for a person who watches.
const WORKFLOW: &str = include_str!("demo.yaml");

/// Arguments of `payrun demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// How many contracts to charge
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    items: u64,
    /// The same seed gives the same contracts and the same faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How much goes wrong at the gateway
    #[arg(long, value_enum, default_value_t = Faults::Some)]
    faults: Faults,
    /// Print one JSON object, and no progress
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, args: DemoArgs) -> Result<Exit, Failure> {
    let stopped = stop_switch();
    let folder = PathBuf::from(FOLDER);
    let (sandbox, address) = set_up(&folder, &args).await?;
    if !args.json {
        say(format!(
            "charging {} generated contracts; the gateway listens on http://{address}; faults: {:?}",
            count(args.items),
            args.faults
        ));
    }
    let project = Project::load(&Context { config: folder.join("payrun.yaml"), ..context.clone() })?;
    let engine = Arc::new(project.engine(project.ledger().await?, Clock::System)?);
    let began = tokio::time::Instant::now();
    let request = request(&project, &folder)?;
    let planned = engine.plan(&request, &Arc::new(AtomicU64::new(0))).await.map_err(failed)?;
    let node = engine.ledger.join(rand::random())?;
    let ended = carry_out(&engine, &node, &[planned.run_id], Duration::from_secs(120), stopped, !args.json).await?;
    let seconds = began.elapsed();
    let run = engine.ledger.run(planned.run_id).await?;
    let Some(run) = run else { return Err(Failure::invalid("the run has vanished")) };
    let outcome = Outcome {
        report: Report::of_run(&engine.ledger, run).await?,
        comparison: compare(&engine.ledger, &sandbox, planned.run_id).await?,
        totals: sandbox.totals().await.map_err(|error| Failure::internal(&error))?,
        answers: engine.ledger.answers(planned.run_id).await?,
        moves: engine.ledger.moves(planned.run_id).await?,
        rows: args.items,
        seconds,
        interrupted: matches!(ended, Ended::Interrupted),
    };
    if args.json {
        say_json(&outcome.json());
    } else {
        outcome.print(context.colour, &folder);
    }
    drop(node);
    if outcome.interrupted {
        return Ok(Exit::Open);
    }
    Ok(if outcome.good() { Exit::Success } else { Exit::Incomplete })
}

/// Makes the folder, and a gateway that listens.
async fn set_up(folder: &Path, args: &DemoArgs) -> Result<(Arc<Sandbox>, std::net::SocketAddr), Failure> {
    if folder.exists() {
        if !folder.join(MARKER).exists() {
            return Err(Failure::invalid(format!("{FOLDER}/ is there and was not made by the demo"))
                .help("run the demo elsewhere"));
        }
        std::fs::remove_dir_all(folder).map_err(|error| Failure::internal(&error))?;
    }
    write_new(folder, MARKER, "made by `payrun demo`, which replaces this folder each time\n")?;
    let identity = keys(folder)?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| Failure::internal(&error))?;
    let address = listener.local_addr().map_err(|error| Failure::internal(&error))?;
    let bounds = LaneBounds { rate: "5000/s", concurrency: 256, timeout: "1s", query_interval: "100ms" };
    write_new(folder, "payrun.yaml", &payrun_yaml(&identity, &format!("http://{address}"), bounds))?;
    write_new(folder, "workflows/monthly-deductions.yaml", WORKFLOW)?;
    schema::write(folder)?;
    std::fs::create_dir_all(folder.join("data")).map_err(|error| Failure::internal(&error))?;
    contracts_csv(&folder.join("data").join("contracts.csv"), args.items, args.seed)?;
    let settings = Settings {
        plan: FaultPlan::new(args.seed, args.faults.into()),
        latency: Duration::from_millis(5),
        jitter: Duration::from_millis(10),
        timeout: Duration::from_secs(1),
        books: Some(folder.join("gateway-books.db")),
        ..Settings::default()
    };
    let sandbox = Sandbox::open(identity, settings, Clock::System).await.map_err(|error| Failure::internal(&error))?;
    tokio::spawn(server::serve(Arc::clone(&sandbox), listener, std::future::pending()));
    Ok((sandbox, address))
}

fn request(project: &Project, folder: &Path) -> Result<PlanRequest, Failure> {
    let workflow = project.workflow(&workflow_path(folder))?;
    let params = bind_params(&workflow, &[]).map_err(|wrong| Failure::invalid(wrong.join("\n")))?;
    Ok(PlanRequest {
        workflow,
        params,
        occurrence: "demo".to_owned(),
        at: Clock::System.now(),
        timezone: project.config.timezone,
        inputs: BTreeMap::new(),
        commit: true,
    })
}

struct Outcome {
    report: Report,
    comparison: Comparison,
    totals: Totals,
    answers: Vec<(String, String, u64)>,
    moves: Vec<(String, State, State, u64)>,
    rows: u64,
    seconds: Duration,
    interrupted: bool,
}

impl Outcome {
    /// How often an outcome was not known.
    fn unknown_opened(&self) -> u64 {
        self.moves
            .iter()
            .filter(|(_, from, to, _)| *to == State::Unknown && *from != State::Unknown)
            .map(|(.., times)| times)
            .sum()
    }

    /// What led out of not knowing.
    fn unknown_closed(&self) -> BTreeMap<String, u64> {
        let mut closed = BTreeMap::new();
        for (event, from, to, times) in &self.moves {
            if *from == State::Unknown && *to != State::Unknown {
                let how = if *to == State::Parked { "parked" } else { event.as_str() };
                *closed.entry(how.to_owned()).or_default() += times;
            }
        }
        closed
    }

    /// Rows that have no state, and money that moved without our knowing or the other way round.
    fn lost(&self) -> u64 {
        self.rows.abs_diff(self.report.items()) + self.comparison.only_theirs + self.comparison.only_ours
    }

    fn double_charges(&self) -> u64 {
        self.comparison.double_charges + self.totals.violations.values().sum::<u64>()
    }

    fn good(&self) -> bool {
        self.double_charges() == 0 && self.lost() == 0 && self.comparison.match_up() && self.report.open() == 0
    }

    fn json(&self) -> Value {
        let amounts: BTreeMap<&str, Value> = self
            .comparison
            .currencies()
            .into_iter()
            .map(|(code, ours, theirs)| (code, json!({"ours": text(ours, code), "gateways": text(theirs, code)})))
            .collect();
        let millis = u64::try_from(self.seconds.as_millis()).unwrap_or(u64::MAX);
        json!({
            "items": self.report.items(),
            "by_state": self.report.json()["by_state"],
            "answers": self.answers.iter().map(|(answer, code, times)| json!({"answer": answer, "code": code, "times": times})).collect::<Vec<_>>(),
            "faults": self.totals.faults,
            "refused_by_gateway": self.totals.refused,
            "unknown_opened": self.unknown_opened(),
            "unknown_closed": self.unknown_closed(),
            "double_charges": self.double_charges(),
            "violations": self.totals.violations,
            "lost": self.lost(),
            "amounts": amounts,
            "books_match": self.comparison.match_up(),
            "seconds": millis / 1000,
            "milliseconds": millis,
            "items_per_second": self.report.items().saturating_mul(1000) / millis.max(1),
        })
    }

    fn print(&self, colour: bool, folder: &Path) {
        let mut states = table(&["items by state", ">items"]);
        for state in State::ALL.into_iter().filter(|state| self.report.in_state(*state) > 0) {
            states.add_row([painted(state, colour), count(self.report.in_state(state))]);
        }
        print_table(&states);
        print_counts("answers", self.answers.iter().map(|(answer, code, times)| (format!("{answer} {code}"), *times)));
        print_counts("faults the gateway had", self.totals.faults.iter().map(|(fault, times)| (fault.clone(), *times)));
        print_counts(
            "unknown outcomes",
            std::iter::once(("opened".to_owned(), self.unknown_opened()))
                .chain(self.unknown_closed().into_iter().map(|(how, times)| (format!("closed by: {how}"), times))),
        );
        say("");
        let mut money = table(&["money", ">our books", ">the gateway's books"]);
        for (code, ours, theirs) in self.comparison.currencies() {
            money.add_row([code.to_owned(), text(ours, code), text(theirs, code)]);
        }
        print_table(&money);
        say("");
        let millis = u64::try_from(self.seconds.as_millis()).unwrap_or(u64::MAX);
        say(format!(
            "{} items in {}.{} s, {} items/s",
            count(self.report.items()),
            millis / 1000,
            millis % 1000 / 100,
            count(self.report.items().saturating_mul(1000) / millis.max(1))
        ));
        let verdict = if self.interrupted {
            paint("interrupted; items are open", Colour::Yellow, colour)
        } else if self.good() {
            paint("the books match: nobody was charged twice, nothing was lost", Colour::Green, colour)
        } else {
            let (double, lost, open) = (self.double_charges(), self.lost(), self.report.open());
            paint(
                &format!("the books do NOT match: {double} charged twice, {lost} lost, {open} open"),
                Colour::Red,
                colour,
            )
        };
        say(verdict);
        say(format!("look around: cd {} && payrun show; payrun items --state failed", folder.display()));
    }
}

fn print_counts(title: &str, rows: impl Iterator<Item = (String, u64)>) {
    let mut counts = table(&[title, ">times"]);
    let mut any = false;
    for (name, times) in rows {
        counts.add_row([name, count(times)]);
        any = true;
    }
    if any {
        say("");
        print_table(&counts);
    }
}

fn text(minor: i128, code: &str) -> String {
    Currency::parse(code).map_or_else(|_| minor.to_string(), |currency| decimal_text(minor, currency))
}
