//! Items and money by what became of them, as a report tells them apart: what was planned, and each
//! end that it can come to.

use crate::domain::item::State;
use crate::domain::money::Currency;
use crate::export::{TableCell, TableColumn, TableColumnKind};

/// The groups, each with its states. Planned is what the others add up to, rejected and skipped rows
/// left out: they were never taken.
const GROUPS: [(&str, &[State]); 10] = [
    (
        "planned",
        &[
            State::Succeeded,
            State::Failed,
            State::Unknown,
            State::NeedsReview,
            State::AwaitingApproval,
            State::Planned,
            State::Sending,
            State::Pending,
            State::Cancelled,
        ],
    ),
    ("succeeded", &[State::Succeeded]),
    ("failed", &[State::Failed]),
    ("unknown", &[State::Unknown]),
    ("needs_review", &[State::NeedsReview]),
    ("waits_for_approval", &[State::AwaitingApproval]),
    (
        "under_way",
        &[State::Planned, State::Sending, State::Pending],
    ),
    ("cancelled", &[State::Cancelled]),
    ("rejected", &[State::Rejected]),
    ("skipped", &[State::Skipped]),
];

/// Sums of one currency, by group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ReportSums([(u64, i128); GROUPS.len()]);

impl ReportSums {
    /// Adds items of a state.
    pub fn add(&mut self, state: State, items: u64, minor: i64) {
        let own = self.0.iter_mut().zip(GROUPS);
        for ((count, sum), _) in own.filter(|(_, (_, states))| states.contains(&state)) {
            *count += items;
            *sum += i128::from(minor);
        }
    }

    /// How many items a group has.
    pub fn items(&self, group: &str) -> u64 {
        let named = self.0.iter().zip(GROUPS);
        named
            .filter(|(_, (name, _))| *name == group)
            .map(|((count, _), _)| count)
            .sum()
    }

    /// Two columns a group: how many, and how much.
    pub fn columns() -> impl Iterator<Item = TableColumn> {
        GROUPS.iter().flat_map(|(name, _)| {
            [
                TableColumn::new(*name, TableColumnKind::Count),
                TableColumn::new(format!("{name}_amount"), TableColumnKind::Money),
            ]
        })
    }

    /// The cells under them. Items without an amount have no currency and no sums.
    pub fn cells(&self, currency: Option<Currency>) -> impl Iterator<Item = TableCell> {
        self.0
            .into_iter()
            .flat_map(move |(count, minor)| [TableCell::count(count), money(currency, minor)])
    }
}

/// A sum; none of what has no amount.
pub(super) fn money(currency: Option<Currency>, minor: i128) -> TableCell {
    currency.map_or(TableCell::Empty, |currency| {
        TableCell::Money(minor, currency)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_planned_is_the_sum_of_what_became_of_it() {
        for state in State::ALL {
            let mut sums = ReportSums::default();
            sums.add(state, 2, 700);
            let others: u64 = GROUPS[1..].iter().map(|(name, _)| sums.items(name)).sum();
            assert_eq!(others, 2, "{state} is in one group");
            let is_taken = !State::NOT_TAKEN.contains(&state);
            assert_eq!(
                sums.items("planned"),
                if is_taken { 2 } else { 0 },
                "{state}"
            );
        }
    }
}
