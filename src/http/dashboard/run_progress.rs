//! What of a run changes while it goes on: its items by state, its jobs, its pace, and what failed.

use std::sync::Arc;

use super::code_meaning::meaning;
use super::frame::PageFrame;
use super::item_filter::filter_query;
use super::state_sums::{KindsOfState, StateBar, WIDTH, by_state_and_kind, in_state};
use super::sums::Sum;
use crate::domain::item::State as ItemState;
use crate::domain::occurrence::name_on_clock;
use crate::export::ExportContext;
use crate::http::App;
use crate::http::run_watch::RunSnapshot;
use crate::ledger::{AmountIn, FailureSum, ItemFilter, JobRow, NO_CODE, RunRow, Total};

/// How many codes of failures are listed.
const CODES: usize = 50;

/// What of a run changes while it goes on.
pub(super) struct LiveRun {
    pub row: RunRow,
    pub occurrence: String,
    pub states: StateBar,
    /// By state: how many, and their money by kind of job.
    pub rows: Vec<KindsOfState>,
    pub jobs: Vec<JobProgress>,
    pub rate: Option<ItemRate>,
    pub codes: Vec<FailedByCode>,
}

/// A job of a run.
pub(super) struct JobProgress {
    pub row: JobRow,
    pub states: StateBar,
    pub rejected: u64,
    pub failed: u64,
}

/// How fast a run goes on.
pub(super) struct ItemRate {
    pub per_second: u64,
    pub minutes_left: u64,
}

/// Failed items of one job with one code and currency.
pub(super) struct FailedByCode {
    pub code: String,
    /// What the code means.
    pub meaning: Option<String>,
    pub job: String,
    /// The filter that lists just these.
    pub query: String,
    pub items: u64,
    pub sum: Option<Sum>,
    pub width: u64,
}

impl LiveRun {
    /// As a run was, and what it was before, by which its pace is told.
    pub fn of(
        snapshot: &RunSnapshot,
        before: Option<&RunSnapshot>,
        (app, page): (&App, &PageFrame),
    ) -> Self {
        let totals = &snapshot.totals;
        let kinds = snapshot.jobs.iter();
        let kinds = kinds.map(|job| (job.id, job.kind.clone())).collect();
        Self {
            occurrence: name_on_clock(&snapshot.run.occurrence, page.viewer.zone),
            row: snapshot.run.clone(),
            states: StateBar::of(totals),
            rows: by_state_and_kind(totals, &kinds),
            jobs: snapshot
                .jobs
                .iter()
                .map(|job| JobProgress::of(job, totals))
                .collect(),
            rate: before.and_then(|before| ItemRate::between(before, snapshot)),
            codes: by_code(snapshot, (app, page)),
        }
    }
}

impl JobProgress {
    fn of(job: &JobRow, totals: &[Total]) -> Self {
        let own: Vec<Total> = totals
            .iter()
            .filter(|total| total.job_id == job.id)
            .cloned()
            .collect();
        Self {
            row: job.clone(),
            states: StateBar::of(&own),
            rejected: in_state(&own, ItemState::Rejected),
            failed: in_state(&own, ItemState::Failed),
        }
    }
}

impl ItemRate {
    /// Of a run that goes on: by how many items have come to an end at the gateway. What is
    /// withdrawn says nothing of how long the rest takes.
    fn between(before: &RunSnapshot, now: &RunSnapshot) -> Option<Self> {
        let open = now.totals.iter().filter(|total| total.state.is_open());
        let left = open.map(|total| total.items).sum();
        let done = decided(&now.totals).checked_sub(decided(&before.totals))?;
        let millis = u64::try_from(now.at.since(before.at).as_millis()).ok()?;
        Self::of(done, left, millis).filter(|_| !now.is_finished())
    }

    /// None where nothing is left, or the pace says nothing of when.
    fn of(done: u64, left: u64, millis: u64) -> Option<Self> {
        let per_second = (done * 1_000).checked_div(millis)?;
        let seconds = left.checked_div(per_second)?;
        (left > 0).then(|| Self {
            per_second,
            minutes_left: seconds.div_ceil(60).max(1),
        })
    }
}

fn decided(totals: &[Total]) -> u64 {
    let states = [
        ItemState::Succeeded,
        ItemState::Failed,
        ItemState::NeedsReview,
    ];
    states.map(|state| in_state(totals, state)).iter().sum()
}

/// The failures of a run by code, each with what it means.
fn by_code(snapshot: &RunSnapshot, (app, page): (&App, &PageFrame)) -> Vec<FailedByCode> {
    let failures = &snapshot.failures.sums;
    let most = failures.iter().map(|sum| sum.items).max().unwrap_or(1);
    let engine = app.engine();
    let context = ExportContext {
        ledger: engine.ledger.clone(),
        config: Arc::clone(&engine.config),
        job_kinds: Arc::clone(&engine.job_kinds),
        now: snapshot.at,
    };
    let shown = failures.iter().take(CODES);
    shown
        .map(|sum| {
            let job = snapshot.jobs.iter().find(|job| job.id == sum.job_id);
            FailedByCode {
                meaning: job.and_then(|job| meaning(page, &context, job, &sum.code)),
                query: filter_query(&failed_with(snapshot.run.id, job, sum)),
                job: job.map_or_else(String::new, |job| job.name.clone()),
                items: sum.items,
                sum: sum
                    .currency
                    .map(|currency| Sum::of_minor(i128::from(sum.minor), currency)),
                width: (sum.items * WIDTH).div_ceil(most.max(1)),
                code: sum.code.clone(),
            }
        })
        .collect()
}

/// The items that a sum of failures is of.
fn failed_with(run: i64, job: Option<&JobRow>, sum: &FailureSum) -> ItemFilter {
    let code = Some(sum.code.as_str()).filter(|code| !code.is_empty());
    ItemFilter {
        run_id: Some(run),
        job: job.map(|job| job.name.clone()),
        states: vec![ItemState::Failed],
        code: Some(code.unwrap_or(NO_CODE).to_owned()),
        currency: Some(sum.currency.map_or(AmountIn::None, AmountIn::Currency)),
        ..ItemFilter::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(state: ItemState, items: u64) -> Total {
        Total {
            job_id: 1,
            state,
            currency: None,
            items,
            minor: 0,
        }
    }

    #[test]
    fn what_is_left_is_told_in_minutes_and_only_while_something_is() {
        let told = |done, left, millis| {
            ItemRate::of(done, left, millis).map(|rate| (rate.per_second, rate.minutes_left))
        };
        assert_eq!(told(50, 6_000, 500), Some((100, 1)));
        assert_eq!(told(50, 6_060 * 60, 500), Some((100, 61)));
        assert_eq!(told(50, 10, 500), Some((100, 1)));
        for (done, left, millis) in [(1, 0, 500), (0, 9, 500), (1, 9, 0), (1, 9, 5_000)] {
            assert_eq!(told(done, left, millis), None, "{done} {left} {millis}");
        }
    }

    #[test]
    fn what_is_withdrawn_or_was_never_taken_is_not_part_of_the_pace() {
        let totals = [
            total(ItemState::Succeeded, 1),
            total(ItemState::Failed, 2),
            total(ItemState::NeedsReview, 4),
            total(ItemState::Cancelled, 8),
            total(ItemState::Rejected, 16),
            total(ItemState::Pending, 32),
        ];
        assert_eq!(decided(&totals), 7);
    }
}
