//! Giving up what is being read: whoever wanted it has gone, or the process is about to end.

use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Said once, it ends whatever is read for whoever says it.
#[derive(Debug, Clone, Default)]
pub struct ReadCancellation(Arc<Mutex<ReadCancellationState>>);

#[derive(Debug, Default)]
struct ReadCancellationState {
    said: bool,
    /// The processes that read.
    readers: Vec<Weak<Mutex<Child>>>,
    /// What it is said to as well.
    parts: Vec<Weak<Mutex<ReadCancellationState>>>,
}

impl ReadCancellation {
    /// Ends what is read, and whatever would be begun.
    pub fn say(&self) {
        let parts: Vec<_> = {
            let mut state = locked(&self.0);
            state.said = true;
            state
                .readers
                .drain(..)
                .filter_map(|reader| reader.upgrade())
                .for_each(|reader| kill(&reader));
            state.parts.drain(..).collect()
        };
        for part in parts.iter().filter_map(Weak::upgrade) {
            Self(part).say();
        }
    }

    /// One of its own for a part of what is read: said by itself, or with this one.
    #[must_use]
    pub fn part(&self) -> Self {
        let part = Self::default();
        let mut state = locked(&self.0);
        locked(&part.0).said = state.said;
        state.parts.retain(|part| part.strong_count() > 0);
        state.parts.push(Arc::downgrade(&part.0));
        part
    }

    /// Whether it was said.
    pub fn is_said(&self) -> bool {
        locked(&self.0).said
    }

    /// Says it when it is dropped.
    pub fn when_dropped(&self) -> ReadCancellationGuard {
        ReadCancellationGuard(self.clone())
    }

    /// Ends this process too when it is said.
    pub(super) fn ends(&self, reader: &Arc<Mutex<Child>>) {
        let mut state = locked(&self.0);
        if state.said {
            kill(reader);
        }
        state.readers.retain(|reader| reader.strong_count() > 0);
        state.readers.push(Arc::downgrade(reader));
    }
}

/// Somebody waits for what is read, until this is dropped.
#[derive(Debug)]
pub struct ReadCancellationGuard(ReadCancellation);

impl Drop for ReadCancellationGuard {
    fn drop(&mut self) {
        self.0.say();
    }
}

fn kill(reader: &Mutex<Child>) {
    locked(reader).kill().ok();
}

/// What is locked, also where a thread has panicked with it.
pub(super) fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::ReadCancellation;

    #[test]
    fn a_part_ends_with_the_whole_and_the_whole_goes_on_without_it() {
        let whole = ReadCancellation::default();
        let (one, other) = (whole.part(), whole.part());
        one.say();
        assert!(one.is_said() && !other.is_said() && !whole.is_said());
        whole.say();
        assert!(other.is_said() && whole.part().is_said());
    }
}
