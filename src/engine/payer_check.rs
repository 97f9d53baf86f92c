//! Whether the buyer that a declaration names is its payer: asked once the gateway shows the declaration, since before that it
//! knows no such order. The answer is kept as a fact and decides nothing: the filing goes on whatever it is.
//!
//! A declaration is not done before the question has been answered, or was asked [`TRIES_MAX`] times in vain.

use serde_json::{Map, Value};

use super::attempt::{Scene, is_too_late, within};
use crate::catalog::PayerCheck;
use crate::catalog::judge::Judged;
use crate::domain::answer::Answer;
use crate::domain::item::Alarm;
use crate::gateway::{Call, Observation, Reached};
use crate::ledger::Doing;

/// The fact that holds the answer.
const RESULT: &str = "cert_check_result";
/// The answer that a person has to hear of: the buyer of the merchant's own order is not the payer.
const DIFFERENT: &str = "DIFFERENT";
/// The fact that says how often it was asked without an answer, and the one that says what came instead.
const TRIES: &str = "cert_check_tries";
const ERROR: &str = "cert_check_error";
/// How often it is asked for want of an answer.
const TRIES_MAX: u64 = 8;

/// Asks about the payer, where that is due, and keeps the answer with what was seen.
pub(super) async fn checked(scene: &Scene<'_>, call: &Call, seen: &mut Observation, judged: Judged) -> Judged {
    let Some(check) = scene.operations.payer_check.as_ref().filter(|check| is_due(scene, check, call)) else {
        return judged;
    };
    let shows = seen.reached == Reached::Replied && seen.state.is_some();
    match &judged.answer {
        // Nothing is declared before a query has shown it.
        Answer::Done(_) if scene.claimed.doing == Doing::Submit => Judged { answer: Answer::Accepted, ..judged },
        _ if scene.claimed.doing == Doing::Submit => judged,
        Answer::Done(_) if is_too_late(scene) => Judged { answer: Answer::Accepted, ..judged },
        Answer::Done(_) | Answer::Accepted | Answer::Declined(_) if shows && !is_too_late(scene) => {
            let question = Call { operation: check.operation.clone(), amount: None, ..call.clone() };
            let told = within(scene.account, &question).await;
            if told.result.contains_key(RESULT) {
                seen.result.extend(told.result.into_iter().filter(|(name, _)| name == RESULT));
                seen.result.insert(ERROR.to_owned(), Value::Null);
                return judged;
            }
            let tries = tries(scene.claimed.result()) + 1;
            seen.result.insert(TRIES.to_owned(), tries.into());
            seen.result.insert(ERROR.to_owned(), instead(&told).into());
            let done = matches!(judged.answer, Answer::Done(_));
            if done && tries < TRIES_MAX { Judged { answer: Answer::Accepted, ..judged } } else { judged }
        }
        Answer::Done(_)
        | Answer::Accepted
        | Answer::Declined(_)
        | Answer::NotProcessed { .. }
        | Answer::Absent
        | Answer::Unknown { .. } => judged,
    }
}

/// What a person has to hear of, if this reply is the first that says it: that the buyer is not the payer.
pub(super) fn warning(known: Option<&str>, seen: &Map<String, Value>) -> Option<Alarm> {
    let differs = |facts: &Map<String, Value>| facts.get(RESULT).and_then(Value::as_str) == Some(DIFFERENT);
    (differs(seen) && !differs(&facts(known))).then_some(Alarm::PayerDiffers)
}

fn is_due(scene: &Scene<'_>, check: &PayerCheck, call: &Call) -> bool {
    let given = call.input.get(&check.given).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    given && !facts(scene.claimed.result()).contains_key(RESULT) && tries(scene.claimed.result()) < TRIES_MAX
}

fn tries(known: Option<&str>) -> u64 {
    facts(known).get(TRIES).and_then(Value::as_u64).unwrap_or(0)
}

fn facts(known: Option<&str>) -> Map<String, Value> {
    known.and_then(|known| serde_json::from_str(known).ok()).unwrap_or_default()
}

/// What came in place of an answer: the gateway's codes, or how far the question came.
fn instead(told: &Observation) -> String {
    let sub_code = told.result.get("sub_code").and_then(Value::as_str).unwrap_or_default();
    match (told.http, &told.code) {
        (Some(http), Some(code)) => format!("HTTP {http} {code} {sub_code}").trim_end().to_owned(),
        (Some(http), None) => format!("HTTP {http}"),
        (None, _) => format!("no answer {}", told.reached.why()).trim_end().to_owned(),
    }
}
