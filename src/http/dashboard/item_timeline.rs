//! What happened to an item, in one list in the order of time: planned, calls and their answers,
//! notifications, statement lines, people, and what comes next.
//!
//! A call and the move that its answer led to are one entry.

use std::collections::{BTreeMap, BTreeSet};

use super::code_meaning::meaning;
use super::frame::PageFrame;
use super::sums::Sum;
use crate::domain::history::{AttemptKind, EventKind};
use crate::domain::item::State;
use crate::domain::time::Timestamp;
use crate::export::ExportContext;
use crate::ledger::{
    ApprovalRow, AttemptRow, AuditRow, BulkActionOfItem, EventRow, FoundLine, ItemRow, JobRow,
    NotificationOutcome, NotificationRow, RunRow,
};

/// Something that happened.
#[derive(Debug)]
pub(super) struct TimelineEntry {
    pub at: Timestamp,
    /// How it is marked: `call`, `person`, `alarm`, or nothing.
    pub class: &'static str,
    pub what: String,
    /// The state that it led to, where it led to another.
    pub to: Option<State>,
    /// What is said beside it, a line each.
    pub lines: Vec<String>,
    /// What a person should hear of at once.
    pub alarm: Option<String>,
    /// What was received.
    pub evidence: Option<String>,
    /// The bulk action that did it.
    pub bulk_action: Option<i64>,
}

impl TimelineEntry {
    fn new(at: Timestamp, class: &'static str, what: String) -> Self {
        Self {
            at,
            class,
            what,
            to: None,
            lines: Vec::new(),
            alarm: None,
            evidence: None,
            bulk_action: None,
        }
    }

    fn saying(mut self, line: Option<String>) -> Self {
        self.lines.extend(line.filter(|line| !line.is_empty()));
        self
    }
}

/// All that is known of what happened to an item.
pub(super) struct ItemRecords {
    pub item: ItemRow,
    pub run: Option<RunRow>,
    pub job: Option<JobRow>,
    pub attempts: Vec<AttemptRow>,
    pub events: Vec<EventRow>,
    /// What the audit log has of it.
    pub audit: Vec<AuditRow>,
    /// Those that changed it.
    pub bulk_actions: Vec<BulkActionOfItem>,
    /// Of its batch.
    pub approval: Option<ApprovalRow>,
    pub notifications: Vec<NotificationRow>,
    /// Lines of statements, each with when its statement was fetched.
    pub lines: Vec<(Timestamp, FoundLine)>,
}

impl ItemRecords {
    /// The bulk action that changed it at an instant.
    fn bulk_action_at(&self, at: Timestamp) -> Option<i64> {
        let mut of_item = self.bulk_actions.iter();
        let found = of_item.find(|bulk| bulk.at == at);
        found.map(|bulk| bulk.bulk_action)
    }
}

/// What happened, oldest first.
pub(super) fn timeline(
    records: &ItemRecords,
    context: &ExportContext,
    page: &PageFrame,
) -> Vec<TimelineEntry> {
    let mut entries = Vec::new();
    entries.extend(records.run.as_ref().map(|run| planned(run, records, page)));
    entries.extend(asked_for_approval(records, page));
    entries.extend(calls(records, context, page));
    entries.extend(moves(records, page));
    entries.extend(of_audit(records, page));
    entries.extend(told(records, page));
    entries.extend(
        records
            .lines
            .iter()
            .map(|(at, line)| listed(*at, line, page)),
    );
    // What happened at one instant stays in the order above.
    entries.sort_by_key(|entry| entry.at);
    entries
}

fn planned(run: &RunRow, records: &ItemRecords, page: &PageFrame) -> TimelineEntry {
    let author = run.author.as_ref();
    TimelineEntry::new(run.started_at, "", page.say("event-planned"))
        .saying(author.map(|author| page.say_with("by-person", &[("name", author)])))
        .saying(
            // Nothing but the plan ever moved it.
            records
                .item
                .told
                .as_ref()
                .filter(|_| records.events.is_empty())
                .map(|told| page.reason(told)),
        )
}

