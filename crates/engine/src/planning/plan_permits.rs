//! How many plans a process makes at once: each of them has a file, a transaction and its rows
//! under way. What is only shown has a place of its own, so that no run and no schedule waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use payrun_project::workflow::source::ReadCancellation;

/// The most plans at once.
const PLANS: usize = 2;

/// The most plans at once of which nothing is kept.
const PREVIEWS: usize = 1;

/// The most that wait for a place of either sort.
const WAITING: usize = 8;

/// How long one waits.
const PATIENCE: Duration = Duration::from_secs(20);

/// The places of a process.
#[derive(Debug)]
pub struct PlanPermits {
    plans: PermitLine,
    previews: PermitLine,
    /// Of files that are in memory as a whole.
    whole: Arc<Semaphore>,
    ending: ReadCancellation,
}

/// Places of one sort, and those who wait for them.
#[derive(Debug)]
struct PermitLine {
    places: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

/// A plan's place, until it is dropped.
#[derive(Debug)]
pub struct PlanPermit {
    _permits: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
}

impl Default for PlanPermits {
    fn default() -> Self {
        Self {
            plans: PermitLine::of(PLANS),
            previews: PermitLine::of(PREVIEWS),
            whole: Arc::new(Semaphore::new(1)),
            ending: ReadCancellation::default(),
        }
    }
}

impl PermitLine {
    fn of(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            all: Arc::new(Semaphore::new(places + WAITING)),
        }
    }

    async fn ask(&self) -> Option<PlanPermit> {
        let waits = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let place = tokio::time::timeout(PATIENCE, Arc::clone(&self.places).acquire_owned()).await;
        Some(PlanPermit {
            _permits: (place.ok()?.ok()?, Some(waits)),
        })
    }

    fn close(&self) {
        self.places.close();
        self.all.close();
    }
}

impl PlanPermits {
    /// A place, at once or soon; none if too many wait, or it takes too long.
    pub async fn ask(&self) -> Option<PlanPermit> {
        self.plans.ask().await
    }

    /// A place for a plan of which nothing is kept, likewise, and what ends it: said when nobody waits
    /// for it any more, or when the process is about to end.
    pub async fn ask_for_preview(&self) -> Option<(PlanPermit, ReadCancellation)> {
        let place = self.previews.ask().await?;
        Some((place, self.ending.part()))
    }

    /// Has the plans under way give up, and makes no more: the process is about to end.
    pub fn close(&self) {
        self.plans.close();
        self.previews.close();
        self.whole.close();
        self.ending.say();
    }

    /// Leave to have a file in memory as a whole, which only one has at a time; none if that takes
    /// too long.
    pub(crate) async fn whole_file(&self) -> Option<OwnedSemaphorePermit> {
        tokio::time::timeout(PATIENCE, Arc::clone(&self.whole).acquire_owned())
            .await
            .ok()?
            .ok()
    }

    /// Said when the process is about to end.
    pub(crate) fn ending(&self) -> ReadCancellation {
        self.ending.clone()
    }

    /// A place, however long that takes: a schedule's time comes once.
    pub(crate) async fn wait(&self) -> Option<PlanPermit> {
        let place = Arc::clone(&self.plans.places).acquire_owned().await;
        Some(PlanPermit {
            _permits: (place.ok()?, None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_have_a_place_eight_wait_and_the_others_are_told_to_come_back() {
        let places = Arc::new(PlanPermits::default());
        let held = [places.ask().await, places.ask().await];
        assert!(held.iter().all(Option::is_some));
        let waiting: Vec<_> = (0..WAITING)
            .map(|_| {
                let places = Arc::clone(&places);
                tokio::spawn(async move { places.ask().await.is_some() })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(
            places.ask().await.is_none(),
            "nobody waits behind the eighth"
        );
        drop(held);
        for waited in waiting {
            assert!(waited.await.unwrap());
        }
        assert!(places.ask().await.is_some());
    }

    #[tokio::test]
    async fn what_is_only_shown_takes_no_place_of_a_run() {
        let places = PlanPermits::default();
        let (shown, cancellation) = places.ask_for_preview().await.unwrap();
        let runs = [places.ask().await, places.ask().await];
        assert!(runs.iter().all(Option::is_some));
        drop(runs);
        assert!(places.wait().await.is_some());
        places.close();
        assert!(cancellation.is_said());
        drop(shown);
    }
}
