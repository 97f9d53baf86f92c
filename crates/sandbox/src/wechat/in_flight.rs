//! Which contracts have a deduction whose reply is on its way.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Contracts by id, with the order that is in flight.
#[derive(Debug, Default)]
pub(crate) struct InFlight(Mutex<HashMap<String, String>>);

/// Takes a contract out again when the reply is sent, or the caller has gone.
#[derive(Debug)]
pub(crate) struct Flight<'a> {
    all: &'a InFlight,
    contract: String,
}

impl InFlight {
    /// Notes a contract; none if it is noted already.
    pub(crate) fn begin(&self, contract: &str, order: &str) -> Option<Flight<'_>> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.contains_key(contract) {
            return None;
        }
        map.insert(contract.to_owned(), order.to_owned());
        Some(Flight {
            all: self,
            contract: contract.to_owned(),
        })
    }

    /// Whether another order than this one is in flight on the contract.
    pub(crate) fn holds_other(&self, contract: &str, order: &str) -> bool {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(contract).is_some_and(|other| other != order)
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.all
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.contract);
    }
}
