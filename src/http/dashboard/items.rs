//! Items as a list, with the filter in the address, and from it the way to all that match.

use askama::Template;
use axum::extract::State;
use axum::response::IntoResponse;
use chrono::NaiveDate;

use super::errors::PageError;
use super::frame::{Page, PageFrame};
use super::item_filter::{
    FilterPart, StateChoice, export_query, filter_arguments, filter_parts, filter_query,
    read_filter, state_choices,
};
use super::page_fields::{PageFields, PageQuery};
use super::session::Viewer;
use crate::domain::item::State as ItemState;
use crate::domain::message::Message;
use crate::export::planned_days::PlannedDays;
use crate::http::App;
use crate::http::api::exports::planned_on;
use crate::ledger::{ItemFilter, ItemRow};
use crate::view::told_of;

/// How many items a page has.
const PAGE: u32 = 100;

#[derive(Template)]
#[template(path = "items.html")]
struct ItemListPage {
    page: PageFrame,
    filter: ItemFilter,
    parts: Vec<FilterPart>,
    /// The first day of the runs that are meant.
    since: Option<NaiveDate>,
    choices: Vec<StateChoice>,
    items: Vec<ListedItem>,
    /// The filter as addresses and exports have it.
    query: String,
    export: String,
    /// The command that lists the same.
    command: String,
    next_after: Option<i64>,
    is_first: bool,
    /// What can be done to all that match.
    may_retry: bool,
    may_cancel: bool,
}

/// An item in a list.
struct ListedItem {
    row: ItemRow,
    reason: String,
}

impl ItemListPage {
    fn is_filtered(&self) -> bool {
        !self.parts.is_empty() || self.since.is_some()
    }

    fn text_of(&self, name: &str) -> &str {
        let mut parts = self.parts.iter();
        let part = parts.find(|part| part.name == name);
        part.map_or("", |part| part.value.as_str())
    }
}

/// Items in the order of their ids.
pub(super) async fn list(
    State(app): State<App>,
    viewer: Viewer,
    PageQuery(pairs): PageQuery<Vec<(String, String)>>,
) -> Result<impl IntoResponse, PageError> {
    let mut fields = PageFields::of(pairs)?;
    let mut filter = read_filter(&mut fields)?;
    let since = day(fields.take("since"))?;
    let days = PlannedDays::of(None, since, None).map_err(PageError::invalid)?;
    filter.planned = planned_on(&app, days, filter.run_id, filter.workflow.as_deref()).await?;
    let after = fields.number("after")?;
    fields.end()?;
    let ledger = &app.engine().ledger;
    let found = ledger.items(&filter, after.unwrap_or(0), PAGE).await?;
    let full = found.len() == PAGE as usize;
    let page = PageFrame::of(&viewer);
    // What is done to all that match is chosen by no day.
    let acts = |states: &[ItemState]| {
        since.is_none()
            && !filter.states.is_empty()
            && filter.states.iter().all(|state| states.contains(state))
    };
    Ok(Page(ItemListPage {
        choices: state_choices(&page, &filter.states),
        parts: filter_parts(&filter),
        query: with_day(filter_query(&filter), since),
        export: with_day(export_query(&filter), since),
        command: format!(
            "payrun items{}{}",
            filter_arguments(&filter),
            since.map_or_else(String::new, |day| format!(" --since={day}"))
        ),
        since,
        next_after: found.last().map(|item| item.id).filter(|_| full),
        is_first: after.is_none(),
        may_retry: acts(&RETRIED),
        may_cancel: acts(&ItemState::NOT_ENDED),
        items: found
            .into_iter()
            .map(|row| ListedItem {
                reason: told_of(&row).map_or_else(String::new, |told| page.reason(&told)),
                row,
            })
            .collect(),
        filter,
        page,
    }))
}

fn day(word: Option<String>) -> Result<Option<NaiveDate>, PageError> {
    let wrong = |_| {
        PageError::invalid(Message::new(
            "filter-since",
            "since is a day such as 2026-03-31",
        ))
    };
    word.map(|word| word.trim().parse().map_err(wrong))
        .transpose()
}

fn with_day(query: String, since: Option<NaiveDate>) -> String {
    match since {
        None => query,
        Some(day) if query.is_empty() => format!("since={day}"),
        Some(day) => format!("{query}&since={day}"),
    }
}

/// In these states a person may have an item tried again.
const RETRIED: [ItemState; 3] = [
    ItemState::Failed,
    ItemState::NeedsReview,
    ItemState::Cancelled,
];
