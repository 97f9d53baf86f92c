//! The only place that reads the clock. Tests drive their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::domain::time::Timestamp;

/// Where `now` comes from.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that stands until it is set, shared by all its clones.
    Driven(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at this instant.
    pub fn driven(at: Timestamp) -> Self {
        Self::Driven(Arc::new(AtomicI64::new(at.millis())))
    }

    /// The instant it is.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::from_millis(chrono::Utc::now().timestamp_millis()),
            Self::Driven(at) => Timestamp::from_millis(at.load(Ordering::SeqCst)),
        }
    }

    /// Sets a driven clock; the machine's clock cannot be set.
    pub fn set(&self, at: Timestamp) {
        if let Self::Driven(instant) = self {
            instant.store(at.millis(), Ordering::SeqCst);
        }
    }
}
