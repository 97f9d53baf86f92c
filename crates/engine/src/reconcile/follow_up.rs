//! The life of differences from one reconciliation to the next: what was found is kept, each once;
//! what earlier ones found is looked at again, and closed where the evidence has come since.
//!
//! What cannot be looked at again, since its statement has gone or a check is not made this time,
//! stays as it is.

use payrun_domain::difference::SummaryRemark;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::day_range::{BORDER, DayRange, day_sent};
use super::findings::Findings;
use super::items::{self, ItemPlaces};
use super::lines::{self, BookedItems};
use super::{ReconcileContext, ReconcileFailure};
use payrun_domain::difference::{DifferenceReason, DifferenceState};
use payrun_domain::item::State;
use payrun_ledger::{
    BookedItem, Difference, DifferenceFilter, DifferenceRow, KeptDifference, LedgerError,
    StatementLine, StatementRow,
};

/// How many differences are kept, or looked at again, at a time.
const PAGE: u32 = 500;

/// Keeps what was found in the ledger, then looks at everything that earlier reconciliations of the
/// account left open or explained.
pub(super) async fn keep(
    context: &ReconcileContext<'_>,
    found: &mut Findings,
) -> Result<(), ReconcileFailure> {
    for page in found.differences.chunks(PAGE as usize) {
        context.still_in_time()?;
        let now = context.clock.now();
        let kept = context
            .ledger
            .keep_differences(context.lane, page, context.item, now)
            .await?;
        found.kept.extend(kept);
    }
    let mut kept: HashSet<i64> = found.kept.iter().map(|kept| kept.id).collect();
    for state in DifferenceState::FOLLOWED {
        let filter = DifferenceFilter {
            states: vec![state],
            lane: Some(context.lane.to_owned()),
            ..DifferenceFilter::default()
        };
        let mut after = 0;
        loop {
            context.still_in_time()?;
            let mut page = context
                .ledger
                .list_differences(&filter, after, PAGE)
                .await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            page.retain(|row| !kept.contains(&row.id));
            follow(context, page, &mut kept, found).await?;
        }
    }
    Ok(())
}

/// What is to become of differences that were looked at again.
#[derive(Default)]
struct FollowUpResult {
    /// To be closed, by the evidence.
    closed: BTreeMap<String, Vec<DifferenceRow>>,
    /// As they were.
    stay: Vec<DifferenceRow>,
    /// What there is in their place, or still.
    found: Vec<Difference>,
}

impl FollowUpResult {
    fn close(&mut self, row: DifferenceRow, evidence: impl Into<String>) {
        self.closed.entry(evidence.into()).or_default().push(row);
    }
}

/// Looks at a page of rows that this reconciliation has not found in its own days.
async fn follow(
    context: &ReconcileContext<'_>,
    page: Vec<DifferenceRow>,
    known: &mut HashSet<i64>,
    found: &mut Findings,
) -> Result<(), ReconcileFailure> {
    let mut followed = FollowUpResult::default();
    let (inside, earlier): (Vec<_>, Vec<_>) = page
        .into_iter()
        .partition(|row| is_inside(context, &row.difference.day));
    let evidence = format!(
        "the reconciliation of {} to {} does not find it any more",
        context.ends.0, context.ends.1
    );
    let of_others = lines::of_others(context, &inside).await?;
    for row in inside {
        let evidence = if of_others.contains(&row.id) {
            lines::others_evidence(context)
        } else {
            evidence.clone()
        };
        let was_looked_for =
            found.not_listed() == 0 && can_be_judged(context, row.difference.reason);
        if was_looked_for {
            followed.close(row, evidence);
        } else {
            followed.stay.push(row);
        }
    }
    judge_again(context, earlier, &mut followed).await?;
    let now = context.clock.now();
    for (evidence, rows) in &followed.closed {
        found.closed_differences += context
            .ledger
            .differences_not_found(rows, evidence, now)
            .await?;
    }
    let kept = context
        .ledger
        .keep_differences(context.lane, &followed.found, context.item, now)
        .await?;
    // What took the place of an earlier one is news of this reconciliation.
    for (difference, kept) in followed.found.into_iter().zip(kept) {
        if known.insert(kept.id) {
            found.differs_and_is_kept(difference, kept);
        }
    }
    for row in followed.stay {
        if row.found_in == context.item {
            let kept = KeptDifference {
                id: row.id,
                state: row.state,
                owner: row.owner,
                is_new: true,
            };
            found.differs_and_is_kept(row.difference, kept);
        } else if row.state == DifferenceState::Open {
            found.carries(row);
        }
    }
    Ok(())
}

