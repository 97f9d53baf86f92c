//! How much of something each token may have at once, and all together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What there is to be had, and who has it.
#[derive(Debug)]
pub(super) struct Quota {
    each: usize,
    all: usize,
    taken: Mutex<HashMap<String, usize>>,
}

/// One of it; it is given back when this is dropped.
#[derive(Debug)]
pub(super) struct QuotaPermit {
    of: Arc<Quota>,
    name: String,
}

impl Quota {
    /// So much for each token, and for all.
    pub fn new(each: usize, all: usize) -> Arc<Self> {
        Arc::new(Self {
            each,
            all,
            taken: Mutex::default(),
        })
    }

    /// One for the token of this name; none if it has its share, or all is taken.
    pub fn take(self: &Arc<Self>, name: &str) -> Option<QuotaPermit> {
        let mut taken = self.taken();
        let own = taken.get(name).copied().unwrap_or(0);
        if own >= self.each || taken.values().sum::<usize>() >= self.all {
            return None;
        }
        taken.insert(name.to_owned(), own + 1);
        Some(QuotaPermit {
            of: Arc::clone(self),
            name: name.to_owned(),
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for QuotaPermit {
    fn drop(&mut self) {
        let mut taken = self.of.taken();
        match taken.get_mut(&self.name) {
            Some(own) if *own > 1 => *own -= 1,
            Some(_) | None => drop(taken.remove(&self.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_than_a_share_and_what_is_given_back_is_had_again() {
        let shares = Quota::new(2, 3);
        let (one, two) = (shares.take("ann").unwrap(), shares.take("ann").unwrap());
        assert!(shares.take("ann").is_none());
        let three = shares.take("bob").unwrap();
        assert!(shares.take("cid").is_none(), "all is taken");
        drop(one);
        assert!(shares.take("bob").is_some_and(|share| share.name == "bob"));
        drop((two, three));
        assert!(shares.taken().is_empty());
    }
}
