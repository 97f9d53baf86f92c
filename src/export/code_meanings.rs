//! What a code means, in plain words: as the outcome tables of the job kinds have it.

use super::ExportContext;
use crate::config::Config;
use crate::domain::answer::{AnswerKind, Cause, DeclineClass};
use crate::domain::own_code::OwnCode;
use crate::job_kinds::{JobKinds, OutcomeMeaning};
use crate::ledger::{AttemptRow, JobRow};

/// What a code says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CodeMeaning {
    /// There is no code.
    NoCode,
    /// It is payrun's own.
    Own(OwnCode),
    /// The gateway declined; what a person may do, where the outcome table says it.
    Declined(DeclineClass, Option<String>),
    /// The gateway did not process it.
    NotProcessed,
    /// There was no answer that says anything.
    Nothing(Cause),
    /// No outcome table lists it as a refusal.
    Unlisted,
}

impl CodeMeaning {
    /// Of a code of a job's gateway.
    pub fn of(context: &ExportContext, job: &JobRow, code: &str) -> Self {
        if code.is_empty() {
            return Self::NoCode;
        }
        if let Some(own) = OwnCode::parse(code) {
            return Self::Own(own);
        }
        let tables = (&*context.config, &*context.job_kinds);
        listed(tables, (&job.lane, &job.kind), code)
            .or_else(|| cause_of(code).map(Self::Nothing))
            .unwrap_or(Self::Unlisted)
    }

    /// In plain words.
    fn in_words(self) -> String {
        match self {
            Self::NoCode => {
                "no answer with a code: a person said so, or it is no longer kept".to_owned()
            }
            Self::Own(own) => own.explained(),
            Self::Declined(class, advice) => {
                let advice = advice.map(|advice| format!("; {advice}"));
                format!("{}{}", of_class(class), advice.unwrap_or_default())
            }
            Self::NotProcessed => "the gateway did not process it".to_owned(),
            Self::Nothing(cause) => of_cause(cause).to_owned(),
            Self::Unlisted => {
                "no outcome table says what it means; `payrun show --item ID` has the words it was refused with"
                    .to_owned()
            }
        }
    }
}

/// What a code of a job's gateway says, in words.
pub(crate) fn words(context: &ExportContext, job: &JobRow, code: &str) -> String {
    CodeMeaning::of(context, job, code).in_words()
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
            let listed = listed((config, job_kinds), (&job.lane, &job.kind), code);
            listed.map(CodeMeaning::in_words)
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
fn listed(
    (config, job_kinds): (&Config, &JobKinds),
    (lane, kind): (&str, &str),
    code: &str,
) -> Option<CodeMeaning> {
    let gateway = config.gateways.get(lane)?.kind.as_str();
    let kind = job_kinds.by_name.get(kind)?;
    let rows = kind.gateways.get(gateway)?.outcomes();
    rows.filter(|row| row.code.as_deref().or(row.state.as_deref()) == Some(code))
        .find_map(|row| match row.meaning {
            OutcomeMeaning::Declined(class, _) => {
                Some(CodeMeaning::Declined(class, row.advice.clone()))
            }
            OutcomeMeaning::NotProcessed => Some(CodeMeaning::NotProcessed),
            OutcomeMeaning::Done
            | OutcomeMeaning::Nothing
            | OutcomeMeaning::Accepted
            | OutcomeMeaning::Absent
            | OutcomeMeaning::Unknown(_) => None,
        })
}

/// As what a code of an account and a job kind declines.
pub(super) fn decline_of(
    context: &ExportContext,
    of: (&str, &str),
    code: &str,
) -> Option<DeclineClass> {
    match listed((&*context.config, &*context.job_kinds), of, code)? {
        CodeMeaning::Declined(class, _) => Some(class),
        CodeMeaning::NoCode
        | CodeMeaning::Own(_)
        | CodeMeaning::NotProcessed
        | CodeMeaning::Nothing(_)
        | CodeMeaning::Unlisted => None,
    }
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
    let named = CAUSES.iter().find(|(cause, _)| cause.as_str() == code);
    named.map(|(cause, _)| *cause)
}

/// What payrun says where a gateway says nothing.
fn of_cause(cause: Cause) -> &'static str {
    let named = CAUSES.iter().find(|(known, _)| *known == cause);
    named.map_or("nothing is known of it", |(_, words)| words)
}

/// Every cause, and what it means.
pub(crate) const CAUSES: [(Cause, &str); 10] = [
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