fn is_inside(context: &ReconcileContext<'_>, day: &str) -> bool {
    (context.ends.0.as_str()..=context.ends.1.as_str()).contains(&day)
}

/// Whether a statement still says of the same total that it differs.
fn is_said(remarks: &[SummaryRemark], difference: &Difference) -> bool {
    let mut totals = remarks.iter().map(|remark| &remark.total);
    totals.any(|total| difference.total.as_ref() == Some(total))
}

/// Whether this reconciliation looks for such a difference at all.
fn can_be_judged(context: &ReconcileContext<'_>, reason: DifferenceReason) -> bool {
    reason != DifferenceReason::Fee || context.fee_rate.is_some()
}

/// Compares again what differed on other days than those that are reconciled.
async fn judge_again(
    context: &ReconcileContext<'_>,
    rows: Vec<DifferenceRow>,
    followed: &mut FollowUpResult,
) -> Result<(), ReconcileFailure> {
    if rows.is_empty() {
        return Ok(());
    }
    let statements = Statements::of(context, &rows).await?;
    let with_line: Vec<&DifferenceRow> = rows
        .iter()
        .filter(|row| row.difference.line.is_some())
        .collect();
    let lines = context.ledger.lines_of_differences(&with_line).await?;
    let of_page: Vec<StatementLine> = lines.values().cloned().collect();
    let books = BookedItems::of(context, &of_page).await?;
    let of_items = rows
        .iter()
        .filter(|row| row.difference.line.is_none())
        .filter_map(|row| row.difference.item);
    let items = EarlierItems::of(context, &of_items.collect::<Vec<_>>()).await?;
    for row in rows {
        let difference = &row.difference;
        if !can_be_judged(context, difference.reason) {
            followed.stay.push(row);
        } else if difference.line.is_some() {
            match lines.get(&row.id) {
                Some(line) => judge_line(context, row, line, &books, followed).await?,
                None => followed.stay.push(row),
            }
        } else if difference.reason == DifferenceReason::Summary {
            match statements.by_day.get(&difference.day) {
                Some(statement) if !is_said(&statement.remarks, difference) => {
                    followed.close(row, "its statement has other totals now");
                }
                Some(_) | None => followed.stay.push(row),
            }
        } else {
            judge_item(context, row, &items, &statements, followed)?;
        }
    }
    Ok(())
}

async fn judge_line(
    context: &ReconcileContext<'_>,
    row: DifferenceRow,
    line: &StatementLine,
    books: &BookedItems,
    followed: &mut FollowUpResult,
) -> Result<(), LedgerError> {
    let mut now = Findings::default();
    lines::judge(context, &row.difference.day, line, books, &mut now).await?;
    let is_still = |found: &Difference| found.is_same(&row.difference, context.lane);
    if let Some(found) = now.differences.iter().find(|found| is_still(found)) {
        if found.reason == row.difference.reason {
            followed.stay.push(row);
        } else {
            followed.found.extend(now.differences);
        }
        return Ok(());
    }
    let evidence = match now.differences.first() {
        None if now.closed_count > 0 => "its line closed the item".to_owned(),
        None if now.counts.lines_of_others > 0 => lines::others_evidence(context),
        None => "its line and its item agree".to_owned(),
        Some(other) => format!("it is another difference now: {}", other.reason),
    };
    followed.found.extend(now.differences);
    followed.close(row, evidence);
    Ok(())
}

