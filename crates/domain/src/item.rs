//! The state machine of an item: the one place that decides which state follows which.
//!
//! Pure: `(item, event, policy, now)` to a [`Move`]. It never reads a clock, a database or a random
//! number, and it never sends. `now` may be any instant: time alone closes nothing, it only decides
//! when to ask again and when to call a person.
//!
//! | state \ event | claim | done | accepted | declined | not processed | unknown | absent (query) | cancel | retry |
//! |---|---|---|---|---|---|---|---|---|---|
//! | awaiting approval | – | succeeded, alarm | – | – | – | – | – | cancelled | – |
//! | planned | sending | succeeded, alarm | – | – | – | – | – | cancelled | – |
//! | sending | – | succeeded | pending | soft: planned at the dunning date, or pending to ask about the number; spent: asked about, then planned at once, next number, same dunning step; config, funds: planned, same number; else failed (if the number was sent before: pending, to ask once more) | planned, same number, later; after the last try failed | unknown | – | – | – |
//! | pending | (ask) | succeeded | pending, ask later | as sending; if a decline is being asked about, that one is concluded | – | pending, ask later; past the horizon needs review | unknown, alarm, asked again after the grace period; if a decline is being asked about, concluded with the same number | – | – |
//! | unknown | (ask) | succeeded | pending | as pending | planned, same number | unknown, ask later; past the horizon needs review | after the grace period planned, **same number**; needs review if it was answered twice with a code that no table lists | – | – |
//! | succeeded | – | same receipt: nothing; other: alarm | nothing | alarm | – | nothing | alarm | – | – |
//! | failed, cancelled | – | alarm: money moved | alarm | nothing | – | alarm | nothing | – | sent before: unknown, asked first (sent once and declined for good: pending, asked once); else planned |
//! | needs review | – | succeeded | nothing | as sending | – | nothing | nothing | – | unknown |
//! | rejected, skipped | – | – | – | – | – | – | – | – | – |
//!
//! Persons have four more. Of a batch that waits for approval: *approve* makes it planned,
//! *reject* and *expire* make it cancelled. Of what nobody could find out (unknown, needs review):
//! *resolve*, with a receipt, makes it succeeded, or, because it did not happen, failed. No other
//! state takes them.
//!
//! *Recall* makes what is planned unknown: the ledger was restored from a backup, and it may have
//! been sent since. The number stays. No other state takes it, since everything else that may be
//! under way is asked about anyway.
//!
//! *Cancel* of what may be under way (sending, pending, unknown, needs review) changes no state: it is a
//! withdrawal, and [`heeding`] says what becomes of a move once it was said. Nothing new is sent; what is
//! under way is asked about; what did not happen is cancelled.
//!
//! *Require review* does so with what is planned: money moved under an earlier order number of the item, so
//! that sending it again would move it twice. No other state takes it, since nothing else is about
//! to be sent.
//!
//! `–` is a move that must not happen: [`IllegalMove`]. Three rows say more than the table of the
//! design: an answer that money moved always wins over a state that has not sent yet (a late
//! notification), a person's retry asks before it sends, and of what has ended nobody asks any
//! more, so that an unknown answer can only be that of a call that came to be made after the end.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::answer::{Answer, Cause, Decline, DeclineClass, NumberRule, Receipt};
use super::history::EventKind;
use super::message::Message;
use super::policy::Policy;
use super::reason::ReasonCode;
use super::time::Timestamp;

/// Where an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for somebody's approval; nothing of it is sent before.
    AwaitingApproval,
    /// To be sent when it is due.
    Planned,
    /// Claimed for sending; the call may be under way.
    Sending,
    /// The gateway has it and will decide.
    Pending,
    /// It may have happened or not; it is asked about.
    Unknown,
    /// It happened.
    Succeeded,
    /// It did not happen and is not tried again by itself.
    Failed,
    /// A person withdrew it before anything happened.
    Cancelled,
    /// It needs a person: asking has not told what happened.
    NeedsReview,
    /// The row was refused when it was planned.
    Rejected,
    /// The key had been planned before; see the run that has it.
    Skipped,
}

impl State {
    /// Its word, as a part of what people are told.
    pub const fn told(self) -> Message {
        match self {
            Self::AwaitingApproval => Message::new("state-awaiting-approval", "awaiting_approval"),
            Self::Planned => Message::new("state-planned", "planned"),
            Self::Sending => Message::new("state-sending", "sending"),
            Self::Pending => Message::new("state-pending", "pending"),
            Self::Unknown => Message::new("state-unknown", "unknown"),
            Self::Succeeded => Message::new("state-succeeded", "succeeded"),
            Self::Failed => Message::new("state-failed", "failed"),
            Self::Cancelled => Message::new("state-cancelled", "cancelled"),
            Self::NeedsReview => Message::new("state-needs-review", "needs_review"),
            Self::Rejected => Message::new("state-rejected", "rejected"),
            Self::Skipped => Message::new("state-skipped", "skipped"),
        }
    }

    /// Every state, in the order tables show them.
    pub const ALL: [Self; 11] = [
        Self::Succeeded,
        Self::Failed,
        Self::NeedsReview,
        Self::Unknown,
        Self::Pending,
        Self::Sending,
        Self::Planned,
        Self::AwaitingApproval,
        Self::Cancelled,
        Self::Rejected,
        Self::Skipped,
    ];

    /// Something is still to happen: by itself, or, for what is held, when it is approved.
    pub const OPEN: [Self; 5] = [
        Self::AwaitingApproval,
        Self::Planned,
        Self::Sending,
        Self::Pending,
        Self::Unknown,
    ];

    /// The gateway may be acting on it: nothing else may be sent for the same contract meanwhile.
    pub const IN_FLIGHT: [Self; 4] = [
        Self::Sending,
        Self::Pending,
        Self::Unknown,
        Self::NeedsReview,
    ];

    /// Nothing was sent, or nothing happened of what was: it may be sent.
    pub const TO_BE_SENT: [Self; 2] = [Self::Planned, Self::AwaitingApproval];

    /// It is asked about by itself.
    pub const ASKED_ABOUT: [Self; 2] = [Self::Pending, Self::Unknown];

    /// The gateway has it, or has done it.
    pub const TAKEN_BY_GATEWAY: [Self; 2] = [Self::Succeeded, Self::Pending];

    /// The gateway may have it: it was sent, and no call is under way.
    pub const MAY_BE_AT_GATEWAY: [Self; 4] = [
        Self::Succeeded,
        Self::Pending,
        Self::Unknown,
        Self::NeedsReview,
    ];

    /// In these it may be found out that the gateway has it.
    pub const MAY_COME_TO_GATEWAY: [Self; 4] = [
        Self::Planned,
        Self::Sending,
        Self::Unknown,
        Self::NeedsReview,
    ];

    /// Money may have moved, or be moving, without anybody being wrong.
    pub const MAY_HAVE_MOVED: [Self; 5] = [
        Self::Sending,
        Self::Pending,
        Self::Unknown,
        Self::NeedsReview,
        Self::Succeeded,
    ];

    /// It did not end well, or has not ended because a person has to look.
    pub const WENT_WRONG: [Self; 5] = [
        Self::Failed,
        Self::NeedsReview,
        Self::Rejected,
        Self::Skipped,
        Self::Cancelled,
    ];

    /// A person may have it tried again, who has not said herself that it is to end.
    pub const NEEDS_A_PERSON: [Self; 2] = [Self::Failed, Self::NeedsReview];

    /// Something may still happen, by itself or by a person.
    pub const NOT_ENDED: [Self; 6] = [
        Self::AwaitingApproval,
        Self::Planned,
        Self::Sending,
        Self::Pending,
        Self::Unknown,
        Self::NeedsReview,
    ];

    /// Nothing more happens by itself, and nobody has to look.
    pub const ENDED: [Self; 5] = [
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Rejected,
        Self::Skipped,
    ];

