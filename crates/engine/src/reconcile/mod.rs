//! Our items against the gateway's statement lines: each difference gets a name, and a report that
//! people can work with.
//!
//! Both sides are read in pages, from the ledger alone; nothing is asked of the gateway. A line
//! that tells what became of an item of which that was not known closes it. Everything else is only
//! reported: a statement corrects nothing by itself.

mod day_range;
mod findings;
mod follow_up;
mod items;
mod line_verdict;
mod lines;
mod lines_of_others;
mod named_items;
mod report;
#[cfg(test)]
mod tests;

pub use line_verdict::LineOutcome;
pub use lines_of_others::{LinesAndSum, OtherSystemsDays, OtherSystemsSums, lines_of_others};

use std::collections::HashMap;

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::Engine;
use crate::attempt::AttemptContext;
use crate::file_store::FilesError;
use day_range::DayRange;
use findings::Findings;
use named_items::AccountItems;
use payrun_domain::difference::{DifferenceReason, DifferenceState};
use payrun_domain::own_code::OwnCode;
use payrun_domain::time::Timestamp;
use payrun_gateway::{Call, Delivery, Observation};
use payrun_ledger::{Ledger, LedgerError, LineKind, ListedNumber, NumberKind, StatementRow};
use payrun_project::config::StatementOwnership;
use payrun_project::job_kinds::{JobKind, StatementRole};
use payrun_system::clock::Clock;

/// How many differences of state of one reconciliation are logged one by one; all stand in the
/// report.
const LOGGED: usize = 100;

/// How many missing days are named.
const DAYS_NAMED: usize = 31;

/// What both sides are held against.
struct ReconcileContext<'a> {
    ledger: &'a Ledger,
    clock: &'a Clock,
    lane: &'a str,
    /// Where items of the account are looked for.
    items: AccountItems<'a>,
    /// The kinds whose items take payments back.
    reversals: Vec<&'a JobKind>,
    account: &'a str,
    window: DayRange,
    ends: (String, String),
    /// The item of this reconciliation.
    item: i64,
    /// Which lines are ours; none: all of them.
    ownership: Option<&'a StatementOwnership>,
    /// The days whose statements were fetched before they were over, and when.
    open_since: HashMap<String, Timestamp>,
    /// Whether the statements of the days beside are there.
    day_before: bool,
    day_after: bool,
    fee_rate: Option<Decimal>,
    /// When the claim ends under which this is done.
    until: Timestamp,
}

/// Why there is no result.
#[derive(Debug, Error)]
enum ReconcileFailure {
    /// The ledger could not be asked.
    #[error("the ledger could not be asked")]
    Ledger(#[from] LedgerError),
    /// The report could not be written.
    #[error("the report could not be written")]
    Files(#[from] FilesError),
    /// The item of the reconciliation is nowhere.
    #[error("the item of this reconciliation is not in the ledger")]
    NoItem,
    /// It takes longer than the claim holds.
    #[error(
        "it takes longer than the claim holds; reconcile fewer days, or give the account a longer timeout"
    )]
    TooLong,
}

/// What is to be done.
#[derive(Debug)]
struct ReconcileTask {
    window: DayRange,
    fee_rate: Option<Decimal>,
}

