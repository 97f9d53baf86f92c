//! One item: what happened to its money, why, what comes next, and what may be done about it.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Deserialize;

use super::code_meaning::{meaning, remedy};
use super::errors::PageError;
use super::forms::fresh_key;
use super::frame::{Page, PageFrame};
use super::item_records::{LinkedItem, numbers_of, records, related};
use super::item_timeline::{ItemRecords, TimelineEntry, timeline};
use super::page_fields::{PagePath, PageQuery};
use super::run_reports::{self, LinkedReport};
use super::session::Viewer;
use crate::alerts::withdrawal::takes_money;
use crate::domain::history::AttemptKind;
use crate::domain::history::EventKind;
use crate::domain::item::State as ItemState;
use crate::domain::message::Message;
use crate::domain::time::Timestamp;
use crate::export::ExportContext;
use crate::export::item_fields::{RowField, reply_facts, row_fields};
use crate::http::App;
use crate::ledger::{AttemptRow, ItemRow, LedgerError, OfferedActions, PauseRow};
use crate::reader_language::ReaderLanguage;
use crate::workflow::blank_file::Language;
use crate::workflow::source::FileReading;

#[derive(Template)]
#[template(path = "item.html")]
struct ItemPage {
    page: PageFrame,
    records: ItemRecords,
    verdict: ItemVerdict,
    facts: Vec<(String, String)>,
    reports: Vec<LinkedReport>,
    row: Vec<RowField>,
    file: Option<String>,
    related: Vec<LinkedItem>,
    entries: Vec<TimelineEntry>,
    next: Option<NextStep>,
    offered: OfferedActions,
    takes_money: bool,
    /// Which form a link has opened.
    opened: String,
    /// The key of the forms: each is sent once.
    key: String,
}

/// What there is to say first of an item.
struct ItemVerdict {
    /// `good`, `bad`, `warn`, or nothing.
    class: &'static str,
    /// Why it has not happened, as a question.
    heading: &'static str,
    words: String,
    /// The last code, and what it means.
    code: Option<(String, Option<String>)>,
    to_do: String,
}

/// What happens next by itself.
struct NextStep {
    what: String,
    at: Option<Timestamp>,
    /// What keeps it from happening.
    held: Vec<String>,
}

/// What a link to the page of an item may say.
#[derive(Debug, Deserialize)]
pub(super) struct ItemQuery {
    /// The form that is open: `retry`, `resolve`, `cancel`.
    #[serde(rename = "do")]
    opened: Option<String>,
}

/// The page of an item.
pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(id): PagePath<i64>,
    PageQuery(query): PageQuery<ItemQuery>,
) -> Result<impl IntoResponse, PageError> {
    let (engine, page) = (app.engine(), PageFrame::of(&viewer));
    let context = ExportContext {
        ledger: engine.ledger.clone(),
        config: Arc::clone(&engine.config),
        job_kinds: Arc::clone(&engine.job_kinds),
        now: engine.clock.now(),
    };
    let item = engine.ledger.item(id).await?;
    let item = item.ok_or_else(|| {
        PageError::not_found(Message::new("no-such-item", "there is no item {id}").with("id", id))
    })?;
    let found = numbers_of(&app, &item).await?;
    let related = related(&app, &item, &found).await?;
    let records = records(&app, item, found).await?;
    let (item, job) = (&records.item, records.job.as_ref());
    let kind = job.and_then(|job| engine.job_kinds.by_name.get(&job.kind));
    let kind = kind.map(|kind| &**kind);
    let row = row_fields(&context, item, kind, language(&viewer)).await?;
    Ok(Page(ItemPage {
        verdict: ItemVerdict::of(&records, &context, &page),
        facts: reply_facts(item, kind)?
            .into_iter()
            .filter(|(name, _)| !run_reports::is_place(name))
            .collect(),
        reports: run_reports::of_item(&app, &viewer, item).await?,
        row,
        file: file(&records)?,
        related,
        entries: timeline(&records, &context, &page),
        next: next_step(&app, &records, &page).await?,
        offered: engine.ledger.offered_actions(id, context.now).await?,
        takes_money: job.is_some_and(|job| takes_money(&job.kind)),
        opened: query.opened.unwrap_or_default(),
        key: fresh_key(),
        records,
        page,
    }))
}

fn language(viewer: &Viewer) -> Language {
    match viewer.language {
        ReaderLanguage::English => Language::En,
        ReaderLanguage::SimplifiedChinese | ReaderLanguage::TraditionalChinese => Language::Zh,
    }
}

/// The file that the row came from.
fn file(records: &ItemRecords) -> Result<Option<String>, LedgerError> {
    let Some(job) = &records.job else {
        return Ok(None);
    };
    let reading = job.file.as_deref().map(serde_json::from_str::<FileReading>);
    let reading = reading.transpose();
    let reading = reading.map_err(|_| LedgerError::corrupt("jobs", job.id, "file"))?;
    Ok(reading.map(|reading| reading.shown_name().to_owned()))
}

