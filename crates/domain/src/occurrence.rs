//! What becomes of an occurrence: its state, and which of those that are late still fire.
//!
//! An occurrence is late if nobody looked when it was due: no process was up for a while, or the
//! workflow was paused.

use std::time::Duration;

use chrono::DateTime;
use chrono_tz::Tz;

use super::time::Timestamp;

/// How late an occurrence may be and still count as on time: a restart, or a database that was away
/// for a moment.
pub const LATE: Duration = Duration::from_secs(5 * 60);

/// How many late occurrences fire under [`MissedPolicy::Each`]; the newest.
pub const EACH_MAX: usize = 100;

/// The name of an occurrence as people read it: an instant in it on this wall clock, which is named.
/// For programs it stays as it is.
///
/// ```
/// use payrun_domain::occurrence::name_on_clock;
/// let zone = chrono_tz::Asia::Hong_Kong;
/// assert_eq!(
///     name_on_clock("manual 2026-03-03T01:30:00.123Z", zone),
///     "manual 2026-03-03 09:30:00 (Asia/Hong_Kong)"
/// );
/// assert_eq!(name_on_clock("api shop/order-7", zone), "api shop/order-7");
/// ```
pub fn name_on_clock(name: &str, zone: Tz) -> String {
    let (before, last) = name
        .rsplit_once(' ')
        .map_or(("", name), |(before, last)| (before, last));
    let Ok(at) = DateTime::parse_from_rfc3339(last) else {
        return name.to_owned();
    };
    let at = at.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S");
    let space = if before.is_empty() { "" } else { " " };
    format!("{before}{space}{at} ({})", zone.name())
}

/// A text for people with every instant in it that is written for programs on a wall clock, whose
/// time zone is named.
///
/// ```
/// use payrun_domain::occurrence::instants_on_clock;
/// let zone = chrono_tz::Asia::Hong_Kong;
/// assert_eq!(
///     instants_on_clock("7 (manual 2026-03-03T01:30:00.123Z), not 2026-03-03", zone),
///     "7 (manual 2026-03-03 09:30:00 (Asia/Hong_Kong)), not 2026-03-03"
/// );
/// ```
pub fn instants_on_clock(text: &str, zone: Tz) -> String {
    let is_around = |c: char| !c.is_ascii_alphanumeric();
    let word = |word: &str| {
        let inner = word.trim_matches(is_around);
        if DateTime::parse_from_rfc3339(inner).is_err() {
            return word.to_owned();
        }
        word.replacen(inner, &name_on_clock(inner, zone), 1)
    };
    let words: Vec<String> = text.split(' ').map(word).collect();
    words.join(" ")
}

/// How an occurrence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OccurrenceState {
    /// Its instant has come, and nobody has planned its run yet.
    Due,
    /// It waits until the workflow's earlier run has ended.
    Queued,
    /// It has a run.
    Fired,
    /// A calendar left it out, or an earlier run had not ended.
    Skipped,
    /// It was late, and the schedule fires no late ones, or not this one.
    Missed,
    /// Its run could not be planned.
    Failed,
}

/// What is done about late occurrences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MissedPolicy {
    /// None fires.
    None,
    /// The latest fires, in place of all.
    Latest,
    /// Each fires, up to [`EACH_MAX`].
    Each,
}

/// What is done while an earlier run of the workflow has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// It fires beside it.
    Allow,
    /// It is left out.
    Skip,
    /// It fires when that has ended.
    Queue,
}

impl OccurrenceState {
    /// Every one, with the word for it in the ledger and for people.
    pub const ALL: [(&'static str, Self); 6] = [
        ("due", Self::Due),
        ("queued", Self::Queued),
        ("fired", Self::Fired),
        ("skipped", Self::Skipped),
        ("missed", Self::Missed),
        ("failed", Self::Failed),
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Queued => "queued",
            Self::Fired => "fired",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Failed => "failed",
        }
    }

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, state)| *state)
    }
}

