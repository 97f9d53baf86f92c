//! What is done to many items at once: counted first, with its money, then done to exactly what was
//! counted. Once begun it is a thing with a page of its own.
//!
//! The form sends back the filter and the set that was counted. Whoever lost a part of the filter on
//! the way, or whose items have moved since, is refused.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};

use super::errors::PageError;
use super::forms::{Form, fresh_key};
use super::frame::{Page, PageFrame};
use super::item_filter::{FilterPart, filter_arguments, filter_parts, filter_query, read_filter};
use super::page_fields::{PageFields, PagePath, PageQuery};
use super::session::Viewer;
use super::sums::Sum;
use crate::domain::item::State as ItemState;
use crate::domain::message::Message;
use crate::domain::role::Role;
use crate::http::App;
use crate::http::api::bulk::{begin, sent_before};
use crate::http::error::ApiError;
use crate::ledger::{BulkActionRow, BulkRefusal, BulkState, BulkVerb, CountedItems};

/// How many bulk actions, and how many refusals, a page has.
const PAGE: u32 = 50;
const REFUSALS: u32 = 200;

#[derive(Template)]
#[template(path = "bulk_count.html")]
struct BulkCountPage {
    page: PageFrame,
    verb: BulkVerb,
    parts: Vec<FilterPart>,
    /// Whether a bulk action is taken back.
    is_undo: bool,
    counted: CountedItems,
    sums: Vec<Sum>,
    query: String,
    command: String,
    key: String,
}

#[derive(Template)]
#[template(path = "bulk_actions.html")]
struct BulkListPage {
    page: PageFrame,
    rows: Vec<ListedBulkAction>,
    next_before: Option<i64>,
    is_first: bool,
}

/// A bulk action in a list.
struct ListedBulkAction {
    row: BulkActionRow,
    parts: Vec<FilterPart>,
    state: BulkState,
    sums: Vec<Sum>,
}

#[derive(Template)]
#[template(path = "bulk_action.html")]
struct BulkActionPage {
    page: PageFrame,
    bulk: BulkProgress,
    parts: Vec<FilterPart>,
    sums: Vec<Sum>,
    refusals: Vec<BulkRefusal>,
    next_after: Option<i64>,
    is_first: bool,
    query: String,
    command: String,
    undo: Option<BulkUndo>,
}

/// What takes a bulk action back, and how: counted first, like any other.
struct BulkUndo {
    query: String,
    command: String,
}

impl BulkUndo {
    /// None where it goes on still, or has changed nothing.
    fn of(bulk: &BulkProgress) -> Option<Self> {
        let row = &bulk.row;
        // What was never approved has let go of its key, and does not come back.
        let mut states = row.counted.states.keys();
        let may_come_back = states.any(|state| *state != ItemState::AwaitingApproval);
        if bulk.is_under_way() || row.handled == row.refused || !may_come_back {
            return None;
        }
        let (verb, filter) = row.undo();
        let word = verb.as_str();
        Some(Self {
            query: format!("action={word}&{}", filter_query(&filter)),
            command: format!("payrun {word}{}", filter_arguments(&filter)),
        })
    }
}

#[derive(Template)]
#[template(path = "bulk_live.html")]
struct BulkFragment {
    page: PageFrame,
    bulk: BulkProgress,
    query: String,
    undo: Option<BulkUndo>,
}

/// What of a bulk action changes while it goes on.
struct BulkProgress {
    row: BulkActionRow,
    state: BulkState,
    /// Of a thousand.
    width: u64,
    /// How many items had no turn.
    left: u64,
    /// By reason: the code, and how many.
    reasons: Vec<(String, u64)>,
}

/// Counts what a filter means; without one, lists what was done before.
pub(super) async fn count_or_list(
    State(app): State<App>,
    viewer: Viewer,
    PageQuery(pairs): PageQuery<Vec<(String, String)>>,
) -> Result<Response, PageError> {
    let mut fields = PageFields::of(pairs)?;
    let before = fields.number("before")?;
    if fields.is_empty() {
        return Ok(list(&app, &viewer, before).await?.into_response());
    }
    if !viewer.caller.role.may_do_as(Role::Operator) {
        return Err(ApiError::role_needed(Role::Operator, &viewer.caller).into());
    }
    let verb = verb(&mut fields)?;
    let filter = read_filter(&mut fields)?;
    fields.end()?;
    let chosen = app.engine().choose(&filter, verb).await;
    let counted = chosen.map_err(ApiError::from)?.counted;
    let page = BulkCountPage {
        sums: sums(&counted),
        parts: filter_parts(&filter),
        is_undo: filter.bulk.is_some_and(|bulk| bulk.only_untouched),
        query: filter_query(&filter),
        command: format!(
            "payrun {}{} --yes --expect {} --reason WHY",
            verb.as_str(),
            filter_arguments(&filter),
            counted.set
        ),
        page: PageFrame::of(&viewer),
        verb,
        counted,
        key: fresh_key(),
    };
    Ok(Page(page).into_response())
}

fn verb(fields: &mut PageFields) -> Result<BulkVerb, PageError> {
    let word = fields.take("action").unwrap_or_default();
    BulkVerb::parse(&word)
        .ok_or_else(|| PageError::invalid(Message::new("bulk-action", "action is retry or cancel")))
}

fn sums(counted: &CountedItems) -> Vec<Sum> {
    let sums = counted.sums.values();
    sums.map(|(minor, currency)| Sum::of_minor(i128::from(*minor), *currency))
        .collect()
}

