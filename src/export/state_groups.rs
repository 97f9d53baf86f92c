//! Items and money by what became of them, in the columns that runs and totals share. Whatever is
//! counted is in one group: all = the sum of the others.

use super::table::{TableCell, TableColumn, TableColumnKind};
use crate::domain::item::State;
use crate::domain::money::Currency;
use crate::ledger::Total;

/// The groups behind that of all, each with its states.
const GROUPS: [(&str, &[State]); 6] = [
    ("succeeded", &[State::Succeeded]),
    ("failed", &[State::Failed]),
    ("unknown", &[State::Unknown]),
    ("needs_review", &[State::NeedsReview]),
    (
        "open",
        &[
            State::AwaitingApproval,
            State::Planned,
            State::Sending,
            State::Pending,
        ],
    ),
    (
        "not_sent",
        &[State::Cancelled, State::Rejected, State::Skipped],
    ),
];

/// What the items of a group add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct GroupSum {
    items: u64,
    minor: i128,
}

/// Sums of one currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct StateSums {
    all: GroupSum,
    groups: [GroupSum; GROUPS.len()],
}

impl StateSums {
    /// Adds what a job has in one state and currency.
    pub fn add(&mut self, total: &Total) {
        let groups = self.groups.iter_mut().zip(GROUPS);
        let own = groups.filter(|(_, (_, states))| states.contains(&total.state));
        for sum in own
            .map(|(sum, _)| sum)
            .chain(std::iter::once(&mut self.all))
        {
            sum.items += total.items;
            sum.minor += i128::from(total.minor);
        }
    }

    /// Whether nothing is counted.
    pub fn is_empty(&self) -> bool {
        self.all.items == 0
    }

    /// Two columns a group; where only one state is counted, those of all alone.
    pub fn columns(one_state: bool) -> Vec<TableColumn> {
        let all = [
            TableColumn::new("items", TableColumnKind::Count),
            TableColumn::new("amount", TableColumnKind::Money),
        ];
        let groups = GROUPS.iter().filter(|_| !one_state).flat_map(|(name, _)| {
            [
                TableColumn::new(*name, TableColumnKind::Count),
                TableColumn::new(format!("{name}_amount"), TableColumnKind::Money),
            ]
        });
        all.into_iter().chain(groups).collect()
    }

    /// The cells under those columns. Items without an amount have no currency and no sums.
    pub fn cells(&self, currency: Option<Currency>, one_state: bool) -> Vec<TableCell> {
        let groups = self.groups.iter().filter(|_| !one_state);
        std::iter::once(&self.all)
            .chain(groups)
            .flat_map(|sum| {
                [
                    TableCell::count(sum.items),
                    currency.map_or(TableCell::Empty, |currency| {
                        TableCell::Money(sum.minor, currency)
                    }),
                ]
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_in_one_group() {
        for state in State::ALL {
            let groups = GROUPS.iter().filter(|(_, states)| states.contains(&state));
            assert_eq!(groups.count(), 1, "{state}");
        }
    }
}
