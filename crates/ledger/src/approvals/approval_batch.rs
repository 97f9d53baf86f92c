//! The items of a job that wait for approval: what they are in content, asked for, moved together, and let go.

use serde_json::json;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::db::stored_values;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::item_rows::{ChangeBatch, ItemChange, ItemRecord, amount_of, list};
use crate::items::state_machine::decide;
use payrun_domain::approval::{Batch, BatchOrigin, BatchRow as Content};
use payrun_domain::item::Event;
use payrun_domain::message::Message;
use payrun_domain::policy::Policy;
use payrun_domain::time::Timestamp;

/// How many items are read and moved at a time.
const PAGE: i64 = 500;

const OPERATION: &str = "deciding about a batch";

/// An approval to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewApproval {
    /// How many persons must approve.
    pub needed: u32,
    /// Until when.
    pub expires_at: Timestamp,
}

/// Items that were never sent, and now never will be, give key and number back.
pub(crate) async fn release_keys(tx: &mut WriteTx, items: &[i64]) -> Result<(), LedgerError> {
    let query = "update items set key_hash = null, order_no = null, custom_order_no = null \
                 where id in (select cast(atom as bigint) from json_each($1)) and state = 'cancelled' and submit_count = 0";
    let done = sqlx::query(query)
        .bind(list(items))
        .execute(tx.connection())
        .await;
    done.map(|_| ())
        .map_err(|source| LedgerError::of(OPERATION, source))
}

/// Moves all items of a job that wait for approval; says how many.
pub(crate) async fn move_awaiting(
    tx: &mut WriteTx,
    job_id: i64,
    event: &Event,
    why: &Message,
    now: Timestamp,
) -> Result<u64, LedgerError> {
    let failed = |source| LedgerError::of(OPERATION, source);
    let job =
        sqlx::query("select j.policy, j.first_item, j.last_item, r.send_at from jobs as j join runs as r on r.id = j.run_id where j.id = $1").bind(job_id);
    let job = job.fetch_one(tx.connection()).await.map_err(failed)?;
    let policy: Policy = serde_json::from_str(job.try_get(0).map_err(failed)?)
        .map_err(|_| LedgerError::corrupt("jobs", job_id, "policy"))?;
    let (first, last): (i64, i64) = (
        job.try_get(1).map_err(failed)?,
        job.try_get(2).map_err(failed)?,
    );
    let send_at: Option<i64> = job.try_get(3).map_err(failed)?;
    let send_at = send_at.map(Timestamp::from_millis);
    let (mut after, mut items) = (first - 1, 0);
    loop {
        let rows = awaiting_page(tx, job_id, after, last).await?;
        let Some(end) = rows.last() else {
            return Ok(items);
        };
        after = end.try_get("id").map_err(failed)?;
        let mut moved = Vec::with_capacity(rows.len());
        for row in &rows {
            let stored = ItemRecord::read(row)?;
            let mut to = decide(&stored, event, &policy, now)?.because(Some(why.clone()));
            // Approved or not, a run sends nothing before its time.
            to.next_at = to
                .next_at
                .map(|at| send_at.map_or(at, |send_at| at.max(send_at)));
            moved.push((stored, to));
        }
        let written = |(stored, moved)| ItemChange {
            stored,
            event: event.kind(),
            moved,
            lease: None,
            result: None,
            at: now,
        };
        let written: Vec<_> = moved
            .iter()
            .map(|(stored, moved)| written((stored, moved)))
            .collect();
        if !ChangeBatch::of(&written, &[])?.execute(tx).await? {
            let what =
                format!("an item of job {job_id} changed within the transaction that read it");
            return Err(LedgerError::Inconsistent { what });
        }
        if *event != Event::Approve {
            let ids: Vec<i64> = moved.iter().map(|(stored, _)| stored.id).collect();
            release_keys(tx, &ids).await?;
        }
        items += moved.len() as u64;
    }
}

async fn awaiting_page(
    tx: &mut WriteTx,
    job_id: i64,
    after: i64,
    last: i64,
) -> Result<Vec<AnyRow>, LedgerError> {
    let query = "select * from items where id > $1 and id <= $2 and job_id = $3 and state = 'awaiting_approval' order by id limit $4";
    let rows = sqlx::query(query)
        .bind(after)
        .bind(last)
        .bind(job_id)
        .bind(PAGE)
        .fetch_all(tx.connection())
        .await;
    rows.map_err(|source| LedgerError::of(OPERATION, source))
}

