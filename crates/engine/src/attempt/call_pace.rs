//! Keeps an account's rate in every single span of it. The ledger spreads the calls of all
//! processes in the mean; what was claimed together may still be sent together, later than the
//! ledger reckoned, so each process counts once more when it sends.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep_until;

use payrun_project::config::Rate;

/// How much longer than the rate's span calls are kept apart, as a share of it, and at most: on
/// their way some are faster than others.
const MARGIN: u32 = 50;
const MARGIN_MAX: Duration = Duration::from_millis(50);

/// When the last calls began.
#[derive(Debug)]
pub struct CallPace {
    calls: usize,
    span: Duration,
    began: Mutex<VecDeque<tokio::time::Instant>>,
}

impl CallPace {
    /// So many calls in every span of a rate, and `burst` more.
    pub fn of(rate: Rate, burst: u32) -> Self {
        let calls = usize::try_from(rate.calls.saturating_add(burst))
            .unwrap_or(usize::MAX)
            .max(1);
        let span = rate.per.saturating_add((rate.per / MARGIN).min(MARGIN_MAX));
        Self {
            calls,
            span,
            began: Mutex::default(),
        }
    }

    /// Waits until a call may begin.
    pub async fn wait(&self) {
        sleep_until(self.next(tokio::time::Instant::now())).await;
    }

    /// When a call may begin that wants to now; it is taken for begun then.
    fn next(&self, now: tokio::time::Instant) -> tokio::time::Instant {
        let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
        let earliest = if began.len() < self.calls {
            None
        } else {
            began.pop_front().map(|first| first + self.span)
        };
        let at = earliest.map_or(now, |earliest| earliest.max(now));
        began.push_back(at);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn most_in_a_span(pace: &CallPace, span: Duration, calls: usize) -> usize {
        let mut now = tokio::time::Instant::now();
        let mut at = Vec::new();
        for _ in 0..calls {
            now = pace.next(now);
            at.push(now);
        }
        let within = |first| {
            at.iter()
                .filter(|at| **at >= first && **at < first + span)
                .count()
        };
        at.iter().map(|first| within(*first)).max().unwrap_or(0)
    }

    #[test]
    fn no_span_has_more_calls_than_the_rate_and_the_burst_that_is_allowed() {
        let span = Duration::from_millis(200);
        let rate = Rate {
            calls: 20,
            per: span,
        };
        assert_eq!(most_in_a_span(&CallPace::of(rate, 0), span, 70), 20);
        assert_eq!(most_in_a_span(&CallPace::of(rate, 5), span, 70), 25);
    }
}
