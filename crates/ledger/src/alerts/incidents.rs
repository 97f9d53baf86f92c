//! Incidents: from their beginning to their end, or what happens once; and who is to hear of it.
//!
//! Every change is made once, whoever makes it first: what finds the row as it is no longer changes
//! nothing.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use payrun_domain::alert::AlertKind;
use payrun_domain::time::Timestamp;

/// Before the names of workflows in `alert_checkpoints`.
const WORKFLOW: &str = "workflow/";

/// How many incidents are open at most that are looked at.
const OPEN_MAX: i64 = 5_000;

/// An incident that is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentRow {
    /// Its id.
    pub id: i64,
    /// What it is about.
    pub key: String,
    /// What kind it is.
    pub kind: AlertKind,
    /// Since when it lasts.
    pub since: Timestamp,
    /// Since when people are told; none while it has not lasted for as long as its rule says.
    pub opened_at: Option<Timestamp>,
    /// Since when it has not been seen.
    pub gone_since: Option<Timestamp>,
    /// What a mail says of it, as JSON.
    pub payload: String,
}

/// An incident to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIncident {
    /// What it is about.
    pub key: String,
    /// What kind it is.
    pub kind: AlertKind,
    /// Since when it lasts.
    pub since: Timestamp,
    /// What a mail says of it, as JSON.
    pub payload: String,
    /// Who hears of it; none while it has not lasted for long enough.
    pub recipients: Option<Recipients>,
}

/// Who hears of something, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipients {
    /// Addresses.
    pub to: Vec<String>,
    /// Not before.
    pub due_at: Timestamp,
}

/// What becomes of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IncidentChange {
    /// It begins.
    Begin(NewIncident),
    /// It has lasted for long enough.
    Open(i64, Recipients),
    /// What is said of it is another thing now.
    Tell(i64, String),
    /// It is no longer seen.
    Miss(i64),
    /// It is seen again.
    Meet(i64),
    /// It is over; those who heard of it hear that from this instant on.
    Close(i64, Timestamp),
    /// It is over, and nobody hears of that: no rule is about it any more, or nobody had heard of
    /// it.
    Drop(i64),
}

impl Ledger {
    /// The incidents that are not over, oldest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn open_incidents(&self) -> Result<Vec<IncidentRow>, LedgerError> {
        let failed = |source| LedgerError::of("reading incidents", source);
        let query = "select id, key, kind, since, opened_at, gone_since, payload from incidents where closed_at is null \
                     order by id limit $1";
        let rows = sqlx::query(query)
            .bind(OPEN_MAX)
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        rows.iter().map(incident_row).collect()
    }

    /// Which of these events were told before.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn known_events(&self, keys: &[&str]) -> Result<Vec<String>, LedgerError> {
        let failed = |source| LedgerError::of("reading incidents", source);
        // `cross join`: the list first, then what it names by an index.
        let query = "select e.key from json_each($1) as l cross join incidents as e \
                     where e.key = l.atom and (e.closed_at is null or e.lasting = 0)";
        let known = sqlx::query_scalar(query)
            .bind(list(keys))
            .fetch_all(&self.read)
            .await;
        known.map_err(failed)
    }

    /// Makes changes, all or none; says how many had not been made before.
    ///
    /// # Errors
    /// Whatever the database says; then nothing has changed.
    pub async fn change_incidents(
        &self,
        changes: &[IncidentChange],
        now: Timestamp,
    ) -> Result<usize, LedgerError> {
        let mut tx = self.begin_write("changing incidents").await?;
        let mut made = 0;
        for change in changes {
            made += usize::from(make(&mut tx, change, now).await?);
        }
        tx.commit().await?;
        Ok(made)
    }

    /// Up to when events were looked for; none if never.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn checked_until(&self) -> Result<Option<Timestamp>, LedgerError> {
        let at: Option<i64> =
            sqlx::query_scalar("select at from alert_checkpoints where name = 'events'")
                .fetch_optional(&self.read)
                .await
                .map_err(|source| LedgerError::of("reading when events were looked for", source))?;
        Ok(at.map(Timestamp::from_millis))
    }

    /// Since when each of these workflows is watched: from now on, where it was not before.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn watched_since(
        &self,
        workflows: &[&str],
        now: Timestamp,
    ) -> Result<HashMap<String, Timestamp>, LedgerError> {
        let failed = |source| LedgerError::of("reading what is watched", source);
        let names: Vec<String> = workflows
            .iter()
            .map(|name| format!("{WORKFLOW}{name}"))
            .collect();
        // `cross join`: the list first, then what it names by an index.
        let query = "select s.name, s.at from json_each($1) as l cross join alert_checkpoints as s where s.name = l.atom";
        let known = sqlx::query(query)
            .bind(list(&names))
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        let mut since = HashMap::with_capacity(names.len());
        for row in &known {
            let (name, at): (String, i64) = (
                row.try_get(0).map_err(failed)?,
                row.try_get(1).map_err(failed)?,
            );
            since.insert(
                name[WORKFLOW.len()..].to_owned(),
                Timestamp::from_millis(at),
            );
        }
        let new: Vec<&String> = names
            .iter()
            .filter(|name| !since.contains_key(&name[WORKFLOW.len()..]))
            .collect();
        if !new.is_empty() {
            let mut tx = self.begin_write("noting what is watched").await?;
            let note = "insert into alert_checkpoints (name, at) select atom, cast($2 as bigint) from json_each($1) where true \
                        on conflict do nothing";
            let noted = sqlx::query(note).bind(list(&new)).bind(now.millis());
            noted.execute(tx.connection()).await.map_err(failed)?;
            tx.commit().await?;
            since.extend(
                new.iter()
                    .map(|name| (name[WORKFLOW.len()..].to_owned(), now)),
            );
        }
        Ok(since)
    }

    /// Notes up to when events were looked for.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn store_checked_until(&self, until: Timestamp) -> Result<(), LedgerError> {
        let mut tx = self
            .begin_write("noting when events were looked for")
            .await?;
        let note = "insert into alert_checkpoints (name, at) values ('events', $1) \
                    on conflict (name) do update set at = excluded.at";
        let noted = sqlx::query(note)
            .bind(until.millis())
            .execute(tx.connection())
            .await;
        noted.map_err(|source| LedgerError::of("noting when events were looked for", source))?;
        tx.commit().await
    }
}