async fn list(
    app: &App,
    viewer: &Viewer,
    before: Option<i64>,
) -> Result<Page<BulkListPage>, PageError> {
    let (ledger, now) = (&app.engine().ledger, app.engine().clock.now());
    let found = ledger.bulk_actions(before, PAGE).await?;
    let full = found.len() == PAGE as usize;
    Ok(Page(BulkListPage {
        page: PageFrame::of(viewer),
        next_before: found.last().map(|row| row.id).filter(|_| full),
        is_first: before.is_none(),
        rows: found
            .into_iter()
            .map(|row| ListedBulkAction {
                parts: filter_parts(&row.filter),
                state: row.state(now),
                sums: sums(&row.counted),
                row,
            })
            .collect(),
    }))
}

/// Does what was counted, if it is still that; then leads to its page.
pub(super) async fn confirm(
    State(app): State<App>,
    viewer: Viewer,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<impl IntoResponse, PageError> {
    let mut fields = PageFields::of(pairs)?;
    let (key, set) = (fields.take("key"), fields.take("set"));
    let reason = fields.take("why").unwrap_or_default();
    let verb = verb(&mut fields)?;
    let filter = read_filter(&mut fields)?;
    fields.end()?;
    let wanting = || {
        PageError::invalid(Message::new(
            "form-no-set",
            "the form has no key or no set: load its page again",
        ))
    };
    let (key, set) = key.zip(set).ok_or_else(wanting)?;
    let by = viewer.caller.signed(&reason)?;
    // The items have moved by what the form did when it was sent first.
    let ledger = &app.engine().ledger;
    if let Some(before) = ledger.bulk_action_of_request(by.actor.name(), &key).await? {
        let is_same = before.verb == verb && before.counted.set == set;
        return match is_same {
            true => Ok(to_page(&viewer, before.id)),
            false => Err(sent_before().into()),
        };
    }
    let chosen = app.engine().choose(&filter, verb).await;
    let chosen = chosen.map_err(ApiError::from)?;
    match begin(&app, chosen, &set, Some(&key), by).await {
        Ok(Some(begun)) => Ok(to_page(&viewer, begun.bulk_action)),
        Ok(None) => Err(PageError::invalid(Message::new(
            "bulk-no-item",
            "no item is chosen: there is nothing to do",
        ))),
        // Its page counts again: other items are meant by now than were counted.
        Err(error) => Err(error
            .help(Message::new(
                "bulk-nothing-done",
                "nothing was done; below is what is meant by now",
            ))
            .into()),
    }
}

fn to_page(viewer: &Viewer, id: i64) -> Redirect {
    Redirect::to(&format!("{}/bulk/{id}", viewer.base))
}

/// One bulk action: how far it is, what was refused and why, who wants it and why.
pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(id): PagePath<i64>,
    PageQuery(pairs): PageQuery<Vec<(String, String)>>,
) -> Result<impl IntoResponse, PageError> {
    let mut fields = PageFields::of(pairs)?;
    let after = fields.number("after")?;
    fields.end()?;
    let bulk = progress(&app, id).await?;
    let ledger = &app.engine().ledger;
    let refusals = ledger
        .bulk_refusals(id, after.unwrap_or(0), REFUSALS)
        .await?;
    let full = refusals.len() == REFUSALS as usize;
    Ok(Page(BulkActionPage {
        page: PageFrame::of(&viewer),
        parts: filter_parts(&bulk.row.filter),
        sums: sums(&bulk.row.counted),
        query: filter_query(&bulk.row.filter),
        command: format!("payrun bulk {id}"),
        next_after: refusals.last().map(|refusal| refusal.item).filter(|_| full),
        is_first: after.is_none(),
        undo: BulkUndo::of(&bulk).filter(|_| viewer.caller.role.may_do_as(Role::Operator)),
        refusals,
        bulk,
    }))
}

/// The part of the page that changes while it goes on.
pub(super) async fn live(
    State(app): State<App>,
    viewer: Viewer,
    PagePath(id): PagePath<i64>,
) -> Result<impl IntoResponse, PageError> {
    let bulk = progress(&app, id).await?;
    Ok(Page(BulkFragment {
        page: PageFrame::of(&viewer),
        query: filter_query(&bulk.row.filter),
        undo: BulkUndo::of(&bulk).filter(|_| viewer.caller.role.may_do_as(Role::Operator)),
        bulk,
    }))
}

async fn progress(app: &App, id: i64) -> Result<BulkProgress, PageError> {
    let (ledger, now) = (&app.engine().ledger, app.engine().clock.now());
    let row = ledger.bulk_action(id).await?;
    let row = row.ok_or_else(|| {
        PageError::not_found(
            Message::new("no-such-bulk-action", "there is no bulk action {id}").with("id", id),
        )
    })?;
    Ok(BulkProgress {
        state: row.state(now),
        width: (row.handled * 1_000)
            .checked_div(row.counted.items)
            .unwrap_or(0),
        left: row.counted.items.saturating_sub(row.handled),
        reasons: ledger.bulk_refusal_counts(id).await?,
        row,
    })
}

impl BulkProgress {
    fn is_under_way(&self) -> bool {
        self.state == BulkState::UnderWay
    }

    /// Items by the state they are in, and whether they only stay in it.
    fn outcomes(&self) -> Vec<(ItemState, u64, bool)> {
        let moved = self.row.moved.iter();
        let withdrawn = self.row.withdrawn.iter();
        moved
            .map(|(state, items)| (*state, *items, false))
            .chain(withdrawn.map(|(state, items)| (*state, *items, true)))
            .collect()
    }
}
