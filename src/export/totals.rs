//! Sums over runs: how many items and how much money were planned, succeeded, failed, are unknown
//! or need review, by whatever is asked for. The currency always stands by itself, since sums of two
//! are never added.
//!
//! They are made of the totals that every commit keeps, so no item is read, however many there are.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveTime};
use chrono_tz::Tz;

use super::state_groups::StateSums;
use super::table::TableColumnKind::{Count, Date, Text};
use super::table::{TableCell, TableColumn, TableHead};
use super::{ExportContext, PAGE, zone_of};
use crate::domain::item::State;
use crate::domain::money::Currency;
use crate::domain::schedule::instant;
use crate::domain::time::Timestamp;
use crate::ledger::{JobRow, LedgerError, RunRow, Total};

/// By what sums are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TotalsDimension {
    /// The day on which the run was planned.
    Day,
    /// The run.
    Run,
    /// The workflow.
    Workflow,
    /// The gateway account.
    Account,
    /// The kind of job.
    Kind,
    /// The state of the items.
    State,
    /// The currency.
    Currency,
}

impl TotalsDimension {
    /// Every one, in the order of the columns.
    pub const ALL: [Self; 7] = [
        Self::Day,
        Self::Run,
        Self::Workflow,
        Self::Account,
        Self::Kind,
        Self::State,
        Self::Currency,
    ];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Run => "run",
            Self::Workflow => "workflow",
            Self::Account => "account",
            Self::Kind => "kind",
            Self::State => "state",
            Self::Currency => "currency",
        }
    }

    /// The one of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }
}

/// Over which runs, and by what.
#[derive(Debug, Clone)]
pub struct TotalsQuery {
    /// Which runs.
    pub span: TotalsSpan,
    /// By what.
    pub by: Vec<TotalsDimension>,
}

/// Which runs are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TotalsSpan {
    /// One run.
    Run(i64),
    /// The runs that were planned in a month, by its first day, on the clock of the project.
    Month(NaiveDate),
}

/// The first day of a month that is written `2026-03`.
pub fn parse_month(text: &str) -> Option<NaiveDate> {
    (text.len() == 7)
        .then(|| format!("{text}-01").parse().ok())
        .flatten()
}

/// What tells one sum from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct TotalsKey {
    /// The kind of a job that moves no money, where sums are not told apart by kind anyway: its items
    /// are counted in a line of their own. Else empty.
    apart: String,
    labels: Vec<SumLabel>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum SumLabel {
    Day(Option<NaiveDate>),
    Run(i64),
    Text(String),
}

/// Sums, all of them there.
pub(super) struct TotalsPages {
    by: Vec<TotalsDimension>,
    /// Whether jobs that move no money stand in lines of their own, by their kinds.
    apart: bool,
    rows: Option<Vec<Vec<TableCell>>>,
    zone: Tz,
}

impl TotalsPages {
    pub async fn begin(context: &ExportContext, query: &TotalsQuery) -> Result<Self, LedgerError> {
        let (by, zone) = (sorted(&query.by), zone_of(context));
        let mut sums = BTreeMap::new();
        match query.span {
            TotalsSpan::Run(id) => {
                if let Some(run) = context.ledger.run(id).await? {
                    add_run(context, &by, zone, &run, &mut sums).await?;
                }
            }
            TotalsSpan::Month(first) => {
                let (span, mut after) = (instants_of(first, zone), 0);
                loop {
                    let runs = context.ledger.runs_between(span, after, PAGE).await?;
                    for run in &runs {
                        after = run.id;
                        add_run(context, &by, zone, run, &mut sums).await?;
                    }
                    if runs.len() < PAGE as usize {
                        break;
                    }
                }
            }
        }
        let one_state = by.contains(&TotalsDimension::State);
        let apart = sums.keys().any(|key| !key.apart.is_empty());
        let rows = sums
            .into_iter()
            .filter(|(_, (_, sum))| !sum.is_empty())
            .map(|(key, (currency, sum))| row(key, currency, &sum, (apart, one_state)))
            .collect();
        Ok(Self {
            by,
            apart,
            rows: Some(rows),
            zone,
        })
    }

    pub fn head(&self) -> TableHead {
        let column = |dimension: &TotalsDimension| match dimension {
            TotalsDimension::Day => TableColumn {
                heading: format!("day ({})", self.zone.name()),
                ..TableColumn::new("day", Date)
            },
            TotalsDimension::Run => TableColumn::new("run", Count),
            TotalsDimension::Workflow
            | TotalsDimension::Account
            | TotalsDimension::Kind
            | TotalsDimension::State
            | TotalsDimension::Currency => TableColumn::new(dimension.as_str(), Text),
        };
        let mut columns: Vec<TableColumn> = self.by.iter().map(column).collect();
        columns.extend(self.apart.then(|| TableColumn {
            heading: "jobs that move no money".to_owned(),
            ..TableColumn::new("other_kind", Text)
        }));
        let one_state = self.by.contains(&TotalsDimension::State);
        columns.extend(StateSums::columns(one_state));
        TableHead {
            title: "totals",
            columns,
            zone: self.zone,
        }
    }