    /// Its row was not taken when it was planned: it has no history.
    pub const NOT_TAKEN: [Self; 2] = [Self::Rejected, Self::Skipped];

    /// Nothing of it was done: its row was not taken, or it was withdrawn.
    pub const NOT_DONE: [Self; 3] = [Self::Rejected, Self::Skipped, Self::Cancelled];

    /// Nothing came of it, as far as anybody knows: another item may do the same in its place.
    pub const CAME_TO_NOTHING: [Self; 4] =
        [Self::Failed, Self::Cancelled, Self::Rejected, Self::Skipped];

    /// Every set of states that a statement of the ledger names: it names no other, which a test
    /// holds it to.
    pub const SETS: [&[Self]; 15] = [
        &Self::OPEN,
        &Self::IN_FLIGHT,
        &Self::TO_BE_SENT,
        &Self::ASKED_ABOUT,
        &Self::TAKEN_BY_GATEWAY,
        &Self::MAY_BE_AT_GATEWAY,
        &Self::MAY_COME_TO_GATEWAY,
        &Self::MAY_HAVE_MOVED,
        &Self::WENT_WRONG,
        &Self::NEEDS_A_PERSON,
        &Self::NOT_ENDED,
        &Self::ENDED,
        &Self::NOT_TAKEN,
        &Self::NOT_DONE,
        &Self::CAME_TO_NOTHING,
    ];

    /// The word for this state, as tables and the ledger spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AwaitingApproval => "awaiting_approval",
            Self::Planned => "planned",
            Self::Sending => "sending",
            Self::Pending => "pending",
            Self::Unknown => "unknown",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::NeedsReview => "needs_review",
            Self::Rejected => "rejected",
            Self::Skipped => "skipped",
        }
    }

    /// The same for people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::AwaitingApproval => "waits for approval",
            Self::NeedsReview => "needs review",
            Self::Planned
            | Self::Sending
            | Self::Pending
            | Self::Unknown
            | Self::Succeeded
            | Self::Failed
            | Self::Cancelled
            | Self::Rejected
            | Self::Skipped => self.as_str(),
        }
    }

    /// What a sentence says of an item in this state: `is planned`, `needs review`.
    pub fn predicate(self) -> String {
        self.predicate_told().to_string()
    }

    /// The same, as a part of what people are told.
    pub fn predicate_told(self) -> Message {
        match self {
            Self::AwaitingApproval => Message::new("it-waits-for-approval", "waits for approval"),
            Self::NeedsReview => Message::new("it-needs-review", "needs review"),
            Self::Planned
            | Self::Sending
            | Self::Pending
            | Self::Unknown
            | Self::Succeeded
            | Self::Failed
            | Self::Cancelled
            | Self::Rejected
            | Self::Skipped => Message::new("it-is", "is {state}").with("state", self.told()),
        }
    }

    /// The state of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// Whether it is one of [`State::OPEN`].
    pub fn is_open(self) -> bool {
        Self::OPEN.contains(&self)
    }

    /// Whether it is one of [`State::IN_FLIGHT`].
    pub fn is_in_flight(self) -> bool {
        Self::IN_FLIGHT.contains(&self)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the state machine knows of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where it is.
    pub state: State,
    /// Which order number is in use: 1, and one more after each decline that spent the number.
    pub generation: u16,
    /// How often the number in use was claimed for sending.
    pub submit_count: u32,
    /// How often it was asked about since it became open.
    pub query_count: u32,
    /// How many soft declines it has had: its place on the dunning ladder.
    pub decline_count: u16,
    /// When a number was last claimed for sending; none if never.
    pub sent_at: Option<Timestamp>,
    /// Since when it is not known what became of it.
    pub unresolved_since: Option<Timestamp>,
    /// What its next query is to find out.
    pub query_purpose: QueryPurpose,
    /// The gateway's number for what it did.
    pub receipt: Option<Receipt>,
    /// A fixed number per item by which its waits differ, so that a thousand items do not come back
    /// at once.
    pub jitter: u8,
}

impl Item {
    /// A new item.
    pub const fn planned(jitter: u8) -> Self {
        Self {
            state: State::Planned,
            generation: 1,
            submit_count: 0,
            query_count: 0,
            decline_count: 0,
            sent_at: None,
            unresolved_since: None,
            query_purpose: QueryPurpose::Outcome,
            receipt: None,
            jitter,
        }
    }
}

/// What a query is to find out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryPurpose {
    /// What became of the order.
    Outcome,
    /// It was declined; whether its number is spent.
    Number(Decline),
    /// A person wants it sent again; whether that is safe, and under which number.
    Resend,
    /// The same of what was sent once and declined for good: that the gateway has no such order is
    /// believed at once.
    ResendDeclined,
    /// What became of the order, which was answered with this code that no outcome table lists.
    Unmapped(String),
}

/// What happens to an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A worker takes it: to send it, or, if it is open at the gateway, to ask about it.
    Claim,
    /// A claimed item is given back before anything was sent.
    Unsent,
    /// The gateway said something, in a reply, to a query, or in a notification; or said nothing.
    Answered(Answer),
    /// A person withdraws it.
    Cancel,
    /// A person wants it tried again.
    Retry,
    /// Enough persons have approved the batch it belongs to.
    Approve,
    /// A person will not have the batch.
    Reject,
    /// Nobody approved the batch in time.
    Expire,
    /// A person has found out what became of it.
    Resolve(Resolution),
    /// The ledger was restored from a backup: whether it was sent since must be asked before it is
    /// sent.
    Recall,
    /// Money moved under an earlier order number: a person has to look before anything more is
    /// sent.
    RequireReview,
}

/// What a person has found out, where asking has not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// It happened; the gateway's number for it.
    Succeeded(Receipt),
    /// It did not and will not happen under the number in use.
    Failed,
}

impl Event {
    /// How the history spells it.
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Claim => EventKind::Claim,
            Self::Unsent => EventKind::Unsent,
            Self::Answered(answer) => EventKind::Answered(answer.kind()),
            Self::Cancel => EventKind::Cancel,
            Self::Retry => EventKind::Retry,
            Self::Approve => EventKind::Approve,
            Self::Reject => EventKind::Reject,
            Self::Expire => EventKind::Expire,
            Self::Resolve(_) => EventKind::Resolve,
            Self::Recall => EventKind::Recall,
            Self::RequireReview => EventKind::RequireReview,
        }
    }
}

/// What follows from an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The item as it is now.
    pub item: Item,
    /// When a worker should take it up next; none if it is at rest.
    pub next_at: Option<Timestamp>,
    /// Why, where the state alone does not say: for people.
    pub reason: Option<Message>,
    /// What follows from that reason, if anything does.
    pub code: Option<ReasonCode>,
    /// What a person should hear of at once.
    pub alarm: Option<Alarm>,
}

impl Move {
    /// The item stays as it is, at rest, and its history says why it was written.
    pub fn noted(item: &Item, reason: Message) -> Self {
        Self {
            item: item.clone(),
            next_at: None,
            reason: Some(reason),
            code: None,
            alarm: None,
        }
    }

    /// With this reason, from which nothing follows.
    #[must_use]
    pub fn because(self, reason: Option<Message>) -> Self {
        Self {
            reason,
            code: None,
            ..self
        }
    }

    /// In these words, from which the same follows.
    #[must_use]
    pub fn worded(self, reason: Option<Message>) -> Self {
        Self { reason, ..self }
    }

    /// With more words behind its reason; without a reason it stays without.
    #[must_use]
    pub fn with_words(mut self, more: impl FnOnce(Message) -> Message) -> Self {
        self.reason = self.reason.map(more);
        self
    }

    /// With this alarm, where it has none of its own.
    #[must_use]
    pub fn warned(self, alarm: Option<Alarm>) -> Self {
        Self {
            alarm: self.alarm.or(alarm),
            ..self
        }
    }

