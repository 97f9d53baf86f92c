//! Facts that people may want to hear of. Each question is bounded and finds its rows by an index,
//! however long the history is.
//!
//! No input of an item is read here: what goes into a mail is keys, counts, sums and reasons.

use crate::db::stored_values;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::LedgerError;
use payrun_domain::item::State;
use payrun_domain::money::Currency;
use payrun_domain::time::Timestamp;

// `cross join`: the few totals that need review first, then the job and the run of each.
const NEEDS_REVIEW: &str = "select r.id, r.workflow, r.occurrence, cast(sum(t.items) as bigint) \
                     from totals as t cross join jobs as j cross join runs as r \
                     where t.state = 'needs_review' and t.items > 0 and j.id = t.job_id and r.id = j.run_id \
                     group by r.id, r.workflow, r.occurrence order by r.id desc limit 100";

const UNKNOWN: &str = include_str!("unknown_of_runs.sql");

const ENDED: &str = include_str!("ended_runs.sql");

const REJECTED: &str = include_str!("rejected_rows.sql");

const ALARMS: &str = include_str!("alarms.sql");

const OTHER_PAYERS: &str = include_str!("other_payers.sql");

// `cross join`: the few events with an alarm first, then the item and the job of each.
const ALARMS_OF_RUN: &str = "select e.alarm, cast(count(distinct i.id) as bigint), min(i.id) \
                     from events as e cross join items as i cross join jobs as j \
                     where e.alarm is not null and e.at >= $2 and i.id = e.item_id and j.id = i.job_id and j.run_id = $1 \
                     group by e.alarm order by e.alarm";

const DIFFERENCES: &str = include_str!("differences.sql");

const BEGAN: &str = "select cast(count(*) as bigint), cast(count(finished_at) as bigint) from \
                       (select finished_at from runs where workflow = $1 and started_at >= $2 \
                          order by started_at limit 1000) as began";

/// Which run something is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunRef {
    /// Its id.
    pub run_id: i64,
    /// The workflow's name.
    pub workflow: String,
    /// Which firing of it.
    pub occurrence: String,
}

/// Items of a run that need a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunWithProblems {
    /// Their run.
    pub run: RunRef,
    /// How many.
    pub items: u64,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
}

/// A run that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedRun {
    /// Which.
    pub run: RunRef,
    /// When.
    pub finished_at: Timestamp,
    /// How many items failed.
    pub failed: u64,
    /// How many rows were refused.
    pub rejected: u64,
    /// How many jobs could not be planned.
    pub unplanned: u64,
}

/// An answer that contradicts what was known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmedItem {
    /// The item's run.
    pub run: RunRef,
    /// The item.
    pub item_id: i64,
    /// Its version from then on.
    pub version: i64,
    /// Its key.
    pub key: String,
    /// When.
    pub at: Timestamp,
    /// Which alarm, as the ledger spells it: perhaps one of a later version, of which people are
    /// told all the same.
    pub alarm: String,
    /// What was said, in words; empty where the alarm says it all.
    pub detail: String,
    /// The kind of the item's job.
    pub kind: String,
}

/// An answer that no outcome table lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmappedCode {
    /// The gateway account.
    pub lane: String,
    /// The job's kind.
    pub kind: String,
    /// The gateway's code.
    pub code: String,
    /// When it was first seen.
    pub first_at: Timestamp,
    /// The item that had it first.
    pub item_id: i64,
    /// Where its meaning is assumed: what that rests on. None where no outcome table lists it.
    pub assumed: Option<String>,
}

/// A reconciliation that found differences, or could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconcileDifference {
    /// Its run.
    pub run: RunRef,
    /// The item.
    pub item_id: i64,
    /// The gateway account.
    pub lane: String,
    /// When its job ended.
    pub at: Timestamp,
    /// What it found, a JSON object of counts and sums.
    pub result: String,
}

/// How much of a workflow is in a state, in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSum {
    /// The workflow's name.
    pub workflow: String,
    /// The state.
    pub state: State,
    /// The currency; none where items have no amount.
    pub currency: Option<Currency>,
    /// How many items.
    pub items: u64,
    /// How much, in minor units.
    pub minor: i64,
}

/// Which runs are summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SummedRuns {
    /// Those that ended after one instant and not after another.
    Ended(Timestamp, Timestamp),
    /// Those that have not.
    Open,
}

