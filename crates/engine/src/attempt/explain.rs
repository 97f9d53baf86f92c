//! What a gateway can say beside an order's fate: the state of the contract that was declined. It
//! changes nothing.

use serde_json::{Map, Value};

use crate::Account;
use crate::attempt::{AttemptContext, call_at_rate, in_time};
use payrun_domain::ids::OrderNumber;
use payrun_domain::item::Move;
use payrun_domain::message::Message;
use payrun_domain::subscription::ContractSignal;
use payrun_gateway::{Call, Observation};
use payrun_project::job_kinds::JobKind;
use payrun_project::job_kinds::judge::Judgement;

/// How the gateway calls a contract that can be charged (docs/gateways/wechat.md, "Contracts":
/// nothing else is chargeable).
const SIGNED: &str = "SIGNED";

/// A refusal in words, where the gateway can say more than its code; and what it says of the
/// contract.
pub(crate) async fn explained(
    context: &AttemptContext<'_>,
    judged: &Judgement,
    call: &Call,
    moved: Move,
) -> (Move, Option<ContractSignal>) {
    let Some(operation) = context
        .operations
        .explain
        .as_ref()
        .filter(|_| judged.explain)
    else {
        return (moved, judged.contract);
    };
    let question = Call {
        operation: operation.clone(),
        amount: None,
        ..call.clone()
    };
    let told = call_at_rate(context.engine, context.account, &question).await;
    if told.state.is_none() {
        return (moved, judged.contract);
    }
    // A contract that is refused as ended and shown as signed is for a person.
    let signed = told.result.get("state").and_then(Value::as_str) == Some(SIGNED);
    let word = judged.contract.map(|word| {
        if signed {
            ContractSignal::Suspended
        } else {
            word
        }
    });
    let declined = || Message::new("declined", "declined");
    let reason = Message::new("explained", "{reason} ({operation}: {facts})")
        .with("reason", moved.reason.clone().unwrap_or_else(declined))
        .with("operation", operation)
        .with("facts", facts(&told));
    (moved.worded(Some(reason)), word)
}

/// Asks the gateway what it knows of an item beside its order: the state of its contract. None if
/// it knows nothing of the kind; an error if the facts say that it cannot be charged, or cannot be
/// had.
pub async fn explain(
    account: &Account,
    kind: &JobKind,
    order_no: &OrderNumber,
    input: &str,
) -> Option<Result<String, String>> {
    let operation = kind.gateways.get(account.kind)?.explain.clone()?;
    let Ok(input) = serde_json::from_str::<Map<String, Value>>(input) else {
        return Some(Err("its fields were planned as no JSON object".to_owned()));
    };
    let subject = kind
        .one_at_a_time
        .as_ref()
        .and_then(|field| input.get(field))
        .and_then(Value::as_str);
    let subject = subject.unwrap_or_default().to_owned();
    let call = Call {
        operation,
        order_no: order_no.clone(),
        input,
        amount: None,
        timeout: account.timeout,
    };
    let told = in_time(account, &call).await;
    let facts = facts(&told);
    Some(match told.http {
        Some(200) if told.result.get("state").and_then(Value::as_str) == Some(SIGNED) => {
            Ok(format!("{subject}: {facts}"))
        }
        Some(200) => Err(format!("{subject}: {facts}; it cannot be charged")),
        Some(http) => Err(format!(
            "{subject}: HTTP {http} {}",
            told.code.unwrap_or_default()
        )),
        None => Err(format!("{subject}: no answer")),
    })
}

fn facts(told: &Observation) -> String {
    let shown = told.result.iter();
    let texts = shown.map(|(name, fact)| {
        format!(
            "{name} {}",
            fact.as_str()
                .map_or_else(|| fact.to_string(), str::to_owned)
        )
    });
    texts.collect::<Vec<_>>().join(", ")
}
