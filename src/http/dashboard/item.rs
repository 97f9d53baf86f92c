//! One item: what happened to its money, why, what comes next, and what may be done about it.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect};
use serde::Deserialize;

use super::catalogue::PageLanguage;
use super::code_meaning::{meaning, remedy};
use super::errors::PageError;
use super::forms::{Form, fresh_key, once};
use super::frame::{Page, PageFrame};
use super::item_timeline::{ItemRecords, TimelineEntry, timeline};
use super::page_fields::{PagePath, PageQuery};
use super::run_reports::{self, LinkedReport};
use super::session::Viewer;
use crate::alerts::withdrawal::takes_money;
use crate::domain::history::AttemptKind;
use crate::domain::item::State as ItemState;
use crate::domain::time::Timestamp;
use crate::engine::search::SearchTerms;
use crate::export::ExportContext;
use crate::export::item_fields::{RowField, reply_facts, row_fields};
use crate::http::App;
use crate::http::api::item_actions::{self, NoteBody, ReasonBody, ResolveBody};
use crate::http::error::ApiError;
use crate::http::extract::{JsonBody, Path};
use crate::ledger::{
    AttemptRow, FoundItem, FoundLine, ItemRow, LedgerError, MatchedBy, NotificationRow,
    OfferedActions, PauseRow, ReplacedItem, SearchResults, filed_again_as,
};
use crate::workflow::blank_file::Language;
use crate::workflow::source::FileReading;

/// How many entries of the audit log a page shows of an item.
const AUDITED: u32 = 200;

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

/// Another item that has to do with this one.
struct LinkedItem {
    label: &'static str,
    id: i64,
    state: ItemState,
    amount: String,
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
    let item = item.ok_or_else(|| PageError::not_found(format!("there is no item {id}")))?;
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
        PageLanguage::English => Language::En,
        PageLanguage::SimplifiedChinese | PageLanguage::TraditionalChinese => Language::Zh,
    }
}

/// What names the order number of an item, and the gateway's: refunds, statement lines,
/// notifications.
async fn numbers_of(app: &App, item: &ItemRow) -> Result<SearchResults, PageError> {
    let mut all = SearchResults::default();
    for number in [item.order_no.as_ref(), item.receipt.as_ref()] {
        let Some(number) = number.filter(|number| !number.is_empty()) else {
            continue;
        };
        let found = search(app, number).await?;
        all.items.rows.extend(found.items.rows);
        all.lines.rows.extend(found.lines.rows);
        all.notifications.rows.extend(found.notifications.rows);
    }
    Ok(all)
}

async fn search(app: &App, number: &str) -> Result<SearchResults, PageError> {
    let terms = SearchTerms {
        text: Some(number.to_owned()),
        ..SearchTerms::default()
    };
    let found = app.engine().search(&terms).await;
    // A number that nobody could look for is on no other item.
    match found {
        Ok(found) => Ok(found),
        Err(crate::engine::search::SearchError::Terms { .. }) => Ok(SearchResults::default()),
        Err(error) => Err(ApiError::from(error).into()),
    }
}

async fn records(
    app: &App,
    item: ItemRow,
    found: SearchResults,
) -> Result<ItemRecords, LedgerError> {
    let (ledger, id) = (&app.engine().ledger, item.id);
    let jobs = ledger.jobs(item.run_id).await?;
    let approvals = ledger.approvals_of_run(item.run_id).await?;
    Ok(ItemRecords {
        run: ledger.run(item.run_id).await?,
        job: jobs.into_iter().find(|job| job.id == item.job_id),
        attempts: ledger.attempts(id).await?,
        events: ledger.events(id).await?,
        audit: ledger.audit_of(&format!("item {id}"), AUDITED).await?,
        bulk_actions: ledger.bulk_actions_of_item(id).await?,
        approval: approvals
            .into_iter()
            .find(|approval| approval.job_id == item.job_id),
        notifications: notifications_of(id, found.notifications.rows),
        lines: lines_of(app, id, found.lines.rows).await?,
        item,
    })
}