impl ReconcileTask {
    fn read(call: &Call) -> Result<Self, String> {
        let text = |name: &str| {
            call.input
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let rate = |text: &str| {
            let rate = Decimal::from_str_exact(text)
                .ok()
                .filter(|rate| *rate >= Decimal::ZERO && *rate < Decimal::ONE);
            rate.ok_or_else(|| "fee_rate takes a decimal below 1, such as 0.008".to_owned())
        };
        let fee_rate = Some(text("fee_rate"))
            .filter(|text| !text.is_empty())
            .map(rate)
            .transpose()?;
        Ok(Self {
            window: DayRange::parse(text("from"), text("to"))?,
            fee_rate,
        })
    }
}

/// Reconciles, and says what was found as a gateway would.
pub(super) async fn work(context: &AttemptContext<'_>, call: &Call) -> Observation {
    let order = match ReconcileTask::read(call) {
        Ok(order) => order,
        Err(mistake) => {
            return observed(
                OwnCode::BadInput,
                Map::from_iter([("mistake".to_owned(), json!(mistake))]),
            );
        }
    };
    match reconcile(context, order).await {
        Ok(observation) => observation,
        Err(stopped) => {
            let error: &dyn std::error::Error = &stopped;
            tracing::warn!(item.id = context.claimed.id(), error, "not reconciled");
            Observation::of(Delivery::NotSent(stopped.to_string()))
        }
    }
}

async fn reconcile(
    context: &AttemptContext<'_>,
    order: ReconcileTask,
) -> Result<Observation, ReconcileFailure> {
    let Engine {
        ledger,
        clock,
        files,
        job_kinds,
        ..
    } = context.engine;
    let lane = context.account.name.as_str();
    let ends = order.window.ends();
    let statements = ledger.statements(lane, &ends.0, &ends.1).await?;
    let missing = missing(order.window, &statements);
    if !missing.is_empty() {
        let named = missing.iter().take(DAYS_NAMED).cloned().collect::<Vec<_>>();
        let facts = [
            ("missing_days", json!(named)),
            ("missing_count", json!(missing.len())),
        ];
        return Ok(observed(
            OwnCode::NoStatement,
            facts
                .map(|(name, fact)| (name.to_owned(), fact))
                .into_iter()
                .collect(),
        ));
    }
    let (day_before, day_after) = order.window.neighbours();
    let is_reversal = |kind: &&JobKind| kind.in_statement == Some(StatementRole::Reversal);
    let zone = context.engine.config.timezone;
    let context = ReconcileContext {
        ledger,
        clock,
        lane,
        items: AccountItems::of(ledger, job_kinds, (lane, &context.account.identity)),
        reversals: job_kinds
            .by_name
            .values()
            .map(|kind| &**kind)
            .filter(is_reversal)
            .collect(),
        account: &context.account.identity,
        item: context.claimed.id(),
        ownership: context.account.ownership.as_ref(),
        window: order.window,
        open_since: open_days(&statements),
        day_before: !ledger
            .statements(lane, &day_before, &day_before)
            .await?
            .is_empty(),
        day_after: !ledger
            .statements(lane, &day_after, &day_after)
            .await?
            .is_empty(),
        ends,
        fee_rate: order.fee_rate,
        until: context.claimed.lease_until,
    };
    let item = ledger
        .item(context.item)
        .await?
        .ok_or(ReconcileFailure::NoItem)?;
    let mut found = Findings::default();
    lines::read(&context, &statements, &mut found).await?;
    items::look(&context, &mut found).await?;
    found.sort();
    follow_up::keep(&context, &mut found).await?;
    found.sort_kept();
    log_new(&context, &found);
    let about = report::ReportHeading {
        lane,
        from: &context.ends.0,
        to: &context.ends.1,
        run: item.run_id,
        made_at: clock.now(),
        zone,
    };
    let written = report::write(files, &about, &found).await?;
    let state = if found.new_and_open() > 0 {
        OwnCode::Different
    } else if found.open() + found.carried_count > 0 {
        OwnCode::Known
    } else {
        OwnCode::Matched
    };
    let mut observation = observed(state, facts(&found, &written));
    observation.receipt = Some(written.digest);
    Ok(observation)
}

/// Money may have moved against what is known: whoever reads the log hears of each once.
fn log_new(context: &ReconcileContext<'_>, found: &Findings) {
    let kept = found.differences.iter().zip(&found.kept);
    let news = kept.filter(|(difference, kept)| {
        difference.reason == DifferenceReason::State
            && kept.is_new
            && kept.state == DifferenceState::Open
    });
    for (difference, kept) in news.take(LOGGED) {
        tracing::error!(
            lane.name = context.lane,
            difference.id = kept.id,
            item.id = difference.item,
            item.state = difference.our_state.map(payrun_domain::item::State::as_str),
            statement.day = difference.day,
            statement.line = difference.line,
            "{}; look at it before anything else is sent",
            difference.detail
        );
    }
}

impl ReconcileContext<'_> {
    /// As what items of a kind stand in statements.
    fn side(&self, kind: &str) -> LineKind {
        if self.items.refunds.contains(&kind) {
            LineKind::Refund
        } else {
            LineKind::Payment
        }
    }

    async fn listed(
        &self,
        by: NumberKind,
        kinds: &[LineKind],
        numbers: &[&str],
    ) -> Result<HashMap<String, ListedNumber>, LedgerError> {
        if numbers.is_empty() {
            return Ok(HashMap::new());
        }
        self.ledger
            .listed(self.lane, (&self.ends.0, &self.ends.1), by, kinds, numbers)
            .await
    }

    /// Whether the statement of a day was fetched before this instant, and before the day was over.
    fn fetched_before(&self, day: &str, at: Timestamp) -> bool {
        self.open_since
            .get(day)
            .is_some_and(|fetched_at| *fetched_at <= at)
    }

    /// Somebody else may have taken the item over once the claim has ended.
    fn still_in_time(&self) -> Result<(), ReconcileFailure> {
        if self.clock.now() < self.until {
            Ok(())
        } else {
            Err(ReconcileFailure::TooLong)
        }
    }
}

/// The days whose statements were fetched before they were over, and when.
fn open_days(statements: &[StatementRow]) -> HashMap<String, Timestamp> {
    let is_open = |row: &&StatementRow| {
        DayRange::parse(&row.day, &row.day).is_ok_and(|day| row.fetched_at < day.span().until)
    };
    statements
        .iter()
        .filter(is_open)
        .map(|row| (row.day.clone(), row.fetched_at))
        .collect()
}

fn missing(window: DayRange, there: &[StatementRow]) -> Vec<String> {
    window
        .days()
        .filter(|day| {
            there
                .binary_search_by(|row| row.day.as_str().cmp(day))
                .is_err()
        })
        .collect()
}

fn observed(state: OwnCode, facts: Map<String, Value>) -> Observation {
    let mut observation = Observation::of(Delivery::Replied);
    observation.state = Some(state.to_string());
    observation.evidence = Value::Object(facts.clone()).to_string();
    observation.result = facts;
    observation
}

/// What the item's result says: counts, sums and where the report is.
fn facts(found: &Findings, written: &report::ReportFiles) -> Map<String, Value> {
    let counts = [
        ("lines", found.counts.lines),
        ("matched_lines", found.counts.matched_lines),
        ("items", found.counts.items),
        ("closed_by_statement", found.closed_count),
        ("lines_of_others", found.counts.lines_of_others),
        ("differences", found.count()),
        ("open_differences", found.open()),
        ("new_differences", found.new_and_open()),
        ("earlier_differences", found.carried_count),
        ("closed_differences", found.closed_differences),
    ];
    let mut facts: Map<String, Value> = counts
        .map(|(name, count)| (name.to_owned(), json!(count)))
        .into_iter()
        .collect();
    for reason in DifferenceReason::ALL {
        facts.insert(
            reason.as_str().to_owned(),
            json!(found.reasons.get(&reason).copied().unwrap_or_default()),
        );
    }
    facts.insert("sums".to_owned(), report::sums(found));
    for (name, location) in [
        ("report_csv", &written.csv),
        ("report_json", &written.json),
        ("report_html", &written.html),
    ] {
        facts.insert(name.to_owned(), json!(location));
    }
    facts
}
