//! The words in which the ledger keeps what became of contracts and of their periods.

use std::fmt;

/// What a change of a contract was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContractEvent {
    /// It is new.
    Imported,
    /// Other terms, prices or another last day.
    Changed,
    /// It is not charged until it is resumed.
    Suspended,
    /// It is charged again.
    Resumed,
    /// It is never charged again.
    Ended,
    /// A period of it that had lapsed may be charged after all.
    Reopened,
}

impl ContractEvent {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::Imported,
        Self::Changed,
        Self::Suspended,
        Self::Resumed,
        Self::Ended,
        Self::Reopened,
    ];

    /// As the ledger spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::Changed => "changed",
            Self::Suspended => "suspended",
            Self::Resumed => "resumed",
            Self::Ended => "ended",
            Self::Reopened => "reopened",
        }
    }

    /// The change of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == word)
    }
}

impl fmt::Display for ContractEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why payrun changed a contract by itself; its sentence beside it is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContractChangeCode {
    /// An item of it failed for good: payrun stops charging it.
    Failed,
    /// The gateway has ended it as it was asked to.
    Terminated,
    /// Its last day is over, as was agreed.
    LastDay,
}

impl ContractChangeCode {
    /// All.
    pub const ALL: [Self; 3] = [Self::Failed, Self::Terminated, Self::LastDay];

    /// As the ledger spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Terminated => "terminated",
            Self::LastDay => "last_day",
        }
    }

    /// The code of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == word)
    }
}

/// What became of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeriodState {
    /// An item has its key.
    Planned,
    /// Its item succeeded.
    Paid,
    /// Its item failed.
    Failed,
    /// Its item was withdrawn: to people it is waived.
    Cancelled,
    /// Its pay-by date passed before it was planned.
    Lapsed,
    /// It is never charged.
    Waived,
    /// It had lapsed, and a person reopened it.
    Reopened,
}

impl PeriodState {
    /// All.
    pub const ALL: [Self; 7] = [
        Self::Planned,
        Self::Paid,
        Self::Failed,
        Self::Cancelled,
        Self::Lapsed,
        Self::Waived,
        Self::Reopened,
    ];

    /// As the ledger spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Lapsed => "lapsed",
            Self::Waived => "waived",
            Self::Reopened => "reopened",
        }
    }

    /// The state of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }

    /// The word for people. Whether nothing came of its item or it never had one: it is charged no
    /// more.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Cancelled => Self::Waived.as_str(),
            Self::Planned
            | Self::Paid
            | Self::Failed
            | Self::Lapsed
            | Self::Waived
            | Self::Reopened => self.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_read_back_and_no_other() {
        for event in ContractEvent::ALL {
            assert_eq!(ContractEvent::parse(event.as_str()), Some(event));
            assert_eq!(event.to_string(), event.as_str());
        }
        for code in ContractChangeCode::ALL {
            assert_eq!(ContractChangeCode::parse(code.as_str()), Some(code));
        }
        for state in PeriodState::ALL {
            assert_eq!(PeriodState::parse(state.as_str()), Some(state));
        }
        let words: Vec<&str> = ContractEvent::ALL
            .into_iter()
            .map(ContractEvent::as_str)
            .collect();
        assert_eq!(
            words,
            [
                "imported",
                "changed",
                "suspended",
                "resumed",
                "ended",
                "reopened"
            ]
        );
        assert_eq!(ContractEvent::parse("xyzzy"), None);
        assert_eq!(PeriodState::Cancelled.label(), "waived");
        assert_eq!(PeriodState::Paid.label(), "paid");
    }
}
