//! What a gateway's answer means. Every reply, query and notification ends in one of these, and
//! nothing else.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::message::Message;
use super::text::is_unseen;

/// What became of an order, as far as one reply, query or notification can say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It happened; final.
    Done(Receipt),
    /// The gateway has it and will decide.
    Accepted,
    /// It did not and will not happen under this order number.
    Declined(Decline),
    /// Certain that nothing happened; the same number may be sent again.
    NotProcessed {
        /// The gateway's code, or what the transport said.
        code: String,
        /// How long the gateway asked to wait, in milliseconds.
        after: Option<u64>,
    },
    /// A query's answer only: the gateway has no such order, or has it unpaid. It counts after the
    /// grace period, since an order may show up late.
    Absent,
    /// Everything else: time-out after sending, reset, 5xx, unreadable, unverifiable, unmapped,
    /// contradictory.
    Unknown {
        /// What made it unknown.
        cause: Cause,
        /// The gateway's code, where it gave one.
        code: String,
    },
}

impl Answer {
    /// Which answer it is, without what it says beside.
    pub const fn kind(&self) -> AnswerKind {
        match self {
            Self::Done(_) => AnswerKind::Done,
            Self::Accepted => AnswerKind::Accepted,
            Self::Declined(_) => AnswerKind::Declined,
            Self::NotProcessed { .. } => AnswerKind::NotProcessed,
            Self::Absent => AnswerKind::Absent,
            Self::Unknown { .. } => AnswerKind::Unknown,
        }
    }

    /// The word for this answer, as tables and the ledger spell it.
    pub const fn as_str(&self) -> &'static str {
        self.kind().as_str()
    }

    /// The gateway's code or the cause, for people; empty where the word says it all.
    pub fn code(&self) -> &str {
        match self {
            Self::Done(_) | Self::Accepted | Self::Absent => "",
            Self::Declined(decline) => &decline.code,
            Self::NotProcessed { code, .. } => code,
            Self::Unknown { cause, code } => {
                if code.is_empty() {
                    cause.as_str()
                } else {
                    code
                }
            }
        }
    }
}

/// Which [`Answer`] it was, as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AnswerKind {
    /// It happened.
    Done,
    /// The gateway has it.
    Accepted,
    /// It did not happen.
    Declined,
    /// Nothing happened; it may be sent again.
    NotProcessed,
    /// The gateway has no such order.
    Absent,
    /// It is not known what happened.
    Unknown,
}

impl AnswerKind {
    /// Every answer.
    pub const ALL: [Self; 6] = [
        Self::Done,
        Self::Accepted,
        Self::Declined,
        Self::NotProcessed,
        Self::Absent,
        Self::Unknown,
    ];

    /// As tables and the ledger spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Accepted => "accepted",
            Self::Declined => "declined",
            Self::NotProcessed => "not_processed",
            Self::Absent => "absent",
            Self::Unknown => "unknown",
        }
    }

    /// The answer of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl fmt::Display for AnswerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The gateway's own number for what it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Receipt(pub String);

/// The longest receipt, in characters: the gateways' own have up to 64.
const RECEIPT_MAX: usize = 128;

impl Receipt {
    /// One that a gateway names; none if it is empty, too long, or has characters that cannot be
    /// seen.
    pub fn named(text: &str) -> Option<Self> {
        let is_receipt =
            !text.is_empty() && text.chars().count() <= RECEIPT_MAX && !text.chars().any(is_unseen);
        is_receipt.then(|| Self(text.to_owned()))
    }

    /// One that a person has found out.
    ///
    /// # Errors
    /// If it is empty, too long, or has characters that cannot be seen.
    pub fn found(text: &str) -> Result<Self, String> {
        let fault =
            || format!("a receipt has 1 to {RECEIPT_MAX} characters, all of which can be seen");
        Self::named(text.trim()).ok_or_else(fault)
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decline {
    /// The gateway's code.
    pub code: String,
    /// What kind of refusal it is.
    pub class: DeclineClass,
    /// Whether the order number is spent.
    pub number: NumberRule,
}

/// What kind of refusal it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeclineClass {
    /// May succeed another day: dunning tries again.
    Soft,
    /// Will not succeed.
    Hard,
    /// The order number is closed at the gateway: nothing was asked of the payer under it, so no
    /// step of the dunning ladder is used up.
    Spent,
    /// Will not succeed by itself: a person has to decide what to do.
    Person,
    /// Our side is wrong: stop the lane.
    Config,
    /// Our balance is too small: suspend the lane, tell someone.
    Funds,
}

impl DeclineClass {
    /// Every class.
    pub const ALL: [Self; 6] = [
        Self::Soft,
        Self::Hard,
        Self::Spent,
        Self::Person,
        Self::Config,
        Self::Funds,
    ];

    /// The word for this class, as outcome tables and the ledger spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Soft => "soft",
            Self::Hard => "hard",
            Self::Spent => "spent",
            Self::Person => "person",
            Self::Config => "config",
            Self::Funds => "funds",
        }
    }
}

