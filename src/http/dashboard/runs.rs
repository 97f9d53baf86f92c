//! Runs, and one run: how far it is, what failed, and why.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use tokio::sync::watch;

use super::code_meaning::meaning;
use super::errors::PageError;
use super::forms::fresh_key;
use super::frame::{Page, PageFrame};
use super::item_filter::filter_query;
use super::page_fields::{PagePath, PageQuery};
use super::run_files::{RunFile, files_of};
use super::run_pace::RunPace;
use super::run_reports::{self, LinkedReport};
use super::session::Viewer;
use super::sums::{MoneySums, Sum};
use crate::domain::item::State as ItemState;
use crate::domain::occurrence::name_on_clock;
use crate::domain::time::Timestamp;
use crate::export::ExportContext;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::quota::QuotaPermit;
use crate::http::run_watch::{RunSnapshot, STILL_GOOD};
use crate::ledger::{AmountIn, FailureSum, ItemFilter, JobRow, NO_CODE, RunRow, Total};
use crate::workflow::version_of;

/// How many runs a page has.
const PAGE: u32 = 50;

/// How many codes of failures are listed.
const CODES: usize = 50;

/// The width of a bar, in its own unit.
const WIDTH: u64 = 1_000;

/// Which runs.
#[derive(Debug, Deserialize)]
pub(super) struct RunListQuery {
    before: Option<i64>,
}

#[derive(Template)]
#[template(path = "runs.html")]
struct RunListPage {
    page: PageFrame,
    runs: Vec<ListedRun>,
    next_before: Option<i64>,
    is_first: bool,
}

/// A run in a list.
struct ListedRun {
    run: RunRow,
    occurrence: String,
    version: Option<String>,
    files: Vec<RunFile>,
    states: StateBar,
    failed: u64,
}

/// Runs, newest first.
pub(super) async fn list(
    State(app): State<App>,
    viewer: Viewer,
    PageQuery(query): PageQuery<RunListQuery>,
) -> Result<impl IntoResponse, PageError> {
    let ledger = &app.engine().ledger;
    let found = ledger.runs(query.before, PAGE).await?;
    let full = found.len() == PAGE as usize;
    let next_before = found.last().map(|run| run.id).filter(|_| full);
    let ids: Vec<i64> = found.iter().map(|run| run.id).collect();
    let (jobs, totals) = (
        ledger.jobs_of_runs(&ids).await?,
        ledger.totals_of_runs(&ids).await?,
    );
    let sources = ledger.workflows_of_runs(&ids).await?;
    let mut runs = Vec::with_capacity(found.len());
    for run in found {
        let jobs: Vec<JobRow> = jobs
            .iter()
            .filter(|job| job.run_id == run.id)
            .cloned()
            .collect();
        let is_own = |total: &&Total| jobs.iter().any(|job| job.id == total.job_id);
        let totals: Vec<Total> = totals.iter().filter(is_own).cloned().collect();
        runs.push(ListedRun {
            occurrence: name_on_clock(&run.occurrence, viewer.zone),
            version: sources.get(&run.id).map(|source| version_of(source)),
            files: files_of(&jobs)?,
            failed: in_state(&totals, ItemState::Failed),
            states: StateBar::of(&totals),
            run,
        });
    }
    Ok(Page(RunListPage {
        page: PageFrame::of(&viewer),
        runs,
        next_before,
        is_first: query.before.is_none(),
    }))
}

fn in_state(totals: &[Total], state: ItemState) -> u64 {
    let of_state = totals.iter().filter(|total| total.state == state);
    of_state.map(|total| total.items).sum()
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    page: PageFrame,
    run: LiveRun,
    version: Option<String>,
    files: Vec<RunFile>,
    reports: Vec<LinkedReport>,
    pace: Option<RunPace>,
    /// Before when nothing of it is sent, while that is.
    waits_until: Option<Timestamp>,
    /// Whether it can be withdrawn as a whole.
    is_withdrawable: bool,
    key: String,
}

/// What of a run changes while it goes on.
struct LiveRun {
    row: RunRow,
    occurrence: String,
    states: StateBar,
    /// By state: how many, and their money.
    rows: Vec<StateRow>,
    jobs: Vec<JobProgress>,
    rate: Option<ItemRate>,
    codes: Vec<FailedByCode>,
}

/// The items of a run in one state.
pub(super) struct StateRow {
    pub state: ItemState,
    pub items: u64,
    pub sums: Vec<Sum>,
}

/// A job of a run.
struct JobProgress {
    row: JobRow,
    states: StateBar,
    rejected: u64,
    failed: u64,
}

/// How fast a run goes on.
struct ItemRate {
    per_second: u64,
    minutes_left: u64,
}

/// Failed items of one job with one code and currency.
struct FailedByCode {
    code: String,
    /// What the code means.
    meaning: Option<String>,
    job: String,
    /// The filter that lists just these.
    query: String,
    items: u64,
    sum: Option<Sum>,
    width: u64,
}

#[derive(Template)]
#[template(path = "run_live.html")]
struct RunFragment {
    page: PageFrame,
    run: LiveRun,
}

/// One run.
pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(id): PagePath<i64>,
) -> Result<impl IntoResponse, PageError> {
    let ledger = &app.engine().ledger;
    let now = app.engine().clock.now();
    let snapshot = RunSnapshot::read(ledger, id, now).await?;
    let snapshot = snapshot.ok_or_else(|| no_such_run(id))?;
    let page = PageFrame::of(&viewer);
    let run = LiveRun::of(&snapshot, None, (&app, &page));
    let items = run.states.items;
    Ok(Page(RunPage {
        version: snapshot.version.clone(),
        files: files_of(&snapshot.jobs)?,
        reports: run_reports::of_run(&app, &viewer, (id, &snapshot.jobs)).await?,
        pace: RunPace::of(ledger, (&snapshot.run, items), now).await?,
        waits_until: snapshot
            .run
            .send_at
            .filter(|at| *at > now && has_open(&snapshot.totals)),
        is_withdrawable: is_withdrawable(&snapshot),
        key: fresh_key(),
        run,
        page,
    }))
}