/// An item that stood in no statement: it may since, or it may be none that should.
fn judge_item(
    context: &ReconcileContext<'_>,
    row: DifferenceRow,
    items: &EarlierItems,
    statements: &Statements,
    followed: &mut FollowUpResult,
) -> Result<(), LedgerError> {
    let item = row.difference.item.and_then(|id| items.by_id.get(&id));
    let Some((item, place)) = item else {
        followed.stay.push(row);
        return Ok(());
    };
    if let Some(place) = place {
        let evidence = format!("it stands in the statement of {}", place.as_str());
        followed.close(row, evidence);
    } else if item.state != State::Succeeded {
        let evidence = format!("the item is {}", item.state);
        followed.close(row, evidence);
    } else if row.difference.reason == DifferenceReason::Timing && statements.lack(item)? {
        let detail = "the statements of the days beside do not have it either".to_owned();
        let day = row.difference.day.clone();
        let side = context.side(&item.kind);
        let missing = items::difference(DifferenceReason::MissingThere, detail, &day, side, item);
        followed.found.push(missing);
        followed.close(row, "no statement has it: it is missing_there now");
    } else {
        followed.stay.push(row);
    }
    Ok(())
}

/// Items of differences, and the day of a statement that they stand in.
struct EarlierItems {
    by_id: HashMap<i64, (BookedItem, Option<String>)>,
}

impl EarlierItems {
    async fn of(context: &ReconcileContext<'_>, ids: &[i64]) -> Result<Self, LedgerError> {
        let mut by_side = BTreeMap::<_, Vec<BookedItem>>::new();
        for item in context.ledger.booked_items(ids).await? {
            by_side
                .entry(context.side(&item.kind))
                .or_default()
                .push(item);
        }
        let mut by_id = HashMap::new();
        for (side, items) in by_side {
            let places = ItemPlaces::of(context, side, &items).await?;
            by_id.extend(items.into_iter().map(|item| {
                let day = places.place(&item).map(|listed| listed.first.day.clone());
                (item.id, (item, day))
            }));
        }
        Ok(Self { by_id })
    }
}

/// The statements of the days of differences, and of the days beside.
struct Statements {
    by_day: HashMap<String, StatementRow>,
}

impl Statements {
    async fn of(
        context: &ReconcileContext<'_>,
        rows: &[DifferenceRow],
    ) -> Result<Self, LedgerError> {
        let days: HashSet<&str> = rows.iter().map(|row| &*row.difference.day).collect();
        let mut by_day = HashMap::new();
        for day in days {
            let Ok(range) = DayRange::parse(day, day) else {
                continue;
            };
            let (before, after) = range.neighbours();
            let statements = context
                .ledger
                .statements(context.lane, &before, &after)
                .await?;
            by_day.extend(statements.into_iter().map(|row| (row.day.clone(), row)));
        }
        Ok(Self { by_day })
    }

    /// Whether an item that stands in no statement would stand in one that is there.
    fn lack(&self, item: &BookedItem) -> Result<bool, LedgerError> {
        let Some(sent_at) = item.sent_at else {
            return Ok(false);
        };
        let day = day_sent(item.id, sent_at)?;
        Ok(DayRange::parse(&day, &day).is_ok_and(|days| self.are_whole(days, sent_at)))
    }

    /// Whether every statement in which something that was sent then could stand is there, and was
    /// fetched after its day.
    fn are_whole(&self, day: DayRange, sent_at: payrun_domain::time::Timestamp) -> bool {
        let (before, after) = day.neighbours();
        let (span, own) = (day.span(), day.ends().0);
        let mut needed = vec![own];
        needed.extend((sent_at < span.from.plus(BORDER)).then_some(before));
        needed.extend((sent_at >= span.until.minus(BORDER)).then_some(after));
        needed.iter().all(|day| {
            let ends = DayRange::parse(day, day).map(|day| day.span().until);
            let statement = self.by_day.get(day);
            statement.is_some_and(|row| ends.is_ok_and(|until| row.fetched_at >= until))
        })
    }
}
