//! Seeded faults, to find out whether the rig would notice them. Each layer has one such file, in
//! test builds with the feature `mutation` alone: it bends a value where that layer decides, by a
//! line under `#[cfg(feature = "mutation")]`. Any other build has none of it.
//!
//! Each fault is one that a hurried change could bring in. `tests/mutation.rs` activates them one by
//! one and plays seeds until a promise is seen broken.

#[cfg(not(debug_assertions))]
compile_error!("the feature `mutation` is for test builds: no release may have it");

use std::sync::atomic::{AtomicU8, Ordering};

use crate::answer::{Answer, Cause};
use crate::evidence::{Evidence, EvidenceSource, EvidenceVerdict};
use crate::item::{Event, Item, Move, State};
use crate::time::Timestamp;

/// A fault that can be activated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(
    missing_docs,
    reason = "each is described by the words beside it in ALL"
)]
pub enum Mutation {
    NewNumberOnRetry = 1,
    AbandonedIsPlanned,
    AbandonedIsFailed,
    TimeoutIsFailed,
    TimeoutIsPlanned,
    UnknownClosedByTime,
    UnknownSucceedsByTime,
    AbsentIsFailed,
    AbsentAtOnce,
    AcceptedIsDone,
    PendingForgotten,
    UnknownForgotten,
    PlannedForgotten,
    ServerErrorIsDeclined,
    LostIsNotSent,
    SilentIsNotSent,
    AmountPlusOne,
    NumberOfItsOwn,
    TotalsNotKept,
    MoneyNotCounted,
    EventsNotKept,
    AttemptsNotKept,
    VersionNotChecked,
    LeaseNotChecked,
    RefundSumNotChecked,
    RefundSumForgetsUnknown,
    RateNotKept,
    RefusedRowsDropped,
    KeyWithLine,
    ContractNotChecked,
    ClaimNotWritten,
    EndsWithUnknown,
    SettleNotSynced,
    NotificationLowersState,
    NotifiedAmountNotCompared,
    AuthorApproves,
    ClaimOfOthersGivenBack,
    WithdrawalForgotten,
    WithdrawalNotReadAgain,
    QueryNotSigned,
    ParametersNotSorted,
    TildeEncoded,
    DigestPartsSwapped,
    DigestKeyFirst,
}

/// The faults of what is signed or verified: each with the gateway that it is about, whose other
/// side must refuse what was sent, or whose notification is refused.
pub const OF_SIGNATURES: [(Mutation, &str, &str); 5] = [
    (
        Mutation::QueryNotSigned,
        "wechat",
        "another path is signed than is sent",
    ),
    (
        Mutation::ParametersNotSorted,
        "hipopay",
        "the parameters are signed as they come, not sorted",
    ),
    (
        Mutation::TildeEncoded,
        "hipopay",
        "~ is signed percent-encoded",
    ),
    (
        Mutation::DigestPartsSwapped,
        "egms",
        "the digest is over another order of its parts",
    ),
    (
        Mutation::DigestKeyFirst,
        "cbtis",
        "the digest of a notification has the key before the body",
    ),
];

/// Every fault that plays of seeds must show, and what it is.
pub const ALL: [(Mutation, &str); 39] = [
    (
        Mutation::NewNumberOnRetry,
        "a new order number when something is sent again",
    ),
    (
        Mutation::AbandonedIsPlanned,
        "what a dead process was sending is sent again without asking",
    ),
    (
        Mutation::AbandonedIsFailed,
        "what a dead process was sending is taken for failed",
    ),
    (
        Mutation::TimeoutIsFailed,
        "a call that timed out is taken for failed",
    ),
    (
        Mutation::TimeoutIsPlanned,
        "a call that timed out is made again without asking",
    ),
    (
        Mutation::UnknownClosedByTime,
        "after some asking an unknown item fails",
    ),
    (
        Mutation::UnknownSucceedsByTime,
        "after some asking an unknown item succeeds",
    ),
    (
        Mutation::AbsentIsFailed,
        "\"no such order\" is taken for failed",
    ),
    (
        Mutation::AbsentAtOnce,
        "\"no such order\" is believed without the grace period",
    ),
    (Mutation::AcceptedIsDone, "accepted is taken for done"),
    (
        Mutation::PendingForgotten,
        "a pending item is never asked about",
    ),
    (
        Mutation::UnknownForgotten,
        "an unknown item is never asked about",
    ),
    (
        Mutation::PlannedForgotten,
        "what is to be sent again never is",
    ),
    (
        Mutation::ServerErrorIsDeclined,
        "a 5xx is taken for a refusal",
    ),
    (
        Mutation::LostIsNotSent,
        "a broken connection is taken for nothing sent",
    ),
    (
        Mutation::SilentIsNotSent,
        "no reply is taken for nothing sent",
    ),
    (
        Mutation::AmountPlusOne,
        "another amount is sent than was planned",
    ),
    (Mutation::NumberOfItsOwn, "a call makes up its order number"),
    (Mutation::TotalsNotKept, "a commit forgets the totals"),
    (
        Mutation::MoneyNotCounted,
        "a commit counts items and not their money",
    ),
    (Mutation::EventsNotKept, "a commit forgets the history"),
    (
        Mutation::AttemptsNotKept,
        "a commit forgets the call and its answer",
    ),
    (
        Mutation::VersionNotChecked,
        "a late settle overwrites what was found out meanwhile",
    ),
    (
        Mutation::LeaseNotChecked,
        "a call begins after its lease has run out",
    ),
    (
        Mutation::RefundSumNotChecked,
        "refunds may exceed the payment",
    ),
    (
        Mutation::RefundSumForgetsUnknown,
        "the sum of refunds leaves out those that are unknown",
    ),
    (Mutation::RateNotKept, "the token bucket is not emptied"),
    (
        Mutation::RefusedRowsDropped,
        "a row that is refused is not kept",
    ),
    (
        Mutation::KeyWithLine,
        "the same key in another line is another item",
    ),
    (
        Mutation::ContractNotChecked,
        "two deductions of a contract are claimed together",
    ),
    (
        Mutation::ClaimNotWritten,
        "a call is made without its intent on disk",
    ),
    (Mutation::EndsWithUnknown, "a job ends with unknown items"),
    (
        Mutation::SettleNotSynced,
        "a settle is acknowledged and never written",
    ),
    (
        Mutation::NotificationLowersState,
        "a notification lowers a state",
    ),
    (
        Mutation::NotifiedAmountNotCompared,
        "a notification's amount is not compared",
    ),
    (
        Mutation::AuthorApproves,
        "who started a batch may approve it",
    ),
    (
        Mutation::ClaimOfOthersGivenBack,
        "a claim in doubt is given back although another node has claimed the item",
    ),
    (
        Mutation::WithdrawalForgotten,
        "what was withdrawn while it was under way is sent again",
    ),
    (
        Mutation::WithdrawalNotReadAgain,
        "what was withdrawn between its claim and its call is sent",
    ),
];

