//! The differences as CSV: one row each, those of earlier days that are still open at the end.

use csv::{QuoteStyle, WriterBuilder};

use crate::reconcile::findings::{Findings, ListedDifference};
use payrun_domain::item::State;
use payrun_domain::money::Amount;
use payrun_domain::text::inert;

const COLUMNS: [&str; 19] = [
    "difference",
    "found",
    "state",
    "owner",
    "reason",
    "day",
    "currency",
    "kind",
    "order_no",
    "refund_no",
    "transaction_id",
    "ours",
    "theirs",
    "our_state",
    "their_state",
    "item",
    "line",
    "detail",
    "what_to_do",
];

/// All that are listed.
pub(super) fn report(found: &Findings) -> Vec<u8> {
    let mut writer = WriterBuilder::new()
        .quote_style(QuoteStyle::Necessary)
        .from_writer(Vec::new());
    // A vector takes whatever is written to it.
    writer.write_record(COLUMNS).ok();
    for listed in found.listed().chain(found.earlier()) {
        writer
            .write_record(row(&listed).map(|field| inert(&field).into_owned()))
            .ok();
    }
    let earlier = u64::try_from(found.carried.len()).unwrap_or(u64::MAX);
    let not_listed = found.not_listed() + found.carried_count.saturating_sub(earlier);
    if not_listed > 0 {
        let rest = format!("{not_listed} more differences are counted and not listed");
        let cells = COLUMNS.map(|column| {
            if column == "detail" {
                rest.as_str()
            } else {
                ""
            }
        });
        writer.write_record(cells).ok();
    }
    writer.into_inner().unwrap_or_default()
}

pub(super) fn row(listed: &ListedDifference<'_>) -> [String; 19] {
    let amount = |amount: Option<Amount>| amount.map(Amount::decimal).unwrap_or_default();
    let difference = listed.difference;
    [
        listed.id.to_string(),
        listed.found.as_str().to_owned(),
        listed.state.as_str().to_owned(),
        listed.owner.unwrap_or_default().to_owned(),
        difference.reason.as_str().to_owned(),
        difference.day.clone(),
        difference.currency().to_owned(),
        difference.kind.as_str().to_owned(),
        difference.order_no.clone(),
        difference.refund_no.clone(),
        difference.transaction_id.clone(),
        amount(difference.ours),
        amount(difference.theirs),
        difference
            .our_state
            .map(State::as_str)
            .unwrap_or_default()
            .to_owned(),
        difference.their_state.clone(),
        difference
            .item
            .map(|item| item.to_string())
            .unwrap_or_default(),
        difference
            .line
            .map(|line| line.to_string())
            .unwrap_or_default(),
        difference.detail.clone(),
        difference.reason.advice().to_owned(),
    ]
}
