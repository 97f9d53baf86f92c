//! From the gateway's side: every line of the statements, a page at a time, against the item it
//! names.

use payrun_domain::difference::SummaryRemark;
use std::collections::{HashMap, HashSet};

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::findings::{ClosedItem, CurrencyTotals, Findings, ReconcileCounts};
use super::line_verdict::{
    EARLIER, LineOutcome, LineVerdict, OtherFee, other_fee, receipt, shown, verdict,
};
use super::named_items::{NamedItems, nameless, numbers};
use super::{ReconcileContext, ReconcileFailure};
use payrun_domain::answer::Receipt;
use payrun_domain::difference::DifferenceReason;
use payrun_domain::ids::{KeyHash, OrderNumber};
use payrun_domain::item::State;
use payrun_domain::money::Amount;
use payrun_ledger::{
    BookedItem, Difference, DifferenceRow, EvidenceOutcome, LedgerError, LineKind, LineRef,
    ListedNumber, NumberKind, StatementEvidence, StatementLine, StatementRow,
};
use payrun_project::config::OthersRule;

/// How many lines are read at a time.
const PAGE: u32 = 500;

/// Reads all lines of the statements.
pub(super) async fn read(
    context: &ReconcileContext<'_>,
    statements: &[StatementRow],
    found: &mut Findings,
) -> Result<(), ReconcileFailure> {
    for statement in statements {
        statement
            .remarks
            .iter()
            .for_each(|remark| found.differs(of_summary(&statement.day, remark)));
        let mut after = 0;
        loop {
            context.still_in_time()?;
            let page = context
                .ledger
                .statement_lines(statement.id, after, PAGE)
                .await?;
            let Some(last) = page.last() else { break };
            after = last.line;
            let books = BookedItems::of(context, &page).await?;
            for line in &page {
                let is_others = others_rule(context, line, &books).is_some();
                count(&statement.day, line, is_others, found);
                judge(context, &statement.day, line, &books, found).await?;
            }
        }
    }
    Ok(())
}

/// What is done with a line for which there is no item and that another system must explain; none if
/// payrun must.
fn others_rule(
    context: &ReconcileContext<'_>,
    line: &StatementLine,
    books: &BookedItems,
) -> Option<OthersRule> {
    let ownership = context.ownership?;
    books
        .items
        .is_others(line, ownership)
        .then_some(ownership.others)
}

/// Why a line is another system's, for people.
pub(super) fn others_evidence(context: &ReconcileContext<'_>) -> String {
    format!(
        "by `ours` and `others` of {} in payrun.yaml it is another system's",
        context.lane
    )
}

/// Which of these differences are lines that another system must explain.
pub(super) async fn of_others(
    context: &ReconcileContext<'_>,
    rows: &[DifferenceRow],
) -> Result<HashSet<i64>, LedgerError> {
    if context.ownership.is_none() {
        return Ok(HashSet::new());
    }
    let rows: Vec<&DifferenceRow> = rows.iter().collect();
    let lines = context.ledger.lines_of_differences(&rows).await?;
    let page: Vec<StatementLine> = lines.values().cloned().collect();
    let books = BookedItems::of(context, &page).await?;
    let others = lines
        .iter()
        .filter(|(_, line)| others_rule(context, line, &books).is_some());
    Ok(others.map(|(id, _)| *id).collect())
}

/// A total that is not what the lines come to.
pub(super) fn of_summary(day: &str, remark: &SummaryRemark) -> Difference {
    Difference {
        reason: DifferenceReason::Summary,
        day: day.to_owned(),
        kind: LineKind::Other,
        order_no: String::new(),
        refund_no: String::new(),
        transaction_id: String::new(),
        ours: None,
        theirs: None,
        our_state: None,
        their_state: String::new(),
        item: None,
        line: None,
        total: Some(remark.total.clone()),
        detail: remark.says.clone(),
    }
}

/// What the lines of a page are held against.
pub(super) struct BookedItems {
    items: NamedItems,
    /// The payments that items of ours have taken back.
    taken_back: HashSet<String>,
    /// Where a number stands for the first time.
    first: HashMap<(LineKind, bool, String), ListedNumber>,
}

