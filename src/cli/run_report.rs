//! What became of a run, in numbers: by state, and in money.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::exit::Exit;
use super::output::{Colour, count, counted, paint, print_table, say, table};
use super::wall_clock::WallClock;
use crate::domain::item::{Alarm, State};
use crate::domain::message::Message;
use crate::domain::money::{Currency, decimal_text};
use crate::job_kinds::JobKinds;
use crate::ledger::{EarlierProblems, JobRow, Ledger, LedgerError, RunRow, Total};
use crate::view::RunView;
use crate::workflow::version_of;

/// A run and its totals, as every commit keeps them.
#[derive(Debug)]
pub(super) struct Report {
    pub run: RunRow,
    /// The version of the workflow that it was planned with.
    pub version: Option<String>,
    pub jobs: Vec<JobRow>,
    pub totals: Vec<Total>,
    /// What did not go well of the items that have the keys of skipped rows.
    pub before: Vec<EarlierProblems>,
    /// Alarms: of how many items each, and the first of them.
    pub alarms: Vec<(String, u64, i64)>,
}

impl Report {
    /// Of a run.
    pub async fn of_run(ledger: &Ledger, run: RunRow) -> Result<Self, LedgerError> {
        let jobs = ledger.jobs(run.id).await?;
        let totals = ledger.totals(run.id).await?;
        let alarms = ledger.alarms_of_run(run.id, run.started_at).await?;
        let source = ledger.workflow_of_run(run.id).await?;
        let mut report = Self {
            run,
            version: source.as_deref().map(version_of),
            jobs,
            totals,
            before: Vec::new(),
            alarms,
        };
        if report.in_state(State::Skipped) > 0 {
            report.before = ledger.problems_before(report.run.id).await?;
        }
        Ok(report)
    }

    /// All items.
    pub fn items(&self) -> u64 {
        self.totals.iter().map(|total| total.items).sum()
    }

    /// Items in a state.
    pub fn in_state(&self, state: State) -> u64 {
        self.totals
            .iter()
            .filter(|total| total.state == state)
            .map(|total| total.items)
            .sum()
    }

    /// Items that have not come to rest.
    pub fn open(&self) -> u64 {
        State::ALL
            .into_iter()
            .filter(|state| state.is_open())
            .map(|state| self.in_state(state))
            .sum()
    }

    /// Jobs that could not be planned when those they take their items from had ended, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&str, &Message)> {
        self.jobs
            .iter()
            .filter_map(|job| Some((job.name.as_str(), job.failure.as_ref()?)))
    }

    /// One word for the whole.
    pub const fn state(&self) -> &'static str {
        if self.run.finished_at.is_some() {
            "finished"
        } else {
            "open"
        }
    }

    /// How a command that carried the run out ends.
    pub fn exit(&self) -> Exit {
        let bad = [State::Failed, State::Rejected, State::NeedsReview];
        if self.open() > 0 {
            Exit::Open
        } else if bad.into_iter().any(|state| self.in_state(state) > 0)
            || self.failures().next().is_some()
            || self.run.withdrawal.is_some()
        {
            Exit::Incomplete
        } else {
            Exit::Success
        }
    }

    /// Minor units by state, kind of job and currency: what was charged, what was given back and what
    /// was declared add up to nothing that anybody asks for.
    fn money(&self) -> BTreeMap<(State, &str, &'static str), (i64, Currency)> {
        let mut sums = BTreeMap::new();
        for total in &self.totals {
            if let Some((currency, minor)) = total.money() {
                let mut jobs = self.jobs.iter();
                let job = jobs.find(|job| job.id == total.job_id);
                let kind = job.map_or("", |job| job.kind.as_str());
                sums.entry((total.state, kind, currency.code()))
                    .or_insert((0, currency))
                    .0 += minor;
            }
        }
        sums
    }

    /// For programs.
    pub fn json(&self) -> Result<Value, LedgerError> {
        let run = RunView::of(&self.run, self.version.clone(), &self.jobs, &self.totals)?;
        let mut run = serde_json::to_value(run).unwrap_or_default();
        let before = |one: &EarlierProblems| json!({ "run": one.run_id, "kind": one.kind, "state": one.state.as_str(), "items": one.items });
        run["skipped_of"] = self.before.iter().map(before).collect();
        let alarm = |(alarm, items, first): &(String, u64, i64)| json!({ "alarm": alarm, "items": items, "first_item": first });
        run["alarms"] = self.alarms.iter().map(alarm).collect();
        Ok(run)
    }

    /// For people: items and money by state. What may be done about skipped rows, the catalog of
    /// job kinds says.
    pub fn print(&self, job_kinds: &JobKinds, clock: WallClock, colour: bool) {
        let run = &self.run;
        say(format!(
            "run {} of {} ({}), {}",
            run.id,
            run.workflow,
            clock.occurrence(&run.occurrence),
            self.state()
        ));
        let money = self.money();
        let kinds: BTreeSet<&str> = money.keys().map(|(_, kind, _)| *kind).collect();
        let mut rows = table(&["state", ">items", "amount"]);
        for state in State::ALL {
            let items = self.in_state(state);
            if items == 0 {
                continue;
            }
            let sums: Vec<String> = money
                .iter()
                .filter(|((of, ..), _)| *of == state)
                .map(|((_, kind, code), (minor, currency))| {
                    let sum = format!("{} {code}", decimal_text(i128::from(*minor), *currency));
                    // Where there is one kind it need not be said of what.
                    if kinds.len() > 1 {
                        format!("{kind} {sum}")
                    } else {
                        sum
                    }
                })
                .collect();
            rows.add_row([painted(state, colour), count(items), sums.join(", ")]);
        }
        print_table(&rows);
        let rejected = self.in_state(State::Rejected);
        if rejected > 0 {
            say(format!(
                "{}; `payrun rows {} --rejected -o FILE` gives them back with the reasons, to be mended and given again",
                counted(rejected, "rejected row"),
                run.id
            ));
        }
        for (alarm, items, first) in &self.alarms {
            let raised = paint(&format!("ALARM {alarm}"), Colour::Red, colour);
            say(format!(
                "{raised} ({}): {}; `payrun show --item {first}` says what is known of it",
                Alarm::meaning_of(alarm),
                counted(*items, "item")
            ));
        }
        for one in &self.before {
            let (run, state) = (one.run_id, one.state.as_str());
            let is = one.state.predicate();
            let rows = counted(one.items, "skipped row");
            say(format!(
                "{rows} of what {is} in run {run}; `payrun retry --run {run} --state {state}` tries it again as it was"
            ));
            if job_kinds
                .by_name
                .get(&one.kind)
                .is_some_and(|kind| kind.redo_with.is_some())
            {
                say(format!(
                    "or mend the rows and give them again: the gateway is asked what it has, and job kind {} files them with the new \
                     content",
                    one.kind
                ));
            }
        }
        self.failures()
            .for_each(|(job, why)| say(format!("job {job} has no items: {why}")));
    }
}

/// A state's word in the colour of what it means.
pub(super) fn painted(state: State, colour: bool) -> String {
    let meaning = match state {
        State::Succeeded => Colour::Green,
        State::Failed | State::NeedsReview | State::Rejected => Colour::Red,
        State::Unknown
        | State::Pending
        | State::Sending
        | State::Planned
        | State::AwaitingApproval => Colour::Yellow,
        State::Cancelled | State::Skipped => Colour::Dim,
    };
    paint(state.label(), meaning, colour)
}
