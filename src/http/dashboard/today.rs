//! Whether anything is wrong, and what will go out: the first page of the day.

use std::collections::BTreeMap;
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::IntoResponse;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeZone as _, Utc};
use chrono_tz::Tz;

use super::approvals::ApproverStanding;
use super::errors::PageError;
use super::frame::{Page, PageFrame};
use super::item_filter::state_words;
use super::session::Viewer;
use super::state_sums::{KindsOfState, StateBar, by_state_and_kind};
use super::sums::{MoneySums, Sum};
use crate::domain::difference::DifferenceState;
use crate::domain::item::State as ItemState;
use crate::domain::occurrence::OccurrenceState;
use crate::domain::time::Timestamp;
use crate::engine::schedule::occurrence;
use crate::http::App;
use crate::ledger::{
    ApprovalRow, DifferenceFilter, IncidentRow, LaneRow, LastBackup, Ledger, LedgerError,
    ListedApprovals, OccurrenceFilter, OccurrenceRow, RunRow, Total, UnknownAges, UnreachableRow,
};
use crate::service::health::FailingTask;

/// How many of each list the page shows; each links to the whole.
const SHOWN: u32 = 10;

/// The most batches that are counted: each is read with who has approved it.
const BATCHES: u32 = 100;

/// The most open differences that are counted.
const DIFFERENCES: u32 = 1000;

/// The most runs of a day that are added up one by one.
const RUNS: u32 = 200;

/// How far back occurrences that were missed are told of, and how far ahead what fires.
const WEEK: Duration = Duration::from_secs(7 * 86_400);

#[derive(Template)]
#[template(path = "today.html")]
struct TodayPage {
    page: PageFrame,
    late: Vec<OccurrenceRow>,
    unknown: UnknownAges,
    open_sums: Vec<OpenSums>,
    lanes: Vec<LaneRow>,
    unreachable: Vec<UnreachableRow>,
    /// Batches that wait, how many, and how many of them this person may decide.
    approvals: Vec<ApprovalRow>,
    batches: u64,
    to_decide: u64,
    waiting_runs: Vec<WaitingRun>,
    incidents: Vec<IncidentRow>,
    unwell: Vec<FailingTask>,
    runs: Vec<TodaysRun>,
    states: StateBar,
    /// What today's runs add up to, by state and kind of job.
    sums: Vec<KindsOfState>,
    /// How many differences nobody has explained or accepted.
    differences: u64,
    /// The day, where lists of items have the same one: theirs is on the clock of the project.
    since: Option<NaiveDate>,
    firings: Vec<NextFiring>,
    last_backup: LastBackup,
    /// As of when.
    now: Timestamp,
}

impl TodayPage {
    /// Where the items of today in these states are listed; the runs where lists have another day.
    fn items_in(&self, states: &[ItemState]) -> String {
        let base = &self.page.viewer.base;
        let Some(day) = self.since else {
            return format!("{base}/runs");
        };
        match states {
            [] => format!("{base}/items?since={day}"),
            states => format!("{base}/items?state={}&since={day}", state_words(states)),
        }
    }

    fn all_items(&self) -> String {
        self.items_in(&[])
    }

    fn items_of(&self, state: &ItemState) -> String {
        self.items_in(&[*state])
    }

    fn open_items(&self) -> String {
        let open = ItemState::ALL.into_iter().filter(|state| state.is_open());
        self.items_in(&open.collect::<Vec<_>>())
    }

    /// Whether more differences are open than are counted.
    fn has_more_differences(&self) -> bool {
        self.differences >= u64::from(DIFFERENCES)
    }

    /// Whether more wait than are counted.
    fn has_more_batches(&self) -> bool {
        self.batches >= u64::from(BATCHES)
    }

    /// The batches that are shown of those that wait.
    fn first_batches(&self) -> impl Iterator<Item = &ApprovalRow> {
        self.approvals.iter().take(SHOWN as usize)
    }

    /// Whether there is nothing that a person should look at.
    fn is_quiet(&self) -> bool {
        self.late.is_empty()
            && self.unknown.ten_minutes == 0
            && self
                .open_sums
                .iter()
                .all(|sums| sums.state != ItemState::NeedsReview)
            && self.approvals.is_empty()
            && self.differences == 0
            && self.lanes.is_empty()
            && self.unreachable.is_empty()
            && self.incidents.is_empty()
            && self.unwell.is_empty()
    }
}

