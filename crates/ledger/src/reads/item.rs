//! One item as people see it, by its number or by what a person calls it.

use serde_json::{Map, Value};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use crate::Ledger;
use crate::db::stored_values;
use crate::error::LedgerError;
use crate::items::item_rows::amount_of;
use payrun_domain::ids::{KeyHash, OrderNumber};
use payrun_domain::item::State;
use payrun_domain::message::Message;
use payrun_domain::money::Amount;
use payrun_domain::time::Timestamp;

/// An item as people see it.
#[derive(Debug, Clone)]
pub struct ItemRow {
    /// Its id.
    pub id: i64,
    /// Its job.
    pub job_id: i64,
    /// Its run.
    pub run_id: i64,
    /// The name of its job in the workflow.
    pub job: String,
    /// Its line in the file.
    pub line: u64,
    /// What may happen at most once.
    pub key: String,
    /// The key's fingerprint; none for rows that made no item.
    pub key_hash: Option<KeyHash>,
    /// What the gateway sees; of a row that made no item the order number that it gives.
    pub order_no: Option<String>,
    /// The order number that the user gave.
    pub custom_order_no: Option<String>,
    /// Its version: grows with each move.
    pub version: i64,
    /// Its state.
    pub state: State,
    /// Its amount.
    pub amount: Option<Amount>,
    /// When it is looked at next; none while it is claimed.
    pub next_at: Option<Timestamp>,
    /// While it is claimed: when the claim ends.
    pub lease_until: Option<Timestamp>,
    /// When a number was last claimed for sending; none if never.
    pub sent_at: Option<Timestamp>,
    /// Since when nobody knows what became of it.
    pub unresolved_since: Option<Timestamp>,
    /// How often the gateway was asked about it since.
    pub query_count: u64,
    /// The gateway's number for what it did.
    pub receipt: Option<String>,
    /// Why, where the state alone does not say.
    pub reason: Option<String>,
    /// The same, as it can be said in other languages.
    pub told: Option<Message>,
    /// Who has withdrawn it while it may have been under way, and why.
    pub withdrawn: Option<String>,
    /// When.
    pub withdrawn_at: Option<Timestamp>,
    /// Facts from the reply, a JSON object.
    pub result: Option<String>,
    /// Its checked fields, a JSON object; may hold personal data.
    pub input: String,
    /// The item that has the key.
    pub duplicate_of: Option<i64>,
}

impl ItemRow {
    /// When it is looked at next: when it is due, or when its claim ends.
    pub fn looked_at(&self) -> Option<Timestamp> {
        self.next_at.or(self.lease_until)
    }

    /// The checked fields.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] if they are no JSON object.
    pub fn fields(&self) -> Result<Map<String, Value>, LedgerError> {
        stored_values::json(&self.input, ("items", &self.id, "input"))
    }

    /// The facts from the reply, where there was one.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] if they are no JSON object.
    pub fn facts(&self) -> Result<Option<Map<String, Value>>, LedgerError> {
        self.result
            .as_deref()
            .map(|text| stored_values::json(text, ("items", &self.id, "result")))
            .transpose()
    }
}

