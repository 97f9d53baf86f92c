//! Moving a ledger from a SQLite file to a PostgreSQL server: fenced first, then copied in one
//! transaction, then compared row by row.
//!
//! From the fence on nobody can write to the file, whatever has it open, so that the same items can
//! never be sent from two ledgers. The fence names the server, which must be empty: a second move
//! to somewhere else is refused, and so is that of a backup. It names the move too, and a move that
//! has ended is named on the server, in the commit that copied it: so what became of one that was
//! broken off is known for certain, and the fence is taken away only where nothing has come to be.
//!
//! Which tables and columns there are is read from the file's own schema (`admin/copied_table.rs`).

use sqlx::AssertSqlSafe;

use crate::Ledger;
use crate::admin::copied_table::{CopiedTable, copied_tables};
use crate::admin::fence::put_fence;
use crate::db::location::DbKind;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use payrun_domain::time::Timestamp;

pub(crate) const COPYING: &str = "copying the ledger";

/// Behind the server's name in a fence until the move has ended; then come which server that is,
/// and which move.
const UNFINISHED: &str = ", unless the move was broken off (`payrun promote` once more tells; ";

/// What was moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PromotionReport {
    /// How many rows of each table were copied, and are the same on both sides.
    pub rows: Vec<(String, u64)>,
    /// Whether the server had them already: an earlier try had come so far.
    pub there_already: bool,
}

/// Why a ledger was not moved. Whether the file may be used is what opening it says.
#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    /// Whatever a database says.
    #[error("the ledger was not moved")]
    Ledger(#[from] LedgerError),
    /// Not from a file to a server.
    #[error("a ledger is moved from a SQLite file to a PostgreSQL server")]
    WrongWay,
    /// Somebody works on it.
    #[error("a process is at work on this ledger: stop it first")]
    AtWork,
    /// It could not be told from what is there whether this ledger is.
    #[error("{to} holds a ledger already: {table} has rows; name an empty database")]
    NotEmpty {
        /// Where it was to go.
        to: String,
        /// Which table.
        table: String,
    },
    /// What was written is not what was read.
    #[error("{table} would not be on the server what it is here (row {row}); nothing was moved")]
    NotTheSame {
        /// Which table.
        table: String,
        /// Which row of it, from 1.
        row: u64,
    },
}

impl Ledger {
    /// Moves this ledger to a server; `told` hears of each table as it is done. Once more after a
    /// failure goes on.
    ///
    /// # Errors
    /// Why it was not moved.
    pub async fn promote_to(
        &self,
        server: &Self,
        now: Timestamp,
        told: impl FnMut(&str, u64),
    ) -> Result<PromotionReport, PromoteError> {
        if self.location.db_kind != DbKind::Sqlite || server.location.db_kind != DbKind::Postgres {
            return Err(PromoteError::WrongWay);
        }
        if self.is_at_work(now).await? {
            return Err(PromoteError::AtWork);
        }
        // Whoever was at it before has ended by now, one way or the other.
        let mut tx = server.begin_write(COPYING).await?;
        let to = place(server.name(), &mut tx).await?;
        let moving = format!("{to}{UNFINISHED}{}", identity(&mut tx).await?);
        let ours = format!("{moving} {:016x})", rand::random::<u64>());
        let mut file = self.begin_write(COPYING).await?;
        let before = Self::moved_to(file.connection()).await?;
        match &before {
            Some(fence) if !fence.starts_with(&moving) => {
                return Err(LedgerError::Moved {
                    place: self.name().to_owned(),
                    to: fence.clone(),
                }
                .into());
            }
            Some(fence) if has_ended(&mut tx, fence).await? => {
                put_fence(&mut file, &to, now).await?;
                file.commit().await?;
                return Ok(PromotionReport {
                    there_already: true,
                    ..PromotionReport::default()
                });
            }
            Some(_) | None => {}
        }
        let tables = copied_tables(file.connection()).await?;
        if let Some(table) = first_with_rows(&tables, &mut tx).await? {
            file.rollback().await?;
            // The move before this one has not ended, and cannot any more.
            if let Some(fence) = before {
                self.unfence(&fence).await?;
            }
            return Err(PromoteError::NotEmpty { to, table });
        }
        put_fence(&mut file, &ours, now).await?;
        file.commit().await?;
        match self.copy_to(&tables, &mut tx, &ours, told).await {
            Ok(promoted) => {
                tx.commit_and_tell().await?;
                let mut file = self.begin_write(COPYING).await?;
                put_fence(&mut file, &to, now).await?;
                file.commit().await?;
                Ok(promoted)
            }
            Err(error) => {
                drop(tx);
                // Nothing has come to be on the server, and nothing will; unless another has taken
                // the move over.
                self.unfence(&ours).await?;
                Err(error)
            }
        }
    }

