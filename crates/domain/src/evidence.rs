//! What news of an order means for its item: the one table by which late replies, notifications and
//! statement lines are weighed.
//!
//! The reply to a claim that still holds, and a person's word, are no news: they are events of the
//! state machine ([`super::item::apply`]), which decides alone. News comes unasked, late, twice or
//! out of order, and may be of an order number that the item no longer uses. So the only thing it
//! makes happen by itself is a success: money that moved has moved. Whatever else it says is a
//! reason to query the gateway at once, or an alarm.
//!
//! `apply`: the state machine decides; `alarm`: the state stays, and a person hears of it;
//! `query`: the gateway is asked at once; `wait`: a call is under way that will tell; `-`: nothing.
//! "in use" and "earlier" are the order number of which the news is. "known": what it says is
//! accounted for already ([`Evidence::known`]).
//!
//! ```text
//! source        of       says        awaiting_approval planned sending pending unknown succeeded failed cancelled needs_review
//! late reply    in use   done        apply             apply   -       query   query   apply     apply  apply     apply
//! late reply    earlier  done        apply             apply   -       alarm   alarm   apply     apply  apply     alarm
//! late reply    any      may be      -                 -       -       query   query   -         apply  apply     -
//! late reply    any      may, known  -                 -       -       query   query   -         -      -         -
//! late reply    any      other       -                 -       -       query   query   -         -      -         -
//! notification  in use   done        apply             apply   wait    apply   apply   apply     apply  apply     apply
//! notification  earlier  done        apply             apply   wait    alarm   alarm   apply     apply  apply     alarm
//! notification  in use   declined    -                 -       wait    query   query   apply     -      -         -
//! notification  earlier  declined    -                 -       wait    -       -       -         -      -         -
//! notification  any      mismatch    alarm             alarm   wait    alarm   alarm   alarm     alarm  alarm     alarm
//! notification  in use   other       -                 -       wait    query   query   -         -      -         -
//! notification  earlier  other       -                 -       wait    -       -       -         -      -         -
//! statement     in use   done        apply             apply   -       apply   apply   -         apply  apply     apply
//! statement     earlier  done        apply             apply   -       alarm   alarm   -         apply  apply     alarm
//! statement     in use   done, known apply             apply   -       apply   apply   -         -      -         apply
//! statement     earlier  done, known apply             apply   -       -       -       -         -      -         -
//! statement     any      other       -                 -       -       -       -       -         -      -         -
//! ```
//!
//! Beside the table: of what a notification queries, it waits for a worker that has claimed the
//! item; what was rejected or skipped is never told anything; a success that shows the receipt that
//! is known is nothing new.

use super::answer::{Answer, Cause};
use super::item::{Alarm, Event, IllegalMove, Item, Move, State, apply};
use super::policy::Policy;
use super::time::Timestamp;

/// Where news of an order comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvidenceSource {
    /// The reply to a call whose claim was over when it came.
    LateReply,
    /// The gateway's notification, verified.
    Notification,
    /// A line of the gateway's statement.
    StatementLine,
}

/// News of an order, and what is known beside the item.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    /// Where it comes from.
    pub source: EvidenceSource,
    /// What it says. An amount that is not ours is [`Cause::Mismatch`].
    pub answer: &'a Answer,
    /// Whether it is of the order number that the item uses now; else it is of an earlier one.
    pub is_in_use: bool,
    /// Whether what it says is accounted for already: a statement showed it before; of a late
    /// reply, the gateway has declined this number, or the call was a query.
    pub known: bool,
    /// Whether a worker has claimed the item.
    pub is_claimed: bool,
    /// When the item is due now.
    pub next_at: Option<Timestamp>,
    /// When the gateway may be asked at the earliest.
    pub query_at: Timestamp,
    /// What it says, in words: the reason, where it contradicts what was known.
    pub words: String,
}

/// What the table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvidenceVerdict {
    /// The state machine decides.
    Apply,
    /// The state stays, and a person hears of it.
    Alarm(Alarm),
    /// The gateway is asked at once.
    QueryNow,
    /// A call is under way, which will tell.
    Wait,
    /// Nothing follows.
    Ignore,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Consequence {
    /// The item is written as this move says.
    Move(Move),
    /// The gateway is asked at once.
    QueryNow,
    /// A call is under way, which will tell.
    Wait,
    /// Nothing.
    Ignore,
}

/// The table.
pub fn weigh(item: &Item, news: &Evidence<'_>) -> EvidenceVerdict {
    match (news.source, item.state) {
        (_, State::Rejected | State::Skipped) => EvidenceVerdict::Ignore,
        (EvidenceSource::Notification, State::Sending) => EvidenceVerdict::Wait,
        (EvidenceSource::LateReply | EvidenceSource::StatementLine, State::Sending) => {
            EvidenceVerdict::Ignore
        }
        (EvidenceSource::LateReply, _) => weigh_late_reply(item, news),
        (EvidenceSource::Notification, _) => weigh_notification(item, news),
        (EvidenceSource::StatementLine, _) => weigh_statement_line(item, news),
    }
}

