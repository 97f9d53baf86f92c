//! Items and money by what became of them, in the columns that runs and totals share. Whatever is
//! counted is in one group. Rows that were rejected or skipped were never taken: they are counted
//! apart, and in no sum.

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
    ("cancelled", &[State::Cancelled]),
];

/// What was never taken, in columns that have no sums.
const APART: [(&str, State); State::NOT_TAKEN.len()] =
    [("rejected", State::Rejected), ("skipped", State::Skipped)];

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
    apart: [u64; APART.len()],
}

impl StateSums {
    /// Adds what a job has in one state and currency.
    pub fn add(&mut self, total: &Total) {
        if let Some(place) = APART.iter().position(|(_, state)| *state == total.state) {
            self.apart[place] += total.items;
            return;
        }
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
        self.all.items == 0 && self.apart.iter().all(|rows| *rows == 0)
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
        let apart = APART.iter().filter(|_| !one_state);
        let apart = apart.map(|(name, _)| TableColumn::new(*name, TableColumnKind::Count));
        all.into_iter().chain(groups).chain(apart).collect()
    }

    /// The cells under those columns. Items without an amount have no currency and no sums; nor have
    /// rows that were never taken, which are counted where theirs is the only state.
    pub fn cells(&self, currency: Option<Currency>, one_state: bool) -> Vec<TableCell> {
        let apart: u64 = self.apart.iter().sum();
        if one_state && self.all.items == 0 {
            return vec![TableCell::count(apart), TableCell::Empty];
        }
        let groups = self.groups.iter().filter(|_| !one_state);
        let rows = self.apart.iter().filter(|_| !one_state);
        let rows: Vec<TableCell> = rows.map(|rows| TableCell::count(*rows)).collect();
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
            .chain(rows)
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
            let apart = APART.iter().filter(|(_, own)| *own == state);
            assert_eq!(groups.count() + apart.count(), 1, "{state}");
        }
    }

    #[test]
    fn a_rejected_row_is_counted_and_in_no_sum() {
        let hkd = Currency::parse("HKD").unwrap();
        let total = |state, minor| Total {
            job_id: 1,
            state,
            currency: Some(hkd),
            items: 1,
            minor,
        };
        let mut sums = StateSums::default();
        sums.add(&total(State::Rejected, 900));
        sums.add(&total(State::Succeeded, 100));
        let cells = sums.cells(Some(hkd), false);
        assert_eq!(
            cells[..2],
            [TableCell::Count(1), TableCell::Money(100, hkd)]
        );
        let money = cells[2..].iter().filter_map(|cell| {
            if let TableCell::Money(minor, _) = cell {
                Some(*minor)
            } else {
                None
            }
        });
        let money: i128 = money.sum();
        assert_eq!(money, 100);
        let names = StateSums::columns(false);
        let rejected = names.iter().position(|one| one.name == "rejected").unwrap();
        assert_eq!(cells[rejected], TableCell::Count(1));
    }
}
