//! Contracts: importing them, planning what they owe, and what becomes of them when a period could
//! not be charged.
//!
//! Nothing is guessed: a contract is suspended or ended because of items that have failed, as the
//! ledger has them. What is unknown leaves its period open, and the contract's next item waits for
//! it.

mod import;
mod planning;
mod rows;

use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;
use serde_json::Value;

use super::Engine;
use crate::attempt::AttemptContext;
use payrun_domain::actor::Actor;
use payrun_domain::subscription::{
    ContractChangeCode, ContractFollowUp, ContractSignal, FailedItem, follow,
};
use payrun_domain::time::Timestamp;
use payrun_gateway::Call;
use payrun_ledger::{ContractAction, ContractChange, ContractNews, LedgerError};

pub use import::{ImportError, ImportOptions, ImportReport, RejectedContract};
pub(super) use planning::{claim_contracts, note};
pub(super) use rows::ContractRows;

/// The fact of an item's result that keeps what the gateway's last refusal says of the contract.
pub(super) const CONTRACT_IS: &str = "contract_is";

/// How many failed items are looked at together, and how many times at once.
const PAGE: u32 = 200;
const PAGES: usize = 50;

/// What was done with contracts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ContractRound {
    /// Suspended, after a refusal or the end of a dunning ladder.
    pub suspended: u64,
    /// Ended by the gateway's word.
    pub terminated: u64,
    /// Ended because their last day is over.
    pub over: u64,
}

impl Engine {
    /// Tells contracts what became of their items, and ends those whose last day is over. Doing it
    /// again changes nothing.
    ///
    /// # Errors
    /// Whatever the ledger says; what was done until then stays done.
    pub async fn keep_contracts(&self, now: Timestamp) -> Result<ContractRound, LedgerError> {
        let mut followed = ContractRound::default();
        for _ in 0..PAGES {
            let page = self.ledger.contract_news(PAGE).await?;
            let told = self.tell_contracts(&page, now, &mut followed).await;
            let over = self.end_those_that_are_over(now).await?;
            followed.over += over;
            told?;
            if page.is_empty() && over == 0 {
                break;
            }
        }
        Ok(followed)
    }

    /// The day it is on the wall clock that due dates go by.
    pub fn day(&self, at: Timestamp) -> NaiveDate {
        day_of(at, self.config.timezone)
    }

    /// An item that cannot be read keeps no other contract from hearing of its own.
    async fn tell_contracts(
        &self,
        page: &[ContractNews],
        now: Timestamp,
        followed: &mut ContractRound,
    ) -> Result<(), LedgerError> {
        let (mut unmoved, mut unread) = (Vec::new(), None);
        for news in page {
            let failed = match failed(news) {
                Ok(failed) => failed,
                Err(error) => {
                    unread.get_or_insert(error);
                    continue;
                }
            };
            let (what, why) = match follow(&failed) {
                ContractFollowUp::Nothing => {
                    unmoved.push(news.item_id);
                    continue;
                }
                ContractFollowUp::Suspend(why) => (ContractAction::Suspend, why),
                ContractFollowUp::End(why) => (ContractAction::End, why),
            };
            let change = ContractChange {
                what,
                who: Actor::payrun(),
                why,
                code: Some(ContractChangeCode::Failed),
                today: self.day(now),
                now,
            };
            if self.ledger.apply_to_contract(news, &change).await? {
                tracing::warn!(
                    contract = news.contract,
                    item.id = news.item_id,
                    reason = change.why,
                    "a contract is no longer charged"
                );
                match what {
                    ContractAction::Suspend => followed.suspended += 1,
                    ContractAction::End | ContractAction::EndOn(_) | ContractAction::Resume => {
                        followed.terminated += 1
                    }
                }
            }
        }
        self.ledger.dismiss_contract_news(&unmoved).await?;
        unread.map_or(Ok(()), Err)
    }

    async fn end_those_that_are_over(&self, now: Timestamp) -> Result<u64, LedgerError> {
        let today = self.day(now);
        let over = self.ledger.contracts_over(today, PAGE).await?;
        for (id, end) in &over {
            let why = format!("its last day, {end}, is over");
            let change = ContractChange {
                what: ContractAction::End,
                who: Actor::payrun(),
                why,
                code: Some(ContractChangeCode::LastDay),
                today,
                now,
            };
            self.ledger.change_contract(*id, &change).await?;
        }
        Ok(over.len() as u64)
    }
}

/// The gateway has ended a contract as it was asked to: payrun charges it no more. Until the item
/// itself has ended it is asked about again, so nothing is lost where this fails.
pub(super) async fn is_ended(context: &AttemptContext<'_>, call: &Call, now: Timestamp) {
    let field = context
        .work
        .kind
        .one_at_a_time
        .as_deref()
        .unwrap_or_default();
    let Some(contract) = call.input.get(field).and_then(Value::as_str) else {
        return;
    };
    let engine = context.engine;
    let why = format!("terminated at the gateway (item {})", context.claimed.id());
    let change = ContractChange {
        what: ContractAction::End,
        who: Actor::payrun(),
        why,
        code: Some(ContractChangeCode::Terminated),
        today: engine.day(now),
        now,
    };
    if let Err(error) = engine
        .ledger
        .contract_is_ended(&context.account.identity, contract, &change)
        .await
    {
        tracing::error!(item.id = context.claimed.id(), contract, %error, "the end of a contract could not be kept");
    }
}

fn failed(news: &ContractNews) -> Result<FailedItem, LedgerError> {
    let corrupt = || LedgerError::corrupt("items", news.item_id, "result");
    let word = match news.facts.get(CONTRACT_IS) {
        None | Some(Value::Null) => None,
        Some(word) => {
            let signal = word.as_str().and_then(ContractSignal::parse);
            Some(signal.ok_or_else(corrupt)?)
        }
    };
    Ok(FailedItem {
        word,
        decline_count: news.decline_count,
        steps: news.steps,
        reason: news.reason.clone(),
    })
}

/// The date of an instant in a time zone.
pub fn day_of(at: Timestamp, zone: Tz) -> NaiveDate {
    DateTime::from_timestamp_millis(at.millis())
        .unwrap_or_default()
        .with_timezone(&zone)
        .date_naive()
}