impl Ledger {
    /// One item.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn item(&self, id: i64) -> Result<Option<ItemRow>, LedgerError> {
        let query = "select i.*, j.run_id, j.name as job from items as i join jobs as j on j.id = i.job_id where i.id = $1";
        self.rows("reading an item", sqlx::query(query).bind(id))
            .await?
            .first()
            .map(item_row)
            .transpose()
    }

    /// The item a person means by this text: its id, its order number (of any generation), or its
    /// key. Of several rows with a key the one that holds it is meant.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn find_item(&self, name: &str) -> Result<Option<ItemRow>, LedgerError> {
        let columns =
            "select i.*, j.run_id, j.name as job from items as i join jobs as j on j.id = i.job_id";
        let by_key_hash = OrderNumber::parse(name)
            .ok()
            .and_then(|number| number.key_hash());
        if let Some(hash) = by_key_hash {
            let query = sqlx::query(AssertSqlSafe(format!("{columns} where i.key_hash = $1")));
            let rows = self
                .rows("finding an item", query.bind(hash.as_bytes().to_vec()))
                .await?;
            if let Some(row) = rows.first() {
                return item_row(row).map(Some);
            }
        }
        let ways = "i.id in (select id from items where id = $1 union select id from items where custom_order_no = $2 \
                      union select id from items where key = $2)";
        let query = sqlx::query(AssertSqlSafe(format!(
            "{columns} where {ways} order by i.id = $1 desc, i.key_hash is null, i.id limit 1"
        )));
        let query = query
            .bind(name.parse::<i64>().unwrap_or(-1))
            .bind(name.to_owned());
        self.rows("finding an item", query)
            .await?
            .first()
            .map(item_row)
            .transpose()
    }
}

pub(crate) fn item_row(row: &AnyRow) -> Result<ItemRow, LedgerError> {
    let operation = "reading an item";
    let failed = |source| LedgerError::of(operation, source);
    let id: i64 = row.try_get("id").map_err(failed)?;
    let key_hash: Option<&[u8]> = row.try_get("key_hash").map_err(failed)?;
    let line: i64 = row.try_get("line").map_err(failed)?;
    let word: &str = row.try_get("state").map_err(failed)?;
    let instant = |column: &str| {
        let millis: Option<i64> = row.try_get(column).map_err(failed)?;
        Ok::<_, LedgerError>(millis.map(Timestamp::from_millis))
    };
    let queries: i64 = row.try_get("query_count").map_err(failed)?;
    Ok(ItemRow {
        id,
        job_id: row.try_get("job_id").map_err(failed)?,
        run_id: row.try_get("run_id").map_err(failed)?,
        job: row.try_get("job").map_err(failed)?,
        line: stored_values::unsigned(line, ("items", &id, "line"))?,
        key: row.try_get("key").map_err(failed)?,
        key_hash: stored_values::key_hash(key_hash, ("items", &id, "key_hash"))?,
        order_no: row.try_get("order_no").map_err(failed)?,
        custom_order_no: row.try_get("custom_order_no").map_err(failed)?,
        version: row.try_get("version").map_err(failed)?,
        state: State::parse(word).ok_or_else(|| LedgerError::corrupt("items", id, "state"))?,
        amount: amount_of(row, id)?,
        next_at: instant("next_at")?,
        lease_until: instant("lease_until")?,
        sent_at: instant("sent_at")?,
        unresolved_since: instant("unresolved_since")?,
        query_count: stored_values::unsigned(queries, ("items", &id, "query_count"))?,
        receipt: row.try_get("receipt").map_err(failed)?,
        reason: row.try_get("reason").map_err(failed)?,
        told: told(row, REASON).map_err(failed)?,
        withdrawn: row.try_get("withdrawn").map_err(failed)?,
        withdrawn_at: instant("withdrawn_at")?,
        result: row.try_get("result").map_err(failed)?,
        input: row.try_get("input").map_err(failed)?,
        duplicate_of: row.try_get("duplicate_of").map_err(failed)?,
    })
}

/// The columns of why an item is in its state, for [`told`].
pub(super) const REASON: [&str; 2] = ["reason", "reason_message"];

/// What two columns say, in English and as a message that can be said in other languages. What was kept before there
/// were others, and what this version cannot read, is said in English.
pub(super) fn told(
    row: &AnyRow,
    [english, message]: [&str; 2],
) -> Result<Option<Message>, sqlx::Error> {
    let kept: Option<&str> = row.try_get(message)?;
    let message = kept.and_then(|kept| serde_json::from_str(kept).ok());
    let english: Option<String> = row.try_get(english)?;
    Ok(english.map(|reason| message.unwrap_or_else(|| Message::plain(reason))))
}
