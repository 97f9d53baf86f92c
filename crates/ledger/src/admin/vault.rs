//! What is sealed in the ledger, and under which keys. How it is sealed is not known here; only
//! that a sealed value begins with the id of its key (`domain/sealed_text.rs`).

use crate::db::stored_values;
use std::collections::BTreeSet;

use serde::Serialize;
use sqlx::{AssertSqlSafe, Row};

use crate::Ledger;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use payrun_domain::ids::KeyHash;

const OPERATION: &str = "looking for what is sealed";

/// Stands for the key of values that were sealed before keys had ids.
pub const UNNAMED: &str = "-";

/// How many keys there may be; far more than anybody changes in the time that is kept.
const KEYS_MAX: usize = 1_000;

/// The key of an item's sealed values; the index `items_sealed` is made of this very text.
const ITEM_KEY: &str = "case when substr(input, instr(input, '{\"sealed\":\"') + 27, 1) = ':' \
    then substr(input, instr(input, '{\"sealed\":\"') + 11, 16) else '-' end";
const ITEM_SEALED: &str = "instr(input, '{\"sealed\":\"') > 0";

/// The key of a notification; the index `notifications_sealed` is made of this very text.
const NOTIFICATION_KEY: &str =
    "case when substr(body, 17, 1) = ':' then substr(body, 1, 16) else '-' end";
const NOTIFICATION_SEALED: &str = "sealed = 1";

/// What of the ledger is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedKind {
    /// Personal data in the input of items.
    Items,
    /// The bodies of notifications.
    Notifications,
    /// The key that personal references are hashed under.
    ReferenceKey,
}

impl SealedKind {
    /// All of it.
    pub const ALL: [Self; 3] = [Self::Items, Self::Notifications, Self::ReferenceKey];

    /// The words for it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Items => "items",
            Self::Notifications => "notifications",
            Self::ReferenceKey => "keys of references",
        }
    }

    /// The word for one of it.
    pub const fn one(self) -> &'static str {
        match self {
            Self::Items => "item",
            Self::Notifications => "notification",
            Self::ReferenceKey => "key of references",
        }
    }

    /// The table that has it.
    pub const fn table(self) -> &'static str {
        self.parts().1
    }

    /// The next key after `$1` that something is sealed under.
    fn next_key(self) -> String {
        let (key, table, sealed) = self.parts();
        format!(
            "select {key} as k from {table} where {sealed} and {key} > $1 order by {key} limit 1"
        )
    }

    fn count(self) -> String {
        let (key, table, sealed) = self.parts();
        format!("select count(*) from {table} where {sealed} and {key} = $1")
    }

    /// A page of what is sealed under a key.
    fn page(self) -> String {
        let (key, table, sealed) = self.parts();
        let what = match self {
            // An approval from before sealed values had a digest is bound to the very text.
            Self::Items => {
                "id, key_hash, null as digest, input as text, \
                cast(case when exists (select 1 from approvals as a where a.job_id = items.job_id) then 1 else 0 end as bigint) as approved"
            }
            Self::Notifications => {
                "id, null as key_hash, digest, body as text, cast(0 as bigint) as approved"
            }
            Self::ReferenceKey => {
                "id, null as key_hash, null as digest, sealed as text, cast(0 as bigint) as approved"
            }
        };
        format!(
            "select {what} from {table} where {sealed} and {key} = $1 and id > $2 order by id limit $3"
        )
    }

    const fn replace(self) -> &'static str {
        match self {
            Self::Items => REPLACE_INPUT,
            Self::Notifications => REPLACE_BODY,
            Self::ReferenceKey => REPLACE_REFERENCE_KEY,
        }
    }

    const fn parts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Items => (ITEM_KEY, "items", ITEM_SEALED),
            Self::Notifications => (NOTIFICATION_KEY, "notifications", NOTIFICATION_SEALED),
            // There is one row at most.
            Self::ReferenceKey => ("substr(sealed, 1, 16)", "reference_key", "id = 1"),
        }
    }
}

const REPLACE_INPUT: &str = "update items set input = s.value ->> 'text' from json_each($1) as s \
    where items.id = cast(s.value ->> 'id' as bigint)";
const REPLACE_BODY: &str = "update notifications set body = s.value ->> 'text' from json_each($1) as s \
    where notifications.id = cast(s.value ->> 'id' as bigint)";

const REPLACE_REFERENCE_KEY: &str = "update reference_key set sealed = s.value ->> 'text' from json_each($1) as s \
    where reference_key.id = cast(s.value ->> 'id' as bigint)";

/// A row's new text.
#[derive(Serialize)]
struct ResealedText {
    id: i64,
    text: String,
}

