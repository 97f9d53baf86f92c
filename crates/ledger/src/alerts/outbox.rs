//! The outbox: notices are gathered into mails, one row a mail and recipient, and each mail is
//! claimed by one process at a time.
//!
//! Mails are at least once. A claim has a lease; where a process dies while it sends, the mail is
//! sent again under the same message id. What a server refused for good, or did not take for days,
//! stays here for people to see.

use crate::db::stored_values;
use serde::Serialize;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::alerts::incidents::kind_of;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use payrun_domain::alert::AlertKind;
use payrun_domain::time::Timestamp;

/// The longest answer of a server that is kept, in characters.
const ANSWER_MAX: usize = 500;

/// Whether an incident was opened, or is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertEvent {
    /// Opened.
    Opened,
    /// Over.
    Closed,
}

impl AlertEvent {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Opened, Self::Closed];

    /// The word for it, as the ledger spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Closed => "closed",
        }
    }
}

/// A notice that a mail tells of.
#[derive(Serialize)]
struct MailedNotice {
    incident_id: i64,
    phase: &'static str,
}

/// Somebody for whom notices are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueRecipient {
    /// Who.
    pub recipient: String,
    /// Whether one of them is urgent.
    pub urgent: bool,
    /// When somebody's last mail was made.
    pub last_mail: Option<Timestamp>,
}

/// One notice with its incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertEventRow {
    /// The incident.
    pub incident_id: i64,
    /// What happened to it.
    pub event: AlertEvent,
    /// What kind it is.
    pub kind: AlertKind,
    /// Since when it lasts.
    pub since: Timestamp,
    /// When it was over; none while it lasts.
    pub closed_at: Option<Timestamp>,
    /// What a mail says of it, as JSON.
    pub payload: String,
}

/// A mail to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMail {
    /// What it must not be made twice for.
    pub name: String,
    /// To whom.
    pub recipient: String,
    /// Its message id.
    pub message_id: String,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub plain: String,
    /// The same as HTML.
    pub html: String,
    /// The names of the files that hang on it; of a mail that is listed, none are read.
    pub attachments: Vec<String>,
}

/// Where a mail is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailState {
    /// To be sent.
    Waiting,
    /// A server took it.
    Sent,
    /// A server refused it for good.
    Refused,
    /// No server took it for days.
    Expired,
}

impl MailState {
    /// All.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Sent, Self::Refused, Self::Expired];

    /// The word for it, as the ledger spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::Expired => "expired",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// A mail of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailRow {
    /// Its id.
    pub id: i64,
    /// What it is.
    pub mail: NewMail,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where it is.
    pub state: MailState,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried next.
    pub next_at: Timestamp,
    /// What the server said last.
    pub answer: Option<String>,
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// It ended like this.
    Ended(MailState),
    /// It is tried again.
    Again(Timestamp),
}

const MAIL: &str = "id, name, recipient, message_id, subject, plain, html, created_at, state, tries, next_at, answer";

