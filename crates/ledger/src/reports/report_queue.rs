//! Reports that are due, one process at a time for each.
//!
//! A run's report falls due in the commit that ends the run: each time it ends, so that what a
//! person had tried again is in it. Making it twice does no harm; a lease keeps two processes from
//! doing so.

use std::time::Duration;

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use payrun_domain::time::Timestamp;

/// For how long a report is claimed: making one takes seconds.
const LEASE: Duration = Duration::from_secs(300);

/// How much later a lease may end than one that begins now: another process may have read its clock
/// a moment later. What ends later still was written by a clock that was ahead.
const LATEST: Duration = Duration::from_secs(600);

/// A report whose lease does not hold ($1: now, $2: when a lease may end at the latest).
const DUE: &str = "select name, run_id, due_at from reports where due_at is not null \
    and (lease_until is null or lease_until <= $1 or lease_until > $2) order by due_at limit 1";

/// The runs that ended at an instant have their reports due.
const RUNS_ENDED: &str = "update reports set due_at = $1, lease_until = null \
    where run_id in (select id from runs where finished_at = $1)";

// `cross join`: the reports by the time at which they were made, then the run of each.
const RUNS_MADE: &str = "select p.name, p.made_at, p.run_id, r.workflow, r.occurrence from reports as p cross join runs as r \
    where p.made_at > $1 and p.made_at <= $2 and r.id = p.run_id order by p.made_at, p.name limit $3";

const MONTHS_MADE: &str = "select name, made_at from reports \
    where made_at > $1 and made_at <= $2 and run_id is null order by made_at, name limit $3";

/// A report that is to be made, claimed for this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueReport {
    /// Its name: `runs/run-7`, `months/2026-11`.
    pub name: String,
    /// Its run; none of a month's.
    pub run_id: Option<i64>,
    due_at: i64,
}

/// A report that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeReport {
    /// Its name: `runs/run-7`, `months/2026-11`.
    pub name: String,
    /// Its run, with the workflow's name and which firing of it; none of a month's.
    pub run: Option<(i64, String, String)>,
    /// When it was made last.
    pub made_at: Timestamp,
}

/// Notes that a run's report is made when it ends.
pub(crate) async fn want_run_report(tx: &mut WriteTx, run_id: i64) -> Result<(), LedgerError> {
    let insert = "insert into reports (name, run_id) values ('runs/run-' || cast($1 as text), $1) on conflict do nothing";
    let noted = sqlx::query(insert).bind(run_id).execute(tx.connection());
    let noted = noted.await.map(|_| ());
    noted.map_err(|source| LedgerError::of("noting a report", source))
}

/// In the commit that ends runs.
pub(crate) async fn runs_ended(tx: &mut WriteTx, now: Timestamp) -> Result<(), LedgerError> {
    let due = sqlx::query(RUNS_ENDED).bind(now.millis());
    let due = due.execute(tx.connection()).await.map(|_| ());
    due.map_err(|source| LedgerError::of("ending runs", source))
}

fn failed(source: sqlx::Error) -> LedgerError {
    LedgerError::of("looking for reports", source)
}

impl Ledger {
    /// Claims the report that has been due for longest; none if none is due.
    ///
    /// # Errors
    /// Whatever the database says; then none is claimed.
    pub async fn claim_report(&self, now: Timestamp) -> Result<Option<DueReport>, LedgerError> {
        let (until, latest) = (now.plus(LEASE), now.plus(LATEST));
        let due = sqlx::query(DUE).bind(now.millis()).bind(latest.millis());
        // Asked many times for each time that there is something: looking takes no write lock.
        let Some(row) = due.fetch_optional(&self.read).await.map_err(failed)? else {
            return Ok(None);
        };
        let report = DueReport {
            name: row.try_get(0).map_err(failed)?,
            run_id: row.try_get(1).map_err(failed)?,
            due_at: row.try_get(2).map_err(failed)?,
        };
        let mut tx = self.begin_write("claiming a report").await?;
        let claim = "update reports set lease_until = $3 where name = $1 and due_at = $4 \
                     and (lease_until is null or lease_until <= $2 or lease_until > $5)";
        let claimed = sqlx::query(claim)
            .bind(&report.name)
            .bind(now.millis())
            .bind(until.millis())
            .bind(report.due_at)
            .bind(latest.millis())
            .execute(tx.connection())
            .await
            .map_err(failed)?;
        tx.commit().await?;
        Ok((claimed.rows_affected() > 0).then_some(report))
    }

    /// Notes that a report was made. If its run has ended once more meanwhile, it stays due.
    ///
    /// # Errors
    /// Whatever the database says; the report is then made again.
    pub async fn report_made(&self, report: &DueReport, now: Timestamp) -> Result<(), LedgerError> {
        let made = "update reports set made_at = $3, lease_until = null, \
                    due_at = case when due_at = $2 then null else due_at end where name = $1";
        self.note_report(made, report, now).await
    }

