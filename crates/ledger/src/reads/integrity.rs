//! Whether the ledger is sound: what the database finds, and totals that do not add up.

use sqlx::Row;

use crate::Ledger;
use crate::db::location::DbKind;
use crate::error::LedgerError;

impl Ledger {
    /// Looks for damage: what the database itself finds, and totals that do not add up. Empty if
    /// all is sound.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn check(&self) -> Result<Vec<String>, LedgerError> {
        let operation = "checking the ledger";
        let failed = |source| LedgerError::of(operation, source);
        let mut mistakes = Vec::new();
        let damage = match self.location.db_kind {
            DbKind::Sqlite => {
                self.rows(operation, sqlx::query("pragma quick_check(10)"))
                    .await?
            }
            // A server looks after its own files (data checksums, amcheck).
            DbKind::Postgres => Vec::new(),
        };
        for row in damage {
            let found: String = row.try_get(0).map_err(failed)?;
            if found != "ok" {
                mistakes.push(found);
            }
        }
        let query = include_str!("wrong_totals.sql");
        for row in self.rows(operation, sqlx::query(query)).await? {
            let (job, word): (i64, String) = (
                row.try_get(0).map_err(failed)?,
                row.try_get(1).map_err(failed)?,
            );
            mistakes.push(format!(
                "the totals of job {job}, {word}, are not what its items add up to"
            ));
        }
        Ok(mistakes)
    }
}
