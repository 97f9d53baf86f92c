//! Notifications as they came: kept by the writer before they are acknowledged, taken up until they
//! have ended, listed.
//!
//! Only what a gateway's client has verified gets here. The same body again is no other
//! notification: it is counted. What one says of an item is put to the state machine in
//! `items/apply_notification.rs`.

use crate::db::stored_values;
use std::collections::HashMap;

use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};
use tokio::sync::oneshot;

use crate::Ledger;
use crate::db::write_tx::WriteTx;
use crate::db::writer::WriteRequest;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use payrun_domain::time::Timestamp;

/// A notification to be kept.
#[derive(Debug, Clone)]
pub struct NewNotification {
    /// The gateway account.
    pub lane: String,
    /// What tells it apart: the SHA-256 of its body, in hex.
    pub digest: String,
    /// When it came in.
    pub received_at: Timestamp,
    /// What it is verified with: a JSON object of headers.
    pub headers: String,
    /// Its body in base64, sealed or not.
    pub body: String,
    /// Whether the body is sealed.
    pub sealed: bool,
    /// Whose order it names, if it could be read.
    pub order_no: Option<String>,
}

/// What became of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotificationOutcome {
    /// It waits: it was not looked at yet, its item is being sent, or its order is not known yet.
    Open,
    /// It told what had happened to an item.
    Applied,
    /// It was reason to ask the gateway.
    Queried,
    /// It changes nothing.
    NoChange,
    /// It contradicts what was known; the alarm is written down.
    Contradicts,
    /// It names another amount or currency than ours; the alarm is written down.
    Mismatch,
    /// Nobody here has such an order.
    UnknownOrder,
    /// It could not be read.
    Unreadable,
}

impl NotificationOutcome {
    /// Every outcome.
    pub const ALL: [Self; 8] = [
        Self::Open,
        Self::Applied,
        Self::Queried,
        Self::NoChange,
        Self::Contradicts,
        Self::Mismatch,
        Self::UnknownOrder,
        Self::Unreadable,
    ];

    /// The word for it, as tables and the ledger spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Applied => "applied",
            Self::Queried => "queried",
            Self::NoChange => "no_change",
            Self::Contradicts => "contradicts",
            Self::Mismatch => "mismatch",
            Self::UnknownOrder => "unknown_order",
            Self::Unreadable => "unreadable",
        }
    }

    /// The outcome of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == word)
    }
}

/// A notification that was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotificationRow {
    /// Its id.
    pub id: i64,
    /// The gateway account.
    pub lane: String,
    /// The SHA-256 of its body, in hex.
    pub digest: String,
    /// When it came in for the first time.
    pub received_at: Timestamp,
    /// How often it came again.
    pub repeats: u64,
    /// What it is verified with: a JSON object of headers.
    pub headers: String,
    /// Its body in base64, sealed or not.
    pub body: String,
    /// Whether the body is sealed.
    pub sealed: bool,
    /// Whose order it names, if it could be read.
    pub order_no: Option<String>,
    /// What became of it.
    pub outcome: NotificationOutcome,
    /// Why, where the outcome alone does not say.
    pub detail: Option<String>,
    /// The item it is about.
    pub item_id: Option<i64>,
    /// How often it was looked at in vain.
    pub tries: u32,
    /// When it is looked at again; none once that has ended.
    pub next_at: Option<Timestamp>,
}

/// Which notifications are meant.
#[derive(Debug, Clone, Default)]
pub struct NotificationFilter {
    /// Of this account.
    pub lane: Option<String>,
    /// With this outcome.
    pub outcome: Option<NotificationOutcome>,
    /// That name this order.
    pub order_no: Option<String>,
    /// That came in since.
    pub since: Option<Timestamp>,
}

/// How a notification ends, or goes on waiting.
#[derive(Debug, Clone)]
pub(crate) struct NotificationEnd<'a> {
    pub outcome: NotificationOutcome,
    pub detail: Option<&'a str>,
    pub item_id: Option<i64>,
    pub next_at: Option<Timestamp>,
}

const KEEP: &str = include_str!("keep_notifications.sql");

const DUE: &str = "select * from notifications where next_at <= $1 order by next_at limit $2";