    /// Due at this instant at the earliest. What is at rest stays so.
    #[must_use]
    pub fn not_before(self, at: Timestamp) -> Self {
        Self {
            next_at: self.next_at.map(|next_at| next_at.max(at)),
            ..self
        }
    }

    /// With what follows from its reason.
    #[must_use]
    const fn coded(mut self, code: ReasonCode) -> Self {
        self.code = Some(code);
        self
    }

    /// Due at this instant.
    #[must_use]
    pub fn with_next_at(self, next_at: Timestamp) -> Self {
        Self {
            next_at: Some(next_at),
            ..self
        }
    }
}

/// Answers that contradict what was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// Money moved, or may have, for an item that had ended without, or under an earlier number of
    /// one that has not ended.
    MoneyMoved,
    /// Money moved for an item that was waiting to be sent.
    MovedBeforeSent,
    /// A second receipt for an item that had succeeded.
    SecondReceipt,
    /// The gateway takes back a success.
    SuccessDenied,
    /// The gateway no longer knows an order it had accepted.
    OrderVanished,
    /// The gateway tells of another amount or currency than ours.
    AmountDiffers,
    /// The buyer that was declared to customs is not the payer: no contradiction about money, and a
    /// person has to look.
    PayerDiffers,
    /// Nobody could find out whether the buyer that was declared to customs is the payer.
    PayerUnknown,
    /// It happened although a person had withdrawn it: the withdrawal came too late.
    Withdrawn,
}

impl Alarm {
    /// Every alarm.
    pub const ALL: [Self; 9] = [
        Self::MoneyMoved,
        Self::MovedBeforeSent,
        Self::SecondReceipt,
        Self::SuccessDenied,
        Self::OrderVanished,
        Self::AmountDiffers,
        Self::PayerDiffers,
        Self::PayerUnknown,
        Self::Withdrawn,
    ];

    /// The alarm of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|alarm| alarm.as_str() == word)
    }

    /// What the alarm of this word means, also where only a later version knows it.
    pub fn meaning_of(word: &str) -> &'static str {
        Self::parse(word).map_or(
            "the gateway contradicts what was known of an item",
            Self::meaning,
        )
    }

    /// What it means, in words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::MoneyMoved => "money moved, or may have, against what is known of an item",
            Self::MovedBeforeSent => {
                "money moved for an item that was waiting to be sent; it is not sent again"
            }
            Self::SecondReceipt => {
                "a second receipt for an item that had succeeded: it may be charged twice"
            }
            Self::SuccessDenied => "the gateway takes back a success",
            Self::OrderVanished => "the gateway no longer knows an order it had accepted",
            Self::AmountDiffers => "the gateway names another amount or currency than ours",
            Self::PayerDiffers => "the buyer of a declared order is not its payer",
            Self::PayerUnknown => {
                "it could not be found out whether the buyer of a declared order is its payer"
            }
            Self::Withdrawn => "it happened although a person had withdrawn it",
        }
    }

    /// The word for this alarm, as tables and the ledger spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MoneyMoved => "money_moved",
            Self::MovedBeforeSent => "moved_before_sent",
            Self::SecondReceipt => "second_receipt",
            Self::SuccessDenied => "success_denied",
            Self::OrderVanished => "order_vanished",
            Self::AmountDiffers => "amount_differs",
            Self::PayerDiffers => "payer_differs",
            Self::PayerUnknown => "payer_unknown",
            Self::Withdrawn => "withdrawn_too_late",
        }
    }
}

/// A move that is not in the table: a defect of payrun, or a person asking for the impossible.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct IllegalMove {
    /// Where the item was.
    pub state: State,
    /// What was to happen to it.
    pub event: EventKind,
}

impl IllegalMove {
    /// Of what a person may ask for: of which items it can be asked.
    fn what_can(&self) -> Message {
        match self.event {
            EventKind::Cancel => Message::new(
                "only-open-withdrawn",
                "; only what has not ended can be withdrawn",
            ),
            EventKind::Retry => Message::new(
                "only-failed-retried",
                "; only what has failed, was cancelled or needs review can be retried",
            ),
            EventKind::Resolve => Message::new(
                "only-unknown-resolved",
                "; only what is unknown or needs review can be resolved by hand",
            ),
            event @ (EventKind::Claim
            | EventKind::Unsent
            | EventKind::LookedUp
            | EventKind::Answered(_)
            | EventKind::Abandoned
            | EventKind::LateDone
            | EventKind::LateAnswer
            | EventKind::Notification
            | EventKind::Statement
            | EventKind::Approve
            | EventKind::Reject
            | EventKind::Expire
            | EventKind::Recall
            | EventKind::RequireReview
            | EventKind::FiledAgain) => {
                Message::new("cannot-take-event", ", and cannot take the event {event}")
                    .with("event", event.to_string())
            }
        }
    }

    /// Why it is not done.
    pub fn message(&self) -> Message {
        Message::new("illegal-move", "it {predicate}{only}")
            .with("predicate", self.state.predicate_told())
            .with("only", self.what_can())
    }
}

impl fmt::Display for IllegalMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message().fmt(f)
    }
}

/// Decides what follows.
///
/// # Errors
/// [`IllegalMove`] for a move that is not in the table.
///
/// ```
/// use std::time::Duration;
/// use payrun_domain::answer::{Answer, Cause};
/// use payrun_domain::item::{apply, Event, Item, State};
/// use payrun_domain::policy::{Policy, QueryPolicy, Retry};
/// use payrun_domain::time::Timestamp;
///
/// let second = Duration::from_secs(1);
/// let policy = Policy {
///     retry: Retry { attempts: 5, first: second, max: second * 60 },
///     query: QueryPolicy { schedule: vec![second * 5], grace: second * 60, horizon: second * 86_400 },
///     dunning: vec![],
/// };
/// let now = Timestamp::from_millis(0);
/// let sending = apply(&Item::planned(0), &Event::Claim, &policy, now).unwrap().item;
/// let timed_out = Event::Answered(Answer::Unknown { cause: Cause::TimedOut, code: String::new() });
/// assert_eq!(apply(&sending, &timed_out, &policy, now).unwrap().item.state, State::Unknown);
/// ```
pub fn apply(
    item: &Item,
    event: &Event,
    policy: &Policy,
    now: Timestamp,
) -> Result<Move, IllegalMove> {
    let moved = applied(item, event, policy, now);
    #[cfg(feature = "mutation")]
    let moved = moved.map(|moved| crate::mutation::moved(item, event, moved, now));
    moved
}

fn applied(
    item: &Item,
    event: &Event,
    policy: &Policy,
    now: Timestamp,
) -> Result<Move, IllegalMove> {
    let illegal = || {
        Err(IllegalMove {
            state: item.state,
            event: event.kind(),
        })
    };
    match event {
        Event::Claim => claim(item, now).map_or_else(illegal, Ok),
        Event::Unsent if item.state == State::Sending => Ok(give_back(item, now)),
        Event::Unsent if item.state.is_in_flight() => Ok(rest_unless_open(item.clone(), now)),
        Event::Cancel if matches!(item.state, State::Planned | State::AwaitingApproval) => {
            let why = Message::new("cancelled-by-person", "cancelled by a person");
            Ok(withdrawn(item, why))
        }
        Event::Retry => retry(item, policy, now).map_or_else(illegal, Ok),
        Event::Answered(answer) => answered(item, answer, policy, now).map_or_else(illegal, Ok),
        Event::Approve if item.state == State::AwaitingApproval => Ok(plain(
            Item {
                state: State::Planned,
                ..item.clone()
            },
            Some(now),
        )),
        Event::Reject if item.state == State::AwaitingApproval => {
            let why = Message::new("batch-rejected", "the batch was rejected");
            Ok(withdrawn(item, why))
        }
        Event::Expire if item.state == State::AwaitingApproval => {
            let why = Message::new("batch-expired", "nobody approved the batch in time");
            Ok(withdrawn(item, why))
        }
        Event::Resolve(finding)
            if matches!(item.state, State::Unknown | State::NeedsReview)
                || (item.state == State::Pending
                    && item.query_purpose == QueryPurpose::ResendDeclined) =>
        {
            Ok(resolved(item, finding))
        }
        Event::Recall if item.state == State::Planned => Ok(recall(item, now)),
        Event::RequireReview if item.state == State::Planned => {
            let why = Message::new(
                "money-moved-before",
                "money moved under an earlier order number of it: look before anything more is sent",
            );
            Ok(at_rest(item, State::NeedsReview, Some(why)))
        }
        Event::Unsent
        | Event::Cancel
        | Event::Recall
        | Event::RequireReview
        | Event::Approve
        | Event::Reject
        | Event::Expire
        | Event::Resolve(_) => illegal(),
    }
}

