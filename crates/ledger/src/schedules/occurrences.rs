//! The occurrences of schedules, and what became of them.
//!
//! The run comes first: it is planned under the occurrence's own name, which is unique, and then
//! the row is told. A process that dies in between leaves a row that is due and has a run; whoever
//! looks next sees that.

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use payrun_domain::occurrence::OccurrenceState;
use payrun_domain::reason::FailureCode;
use payrun_domain::time::Timestamp;

/// An occurrence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OccurrenceRow {
    /// The workflow's name.
    pub workflow: String,
    /// The wall-clock time that the rule names.
    pub nominal: String,
    /// When it is due, after calendars moved it.
    pub at: Timestamp,
    /// The time zone of the wall clock.
    pub timezone: String,
    /// How it stands.
    pub state: OccurrenceState,
    /// Its run; also where the row has not been told of it yet.
    pub run_id: Option<i64>,
    /// Why.
    pub reason: Option<String>,
    /// Where it could not be planned, the same for programs.
    pub failure_code: Option<FailureCode>,
    /// Since when it stands so.
    pub changed_at: Timestamp,
}

/// The place of an occurrence in a list, as text for whoever reads on later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OccurrencePlace {
    at: Timestamp,
    workflow: String,
    nominal: String,
}

impl OccurrencePlace {
    /// Where a row is.
    pub fn of(row: &OccurrenceRow) -> Self {
        Self {
            at: row.at,
            workflow: row.workflow.clone(),
            nominal: row.nominal.clone(),
        }
    }

    /// From the text it prints as.
    pub fn parse(text: &str) -> Option<Self> {
        let (at, rest) = text.split_once(' ')?;
        let (nominal, workflow) = rest.split_once(' ')?;
        let at = Timestamp::from_millis(at.parse().ok()?);
        Some(Self {
            at,
            workflow: workflow.to_owned(),
            nominal: nominal.to_owned(),
        })
    }
}

impl std::fmt::Display for OccurrencePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.at.millis(), self.nominal, self.workflow)
    }
}

/// Which occurrences are meant.
#[derive(Debug, Clone, Default)]
pub struct OccurrenceFilter {
    /// Of this workflow.
    pub workflow: Option<String>,
    /// In these states; all if empty.
    pub states: Vec<OccurrenceState>,
}

const COLUMNS: &str = "o.workflow, o.nominal, o.at, o.timezone, o.state, coalesce(o.run_id, r.id) as run_id, o.reason, \
                       o.failure_code, o.changed_at from occurrences as o \
                       left join runs as r on r.workflow = o.workflow and r.occurrence = o.nominal";

const WORKFLOWS: &str = "select distinct workflow from occurrences where state in ('due', 'queued') and at <= $1 \
                         order by workflow limit 10000";

const OPEN: &str = "where o.workflow = $1 and o.state in ('due', 'queued') and o.at <= $2 order by o.at, o.nominal limit $3";

const OPERATION: &str = "telling what became of an occurrence";

