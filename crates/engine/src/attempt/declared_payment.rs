//! What a refund in part means for a payment that was declared to customs: what was declared is
//! more than what is left, and a person may want to modify the declaration. It is offered as a fact
//! of the refund; nothing is declared by itself.

use serde_json::Value;

use crate::attempt::AttemptContext;
use crate::attempt::payment;
use payrun_domain::answer::Answer;
use payrun_gateway::{Call, Observation};
use payrun_ledger::DeclaredItem;
use payrun_project::job_kinds::StatementRole;
use payrun_project::job_kinds::judge::Judgement;

/// The most declarations of a payment that are named.
const NAMED_MAX: u32 = 50;

/// Adds to a refund in part which declarations of its payment could be modified: as soon as it may
/// have happened, since whoever tells of its end (a notification, a statement, a person) knows
/// nothing of customs.
pub(crate) async fn offer_to_modify(
    context: &AttemptContext<'_>,
    call: &Call,
    seen: &mut Observation,
    judged: &Judgement,
) {
    let is_refund = context.work.kind.in_statement == Some(StatementRole::Refund);
    if !is_refund
        || !matches!(
            judged.answer,
            Answer::Done(_) | Answer::Accepted | Answer::Unknown { .. }
        )
    {
        return;
    }
    let (ledger, id) = (&context.engine.ledger, context.claimed.id());
    let found = match payment::known(context, call).await {
        Ok(Some(payment))
            if call
                .amount
                .is_some_and(|amount| amount.minor() < payment.amount.minor()) =>
        {
            ledger
                .declarations_of(&context.account.name, &payment.order_no, NAMED_MAX)
                .await
        }
        Ok(_) => return,
        Err(error) => Err(error),
    };
    match found {
        Ok(declared) if declared.is_empty() => {}
        Ok(declared) => {
            seen.result
                .insert("declared".to_owned(), Value::String(offer(&declared)));
        }
        Err(error) => {
            tracing::warn!(item.id = id, %error, "declarations of a refunded payment could not be looked for")
        }
    }
}

fn offer(declared: &[DeclaredItem]) -> String {
    let items = |split: bool| {
        let items: Vec<String> = declared
            .iter()
            .filter(|one| one.is_split == split)
            .map(|one| one.item_id.to_string())
            .collect();
        items.join(", ")
    };
    let mut offers = Vec::new();
    if !items(true).is_empty() {
        offers.push(format!(
            "the payment was declared to customs (item {}): once this refund has succeeded, modify the declaration to what is \
             left, by the job kind redeclare with way: modify",
            items(true)
        ));
    }
    if !items(false).is_empty() {
        offers.push(format!(
            "the payment was declared to customs as a whole (item {}), with no amounts that could be modified: ask the customs \
             what they want",
            items(false)
        ));
    }
    offers.join("; ")
}
