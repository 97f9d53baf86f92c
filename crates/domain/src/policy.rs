//! How long to wait, how often to try, and when to stop asking. Values only; the workflow or the
//! job kind gives them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Everything the state machine needs to know about a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// When the gateway certainly did nothing.
    pub retry: Retry,
    /// When it is not known what the gateway did.
    pub query: QueryPolicy,
    /// How long after each soft decline to try again; its length bounds the tries.
    pub dunning: Vec<Duration>,
}

/// Calls per time, as `20/s` or `600/min` in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many calls.
    pub calls: u32,
    /// In which time.
    pub per: Duration,
}

impl Rate {
    /// Whether this is more calls in the same time than another.
    pub fn is_faster_than(self, other: Self) -> bool {
        u128::from(self.calls) * other.per.as_millis()
            > u128::from(other.calls) * self.per.as_millis()
    }

    /// The slower of two.
    #[must_use]
    pub fn slower(self, other: Self) -> Self {
        if self.is_faster_than(other) {
            other
        } else {
            self
        }
    }
}

impl fmt::Display for Rate {
    /// As the file writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.per.as_millis() {
            1_000 => write!(f, "{}/s", self.calls),
            60_000 => write!(f, "{}/min", self.calls),
            3_600_000 => write!(f, "{}/h", self.calls),
            millis => write!(f, "{} in {millis} ms", self.calls),
        }
    }
}

/// Sending the same number again after `NotProcessed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How often one order number is sent at most.
    pub attempts: u32,
    /// The wait after the first; doubles each time.
    pub first: Duration,
    /// The longest wait.
    pub max: Duration,
}

/// Asking what became of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryPolicy {
    /// Waits between queries; the last repeats.
    pub schedule: Vec<Duration>,
    /// How long after sending "no such order" does not count.
    pub grace: Duration,
    /// How long after sending asking goes on; then a person is needed.
    pub horizon: Duration,
}

impl Retry {
    /// The wait before sending for the `attempt`th time again, with up to a quarter added by
    /// `jitter` (0 to 255).
    pub fn wait(&self, attempt: u32, jitter: u8) -> Duration {
        let doubled = self
            .first
            .saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1).min(30)));
        jittered(doubled.min(self.max), jitter)
    }
}

impl QueryPolicy {
    /// The wait before asking again when `asked` queries have been made, with up to a quarter added
    /// by `jitter`.
    pub fn wait(&self, asked: u32, jitter: u8) -> Duration {
        let place = usize::try_from(asked).unwrap_or(usize::MAX);
        let base = self
            .schedule
            .get(place)
            .or(self.schedule.last())
            .copied()
            .unwrap_or(Duration::from_secs(60));
        jittered(base, jitter)
    }
}

fn jittered(base: Duration, jitter: u8) -> Duration {
    base.saturating_add(base / 1024 * u32::from(jitter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_to_its_bound_and_jitter_adds_at_most_a_quarter() {
        let retry = Retry {
            attempts: 9,
            first: Duration::from_secs(1),
            max: Duration::from_secs(10),
        };
        assert_eq!(retry.wait(1, 0), Duration::from_secs(1));
        assert_eq!(retry.wait(3, 0), Duration::from_secs(4));
        assert_eq!(retry.wait(40, 0), Duration::from_secs(10));
        assert!(retry.wait(40, 255) <= Duration::from_millis(12_500));
    }

    #[test]
    fn the_slower_rate_is_the_one_with_fewer_calls_in_the_same_time() {
        let per = |calls, seconds| Rate {
            calls,
            per: Duration::from_secs(seconds),
        };
        assert_eq!(per(100, 60).slower(per(2, 1)), per(100, 60));
        assert!(per(2, 1).is_faster_than(per(100, 60)) && !per(100, 60).is_faster_than(per(2, 1)));
        assert!(per(9, 10).is_faster_than(per(3, 5)) && !per(3, 5).is_faster_than(per(9, 10)));
        assert_eq!(
            per(2, 1).slower(per(7200, 3600)),
            per(2, 1),
            "the same speed"
        );
        assert_eq!(
            [per(2, 1), per(90, 60), per(5, 3600)].map(|rate| rate.to_string()),
            ["2/s", "90/min", "5/h"]
        );
    }

    #[test]
    fn the_last_wait_of_a_schedule_repeats() {
        let schedule = vec![Duration::from_secs(1), Duration::from_secs(5)];
        let query = QueryPolicy {
            schedule,
            grace: Duration::ZERO,
            horizon: Duration::from_secs(60),
        };
        assert_eq!(query.wait(0, 0), Duration::from_secs(1));
        assert_eq!(query.wait(1, 0), Duration::from_secs(5));
        assert_eq!(query.wait(9, 0), Duration::from_secs(5));
    }
}