/// Holds the items of a job that was just planned, and asks for approval of what they are now.
pub(crate) async fn ask(
    tx: &mut WriteTx,
    job_id: i64,
    new: &NewApproval,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let failed = |source| LedgerError::of("asking for approval", source);
    // Nobody has seen them yet: this is the state they are planned in.
    let hold = "update items set state = 'awaiting_approval', next_at = null where job_id = $1 and next_at is not null and state = 'planned'";
    sqlx::query(hold)
        .bind(job_id)
        .execute(tx.connection())
        .await
        .map_err(failed)?;
    let batch = contents(tx, job_id).await?;
    store_approval(tx, job_id, new, &batch, now).await
}

/// Holds a job's items of these numbers, nobody has seen them yet, and adds them to the batch.
pub(crate) async fn hold_some(
    tx: &mut WriteTx,
    job_id: i64,
    (after, to): (i64, i64),
    batch: &mut Batch,
) -> Result<(), LedgerError> {
    let failed = |source| LedgerError::of("asking for approval", source);
    let hold = "update items set state = 'awaiting_approval', next_at = null \
                where id > $1 and id <= $2 and job_id = $3 and next_at is not null and state = 'planned'";
    let moved = sqlx::query(hold)
        .bind(after)
        .bind(to)
        .bind(job_id)
        .execute(tx.connection())
        .await;
    moved.map_err(failed)?;
    let mut after = after;
    loop {
        let rows = awaiting_page(tx, job_id, after, to).await?;
        let Some(end) = rows.last() else {
            return Ok(());
        };
        after = end.try_get("id").map_err(failed)?;
        rows.iter().try_for_each(|row| add(batch, row))?;
    }
}

/// Keeps what is asked for, of a job that is there.
pub(crate) async fn store_approval(
    tx: &mut WriteTx,
    job_id: i64,
    new: &NewApproval,
    batch: &Batch,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let failed = |source| LedgerError::of("asking for approval", source);
    let insert = "insert into approvals (job_id, state, author, needed, content_hash, items, sums, asked_at, expires_at) \
                  select $1, 'waiting', coalesce(r.author, ''), $2, $3, $4, $5, $6, $7 from jobs as j \
                  join runs as r on r.id = j.run_id where j.id = $1";
    sqlx::query(insert)
        .bind(job_id)
        .bind(i64::from(new.needed))
        .bind(batch.content_hash().to_string())
        .bind(i64::try_from(batch.items()).unwrap_or(i64::MAX))
        .bind(json!(batch.sums()).to_string())
        .bind(now.millis())
        .bind(new.expires_at.millis())
        .execute(tx.connection())
        .await
        .map_err(failed)?;
    Ok(())
}

/// The content of a job's items that wait for approval, as it is now.
pub(crate) async fn contents(tx: &mut WriteTx, job_id: i64) -> Result<Batch, LedgerError> {
    let failed = |source| LedgerError::of("reading a batch", source);
    let query = "select r.workflow, r.occurrence, r.source, r.params, j.name, j.kind, j.lane, coalesce(j.account, '') as account, \
                   j.first_item, j.last_item from jobs as j join runs as r on r.id = j.run_id where j.id = $1";
    let row = sqlx::query(query)
        .bind(job_id)
        .fetch_one(tx.connection())
        .await
        .map_err(failed)?;
    let text = |name: &str| row.try_get::<&str, _>(name).map_err(failed);
    let origin = BatchOrigin {
        workflow: text("workflow")?,
        occurrence: text("occurrence")?,
        source: text("source")?,
        params: text("params")?,
        job: text("name")?,
        kind: text("kind")?,
        account: [text("lane")?, text("account")?],
    };
    let mut batch = Batch::of(&origin);
    let (first, last): (i64, i64) = (
        row.try_get("first_item").map_err(failed)?,
        row.try_get("last_item").map_err(failed)?,
    );
    let mut after = first - 1;
    loop {
        let rows = awaiting_page(tx, job_id, after, last).await?;
        let Some(end) = rows.last() else {
            return Ok(batch);
        };
        after = end.try_get("id").map_err(failed)?;
        rows.iter().try_for_each(|row| add(&mut batch, row))?;
    }
}

fn add(batch: &mut Batch, row: &AnyRow) -> Result<(), LedgerError> {
    let failed = |source| LedgerError::of("reading a batch", source);
    let id: i64 = row.try_get("id").map_err(failed)?;
    let key_hash: Option<&[u8]> = row.try_get("key_hash").map_err(failed)?;
    let key_hash = stored_values::key_hash(key_hash, ("items", &id, "key_hash"))?;
    batch.add(&Content {
        line: stored_values::unsigned(
            row.try_get("line").map_err(failed)?,
            ("items", &id, "line"),
        )?,
        key: row.try_get("key").map_err(failed)?,
        key_hash: key_hash.ok_or_else(|| LedgerError::corrupt("items", id, "key_hash"))?,
        custom_order_no: row.try_get("custom_order_no").map_err(failed)?,
        amount: amount_of(row, id)?,
        input: row.try_get("input").map_err(failed)?,
    });
    Ok(())
}