fn weigh_late_reply(item: &Item, news: &Evidence<'_>) -> EvidenceVerdict {
    let is_open = matches!(item.state, State::Pending | State::Unknown);
    match news.answer {
        Answer::Done(_) if !news.is_in_use && item.state.is_in_flight() => {
            EvidenceVerdict::Alarm(Alarm::MoneyMoved)
        }
        Answer::Done(_) if is_open => EvidenceVerdict::QueryNow,
        Answer::Done(_) => EvidenceVerdict::Apply,
        // It came to be sent after the item had ended.
        Answer::Accepted | Answer::Unknown { .. }
            if !news.known && matches!(item.state, State::Failed | State::Cancelled) =>
        {
            EvidenceVerdict::Apply
        }
        Answer::Accepted
        | Answer::Unknown { .. }
        | Answer::Declined(_)
        | Answer::Absent
        | Answer::NotProcessed { .. } => {
            if is_open {
                EvidenceVerdict::QueryNow
            } else {
                EvidenceVerdict::Ignore
            }
        }
    }
}

fn weigh_notification(item: &Item, news: &Evidence<'_>) -> EvidenceVerdict {
    match (news.answer, item.state) {
        (
            Answer::Unknown {
                cause: Cause::Mismatch,
                ..
            },
            _,
        ) => EvidenceVerdict::Alarm(Alarm::AmountDiffers),
        (Answer::Done(receipt), State::Succeeded) if item.receipt.as_ref() == Some(receipt) => {
            EvidenceVerdict::Ignore
        }
        (Answer::Done(_), state) if !news.is_in_use && state.is_in_flight() => {
            EvidenceVerdict::Alarm(Alarm::MoneyMoved)
        }
        (Answer::Done(_), _) => EvidenceVerdict::Apply,
        (Answer::Declined(_), State::Succeeded) if news.is_in_use => EvidenceVerdict::Apply,
        (_, State::Pending | State::Unknown) if news.is_in_use && news.is_claimed => {
            EvidenceVerdict::Wait
        }
        (_, State::Pending | State::Unknown) if news.is_in_use => EvidenceVerdict::QueryNow,
        (
            Answer::Accepted
            | Answer::Declined(_)
            | Answer::NotProcessed { .. }
            | Answer::Absent
            | Answer::Unknown { .. },
            _,
        ) => EvidenceVerdict::Ignore,
    }
}

/// A statement may be reconciled any number of times: what a line contradicts is told once.
fn weigh_statement_line(item: &Item, news: &Evidence<'_>) -> EvidenceVerdict {
    match (news.answer, item.state) {
        (Answer::Done(_), state) if !news.is_in_use && state.is_in_flight() => {
            if news.known {
                EvidenceVerdict::Ignore
            } else {
                EvidenceVerdict::Alarm(Alarm::MoneyMoved)
            }
        }
        (Answer::Done(_), State::Failed | State::Cancelled) if news.known => {
            EvidenceVerdict::Ignore
        }
        (Answer::Done(_), State::Succeeded) => EvidenceVerdict::Ignore,
        (Answer::Done(_), _) => EvidenceVerdict::Apply,
        (
            Answer::Accepted
            | Answer::Declined(_)
            | Answer::NotProcessed { .. }
            | Answer::Absent
            | Answer::Unknown { .. },
            _,
        ) => EvidenceVerdict::Ignore,
    }
}

/// What is to be done with news of an item's order.
///
/// # Errors
/// The state machine does not know the move that the table wants: a defect of payrun.
pub fn follow(
    item: &Item,
    news: &Evidence<'_>,
    policy: &Policy,
    now: Timestamp,
) -> Result<Consequence, IllegalMove> {
    let verdict = weigh(item, news);
    #[cfg(feature = "mutation")]
    let verdict = crate::mutation::weighed(verdict, news);
    Ok(match verdict {
        EvidenceVerdict::Ignore => Consequence::Ignore,
        EvidenceVerdict::Wait => Consequence::Wait,
        EvidenceVerdict::QueryNow => Consequence::QueryNow,
        EvidenceVerdict::Alarm(alarm) => {
            // What is open is asked about; what was about to be done is done at its time.
            let is_open = matches!(item.state, State::Pending | State::Unknown);
            Consequence::Move(Move {
                item: item.clone(),
                next_at: if is_open {
                    Some(news.query_at)
                } else {
                    news.next_at
                },
                reason: Some(news.words.clone().into()),
                code: None,
                alarm: Some(alarm),
            })
        }
        EvidenceVerdict::Apply => {
            let moved = apply(item, &Event::Answered(news.answer.clone()), policy, now)?;
            #[cfg(feature = "mutation")]
            let moved = crate::mutation::lowered(moved, news);
            if moved.item.state == item.state && moved.alarm.is_none() {
                return Ok(Consequence::Ignore);
            }
            let contradicts = moved.alarm.is_some();
            Consequence::Move(if contradicts {
                moved.because(Some(news.words.clone().into()))
            } else {
                moved
            })
        }
    })
}

#[cfg(test)]
mod tests;
