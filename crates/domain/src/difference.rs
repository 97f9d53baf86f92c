//! Differences between our items and a gateway's statement: their reasons, and their life from the
//! reconciliation that finds one to the person, or the later evidence, that ends it.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A total at the end of a statement that is not what its lines come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryRemark {
    /// Which one: [`SummaryRemark::LINES`], or the caption of a sum as the gateway writes it.
    pub total: String,
    /// A sentence for people.
    pub says: String,
}

impl SummaryRemark {
    /// The number of lines.
    pub const LINES: &str = "lines";
}

/// Why something differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DifferenceReason {
    /// Money moved against what is known of our item, or the other way round.
    State,
    /// Another amount.
    Amount,
    /// Another currency.
    Currency,
    /// A payment that is not ours.
    MissingHere,
    /// A refund that is not ours.
    RefundOfAnotherSystem,
    /// Our item stands in no statement.
    MissingThere,
    /// The number stood in the statements before.
    DuplicateLine,
    /// The fee is not what the rate gives.
    Fee,
    /// A total of the statement is not what its lines come to.
    Summary,
    /// Our item belongs to the statement of a day beside.
    Timing,
    /// By the account's rules the line belongs to another system.
    Others,
}

impl DifferenceReason {
    /// All, the gravest first.
    pub const ALL: [Self; 11] = [
        Self::State,
        Self::Amount,
        Self::Currency,
        Self::MissingHere,
        Self::RefundOfAnotherSystem,
        Self::MissingThere,
        Self::DuplicateLine,
        Self::Fee,
        Self::Summary,
        Self::Timing,
        Self::Others,
    ];

    /// Its name in reports, as the ledger spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::MissingHere => "missing_here",
            Self::RefundOfAnotherSystem => "refund_of_another_system",
            Self::MissingThere => "missing_there",
            Self::DuplicateLine => "duplicate_line",
            Self::Fee => "fee",
            Self::Summary => "summary",
            Self::Timing => "timing",
            Self::Others => "others",
        }
    }

    /// The reason of this name.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// What a person should do.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::State => {
                "Find out what happened with the gateway before anything is sent or given back; start here."
            }
            Self::Amount => "Compare the order with the gateway; refund or charge the difference.",
            Self::Currency => {
                "Compare the order with the gateway; one side has the wrong currency."
            }
            Self::MissingHere => {
                "Find out which system took this payment; payrun has no item with this number."
            }
            Self::RefundOfAnotherSystem => {
                "Find out who gave this back; if a refund of ours for this payment is still open, it may be this one."
            }
            Self::MissingThere => {
                "Look the order up (job kind query); if the gateway has no payment, ask its support."
            }
            Self::DuplicateLine => {
                "Ask the gateway whether the money moved twice or the file has the line twice."
            }
            Self::Fee => "Compare with the contract with the gateway.",
            Self::Summary => {
                "Ask the gateway how it counts; the lines themselves were all read and compared."
            }
            Self::Timing => "Nothing, if the next days' reconciliation finds it.",
            Self::Others => {
                "Nothing: `ours` of the account in payrun.yaml says that it is not ours."
            }
        }
    }

    /// Whether a person must look at it. What a neighbouring day or a rule explains needs nobody.
    pub const fn matters(self) -> bool {
        !matches!(self, Self::Timing | Self::Others)
    }

    /// The state of a difference of this reason that is found for the first time.
    pub const fn first_state(self) -> DifferenceState {
        if self.matters() {
            DifferenceState::Open
        } else {
            DifferenceState::Explained
        }
    }
}

impl fmt::Display for DifferenceReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far a difference has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DifferenceState {
    /// Nobody knows yet why.
    Open,
    /// It is known why, and it waits for what will end it.
    Explained,
    /// A person lets it stand for good.
    Accepted,
    /// A later reconciliation does not find it any more.
    Closed,
}

impl DifferenceState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Open, Self::Explained, Self::Accepted, Self::Closed];

    /// Those that later reconciliations look at again.
    pub const FOLLOWED: [Self; 2] = [Self::Open, Self::Explained];

    /// As the ledger spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Explained => "explained",
            Self::Accepted => "accepted",
            Self::Closed => "closed",
        }
    }

    /// The state of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl fmt::Display for DifferenceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who looks after a difference: the name of a person or a group, as people write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferenceOwner(String);

/// A text that is the name of nobody who could look after a difference.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "an owner has 1 to {} characters; this one has {length}",
    DifferenceOwner::MAX
)]
pub struct InvalidOwner {
    /// How many characters it has, blanks around it left out.
    pub length: usize,
}

impl DifferenceOwner {
    /// The longest name, in characters.
    pub const MAX: usize = 100;

    /// The owner of this name; blanks around it do not count.
    ///
    /// # Errors
    /// [`InvalidOwner`] if it is empty or too long.
    pub fn parse(name: &str) -> Result<Self, InvalidOwner> {
        let name = name.trim();
        let length = name.chars().count();
        if (1..=Self::MAX).contains(&length) {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidOwner { length })
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DifferenceOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What happens to a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DifferenceEvent {
    /// A reconciliation finds it again.
    Found,
    /// A reconciliation finds it again for another reason, since a rule of its account calls it so.
    FoundOtherwise,
    /// A reconciliation looked where it was, and did not find it.
    NotFound,
    /// A person says why it is there.
    Explain,
    /// A person lets it stand.
    Accept,
    /// A person takes back that it was explained or accepted.
    Reopen,
}

impl DifferenceEvent {
    /// What persons may say.
    pub const BY_PERSONS: [Self; 3] = [Self::Explain, Self::Accept, Self::Reopen];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::FoundOtherwise => "found_otherwise",
            Self::NotFound => "not_found",
            Self::Explain => "explain",
            Self::Accept => "accept",
            Self::Reopen => "reopen",
        }
    }
}