static ACTIVE: AtomicU8 = AtomicU8::new(0);

/// Activates a fault of this process in place of the one before.
pub fn activate(fault: Option<Mutation>) {
    ACTIVE.store(fault.map_or(0, |fault| fault as u8), Ordering::SeqCst);
}

/// Whether this fault is active.
pub fn is(fault: Mutation) -> bool {
    ACTIVE.load(Ordering::SeqCst) == fault as u8
}

/// What the state machine would say with the fault in it.
pub(crate) fn moved(item: &Item, event: &Event, moved: Move, now: Timestamp) -> Move {
    let to = moved.item.state;
    let went = |state, next_at| Move {
        item: Item {
            state,
            ..moved.item.clone()
        },
        next_at,
        ..moved.clone()
    };
    let answer = if let Event::Answered(answer) = event {
        Some(answer)
    } else {
        None
    };
    let timed_out = matches!(
        answer,
        Some(Answer::Unknown {
            cause: Cause::TimedOut | Cause::ConnectionLost,
            ..
        })
    );
    let abandoned = matches!(
        answer,
        Some(Answer::Unknown {
            cause: Cause::Abandoned,
            ..
        })
    );
    let absent = matches!(answer, Some(Answer::Absent));
    let sent_again = to == State::Planned && matches!(item.state, State::Sending | State::Unknown);
    match () {
        () if is(Mutation::NewNumberOnRetry) && sent_again && !matches!(event, Event::Unsent) => {
            Move {
                item: Item {
                    generation: item.generation + 1,
                    ..moved.item.clone()
                },
                ..moved
            }
        }
        () if is(Mutation::AbandonedIsPlanned) && abandoned => went(State::Planned, Some(now)),
        () if is(Mutation::AbandonedIsFailed) && abandoned => went(State::Failed, None),
        () if is(Mutation::TimeoutIsFailed) && timed_out && item.state == State::Sending => {
            went(State::Failed, None)
        }
        () if is(Mutation::TimeoutIsPlanned) && timed_out && item.state == State::Sending => {
            went(State::Planned, Some(now))
        }
        () if is(Mutation::UnknownClosedByTime) && to == State::Unknown && item.query_count > 1 => {
            went(State::Failed, None)
        }
        () if is(Mutation::UnknownSucceedsByTime)
            && to == State::Unknown
            && item.query_count > 1 =>
        {
            went(State::Succeeded, None)
        }
        () if is(Mutation::AbsentIsFailed) && absent => went(State::Failed, None),
        () if is(Mutation::AbsentAtOnce) && absent && to == State::Unknown => {
            went(State::Planned, Some(now))
        }
        () if is(Mutation::AcceptedIsDone) && matches!(answer, Some(Answer::Accepted)) => {
            went(State::Succeeded, None)
        }
        () if is(Mutation::PendingForgotten) && to == State::Pending => Move {
            next_at: None,
            ..moved
        },
        () if is(Mutation::UnknownForgotten) && to == State::Unknown => Move {
            next_at: None,
            ..moved
        },
        () if is(Mutation::PlannedForgotten) && to == State::Planned => Move {
            next_at: None,
            ..moved
        },
        () => moved,
    }
}

/// What is made of a notification that says less than is known.
pub(crate) fn weighed(verdict: EvidenceVerdict, news: &Evidence<'_>) -> EvidenceVerdict {
    if lowers(news) {
        EvidenceVerdict::Apply
    } else {
        verdict
    }
}

/// Whatever a notification says is the state then.
pub(crate) fn lowered(moved: Move, news: &Evidence<'_>) -> Move {
    if !(lowers(news) && moved.item.state == State::Succeeded) {
        return moved;
    }
    let item = Item {
        state: State::Failed,
        ..moved.item.clone()
    };
    Move { item, ..moved }
}

fn lowers(news: &Evidence<'_>) -> bool {
    is(Mutation::NotificationLowersState)
        && news.source == EvidenceSource::Notification
        && matches!(news.answer, Answer::Accepted | Answer::Declined(_))
}
