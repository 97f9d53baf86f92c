//! Items by state, as rows with their money and as a bar.

use std::collections::BTreeMap;

use super::sums::{MoneySums, Sum};
use crate::domain::item::State as ItemState;
use crate::ledger::Total;

/// The width of a bar, in its own unit.
pub(super) const WIDTH: u64 = 1_000;

/// The items of a run in one state.
pub(super) struct StateRow {
    pub state: ItemState,
    pub items: u64,
    pub sums: Vec<Sum>,
}

/// Items by state, as a bar.
pub(super) struct StateBar {
    pub items: u64,
    pub open: u64,
    pub parts: Vec<StatePart>,
}

/// The part of a bar that one state has.
pub(super) struct StatePart {
    pub state: ItemState,
    pub items: u64,
    pub x: u64,
    pub width: u64,
}

impl StateBar {
    /// Of totals.
    pub fn of(totals: &[Total]) -> Self {
        let items: u64 = totals.iter().map(|total| total.items).sum();
        let (mut parts, mut x) = (Vec::new(), 0);
        for row in by_state(totals) {
            let width = (row.items * WIDTH).checked_div(items).unwrap_or(0).max(4);
            parts.push(StatePart {
                state: row.state,
                items: row.items,
                x,
                width,
            });
            x += width;
        }
        let open = totals.iter().filter(|total| total.state.is_open());
        Self {
            items,
            open: open.map(|total| total.items).sum(),
            parts,
        }
    }
}

/// What totals add up to by state, in the order that tables show them.
pub(super) fn by_state(totals: &[Total]) -> Vec<StateRow> {
    let mut states: BTreeMap<usize, (u64, MoneySums)> = BTreeMap::new();
    for total in totals.iter().filter(|total| total.items > 0) {
        let place = ItemState::ALL
            .iter()
            .position(|state| *state == total.state)
            .unwrap_or_default();
        let (items, sums) = states.entry(place).or_default();
        *items += total.items;
        if let Some((currency, minor)) = total.money() {
            sums.add(minor, currency);
        }
    }
    let row = |(place, (items, sums)): (usize, (u64, MoneySums))| StateRow {
        state: ItemState::ALL[place],
        items,
        sums: sums.each(),
    };
    states.into_iter().map(row).collect()
}

/// The items of several runs in one state, with the money of each kind of job by itself: what was
/// charged, what was given back and what was declared add up to nothing that anybody asks for.
pub(super) struct KindsOfState {
    pub state: ItemState,
    pub items: u64,
    pub kinds: Vec<(String, Vec<Sum>)>,
}

/// What totals add up to by state and kind of job. `kinds`: the kind of each job.
pub(super) fn by_state_and_kind(
    totals: &[Total],
    kinds: &BTreeMap<i64, String>,
) -> Vec<KindsOfState> {
    let mut of_kind: BTreeMap<&str, Vec<Total>> = BTreeMap::new();
    for total in totals {
        let kind = kinds.get(&total.job_id).map_or("", String::as_str);
        of_kind.entry(kind).or_default().push(total.clone());
    }
    let of_kind: Vec<(&str, Vec<StateRow>)> = of_kind
        .into_iter()
        .map(|(kind, totals)| (kind, by_state(&totals)))
        .collect();
    let of_state = |row: StateRow| {
        let kinds = of_kind.iter().filter_map(|(kind, rows)| {
            let row_of_kind = rows.iter().find(|one| one.state == row.state)?;
            let sums = row_of_kind.sums.clone();
            (!sums.is_empty()).then(|| ((*kind).to_owned(), sums))
        });
        KindsOfState {
            state: row.state,
            items: row.items,
            kinds: kinds.collect(),
        }
    };
    by_state(totals).into_iter().map(of_state).collect()
}

/// How many items of totals are in a state.
pub(super) fn in_state(totals: &[Total], state: ItemState) -> u64 {
    let of_state = totals.iter().filter(|total| total.state == state);
    of_state.map(|total| total.items).sum()
}