/// What a refusal does to the order number. The gateway's rule, not ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumberRule {
    /// The same number may be sent again.
    Same,
    /// The number is spent; the next generation's is used.
    Next,
    /// Only a query tells.
    #[default]
    Ask,
}

/// Why an answer is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// No reply before the deadline, after something was sent.
    TimedOut,
    /// The connection broke after something was sent.
    ConnectionLost,
    /// A query did not get through; it says nothing about the order.
    NotAsked,
    /// The gateway answered that it failed (5xx).
    GatewayFailed,
    /// The reply could not be read.
    Unreadable,
    /// The reply's signature could not be verified.
    Unverified,
    /// A code no outcome table lists.
    Unmapped,
    /// The reply names another order, amount or currency than ours.
    Mismatch,
    /// The outcome table says that only a query tells.
    Ambiguous,
    /// The lease ran out, or the process died, while the call was under way.
    Abandoned,
}

impl Cause {
    /// Its word, as a part of what people are told.
    pub const fn told(self) -> Message {
        match self {
            Self::TimedOut => Message::new("cause-timed-out", "timed_out"),
            Self::ConnectionLost => Message::new("cause-connection-lost", "connection_lost"),
            Self::NotAsked => Message::new("cause-not-asked", "not_asked"),
            Self::GatewayFailed => Message::new("cause-gateway-failed", "gateway_failed"),
            Self::Unreadable => Message::new("cause-unreadable", "unreadable"),
            Self::Unverified => Message::new("cause-unverified", "unverified"),
            Self::Unmapped => Message::new("cause-unmapped", "unmapped"),
            Self::Mismatch => Message::new("cause-mismatch", "mismatch"),
            Self::Ambiguous => Message::new("cause-ambiguous", "ambiguous"),
            Self::Abandoned => Message::new("cause-abandoned", "abandoned"),
        }
    }

    /// The word for this cause, as tables and the ledger spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TimedOut => "timed_out",
            Self::ConnectionLost => "connection_lost",
            Self::NotAsked => "not_asked",
            Self::GatewayFailed => "gateway_failed",
            Self::Unreadable => "unreadable",
            Self::Unverified => "unverified",
            Self::Unmapped => "unmapped",
            Self::Mismatch => "mismatch",
            Self::Ambiguous => "ambiguous",
            Self::Abandoned => "abandoned",
        }
    }
}

/// What an answer says about the lane it came through, beside what it says about the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneEffect {
    /// Nothing.
    #[default]
    None,
    /// Our side is wrong (signature, permission): send nothing more until a person has mended it.
    Stop,
    /// Our balance is too small: wait and tell someone.
    Suspend,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_shows_its_word_and_the_gateways_code_or_the_cause() {
        let unknown = |code: &str| Answer::Unknown {
            cause: Cause::TimedOut,
            code: code.to_owned(),
        };
        let shown = |answer: &Answer| format!("{} {}", answer.as_str(), answer.code());
        assert_eq!(shown(&Answer::Accepted), "accepted ");
        assert_eq!(shown(&Answer::Absent), "absent ");
        assert_eq!(shown(&unknown("")), "unknown timed_out");
        assert_eq!(shown(&unknown("SYSTEM_ERROR")), "unknown SYSTEM_ERROR");
    }

    #[test]
    fn a_receipt_is_short_and_can_be_seen() {
        let long = |length| "7".repeat(length);
        assert_eq!(Receipt::named("T-1"), Some(Receipt("T-1".to_owned())));
        assert_eq!(Receipt::named(""), None);
        assert_eq!(Receipt::named("T\u{200b}1"), None);
        assert_eq!(Receipt::named(&long(128)), Some(Receipt(long(128))));
        assert_eq!(Receipt::named(&long(129)), None);
        assert_eq!(Receipt::found(" T-1 "), Ok(Receipt("T-1".to_owned())));
        assert!(Receipt::found("  ").is_err());
    }

    #[test]
    fn each_answer_has_one_word_and_each_class_the_one_it_is_stored_by() {
        let words = AnswerKind::ALL.map(|kind| kind.to_string());
        let spelt = [
            "done",
            "accepted",
            "declined",
            "not_processed",
            "absent",
            "unknown",
        ];
        assert_eq!(words, spelt);
        assert_eq!(
            spelt.map(AnswerKind::parse),
            AnswerKind::ALL.map(Some),
            "each word is read as its answer"
        );
        assert_eq!(AnswerKind::parse("Done"), None);
        let classes = ["soft", "hard", "spent", "person", "config", "funds"];
        assert_eq!(DeclineClass::ALL.map(DeclineClass::as_str), classes);
        for (class, word) in DeclineClass::ALL.into_iter().zip(classes) {
            assert_eq!(serde_json::to_value(class).unwrap(), word);
        }
    }
}