impl Ledger {
    /// The workflows that have something due or queued by now.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn workflows_due(&self, now: Timestamp) -> Result<Vec<String>, LedgerError> {
        let names = sqlx::query_scalar(WORKFLOWS)
            .bind(now.millis())
            .fetch_all(&self.read)
            .await;
        names.map_err(|source| LedgerError::of("looking for what is due", source))
    }

    /// What a workflow has due and queued by now, oldest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn open_occurrences(
        &self,
        workflow: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<OccurrenceRow>, LedgerError> {
        let query = sqlx::query(sqlx::AssertSqlSafe(format!("select {COLUMNS} {OPEN}")));
        let query = query
            .bind(workflow)
            .bind(now.millis())
            .bind(i64::from(limit));
        occurrence_rows(query.fetch_all(&self.read).await)
    }

    /// One occurrence.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn occurrence(
        &self,
        workflow: &str,
        nominal: &str,
    ) -> Result<Option<OccurrenceRow>, LedgerError> {
        let query = format!("select {COLUMNS} where o.workflow = $1 and o.nominal = $2");
        let query = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(workflow)
            .bind(nominal);
        Ok(occurrence_rows(query.fetch_all(&self.read).await)?.pop())
    }

    /// Occurrences, latest first, from before one on.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn occurrences(
        &self,
        filter: &OccurrenceFilter,
        before: Option<&OccurrencePlace>,
        limit: u32,
    ) -> Result<Vec<OccurrenceRow>, LedgerError> {
        let states: Vec<&str> = filter.states.iter().map(|state| state.as_str()).collect();
        let query = format!(
            "select {COLUMNS} where (o.at, o.workflow, o.nominal) < ($1, $2, $3) and ($4 is null or o.workflow = $4) \
               and ($5 = 0 or o.state in (select atom from json_each($6))) \
             order by o.at desc, o.workflow desc, o.nominal desc limit $7"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(before.map_or(i64::MAX, |place| place.at.millis()))
            .bind(before.map_or("", |place| place.workflow.as_str()))
            .bind(before.map_or("", |place| place.nominal.as_str()))
            .bind(filter.workflow.clone())
            .bind(i64::try_from(states.len()).unwrap_or(0))
            .bind(list(&states))
            .bind(i64::from(limit));
        occurrence_rows(query.fetch_all(&self.read).await)
    }

    /// Occurrences that could not be planned, since an instant, the latest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn failed_occurrences(
        &self,
        since: Timestamp,
        limit: u32,
    ) -> Result<Vec<OccurrenceRow>, LedgerError> {
        let query = format!(
            "select {COLUMNS} where o.state = 'failed' and o.changed_at >= $1 order by o.changed_at desc limit $2"
        );
        let query = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(since.millis())
            .bind(i64::from(limit));
        occurrence_rows(query.fetch_all(&self.read).await)
    }

    /// Gives up what is due: it is missed. What has a run by now is not.
    ///
    /// # Errors
    /// Whatever the database says; then nothing was given up.
    pub async fn give_up(
        &self,
        workflow: &str,
        nominals: &[&str],
        reason: &str,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let mut tx = self.begin_write(OPERATION).await?;
        sqlx::query(
            "update occurrences set state = 'missed', reason = $3, changed_at = $4 \
             where workflow = $1 and nominal in (select atom from json_each($2)) and state = 'due' \
               and not exists (select 1 from runs as r where r.workflow = $1 and r.occurrence = occurrences.nominal)",
        )
        .bind(workflow)
        .bind(list(nominals))
        .bind(reason)
        .bind(now.millis())
        .execute(tx.connection())
        .await
        .map_err(|source| LedgerError::of(OPERATION, source))?;
        tx.commit().await
    }

    /// Tells an occurrence that it has a run, whatever was thought of it before.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn occurrence_fired(
        &self,
        occurrence: &OccurrenceRow,
        run_id: i64,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let mut tx = self.begin_write(OPERATION).await?;
        sqlx::query(include_str!("fire_occurrence.sql"))
            .bind(&occurrence.workflow)
            .bind(&occurrence.nominal)
            .bind(occurrence.at.millis())
            .bind(&occurrence.timezone)
            .bind(run_id)
            .bind(occurrence.reason.clone())
            .bind(now.millis())
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of(OPERATION, source))?;
        tx.commit().await
    }

    /// Moves an occurrence that is due or queued; what somebody else has decided meanwhile stays.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn occurrence_is(
        &self,
        occurrence: &OccurrenceRow,
        (state, failure_code): (OccurrenceState, Option<FailureCode>),
        reason: &str,
        now: Timestamp,
    ) -> Result<(), LedgerError> {
        let mut tx = self.begin_write(OPERATION).await?;
        sqlx::query(
            "update occurrences set state = $3, reason = $4, changed_at = $5, failure_code = $6 \
             where workflow = $1 and nominal = $2 and state in ('due', 'queued')",
        )
        .bind(&occurrence.workflow)
        .bind(&occurrence.nominal)
        .bind(state.as_str())
        .bind(reason)
        .bind(now.millis())
        .bind(failure_code.map(FailureCode::as_str))
        .execute(tx.connection())
        .await
        .map_err(|source| LedgerError::of(OPERATION, source))?;
        tx.commit().await
    }

    /// The oldest run of a workflow that has not ended.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn unfinished_run_of(&self, workflow: &str) -> Result<Option<i64>, LedgerError> {
        let query = "select min(id) from runs where finished_at is null and workflow = $1";
        let id = sqlx::query_scalar(query)
            .bind(workflow)
            .fetch_one(&self.read)
            .await;
        id.map_err(|source| LedgerError::of("looking for a run that has not ended", source))
    }
}

fn occurrence_rows(
    rows: Result<Vec<AnyRow>, sqlx::Error>,
) -> Result<Vec<OccurrenceRow>, LedgerError> {
    let rows = rows.map_err(|source| LedgerError::of("reading occurrences", source))?;
    rows.iter().map(occurrence_row).collect()
}

fn occurrence_row(row: &AnyRow) -> Result<OccurrenceRow, LedgerError> {
    let failed = |source| LedgerError::of("reading an occurrence", source);
    let word: &str = row.try_get("state").map_err(failed)?;
    let (workflow, nominal): (String, String) = (
        row.try_get("workflow").map_err(failed)?,
        row.try_get("nominal").map_err(failed)?,
    );
    let corrupt =
        |column| LedgerError::corrupt("occurrences", format!("{workflow} {nominal}"), column);
    let state = OccurrenceState::parse(word).ok_or_else(|| corrupt("state"))?;
    let code: Option<&str> = row.try_get("failure_code").map_err(failed)?;
    let code = code
        .map(|code| FailureCode::parse(code).ok_or_else(|| corrupt("failure_code")))
        .transpose()?;
    Ok(OccurrenceRow {
        at: Timestamp::from_millis(row.try_get("at").map_err(failed)?),
        timezone: row.try_get("timezone").map_err(failed)?,
        state,
        run_id: row.try_get("run_id").map_err(failed)?,
        reason: row.try_get("reason").map_err(failed)?,
        failure_code: code,
        changed_at: Timestamp::from_millis(row.try_get("changed_at").map_err(failed)?),
        workflow,
        nominal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{place, steps};

    #[tokio::test]
    async fn what_is_due_is_found_without_reading_what_has_been() {
        let all = steps(WORKFLOWS).await;
        place(&all, "USING INDEX occurrences_open");
        let of_one = steps(&format!("select {COLUMNS} {OPEN}")).await;
        place(
            &of_one,
            "SEARCH o USING INDEX occurrences_open (workflow=? AND at<?)",
        );
        assert!(
            of_one
                .iter()
                .all(|step| !step.contains("TEMP B-TREE") && !step.starts_with("SCAN")),
            "{of_one:#?}"
        );
    }
}
