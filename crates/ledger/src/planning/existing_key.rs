//! The item that has a key already, and why a row with that key is refused.

use std::collections::HashMap;

use sqlx::Row;

use crate::db::stored_values;
use crate::error::LedgerError;
use crate::items::item_rows::{amount_of, hex, list};
use crate::planning::plan::PlanWriter;
use crate::planning::planned_items::NewItem;
use crate::planning::rejected_rows::{RejectedRow, duplicate_in_run, refusal_of};
use crate::planning::replacement::ReplacementCheck;
use payrun_domain::ids::KeyHash;
use payrun_domain::item::State;
use payrun_domain::message::Message;
use payrun_domain::money::Amount;

/// The item that has a key.
#[derive(Debug)]
pub(super) struct ExistingKey {
    pub(super) id: i64,
    pub(super) job_id: i64,
    run_id: i64,
    line: u64,
    state: State,
    content_hash: Option<KeyHash>,
    pub(super) amount: Option<Amount>,
}

impl ExistingKey {
    /// Whether it says something else under the same key.
    pub(super) fn contradicts(&self, item: &NewItem) -> bool {
        self.content_hash != Some(item.content_hash) || item.contradicts()
    }

    /// Whether its order may still be carried out as it was planned.
    fn is_open(&self) -> bool {
        match self.state {
            State::Planned
            | State::AwaitingApproval
            | State::Sending
            | State::Pending
            | State::Unknown
            | State::NeedsReview => true,
            State::Succeeded
            | State::Failed
            | State::Cancelled
            | State::Rejected
            | State::Skipped => false,
        }
    }

    /// Its line in the file, for people.
    pub(super) const fn first_line(&self) -> u64 {
        self.line
    }

    /// Why a row with this key makes no item in a run.
    pub(super) fn refuse(&self, item: &NewItem, run_id: i64) -> RejectedRow {
        if self.run_id == run_id {
            return duplicate_in_run(item, self.first_line());
        }
        let same = self.content_hash == Some(item.content_hash);
        let (run, id, state) = (self.run_id, self.id, self.state);
        let item_told = |reason: Message| {
            reason
                .with("run", run)
                .with("item", id)
                .with("state", state.told())
        };
        let is_open = self.is_open().then(|| {
            Message::new(
                "key-still-open",
                ", which is still open and is not changed by this row",
            )
        });
        let amount = self.amount.map(|amount| {
            Message::new("key-amount", ", {amount}").with("amount", amount.to_string())
        });
        let reason = if !same && !matches!(item.again, ReplacementCheck::Never) {
            item_told(Message::new(
                "key-accepted-with-other-content",
                "run {run} has this key with other content (item {item}, {state}{amount}){open}; only what has failed or needs review is \
                 filed again with other content (what was accepted: job kind redeclare with way: modify)",
            ))
            .with("amount", amount)
            .with("open", is_open)
        } else if matches!(item.again, ReplacementCheck::TooLate) {
            item_told(Message::new(
                "key-with-another-buyer",
                "run {run} has this key with another buyer or other content beside it (item {item}, {state}): what this row says now is \
                 not filed; only what has failed or needs review is filed again with other content (what was accepted: job kind \
                 redeclare with way: modify, where its gateway takes a buyer; else it cannot be changed there)",
            ))
        } else if same {
            let mended = match (&item.again, self.state) {
                (ReplacementCheck::Possible, State::Failed | State::NeedsReview) => {
                    Some(Message::new(
                        "key-mend-and-give-again",
                        "; mend the row and give it again: the gateway is asked what it has, and it is filed with the new content",
                    ))
                }
                (_, State::Cancelled) => Some(
                    Message::new(
                        "key-retry-cancelled",
                        "; `payrun retry {item} --reason WHY` has that item sent after all",
                    )
                    .with("item", id),
                ),
                (_, _) => None,
            };
            item_told(Message::new(
                "key-had-already",
                "run {run} has this key already (item {item}, {state}){remedy}",
            ))
            .with("remedy", mended)
        } else {
            let remedy = match self.state {
                State::Failed | State::Cancelled => Message::new(
                    "key-mended-needs-new",
                    "a mended row needs a new key; as it was, `payrun retry {item} --reason WHY` tries the item again",
                )
                .with("item", id),
                State::Planned
                | State::AwaitingApproval
                | State::Sending
                | State::Pending
                | State::Unknown
                | State::NeedsReview
                | State::Succeeded
                | State::Rejected
                | State::Skipped => {
                    Message::new("key-give-new", "give a new key if it is another thing")
                }
            };
            item_told(Message::new(
                "key-with-other-content",
                "run {run} has this key with other content (item {item}, {state}{amount}){open}; {remedy}",
            ))
            .with("amount", amount)
            .with("open", is_open)
            .with("remedy", remedy)
        };
        let state = if same {
            State::Skipped
        } else {
            State::Rejected
        };
        let is_changed = same && matches!(item.again, ReplacementCheck::TooLate);
        RejectedRow {
            state,
            reason,
            duplicate_of: Some(self.id),
            alarming: !same,
            is_changed,
            ..refusal_of(item)
        }
    }
}

impl PlanWriter {
    /// Who has the keys of these items by now.
    pub(super) async fn holders(
        &mut self,
        items: &[&NewItem],
    ) -> Result<HashMap<KeyHash, ExistingKey>, LedgerError> {
        let failed = |source| LedgerError::of("looking for keys that were planned before", source);
        let keys: Vec<String> = items.iter().map(|item| hex(item.key_hash)).collect();
        let own = self.run_id;
        // `cross join`: the list first, then what it names by an index.
        let rows = sqlx::query(
            "select i.id, i.job_id, i.key_hash, i.content_hash, i.line, i.state, i.amount, i.currency, \
               coalesce(j.run_id, $2) as run_id from json_each($1) as k \
             cross join items as i left join jobs as j on j.id = i.job_id where i.key_hash = unhex(k.atom)",
        )
        .bind(list(&keys))
        .bind(own)
        .fetch_all(self.connection().await?)
        .await
        .map_err(failed)?;
        let mut holders = HashMap::with_capacity(rows.len());
        for row in rows {
            let id: i64 = row.try_get("id").map_err(failed)?;
            let corrupt = |column| LedgerError::corrupt("items", id, column);
            let key = KeyHash::from_bytes(row.try_get("key_hash").map_err(failed)?)
                .ok_or_else(|| corrupt("key_hash"))?;
            let content_hash: Option<&[u8]> = row.try_get("content_hash").map_err(failed)?;
            let line: i64 = row.try_get("line").map_err(failed)?;
            let state: &str = row.try_get("state").map_err(failed)?;
            let holder = ExistingKey {
                id,
                amount: amount_of(&row, id)?,
                job_id: row.try_get("job_id").map_err(failed)?,
                run_id: row.try_get("run_id").map_err(failed)?,
                line: stored_values::unsigned(line, ("items", &id, "line"))?,
                state: stored_values::state(state, ("items", &id, "state"))?,
                content_hash: stored_values::key_hash(
                    content_hash,
                    ("items", &id, "content_hash"),
                )?,
            };
            holders.insert(key, holder);
        }
        Ok(holders)
    }
}
