//! The differences as CSV: one row each.

use csv::{QuoteStyle, WriterBuilder};

use crate::reconcile::findings::{Difference, Findings};
use payrun_domain::item::State;
use payrun_domain::money::Amount;
use payrun_domain::text::inert;

const COLUMNS: [&str; 15] = [
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
    "note",
    "what_to_do",
];

/// All that are listed.
pub(super) fn report(found: &Findings) -> Vec<u8> {
    let mut writer = WriterBuilder::new()
        .quote_style(QuoteStyle::Necessary)
        .from_writer(Vec::new());
    // A vector takes whatever is written to it.
    writer.write_record(COLUMNS).ok();
    for difference in &found.differences {
        writer
            .write_record(row(difference).map(|field| inert(&field).into_owned()))
            .ok();
    }
    let listed = u64::try_from(found.differences.len()).unwrap_or(u64::MAX);
    if listed < found.count() {
        let rest = format!(
            "{} more differences are counted and not listed",
            found.count() - listed
        );
        let cells = COLUMNS.map(|column| if column == "note" { rest.as_str() } else { "" });
        writer.write_record(cells).ok();
    }
    writer.into_inner().unwrap_or_default()
}

pub(super) fn row(difference: &Difference) -> [String; 15] {
    let amount = |amount: Option<Amount>| amount.map(Amount::decimal).unwrap_or_default();
    [
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
        difference.note.clone(),
        difference.reason.advice().to_owned(),
    ]
}