fn notifications_of(item: i64, mut rows: Vec<NotificationRow>) -> Vec<NotificationRow> {
    rows.retain(|row| row.item_id == Some(item));
    rows.sort_by_key(|row| row.id);
    rows.dedup_by_key(|row| row.id);
    rows
}

/// The lines of statements that are about an item, with when each statement was fetched.
async fn lines_of(
    app: &App,
    item: i64,
    mut lines: Vec<FoundLine>,
) -> Result<Vec<(Timestamp, FoundLine)>, LedgerError> {
    lines.retain(|line| line.item_id == Some(item));
    lines.sort_by(|one, other| (&one.day, one.line.line).cmp(&(&other.day, other.line.line)));
    lines.dedup_by(|one, other| (&one.day, one.line.line) == (&other.day, other.line.line));
    let mut fetched = Vec::with_capacity(lines.len());
    for line in lines {
        let ledger = &app.engine().ledger;
        let statements = ledger.statements(&line.lane, &line.day, &line.day).await?;
        let statement = statements.first();
        fetched.extend(statement.map(|statement| (statement.fetched_at, line)));
    }
    Ok(fetched)
}

/// Other items that have to do with this one.
async fn related(
    app: &App,
    item: &ItemRow,
    found: &SearchResults,
) -> Result<Vec<LinkedItem>, PageError> {
    let mut related = Vec::new();
    let takes_from = |found: &&FoundItem| found.matched.contains(&MatchedBy::RefundedPayment);
    related.extend(
        found
            .items
            .rows
            .iter()
            .filter(takes_from)
            .map(|found| LinkedItem::of("related-refund", &found.item)),
    );
    let fields = item.fields()?;
    let numbers = ["order_no", "transaction_id"].map(|field| fields.get(field)?.as_str());
    for number in numbers.into_iter().flatten() {
        let payments = search(app, number).await?.items.rows;
        let is_it = |found: &&FoundItem| {
            let by =
                |way: &MatchedBy| matches!(way, MatchedBy::OrderNumber { .. } | MatchedBy::Receipt);
            found.item.id != item.id && found.matched.iter().any(by)
        };
        related.extend(
            payments
                .iter()
                .filter(is_it)
                .map(|found| LinkedItem::of("related-payment", &found.item)),
        );
    }
    let facts = item.facts()?.unwrap_or_default();
    let by_number = [
        ("related-same-key", item.duplicate_of),
        (
            "related-filed-again",
            filed_again_as(item.id, item.result.as_deref())?,
        ),
        (
            "related-files-again",
            facts
                .get(ReplacedItem::FACT)
                .and_then(serde_json::Value::as_i64),
        ),
    ];
    for (label, id) in by_number {
        let Some(id) = id else { continue };
        let other = app.engine().ledger.item(id).await?;
        related.extend(other.map(|other| LinkedItem::of(label, &other)));
    }
    related.sort_by_key(|other| other.id);
    related.dedup_by_key(|other| other.id);
    Ok(related)
}

impl LinkedItem {
    fn of(label: &'static str, item: &ItemRow) -> Self {
        let amount = item.amount.map(|amount| amount.to_string());
        Self {
            label,
            id: item.id,
            state: item.state,
            amount: amount.unwrap_or_default(),
        }
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
        Self {
            class,
            heading: heading(item.state, takes_money),
            words: page.word("verdict", item.state.as_str()),
            code: code.filter(|_| item.state != ItemState::Succeeded),
            to_do: remedy.unwrap_or_else(|| to_do(item, job.map_or("", |job| &job.kind), page)),
        }
    }
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
        held: held(app, records).await?,
    }))
}