/// Makes one change; says whether it was not made before.
async fn make(
    tx: &mut WriteTx,
    change: &IncidentChange,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let failed = |source| LedgerError::of("changing incidents", source);
    let at = now.millis();
    let query = match change {
        IncidentChange::Begin(incident) => return begin(tx, incident, now).await,
        IncidentChange::Open(id, recipients) => return open(tx, *id, recipients, now).await,
        IncidentChange::Close(id, due) => return close(tx, *id, *due, now).await,
        IncidentChange::Tell(id, payload) => {
            sqlx::query("update incidents set payload = $2 where id = $1 and closed_at is null")
                .bind(*id)
                .bind(payload)
        }
        IncidentChange::Miss(id) => {
            let miss = "update incidents set gone_since = $2 where id = $1 and gone_since is null and closed_at is null";
            sqlx::query(miss).bind(*id).bind(at)
        }
        IncidentChange::Meet(id) => sqlx::query(
            "update incidents set gone_since = null where id = $1 and closed_at is null",
        )
        .bind(*id),
        IncidentChange::Drop(id) => {
            sqlx::query("update incidents set closed_at = $2 where id = $1 and closed_at is null")
                .bind(*id)
                .bind(at)
        }
    };
    let made = query.execute(tx.connection()).await.map_err(failed)?;
    Ok(made.rows_affected() > 0)
}

async fn begin(
    tx: &mut WriteTx,
    incident: &NewIncident,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let failed = |source| LedgerError::of("beginning an incident", source);
    let lasting = incident.kind.is_lasting();
    let opened_at = incident.recipients.as_ref().map(|_| now.millis());
    let insert = "insert into incidents (key, kind, lasting, since, opened_at, closed_at, payload) \
                  values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing returning id";
    let id: Option<i64> = sqlx::query_scalar(insert)
        .bind(&incident.key)
        .bind(incident.kind.as_str())
        .bind(i64::from(lasting))
        .bind(incident.since.millis())
        .bind(opened_at)
        .bind(opened_at.filter(|_| !lasting))
        .bind(&incident.payload)
        .fetch_optional(tx.connection())
        .await
        .map_err(failed)?;
    if let (Some(id), Some(recipients)) = (id, &incident.recipients) {
        notify(tx, id, recipients, incident.kind).await?;
    }
    Ok(id.is_some())
}

