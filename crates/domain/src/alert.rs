//! What people are told of, by which rules, and when they do not want to be woken.
//!
//! A *lasting* incident goes on until it is over, and both are told. Everything else is an *event*: it
//! happened, and is told once.

use std::time::Duration;

use chrono::{DateTime, NaiveTime, Utc};
use chrono_tz::Tz;

use super::schedule::{FiringInterval, Schedule, ScheduleError};
use super::time::Timestamp;

/// What a rule may be on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertKind {
    /// A run has ended with failed items, or with a job that could not be planned.
    Failed,
    /// Rows were refused when a run was planned.
    Rejected,
    /// A run or a workflow file could not be taken up.
    Refused,
    /// A run would have exceeded a limit, so nothing of it was planned.
    Limit,
    /// No run has begun by a time.
    NotStarted,
    /// No run has ended by a time.
    NotFinished,
    /// It has not been known for long what became of an item.
    Unknown,
    /// Items need a person.
    NeedsReview,
    /// A batch waits for somebody to approve it.
    AwaitingApproval,
    /// Our balance is too small, or a person has suspended the lane.
    LaneSuspended,
    /// A gateway refuses us: signature, permission.
    LaneStopped,
    /// There is no connection to a gateway.
    GatewayUnreachable,
    /// A certificate or key expires soon.
    Certificate,
    /// A gateway answered what no outcome table lists, or what no page of it attests.
    UnmappedCode,
    /// The buyer that was declared to customs is not the payer.
    PayerDiffers,
    /// Answers contradict each other: money may have moved twice, or not at all.
    Alarm,
    /// Our books and a gateway's statement differ.
    Difference,
    /// Contracts were suspended after the last decline, or ended by the gateway's word.
    ContractStopped,
    /// Contracts have a period that fell due and that nothing has charged.
    ContractOverdue,
    /// The disk is full, or nearly.
    Disk,
    /// The ledger cannot be read or written.
    Database,
}

impl AlertKind {
    /// All kinds.
    pub const ALL: [Self; 21] = [
        Self::Failed,
        Self::Rejected,
        Self::Refused,
        Self::Limit,
        Self::NotStarted,
        Self::NotFinished,
        Self::Unknown,
        Self::NeedsReview,
        Self::AwaitingApproval,
        Self::LaneSuspended,
        Self::LaneStopped,
        Self::GatewayUnreachable,
        Self::Certificate,
        Self::UnmappedCode,
        Self::PayerDiffers,
        Self::Alarm,
        Self::Difference,
        Self::ContractStopped,
        Self::ContractOverdue,
        Self::Disk,
        Self::Database,
    ];

    /// The words of all kinds, as `on:` spells them.
    pub const WORDS: [&str; 21] = {
        let mut words = [""; 21];
        let mut place = 0;
        while place < words.len() {
            words[place] = Self::ALL[place].as_str();
            place += 1;
        }
        words
    };

    /// The word for this kind.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Refused => "refused",
            Self::Limit => "limit",
            Self::NotStarted => "not_started",
            Self::NotFinished => "not_finished",
            Self::Unknown => "unknown",
            Self::NeedsReview => "needs_review",
            Self::AwaitingApproval => "awaiting_approval",
            Self::LaneSuspended => "lane_suspended",
            Self::LaneStopped => "lane_stopped",
            Self::GatewayUnreachable => "gateway_unreachable",
            Self::Certificate => "certificate",
            Self::UnmappedCode => "unmapped_code",
            Self::PayerDiffers => "payer_differs",
            Self::Alarm => "alarm",
            Self::Difference => "difference",
            Self::ContractStopped => "contract_stopped",
            Self::ContractOverdue => "contract_overdue",
            Self::Disk => "disk",
            Self::Database => "database",
        }
    }

    /// The kind of this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether people are woken for it: money may be moving wrongly, or no money moves at all.
    pub const fn is_urgent(self) -> bool {
        match self {
            Self::LaneStopped
            | Self::GatewayUnreachable
            | Self::Alarm
            | Self::Disk
            | Self::Database => true,
            Self::Failed
            | Self::Rejected
            | Self::Refused
            | Self::Limit
            | Self::NotStarted
            | Self::NotFinished
            | Self::Unknown
            | Self::NeedsReview
            | Self::AwaitingApproval
            | Self::LaneSuspended
            | Self::Certificate
            | Self::UnmappedCode
            | Self::PayerDiffers
            | Self::Difference
            | Self::ContractStopped
            | Self::ContractOverdue => false,
        }
    }

    /// Whether it goes on until it is over.
    pub const fn is_lasting(self) -> bool {
        match self {
            Self::NotStarted
            | Self::NotFinished
            | Self::Unknown
            | Self::NeedsReview
            | Self::AwaitingApproval
            | Self::LaneSuspended
            | Self::LaneStopped
            | Self::GatewayUnreachable
            | Self::Certificate
            | Self::ContractOverdue
            | Self::Disk
            | Self::Database => true,
            Self::Failed
            | Self::Rejected
            | Self::Refused
            | Self::Limit
            | Self::UnmappedCode
            | Self::PayerDiffers
            | Self::Alarm
            | Self::Difference
            | Self::ContractStopped => false,
        }
    }

    /// What a rule on it may or must say of time.
    pub const fn timing(self) -> Timing {
        match self {
            Self::NotStarted | Self::NotFinished => Timing::Needed,
            Self::Failed
            | Self::Unknown
            | Self::NeedsReview
            | Self::AwaitingApproval
            | Self::LaneSuspended
            | Self::LaneStopped
            | Self::GatewayUnreachable
            | Self::ContractOverdue => Timing::After,
            Self::Rejected
            | Self::Refused
            | Self::Limit
            | Self::Certificate
            | Self::UnmappedCode
            | Self::PayerDiffers
            | Self::Alarm
            | Self::Difference
            | Self::ContractStopped
            | Self::Disk
            | Self::Database => Timing::AtOnce,
        }
    }
}

