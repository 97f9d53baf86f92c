//! Items that do again, with other content, what an earlier item with their key did not bring
//! about.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::db::stored_values::{self, StoredAt};
use crate::error::LedgerError;
use crate::items::item_rows::{ChangeBatch, ItemChange, ItemRecord, hex, list};
use crate::planning::plan::PlanWriter;
use payrun_domain::history::EventKind;
use payrun_domain::ids::KeyHash;
use payrun_domain::item::{Move, State};
use payrun_domain::message::Message;
use payrun_domain::money::Amount;

/// Whether an item does again what another one with its key did not bring about.
#[derive(Debug, Clone)]
pub enum ReplacementCheck {
    /// Its kind never does that.
    Never,
    /// Its kind does, and it is no such item.
    Possible,
    /// Its kind does, and the item that has its key says something else (another buyer) and cannot
    /// be replaced.
    TooLate,
    /// An earlier row of the run has its key with other personal data, which its fingerprint does
    /// not cover.
    Contradicts,
    /// It is one.
    Replaces(Box<ReplacedItem>),
}

impl ReplacementCheck {
    /// What it does again, if it does.
    pub fn replaces(&self) -> Option<&ReplacedItem> {
        match self {
            Self::Replaces(of) => Some(of),
            Self::Never | Self::Possible | Self::TooLate | Self::Contradicts => None,
        }
    }
}

/// What an item does again with other content, under the next generation of its key.
#[derive(Debug, Clone)]
pub struct ReplacedItem {
    /// The item of before.
    pub earlier: EarlierItem,
    /// Whether all that makes it the same thing is as it was.
    pub same_terms: bool,
}

impl ReplacedItem {
    /// The fact of an item's result that names the item it files again.
    pub const FACT: &str = "files_again";
    /// The fact that says whether its terms are the same.
    pub const SAME_TERMS: &str = "same_terms";
    /// The fact of the item of before that names the one that files it again.
    pub const BY: &str = "filed_again_as";

    /// The result that the new item begins with.
    pub(super) fn result(&self) -> String {
        json!({ Self::FACT: self.earlier.stored.id, Self::SAME_TERMS: self.same_terms }).to_string()
    }
}

/// An item that has a key already, with its content.
#[derive(Debug, Clone)]
pub struct EarlierItem {
    stored: ItemRecord,
    run_id: i64,
    content_hash: Option<KeyHash>,
    reason: Option<String>,
    pruned: bool,
}

impl EarlierItem {
    /// Its number.
    pub const fn id(&self) -> i64 {
        self.stored.id
    }

    /// Its run.
    pub const fn run_id(&self) -> i64 {
        self.run_id
    }

    /// Its key.
    pub const fn key(&self) -> KeyHash {
        self.stored.key
    }

    /// Its checked fields, personal data sealed.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] if they are no JSON object.
    pub fn fields(&self) -> Result<Map<String, Value>, LedgerError> {
        let place: StoredAt<'_> = ("items", &self.stored.id, "input");
        stored_values::json(&self.stored.input, place)
    }

    /// Its amount.
    pub const fn amount(&self) -> Option<Amount> {
        self.stored.amount
    }

    /// Fingerprint of what must be equal where the key is.
    pub const fn content_hash(&self) -> Option<KeyHash> {
        self.content_hash
    }

    /// Whether its content is no longer kept.
    pub const fn is_pruned(&self) -> bool {
        self.pruned
    }

    /// Whether nothing of it is under way, and nobody has withdrawn it: it has failed, or only a
    /// person could say more.
    pub const fn can_be_replaced(&self) -> bool {
        matches!(self.stored.item.state, State::Failed | State::NeedsReview)
            && self.stored.withdrawn.is_none()
    }
}