    /// Notes that a report could not be made: nobody tries it before an instant.
    ///
    /// # Errors
    /// Whatever the database says; it is then tried when the claim ends.
    pub async fn report_failed(
        &self,
        report: &DueReport,
        again: Timestamp,
    ) -> Result<(), LedgerError> {
        let later = "update reports set lease_until = $3 where name = $1 and due_at = $2";
        self.note_report(later, report, again).await
    }

    async fn note_report(
        &self,
        statement: &'static str,
        report: &DueReport,
        at: Timestamp,
    ) -> Result<(), LedgerError> {
        let mut tx = self.begin_write("noting a report").await?;
        let note = sqlx::query(statement)
            .bind(&report.name)
            .bind(report.due_at)
            .bind(at.millis());
        note.execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of("noting a report", source))?;
        tx.commit().await
    }

    /// Has a month's report made, by its name such as `months/2026-11`; false if it was or is to be
    /// made already.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn want_month_report(&self, name: &str, now: Timestamp) -> Result<bool, LedgerError> {
        let mut tx = self.begin_write("noting a report").await?;
        let insert = "insert into reports (name, due_at) values ($1, $2) on conflict do nothing";
        let noted = sqlx::query(insert).bind(name).bind(now.millis());
        let noted = noted
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of("noting a report", source))?;
        tx.commit().await?;
        Ok(noted.rows_affected() > 0)
    }

    /// The name of the newest month's report that was or is to be made.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn newest_month_report(&self) -> Result<Option<String>, LedgerError> {
        let newest = "select max(name) from reports where name > 'months/' and name < 'months0'";
        let newest = sqlx::query_scalar(newest).fetch_one(&self.read).await;
        newest.map_err(failed)
    }

    /// When the first run was planned; none if none ever was.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn first_run_at(&self) -> Result<Option<Timestamp>, LedgerError> {
        let first = sqlx::query_scalar("select started_at from runs order by id limit 1");
        let first: Option<i64> = first
            .fetch_optional(&self.read)
            .await
            .map_err(|source| LedgerError::of("looking for the first run", source))?;
        Ok(first.map(Timestamp::from_millis))
    }

    /// The reports of runs that were made from behind one instant up to another, oldest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn run_reports_made(
        &self,
        span: (Timestamp, Timestamp),
        limit: u32,
    ) -> Result<Vec<MadeReport>, LedgerError> {
        let rows = self.made(RUNS_MADE, span, limit).await?;
        let read = |row: &AnyRow| {
            Ok(MadeReport {
                run: Some((row.try_get(2)?, row.try_get(3)?, row.try_get(4)?)),
                ..made_row(row)?
            })
        };
        rows.iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    /// The same of months.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn month_reports_made(
        &self,
        span: (Timestamp, Timestamp),
        limit: u32,
    ) -> Result<Vec<MadeReport>, LedgerError> {
        let rows = self.made(MONTHS_MADE, span, limit).await?;
        let made = rows.iter().map(made_row);
        made.collect::<Result<_, _>>().map_err(failed)
    }

    async fn made(
        &self,
        statement: &'static str,
        (after, until): (Timestamp, Timestamp),
        limit: u32,
    ) -> Result<Vec<AnyRow>, LedgerError> {
        let query = sqlx::query(statement)
            .bind(after.millis())
            .bind(until.millis())
            .bind(i64::from(limit));
        query.fetch_all(&self.read).await.map_err(failed)
    }
}

fn made_row(row: &AnyRow) -> Result<MadeReport, sqlx::Error> {
    Ok(MadeReport {
        name: row.try_get(0)?,
        run: None,
        made_at: Timestamp::from_millis(row.try_get(1)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{place, steps};

    #[tokio::test]
    async fn one_that_is_claimed_is_left_to_its_process_also_by_who_read_the_clock_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let ledger = Ledger::open(&path).await.unwrap();
        let at = |millis| Timestamp::from_millis(1_000_000_000 + millis);
        ledger
            .want_month_report("months/2026-11", at(0))
            .await
            .unwrap();
        let claimed = ledger.claim_report(at(50)).await.unwrap();
        assert!(claimed.is_some());
        let lease = i64::try_from(LEASE.as_millis()).unwrap();
        for moment in [40, 50, 60, 50 + lease - 1] {
            assert_eq!(
                ledger.claim_report(at(moment)).await.unwrap(),
                None,
                "{moment}"
            );
        }
        assert!(ledger.claim_report(at(50 + lease)).await.unwrap().is_some());
        // A clock that was hours ahead holds nothing up.
        assert!(ledger.claim_report(at(-3_600_000)).await.unwrap().is_some());
        ledger.close().await;
    }

    #[tokio::test]
    async fn reports_are_found_by_their_indexes() {
        place(&steps(DUE).await, "USING INDEX reports_due");
        for made in [RUNS_MADE, MONTHS_MADE] {
            let steps = steps(made).await;
            place(&steps, "USING INDEX reports_made (made_at>? AND made_at<?)");
        }
        let ended = steps(RUNS_ENDED).await;
        place(&ended, "USING INDEX reports_of_run (run_id=?)");
        place(&ended, "INDEX runs_finished (finished_at=?)");
    }
}
