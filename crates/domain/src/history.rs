//! The words of an item's history: what moved it, and what a call or a message was.
//!
//! Each word is spelt here and nowhere else. The ledger writes and reads these types; its SQL, the
//! checker (which knows nothing of payrun and keeps lists of its own) and the docs are held to them
//! by tests.

use std::fmt;

use super::answer::AnswerKind;

/// What moved an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventKind {
    /// A worker took it.
    Claim,
    /// It was given back before anything was sent.
    Unsent,
    /// What it acts on was looked up; nothing of its own was sent, and it was given back.
    LookedUp,
    /// A call was answered so.
    Answered(AnswerKind),
    /// Its process died, or its lease ended, before the call was answered.
    Abandoned,
    /// A call was answered after its lease, and it happened.
    LateDone,
    /// A call was answered after its lease.
    LateAnswer,
    /// The gateway told of it by itself.
    Notification,
    /// A line of a statement shows it.
    Statement,
    /// A person withdrew it, or its job did.
    Cancel,
    /// A person had it tried again.
    Retry,
    /// A person said what became of it.
    Resolve,
    /// Its batch was approved.
    Approve,
    /// Its batch was rejected.
    Reject,
    /// Nobody approved its batch in time.
    Expire,
    /// The ledger was restored: it is asked about before it is sent.
    Recall,
    /// Money moved under an earlier order number of it.
    RequireReview,
    /// Its row came again with other content, as another item.
    FiledAgain,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 23] = [
        Self::Claim,
        Self::Unsent,
        Self::LookedUp,
        Self::Answered(AnswerKind::Done),
        Self::Answered(AnswerKind::Accepted),
        Self::Answered(AnswerKind::Declined),
        Self::Answered(AnswerKind::NotProcessed),
        Self::Answered(AnswerKind::Absent),
        Self::Answered(AnswerKind::Unknown),
        Self::Abandoned,
        Self::LateDone,
        Self::LateAnswer,
        Self::Notification,
        Self::Statement,
        Self::Cancel,
        Self::Retry,
        Self::Resolve,
        Self::Approve,
        Self::Reject,
        Self::Expire,
        Self::Recall,
        Self::RequireReview,
        Self::FiledAgain,
    ];

    /// As the ledger spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Unsent => "unsent",
            Self::LookedUp => "looked_up",
            Self::Answered(answer) => answer.as_str(),
            Self::Abandoned => "abandoned",
            Self::LateDone => "late_done",
            Self::LateAnswer => "late_answer",
            Self::Notification => "notification",
            Self::Statement => "statement",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Resolve => "resolve",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Expire => "expire",
            Self::Recall => "recall",
            Self::RequireReview => "require_review",
            Self::FiledAgain => "filed_again",
        }
    }

    /// The kind of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether it may lead out of not knowing what happened: it says what did, or a person takes
    /// it upon herself. Never time, never a death.
    pub const fn is_evidence(self) -> bool {
        match self {
            Self::Answered(answer) => !matches!(answer, AnswerKind::Unknown),
            Self::LateDone | Self::Notification | Self::Statement | Self::Retry | Self::Resolve => {
                true
            }
            Self::Claim
            | Self::Unsent
            | Self::LookedUp
            | Self::Abandoned
            | Self::LateAnswer
            | Self::Cancel
            | Self::Approve
            | Self::Reject
            | Self::Expire
            | Self::Recall
            | Self::RequireReview
            | Self::FiledAgain => false,
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a row of the attempts is: a call, or what was told without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AttemptKind {
    /// A call, and its answer.
    Call,
    /// A claim that ended without an answer: it must be taken for a call.
    Abandoned,
    /// A notification of the gateway.
    Notification,
    /// A line of a statement.
    Statement,
    /// A person's word.
    Person,
}

impl AttemptKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [
        Self::Call,
        Self::Abandoned,
        Self::Notification,
        Self::Statement,
        Self::Person,
    ];

    /// As the ledger spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Abandoned => "abandoned",
            Self::Notification => "notification",
            Self::Statement => "statement",
            Self::Person => "person",
        }
    }

    /// The kind of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether the gateway may have been called.
    pub const fn is_call(self) -> bool {
        match self {
            Self::Call | Self::Abandoned => true,
            Self::Notification | Self::Statement | Self::Person => false,
        }
    }
}

impl fmt::Display for AttemptKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_has_one_word_and_is_evidence_or_not() {
        let shown = |kind: EventKind| {
            let evidence = if kind.is_evidence() { "evidence" } else { "-" };
            format!("{kind} {evidence}")
        };
        let expected = [
            "claim -",
            "unsent -",
            "looked_up -",
            "done evidence",
            "accepted evidence",
            "declined evidence",
            "not_processed evidence",
            "absent evidence",
            "unknown -",
            "abandoned -",
            "late_done evidence",
            "late_answer -",
            "notification evidence",
            "statement evidence",
            "cancel -",
            "retry evidence",
            "resolve evidence",
            "approve -",
            "reject -",
            "expire -",
            "recall -",
            "require_review -",
            "filed_again -",
        ];
        assert_eq!(EventKind::ALL.map(shown), expected);
        for kind in EventKind::ALL {
            assert_eq!(EventKind::parse(&kind.to_string()), Some(kind));
        }
        assert_eq!(EventKind::parse("evidence"), None);
    }

    #[test]
    fn each_attempt_has_one_word_and_may_have_called_the_gateway_or_not() {
        let shown = |kind: AttemptKind| format!("{kind} {}", kind.is_call());
        let expected = [
            "call true",
            "abandoned true",
            "notification false",
            "statement false",
            "person false",
        ];
        assert_eq!(AttemptKind::ALL.map(shown), expected);
        for kind in AttemptKind::ALL {
            assert_eq!(AttemptKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(AttemptKind::parse("Call"), None);
    }
}
