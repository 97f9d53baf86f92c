//! What becomes of a contract when one of its periods could not be charged.

/// What a gateway's refusal says of the contract, as outcome tables have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContractSignal {
    /// It has ended: nothing can ever be charged under it.
    Ended,
    /// It should not be charged until a person has looked.
    Suspended,
}

impl ContractSignal {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Suspended => "suspended",
        }
    }

    /// The one of this word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Ended, Self::Suspended]
            .into_iter()
            .find(|one| one.as_str() == word)
    }
}

/// An item of a period that has failed, as far as it matters to its contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedItem {
    /// What the gateway's last refusal says of the contract.
    pub word: Option<ContractSignal>,
    /// How often it was declined.
    pub decline_count: u16,
    /// How many steps the dunning ladder has.
    pub steps: usize,
    /// Why it failed.
    pub reason: String,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContractFollowUp {
    /// Nothing: the failure is the item's own.
    Nothing,
    /// The contract is suspended, and why.
    Suspend(String),
    /// The contract ends, and why.
    End(String),
}

/// Decides it.
pub fn follow(failed: &FailedItem) -> ContractFollowUp {
    let reason = &failed.reason;
    match failed.word {
        Some(ContractSignal::Ended) => {
            ContractFollowUp::End(format!("the gateway says so; {reason}"))
        }
        Some(ContractSignal::Suspended) => ContractFollowUp::Suspend(format!("refused; {reason}")),
        None if usize::from(failed.decline_count) > failed.steps => ContractFollowUp::Suspend(
            format!("declined to the end of the dunning ladder; {reason}"),
        ),
        None => ContractFollowUp::Nothing,
    }
}
