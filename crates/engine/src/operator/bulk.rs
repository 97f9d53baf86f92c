//! Many items at once, by what they have in common: counted first, then done to exactly those that
//! were counted.
//!
//! What was counted is told by the versions of the items: an item that has moved since is left
//! alone and told of.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::Engine;
use payrun_domain::actor::Authorization;
use payrun_domain::item::State;
use payrun_domain::money::Currency;
use payrun_ledger::{ActionResult, ItemFilter, ItemRow, LedgerError, OperatorAction};

/// The most items of one action.
const MOST: usize = 200_000;

/// How many items are read, and changed in one commit, at a time.
const PAGE: u32 = 500;
const CHUNK: usize = 200;

/// Items that were chosen, and how they stood.
#[derive(Debug, Clone)]
pub struct BulkSelection {
    /// How many.
    pub items: u64,
    /// How many of each state.
    pub states: BTreeMap<State, u64>,
    /// Their money: minor units by currency code.
    pub sums: BTreeMap<&'static str, (i64, Currency)>,
    /// How many are left out of a retry, since their contract is not charged or their period was
    /// given up with it.
    pub left_out: u64,
    /// Stands for exactly these items in exactly these versions.
    pub set: String,
    /// Each with its version.
    each: Vec<(i64, i64)>,
}

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct BulkCounts {
    /// How many items are in each state now.
    pub moved: BTreeMap<State, u64>,
    /// How many may be under way and were withdrawn: they stay in these states until that is known.
    pub withdrawn: BTreeMap<State, u64>,
    /// Items that were left as they were, and why.
    pub refused: Vec<(i64, ActionResult)>,
}

/// Why nothing was done.
#[derive(Debug, Error)]
pub enum BulkError {
    /// Too many at once.
    #[error("these are more than {MOST} items: choose fewer, by run, job or state")]
    TooMany,
    /// Neither states nor a run were named.
    #[error("name the states of the items that are meant")]
    NoStates,
    /// The ledger.
    #[error("the items could not be changed")]
    Ledger(#[from] LedgerError),
}

impl Engine {
    /// Counts items and their money; changes nothing. What is withdrawn already is not chosen to be
    /// withdrawn, and of contracts that are not charged nothing is chosen to be tried again.
    ///
    /// # Errors
    /// If the filter names no states or too many items are meant, and whatever the ledger says.
    pub async fn choose(
        &self,
        filter: &ItemFilter,
        action: &OperatorAction,
    ) -> Result<BulkSelection, BulkError> {
        if filter.states.is_empty() {
            return Err(BulkError::NoStates);
        }
        let (mut each, mut states, mut sums) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let mut set = Sha256::new();
        let (mut after, mut left_out) = (0, 0);
        loop {
            let page = self.ledger.items(filter, after, PAGE).await?;
            let Some(end) = page.last() else { break };
            after = end.id;
            let left = match action {
                OperatorAction::Retry => {
                    self.ledger
                        .not_sent_again(&page.iter().map(|item| item.id).collect::<Vec<_>>())
                        .await?
                }
                OperatorAction::Cancel | OperatorAction::Resolve(_) => BTreeSet::new(),
            };
            left_out += left.len() as u64;
            let is_meant = |item: &ItemRow| {
                (*action != OperatorAction::Cancel || item.withdrawn.is_none())
                    && !left.contains(&item.id)
            };
            for item in page.into_iter().filter(is_meant) {
                set.update(item.id.to_be_bytes());
                set.update(item.version.to_be_bytes());
                each.push((item.id, item.version));
                *states.entry(item.state).or_default() += 1;
                if let Some(amount) = item.amount {
                    let sum = sums
                        .entry(amount.currency().code())
                        .or_insert((0_i64, amount.currency()));
                    sum.0 = sum.0.saturating_add(amount.minor());
                }
            }
            if each.len() > MOST {
                return Err(BulkError::TooMany);
            }
        }
        let set = hex::encode(&set.finalize()[..8]);
        Ok(BulkSelection {
            items: each.len() as u64,
            states,
            sums,
            left_out,
            set,
            each,
        })
    }

    /// Does what a person wants of the items that were chosen, in commits of some; an item that has
    /// moved since is left alone. `words`: how they were chosen, for the audit log.
    ///
    /// # Errors
    /// Whatever the ledger says; what was committed before stays done, and giving it again goes on
    /// with the rest.
    pub async fn carry_out(
        &self,
        chosen: &BulkSelection,
        action: &OperatorAction,
        words: &str,
        by: &Authorization,
    ) -> Result<BulkCounts, BulkError> {
        let mut done = BulkCounts::default();
        for chunk in chosen.each.chunks(CHUNK) {
            for (id, granted) in self
                .ledger
                .apply_actions(chunk, action, (by, words), self.clock.now())
                .await?
            {
                match granted {
                    ActionResult::Moved(state) => *done.moved.entry(state).or_default() += 1,
                    ActionResult::Withdrawn(state) => {
                        *done.withdrawn.entry(state).or_default() += 1
                    }
                    refused @ (ActionResult::Refused(_)
                    | ActionResult::ContractBusy
                    | ActionResult::NeverApproved
                    | ActionResult::Changed
                    | ActionResult::EvidenceGone
                    | ActionResult::FiledAgain(_)
                    | ActionResult::Clashes(_)
                    | ActionResult::DoneAs(_)
                    | ActionResult::OtherPayment(_)
                    | ActionResult::GivenBackAs(_)
                    | ActionResult::Stopped(_)
                    | ActionResult::NoSuchItem) => done.refused.push((id, refused)),
                }
            }
        }
        Ok(done)
    }
}
