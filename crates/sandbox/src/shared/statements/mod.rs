//! What the fakes' statements have in common: the days they are of, what is listed in them, and
//! when they are there.
//!
//! How a file looks is each fake's own business. Both days and times are Beijing's: of WeChat Pay
//! that is documented (docs/gateways/wechat.md, "Statements"), of HipoPay it is an assumption
//! \[C\].

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, NaiveDate};

use crate::Settings;
use crate::faults::{CallKind, Fault};
use crate::shared::fault_flow::Calls;
use crate::shared::transactions::{TransactionKind, TransactionState, TransactionStore};
use payrun_domain::time::Timestamp;

#[cfg(test)]
mod tests;

/// How far Beijing's clocks are ahead of UTC, in milliseconds.
pub(crate) const BEIJING: i64 = 8 * 3_600_000;
/// A day, in milliseconds.
pub(crate) const DAY: i64 = 24 * 3_600_000;

/// When the statement of a day is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StatementDelay {
    /// As soon as the day has a trade, today's too.
    #[default]
    Always,
    /// After so many requests for it were refused: it is late.
    AfterRequests(u32),
}

impl StatementDelay {
    /// Whether it is there after so many requests before.
    pub(crate) const fn is_there(self, before: u32) -> bool {
        match self {
            Self::Always => true,
            Self::AfterRequests(late) => before >= late,
        }
    }
}

/// What was asked about files and lists so far. Its subjects are days and lists, and so few.
#[derive(Debug, Default)]
pub(crate) struct QueryCounts(Mutex<BTreeMap<String, StatementRequests>>);

#[derive(Debug, Default, Clone, Copy)]
struct StatementRequests {
    calls: Calls,
    answered: u32,
}

impl QueryCounts {
    /// Notes a query: how many were answered before it, and what bends its reply.
    pub(crate) fn note(&self, subject: &str, settings: &Settings) -> (u32, Option<Fault>) {
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let look = looks.entry(subject.to_owned()).or_default();
        let fault = look.calls.next(&settings.plan, subject, CallKind::Query);
        look.calls.note(fault);
        let before = look.answered;
        look.answered = look
            .answered
            .saturating_add(u32::from(fault.is_none_or(|fault| !fault.is_before())));
        (before, fault)
    }

    /// How many queries were answered.
    pub(crate) fn answered(&self, subject: &str) -> u32 {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(subject)
            .map_or(0, |look| look.answered)
    }
}

/// Something that moved money, as a statement lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trade {
    pub kind: TradeKind,
    pub at: Timestamp,
    /// The merchant's number of the payment.
    pub number: String,
    /// The gateway's number of the payment.
    pub theirs: String,
    /// ISO 4217.
    pub currency: String,
    /// In minor units.
    pub minor: i64,
}

/// What it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TradeKind {
    Paid,
    /// Paid and taken back as a whole.
    Revoked,
    Refunded {
        /// The merchant's number of the refund.
        number: String,
        /// The gateway's number of the refund.
        theirs: String,
        /// Whether it is still on its way.
        processing: bool,
    },
}

/// How the number of a reversal begins, which no merchant's number does.
pub(crate) const REVERSAL: &str = "reverse ";

/// What became of transactions within some days.
pub(crate) fn of_store<'a>(
    transactions: &'a TransactionStore,
    days: &'a RangeInclusive<NaiveDate>,
) -> impl Iterator<Item = Trade> + 'a {
    let within = transactions
        .entries()
        .filter(|(_, entry)| days.contains(&day_of(entry.at)));
    within.filter_map(|(kind, entry)| {
        let (kind, payment) = match (kind, entry.state) {
            // A payment whose money is counted in other books has moved none here.
            (TransactionKind::Payment, TransactionState::Done) if entry.moved > 0 => {
                (TradeKind::Paid, entry)
            }
            (TransactionKind::Payment, TransactionState::Cancelled) if entry.moved > 0 => {
                (TradeKind::Revoked, entry)
            }
            (TransactionKind::Refund, TransactionState::Done)
                if entry.number.starts_with(REVERSAL) =>
            {
                (
                    TradeKind::Revoked,
                    transactions.entry(TransactionKind::Payment, &entry.of)?,
                )
            }
            (TransactionKind::Refund, TransactionState::Done | TransactionState::Open) => {
                let (number, theirs) = (entry.number.clone(), entry.theirs.clone());
                let processing = entry.state == TransactionState::Open;
                (
                    TradeKind::Refunded {
                        number,
                        theirs,
                        processing,
                    },
                    transactions.entry(TransactionKind::Payment, &entry.of)?,
                )
            }
            (TransactionKind::Payment | TransactionKind::Refund | TransactionKind::Cancel, _) => {
                return None;
            }
        };
        Some(Trade {
            kind,
            at: entry.at,
            number: payment.number.clone(),
            theirs: payment.theirs.clone(),
            currency: entry.currency.clone(),
            minor: entry.minor,
        })
    })
}

/// The day of an instant.
pub(crate) fn day_of(at: Timestamp) -> NaiveDate {
    local(at).date()
}

/// From which instant to before which one a day lasts.
pub(crate) fn bounds(day: NaiveDate) -> (Timestamp, Timestamp) {
    let begin = day
        .and_time(chrono::NaiveTime::MIN)
        .and_utc()
        .timestamp_millis()
        - BEIJING;
    (
        Timestamp::from_millis(begin),
        Timestamp::from_millis(begin.saturating_add(DAY)),
    )
}

/// An instant as both gateways' files write it: `2026-11-22 10:00:00`.
pub(crate) fn written(at: Timestamp) -> String {
    local(at).format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A day as it is asked for: `20261122`.
pub(crate) fn parse_day(text: &str) -> Option<NaiveDate> {
    let day = NaiveDate::parse_from_str(text, "%Y%m%d").ok()?;
    (compact(day) == text).then_some(day)
}

/// A day as it is asked for.
pub(crate) fn compact(day: NaiveDate) -> String {
    day.format("%Y%m%d").to_string()
}

fn local(at: Timestamp) -> chrono::NaiveDateTime {
    DateTime::from_timestamp_millis(at.millis().saturating_add(BEIJING))
        .unwrap_or_default()
        .naive_utc()
}
