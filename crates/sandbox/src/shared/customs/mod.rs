//! What two fakes, WeChat Pay's and HipoPay's, know of customs declarations: the words of it. The
//! rules are in `declaration_book`, what becomes of one in `clearance`; how a gateway is spoken to
//! is in its own folder.
//!
//! A declaration is decided after some queries or some time; the end of its sub-order's number (of
//! the payment's, where it is not split) says how:
//!
//! | number ends with | what becomes of it |
//! |---|---|
//! | `-fail` | `FAIL` |
//! | `-except` | `EXCEPT` |
//! | `-back` | `SUCCESS`, and `EXCEPT` when it is asked about once more |
//! | `-different` | `SUCCESS`; the person is `DIFFERENT` |
//! | `-unknown` | `SUCCESS`; of the person WeChat Pay says for ever that nothing is declared |
//! | `-unread` | `SUCCESS`; of the person WeChat Pay refuses every question |
//! | anything else | `SUCCESS`; the person is `SAME`, or `UNCHECKED` if none was named |
//!
//! Once it was filed again, it succeeds.

mod clearance;
mod declaration_book;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fault_flow::Calls;
pub(crate) use declaration_book::{DeclarationBook, DeclarationOutcome, DeclarationResult};
use payrun_domain::time::Timestamp;

/// Why a declaration cannot be found, in the words to which a fine-grained code belongs.
pub(crate) const NOT_DECLARED: &str = "the order is not declared";
pub(crate) const NO_RECORD: &str = "there is no customs record";

/// Which declaration: of one payment, one sub-order and one customs there is one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// The merchant's number of the payment.
    pub order: String,
    /// The merchant's number of the sub-order; empty where the payment is not split.
    pub sub_order: String,
    pub customs: String,
}

impl Key {
    /// The number that is its own, by whose end it is decided.
    pub(crate) fn number(&self) -> &str {
        if self.sub_order.is_empty() {
            &self.order
        } else {
            &self.sub_order
        }
    }
}

/// What is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeclaredTerms {
    pub merchant_customs_no: String,
    /// In 0.01 CNY.
    pub duty: Option<i64>,
    pub fees: Option<DeclaredFees>,
    /// Of the person that is named, if one is: a digest, since books hold no names.
    pub person: Option<[u8; 16]>,
}

/// What a sub-order costs, in minor units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeclaredFees {
    pub currency: String,
    pub order: i64,
    pub transport: i64,
    pub product: i64,
}

/// A payment that was paid, as far as a declaration has to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PaidPayment {
    /// The gateway's number.
    pub theirs: String,
    pub currency: String,
    pub minor: i64,
}

/// Where a declaration stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeclarationState {
    /// It was asked for, and nothing was filed: a fault or a refusal came first.
    Seen,
    Undeclared,
    /// Modified and not sent yet.
    Submitted,
    Processing,
    Success,
    Fail,
    Except,
}

impl DeclarationState {
    /// The gateways' word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Seen | Self::Undeclared => "UNDECLARED",
            Self::Submitted => "SUBMITTED",
            Self::Processing => "PROCESSING",
            Self::Success => "SUCCESS",
            Self::Fail => "FAIL",
            Self::Except => "EXCEPT",
        }
    }
}

/// A declaration in the books.
#[derive(Debug, Clone)]
pub(crate) struct Declaration {
    pub key: Key,
    /// As they are in force.
    pub terms: DeclaredTerms,
    /// As they were filed first.
    first: DeclaredTerms,
    pub state: DeclarationState,
    /// The gateway's number of it.
    pub theirs: String,
    /// The gateway's number of the payment.
    pub payment: String,
    /// The payment, as it was when this was filed.
    paid: Option<PaidPayment>,
    /// How often it was filed by being declared: never more than once.
    pub filed: u32,
    pub redeclared: u32,
    pub modified: u32,
    pub modified_at: Timestamp,
    calls: Calls,
    decide_at: Timestamp,
    queries_left: u32,
    hidden_until: Timestamp,
    /// Whether a query has shown its success.
    shown: bool,
}

impl Declaration {
    /// Whether the customs have it, or may get it: it was filed, and they have not refused it.
    pub(crate) const fn stands(&self) -> bool {
        match self.state {
            DeclarationState::Undeclared
            | DeclarationState::Submitted
            | DeclarationState::Processing
            | DeclarationState::Success => true,
            DeclarationState::Seen | DeclarationState::Fail | DeclarationState::Except => false,
        }
    }

    /// What is said of the person that was named.
    pub(crate) fn person(&self) -> &'static str {
        match self.terms.person {
            None => "UNCHECKED",
            Some(_) if self.key.number().ends_with("-different") => "DIFFERENT",
            Some(_) => "SAME",
        }
    }

    /// Why it failed, in the words of the customs.
    pub(crate) fn explanation(&self) -> Option<&'static str> {
        match self.state {
            DeclarationState::Fail => Some("支付单信息不符"),
            DeclarationState::Except => Some("海关接口异常"),
            DeclarationState::Seen
            | DeclarationState::Undeclared
            | DeclarationState::Submitted
            | DeclarationState::Processing
            | DeclarationState::Success => None,
        }
    }
}

/// What was filed with the customs, summed up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomsTotals {
    /// How many declarations there are, by customs and by the state they are in.
    pub filed: BTreeMap<String, BTreeMap<String, u64>>,
    /// How often one was filed by being declared when it was filed already: never.
    pub filed_twice: u64,
    /// How often one was redeclared.
    pub redeclared: u64,
    /// How often one was modified.
    pub modified: u64,
    /// How often a person was checked.
    pub identity_checks: u64,
}