impl Ledger {
    /// For whom notices are due.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn waiting_for_mail(&self, now: Timestamp) -> Result<Vec<DueRecipient>, LedgerError> {
        let failed = |source| LedgerError::of("looking for notices", source);
        let query = "select w.recipient, w.urgent, (select max(m.created_at) from mails as m where m.recipient = w.recipient) \
                     from (select recipient, max(urgent) as urgent from notices where mail_id is null and due_at <= $1 \
                             group by recipient limit 200) as w";
        let rows = sqlx::query(query)
            .bind(now.millis())
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        rows.iter()
            .map(|row| {
                let last: Option<i64> = row.try_get(2).map_err(failed)?;
                Ok(DueRecipient {
                    recipient: row.try_get(0).map_err(failed)?,
                    urgent: row.try_get::<i64, _>(1).map_err(failed)? != 0,
                    last_mail: last.map(Timestamp::from_millis),
                })
            })
            .collect()
    }

    /// For whom notices wait for their time: how many, and until when.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn waiting_alerts(&self) -> Result<Vec<(String, u64, Timestamp)>, LedgerError> {
        const OPERATION: &str = "looking for notices";
        let failed = |source| LedgerError::of(OPERATION, source);
        let query = "select recipient, count(*), min(due_at) from notices where mail_id is null \
                     group by recipient order by recipient limit 200";
        let rows = sqlx::query(query)
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        let waiting = |row: &AnyRow| {
            Ok((
                row.try_get(0).map_err(failed)?,
                stored_values::count(row.try_get(1).map_err(failed)?, OPERATION)?,
                Timestamp::from_millis(row.try_get(2).map_err(failed)?),
            ))
        };
        rows.iter().map(waiting).collect()
    }

    /// Somebody's notices that are due, the urgent first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn due_alerts(
        &self,
        recipient: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<AlertEventRow>, LedgerError> {
        let query = "select n.incident_id, n.phase, e.kind, e.since, e.closed_at, e.payload from notices as n \
                     join incidents as e on e.id = n.incident_id \
                     where n.recipient = $1 and n.mail_id is null and n.due_at <= $2 \
                     order by n.urgent desc, n.incident_id, n.phase desc limit $3";
        let rows = sqlx::query(query)
            .bind(recipient)
            .bind(now.millis())
            .bind(i64::from(limit));
        let rows = rows
            .fetch_all(&self.read)
            .await
            .map_err(|source| LedgerError::of("reading notices", source))?;
        rows.iter().map(notice_row).collect()
    }

    /// Puts a mail into the outbox, and with it the notices it tells of; false if another process
    /// was first.
    ///
    /// # Errors
    /// Whatever the database says; then nothing has changed.
    pub async fn post(
        &self,
        mail: &NewMail,
        notices: &[(i64, AlertEvent)],
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let failed = |source| LedgerError::of("posting a mail", source);
        let mut tx = self.begin_write("posting a mail").await?;
        let insert = "insert into mails (name, recipient, message_id, subject, plain, html, created_at, state, next_at) \
                      values ($1, $2, $3, $4, $5, $6, $7, 'waiting', $7) on conflict do nothing returning id";
        let id: Option<i64> = sqlx::query_scalar(insert)
            .bind(&mail.name)
            .bind(&mail.recipient)
            .bind(&mail.message_id)
            .bind(&mail.subject)
            .bind(&mail.plain)
            .bind(&mail.html)
            .bind(now.millis())
            .fetch_optional(tx.connection())
            .await
            .map_err(failed)?;
        let Some(id) = id else {
            tx.rollback().await?;
            return Ok(false);
        };
        let attach = "insert into mail_attachments (mail_id, name) select $1, atom from json_each($2) \
                      where true on conflict do nothing";
        sqlx::query(attach)
            .bind(id)
            .bind(list(&mail.attachments))
            .execute(tx.connection())
            .await
            .map_err(failed)?;
        let told: Vec<MailedNotice> = notices
            .iter()
            .map(|(incident, event)| MailedNotice {
                incident_id: *incident,
                phase: event.as_str(),
            })
            .collect();
        let tell = "update notices set mail_id = $1 where recipient = $2 and mail_id is null and exists \
                    (select 1 from json_each($3) as l where cast(l.value ->> 'incident_id' as bigint) = notices.incident_id \
                       and l.value ->> 'phase' = notices.phase)";
        let tell = sqlx::query(tell)
            .bind(id)
            .bind(&mail.recipient)
            .bind(list(&told));
        let marked = tell
            .execute(tx.connection())
            .await
            .map_err(failed)?
            .rows_affected();
        if marked != told.len() as u64 {
            tx.rollback().await?;
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Whether a mail of this name was made.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn is_posted(&self, name: &str) -> Result<bool, LedgerError> {
        let found = sqlx::query("select id from mails where name = $1")
            .bind(name)
            .fetch_optional(&self.read)
            .await;
        found
            .map(|row| row.is_some())
            .map_err(|source| LedgerError::of("looking for a mail", source))
    }

    /// Claims mails that are due, for nobody else to send until the lease ends.
    ///
    /// # Errors
    /// Whatever the database says; then none is claimed.
    pub async fn claim_mails(
        &self,
        lease: i64,
        now: Timestamp,
        until: Timestamp,
        limit: u32,
    ) -> Result<Vec<MailRow>, LedgerError> {
        let failed = |source| LedgerError::of("claiming mails", source);
        // What is in the future was written by a clock that was ahead, and waits for nothing.
        let due = "select id from mails where state = 'waiting' and (next_at <= $1 or created_at > $1) \
                   and (lease_until is null or lease_until <= $1 or lease_until > $3) order by next_at limit $2";
        let query = || {
            sqlx::query_scalar::<_, i64>(due)
                .bind(now.millis())
                .bind(i64::from(limit))
                .bind(until.millis())
        };
        // Asked many times for each time that there is something: looking takes no write lock.
        if query()
            .fetch_optional(&self.read)
            .await
            .map_err(failed)?
            .is_none()
        {
            return Ok(Vec::new());
        }
        let mut tx = self.begin_write("claiming mails").await?;
        let ids = query().fetch_all(tx.connection()).await.map_err(failed)?;
        let mut claimed = Vec::with_capacity(ids.len());
        for id in ids {
            let claim = "update mails set lease = $2, lease_until = $3, tries = tries + 1 where id = $1 returning ";
            let claim = sqlx::AssertSqlSafe(format!("{claim}{MAIL}"));
            let row = sqlx::query(claim).bind(id).bind(lease).bind(until.millis());
            let mut mail = mail_row(&row.fetch_one(tx.connection()).await.map_err(failed)?)?;
            let names =
                "select name from mail_attachments where mail_id = $1 order by name limit 1000";
            let names = sqlx::query_scalar(names).bind(id);
            mail.mail.attachments = names.fetch_all(tx.connection()).await.map_err(failed)?;
            claimed.push(mail);
        }
        tx.commit().await?;
        Ok(claimed)
    }

    /// Notes what became of a try; false if the claim was no longer ours.
    ///
    /// # Errors
    /// Whatever the database says; the mail is then sent again when the lease has ended.
    pub async fn settle_mail(
        &self,
        id: i64,
        lease: i64,
        outcome: &DeliveryOutcome,
        answer: &str,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        let answer: String = answer.chars().take(ANSWER_MAX).collect();
        let (state, due, ended) = match outcome {
            DeliveryOutcome::Ended(state) => (*state, None, Some(now.millis())),
            DeliveryOutcome::Again(due) => (MailState::Waiting, Some(due.millis()), None),
        };
        let mut tx = self.begin_write("noting what became of a mail").await?;
        let settle = "update mails set state = $3, next_at = coalesce($4, next_at), ended_at = $5, answer = $6, \
                      lease = null, lease_until = null where id = $1 and lease = $2";
        let settled = sqlx::query(settle)
            .bind(id)
            .bind(lease)
            .bind(state.as_str())
            .bind(due)
            .bind(ended)
            .bind(answer)
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of("noting what became of a mail", source))?;
        tx.commit().await?;
        Ok(settled.rows_affected() > 0)
    }

    /// Mails that wait, and those that were refused or given up, newest first, from before one on.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn undelivered_mails(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<MailRow>, LedgerError> {
        let query = format!(
            "select {MAIL} from mails where id < $1 and id in (select id from mails where state = 'waiting' \
               union select id from mails where state in ('refused', 'expired')) order by id desc limit $2"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit));
        let rows = rows
            .fetch_all(&self.read)
            .await
            .map_err(|source| LedgerError::of("listing mails", source))?;
        rows.iter().map(mail_row).collect()
    }

    /// Has what was refused or given up since an instant sent again; says how many.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn resend_mails(&self, since: Timestamp, now: Timestamp) -> Result<u64, LedgerError> {
        let mut tx = self.begin_write("sending mails again").await?;
        let again = "update mails set state = 'waiting', next_at = $2, created_at = $2, tries = 0, ended_at = null \
                     where state in ('refused', 'expired') and created_at >= $1";
        let again = sqlx::query(again)
            .bind(since.millis())
            .bind(now.millis())
            .execute(tx.connection())
            .await;
        let again = again.map_err(|source| LedgerError::of("sending mails again", source))?;
        tx.commit().await?;
        Ok(again.rows_affected())
    }

    /// Deletes mails and incidents that ended before an instant, some at a time; says how many.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn prune_alerts(&self, before: Timestamp) -> Result<u64, LedgerError> {
        const SOME: i64 = 500;
        let mut tx = self.begin_write("pruning alerts").await?;
        let mut pruned = 0;
        for delete in [
            "delete from mail_attachments where mail_id in (select id from mails where ended_at < $1 order by ended_at, id limit $2)",
            "delete from mails where id in (select id from mails where ended_at < $1 order by ended_at, id limit $2)",
            "delete from notices where incident_id in (select id from incidents where closed_at < $1 order by closed_at limit $2)",
            "delete from incidents where id in (select e.id from incidents as e where e.closed_at < $1 and not exists \
               (select 1 from notices as n where n.incident_id = e.id) order by e.closed_at limit $2)",
        ] {
            let done = sqlx::query(delete)
                .bind(before.millis())
                .bind(SOME)
                .execute(tx.connection())
                .await;
            pruned += done
                .map_err(|source| LedgerError::of("pruning alerts", source))?
                .rows_affected();
        }
        tx.commit().await?;
        Ok(pruned)
    }
}