/// The state that follows; none if the event cannot be in this state.
///
/// | state     | found     | found_otherwise | not_found | explain   | accept   | reopen |
/// |-----------|-----------|-----------------|-----------|-----------|----------|--------|
/// | open      | open      | open            | closed    | explained | accepted | –      |
/// | explained | explained | open            | closed    | explained | accepted | open   |
/// | accepted  | accepted  | accepted        | accepted  | –         | accepted | open   |
/// | closed    | open      | open            | closed    | –         | –        | –      |
///
/// `found` of what was closed begins it anew, in [`DifferenceReason::first_state`], and so does
/// `found_otherwise` of what nobody accepted; the reason is the new one then.
pub const fn next(
    reason: DifferenceReason,
    state: DifferenceState,
    event: DifferenceEvent,
) -> Option<DifferenceState> {
    use DifferenceEvent::{Accept, Explain, Found, FoundOtherwise, NotFound, Reopen};
    use DifferenceState::{Accepted, Closed, Explained, Open};
    match (state, event) {
        (Open | Explained | Accepted, Found) => Some(state),
        (Closed, Found) | (Open | Explained | Closed, FoundOtherwise) => Some(reason.first_state()),
        (Accepted, FoundOtherwise) => Some(Accepted),
        (Open | Explained | Closed, NotFound) => Some(Closed),
        (Accepted, NotFound) => Some(Accepted),
        (Open | Explained, Explain) => Some(Explained),
        (Open | Explained | Accepted, Accept) => Some(Accepted),
        (Explained | Accepted, Reopen) => Some(Open),
        (Open, Reopen) | (Accepted, Explain) | (Closed, Explain | Accept | Reopen) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table in the documentation of [`next`].
    fn table() -> Vec<Vec<&'static str>> {
        let rows = include_str!("difference.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("/// | "))
            .map(|line| {
                let cells = line.trim_end_matches('|').split('|');
                cells.map(str::trim).collect()
            });
        rows.collect()
    }

    #[test]
    fn every_state_follows_as_the_table_says() {
        let table = table();
        let events = [
            DifferenceEvent::Found,
            DifferenceEvent::FoundOtherwise,
            DifferenceEvent::NotFound,
            DifferenceEvent::Explain,
            DifferenceEvent::Accept,
            DifferenceEvent::Reopen,
        ];
        assert_eq!(table[0][1..], events.map(DifferenceEvent::as_str));
        let states: Vec<_> = table[1..].iter().map(|row| row[0]).collect();
        assert_eq!(states, DifferenceState::ALL.map(DifferenceState::as_str));
        for row in &table[1..] {
            let state = DifferenceState::parse(row[0]).unwrap();
            for (event, said) in events.into_iter().zip(&row[1..]) {
                let follows = next(DifferenceReason::Amount, state, event);
                let follows = follows.map_or("–", DifferenceState::as_str);
                assert_eq!(follows, *said, "{state} {event:?}");
            }
        }
    }

    #[test]
    fn an_owner_has_a_name_that_is_not_too_long() {
        let longest = "李".repeat(DifferenceOwner::MAX);
        for (name, owner) in [(" li ", "li"), (longest.as_str(), longest.as_str())] {
            let parsed = DifferenceOwner::parse(name).unwrap();
            assert_eq!((parsed.as_str(), &*parsed.to_string()), (owner, owner));
        }
        for (name, length) in [("  ", 0), (format!("{longest}!").as_str(), 101)] {
            assert_eq!(DifferenceOwner::parse(name), Err(InvalidOwner { length }));
        }
        assert_eq!(
            InvalidOwner { length: 240 }.to_string(),
            "an owner has 1 to 100 characters; this one has 240"
        );
    }

    #[test]
    fn what_needs_nobody_is_explained_from_the_beginning() {
        for reason in DifferenceReason::ALL {
            let state = if ["timing", "others"].contains(&reason.as_str()) {
                DifferenceState::Explained
            } else {
                DifferenceState::Open
            };
            assert_eq!(reason.first_state(), state, "{reason}");
            let again = next(reason, DifferenceState::Closed, DifferenceEvent::Found);
            assert_eq!(again, Some(state), "{reason}");
            assert_eq!(DifferenceReason::parse(reason.as_str()), Some(reason));
        }
    }

    #[test]
    fn every_reason_and_state_is_shown_by_its_name() {
        let reasons = [
            "state",
            "amount",
            "currency",
            "missing_here",
            "refund_of_another_system",
            "missing_there",
            "duplicate_line",
            "fee",
            "summary",
            "timing",
            "others",
        ];
        assert_eq!(
            DifferenceReason::ALL.map(|reason| reason.to_string()),
            reasons
        );
        let states = ["open", "explained", "accepted", "closed"];
        assert_eq!(DifferenceState::ALL.map(|state| state.to_string()), states);
    }

    #[test]
    fn every_reason_has_advice_of_its_own_and_nothing_is_to_be_done_where_nobody_must_look() {
        let mut told = std::collections::BTreeSet::new();
        for reason in DifferenceReason::ALL {
            let advice = reason.advice();
            assert!(told.insert(advice) && advice.ends_with('.'), "{reason}");
            let needs_nobody = advice.starts_with("Nothing");
            assert_eq!(needs_nobody, !reason.matters(), "{reason}: {advice}");
        }
    }
}
