//! The only place that reads the clock. Tests drive their own.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use payrun_domain::time::Timestamp;

/// Where `now` comes from.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that stands until it is set, shared by all its clones.
    Driven(Arc<AtomicI64>),
    /// The machine's clock and what a file says in milliseconds: a test moves the clock of all
    /// processes that read the file.
    Moved(Arc<PathBuf>),
}

impl Clock {
    /// The machine's clock; where payrun is built with fail points, moved as the file says that
    /// `PAYRUN_CLOCK` names.
    pub fn of_machine() -> Self {
        #[cfg(any(debug_assertions, feature = "failpoints"))]
        if let Some(file) = std::env::var_os("PAYRUN_CLOCK") {
            return Self::Moved(Arc::new(PathBuf::from(file)));
        }
        Self::System
    }

    /// A clock that stands at this instant.
    pub fn driven(at: Timestamp) -> Self {
        Self::Driven(Arc::new(AtomicI64::new(at.millis())))
    }

    /// The instant it is.
    pub fn now(&self) -> Timestamp {
        let machine = || chrono::Utc::now().timestamp_millis();
        match self {
            Self::System => Timestamp::from_millis(machine()),
            Self::Driven(at) => Timestamp::from_millis(at.load(Ordering::SeqCst)),
            Self::Moved(file) => Timestamp::from_millis(machine() + moved_by(file)),
        }
    }

    /// Sets a driven clock; the machine's clock cannot be set.
    pub fn set(&self, at: Timestamp) {
        if let Self::Driven(instant) = self {
            instant.store(at.millis(), Ordering::SeqCst);
        }
    }
}

/// What the file says; nothing where it cannot be read.
fn moved_by(file: &PathBuf) -> i64 {
    std::fs::read_to_string(file)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}
