//! The report for programs. Amounts are decimal text in main units.

use serde_json::{Map, Value, json};

use super::{ReportHeading, counted};
use crate::reconcile::findings::{CurrencyTotals, Findings, ListedDifference};
use payrun_domain::difference::DifferenceReason;
use payrun_domain::item::State;
use payrun_domain::money::Amount;
use payrun_domain::text::escaped;

/// The most differences, and the most closed items, that stand in it.
const LISTED: usize = 10_000;

/// The whole report.
pub(super) fn report(about: &ReportHeading<'_>, found: &Findings) -> String {
    let days = found.totals.iter().map(|((day, code), day_totals)| {
        let mut entry = totals(code, day_totals);
        entry["day"] = json!(day);
        entry["currency"] = json!(code);
        entry
    });
    let reasons: Map<String, Value> = DifferenceReason::ALL
        .iter()
        .map(|reason| {
            (
                reason.as_str().to_owned(),
                json!(found.reasons.get(reason).copied().unwrap_or_default()),
            )
        })
        .collect();
    let differences: Vec<Value> = found.listed().take(LISTED).map(difference).collect();
    let earlier: Vec<Value> = found.earlier().take(LISTED).map(difference).collect();
    let closed: Vec<Value> = found
        .closed
        .iter()
        .take(LISTED)
        .map(|closed| {
            let (was, place) = (closed.was.as_str(), &closed.place);
            json!({ "item": closed.item, "was": was, "day": place.day, "line": place.line })
        })
        .collect();
    let is_less = |listed: usize, all: u64| u64::try_from(listed).is_ok_and(|listed| listed < all);
    let report = json!({
        "account": about.lane,
        "from": about.from,
        "to": about.to,
        "verdict": if found.open() + found.carried_count == 0 { "matched" } else { "different" },
        "counts": {
            "lines": found.counts.lines,
            "matched_lines": found.counts.matched_lines,
            "lines_of_other_days": found.counts.lines_of_other_days,
            "other_lines": found.counts.other_lines,
            "lines_of_others": found.counts.lines_of_others,
            "items": found.counts.items,
            "listed_items": found.counts.listed_items,
            "closed_by_statement": found.closed_count,
            "differences": found.count(),
            "open_differences": found.open(),
            "new_differences": found.new_and_open(),
            "earlier_differences": found.carried_count,
            "closed_differences": found.closed_differences,
        },
        "reasons": reasons,
        "sums": super::sums(found),
        "days": days.collect::<Vec<_>>(),
        "differences_cut": is_less(differences.len(), found.count()),
        "differences": differences,
        "earlier_differences_cut": is_less(earlier.len(), found.carried_count),
        "earlier_differences": earlier,
        "closed_by_statement_cut": is_less(closed.len(), found.closed_count),
        "closed_by_statement": closed,
    });
    escaped(&serde_json::to_string_pretty(&report).unwrap_or_default()).into_owned()
}

/// The totals of a currency.
pub(super) fn totals(code: &str, totals: &CurrencyTotals) -> Value {
    json!({
        "payments": {
            "ours": counted(totals.our_payments, code),
            "theirs": counted(totals.their_payments, code),
            "of_others": counted(totals.others_payments, code),
        },
        "refunds": {
            "ours": counted(totals.our_refunds, code),
            "theirs": counted(totals.their_refunds, code),
            "of_others": counted(totals.others_refunds, code),
        },
        "fees": counted(totals.fees, code),
        "net": counted(totals.net, code),
    })
}

fn difference(listed: ListedDifference<'_>) -> Value {
    let difference = listed.difference;
    json!({
        "difference": listed.id,
        "found": listed.found.as_str(),
        "state": listed.state.as_str(),
        "owner": listed.owner,
        "reason": difference.reason.as_str(),
        "day": difference.day,
        "currency": difference.currency(),
        "kind": difference.kind.as_str(),
        "order_no": difference.order_no,
        "refund_no": difference.refund_no,
        "transaction_id": difference.transaction_id,
        "ours": difference.ours.map(Amount::decimal),
        "theirs": difference.theirs.map(Amount::decimal),
        "our_state": difference.our_state.map(State::as_str),
        "their_state": difference.their_state,
        "item": difference.item,
        "line": difference.line,
        "detail": difference.detail,
    })
}
