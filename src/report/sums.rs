//! What runs add up to: by account, kind and currency, by day, by code, and what was given back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::NaiveDate;
use chrono_tz::Tz;

use super::failures::FailureSums;
use super::state_sums::ReportSums;
use super::{ReportSection, day_of};
use crate::domain::item::State;
use crate::domain::money::Currency;
use crate::export::{ExportContext, TableCell, TableColumn, TableColumnKind};
use crate::job_kinds::{JobKinds, StatementRole};
use crate::ledger::{JobRow, LedgerError, RunRow};

/// The job kind that compares items with statements.
const RECONCILE: &str = "reconcile";

/// Account, kind of job, and the code of the currency, which is empty where items have no amount.
type SumKey = (String, String, &'static str);

/// The sums of a key, in its currency.
type KeySums = (Option<Currency>, ReportSums);

/// The same of a day.
type DayKey = (Option<NaiveDate>, SumKey);

/// What some runs add up to.
pub(super) struct RunSums {
    account: Option<String>,
    job_kinds: Arc<JobKinds>,
    zone: Tz,
    totals: BTreeMap<SumKey, KeySums>,
    /// Of jobs that move no money: statements, reconciliations, queries.
    other_jobs: BTreeMap<SumKey, KeySums>,
    days: BTreeMap<DayKey, KeySums>,
    failures: FailureSums,
    /// Items that are not settled.
    open: BTreeMap<State, u64>,
    /// What of other jobs has not ended.
    open_others: u64,
    unfinished: Vec<i64>,
}

impl RunSums {
    /// Of no run yet; of one account only where one is given.
    pub fn new(context: &ExportContext, account: Option<&str>) -> Self {
        Self {
            account: account.map(str::to_owned),
            job_kinds: Arc::clone(&context.job_kinds),
            zone: context.config.timezone,
            totals: BTreeMap::new(),
            other_jobs: BTreeMap::new(),
            days: BTreeMap::new(),
            failures: FailureSums::default(),
            open: BTreeMap::new(),
            open_others: 0,
            unfinished: Vec::new(),
        }
    }

    /// Adds a run; false if it has nothing of the account.
    pub async fn add(
        &mut self,
        context: &ExportContext,
        run: &RunRow,
    ) -> Result<bool, LedgerError> {
        let ledger = &context.ledger;
        let mut jobs: BTreeMap<i64, JobRow> = BTreeMap::new();
        for job in ledger.jobs(run.id).await? {
            if self
                .account
                .as_ref()
                .is_none_or(|account| *account == job.lane)
            {
                jobs.insert(job.id, job);
            }
        }
        if jobs.is_empty() && self.account.is_some() {
            return Ok(false);
        }
        for total in ledger.totals(run.id).await? {
            let Some(job) = jobs.get(&total.job_id) else {
                continue;
            };
            let moves_money = self.job_kinds.moves_money(&job.kind);
            let of_job = if moves_money {
                &mut self.totals
            } else {
                &mut self.other_jobs
            };
            let (currency, sums) = of_job.entry(key(job, total.currency)).or_default();
            *currency = total.currency;
            sums.add(total.state, total.items, total.minor);
            if State::NOT_ENDED.contains(&total.state) {
                if moves_money {
                    *self.open.entry(total.state).or_default() += total.items;
                } else {
                    self.open_others += total.items;
                }
            }
        }
        for sum in ledger.time_sums(run.id).await? {
            let Some(job) = jobs.get(&sum.job_id) else {
                continue;
            };
            if !self.job_kinds.moves_money(&job.kind) {
                continue;
            }
            let day = day_of(sum.at, self.zone);
            let of_day = self.days.entry((day, key(job, sum.currency)));
            let (currency, sums) = of_day.or_default();
            *currency = sum.currency;
            sums.add(sum.state, sum.items, sum.minor);
        }
        for sum in ledger.failure_sums(run.id).await? {
            let job = jobs.get(&sum.job_id);
            if let Some(job) = job.filter(|job| self.job_kinds.moves_money(&job.kind)) {
                self.failures.add(context, job, &sum);
            }
        }
        if run.finished_at.is_none() {
            self.unfinished.push(run.id);
        }
        Ok(true)
    }

    /// What is not settled yet, a sentence each.
    pub fn open(&self) -> Vec<String> {
        let states = State::NOT_ENDED.into_iter();
        let mut open: Vec<String> = states
            .filter_map(|state| Some((state, *self.open.get(&state)?)))
            .map(|(state, items)| sentence(state, items))
            .collect();
        match self.open_others {
            0 => {}
            1 => open.push("1 other job has not ended; it moves no money.".to_owned()),
            others => open.push(format!(
                "{others} other jobs have not ended; they move no money."
            )),
        }
        // A run whose items have all ended may have a job that is still to be planned.
        if open.is_empty() && !self.unfinished.is_empty() {
            open.push(match self.unfinished.as_slice() {
                [run] => format!("Run {run} has not ended."),
                runs => format!("{} runs have not ended.", runs.len()),
            });
        }
        open
    }

    /// Whether anything of it compared items with statements.
    pub fn reconciles(&self) -> bool {
        self.other_jobs.keys().any(|(_, kind, _)| kind == RECONCILE)
    }

    /// The numbers that stand first.
    pub fn numbers(&self) -> Vec<(&'static str, u64)> {
        let of = |group| {
            self.totals
                .values()
                .map(|(_, sums)| sums.items(group))
                .sum()
        };
        vec![
            ("Items planned", of("planned")),
            ("Succeeded", of("succeeded")),
            ("Failed", of("failed")),
            ("Unknown", of("unknown")),
            ("Need review", of("needs_review")),
        ]
    }

    /// The accounts of which items stand in statements.
    pub fn lanes_in_statements(&self) -> BTreeSet<String> {
        let in_statement = self
            .totals
            .keys()
            .filter(|(_, kind, _)| self.role(kind).is_some());
        in_statement.map(|(account, ..)| account.clone()).collect()
    }

    fn role(&self, kind: &str) -> Option<StatementRole> {
        self.job_kinds.by_name.get(kind)?.in_statement
    }

    /// The tables.
    pub fn sections(&self) -> Vec<ReportSection> {
        vec![
            self.totals_section(),
            self.days_section(),
            self.failures.section(),
            self.refunds_section(),
            self.other_jobs_section(),
        ]
    }

    fn other_jobs_section(&self) -> ReportSection {
        ReportSection {
            name: "other_jobs",
            heading: "Jobs that move no money",
            notes: vec![
                "Statements, reconciliations and queries: they are counted here only, whatever became of them."
                    .to_owned(),
            ],
            columns: columns(None),
            rows: self.other_jobs.iter().map(total_row).collect(),
            empty: "There were none.",
        }
    }

    fn totals_section(&self) -> ReportSection {
        ReportSection {
            name: "totals",
            heading: "Totals by account, kind and currency",
            notes: Vec::new(),
            columns: columns(None),
            rows: self.totals.iter().map(total_row).collect(),
            empty: "Nothing was planned.",
        }
    }

    fn days_section(&self) -> ReportSection {
        let row = |((day, key), sums): (&DayKey, &KeySums)| {
            std::iter::once(TableCell::date(*day))
                .chain(total_row((key, sums)))
                .collect()
        };
        ReportSection {
            name: "days",
            heading: "By day",
            notes: vec![format!(
                "The day on which an item was last sent, on the clock of {}. What was never sent counts on the day on which its run was \
                 planned.",
                self.zone.name()
            )],
            columns: columns(Some(TableColumn::new("day", TableColumnKind::Date))),
            rows: self.days.iter().map(row).collect(),
            empty: "Nothing was planned.",
        }
    }

    fn refunds_section(&self) -> ReportSection {
        let gives_back = |kind: &str| {
            matches!(
                self.role(kind),
                Some(StatementRole::Refund | StatementRole::Reversal)
            )
        };
        let refunds = self
            .totals
            .iter()
            .filter(|((_, kind, _), _)| gives_back(kind));
        ReportSection {
            name: "refunds",
            heading: "Refunds",
            notes: vec![
                "What kinds of job did that give money back; it stands in the totals too. A reversal names no amount.".to_owned(),
            ],
            columns: columns(None),
            rows: refunds.map(total_row).collect(),
            empty: "Nothing was to be given back.",
        }
    }
}

fn key(job: &JobRow, currency: Option<Currency>) -> SumKey {
    let code = currency.map_or("", Currency::code);
    (job.lane.clone(), job.kind.clone(), code)
}

fn columns(before: Option<TableColumn>) -> Vec<TableColumn> {
    let labels = ["account", "kind", "currency"];
    let labels = labels.map(|name| TableColumn::new(name, TableColumnKind::Text));
    let labels = before.into_iter().chain(labels);
    labels.chain(ReportSums::columns()).collect()
}

fn total_row(((account, kind, code), (currency, sums)): (&SumKey, &KeySums)) -> Vec<TableCell> {
    let labels = [account.as_str(), kind, code].map(TableCell::text);
    labels.into_iter().chain(sums.cells(*currency)).collect()
}

fn sentence(state: State, items: u64) -> String {
    let (one, more) = match state {
        State::AwaitingApproval => ("waits for approval", "wait for approval"),
        State::Planned => ("is still to be sent", "are still to be sent"),
        State::Sending => ("is being sent", "are being sent"),
        State::Pending => ("is pending at the gateway", "are pending at the gateway"),
        State::Unknown => (
            "is unknown: the gateway is being asked",
            "are unknown: the gateway is being asked",
        ),
        State::NeedsReview => ("needs review", "need review"),
        State::Succeeded | State::Failed | State::Cancelled | State::Rejected | State::Skipped => {
            ("has ended", "have ended")
        }
    };
    match items {
        1 => format!("1 item {one}."),
        items => format!("{items} items {more}."),
    }
}