/// Whether there is anything to withdraw: of a run that was withdrawn, what a person has tried again.
fn is_withdrawable(snapshot: &RunSnapshot) -> bool {
    let is_fresh = match &snapshot.run.withdrawal {
        None => true,
        Some(withdrawal) => withdrawal.ended_at.is_some() && has_open(&snapshot.totals),
    };
    is_fresh && !snapshot.is_finished()
}

/// A run that was withdrawn is found to have finished a moment later.
fn has_open(totals: &[Total]) -> bool {
    totals
        .iter()
        .any(|total| total.state.is_open() && total.items > 0)
}

fn no_such_run(id: i64) -> PageError {
    PageError::not_found(format!("there is no run {id}"))
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

impl LiveRun {
    fn of(
        snapshot: &RunSnapshot,
        before: Option<&RunSnapshot>,
        (app, page): (&App, &PageFrame),
    ) -> Self {
        let totals = &snapshot.totals;
        Self {
            occurrence: name_on_clock(&snapshot.run.occurrence, page.viewer.zone),
            row: snapshot.run.clone(),
            states: StateBar::of(totals),
            rows: by_state(totals),
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

/// What totals add up to by state, in the order that tables show them.
pub(super) fn by_state(totals: &[Total]) -> Vec<StateRow> {
    let mut states: BTreeMap<usize, (u64, MoneySums)> = BTreeMap::new();
    for total in totals.iter().filter(|total| total.items > 0) {
        let place = ItemState::ALL
            .iter()
            .position(|state| *state == total.state)
            .unwrap_or_default();
        let (items, sums) = states.entry(place).or_default();
        *items += total.items;
        if let Some((currency, minor)) = total.money() {
            sums.add(minor, currency);
        }
    }
    let row = |(place, (items, sums)): (usize, (u64, MoneySums))| StateRow {
        state: ItemState::ALL[place],
        items,
        sums: sums.each(),
    };
    states.into_iter().map(row).collect()
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

/// Items by state, as a bar.
pub(super) struct StateBar {
    pub items: u64,
    pub open: u64,
    pub parts: Vec<StatePart>,
}

/// The part of a bar that one state has.
pub(super) struct StatePart {
    pub state: ItemState,
    pub items: u64,
    pub x: u64,
    pub width: u64,
}

impl StateBar {
    /// Of totals.
    pub fn of(totals: &[Total]) -> Self {
        let items: u64 = totals.iter().map(|total| total.items).sum();
        let (mut parts, mut x) = (Vec::new(), 0);
        for row in by_state(totals) {
            let width = (row.items * WIDTH).checked_div(items).unwrap_or(0).max(4);
            parts.push(StatePart {
                state: row.state,
                items: row.items,
                x,
                width,
            });
            x += width;
        }
        let open = totals.iter().filter(|total| total.state.is_open());
        Self {
            items,
            open: open.map(|total| total.items).sum(),
            parts,
        }
    }
}

/// A run's page as it changes, twice a second at most: the part that changes, as server-sent
/// events.
pub(super) async fn live(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(id): PagePath<i64>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, PageError> {
    let watched = app.watches.watch(&app, id).await?;
    let watched = watched.ok_or_else(|| no_such_run(id))?;
    let place = app.streams.take(&viewer.caller.name);
    let place =
        place.ok_or_else(|| ApiError::unavailable("too many streams of events are open"))?;
    let follower = PageFollower {
        app,
        viewer,
        watched,
        shown: None,
        ended: StreamEnd::GoesOn,
        _place: place,
    };
    Ok(Sse::new(stream::unfold(follower, next)).keep_alive(KeepAlive::default()))
}

/// A page that is open on a run.
struct PageFollower {
    app: App,
    viewer: Viewer,
    watched: watch::Receiver<Arc<RunSnapshot>>,
    /// The run as it was shown last.
    shown: Option<Arc<RunSnapshot>>,
    ended: StreamEnd,
    _place: QuotaPermit,
}

/// How near a stream is to its end: a browser that is not told of it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StreamEnd {
    GoesOn,
    /// The run has finished, which the page has yet to hear.
    ToTell,
    Told,
}

async fn next(mut follower: PageFollower) -> Option<(Result<Event, Infallible>, PageFollower)> {
    match follower.ended {
        StreamEnd::GoesOn => {}
        StreamEnd::ToTell => {
            follower.ended = StreamEnd::Told;
            return Some((Ok(Event::default().event("finished").data("")), follower));
        }
        StreamEnd::Told => return None,
    }
    loop {
        let changed = match follower.shown {
            None => Ok(Ok(())),
            Some(_) => tokio::time::timeout(STILL_GOOD, follower.watched.changed()).await,
        };
        if !follower.viewer.caller.is_good(&follower.app).await.ok()? {
            return None;
        }
        if let Ok(changed) = changed {
            changed.ok()?;
            break;
        }
    }
    let seen = Arc::clone(&follower.watched.borrow_and_update());
    let page = PageFrame::of(&follower.viewer);
    let fragment = RunFragment {
        run: LiveRun::of(&seen, follower.shown.as_deref(), (&follower.app, &page)),
        page,
    };
    let html = fragment.render().ok()?;
    if seen.is_finished() {
        follower.ended = StreamEnd::ToTell;
    }
    follower.shown = Some(seen);
    Some((Ok(Event::default().data(html)), follower))
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
