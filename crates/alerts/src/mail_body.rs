//! From due notices to one mail: what is new, what is over, what to do. Pure, but for the
//! templates.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::facts;
use payrun_domain::alert::AlertKind;
use payrun_domain::time::Timestamp;
use payrun_ledger::{AlertEvent, AlertEventRow};

/// How many incidents one mail tells in full; the others are counted.
const TOLD_MAX: usize = 30;

/// What an alert mail says; templates see these names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct MailBody {
    /// Its subject.
    pub subject: String,
    /// Whether somebody has to act at once.
    pub urgent: bool,
    /// What it tells.
    pub entries: Vec<IncidentEntry>,
    /// How many more there are, by kind: `120 × needs_review`.
    pub more: Vec<String>,
    /// When it was made, on the project's wall clock.
    pub made_at: String,
    /// Which ledger it is about.
    pub ledger: String,
}

/// How an incident stands, in the words of the templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum EntryState {
    /// It is new.
    New,
    /// It is over.
    Over,
    /// It was new and over since the last mail.
    Passed,
}

/// One incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct IncidentEntry {
    /// How it stands.
    pub state: EntryState,
    /// The kind, as rules spell it.
    pub kind: &'static str,
    /// Whether somebody has to act at once.
    pub urgent: bool,
    /// One line.
    pub title: String,
    /// Since when.
    pub since: String,
    /// Until when; empty while it lasts.
    pub until: String,
    /// Names and values.
    pub facts: Vec<(String, String)>,
    /// Examples and reasons.
    pub lines: Vec<String>,
    /// What to do; empty where it is over.
    pub advice: String,
}

/// What is said of these notices.
pub(super) fn mail_body(
    notices: &[AlertEventRow],
    ledger: &str,
    now: Timestamp,
    zone: Tz,
) -> MailBody {
    let mut entries: Vec<IncidentEntry> = Vec::new();
    let mut places: BTreeMap<i64, usize> = BTreeMap::new();
    for notice in notices {
        match places.get(&notice.incident_id) {
            Some(place) => entries[*place].state = EntryState::Passed,
            None => {
                places.insert(notice.incident_id, entries.len());
                entries.push(entry(notice, zone));
            }
        }
    }
    for entry in entries
        .iter_mut()
        .filter(|entry| entry.state != EntryState::New)
    {
        (entry.urgent, entry.advice) = (false, String::new());
    }
    let subject = subject(&entries);
    let more = counted(entries.get(TOLD_MAX..).unwrap_or_default());
    entries.truncate(TOLD_MAX);
    MailBody {
        subject,
        urgent: entries.iter().any(|entry| entry.urgent),
        entries,
        more,
        made_at: shown(now, zone),
        ledger: ledger.to_owned(),
    }
}

fn entry(notice: &AlertEventRow, zone: Tz) -> IncidentEntry {
    let payload = facts::told(notice.incident_id, &notice.payload);
    IncidentEntry {
        state: match notice.event {
            AlertEvent::Opened => EntryState::New,
            AlertEvent::Closed => EntryState::Over,
        },
        kind: notice.kind.as_str(),
        urgent: notice.kind.is_urgent(),
        title: payload.title,
        since: shown(notice.since, zone),
        until: notice
            .closed_at
            .filter(|_| notice.kind.is_lasting())
            .map(|at| shown(at, zone))
            .unwrap_or_default(),
        facts: payload.facts,
        lines: payload.lines,
        advice: payload.advice,
    }
}

/// `[payrun] URGENT: … (and 2 more)`.
fn subject(entries: &[IncidentEntry]) -> String {
    let first = entries
        .iter()
        .find(|entry| entry.state == EntryState::New)
        .or_else(|| entries.first());
    let Some(first) = first else {
        return "[payrun] nothing to tell".to_owned();
    };
    let mark = match first.state {
        EntryState::New if first.urgent => "URGENT: ",
        EntryState::New => "",
        EntryState::Over | EntryState::Passed => "over: ",
    };
    let more = match entries.len() {
        1 => String::new(),
        many => format!(" (and {} more)", many - 1),
    };
    let title: String = first.title.chars().take(120).collect();
    format!("[payrun] {mark}{title}{more}")
}