/// What is not known for certain, in one state.
struct OpenSums {
    state: ItemState,
    items: u64,
    sums: Vec<Sum>,
}

/// A run of which nothing is sent before an instant.
struct WaitingRun {
    run: RunRow,
    at: Timestamp,
    items: u64,
    sums: Vec<Sum>,
}

/// A run of today.
struct TodaysRun {
    run: RunRow,
    states: StateBar,
}

/// What fires next.
struct NextFiring {
    workflow: String,
    at: Timestamp,
    /// What a calendar did to it.
    moved: Option<String>,
}

/// The page.
pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
) -> Result<impl IntoResponse, PageError> {
    let engine = app.engine();
    let (ledger, now) = (&engine.ledger, engine.clock.now());
    let midnight_here = midnight(now, viewer.zone);
    let (runs, totals, kinds) = runs_since(ledger, midnight_here, now).await?;
    let open = DifferenceFilter {
        states: vec![DifferenceState::Open],
        ..DifferenceFilter::default()
    };
    let differences = ledger.list_differences(&open, 0, DIFFERENCES).await?;
    let approvals = ledger.approvals(ListedApprovals::Open, i64::MAX, BATCHES);
    let approvals = approvals.await?;
    let decides =
        |row: &&ApprovalRow| ApproverStanding::of(&viewer, row, now) == ApproverStanding::Approves;
    Ok(Page(TodayPage {
        late: late(ledger, now).await?,
        unknown: ledger.unknown_ages(now).await?,
        open_sums: open_sums(&ledger.grand_totals().await?),
        lanes: ledger.closed_lanes(now).await?,
        unreachable: ledger.unreachable().await?,
        batches: approvals.len() as u64,
        to_decide: approvals.iter().filter(decides).count() as u64,
        approvals,
        waiting_runs: waiting_runs(ledger, now).await?,
        incidents: ledger
            .open_incidents()
            .await?
            .into_iter()
            .filter(|incident| incident.opened_at.is_some())
            .take(SHOWN as usize)
            .collect(),
        unwell: app.service.health.unwell(),
        states: StateBar::of(&totals),
        sums: by_state_and_kind(&totals, &kinds),
        differences: differences.len() as u64,
        runs,
        since: day_of(now, viewer.zone)
            .filter(|_| midnight_here == midnight(now, engine.config.timezone)),
        firings: next_firings(&app, now),
        last_backup: ledger.last_backup().await?,
        now,
        page: PageFrame::of(&viewer),
    }))
}

/// The beginning of the day on a clock; where it is skipped, the first instant after it.
fn midnight(now: Timestamp, zone: Tz) -> Timestamp {
    let day = day_of(now, zone);
    let at = |day: chrono::NaiveDate| {
        (0..4).find_map(|hour| {
            let wall = NaiveDateTime::new(day, NaiveTime::from_hms_opt(hour, 0, 0)?);
            zone.from_local_datetime(&wall).earliest()
        })
    };
    day.and_then(at).map_or_else(
        || now.minus(Duration::from_secs(86_400)),
        |at| Timestamp::from_millis(at.timestamp_millis()),
    )
}

fn day_of(now: Timestamp, zone: Tz) -> Option<NaiveDate> {
    let at = Utc.timestamp_millis_opt(now.millis()).single()?;
    Some(at.with_timezone(&zone).date_naive())
}

/// Runs that are sent later, with what is open of them, the next first.
async fn waiting_runs(ledger: &Ledger, now: Timestamp) -> Result<Vec<WaitingRun>, LedgerError> {
    let mut waiting = Vec::new();
    for run in ledger.runs_to_be_sent(now, SHOWN).await? {
        let Some(at) = run.send_at else { continue };
        let totals = ledger.totals(run.id).await?;
        let (mut items, mut sums) = (0, MoneySums::default());
        for total in totals.iter().filter(|total| total.state.is_open()) {
            items += total.items;
            if let Some((currency, minor)) = total.money() {
                sums.add(minor, currency);
            }
        }
        // Of what was withdrawn as a whole nothing is sent.
        if items > 0 {
            waiting.push(WaitingRun {
                run,
                at,
                items,
                sums: sums.each(),
            });
        }
    }
    Ok(waiting)
}

