//! What a refund in part means for a payment that was declared to customs: what was declared is more than what is left, and a
//! person may want to modify the declaration. It is offered as a fact of the refund; nothing is declared by itself.

use serde_json::Value;

use super::attempt::Scene;
use super::payment;
use crate::catalog::InStatement;
use crate::catalog::judge::Judged;
use crate::domain::answer::Answer;
use crate::gateway::{Call, Observation};

/// The most declarations of a payment that are named.
const NAMED_MAX: u32 = 50;

/// Adds to a refund in part which declarations of its payment could be modified.
pub(super) async fn offer_to_modify(scene: &Scene<'_>, call: &Call, seen: &mut Observation, judged: &Judged) {
    let is_refund = scene.work.kind.in_statement == Some(InStatement::Refund);
    if !is_refund || !matches!(judged.answer, Answer::Done(_)) {
        return;
    }
    let (ledger, id) = (&scene.engine.ledger, scene.claimed.id());
    let found = match payment::known(scene, call).await {
        Ok(Some(payment)) if call.amount.is_some_and(|amount| amount.minor() < payment.amount.minor()) => {
            ledger.declarations_of(&scene.account.name, &payment.order_no, NAMED_MAX).await
        }
        Ok(_) => return,
        Err(error) => Err(error),
    };
    match found {
        Ok(items) if items.is_empty() => {}
        Ok(items) => {
            let items: Vec<String> = items.iter().map(i64::to_string).collect();
            let offer = format!(
                "the payment was declared to customs (item {}): modify the declaration to what is left, by the job kind redeclare \
                 with way: modify",
                items.join(", ")
            );
            seen.result.insert("declared".to_owned(), Value::String(offer));
        }
        Err(error) => {
            tracing::warn!(item.id = id, %error, "declarations of a refunded payment could not be looked for")
        }
    }
}