fn counted(entries: &[IncidentEntry]) -> Vec<String> {
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    entries
        .iter()
        .for_each(|entry| *kinds.entry(entry.kind).or_default() += 1);
    kinds
        .into_iter()
        .map(|(kind, times)| format!("{times} × {kind}"))
        .collect()
}

/// An instant on a wall clock, for people.
pub(super) fn shown(at: Timestamp, zone: Tz) -> String {
    let local =
        DateTime::<Utc>::from_timestamp_millis(at.millis()).map(|at| at.with_timezone(&zone));
    local.map_or_else(
        || at.to_string(),
        |local| local.format("%Y-%m-%d %H:%M %Z").to_string(),
    )
}

/// What is told without the ledger.
pub(super) fn emergency_body(
    kind: AlertKind,
    payload: facts::FactText,
    over: bool,
    ledger: &str,
    now: Timestamp,
    zone: Tz,
) -> MailBody {
    let notice = AlertEventRow {
        incident_id: 0,
        event: if over {
            AlertEvent::Closed
        } else {
            AlertEvent::Opened
        },
        kind,
        since: now,
        closed_at: over.then_some(now),
        payload: serde_json::to_string(&payload).unwrap_or_default(),
    };
    mail_body(&[notice], ledger, now, zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(id: i64, event: AlertEvent, kind: AlertKind, title: &str) -> AlertEventRow {
        let payload = facts::FactText {
            title: title.to_owned(),
            advice: "look".to_owned(),
            ..facts::FactText::default()
        };
        AlertEventRow {
            incident_id: id,
            event,
            kind,
            since: Timestamp::from_millis(0),
            closed_at: (event == AlertEvent::Closed).then_some(Timestamp::from_millis(60_000)),
            payload: serde_json::to_string(&payload).unwrap(),
        }
    }

    fn letter_of(notices: &[AlertEventRow]) -> MailBody {
        mail_body(
            notices,
            "payrun.db",
            Timestamp::from_millis(0),
            chrono_tz::UTC,
        )
    }

    #[test]
    fn what_came_and_went_is_told_once_and_asks_for_nothing() {
        let mail_body = letter_of(&[
            notice(
                1,
                AlertEvent::Opened,
                AlertKind::LaneStopped,
                "hk is stopped",
            ),
            notice(
                1,
                AlertEvent::Closed,
                AlertKind::LaneStopped,
                "hk is stopped",
            ),
        ]);
        assert_eq!(
            (
                mail_body.entries.len(),
                mail_body.entries[0].state,
                mail_body.urgent
            ),
            (1, EntryState::Passed, false)
        );
        assert_eq!(mail_body.entries[0].advice, "");
        assert_eq!(mail_body.subject, "[payrun] over: hk is stopped");
    }

    #[test]
    fn the_subject_names_what_is_new_and_counts_the_rest() {
        let mail_body = letter_of(&[
            notice(
                1,
                AlertEvent::Closed,
                AlertKind::NeedsReview,
                "3 need review",
            ),
            notice(2, AlertEvent::Opened, AlertKind::Alarm, "charged twice"),
        ]);
        assert_eq!(
            mail_body.subject,
            "[payrun] URGENT: charged twice (and 1 more)"
        );
        assert!(mail_body.urgent);
    }

    #[test]
    fn a_digest_tells_some_in_full_and_counts_the_others() {
        let many: Vec<AlertEventRow> = (0..50)
            .map(|id| {
                notice(
                    id,
                    AlertEvent::Opened,
                    AlertKind::NeedsReview,
                    "needs_review",
                )
            })
            .collect();
        let mail_body = letter_of(&many);
        assert_eq!(
            (mail_body.entries.len(), mail_body.more),
            (30, vec!["20 × needs_review".to_owned()])
        );
        assert_eq!(mail_body.subject, "[payrun] needs_review (and 49 more)");
    }
}
