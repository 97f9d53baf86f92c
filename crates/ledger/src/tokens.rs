//! Tokens of the API, by their fingerprints, and what was asked under an idempotency key.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::audit::NewAuditEntry;
use crate::error::LedgerError;
use payrun_domain::actor::Authorization;
use payrun_domain::role::Role;
use payrun_domain::time::Timestamp;

/// How long before it expires people are told of a token.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// A token, without what makes it one.
#[derive(Debug, Clone)]
pub struct TokenRow {
    /// Whose it is.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
    /// Until when it is good; none: until it is revoked.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl TokenRow {
    /// Whether it is good at this instant.
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|until| now < until)
    }

    /// Whether it is good and soon is not: within two weeks, or the last quarter of its time if
    /// that is shorter.
    pub fn is_ending(&self, now: Timestamp) -> bool {
        self.is_good(now) && self.ends_soon_from().is_some_and(|from| from <= now)
    }

    /// From when on people are told that it expires.
    pub fn ends_soon_from(&self) -> Option<Timestamp> {
        let until = self.expires_at?;
        Some(until.minus(SOON.min(until.since(self.created_at) / 4)))
    }
}

/// What is known of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdempotencyCheck {
    /// It is new, and is remembered from now on.
    First,
    /// The same was asked before.
    Again,
    /// Something else was asked under this key.
    Otherwise,
}

