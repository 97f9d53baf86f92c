//! What a worker does with a claimed item: one attempt, settled. Whatever happens, apalis hears
//! that it went well.

use std::convert::Infallible;
use std::sync::Arc;

use apalis::prelude::Data;
use tracing::Instrument as _;

use super::lane::Lane;
use crate::engine::attempt::{execute, settle};
use crate::ledger::Claimed;

/// Handles one claim, on a task of its own so that all cores sign and verify.
pub(super) async fn handle(claimed: Claimed, lane: Data<Arc<Lane>>) -> Result<(), Infallible> {
    let lane = Arc::clone(&lane);
    let id = claimed.id();
    let (order, account) = (claimed.order_no().as_str(), lane.account.name.as_str());
    let span = tracing::info_span!(
        "attempt",
        item.id = id,
        order.no = order,
        lane.name = account
    );
    if let Err(panic) = tokio::spawn(attempt(lane, claimed).instrument(span)).await {
        // Its lease will run out; then it is asked about.
        tracing::error!(item.id = id, error = %panic, "an attempt panicked; the item will be queried");
    }
    Ok(())
}

async fn attempt(lane: Arc<Lane>, claimed: Claimed) {
    let slot = Slot {
        lane: &lane,
        job_id: claimed.job_id(),
    };
    let Some(work) = lane.work_of(claimed.job_id()) else {
        return;
    };
    match execute(&lane.engine, &lane.account, &work, &claimed, || drop(slot)).await {
        Ok(settlement) => {
            if let Err(error) = settle(&lane.engine, settlement).await {
                lane.fail(error);
            }
        }
        Err(illegal) => {
            tracing::error!(item.id = claimed.id(), error = %illegal, "a defect of payrun: the item will be queried");
        }
    }
}

/// A call under way; gives its place back when it ends, however it ends.
struct Slot<'a> {
    lane: &'a Lane,
    job_id: i64,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.lane.end(self.job_id);
    }
}
