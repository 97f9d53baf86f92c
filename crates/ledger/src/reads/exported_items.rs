//! Items as they are written into files: with their workflow, their times and the last answer. And,
//! before the first of them is written, which fields and facts there are.
//!
//! Both go over the same pages as [`crate::reads::item_pages`].

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::db::stored_values;
use crate::error::LedgerError;
use crate::reads::item::{ItemRow, item_row};
use crate::reads::item_pages::{ITEM, ItemFilter, statement};
use payrun_domain::item::State;
use payrun_domain::time::Timestamp;

/// An item with what a file says beside it.
#[derive(Debug, Clone)]
pub struct ExportedItem {
    /// The item.
    pub item: ItemRow,
    /// The workflow's name.
    pub workflow: String,
    /// The kind of its job.
    pub kind: String,
    /// The gateway account.
    pub lane: String,
    /// When its run was planned.
    pub planned_at: Timestamp,
    /// When a number was last claimed for sending; none if never.
    pub sent_at: Option<Timestamp>,
    /// When it came to rest; none while it is open, and where no move tells.
    pub ended_at: Option<Timestamp>,
    /// The code of the last answer, or why there was none.
    pub code: Option<String>,
    /// The last reply or notification, with sensitive fields masked.
    pub evidence: Option<String>,
    /// The last item before it that was for the same part of the same whole.
    pub replaces: Option<i64>,
    /// The last one after it.
    pub replaced_by: Option<i64>,
}

/// What decides which columns a list of items has.
#[derive(Debug, Clone)]
pub struct ItemFacts {
    /// The item.
    pub id: i64,
    /// Its job.
    pub job_id: i64,
    /// Its state.
    pub state: State,
    /// The kind of its job.
    pub kind: String,
    /// Its run.
    pub run_id: i64,
    /// The time zone of its run; none if that was not kept.
    pub timezone: Option<String>,
    /// Its checked fields, a JSON object; may hold personal data.
    pub input: String,
    /// Facts from the replies, a JSON object.
    pub result: Option<String>,
    /// Whether other items are for the same part of the same whole.
    pub has_related: bool,
}

/// The columns of [`ItemFacts`].
const FACTS: &str = "i.id, i.job_id, i.state, i.input, i.result, j.kind, j.run_id, \
    cast(coalesce((select 1 from items as x where x.part_of = i.part_of and x.part_of is not null and x.part = i.part and x.id <> i.id limit 1), 0) as bigint) as related, \
    (select r.timezone from runs as r where r.id = j.run_id) as timezone";

impl Ledger {
    /// Items with what a file says beside them, from behind `after` on, in the order of their ids.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn exported_items(
        &self,
        filter: &ItemFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<ExportedItem>, LedgerError> {
        let statement = around(&statement(self.location.db_kind, filter, ITEM));
        let rows = self.item_page(statement, filter, after, limit).await?;
        rows.iter().map(exported_item).collect()
    }

    /// The fields and facts of items, from behind `after` on, in the order of their ids.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn item_facts(
        &self,
        filter: &ItemFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<ItemFacts>, LedgerError> {
        let statement = statement(self.location.db_kind, filter, FACTS);
        let rows = self.item_page(statement, filter, after, limit).await?;
        rows.iter().map(item_facts).collect()
    }
}

/// A job as the workflow had it that its run was planned with.
#[derive(Debug, Clone)]
pub struct JobSource {
    /// Its name there.
    pub name: String,
    /// The file its rows came from, and how it was read, as JSON.
    pub file: Option<String>,
    /// The workflow file.
    pub workflow: String,
}

impl Ledger {
    /// How a job stood in its workflow.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn job_source(&self, job_id: i64) -> Result<Option<JobSource>, LedgerError> {
        let failed = |source| LedgerError::of("reading the workflow of a job", source);
        let query = "select j.name, j.file, r.source from jobs as j join runs as r on r.id = j.run_id where j.id = $1";
        let row = sqlx::query(query)
            .bind(job_id)
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?;
        row.map(|row| {
            Ok(JobSource {
                name: row.try_get(0)?,
                file: row.try_get(1)?,
                workflow: row.try_get(2)?,
            })
        })
        .transpose()
        .map_err(failed)
    }
}

fn around(items: &str) -> String {
    include_str!("exported_items.sql").replace("{items}", items)
}

fn exported_item(row: &AnyRow) -> Result<ExportedItem, LedgerError> {
    let failed = |source| LedgerError::of("reading an item", source);
    let instant = |name: &str| {
        row.try_get::<Option<i64>, _>(name)
            .map_err(failed)
            .map(|at| at.map(Timestamp::from_millis))
    };
    let item = item_row(row)?;
    let moved_at = instant("moved_at")?;
    Ok(ExportedItem {
        workflow: row.try_get("workflow").map_err(failed)?,
        kind: row.try_get("kind").map_err(failed)?,
        lane: row.try_get("lane").map_err(failed)?,
        planned_at: row
            .try_get("planned_at")
            .map(Timestamp::from_millis)
            .map_err(failed)?,
        sent_at: instant("sent_at")?,
        ended_at: moved_at.filter(|_| !item.state.is_open()),
        code: row.try_get("answer_code").map_err(failed)?,
        evidence: row.try_get("answer_evidence").map_err(failed)?,
        replaces: row.try_get("replaces").map_err(failed)?,
        replaced_by: row.try_get("replaced_by").map_err(failed)?,
        item,
    })
}

fn item_facts(row: &AnyRow) -> Result<ItemFacts, LedgerError> {
    let failed = |source| LedgerError::of("reading an item", source);
    let id: i64 = row.try_get("id").map_err(failed)?;
    Ok(ItemFacts {
        id,
        job_id: row.try_get("job_id").map_err(failed)?,
        state: stored_values::state(
            row.try_get("state").map_err(failed)?,
            ("items", &id, "state"),
        )?,
        kind: row.try_get("kind").map_err(failed)?,
        run_id: row.try_get("run_id").map_err(failed)?,
        timezone: row.try_get("timezone").map_err(failed)?,
        input: row.try_get("input").map_err(failed)?,
        result: row.try_get("result").map_err(failed)?,
        has_related: row.try_get::<i64, _>("related").map_err(failed)? != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::location::DbKind;
    use crate::tests::{place, steps};

    #[tokio::test]
    async fn moves_and_answers_of_an_item_are_found_by_its_id() {
        let items = statement(DbKind::Sqlite, &ItemFilter::default(), ITEM);
        let steps = steps(&around(&items)).await;
        place(
            &steps,
            "SEARCH i USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
        );
        place(&steps, "SEARCH e USING PRIMARY KEY (item_id=?)");
        place(
            &steps,
            "SEARCH a USING INDEX sqlite_autoindex_attempts_1 (item_id=?)",
        );
        place(&steps, "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)");
        place(
            &steps,
            "SEARCH x USING COVERING INDEX items_part_of (part_of=? AND part=? AND rowid<?)",
        );
    }
}
