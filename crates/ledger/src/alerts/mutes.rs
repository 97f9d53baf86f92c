//! What nobody wants to hear of before a time: the notices of an incident, and of every later one
//! of the same key, wait until then.

use serde_json::{Value, json};
use sqlx::Row;

use crate::Ledger;
use crate::audit::NewAuditEntry;
use crate::error::LedgerError;
use payrun_domain::actor::Authorization;
use payrun_domain::time::Timestamp;

/// What is muted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertMute {
    /// The incidents' key.
    pub key: String,
    /// Until when.
    pub until: Timestamp,
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: String,
}

impl Ledger {
    /// Has the notices of an open incident, and of later ones of its key, wait until an instant;
    /// an instant that has passed ends that. False if there is no such incident, or it is over.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn mute_incident(
        &self,
        incident: i64,
        until: Timestamp,
        by: &Authorization,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let failed = |source| LedgerError::of("muting an incident", source);
        let mut tx = self.begin_write("muting an incident").await?;
        let key: Option<String> =
            sqlx::query_scalar("select key from incidents where id = $1 and closed_at is null")
                .bind(incident)
                .fetch_optional(tx.connection())
                .await
                .map_err(failed)?;
        let Some(key) = key else {
            tx.rollback().await?;
            return Ok(false);
        };
        let mute = "insert into alert_mutes (key, until, actor, reason) values ($1, $2, $3, $4) \
                    on conflict (key) do update set until = $2, actor = $3, reason = $4";
        sqlx::query(mute)
            .bind(&key)
            .bind(until.millis())
            .bind(by.actor.name())
            .bind(by.reason.as_str())
            .execute(tx.connection())
            .await
            .map_err(failed)?;
        let wait = "update notices set due_at = $2 where incident_id = $1 and mail_id is null";
        sqlx::query(wait)
            .bind(incident)
            .bind(until.max(now).millis())
            .execute(tx.connection())
            .await
            .map_err(failed)?;
        tx.note(NewAuditEntry {
            by,
            action: "alert.mute",
            target: format!("incident {incident}"),
            before: Value::Null,
            after: json!({ "key": key, "until": until.to_string() }),
            at: now,
        })
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// What is muted at an instant.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn alert_mutes(&self, now: Timestamp) -> Result<Vec<AlertMute>, LedgerError> {
        let failed = |source| LedgerError::of("reading what is muted", source);
        let query = "select key, until, actor, reason from alert_mutes where until > $1 order by key limit 10000";
        let rows = sqlx::query(query)
            .bind(now.millis())
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        let mute = |row: &sqlx::any::AnyRow| {
            Ok(AlertMute {
                key: row.try_get(0).map_err(failed)?,
                until: Timestamp::from_millis(row.try_get(1).map_err(failed)?),
                actor: row.try_get(2).map_err(failed)?,
                reason: row.try_get(3).map_err(failed)?,
            })
        };
        rows.iter().map(mute).collect()
    }
}