async fn open(
    tx: &mut WriteTx,
    id: i64,
    recipients: &Recipients,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let failed = |source| LedgerError::of("opening an incident", source);
    let open = "update incidents set opened_at = $2 where id = $1 and opened_at is null and closed_at is null returning kind";
    let row = sqlx::query(open)
        .bind(id)
        .bind(now.millis())
        .fetch_optional(tx.connection())
        .await
        .map_err(failed)?;
    let Some(row) = row else { return Ok(false) };
    notify(tx, id, recipients, kind_of(&row, 0)?).await?;
    Ok(true)
}

async fn notify(
    tx: &mut WriteTx,
    id: i64,
    recipients: &Recipients,
    kind: AlertKind,
) -> Result<(), LedgerError> {
    let due_at = not_before(tx, id, recipients.due_at).await?;
    let notify = "insert into notices (incident_id, recipient, phase, due_at, urgent) \
                  select cast($1 as bigint), atom, 'opened', cast($3 as bigint), cast($4 as bigint) \
                  from json_each($2) where true on conflict do nothing";
    let notified = sqlx::query(notify)
        .bind(id)
        .bind(list(&recipients.to))
        .bind(due_at.millis())
        .bind(i64::from(kind.is_urgent()))
        .execute(tx.connection())
        .await;
    notified
        .map(|_| ())
        .map_err(|source| LedgerError::of("opening an incident", source))
}

/// When a notice of an incident is due that would be due at an instant: where its key is muted, not
/// before that ends.
async fn not_before(
    tx: &mut WriteTx,
    incident: i64,
    due: Timestamp,
) -> Result<Timestamp, LedgerError> {
    let muted =
        "select m.until from incidents as i join alert_mutes as m on m.key = i.key where i.id = $1";
    let until: Option<i64> = sqlx::query_scalar(muted)
        .bind(incident)
        .fetch_optional(tx.connection())
        .await
        .map_err(|source| LedgerError::of("looking for what is muted", source))?;
    Ok(until.map_or(due, |until| due.max(Timestamp::from_millis(until))))
}

async fn close(
    tx: &mut WriteTx,
    id: i64,
    due: Timestamp,
    now: Timestamp,
) -> Result<bool, LedgerError> {
    let failed = |source| LedgerError::of("closing an incident", source);
    let close = "update incidents set closed_at = $2 where id = $1 and closed_at is null";
    let closed = sqlx::query(close)
        .bind(id)
        .bind(now.millis())
        .execute(tx.connection())
        .await
        .map_err(failed)?;
    if closed.rows_affected() == 0 {
        return Ok(false);
    }
    let due = not_before(tx, id, due).await?;
    let notify = "insert into notices (incident_id, recipient, phase, due_at, urgent) \
                  select n.incident_id, n.recipient, 'closed', cast($2 as bigint), 0 from notices as n \
                  where n.incident_id = $1 and n.phase = 'opened' on conflict do nothing";
    sqlx::query(notify)
        .bind(id)
        .bind(due.millis())
        .execute(tx.connection())
        .await
        .map_err(failed)?;
    Ok(true)
}

pub(crate) fn kind_of(row: &AnyRow, column: usize) -> Result<AlertKind, LedgerError> {
    let word: &str = row
        .try_get(column)
        .map_err(|source| LedgerError::of("reading incidents", source))?;
    AlertKind::parse(word).ok_or_else(|| LedgerError::corrupt("incidents", word, "kind"))
}

fn incident_row(row: &AnyRow) -> Result<IncidentRow, LedgerError> {
    let failed = |source| LedgerError::of("reading incidents", source);
    let instant = |column: usize| {
        row.try_get::<Option<i64>, _>(column)
            .map_err(failed)
            .map(|at| at.map(Timestamp::from_millis))
    };
    Ok(IncidentRow {
        id: row.try_get(0).map_err(failed)?,
        key: row.try_get(1).map_err(failed)?,
        kind: kind_of(row, 2)?,
        since: row.try_get(3).map(Timestamp::from_millis).map_err(failed)?,
        opened_at: instant(4)?,
        gone_since: instant(5)?,
        payload: row.try_get(6).map_err(failed)?,
    })
}
