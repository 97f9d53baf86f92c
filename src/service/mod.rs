//! The service: what runs by itself, day after day, in one process or in several beside each other.
//!
//! Each duty is a loop of its own (`periodic.rs`) that looks at the ledger, does what is due and
//! sleeps. None leads: what may happen once is a row with a unique key, so that any process may
//! try. A duty that fails is tried again, and [`health`] tells of it; nothing here ends because a
//! database or a disk is away for a while.

pub mod alerts;
pub mod health;
mod housekeeping;
mod notifications;
mod periodic;
mod reports;
mod runs;
mod schedules;
mod workers;
pub mod workflows;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::engine::Engine;
use crate::engine::schedule::SeenSchedules;
use crate::ledger::NodeId;
use alerts::AlertSenders;
use health::Health;
use workflows::Workflows;

/// What the duties share.
#[derive(Clone)]
pub struct Service {
    /// The use cases.
    pub engine: Arc<Engine>,
    /// This process, as the ledger knows it.
    pub node: NodeId,
    /// The workflows that are in force.
    pub workflows: Arc<Workflows>,
    /// The schedules that this process has seen in force.
    pub seen: Arc<SeenSchedules>,
    /// Health of the duties.
    pub health: Arc<Health>,
}

impl Service {
    /// One that has not begun.
    pub fn new(engine: Arc<Engine>, node: NodeId, workflows: Arc<Workflows>) -> Self {
        Self {
            engine,
            node,
            workflows,
            seen: Arc::default(),
            health: Arc::default(),
        }
    }

    /// Does everything until told to stop: then nothing new is sent, and what is under way is
    /// settled.
    pub async fn run(&self, senders: AlertSenders, stop: watch::Receiver<bool>) {
        let mut duties = JoinSet::new();
        duties.spawn(alerts::run(self.clone(), senders, stop.clone()));
        duties.spawn(schedules::run(self.clone(), stop.clone()));
        duties.spawn(housekeeping::run(self.clone(), stop.clone()));
        duties.spawn(reports::want_months(self.clone(), stop.clone()));
        self.keep(duties, stop).await;
    }

    /// Works on whatever is open until told to stop, and begins nothing by itself.
    pub async fn work(&self, stop: watch::Receiver<bool>) {
        self.keep(JoinSet::new(), stop).await;
    }

    async fn keep(&self, mut duties: JoinSet<()>, stop: watch::Receiver<bool>) {
        duties.spawn(workflows::run(self.clone(), stop.clone()));
        duties.spawn(workers::run(self.clone(), stop.clone()));
        duties.spawn(notifications::run(self.clone(), stop.clone()));
        duties.spawn(reports::make(self.clone(), stop.clone()));
        duties.spawn(runs::run(self.clone(), stop));
        while let Some(ended) = duties.join_next().await {
            if let Err(error) = ended {
                // A duty never ends by itself: this is a defect, and the process must not go on
                // without it.
                tracing::error!(error = %error, "a duty of the service broke");
                std::process::abort();
            }
        }
    }
}