impl Ledger {
    /// Keeps a notification, together with whatever else is to be written; returns when it is on
    /// disk.
    ///
    /// # Errors
    /// Whatever keeps the commit from happening: it must not be acknowledged then.
    pub async fn keep_notification(&self, new: NewNotification) -> Result<(), LedgerError> {
        let (answer, answered) = oneshot::channel();
        self.write_requests
            .send(WriteRequest::Keep(Box::new(new), answer))
            .await
            .map_err(|_| LedgerError::Stopped)?;
        answered.await.map_err(|_| LedgerError::Stopped)?
    }

    /// The notifications that are to be looked at, the longest due first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn notifications_due(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<NotificationRow>, LedgerError> {
        let query = sqlx::query(DUE).bind(now.millis()).bind(i64::from(limit));
        query
            .fetch_all(&self.read)
            .await
            .map_err(failed)?
            .iter()
            .map(read)
            .collect()
    }

    /// One notification.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn notification(&self, id: i64) -> Result<Option<NotificationRow>, LedgerError> {
        let query = sqlx::query("select * from notifications where id = $1").bind(id);
        query
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?
            .as_ref()
            .map(read)
            .transpose()
    }

    /// Notifications from before `before` on, the newest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn notifications(
        &self,
        filter: &NotificationFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<NotificationRow>, LedgerError> {
        let query = sqlx::query(AssertSqlSafe(statement(filter)))
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .bind(filter.lane.clone())
            .bind(filter.outcome.map(NotificationOutcome::as_str))
            .bind(filter.order_no.clone())
            .bind(filter.since.map(Timestamp::millis));
        query
            .fetch_all(&self.read)
            .await
            .map_err(failed)?
            .iter()
            .map(read)
            .collect()
    }

    /// Ends a notification that is about no item, or has it wait until `due`.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn end_notification(
        &self,
        id: i64,
        outcome: NotificationOutcome,
        detail: &str,
        next_at: Option<Timestamp>,
    ) -> Result<(), LedgerError> {
        let mut tx = self.begin_write(OPERATION).await?;
        let ending = NotificationEnd {
            outcome,
            detail: Some(detail),
            item_id: None,
            next_at,
        };
        end(&mut tx, id, &ending).await?;
        tx.commit().await
    }

    /// Deletes notifications that ended and came in before an instant, at most so many; says how
    /// many.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn prune_notifications(
        &self,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, LedgerError> {
        let mut tx = self.begin_write(OPERATION).await?;
        let delete = "delete from notifications where id in (select id from notifications \
                        where received_at < $1 and next_at is null order by received_at limit $2)";
        let delete = sqlx::query(delete)
            .bind(before.millis())
            .bind(i64::from(limit));
        let gone = delete
            .execute(tx.connection())
            .await
            .map_err(failed)?
            .rows_affected();
        tx.commit().await?;
        Ok(gone)
    }

    /// Whether a notification that came before this one is sealed: then there was a key when this
    /// one came.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn sealed_a_notification_before(&self, id: i64) -> Result<bool, LedgerError> {
        let sealed =
            "select id from notifications where sealed = 1 and id < $1 order by id limit 1";
        let sealed = sqlx::query(sealed)
            .bind(id)
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?;
        Ok(sealed.is_some())
    }
}

const OPERATION: &str = "keeping notifications";

fn failed(source: sqlx::Error) -> LedgerError {
    LedgerError::of(OPERATION, source)
}

/// Only what is asked for is in the statement, so that an index serves it.
fn statement(filter: &NotificationFilter) -> String {
    let parts = [
        (filter.lane.is_some(), "lane = $3", "$3 is null"),
        (filter.outcome.is_some(), "outcome = $4", "$4 is null"),
        (filter.order_no.is_some(), "order_no = $5", "$5 is null"),
        (
            filter.since.is_some(),
            "received_at >= $6",
            "cast($6 as bigint) is null",
        ),
    ];
    let parts: Vec<&str> = parts
        .into_iter()
        .map(|(asked, one, none)| if asked { one } else { none })
        .collect();
    format!(
        "select * from notifications where id < $1 and {} order by id desc limit $2",
        parts.join(" and ")
    )
}

