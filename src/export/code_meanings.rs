//! What a code means, in plain words: as the outcome tables of the job kinds have it.

use super::ExportContext;
use crate::domain::answer::{Cause, DeclineClass};
use crate::domain::own_code::OwnCode;
use crate::job_kinds::OutcomeMeaning;
use crate::ledger::JobRow;

/// What a code of a job's gateway says.
pub(crate) fn words(context: &ExportContext, job: &JobRow, code: &str) -> String {
    if code.is_empty() {
        return "no answer with a code: a person said so, or it is no longer kept".to_owned();
    }
    if let Some(own) = OwnCode::parse(code) {
        return own.explained();
    }
    let listed = meaning(context, job, code);
    listed.or_else(|| of_cause(code).map(str::to_owned)).unwrap_or_else(|| {
        "no outcome table says what it means; `payrun show --item ID` has the words it was refused with"
            .to_owned()
    })
}

/// What the outcome tables say: the first row that refuses by this code, or by this state.
fn meaning(context: &ExportContext, job: &JobRow, code: &str) -> Option<String> {
    let gateway = context.config.gateways.get(&job.lane)?.kind.as_str();
    let kind = context.job_kinds.by_name.get(&job.kind)?;
    let rows = kind.gateways.get(gateway)?.outcomes();
    rows.filter(|row| row.code.as_deref().or(row.state.as_deref()) == Some(code))
        .find_map(|row| match row.meaning {
            OutcomeMeaning::Declined(class, _) => {
                let advice = row.advice.as_deref();
                let advice = advice
                    .map(|advice| format!("; {advice}"))
                    .unwrap_or_default();
                Some(format!("{}{advice}", of_class(class)))
            }
            OutcomeMeaning::NotProcessed => Some("the gateway did not process it".to_owned()),
            OutcomeMeaning::Done
            | OutcomeMeaning::Nothing
            | OutcomeMeaning::Accepted
            | OutcomeMeaning::Absent
            | OutcomeMeaning::Unknown(_) => None,
        })
}

const fn of_class(class: DeclineClass) -> &'static str {
    match class {
        DeclineClass::Soft => "declined for now; another day it may succeed",
        DeclineClass::Hard => "declined for good",
        DeclineClass::Spent => "the order was closed before it was paid",
        DeclineClass::Person => "declined; a person has to decide",
        DeclineClass::Config => "our account is refused: key, permission or settings",
        DeclineClass::Funds => "our balance at the gateway was too small",
    }
}

/// What payrun says where a gateway says nothing.
fn of_cause(code: &str) -> Option<&'static str> {
    const CAUSES: [(Cause, &str); 10] = [
        (Cause::TimedOut, "no answer in time"),
        (Cause::ConnectionLost, "the connection broke"),
        (Cause::NotAsked, "a query did not get through"),
        (Cause::GatewayFailed, "the gateway answered that it failed"),
        (Cause::Unreadable, "the answer could not be read"),
        (
            Cause::Unverified,
            "the answer's signature could not be verified",
        ),
        (Cause::Unmapped, "a code that no outcome table lists"),
        (Cause::Mismatch, "the answer named another order or amount"),
        (Cause::Ambiguous, "the answer left open what happened"),
        (Cause::Abandoned, "the process ended during the call"),
    ];
    let named = CAUSES.iter().find(|(cause, _)| cause.as_str() == code);
    named.map(|(_, words)| *words)
}
