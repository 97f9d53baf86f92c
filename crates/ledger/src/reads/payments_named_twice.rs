//! Payments that items name by different numbers, for people: one of them was mistyped.

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::LedgerError;

/// An item that names a payment by another number than others do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentNamedTwice {
    /// The account and the number, or the part, that both have.
    pub number: String,
    /// The item.
    pub item_id: i64,
    /// The payment as it names it.
    pub written: String,
}

impl Ledger {
    /// Items that name one payment by different numbers, at most so many: of what was planned
    /// before payrun refused that, or of what showed up late.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn payments_named_twice(
        &self,
        most: u32,
    ) -> Result<Vec<PaymentNamedTwice>, LedgerError> {
        let operation = "looking for payments with two names";
        let failed = |source| LedgerError::of(operation, source);
        let query = sqlx::query(include_str!("payments_named_twice.sql")).bind(i64::from(most));
        let rows = self.rows(operation, query).await?;
        let read = |row: &AnyRow| {
            Ok(PaymentNamedTwice {
                number: row.try_get("number").map_err(failed)?,
                item_id: row.try_get("id").map_err(failed)?,
                written: row.try_get("payment_written").map_err(failed)?,
            })
        };
        let found: Vec<PaymentNamedTwice> = rows.iter().map(read).collect::<Result<_, _>>()?;
        // What came to nothing made some of them seem to differ.
        let differs = |one: &PaymentNamedTwice| {
            found
                .iter()
                .any(|other| other.number == one.number && other.written != one.written)
        };
        Ok(found.iter().filter(|one| differs(one)).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::{place, steps};

    #[tokio::test]
    async fn payments_with_two_names_are_looked_for_in_the_indexes_alone() {
        let steps = steps(include_str!("payments_named_twice.sql")).await;
        place(&steps, "items USING COVERING INDEX items_payment_theirs");
        place(&steps, "items USING COVERING INDEX items_payment_ours");
        place(&steps, "items USING COVERING INDEX items_payment_part");
    }
}