/// Something of the ledger that is sealed.
#[derive(Debug)]
pub struct SealedRow {
    /// Its id.
    pub id: i64,
    /// Of an item: the fingerprint of its key.
    pub key_hash: Option<KeyHash>,
    /// Of a notification: its digest.
    pub digest: Option<String>,
    /// The item's input, or the notification's body.
    pub text: String,
    /// Whether an approval is bound to it.
    pub approved: bool,
}

/// What became of a page.
#[derive(Debug, Default)]
pub struct ResealedPage {
    /// The last id that was looked at; none if there was nothing more.
    pub last: Option<i64>,
    /// How many were looked at.
    pub seen: u64,
    /// Those that stay as they are, and why.
    pub left: Vec<(i64, String)>,
}

/// Makes the new text of a row; or says why it stays as it is.
pub type ResealRow<'a> = &'a (dyn Fn(&SealedRow) -> Result<String, String> + Sync);

impl Ledger {
    /// The keys that something is sealed under; [`UNNAMED`] for values that name none.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn sealing_keys(&self) -> Result<BTreeSet<String>, LedgerError> {
        let mut keys = BTreeSet::new();
        for what in SealedKind::ALL {
            let (statement, mut last) = (what.next_key(), String::new());
            while keys.len() < KEYS_MAX {
                let next = sqlx::query_scalar(AssertSqlSafe(statement.clone())).bind(last);
                let next: Option<String> = next.fetch_optional(&self.read).await.map_err(failed)?;
                let Some(next) = next else { break };
                keys.insert(next.clone());
                last = next;
            }
        }
        Ok(keys)
    }

    /// How much is sealed under a key.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn sealed_under(&self, what: SealedKind, key: &str) -> Result<u64, LedgerError> {
        let count = sqlx::query_scalar(AssertSqlSafe(what.count())).bind(key.to_owned());
        let count: i64 = count.fetch_one(&self.read).await.map_err(failed)?;
        stored_values::count(count, "counting what is sealed")
    }

    /// The proof of the one key that a ledger was begun with before keys had ids.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn vault_proof(&self) -> Result<Option<String>, LedgerError> {
        sqlx::query_scalar("select proof from encryption_key_check where id = 1")
            .fetch_optional(&self.read)
            .await
            .map_err(failed)
    }

    /// Replaces the next page of what is sealed under a key, after an id, in one commit.
    ///
    /// # Errors
    /// Whatever the database says; nothing of the page was replaced then.
    pub async fn reseal_page(
        &self,
        what: SealedKind,
        (key, after): (&str, i64),
        limit: u32,
        reseal: ResealRow<'_>,
    ) -> Result<ResealedPage, LedgerError> {
        let mut tx = self.begin_write("sealing under another key").await?;
        let page = sqlx::query(AssertSqlSafe(what.page()))
            .bind(key.to_owned())
            .bind(after)
            .bind(i64::from(limit));
        let rows = page.fetch_all(tx.connection()).await.map_err(failed)?;
        let (mut page, mut new) = (ResealedPage::default(), Vec::with_capacity(rows.len()));
        for row in &rows {
            let key_hash: Option<&[u8]> = row.try_get("key_hash").map_err(failed)?;
            let id: i64 = row.try_get("id").map_err(failed)?;
            let row = SealedRow {
                id,
                key_hash: stored_values::key_hash(key_hash, ("items", &id, "key_hash"))?,
                digest: row.try_get("digest").map_err(failed)?,
                text: row.try_get("text").map_err(failed)?,
                approved: row.try_get::<i64, _>("approved").map_err(failed)? != 0,
            };
            page.last = Some(row.id);
            page.seen += 1;
            match reseal(&row) {
                Ok(text) => new.push(ResealedText { id: row.id, text }),
                Err(why) => page.left.push((row.id, why)),
            }
        }
        if new.is_empty() {
            tx.rollback().await?;
            return Ok(page);
        }
        sqlx::query(what.replace())
            .bind(list(&new))
            .execute(tx.connection())
            .await
            .map_err(failed)?;
        tx.commit().await?;
        Ok(page)
    }
}

fn failed(source: sqlx::Error) -> LedgerError {
    LedgerError::of(OPERATION, source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{place, steps};

    #[tokio::test]
    async fn what_is_sealed_is_found_by_an_index_however_much_there_is() {
        for (what, index) in [
            (SealedKind::Items, "items_sealed"),
            (SealedKind::Notifications, "notifications_sealed"),
        ] {
            for statement in [what.next_key(), what.count(), what.page()] {
                let steps = steps(&statement).await;
                place(&steps, &format!("INDEX {index} (<expr>"));
                assert!(
                    steps
                        .iter()
                        .all(|step| !step.contains("TEMP B-TREE") && !step.starts_with("SCAN")),
                    "{steps:#?}"
                );
            }
            let steps = steps(what.replace()).await;
            let list = place(&steps, "VIRTUAL TABLE");
            assert!(
                list < place(&steps, "USING INTEGER PRIMARY KEY"),
                "{steps:#?}"
            );
        }
    }
}
