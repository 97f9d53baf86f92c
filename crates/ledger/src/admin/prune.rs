//! What is pruned when its time is over, some rows a commit, so that nobody waits for it.
//!
//! Nothing here touches what is still to happen: a notification that waits to be applied, an
//! occurrence that is due, a mail that waits to be sent. Evidence goes in `admin/prune_evidence.rs`. A
//! key and the state of its item are never pruned.

use crate::db::stored_values;
use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::Row;

use crate::Ledger;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use payrun_domain::time::Timestamp;

/// What can be pruned. The API's idempotency keys cannot: a run keeps its key's name, and a key
/// that is used again for another run has to be refused as long as it would be taken for that one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prunable {
    /// Mails that have ended, and incidents that are over.
    Alerts,
    /// Notifications that have come to an end.
    Notifications,
    /// Times of schedules that were decided.
    Occurrences,
    /// Rates of jobs that have ended.
    Buckets,
    /// What was sent and answered of finished runs, and their items' input.
    Evidence,
    /// Lines of statements.
    StatementLines,
}

impl Prunable {
    /// All of it, in the order in which it is told.
    pub const ALL: [Self; 6] = [
        Self::Alerts,
        Self::Notifications,
        Self::Occurrences,
        Self::Buckets,
        Self::Evidence,
        Self::StatementLines,
    ];

    /// The words for it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Alerts => "mails and incidents",
            Self::Notifications => "notifications",
            Self::Occurrences => "occurrences",
            Self::Buckets => "rates of ended jobs",
            Self::Evidence => "items' evidence",
            Self::StatementLines => "statement lines",
        }
    }
}

const OPERATION: &str = "pruning what is old";

/// The most that is counted.
const COUNTED: i64 = 1_000_000;

// `cross join`: the buckets of jobs by their names, then the job of each.
const BUCKETS: &str = "delete from token_buckets where name in (select b.name from token_buckets as b cross join jobs as j \
    where b.name > 'job:' and b.name < 'job;' and j.id = cast(substr(b.name, 5) as bigint) and j.finished_at < $1 limit $2)";

const OCCURRENCES: &str = "select workflow, nominal, at from occurrences where at < $1 and state not in ('due', 'queued') \
    order by at, workflow, nominal limit $2";

