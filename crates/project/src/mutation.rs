//! The seeded faults of what a reply means (`payrun_domain::mutation`).

use payrun_domain::answer::Answer;
use payrun_domain::mutation::{Mutation, is};
use payrun_gateway::{Delivery, Observation};

use crate::job_kinds::judge::{Judgement, not_sent, unsendable};

/// What was seen, judged worse than it was.
pub(crate) fn judged(judged: Judgement, seen: &Observation) -> Judgement {
    let failed = seen.http.is_some_and(|http| http >= 500);
    let answer: Option<Answer> = match &seen.delivery {
        Delivery::TimedOut if is(Mutation::SilentIsNotSent) => Some(not_sent()),
        Delivery::Lost(_) if is(Mutation::LostIsNotSent) => Some(not_sent()),
        Delivery::Replied if failed && is(Mutation::ServerErrorIsDeclined) => Some(unsendable()),
        Delivery::NotSent(_)
        | Delivery::Unreachable(..)
        | Delivery::Refused(_)
        | Delivery::Unsendable(_)
        | Delivery::TimedOut
        | Delivery::Lost(_)
        | Delivery::Unreadable(_)
        | Delivery::Unverified(_)
        | Delivery::NoKeys(_)
        | Delivery::Replied => None,
    };
    answer.map_or(judged, Judgement::plain)
}