impl Ledger {
    /// Runs with items that need review, newest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn runs_needing_review(&self) -> Result<Vec<RunWithProblems>, LedgerError> {
        let rows = self
            .facts(
                "looking for items that need review",
                sqlx::query(NEEDS_REVIEW),
            )
            .await?;
        rows.iter().map(with_problems).collect()
    }

    /// The keys and reasons of some items of a run that need review.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn examples_needing_review(
        &self,
        run_id: i64,
        most: u32,
    ) -> Result<Vec<(String, String)>, LedgerError> {
        // `cross join`: the run's jobs first, then the items of each.
        let query = "select i.key, coalesce(i.reason, '') from jobs as j cross join items as i \
                     where j.run_id = $1 and i.job_id = j.id and i.state = 'needs_review' limit $2";
        let query = sqlx::query(query).bind(run_id).bind(i64::from(most));
        let rows = self
            .facts("looking for items that need review", query)
            .await?;
        rows.iter()
            .map(|row| Ok((text(row, 0)?, text(row, 1)?)))
            .collect()
    }

    /// Runs with items of which it has not been known since before an instant what became of them.
    /// Of very many items the oldest count.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn unknown_runs(
        &self,
        before: Timestamp,
    ) -> Result<Vec<RunWithProblems>, LedgerError> {
        let rows = self
            .facts(
                "looking for unknown items",
                sqlx::query(UNKNOWN).bind(before.millis()),
            )
            .await?;
        rows.iter()
            .map(|row| {
                Ok(RunWithProblems {
                    since: Some(instant(row, 4)?),
                    ..with_problems(row)?
                })
            })
            .collect()
    }

    /// Runs that ended after one instant and not after another, in that order, from behind `after`
    /// on: with what did not go well.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn ended_badly(
        &self,
        after: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<FinishedRun>, LedgerError> {
        let query = sqlx::query(ENDED)
            .bind(after.millis())
            .bind(until.millis())
            .bind(i64::from(limit));
        let rows = self.facts("looking for runs that ended", query).await?;
        let ended = |row| {
            Ok(FinishedRun {
                run: of_run(row)?,
                finished_at: instant(row, 3)?,
                failed: number(row, 4)?,
                rejected: number(row, 5)?,
                unplanned: number(row, 6)?,
            })
        };
        rows.iter().map(ended).collect()
    }

    /// Runs that have not ended, with rows that were refused.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn open_with_rejected(&self) -> Result<Vec<RunWithProblems>, LedgerError> {
        let rows = self
            .facts("looking for refused rows", sqlx::query(REJECTED))
            .await?;
        rows.iter().map(with_problems).collect()
    }

    /// Answers that contradicted what was known, after an instant.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn alarms(
        &self,
        after: Timestamp,
        limit: u32,
    ) -> Result<Vec<AlarmedItem>, LedgerError> {
        self.alarmed(ALARMS, after, limit).await
    }

    /// The alarms of a run, which was planned at `since`: of how many items each, and the first of
    /// them.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn alarms_of_run(
        &self,
        run_id: i64,
        since: Timestamp,
    ) -> Result<Vec<(String, u64, i64)>, LedgerError> {
        let query = sqlx::query(ALARMS_OF_RUN).bind(run_id).bind(since.millis());
        let rows = self.facts("looking for alarms of a run", query).await?;
        rows.iter()
            .map(|row| {
                Ok((
                    text(row, 0)?,
                    number(row, 1)?,
                    row.try_get(2).map_err(failed)?,
                ))
            })
            .collect()
    }

    /// Declarations whose buyer turned out not to be the payer, after an instant.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn other_payers(
        &self,
        after: Timestamp,
        limit: u32,
    ) -> Result<Vec<AlarmedItem>, LedgerError> {
        self.alarmed(OTHER_PAYERS, after, limit).await
    }

    async fn alarmed(
        &self,
        query: &'static str,
        after: Timestamp,
        limit: u32,
    ) -> Result<Vec<AlarmedItem>, LedgerError> {
        let query = sqlx::query(query)
            .bind(after.millis())
            .bind(i64::from(limit));
        let rows = self.facts("looking for alarms", query).await?;
        let alarmed = |row: &AnyRow| {
            Ok(AlarmedItem {
                run: of_run(row)?,
                item_id: row.try_get(3).map_err(failed)?,
                version: row.try_get(4).map_err(failed)?,
                key: text(row, 5)?,
                at: instant(row, 6)?,
                alarm: text(row, 7)?,
                detail: text(row, 8)?,
                kind: text(row, 9)?,
            })
        };
        rows.iter().map(alarmed).collect()
    }

    /// Reconciliations that did not succeed, by jobs that ended after one instant and not after
    /// another.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn differences(
        &self,
        after: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<ReconcileDifference>, LedgerError> {
        let query = sqlx::query(DIFFERENCES)
            .bind(after.millis())
            .bind(until.millis())
            .bind(i64::from(limit));
        let rows = self.facts("looking for differences", query).await?;
        let different = |row: &AnyRow| {
            Ok(ReconcileDifference {
                run: of_run(row)?,
                item_id: row.try_get(3).map_err(failed)?,
                lane: text(row, 4)?,
                at: instant(row, 5)?,
                result: text(row, 6)?,
            })
        };
        rows.iter().map(different).collect()
    }

    /// Notes an answer that no outcome table lists or, with what it rests on, one whose meaning is
    /// only assumed; it is news only the first time.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn note_unattested(
        &self,
        lane: &str,
        kind: &str,
        code: &str,
        assumed: Option<&str>,
        item_id: i64,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        const OFTEN: i64 = 3_600_000;
        let operation = "noting an answer that no page attests";
        // No database takes the character NUL as text.
        let code = code.replace('\0', "\u{fffd}");
        let fresh = "select 1 as one from unmapped_codes where lane = $1 and kind = $2 and code = $3 and last_at > $4";
        let query = sqlx::query(fresh)
            .bind(lane)
            .bind(kind)
            .bind(&code)
            .bind(now.millis().saturating_sub(OFTEN));
        // A gateway that says it thousands of times a second makes one write an hour.
        if query
            .fetch_optional(&self.read)
            .await
            .map_err(|source| LedgerError::of(operation, source))?
            .is_some()
        {
            return Ok(());
        }
        let mut tx = self.begin_write(operation).await?;
        let note = "insert into unmapped_codes (lane, kind, code, first_at, last_at, item_id, assumed) \
                    values ($1, $2, $3, $4, $4, $5, $6) \
                    on conflict (lane, kind, code) do update set last_at = excluded.last_at";
        let noted = sqlx::query(note)
            .bind(lane)
            .bind(kind)
            .bind(&code)
            .bind(now.millis())
            .bind(item_id)
            .bind(assumed);
        noted
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of(operation, source))?;
        tx.commit().await
    }

    /// Answers that no outcome table lists, or whose meaning is only assumed, first seen after an
    /// instant.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn unmapped_codes(
        &self,
        after: Timestamp,
        limit: u32,
    ) -> Result<Vec<UnmappedCode>, LedgerError> {
        let query = "select lane, kind, code, first_at, item_id, assumed from unmapped_codes where first_at > $1 order by first_at limit $2";
        let query = sqlx::query(query)
            .bind(after.millis())
            .bind(i64::from(limit));
        let rows = self.facts("looking for unmapped codes", query).await?;
        let unmapped = |row: &AnyRow| {
            Ok(UnmappedCode {
                lane: text(row, 0)?,
                kind: text(row, 1)?,
                code: text(row, 2)?,
                first_at: instant(row, 3)?,
                item_id: row.try_get(4).map_err(failed)?,
                assumed: row.try_get(5).map_err(failed)?,
            })
        };
        rows.iter().map(unmapped).collect()
    }

    /// How many runs of a workflow began at an instant or later, and how many of them have ended;
    /// of very many, the first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn runs_since(
        &self,
        workflow: &str,
        since: Timestamp,
    ) -> Result<(u64, u64), LedgerError> {
        let query = sqlx::query(BEGAN)
            .bind(workflow.to_owned())
            .bind(since.millis());
        let rows = self.facts("looking for runs", query).await?;
        rows.first()
            .map_or(Ok((0, 0)), |row| Ok((number(row, 0)?, number(row, 1)?)))
    }

    /// Items and money by workflow, state and currency.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn sums(&self, which: SummedRuns) -> Result<Vec<StateSum>, LedgerError> {
        // `cross join`: the runs first, then the jobs of each, then their totals.
        const COLUMNS: &str = "select r.workflow, t.state, t.currency, cast(sum(t.items) as bigint), \
                                 cast(sum(t.minor) as bigint) from runs as r cross join jobs as j cross join totals as t ";
        const GROUPS: &str = " and j.run_id = r.id and t.job_id = j.id and t.items > 0 group by r.workflow, t.state, t.currency \
                              order by r.workflow, t.state, t.currency limit 5000";
        let ended = format!("{COLUMNS} where r.finished_at > $1 and r.finished_at <= $2 {GROUPS}");
        let open = format!("{COLUMNS} where r.finished_at is null {GROUPS}");
        let query = match which {
            SummedRuns::Ended(after, until) => sqlx::query(sqlx::AssertSqlSafe(ended))
                .bind(after.millis())
                .bind(until.millis()),
            SummedRuns::Open => sqlx::query(sqlx::AssertSqlSafe(open)),
        };
        let rows = self.facts("summing up", query).await?;
        rows.iter().map(sum).collect()
    }

    async fn facts(
        &self,
        operation: &'static str,
        query: sqlx::query::Query<'_, sqlx::Any, sqlx::any::AnyArguments>,
    ) -> Result<Vec<AnyRow>, LedgerError> {
        query
            .fetch_all(&self.read)
            .await
            .map_err(|source| LedgerError::of(operation, source))
    }
}

