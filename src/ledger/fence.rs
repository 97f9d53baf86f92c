//! The fence: a ledger that was moved, or is a copy, is never written again, not even by a process that has it open.

use sqlx::{AnyConnection, AssertSqlSafe};

use super::Ledger;
use super::error::LedgerError;
use super::turn::Turn;
use crate::domain::time::Timestamp;

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
    "episodes",
    "notifications",
    "audit",
];
const DEEDS: [&str; 3] = ["insert", "update", "delete"];

impl Ledger {
    /// Makes it impossible to write to the file; the same again changes nothing.
    pub(super) async fn fence(&self, moved_to: &str, now: Timestamp) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of("fencing the ledger", source);
        let mut turn = self.turn("fencing the ledger").await?;
        let fence = sqlx::query("insert into fence (id, moved_to, at) values (1, $1, $2) on conflict do nothing");
        fence.bind(moved_to).bind(now.millis()).execute(turn.connection()).await.map_err(failed)?;
        for (table, deed) in FENCED.iter().flat_map(|table| DEEDS.map(|deed| (table, deed))) {
            make_trigger(&mut turn, table, deed).await.map_err(failed)?;
        }
        turn.commit().await
    }

    /// Has the fence name another place.
    pub(super) async fn fence_for(&self, moved_to: &str) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of("fencing the ledger", source);
        let mut turn = self.turn("fencing the ledger").await?;
        let named = sqlx::query("update fence set moved_to = $1").bind(moved_to);
        named.execute(turn.connection()).await.map_err(failed)?;
        turn.commit().await
    }

    pub(super) async fn unfence(&self) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of("taking the fence away", source);
        let mut turn = self.turn("taking the fence away").await?;
        for (table, deed) in FENCED.iter().flat_map(|table| DEEDS.map(|deed| (table, deed))) {
            let drop = AssertSqlSafe(format!("drop trigger if exists fence_{table}_{deed}"));
            sqlx::raw_sql(drop).execute(turn.connection()).await.map_err(failed)?;
        }
        sqlx::query("delete from fence").execute(turn.connection()).await.map_err(failed)?;
        turn.commit().await
    }

    /// Where the ledger has been moved to, if it has.
    pub(super) async fn moved_to(connection: &mut AnyConnection) -> Result<Option<String>, LedgerError> {
        let moved = sqlx::query_scalar("select moved_to from fence").fetch_optional(connection).await;
        moved.map_err(|source| LedgerError::of("looking for a fence", source))
    }
}

async fn make_trigger(turn: &mut Turn, table: &str, deed: &str) -> Result<(), sqlx::Error> {
    let trigger = format!(
        "create trigger if not exists fence_{table}_{deed} before {deed} on {table} \
         begin select raise(abort, 'this ledger was moved to another database'); end"
    );
    sqlx::raw_sql(AssertSqlSafe(trigger)).execute(turn.connection()).await.map(|_| ())
}