/// What becomes of a move of an item that a person has withdrawn (`withdrawal`: who, and why) while
/// it may have been under way: where it would be sent again or has failed, nothing happened, and it
/// is cancelled; where it happened, the withdrawal came too late.
#[must_use]
pub fn heeding(withdrawal: &str, was: &Item, moved: Move) -> Move {
    let because = moved.reason.clone();
    let because = because.unwrap_or_else(|| Message::new("nothing-was-sent", "nothing was sent"));
    let did_not_happen = Message::new(
        "withdrawn-did-not-happen",
        "withdrawn by {who}; it did not happen: {because}",
    );
    let did_not_happen = did_not_happen
        .with("who", withdrawal)
        .with("because", because);
    match moved.item.state {
        // Under the number that was sent last, so that a person's retry asks about that.
        State::Planned => at_rest(was, State::Cancelled, Some(did_not_happen)),
        State::Failed if was.state != State::Failed => {
            at_rest(&moved.item, State::Cancelled, Some(did_not_happen))
        }
        State::Succeeded if was.state != State::Succeeded => Move {
            reason: Some(
                Message::new(
                    "withdrawn-too-late",
                    "withdrawn by {who}, which was too late: it had happened",
                )
                .with("who", withdrawal),
            ),
            alarm: moved.alarm.or(Some(Alarm::Withdrawn)),
            ..moved
        },
        State::AwaitingApproval
        | State::Sending
        | State::Pending
        | State::Unknown
        | State::Succeeded
        | State::Failed
        | State::Cancelled
        | State::NeedsReview
        | State::Rejected
        | State::Skipped => moved,
    }
}

fn withdrawn(item: &Item, why: Message) -> Move {
    at_rest(item, State::Cancelled, Some(why))
}

fn resolved(item: &Item, finding: &Resolution) -> Move {
    let by_hand = || Some(Message::new("resolved-by-person", "resolved by a person"));
    match finding {
        Resolution::Succeeded(receipt) => Move {
            reason: by_hand(),
            ..succeeded(item, receipt)
        },
        Resolution::Failed => at_rest(item, State::Failed, by_hand()),
    }
}

fn claim(item: &Item, now: Timestamp) -> Option<Move> {
    let mut next = item.clone();
    match item.state {
        State::Planned => {
            next.state = State::Sending;
            next.submit_count += 1;
            next.query_count = 0;
            next.sent_at = Some(now);
            next.unresolved_since = None;
            next.query_purpose = QueryPurpose::Outcome;
        }
        State::Pending | State::Unknown => next.query_count += 1,
        State::AwaitingApproval
        | State::Sending
        | State::Succeeded
        | State::Failed
        | State::Cancelled
        | State::NeedsReview
        | State::Rejected
        | State::Skipped => return None,
    }
    Some(plain(next, None))
}

fn give_back(item: &Item, now: Timestamp) -> Move {
    let mut next = item.clone();
    next.state = State::Planned;
    next.submit_count = item.submit_count.saturating_sub(1);
    plain(next, Some(now))
}

fn rest_unless_open(item: Item, now: Timestamp) -> Move {
    let next_at = item.state.is_open().then_some(now);
    plain(item, next_at)
}

fn retry(item: &Item, policy: &Policy, now: Timestamp) -> Option<Move> {
    // It was sent once, and the gateway refused it for good: nothing of it can show up late.
    let was_declined =
        item.submit_count <= 1 && matches!(item.query_purpose, QueryPurpose::Number(_));
    let (state, purpose) = match item.state {
        State::Failed | State::Cancelled | State::NeedsReview if was_declined => {
            (State::Pending, QueryPurpose::ResendDeclined)
        }
        State::Failed | State::Cancelled => (State::Unknown, QueryPurpose::Resend),
        State::NeedsReview => (State::Unknown, QueryPurpose::Outcome),
        State::AwaitingApproval
        | State::Planned
        | State::Sending
        | State::Pending
        | State::Unknown
        | State::Succeeded
        | State::Rejected
        | State::Skipped => return None,
    };
    let mut next = item.clone();
    (next.submit_count, next.query_count, next.decline_count) = (0, 0, 0);
    if item.sent_at.is_some() {
        next.state = state;
        next.query_purpose = purpose;
        next.unresolved_since = Some(now);
    } else {
        next.state = State::Planned;
        next.query_purpose = QueryPurpose::Outcome;
    }
    let reason = verifying(&next, policy, now);
    Some(Move {
        reason,
        ..plain(next, Some(now))
    })
}

/// Why what a person wants sent again is asked about first, and until when that may take.
fn verifying(item: &Item, policy: &Policy, now: Timestamp) -> Option<Message> {
    match item.query_purpose {
        QueryPurpose::ResendDeclined => {
            let what = Message::new(
                "verifying-declined",
                "verifying: it was declined, so the gateway is asked at once, and it is sent again when that has no such order",
            );
            Some(what)
        }
        QueryPurpose::Resend => {
            let until = item
                .sent_at
                .map(|sent| sent.plus(policy.query.grace))
                .filter(|until| *until > now);
            let late = until.map(|until| {
                Message::new("verifying-until", "; until {until} it may show up late")
                    .with("until", until.to_string())
            });
            let verifying = Message::new(
                "verifying",
                "verifying: it is sent again when the gateway says that it has no such order{late}",
            );
            Some(verifying.with("late", late))
        }
        QueryPurpose::Outcome | QueryPurpose::Number(_) | QueryPurpose::Unmapped(_) => None,
    }
}

/// As if it had been sent just now: an order that was sent right before the ledger was lost may
/// show up late.
fn recall(item: &Item, now: Timestamp) -> Move {
    let mut next = item.clone();
    next.state = State::Unknown;
    next.query_count = 0;
    (next.sent_at, next.unresolved_since) = (Some(now), Some(now));
    next.query_purpose = QueryPurpose::Outcome;
    because(
        plain(next, Some(now)),
        Message::new(
            "ledger-restored",
            "the ledger was restored; it may have been sent since the backup",
        ),
    )
}

fn answered(item: &Item, answer: &Answer, policy: &Policy, now: Timestamp) -> Option<Move> {
    match item.state {
        State::Planned | State::AwaitingApproval => match answer {
            Answer::Done(receipt) => {
                Some(alarmed(succeeded(item, receipt), Alarm::MovedBeforeSent))
            }
            Answer::Accepted
            | Answer::Declined(_)
            | Answer::NotProcessed { .. }
            | Answer::Absent
            | Answer::Unknown { .. } => None,
        },
        State::Sending => while_sending(item, answer, policy, now),
        State::Pending | State::Unknown => while_open(item, answer, policy, now),
        State::NeedsReview => match answer {
            Answer::Done(receipt) => Some(succeeded(item, receipt)),
            Answer::Declined(decline) => Some(declined(item, decline, policy, now)),
            Answer::Accepted | Answer::Absent | Answer::Unknown { .. } => {
                Some(plain(item.clone(), None))
            }
            Answer::NotProcessed { .. } => None,
        },
        State::Succeeded => after_success(item, answer),
        State::Failed | State::Cancelled => after_failure(item, answer),
        State::Rejected | State::Skipped => None,
    }
}