fn failed(source: sqlx::Error) -> LedgerError {
    LedgerError::of("reading what went wrong", source)
}

fn text(row: &AnyRow, column: usize) -> Result<String, LedgerError> {
    row.try_get(column).map_err(failed)
}

fn number(row: &AnyRow, column: usize) -> Result<u64, LedgerError> {
    let number: i64 = row.try_get(column).map_err(failed)?;
    stored_values::count(number, "reading what went wrong")
}

fn instant(row: &AnyRow, column: usize) -> Result<Timestamp, LedgerError> {
    row.try_get(column)
        .map(Timestamp::from_millis)
        .map_err(failed)
}

fn with_problems(row: &AnyRow) -> Result<RunWithProblems, LedgerError> {
    Ok(RunWithProblems {
        run: of_run(row)?,
        items: number(row, 3)?,
        since: None,
    })
}

fn of_run(row: &AnyRow) -> Result<RunRef, LedgerError> {
    Ok(RunRef {
        run_id: row.try_get(0).map_err(failed)?,
        workflow: text(row, 1)?,
        occurrence: text(row, 2)?,
    })
}

fn sum(row: &AnyRow) -> Result<StateSum, LedgerError> {
    let word = text(row, 1)?;
    Ok(StateSum {
        workflow: text(row, 0)?,
        state: stored_values::state(&word, ("totals", &word, "state"))?,
        currency: stored_values::total_currency(&text(row, 2)?, &word)?,
        items: number(row, 3)?,
        minor: row.try_get(4).map_err(failed)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{place, steps};

    #[tokio::test]
    async fn every_look_finds_its_rows_by_an_index_however_long_the_history_is() {
        for (statement, index) in [
            (NEEDS_REVIEW, "USING INDEX totals_needing_review"),
            (UNKNOWN, "USING INDEX items_unknown (unresolved_since<?)"),
            (
                ENDED,
                "USING INDEX runs_finished (finished_at>? AND finished_at<?)",
            ),
            (REJECTED, "USING INDEX runs_unfinished"),
            (ALARMS, "USING INDEX events_alarms (at>?)"),
            (
                DIFFERENCES,
                "USING INDEX jobs_reconciled (finished_at>? AND finished_at<?)",
            ),
            (
                BEGAN,
                "USING INDEX runs_of_workflow (workflow=? AND started_at>?)",
            ),
        ] {
            let steps = steps(statement).await;
            place(&steps, index);
            let scans: Vec<&String> = steps
                .iter()
                .filter(|step| {
                    step.starts_with("SCAN")
                        && !step.contains("USING")
                        && !step.contains("(subquery")
                })
                .collect();
            assert!(
                scans
                    .iter()
                    .all(|step| ["SCAN u", "SCAN began"].contains(&step.as_str())),
                "{steps:#?}"
            );
        }
    }
}