impl MissedPolicy {
    /// Every one, with its word.
    pub const ALL: [(&'static str, Self); 3] = [
        ("none", Self::None),
        ("latest", Self::Latest),
        ("each", Self::Each),
    ];

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, missed)| *missed)
    }

    /// How many of the occurrences that are due, oldest first, are given up. `resumed`: when the
    /// workflow's last pause ended; what came due before is late, however short the pause was.
    ///
    /// ```
    /// use payrun_domain::occurrence::MissedPolicy;
    /// use payrun_domain::time::Timestamp;
    /// let day = |n: i64| Timestamp::from_millis(n * 86_400_000);
    /// let slept_three_days = [day(1), day(2), day(3)];
    /// assert_eq!(MissedPolicy::Latest.given_up(&slept_three_days, None, day(4)), 2);
    /// assert_eq!(MissedPolicy::Latest.given_up(&slept_three_days[2..], None, day(3)), 0);
    /// assert_eq!(MissedPolicy::None.given_up(&slept_three_days[2..], Some(day(3)), day(3)), 1);
    /// ```
    pub fn given_up(self, due: &[Timestamp], resumed: Option<Timestamp>, now: Timestamp) -> usize {
        let is_late =
            |at: Timestamp| now.since(at) > LATE || resumed.is_some_and(|resumed| at <= resumed);
        let late = due.iter().filter(|at| is_late(**at)).count();
        match self {
            Self::None => late,
            Self::Latest if late > 0 => due.len() - 1,
            Self::Each if late > 0 => due.len().saturating_sub(EACH_MAX),
            Self::Latest | Self::Each => 0,
        }
    }
}

impl Overlap {
    /// Every one, with its word.
    pub const ALL: [(&'static str, Self); 3] = [
        ("allow", Self::Allow),
        ("skip", Self::Skip),
        ("queue", Self::Queue),
    ];

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == word)
            .map(|(_, overlap)| *overlap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_in_a_text_is_on_the_clock_that_is_named() {
        let zone = chrono_tz::Asia::Hong_Kong;
        let manual = "manual 2026-03-03T01:30:00.123Z";
        let on_clock = "manual 2026-03-03 09:30:00 (Asia/Hong_Kong)";
        assert_eq!(name_on_clock(manual, zone), on_clock);
        assert_eq!(name_on_clock("api shop/order-7", zone), "api shop/order-7");
        let text = instants_on_clock(&format!("7 ({manual}), not 2026-03-03"), zone);
        assert_eq!(text, format!("7 ({on_clock}), not 2026-03-03"));
    }

    fn minutes(of: std::ops::Range<i64>) -> Vec<Timestamp> {
        of.map(|minute| Timestamp::from_millis(minute * 60_000))
            .collect()
    }

    #[test]
    fn what_is_on_time_is_never_given_up() {
        let due = minutes(0..5);
        let now = due[4].plus(Duration::from_secs(59));
        for (_, missed) in MissedPolicy::ALL {
            assert_eq!(missed.given_up(&due, None, now), 0);
            assert_eq!(missed.given_up(&[], None, now), 0);
            // A calendar can move the times of many dates to one instant.
            let many = [due[0]; EACH_MAX + 1];
            assert_eq!(missed.given_up(&many, None, now), 0);
        }
    }

    #[test]
    fn of_many_late_ones_none_or_the_latest_or_a_bounded_number_fires() {
        let due = minutes(0..4320);
        let now = due[4319];
        assert_eq!(MissedPolicy::Latest.given_up(&due, None, now), 4319);
        assert_eq!(
            MissedPolicy::Each.given_up(&due, None, now),
            4320 - EACH_MAX
        );
        assert_eq!(
            MissedPolicy::None.given_up(&due, None, now),
            4314,
            "those of the last five minutes are on time"
        );
        assert_eq!(MissedPolicy::Each.given_up(&due[..100], None, now), 0);
    }

    #[test]
    fn what_came_in_a_pause_is_late_however_short_it_was() {
        let due = minutes(0..4);
        let now = due[3];
        for (resumed, expected) in [
            (None, 0),
            (Some(due[0]), 1),
            (Some(due[1]), 2),
            (Some(due[1].plus(Duration::from_secs(30))), 2),
            (Some(due[2]), 3),
        ] {
            assert_eq!(MissedPolicy::None.given_up(&due, resumed, now), expected);
        }
        assert_eq!(MissedPolicy::Latest.given_up(&due, Some(due[1]), now), 3);
        assert_eq!(MissedPolicy::Each.given_up(&due, Some(due[1]), now), 0);
    }

    #[test]
    fn each_state_has_one_word() {
        for (word, state) in OccurrenceState::ALL {
            assert_eq!(
                (state.as_str(), OccurrenceState::parse(word)),
                (word, Some(state))
            );
        }
    }

    #[test]
    fn what_is_done_about_late_and_overlapping_ones_is_read_from_its_word() {
        for (word, missed, overlap) in [
            ("none", Some(MissedPolicy::None), None),
            ("latest", Some(MissedPolicy::Latest), None),
            ("each", Some(MissedPolicy::Each), None),
            ("allow", None, Some(Overlap::Allow)),
            ("skip", None, Some(Overlap::Skip)),
            ("queue", None, Some(Overlap::Queue)),
            ("", None, None),
        ] {
            assert_eq!(
                (MissedPolicy::parse(word), Overlap::parse(word)),
                (missed, overlap),
                "{word}"
            );
        }
    }
}
