//! What the domain's state machine says of a stored item. An illegal move is a defect of payrun.

use crate::error::LedgerError;
use crate::items::item_rows::ItemRecord;
use crate::planning::replacement::ReplacedItem;
use payrun_domain::evidence::{self, Consequence, Evidence};
use payrun_domain::item::{Event, Move, apply};
use payrun_domain::message::Message;
use payrun_domain::policy::Policy;
use payrun_domain::time::Timestamp;

/// The move that follows from an event.
pub(crate) fn decide(
    stored: &ItemRecord,
    event: &Event,
    policy: &Policy,
    now: Timestamp,
) -> Result<Move, LedgerError> {
    apply(&stored.item, event, policy, now).map_err(|illegal| LedgerError::Inconsistent {
        what: format!("item {}: {illegal}", stored.id),
    })
}

/// What is to be done with news of an item's order. An alarm about an item that was filed again names
/// the one that did: of both it may be that they happened.
pub(crate) fn follow(
    stored: &ItemRecord,
    news: &Evidence<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Consequence, LedgerError> {
    let consequence = evidence::follow(&stored.item, news, policy, now);
    let consequence = consequence.map_err(|illegal| LedgerError::Inconsistent {
        what: format!("item {}: {illegal}", stored.id),
    })?;
    Ok(match (consequence, replacement(stored)) {
        (Consequence::Move(moved), Some(by)) if moved.alarm.is_some() => {
            Consequence::Move(moved.with_words(|reason| {
                let again = Message::new(
                    "filed-again-both",
                    "it was filed again as item {by}, so both may have happened: `payrun show --item {by}`",
                );
                Message::all(vec![reason, again.with("by", by)])
            }))
        }
        (consequence, _) => consequence,
    })
}

/// The item that filed this one again.
fn replacement(stored: &ItemRecord) -> Option<i64> {
    stored.facts.get(ReplacedItem::BY)?.as_i64()
}