/// What a rule says of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Nothing: it is told at once.
    AtOnce,
    /// How long it must have lasted, if it is not to be told at once.
    After,
    /// By which time of day, or how long after the schedule's.
    Needed,
}

/// How long it must not have been known what became of an item, if a rule does not say.
pub const UNKNOWN_FOR: Duration = Duration::from_secs(900);

/// How long there must have been no connection to a gateway, if a rule does not say.
pub const UNREACHABLE_FOR: Duration = Duration::from_secs(60);

/// Who hears of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertRule {
    /// On what.
    pub on: AlertKind,
    /// How long it must have lasted; for an absence, how long after the schedule's time.
    pub after: Duration,
    /// For an absence: the time of day by which it should have happened.
    pub by: Option<NaiveTime>,
    /// Of which workflow only.
    pub workflow: Option<String>,
    /// To whom: e-mail addresses.
    pub to: Vec<String>,
}

impl AlertRule {
    /// What it says of time, in words: `after 15m`, `by 09:45`; the same words mean the same.
    pub fn spec(&self) -> String {
        match self.by {
            Some(by) => format!("by {}", by.format("%H:%M")),
            None if self.after.is_zero() => "at once".to_owned(),
            None => format!("after {}", duration_text(self.after)),
        }
    }
}

/// A duration as files write it, in the largest unit that fits.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(payrun_domain::alert::duration_text(Duration::from_secs(5_400)), "90m");
/// ```
pub fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        return format!("{}ms", duration.as_millis());
    }
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let fits = units
        .into_iter()
        .find(|(_, unit)| seconds.is_multiple_of(*unit));
    fits.map_or_else(String::new, |(word, unit)| {
        format!("{}{word}", seconds / unit)
    })
}

/// A time of day, such as `09:45`.
pub fn time_of_day(text: &str) -> Option<NaiveTime> {
    (text.len() == 5)
        .then(|| NaiveTime::parse_from_str(text, "%H:%M").ok())
        .flatten()
}

/// A certificate or key that is good until an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiringCredential {
    /// The gateway account.
    pub gateway: String,
    /// What it is: `platform certificate`, `merchant certificate`.
    pub what: String,
    /// Until when.
    pub until: Timestamp,
}

/// When nobody wants to hear of what can wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuietHours {
    from: NaiveTime,
    to: NaiveTime,
    end: Schedule,
}

impl QuietHours {
    /// From one time of day to another, over midnight if the second is the earlier one.
    ///
    /// # Errors
    /// If one of them is no time of day.
    pub fn new(from: &str, to: &str, zone: Tz) -> Result<Self, ScheduleError> {
        let time = |text: &str| {
            time_of_day(text).ok_or_else(|| ScheduleError::TimeOfDay {
                text: text.to_owned(),
            })
        };
        Ok(Self {
            from: time(from)?,
            to: time(to)?,
            end: Schedule::every(&FiringInterval::Day, to, zone)?,
        })
    }

    /// When they are over, if it is quiet now.
    ///
    /// ```
    /// use payrun_domain::alert::QuietHours;
    /// use payrun_domain::time::Timestamp;
    /// let quiet = QuietHours::new("22:00", "07:00", chrono_tz::UTC).unwrap();
    /// let three = Timestamp::from_millis(3 * 3_600_000);
    /// assert_eq!(quiet.over(three).unwrap().to_string(), "1970-01-01T07:00:00Z");
    /// assert_eq!(quiet.over(Timestamp::from_millis(12 * 3_600_000)), None);
    /// ```
    pub fn over(&self, now: Timestamp) -> Option<Timestamp> {
        let local = DateTime::<Utc>::from_timestamp_millis(now.millis())?
            .with_timezone(&self.end.zone())
            .time();
        let quiet = if self.from <= self.to {
            self.from <= local && local < self.to
        } else {
            self.from <= local || local < self.to
        };
        if quiet {
            self.end.next_after(now)
        } else {
            None
        }
    }
}

/// How far back a schedule is looked for, a little at first: it may fire every minute or once a
/// year.
const BACK: [Duration; 5] = [
    Duration::from_secs(3_600),
    Duration::from_secs(86_400),
    Duration::from_secs(8 * 86_400),
    Duration::from_secs(32 * 86_400),
    Duration::from_secs(400 * 86_400),
];