impl ItemVerdict {
    fn of(records: &ItemRecords, context: &ExportContext, page: &PageFrame) -> Self {
        let (item, job) = (&records.item, records.job.as_ref());
        let class = match item.state {
            ItemState::Succeeded if item.withdrawn.is_none() => "good",
            ItemState::Failed | ItemState::Rejected => "bad",
            ItemState::Unknown | ItemState::NeedsReview | ItemState::Succeeded => "warn",
            ItemState::AwaitingApproval
            | ItemState::Planned
            | ItemState::Sending
            | ItemState::Pending
            | ItemState::Cancelled
            | ItemState::Skipped => "",
        };
        let takes_money = job.is_some_and(|job| takes_money(&job.kind));
        let code = said_last(records)
            .filter(|last| !last.code.is_empty())
            .map(|last| {
                let words = job.and_then(|job| meaning(page, context, job, &last.code));
                (last.code.clone(), words)
            });
        let failed = job
            .zip(code.as_ref())
            .filter(|_| item.state == ItemState::Failed);
        let remedy = failed.and_then(|(job, (code, _))| remedy(page, context, job, code));
        let asks_first = is_asked_before_sent(records);
        Self {
            class,
            heading: heading(item.state, takes_money),
            words: if asks_first {
                page.say("verdict-asked-first")
            } else {
                page.word("verdict", item.state.as_str())
            },
            // The code is of before the retry.
            code: code.filter(|_| item.state != ItemState::Succeeded && !asks_first),
            to_do: remedy.unwrap_or_else(|| to_do(item, job.map_or("", |job| &job.kind), page)),
        }
    }
}

/// Whether a person has it tried again, and the gateway is asked first what it has: nothing was sent
/// since, and nothing accepted.
fn is_asked_before_sent(records: &ItemRecords) -> bool {
    let moves = records.events.iter().rev();
    let last = moves
        .filter(|event| event.from != event.to)
        .map(|event| event.event)
        .next();
    records.item.state == ItemState::Pending && last == Some(EventKind::Retry)
}

/// The answer by whose code an item is told of: of what failed the last that says why, as sums by
/// code have it, and else the last.
fn said_last(records: &ItemRecords) -> Option<&AttemptRow> {
    let says_why = |attempt: &&AttemptRow| {
        matches!(attempt.kind, AttemptKind::Call | AttemptKind::Notification)
            && !attempt.code.is_empty()
    };
    if records.item.state == ItemState::Failed {
        records.attempts.iter().rfind(says_why)
    } else {
        records.attempts.iter().rfind(|attempt| !attempt.late)
    }
}

/// What is asked first of an item in this state. Of what may have happened nobody is told that it
/// has not.
fn heading(state: ItemState, takes_money: bool) -> &'static str {
    if state == ItemState::Succeeded {
        "why-done"
    } else if state.is_in_flight() {
        "why-open"
    } else if takes_money {
        "why-not-charged"
    } else {
        "why-not-done"
    }
}

/// What a person has to do about an item, or need not.
fn to_do(item: &ItemRow, kind: &str, page: &PageFrame) -> String {
    // It has let go of its key: nothing of it was ever approved.
    if item.state == ItemState::Cancelled && item.key_hash.is_none() {
        return page.say("todo-plan-anew");
    }
    if item.withdrawn.is_none() {
        return page.word("todo", item.state.as_str());
    }
    match item.state {
        ItemState::Succeeded => {
            let late = match kind {
                _ if takes_money(kind) => "money",
                "refund" | "cancel" | "declare" | "terminate" => kind,
                "redeclare" => "declare",
                _ => "other",
            };
            page.word("late", late)
        }
        ItemState::Sending | ItemState::Pending | ItemState::Unknown => {
            page.say("withdrawn-in-flight")
        }
        ItemState::NeedsReview => page.say("withdrawn-needs-review"),
        ItemState::AwaitingApproval
        | ItemState::Planned
        | ItemState::Failed
        | ItemState::Cancelled
        | ItemState::Rejected
        | ItemState::Skipped => page.word("todo", item.state.as_str()),
    }
}

/// What happens next by itself, and what keeps it from happening.
async fn next_step(
    app: &App,
    records: &ItemRecords,
    page: &PageFrame,
) -> Result<Option<NextStep>, LedgerError> {
    let item = &records.item;
    if !item.state.is_open() && item.state != ItemState::NeedsReview {
        return Ok(None);
    }
    let approval = records.approval.as_ref();
    let at = if item.state == ItemState::AwaitingApproval {
        approval.map(|approval| approval.expires_at)
    } else {
        item.looked_at()
    };
    Ok(Some(NextStep {
        what: page.word("next", item.state.as_str()),
        at,
        held: held(app, records, page).await?,
    }))
}

/// What is paused or closed that an item would go by.
async fn held(
    app: &App,
    records: &ItemRecords,
    page: &PageFrame,
) -> Result<Vec<String>, LedgerError> {
    let (Some(run), Some(job)) = (&records.run, &records.job) else {
        return Ok(Vec::new());
    };
    let (ledger, now) = (&app.engine().ledger, app.engine().clock.now());
    let mut pauses = ledger.pauses().await?;
    // What is paused is still asked about.
    let is_to_be_sent = ItemState::TO_BE_SENT.contains(&records.item.state);
    pauses.retain(|row| is_to_be_sent && row.is_of(&run.workflow, std::iter::once(&job.lane)));
    let mut held: Vec<String> = pauses.iter().map(PauseRow::note).collect();
    let names = [
        job.lane.clone(),
        format!("{}/{}", job.lane, job.kind),
        format!("{}/{}/{}", job.lane, job.kind, job.id),
    ];
    let closed = ledger.closed_lanes(now).await?;
    held.extend(
        closed
            .into_iter()
            .filter(|lane| names.contains(&lane.name))
            .map(|lane| {
                let state = page.word("lane", lane.state.as_str());
                let why = [
                    format!("{} {state}", lane.name),
                    lane.reason.unwrap_or_default(),
                    page.say("lane-asks-nothing"),
                ];
                let why = why.into_iter().filter(|part| !part.is_empty());
                why.collect::<Vec<_>>()
                    .join(page.viewer.language.semicolon())
            }),
    );
    Ok(held)
}
