//! What the domain's state machine says of a stored item. An illegal move is a defect of payrun.

use crate::error::LedgerError;
use crate::items::item_rows::ItemRecord;
use payrun_domain::evidence::{self, Consequence, Evidence};
use payrun_domain::item::{Event, Move, apply};
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

/// What is to be done with news of an item's order.
pub(crate) fn follow(
    stored: &ItemRecord,
    news: &Evidence<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Consequence, LedgerError> {
    evidence::follow(&stored.item, news, policy, now).map_err(|illegal| LedgerError::Inconsistent {
        what: format!("item {}: {illegal}", stored.id),
    })
}
