//! What one line says of one item. Pure.
//!
//! A payment or refund that the file shows counts as happened unless its state is one that says the
//! opposite; a state that nobody described proves nothing.

use rust_decimal::Decimal;

use payrun_domain::difference::DifferenceReason;
use payrun_domain::item::State;
use payrun_domain::money::{Amount, Currency};
use payrun_ledger::{BookedItem, LineKind, StatementLine};

/// What follows from a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineVerdict {
    /// It agrees with the item.
    Agrees,
    /// It is neither payment nor refund.
    NotCompared,
    /// It does not agree, and why where the reason alone does not say.
    Differs(DifferenceReason, &'static str),
    /// Money moved against what is known: somebody must hear of it at once.
    Alarm(&'static str),
    /// It tells what happened to an item of which that was not known, or contradicts what was known
    /// of it.
    Evidence,
}

/// Whether something happened, by a line's own state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineOutcome {
    /// It happened.
    Happened,
    /// It did not, or was taken back.
    DidNot,
    /// The state is not documented.
    Unclear,
}

impl LineOutcome {
    /// Reads a line's state. Payments: docs/gateways/wechat.md, "Orders and deductions" (SUCCESS;
    /// revoked ones stay listed) and the HipoPay document ("Collection via …"). Refunds:
    /// docs/gateways/wechat.md, "Statements" (PROCESSING counts as done, the others did not reach
    /// the payer), HipoPay ("Refund").
    pub fn of(kind: LineKind, state: &str) -> Self {
        match kind {
            LineKind::Reversal => Self::DidNot,
            LineKind::Other => Self::Unclear,
            LineKind::Payment | LineKind::Refund => match state {
                "" | "SUCCESS" | "PROCESSING" | "REFUND" | "Refund" => Self::Happened,
                state if state.starts_with("Collection via ") => Self::Happened,
                "FAIL" | "FAILED" | "CHANGE" | "ABNORMAL" | "CLOSED" | "REFUNDCLOSE"
                | "REVOKED" | "PAYERROR" => Self::DidNot,
                _ => Self::Unclear,
            },
        }
    }
}

/// The same of a whole line.
pub(super) fn shown(line: &StatementLine) -> LineOutcome {
    LineOutcome::of(line.kind, &line.state)
}

/// The gateway's number for what a line shows: what our item has as its receipt.
pub(super) fn receipt(line: &StatementLine) -> &str {
    if line.kind == LineKind::Refund {
        &line.refund_id
    } else {
        &line.transaction_id
    }
}

/// Judges a line that does not stand there for the second time. `taken_back`: whether an item of
/// ours took the payment back.
pub(super) fn verdict(
    line: &StatementLine,
    item: Option<&BookedItem>,
    taken_back: bool,
) -> LineVerdict {
    let Some(item) = item else {
        return match line.kind {
            LineKind::Refund => LineVerdict::Differs(DifferenceReason::RefundOfAnotherSystem, ""),
            LineKind::Payment => LineVerdict::Differs(DifferenceReason::MissingHere, ""),
            LineKind::Reversal => {
                LineVerdict::Differs(DifferenceReason::MissingHere, "the gateway took it back")
            }
            LineKind::Other => LineVerdict::NotCompared,
        };
    };
    match shown(line) {
        LineOutcome::Happened => happened(line, item),
        LineOutcome::DidNot => match item.state {
            State::Failed | State::Cancelled | State::AwaitingApproval | State::Planned => {
                LineVerdict::Agrees
            }
            State::Succeeded if taken_back && line.kind == LineKind::Reversal => {
                LineVerdict::Agrees
            }
            State::Succeeded => LineVerdict::Differs(
                DifferenceReason::State,
                "the gateway says that it did not happen or was taken back",
            ),
            State::Sending
            | State::Pending
            | State::Unknown
            | State::NeedsReview
            | State::Rejected
            | State::Skipped => LineVerdict::Differs(
                DifferenceReason::State,
                "the gateway says that it did not happen; a query will close the item",
            ),
        },
        LineOutcome::Unclear => LineVerdict::Differs(
            DifferenceReason::State,
            "the line's state is not documented",
        ),
    }
}

