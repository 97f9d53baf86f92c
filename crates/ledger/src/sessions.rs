//! Sessions of the dashboard, by the fingerprints of what browsers hold, and how each person wants
//! the pages. A session is good as long as its token is.

use std::time::Duration;

use serde_json::Value;
use sqlx::Row;

use crate::Ledger;
use crate::audit::NewAuditEntry;
use crate::error::LedgerError;
use crate::tokens::{TokenRow, token_row};
use payrun_domain::actor::Authorization;
use payrun_domain::time::Timestamp;

/// After how long without a page a session ends.
const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);
/// After how long it ends anyway.
pub const SESSION_LONGEST: Duration = Duration::from_secs(12 * 3600);

/// How exactly it is known when a session was last used: each note of it is a write.
const NOTED_EVERY: Duration = Duration::from_secs(60);

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// The token that was given.
    pub token: TokenRow,
    /// Its fingerprint.
    pub token_hash: [u8; 32],
    /// Whether it has to be noted that the session is used.
    pub is_to_note: bool,
}

/// How a person wants the pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonSettings {
    /// The language's tag, as the dashboard knows it.
    pub language: String,
    /// The time zone's name; none: the project's.
    pub timezone: Option<String>,
    /// Whether more rows stand on a screen.
    pub is_dense: bool,
}

impl Ledger {
    /// Begins a session of the token of a fingerprint, with an entry of the audit log; those that
    /// have ended are forgotten.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn begin_session(
        &self,
        hash: [u8; 32],
        token_hash: [u8; 32],
        by: &Authorization,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of("beginning a session", source);
        let mut tx = self.begin_write("beginning a session").await?;
        sqlx::query("delete from sessions where seen_at < $1")
            .bind(now.minus(SESSION_IDLE).millis())
            .execute(tx.connection())
            .await
            .map_err(failed)?;
        sqlx::query(
            "insert into sessions (hash, token_hash, created_at, seen_at) values ($1, $2, $3, $3)",
        )
        .bind(hash.to_vec())
        .bind(token_hash.to_vec())
        .bind(now.millis())
        .execute(tx.connection())
        .await
        .map_err(failed)?;
        tx.note(NewAuditEntry {
            by,
            action: "session.begin",
            target: format!("token {}", by.actor.name()),
            before: Value::Null,
            after: Value::Null,
            at: now,
        })
        .await?;
        tx.commit().await
    }

    /// Who has the session of this fingerprint; none if it has ended, or its token is no longer
    /// good.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn session(
        &self,
        hash: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<SessionRow>, LedgerError> {
        let failed = |source| LedgerError::of("looking for a session", source);
        let query = "select sessions.token_hash, sessions.seen_at, name, role, tokens.created_at, created_by, expires_at, revoked_at \
                     from sessions join tokens on tokens.hash = sessions.token_hash \
                     where sessions.hash = $1 and sessions.seen_at >= $2 and sessions.created_at >= $3";
        let row = sqlx::query(query)
            .bind(hash.to_vec())
            .bind(now.minus(SESSION_IDLE).millis())
            .bind(now.minus(SESSION_LONGEST).millis())
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?;
        let Some(row) = row else {
            return Ok(None);
        };
        let token = token_row(&row)?;
        if !token.is_good(now) {
            return Ok(None);
        }
        let seen_at = Timestamp::from_millis(row.try_get("seen_at").map_err(failed)?);
        let bytes: Vec<u8> = row.try_get("token_hash").map_err(failed)?;
        let token_hash = bytes
            .try_into()
            .map_err(|_| LedgerError::corrupt("sessions", &token.name, "token_hash"))?;
        Ok(Some(SessionRow {
            token,
            token_hash,
            is_to_note: now.since(seen_at) >= NOTED_EVERY,
        }))
    }

    /// Notes that a session is used.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn note_session(&self, hash: [u8; 32], now: Timestamp) -> Result<(), LedgerError> {
        let mut tx = self.begin_write("noting a session").await?;
        sqlx::query("update sessions set seen_at = $2 where hash = $1 and seen_at < $2")
            .bind(hash.to_vec())
            .bind(now.millis())
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of("noting a session", source))?;
        tx.commit().await
    }

    /// Ends a session.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn end_session(&self, hash: [u8; 32]) -> Result<(), LedgerError> {
        let mut tx = self.begin_write("ending a session").await?;
        sqlx::query("delete from sessions where hash = $1")
            .bind(hash.to_vec())
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of("ending a session", source))?;
        tx.commit().await
    }

    /// How a person wants the pages; none if that was never said.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn person_settings(
        &self,
        person: &str,
    ) -> Result<Option<PersonSettings>, LedgerError> {
        let failed = |source| LedgerError::of("reading a person's settings", source);
        let query = "select language, timezone, is_dense from person_settings where person = $1";
        let row = sqlx::query(query)
            .bind(person)
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?;
        let Some(row) = row else {
            return Ok(None);
        };
        let dense: i64 = row.try_get("is_dense").map_err(failed)?;
        Ok(Some(PersonSettings {
            language: row.try_get("language").map_err(failed)?,
            timezone: row.try_get("timezone").map_err(failed)?,
            is_dense: match dense {
                0 => false,
                1 => true,
                _ => return Err(LedgerError::corrupt("person_settings", person, "is_dense")),
            },
        }))
    }

    /// Keeps how a person wants the pages.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn keep_person_settings(
        &self,
        person: &str,
        settings: &PersonSettings,
    ) -> Result<(), LedgerError> {
        let mut tx = self.begin_write("keeping a person's settings").await?;
        sqlx::query(
            "insert into person_settings (person, language, timezone, is_dense) values ($1, $2, $3, $4) \
             on conflict (person) do update set language = $2, timezone = $3, is_dense = $4",
        )
        .bind(person)
        .bind(&settings.language)
        .bind(&settings.timezone)
        .bind(i64::from(settings.is_dense))
        .execute(tx.connection())
        .await
        .map_err(|source| LedgerError::of("keeping a person's settings", source))?;
        tx.commit().await
    }
}
