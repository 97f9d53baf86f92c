//! The gateway's numbers of an item that are not its receipt: of what failed or is pending, and the
//! customs' own of a declaration. They are kept with the attempt that told them, in its commit, so
//! that the item is found by any of them.

use std::collections::BTreeSet;

use serde::Serialize;
use sqlx::AnyConnection;

use crate::error::LedgerError;
use crate::items::item_rows::{ItemChange, list};
use crate::items::settle::AttemptLine;

/// The name under which a number is kept that is the receipt where an item succeeds.
pub const RECEIPT: &str = "receipt";

/// The longest number that is kept, in characters; a longer one is none.
const NUMBER_MAX: usize = 200;

/// A number that a reply gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayNumber {
    /// The fact of the reply that it is, or [`RECEIPT`].
    pub name: String,
    /// The number.
    pub number: String,
}

/// One row of `gateway_numbers`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct NumberLine<'a> {
    item_id: i64,
    name: &'a str,
    number: &'a str,
}

/// What moves and attempts add; none if they add nothing. A number that is the item's receipt is
/// found as such, and not kept twice.
pub(crate) fn numbers_of(moves: &[ItemChange<'_>], attempts: &[AttemptLine<'_>]) -> Option<String> {
    let receipt_of = |item_id: i64| {
        let moved = moves.iter().find(|change| change.stored.id == item_id)?;
        moved.moved.item.receipt.as_ref().map(|one| one.0.as_str())
    };
    let mut lines = BTreeSet::new();
    for attempt in attempts {
        let receipt = receipt_of(attempt.item_id());
        let told = attempt.numbers.iter().filter(|told| {
            Some(told.number.as_str()) != receipt && told.number.chars().count() <= NUMBER_MAX
        });
        lines.extend(told.map(|told| NumberLine {
            item_id: attempt.item_id(),
            name: &told.name,
            number: &told.number,
        }));
    }
    (!lines.is_empty()).then(|| list(&lines.into_iter().collect::<Vec<_>>()))
}

/// A number that is there already stays as it is.
const KEEP: &str = "insert into gateway_numbers (item_id, name, number) \
    select cast(value ->> 'item_id' as bigint), value ->> 'name', value ->> 'number' from json_each($1) where true \
    on conflict do nothing";

pub(crate) async fn keep_numbers(
    connection: &mut AnyConnection,
    lines: String,
) -> Result<(), LedgerError> {
    let kept = sqlx::query(KEEP).bind(lines).execute(connection).await;
    kept.map(|_| ())
        .map_err(|source| LedgerError::of("keeping the gateway's numbers", source))
}
