//! What persons say of differences: who looks after one, why it is there, that it may stand. Each is
//! in the audit log in the same commit.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::DifferenceRow;
use super::findings::{NewEvent, by_id, keep_events};
use crate::Ledger;
use crate::audit::NewAuditEntry;
use crate::error::LedgerError;
use crate::items::item_rows::list;
use payrun_domain::actor::Authorization;
use payrun_domain::difference::{DifferenceEvent, DifferenceOwner, DifferenceState, next};
use payrun_domain::time::Timestamp;

const OPERATION: &str = "changing differences";

/// How many differences one change is about at most: one commit, and one entry of the audit log.
pub const DIFFERENCES_AT_ONCE: usize = 500;

/// What is to become of a difference. The reason of whoever wants it is its note from then on, but for
/// the word whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DifferenceChange {
    /// This person looks after it; none: nobody does.
    Assign(Option<DifferenceOwner>),
    /// Nothing but the note.
    Comment,
    /// It is known why it is there.
    Explain,
    /// It may stand.
    Accept,
    /// It is open again.
    Reopen,
}

impl DifferenceChange {
    /// The word for it.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Assign(_) => "assign",
            Self::Comment => "comment",
            Self::Explain => DifferenceEvent::Explain.as_str(),
            Self::Accept => DifferenceEvent::Accept.as_str(),
            Self::Reopen => DifferenceEvent::Reopen.as_str(),
        }
    }

    const fn action(&self) -> &'static str {
        match self {
            Self::Assign(_) => "difference.assign",
            Self::Comment => "difference.comment",
            Self::Explain => "difference.explain",
            Self::Accept => "difference.accept",
            Self::Reopen => "difference.reopen",
        }
    }

    /// The state that follows; none if it cannot be.
    fn follows(&self, row: &DifferenceRow) -> Option<DifferenceState> {
        let event = match self {
            Self::Assign(_) | Self::Comment => return Some(row.state),
            Self::Explain => DifferenceEvent::Explain,
            Self::Accept => DifferenceEvent::Accept,
            Self::Reopen => DifferenceEvent::Reopen,
        };
        next(row.difference.reason, row.state, event)
    }
}

/// What became of a change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DifferenceOutcome {
    /// Those that were changed.
    pub changed: Vec<i64>,
    /// Those that cannot be changed so, and the state they are in.
    pub refused: Vec<(i64, DifferenceState)>,
    /// Those that there are not.
    pub unknown: Vec<i64>,
}

impl Ledger {
    /// Changes differences, at most [`DIFFERENCES_AT_ONCE`] of them.
    ///
    /// # Errors
    /// Whatever the database says; then none has changed.
    pub async fn change_differences(
        &self,
        ids: &[i64],
        change: &DifferenceChange,
        by: &Authorization,
        now: Timestamp,
    ) -> Result<DifferenceOutcome, LedgerError> {
        // One that is named twice is changed once.
        let ids: BTreeSet<i64> = ids.iter().copied().collect();
        let ids: Vec<i64> = ids.into_iter().collect();
        let mut tx = self.begin_write(OPERATION).await?;
        let rows = by_id(&mut tx, &ids).await?;
        let mut outcome = DifferenceOutcome {
            unknown: ids
                .iter()
                .copied()
                .filter(|id| rows.iter().all(|row| row.id != *id))
                .collect(),
            ..DifferenceOutcome::default()
        };
        let (mut updated, mut events) = (Vec::new(), Vec::new());
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let note = by.reason.as_str();
        for row in &rows {
            let Some(state) = change.follows(row) else {
                outcome.refused.push((row.id, row.state));
                continue;
            };
            let owner = if let DifferenceChange::Assign(owner) = change {
                owner.as_ref().map(|owner| owner.as_str().to_owned())
            } else {
                row.owner.clone()
            };
            before.push(standing(row.state, row.owner.as_deref()));
            after.push(standing(state, owner.as_deref()));
            outcome.changed.push(row.id);
            updated.push(json!({
                "id": row.id,
                "state": state.as_str(),
                "owner": owner,
                "version": row.version + 1,
                // Why somebody looks after it says nothing of the difference.
                "note": match change {
                    DifferenceChange::Assign(_) => row.note.as_deref(),
                    DifferenceChange::Comment
                    | DifferenceChange::Explain
                    | DifferenceChange::Accept
                    | DifferenceChange::Reopen => Some(note),
                },
            }));
            events.push(NewEvent {
                difference_id: row.id,
                version: row.version + 1,
                event: change.as_str(),
                to_state: state.as_str(),
                note,
            });
        }
        if outcome.changed.is_empty() {
            tx.rollback().await?;
            return Ok(outcome);
        }
        let update = sqlx::query(include_str!("change_differences.sql"))
            .bind(list(&updated))
            .bind(now.millis());
        update
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of(OPERATION, source))?;
        keep_events(&mut tx, &events, by.actor.name(), now).await?;
        let target = match outcome.changed.as_slice() {
            [one] => format!("difference {one}"),
            many => {
                let ids: Vec<String> = many.iter().map(i64::to_string).collect();
                format!("differences {}", ids.join(", "))
            }
        };
        let entry = NewAuditEntry {
            by,
            action: change.action(),
            target,
            before: same_or_list(before),
            after: same_or_list(after),
            at: now,
        };
        tx.note(entry).await?;
        tx.commit().await?;
        Ok(outcome)
    }
}

fn standing(state: DifferenceState, owner: Option<&str>) -> Value {
    json!({ "state": state.as_str(), "owner": owner })
}

/// One object where all are the same; else an object that has the list.
fn same_or_list(mut standings: Vec<Value>) -> Value {
    if standings.windows(2).all(|pair| pair[0] == pair[1]) {
        standings.pop().unwrap_or(Value::Null)
    } else {
        json!({ "differences": standings })
    }
}
