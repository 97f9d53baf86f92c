//! From our side: every item that succeeded and was sent in these days, against the statements it
//! should stand in.

use std::collections::HashMap;

use super::day_range::{BORDER, day_sent};
use super::findings::Findings;
use super::{ReconcileContext, ReconcileFailure};
use payrun_domain::difference::DifferenceReason;
use payrun_ledger::{
    BookedItem, Difference, LedgerError, LineKind, ListedNumber, NumberKind, TimeSpan,
};

/// How many items, or jobs, are read at a time.
const PAGE: u32 = 500;

/// Looks for all items that were sent in these days, and in the hour before: those may stand in the
/// first of them.
pub(super) async fn look(
    context: &ReconcileContext<'_>,
    found: &mut Findings,
) -> Result<(), ReconcileFailure> {
    let span = context.window.span();
    let sent = TimeSpan {
        from: span.from.minus(BORDER),
        until: span.until,
    };
    let kinds: Vec<&str> = context
        .items
        .payments
        .iter()
        .chain(&context.items.refunds)
        .copied()
        .collect();
    let mut after_job = 0;
    loop {
        let jobs = context
            .ledger
            .jobs_sending(context.lane, &kinds, sent, after_job, PAGE)
            .await?;
        let Some(last) = jobs.last() else {
            return Ok(());
        };
        after_job = last.id;
        for job in &jobs {
            let side = context.side(&job.kind);
            let mut after = 0;
            loop {
                context.still_in_time()?;
                let items = context
                    .ledger
                    .succeeded_items(job, sent, after, PAGE)
                    .await?;
                let Some(last) = items.last() else { break };
                after = last.id;
                page(context, side, &items, found).await?;
            }
        }
    }
}

async fn page(
    context: &ReconcileContext<'_>,
    side: LineKind,
    items: &[BookedItem],
    found: &mut Findings,
) -> Result<(), LedgerError> {
    let listed = ItemPlaces::of(context, side, items).await?;
    for item in items {
        judge(context, side, item, listed.place(item), found)?;
    }
    Ok(())
}

/// Where the items of a page stand in statements.
pub(super) struct ItemPlaces {
    by_number: HashMap<String, ListedNumber>,
    by_receipt: HashMap<String, ListedNumber>,
}

impl ItemPlaces {
    pub async fn of(
        context: &ReconcileContext<'_>,
        side: LineKind,
        items: &[BookedItem],
    ) -> Result<Self, LedgerError> {
        let numbers: Vec<String> = items
            .iter()
            .flat_map(BookedItem::numbers)
            .map(|number| number.as_str().to_owned())
            .collect();
        let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
        let is_refund = side == LineKind::Refund;
        let (by, kinds): (_, &[LineKind]) = if is_refund {
            (NumberKind::Refund, &[LineKind::Refund])
        } else {
            (NumberKind::Order, &[LineKind::Payment, LineKind::Reversal])
        };
        let receipts: Vec<&str> = items
            .iter()
            .filter(|_| is_refund)
            .filter_map(|item| item.receipt.as_deref())
            .collect();
        Ok(Self {
            by_number: context.listed(by, kinds, &numbers).await?,
            by_receipt: context
                .listed(NumberKind::RefundId, &[LineKind::Refund], &receipts)
                .await?,
        })
    }

    /// Where an item stands: in these days if at all.
    pub fn place(&self, item: &BookedItem) -> Option<&ListedNumber> {
        let of_receipt = item
            .receipt
            .as_ref()
            .and_then(|receipt| self.by_receipt.get(receipt));
        let places = item
            .numbers()
            .filter_map(|number| self.by_number.get(number.as_str()))
            .chain(of_receipt);
        places.max_by_key(|listed| listed.inside)
    }
}

fn judge(
    context: &ReconcileContext<'_>,
    side: LineKind,
    item: &BookedItem,
    listed: Option<&ListedNumber>,
    found: &mut Findings,
) -> Result<(), LedgerError> {
    let Some(sent_at) = item.sent_at else {
        return Ok(());
    };
    let span = context.window.span();
    let day = day_sent(item.id, sent_at)?;
    if sent_at < span.from {
        // Of the day before: only what stands nowhere is news, once that day's statement is there.
        if listed.is_none() && context.day_before {
            let detail = "it was sent in the hour before these days";
            found.differs(difference(
                DifferenceReason::MissingThere,
                detail.to_owned(),
                &day,
                side,
                item,
            ));
        }
        return Ok(());
    }
    found.counts.items += 1;
    if let Some(amount) = item.amount {
        let totals = found.of(&day, amount.currency());
        let sum = if side == LineKind::Refund {
            &mut totals.our_refunds
        } else {
            &mut totals.our_payments
        };
        sum.add(amount.minor());
    }
    let late = sent_at >= span.until.minus(BORDER) && !context.day_after;
    let early = sent_at < span.from.plus(BORDER) && !context.day_before;
    match listed {
        Some(listed) if listed.inside => found.counts.listed_items += 1,
        Some(listed) => {
            let detail = format!("it stands in the statement of {}", listed.first.day);
            found.differs(difference(
                DifferenceReason::Timing,
                detail,
                &day,
                side,
                item,
            ));
        }
        None if late || early => {
            let beside = if late { "after" } else { "before" };
            let detail = format!(
                "it was sent near midnight, and the statement of the day {beside} is not there"
            );
            found.differs(difference(
                DifferenceReason::Timing,
                detail,
                &day,
                side,
                item,
            ));
        }
        None if context.fetched_before(&day, sent_at) => {
            let detail =
                "it was sent after the statement of its day was fetched, when the day was not over";
            found.differs(difference(
                DifferenceReason::Timing,
                detail.to_owned(),
                &day,
                side,
                item,
            ));
        }
        None => found.differs(difference(
            DifferenceReason::MissingThere,
            String::new(),
            &day,
            side,
            item,
        )),
    }
    Ok(())
}

pub(super) fn difference(
    reason: DifferenceReason,
    detail: String,
    day: &str,
    side: LineKind,
    item: &BookedItem,
) -> Difference {
    let number = item
        .number(item.generation)
        .map(|number| number.as_str().to_owned())
        .unwrap_or_default();
    let (order_no, refund_no) = if side == LineKind::Refund {
        (String::new(), number)
    } else {
        (number, String::new())
    };
    Difference {
        reason,
        day: day.to_owned(),
        kind: side,
        order_no,
        refund_no,
        transaction_id: item.receipt.clone().unwrap_or_default(),
        ours: item.amount,
        theirs: None,
        our_state: Some(item.state),
        their_state: String::new(),
        item: Some(item.id),
        line: None,
        total: None,
        detail,
    }
}