fn asked_for_approval(records: &ItemRecords, page: &PageFrame) -> Vec<TimelineEntry> {
    let Some(approval) = &records.approval else {
        return Vec::new();
    };
    let asked = TimelineEntry::new(approval.asked_at, "", page.say("event-asked-for-approval"));
    let votes = approval.votes.iter().map(|vote| {
        let by = page.say_with("by-person", &[("name", &vote.actor)]);
        TimelineEntry::new(vote.at, "person", page.say("event-vote"))
            .saying(Some(by))
            .saying(Some(vote.reason.clone()))
    });
    std::iter::once(asked).chain(votes).collect()
}

/// The move that an attempt led to.
fn led_to<'a>(attempt: &AttemptRow, events: &'a [EventRow]) -> Option<&'a EventRow> {
    if attempt.late {
        return None;
    }
    let mut events = events.iter();
    events.find(|event| event.version == attempt.version + 1)
}

fn calls(records: &ItemRecords, context: &ExportContext, page: &PageFrame) -> Vec<TimelineEntry> {
    let attempts = records.attempts.iter();
    attempts
        .map(|attempt| call(attempt, records, context, page))
        .collect()
}

fn call(
    attempt: &AttemptRow,
    records: &ItemRecords,
    context: &ExportContext,
    page: &PageFrame,
) -> TimelineEntry {
    let is_call = attempt.kind.is_call();
    let answer = page.word("answer", attempt.answer.as_str());
    let code = if attempt.code.is_empty() {
        String::new()
    } else {
        format!(" {}", attempt.code)
    };
    let what = if is_call {
        format!("{}: {answer}{code}", attempt.operation)
    } else {
        let kind = page.word("attempt", attempt.kind.as_str());
        format!("{kind}: {answer}{code}")
    };
    let (at, class) = match attempt.kind {
        AttemptKind::Person => (attempt.ended_at, "person"),
        AttemptKind::Call | AttemptKind::Abandoned => (attempt.started_at, "call"),
        AttemptKind::Notification | AttemptKind::Statement => (attempt.ended_at, "call"),
    };
    let mut entry = TimelineEntry::new(at, class, what)
        .saying(is_call.then(|| circumstances(attempt, page)))
        .saying(meaning_of(attempt, records, context, page))
        .saying(attempt.late.then(|| page.say("attempt-late")));
    if let Some(event) = led_to(attempt, &records.events) {
        entry = moved(entry, event, page);
        // Where there are no words, there is the code again.
        entry.lines.retain(|line| *line != attempt.code);
    }
    entry.evidence = Some(attempt.evidence.clone()).filter(|text| !text.is_empty());
    entry
}

/// The number, the status and the time that a call took.
fn circumstances(attempt: &AttemptRow, page: &PageFrame) -> String {
    let took = attempt.ended_at.since(attempt.started_at).as_millis();
    let mut parts = vec![format!("{} {}", page.say("order-no"), attempt.order_no)];
    parts.extend(attempt.http.map(|http| format!("HTTP {http}")));
    parts.push(format!("{took} ms"));
    parts.join(" · ")
}

fn meaning_of(
    attempt: &AttemptRow,
    records: &ItemRecords,
    context: &ExportContext,
    page: &PageFrame,
) -> Option<String> {
    let job = records.job.as_ref()?;
    if attempt.code.is_empty() {
        return None;
    }
    meaning(page, context, job, &attempt.code)
}

/// An entry with the move that it led to.
fn moved(mut entry: TimelineEntry, event: &EventRow, page: &PageFrame) -> TimelineEntry {
    let to = State::parse(&event.to);
    entry.to = to.filter(|_| event.from != event.to);
    entry.alarm = event.alarm.clone();
    entry.saying(event.detail.as_ref().map(|detail| page.reason(detail)))
}

