//! Deliberate faults, to find out whether the rig would notice them. Only in test builds with the
//! feature `planted`; any other build has none of this code.
//!
//! Each fault is one that a hurried change could bring in. `tests/planted.rs` plants them one by
//! one and plays seeds until a promise is seen broken.

#[cfg(all(feature = "planted", not(debug_assertions)))]
compile_error!("the feature `planted` is for test builds: no release may have it");

/// A fault that can be planted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(
    missing_docs,
    reason = "each is described by the words beside it in ALL"
)]
pub enum Bug {
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
}

/// Every fault, and what it is.
pub const ALL: [(Bug, &str); 39] = [
    (
        Bug::NewNumberOnRetry,
        "a new order number when something is sent again",
    ),
    (
        Bug::AbandonedIsPlanned,
        "what a dead process was sending is sent again without asking",
    ),
    (
        Bug::AbandonedIsFailed,
        "what a dead process was sending is taken for failed",
    ),
    (
        Bug::TimeoutIsFailed,
        "a call that timed out is taken for failed",
    ),
    (
        Bug::TimeoutIsPlanned,
        "a call that timed out is made again without asking",
    ),
    (
        Bug::UnknownClosedByTime,
        "after some asking an unknown item fails",
    ),
    (
        Bug::UnknownSucceedsByTime,
        "after some asking an unknown item succeeds",
    ),
    (Bug::AbsentIsFailed, "\"no such order\" is taken for failed"),
    (
        Bug::AbsentAtOnce,
        "\"no such order\" is believed without the grace period",
    ),
    (Bug::AcceptedIsDone, "accepted is taken for done"),
    (Bug::PendingForgotten, "a pending item is never asked about"),
    (
        Bug::UnknownForgotten,
        "an unknown item is never asked about",
    ),
    (Bug::PlannedForgotten, "what is to be sent again never is"),
    (Bug::ServerErrorIsDeclined, "a 5xx is taken for a refusal"),
    (
        Bug::LostIsNotSent,
        "a broken connection is taken for nothing sent",
    ),
    (Bug::SilentIsNotSent, "no reply is taken for nothing sent"),
    (
        Bug::AmountPlusOne,
        "another amount is sent than was planned",
    ),
    (Bug::NumberOfItsOwn, "a call makes up its order number"),
    (Bug::TotalsNotKept, "a commit forgets the totals"),
    (
        Bug::MoneyNotCounted,
        "a commit counts items and not their money",
    ),
    (Bug::EventsNotKept, "a commit forgets the history"),
    (
        Bug::AttemptsNotKept,
        "a commit forgets the call and its answer",
    ),
    (
        Bug::VersionNotChecked,
        "a late settle overwrites what was found out meanwhile",
    ),
    (
        Bug::LeaseNotChecked,
        "a call begins after its lease has run out",
    ),
    (Bug::RefundSumNotChecked, "refunds may exceed the payment"),
    (
        Bug::RefundSumForgetsUnknown,
        "the sum of refunds leaves out those that are unknown",
    ),
    (Bug::RateNotKept, "the token bucket is not emptied"),
    (Bug::RefusedRowsDropped, "a row that is refused is not kept"),
    (
        Bug::KeyWithLine,
        "the same key in another line is another item",
    ),
    (
        Bug::ContractNotChecked,
        "two deductions of a contract are claimed together",
    ),
    (
        Bug::ClaimNotWritten,
        "a call is made without its intent on disk",
    ),
    (Bug::EndsWithUnknown, "a job ends with unknown items"),
    (
        Bug::SettleNotSynced,
        "a settle is acknowledged and never written",
    ),
    (
        Bug::NotificationLowersState,
        "a notification lowers a state",
    ),
    (
        Bug::NotifiedAmountNotCompared,
        "a notification's amount is not compared",
    ),
    (Bug::AuthorApproves, "who started a batch may approve it"),
    (
        Bug::ClaimOfOthersGivenBack,
        "a claim in doubt is given back although another node has claimed the item",
    ),
    (
        Bug::WithdrawalForgotten,
        "what was withdrawn while it was under way is sent again",
    ),
    (
        Bug::WithdrawalNotReadAgain,
        "what was withdrawn between its claim and its call is sent",
    ),
];

/// Whether this fault is planted.
#[cfg(not(feature = "planted"))]
pub const fn is(_bug: Bug) -> bool {
    false
}

#[cfg(feature = "planted")]
mod sown {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::Bug;
    use crate::answer::{Answer, Cause};
    use crate::item::{Event, Item, Move, State};

    static SOWN: AtomicU8 = AtomicU8::new(0);

    /// Plants a fault in place of the one before.
    pub fn sow(bug: Option<Bug>) {
        SOWN.store(bug.map_or(0, |bug| bug as u8), Ordering::SeqCst);
    }

    /// Whether this fault is planted.
    pub fn is(bug: Bug) -> bool {
        SOWN.load(Ordering::SeqCst) == bug as u8
    }

    /// What the state machine would say with the fault in it.
    pub fn bend(item: &Item, event: &Event, moved: Move, now: crate::time::Timestamp) -> Move {
        let to = moved.item.state;
        let went = |state, due| Move {
            item: Item {
                state,
                ..moved.item.clone()
            },
            due,
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
        let sent_again =
            to == State::Planned && matches!(item.state, State::Sending | State::Unknown);
        match () {
            () if is(Bug::NewNumberOnRetry) && sent_again && !matches!(event, Event::Unsent) => {
                Move {
                    item: Item {
                        generation: item.generation + 1,
                        ..moved.item.clone()
                    },
                    ..moved
                }
            }
            () if is(Bug::AbandonedIsPlanned) && abandoned => went(State::Planned, Some(now)),
            () if is(Bug::AbandonedIsFailed) && abandoned => went(State::Failed, None),
            () if is(Bug::TimeoutIsFailed) && timed_out && item.state == State::Sending => {
                went(State::Failed, None)
            }
            () if is(Bug::TimeoutIsPlanned) && timed_out && item.state == State::Sending => {
                went(State::Planned, Some(now))
            }
            () if is(Bug::UnknownClosedByTime) && to == State::Unknown && item.asks > 1 => {
                went(State::Failed, None)
            }
            () if is(Bug::UnknownSucceedsByTime) && to == State::Unknown && item.asks > 1 => {
                went(State::Succeeded, None)
            }
            () if is(Bug::AbsentIsFailed) && absent => went(State::Failed, None),
            () if is(Bug::AbsentAtOnce) && absent && to == State::Unknown => {
                went(State::Planned, Some(now))
            }
            () if is(Bug::AcceptedIsDone) && matches!(answer, Some(Answer::Accepted)) => {
                went(State::Succeeded, None)
            }
            () if is(Bug::PendingForgotten) && to == State::Pending => Move { due: None, ..moved },
            () if is(Bug::UnknownForgotten) && to == State::Unknown => Move { due: None, ..moved },
            () if is(Bug::PlannedForgotten) && to == State::Planned => Move { due: None, ..moved },
            () => moved,
        }
    }
}

#[cfg(feature = "planted")]
pub use sown::{bend, is, sow};
