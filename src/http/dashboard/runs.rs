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

use super::errors::PageError;
use super::forms::fresh_key;
use super::frame::{Page, PageFrame};
use super::page_fields::{PagePath, PageQuery};
use super::session::Viewer;
use super::sums::{MoneySums, Sum};
use crate::domain::item::State as ItemState;
use crate::domain::occurrence::name_on_clock;
use crate::domain::time::Timestamp;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::quota::QuotaPermit;
use crate::http::run_watch::{RunSnapshot, STILL_GOOD};
use crate::ledger::{FailureSum, JobRow, RunRow, Total};

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
    let mut runs = Vec::with_capacity(found.len());
    for run in found {
        let totals = ledger.totals(run.id).await?;
        runs.push(ListedRun {
            occurrence: name_on_clock(&run.occurrence, viewer.zone),
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
    codes: Vec<FailedByCode>,
    /// Before when nothing of it is sent, while that is.
    waits_until: Option<Timestamp>,
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

/// Failed items with one code.
struct FailedByCode {
    code: String,
    job: String,
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
    let failures = if in_state(&snapshot.totals, ItemState::Failed) > 0 {
        ledger.failure_sums(id).await?
    } else {
        Vec::new()
    };
    Ok(Page(RunPage {
        codes: by_code(failures, &snapshot.jobs),
        waits_until: snapshot
            .run
            .send_at
            .filter(|at| *at > now && has_open(&snapshot.totals)),
        key: fresh_key(),
        run: LiveRun::of(&snapshot, None, &viewer),
        page: PageFrame::of(&viewer),
    }))
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

fn by_code(failures: Vec<FailureSum>, jobs: &[JobRow]) -> Vec<FailedByCode> {
    let most = failures.iter().map(|sum| sum.items).max().unwrap_or(1);
    let job = |id: i64| jobs.iter().find(|job| job.id == id);
    failures
        .into_iter()
        .take(CODES)
        .map(|sum| FailedByCode {
            job: job(sum.job_id).map_or_else(String::new, |job| job.name.clone()),
            items: sum.items,
            sum: sum
                .currency
                .map(|currency| Sum::of_minor(i128::from(sum.minor), currency)),
            width: (sum.items * WIDTH).div_ceil(most.max(1)),
            code: sum.code,
        })
        .collect()
}

impl LiveRun {
    fn of(snapshot: &RunSnapshot, before: Option<&RunSnapshot>, viewer: &Viewer) -> Self {
        let totals = &snapshot.totals;
        Self {
            occurrence: name_on_clock(&snapshot.run.occurrence, viewer.zone),
            row: snapshot.run.clone(),
            states: StateBar::of(totals),
            rows: by_state(totals),
            jobs: snapshot
                .jobs
                .iter()
                .map(|job| JobProgress::of(job, totals))
                .collect(),
            rate: before.and_then(|before| ItemRate::between(before, snapshot)),
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
    fn between(before: &RunSnapshot, now: &RunSnapshot) -> Option<Self> {
        let open = |totals: &[Total]| -> u64 {
            let open = totals.iter().filter(|total| total.state.is_open());
            open.map(|total| total.items).sum()
        };
        let (left, done) = (
            open(&now.totals),
            open(&before.totals).checked_sub(open(&now.totals))?,
        );
        let millis = u64::try_from(now.at.since(before.at).as_millis()).ok()?;
        let per_second = (done * 1_000).checked_div(millis)?;
        let seconds = left.checked_div(per_second)?;
        Some(Self {
            per_second,
            minutes_left: seconds.div_ceil(60),
        })
    }
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
        if !follower.viewer.is_signed_in(&follower.app).await.ok()? {
            return None;
        }
        if let Ok(changed) = changed {
            changed.ok()?;
            break;
        }
    }
    let seen = Arc::clone(&follower.watched.borrow_and_update());
    let fragment = RunFragment {
        page: PageFrame::of(&follower.viewer),
        run: LiveRun::of(&seen, follower.shown.as_deref(), &follower.viewer),
    };
    let html = fragment.render().ok()?;
    if seen.is_finished() {
        follower.ended = StreamEnd::ToTell;
    }
    follower.shown = Some(seen);
    Some((Ok(Event::default().data(html)), follower))
}