/// Keeps what one commit was given.
pub(crate) async fn keep(tx: &mut WriteTx, all: &[&NewNotification]) -> Result<(), LedgerError> {
    let mut lines = Vec::with_capacity(all.len());
    let mut places: HashMap<(&str, &str), usize> = HashMap::new();
    let mut repeats: Vec<u64> = Vec::with_capacity(all.len());
    for new in all {
        match places.get(&(new.lane.as_str(), new.digest.as_str())) {
            Some(place) => repeats[*place] += 1,
            None => {
                places.insert((&new.lane, &new.digest), lines.len());
                repeats.push(0);
                lines.push(*new);
            }
        }
    }
    let rows: Vec<_> = lines
        .iter()
        .zip(repeats)
        .map(|(new, repeats)| {
            let NewNotification {
                lane,
                digest,
                received_at,
                headers,
                body,
                sealed,
                order_no,
            } = new;
            json!({
                "lane": lane,
                "digest": digest,
                "received_at": received_at.millis(),
                "repeats": repeats,
                "headers": headers,
                "body": body,
                "sealed": u8::from(*sealed),
                "order_no": order_no,
            })
        })
        .collect();
    sqlx::query(KEEP)
        .bind(list(&rows))
        .execute(tx.connection())
        .await
        .map_err(failed)?;
    Ok(())
}

/// Writes down how a notification ended, or until when it waits. What it once did stays written:
/// applied again, by another process or by a person, it does nothing.
pub(crate) async fn end(
    tx: &mut WriteTx,
    id: i64,
    ending: &NotificationEnd<'_>,
) -> Result<(), LedgerError> {
    let update = "update notifications set outcome = $2, detail = $3, item_id = coalesce($4, item_id), next_at = $5, \
                    tries = tries + 1 where id = $1 and (outcome not in ('applied', 'queried', 'contradicts', 'mismatch') \
                      or $2 not in ('open', 'no_change', 'unknown_order', 'unreadable'))";
    let update = sqlx::query(update)
        .bind(id)
        .bind(ending.outcome.as_str())
        .bind(ending.detail.map(str::to_owned));
    let update = update
        .bind(ending.item_id)
        .bind(ending.next_at.map(Timestamp::millis));
    update.execute(tx.connection()).await.map_err(failed)?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<NotificationRow, LedgerError> {
    let id: i64 = row.try_get("id").map_err(failed)?;
    let word: &str = row.try_get("outcome").map_err(failed)?;
    let count = |name: &str| row.try_get::<i64, _>(name).map_err(failed);
    Ok(NotificationRow {
        id,
        lane: row.try_get("lane").map_err(failed)?,
        digest: row.try_get("digest").map_err(failed)?,
        received_at: Timestamp::from_millis(count("received_at")?),
        repeats: stored_values::unsigned(count("repeats")?, ("notifications", &id, "repeats"))?,
        headers: row.try_get("headers").map_err(failed)?,
        body: row.try_get("body").map_err(failed)?,
        sealed: count("sealed")? != 0,
        order_no: row.try_get("order_no").map_err(failed)?,
        outcome: NotificationOutcome::parse(word)
            .ok_or_else(|| LedgerError::corrupt("notifications", id, "outcome"))?,
        detail: row.try_get("detail").map_err(failed)?,
        item_id: row.try_get("item_id").map_err(failed)?,
        tries: stored_values::unsigned(count("tries")?, ("notifications", &id, "tries"))?,
        next_at: row
            .try_get::<Option<i64>, _>("next_at")
            .map_err(failed)?
            .map(Timestamp::from_millis),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{place, steps};

    #[tokio::test]
    async fn what_is_due_and_every_list_is_found_by_an_index_and_nothing_is_sorted() {
        let by_order = NotificationFilter {
            order_no: Some("O".to_owned()),
            ..NotificationFilter::default()
        };
        let open = NotificationFilter {
            outcome: Some(NotificationOutcome::Open),
            ..NotificationFilter::default()
        };
        let cases = [
            (DUE.to_owned(), "USING INDEX notifications_due (next_at<?)"),
            (
                statement(&NotificationFilter::default()),
                "USING INTEGER PRIMARY KEY (rowid<?)",
            ),
            (
                statement(&by_order),
                "USING INDEX notifications_by_order (order_no=? AND rowid<?)",
            ),
            (
                statement(&open),
                "USING INDEX notifications_by_outcome (outcome=? AND id<?)",
            ),
        ];
        for (statement, step) in cases {
            let steps = steps(&statement).await;
            place(&steps, step);
            assert!(
                steps.iter().all(|step| !step.contains("TEMP B-TREE")),
                "{steps:#?}"
            );
        }
    }
}
