//! The token bucket of a lane or of a slower job: how many calls it allows now. It is read and
//! written in the transaction that claims, so that all nodes share it.

use std::time::Duration;

use sqlx::Row;

use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::claim::JobQuota;
use payrun_domain::policy::Rate;
use payrun_domain::time::Timestamp;

/// A token bucket as it stands in a transaction. Holds a tenth of a second's calls at most, and at
/// least one, so that an idle lane does not start with a burst.
///
/// Where the clocks of the nodes differ, the bucket fills by the one that is ahead; the others take
/// from it and do not fill it.
#[derive(Debug)]
pub(super) struct Tokens {
    name: String,
    rate: Rate,
    milli: i64,
    filled_at: Timestamp,
}

/// A bucket that was filled further in the future than this was filled before a clock was set back.
const CLOCKS_APART: Duration = Duration::from_secs(60);

impl Tokens {
    /// The bucket of a job that is slower than its lane; none of any other.
    pub(super) async fn of_job(
        tx: &mut WriteTx,
        quota: &JobQuota,
        now: Timestamp,
    ) -> Result<Option<Self>, LedgerError> {
        let Some(rate) = quota.rate else {
            return Ok(None);
        };
        let name = format!("job:{}", quota.job_id);
        let failed = |source| LedgerError::of("reading the job's rate", source);
        let row = sqlx::query("select tokens, filled_at from token_buckets where name = $1")
            .bind(&name)
            .fetch_optional(tx.connection())
            .await
            .map_err(failed)?;
        let kept = match row {
            Some(row) => (
                row.try_get(0).map_err(failed)?,
                row.try_get(1).map_err(failed)?,
            ),
            None => (None, None),
        };
        Ok(Some(Self::filled(name, rate, kept, now)))
    }

    /// What it holds now, by what it was `kept` with: tokens, and when. A new one is full.
    pub(super) fn filled(
        name: String,
        rate: Rate,
        kept: (Option<i64>, Option<i64>),
        now: Timestamp,
    ) -> Self {
        let capacity = Self::capacity(rate);
        let (milli, filled_at) = match kept {
            (Some(tokens), Some(filled_at)) => {
                let filled_at = Timestamp::from_millis(filled_at);
                if filled_at > now.plus(CLOCKS_APART) {
                    (capacity, now)
                } else {
                    let elapsed = now.since(filled_at).min(Duration::from_secs(3600));
                    (
                        tokens
                            .saturating_add(Self::milli_in(rate, elapsed))
                            .min(capacity),
                        now.max(filled_at),
                    )
                }
            }
            (_, _) => (capacity, now),
        };
        Self {
            name,
            rate,
            milli,
            filled_at,
        }
    }

    fn capacity(rate: Rate) -> i64 {
        Self::milli_in(rate, Duration::from_millis(100)).max(1000)
    }

    fn milli_in(rate: Rate, elapsed: Duration) -> i64 {
        let calls =
            u128::from(rate.calls) * 1000 * elapsed.as_millis() / rate.per.as_millis().max(1);
        i64::try_from(calls).unwrap_or(i64::MAX / 2)
    }

    /// How many calls it allows now.
    pub(super) fn whole(&self) -> usize {
        usize::try_from(self.milli / 1000).unwrap_or(0)
    }

    pub(super) fn spend(&mut self, calls: usize) {
        #[cfg(feature = "mutation")]
        let calls = crate::mutation::taken(calls);
        self.milli -= i64::try_from(calls).unwrap_or(0) * 1000;
    }

    /// When it allows a call.
    pub(super) fn next_whole(&self, now: Timestamp) -> Timestamp {
        let missing = u64::try_from(1000 - self.milli).unwrap_or(0);
        let per = u64::try_from(self.rate.per.as_millis()).unwrap_or(u64::MAX);
        let wait = missing.saturating_mul(per) / (u64::from(self.rate.calls.max(1)) * 1000);
        if missing == 0 {
            now
        } else {
            now.plus(Duration::from_millis(wait + 1))
        }
    }

    pub(super) async fn write(&self, tx: &mut WriteTx) -> Result<(), LedgerError> {
        sqlx::query(
            "insert into token_buckets (name, tokens, filled_at) values ($1, $2, $3) \
             on conflict (name) do update set tokens = excluded.tokens, filled_at = excluded.filled_at",
        )
        .bind(&self.name)
        .bind(self.milli)
        .bind(self.filled_at.millis())
        .execute(tx.connection())
        .await
        .map_err(|source| LedgerError::of("keeping the rate", source))?;
        Ok(())
    }
}