impl Ledger {
    /// Prunes some of what is older than `before`; says how many rows, zero when there are none
    /// left. `limit`: about how many rows a commit changes at most.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn prune(
        &self,
        what: Prunable,
        before: Timestamp,
        limit: u32,
        now: Timestamp,
    ) -> Result<u64, LedgerError> {
        match what {
            Prunable::Alerts => self.prune_alerts(before).await,
            Prunable::Notifications => self.prune_notifications(before, limit).await,
            Prunable::Occurrences => self.prune_occurrences(before, limit).await,
            Prunable::Buckets => self.prune_by(BUCKETS, before, limit).await,
            Prunable::Evidence => self.prune_evidence(before, limit, now).await,
            Prunable::StatementLines => self.prune_statement_lines(before, limit, now).await,
        }
    }

    /// How much of it is older than `before`; of very much no more than a million is counted.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn prunable(&self, what: Prunable, before: Timestamp) -> Result<u64, LedgerError> {
        let failed = |source| LedgerError::of("counting what is old", source);
        let query = sqlx::query(count_of(what))
            .bind(before.millis())
            .bind(COUNTED);
        let row = query.fetch_one(&self.read).await.map_err(failed)?;
        let rows: i64 = row.try_get(0).map_err(failed)?;
        stored_values::count(rows, "counting what is old")
    }

    async fn prune_by(
        &self,
        statement: &'static str,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, LedgerError> {
        let mut tx = self.begin_write(OPERATION).await?;
        let gone = sqlx::query(statement)
            .bind(before.millis())
            .bind(i64::from(limit))
            .execute(tx.connection());
        let gone = gone
            .await
            .map_err(|source| LedgerError::of(OPERATION, source))?
            .rows_affected();
        tx.commit().await?;
        Ok(gone)
    }

    /// A time whose row is gone must not come again when the clock is set back: the schedule begins
    /// behind it.
    async fn prune_occurrences(&self, before: Timestamp, limit: u32) -> Result<u64, LedgerError> {
        let failed = |source| LedgerError::of(OPERATION, source);
        let mut tx = self.begin_write(OPERATION).await?;
        let old = sqlx::query(OCCURRENCES)
            .bind(before.millis())
            .bind(i64::from(limit))
            .fetch_all(tx.connection());
        let (mut gone, mut since) = (Vec::new(), BTreeMap::new());
        for row in old.await.map_err(failed)? {
            let occurrence = OldOccurrence {
                workflow: row.try_get(0).map_err(failed)?,
                nominal: row.try_get(1).map_err(failed)?,
            };
            // The newest is last.
            let at: i64 = row.try_get(2).map_err(failed)?;
            since.insert(occurrence.workflow.clone(), at);
            gone.push(occurrence);
        }
        let since: Vec<_> = since
            .into_iter()
            .map(|(workflow, since)| ScheduleBegin { workflow, since })
            .collect();
        let begin = "update schedules set since = cast(s.value ->> 'since' as bigint) from json_each($1) as s \
                     where schedules.workflow = s.value ->> 'workflow' and schedules.since < cast(s.value ->> 'since' as bigint)";
        sqlx::query(begin)
            .bind(list(&since))
            .execute(tx.connection())
            .await
            .map_err(failed)?;
        let delete = "delete from occurrences where (workflow, nominal) in \
                      (select value ->> 'workflow', value ->> 'nominal' from json_each($1)) and state not in ('due', 'queued')";
        let deleted = sqlx::query(delete)
            .bind(list(&gone))
            .execute(tx.connection())
            .await
            .map_err(failed)?;
        tx.commit().await?;
        Ok(deleted.rows_affected())
    }
}

/// A time of a schedule that is pruned.
#[derive(Serialize)]
struct OldOccurrence {
    workflow: String,
    nominal: String,
}

/// Behind which instant a schedule begins.
#[derive(Serialize)]
struct ScheduleBegin {
    workflow: String,
    since: i64,
}

fn count_of(what: Prunable) -> &'static str {
    match what {
        Prunable::Alerts => {
            "select (select count(*) from (select 1 from mails where ended_at < $1 limit $2) as m) \
               + (select count(*) from (select 1 from incidents where closed_at < $1 limit $2) as e)"
        }
        Prunable::Notifications => {
            "select count(*) from (select 1 from notifications where received_at < $1 and next_at is null limit $2) as n"
        }
        Prunable::Occurrences => {
            "select count(*) from (select 1 from occurrences where at < $1 and state not in ('due', 'queued') limit $2) as o"
        }
        // `cross join`: the buckets of jobs by their names, then the job of each.
        Prunable::Buckets => {
            "select count(*) from (select 1 from token_buckets as b cross join jobs as j where b.name > 'job:' and b.name < 'job;' \
               and j.id = cast(substr(b.name, 5) as bigint) and j.finished_at < $1 limit $2) as f"
        }
        Prunable::Evidence => crate::admin::prune_evidence::COUNT,
        // `cross join`: the statements first, then the lines of each.
        Prunable::StatementLines => {
            "select count(*) from (select 1 from statements as s cross join statement_lines as l \
               where s.fetched_at < $1 and l.statement_id = s.id limit $2) as s"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{place, steps};

    #[tokio::test]
    async fn what_is_old_is_found_by_an_index() {
        for (statement, index) in [
            (BUCKETS, "(name>? AND name<?)"),
            (OCCURRENCES, "occurrences_by_time (at<?)"),
        ] {
            let steps = steps(statement).await;
            place(&steps, index);
            assert!(
                steps
                    .iter()
                    .all(|step| !step.starts_with("SCAN") && !step.contains("TEMP B-TREE")),
                "{steps:#?}"
            );
        }
    }
}