fn while_sending(item: &Item, answer: &Answer, policy: &Policy, now: Timestamp) -> Option<Move> {
    match answer {
        Answer::Done(receipt) => Some(succeeded(item, receipt)),
        Answer::Accepted => Some(ask_later(
            item,
            State::Pending,
            QueryPurpose::Outcome,
            policy,
            now,
        )),
        Answer::Declined(decline) => Some(declined(item, decline, policy, now)),
        Answer::NotProcessed { code, after } => {
            Some(not_processed(item, code, *after, policy, now))
        }
        Answer::Unknown { cause, code } => {
            let unmapped = *cause == Cause::Unmapped && !code.is_empty();
            let purpose = if unmapped {
                QueryPurpose::Unmapped(code.clone())
            } else {
                QueryPurpose::Outcome
            };
            let moved = ask_later(item, State::Unknown, purpose, policy, now);
            // The lease has run out, so the call has ended long ago: there is nothing to wait for.
            let next_at = if *cause == Cause::Abandoned {
                Some(now)
            } else {
                moved.next_at
            };
            let reason = if unmapped {
                Message::new("cause-with-code", "{cause}: {code}")
                    .with("cause", cause.told())
                    .with("code", code)
            } else {
                cause.told()
            };
            Some(Move {
                next_at,
                reason: Some(reason),
                ..moved
            })
        }
        Answer::Absent => None,
    }
}

fn while_open(item: &Item, answer: &Answer, policy: &Policy, now: Timestamp) -> Option<Move> {
    match (answer, &item.query_purpose) {
        (Answer::Done(receipt), _) => Some(succeeded(item, receipt)),
        // It is there after all: what was said of it before no longer counts.
        (Answer::Accepted, QueryPurpose::ResendDeclined) => Some(query_or_review(
            item,
            State::Pending,
            QueryPurpose::Resend,
            policy,
            now,
            STILL_UNDECIDED,
        )),
        (Answer::Accepted, purpose) => Some(query_or_review(
            item,
            State::Pending,
            purpose.clone(),
            policy,
            now,
            STILL_UNDECIDED,
        )),
        // What the query says of the refusal is more than what it says of the number. The person
        // who wants it sent again has decided already that a spent number is followed by a new one.
        (Answer::Declined(told), QueryPurpose::Resend | QueryPurpose::ResendDeclined)
            if told.number == NumberRule::Next =>
        {
            Some(resend(item, NumberRule::Next, now))
        }
        (
            Answer::Declined(told),
            QueryPurpose::Number(_) | QueryPurpose::Resend | QueryPurpose::ResendDeclined,
        ) if told.class == DeclineClass::Person => Some(declined(item, told, policy, now)),
        (Answer::Declined(told), QueryPurpose::Number(first)) => {
            Some(conclude(item, first, told.number, policy, now))
        }
        (Answer::Declined(told), QueryPurpose::Resend | QueryPurpose::ResendDeclined) => {
            Some(resend(item, told.number, now))
        }
        (Answer::Declined(decline), QueryPurpose::Outcome | QueryPurpose::Unmapped(_)) => {
            Some(declined(item, decline, policy, now))
        }
        (Answer::Absent, QueryPurpose::ResendDeclined) => Some(resend(item, NumberRule::Same, now)),
        (Answer::Absent, QueryPurpose::Number(first)) => {
            Some(conclude(item, first, NumberRule::Same, policy, now))
        }
        // The gateway had it: that it has not is believed no sooner than of an order that was sent
        // just now.
        (Answer::Absent, purpose) if item.state == State::Pending => {
            let moved = ask_later(item, State::Unknown, purpose.clone(), policy, now);
            let next_at = moved.next_at.max(Some(now.plus(policy.query.grace)));
            let reason = Some(Message::new(
                "order-vanished",
                "the gateway no longer knows an order it had accepted",
            ));
            Some(alarmed(
                Move {
                    next_at,
                    reason,
                    ..moved
                },
                Alarm::OrderVanished,
            ))
        }
        (Answer::Absent, QueryPurpose::Resend) if grace_is_over(item, policy, now) => {
            Some(resend(item, NumberRule::Same, now))
        }
        // It was answered so before, and nothing came of it then either: a person has to find out
        // what the code means.
        (Answer::Absent, QueryPurpose::Unmapped(code))
            if grace_is_over(item, policy, now) && item.submit_count > 1 =>
        {
            let reason = Message::new(
                "unmapped-and-absent",
                "answered {code}, which no outcome table lists, and the gateway has no such order",
            );
            let reason = reason.with("code", code);
            Some(at_rest(item, State::NeedsReview, Some(reason)))
        }
        (Answer::Absent, QueryPurpose::Outcome | QueryPurpose::Unmapped(_))
            if grace_is_over(item, policy, now) =>
        {
            Some(send_again(item, policy, now))
        }
        (Answer::Absent, purpose) => Some(ask_later(
            item,
            State::Unknown,
            purpose.clone(),
            policy,
            now,
        )),
        (Answer::NotProcessed { code, after }, _) if item.state == State::Unknown => {
            Some(not_processed(item, code, *after, policy, now))
        }
        (Answer::NotProcessed { .. }, _) => None,
        // A question that did not get through says nothing, not even that asking is in vain.
        (
            Answer::Unknown {
                cause: Cause::NotAsked,
                ..
            },
            purpose,
        ) => Some(ask_later(item, item.state, purpose.clone(), policy, now)),
        (Answer::Unknown { cause, .. }, purpose) => Some(query_or_review(
            item,
            item.state,
            purpose.clone(),
            policy,
            now,
            cause.told(),
        )),
    }
}

fn after_success(item: &Item, answer: &Answer) -> Option<Move> {
    let same = plain(item.clone(), None);
    match answer {
        Answer::Done(receipt) if item.receipt.as_ref() == Some(receipt) => Some(same),
        Answer::Done(_) => Some(alarmed(same, Alarm::SecondReceipt)),
        Answer::Declined(_) | Answer::Absent => Some(alarmed(same, Alarm::SuccessDenied)),
        Answer::Accepted | Answer::Unknown { .. } => Some(same),
        Answer::NotProcessed { .. } => None,
    }
}

fn after_failure(item: &Item, answer: &Answer) -> Option<Move> {
    let same = plain(item.clone(), None);
    match answer {
        Answer::Done(_) | Answer::Accepted | Answer::Unknown { .. } => {
            Some(alarmed(same, Alarm::MoneyMoved))
        }
        Answer::Declined(_) | Answer::Absent => Some(same),
        Answer::NotProcessed { .. } => None,
    }
}

fn succeeded(item: &Item, receipt: &Receipt) -> Move {
    let mut next = item.clone();
    next.state = State::Succeeded;
    next.receipt = Some(receipt.clone());
    plain(next, None)
}

fn declined(item: &Item, decline: &Decline, policy: &Policy, now: Timestamp) -> Move {
    match decline.class {
        // This number was sent before, and what was taken for nothing then may have happened after
        // all: ask once more.
        DeclineClass::Hard
            if decline.number == NumberRule::Ask
                && (item.submit_count > 1 || item.decline_count > 0) =>
        {
            ask_later(
                item,
                State::Pending,
                QueryPurpose::Number(decline.clone()),
                policy,
                now,
            )
        }
        DeclineClass::Hard => at_rest(
            &refused(item, decline),
            State::Failed,
            Some(declined_with(decline)),
        )
        .coded(ReasonCode::Declined),
        DeclineClass::Person => {
            let reason = Message::new("person-has-to-decide", "a person has to decide: {code}");
            let reason = reason.with("code", &decline.code);
            at_rest(&refused(item, decline), State::NeedsReview, Some(reason))
                .coded(ReasonCode::NeedsDecision)
        }
        DeclineClass::Config | DeclineClass::Funds => {
            let mut next = item.clone();
            next.state = State::Planned;
            let next_at = now.plus(policy.retry.wait(item.submit_count, item.jitter));
            because(
                plain(next, Some(next_at)),
                Message::new("waits-for-lane", "waits for the lane: {code}")
                    .with("code", &decline.code),
            )
        }
        DeclineClass::Soft | DeclineClass::Spent if decline.number == NumberRule::Ask => ask_later(
            item,
            State::Pending,
            QueryPurpose::Number(decline.clone()),
            policy,
            now,
        ),
        DeclineClass::Soft | DeclineClass::Spent => {
            conclude(item, decline, decline.number, policy, now)
        }
    }
}