/// What was due and has not begun, or could not.
async fn late(ledger: &Ledger, now: Timestamp) -> Result<Vec<OccurrenceRow>, LedgerError> {
    let filter = OccurrenceFilter {
        workflow: None,
        states: vec![
            OccurrenceState::Due,
            OccurrenceState::Queued,
            OccurrenceState::Missed,
            OccurrenceState::Failed,
        ],
    };
    let rows = ledger.occurrences(&filter, None, 50).await?;
    let is_late = |row: &OccurrenceRow| {
        row.at >= now.minus(WEEK)
            && match row.state {
                OccurrenceState::Due | OccurrenceState::Queued => {
                    row.at <= now.minus(Duration::from_secs(60))
                }
                OccurrenceState::Missed | OccurrenceState::Failed => true,
                OccurrenceState::Fired | OccurrenceState::Skipped => false,
            }
    };
    Ok(rows
        .into_iter()
        .filter(is_late)
        .take(SHOWN as usize)
        .collect())
}

fn open_sums(totals: &[Total]) -> Vec<OpenSums> {
    [
        ItemState::NeedsReview,
        ItemState::Unknown,
        ItemState::Pending,
    ]
    .into_iter()
    .filter_map(|state| {
        let (mut items, mut sums) = (0, MoneySums::default());
        for total in totals.iter().filter(|total| total.state == state) {
            items += total.items;
            if let Some(currency) = total.currency {
                sums.add(total.minor, currency);
            }
        }
        (items > 0).then(|| OpenSums {
            state,
            items,
            sums: sums.each(),
        })
    })
    .collect()
}

/// The runs since an instant, newest first, what they add up to, and the kind of each of their
/// jobs.
async fn runs_since(
    ledger: &Ledger,
    from: Timestamp,
    now: Timestamp,
) -> Result<(Vec<TodaysRun>, Vec<Total>, BTreeMap<i64, String>), LedgerError> {
    let until = now.plus(Duration::from_secs(1));
    let found = ledger.runs_between((from, until), 0, RUNS).await?;
    let ids: Vec<i64> = found.iter().map(|run| run.id).collect();
    let all = ledger.totals_of_runs(&ids).await?;
    let jobs = ledger.jobs_of_runs(&ids).await?;
    let kinds = jobs.into_iter().map(|job| (job.id, job.kind)).collect();
    let mut runs = Vec::new();
    for run in found.into_iter().rev().take(SHOWN as usize) {
        runs.push(TodaysRun {
            states: StateBar::of(&ledger.totals(run.id).await?),
            run,
        });
    }
    Ok((runs, all, kinds))
}

fn next_firings(app: &App, now: Timestamp) -> Vec<NextFiring> {
    let until = now.plus(WEEK);
    let mut firings = Vec::new();
    for workflow in app.service.workflows.all() {
        let Some(schedule) = workflow.schedule.as_ref().filter(|one| !one.paused) else {
            continue;
        };
        let next = schedule
            .timetable
            .firings(now)
            .take_while(|one| one.at <= until)
            .take(SHOWN as usize);
        firings.extend(next.filter_map(|one| {
            let planned = occurrence(&schedule.timetable, &one);
            (planned.state == OccurrenceState::Due).then(|| NextFiring {
                workflow: workflow.name.clone(),
                at: one.at,
                moved: planned.reason,
            })
        }));
    }
    firings.sort_by_key(|one| one.at);
    firings.truncate(SHOWN as usize);
    firings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_on_the_readers_clock_also_where_that_is_skipped() {
        let at = |text: &str| {
            let at = chrono::DateTime::parse_from_rfc3339(text).unwrap();
            Timestamp::from_millis(at.timestamp_millis())
        };
        let noon = at("2026-11-30T04:00:00Z");
        assert_eq!(
            midnight(noon, Tz::Asia__Hong_Kong),
            at("2026-11-29T16:00:00Z")
        );
        assert_eq!(
            midnight(noon, Tz::America__New_York),
            at("2026-11-29T05:00:00Z")
        );
        // In Santiago clocks go from 24:00 to 01:00 in September.
        let spring = at("2026-09-06T12:00:00Z");
        assert_eq!(
            midnight(spring, Tz::America__Santiago),
            at("2026-09-06T04:00:00Z")
        );
    }
}
