//! What a process remembers of an account from one call to the next: how many replies in a row
//! could not be verified, which refusal the items of a job meet in a row, what was closed a moment
//! ago, and whether the gateway is reached.
//!
//! It writes nothing. What it forgets when the process ends is counted anew: some more calls are
//! made before a lane is closed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use payrun_domain::time::Timestamp;
use payrun_gateway::{Delivery, Observation};
use payrun_project::config::StopAfter;

/// How long nothing is called where what every call needs beforehand could not be had.
const UNPREPARED_PAUSE: Duration = Duration::from_secs(2);

/// So many calls in a row that nobody answered in time count like having no connection.
const UNANSWERED_MAX: u32 = 5;

/// What is remembered of an account.
#[derive(Debug, Default)]
pub struct AccountWatch {
    limits: StopAfter,
    seen: Mutex<WatchedAccount>,
}

#[derive(Debug, Default)]
struct WatchedAccount {
    /// Replies in a row that could not be verified.
    unverified: u32,
    /// By job: the refusal that its last items met, and how many in a row.
    refusals: HashMap<i64, (String, u32)>,
    /// By the name of what was closed: when.
    closed: HashMap<String, Timestamp>,
    /// Whether the last call found a connection; none before the first.
    reached: Option<bool>,
    /// Calls in a row that nobody answered in time.
    unanswered: u32,
    /// When what every call needs beforehand could not be had; none since it was.
    unprepared: Option<tokio::time::Instant>,
    /// How many calls wait for it.
    preparing: u32,
}

/// What has changed with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReachChange {
    /// The gateway is no longer reached: how that shows, in words.
    Lost(&'static str),
    /// The gateway is reached again, or for the first time by this process.
    Reached,
}

impl WatchedAccount {
    fn lost(&mut self, how: &'static str) -> Option<ReachChange> {
        (self.reached.replace(false) != Some(false)).then_some(ReachChange::Lost(how))
    }
}

impl AccountWatch {
    /// Remembers nothing yet.
    pub fn new(limits: StopAfter) -> Self {
        Self {
            limits,
            seen: Mutex::default(),
        }
    }

    /// Notes how far a call came; says what is new of that.
    pub(crate) fn note(&self, observed: &Observation) -> Option<ReachChange> {
        let mut seen = self.seen();
        let reached = match &observed.delivery {
            // The machines before a gateway answer errors unsigned: those vouch for nothing.
            Delivery::Replied if observed.result.get("unsigned").is_some() => true,
            Delivery::Replied => {
                seen.unverified = 0;
                true
            }
            Delivery::Unverified(_) | Delivery::NoKeys(_) => {
                seen.unverified = seen.unverified.saturating_add(1);
                true
            }
            Delivery::Unreachable(how, _) => {
                return seen.lost(how.words());
            }
            Delivery::TimedOut => {
                seen.unanswered = seen.unanswered.saturating_add(1);
                let is_silent = seen.unanswered >= UNANSWERED_MAX;
                return if is_silent {
                    seen.lost("it takes connections and does not answer")
                } else {
                    None
                };
            }
            Delivery::Refused(_) | Delivery::Lost(_) | Delivery::Unreadable(_) => true,
            // These say nothing of the connection: nothing was tried.
            Delivery::NotSent(_) | Delivery::Unsendable(_) => return None,
        };
        seen.unanswered = 0;
        (reached && seen.reached.replace(true) != Some(true)).then_some(ReachChange::Reached)
    }

    /// Notes that a call waits for what every call needs beforehand.
    pub(crate) fn note_preparing(&self) {
        self.seen().preparing += 1;
    }

    /// Notes whether it was had.
    pub(crate) fn note_prepared(&self, had: bool) {
        let mut seen = self.seen();
        seen.preparing = seen.preparing.saturating_sub(1);
        seen.unprepared = (!had).then(tokio::time::Instant::now);
    }

    /// Whether a call waits for what every call needs beforehand.
    pub fn is_preparing(&self) -> bool {
        self.seen().preparing > 0
    }

    /// For how long nothing is called, since what every call needs beforehand could not be had just
    /// now.
    pub fn paused_for(&self) -> Option<Duration> {
        let failed = self.seen().unprepared?;
        Some(UNPREPARED_PAUSE.saturating_sub(failed.elapsed())).filter(|left| !left.is_zero())
    }

    /// Whether nothing can be called, as the last try found: to wait is all that can be done.
    pub fn is_out_of_reach(&self) -> bool {
        let seen = self.seen();
        seen.reached == Some(false) || seen.unprepared.is_some()
    }

    /// How many replies in a row could not be verified, if those are as many as stop the lane.
    pub(crate) fn too_many_unverified(&self) -> Option<u32> {
        Some(self.seen().unverified).filter(|times| *times >= self.limits.unverified)
    }

    /// Notes that an item of a job was refused for the request as such, with this code, or, without
    /// one, that it was not. Says how many in a row were refused so, if those are as many as stop
    /// the job.
    pub(crate) fn note_refusal(&self, job_id: i64, code: Option<&str>) -> Option<u32> {
        let mut seen = self.seen();
        let Some(code) = code else {
            seen.refusals.remove(&job_id);
            return None;
        };
        let (met, times) = seen.refusals.entry(job_id).or_default();
        if met != code {
            (*met, *times) = (code.to_owned(), 0);
        }
        *times += 1;
        let times = *times;
        (times >= self.limits.refused).then_some(times)
    }