/// An item that keeps that what was sent was refused: nothing of it can show up late.
fn refused(item: &Item, decline: &Decline) -> Item {
    let is_sent = item.state == State::Sending;
    Item {
        query_purpose: if is_sent {
            QueryPurpose::Number(decline.clone())
        } else {
            item.query_purpose.clone()
        },
        ..item.clone()
    }
}

/// A decline whose number rule is known: the next step of the dunning ladder if it is soft, or the
/// end.
fn conclude(
    item: &Item,
    decline: &Decline,
    number: NumberRule,
    policy: &Policy,
    now: Timestamp,
) -> Move {
    if decline.class == DeclineClass::Spent {
        return spent(item, decline, number, policy, now);
    }
    let step = usize::from(item.decline_count);
    let mut next = item.clone();
    next.decline_count += 1;
    let Some(wait) = policy
        .dunning
        .get(step)
        .filter(|_| decline.class == DeclineClass::Soft)
    else {
        return at_rest(&next, State::Failed, Some(declined_with(decline)))
            .coded(ReasonCode::Declined);
    };
    let mut moved = resend(&next, number, now.plus(*wait));
    let dunning = Message::new(
        "declined-dunning",
        "declined: {code}; dunning step {step} of {steps}",
    );
    moved.reason = Some(
        dunning
            .with("code", &decline.code)
            .with("step", step + 1)
            .with("steps", policy.dunning.len()),
    );
    moved
}

/// The number was closed at the gateway before anything was asked of the payer: the same step of
/// the ladder, under the next number.
fn spent(
    item: &Item,
    decline: &Decline,
    number: NumberRule,
    policy: &Policy,
    now: Timestamp,
) -> Move {
    match number {
        // Called closed and shown as free: it is tried again like anything that was not processed.
        NumberRule::Same => not_processed(item, &decline.code, None, policy, now),
        NumberRule::Next
            if u32::from(item.generation)
                > u32::from(item.decline_count) + policy.retry.attempts =>
        {
            let reason = Message::new(
                "numbers-closed",
                "{count} order numbers of it are closed at the gateway: {code}",
            );
            let reason = reason
                .with("count", u64::from(item.generation))
                .with("code", &decline.code);
            at_rest(item, State::NeedsReview, Some(reason))
        }
        NumberRule::Next | NumberRule::Ask => {
            let moved = resend(item, number, now);
            let because = Message::new(
                "number-closed",
                "the gateway had closed the order number: {code}; it is sent under the next",
            );
            let because = because.with("code", &decline.code);
            Move {
                reason: moved.reason.clone().or(Some(because)),
                ..moved
            }
        }
    }
}

fn resend(item: &Item, number: NumberRule, at: Timestamp) -> Move {
    let mut next = item.clone();
    next.state = State::Planned;
    next.query_purpose = QueryPurpose::Outcome;
    next.unresolved_since = None;
    if number == NumberRule::Next {
        next.generation += 1;
    }
    if number != NumberRule::Ask {
        next.submit_count = 0;
        return plain(next, Some(at));
    }
    // Not told whether the number is spent: nothing may be sent under either.
    at_rest(
        &next,
        State::NeedsReview,
        Some(Message::new(
            "number-perhaps-spent",
            "the gateway does not say whether the order number is spent",
        )),
    )
}

fn not_processed(
    item: &Item,
    code: &str,
    after: Option<u64>,
    policy: &Policy,
    now: Timestamp,
) -> Move {
    if item.submit_count >= policy.retry.attempts {
        let reason = Message::new(
            "not-processed-in-attempts",
            "not processed in {count} attempts: {code}",
        );
        let reason = reason
            .with("count", u64::from(item.submit_count))
            .with("code", code);
        return at_rest(item, State::Failed, Some(reason));
    }
    let mut next = item.clone();
    next.state = State::Planned;
    let asked = std::time::Duration::from_millis(after.unwrap_or(0));
    let wait = policy.retry.wait(item.submit_count, item.jitter).max(asked);
    because(
        plain(next, Some(now.plus(wait))),
        Message::new("not-processed", "not processed: {code}").with("code", code),
    )
}

fn send_again(item: &Item, policy: &Policy, now: Timestamp) -> Move {
    if item.submit_count >= policy.retry.attempts {
        let reason = Message::new(
            "never-found",
            "sent {count} times and never found at the gateway",
        );
        let reason = reason.with("count", u64::from(item.submit_count));
        return at_rest(item, State::NeedsReview, Some(reason));
    }
    let mut next = item.clone();
    next.state = State::Planned;
    next.unresolved_since = None;
    because(
        plain(next, Some(now)),
        Message::new("no-such-order", "the gateway has no such order"),
    )
}

fn ask_later(
    item: &Item,
    state: State,
    purpose: QueryPurpose,
    policy: &Policy,
    now: Timestamp,
) -> Move {
    let mut next = item.clone();
    next.state = state;
    next.query_purpose = purpose;
    if item.state == State::Sending || item.unresolved_since.is_none() {
        next.query_count = 0;
        next.unresolved_since = Some(now);
    }
    let next_at = now.plus(policy.query.wait(next.query_count, item.jitter));
    let reason = verifying(&next, policy, now);
    Move {
        reason,
        ..plain(next, Some(next_at))
    }
}

fn query_or_review(
    item: &Item,
    state: State,
    purpose: QueryPurpose,
    policy: &Policy,
    now: Timestamp,
    why: Message,
) -> Move {
    let asked_for = item
        .unresolved_since
        .map_or(std::time::Duration::ZERO, |since| now.since(since));
    if asked_for < policy.query.horizon {
        return ask_later(item, state, purpose, policy, now);
    }
    let answered = match &purpose {
        QueryPurpose::Unmapped(code) => Some(
            Message::new(
                "asked-unmapped",
                "; it was answered {code}, which no outcome table lists",
            )
            .with("code", code),
        ),
        QueryPurpose::Outcome
        | QueryPurpose::Number(_)
        | QueryPurpose::Resend
        | QueryPurpose::ResendDeclined => None,
    };
    let reason = Message::new(
        "asked-in-vain",
        "asked {count} times without learning what happened: {why}{answered}",
    );
    let reason = reason
        .with("count", u64::from(item.query_count))
        .with("why", why)
        .with("answered", answered);
    at_rest(item, State::NeedsReview, Some(reason)).coded(ReasonCode::AskedInVain)
}

fn grace_is_over(item: &Item, policy: &Policy, now: Timestamp) -> bool {
    item.sent_at
        .is_none_or(|sent| now.since(sent) >= policy.query.grace)
}

fn at_rest(item: &Item, state: State, reason: Option<Message>) -> Move {
    let mut next = item.clone();
    next.state = state;
    Move {
        item: next,
        next_at: None,
        reason,
        code: None,
        alarm: None,
    }
}

const fn plain(item: Item, next_at: Option<Timestamp>) -> Move {
    Move {
        item,
        next_at,
        reason: None,
        code: None,
        alarm: None,
    }
}

const STILL_UNDECIDED: Message = Message::new("still-undecided", "still undecided");

fn declined_with(decline: &Decline) -> Message {
    Message::new("declined-with", "declined: {code}").with("code", &decline.code)
}

