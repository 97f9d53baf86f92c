//! What payrun does by itself, without calling a gateway.

use super::attempt::Scene;
use crate::gateway::{Call, Observation, Reached};

/// Does it, and says what was found as a gateway would.
pub(super) async fn work(_scene: &Scene<'_>, call: &Call) -> Observation {
    Observation::of(Reached::NotSent(format!("payrun itself has no operation {}", call.operation)))
}