fn notice_row(row: &AnyRow) -> Result<AlertEventRow, LedgerError> {
    let failed = |source| LedgerError::of("reading notices", source);
    let event: &str = row.try_get(1).map_err(failed)?;
    Ok(AlertEventRow {
        incident_id: row.try_get(0).map_err(failed)?,
        event: if event == AlertEvent::Opened.as_str() {
            AlertEvent::Opened
        } else {
            AlertEvent::Closed
        },
        kind: kind_of(row, 2)?,
        since: row.try_get(3).map(Timestamp::from_millis).map_err(failed)?,
        closed_at: row
            .try_get::<Option<i64>, _>(4)
            .map_err(failed)?
            .map(Timestamp::from_millis),
        payload: row.try_get(5).map_err(failed)?,
    })
}

fn mail_row(row: &AnyRow) -> Result<MailRow, LedgerError> {
    let failed = |source| LedgerError::of("reading a mail", source);
    let text = |column: usize| row.try_get::<String, _>(column).map_err(failed);
    let instant = |column: usize| {
        row.try_get(column)
            .map(Timestamp::from_millis)
            .map_err(failed)
    };
    let (id, state): (i64, String) = (row.try_get(0).map_err(failed)?, text(8)?);
    Ok(MailRow {
        id,
        mail: NewMail {
            name: text(1)?,
            recipient: text(2)?,
            message_id: text(3)?,
            subject: text(4)?,
            plain: text(5)?,
            html: text(6)?,
            attachments: Vec::new(),
        },
        created_at: instant(7)?,
        state: MailState::parse(&state)
            .ok_or_else(|| LedgerError::corrupt("mails", id, "state"))?,
        tries: stored_values::unsigned(row.try_get(9).map_err(failed)?, ("mails", &id, "tries"))?,
        next_at: instant(10)?,
        answer: row.try_get(11).map_err(failed)?,
    })
}
