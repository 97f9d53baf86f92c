//! What persons do to items: withdraw them, or have them tried again. The state machine decides whether that may be.

use sqlx::Row;

use super::Ledger;
use super::error::LedgerError;
use super::rows::{Stored, Writes, Written};
use super::turn::Turn;
use crate::domain::item::{Event, Illegal, State, apply};
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;

/// What a person wants of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Never to be sent.
    Cancel,
    /// To be tried again, once it is certain that this is safe.
    Retry,
}

impl Wish {
    const fn event(self) -> Event {
        match self {
            Self::Cancel => Event::Cancel,
            Self::Retry => Event::Retry,
        }
    }
}

/// What became of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granted {
    /// The item is in this state now.
    Moved(State),
    /// The state machine does not allow it.
    Refused(Illegal),
    /// Another item of its contract is in flight.
    ContractBusy,
    /// There is no such item.
    NoSuchItem,
}

impl Ledger {
    /// Does what a person wants of one item.
    ///
    /// # Errors
    /// Whatever the database says; then nothing has changed.
    pub async fn wish(&self, item_id: i64, wish: Wish, now: Timestamp) -> Result<Granted, LedgerError> {
        let mut turn = self.turn("changing an item").await?;
        let granted = grant(&mut turn, item_id, wish, now).await?;
        if let Granted::Moved(_) = granted {
            turn.commit_and_tell().await?;
            self.woken.notify_waiters();
        } else {
            turn.rollback().await?;
        }
        Ok(granted)
    }
}

pub(super) async fn grant(turn: &mut Turn, id: i64, wish: Wish, now: Timestamp) -> Result<Granted, LedgerError> {
    let failed = |source| LedgerError::of("changing an item", source);
    let row = sqlx::query(
        "select i.*, j.policy, j.run_id, (select min(b.id) from items as b where b.serial = i.serial and b.id <> i.id \
           and b.state in ('sending', 'pending', 'unknown', 'parked')) as busy_with \
         from items as i join jobs as j on j.id = i.job_id where i.id = $1",
    )
    .bind(id)
    .fetch_optional(turn.connection())
    .await
    .map_err(failed)?;
    let Some(row) = row else { return Ok(Granted::NoSuchItem) };
    let state: &str = row.try_get("state").map_err(failed)?;
    if let Some(state @ (State::Rejected | State::Skipped)) = State::parse(state) {
        return Ok(Granted::Refused(Illegal { state, event: wish.event().word() }));
    }
    let stored = Stored::read(&row)?;
    let policy: Policy = serde_json::from_str(row.try_get("policy").map_err(failed)?)
        .map_err(|_| LedgerError::Corrupt { what: format!("the policy of item {id}") })?;
    let moved = match apply(&stored.item, &wish.event(), &policy, now) {
        Ok(moved) => moved,
        Err(illegal) => return Ok(Granted::Refused(illegal)),
    };
    let busy: Option<i64> = row.try_get("busy_with").map_err(failed)?;
    if moved.item.state.is_in_flight() && busy.is_some() {
        return Ok(Granted::ContractBusy);
    }
    let written =
        Written { stored: &stored, event: wish.event().word(), moved: &moved, node: None, result: None, at: now };
    if !Writes::of(&[written], &[])?.execute(turn).await? {
        return Err(LedgerError::Corrupt { what: format!("item {id} changed within the transaction that read it") });
    }
    if stored.item.state == State::Parked && stored.serial.is_some() {
        // What waits for its contract looks again.
        let wake = "update items set due_at = $2 where serial = $1 and state = 'planned' and due_at > $2";
        sqlx::query(wake).bind(&stored.serial).bind(now.millis()).execute(turn.connection()).await.map_err(failed)?;
    }
    if moved.item.state.is_open() {
        reopen(turn, stored.job_id).await?;
    }
    Ok(Granted::Moved(moved.item.state))
}

async fn reopen(turn: &mut Turn, job_id: i64) -> Result<(), LedgerError> {
    let failed = |source| LedgerError::of("opening a job again", source);
    let job = "update jobs set finished_at = null where id = $1";
    sqlx::query(job).bind(job_id).execute(turn.connection()).await.map_err(failed)?;
    let run = "update runs set finished_at = null where id = (select run_id from jobs where id = $1)";
    sqlx::query(run).bind(job_id).execute(turn.connection()).await.map_err(failed)?;
    Ok(())
}