fn because(moved: Move, reason: Message) -> Move {
    Move {
        reason: Some(reason),
        ..moved
    }
}

fn alarmed(moved: Move, alarm: Alarm) -> Move {
    Move {
        alarm: Some(alarm),
        ..moved
    }
}

impl From<Cause> for Answer {
    /// An unknown answer without a code.
    fn from(cause: Cause) -> Self {
        Self::Unknown {
            cause,
            code: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_move_is_given_words_an_alarm_and_a_time_and_keeps_the_rest() {
        let at = |millis| Timestamp::from_millis(millis);
        let noted = Move::noted(&Item::planned(7), Message::plain("noted"));
        let coded = Move {
            code: Some(ReasonCode::AskedInVain),
            next_at: Some(at(5)),
            ..noted.clone()
        };
        let worded = coded.clone().worded(Some(Message::plain("said")));
        assert_eq!(worded.reason, Some(Message::plain("said")));
        assert_eq!((worded.code, worded.next_at), (coded.code, coded.next_at));
        let warned = coded.clone().warned(Some(Alarm::MoneyMoved));
        assert_eq!(warned.alarm, Some(Alarm::MoneyMoved));
        // It has one of its own.
        let again = warned.warned(Some(Alarm::SecondReceipt));
        assert_eq!(again.alarm, Some(Alarm::MoneyMoved));
        assert_eq!(coded.clone().not_before(at(9)).next_at, Some(at(9)));
        assert_eq!(coded.not_before(at(3)).next_at, Some(at(5)));
        assert_eq!(noted.not_before(at(9)).next_at, None);
    }

    #[test]
    fn a_sentence_says_of_an_item_what_its_state_is() {
        assert_eq!(State::Planned.predicate(), "is planned");
        assert_eq!(State::NeedsReview.predicate(), "needs review");
        assert_eq!(State::AwaitingApproval.predicate(), "waits for approval");
    }

    fn policy() -> Policy {
        use super::super::policy::{QueryPolicy, Retry};
        Policy {
            retry: Retry {
                attempts: 3,
                first: SECOND,
                max: SECOND * 60,
            },
            query: QueryPolicy {
                schedule: vec![SECOND * 10],
                grace: SECOND * 600,
                horizon: SECOND * 3600,
            },
            dunning: vec![SECOND * 86_400, SECOND * 86_400 * 3],
        }
    }

    const NOW: i64 = 10_000_000_000;

    fn at(seconds_ago: i64) -> Timestamp {
        Timestamp::from_millis(NOW - seconds_ago * 1000)
    }

    /// `unknown`, or `unknown:5s-ago`, `pending:asked-number`, `planned:sends-3` …
    fn item(text: &str) -> Item {
        let (state, traits) = text.split_once(':').unwrap_or((text, ""));
        let state = State::parse(state).unwrap_or_else(|| panic!("no state {state}"));
        let mut item = Item {
            state,
            ..Item::planned(0)
        };
        if !matches!(
            state,
            State::AwaitingApproval | State::Planned | State::Rejected | State::Skipped
        ) {
            (item.submit_count, item.sent_at, item.unresolved_since) =
                (1, Some(at(60)), Some(at(60)));
        }
        if state == State::Succeeded {
            item.receipt = Some(Receipt("R1".into()));
        }
        for word in traits.split(',').filter(|word| !word.is_empty()) {
            match word {
                "grace-over" => item.sent_at = Some(at(600)),
                "horizon-over" => item.unresolved_since = Some(at(3600)),
                "about-hard" => item.query_purpose = QueryPurpose::Number(decline("hard", "ask")),
                "sent-twice" => item.submit_count = 2,
                "closed-numbers" => item.generation = 4,
                "three-numbers" => item.generation = 3,
                "asked-twice" => item.query_count = 2,
                "about-spent" => item.query_purpose = QueryPurpose::Number(decline("spent", "ask")),
                "about-number" => item.query_purpose = QueryPurpose::Number(decline("soft", "ask")),
                "about-resend" => item.query_purpose = QueryPurpose::Resend,
                "about-declined" => item.query_purpose = QueryPurpose::ResendDeclined,
                "about-unmapped" => item.query_purpose = QueryPurpose::Unmapped("40003".into()),
                "last-send" => item.submit_count = 3,
                "never-sent" => (item.submit_count, item.sent_at) = (0, None),
                "ladder-end" => item.decline_count = 2,
                other => panic!("no trait {other}"),
            }
        }
        item
    }

    fn decline(class: &str, number: &str) -> Decline {
        let class = serde_json::from_value(class.into()).expect("a class");
        let number = serde_json::from_value(number.into()).expect("a number rule");
        Decline {
            code: "CODE".into(),
            class,
            number,
        }
    }

    /// `claim`, `done R1`, `declined soft next`, `unknown timed_out` …
    fn event(text: &str) -> Event {
        let words: Vec<&str> = text.split_whitespace().collect();
        Event::Answered(match words.as_slice() {
            ["claim"] => return Event::Claim,
            ["unsent"] => return Event::Unsent,
            ["cancel"] => return Event::Cancel,
            ["retry"] => return Event::Retry,
            ["approve"] => return Event::Approve,
            ["reject"] => return Event::Reject,
            ["expire"] => return Event::Expire,
            ["resolve", "done"] => {
                return Event::Resolve(Resolution::Succeeded(Receipt("R1".into())));
            }
            ["resolve", "failed"] => return Event::Resolve(Resolution::Failed),
            ["recall"] => return Event::Recall,
            ["require_review"] => return Event::RequireReview,
            ["done"] => Answer::Done(Receipt("R1".into())),
            ["done", receipt] => Answer::Done(Receipt((*receipt).into())),
            ["accepted"] => Answer::Accepted,
            ["absent"] => Answer::Absent,
            ["declined", class, number] => Answer::Declined(decline(class, number)),
            ["not_processed"] => Answer::NotProcessed {
                code: "BUSY".into(),
                after: None,
            },
            ["not_processed", seconds] => Answer::NotProcessed {
                code: "BUSY".into(),
                after: Some(seconds.parse::<u64>().expect("seconds") * 1000),
            },
            ["unknown"] => Answer::from(Cause::TimedOut),
            ["unmapped"] => Answer::from(Cause::Unmapped),
            ["unmapped", code] => Answer::Unknown {
                cause: Cause::Unmapped,
                code: (*code).into(),
            },
            ["not_asked"] => Answer::from(Cause::NotAsked),
            ["abandoned"] => Answer::from(Cause::Abandoned),
            other => panic!("no event {other:?}"),
        })
    }

    /// What follows, as the table below writes it: `STATE [gen N] [in Ns] [alarm NAME]`, or `-`.
    fn outcome(from: &str, what: &str) -> String {
        let before = item(from);
        let Ok(moved) = apply(
            &before,
            &event(what),
            &policy(),
            Timestamp::from_millis(NOW),
        ) else {
            return "-".into();
        };
        let mut text = moved.item.state.as_str().to_owned();
        if moved.item.generation != before.generation {
            text += &format!(" gen {}", moved.item.generation);
        }
        if let Some(next_at) = moved.next_at {
            text += &format!(
                " in {}s",
                next_at.since(Timestamp::from_millis(NOW)).as_secs()
            );
        }
        if let Some(alarm) = moved.alarm {
            text += &format!(" alarm {}", alarm.as_str());
        }
        text
    }

    #[test]
    fn every_move_is_the_tables() {
        let table = include_str!("item_moves.txt");
        let rows = table
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut wrong = Vec::new();
        for row in rows {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [from, what, expected] = cells[..] else {
                panic!("not three cells: {row}")
            };
            let found = outcome(from, what);
            if found != expected {
                wrong.push(format!(
                    "{from} | {what} | expected {expected}, found {found}"
                ));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn the_table_has_every_state_with_every_event() {
        let table = include_str!("item_moves.txt");
        let events = [
            "claim",
            "unsent",
            "done",
            "accepted",
            "declined hard same",
            "not_processed",
            "unknown",
            "absent",
            "cancel",
            "retry",
            "approve",
            "reject",
            "expire",
            "resolve done",
            "resolve failed",
            "recall",
            "require_review",
        ];
        for state in State::ALL {
            for event in events {
                let there = table.lines().any(|line| {
                    let mut cells = line.split('|').map(str::trim);
                    cells.next() == Some(state.as_str()) && cells.next() == Some(event)
                });
                assert!(there, "no row for {state} | {event}");
            }
        }
    }

    /// Everything that each row of the table makes of an item, and what becomes of that where a
    /// person had withdrawn it: counts, times, purposes and words too.
    #[test]
    fn every_move_in_whole() {
        let mut lines = Vec::new();
        let rows = include_str!("item_moves.txt").lines();
        for row in rows.filter(|row| !row.starts_with('#')) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [from, what, _] = cells[..] else { continue };
            let (before, now) = (item(from), Timestamp::from_millis(NOW));
            let Ok(moved) = apply(&before, &event(what), &policy(), now) else {
                continue;
            };
            lines.push(format!("{from} | {what}\n    {moved:?}"));
            let heeded = heeding("ann: wrong file", &before, moved.clone());
            if heeded != moved {
                lines.push(format!("  withdrawn\n    {heeded:?}"));
            }
        }
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn an_alarm_is_known_by_its_word_and_says_what_it_means() {
        for alarm in Alarm::ALL {
            assert_eq!(Alarm::parse(alarm.as_str()), Some(alarm));
            assert_eq!(Alarm::meaning_of(alarm.as_str()), alarm.meaning());
        }
        assert_eq!(Alarm::parse("no_such_alarm"), None);
        let meanings: Vec<&str> = Alarm::ALL.into_iter().map(Alarm::meaning).collect();
        let unknown = Alarm::meaning_of("no_such_alarm");
        insta::assert_snapshot!(format!(
            "{}\nof another version: {unknown}",
            meanings.join("\n")
        ));
    }

    #[test]
    fn a_move_that_is_not_in_the_table_says_what_can_be_asked_for() {
        let events = ["cancel", "retry", "resolve done", "approve", "claim"];
        let refused = events.map(|what| {
            apply(&item("succeeded"), &event(what), &policy(), at(0))
                .err()
                .map_or_else(|| "a move".to_owned(), |error| error.to_string())
        });
        insta::assert_snapshot!(refused.join("\n"));
    }

    #[test]
    fn a_move_can_be_given_another_reason_and_time() {
        let noted = Move::noted(&item("failed"), "the first".into());
        let again = noted.clone().because(Some("another".into()));
        assert_eq!(again.reason, Some("another".into()));
        let coded = Move {
            code: Some(crate::reason::ReasonCode::AskedInVain),
            ..noted.clone()
        };
        assert_eq!(coded.because(None).code, None, "it belonged to the reason");
        assert_eq!(State::NeedsReview.label(), "needs review");
        assert_eq!(State::Planned.label(), "planned");
        assert_eq!(noted.with_next_at(at(0)).next_at, Some(at(0)));
        assert_eq!(State::NeedsReview.to_string(), "needs_review");
    }

    #[test]
    fn a_timeout_is_unknown_not_failed() {
        assert_eq!(outcome("sending", "unknown"), "unknown in 10s");
    }

    fn any_answer() -> impl Strategy<Value = Answer> {
        let class = prop::sample::select(vec![
            DeclineClass::Soft,
            DeclineClass::Hard,
            DeclineClass::Spent,
            DeclineClass::Config,
            DeclineClass::Funds,
        ]);
        let number =
            prop::sample::select(vec![NumberRule::Same, NumberRule::Next, NumberRule::Ask]);
        prop_oneof![
            "R[0-9]".prop_map(|receipt| Answer::Done(Receipt(receipt))),
            Just(Answer::Accepted),
            (class, number).prop_map(|(class, number)| Answer::Declined(Decline {
                code: "C".into(),
                class,
                number
            })),
            Just(Answer::NotProcessed {
                code: "BUSY".into(),
                after: None
            }),
            Just(Answer::Absent),
            Just(Answer::from(Cause::TimedOut)),
            Just(Answer::from(Cause::Abandoned)),
        ]
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => Just(Event::Claim),
            1 => Just(Event::Unsent),
            6 => any_answer().prop_map(Event::Answered),
            1 => Just(Event::Cancel),
            1 => Just(Event::Retry),
            1 => Just(Event::Approve),
            1 => prop::sample::select(vec![Event::Reject, Event::Expire]),
            1 => prop_oneof!["R[0-9]".prop_map(|receipt| Resolution::Succeeded(Receipt(receipt))), Just(Resolution::Failed)]
                .prop_map(Event::Resolve),
            1 => prop::sample::select(vec![Event::Recall, Event::RequireReview]),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Over any history: a success is never lost, an open item is always due, one at rest
        /// never, and the order number changes only when a decline said that the old one is spent.
        #[test]
        fn no_history_loses_a_success_or_forgets_an_item(
            waits in any::<bool>(), events in prop::collection::vec((any_event(), 0_u64..7_200), 1..60)
        ) {
            let state = if waits { State::AwaitingApproval } else { State::Planned };
            let mut item = Item { state, ..Item::planned(7) };
            let mut now = Timestamp::from_millis(NOW);
            for (event, seconds) in events {
                now = now.plus(Duration::from_secs(seconds));
                let Ok(moved) = apply(&item, &event, &policy(), now) else { continue };
                let next = &moved.item;
                if item.state == State::Succeeded {
                    prop_assert_eq!(next.state, State::Succeeded);
                    prop_assert_eq!(&next.receipt, &item.receipt);
                }
                let claimed = event == Event::Claim;
                prop_assert_ne!(next.state, State::AwaitingApproval, "it waits again after {:?}", event);
                prop_assert_eq!(moved.next_at.is_some(), next.state.is_open() && !claimed);
                if item.state == State::AwaitingApproval && next.state.is_open() {
                    prop_assert_eq!(&event, &Event::Approve);
                }
                if next.generation != item.generation {
                    prop_assert_eq!(next.generation, item.generation + 1);
                    let told_next = matches!(&event, Event::Answered(Answer::Declined(d)) if d.number == NumberRule::Next);
                    prop_assert!(told_next, "a new number after {:?}", event);
                    prop_assert_eq!(next.state, State::Planned);
                }
                if next.state == State::Failed && item.state.is_in_flight() {
                    let certain = matches!(event, Event::Resolve(Resolution::Failed) | Event::Answered(
                        Answer::Declined(_) | Answer::NotProcessed { .. } | Answer::Absent));
                    prop_assert!(certain, "failed after {:?}", event);
                }
                if next.state == State::Planned && item.state.is_in_flight() && next.sent_at.is_some() {
                    let certain = matches!(event, Event::Unsent | Event::Answered(
                        Answer::Declined(_) | Answer::NotProcessed { .. } | Answer::Absent));
                    prop_assert!(certain, "to be sent again after {:?}", event);
                }
                if matches!(event, Event::Answered(Answer::Done(_))) && item.state.is_open() {
                    prop_assert_eq!(next.state, State::Succeeded);
                }
                item = moved.item;
            }
        }

        /// Time alone closes nothing: however late it is, no answer but evidence leads out of
        /// unknown.
        #[test]
        fn time_alone_never_closes_an_unknown(seconds in 0_u64..100_000_000) {
            let item = item("unknown:grace-over,horizon-over");
            let now = Timestamp::from_millis(NOW).plus(Duration::from_secs(seconds));
            let moved = apply(&item, &event("unknown"), &policy(), now).expect("a move");
            prop_assert!(matches!(moved.item.state, State::Unknown | State::NeedsReview));
        }
    }
}