    /// Notes that something was closed: what was claimed of it before is not sent. The counting
    /// begins anew.
    pub(crate) fn close(&self, name: &str, job_id: Option<i64>, now: Timestamp, lease: Duration) {
        let mut seen = self.seen();
        match job_id {
            None => seen.unverified = 0,
            Some(job_id) => {
                seen.refusals.remove(&job_id);
            }
        }
        seen.closed.retain(|_, at| now.since(*at) < lease);
        seen.closed.insert(name.to_owned(), now);
    }

    /// Whether one of these was closed after an item was claimed at this instant. A claim is never
    /// older than its lease: what a clock that was set back makes older was claimed since.
    pub(crate) fn is_closed_since(
        &self,
        names: &[String],
        claimed: Timestamp,
        lease: Duration,
    ) -> bool {
        let seen = self.seen();
        let closed = |name| {
            seen.closed
                .get(name)
                .is_some_and(|at| claimed <= *at && at.since(claimed) < lease)
        };
        names.iter().any(closed)
    }

    fn seen(&self) -> MutexGuard<'_, WatchedAccount> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use payrun_gateway::NoConnection;

    fn unverified() -> Observation {
        Observation::of(Delivery::Unverified("the signature is wrong".into()))
    }

    #[test]
    fn a_verified_reply_ends_a_row_and_an_unsigned_error_does_not() {
        let watch = AccountWatch::new(StopAfter {
            unverified: 2,
            refused: 2,
        });
        watch.note(&unverified());
        watch.note(&Observation::of(Delivery::Replied));
        watch.note(&unverified());
        assert_eq!(watch.too_many_unverified(), None);
        let mut unsigned = Observation::of(Delivery::Replied);
        unsigned.result.insert("unsigned".into(), true.into());
        watch.note(&unsigned);
        watch.note(&Observation::of(Delivery::TimedOut));
        watch.note(&unverified());
        assert_eq!(watch.too_many_unverified(), Some(2));
        watch.close(
            "hk",
            None,
            Timestamp::from_millis(5),
            Duration::from_secs(60),
        );
        assert_eq!(watch.too_many_unverified(), None);
    }

    #[test]
    fn a_job_is_stopped_by_the_same_refusal_in_a_row_only() {
        let watch = AccountWatch::new(StopAfter {
            unverified: 2,
            refused: 2,
        });
        assert_eq!(watch.note_refusal(1, Some("A")), None);
        assert_eq!(watch.note_refusal(1, Some("B")), None);
        assert_eq!(watch.note_refusal(1, None), None);
        assert_eq!(watch.note_refusal(1, Some("B")), None);
        assert_eq!(watch.note_refusal(2, Some("B")), None, "another job");
        assert_eq!(watch.note_refusal(1, Some("B")), Some(2));
    }

    #[test]
    fn what_was_claimed_before_the_close_is_given_back_and_what_is_claimed_after_is_sent() {
        let (watch, lease) = (AccountWatch::default(), Duration::from_secs(60));
        let names = ["hk".to_owned(), "hk/deduct".to_owned()];
        let closed = |at| watch.is_closed_since(&names, Timestamp::from_millis(at), lease);
        assert!(!closed(1_000_000));
        watch.close("hk", None, Timestamp::from_millis(1_000_000), lease);
        assert!(closed(1_000_000) && closed(999_000) && !closed(1_000_001));
        assert!(!closed(1_000_000 - 60_000), "after a clock was set back");
    }

    #[test]
    fn that_a_gateway_is_lost_or_reached_is_news_once() {
        let watch = AccountWatch::default();
        let lost = Observation::of(Delivery::Unreachable(NoConnection::Refused, String::new()));
        let replied = Observation::of(Delivery::Replied);
        assert_eq!(
            watch.note(&lost),
            Some(ReachChange::Lost("connection refused"))
        );
        assert_eq!(watch.note(&lost), None);
        assert_eq!(watch.note(&replied), Some(ReachChange::Reached));
        assert_eq!(watch.note(&replied), None);
    }

    #[test]
    fn a_gateway_that_answers_nothing_in_a_row_is_out_of_reach_until_it_answers() {
        let watch = AccountWatch::default();
        let (silent, replied) = (
            Observation::of(Delivery::TimedOut),
            Observation::of(Delivery::Replied),
        );
        for observed in [
            &silent, &silent, &silent, &silent, &replied, &silent, &silent, &silent, &silent,
        ] {
            watch.note(observed);
            assert!(!watch.is_out_of_reach());
        }
        assert!(matches!(watch.note(&silent), Some(ReachChange::Lost(_))));
        assert_eq!(watch.note(&silent), None);
        assert!(watch.is_out_of_reach());
        assert_eq!(watch.note(&replied), Some(ReachChange::Reached));
        assert!(!watch.is_out_of_reach());
    }
}
