//! The audit log: an entry in the same commit as the action it tells of, tied by its hash to all
//! before it.
//!
//! The triggers of the migrations refuse every change; whoever gets around them breaks the chain,
//! which [`payrun_engine::operator::audit`] follows.

use serde_json::Value;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use payrun_domain::actor::Authorization;
use payrun_domain::audit::{AuditEntry, AuditHash};
use payrun_domain::time::Timestamp;

/// What is to be noted of an action.
#[derive(Debug)]
pub(super) struct NewAuditEntry<'a> {
    pub by: &'a Authorization,
    /// What was done, such as `lane.suspend`.
    pub action: &'static str,
    /// Of what, such as `lane hk`.
    pub target: String,
    /// What was before: an object, or nothing.
    pub before: Value,
    /// What is after.
    pub after: Value,
    pub at: Timestamp,
}

/// An entry as it is kept.
#[derive(Debug, Clone)]
pub struct AuditRow {
    /// What it says.
    pub entry: AuditEntry,
    /// Its hash, as the row has it: 64 digits.
    pub hash: String,
}

impl WriteTx {
    /// Writes down who did what and why; it counts if the turn commits. Returns the entry's place.
    pub async fn note(&mut self, note: NewAuditEntry<'_>) -> Result<i64, LedgerError> {
        let failed = |source| LedgerError::of("writing the audit log", source);
        let last = sqlx::query("select seq, hash from audit order by seq desc limit 1")
            .fetch_optional(self.connection())
            .await
            .map_err(failed)?;
        let (seq, before) = match &last {
            None => (0, AuditHash::BEGIN),
            Some(row) => (
                row.try_get(0).map_err(failed)?,
                link(row.try_get(1).map_err(failed)?)?,
            ),
        };
        let entry = AuditEntry {
            seq: seq + 1,
            at: note.at,
            actor: note.by.actor.name().to_owned(),
            via: note.by.actor.via().to_owned(),
            action: note.action.to_owned(),
            target: note.target,
            reason: note.by.reason.as_str().to_owned(),
            before: object(&note.before),
            after: object(&note.after),
        };
        let insert = "insert into audit (seq, at, actor, via, action, target, reason, before, after, hash) \
                      values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        sqlx::query(insert)
            .bind(entry.seq)
            .bind(entry.at.millis())
            .bind(&entry.actor)
            .bind(&entry.via)
            .bind(&entry.action)
            .bind(&entry.target)
            .bind(&entry.reason)
            .bind(&entry.before)
            .bind(&entry.after)
            .bind(before.tie(&entry).to_string())
            .execute(self.connection())
            .await
            .map_err(failed)?;
        Ok(entry.seq)
    }
}

impl Ledger {
    /// Entries from behind `after` on, oldest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn audit(&self, after: i64, limit: u32) -> Result<Vec<AuditRow>, LedgerError> {
        self.entries(
            "select * from audit where seq > $1 order by seq limit $2",
            after,
            limit,
        )
        .await
    }

    /// Entries from before `before` on, newest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn audit_before(
        &self,
        before: i64,
        limit: u32,
    ) -> Result<Vec<AuditRow>, LedgerError> {
        self.entries(
            "select * from audit where seq < $1 order by seq desc limit $2",
            before,
            limit,
        )
        .await
    }

    /// Entries about one thing, such as `item 7`, oldest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn audit_of(&self, target: &str, limit: u32) -> Result<Vec<AuditRow>, LedgerError> {
        let rows = sqlx::query("select * from audit where target = $1 order by seq limit $2")
            .bind(target.to_owned())
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await;
        let rows = rows.map_err(|source| LedgerError::of("reading the audit log", source))?;
        rows.iter().map(audit_row).collect()
    }

    async fn entries(
        &self,
        query: &'static str,
        from: i64,
        limit: u32,
    ) -> Result<Vec<AuditRow>, LedgerError> {
        let rows = sqlx::query(query)
            .bind(from)
            .bind(i64::from(limit))
            .fetch_all(&self.read)
            .await;
        let rows = rows.map_err(|source| LedgerError::of("reading the audit log", source))?;
        rows.iter().map(audit_row).collect()
    }

    /// The last entry that other tables speak of: the log is at least as long as that.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn audit_named(&self) -> Result<i64, LedgerError> {
        let query = "select cast(coalesce(max(audit), 0) as bigint) from (select audit from pauses \
                     union all select audit from paused_contracts union all select audit from lane_limits \
                     union all select audit from approval_votes) as named";
        let named = sqlx::query_scalar(query).fetch_one(&self.read).await;
        named.map_err(|source| LedgerError::of("reading the audit log", source))
    }
}

fn link(digits: &str) -> Result<AuditHash, LedgerError> {
    AuditHash::parse(digits).ok_or_else(|| LedgerError::corrupt("audit", "the last entry", "hash"))
}

fn object(value: &Value) -> String {
    if value.is_null() {
        "{}".to_owned()
    } else {
        value.to_string()
    }
}

fn audit_row(row: &AnyRow) -> Result<AuditRow, LedgerError> {
    let failed = |source| LedgerError::of("reading the audit log", source);
    let entry = AuditEntry {
        seq: row.try_get("seq").map_err(failed)?,
        at: row
            .try_get("at")
            .map(Timestamp::from_millis)
            .map_err(failed)?,
        actor: row.try_get("actor").map_err(failed)?,
        via: row.try_get("via").map_err(failed)?,
        action: row.try_get("action").map_err(failed)?,
        target: row.try_get("target").map_err(failed)?,
        reason: row.try_get("reason").map_err(failed)?,
        before: row.try_get("before").map_err(failed)?,
        after: row.try_get("after").map_err(failed)?,
    };
    Ok(AuditRow {
        entry,
        hash: row.try_get("hash").map_err(failed)?,
    })
}
