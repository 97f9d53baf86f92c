//! How much money is at risk, and for how long: what is unknown, pending or needs review, added up
//! by the database. So many items are read and no more.

use sqlx::Row;
use sqlx::any::AnyRow;

use super::unsigned;
use crate::Ledger;
use crate::db::stored_values::{self, total_currency};
use crate::error::LedgerError;
use crate::reads::item_pages::{ItemFilter, statement};
use payrun_domain::item::State;
use payrun_domain::money::Currency;
use payrun_domain::time::Timestamp;

/// How many items are added up at most, of those that payrun asks about and of those that need a
/// person.
const MOST: u32 = 20_000;

const COLUMNS: &str =
    "i.id, i.state, i.currency, i.amount, coalesce(i.unresolved_since, i.sent_at, 0) as since";

/// Items of one state, age and currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnresolvedSum {
    /// The state.
    pub state: State,
    /// How long nobody has known: 0 for less than ten minutes, then less than an hour, a day, a
    /// week, and 4 for longer.
    pub age: u64,
    /// The currency; none where items have no amount.
    pub currency: Option<Currency>,
    /// How many.
    pub items: u64,
    /// How much, in minor units.
    pub minor: i64,
}

/// What is at risk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnresolvedSums {
    /// By age, the youngest first.
    pub sums: Vec<UnresolvedSum>,
    /// Whether there are more items than were added up: the oldest were.
    pub is_cut: bool,
}

impl Ledger {
    /// What is at risk, by age.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn unresolved_sums(
        &self,
        lane: Option<&str>,
        now: Timestamp,
    ) -> Result<UnresolvedSums, LedgerError> {
        let mut found = UnresolvedSums::default();
        for states in [vec![State::NeedsReview], State::ASKED_ABOUT.to_vec()] {
            let filter = ItemFilter {
                states,
                lane: lane.map(str::to_owned),
                ..ItemFilter::default()
            };
            let items = statement(self.location.db_kind, &filter, COLUMNS);
            let sums = include_str!("unresolved_sums.sql")
                .replace("{now}", &now.millis().to_string())
                .replace("{items}", &items);
            let rows = self.item_page(sums, &filter, 0, MOST).await?;
            let sums: Vec<_> = rows.iter().map(sum).collect::<Result<_, _>>()?;
            let items: u64 = sums.iter().map(|sum| sum.items).sum();
            found.is_cut |= items >= u64::from(MOST);
            found.sums.extend(sums);
        }
        found.sums.sort_by_key(|sum| sum.age);
        Ok(found)
    }
}

fn sum(row: &AnyRow) -> Result<UnresolvedSum, LedgerError> {
    let operation = "adding up what is unresolved";
    let failed = |source| LedgerError::of(operation, source);
    let (state, code): (String, String) = (
        row.try_get(0).map_err(failed)?,
        row.try_get(1).map_err(failed)?,
    );
    let age: i64 = row.try_get(2).map_err(failed)?;
    Ok(UnresolvedSum {
        state: stored_values::state(&state, ("items", &state, "state"))?,
        age: stored_values::count(age, operation)?,
        currency: total_currency(&code, &state)?,
        items: unsigned(row, 3, operation)?,
        minor: row.try_get(4).map_err(failed)?,
    })
}