/// Moves that no attempt led to.
fn moves(records: &ItemRecords, page: &PageFrame) -> Vec<TimelineEntry> {
    let answered: BTreeSet<i64> = records
        .attempts
        .iter()
        .filter_map(|attempt| led_to(attempt, &records.events))
        .map(|event| event.version)
        .collect();
    // A claim is told of with what came of it.
    let last = records.events.last().map(|event| event.version);
    let is_told = |event: &EventRow| {
        let came_to_something = event.event == EventKind::Claim && last != Some(event.version);
        answered.contains(&event.version) || came_to_something
    };
    let alone = records.events.iter().filter(|event| !is_told(event));
    alone
        .map(|event| {
            let class = match event.event {
                _ if event.alarm.is_some() => "alarm",
                EventKind::Cancel
                | EventKind::Retry
                | EventKind::Resolve
                | EventKind::Approve
                | EventKind::Reject => "person",
                EventKind::Claim
                | EventKind::Unsent
                | EventKind::LookedUp
                | EventKind::Answered(_)
                | EventKind::Abandoned
                | EventKind::LateDone
                | EventKind::LateAnswer
                | EventKind::Notification
                | EventKind::Statement
                | EventKind::Expire
                | EventKind::Recall
                | EventKind::RequireReview
                | EventKind::FiledAgain => "",
            };
            let word = page.word("event", event.event.as_str());
            let mut entry = moved(TimelineEntry::new(event.at, class, word), event, page);
            entry.bulk_action = records.bulk_action_at(event.at);
            entry
        })
        .collect()
}

/// What persons did that is no move, such as a withdrawal of what may be under way; of what is one,
/// the move says it.
fn of_audit(records: &ItemRecords, page: &PageFrame) -> Vec<TimelineEntry> {
    let moved_at: BTreeMap<(Timestamp, String), ()> = records
        .events
        .iter()
        .map(|event| ((event.at, format!("item.{}", event.event)), ()))
        .collect();
    let audit = records.audit.iter().map(|row| &row.entry);
    let alone = audit.filter(|entry| !moved_at.contains_key(&(entry.at, entry.action.clone())));
    let mut entries: Vec<TimelineEntry> = alone
        .map(|entry| {
            let by = page.say_with(
                "by-person-via",
                &[("name", &entry.actor), ("via", &entry.via)],
            );
            TimelineEntry::new(entry.at, "person", page.word("audit", &entry.action))
                .saying(Some(by))
                .saying(Some(entry.reason.clone()))
        })
        .collect();
    // Of a withdrawal among many the audit log has one entry for all.
    let item = &records.item;
    if let (Some(by), Some(at)) = (&item.withdrawn, item.withdrawn_at)
        && !entries.iter().any(|entry| entry.at == at)
    {
        let what = page.word("audit", "item.cancel");
        let mut entry = TimelineEntry::new(at, "person", what).saying(Some(by.clone()));
        entry.bulk_action = records.bulk_action_at(at);
        entries.push(entry);
    }
    entries
}

/// Notifications that moved nothing; those that did are attempts.
fn told(records: &ItemRecords, page: &PageFrame) -> Vec<TimelineEntry> {
    let rows = records.notifications.iter();
    let silent = rows.filter(|row| row.outcome != NotificationOutcome::Applied);
    silent
        .map(|row| {
            let alarms = matches!(
                row.outcome,
                NotificationOutcome::Contradicts | NotificationOutcome::Mismatch
            );
            let class = if alarms { "alarm" } else { "call" };
            let outcome = page.word("notification", row.outcome.as_str());
            let what = format!("{}: {outcome}", page.word("attempt", "notification"));
            let again = (row.repeats > 0).then(|| page.say_count("came-again", &row.repeats));
            TimelineEntry::new(row.received_at, class, what)
                .saying(row.detail.clone())
                .saying(again)
        })
        .collect()
}

fn listed(fetched_at: Timestamp, found: &FoundLine, page: &PageFrame) -> TimelineEntry {
    let line = &found.line;
    let amount = line.amount.map(|amount| Sum::of(amount).to_string());
    let what = page.say_with(
        "event-statement-line",
        &[("day", &found.day), ("line", &line.line.to_string())],
    );
    let mut parts = vec![line.time.clone(), line.state.clone()];
    parts.extend(amount);
    parts.push(line.transaction_id.clone());
    parts.push(line.refund_id.clone());
    parts.retain(|part| !part.is_empty());
    TimelineEntry::new(fetched_at, "call", what).saying(Some(parts.join(" · ")))
}
