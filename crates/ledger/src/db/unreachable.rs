//! Which gateways cannot be reached, as the last call to them found. It closes nothing: what is due
//! is tried again.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::LedgerError;
use payrun_domain::time::Timestamp;

/// A gateway account to which there is no connection, or from which no answer comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreachableRow {
    /// The account's lane.
    pub lane: String,
    /// Since when.
    pub since: Timestamp,
    /// How that shows, in words.
    pub how: String,
}

impl UnreachableRow {
    /// In words, by the clock of a zone: `hk: unreachable since 22:13 HKT, connection refused`.
    pub fn note(&self, zone: Tz) -> String {
        let since = DateTime::<Utc>::from_timestamp_millis(self.since.millis()).unwrap_or_default();
        let since = since.with_timezone(&zone).format("%Y-%m-%d %H:%M %Z");
        format!("{}: unreachable since {since}, {}", self.lane, self.how)
    }
}

const OPERATION: &str = "noting whether a gateway is reached";

impl Ledger {
    /// Notes that there is no connection to a gateway. Since when stays as it was.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn note_unreachable(
        &self,
        lane: &str,
        how: &str,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let mut tx = self.begin_write(OPERATION).await?;
        let note = "insert into unreachable_gateways (lane, since, how) values ($1, $2, $3) \
                    on conflict (lane) do update set how = excluded.how";
        let noted = sqlx::query(note)
            .bind(lane)
            .bind(now.millis())
            .bind(how)
            .execute(tx.connection())
            .await;
        noted.map_err(|source| LedgerError::of(OPERATION, source))?;
        tx.commit().await
    }

    /// Notes that a gateway is reached.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn note_reached(&self, lane: &str) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of(OPERATION, source);
        let known =
            sqlx::query("select 1 as one from unreachable_gateways where lane = $1").bind(lane);
        if known
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?
            .is_none()
        {
            return Ok(());
        }
        let mut tx = self.begin_write(OPERATION).await?;
        let delete = sqlx::query("delete from unreachable_gateways where lane = $1")
            .bind(lane)
            .execute(tx.connection());
        delete.await.map_err(failed)?;
        tx.commit().await
    }

    /// The gateways to which there is no connection.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn unreachable(&self) -> Result<Vec<UnreachableRow>, LedgerError> {
        let query = "select lane, since, how from unreachable_gateways order by lane limit 1000";
        let failed =
            |source| LedgerError::of("looking for gateways that cannot be reached", source);
        let rows = sqlx::query(query)
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        let read = |row: &AnyRow| {
            let since = Timestamp::from_millis(row.try_get("since")?);
            Ok(UnreachableRow {
                lane: row.try_get("lane")?,
                since,
                how: row.try_get("how")?,
            })
        };
        rows.iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }
}