    pub fn next(&mut self) -> Option<Vec<Vec<TableCell>>> {
        self.rows.take().filter(|rows| !rows.is_empty())
    }
}

/// In the order of the columns, each once, the currency among them.
fn sorted(by: &[TotalsDimension]) -> Vec<TotalsDimension> {
    let is_meant = |one: &TotalsDimension| *one == TotalsDimension::Currency || by.contains(one);
    TotalsDimension::ALL.into_iter().filter(is_meant).collect()
}

/// From the first instant of a month to that of the next.
pub(crate) fn instants_of(first: NaiveDate, zone: Tz) -> (Timestamp, Timestamp) {
    let begins = |day: NaiveDate| instant(day.and_time(NaiveTime::MIN), zone).unwrap_or_default();
    let next = first.checked_add_months(chrono::Months::new(1));
    (begins(first), begins(next.unwrap_or(NaiveDate::MAX)))
}

type Sums = BTreeMap<TotalsKey, (Option<Currency>, StateSums)>;

async fn add_run(
    context: &ExportContext,
    by: &[TotalsDimension],
    zone: Tz,
    run: &RunRow,
    sums: &mut Sums,
) -> Result<(), LedgerError> {
    let jobs = context.ledger.jobs(run.id).await?;
    let day = DateTime::from_timestamp_millis(run.started_at.millis())
        .map(|at| at.with_timezone(&zone).date_naive());
    for total in context.ledger.totals(run.id).await? {
        let job = jobs.iter().find(|job| job.id == total.job_id);
        let label = |dimension: &TotalsDimension| label(*dimension, run, day, job, &total);
        let key = TotalsKey {
            apart: apart_of(context, by, job),
            labels: by.iter().map(label).collect(),
        };
        let (currency, sum) = sums.entry(key).or_default();
        *currency = total.currency;
        sum.add(&total);
    }
    Ok(())
}

/// The kind of a job, where that moves no money and would be counted among those that do.
fn apart_of(context: &ExportContext, by: &[TotalsDimension], job: Option<&JobRow>) -> String {
    let Some(job) = job.filter(|_| !by.contains(&TotalsDimension::Kind)) else {
        return String::new();
    };
    if context.job_kinds.moves_money(&job.kind) {
        String::new()
    } else {
        job.kind.clone()
    }
}

fn label(
    dimension: TotalsDimension,
    run: &RunRow,
    day: Option<NaiveDate>,
    job: Option<&JobRow>,
    total: &Total,
) -> SumLabel {
    let text = |text: &str| SumLabel::Text(text.to_owned());
    match dimension {
        TotalsDimension::Day => SumLabel::Day(day),
        TotalsDimension::Run => SumLabel::Run(run.id),
        TotalsDimension::Workflow => text(&run.workflow),
        TotalsDimension::Account => text(job.map_or("", |job| &job.lane)),
        TotalsDimension::Kind => text(job.map_or("", |job| &job.kind)),
        TotalsDimension::State => text(State::label(total.state)),
        TotalsDimension::Currency => text(total.currency.map_or("", Currency::code)),
    }
}

fn row(
    key: TotalsKey,
    currency: Option<Currency>,
    sum: &StateSums,
    (apart, one_state): (bool, bool),
) -> Vec<TableCell> {
    let cell = |label| match label {
        SumLabel::Day(day) => TableCell::date(day),
        SumLabel::Run(run) => TableCell::Count(run),
        SumLabel::Text(text) => TableCell::text(text),
    };
    let labels = key.labels.into_iter().map(cell);
    let kind = apart.then(|| TableCell::text(key.apart));
    let labels = labels.chain(kind);
    labels.chain(sum.cells(currency, one_state)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_on_the_clock_of_the_project() {
        let first = parse_month("2026-03").unwrap();
        let (from, to) = instants_of(first, chrono_tz::Asia::Hong_Kong);
        assert_eq!(from.to_string(), "2026-02-28T16:00:00Z");
        assert_eq!(to.to_string(), "2026-03-31T16:00:00Z");
        for odd in ["2026-13", "2026-3", "2026-03-01", "x"] {
            assert_eq!(parse_month(odd), None, "{odd}");
        }
    }

    #[test]
    fn sums_of_two_currencies_are_never_added() {
        let by = [TotalsDimension::State, TotalsDimension::Day];
        let sorted: Vec<&str> = sorted(&by)
            .into_iter()
            .map(TotalsDimension::as_str)
            .collect();
        assert_eq!(sorted, ["day", "state", "currency"]);
    }
}
