//! Evidence whose time is over: what was sent and answered, the history, the references and the
//! input of items of finished runs, and the lines of statements.
//!
//! What stays, for ever, is the item itself: key, content hash, order number, state, amount and
//! receipt. A key may happen at most once for ever, so it must be known for ever. A run of which
//! anything is open, awaits approval or needs review is left as a whole.

use sqlx::{Row, query as sql};

use crate::Ledger;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use payrun_domain::time::Timestamp;

const OPERATION: &str = "pruning evidence";

/// About how many rows of history an item has.
const ROWS_OF_AN_ITEM: u32 = 5;

/// The oldest run that still has evidence, and of which nothing is under way.
const RUN: &str = include_str!("run_to_prune.sql");

/// A job of a run of which items have evidence, and the ids between which they are.
const JOB: &str = "select id, coalesce(pruned_to, first_item - 1) as behind, last_item from jobs \
    where run_id = $1 and last_item is not null and (pruned_to is null or pruned_to < last_item) order by id limit 1";

const ITEMS: &str =
    "select id from items where id > $1 and id <= $2 and job_id = $3 order by id limit $4";

/// Those of which money moved although they failed: refunds count them, and a person may have to.
const MOVED: &str = "select distinct item_id from events \
    where item_id in (select cast(atom as bigint) from json_each($1)) and alarm = 'money_moved'";

const EVENTS: &str =
    "delete from events where item_id in (select cast(atom as bigint) from json_each($1))";
const ATTEMPTS: &str =
    "delete from attempts where item_id in (select cast(atom as bigint) from json_each($1))";
/// What the item was found by, but for its key and numbers, which stay.
const REFERENCES: &str =
    "delete from item_references where item_id in (select cast(atom as bigint) from json_each($1))";
const INPUT: &str = "update items set input = '{}', result = null from json_each($1) as k where items.id = cast(k.atom as bigint) \
    and items.state in ('succeeded', 'failed', 'cancelled', 'rejected', 'skipped')";

/// How many items of how many runs have evidence that is old.
pub(crate) const COUNT: &str = include_str!("evidence_to_prune.sql");

fn failed(source: sqlx::Error) -> LedgerError {
    LedgerError::of(OPERATION, source)
}

impl Ledger {
    /// Takes one step; says how many items it was about, or 1 for a run that is done, and zero when
    /// there is nothing left.
    pub(crate) async fn prune_evidence(
        &self,
        before: Timestamp,
        limit: u32,
        now: Timestamp,
    ) -> Result<u64, LedgerError> {
        let mut tx = self.begin_write(OPERATION).await?;
        let run: Option<i64> = sqlx::query_scalar(RUN)
            .bind(before.millis())
            .fetch_optional(tx.connection())
            .await
            .map_err(failed)?;
        let Some(run) = run else {
            tx.rollback().await?;
            return Ok(0);
        };
        let gone = step(&mut tx, run, limit / ROWS_OF_AN_ITEM, now).await?;
        tx.commit().await?;
        Ok(gone)
    }

    /// The lines of the oldest statement, and with the last of them the statement: its day can be
    /// fetched again.
    pub(crate) async fn prune_statement_lines(
        &self,
        before: Timestamp,
        limit: u32,
        now: Timestamp,
    ) -> Result<u64, LedgerError> {
        let mut tx = self.begin_write(OPERATION).await?;
        let oldest = "select id from statements where fetched_at < $1 order by fetched_at limit 1";
        let oldest = sqlx::query_scalar(oldest)
            .bind(before.millis())
            .fetch_optional(tx.connection());
        let Some(id): Option<i64> = oldest.await.map_err(failed)? else {
            tx.rollback().await?;
            return Ok(0);
        };
        // From here on nobody compares with what is left of it.
        let mark = sql("update statements set pruned_at = $2 where id = $1 and pruned_at is null");
        mark.bind(id)
            .bind(now.millis())
            .execute(tx.connection())
            .await
            .map_err(failed)?;
        let lines = "delete from statement_lines where statement_id = $1 and line in \
                     (select line from statement_lines where statement_id = $1 order by line limit $2)";
        let gone = sql(lines)
            .bind(id)
            .bind(i64::from(limit))
            .execute(tx.connection())
            .await
            .map_err(failed)?;
        if gone.rows_affected() < u64::from(limit) {
            let delete = sql("delete from statements where id = $1").bind(id);
            delete.execute(tx.connection()).await.map_err(failed)?;
        }
        tx.commit().await?;
        Ok(gone.rows_affected().max(1))
    }
}

async fn step(tx: &mut WriteTx, run: i64, limit: u32, now: Timestamp) -> Result<u64, LedgerError> {
    let limit = i64::from(limit.max(1));
    let Some(job) = sql(JOB)
        .bind(run)
        .fetch_optional(tx.connection())
        .await
        .map_err(failed)?
    else {
        let done = sql("update runs set pruned_at = $2 where id = $1")
            .bind(run)
            .bind(now.millis());
        done.execute(tx.connection()).await.map_err(failed)?;
        return Ok(1);
    };
    let number = |name: &str| job.try_get::<i64, _>(name).map_err(failed);
    let (id, behind, last) = (number("id")?, number("behind")?, number("last_item")?);
    let items = sqlx::query_scalar(ITEMS)
        .bind(behind)
        .bind(last)
        .bind(id)
        .bind(limit);
    let items: Vec<i64> = items.fetch_all(tx.connection()).await.map_err(failed)?;
    let moved = sqlx::query_scalar(MOVED)
        .bind(list(&items))
        .fetch_all(tx.connection())
        .await;
    let moved: Vec<i64> = moved.map_err(failed)?;
    let pruned: Vec<i64> = items
        .iter()
        .copied()
        .filter(|item| !moved.contains(item))
        .collect();
    for statement in [EVENTS, ATTEMPTS, REFERENCES, INPUT] {
        sql(statement)
            .bind(list(&pruned))
            .execute(tx.connection())
            .await
            .map_err(failed)?;
    }
    // A page that is not full was the last.
    let full = i64::try_from(items.len()).is_ok_and(|found| found == limit);
    let to = items.last().copied().filter(|_| full).unwrap_or(last);
    let mark = sql("update jobs set pruned_to = $2 where id = $1")
        .bind(id)
        .bind(to);
    mark.execute(tx.connection()).await.map_err(failed)?;
    Ok((items.len() as u64).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{place, steps};

    #[tokio::test]
    async fn evidence_is_found_by_an_index() {
        for (statement, index) in [
            (RUN, "runs_with_evidence (finished_at"),
            (ITEMS, "INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
            (MOVED, "SEARCH events USING PRIMARY KEY (item_id=?)"),
            (EVENTS, "SEARCH events USING PRIMARY KEY (item_id=?)"),
            (ATTEMPTS, "(item_id=?)"),
            (
                REFERENCES,
                "SEARCH item_references USING PRIMARY KEY (item_id=?)",
            ),
            (INPUT, "SEARCH items USING INTEGER PRIMARY KEY (rowid=?)"),
        ] {
            place(&steps(statement).await, index);
        }
    }
}
