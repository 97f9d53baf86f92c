//! What became of each job, held against the books of the gateway it was done on.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::gateways::DemoGateways;
use crate::cli::compare_books::{Comparison, compare};
use crate::cli::exit::Failure;
use crate::cli::run_report::Report;
use crate::domain::item::State;
use crate::domain::message::Message;
use crate::ledger::{ItemFilter, JobRow, Ledger};

/// How many things, and how many minor units, by currency.
pub(super) type SumsByCurrency = BTreeMap<String, (u64, i128)>;

/// What became of a job.
#[derive(Debug)]
pub(super) struct Figures {
    pub name: String,
    pub kind: String,
    pub gateway: String,
    pub by_state: BTreeMap<State, u64>,
    /// What succeeded, in our books.
    pub ours: SumsByCurrency,
    /// The same in the gateway's; none where it keeps no such books.
    pub theirs: Option<SumsByCurrency>,
    /// Order by order, where the gateway's books tell orders.
    pub comparison: Option<Comparison>,
    /// What its items found, where there are few: files and reports.
    pub found: Vec<Map<String, Value>>,
    /// Why it could not be planned.
    pub failure: Option<String>,
}

impl Figures {
    pub fn items(&self) -> u64 {
        self.by_state.values().sum()
    }

    pub fn in_state(&self, state: State) -> u64 {
        self.by_state.get(&state).copied().unwrap_or(0)
    }

    /// Whether both books say the same.
    pub fn match_up(&self) -> bool {
        let sums = self
            .theirs
            .as_ref()
            .is_none_or(|theirs| *theirs == self.ours);
        sums && self.comparison.as_ref().is_none_or(Comparison::match_up)
    }
}

/// Of every job of a run.
pub(super) async fn figures(
    ledger: &Ledger,
    stage: &DemoGateways,
    report: &Report,
) -> Result<Vec<Figures>, Failure> {
    let mut all = Vec::with_capacity(report.jobs.len());
    for job in &report.jobs {
        let totals = report.totals.iter().filter(|total| total.job_id == job.id);
        let mut by_state: BTreeMap<State, u64> = BTreeMap::new();
        let mut ours = SumsByCurrency::new();
        for total in totals {
            *by_state.entry(total.state).or_default() += total.items;
            if let Some(currency) = total
                .currency
                .filter(|_| total.state == State::Succeeded && total.items > 0)
            {
                let sum = ours.entry(currency.code().to_owned()).or_default();
                *sum = (sum.0 + total.items, sum.1 + i128::from(total.minor));
            }
        }
        let order_by_order = job.kind == "deduct";
        all.push(Figures {
            name: job.name.clone(),
            kind: job.kind.clone(),
            gateway: job.lane.clone(),
            by_state,
            ours,
            theirs: theirs(stage, job).await?,
            comparison: if order_by_order {
                Some(compare(ledger, &stage.sandbox, job).await?)
            } else {
                None
            },
            found: found(ledger, job).await?,
            failure: job.failure.as_ref().map(Message::to_string),
        });
    }
    Ok(all)
}

/// What the gateway's books say of a job's work.
async fn theirs(stage: &DemoGateways, job: &JobRow) -> Result<Option<SumsByCurrency>, Failure> {
    let others = &stage.gateways;
    let sums = match job.lane.as_str() {
        "hipopay" => others.hipopay.as_ref().map(|fake| fake.totals()),
        "egms" => others.egms.as_ref().map(|fake| fake.totals()),
        "cbtis" => others.cbtis.as_ref().map(|fake| fake.totals()),
        _ => None,
    };
    let wide = |sums: BTreeMap<String, (u64, i64)>| -> SumsByCurrency {
        sums.into_iter()
            .map(|(currency, (count, minor))| (currency, (count, i128::from(minor))))
            .collect()
    };
    if let Some(sums) = sums {
        return Ok(match job.kind.as_str() {
            "pay" => Some(wide(sums.paid)),
            "refund" => Some(wide(sums.refunded)),
            _ => None,
        });
    }
    let totals = stage
        .sandbox
        .totals()
        .await
        .map_err(|error| Failure::internal(&error))?;
    let sums = match job.kind.as_str() {
        "deduct" => totals.charged,
        "refund" => totals.refunded,
        _ => return Ok(None),
    };
    Ok(Some(
        sums.into_iter()
            .map(|(currency, one)| (currency, (one.count, one.minor)))
            .collect(),
    ))
}

/// The results of a job's items, where they are few.
async fn found(ledger: &Ledger, job: &JobRow) -> Result<Vec<Map<String, Value>>, Failure> {
    if !["statement", "settlement", "reconcile"].contains(&job.kind.as_str()) {
        return Ok(Vec::new());
    }
    let filter = ItemFilter {
        run_id: Some(job.run_id),
        job: Some(job.name.clone()),
        ..ItemFilter::default()
    };
    let items = ledger.items(&filter, 0, 100).await?;
    let results = items.iter().filter_map(|item| item.facts().transpose());
    Ok(results.collect::<Result<_, _>>()?)
}
