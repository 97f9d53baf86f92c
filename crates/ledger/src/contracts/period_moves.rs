//! What became of an item is what became of its period: in the same commit as the move.

use crate::LedgerError;
use crate::db::write_tx::WriteTx;
use crate::items::item_rows::ItemChange;
use crate::items::item_rows::list;
use payrun_domain::item::State;
use payrun_domain::subscription::PeriodState;
use serde::Serialize;

/// The item, the period's state, and whether its contract must hear of it.
#[derive(Debug, Serialize)]
struct PeriodMove {
    item_id: i64,
    state: &'static str,
    failure_unprocessed: u8,
}

/// A [`PeriodMove`] each. Few items have a period, so the list comes first. What is withdrawn
/// of a contract that is not charged is waived with it.
pub(super) const MOVED: &str = include_str!("move_periods.sql");

/// The list of what periods are after these moves; none where no period can be among them.
pub(crate) fn periods_of(moves: &[ItemChange<'_>]) -> Option<String> {
    let moved: Vec<PeriodMove> = moves.iter().filter_map(moved).collect();
    (!moved.is_empty()).then(|| list(&moved))
}

/// Only what is one at a time can belong to a contract.
fn moved(written: &ItemChange<'_>) -> Option<PeriodMove> {
    let (stored, to) = (written.stored, written.moved.item.state);
    stored.exclusive_key.as_ref()?;
    if stored.item.state == to {
        return None;
    }
    let again = matches!(
        stored.item.state,
        State::Succeeded | State::Failed | State::Cancelled
    );
    let (state, news) = match to {
        State::Succeeded => (PeriodState::Paid, 0),
        State::Failed => (PeriodState::Failed, 1),
        State::Cancelled => (PeriodState::Cancelled, 0),
        State::Planned | State::Sending | State::Pending | State::Unknown | State::NeedsReview
            if again =>
        {
            (PeriodState::Planned, 0)
        }
        State::AwaitingApproval
        | State::Planned
        | State::Sending
        | State::Pending
        | State::Unknown
        | State::NeedsReview
        | State::Rejected
        | State::Skipped => return None,
    };
    Some(PeriodMove {
        item_id: stored.id,
        state: state.as_str(),
        failure_unprocessed: news,
    })
}

/// Writes what [`periods_of`] says.
pub(crate) async fn note_moved(tx: &mut WriteTx, periods: String) -> Result<(), LedgerError> {
    let noted = sqlx::query(MOVED)
        .bind(periods)
        .execute(tx.connection())
        .await;
    noted
        .map(|_| ())
        .map_err(|source| LedgerError::of("keeping what became of periods", source))
}