impl BookedItems {
    pub async fn of(
        context: &ReconcileContext<'_>,
        page: &[StatementLine],
    ) -> Result<Self, LedgerError> {
        let mut first = HashMap::new();
        for kind in [LineKind::Payment, LineKind::Reversal] {
            let orders = numbers(page, &[kind], |line| &line.order_no);
            let listed = context.listed(NumberKind::Order, &[kind], &orders).await?;
            first.extend(
                listed
                    .into_iter()
                    .map(|(number, listed)| ((kind, false, number), listed)),
            );
        }
        let refunds = numbers(page, &[LineKind::Refund], |line| &line.refund_no);
        let ids: Vec<&str> = nameless(page)
            .into_iter()
            .map(|(_, id)| id)
            .filter(|id| !id.is_empty())
            .collect();
        for (by, numbers) in [(NumberKind::Refund, &refunds), (NumberKind::RefundId, &ids)] {
            let listed = context.listed(by, &[LineKind::Refund], numbers).await?;
            let by_id = by == NumberKind::RefundId;
            first.extend(
                listed
                    .into_iter()
                    .map(|(number, listed)| ((LineKind::Refund, by_id, number), listed)),
            );
        }
        let reversals = numbers(page, &[LineKind::Reversal], |line| &line.order_no);
        Ok(Self {
            items: NamedItems::of(&context.items, page).await?,
            taken_back: taken_back(context, &reversals).await?,
            first,
        })
    }

    fn item(&self, line: &StatementLine) -> Option<&BookedItem> {
        self.items.item(line)
    }

    /// Whether the number stood in a statement before this line.
    fn stood_before(&self, day: &str, line: &StatementLine) -> bool {
        let by_id = line.kind == LineKind::Refund && line.refund_no.is_empty();
        let number = match line.kind {
            LineKind::Refund if by_id => &line.refund_id,
            LineKind::Refund => &line.refund_no,
            LineKind::Payment | LineKind::Reversal | LineKind::Other => &line.order_no,
        };
        let first = self.first.get(&(line.kind, by_id, number.clone()));
        first
            .is_some_and(|listed| (listed.first.day.as_str(), listed.first.line) < (day, line.line))
    }
}

/// Of these payments, those that an item of ours has taken back under the key that its kind makes.
async fn taken_back(
    context: &ReconcileContext<'_>,
    orders: &[&str],
) -> Result<HashSet<String>, LedgerError> {
    let mut by_key = HashMap::new();
    for kind in &context.reversals {
        let keys = orders.iter().flat_map(|order| {
            kind.keys_about(order)
                .into_iter()
                .map(move |key| (key, *order))
        });
        by_key.extend(
            keys.map(|(key, order)| (KeyHash::of(context.account, &kind.name, &key), order)),
        );
    }
    if by_key.is_empty() {
        return Ok(HashSet::new());
    }
    let kinds: Vec<&str> = context
        .reversals
        .iter()
        .map(|kind| kind.name.as_str())
        .collect();
    let items = context
        .ledger
        .items_with_keys(context.lane, &kinds, by_key.keys().copied().collect())
        .await?;
    let succeeded = items.iter().filter(|item| item.state == State::Succeeded);
    Ok(succeeded
        .filter_map(|item| by_key.get(&item.key()).map(|order| (*order).to_owned()))
        .collect())
}

/// What the gateway says it took, gave back, keeps and settles.
fn count(day: &str, line: &StatementLine, is_others: bool, found: &mut Findings) {
    let ReconcileCounts {
        lines, other_lines, ..
    } = &mut found.counts;
    *lines += 1;
    type Side = fn(&mut CurrencyTotals) -> &mut super::findings::CountAndSum;
    let (side, others): (Side, Side) = match line.kind {
        LineKind::Payment => (
            |totals| &mut totals.their_payments,
            |totals| &mut totals.others_payments,
        ),
        LineKind::Refund => (
            |totals| &mut totals.their_refunds,
            |totals| &mut totals.others_refunds,
        ),
        LineKind::Reversal => return,
        LineKind::Other => {
            *other_lines += 1;
            return;
        }
    };
    if let Some(amount) = line.amount.filter(|_| shown(line) != LineOutcome::DidNot) {
        side(found.of(day, amount.currency())).add(amount.minor());
        if is_others {
            others(found.of(day, amount.currency())).add(amount.minor());
        }
    }
    if let Some((minor, currency)) = line.fee {
        found.of(day, currency).fees.add(minor);
    }
    if let Some((minor, currency)) = line.settled {
        found.of(day, currency).net.add(minor);
    }
}