    async fn copy_to(
        &self,
        tables: &[CopiedTable],
        tx: &mut WriteTx,
        ours: &str,
        mut told: impl FnMut(&str, u64),
    ) -> Result<PromotionReport, PromoteError> {
        let mut from = self.location.connect().await?;
        let mut promoted = PromotionReport::default();
        for table in tables {
            table.copy(&mut from, tx.connection()).await?;
            let rows = table.compare(&mut from, tx.connection()).await?;
            told(&table.name, rows);
            promoted.rows.push((table.name.clone(), rows));
        }
        let mark = sqlx::query("insert into moved_here (move) values ($1)").bind(ours);
        mark.execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of(COPYING, source))?;
        Ok(promoted)
    }
}

/// A server's ledger by its name, with the schema where that is not the usual one.
async fn place(name: &str, tx: &mut WriteTx) -> Result<String, LedgerError> {
    let schema = sqlx::query_scalar("select cast(current_schema() as text)")
        .fetch_one(tx.connection())
        .await;
    let schema: String = schema.map_err(|source| LedgerError::of(COPYING, source))?;
    Ok(if schema == "public" {
        name.to_owned()
    } else {
        format!("{name} (schema {schema})")
    })
}

/// Which database a server's is, whatever it is called by.
async fn identity(tx: &mut WriteTx) -> Result<String, LedgerError> {
    let failed = |source| LedgerError::of(COPYING, source);
    let oid = sqlx::query_scalar(
        "select cast(oid as text) from pg_database where datname = current_database()",
    );
    let oid: String = oid.fetch_one(tx.connection()).await.map_err(failed)?;
    let may = "select case when has_function_privilege('pg_control_system()', 'execute') then 1 else 0 end";
    let may: i32 = sqlx::query_scalar(may)
        .fetch_one(tx.connection())
        .await
        .map_err(failed)?;
    if may == 0 {
        return Ok(oid);
    }
    let system =
        sqlx::query_scalar("select cast(system_identifier as text) from pg_control_system()");
    let system: String = system.fetch_one(tx.connection()).await.map_err(failed)?;
    Ok(format!("{system}.{oid}"))
}

/// Whether the move with this fence got to its end on the server.
async fn has_ended(tx: &mut WriteTx, fence: &str) -> Result<bool, LedgerError> {
    let mark = sqlx::query("select move from moved_here where move = $1").bind(fence.to_owned());
    let mark = mark
        .fetch_optional(tx.connection())
        .await
        .map_err(|source| LedgerError::of(COPYING, source))?;
    Ok(mark.is_some())
}

/// A table that is not empty on the server, if one is.
async fn first_with_rows(
    tables: &[CopiedTable],
    tx: &mut WriteTx,
) -> Result<Option<String>, LedgerError> {
    for table in tables {
        let any = AssertSqlSafe(format!(
            "select cast(1 as bigint) from {} limit 1",
            table.name
        ));
        let any = sqlx::query(any).fetch_optional(tx.connection()).await;
        if any
            .map_err(|source| LedgerError::of(COPYING, source))?
            .is_some()
        {
            return Ok(Some(table.name.clone()));
        }
    }
    Ok(None)
}