/// The last instant, not after this one, at which a schedule fired or should have.
pub fn last_fire(schedule: &Schedule, until: Timestamp) -> Option<Timestamp> {
    let first = |back: &Duration| {
        schedule
            .next_after(until.minus(*back))
            .filter(|at| *at <= until)
    };
    let first = BACK.iter().find_map(first)?;
    let later = std::iter::successors(Some(first), |at| {
        schedule.next_after(*at).filter(|next| *next <= until)
    });
    later.last()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_millis(
            DateTime::parse_from_rfc3339(text)
                .unwrap()
                .timestamp_millis(),
        )
    }

    #[test]
    fn each_kind_says_how_urgent_it_is_whether_it_lasts_and_what_a_rule_says_of_time() {
        let of = |kind: &AlertKind| {
            let urgent = if kind.is_urgent() { "urgent" } else { "-" };
            let lasting = if kind.is_lasting() { "lasting" } else { "-" };
            format!("{} {urgent} {lasting} {:?}", kind.as_str(), kind.timing())
        };
        let all: Vec<String> = AlertKind::ALL.iter().map(of).collect();
        insta::assert_snapshot!(all.join("\n"), @r"
        failed - - After
        rejected - - AtOnce
        refused - - AtOnce
        limit - - AtOnce
        not_started - lasting Needed
        not_finished - lasting Needed
        unknown - lasting After
        needs_review - lasting After
        awaiting_approval - lasting After
        lane_suspended - lasting After
        lane_stopped urgent lasting After
        gateway_unreachable urgent lasting After
        certificate - lasting AtOnce
        unmapped_code - - AtOnce
        payer_differs - - AtOnce
        alarm urgent - AtOnce
        difference - - AtOnce
        contract_stopped - - AtOnce
        contract_overdue - lasting After
        disk urgent lasting AtOnce
        database urgent lasting AtOnce
        ");
    }

    #[test]
    fn a_rule_says_its_time_in_words() {
        let rule = |after: u64, by: Option<&str>| AlertRule {
            on: AlertKind::Failed,
            after: Duration::from_millis(after),
            by: by.and_then(time_of_day),
            workflow: None,
            to: Vec::new(),
        };
        for (rule, words) in [
            (rule(0, None), "at once"),
            (rule(900_000, None), "after 15m"),
            (rule(0, Some("09:45")), "by 09:45"),
            (rule(172_800_000, None), "after 2d"),
            (rule(7_200_000, None), "after 2h"),
            (rule(61_000, None), "after 61s"),
            (rule(250, None), "after 250ms"),
        ] {
            assert_eq!(rule.spec(), words);
        }
        assert_eq!(time_of_day("9:45"), None);
    }

    #[test]
    fn quiet_hours_may_go_over_midnight_or_not() {
        let zone = chrono_tz::Asia::Hong_Kong;
        let night = QuietHours::new("22:00", "07:00", zone).unwrap();
        assert_eq!(
            night.over(at("2026-03-01T22:00:00+08:00")),
            Some(at("2026-03-02T07:00:00+08:00"))
        );
        assert_eq!(
            night.over(at("2026-03-02T06:59:00+08:00")),
            Some(at("2026-03-02T07:00:00+08:00"))
        );
        assert_eq!(night.over(at("2026-03-02T07:00:00+08:00")), None);
        let noon = QuietHours::new("12:00", "13:00", zone).unwrap();
        assert_eq!(
            noon.over(at("2026-03-02T12:30:00+08:00")),
            Some(at("2026-03-02T13:00:00+08:00"))
        );
        assert_eq!(noon.over(at("2026-03-02T13:00:00+08:00")), None);
    }

    #[test]
    fn quiet_hours_that_end_in_a_gap_of_the_clock_end_behind_it() {
        let zone = chrono_tz::Europe::Berlin;
        let night = QuietHours::new("22:00", "02:30", zone).unwrap();
        assert_eq!(
            night.over(at("2026-03-29T01:00:00+01:00")),
            Some(at("2026-03-29T03:00:00+02:00"))
        );
    }

    #[test]
    fn the_last_fire_is_found_near_and_far() {
        let zone = chrono_tz::UTC;
        let now = at("2026-03-15T12:00:30Z");
        for (crontab, expected) in [
            ("* * * * *", Some("2026-03-15T12:00:00Z")),
            ("0 9 * * *", Some("2026-03-15T09:00:00Z")),
            ("0 9 L * *", Some("2026-02-28T09:00:00Z")),
            ("0 9 1 4 *", Some("2025-04-01T09:00:00Z")),
            ("0 9 29 2 *", None),
        ] {
            let schedule = Schedule::crontab(crontab, zone).unwrap();
            assert_eq!(last_fire(&schedule, now), expected.map(at), "{crontab}");
        }
    }

    #[test]
    fn every_kind_has_a_word_of_its_own() {
        for (kind, word) in AlertKind::ALL.into_iter().zip(AlertKind::WORDS) {
            assert_eq!(AlertKind::parse(word), Some(kind));
        }
    }
}
