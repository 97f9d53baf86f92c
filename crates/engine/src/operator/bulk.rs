//! Many items at once, by what they have in common: counted first, then done to exactly those that
//! were counted.
//!
//! What was counted is told by the versions of the items: an item that has moved since is left
//! alone and told of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::Engine;
use payrun_domain::actor::{Actor, Authorization, Reason};
use payrun_domain::item::State;
use payrun_domain::time::Timestamp;
use payrun_ledger::{
    ActionResult, BulkStart, BulkVerb, CountedItems, DecisionOutcome, ItemFilter, ItemRow,
    LedgerError, NewBulkAction,
};

/// The most items of one action.
const MOST: usize = 200_000;

/// How many items are read, and changed in one commit, at a time.
const PAGE: u32 = 500;
const CHUNK: usize = 200;

/// How often the open items of a run that is withdrawn are looked for at once: those that have moved
/// since the last look. What is left then is carried out later.
const ROUNDS: usize = 100;

/// How long a withdrawal is left to the process that has begun it.
const LEFT_BEHIND: Duration = Duration::from_secs(60);

/// Items that were chosen for a bulk action, and how they stood.
#[derive(Debug, Clone)]
pub struct BulkSelection {
    /// What is to be done to them.
    pub verb: BulkVerb,
    /// How they were chosen.
    pub filter: ItemFilter,
    /// How many there are, with their money.
    pub counted: CountedItems,
    /// Each with its version.
    each: Vec<(i64, i64)>,
}

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct BulkCounts {
    /// The bulk action; none where no item was chosen.
    pub bulk_action: Option<i64>,
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
    /// Withdraws all that is open of a run: what was not sent never is, what may be under way is
    /// queried, and its later jobs get no items. What waits for approval is rejected with its batch.
    /// From its first commit on nothing of the run is claimed to be sent, whatever its items do.
    ///
    /// # Errors
    /// Whatever the ledger says. What was committed before stays done; a worker carries the rest out.
    pub async fn withdraw_run(
        &self,
        run_id: i64,
        by: &Authorization,
    ) -> Result<BulkCounts, BulkError> {
        let clock = || self.clock.now();
        if !self.ledger.begin_withdrawal(run_id, by, clock).await? {
            return Ok(BulkCounts::default());
        }
        payrun_system::failpoint::hit("withdrawal_step");
        self.carry_out_withdrawal(run_id, by).await
    }

    /// Carries out withdrawals whose process has died, or has been at it for a minute.
    pub(crate) async fn finish_withdrawals(&self, now: Timestamp) -> Result<(), LedgerError> {
        let left = self
            .ledger
            .withdrawals_under_way(now.minus(LEFT_BEHIND))
            .await?;
        for run_id in left {
            let Ok(reason) = Reason::parse("the run was withdrawn as a whole") else {
                return Ok(());
            };
            let by = Authorization {
                actor: Actor::payrun(),
                reason,
            };
            match self.carry_out_withdrawal(run_id, &by).await {
                Err(BulkError::Ledger(error)) => return Err(error),
                Ok(_) | Err(BulkError::TooMany | BulkError::NoStates) => {}
            }
        }
        Ok(())
    }

    /// Until no item is open that is not withdrawn: one that has moved since it was chosen is chosen
    /// again.
    async fn carry_out_withdrawal(
        &self,
        run_id: i64,
        by: &Authorization,
    ) -> Result<BulkCounts, BulkError> {
        let mut done = BulkCounts::default();
        for approval in self.open_approvals(run_id, None).await? {
            let now = self.clock.now();
            if let DecisionOutcome::Withdrawn(items) =
                self.ledger.reject(approval.id, by, now).await?
            {
                *done.moved.entry(State::Cancelled).or_default() += items;
            }
        }
        let filter = ItemFilter {
            run_id: Some(run_id),
            states: State::ALL
                .into_iter()
                .filter(|state| state.is_open())
                .collect(),
            ..ItemFilter::default()
        };
        let words = format!("run {run_id}, withdrawn as a whole");
        for _ in 0..ROUNDS {
            let (chosen, is_all) = self.choose_first(&filter, BulkVerb::Cancel).await?;
            if chosen.counted.items == 0 && is_all {
                self.ledger.end_withdrawal(run_id, self.clock.now()).await?;
                done.refused.clear();
                break;
            }
            payrun_system::failpoint::hit("withdrawal_step");
            done.add(self.act_on_chosen(&chosen, &words, by).await?);
        }
        Ok(done)
    }

    /// Counts items and their money; changes nothing. What is withdrawn already is not chosen to be
    /// withdrawn, and of contracts that are not charged nothing is chosen to be tried again.
    ///
    /// # Errors
    /// If the filter names no states or too many items are meant, and whatever the ledger says.
    pub async fn choose(
        &self,
        filter: &ItemFilter,
        verb: BulkVerb,
    ) -> Result<BulkSelection, BulkError> {
        match self.choose_first(filter, verb).await? {
            (chosen, true) => Ok(chosen),
            (_, false) => Err(BulkError::TooMany),
        }
    }

    /// As [`Engine::choose`], and of more items than one action may have only the first; says whether
    /// these are all.
    async fn choose_first(
        &self,
        filter: &ItemFilter,
        verb: BulkVerb,
    ) -> Result<(BulkSelection, bool), BulkError> {
        if filter.states.is_empty() {
            return Err(BulkError::NoStates);
        }
        let mut is_all = true;
        let (mut each, mut counted) = (Vec::new(), CountedItems::default());
        // What was counted to be tried again is not what was counted to be withdrawn.
        let mut set = Sha256::new_with_prefix(verb.as_str());
        let mut after = 0;
        loop {
            let page = self.ledger.items(filter, after, PAGE).await?;
            let Some(end) = page.last() else { break };
            after = end.id;
            let left = self.left_out(&page, verb).await?;
            counted.left_out += left.len() as u64;
            for item in page.iter().filter(|item| is_meant(item, verb, &left)) {
                set.update(item.id.to_be_bytes());
                set.update(item.version.to_be_bytes());
                each.push((item.id, item.version));
                count(&mut counted, item);
            }
            if each.len() > MOST {
                is_all = false;
                break;
            }
        }
        counted.set = hex::encode(&set.finalize()[..8]);
        let chosen = BulkSelection {
            verb,
            filter: filter.clone(),
            counted,
            each,
        };
        Ok((chosen, is_all))
    }

    /// Items of which nothing more is sent, whoever asks for it.
    async fn left_out(
        &self,
        page: &[ItemRow],
        verb: BulkVerb,
    ) -> Result<BTreeSet<i64>, LedgerError> {
        match verb {
            BulkVerb::Retry => {
                let ids: Vec<i64> = page.iter().map(|item| item.id).collect();
                self.ledger.not_sent_again(&ids).await
            }
            BulkVerb::Cancel => Ok(BTreeSet::new()),
        }
    }

    /// Begins a bulk action: from then on it is in the ledger. `request_key`: of the form that asks
    /// for it; sent twice, it is begun once.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn begin_bulk_action(
        &self,
        chosen: &BulkSelection,
        request_key: Option<&str>,
        by: &Authorization,
    ) -> Result<BulkStart, LedgerError> {
        let new = NewBulkAction {
            verb: chosen.verb,
            filter: &chosen.filter,
            counted: &chosen.counted,
            request_key,
        };
        let now = self.clock.now();
        self.ledger.begin_bulk_action(new, by, now).await
    }

    /// Carries out a bulk action that has begun, in commits of some items; an item that has moved
    /// since it was counted is left alone. `words`: how the items were chosen, for the audit log.
    ///
    /// # Errors
    /// Whatever the ledger says. What was committed before stays done, and the bulk action says that
    /// it broke off.
    pub async fn carry_out(
        &self,
        bulk_action: i64,
        chosen: &BulkSelection,
        words: &str,
        by: &Authorization,
    ) -> Result<BulkCounts, BulkError> {
        let done = self.carry_on(bulk_action, chosen, words, by).await;
        if let Err(error) = &done {
            tracing::error!(bulk_action, %error, "a bulk action broke off");
            // If this fails too, its silence says so.
            let now = self.clock.now();
            self.ledger
                .break_off_bulk_action(bulk_action, now)
                .await
                .ok();
        }
        Ok(done?)
    }

    async fn carry_on(
        &self,
        bulk_action: i64,
        chosen: &BulkSelection,
        words: &str,
        by: &Authorization,
    ) -> Result<BulkCounts, LedgerError> {
        let mut done = BulkCounts {
            bulk_action: Some(bulk_action),
            ..BulkCounts::default()
        };
        for chunk in chosen.each.chunks(CHUNK) {
            payrun_system::failpoint::hit("bulk_step");
            let (ledger, now) = (&self.ledger, self.clock.now());
            let outcome = ledger
                .apply_actions(bulk_action, chunk, chosen.verb, (by, words), now)
                .await?;
            outcome
                .into_iter()
                .for_each(|(id, result)| done.count(id, result));
        }
        Ok(done)
    }

    /// Begins a bulk action and carries it out; where no item was chosen there is none.
    ///
    /// # Errors
    /// As [`Engine::carry_out`].
    pub async fn act_on_chosen(
        &self,
        chosen: &BulkSelection,
        words: &str,
        by: &Authorization,
    ) -> Result<BulkCounts, BulkError> {
        if chosen.counted.items == 0 {
            return Ok(BulkCounts::default());
        }
        match self.begin_bulk_action(chosen, None, by).await? {
            BulkStart::Begun(id) => self.carry_out(id, chosen, words, by).await,
            // Without a key each is another one.
            BulkStart::Again(_) | BulkStart::Otherwise => Ok(BulkCounts::default()),
        }
    }
}

impl BulkCounts {
    /// With what was done in another round; what was refused is what this one refused.
    fn add(&mut self, round: Self) {
        for (state, items) in round.moved {
            *self.moved.entry(state).or_default() += items;
        }
        for (state, items) in round.withdrawn {
            *self.withdrawn.entry(state).or_default() += items;
        }
        self.bulk_action = round.bulk_action.or(self.bulk_action);
        self.refused = round.refused;
    }

    fn count(&mut self, id: i64, result: ActionResult) {
        if !result.count_done(&mut self.moved, &mut self.withdrawn) {
            self.refused.push((id, result));
        }
    }
}

fn is_meant(item: &ItemRow, verb: BulkVerb, left: &BTreeSet<i64>) -> bool {
    let is_withdrawn_already = verb == BulkVerb::Cancel && item.withdrawn.is_some();
    !is_withdrawn_already && !left.contains(&item.id)
}

fn count(counted: &mut CountedItems, item: &ItemRow) {
    counted.items += 1;
    *counted.states.entry(item.state).or_default() += 1;
    if let Some(amount) = item.amount {
        let currency = amount.currency();
        let sum = counted.sums.entry(currency.code()).or_insert((0, currency));
        sum.0 = sum.0.saturating_add(amount.minor());
    }
}
