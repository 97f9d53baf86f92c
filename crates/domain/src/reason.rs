//! What follows from a reason: the sentence beside it is for people and decides nothing.
//!
//! Of items, only reasons on which the program acts have a code. An item whose reason has none is
//! treated by its state alone. What could not be planned always has a code.

use std::fmt;

/// What the reason of an item says, where something follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReasonCode {
    /// The gateway refused it: a retry keeps its words until a new answer replaces them.
    Declined,
    /// The gateway refused it and a person has to decide; its words are kept likewise.
    NeedsDecision,
    /// Nobody found out what happened: nothing new was learnt since the words that were kept.
    AskedInVain,
    /// It waits for an earlier item of its contract.
    ContractBusy,
    /// It waits for an item of its contract that a person has to decide about.
    ContractNeedsReview,
    /// It waits because a person has paused its contract.
    ContractPaused,
    /// It waits because its contract is to be terminated.
    ContractEnding,
}

impl ReasonCode {
    /// Every code.
    pub const ALL: [Self; 7] = [
        Self::Declined,
        Self::NeedsDecision,
        Self::AskedInVain,
        Self::ContractBusy,
        Self::ContractNeedsReview,
        Self::ContractPaused,
        Self::ContractEnding,
    ];

    /// As the ledger spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Declined => "declined",
            Self::NeedsDecision => "needs_decision",
            Self::AskedInVain => "asked_in_vain",
            Self::ContractBusy => "contract_busy",
            Self::ContractNeedsReview => "contract_needs_review",
            Self::ContractPaused => "contract_paused",
            Self::ContractEnding => "contract_ending",
        }
    }

    /// The code of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }

    /// Whether it waits for its contract: it looks again as soon as that changes.
    pub const fn waits_for_contract(self) -> bool {
        match self {
            Self::ContractBusy
            | Self::ContractNeedsReview
            | Self::ContractPaused
            | Self::ContractEnding => true,
            Self::Declined | Self::NeedsDecision | Self::AskedInVain => false,
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a job or an occurrence of a schedule could not be planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureCode {
    /// A limit of the workflow's would be exceeded.
    OverLimit,
    /// The file of its items cannot be read.
    UnreadableItems,
    /// The workflow does not say what is to be done, or does not fit its items.
    InvalidWorkflow,
    /// The run would be for a day that has not come.
    FutureDate,
    /// The job from which it takes its items has never run.
    NoSuchJob,
    /// What was filed before cannot be opened.
    UnreadableHistory,
    /// The planning broke off.
    Interrupted,
    /// The run was withdrawn before the job was planned.
    Withdrawn,
}

impl FailureCode {
    /// Every code.
    pub const ALL: [Self; 8] = [
        Self::OverLimit,
        Self::UnreadableItems,
        Self::InvalidWorkflow,
        Self::FutureDate,
        Self::NoSuchJob,
        Self::UnreadableHistory,
        Self::Interrupted,
        Self::Withdrawn,
    ];

    /// As the ledger and the API spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OverLimit => "over_limit",
            Self::UnreadableItems => "unreadable_items",
            Self::InvalidWorkflow => "invalid_workflow",
            Self::FutureDate => "future_date",
            Self::NoSuchJob => "no_such_job",
            Self::UnreadableHistory => "unreadable_history",
            Self::Interrupted => "interrupted",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The code of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_one_word_and_waits_for_its_contract_or_not() {
        let shown = |code: ReasonCode| format!("{code} {}", code.waits_for_contract());
        let expected = [
            "declined false",
            "needs_decision false",
            "asked_in_vain false",
            "contract_busy true",
            "contract_needs_review true",
            "contract_paused true",
            "contract_ending true",
        ];
        assert_eq!(ReasonCode::ALL.map(shown), expected);
        for code in ReasonCode::ALL {
            assert_eq!(ReasonCode::parse(code.as_str()), Some(code));
        }
        assert_eq!(ReasonCode::parse("over_limit"), None);
    }

    #[test]
    fn each_failure_has_one_word() {
        let expected = [
            "over_limit",
            "unreadable_items",
            "invalid_workflow",
            "future_date",
            "no_such_job",
            "unreadable_history",
            "interrupted",
            "withdrawn",
        ];
        assert_eq!(FailureCode::ALL.map(|code| code.to_string()), expected);
        assert_eq!(expected.map(FailureCode::parse), FailureCode::ALL.map(Some));
        assert_eq!(FailureCode::parse("declined"), None);
    }
}
