//! What the demo shows at its end, to people and to programs.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::FaultCounts;
use super::figures::{Figures, SumsByCurrency};
use crate::cli::output::{Colour, count, paint, print_table, say, table};
use crate::cli::run_report::Report;
use crate::domain::history::EventKind;
use crate::domain::item::State;
use crate::domain::money::{Currency, decimal_text};
use crate::ledger::LedgerError;

/// Everything that is told.
pub(super) struct DemoOutcome {
    pub jobs: Vec<Figures>,
    pub report: Report,
    pub faults: FaultCounts,
    pub answers: Vec<(String, String, u64)>,
    pub moves: Vec<(EventKind, State, State, u64)>,
    /// How many contracts there are.
    pub rows: u64,
    pub seconds: Duration,
    pub interrupted: bool,
}

impl DemoOutcome {
    /// How often an outcome was not known.
    fn unknown_opened(&self) -> u64 {
        let opened = |(_, from, to, _): &&(EventKind, State, State, u64)| {
            *to == State::Unknown && *from != State::Unknown
        };
        self.moves
            .iter()
            .filter(opened)
            .map(|(.., times)| times)
            .sum()
    }

    /// What led out of not knowing.
    fn unknown_closed(&self) -> BTreeMap<String, u64> {
        let mut closed = BTreeMap::new();
        for (event, from, to, times) in &self.moves {
            if *from == State::Unknown && *to != State::Unknown {
                let how = if *to == State::NeedsReview {
                    "needs_review"
                } else {
                    event.as_str()
                };
                *closed.entry(how.to_owned()).or_default() += times;
            }
        }
        closed
    }

    /// Contracts that have no state, and money that moved without our knowing or the other way
    /// round.
    fn lost(&self) -> u64 {
        let deductions = self.jobs.iter().filter(|job| job.kind == "deduct");
        let rows: u64 = deductions.map(Figures::items).sum();
        let compared = self.jobs.iter().filter_map(|job| job.comparison.as_ref());
        self.rows.abs_diff(rows)
            + compared
                .map(|one| one.only_theirs + one.only_ours)
                .sum::<u64>()
    }

    fn double_charges(&self) -> u64 {
        let compared = self.jobs.iter().filter_map(|job| job.comparison.as_ref());
        compared.map(|one| one.double_charges).sum::<u64>()
            + self.faults.violations.values().sum::<u64>()
    }

    /// Whether every job's books match, and the statements tell no difference.
    fn match_up(&self) -> bool {
        let differs = |job: &&Figures| job.kind == "reconcile" && job.in_state(State::Failed) > 0;
        self.jobs
            .iter()
            .all(|job| job.match_up() && job.failure.is_none())
            && !self.jobs.iter().any(|job| differs(&job))
    }

    /// Whether nobody was charged twice, nothing was lost, and nothing is open.
    pub fn good(&self) -> bool {
        self.double_charges() == 0 && self.lost() == 0 && self.match_up() && self.report.open() == 0
    }

    /// Where the reports are that the day has left.
    fn reports(&self) -> Vec<&str> {
        let found = self.jobs.iter().flat_map(|job| &job.found);
        found
            .filter_map(|result| result.get("report_html")?.as_str())
            .collect()
    }

    pub fn json(&self) -> Result<Value, LedgerError> {
        let millis = u64::try_from(self.seconds.as_millis()).unwrap_or(u64::MAX);
        Ok(json!({
            "items": self.report.items(),
            "by_state": self.report.json()?["by_state"],
            "jobs": self.jobs.iter().map(job_json).collect::<Vec<_>>(),
            "answers": self.answers.iter().map(|(answer, code, times)| json!({"answer": answer, "code": code, "times": times})).collect::<Vec<_>>(),
            "faults": self.faults.faults,
            "refused_by_gateway": self.faults.refused,
            "unknown_opened": self.unknown_opened(),
            "unknown_closed": self.unknown_closed(),
            "double_charges": self.double_charges(),
            "violations": self.faults.violations,
            "lost": self.lost(),
            "books_match": self.match_up(),
            "reports": self.reports(),
            "seconds": millis / 1000,
            "milliseconds": millis,
            "items_per_second": self.report.items().saturating_mul(1000) / millis.max(1),
        }))
    }