/// Compares a line with its item.
pub(super) async fn judge(
    context: &ReconcileContext<'_>,
    day: &str,
    line: &StatementLine,
    books: &BookedItems,
    found: &mut Findings,
) -> Result<(), LedgerError> {
    let item = books.item(line);
    match others_rule(context, line, books) {
        None => {}
        Some(OthersRule::Ignore) => {
            found.counts.lines_of_others += 1;
            return Ok(());
        }
        Some(OthersRule::List) => {
            let rule = others_evidence(context);
            found.differs(difference(DifferenceReason::Others, &rule, day, line, None));
            return Ok(());
        }
    }
    if line.kind != LineKind::Other && books.stood_before(day, line) {
        found.differs(difference(
            DifferenceReason::DuplicateLine,
            "",
            day,
            line,
            item,
        ));
        return Ok(());
    }
    match verdict(line, item, books.taken_back.contains(&line.order_no)) {
        LineVerdict::NotCompared => return Ok(()),
        LineVerdict::Agrees => found.counts.matched_lines += 1,
        LineVerdict::Differs(reason, detail) => {
            found.differs(difference(reason, detail, day, line, item));
            return Ok(());
        }
        LineVerdict::Alarm(detail) => {
            found.differs(difference(DifferenceReason::State, detail, day, line, item));
            return Ok(());
        }
        LineVerdict::Evidence => match item {
            Some(item) if apply_evidence(context, day, line, item, found).await? => {}
            Some(_) | None => return Ok(()),
        },
    }
    let span = context.window.span();
    let inside = item
        .and_then(|item| item.sent_at)
        .is_some_and(|at| span.from <= at && at < span.until);
    found.counts.lines_of_other_days += u64::from(!inside);
    if let Some(other) = context.fee_rate.and_then(|rate| other_fee(line, rate)) {
        found.differs(fee_difference(day, line, item, &other));
    }
    Ok(())
}

/// Puts the line to the item's state machine; says whether they agree now.
async fn apply_evidence(
    context: &ReconcileContext<'_>,
    day: &str,
    line: &StatementLine,
    item: &BookedItem,
    found: &mut Findings,
) -> Result<bool, LedgerError> {
    let number = if line.kind == LineKind::Refund {
        &line.refund_no
    } else {
        &line.order_no
    };
    let order_no = OrderNumber::parse(number)
        .ok()
        .or_else(|| item.number(item.generation));
    let (Some(order_no), Some(amount)) = (order_no, line.amount) else {
        return Ok(false);
    };
    let receipt = Receipt(receipt(line).to_owned());
    let now = context.clock.now();
    let shown = StatementEvidence {
        day: day.to_owned(),
        line: line.line,
        order_no,
        receipt,
        amount,
        now,
    };
    match context.ledger.apply_statement_line(item.id, &shown).await? {
        EvidenceOutcome::Closed => {
            let place = LineRef {
                day: day.to_owned(),
                line: line.line,
            };
            found.closes(ClosedItem {
                item: item.id,
                was: item.state,
                place,
            });
            Ok(true)
        }
        // Its call was answered meanwhile.
        EvidenceOutcome::Unchanged(State::Succeeded) => {
            found.counts.matched_lines += 1;
            Ok(true)
        }
        EvidenceOutcome::Contradicted if item.state == State::Planned => {
            let detail = "money moved for an item that waited to be sent: it will not be sent";
            found.differs(difference(
                DifferenceReason::State,
                detail,
                day,
                line,
                Some(item),
            ));
            Ok(false)
        }
        EvidenceOutcome::Contradicted | EvidenceOutcome::Unchanged(_) => {
            let is_earlier = item.state.is_in_flight() && !item.is_in_use(shown.order_no.as_str());
            let detail = if is_earlier {
                EARLIER
            } else {
                "money moved for an item that says it did not"
            };
            found.differs(difference(
                DifferenceReason::State,
                detail,
                day,
                line,
                Some(item),
            ));
            Ok(false)
        }
    }
}

/// Both sides are fees: what the rate gives, to the minor unit, and what the line has.
fn fee_difference(
    day: &str,
    line: &StatementLine,
    item: Option<&BookedItem>,
    other: &OtherFee,
) -> Difference {
    let text = |minor: Decimal| {
        let main = minor * Decimal::new(1, other.currency.exponent());
        main.normalize().to_string()
    };
    let amount = |minor: Option<i64>| Amount::from_minor(minor?, other.currency).ok();
    let fee = line
        .fee
        .map_or("none".to_owned(), |(minor, _)| text(Decimal::from(minor)));
    Difference {
        ours: amount(other.expected.round().to_i64()),
        theirs: amount(Some(other.fee)),
        detail: format!("the fee is {fee}, the rate gives {}", text(other.expected)),
        ..difference(DifferenceReason::Fee, "", day, line, item)
    }
}

fn difference(
    reason: DifferenceReason,
    detail: &str,
    day: &str,
    line: &StatementLine,
    item: Option<&BookedItem>,
) -> Difference {
    Difference {
        reason,
        day: day.to_owned(),
        kind: line.kind,
        order_no: line.order_no.clone(),
        refund_no: line.refund_no.clone(),
        transaction_id: receipt(line).to_owned(),
        ours: item.and_then(|item| item.amount),
        theirs: line.amount,
        our_state: item.map(|item| item.state),
        their_state: line.state.clone(),
        item: item.map(|item| item.id),
        line: Some(line.line),
        total: None,
        detail: detail.to_owned(),
    }
}
