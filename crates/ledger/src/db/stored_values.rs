//! What was stored, read back. A value that payrun never wrote is [`LedgerError::Corrupt`], with
//! the place where it lies: nothing is made up in its stead.

use serde::de::DeserializeOwned;

use payrun_domain::ids::KeyHash;
use payrun_domain::item::State;
use payrun_domain::money::Currency;

use crate::error::LedgerError;

/// Where a value lies: the table, what names the row, the column.
pub(crate) type StoredAt<'a> = (&'static str, &'a dyn ToString, &'static str);

fn corrupt((table, id, column): StoredAt<'_>) -> LedgerError {
    LedgerError::corrupt(table, id.to_string(), column)
}

/// A number that is never negative.
pub(crate) fn unsigned<N: TryFrom<i64>>(
    number: i64,
    place: StoredAt<'_>,
) -> Result<N, LedgerError> {
    N::try_from(number).map_err(|_| corrupt(place))
}

/// A count or sum over rows, none of which is negative; `operation`: what it was counted for.
pub(crate) fn count(number: i64, operation: &str) -> Result<u64, LedgerError> {
    u64::try_from(number).map_err(|_| LedgerError::Inconsistent {
        what: format!("a negative count, {operation}"),
    })
}

/// What was written as JSON.
pub(crate) fn json<T: DeserializeOwned>(text: &str, place: StoredAt<'_>) -> Result<T, LedgerError> {
    serde_json::from_str(text).map_err(|_| corrupt(place))
}

/// The fingerprint of a key, where there is one.
pub(crate) fn key_hash(
    bytes: Option<&[u8]>,
    place: StoredAt<'_>,
) -> Result<Option<KeyHash>, LedgerError> {
    bytes
        .map(|bytes| KeyHash::from_bytes(bytes).ok_or_else(|| corrupt(place)))
        .transpose()
}

/// The state of an item.
pub(crate) fn state(word: &str, place: StoredAt<'_>) -> Result<State, LedgerError> {
    State::parse(word).ok_or_else(|| corrupt(place))
}

/// The currency of a total: none of items that move no money.
pub(crate) fn total_currency(
    code: &str,
    id: &dyn ToString,
) -> Result<Option<Currency>, LedgerError> {
    if code.is_empty() {
        return Ok(None);
    }
    let currency = Currency::parse(code);
    currency
        .map(Some)
        .map_err(|_| corrupt(("totals", id, "currency")))
}
