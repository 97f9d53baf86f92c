//! Planning the periods of contracts, in one transaction with their items.
//!
//! A contract is taken before its items are added, by the version it was read with; what somebody
//! else has planned or changed meanwhile is left alone. A period whose row was refused, or left out
//! by the job's condition, stays due.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::{lapse, refusal};
use payrun_domain::ids::KeyHash;
use payrun_domain::item::State;
use payrun_domain::message::Message;
use payrun_ledger::{
    AccountedPeriod, LedgerError, NewItem, PeriodOutcome, PlanWriter, PlannedContract,
    PlannedPeriod, RejectedRow,
};

/// Takes contracts for a plan. What is left alone makes no item, and says so.
pub(crate) async fn claim_contracts(
    planning: &mut PlanWriter,
    contracts: &mut Vec<PlannedContract>,
    items: &mut Vec<NewItem>,
    refusals: &mut Vec<RejectedRow>,
) -> Result<(), LedgerError> {
    if contracts.is_empty() {
        return Ok(());
    }
    let left = planning.take_contracts(contracts).await?;
    let (mine, others): (Vec<_>, Vec<_>) = contracts
        .drain(..)
        .partition(|contract| !left.contains(&contract.id));
    *contracts = mine;
    name(contracts, refusals);
    let lines: BTreeSet<u64> = others
        .iter()
        .flat_map(|contract| &contract.periods)
        .map(|period| period.line)
        .collect();
    let meant: BTreeSet<u64> = items.iter().map(|item| item.line).collect();
    items.retain(|item| !lines.contains(&item.line));
    refusals.retain(|refusal| !lines.contains(&refusal.line));
    for (contract, period) in each(&others).filter(|(_, period)| meant.contains(&period.line)) {
        let reason = Message::new(
            "contract-changed-meanwhile",
            "somebody else has planned or changed this contract meanwhile",
        );
        let PlannedPeriod {
            line,
            period,
            amount,
            ..
        } = period;
        refusals.push(refusal(
            *line,
            &contract.contract,
            period,
            State::Skipped,
            *amount,
            reason,
        ));
    }
    Ok(())
}

/// Accounts for the periods of which items were planned, and for those that have lapsed.
pub(crate) async fn note(
    planning: &mut PlanWriter,
    contracts: &[PlannedContract],
    items: &[NewItem],
    refused: &[RejectedRow],
) -> Result<(), LedgerError> {
    if contracts.is_empty() {
        return Ok(());
    }
    // A row that was refused because its key is there already has been charged by whoever has the
    // key.
    let without_item = refused
        .iter()
        .filter(|refusal| refusal.duplicate_of.is_none());
    let without_item: BTreeSet<u64> = without_item.map(|refusal| refusal.line).collect();
    let keys = items
        .iter()
        .filter(|item| !without_item.contains(&item.line));
    let keys: BTreeMap<u64, KeyHash> = keys.map(|item| (item.line, item.key_hash)).collect();
    let outcome = |taken: &PlannedPeriod| match keys.get(&taken.line) {
        _ if taken.lapsed => Some(PeriodOutcome::Lapsed(lapse(&taken.period).to_string())),
        Some(key) => Some(PeriodOutcome::Planned(*key)),
        None => None,
    };
    let noted: Vec<AccountedPeriod<'_>> = each(contracts)
        .filter_map(|(contract, taken)| {
            Some(AccountedPeriod {
                contract_id: contract.id,
                taken,
                outcome: outcome(taken)?,
            })
        })
        .collect();
    let next = |contract: &PlannedContract| {
        let open = contract
            .periods
            .iter()
            .find(|taken| outcome(taken).is_none());
        (
            contract.id,
            open.map(|taken| taken.period.due).or(contract.next_due),
        )
    };
    let next: Vec<_> = contracts.iter().map(next).collect();
    planning.note_periods(&noted, &next).await
}

fn each(contracts: &[PlannedContract]) -> impl Iterator<Item = (&PlannedContract, &PlannedPeriod)> {
    contracts.iter().flat_map(|contract| {
        contract
            .periods
            .iter()
            .map(move |period| (contract, period))
    })
}

/// A line of contracts says nothing to people: refused rows get their key.
fn name(contracts: &[PlannedContract], refusals: &mut [RejectedRow]) {
    if refusals.iter().all(|refusal| !refusal.key.is_empty()) {
        return;
    }
    let keys: BTreeMap<u64, String> = each(contracts)
        .map(|(contract, taken)| {
            (
                taken.line,
                format!("{}/{}", contract.contract, taken.period.name),
            )
        })
        .collect();
    for refusal in refusals.iter_mut().filter(|refusal| refusal.key.is_empty()) {
        refusal.key = keys.get(&refusal.line).cloned().unwrap_or_default();
    }
}
