//! What tells whether the work is done, and how much of it there is: for readiness and metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::db::stored_values;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::LedgerError;
use crate::reads::run_totals::Total;
use crate::reads::unsigned;
use payrun_domain::answer::AnswerKind;
use payrun_domain::time::Timestamp;

/// How many items are the newest.
const NEWEST: i64 = 2_000;

/// A lane at this moment.
#[derive(Debug, Clone)]
pub struct LaneHealth {
    /// Its name.
    pub name: String,
    /// Calls that could be made at once, in thousandths, when they were last counted.
    pub tokens: Option<i64>,
    /// Since when the item has been due that is due longest and not claimed.
    pub due_since: Option<Timestamp>,
}

/// How many items have been unknown for how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnknownAges {
    /// All of them.
    pub all: u64,
    /// For more than ten minutes.
    pub ten_minutes: u64,
    /// For more than an hour.
    pub hour: u64,
    /// For more than a day.
    pub day: u64,
}

/// What a gateway account answered to the newest items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentAnswer {
    /// The account's lane.
    pub lane: String,
    /// The word for the answer.
    pub answer: AnswerKind,
    /// The gateway's code.
    pub code: String,
    /// How often.
    pub times: u64,
    /// How long such calls took: on average, and at most.
    pub took: (Duration, Duration),
    /// When the last of them ended.
    pub last_at: Timestamp,
}

impl Ledger {
    /// What gateways answered to the calls of the newest items.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn recent_answers(&self) -> Result<Vec<RecentAnswer>, LedgerError> {
        const OPERATION: &str = "reading the newest answers";
        let failed = |source| LedgerError::of(OPERATION, source);
        let query = sqlx::query(include_str!("recent_answers.sql")).bind(NEWEST);
        let rows = query.fetch_all(&self.read).await.map_err(failed)?;
        let read = |row: &AnyRow| {
            let (lane, word): (String, String) = (
                row.try_get(0).map_err(failed)?,
                row.try_get(1).map_err(failed)?,
            );
            let number = |column: usize| {
                stored_values::count(row.try_get(column).map_err(failed)?, OPERATION)
            };
            Ok(RecentAnswer {
                answer: AnswerKind::parse(&word)
                    .ok_or_else(|| LedgerError::corrupt("attempts", &lane, "answer"))?,
                lane,
                code: row.try_get(2).map_err(failed)?,
                times: number(3)?,
                took: (
                    Duration::from_millis(number(4)?),
                    Duration::from_millis(number(5)?),
                ),
                last_at: Timestamp::from_millis(row.try_get(6).map_err(failed)?),
            })
        };
        rows.iter().map(read).collect()
    }

    /// A lane that is open and not paused, has had something due since before an instant, and from
    /// which nothing was claimed since.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn idle_lane(
        &self,
        now: Timestamp,
        before: Timestamp,
    ) -> Result<Option<String>, LedgerError> {
        let query = include_str!("neglected_lane.sql");
        let row = sqlx::query(query)
            .bind(now.millis())
            .bind(before.millis())
            .fetch_optional(&self.read)
            .await;
        let failed = |source| LedgerError::of("looking for work that nobody does", source);
        row.map_err(failed)?
            .map(|row| row.try_get(0).map_err(failed))
            .transpose()
    }

    /// The lanes that have open jobs, or ever had a call.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn lane_health(&self) -> Result<Vec<LaneHealth>, LedgerError> {
        let query = include_str!("lane_health.sql");
        let failed = |source| LedgerError::of("looking at the lanes", source);
        let rows = sqlx::query(query)
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        let read = |row: &AnyRow| {
            Ok(LaneHealth {
                name: row.try_get(0).map_err(failed)?,
                tokens: row.try_get(1).map_err(failed)?,
                due_since: row
                    .try_get::<Option<i64>, _>(2)
                    .map_err(failed)?
                    .map(Timestamp::from_millis),
            })
        };
        rows.iter().map(read).collect()
    }

    /// How many calls are under way on each lane.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn calls_under_way(&self) -> Result<BTreeMap<String, u64>, LedgerError> {
        let operation = "counting the calls under way";
        let failed = |source| LedgerError::of(operation, source);
        // Found by items_claimed: there are as many as there are calls. `cross join`: those first.
        let query = "select j.lane, count(*) as calls from items as i cross join jobs as j \
                     where i.node is not null and j.id = i.job_id group by j.lane limit 10000";
        let rows = sqlx::query(query)
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        let read = |row: &AnyRow| {
            Ok((
                row.try_get("lane").map_err(failed)?,
                unsigned(row, 1, operation)?,
            ))
        };
        rows.iter().map(read).collect()
    }

    /// All items and their money by state and currency, as the commits kept them; the job of each
    /// is 0.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn grand_totals(&self) -> Result<Vec<Total>, LedgerError> {
        let failed = |source| LedgerError::of("adding up", source);
        let query = "select state, currency, cast(sum(items) as bigint), cast(sum(minor) as bigint) from totals \
                     where items <> 0 group by state, currency order by 1, 2 limit 10000";
        let rows = sqlx::query(query)
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        let total = |row: &AnyRow| {
            let (word, code): (String, String) = (
                row.try_get(0).map_err(failed)?,
                row.try_get(1).map_err(failed)?,
            );
            let items: i64 = row.try_get(2).map_err(failed)?;
            Ok(Total {
                job_id: 0,
                state: stored_values::state(&word, ("totals", &word, "state"))?,
                currency: stored_values::total_currency(&code, &word)?,
                items: stored_values::count(items, "summing totals")?,
                minor: row.try_get(3).map_err(failed)?,
            })
        };
        rows.iter().map(total).collect()
    }

    /// How long items have been unknown.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn unknown_ages(&self, now: Timestamp) -> Result<UnknownAges, LedgerError> {
        let failed = |source| LedgerError::of("looking at what is unknown", source);
        let query = "select count(*), count(case when unresolved_since < $1 - 600000 then 1 end), \
                       count(case when unresolved_since < $1 - 3600000 then 1 end), \
                       count(case when unresolved_since < $1 - 86400000 then 1 end) \
                     from items where state in ('pending', 'unknown') and state = 'unknown'";
        let row = sqlx::query(query)
            .bind(now.millis())
            .fetch_one(&self.read)
            .await
            .map_err(failed)?;
        let number = |column: usize| {
            let number: i64 = row.try_get(column).map_err(failed)?;
            stored_values::count(number, "looking at what is unknown")
        };
        Ok(UnknownAges {
            all: number(0)?,
            ten_minutes: number(1)?,
            hour: number(2)?,
            day: number(3)?,
        })
    }
}
