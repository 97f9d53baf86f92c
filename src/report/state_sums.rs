//! Items and money by what became of them, as a report tells them apart: what was planned, and each
//! end that it can come to.

use crate::domain::item::State;
use crate::domain::money::Currency;
use crate::export::{TableCell, TableColumn, TableColumnKind};

/// The groups, each with its states. Planned is what the others add up to, rejected and skipped rows
/// left out: they were never taken.
const GROUPS: [(&str, &[State]); 8] = [
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
];

/// Rows that were never taken: they are counted, and in no sum.
const APART: [(&str, State); State::NOT_TAKEN.len()] =
    [("rejected", State::Rejected), ("skipped", State::Skipped)];

/// Sums of one currency, by group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ReportSums {
    groups: [(u64, i128); GROUPS.len()],
    apart: [u64; APART.len()],
}

impl ReportSums {
    /// Adds items of a state.
    pub fn add(&mut self, state: State, items: u64, minor: i64) {
        for (rows, _) in self
            .apart
            .iter_mut()
            .zip(APART)
            .filter(|(_, (_, own))| *own == state)
        {
            *rows += items;
        }
        let own = self.groups.iter_mut().zip(GROUPS);
        for ((count, sum), _) in own.filter(|(_, (_, states))| states.contains(&state)) {
            *count += items;
            *sum += i128::from(minor);
        }
    }

    /// How many items a group has.
    pub fn items(&self, group: &str) -> u64 {
        let named = self.groups.iter().zip(GROUPS);
        let counts = named.map(|((count, _), (name, _))| (name, *count));
        let apart = APART.iter().map(|(name, _)| *name).zip(self.apart);
        let mut all = counts.chain(apart);
        all.find(|(name, _)| *name == group)
            .map_or(0, |(_, count)| count)
    }

    /// Two columns a group: how many, and how much; one for each sort of row that was never taken.
    pub fn columns() -> impl Iterator<Item = TableColumn> {
        let apart = APART.iter();
        let apart = apart.map(|(name, _)| TableColumn::new(*name, TableColumnKind::Count));
        let groups = GROUPS.iter().flat_map(|(name, _)| {
            [
                TableColumn::new(*name, TableColumnKind::Count),
                TableColumn::new(format!("{name}_amount"), TableColumnKind::Money),
            ]
        });
        groups.chain(apart)
    }

    /// The cells under them. Items without an amount have no currency and no sums.
    pub fn cells(&self, currency: Option<Currency>) -> impl Iterator<Item = TableCell> {
        let groups = self.groups.into_iter();
        let groups = groups
            .flat_map(move |(count, minor)| [TableCell::count(count), money(currency, minor)]);
        groups.chain(self.apart.map(TableCell::count))
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
            let groups = GROUPS[1..].iter().map(|(name, _)| *name);
            let all = groups.chain(APART.iter().map(|(name, _)| *name));
            let others: u64 = all.map(|name| sums.items(name)).sum();
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
