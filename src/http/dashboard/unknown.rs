//! What is at risk: what nobody knows the end of, by age and money, what is known so far, when it is
//! asked about next, and what needs a person.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::IntoResponse;

use super::code_meaning::meaning;
use super::errors::PageError;
use super::frame::{Page, PageFrame};
use super::page_fields::{PageFields, PageQuery};
use super::session::Viewer;
use super::sums::Sum;
use crate::domain::item::State as ItemState;
use crate::domain::time::Timestamp;
use crate::export::ExportContext;
use crate::http::App;
use crate::ledger::{
    ExportedItem, ItemFilter, JobRow, LaneRow, LedgerError, UnresolvedSum, UnresolvedSums,
};
use crate::view::told_of;

/// How many items each list has.
const PAGE: u32 = 50;

/// The width of a bar, in its own unit.
const WIDTH: i128 = 1_000;

/// The ages, by their numbers.
const AGES: [&str; 5] = [
    "age-minutes",
    "age-hour",
    "age-day",
    "age-week",
    "age-longer",
];

#[derive(Template)]
#[template(path = "unknown.html")]
struct UnknownPage {
    page: PageFrame,
    gateway: String,
    /// The gateway as a query of an address.
    gateway_query: String,
    sums: Vec<AgeBar>,
    is_cut: bool,
    needs_review: Vec<UnresolvedItem>,
    /// Whether there are more of these.
    more_need_review: bool,
    asked_about: Vec<UnresolvedItem>,
    next_after: Option<i64>,
    is_first: bool,
    command: String,
    /// What asks nothing at present.
    closed: Vec<LaneRow>,
}

impl UnknownPage {
    /// Whether an item is asked about at all at present.
    fn is_asked(&self, of: &ExportedItem) -> bool {
        let part = format!("{}/{}", of.lane, of.kind);
        let job = format!("{part}/{}", of.item.job_id);
        let mut closed = self.closed.iter();
        !closed.any(|lane| [&of.lane, &part, &job].contains(&&lane.name))
    }
}

/// Money at risk of one age, state and currency.
struct AgeBar {
    age: &'static str,
    state: ItemState,
    items: u64,
    sum: Option<Sum>,
    /// Of the most that is at risk in this currency.
    width: i128,
}

/// An item whose end nobody knows.
struct UnresolvedItem {
    of: ExportedItem,
    since: Option<Timestamp>,
    reason: String,
    /// What the last code means.
    meaning: Option<String>,
}

/// What is at risk.
pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    PageQuery(pairs): PageQuery<Vec<(String, String)>>,
) -> Result<impl IntoResponse, PageError> {
    let mut fields = PageFields::of(pairs)?;
    let (gateway, after) = (fields.take("gateway"), fields.number("after")?);
    fields.end()?;
    let (ledger, now) = (&app.engine().ledger, app.engine().clock.now());
    let page = PageFrame::of(&viewer);
    let UnresolvedSums { sums, is_cut } = ledger.unresolved_sums(gateway.as_deref(), now).await?;
    let needs_review = vec![ItemState::NeedsReview];
    let needs_review = unresolved(&app, &page, needs_review, &gateway, 0).await?;
    let asked_about = ItemState::ASKED_ABOUT.to_vec();
    let asked_about = unresolved(&app, &page, asked_about, &gateway, after.unwrap_or(0)).await?;
    let is_full = |items: &[UnresolvedItem]| items.len() == PAGE as usize;
    let next = asked_about.last().map(|last| last.of.item.id);
    let filter = ItemFilter {
        lane: gateway.clone(),
        states: vec![
            ItemState::Unknown,
            ItemState::Pending,
            ItemState::NeedsReview,
        ],
        ..ItemFilter::default()
    };
    let of_gateway = ItemFilter {
        lane: gateway.clone(),
        ..ItemFilter::default()
    };
    Ok(Page(UnknownPage {
        sums: bars(&sums),
        is_cut,
        more_need_review: is_full(&needs_review),
        next_after: next.filter(|_| is_full(&asked_about)),
        is_first: after.is_none(),
        gateway_query: super::item_filter::filter_query(&of_gateway),
        command: format!(
            "payrun items{}",
            super::item_filter::filter_arguments(&filter)
        ),
        gateway: gateway.unwrap_or_default(),
        needs_review,
        asked_about,
        closed: ledger.closed_lanes(now).await?,
        page,
    }))
}

async fn unresolved(
    app: &App,
    page: &PageFrame,
    states: Vec<ItemState>,
    gateway: &Option<String>,
    after: i64,
) -> Result<Vec<UnresolvedItem>, LedgerError> {
    let engine = app.engine();
    let filter = ItemFilter {
        states,
        lane: gateway.clone(),
        ..ItemFilter::default()
    };
    let context = ExportContext {
        ledger: engine.ledger.clone(),
        config: Arc::clone(&engine.config),
        job_kinds: Arc::clone(&engine.job_kinds),
        now: engine.clock.now(),
    };
    let found = engine.ledger.exported_items(&filter, after, PAGE).await?;
    let item = |of: ExportedItem| {
        let code = of.code.as_deref().filter(|code| !code.is_empty());
        UnresolvedItem {
            since: of.item.unresolved_since.or(of.item.sent_at),
            reason: told_of(&of.item).map_or_else(String::new, |told| page.reason(&told)),
            meaning: code.and_then(|code| meaning(page, &context, &job_of(&of), code)),
            of,
        }
    };
    Ok(found.into_iter().map(item).collect())
}

/// What decides what a code of an item's gateway means.
fn job_of(of: &ExportedItem) -> JobRow {
    JobRow {
        id: of.item.job_id,
        run_id: of.item.run_id,
        name: of.item.job.clone(),
        kind: of.kind.clone(),
        lane: of.lane.clone(),
        account: None,
        finished_at: None,
        failure: None,
        failure_code: None,
        file: None,
    }
}

fn bars(sums: &[UnresolvedSum]) -> Vec<AgeBar> {
    let most = |currency| {
        let same = sums.iter().filter(|sum| sum.currency == currency);
        let size = same.map(size).max();
        size.unwrap_or(1).max(1)
    };
    sums.iter()
        .map(|sum| AgeBar {
            age: AGES[usize::try_from(sum.age)
                .unwrap_or_default()
                .min(AGES.len() - 1)],
            state: sum.state,
            items: sum.items,
            sum: sum
                .currency
                .map(|currency| Sum::of_minor(i128::from(sum.minor), currency)),
            width: (size(sum) * WIDTH / most(sum.currency)).max(4),
        })
        .collect()
}

/// How long a bar is: its money, or, where there is none, how many items.
fn size(sum: &UnresolvedSum) -> i128 {
    match sum.currency {
        Some(_) => i128::from(sum.minor),
        None => i128::from(sum.items),
    }
}
