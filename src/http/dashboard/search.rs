//! Finding a payment by whatever number is at hand; the one hit is shown at once.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::errors::PageError;
use super::frame::{Page, PageFrame};
use super::page_fields::PageQuery;
use super::session::Viewer;
use super::sums::Sum;
use crate::domain::item::State as ItemState;
use crate::domain::message::Message;
use crate::engine::search::SearchTerms;
use crate::http::App;
use crate::http::error::ApiError;
use crate::ledger::{
    FoundContract, FoundLine, LedgerError, NotificationRow, RunRow, SearchResults,
};
use crate::reader_language::ReaderLanguage;
use crate::search_view::{FoundItemView, FoundView};

/// How many of each kind are shown.
const SHOWN: u32 = 100;

/// What is looked for; what is empty was left out of the form.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct SearchForm {
    q: String,
    account: String,
    from: String,
    to: String,
    amount: String,
    currency: String,
}

impl SearchForm {
    fn terms(&self) -> SearchTerms {
        let given = |text: &String| {
            let text = text.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        SearchTerms {
            text: given(&self.q),
            account: given(&self.account),
            day: None,
            from: given(&self.from),
            to: given(&self.to),
            amount: given(&self.amount),
            currency: given(&self.currency),
            limit: Some(SHOWN),
        }
    }

    fn is_empty(&self) -> bool {
        let terms = self.terms();
        terms.text.is_none() && terms.amount.is_none()
    }
}

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage {
    page: PageFrame,
    query: SearchForm,
    accounts: Vec<String>,
    /// What is wrong with what was asked for, and what to do.
    wrong: Option<(Message, Option<Message>)>,
    found: Option<SearchFindings>,
}

/// What was found.
struct SearchFindings {
    view: FoundView,
    items: Vec<FoundPayment>,
    contracts: Vec<FoundContract>,
    lines: Vec<FoundLine>,
    notifications: Vec<NotificationRow>,
    runs: Vec<RunRow>,
}

/// An item that was found.
struct FoundPayment {
    view: FoundItemView,
    state: ItemState,
    sum: Option<Sum>,
    at: crate::domain::time::Timestamp,
}

/// Looks for it.
pub(super) async fn find(
    State(app): State<App>,
    viewer: Viewer,
    PageQuery(query): PageQuery<SearchForm>,
) -> Result<Response, PageError> {
    let engine = app.engine();
    let mut page = SearchPage {
        page: PageFrame::of(&viewer),
        accounts: engine.accounts.keys().cloned().collect(),
        wrong: None,
        found: None,
        query,
    };
    if page.query.is_empty() {
        return Ok(Page(page).into_response());
    }
    let terms = page.query.terms();
    let results = match engine.search(&terms).await {
        Ok(results) => with_named_run(&app, &page.query, results).await?,
        Err(error) => {
            let (status, message, help) = ApiError::from(error).into_parts();
            page.wrong = Some((message, help));
            return Ok((status, Page(page)).into_response());
        }
    };
    if let Some(path) = only_hit(&results) {
        return Ok(Redirect::to(&format!("{}{path}", viewer.base)).into_response());
    }
    page.found = Some(SearchFindings::of(
        FoundView::of(engine, &terms, &results)?,
        results,
    ));
    Ok(Page(page).into_response())
}

/// What was found, and the run that was asked for by its number.
async fn with_named_run(
    app: &App,
    query: &SearchForm,
    mut results: SearchResults,
) -> Result<SearchResults, LedgerError> {
    let is_narrowed = [&query.account, &query.from, &query.to, &query.amount]
        .iter()
        .any(|text| !text.trim().is_empty());
    let named = run_named(&query.q).filter(|_| !is_narrowed);
    if let Some(id) = named
        && !results.runs.rows.iter().any(|run| run.id == id)
    {
        let run = app.engine().ledger.run(id).await?;
        results.runs.rows.extend(run);
    }
    Ok(results)
}

/// The number of a run that is called so, in whichever language: `run 7`, `运行 7`.
fn run_named(text: &str) -> Option<i64> {
    let text = text.trim().to_lowercase();
    let rest = ReaderLanguage::ALL
        .iter()
        .find_map(|language| text.strip_prefix(&language.message("run").to_lowercase()))?;
    let number = rest.trim_start().trim_start_matches(['#', '＃']).trim();
    let digits: Option<String> = number.chars().map(half_width_digit).collect();
    digits?.parse().ok()
}

/// A digit as programs write it, also where a Chinese keyboard wrote it.
fn half_width_digit(c: char) -> Option<char> {
    match c {
        '0'..='9' => Some(c),
        '０'..='９' => char::from_u32(u32::from(c) - 0xfee0),
        _ => None,
    }
}

/// Where the one thing is that was found.
fn only_hit(results: &SearchResults) -> Option<String> {
    let others = results.contracts.rows.len()
        + results
            .lines
            .rows
            .iter()
            .filter(|line| line.item_id.is_none())
            .count()
        + results
            .notifications
            .rows
            .iter()
            .filter(|row| row.item_id.is_none())
            .count();
    match (&results.items.rows[..], &results.runs.rows[..]) {
        ([item], []) if others == 0 => Some(format!("/items/{}", item.item.id)),
        ([], [run]) if others == 0 => Some(format!("/runs/{}", run.id)),
        _ => None,
    }
}

impl SearchFindings {
    fn of(view: FoundView, results: SearchResults) -> Self {
        let rows = results.items.rows.iter().zip(&view.items);
        let items = rows
            .map(|(row, view)| FoundPayment {
                view: view.clone(),
                state: row.item.state,
                sum: row.item.amount.map(Sum::of),
                at: row.sent_at.unwrap_or(row.planned_at),
            })
            .collect();
        Self {
            view,
            items,
            contracts: results.contracts.rows,
            lines: results.lines.rows,
            notifications: results.notifications.rows,
            runs: results.runs.rows,
        }
    }

    fn is_empty(&self) -> bool {
        self.items.is_empty()
            && self.contracts.is_empty()
            && self.lines.is_empty()
            && self.notifications.is_empty()
            && self.runs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::run_named;

    #[test]
    fn a_run_is_named_by_its_number_in_every_language_of_the_pages() {
        for named in [
            "run 7",
            "Run 7",
            " run #7 ",
            "RUN7",
            "运行 7",
            "运行７",
            "執行 7",
        ] {
            assert_eq!(run_named(named), Some(7), "{named}");
        }
        for other in [
            "run",
            "run 7a",
            "7",
            "running 7",
            "run -7",
            "run 99999999999999999999",
            "",
        ] {
            assert_eq!(run_named(other), None, "{other}");
        }
    }
}