    pub fn print(&self, colour: bool, folder: &Path) {
        say("");
        let mut jobs = table(&[
            "job",
            "gateway",
            ">items",
            ">succeeded",
            ">failed",
            ">other",
            ">our books",
            ">the gateway's books",
        ]);
        for job in &self.jobs {
            let (succeeded, failed) = (job.in_state(State::Succeeded), job.in_state(State::Failed));
            let other = job.items() - succeeded - failed;
            let theirs = job
                .theirs
                .as_ref()
                .map_or_else(|| "–".to_owned(), sums_text);
            let mark = if job.match_up() {
                theirs
            } else {
                paint(&theirs, Colour::Red, colour)
            };
            let ours = if job.theirs.is_some() {
                sums_text(&job.ours)
            } else {
                "–".to_owned()
            };
            jobs.add_row([
                job.name.clone(),
                job.gateway.clone(),
                count(job.items()),
                count(succeeded),
                count(failed),
                count(other),
                ours,
                mark,
            ]);
        }
        print_table(&jobs);
        for job in self.jobs.iter().filter(|job| job.failure.is_some()) {
            say(format!(
                "job {}: {}",
                job.name,
                job.failure.as_deref().unwrap_or_default()
            ));
        }
        print_counts(
            "faults the gateways had",
            self.faults
                .faults
                .iter()
                .map(|(fault, times)| (fault.clone(), *times)),
        );
        print_counts(
            "unknown outcomes",
            std::iter::once(("opened".to_owned(), self.unknown_opened())).chain(
                self.unknown_closed()
                    .into_iter()
                    .map(|(how, times)| (format!("closed by: {how}"), times)),
            ),
        );
        say("");
        let millis = u64::try_from(self.seconds.as_millis()).unwrap_or(u64::MAX);
        say(format!(
            "{} items in {}.{} s",
            count(self.report.items()),
            millis / 1000,
            millis % 1000 / 100
        ));
        say(self.verdict(colour));
        self.reports()
            .iter()
            .for_each(|report| say(format!("open the report: {report}")));
        say(format!(
            "look around: cd {} && payrun show; payrun items --state failed",
            folder.display()
        ));
    }

    fn verdict(&self, colour: bool) -> String {
        if self.interrupted {
            return paint("interrupted; items are open", Colour::Yellow, colour);
        }
        if self.good() {
            return paint(
                "the books match: nobody was charged twice, nothing was lost",
                Colour::Green,
                colour,
            );
        }
        let (double, lost, open) = (self.double_charges(), self.lost(), self.report.open());
        let odd: Vec<&str> = self
            .jobs
            .iter()
            .filter(|job| !job.match_up())
            .map(|job| job.name.as_str())
            .collect();
        let text = format!(
            "the books do NOT match: {double} charged twice, {lost} lost, {open} open; jobs that differ: {}",
            if odd.is_empty() {
                "none".to_owned()
            } else {
                odd.join(", ")
            }
        );
        paint(&text, Colour::Red, colour)
    }
}

fn job_json(job: &Figures) -> Value {
    let sums = |sums: &SumsByCurrency| -> BTreeMap<String, Value> {
        let one = |(code, (count, minor)): (&String, &(u64, i128))| {
            (
                code.clone(),
                json!({ "count": count, "amount": amount_text(*minor, code) }),
            )
        };
        sums.iter().map(one).collect()
    };
    let by_state: BTreeMap<&str, u64> = job
        .by_state
        .iter()
        .filter(|(_, items)| **items > 0)
        .map(|(state, items)| (state.as_str(), *items))
        .collect();
    json!({
        "name": job.name,
        "kind": job.kind,
        "gateway": job.gateway,
        "items": job.items(),
        "by_state": by_state,
        "ours": sums(&job.ours),
        "gateways": job.theirs.as_ref().map(sums),
        "books_match": job.match_up(),
        "results": job.found,
        "failure": job.failure,
    })
}

fn sums_text(sums: &SumsByCurrency) -> String {
    sums.iter()
        .map(|(code, (_, minor))| format!("{} {code}", amount_text(*minor, code)))
        .collect::<Vec<_>>()
        .join(", ")
}

fn amount_text(minor: i128, code: &str) -> String {
    Currency::parse(code).map_or_else(
        |_| minor.to_string(),
        |currency| decimal_text(minor, currency),
    )
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