/// What is paused or closed that an item would go by.
async fn held(app: &App, records: &ItemRecords) -> Result<Vec<String>, LedgerError> {
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
                let reason = lane.reason.unwrap_or_default();
                format!("{} {}: {reason}", lane.name, lane.state.as_str())
            }),
    );
    Ok(held)
}

/// Why a person wants something of an item.
#[derive(Debug, Deserialize)]
pub(super) struct ItemActionForm {
    key: String,
    reason: String,
}

/// What a person has found out about an item.
#[derive(Debug, Deserialize)]
pub(super) struct ItemFindingForm {
    key: String,
    reason: String,
    /// `succeeded` or `failed`.
    found: String,
    #[serde(default)]
    receipt: String,
}

/// Withdraws an item.
pub(super) async fn cancel(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(id): PagePath<i64>,
    Form(form): Form<ItemActionForm>,
) -> Result<impl IntoResponse, PageError> {
    let content = format!("cancel {id} {}", form.reason);
    let why = JsonBody(ReasonBody {
        reason: form.reason,
    });
    let caller = Extension(viewer.caller.clone());
    let action = item_actions::cancel(State(app.clone()), caller, Path(id), why);
    once((&app, &viewer), (&form.key, &content), action).await?;
    Ok(back(&viewer, id))
}

/// Has an item tried again.
pub(super) async fn retry(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(id): PagePath<i64>,
    Form(form): Form<ItemActionForm>,
) -> Result<impl IntoResponse, PageError> {
    let content = format!("retry {id} {}", form.reason);
    let why = JsonBody(ReasonBody {
        reason: form.reason,
    });
    let caller = Extension(viewer.caller.clone());
    let action = item_actions::retry(State(app.clone()), caller, Path(id), why);
    once((&app, &viewer), (&form.key, &content), action).await?;
    Ok(back(&viewer, id))
}

/// What a person notes of an item.
#[derive(Debug, Deserialize)]
pub(super) struct ItemNoteForm {
    key: String,
    note: String,
}

/// Keeps a note of an item.
pub(super) async fn note(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(id): PagePath<i64>,
    Form(form): Form<ItemNoteForm>,
) -> Result<impl IntoResponse, PageError> {
    let content = format!("note {id} {}", form.note);
    let body = JsonBody(NoteBody { note: form.note });
    let caller = Extension(viewer.caller.clone());
    let action = item_actions::note(State(app.clone()), caller, Path(id), body);
    once((&app, &viewer), (&form.key, &content), action).await?;
    Ok(back(&viewer, id))
}

/// Closes an item by what a person has found out.
pub(super) async fn resolve(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(id): PagePath<i64>,
    Form(form): Form<ItemFindingForm>,
) -> Result<impl IntoResponse, PageError> {
    let receipt = form.receipt.trim();
    let receipt = match (form.found.as_str(), receipt.is_empty()) {
        ("succeeded", false) => Some(receipt.to_owned()),
        ("failed", true) => None,
        ("succeeded", true) => {
            return Err(PageError::invalid(
                "that it happened is shown by the gateway's number for it: give the receipt",
            )
            .at("receipt"));
        }
        ("failed", false) => {
            return Err(PageError::invalid(
                "a receipt is given, and that it did not happen: only one of the two can be so",
            )
            .at("receipt"));
        }
        _ => {
            return Err(PageError::invalid(
                "say whether it happened or not: found is succeeded or failed",
            ));
        }
    };
    let content = format!("resolve {id} {receipt:?} {}", form.reason);
    let found = JsonBody(ResolveBody {
        receipt,
        reason: form.reason,
    });
    let caller = Extension(viewer.caller.clone());
    let action = item_actions::resolve(State(app.clone()), caller, Path(id), found);
    once((&app, &viewer), (&form.key, &content), action).await?;
    Ok(back(&viewer, id))
}

fn back(viewer: &Viewer, id: i64) -> Redirect {
    Redirect::to(&format!("{}/items/{id}", viewer.base))
}
