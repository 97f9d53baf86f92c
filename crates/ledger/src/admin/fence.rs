//! The fence: a ledger that was moved, or is a copy, is never written again, not even by a process
//! that has it open.

use sqlx::{AnyConnection, AssertSqlSafe};

use crate::Ledger;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use payrun_domain::time::Timestamp;

/// No process writes to the file from here on, not even one that has it open.
const FENCED: &[&str] = &[
    "items",
    "runs",
    "jobs",
    "lanes",
    "schedules",
    "occurrences",
    "contracts",
    "mails",
    "incidents",
    "notifications",
    "audit",
    "unfinished_plans",
];
const OPERATIONS: [&str; 3] = ["insert", "update", "delete"];

const FENCING: &str = "fencing the ledger";

impl Ledger {
    /// Makes it impossible to write to the file.
    pub(crate) async fn fence(&self, moved_to: &str, now: Timestamp) -> Result<(), LedgerError> {
        let mut tx = self.begin_write(FENCING).await?;
        put_fence(&mut tx, moved_to, now).await?;
        tx.commit().await
    }

    /// Takes the fence away that says this; says whether it did.
    pub(crate) async fn unfence(&self, moved_to: &str) -> Result<bool, LedgerError> {
        let failed = |source| LedgerError::of("taking the fence away", source);
        let mut tx = self.begin_write("taking the fence away").await?;
        let taken = sqlx::query("delete from fence where moved_to = $1").bind(moved_to);
        if taken
            .execute(tx.connection())
            .await
            .map_err(failed)?
            .rows_affected()
            == 0
        {
            tx.rollback().await?;
            return Ok(false);
        }
        for (table, operation) in FENCED
            .iter()
            .flat_map(|table| OPERATIONS.map(|operation| (table, operation)))
        {
            let drop = AssertSqlSafe(format!("drop trigger if exists fence_{table}_{operation}"));
            sqlx::raw_sql(drop)
                .execute(tx.connection())
                .await
                .map_err(failed)?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Where the ledger has been moved to, if it has.
    pub(crate) async fn moved_to(
        connection: &mut AnyConnection,
    ) -> Result<Option<String>, LedgerError> {
        let moved = sqlx::query_scalar("select moved_to from fence")
            .fetch_optional(connection)
            .await;
        moved.map_err(|source| LedgerError::of("looking for a fence", source))
    }
}

/// Fences within a transaction, in place of the fence that there may be.
pub(crate) async fn put_fence(
    tx: &mut WriteTx,
    moved_to: &str,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let failed = |source| LedgerError::of(FENCING, source);
    let fence = "insert into fence (id, moved_to, at) values (1, $1, $2) \
                 on conflict (id) do update set moved_to = excluded.moved_to, at = excluded.at";
    sqlx::query(fence)
        .bind(moved_to)
        .bind(now.millis())
        .execute(tx.connection())
        .await
        .map_err(failed)?;
    for (table, operation) in FENCED
        .iter()
        .flat_map(|table| OPERATIONS.map(|operation| (table, operation)))
    {
        make_trigger(tx, table, operation).await.map_err(failed)?;
    }
    Ok(())
}

async fn make_trigger(tx: &mut WriteTx, table: &str, operation: &str) -> Result<(), sqlx::Error> {
    let trigger = format!(
        "create trigger if not exists fence_{table}_{operation} before {operation} on {table} \
         begin select raise(abort, 'this ledger was moved to another database'); end"
    );
    sqlx::raw_sql(AssertSqlSafe(trigger))
        .execute(tx.connection())
        .await
        .map(|_| ())
}
