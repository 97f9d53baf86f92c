//! The seeded faults of a call and of what a notification says (`payrun_domain::mutation`).

use payrun_domain::ids::OrderNumber;
use payrun_domain::money::Amount;
use payrun_domain::mutation::{Mutation, is};
use payrun_gateway::Call;
use payrun_ledger::Claimed;

/// A withdrawal that is not read again before the call.
pub(crate) fn withdrawn(withdrawn: bool) -> bool {
    withdrawn && !is(Mutation::WithdrawalNotReadAgain)
}

/// A lease that is not looked at.
pub(crate) fn outlives(outlives: bool) -> bool {
    outlives && !is(Mutation::LeaseNotChecked)
}

/// A call under another number, or of another amount, than was claimed.
pub(crate) fn call(mut call: Call, claimed: &Claimed) -> Call {
    if is(Mutation::NumberOfItsOwn) {
        call.order_no = OrderNumber::derive(claimed.key(), 90);
    }
    if is(Mutation::AmountPlusOne) {
        let more = |amount: Amount| Amount::from_minor(amount.minor() + 1, amount.currency()).ok();
        call.amount = call.amount.and_then(more);
    }
    call
}

/// An amount with which a notification's is not compared.
pub(crate) fn expected(amount: Option<Amount>) -> Option<Amount> {
    amount.filter(|_| !is(Mutation::NotifiedAmountNotCompared))
}