impl Ledger {
    /// Keeps a new token, with an entry of the audit log; false if the name is taken, in whatever
    /// case.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn create_token(
        &self,
        token: &TokenRow,
        hash: [u8; 32],
        by: &Authorization,
    ) -> Result<bool, LedgerError> {
        let mut tx = self.begin_write("making a token").await?;
        let inserted = sqlx::query(
            "insert into tokens (name, role, hash, created_at, created_by, expires_at) select $1, $2, $3, $4, $5, $6 \
             where not exists (select 1 from tokens where lower(name) = lower($1)) on conflict do nothing",
        )
        .bind(&token.name)
        .bind(token.role.as_str())
        .bind(hash.to_vec())
        .bind(token.created_at.millis())
        .bind(&token.created_by)
        .bind(token.expires_at.map(Timestamp::millis))
        .execute(tx.connection())
        .await
        .map_err(|source| LedgerError::of("making a token", source))?;
        if inserted.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        let after = json!({ "role": token.role.as_str(), "expires_at": token.expires_at.map(|at| at.to_string()) });
        let (action, target) = ("token.create", format!("token {}", token.name));
        tx.note(NewAuditEntry {
            by,
            action,
            target,
            before: Value::Null,
            after,
            at: token.created_at,
        })
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Has another token take the place of one, under its name and with its role; false if there is
    /// none that was not revoked.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn renew_token(
        &self,
        name: &str,
        hash: [u8; 32],
        expires_at: Option<Timestamp>,
        by: &Authorization,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let mut tx = self.begin_write("renewing a token").await?;
        let renew = "update tokens set hash = $2, created_at = $3, created_by = $4, expires_at = $5 \
                     where name = $1 and revoked_at is null";
        let renewed = sqlx::query(renew)
            .bind(name)
            .bind(hash.to_vec())
            .bind(now.millis())
            .bind(by.actor.name())
            .bind(expires_at.map(Timestamp::millis))
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of("renewing a token", source))?;
        if renewed.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        let after = json!({ "expires_at": expires_at.map(|at| at.to_string()) });
        let (action, target) = ("token.renew", format!("token {name}"));
        tx.note(NewAuditEntry {
            by,
            action,
            target,
            before: Value::Null,
            after,
            at: now,
        })
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Ends a token; false if there is none of this name that is good.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn revoke_token(
        &self,
        name: &str,
        by: &Authorization,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let mut tx = self.begin_write("revoking a token").await?;
        let revoke =
            sqlx::query("update tokens set revoked_at = $2 where name = $1 and revoked_at is null");
        let revoked = revoke
            .bind(name)
            .bind(now.millis())
            .execute(tx.connection())
            .await;
        let revoked = revoked.map_err(|source| LedgerError::of("revoking a token", source))?;
        if revoked.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(false);
        }
        let (action, target) = ("token.revoke", format!("token {name}"));
        tx.note(NewAuditEntry {
            by,
            action,
            target,
            before: Value::Null,
            after: Value::Null,
            at: now,
        })
        .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// All tokens by name, also those that are no longer good.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, LedgerError> {
        let query = "select name, role, created_at, created_by, expires_at, revoked_at from tokens order by name limit 10000";
        let rows = sqlx::query(query).fetch_all(&self.read).await;
        rows.map_err(|source| LedgerError::of("listing tokens", source))?
            .iter()
            .map(token_row)
            .collect()
    }

    /// The token of this fingerprint, if it is good.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn token_of(
        &self,
        hash: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<TokenRow>, LedgerError> {
        let query = "select name, role, created_at, created_by, expires_at, revoked_at from tokens where hash = $1";
        let row = sqlx::query(query)
            .bind(hash.to_vec())
            .fetch_optional(&self.read)
            .await;
        let row = row.map_err(|source| LedgerError::of("looking for a token", source))?;
        Ok(row
            .as_ref()
            .map(token_row)
            .transpose()?
            .filter(|token| token.is_good(now)))
    }

    /// What is known of a request under a key; none if it is new.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn asked(
        &self,
        caller: &str,
        key: &str,
        fingerprint: [u8; 32],
    ) -> Result<Option<IdempotencyCheck>, LedgerError> {
        let failed = |source| LedgerError::of("looking for a request", source);
        let query =
            sqlx::query("select fingerprint from idempotency_keys where caller = $1 and key = $2");
        let row = query
            .bind(caller)
            .bind(key)
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?;
        let known: Option<Vec<u8>> = row.map(|row| row.try_get(0)).transpose().map_err(failed)?;
        Ok(known.map(|known| {
            if known == fingerprint {
                IdempotencyCheck::Again
            } else {
                IdempotencyCheck::Otherwise
            }
        }))
    }

    /// Forgets what a caller asked under a key, since nothing was begun.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn forget_asked(&self, caller: &str, key: &str) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of("forgetting a request", source);
        let mut tx = self.begin_write("forgetting a request").await?;
        let forget = sqlx::query("delete from idempotency_keys where caller = $1 and key = $2");
        forget
            .bind(caller)
            .bind(key)
            .execute(tx.connection())
            .await
            .map_err(failed)?;
        tx.commit().await
    }

    /// Notes that what a caller asked under a key was done.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn note_done(
        &self,
        caller: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let operation = "noting that a request was carried out";
        let mut tx = self.begin_write(operation).await?;
        sqlx::query("update idempotency_keys set done_at = $3 where caller = $1 and key = $2")
            .bind(caller)
            .bind(key)
            .bind(now.millis())
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of(operation, source))?;
        tx.commit().await
    }

    /// Whether what a caller asked under a key was done: not while it is under way, nor where it
    /// broke off.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn is_done(&self, caller: &str, key: &str) -> Result<bool, LedgerError> {
        let query =
            "select 1 from idempotency_keys where caller = $1 and key = $2 and done_at is not null";
        let done = sqlx::query(query)
            .bind(caller)
            .bind(key)
            .fetch_optional(&self.read)
            .await;
        done.map(|row| row.is_some())
            .map_err(|source| LedgerError::of("looking for a request", source))
    }

    /// Remembers what a caller asks under a key, or says what was asked before.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn ask_once(
        &self,
        caller: &str,
        key: &str,
        fingerprint: [u8; 32],
        now: Timestamp,
    ) -> Result<IdempotencyCheck, LedgerError> {
        let failed = |source| LedgerError::of("remembering a request", source);
        let mut tx = self.begin_write("remembering a request").await?;
        let inserted = sqlx::query(
            "insert into idempotency_keys (caller, key, fingerprint, created_at) values ($1, $2, $3, $4) on conflict do nothing",
        )
        .bind(caller)
        .bind(key)
        .bind(fingerprint.to_vec())
        .bind(now.millis())
        .execute(tx.connection())
        .await
        .map_err(failed)?;
        if inserted.rows_affected() > 0 {
            tx.commit().await?;
            return Ok(IdempotencyCheck::First);
        }
        let query =
            sqlx::query("select fingerprint from idempotency_keys where caller = $1 and key = $2");
        let row = query
            .bind(caller)
            .bind(key)
            .fetch_one(tx.connection())
            .await
            .map_err(failed)?;
        let known: Vec<u8> = row.try_get(0).map_err(failed)?;
        tx.rollback().await?;
        Ok(if known == fingerprint {
            IdempotencyCheck::Again
        } else {
            IdempotencyCheck::Otherwise
        })
    }
}

pub(crate) fn token_row(row: &AnyRow) -> Result<TokenRow, LedgerError> {
    let failed = |source| LedgerError::of("reading a token", source);
    let instant = |name: &str| {
        let millis: Option<i64> = row.try_get(name).map_err(failed)?;
        Ok::<_, LedgerError>(millis.map(Timestamp::from_millis))
    };
    let (name, word): (String, String) = (
        row.try_get("name").map_err(failed)?,
        row.try_get("role").map_err(failed)?,
    );
    let corrupt = |column| LedgerError::corrupt("tokens", &name, column);
    let role = Role::parse(&word).ok_or_else(|| corrupt("role"))?;
    let created_at = instant("created_at")?.ok_or_else(|| corrupt("created_at"))?;
    Ok(TokenRow {
        name,
        role,
        created_at,
        created_by: row.try_get("created_by").map_err(failed)?,
        expires_at: instant("expires_at")?,
        revoked_at: instant("revoked_at")?,
    })
}