/// What a line of another number than the one in use shows.
pub(super) const EARLIER: &str =
    "money moved under an earlier order number of the item: it may have been charged twice";

fn happened(line: &StatementLine, item: &BookedItem) -> LineVerdict {
    let compared = compared(line.amount, item.amount);
    let in_use = line.kind != LineKind::Refund && item.is_in_use(&line.order_no)
        || line.kind == LineKind::Refund
            && (line.refund_no.is_empty() || item.is_in_use(&line.refund_no));
    match (item.state, compared) {
        (State::Failed | State::Cancelled | State::AwaitingApproval | State::Planned, Some(_)) => {
            LineVerdict::Alarm("money moved, with another amount, for an item that says it did not")
        }
        (State::Failed | State::Cancelled | State::AwaitingApproval | State::Planned, None) => {
            evidence(line)
        }
        (_, Some(reason)) => LineVerdict::Differs(reason, ""),
        // It is on its way, and may not reach the payer: no proof, and no contradiction
        // (docs/gateways/wechat.md, "Statements").
        (State::Unknown | State::Pending | State::NeedsReview, None) if is_on_its_way(line) => {
            if in_use {
                LineVerdict::Agrees
            } else {
                LineVerdict::Alarm(EARLIER)
            }
        }
        (State::Unknown | State::Pending | State::NeedsReview, None) => evidence(line),
        (State::Succeeded, None) if in_use || item.receipt.as_deref() == Some(receipt(line)) => {
            LineVerdict::Agrees
        }
        (State::Sending, None) => LineVerdict::Differs(
            DifferenceReason::State,
            "it is being sent at this moment; reconcile again",
        ),
        (State::Succeeded, None) => LineVerdict::Alarm(EARLIER),
        (State::Rejected | State::Skipped, None) => {
            LineVerdict::Alarm("money moved for a row that was refused")
        }
    }
}

/// A refund that the gateway has taken and not finished.
fn is_on_its_way(line: &StatementLine) -> bool {
    line.kind == LineKind::Refund && line.state == "PROCESSING"
}

fn evidence(line: &StatementLine) -> LineVerdict {
    if receipt(line).is_empty() {
        return LineVerdict::Alarm(
            "money moved, and the line has no number of the gateway's by which it could be noted",
        );
    }
    LineVerdict::Evidence
}

fn compared(theirs: Option<Amount>, ours: Option<Amount>) -> Option<DifferenceReason> {
    match (theirs, ours) {
        (Some(theirs), Some(ours)) if theirs == ours => None,
        (Some(theirs), Some(ours)) if theirs.currency() != ours.currency() => {
            Some(DifferenceReason::Currency)
        }
        (Some(_) | None, Some(_) | None) => Some(DifferenceReason::Amount),
    }
}

/// A fee that is not what the rate gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OtherFee {
    /// What the rate gives, in minor units.
    pub expected: Decimal,
    /// What the line has, in minor units.
    pub fee: i64,
    /// Their currency.
    pub currency: Currency,
}

/// The fee of a payment, if the rate gives another by more than one minor unit. What has another
/// currency than the amount cannot be compared.
pub(super) fn other_fee(line: &StatementLine, rate: Decimal) -> Option<OtherFee> {
    let amount = line.amount.filter(|_| line.kind == LineKind::Payment)?;
    let (fee, currency) = line.fee.unwrap_or((0, amount.currency()));
    let expected = Decimal::from(amount.minor()).checked_mul(rate)?;
    let differs =
        currency == amount.currency() && (Decimal::from(fee) - expected).abs() > Decimal::ONE;
    differs.then_some(OtherFee {
        expected,
        fee,
        currency,
    })
}
