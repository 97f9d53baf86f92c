//! What payrun does by itself, without calling a gateway.

use crate::attempt::AttemptContext;
use crate::reconcile;
use payrun_gateway::{Call, Delivery, Observation};

/// Does it, and says what was found as a gateway would.
pub(crate) async fn work(context: &AttemptContext<'_>, call: &Call) -> Observation {
    match call.operation.as_str() {
        "reconcile" => reconcile::work(context, call).await,
        other => Observation::of(Delivery::NotSent(format!(
            "payrun itself has no operation {other}"
        ))),
    }
}
