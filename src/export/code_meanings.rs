//! What a code means, in plain words: as the outcome tables of the job kinds have it.

use super::ExportContext;
use crate::config::Config;
use crate::domain::answer::{AnswerKind, Cause, DeclineClass};
use crate::domain::own_code::OwnCode;
use crate::job_kinds::{JobKinds, OutcomeMeaning, OutcomeRow};
use crate::ledger::{AttemptRow, JobRow};

/// What a code of a job's gateway says.
pub(crate) fn words(context: &ExportContext, job: &JobRow, code: &str) -> String {
    if code.is_empty() {
        return "no answer with a code: a person said so, or it is no longer kept".to_owned();
    }
    if let Some(own) = OwnCode::parse(code) {
        return own.explained();
    }
    let tables = (&*context.config, &*context.job_kinds);
    let listed = meaning(tables, (&job.lane, &job.kind), code);
    listed.or_else(|| cause_of(code).map(|cause| of_cause(cause).to_owned())).unwrap_or_else(|| {
        "no outcome table says what it means; `payrun show --item ID` has the words it was refused with"
            .to_owned()
    })
}

/// What a gateway's code of an attempt says; none where it has none, or where nothing is known of it.
pub(crate) fn of_attempt(
    config: &Config,
    job_kinds: &JobKinds,
    job: &JobRow,
    attempt: &AttemptRow,
) -> Option<String> {
    let code = Some(attempt.code.as_str()).filter(|code| !code.is_empty())?;
    match attempt.answer {
        AnswerKind::Declined | AnswerKind::NotProcessed => {
            meaning((config, job_kinds), (&job.lane, &job.kind), code)
        }
        AnswerKind::Absent => Some(ABSENT.to_owned()),
        AnswerKind::Unknown => Some(
            "it does not say what became of the order; payrun queries the gateway until it does, and sends nothing again before"
                .to_owned(),
        ),
        AnswerKind::Done | AnswerKind::Accepted => None,
    }
}

/// What a query says that finds no order.
const ABSENT: &str = "the gateway has no order, refund or declaration under this number: it did not get there, or does not show yet; \
                      payrun sends it again, under the same number, only when it can no longer show up late";

/// What the outcome tables say: the first row that refuses by this code, or by this state.
fn meaning(tables: (&Config, &JobKinds), of: (&str, &str), code: &str) -> Option<String> {
    rows_of(tables, of, code)?.find_map(|row| match row.meaning {
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

/// The rows of the outcome tables of an account and a job kind that name this code or state.
fn rows_of<'a>(
    (config, job_kinds): (&'a Config, &'a JobKinds),
    (lane, kind): (&str, &str),
    code: &'a str,
) -> Option<impl Iterator<Item = &'a OutcomeRow>> {
    let gateway = config.gateways.get(lane)?.kind.as_str();
    let kind = job_kinds.by_name.get(kind)?;
    let rows = kind.gateways.get(gateway)?.outcomes();
    Some(rows.filter(move |row| row.code.as_deref().or(row.state.as_deref()) == Some(code)))
}

/// As what a code of an account and a job kind declines.
pub(super) fn decline_of(
    context: &ExportContext,
    of: (&str, &str),
    code: &str,
) -> Option<DeclineClass> {
    let tables = (&*context.config, &*context.job_kinds);
    rows_of(tables, of, code)?.find_map(|row| match row.meaning {
        OutcomeMeaning::Declined(class, _) => Some(class),
        OutcomeMeaning::NotProcessed
        | OutcomeMeaning::Done
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

/// The cause that stands where a gateway's code would.
pub(super) fn cause_of(code: &str) -> Option<Cause> {
    const CAUSES: [Cause; 10] = [
        Cause::TimedOut,
        Cause::ConnectionLost,
        Cause::NotAsked,
        Cause::GatewayFailed,
        Cause::Unreadable,
        Cause::Unverified,
        Cause::Unmapped,
        Cause::Mismatch,
        Cause::Ambiguous,
        Cause::Abandoned,
    ];
    CAUSES.into_iter().find(|cause| cause.as_str() == code)
}

/// What payrun says where a gateway says nothing.
const fn of_cause(cause: Cause) -> &'static str {
    match cause {
        Cause::TimedOut => "no answer in time",
        Cause::ConnectionLost => "the connection broke",
        Cause::NotAsked => "a query did not get through",
        Cause::GatewayFailed => "the gateway answered that it failed",
        Cause::Unreadable => "the answer could not be read",
        Cause::Unverified => "the answer's signature could not be verified",
        Cause::Unmapped => "a code that no outcome table lists",
        Cause::Mismatch => "the answer named another order or amount",
        Cause::Ambiguous => "the answer left open what happened",
        Cause::Abandoned => "the process ended during the call",
    }
}