/// The item that files this one again with other content, as its result says.
///
/// # Errors
/// [`LedgerError::Corrupt`] if the result cannot be read.
pub fn filed_again_as(item: i64, result: Option<&str>) -> Result<Option<i64>, LedgerError> {
    let Some(result) = result.filter(|result| result.contains(ReplacedItem::BY)) else {
        return Ok(None);
    };
    let result: serde_json::Value =
        serde_json::from_str(result).map_err(|_| LedgerError::corrupt("items", item, "result"))?;
    Ok(result
        .get(ReplacedItem::BY)
        .and_then(serde_json::Value::as_i64))
}

impl PlanWriter {
    /// Which items have these keys by now, with their content.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn earlier(
        &mut self,
        keys: &[KeyHash],
    ) -> Result<HashMap<KeyHash, EarlierItem>, LedgerError> {
        let failed = |source| LedgerError::of("reading what has a key already", source);
        let keys: Vec<String> = keys.iter().map(|key| hex(*key)).collect();
        // The jobs of a plan in several commits have no rows yet.
        // `cross join`: the list first, then what it names by an index.
        let query = "select i.*, coalesce(j.run_id, $2) as run_id, j.pruned_to from json_each($1) as k cross join items as i \
                     left join jobs as j on j.id = i.job_id where i.key_hash = unhex(k.atom)";
        let own = self.run_id;
        let rows = sqlx::query(query)
            .bind(list(&keys))
            .bind(own)
            .fetch_all(self.connection().await?)
            .await
            .map_err(failed)?;
        let read = |row: &AnyRow| {
            let stored = ItemRecord::read(row)?;
            let content_hash: Option<&[u8]> = row.try_get("content_hash").map_err(failed)?;
            let pruned: Option<i64> = row.try_get("pruned_to").map_err(failed)?;
            let earlier = EarlierItem {
                run_id: row.try_get("run_id").map_err(failed)?,
                content_hash: stored_values::key_hash(
                    content_hash,
                    ("items", &stored.id, "content_hash"),
                )?,
                reason: row.try_get("reason").map_err(failed)?,
                pruned: pruned.is_some_and(|to| to >= stored.id),
                stored,
            };
            Ok((earlier.key(), earlier))
        };
        rows.iter().map(read).collect()
    }

    /// Notes with the items of before which items do them again: nobody may have them tried again
    /// then.
    pub(super) async fn note_replaced(
        &mut self,
        replacing: &[(KeyHash, &ReplacedItem)],
    ) -> Result<(), LedgerError> {
        if replacing.is_empty() {
            return Ok(());
        }
        let keys: Vec<KeyHash> = replacing.iter().map(|(key, _)| *key).collect();
        let new = self.earlier(&keys).await?;
        let mut noted = Vec::with_capacity(replacing.len());
        for (key, of) in replacing {
            let Some(by) = new.get(key).map(|new| new.stored.id) else {
                continue;
            };
            let EarlierItem { stored, reason, .. } = &of.earlier;
            let mut result = stored.facts.clone();
            result.insert(ReplacedItem::BY.to_owned(), by.into());
            let failed = || Message::new("state-failed", "failed");
            let again = Message::new(
                "filed-again-as",
                "{reason}; filed again with other content as item {by}",
            );
            let again = again
                .with("reason", reason.clone().map_or_else(failed, Message::plain))
                .with("by", by);
            let moved = Move::noted(&stored.item, again);
            noted.push((stored, moved, serde_json::Value::Object(result).to_string()));
        }
        let written: Vec<ItemChange<'_>> = noted
            .iter()
            .map(|(stored, moved, result)| ItemChange {
                stored,
                event: EventKind::FiledAgain,
                moved,
                lease: None,
                result: Some(result),
                at: self.now,
            })
            .collect();
        if ChangeBatch::of(&written, &[])?
            .execute(self.write_tx().await?)
            .await?
        {
            return Ok(());
        }
        let what =
            "an item changed while a file was planned that files it again; plan the file once more";
        Err(LedgerError::Inconsistent {
            what: what.to_owned(),
        })
    }
}
