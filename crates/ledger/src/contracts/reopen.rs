//! Reopening a period that has lapsed: a person says until when it may be charged after all.

use chrono::NaiveDate;
use serde_json::json;
use sqlx::Row;

use super::{ContractChangeOutcome, ContractChangeRow, locked, note_changes, signed, update};
use crate::audit::NewAuditEntry;
use crate::db::write_tx::WriteTx;
use crate::{Ledger, LedgerError};
use payrun_domain::actor::Actor;
use payrun_domain::subscription::{ContractEvent, ContractStanding, PeriodState};
use payrun_domain::time::Timestamp;

/// Which period is reopened, by whom and until when.
#[derive(Debug, Clone)]
pub struct ReopenRequest {
    /// The period's name, such as `2026-03`.
    pub period: String,
    /// The last day on which it may be charged.
    pub until: NaiveDate,
    /// Who.
    pub who: Actor,
    /// Why.
    pub why: String,
    /// The day it is, on the wall clock of due dates.
    pub today: NaiveDate,
    /// The instant it is.
    pub now: Timestamp,
}

impl Ledger {
    /// Reopens a lapsed period of a contract: the next run charges it, until the day that is named.
    ///
    /// # Errors
    /// Whatever the database says; then nothing has changed.
    pub async fn reopen_period(
        &self,
        id: i64,
        reopening: &ReopenRequest,
    ) -> Result<ContractChangeOutcome, LedgerError> {
        let mut tx = WriteTx::take_long(&self.write, "reopening a period").await?;
        let contracts = locked(&mut tx, &[id]).await?;
        tx.acquire_write_lock().await?;
        let Some(contract) = contracts.first() else {
            return Ok(ContractChangeOutcome::NoSuchContract);
        };
        if matches!(
            contract.subscription.standing,
            ContractStanding::Ended { .. }
        ) {
            return Ok(ContractChangeOutcome::Refused("it has ended"));
        }
        if reopening.until < reopening.today {
            return Ok(ContractChangeOutcome::Refused(
                "the day until which the period is to be open is over",
            ));
        }
        let ReopenRequest {
            period,
            until,
            who,
            why,
            now,
            ..
        } = reopening;
        let failed = |source| LedgerError::of("reopening a period", source);
        let reopen = "update contract_periods set state = 'reopened', pay_by = $3, reason = $4, recorded_at = cast($5 as bigint) \
                      where contract_id = $1 and period = $2 and state in ('lapsed', 'reopened') returning due";
        let reopened = sqlx::query(reopen)
            .bind(id)
            .bind(period)
            .bind(until.to_string())
            .bind(why)
            .bind(now.millis());
        let Some(row) = reopened
            .fetch_optional(tx.connection())
            .await
            .map_err(failed)?
        else {
            return Ok(ContractChangeOutcome::Refused(
                "it has no lapsed period of that name",
            ));
        };
        let due: NaiveDate = row
            .try_get::<&str, _>("due")
            .map_err(failed)?
            .parse()
            .map_err(|_| LedgerError::corrupt("contract_periods", period, "due"))?;
        update(
            &mut tx,
            &[(
                id,
                &contract.subscription,
                std::iter::once(due).chain(contract.next_due).min(),
            )],
        )
        .await?;
        let (before, after) = (
            json!({ "state": PeriodState::Lapsed.as_str() }),
            json!({ "state": PeriodState::Reopened.as_str(), "until": until.to_string() }),
        );
        let target = format!("contract {}, period {period}", contract.contract);
        let note = NewAuditEntry {
            by: &signed(who, why)?,
            action: "contract.reopen",
            target,
            before,
            after,
            at: *now,
        };
        tx.note(note).await?;
        let after = json!({ "period": period, "until": until.to_string() });
        let history = ContractChangeRow {
            contract_id: id,
            what: ContractEvent::Reopened,
            code: None,
            before: None,
            after,
        };
        note_changes(&mut tx, &[history], who.name(), why, *now).await?;
        tx.commit_and_tell().await?;
        Ok(ContractChangeOutcome::Done {
            cancelled: 0,
            waived: 0,
        })
    }
}
